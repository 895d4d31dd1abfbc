//! Order keys and bounds: million keys per second, beside the scalar twin and, in two dimensions, `fast_hilbert`.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::normal;
use covertree_kernels::order::{Fit, Frame, bounds, hilbert_keys, merge_bounds, morton_keys, scalar};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::view::Rows;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const ROWS: usize = 1_000_000;

fn frame_of<T: Real>(data: &[T], dim: usize) -> Frame {
    let (mut low, mut high) = (vec![T::default(); dim], vec![T::default(); dim]);
    let rows = Rows::new(data, dim).expect("whole rows");
    bounds(Tier::detect(), rows, &mut low, &mut high).expect("the bounds fit");
    Frame::new(&low, &high, Fit::Cube).expect("finite bounds")
}

fn keys<T: Real>(c: &mut Criterion, element: &str, dims: &[usize]) {
    for (curve, hilbert) in [("hilbert_keys", true), ("morton_keys", false)] {
        let mut group = c.benchmark_group(curve);
        for &dim in dims {
            let len = ROWS * 3 / dim.max(3);
            let data: Vec<T> = normal(len * dim, 42).into_iter().map(T::from_f64).collect();
            let (frame, rows) = (frame_of(&data, dim), Rows::new(&data, dim).expect("whole rows"));
            let (mut plain, mut out) = (vec![0; len], vec![1; len]);
            let twin = if hilbert { scalar::hilbert_keys } else { scalar::morton_keys };
            let kernel = |tier, rows, out: &mut [u64]| match hilbert {
                true => hilbert_keys(tier, rows, &frame, 0, out),
                false => morton_keys(tier, rows, &frame, 0, out),
            };
            twin(&data, &frame, &mut plain);
            group.throughput(Throughput::Elements(len as u64));
            let size = format!("{element}/{len}x{dim}");
            group.bench_function(BenchmarkId::new("twin", &size), |b| {
                b.iter(|| twin(black_box(&data), &frame, &mut out))
            });
            for tier in Tier::all() {
                kernel(tier, rows, &mut out).expect("the keys fit");
                assert_eq!(out, plain);
                group.bench_function(BenchmarkId::new(tier.name(), &size), |b| {
                    b.iter(|| kernel(tier, black_box(rows), &mut out))
                });
            }
            if dim == 2 && hilbert {
                // The same scaling, then the table-driven curve of the crate.
                group.bench_function(BenchmarkId::new("fast_hilbert", &size), |b| {
                    b.iter(|| {
                        for (row, key) in data.chunks_exact(2).zip(&mut out) {
                            let cell = scalar::cells(row, &frame);
                            *key = fast_hilbert::xy2h::<u32>(cell[0], cell[1], 32);
                        }
                    })
                });
            }
        }
        group.finish();
    }
}

fn extent<T: Real>(c: &mut Criterion, element: &str) {
    let mut group = c.benchmark_group("bounds");
    for dim in [3, 8, 64] {
        let len = ROWS * 3 / dim;
        let data: Vec<T> = normal(len * dim, 42).into_iter().map(T::from_f64).collect();
        let rows = Rows::new(&data, dim).expect("whole rows");
        let (mut low, mut high) = (vec![T::default(); dim], vec![T::default(); dim]);
        let (mut least, mut most) = (low.clone(), high.clone());
        scalar::bounds(&data, &mut least, &mut most);
        group.throughput(Throughput::Bytes(size_of_val(&data[..]) as u64));
        for tier in Tier::all() {
            bounds(tier, rows, &mut low, &mut high).expect("the bounds fit");
            assert!(low == least && high == most, "{tier}");
            group.bench_function(BenchmarkId::new(tier.name(), format!("{element}/{len}x{dim}")), |b| {
                b.iter(|| bounds(tier, black_box(rows), &mut low, &mut high))
            });
        }
        group.bench_function(BenchmarkId::new("twin", format!("{element}/{len}x{dim}")), |b| {
            b.iter(|| scalar::bounds(black_box(&data), &mut least, &mut most))
        });
    }
    group.finish();
}

/// The bounds of two halves of some rows.
fn merged(c: &mut Criterion) {
    const DIM: usize = 64;
    let data = normal(1_000 * DIM, 42);
    let ([mut low, mut least, mut other_low], [mut high, mut most, mut other_high]) =
        ([[0.0; DIM]; 3], [[0.0; DIM]; 3]);
    let (one, other) = data.split_at(data.len() / 2);
    scalar::bounds(&data, &mut least, &mut most);
    scalar::bounds(one, &mut low, &mut high);
    scalar::bounds(other, &mut other_low, &mut other_high);
    merge_bounds(&mut low, &mut high, &other_low, &other_high).expect("the lengths are equal");
    assert!(low == least && high == most);
    let mut group = c.benchmark_group("merge_bounds");
    group.throughput(Throughput::Elements(DIM as u64));
    group.bench_function(BenchmarkId::new("f64", DIM), |b| {
        b.iter(|| merge_bounds(&mut low, &mut high, black_box(&other_low), &other_high))
    });
    group.finish();
}

fn all(c: &mut Criterion) {
    keys::<f32>(c, "f32", &[2, 3, 8, 16, 64]);
    keys::<f64>(c, "f64", &[3]);
    extent::<f32>(c, "f32");
    extent::<f64>(c, "f64");
    merged(c);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    targets = all
}
criterion_main!(benches);
