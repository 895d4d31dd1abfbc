//! Inserting into a tree that is there already, and deleting from it.
//!
//! An insertion is a build that goes on: batches of new points, behind a root that is raised first if one of them is farther
//! from it than it covers.
//!
//! A deletion runs bottom-up. What hung on deleted points is orphaned, with all that hangs on it. On each level, from
//! the lowest with orphans on, an orphan that a node of a higher level covers hangs there now. Of the others, an independent
//! set is promoted to the next level, where they are orphans again, and covers the rest: without a graph, for in many dimensions
//! all children of a root are in each other's way. Without any node left above, the last orphan is the new root. Twins of
//! deleted points are inserted anew.
//!
//! A root that was raised stays where it is when the far points go: searches go by boxes and measured reaches, so that it costs them
//! nothing. If it goes itself, the new root is only as high as what is left asks for.
//!
//! The telemetry has one row for all of a deletion, behind those of the twins that are inserted anew, whose notes tell their numbers.

use std::collections::BTreeMap;
use std::time::Instant;

use covertree_kernels::index::{Idx, NONE, at, idx_len};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{Conflict, TWIN};

use super::batches::Schedule;
use super::estimate::Work;
use super::marks::{Around, Changing};
use super::rivals::{self, split};
use super::seek::{Draft, Goal, Query, Scene, even_shards};
use super::telemetry::{BatchRow, share, timed};
use super::{BuildConfig, Builder, Built, Grown, Placement, Progress, Telemetry, build_slots, reach};
use crate::error::Error;
use crate::sort::sort_by_keys;
use crate::space::Space;
use crate::tree::{Ladder, Runs, Tree};
use crate::workers::Workers;

/// What becomes of a tree.
pub(crate) struct Change<'a> {
    /// The tree; its points are the first rows of the space, in its order.
    pub tree: &'a Tree,
    /// Whether the point at each position goes.
    pub deleted: &'a [bool],
    /// The id of the first new row; the others follow.
    pub next_id: Idx,
}

/// The tree over the rows of the space that are not deleted. Ids stay what they are.
///
/// # Errors
/// As [`build`](super::build).
pub(crate) fn update<S: Space>(
    space: &mut S,
    change: &Change<'_>,
    config: &BuildConfig,
    tier: Tier,
    workers: &Workers,
) -> Result<Built<S>, Error> {
    let started = Instant::now();
    config.check()?;
    space.prepare();
    config.check_axes(space.axes())?;
    let len = idx_len(space.len())?;
    let order: Vec<Idx> = match space.curve(tier) {
        Some(order) => {
            space.reorder(&order);
            order
        }
        None => (0..len).collect(),
    };
    let old = change.tree.len();
    let id = |row: Idx| if at(row) < old { change.tree.ids[at(row)] } else { change.next_id + (row - old as Idx) };
    let ids: Vec<Idx> = order.iter().map(|&row| id(row)).collect();
    let morton = if config.batch_order == super::BatchOrder::Morton { space.morton(tier) } else { None };
    let schedule = Schedule::new(&ids, config, morton);
    let mut slot_of = vec![NONE; at(len)];
    order.iter().zip(0..).for_each(|(&row, slot)| slot_of[at(row)] = slot);
    let (mut placement, mut stays) = placed(change, &slot_of);
    let ladder = change.tree.ladder.clone();
    let builder = Builder { space: &*space, config, tier, ladder, workers };
    let mut deletion = None;
    if change.deleted.contains(&true) {
        deletion = Some(builder.delete(change, &slot_of[..old], &mut placement, &mut stays));
    }
    let live = |slot: Idx| at(order[at(slot)]) >= old || !change.deleted[at(order[at(slot)])];
    let slots: Vec<Idx> = (0..len).filter(|&slot| stays[at(slot)]).collect();
    let mut schedule = schedule.behind(slots.len(), |slot| live(slot) && !stays[at(slot)]);
    let (grown, mut telemetry) = if slots.is_empty() {
        build_slots(&*space, &mut schedule, config, Work::Update, tier, workers)?
    } else {
        builder.raise_root(&slots, &mut placement, live);
        builder.refuse_quadratic(&schedule, Work::Update)?;
        let mut draft_ms = 0.0;
        let draft = timed(&mut draft_ms, || match slots.len() == old {
            true => builder.taken_over(change.tree, &slot_of[..old], &placement),
            false => builder.draft(&slots, &placement),
        });
        deletion.iter_mut().for_each(|row| row.insert_ms += draft_ms);
        let progress = Progress { placement, scratch: vec![NONE; at(len)], telemetry: Telemetry::default() };
        builder.insert_all(draft, slots, &mut schedule, progress)
    };
    let Grown { mut tree, packed, .. } = grown;
    tree.ids.iter_mut().for_each(|slot| *slot = ids[at(*slot)]);
    (telemetry.arena_bytes, telemetry.arena_growths) = (workers.bytes(), workers.growths());
    if let Some(mut row) = deletion {
        row.batch_index = telemetry.batches.len();
        (row.arena_bytes, row.arena_growths) = (telemetry.arena_bytes, telemetry.arena_growths);
        row.read_memory();
        telemetry.batches.push(row);
    }
    telemetry.build_s = started.elapsed().as_secs_f64();
    Ok((tree, packed, telemetry))
}

/// The placement of the points of the tree, by slot, and which slots have one that stays: those of points that are neither
/// new nor deleted. `slot_of` tells the slot of each row.
fn placed(change: &Change<'_>, slot_of: &[Idx]) -> (Placement, Vec<bool>) {
    let (tree, len) = (change.tree, slot_of.len());
    let mut placement = Placement { levels: vec![TWIN; len], parents: vec![NONE; len], distances: vec![0.0; len] };
    let mut stays = vec![false; len];
    for position in 0..tree.len() {
        let slot = at(slot_of[position]);
        placement.levels[slot] = tree.levels[position];
        placement.parents[slot] = match tree.parents[position] {
            NONE => NONE,
            parent => slot_of[at(parent)],
        };
        stays[slot] = !change.deleted[position];
    }
    (placement, stays)
}

impl<S: Space> Builder<'_, S> {
    /// The tree that is there as a draft, given the slot of each position: nothing is arranged again, if it is stored as drafts are. Its
    /// root may have been lifted.
    fn taken_over(&self, tree: &Tree, slots: &[Idx], placement: &Placement) -> Grown<S> {
        if tree.order != self.space.order() {
            let mut ascending = slots.to_vec();
            ascending.sort_unstable();
            return self.draft(&ascending, placement);
        }
        let mut tree = tree.clone();
        tree.ids = slots.to_vec().into();
        // Elsewhere levels are what they were. The root stands before all groups, and so does not change their tops.
        tree.levels.to_mut()[0] = placement.levels[at(slots[0])];
        let packed = self.space.pack(&tree, self.tier);
        Grown { tree, runs: Runs::default(), packed }
    }

    /// Lifts the root to a level on which it covers all points; never lowers it.
    fn raise_root(&self, slots: &[Idx], placement: &mut Placement, live: impl Fn(Idx) -> bool) {
        let root = slots.iter().copied().find(|&slot| placement.parents[at(slot)] == NONE);
        let root = root.expect("a tree of points has a root");
        let all: Vec<Idx> = (0..placement.levels.len() as Idx).filter(|&slot| live(slot)).collect();
        let packed = self.space.pack_slots(&all);
        let reach = reach(self.space, self.tier, &self.space.kernel(&packed), at(root), 0..all.len());
        let ladder = self.ladder.view();
        if reach > ladder.radius(placement.levels[at(root)]) {
            placement.levels[at(root)] = ladder.level_over(reach);
        }
    }

    /// Takes the deleted points out of the placement, given the slot of each position; `stays` is then true for the slots that keep a
    /// place in the tree. Returns what that took: the candidates are the orphans, and selected are those that were promoted.
    fn delete(&self, change: &Change<'_>, slots: &[Idx], placement: &mut Placement, stays: &mut [bool]) -> BatchRow {
        let mut row = BatchRow { conflict: "delete", coverage_ratio: 1.0, ..BatchRow::default() };
        // The tree as it was is what is searched; marks say which of its points count, whatever their levels there.
        let draft = timed(&mut row.insert_ms, || {
            let mut draft = self.taken_over(change.tree, slots, placement);
            draft.tree.levels.to_mut().fill(0);
            draft
        });
        let scene = Draft { builder: self, grown: &draft };
        let mut positions = vec![0usize; stays.len()];
        slots.iter().enumerate().for_each(|(position, &slot)| positions[at(slot)] = position);
        let mut orphans = orphaned(slots, placement, stays);
        let by_level = orphans.iter().flat_map(|(&level, slots)| slots.iter().map(move |&slot| (at(slot), level)));
        let before: Vec<(usize, i32)> = by_level.collect();
        let mut parents: Vec<Idx> = before.iter().map(|&(slot, _)| placement.parents[slot]).collect();
        parents.sort_unstable();
        parents.dedup();
        let around = Around::new(&draft.tree);
        let none = || Changing::new(&draft.tree, &around);
        let standing = standing(placement, stays, before.first().map_or(i32::MAX, |&(_, lowest)| lowest));
        let mut deletion = Deletion {
            scene: &scene,
            ladder: &self.ladder,
            seed: self.config.seed,
            positions,
            placement,
            standing,
            parents: none(),
            thinned: none(),
            row,
        };
        deletion.standing.iter().for_each(|&slot| deletion.parents.set(deletion.positions[at(slot)], true));
        before.iter().for_each(|&(slot, _)| deletion.parents.set(deletion.positions[slot], true));
        let mut all_ms = 0.0;
        timed(&mut all_ms, || {
            while let Some((level, orphans_here)) = orphans.pop_first() {
                deletion.level(level, orphans_here, &mut orphans);
            }
        });
        let Deletion { placement, mut row, .. } = deletion;
        // What is not spent on independent sets is spent on looking for parents.
        row.traversal_ms = (all_ms - row.mis_ms).max(0.0);
        (row.batch_size, row.candidates) = (before.len(), before.len());
        row.selected = before.iter().filter(|&&(slot, level)| placement.levels[slot] > level).count();
        row.conflict_scope_groups_unique = parents.len();
        row.prefix_factor = share(change.deleted.iter().filter(|&&deleted| !deleted).count(), change.deleted.len());
        row
    }
}

/// The points that hang on deleted ones and stay, by their levels. Twins among them do not: they come back as new points.
fn orphaned(slots: &[Idx], placement: &Placement, stays: &mut [bool]) -> BTreeMap<i32, Vec<Idx>> {
    let mut orphans: BTreeMap<i32, Vec<Idx>> = BTreeMap::new();
    for &slot in slots {
        let parent = placement.parents[at(slot)];
        if !stays[at(slot)] || parent == NONE || stays[at(parent)] {
            continue;
        }
        match placement.levels[at(slot)] {
            TWIN => stays[at(slot)] = false,
            level => orphans.entry(level).or_default().push(slot),
        }
    }
    orphans
}

/// The slots above a level that keep their place, from the highest down.
fn standing(placement: &Placement, stays: &[bool], level: i32) -> Vec<Idx> {
    let Placement { levels, parents, .. } = placement;
    let is_orphan = |slot: usize| parents[slot] != NONE && !stays[at(parents[slot])];
    let above = (0..stays.len()).filter(|&slot| levels[slot] > level && stays[slot] && !is_orphan(slot));
    let mut slots: Vec<Idx> = above.map(|slot| slot as Idx).collect(); // slots are counted by `Idx`
    let mut keys: Vec<u64> = slots.iter().map(|&slot| i32::MAX.abs_diff(levels[at(slot)]).into()).collect();
    sort_by_keys(&mut keys, &mut slots);
    slots
}

/// A deletion under way.
struct Deletion<'a> {
    scene: &'a dyn Scene,
    ladder: &'a Ladder,
    seed: u64,
    /// Position of each slot in the draft.
    positions: Vec<usize>,
    placement: &'a mut Placement,
    /// The slots above this level that keep their place, from the highest down.
    standing: Vec<Idx>,
    /// Marks them, and the orphans on this level and above.
    parents: Changing<'a>,
    /// Marks for independent sets; none in between.
    thinned: Changing<'a>,
    /// What it took so far.
    row: BatchRow,
}

impl Deletion<'_> {
    /// The searches for some slots within a radius.
    fn queries(&self, slots: &[Idx], radius: f64) -> Vec<Query> {
        let query = |&slot: &Idx| Query { slot, position: self.positions[at(slot)], level: 0, radius };
        slots.iter().map(query).collect()
    }

    /// The nearest that is marked as a parent, for each search that finds one.
    fn nearest(&mut self, queries: &[Query]) -> Vec<Conflict> {
        let shards = even_shards(queries.len());
        let found = self.scene.seek(self.parents.marks(), queries, &shards, Goal::Nearest, 1);
        self.row.distance_evals += found.evals;
        found.all
    }

    /// Finds parents for the orphans of a level, or promotes them.
    fn level(&mut self, level: i32, open: Vec<Idx>, orphans: &mut BTreeMap<i32, Vec<Idx>>) {
        let ladder = self.ladder.view();
        while let Some(slot) = self.standing.pop_if(|slot| self.placement.levels[at(*slot)] <= level) {
            self.parents.set(self.positions[at(slot)], false);
        }
        // How far it is to anything on the next level or above, other orphans included: until then there is nothing to do.
        let mut near: Vec<Idx> = Vec::new();
        let found = self.nearest(&self.queries(&open, f64::INFINITY));
        open.iter().for_each(|&slot| self.parents.set(self.positions[at(slot)], false));
        for next in &found {
            let over = if next.distance > 0.0 { ladder.level_over(next.distance) } else { level + 1 };
            if over - 1 > level {
                self.promote(next.id, over - 1, orphans);
            } else {
                near.push(next.id);
            }
        }
        if found.is_empty() {
            // It alone is left: the root.
            open.iter().for_each(|&slot| self.placement.parents[at(slot)] = NONE);
        }
        // Those that were just promoted are farther away than that.
        let near = self.queries(&near, ladder.radius(level + 1));
        let covers = self.nearest(&near);
        self.hang(&covers);
        let (_, near) = split(near, &covers);
        self.thin(level, near, orphans);
    }

    /// Promotes an independent set of these orphans, and hangs the others under its members.
    fn thin(&mut self, level: i32, near: Vec<Query>, orphans: &mut BTreeMap<i32, Vec<Idx>>) {
        let seed = self.seed ^ level as u64; // any bits do
        let mut mis_ms = 0.0;
        let settled = timed(&mut mis_ms, || rivals::settle(self.scene, &mut self.thinned, near, seed));
        self.row.mis_ms += mis_ms;
        self.row.mis_iterations += settled.rounds;
        self.row.distance_evals += settled.evals;
        self.hang(&settled.covers);
        settled.kept.into_iter().for_each(|slot| self.promote(slot, level + 1, orphans));
    }

    /// Hangs slots under what covers them.
    fn hang(&mut self, covers: &[Conflict]) {
        covers.iter().for_each(|cover| self.placement.parents[at(cover.id)] = cover.other);
    }

    fn promote(&mut self, slot: Idx, level: i32, orphans: &mut BTreeMap<i32, Vec<Idx>>) {
        self.placement.levels[at(slot)] = level;
        self.parents.set(self.positions[at(slot)], true);
        orphans.entry(level).or_default().push(slot);
    }
}
