//! Depth-first search, nearest subtree first.

use bytemuck::{Pod, Zeroable};

use super::visit::{Nearest, Visitor};
use super::{Group, Metric, TreeView, run_len};
use crate::arena::{Arena, blocks};
use crate::error::KernelError;
use crate::index::{Idx, at};
use crate::simd::{Lanes, OnLanes, Real, Tier, Vector};
use crate::topk::KBest;

/// Positions that are looked at in one go: the size of the buffer of surrogates, less a panel for alignment.
const CHUNK: usize = 128;

/// A group that waits to be searched.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Waiting {
    /// In units of the surrogate: not above that of any of its points.
    bound: f64,
    group: Idx,
    unused: i32,
}

/// Work done by traversals. Add-up-able; see [`merge`](Self::merge).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchCounters {
    /// Groups whose points were looked at.
    pub groups: u64,
    /// Runs of points whose surrogates were computed.
    pub runs: u64,
    /// Surrogates computed: the evaluations of a distance, whether settled or only filtered.
    pub distance_evals: u64,
    /// Distances settled by the published formula.
    pub settled: u64,
    /// Groups that their bound kept from being searched.
    pub pruned: u64,
}

impl SearchCounters {
    /// Adds the work of another call.
    pub fn merge(&mut self, other: &Self) {
        self.groups += other.groups;
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
            search.scan::<L>(query, 0, 1, f64::INFINITY, &mut surrogates);
            search.push(0, 0.0)?;
        }
        let dived = if V::DIVES && search.metric.has_boxes() { search.dive::<L>(query, &mut surrogates) } else { 0 };
        while search.depth > 0 {
            search.depth -= 1;
            let next = search.stack[search.depth];
            let group = search.view.parts().groups[at(next.group)];
            if next.group == dived && dived != 0 {
                continue;
            }
            let cap = search.visitor.cap_in(&group);
            if next.bound > search.metric.ceiling(cap).to_f64() {
                search.counters.pruned += 1;
                continue;
            }
            search.counters.groups += 1;
            search.expand::<L>(query, &group, cap, &mut surrogates)?;
        }
        Ok((search.visitor, search.counters))
    }
}

impl<M: Metric, V: Visitor> Search<'_, '_, M, V> {
    /// Goes straight down into the nearest group of each layer and scans the last one, so that the cap is small before
    /// anything has to wait. Returns that group, or 0 where there is none below the root.
    #[inline(always)]
    fn dive<L: Lanes>(&mut self, query: M::Query<'_>, surrogates: &mut [M::Real]) -> Idx {
        let lanes = M::Real::LANES;
        let mut place = 0;
        loop {
            let Some(&group) = self.view.parts().groups.get(at(place)) else { return 0 };
            let (kids, kids_end) = (at(group.kids), at(group.kids_end));
            if kids == kids_end {
                if place != 0 {
                    let cap = self.visitor.cap_in(&group);
                    self.scan_all::<L>(query, &group, cap, surrogates);
                }
                return place;
            }
            let to = kids_end.min(kids / lanes * lanes + CHUNK);
            self.metric.box_bounds::<L>(query, kids, to, &mut surrogates[..run_len(lanes, kids, to)]);
            let skip = kids % lanes;
            let mut nearest = 0;
            for kid in 1..to - kids {
                if surrogates[skip + kid] < surrogates[skip + nearest] {
                    nearest = kid;
                }
            }
            place = (kids + nearest) as Idx; // a group number fits: the view checked the length
        }
    }

    /// Scans the block of a group.
    #[inline(always)]
    fn scan_all<L: Lanes>(&mut self, query: M::Query<'_>, group: &Group, cap: f64, surrogates: &mut [M::Real]) {
        let (mut from, block) = (at(group.first), at(group.block));
        while from < block {
            let to = block.min(from / M::Real::LANES * M::Real::LANES + CHUNK);
            self.scan::<L>(query, from, to, cap, surrogates);
            from = to;
        }
    }

    /// Scans the block of a group and lets its groups wait.
    #[inline(always)]
    fn expand<L: Lanes>(
        &mut self,
        query: M::Query<'_>,
        group: &Group,
        cap: f64,
        surrogates: &mut [M::Real],
    ) -> Result<(), KernelError> {
        let below = self.depth;
        let (kids, kids_end) = (at(group.kids), at(group.kids_end));
        if self.metric.has_boxes() {
            self.scan_all::<L>(query, group, cap, surrogates);
            let mut from = kids;
            while from < kids_end {
                let to = kids_end.min(from / M::Real::LANES * M::Real::LANES + CHUNK);
                self.push_boxes::<L>(query, from, to, surrogates)?;
                from = to;
            }
        } else {
            let (first, block) = (at(group.first), at(group.block));
            let mut from = first;
            while from < block {
                let to = block.min(from / M::Real::LANES * M::Real::LANES + CHUNK);
                self.scan::<L>(query, from, to, cap, surrogates);
                // One group per child, in their order: those whose centers were just scanned.
                let from_kid = kids_end.min(kids + (from - first));
                self.push_balls::<L>(from_kid, kids_end.min(kids + (to - first)), from, surrogates)?;
                from = to;
            }
        }
        let pushed = &mut self.stack[below..self.depth];
        if pushed.len() > 1 {
            nearest_last(pushed);
        }
        Ok(())
    }

    /// Lets those groups wait whose ball may hold a point within the cap; `from` is the position of the first center.
    #[inline(always)]
    fn push_balls<L: Lanes>(
        &mut self,
        from_kid: usize,
        to_kid: usize,
        from: usize,
        surrogates: &[M::Real],
    ) -> Result<(), KernelError> {
        let skip = from % M::Real::LANES;
        for kid in from_kid..to_kid {
            let group = self.view.parts().groups[kid];
            let center = self.metric.at_least::<L>(surrogates[skip + (kid - from_kid)]);
            let distance = self.metric.beyond(center, f64::from(group.reach));
            if distance > self.visitor.cap_in(&group) {
                self.counters.pruned += 1;
            } else {
                self.push(kid, self.metric.floor(distance).to_f64())?;
            }
        }
        Ok(())
    }

    /// Lets those groups wait whose box may hold a point within the cap.
    #[inline(always)]
    fn push_boxes<L: Lanes>(
        &mut self,
        query: M::Query<'_>,
        from: usize,
        to: usize,
        bounds: &mut [M::Real],
    ) -> Result<(), KernelError> {
        let lanes = M::Real::LANES;
        let len = run_len(lanes, from, to);
        self.metric.box_bounds::<L>(query, from, to, &mut bounds[..len]);
        let ceiling = self.metric.ceiling(self.visitor.cap());
        let base = from / lanes * lanes;
        for (panel, values) in bounds[..len].chunks_exact(lanes).enumerate() {
            let start = base + panel * lanes;
            let mut mask = <<M::Real as Real>::On<L>>::load(values).le(<<M::Real as Real>::On<L>>::splat(ceiling));
            mask &= lanes_within(start, from, to);
            while mask != 0 {
                let lane = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let bound = values[lane].to_f64();
                if V::BY_GROUP {
                    let cap = self.visitor.cap_in(&self.view.parts().groups[start + lane]);
                    if bound > self.metric.ceiling(cap).to_f64() {
                        self.counters.pruned += 1;
                        continue;
                    }
                }
                self.push(start + lane, bound)?;
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn push(&mut self, group: usize, bound: f64) -> Result<(), KernelError> {
        let have = self.stack.len();
        let Some(slot) = self.stack.get_mut(self.depth) else {
            return Err(KernelError::Scratch { need: blocks::<Waiting>(have + 1), have: blocks::<Waiting>(have) });
        };
        *slot = Waiting { bound, group: group as Idx, unused: 0 }; // a group number fits: the view checked the length
        self.depth += 1;
        Ok(())
    }

    /// Offers the points at `from..to` that their surrogates leave possible, and leaves the surrogates behind.
    #[inline(always)]
    fn scan<L: Lanes>(&mut self, query: M::Query<'_>, from: usize, to: usize, limit: f64, surrogates: &mut [M::Real]) {
        let lanes = M::Real::LANES;
        let len = run_len(lanes, from, to);
        let mut cap = smaller(limit, self.visitor.cap());
        let mut ceiling = self.metric.ceiling(cap);
        self.metric.surrogates::<L>(query, from, to, M::Real::INFINITY, &mut surrogates[..len]);
        self.counters.runs += 1;
        self.counters.distance_evals += (to - from) as u64;
        let base = from / lanes * lanes;
        for (panel, values) in surrogates[..len].chunks_exact(lanes).enumerate() {
            let start = base + panel * lanes;
            let vector = <<M::Real as Real>::On<L>>::load(values);
            let mut mask = vector.le(<<M::Real as Real>::On<L>>::splat(ceiling));
            mask &= lanes_within(start, from, to);
            if mask == 0 {
                continue;
            }
            let mut distances = [0.0; 16];
            self.metric.distances::<L>(query, start, mask, values, &mut distances);
            self.counters.settled += u64::from(mask.count_ones());
            while mask != 0 {
                let lane = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                if distances[lane] <= cap && self.visitor.admits(start + lane) {
                    self.visitor.offer(start + lane, distances[lane]);
                    cap = smaller(limit, self.visitor.cap());
                }
            }
            ceiling = self.metric.ceiling(cap);
        }
    }
}

/// The lanes of the panel at `start` that lie in `from..to`, as a mask. The panel overlaps the run.
#[inline(always)]
fn lanes_within(start: usize, from: usize, to: usize) -> u32 {
    let low = u32::MAX << from.saturating_sub(start);
    if to - start < 32 { low & ((1 << (to - start)) - 1) } else { low }
}

#[inline(always)]
fn smaller(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// Sorts so that the nearest group is popped first; ties go to the group that stands first.
#[inline(always)]
fn nearest_last(pushed: &mut [Waiting]) {
    if pushed.len() <= 24 {
        for end in 1..pushed.len() {
            let moving = pushed[end];
            let mut place = end;
            while place > 0 && pushed[place - 1].bound <= moving.bound {
                pushed[place] = pushed[place - 1];
                place -= 1;
            }
            pushed[place] = moving;
        }
    } else {
        pushed.sort_unstable_by(|a, b| b.bound.total_cmp(&a.bound).then(b.group.cmp(&a.group)));
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
    type Out = f64;
    #[inline(always)]
    fn run<L: Lanes>(self) -> f64 {
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
        self.metric.at_most::<L>(largest)
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
    tier.run(Farthest { metric, query, from, to })
}
