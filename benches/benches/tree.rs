//! Searches of a tree in the memory of the caller: queries per second, beside a brute force by tiles. The tree is made by
//! hand, of points in the order of a Hilbert curve; trees of the builder are measured in the runner.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::uniform;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::{Rounding, SquaredEuclidean, one_to_run};
use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::oracle::tree::{HandMade, bytes_of_image};
use covertree_kernels::order::{Fit, Frame, hilbert_keys};
use covertree_kernels::simd::Tier;
use covertree_kernels::topk::KBest;
use covertree_kernels::tree::stored::StoredTree;
use covertree_kernels::tree::{
    Conflict, Ladder, Precedence, TreeParts, TreeView, Within, box_of_run, cover_ceilings, earliest_ranks, farthest,
    knn, knn_before, knn_panel, knn_panel_blocks, near_pairs, near_pairs_blocks, scalar, search, search_blocks,
};
use covertree_kernels::view::{Panels, Rows};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const LEN: usize = 32_768;
const DIM: usize = 3;
const K: usize = 8;
const QUERIES: usize = 256;

/// Uniform points in the order of a Hilbert curve, 32 to a leaf.
fn tree() -> HandMade<f32> {
    let data: Vec<f32> = uniform(LEN * DIM, 7).into_iter().map(|value| value as f32).collect(); // rounds
    let rows = Rows::new(&data, DIM).expect("whole rows");
    let frame = Frame::new(&[0.0f32; DIM], &[1.0; DIM], Fit::Cube).expect("a cube");
    let mut keys = vec![0; LEN];
    hilbert_keys(Tier::detect(), rows, &frame, 0, &mut keys).expect("a key for each row");
    let mut order: Vec<usize> = (0..LEN).collect();
    order.sort_by_key(|&row| keys[row]);
    HandMade::boxed(order.iter().flat_map(|&row| rows.row(row)).copied().collect(), DIM, 32, 16)
}

fn searches(criterion: &mut Criterion) {
    let made = tree();
    let waiting = TreeView::new(made.parts()).expect("it is whole").waiting_bound();
    let view = TreeView::new(TreeParts { waiting, ..made.parts() }).expect("the bound is one");
    let (metric, mut memory) = (made.metric::<SquaredEuclidean>(), vec![Block::default(); search_blocks(waiting)]);
    let mut panel_memory = vec![Block::default(); knn_panel_blocks::<f32>(waiting, DIM, K)];
    let queries: Vec<f32> = uniform(QUERIES * DIM, 8).into_iter().map(|value| value as f32).collect(); // rounds
    let mut earliest = vec![0; made.groups.len()];
    earliest_ranks(view, &made.ids, &mut earliest).expect("the shapes fit");
    let precedence = Precedence::new(view, &made.ids, &earliest).expect("the shapes fit");
    let packed = Panels::new(&made.packed, DIM, LEN).expect("the points are packed");

    let mut group = criterion.benchmark_group("tree");
    group.throughput(Throughput::Elements(QUERIES as u64));
    for tier in Tier::all() {
        let (mut distances, mut found) = ([0.0; K], [NONE; K]);
        let mut nearest = |query: &[f32], before: Option<Idx>| {
            let arena = &mut Arena::new(&mut memory);
            let (distances, found) = (&mut distances[..], &mut found[..]);
            let answer = match before {
                None => knn(tier, view, &metric, query, NONE, distances, found, arena),
                Some(before) => knn_before(tier, view, &metric, query, precedence, before, distances, found, arena),
            };
            assert_eq!(answer.map(|(found, _)| found), Ok(K));
            found[0]
        };
        let want = made.brute::<SquaredEuclidean>(&queries[..DIM], NONE, f64::sqrt);
        assert_eq!(nearest(&queries[..DIM], None), want[0].1, "{tier}");
        group.bench_function(BenchmarkId::new("knn", tier), |bench| {
            bench.iter(|| queries.chunks_exact(DIM).map(|query| nearest(query, None)).fold(0, Idx::max));
        });
        let half = LEN as Idx / 2;
        assert_eq!(Some(nearest(&queries[..DIM], Some(half))), want.iter().map(|pair| pair.1).find(|id| *id < half));
        group.bench_function(BenchmarkId::new("knn_before/half", tier), |bench| {
            bench.iter(|| queries.chunks_exact(DIM).map(|query| nearest(query, Some(half))).fold(0, Idx::max));
        });
        let mut members = |start: usize, distances: &mut [f64], found: &mut [Idx]| {
            let arena = &mut Arena::new(&mut panel_memory);
            let (queries, except) = (packed.run(start / 16, 1), &made.ids[start..start + 16]);
            knn_panel(tier, view, &metric, queries, except, distances, found, arena).expect("the shapes fit");
        };
        let (mut many_distances, mut many) = ([0.0; 16 * K], [NONE; 16 * K]);
        members(0, &mut many_distances, &mut many);
        let want = made.brute::<SquaredEuclidean>(made.row(1), made.ids[1], f64::sqrt);
        assert_eq!(many[K..2 * K], want[..K].iter().map(|pair| pair.1).collect::<Vec<_>>());
        group.bench_function(BenchmarkId::new("knn_panel/points", tier), |bench| {
            bench.iter(|| (0..QUERIES).step_by(16).for_each(|start| members(start, &mut many_distances, &mut many)));
        });
        group.bench_function(BenchmarkId::new("knn/points", tier), |bench| {
            bench.iter(|| {
                for position in 0..QUERIES {
                    let arena = &mut Arena::new(&mut memory);
                    let (query, except) = (made.row(position), made.ids[position]);
                    black_box(knn(tier, view, &metric, query, except, &mut distances, &mut found, arena))
                        .expect("the shapes fit");
                }
            });
        });
        let (mut near, mut apart) = (vec![NONE; LEN], vec![0.0; LEN]);
        group.bench_function(BenchmarkId::new("search/within", tier), |bench| {
            bench.iter(|| {
                for query in queries.chunks_exact(DIM) {
                    let visitor = Within::new(&made.ids, NONE, 0.04, &mut near, &mut apart).expect("equal lengths");
                    let arena = &mut Arena::new(&mut memory);
                    black_box(search(tier, view, &metric, query, visitor, arena).map(|answer| answer.1))
                        .expect("it fits");
                }
            });
        });
        let mut squares = vec![0.0; LEN];
        group.bench_function(BenchmarkId::new("brute force by tiles", tier), |bench| {
            bench.iter(|| {
                for query in queries.chunks_exact(DIM) {
                    one_to_run(tier, SquaredEuclidean, Rounding::Fused, query, packed, &mut squares).expect("it fits");
                    let mut best = KBest::new(&mut distances, &mut found).expect("room for some");
                    squares.iter().zip(0..).for_each(|(&square, id)| best.offer(f64::from(square), id));
                    black_box(best.finish());
                }
            });
        });
    }
    group.finish();
}

/// The plain twins of the searches, a few queries each, held against the kernels on the best tier.
fn twins(criterion: &mut Criterion) {
    let (made, tier) = (tree(), Tier::detect());
    let (view, metric) = (TreeView::new(made.parts()).expect("it is whole"), made.metric::<SquaredEuclidean>());
    let mut earliest = vec![0; made.groups.len()];
    earliest_ranks(view, &made.ids, &mut earliest).expect("the shapes fit");
    let precedence = Precedence::new(view, &made.ids, &earliest).expect("the shapes fit");
    let blocks = search_blocks(made.waiting).max(knn_panel_blocks::<f32>(made.waiting, DIM, K));
    let mut memory = vec![Block::default(); blocks];
    let (query, half) = ([0.3f32, 0.7, 0.4], LEN as Idx / 2);
    let (mut distances, mut found) = ([0.0; 16 * K], [NONE; 16 * K]);
    let (mut plain, mut plain_found) = (distances, found);
    let mut group = criterion.benchmark_group("tree");
    group.throughput(Throughput::Elements(1));

    let (one, ids, arena) = (&mut distances[..K], &mut found[..K], &mut Arena::new(&mut memory));
    knn(tier, view, &metric, &query, NONE, one, ids, arena).expect("the shapes fit");
    let mut twin = || scalar::knn(view, &metric, black_box(&query), NONE, &mut plain[..K], &mut plain_found[..K]);
    assert_eq!(twin(), K);
    group.bench_function("knn, plain twin", |bench| bench.iter(&mut twin));
    assert_eq!((&*one, &*ids), (&plain[..K], &plain_found[..K]));

    knn_before(tier, view, &metric, &query, precedence, half, one, ids, arena).expect("the shapes fit");
    let (to, to_ids) = (&mut plain[..K], &mut plain_found[..K]);
    let mut twin = || scalar::knn_before(view, &metric, black_box(&query), precedence, half, to, to_ids);
    assert_eq!(twin(), K);
    group.bench_function("knn_before/half, plain twin", |bench| bench.iter(&mut twin));
    assert_eq!((&*one, &*ids), (&plain[..K], &plain_found[..K]));

    let (mut near, mut apart) = (vec![NONE; LEN], vec![0.0; LEN]);
    let mut within = |tier: Option<Tier>| {
        let visitor = Within::new(&made.ids, NONE, 0.04, &mut near, &mut apart).expect("equal lengths");
        let visitor = match tier {
            Some(tier) => search(tier, view, &metric, &query, visitor, arena).expect("it fits").0,
            None => scalar::search(view, &metric, black_box(&query), visitor),
        };
        visitor.found()
    };
    assert_eq!(within(Some(tier)), within(None));
    group.bench_function("search/within, plain twin", |bench| bench.iter(|| within(None)));

    group.throughput(Throughput::Elements(16));
    let (queries, except) = (Panels::new(&made.packed, DIM, LEN).expect("as above").run(0, 1), &made.ids[..16]);
    knn_panel(tier, view, &metric, queries, except, &mut distances, &mut found, arena).expect("the shapes fit");
    let mut twin = || scalar::knn_panel(view, &metric, black_box(queries), except, &mut plain, &mut plain_found);
    twin();
    group.bench_function("knn_panel/points, plain twin", |bench| bench.iter(&mut twin));
    assert_eq!((distances, found), (plain, plain_found));
    group.finish();
}

/// All pairs within a radius of which a point has about four others, beside a search for each point, and beside the plain twin,
/// for a few points.
fn pairs(criterion: &mut Criterion) {
    let made = tree();
    let waiting = TreeView::new(made.parts()).expect("it is whole").waiting_bound();
    let view = TreeView::new(TreeParts { waiting, ..made.parts() }).expect("the bound is one");
    let (metric, radius) = (made.metric::<SquaredEuclidean>(), 0.03);
    let blocks = near_pairs_blocks::<f32>(waiting, made.groups.len(), DIM).max(search_blocks(waiting));
    let (mut memory, mut out) = (vec![Block::default(); blocks], vec![Conflict::default(); 8 * LEN]);
    let (mut near, mut apart) = (vec![NONE; LEN], vec![0.0; LEN]);
    let mut group = criterion.benchmark_group("pairs of a tree");
    group.throughput(Throughput::Elements(LEN as u64));
    for tier in Tier::all() {
        let mut join = || {
            let arena = &mut Arena::new(&mut memory);
            near_pairs(tier, view, &metric, 0..LEN, radius, &mut out, arena).expect("the shapes fit").0
        };
        let found = join();
        group.bench_function(BenchmarkId::new("near_pairs", tier), |bench| bench.iter(&mut join));
        let mut search_each = || {
            let mut ends = 0;
            for position in 0..LEN {
                let visitor = Within::new(&made.ids, NONE, radius, &mut near, &mut apart).expect("equal lengths");
                let arena = &mut Arena::new(&mut memory);
                let answer = search(tier, view, &metric, made.row(position), visitor, arena).expect("it fits");
                ends += answer.0.found().expect("few") as usize; // not negative
            }
            ends
        };
        assert_eq!(
            search_each(),
            LEN + 2 * found,
            "{tier}: each point finds itself, and each pair is found from both ends"
        );
        group.bench_function(BenchmarkId::new("search/within, each point", tier), |bench| bench.iter(&mut search_each));
    }
    const FEW: usize = 64;
    group.throughput(Throughput::Elements(FEW as u64));
    let arena = &mut Arena::new(&mut memory);
    let few = near_pairs(Tier::detect(), view, &metric, 0..FEW, radius, &mut out, arena).map(|(found, _)| found);
    let mut twin = || scalar::near_pairs(view, black_box(&metric), 0..FEW, radius, &mut out);
    assert_eq!(few, Ok(twin()));
    group.bench_function("near_pairs, plain twin", |bench| bench.iter(&mut twin));
    group.finish();
}

/// What is done once per tree.
fn once(criterion: &mut Criterion) {
    let made = tree();
    let (view, image) = (TreeView::new(made.parts()).expect("it is whole"), made.image("euclidean", &[]));
    let (bytes, mut earliest) = (bytes_of_image(&image), vec![0; made.groups.len()]);
    let mut group = criterion.benchmark_group("tree, once");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("StoredTree", LEN), |bench| bench.iter(|| StoredTree::new(bytes)));
    let mut plain = earliest.clone();
    let by_loop = |plain: &mut [Idx]| {
        for (group, earliest) in black_box(&made.groups).iter().zip(plain) {
            *earliest = made.ids[at(group.first)..at(group.end)].iter().copied().min().unwrap_or(Idx::MAX);
        }
    };
    earliest_ranks(view, &made.ids, &mut earliest).expect("the shapes fit");
    by_loop(&mut plain);
    assert_eq!(earliest, plain);
    group.bench_function(BenchmarkId::new("earliest_ranks", LEN), |bench| {
        bench.iter(|| earliest_ranks(view, &made.ids, &mut earliest));
    });
    group.bench_function(BenchmarkId::new("earliest_ranks, plain loop", LEN), |bench| {
        bench.iter(|| by_loop(&mut plain));
    });
    let (metric, mut ceilings) = (made.metric::<SquaredEuclidean>(), vec![0.0; LEN]);
    let ladder = Ladder::new(&[0.5, 1.0, 2.0], -1).expect("the radii grow");
    group.bench_function(BenchmarkId::new("cover_ceilings", LEN), |bench| {
        bench.iter(|| cover_ceilings(&metric, ladder, &made.levels, &mut ceilings));
    });
    boxes(&mut group, &made);
    reaches(&mut group, &made);
    group.finish();
}

/// The farthest of all points from the first of them.
fn reaches(group: &mut BenchmarkGroup<'_, WallTime>, made: &HandMade<f32>) {
    let (metric, query) = (made.metric::<SquaredEuclidean>(), made.row(0));
    let twin = || scalar::farthest(&metric, black_box(query), 0, LEN);
    for tier in Tier::all() {
        let run = || farthest(tier, &metric, black_box(query), 0, LEN);
        assert_eq!(run().map(|(largest, _)| largest), Ok(twin()), "{tier}");
        group.bench_function(BenchmarkId::new("farthest", tier), |bench| bench.iter(run));
    }
    group.bench_function("farthest, plain twin", |bench| bench.iter(twin));
}

fn boxes(group: &mut BenchmarkGroup<'_, WallTime>, made: &HandMade<f32>) {
    let points = Panels::new(&made.packed, DIM, LEN).expect("the points are packed");
    let (mut low, mut high) = ([0.0; DIM], [0.0; DIM]);
    let twin = || {
        let (mut low, mut high) = ([0.0; DIM], [0.0; DIM]);
        scalar::box_of_run(black_box(points), 0, LEN, &mut low, &mut high);
        (low, high)
    };
    for tier in Tier::all() {
        box_of_run(tier, points, 0, LEN, &mut low, &mut high).expect("the run is within the points");
        assert_eq!((low, high), twin(), "{tier}");
        group.bench_function(BenchmarkId::new("box_of_run", tier), |bench| {
            bench.iter(|| box_of_run(tier, black_box(points), 0, LEN, &mut low, &mut high));
        });
    }
    group.bench_function("box_of_run, plain twin", |bench| bench.iter(twin));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = searches, twins, pairs, once
}
criterion_main!(benches);
