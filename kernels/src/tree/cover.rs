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

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::arena::{Arena, Block};
    use crate::dist::SquaredEuclidean;
    use crate::simd::Tier;
    use crate::tree::promises::{pack, uniform};
    use crate::tree::{Coordinates, TreeParts, search, search_blocks};
    use crate::view::Panels;

    const LEN: usize = 150;
    const RADII: [f64; 5] = [0.0625, 0.125, 0.25, 0.5, 1.0];

    /// Every node that covers the query, as (level that it covers on, distance, position), best first.
    fn covers(rows: &[f32], levels: &[i32], ladder: Ladder<'_>, query: &[f32]) -> Vec<(i32, f64, usize)> {
        let mut all = Vec::new();
        for (position, (row, &level)) in rows.chunks_exact(2).zip(levels).enumerate() {
            let gaps = row.iter().zip(query).map(|(x, q)| f64::from(*q) - f64::from(*x));
            let distance = libm::sqrt(gaps.fold(0.0, |sum, gap| sum + gap * gap));
            if level != TWIN && distance <= ladder.radius(level) {
                all.push((ladder.level_over(distance), distance, position));
            }
        }
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        all
    }

    /// Levels as a tree would not have them: only the search is looked at.
    #[test]
    fn a_covering_node_of_the_lowest_level_is_found() {
        let ladder = Ladder::new(&RADII, -4).unwrap();
        let rows: Vec<f32> = (0..2 * LEN).map(|at| uniform(3, at) as f32).collect();
        let levels: Vec<i32> = (0..LEN).map(|at| if at % 7 == 3 { TWIN } else { -((at * at) as i32 % 6) }).collect();
        let ids: Vec<Idx> = (0..LEN as Idx).collect();
        let packed = pack(&rows, 2);
        let metric = Coordinates::<f32, SquaredEuclidean>::new(Panels::new(&packed, 2, LEN).unwrap());
        let group = Group { first: 1, block: LEN as Idx, end: LEN as Idx, reach: f32::INFINITY, ..Group::default() };
        let parts = TreeParts { ids: &ids, levels: &levels, groups: &[group], waiting: 1 };
        let view = TreeView::new(parts).unwrap();
        let mut ceilings = vec![-7.0; LEN.next_multiple_of(16)];
        cover_ceilings(&metric, ladder, &levels, &mut ceilings).unwrap();
        for (position, &level) in levels.iter().enumerate() {
            let want = if level == TWIN { -1.0 } else { metric.ceiling(ladder.radius(level)) };
            assert_eq!(ceilings[position], want);
        }
        assert!(ceilings[LEN..].iter().all(|&ceiling| ceiling == -1.0));
        let short = cover_ceilings(&metric, ladder, &levels, &mut ceilings[1..]);
        assert!(
            matches!(short, Err(KernelError::Shape { .. }))
                && Covering::new(view, ladder, &ceilings[1..], true).is_err()
        );
        let mut memory = vec![Block::default(); search_blocks(1)];
        for query in 0..200 {
            let query = [uniform(4, 2 * query) as f32 * 1.4, uniform(4, 2 * query + 1) as f32];
            let want = covers(&rows, &levels, ladder, &query);
            for (tier, nearest) in Tier::all().flat_map(|tier| [(tier, true), (tier, false)]) {
                let visitor = Covering::new(view, ladder, &ceilings, nearest).unwrap();
                let (visitor, _) =
                    search(tier, view, &metric, &query[..], visitor, &mut Arena::new(&mut memory)).unwrap();
                let found = visitor.found().map(|(position, distance)| (distance, position as usize));
                let Some(&(level, distance, position)) = want.first() else {
                    assert_eq!(found, None);
                    continue;
                };
                let found = found.unwrap();
                if nearest {
                    let nearest = want.iter().min_by(|a, b| (a.1, a.2).partial_cmp(&(b.1, b.2)).unwrap()).unwrap();
                    assert_eq!((distance, position), (nearest.1, nearest.2));
                    assert_eq!(found, (nearest.1, nearest.2), "{tier}");
                }
                assert!(want.iter().any(|&(on, far, place)| on == level && (far, place) == found), "{tier}");
            }
        }
    }
}
