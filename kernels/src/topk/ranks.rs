//! The order of a few distances, by counting.

use super::KBest;
use crate::simd::{Lanes, OnLanes, Real, Vector};

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

/// Most pairs that a selection puts in order by counting: beyond these a heap costs as little.
pub(super) const COUNTED_MAX: usize = 96;

/// Puts the pairs of a selection in order, at most [`COUNTED_MAX`] of them.
pub(super) struct Counted<'x, 'a>(pub &'x mut KBest<'a>);

impl OnLanes for Counted<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let KBest { distances, ids, len, .. } = self.0;
        let (distances, ids) = (&mut distances[..*len], &mut ids[..*len]);
        let (mut held, mut held_ids, mut order) = ([0.0; COUNTED_MAX], [0; COUNTED_MAX], [0; RANKED_MAX]);
        held[..*len].copy_from_slice(distances);
        held_ids[..*len].copy_from_slice(ids);
        if !ascending::<L>(&mut held, *len, &mut order) {
            return; // not as long as no NaN is kept
        }
        for ((distance, id), &from) in distances.iter_mut().zip(ids.iter_mut()).zip(&order) {
            (*distance, *id) = (held[usize::from(from)], held_ids[usize::from(from)]);
        }
        // Of equal distances the one that stood in front comes first so far, not the one with the lower id.
        for place in 1..*len {
            let mut at = place;
            while at > 0 && distances[at] == distances[at - 1] && ids[at] < ids[at - 1] {
                distances.swap(at, at - 1); // zeros have signs
                ids.swap(at, at - 1);
                at -= 1;
            }
        }
        self.0.ascending = true;
    }
}
