//! Listed pairs: what remains of a leaf after bounds have ruled out most pairs.
//!
//! Where one pair in thirty survives, a register tile computes nearly all of them again. Rows of `V` that lie together in memory
//! make a single pair cheap: both are read forward, 64 bytes at a time.

#![allow(clippy::needless_range_loop, reason = "a counted loop over an array of vectors stays in registers")]

use super::points::depth;
use super::{ResidualCounters, ResidualRows};
use crate::covariance::Exponential;
use crate::covariance::lanes::LaneCovariance;
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::{LANES_F32, Lanes, OnLanes, Tier, Vector};
use crate::view::check_starts;

/// Points whose rows are read in step.
const STEP: usize = 4;

/// Filtered correlations of listed pairs of two leaves.
///
/// | argument | shape |
/// | --- | --- |
/// | `one`, `other` | points of one model |
/// | `starts` | `[points of one + 1]`: where the pairs of each point begin |
/// | `places` | `[pairs]`: which of the points of `other`, point by point of `one`, in any order |
/// | `out` | `[pairs]`, overwritten: the filter `r`, not cut |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Value`] when the models differ or at the first start that
/// does not rise from 0 to the number of pairs, [`KernelError::Key`] for a place that is no point of `other`; nothing is
/// written then.
///
/// # Accuracy
/// `|cut(r_ij) - rho_ij| <= m_i m_j`, as of [`block_to_run`](super::block_to_run): no element of a dot product passes more
/// roundings here than its margin counts. (In `f32` the product, at most 32 sums in its lane, one for each 512 columns, one
/// for what is left of the columns, and 4 when the lanes are added; the margin counts 32 and one for each 32 columns, and
/// sums with zeros are exact where there are fewer.)
///
/// # Cost
/// `columns` multiply-adds per pair at the bandwidth of the cache that holds the rows; the covariances of a vector of pairs
/// at once.
pub fn listed_pairs<T: Exponential>(
    tier: Tier,
    one: &ResidualRows<'_, T>,
    other: &ResidualRows<'_, T>,
    starts: &[Idx],
    places: &[Idx],
    out: &mut [T],
    counters: &mut ResidualCounters,
) -> Result<(), KernelError> {
    struct Body<'a, 'o, T>([&'o ResidualRows<'a, T>; 2], &'o [Idx], &'o [Idx], &'o mut [T]);
    impl<T: Exponential> OnLanes for Body<'_, '_, T> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            let Self([one, other], starts, places, out) = self;
            all_products::<T, L>(one, other, starts, places, out);
            correlate::<T, L>([one, other], starts, places, out);
        }
    }
    if one.model != other.model {
        return Err(KernelError::Value { what: "model", at: 0 });
    }
    want("starts", one.len() + 1, starts.len())?;
    want("out", places.len(), out.len())?;
    check_starts(starts, idx_len(places.len())?)?;
    let limit = idx_len(other.len())?;
    if let Some(place) = places.iter().position(|place| !(0..limit).contains(place)) {
        return Err(KernelError::Key { at: idx_len(place)?, key: places[place], limit });
    }
    // Rows stream from memory; wider registers save nothing that it waits for.
    tier.at_256_bits().run(Body([one, other], starts, places, out));
    counters.filtered += places.len() as u64; // widens
    Ok(())
}

/// The dot products of all pairs.
#[inline(always)]
fn all_products<T: Exponential, L: Lanes>(
    one: &ResidualRows<'_, T>,
    other: &ResidualRows<'_, T>,
    starts: &[Idx],
    places: &[Idx],
    out: &mut [T],
) {
    for (row, range) in starts.windows(2).enumerate() {
        let own = one.row(row);
        let pairs = at(range[0])..at(range[1]);
        for (places, out) in places[pairs.clone()].chunks(STEP).zip(out[pairs].chunks_mut(STEP)) {
            let mut group = [&other.v[..0]; STEP];
            for (row, &place) in group.iter_mut().zip(places) {
                *row = other.row(at(place));
            }
            let [a, b, c, d] = group;
            match places.len() {
                1 => out.copy_from_slice(&products::<T, L, 1>(own, [a])),
                2 => out.copy_from_slice(&products::<T, L, 2>(own, [a, b])),
                3 => out.copy_from_slice(&products::<T, L, 3>(own, [a, b, c])),
                _ => out.copy_from_slice(&products::<T, L, 4>(own, [a, b, c, d])),
            }
        }
    }
}

/// Turns the dot products of all pairs into correlations, a vector of pairs at once.
#[inline(always)]
fn correlate<T: Exponential, L: Lanes>(
    [one, other]: [&ResidualRows<'_, T>; 2],
    starts: &[Idx],
    places: &[Idx],
    out: &mut [T],
) {
    let covariance = LaneCovariance::<T>::new(one.model.covariance());
    let dim = one.model.dim();
    let (mut row, mut pair) = (0, 0);
    for (places, out) in places.chunks(T::LANES).zip(out.chunks_mut(T::LANES)) {
        // A vector of f32 has 16 lanes; padding lanes repeat the last pair.
        let mut lanes = [(0, 0); LANES_F32];
        for (l, lane) in lanes.iter_mut().enumerate().take(T::LANES) {
            if l < places.len() {
                while at(starts[row + 1]) <= pair {
                    row += 1;
                }
                pair += 1;
            }
            *lane = (row, at(places[l.min(places.len() - 1)]));
        }
        let (mut own, mut theirs) = ([T::default(); LANES_F32], [T::default(); LANES_F32]);
        let mut squares = <T::On<L>>::splat(T::default());
        for d in 0..dim {
            for l in 0..T::LANES {
                let (row, place) = lanes[l];
                own[l] = one.coordinates.coordinate(row, d);
                theirs[l] = other.coordinates.coordinate(place, d);
            }
            let difference = <T::On<L>>::load(&own).sub(<T::On<L>>::load(&theirs));
            squares = difference.mul_add(difference, squares);
        }
        for l in 0..T::LANES {
            let (row, place) = lanes[l];
            own[l] = one.scales[row];
            theirs[l] = other.scales[place];
        }
        let scale = <T::On<L>>::load(&own).mul(<T::On<L>>::load(&theirs));
        let [covariances] = covariance.at::<T::On<L>, 1, false>([squares]);
        theirs[..out.len()].copy_from_slice(out);
        covariances.sub(<T::On<L>>::load(&theirs)).mul(scale).store(&mut own);
        out.copy_from_slice(&own[..out.len()]);
    }
}

/// Dot products of a row with `N` others of its length.
#[inline(always)]
fn products<T: Exponential, L: Lanes, const N: usize>(row: &[T], others: [&[T]; N]) -> [T; N] {
    let zero = <T::On<L>>::splat(T::default());
    let whole = row.len() / T::LANES * T::LANES;
    let group = depth::<T>().saturating_mul(T::LANES);
    let mut sums = [zero; N];
    let mut first = 0;
    while first < whole {
        let end = whole.min(first.saturating_add(group));
        let mut partial = [zero; N];
        for place in (first..end).step_by(T::LANES) {
            let values = <T::On<L>>::load(&row[place..]);
            for s in 0..N {
                partial[s] = values.mul_add(<T::On<L>>::load(&others[s][place..]), partial[s]);
            }
        }
        for s in 0..N {
            sums[s] = sums[s].add(partial[s]);
        }
        first = end;
    }
    if whole < row.len() {
        let values = padded::<T, L>(&row[whole..]);
        for s in 0..N {
            sums[s] = values.mul_add(padded::<T, L>(&others[s][whole..]), sums[s]);
        }
    }
    let mut totals = [T::default(); N];
    for s in 0..N {
        let mut lanes = [T::default(); LANES_F32];
        sums[s].store(&mut lanes);
        let mut width = T::LANES;
        while width > 1 {
            width /= 2;
            for l in 0..width {
                lanes[l] = lanes[l] + lanes[l + width];
            }
        }
        totals[s] = lanes[0];
    }
    totals
}

/// A vector that begins with a few elements, then zeros.
#[inline(always)]
fn padded<T: Exponential, L: Lanes>(elements: &[T]) -> T::On<L> {
    let mut all = [T::default(); LANES_F32];
    all[..elements.len()].copy_from_slice(elements);
    <T::On<L>>::load(&all)
}
