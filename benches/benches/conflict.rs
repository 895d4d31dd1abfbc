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

/// The 32 nearest of each row, beside the twin, and its pairs, sorted and cut. `counts` are those of the rows.
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
    let kept = |lens: &[Idx], near: &[Idx], distances: &[f64]| -> Vec<(f64, Idx)> {
        let places = (0..CAP * LEN).filter(|place| place % CAP < at(lens[place / CAP]));
        places.map(|place| (distances[place], near[place])).collect()
    };
    let twin = |out: Nearest<'_, Idx>| {
        scalar::nearest_within::<SquaredEuclidean, T, Idx>(black_box(points), scope, CAP, out);
    };
    twin(Nearest { lens: &mut lens, entries: &mut near, distances: &mut distances });
    assert_eq!(kept(&lens, &near, &distances), want);
    for tier in Tier::all() {
        let run = |out: Nearest<'_, Idx>| {
            let counters = &mut ConflictCounters::default();
            nearest_within::<SquaredEuclidean, T, Idx>(tier, black_box(points), scope, CAP, out, counters)
        };
        run(Nearest { lens: &mut lens, entries: &mut near, distances: &mut distances }).expect("it fits");
        assert!(kept(&lens, &near, &distances) == want, "{tier}");
        group.bench_function(BenchmarkId::new(format!("nearest_32_{tier}"), points.dim()), |b| {
            b.iter(|| run(Nearest { lens: &mut lens, entries: &mut near, distances: &mut distances }))
        });
    }
    group.bench_function(BenchmarkId::new("nearest_32_twin", points.dim()), |b| {
        b.iter(|| twin(Nearest { lens: &mut lens, entries: &mut near, distances: &mut distances }))
    });
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
            let (arena, counters) = (&mut Arena::new(&mut memory), &mut ConflictCounters::default());
            csr_from_pairs(black_box(&pairs), &mut starts, rows, spare, arena, counters)
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

/// A step and a plain loop that does the same, both writing `len` numbers.
fn step(
    c: &mut Criterion,
    name: &str,
    (elements, len): (usize, usize),
    run: &mut dyn FnMut(&mut [Idx]),
    plainly: &mut dyn FnMut(&mut [Idx]),
) -> Vec<Idx> {
    let (mut out, mut plain) = (vec![-7; len], vec![-7; len]);
    run(&mut out);
    plainly(&mut plain);
    assert_eq!(out, plain, "{name}");
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(elements as u64));
    group.bench_function(BenchmarkId::new("whole", elements), |b| b.iter(|| run(&mut out)));
    group.bench_function(BenchmarkId::new("plain loop", elements), |b| b.iter(|| plainly(&mut plain)));
    group.finish();
    out
}

/// The steps of `csr_from_pairs` that make sorted rows, over all vertices at once.
fn scattered(c: &mut Criterion) {
    const VERTICES: usize = 100_000;
    let ends = random_pairs(VERTICES, 1_000_000, true);
    let (none, all) = (vec![(); 2 * ends.len()], 0..VERTICES as Idx);
    let mut memory = vec![Block::splat(0); scatter_blocks(VERTICES)];
    let pairs = Pairs::new(&ends, &none[..ends.len()], VERTICES).expect("every end is a vertex");
    let edges = || black_box(&ends).iter().filter(|pair| pair[0] != pair[1]);
    let mut count = |out: &mut [Idx]| count_degrees(black_box(&pairs), 0, out).expect("the range is all");
    let mut plainly = |out: &mut [Idx]| {
        out.fill(0);
        edges().flatten().for_each(|&end| out[at(end)] += 1);
    };
    let degrees = step(c, "count_degrees", (2 * ends.len(), VERTICES), &mut count, &mut plainly);

    let mut scan = |out: &mut [Idx]| {
        scan_degrees(black_box(&degrees), out).expect("the shapes fit");
    };
    let mut plainly = |out: &mut [Idx]| {
        out[0] = 0;
        for (row, &degree) in black_box(&degrees).iter().enumerate() {
            out[row + 1] = out[row] + degree;
        }
    };
    let starts = step(c, "scan_degrees", (VERTICES, VERTICES + 1), &mut scan, &mut plainly);

    let len = at(starts[VERTICES]);
    let (mut weights, mut cursors) = (vec![(); len], starts.clone());
    let mut scatter = |out: &mut [Idx]| {
        let (rows, arena) = (EdgesMut { targets: out, weights: &mut weights }, &mut Arena::new(&mut memory));
        let whole = scatter_pairs(black_box(&pairs), &starts, all.clone(), rows, arena);
        assert_eq!(whole.map(at), Ok(len));
    };
    let mut plainly = |out: &mut [Idx]| {
        cursors.copy_from_slice(&starts);
        for &[a, b] in edges() {
            for (row, target) in [(a, b), (b, a)] {
                out[at(cursors[at(row)])] = target;
                cursors[at(row)] += 1;
            }
        }
    };
    let targets = step(c, "scatter_pairs", (len, len), &mut scatter, &mut plainly);

    let rows = Edges::new(&starts, &targets, &none[..len]).expect("the graph is well formed");
    let mut sort = |out: &mut [Idx]| {
        let (sorted, arena) = (EdgesMut { targets: out, weights: &mut weights }, &mut Arena::new(&mut memory));
        assert_eq!(sort_rows(black_box(&rows), all.clone(), sorted, arena).map(at), Ok(len));
    };
    let mut plainly = |out: &mut [Idx]| {
        out.copy_from_slice(black_box(&targets));
        starts.windows(2).for_each(|row| out[at(row[0])..at(row[1])].sort_unstable());
    };
    step(c, "sort_rows", (len, len), &mut sort, &mut plainly);
}

/// The steps that drop what repeats in sorted rows, about one edge in five.
fn thinned(c: &mut Criterion) {
    const VERTICES: usize = 100_000;
    const DEGREE: usize = 20;
    let mut sorted: Vec<Idx> = words(DEGREE * VERTICES, 9).iter().map(|word| (word % 50) as Idx).collect();
    sorted.chunks_mut(DEGREE).for_each(<[Idx]>::sort_unstable);
    let (starts, none) = ((0..=VERTICES).map(|row| (DEGREE * row) as Idx).collect::<Vec<_>>(), vec![(); sorted.len()]);
    let rows = Edges::new(&starts, &sorted, &none).expect("the graph is well formed");
    let mut count = |out: &mut [Idx]| count_unique(black_box(&rows), 0, out).expect("the range is all");
    let mut plainly = |out: &mut [Idx]| {
        for (row, degree) in black_box(&sorted).chunks(DEGREE).zip(out) {
            *degree = row.chunk_by(|a, b| a == b).count() as Idx; // at most the degree
        }
    };
    let degrees = step(c, "count_unique", (sorted.len(), VERTICES), &mut count, &mut plainly);

    let mut unique = vec![0; VERTICES + 1];
    let len = at(scan_degrees(&degrees, &mut unique).expect("the shapes fit"));
    let mut weights = vec![(); len];
    let mut copy = |out: &mut [Idx]| {
        let kept = EdgesMut { targets: out, weights: &mut weights };
        copy_unique(black_box(&rows), &unique, 0..VERTICES as Idx, kept).expect("the starts are those of the rows");
    };
    let mut plainly = |out: &mut [Idx]| {
        let firsts = black_box(&sorted).chunks(DEGREE).flat_map(|row| row.chunk_by(|a, b| a == b));
        out.iter_mut().zip(firsts).for_each(|(out, equal)| *out = equal[0]);
    };
    step(c, "copy_unique", (sorted.len(), len), &mut copy, &mut plainly);
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
    targets = within, graph, scattered, thinned, nearest
}
criterion_main!(benches);
