//! Neighbours among what comes before: the conditioning sets of a Vecchia approximation.

use super::search::{SearchCounters, search};
use super::visit::Visitor;
use super::{Group, Metric, TreeView};
use crate::arena::Arena;
use crate::error::{KernelError, want};
use crate::index::{Idx, at};
use crate::simd::{Lanes, Real, Tier};
use crate::topk::KBest;

/// An order of the points of a tree, with the earliest of each group.
///
/// A point comes before another if its rank is smaller. In the order of the ids the ranks *are* the
/// [`ids`](super::TreeParts::ids).
#[derive(Clone, Copy, Debug)]
pub struct Precedence<'a> {
    pub(super) ranks: &'a [Idx],
    earliest: &'a [Idx],
}

impl<'a> Precedence<'a> {
    /// An order of the points of `view`.
    ///
    /// | argument | shape |
    /// | --- | --- |
    /// | `ranks` | `[len]`: the rank of the point at each position |
    /// | `earliest` | `[groups]`: from [`earliest_ranks`], of the same ranks |
    ///
    /// An element of `earliest` that is too large loses neighbours, one that is too small costs time.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when a length does not fit.
    pub fn new(view: TreeView<'_>, ranks: &'a [Idx], earliest: &'a [Idx]) -> Result<Self, KernelError> {
        want("ranks", view.len(), ranks.len())?;
        want("earliest", view.parts().groups.len(), earliest.len())?;
        Ok(Self { ranks, earliest })
    }
}

/// Writes the least rank of the points of each group; [`Idx::MAX`] for a group without points.
///
/// | argument | shape |
/// | --- | --- |
/// | `view` | `len` points in `groups` groups |
/// | `ranks` | `[len]`: the rank of the point at each position |
/// | `earliest` | `[groups]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; nothing is written then.
///
/// # Cost
/// Reads each rank and each group once.
pub fn earliest_ranks(view: TreeView<'_>, ranks: &[Idx], earliest: &mut [Idx]) -> Result<(), KernelError> {
    let groups = view.parts().groups;
    want("ranks", view.len(), ranks.len())?;
    want("earliest", groups.len(), earliest.len())?;
    // The groups of a group stand behind it, so theirs are known by then.
    for (place, group) in groups.iter().enumerate().rev() {
        let own = ranks[at(group.first)..at(group.block)].iter();
        let below = earliest[at(group.kids)..at(group.kids_end)].iter();
        earliest[place] = own.chain(below).fold(Idx::MAX, |least, &rank| least.min(rank));
    }
    Ok(())
}

/// The `k` nearest of the points that come before a rank, by (distance, id).
#[derive(Debug)]
pub struct Earlier<'a, 'k> {
    ids: &'a [Idx],
    precedence: Precedence<'a>,
    before: Idx,
    best: KBest<'k>,
}

impl<'a, 'k> Earlier<'a, 'k> {
    /// Fills `best` with points of `view` whose rank is below `before`.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when `precedence` belongs to a tree of another size.
    pub fn new(
        view: TreeView<'a>,
        precedence: Precedence<'a>,
        before: Idx,
        best: KBest<'k>,
    ) -> Result<Self, KernelError> {
        let Precedence { ranks, earliest } = precedence;
        Ok(Self { ids: view.parts().ids, precedence: Precedence::new(view, ranks, earliest)?, before, best })
    }

    /// Sorts the answers; returns how many there are.
    pub fn finish(self) -> usize {
        self.best.finish()
    }

    /// [`finish`](Self::finish), on a tier.
    pub(super) fn finish_on(self, tier: Tier) -> usize {
        self.best.finish_on(tier)
    }
}

impl<R: Real> Visitor<R> for Earlier<'_, '_> {
    const BY_GROUP: bool = true;
    const NEAREST: bool = true;

    fn check(&self, len: usize) -> Result<(), KernelError> {
        want("ids", len, self.ids.len())
    }
    #[inline(always)]
    fn cap(&self) -> f64 {
        self.best.worst()
    }
    #[inline(always)]
    fn cap_in(&self, number: usize, _group: &Group) -> f64 {
        if self.precedence.earliest[number] < self.before { self.best.worst() } else { f64::NEG_INFINITY }
    }
    #[inline(always)]
    fn narrow<L: Lanes>(&self, start: usize, _surrogates: R::On<L>) -> u32 {
        let ranks = self.precedence.ranks[start..].iter().take(R::LANES);
        ranks.zip(0..).fold(0, |mask, (&rank, lane)| mask | u32::from(rank < self.before) << lane)
    }
    #[inline(always)]
    fn admits(&self, position: usize) -> bool {
        self.precedence.ranks[position] < self.before
    }
    #[inline(always)]
    fn nearest(&self) -> Option<usize> {
        Some(self.best.capacity())
    }
    #[inline(always)]
    fn offer(&mut self, position: usize, distance: f64) {
        self.best.offer(distance, self.ids[position]);
    }
}

/// The nearest points to one query among those whose rank is below `before`, by (distance, id), exactly as a brute force
/// by the published formula finds them. Groups without such a point are skipped.
///
/// | argument | shape |
/// | --- | --- |
/// | `view`, `metric` | the same number of points, in the same order |
/// | `query` | as the metric takes it |
/// | `precedence` | of the points of `view` |
/// | `before` | for the neighbours of a point among the earlier ones: its own rank |
/// | `distances`, `ids` | `[k]`, overwritten: ascending; padded with plus infinity and `NONE` |
/// | `arena` | [`search_blocks`](super::search_blocks) of the tree, given back |
///
/// Returns how many points were found, the smaller of `k` and the points of lower rank.
///
/// # Errors
/// [`KernelError::Least`] for `k = 0`, [`KernelError::Shape`] when the outputs differ in length or `precedence` belongs
/// to a tree of another size, [`KernelError::Scratch`] when the arena has fewer than
/// [`search_blocks`](super::search_blocks) blocks.
///
/// # Cost
/// As [`knn`](super::knn); for an early point of a random order the nearest earlier ones are far away, and correspondingly
/// more groups are looked at.
#[allow(clippy::too_many_arguments)] // inputs, outputs, scratch: the order that every entrance has
pub fn knn_before<M: Metric>(
    tier: Tier,
    view: TreeView<'_>,
    metric: &M,
    query: M::Query<'_>,
    precedence: Precedence<'_>,
    before: Idx,
    distances: &mut [f64],
    ids: &mut [Idx],
    arena: &mut Arena<'_>,
) -> Result<(usize, SearchCounters), KernelError> {
    let visitor = Earlier::new(view, precedence, before, KBest::new(distances, ids)?)?;
    let (visitor, counters) = search(tier, view, metric, query, visitor, &mut arena.scope())?;
    Ok((visitor.finish_on(tier), counters))
}
