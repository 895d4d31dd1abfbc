//! Where each point of a batch would stand if it were alone.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::index::{Idx, at};
use covertree_kernels::simd::Real;
use covertree_kernels::tree::{
    Covering, Ladder, Metric, SCAN_QUERIES, TWIN, TreeView, Visitor, cover_ceilings, farthest, search, search_blocks,
};

use super::batches::Batch;
use super::marks::Marks;
use super::seek::{Draft, Goal, Query, Scene, even_shards};
use super::telemetry::BatchRow;
use super::{Builder, Grown, Placement, level_below};
use crate::parallel;
use crate::space::Space;
use crate::tree::{Order, Tree};

/// Points that one task searches for.
const CHUNK: usize = 256;

/// Nodes that one task finds ceilings for: whole panels.
const CEILINGS: usize = 1 << 12;

impl<'k, S: Space> Builder<'k, S> {
    /// Gives each point of the batch a node that covers it, and the level below the lowest on which any does. Returns how
    /// many distances that took.
    pub(super) fn traverse(&self, grown: &Grown<S>, batch: &Batch, placement: &mut Placement) -> u64 {
        // Along the slots, which for points with coordinates is along a curve: searches that follow each other are alike.
        let slots = &batch.ascending;
        let kernel = self.space.kernel(&grown.packed);
        let ceilings = self.ceilings(&kernel, &grown.tree);
        let view = grown.tree.view();
        let ladder = self.ladder.view();
        let nearest = grown.tree.order == Order::Blocks;
        let covers = Covers { builder: self, view, ladder, kernel: &kernel, ceilings: &ceilings, nearest };
        let mut found = vec![(0 as Idx, 0.0f64); slots.len()];
        let blocks = search_blocks(grown.tree.waiting);
        self.workers.reserve(blocks);
        let work = |place: usize| self.workers.with(blocks, |memory| covers.search(batch.slots[place], memory).1);
        let evals = if self.sweeps(grown.tree.len(), slots.len(), &work) {
            let levels = &grown.tree.levels;
            let root = (0..levels.len()).max_by_key(|&place| levels[place]).expect("a tree has a root");
            let blocks = self.space.sweep_blocks();
            self.workers.reserve(blocks);
            parallel::chunks(&mut found, SCAN_QUERIES, &|chunk, found| {
                let slots = &slots[chunk * SCAN_QUERIES..][..found.len()];
                self.workers.with(blocks, |memory| covers.sweep(root, slots, memory, found))
            })
        } else {
            parallel::chunks(&mut found, CHUNK, &|chunk, found| {
                self.workers.with(blocks, |memory| {
                    let mut evals = 0;
                    for (found, &slot) in found.iter_mut().zip(&slots[chunk * CHUNK..]) {
                        let (cover, work) = covers.search(slot, memory);
                        (*found, evals) = (cover, evals + work);
                    }
                    evals
                })
            })
        };
        placement.write(slots, &|number| {
            let (position, distance) = found[number];
            (level_below(distance, ladder), grown.tree.ids[at(position)], distance)
        });
        evals.into_iter().sum()
    }

    /// The root as what covers a slot, and its distance: it covers everything. A search finds nothing only under a function that
    /// is no metric, whose bounds may rule out the root itself.
    fn by_root(&self, view: TreeView<'_>, kernel: &S::Kernel<'k>, slot: Idx) -> (Idx, f64) {
        let levels = view.parts().levels;
        let root = (0..levels.len()).max_by_key(|&place| levels[place]).unwrap_or(0);
        let run = farthest(self.tier, kernel, self.space.query(at(slot)), root, root + 1);
        (root as Idx, run.expect("the root is one of the tree's points").0) // a position
    }

    /// For each node a surrogate that no point which it covers exceeds.
    fn ceilings<M: Metric + Sync>(&self, kernel: &M, tree: &Tree) -> Vec<M::Real> {
        let mut ceilings = vec![Default::default(); tree.len().next_multiple_of(<M::Real as Real>::LANES)];
        parallel::chunks(&mut ceilings, CEILINGS, &|chunk, out| {
            let first = chunk * CEILINGS;
            let levels = &tree.levels[first..tree.len().min(first + CEILINGS)];
            cover_ceilings(kernel, self.ladder.view(), levels, out).expect("whole panels");
        });
        ceilings
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
        let (mut deferred, mut covered) = (vec![false; batch.len()], vec![false; batch.len()]);
        let mut place = 0;
        for cover in found.all {
            // What was found of a point comes before the mark that there may be more.
            place += batch[place..].iter().position(|&slot| slot == cover.id).expect("in the order of the batch");
            if cover.distance == f64::INFINITY {
                // A twin has nothing nearer.
                deferred[place] = placement.levels[at(cover.id)] != TWIN;
                continue;
            }
            covered[place] = true;
            placement.hang(cover.id, cover.other, cover.distance, ladder);
        }
        for (&slot, _) in batch.iter().zip(covered).filter(|(_, covered)| !covered) {
            let kernel = self.space.kernel(&grown.packed);
            let (position, distance) = self.by_root(grown.tree.view(), &kernel, slot);
            placement.hang(slot, grown.tree.ids[at(position)], distance, ladder);
        }
        row.chains_deferred = deferred.iter().filter(|&&deferred| deferred).count() as u64;
        deferred
    }
}

/// The nodes that may cover the points of a batch.
struct Covers<'a, 'k, S: Space + 'k> {
    builder: &'a Builder<'k, S>,
    view: TreeView<'a>,
    ladder: Ladder<'a>,
    kernel: &'a S::Kernel<'k>,
    ceilings: &'a [<S::Kernel<'k> as Metric>::Real],
    /// Whether a search is for the nearest covering node rather than the first.
    nearest: bool,
}

impl<'k, S: Space> Covers<'_, 'k, S> {
    fn visitor(&self, nearest: bool) -> Covering<'_, <S::Kernel<'k> as Metric>::Real> {
        Covering::new(self.view, self.ladder, self.ceilings, nearest).expect("sized for this tree")
    }

    /// The position of a node that covers a slot, and the distance to it; and how many distances that took.
    fn search(&self, slot: Idx, memory: &mut [Block]) -> ((Idx, f64), u64) {
        let visitor = self.visitor(self.nearest);
        let query = self.builder.space.query(at(slot));
        let (visitor, counters) =
            search(self.builder.tier, self.view, self.kernel, query, visitor, &mut Arena::new(memory))
                .expect("the memory was sized for this tree");
        (visitor.found().unwrap_or_else(|| self.builder.by_root(self.view, self.kernel, slot)), counters.distance_evals)
    }

    /// The same by brute force, for a block of slots: the nearest nodes of those that cover them on the lowest level, given the
    /// position of the root.
    fn sweep(&self, root: usize, slots: &[Idx], memory: &mut [Block], found: &mut [(Idx, f64)]) -> u64 {
        let builder = self.builder;
        // Begun with the root, which covers everything, visitors know how far they have to look.
        let begun = |&slot: &Idx| {
            let mut visitor = self.visitor(true);
            let run = farthest(builder.tier, self.kernel, builder.space.query(at(slot)), root, root + 1);
            visitor.offer(root, run.expect("the root is one of the tree's points").0);
            visitor
        };
        let mut visitors: Vec<_> = slots.iter().map(begun).collect();
        let evals = builder.space.sweep(builder.tier, self.kernel, slots, &mut visitors, &mut Arena::new(memory));
        for ((visitor, found), &slot) in visitors.iter().zip(found).zip(slots) {
            *found = visitor.found().unwrap_or_else(|| builder.by_root(self.view, self.kernel, slot));
        }
        evals
    }
}
