//! The plain twins.

use super::{Frame, FramePoints, FrameQueries};
use crate::simd::Real;

/// Twin of the substitution of [`project`](super::project): coordinates of one point from its correlations with the
/// landmarks.
pub fn project_one(frame: &Frame, factor: &[f64], rho: &[f64], coordinates: &mut [f64]) {
    for i in 0..frame.count() {
        let mut sum = rho[i];
        for j in 0..i {
            sum -= factor[i * frame.stride() + j] * coordinates[j];
        }
        coordinates[i] = sum / factor[i * frame.stride() + i];
    }
}

/// Twin of [`bounds`](super::bounds), in `f64`, for one pair.
pub fn bound<T: Real>(queries: &FrameQueries<'_, T>, query: usize, points: &FramePoints<'_, T>, point: usize) -> f64 {
    let place = |i: usize, k: usize| (i / T::LANES * points.count() + k) * T::LANES + i % T::LANES;
    let mut dot = 0.0;
    for k in 0..points.count() {
        dot += queries.coordinates[place(query, k)].to_f64() * points.coordinates[place(point, k)].to_f64();
    }
    let spans = queries.spans.map_or(0.0, |spans| spans[query].to_f64() * points.spans[point].to_f64());
    let tails = queries.tails[query].to_f64() * points.tails[point].to_f64();
    dot.abs() + tails + spans + queries.slacks[query].to_f64() + points.slacks[point].to_f64()
}
