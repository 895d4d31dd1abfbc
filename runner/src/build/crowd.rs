//! A batch while its conflicts are settled: where each point stands, and what all strategies do with that.

use std::collections::BTreeMap;

use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::tree::{Conflict, Ladder, TWIN};

use super::config::BuildConfig;
use super::marks::Marks;
use super::seek::{Found, Goal, Query, Scene, even_shards};
use super::telemetry::{BatchRow, LevelRow};
use super::{Placement, level_below};

/// A batch. A *place* is the number of a point in the batch.
pub(super) struct Crowd<'a> {
    pub config: &'a BuildConfig,
    pub ladder: Ladder<'a>,
    /// What its points are searched in.
    pub scene: &'a dyn Scene,
    /// The tree from before the batch, where traversals were cut short.
    before: Option<&'a dyn Scene>,
    /// Slot of each place.
    pub slots: &'a [Idx],
    /// Place of each slot; `NONE` for slots outside of the batch.
    pub places: &'a [Idx],
    /// Position of each place in the scene.
    pub positions: Vec<Idx>,
    pub levels: Vec<i32>,
    /// Slot of the parent of each place.
    pub parents: Vec<Idx>,
    pub distances: Vec<f64>,
    /// Whether a place has its final level.
    pub placed: Vec<bool>,
    /// Whether the traversal of a place was cut short; empty where none was.
    pub deferred: Vec<bool>,
    /// Places that have moved down since the traversal.
    pub moved: Vec<bool>,
    pub row: BatchRow,
    pub rows: Vec<LevelRow>,
}

impl<'a> Crowd<'a> {
    /// A batch over a scene that holds it, and over the one from before where traversals were cut short. `scratch` has a place for each
    /// slot, `NONE` before; the caller clears it again.
    pub fn new(
        config: &'a BuildConfig,
        ladder: Ladder<'a>,
        (scene, before): (&'a dyn Scene, Option<&'a dyn Scene>),
        slots: &'a [Idx],
        scratch: &'a mut [Idx],
    ) -> Self {
        for (&slot, place) in slots.iter().zip(0..) {
            scratch[at(slot)] = place;
        }
        let mut positions = vec![NONE; slots.len()];
        for (&slot, position) in scene.tree().ids().iter().zip(0..) {
            if scratch[at(slot)] != NONE {
                positions[at(scratch[at(slot)])] = position;
            }
        }
        Self {
            config,
            ladder,
            scene,
            before,
            slots,
            places: scratch,
            positions,
            levels: Vec::new(),
            parents: Vec::new(),
            distances: Vec::new(),
            placed: vec![false; slots.len()],
            deferred: Vec::new(),
            moved: vec![false; slots.len()],
            row: BatchRow::default(),
            rows: Vec::new(),
        }
    }

    /// Takes over what the traversal found.
    pub fn load(&mut self, placement: &Placement, deferred: Vec<bool>, row: BatchRow) {
        self.levels = self.slots.iter().map(|&slot| placement.levels[at(slot)]).collect();
        self.parents = self.slots.iter().map(|&slot| placement.parents[at(slot)]).collect();
        self.distances = self.slots.iter().map(|&slot| placement.distances[at(slot)]).collect();
        if deferred.contains(&true) {
            self.deferred = deferred;
        }
        self.row = row;
        self.row.candidates = self.levels.iter().filter(|&&level| level != TWIN).count();
    }

    /// Writes where the points ended up; says whether that is another level or parent than before for any.
    pub fn store(&self, placement: &mut Placement) -> bool {
        let mut moved = false;
        for (place, &slot) in self.slots.iter().enumerate() {
            let slot = at(slot);
            moved |= placement.levels[slot] != self.levels[place] || placement.parents[slot] != self.parents[place];
            placement.levels[slot] = self.levels[place];
            placement.parents[slot] = self.parents[place];
            placement.distances[slot] = self.distances[place];
        }
        moved
    }

    /// The places that are no twins, by level.
    pub fn by_level(&self) -> BTreeMap<i32, Vec<Idx>> {
        let mut levels: BTreeMap<i32, Vec<Idx>> = BTreeMap::new();
        for (&level, place) in self.levels.iter().zip(0..) {
            if level != TWIN && !self.placed[at(place)] {
                levels.entry(level).or_default().push(place);
            }
        }
        levels
    }

    /// The search for a place within a radius.
    pub fn query(&self, place: Idx, radius: f64) -> Query {
        let position = at(self.positions[at(place)]);
        Query { slot: self.slots[at(place)], position, level: self.scene.tree().levels[position], radius }
    }

    /// Marks some places.
    pub fn marks(&self, places: &[Idx]) -> Marks {
        Marks::new(self.scene.tree(), places.iter().map(|&place| self.positions[at(place)]))
    }

    /// Searches for some places among some others within one radius.
    pub fn seek(&mut self, places: &[Idx], among: &[Idx], radius: f64, goal: Goal) -> Vec<Conflict> {
        if places.is_empty() || among.is_empty() {
            return Vec::new();
        }
        let queries: Vec<Query> = places.iter().map(|&place| self.query(place, radius)).collect();
        let found = self.scene.seek(&self.marks(among), &queries, &even_shards(queries.len()), goal, usize::MAX);
        self.by_place(found)
    }

    /// Counts what was found, and names it by places.
    pub fn by_place(&mut self, found: Found) -> Vec<Conflict> {
        self.row.distance_evals += found.evals;
        let Found { mut all, .. } = found;
        for conflict in &mut all {
            conflict.id = self.places[at(conflict.id)];
            conflict.other = self.places[at(conflict.other)];
        }
        all
    }

    /// Hangs a place under a nearer point, which makes its level lower or leaves it; says whether it is lower.
    pub fn hang(&mut self, place: Idx, parent: Idx, distance: f64) -> bool {
        let place = at(place);
        self.parents[place] = parent;
        self.distances[place] = distance;
        let level = level_below(distance, self.ladder);
        let lower = level != self.levels[place];
        debug_assert!(level <= self.levels[place], "a nearer parent cannot raise {place}");
        self.levels[place] = level;
        self.moved[place] |= lower;
        lower
    }

    /// Finishes the traversals of winners that were cut short: over the points that were there before the batch. Returns
    /// the winners that keep their level; the others have moved down.
    pub fn finish(&mut self, winners: Vec<Idx>) -> Vec<Idx> {
        if self.deferred.is_empty() {
            return winners;
        }
        let late: Vec<Idx> = winners.iter().copied().filter(|&place| self.deferred[at(place)]).collect();
        if late.is_empty() {
            return winners;
        }
        let before = self.before.expect("kept where any traversal was cut short");
        let query = |&place: &Idx| {
            let (slot, radius) = (self.slots[at(place)], self.distances[at(place)]);
            Query { slot, position: usize::MAX, level: 0, radius }
        };
        let queries: Vec<Query> = late.iter().map(query).collect();
        let marks = Marks::of(before.tree(), vec![1; before.tree().len()]);
        let found = before.seek(&marks, &queries, &even_shards(queries.len()), Goal::Cover { chain: u64::MAX }, 1);
        self.row.distance_evals += found.evals;
        self.row.chains_finished += late.len() as u64;
        let mut fell = vec![false; self.slots.len()];
        for cover in found.all {
            let place = self.places[at(cover.id)];
            fell[at(place)] = self.hang(place, cover.other, cover.distance);
        }
        late.iter().for_each(|&place| self.deferred[at(place)] = false);
        winners.into_iter().filter(|&place| !fell[at(place)]).collect()
    }

    /// Places the winners.
    pub fn place(&mut self, winners: &[Idx]) {
        winners.iter().for_each(|&place| self.placed[at(place)] = true);
    }

    /// What is known when all is settled.
    pub fn close(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        rows.iter().for_each(|row| self.row.add(row));
        self.rows = rows;
        let row = &mut self.row;
        row.dominated = self.moved.iter().filter(|&&moved| moved).count();
        row.selected = row.candidates.saturating_sub(row.dominated);
        row.rho = super::telemetry::share(row.dominated, row.batch_size);
    }
}
