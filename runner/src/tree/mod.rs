//! The tree as the runner owns it.

pub(crate) mod cells;
pub mod file;
#[cfg(test)]
pub(crate) mod fixtures;
pub(crate) mod halve;
mod ladder;
mod layout;
mod storage;
mod subtrees;
pub mod validate;

pub use ladder::Ladder;
pub use layout::Order;
pub(crate) use layout::{Runs, Shape, lay_out};
pub use storage::Storage;
pub(crate) use subtrees::Subtrees;

use covertree_kernels::index::Idx;
use covertree_kernels::tree::{Group, TreeParts, TreeView};

/// A compressed cover tree: structure of arrays, indexed by position (see `covertree_kernels::tree`).
#[derive(Clone, Debug)]
pub struct Tree {
    pub(crate) ids: Storage<Idx>,
    pub(crate) levels: Storage<i32>,
    pub(crate) parents: Storage<Idx>,
    pub(crate) reaches: Storage<f32>,
    pub(crate) groups: Storage<Group>,
    pub(crate) waiting: Idx,
    pub(crate) order: Order,
    pub(crate) ladder: Ladder,
}

impl Tree {
    /// Number of points.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The arrays, borrowed.
    pub fn parts(&self) -> TreeParts<'_> {
        TreeParts { ids: &self.ids, levels: &self.levels, groups: &self.groups, waiting: self.waiting }
    }

    /// The tree as the kernels search it. Costs nothing: the builder keeps the order of storage, and whoever reads a tree
    /// checks it.
    pub fn view(&self) -> TreeView<'_> {
        debug_assert!(TreeView::new(self.parts()).is_ok(), "the layout keeps the order of storage");
        TreeView::accepted(self.parts())
    }

    /// Row number of the point at each position.
    pub fn ids(&self) -> &[Idx] {
        &self.ids
    }

    /// Level of the point at each position.
    pub fn levels(&self) -> &[i32] {
        &self.levels
    }

    /// Position of the parent of the point at each position; the root's is -1.
    pub fn parents(&self) -> &[Idx] {
        &self.parents
    }

    /// Upper bound of the distances from the point at each position to its descendants.
    pub fn reaches(&self) -> &[f32] {
        &self.reaches
    }

    /// The order of storage.
    pub fn order(&self) -> Order {
        self.order
    }

    /// The radii of the levels.
    pub fn ladder(&self) -> &Ladder {
        &self.ladder
    }
}
