//! The compressed cover tree as borrowed slices, and the search over it.
//!
//! # The tree
//! One node per distinct point. A node `p` has a level `l(p)` of any sign; with a base `b` and `r_i = scale * b^i`:
//!
//! - *cover*: `d(p, parent(p)) <= r_{l(p) + 1}` and `l(p) < l(parent(p))`;
//! - *separation*: points of level `i` or above are pairwise more than `r_i` apart;
//! - *nesting* is implicit: a node stands on every level up to `l(p)`.
//!
//! Points at computed distance 0 of a node hang on it as *twins*: children of level [`TWIN`] without descendants.
//! Sources: Elkin and Kurlin, *A new near-linear time algorithm for k-nearest neighbor search using a compressed cover
//! tree* (ICML 2023); Gu, Napier, Sun and Wang, *Parallel Cover Trees and their Applications* (SPAA 2022).
//!
//! # What is asked
//! `x_i` is the point at position `i`, `d` the published formula of the [`Metric`], in `f64`:
//!
//! ```text
//! knn, knn_panel, scan   the k least pairs (d(q, x_i), ids[i]), in their order; without one id that is left out
//! knn_before             the same over the i with ranks[i] < before
//! search for Within      all i with d(q, x_i) <= radius; other visitors decide for themselves
//! near_pairs             all i < j with d(x_i, x_j) <= radius and i among the rows that are asked for
//! farthest               max of d(q, x_i) over from <= i < to
//! box_of_run             min and max of each coordinate of x_i over from <= i < to
//! ```
//!
//! Each kernel answers exactly as a loop over all points by the formula does, on every tier: `scalar` (feature `oracle`) holds
//! those loops. How much of the work the groups and the surrogates saved is told by [`SearchCounters`] and [`ScanCounters`].
//!
//! | what all of them share | shape |
//! | --- | --- |
//! | [`TreeParts::ids`], [`TreeParts::levels`] | `[len]`, by position |
//! | [`TreeParts::groups`] | `[groups]`, each before its own groups |
//! | points of [`Coordinates`], [`Angular`], [`Haversine`] | panels `[dim][LANES]`, by position |
//! | [`Boxes`] | panels `[2 * axes][LANES]`, one box per group |
//! | a query | `[dim]`; an [`Item`]; a [`PivotItem`] |
//! | scratch | as many blocks as the function `.._blocks` beside a kernel says for the tree |
//!
//! # The order of storage
//! Every array of points is indexed by *position*; the root has position 0. There are two orders, and a traversal works
//! on both:
//!
//! - *by blocks*: the strict descendants of a node lie together: first the block of its children, those that have
//!   descendants before those that have none, then the strict descendants of the first child, of the second, and so on.
//!   The children are one tile, so their distances bound their subtrees by balls.
//! - *by cells*: behind the root, points that are neighbours in space are neighbours in the order, as in the leaves of a
//!   kd-tree, whatever their parents. Subtrees of a cover tree overlap by about their radius; cells do not, so that
//!   boxes around runs of positions are tight. Only for metrics of few coordinates; distances to a few pivots serve as such.
//!
//! ```text
//! position   0 | 1  2  3 | 4  5 | 6  7  8 | ...
//! by blocks  r | a  b  c | children of a  | strict descendants of b ...
//! by cells   r | the points of one cell   | those of the next ...
//! ```
//!
//! # What the search walks on
//! A [`Group`] is a run of positions that is searched or skipped as one. A group of few points is scanned from end to
//! end. A larger one is, by blocks, the strict descendants of a node: its block of children is scanned. Its other
//! points are partitioned by groups of its own, which wait for their turn; by cells that is all of them, in groups of
//! neighbouring cells.
//!
//! # Cost and measured rate
//! A search grows with the logarithm of the number of points and exponentially with their intrinsic dimension. One thread of an
//! AMD EPYC (Zen 4) with AVX-512: the 8 nearest of 32,768 uniform points in three dimensions take [`knn`] 2.2 us a query (2.8 on the
//! portable tier, 28 by tiles of brute force) and [`knn_panel`] 0.45, all points within 0.04 take [`search`] 0.55 us, all on a tree made
//! by hand. [`scan`] looks at 2.3 G pairs/s in 8 dimensions, 0.58 in 64 and 0.118 in 384. [`near_pairs`] takes 0.19 us a point. What trees of the builder give: `benches/peers/RESULTS.md`.
//! `cargo bench -p covertree-benches --bench tree`, `--bench scan`, `--bench sphere`, `--bench items`.

mod best_first;
mod boxes;
mod by_balls;
mod by_boxes;
mod coordinates;
mod cover;
mod earlier;
mod items;
mod ladder;
mod metric;
mod near_pairs;
mod panel;
mod pivots;
#[cfg(test)]
pub(crate) mod promises;
#[cfg(any(test, feature = "oracle"))]
pub mod scalar;
mod scan;
mod search;
mod shortlist;
mod sphere;
pub mod stored;
mod visit;

pub use boxes::{Boxes, box_of_run};
pub use coordinates::Coordinates;
pub use cover::{Conflict, Covering, cover_ceilings};
pub use earlier::{Earlier, Precedence, earliest_ranks, knn_before};
pub use items::{Item, Items, Slack, Witness};
pub use ladder::Ladder;
pub use metric::{Metric, run_len};
pub use near_pairs::{near_pairs, near_pairs_blocks};
pub use panel::{knn_panel, knn_panel_blocks};
pub use pivots::{PIVOTS_MAX, PivotItem, PivotItems, PivotScale, Remotest, pivots_worth_having};
pub use scan::{SCAN_QUERIES, ScanCounters, scan, scan_blocks, sweep};
pub use search::{SearchCounters, farthest, knn, search, search_blocks};
pub use sphere::{Angular, HAVERSINE_WIDTH, Haversine, haversine_row, unit_row};
pub use visit::{Nearest, Visitor, Within};

use bytemuck::{Pod, Zeroable};

use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};

/// Level of a twin: a point at computed distance 0 from its parent.
pub const TWIN: i32 = i32::MIN;

/// A run of positions that is searched or skipped as one; see the [module](self).
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Group {
    /// First position.
    pub first: Idx,
    /// One past the block of children; equal to `end` where the whole run is scanned.
    pub block: Idx,
    /// One past the last position.
    pub end: Idx,
    /// The first of its groups.
    pub kids: Idx,
    /// One past the last of its groups; they partition `block..end`.
    pub kids_end: Idx,
    /// By blocks, the position of the node whose strict descendants these are; by cells, the first position.
    pub center: Idx,
    /// The highest level in the run.
    pub top: i32,
    /// An upper bound of the distances from the center to the run; by cells, infinite.
    pub reach: f32,
}

/// The arrays of a tree; see the [module](self) for their meaning. Plain data: [`TreeView::new`] checks it.
#[derive(Clone, Copy, Debug)]
pub struct TreeParts<'a> {
    /// `[len]`: what the user calls the point at each position, usually its row number.
    pub ids: &'a [Idx],
    /// `[len]`: levels; [`TWIN`] for twins.
    pub levels: &'a [i32],
    /// The groups; the first one holds everything but the root, and each stands before its own groups.
    pub groups: &'a [Group],
    /// Most groups that a depth-first traversal ever has waiting.
    pub waiting: Idx,
}

/// A checked, borrowed tree: safe to search whatever its origin.
#[derive(Clone, Copy, Debug)]
pub struct TreeView<'a> {
    parts: TreeParts<'a>,
}

impl<'a> TreeView<'a> {
    /// Checks that the arrays fit together and that the groups partition the points at every depth, so that a traversal
    /// visits each point once and ends.
    ///
    /// Levels, reaches and distances are taken on trust (a wrong reach makes wrong answers, never a crash).
    ///
    /// # Errors
    /// [`KernelError::Shape`], [`KernelError::TooLong`]; [`KernelError::Value`] naming `ids` and the first one that is negative, or
    /// `groups` and the first one that breaks the order.
    ///
    /// # Cost
    /// Reads the ids once and the groups twice; no scratch.
    pub fn new(parts: TreeParts<'a>) -> Result<Self, KernelError> {
        let len = parts.ids.len();
        idx_len(len)?;
        idx_len(parts.groups.len())?;
        want("levels", len, parts.levels.len())?;
        if let Some(at) = parts.ids.iter().position(|&id| id < 0) {
            return Err(KernelError::Value { what: "ids", at });
        }
        if len == 0 {
            want("groups", 0, parts.groups.len())?;
            return Ok(Self { parts });
        }
        let view = Self { parts };
        match view.first_wrong_group(len) {
            Some(place) => Err(KernelError::Value { what: "groups", at: place }),
            None => Ok(view),
        }
    }

    /// A view of arrays that [`new`](Self::new) has accepted before and that have not changed since, without reading them
    /// again: for a caller that keeps the arrays and makes a view for each call.
    ///
    /// With any other arrays a search may panic, leave points out, or go on for ever; it reads and writes nothing but
    /// what it was handed.
    pub fn accepted(parts: TreeParts<'a>) -> Self {
        Self { parts }
    }

    fn first_wrong_group(&self, len: usize) -> Option<usize> {
        let groups = self.parts.groups;
        let inside = |value: Idx, limit: usize| usize::try_from(value).is_ok_and(|value| value <= limit);
        let in_range = |group: &Group| {
            inside(group.end, len)
                && 1 <= group.first
                && group.first <= group.block
                && group.block <= group.end
                && inside(group.kids_end, groups.len())
                && 0 <= group.kids
                && group.kids <= group.kids_end
                && 0 <= group.center
                && group.center <= group.first
                && group.reach >= 0.0
        };
        if let Some(place) = groups.iter().position(|group| !in_range(group)) {
            return Some(place);
        }
        match groups.first() {
            Some(root) if root.first == 1 && at(root.end) == len && root.center == 0 => {}
            _ => return Some(0),
        }
        // Kids stand in order, right behind those of the groups before, so that each group is a kid once.
        let mut next_kid = 1;
        for (place, group) in groups.iter().enumerate() {
            let mut next = group.block;
            if group.kids < group.kids_end {
                if at(group.kids) != next_kid || at(group.kids) <= place {
                    return Some(place);
                }
                next_kid = at(group.kids_end);
                for kid in &groups[at(group.kids)..at(group.kids_end)] {
                    if kid.first != next {
                        return Some(place);
                    }
                    next = kid.end;
                }
            }
            if next != group.end {
                return Some(place);
            }
        }
        (next_kid != groups.len()).then_some(0)
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.parts.ids.len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.parts.ids.is_empty()
    }

    /// The arrays.
    pub fn parts(&self) -> TreeParts<'a> {
        self.parts
    }
}

#[cfg(test)]
mod tests;
