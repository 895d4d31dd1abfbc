//! Gates, audits and profiles.

use super::*;
use crate::arena::{Arena, Block};
use crate::error::KernelError;
use crate::view::Rows;

#[test]
fn thresholds_follow_the_rule_up_to_the_cap() {
    let whitened = Gate::new(GateRule::Whitened { slope: 2.0 }, 0.25, 0.5).unwrap();
    assert_eq!([-1.0, 0.0, 0.25, 0.5].map(|r| whitened.threshold(r)), [0.25, 0.25, 0.75, 1.25]);
    assert_eq!([0.500_001, f64::NAN].map(|r| whitened.threshold(r)), [f64::INFINITY; 2]);
    let table = [0.5, 1.0, f64::INFINITY, 3.0];
    let lookup = Gate::new(GateRule::Lookup { table: &table }, 0.0, 1.0).unwrap();
    let (radii, want) =
        ([0.0, 0.25, 0.2500001, 0.5, 0.7, 1.0, 1.1], [0.5, 0.5, 1.0, 1.0, f64::INFINITY, 3.0, f64::INFINITY]);
    assert_eq!(radii.map(|r| lookup.threshold(r)), want);
}

#[test]
fn an_infinite_slope_lets_every_radius_above_0_pass() {
    assert_eq!(profile_slope(&[0.5, f64::INFINITY], 1.0), f64::INFINITY);
    let steep = Gate::new(GateRule::Whitened { slope: f64::INFINITY }, 0.25, 0.5).unwrap();
    assert_eq!([-1.0, -0.0, 0.0].map(|r| steep.threshold(r)), [0.25; 3]);
    assert_eq!([5e-324, 0.5, 0.6, f64::NAN].map(|r| steep.threshold(r)), [f64::INFINITY; 4]);
    let squares = [0.0, 2.0, 1e30, f64::INFINITY, f64::NAN].map(gate_square);
    assert_eq!(squares, [0.0, 4.0, f32::MAX, f32::INFINITY, f32::INFINITY]);
}

#[test]
fn a_gate_passes_what_is_near_and_the_audit_finds_what_it_lost() {
    let len = 37;
    let features: Vec<f64> = (0..len * 3).map(|i| f64::from(i as u16 * 37 % 101) / 50.0).collect();
    let packed: Vec<f32> = pack(&features, 3, len, 16).iter().map(|&x| x as f32).collect();
    let panels = Panels::new(&packed, 3, len).unwrap();
    let query: Vec<f32> = features[..3].iter().map(|&x| x as f32).collect();
    let squares: Vec<f32> = features
        .chunks(3)
        .map(|row| row.iter().zip(&query).fold(0.0, |sum: f32, (&x, q)| sum + (q - x as f32) * (q - x as f32)))
        .collect();
    let distances: Vec<f64> = (0..len).map(|i| i as f64 / len as f64).collect();
    for tier in Tier::all() {
        for threshold in [0.0, 0.5, 1.0, 1e30, f64::INFINITY] {
            let (mut twin, mut twin_masks) = (vec![-1.0; 48], vec![u32::MAX; 3]);
            scalar::gate_run(threshold, &query, panels, &mut twin, &mut twin_masks);
            let (mut got, mut masks, mut counters) = (vec![-1.0; 48], vec![u32::MAX; 3], GateCounters::default());
            gate_run(tier, threshold, &query, panels, &mut got, &mut masks, &mut counters).unwrap();
            assert_eq!(got[..len], squares, "{tier}: the same bits on every tier");
            assert_eq!((&got[..len], &masks), (&twin[..len], &twin_masks), "{tier} {threshold}");
            let mut lost = 0;
            for i in 0..48 {
                let passes = i < len && f64::from(squares[i]) <= threshold * threshold;
                assert_eq!(masks[i / 16] >> (i % 16) & 1 == 1, passes, "{tier} {threshold} {i}");
                lost += u64::from(i < len && !passes && distances[i] <= 0.6);
            }
            let pruned = squares.iter().filter(|&&square| f64::from(square) > threshold * threshold).count() as u64;
            let passed: u64 = masks.iter().map(|mask| u64::from(mask.count_ones())).sum();
            assert_eq!(passed + counters.residual_pruned_by_gate1, counters.gate1_candidates);
            assert_eq!(gate_audit::<f32>(&masks, &distances, 0.6, &mut counters), Ok(lost));
            // The same masks in panels of 8.
            let halves: Vec<u32> = masks.iter().flat_map(|mask| [mask & 255, mask >> 8]).collect();
            let mut again = GateCounters::default();
            assert_eq!(gate_audit::<f64>(&halves[..len.div_ceil(8)], &distances, 0.6, &mut again), Ok(lost));
            assert_eq!(again, GateCounters { gate1_false_negatives: lost, ..GateCounters::default() });
            let want =
                GateCounters { gate1_candidates: 37, residual_pruned_by_gate1: pruned, gate1_false_negatives: lost };
            assert_eq!(counters, want);
            let mut twice = want;
            twice.merge(&counters);
            assert_eq!(twice.gate1_false_negatives, 2 * lost);
        }
    }
}

#[test]
fn a_block_passes_what_either_side_lets_pass() {
    let at = |i: usize, d: usize| (i * 37 + d * 11) % 101;
    let feature = |i: usize, d: usize| at(i, d) as f32 / 50.0;
    for (rows, columns) in [(1usize, 0usize), (0, 3), (1, 1), (3, 7), (5, 8), (4, 9), (9, 16), (2, 17), (7, 40)] {
        let (lanes, wide) = (columns.next_multiple_of(16), columns.div_ceil(8));
        let queries: Vec<f32> = (0..rows).flat_map(|i| [0, 1, 2].map(|d| feature(i + 40, d))).collect();
        let mut packed = vec![f32::INFINITY; lanes * 3];
        for (i, d) in (0..columns).flat_map(|i| [0, 1, 2].map(|d| (i, d))) {
            packed[i / 16 * 48 + d * 16 + i % 16] = feature(i, d);
        }
        let squares =
            |i: usize| gate_square([f64::INFINITY, 0.0, 0.8, 1.3][i % 4]) - if i.is_multiple_of(5) { 9.0 } else { 0.0 };
        let (own, theirs) = ((0..rows).map(squares).collect::<Vec<_>>(), (1..=lanes).map(squares).collect::<Vec<_>>());
        let ranks = |i: usize| (i * 7 % 23) as f64;
        let (row_ranks, column_ranks): (Vec<_>, Vec<_>) =
            ((0..rows).map(ranks).collect(), (3..3 + wide * 8).map(ranks).collect());
        let pairs = GatePairs {
            queries: Rows::new(&queries, 3).unwrap(),
            features: Panels::new(&packed, 3, columns).unwrap(),
            rows: GateSide { squares: &own, ranks: &row_ranks },
            columns: GateSide { squares: &theirs, ranks: &column_ranks },
        };
        for (tier, counting) in Tier::all().flat_map(|tier| [(tier, Counting::Earlier), (tier, Counting::Others)]) {
            let mut want = vec![0u32; rows * wide];
            for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                let square = (0..3).fold(0.0f32, |sum, d| {
                    let difference = queries[i * 3 + d] - feature(j, d);
                    sum + difference * difference
                });
                let asked = |one: f64, other: f64| counting == Counting::Others || other < one;
                let row = square <= own[i] && asked(row_ranks[i], column_ranks[j]);
                let column = square <= theirs[j] && asked(column_ranks[j], row_ranks[i]);
                want[i * wide + j / 8] |= u32::from(row || column) << (j % 8);
            }
            let mut memory = vec![Block::splat(u32::MAX); gate_block_blocks(columns)];
            let (mut got, mut counters) = (vec![u32::MAX; rows * wide], GateCounters::default());
            let mut arena = Arena::new(&mut memory);
            let passed = gate_block(tier, &pairs, counting, &mut got, &mut arena, &mut counters).unwrap();
            assert_eq!((&got, passed), (&want, want.iter().map(|bits| u64::from(bits.count_ones())).sum()), "{tier}");
            let mut twin = vec![u32::MAX; rows * wide];
            assert_eq!((scalar::gate_block(&pairs, counting, &mut twin), &twin), (passed, &got), "{tier}");
            assert_eq!(passed + counters.residual_pruned_by_gate1, counters.gate1_candidates, "{tier}");
            assert_eq!((counters.gate1_candidates, counters.gate1_false_negatives), ((rows * columns) as u64, 0));
            audit_rows(&got, columns);
        }
    }
}

/// Row by row, a block's audit loses what did not pass and lies within the radius; all that did not pass at a radius of 1.
fn audit_rows(masks: &[u32], columns: usize) {
    let distances: Vec<f64> = (0..columns).map(|j| (j * 7 % 10) as f64 / 10.0).collect();
    for (masks, radius) in masks.chunks(columns.div_ceil(8).max(1)).flat_map(|masks| [(masks, 0.45), (masks, 1.0)]) {
        let passes = |j: usize| masks[j / 8] >> (j % 8) & 1 == 1;
        let lost = (0..columns).filter(|&j| !passes(j) && distances[j] <= radius).count() as u64;
        let mut counters = GateCounters::default();
        assert_eq!(gate_audit::<f64>(masks, &distances, radius, &mut counters), Ok(lost));
        assert_eq!(counters.gate1_false_negatives, lost);
    }
}

#[test]
fn a_profile_gives_the_smallest_thresholds_of_its_recall() {
    let bins = GateBins { radii: 4, radius_cap: 1.0, features: 10, feature_cap: 5.0 };
    let mut counts = vec![0; 40];
    // (residual distance, feature distance)
    let pairs = [(0.1, 0.2), (0.2, 1.2), (0.3, 0.7), (0.4, 3.3), (0.9, 9.0), (1.2, 0.1), (0.0, 0.0)];
    let squares: Vec<f32> = pairs.iter().map(|(_, f)| (f * f) as f32).collect();
    let distances: Vec<f64> = pairs.iter().map(|(d, _)| *d).collect();
    profile_pairs(bins, &squares, &distances, &mut counts).unwrap();
    assert_eq!(counts.iter().sum::<u64>(), 6, "the pair beyond the cap is not counted");
    let mut table = [-1.0; 4];
    profile_thresholds(bins, &counts, 1.0, &mut table).unwrap();
    assert_eq!(table, [1.5, 3.5, 3.5, f64::INFINITY]);
    profile_thresholds(bins, &counts, 0.5, &mut table).unwrap();
    assert_eq!(table, [0.5, 1.0, 1.0, 1.0]);
    assert_eq!(profile_slope(&table, 1.0), 2.0);
    profile_thresholds(bins, &[0; 40], 1.0, &mut table).unwrap();
    assert_eq!(table, [f64::INFINITY; 4], "nothing is known");
    // Every counted pair passes a lookup gate made at recall 1.
    profile_thresholds(bins, &counts, 1.0, &mut table).unwrap();
    let gate = Gate::new(GateRule::Lookup { table: &table }, 0.0, 1.0).unwrap();
    assert!(pairs.iter().all(|&(d, f)| f <= gate.threshold(d)));
}

#[test]
fn wrong_arguments_are_refused() {
    let rule = GateRule::Whitened { slope: 1.0 };
    assert_eq!(
        Gate::new(GateRule::Whitened { slope: -1.0 }, 0.0, 1.0).err(),
        Some(KernelError::Value { what: "slope", at: 0 })
    );
    assert!(Gate::new(GateRule::Lookup { table: &[] }, 0.0, 1.0).is_err());
    let table = [1.0, f64::NAN];
    assert_eq!(
        Gate::new(GateRule::Lookup { table: &table }, 0.0, 1.0).err(),
        Some(KernelError::Value { what: "table", at: 1 })
    );
    assert!(Gate::new(rule, -0.1, 1.0).is_err() && Gate::new(rule, 0.0, 0.0).is_err());
    let bins = GateBins { radii: 2, radius_cap: 1.0, features: 2, feature_cap: 1.0 };
    let mut counts = [7; 4];
    assert!(profile_pairs(bins, &[1.0], &[1.0, 2.0], &mut counts).is_err());
    assert!(profile_pairs(GateBins { radius_cap: 0.0, ..bins }, &[1.0], &[1.0], &mut counts).is_err());
    assert!(profile_pairs(GateBins { radii: 0, ..bins }, &[1.0], &[1.0], &mut counts).is_err());
    assert!(profile_pairs(bins, &[1.0], &[1.0], &mut counts[1..]).is_err());
    assert_eq!(counts, [7; 4]);
    let mut table = [5.0; 2];
    assert!(profile_thresholds(bins, &counts, 1.5, &mut table).is_err());
    assert!(profile_thresholds(bins, &counts, 0.5, &mut table[1..]).is_err());
    let features = Panels::new(&[0.0f32; 16], 1, 3).unwrap();
    let (mut squares, mut masks, mut counters) = ([2.0; 16], [9], GateCounters::default());
    let tier = Tier::detect();
    assert!(gate_run(tier, 1.0, &[0.0; 2], features, &mut squares, &mut masks, &mut counters).is_err());
    assert!(gate_run(tier, 1.0, &[0.0], features, &mut squares[1..], &mut masks, &mut counters).is_err());
    assert!(gate_run(tier, 1.0, &[0.0], features, &mut squares, &mut [], &mut counters).is_err());
    assert!(gate_audit::<f32>(&[0], &[0.0; 17], 1.0, &mut counters).is_err());
    assert!(gate_audit::<f64>(&[0], &[0.0; 9], 1.0, &mut counters).is_err());
    assert!(gate_audit::<f64>(&[0, 0], &[0.0; 8], 1.0, &mut counters).is_err());
    let side = GateSide { squares: &[1.0; 16], ranks: &[0.0; 8] };
    let queries = Rows::new(&[0.0f32; 2], 1).unwrap();
    let pairs = GatePairs { queries, features, rows: side, columns: side };
    let bad = [
        GatePairs { queries: Rows::new(&[0.0; 2], 2).unwrap(), ..pairs },
        GatePairs { rows: GateSide { squares: &[1.0], ..side }, ..pairs },
        GatePairs { rows: GateSide { ranks: &[1.0], ..side }, ..pairs },
        GatePairs { columns: GateSide { squares: &[1.0; 15], ..side }, ..pairs },
        GatePairs { columns: GateSide { ranks: &[1.0; 7], ..side }, ..pairs },
    ];
    let (mut memory, mut marks) = ([Block::default()], [7; 2]);
    for pairs in &bad {
        let mut arena = Arena::new(&mut memory);
        assert!(gate_block(tier, pairs, Counting::All, &mut marks, &mut arena, &mut counters).is_err());
    }
    let mut arena = Arena::new(&mut memory);
    assert!(gate_block(tier, &pairs, Counting::All, &mut [7; 1], &mut arena, &mut counters).is_err());
    let refused = gate_block(tier, &pairs, Counting::All, &mut marks, &mut Arena::new(&mut []), &mut counters);
    assert_eq!((refused, marks), (Err(KernelError::Scratch { need: 1, have: 0 }), [7; 2]));
    assert_eq!((squares, masks, table, counters), ([2.0; 16], [9], [5.0; 2], GateCounters::default()));
}
