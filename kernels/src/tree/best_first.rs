//! The traversal where a distance costs far more than a bound: best first.
//!
//! Points and groups wait together, and what has the smallest bound comes next: a distance is only settled when no group can hold a
//! nearer point. So no point is settled whose surrogate says that it lies beyond the answer, but for those that there is no room to
//! note, and where so many groups wait that only the latest are compared. Going down to the nearest group first and settling what is
//! there, as is faster where distances are cheap, takes a quarter to a half more distances.
//!
//! Source: Hjaltason and Samet, *Distance browsing in spatial databases* (ACM Transactions on Database Systems, 1999).

use core::ops::Range;

use super::Metric;
use super::by_boxes::{Frames, OfQuery};
use super::search::Search;
use super::visit::Visitor;
use crate::error::KernelError;
use crate::index::{Idx, at};
use crate::simd::{LANES_F64, Lanes, Real, Vector};

/// Visits the tree, what has the smallest bound first.
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
    // The root, which stands in no group, waits like any other point.
    search.scan::<L>(query, &mut notes, 0..1, f64::INFINITY);
    let mut next = groups.first();
    while let Some(group) = next {
        search.counters.groups += 1;
        if group.first < group.block {
            search.scan::<L>(query, &mut notes, at(group.first)..at(group.block), f64::INFINITY);
        }
        if group.kids < group.kids_end {
            let ceiling = search.ceiling(f64::INFINITY);
            search.counters.pruned += frames.open::<L>(&OfQuery { search: &*search, query }, groups, group, ceiling)?;
        }
        next = loop {
            let best = frames.best::<L>();
            let bound = best.map_or(M::Real::INFINITY, |(_, bound)| bound);
            let up_to = |ceiling| if bound < ceiling { bound } else { ceiling };
            let mut ceiling = search.ceiling(f64::INFINITY);
            while search.settle_noted::<L>(query, &mut notes, up_to(ceiling), f64::INFINITY) {
                ceiling = search.ceiling(f64::INFINITY);
            }
            match best {
                Some((place, _)) if bound <= ceiling => break groups.get(frames.take_at(place)),
                // What is beyond the ceiling now stays there: the cap never grows.
                Some(_) => search.counters.pruned += frames.give_up(),
                None => break None,
            }
        };
    }
    Ok(())
}

/// Points that can be noted: a few times as many as are among the nearest, mostly.
const NOTES: usize = 128;

/// Panels of them, in either precision, at most.
const PANELS: usize = NOTES / LANES_F64;

/// Points that may be answers, with their surrogates, which are finite.
pub(super) struct Notes<T> {
    /// Infinite where there is none, or none any more.
    surrogates: [T; NOTES],
    positions: [Idx; NOTES],
    /// The smallest of each panel.
    least: [T; PANELS],
    /// All places from here on are free.
    end: usize,
}

impl<T: Real> Default for Notes<T> {
    #[inline(always)]
    fn default() -> Self {
        Self { surrogates: [T::INFINITY; NOTES], positions: [0; NOTES], least: [T::INFINITY; PANELS], end: 0 }
    }
}

impl<T: Real> Notes<T> {
    /// Whether there is room for the points of a panel.
    #[inline(always)]
    pub(super) fn have_room(&self) -> bool {
        self.end + T::LANES <= NOTES
    }

    /// Notes the points of the panel at `start` whose bit is set in `mask`; there is room.
    #[inline(always)]
    pub(super) fn add<L: Lanes>(&mut self, start: usize, mask: u32, surrogates: &[T]) {
        let (first, mut rest) = (self.end / T::LANES, mask);
        while rest != 0 {
            let lane = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            self.surrogates[self.end] = surrogates[lane];
            self.positions[self.end] = (start + lane) as Idx; // a position of the tree
            self.end += 1;
        }
        self.compare::<L>(first..self.end.div_ceil(T::LANES));
    }

    /// Finds the smallest of some panels.
    #[inline(always)]
    fn compare<L: Lanes>(&mut self, panels: Range<usize>) {
        for panel in panels {
            self.least[panel] = <T::On<L>>::load(&self.surrogates[panel * T::LANES..]).least();
        }
    }

    /// Forgets the points beyond the ceiling, and where some stood that were taken.
    #[inline(always)]
    pub(super) fn purge<L: Lanes>(&mut self, ceiling: T) {
        let finite = T::from_f64(T::HUGE);
        let ceiling = if ceiling < finite { ceiling } else { finite };
        let (mut kept, end) = (0, self.end);
        // What is dropped is as good as random: writing all and keeping some has no branch to mispredict.
        for place in 0..end {
            let surrogate = self.surrogates[place];
            (self.surrogates[kept], self.positions[kept]) = (surrogate, self.positions[place]);
            kept += usize::from(surrogate <= ceiling);
        }
        self.surrogates[kept..end].fill(T::INFINITY);
        self.end = kept;
        self.compare::<L>(0..end.div_ceil(T::LANES));
    }

    /// Forgets all points.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        self.surrogates[..self.end].fill(T::INFINITY);
        self.least = [T::INFINITY; PANELS];
        self.end = 0;
    }

    /// Takes the point with the smallest surrogate, if there is one within the ceiling.
    #[inline(always)]
    pub(super) fn take_least<L: Lanes>(&mut self, ceiling: T) -> Option<(usize, T)> {
        let mut least = <T::On<L>>::splat(T::INFINITY);
        for panels in self.least.chunks_exact(T::LANES) {
            least = least.min(<T::On<L>>::load(panels));
        }
        let least = least.least();
        if least == T::INFINITY || least > ceiling {
            return None;
        }
        let same = <T::On<L>>::splat(least);
        let mut panel = 0;
        for panels in self.least.chunks_exact(T::LANES) {
            let mask = <T::On<L>>::load(panels).le(same);
            if mask != 0 {
                panel += mask.trailing_zeros() as usize;
                break;
            }
            panel += T::LANES;
        }
        let surrogates = &mut self.surrogates[panel * T::LANES..(panel + 1) * T::LANES];
        let lane = <T::On<L>>::load(surrogates).le(same).trailing_zeros() as usize;
        surrogates[lane] = T::INFINITY;
        self.least[panel] = <T::On<L>>::load(surrogates).least();
        Some((at(self.positions[panel * T::LANES + lane]), least))
    }
}
