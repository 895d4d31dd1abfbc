//! Covariances as a textbook writes them, with the functions of std.

use std::vec::Vec;

use super::double::Double;
use crate::covariance::{Covariance, CovarianceKind};

/// The covariance of two points of scaled coordinates.
pub fn between(covariance: Covariance, one: &[f64], other: &[f64]) -> f64 {
    let squares: Vec<f64> = one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).collect();
    let r = squares.iter().sum::<f64>().sqrt();
    let shape = match covariance.kind() {
        CovarianceKind::Rbf => (-(r * r) / 2.0).exp(),
        CovarianceKind::Matern12 => (-r).exp(),
        CovarianceKind::Matern32 => (1.0 + 3f64.sqrt() * r) * (-3f64.sqrt() * r).exp(),
        CovarianceKind::Matern52 => (1.0 + 5f64.sqrt() * r + 5.0 * r * r / 3.0) * (-5f64.sqrt() * r).exp(),
    };
    covariance.variance() * shape
}

/// Coordinates over their lengthscales, in twice the precision.
pub fn scaled(rows: &[f64], lengthscales: &[f64]) -> Vec<Double> {
    let scaled = |(place, &x): (usize, &f64)| Double::from(x) / Double::from(lengthscales[place % lengthscales.len()]);
    rows.iter().enumerate().map(scaled).collect()
}

/// The covariance in twice the precision.
pub fn between_double(covariance: Covariance, one: &[f64], other: &[f64]) -> Double {
    let apart = one.iter().zip(other).map(|(&a, &b)| Double::from(a) - Double::from(b));
    of_square_double(covariance, apart.map(|difference| difference * difference).sum())
}

/// The covariance of points whose squared scaled distance is given, in twice the precision.
pub fn of_square_double(covariance: Covariance, square: Double) -> Double {
    let number = |value: f64| Double::from(value);
    let scaled = |factor: f64| (square * number(factor)).sqrt();
    let shape = match covariance.kind() {
        CovarianceKind::Rbf => (-square / number(2.0)).exp(),
        CovarianceKind::Matern12 => (-scaled(1.0)).exp(),
        CovarianceKind::Matern32 => (number(1.0) + scaled(3.0)) * (-scaled(3.0)).exp(),
        CovarianceKind::Matern52 => {
            (number(1.0) + scaled(5.0) + number(5.0) * square / number(3.0)) * (-scaled(5.0)).exp()
        }
    };
    number(covariance.variance()) * shape
}
