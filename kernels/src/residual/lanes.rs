//! Bodies over the lane traits.
//!
//! # Blocking
//! A register tile is `R` points of one panel of queries against one panel of points: the products of a column need one
//! vector load for the points and `R` broadcasts, which lie in one cache line, for the queries. Both sides are packed
//! alike, so no packing is needed. [`CHUNK`] columns of one panel of points stay in the first-level cache while all
//! query tiles pass; the sums wait in `out` between chunks. Every sum adds its columns in the same order whatever the
//! blocking, so no result depends on it.

use super::points::depth;
use super::{ResidualPoints, ResidualQuery, ResidualRun};
use crate::covariance::lanes::LaneCovariance;
use crate::covariance::{Exponential, mul_add};
use crate::simd::{LANES_F32, Lanes, Vector};

/// Columns that are passed at once: 8 KiB of `f64`, 8 KiB of `f32` per panel. A multiple of the depth of a group.
const CHUNK: usize = 128;

/// The correlations `(K - dot) scale scale'` of a tile row, from the squared distances and dot products.
#[inline(always)]
pub(super) fn ratios<T: Exponential, V: Vector<Elem = T>>(
    covariance: &LaneCovariance<T>,
    squares: V,
    dots: V,
    query_scale: T,
    scales: V,
) -> V {
    covariance.at::<V, false>(squares).sub(dots).mul(scales.mul(V::splat(query_scale)))
}

/// Adds the products of columns to the sums of the `R` lanes of a query panel from `lane` on with one panel of points.
/// `queries` and `points` hold the same columns.
#[inline(always)]
fn add_columns<T: Exponential, L: Lanes, const R: usize>(
    sums: &mut [T::On<L>; R],
    queries: &[T],
    lane: usize,
    points: &[T],
) {
    let zero = <T::On<L>>::splat(T::default());
    let group = depth::<T>().saturating_mul(T::LANES);
    for (queries, points) in queries.chunks(group).zip(points.chunks(group)) {
        let fresh = depth::<T>() < CHUNK; // sums of groups are added to the others, one chain simply goes on
        let mut partial = if fresh { [zero; R] } else { *sums };
        for (query, point) in queries.chunks_exact(T::LANES).zip(points.chunks_exact(T::LANES)) {
            let (query, point) = (&query[lane..lane + R], <T::On<L>>::load(point));
            for r in 0..R {
                partial[r] = <T::On<L>>::splat(query[r]).mul_add(point, partial[r]);
            }
        }
        for r in 0..R {
            sums[r] = if fresh { sums[r].add(partial[r]) } else { partial[r] };
        }
    }
}

/// Squared distances of the point in `lane` of a query panel to a panel of points; coordinates `[dim][LANES]`.
#[inline(always)]
fn squares<T: Exponential, L: Lanes>(queries: &[T], lane: usize, points: &[T]) -> T::On<L> {
    let mut sum = <T::On<L>>::splat(T::default());
    for (query, point) in queries.chunks_exact(T::LANES).zip(points.chunks_exact(T::LANES)) {
        let difference = <T::On<L>>::splat(query[lane]).sub(<T::On<L>>::load(point));
        sum = difference.mul_add(difference, sum);
    }
    sum
}

/// What the body of [`block_to_run`](super::block_to_run) works on.
pub(super) struct Block<'a, 'o, T> {
    pub queries: ResidualRun<'a, T>,
    pub points: ResidualRun<'a, T>,
    pub least: &'o [f64],
    pub out: &'o mut [T],
    pub masks: &'o mut [u32],
}

#[inline(always)]
pub(super) fn block_to_run<T: Exponential, L: Lanes>(block: &mut Block<'_, '_, T>) {
    match (L::TILE_ROWS, T::LANES) {
        (0..=3, _) => rows::<T, L, 2>(block),
        (4..=7, _) => rows::<T, L, 4>(block),
        (_, LANES_F32) => rows::<T, L, 16>(block),
        _ => rows::<T, L, 8>(block),
    }
}

/// All tiles of `R` queries, panel of points by panel of points, chunk of columns by chunk.
#[inline(always)]
fn rows<T: Exponential, L: Lanes, const R: usize>(block: &mut Block<'_, '_, T>) {
    let columns = block.points.points.model.columns();
    let chunks = columns.div_ceil(CHUNK).max(1);
    for p in 0..block.points.count {
        for chunk in 0..chunks {
            let part = chunk * CHUNK * T::LANES..columns.min((chunk + 1) * CHUNK) * T::LANES;
            let points = &block.points.v_panel(p)[part.clone()];
            for q in 0..block.queries.count {
                let queries = &block.queries.v_panel(q)[part.clone()];
                for lane in (0..T::LANES).step_by(R) {
                    let first = q * T::LANES + lane;
                    if block.least[first..first + R].iter().all(|&least| least == f64::INFINITY) {
                        continue; // nobody asked for these rows
                    }
                    let sums = waiting_sums::<T, L, R>(block, first, p, chunk);
                    tile::<T, L, R>(block, [q, lane, p], queries, points, sums, chunk + 1 == chunks);
                }
            }
        }
    }
}

/// The sums of the chunks before: zero for the first, else what waits in `out`.
#[inline(always)]
fn waiting_sums<T: Exponential, L: Lanes, const R: usize>(
    block: &Block<'_, '_, T>,
    first: usize,
    p: usize,
    chunk: usize,
) -> [T::On<L>; R] {
    let mut sums = [<T::On<L>>::splat(T::default()); R];
    if chunk > 0 {
        for r in 0..R {
            sums[r] = <T::On<L>>::load(&block.out[((first + r) * block.points.count + p) * T::LANES..]);
        }
    }
    sums
}

/// One register tile: the columns of one chunk, then either back to `out` or on to the correlations.
#[inline(always)]
fn tile<T: Exponential, L: Lanes, const R: usize>(
    block: &mut Block<'_, '_, T>,
    [q, lane, p]: [usize; 3],
    queries: &[T],
    points: &[T],
    mut sums: [T::On<L>; R],
    last: bool,
) {
    add_columns::<T, L, R>(&mut sums, queries, lane, points);
    let covariance = LaneCovariance::<T>::new(block.points.points.model.covariance());
    let (scales, margins) = block.points.scales_and_margins(p);
    let (query_scales, query_margins) = block.queries.scales_and_margins(q);
    let (scales, margins) = (<T::On<L>>::load(scales), <T::On<L>>::load(margins));
    let in_use = block.points.lanes_in_use(p);
    let asked = block.queries.lanes_in_use(q);
    for r in 0..R {
        let place = (q * T::LANES + lane + r) * block.points.count + p;
        let out = &mut block.out[place * T::LANES..];
        if !last {
            sums[r].store(out);
            continue;
        }
        let squares = squares::<T, L>(block.queries.coordinates(q), lane + r, block.points.coordinates(p));
        let ratios = ratios::<T, T::On<L>>(&covariance, squares, sums[r], query_scales[lane + r], scales);
        ratios.store(out);
        let most = margins.mul_add(<T::On<L>>::splat(query_margins[lane + r]), ratios.abs());
        let least = <T::On<L>>::splat(T::from_f64(block.least[q * T::LANES + lane + r]));
        let kept = if asked >> (lane + r) & 1 == 1 { in_use } else { 0 };
        block.masks[place] = least.le(most) & kept;
    }
}

/// Dot products of one row (`[columns]`) with `C` panels whose first columns stand at `starts` of `panels`.
#[inline(always)]
pub(super) fn dots<T: Exponential, L: Lanes, const C: usize, const EXACT: bool>(
    row: &[T],
    panels: [&[T]; C],
) -> [T::On<L>; C] {
    let zero = <T::On<L>>::splat(T::default());
    let mut sums = [zero; C];
    let mut passed = 0;
    for row in row.chunks(depth::<T>().min(row.len().max(1))) {
        let mut parts = panels;
        for c in 0..C {
            parts[c] = &panels[c][passed..][..row.len() * T::LANES];
        }
        let mut partial = [zero; C];
        for (m, &element) in row.iter().enumerate() {
            let element = <T::On<L>>::splat(element);
            for c in 0..C {
                partial[c] =
                    mul_add::<T::On<L>, EXACT>(element, <T::On<L>>::load(&parts[c][m * T::LANES..]), partial[c]);
            }
        }
        for c in 0..C {
            sums[c] = sums[c].add(partial[c]);
        }
        passed += row.len() * T::LANES;
    }
    sums
}

/// Panels of one row that are passed in step, so that their sums need not wait for one another.
pub(super) const GROUP: usize = 4;

/// The panels `first..first + GROUP` of a run, the last one repeated where the run ends.
#[inline(always)]
pub(super) fn group_of<'a, T: Exponential>(run: &ResidualRun<'a, T>, first: usize) -> [&'a [T]; GROUP] {
    let mut panels = [run.v_panel(first); GROUP];
    for g in 1..GROUP {
        panels[g] = run.v_panel((first + g).min(run.count - 1));
    }
    panels
}

#[inline(always)]
pub(super) fn one_to_run<T: Exponential, L: Lanes>(
    query: &ResidualQuery<'_, T>,
    run: &ResidualRun<'_, T>,
    least: f64,
    out: &mut [T],
    masks: &mut [u32],
) {
    let covariance = LaneCovariance::<T>::new(run.points.model.covariance());
    let least = <T::On<L>>::splat(T::from_f64(least));
    for first in (0..run.count).step_by(GROUP) {
        let dots = dots::<T, L, GROUP, false>(query.v, group_of(run, first));
        for g in 0..GROUP.min(run.count - first) {
            let p = first + g;
            let squares = row_squares::<T, L, false>(query.coordinates, run.coordinates(p));
            let (scales, margins) = run.scales_and_margins(p);
            let ratios = ratios::<T, T::On<L>>(&covariance, squares, dots[g], query.scale, <T::On<L>>::load(scales));
            ratios.store(&mut out[p * T::LANES..]);
            let most = <T::On<L>>::load(margins).mul_add(<T::On<L>>::splat(query.margin), ratios.abs());
            masks[p] = least.le(most) & run.lanes_in_use(p);
        }
    }
}

/// Squared distances of a row of coordinates to a panel.
#[inline(always)]
pub(super) fn row_squares<T: Exponential, L: Lanes, const EXACT: bool>(row: &[T], panel: &[T]) -> T::On<L> {
    let mut sum = <T::On<L>>::splat(T::default());
    for (&element, point) in row.iter().zip(panel.chunks_exact(T::LANES)) {
        let difference = <T::On<L>>::splat(element).sub(<T::On<L>>::load(point));
        sum = mul_add::<T::On<L>, EXACT>(difference, difference, sum);
    }
    sum
}

impl<'a, T: Exponential> ResidualRun<'a, T> {
    #[inline(always)]
    pub(super) fn v_panel(&self, panel: usize) -> &'a [T] {
        self.points.v_panel(self.first + panel)
    }

    #[inline(always)]
    pub(super) fn coordinates(&self, panel: usize) -> &'a [T] {
        self.points.coordinates.run(self.first + panel, 1)
    }

    #[inline(always)]
    pub(super) fn scales_and_margins(&self, panel: usize) -> (&'a [T], &'a [T]) {
        let lanes = (self.first + panel) * T::LANES..(self.first + panel + 1) * T::LANES;
        (&self.points.scales[lanes.clone()], &self.points.margins[lanes])
    }

    #[inline(always)]
    pub(super) fn lanes_in_use(&self, panel: usize) -> u32 {
        ResidualPoints::lanes_in_use(&self.points, self.first + panel)
    }
}
