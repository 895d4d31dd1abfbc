//! Settles a batch without its graph: level by level, downward, in rounds of proposals.
//!
//! What a placed point covers lower moves down. Of the rest, a strategy proposes some, fast and without looking at all
//! conflicts. The proposals are *stitched*: their own conflicts make a small graph, an independent set of which is placed.
//! What the members cover moves down. What is then left of the level is covered by nobody, and another round begins: the
//! *repair*, which ends when nothing can be added. Every step is decided by distances, so that a bad proposal costs time
//! and nothing else.

use covertree_kernels::index::{Idx, NONE, at};
use rayon::prelude::*;

use crate::build::crowd::{ByLevel, Crowd};
use crate::build::independent::Graph;
use crate::build::seek::Goal;
use crate::build::telemetry::{LevelRow, share, timed};

/// Proposes some of the open places (at least one) of the level of the row, given the number of the round.
pub(super) type Propose<'p> = dyn FnMut(&mut Crowd<'_>, u32, &[Idx], &mut LevelRow) -> Vec<Idx> + 'p;

/// Settles the batch; some of its points may be placed already.
pub(super) fn settle(crowd: &mut Crowd<'_>, propose: &mut Propose<'_>) {
    let mut levels = crowd.by_level();
    let mut placed: Vec<Idx> = Vec::new();
    let mut before: Vec<Idx> = (0..crowd.slots.len() as Idx).filter(|&place| crowd.placed[at(place)]).collect();
    before.par_sort_unstable_by_key(|&place| (crowd.levels[at(place)], place));
    let mut local = vec![NONE; crowd.slots.len()];
    let (mut covered, mut opened) = (0, 0);
    while let Some((level, open)) = levels.pop_last() {
        while let Some(place) = before.pop_if(|place| crowd.levels[at(*place)] >= level) {
            placed.push(place);
        }
        let mut row =
            LevelRow { batch_index: crowd.row.batch_index, level, candidates: open.len(), ..LevelRow::default() };
        let (mut graph_ms, mut level_ms) = (0.0, 0.0);
        let first = timed(&mut level_ms, || {
            let mut level = Level { propose, local: &mut local, levels: &mut levels, graph_ms: &mut graph_ms };
            level.settle(crowd, open, &mut placed, &mut row)
        });
        row.coverage_ratio = if first.1 == 0 { 1.0 } else { share(first.0, first.1) };
        (covered, opened) = (covered + first.0, opened + first.1);
        row.dominated = row.candidates - row.selected;
        row.mis_ms = level_ms - graph_ms;
        crowd.row.mis_ms += row.mis_ms;
        crowd.row.conflict_graph_ms += graph_ms;
        crowd.rows.push(row);
    }
    crowd.row.coverage_ratio = if opened == 0 { 1.0 } else { share(covered, opened) };
}

/// One level.
struct Level<'a, 'p> {
    propose: &'a mut Propose<'p>,
    local: &'a mut [Idx],
    levels: &'a mut ByLevel,
    graph_ms: &'a mut f64,
}

impl Level<'_, '_> {
    /// Settles the level; returns how many of how many open places the first round placed or covered.
    fn settle(
        &mut self,
        crowd: &mut Crowd<'_>,
        mut open: Vec<Idx>,
        placed: &mut Vec<Idx>,
        row: &mut LevelRow,
    ) -> (usize, usize) {
        let level = row.level;
        open.par_sort_unstable();
        self.cover(crowd, &mut open, placed, level);
        let before = open.len();
        let mut first = (0, before);
        let mut round = 0;
        while !open.is_empty() {
            let winners = if open.len() == 1 { open.clone() } else { self.stitched(crowd, round, &open, row) };
            let winners = crowd.finish(winners);
            crowd.place(&winners);
            row.selected += winners.len();
            placed.extend_from_slice(&winners);
            crowd.sift(level, &mut open, self.levels);
            self.cover(crowd, &mut open, &winners, level);
            if round == 0 {
                first.0 = before - open.len();
            }
            round += 1;
        }
        row.rounds = u64::from(round);
        first
    }

    /// Moves those open places of a level down that are within its radius of one of `among`.
    fn cover(&mut self, crowd: &mut Crowd<'_>, open: &mut Vec<Idx>, among: &[Idx], level: i32) {
        let mut covers = crowd.seek(open, among, crowd.ladder.radius(level), Goal::Nearest);
        covers.iter_mut().for_each(|cover| cover.other = crowd.slots[at(cover.other)]);
        let lower = crowd.hang(&covers);
        debug_assert_eq!(lower.len(), covers.len(), "a point within the radius of its level covers it lower");
        if !lower.is_empty() {
            crowd.sift(level, open, self.levels);
        }
    }

    /// An independent set of proposals.
    fn stitched(&mut self, crowd: &mut Crowd<'_>, round: u32, open: &[Idx], row: &mut LevelRow) -> Vec<Idx> {
        let radius = crowd.ladder.radius(row.level);
        let mut milliseconds = 0.0;
        let (proposals, pairs) = timed(&mut milliseconds, || {
            let mut proposals = (self.propose)(crowd, round, open, row);
            proposals.par_sort_unstable();
            let pairs = crowd.seek(&proposals, &proposals, radius, Goal::Later);
            (proposals, pairs)
        });
        *self.graph_ms += milliseconds;
        row.leaders_before_local_mis += proposals.len() as u64;
        row.local_mis_nodes += proposals.len() as u64;
        row.local_mis_edges += pairs.len() as u64;
        if pairs.is_empty() {
            return proposals;
        }
        let graph = Graph::new(&proposals, &pairs, self.local);
        let (winners, rounds) = graph.independent(&proposals, crowd.config, row.level);
        row.mis_iterations += rounds;
        winners
    }
}
