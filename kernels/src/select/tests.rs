//! Every tier, the plain twin and the definition.

use proptest::collection::vec;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::arena::Block;
use crate::index::NONE;
use crate::oracle::select as oracle;
use crate::trials;

fn dirty(blocks: usize) -> Vec<Block> {
    vec![Block::splat(u32::MAX); blocks]
}

fn check_positions<T: Real>(values: &[f64], threshold: f64, first: Idx) {
    let values: Vec<T> = values.iter().map(|&value| T::from_f64(value)).collect();
    let threshold = T::from_f64(threshold);
    let want = oracle::positions_at_most(&values, threshold, first);
    let mut out = vec![-7; values.len()];
    assert_eq!(scalar::positions_at_most(&values, threshold, first, &mut out), want.len());
    assert_eq!(out[..want.len()], want);
    for tier in Tier::all() {
        let (mut out, mut counters) = (vec![-7; values.len()], SelectCounters::default());
        let passed = positions_at_most(tier, &values, threshold, first, &mut out, &mut counters);
        assert_eq!((passed, &out[..want.len()]), (Ok(want.len()), &want[..]), "{tier}");
        assert_eq!((counters.scanned, counters.passed), (values.len() as u64, want.len() as u64));
    }
}

/// Returns how often the bracket missed.
fn check_kth<T: Real>(values: &[f64], k: usize) -> u64 {
    let row: Vec<T> = values.iter().map(|&value| T::from_f64(value)).collect();
    let want = oracle::kth_smallest(&row, k).to_f64().to_bits();
    assert_eq!(scalar::kth_smallest(&row, k, &mut row.clone()).to_f64().to_bits(), want);
    let mut counters = SelectCounters::default();
    for tier in Tier::all() {
        let mut memory = dirty(kth_smallest_blocks::<T>(row.len()));
        let got = kth_smallest(tier, &row, k, &mut Arena::new(&mut memory), &mut counters).unwrap();
        assert_eq!(got.to_f64().to_bits(), want, "{tier} k {k}");
    }
    counters.missed
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-3..4i32).prop_map(f64::from),
        -1e3..1e3f64,
        Just(0.0),
        Just(-0.0),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY)
    ]
}

proptest! {
    #![proptest_config(trials::cases(256))]

    #[test]
    fn positions_at_most_matches_oracle(
        values in vec(prop_oneof![value(), Just(f64::NAN)], 0..200),
        threshold in prop_oneof![value(), Just(f64::NAN)],
        first in 0..1000i32,
    ) {
        check_positions::<f32>(&values, threshold, first);
        check_positions::<f64>(&values, threshold, first);
    }

    #[test]
    fn a_row_split_in_two_equals_the_whole(values in vec(value(), 0..100), cut in 0..100usize, threshold in value()) {
        let (tier, cut, mut counters) = (Tier::detect(), cut.min(values.len()), SelectCounters::default());
        let mut out = vec![-7; values.len()];
        let (low, high) = out.split_at_mut(cut);
        let a = positions_at_most(tier, &values[..cut], threshold, 5, low, &mut counters).unwrap();
        let b = positions_at_most(tier, &values[cut..], threshold, 5 + cut as Idx, high, &mut counters).unwrap();
        let both: Vec<Idx> = low[..a].iter().chain(&high[..b]).copied().collect();
        prop_assert_eq!(both, oracle::positions_at_most(&values, threshold, 5));
    }

    #[test]
    fn kth_smallest_matches_oracle(values in vec(value(), 1..trials::up_to(600usize)), k in 0..600usize) {
        let k = k % values.len() + 1;
        check_kth::<f32>(&values, k);
        check_kth::<f64>(&values, k);
    }

    #[test]
    fn merge_runs_matches_oracle(
        runs in vec(vec(((0..6i32).prop_map(f64::from), 0..9i32), 0..9), 0..7),
        padding in vec(0..3usize, 7),
        k in 0..20usize,
    ) {
        let mut sorted: Vec<Vec<(f64, Idx)>> = runs;
        let (mut distances, mut ids, mut starts) = (vec![], vec![], vec![0]);
        for (run, &padding) in sorted.iter_mut().zip(&padding) {
            run.sort_by(|a, b| a.partial_cmp(b).unwrap());
            run.extend((0..padding).map(|i| if i == 0 { (f64::INFINITY, NONE) } else { (f64::NAN, 3) }));
            distances.extend(run.iter().map(|pair| pair.0));
            ids.extend(run.iter().map(|pair| pair.1));
            starts.push(ids.len() as Idx);
        }
        let runs = Runs::new(&distances, &ids, &starts).unwrap();
        let (mut out, mut out_ids, mut counters) = (vec![-7.0; k], vec![-7; k], SelectCounters::default());
        let mut memory = dirty(merge_runs_blocks(runs.len()));
        let found = merge_runs(&runs, &mut out, &mut out_ids, &mut Arena::new(&mut memory), &mut counters).unwrap();
        prop_assert_eq!((found, out, out_ids), oracle::merge_runs(&sorted, k));
        prop_assert!(counters.merged >= found as u64);
    }
}

#[test]
fn panels_that_just_fit_and_just_do_not() {
    for len in [0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33] {
        let values: Vec<f64> = (0..len).map(|i| f64::from(i * 7 % 5)).collect();
        for threshold in [-1.0, 2.0, 9.0] {
            check_positions::<f32>(&values, threshold, 0);
            check_positions::<f64>(&values, threshold, 0);
        }
        for k in 1..=values.len() {
            check_kth::<f32>(&values, k);
            check_kth::<f64>(&values, k);
        }
    }
}

#[test]
fn long_rows_of_every_kind_are_settled_by_the_bracket_or_without_it() {
    let n = if cfg!(miri) { 2_100usize } else { 20_000 };
    let hash = |i: usize| crate::hash::mix64(i as u64 + 77);
    let random: Vec<f64> = (0..n).map(|i| (hash(i) >> 40) as f64).collect();
    let ties: Vec<f64> = (0..n).map(|i| (hash(i) % 3) as f64).collect();
    let rising: Vec<f64> = (0..n).map(|i| i as f64).collect();
    let steep: Vec<f64> = (0..n).map(|i| if hash(i).is_multiple_of(1000) { -1.0 } else { 5.0 }).collect();
    let mut missed = 0;
    for k in trials::thin(10, [50, 1, 2, 10, n / 4, n / 2, n - 60, n - 1, n]) {
        for row in trials::thin(4, [&random, &ties, &rising, &steep]) {
            missed += check_kth::<f32>(row, k) + check_kth::<f64>(row, k);
        }
    }
    assert_eq!(missed, 0, "three standard deviations are enough for these");
    // Every value that the sample reads is low, all others are high: the bracket must miss, and the answer stay right.
    let mut hostile = vec![9.0; n];
    for place in 0..(n as u64) / 30 {
        hostile[((u128::from(crate::hash::mix64(place + 1)) * n as u128) >> 64) as usize] = place as f64 / 1e3;
    }
    assert!(check_kth::<f64>(&hostile, n / 20) > 0);
}

#[test]
fn wrong_arguments_are_refused_and_nothing_is_written() {
    let (tier, mut counters, mut out) = (Tier::detect(), SelectCounters::default(), [-7; 3]);
    let mut scan = |first, out: &mut [Idx]| positions_at_most(tier, &[0.0f32; 4], 1.0, first, out, &mut counters);
    assert_eq!(scan(0, &mut out), Err(KernelError::Shape { what: "out", want: 4, got: 3 }));
    let mut out = [-7; 4];
    assert_eq!(scan(-1, &mut out), Err(KernelError::Key { at: 0, key: -1, limit: Idx::MAX }));
    assert_eq!(scan(Idx::MAX - 4, &mut out), Err(KernelError::TooLong { len: i32::MAX as usize }));
    assert_eq!(out, [-7; 4]);
    assert_eq!(scan(Idx::MAX - 5, &mut out), Ok(4));

    let mut memory = dirty(3);
    let mut kth = |row: &[f64], k, blocks: usize| {
        kth_smallest(tier, row, k, &mut Arena::new(&mut memory[..blocks]), &mut SelectCounters::default())
    };
    assert_eq!(kth(&[1.0; 17], 0, 3), Err(KernelError::Least { what: "k", least: 1, got: 0 }));
    assert_eq!(kth(&[1.0; 17], 18, 3), Err(KernelError::Shape { what: "row", want: 18, got: 17 }));
    assert_eq!(kth(&[1.0; 17], 1, 2), Err(KernelError::Scratch { need: 3, have: 2 }));
    assert_eq!(kth(&[1.0, f64::NAN, f64::NAN], 1, 1), Err(KernelError::Value { what: "row", at: 1 }));
    assert_eq!(kth(&[], 1, 0), Err(KernelError::Shape { what: "row", want: 1, got: 0 }));
    for place in [0, 255, 256, 999] {
        let mut row = vec![1.0f32; 1000];
        row[place] = f32::NAN;
        let mut memory = dirty(kth_smallest_blocks::<f32>(1000));
        let refused = kth_smallest(tier, &row, 500, &mut Arena::new(&mut memory), &mut counters);
        assert_eq!(refused, Err(KernelError::Value { what: "row", at: place }));
    }
}

/// Numbers alone are handed to std, which may panic on an order that is not total.
#[test]
fn a_sample_with_a_nan_is_not_sorted() {
    let (len, mut sampled) = (1000, 0);
    let mut row: Vec<f64> = (0..len).map(|i| (i * 7 % len) as f64).collect();
    let mut buffer = vec![-7.0; len];
    for place in 0..len {
        let value = core::mem::replace(&mut row[place], f64::NAN);
        match lanes::bracket(&row, 500, &mut buffer) {
            Some((low, high)) => assert!(low < high, "{place}"),
            None => sampled += 1,
        }
        row[place] = value;
    }
    assert!((len / 50..len / 2).contains(&sampled), "{sampled}");
}

#[test]
fn rows_of_many_nans_are_refused_at_the_first() {
    fn check<T: Real>(len: usize, every: u64) {
        let nan = |i: usize| crate::hash::mix64(i as u64 + every).is_multiple_of(every);
        let row: Vec<T> = (0..len).map(|i| T::from_f64(if nan(i) { f64::NAN } else { i as f64 })).collect();
        let at = (0..len).position(nan).unwrap();
        for (tier, k) in Tier::all().flat_map(|tier| [1, len / 2, len].map(|k| (tier, k))) {
            let mut memory = dirty(kth_smallest_blocks::<T>(len));
            let refused = kth_smallest(tier, &row, k, &mut Arena::new(&mut memory), &mut SelectCounters::default());
            assert_eq!(refused, Err(KernelError::Value { what: "row", at }), "{tier} {k}");
        }
    }
    for len in [300, if cfg!(miri) { 600 } else { 20_000 }] {
        for every in [1, 2, 3, 20] {
            check::<f32>(len, every);
            check::<f64>(len, every);
        }
    }
}

#[test]
fn wrong_runs_are_refused_and_nothing_is_written() {
    let value = |what, at| Err(KernelError::Value { what, at });
    let runs =
        |distances: &[f64], ids: &[Idx], starts: &[Idx]| Runs::new(distances, ids, starts).map(|runs| runs.len());
    assert_eq!(runs(&[1.0], &[], &[0]), Err(KernelError::Shape { what: "ids", want: 1, got: 0 }));
    assert_eq!(runs(&[], &[], &[]), Err(KernelError::Least { what: "starts", least: 1, got: 0 }));
    assert_eq!(runs(&[], &[], &[1]), value("starts", 0));
    assert_eq!(runs(&[1.0; 2], &[1; 2], &[0, 3]), value("starts", 1));
    assert_eq!(runs(&[1.0; 2], &[1; 2], &[0, 2, 1]), value("starts", 2));
    assert_eq!(runs(&[1.0; 2], &[1; 2], &[0, 1]), value("starts", 1));
    assert_eq!(runs(&[1.0, 2.0, 1.0], &[1; 3], &[0, 3]), value("distances", 2));
    assert_eq!(runs(&[1.0, 1.0], &[2, 1], &[0, 2]), value("distances", 1));
    assert_eq!(runs(&[1.0, f64::NAN], &[2, 1], &[0, 1, 2]), value("distances", 1));
    assert_eq!(runs(&[1.0, f64::NAN], &[2, NONE], &[0, 2]), Ok(1));

    let runs = Runs::new(&[1.0, 2.0], &[4, 5], &[0, 1, 2]).unwrap();
    let (mut distances, mut ids, mut counters) = ([-7.0; 2], [-7; 2], SelectCounters::default());
    let mut merge = |ids: &mut [Idx], blocks: usize| {
        merge_runs(&runs, &mut distances, ids, &mut Arena::new(&mut dirty(blocks)), &mut counters)
    };
    assert_eq!(merge(&mut ids[..1], 4), Err(KernelError::Shape { what: "ids", want: 2, got: 1 }));
    assert_eq!(merge(&mut ids, 3), Err(KernelError::Scratch { need: 4, have: 3 }));
    assert_eq!((distances, ids), ([-7.0; 2], [-7; 2]));
    assert!(!runs.is_empty());
    assert_eq!(counters, SelectCounters::default());
}

#[test]
fn counters_add_up() {
    let one = SelectCounters { scanned: 1, passed: 2, missed: 3, merged: 4 };
    let mut sum = one;
    sum.merge(&one);
    assert_eq!(sum, SelectCounters { scanned: 2, passed: 4, missed: 6, merged: 8 });
}
