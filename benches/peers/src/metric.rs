//! Rust crates for any metric: acap and ball-tree, with the metrics as functions that are known at compile time.

use std::marker::PhantomData;

use acap::NearestNeighbors;
use acap::distance::{Distance, Proximity};
use acap::exhaustive::ExhaustiveSearch;
use acap::vp::FlatVpTree;
use ball_tree::BallTree;

use super::method::{Built, Method, Scalar, Searcher};

/// A metric between rows, in the form that costs each library least.
pub trait Measure: Clone + Copy + PartialEq + Send + Sync + 'static {
    /// What acap compares.
    type Compared<T: Scalar>: Distance<Value: num_traits::real::Real + Send + Sync> + Send + Sync;
    /// The distance for acap: comparable, not yet computed to the end where that can be put off.
    fn compared<T: Scalar>(a: &[T], b: &[T]) -> Self::Compared<T>;
    /// The distance.
    fn distance<T: Scalar>(a: &[T], b: &[T]) -> f64;
    /// A row as the libraries store it.
    fn prepare<T: Scalar>(_row: &mut [T]) {}
    /// Puts `a` back onto the surface that rows lie on, after it was moved along a straight line.
    fn settle<T: Scalar>(_a: &mut [T]) {}
}

fn sum<T: Scalar>(a: &[T], b: &[T], term: impl Fn(T, T) -> T) -> T {
    a.iter().zip(b).fold(<T as num_traits::Zero>::zero(), |sum, (&a, &b)| sum + term(a, b))
}

/// Straight-line distance.
#[derive(Clone, Copy, PartialEq)]
pub struct Euclidean;

impl Measure for Euclidean {
    type Compared<T: Scalar> = T::Squared;
    fn compared<T: Scalar>(a: &[T], b: &[T]) -> T::Squared {
        T::squared(sum(a, b, |a, b| (a - b) * (a - b)))
    }
    fn distance<T: Scalar>(a: &[T], b: &[T]) -> f64 {
        sum(a, b, |a, b| (a - b) * (a - b)).wide().sqrt()
    }
}

/// Sum of absolute differences.
#[derive(Clone, Copy, PartialEq)]
pub struct Manhattan;

impl Measure for Manhattan {
    type Compared<T: Scalar> = T;
    fn compared<T: Scalar>(a: &[T], b: &[T]) -> T {
        sum(a, b, |a, b| num_traits::Float::abs(a - b))
    }
    fn distance<T: Scalar>(a: &[T], b: &[T]) -> f64 {
        Self::compared(a, b).wide()
    }
}

/// Angle between unit vectors; the rows are made such before.
#[derive(Clone, Copy, PartialEq)]
pub struct Angular;

impl Measure for Angular {
    type Compared<T: Scalar> = T::Angle;
    fn compared<T: Scalar>(a: &[T], b: &[T]) -> T::Angle {
        T::angle(sum(a, b, |a, b| a * b))
    }
    fn distance<T: Scalar>(a: &[T], b: &[T]) -> f64 {
        sum(a, b, |a, b| a * b).wide().clamp(-1.0, 1.0).acos()
    }
    fn prepare<T: Scalar>(row: &mut [T]) {
        Self::settle(row);
    }
    fn settle<T: Scalar>(a: &mut [T]) {
        let norm = num_traits::Float::sqrt(sum(a, a, |a, b| a * b));
        a.iter_mut().for_each(|value| *value = *value / norm);
    }
}

/// The metric of a user's own function: the Minkowski distance of order three.
#[derive(Clone, Copy, PartialEq)]
pub struct Cubic;

impl Measure for Cubic {
    type Compared<T: Scalar> = f64;
    fn compared<T: Scalar>(a: &[T], b: &[T]) -> f64 {
        Self::distance(a, b)
    }
    fn distance<T: Scalar>(a: &[T], b: &[T]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a.wide() - b.wide()).abs().powi(3)).sum::<f64>().cbrt()
    }
}

/// A row with its number.
#[derive(Clone, Copy)]
struct Item<T, M, const D: usize> {
    row: [T; D],
    id: i32,
    measure: PhantomData<M>,
}

impl<T: Scalar, M: Measure, const D: usize> Item<T, M, D> {
    fn new(row: &[T], id: i32) -> Self {
        let mut row: [T; D] = row.try_into().expect("a row has D coordinates");
        M::prepare(&mut row);
        Self { row, id, measure: PhantomData }
    }

    fn all(rows: &[T]) -> Vec<Self> {
        rows.chunks_exact(D).zip(0..).map(|(row, id)| Self::new(row, id)).collect()
    }
}

impl<T: Scalar, M: Measure, const D: usize> Proximity for Item<T, M, D> {
    type Distance = M::Compared<T>;
    fn distance(&self, other: &Self) -> M::Compared<T> {
        M::compared(&self.row, &other.row)
    }
}

impl<T: Scalar, M: Measure, const D: usize> PartialEq for Item<T, M, D> {
    fn eq(&self, other: &Self) -> bool {
        self.row == other.row
    }
}

impl<T: Scalar, M: Measure, const D: usize> ball_tree::Point for Item<T, M, D> {
    fn distance(&self, other: &Self) -> f64 {
        M::distance(&self.row, &other.row)
    }

    fn move_towards(&self, other: &Self, distance: f64) -> Self {
        let whole = M::distance(&self.row, &other.row);
        if whole == 0.0 {
            return *self;
        }
        let share = T::narrow(distance / whole);
        let mut row = std::array::from_fn(|d| self.row[d] + share * (other.row[d] - self.row[d]));
        M::settle(&mut row);
        Self { row, ..*self }
    }
}

/// acap's vantage-point tree.
pub const fn vantage<T: Scalar, M: Measure, const D: usize>() -> Method<T> {
    Method {
        name: "acap FlatVpTree",
        build: |rows, _| Box::new(Acap(FlatVpTree::balanced(Item::<T, M, D>::all(rows)), PhantomData)),
    }
}

/// acap's brute force.
pub const fn exhaustive<T: Scalar, M: Measure, const D: usize>() -> Method<T> {
    Method {
        name: "acap brute force",
        build: |rows, _| {
            let items = Item::<T, M, D>::all(rows).into_iter();
            Box::new(Acap(items.collect::<ExhaustiveSearch<_>>(), PhantomData))
        },
    }
}

/// An acap index over items.
struct Acap<S, I>(S, PhantomData<I>);

impl<T, M, S, const D: usize> Built<T> for Acap<S, Item<T, M, D>>
where
    T: Scalar,
    M: Measure,
    S: NearestNeighbors<Item<T, M, D>> + Send + Sync,
{
    fn searcher(&self) -> Option<Box<dyn Searcher<T> + '_>> {
        Some(Box::new(self))
    }
}

impl<T, M, S, const D: usize> Searcher<T> for &Acap<S, Item<T, M, D>>
where
    T: Scalar,
    M: Measure,
    S: NearestNeighbors<Item<T, M, D>> + Send + Sync,
{
    fn knn(&mut self, query: &[T], k: usize, ids: &mut Vec<i32>) {
        let found = self.0.k_nearest(&Item::new(query, -1), k);
        ids.extend(found.iter().map(|neighbour| neighbour.item.id));
    }
}

/// ball-tree.
pub const fn ball_tree<T: Scalar, M: Measure, const D: usize>() -> Method<T> {
    Method {
        name: "ball-tree",
        build: |rows, _| {
            let items = Item::<T, M, D>::all(rows);
            let ids = (0..items.len() as i32).collect();
            Box::new(Balls(BallTree::new(items, ids)))
        },
    }
}

struct Balls<I>(BallTree<I, i32>);

impl<T: Scalar, M: Measure, const D: usize> Built<T> for Balls<Item<T, M, D>> {
    fn searcher(&self) -> Option<Box<dyn Searcher<T> + '_>> {
        Some(Box::new(BallQuery(self.0.query())))
    }
}

struct BallQuery<'a, I>(ball_tree::Query<'a, I, i32>);

impl<T: Scalar, M: Measure, const D: usize> Searcher<T> for BallQuery<'_, Item<T, M, D>> {
    fn knn(&mut self, query: &[T], k: usize, ids: &mut Vec<i32>) {
        ids.extend(self.0.nn(&Item::new(query, -1)).take(k).map(|(_, _, &id)| id));
    }
}
