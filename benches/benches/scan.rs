//! A block of queries against all points, beside the same queries one by one through the search of a tree of one group, and
//! beside the plain twin; and the packing of the points.

use std::hint::black_box;

use covertree_benches::uniform;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::SquaredEuclidean;
use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::tree::{
    Coordinates, Group, SCAN_QUERIES, TreeParts, TreeView, Within, knn, scalar, scan, scan_blocks, search_blocks, sweep,
};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const LEN: usize = 4096;
const K: usize = 8;
/// Points within a radius that a query has room for.
const ROOM: usize = 64;
/// Queries of a plain twin, which takes long.
const FEW: usize = 4;

fn scans(criterion: &mut Criterion) {
    for dim in [8, 16, 64, 384] {
        block(criterion, dim);
    }
}

fn block(criterion: &mut Criterion, dim: usize) {
    let data: Vec<f32> = uniform((LEN + SCAN_QUERIES) * dim, 7).into_iter().map(|value| value as f32).collect(); // rounds
    let (data, asked) = data.split_at(LEN * dim);
    let ids: Vec<Idx> = (0..LEN as Idx).collect();
    let mut packed = vec![0.0f32; panels_len::<f32>(LEN, dim)];
    pack_rows(Rows::new(data, dim).expect("whole rows"), &ids, &mut packed).expect("sized for the rows");
    let metric = Coordinates::<f32, SquaredEuclidean>::new(Panels::new(&packed, dim, LEN).expect("as above"));
    let levels = vec![0; LEN];
    let groups = [Group { first: 1, block: LEN as Idx, end: LEN as Idx, reach: f32::INFINITY, ..Group::default() }];
    let parts = TreeParts { ids: &ids, levels: &levels, groups: &groups, waiting: 1 };
    let view = TreeView::new(parts).expect("one group holds everything");
    let except = [NONE; SCAN_QUERIES];
    let mut group = criterion.benchmark_group(format!("scan/{dim}"));
    group.throughput(Throughput::Elements((LEN * SCAN_QUERIES) as u64));
    for tier in Tier::all() {
        let mut memory = vec![Block::default(); scan_blocks::<f32>(dim).max(search_blocks(1))];
        let (mut distances, mut found) = (vec![0.0; SCAN_QUERIES * K], vec![NONE; SCAN_QUERIES * K]);
        let (mut singly, mut alone) = (distances.clone(), found.clone());
        let rows = Rows::new(asked, dim).expect("whole rows");
        let together = |distances: &mut [f64], found: &mut [Idx], memory: &mut [Block]| {
            scan(tier, &metric, &ids, rows, &except, distances, found, &mut Arena::new(memory)).expect("it fits")
        };
        let one_by_one = |singly: &mut [f64], alone: &mut [Idx], memory: &mut [Block]| {
            let rows = asked.chunks_exact(dim).zip(singly.chunks_exact_mut(K)).zip(alone.chunks_exact_mut(K));
            for ((query, distances), ids) in rows {
                let mut arena = Arena::new(memory);
                knn(tier, view, &metric, query, NONE, distances, ids, &mut arena).expect("sized for the tree");
            }
        };
        together(&mut distances, &mut found, &mut memory);
        one_by_one(&mut singly, &mut alone, &mut memory);
        assert_eq!((&distances, &found), (&singly, &alone), "{tier}");
        group.bench_function(BenchmarkId::new("scan", tier), |bench| {
            bench.iter(|| together(&mut distances, &mut found, &mut memory));
        });
        group.bench_function(BenchmarkId::new("one by one", tier), |bench| {
            bench.iter(|| one_by_one(&mut singly, &mut alone, &mut memory));
        });
        // All points that are no farther from a query than the farthest that was found for any.
        let radius = singly.iter().copied().fold(0.0, f64::max);
        let (mut near, mut apart) = (vec![NONE; SCAN_QUERIES * ROOM], vec![0.0; SCAN_QUERIES * ROOM]);
        let mut within = |memory: &mut [Block]| {
            let visitor = |(near, apart)| Within::new(&ids, NONE, radius, near, apart).expect("equal lengths");
            let mut visitors: Vec<Within<'_, '_>> =
                near.chunks_exact_mut(ROOM).zip(apart.chunks_exact_mut(ROOM)).map(visitor).collect();
            sweep(tier, &metric, rows, &mut visitors, &mut Arena::new(memory)).expect("it fits");
            visitors.iter().map(|visitor| at(visitor.found().expect("few"))).min()
        };
        assert!(within(&mut memory) >= Some(K), "{tier}");
        group.bench_function(BenchmarkId::new("sweep/within", tier), |bench| bench.iter(|| within(&mut memory)));
    }
    twins(&mut group, &metric, Rows::new(&asked[..FEW * dim], dim).expect("whole rows"), &ids);
    group.finish();
    packing(criterion, dim, data);
}

/// The plain twins, for a few queries.
fn twins(
    group: &mut BenchmarkGroup<'_, WallTime>,
    metric: &Coordinates<'_, f32, SquaredEuclidean>,
    rows: Rows<'_, f32>,
    ids: &[Idx],
) {
    group.throughput(Throughput::Elements((LEN * FEW) as u64));
    let mut memory = vec![Block::default(); scan_blocks::<f32>(rows.dim())];
    let (mut distances, mut found, except) = ([0.0; FEW * K], [NONE; FEW * K], [NONE; FEW]);
    let (mut plain, mut plain_found) = (distances, found);
    let arena = &mut Arena::new(&mut memory);
    scan(Tier::detect(), metric, ids, rows, &except, &mut distances, &mut found, arena).expect("it fits");
    let mut twin = || scalar::scan(metric, ids, black_box(rows), &except, &mut plain, &mut plain_found);
    twin();
    group.bench_function("scan, plain twin", |bench| bench.iter(&mut twin));
    assert_eq!((distances, found), (plain, plain_found));
    let radius = distances.into_iter().fold(0.0, f64::max);
    let (mut near, mut apart) = ([NONE; FEW * ROOM], [0.0; FEW * ROOM]);
    let mut within = |tier: Option<Tier>| {
        let visitor = |(near, apart)| Within::new(ids, NONE, radius, near, apart).expect("equal lengths");
        let mut visitors: Vec<Within<'_, '_>> =
            near.chunks_exact_mut(ROOM).zip(apart.chunks_exact_mut(ROOM)).map(visitor).collect();
        match tier {
            Some(tier) => drop(sweep(tier, metric, rows, &mut visitors, arena).expect("it fits")),
            None => scalar::sweep(metric, black_box(rows), &mut visitors),
        }
        visitors.iter().map(|visitor| visitor.found().expect("few")).collect::<Vec<Idx>>()
    };
    assert_eq!(within(Some(Tier::detect())), within(None));
    group.bench_function("sweep/within, plain twin", |bench| bench.iter(|| within(None)));
}

/// The points into panels, beside a loop that finds the place of each value.
fn packing(criterion: &mut Criterion, dim: usize, data: &[f32]) {
    let order: Vec<Idx> = (0..LEN as Idx).rev().collect();
    let rows = Rows::new(data, dim).expect("whole rows");
    let mut packed = vec![0.0; panels_len::<f32>(LEN, dim)];
    let mut plain = packed.clone();
    let by_loop = |plain: &mut [f32]| {
        for (position, &row) in order.iter().enumerate() {
            for (d, &value) in rows.row(at(row)).iter().enumerate() {
                plain[(position / f32::LANES * dim + d) * f32::LANES + position % f32::LANES] = value;
            }
        }
    };
    pack_rows(rows, &order, &mut packed).expect("sized for the rows");
    by_loop(&mut plain);
    assert!(packed == plain);
    let mut group = criterion.benchmark_group("view::pack_rows");
    group.throughput(Throughput::Bytes((LEN * dim * size_of::<f32>()) as u64));
    group.bench_function(BenchmarkId::new("kernel", dim), |bench| {
        bench.iter(|| pack_rows(black_box(rows), &order, &mut packed));
    });
    group.bench_function(BenchmarkId::new("plain loop", dim), |bench| bench.iter(|| by_loop(black_box(&mut plain))));
    group.finish();
}

criterion_group!(benches, scans);
criterion_main!(benches);
