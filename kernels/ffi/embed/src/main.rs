//! One kernel of each family, and searches of a tree that `covertree build` wrote, in a Rust program without std, without
//! a heap and without libc. All memory is its own. It panics, and so exits with 1, at the first answer that is wrong.
#![no_std]
#![no_main]

mod bare;

use core::fmt::Write;

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::conflict::{ConflictCounters, Scope, Which, count_within, csr::scan_degrees, emit_within};
use covertree_kernels::covariance::{Covariance, CovarianceKind, covariances, scale_rows};
use covertree_kernels::dist::{self, Manhattan, Rounding, SquaredEuclidean};
use covertree_kernels::grid::{Grid, cell_keys, grid_offsets};
use covertree_kernels::group::group_by_key;
use covertree_kernels::hash::mix64;
use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::landmark::{
    Chosen, Extent, FrameMemory, FramePoints, LandmarkCounters, Limits, bounds, choose, choose_blocks, pack_members,
};
use covertree_kernels::mis::{MisCounters, OPEN, mis, mis_blocks, verify_mis};
use covertree_kernels::order::{self, Fit, Frame, hilbert_keys};
use covertree_kernels::projection::{
    AXES, Projection, excess, principal_axes, principal_axes_blocks, project_rows, stretch,
};
use covertree_kernels::residual::{
    PointRow, ResidualCounters, ResidualModel, ResidualPoints, ResidualQuery, one_to_run, rho_of_rows, row_norms,
    scales_and_margins,
};
use covertree_kernels::select::{SelectCounters, kth_smallest, kth_smallest_blocks, positions_at_most};
use covertree_kernels::simd::Tier;
use covertree_kernels::topk::KBest;
use covertree_kernels::tree::stored::StoredTree;
use covertree_kernels::tree::{Precedence, Within, earliest_ranks, knn, knn_before, search, search_blocks};
use covertree_kernels::view::{Csr, Panels, Rows, pack_rows};

/// Bytes at an address that is a multiple of 64.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

static TREE: &Aligned<[u8]> = &Aligned(*include_bytes!(env!("COVERTREE_TREE_FILE")));
/// A `.npy` file of floats.
static POINTS: &Aligned<[u8]> = &Aligned(*include_bytes!(env!("COVERTREE_POINTS_FILE")));

/// Any order of 0..1, the same on every run.
fn uniform(seed: u64, i: usize) -> f64 {
    (mix64(seed ^ (i as u64) << 8) >> 11) as f64 / (1u64 << 53) as f64
}

/// The program.
pub extern "C" fn run() -> ! {
    for tier in Tier::all() {
        distances_and_selection(tier);
        keys_and_groups(tier);
        graphs(tier);
        correlations(tier);
        projections(tier);
        search_tree(tier);
        let _ = writeln!(bare::Voice, "{tier}: the Rust program agrees with brute force");
    }
    bare::exit(0)
}

fn distances_and_selection(tier: Tier) {
    const LEN: usize = 37;
    const DIM: usize = 5;
    let rows: [f32; LEN * DIM] = core::array::from_fn(|i| uniform(1, i) as f32);
    let query: [f32; DIM] = core::array::from_fn(|i| uniform(2, i) as f32);
    let order: [Idx; LEN] = core::array::from_fn(|i| i as Idx);
    let (mut panels, mut out) = ([0.0; 48 * DIM], [0.0; 48]);
    pack_rows(Rows::new(&rows, DIM).unwrap(), &order, &mut panels).unwrap();
    let packed = Panels::new(&panels, DIM, LEN).unwrap();
    dist::one_to_run(tier, SquaredEuclidean, Rounding::Published, &query, packed, &mut out).unwrap();
    for (row, &got) in rows.chunks_exact(DIM).zip(&out) {
        assert_eq!(got, row.iter().zip(&query).fold(0.0, |sum, (p, q)| sum + (q - p) * (q - p)));
    }

    let (values, mut positions, mut counters) = (&out[..LEN], [NONE; LEN], SelectCounters::default());
    let found = positions_at_most(tier, values, 0.5, 0, &mut positions, &mut counters).unwrap();
    assert!(positions[..found].iter().copied().eq((0..LEN as Idx).filter(|&i| values[at(i)] <= 0.5)));
    let (mut distances, mut ids) = ([0.0; 4], [NONE; 4]);
    let mut best = KBest::new(&mut distances, &mut ids).unwrap();
    for (id, &value) in (0..).zip(values) {
        best.offer(f64::from(value), id);
    }
    assert_eq!(best.finish(), 4);
    let mut memory = [Block::splat(7); kth_smallest_blocks::<f32>(LEN)];
    for (k, &distance) in (1..).zip(&distances) {
        let kth = kth_smallest(tier, values, k, &mut Arena::new(&mut memory), &mut counters).unwrap();
        assert_eq!((f64::from(kth), values.iter().filter(|value| **value < kth).count()), (distance, k - 1));
    }
}

fn keys_and_groups(tier: Tier) {
    const SIDE: usize = 8;
    const LEN: usize = SIDE * SIDE;
    let rows: [f64; 2 * LEN] = core::array::from_fn(|i| [i / 2 % SIDE, i / 2 / SIDE][i % 2] as f64);
    let (rows, ids) = (Rows::new(&rows, 2).unwrap(), core::array::from_fn::<Idx, LEN, _>(|i| i as Idx));
    let (mut low, mut high, mut keys) = ([0.0; 2], [0.0; 2], [0; LEN]);
    order::bounds(tier, rows, &mut low, &mut high).unwrap();
    hilbert_keys(tier, rows, &Frame::new(&low, &high, Fit::Cube).unwrap(), 0, &mut keys).unwrap();
    // Along the Hilbert curve through a lattice each step leads to a neighbour.
    let mut path = ids;
    path.sort_unstable_by_key(|&i| keys[at(i)]);
    for step in path.windows(2) {
        let (a, b) = (rows.row(at(step[0])), rows.row(at(step[1])));
        assert_eq!((a[0] - b[0]).abs() + (a[1] - b[1]).abs(), 1.0);
    }

    let mut offsets = [0.0; 2];
    grid_offsets(7, -3, 1, 2.0, &mut offsets).unwrap();
    cell_keys(rows, &ids, &Grid::new(2.0, &offsets, -3, 1).unwrap(), &mut keys).unwrap();
    let cell = |i: usize| [0, 1].map(|d| libm::floor((rows.row(i)[d] + offsets[d]) / 2.0));
    assert!((0..LEN).all(|i| (0..i).all(|j| (keys[i] == keys[j]) == (cell(i) == cell(j)))));

    let groups: [Idx; LEN] = core::array::from_fn(|i| (uniform(3, i) * 7.0) as Idx);
    let (mut starts, mut members) = ([0; 8], [0; LEN]);
    group_by_key(&groups, 7, &mut starts, &mut members).unwrap();
    let of = |g: usize| members[at(starts[g])..at(starts[g + 1])].iter().copied();
    assert!((0..7).all(|g| of(g).eq(ids.into_iter().filter(|&i| groups[at(i)] == g as Idx))));
}

fn graphs(tier: Tier) {
    const LEN: usize = 64;
    let (points, radius): ([f64; LEN], _) = (core::array::from_fn(|i| uniform(4, i)), [0.1; LEN]);
    let panels = Panels::new(&points, 1, LEN).unwrap();
    let scope = Scope { first: 0, radius: &radius, columns: 0..LEN as Idx, which: Which::All };
    let (mut counters, mut counts, mut starts) = (ConflictCounters::default(), [0; LEN], [0; LEN + 1]);
    count_within::<Manhattan, f64>(tier, panels, &scope, &mut counts, &mut counters).unwrap();
    let edges = at(scan_degrees(&counts, &mut starts).unwrap());
    let (mut columns, mut distances) = ([0; LEN * LEN], [0.0; LEN * LEN]);
    let (columns, distances) = (&mut columns[..edges], &mut distances[..edges]);
    emit_within::<Manhattan, f64, Idx>(tier, panels, &scope, &counts, columns, distances, &mut counters).unwrap();
    let graph = Csr::new(&starts, columns).unwrap();
    for i in 0..LEN {
        let near = (0..LEN).filter(|&j| j != i && (points[i] - points[j]).abs() <= 0.1);
        assert!(graph.of(i as Idx).iter().map(|&j| at(j)).eq(near));
    }
    let (mut state, mut memory) = ([OPEN; LEN], [Block::splat(7); mis_blocks(LEN)]);
    mis(&graph, 42, &mut state, &mut Arena::new(&mut memory), &mut MisCounters::default()).unwrap();
    assert_eq!(verify_mis(&graph, &state), Ok(None));
}

fn correlations(tier: Tier) {
    const LEN: usize = 24;
    const MOST: usize = 6;
    let covariance = Covariance::new(CovarianceKind::Matern52, 1.0).unwrap();
    let model = ResidualModel::new(covariance, 1, 1).unwrap();
    let (raw, mut x): ([f64; LEN], _) = (core::array::from_fn(|i| uniform(5, i)), [0.0; LEN]);
    scale_rows(tier, Rows::new(&raw, 1).unwrap(), &[0.3], &mut x).unwrap();
    assert!(x.iter().zip(raw).all(|(z, x)| *z == x / 0.3));
    // The inducing point lies at 0: V is the covariance with it. One panel of one column is a row.
    let (squares, mut v) = (x.map(|x| x * x), [0.0; LEN]);
    covariances(tier, covariance, Rounding::Published, &squares, &mut v).unwrap();
    let p = v.map(|v| 1.0 - v * v + 1e-6);
    let (mut norms, mut scales, mut margins) = ([0.0; LEN], [0.0; LEN], [0.0; LEN]);
    row_norms(&model, &v, &mut norms).unwrap();
    scales_and_margins(&model, 0.0, &norms, &p, &mut scales, &mut margins).unwrap();
    let points = ResidualPoints::new(model, Panels::new(&x, 1, LEN).unwrap(), &v, &scales, &margins).unwrap();
    let run = points.run(0, points.panels()).unwrap();
    let row = |i: usize| PointRow { coordinates: &x[i..=i], v: &v[i..=i], p: p[i] };
    let mut rho = [[0.0; LEN]; LEN];
    for (i, rho) in rho.iter_mut().enumerate() {
        let query = ResidualQuery { coordinates: &x[i..=i], v: &v[i..=i], scale: scales[i], margin: margins[i] };
        let mut masks = [0; LEN / 8];
        one_to_run(tier, &query, &run, 0.5, rho, &mut masks, &mut ResidualCounters::default()).unwrap();
        for j in 0..LEN {
            let exact = rho_of_rows(covariance, row(i), row(j));
            assert!((rho[j].clamp(-1.0, 1.0) - exact).abs() <= margins[i] * margins[j]);
            assert!(masks[j / 8] >> (j % 8) & 1 == 1 || exact.abs() < 0.5);
        }
    }

    let (mut landmarks, mut factor, mut rows) = ([NONE; MOST], [0.0; MOST * MOST], [0.0; LEN * MOST]);
    let mut extents = [Extent { span: 0.0, tail: 0.0, slack: 0.0 }; LEN];
    let chosen =
        Chosen { landmarks: &mut landmarks, factor: &mut factor, coordinates: &mut rows, extents: &mut extents };
    let column = |member, out: &mut [f64]| {
        out.copy_from_slice(&rho[at(member)]);
        Ok(())
    };
    let mut memory = [Block::splat(7); choose_blocks(LEN, MOST)];
    let limits = Limits { count: MOST, pivot: 1e-3, weights: &[] };
    let (mut arena, mut counters) = (Arena::new(&mut memory), LandmarkCounters::default());
    let frame = choose(limits, &margins, column, chosen, &mut arena, &mut counters).unwrap();
    let count = frame.count();
    let (mut coordinates, mut spans, mut tails, mut slacks) = ([0.0; LEN * MOST], [0.0; LEN], [0.0; LEN], [0.0; LEN]);
    let coordinates = &mut coordinates[..LEN * count];
    let mut memory = FrameMemory { coordinates, spans: &mut spans, tails: &mut tails, slacks: &mut slacks };
    pack_members(&frame, &rows, &extents, &mut memory).unwrap();
    let points = FramePoints::new(memory.slices(), LEN, count).unwrap();
    let (mut out, mut masks) = ([0.0; LEN * LEN], [0; LEN * LEN / 8]);
    bounds(tier, &points.queries(), &points, &[0.5; LEN], &mut out, &mut masks, &mut counters).unwrap();
    for (i, j) in (0..LEN).flat_map(|i| (0..i).map(move |j| (i, j))) {
        assert!(out[i * LEN + j] >= rho_of_rows(covariance, row(i), row(j)).abs());
    }
}

/// No two projections are farther apart than their points, but for rounding.
fn projections(tier: Tier) {
    const LEN: usize = 20;
    const WIDE: usize = 24;
    let rows: [f64; LEN * WIDE] = core::array::from_fn(|i| uniform(6, i));
    let rows = Rows::new(&rows, WIDE).unwrap();
    let (mut center, mut axes) = ([0.0; WIDE], [0.0; WIDE * AXES]);
    let mut memory = [Block::splat(7); principal_axes_blocks(WIDE)];
    let count = principal_axes(tier, rows, &mut center, &mut axes, &mut Arena::new(&mut memory)).unwrap();
    let projection = Projection::new(&center, &axes, count).unwrap();
    let (width, mut out) = (projection.width(), [0.0; LEN * (WIDE + AXES)]);
    let out = &mut out[..LEN * width];
    let spread = project_rows(tier, &projection, rows, out).unwrap();
    let apart = |a: &[f64], b: &[f64]| libm::sqrt(a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + (a - b) * (a - b)));
    for (i, j) in (0..LEN).flat_map(|i| (0..i).map(move |j| (i, j))) {
        let (a, b) = (&out[i * width..][..width], &out[j * width..][..width]);
        let (whole, part) = (apart(rows.row(i), rows.row(j)), apart(&a[..count], &b[..count]));
        assert!(a.ends_with(rows.row(i)) && part <= whole * stretch::<f64>(WIDE) + excess::<f64>(WIDE, spread));
    }
}

/// Most points of the tree.
const LEN_MAX: usize = 4096;
const DIM: usize = 3;

fn search_tree(tier: Tier) {
    let stored = StoredTree::new(&TREE.0).unwrap();
    assert_eq!((stored.metric(), stored.scaling()), ("euclidean", 0));
    let (view, points) = (stored.view(), stored.points::<f32>().expect("the coordinates are floats"));
    let metric = points.coordinates::<SquaredEuclidean>().unwrap();
    let (len, waiting) = (view.len(), view.parts().waiting);
    let start = 10 + usize::from(u16::from_le_bytes([POINTS.0[8], POINTS.0[9]]));
    let row = |id: usize| -> [f32; DIM] {
        core::array::from_fn(|d| {
            let place = start + 4 * (id * DIM + d);
            f32::from_le_bytes(core::array::from_fn(|byte| POINTS.0[place + byte]))
        })
    };
    let mut memory = [Block::splat(7); 512];
    assert!(len <= LEN_MAX && search_blocks(waiting) <= memory.len());
    let mut earliest = [0; LEN_MAX];
    let earliest = &mut earliest[..view.parts().groups.len()];
    earliest_ranks(view, view.parts().ids, earliest).unwrap();
    let precedence = Precedence::new(view, view.parts().ids, earliest).unwrap();
    for step in 0..40 {
        let (id, k) = (step * 67 % len, 1 + step % 12);
        let query = row(id);
        let mut truth = [f64::NAN; LEN_MAX];
        for (other, out) in truth[..len].iter_mut().enumerate() {
            let square = |(q, p): (&f32, f32)| (f64::from(*q) - f64::from(p)) * (f64::from(*q) - f64::from(p));
            *out = libm::sqrt(query.iter().zip(row(other)).map(square).fold(0.0, |sum, term| sum + term));
        }
        let truth = &truth[..len];
        let (mut distances, mut ids) = ([0.0; 12], [NONE; 12]);
        let (distances, ids) = (&mut distances[..k], &mut ids[..k]);
        let arena = &mut Arena::new(&mut memory);
        let (found, _) = knn(tier, view, &metric, &query, NONE, distances, ids, arena).unwrap();
        assert_nearest(truth, &distances[..found], &ids[..found], k);
        let answer = knn_before(tier, view, &metric, &query, precedence, id as Idx, distances, ids, arena);
        let (found, _) = answer.unwrap();
        assert_nearest(&truth[..id], &distances[..found], &ids[..found], k);

        let (mut near, mut apart) = ([NONE; LEN_MAX], [0.0; LEN_MAX]);
        let radius = 0.05 + truth[(id + 1) % len] / 8.0;
        let visitor = Within::new(view.parts().ids, NONE, radius, &mut near, &mut apart).unwrap();
        let (visitor, _) = search(tier, view, &metric, &query, visitor, arena).unwrap();
        let found = at(visitor.found().unwrap());
        assert_eq!(found, truth.iter().filter(|distance| **distance <= radius).count());
        assert!(near[..found].iter().zip(&apart).all(|(&id, &distance)| truth[at(id)] == distance));
    }
}

/// Whether the answers are the `k` nearest by (distance, id).
fn assert_nearest(truth: &[f64], distances: &[f64], ids: &[Idx], k: usize) {
    assert_eq!(ids.len(), k.min(truth.len()));
    for (place, (&id, &distance)) in ids.iter().zip(distances).enumerate() {
        assert_eq!(truth[at(id)], distance);
        let ahead = truth.iter().zip(0..).filter(|(other, row)| (**other, *row) < (distance, id)).count();
        assert_eq!(ahead, place);
    }
}
