//! The published formulas of the metrics of directions, from raw input, one pair at a time.

use std::f64::consts::{FRAC_PI_2, PI};
use std::vec::Vec;

/// The unit vector of a row that is not zero.
fn unit(row: &[f64]) -> Vec<f64> {
    let largest = row.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let exponent = libm::ilogb(largest);
    let scaled: Vec<f64> = row.iter().map(|value| libm::ldexp(*value, -exponent)).collect();
    let norm = libm::sqrt(scaled.iter().fold(0.0, |sum, value| sum + value * value));
    scaled.iter().map(|value| value / norm).collect()
}

/// The angle between two rows.
pub fn angular(a: &[f64], b: &[f64]) -> f64 {
    let (u, v) = (unit(a), unit(b));
    let minus = u.iter().zip(&v).fold(0.0, |sum, (u, v)| sum + (u - v) * (u - v));
    let plus = u.iter().zip(&v).fold(0.0, |sum, (u, v)| sum + (u + v) * (u + v));
    2.0 * libm::atan2(libm::sqrt(minus), libm::sqrt(plus))
}

/// Longitude, latitude and the cosine of the latitude, from longitude and latitude in degrees.
fn place(lon: f64, lat: f64) -> (f64, f64, f64) {
    let mut turned = libm::fmod(lon, 360.0);
    // Whole turns are taken off without rounding, for both numbers are below 360 and within a factor of two.
    if turned > 180.0 {
        turned -= 360.0;
    } else if turned <= -180.0 {
        turned += 360.0;
    }
    let phi = lat * (PI / 180.0);
    let at_pole = lat == 90.0 || lat == -90.0;
    let (phi, cosine) = if at_pole { (FRAC_PI_2 * lat / 90.0, 0.0) } else { (phi, libm::cos(phi)) };
    (turned * (PI / 180.0), phi, cosine)
}

/// The great-circle distance between two places, each `[longitude, latitude]` in degrees.
pub fn haversine(a: [f64; 2], b: [f64; 2]) -> f64 {
    let ((lambda_a, phi_a, cosine_a), (lambda_b, phi_b, cosine_b)) = (place(a[0], a[1]), place(b[0], b[1]));
    let along = libm::sin((phi_a - phi_b).abs() * 0.5);
    let across = libm::sin((lambda_a - lambda_b).abs() * 0.5);
    let square = along * along + (cosine_a * cosine_b) * (across * across);
    2.0 * libm::asin(libm::sqrt(square.min(1.0)))
}
