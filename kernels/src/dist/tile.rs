//! A block of queries against packed panels, in register tiles.
//!
//! One query against a panel loads a vector for each one that it adds. A tile of several queries loads it once for
//! all of them, so that the multiply-adds, not the loads, are the limit. The queries are packed first: the elements
//! that a tile broadcasts for one dimension lie together, and a tile reads forward.
//!
//! Blocking (sizes are of a common x86-64; results do not depend on it, for every sum adds its dimensions in their
//! order, whether it waits in a register or in `out`):
//!
//! - [`PANEL_DIMS`] dimensions of one panel, at most 24 KiB, stay in the first-level cache while all tiles pass;
//! - [`QUERY_BYTES`] of packed queries stay in the second-level cache while all panels pass.
#![allow(clippy::needless_range_loop, reason = "a counted loop over an array of vectors stays in registers")]

use super::form::Form;
use super::lanes::{self, FEW_DIMS};
use crate::simd::{Lanes, Real, Vector};

/// Dimensions of a panel that all tiles pass at once.
pub(super) const PANEL_DIMS: usize = 384;

/// Packed queries that all panels pass at once.
pub(super) const QUERY_BYTES: usize = 192 * 1024;

/// Dimensions that are unrolled.
const UNROLL: usize = 4;

/// Panel bytes that stay in the first-level cache beside the output.
pub(super) const NEAR_BYTES: usize = 16 * 1024;

/// The largest number of rows of a tile; every other one divides it.
const TILE_ROWS_MAX: usize = 12;

/// Rows of the tile. Where sixteen registers must hold two vectors a row, a form that subtracts first has none left for
/// its differences at six rows: four are a quarter faster than six that spill. With thirty-two there is room.
const fn tile_rows<F: Form, L: Lanes>() -> usize {
    if L::TILE_ROWS == 6 && F::SUBTRACTS { 4 } else { L::TILE_ROWS }
}

/// Elements of `len` packed queries, enough on any tier.
pub(crate) const fn packed_len(len: usize, dim: usize) -> usize {
    len.div_ceil(TILE_ROWS_MAX).saturating_mul(TILE_ROWS_MAX).saturating_mul(dim)
}

/// What is done to a whole sum before it is stored.
pub(crate) trait Finish<T: Real>: Copy {
    /// Turns the sums of one query and one panel into what is stored; `lane` is the first point of the panel.
    fn finish<L: Lanes>(self, query: usize, lane: usize, sum: T::On<L>) -> T::On<L>;
}

/// Stores the sum as it is.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

impl<T: Real> Finish<T> for Plain {
    #[inline(always)]
    fn finish<L: Lanes>(self, _query: usize, _lane: usize, sum: T::On<L>) -> T::On<L> {
        sum
    }
}

/// Turns dot products into squared distances.
#[derive(Clone, Copy)]
pub(crate) struct FromDots<'a, T> {
    /// Squared lengths of the queries, `[len]`.
    pub queries: &'a [T],
    /// Squared lengths of the points, `[count][LANES]`.
    pub points: &'a [T],
}

impl<T: Real> Finish<T> for FromDots<'_, T> {
    #[inline(always)]
    fn finish<L: Lanes>(self, query: usize, lane: usize, sum: T::On<L>) -> T::On<L> {
        let norms = <T::On<L>>::splat(self.queries[query]).add(<T::On<L>>::load(&self.points[lane..]));
        // Twice the dot product is exact, so this is the same with and without fusing.
        norms.sub(sum.add(sum)).max(<T::On<L>>::splat(T::default()))
    }
}

/// Packs the last `dim` values of row-major queries, each of `ahead + dim` values, into tiles `[tile][dim][rows]` for
/// [`block_to_run`] of the same form; takes [`packed_len`] elements or more. The last tile repeats the last query.
#[inline(always)]
pub(crate) fn pack_queries<T: Real, F: Form, L: Lanes>(queries: &[T], ahead: usize, dim: usize, packed: &mut [T]) {
    match tile_rows::<F, L>() {
        2 => pack_tiles::<T, 2>(queries, ahead, dim, packed),
        4 => pack_tiles::<T, 4>(queries, ahead, dim, packed),
        6 => pack_tiles::<T, 6>(queries, ahead, dim, packed),
        _ => pack_tiles::<T, 12>(queries, ahead, dim, packed),
    }
}

#[inline(always)]
pub(super) fn pack_tiles<T: Real, const ROWS: usize>(queries: &[T], ahead: usize, dim: usize, packed: &mut [T]) {
    let width = ahead + dim;
    let len = queries.len() / width;
    for first in (0..len).step_by(ROWS) {
        let (tile, _) = packed[first * dim..][..ROWS * dim].as_chunks_mut::<ROWS>();
        // Row by row: a load and a store per element, and nothing to check.
        for r in 0..ROWS {
            let row = &queries[(first + r).min(len - 1) * width + ahead..][..dim];
            for (out, &q) in tile.iter_mut().zip(row) {
                out[r] = q;
            }
        }
    }
}

/// Squared lengths of the last `dim` values of row-major queries, each of `ahead + dim` values; each operation rounded by
/// itself, as [`squared_norms`](lanes::squared_norms) has those of packed points.
pub(crate) fn squared_norms_of_rows<T: Real>(queries: &[T], (ahead, dim): (usize, usize), out: &mut [T]) {
    for (query, out) in queries.chunks_exact(ahead + dim).zip(out) {
        *out = query[ahead..].iter().fold(T::default(), |sum, &q| sum + q * q);
    }
}

/// Sums of `len` packed queries against the last `dim` values of the points of contiguous panels
/// (`[count][ahead + dim][LANES]`), finished and written to `out` (`[len][count][LANES]`).
#[inline(always)]
pub(crate) fn block_to_run<T: Real, F: Form, L: Lanes, const EXACT: bool>(
    packed: &[T],
    len: usize,
    (ahead, dim): (usize, usize),
    panels: &[T],
    finish: impl Finish<T>,
    out: &mut [T],
) {
    match tile_rows::<F, L>() {
        2 => tiles::<T, F, L, EXACT, 2>(packed, len, (ahead, dim), panels, finish, out),
        4 => tiles::<T, F, L, EXACT, 4>(packed, len, (ahead, dim), panels, finish, out),
        6 => tiles::<T, F, L, EXACT, 6>(packed, len, (ahead, dim), panels, finish, out),
        _ => tiles::<T, F, L, EXACT, 12>(packed, len, (ahead, dim), panels, finish, out),
    }
}

#[inline(always)]
pub(super) fn tiles<T: Real, F: Form, L: Lanes, const EXACT: bool, const ROWS: usize>(
    packed: &[T],
    len: usize,
    (ahead, dim): (usize, usize),
    panels: &[T],
    finish: impl Finish<T>,
    out: &mut [T],
) {
    if dim <= FEW_DIMS && ahead == 0 {
        return few_dims::<T, F, L, EXACT, ROWS>(packed, len, dim, panels, finish, out);
    }
    let stride = panels.len() / (ahead + dim);
    let queries_at_once = (QUERY_BYTES / (dim * size_of::<T>())).max(ROWS) / ROWS * ROWS;
    for first_query in (0..len).step_by(queries_at_once) {
        let end = len.min(first_query + queries_at_once);
        for lane in (0..stride).step_by(T::LANES) {
            let panel = &panels[lane * (ahead + dim) + ahead * T::LANES..][..T::LANES * dim];
            for first in (0..dim).step_by(PANEL_DIMS) {
                let last = dim.min(first + PANEL_DIMS);
                let panel = &panel[first * T::LANES..last * T::LANES];
                for query in (first_query..end).step_by(ROWS) {
                    let tile = &packed[query * dim..][first * ROWS..last * ROWS];
                    let rows = ROWS.min(end - query);
                    let out = Place { out: &mut out[query * stride + lane..], stride, rows };
                    let mut sums = [<T::On<L>>::splat(T::default()); ROWS];
                    if first > 0 {
                        sums = out.load::<L, ROWS>();
                    }
                    sums = add_dims::<T, F, L, EXACT, ROWS>(sums, tile, panel);
                    if last == dim {
                        // A sum whose number is not known to the compiler would keep all of them in memory.
                        for r in 0..ROWS {
                            if r < rows {
                                sums[r] = finish.finish::<L>(query + r, lane, sums[r]);
                            }
                        }
                    }
                    out.store::<L, ROWS>(sums);
                }
            }
        }
    }
}

/// The rows of `out` that belong to a tile: the first `rows` pieces of one panel, `stride` apart.
struct Place<'a, T> {
    out: &'a mut [T],
    stride: usize,
    rows: usize,
}

impl<T: Real> Place<'_, T> {
    #[inline(always)]
    fn load<L: Lanes, const ROWS: usize>(&self) -> [T::On<L>; ROWS] {
        let mut sums = [<T::On<L>>::splat(T::default()); ROWS];
        for r in 0..ROWS {
            if r < self.rows {
                sums[r] = <T::On<L>>::load(&self.out[r * self.stride..]);
            }
        }
        sums
    }

    #[inline(always)]
    fn store<L: Lanes, const ROWS: usize>(self, sums: [T::On<L>; ROWS]) {
        for r in 0..ROWS {
            if r < self.rows {
                sums[r].store(&mut self.out[r * self.stride..]);
            }
        }
    }
}

/// Adds the dimensions of a tile (`[dims][ROWS]`) and a panel (`[dims][LANES]`) to its sums.
#[inline(always)]
fn add_dims<T: Real, F: Form, L: Lanes, const EXACT: bool, const ROWS: usize>(
    mut sums: [T::On<L>; ROWS],
    tile: &[T],
    panel: &[T],
) -> [T::On<L>; ROWS] {
    let dims = tile.len() / ROWS;
    let mut d = 0;
    while d + UNROLL <= dims {
        let (tile, panel) = (&tile[d * ROWS..][..UNROLL * ROWS], &panel[d * T::LANES..][..UNROLL * T::LANES]);
        for u in 0..UNROLL {
            sums = add_dim::<T, F, L, EXACT, ROWS>(sums, &tile[u * ROWS..], &panel[u * T::LANES..]);
        }
        d += UNROLL;
    }
    while d < dims {
        sums = add_dim::<T, F, L, EXACT, ROWS>(sums, &tile[d * ROWS..], &panel[d * T::LANES..]);
        d += 1;
    }
    sums
}

#[inline(always)]
fn add_dim<T: Real, F: Form, L: Lanes, const EXACT: bool, const ROWS: usize>(
    mut sums: [T::On<L>; ROWS],
    tile: &[T],
    panel: &[T],
) -> [T::On<L>; ROWS] {
    let (row, tile) = (<T::On<L>>::load(panel), &tile[..ROWS]);
    for r in 0..ROWS {
        // The operand that is subtracted may come from memory, broadcast on the way, where the tier has that.
        sums[r] = F::step::<T::On<L>, EXACT>(sums[r], row, <T::On<L>>::splat(tile[r]));
    }
    sums
}

/// [`block_to_run`] for at most [`FEW_DIMS`] dimensions. A tile would have too little to do between its loads and its
/// stores: the queries go one by one, each in registers, against panels that stay in the first-level cache.
#[inline(always)]
fn few_dims<T: Real, F: Form, L: Lanes, const EXACT: bool, const ROWS: usize>(
    packed: &[T],
    len: usize,
    dim: usize,
    panels: &[T],
    finish: impl Finish<T>,
    out: &mut [T],
) {
    let stride = panels.len() / dim;
    let lanes_at_once = NEAR_BYTES / (FEW_DIMS * size_of::<T>());
    for lane in (0..stride).step_by(lanes_at_once) {
        let lanes = lanes_at_once.min(stride - lane);
        let panels = &panels[lane * dim..][..lanes * dim];
        for q in 0..len {
            let tile = &packed[(q - q % ROWS) * dim..][..ROWS * dim];
            let mut query = [T::default(); FEW_DIMS];
            for d in 0..dim {
                query[d] = tile[d * ROWS + q % ROWS];
            }
            let out = &mut out[q * stride + lane..][..lanes];
            lanes::few_dims::<T, F, L, EXACT>(&query[..dim], panels, out);
            for l in (0..lanes).step_by(T::LANES) {
                let sum = <T::On<L>>::load(&out[l..]);
                finish.finish::<L>(q, lane + l, sum).store(&mut out[l..]);
            }
        }
    }
}
