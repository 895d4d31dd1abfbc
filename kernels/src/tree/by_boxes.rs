//! The traversal of groups that are bounded by boxes.
//!
//! The groups of a group wait in *frames* of [`FRAME`] bounds, just as the boxes are packed. To open a group costs one pass
//! over its boxes, whatever their number; the nearest of a frame is found by vector operations when it is its turn, and
//! the ones that the cap has ruled out by then cost nothing at all. Sorting would cost more than all that is sorted.

use core::ops::Range;

use super::best_first::Notes;
use super::search::{ROOT, Search, lanes_within, smaller};
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

/// What bounds groups from below.
pub(super) trait Bounds<T: Real> {
    /// Lower bounds of the surrogates in the groups `from..to`, which lie in one panel, in the lanes of that panel. Other
    /// lanes hold anything.
    fn panel<L: Lanes>(&self, from: usize, to: usize) -> T::On<L>;

    /// Those of the groups from `base` on whose bit is set in `mask` that need not wait for another reason; `bounds` are
    /// theirs.
    #[inline(always)]
    fn ruled_out(&self, base: usize, mask: u32, bounds: &[T]) -> u32 {
        let _ = (base, mask, bounds);
        0
    }
}

impl<T: Real> Frames<'_, T> {
    /// Lets the groups of a group wait, those that the ceiling leaves possible; returns how many it does not.
    #[inline(always)]
    pub(super) fn open<L: Lanes>(
        &mut self,
        bounds: &impl Bounds<T>,
        groups: &[Group],
        group: &Group,
        ceiling: T,
    ) -> Result<u64, KernelError> {
        let lanes = T::LANES;
        let (kids, kids_end) = (at(group.kids), at(group.kids_end));
        let (ceiling, infinity) = (<T::On<L>>::splat(ceiling), <T::On<L>>::splat(T::INFINITY));
        let mut base = kids / FRAME * FRAME;
        let mut pruned = 0;
        while base < kids_end {
            let depth = self.depth;
            let Some(frame) = self.bounds.get_mut(depth * FRAME..(depth + 1) * FRAME) else {
                let room = self.heads.len();
                let (need, have) = (Frames::<T>::blocks(room + 1), Frames::<T>::blocks(room));
                return Err(KernelError::Scratch { need, have });
            };
            // What the nearest of these groups is will be known soon: have them all near by then.
            for pair in 0..FRAME / 2 {
                L::prefetch(groups, base + 2 * pair);
            }
            let within = lanes_within(base, kids, kids_end) & ALL;
            let mut mask = 0;
            for (half, frame) in frame.chunks_exact_mut(lanes).enumerate() {
                let start = base + half * lanes;
                let (from, to) = (kids.max(start), kids_end.min(start + lanes));
                let mut values = infinity;
                if from < to {
                    let found = bounds.panel::<L>(from, to);
                    let waiting = found.le(ceiling) & within >> (half * lanes);
                    mask |= waiting << (half * lanes);
                    values = found.keep(waiting, infinity);
                }
                values.store(frame);
            }
            let mut ruled_out = bounds.ruled_out(base, mask, frame);
            mask &= !ruled_out;
            while ruled_out != 0 {
                frame[ruled_out.trailing_zeros() as usize] = T::INFINITY;
                ruled_out &= ruled_out - 1;
            }
            pruned += u64::from(within.count_ones() - mask.count_ones());
            if mask != 0 {
                self.heads[depth] = [base as u32, mask]; // a group number fits: the view checked the length
                self.depth += 1;
            }
            base += FRAME;
        }
        Ok(pruned)
    }

    /// Takes the nearest group of the latest frame that has any within the ceiling; returns its number, and adds to
    /// `pruned` how many groups were dropped on the way.
    #[inline(always)]
    pub(super) fn nearest<L: Lanes>(&mut self, ceiling: T, pruned: &mut u64) -> Option<usize> {
        let lanes = T::LANES;
        let infinity = <T::On<L>>::splat(T::INFINITY);
        let limit = <T::On<L>>::splat(ceiling);
        while self.depth > 0 {
            let depth = self.depth - 1;
            let frame = &mut self.bounds[depth * FRAME..(depth + 1) * FRAME];
            let [base, waiting] = self.heads[depth];
            let (mut mask, mut least) = (0, infinity);
            for (half, bounds) in frame.chunks_exact(lanes).enumerate() {
                let bounds = <T::On<L>>::load(bounds);
                mask |= bounds.le(limit) << (half * lanes);
                least = least.min(bounds);
            }
            mask &= waiting;
            // What is beyond the ceiling now stays there: the cap never grows.
            *pruned += u64::from(waiting.count_ones() - mask.count_ones());
            if mask == 0 {
                self.depth = depth;
                continue;
            }
            let least = <T::On<L>>::splat(least.least());
            let mut nearest = 0;
            for (half, bounds) in frame.chunks_exact(lanes).enumerate() {
                nearest |= <T::On<L>>::load(bounds).le(least) << (half * lanes);
            }
            let lane = (nearest & mask).trailing_zeros() as usize;
            let rest = mask & !(1 << lane);
            frame[lane] = T::INFINITY;
            self.heads[depth] = [base, rest];
            // A frame is given up with its last group, so that there are never more frames than groups that wait.
            self.depth -= usize::from(rest == 0);
            return Some(base as usize + lane); // fits: base is the number of a group
        }
        None
    }
}

/// Frames among which the nearest group is looked for; more are taken one after the other, the latest first, so that there is room for
/// them whatever the tree.
pub(super) const FEW: usize = 16;

impl<T: Real> Frames<'_, T> {
    /// The frames among which the next group is to be found.
    #[inline(always)]
    fn in_turn(&self) -> Range<usize> {
        if self.depth > FEW { self.depth - 1..self.depth } else { 0..self.depth }
    }

    /// Where the nearest group of the [frames in turn](Self::in_turn) stands, and its bound.
    #[inline(always)]
    pub(super) fn best<L: Lanes>(&self) -> Option<(usize, T)> {
        let frames = self.in_turn();
        let mut least = <T::On<L>>::splat(T::INFINITY);
        for bounds in self.bounds[frames.start * FRAME..frames.end * FRAME].chunks_exact(T::LANES) {
            least = least.min(<T::On<L>>::load(bounds));
        }
        let bound = least.least();
        let least = <T::On<L>>::splat(bound);
        for frame in frames {
            let mut mask = 0;
            for (half, bounds) in self.bounds[frame * FRAME..][..FRAME].chunks_exact(T::LANES).enumerate() {
                mask |= <T::On<L>>::load(bounds).le(least) << (half * T::LANES);
            }
            mask &= self.heads[frame][1];
            if mask != 0 {
                return Some((frame * FRAME + mask.trailing_zeros() as usize, bound));
            }
        }
        None
    }

    /// Takes the group that stands at a place; returns its number.
    #[inline(always)]
    pub(super) fn take_at(&mut self, place: usize) -> usize {
        let (frame, lane) = (place / FRAME, place % FRAME);
        let [base, waiting] = self.heads[frame];
        self.bounds[place] = T::INFINITY;
        self.heads[frame][1] = waiting & !(1 << lane);
        if self.heads[frame][1] == 0 {
            // A frame is given up with its last group; the latest one moves into its place.
            self.depth -= 1;
            self.heads[frame] = self.heads[self.depth];
            self.bounds.copy_within(self.depth * FRAME..(self.depth + 1) * FRAME, frame * FRAME);
        }
        base as usize + lane // fits: base is the number of a group
    }

    /// Gives up the [frames in turn](Self::in_turn); returns how many groups waited there.
    #[inline(always)]
    pub(super) fn give_up(&mut self) -> u64 {
        let frames = self.in_turn();
        self.depth = frames.start;
        self.heads[frames].iter().map(|head| u64::from(head[1].count_ones())).sum()
    }
}

/// Visits the tree, the nearest group first.
#[inline(always)]
pub(super) fn descend<L: Lanes, M: Metric, V: Visitor<M::Real>>(
    search: &mut Search<'_, '_, '_, M, V>,
    query: M::Query<'_>,
    frames: &mut Frames<'_, M::Real>,
) -> Result<(), KernelError> {
    let groups = search.view.parts().groups;
    if search.view.is_empty() {
        return Ok(());
    }
    let mut notes = Notes::default();
    // A view that was checked has groups if it has points.
    for mut next in [Some((None, &ROOT)), groups.first().map(|group| (Some(0), group))] {
        while let Some((number, group)) = next {
            search.counters.groups += u64::from(number.is_some());
            let limit = number.map_or(f64::INFINITY, |number| search.visitor.cap_in(number, group));
            if group.first < group.block {
                search.scan::<L>(query, &mut notes, at(group.first)..at(group.block), limit);
            }
            let mut pruned = 0;
            if group.kids < group.kids_end {
                let ceiling = search.ceiling(f64::INFINITY);
                pruned = frames.open::<L>(&OfQuery { search: &*search, query }, groups, group, ceiling)?;
            }
            let ceiling = search.ceiling(f64::INFINITY);
            let nearest = frames.nearest::<L>(ceiling, &mut pruned);
            search.counters.pruned += pruned;
            next = nearest.and_then(|number| Some((Some(number), groups.get(number)?)));
        }
    }
    Ok(())
}

/// The bounds that a traversal for one query has.
pub(super) struct OfQuery<'a, 'm, 's, 'x, 'q, M: Metric, V> {
    pub search: &'x Search<'a, 'm, 's, M, V>,
    pub query: M::Query<'q>,
}

impl<M: Metric, V: Visitor<M::Real>> Bounds<M::Real> for OfQuery<'_, '_, '_, '_, '_, M, V> {
    #[inline(always)]
    fn panel<L: Lanes>(&self, from: usize, to: usize) -> <M::Real as Real>::On<L> {
        self.search.metric.box_panel::<L>(self.query, from, to)
    }

    #[inline(always)]
    fn ruled_out(&self, base: usize, mask: u32, bounds: &[M::Real]) -> u32 {
        if V::BY_GROUP { self.search.ruled_out(base, mask, bounds) } else { 0 }
    }
}

impl<M: Metric, V: Visitor<M::Real>> Search<'_, '_, '_, M, V> {
    /// Offers the points at `from..to` that their surrogates leave possible.
    #[inline(always)]
    pub(super) fn scan<L: Lanes>(
        &mut self,
        query: M::Query<'_>,
        notes: &mut Notes<M::Real>,
        Range { start: from, end: to }: Range<usize>,
        limit: f64,
    ) {
        let lanes = M::Real::LANES;
        let search = self;
        search.counters.runs += 1;
        search.counters.distance_evals += (to - from) as u64;
        let mut top = search.ceiling(limit);
        let mut start = from / lanes * lanes;
        let ids = search.view.parts().ids;
        for line in 0..4 {
            L::prefetch(ids, from + 16 * line);
        }
        search.metric.prefetch_run::<L>(from);
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
                if M::DEAR {
                    search.note::<L>(query, notes, (start, mask), &surrogates[..lanes], limit);
                } else {
                    search.settle::<L>(query, start, mask, &surrogates[..lanes], limit);
                }
                top = search.ceiling(limit);
            }
            start += lanes;
        }
        if M::DEAR && V::BY_GROUP {
            // The next group has a limit of its own.
            while search.settle_noted::<L>(query, notes, search.ceiling(limit), limit) {}
            notes.clear();
        }
    }

    /// Notes the points of the panel at `start` whose bit is set in `mask`, to be settled in the order of their surrogates.
    #[inline(always)]
    fn note<L: Lanes>(
        &mut self,
        query: M::Query<'_>,
        notes: &mut Notes<M::Real>,
        (start, mask): (usize, u32),
        surrogates: &[M::Real],
        limit: f64,
    ) {
        debug_assert!(self.shortlist.is_none(), "its ceiling would not fall by what is offered here");
        if !notes.have_room() {
            notes.purge::<L>(self.ceiling(limit));
            if !notes.have_room() {
                // Of those that are noted, at least a panel.
                for _ in 0..M::Real::LANES {
                    self.settle_noted::<L>(query, notes, M::Real::INFINITY, limit);
                }
                notes.purge::<L>(self.ceiling(limit));
            }
        }
        let (mut finite, mut rest) = (0, mask);
        while rest != 0 {
            let lane = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if surrogates[lane] < M::Real::INFINITY {
                self.metric.prefetch::<L>(start + lane);
                finite |= 1 << lane;
            } else {
                self.settle_one::<L>(query, (start + lane, surrogates[lane]), limit);
            }
        }
        notes.add::<L>(start, finite, surrogates);
    }

    /// Offers the noted point with the smallest surrogate, which makes the cap small for the others, if there is one up to `ceiling`;
    /// says whether there was.
    #[inline(always)]
    pub(super) fn settle_noted<L: Lanes>(
        &mut self,
        query: M::Query<'_>,
        notes: &mut Notes<M::Real>,
        ceiling: M::Real,
        limit: f64,
    ) -> bool {
        let Some(noted) = notes.take_least::<L>(ceiling) else { return false };
        self.settle_one::<L>(query, noted, limit);
        true
    }

    /// Offers a point, given its surrogate.
    #[inline(always)]
    fn settle_one<L: Lanes>(&mut self, query: M::Query<'_>, (position, surrogate): (usize, M::Real), limit: f64) {
        if self.visitor.admits(position) {
            self.counters.settled += 1;
            let distance = self.metric.distance::<L>(query, position, surrogate);
            if distance <= smaller(limit, self.visitor.cap()) {
                self.visitor.offer(position, distance);
            }
        }
    }

    /// Those of the groups from `base` on whose bit is set in `mask` that their own cap rules out.
    #[inline(always)]
    fn ruled_out(&self, base: usize, mask: u32, bounds: &[M::Real]) -> u32 {
        let groups = &self.view.parts().groups[base..];
        let (mut out, mut rest) = (0, mask);
        while rest != 0 {
            let lane = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let ceiling = self.ceiling(self.visitor.cap_in(base + lane, &groups[lane]));
            out |= u32::from(bounds[lane] > ceiling) << lane;
        }
        out
    }
}
