//! The search of a tree of one group: what a scan of all points costs, against a plain loop.

use covertree_benches::uniform;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::SquaredEuclidean;
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{
    Coordinates, Group, Ladder, SCAN_QUERIES, TreeParts, TreeView, Within, box_of_run, cover_ceilings, knn, scan,
    scan_blocks, search, search_blocks,
};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const LEN: usize = 4096;
const DIM: usize = 3;
const K: usize = 8;

fn searches(criterion: &mut Criterion) {
    let data: Vec<f32> = uniform(LEN * DIM, 7).into_iter().map(|value| value as f32).collect(); // rounds
    let ids: Vec<Idx> = (0..LEN as Idx).collect();
    let mut packed = vec![0.0f32; panels_len::<f32>(LEN, DIM)];
    pack_rows(Rows::new(&data, DIM).expect("whole rows"), &ids, &mut packed).expect("sized for the rows");
    let points = Panels::new(&packed, DIM, LEN).expect("sized for the rows");
    let metric = Coordinates::<f32, SquaredEuclidean>::new(points);
    let levels = vec![0; LEN];
    let groups = [Group { first: 1, block: LEN as Idx, end: LEN as Idx, ..Group::default() }];
    let parts = TreeParts { ids: &ids, levels: &levels, groups: &groups, waiting: 1 };
    let view = TreeView::new(parts).expect("one group holds everything");
    let mut memory = vec![Block::default(); search_blocks(1)];
    let query = [0.5f32; DIM];

    let mut group = criterion.benchmark_group("tree");
    group.throughput(Throughput::Elements(LEN as u64));
    for tier in Tier::all() {
        let (mut distances, mut found) = ([0.0; K], [NONE; K]);
        group.bench_function(BenchmarkId::new("knn", tier), |bench| {
            bench.iter(|| {
                let mut arena = Arena::new(&mut memory);
                knn(tier, view, &metric, &query, NONE, &mut distances, &mut found, &mut arena)
            });
        });
        assert_eq!(distances[0], plain(&data, &query)[0].0, "{tier}");
        let (mut near, mut apart) = (vec![NONE; LEN], vec![0.0; LEN]);
        group.bench_function(BenchmarkId::new("search", tier), |bench| {
            bench.iter(|| {
                let visitor = Within::new(&ids, NONE, 0.1, &mut near, &mut apart).expect("outputs of one length");
                search(tier, view, &metric, &query, visitor, &mut Arena::new(&mut memory))
                    .map(|(visitor, _)| visitor.found())
            });
        });
        let (mut low, mut high) = ([0.0; DIM], [0.0; DIM]);
        group.bench_function(BenchmarkId::new("box_of_run", tier), |bench| {
            bench.iter(|| box_of_run(tier, points, 0, LEN, &mut low, &mut high));
        });
    }
    let ladder = [0.01, 0.1, 1.0];
    let ladder = Ladder::new(&ladder, -2).expect("radii rise");
    let mut ceilings = vec![0.0f32; LEN];
    group.bench_function(BenchmarkId::new("cover_ceilings", LEN), |bench| {
        bench.iter(|| cover_ceilings(&metric, ladder, &levels, &mut ceilings));
    });
    group.bench_function(BenchmarkId::new("plain", LEN), |bench| bench.iter(|| plain(&data, &query)));
    group.finish();
}

/// A block of queries against all points, beside the same queries one by one through the search.
fn scans(criterion: &mut Criterion) {
    for dim in [8, 16, 64, 384] {
        let data: Vec<f32> = uniform((LEN + SCAN_QUERIES) * dim, 7).into_iter().map(|value| value as f32).collect(); // rounds
        let (data, asked) = data.split_at(LEN * dim);
        let ids: Vec<Idx> = (0..LEN as Idx).collect();
        let mut packed = vec![0.0f32; panels_len::<f32>(LEN, dim)];
        pack_rows(Rows::new(data, dim).expect("whole rows"), &ids, &mut packed).expect("sized for the rows");
        let metric = Coordinates::<f32, SquaredEuclidean>::new(Panels::new(&packed, dim, LEN).expect("as above"));
        let levels = vec![0; LEN];
        let groups = [Group { first: 1, block: LEN as Idx, end: LEN as Idx, ..Group::default() }];
        let parts = TreeParts { ids: &ids, levels: &levels, groups: &groups, waiting: 1 };
        let view = TreeView::new(parts).expect("one group holds everything");
        let except = [NONE; SCAN_QUERIES];
        let mut group = criterion.benchmark_group(format!("tree/scan/{dim}"));
        group.throughput(Throughput::Elements((LEN * SCAN_QUERIES) as u64));
        for tier in Tier::all() {
            let mut memory = vec![Block::default(); scan_blocks::<f32>(dim).max(search_blocks(1))];
            let (mut distances, mut found) = (vec![0.0; SCAN_QUERIES * K], vec![NONE; SCAN_QUERIES * K]);
            let (mut singly, mut alone) = (distances.clone(), found.clone());
            group.bench_function(BenchmarkId::new("scan", tier), |bench| {
                bench.iter(|| {
                    let (asked, arena) = (Rows::new(asked, dim).expect("whole rows"), &mut Arena::new(&mut memory));
                    scan(tier, &metric, &ids, asked, &except, &mut distances, &mut found, arena)
                });
            });
            group.bench_function(BenchmarkId::new("one by one", tier), |bench| {
                bench.iter(|| {
                    let rows = asked.chunks_exact(dim).zip(singly.chunks_exact_mut(K)).zip(alone.chunks_exact_mut(K));
                    for ((query, distances), ids) in rows {
                        let mut arena = Arena::new(&mut memory);
                        knn(tier, view, &metric, query, NONE, distances, ids, &mut arena).expect("sized for the tree");
                    }
                });
            });
            assert_eq!((&distances, &found), (&singly, &alone), "{tier}");
        }
        group.finish();
    }
}

/// Every distance by the published formula, sorted: what the search must find the front of.
fn plain(data: &[f32], query: &[f32]) -> Vec<(f64, usize)> {
    let distance = |row: &[f32]| {
        let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
        row.iter().zip(query).map(square).fold(0.0, |sum, term| sum + term).sqrt()
    };
    let mut all: Vec<(f64, usize)> = data.chunks_exact(DIM).map(distance).zip(0..).collect();
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all
}

criterion_group!(benches, searches, scans);
criterion_main!(benches);
