//! Search over a tree file that `covertree build` wrote.

use core::ffi::c_char;

use covertree_kernels::dist::{Chebyshev, Manhattan, SquaredEuclidean};
use covertree_kernels::error::KernelError;
use covertree_kernels::index::Idx;
use covertree_kernels::simd::{Lanes, Real, Tier};
use covertree_kernels::topk::KBest;
use covertree_kernels::tree::stored::{CHECKSUM, StoredTree};
use covertree_kernels::tree::{
    Earlier, Group, Metric, Nearest, Precedence, TreeView, Visitor, Within, earliest_ranks, haversine_row, search,
    search_blocks, unit_row,
};
use xxhash_rust::xxh3::xxh3_128;

use crate::boundary::{Call, covertree_block, tier_of};
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
    /// Elements of a query: coordinates of a point, as the metric stores them.
    pub dim: u32,
    /// Bytes of a coordinate, 4 or 8; 0 where the file has no points and cannot be searched here.
    pub coordinate_bytes: u32,
    /// Coordinates are those of the input over two to this power, and so must those of a query be; distances times it are
    /// those of the input. Nearly always 0.
    pub scaling: i32,
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
/// a few numbers. Whatever the bytes are, the file is refused, or can be searched without harm.
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
        let (bytes, words) = unsafe {
            (call.read::<u8>("bytes", bytes, len)?, call.write("tree", tree.cast::<u64>(), COVERTREE_TREE_WORDS)?)
        };
        words.fill(0);
        let opened = StoredTree::new(bytes)?;
        // SAFETY: the words are as many and as aligned as a handle needs, as asserted above.
        unsafe { words.as_mut_ptr().cast::<Handle>().write(Handle { seal: SEAL, tree: opened }) };
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
unsafe fn opened(call: &mut Call, tree: *const covertree_tree) -> Result<StoredTree<'static>, Fault> {
    // SAFETY: the caller's promise is the same.
    let words = unsafe { call.read("tree", tree.cast::<u64>(), COVERTREE_TREE_WORDS) }?;
    if words.first() != Some(&SEAL) {
        return Err(Fault::new(covertree_status::NotOpen, "tree", 0, 0));
    }
    // SAFETY: the seal says that a handle was written here, and the caller promises that it was not changed.
    let tree = unsafe { (*words.as_ptr().cast::<Handle>()).tree };
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
        // SAFETY: the caller's promise is the same.
        let tree = unsafe { opened(&mut Call::new(), tree) }?;
        let (header, mut metric) = (tree.header(), [0; COVERTREE_NAME_LEN]);
        for (to, &byte) in metric.iter_mut().zip(tree.metric().as_bytes()).take(COVERTREE_NAME_LEN - 1) {
            *to = byte as c_char; // names of metrics are ASCII
        }
        if info.is_null() || !info.is_aligned() {
            return Err(Fault::new(covertree_status::Null, "info", 1, 0));
        }
        let about = covertree_tree_info {
            points: header.len,
            groups: header.groups,
            dim: header.dim,
            coordinate_bytes: header.dtype,
            scaling: tree.scaling(),
            search_blocks: search_blocks(tree.view().parts().waiting),
            metric,
        };
        // SAFETY: the pointer is not null and aligned; that there is room is the caller's promise.
        unsafe { info.write(about) };
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { finish(run(), error) }
}

/// The unit vector that a tree under the metric `angular` takes as a query.
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

/// What a search collects under conditions: one type for both, so that the search is compiled once for them.
enum Conditional<'a, 'k> {
    Earlier(Earlier<'a, 'k>),
    Within(Within<'a, 'k>),
}

impl<R: Real> Visitor<R> for Conditional<'_, '_> {
    const BY_GROUP: bool = true;

    #[inline(always)]
    fn cap(&self) -> f64 {
        match self {
            Self::Earlier(visitor) => Visitor::<R>::cap(visitor),
            Self::Within(visitor) => Visitor::<R>::cap(visitor),
        }
    }
    #[inline(always)]
    fn cap_in(&self, number: usize, group: &Group) -> f64 {
        match self {
            Self::Earlier(visitor) => Visitor::<R>::cap_in(visitor, number, group),
            Self::Within(visitor) => Visitor::<R>::cap_in(visitor, number, group),
        }
    }
    #[inline(always)]
    fn narrow<L: Lanes>(&self, start: usize, surrogates: R::On<L>) -> u32 {
        match self {
            Self::Earlier(visitor) => Visitor::<R>::narrow::<L>(visitor, start, surrogates),
            Self::Within(_) => u32::MAX,
        }
    }
    #[inline(always)]
    fn admits(&self, position: usize) -> bool {
        match self {
            Self::Earlier(visitor) => Visitor::<R>::admits(visitor, position),
            Self::Within(visitor) => Visitor::<R>::admits(visitor, position),
        }
    }
    #[inline(always)]
    fn offer(&mut self, position: usize, distance: f64) {
        match self {
            Self::Earlier(visitor) => Visitor::<R>::offer(visitor, position, distance),
            Self::Within(visitor) => Visitor::<R>::offer(visitor, position, distance),
        }
    }
}

/// A search on its way to its metric.
struct Ask<'a, 's, V> {
    tier: Tier,
    view: TreeView<'a>,
    visitor: V,
    arena: covertree_kernels::arena::Arena<'s>,
}

impl<V> Ask<'_, '_, V> {
    fn run<T: Real, M>(mut self, metric: Result<M, KernelError>, query: &[T]) -> Result<V, Fault>
    where
        M: for<'q> Metric<Query<'q> = &'q [T]>,
        V: Visitor<M::Real>,
    {
        let (visitor, _) = search(self.tier, self.view, &metric?, query, self.visitor, &mut self.arena)?;
        Ok(visitor)
    }
}

/// Coordinates of a tree that can be searched.
trait Coordinate: Real {
    /// Runs a search under the metric of the tree.
    fn ask<V: Visitor<Self>>(tree: &StoredTree<'_>, query: &[Self], ask: Ask<'_, '_, V>) -> Result<V, Fault>;
}

/// The tree has points of another kind, or a metric that is not known here.
fn no_metric() -> Fault {
    Fault::new(covertree_status::Metric, "tree", 0, 0)
}

impl Coordinate for f32 {
    fn ask<V: Visitor<f32>>(tree: &StoredTree<'_>, query: &[f32], ask: Ask<'_, '_, V>) -> Result<V, Fault> {
        let points = tree.points::<f32>().ok_or_else(no_metric)?;
        match tree.metric() {
            "euclidean" => ask.run(points.coordinates::<SquaredEuclidean>(), query),
            "manhattan" => ask.run(points.coordinates::<Manhattan>(), query),
            "chebyshev" => ask.run(points.coordinates::<Chebyshev>(), query),
            _ => Err(no_metric()),
        }
    }
}

impl Coordinate for f64 {
    fn ask<V: Visitor<f64>>(tree: &StoredTree<'_>, query: &[f64], ask: Ask<'_, '_, V>) -> Result<V, Fault> {
        let points = tree.points::<f64>().ok_or_else(no_metric)?;
        match tree.metric() {
            "euclidean" => ask.run(points.coordinates::<SquaredEuclidean>(), query),
            "manhattan" => ask.run(points.coordinates::<Manhattan>(), query),
            "chebyshev" => ask.run(points.coordinates::<Chebyshev>(), query),
            "angular" => ask.run(points.angular(), query),
            "haversine" => ask.run(points.haversine(), query),
            _ => Err(no_metric()),
        }
    }
}

/// The arguments that every search has.
struct Asked<'a, T> {
    tree: StoredTree<'static>,
    tier: Tier,
    query: &'a [T],
    distances: &'a mut [f64],
    ids: &'a mut [Idx],
    found: &'a mut usize,
    arena: covertree_kernels::arena::Arena<'a>,
}

impl<'a, T: Coordinate> Asked<'a, T> {
    /// # Safety
    /// As the functions below say.
    unsafe fn new(
        call: &mut Call,
        tier: u32,
        tree: *const covertree_tree,
        query: (*const T, usize),
        out: (*mut f64, *mut i32, usize, *mut usize),
        scratch: (*mut covertree_block, usize),
    ) -> Result<Self, Fault> {
        // SAFETY: the caller's promise is the same.
        let tree = unsafe { opened(call, tree) }?;
        // SAFETY: as above.
        let (query, distances, ids, found, arena) = unsafe {
            (
                call.read("query", query.0, query.1)?,
                call.write("distances", out.0, out.2)?,
                call.write("ids", out.1, out.2)?,
                call.one("found", out.3)?,
                call.arena(scratch.0, scratch.1)?,
            )
        };
        let dim = tree.header().dim as usize; // usize has at least 32 bits
        if query.len() != dim {
            return Err(Fault::new(covertree_status::Shape, "query", wide(dim), wide(query.len())));
        }
        if let Some(at) = query.iter().position(|value| !value.to_f64().is_finite()) {
            return Err(KernelError::Value { what: "query", at }.into());
        }
        let (need, have) = (search_blocks(tree.view().parts().waiting), arena.free());
        if need > have {
            return Err(KernelError::Scratch { need, have }.into());
        }
        Ok(Self { tree, tier: tier_of(tier)?, query, distances, ids, found, arena })
    }

    fn nearest(self, except: Idx) -> Result<(), Fault> {
        let Self { tree, tier, query, distances, ids, found, arena } = self;
        let view = tree.view();
        let visitor = Nearest::new(view.parts().ids, except, KBest::new(distances, ids)?);
        *found = T::ask(&tree, query, Ask { tier, view, visitor, arena })?.finish();
        Ok(())
    }

    fn before(self, ranks: &[Idx], earliest: &[Idx], before: Idx) -> Result<(), Fault> {
        let Self { tree, tier, query, distances, ids, found, arena } = self;
        let view = tree.view();
        let precedence = Precedence::new(view, ranks, earliest)?;
        let visitor = Conditional::Earlier(Earlier::new(view, precedence, before, KBest::new(distances, ids)?)?);
        if let Conditional::Earlier(visitor) = T::ask(&tree, query, Ask { tier, view, visitor, arena })? {
            *found = visitor.finish();
        }
        Ok(())
    }

    fn within(self, radius: f64, except: Idx) -> Result<(), Fault> {
        let Self { tree, tier, query, distances, ids, found, arena } = self;
        if radius.is_nan() || radius < 0.0 {
            return Err(KernelError::Value { what: "radius", at: 0 }.into());
        }
        let view = tree.view();
        let visitor = Conditional::Within(Within::new(view.parts().ids, except, radius, ids, distances)?);
        if let Conditional::Within(visitor) = T::ask(&tree, query, Ask { tier, view, visitor, arena })? {
            *found = visitor.found()? as usize; // a count, so not negative
        }
        Ok(())
    }
}

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
