//! What is compared: libraries that build an index over rows and answer queries, behind one pair of traits.

use std::fmt::Debug;

use acap::cos::AngularDistance;
use acap::distance::Distance;
use acap::euclid::EuclideanDistance;
use covertree::points::{Points, Values};
use covertree_kernels::simd::Real;

/// A precision of the coordinates.
pub trait Scalar: Real + num_traits::Float + acap::distance::Value + Debug + Send + Sync + 'static {
    /// Name of the type, as numpy spells it.
    const NUMPY: &str;
    /// Relative error that a library may make in a distance when it computes in this precision.
    const TOLERANCE: f64;
    /// As the library under test takes them.
    fn values(data: Vec<Self>) -> Values;
    /// The coordinates of points of this precision.
    fn of(points: &Points) -> &[Self];
    /// Widened without loss.
    fn wide(self) -> f64;
    /// Rounded to the nearest.
    fn narrow(value: f64) -> Self;
    /// A Euclidean distance of acap, which puts the root off.
    type Squared: Distance<Value = Self> + Send + Sync;
    /// An angle of acap, which puts the arc cosine off.
    type Angle: Distance<Value = Self> + Send + Sync;
    /// The distance of this square.
    fn squared(value: Self) -> Self::Squared;
    /// The angle of this cosine.
    fn angle(cosine: Self) -> Self::Angle;
}

impl Scalar for f32 {
    type Squared = EuclideanDistance<f32>;
    type Angle = AngularDistance<f32>;
    fn squared(value: f32) -> Self::Squared {
        EuclideanDistance::from_squared(value)
    }
    fn angle(cosine: f32) -> Self::Angle {
        AngularDistance::from_cos(cosine)
    }
    const NUMPY: &str = "float32";
    const TOLERANCE: f64 = 1e-5;
    fn values(data: Vec<f32>) -> Values {
        Values::F32(data)
    }
    fn of(points: &Points) -> &[f32] {
        match points.values() {
            Values::F32(values) => values,
            Values::F64(_) => panic!("points are of another precision"),
        }
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn narrow(value: f64) -> f32 {
        value as f32
    }
}

impl Scalar for f64 {
    type Squared = EuclideanDistance<f64>;
    type Angle = AngularDistance<f64>;
    fn squared(value: f64) -> Self::Squared {
        EuclideanDistance::from_squared(value)
    }
    fn angle(cosine: f64) -> Self::Angle {
        AngularDistance::from_cos(cosine)
    }
    const NUMPY: &str = "float64";
    // Angles from arc cosines lose half the digits; everything else is far better.
    const TOLERANCE: f64 = 1e-7;
    fn values(data: Vec<f64>) -> Values {
        Values::F64(data)
    }
    fn of(points: &Points) -> &[f64] {
        match points.values() {
            Values::F64(values) => values,
            Values::F32(_) => panic!("points are of another precision"),
        }
    }
    fn wide(self) -> f64 {
        self
    }
    fn narrow(value: f64) -> f64 {
        value
    }
}

/// A library: how its index over rows of coordinates is built.
pub struct Method<T> {
    /// Name in tables.
    pub name: &'static str,
    /// Builds the index; what it does is timed.
    pub build: fn(&[T], usize) -> Box<dyn Built<T>>,
}

/// An index that was built.
pub trait Built<T>: Send + Sync {
    /// Something that answers one query after the other on one thread and keeps its memory; `None` where the library is
    /// asked for many at once only.
    fn searcher(&self) -> Option<Box<dyn Searcher<T> + '_>> {
        None
    }
    /// Answers many queries on the threads of the current pool, where the library has an entrance for that.
    fn batch(&self, _queries: &[T], _k: usize) -> Option<Vec<i32>> {
        None
    }
    /// The `k` nearest other points of all points, where the library has an entrance for that.
    fn graph(&self, _k: usize) -> Option<Vec<i32>> {
        None
    }
}

/// Answers single queries.
pub trait Searcher<T> {
    /// Appends the ids of the `k` nearest points.
    fn knn(&mut self, query: &[T], k: usize, ids: &mut Vec<i32>);
}
