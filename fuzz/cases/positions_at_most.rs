//! Threshold scans, on every tier, against a filter.

use covertree_kernels::oracle::select as oracle;
use covertree_kernels::select::{SelectCounters, positions_at_most};
use covertree_kernels::simd::{Real, Tier};

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (len, first) = (bytes.below(200), i32::from(bytes.u16()));
    let mut value = || match bytes.u8() % 16 {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        3 => -0.0,
        _ => bytes.coordinate(),
    };
    let threshold = value();
    let values: Vec<f64> = (0..len).map(|_| value()).collect();
    run::<f32>(&values, threshold, first);
    run::<f64>(&values, threshold, first);
}

fn run<T: Real>(values: &[f64], threshold: f64, first: i32) {
    let values: Vec<T> = values.iter().map(|&value| T::from_f64(value)).collect();
    let want = oracle::positions_at_most(&values, T::from_f64(threshold), first);
    for tier in Tier::all() {
        let (mut out, mut counters) = (vec![-7; values.len()], SelectCounters::default());
        let passed = positions_at_most(tier, &values, T::from_f64(threshold), first, &mut out, &mut counters);
        assert_eq!((passed, &out[..want.len()]), (Ok(want.len()), &want[..]), "{tier}");
    }
}
