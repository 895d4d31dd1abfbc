//! Bounded k-best: the `k` smallest pairs of (distance, id) among any number of offers, in memory of the caller.
//!
//! [`KBest`] is what a search keeps its answer in. Pairs are ordered by distance, ties go to the lower id, so the
//! answer depends on *what* was offered and not on the order of the offers: any split of the candidates over tiles,
//! traversals or threads ends with the same bits.
//!
//! Up to [`SORTED_MAX`] pairs are held sorted, and an offer is inserted from the back: no tree beats a few moves within
//! two or three cache lines. More pairs are held as a binary heap with the worst pair on top. Until `k` pairs are
//! there, the heap is a mere list, and becomes a heap (in linear time) only when it is full, because nothing asks for
//! the worst pair before; while pairs arrive in ascending order, not even then. The searches of this
//! crate put a heap of up to 96 pairs in order by counting on their tier, not pair by pair from the top.
//!
//! # Cost and measured rate
//! An offer that is in vain costs a comparison. One thread of an AMD EPYC (Zen 4), 4,096 random offers: 0.64 ns per offer for
//! `k = 8`, 1.5 for 32, 1.6 for 50 (`BinaryHeap`: 1.5, 1.8, 1.9). `cargo bench -p covertree-benches --bench topk`.

use crate::error::{KernelError, want};
use crate::index::{Idx, NONE};
use crate::simd::Tier;

/// Largest `k` whose pairs are held sorted; above it they form a heap.
pub const SORTED_MAX: usize = 32;

/// The `k` best (distance, id) pairs of those offered so far.
///
/// | argument of [`new`](Self::new) | shape | contents |
/// | --- | --- | --- |
/// | `distances` | `[k]` | unspecified, overwritten |
/// | `ids` | `[k]` | unspecified, overwritten |
///
/// Both may be cut from an [`Arena`](crate::arena::Arena), by a [`take`](crate::arena::Arena::take) each.
///
/// ```
/// use covertree_kernels::topk::KBest;
///
/// let (mut distances, mut ids) = ([0.0; 3], [0; 3]);
/// let mut best = KBest::new(&mut distances, &mut ids)?;
/// for (distance, id) in [(2.0, 4), (1.0, 9), (2.0, 3), (5.0, 1)] {
///     best.offer(distance, id);
/// }
/// assert_eq!(best.worst(), 2.0);
/// assert_eq!(best.finish(), 3);
/// assert_eq!((distances, ids), ([1.0, 2.0, 2.0], [9, 3, 4]));
/// # Ok::<(), covertree_kernels::error::KernelError>(())
/// ```
///
/// # Accuracy
/// Distances are compared as numbers and stored as they are: nothing rounds.
///
/// # Cost
/// An offer that is worse than all that is held costs one comparison. One that is kept costs `k / 2` moves on average
/// for random distances when `k` is at most [`SORTED_MAX`], else `2 log2 k` comparisons at most. How many are kept is up to
/// the data: [`counters`](Self::counters).
#[derive(Debug)]
pub struct KBest<'a> {
    distances: &'a mut [f64],
    ids: &'a mut [Idx],
    len: usize,
    /// The largest distance once full, plus infinity until then.
    worst: f64,
    /// Whether a list of more than [`SORTED_MAX`] is ascending, so far; true for a shorter one.
    ascending: bool,
    /// Offers that drove out a pair that was held.
    replaced: u64,
}

/// Work of selections that their shapes do not tell: an offer in vain costs a comparison, and these cost more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopkCounters {
    /// Offers that were kept, those included that a better one drove out later.
    pub kept: u64,
    /// Selections of more than [`SORTED_MAX`] pairs that came out of order and had to form a heap.
    pub heaps: u64,
}

impl TopkCounters {
    /// Adds the work of another selection.
    pub fn merge(&mut self, other: &Self) {
        self.kept += other.kept;
        self.heaps += other.heaps;
    }
}

/// Whether the first pair comes before the second: by distance, ties by id.
#[inline(always)]
fn before(distance: f64, id: Idx, other_distance: f64, other_id: Idx) -> bool {
    distance < other_distance || (distance == other_distance && id < other_id)
}

impl<'a> KBest<'a> {
    /// An empty selection of `distances.len()` pairs.
    ///
    /// # Errors
    /// [`KernelError::Least`] when there is room for no pair, [`KernelError::Shape`] when `ids` and `distances` differ
    /// in length.
    #[inline]
    pub fn new(distances: &'a mut [f64], ids: &'a mut [Idx]) -> Result<Self, KernelError> {
        if distances.is_empty() {
            return Err(KernelError::Least { what: "distances", least: 1, got: 0 });
        }
        want("ids", distances.len(), ids.len())?;
        Ok(Self { distances, ids, len: 0, worst: f64::INFINITY, ascending: true, replaced: 0 })
    }

    /// The distance above which an offer is in vain: the largest one held once `k` are, plus infinity until then.
    ///
    /// An offer *at* this distance may still be kept, if its id is lower: prune what is strictly above.
    #[inline(always)]
    pub fn worst(&self) -> f64 {
        self.worst
    }

    /// The `k` of the selection.
    #[inline(always)]
    pub fn capacity(&self) -> usize {
        self.distances.len()
    }

    /// Pairs held so far, at most `k`.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was kept yet.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The work so far. To be asked for before [`finish`](Self::finish), which adds none to it.
    pub fn counters(&self) -> TopkCounters {
        // What is held sorted stays ascending.
        TopkCounters { kept: self.len as u64 + self.replaced, heaps: u64::from(!self.ascending) } // widens
    }

    /// Offers one pair; it is kept if it is among the `k` smallest so far. A NaN distance is never kept.
    ///
    /// Ids are not negative. The caller offers each id once; an id that is offered twice is held twice.
    #[inline(always)]
    pub fn offer(&mut self, distance: f64, id: Idx) {
        if distance <= self.worst {
            self.keep(distance, id);
        }
    }

    /// Ends the selection: the pairs that were kept stand in front, ascending by (distance, id); the rest of the
    /// memory holds plus infinity and [`NONE`]. Returns how many were kept.
    pub fn finish(mut self) -> usize {
        let len = self.len;
        if self.distances.len() > SORTED_MAX && !self.ascending {
            if len < self.distances.len() {
                self.heapify();
            }
            for end in (1..len).rev() {
                let last = (self.distances[end], self.ids[end]);
                (self.distances[end], self.ids[end]) = (self.distances[0], self.ids[0]);
                self.sink(0, end, last.0, last.1);
            }
        }
        self.distances[len..].fill(f64::INFINITY);
        self.ids[len..].fill(NONE);
        len
    }

    /// [`finish`](Self::finish), on a tier: faster where 33 to 96 pairs were kept that came out of order, and as fast otherwise. The
    /// same answer.
    #[inline(never)]
    pub(crate) fn finish_on(mut self, tier: Tier) -> usize {
        if !self.ascending && self.len <= COUNTED_MAX {
            tier.run(Counted(&mut self));
        }
        self.finish()
    }

    /// Keeps a pair whose distance is at most the worst one, unless it is full and the id decides against it.
    #[inline(always)]
    fn keep(&mut self, distance: f64, id: Idx) {
        debug_assert!(id >= 0, "{id}");
        if self.distances.len() <= SORTED_MAX {
            self.keep_sorted(distance, id);
        } else {
            self.keep_in_heap(distance, id);
        }
    }

    #[inline(always)]
    fn keep_sorted(&mut self, distance: f64, id: Idx) {
        let k = self.distances.len();
        let mut place = self.len;
        let full = place == k;
        if !full {
            self.len += 1;
            if place > 0 && before(self.distances[place - 1], self.ids[place - 1], distance, id) {
                // What arrives in order needs no moves.
                (self.distances[place], self.ids[place]) = (distance, id);
                self.worst = if self.len == k { distance } else { f64::INFINITY };
                return;
            }
        } else {
            place -= 1;
            if !before(distance, id, self.distances[place], self.ids[place]) {
                return;
            }
        }
        // Where the pair belongs is as good as random: moving all that stand behind, by selection instead of a branch per
        // pair, costs less than the one branch that is predicted wrongly.
        let (distances, ids) = (&mut self.distances[..=place], &mut self.ids[..=place]);
        let (mut distance, mut id) = (distance, id);
        for (held, held_id) in distances[..place].iter_mut().zip(&mut ids[..place]) {
            let first = before(distance, id, *held, *held_id);
            let moved = (*held, *held_id);
            *held = if first { distance } else { moved.0 };
            *held_id = if first { id } else { moved.1 };
            distance = if first { moved.0 } else { distance };
            id = if first { moved.1 } else { id };
        }
        distances[place] = distance;
        ids[place] = id;
        if self.len == k {
            self.worst = self.distances[k - 1];
        }
        self.replaced += u64::from(full); // last: in between it would slow a selection of one pair by a quarter
    }

    #[inline(never)]
    fn keep_in_heap(&mut self, distance: f64, id: Idx) {
        let k = self.distances.len();
        if let Some(last) = self.len.checked_sub(1)
            && self.ascending
            && before(distance, id, self.distances[last], self.ids[last])
        {
            // What arrives in order needs no heap.
            if distance == self.distances[last] && self.keep_among_ties(distance, id) {
                return;
            }
            self.ascending = false;
            if self.len == k {
                self.heapify();
            }
        }
        if self.len < k {
            self.distances[self.len] = distance;
            self.ids[self.len] = id;
            self.len += 1;
            if self.len == k {
                if !self.ascending {
                    self.heapify();
                }
                self.worst = self.distances[if self.ascending { k - 1 } else { 0 }];
            }
        } else if !self.ascending && before(distance, id, self.distances[0], self.ids[0]) {
            self.sink(0, k, distance, id);
            self.worst = self.distances[0];
            self.replaced += 1;
        }
    }

    /// Keeps a pair that is as far as the last one of a list in order, if few pairs stand in its way.
    fn keep_among_ties(&mut self, distance: f64, id: Idx) -> bool {
        let few = self.len.saturating_sub(SORTED_MAX);
        let mut place = self.len;
        while place > 0 && before(distance, id, self.distances[place - 1], self.ids[place - 1]) {
            if place == few {
                return false;
            }
            place -= 1;
        }
        let k = self.distances.len();
        let kept = if self.len < k { self.len } else { k - 1 }; // the last one of a full list drops out
        self.replaced += u64::from(self.len == k);
        self.distances.copy_within(place..kept, place + 1);
        self.ids.copy_within(place..kept, place + 1);
        (self.distances[place], self.ids[place]) = (distance, id);
        self.len = kept + 1;
        self.worst = if self.len == k { distance } else { f64::INFINITY };
        true
    }

    /// Turns the list of `len` pairs into a heap with the worst on top.
    fn heapify(&mut self) {
        for place in (0..self.len / 2).rev() {
            self.sink(place, self.len, self.distances[place], self.ids[place]);
        }
    }

    /// Puts a pair into the free `top` of the heap `top..end`, whose parts below `top` are heaps.
    ///
    /// The free place first sinks to the bottom along the worse children, and the pair then rises from there (I. Wegener,
    /// *Bottom-up heapsort*, Theor. Comput. Sci. 118, 1993): a pair that is put on top comes from the bottom or is
    /// better than most, and the way down has no branch to mispredict.
    fn sink(&mut self, top: usize, end: usize, distance: f64, id: Idx) {
        let (distances, ids) = (&mut self.distances[..end], &mut self.ids[..end]);
        let (mut place, mut child) = (top, 2 * top + 1);
        while child < end {
            if child + 1 < end {
                let (left, right) = (distances[child], distances[child + 1]);
                // Ties are rare; apart from them this is a choice without a branch.
                let right_is_worse = if left == right { ids[child] < ids[child + 1] } else { left < right };
                child += usize::from(right_is_worse);
            }
            distances[place] = distances[child];
            ids[place] = ids[child];
            (place, child) = (child, 2 * child + 1);
        }
        while place > top {
            let parent = (place - 1) / 2;
            if !before(distances[parent], ids[parent], distance, id) {
                break;
            }
            distances[place] = distances[parent];
            ids[place] = ids[parent];
            place = parent;
        }
        distances[place] = distance;
        ids[place] = id;
    }
}

mod ranks;
#[cfg(test)]
mod tests;

use ranks::{COUNTED_MAX, Counted};
pub(crate) use ranks::{RANKED_MAX, ascending};
