//! Which points are inserted when.

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

/// Prefix doubling over a random permutation: 1, 1, 2, 4, 8 ...
pub(crate) fn plan(len: Idx, config: &BuildConfig) -> Batches {
    let mut members: Vec<Idx> = (0..len).collect();
    members.par_sort_unstable_by_key(|&slot| (priority(config.seed, 0, slot), slot));
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
