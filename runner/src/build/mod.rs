//! Building a tree: all points at once, upward in nets, or in batches, each searched against the tree so far, thinned by
//! independent sets, and merged.
//!
//! | file | part |
//! | --- | --- |
//! | `config` | every setting, what they mean, what does not go together |
//! | `batches` | the order of insertion and the sizes of batches |
//! | `traverse` | where each point of a batch would stand if it were alone |
//! | `seek` | searches among the points of a batch, or of a tree |
//! | `sweep` | whether searches go through the tree, or over all of it |
//! | `crowd` | a batch while its conflicts are settled |
//! | `conflict` | the strategies that settle them |
//! | `independent` | maximal independent sets of their graphs |
//! | `nets` | all points at once: the bulk path |
//! | `update` | inserting into a tree, and deleting from it |
//! | `telemetry` | what was done and how long it took |
//!
//! What each strategy is good for is written in `STRATEGIES.md` beside this crate.

mod batches;
mod config;
mod conflict;
mod crowd;
mod estimate;
mod independent;
mod marks;
mod nets;
mod rivals;
mod seek;
mod sweep;
pub mod telemetry;
mod traverse;
mod update;

pub use config::{BatchOrder, BuildConfig, Conflict, MisForm, Prefix};
pub use telemetry::Telemetry;
pub(crate) use update::{Change, update};

use std::ops::Range;
use std::time::Instant;

use covertree_kernels::index::{Idx, NONE, at, idx_len};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{self as kernel, TWIN, farthest};

use crate::error::Error;
use crate::parallel;
use crate::space::Space;
use crate::tree::{Ladder, Order, Runs, Shape, Subtrees, Tree, cells, halve, lay_out};
use crate::workers::Workers;

use batches::{Batch, Schedule};
use conflict::{Choice, Crowding, choose, settle};
use crowd::Crowd;
use estimate::Work;
use seek::{Draft, Scene};
use telemetry::{BatchRow, timed};

/// What the builder knows of each slot.
pub(crate) struct Placement {
    /// Level; `TWIN` for twins.
    pub levels: Vec<i32>,
    /// Parent slot.
    pub parents: Vec<Idx>,
    /// Distance to the parent.
    pub distances: Vec<f64>,
}

impl Placement {
    /// Writes level, parent and distance of each of some ascending slots, which `of` gives for its number; says whether any level or
    /// parent is another than before.
    fn write(&mut self, ascending: &[Idx], of: &(dyn Fn(usize) -> (i32, Idx, f64) + Sync)) -> bool {
        let levels = parallel::parts(&mut self.levels, ascending, SLOTS);
        let parents = parallel::parts(&mut self.parents, ascending, SLOTS);
        let distances = parallel::parts(&mut self.distances, ascending, SLOTS);
        let mut parts: Vec<_> = levels.into_iter().zip(parents).zip(distances).collect();
        let moved = parallel::chunks(&mut parts, 1, &|task, parts| {
            let numbers = task * SLOTS..ascending.len().min((task + 1) * SLOTS);
            let (first, mut moved) = (at(ascending[numbers.start]), false);
            for ((levels, parents), distances) in parts {
                for number in numbers.clone() {
                    let (slot, (level, parent, distance)) = (at(ascending[number]) - first, of(number));
                    moved |= levels[slot] != level || parents[slot] != parent;
                    (levels[slot], parents[slot], distances[slot]) = (level, parent, distance);
                }
            }
            moved
        });
        moved.contains(&true)
    }

    /// Hangs a slot below the parent at this distance.
    fn hang(&mut self, slot: Idx, parent: Idx, distance: f64, ladder: kernel::Ladder<'_>) {
        let slot = at(slot);
        (self.parents[slot], self.distances[slot]) = (parent, distance);
        self.levels[slot] = level_below(distance, ladder);
    }
}

/// The highest level on which a point is covered from this distance.
fn level_below(distance: f64, ladder: kernel::Ladder<'_>) -> i32 {
    if distance > 0.0 { ladder.level_over(distance) - 1 } else { TWIN }
}

/// A tree with its points packed in its order.
pub(crate) struct Grown<S: Space> {
    pub tree: Tree,
    pub runs: Runs,
    pub packed: S::Packed,
}

/// A tree, its points, and how it came about.
pub(crate) type Built<S> = (Tree, <S as Space>::Packed, Telemetry);

/// Everything that stays the same over all batches.
pub(crate) struct Builder<'a, S: Space> {
    pub space: &'a S,
    pub config: &'a BuildConfig,
    pub tier: Tier,
    pub ladder: Ladder,
    pub workers: &'a Workers,
}

/// What changes from batch to batch.
struct Progress {
    placement: Placement,
    /// One place per slot, all `NONE` between batches.
    scratch: Vec<Idx>,
    telemetry: Telemetry,
}

/// Builds the tree over all points of a space, whose points it puts into an order of its own.
///
/// # Errors
/// [`Error::Usage`] for a configuration that no tree can have, that the space cannot have, or that would need more memory
/// than is sensible.
pub(crate) fn build<S: Space>(
    space: &mut S,
    config: &BuildConfig,
    tier: Tier,
    workers: &Workers,
) -> Result<Built<S>, Error> {
    let started = Instant::now();
    config.check()?;
    space.prepare();
    config.check_axes(space.axes())?;
    let nets = config.asks_for_nets(space.axes());
    if nets && space.lists_near_pairs() && !space.is_empty() {
        return nets::build(space, config, tier, workers);
    }
    if config.conflict == Conflict::Nets {
        let by_batches = BuildConfig { prefix: Prefix::Doubling, conflict: Conflict::Dense, ..config.clone() };
        let mut built = build(space, &by_batches, tier, workers)?;
        built
            .2
            .notes
            .push("conflict nets: these points have no boxes to join; dense was used instead, by batches".into());
        return Ok(built);
    }
    let len = idx_len(space.len()).expect("the points were counted when they were read");
    let rows = match space.curve(tier) {
        Some(order) => {
            space.reorder(&order);
            order
        }
        None => (0..len).collect(),
    };
    let morton = if config.batch_order == BatchOrder::Morton { space.morton(tier) } else { None };
    let mut schedule = Schedule::new(&rows, config, morton);
    let (grown, mut telemetry) = build_slots(space, &mut schedule, config, Work::Build, tier, workers)?;
    let Grown { mut tree, packed, .. } = grown;
    tree.ids.iter_mut().for_each(|id| *id = rows[at(*id)]);
    telemetry.build_s = started.elapsed().as_secs_f64();
    (telemetry.arena_bytes, telemetry.arena_growths) = (workers.bytes(), workers.growths());
    Ok((tree, packed, telemetry))
}

/// Builds the tree whose ids are slots.
fn build_slots<S: Space>(
    space: &S,
    schedule: &mut Schedule<'_>,
    config: &BuildConfig,
    work: Work,
    tier: Tier,
    workers: &Workers,
) -> Result<(Grown<S>, Telemetry), Error> {
    let len = idx_len(space.len()).expect("counted by the caller");
    let Some(root) = schedule.root() else {
        let nothing = Shape { slots: &[], parents: &[], levels: &[] };
        let (tree, runs) = lay_out(&nothing, Ladder::new(config.base, 1.0), space);
        let packed = space.pack(&tree, tier);
        return Ok((Grown { tree, runs, packed }, Telemetry::default()));
    };
    // The root covers everything on level 0: its farthest point sets the scale.
    let everything: Vec<Idx> = (0..len).collect();
    let packed = space.pack_slots(&everything);
    let farthest = reach(space, tier, &space.kernel(&packed), at(root), 0..at(len));
    drop(packed);
    let scale = if farthest > 0.0 { farthest } else { 1.0 };
    let builder = Builder { space, config, tier, ladder: Ladder::new(config.base, scale), workers };
    builder.refuse_quadratic(schedule, work)?;
    let mut placement =
        Placement { levels: vec![TWIN; at(len)], parents: vec![NONE; at(len)], distances: vec![0.0; at(len)] };
    placement.levels[at(root)] = 0;
    let progress = Progress { placement, scratch: vec![NONE; at(len)], telemetry: Telemetry::default() };
    let draft = builder.draft(&[root], &progress.placement);
    Ok(builder.insert_all(draft, vec![root], schedule, progress))
}

/// Merges two ascending lists of slots, no slot being in both: runs of the longer one, with what falls between them.
fn merge(left: &[Idx], right: &[Idx]) -> Vec<Idx> {
    let (long, short) = if left.len() < right.len() { (right, left) } else { (left, right) };
    let mut merged = vec![0 as Idx; long.len() + short.len()];
    let (mut rest, mut start) = (&mut merged[..], 0);
    let mut tasks = Vec::with_capacity(long.len().div_ceil(SLOTS));
    for (number, run) in long.chunks(SLOTS).enumerate() {
        let end = match long.get((number + 1) * SLOTS) {
            Some(next) => short.partition_point(|slot| slot < next),
            None => short.len(),
        };
        let (out, others) = rest.split_at_mut(run.len() + end - start);
        tasks.push((run, &short[start..end], out));
        (rest, start) = (others, end);
    }
    parallel::chunks(&mut tasks, 1, &|_, tasks| {
        for (left, right, out) in tasks {
            let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
            for out in out.iter_mut() {
                let next = left.next_if(|slot| right.peek().is_none_or(|other| slot < other)).or_else(|| right.next());
                *out = *next.expect("as many as there are in both");
            }
        }
    });
    merged
}

/// Slots that one task writes.
const SLOTS: usize = 1 << 12;

/// Nodes whose reach one task measures.
const NODES: usize = 256;

/// Points among which one task looks for the farthest.
const REACH_SPLIT: usize = 1 << 14;

impl<S: Space> Builder<'_, S> {
    /// Inserts everything that is scheduled into the tree over `slots`, ascending, one of which is its root.
    fn insert_all(
        &self,
        mut draft: Grown<S>,
        mut slots: Vec<Idx>,
        schedule: &mut Schedule<'_>,
        mut progress: Progress,
    ) -> (Grown<S>, Telemetry) {
        progress.telemetry.notes = self.notes();
        let mut rho = 0.0;
        while let Some(batch) = schedule.next(rho) {
            let batch = Batch::new(batch);
            slots = merge(&slots, &batch.ascending);
            draft = self.insert(draft, &slots, &batch, &mut progress);
            let row = progress.telemetry.batches.last_mut().expect("each batch has a row");
            row.prefix_factor = schedule.factor;
            rho = row.rho;
        }
        let Progress { placement, telemetry, .. } = progress;
        if draft.tree.order == Order::Cells {
            // Until now nobody asked how far its nodes reach.
            let shape = Shape { slots: &slots, parents: &placement.parents, levels: &placement.levels };
            self.measure_apart(&mut draft.tree, &shape);
        }
        (draft, telemetry)
    }

    /// Inserts a batch, given all slots: traverse, settle the conflicts, and lay the tree out anew.
    fn insert(&self, grown: Grown<S>, slots: &[Idx], batch: &Batch, progress: &mut Progress) -> Grown<S> {
        let len = batch.slots.len();
        let mut row = BatchRow {
            batch_index: progress.telemetry.batches.len(),
            batch_size: len,
            coverage_ratio: 1.0,
            ..BatchRow::default()
        };
        let (mut traversal_ms, mut insert_ms) = (0.0, 0.0);
        let deferred = timed(&mut traversal_ms, || match self.chain() {
            None => {
                row.distance_evals += self.traverse(&grown, batch, &mut progress.placement);
                Vec::new()
            }
            Some(chain) => self.traverse_chains(&grown, &batch.slots, chain, &mut progress.placement, &mut row),
        });
        // Traversals that were cut short go on in the tree as it was.
        let before = deferred.contains(&true).then_some(grown);
        let scene = timed(&mut insert_ms, || self.scene(slots, &batch.ascending, &progress.placement));
        let crowding = Crowding::new(&batch.ascending, &progress.placement.parents);
        row.conflict_scope_groups_unique = crowding.parents;
        let conflicts = || self.share_of_conflicts(&batch.slots, &progress.placement) * len as f64;
        let mut choice = choose(self.config, self.space.axes(), &crowding, conflicts);
        let beyond = crowding.siblings * len as f64 > self.config.graph_limit(len) as f64;
        if choice.makes_a_graph() && beyond && self.is_quadratic(&batch.slots, &progress.placement) {
            choice = Choice::without_graph(self.space.axes());
            progress.telemetry.without_graph(row.batch_index, choice.name());
        }
        row.traversal_ms = traversal_ms;
        let (mut row, moved) = self.settle((&scene, before), choice, batch, deferred, row, progress);
        let grown = match scene.tree.order == Order::Blocks && !moved {
            true => scene,
            false => {
                drop(scene);
                timed(&mut insert_ms, || self.draft(slots, &progress.placement))
            }
        };
        row.insert_ms = insert_ms;
        (row.arena_bytes, row.arena_growths) = (self.workers.bytes(), self.workers.growths());
        row.read_memory();
        progress.telemetry.batches.push(row);
        grown
    }

    /// What the conflicts of a batch are searched in: its points alone, which by doubling are half of all or fewer. By blocks a tree needs
    /// the parents, and so it is the whole tree, as if no point were in another's way.
    fn scene(&self, slots: &[Idx], batch: &[Idx], placement: &Placement) -> Grown<S> {
        if self.space.order() == Order::Blocks {
            return self.draft(slots, placement);
        }
        let mut batch = batch.to_vec();
        halve::arrange(self.space, &mut batch[1..]);
        let level = |slot: Idx| placement.levels[at(slot)];
        let tree = cells::over(&batch, level, self.space.scanned(), self.ladder.clone());
        let packed = self.space.pack(&tree, self.tier);
        Grown { tree, runs: Runs::default(), packed }
    }

    /// Settles the conflicts of a batch, given what they are searched in, and the tree as it was where traversals were cut short; says
    /// whether any point moved.
    fn settle(
        &self,
        (scene, before): (&Grown<S>, Option<Grown<S>>),
        choice: Choice,
        batch: &Batch,
        deferred: Vec<bool>,
        row: BatchRow,
        progress: &mut Progress,
    ) -> (BatchRow, bool) {
        let scene = Draft { builder: self, grown: scene };
        let before = before.as_ref().map(|grown| Draft { builder: self, grown });
        let before = before.as_ref().map(|draft| draft as &dyn Scene);
        let mut crowd = Crowd::new(self.config, self.ladder.view(), (&scene, before), batch, &mut progress.scratch);
        crowd.load(&progress.placement, deferred, row);
        let settled_by = settle(&mut crowd, choice);
        crowd.close();
        let moved = crowd.store(&mut progress.placement);
        let Crowd { row, rows, .. } = crowd;
        progress.telemetry.levels.extend(rows);
        if settled_by != choice {
            progress.telemetry.without_graph(row.batch_index, settled_by.name());
        }
        parallel::scatter(&mut progress.scratch, &batch.ascending, &|_| NONE);
        (row, moved)
    }

    /// Lays out the tree over some slots and packs its points, with boxes where groups have some; by blocks, balls are measured.
    fn draft(&self, slots: &[Idx], placement: &Placement) -> Grown<S> {
        let shape = Shape { slots, parents: &placement.parents, levels: &placement.levels };
        let (tree, runs) = lay_out(&shape, self.ladder.clone(), self.space);
        let packed = self.space.pack(&tree, self.tier);
        let mut grown = Grown { tree, runs, packed };
        if grown.tree.order == Order::Blocks {
            self.measure(&mut grown);
        }
        grown
    }

    /// Measures the reach of each node of a tree in whose order descendants do not lie together: on a copy of the points in
    /// which they do.
    fn measure_apart(&self, tree: &mut Tree, shape: &Shape<'_>) {
        let subtrees = Subtrees::new(shape);
        let packed = self.space.pack_slots(&subtrees.slots);
        let kernel = self.space.kernel(&packed);
        let Tree { ids, reaches, .. } = tree;
        parallel::chunks(reaches, NODES, &|chunk, reaches| {
            for (out, &slot) in reaches.iter_mut().zip(&ids[chunk * NODES..]) {
                *out = round_up(reach(self.space, self.tier, &kernel, at(slot), subtrees.below(slot)));
            }
        });
    }

    /// Measures the reach of each node, and of each group from its center.
    fn measure(&self, grown: &mut Grown<S>) {
        let kernel = self.space.kernel(&grown.packed);
        let Tree { ids, reaches, groups, .. } = &mut grown.tree;
        let Runs { firsts, ends } = &grown.runs;
        parallel::chunks(reaches, NODES, &|chunk, reaches| {
            for (node, out) in (chunk * NODES..).zip(reaches) {
                *out = round_up(reach(self.space, self.tier, &kernel, at(ids[node]), at(firsts[node])..at(ends[node])));
            }
        });
        // By blocks, a group is all that descends from its center.
        for group in groups.iter_mut() {
            group.reach = reaches[at(group.center)];
        }
    }
}

/// The distance from the point of a slot to the farthest of a run of points, which several tasks look for where it is long.
fn reach<'k, S: Space>(space: &'k S, tier: Tier, kernel: &S::Kernel<'k>, slot: usize, run: Range<usize>) -> f64 {
    let farthest =
        |from, to| farthest(tier, kernel, space.query(slot), from, to).expect("the run is one of the packed points").0;
    if run.len() <= REACH_SPLIT {
        return farthest(run.start, run.end);
    }
    let parts =
        parallel::pieces(run.len(), REACH_SPLIT, &|part| farthest(run.start + part.start, run.start + part.end));
    parts.into_iter().fold(0.0, f64::max)
}

/// Rounds to the next `f32` that is not below.
pub(crate) fn round_up(value: f64) -> f32 {
    let near = value as f32; // rounds to nearest; repaired below
    if f64::from(near) < value { near.next_up() } else { near }
}

#[cfg(test)]
mod tests;
