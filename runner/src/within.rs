//! All points within a radius, of many queries.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{self as kernel, SearchCounters, TreeView, search, search_blocks};

use crate::error::Error;
use crate::parallel;
use crate::summary::memory_bytes;
use crate::tree::Tree;
use crate::workers::Workers;

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
    /// Number of queries.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there are no queries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ids and distances of the neighbours of query `query`, ascending by (distance, id).
    ///
    /// # Panics
    /// If `query` is not below [`len`](Self::len).
    pub fn row(&self, query: usize) -> (&[Idx], &[f64]) {
        let row = self.starts[query] as usize..self.starts[query + 1] as usize; // places in `ids`
        (&self.ids[row.clone()], &self.distances[row])
    }

    /// What was found in parts, one after another, and how much of it belongs to each query.
    ///
    /// # Errors
    /// [`Error::Memory`] when there is no room for it a second time.
    pub(crate) fn joined(counts: &mut dyn Iterator<Item = usize>, parts: Vec<Found>) -> Result<Self, Error> {
        let mut starts = vec![0];
        let mut end = 0;
        starts.extend(counts.map(|count| {
            end += count as i64; // as many as fit into memory
            end
        }));
        let len = end as usize; // as above
        // Nothing touches these before the threads write them.
        let mut ids: Vec<Idx> = bytemuck::try_zeroed_vec(len).map_err(|()| too_many(len))?;
        let mut distances: Vec<f64> = bytemuck::try_zeroed_vec(len).map_err(|()| too_many(len))?;
        let mut rows: Vec<(Found, &mut [Idx], &mut [f64])> = Vec::with_capacity(parts.len());
        let (mut ids_left, mut distances_left) = (&mut ids[..], &mut distances[..]);
        for part in parts {
            let (own_ids, ids_rest) = ids_left.split_at_mut(part.len());
            let (own_distances, distances_rest) = distances_left.split_at_mut(part.len());
            rows.push((part, own_ids, own_distances));
            (ids_left, distances_left) = (ids_rest, distances_rest);
        }
        parallel::chunks(&mut rows, PARTS, &|_, rows| {
            for (part, ids, distances) in rows {
                for ((id, distance), found) in ids.iter_mut().zip(distances.iter_mut()).zip(&*part) {
                    (*distance, *id) = *found;
                }
                *part = Vec::new();
            }
        });
        Ok(Self { starts, ids, distances })
    }
}

/// Neighbours, one query after another.
pub(crate) type Found = Vec<(f64, Idx)>;

/// There is no room for the answer.
fn too_many(count: usize) -> Error {
    Error::Memory {
        file: format!("the answer of {count} neighbours"),
        bytes: (count as u64).saturating_mul(Budget::EACH),
        remedy: FEWER,
    }
}

/// What helps where there are too many neighbours.
pub(crate) const FEWER: &str = "choose a smaller radius, or ask for fewer queries at a time";

/// Parts whose answers one task copies.
const PARTS: usize = 16;

/// Queries that one task answers.
const CHUNK: usize = 64;

/// Neighbours that a task finds before it tells of them.
const SPENT: usize = 1 << 12;

/// What queries search.
pub(crate) struct Searched<'a, M> {
    pub tier: Tier,
    pub tree: &'a Tree,
    pub metric: &'a M,
    pub workers: &'a Workers,
}

impl<M: kernel::Metric + Sync> Searched<'_, M> {
    /// All points within a radius of each of `count` queries, those that `keep` gives a distance to.
    pub fn within<'q>(
        &self,
        count: usize,
        radius: f64,
        query: &(dyn Fn(usize) -> M::Query<'q> + Sync),
        keep: &(dyn Fn(f64) -> Option<f64> + Sync),
    ) -> Result<(Neighborhoods, SearchCounters), Error> {
        let (view, budget) = (self.tree.view(), Budget::of_answer());
        let part = |queries: Range<usize>| -> Result<Part, Error> {
            let mut part = Part::default();
            self.workers.with(search_blocks(self.tree.waiting), |memory| {
                let mut spent = 0;
                for number in queries {
                    part.add((self.tier, view, self.metric), query(number), radius, keep, memory)?;
                    if part.found.len() - spent >= SPENT {
                        budget.spend(part.found.len() - spent)?;
                        spent = part.found.len();
                    }
                }
                budget.spend(part.found.len() - spent)?;
                // What a query needs is not kept until the parts are joined.
                (part.ids, part.distances) = (Vec::new(), Vec::new());
                part.found.shrink_to_fit();
                Ok(part)
            })
        };
        let parts = parallel::pieces(count, CHUNK, &part).into_iter().collect::<Result<Vec<Part>, Error>>()?;
        let mut counters = SearchCounters::default();
        parts.iter().for_each(|part| counters.merge(&part.counters));
        let (counts, found): (Vec<_>, Vec<_>) = parts.into_iter().map(|part| (part.counts, part.found)).unzip();
        Ok((Neighborhoods::joined(&mut counts.into_iter().flatten(), found)?, counters))
    }
}

/// Keeps answers, and what they are found in, from outgrowing the memory: their size is not known before.
pub(crate) struct Budget {
    what: &'static str,
    each: u64,
    found: AtomicU64,
    /// What the machine had when it was first asked, as far as it tells.
    available: OnceLock<u64>,
}

impl Budget {
    /// Bytes that are spent unasked: asking takes longer than a small search.
    const UNASKED: u64 = 1 << 24;

    /// Bytes of a neighbour, in the part that found it and in the whole.
    const EACH: u64 = (2 * (size_of::<f64>() + size_of::<Idx>()) + size_of::<Idx>()) as u64;

    /// For an answer.
    pub fn of_answer() -> Self {
        Self::new("the answer of more than", Self::EACH)
    }

    /// For anything that takes so many bytes for each neighbour; `what` stands before their number.
    pub fn new(what: &'static str, each: u64) -> Self {
        Self { what, each, found: AtomicU64::new(0), available: OnceLock::new() }
    }

    /// Adds so many neighbours.
    ///
    /// # Errors
    /// [`Error::Memory`] when there is no room for all so far.
    pub fn spend(&self, count: usize) -> Result<(), Error> {
        let found = self.found.fetch_add(count as u64, Ordering::Relaxed) + count as u64; // widens
        let bytes = found.saturating_mul(self.each);
        let available = || memory_bytes().map_or(u64::MAX, |memory| memory.available);
        if bytes <= Self::UNASKED || bytes <= *self.available.get_or_init(available) {
            return Ok(());
        }
        Err(Error::Memory { file: format!("{} {found} neighbours", self.what), bytes, remedy: FEWER })
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
struct Part {
    counts: Vec<usize>,
    found: Found,
    counters: SearchCounters,
    ids: Vec<Idx>,
    distances: Vec<f64>,
}

/// Room for the answer to the first query; it grows as need be.
const ROOM: usize = 256;

impl Part {
    /// Adds the points within a radius of one query, those that `keep` gives a distance to.
    pub fn add<M: kernel::Metric>(
        &mut self,
        (tier, view, metric): (Tier, TreeView<'_>, &M),
        query: M::Query<'_>,
        radius: f64,
        keep: &dyn Fn(f64) -> Option<f64>,
        memory: &mut [Block],
    ) -> Result<(), Error> {
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
            lengthen(&mut self.ids, count, NONE)?;
            lengthen(&mut self.distances, count, 0.0)?;
        };
        let first = self.found.len();
        // Twice the room for the queries to come, or where that is not to be had, enough for this one.
        let reserved = self.found.try_reserve(count).or_else(|_| self.found.try_reserve_exact(count));
        reserved.map_err(|_| too_many(first + count))?;
        let both = self.distances[..count].iter().zip(&self.ids);
        self.found.extend(both.filter_map(|(&distance, &id)| Some((keep(distance)?, id))));
        self.found[first..].sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        self.counts.push(self.found.len() - first);
        Ok(())
    }
}

/// Makes values longer, where there is room.
fn lengthen<T: Copy>(values: &mut Vec<T>, len: usize, filling: T) -> Result<(), Error> {
    values.try_reserve_exact(len - values.len()).map_err(|_| too_many(len))?;
    values.resize(len, filling);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_outgrows_the_memory_is_refused() {
        let budget = Budget { available: (1_000_000 * Budget::EACH).into(), ..Budget::of_answer() };
        budget.spend(600_000).unwrap();
        budget.spend(400_000).unwrap();
        let text = budget.spend(1).unwrap_err().to_string();
        assert!(text.contains("more than 1000001 neighbours") && text.contains("choose a smaller radius"), "{text}");
    }

    #[test]
    fn what_no_memory_holds_is_refused() {
        let refused = Neighborhoods::joined(&mut [usize::MAX >> 5].into_iter(), Vec::new()).unwrap_err().to_string();
        assert!(refused.starts_with("the answer of ") && refused.contains("do not fit into memory"), "{refused}");
        assert!(lengthen(&mut vec![0.0], usize::MAX >> 5, 0.0).is_err());
    }

    #[test]
    fn parts_are_joined_in_their_order() {
        let parts = vec![vec![(0.5, 3), (1.0, 1)], Vec::new(), vec![(0.0, 2)]];
        let joined = Neighborhoods::joined(&mut [1, 1, 0, 1].into_iter(), parts).unwrap();
        assert_eq!((joined.starts, joined.ids), (vec![0, 1, 2, 2, 3], vec![3, 1, 2]));
        assert_eq!(joined.distances, [0.5, 1.0, 0.0]);
    }
}
