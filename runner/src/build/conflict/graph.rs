//! Settles the conflicts of a batch that are all known, level by level, downward.
//!
//! A point that placed points cover lower moves down; those that are left on a level form a graph, an independent set of
//! which is placed, and the rest moves down to where the members cover it.

use std::collections::BTreeMap;
use std::ops::Range;

use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::tree::Conflict;
use rayon::prelude::*;

use crate::build::crowd::{ByLevel, Crowd};
use crate::build::independent::Graph;
use crate::build::telemetry::{LevelRow, timed};
use crate::parallel;

/// The conflicts of a batch by point, in both directions.
pub(super) struct Conflicting {
    starts: Vec<Idx>,
    others: Vec<(Idx, f64)>,
}

/// Places whose conflicts one task writes, and conflicts that one task looks at: no fewer,
const RUN: usize = 1 << 13;

/// and so many that there are no more tasks than this.
const RUNS_MAX: usize = 256;

/// How long the runs of so many places or conflicts are.
fn run(len: usize) -> usize {
    len.div_ceil(RUNS_MAX).max(RUN)
}

impl Conflicting {
    /// Each task writes the conflicts of a run of places, in the order in which they are given.
    fn new(len: usize, conflicts: &[Conflict]) -> Self {
        let size = run(len);
        let touching = touching(len.div_ceil(size), size, conflicts);
        // The ends of a conflict that lie in a run of places, in both directions.
        let each = |run: usize, work: &mut dyn FnMut(usize, (Idx, f64))| {
            let places = run * size..len.min((run + 1) * size);
            for &number in touching.iter().flat_map(|runs| &runs[run]) {
                let Conflict { id, other, distance } = conflicts[at(number)];
                for (from, to) in [(id, other), (other, id)] {
                    if places.contains(&at(from)) {
                        work(at(from) - places.start, (to, distance));
                    }
                }
            }
        };
        let mut starts = vec![0 as Idx; len + 1];
        let sums = parallel::chunks(&mut starts[1..], size, &|run, ends| {
            each(run, &mut |place, _| ends[place] += 1);
            ends.iter_mut().fold(0, |sum, end| {
                *end += sum;
                *end
            })
        });
        let mut others = vec![(0, 0.0); 2 * conflicts.len()];
        let (mut rest, mut tasks, mut before) = (&mut others[..], Vec::with_capacity(sums.len()), 0);
        for (ends, sum) in starts[1..].chunks_mut(size).zip(sums) {
            let (part, others) = rest.split_at_mut(at(sum));
            tasks.push((before, ends, part));
            (rest, before) = (others, before + sum);
        }
        parallel::chunks(&mut tasks, 1, &|run, tasks| {
            for (before, ends, part) in tasks {
                let mut next: Vec<Idx> = [&[0], &ends[..ends.len() - 1]].concat();
                each(run, &mut |place, other| {
                    part[at(next[place])] = other;
                    next[place] += 1;
                });
                ends.iter_mut().for_each(|end| *end += *before);
            }
        });
        Self { starts, others }
    }

    fn of(&self, place: Idx) -> &[(Idx, f64)] {
        &self.others[at(self.starts[at(place)])..at(self.starts[at(place) + 1])]
    }
}

/// For each piece of some conflicts and each run of places the numbers of the conflicts that have an end there.
fn touching(runs: usize, size: usize, conflicts: &[Conflict]) -> Vec<Vec<Vec<Idx>>> {
    parallel::pieces(conflicts.len(), run(conflicts.len()), &|piece: Range<usize>| {
        let mut touching = vec![Vec::new(); runs];
        for number in piece {
            let (one, other) = (at(conflicts[number].id) / size, at(conflicts[number].other) / size);
            touching[one].push(number as Idx); // an index counts them in both directions
            if one != other {
                touching[other].push(number as Idx);
            }
        }
        touching
    })
}

/// Places that one task looks at.
const CHUNK: usize = 1024;

/// The nearest of the placed points that cover a point and are nearer than its parent: its slot, and the distance.
fn nearer(crowd: &Crowd<'_>, conflicting: &Conflicting, place: Idx) -> Option<(Idx, f64)> {
    let (mut distance, mut parent) = (crowd.distances[at(place)], None);
    for &(other, d) in conflicting.of(place) {
        if !crowd.placed[at(other)] || d > crowd.ladder.radius(crowd.levels[at(other)]) {
            continue;
        }
        let slot = crowd.slots[at(other)];
        if d < distance || (d == distance && parent.is_some_and(|parent| slot < parent)) {
            (distance, parent) = (d, Some(slot));
        }
    }
    Some((parent?, distance))
}

/// Moves those of the open points of a level down that placed points cover on a lower one.
fn pull(crowd: &mut Crowd<'_>, conflicting: &Conflicting, level: i32, open: &mut Vec<Idx>, levels: &mut ByLevel) {
    // Nobody is placed meanwhile, so that no answer depends on another.
    let covers = parallel::pieces(open.len(), CHUNK, &|part| {
        let cover = |&id: &Idx| {
            let (other, distance) = nearer(crowd, conflicting, id)?;
            Some(Conflict { id, other, distance })
        };
        open[part].iter().filter_map(cover).collect::<Vec<Conflict>>()
    });
    if !crowd.hang(&covers.concat()).is_empty() {
        crowd.sift(level, open, levels);
    }
}

/// The conflicts of a batch by point; how long that takes is counted.
pub(super) fn scattered(crowd: &mut Crowd<'_>, conflicts: Vec<Conflict>) -> Conflicting {
    let mut scatter_ms = 0.0;
    let conflicting = timed(&mut scatter_ms, || Conflicting::new(crowd.slots.len(), &conflicts));
    crowd.row.conflict_adj_scatter_ms += scatter_ms;
    crowd.row.conflict_graph_ms += scatter_ms;
    conflicting
}

/// Settles the batch; some of its points may be placed already.
pub(super) fn settle(crowd: &mut Crowd<'_>, conflicts: Vec<Conflict>) {
    let conflicting = scattered(crowd, conflicts);
    let mut levels = crowd.by_level();
    let mut alone: BTreeMap<i32, usize> = BTreeMap::new();
    if crowd.deferred.is_empty() {
        // A point without conflicts stays where it is, and nobody asks for it.
        for (&level, places) in &mut levels {
            let all = places.len();
            places.retain(|&place| !conflicting.of(place).is_empty());
            alone.insert(level, all - places.len());
        }
    }
    let mut local = vec![NONE; crowd.slots.len()];
    while let Some((level, group)) = levels.pop_last() {
        let alone = alone.remove(&level).unwrap_or(0);
        let mut row = LevelRow {
            batch_index: crowd.row.batch_index,
            level,
            candidates: group.len() + alone,
            selected: alone,
            coverage_ratio: 1.0,
            ..LevelRow::default()
        };
        let mut milliseconds = 0.0;
        timed(&mut milliseconds, || settle_level(crowd, &conflicting, group, &mut levels, &mut local, &mut row));
        row.mis_ms = milliseconds;
        crowd.row.mis_ms += milliseconds;
        row.dominated = row.candidates - row.selected;
        crowd.rows.push(row);
    }
}

/// Settles one level: what moves down goes to `levels`.
fn settle_level(
    crowd: &mut Crowd<'_>,
    conflicting: &Conflicting,
    group: Vec<Idx>,
    levels: &mut ByLevel,
    local: &mut [Idx],
    row: &mut LevelRow,
) {
    let mut open = group;
    // What is placed already was placed before all graphs: no conflict of it is open on its level.
    loop {
        pull(crowd, conflicting, row.level, &mut open, levels);
        if open.is_empty() {
            return;
        }
        row.rounds += 1;
        open.par_sort_unstable();
        let winners = independent(crowd, conflicting, &open, local, row);
        let kept = crowd.finish(winners);
        crowd.place(&kept);
        row.selected += kept.len();
        crowd.sift(row.level, &mut open, levels);
    }
}

/// An independent set of the open places of a level, ascending. `local` is scratch, `NONE` for every place before and after.
pub(super) fn independent(
    crowd: &Crowd<'_>,
    conflicting: &Conflicting,
    open: &[Idx],
    local: &mut [Idx],
    row: &mut LevelRow,
) -> Vec<Idx> {
    let graph = graph_of(crowd, conflicting, open, row.level, local);
    row.conflict_adj_pairs += graph.targets.len() as u64 / 2;
    let (winners, rounds) = graph.independent(open, crowd.config, row.level);
    row.mis_iterations += rounds;
    winners
}

/// The graph of the conflicts on one level between open places, ascending.
fn graph_of(crowd: &Crowd<'_>, conflicting: &Conflicting, open: &[Idx], level: i32, local: &mut [Idx]) -> Graph {
    parallel::scatter(local, open, &|vertex| vertex as Idx); // not above the size of the batch
    let (radius, vertices) = (crowd.ladder.radius(level), &*local);
    let parts = parallel::pieces(open.len(), CHUNK, &|part| {
        let (mut ends, mut targets): (Vec<Idx>, Vec<Idx>) = (Vec::with_capacity(part.len()), Vec::new());
        for &place in &open[part] {
            let near = conflicting.of(place).iter().filter(|&&(other, d)| vertices[at(other)] != NONE && d <= radius);
            targets.extend(near.map(|&(other, _)| vertices[at(other)]));
            ends.push(targets.len() as Idx); // not above the number of conflicts, which indices count
        }
        (ends, targets)
    });
    let mut starts = Vec::with_capacity(open.len() + 1);
    starts.push(0);
    let mut targets = Vec::with_capacity(parts.iter().map(|(_, targets)| targets.len()).sum());
    for (ends, part) in parts {
        let before = targets.len() as Idx; // as above
        starts.extend(ends.into_iter().map(|end| before + end));
        targets.extend_from_slice(&part);
    }
    parallel::scatter(local, open, &|_| NONE);
    Graph { starts, targets }
}
