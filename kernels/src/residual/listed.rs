//! One point against a list: what remains of a leaf after bounds have ruled out most pairs.
//!
//! Where one pair in thirty survives, a register tile computes nearly all of them again. Rows of `V` that lie together in memory
//! make a single pair cheap: both are read forward, 64 bytes at a time.

#![allow(clippy::needless_range_loop, reason = "a counted loop over an array of vectors stays in registers")]

use super::points::depth;
use super::{ResidualCounters, ResidualQuery, ResidualRun, check_query};
use crate::covariance::Exponential;
use crate::covariance::lanes::LaneCovariance;
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::{LANES_F32, Lanes, OnLanes, Real, Tier, Vector};
use crate::view::panels_len;

/// Points whose rows are read in step.
const STEP: usize = 4;

/// Unpacks rows: panels `[columns][LANES]` become rows of `columns` elements, one after the other.
///
/// | argument | shape |
/// | --- | --- |
/// | `panels` | packed, `len` points of `columns` columns |
/// | `rows` | `[len][columns]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; `rows` is then untouched.
///
/// # Cost
/// Reads and writes each element once.
pub fn unpack_rows<T: Real>(panels: &[T], columns: usize, rows: &mut [T]) -> Result<(), KernelError> {
    let len = rows.len().checked_div(columns).unwrap_or(0);
    want("rows", len * columns, rows.len())?;
    want("panels", panels_len::<T>(len, columns), panels.len())?;
    if columns > 0 {
        let each = panels.chunks_exact(columns * T::LANES).zip(rows.chunks_mut(columns * T::LANES));
        for (panel, rows) in each {
            for (lane, row) in rows.chunks_exact_mut(columns).enumerate() {
                for (out, values) in row.iter_mut().zip(panel.chunks_exact(T::LANES)) {
                    *out = values[lane];
                }
            }
        }
    }
    Ok(())
}

/// Filtered correlations of one point with listed points of a run.
///
/// | argument | shape |
/// | --- | --- |
/// | `query` | rows of the points' model |
/// | `points` | a run: coordinates and scales are read |
/// | `rows` | `[points of the run][columns]`: their rows of `V`, as [`unpack_rows`] makes them |
/// | `places` | the points wanted: places in the run, in any order |
/// | `out` | as `places`, overwritten: the filter `r`, not cut |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Key`] for a place outside the run; nothing is written
/// then.
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
pub fn one_to_listed<T: Exponential>(
    tier: Tier,
    query: &ResidualQuery<'_, T>,
    points: &ResidualRun<'_, T>,
    rows: &[T],
    places: &[Idx],
    out: &mut [T],
    counters: &mut ResidualCounters,
) -> Result<(), KernelError> {
    struct Body<'a, 'o, T>(&'o ResidualQuery<'a, T>, &'o ResidualRun<'a, T>, &'o [T], &'o [Idx], &'o mut [T]);
    impl<T: Exponential> OnLanes for Body<'_, '_, T> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            listed::<T, L>(self.0, self.1, self.2, self.3, self.4);
        }
    }
    check_query(query, points)?;
    want("rows", points.len() * points.points.model.columns(), rows.len())?;
    want("out", places.len(), out.len())?;
    let limit = idx_len(points.len())?;
    if let Some(place) = places.iter().position(|place| !(0..limit).contains(place)) {
        return Err(KernelError::Key { at: idx_len(place)?, key: places[place], limit });
    }
    tier.run(Body(query, points, rows, places, out));
    counters.filtered += places.len() as u64; // widens
    Ok(())
}

#[inline(always)]
fn listed<T: Exponential, L: Lanes>(
    query: &ResidualQuery<'_, T>,
    run: &ResidualRun<'_, T>,
    rows: &[T],
    places: &[Idx],
    out: &mut [T],
) {
    let covariance = LaneCovariance::<T>::new(run.points.model.covariance());
    let columns = query.v.len();
    for (places, out) in places.chunks(T::LANES).zip(out.chunks_mut(T::LANES)) {
        // A vector of f32 has 16 lanes; padding lanes repeat the last place.
        let (mut dots, mut values) = ([T::default(); LANES_F32], [T::default(); LANES_F32]);
        for first in (0..places.len()).step_by(STEP) {
            let mut group = [&rows[..0]; STEP];
            for s in 0..STEP {
                let place = at(places[(first + s).min(places.len() - 1)]);
                group[s] = &rows[place * columns..(place + 1) * columns];
            }
            dots[first..first + STEP].copy_from_slice(&products::<T, L>(query.v, group));
        }
        let mut squares = <T::On<L>>::splat(T::default());
        for (d, &coordinate) in query.coordinates.iter().enumerate() {
            for l in 0..T::LANES {
                let place = at(places[l.min(places.len() - 1)]);
                values[l] = run.coordinates(place / T::LANES)[d * T::LANES + place % T::LANES];
            }
            let difference = <T::On<L>>::load(&values).sub(<T::On<L>>::splat(coordinate));
            squares = difference.mul_add(difference, squares);
        }
        for l in 0..T::LANES {
            let place = at(places[l.min(places.len() - 1)]);
            values[l] = run.scales_and_margins(place / T::LANES).0[place % T::LANES];
        }
        let scale = <T::On<L>>::load(&values).mul(<T::On<L>>::splat(query.scale));
        let [covariances] = covariance.at::<T::On<L>, 1, false>([squares]);
        covariances.sub(<T::On<L>>::load(&dots)).mul(scale).store(&mut values);
        out.copy_from_slice(&values[..out.len()]);
    }
}

/// Dot products of a row with [`STEP`] others of its length.
#[inline(always)]
fn products<T: Exponential, L: Lanes>(row: &[T], others: [&[T]; STEP]) -> [T; STEP] {
    let zero = <T::On<L>>::splat(T::default());
    let whole = row.len() / T::LANES * T::LANES;
    let group = depth::<T>().saturating_mul(T::LANES);
    let mut sums = [zero; STEP];
    let mut first = 0;
    while first < whole {
        let end = whole.min(first.saturating_add(group));
        let mut partial = [zero; STEP];
        for place in (first..end).step_by(T::LANES) {
            let values = <T::On<L>>::load(&row[place..]);
            for s in 0..STEP {
                partial[s] = values.mul_add(<T::On<L>>::load(&others[s][place..]), partial[s]);
            }
        }
        for s in 0..STEP {
            sums[s] = sums[s].add(partial[s]);
        }
        first = end;
    }
    if whole < row.len() {
        let values = padded::<T, L>(&row[whole..]);
        for s in 0..STEP {
            sums[s] = values.mul_add(padded::<T, L>(&others[s][whole..]), sums[s]);
        }
    }
    let mut totals = [T::default(); STEP];
    for s in 0..STEP {
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
