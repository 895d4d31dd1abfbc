//! Coordinates over lengthscales, the exponential against `libm` and std, and covariances of a point with packed points.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::{normal, uniform};
use covertree_kernels::covariance::{
    Covariance, CovarianceKind, EXP_ERROR, Exponential, covariance_exact, covariances, exponentials, one_to_run,
    scalar, scale_rows,
};
use covertree_kernels::dist::Rounding;
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::view::{Panels, Rows};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const LEN: usize = 4096;

fn exponential<T: Exponential>(criterion: &mut Criterion, name: &str, std: fn(T) -> T, libm: fn(T) -> T) {
    let x: Vec<T> = uniform(LEN, 1).iter().map(|u| T::from_f64(-30.0 * u)).collect();
    let mut out = vec![T::default(); LEN];
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(LEN as u64));
    for tier in Tier::all() {
        exponentials(tier, Rounding::Fused, &x, &mut out).expect("the lengths are equal");
        for (x, got) in x.iter().zip(&out) {
            let want = x.to_f64().exp();
            assert!((got.to_f64() - want).abs() <= (EXP_ERROR + 2.0) * T::ROUNDOFF * want);
        }
        group.bench_function(format!("{tier}/{LEN}"), |bencher| {
            bencher.iter(|| exponentials(tier, Rounding::Fused, black_box(&x), &mut out));
        });
    }
    group.bench_function(format!("scalar twin/{LEN}"), |bencher| {
        bencher.iter(|| scalar::exponentials(black_box(&x), &mut out));
    });
    for (what, function) in [("std", std), ("libm", libm)] {
        group.bench_function(format!("{what}/{LEN}"), |bencher| {
            bencher.iter(|| {
                for (x, out) in black_box(&x).iter().zip(&mut out) {
                    *out = function(*x);
                }
            });
        });
    }
    group.finish();
}

fn exponentials_of_both(criterion: &mut Criterion) {
    exponential::<f64>(criterion, "covariance::exponentials f64", f64::exp, libm::exp);
    exponential::<f32>(criterion, "covariance::exponentials f32", f32::exp, libm::expf);
}

/// Whether covariances agree with those of the published formula; a margin is some hundred roundings.
fn agree(got: &[f64], want: &[f64]) -> bool {
    got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-13)
}

fn from_squares(criterion: &mut Criterion) {
    let squares: Vec<f64> = uniform(LEN, 2).iter().map(|u| 40.0 * u).collect();
    let (mut out, mut twin) = (vec![0.0; LEN], vec![0.0; LEN]);
    for kind in CovarianceKind::ALL {
        let covariance = Covariance::new(kind, 2.0).expect("the variance is in range");
        let mut group = criterion.benchmark_group(format!("covariance::covariances {kind:?} f64"));
        group.throughput(Throughput::Elements(LEN as u64));
        scalar::covariances(covariance, &squares, &mut twin);
        for tier in Tier::all() {
            covariances(tier, covariance, Rounding::Fused, &squares, &mut out).expect("the lengths are equal");
            assert!(agree(&out, &twin), "{tier} {kind:?}");
            group.bench_function(format!("{tier}/{LEN}"), |bencher| {
                bencher.iter(|| covariances(tier, covariance, Rounding::Fused, black_box(&squares), &mut out));
            });
        }
        group.bench_function(format!("covariance_exact/{LEN}"), |bencher| {
            bencher.iter(|| {
                for (&square, out) in black_box(&squares).iter().zip(&mut twin) {
                    *out = covariance.variance() * covariance_exact(kind, square);
                }
            });
        });
        group.finish();
    }
}

fn from_points(criterion: &mut Criterion) {
    let (dim, covariance) = (3, Covariance::new(CovarianceKind::Matern52, 1.0).expect("the variance is in range"));
    let packed = normal(LEN * dim, 3); // points without an order: any layout is as good
    let points = Panels::new(&packed, dim, LEN).expect("whole panels");
    let (query, mut out, mut twin) = ([0.1, -0.4, 0.9], vec![0.0; LEN], vec![0.0; LEN]);
    scalar::one_to_run(covariance, &query, &packed, &mut twin);
    let mut group = criterion.benchmark_group("covariance::one_to_run Matern52 f64");
    group.throughput(Throughput::Elements(LEN as u64));
    for tier in Tier::all() {
        for rounding in [Rounding::Fused, Rounding::Published] {
            one_to_run(tier, covariance, rounding, &query, points, &mut out).expect("the shapes fit");
            assert!(agree(&out, &twin), "{tier} {rounding:?}");
            group.bench_function(format!("{tier} {rounding:?}/{LEN}x{dim}"), |bencher| {
                bencher.iter(|| one_to_run(tier, covariance, rounding, black_box(&query), points, &mut out));
            });
        }
    }
    group.bench_function(format!("scalar twin/{LEN}x{dim}"), |bencher| {
        bencher.iter(|| scalar::one_to_run(covariance, black_box(&query), &packed, &mut twin));
    });
    group.finish();
}

fn scaled<T: Real, U: Real>(criterion: &mut Criterion, name: &str) {
    let mut group = criterion.benchmark_group(name);
    for dim in [3, 8, 20] {
        let rows: Vec<T> = normal(LEN * dim, 4).iter().map(|&x| T::from_f64(x)).collect();
        let lengthscales: Vec<f64> = uniform(dim, 5).iter().map(|u| 0.1 + u).collect();
        let (mut out, mut twin) = (vec![U::default(); LEN * dim], vec![U::default(); LEN * dim]);
        group.throughput(Throughput::Elements((LEN * dim) as u64));
        scalar::scale_rows(&rows, &lengthscales, &mut twin);
        let rows = Rows::new(&rows, dim).expect("whole rows");
        for tier in Tier::all() {
            scale_rows(tier, rows, &lengthscales, &mut out).expect("the shapes fit");
            assert!(out == twin, "{tier}");
            group.bench_function(format!("{tier}/{LEN}x{dim}"), |bencher| {
                bencher.iter(|| scale_rows(tier, black_box(rows), &lengthscales, &mut out));
            });
        }
        group.bench_function(format!("scalar twin/{LEN}x{dim}"), |bencher| {
            bencher.iter(|| scalar::scale_rows(black_box(rows.data()), &lengthscales, &mut twin));
        });
    }
    group.finish();
}

fn scaled_of_both(criterion: &mut Criterion) {
    scaled::<f64, f64>(criterion, "covariance::scale_rows f64");
    scaled::<f64, f32>(criterion, "covariance::scale_rows f64 to f32");
    scaled::<f32, f64>(criterion, "covariance::scale_rows f32 to f64");
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    targets = scaled_of_both, exponentials_of_both, from_squares, from_points
}
criterion_main!(benches);
