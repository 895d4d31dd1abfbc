//! Distance tiles, beside the machine's own limits, the plain twins, and the crates `gemm` and `matrixmultiply`.
//!
//! `limit` measures what a tier can do at best: fused multiply-adds on registers, and reads from each cache. Kernels
//! that stream report bytes of packed points per second, to be held against the reads; tiles report flops per second,
//! to be held against the multiply-adds (a squared distance counts three flops, a product two).

use std::hint::black_box;
use std::marker::PhantomData;
use std::time::Duration;

use covertree_benches::{aligned, uniform};
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::*;
use covertree_kernels::index::Idx;
use covertree_kernels::simd::{Lanes, OnLanes, Real, Tier, Vector};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

#[path = "../src/products.rs"]
mod products;

/// Bytes of packed points that stay in the first-level cache, in the second, and in neither.
const NEAR: usize = 16 << 10;
const FAR: usize = 256 << 10;
const BEYOND: usize = 8 << 20;

/// Queries and points of the tile benchmarks.
const QUERIES: usize = 96;
const POINTS: usize = 1_024;

/// Row-major points and the same packed.
struct Points<T: 'static> {
    dim: usize,
    len: usize,
    rows: Vec<T>,
    packed: &'static [T],
}

impl<T: Real> Points<T> {
    fn new(len: usize, dim: usize, seed: u64) -> Self {
        let rows: Vec<T> = uniform(len * dim, seed).into_iter().map(T::from_f64).collect();
        let order: Vec<Idx> = (0..len as Idx).collect();
        let mut packed = vec![T::default(); panels_len::<T>(len, dim)];
        pack_rows(Rows::new(&rows, dim).expect("whole rows"), &order, &mut packed).expect("the sizes fit");
        Self { dim, len, rows, packed: aligned(&packed) }
    }

    /// As many points as fill `bytes`, in whole panels.
    fn filling(bytes: usize, dim: usize) -> Self {
        Self::new((bytes / (dim * size_of::<T>() * T::LANES)).max(1) * T::LANES, dim, 1)
    }

    fn rows(&self) -> Rows<'_, T> {
        Rows::new(&self.rows, self.dim).expect("whole rows")
    }

    fn panels(&self) -> Panels<'_, T> {
        Panels::new(self.packed, self.dim, self.len).expect("the sizes fit")
    }

    fn bytes(&self) -> Throughput {
        Throughput::Bytes(size_of_val(self.packed) as u64)
    }
}

/// Multiply-adds on twelve registers of sums and more, which nothing but their own rate limits.
struct MultiplyAdds<T>(usize, PhantomData<T>);

/// Sums of a tile that hides every latency on every tier.
const CHAINS: usize = 6;

impl<T: Real> OnLanes for MultiplyAdds<T> {
    type Out = [T; 16];
    #[inline(always)]
    fn run<L: Lanes>(self) -> [T; 16] {
        let start = black_box([T::from_f64(1e-9); 16]);
        let factor = <T::On<L>>::load(&start);
        let mut sums = [factor; CHAINS];
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = factor.mul_add(factor, *sum);
            }
        }
        let mut out = [T::default(); 16];
        for sum in sums {
            <T::On<L>>::load(&out).add(sum).store(&mut out);
        }
        out
    }
}

/// Loads of everything, with a comparison so that they are not dropped.
struct Reads<'a>(&'a [f32]);

impl OnLanes for Reads<'_> {
    type Out = [f32; 16];
    #[inline(always)]
    fn run<L: Lanes>(self) -> [f32; 16] {
        let mut largest = [<L::F32>::splat(0.0); 4];
        for rows in self.0.chunks_exact(64) {
            for (at, largest) in largest.iter_mut().enumerate() {
                *largest = largest.max(<L::F32>::load(&rows[16 * at..]));
            }
        }
        let mut out = [0.0; 16];
        largest[0].max(largest[1]).max(largest[2].max(largest[3])).store(&mut out);
        out
    }
}

fn limit(c: &mut Criterion) {
    const ROUNDS: usize = 4_096;
    // Memory that is never returned: one array of each size for all tiers.
    let arrays = [NEAR, FAR, BEYOND].map(|bytes| &*aligned(&vec![0.5_f32; bytes / size_of::<f32>()]));
    let mut group = c.benchmark_group("limit");
    for tier in Tier::all() {
        group.throughput(Throughput::Elements((2 * ROUNDS * CHAINS * f32::LANES) as u64));
        group.bench_function(BenchmarkId::new("multiply_adds/f32", tier), |b| {
            b.iter(|| tier.run(MultiplyAdds::<f32>(ROUNDS, PhantomData)))
        });
        group.throughput(Throughput::Elements((2 * ROUNDS * CHAINS * f64::LANES) as u64));
        group.bench_function(BenchmarkId::new("multiply_adds/f64", tier), |b| {
            b.iter(|| tier.run(MultiplyAdds::<f64>(ROUNDS, PhantomData)))
        });
        for data in arrays {
            let bytes = size_of_val(data);
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(BenchmarkId::new(format!("reads/{tier}"), bytes), |b| {
                b.iter(|| tier.run(Reads(black_box(data))))
            });
        }
    }
    group.finish();
}

fn bench_one_to_run(c: &mut Criterion) {
    let mut group = c.benchmark_group("one_to_run");
    // Below 16 dimensions a kernel leaves the widest registers alone: sizes on both sides of that border.
    let near = [3, 8, 12, 16, 32, 64].map(|dim| (dim, NEAR));
    let beyond = [(3, FAR), (8, FAR), (64, FAR), (384, FAR), (64, BEYOND)];
    for (dim, bytes) in near.into_iter().chain(beyond) {
        let (points, query) = (Points::<f32>::filling(bytes, dim), Points::<f32>::new(1, dim, 2).rows);
        let out = aligned(&vec![0.0; points.len]);
        let mut twin = vec![0.0; points.len];
        let size = format!("{dim}x{}", points.len);
        group.throughput(points.bytes());
        scalar::one_to_run(SquaredEuclidean, &query, points.packed, &mut twin);
        for tier in Tier::all() {
            for (name, rounding) in [("fused", Rounding::Fused), ("published", Rounding::Published)] {
                let mut run = |query: &[f32]| one_to_run(tier, SquaredEuclidean, rounding, query, points.panels(), out);
                run(&query).expect("the sizes fit");
                group.bench_function(BenchmarkId::new(format!("squared_euclidean/{name}/{tier}"), &size), |b| {
                    b.iter(|| run(black_box(&query)))
                });
            }
            assert_eq!(out, twin);
        }
        group.bench_function(BenchmarkId::new("squared_euclidean/twin", &size), |b| {
            b.iter(|| scalar::one_to_run(SquaredEuclidean, black_box(&query), points.packed, &mut twin))
        });
        group.bench_function(BenchmarkId::new("squared_euclidean/plain_rows", &size), |b| {
            b.iter(|| plain_rows(black_box(&query), &points.rows, &mut twin))
        });
    }
    let (points, query) = (Points::<f32>::filling(FAR, 64), Points::<f32>::new(1, 64, 2).rows);
    group.throughput(points.bytes());
    for tier in Tier::all() {
        other_form(&mut group, "manhattan", tier, Manhattan, &query, &points);
        other_form(&mut group, "chebyshev", tier, Chebyshev, &query, &points);
        other_form(&mut group, "dot", tier, Dot, &query, &points);
    }
    group.finish();
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn other_form(group: &mut Group<'_>, name: &str, tier: Tier, form: impl Form, query: &[f32], points: &Points<f32>) {
    let out = aligned(&vec![0.0; points.len]);
    group.bench_function(BenchmarkId::new(format!("{name}/fused/{tier}"), format!("64x{}", points.len)), |b| {
        b.iter(|| one_to_run(tier, form, Rounding::Fused, black_box(query), points.panels(), out))
    });
}

/// What one writes first: rows, an iterator, a sum.
fn plain_rows(query: &[f32], rows: &[f32], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        *out = query.iter().zip(row).map(|(q, x)| (q - x) * (q - x)).sum();
    }
}

fn bench_one_to_run_capped(c: &mut Criterion) {
    let mut group = c.benchmark_group("one_to_run_capped");
    for dim in [64, 384] {
        let (points, query) = (Points::<f32>::filling(FAR, dim), Points::<f32>::new(1, dim, 2).rows);
        let (out, mut twin) = (aligned(&vec![0.0; points.len]), vec![0.0; points.len]);
        let (form, mut counters) = (SquaredEuclidean, DistCounters::default());
        scalar::one_to_run(form, &query, points.packed, &mut twin);
        let mut ranked = twin.clone();
        ranked.sort_by(f32::total_cmp);
        let size = format!("{dim}x{}", points.len);
        group.throughput(points.bytes());
        // The cap of nothing, of the nearest point, and of a point half as far as that.
        for (name, cap) in [("open", f32::INFINITY), ("nearest", ranked[0]), ("half", ranked[0] * 0.25)] {
            let cut = scalar::one_to_run_capped(form, &query, points.packed, cap, &mut twin, &mut counters);
            for tier in Tier::all() {
                let mut run = |query: &[f32]| {
                    let (rounding, panels) = (Rounding::Published, points.panels());
                    one_to_run_capped(tier, form, rounding, query, panels, cap, out, &mut counters)
                };
                assert_eq!(run(&query), Ok(cut));
                group.bench_function(BenchmarkId::new(format!("{name}/{tier}"), &size), |b| {
                    b.iter(|| run(black_box(&query)))
                });
                assert_eq!(out, twin);
            }
            group.bench_function(BenchmarkId::new(format!("{name}/twin"), &size), |b| {
                b.iter(|| {
                    scalar::one_to_run_capped(form, black_box(&query), points.packed, cap, &mut twin, &mut counters)
                })
            });
        }
    }
    group.finish();
}

fn bench_widened(c: &mut Criterion) {
    let mut group = c.benchmark_group("widened_one_to_run");
    for dim in [3, 64] {
        let (points, query) = (Points::<f32>::filling(NEAR, dim), uniform(dim, 2));
        let (out, mut twin) = (aligned(&vec![0.0; points.len]), vec![0.0; points.len]);
        group.throughput(points.bytes());
        scalar::widened_one_to_run(SquaredEuclidean, &query, points.packed, &mut twin);
        let size = format!("{dim}x{}", points.len);
        for tier in Tier::all() {
            let mut run = |query: &[f64]| widened_one_to_run(tier, SquaredEuclidean, query, points.panels(), out);
            run(&query).expect("the sizes fit");
            group.bench_function(BenchmarkId::new(tier.name(), &size), |b| b.iter(|| run(black_box(&query))));
            assert_eq!(out, twin);
        }
        group.bench_function(BenchmarkId::new("twin", &size), |b| {
            b.iter(|| scalar::widened_one_to_run(SquaredEuclidean, black_box(&query), points.packed, &mut twin))
        });
    }
    group.finish();
}

/// The product of the crate `matrixmultiply` for an element: as [`products::by_gemm`].
trait Product: Real {
    fn by_matrixmultiply(left: &[Self], right: &[Self], width: usize, out: &mut [Self]);
}

macro_rules! product {
    ($element:ty, $product:path) => {
        impl Product for $element {
            fn by_matrixmultiply(left: &[Self], right: &[Self], width: usize, out: &mut [Self]) {
                let (m, n, row, one) = (left.len() / width, right.len() / width, width as isize, 1);
                assert!(out.len() == m * n && left.len() == m * width && right.len() == n * width);
                // SAFETY: each pointer is a slice of the shape that the strides describe, as was just checked.
                #[allow(unsafe_code)]
                unsafe {
                    let (to, from, with) = (out.as_mut_ptr(), left.as_ptr(), right.as_ptr());
                    $product(m, width, n, 1.0, from, row, one, with, one, row, 0.0, to, n as isize, one);
                }
            }
        }
    };
}

product!(f32, matrixmultiply::sgemm);
product!(f64, matrixmultiply::dgemm);

/// A product of queries and points of so many dimensions.
type By<T> = fn(&[T], &[T], usize, &mut [T]);

/// `out[q][i] = query q . point i` by the two crates, single-threaded.
fn peers<T: Product>(group: &mut Group<'_>, queries: &Points<T>, points: &Points<T>, twin: &[T]) {
    let (m, k, n) = (queries.len, queries.dim, points.len);
    let mut out = vec![T::default(); m * n];
    let products: [(&str, By<T>); 2] = [("gemm", products::by_gemm), ("matrixmultiply", T::by_matrixmultiply)];
    for (name, product) in products {
        product(&queries.rows, &points.rows, k, &mut out);
        assert!(agree(&out, twin, k), "{name}");
        group.bench_function(BenchmarkId::new(format!("dot/{name}"), format!("{k}x{m}x{n}")), |b| {
            b.iter(|| product(black_box(&queries.rows), &points.rows, k, &mut out))
        });
    }
}

/// Whether sums of `dim` terms below 1, added in two orders, agree: each has up to `dim` roundings of at most `dim`.
fn agree<T: Real>(sums: &[T], twin: &[T], dim: usize) -> bool {
    let most = 2.0 * T::ROUNDOFF * (dim as f64).powi(2);
    sums.iter().zip(twin).all(|(sum, twin)| (sum.to_f64() - twin.to_f64()).abs() <= most)
}

fn bench_block<T: Real, F: Form>(
    group: &mut Group<'_>,
    name: &str,
    form: F,
    queries: &Points<T>,
    points: &Points<T>,
) -> Vec<T> {
    let (dim, len) = (points.dim, points.len);
    let (mut out, mut twin) = (vec![T::default(); QUERIES * len], vec![T::default(); QUERIES * len]);
    let mut memory = vec![Block::splat(0); block_to_run_blocks::<T>(QUERIES, dim)];
    let size = format!("{dim}x{QUERIES}x{len}");
    scalar::block_to_run(form, &queries.rows, dim, points.packed, &mut twin);
    for tier in Tier::all() {
        for (rounds, rounding) in [("published", Rounding::Published), ("fused", Rounding::Fused)] {
            let mut run = |queries: Rows<'_, T>| {
                block_to_run(tier, form, rounding, queries, points.panels(), &mut out, &mut Arena::new(&mut memory))
            };
            run(queries.rows()).expect("the sizes fit");
            if rounding == Rounding::Published {
                assert_eq!(out, twin);
                continue; // of interest to nobody in a benchmark of filters
            }
            group.bench_function(BenchmarkId::new(format!("{name}/{rounds}/{tier}"), &size), |b| {
                b.iter(|| run(black_box(queries.rows())))
            });
        }
    }
    group.bench_function(BenchmarkId::new(format!("{name}/twin"), &size), |b| {
        b.iter(|| scalar::block_to_run(form, black_box(&queries.rows), dim, points.packed, &mut twin))
    });
    twin
}

fn blocks_of<T: Product>(c: &mut Criterion, name: &str) {
    let mut group = c.benchmark_group(name);
    for dim in [8, 64, 256, 384, 768] {
        let (queries, points) = (Points::<T>::new(QUERIES, dim, 2), Points::<T>::new(POINTS, dim, 1));
        let pairs = (dim * QUERIES * POINTS) as u64;
        group.throughput(Throughput::Elements(2 * pairs));
        let twin = bench_block(&mut group, "dot", Dot, &queries, &points);
        peers(&mut group, &queries, &points, &twin);
        if [8, 64, 384].contains(&dim) {
            group.throughput(Throughput::Elements(3 * pairs));
            bench_block(&mut group, "squared_euclidean", SquaredEuclidean, &queries, &points);
        }
    }
    group.finish();
}

fn bench_block_to_run(c: &mut Criterion) {
    blocks_of::<f32>(c, "block_to_run");
    blocks_of::<f64>(c, "block_to_run_f64");
}

fn bench_by_dots(c: &mut Criterion) {
    let mut group = c.benchmark_group("squared_norms");
    let points = Points::<f32>::filling(FAR, 64);
    let (mut norms, mut twin) = (vec![0.0; points.len], vec![0.0; points.len]);
    scalar::squared_norms(points.packed, 64, &mut twin);
    group.throughput(points.bytes());
    for tier in Tier::all() {
        squared_norms(tier, points.panels(), &mut norms).expect("the sizes fit");
        assert_eq!(norms, twin);
        group.bench_function(BenchmarkId::new(tier.name(), 64), |b| {
            b.iter(|| squared_norms(tier, black_box(points.panels()), &mut norms))
        });
    }
    group.bench_function(BenchmarkId::new("twin", 64), |b| {
        b.iter(|| scalar::squared_norms(black_box(points.packed), 64, &mut twin))
    });
    group.finish();

    let mut group = c.benchmark_group("squared_by_dots");
    for dim in [8, 64, 384] {
        let (queries, points) = (Points::<f32>::new(QUERIES, dim, 2), Points::<f32>::new(POINTS, dim, 1));
        let (mut norms, mut out) = (vec![0.0; POINTS], vec![0.0; QUERIES * POINTS]);
        let mut twin = out.clone();
        let mut memory = vec![Block::splat(0); squared_by_dots_blocks::<f32>(QUERIES, dim)];
        scalar::squared_norms(points.packed, dim, &mut norms);
        scalar::squared_by_dots(&queries.rows, dim, points.packed, &norms, &mut twin);
        group.throughput(Throughput::Elements((3 * dim * QUERIES * POINTS) as u64)); // as the difference form counts
        let size = format!("{dim}x{QUERIES}x{POINTS}");
        for tier in Tier::all() {
            let mut run = |queries: Rows<'_, f32>| {
                squared_by_dots(tier, queries, points.panels(), &norms, &mut out, &mut Arena::new(&mut memory))
            };
            run(queries.rows()).expect("the sizes fit");
            group.bench_function(BenchmarkId::new(tier.name(), &size), |b| b.iter(|| run(black_box(queries.rows()))));
            assert!(agree(&out, &twin, 2 * dim));
        }
        group.bench_function(BenchmarkId::new("twin", &size), |b| {
            b.iter(|| scalar::squared_by_dots(black_box(&queries.rows), dim, points.packed, &norms, &mut twin))
        });
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
}

criterion_group! {
    name = benches;
    config = short();
    targets = limit, bench_one_to_run, bench_one_to_run_capped, bench_widened, bench_block_to_run, bench_by_dots
}
criterion_main!(benches);
