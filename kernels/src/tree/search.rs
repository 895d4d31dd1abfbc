//! Search, nearest group first: what the traversals by balls, by boxes and best first share, and the entrances.

use super::best_first;
use super::by_balls::{self, Waiting};
use super::by_boxes::{self, FEW, Frames};
use super::shortlist::{Asked, SETTLED_BLOCKS, Shortlist, may_note, take_settled};
use super::visit::{Nearest, Visitor};
use super::{Group, Metric, TreeView, run_len};
use crate::arena::{Arena, blocks};
use crate::error::KernelError;
use crate::index::{Idx, idx_len};
use crate::simd::{Lanes, OnLanes, Real, Tier, Vector};
use crate::topk::KBest;

/// Positions that are looked at in one go: the size of the buffer of surrogates, less a panel for alignment.
pub(super) const CHUNK: usize = 128;

/// The root, which stands before all groups, as a group of its own.
pub(super) const ROOT: Group =
    Group { first: 0, block: 1, end: 1, kids: 0, kids_end: 0, center: 0, top: 0, reach: 0.0 };

/// Work done by traversals. Add-up-able; see [`merge`](Self::merge).
///
/// Each point is looked at and settled at most once for a query, and of a group that is pruned nothing is looked at: of one
/// query, `settled <= distance_evals <= points`, and of a tree with groups `groups + pruned` is at most their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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
    let waiting = places(waiting);
    let (stack, frames) = (blocks::<Waiting>(waiting), Frames::<f64>::blocks(waiting + FEW));
    Shortlist::<f64>::BLOCKS + SETTLED_BLOCKS + if stack > frames { stack } else { frames }
}

/// Groups that there must be room for, or frames that hold at least one each.
pub(super) const fn places(waiting: Idx) -> usize {
    (if waiting > 0 { waiting as usize } else { 0 }) + 1
}

/// One traversal: everything but what waits.
pub(super) struct Search<'a, 'm, 's, M: Metric, V> {
    pub view: TreeView<'a>,
    pub metric: &'m M,
    pub visitor: V,
    /// Where points are noted, if they are not settled one by one.
    pub shortlist: Option<Shortlist<'s, M::Real>>,
    /// What it settles with.
    pub distances: &'s mut [f64],
    pub counters: SearchCounters,
}

/// A traversal as a body to be run on a tier.
struct Descend<'a, 's, 'm, 'q, M: Metric, V> {
    search: Search<'a, 'm, 's, M, V>,
    query: M::Query<'q>,
    arena: Arena<'s>,
}

impl<M: Metric, V: Visitor<M::Real>> OnLanes for Descend<'_, '_, '_, '_, M, V> {
    type Out = Result<(V, SearchCounters), KernelError>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let Self { mut search, query, mut arena } = self;
        let places = places(search.view.parts().waiting);
        if search.metric.has_boxes() {
            let mut frames = Frames::take(&mut arena, places + FEW)?;
            // Where caps differ by group, groups are not comparable.
            if M::DEAR && !V::BY_GROUP {
                best_first::descend::<L, M, V>(&mut search, query, &mut frames)?;
            } else {
                by_boxes::descend::<L, M, V>(&mut search, query, &mut frames)?;
            }
        } else {
            let stack = arena.take::<Waiting>(places)?;
            by_balls::descend::<L, M, V>(&mut search, query, stack)?;
        }
        search.end::<L>(query);
        Ok((search.visitor, search.counters))
    }
}

impl<'s, M: Metric, V: Visitor<M::Real>> Search<'_, '_, 's, M, V> {
    /// The list where points are noted; the compiler sees where there can be none.
    #[inline(always)]
    fn shortlist(&self) -> Option<&Shortlist<'s, M::Real>> {
        if may_note::<M, V>() { self.shortlist.as_ref() } else { None }
    }

    /// No point whose surrogate is larger can matter any more, nor any that is farther than `limit`.
    #[inline(always)]
    pub fn ceiling(&self, limit: f64) -> M::Real {
        let Some(shortlist) = self.shortlist() else {
            return self.metric.ceiling(smaller(limit, self.visitor.cap()));
        };
        let ceiling = shortlist.ceiling();
        if limit < f64::INFINITY {
            let limit = self.metric.ceiling(limit);
            return if limit < ceiling { limit } else { ceiling };
        }
        ceiling
    }

    /// The cap for the points of one group.
    #[inline(always)]
    pub fn cap_in(&self, number: usize, group: &Group) -> f64 {
        let cap = self.visitor.cap_in(number, group);
        self.shortlist().map_or(cap, |shortlist| smaller(cap, shortlist.cap()))
    }

    /// Offers the points of one panel whose bit is set in `mask`, unless they are farther than `limit`; `values` are the panel's
    /// surrogates.
    #[inline(always)]
    pub fn settle<L: Lanes>(&mut self, query: M::Query<'_>, start: usize, mask: u32, values: &[M::Real], limit: f64) {
        if may_note::<M, V>()
            && let Some(shortlist) = &mut self.shortlist
        {
            let asked = &mut Asked { metric: self.metric, query, distances: self.distances };
            self.counters.settled += shortlist.add::<L, M, V>(asked, &mut self.visitor, (start, mask), values, 0.0);
            return;
        }
        self.counters.settled += u64::from(mask.count_ones());
        settle_panel::<L, M, V>((self.metric, query), &mut self.visitor, (start, mask), values, limit);
    }

    /// Settles what was only noted.
    #[inline(always)]
    fn end<L: Lanes>(&mut self, query: M::Query<'_>) {
        if may_note::<M, V>()
            && let Some(shortlist) = self.shortlist.take()
        {
            let asked = &mut Asked { metric: self.metric, query, distances: self.distances };
            self.counters.settled += shortlist.end::<L, M, V>(asked, &mut self.visitor);
        }
    }
}

/// Offers the points of the panel at `start` whose bit is set in `mask`, unless they are farther than `limit`; `values` are the
/// panel's surrogates.
#[inline(always)]
pub(super) fn settle_panel<L: Lanes, M: Metric, V: Visitor<M::Real>>(
    (metric, query): (&M, M::Query<'_>),
    visitor: &mut V,
    (start, mask): (usize, u32),
    values: &[M::Real],
    limit: f64,
) {
    let (mut distances, mut rest) = ([0.0; 16], mask);
    metric.distances::<L>(query, start, mask, values, &mut distances);
    while rest != 0 {
        let lane = rest.trailing_zeros() as usize;
        rest &= rest - 1;
        if distances[lane] <= smaller(limit, visitor.cap()) && visitor.admits(start + lane) {
            visitor.offer(start + lane, distances[lane]);
        }
    }
}

/// The lanes of the panel at `start` that lie in `from..to`, as a mask. The panel overlaps the run.
#[inline(always)]
pub(super) fn lanes_within(start: usize, from: usize, to: usize) -> u32 {
    let low = u32::MAX << from.saturating_sub(start);
    if to - start < 32 { low & ((1 << (to - start)) - 1) } else { low }
}

#[inline(always)]
pub(super) fn smaller(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// Runs a visitor over a tree; returns it with the work done.
///
/// | argument | shape |
/// | --- | --- |
/// | `view`, `metric` | the same number of points, in the same order; boxes, if any, around the groups of the view |
/// | `query` | as the metric takes it |
/// | `visitor` | what the points are for: see [`Visitor`] |
/// | `arena` | [`search_blocks`] of the tree, given back |
///
/// # Errors
/// [`KernelError::Shape`] when the query, the number of points, the [boxes](Metric::check_boxes) or the [visitor](Visitor::check) do not
/// [fit](Metric::check), [`KernelError::Value`] of `query` for a coordinate that is no number;
/// [`KernelError::Scratch`] when the arena has fewer than [`search_blocks`] blocks for the tree. [`KernelError::Value`] of `groups`,
/// at the first group of a group that has more of them than points in its block, as a tree by cells has, where the metric has no
/// boxes.
///
/// # Cost
/// A bound per group that is met, a surrogate per point of a group that the bound does not rule out, and a settled distance
/// for each of these points that its surrogate does not rule out.
pub fn search<M: Metric, V: Visitor<M::Real>>(
    tier: Tier,
    view: TreeView<'_>,
    metric: &M,
    query: M::Query<'_>,
    visitor: V,
    arena: &mut Arena<'_>,
) -> Result<(V, SearchCounters), KernelError> {
    metric.check(query, view.len())?;
    metric.check_boxes(view.parts().groups.len())?;
    visitor.check(view.len())?;
    let mut arena = arena.scope();
    let nearest = if V::NEAREST { visitor.nearest() } else { None };
    let shortlist = Shortlist::take::<M>(&mut arena, nearest)?;
    let distances = take_settled(&mut arena)?;
    let search = Search { view, metric, visitor, shortlist, distances, counters: SearchCounters::default() };
    tier.run(Descend { search, query, arena })
}

/// The nearest points to one query, by (distance, id), exactly as a brute force by the published formula finds them.
///
/// | argument | shape |
/// | --- | --- |
/// | `view`, `metric` | the same number of points, in the same order; boxes, if any, around the groups of the view |
/// | `query` | as the metric takes it |
/// | `except` | an id that is left out, or `NONE` |
/// | `distances`, `ids` | `[k]`, overwritten: ascending; padded with plus infinity and `NONE` |
/// | `arena` | [`search_blocks`] of the tree, given back |
///
/// Returns how many points were found, the smaller of `k` and the points that there are.
///
/// ```
/// use covertree_kernels::arena::{Arena, Block};
/// use covertree_kernels::dist::SquaredEuclidean;
/// use covertree_kernels::index::NONE;
/// use covertree_kernels::simd::Tier;
/// use covertree_kernels::tree::{Coordinates, Group, TreeParts, TreeView, knn, search_blocks};
/// use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
///
/// # fn main() -> Result<(), covertree_kernels::error::KernelError> {
/// // Three numbers; with radii 2^i, the first is the root, on level 3, and the others are its children on level 2.
/// let (rows, order) = ([0.0, 5.0, -6.0], [0, 1, 2]);
/// let children = [Group { first: 1, block: 3, end: 3, top: 2, reach: 6.0, ..Group::default() }];
/// let view = TreeView::new(TreeParts { ids: &order, levels: &[3, 2, 2], groups: &children, waiting: 1 })?;
///
/// let mut panels = vec![0.0; panels_len::<f64>(3, 1)];
/// pack_rows(Rows::new(&rows, 1)?, &order, &mut panels)?;
/// let metric = Coordinates::<f64, SquaredEuclidean>::new(Panels::new(&panels, 1, 3)?);
///
/// let mut memory = vec![Block::default(); search_blocks(1)];
/// let (mut distances, mut ids) = ([0.0; 2], [NONE; 2]);
/// let arena = &mut Arena::new(&mut memory);
/// let (found, _) = knn(Tier::detect(), view, &metric, &[1.5], NONE, &mut distances, &mut ids, arena)?;
/// assert_eq!((found, ids, distances), (2, [0, 1], [1.5, 3.5]));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`KernelError::Least`] for `k = 0`, [`KernelError::Shape`] when the outputs differ in length; otherwise as [`search`].
///
/// # Cost
/// Grows with the number of tree nodes whose ball meets the ball of the answer: logarithmic in the number of points for
/// a fixed expansion constant (Elkin and Kurlin 2023, theorem 7), linear where the dimension defeats every tree. Of coordinates,
/// up to 144 neighbours, a point that is among the nearest so far costs `k / 16` vector steps, and only about `k` distances are
/// settled, in the end; otherwise each such point is settled and kept in order.
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
    Ok((visitor.finish_on(tier), counters))
}

/// The largest distance of a run.
struct Farthest<'a, 'q, M: Metric> {
    metric: &'a M,
    query: M::Query<'q>,
    from: usize,
    to: usize,
}

impl<M: Metric> OnLanes for Farthest<'_, '_, M> {
    /// The distance, and how many were settled.
    type Out = (f64, u64);
    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let lanes = M::Real::LANES;
        let mut surrogates = [M::Real::default(); CHUNK + 16];
        let (mut largest, mut settled) = (0.0, 0);
        let mut from = self.from;
        while from < self.to {
            // Chunks end at panel borders, so that only the first and the last panel are cut.
            let to = self.to.min(from / lanes * lanes + CHUNK);
            let len = run_len(lanes, from, to);
            self.metric.surrogates::<L>(self.query, from, to, M::Real::INFINITY, &mut surrogates[..len]);
            let base = from / lanes * lanes;
            for (panel, values) in surrogates[..len].chunks_exact(lanes).enumerate() {
                let start = base + panel * lanes;
                // Surrogates only say which points may be farther than the farthest so far: the formula decides.
                let floor = <<M::Real as Real>::On<L>>::splat(self.metric.floor(largest));
                let mut mask = floor.le(<<M::Real as Real>::On<L>>::load(values)) & lanes_within(start, from, to);
                if mask == 0 {
                    continue;
                }
                settled += u64::from(mask.count_ones());
                let mut distances = [0.0; 16];
                self.metric.distances::<L>(self.query, start, mask, values, &mut distances);
                while mask != 0 {
                    let lane = mask.trailing_zeros() as usize;
                    mask &= mask - 1;
                    if distances[lane] > largest {
                        largest = distances[lane];
                    }
                }
            }
            from = to;
        }
        (largest, settled)
    }
}

/// The largest of the distances from `query` to the points at `from..to`, by the published formula, so it is the same on
/// every tier: the reach of a node whose strict descendants these are. Zero for an empty run.
///
/// | argument | shape |
/// | --- | --- |
/// | `metric` | over `len` points |
/// | `query` | as the metric takes it |
/// | `from`, `to` | `to <= len`, unless the run is empty |
///
/// Returns the work with it: one run of `to - from` points, and how many of their distances were settled.
///
/// # Errors
/// [`KernelError::Shape`] when the query does not [fit](Metric::check), [`KernelError::Key`] when the run ends behind the last
/// point: element 1 is `to`, and the limit the number of points.
///
/// # Cost
/// One surrogate per point, and a settled distance for each that may be farther than all before it.
pub fn farthest<M: Metric>(
    tier: Tier,
    metric: &M,
    query: M::Query<'_>,
    from: usize,
    to: usize,
) -> Result<(f64, SearchCounters), KernelError> {
    let len = metric.positions();
    metric.check(query, len)?;
    if from >= to {
        return Ok((0.0, SearchCounters::default()));
    }
    if to > len {
        return Err(KernelError::Key { at: 1, key: Idx::try_from(to).unwrap_or(Idx::MAX), limit: idx_len(len)? });
    }
    let (largest, settled) = tier.run(Farthest { metric, query, from, to });
    let distance_evals = (to - from) as u64; // widens
    Ok((largest, SearchCounters { runs: 1, distance_evals, settled, ..SearchCounters::default() }))
}
