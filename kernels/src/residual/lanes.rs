//! Bodies over the lane traits.
//!
//! # Blocking
//! A register tile is `R` queries against one panel of points: the products of a column need one vector load for the
//! points and `R` broadcasts for the queries. The queries are packed for that first, `[tile][column][R]`. [`CHUNK`] columns
//! of one panel of points stay in the first-level cache while all query tiles pass; the sums wait in `out` between
//! chunks. Every sum adds its columns in the same order whatever the blocking, so no result depends on it.

#![allow(clippy::needless_range_loop, reason = "a counted loop over an array of vectors stays in registers")]

use super::points::depth;
use super::{ResidualPoints, ResidualQuery, ResidualRun};
use crate::covariance::lanes::LaneCovariance;
use crate::covariance::{Exponential, mul_add};
use crate::simd::{Lanes, Vector};

/// Columns that are passed at once: 16 KiB per panel. A multiple of the depth of a group.
const CHUNK: usize = 256;

/// The largest number of rows of a tile; every other one divides it.
pub(super) const TILE_ROWS_MAX: usize = 12;

/// Rows of a tile on a tier.
pub(super) const fn tile_rows<L: Lanes>() -> usize {
    rows_of_tiles(L::TILE_ROWS)
}

/// Rows of a tile where a tier's registers hold so many.
pub(super) const fn rows_of_tiles(fitting: usize) -> usize {
    match fitting {
        0..=5 => 2,
        6..=11 => 6,
        _ => 12,
    }
}

/// Packs the queries of a run into tiles `[tile][column][R]`; what is left of the last tile repeats the last query.
#[inline(always)]
pub(super) fn pack_queries<T: Exponential>(run: &ResidualRun<'_, T>, rows: usize, packed: &mut [T]) {
    match rows {
        2 => pack_tiles::<T, 2>(run, packed),
        6 => pack_tiles::<T, 6>(run, packed),
        _ => pack_tiles::<T, 12>(run, packed),
    }
}

#[inline(always)]
fn pack_tiles<T: Exponential, const R: usize>(run: &ResidualRun<'_, T>, packed: &mut [T]) {
    let columns = run.points.model.columns();
    if columns == 0 || run.count == 0 {
        return;
    }
    for (t, tile) in packed.chunks_exact_mut(R * columns).enumerate() {
        let (mut panels, mut places) = ([run.v_panel(0); R], [0; R]);
        for r in 0..R {
            let query = (t * R + r).min(run.count * T::LANES - 1);
            (panels[r], places[r]) = (run.v_panel(query / T::LANES), query % T::LANES);
        }
        for column in tile.as_chunks_mut::<R>().0 {
            for r in 0..R {
                column[r] = panels[r][places[r]];
                places[r] += T::LANES;
            }
        }
    }
}

/// What the body of [`block_to_run`](super::block_to_run) works on.
pub(super) struct Block<'a, 'o, T> {
    pub queries: ResidualRun<'a, T>,
    pub packed: &'o [T],
    pub points: ResidualRun<'a, T>,
    pub least: &'o [f64],
    /// Bits of the pairs that are wanted, as `masks`; empty if all are.
    pub wanted: &'o [u32],
    pub out: &'o mut [T],
    pub masks: &'o mut [u32],
}

/// Whether any of the rows `first..first + count` of a tile wants something of a panel. `wanted` is `[rows][panels]`.
#[inline(always)]
pub(super) fn any_wanted(wanted: &[u32], panels: usize, panel: usize, first: usize, count: usize) -> bool {
    let mut any = 0;
    for row in first..first + count {
        any |= wanted[row * panels + panel];
    }
    any != 0
}

#[inline(always)]
pub(super) fn block_to_run<T: Exponential, L: Lanes>(block: &mut Block<'_, '_, T>) {
    match tile_rows::<L>() {
        2 => tiles::<T, L, 2, 2>(block),
        6 => tiles::<T, L, 6, 3>(block),
        _ => tiles::<T, L, 12, 4>(block),
    }
}

/// All tiles of `R` queries, panel of points by panel of points, chunk of columns by chunk; then the correlations of `N`
/// queries in step.
#[inline(always)]
fn tiles<T: Exponential, L: Lanes, const R: usize, const N: usize>(block: &mut Block<'_, '_, T>) {
    let columns = block.points.points.model.columns();
    let rows = block.queries.count * T::LANES;
    let chunks = columns.div_ceil(CHUNK).max(1);
    for p in 0..block.points.count {
        for chunk in 0..chunks {
            let part = chunk * CHUNK..columns.min((chunk + 1) * CHUNK);
            let points = &block.points.v_panel(p)[part.start * T::LANES..part.end * T::LANES];
            for first in (0..rows).step_by(R) {
                let asked = &block.least[first..rows.min(first + R)];
                if asked.iter().all(|&least| least == f64::INFINITY) {
                    continue; // nobody wants these rows
                }
                let (panels, count) = (block.points.count, asked.len());
                if !block.wanted.is_empty() && !any_wanted(block.wanted, panels, p, first, count) {
                    continue;
                }
                let queries = &block.packed[first * columns..][part.start * R..part.end * R];
                let mut sums = [<T::On<L>>::splat(T::default()); R];
                // Loops of a length that the compiler knows: a sum of unknown number would keep all of them in memory.
                if chunk > 0 {
                    for r in 0..R {
                        if r < count {
                            sums[r] = <T::On<L>>::load(&block.out[((first + r) * panels + p) * T::LANES..]);
                        }
                    }
                }
                sums = add_columns::<T, L, R>(sums, queries, points);
                for r in 0..R {
                    if r < count {
                        sums[r].store(&mut block.out[((first + r) * panels + p) * T::LANES..]);
                    }
                }
                if chunk + 1 == chunks {
                    for n in (0..count).step_by(N) {
                        correlate::<T, L, N>(block, first + n, p);
                    }
                }
            }
        }
    }
}

/// Adds the products of some columns, packed queries `[column][R]` against a panel of points `[column][LANES]`, to sums.
#[inline(always)]
pub(super) fn add_columns<T: Exponential, L: Lanes, const R: usize>(
    mut sums: [T::On<L>; R],
    queries: &[T],
    points: &[T],
) -> [T::On<L>; R] {
    let queries = queries.as_chunks::<R>().0;
    if depth::<T>() >= CHUNK {
        return add_chain::<T, L, R>(sums, queries, points);
    }
    let zero = <T::On<L>>::splat(T::default());
    for (queries, points) in queries.chunks(depth::<T>()).zip(points.chunks(depth::<T>() * T::LANES)) {
        let group = add_chain::<T, L, R>([zero; R], queries, points);
        for r in 0..R {
            sums[r] = sums[r].add(group[r]);
        }
    }
    sums
}

/// [`add_columns`] as one chain.
#[inline(always)]
fn add_chain<T: Exponential, L: Lanes, const R: usize>(
    mut sums: [T::On<L>; R],
    queries: &[[T; R]],
    points: &[T],
) -> [T::On<L>; R] {
    for (query, point) in queries.iter().zip(points.chunks_exact(T::LANES)) {
        let point = <T::On<L>>::load(point);
        for r in 0..R {
            sums[r] = <T::On<L>>::splat(query[r]).mul_add(point, sums[r]);
        }
    }
    sums
}

/// Turns the dot products of the queries `first..first + N` (fewer at the end) with one panel into correlations and bits.
#[inline(always)]
fn correlate<T: Exponential, L: Lanes, const N: usize>(block: &mut Block<'_, '_, T>, first: usize, p: usize) {
    let covariance = LaneCovariance::<T>::new(block.points.points.model.covariance());
    let rows = block.queries.count * T::LANES;
    let coordinates = block.points.coordinates(p);
    let mut squares = [<T::On<L>>::splat(T::default()); N];
    for n in 0..N {
        let query = (first + n).min(rows - 1);
        let from = block.queries.coordinates(query / T::LANES);
        for (query_row, row) in from.chunks_exact(T::LANES).zip(coordinates.chunks_exact(T::LANES)) {
            let difference = <T::On<L>>::splat(query_row[query % T::LANES]).sub(<T::On<L>>::load(row));
            squares[n] = difference.mul_add(difference, squares[n]);
        }
    }
    let covariances = covariance.at::<T::On<L>, N, false>(squares);
    let (scales, margins) = block.points.scales_and_margins(p);
    let (scales, margins) = (<T::On<L>>::load(scales), <T::On<L>>::load(margins));
    let in_use = block.points.lanes_in_use(p);
    for n in 0..N {
        let query = first + n;
        if query >= rows {
            break;
        }
        let (query_scales, query_margins) = block.queries.scales_and_margins(query / T::LANES);
        let scale = scales.mul(<T::On<L>>::splat(query_scales[query % T::LANES]));
        let place = query * block.points.count + p;
        let out = &mut block.out[place * T::LANES..];
        let ratios = covariances[n].sub(<T::On<L>>::load(out)).mul(scale);
        ratios.store(out);
        let most = margins.mul_add(<T::On<L>>::splat(query_margins[query % T::LANES]), ratios.abs());
        let least = <T::On<L>>::splat(T::from_f64(block.least[query]));
        let wanted = block.queries.holds(query) && block.least[query] < f64::INFINITY;
        block.masks[place] = !most.lt(least) & if wanted { in_use } else { 0 };
    }
}

/// Adds the products of a row, or of a part of one, with `C` panels that hold the same columns to `sums`: one chain in
/// `f64`, groups in `f32`.
#[inline(always)]
pub(super) fn add_dots<T: Exponential, L: Lanes, const C: usize, const EXACT: bool>(
    mut sums: [T::On<L>; C],
    row: &[T],
    panels: [&[T]; C],
) -> [T::On<L>; C] {
    let grouped = depth::<T>() < usize::MAX;
    let mut passed = 0;
    for row in row.chunks(depth::<T>()) {
        let mut parts = panels;
        for c in 0..C {
            parts[c] = &panels[c][passed..][..row.len() * T::LANES];
        }
        let mut partial = if grouped { [<T::On<L>>::splat(T::default()); C] } else { sums };
        for (m, &element) in row.iter().enumerate() {
            let element = <T::On<L>>::splat(element);
            for c in 0..C {
                partial[c] =
                    mul_add::<T::On<L>, EXACT>(element, <T::On<L>>::load(&parts[c][m * T::LANES..]), partial[c]);
            }
        }
        for c in 0..C {
            sums[c] = if grouped { sums[c].add(partial[c]) } else { partial[c] };
        }
        passed += row.len() * T::LANES;
    }
    sums
}

/// Dot products of one row with `C` panels.
#[inline(always)]
pub(super) fn dots<T: Exponential, L: Lanes, const C: usize, const EXACT: bool>(
    row: &[T],
    panels: [&[T]; C],
) -> [T::On<L>; C] {
    add_dots::<T, L, C, EXACT>([<T::On<L>>::splat(T::default()); C], row, panels)
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
        let mut squares = dots;
        for g in 0..GROUP {
            squares[g] = row_squares::<T, L, false>(query.coordinates, run.coordinates((first + g).min(run.count - 1)));
        }
        let covariances = covariance.at::<T::On<L>, GROUP, false>(squares);
        for g in 0..GROUP {
            let p = first + g;
            if p >= run.count {
                break;
            }
            let (scales, margins) = run.scales_and_margins(p);
            let scale = <T::On<L>>::load(scales).mul(<T::On<L>>::splat(query.scale));
            let ratios = covariances[g].sub(dots[g]).mul(scale);
            ratios.store(&mut out[p * T::LANES..]);
            let most = <T::On<L>>::load(margins).mul_add(<T::On<L>>::splat(query.margin), ratios.abs());
            masks[p] = !most.lt(least) & run.lanes_in_use(p);
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

    /// Whether a place of the run holds a point, not padding.
    #[inline(always)]
    pub(super) fn holds(&self, place: usize) -> bool {
        self.first * T::LANES + place < self.points.len()
    }

    #[inline(always)]
    pub(super) fn lanes_in_use(&self, panel: usize) -> u32 {
        ResidualPoints::lanes_in_use(&self.points, self.first + panel)
    }
}
