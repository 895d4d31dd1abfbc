//! The nearest points by their surrogates alone, to be settled in the end.
//!
//! Many of the points that are among the nearest for a while are not in the end; to settle each and put it into its place is
//! then a good part of a search. A shortlist only notes them. How far the nearest reach is told by a list of the smallest surrogates,
//! as mere numbers: to put one into it takes a few vector operations and no branch.

use super::Metric;
use super::search::smaller;
use super::visit::Visitor;
use crate::arena::{Arena, blocks};
use crate::error::KernelError;
use crate::index::{Idx, at};
use crate::simd::{Lanes, Real, Vector};
use crate::topk::{RANKED_MAX, ascending};

/// Most neighbours. With more, the list takes longer than a heap of distances.
const MOST: usize = 144;

/// Notes that there is room for.
const ROOM: usize = RANKED_MAX;

/// Notes at which there may be no room for another panel.
const FULL: usize = ROOM - 15;

/// Points that may be among the nearest to one query.
///
/// The notes hold every point that was added, but for those that are farther than as many others as are wanted, and those that were
/// settled.
pub(super) struct Shortlist<'s, T> {
    /// `[ROOM]`.
    surrogates: &'s mut [T],
    /// `[ROOM]`.
    positions: &'s mut [Idx],
    len: usize,
    /// The smallest surrogates so far, ascending, at least as many as are wanted: whole panels.
    list: &'s mut [T],
    /// How many of the nearest points are wanted.
    wanted: usize,
    /// How much larger surrogates may be than they were noted.
    excess: f64,
    /// The surrogates of as many points as are wanted are at most this, give or take the excess.
    limit: T,
    /// No surrogate of the nearest is above this.
    ceiling: T,
    /// None of the nearest is farther than this. Only kept where groups are bounded by balls.
    cap: f64,
}

/// What a shortlist is for, and what it settles with.
pub(super) struct Asked<'m, 'q, M: Metric> {
    pub metric: &'m M,
    pub query: M::Query<'q>,
    /// `[ROOM]`, anything.
    pub distances: &'m mut [f64],
}

/// Blocks of scratch for the distances of [`Asked`].
pub(super) const SETTLED_BLOCKS: usize = blocks::<f64>(ROOM);

/// Cuts room for them from an arena.
pub(super) fn take_settled<'s>(arena: &mut Arena<'s>) -> Result<&'s mut [f64], KernelError> {
    arena.take(ROOM)
}

/// Whether a traversal for such visitors may note points at all.
pub(super) const fn may_note<M: Metric, V: Visitor<M::Real>>() -> bool {
    V::NEAREST && M::SHORTLIST_FROM <= MOST
}

impl<'s, T: Real> Shortlist<'s, T> {
    /// Blocks of scratch.
    pub const BLOCKS: usize = blocks::<T>(ROOM) + blocks::<Idx>(ROOM) + blocks::<T>(MOST);

    /// An empty list for a visitor that wants only the nearest, if it and the metric are such that one serves.
    pub fn take<M: Metric>(arena: &mut Arena<'s>, nearest: Option<usize>) -> Result<Option<Self>, KernelError> {
        let (surrogates, positions, list) = (arena.take(ROOM)?, arena.take(ROOM)?, arena.take(MOST)?);
        let Some(wanted) = nearest.filter(|wanted| (M::SHORTLIST_FROM..=MOST).contains(wanted)) else {
            return Ok(None);
        };
        let list = &mut list[..wanted.next_multiple_of(T::LANES)];
        list.fill(T::INFINITY);
        let (limit, ceiling, cap) = (T::INFINITY, T::INFINITY, f64::INFINITY);
        Ok(Some(Self { surrogates, positions, len: 0, list, wanted, excess: 0.0, limit, ceiling, cap }))
    }

    /// No surrogate of the nearest points is above this.
    #[inline(always)]
    pub fn ceiling(&self) -> T {
        self.ceiling
    }

    /// About what the largest surrogate of the nearest is, or more; infinite until there are as many as are wanted.
    #[inline(always)]
    pub fn limit(&self) -> T {
        self.limit
    }

    /// None of the nearest points is farther than this; infinite where groups are bounded by boxes.
    #[inline(always)]
    pub fn cap(&self) -> f64 {
        self.cap
    }

    /// Adds the points of the panel at `start` whose bit is set in `mask`. Their surrogates may be too small by `excess`.
    /// Returns how many points were settled.
    #[inline(always)]
    pub fn add<L: Lanes, M: Metric<Real = T>, V: Visitor<T>>(
        &mut self,
        asked: &mut Asked<'_, '_, M>,
        visitor: &mut V,
        (start, mask): (usize, u32),
        surrogates: &[T],
        excess: f64,
    ) -> u64 {
        let mut rest = mask;
        while rest != 0 {
            let lane = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if visitor.admits(start + lane) {
                self.surrogates[self.len] = surrogates[lane];
                self.positions[self.len] = (start + lane) as Idx; // a position of the tree
                self.len += 1;
                self.insert::<L>(surrogates[lane]);
            }
        }
        self.excess = if excess > self.excess { excess } else { self.excess };
        let limit = self.list[self.wanted - 1];
        if limit < self.limit {
            self.limit = limit;
            let farthest = self.farthest();
            self.lower(asked.metric.reach::<L>(farthest));
            if !asked.metric.has_boxes() {
                self.cap = smaller(asked.metric.at_most::<L>(farthest), self.cap);
            }
        }
        if self.len < FULL { 0 } else { self.make_room::<L, M, V>(asked, visitor) }
    }

    /// Settles what may be among the nearest, and offers it. Returns how many points that are.
    #[inline(always)]
    pub fn end<L: Lanes, M: Metric<Real = T>, V: Visitor<T>>(
        mut self,
        asked: &mut Asked<'_, '_, M>,
        visitor: &mut V,
    ) -> u64 {
        self.drop_beyond();
        self.settle::<L, M, V>(asked, visitor)
    }

    /// The largest that the surrogates of as many points as are wanted can be.
    #[inline(always)]
    fn farthest(&self) -> T {
        let farthest = self.limit.to_f64() + self.excess;
        if self.excess > 0.0 { T::from_f64(farthest).next_up() } else { self.limit }
    }

    #[inline(always)]
    fn lower(&mut self, ceiling: T) {
        self.ceiling = if ceiling < self.ceiling { ceiling } else { self.ceiling };
    }

    /// Puts a surrogate into the list, whose last one drops out.
    #[inline(always)]
    fn insert<L: Lanes>(&mut self, value: T) {
        let value = <T::On<L>>::splat(value);
        let mut before = <T::On<L>>::splat(T::from_f64(f64::NEG_INFINITY));
        // Panels are read as they were written: where reading would cut across what is still being written, it waits.
        for panel in self.list.chunks_exact_mut(T::LANES) {
            let here = <T::On<L>>::load(panel);
            here.behind(before).max(here.min(value)).store(panel);
            before = here;
        }
    }

    /// Drops notes, and settles everything if that does not help. Returns how many points were settled.
    #[inline(always)]
    fn make_room<L: Lanes, M: Metric<Real = T>, V: Visitor<T>>(
        &mut self,
        asked: &mut Asked<'_, '_, M>,
        visitor: &mut V,
    ) -> u64 {
        self.drop_beyond();
        if self.len <= ROOM - ROOM / 4 {
            return 0;
        }
        let settled = self.settle::<L, M, V>(asked, visitor);
        self.cap = smaller(visitor.cap(), self.cap);
        self.lower(asked.metric.ceiling(visitor.cap()));
        settled
    }

    /// Drops the notes that are not among the nearest for sure.
    #[inline(always)]
    fn drop_beyond(&mut self) {
        let mut kept = 0;
        for note in 0..self.len {
            let (surrogate, position) = (self.surrogates[note], self.positions[note]);
            (self.surrogates[kept], self.positions[kept]) = (surrogate, position);
            kept += usize::from(surrogate <= self.ceiling);
        }
        self.len = kept;
    }

    /// Settles and offers all that is noted, the nearest first; returns how many points that are.
    #[inline(always)]
    fn settle<L: Lanes, M: Metric<Real = T>, V: Visitor<T>>(
        &mut self,
        asked: &mut Asked<'_, '_, M>,
        visitor: &mut V,
    ) -> u64 {
        let (Asked { metric, query, distances }, len) = (asked, self.len);
        for note in 0..len {
            let (position, surrogate) = (at(self.positions[note]), self.surrogates[note]);
            distances[note] = metric.distance::<L>(*query, position, surrogate);
        }
        let mut order = [0; RANKED_MAX];
        let ordered = ascending::<L>(distances, len, &mut order);
        for (rank, &note) in order[..len].iter().enumerate() {
            // The order saves time and decides nothing.
            let note = if ordered { usize::from(note) } else { rank };
            let (position, distance) = (at(self.positions[note]), distances[note]);
            if distance <= visitor.cap() {
                visitor.offer(position, distance);
            }
        }
        self.len = 0;
        len as u64
    }
}
