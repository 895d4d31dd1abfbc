//! Where each point of a batch would stand if it were alone.

use covertree_kernels::arena::Arena;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::simd::Real;
use covertree_kernels::tree::{Covering, Metric, TWIN, cover_ceilings, search, search_blocks};

use super::{Builder, Grown, Placement};
use crate::parallel;
use crate::space::Space;
use crate::tree::Order;

/// Points that one task searches for.
const CHUNK: usize = 256;

/// Nodes that one task finds ceilings for: whole panels.
const CEILINGS: usize = 1 << 12;

impl<S: Space> Builder<'_, S> {
    /// Gives each point of the batch the nearest node that covers it, and the level below the lowest on which it does.
    pub(super) fn traverse(&self, grown: &Grown<S>, batch: &[Idx], placement: &mut Placement) {
        let kernel = self.space.kernel(&grown.packed);
        let view = grown.tree.view();
        let nearest = grown.tree.order == Order::Blocks;
        let ladder = self.ladder.view();
        let lanes = <<S::Kernel<'_> as Metric>::Real as Real>::LANES;
        let mut ceilings = vec![Default::default(); grown.tree.len().next_multiple_of(lanes)];
        let levels = &grown.tree.levels;
        parallel::chunks(&mut ceilings, CEILINGS, &|chunk, out| {
            let first = chunk * CEILINGS;
            let levels = &levels[first..levels.len().min(first + CEILINGS)];
            cover_ceilings(&kernel, ladder, levels, out).expect("whole panels");
        });
        let mut found = vec![(0 as Idx, 0.0f64); batch.len()];
        parallel::chunks(&mut found, CHUNK, &|chunk, found| {
            self.workers.with(search_blocks(grown.tree.waiting), |memory| {
                for (found, &slot) in found.iter_mut().zip(&batch[chunk * CHUNK..]) {
                    let visitor = Covering::new(view, ladder, &ceilings, nearest).expect("sized for this tree");
                    let (visitor, _) =
                        search(self.tier, view, &kernel, self.space.query(at(slot)), visitor, &mut Arena::new(memory))
                            .expect("the memory was sized for this tree");
                    *found = visitor.found().expect("the root covers every point");
                }
            });
        });
        for (&slot, (position, distance)) in batch.iter().zip(found) {
            let slot = at(slot);
            placement.parents[slot] = grown.tree.ids[at(position)];
            placement.distances[slot] = distance;
            placement.levels[slot] = if distance > 0.0 { ladder.level_over(distance) - 1 } else { TWIN };
        }
    }
}
