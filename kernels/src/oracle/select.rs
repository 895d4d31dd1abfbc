//! Selections by sorting or filtering everything.

use std::vec::Vec;

use crate::index::{Idx, NONE};
use crate::simd::Real;

/// Positions, counted from `first`, of the values at most `threshold`.
pub fn positions_at_most<T: Real>(values: &[T], threshold: T, first: Idx) -> Vec<Idx> {
    (first..).zip(values).filter(|(_, value)| **value <= threshold).map(|(position, _)| position).collect()
}

/// The k-th smallest of a row without NaN, counted from 1.
pub fn kth_smallest<T: Real>(row: &[T], k: usize) -> T {
    let mut sorted = row.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("no value is NaN"));
    T::from_f64(sorted[k - 1].to_f64() + 0.0)
}

/// The `k` least different pairs of all runs, a run ending at its first `NONE`, padded to `k`; and how many there are.
pub fn merge_runs(runs: &[Vec<(f64, Idx)>], k: usize) -> (usize, Vec<f64>, Vec<Idx>) {
    let mut pairs: Vec<(f64, Idx)> =
        runs.iter().flat_map(|run| run.iter().take_while(|pair| pair.1 != NONE).copied()).collect();
    pairs.sort_by(|a, b| a.partial_cmp(b).expect("no distance is NaN"));
    pairs.dedup();
    pairs.truncate(k);
    let found = pairs.len();
    pairs.resize(k, (f64::INFINITY, NONE));
    let (distances, ids) = pairs.into_iter().unzip();
    (found, distances, ids)
}
