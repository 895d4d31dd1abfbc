//! Proposals by parents: the points of a level that hang under one parent are thinned among themselves.
//!
//! Points in conflict mostly share their parent. Below one parent the members are taken in the order of their priorities,
//! each unless one taken before is within the radius: that compares a point with the few that are taken, and stores no
//! pair. Winners of neighbouring parents are stitched afterwards.

use covertree_kernels::hash::priority;
use covertree_kernels::index::{Idx, at};
use rayon::prelude::*;

use super::proposals;
use crate::build::crowd::Crowd;
use crate::build::telemetry::LevelRow;
use crate::parallel;

/// A group whose graph could have more pairs than this is thinned whatever the cap says.
const PAIRS_MAX: usize = 1 << 24;

/// Groups that one task thins.
const GROUPS: usize = 64;

pub(super) fn settle(crowd: &mut Crowd<'_>) {
    proposals::settle(crowd, &mut |crowd, _, open, row| thinned(crowd, open, row));
}

/// What is left of each group. A group above the cap is proposed whole: the stitching then makes its graph.
fn thinned(crowd: &mut Crowd<'_>, open: &[Idx], row: &mut LevelRow) -> Vec<Idx> {
    let (seed, level) = (crowd.config.seed, row.level);
    let mut keys = parallel::map(open.len(), &|number| {
        let (place, slot) = (open[number], crowd.slots[at(open[number])]);
        (crowd.parents[at(place)], priority(seed, level as u32, slot), slot, place) // the level's bits are the round
    });
    keys.par_sort_unstable();
    let members: Vec<Idx> = keys.into_iter().map(|(.., place)| place).collect();
    let mut starts = vec![0];
    for group in members.chunk_by(|&a, &b| crowd.parents[at(a)] == crowd.parents[at(b)]) {
        starts.push(starts[starts.len() - 1] + group.len());
    }
    let (radius, cap) = (crowd.ladder.radius(level), crowd.config.group_cap);
    let parts = parallel::pieces(starts.len() - 1, GROUPS, &|range| {
        let (mut taken, mut evals, mut spills) = (Vec::new(), 0, 0);
        for group in range {
            let group = &members[starts[group]..starts[group + 1]];
            let spill = group.len() > cap && group.len().saturating_mul(group.len()) / 2 <= PAIRS_MAX;
            if group.len() == 1 || spill {
                spills += u64::from(spill);
                taken.extend_from_slice(group);
                continue;
            }
            let points: Vec<(Idx, usize)> =
                group.iter().map(|&place| (crowd.slots[at(place)], crowd.position(place))).collect();
            let (slots, count) = crowd.scene.greedy(&points, radius);
            taken.extend(slots.iter().map(|&slot| crowd.places[at(slot)]));
            evals += count;
        }
        (taken, evals, spills)
    });
    let mut proposals = Vec::with_capacity(open.len());
    for (taken, evals, spills) in parts {
        proposals.extend_from_slice(&taken);
        crowd.row.distance_evals += evals;
        row.spills += spills;
    }
    proposals
}
