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

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

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
        let (mut plain_entries, mut plain_distances) = (entries.clone(), distances.clone());
        let emit_plainly = |entries: &mut [[Idx; 2]], distances: &mut [f64]| {
            scalar::emit_within::<SquaredEuclidean, T, _>(black_box(points), &scope, &plain, entries, distances);
        };
        emit_plainly(&mut plain_entries, &mut plain_distances);
        let mut group = c.benchmark_group(format!("conflict_within_{name}"));
        group.throughput(Throughput::Elements((LEN * (LEN - 1) / 2) as u64));
        group.bench_function(BenchmarkId::new("count_twin", dim), |b| {
            b.iter(|| scalar::count_within::<SquaredEuclidean, T>(black_box(points), &scope, &mut counts))
        });
        for tier in Tier::all() {
            count_within::<SquaredEuclidean, T>(tier, points, &scope, &mut counts, &mut counters).expect("it fits");
            assert_eq!(counts, plain);
            group.bench_function(BenchmarkId::new(format!("count_{tier}"), dim), |b| {
                b.iter(|| {
                    count_within::<SquaredEuclidean, T>(tier, black_box(points), &scope, &mut counts, &mut counters)
                })
            });
            let mut emit = |entries: &mut [[Idx; 2]], distances: &mut [f64]| {
                emit_within::<SquaredEuclidean, T, _>(
                    tier,
                    black_box(points),
                    &scope,
                    &plain,
                    entries,
                    distances,
                    &mut counters,
                )
            };
            emit(&mut entries, &mut distances).expect("it fits");
            assert!(entries == plain_entries && distances == plain_distances, "{tier}");
            group.bench_function(BenchmarkId::new(format!("emit_{tier}"), dim), |b| {
                b.iter(|| emit(&mut entries, &mut distances))
            });
        }
        group.bench_function(BenchmarkId::new("emit_twin", dim), |b| {
            b.iter(|| emit_plainly(&mut plain_entries, &mut plain_distances))
        });
        nearest_of_tiles(&mut group, points, &scope, &plain);
        group.finish();
    }
}

/// The 32 nearest of each row, beside the twin's pairs, sorted and cut. `counts` are those of the rows.
fn nearest_of_tiles<T: Real>(group: &mut Group<'_>, points: Panels<'_, T>, scope: &Scope<'_>, counts: &[Idx]) {
    const CAP: usize = 32;
    let total: usize = counts.iter().map(|&count| at(count)).sum();
    let (mut lens, mut near, mut distances) = (vec![0; LEN], vec![0; CAP * LEN], vec![0.0; CAP * LEN]);
    let (mut entries, mut apart) = (vec![0; total], vec![0.0; total]);
    let mut by_sorting = || {
        scalar::emit_within::<SquaredEuclidean, T, Idx>(black_box(points), scope, counts, &mut entries, &mut apart);
        let (mut first, mut kept) = (0, Vec::new());
        for &count in counts {
            let own = first..first + at(count);
            let mut row: Vec<(f64, Idx)> =
                apart[own.clone()].iter().copied().zip(entries[own].iter().copied()).collect();
            row.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            kept.extend(row.into_iter().take(CAP));
            first += at(count);
        }
        kept
    };
    let want = by_sorting();
    for tier in Tier::all() {
        let run = |out: Nearest<'_, Idx>| {
            let counters = &mut ConflictCounters::default();
            nearest_within::<SquaredEuclidean, T, Idx>(tier, black_box(points), scope, CAP, out, counters)
        };
        run(Nearest { lens: &mut lens, entries: &mut near, distances: &mut distances }).expect("it fits");
        let kept = (0..CAP * LEN).filter(|place| place % CAP < at(lens[place / CAP]));
        assert!(kept.map(|place| (distances[place], near[place])).eq(want.iter().copied()), "{tier}");
        group.bench_function(BenchmarkId::new(format!("nearest_32_{tier}"), points.dim()), |b| {
            b.iter(|| run(Nearest { lens: &mut lens, entries: &mut near, distances: &mut distances }))
        });
    }
    group.bench_function(BenchmarkId::new("nearest_32_sorted", points.dim()), |b| b.iter(&mut by_sorting));
}

fn within(c: &mut Criterion) {
    tiles::<f32>(c, "f32");
    tiles::<f64>(c, "f64");
}

/// Random pairs; tiles give pairs of near rows, in the order of the rows.
fn random_pairs(vertices: usize, len: usize, tiles: bool) -> Vec<[Idx; 2]> {
    let near = if tiles { 200 } else { vertices as u64 };
    let hashed = words(2 * len, 3);
    let pair = |pair: &[u64]| {
        let row = pair[0] % vertices as u64;
        [row as Idx, ((row + 1 + pair[1] % near) % vertices as u64) as Idx]
    };
    let mut ends: Vec<[Idx; 2]> = hashed.chunks(2).map(pair).collect();
    if tiles {
        ends.sort_unstable();
    }
    ends
}

fn graph(c: &mut Criterion) {
    let mut group = c.benchmark_group("csr_from_pairs");
    for (vertices, len, order) in
        [(100_000, 1_000_000, "tiles"), (100_000, 1_000_000, "random"), (1_000_000, 2_000_000, "tiles")]
    {
        let ends = random_pairs(vertices, len, order == "tiles");
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

/// The steps of `csr_from_pairs`, over all vertices at once.
fn phases(c: &mut Criterion) {
    const VERTICES: usize = 100_000;
    let ends = random_pairs(VERTICES, 1_000_000, true);
    let (none, all) = (vec![(); ends.len()], 0..VERTICES as Idx);
    let pairs = Pairs::new(&ends, &none, VERTICES).expect("every end is a vertex");
    let (mut degrees, mut starts, mut unique_starts) =
        (vec![0; VERTICES], vec![0; VERTICES + 1], vec![0; VERTICES + 1]);
    let mut memory = vec![Block::splat(0); scatter_blocks(VERTICES)];
    count_degrees(&pairs, 0, &mut degrees).expect("the range is all");
    let len = at(scan_degrees(&degrees, &mut starts).expect("the shapes fit"));
    let (mut targets, mut sorted, mut weights) = (vec![0; len], vec![0; len], vec![(); len]);
    let rows = EdgesMut { targets: &mut targets, weights: &mut weights };
    let whole = scatter_pairs(&pairs, &starts, all.clone(), rows, &mut Arena::new(&mut memory));
    assert_eq!(whole.map(at), Ok(len));
    let none = vec![(); len];
    let scattered = Edges::new(&starts, &targets, &none).expect("the graph is well formed");
    let rows = EdgesMut { targets: &mut sorted, weights: &mut weights };
    let whole = sort_rows(&scattered, all.clone(), rows, &mut Arena::new(&mut memory));
    assert_eq!(whole.map(at), Ok(len));
    let ordered = Edges::new(&starts, &sorted, &none).expect("the graph is well formed");
    count_unique(&ordered, 0, &mut degrees).expect("the range is all");
    let unique = at(scan_degrees(&degrees, &mut unique_starts).expect("the shapes fit"));
    let (mut kept, mut spare, mut into) = (vec![0; unique], vec![0; len], vec![0; VERTICES + 1]);

    let mut group = c.benchmark_group("csr_from_pairs, steps");
    group.throughput(Throughput::Elements(2 * ends.len() as u64));
    group.bench_function("count_degrees", |b| b.iter(|| count_degrees(black_box(&pairs), 0, &mut into[1..])));
    group.bench_function("scan_degrees", |b| b.iter(|| scan_degrees(black_box(&degrees), &mut into)));
    group.bench_function("scatter_pairs", |b| {
        b.iter(|| {
            let rows = EdgesMut { targets: &mut spare, weights: &mut weights };
            scatter_pairs(black_box(&pairs), &starts, all.clone(), rows, &mut Arena::new(&mut memory))
        })
    });
    group.bench_function("sort_rows", |b| {
        b.iter(|| {
            let rows = EdgesMut { targets: &mut spare, weights: &mut weights };
            sort_rows(black_box(&scattered), all.clone(), rows, &mut Arena::new(&mut memory))
        })
    });
    group.bench_function("count_unique", |b| b.iter(|| count_unique(black_box(&ordered), 0, &mut into[1..])));
    let mut copy = || {
        let rows = EdgesMut { targets: &mut kept, weights: &mut weights[..unique] };
        copy_unique(black_box(&ordered), &unique_starts, all.clone(), rows)
    };
    copy().expect("the starts are those of the rows");
    group.bench_function("copy_unique", |b| b.iter(&mut copy));
    group.finish();
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
    targets = within, graph, phases, nearest
}
criterion_main!(benches);
