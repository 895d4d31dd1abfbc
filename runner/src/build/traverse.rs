//! Where each point of a batch would stand if it were alone.

use covertree_kernels::arena::Arena;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::simd::Real;
use covertree_kernels::tree::{Covering, Metric, TWIN, cover_ceilings, search, search_blocks};

use super::seek::{Draft, Goal, Marks, Query, Scene, even_shards};
use super::telemetry::BatchRow;
use super::{Builder, Grown, Placement};
use crate::parallel;
use crate::space::Space;
use crate::tree::Order;

/// Points that one task searches for.
const CHUNK: usize = 256;

/// Nodes that one task finds ceilings for: whole panels.
const CEILINGS: usize = 1 << 12;

impl<S: Space> Builder<'_, S> {
    /// Gives each point of the batch a node that covers it, and the level below the lowest on which any does. Returns how
    /// many distances that took.
    pub(super) fn traverse(&self, grown: &Grown<S>, batch: &[Idx], placement: &mut Placement) -> u64 {
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
        self.workers.reserve(search_blocks(grown.tree.waiting));
        let evals = parallel::chunks(&mut found, CHUNK, &|chunk, found| {
            self.workers.with(search_blocks(grown.tree.waiting), |memory| {
                let mut evals = 0;
                for (found, &slot) in found.iter_mut().zip(&batch[chunk * CHUNK..]) {
                    let visitor = Covering::new(view, ladder, &ceilings, nearest).expect("sized for this tree");
                    let (visitor, counters) =
                        search(self.tier, view, &kernel, self.space.query(at(slot)), visitor, &mut Arena::new(memory))
                            .expect("the memory was sized for this tree");
                    *found = visitor.found().expect("the root covers every point");
                    evals += counters.distance_evals;
                }
                evals
            })
        });
        for (&slot, (position, distance)) in batch.iter().zip(found) {
            let slot = at(slot);
            placement.parents[slot] = grown.tree.ids[at(position)];
            placement.distances[slot] = distance;
            placement.levels[slot] = if distance > 0.0 { ladder.level_over(distance) - 1 } else { TWIN };
        }
        evals.into_iter().sum()
    }

    /// The same with a cap on the covering nodes that are found, each nearer than the last: a point is then given a level
    /// that may be too high. Says which traversals were cut short.
    pub(super) fn traverse_chains(
        &self,
        grown: &Grown<S>,
        batch: &[Idx],
        chain: u64,
        placement: &mut Placement,
        row: &mut BatchRow,
    ) -> Vec<bool> {
        let ladder = self.ladder.view();
        let query = |&slot: &Idx| Query { slot, position: usize::MAX, level: 0, radius: f64::INFINITY };
        let queries: Vec<Query> = batch.iter().map(query).collect();
        let marks = Marks::of(&grown.tree, vec![1; grown.tree.len()]);
        let scene = Draft { builder: self, grown };
        let found = scene.seek(&marks, &queries, &even_shards(queries.len()), Goal::Cover { chain }, usize::MAX);
        row.distance_evals += found.evals;
        let mut deferred = vec![false; batch.len()];
        let mut place = 0;
        for cover in found.all {
            // What was found of a point comes before the mark that there may be more.
            place += batch[place..].iter().position(|&slot| slot == cover.id).expect("in the order of the batch");
            let slot = at(cover.id);
            if cover.distance == f64::INFINITY {
                // A twin has nothing nearer.
                deferred[place] = placement.levels[slot] != TWIN;
                continue;
            }
            placement.parents[slot] = cover.other;
            placement.distances[slot] = cover.distance;
            placement.levels[slot] = if cover.distance > 0.0 { ladder.level_over(cover.distance) - 1 } else { TWIN };
        }
        row.chains_deferred = deferred.iter().filter(|&&deferred| deferred).count() as u64;
        deferred
    }
}
