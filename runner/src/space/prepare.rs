//! Precision and scaling: how points and queries become what a metric stores.

use covertree_kernels::simd::Tier;

use crate::error::Error;
use crate::metric::MetricName;
use crate::points::{Dtype, Points, Values};

use super::{Angular, Euclidean, Haversine, PanelMetric, Projected};

/// A power of two that brings coordinates into the range in which neither their squares nor sums of them overflow.
///
/// It belongs to the published formula of Euclidean, Manhattan and Chebyshev distance: points and queries are multiplied by
/// `2^-e`, distances are computed, answers are ordered by (distance, id), and the distances are then multiplied by `2^e`.
/// `e` depends on the largest magnitude `m` among the coordinates of the points alone:
///
/// | `m` | `e` |
/// | --- | --- |
/// | 0, or from `2^-400` to `2^500` | 0: nothing is changed |
/// | above `2^500` | such that `m` comes to `2^400` or above, below `2^401` |
/// | below `2^-400` | such that `m` comes to 1 or above, below 2 |
///
/// A multiplication by a power of two is exact unless its result is subnormal or infinite; then it is rounded once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scaling {
    exponent: i32,
}

impl Scaling {
    /// Everything stays as it is.
    pub const NONE: Self = Self { exponent: 0 };

    /// The largest magnitude of a scaled coordinate of a query, `2^502`: the sum of half a million squared differences to
    /// points is finite.
    pub const SAFE: f64 = f64::from_bits((1023 + 502) << 52);

    /// The largest magnitude of coordinates of points that are left alone, `2^500`.
    const LARGE: f64 = f64::from_bits((1023 + 500) << 52);

    /// The smallest magnitude of the largest coordinate that is left alone, `2^-400`.
    const SMALL: f64 = f64::from_bits((1023 - 400) << 52);

    /// The scaling of points whose largest magnitude this is.
    pub fn of(largest: f64) -> Self {
        let exponent = if largest > Self::LARGE {
            libm::ilogb(largest) - 400
        } else if 0.0 < largest && largest < Self::SMALL {
            libm::ilogb(largest)
        } else {
            0
        };
        Self { exponent }
    }

    /// The exponent `e`, to be stored with a tree.
    pub fn exponent(self) -> i32 {
        self.exponent
    }

    /// The scaling of this exponent; `None` for one that no points have.
    pub fn from_exponent(exponent: i32) -> Option<Self> {
        let large = (500 - 400..=1023 - 400).contains(&exponent);
        let small = (-1074..-400).contains(&exponent);
        (exponent == 0 || large || small).then_some(Self { exponent })
    }

    /// A coordinate, or a radius, scaled.
    pub fn apply(self, value: f64) -> f64 {
        if self.exponent == 0 { value } else { libm::scalbn(value, -self.exponent) }
    }

    /// The distance that belongs to a scaled one.
    pub fn restore(self, distance: f64) -> f64 {
        if self.exponent == 0 { distance } else { libm::scalbn(distance, self.exponent) }
    }

    /// [`restore`](Self::restore)s all distances.
    pub fn restore_all(self, distances: &mut [f64]) {
        if self.exponent != 0 {
            for distance in distances {
                *distance = self.restore(*distance);
            }
        }
    }

    /// Whether distances to a point with this coordinate can be computed.
    pub fn admits(self, value: f64) -> bool {
        self.apply(value).abs() <= Self::SAFE
    }

    /// The largest magnitude that is [admitted](Self::admits).
    pub fn limit(self) -> f64 {
        self.restore(Self::SAFE).min(f64::MAX)
    }
}

/// How the points of a tree were prepared, so that its queries are prepared alike: what has to be stored with a tree whose
/// metric is chosen at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preparation {
    /// The metric.
    pub metric: MetricName,
    /// Precision in which prepared points are stored.
    pub dtype: Dtype,
    /// Columns of a point.
    pub dim: usize,
    /// The power of two by which coordinates are divided.
    pub scaling: Scaling,
}

impl Preparation {
    /// The preparation that suits these points, which the messages call `label`.
    ///
    /// Points in `f32` are stored so if their squares stay within its range with room to spare: when their largest
    /// magnitude `m` is 0, or at least `2^-30` with `dim * m^2 <= 2^120`. Otherwise they are widened; the formula and its
    /// results are the same. Directions and places are always stored in `f64`.
    ///
    /// # Errors
    /// [`Error::Usage`] when the metric takes another number of columns.
    pub fn of(metric: MetricName, label: &str, points: &Points) -> Result<Self, Error> {
        let dim = points.dim();
        let none = Self { metric, dtype: Dtype::F64, dim, scaling: Scaling::NONE };
        match metric {
            MetricName::Angular => Ok(none),
            MetricName::Haversine if dim != Haversine::COLUMNS => Err(Error::Usage(format!(
                "{label}: has a column count of {dim}, and haversine takes 2, longitude and latitude; choose two columns"
            ))),
            MetricName::Haversine => Ok(none),
            MetricName::Euclidean | MetricName::Manhattan | MetricName::Chebyshev => {
                let (largest, _) = points.magnitude();
                let single = points.dtype() == Dtype::F32
                    && (largest == 0.0 || largest >= SINGLE_LEAST)
                    && dim as f64 * largest * largest <= SINGLE_SQUARES;
                let dtype = if single { Dtype::F32 } else { Dtype::F64 };
                Ok(Self { dtype, scaling: Scaling::of(largest), ..none })
            }
        }
    }

    /// Values of a prepared row.
    pub fn width(&self) -> usize {
        match self.metric {
            MetricName::Haversine => Haversine::width(self.dim),
            _ => self.dim,
        }
    }

    /// The points as the metric stores them: [`width`](Self::width) values per row, in this preparation's precision.
    ///
    /// # Errors
    /// [`Error::ZeroVector`], [`Error::Latitude`]; the preparation must be that [of](Self::of) these points.
    pub fn points(&self, label: &str, points: &Points) -> Result<Values, Error> {
        match (self.metric, self.dtype) {
            (MetricName::Angular, _) => Angular::prepare(label, points, self.scaling).map(Values::F64),
            (MetricName::Haversine, _) => Haversine::prepare(label, points, self.scaling).map(Values::F64),
            // The three metrics of plain coordinates prepare alike.
            (_, Dtype::F32) => Euclidean::<f32>::prepare(label, points, self.scaling).map(Values::F32),
            (_, Dtype::F64) => Euclidean::<f64>::prepare(label, points, self.scaling).map(Values::F64),
        }
    }

    /// Whether the metric allows points to be projected.
    pub fn projects(&self) -> bool {
        match self.metric {
            MetricName::Euclidean => Euclidean::<f64>::projects(),
            MetricName::Angular => Angular::projects(),
            MetricName::Manhattan | MetricName::Chebyshev | MetricName::Haversine => false,
        }
    }

    /// The axes onto which these points are projected; `None` unless the metric allows it and they have many coordinates.
    pub fn axes(&self, prepared: &Values, tier: Tier) -> Option<Projected> {
        if self.projects() { Projected::choose(prepared, self.dim, tier) } else { None }
    }

    /// Queries as the metric takes them; no value is ever rounded to `f32`.
    ///
    /// Normally they come in this preparation's precision. Where the tree's points are stored in `f32` and a query is not
    /// a row of `f32` numbers, all queries come in `f64`: search an `f64` copy of the tree's points then. The tree is a valid
    /// tree over the copy, for nothing in it rests on the precision of the filters.
    ///
    /// # Errors
    /// [`Error::Usage`] when the queries have another number of columns than the points; [`Error::TooLarge`],
    /// [`Error::ZeroVector`], [`Error::Latitude`] naming the row.
    pub fn queries(&self, label: &str, queries: &Points) -> Result<Values, Error> {
        if queries.dim() != self.dim {
            let (got, want) = (queries.dim(), self.dim);
            return Err(Error::Usage(format!(
                "{label}: has a column count of {got} where the points have {want}; choose columns so that both agree"
            )));
        }
        match self.points(label, queries) {
            Err(Error::NotSingle { .. }) => Self { dtype: Dtype::F64, ..*self }.points(label, queries),
            prepared => prepared,
        }
    }
}

/// Least magnitude of the largest coordinate of points stored in `f32`, `2^-30`: squares of differences a millionth as large
/// are normal numbers still.
const SINGLE_LEAST: f64 = 1.0 / (1u64 << 30) as f64;

/// Largest sum of squares of points stored in `f32`, `2^120`: that of a difference is at most four times as large.
pub(crate) const SINGLE_SQUARES: f64 = f64::from_bits((1023 + 120) << 52);
