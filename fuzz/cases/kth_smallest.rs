//! The k-th smallest of a row, short and long, on every tier, against a sort.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::error::KernelError;
use covertree_kernels::hash::mix64;
use covertree_kernels::oracle::select as oracle;
use covertree_kernels::select::{SelectCounters, kth_smallest, kth_smallest_blocks};
use covertree_kernels::simd::{Real, Tier};

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (len, k, kinds) = (1 + bytes.below(900), bytes.below(900), 1 + u64::from(bytes.u8()));
    let given: Vec<f64> = (0..bytes.below(64)).map(|_| bytes.coordinate()).collect();
    // None, one in the middle, or many.
    let nans = bytes.u8();
    let nan = |i: usize| match nans {
        7 => i == len / 2,
        8..=15 => mix64(i as u64 ^ 0x55).is_multiple_of(u64::from(nans) - 7),
        _ => false,
    };
    // Some values are given, the others hashed to few or many different ones.
    let mut values: Vec<f64> = (0..len)
        .map(|i| given.get(i / 3).copied().unwrap_or((mix64(i as u64) % kinds) as f64 - kinds as f64 / 2.0))
        .collect();
    for (_, value) in values.iter_mut().enumerate().filter(|&(i, _)| nan(i)) {
        *value = f64::NAN;
    }
    let first = (0..len).find(|&i| nan(i));
    run::<f32>(&values, k % len + 1, first);
    run::<f64>(&values, k % len + 1, first);
}

fn run<T: Real>(values: &[f64], k: usize, first_nan: Option<usize>) {
    let row: Vec<T> = values.iter().map(|&value| T::from_f64(value)).collect();
    for tier in Tier::all() {
        let mut memory = vec![Block::splat(u32::MAX); kth_smallest_blocks::<T>(row.len())];
        let got = kth_smallest(tier, &row, k, &mut Arena::new(&mut memory), &mut SelectCounters::default());
        if let Some(at) = first_nan {
            assert_eq!(got, Err(KernelError::Value { what: "row", at }), "{tier}");
        } else {
            let got = got.expect("the shapes fit").to_f64().to_bits();
            assert_eq!(got, oracle::kth_smallest(&row, k).to_f64().to_bits(), "{tier}");
        }
    }
}
