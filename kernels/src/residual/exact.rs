//! The published formula, and what a threshold on one side of it means on the other.

use crate::covariance::Covariance;
use crate::simd::Real;

/// The residual correlation of two points: `(K - dot) / sqrt(p_i p_j)`, cut to `[-1, 1]`.
///
/// `sq_dist` is the sum of the squared differences of the scaled coordinates and `dot` that of the products of the rows
/// of `V`, each added in its order, unfused. Then, rounded one by one: `K` by [`Covariance::exact`], the difference,
/// `p_i * p_j`, its square root (`libm`), the quotient. Exchanging the two points changes no bit.
#[inline]
pub fn rho_exact(covariance: Covariance, sq_dist: f64, dot: f64, p_i: f64, p_j: f64) -> f64 {
    ((covariance.exact(sq_dist) - dot) / libm::sqrt(p_i * p_j)).clamp(-1.0, 1.0)
}

/// [`rho_exact`] of two points given by their rows: scaled coordinates, and rows of `V` (empty for the prior
/// correlation). Rows of different lengths are read up to the shorter one.
#[inline]
pub fn rho_of_rows(covariance: Covariance, one: PointRow<'_>, other: PointRow<'_>) -> f64 {
    let mut sq_dist = 0.0;
    for (a, b) in one.coordinates.iter().zip(other.coordinates) {
        let difference = a - b;
        sq_dist += difference * difference;
    }
    let mut dot = 0.0;
    for (a, b) in one.v.iter().zip(other.v) {
        dot += a * b;
    }
    rho_exact(covariance, sq_dist, dot, one.p, other.p)
}

/// One point in rows.
#[derive(Clone, Copy, Debug)]
pub struct PointRow<'a> {
    /// Scaled coordinates.
    pub coordinates: &'a [f64],
    /// Row of `V`.
    pub v: &'a [f64],
    /// Residual variance.
    pub p: f64,
}

/// The residual distance `sqrt(1 - |rho|)`, for `rho` in `[-1, 1]`. It never rises with `|rho|`, also after rounding: an
/// upper bound of `|rho|` gives a lower bound of the distance.
#[inline]
pub fn residual_distance(rho: f64) -> f64 {
    libm::sqrt(1.0 - rho.abs())
}

/// A lower bound of [`least_correlation`], within `2^-49` of it, for the price of a product.
///
/// `sqrt(1 - a) <= d` after rounding means `1 - a <= d^2 (1 + 4 u)` to first order, that is `a >= 1 - d^2 - 4 u` for
/// `d <= 1`; forming `1 - d^2` costs `2 u` more, and `8 u` are taken off.
#[inline]
pub fn correlation_floor(distance: f64) -> f64 {
    ((1.0 - distance * distance) - 8.0 * f64::ROUNDOFF).max(0.0)
}

/// The smallest `|rho|` whose reported distance is at most `distance`: [`residual_distance`]`(a) <= distance` exactly for
/// those `a` of `[0, 1]` that are at or above it. Infinite when there is none (a negative distance, or NaN).
///
/// # Cost
/// About a dozen square roots: a bisection over the numbers near `1 - distance^2`.
pub fn least_correlation(distance: f64) -> f64 {
    if distance.is_nan() || distance < 0.0 {
        return f64::INFINITY;
    }
    let (mut low, mut high) = (correlation_floor(distance), 1.0);
    let guess = low + 32.0 * f64::ROUNDOFF;
    if guess < 1.0 && residual_distance(guess) <= distance {
        high = guess;
    }
    if residual_distance(low) <= distance {
        return low; // only 0: the floor is strictly below otherwise
    }
    // Not negative, so their bits are in the order of their values. `low` misses the distance, `high` reaches it.
    while low.to_bits() + 1 < high.to_bits() {
        let middle = f64::from_bits(low.to_bits().midpoint(high.to_bits()));
        if residual_distance(middle) <= distance { high = middle } else { low = middle }
    }
    high
}
