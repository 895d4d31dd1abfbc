//! A panel of queries through the tree together: for many queries that are neighbours.
//!
//! One query at a time puts the points of a panel into the lanes. Here the *queries* are in the lanes, and each point is
//! held against all of them: way and bounds are found once, points are loaded once, and what each query still lacks is
//! found by vector operations, for there is one list of smallest surrogates in each lane. It pays where the queries meet
//! much the same groups. A group that only a few of them need is held against each of those alone, with the points in the
//! lanes.
//!
//! # How it stays exact
//! Of each query a surrogate is known that `k` points so far do not exceed: the last of a list of the smallest, or, where the list
//! would be long, one that is found by counting. A point whose surrogate is above the margin over it is farther than `k`
//! others and is dropped; all others are noted, with their surrogates. At the end (or when the notes are full) those within the limits of that time are settled
//! by the published formula and offered to [`KBest`], which orders by (distance, id).

mod noted;

use core::marker::PhantomData;

use heapless::Vec;

use super::by_boxes::{Bounds, Frames};
use super::search::{ROOT, SearchCounters, lanes_within, places};
use super::{Boxes, Coordinates, Group, TreeView};
use crate::arena::{Arena, blocks};
use crate::dist::Form;
use crate::error::{KernelError, want};
use crate::index::{Idx, NONE, at};
use crate::simd::{Lanes, OnLanes, Real, Tier, Vector};
use crate::topk::{KBest, RANKED_MAX, ascending};
use noted::Noted;

/// Most queries of a panel.
const QUERIES_MAX: usize = 16;

/// Where at most one in so many of the queries needs a group, each is answered on its own there: for points of up to three
/// coordinates, which cost little to hold against all queries, and of more.
const FEW: [u32; 2] = [6, 3];

/// Points that are settled together for one query.
const SETTLED: usize = RANKED_MAX;

/// Pairs that are listed before they are settled.
const PAIRS: usize = 256;

/// Surrogates that a limit which is looked for may have within it beyond those that are wanted.
const MORE: usize = 4;

/// Blocks of scratch that [`knn_panel`] takes on a tree with this [`waiting`](super::TreeParts::waiting), for `k` neighbours
/// of queries of `dim` coordinates.
pub const fn knn_panel_blocks<T: Real>(waiting: Idx, dim: usize, k: usize) -> usize {
    let settled = blocks::<f64>(SETTLED) + blocks::<Idx>(SETTLED);
    let fixed = Frames::<T>::blocks(places(waiting)).saturating_add(2 * blocks::<T>(dim)) + settled;
    Noted::<T>::blocks(k).saturating_add(fixed)
}

/// The nearest points to each of a panel of queries, by (distance, id): what [`knn`](super::knn) finds.
///
/// | argument | shape |
/// | --- | --- |
/// | `view` | the tree |
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
/// those that few need; for each point that is among the nearest so far of any of them up to `k` moves of a vector, or a few dozen
/// operations where `k` is above some twenty; and about `k` settled distances per query. The nearer the queries are to each
/// other, the fewer groups. Source of the idea of searching for many queries at once: Gray and
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
    let groups = parts.groups.len();
    let boxes = metric.boxes().ok_or(KernelError::Shape { what: "boxes", want: groups, got: 0 })?;
    boxes.check(groups, dim)?;
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
    let corners = (scratch.take(dim)?, scratch.take(dim)?);
    let notes = Noted::take(&mut scratch, k, kept, count)?;
    let settled = (scratch.take(SETTLED)?, scratch.take(SETTLED)?);
    let mut best: Vec<KBest<'_>, QUERIES_MAX> = Vec::new();
    for (distances, ids) in distances.chunks_exact_mut(k).zip(out.chunks_exact_mut(k)) {
        // There is room for as many as there are lanes.
        if best.push(KBest::new(distances, ids)?).is_err() {
            break;
        }
    }
    let counters = SearchCounters::default();
    let mut search = Search { view, metric, boxes, queries, except, corners, notes, settled, best, counters };
    tier.run(Together { search: &mut search, frames })?;
    for best in search.best {
        best.finish_on(tier);
    }
    Ok(search.counters)
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
    notes: Noted<'s, T>,
    /// `[SETTLED]` each: distances of points, and their ids.
    settled: (&'s mut [f64], &'s mut [Idx]),
    best: Vec<KBest<'k>, QUERIES_MAX>,
    counters: SearchCounters,
}

/// A search as a body to be run on a tier.
struct Together<'x, 'a, 's, 'k, T: Real, F> {
    search: &'x mut Search<'a, 's, 'k, T, F>,
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

impl<T: Real, F: Form> OnLanes for Together<'_, '_, '_, '_, T, F> {
    type Out = Result<(), KernelError>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let Self { search, mut frames } = self;
        search.begin();
        search.descend::<L>(&mut frames)
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
    }

    /// Visits the tree, the group nearest to the box of the queries first, and settles what is noted at the end, and when there is no
    /// room for more.
    #[inline(always)]
    fn descend<L: Lanes>(&mut self, frames: &mut Frames<'_, T>) -> Result<(), KernelError> {
        let groups = self.view.parts().groups;
        if self.view.is_empty() {
            return Ok(());
        }
        // The root stands before all groups, of which there is one if there are points.
        let (mut group, mut from, mut lanes) = (groups.first().copied().unwrap_or(ROOT), 0, u32::MAX);
        self.count_run(from, at(group.block), lanes);
        loop {
            from = self.visit::<L>(from, at(group.block), lanes);
            let whole = from >= at(group.block);
            let next = if whole { self.leave::<L>(&group, frames)? } else { None };
            if let Some((number, needed)) = next {
                (group, lanes) = (groups[number], needed);
                from = at(group.first);
                self.count_run(from, at(group.block), lanes);
                continue;
            }
            // Nothing waits any more, or there is no room for more notes.
            self.settle::<L>();
            if whole {
                return Ok(());
            }
        }
    }

    /// Lets the groups of a group wait, and takes the next.
    #[inline(always)]
    fn leave<L: Lanes>(
        &mut self,
        group: &Group,
        frames: &mut Frames<'_, T>,
    ) -> Result<Option<(usize, u32)>, KernelError> {
        let mut pruned = 0;
        if group.kids < group.kids_end {
            let bounds = OfBox { low: self.corners.0, high: self.corners.1, boxes: self.boxes, form: PhantomData::<F> };
            pruned += frames.open::<L>(&bounds, self.view.parts().groups, group, self.ceiling())?;
        }
        let next = self.next::<L>(frames, &mut pruned);
        self.counters.groups += 1;
        self.counters.pruned += pruned;
        Ok(next)
    }

    /// Takes the next group that any of the queries needs; gives its number and a mask of those that do.
    #[inline(always)]
    fn next<L: Lanes>(&self, frames: &mut Frames<'_, T>, pruned: &mut u64) -> Option<(usize, u32)> {
        loop {
            let number = frames.nearest::<L>(self.ceiling(), pruned)?;
            // The queries together may reach a group that none of them reaches alone.
            let bounds = self.boxes.bounds_of_panel::<F, L>(self.queries, number);
            let needed = bounds.le(<T::On<L>>::load(&self.notes.limits));
            if needed != 0 {
                return Some((number, needed));
            }
            *pruned += 1;
        }
    }

    /// The largest limit.
    #[inline(always)]
    fn ceiling(&self) -> T {
        let mut largest = self.notes.limits[0];
        for &limit in &self.notes.limits[1..T::LANES] {
            largest = if limit > largest { limit } else { largest };
        }
        largest
    }

    /// So many of the queries or fewer are each answered on their own.
    #[inline(always)]
    fn few(&self) -> u32 {
        T::LANES as u32 / FEW[usize::from(self.queries.len() > 3 * T::LANES)]
    }

    /// Counts the points at `from..to` against the queries whose bit is set in `needed`.
    #[inline(always)]
    fn count_run(&mut self, from: usize, to: usize, needed: u32) {
        let queries = if needed.count_ones() > self.few() { self.except.len() } else { needed.count_ones() as usize };
        self.counters.runs += 1;
        self.counters.distance_evals += (to.saturating_sub(from) * queries) as u64;
    }

    /// Holds the points at `from..to` against the queries whose bit is set in `needed`, and maybe others; returns where it ended,
    /// before `to` if there is no room for more notes.
    #[inline(always)]
    fn visit<L: Lanes>(&mut self, mut from: usize, to: usize, needed: u32) -> usize {
        let few = self.few();
        let together = needed.count_ones() > few;
        while from < to {
            if self.notes.before_due() == 0 {
                self.notes.look::<F, L>(self.metric, MORE);
            }
            if self.notes.room() < T::LANES * few as usize {
                break;
            }
            if !together {
                // A panel of points at a time, for as many as there may be notes.
                let end = to.min((from / T::LANES + 1) * T::LANES);
                self.visit_singly::<L>(from, end, needed);
                from = end;
                continue;
            }
            let end = to.min(from + self.notes.room().min(self.notes.before_due().max(1)));
            // Few dimensions are known to the compiler, so that the queries stay in registers.
            match self.queries.len() / T::LANES {
                2 => self.visit_few::<L, 2>(from, end),
                3 => self.visit_few::<L, 3>(from, end),
                _ => self.visit_many::<L>(from, end),
            }
            from = end;
        }
        from
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
            let mut mask = sums.le(<T::On<L>>::splat(self.notes.limits[query])) & within;
            if mask == 0 {
                continue;
            }
            let mut values = [T::default(); QUERIES_MAX];
            sums.store(&mut values);
            while mask != 0 {
                let lane = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                self.notes.add_for_one(start + lane, query, values[lane]);
            }
            self.notes.end_of_one::<F, L>(self.metric, query);
        }
    }

    #[inline(always)]
    fn visit_few<L: Lanes, const DIM: usize>(&mut self, from: usize, to: usize) {
        let mut queries = [<T::On<L>>::splat(T::default()); DIM];
        for (query, row) in queries.iter_mut().zip(self.queries.chunks_exact(T::LANES)) {
            *query = <T::On<L>>::load(row);
        }
        let mut limits = <T::On<L>>::load(&self.notes.limits);
        let points = self.metric.points();
        for position in from..to {
            let panel = &points.run(position / T::LANES, 1)[..DIM * T::LANES];
            let mut sums = <T::On<L>>::splat(T::default());
            for (d, query) in queries.iter().enumerate() {
                let value = <T::On<L>>::splat(panel[d * T::LANES + position % T::LANES]);
                sums = step::<T, F, L>(sums, *query, value);
            }
            if sums.le(limits) != 0 {
                limits = self.notes.add::<F, L>(self.metric, position, sums, limits);
            }
        }
    }

    #[inline(always)]
    fn visit_many<L: Lanes>(&mut self, from: usize, to: usize) {
        let mut limits = <T::On<L>>::load(&self.notes.limits);
        let points = self.metric.points();
        for position in from..to {
            let panel = points.run(position / T::LANES, 1);
            let mut sums = <T::On<L>>::splat(T::default());
            for (query, row) in self.queries.chunks_exact(T::LANES).zip(panel.chunks_exact(T::LANES)) {
                let value = <T::On<L>>::splat(row[position % T::LANES]);
                sums = step::<T, F, L>(sums, <T::On<L>>::load(query), value);
            }
            if sums.le(limits) != 0 {
                limits = self.notes.add::<F, L>(self.metric, position, sums, limits);
            }
        }
    }

    /// Settles and offers the noted points that are within the limits still.
    #[inline(always)]
    fn settle<L: Lanes>(&mut self) {
        self.notes.look::<F, L>(self.metric, 0);
        match self.queries.len() / T::LANES {
            2 => self.settle_in::<L, 2>(),
            3 => self.settle_in::<L, 3>(),
            _ => self.settle_in::<L, 0>(),
        }
        self.notes.clear();
    }

    /// [`settle`](Self::settle) in so many dimensions; in any number where that is 0.
    #[inline(always)]
    fn settle_in<L: Lanes, const DIM: usize>(&mut self) {
        if self.notes.has_lists() {
            self.settle_as_noted::<L, DIM>();
            return;
        }
        for lane in 0..self.except.len() {
            let mut from = 0;
            while from < self.notes.len {
                from = self.settle_in_lane::<L, DIM>(lane, from);
            }
        }
    }

    /// Settles the notes one by one, for all queries, and offers them: few are within the limits of any. Which they are is
    /// listed first: a loop over the bits of each mask would be left by a branch that nothing foretells.
    #[inline(always)]
    fn settle_as_noted<L: Lanes, const DIM: usize>(&mut self) {
        let limits = <T::On<L>>::load(&self.notes.limits);
        let (mut pairs, mut lens) = ([0; PAIRS + QUERIES_MAX], [0; QUERIES_MAX]);
        let each = SETTLED / T::LANES;
        let mut note = 0;
        while note < self.notes.len {
            let mut len = 0;
            while note < self.notes.len && len < PAIRS {
                let mask = <T::On<L>>::load(&self.notes.surrogates[note * T::LANES..]).le(limits);
                L::store_places(mask, (note * T::LANES) as Idx, &mut pairs[len..]); // as many as there are surrogates
                len += mask.count_ones() as usize;
                note += 1;
            }
            self.settle_pairs::<L, DIM>(&pairs[..len], &mut lens);
        }
        for lane in 0..self.except.len() {
            self.offer_in_order::<L>(lane, lane * each, lens[lane]);
        }
    }

    /// Settles pairs of a note and a query, given as the places of their surrogates, each query in room of its own.
    #[inline(always)]
    fn settle_pairs<L: Lanes, const DIM: usize>(&mut self, pairs: &[Idx], lens: &mut [usize; QUERIES_MAX]) {
        let each = SETTLED / T::LANES;
        for &pair in pairs {
            let (note, lane) = (at(pair) / T::LANES, at(pair) % T::LANES);
            if lens[lane] == each {
                self.offer_in_order::<L>(lane, lane * each, each);
                lens[lane] = 0;
            }
            let id = self.view.parts().ids[at(self.notes.positions[note])];
            let place = lane * each + lens[lane];
            (self.settled.0[place], self.settled.1[place]) = (self.distance::<L, DIM>(lane, note), id);
            lens[lane] += usize::from(id != self.except[lane]);
        }
    }

    /// Settles the notes from `from` on for one query, as many as are settled together, and offers them; returns where it ended.
    #[inline(always)]
    fn settle_in_lane<L: Lanes, const DIM: usize>(&mut self, lane: usize, mut from: usize) -> usize {
        let limit = self.notes.limits[lane];
        let mut within = 0;
        while from < self.notes.len && within < SETTLED {
            self.settled.1[within] = from as Idx; // notes are fewer than an index counts
            within += usize::from(self.notes.surrogates[from * T::LANES + lane] <= limit);
            from += 1;
        }
        let mut len = 0;
        for place in 0..within {
            let note = at(self.settled.1[place]);
            let id = self.view.parts().ids[at(self.notes.positions[note])];
            (self.settled.0[len], self.settled.1[len]) = (self.distance::<L, DIM>(lane, note), id);
            len += usize::from(id != self.except[lane]);
        }
        self.offer_in_order::<L>(lane, 0, len);
        from
    }

    /// Offers the settled points from `from` on, `len` of them, the nearest first.
    #[inline(always)]
    fn offer_in_order<L: Lanes>(&mut self, lane: usize, from: usize, len: usize) {
        let (distances, ids) = (&mut self.settled.0[from..], &self.settled.1[from..from + len]);
        let mut order = [0; RANKED_MAX];
        let ordered = ascending::<L>(distances, len, &mut order);
        for (rank, &place) in order[..len].iter().enumerate() {
            // The order saves time and decides nothing.
            let place = if ordered { usize::from(place) } else { rank };
            self.best[lane].offer(distances[place], ids[place]);
        }
        self.counters.settled += len as u64;
    }

    /// The distance of a noted point from the query in a lane, by the published formula.
    #[inline(always)]
    fn distance<L: Lanes, const DIM: usize>(&self, lane: usize, note: usize) -> f64 {
        let mut sum = self.notes.surrogates[note * T::LANES + lane].to_f64();
        if !T::IS_F64 {
            let position = at(self.notes.positions[note]);
            let panel = &self.metric.points().run(position / T::LANES, 1)[position % T::LANES..];
            sum = 0.0;
            let dim = if DIM > 0 { DIM } else { self.queries.len() / T::LANES };
            for d in 0..dim {
                let (query, point) = (self.queries[d * T::LANES + lane], panel[d * T::LANES]);
                sum = F::step_f64(sum, query.to_f64(), point.to_f64());
            }
        }
        F::finish::<L>(sum)
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

#[cfg(test)]
mod tests;
