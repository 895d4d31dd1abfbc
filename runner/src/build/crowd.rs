//! A batch while its conflicts are settled: where each point stands, and what all strategies do with that.

use std::collections::BTreeMap;

use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::tree::{Conflict, Ladder, TWIN};

use super::batches::Batch;
use super::config::BuildConfig;
use super::marks::Marks;
use super::seek::{Found, Goal, Query, Scene, even_shards};
use super::telemetry::{BatchRow, LevelRow};
use super::{Placement, level_below};
use crate::parallel::{self, Table};

/// Places that one task looks at.
const CHUNK: usize = 1 << 12;

/// Places by the level that they want.
pub(super) type ByLevel = BTreeMap<i32, Vec<Idx>>;

/// A batch while its conflicts are settled.
pub(super) struct Crowd<'a> {
    pub config: &'a BuildConfig,
    pub ladder: Ladder<'a>,
    /// What its points are searched in.
    pub scene: &'a dyn Scene,
    /// The tree from before the batch, where traversals were cut short.
    before: Option<&'a dyn Scene>,
    batch: &'a Batch,
    /// Slot of each place.
    pub slots: &'a [Idx],
    /// Place of each slot; `NONE` for slots outside of the batch.
    pub places: &'a [Idx],
    /// Position of each place in the scene.
    positions: Table,
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
        batch: &'a Batch,
        scratch: &'a mut [Idx],
    ) -> Self {
        parallel::scatter(scratch, &batch.ascending, &|number| batch.places[number]);
        let (places, len) = (&*scratch, batch.slots.len());
        let positions = Table::new(len);
        let ids = scene.tree().ids();
        parallel::pieces(ids.len(), CHUNK, &|piece| {
            for position in piece {
                let place = places[at(ids[position])];
                if place != NONE {
                    positions.set(place, position as Idx); // not above the size of the tree
                }
            }
        });
        Self {
            config,
            ladder,
            scene,
            before,
            batch,
            slots: &batch.slots,
            places,
            positions,
            levels: Vec::new(),
            parents: Vec::new(),
            distances: Vec::new(),
            placed: vec![false; len],
            deferred: Vec::new(),
            moved: vec![false; len],
            row: BatchRow::default(),
            rows: Vec::new(),
        }
    }

    /// Takes over what the traversal found.
    pub fn load(&mut self, placement: &Placement, deferred: Vec<bool>, row: BatchRow) {
        let slots = self.slots;
        self.levels = parallel::map(slots.len(), &|place| placement.levels[at(slots[place])]);
        self.parents = parallel::map(slots.len(), &|place| placement.parents[at(slots[place])]);
        self.distances = parallel::map(slots.len(), &|place| placement.distances[at(slots[place])]);
        if deferred.contains(&true) {
            self.deferred = deferred;
        }
        self.row = row;
        self.row.candidates = self.levels.iter().filter(|&&level| level != TWIN).count();
    }

    /// Writes where the points ended up; says whether that is another level or parent than before for any.
    pub fn store(&self, placement: &mut Placement) -> bool {
        placement.write(&self.batch.ascending, &|number| {
            let place = at(self.batch.places[number]);
            (self.levels[place], self.parents[place], self.distances[place])
        })
    }

    /// The places that are no twins and not placed yet, by level.
    pub fn by_level(&self) -> ByLevel {
        let parts = parallel::pieces(self.levels.len(), CHUNK, &|piece| {
            let mut levels = ByLevel::new();
            for place in piece.filter(|&place| self.levels[place] != TWIN && !self.placed[place]) {
                levels.entry(self.levels[place]).or_default().push(place as Idx); // not above the size of the batch
            }
            levels
        });
        let mut levels = ByLevel::new();
        for (level, mut places) in parts.into_iter().flatten() {
            levels.entry(level).or_default().append(&mut places);
        }
        levels
    }

    /// Takes those of the open places of a level out that are placed, and those that have moved down: they are open on their new levels.
    pub fn sift(&self, level: i32, open: &mut Vec<Idx>, levels: &mut ByLevel) {
        open.retain(|&place| {
            let (placed, now) = (self.placed[at(place)], self.levels[at(place)]);
            if !placed && now != level && now != TWIN {
                levels.entry(now).or_default().push(place);
            }
            !placed && now == level
        });
    }

    /// Position of a place in the scene.
    pub fn position(&self, place: Idx) -> usize {
        at(self.positions.get(place))
    }

    /// The search for a place within a radius.
    pub fn query(&self, place: Idx, radius: f64) -> Query {
        let position = self.position(place);
        Query { slot: self.slots[at(place)], position, level: self.scene.tree().levels[position], radius }
    }

    /// The searches for some places, each within the radius of its level.
    pub fn queries(&self, places: &[Idx]) -> Vec<Query> {
        parallel::map(places.len(), &|number| {
            let query = self.query(places[number], 0.0);
            Query { radius: self.ladder.radius(query.level), ..query }
        })
    }

    /// Marks some places.
    pub fn marks(&self, places: &[Idx]) -> Marks {
        Marks::new(self.scene.tree(), places.iter().map(|&place| self.positions.get(place)))
    }

    /// Searches for some places among some others within one radius.
    pub fn seek(&mut self, places: &[Idx], among: &[Idx], radius: f64, goal: Goal) -> Vec<Conflict> {
        if places.is_empty() || among.is_empty() {
            return Vec::new();
        }
        let queries = parallel::map(places.len(), &|number| self.query(places[number], radius));
        let found = self.scene.seek(&self.marks(among), &queries, &even_shards(queries.len()), goal, usize::MAX);
        self.by_place(found)
    }

    /// Counts what was found, and names it by places.
    pub fn by_place(&mut self, found: Found) -> Vec<Conflict> {
        self.row.distance_evals += found.evals;
        let Found { mut all, .. } = found;
        parallel::chunks(&mut all, CHUNK, &|_, all| {
            for conflict in all {
                conflict.id = self.places[at(conflict.id)];
                conflict.other = self.places[at(conflict.other)];
            }
        });
        all
    }

    /// Hangs places (`id`) under nearer slots (`other`), which makes the level of a place lower or leaves it. Returns those that are lower.
    pub fn hang(&mut self, covers: &[Conflict]) -> Vec<Idx> {
        let levels = parallel::map(covers.len(), &|number| level_below(covers[number].distance, self.ladder));
        let mut lower = Vec::new();
        for (cover, level) in covers.iter().zip(levels) {
            let place = at(cover.id);
            self.parents[place] = cover.other;
            self.distances[place] = cover.distance;
            debug_assert!(level <= self.levels[place], "a nearer parent cannot raise {place}");
            if level != self.levels[place] {
                self.levels[place] = level;
                self.moved[place] = true;
                lower.push(cover.id);
            }
        }
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
        let covers: Vec<Conflict> =
            found.all.into_iter().map(|cover| Conflict { id: self.places[at(cover.id)], ..cover }).collect();
        // In the order of the winners.
        let mut fell = self.hang(&covers).into_iter().peekable();
        late.iter().for_each(|&place| self.deferred[at(place)] = false);
        winners.into_iter().filter(|place| fell.next_if_eq(place).is_none()).collect()
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
