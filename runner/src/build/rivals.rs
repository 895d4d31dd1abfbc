//! Independent sets without a graph: what no rival beats is kept, what that covers goes, and again.
//!
//! A search ends at the first rival, and keeps the nearest cover alone: a crowd, all of whose pairs lie within the radius, takes no
//! more memory than its points.

use covertree_kernels::index::Idx;
use covertree_kernels::tree::Conflict;

use super::marks::Changing;
use super::seek::{Found, Goal, Query, Scene, even_shards};

/// What became of some points.
#[derive(Default)]
pub(super) struct Settled {
    /// The slots that are kept, no two of them within the radius,
    pub kept: Vec<Idx>,
    /// and a cover of each other one: the nearest of those that were kept in the same round.
    pub covers: Vec<Conflict>,
    /// Rounds that this took.
    pub rounds: u64,
    /// Distances that were evaluated.
    pub evals: u64,
}

/// Settles some points of a tree all of whose points are on level 0, given the searches for them, which have one radius. Which are
/// kept is a matter of the seed alone. `among` has no marks before and after.
pub(super) fn settle(scene: &dyn Scene, among: &mut Changing<'_>, mut open: Vec<Query>, seed: u64) -> Settled {
    let mut settled = Settled::default();
    let mark = |among: &mut Changing<'_>, queries: &[Query], mark: bool| {
        queries.iter().for_each(|query| among.set(query.position, mark));
    };
    mark(among, &open, true);
    while !open.is_empty() {
        let mut seek = |among: &Changing<'_>, queries: &[Query], goal: Goal| {
            let Found { all, evals, .. } = scene.seek(among.marks(), queries, &even_shards(queries.len()), goal, 1);
            settled.evals += evals;
            all
        };
        let rivals = seek(among, &open, Goal::Rival { seed });
        let (beaten, kept) = split(open, &rivals);
        mark(among, &beaten, false);
        let covers = seek(among, &beaten, Goal::Nearest);
        mark(among, &kept, false);
        (_, open) = split(beaten, &covers);
        mark(among, &open, true);
        settled.kept.extend(kept.iter().map(|query| query.slot));
        settled.covers.extend(covers);
        settled.rounds += 1;
    }
    settled
}

/// The searches that found something, one result each, and those that did not: results stand in the order of the searches.
pub(super) fn split(queries: Vec<Query>, found: &[Conflict]) -> (Vec<Query>, Vec<Query>) {
    let mut found = found.iter().peekable();
    queries.into_iter().partition(|query| found.next_if(|found| found.id == query.slot).is_some())
}
