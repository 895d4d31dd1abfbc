//! The k best of several sorted runs.

use super::SelectCounters;
use crate::arena::{Arena, blocks};
use crate::error::{KernelError, want};
use crate::index::{Idx, NONE, at, idx_len};
use crate::view::check_starts;

/// Sorted runs of (distance, id), checked once: run `r` is `starts[r]..starts[r + 1]`.
///
/// A run ascends by distance, ties by id, and ends at its first id that is [`NONE`], so that padded rows of a search
/// are runs as they are.
#[derive(Clone, Copy, Debug)]
pub struct Runs<'a> {
    distances: &'a [f64],
    ids: &'a [Idx],
    starts: &'a [Idx],
}

impl<'a> Runs<'a> {
    /// A view of `distances` and `ids` (`[pairs]`) as the runs between `starts` (`[runs + 1]`, from 0 to `pairs`).
    ///
    /// # Errors
    /// [`KernelError::Shape`] when `ids` and `distances` differ in length, [`KernelError::Least`] when there is no start,
    /// [`KernelError::TooLong`], [`KernelError::Value`] at the first start that falls, or is not 0 in front, or not the
    /// number of pairs at the end; and at the first of `distances` that is NaN or stands out of order in its run.
    ///
    /// # Cost
    /// Reads the pairs once and the starts twice.
    pub fn new(distances: &'a [f64], ids: &'a [Idx], starts: &'a [Idx]) -> Result<Self, KernelError> {
        want("ids", distances.len(), ids.len())?;
        let pairs = idx_len(distances.len())?;
        if starts.is_empty() {
            return Err(KernelError::Least { what: "starts", least: 1, got: 0 });
        }
        idx_len(starts.len())?;
        check_starts(starts, pairs)?;
        for run in starts.windows(2) {
            let mut last = None;
            for pair in at(run[0])..at(run[1]) {
                let (distance, id) = (distances[pair], ids[pair]);
                if id == NONE {
                    break;
                }
                if distance.is_nan() || last.is_some_and(|last| before((distance, id), last)) {
                    return Err(KernelError::Value { what: "distances", at: pair });
                }
                last = Some((distance, id));
            }
        }
        Ok(Self { distances, ids, starts })
    }

    /// Number of runs.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there are no runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pair at a place of a run; `None` where the run has ended.
    #[inline(always)]
    fn pair(&self, run: Idx, place: Idx) -> Option<(f64, Idx)> {
        if place >= self.starts[at(run) + 1] {
            return None;
        }
        let (distance, id) = (self.distances[at(place)], self.ids[at(place)]);
        (id != NONE).then_some((distance, id))
    }
}

/// Whether a pair comes before another: by distance, ties by id.
#[inline(always)]
fn before(pair: (f64, Idx), other: (f64, Idx)) -> bool {
    pair.0 < other.0 || (pair.0 == other.0 && pair.1 < other.1)
}

/// Runs that have not ended, as a heap with the least next pair on top.
struct Heap<'a, 'r> {
    runs: &'a Runs<'r>,
    /// Of each place of the heap: the run, and its next pair, which stands at `next`.
    order: &'a mut [Idx],
    next: &'a mut [Idx],
    distances: &'a mut [f64],
    ids: &'a mut [Idx],
    len: usize,
}

impl Heap<'_, '_> {
    #[inline(always)]
    fn head(&self, place: usize) -> (f64, Idx) {
        (self.distances[place], self.ids[place])
    }

    /// Writes a run's next pair to a place of the heap; whether there is one.
    #[inline(always)]
    fn load(&mut self, place: usize, run: Idx, next: Idx) -> bool {
        let Some((distance, id)) = self.runs.pair(run, next) else { return false };
        (self.order[place], self.next[place]) = (run, next);
        (self.distances[place], self.ids[place]) = (distance, id);
        true
    }

    /// Moves what stands at one place to another.
    #[inline(always)]
    fn shift(&mut self, from: usize, to: usize) {
        (self.order[to], self.next[to]) = (self.order[from], self.next[from]);
        (self.distances[to], self.ids[to]) = (self.distances[from], self.ids[from]);
    }

    fn sink(&mut self, mut place: usize) {
        let (run, next, pair) = (self.order[place], self.next[place], self.head(place));
        loop {
            let mut child = 2 * place + 1;
            if child >= self.len {
                break;
            }
            if child + 1 < self.len && before(self.head(child + 1), self.head(child)) {
                child += 1;
            }
            if !before(self.head(child), pair) {
                break;
            }
            self.shift(child, place);
            place = child;
        }
        (self.order[place], self.next[place]) = (run, next);
        (self.distances[place], self.ids[place]) = pair;
    }

    /// Takes the least pair.
    fn pop(&mut self) -> Option<(f64, Idx)> {
        if self.len == 0 {
            return None;
        }
        let pair = self.head(0);
        if !self.load(0, self.order[0], self.next[0] + 1) {
            self.len -= 1;
            self.shift(self.len, 0);
        }
        if self.len > 1 {
            self.sink(0);
        }
        Some(pair)
    }
}

/// Blocks that [`merge_runs`] takes for so many runs.
pub const fn merge_runs_blocks(runs: usize) -> usize {
    blocks::<Idx>(runs).saturating_mul(3).saturating_add(blocks::<f64>(runs))
}

/// Writes the `k` least pairs of all runs, ascending by (distance, id), each different pair once; returns how many
/// there are.
///
/// | argument | shape |
/// | --- | --- |
/// | `runs` | see [`Runs`]; lists of `k` that threads or shards found, whose ids may overlap |
/// | `distances`, `ids` | `[k]`, overwritten; behind the pairs plus infinity and [`NONE`] |
/// | `arena` | [`merge_runs_blocks`]`(runs.len())` |
///
/// # Errors
/// [`KernelError::Shape`] when `ids` and `distances` differ in length, [`KernelError::Scratch`]. Nothing is written
/// then.
///
/// # Cost
/// `2 log2 runs` comparisons for each pair taken; reads no more of a run than is taken from it.
pub fn merge_runs(
    runs: &Runs<'_>,
    distances: &mut [f64],
    ids: &mut [Idx],
    arena: &mut Arena<'_>,
    counters: &mut SelectCounters,
) -> Result<usize, KernelError> {
    want("ids", distances.len(), ids.len())?;
    let (need, have) = (merge_runs_blocks(runs.len()), arena.free());
    if need > have {
        return Err(KernelError::Scratch { need, have });
    }
    let mut arena = arena.scope();
    let (order, next) = (arena.take::<Idx>(runs.len())?, arena.take::<Idx>(runs.len())?);
    let (heads, head_ids) = (arena.take::<f64>(runs.len())?, arena.take::<Idx>(runs.len())?);
    let mut heap = Heap { runs, order, next, distances: heads, ids: head_ids, len: 0 };
    for (run, &start) in (0..).zip(&runs.starts[..runs.len()]) {
        heap.len += usize::from(heap.load(heap.len, run, start));
    }
    for place in (0..heap.len / 2).rev() {
        heap.sink(place);
    }
    let (mut end, mut merged) = (0, 0);
    while end < distances.len()
        && let Some((distance, id)) = heap.pop()
    {
        merged += 1;
        if end == 0 || (distances[end - 1], ids[end - 1]) != (distance, id) {
            (distances[end], ids[end]) = (distance, id);
            end += 1;
        }
    }
    counters.merged += merged;
    distances[end..].fill(f64::INFINITY);
    ids[end..].fill(NONE);
    Ok(end)
}
