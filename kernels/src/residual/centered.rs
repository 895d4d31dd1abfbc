//! Tiles in `f32` around centres: single precision where [`block_to_run`](super::block_to_run) would need double.
//!
//! Points that lie close together have rows of `V` that lie close together. With any centres `a` for the rows and `b` for
//! the points of a tile,
//!
//! ```text
//! V_i.V_j = (V_i - a).(V_j - b) + V_i.b + a.V_j - a.b
//! ```
//!
//! so only the product of the two *offsets* is formed in `f32`; the other terms cost one dot product per row and per point
//! in `f64` ([`center_products`]), and the covariance is evaluated in `f64`. The error of a single-precision dot product is
//! proportional to the norms of its factors, and the offsets are short: the margin shrinks by the square of the offsets'
//! norm, which makes `f32` decide where `p` is far below its roundoff.

#![allow(clippy::needless_range_loop, reason = "a counted loop over an array of vectors stays in registers")]

use super::lanes::{GROUP, add_columns, any_wanted, dots, rows_of_tiles, tile_rows};
use super::points::roundings;
use super::{ResidualModel, ResidualRun};
use crate::arena::{Arena, blocks};
use crate::covariance::lanes::LaneCovariance;
use crate::dist::form::gamma;
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::{LANES_F32, LANES_F64, Lanes, OnLanes, Real, Tier, Vector};
use crate::view::panels_len;

/// Columns that are passed at once: 16 KiB per panel. A multiple of the depth of a group.
const CHUNK: usize = 256;

/// Vectors of covariances in step.
const STEP: usize = 4;

/// The centre of some points and their offsets from it, in `f32` over the prior standard deviation.
///
/// | argument | shape |
/// | --- | --- |
/// | `run` | the points |
/// | `center` | `[columns]`, overwritten: the mean of their rows of `V` |
/// | `offsets` | panels of 16 points `[columns][16]`, overwritten; 0 in the padding lanes |
/// | `norms` | `[points]`, overwritten: at least the norm of the point's offset (of `V`, not over the deviation) |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; nothing is written then.
///
/// # Cost
/// Reads `V` twice.
pub fn center_offsets(
    run: &ResidualRun<'_, f64>,
    center: &mut [f64],
    offsets: &mut [f32],
    norms: &mut [f64],
) -> Result<(), KernelError> {
    let (columns, len) = (run.points.model.columns(), run.len());
    want("center", columns, center.len())?;
    want("offsets", panels_len::<f32>(len, columns), offsets.len())?;
    want("norms", len, norms.len())?;
    let share = 1.0 / len.max(1) as f64;
    center.fill(0.0);
    offsets.fill(0.0);
    norms.fill(0.0);
    for panel in 0..run.count {
        let used = (len - panel * LANES_F64).min(LANES_F64);
        for (sum, row) in center.iter_mut().zip(run.v_panel(panel).chunks_exact(LANES_F64)) {
            *sum += row[..used].iter().sum::<f64>();
        }
    }
    for sum in center.iter_mut() {
        *sum *= share;
    }
    let unit = 1.0 / libm::sqrt(run.points.model.covariance().variance());
    for panel in 0..run.count {
        let (first, used) = (panel * LANES_F64, (len - panel * LANES_F64).min(LANES_F64));
        let place = first / LANES_F32 * columns * LANES_F32 + first % LANES_F32;
        let norms = &mut norms[first..first + used];
        for (column, (row, center)) in run.v_panel(panel).chunks_exact(LANES_F64).zip(&*center).enumerate() {
            let out = &mut offsets[place + column * LANES_F32..][..used];
            for ((out, v), norm) in out.iter_mut().zip(row).zip(norms.iter_mut()) {
                let offset = v - center;
                *norm += offset * offset;
                *out = (offset * unit) as f32; // rounding is the purpose; the margin counts it
            }
        }
        for norm in norms {
            *norm = libm::sqrt(*norm) * (1.0 + 1e-6); // far above the rounding of the sum
        }
    }
    Ok(())
}

/// The factor `m_i` of a point in the margin `m_i m_j` of a centered tile.
///
/// `offset` is from [`center_offsets`], `norm` at least the norm of the point's row of `V` and of its centre.
///
/// # The margin
/// As derived in the [parent module](super), with `o_i >= |V_i - a|`, and `w_i` at least the norms of `V_i` and of its centre:
///
/// ```text
/// |cut(r_ij) - rho_ij| <= m_i m_j,    m_i^2 = (g_32 o_i^2 + 6 g_64 w_i^2 + c + t) / p_i + 40 u_64
/// ```
///
/// `g_32` counts a product, a group of 32, the groups, and the rounding of both offsets (in `f64` when they are formed, in
/// `f32` when they are stored). `g_64` counts the three products with the centres, at most `columns + 8` roundings each, and
/// that of the formula, with two left for the sums of the four terms; `c` is the `f64` margin of the covariance, `t` pays for underflow in `f32`.
pub fn centered_margin(model: &ResidualModel, offset: f64, norm: f64, p: f64) -> f64 {
    let narrow = gamma(roundings::<f32>(model.columns()) + 2, f32::ROUNDOFF);
    let wide = 6.0 * gamma(model.columns() + 8, f64::ROUNDOFF);
    let underflow = model.columns() as f64 * f32::TINY * model.covariance().variance() * 4.0;
    let covariance = model.covariance().margin::<f64>(model.dim(), 0.0);
    let absolute = narrow * offset * offset + wide * norm * norm + covariance + underflow;
    libm::sqrt(absolute / p + 40.0 * f64::ROUNDOFF) * (1.0 + 1e-6)
}

/// Dot products of one row with the rows of `V` of a run, in `f64`: what a tile adds for the centre of its other side.
///
/// | argument | shape |
/// | --- | --- |
/// | `row` | `[columns]` |
/// | `center` | `[columns]`: the product of `row` with it is taken off; nothing is, if there is none |
/// | `out` | `[panels][8]`, overwritten; padding lanes hold anything |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; `out` is then untouched.
///
/// # Accuracy
/// Off by at most `gamma_columns |row| |V_i|`, fused or not.
///
/// # Cost
/// One multiply-add per column and point.
pub fn center_products(
    tier: Tier,
    row: &[f64],
    center: Option<&[f64]>,
    run: &ResidualRun<'_, f64>,
    out: &mut [f64],
) -> Result<(), KernelError> {
    struct Body<'a, 'o>(&'o [f64], f64, &'o ResidualRun<'a, f64>, &'o mut [f64]);
    impl OnLanes for Body<'_, '_> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            let Self(row, less, run, out) = self;
            let less = L::F64::splat(less);
            for first in (0..run.count).step_by(GROUP) {
                let sums = dots::<f64, L, GROUP, false>(row, super::lanes::group_of(run, first));
                for g in 0..GROUP.min(run.count - first) {
                    sums[g].sub(less).store(&mut out[(first + g) * LANES_F64..]);
                }
            }
        }
    }
    want("row", run.points.model.columns(), row.len())?;
    want("out", run.count * LANES_F64, out.len())?;
    let less = match center {
        None => 0.0,
        Some(center) => {
            want("center", row.len(), center.len())?;
            row.iter().zip(center).fold(0.0, |sum, (a, b)| sum + a * b)
        }
    };
    tier.run(Body(row, less, run, out));
    Ok(())
}

/// Rows of offsets, packed for the register tiles of one tier.
#[derive(Clone, Copy, Debug)]
pub struct CenteredRows<'a> {
    tier: Tier,
    rows: usize,
    columns: usize,
    packed: &'a [f32],
}

impl CenteredRows<'_> {
    /// Number of rows.
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

/// Blocks that [`pack_offsets`] takes, on any tier.
pub const fn pack_offsets_blocks(rows: usize, columns: usize) -> usize {
    let most = super::lanes::TILE_ROWS_MAX;
    blocks::<f32>(rows.div_ceil(most).saturating_mul(most).saturating_mul(columns))
}

/// Packs some of the offsets of [`center_offsets`] as rows for [`centered_tile`], into memory cut from the arena.
///
/// | argument | shape |
/// | --- | --- |
/// | `offsets` | panels `[columns][16]` |
/// | `places` | the points to take, in the order of the tile's rows |
///
/// # Errors
/// [`KernelError::Shape`] when `offsets` are not whole panels, [`KernelError::Key`] for a place without a panel,
/// [`KernelError::Scratch`] when the arena has less than [`pack_offsets_blocks`]`(places.len(), columns)`.
///
/// # Cost
/// Reads and writes each element once.
pub fn pack_offsets<'a>(
    tier: Tier,
    offsets: &[f32],
    columns: usize,
    places: &[Idx],
    arena: &mut Arena<'a>,
) -> Result<CenteredRows<'a>, KernelError> {
    let stride = columns * LANES_F32;
    let panels = offsets.len().checked_div(stride).unwrap_or(0);
    want("offsets", panels * stride, offsets.len())?;
    let limit = idx_len(panels * LANES_F32)?;
    if let Some(place) = places.iter().position(|place| *place < 0 || (columns > 0 && *place >= limit)) {
        return Err(KernelError::Key { at: idx_len(place)?, key: places[place], limit });
    }
    let tile = rows_of_tiles(tier.tile_rows());
    let packed = arena.take(places.len().div_ceil(tile) * tile * columns)?;
    if columns > 0 {
        for (tile_places, out) in places.chunks(tile).zip(packed.chunks_exact_mut(tile * columns)) {
            for r in 0..tile {
                let place = at(tile_places[r.min(tile_places.len() - 1)]);
                let panel = &offsets[place / LANES_F32 * stride..][..stride];
                for (row, out) in panel.chunks_exact(LANES_F32).zip(out.chunks_exact_mut(tile)) {
                    out[r] = row[place % LANES_F32];
                }
            }
        }
    }
    Ok(CenteredRows { tier, rows: places.len(), columns, packed })
}

/// What a centered tile knows of its rows beside their offsets.
#[derive(Clone, Copy, Debug)]
pub struct CenteredQueries<'a> {
    /// The packed offsets.
    pub rows: CenteredRows<'a>,
    /// `[rows][dim]`: scaled coordinates.
    pub coordinates: &'a [f64],
    /// `[rows]`: `1 / sqrt(p)`.
    pub scales: &'a [f64],
    /// `[rows]`: `V_i.b`, from [`center_products`].
    pub products: &'a [f64],
}

/// What a centered tile knows of its points beside the run.
#[derive(Clone, Copy, Debug)]
pub struct CenteredPoints<'a> {
    /// The points: coordinates and scales are read.
    pub run: ResidualRun<'a, f64>,
    /// Panels `[columns][16]` of their offsets.
    pub offsets: &'a [f32],
    /// `[panels][8]`: `a.V_j - a.b`.
    pub products: &'a [f64],
}

/// Filtered correlations of packed rows with a run of points around centres, as the head of the file derives them.
///
/// | argument | shape |
/// | --- | --- |
/// | `queries`, `points` | of the same model |
/// | `wanted` | `[rows][panels]`: bit `l` is set where the pair is wanted; empty if all are |
/// | `out` | `[rows][panels * 8]`, panels of `f64`: the filter `r`, not cut; padding lanes hold anything; panels of a row of which nothing is wanted stay |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Scratch`] when the arena has less than
/// [`centered_tile_blocks`]; nothing is written then.
///
/// # Accuracy
/// `|cut(r_ij) - rho_ij| <= m_i m_j` with [`centered_margin`].
///
/// # Cost
/// `columns` multiply-adds of `f32` per pair, and about 35 operations of `f64`. Returns how many pairs were computed, at most.
pub fn centered_tile(
    queries: &CenteredQueries<'_>,
    points: &CenteredPoints<'_>,
    wanted: &[u32],
    out: &mut [f64],
    arena: &mut Arena<'_>,
) -> Result<u64, KernelError> {
    struct Body<'a>(&'a CenteredQueries<'a>, &'a CenteredPoints<'a>, &'a [u32], &'a mut [f64], &'a mut [f32]);
    impl OnLanes for Body<'_> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            let Self(queries, points, wanted, out, sums) = self;
            if queries.rows.columns > 0 {
                match tile_rows::<L>() {
                    2 => multiply::<L, 2>(queries, points, wanted, sums),
                    6 => multiply::<L, 6>(queries, points, wanted, sums),
                    _ => multiply::<L, 12>(queries, points, wanted, sums),
                }
            }
            correlate::<L>(queries, points, wanted, sums, out);
        }
    }
    let (model, rows, len) = (&points.run.points.model, queries.rows.rows, points.run.len());
    let lanes = points.run.count * LANES_F64;
    want("queries.rows", model.columns(), queries.rows.columns)?;
    want("queries.coordinates", rows * model.dim(), queries.coordinates.len())?;
    want("queries.scales", rows, queries.scales.len())?;
    want("queries.products", rows, queries.products.len())?;
    want("points.offsets", panels_len::<f32>(len, model.columns()), points.offsets.len())?;
    want("points.products", lanes, points.products.len())?;
    want("out", rows * lanes, out.len())?;
    if !wanted.is_empty() {
        want("wanted", rows * points.run.count, wanted.len())?;
    }
    let mut arena = arena.scope();
    let sums = arena.take::<f32>(rows * lanes.next_multiple_of(LANES_F32))?;
    sums.fill(0.0); // what it stays without columns
    queries.rows.tier.run(Body(queries, points, wanted, out, sums));
    let pairs = match wanted {
        [] => (rows * len) as u64, // widens
        wanted => super::pairs_of_tiles(queries.rows.tier, wanted, points.run.count),
    };
    Ok(pairs)
}

/// Blocks of scratch that [`centered_tile`] takes for `rows` rows and `panels` panels of `f64`.
pub const fn centered_tile_blocks(rows: usize, panels: usize) -> usize {
    blocks::<f32>(rows.saturating_mul((panels * LANES_F64).next_multiple_of(LANES_F32)))
}

/// The products of the offsets, `sums: [rows][panels of 16][16]`.
#[inline(always)]
fn multiply<L: Lanes, const R: usize>(
    queries: &CenteredQueries<'_>,
    points: &CenteredPoints<'_>,
    wanted: &[u32],
    sums: &mut [f32],
) {
    let (rows, offsets, halves) = (&queries.rows, points.offsets, points.run.count);
    let (columns, count) = (rows.columns, rows.rows);
    let panels = offsets.len() / (columns * LANES_F32);
    for p in 0..panels {
        for from in (0..columns).step_by(CHUNK) {
            let part = from..columns.min(from + CHUNK);
            let points = &offsets[(p * columns + part.start) * LANES_F32..(p * columns + part.end) * LANES_F32];
            for first in (0..count).step_by(R) {
                let here = R.min(count - first);
                let wants = |half: usize| half < halves && any_wanted(wanted, halves, half, first, here);
                let left_out = !wanted.is_empty() && !wants(2 * p) && !wants(2 * p + 1);
                if left_out {
                    continue;
                }
                let queries = &rows.packed[first * columns..][part.start * R..part.end * R];
                let mut tile = [L::F32::splat(0.0); R];
                if from > 0 {
                    for r in 0..R.min(count - first) {
                        tile[r] = L::F32::load(&sums[((first + r) * panels + p) * LANES_F32..]);
                    }
                }
                tile = add_columns::<f32, L, R>(tile, queries, points);
                for r in 0..R.min(count - first) {
                    tile[r].store(&mut sums[((first + r) * panels + p) * LANES_F32..]);
                }
            }
        }
    }
}

/// Adds the terms with the centres and turns products into correlations.
#[inline(always)]
fn correlate<L: Lanes>(
    queries: &CenteredQueries<'_>,
    points: &CenteredPoints<'_>,
    wanted: &[u32],
    sums: &[f32],
    out: &mut [f64],
) {
    let model = &points.run.points.model;
    let covariance = LaneCovariance::<f64>::new(model.covariance());
    let variance = L::F64::splat(model.covariance().variance());
    let (dim, panels) = (model.dim(), points.run.count);
    let stride = (panels * LANES_F64).next_multiple_of(LANES_F32);
    for row in 0..queries.rows.rows {
        let coordinates = &queries.coordinates[row * dim..(row + 1) * dim];
        let (own, scale) = (L::F64::splat(queries.products[row]), L::F64::splat(queries.scales[row]));
        for first in (0..panels).step_by(STEP) {
            let here = row * panels + first..row * panels + panels.min(first + STEP);
            if !wanted.is_empty() && wanted[here].iter().all(|bits| *bits == 0) {
                continue;
            }
            let mut squares = [L::F64::splat(0.0); STEP];
            for n in 0..STEP {
                squares[n] = super::lanes::row_squares::<f64, L, false>(
                    coordinates,
                    points.run.coordinates((first + n).min(panels - 1)),
                );
            }
            let covariances = covariance.at::<L::F64, STEP, false>(squares);
            for n in 0..STEP.min(panels - first) {
                let panel = first + n;
                if !wanted.is_empty() && wanted[row * panels + panel] == 0 {
                    continue; // what stands there may be of an earlier call
                }
                let place = row * stride + panel / 2 * LANES_F32;
                let halves = L::widen(L::F32::load(&sums[place..]));
                let product = if panel % 2 == 0 { halves.0 } else { halves.1 };
                let dot = own.add(L::F64::load(&points.products[panel * LANES_F64..]));
                let dot = product.mul_add(variance, dot);
                let scales = L::F64::load(points.run.scales_and_margins(panel).0).mul(scale);
                covariances[n].sub(dot).mul(scales).store(&mut out[(row * panels + panel) * LANES_F64..]);
            }
        }
    }
}
