//! The laws of a tree that speak of distances.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::tree::{Metric, TWIN, farthest};

use super::SelfQueries;
use super::bodies::{CHUNK, Close, Distances, OutsideBox, ReachLimit, TooClose};
use super::structure::collect;
use super::violation::{Findings, Violation};
use crate::build::round_up;
use crate::parallel;
use crate::tree::{Order, Runs, Tree};

/// Nodes that one task holds against all others.
const NODES: usize = 32;

/// Members of a group that one task holds against its box.
const MEMBERS: usize = 1 << 14;

/// The precision of the surrogates of a set of points.
type RealOf<Q> = <<Q as SelfQueries>::Metric as Metric>::Real;

/// Every child is covered by its parent, and every twin lies on its node. Parents that do not exist are passed over.
pub(super) fn cover<Q: SelfQueries>(tree: &Tree, points: &Q, tier: Tier) -> Findings {
    let ladder = tree.ladder.view();
    let wrong = |position: usize| {
        let room = &mut Q::Room::default();
        let above = usize::try_from(tree.parents[position]).ok().filter(|&above| above < tree.len())?;
        let mut distance = [0.0];
        let query = points.query(position, room);
        tier.run(Distances { metric: points.metric(), query, from: above, out: &mut distance });
        let (id, parent, level, [distance]) = (tree.ids[position], tree.ids[above], tree.levels[position], distance);
        let radius = ladder.radius(level.saturating_add(1));
        if level == TWIN {
            (distance != 0.0).then_some(Violation::TwinDistance { id, node: parent, distance })
        } else {
            let covered = distance <= radius;
            (!covered).then_some(Violation::Cover { id, level, parent, distance, radius })
        }
    };
    collect(tree.len(), &|position| wrong(position).into_iter().collect())
}

/// Nodes are separated: all pairs of them, or the nodes of a sample (ascending positions) against all others.
pub(super) fn separation<Q: SelfQueries>(tree: &Tree, points: &Q, sample: Option<&[Idx]>, tier: Tier) -> Findings {
    let lanes = <RealOf<Q>>::LANES;
    let ladder = tree.ladder.view();
    let ceiling = |&level: &i32| match level {
        TWIN => <RealOf<Q>>::from_f64(f64::NEG_INFINITY),
        _ => points.metric().ceiling(ladder.radius(level)),
    };
    let mut ceilings: Vec<RealOf<Q>> = tree.levels.iter().map(ceiling).collect();
    ceilings.resize(tree.len().next_multiple_of(lanes), <RealOf<Q>>::from_f64(f64::NEG_INFINITY));
    let all: Vec<Idx>;
    let nodes = match sample {
        Some(nodes) => nodes,
        None => {
            all = nodes_of(tree);
            &all
        }
    };
    let close = |range: Range<usize>| {
        let nodes = &nodes[range];
        let mut rooms: Vec<Q::Room> = nodes.iter().map(|_| Q::Room::default()).collect();
        let queries: Vec<_> =
            nodes.iter().zip(&mut rooms).map(|(&node, room)| (at(node), points.query(at(node), room))).collect();
        let end = if sample.is_some() { tree.len() } else { nodes.last().map_or(0, |&last| at(last)) };
        let mut found = Vec::new();
        // A chunk of points stays in the cache while all nodes of the task pass over it.
        for from in (0..end).step_by(CHUNK) {
            tier.run(TooClose {
                metric: points.metric(),
                nodes: &queries,
                before: sample.is_none(),
                from,
                to: end.min(from + CHUNK),
                ceilings: &ceilings,
                found: &mut found,
            });
        }
        let mut findings = Findings::default();
        for close in found {
            // Two nodes of the sample meet twice.
            let again = close.other < close.position
                && sample.is_some_and(|nodes| nodes.binary_search(&(close.other as Idx)).is_ok());
            if let (false, Some(violation)) = (again, too_close(tree, &close)) {
                findings.add(violation);
            }
        }
        findings
    };
    parallel::pieces(nodes.len(), NODES, &close).into_iter().fold(Findings::default(), Findings::merge)
}

/// The positions of all nodes that are no twins, ascending.
pub(super) fn nodes_of(tree: &Tree) -> Vec<Idx> {
    (0..).zip(tree.levels.iter()).filter(|(_, level)| **level != TWIN).map(|(position, _)| position).collect()
}

fn too_close(tree: &Tree, close: &Close) -> Option<Violation> {
    let (first, second) = (close.position.min(close.other), close.position.max(close.other));
    let (id, other, distance) = (tree.ids[first], tree.ids[second], close.distance);
    let (level, other_level) = (tree.levels[first], tree.levels[second]);
    let radius = tree.ladder.view().radius(level.min(other_level));
    if distance > radius {
        None
    } else if distance == 0.0 {
        Some(Violation::Coincident { id, other })
    } else {
        Some(Violation::Separation { id, level, other, other_level, distance, radius })
    }
}

/// What a reach may be.
enum Bounds {
    Kept,
    /// The farthest position and its distance.
    Below(usize, f64),
    /// The distance of the farthest point, and the largest reach that it allows.
    Above(f64, f32),
}

/// Holds the reach from one position against the distances to a run.
fn bounds<Q: SelfQueries>(points: &Q, tier: Tier, from: usize, run: (Idx, Idx), reach: f32) -> Bounds {
    let (first, end) = (at(run.0), at(run.1));
    let mut room = Q::Room::default();
    let query = points.query(from, &mut room);
    let metric = points.metric();
    let (farthest, _) = farthest(tier, metric, query, first, end).expect("the run lies within the tree");
    if reach == round_up(farthest) {
        return Bounds::Kept; // what the builder computes, on the same tier
    }
    let (mut place, mut largest) = (first, 0.0);
    let mut distances = [0.0; CHUNK];
    for from in (first..end).step_by(CHUNK) {
        let out = &mut distances[..CHUNK.min(end - from)];
        tier.run(Distances { metric, query, from, out });
        for (offset, &distance) in out.iter().enumerate() {
            if distance > largest {
                (place, largest) = (from + offset, distance);
            }
        }
    }
    if first == end {
        return Bounds::Above(0.0, 0.0);
    }
    let limit = round_up(tier.run(ReachLimit { metric, distance: largest }));
    if f64::from(reach) < largest || reach.is_nan() {
        Bounds::Below(place, largest)
    } else if reach > limit {
        Bounds::Above(largest, limit)
    } else {
        Bounds::Kept
    }
}

/// Every reach holds all strict descendants, and not more than rounding explains.
pub(super) fn reaches<Q: SelfQueries>(tree: &Tree, runs: &Runs, points: &Q, tier: Tier) -> Findings {
    let wrong = |node: usize| {
        let (id, reach) = (tree.ids[node], tree.reaches[node]);
        match bounds(points, tier, node, (runs.firsts[node], runs.ends[node]), reach) {
            Bounds::Kept => None,
            Bounds::Below(place, distance) => {
                Some(Violation::Reach { id, reach, descendant: tree.ids[place], distance })
            }
            Bounds::Above(distance, limit) => Some(Violation::LooseReach { id, reach, distance, limit }),
        }
    };
    collect(tree.len(), &|node| wrong(node).into_iter().collect())
}

/// As [`reaches`], for a tree in whose order descendants do not lie together: every point is held against all its
/// ancestors. For parents that `structure::nodes` has passed.
pub(super) fn reaches_of_parents<Q: SelfQueries>(tree: &Tree, points: &Q, tier: Tier) -> Findings {
    // Distances are not negative, so that their bits are in their order.
    let farthest: Vec<AtomicU64> = tree.ids.iter().map(|_| AtomicU64::new(0)).collect();
    let visit_ancestors = |visit: &(dyn Fn(usize, usize, f64) + Sync)| {
        parallel::pieces(tree.len(), CHUNK, &|positions| {
            let mut room = Q::Room::default();
            for position in positions {
                let query = points.query(position, &mut room);
                let mut above = tree.parents[position];
                while above != NONE {
                    let mut distance = [0.0];
                    tier.run(Distances { metric: points.metric(), query, from: at(above), out: &mut distance });
                    visit(position, at(above), distance[0]);
                    above = tree.parents[at(above)];
                }
            }
        });
    };
    visit_ancestors(&|_, node, distance| {
        // Relaxed is enough: the largest is read after the threads have been joined.
        if distance.to_bits() > farthest[node].load(Ordering::Relaxed) {
            farthest[node].fetch_max(distance.to_bits(), Ordering::Relaxed);
        }
    });
    let distance = |node: usize| f64::from_bits(farthest[node].load(Ordering::Relaxed));
    let holds = |node: usize| f64::from(tree.reaches[node]) >= distance(node);
    // Which descendant is farthest is looked up for reports alone.
    let places: Vec<AtomicUsize> = match (0..tree.len()).all(holds) {
        true => Vec::new(),
        false => tree.ids.iter().map(|_| AtomicUsize::new(usize::MAX)).collect(),
    };
    if !places.is_empty() {
        visit_ancestors(&|position, node, found| {
            if found == distance(node) {
                places[node].fetch_min(position, Ordering::Relaxed);
            }
        });
    }
    let wrong = |node: usize| {
        let (id, reach, distance) = (tree.ids[node], tree.reaches[node], distance(node));
        if !holds(node) {
            let place = places[node].load(Ordering::Relaxed);
            let descendant = tree.ids.get(place).copied().unwrap_or(id);
            return Some(Violation::Reach { id, reach, descendant, distance });
        }
        let limit = round_up(tier.run(ReachLimit { metric: points.metric(), distance }));
        (reach > limit.max(round_up(distance))).then_some(Violation::LooseReach { id, reach, distance, limit })
    };
    collect(tree.len(), &|node| wrong(node).into_iter().collect())
}

/// Every group lies within its reach of its center, and in its box if there are boxes.
pub(super) fn groups<Q: SelfQueries>(tree: &Tree, points: &Q, tier: Tier) -> Findings {
    let wrong = |group: usize| {
        let held = &tree.groups[group];
        let reach = held.reach;
        let center = || tree.ids[at(held.center)];
        let unbounded = || Violation::Group { group, problem: "has a reach, though only its box bounds it" };
        let outside = match tree.order {
            Order::Cells => (reach != f32::INFINITY).then(unbounded),
            Order::Blocks => match bounds(points, tier, at(held.center), (held.first, held.end), reach) {
                Bounds::Kept => None,
                Bounds::Below(place, distance) => {
                    Some(Violation::GroupReach { group, reach, center: center(), id: tree.ids[place], distance })
                }
                Bounds::Above(distance, limit) => {
                    Some(Violation::LooseGroup { group, reach, center: center(), distance, limit })
                }
            },
        };
        let unboxed = match points.metric().has_boxes() {
            true => parallel::pieces(at(held.end).saturating_sub(at(held.first)), MEMBERS, &|part| {
                let members = at(held.first) + part.start..at(held.first) + part.end;
                tier.run(OutsideBox { points, group, members })
            })
            .into_iter()
            .find_map(|outside| outside),
            false => None,
        };
        [outside, unboxed.map(|member| Violation::Box { group, id: tree.ids[member] })].into_iter().flatten().collect()
    };
    collect(tree.groups.len(), &wrong)
}

/// So many nodes, chosen by the seed; ascending positions.
pub(super) fn sample(tree: &Tree, count: usize, seed: u64) -> Vec<Idx> {
    let mut nodes = nodes_of(tree);
    let count = count.min(nodes.len());
    if count < nodes.len() {
        // No two nodes have the same priority.
        let priority = |&node: &Idx| covertree_kernels::hash::priority(seed, 0, node);
        nodes.select_nth_unstable_by_key(count, priority);
        nodes.truncate(count);
        nodes.sort_unstable();
    }
    nodes
}
