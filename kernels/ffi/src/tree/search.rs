//! The nearest points, those within a radius, and the nearest among earlier points.

use covertree_kernels::tree::earliest_ranks;

use super::ask::{Asked, Coordinate};
use super::handle::{covertree_tree, opened};
use crate::boundary::{Call, covertree_block};
use crate::status::{Fault, covertree_error, covertree_status, finish};

/// The `k` nearest points to a query by (distance, id), ascending, to `distances` and `ids`, padded with infinity and -1:
/// exactly those of a brute force by the published formula of the metric. The point of the id `except` is left out (-1:
/// none is). `found` becomes how many there are. The tree has coordinates of 4 bytes.
///
/// # Safety
/// `tree` points to a handle that `covertree_tree_open` filled, `query` to `query_len` elements, `distances` and `ids` to
/// `k`, `found` to one, `scratch` to `scratch_len` blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_knn_f32(
    tier: u32,
    tree: *const covertree_tree,
    query: *const f32,
    query_len: usize,
    except: i32,
    distances: *mut f64,
    ids: *mut i32,
    k: usize,
    found: *mut usize,
    scratch: *mut covertree_block,
    scratch_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let (query, out, scratch) = ((query, query_len), (distances, ids, k, found), (scratch, scratch_len));
    // SAFETY: the caller's promise is the same.
    unsafe {
        finish(
            Asked::new(&mut Call::new(), tier, tree, query, out, scratch).and_then(|asked| asked.nearest(except)),
            error,
        )
    }
}

/// `covertree_knn_f32`, for a tree with coordinates of 8 bytes.
///
/// # Safety
/// As for `covertree_knn_f32`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_knn_f64(
    tier: u32,
    tree: *const covertree_tree,
    query: *const f64,
    query_len: usize,
    except: i32,
    distances: *mut f64,
    ids: *mut i32,
    k: usize,
    found: *mut usize,
    scratch: *mut covertree_block,
    scratch_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let (query, out, scratch) = ((query, query_len), (distances, ids, k, found), (scratch, scratch_len));
    // SAFETY: the caller's promise is the same.
    unsafe {
        finish(
            Asked::new(&mut Call::new(), tier, tree, query, out, scratch).and_then(|asked| asked.nearest(except)),
            error,
        )
    }
}

/// All points at most `radius` away from a query, in no particular order. `found` becomes how many there are; the first
/// `room` of them are written. The point of the id `except` is left out (-1: none is). The tree has coordinates of 4 bytes.
///
/// # Safety
/// As for `covertree_knn_f32`, with `room` for `k`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_within_f32(
    tier: u32,
    tree: *const covertree_tree,
    query: *const f32,
    query_len: usize,
    radius: f64,
    except: i32,
    distances: *mut f64,
    ids: *mut i32,
    room: usize,
    found: *mut usize,
    scratch: *mut covertree_block,
    scratch_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let (query, out, scratch) = ((query, query_len), (distances, ids, room, found), (scratch, scratch_len));
    let run = || {
        // SAFETY: the caller's promise is the same.
        unsafe { Asked::new(&mut Call::new(), tier, tree, query, out, scratch) }?.within(radius, except)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// `covertree_within_f32`, for a tree with coordinates of 8 bytes.
///
/// # Safety
/// As for `covertree_within_f32`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_within_f64(
    tier: u32,
    tree: *const covertree_tree,
    query: *const f64,
    query_len: usize,
    radius: f64,
    except: i32,
    distances: *mut f64,
    ids: *mut i32,
    room: usize,
    found: *mut usize,
    scratch: *mut covertree_block,
    scratch_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let (query, out, scratch) = ((query, query_len), (distances, ids, room, found), (scratch, scratch_len));
    let run = || {
        // SAFETY: the caller's promise is the same.
        unsafe { Asked::new(&mut Call::new(), tier, tree, query, out, scratch) }?.within(radius, except)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// The least id in each group of a tree, to `earliest` (as many elements as the tree has groups): for searches among the
/// points that come before another.
///
/// # Safety
/// `tree` points to a handle that `covertree_tree_open` filled, `earliest` to `groups` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_earliest(
    tree: *const covertree_tree,
    earliest: *mut i32,
    groups: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let run = || {
        let mut call = Call::new();
        // SAFETY: the caller's promise is the same.
        let (tree, earliest) = unsafe { (opened(&mut call, tree)?, call.write("earliest", earliest, groups)?) };
        let view = tree.view();
        Ok(earliest_ranks(view, view.parts().ids, earliest)?)
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// The arguments of a search among earlier points that are not those of every search.
struct Among {
    earliest: *const i32,
    groups: usize,
    before: i32,
}

/// # Safety
/// As for `covertree_knn_before_f32`.
unsafe fn knn_before<T: Coordinate>(
    tier: u32,
    tree: *const covertree_tree,
    query: (*const T, usize),
    among: &Among,
    out: (*mut f64, *mut i32, usize, *mut usize),
    scratch: (*mut covertree_block, usize),
) -> Result<(), Fault> {
    let mut call = Call::new();
    // SAFETY: the caller's promise is the same.
    let (asked, earliest) = unsafe {
        let asked = Asked::new(&mut call, tier, tree, query, out, scratch)?;
        (asked, call.read("earliest", among.earliest, among.groups)?)
    };
    let ranks = asked.tree.view().parts().ids;
    asked.before(ranks, earliest, among.before)
}

/// `covertree_knn_f32` among the points whose id is below `before`: the neighbours of the point `before` among those that
/// come before it. `earliest` is what `covertree_earliest` wrote, `groups` elements.
///
/// # Safety
/// As for `covertree_knn_f32`; `earliest` points to `groups` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_knn_before_f32(
    tier: u32,
    tree: *const covertree_tree,
    query: *const f32,
    query_len: usize,
    earliest: *const i32,
    groups: usize,
    before: i32,
    distances: *mut f64,
    ids: *mut i32,
    k: usize,
    found: *mut usize,
    scratch: *mut covertree_block,
    scratch_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let (query, out, scratch) = ((query, query_len), (distances, ids, k, found), (scratch, scratch_len));
    // SAFETY: the caller's promise is the same.
    unsafe { finish(knn_before(tier, tree, query, &Among { earliest, groups, before }, out, scratch), error) }
}

/// `covertree_knn_before_f32`, for a tree with coordinates of 8 bytes.
///
/// # Safety
/// As for `covertree_knn_before_f32`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn covertree_knn_before_f64(
    tier: u32,
    tree: *const covertree_tree,
    query: *const f64,
    query_len: usize,
    earliest: *const i32,
    groups: usize,
    before: i32,
    distances: *mut f64,
    ids: *mut i32,
    k: usize,
    found: *mut usize,
    scratch: *mut covertree_block,
    scratch_len: usize,
    error: *mut covertree_error,
) -> covertree_status {
    let (query, out, scratch) = ((query, query_len), (distances, ids, k, found), (scratch, scratch_len));
    // SAFETY: the caller's promise is the same.
    unsafe { finish(knn_before(tier, tree, query, &Among { earliest, groups, before }, out, scratch), error) }
}
