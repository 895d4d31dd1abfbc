//! Gates: the cheap test before a residual distance, its audit and its calibration.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::residual::{LEAF, LEN};
use covertree_benches::{normal, uniform};
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::residual::{
    Counting, GateBins, GateCounters, GatePairs, GateSide, gate_audit, gate_block, gate_block_blocks, gate_run,
    profile_pairs, profile_thresholds, scalar,
};
use covertree_kernels::simd::Tier;
use covertree_kernels::view::{Panels, Rows, pack_rows};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use timing::time;

#[path = "../src/timing.rs"]
mod timing;

/// Features of points in no order: any layout is as good.
fn features() -> Vec<f32> {
    normal(LEN * 64, 7).iter().map(|&z| z as f32).collect()
}

fn gates(criterion: &mut Criterion) {
    let (features, query) = (features(), normal(64, 8).iter().map(|&z| z as f32).collect::<Vec<_>>());
    let (mut squares, mut plain) = (vec![0.0; LEN], vec![0.0; LEN]);
    let (mut masks, mut plain_masks) = (vec![0; LEN / 16], vec![0; LEN / 16]);
    let mut counters = GateCounters::default();
    let mut group = criterion.benchmark_group("residual::gate_run");
    group.throughput(Throughput::Elements(LEN as u64));
    for dim in [3, 64] {
        let panels = Panels::new(&features[..LEN * dim], dim, LEN).expect("whole panels");
        scalar::gate_run(0.5, &query[..dim], panels, &mut plain, &mut plain_masks);
        for tier in Tier::all() {
            let mut run = |squares: &mut [f32], masks: &mut [u32]| {
                let query = black_box(&query[..dim]);
                gate_run(tier, 0.5, query, panels, squares, masks, &mut counters)
            };
            run(&mut squares, &mut masks).expect("the shapes fit");
            assert!(squares == plain && masks == plain_masks, "{tier}");
            group.bench_function(format!("{tier}/{LEN}x{dim}"), |bencher| {
                bencher.iter(|| run(&mut squares, &mut masks));
            });
        }
        group.bench_function(format!("scalar twin/{LEN}x{dim}"), |bencher| {
            bencher.iter(|| scalar::gate_run(0.5, black_box(&query[..dim]), panels, &mut plain, &mut plain_masks));
        });
    }
    group.finish();
}

/// Pairs of two leaves of 64 points, both of which have thresholds.
fn blocks_of_gates(criterion: &mut Criterion) {
    let (features, squares, ranks) = (features(), [0.25; LEAF], [0.0; LEAF]);
    let mut memory = vec![Block::default(); gate_block_blocks(LEAF)];
    let (mut masks, mut plain, mut counters) = ([0; LEAF * LEAF / 8], [0; LEAF * LEAF / 8], GateCounters::default());
    let mut group = criterion.benchmark_group("residual::gate_block");
    group.throughput(Throughput::Elements((LEAF * LEAF) as u64));
    for dim in [3, 64] {
        let (one, other) = features[..2 * LEAF * dim].split_at(LEAF * dim);
        let (order, mut packed) = ((0..LEAF as i32).collect::<Vec<_>>(), vec![0.0; LEAF * dim]);
        pack_rows(Rows::new(other, dim).expect("whole rows"), &order, &mut packed).expect("the shapes fit");
        let side = GateSide { squares: &squares, ranks: &ranks };
        let pairs = GatePairs {
            queries: Rows::new(one, dim).expect("whole rows"),
            features: Panels::new(&packed, dim, LEAF).expect("whole panels"),
            rows: side,
            columns: side,
        };
        let passed = scalar::gate_block(&pairs, Counting::Others, &mut plain);
        for tier in Tier::all() {
            let mut run = |masks: &mut [u32]| {
                let mut arena = Arena::new(&mut memory);
                gate_block(tier, black_box(&pairs), Counting::Others, masks, &mut arena, &mut counters)
            };
            assert_eq!((run(&mut masks), &masks), (Ok(passed), &plain), "{tier}");
            group.bench_function(format!("{tier}/{LEAF}x{LEAF}x{dim}"), |bencher| bencher.iter(|| run(&mut masks)));
        }
        group.bench_function(format!("scalar twin/{LEAF}x{LEAF}x{dim}"), |bencher| {
            bencher.iter(|| scalar::gate_block(black_box(&pairs), Counting::Others, &mut plain));
        });
    }
    group.finish();
}

/// What calibrates a gate, and what tells how good it is, from one run.
fn calibration(criterion: &mut Criterion) {
    const BINS: GateBins = GateBins { radii: 16, radius_cap: 1.0, features: 64, feature_cap: 16.0 };
    let (features, distances) = (features(), uniform(LEN, 9));
    let panels = Panels::new(&features[..LEN * 3], 3, LEN).expect("whole panels");
    let (mut squares, mut masks, mut counters) = (vec![0.0; LEN], vec![0; LEN / 16], GateCounters::default());
    gate_run(Tier::detect(), 0.5, &[0.0; 3], panels, &mut squares, &mut masks, &mut counters).expect("the shapes fit");
    let dropped = |place: &usize| masks[place / 16] >> (place % 16) & 1 == 0 && distances[*place] <= 0.5;
    let lost = (0..LEN).filter(dropped).count() as u64;
    assert_eq!(gate_audit::<f32>(&masks, &distances, 0.5, &mut counters), Ok(lost));
    let (mut counts, mut table) = (vec![0; BINS.radii * BINS.features], vec![0.0; BINS.radii]);
    profile_pairs(BINS, &squares, &distances, &mut counts).expect("the shapes fit");
    assert_eq!(counts.iter().sum::<u64>(), LEN as u64, "no distance is beyond the cap");
    profile_thresholds(BINS, &counts, 1.0, &mut table).expect("the shapes fit");
    assert!(table.is_sorted(), "of more pairs, the farthest is as far at least");

    let (profile, cells) = (counts.clone(), counts.len());
    let mut group = criterion.benchmark_group("residual, gates");
    time(&mut group, "gate_audit", LEN, || gate_audit::<f32>(black_box(&masks), &distances, 0.5, &mut counters));
    time(&mut group, "profile_pairs", LEN, || profile_pairs(BINS, black_box(&squares), &distances, &mut counts));
    time(&mut group, "profile_thresholds", cells, || profile_thresholds(BINS, black_box(&profile), 0.99, &mut table));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    targets = gates, blocks_of_gates, calibration
}
criterion_main!(benches);
