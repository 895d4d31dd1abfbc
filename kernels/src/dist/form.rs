//! The sums that the distance kernels accumulate, one dimension at a time.

use crate::simd::{Lanes, Real, Vector};

/// One kind of sum over dimensions.
///
/// Every form is a fold over dimensions in their order. `EXACT` chooses between the published formula (each operation
/// rounded by itself: the same bits on every tier) and the filter (multiplication and addition fused where the tier
/// fuses: faster, and the same error bound).
pub trait Form: Copy + Default + Send + Sync + 'static {
    /// Whether partial sums never fall, so that a partial sum is a lower bound of the whole.
    const GROWS: bool;

    /// Whether a step has a multiplication and an addition that can be fused; if not, both roundings are one.
    const FUSES: bool;

    /// Whether a step begins with the difference of its operands, for which it needs a register.
    const SUBTRACTS: bool;

    /// Whether no orthonormal projection has a larger sum, so that points may have [projections](crate::projection).
    const PROJECTS: bool = false;

    /// Whether the sum is that of two squared lengths less twice the [dot product](Dot).
    const FROM_DOTS: bool = false;

    /// Adds one dimension to the sum. Query and point may change places: the bits are the same.
    fn step<V: Vector, const EXACT: bool>(sum: V, query: V, point: V) -> V;

    /// The same for one pair, unfused: the published formula in the arithmetic of `T`.
    fn step_scalar<T: Real>(sum: T, query: T, point: T) -> T;

    /// [`step_scalar`](Self::step_scalar) in `f64`: the published formula.
    #[inline(always)]
    fn step_f64(sum: f64, query: f64, point: f64) -> f64 {
        Self::step_scalar(sum, query, point)
    }

    /// Bound on the relative error of a sum over `dim` dimensions in `T` arithmetic, fused or not, barring underflow.
    /// For [`Dot`] the error is relative to the sum of the magnitudes of the products.
    fn relative_error<T: Real>(dim: usize) -> f64;

    /// Bound on the absolute error that underflow adds over `dim` dimensions.
    fn absolute_error<T: Real>(dim: usize) -> f64;

    /// The distance that belongs to a sum, rounded correctly.
    #[inline(always)]
    fn finish<L: Lanes>(sum: f64) -> f64 {
        sum
    }

    /// [`finish`](Self::finish) in every lane, by the same operation.
    #[inline(always)]
    fn finish_lanes<L: Lanes>(sum: L::F64) -> L::F64 {
        sum
    }

    /// The sum that belongs to a distance, within half a unit in the last place barring underflow.
    #[inline(always)]
    fn unfinish(distance: f64) -> f64 {
        distance
    }
}

/// `n u / (1 - n u)`: the usual bound for `n` roundings of unit roundoff `u` (Higham, *Accuracy and Stability of
/// Numerical Algorithms*, lemma 3.1). Infinite where it says nothing.
pub(crate) fn gamma(n: usize, roundoff: f64) -> f64 {
    let nu = n as f64 * roundoff;
    if nu < 0.5 { nu / (1.0 - nu) } else { f64::INFINITY }
}

/// The absolute value; exact, and plus zero for both zeros.
#[inline(always)]
fn magnitude<T: Real>(value: T) -> T {
    let zero = T::default();
    if value > zero { value } else { zero - value }
}

/// `sum of (query - point)^2`. Each term carries one rounding of the difference (twice, for it is squared), one of the
/// square and at most `dim` of the sum: `dim + 2` to first order, `dim + 3` counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct SquaredEuclidean;

/// `sum of |query - point|`: one rounding of the difference and at most `dim` of the sum.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manhattan;

/// `max of |query - point|`: one rounding of the difference.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chebyshev;

/// `sum of query * point`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dot;

impl Form for SquaredEuclidean {
    const GROWS: bool = true;
    const FUSES: bool = true;
    const SUBTRACTS: bool = true;
    const PROJECTS: bool = true;
    const FROM_DOTS: bool = true;
    #[inline(always)]
    fn step<V: Vector, const EXACT: bool>(sum: V, query: V, point: V) -> V {
        let diff = query.sub(point);
        if EXACT { sum.add(diff.mul(diff)) } else { diff.mul_add(diff, sum) }
    }
    #[inline(always)]
    fn step_scalar<T: Real>(sum: T, query: T, point: T) -> T {
        let diff = query - point;
        sum + diff * diff
    }
    fn relative_error<T: Real>(dim: usize) -> f64 {
        gamma(dim.saturating_add(3), T::ROUNDOFF)
    }
    fn absolute_error<T: Real>(dim: usize) -> f64 {
        dim as f64 * T::TINY
    }
    #[inline(always)]
    fn finish<L: Lanes>(sum: f64) -> f64 {
        L::sqrt(sum)
    }
    #[inline(always)]
    fn finish_lanes<L: Lanes>(sum: L::F64) -> L::F64 {
        L::sqrt_lanes(sum)
    }
    #[inline(always)]
    fn unfinish(distance: f64) -> f64 {
        distance * distance
    }
}

impl Form for Manhattan {
    const GROWS: bool = true;
    const FUSES: bool = false;
    const SUBTRACTS: bool = true;
    #[inline(always)]
    fn step<V: Vector, const EXACT: bool>(sum: V, query: V, point: V) -> V {
        sum.add(query.sub(point).abs())
    }
    #[inline(always)]
    fn step_scalar<T: Real>(sum: T, query: T, point: T) -> T {
        sum + magnitude(query - point)
    }
    fn relative_error<T: Real>(dim: usize) -> f64 {
        gamma(dim.saturating_add(1), T::ROUNDOFF)
    }
    fn absolute_error<T: Real>(_dim: usize) -> f64 {
        0.0 // sums and differences are exact where they underflow
    }
}

impl Form for Chebyshev {
    const GROWS: bool = true;
    const FUSES: bool = false;
    const SUBTRACTS: bool = true;
    #[inline(always)]
    fn step<V: Vector, const EXACT: bool>(sum: V, query: V, point: V) -> V {
        sum.max(query.sub(point).abs())
    }
    #[inline(always)]
    fn step_scalar<T: Real>(sum: T, query: T, point: T) -> T {
        let diff = magnitude(query - point);
        if diff > sum { diff } else { sum }
    }
    fn relative_error<T: Real>(_dim: usize) -> f64 {
        gamma(1, T::ROUNDOFF)
    }
    fn absolute_error<T: Real>(_dim: usize) -> f64 {
        0.0
    }
}

impl Form for Dot {
    const GROWS: bool = false;
    const FUSES: bool = true;
    const SUBTRACTS: bool = false;
    #[inline(always)]
    fn step<V: Vector, const EXACT: bool>(sum: V, query: V, point: V) -> V {
        if EXACT { sum.add(query.mul(point)) } else { query.mul_add(point, sum) }
    }
    #[inline(always)]
    fn step_scalar<T: Real>(sum: T, query: T, point: T) -> T {
        sum + query * point
    }
    fn relative_error<T: Real>(dim: usize) -> f64 {
        gamma(dim.saturating_add(1), T::ROUNDOFF)
    }
    fn absolute_error<T: Real>(dim: usize) -> f64 {
        dim as f64 * T::TINY
    }
}
