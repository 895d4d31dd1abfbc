//! Group-by: million keys per second, beside `sort_unstable_by_key` and the radix sorts `radsort` and `rdst`.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::{normal, words};
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::group::*;
use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::order::{Fit, Frame, bounds, hilbert_keys};
use covertree_kernels::simd::Tier;
use covertree_kernels::view::Rows;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
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
        let mut memory = vec![Block::splat(0); group_by_key_wide_blocks(LEN, groups)];
        rows.fill(0);
        let run = |starts: &mut [Idx], rows: &mut [Idx], memory: &mut [Block]| {
            group_by_key_wide(black_box(&keys), groups as Idx, starts, rows, &mut Arena::new(memory))
        };
        run(&mut starts, &mut rows, &mut memory).expect("the shapes fit");
        assert_eq!(rows, sorted);
        group.bench_function(BenchmarkId::new("counting_wide", groups), |b| {
            b.iter(|| run(&mut starts, &mut rows, &mut memory))
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

/// The three steps that split over threads, and what is read off groups.
fn steps(c: &mut Criterion) {
    const CHUNKS: usize = 8;
    let groups = 4_096;
    let keys: Vec<Idx> = words(LEN, 1).into_iter().map(|word| (word % groups as u64) as Idx).collect();
    let (mut chunk_starts, mut chunk_rows) = (vec![0; CHUNKS * (groups + 1)], vec![0; LEN]);
    let (mut starts, mut rows) = (vec![0; groups + 1], vec![0; LEN]);
    let len = LEN / CHUNKS;
    let in_chunks = |keys: &[Idx], starts: &mut [Idx], rows: &mut [Idx]| {
        let parts = keys.chunks_exact(len).zip(starts.chunks_exact_mut(groups + 1)).zip(rows.chunks_exact_mut(len));
        for (chunk, ((keys, starts), rows)) in parts.enumerate() {
            group_chunk(keys, groups as Idx, (chunk * len) as Idx, starts, rows).expect("the shapes fit");
        }
    };
    let gather = |chunk_starts: &[Idx], chunk_rows: &[Idx], starts: &[Idx], rows: &mut [Idx]| {
        gather_groups(chunk_starts, chunk_rows, starts, 0, groups as Idx, rows).expect("the shapes fit");
    };
    in_chunks(&keys, &mut chunk_starts, &mut chunk_rows);
    scan_chunks(&chunk_starts, &mut starts).expect("the shapes fit");
    gather(&chunk_starts, &chunk_rows, &starts, &mut rows);
    let (mut whole_starts, mut whole) = (vec![0; groups + 1], vec![0; LEN]);
    group_by_key(&keys, groups as Idx, &mut whole_starts, &mut whole).expect("the shapes fit");
    assert!(starts == whole_starts && rows == whole, "three steps group as one does");

    let mut group = c.benchmark_group("group_in_chunks");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("group_chunk", LEN), |b| {
        b.iter(|| in_chunks(black_box(&keys), &mut chunk_starts, &mut chunk_rows))
    });
    group.bench_function(BenchmarkId::new("scan_chunks", LEN), |b| {
        b.iter(|| scan_chunks(black_box(&chunk_starts), &mut starts))
    });
    group.bench_function(BenchmarkId::new("gather_groups", LEN), |b| {
        b.iter(|| gather(&chunk_starts, black_box(&chunk_rows), &starts, &mut rows))
    });
    group.finish();

    read_off(c, &starts, &rows);
}

fn read_off(c: &mut Criterion, starts: &[Idx], rows: &[Idx]) {
    let view = Groups::new(starts, rows, LEN as Idx).expect("the groups are well formed");
    let (priorities, groups) = (words(LEN, 3), starts.len() - 1);
    let (mut winners, mut plain) = (vec![0; groups], vec![0; groups]);
    let by_loop = |plain: &mut [Idx]| {
        for (pair, winner) in black_box(starts).windows(2).zip(plain) {
            let members = rows[at(pair[0])..at(pair[1])].iter().copied();
            *winner = members.min_by_key(|&row| (priorities[at(row)], row)).unwrap_or(NONE);
        }
    };
    let plain_pairs = || -> u64 {
        let sizes = black_box(starts).windows(2).map(|pair| (pair[1] - pair[0]) as u64); // not negative
        sizes.map(|size| size * size.saturating_sub(1) / 2).sum()
    };
    least_per_group(view, &priorities, 0, &mut winners).expect("the shapes fit");
    by_loop(&mut plain);
    assert_eq!(winners, plain);
    assert_eq!(group_counts(starts).map(|counts| counts.pairs), Ok(plain_pairs()));
    let mut group = c.benchmark_group("of_groups");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("least_per_group", LEN), |b| {
        b.iter(|| least_per_group(black_box(view), &priorities, 0, &mut winners))
    });
    group.bench_function(BenchmarkId::new("least_per_group, plain loop", LEN), |b| b.iter(|| by_loop(&mut plain)));
    group.bench_function(BenchmarkId::new("group_counts", LEN), |b| b.iter(|| group_counts(black_box(starts))));
    group.bench_function(BenchmarkId::new("group_counts, pairs by a plain loop", LEN), |b| b.iter(plain_pairs));
    group.finish();
}

/// What follows a sort: the merge of sorted halves, and the runs of equal keys.
fn sorted(c: &mut Criterion) {
    let mut words: Vec<u64> = words(LEN, 4).into_iter().map(|word| word >> 46).collect();
    let (left, right) = words.split_at_mut(LEN / 2);
    left.sort_unstable();
    right.sort_unstable();
    let (left, right) = (&*left, &*right);
    let ids: Vec<Idx> = (0..LEN as Idx).collect();
    let halves: Vec<(u64, Idx)> = left.iter().chain(right).copied().zip(0..).collect();
    let mut whole = halves.clone();
    whole.sort_by_key(|pair| pair.0);
    let (mut keys, mut rows) = (vec![0; LEN], vec![0; LEN]);
    let (left_rows, right_rows) = ids.split_at(LEN / 2);
    let merge = |keys: &mut [u64], rows: &mut [Idx]| {
        let counters = &mut GroupCounters::default();
        merge_keys((black_box(left), left_rows), (black_box(right), right_rows), keys, rows, counters)
    };
    merge(&mut keys, &mut rows).expect("the halves are sorted");
    assert!(keys.iter().copied().zip(rows.iter().copied()).eq(whole));
    let mut group = c.benchmark_group("sorted_keys");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("merge_keys", LEN), |b| b.iter(|| merge(&mut keys, &mut rows)));
    group.bench_function(BenchmarkId::new("merge_keys, sort_by_key of the two runs", LEN), |b| {
        b.iter_batched_ref(|| halves.clone(), |halves| halves.sort_by_key(|pair| pair.0), BatchSize::LargeInput)
    });
    runs(&mut group, &keys);
    group.finish();
    let mut group = c.benchmark_group("merge_split");
    group.throughput(Throughput::Elements(1)); // one border
    group.bench_function(BenchmarkId::new("middle", LEN), |b| {
        b.iter(|| merge_split(black_box(left), black_box(right), LEN as Idx / 2))
    });
    group.finish();
}

fn runs(group: &mut BenchmarkGroup<'_, WallTime>, keys: &[u64]) {
    let (mut starts, mut plain) = (vec![0; LEN + 1], vec![0; LEN + 1]);
    let by_loop = |starts: &mut [Idx]| {
        let mut runs = 0;
        for (place, pair) in black_box(keys).windows(2).enumerate() {
            if pair[0] != pair[1] {
                runs += 1;
                starts[runs] = place as Idx + 1;
            }
        }
        starts[runs + 1] = LEN as Idx;
        runs + 1
    };
    let runs = key_runs(keys, &mut starts).expect("the keys rise");
    assert_eq!(by_loop(&mut plain), at(runs));
    assert_eq!(starts[..=at(runs)], plain[..=at(runs)]);
    group.bench_function(BenchmarkId::new("key_runs", LEN), |b| b.iter(|| key_runs(black_box(keys), &mut starts)));
    group.bench_function(BenchmarkId::new("key_runs, plain loop", LEN), |b| b.iter(|| by_loop(&mut plain)));
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
            let mut sort = |keys: &mut [u64], rows: &mut [Idx]| {
                radix_sort_keys(keys, rows, &mut Arena::new(&mut memory), &mut GroupCounters::default())
            };
            sort(&mut k, &mut r).expect("the shapes fit");
            let mut sorted = pairs.clone();
            sorted.sort_by_key(|pair| pair.0);
            assert!(sorted.iter().map(|pair| (pair.0, pair.1)).eq(k.into_iter().zip(r)));
            group.bench_function(BenchmarkId::new("radix", &size), |b| {
                b.iter_batched_ref(
                    || (keys.clone(), identity.clone()),
                    |(keys, rows)| sort(keys, rows),
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
    targets = dense, steps, sparse, sorted
}
criterion_main!(benches);
