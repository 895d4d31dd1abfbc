//! The plain twins.

use super::{BetweenSide, CrossTable, Frame, FramePoints, FrameQueries};
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

/// Twin of [`bounds_between`](super::bounds_between), in `f64`, for one pair, without what covers roundings.
pub fn bound_between<T: Real>(
    rows: &BetweenSide<'_>,
    row: usize,
    columns: &BetweenSide<'_>,
    column: usize,
    table: CrossTable<'_, T>,
) -> f64 {
    let mut product = 0.0;
    for s in 0..rows.members.count() {
        for t in 0..columns.members.count() {
            let weights = f64::from(rows.members.weight(row, s)) * f64::from(columns.members.weight(column, t));
            product += weights * table.rho[s * table.stride + t].to_f64();
        }
    }
    let extent = |side: &BetweenSide<'_>, member: usize| {
        let [_, span, tail] = side.members.extent(member).map(f64::from);
        (span, tail, f64::from(side.errors[member]))
    };
    let ((span, tail, error), (other_span, other_tail, other_error)) = (extent(rows, row), extent(columns, column));
    product.abs() + error * other_error + span * other_tail + tail * (other_span + other_tail)
}
