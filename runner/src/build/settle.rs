//! Settles the conflicts of a batch, level by level, downward.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::index::{Idx, at};
use covertree_kernels::mis::{self, MisCounters};
use covertree_kernels::tree::{Conflict, Ladder, TWIN};
use covertree_kernels::view::Csr;
use std::collections::BTreeMap;

use super::{Builder, Placement};
use crate::space::Space;

/// The conflicts of a batch by point, in both directions.
struct Conflicting {
    starts: Vec<Idx>,
    others: Vec<(Idx, f64)>,
}

impl Conflicting {
    fn new(len: usize, conflicts: &[Conflict]) -> Self {
        let mut starts = vec![0 as Idx; len + 1];
        for conflict in conflicts {
            starts[at(conflict.id) + 1] += 1;
            starts[at(conflict.other) + 1] += 1;
        }
        for i in 0..len {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut others = vec![(0, 0.0); 2 * conflicts.len()];
        for conflict in conflicts {
            for (from, to) in [(conflict.id, conflict.other), (conflict.other, conflict.id)] {
                others[at(next[at(from)])] = (to, conflict.distance);
                next[at(from)] += 1;
            }
        }
        Self { starts, others }
    }

    fn of(&self, place: Idx) -> &[(Idx, f64)] {
        &self.others[at(self.starts[at(place)])..at(self.starts[at(place) + 1])]
    }
}

/// A batch while it is being settled.
struct Settling<'a> {
    ladder: Ladder<'a>,
    conflicting: Conflicting,
    levels: Vec<i32>,
    parents: Vec<Idx>,
    distances: Vec<f64>,
    placed: Vec<bool>,
    batch: &'a [Idx],
}

impl Settling<'_> {
    /// Moves a point down if points that were placed cover it on a lower level than before; says whether it moved.
    fn pull(&mut self, place: Idx) -> bool {
        let (mut distance, mut parent) = (self.distances[at(place)], self.parents[at(place)]);
        let mut moved = false;
        for &(other, d) in self.conflicting.of(place) {
            if !self.placed[at(other)] || d > self.ladder.radius(self.levels[at(other)]) {
                continue;
            }
            if d < distance || (moved && d == distance && self.batch[at(other)] < parent) {
                (distance, parent, moved) = (d, self.batch[at(other)], true);
            }
        }
        if moved {
            self.distances[at(place)] = distance;
            self.parents[at(place)] = parent;
            let level = if distance > 0.0 { self.ladder.level_over(distance) - 1 } else { TWIN };
            moved = level != self.levels[at(place)];
            self.levels[at(place)] = level;
        }
        moved
    }
}

impl<S: Space> Builder<'_, S> {
    pub(super) fn settle(&self, batch: &[Idx], conflicts: Vec<Conflict>, placement: &mut Placement) {
        let ladder = self.ladder.view();
        let mut settling = Settling {
            ladder,
            conflicting: Conflicting::new(batch.len(), &conflicts),
            levels: batch.iter().map(|&slot| placement.levels[at(slot)]).collect(),
            parents: batch.iter().map(|&slot| placement.parents[at(slot)]).collect(),
            distances: batch.iter().map(|&slot| placement.distances[at(slot)]).collect(),
            placed: vec![false; batch.len()],
            batch,
        };
        drop(conflicts);
        let mut levels: BTreeMap<i32, Vec<Idx>> = BTreeMap::new();
        for (place, &level) in settling.levels.iter().enumerate() {
            // A point without conflicts stays where it is, and nobody asks for it.
            if level != TWIN && !settling.conflicting.of(place as Idx).is_empty() {
                levels.entry(level).or_default().push(place as Idx);
            }
        }
        let mut local = vec![-1 as Idx; batch.len()];
        while let Some((level, group)) = levels.pop_last() {
            let mut lower = |settling: &Settling<'_>, place: Idx| {
                let level = settling.levels[at(place)];
                if level != TWIN {
                    levels.entry(level).or_default().push(place);
                }
            };
            let mut open: Vec<Idx> = Vec::with_capacity(group.len());
            for place in group {
                if settling.pull(place) {
                    lower(&settling, place);
                } else {
                    open.push(place);
                }
            }
            open.sort_unstable();
            for (vertex, &place) in open.iter().enumerate() {
                local[at(place)] = vertex as Idx;
            }
            let radius = ladder.radius(level);
            let mut starts = vec![0 as Idx];
            let mut targets = Vec::new();
            for &place in &open {
                for &(other, d) in settling.conflicting.of(place) {
                    if local[at(other)] >= 0 && d <= radius {
                        targets.push(local[at(other)]);
                    }
                }
                starts.push(targets.len() as Idx);
            }
            let mut state = vec![mis::OPEN; open.len()];
            let mut memory = vec![Block::default(); mis::mis_blocks(open.len())];
            let graph = Csr::new(&starts, &targets).expect("built here");
            let mut counters = MisCounters::default();
            mis::mis(&graph, self.config.seed ^ level as u64, &mut state, &mut Arena::new(&mut memory), &mut counters)
                .expect("sized for the graph");
            for (&place, &state) in open.iter().zip(&state) {
                local[at(place)] = -1;
                if state == mis::IN {
                    settling.placed[at(place)] = true;
                }
            }
            for (&place, &state) in open.iter().zip(&state) {
                if state != mis::IN {
                    let moved = settling.pull(place);
                    debug_assert!(moved, "a member covers it");
                    lower(&settling, place);
                }
            }
        }
        for (place, &slot) in batch.iter().enumerate() {
            placement.levels[at(slot)] = settling.levels[place];
            placement.parents[at(slot)] = settling.parents[place];
            placement.distances[at(slot)] = settling.distances[place];
        }
    }
}
