//! A tree file in memory becomes a handle, and points become queries.

use core::ffi::c_char;

use covertree_kernels::projection::project_rows;
use covertree_kernels::simd::Real;
use covertree_kernels::tree::stored::{CHECKSUM, StoredTree};
use covertree_kernels::tree::{haversine_row, search_blocks, unit_row};
use covertree_kernels::view::Rows;
use xxhash_rust::xxh3::xxh3_128;

use crate::boundary::{Call, tier_of};
use crate::status::{COVERTREE_NAME_LEN, Fault, covertree_error, covertree_status, finish, wide};

/// Words of a `covertree_tree`.
pub const COVERTREE_TREE_WORDS: usize = 40;

/// A tree that is ready to be searched, made by `covertree_tree_open` in memory of the caller. It may be copied, but not
/// changed; it is good for as long as the bytes of the file stay where and what they are.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct covertree_tree {
    /// Not for the caller.
    pub opaque: [u64; COVERTREE_TREE_WORDS],
}

/// What a handle really is.
#[repr(C)]
struct Handle {
    /// [`SEAL`] once the tree was opened.
    seal: u64,
    tree: StoredTree<'static>,
}

/// Tells a handle that was filled from memory that was not.
const SEAL: u64 = 0x6374_7265_655f_6f6b;

const _: () = assert!(size_of::<Handle>() <= size_of::<covertree_tree>());
const _: () = assert!(align_of::<Handle>() <= align_of::<covertree_tree>());

/// What there is to know about a tree.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct covertree_tree_info {
    /// Number of points.
    pub points: i32,
    /// Number of groups: elements of what `covertree_earliest` writes.
    pub groups: i32,
    /// Elements of a query: values of a point, as the metric stores them.
    pub dim: u32,
    /// Bytes of a coordinate, 4 or 8; 0 where the file has no points and cannot be searched here.
    pub coordinate_bytes: u32,
    /// Coordinates are those of the input over two to this power, and so must those of a query be; distances times it are
    /// those of the input. Nearly always 0.
    pub scaling: i32,
    /// Elements of a row of which `covertree_tree_query_f32` or `_f64` makes a query: `dim`, unless the points have projections ahead of
    /// their coordinates.
    pub coordinates: u32,
    /// Blocks of scratch that a search takes.
    pub search_blocks: usize,
    /// The metric, zero-terminated: `euclidean`, `manhattan`, `chebyshev`, `angular` or `haversine`.
    pub metric: [c_char; COVERTREE_NAME_LEN],
}

/// Holds the checksum of a tree file against its contents: one pass over all bytes. Opening does not do so.
///
/// # Safety
/// `bytes` points to `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_tree_verify(
    bytes: *const u8,
    len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        // SAFETY: the caller's promise is the same.
        let bytes = unsafe { Call::new().read("bytes", bytes, len) }?;
        let Some((body, sum)) = bytes.split_last_chunk::<CHECKSUM>() else {
            return Err(Fault::new(covertree_status::Least, "bytes", wide(CHECKSUM), wide(len)));
        };
        if xxh3_128(body).to_le_bytes() == *sum {
            return Ok(());
        }
        Err(Fault::new(covertree_status::Checksum, "bytes", 0, 0))
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// Checks a tree file in memory (aligned to 8 bytes at least, better 64) and makes a handle for it. Nothing is copied, but
/// a few numbers. Whatever the bytes are, the file is refused, or can be searched without harm. Where it is refused, the handle stays
/// what it was.
///
/// # Safety
/// `bytes` points to `len` bytes, which must stay for as long as the handle is used; `tree` points to a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_tree_open(
    bytes: *const u8,
    len: usize,
    tree: *mut covertree_tree,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same; that the bytes stay is what makes them `'static` to the handle.
        let bytes = unsafe { call.read::<u8>("bytes", bytes, len) }?;
        call.claim("tree", tree, 1, true)?;
        let opened = StoredTree::new(bytes)?;
        // SAFETY: the memory is the caller's for a handle, not null and aligned, and as large as asserted above.
        unsafe {
            tree.write_bytes(0, 1);
            tree.cast::<Handle>().write(Handle { seal: SEAL, tree: opened });
        }
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// The tree of a handle.
///
/// # Safety
/// `tree` points to a handle whose contents `covertree_tree_open` wrote, or of which the first word is none that it would
/// write; the bytes of the file are where and what they were.
pub(super) unsafe fn opened(call: &mut Call, tree: *const covertree_tree) -> Result<StoredTree<'static>, Fault> {
    // Not as a slice of words: those between the fields of a handle, and behind them, hold nothing.
    call.claim("tree", tree, 1, false)?;
    // SAFETY: the pointer is not null and aligned, and the caller promises that there is a first word.
    if unsafe { tree.cast::<u64>().read() } != SEAL {
        return Err(Fault::new(covertree_status::NotOpen, "tree", 0, 0));
    }
    // SAFETY: the seal says that a handle was written here, and the caller promises that it was not changed.
    let tree = unsafe { (*tree.cast::<Handle>()).tree };
    // SAFETY: the bytes are where they were; read again, they are known to this call: no output may share their memory.
    unsafe { call.read("tree", tree.bytes().as_ptr(), tree.bytes().len()) }?;
    Ok(tree)
}

/// Tells what there is to know about a tree.
///
/// # Safety
/// `tree` points to a handle that `covertree_tree_open` filled, `info` to room for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_tree_about(
    tree: *const covertree_tree,
    info: *mut covertree_tree_info,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same.
        let tree = unsafe { opened(&mut call, tree) }?;
        call.claim("info", info, 1, true)?;
        let (header, mut metric) = (tree.header(), [0; COVERTREE_NAME_LEN]);
        for (to, &byte) in metric.iter_mut().zip(tree.metric().as_bytes()).take(COVERTREE_NAME_LEN - 1) {
            *to = byte as c_char; // names of metrics are ASCII
        }
        let about = covertree_tree_info {
            points: header.len,
            groups: header.groups,
            dim: header.dim,
            coordinate_bytes: header.dtype,
            scaling: tree.scaling(),
            coordinates: header.dim - axes_of(&tree) as u32, // at most AXES
            search_blocks: search_blocks(tree.view().parts().waiting),
            metric,
        };
        // SAFETY: `claim` checked that the pointer is not null and aligned; that there is room is the caller's promise.
        unsafe { info.write(about) };
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// Axes of the projections that points have ahead of their coordinates; 0 where they have none.
fn axes_of(tree: &StoredTree<'_>) -> usize {
    let single = tree.points::<f32>().and_then(|points| points.projected());
    let projected = single.or_else(|| tree.points::<f64>()?.projected());
    projected.map_or(0, |projected| projected.projection.count())
}

/// The query that a row of coordinates makes.
///
/// # Safety
/// As the functions that call it say.
unsafe fn query<T: Real>(
    tier: u32,
    tree: *const covertree_tree,
    row: (*const T, usize),
    out: (*mut T, usize),
) -> Result<(), Fault> {
    let mut call = Call::new();
    // SAFETY: the caller's promise is the same.
    let tree = unsafe { opened(&mut call, tree) }?;
    // SAFETY: as above.
    let (row, out) = unsafe { (call.read("row", row.0, row.1)?, call.write("out", out.0, out.1)?) };
    let points = tree.points::<T>().ok_or(Fault::new(covertree_status::Metric, "tree", 0, 0))?;
    let width = points.panels().dim();
    if out.len() != width {
        return Err(Fault::new(covertree_status::Shape, "out", wide(width), wide(out.len())));
    }
    let coordinates = width - axes_of(&tree);
    if row.len() != coordinates {
        return Err(Fault::new(covertree_status::Shape, "row", wide(coordinates), wide(row.len())));
    }
    match points.projected() {
        Some(projected) => {
            project_rows(tier_of(tier)?, &projected.projection, Rows::new(row, coordinates)?, out)?;
        }
        None => out.copy_from_slice(row),
    }
    Ok(())
}

/// Makes a query of a row of coordinates (under the metric `angular`, of a unit vector) for any tree with coordinates of 4 bytes: puts the
/// projection ahead of them where the tree's points have one, and only copies them where not.
///
/// # Safety
/// `tree` points to a handle that `covertree_tree_open` filled, `row` to `row_len` elements, `out` to `out_len`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_tree_query_f32(
    tier: u32,
    tree: *const covertree_tree,
    row: *const f32,
    row_len: usize,
    out: *mut f32,
    out_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    // SAFETY: the caller's promise is the same.
    unsafe { finish(query(tier, tree, (row, row_len), (out, out_len)), error) }
}

/// `covertree_tree_query_f32`, for a tree with coordinates of 8 bytes.
///
/// # Safety
/// As for `covertree_tree_query_f32`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_tree_query_f64(
    tier: u32,
    tree: *const covertree_tree,
    row: *const f64,
    row_len: usize,
    out: *mut f64,
    out_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    // SAFETY: the caller's promise is the same.
    unsafe { finish(query(tier, tree, (row, row_len), (out, out_len)), error) }
}

/// The unit vector of which a tree under the metric `angular` takes the query.
///
/// # Safety
/// `row` and `out` point to `dim` elements each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_unit_row_f64(
    row: *const f64,
    out: *mut f64,
    dim: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same.
        let (row, out) = unsafe { (call.read("row", row, dim)?, call.write("out", out, dim)?) };
        Ok(unit_row(row, out)?)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// The row that a tree under the metric `haversine` takes as a query, from a place in degrees. `dim` is that of the tree.
///
/// # Safety
/// `out` points to `dim` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_haversine_row_f64(
    lon: f64,
    lat: f64,
    out: *mut f64,
    dim: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        // SAFETY: the caller's promise is the same.
        let out = unsafe { Call::new().write("out", out, dim) }?;
        let row = haversine_row(lon, lat)?;
        if out.len() != row.len() {
            return Err(Fault::new(covertree_status::Shape, "out", wide(row.len()), wide(out.len())));
        }
        out.copy_from_slice(&row);
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}
