//! Selection: million values per second, beside plain loops, `select_nth_unstable` and a sort.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::uniform;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::index::Idx;
use covertree_kernels::select::*;
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::topk::KBest;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn values<T: Real>(len: usize) -> Vec<T> {
    uniform(len, 9).into_iter().map(T::from_f64).collect()
}

fn threshold_of<T: Real>(c: &mut Criterion, name: &str) {
    const LEN: usize = 16_384;
    let (row, mut out, mut counters) = (values::<T>(LEN), vec![0; LEN], SelectCounters::default());
    let mut twin = out.clone();
    let mut group = c.benchmark_group(format!("positions_at_most_{name}"));
    group.throughput(Throughput::Elements(LEN as u64));
    for percent in [0, 1, 10, 50, 100] {
        let threshold = T::from_f64(f64::from(percent) / 100.0);
        let want = scalar::positions_at_most(&row, threshold, 0, &mut twin);
        group.bench_function(BenchmarkId::new("plain", percent), |b| {
            b.iter(|| scalar::positions_at_most(black_box(&row), threshold, 0, &mut twin))
        });
        for tier in Tier::all() {
            assert_eq!(positions_at_most(tier, &row, threshold, 0, &mut out, &mut counters), Ok(want));
            assert_eq!(out[..want], twin[..want], "{tier}");
            group.bench_function(BenchmarkId::new(tier.name(), percent), |b| {
                b.iter(|| positions_at_most(tier, black_box(&row), threshold, 0, &mut out, &mut counters))
            });
        }
    }
    group.finish();
}

fn threshold(c: &mut Criterion) {
    threshold_of::<f32>(c, "f32");
    threshold_of::<f64>(c, "f64");
}

fn kth_of<T: Real>(c: &mut Criterion, name: &str) {
    let mut group = c.benchmark_group(format!("kth_smallest_{name}"));
    for (len, k) in [(256, 8), (1_024, 50), (32_768, 50), (32_768, 16_384), (1_000_000, 50)] {
        let row = values::<T>(len);
        let (mut memory, mut counters) =
            (vec![Block::splat(0); kth_smallest_blocks::<T>(len)], SelectCounters::default());
        let mut buffer = row.clone();
        let want = scalar::kth_smallest(&row, k, &mut buffer);
        group.throughput(Throughput::Elements(len as u64));
        let size = format!("{len}_k{k}");
        group.bench_function(BenchmarkId::new("select_nth_unstable_of_a_copy", &size), |b| {
            b.iter(|| scalar::kth_smallest(black_box(&row), k, &mut buffer))
        });
        for tier in Tier::all() {
            let found = kth_smallest(tier, &row, k, &mut Arena::new(&mut memory), &mut counters);
            assert_eq!(found, Ok(want));
            group.bench_function(BenchmarkId::new(tier.name(), &size), |b| {
                b.iter(|| kth_smallest(tier, black_box(&row), k, &mut Arena::new(&mut memory), &mut counters))
            });
        }
    }
    group.finish();
}

fn kth(c: &mut Criterion) {
    kth_of::<f32>(c, "f32");
    kth_of::<f64>(c, "f64");
}

fn merge(c: &mut Criterion) {
    let mut group = c.benchmark_group("merge_runs");
    for (runs, k) in [(2, 10), (8, 50), (64, 50)] {
        let mut lists: Vec<Vec<(f64, Idx)>> =
            uniform(runs * k, 4).chunks(k).map(|run| run.iter().copied().zip(0..).collect()).collect();
        lists.iter_mut().for_each(|run| run.sort_by(|a, b| a.partial_cmp(b).expect("no distance is NaN")));
        let (distances, ids): (Vec<f64>, Vec<Idx>) = lists.concat().into_iter().unzip();
        let starts: Vec<Idx> = (0..=runs as Idx).map(|run| run * k as Idx).collect();
        let (mut out, mut out_ids, mut memory) =
            (vec![0.0; k], vec![0; k], vec![Block::splat(0); merge_runs_blocks(runs)]);
        let mut counters = SelectCounters::default();
        group.throughput(Throughput::Elements((runs * k) as u64));
        let size = format!("{runs}x{k}");
        let mut merged = || {
            let runs = Runs::new(black_box(&distances), &ids, &starts).expect("the runs are sorted");
            merge_runs(&runs, &mut out, &mut out_ids, &mut Arena::new(&mut memory), &mut counters)
        };
        assert_eq!(merged(), Ok(k));
        group.bench_function(BenchmarkId::new("heap_of_runs", &size), |b| b.iter(&mut merged));
        let (mut best, mut best_ids) = (vec![0.0; k], vec![0; k]);
        let mut offer_all = || {
            let mut kept = KBest::new(&mut best, &mut best_ids).expect("there is room");
            for (&distance, &id) in black_box(&distances).iter().zip(&ids) {
                kept.offer(distance, id);
            }
            kept.finish()
        };
        assert_eq!(offer_all(), k);
        group.bench_function(BenchmarkId::new("k_best_of_all", &size), |b| b.iter(&mut offer_all));
        assert_eq!((&out, &out_ids), (&best, &best_ids));
        let mut sorted: Vec<(f64, Idx)> = vec![];
        group.bench_function(BenchmarkId::new("sort_unstable", &size), |b| {
            b.iter(|| {
                sorted.clear();
                sorted.extend(black_box(&distances).iter().copied().zip(ids.iter().copied()));
                sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            })
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = threshold, kth, merge
}
criterion_main!(benches);
