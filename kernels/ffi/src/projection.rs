//! Projections onto principal axes.

use covertree_kernels::index::LEN_MAX;
use covertree_kernels::projection::{self, AXES, Projection};
use covertree_kernels::simd::Real;
use covertree_kernels::view::Rows;

use crate::boundary::{Call, covertree_block, tier_of};
use crate::status::{Fault, covertree_error, covertree_status, finish};

/// Most axes of a projection, and the elements of a row of the matrix that holds them.
pub const COVERTREE_AXES: usize = 16;

const _: () = assert!(COVERTREE_AXES == AXES);

/// Blocks of scratch that `covertree_principal_axes_f32` and `covertree_principal_axes_f64` take.
#[unsafe(no_mangle)]
pub extern "C" fn covertree_principal_axes_blocks(dim: usize) -> usize {
    projection::principal_axes_blocks(dim)
}

/// The axes along which `rows_len / dim` rows vary most, to `axes`, through their mean, to `center[0..dim]`. `count` becomes
/// how many are worth their cost, from 1 to `COVERTREE_AXES`.
///
/// `axes` has `dim * COVERTREE_AXES` elements: axis `a` is column `a`; columns from `count` on are zero. Of rows that are not
/// finite, or too far apart for their differences to be, the axes mean nothing, and `covertree_project_rows_f32` may refuse them.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says, `center` to `dim`, `count` to one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_principal_axes_f32(
    tier: u32,
    rows: *const f32,
    rows_len: usize,
    dim: usize,
    center: *mut f64,
    axes: *mut f64,
    axes_len: usize,
    count: *mut usize,
    scratch: *mut covertree_block,
    scratch_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let (rows, axes, scratch) = ((rows, rows_len), (axes, axes_len), (scratch, scratch_len));
    // SAFETY: the caller's promise is the same.
    unsafe { finish(principal_axes(tier, rows, dim, center, axes, count, scratch), error) }
}

/// `covertree_principal_axes_f32`, of doubles.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says, `center` to `dim`, `count` to one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_principal_axes_f64(
    tier: u32,
    rows: *const f64,
    rows_len: usize,
    dim: usize,
    center: *mut f64,
    axes: *mut f64,
    axes_len: usize,
    count: *mut usize,
    scratch: *mut covertree_block,
    scratch_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let (rows, axes, scratch) = ((rows, rows_len), (axes, axes_len), (scratch, scratch_len));
    // SAFETY: the caller's promise is the same.
    unsafe { finish(principal_axes(tier, rows, dim, center, axes, count, scratch), error) }
}

/// # Safety
/// Each pointer points to as many elements as the length beside it says, `center` to `dim`, `count` to one.
unsafe fn principal_axes<T: Real>(
    tier: u32,
    (rows, rows_len): (*const T, usize),
    dim: usize,
    center: *mut f64,
    (axes, axes_len): (*mut f64, usize),
    count: *mut usize,
    (scratch, scratch_len): (*mut covertree_block, usize),
) -> Result<(), Fault> {
    let mut call = Call::new();
    // SAFETY: the caller's promise is the same.
    let (rows, center, axes, count, mut arena) = unsafe {
        (
            call.read("rows", rows, rows_len)?,
            call.write("center", center, dim)?,
            call.write("axes", axes, axes_len)?,
            call.one("count", count)?,
            call.arena(scratch, scratch_len)?,
        )
    };
    *count = projection::principal_axes(tier_of(tier)?, Rows::new(rows, dim)?, center, axes, &mut arena)?;
    Ok(())
}

/// Projected rows, to `out`: of each of `rows_len / dim` rows the `count` elements of its projection `P (x - c)`, then its own `dim`.
/// `spread` becomes an upper bound of the distances of the rows from the center. No two projections are farther apart than
/// `covertree_projection_stretch_f32` times the distance of their rows, and `covertree_projection_excess_f32`.
///
/// `center` has `dim` elements, `axes` `dim * COVERTREE_AXES`, as `covertree_principal_axes_f32` fills them; `count` is from 1 to
/// `COVERTREE_AXES`. `out` has `count + dim` elements for each row. Rows are finite.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says, `center` to `dim`, `spread` to one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_project_rows_f32(
    tier: u32,
    center: *const f64,
    axes: *const f64,
    axes_len: usize,
    count: usize,
    rows: *const f32,
    rows_len: usize,
    dim: usize,
    out: *mut f32,
    out_len: usize,
    spread: *mut f64,
    error: *mut covertree_error,
) -> covertree_status {
    let (axes, rows, out) = ((axes, axes_len), (rows, rows_len), (out, out_len));
    // SAFETY: the caller's promise is the same.
    unsafe { finish(project_rows(tier, center, axes, count, rows, dim, out, spread), error) }
}

/// `covertree_project_rows_f32`, of doubles.
///
/// # Safety
/// Each pointer points to as many elements as the length after it says, `center` to `dim`, `spread` to one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_project_rows_f64(
    tier: u32,
    center: *const f64,
    axes: *const f64,
    axes_len: usize,
    count: usize,
    rows: *const f64,
    rows_len: usize,
    dim: usize,
    out: *mut f64,
    out_len: usize,
    spread: *mut f64,
    error: *mut covertree_error,
) -> covertree_status {
    let (axes, rows, out) = ((axes, axes_len), (rows, rows_len), (out, out_len));
    // SAFETY: the caller's promise is the same.
    unsafe { finish(project_rows(tier, center, axes, count, rows, dim, out, spread), error) }
}

/// # Safety
/// Each pointer points to as many elements as the length beside it says, `center` to `dim`, `spread` to one.
unsafe fn project_rows<T: Real>(
    tier: u32,
    center: *const f64,
    (axes, axes_len): (*const f64, usize),
    count: usize,
    (rows, rows_len): (*const T, usize),
    dim: usize,
    (out, out_len): (*mut T, usize),
    spread: *mut f64,
) -> Result<(), Fault> {
    let mut call = Call::new();
    // SAFETY: the caller's promise is the same.
    let (center, axes, rows, out, spread) = unsafe {
        (
            call.read("center", center, dim)?,
            call.read("axes", axes, axes_len)?,
            call.read("rows", rows, rows_len)?,
            call.write("out", out, out_len)?,
            call.one("spread", spread)?,
        )
    };
    let (tier, projection) = (tier_of(tier)?, Projection::new(center, axes, count)?);
    *spread = projection::project_rows(tier, &projection, Rows::new(rows, dim)?, out)?;
    Ok(())
}

/// A dimension as a formula takes it: beyond what anything can have, the numbers mean nothing.
fn within(dim: usize) -> usize {
    dim.min(LEN_MAX)
}

/// The factor by which stored projections of singles may be farther apart than their rows, beside the excess.
#[unsafe(no_mangle)]
pub extern "C" fn covertree_projection_stretch_f32(dim: usize) -> f64 {
    projection::stretch::<f32>(within(dim))
}

/// `covertree_projection_stretch_f32`, of doubles.
#[unsafe(no_mangle)]
pub extern "C" fn covertree_projection_stretch_f64(dim: usize) -> f64 {
    projection::stretch::<f64>(within(dim))
}

/// By how much stored projections of singles may be farther apart than the stretched distance of their rows, one of which is
/// within `spread` of the center.
#[unsafe(no_mangle)]
pub extern "C" fn covertree_projection_excess_f32(dim: usize, spread: f64) -> f64 {
    projection::excess::<f32>(within(dim), spread)
}

/// `covertree_projection_excess_f32`, of doubles.
#[unsafe(no_mangle)]
pub extern "C" fn covertree_projection_excess_f64(dim: usize, spread: f64) -> f64 {
    projection::excess::<f64>(within(dim), spread)
}
