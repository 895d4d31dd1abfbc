//! The order of a few distances, by counting.

use crate::simd::{Lanes, Real, Vector};

/// Most distances that are put in order at once.
pub(crate) const RANKED_MAX: usize = 256;

/// Writes which of the distances comes first, second, and so on, of equal ones the one that stands in front; returns whether
/// that is an order: not where one is no number.
///
/// Of `distances` the first `len` count, at most [`RANKED_MAX`]; what stands behind them up to a whole panel is overwritten.
///
/// For each distance those that come before it are counted, a panel at a time: there is no branch to mispredict, and up to a
/// hundred or so that costs less than any sort.
#[inline(always)]
pub(crate) fn ascending<L: Lanes>(distances: &mut [f64], len: usize, order: &mut [u8; RANKED_MAX]) -> bool {
    let padded = len.next_multiple_of(f64::LANES);
    distances[len..padded].fill(f64::INFINITY);
    let distances = &distances[..padded];
    let mut pairs = 0;
    for place in 0..len {
        let distance = <L::F64 as Vector>::splat(distances[place]);
        let (in_front, behind) = distances.split_at(place / f64::LANES * f64::LANES);
        let (own, behind) = behind.split_at(f64::LANES);
        let below = (1 << (place % f64::LANES)) - 1;
        let own = <L::F64 as Vector>::load(own);
        let mut rank = (own.lt(distance) | own.le(distance) & below).count_ones();
        for others in in_front.chunks_exact(f64::LANES) {
            rank += <L::F64 as Vector>::load(others).le(distance).count_ones();
        }
        for others in behind.chunks_exact(f64::LANES) {
            rank += <L::F64 as Vector>::load(others).lt(distance).count_ones();
        }
        order[rank as usize] = place as u8; // there are at most as many as a byte counts
        pairs += rank as usize;
    }
    // Of all pairs of two, one comes before the other.
    pairs == len * len.saturating_sub(1) / 2
}
