//! The search that builds a tree: who covers a new point; and what pairs of new points are kept as.

use bytemuck::{Pod, Zeroable};

use super::ladder::Ladder;
use super::visit::Visitor;
use super::{Group, Metric, TWIN, TreeView};
use crate::error::{KernelError, want};
use crate::index::{Idx, NONE};
use crate::simd::{Lanes, Real, Vector};

/// Finds a node that covers a new point on the lowest level on which any does: a node `q` with `d <= r_j` and `l(q) >= j`
/// for the lowest possible `j`.
///
/// The point belongs on level `j - 1` then, with `q` as its parent: its cover set on level `j` holds `q`, and on every
/// lower level it is empty. Of several such nodes it is the first that the traversal meets, or the nearest, by (distance,
/// id). Over boxes the first is the same on every tier, and far cheaper to find: only what is nearer than the level
/// below is looked at any more. Over balls the way depends on how surrogates round, so that only the nearest is the
/// same everywhere.
#[derive(Debug)]
pub struct Covering<'a, R> {
    view: TreeView<'a>,
    /// `[whole panels]`: no point within the radius of the node at a position has a surrogate above.
    ceilings: &'a [R],
    ladder: Ladder<'a>,
    nearest: bool,
    cap: f64,
    distance: f64,
    position: Idx,
}

impl<'a, R: Real> Covering<'a, R> {
    /// Nothing found yet. With `nearest`, the nearest covering node is wanted, else the first. `ceilings` are those that
    /// [`cover_ceilings`] writes for the tree.
    ///
    /// # Errors
    /// [`KernelError::Shape`] unless there is a ceiling for each lane of the panels of the tree.
    pub fn new(view: TreeView<'a>, ladder: Ladder<'a>, ceilings: &'a [R], nearest: bool) -> Result<Self, KernelError> {
        want("ceilings", view.len().next_multiple_of(R::LANES), ceilings.len())?;
        Ok(Self { view, ceilings, ladder, nearest, cap: f64::INFINITY, distance: f64::INFINITY, position: NONE })
    }

    /// The position of the covering node and the distance to it; `None` when even the root does not cover the point.
    pub fn found(&self) -> Option<(Idx, f64)> {
        (self.position != NONE).then_some((self.position, self.distance))
    }
}

impl<R: Real> Visitor<R> for Covering<'_, R> {
    const BY_GROUP: bool = true;

    fn check(&self, len: usize) -> Result<(), KernelError> {
        want("ceilings", len.next_multiple_of(R::LANES), self.ceilings.len())
    }
    #[inline(always)]
    fn cap(&self) -> f64 {
        self.cap
    }

    #[inline(always)]
    fn cap_in(&self, _number: usize, group: &Group) -> f64 {
        // No node of the group covers farther than the radius of its highest level.
        let radius = self.ladder.radius(group.top);
        if radius < self.cap { radius } else { self.cap }
    }

    #[inline(always)]
    fn narrow<L: Lanes>(&self, start: usize, surrogates: R::On<L>) -> u32 {
        surrogates.le(<R::On<L>>::load(&self.ceilings[start..start + R::LANES]))
    }

    #[inline(always)]
    fn offer(&mut self, position: usize, distance: f64) {
        let parts = self.view.parts();
        let level = parts.levels[position];
        if level == TWIN || distance > self.ladder.radius(level) {
            return;
        }
        let before = distance < self.distance
            || (distance == self.distance
                && self.position != NONE
                && parts.ids[position] < parts.ids[self.position as usize]); // not NONE, so not negative
        if before || self.position == NONE {
            self.distance = distance;
            self.position = position as Idx; // a position fits: the view checked the length
            self.cap = match self.nearest {
                true => distance,
                false if distance > 0.0 => self.ladder.radius_under(distance),
                false => f64::NEG_INFINITY, // a twin: nothing is nearer
            };
        }
    }
}

/// Writes for each node a surrogate that no point within the radius of its level exceeds; for twins, and for the lanes
/// behind the last point, one that every point exceeds.
///
/// | argument | shape |
/// | --- | --- |
/// | `metric`, `ladder` | those of the tree |
/// | `levels` | `[len]`; [`TWIN`] for twins |
/// | `out` | `[len rounded up to whole panels]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] unless `out` has that many elements; it is then untouched.
///
/// # Cost
/// A look-up and a ceiling per node.
pub fn cover_ceilings<M: Metric>(
    metric: &M,
    ladder: Ladder<'_>,
    levels: &[i32],
    out: &mut [M::Real],
) -> Result<(), KernelError> {
    want("out", levels.len().next_multiple_of(M::Real::LANES), out.len())?;
    let nothing = metric.ceiling(f64::NEG_INFINITY);
    for (out, level) in out.iter_mut().zip(levels.iter().map(Some).chain(core::iter::repeat(None))) {
        *out = match level {
            Some(&level) if level != TWIN => metric.ceiling(ladder.radius(level)),
            _ => nothing,
        };
    }
    Ok(())
}

/// Two new points that cannot both stay where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Conflict {
    /// Their distance.
    pub distance: f64,
    /// The point that was searched for.
    pub id: Idx,
    /// The other one: on a higher level, or at a higher position on the same.
    pub other: Idx,
}
