//! Tree files, honest and damaged, and searches of them, in both precisions.

use std::ptr;

use covertree::*;
use covertree_kernels::dist::SquaredEuclidean;
use covertree_kernels::index::NONE;
use covertree_kernels::oracle::tree::{HandMade, bytes_of_image};
use covertree_kernels::simd::Real;

use super::hostile::{Hostile, NO_ERROR};

type Query<T> = unsafe extern "C" fn(
    u32,
    *const covertree_tree,
    *const T,
    usize,
    *mut T,
    usize,
    *mut covertree_error,
) -> covertree_status;
type Knn<T> = unsafe extern "C" fn(
    u32,
    *const covertree_tree,
    *const T,
    usize,
    i32,
    *mut f64,
    *mut i32,
    usize,
    *mut usize,
    *mut covertree_block,
    usize,
    *mut covertree_error,
) -> covertree_status;
type KnnBefore<T> = unsafe extern "C" fn(
    u32,
    *const covertree_tree,
    *const T,
    usize,
    *const i32,
    usize,
    i32,
    *mut f64,
    *mut i32,
    usize,
    *mut usize,
    *mut covertree_block,
    usize,
    *mut covertree_error,
) -> covertree_status;
type Within<T> = unsafe extern "C" fn(
    u32,
    *const covertree_tree,
    *const T,
    usize,
    f64,
    i32,
    *mut f64,
    *mut i32,
    usize,
    *mut usize,
    *mut covertree_block,
    usize,
    *mut covertree_error,
) -> covertree_status;

/// The functions for trees with coordinates of one precision.
pub(super) trait Coordinate: Real {
    const QUERY: Query<Self>;
    const KNN: Knn<Self>;
    const KNN_BEFORE: KnnBefore<Self>;
    const WITHIN: Within<Self>;
    /// The precision that such a tree does not have.
    type Other: Coordinate;
}

impl Coordinate for f32 {
    const QUERY: Query<f32> = covertree_tree_query_f32;
    const KNN: Knn<f32> = covertree_knn_f32;
    const KNN_BEFORE: KnnBefore<f32> = covertree_knn_before_f32;
    const WITHIN: Within<f32> = covertree_within_f32;
    type Other = f64;
}

impl Coordinate for f64 {
    const QUERY: Query<f64> = covertree_tree_query_f64;
    const KNN: Knn<f64> = covertree_knn_f64;
    const KNN_BEFORE: KnnBefore<f64> = covertree_knn_before_f64;
    const WITHIN: Within<f64> = covertree_within_f64;
    type Other = f32;
}

/// A small tree and its file.
fn made<T: Coordinate>(call: &mut Hostile<'_>) -> (HandMade<T>, Vec<u64>) {
    let (points, dim) = (1 + call.below(90), 1 + call.below(4));
    let data: Vec<T> = (0..points * dim).map(|i| T::from_f64((i * i % 23) as f64 + i as f64 / 17.0)).collect();
    let (leaf, fan) = (1 + call.below(9), 2 + call.below(9));
    let made = if call.u8().is_multiple_of(2) {
        HandMade::boxed(data, dim, leaf, fan)
    } else {
        HandMade::balled(data, dim, fan)
    };
    let image = made.image(["euclidean", "manhattan", "residual"][call.below(3)], &[]);
    (made, image)
}

const CLOSED: covertree_tree = covertree_tree { opaque: [0; COVERTREE_TREE_WORDS] };

/// Files that were damaged anywhere.
pub(super) fn file<T: Coordinate>(call: &mut Hostile<'_>) {
    let (_, mut image) = made::<T>(call);
    let len = bytes_of_image(&image).len();
    for _ in 0..call.below(6) {
        let most = if call.u8().is_multiple_of(2) { len.min(600) } else { len };
        let place = call.below(most);
        bytemuck::cast_slice_mut::<u64, u8>(&mut image)[place] = call.u8();
        call.honest = false;
    }
    let mut tree = CLOSED;
    let error = &raw mut call.error;
    let shorter = call.len(len).min(len);
    // SAFETY: the image is that long, and outlives the handle.
    let status = unsafe { covertree_tree_open(image.as_ptr().cast(), shorter, &mut tree, error) };
    call.settle(status);
    if status == covertree_status::Ok {
        search::<T>(call, &tree, None);
        // The damage may have changed what the coordinates are; if not, such a search is refused.
        search::<T::Other>(call, &tree, None);
    } else {
        assert_eq!(tree.opaque[0], 0, "what was not opened stays closed");
    }
}

/// A file that is refused leaves an open handle open, and a handle is told apart from what is not one.
fn reopened(tree: &mut covertree_tree, bytes: &[u8], call: &mut Hostile<'_>) {
    let before = about(tree).0.points;
    // SAFETY: the bytes outlive the handle.
    let status = unsafe { covertree_tree_open(bytes.as_ptr(), bytes.len() / 2, tree, &raw mut call.error) };
    assert_ne!(status, covertree_status::Ok);
    assert_eq!(about(tree).0.points, before);
    call.error = NO_ERROR;
    let (handle, inside) = (&raw const *tree, (&raw mut *tree).cast::<covertree_tree_info>());
    // SAFETY: both point to a handle, which is larger than what there is to know.
    let status = unsafe { covertree_tree_about(handle, inside, &raw mut call.error) };
    assert_eq!(status, covertree_status::Overlap);
    assert_eq!(about(tree).0.points, before);
    call.error = NO_ERROR;
}

pub(super) fn tree<T: Coordinate>(call: &mut Hostile<'_>) {
    let (made, image) = made::<T>(call);
    let bytes = bytes_of_image(&image);
    let mut tree = CLOSED;
    // SAFETY: the image outlives the handle.
    let status = unsafe { covertree_tree_open(bytes.as_ptr(), bytes.len(), &mut tree, &raw mut call.error) };
    assert_eq!(status, covertree_status::Ok, "{:?}", call.error);
    // SAFETY: as above.
    let status = unsafe { covertree_tree_verify(bytes.as_ptr(), bytes.len(), &raw mut call.error) };
    assert_eq!(status, covertree_status::Checksum, "an image has no checksum");
    call.error = NO_ERROR;
    reopened(&mut tree, bytes, call);
    query_row(&mut Hostile::new(call.data), &tree, &made);
    search(call, &tree, Some(&made));
}

/// The query that a row makes for a tree without projections.
fn query_row<T: Coordinate>(call: &mut Hostile<'_>, tree: &covertree_tree, made: &HandMade<T>) {
    let (row, len) = (&made.data[..made.dim], call.len(made.dim));
    let (given, out) = (call.input(row, len), call.output::<T>(made.dim));
    let (tier, error) = (call.tier(), &raw mut call.error);
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe { (T::QUERY)(tier, tree, given, len, out, made.dim, error) };
    if call.settle(status) {
        assert_eq!(call.written(out, made.dim), row, "it is copied");
    }
}

/// What there is to know about a tree that was opened, and the least id in each of its groups.
fn about(tree: &covertree_tree) -> (covertree_tree_info, Vec<i32>) {
    // SAFETY: everything in it is numbers.
    let mut info: covertree_tree_info = unsafe { std::mem::zeroed() };
    // SAFETY: the handle is open and there is room.
    let status = unsafe { covertree_tree_about(tree, &mut info, ptr::null_mut()) };
    assert_eq!(status, covertree_status::Ok);
    let mut earliest = vec![0; info.groups as usize];
    // SAFETY: there is room for the groups.
    let status = unsafe { covertree_earliest(tree, earliest.as_mut_ptr(), earliest.len(), ptr::null_mut()) };
    assert_eq!(status, covertree_status::Ok);
    (info, earliest)
}

/// The radius of the searches for all points within one.
const RADIUS: f64 = 3.0;

/// Searches of a tree that was opened, all three kinds; with the tree, the answers are compared.
fn search<T: Coordinate>(call: &mut Hostile<'_>, tree: &covertree_tree, made: Option<&HandMade<T>>) {
    let (info, earliest) = about(tree);
    let euclidean = info.metric[..10].iter().zip(b"euclidean\0").all(|(&a, &b)| a as u8 == b);
    let made = made.filter(|_| euclidean);
    let (dim, groups, blocks) = (info.dim as usize, earliest.len(), info.search_blocks);
    if dim > 64 || blocks > 4096 {
        return; // a damaged file may claim many columns of few points
    }
    let mut call = Hostile::new(call.data);
    let (kind, tier, k, before) = (call.u8() % 3, call.tier(), 1 + call.below(12), call.below(100) as i32);
    let query: Vec<T> = (0..dim).map(|_| T::from_f64(f64::from(call.u8()) / 4.0)).collect();
    let query_len = call.len(dim);
    let given = call.input(&query, query_len);
    let (distances, ids, found) = (call.output::<f64>(k), call.output::<i32>(k), call.output::<usize>(1));
    let mut scratch = vec![covertree_block { words: [7; 16] }; blocks];
    let scratch_len = call.len(blocks).min(blocks);
    let (scratch, error) = (scratch.as_mut_ptr(), &raw mut call.error);
    let groups_len = groups - usize::from(kind == 1 && groups > 0 && call.u8() > 240);
    call.honest &= groups_len == groups && info.coordinate_bytes as usize == size_of::<T>() && made.is_some();
    let earliest = call.input(&earliest, groups_len);
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe {
        match kind {
            0 => (T::KNN)(tier, tree, given, query_len, -1, distances, ids, k, found, scratch, scratch_len, error),
            1 => (T::KNN_BEFORE)(
                tier,
                tree,
                given,
                query_len,
                earliest,
                groups_len,
                before,
                distances,
                ids,
                k,
                found,
                scratch,
                scratch_len,
                error,
            ),
            _ => (T::WITHIN)(
                tier,
                tree,
                given,
                query_len,
                RADIUS,
                -1,
                distances,
                ids,
                k,
                found,
                scratch,
                scratch_len,
                error,
            ),
        }
    };
    // Of a tree that nobody knows, no call is honest.
    if let (true, Some(made)) = (call.settle(status), made) {
        let found = call.written(found, 1)[0];
        compare(made, &query, (kind, before), call.written(distances, k), call.written(ids, k), found);
    }
}

/// The answers of a search are those of brute force.
fn compare<T: Coordinate>(
    made: &HandMade<T>,
    query: &[T],
    (kind, before): (u8, i32),
    distances: &[f64],
    ids: &[i32],
    found: usize,
) {
    let mut want = made.brute::<SquaredEuclidean>(query, NONE, f64::sqrt);
    match kind {
        0 => {}
        1 => want.retain(|(_, id)| *id < before),
        _ => want.retain(|(distance, _)| *distance <= RADIUS),
    }
    let k = ids.len();
    if kind == 2 {
        assert_eq!(found, want.len());
        assert!(ids[..k.min(found)].iter().zip(distances).all(|(&id, &distance)| want.contains(&(distance, id))));
        return;
    }
    assert_eq!(found, k.min(want.len()));
    want.resize(want.len().max(k), (f64::INFINITY, NONE));
    assert!(distances.iter().copied().zip(ids.iter().copied()).eq(want[..k].iter().copied()));
}
