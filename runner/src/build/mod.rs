//! Building a tree: batches, each searched against the tree so far, thinned by independent sets, and merged.

mod batches;
mod config;
mod conflict;
mod settle;
mod traverse;

pub use config::BuildConfig;

use std::ops::Range;

use covertree_kernels::index::{Idx, NONE, at, idx_len};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{TWIN, farthest};

use crate::parallel;
use crate::space::Space;
use crate::tree::{Ladder, Layout, Order, Runs, Shape, Tree, lay_out, preorder};
use crate::workers::Workers;

/// What the builder knows of each slot.
pub(crate) struct Placement {
    /// Level; `TWIN` for twins.
    pub levels: Vec<i32>,
    /// Parent slot.
    pub parents: Vec<Idx>,
    /// Distance to the parent.
    pub distances: Vec<f64>,
}

/// A tree with its points packed in its order.
pub(crate) struct Grown<S: Space> {
    pub tree: Tree,
    pub runs: Runs,
    pub packed: S::Packed,
}

/// Everything that stays the same over all batches.
pub(crate) struct Builder<'a, S: Space> {
    pub space: &'a S,
    pub config: &'a BuildConfig,
    pub tier: Tier,
    pub ladder: Ladder,
    pub workers: Workers,
}

/// Builds the tree over all points of a space, whose points it puts into an order of its own.
pub(crate) fn build<S: Space>(space: &mut S, config: &BuildConfig, tier: Tier) -> (Tree, S::Packed) {
    let len = idx_len(space.len()).expect("the points were counted when they were read");
    let rows = match space.curve(tier) {
        Some(order) => {
            space.reorder(&order);
            order
        }
        None => (0..len).collect(),
    };
    let batches = batches::plan(&rows, config);
    let Grown { mut tree, packed, .. } = build_slots(space, &batches, config, tier);
    tree.ids.iter_mut().for_each(|id| *id = rows[at(*id)]);
    (tree, packed)
}

/// Builds the tree whose ids are slots.
fn build_slots<S: Space>(space: &S, batches: &batches::Batches, config: &BuildConfig, tier: Tier) -> Grown<S> {
    let len = idx_len(space.len()).expect("counted by the caller");
    let Some(&root) = batches.members.first() else {
        let nothing = Shape { slots: &[], parents: &[], levels: &[] };
        let (tree, runs) = lay_out(&nothing, Ladder::new(config.base, 1.0), space, final_layout(space));
        let packed = space.pack(&tree, tier);
        return Grown { tree, runs, packed };
    };
    // The root covers everything on level 0: its farthest point sets the scale.
    let everything: Vec<Idx> = (0..len).collect();
    let packed = space.pack_slots(&everything);
    let farthest = {
        let kernel = space.kernel(&packed);
        farthest(tier, &kernel, space.query(at(root)), 0, at(len))
    };
    drop(packed);
    let scale = if farthest > 0.0 { farthest } else { 1.0 };
    let builder = Builder { space, config, tier, ladder: Ladder::new(config.base, scale), workers: Workers::new() };
    let mut placement =
        Placement { levels: vec![TWIN; at(len)], parents: vec![NONE; at(len)], distances: vec![0.0; at(len)] };
    placement.levels[at(root)] = 0;
    let mut slots = vec![root];
    let mut draft = builder.draft(&slots, &placement);
    for batch in batches.rest() {
        slots = merge(&slots, batch);
        draft = builder.insert(draft, &slots, batch, &mut placement);
    }
    if draft.tree.order == Order::Blocks {
        return draft;
    }
    drop(draft);
    let shape = Shape { slots: &slots, parents: &placement.parents, levels: &placement.levels };
    let mut grown = builder.grow(&shape, final_layout(space));
    builder.measure_apart(&mut grown.tree, &shape);
    grown
}

fn final_layout<S: Space>(space: &S) -> Layout {
    if space.order() == Order::Blocks { Layout::Blocks } else { Layout::CellsArranged }
}

/// Merges two ascending lists of slots.
fn merge(left: &[Idx], right: &[Idx]) -> Vec<Idx> {
    let mut out = Vec::with_capacity(left.len() + right.len());
    let (mut i, mut j) = (0, 0);
    while i < left.len() && j < right.len() {
        if left[i] < right[j] {
            out.push(left[i]);
            i += 1;
        } else {
            out.push(right[j]);
            j += 1;
        }
    }
    out.extend_from_slice(&left[i..]);
    out.extend_from_slice(&right[j..]);
    out
}

/// Nodes whose reach one task measures.
const NODES: usize = 256;

/// Subtrees above this size have their reach computed by several tasks.
const REACH_SPLIT: usize = 1 << 14;

impl<S: Space> Builder<'_, S> {
    /// Inserts a batch: traverse, find conflicts, settle them level by level, and lay the tree out anew.
    fn insert(&self, grown: Grown<S>, slots: &[Idx], batch: &[Idx], placement: &mut Placement) -> Grown<S> {
        self.traverse(&grown, batch, placement);
        drop(grown);
        let mut crowded = self.draft(slots, placement);
        let conflicts = self.conflicts(&crowded, batch, placement);
        if conflicts.is_empty() {
            return crowded;
        }
        if crowded.tree.order == Order::Cells {
            // Points lie where they lie, whatever their levels.
            self.settle(batch, conflicts, placement);
            crowded.tree.relevel(&placement.levels);
            return crowded;
        }
        drop(crowded);
        self.settle(batch, conflicts, placement);
        self.draft(slots, placement)
    }

    /// Lays out the tree of a batch, which only the builder searches: by cells in the order of the slots, which costs the
    /// least, where there are axes.
    fn draft(&self, slots: &[Idx], placement: &Placement) -> Grown<S> {
        let shape = Shape { slots, parents: &placement.parents, levels: &placement.levels };
        if self.space.order() == Order::Cells {
            return self.grow(&shape, Layout::CellsAsGiven);
        }
        let mut grown = self.grow(&shape, Layout::Blocks);
        self.measure(&mut grown);
        grown
    }

    /// Lays a tree out and packs its points, with boxes where groups have some.
    fn grow(&self, shape: &Shape<'_>, layout: Layout) -> Grown<S> {
        let (tree, runs) = lay_out(shape, self.ladder.clone(), self.space, layout);
        let packed = self.space.pack(&tree, self.tier);
        Grown { tree, runs, packed }
    }

    /// Measures the reach of each node of a tree in whose order descendants do not lie together: on a copy of the points in
    /// which they do.
    fn measure_apart(&self, tree: &mut Tree, shape: &Shape<'_>) {
        let (slots, Runs { firsts, ends }) = preorder(shape);
        let packed = self.space.pack_slots(&slots);
        let kernel = self.space.kernel(&packed);
        let mut measured = vec![0.0; slots.len()];
        parallel::chunks(&mut measured, NODES, &|chunk, measured| {
            for (node, out) in (chunk * NODES..).zip(measured) {
                *out = round_up(self.reach(&kernel, at(slots[node]), at(firsts[node])..at(ends[node])));
            }
        });
        let mut reaches = vec![0.0; shape.parents.len()];
        for (&slot, reach) in slots.iter().zip(measured) {
            reaches[at(slot)] = reach;
        }
        for (out, &slot) in tree.reaches.iter_mut().zip(&tree.ids[..]) {
            *out = reaches[at(slot)];
        }
    }

    /// Measures the reach of each node, and of each group from its center.
    fn measure(&self, grown: &mut Grown<S>) {
        let kernel = self.space.kernel(&grown.packed);
        let Tree { ids, reaches, groups, .. } = &mut grown.tree;
        let Runs { firsts, ends } = &grown.runs;
        parallel::chunks(reaches, NODES, &|chunk, reaches| {
            for (node, out) in (chunk * NODES..).zip(reaches) {
                *out = round_up(self.reach(&kernel, at(ids[node]), at(firsts[node])..at(ends[node])));
            }
        });
        // By blocks, a group is all that descends from its center.
        for group in groups.iter_mut() {
            group.reach = reaches[at(group.center)];
        }
    }

    /// The distance from the point of a slot to the farthest of a run.
    fn reach<'k>(&'k self, kernel: &S::Kernel<'k>, slot: usize, run: Range<usize>) -> f64 {
        if run.len() <= REACH_SPLIT {
            return farthest(self.tier, kernel, self.space.query(slot), run.start, run.end);
        }
        let parts = parallel::pieces(run.len(), REACH_SPLIT, &|part| {
            farthest(self.tier, kernel, self.space.query(slot), run.start + part.start, run.start + part.end)
        });
        parts.into_iter().fold(0.0, f64::max)
    }
}

/// Rounds to the next `f32` that is not below.
pub(crate) fn round_up(value: f64) -> f32 {
    let near = value as f32; // rounds to nearest; repaired below
    if f64::from(near) < value { near.next_up() } else { near }
}
