//! The whole graph: every conflict of the batch is found by one search per point.

use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::tree::{Conflict, TWIN};
use rayon::prelude::*;

use super::{graph, proposals};
use crate::build::crowd::Crowd;
use crate::build::seek::{Goal, even_shards};
use crate::build::telemetry::timed;

/// Finds all conflicts and settles them; with a cap on the degrees, what the cap leaves out is repaired. Where the graph is
/// [beyond all bounds](crate::build::config::BuildConfig::graph_limit), nothing is settled, and the answer is no.
pub(super) fn settle(crowd: &mut Crowd<'_>) -> bool {
    let nodes: Vec<Idx> = (0..crowd.slots.len() as Idx).filter(|&place| crowd.levels[at(place)] != TWIN).collect();
    let cap = crowd.config.degree_cap.unwrap_or(usize::MAX);
    let Some(conflicts) = find(crowd, nodes, cap) else { return false };
    if crowd.config.degree_cap.is_none() {
        graph::settle(crowd, conflicts);
        return true;
    }
    let conflicting = graph::scattered(crowd, conflicts);
    let mut local = vec![NONE; crowd.slots.len()];
    proposals::settle(crowd, &mut |crowd, _, open, row| graph::independent(crowd, &conflicting, open, &mut local, row));
    true
}

/// The conflicts of some places with all of the batch on their levels or above, at most `cap` for each; nothing where these are
/// too many to be kept.
pub(super) fn find(crowd: &mut Crowd<'_>, mut places: Vec<Idx>, cap: usize) -> Option<Vec<Conflict>> {
    let mut milliseconds = 0.0;
    let conflicts = timed(&mut milliseconds, || {
        let shards = shards(crowd, &mut places);
        crowd.row.shards += shards.len() - 1;
        let queries = crowd.queries(&places);
        let everybody: Vec<Idx> = (0..crowd.slots.len() as Idx).collect();
        let both = cap < usize::MAX || places.len() < everybody.len();
        let goal = Goal::Conflicts { both, most: crowd.config.graph_limit(everybody.len()) };
        let found = crowd.scene.seek(&crowd.marks(&everybody), &queries, &shards, goal, cap);
        crowd.row.pairs_before += found.before;
        crowd.row.pairs_after += found.all.len() as u64;
        let given_up = found.given_up;
        let conflicts = crowd.by_place(found);
        (!given_up).then_some(conflicts)
    });
    crowd.row.conflict_graph_ms += milliseconds;
    let candidates = crowd.row.candidates.max(1) as f64;
    crowd.row.avg_degree_before_cap = crowd.row.pairs_before as f64 / candidates;
    crowd.row.avg_degree_after_cap = crowd.row.pairs_after as f64 / candidates;
    conflicts
}

/// Where the places are cut into tasks: by their number, or by the pairs below each parent, whose children are put side by
/// side first.
fn shards(crowd: &Crowd<'_>, places: &mut [Idx]) -> Vec<usize> {
    let Some(limit) = crowd.config.shard_pairs else { return even_shards(places.len()) };
    places.par_sort_unstable_by_key(|&place| (crowd.parents[at(place)], place));
    let (mut shards, mut sum) = (vec![0], 0u64);
    let mut end = 0;
    for siblings in places.chunk_by(|&a, &b| crowd.parents[at(a)] == crowd.parents[at(b)]) {
        let m = siblings.len() as u64;
        sum = sum.saturating_add(m * (m - 1) / 2);
        end += siblings.len();
        if sum >= limit {
            shards.push(end);
            sum = 0;
        }
    }
    if shards.last() != Some(&places.len()) {
        shards.push(places.len());
    }
    shards
}
