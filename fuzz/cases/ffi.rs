//! The C functions, called with lengths that do not fit, null and misaligned pointers, and outputs that share memory with
//! other arguments.
//!
//! Every argument is an allocation of exactly the length that is claimed for it, so that AddressSanitizer sees any access
//! beyond it. Whatever comes back, it is the status that the error holds too; on an error no output has changed; and a
//! call with nothing wrong about it is done. The answers of the kernels behind have targets of their own; searches are
//! compared with brute force here as well.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr;

use bytemuck::Pod;
use covertree::*;
use covertree_kernels::dist::SquaredEuclidean;
use covertree_kernels::index::NONE;
use covertree_kernels::oracle::tree::{HandMade, bytes_of_image};

/// Memory of one argument.
struct Piece {
    start: *mut u8,
    layout: Layout,
    /// The bytes before the call, of an output.
    before: Option<Vec<u8>>,
}

/// One call and all its memory.
struct Hostile<'a> {
    data: &'a [u8],
    pieces: Vec<Piece>,
    /// Whether every argument so far is as it should be.
    honest: bool,
    error: covertree_error,
}

impl Drop for Hostile<'_> {
    fn drop(&mut self) {
        for piece in &self.pieces {
            // SAFETY: it was allocated with this layout, and is freed once.
            unsafe { dealloc(piece.start, piece.layout) };
        }
    }
}

const NO_ERROR: covertree_error =
    covertree_error { code: covertree_status::Ok, need: -1, have: -1, at: -1, what: [0; COVERTREE_NAME_LEN] };

impl<'a> Hostile<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, pieces: Vec::new(), honest: true, error: NO_ERROR }
    }

    fn u8(&mut self) -> u8 {
        let Some((&first, rest)) = self.data.split_first() else { return 0 };
        self.data = rest;
        first
    }

    fn below(&mut self, limit: usize) -> usize {
        (usize::from(self.u8()) << 8 | usize::from(self.u8())) % limit
    }

    /// A number that is no length of memory: mostly the right one, sometimes one that no memory has.
    fn number(&mut self, right: usize) -> usize {
        let wrong = match self.u8() {
            0..=219 => return right,
            220..=229 => right.wrapping_add(1),
            230..=236 => right.wrapping_sub(1),
            237..=242 => 0,
            243..=246 => usize::MAX,
            247..=250 => usize::MAX / 8,
            _ => i32::MAX as usize,
        };
        self.honest &= wrong == right;
        wrong
    }

    /// A length of memory, near the right one.
    fn len(&mut self, right: usize) -> usize {
        let wrong = match self.u8() {
            0..=219 => return right,
            220..=230 => right + 1,
            231..=240 => right.saturating_sub(1),
            241..=246 => 0,
            _ => self.below(64),
        };
        self.honest &= wrong == right;
        wrong
    }

    /// A choice among a few, or none of them.
    fn choice(&mut self, choices: u32) -> u32 {
        let choice = u32::from(self.u8()) % (choices + 1);
        self.honest &= choice < choices;
        choice
    }

    fn tier(&mut self) -> u32 {
        let tier = u32::from(self.u8()) % 5;
        self.honest &= tier <= covertree_tier_best();
        tier
    }

    /// Memory of so many values, or a pointer that must be refused.
    fn memory<T: Pod>(&mut self, len: usize, output: bool) -> *mut T {
        let (bytes, kind) = (len * size_of::<T>(), self.u8());
        if kind >= 250 && len > 0 {
            self.honest = false;
            return ptr::null_mut();
        }
        if (240..250).contains(&kind) && len > 0 {
            // Another argument, if there is one that is long enough.
            let other =
                self.pieces.iter().find(|piece| piece.layout.size() > bytes && piece.layout.align() >= align_of::<T>());
            if let Some(other) = other {
                self.honest = false;
                return other.start.cast();
            }
        }
        let shift = usize::from((230..240).contains(&kind) && align_of::<T>() > 1 && len > 0);
        self.honest &= shift == 0;
        // One more byte at least, since there is no allocation of none; never within reach of a shorter claim.
        let layout = Layout::from_size_align((bytes + shift).max(1), align_of::<T>()).expect("a small layout");
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc(layout) };
        assert!(!start.is_null());
        for i in 0..layout.size() {
            // SAFETY: within the allocation.
            unsafe { start.add(i).write(0xa5) };
        }
        let before = output.then(|| vec![0xa5; layout.size()]);
        self.pieces.push(Piece { start, layout, before });
        // SAFETY: within the allocation, or one past it.
        unsafe { start.add(shift) }.cast()
    }

    fn output<T: Pod>(&mut self, len: usize) -> *mut T {
        self.memory(len, true)
    }

    /// An input that holds the values, as far as there is room; padded with zeros.
    fn input<T: Pod>(&mut self, values: &[T], len: usize) -> *const T {
        let memory: *mut T = self.memory(len, false);
        let own = self.pieces.last().is_some_and(|piece| piece.start.addr() == memory.addr() && piece.before.is_none());
        if own && memory.is_aligned() {
            for i in 0..len {
                // SAFETY: the allocation holds `len` values.
                unsafe { memory.add(i).write(values.get(i).copied().unwrap_or(T::zeroed())) };
            }
        }
        memory
    }

    /// What every call must keep to.
    fn settle(&self, status: covertree_status) -> bool {
        assert!(!self.honest || status == covertree_status::Ok, "refused: {:?}", self.error);
        if status == covertree_status::Ok {
            return self.honest;
        }
        assert_eq!((status, self.error.what[0] != 0), (self.error.code, true));
        for piece in &self.pieces {
            if let Some(before) = &piece.before {
                // SAFETY: the allocation is that long, and all of it was written.
                let now = unsafe { std::slice::from_raw_parts(piece.start, piece.layout.size()) };
                assert_eq!(now, before, "an output changed although the call failed: {:?}", self.error);
            }
        }
        false
    }
}

pub fn check(data: &[u8]) {
    let mut call = Hostile::new(data);
    match call.u8() % 12 {
        0 => distances(&mut call),
        1 => keys(&mut call),
        2 => group(&mut call),
        3 => conflicts(&mut call),
        4 => independent(&mut call),
        5 => selection(&mut call),
        6 => covariance(&mut call),
        7 => residual(&mut call),
        8 => landmarks(&mut call),
        9 => file(&mut call),
        _ => tree(&mut call),
    }
}

fn distances(call: &mut Hostile<'_>) {
    let (points, dim) = (call.below(40), 1 + call.below(6));
    let rows: Vec<f32> = (0..points * dim).map(|i| (i * i % 19) as f32).collect();
    let order: Vec<i32> = (0..points as i32).collect();
    let (rows_len, order_len) = (call.len(rows.len()), call.len(points));
    // Rows may have any number that fits the dimension, and the order any length; then the panels decide.
    let panels_len = call.len(covertree_panels_len_f32(points, dim));
    let (rows, order) = (call.input(&rows, rows_len), call.input(&order, order_len));
    let (panels, dim_given) = (call.output::<f32>(panels_len), call.number(dim));
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status =
        unsafe { covertree_pack_rows_f32(rows, rows_len, dim_given, order, order_len, panels, panels_len, error) };
    call.settle(status);

    let mut call = Hostile::new(call.data);
    let (tier, form) = (call.tier(), call.choice(4));
    let (query_len, panels_len) = (call.number(dim).min(64), call.len(covertree_panels_len_f64(points, dim)));
    let out_len = call.len(covertree_panels_len_f64(points, 1));
    let (query, panels) = (call.input(&[1.0; 8], query_len), call.input(&[0.5; 512], panels_len));
    let (out, points) = (call.output(out_len), call.number(points));
    let error = &raw mut call.error;
    // SAFETY: as above.
    let status = unsafe {
        covertree_distances_f64(tier, form, query, query_len, panels, panels_len, points, out, out_len, error)
    };
    call.settle(status);
}

fn keys(call: &mut Hostile<'_>) {
    let (points, dim) = (call.below(40), 1 + call.below(4));
    let rows: Vec<f64> = (0..points * dim).map(|i| (i * i % 19) as f64).collect();
    let (rows_len, keys_len, tier) = (call.len(rows.len()), call.len(points), call.tier());
    let rows = call.input(&rows, rows_len);
    let (low, high) = (call.input(&[-1.0; 4], dim), call.input(&[20.0; 4], dim));
    let keys = call.output(keys_len);
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe { covertree_hilbert_keys_f64(tier, rows, rows_len, dim, low, high, keys, keys_len, error) };
    call.settle(status);

    let mut call = Hostile::new(call.data);
    let (low, high, tier) = (call.output(dim), call.output(dim), call.tier());
    let rows = call.input(&[3.0; 200], points * dim);
    let error = &raw mut call.error;
    // SAFETY: as above.
    let status = unsafe { covertree_bounds_f64(tier, rows, points * dim, dim, low, high, error) };
    call.settle(status);

    let mut call = Hostile::new(call.data);
    let ids: Vec<i32> = (0..points as i32).rev().collect();
    let (rows, ids) = (call.input(&[3.0; 200], points * dim), call.input(&ids, points));
    let (keys_len, offsets) = (call.len(points), call.input(&[0.5; 4], dim));
    let (keys, error) = (call.output(keys_len), &raw mut call.error);
    // SAFETY: as above.
    let status = unsafe {
        covertree_cell_keys_f64(rows, points * dim, dim, ids, points, 1.5, offsets, -2, 1, keys, keys_len, error)
    };
    call.settle(status);
}

fn group(call: &mut Hostile<'_>) {
    let (len, groups) = (call.below(60), 1 + call.below(20));
    let keys: Vec<i32> = (0..len).map(|_| i32::from(call.u8()) % (groups as i32 + 1)).collect();
    call.honest &= keys.iter().all(|key| *key < groups as i32);
    let (keys_len, starts_len, rows_len) = (call.len(len), call.len(groups + 1), call.len(len));
    let keys = call.input(&keys, keys_len);
    let (starts, rows) = (call.output(starts_len), call.output(rows_len));
    let groups = call.number(groups) as i32; // any bits
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe { covertree_group_by_key(keys, keys_len, groups, starts, starts_len, rows, rows_len, error) };
    call.settle(status);
}

fn conflicts(call: &mut Hostile<'_>) {
    let points = call.below(40);
    let (panels_len, radius_len) = (call.len(covertree_panels_len_f64(points, 1)), call.len(points));
    let values: Vec<f64> = (0..panels_len).map(|i| (i * 7 % 11) as f64).collect();
    let (tier, form, above) = (call.tier(), call.choice(3), call.choice(2));
    let columns_end = call.number(points) as i32; // any bits
    let scope = covertree_scope { form, above, first: 0, columns: 0, columns_end };
    let (panels, radius) = (call.input(&values, panels_len), call.input(&[2.0; 64], radius_len));
    let (counts, points) = (call.output::<i32>(radius_len), call.number(points));
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe {
        covertree_count_within_f64(tier, scope, panels, panels_len, 1, points, radius, radius_len, counts, error)
    };
    if !call.settle(status) {
        return;
    }
    // SAFETY: an honest call filled it.
    let counts: Vec<i32> = unsafe { std::slice::from_raw_parts(counts, radius_len) }.to_vec();
    let total = counts.iter().map(|&count| count as usize).sum();
    let mut call = Hostile::new(call.data);
    let len = call.len(total);
    let (panels, radius) = (call.input(&values, panels_len), call.input(&[2.0; 64], radius_len));
    let counts = call.input(&counts, radius_len);
    let (columns, distances, error) = (call.output(len), call.output(len), &raw mut call.error);
    // SAFETY: as above.
    let status = unsafe {
        covertree_emit_within_f64(
            tier, scope, panels, panels_len, 1, points, radius, radius_len, counts, columns, distances, len, error,
        )
    };
    call.settle(status);
}

fn independent(call: &mut Hostile<'_>) {
    // A ring.
    let vertices = 3 + call.below(30);
    let n = vertices as i32;
    let starts: Vec<i32> = (0..=n).map(|v| 2 * v).collect();
    let mut targets: Vec<i32> = (0..n).flat_map(|v| [(v + n - 1) % n, (v + 1) % n]).collect();
    if call.u8() > 240 {
        let place = call.below(targets.len());
        targets[place] = n + i32::from(call.u8());
        call.honest = false;
    }
    let (starts_len, targets_len, state_len) = (call.len(starts.len()), call.len(targets.len()), call.len(vertices));
    let (starts, targets) = (call.input(&starts, starts_len), call.input(&targets, targets_len));
    let state = call.input(&vec![COVERTREE_MIS_OPEN; vertices], state_len).cast_mut();
    let scratch_len = call.len(covertree_mis_blocks(vertices));
    let scratch = call.memory::<[u64; 8]>(scratch_len, false).cast::<covertree_block>();
    call.honest &= scratch.is_aligned();
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe {
        covertree_mis(starts, starts_len, targets, targets_len, 5, state, state_len, scratch, scratch_len, error)
    };
    if call.settle(status) {
        let mut broken = -1;
        // SAFETY: as above.
        let status = unsafe {
            covertree_verify_mis(starts, starts_len, targets, targets_len, state, state_len, &mut broken, error)
        };
        assert_eq!((status, broken), (covertree_status::Ok, 0));
    }
}

fn selection(call: &mut Hostile<'_>) {
    let (len, k) = (1 + call.below(60), 1 + call.below(70));
    let values: Vec<f64> = (0..len).map(|_| f64::from(call.u8())).collect();
    let ids: Vec<i32> = (0..len as i32).collect();
    let (values, ids) = (call.input(&values, len), call.input(&ids, len));
    let (best, best_ids, found) = (call.output(k), call.output(k), call.output(1));
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe { covertree_k_best(values, ids, len, best, best_ids, k, found, error) };
    call.settle(status);

    let mut call = Hostile::new(call.data);
    let (tier, floats) = (call.tier(), call.input(&[1.5f32, 0.5, f32::NAN, 2.5], len));
    let (positions, found, error) = (call.output(len), call.output(1), &raw mut call.error);
    // SAFETY: as above.
    let status = unsafe { covertree_positions_at_most_f32(tier, floats, len, 1.0, 0, positions, found, error) };
    call.settle(status);
}

fn covariance(call: &mut Hostile<'_>) {
    let (tier, kind, len) = (call.tier(), call.choice(4), call.below(60));
    let variance = [1.0, 2.0, 0.0, -1.0, f64::NAN, f64::INFINITY][call.below(6)];
    call.honest &= variance == 1.0 || variance == 2.0;
    let (squares, out) = (call.input(&[0.0, 1.0, 1e300, f64::INFINITY], len), call.output(len));
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe { covertree_covariances_f64(tier, kind, variance, squares, out, len, error) };
    call.settle(status);
}

fn residual(call: &mut Hostile<'_>) {
    let (points, dim, columns) = (1 + call.below(30), 1 + call.below(3), call.below(4));
    let (tier, kind) = (call.tier(), call.choice(4));
    let model = covertree_residual_model { kind, variance: 1.0, dim, columns };
    let lanes = covertree_panels_len_f64(points, 1);
    let (coordinates_len, v_len) = (call.len(lanes * dim), call.len(lanes * columns));
    let out_len = call.len(lanes);
    let (x, v_x) = (call.input(&[0.5; 3], dim), call.input(&[0.25; 4], columns));
    let (coordinates, v) = (call.input(&[0.75; 96], coordinates_len), call.input(&[0.25; 96], v_len));
    let (scales, margins) = (call.input(&[1.25; 64], out_len), call.input(&[1e-8; 64], out_len));
    let (out, masks) = (call.output(out_len), call.output(out_len / 8));
    let (points_given, error) = (call.number(points), &raw mut call.error);
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe {
        covertree_residual_to_run_f64(
            tier,
            model,
            x,
            v_x,
            1.25,
            1e-8,
            coordinates,
            coordinates_len,
            v,
            v_len,
            points_given,
            scales,
            margins,
            0.5,
            out,
            out_len,
            masks,
            error,
        )
    };
    call.settle(status);

    // The norms are scratch, so they are no output here.
    let mut call = Hostile::new(call.data);
    let (v_len, scales_len, kind) = (call.len(lanes * columns), call.len(lanes), call.choice(4));
    let p = [[0.9, 0.5, 1.0][call.below(3)]; 32];
    let (v, p) = (call.input(&[0.25; 96], v_len), call.input(&p, points));
    let norms = call.memory(points, false);
    let (scales, margins, error) = (call.output(scales_len), call.output(scales_len), &raw mut call.error);
    let model = covertree_residual_model { kind, ..model };
    // SAFETY: as above.
    let status = unsafe {
        covertree_residual_prepare_f64(model, v, v_len, p, norms, points, scales, margins, scales_len, error)
    };
    call.settle(status);
}

fn landmarks(call: &mut Hostile<'_>) {
    let (members, most) = (1 + call.below(20), call.below(10));
    // Any numbers at all, but the answers then mean nothing.
    let rho: Vec<f64> =
        (0..members * members).map(|_| [0.5, -0.25, 1.0, 0.0, f64::NAN, 1e300][usize::from(call.u8() / 50)]).collect();
    let lanes = covertree_panels_len_f64(members, 1);
    let (rho, errors) = (call.input(&rho, members * members), call.input(&[1e-9; 20], members));
    let memory = covertree_frame_memory {
        landmarks: call.output(most),
        factor: call.output(most * most),
        rows: call.output(members * most),
        extents: call.output(members * 3),
        coordinates: call.output(lanes * most),
        spans: call.output(lanes),
        tails: call.output(lanes),
        slacks: call.output(lanes),
    };
    let (count, most) = (call.output::<usize>(1), if call.u8() > 250 { usize::MAX } else { most });
    call.honest &= most < 10;
    let scratch_len = call.len(covertree_landmarks_blocks(members, most).min(100));
    let scratch = call.memory::<[u64; 8]>(scratch_len, false).cast::<covertree_block>();
    call.honest &= scratch.is_aligned();
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length; with more landmarks than anyone has, all are refused
    // before they are looked at.
    let status = unsafe {
        covertree_landmarks_f64(rho, errors, members, most, 1e-3, memory, count, scratch, scratch_len, error)
    };
    if !call.settle(status) {
        return;
    }
    // SAFETY: an honest call filled it.
    let count = unsafe { count.read() };
    let mut next = Hostile::new(call.data);
    let tier = next.tier();
    let least = next.input(&[0.5; 32], lanes);
    let (out, masks, error) = (next.output(lanes * lanes), next.output(lanes * lanes / 8), &raw mut next.error);
    let covertree_frame_memory { coordinates, spans, tails, slacks, .. } = memory;
    // SAFETY: as above; the packed members belong to the first call, whose memory is still there.
    let status = unsafe {
        covertree_landmark_bounds_f64(tier, count, members, coordinates, spans, tails, slacks, least, out, masks, error)
    };
    next.settle(status);
}

/// A small tree and its file.
fn made(call: &mut Hostile<'_>) -> (HandMade<f32>, Vec<u64>) {
    let (points, dim) = (1 + call.below(90), 1 + call.below(4));
    let data: Vec<f32> = (0..points * dim).map(|i| (i * i % 23) as f32 + i as f32 / 16.0).collect();
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
fn file(call: &mut Hostile<'_>) {
    let (_, mut image) = made(call);
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
        search(call, &tree, None);
    } else {
        assert_eq!(tree.opaque[0], 0, "what was not opened stays closed");
    }
}

fn tree(call: &mut Hostile<'_>) {
    let (made, image) = made(call);
    let bytes = bytes_of_image(&image);
    let mut tree = CLOSED;
    // SAFETY: the image outlives the handle.
    let status = unsafe { covertree_tree_open(bytes.as_ptr(), bytes.len(), &mut tree, &raw mut call.error) };
    assert_eq!(status, covertree_status::Ok, "{:?}", call.error);
    // SAFETY: as above.
    let status = unsafe { covertree_tree_verify(bytes.as_ptr(), bytes.len(), &raw mut call.error) };
    assert_eq!(status, covertree_status::Checksum, "an image has no checksum");
    call.error = NO_ERROR;
    search(call, &tree, Some(&made));
}

/// Searches of a tree that was opened, all three kinds; with the tree, the answers are compared.
fn search(call: &mut Hostile<'_>, tree: &covertree_tree, made: Option<&HandMade<f32>>) {
    // SAFETY: everything in it is numbers.
    let mut info: covertree_tree_info = unsafe { std::mem::zeroed() };
    // SAFETY: the handle is open and there is room.
    let status = unsafe { covertree_tree_about(tree, &mut info, ptr::null_mut()) };
    assert_eq!(status, covertree_status::Ok);
    let euclidean = info.metric[..10].iter().zip(b"euclidean\0").all(|(&a, &b)| a as u8 == b);
    let made = made.filter(|_| euclidean);
    let (dim, groups, blocks) = (info.dim as usize, info.groups as usize, info.search_blocks);
    if dim > 64 || blocks > 4096 {
        return; // a damaged file may claim many columns of few points
    }
    let mut earliest = vec![0; groups];
    // SAFETY: there is room for the groups.
    let status = unsafe { covertree_earliest(tree, earliest.as_mut_ptr(), groups, ptr::null_mut()) };
    assert_eq!(status, covertree_status::Ok);

    let mut call = Hostile::new(call.data);
    let (kind, tier, k, before) = (call.u8() % 3, call.tier(), 1 + call.below(12), call.below(100) as i32);
    let query: Vec<f32> = (0..dim).map(|_| f32::from(call.u8()) / 4.0).collect();
    let query_len = call.len(dim);
    let given = call.input(&query, query_len);
    let (distances, ids, found) = (call.output::<f64>(k), call.output::<i32>(k), call.output::<usize>(1));
    let mut scratch = vec![covertree_block { words: [7; 16] }; blocks];
    let scratch_len = call.len(blocks).min(blocks);
    let (scratch, error) = (scratch.as_mut_ptr(), &raw mut call.error);
    let groups_len = groups - usize::from(kind == 1 && groups > 0 && call.u8() > 240);
    call.honest &= groups_len == groups && info.coordinate_bytes == 4 && made.is_some();
    let earliest = call.input(&earliest, groups_len);
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe {
        match kind {
            0 => covertree_knn_f32(
                tier,
                tree,
                given,
                query_len,
                -1,
                distances,
                ids,
                k,
                found,
                scratch,
                scratch_len,
                error,
            ),
            1 => covertree_knn_before_f32(
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
            _ => covertree_within_f32(
                tier,
                tree,
                given,
                query_len,
                3.0,
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
    if !call.settle(status) {
        return;
    }
    let Some(made) = made else { return };
    let mut want = made.brute::<SquaredEuclidean>(&query, NONE, f64::sqrt);
    match kind {
        0 => {}
        1 => want.retain(|(_, id)| *id < before),
        _ => want.retain(|(distance, _)| *distance <= 3.0),
    }
    // SAFETY: an honest call filled them.
    let (distances, ids, found) =
        unsafe { (std::slice::from_raw_parts(distances, k), std::slice::from_raw_parts(ids, k), found.read()) };
    if kind == 2 {
        assert_eq!(found, want.len());
        assert!(ids[..k.min(found)].iter().zip(distances).all(|(&id, &distance)| want.contains(&(distance, id))));
        return;
    }
    assert_eq!(found, k.min(want.len()));
    want.resize(want.len().max(k), (f64::INFINITY, NONE));
    assert!(distances.iter().copied().zip(ids.iter().copied()).eq(want[..k].iter().copied()));
}
