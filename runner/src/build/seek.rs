//! Searches of the builder: among the points of a batch or of a tree, those that are marked.

use std::sync::atomic::{AtomicU64, Ordering};

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::hash::priority;
use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::tree::{
    Conflict, Group, Ladder, Metric, SCAN_QUERIES, TWIN, TreeParts, TreeView, Visitor, farthest, search, search_blocks,
};

use super::marks::Marks;
use super::{Builder, Grown};
use crate::parallel;
use crate::space::Space;
use crate::tree::Tree;

/// Points that one task searches for.
pub(super) const CHUNK: usize = 256;

/// What is looked for among the marked points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Goal {
    /// All on the same level or above. A pair on one level is found from the earlier position alone, unless `both`. Given up
    /// where more than `most` are found in all.
    Conflicts { both: bool, most: u64 },
    /// All at later positions.
    Later,
    /// The nearest one, by (distance, slot).
    Nearest,
    /// Any one that beats the point: on a higher level, or of a lesser priority on the same one.
    Rival { seed: u64 },
    /// The nearest that covers the point. Given up behind so many that came nearer; the entry behind it says so.
    Cover { chain: u64 },
}

/// One search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query {
    /// The slot of the point.
    pub slot: Idx,
    /// Its position; beyond all where it is not in the tree.
    pub position: usize,
    /// Its level in the tree.
    pub level: i32,
    /// No point farther than this is looked for.
    pub radius: f64,
}

/// The visitor of all of these searches: one type, so that the traversal is compiled once for each metric.
struct Seeker<'a, 'o> {
    parts: TreeParts<'a>,
    ladder: Ladder<'a>,
    marks: &'a [u8],
    query: Query,
    goal: Goal,
    radius: f64,
    best: Idx,
    offers: u64,
    out: &'o mut [Conflict],
    found: usize,
}

impl Seeker<'_, '_> {
    #[inline(always)]
    fn limit(&self) -> f64 {
        match self.goal {
            Goal::Cover { chain } if self.offers >= chain => f64::NEG_INFINITY,
            Goal::Rival { .. } if self.found > 0 => f64::NEG_INFINITY,
            _ => self.radius,
        }
    }

    fn beats(&self, position: usize, seed: u64) -> bool {
        let (level, slot) = (self.query.level, self.query.slot);
        let rival = self.parts.ids[position];
        // The level's bits are the round.
        let of = |slot| (priority(seed, level as u32, slot), slot);
        self.parts.levels[position] > level || of(rival) < of(slot)
    }

    fn write(&mut self, position: usize, distance: f64) {
        if let Some(out) = self.out.get_mut(self.found) {
            *out = Conflict { distance, id: self.query.slot, other: self.parts.ids[position] };
        }
        self.found += 1;
    }

    /// Keeps the nearest by (distance, slot).
    fn keep(&mut self, position: usize, distance: f64) {
        let nearer = distance < self.radius
            || self.best == NONE
            || (distance == self.radius && self.parts.ids[position] < self.parts.ids[at(self.best)]);
        if nearer {
            self.radius = distance;
            self.best = position as Idx; // a position fits: the view checked the length
        }
    }

    /// How many entries the search needs; those there was room for are written.
    fn finish(mut self) -> usize {
        if self.best != NONE {
            let (position, distance) = (at(self.best), self.radius.max(0.0));
            self.write(position, distance);
        }
        if let Goal::Cover { chain } = self.goal
            && self.offers >= chain
            && self.found > 0
        {
            let position = at(self.best);
            self.write(position, f64::INFINITY);
        }
        self.found
    }
}

impl<R: Real> Visitor<R> for Seeker<'_, '_> {
    const BY_GROUP: bool = true;

    #[inline(always)]
    fn cap(&self) -> f64 {
        self.limit()
    }

    #[inline(always)]
    fn cap_in(&self, _number: usize, group: &Group) -> f64 {
        let cap = self.limit();
        let (top, later) = (group.top, at(group.end) > self.query.position);
        let any = match self.goal {
            Goal::Conflicts { both, .. } => top > self.query.level || (top == self.query.level && (both || later)),
            Goal::Rival { .. } => top >= self.query.level,
            Goal::Later => top != TWIN && later,
            Goal::Nearest => top != TWIN,
            Goal::Cover { .. } => return f64::min(self.ladder.radius(top), cap),
        };
        if any { cap } else { f64::NEG_INFINITY }
    }

    #[inline(always)]
    fn admits(&self, position: usize) -> bool {
        if self.marks[position] == 0 || position == self.query.position {
            return false;
        }
        let level = self.parts.levels[position];
        match self.goal {
            Goal::Conflicts { both, .. } => {
                level > self.query.level || (level == self.query.level && (both || position > self.query.position))
            }
            Goal::Later => position > self.query.position,
            Goal::Nearest => true,
            Goal::Rival { seed } => level >= self.query.level && self.beats(position, seed),
            Goal::Cover { .. } => level != TWIN,
        }
    }

    #[inline(always)]
    fn offer(&mut self, position: usize, distance: f64) {
        if distance > self.radius {
            return;
        }
        match self.goal {
            Goal::Conflicts { .. } | Goal::Later | Goal::Rival { .. } => self.write(position, distance),
            Goal::Nearest => self.keep(position, distance),
            Goal::Cover { .. } => {
                if distance <= self.ladder.radius(self.parts.levels[position]) {
                    self.keep(position, distance);
                    self.offers += 1;
                }
            }
        }
    }
}

/// What searches found.
#[derive(Default)]
pub(super) struct Found {
    /// What was found; `id` is the slot that was searched for, `other` the slot that was found.
    pub all: Vec<Conflict>,
    /// How much that was before the degree cap.
    pub before: u64,
    /// Distances that were evaluated.
    pub evals: u64,
    /// Whether there is more than was to be found in all, and the search was given up.
    pub given_up: bool,
}

/// A tree whose points are searched, whatever their metric.
pub(super) trait Scene: Sync {
    /// The tree; its ids are slots.
    fn tree(&self) -> &Tree;

    /// Searches for each query; the ranges of `shards` are tasks. At most `cap` results of a query are kept, the nearest.
    fn seek(&self, marks: &Marks, queries: &[Query], shards: &[usize], goal: Goal, cap: usize) -> Found;

    /// The first of these slots, and then each that is farther than `radius` from those that were taken.
    fn greedy(&self, members: &[(Idx, usize)], radius: f64) -> (Vec<Idx>, u64);

    /// Axes along which there are coordinates.
    fn axes(&self) -> usize;

    /// The coordinate of a slot along an axis.
    fn coordinate(&self, slot: Idx, axis: usize) -> f64;
}

/// Points that a builder laid out, on the levels that they have so far.
pub(super) struct Draft<'a, S: Space> {
    pub builder: &'a Builder<'a, S>,
    pub grown: &'a Grown<S>,
}

impl<S: Space> Scene for Draft<'_, S> {
    fn tree(&self) -> &Tree {
        &self.grown.tree
    }

    fn seek(&self, marks: &Marks, queries: &[Query], shards: &[usize], goal: Goal, cap: usize) -> Found {
        let (tree, builder) = (&self.grown.tree, self.builder);
        let kernel = builder.space.kernel(&self.grown.packed);
        let parts = TreeParts { groups: &marks.groups, ..tree.parts() };
        debug_assert!(TreeView::new(parts).is_ok(), "as the tree's own, but for the tops");
        let view = TreeView::accepted(parts);
        let ladder = builder.ladder.view();
        let most = if let Goal::Conflicts { most, .. } = goal { most } else { u64::MAX };
        let sum = AtomicU64::new(0);
        let searching = Searching { builder, kernel: &kernel, view, ladder, flags: &marks.flags, goal, most, sum };
        let blocks = search_blocks(tree.waiting);
        builder.workers.reserve(blocks);
        let work =
            |place: usize| builder.workers.with(blocks, |memory| searching.search(&queries[place], &mut [], memory).1);
        // A chain is a matter of the order in which a search meets the nodes.
        let sweeps = !matches!(goal, Goal::Cover { .. }) && builder.sweeps(tree.len(), queries.len(), &work);
        let blocks = if sweeps { builder.space.sweep_blocks() } else { blocks };
        builder.workers.reserve(blocks);
        let found = parallel::pieces(shards.len() - 1, 1, &|shard| {
            let queries = &queries[shards[shard.start]..shards[shard.start + 1]];
            builder.workers.with(blocks, |memory| match sweeps {
                true => searching.sweep_all(queries, cap, memory),
                false => searching.search_all(queries, cap, memory),
            })
        });
        join(found)
    }

    fn greedy(&self, members: &[(Idx, usize)], radius: f64) -> (Vec<Idx>, u64) {
        let kernel = self.builder.space.kernel(&self.grown.packed);
        let (mut taken, mut evals): (Vec<(Idx, usize)>, u64) = (Vec::new(), 0);
        for &(slot, position) in members {
            let point = self.builder.space.query(at(slot));
            let near = taken.iter().any(|&(_, other)| {
                evals += 1;
                between(self.builder.tier, &kernel, point, other) <= radius
            });
            if !near {
                taken.push((slot, position));
            }
        }
        (taken.into_iter().map(|(slot, _)| slot).collect(), evals)
    }

    fn axes(&self) -> usize {
        self.builder.space.axes()
    }

    fn coordinate(&self, slot: Idx, axis: usize) -> f64 {
        self.builder.space.coordinate(at(slot), axis)
    }
}

/// Searches for one goal.
struct Searching<'a, 'k, S: Space + 'k> {
    builder: &'a Builder<'k, S>,
    kernel: &'a S::Kernel<'k>,
    view: TreeView<'a>,
    ladder: Ladder<'a>,
    flags: &'a [u8],
    goal: Goal,
    /// How much may be found in all, by all tasks,
    most: u64,
    /// and how much has been, give or take [`UNTOLD`] for each task.
    sum: AtomicU64,
}

/// What a task finds before it tells the others.
const UNTOLD: u64 = 1 << 12;

impl<'k, S: Space> Searching<'_, 'k, S> {
    /// Adds what a task has found to the sum once it is worth it, or at its end; says whether that is too much.
    fn tell(&self, untold: &mut u64, end: bool) -> bool {
        if *untold >= UNTOLD || end {
            self.sum.fetch_add(std::mem::take(untold), Ordering::Relaxed);
        }
        self.sum.load(Ordering::Relaxed) > self.most
    }

    fn seeker<'o>(&'o self, query: &Query, out: &'o mut [Conflict]) -> Seeker<'o, 'o> {
        Seeker {
            parts: self.view.parts(),
            ladder: self.ladder,
            marks: self.flags,
            query: *query,
            goal: self.goal,
            radius: query.radius,
            best: NONE,
            offers: 0,
            out,
            found: 0,
        }
    }

    /// How many entries a query needs, those there was room for being written; and how many distances that took.
    fn search(&self, query: &Query, out: &mut [Conflict], memory: &mut [Block]) -> (usize, u64) {
        let builder = self.builder;
        let point = builder.space.query(at(query.slot));
        let seeker = self.seeker(query, out);
        let (seeker, counters) = search(builder.tier, self.view, self.kernel, point, seeker, &mut Arena::new(memory))
            .expect("the memory was sized for this tree");
        (seeker.finish(), counters.distance_evals)
    }

    /// One query after the other, through the tree.
    fn search_all(&self, queries: &[Query], cap: usize, memory: &mut [Block]) -> Found {
        let mut found = Found { all: vec![Conflict::default(); 4 * queries.len()], ..Found::default() };
        let (mut used, mut untold) = (0, 0);
        for query in queries {
            let count = loop {
                let (count, evals) = self.search(query, &mut found.all[used..], memory);
                found.evals += evals;
                if used + count <= found.all.len() {
                    break count;
                }
                let room = (used + count).max(2 * found.all.len());
                found.all.resize(room, Conflict::default());
            };
            found.before += count as u64; // widens
            let kept = keep_nearest(&mut found.all[used..used + count], cap);
            (used, untold) = (used + kept, untold + kept as u64);
            if self.tell(&mut untold, false) {
                break;
            }
        }
        found.all.truncate(used);
        found.all.shrink_to_fit(); // all tasks keep theirs until the last one ends
        found.given_up = self.tell(&mut untold, true);
        found
    }

    /// The same by brute force, a block of queries at a time.
    fn sweep_all(&self, queries: &[Query], cap: usize, memory: &mut [Block]) -> Found {
        let builder = self.builder;
        let (mut found, mut room, mut untold) = (Found::default(), 16, 0);
        for queries in queries.chunks(SCAN_QUERIES) {
            let slots: Vec<Idx> = queries.iter().map(|query| query.slot).collect();
            let (mut out, counts) = loop {
                let mut out = vec![Conflict::default(); room * queries.len()];
                let both = queries.iter().zip(out.chunks_exact_mut(room));
                let mut seekers: Vec<Seeker<'_, '_>> = both.map(|(query, out)| self.seeker(query, out)).collect();
                let arena = &mut Arena::new(memory);
                found.evals += builder.space.sweep(builder.tier, self.kernel, &slots, &mut seekers, arena);
                let counts: Vec<usize> = seekers.into_iter().map(Seeker::finish).collect();
                let most = counts.iter().copied().max().unwrap_or(0);
                if most <= room {
                    break (out, counts);
                }
                room = most;
            };
            for (out, count) in out.chunks_exact_mut(room).zip(counts) {
                found.before += count as u64; // widens
                let kept = keep_nearest(&mut out[..count], cap);
                found.all.extend_from_slice(&out[..kept]);
                untold += kept as u64;
            }
            if self.tell(&mut untold, false) {
                break;
            }
        }
        found.all.shrink_to_fit(); // as above
        found.given_up = self.tell(&mut untold, true);
        found
    }
}

/// The distance to one point: the largest of a run of one.
fn between<M: Metric>(tier: Tier, metric: &M, query: M::Query<'_>, position: usize) -> f64 {
    farthest(tier, metric, query, position, position + 1).expect("the position is one of the tree's").0
}

/// Puts the `cap` nearest in front, by (distance, slot); returns how many there are.
fn keep_nearest(found: &mut [Conflict], cap: usize) -> usize {
    if found.len() > cap {
        found.select_nth_unstable_by(cap, |a, b| a.distance.total_cmp(&b.distance).then(a.other.cmp(&b.other)));
    }
    found.len().min(cap)
}

fn join(parts: Vec<Found>) -> Found {
    if parts.iter().any(|part| part.given_up) {
        let evals = parts.iter().map(|part| part.evals).sum();
        return Found { evals, given_up: true, ..Found::default() };
    }
    let mut whole =
        Found { all: Vec::with_capacity(parts.iter().map(|part| part.all.len()).sum()), ..Found::default() };
    for part in parts {
        whole.all.extend_from_slice(&part.all);
        whole.before += part.before;
        whole.evals += part.evals;
    }
    whole
}

/// Shards of equal numbers of queries.
pub(super) fn even_shards(len: usize) -> Vec<usize> {
    (0..len).step_by(CHUNK).chain([len]).collect()
}
