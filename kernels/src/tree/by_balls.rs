//! The traversal of groups that are bounded by balls.

use bytemuck::{Pod, Zeroable};

use super::search::{CHUNK, ROOT, Search, lanes_within};
use super::visit::Visitor;
use super::{Group, Metric, run_len};
use crate::arena::blocks;
use crate::error::KernelError;
use crate::index::{Idx, at};
use crate::simd::{Lanes, Real, Vector};

/// A group that waits to be searched.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Waiting {
    /// In units of the surrogate: not above that of any of its points.
    bound: f64,
    group: Idx,
    unused: i32,
}

/// A traversal with its stack of waiting groups.
struct ByBalls<'a, 's, 'm, 'x, 'n, M: Metric, V> {
    search: &'x mut Search<'a, 'm, 'n, M, V>,
    stack: &'s mut [Waiting],
    depth: usize,
}

/// Visits the tree, the nearest group first.
#[inline(always)]
pub(super) fn descend<L: Lanes, M: Metric, V: Visitor<M::Real>>(
    search: &mut Search<'_, '_, '_, M, V>,
    query: M::Query<'_>,
    stack: &mut [Waiting],
) -> Result<(), KernelError> {
    if search.view.is_empty() {
        return Ok(());
    }
    let mut balls = ByBalls { search, stack, depth: 0 };
    let mut surrogates = [M::Real::default(); CHUNK + 16];
    // A view that was checked has groups if it has points.
    if !balls.search.view.parts().groups.is_empty() {
        balls.push(0, 0.0)?;
    }
    let mut next = Some((ROOT, f64::INFINITY));
    while let Some((group, cap)) = next {
        balls.expand::<L>(query, &group, cap, &mut surrogates)?;
        next = balls.pop();
    }
    Ok(())
}

impl<M: Metric, V: Visitor<M::Real>> ByBalls<'_, '_, '_, '_, '_, M, V> {
    /// Takes the nearest group that waits and is not ruled out by now, with the cap for its points.
    #[inline(always)]
    fn pop(&mut self) -> Option<(Group, f64)> {
        while self.depth > 0 {
            self.depth -= 1;
            let next = self.stack[self.depth];
            let number = at(next.group);
            let group = self.search.view.parts().groups[number];
            let cap = self.search.cap_in(number, &group);
            if next.bound <= self.search.metric.ceiling(cap).to_f64() {
                self.search.counters.groups += 1;
                return Some((group, cap));
            }
            self.search.counters.pruned += 1;
        }
        None
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
        let (first, block) = (at(group.first), at(group.block));
        if kids_end - kids > block - first {
            return Err(KernelError::Value { what: "groups", at: kids }); // there is no ball for each of them
        }
        let mut from = first;
        while from < block {
            let to = block.min(from / M::Real::LANES * M::Real::LANES + CHUNK);
            self.scan::<L>(query, from, to, cap, surrogates);
            // One group per child, in their order: those whose centers were just scanned.
            let from_kid = kids_end.min(kids + (from - first));
            self.push_balls::<L>(from_kid, kids_end.min(kids + (to - first)), from, surrogates)?;
            from = to;
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
            let group = self.search.view.parts().groups[kid];
            let center = self.search.metric.at_least::<L>(surrogates[skip + (kid - from_kid)]);
            let distance = self.search.metric.beyond(center, f64::from(group.reach));
            if distance > self.search.cap_in(kid, &group) {
                self.search.counters.pruned += 1;
            } else {
                self.push(kid, self.search.metric.floor(distance).to_f64())?;
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
        let search = &mut *self.search;
        let mut ceiling = <<M::Real as Real>::On<L>>::splat(search.ceiling(limit));
        search.metric.surrogates::<L>(query, from, to, M::Real::INFINITY, &mut surrogates[..len]);
        search.counters.runs += 1;
        search.counters.distance_evals += (to - from) as u64;
        let base = from / lanes * lanes;
        for (panel, values) in surrogates[..len].chunks_exact(lanes).enumerate() {
            let start = base + panel * lanes;
            let lane_values = <<M::Real as Real>::On<L>>::load(values);
            let mut mask = lane_values.le(ceiling) & lanes_within(start, from, to);
            if mask != 0 {
                mask &= search.visitor.narrow::<L>(start, lane_values);
            }
            if mask != 0 {
                search.settle::<L>(query, start, mask, values, limit);
                ceiling = <<M::Real as Real>::On<L>>::splat(search.ceiling(limit));
            }
        }
    }
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
