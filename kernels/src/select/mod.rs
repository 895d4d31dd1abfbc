//! Selection: which values of a row pass a threshold, which value is the k-th smallest, the k best of sorted runs.
//!
//! | kernel | reads | writes |
//! | --- | --- | --- |
//! | [`positions_at_most`] | a row | the positions of its values up to a threshold |
//! | [`kth_smallest`] | a row, not altered | nothing but scratch |
//! | [`merge_runs`] | sorted runs of (distance, id) | the k best of all, each pair once |
//!
//! Nothing rounds here, so answers are the same bits on every tier and for every split. For a running selection among
//! pairs that arrive one by one see [`topk`](crate::topk).
//!
//! # Cost and measured rate
//! [`positions_at_most`] reads the row once. [`kth_smallest`] reads it two or three times: a sample brackets the answer,
//! and only what lies within the bracket is looked at again. [`merge_runs`] costs `log2 runs` comparisons per pair written.
//! One thread of an AMD EPYC (Zen 4) with AVX-512, `f32`: [`positions_at_most`] scans 26 G values/s when none passes and 7.7 when
//! half of them do (plain loop: 2.8 and 1.3); the 50th smallest of 32,768 takes 8.5 us (`select_nth_unstable`: 41); merging 8
//! runs of 50 takes 0.86 us (sort: 5.3). `cargo bench -p covertree-benches --bench select`.

use crate::arena::{Arena, blocks};
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::{Real, Tier};

mod lanes;
mod merge;
#[cfg(any(test, feature = "oracle"))]
pub mod scalar;
#[cfg(test)]
mod tests;

pub use merge::{Runs, merge_runs, merge_runs_blocks};

/// Work done on selections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SelectCounters {
    /// Values read by scans.
    pub scanned: u64,
    /// Values that passed: a threshold, or the bracket around a k-th smallest.
    pub passed: u64,
    /// Calls of [`kth_smallest`] whose bracket missed, so that the whole row was partitioned.
    pub missed: u64,
    /// Pairs that merges took from runs, repeated ones included.
    pub merged: u64,
}

impl SelectCounters {
    /// Adds the work of another call.
    pub fn merge(&mut self, other: &Self) {
        self.scanned += other.scanned;
        self.passed += other.passed;
        self.missed += other.missed;
        self.merged += other.merged;
    }
}

/// Writes the positions of all values at most `threshold`, ascending, to the front of `out`; returns how many.
///
/// | argument | shape |
/// | --- | --- |
/// | `values` | `[len]`, `f32` or `f64`; a NaN never passes |
/// | `threshold` | if NaN, nothing passes |
/// | `first` | the position of `values[0]`, so that a row can be split |
/// | `out` | `[len]`: room for all; what stands behind those that passed is unspecified |
///
/// # Errors
/// [`KernelError::Shape`] when `out` does not fit, [`KernelError::Key`] when `first` is negative,
/// [`KernelError::TooLong`] when the last position is more than an [`Idx`] holds. `out` is then untouched.
///
/// # Cost
/// Reads each value once, a panel at a time; a panel in which nothing passes costs one comparison.
pub fn positions_at_most<T: Real>(
    tier: Tier,
    values: &[T],
    threshold: T,
    first: Idx,
    out: &mut [Idx],
    counters: &mut SelectCounters,
) -> Result<usize, KernelError> {
    want("out", values.len(), out.len())?;
    if first < 0 {
        return Err(KernelError::Key { at: 0, key: first, limit: Idx::MAX });
    }
    idx_len(values.len().saturating_add(at(first)))?;
    let passed = tier.run(lanes::PositionsAtMost { values, threshold, first, out });
    counters.scanned += values.len() as u64; // widens
    counters.passed += passed as u64; // widens
    Ok(passed)
}

/// Blocks that [`kth_smallest`] takes for a row of `len` values.
pub const fn kth_smallest_blocks<T>(len: usize) -> usize {
    blocks::<T>(len)
}

/// The `k`-th smallest value of a row, counted from 1, repeated values counted as often as they stand there.
///
/// | argument | shape |
/// | --- | --- |
/// | `row` | `[len]`, `f32` or `f64`, infinities allowed |
/// | `k` | `1..=len` |
/// | `arena` | [`kth_smallest_blocks`]`::<T>(len)` |
///
/// A zero is returned as plus zero, so that the answer does not depend on where which zero stands.
///
/// # Errors
/// [`KernelError::Least`] when `k` is zero, [`KernelError::Shape`] when the row has fewer than `k` values,
/// [`KernelError::Value`] at the first NaN, [`KernelError::Scratch`].
///
/// # Cost
/// A sample of at most about `len^(2/3)` values gives a bracket that holds the answer but for bad luck; one pass counts
/// what lies below it and keeps what lies inside, at most some `6 len^(2/3)` values, which are partitioned. Values outside of the
/// bracket cost three comparisons each, a panel at a time. When the bracket misses (ties, or a hostile row), the whole
/// row is copied and partitioned. Source: R. W. Floyd, R. L. Rivest, *Expected time bounds for selection*, CACM 18(3),
/// 1975; here the sample is chosen by a hash, so that the work is the same in every run.
pub fn kth_smallest<T: Real>(
    tier: Tier,
    row: &[T],
    k: usize,
    arena: &mut Arena<'_>,
    counters: &mut SelectCounters,
) -> Result<T, KernelError> {
    if k == 0 {
        return Err(KernelError::Least { what: "k", least: 1, got: 0 });
    }
    if k > row.len() {
        return Err(KernelError::Shape { what: "row", want: k, got: row.len() });
    }
    let buffer = arena.scope().take::<T>(row.len())?;
    // Values are taken out of a mask one by one: in `f64`, where a vector has half as many, wide masks still pay.
    let tier = if T::IS_F64 { tier } else { tier.at_256_bits() };
    let found = tier.run(lanes::KthSmallest { row, k, buffer });
    let Some(found) = found else {
        let place = row.iter().position(|value| value.partial_cmp(value).is_none());
        return Err(KernelError::Value { what: "row", at: place.unwrap_or(row.len()) });
    };
    counters.scanned += row.len() as u64; // widens
    counters.passed += found.passed as u64; // widens
    counters.missed += u64::from(found.missed);
    Ok(found.value)
}
