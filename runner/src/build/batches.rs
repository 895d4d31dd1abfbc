//! Which points are inserted when.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::group::{radix_sort_keys, radix_sort_keys_blocks};
use covertree_kernels::hash::priority;
use covertree_kernels::index::{Idx, at};
use rayon::prelude::*;

use super::BuildConfig;

/// The batches: their members one after another.
pub(crate) struct Batches {
    /// Slots of all batches; ascending within a batch. The first one is the root.
    pub members: Vec<Idx>,
    /// Where each batch ends.
    pub ends: Vec<Idx>,
}

impl Batches {
    /// The batches after the first, which is the root alone.
    pub fn rest(&self) -> impl Iterator<Item = &[Idx]> {
        self.ends.windows(2).map(|pair| &self.members[at(pair[0])..at(pair[1])])
    }
}

/// Prefix doubling over a random permutation of the rows: 1, 1, 2, 4, 8 ... `rows[slot]` is the row of a slot.
pub(crate) fn plan(rows: &[Idx], config: &BuildConfig) -> Batches {
    let mut keys: Vec<u64> = rows.par_iter().map(|&row| priority(config.seed, 0, row)).collect();
    let mut members: Vec<Idx> = (0..rows.len() as Idx).collect(); // counted by the caller
    let mut memory = vec![Block::default(); radix_sort_keys_blocks(keys.len())];
    radix_sort_keys(&mut keys, &mut members, &mut Arena::new(&mut memory)).expect("the memory has the size");
    let mut ends = Vec::new();
    let mut end = 0;
    while end < members.len() {
        let next = members.len().min(if end == 0 { 1 } else { 2 * end });
        members[end..next].par_sort_unstable();
        end = next;
        ends.push(end as Idx); // not above `len`
    }
    Batches { members, ends }
}
