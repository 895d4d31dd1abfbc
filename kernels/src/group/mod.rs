//! Group-by: rows that share a key come to lie together, in the order of their row numbers.
//!
//! | kernel | what it computes |
//! | --- | --- |
//! | [`group_by_key`] | stable counting sort of dense keys to starts and rows |
//! | [`group_by_key_wide`] | the same with scratch: more than `2^18` groups go through buckets |
//! | [`group_chunk`], [`scan_chunks`], [`gather_groups`] | the same in three steps that split over threads |
//! | [`radix_sort_keys`] | stable radix sort of 64-bit keys with their rows |
//! | [`merge_split`], [`merge_keys`] | the same over threads: stable merge of two sorted runs, cut anywhere |
//! | [`key_runs`] | starts of the runs of equal keys |
//! | [`least_per_group`] | the member of least (priority, row) of each group |
//! | [`group_counts`] | sizes, and pairs `sum m (m - 1) / 2` |
//!
//! All results are exact and unique: a stable order leaves no choice, so any split over threads gives the same bytes.
//!
//! # Formula and shapes
//! Groups are stored as compressed rows: group `g` is `rows[starts[g]..starts[g + 1]]`, with `starts[g]` the number of rows whose key
//! is below `g`; [`Groups`] is the checked view. Dense keys are `[len]` of `0..groups` and make `starts`, `[groups + 1]`, and `rows`,
//! `[len]`. Sparse keys are `[len]` words with a row each, `[len]`, sorted together; [`key_runs`] makes `starts` of them, so that run
//! `g` is the group of the `g`-th smallest key.
//!
//! # Cost and measured rate
//! [`group_by_key`] reads the keys twice and writes each row once, at the place of its group; scratch and starts are as long
//! as there are groups. One thread of an AMD EPYC (Zen 4), 1,000,000 keys: 1.6 ns per key in 1,000 groups, 2.2 in 30,000, 3.6 in
//! 1,000,000, where [`group_by_key_wide`] takes 5.3 and `sort_unstable_by_key` of the rows 44; the radix sort 10.5 for evenly
//! spread keys and 11.3 for Hilbert keys of normal points, where `sort_unstable_by_key` takes 37 (by AVX2, for 2.6 GHz). `cargo bench -p covertree-benches --bench group`.

mod dense;
mod groups;
mod merge;
mod radix;
mod wide;

pub use dense::{gather_groups, group_by_key, group_chunk, scan_chunks};
pub use groups::{GroupCounts, Groups, group_counts, least_per_group};
pub use merge::{merge_keys, merge_split};
pub use radix::{key_runs, radix_sort_keys, radix_sort_keys_blocks};
pub use wide::{group_by_key_wide, group_by_key_wide_blocks};

/// Work done on sparse keys. What is done on dense ones follows from how many keys and groups there are.
///
/// A sort settles each of its keys once: `inserted + tied + swept` of a call is the number of its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupCounters {
    /// Keys that sorts settled by insertion alone, in ranges too short for passes.
    pub inserted: u64,
    /// Keys that sorts settled by finding that all keys of their range are equal.
    pub tied: u64,
    /// Keys that sorts settled by two passes and a sweep.
    pub swept: u64,
    /// Keys of sweeps that gave up, after the same two passes: once for each such sweep.
    pub given_up: u64,
    /// Keys that sorts put into buckets: once for each range too long for passes that they were in.
    pub cut: u64,
    /// Places by which insertions and sweeps moved keys.
    pub places: u64,
    /// Keys that merges took by a comparison; those of the run that is left at the end are copied without.
    pub compared: u64,
}

impl GroupCounters {
    /// Adds the work of another call.
    pub fn merge(&mut self, other: &Self) {
        self.inserted += other.inserted;
        self.tied += other.tied;
        self.swept += other.swept;
        self.given_up += other.given_up;
        self.cut += other.cut;
        self.places += other.places;
        self.compared += other.compared;
    }
}

#[cfg(test)]
mod tests;
