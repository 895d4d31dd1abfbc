//! The two searches that build a tree: who covers a new point, and which other new points it conflicts with.

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
                false if distance > 0.0 => self.ladder.radius(self.ladder.level_over(distance) - 1),
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
/// | `levels` | `[len]` |
/// | `out` | `[len rounded up to whole panels]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] unless `out` has that many elements.
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

/// Finds the new points on a higher level, or at a higher position on the same, that are too close to one new point: at
/// most the radius of its level. So each pair is found once, from its lower member.
///
/// It runs over a tree in which *all* new points already hang under the nodes that cover them, as if none were in the
/// way of another.
pub struct Conflicts<'a, 'o> {
    view: TreeView<'a>,
    /// `[len]`: whether the point at each position is new; no new node has descendants.
    fresh: &'a [u8],
    position: usize,
    level: i32,
    radius: f64,
    out: &'o mut [Conflict],
    found: usize,
}

impl<'a, 'o> Conflicts<'a, 'o> {
    /// The conflicts of the new point at `position`, to be written to the front of `out`.
    pub fn new(
        view: TreeView<'a>,
        ladder: Ladder<'a>,
        fresh: &'a [u8],
        position: usize,
        out: &'o mut [Conflict],
    ) -> Self {
        let level = view.parts().levels[position];
        Self { view, fresh, position, level, radius: ladder.radius(level), out, found: 0 }
    }

    /// How many conflicts there are; the first ones were written, as many as there was room for.
    pub fn found(&self) -> usize {
        self.found
    }
}

impl<R: Real> Visitor<R> for Conflicts<'_, '_> {
    const BY_GROUP: bool = true;

    #[inline(always)]
    fn cap(&self) -> f64 {
        self.radius
    }

    #[inline(always)]
    fn cap_in(&self, _number: usize, group: &Group) -> f64 {
        // What stands lower than this point, or before it on its level, looks for the conflict itself.
        let holds_any = group.top > self.level || (group.top == self.level && group.end as usize > self.position);
        if holds_any { self.radius } else { f64::NEG_INFINITY }
    }

    #[inline(always)]
    fn admits(&self, position: usize) -> bool {
        let level = self.view.parts().levels[position];
        self.fresh[position] != 0 && (level > self.level || (level == self.level && position > self.position))
    }

    #[inline(always)]
    fn offer(&mut self, position: usize, distance: f64) {
        if distance <= self.radius {
            let ids = self.view.parts().ids;
            if let Some(slot) = self.out.get_mut(self.found) {
                *slot = Conflict { distance, id: ids[self.position], other: ids[position] };
            }
            self.found += 1;
        }
    }
}
