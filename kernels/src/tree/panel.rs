//! A panel of queries through the tree together: for many queries that are neighbours.
//!
//! One query at a time puts the points of a panel into the lanes. Here the *queries* are in the lanes, and each point is
//! held against all of them: way and bounds are found once, points are loaded once, and what each query still lacks is
//! found by vector operations, for there is one list of smallest surrogates in each lane. It pays where the queries meet
//! much the same groups. A group that only a few of them need is held against each of those alone, with the points in the
//! lanes.
//!
//! # How it stays exact
//! Of each query the `k` smallest surrogates so far are kept, as mere numbers. A point whose surrogate is above
//! the margin over the last of them is farther than `k` others and is dropped; all others are noted, with
//! their surrogates. At the end (or when the notes are full) those within the limits of that time are settled
//! by the published formula and offered to [`KBest`], which orders by (distance, id).

use core::marker::PhantomData;

use heapless::Vec;

use super::by_boxes::{Bounds, Frames};
use super::search::{SearchCounters, lanes_within, places};
use super::{Boxes, Coordinates, Group, TreeView};
use crate::arena::{Arena, blocks};
use crate::dist::Form;
use crate::error::{KernelError, want};
use crate::index::{Idx, NONE, at};
use crate::simd::{Lanes, OnLanes, Real, Tier, Vector};
use crate::topk::KBest;

/// Most queries of a panel.
const QUERIES_MAX: usize = 16;

/// Where at most one in so many of the queries needs a group, each is answered on its own there.
const FEW: u32 = 3;

/// Moves of a list between two tests whether any query has more to move.
const MOVES: usize = 8;

/// A tree of one point has no groups.
const ROOT: Group = Group { first: 0, block: 1, end: 1, kids: 0, kids_end: 0, center: 0, top: 0, reach: 0.0 };

/// Points that are noted before they are settled.
const fn notes(k: usize) -> usize {
    k.saturating_mul(8).saturating_add(256)
}

/// Blocks of scratch that [`knn_panel`] takes on a tree with this [`waiting`](super::TreeParts::waiting), for `k` neighbours
/// of queries of `dim` coordinates.
pub const fn knn_panel_blocks<T: Real>(waiting: Idx, dim: usize, k: usize) -> usize {
    let lists = blocks::<T>(k.saturating_add(1).saturating_mul(T::LANES));
    let notes = blocks::<T>(notes(k).saturating_mul(T::LANES)).saturating_add(blocks::<Idx>(notes(k)));
    let fixed = Frames::<T>::blocks(places(waiting)).saturating_add(2 * blocks::<T>(dim));
    lists.saturating_add(notes).saturating_add(fixed)
}

/// The nearest points to each of a panel of queries, by (distance, id): what [`knn`](super::knn) finds.
///
/// | argument | shape |
/// | --- | --- |
/// | `metric` | over the points of the tree, which are not projected, with the boxes of its groups |
/// | `queries` | `[dim][LANES]`: a packed panel of which the first `except.len()` lanes are queries, finite |
/// | `except` | at most `[LANES]`: for each query an id that is left out, or `NONE` |
/// | `distances`, `out` | `[except.len()][k]`, overwritten: ascending; padded with plus infinity and `NONE` |
/// | `arena` | [`knn_panel_blocks`], given back |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit or the metric has no boxes, [`KernelError::Least`] for `k = 0`,
/// [`KernelError::Scratch`] when the arena is too small. Nothing is written then, if `view` is of the same tree.
///
/// # Accuracy
/// Surrogates are filters with the margin of [`Coordinates`]; what they leave possible is settled by the published formula.
///
/// # Cost
/// `dim` steps of the form per point and panel in the groups that most of the queries need, and per point and query in
/// those that few need; `k` moves of a vector for each point that is among the nearest so far of any of them; and about `k`
/// settled distances per query, where [`knn`](super::knn) settles each point that is among the nearest so far. The nearer
/// the queries are to each other, the fewer groups. Source of the idea of searching for many queries at once: Gray and
/// Moore, *N-body problems in statistical learning* (NIPS 2000).
#[allow(clippy::too_many_arguments)] // inputs, outputs, scratch: the order that every entrance has
pub fn knn_panel<T: Real, F: Form>(
    tier: Tier,
    view: TreeView<'_>,
    metric: &Coordinates<'_, T, F>,
    queries: &[T],
    except: &[Idx],
    distances: &mut [f64],
    out: &mut [Idx],
    arena: &mut Arena<'_>,
) -> Result<SearchCounters, KernelError> {
    let (points, parts) = (metric.points(), view.parts());
    let (dim, count) = (points.dim(), except.len());
    want("points", view.len(), points.len())?;
    metric.want_plain()?;
    want("queries", dim * T::LANES, queries.len())?;
    want("out", distances.len(), out.len())?;
    let boxes = metric.boxes().filter(|boxes| boxes.axes() == dim && boxes.len() == parts.groups.len());
    let Some(boxes) = boxes else {
        let got = metric.boxes().map_or(0, |boxes| boxes.len());
        return Err(KernelError::Shape { what: "boxes", want: parts.groups.len(), got });
    };
    if count > T::LANES {
        return Err(KernelError::Shape { what: "except", want: T::LANES, got: count });
    }
    if count == 0 {
        want("distances", 0, distances.len())?;
        return Ok(SearchCounters::default());
    }
    let k = distances.len() / count;
    want("distances", k * count, distances.len())?;
    if k == 0 {
        return Err(KernelError::Least { what: "k", least: 1, got: 0 });
    }
    let mut scratch = arena.scope();
    // A point that is left out may be among the nearest: one more is kept then.
    let kept = k + usize::from(except.iter().any(|&id| id != NONE));
    let frames = Frames::take(&mut scratch, places(parts.waiting))?;
    let lists = scratch.take(kept * T::LANES)?;
    let corners = (scratch.take(dim)?, scratch.take(dim)?);
    let notes = Notes { positions: scratch.take(notes(k))?, surrogates: scratch.take(notes(k) * T::LANES)?, len: 0 };
    let mut best: Vec<KBest<'_>, QUERIES_MAX> = Vec::new();
    for (distances, ids) in distances.chunks_exact_mut(k).zip(out.chunks_exact_mut(k)) {
        // There is room for as many as there are lanes.
        if best.push(KBest::new(distances, ids)?).is_err() {
            break;
        }
    }
    let counters = SearchCounters::default();
    let limits = [T::from_f64(-1.0); QUERIES_MAX]; // lanes without a query want no point
    let search = Search { view, metric, boxes, queries, except, corners, lists, limits, notes, best, counters };
    let (best, counters) = tier.run(Together { search, frames })?;
    for best in best {
        best.finish();
    }
    Ok(counters)
}

/// Points that may be answers, with their surrogates for each query.
struct Notes<'s, T> {
    /// `[room]`.
    positions: &'s mut [Idx],
    /// `[room][LANES]`.
    surrogates: &'s mut [T],
    len: usize,
}

/// Everything but what waits.
struct Search<'a, 's, 'k, T: Real, F> {
    view: TreeView<'a>,
    metric: &'a Coordinates<'a, T, F>,
    boxes: Boxes<'a, T>,
    queries: &'a [T],
    except: &'a [Idx],
    /// The box of the queries.
    corners: (&'s mut [T], &'s mut [T]),
    /// `[kept][LANES]`: the smallest surrogates of each query so far, ascending; infinity where there are fewer.
    lists: &'s mut [T],
    /// No point with a larger surrogate is an answer of the query.
    limits: [T; QUERIES_MAX],
    notes: Notes<'s, T>,
    best: Vec<KBest<'k>, QUERIES_MAX>,
    counters: SearchCounters,
}

/// A search as a body to be run on a tier.
struct Together<'a, 's, 'k, T: Real, F> {
    search: Search<'a, 's, 'k, T, F>,
    frames: Frames<'s, T>,
}

/// The bounds that a panel of queries has, as one.
struct OfBox<'x, 'a, T, F> {
    low: &'x [T],
    high: &'x [T],
    boxes: Boxes<'a, T>,
    form: PhantomData<F>,
}

impl<T: Real, F: Form> Bounds<T> for OfBox<'_, '_, T, F> {
    #[inline(always)]
    fn panel<L: Lanes>(&self, from: usize, _to: usize) -> T::On<L> {
        self.boxes.panel_gaps::<F, L>(self.low, self.high, from / T::LANES)
    }
}

impl<'k, T: Real, F: Form> OnLanes for Together<'_, '_, 'k, T, F> {
    type Out = Result<(Vec<KBest<'k>, QUERIES_MAX>, SearchCounters), KernelError>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let Self { mut search, mut frames } = self;
        search.begin();
        search.descend::<L>(&mut frames)?;
        search.settle::<L>();
        Ok((search.best, search.counters))
    }
}

impl<T: Real, F: Form> Search<'_, '_, '_, T, F> {
    #[inline(always)]
    fn begin(&mut self) {
        let count = self.except.len();
        for (d, row) in self.queries.chunks_exact(T::LANES).enumerate() {
            let (mut low, mut high) = (row[0], row[0]);
            for &value in &row[1..count] {
                low = if value < low { value } else { low };
                high = if value > high { value } else { high };
            }
            (self.corners.0[d], self.corners.1[d]) = (low, high);
        }
        self.lists.fill(T::INFINITY);
        self.limits[..count].fill(T::INFINITY);
    }

    /// Visits the tree, the group nearest to the box of the queries first.
    #[inline(always)]
    fn descend<L: Lanes>(&mut self, frames: &mut Frames<'_, T>) -> Result<(), KernelError> {
        let groups = self.view.parts().groups;
        if self.view.is_empty() {
            return Ok(());
        }
        // The root stands before all groups.
        let (mut group, mut from, mut lanes) = (groups.first().copied().unwrap_or(ROOT), 0, u32::MAX);
        loop {
            self.visit::<L>(from, at(group.block), lanes);
            let mut pruned = 0;
            if group.kids < group.kids_end {
                let bounds =
                    OfBox { low: self.corners.0, high: self.corners.1, boxes: self.boxes, form: PhantomData::<F> };
                pruned += frames.open::<L>(&bounds, groups, &group, self.ceiling())?;
            }
            let next = self.next::<L>(frames, &mut pruned);
            self.counters.groups += 1;
            self.counters.pruned += pruned;
            let Some((number, needed)) = next else { return Ok(()) };
            (group, lanes) = (groups[number], needed);
            from = at(group.first);
        }
    }

    /// Takes the next group that any of the queries needs; gives its number and a mask of those that do.
    #[inline(always)]
    fn next<L: Lanes>(&self, frames: &mut Frames<'_, T>, pruned: &mut u64) -> Option<(usize, u32)> {
        loop {
            let number = frames.nearest::<L>(self.ceiling(), pruned)?;
            // The queries together may reach a group that none of them reaches alone.
            let bounds = self.boxes.bounds_of_panel::<F, L>(self.queries, number);
            let needed = bounds.le(<T::On<L>>::load(&self.limits));
            if needed != 0 {
                return Some((number, needed));
            }
            *pruned += 1;
        }
    }

    /// The largest limit.
    #[inline(always)]
    fn ceiling(&self) -> T {
        let mut largest = self.limits[0];
        for &limit in &self.limits[1..T::LANES] {
            largest = if limit > largest { limit } else { largest };
        }
        largest
    }

    /// Holds the points at `from..to` against the queries whose bit is set in `needed`, and maybe others.
    #[inline(always)]
    fn visit<L: Lanes>(&mut self, mut from: usize, to: usize, needed: u32) {
        self.counters.runs += 1;
        let few = T::LANES as u32 / FEW;
        let together = needed.count_ones() > few;
        let queries = if together { self.except.len() } else { needed.count_ones() as usize };
        self.counters.distance_evals += (to.saturating_sub(from) * queries) as u64;
        while from < to {
            let room = self.notes.positions.len() - self.notes.len;
            if room < T::LANES * few as usize {
                self.settle::<L>();
                continue;
            }
            if !together {
                // A panel of points at a time, for as many as there may be notes.
                let end = to.min((from / T::LANES + 1) * T::LANES);
                self.visit_singly::<L>(from, end, needed);
                from = end;
                continue;
            }
            let end = to.min(from + room);
            // Few dimensions are known to the compiler, so that the queries stay in registers.
            match self.queries.len() / T::LANES {
                2 => self.visit_few::<L, 2>(from, end),
                3 => self.visit_few::<L, 3>(from, end),
                _ => self.visit_many::<L>(from, end),
            }
            from = end;
        }
    }

    /// Holds the points at `from..to`, which lie in one panel, against each query whose bit is set in `needed`: with the
    /// points in the lanes.
    #[inline(always)]
    fn visit_singly<L: Lanes>(&mut self, from: usize, to: usize, needed: u32) {
        let start = from / T::LANES * T::LANES;
        let panel = self.metric.points().run(from / T::LANES, 1);
        let within = lanes_within(start, from, to);
        let mut rest = needed;
        while rest != 0 {
            let query = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let mut sums = <T::On<L>>::splat(T::default());
            for (queries, row) in self.queries.chunks_exact(T::LANES).zip(panel.chunks_exact(T::LANES)) {
                sums = step::<T, F, L>(sums, <T::On<L>>::splat(queries[query]), <T::On<L>>::load(row));
            }
            let mut mask = sums.le(<T::On<L>>::splat(self.limits[query])) & within;
            if mask == 0 {
                continue;
            }
            let mut values = [T::default(); QUERIES_MAX];
            sums.store(&mut values);
            while mask != 0 {
                let lane = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                self.note_one(start + lane, query, values[lane]);
            }
            let last = <T::On<L>>::splat(self.lists[self.lists.len() - T::LANES + query]);
            self.metric.limits::<L>(last).store(&mut values);
            self.limits[query] = values[0];
        }
    }

    /// Notes a point for one query alone; its limit is not touched.
    #[inline(always)]
    fn note_one(&mut self, position: usize, query: usize, surrogate: T) {
        let place = self.notes.len; // there is room: see `visit`
        self.notes.positions[place] = position as Idx; // a position of the tree
        let surrogates = &mut self.notes.surrogates[place * T::LANES..][..T::LANES];
        surrogates.fill(T::from_f64(f64::NAN)); // within no limit
        surrogates[query] = surrogate;
        self.notes.len += 1;
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

    #[inline(always)]
    fn visit_few<L: Lanes, const DIM: usize>(&mut self, from: usize, to: usize) {
        let mut queries = [<T::On<L>>::splat(T::default()); DIM];
        for (query, row) in queries.iter_mut().zip(self.queries.chunks_exact(T::LANES)) {
            *query = <T::On<L>>::load(row);
        }
        let mut limits = <T::On<L>>::load(&self.limits);
        let points = self.metric.points();
        for position in from..to {
            let panel = &points.run(position / T::LANES, 1)[..DIM * T::LANES];
            let mut sums = <T::On<L>>::splat(T::default());
            for (d, query) in queries.iter().enumerate() {
                let value = <T::On<L>>::splat(panel[d * T::LANES + position % T::LANES]);
                sums = step::<T, F, L>(sums, *query, value);
            }
            if sums.le(limits) != 0 {
                limits = self.note::<L>(position, sums);
            }
        }
    }

    #[inline(always)]
    fn visit_many<L: Lanes>(&mut self, from: usize, to: usize) {
        let mut limits = <T::On<L>>::load(&self.limits);
        let points = self.metric.points();
        for position in from..to {
            let panel = points.run(position / T::LANES, 1);
            let mut sums = <T::On<L>>::splat(T::default());
            for (query, row) in self.queries.chunks_exact(T::LANES).zip(panel.chunks_exact(T::LANES)) {
                let value = <T::On<L>>::splat(row[position % T::LANES]);
                sums = step::<T, F, L>(sums, <T::On<L>>::load(query), value);
            }
            if sums.le(limits) != 0 {
                limits = self.note::<L>(position, sums);
            }
        }
    }

    /// Notes a point, puts its surrogates into the lists, and returns the limits that hold then.
    #[inline(always)]
    fn note<L: Lanes>(&mut self, position: usize, sums: T::On<L>) -> T::On<L> {
        let place = self.notes.len; // there is room: see `visit`
        self.notes.positions[place] = position as Idx; // a position of the tree
        sums.store(&mut self.notes.surrogates[place * T::LANES..]);
        self.notes.len += 1;
        let last = insert::<T, L>(self.lists, sums);
        let limits = self.metric.limits::<L>(last);
        let count = self.except.len();
        if count == T::LANES {
            limits.store(&mut self.limits);
            return limits;
        }
        let mut all = [T::default(); QUERIES_MAX];
        limits.store(&mut all);
        self.limits[..count].copy_from_slice(&all[..count]);
        <T::On<L>>::load(&self.limits)
    }

    /// Settles and offers the noted points that are within the limits still.
    #[inline(always)]
    fn settle<L: Lanes>(&mut self) {
        let dim = self.queries.len() / T::LANES;
        let limits = <T::On<L>>::load(&self.limits);
        let (points, ids) = (self.metric.points(), self.view.parts().ids);
        let noted = self.notes.positions[..self.notes.len].iter().zip(self.notes.surrogates.chunks_exact(T::LANES));
        for (&position, surrogates) in noted {
            let position = at(position);
            let mut mask = <T::On<L>>::load(surrogates).le(limits);
            let panel = &points.run(position / T::LANES, 1)[position % T::LANES..];
            while mask != 0 {
                let lane = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                if ids[position] == self.except[lane] {
                    continue;
                }
                let mut sum = surrogates[lane].to_f64();
                if !T::IS_F64 {
                    sum = 0.0;
                    for d in 0..dim {
                        let (query, point) = (self.queries[d * T::LANES + lane], panel[d * T::LANES]);
                        sum = F::step_f64(sum, query.to_f64(), point.to_f64());
                    }
                }
                self.counters.settled += 1;
                self.best[lane].offer(F::finish::<L>(sum), ids[position]);
            }
        }
        self.notes.len = 0;
    }
}

/// One dimension of a surrogate: as [`Coordinates`] has it.
#[inline(always)]
fn step<T: Real, F: Form, L: Lanes>(sums: T::On<L>, query: T::On<L>, point: T::On<L>) -> T::On<L> {
    if T::IS_F64 {
        F::step::<T::On<L>, true>(sums, query, point)
    } else {
        F::step::<T::On<L>, false>(sums, query, point)
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

#[cfg(test)]
mod tests;
