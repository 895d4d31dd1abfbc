//! Two phases. First every point looks for one conflict that beats it, and those that find none are accepted: no graph is
//! kept. Then the graph of the rejected points alone.
//!
//! A point beats another if it is on a higher level, or on the same one with the lesser priority. What is accepted is
//! therefore independent. A conflict between an accepted and a rejected point is found from the rejected one: had the
//! accepted one been the lower of the two, it would have been beaten.

use covertree_kernels::index::{Idx, at};
use covertree_kernels::tree::TWIN;

use super::{dense, graph};
use crate::build::crowd::Crowd;
use crate::build::seek::{Goal, even_shards};
use crate::build::telemetry::timed;

/// As [`dense::settle`]; what was accepted stays where the graph of the rest is beyond all bounds.
pub(super) fn settle(crowd: &mut Crowd<'_>) -> bool {
    let mut milliseconds = 0.0;
    let accepted = timed(&mut milliseconds, || unbeaten(crowd));
    crowd.row.conflict_graph_ms += milliseconds;
    let accepted = crowd.finish(accepted);
    crowd.place(&accepted);
    // What fell when its traversal was finished is open too.
    let is_open = |&place: &Idx| !crowd.placed[at(place)] && crowd.levels[at(place)] != TWIN;
    let open: Vec<Idx> = (0..crowd.slots.len() as Idx).filter(is_open).collect();
    if open.is_empty() {
        return true;
    }
    let Some(conflicts) = dense::find(crowd, open, usize::MAX) else { return false };
    graph::settle(crowd, conflicts);
    true
}

/// The places that nothing beats.
fn unbeaten(crowd: &mut Crowd<'_>) -> Vec<Idx> {
    let everybody: Vec<Idx> = (0..crowd.slots.len() as Idx).collect();
    let nodes: Vec<Idx> = everybody.iter().copied().filter(|&place| crowd.levels[at(place)] != TWIN).collect();
    let queries = crowd.queries(&nodes);
    let goal = Goal::Rival { seed: crowd.config.seed };
    let found = crowd.scene.seek(&crowd.marks(&everybody), &queries, &even_shards(queries.len()), goal, 1);
    let mut beaten = vec![false; crowd.slots.len()];
    crowd.by_place(found).iter().for_each(|rival| beaten[at(rival.id)] = true);
    nodes.into_iter().filter(|&place| !beaten[at(place)]).collect()
}
