//! Conflict graphs: million pairs asked per second by tiles, million stored edges per second from pairs.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::{normal, words};
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::conflict::csr::*;
use covertree_kernels::conflict::*;
use covertree_kernels::dist::SquaredEuclidean;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const LEN: usize = 2_048;

fn pack<T: Real>(dim: usize) -> Vec<T> {
    let data: Vec<T> = normal(LEN * dim, 5).into_iter().map(T::from_f64).collect();
    let order: Vec<Idx> = (0..LEN as Idx).collect();
    let mut packed = vec![T::default(); panels_len::<T>(LEN, dim)];
    pack_rows(Rows::new(&data, dim).expect("whole rows"), &order, &mut packed).expect("the shapes fit");
    packed
}

/// A radius that gives each point about sixteen neighbours: distances by rank.
fn radius<T: Real>(points: Panels<'_, T>) -> f64 {
    let distance = |a: usize, b: usize| {
        let terms = (0..points.dim()).map(|d| points.coordinate(a, d).to_f64() - points.coordinate(b, d).to_f64());
        terms.map(|term| term * term).sum::<f64>().sqrt()
    };
    let mut all: Vec<f64> = (0..64).flat_map(|a| (64..LEN).map(move |b| distance(a, b))).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() * 16 / LEN]
}

fn tiles<T: Real>(c: &mut Criterion, name: &str) {
    for dim in [3, 8, 64] {
        let packed = pack::<T>(dim);
        let points = Panels::new(&packed, dim, LEN).expect("the points are packed");
        let radius = [radius(points); LEN];
        let scope = Scope { first: 0, radius: &radius, columns: 0..LEN as Idx, which: Which::Above };
        let (mut counts, mut plain, mut counters) = (vec![0; LEN], vec![0; LEN], ConflictCounters::default());
        scalar::count_within::<SquaredEuclidean, T>(points, &scope, &mut plain);
        let total: usize = plain.iter().map(|&count| at(count)).sum();
        let (mut entries, mut distances) = (vec![[0; 2]; total], vec![0.0; total]);
        let (mut lens, mut near, mut near_distances) = (vec![0; LEN], vec![0; 32 * LEN], vec![0.0; 32 * LEN]);

        let mut group = c.benchmark_group(format!("conflict_within_{name}"));
        group.throughput(Throughput::Elements((LEN * (LEN - 1) / 2) as u64));
        group.bench_function(BenchmarkId::new("count_twin", dim), |b| {
            b.iter(|| scalar::count_within::<SquaredEuclidean, T>(black_box(points), &scope, &mut plain))
        });
        group.bench_function(BenchmarkId::new("emit_twin", dim), |b| {
            b.iter(|| {
                scalar::emit_within::<SquaredEuclidean, T, _>(points, &scope, &plain, &mut entries, &mut distances)
            })
        });
        for tier in Tier::all() {
            count_within::<SquaredEuclidean, T>(tier, points, &scope, &mut counts, &mut counters).expect("it fits");
            assert_eq!(counts, plain);
            group.bench_function(BenchmarkId::new(format!("count_{tier}"), dim), |b| {
                b.iter(|| {
                    count_within::<SquaredEuclidean, T>(tier, black_box(points), &scope, &mut counts, &mut counters)
                })
            });
            group.bench_function(BenchmarkId::new(format!("emit_{tier}"), dim), |b| {
                b.iter(|| {
                    let out = (&mut entries, &mut distances);
                    emit_within::<SquaredEuclidean, T, _>(tier, points, &scope, &plain, out.0, out.1, &mut counters)
                })
            });
            group.bench_function(BenchmarkId::new(format!("nearest_32_{tier}"), dim), |b| {
                b.iter(|| {
                    let out = Nearest { lens: &mut lens, entries: &mut near, distances: &mut near_distances };
                    nearest_within::<SquaredEuclidean, T, Idx>(tier, points, &scope, 32, out, &mut counters)
                })
            });
        }
        group.finish();
    }
}

fn within(c: &mut Criterion) {
    tiles::<f32>(c, "f32");
    tiles::<f64>(c, "f64");
}

fn graph(c: &mut Criterion) {
    let mut group = c.benchmark_group("csr_from_pairs");
    for (vertices, len, order) in
        [(100_000, 1_000_000, "tiles"), (100_000, 1_000_000, "random"), (1_000_000, 2_000_000, "tiles")]
    {
        // Tiles give pairs of near rows, in the order of the rows.
        let near = if order == "tiles" { 200 } else { vertices as u64 };
        let hashed = words(2 * len, 3);
        let mut ends: Vec<[Idx; 2]> = hashed
            .chunks(2)
            .map(|pair| {
                let row = pair[0] % vertices as u64;
                [row as Idx, ((row + 1 + pair[1] % near) % vertices as u64) as Idx]
            })
            .collect();
        if order == "tiles" {
            ends.sort_unstable();
        }
        let size = format!("{vertices}x{len}_{order}");
        let weights: Vec<i32> = (0..len as i32).collect();
        let pairs = Pairs::new(&ends, &weights, vertices).expect("every end is a vertex");
        let (mut starts, mut memory) = (vec![0; vertices + 1], vec![Block::splat(0); csr_from_pairs_blocks(vertices)]);
        let (mut targets, mut out, mut spare, mut more) =
            (vec![0; 2 * len], vec![0; 2 * len], vec![0; 2 * len], vec![0; 2 * len]);
        let mut build = || {
            let rows = EdgesMut { targets: &mut targets, weights: &mut out };
            let spare = EdgesMut { targets: &mut spare, weights: &mut more };
            csr_from_pairs(black_box(&pairs), &mut starts, rows, spare, &mut Arena::new(&mut memory))
        };
        let edges = at(build().expect("the shapes fit"));
        group.throughput(Throughput::Elements(2 * len as u64));
        group.bench_function(BenchmarkId::new("scatter_twice", &size), |b| b.iter(&mut build));
        let mut sorted = sort(&ends, &weights);
        assert_eq!(sorted.len(), edges);
        assert!(sorted.iter().zip(&targets).all(|(edge, &target)| edge.1 == target));
        group.bench_function(BenchmarkId::new("sort_unstable", &size), |b| {
            b.iter(|| sorted = sort(black_box(&ends), &weights))
        });
    }
    group.finish();
}

/// The same edges by sorting (source, target, weight).
fn sort(ends: &[[Idx; 2]], weights: &[i32]) -> Vec<(Idx, Idx, i32)> {
    let mut edges: Vec<(Idx, Idx, i32)> = ends
        .iter()
        .zip(weights)
        .filter(|(pair, _)| pair[0] != pair[1])
        .flat_map(|(&[a, b], &weight)| [(a, b, weight), (b, a, weight)])
        .collect();
    edges.sort_unstable();
    edges.dedup_by_key(|edge| (edge.0, edge.1));
    edges
}

/// The sixteen nearest of rows of a hundred neighbours.
fn nearest(c: &mut Criterion) {
    const ROWS: usize = 10_000;
    const CAP: usize = 16;
    let starts: Vec<Idx> = (0..=ROWS as Idx).map(|row| 100 * row).collect();
    let targets: Vec<Idx> = (0..100 * ROWS).map(|edge| ((edge / 100 + 1 + edge % 100) % ROWS) as Idx).collect();
    let weights = normal(targets.len(), 8);
    let edges = Edges::new(&starts, &targets, &weights).expect("the graph is well formed");
    let (mut lens, mut near, mut distances) = (vec![0; ROWS], vec![0; CAP * ROWS], vec![0.0; CAP * ROWS]);
    let mut nearest = |distances: &mut [f64]| {
        let out = Nearest { lens: &mut lens, entries: &mut near, distances };
        nearest_of_rows::<Idx>(black_box(&edges), CAP, 0, out, &mut ConflictCounters::default())
    };
    let sort = |sorted: &mut Vec<f64>| {
        sorted.clear();
        for row in 0..ROWS {
            let (targets, weights) = edges.of(row);
            let mut own: Vec<(f64, Idx)> = weights.iter().copied().zip(targets.iter().copied()).collect();
            own.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            sorted.extend(own[..CAP].iter().map(|pair| pair.0));
        }
    };
    let mut sorted = vec![];
    nearest(&mut distances).expect("the shapes fit");
    sort(&mut sorted);
    assert_eq!(sorted, distances);
    let mut group = c.benchmark_group("nearest_of_rows");
    group.throughput(Throughput::Elements(targets.len() as u64));
    group.bench_function(BenchmarkId::new("heap", CAP), |b| b.iter(|| nearest(&mut distances)));
    group.bench_function(BenchmarkId::new("sort_unstable", CAP), |b| b.iter(|| sort(&mut sorted)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = within, graph, nearest
}
criterion_main!(benches);
