//! Bounded k-best: million offers per second, beside `std::collections::BinaryHeap` and a full sort.

use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::Duration;

use covertree_benches::uniform;
use covertree_kernels::index::Idx;
use covertree_kernels::oracle::topk::k_best;
use covertree_kernels::topk::KBest;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Offers in one selection: about what a query in a few dimensions looks at.
const OFFERS: usize = 4_096;

/// The same selection with the standard heap: the pairs as integers, which distances that are not negative allow.
fn binary_heap(heap: &mut BinaryHeap<(u64, Idx)>, k: usize, distances: &[f64]) -> u64 {
    heap.clear();
    for (&distance, id) in distances.iter().zip(0..) {
        let pair = (distance.to_bits(), id);
        if heap.len() < k {
            heap.push(pair);
        } else if let Some(mut worst) = heap.peek_mut()
            && pair < *worst
        {
            *worst = pair;
        }
    }
    heap.peek().map_or(0, |worst| worst.0)
}

fn offers(c: &mut Criterion) {
    let mut group = c.benchmark_group("KBest");
    group.throughput(Throughput::Elements(OFFERS as u64));
    let random = uniform(OFFERS, 7);
    // Candidates of a search come roughly nearest first: each is up to half the range worse than its place.
    let nearest_first: Vec<f64> = random.iter().enumerate().map(|(i, d)| d + i as f64 / OFFERS as f64).collect();
    let mut falling = random.clone();
    falling.sort_by(|a, b| b.total_cmp(a)); // every offer is kept
    for (order, distances) in [("random", random), ("nearest_first", nearest_first), ("falling", falling)] {
        for k in [1, 8, 16, 32, 50, 100, 1_000] {
            let size = format!("{order}/{k}");
            let (mut best_distances, mut ids) = (vec![0.0; k], vec![0; k]);
            let mut select = || {
                let mut best = KBest::new(&mut best_distances, &mut ids).expect("k is positive");
                for (&distance, id) in black_box(&distances).iter().zip(0..) {
                    best.offer(distance, id);
                }
                best.worst()
            };
            let pairs: Vec<(f64, Idx)> = distances.iter().copied().zip(0..).collect();
            assert_eq!(select(), k_best(k, &pairs).1[k - 1]);
            group.bench_function(BenchmarkId::new("k_best", &size), |b| b.iter(&mut select));
            let mut heap = BinaryHeap::with_capacity(k);
            group.bench_function(BenchmarkId::new("binary_heap", &size), |b| {
                b.iter(|| binary_heap(&mut heap, k, black_box(&distances)))
            });
            if k == 100 {
                let mut sorted = pairs.clone();
                group.bench_function(BenchmarkId::new("sort", &size), |b| {
                    b.iter(|| {
                        sorted.copy_from_slice(&pairs);
                        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                        sorted[k - 1]
                    })
                });
            }
        }
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
}

criterion_group! { name = benches; config = short(); targets = offers }
criterion_main!(benches);
