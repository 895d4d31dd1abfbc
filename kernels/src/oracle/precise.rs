//! Residual distances in twice the precision, from points and parameters on, with a factorisation of their own; and how far
//! answers in `f64` can be from them.
//!
//! # How far `f64` can be trusted
//! [`Precise::p_tolerance`] and [`Precise::tolerance`] are the bounds that the page of [residual
//! correlations](crate::residual#how-far-f64-can-be-trusted) derives; `phi`, `eta` and `theta` are named as there.
//!
//! The same holds for the numbers of this oracle with a `u` that is `2^-50` times as large, so that their own errors are lost in
//! the rounding of the bound.

use std::vec::Vec;

use super::covariance::of_square_double;
use super::double::Double;
use crate::covariance::Covariance;
use crate::dist::form::gamma;
use crate::residual::P_FLOOR;
use crate::simd::Real;

/// Above this relative error of a residual variance nothing is claimed about its point.
const THETA_MAX: f64 = 0.01;

/// What a residual metric is made from, besides points.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    /// The covariance of scaled points.
    pub covariance: Covariance,
    /// One lengthscale for all coordinates, or one for each.
    pub lengthscales: &'a [f64],
    /// What `K_ii` has on top.
    pub nugget: f64,
    /// What `K_UU` gets on its diagonal, in units of the variance.
    pub jitter: f64,
}

/// A residual metric in twice the precision.
#[derive(Clone, Debug)]
pub struct Precise {
    covariance: Covariance,
    points: Vec<Vec<Double>>,
    v: Vec<Vec<Double>>,
    p: Vec<Double>,
    errors: Vec<f64>,
}

impl Precise {
    /// The metric of points with inducing points, both row-major and not scaled.
    ///
    /// # Panics
    /// When the covariance of the inducing points is not positive definite even in twice the precision.
    pub fn new(parameters: Parameters<'_>, dim: usize, points: &[f64], inducing: &[f64]) -> Self {
        let (covariance, variance) = (parameters.covariance, parameters.covariance.variance());
        let scaled = |rows: &[f64]| -> Vec<Vec<Double>> {
            let length = |d: usize| Double::from(parameters.lengthscales[d % parameters.lengthscales.len()]);
            let row = |row: &[f64]| row.iter().enumerate().map(|(d, &x)| Double::from(x) / length(d)).collect();
            rows.chunks(dim).map(row).collect()
        };
        let (points, inducing) = (scaled(points), scaled(inducing));
        let ridge = Double::from(parameters.jitter) * Double::from(variance);
        let factor = factor(covariance, &inducing, ridge);
        let diagonal = Double::from(variance) + Double::from(parameters.nugget);
        let phi = element_error(&parameters, dim, &points, &inducing);
        let (mut v, mut p, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for point in &points {
            let row = forward(&factor, inducing.iter().map(|other| between(covariance, point, other)));
            let left = diagonal - row.iter().map(|&v| v * v).sum();
            let floor = diagonal * Double::from(P_FLOOR);
            p.push(if left > floor { left } else { floor });
            let weights: f64 = backward(&factor, &row).iter().map(|weight| weight.high.abs()).sum();
            errors.push(phi.sqrt() * (core::f64::consts::SQRT_2 + weights) * (1.0 + 1e-6));
            v.push(row);
        }
        Self { covariance, points, v, p, errors }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.p.len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.p.is_empty()
    }

    /// The residual variance of a point.
    pub fn p(&self, i: usize) -> Double {
        self.p[i]
    }

    /// How far a residual variance in `f64` can be from it.
    pub fn p_tolerance(&self, i: usize) -> f64 {
        self.errors[i] * self.errors[i]
    }

    /// The distance of two different points.
    pub fn distance(&self, i: usize, j: usize) -> Double {
        let explained: Double = self.v[i].iter().zip(&self.v[j]).map(|(&a, &b)| a * b).sum();
        let left = between(self.covariance, &self.points[i], &self.points[j]) - explained;
        let rho = left / (self.p[i] * self.p[j]).sqrt();
        let apart = Double::from(1.0) - if rho.high < 0.0 { -rho } else { rho };
        apart.sqrt() // 0 for correlations beyond 1
    }

    /// How far a distance in `f64` can be from this one of two points.
    pub fn tolerance(&self, i: usize, j: usize, distance: Double) -> f64 {
        let theta = |i: usize| self.errors[i] * self.errors[i] / self.p[i].high;
        let (one, other) = (theta(i), theta(j));
        let error = if one.max(other) <= THETA_MAX {
            // `c - 1` and the product, without cancellation.
            let grown = (-0.5 * ((-one).ln_1p() + (-other).ln_1p())).exp_m1();
            grown + (one * other).sqrt() * (1.0 + grown) + 8.0 * f64::ROUNDOFF
        } else {
            1.0
        };
        (error / distance.high).min(error.sqrt()) + 2.0 * f64::ROUNDOFF
    }
}

/// The covariance of two scaled points.
fn between(covariance: Covariance, one: &[Double], other: &[Double]) -> Double {
    let apart = one.iter().zip(other).map(|(&a, &b)| a - b);
    of_square_double(covariance, apart.map(|difference| difference * difference).sum())
}

/// `phi (1 + eta)` of the [module](self).
fn element_error(parameters: &Parameters<'_>, dim: usize, points: &[Vec<Double>], inducing: &[Vec<Double>]) -> f64 {
    let (variance, u, columns) = (parameters.covariance.variance(), f64::ROUNDOFF, inducing.len());
    let norm = |row: &Vec<Double>| row.iter().map(|z| z.high * z.high).sum::<f64>().sqrt();
    let radius = points.iter().chain(inducing).map(norm).fold(0.0, f64::max);
    let covariances = variance * (16.0 * u + 0.37 * gamma(dim + 3, u) + 2.0 * u * radius);
    let diagonal = variance + parameters.nugget;
    let phi = covariances + 1.03 * gamma(columns + 8, u) * (1.0 + parameters.jitter) * diagonal;
    let eta = 2.0 * columns as f64 * phi / (parameters.jitter * variance);
    if columns == 0 {
        phi
    } else if eta <= 1.0 {
        phi * (1.0 + eta)
    } else {
        f64::INFINITY
    }
}

/// The rows of `L` in `L L' = K_UU + ridge I`.
fn factor(covariance: Covariance, inducing: &[Vec<Double>], ridge: Double) -> Vec<Vec<Double>> {
    let mut factor: Vec<Vec<Double>> = Vec::new();
    for (i, point) in inducing.iter().enumerate() {
        let others = inducing[..i].iter().map(|other| between(covariance, point, other));
        let mut row = forward(&factor, others);
        let left = between(covariance, point, point) + ridge - row.iter().map(|&v| v * v).sum();
        assert!(left.high > 0.0, "the covariance of the inducing points is not positive definite");
        row.push(left.sqrt());
        factor.push(row);
    }
    factor
}

/// The solution of `L x = right`.
fn forward(factor: &[Vec<Double>], right: impl Iterator<Item = Double>) -> Vec<Double> {
    let mut solution: Vec<Double> = Vec::new();
    for (row, right) in factor.iter().zip(right) {
        let known = row.iter().zip(&solution).map(|(&l, &x)| l * x).sum();
        solution.push((right - known) / row[solution.len()]);
    }
    solution
}

/// The solution of `L' x = right`.
fn backward(factor: &[Vec<Double>], right: &[Double]) -> Vec<Double> {
    let mut solution = right.to_vec();
    for i in (0..right.len()).rev() {
        let known = (i + 1..right.len()).map(|m| factor[m][i] * solution[m]).sum();
        solution[i] = (right[i] - known) / factor[i][i];
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::covariance::CovarianceKind;
    use crate::oracle::residual::Residual;
    use crate::residual::{PointRow, residual_distance, rho_of_rows};
    use crate::trials;

    /// A metric made in `f64` as a textbook does it is within the tolerances, of which the errors are no vanishing part.
    #[test]
    fn what_double_precision_gives_is_within_the_tolerance() {
        for (kind, jitter, nugget) in trials::thin(
            3,
            [
                (CovarianceKind::Rbf, 1e-6, 0.0),
                (CovarianceKind::Rbf, 1e-3, 0.5),
                (CovarianceKind::Matern12, 1e-6, 0.0),
                (CovarianceKind::Matern32, 1e-9, 0.0),
                (CovarianceKind::Matern52, 1e-6, 0.0),
            ],
        ) {
            let (len, columns) = (trials::up_to(80usize), trials::up_to(25usize) / 2 * 2);
            let points: Vec<f64> = (0..2 * len).map(|i| (i * 7919 % 1009) as f64 / 400.0).collect();
            let covariance = Covariance::new(kind, 2.0).unwrap();
            let inducing: Vec<usize> = (0..columns).map(|i| 3 * i % len).collect();
            let metric = Residual::new(covariance, &points, 2, &inducing, jitter, nugget);
            let parameters = Parameters { covariance, lengthscales: &[1.0], nugget, jitter };
            let inducing: Vec<f64> = inducing.iter().flat_map(|&i| points[2 * i..2 * i + 2].to_vec()).collect();
            let precise = Precise::new(parameters, 2, &points, &inducing);
            let row = |i: usize| PointRow { coordinates: metric.point(i), v: metric.row(i), p: metric.p[i] };
            let mut worst = 0.0f64;
            for i in 0..len {
                let off = (Double::from(metric.p[i]) - precise.p(i)).high.abs();
                assert!(off <= precise.p_tolerance(i), "{kind:?} {i}: p is off by {off:e}");
                for j in 0..i {
                    let (got, want) =
                        (residual_distance(rho_of_rows(covariance, row(i), row(j))), precise.distance(i, j));
                    let (off, tolerance) = ((Double::from(got) - want).high.abs(), precise.tolerance(i, j, want));
                    assert!(off <= tolerance, "{kind:?} {i} {j}: {got} is off by {off:e}, more than {tolerance:e}");
                    worst = worst.max(off / tolerance);
                }
            }
            assert!(worst > 1e-5, "{kind:?}: a bound that is never near the truth was not tested: {worst:e}");
        }
    }

    /// Points that are easy: two inducing points far apart, where all is known in closed form.
    #[test]
    fn distances_are_those_of_a_closed_form() {
        let covariance = Covariance::new(CovarianceKind::Matern12, 1.0).unwrap();
        let parameters = Parameters { covariance, lengthscales: &[2.0], nugget: 0.0, jitter: 1e-3 };
        // At 0 and 2 of the inducing point at 0: k = 1 and 1/e.
        let precise = Precise::new(parameters, 1, &[0.0, 2.0], &[0.0]);
        let (one, e) = (Double::from(1.0), Double::from(-1.0).exp());
        let ridge = one + Double::from(1e-3);
        let p = [one - one / ridge, one - e * e / ridge];
        let rho = (e - e / ridge) / (p[0] * p[1]).sqrt();
        let want = (one - rho).sqrt();
        assert!((precise.distance(0, 1) - want).high.abs() < 1e-28);
        assert!((precise.p(1) - p[1]).high.abs() < 1e-30 && precise.len() == 2 && !precise.is_empty());
    }
}
