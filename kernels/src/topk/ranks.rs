//! The order of a few distances, by counting.

use crate::simd::{Lanes, Real, Vector};

/// Most distances that are put in order at once.
pub(crate) const RANKED_MAX: usize = 256;

/// Writes which of the distances comes first, second, and so on; returns whether they are in order: not where two are equal
/// or one is no number.
///
/// Of `distances` the first `len` count, at most [`RANKED_MAX`]; what stands behind them up to a whole panel is overwritten.
///
/// For each distance those that are smaller are counted, a panel at a time: there is no branch to mispredict, and up to a
/// hundred or so that costs less than any sort.
#[inline(always)]
pub(crate) fn ascending<L: Lanes>(distances: &mut [f64], len: usize, order: &mut [u8; RANKED_MAX]) -> bool {
    let padded = len.next_multiple_of(f64::LANES);
    distances[len..padded].fill(f64::INFINITY);
    let distances = &distances[..padded];
    let mut pairs = 0;
    for place in 0..len {
        let distance = <L::F64 as Vector>::splat(distances[place]);
        let mut rank = 0;
        for others in distances.chunks_exact(f64::LANES) {
            rank += <L::F64 as Vector>::load(others).lt(distance).count_ones() as usize;
        }
        order[rank] = place as u8; // there are at most as many as a byte counts
        pairs += rank;
    }
    // Of all pairs of two, one is smaller.
    pairs == len * len.saturating_sub(1) / 2
}
