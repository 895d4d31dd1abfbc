//! A batch while its conflicts are settled: where each point stands, and what all strategies do with that.

use std::collections::BTreeMap;

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::mis::{self, MisCounters};
use covertree_kernels::tree::{Conflict, Ladder, TWIN};
use covertree_kernels::view::Csr;

use super::config::{BuildConfig, MisForm};
use super::seek::{Found, Goal, Marks, Query, Scene, even_shards};
use super::telemetry::{BatchRow, LevelRow};
use super::{Placement, level_below};

/// Luby rounds of [`MisForm::Fast`].
const FAST_ROUNDS: u32 = 2;

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
    /// A batch over a scene that holds it, and over the one from before where traversals were cut short. `scratch` has a place for each slot, `NONE` before; the caller clears it again.
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
        let Some(before) = self.before else { return winners };
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

/// The graph between some places, by their order in `open`.
pub(super) struct Graph {
    pub starts: Vec<Idx>,
    pub targets: Vec<Idx>,
}

impl Graph {
    /// The graph of these pairs, both ends of which are open. `local` is scratch, `NONE` for every place before and after.
    pub fn new(open: &[Idx], pairs: &[Conflict], local: &mut [Idx]) -> Self {
        for (vertex, &place) in open.iter().enumerate() {
            local[at(place)] = vertex as Idx; // not above the size of the batch
        }
        let mut starts = vec![0 as Idx; open.len() + 1];
        let ends = |pair: &Conflict| (local[at(pair.id)], local[at(pair.other)]);
        for pair in pairs {
            let (a, b) = ends(pair);
            starts[at(a) + 1] += 1;
            starts[at(b) + 1] += 1;
        }
        for vertex in 0..open.len() {
            starts[vertex + 1] += starts[vertex];
        }
        let mut next = starts.clone();
        let mut targets = vec![NONE; 2 * pairs.len()];
        for pair in pairs {
            let (a, b) = ends(pair);
            for (from, to) in [(a, b), (b, a)] {
                targets[at(next[at(from)])] = to;
                next[at(from)] += 1;
            }
        }
        open.iter().for_each(|&place| local[at(place)] = NONE);
        Self { starts, targets }
    }

    /// A maximal independent set in the form that the configuration asks for: a state per vertex.
    pub fn independent(&self, config: &BuildConfig, level: i32, state: &mut [i32]) -> MisCounters {
        let graph = Csr::new(&self.starts, &self.targets).expect("built above");
        let mut memory = vec![Block::default(); mis::mis_blocks(state.len())];
        let mut counters = MisCounters::default();
        let (seed, mut arena) = (config.seed ^ level as u64, Arena::new(&mut memory)); // any bits do
        match config.mis {
            MisForm::Luby => mis::mis(&graph, seed, state, &mut arena, &mut counters),
            MisForm::Fast => mis::mis_fast(&graph, seed, FAST_ROUNDS, state, &mut arena, &mut counters),
        }
        .expect("sized for the graph");
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use covertree_kernels::hash::mix64;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_form_is_independent_and_maximal_on_its_graph(len in 0..60 as Idx, edges in 0..200u64, seed: u64) {
            let end = |word: u64| (mix64(seed ^ mix64(word)) % len.max(1) as u64) as Idx;
            let pair = |edge| Conflict { id: 3 * end(2 * edge), other: 3 * end(2 * edge + 1), distance: 1.0 };
            let open: Vec<Idx> = (0..len).map(|vertex| 3 * vertex).collect();
            let pairs: Vec<Conflict> = (0..if len > 0 { edges } else { 0 }).map(pair).collect();
            let mut local = vec![NONE; 3 * len as usize];
            let graph = Graph::new(&open, &pairs, &mut local);
            prop_assert!(local.iter().all(|&vertex| vertex == NONE));
            for mis in MisForm::ALL {
                let config = BuildConfig { mis: *mis, seed, ..BuildConfig::default() };
                let mut state = vec![mis::OPEN; open.len()];
                graph.independent(&config, -3, &mut state);
                let csr = Csr::new(&graph.starts, &graph.targets).unwrap();
                prop_assert_eq!(mis::verify_mis(&csr, &state).unwrap(), None);
            }
        }
    }
}
