//! Points under a metric, as the builder and the queries see them.
//!
//! | file | points |
//! | --- | --- |
//! | `rows` | rows of coordinates under Euclidean, Manhattan or Chebyshev distance, and any other metric over panels |
//! | `packed` | the rows in the order of a tree, with the boxes of its groups |
//! | `sphere` | directions and places: the angle, the great-circle distance |
//! | `items` | anything under a closure |
//! | `pivots` | coordinates for what has none: distances to a few far items |
//! | `projected` | rows of many coordinates, with their projection onto a few axes ahead of them |
//! | `prepare` | how points and queries become what a metric stores: precision and scaling, chosen at run time |

mod items;
mod packed;
mod pivots;
mod prepare;
mod projected;
mod rows;
mod sphere;

pub use covertree_kernels::tree::{PivotItem, Slack};
pub use items::{ItemSpace, PackedItems};
pub use packed::PackedPoints;
pub(crate) use prepare::SINGLE_SQUARES;
pub use prepare::{Preparation, Scaling};
pub use projected::{Projected, RowQueries};
pub(crate) use rows::boxed;
pub use rows::{Ahead, ByForm, Chebyshev, Euclidean, KnnPanel, Manhattan, PanelMetric, QueryIsRow, RowSpace, Scan};
pub use sphere::{Angular, Haversine};

use std::ops::Range;

use covertree_kernels::arena::Arena;
use covertree_kernels::index::Idx;
use covertree_kernels::simd::Tier;
use covertree_kernels::tree as kernel;

use crate::error::Error;
use crate::tree::{Order, Tree};

/// Points that a tree is built over. A *slot* is a place in the order in which the builder keeps them.
pub trait Space: Sync {
    /// The points in the order of a tree.
    type Packed: Send + Sync;
    /// The kernel metric over packed points.
    type Kernel<'a>: kernel::Metric + Send + Sync
    where
        Self: 'a;
    /// Number of points.
    fn len(&self) -> usize;
    /// Whether there are no points.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Called once before a tree is built or taken over; until then, only how many points there are is asked.
    fn prepare(&mut self) {}
    /// The points along a space-filling curve; `None` where there is none, and the given order has to do.
    fn curve(&self, tier: Tier) -> Option<Vec<Idx>>;
    /// The slots along the Morton curve; `None` where there is none.
    fn morton(&self, tier: Tier) -> Option<Vec<Idx>> {
        let _ = tier;
        None
    }
    /// Puts the point of slot `order[i]` into slot `i`.
    fn reorder(&mut self, order: &[Idx]);
    /// The order of storage that suits the metric.
    fn order(&self) -> Order;
    /// Number of axes along which points are arranged; none where there are no coordinates.
    fn axes(&self) -> usize {
        0
    }
    /// Most points of a group that is scanned from end to end, in the order by cells. The more axes, the more of the
    /// neighbouring boxes a query meets, and the less it pays to tell them apart.
    fn scanned(&self) -> usize {
        match self.axes() {
            0..=4 => 40,
            5..=6 => 64,
            _ => 96,
        }
    }
    /// Coordinate of the point of a slot on one of the [axes](Self::axes).
    fn coordinate(&self, slot: usize, axis: usize) -> f64 {
        let _ = (slot, axis);
        0.0
    }
    /// Whether [`near_pairs`](Self::near_pairs) can be asked for.
    fn lists_near_pairs(&self) -> bool {
        false
    }
    /// Blocks of scratch that [`near_pairs`](Self::near_pairs) takes.
    fn near_pairs_blocks(&self, tree: &Tree) -> usize {
        let _ = tree;
        0
    }
    /// Lists the pairs of some points of a tree with later ones, as [`kernel::near_pairs`] does; returns how many there are, and
    /// how many distances that took.
    fn near_pairs(&self, near: &NearIn<'_, Self>, out: &mut [kernel::Conflict], arena: &mut Arena<'_>) -> (usize, u64)
    where
        Self: Sized,
    {
        let _ = (near, out, arena);
        (0, 0)
    }
    /// Whether [`sweep`](Self::sweep) can be asked for.
    fn sweeps(&self) -> bool {
        false
    }
    /// Blocks of scratch that [`sweep`](Self::sweep) takes.
    fn sweep_blocks(&self) -> usize {
        0
    }
    /// Runs a visitor for each of at most [`kernel::SCAN_QUERIES`] slots over all points of a kernel metric by brute force, as
    /// [`kernel::sweep`] does; returns how many distances that took.
    fn sweep<'k, V: kernel::Visitor<<Self::Kernel<'k> as kernel::Metric>::Real>>(
        &'k self,
        tier: Tier,
        kernel: &Self::Kernel<'k>,
        slots: &[Idx],
        visitors: &mut [V],
        arena: &mut Arena<'_>,
    ) -> u64 {
        let _ = (tier, kernel, slots, visitors, arena);
        0
    }
    /// Packs the points of a tree whose ids are slots.
    fn pack(&self, tree: &Tree, tier: Tier) -> Self::Packed;
    /// The kernel metric over packed points.
    fn kernel<'a>(&'a self, packed: &'a Self::Packed) -> Self::Kernel<'a>;
    /// Packs the points of these slots, without boxes.
    fn pack_slots(&self, slots: &[Idx]) -> Self::Packed;
    /// The point of a slot as a query.
    fn query<'a>(&'a self, slot: usize) -> <Self::Kernel<'a> as kernel::Metric>::Query<'a>;
    /// How many distances were none that a metric gives, so far.
    fn wrong(&self) -> u64 {
        0
    }
    /// Says whether all distances were such as a metric gives since [`wrong`](Self::wrong) was `since`; asked after a build and after
    /// queries. What runs at the same time counts too: nobody takes an answer for good because another was told what is wrong.
    ///
    /// # Errors
    /// [`Error::NotAMetric`] naming a pair of rows. What was built or found in between means nothing then.
    fn check(&self, since: u64) -> Result<(), Error> {
        let _ = since;
        Ok(())
    }
}

/// Which near pairs are asked for.
#[derive(Debug)]
pub struct NearIn<'a, S: Space> {
    /// Vector instructions.
    pub tier: Tier,
    /// The tree, by cells.
    pub view: kernel::TreeView<'a>,
    /// Its points.
    pub packed: &'a S::Packed,
    /// Positions of the points that are searched for.
    pub rows: Range<usize>,
    /// How near.
    pub radius: f64,
}

#[cfg(test)]
pub(crate) mod tests;
