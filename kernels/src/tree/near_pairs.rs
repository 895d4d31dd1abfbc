//! All pairs of near points of a tree: a join of the tree with itself.
//!
//! The points of a small group are neighbours, and so they share what they could meet: one pass down the tree finds the
//! small groups whose boxes come within the radius of the box of this one. Each point then asks only these boxes, sixteen
//! at a time, and scans the groups that they leave. A search for each point alone would go down the tree as often as
//! there are points.

use core::marker::PhantomData;
use core::ops::Range;

use super::cover::Conflict;
use super::search::{CHUNK, SearchCounters, lanes_within, places};
use super::{Boxes, Coordinates, Group, Metric, TreeView, run_len};
use crate::arena::{Arena, blocks};
use crate::dist::Form;
use crate::dist::lanes::FEW_DIMS;
use crate::error::{KernelError, want};
use crate::index::{Idx, at};
use crate::simd::{Lanes, OnLanes, Real, Tier, Vector};

/// Blocks of scratch that [`near_pairs`] takes on a tree with this [`waiting`](super::TreeParts::waiting) and so many
/// groups, for points of `dim` coordinates.
pub const fn near_pairs_blocks<T: Real>(waiting: Idx, groups: usize, dim: usize) -> usize {
    let stacks = 2 * blocks::<Idx>(places(waiting));
    let near = blocks::<[u32; 2]>(groups);
    stacks.saturating_add(near).saturating_add(3 * blocks::<T>(dim))
}

/// The pairs of the points at `rows` with all points at later positions that are at most `radius` away.
///
/// | argument | shape |
/// | --- | --- |
/// | `view` | a tree in the order *by cells* |
/// | `metric` | over the points of the tree, which are not projected, with the boxes of its groups |
/// | `rows` | positions |
/// | `radius` | not negative, not NaN |
/// | `out` | the pairs, by ascending position of their first point; `id` is the id of that point, `other` of the later one |
/// | `arena` | [`near_pairs_blocks`], given back |
///
/// Returns how many pairs there are; where that is more than `out` has room for, `out` is full and the search ended early:
/// the number then only says that there are more.
///
/// # Errors
/// [`KernelError::Shape`] when the points or the boxes of the metric are not those of the tree, [`KernelError::Key`] when
/// `rows` are no positions of it (`at` 0: their first, 1: their end), [`KernelError::Value`] for a radius that is
/// negative or NaN, [`KernelError::Scratch`] when the arena is too small. Nothing is written then, if the tree's `waiting` is
/// right. [`KernelError::Value`] of `groups` when a group is met that has groups and a block of children, as they do by blocks.
///
/// # Accuracy
/// Exact, and the same pairs in the same order on every tier: surrogates are filters with the margin of [`Coordinates`],
/// and what they leave possible is settled by the published formula.
///
/// # Cost
/// One pass down the tree for each small group, and for each point `dim` steps of the form for each box and each point that
/// comes near it. Two million pairs among a million points in three dimensions take about 0.1 us a point.
#[allow(clippy::too_many_arguments)] // inputs, outputs, scratch: the order that every entrance has
pub fn near_pairs<T: Real, F: Form>(
    tier: Tier,
    view: TreeView<'_>,
    metric: &Coordinates<'_, T, F>,
    rows: Range<usize>,
    radius: f64,
    out: &mut [Conflict],
    arena: &mut Arena<'_>,
) -> Result<(usize, SearchCounters), KernelError> {
    let (dim, parts) = (metric.points().dim(), view.parts());
    want("points", view.len(), metric.points().len())?;
    metric.want_plain()?;
    let groups = parts.groups.len();
    let boxes = metric.boxes().ok_or(KernelError::Shape { what: "boxes", want: groups, got: 0 })?;
    boxes.check(groups, dim)?;
    let limit = view.len() as Idx; // the view checked the length
    for (at, key) in [(0, rows.start.min(rows.end)), (1, rows.end)] {
        if key > view.len() {
            return Err(KernelError::Key { at, key: key.min(Idx::MAX as usize) as Idx, limit }); // clamped
        }
    }
    if radius.is_nan() || radius < 0.0 {
        return Err(KernelError::Value { what: "radius", at: 0 });
    }
    let mut scratch = arena.scope();
    let room = places(parts.waiting);
    let (walk, open) = (scratch.take(room)?, scratch.take(room)?);
    let near = scratch.take(groups)?;
    let corners = (scratch.take(dim)?, scratch.take(dim)?);
    let query = scratch.take(dim)?;
    let mut join = Join {
        view,
        metric,
        boxes,
        radius,
        rows,
        out,
        found: 0,
        open,
        near,
        count: 0,
        corners,
        counters: SearchCounters::default(),
        form: PhantomData::<F>,
    };
    tier.run(Walk { join: &mut join, walk, query })?;
    Ok((join.found, join.counters))
}

/// A join under way.
struct Join<'a, 'm, 'o, 's, T, F> {
    view: TreeView<'a>,
    metric: &'m Coordinates<'m, T, F>,
    boxes: Boxes<'m, T>,
    radius: f64,
    rows: Range<usize>,
    out: &'o mut [Conflict],
    found: usize,
    /// `[room]`: groups that wait on the way down.
    open: &'s mut [Idx],
    /// `[groups]`: panels of boxes with small groups that are near, and which of their lanes those are; `count` of them. A
    /// panel comes up once for each group that has parts in it.
    near: &'s mut [[u32; 2]],
    count: usize,
    /// The box of the present small group.
    corners: (&'s mut [T], &'s mut [T]),
    counters: SearchCounters,
    form: PhantomData<F>,
}

/// Goes through the small groups that hold rows, in their order.
struct Walk<'j, 's, J, T> {
    join: &'j mut J,
    /// `[room]`.
    walk: &'s mut [Idx],
    /// `[dim]`.
    query: &'s mut [T],
}

/// Groups wait on a stack of so many places; a tree whose [`waiting`](super::TreeParts::waiting) is wrong may need more.
fn push(stack: &mut [Idx], depth: &mut usize, group: usize) -> Result<(), KernelError> {
    let have = stack.len();
    let place = stack
        .get_mut(*depth)
        .ok_or(KernelError::Scratch { need: blocks::<Idx>(have + 1), have: blocks::<Idx>(have) })?;
    *place = group as Idx; // fits: the view checked the number of groups
    *depth += 1;
    Ok(())
}

const fn is_small(group: &Group) -> bool {
    group.kids == group.kids_end
}

/// A group, which has either points or groups of its own: points beside groups would be passed over.
#[inline(always)]
fn by_cells(groups: &[Group], number: Idx) -> Result<&Group, KernelError> {
    let group = &groups[at(number)];
    if is_small(group) || group.first == group.block {
        Ok(group)
    } else {
        Err(KernelError::Value { what: "groups", at: at(number) })
    }
}

impl<T: Real, F: Form> OnLanes for Walk<'_, '_, Join<'_, '_, '_, '_, T, F>, T> {
    type Out = Result<(), KernelError>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let Self { join, walk, query } = self;
        let groups = join.view.parts().groups;
        let rows = join.rows.clone();
        let mut depth = 0;
        if !groups.is_empty() {
            push(walk, &mut depth, 0)?;
        }
        let (mut first, mut end) = (rows.start, rows.end.min(1)); // the root stands in no group
        loop {
            if first < end {
                join.rows_of::<L>(first, end, query)?;
            }
            if depth == 0 || join.found > join.out.len() {
                return Ok(());
            }
            depth -= 1;
            let group = by_cells(groups, walk[depth])?;
            (first, end) = (rows.start.max(at(group.first)), rows.end.min(at(group.end)));
            if first >= end {
                continue;
            }
            end = end.min(at(group.block));
            // The first of them comes off the stack first.
            for kid in (at(group.kids)..at(group.kids_end)).rev() {
                if groups[kid].first < groups[kid].end {
                    push(walk, &mut depth, kid)?;
                }
            }
        }
    }
}

impl<T: Real, F: Form> Join<'_, '_, '_, '_, T, F> {
    /// The rows `first..end`, which are neighbours.
    #[inline(always)]
    fn rows_of<L: Lanes>(&mut self, first: usize, end: usize, query: &mut [T]) -> Result<(), KernelError> {
        let points = self.metric.points();
        for d in 0..points.dim() {
            let start = points.coordinate(first, d);
            let (mut low, mut high) = (start, start);
            for row in first + 1..end {
                let value = points.coordinate(row, d);
                low = if value < low { value } else { low };
                high = if value > high { value } else { high };
            }
            (self.corners.0[d], self.corners.1[d]) = (low, high);
        }
        self.gather::<L>(first + 1)?;
        for row in first..end {
            for (d, value) in query.iter_mut().enumerate() {
                *value = points.coordinate(row, d);
            }
            self.row::<L>(row, query);
            if self.found > self.out.len() {
                break;
            }
        }
        Ok(())
    }

    /// Finds the small groups near the present box that hold points from position `after` on.
    #[inline(always)]
    fn gather<L: Lanes>(&mut self, after: usize) -> Result<(), KernelError> {
        let groups = self.view.parts().groups;
        let ceiling = <T::On<L>>::splat(self.metric.ceiling(self.radius));
        self.count = 0;
        let mut depth = 0;
        let Some(whole) = groups.first() else { return Ok(()) };
        if is_small(whole) {
            self.near[0] = [0, 1];
            self.count = 1;
            return Ok(());
        }
        push(self.open, &mut depth, 0)?;
        while depth > 0 {
            depth -= 1;
            let group = by_cells(groups, self.open[depth])?;
            self.counters.groups += 1;
            let (kids, kids_end) = (at(group.kids), at(group.kids_end));
            for panel in kids / T::LANES..kids_end.div_ceil(T::LANES) {
                let base = panel * T::LANES;
                let bounds = self.boxes.panel_gaps::<F, L>(self.corners.0, self.corners.1, panel);
                let mut within = bounds.le(ceiling) & lanes_within(base, kids, kids_end);
                let mut small = 0;
                while within != 0 {
                    let lane = within.trailing_zeros() as usize;
                    within &= within - 1;
                    let kid = &groups[base + lane];
                    if at(kid.end) <= after || kid.first == kid.end {
                        continue;
                    }
                    if is_small(kid) {
                        small |= 1 << lane;
                    } else {
                        push(self.open, &mut depth, base + lane)?;
                    }
                }
                if small != 0 {
                    self.near[self.count] = [panel as u32, small]; // fits: the view checked the number of groups
                    self.count += 1;
                }
            }
        }
        Ok(())
    }

    /// The pairs of one row.
    #[inline(always)]
    fn row<L: Lanes>(&mut self, row: usize, query: &[T]) {
        let groups = self.view.parts().groups;
        let ceiling = <T::On<L>>::splat(self.metric.ceiling(self.radius));
        for place in 0..self.count {
            let [panel, small] = self.near[place];
            let base = panel as usize * T::LANES;
            let mut near = self.boxes.panel_gaps::<F, L>(query, query, panel as usize).le(ceiling) & small;
            while near != 0 {
                let group = &groups[base + near.trailing_zeros() as usize];
                near &= near - 1;
                let (first, end) = (at(group.first).max(row + 1), at(group.end));
                if first < end {
                    self.scan::<L>(row, query, first, end);
                }
            }
        }
    }

    /// The pairs of one row with the points at `from..to`.
    #[inline(always)]
    fn scan<L: Lanes>(&mut self, row: usize, query: &[T], from: usize, to: usize) {
        let top = self.metric.ceiling(self.radius);
        let ceiling = <T::On<L>>::splat(top);
        self.counters.runs += 1;
        self.counters.distance_evals += (to - from) as u64; // widens
        if query.len() <= FEW_DIMS {
            let mut start = from / T::LANES * T::LANES;
            while start < to {
                let (first, end) = (from.max(start), to.min(start + T::LANES));
                let values = self.metric.surrogate_panel::<L>(query, first, end, top);
                let mask = values.le(ceiling) & lanes_within(start, from, to);
                if mask != 0 {
                    let mut surrogates = [T::default(); 16];
                    values.store(&mut surrogates);
                    self.settle::<L>(row, query, start, mask, &surrogates[..T::LANES]);
                }
                start += T::LANES;
            }
            return;
        }
        // Several panels in step: the sums of one would wait for each other.
        let mut surrogates = [T::default(); CHUNK + 16];
        let mut first = from;
        while first < to {
            let base = first / T::LANES * T::LANES;
            let end = to.min(base + CHUNK);
            let len = run_len(T::LANES, first, end);
            self.metric.surrogates::<L>(query, first, end, top, &mut surrogates[..len]);
            for (panel, values) in surrogates[..len].chunks_exact(T::LANES).enumerate() {
                let start = base + panel * T::LANES;
                let mask = <T::On<L>>::load(values).le(ceiling) & lanes_within(start, first, end);
                if mask != 0 {
                    self.settle::<L>(row, query, start, mask, values);
                }
            }
            first = end;
        }
    }

    /// Writes those of the points of one panel whose bit is set in `mask` that are near enough by the formula.
    #[inline(always)]
    fn settle<L: Lanes>(&mut self, row: usize, query: &[T], start: usize, mut mask: u32, values: &[T]) {
        let ids = self.view.parts().ids;
        let mut distances = [0.0; 16];
        self.metric.distances::<L>(query, start, mask, values, &mut distances);
        self.counters.settled += u64::from(mask.count_ones());
        while mask != 0 {
            let lane = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            if distances[lane] <= self.radius {
                if let Some(out) = self.out.get_mut(self.found) {
                    *out = Conflict { distance: distances[lane], id: ids[row], other: ids[start + lane] };
                }
                self.found += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
