//! Covariances of points: `rbf`, `matern12`, `matern32`, `matern52`, with a variance and scaled coordinates.
//!
//! # The published formula
//! In `f64`, each operation rounded by itself in the order that is written,
//!
//! - `z_d = x_d / l_d`: coordinates are divided by their lengthscales, one per dimension, once ([`scale_rows`]); what
//!   follows sees `z` alone;
//! - `s = sum over d of (z_d - z'_d)^2`, added in order of `d`;
//! - `K = variance * k(s)`, with `k` from the table; `sqrt` and `exp` are those of the `libm` crate, `SQRT_3` and `SQRT_5`
//!   the nearest `f64`, and `a` is cut at 800, where the exponential is zero, so that no `s`, not even infinity, gives NaN.
//!
//! | kind | `a` | `k` |
//! | --- | --- | --- |
//! | `Rbf` | | `exp(-0.5 * s)` |
//! | `Matern12` | `sqrt(s)` | `exp(-a)` |
//! | `Matern32` | `SQRT_3 * sqrt(s)` | `(1 + a) * exp(-a)` |
//! | `Matern52` | `SQRT_5 * sqrt(s)` | `((1 + a) + a * a / 3) * exp(-a)` |
//!
//! [`covariance_exact`] and [`Covariance::exact`] are this formula. A nugget is none of its business: it belongs to the
//! diagonal alone and enters where `p` is made.
//!
//! # The filters and their margin
//! The lane kernels compute the same in `f32` or `f64` with an exponential of their own ([`EXP_ERROR`] roundoffs), fused
//! or not. [`Covariance::margin`] bounds how far they are from the published formula. With `v` the variance:
//!
//! 1. *Given the same `s`.* In `k` the argument `a` carries at most 4 roundoffs, to which `k` answers with at most
//!    `|a k'(a)| <= 0.61` of that; the polynomial has only positive terms and carries 5, the exponential 5, the two
//!    products 2: `14.5 u v` in all, since `k <= 1`. Of the published formula it is 9.8 roundoffs of `f64` (the error of
//!    `libm::exp` is below one unit in the last place, 2 roundoffs). Both are counted as 16. Where the lane exponential
//!    gives zero, the polynomial times the exponential is below `1e-34` (`f32`), covered by the slack in 16.
//! 2. *A different rounding of `s`.* Each sum has a relative error of at most `g = gamma(dim + 3)`, and for all four kinds
//!    `|s k'(s)| <= 1 / e < 0.368`: the two sums together move `K` by `0.37 v (g_T + g_64)` (valid for `g <= 1/256`).
//!    Underflow moves `sqrt(s)` by at most `sqrt(dim * tiny)`.
//! 3. *Coordinates that were rounded to `f32`.* If each point moves by at most `offset`, the distance moves by at most
//!    `2 offset`, and `|dk/dr| <= 1` for all four kinds (it is 1 for `Matern12` at 0, below 0.64 for the others). The
//!    rounding of `z` in `f64` belongs to the formula: both see it, and it is no part of `offset`.
//!
//! `K` lies in `[0, v]`, hence so does the margin, whatever the sum of the above says.
//!
//! # Cost and measured rate
//! One thread of an AMD EPYC (Zen 4) with AVX-512 (portable): the exponential in `f64` 1,490 M/s (259) where std has 190 and `libm`
//! 143, in `f32` 4,390 (976); RBF 1,030 M/s (380) and Matern-5/2 753 (274) where the formula takes 134 and 84; a point with packed
//! points of three coordinates 691 M/s (260). With AVX2 (portable) [`scale_rows`] makes 1,530 M (820) coordinates a second of rows of
//! three, and a plain loop 600; of rows of twenty 1,670 (800), and 750. `cargo bench -p covertree-benches --bench covariance`.

mod exp;
pub(crate) mod lanes;
#[cfg(any(test, feature = "oracle"))]
pub mod scalar;

pub(crate) use exp::mul_add;
pub use exp::{EXP_ERROR, Exponential};

use crate::dist::Rounding;
use crate::dist::form::gamma;
use crate::error::{KernelError, want};
use crate::simd::{Lanes, OnLanes, Real, Tier};
use crate::view::{Panels, Rows, panels_len};

/// The nearest `f64` to the square root of three.
const SQRT_3: f64 = 1.732_050_807_568_877_2;
/// The nearest `f64` to the square root of five.
const SQRT_5: f64 = 2.236_067_977_499_79;
/// Where the published formula cuts `a`: the exponential of its negative is zero.
const SCALED_MAX: f64 = 800.0;

/// Smallest variance that is accepted, so that products of residual variances stay normal numbers.
pub const VARIANCE_MIN: f64 = 1e-100;
/// Largest variance that is accepted.
pub const VARIANCE_MAX: f64 = 1e100;

/// The shape of a covariance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CovarianceKind {
    /// The squared exponential: smooth, hence nearly singular matrices.
    Rbf,
    /// The exponential covariance.
    Matern12,
    /// Once differentiable.
    Matern32,
    /// Twice differentiable.
    Matern52,
}

impl CovarianceKind {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Rbf, Self::Matern12, Self::Matern32, Self::Matern52];
}

/// A shape and a variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Covariance {
    kind: CovarianceKind,
    variance: f64,
}

impl Covariance {
    /// A covariance that is `variance` at distance zero.
    ///
    /// # Errors
    /// [`KernelError::Value`] when the variance is not in [`VARIANCE_MIN`]`..=`[`VARIANCE_MAX`] (or is NaN).
    pub fn new(kind: CovarianceKind, variance: f64) -> Result<Self, KernelError> {
        if (VARIANCE_MIN..=VARIANCE_MAX).contains(&variance) {
            Ok(Self { kind, variance })
        } else {
            Err(KernelError::Value { what: "variance", at: 0 })
        }
    }

    /// The shape.
    pub const fn kind(self) -> CovarianceKind {
        self.kind
    }

    /// The variance.
    pub const fn variance(self) -> f64 {
        self.variance
    }

    /// The same shape with variance 1.
    #[must_use]
    pub const fn unit(self) -> Self {
        Self { kind: self.kind, variance: 1.0 }
    }

    /// The published formula: the covariance at a squared scaled distance, which must not be negative.
    #[inline]
    pub fn exact(self, sq_dist: f64) -> f64 {
        self.variance * covariance_exact(self.kind, sq_dist)
    }

    /// Bound on the difference between a lane kernel of element `T` and the published formula, for points of `dim`
    /// scaled coordinates each of which is within `offset` (Euclidean) of the `f64` point that the formula sees: 0 for
    /// `f64`, at most `T::ROUNDOFF` times the largest norm for coordinates that were rounded. Derived in the
    /// [module](self).
    pub fn margin<T: Exponential>(self, dim: usize, offset: f64) -> f64 {
        let roundings = dim.saturating_add(3);
        let (narrow, wide) = (gamma(roundings, T::ROUNDOFF), gamma(roundings, f64::ROUNDOFF));
        let formula = 16.0 * (T::ROUNDOFF + f64::ROUNDOFF);
        if narrow > 1.0 / 256.0 {
            return self.variance * (1.0 + formula);
        }
        let underflow = libm::sqrt(dim as f64 * T::TINY);
        self.variance * (formula + 0.37 * (narrow + wide) + 2.0 * (offset + underflow)).min(1.0 + formula)
    }
}

/// The published formula with variance 1: the covariance of a `kind` at a squared scaled distance `>= 0`.
///
/// Every operation is written in the [module](self); the result lies in `[0, 1]` up to two units in the last place.
#[inline]
pub fn covariance_exact(kind: CovarianceKind, sq_dist: f64) -> f64 {
    let scaled = |factor: f64| (factor * libm::sqrt(sq_dist)).min(SCALED_MAX);
    match kind {
        CovarianceKind::Rbf => libm::exp(-0.5 * sq_dist),
        CovarianceKind::Matern12 => libm::exp(-scaled(1.0)),
        CovarianceKind::Matern32 => {
            let a = scaled(SQRT_3);
            (1.0 + a) * libm::exp(-a)
        }
        CovarianceKind::Matern52 => {
            let a = scaled(SQRT_5);
            ((1.0 + a) + a * a / 3.0) * libm::exp(-a)
        }
    }
}

/// Coordinates over lengthscales, one per dimension (automatic relevance determination): `out[i][d] = rows[i][d] / lengthscales[d]`.
///
/// | argument | shape | unit |
/// | --- | --- | --- |
/// | `rows` | `[len][dim]`, finite | coordinates |
/// | `lengthscales` | `[dim]`, each positive and finite; the same number in all of them where there is one | coordinates |
/// | `out` | `[len][dim]`, overwritten | lengthscales |
///
/// Rows of `f32` are widened, which is exact, and divided in `f64`. Into `f64` that is the `z` of the published formula; into
/// `f32` it is rounded once more, which is what `offset` of [`Covariance::margin`] stands for.
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Value`] naming `lengthscales` at the first that is not
/// positive or not finite; `out` is then untouched.
///
/// # Accuracy
/// The nearest `f64` to each quotient, and of it the nearest `U`: the same bits on every tier, for nothing is fused and no
/// reciprocal is taken. A quotient beyond the range becomes infinite.
///
/// # Cost
/// One division per coordinate, in vectors; of a few rows, up to twice as many.
pub fn scale_rows<T: Real, U: Real>(
    tier: Tier,
    rows: Rows<'_, T>,
    lengthscales: &[f64],
    out: &mut [U],
) -> Result<(), KernelError> {
    struct Body<'a, T, U>(&'a [T], &'a [f64], &'a mut [U]);
    impl<T: Real, U: Real> OnLanes for Body<'_, T, U> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            lanes::scale_rows::<T, U, L>(self.0, self.1, self.2);
        }
    }
    want("lengthscales", rows.dim(), lengthscales.len())?;
    want("out", rows.data().len(), out.len())?;
    let fits = |length: &f64| length.is_finite() && *length > 0.0;
    if let Some(at) = lengthscales.iter().position(|length| !fits(length)) {
        return Err(KernelError::Value { what: "lengthscales", at });
    }
    tier.run(Body(rows.data(), lengthscales, out));
    Ok(())
}

/// Exponentials of numbers that are not positive: `out[i] = exp(x[i])`.
///
/// | argument | shape |
/// | --- | --- |
/// | `x` | `[n]`, each `<= 0`, minus infinity allowed; a positive number or NaN gives an unspecified number |
/// | `out` | `[n]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when the lengths differ; `out` is then untouched.
///
/// # Accuracy
/// Relative error at most [`EXP_ERROR`] roundoffs of `T` above [`Exponential::FLOOR`], zero at and below it (derived
/// there). With [`Rounding::Published`] the bits are the same on every tier.
///
/// # Cost
/// 13 (`f64`) or 7 (`f32`) multiply-adds and about ten more operations per vector.
pub fn exponentials<T: Exponential>(tier: Tier, rounding: Rounding, x: &[T], out: &mut [T]) -> Result<(), KernelError> {
    struct Body<'a, T>(Rounding, &'a [T], &'a mut [T]);
    impl<T: Exponential> OnLanes for Body<'_, T> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            match self.0 {
                Rounding::Published => lanes::exponentials::<T, L, true>(self.1, self.2),
                Rounding::Fused => lanes::exponentials::<T, L, false>(self.1, self.2),
            }
        }
    }
    want("out", x.len(), out.len())?;
    tier.run(Body(rounding, x, out));
    Ok(())
}

/// Covariances at squared scaled distances: `out[i] = K(squares[i])`.
///
/// | argument | shape | unit |
/// | --- | --- | --- |
/// | `squares` | `[n]`, each `>= 0`, infinity allowed; a negative number or NaN gives an unspecified number | lengthscales squared |
/// | `out` | `[n]`, overwritten | variance |
///
/// # Errors
/// [`KernelError::Shape`] when the lengths differ, [`KernelError::Value`] when the variance is no ordinary number of
/// `T`; `out` is then untouched.
///
/// # Accuracy
/// Within [`Covariance::margin`]`(0, 0)` of the published formula at the same squares. With [`Rounding::Published`]
/// (here: no operation is fused) the bits are the same on every tier whose square root is correctly rounded.
///
/// # Cost
/// About 25 operations per vector of `f64`, and a square root for the Matern kinds.
pub fn covariances<T: Exponential>(
    tier: Tier,
    covariance: Covariance,
    rounding: Rounding,
    squares: &[T],
    out: &mut [T],
) -> Result<(), KernelError> {
    struct Body<'a, T>(Covariance, Rounding, &'a mut [T]);
    impl<T: Exponential> OnLanes for Body<'_, T> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            let covariance = lanes::LaneCovariance::new(self.0);
            match self.1 {
                Rounding::Published => lanes::replace::<T, L, true>(covariance, self.2),
                Rounding::Fused => lanes::replace::<T, L, false>(covariance, self.2),
            }
        }
    }
    want("out", squares.len(), out.len())?;
    ordinary::<T>(covariance)?;
    out.copy_from_slice(squares);
    tier.run(Body(covariance, rounding, out));
    Ok(())
}

/// Covariances of one point with packed points.
///
/// | argument | shape | unit |
/// | --- | --- | --- |
/// | `query` | `[dim]` | lengthscales |
/// | `points` | packed, `dim` coordinates | lengthscales |
/// | `out` | `[panels][LANES]`, overwritten; the padding lanes hold what the padding points give | variance |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Value`] when the variance is no ordinary number of
/// `T`; `out` is then untouched.
///
/// # Accuracy
/// Within [`Covariance::margin`] of the published formula. With [`Rounding::Published`] (here: no operation is fused) the
/// bits are the same on every tier whose square root is correctly rounded.
///
/// # Cost
/// Two operations per coordinate and about 25 for the shape, per vector.
pub fn one_to_run<T: Exponential>(
    tier: Tier,
    covariance: Covariance,
    rounding: Rounding,
    query: &[T],
    points: Panels<'_, T>,
    out: &mut [T],
) -> Result<(), KernelError> {
    struct Body<'a, T>(Covariance, Rounding, &'a [T], &'a [T], &'a mut [T]);
    impl<T: Exponential> OnLanes for Body<'_, T> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            let covariance = lanes::LaneCovariance::new(self.0);
            match self.1 {
                Rounding::Published => lanes::one_to_run::<T, L, true>(covariance, self.2, self.3, self.4),
                Rounding::Fused => lanes::one_to_run::<T, L, false>(covariance, self.2, self.3, self.4),
            }
        }
    }
    want("query", points.dim(), query.len())?;
    want("out", panels_len::<T>(points.len(), 1), out.len())?;
    ordinary::<T>(covariance)?;
    tier.run(Body(covariance, rounding, query, points.data(), out));
    Ok(())
}

/// Refuses a variance that `T` would round to infinity or to a number with fewer bits.
fn ordinary<T: Exponential>(covariance: Covariance) -> Result<(), KernelError> {
    let fits = (T::TINY..=T::HUGE).contains(&covariance.variance);
    if fits { Ok(()) } else { Err(KernelError::Value { what: "variance", at: 0 }) }
}

#[cfg(test)]
mod tests;
