//! The two searches that build a tree: who covers a new point, and which other new points it conflicts with.

use bytemuck::{Pod, Zeroable};

use super::ladder::Ladder;
use super::visit::Visitor;
use super::{Group, TWIN, TreeView};
use crate::index::{Idx, NONE};

/// Finds the nearest node that covers a new point on some level: among the nodes `q` with `d <= r_{l(q)}` the one with
/// the smallest (distance, id).
///
/// The new point is then covered on the lowest level `j` with `r_j >= d`, and on none below, so it belongs on level
/// `j - 1` with `q` as its parent: its cover set on level `j` holds `q`, and on every lower level it is empty.
pub struct Covering<'a> {
    view: TreeView<'a>,
    ladder: Ladder<'a>,
    distance: f64,
    position: Idx,
}

impl<'a> Covering<'a> {
    /// Nothing found yet.
    pub fn new(view: TreeView<'a>, ladder: Ladder<'a>) -> Self {
        Self { view, ladder, distance: f64::INFINITY, position: NONE }
    }

    /// The position of the covering node and the distance to it; `None` when even the root does not cover the point.
    pub fn found(&self) -> Option<(Idx, f64)> {
        (self.position != NONE).then_some((self.position, self.distance))
    }
}

impl Visitor for Covering<'_> {
    const BY_GROUP: bool = true;

    #[inline(always)]
    fn cap(&self) -> f64 {
        self.distance
    }

    #[inline(always)]
    fn cap_in(&self, _number: usize, group: &Group) -> f64 {
        // No node of the group covers farther than the radius of its highest level.
        let radius = self.ladder.radius(group.top);
        if radius < self.distance { radius } else { self.distance }
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
        }
    }
}

/// Two new points that cannot both stay where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Conflict {
    /// Their distance.
    pub distance: f64,
    /// The point that was searched for.
    pub id: Idx,
    /// The other one, on the same level or a higher one.
    pub other: Idx,
}

/// Finds the new points on the same level or above that are too close to one new point: at most the radius of its level.
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

impl Visitor for Conflicts<'_, '_> {
    const BY_GROUP: bool = true;

    #[inline(always)]
    fn cap(&self) -> f64 {
        self.radius
    }

    #[inline(always)]
    fn cap_in(&self, _number: usize, group: &Group) -> f64 {
        // What stands lower than this point looks for the conflict itself.
        if group.top >= self.level { self.radius } else { f64::NEG_INFINITY }
    }

    #[inline(always)]
    fn admits(&self, position: usize) -> bool {
        self.fresh[position] != 0 && self.view.parts().levels[position] >= self.level && position != self.position
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
