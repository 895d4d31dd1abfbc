//! Directions and places: rows prepared per second, and points scanned per second for the ten nearest, beside plain loops.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::{normal, uniform};
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::oracle;
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{
    Angular, Group, HAVERSINE_WIDTH, Haversine, Metric, TreeParts, TreeView, haversine_row, knn, search_blocks,
    unit_row,
};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Points that one query scans.
const LEN: usize = 4_096;
const K: usize = 10;

/// Longitude and latitude.
fn place(at: usize, numbers: &[f64]) -> [f64; 2] {
    [360.0 * numbers[2 * at] - 180.0, 180.0 * numbers[2 * at + 1] - 90.0]
}

fn prepare(c: &mut Criterion) {
    let mut group = c.benchmark_group("unit_row");
    for dim in [3, 64, 384] {
        let (row, mut out) = (normal(dim, 1), vec![0.0; dim]);
        unit_row(&row, &mut out).unwrap();
        let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!(row.iter().zip(&out).all(|(x, u)| (x / norm - u).abs() < 1e-15));
        group.throughput(Throughput::Elements(dim as u64));
        group.bench_function(BenchmarkId::new("kernel", dim), |b| b.iter(|| unit_row(black_box(&row), &mut out)));
        group.bench_function(BenchmarkId::new("plain", dim), |b| {
            b.iter(|| {
                let norm = black_box(&row).iter().map(|x| x * x).sum::<f64>().sqrt();
                out.iter_mut().zip(&row).for_each(|(u, x)| *u = x / norm);
            })
        });
    }
    group.finish();
    let numbers = uniform(2 * LEN, 2);
    let mut group = c.benchmark_group("haversine_row");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function("kernel", |b| {
        b.iter(|| {
            for at in 0..LEN {
                let [lon, lat] = place(at, black_box(&numbers));
                black_box(haversine_row(lon, lat)).unwrap();
            }
        })
    });
    group.bench_function("plain", |b| {
        b.iter(|| {
            for at in 0..LEN {
                let [lon, lat] = place(at, black_box(&numbers)).map(f64::to_radians);
                black_box([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin(), lat, lon, lat.cos()]);
            }
        })
    });
    group.finish();
}

/// Times a search over one group on every tier, beside the formula on every point.
fn scan<M>(c: &mut Criterion, name: &str, metric: &M, query: &[f64], oracle: impl Fn(usize) -> f64)
where
    M: for<'q> Metric<Query<'q> = &'q [f64]>,
{
    let ids: Vec<Idx> = (0..LEN as Idx).collect();
    let levels = vec![0; LEN];
    let groups = [Group { first: 1, block: LEN as Idx, end: LEN as Idx, reach: f32::MAX, ..Group::default() }];
    let view = TreeView::new(TreeParts { ids: &ids, levels: &levels, groups: &groups, waiting: 1 }).unwrap();
    let mut memory = vec![Block::default(); search_blocks(1)];
    let (mut distances, mut found) = ([0.0; K], [0; K]);
    let nearest = || {
        let mut all: Vec<(f64, Idx)> = (0..LEN).map(|at| (oracle(at), at as Idx)).collect();
        all.select_nth_unstable_by(K, |a, b| a.partial_cmp(b).unwrap());
        all.truncate(K);
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        all
    };
    let want = nearest();
    let mut group = c.benchmark_group("sphere_scan");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("plain", name), |b| b.iter(nearest));
    for tier in Tier::all() {
        let mut run = || {
            let arena = &mut Arena::new(&mut memory);
            knn(tier, view, metric, black_box(query), NONE, &mut distances, &mut found, arena).unwrap()
        };
        run();
        group.bench_function(BenchmarkId::new(tier.name(), name), |b| b.iter(&mut run));
        assert_eq!(distances.into_iter().zip(found).collect::<Vec<_>>(), want);
    }
    group.finish();
}

fn pack(rows: &[f64], width: usize) -> Vec<f64> {
    let order: Vec<Idx> = (0..LEN as Idx).collect();
    let mut packed = vec![0.0; panels_len::<f64>(LEN, width)];
    pack_rows(Rows::new(rows, width).unwrap(), &order, &mut packed).unwrap();
    packed
}

fn scans(c: &mut Criterion) {
    for dim in [3, 64] {
        let raw = normal((LEN + 1) * dim, 3);
        let mut units = vec![0.0; raw.len()];
        for (row, unit) in raw.chunks_exact(dim).zip(units.chunks_exact_mut(dim)) {
            unit_row(row, unit).unwrap();
        }
        let packed = pack(&units[..LEN * dim], dim);
        let metric = Angular::new(Panels::new(&packed, dim, LEN).unwrap());
        let query = &raw[LEN * dim..];
        scan(c, &format!("angular_{dim}"), &metric, &units[LEN * dim..], |at| {
            oracle::sphere::angular(query, &raw[at * dim..][..dim])
        });
    }
    let numbers = uniform(2 * (LEN + 1), 4);
    let rows: Vec<f64> = (0..=LEN)
        .flat_map(|at| {
            let [lon, lat] = place(at, &numbers);
            haversine_row(lon, lat).unwrap()
        })
        .collect();
    let packed = pack(&rows[..LEN * HAVERSINE_WIDTH], HAVERSINE_WIDTH);
    let metric = Haversine::new(Panels::new(&packed, HAVERSINE_WIDTH, LEN).unwrap()).unwrap();
    scan(c, "haversine", &metric, &rows[LEN * HAVERSINE_WIDTH..], |at| {
        oracle::sphere::haversine(place(LEN, &numbers), place(at, &numbers))
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = prepare, scans
}
criterion_main!(benches);
