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
//! # The order of storage
//! Every array is indexed by *position*. The root has position 0. The strict descendants of a node lie together, at
//! `firsts[p]..ends[p]`: first the block of its children, then the strict descendants of the first child, of the second,
//! and so on. In a block, children that have descendants come before those that have none.
//!
//! ```text
//! position   0 | 1  2  3 | 4  5 | 6  7  8 | ...
//!            r | a  b  c | children of a  | strict descendants of b ...
//! ```
//!
//! So the children of a node are one tile, and so is a whole small subtree; each point is stored once.

mod coordinates;
mod cover;
mod ladder;
mod metric;
mod search;
mod visit;

pub use coordinates::Coordinates;
pub use cover::{Conflict, Conflicts, Covering};
pub use ladder::Ladder;
pub use metric::{Metric, run_len};
pub use search::{SearchCounters, farthest, knn, search, search_blocks};
pub use visit::{Nearest, Visitor, Within};

use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};

/// Level of a twin: a point at computed distance 0 from its parent.
pub const TWIN: i32 = i32::MIN;

/// The arrays of a tree; see the [module](self) for their meaning. Plain data: [`TreeView::new`] checks it.
#[derive(Clone, Copy, Debug)]
pub struct TreeParts<'a> {
    /// `[len]`: what the user calls the point at each position, usually its row number.
    pub ids: &'a [Idx],
    /// `[len]`: levels; [`TWIN`] for twins.
    pub levels: &'a [i32],
    /// `[len]`: position of the first strict descendant.
    pub firsts: &'a [Idx],
    /// `[len]`: one past the position of the last strict descendant; equal to the first where there is none.
    pub ends: &'a [Idx],
    /// `[len]`: an upper bound of the distance to every descendant; 0 where there is none.
    pub reaches: &'a [f32],
    /// Most nodes that a depth-first traversal ever has waiting.
    pub waiting: Idx,
}

/// A checked, borrowed tree: safe to search whatever its origin.
#[derive(Clone, Copy, Debug)]
pub struct TreeView<'a> {
    parts: TreeParts<'a>,
}

impl<'a> TreeView<'a> {
    /// Checks that the arrays have one length and that children partition the strict descendants of each node.
    ///
    /// Levels, reaches and distances are taken on trust (a wrong reach makes wrong answers, never a crash).
    ///
    /// # Errors
    /// [`KernelError::Shape`], [`KernelError::TooLong`]; [`KernelError::Value`] naming `firsts`, `ends` or `reaches` and
    /// the position that breaks the order of storage.
    ///
    /// # Cost
    /// Reads `firsts` and `ends` twice, `reaches` once; no scratch.
    pub fn new(parts: TreeParts<'a>) -> Result<Self, KernelError> {
        let len = parts.ids.len();
        idx_len(len)?;
        want("levels", len, parts.levels.len())?;
        want("firsts", len, parts.firsts.len())?;
        want("ends", len, parts.ends.len())?;
        want("reaches", len, parts.reaches.len())?;
        let view = Self { parts };
        if len > 0 {
            view.check_order(len)?;
        }
        match parts.reaches.iter().position(|reach| !(*reach >= 0.0)) {
            Some(place) => Err(KernelError::Value { what: "reaches", at: place }),
            None => Ok(view),
        }
    }

    /// The root spans everything, and each node's descendants are its block of children followed by theirs, in order.
    fn check_order(&self, len: usize) -> Result<(), KernelError> {
        let wrong = |what, at| Err(KernelError::Value { what, at });
        let in_range = |value: Idx| usize::try_from(value).is_ok_and(|value| value <= len);
        for place in 0..len {
            if !in_range(self.parts.firsts[place]) {
                return wrong("firsts", place);
            }
            if !in_range(self.parts.ends[place]) || self.parts.ends[place] < self.parts.firsts[place] {
                return wrong("ends", place);
            }
        }
        if self.descendants(0) != (1.min(len), len) {
            return wrong("firsts", 0);
        }
        let mut children = 0;
        for node in 0..len {
            let (first, end) = self.descendants(node);
            if first == end {
                continue;
            }
            let block = self.block_end(node);
            if first <= node || block <= first || block > end {
                return wrong("firsts", node);
            }
            children += block - first;
            if children >= len {
                return wrong("ends", node); // every point but the root is a child once
            }
            let mut next = block;
            let mut inner = true;
            for child in first..block {
                let (child_first, child_end) = self.descendants(child);
                inner &= child_first < child_end;
                if inner {
                    if child_first != next {
                        return wrong("firsts", child);
                    }
                    next = child_end;
                } else if child_first < child_end {
                    return wrong("firsts", child); // a leaf stands before it
                }
            }
            if next != end {
                return wrong("ends", node);
            }
        }
        if children + 1 != len { wrong("ends", 0) } else { Ok(()) }
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

    /// The positions of the strict descendants, `first..end`.
    #[inline(always)]
    pub fn descendants(&self, node: usize) -> (usize, usize) {
        (at(self.parts.firsts[node]), at(self.parts.ends[node]))
    }

    /// One past the last child of a node that has descendants: where its first child's descendants begin, if it has
    /// any (then it stands first), else the end of the node's own.
    #[inline(always)]
    pub fn block_end(&self, node: usize) -> usize {
        let (first, end) = self.descendants(node);
        let (child_first, child_end) = self.descendants(first);
        if child_first < child_end { child_first } else { end }
    }
}

#[cfg(test)]
mod tests;
