//! All points within a radius, of many queries.

use std::sync::atomic::{AtomicU64, Ordering};

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{self as kernel, SearchCounters, TreeView, search};

use crate::error::Error;
use crate::summary::memory_bytes;

/// The neighbours within a radius of many queries, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighborhoods {
    /// `[queries + 1]`: the neighbours of query `i` stand at `starts[i]..starts[i + 1]`.
    pub starts: Vec<i64>,
    /// Ids, for each query ascending by (distance, id).
    pub ids: Vec<Idx>,
    /// Their distances, none above the radius.
    pub distances: Vec<f64>,
}

impl Neighborhoods {
    /// The answers of parts, one after another.
    pub(crate) fn joined(parts: Vec<Part>) -> (Self, SearchCounters) {
        let mut counters = SearchCounters::default();
        let mut all = Self { starts: vec![0], ids: Vec::new(), distances: Vec::new() };
        let mut end = 0;
        for part in parts {
            counters.merge(&part.counters);
            for count in part.counts {
                end += count as i64; // as many as fit into memory
                all.starts.push(end);
            }
            all.ids.extend(part.found.iter().map(|(_, id)| id));
            all.distances.extend(part.found.iter().map(|(distance, _)| distance));
        }
        (all, counters)
    }
}

/// Keeps answers from outgrowing the memory: their size is not known before.
pub(crate) struct Budget {
    found: AtomicU64,
    available: u64,
}

impl Budget {
    /// Bytes of a neighbour, in the part that found it and in the whole.
    const EACH: u64 = (2 * (size_of::<f64>() + size_of::<Idx>()) + size_of::<Idx>()) as u64;

    /// What the machine has now, as far as it tells.
    pub fn new() -> Self {
        Self { found: AtomicU64::new(0), available: memory_bytes().map_or(u64::MAX, |memory| memory.available) }
    }

    /// Adds so many neighbours.
    ///
    /// # Errors
    /// [`Error::Memory`] when there is no room for all so far.
    pub fn spend(&self, count: usize) -> Result<(), Error> {
        let found = self.found.fetch_add(count as u64, Ordering::Relaxed) + count as u64; // widens
        let bytes = found.saturating_mul(Self::EACH);
        if bytes <= self.available {
            return Ok(());
        }
        Err(Error::Memory { file: format!("the answer of more than {found} neighbours"), bytes })
    }
}

/// Refuses what is no radius.
///
/// # Errors
/// [`Error::Usage`] for a negative number or none.
pub(crate) fn check_radius(radius: f64) -> Result<(), Error> {
    if radius >= 0.0 {
        return Ok(());
    }
    Err(Error::Usage(format!("radius {radius}: choose a number from 0 on")))
}

/// The answers to some queries, while they are found.
#[derive(Default)]
pub(crate) struct Part {
    counts: Vec<usize>,
    found: Vec<(f64, Idx)>,
    counters: SearchCounters,
    ids: Vec<Idx>,
    distances: Vec<f64>,
}

/// Room for the answer to the first query; it grows as need be.
const ROOM: usize = 256;

impl Part {
    /// Adds the points within a radius of one query, those that `keep` gives a distance to; returns how many these are.
    pub fn add<M: kernel::Metric>(
        &mut self,
        (tier, view, metric): (Tier, TreeView<'_>, &M),
        query: M::Query<'_>,
        radius: f64,
        keep: &dyn Fn(f64) -> Option<f64>,
        memory: &mut [Block],
    ) -> Result<usize, KernelError> {
        if self.ids.is_empty() {
            self.ids.resize(ROOM, NONE);
            self.distances.resize(ROOM, 0.0);
        }
        let count = loop {
            let ids = view.parts().ids;
            let visitor = kernel::Within::new(ids, NONE, radius, &mut self.ids, &mut self.distances)?;
            let (visitor, counters) = search(tier, view, metric, query, visitor, &mut Arena::new(memory))?;
            self.counters.merge(&counters);
            let count = at(visitor.found()?);
            if count <= self.ids.len() {
                break count;
            }
            self.ids.resize(count, NONE);
            self.distances.resize(count, 0.0);
        };
        let first = self.found.len();
        let both = self.distances[..count].iter().zip(&self.ids);
        self.found.extend(both.filter_map(|(&distance, &id)| Some((keep(distance)?, id))));
        self.found[first..].sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let count = self.found.len() - first;
        self.counts.push(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_outgrows_the_memory_is_refused() {
        let budget = Budget { found: AtomicU64::new(0), available: 100 * Budget::EACH };
        budget.spend(60).unwrap();
        budget.spend(40).unwrap();
        let text = budget.spend(1).unwrap_err().to_string();
        assert!(text.contains("more than 101 neighbours") && text.contains("do not fit into memory"), "{text}");
    }
}
