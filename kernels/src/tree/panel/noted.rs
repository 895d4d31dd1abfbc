//! The points that a panel of queries has noted, and how far the answer of each query may reach.

use super::QUERIES_MAX;
use crate::arena::{Arena, blocks};
use crate::dist::Form;
use crate::error::KernelError;
use crate::index::Idx;
use crate::simd::{Lanes, Real, Vector};
use crate::tree::Coordinates;

/// Most neighbours whose surrogates are kept in lists; of more, the last one is found by counting.
const LISTED: usize = 20;

/// Moves of a list between two tests whether any query has more to move.
const MOVES: usize = 8;

/// Guesses at the limits of all queries, when they are found by counting.
const GUESSES: usize = 4;

/// Points that are noted before they are settled.
const fn room(k: usize) -> usize {
    k.saturating_mul(8).saturating_add(256)
}

/// Points that may be answers, with their surrogates for each query, and the limits of the queries.
///
/// Of each query either the smallest surrogates are kept in a list, whose last one gives the limit at any time; or, where such a
/// list would be long, the limit is looked for now and then: it needs no more than that so many surrogates are within it, which a
/// few guesses find, each counted for all queries at once.
pub(super) struct Noted<'s, T> {
    /// `[room]`.
    pub positions: &'s mut [Idx],
    /// `[room][LANES]`; no number where a point was noted for another query alone.
    pub surrogates: &'s mut [T],
    pub len: usize,
    /// No point with a larger surrogate is an answer of the query; below all of them in a lane without a query.
    pub limits: [T; QUERIES_MAX],
    /// `[kept][LANES]`: the smallest surrogates of each query so far, ascending, infinity where there are fewer; or nothing.
    lists: &'s mut [T],
    /// As many noted points as are kept have surrogates of at most this; by counting alone.
    reached: [T; QUERIES_MAX],
    kept: usize,
    /// Queries.
    count: usize,
    /// Notes at which limits are looked for again.
    due: usize,
}

impl<'s, T: Real> Noted<'s, T> {
    /// Blocks of scratch for `k` neighbours.
    pub const fn blocks(k: usize) -> usize {
        let lists = blocks::<T>(k.saturating_add(1).saturating_mul(T::LANES));
        let notes = blocks::<T>(room(k).saturating_mul(T::LANES)).saturating_add(blocks::<Idx>(room(k)));
        lists.saturating_add(notes)
    }

    /// Room for `k` neighbours of so many queries, and for one that is left out of each if `kept` is more.
    pub fn take(arena: &mut Arena<'s>, k: usize, kept: usize, count: usize) -> Result<Self, KernelError> {
        let lists = arena.take(if kept > LISTED { 0 } else { kept * T::LANES })?;
        lists.fill(T::INFINITY);
        let (positions, surrogates) = (arena.take(room(k))?, arena.take(room(k) * T::LANES)?);
        let mut limits = [T::from_f64(-1.0); QUERIES_MAX];
        limits[..count].fill(T::INFINITY);
        let reached = [T::INFINITY; QUERIES_MAX];
        Ok(Self { positions, surrogates, len: 0, limits, lists, reached, kept, count, due: kept })
    }

    /// Whether the smallest surrogates are kept in lists.
    #[inline(always)]
    pub fn has_lists(&self) -> bool {
        !self.lists.is_empty()
    }

    /// Points that can be noted yet.
    #[inline(always)]
    pub fn room(&self) -> usize {
        self.positions.len() - self.len
    }

    /// Points that can be noted before limits should be looked for.
    #[inline(always)]
    pub fn before_due(&self) -> usize {
        if !self.has_lists() { self.due.saturating_sub(self.len) } else { self.room() }
    }

    /// Forgets all notes, but not what they showed.
    pub fn clear(&mut self) {
        (self.len, self.due) = (0, self.kept);
    }

    /// Notes a point; there is room. Returns the limits that hold then.
    #[inline(always)]
    pub fn add<F: Form, L: Lanes>(
        &mut self,
        metric: &Coordinates<'_, T, F>,
        position: usize,
        sums: T::On<L>,
        limits: T::On<L>,
    ) -> T::On<L> {
        self.positions[self.len] = position as Idx; // a position of the tree
        sums.store(&mut self.surrogates[self.len * T::LANES..]);
        self.len += 1;
        if !self.has_lists() {
            return limits;
        }
        let last = insert::<T, L>(self.lists, sums);
        self.set_limits::<L>(metric.limits::<L>(last));
        <T::On<L>>::load(&self.limits)
    }

    /// Notes a point for one query alone; there is room. Its limit is not touched before [`end_of_one`](Self::end_of_one).
    #[inline(always)]
    pub fn add_for_one(&mut self, position: usize, query: usize, surrogate: T) {
        self.positions[self.len] = position as Idx; // a position of the tree
        let surrogates = &mut self.surrogates[self.len * T::LANES..][..T::LANES];
        surrogates.fill(T::from_f64(f64::NAN)); // within no limit
        surrogates[query] = surrogate;
        self.len += 1;
        if !self.has_lists() {
            return;
        }
        let mut slot = self.lists.len() - T::LANES + query;
        if surrogate >= self.lists[slot] {
            return;
        }
        while slot >= T::LANES && self.lists[slot - T::LANES] > surrogate {
            self.lists[slot] = self.lists[slot - T::LANES];
            slot -= T::LANES;
        }
        self.lists[slot] = surrogate;
    }

    /// Brings the limit of a query up to date after points were noted for it alone.
    #[inline(always)]
    pub fn end_of_one<F: Form, L: Lanes>(&mut self, metric: &Coordinates<'_, T, F>, query: usize) {
        if !self.has_lists() {
            return;
        }
        let last = <T::On<L>>::splat(self.lists[self.lists.len() - T::LANES + query]);
        let mut values = [T::default(); QUERIES_MAX];
        metric.limits::<L>(last).store(&mut values);
        self.limits[query] = values[0];
    }

    /// Takes these limits for the lanes that have a query.
    #[inline(always)]
    fn set_limits<L: Lanes>(&mut self, limits: T::On<L>) {
        if self.count == T::LANES {
            limits.store(&mut self.limits);
        } else {
            let mut all = [T::default(); QUERIES_MAX];
            limits.store(&mut all);
            self.limits[..self.count].copy_from_slice(&all[..self.count]);
        }
    }

    /// For each query how many noted surrogates are at most this.
    #[inline(always)]
    fn counts<L: Lanes>(&self, limits: T::On<L>) -> T::On<L> {
        let (zero, one) = (<T::On<L>>::splat(T::default()), <T::On<L>>::splat(T::from_f64(1.0)));
        let mut counts = zero;
        for row in self.surrogates[..self.len * T::LANES].chunks_exact(T::LANES) {
            counts = counts.add(<T::On<L>>::load(row).pick_le(limits, one, zero));
        }
        counts
    }

    /// Looks for smaller limits by counting, if there are no lists, and drops what no query can use any more.
    #[inline(always)]
    pub fn look<F: Form, L: Lanes>(&mut self, metric: &Coordinates<'_, T, F>, more: usize) {
        if self.has_lists() {
            return;
        }
        let infinity = <T::On<L>>::splat(T::INFINITY);
        let (mut low, mut most) = (infinity, <T::On<L>>::splat(T::from_f64(-1.0)));
        for row in self.surrogates[..self.len * T::LANES].chunks_exact(T::LANES) {
            let row = <T::On<L>>::load(row);
            low = row.pick_le(low, row, low);
            most = row.pick_le(most, most, row.pick_le(infinity, row, most));
        }
        let number = |value: f64| <T::On<L>>::splat(T::from_f64(value));
        let wanted = number(self.kept as f64);
        let reached = <T::On<L>>::load(&self.reached);
        let mut high = most.min(reached);
        let mut count = self.counts::<L>(high);
        let enough = count;
        let mut below = number(0.0);
        let aim = number(self.kept as f64 + 0.5 * more as f64);
        let most_of_all = number((self.kept + more) as f64);
        for _ in 0..GUESSES {
            // A lane in which there are too few is not looked at any further.
            let open = wanted.pick_le(count, count, number(0.0));
            if open.le(most_of_all).count_ones() as usize == T::LANES {
                break;
            }
            // Where the wanted one would be if surrogates were evenly spread; what is no number stays where it is.
            let guess = high.sub(low).mul(aim.sub(below).div(count.sub(below))).add(low);
            let guess = guess.pick_le(high, guess, high);
            let within = self.counts::<L>(guess);
            high = wanted.pick_le(within, guess, high);
            count = wanted.pick_le(within, within, count);
            low = wanted.pick_le(within, low, guess);
            below = wanted.pick_le(within, below, within);
        }
        let high = wanted.pick_le(enough, high, reached);
        high.store(&mut self.reached);
        let limits = metric.limits::<L>(high).min(<T::On<L>>::load(&self.limits));
        self.set_limits::<L>(limits);
        self.drop_beyond::<L>();
        // To look again costs about as much as a dozen notes.
        self.due = self.len.max(self.kept) + 24 + self.kept / 2;
    }

    /// Drops the notes that are beyond the limits of all queries.
    #[inline(always)]
    fn drop_beyond<L: Lanes>(&mut self) {
        let limits = <T::On<L>>::load(&self.limits);
        let mut kept = 0;
        for note in 0..self.len {
            let row = <T::On<L>>::load(&self.surrogates[note * T::LANES..]);
            row.store(&mut self.surrogates[kept * T::LANES..]);
            self.positions[kept] = self.positions[note];
            kept += usize::from(row.le(limits) != 0);
        }
        self.len = kept;
    }
}

/// Puts a value into the ascending list of each lane, whose last value drops out; returns the last values.
#[inline(always)]
fn insert<T: Real, L: Lanes>(lists: &mut [T], values: T::On<L>) -> T::On<L> {
    let mut place = lists.len() - T::LANES;
    let mut here = <T::On<L>>::load(&lists[place..]);
    let mut last = here.min(values);
    let mut moves = 0;
    while place > 0 {
        let before = <T::On<L>>::load(&lists[place - T::LANES..]);
        let new = before.max(here.min(values));
        new.store(&mut lists[place..]);
        last = if moves == 0 { new } else { last };
        (here, place, moves) = (before, place - T::LANES, moves + 1);
        if moves % MOVES == 0 && values.lt(here) == 0 {
            return last; // it belongs behind what is left, in every lane
        }
    }
    here.min(values).store(lists);
    last
}
