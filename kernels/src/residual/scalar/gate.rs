//! Gates, in `f32` as the lanes compute them.

use crate::dist::{self, SquaredEuclidean};
use crate::residual::{Counting, GatePairs, gate_square};
use crate::simd::{LANES_F32, LANES_F64};
use crate::view::Panels;

/// Twin of [`gate_run`](super::super::gate_run).
pub fn gate_run(threshold: f64, query: &[f32], features: Panels<'_, f32>, squares: &mut [f32], masks: &mut [u32]) {
    dist::scalar::one_to_run(SquaredEuclidean, query, features.data(), squares);
    masks.fill(0);
    for (place, square) in squares.iter().enumerate().take(features.len()) {
        masks[place / LANES_F32] |= u32::from(*square <= gate_square(threshold)) << (place % LANES_F32);
    }
}

/// Twin of [`gate_block`](super::super::gate_block).
pub fn gate_block(pairs: &GatePairs<'_>, counting: Counting, masks: &mut [u32]) -> u64 {
    let (features, mut passed) = (pairs.features, 0);
    let asked = |one: f64, other: f64| counting != Counting::Earlier || other < one;
    masks.fill(0);
    for row in 0..pairs.queries.len() {
        for column in 0..features.len() {
            let square = pairs.queries.row(row).iter().enumerate().fold(0.0, |sum: f32, (d, z)| {
                let difference = z - features.coordinate(column, d);
                sum + difference * difference
            });
            let (own, theirs) = (pairs.rows.ranks[row], pairs.columns.ranks[column]);
            let by_row = square <= pairs.rows.squares[row] && asked(own, theirs);
            let by_column = square <= pairs.columns.squares[column] && asked(theirs, own);
            if by_row || by_column {
                masks[row * features.len().div_ceil(LANES_F64) + column / LANES_F64] |= 1 << (column % LANES_F64);
                passed += 1;
            }
        }
    }
    passed
}
