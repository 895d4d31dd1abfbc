//! Group-by: million keys per second, beside `sort_unstable_by_key` and the radix sorts `radsort` and `rdst`.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::{normal, words};
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::group::*;
use covertree_kernels::index::Idx;
use covertree_kernels::order::{Fit, Frame, bounds, hilbert_keys};
use covertree_kernels::simd::Tier;
use covertree_kernels::view::Rows;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rdst::RadixSort;

const LEN: usize = 1_000_000;

/// A key and its row, as the sort crates take them.
#[derive(Clone, Copy)]
struct Pair(u64, Idx);

impl rdst::RadixKey for Pair {
    const LEVELS: usize = 8;
    fn get_level(&self, level: usize) -> u8 {
        (self.0 >> (8 * level)) as u8 // the low byte of the shifted key
    }
}

fn dense(c: &mut Criterion) {
    let mut group = c.benchmark_group("group_by_key");
    group.throughput(Throughput::Elements(LEN as u64));
    for groups in [1_000, 30_000, 1_000_000] {
        let keys: Vec<Idx> = words(LEN, 1).into_iter().map(|word| (word % groups as u64) as Idx).collect();
        let (mut starts, mut rows) = (vec![0; groups + 1], vec![0; LEN]);
        let mut sorted: Vec<Idx> = (0..LEN as Idx).collect();
        sorted.sort_by_key(|&row| keys[row as usize]);
        group_by_key(&keys, groups as Idx, &mut starts, &mut rows).expect("the shapes fit");
        assert_eq!(rows, sorted);
        group.bench_function(BenchmarkId::new("counting", groups), |b| {
            b.iter(|| group_by_key(black_box(&keys), groups as Idx, &mut starts, &mut rows))
        });
        let identity: Vec<Idx> = (0..LEN as Idx).collect();
        group.bench_function(BenchmarkId::new("sort_unstable_by_key_of_rows", groups), |b| {
            b.iter_batched_ref(
                || identity.clone(),
                |rows| rows.sort_unstable_by_key(|&row| (keys[row as usize], row)),
                BatchSize::LargeInput,
            )
        });
        let pairs: Vec<(Idx, Idx)> = keys.iter().copied().zip(0..).collect();
        group.bench_function(BenchmarkId::new("sort_unstable_of_pairs", groups), |b| {
            b.iter_batched_ref(|| pairs.clone(), |pairs| pairs.sort_unstable(), BatchSize::LargeInput)
        });
        group.bench_function(BenchmarkId::new("radsort", groups), |b| {
            b.iter_batched_ref(
                || pairs.clone(),
                |pairs| radsort::sort_by_key(pairs, |pair| pair.0),
                BatchSize::LargeInput,
            )
        });
    }
    group.finish();
}

fn hilbert(len: usize) -> Vec<u64> {
    let data = normal(3 * len, 42);
    let (rows, mut low, mut high) = (Rows::new(&data, 3).expect("whole rows"), [0.0; 3], [0.0; 3]);
    bounds(Tier::detect(), rows, &mut low, &mut high).expect("the bounds fit");
    let frame = Frame::new(&low, &high, Fit::Cube).expect("finite bounds");
    let mut keys = vec![0; len];
    hilbert_keys(Tier::detect(), rows, &frame, 0, &mut keys).expect("the keys fit");
    keys
}

fn sparse(c: &mut Criterion) {
    let mut group = c.benchmark_group("radix_sort_keys");
    for len in [1_000, 32_768, LEN] {
        group.throughput(Throughput::Elements(len as u64));
        for (shape, keys) in [("random", words(len, 2)), ("hilbert", hilbert(len))] {
            let size = format!("{shape}/{len}");
            let pairs: Vec<Pair> = keys.iter().copied().zip(0..).map(|(key, row)| Pair(key, row)).collect();
            let mut memory = vec![Block::splat(0); radix_sort_keys_blocks(len)];
            let identity: Vec<Idx> = (0..len as Idx).collect();
            let (mut k, mut r) = (keys.clone(), identity.clone());
            radix_sort_keys(&mut k, &mut r, &mut Arena::new(&mut memory)).expect("the shapes fit");
            let mut sorted = pairs.clone();
            sorted.sort_by_key(|pair| pair.0);
            assert!(sorted.iter().map(|pair| (pair.0, pair.1)).eq(k.into_iter().zip(r)));
            group.bench_function(BenchmarkId::new("radix", &size), |b| {
                b.iter_batched_ref(
                    || (keys.clone(), identity.clone()),
                    |(keys, rows)| radix_sort_keys(keys, rows, &mut Arena::new(&mut memory)),
                    BatchSize::LargeInput,
                )
            });
            group.bench_function(BenchmarkId::new("sort_unstable_by_key", &size), |b| {
                b.iter_batched_ref(
                    || pairs.clone(),
                    |pairs| pairs.sort_unstable_by_key(|pair| (pair.0, pair.1)),
                    BatchSize::LargeInput,
                )
            });
            group.bench_function(BenchmarkId::new("radsort", &size), |b| {
                b.iter_batched_ref(
                    || pairs.clone(),
                    |pairs| radsort::sort_by_key(pairs, |pair| pair.0),
                    BatchSize::LargeInput,
                )
            });
            group.bench_function(BenchmarkId::new("rdst", &size), |b| {
                b.iter_batched_ref(|| pairs.clone(), |pairs| pairs.radix_sort_unstable(), BatchSize::LargeInput)
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    targets = dense, sparse
}
criterion_main!(benches);
