//! Depth-first search, nearest subtree first.

use bytemuck::{Pod, Zeroable};

use super::visit::{Nearest, Visitor};
use super::{Metric, TreeView, run_len};
use crate::arena::{Arena, blocks};
use crate::error::KernelError;
use crate::index::{Idx, at};
use crate::simd::{Lanes, OnLanes, Real, Tier, Vector};
use crate::topk::KBest;

/// Positions that are looked at in one go: the size of the buffer of surrogates, less a panel for alignment.
const CHUNK: usize = 128;

/// Subtrees of at most this many strict descendants are scanned as one run instead of descended.
const RUN: usize = 48;

/// A subtree that waits to be searched.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Waiting {
    /// Lower bound of the distance to its points.
    bound: f64,
    node: Idx,
    unused: i32,
}

/// Work done by traversals. Add-up-able; see [`merge`](Self::merge).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchCounters {
    /// Subtrees whose children were looked at.
    pub nodes: u64,
    /// Runs of points whose surrogates were computed.
    pub runs: u64,
    /// Surrogates computed: the evaluations of a distance, whether settled or only filtered.
    pub distance_evals: u64,
    /// Distances settled by the published formula.
    pub settled: u64,
    /// Subtrees that their bound kept from being searched.
    pub pruned: u64,
}

impl SearchCounters {
    /// Adds the work of another call.
    pub fn merge(&mut self, other: &Self) {
        self.nodes += other.nodes;
        self.runs += other.runs;
        self.distance_evals += other.distance_evals;
        self.settled += other.settled;
        self.pruned += other.pruned;
    }
}

/// Blocks of scratch that a traversal takes on a tree with this [`waiting`](super::TreeParts::waiting).
pub const fn search_blocks(waiting: Idx) -> usize {
    blocks::<Waiting>(if waiting > 0 { waiting as usize } else { 0 } + 1)
}

/// One traversal: everything that does not change while it runs.
struct Search<'a, 's, M: Metric, V> {
    view: TreeView<'a>,
    metric: &'a M,
    visitor: V,
    stack: &'s mut [Waiting],
    depth: usize,
    counters: SearchCounters,
}

/// A traversal as a body to be run on a tier.
struct Descend<'a, 's, 'q, M: Metric, V>(Search<'a, 's, M, V>, M::Query<'q>);

impl<M: Metric, V: Visitor> OnLanes for Descend<'_, '_, '_, M, V> {
    type Out = Result<(V, SearchCounters), KernelError>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let Self(mut search, query) = self;
        let mut surrogates = [M::Real::default(); CHUNK + 16];
        if !search.view.is_empty() {
            search.scan::<L>(query, 0, 1, &mut surrogates);
            let root = search.metric.at_least(surrogates[0]);
            search.push(0, search.metric.beyond(root, f64::from(search.view.parts().reaches[0])))?;
        }
        while search.depth > 0 {
            search.depth -= 1;
            let next = search.stack[search.depth];
            let node = at(next.node);
            if next.bound > search.visitor.cap_below(node) {
                search.counters.pruned += 1;
                continue;
            }
            search.expand::<L>(query, node, &mut surrogates)?;
        }
        Ok((search.visitor, search.counters))
    }
}

impl<M: Metric, V: Visitor> Search<'_, '_, M, V> {
    /// Looks at the children of a node, or at all its descendants where they are few.
    #[inline(always)]
    fn expand<L: Lanes>(
        &mut self,
        query: M::Query<'_>,
        node: usize,
        surrogates: &mut [M::Real],
    ) -> Result<(), KernelError> {
        let (first, end) = self.view.descendants(node);
        if first == end {
            return Ok(());
        }
        self.counters.nodes += 1;
        let whole = end - first <= RUN;
        let block = if whole { end } else { self.view.block_end(node) };
        let below = self.depth;
        let mut from = first;
        while from < block {
            let to = block.min(from + CHUNK);
            self.scan::<L>(query, from, to, surrogates);
            if !whole {
                self.push_children(from, to, surrogates)?;
            }
            from = to;
        }
        // The nearest is to be popped first. Few wait at a time, so a plain insertion sort would do; the library's
        // handles the wide blocks of high dimension as well.
        self.stack[below..self.depth].sort_unstable_by(|a, b| b.bound.total_cmp(&a.bound).then(b.node.cmp(&a.node)));
        Ok(())
    }

    /// Lets those children wait that have descendants within the cap.
    #[inline(always)]
    fn push_children(&mut self, from: usize, to: usize, surrogates: &[M::Real]) -> Result<(), KernelError> {
        let base = from / M::Real::LANES * M::Real::LANES;
        for child in from..to {
            let (first, end) = self.view.descendants(child);
            if first == end {
                break; // those with descendants come first
            }
            let center = self.metric.at_least(surrogates[child - base]);
            let bound = self.metric.beyond(center, f64::from(self.view.parts().reaches[child]));
            if bound > self.visitor.cap_below(child) {
                self.counters.pruned += 1;
            } else {
                self.push(child, bound)?;
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn push(&mut self, node: usize, bound: f64) -> Result<(), KernelError> {
        let have = self.stack.len();
        let Some(slot) = self.stack.get_mut(self.depth) else {
            return Err(KernelError::Scratch { need: blocks::<Waiting>(have + 1), have: blocks::<Waiting>(have) });
        };
        *slot = Waiting { bound, node: node as Idx, unused: 0 }; // a position fits: the view checked the length
        self.depth += 1;
        Ok(())
    }

    /// Offers the points at `from..to` that their surrogates leave possible, and leaves the surrogates behind.
    #[inline(always)]
    fn scan<L: Lanes>(&mut self, query: M::Query<'_>, from: usize, to: usize, surrogates: &mut [M::Real]) {
        let lanes = M::Real::LANES;
        let len = run_len(lanes, from, to);
        let mut cap = self.visitor.cap();
        let mut ceiling = self.metric.ceiling(cap);
        self.metric.surrogates::<L>(query, from, to, M::Real::INFINITY, &mut surrogates[..len]);
        self.counters.runs += 1;
        self.counters.distance_evals += (to - from) as u64;
        let base = from / lanes * lanes;
        for (panel, values) in surrogates[..len].chunks_exact(lanes).enumerate() {
            let start = base + panel * lanes;
            let vector = <<M::Real as Real>::On<L>>::load(values);
            let mut mask = vector.le(<<M::Real as Real>::On<L>>::splat(ceiling));
            mask &= u32::MAX << from.saturating_sub(start);
            if to < start + lanes {
                mask &= (1 << (to - start)) - 1;
            }
            while mask != 0 {
                let lane = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let position = start + lane;
                if values[lane] > ceiling || !self.visitor.admits(position) {
                    continue;
                }
                let distance = self.metric.distance(query, position, values[lane]);
                self.counters.settled += 1;
                if distance <= cap {
                    self.visitor.offer(position, distance);
                    cap = self.visitor.cap();
                    ceiling = self.metric.ceiling(cap);
                }
            }
        }
    }
}

/// Runs a visitor over a tree; returns it with the work done.
///
/// # Errors
/// [`KernelError::Scratch`] when the arena has fewer than [`search_blocks`] blocks for the tree.
pub fn search<M: Metric, V: Visitor>(
    tier: Tier,
    view: TreeView<'_>,
    metric: &M,
    query: M::Query<'_>,
    visitor: V,
    arena: &mut Arena<'_>,
) -> Result<(V, SearchCounters), KernelError> {
    let stack = arena.take::<Waiting>(at(view.parts().waiting.max(0)) + 1)?;
    let search = Search { view, metric, visitor, stack, depth: 0, counters: SearchCounters::default() };
    tier.run(Descend(search, query))
}

/// The nearest points to one query, by (distance, id), exactly as a brute force by the published formula finds them.
///
/// | argument | shape |
/// | --- | --- |
/// | `except` | an id that is left out, or `NONE` |
/// | `distances`, `ids` | `[k]`, overwritten: ascending; padded with plus infinity and `NONE` |
///
/// Returns how many points were found, the smaller of `k` and the points that there are.
///
/// # Errors
/// [`KernelError::Least`] for `k = 0`, [`KernelError::Shape`] when the outputs differ in length,
/// [`KernelError::Scratch`] when the arena has fewer than [`search_blocks`] blocks.
///
/// # Cost
/// Grows with the number of tree nodes whose ball meets the ball of the answer: logarithmic in the number of points for
/// a fixed expansion constant (Elkin and Kurlin 2023, theorem 7), linear where the dimension defeats every tree.
#[allow(clippy::too_many_arguments)] // inputs, outputs, scratch: the order that every entrance has
pub fn knn<M: Metric>(
    tier: Tier,
    view: TreeView<'_>,
    metric: &M,
    query: M::Query<'_>,
    except: Idx,
    distances: &mut [f64],
    ids: &mut [Idx],
    arena: &mut Arena<'_>,
) -> Result<(usize, SearchCounters), KernelError> {
    let visitor = Nearest::new(view.parts().ids, except, KBest::new(distances, ids)?);
    let (visitor, counters) = search(tier, view, metric, query, visitor, &mut arena.scope())?;
    Ok((visitor.finish(), counters))
}

/// The largest surrogate of a run.
struct Farthest<'a, 'q, M: Metric> {
    metric: &'a M,
    query: M::Query<'q>,
    from: usize,
    to: usize,
}

impl<M: Metric> OnLanes for Farthest<'_, '_, M> {
    type Out = M::Real;
    #[inline(always)]
    fn run<L: Lanes>(self) -> M::Real {
        let lanes = M::Real::LANES;
        let mut surrogates = [M::Real::default(); CHUNK + 16];
        let mut largest = M::Real::default();
        let mut from = self.from;
        while from < self.to {
            // Chunks end at panel borders, so that only the first and the last panel are cut.
            let to = self.to.min(from / lanes * lanes + CHUNK);
            let len = run_len(lanes, from, to);
            self.metric.surrogates::<L>(self.query, from, to, M::Real::INFINITY, &mut surrogates[..len]);
            let skip = from % lanes;
            for &surrogate in &surrogates[skip..skip + (to - from)] {
                if surrogate > largest {
                    largest = surrogate;
                }
            }
            from = to;
        }
        largest
    }
}

/// An upper bound of the distances from `query` to the points at `from..to`: the reach of a node whose strict descendants
/// these are. Zero for an empty run. Never below the largest computed distance; above it by the metric's margin.
///
/// # Cost
/// One surrogate per point.
pub fn farthest<M: Metric>(tier: Tier, metric: &M, query: M::Query<'_>, from: usize, to: usize) -> f64 {
    if from >= to {
        return 0.0;
    }
    metric.at_most(tier.run(Farthest { metric, query, from, to }))
}
