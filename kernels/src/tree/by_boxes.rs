//! The traversal of groups that are bounded by boxes.
//!
//! The groups of a group wait in *frames* of [`FRAME`] bounds, just as the boxes are packed. To open a group costs one pass
//! over its boxes, whatever their number; the nearest of a frame is found by vector operations when it is its turn, and
//! the ones that the cap has ruled out by then cost nothing at all. Sorting would cost more than all that is sorted.

use super::search::{Search, lanes_within, smaller};
use super::visit::Visitor;
use super::{Group, Metric};
use crate::arena::{Arena, blocks};
use crate::error::KernelError;
use crate::index::at;
use crate::simd::{Lanes, Real, Vector};

/// Bounds of a frame: one panel of `f32`, two of `f64`.
const FRAME: usize = 16;
/// A mask of all of them.
const ALL: u32 = (1 << FRAME) - 1;

/// The frames that wait, the latest last.
pub(super) struct Frames<'s, T> {
    /// `[room][FRAME]`: in units of the surrogate, not above that of any point of the group; infinity where none waits.
    bounds: &'s mut [T],
    /// `[room][2]`: number of the frame's first group, and the mask of those that wait.
    heads: &'s mut [[u32; 2]],
    depth: usize,
}

impl<'s, T: Real> Frames<'s, T> {
    /// Blocks of scratch for so many frames.
    pub const fn blocks(room: usize) -> usize {
        blocks::<T>(room * FRAME) + blocks::<[u32; 2]>(room)
    }

    /// Cuts room for so many frames from an arena.
    #[inline(always)]
    pub fn take(arena: &mut Arena<'s>, room: usize) -> Result<Self, KernelError> {
        Ok(Self { bounds: arena.take(room * FRAME)?, heads: arena.take(room)?, depth: 0 })
    }
}

/// A traversal with its frames.
struct ByBoxes<'a, 's, 'm, 'x, M: Metric, V> {
    search: &'x mut Search<'a, 'm, M, V>,
    frames: &'x mut Frames<'s, M::Real>,
}

/// Visits the tree, the nearest group first.
#[inline(always)]
pub(super) fn descend<L: Lanes, M: Metric, V: Visitor<M::Real>>(
    search: &mut Search<'_, '_, M, V>,
    query: M::Query<'_>,
    frames: &mut Frames<'_, M::Real>,
) -> Result<(), KernelError> {
    let groups = search.view.parts().groups;
    let mut boxes = ByBoxes { search, frames };
    if !boxes.search.view.is_empty() {
        boxes.scan::<L>(query, 0, 1, f64::INFINITY);
    }
    // A tree of one point has no groups.
    let Some(mut group) = groups.first() else { return Ok(()) };
    let mut number = 0;
    loop {
        boxes.search.counters.groups += 1;
        let limit = boxes.search.visitor.cap_in(number, group);
        if group.first < group.block {
            boxes.scan::<L>(query, at(group.first), at(group.block), limit);
        }
        if group.kids < group.kids_end {
            boxes.open::<L>(query, group)?;
        }
        let ceiling = boxes.search.metric.ceiling(boxes.search.visitor.cap());
        match boxes.nearest::<L>(groups, ceiling) {
            Some(next) => (number, group) = next,
            None => return Ok(()),
        }
    }
}

impl<'a, M: Metric, V: Visitor<M::Real>> ByBoxes<'a, '_, '_, '_, M, V> {
    /// Lets the groups of a group wait, those that the cap leaves possible.
    #[inline(always)]
    fn open<L: Lanes>(&mut self, query: M::Query<'_>, group: &Group) -> Result<(), KernelError> {
        let lanes = M::Real::LANES;
        let (kids, kids_end) = (at(group.kids), at(group.kids_end));
        let ceiling = <<M::Real as Real>::On<L>>::splat(self.search.metric.ceiling(self.search.visitor.cap()));
        let mut base = kids / FRAME * FRAME;
        while base < kids_end {
            let depth = self.frames.depth;
            let Some(frame) = self.frames.bounds.get_mut(depth * FRAME..(depth + 1) * FRAME) else {
                let room = self.frames.heads.len();
                let (need, have) = (Frames::<M::Real>::blocks(room + 1), Frames::<M::Real>::blocks(room));
                return Err(KernelError::Scratch { need, have });
            };
            // What the nearest of these groups is will be known soon: have them all near by then.
            for pair in 0..FRAME / 2 {
                L::prefetch(self.search.view.parts().groups, base + 2 * pair);
            }
            let mut mask = 0;
            for (half, bounds) in frame.chunks_exact_mut(lanes).enumerate() {
                let start = base + half * lanes;
                let (from, to) = (kids.max(start), kids_end.min(start + lanes));
                if from < to {
                    let values = self.search.metric.box_panel::<L>(query, from, to);
                    mask |= values.le(ceiling) << (half * lanes);
                    values.store(bounds);
                }
            }
            let within = lanes_within(base, kids, kids_end) & ALL;
            mask &= within;
            let mut none = ALL & !within;
            if V::BY_GROUP {
                let ruled_out = self.search.ruled_out(base, mask, frame);
                mask &= !ruled_out;
                none |= ruled_out;
            }
            while none != 0 {
                frame[none.trailing_zeros() as usize] = M::Real::INFINITY;
                none &= none - 1;
            }
            self.search.counters.pruned += u64::from(within.count_ones() - mask.count_ones());
            if mask != 0 {
                self.frames.heads[depth] = [base as u32, mask]; // a group number fits: the view checked the length
                self.frames.depth += 1;
            }
            base += FRAME;
        }
        Ok(())
    }

    /// Takes the nearest group of the latest frame that has any within the ceiling; returns its number, too.
    #[inline(always)]
    fn nearest<L: Lanes>(&mut self, groups: &'a [Group], ceiling: M::Real) -> Option<(usize, &'a Group)> {
        let lanes = M::Real::LANES;
        let infinity = <<M::Real as Real>::On<L>>::splat(M::Real::INFINITY);
        let limit = <<M::Real as Real>::On<L>>::splat(ceiling);
        while self.frames.depth > 0 {
            let depth = self.frames.depth - 1;
            let frame = &mut self.frames.bounds[depth * FRAME..(depth + 1) * FRAME];
            let [base, waiting] = self.frames.heads[depth];
            let (mut mask, mut least) = (0, infinity);
            for (half, bounds) in frame.chunks_exact(lanes).enumerate() {
                let bounds = <<M::Real as Real>::On<L>>::load(bounds);
                mask |= bounds.le(limit) << (half * lanes);
                least = least.min(bounds);
            }
            mask &= waiting;
            // What is beyond the ceiling now stays there: the cap never grows.
            self.search.counters.pruned += u64::from(waiting.count_ones() - mask.count_ones());
            if mask == 0 {
                self.frames.depth = depth;
                continue;
            }
            let least = <<M::Real as Real>::On<L>>::splat(least.least());
            let mut nearest = 0;
            for (half, bounds) in frame.chunks_exact(lanes).enumerate() {
                nearest |= <<M::Real as Real>::On<L>>::load(bounds).le(least) << (half * lanes);
            }
            let lane = (nearest & mask).trailing_zeros() as usize;
            let rest = mask & !(1 << lane);
            frame[lane] = M::Real::INFINITY;
            self.frames.heads[depth] = [base, rest];
            // A frame is given up with its last group, so that there are never more frames than groups that wait.
            self.frames.depth -= usize::from(rest == 0);
            let number = base as usize + lane; // fits: base is the number of a group
            return groups.get(number).map(|group| (number, group));
        }
        None
    }

    /// Offers the points at `from..to` that their surrogates leave possible.
    #[inline(always)]
    fn scan<L: Lanes>(&mut self, query: M::Query<'_>, from: usize, to: usize, limit: f64) {
        let lanes = M::Real::LANES;
        let search = &mut *self.search;
        let mut top = search.metric.ceiling(smaller(limit, search.visitor.cap()));
        search.counters.runs += 1;
        search.counters.distance_evals += (to - from) as u64;
        let mut start = from / lanes * lanes;
        let ids = search.view.parts().ids;
        for line in 0..4 {
            L::prefetch(ids, from + 16 * line);
        }
        while start < to {
            let (first, end) = (from.max(start), to.min(start + lanes));
            let values = search.metric.surrogate_panel::<L>(query, first, end, top);
            let mut mask = values.le(<<M::Real as Real>::On<L>>::splat(top)) & lanes_within(start, from, to);
            if mask != 0 {
                mask &= search.visitor.narrow::<L>(start, values);
            }
            if mask != 0 {
                let mut surrogates = [M::Real::default(); 16];
                values.store(&mut surrogates);
                let cap = search.settle::<L>(query, start, mask, &surrogates[..lanes], limit);
                top = search.metric.ceiling(cap);
            }
            start += lanes;
        }
    }
}

impl<M: Metric, V: Visitor<M::Real>> Search<'_, '_, M, V> {
    /// Those of the groups from `base` on whose bit is set in `mask` that their own cap rules out.
    #[inline(always)]
    fn ruled_out(&self, base: usize, mask: u32, bounds: &[M::Real]) -> u32 {
        let groups = &self.view.parts().groups[base..];
        let (mut out, mut rest) = (0, mask);
        while rest != 0 {
            let lane = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let ceiling = self.metric.ceiling(self.visitor.cap_in(base + lane, &groups[lane]));
            out |= u32::from(bounds[lane] > ceiling) << lane;
        }
        out
    }
}
