//! Loops over points: packing, distances, the k best, order keys, cells, covariances.

use core::ffi::c_char;

use covertree_kernels::covariance::{Covariance, CovarianceKind, covariances, scale_rows};
use covertree_kernels::dist::{self, Chebyshev, Dot, Form, Manhattan, Rounding, SquaredEuclidean};
use covertree_kernels::error::KernelError;
use covertree_kernels::grid::{self, Grid};
use covertree_kernels::order::{self, Fit, Frame};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::topk::KBest;
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};

use crate::boundary::{Call, tier_of};
use crate::status::{Fault, covertree_error, covertree_status, finish};

/// The sum of squared differences.
pub const COVERTREE_FORM_SQUARED_EUCLIDEAN: u32 = 0;
/// The sum of absolute differences.
pub const COVERTREE_FORM_MANHATTAN: u32 = 1;
/// The largest absolute difference.
pub const COVERTREE_FORM_CHEBYSHEV: u32 = 2;
/// The dot product.
pub const COVERTREE_FORM_DOT: u32 = 3;

/// `exp(-r^2 / 2)` of scaled distances.
pub const COVERTREE_COVARIANCE_RBF: u32 = 0;
/// `exp(-r)`.
pub const COVERTREE_COVARIANCE_MATERN12: u32 = 1;
/// `(1 + a) exp(-a)`, `a = sqrt(3) r`.
pub const COVERTREE_COVARIANCE_MATERN32: u32 = 2;
/// `(1 + a + a^2 / 3) exp(-a)`, `a = sqrt(5) r`.
pub const COVERTREE_COVARIANCE_MATERN52: u32 = 3;

/// Version of the library, zero-terminated.
#[unsafe(no_mangle)]
pub extern "C" fn covertree_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Elements of `points` points of `dim` coordinates, packed: panels of 16 points, each stored `[dim][16]`.
#[unsafe(no_mangle)]
pub extern "C" fn covertree_panels_len_f32(points: usize, dim: usize) -> usize {
    panels_len::<f32>(points, dim)
}

/// Elements of `points` points of `dim` coordinates, packed: panels of 8 points, each stored `[dim][8]`.
#[unsafe(no_mangle)]
pub extern "C" fn covertree_panels_len_f64(points: usize, dim: usize) -> usize {
    panels_len::<f64>(points, dim)
}

/// Packs the rows `order[0..order_len]` of `rows` (`rows_len / dim` of them, one after the other) into `panels`, which has
/// `covertree_panels_len_f32(order_len, dim)` elements; padding repeats the last point.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_pack_rows_f32(
    rows: *const f32,
    rows_len: usize,
    dim: usize,
    order: *const i32,
    order_len: usize,
    panels: *mut f32,
    panels_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    // SAFETY: the caller's promise is the same.
    unsafe { finish(pack(rows, rows_len, dim, order, order_len, panels, panels_len), error) }
}

/// `covertree_pack_rows_f32`, of doubles.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_pack_rows_f64(
    rows: *const f64,
    rows_len: usize,
    dim: usize,
    order: *const i32,
    order_len: usize,
    panels: *mut f64,
    panels_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    // SAFETY: the caller's promise is the same.
    unsafe { finish(pack(rows, rows_len, dim, order, order_len, panels, panels_len), error) }
}

/// # Safety
/// Each pointer points to as many elements as the length after it says.
unsafe fn pack<T: Real>(
    rows: *const T,
    rows_len: usize,
    dim: usize,
    order: *const i32,
    order_len: usize,
    panels: *mut T,
    panels_len: usize,
) -> Result<(), Fault> {
    let mut call = Call::new();
    // SAFETY: the caller's promise is the same.
    let (rows, order, panels) = unsafe {
        let rows = call.read("rows", rows, rows_len)?;
        (rows, call.read("order", order, order_len)?, call.write("panels", panels, panels_len)?)
    };
    Ok(pack_rows(Rows::new(rows, dim)?, order, panels)?)
}

/// Distances (as sums, see `COVERTREE_FORM_`) from one query to `points` packed points, rounded operation by operation: the
/// same bits on every tier.
///
/// `query` has `dim` elements, `panels` is packed, `out` has `covertree_panels_len_f32(points, 1)` elements.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_distances_f32(
    tier: u32,
    form: u32,
    query: *const f32,
    dim: usize,
    panels: *const f32,
    panels_len: usize,
    points: usize,
    out: *mut f32,
    out_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    // SAFETY: the caller's promise is the same.
    unsafe { finish(distances(tier, form, query, dim, panels, panels_len, points, out, out_len), error) }
}

/// `covertree_distances_f32`, of doubles.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_distances_f64(
    tier: u32,
    form: u32,
    query: *const f64,
    dim: usize,
    panels: *const f64,
    panels_len: usize,
    points: usize,
    out: *mut f64,
    out_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    // SAFETY: the caller's promise is the same.
    unsafe { finish(distances(tier, form, query, dim, panels, panels_len, points, out, out_len), error) }
}

/// # Safety
/// Each pointer points to as many elements as the length after it says.
unsafe fn distances<T: Real>(
    tier: u32,
    form: u32,
    query: *const T,
    dim: usize,
    panels: *const T,
    panels_len: usize,
    points: usize,
    out: *mut T,
    out_len: usize,
) -> Result<(), Fault> {
    fn run<T: Real, F: Form>(tier: Tier, query: &[T], panels: Panels<'_, T>, out: &mut [T]) -> Result<(), KernelError> {
        dist::one_to_run(tier, F::default(), Rounding::Published, query, panels, out)
    }
    let mut call = Call::new();
    // SAFETY: the caller's promise is the same.
    let (query, panels, out) = unsafe {
        let query = call.read("query", query, dim)?;
        (query, call.read("panels", panels, panels_len)?, call.write("out", out, out_len)?)
    };
    let (tier, panels) = (tier_of(tier)?, Panels::new(panels, dim, points)?);
    Ok(match form {
        COVERTREE_FORM_SQUARED_EUCLIDEAN => run::<T, SquaredEuclidean>(tier, query, panels, out),
        COVERTREE_FORM_MANHATTAN => run::<T, Manhattan>(tier, query, panels, out),
        COVERTREE_FORM_CHEBYSHEV => run::<T, Chebyshev>(tier, query, panels, out),
        COVERTREE_FORM_DOT => run::<T, Dot>(tier, query, panels, out),
        _ => return Err(Fault::choice("form", form)),
    }?)
}

/// The `k` smallest of `len` pairs by (distance, id), ascending, to `best_distances` and `best_ids`, padded with infinity
/// and -1. Ids are not negative. `found` becomes how many there are.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says, `found` to one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_k_best(
    distances: *const f64,
    ids: *const i32,
    len: usize,
    best_distances: *mut f64,
    best_ids: *mut i32,
    k: usize,
    found: *mut usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same.
        let (distances, ids, best_distances, best_ids, found) = unsafe {
            (
                call.read("distances", distances, len)?,
                call.read("ids", ids, len)?,
                call.write("best_distances", best_distances, k)?,
                call.write("best_ids", best_ids, k)?,
                call.one("found", found)?,
            )
        };
        if let Some(at) = ids.iter().position(|id| *id < 0) {
            return Err(KernelError::Value { what: "ids", at }.into());
        }
        let mut best = KBest::new(best_distances, best_ids)?;
        for (&distance, &id) in distances.iter().zip(ids) {
            best.offer(distance, id);
        }
        *found = best.finish();
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// The least and the greatest coordinate in each dimension of `rows_len / dim` rows, to `low[0..dim]` and `high[0..dim]`.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says, `low` and `high` to `dim`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_bounds_f64(
    tier: u32,
    rows: *const f64,
    rows_len: usize,
    dim: usize,
    low: *mut f64,
    high: *mut f64,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same.
        let (rows, low, high) = unsafe {
            (call.read("rows", rows, rows_len)?, call.write("low", low, dim)?, call.write("high", high, dim)?)
        };
        Ok(order::bounds(tier_of(tier)?, Rows::new(rows, dim)?, low, high)?)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// Positions of `rows_len / dim` rows along the Hilbert curve through the box from `low` to `high`, to `keys`.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says, `low` and `high` to `dim`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_hilbert_keys_f64(
    tier: u32,
    rows: *const f64,
    rows_len: usize,
    dim: usize,
    low: *const f64,
    high: *const f64,
    keys: *mut u64,
    keys_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same.
        let (rows, low, high, keys) = unsafe {
            (
                call.read("rows", rows, rows_len)?,
                call.read("low", low, dim)?,
                call.read("high", high, dim)?,
                call.write("keys", keys, keys_len)?,
            )
        };
        let (rows, frame) = (Rows::new(rows, dim)?, Frame::new(low, high, Fit::Cube)?);
        Ok(order::hilbert_keys(tier_of(tier)?, rows, &frame, 0, keys)?)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// The seeded offsets of the grid of cells of `width` on a level (of any sign) and with a shift, to `offsets[0..dim]`.
///
/// # Safety
/// `offsets` points to `dim` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_grid_offsets(
    seed: u64,
    level: i32,
    shift: u32,
    width: f64,
    offsets: *mut f64,
    dim: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        // SAFETY: the caller's promise is the same.
        let offsets = unsafe { Call::new().write("offsets", offsets, dim) }?;
        Ok(grid::grid_offsets(seed, level, shift, width, offsets)?)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// The keys of the cells in which the rows `ids[0..ids_len]` of `rows` lie, to `keys`; levels and shifts have keys of their
/// own.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says, `offsets` to `dim`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_cell_keys_f64(
    rows: *const f64,
    rows_len: usize,
    dim: usize,
    ids: *const i32,
    ids_len: usize,
    width: f64,
    offsets: *const f64,
    level: i32,
    shift: u32,
    keys: *mut u64,
    keys_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same.
        let (rows, ids, offsets, keys) = unsafe {
            (
                call.read("rows", rows, rows_len)?,
                call.read("ids", ids, ids_len)?,
                call.read("offsets", offsets, dim)?,
                call.write("keys", keys, keys_len)?,
            )
        };
        let grid = Grid::new(width, offsets, level, shift)?;
        Ok(grid::cell_keys(Rows::new(rows, dim)?, ids, &grid, keys)?)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// A covariance by its number.
pub(crate) fn covariance(kind: u32, variance: f64) -> Result<Covariance, Fault> {
    let kind = match kind {
        COVERTREE_COVARIANCE_RBF => CovarianceKind::Rbf,
        COVERTREE_COVARIANCE_MATERN12 => CovarianceKind::Matern12,
        COVERTREE_COVARIANCE_MATERN32 => CovarianceKind::Matern32,
        COVERTREE_COVARIANCE_MATERN52 => CovarianceKind::Matern52,
        _ => return Err(Fault::choice("kind", kind)),
    };
    Ok(Covariance::new(kind, variance)?)
}

/// Covariances of squared scaled distances, to `out`: within 32 roundoffs of the variance of the exact ones.
///
/// # Safety
/// `squares` and `out` point to `len` elements each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_covariances_f64(
    tier: u32,
    kind: u32,
    variance: f64,
    squares: *const f64,
    out: *mut f64,
    len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same.
        let (squares, out) = unsafe { (call.read("squares", squares, len)?, call.write("out", out, len)?) };
        Ok(covariances(tier_of(tier)?, covariance(kind, variance)?, Rounding::Published, squares, out)?)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// Coordinates over lengthscales, one per dimension, to `out`: `out[i][d] = rows[i][d] / lengthscales[d]` of `rows_len / dim` rows, the
/// same bits on every tier. Squared distances of these are what `covertree_covariances_f64` takes.
///
/// # Safety
/// `rows` and `out` point to `rows_len` elements each, `lengthscales` to `dim`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_scale_rows_f64(
    tier: u32,
    rows: *const f64,
    rows_len: usize,
    dim: usize,
    lengthscales: *const f64,
    out: *mut f64,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same.
        let (rows, lengthscales, out) = unsafe {
            (
                call.read("rows", rows, rows_len)?,
                call.read("lengthscales", lengthscales, dim)?,
                call.write("out", out, rows_len)?,
            )
        };
        Ok(scale_rows(tier_of(tier)?, Rows::new(rows, dim)?, lengthscales, out)?)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}
