//! All points at once, level by level upward: the bulk path.
//!
//! All points stand on the lowest level. On each level, upward, an independent set of those that still stand there is kept:
//! of two within the radius one stays behind, on the level below, and hangs under one that stays. What is kept is a net
//! of the next radius, and the nets are nested: the laws of a cover tree hold by construction. The root is always
//! kept, until it stands alone.
//!
//! Near pairs are listed for several levels together, up to the one on which a point has a few neighbours: each pair
//! matters on one level alone, the lowest that joins its points. Where a single level has more pairs than are worth listing (many
//! dimensions, a crowd, duplicates), it is settled without them: what no rival beats is kept, what that covers goes, and again.
//!
//! The points are arranged in space before anything else, which is how they are stored in the end, so that every step
//! reads memory in order.

mod pieces;

use std::sync::atomic::AtomicI32;
use std::time::Instant;

use covertree_kernels::arena::{Arena, blocks};
use covertree_kernels::hash::priority;
use covertree_kernels::index::{Idx, NONE, at, idx_len};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{self as kernel, Conflict, TWIN, knn, search_blocks};

use super::marks::{Around, Changing, Marks};
use super::rivals;
use super::seek::{Draft, Goal, Query, Scene, even_shards};
use super::telemetry::{BatchRow, LevelRow, timed};
use super::{BuildConfig, Builder, Built, Grown, Telemetry, reach};
use crate::error::Error;
use crate::parallel;
use crate::points::gather_rows;
use crate::space::{NearIn, Space};
use crate::tree::{Ladder, Runs, Shape, cells, halve};
use crate::workers::Workers;
use pieces::{Listed, Listing, Outcome, Pieces};

/// The level of a point that still stands.
const STANDS: i32 = i32::MAX;

/// Most points whose pairs one task lists and settles.
const PIECE: usize = 1 << 12;

/// Fewest, but for the last task.
const PIECE_LEAST: usize = 1 << 9;

/// Tasks that points are split into where that allows it: enough for threads to take turns at what is dense and what is not.
const PIECES: usize = 16;

/// Most pairs that are listed for a point, on average over a task.
const PAIRS: usize = 32;

/// Points that are asked how far their neighbours are.
const SAMPLE: usize = 64;

/// Those of them that one task asks.
const ASKED: usize = 16;

/// Neighbours that they are asked for.
const NEIGHBOURS: usize = 16;

/// Neighbours that they may have within the radius of the highest level that pairs are listed for, on average.
const FEW: usize = 8;

/// Most points that are halved as they come. More are put along a curve first, so that halving them reads memory in order.
const AS_GIVEN: usize = 1 << 16;

/// Points that are taken at a time are worth it while they cover one in so many.
const WORTH: usize = 32;

/// Builds the tree over all points of a space, which lists near pairs and is not empty.
pub(super) fn build<S: Space>(
    space: &mut S,
    config: &BuildConfig,
    tier: Tier,
    workers: &Workers,
) -> Result<Built<S>, Error> {
    let started = Instant::now();
    let mut row = BatchRow { conflict: "nets", coverage_ratio: 1.0, ..BatchRow::default() };
    let mut insert_ms = 0.0;
    let (rows, grown) = timed(&mut insert_ms, || arranged(space, config, tier));
    let builder = Builder { space: &*space, config, tier, ladder: grown.tree.ladder.clone(), workers };
    let mut nets = Nets {
        builder: &builder,
        outcome: Outcome::new(rows.len()),
        pieces: (PIECE_LEAST, PIECE),
        standing: (0..rows.len() as Idx).collect(), // the points were counted
        settled: None,
        row: &mut row,
        levels: Vec::new(),
    };
    let mut grown = nets.climb(grown);
    let Nets { outcome, levels, .. } = nets;
    timed(&mut insert_ms, || builder.finish(&mut grown, outcome, rows));
    row.insert_ms = insert_ms;
    row.batch_size = grown.tree.len() - 1;
    row.candidates = grown.tree.levels[1..].iter().filter(|&&level| level != TWIN).count();
    row.selected = row.candidates;
    row.prefix_factor = grown.tree.len() as f64;
    (row.arena_bytes, row.arena_growths) = (workers.bytes(), workers.growths());
    row.read_memory();
    levels.iter().for_each(|level| row.add(level));
    let telemetry = Telemetry {
        batches: vec![row],
        levels,
        notes: builder.notes(),
        build_s: started.elapsed().as_secs_f64(),
        arena_bytes: workers.bytes(),
        arena_growths: workers.growths(),
    };
    let Grown { tree, packed, .. } = grown;
    Ok((tree, packed, telemetry))
}

/// Puts the root first and the other points behind it as in a kd-tree. Returns the row of each slot, and the tree over
/// the slots, without parents.
fn arranged<S: Space>(space: &mut S, config: &BuildConfig, tier: Tier) -> (Vec<Idx>, Grown<S>) {
    let len = idx_len(space.len()).expect("the points were counted when they were read");
    let root = root(len, config.seed);
    let curve = if at(len) > AS_GIVEN { space.curve(tier) } else { None };
    let mut rows = curve.unwrap_or_else(|| (0..len).collect());
    let place = rows.iter().position(|&row| row == root).expect("each row is there once");
    rows[..=place].rotate_right(1);
    space.reorder(&rows);
    let mut slots: Vec<Idx> = (0..len).collect();
    halve::arrange(space, &mut slots[1..]);
    space.reorder(&slots);
    rows = gather_rows(&rows, 1, &slots);
    slots = (0..len).collect();
    let mut tree = cells::over(&slots, |_| 0, space.scanned(), Ladder::new(config.base, 1.0));
    let packed = space.pack(&tree, tier);
    let scale = reach(space, tier, &space.kernel(&packed), 0, 0..slots.len());
    tree.ladder = Ladder::new(config.base, if scale > 0.0 { scale } else { 1.0 });
    (rows, Grown { tree, runs: Runs::default(), packed })
}

/// The level of a point that one of this level covers.
fn below(level: i32) -> i32 {
    if level == TWIN { TWIN } else { level - 1 }
}

/// The level on which a pair at a distance matters, `top` at most.
#[inline]
fn level_of(ladder: kernel::Ladder<'_>, distance: f64, top: i32) -> i32 {
    if distance == 0.0 {
        return TWIN;
    }
    let mut level = top;
    for _ in 0..4 {
        if distance > ladder.radius(level - 1) {
            return level;
        }
        level -= 1;
    }
    ladder.level_over(distance)
}

/// The median distance of some pairs.
fn median(pairs: &mut [Conflict]) -> f64 {
    let middle = pairs.len() / 2;
    let (_, pair, _) = pairs.select_nth_unstable_by(middle, |a, b| a.distance.total_cmp(&b.distance));
    pair.distance
}

/// The first row of a random permutation.
fn root(len: Idx, seed: u64) -> Idx {
    let least =
        parallel::pieces(at(len), PIECE, &|part| part.map(|row| (priority(seed, 0, row as Idx), row as Idx)).min());
    least.into_iter().flatten().min().map_or(0, |(_, row)| row)
}

/// A climb from level to level.
struct Nets<'a, S: Space> {
    builder: &'a Builder<'a, S>,
    outcome: Outcome,
    /// Points of a piece: at least, and at most.
    pieces: (usize, usize),
    /// The slots that still stand, ascending; the root is the first.
    standing: Vec<Idx>,
    /// The highest level whose pairs are settled; none before those at distance 0 are.
    settled: Option<i32>,
    row: &'a mut BatchRow,
    levels: Vec<LevelRow>,
}

impl<S: Space> Nets<'_, S> {
    /// Climbs until the root stands alone; returns the first tree.
    fn climb(&mut self, whole: Grown<S>) -> Grown<S> {
        self.pass(&whole);
        while self.standing.len() > 1 {
            self.pass(&self.over(&self.standing));
        }
        whole
    }

    /// Settles some more levels of the points that stand, which are those of the tree.
    fn pass(&mut self, grown: &Grown<S>) {
        if self.standing.len() < 2 {
            return;
        }
        let ladder = self.builder.ladder.view();
        // The lowest level that has a radius is that of the least positive number.
        let lowest = ladder.level_over(f64::from_bits(1));
        let next = self.settled.map_or(TWIN, |settled| settled + 1);
        let mut level = self.few_up_to(grown).max(next);
        let mut kept = Vec::new();
        loop {
            let (mut graph_ms, mut mis_ms) = (0.0, 0.0);
            let listed = timed(&mut graph_ms, || self.list(grown, level, &mut kept));
            self.row.conflict_graph_ms += graph_ms;
            match listed {
                Ok(listing) => {
                    for row in timed(&mut mis_ms, || self.outcome.settle(&listing)) {
                        self.finish_level(row);
                    }
                }
                Err(typical) if typical > 0.0 && level > next => {
                    // A crowd: its levels come first.
                    level = (level - 1).min(ladder.level_over(typical) - 1).max(next);
                    continue;
                }
                Err(typical) => {
                    kept.clear();
                    level = if typical > 0.0 { level } else { TWIN };
                    let mut row = LevelRow::default();
                    timed(&mut mis_ms, || self.thin(level, &mut row));
                    self.finish_level(LevelRow { level, mis_ms, ..row });
                }
            }
            self.row.mis_ms += mis_ms;
            break;
        }
        self.settled = Some(level.max(lowest - 1));
        self.standing.retain(|&slot| self.outcome.stands(slot));
    }

    /// The highest level within whose radius a point has few neighbours, by a sample.
    fn few_up_to(&self, grown: &Grown<S>) -> i32 {
        let (builder, len) = (self.builder, self.standing.len());
        if len <= 2 * PAIRS {
            return i32::MAX; // no more pairs than are listed
        }
        let (kernel, view) = (builder.space.kernel(&grown.packed), grown.tree.view());
        let sample = len.min(SAMPLE);
        let mut near = vec![f64::INFINITY; sample * NEIGHBOURS];
        let blocks = search_blocks(grown.tree.waiting);
        builder.workers.reserve(blocks);
        parallel::chunks(&mut near, ASKED * NEIGHBOURS, &|chunk, near| {
            builder.workers.with(blocks, |memory| {
                for (number, near) in (chunk * ASKED..).zip(near.chunks_exact_mut(NEIGHBOURS)) {
                    let slot = self.standing[number * len / sample];
                    let (query, mut ids) = (builder.space.query(at(slot)), [NONE; NEIGHBOURS]);
                    knn(builder.tier, view, &kernel, query, slot, near, &mut ids, &mut Arena::new(memory))
                        .expect("the memory was sized for this tree");
                }
            });
        });
        near.sort_unstable_by(f64::total_cmp);
        let typical = near[(sample * FEW).min(near.len() - 1)];
        match typical {
            0.0 => TWIN,
            f64::INFINITY => i32::MAX,
            _ => builder.ladder.view().level_over(typical) - 1,
        }
    }

    /// Lists the pairs within the radius of a level. `kept` holds what earlier calls for this tree have listed of its pieces, up to
    /// higher levels; it is empty afterwards, or holds what did fit where one piece has too many.
    ///
    /// # Errors
    /// A typical distance, where a piece has too many.
    fn list(&mut self, grown: &Grown<S>, level: i32, kept: &mut Vec<Option<Listed>>) -> Result<Listing, f64> {
        let (builder, tree) = (self.builder, &grown.tree);
        let size = tree.len().div_ceil(PIECES).clamp(self.pieces.0, self.pieces.1);
        let pieces = Pieces::new(&tree.ids, size);
        kept.resize_with(tree.len().div_ceil(size), || None);
        let (view, ladder) = (tree.view(), builder.ladder.view());
        let radius = ladder.radius(level);
        let scratch = builder.space.near_pairs_blocks(tree);
        let room = size.max(2 * PAIRS).min(tree.len()) * PAIRS;
        let blocks = scratch.saturating_add(blocks::<Conflict>(room));
        builder.workers.reserve(blocks);
        let listed = parallel::chunks(kept, 1, &|piece, kept| {
            let [kept] = kept else { return (Ok(()), 0) };
            if kept.is_some() {
                return (Ok(()), 0);
            }
            let rows = piece * size..tree.len().min((piece + 1) * size);
            builder.workers.with(blocks, |memory| {
                let mut arena = Arena::new(memory);
                let out = arena.take(room).expect("sized for so many");
                let near = NearIn { tier: builder.tier, view, packed: &grown.packed, rows, radius };
                let (found, evals) = builder.space.near_pairs(&near, out, &mut arena);
                if found > out.len() {
                    return (Err(median(out)), evals);
                }
                *kept = Some(pieces.sort(piece, &out[..found], |distance| level_of(ladder, distance, level)));
                (Ok(()), evals)
            })
        });
        self.row.distance_evals += listed.iter().map(|(_, evals)| evals).sum::<u64>();
        listed.into_iter().try_for_each(|(listed, _)| listed)?;
        let listed: Vec<Listed> = kept.drain(..).flatten().map(|listed| listed.up_to(level)).collect();
        self.row.shards += listed.len();
        let listing = Listing::new(pieces, listed);
        self.row.pairs_before += listing.len() as u64; // widens
        self.row.pairs_after += listing.len() as u64;
        Ok(listing)
    }

    /// Settles the only level of some pairs.
    fn settle_level(&mut self, listing: &Listing, row: &mut LevelRow) {
        for settled in self.outcome.settle(listing) {
            row.conflict_adj_pairs += settled.conflict_adj_pairs;
            row.dominated += settled.dominated;
        }
    }

    /// Settles the level above all that are settled without listing its pairs: a few points at a time, spread evenly, as long
    /// as they cover many; then the rest, which stands less dense.
    fn thin(&mut self, level: i32, row: &mut LevelRow) {
        let (mut open, radius) = (self.standing.clone(), self.radius(level));
        let query = |&slot: &Idx| Query { slot, position: usize::MAX, level: 0, radius };
        loop {
            let (before, len) = (open.len(), open.len().min(2 * PAIRS));
            let block: Vec<Idx> = (0..len).map(|number| open[number * open.len() / len]).collect();
            // So few have no more pairs than are listed.
            let listing =
                self.list(&self.over(&block), level, &mut Vec::new()).expect("there is room for all pairs of so few");
            self.settle_level(&listing, row);
            let winners: Vec<Idx> = block.into_iter().filter(|&slot| self.stands(slot)).collect();
            open.retain(|&slot| self.stands(slot) && winners.binary_search(&slot).is_err());
            let queries: Vec<Query> = open.iter().map(query).collect();
            let grown = self.over(&winners);
            let scene = Draft { builder: self.builder, grown: &grown };
            let marks = Marks::of(&grown.tree, vec![1; winners.len()]);
            let covers = scene.seek(&marks, &queries, &even_shards(queries.len()), Goal::Nearest, 1);
            self.row.distance_evals += covers.evals;
            self.hang(&covers.all, level, row);
            open.retain(|&slot| self.stands(slot));
            row.rounds += 1;
            if open.is_empty() {
                return;
            }
            if before - open.len() < before / WORTH {
                break;
            }
        }
        let grown = self.over(&open);
        match self.list(&grown, level, &mut Vec::new()) {
            Ok(listing) => self.settle_level(&listing, row),
            Err(_) => self.thin_by_rivals(&grown, level, row),
        }
    }

    /// Settles the level for the points of a tree without listing any pairs.
    fn thin_by_rivals(&mut self, grown: &Grown<S>, level: i32, row: &mut LevelRow) {
        let (scene, radius) = (Draft { builder: self.builder, grown }, self.radius(level));
        let seed = self.builder.config.seed ^ level as u64; // any bits do
        let places = grown.tree.ids.iter().enumerate();
        let open = places.map(|(position, &slot)| Query { slot, position, level: 0, radius }).collect();
        let around = Around::new(&grown.tree);
        let settled = rivals::settle(&scene, &mut Changing::new(&grown.tree, &around), open, seed);
        self.row.distance_evals += settled.evals;
        row.rounds += settled.rounds;
        row.mis_iterations += settled.rounds;
        self.hang(&settled.covers, level, row);
    }

    /// Takes from the level what others cover.
    fn hang(&mut self, covers: &[Conflict], level: i32, row: &mut LevelRow) {
        row.dominated += covers.len();
        for cover in covers {
            let slot = at(cover.id);
            self.outcome.levels[slot] = below(level).into();
            self.outcome.parents[slot] = cover.other;
            self.outcome.distances[slot] = cover.distance;
        }
    }

    /// How far points of a level conflict.
    fn radius(&self, level: i32) -> f64 {
        if level == TWIN { 0.0 } else { self.builder.ladder.view().radius(level) }
    }

    fn stands(&self, slot: Idx) -> bool {
        self.outcome.stands(slot)
    }

    /// A tree over some slots, all of them on level 0.
    fn over(&self, slots: &[Idx]) -> Grown<S> {
        let tree = cells::over(slots, |_| 0, self.builder.space.scanned(), self.builder.ladder.clone());
        let packed = self.builder.space.pack(&tree, self.builder.tier);
        Grown { tree, runs: Runs::default(), packed }
    }

    fn finish_level(&mut self, mut row: LevelRow) {
        if row.conflict_adj_pairs == 0 && row.rounds == 0 {
            return;
        }
        let before: usize = self.levels.iter().map(|row| row.dominated).sum();
        row.coverage_ratio = 1.0;
        row.candidates = self.outcome.levels.len() - before;
        row.selected = row.candidates - row.dominated;
        self.levels.push(row);
    }
}

impl<S: Space> Builder<'_, S> {
    /// Puts levels and parents into the tree over all slots, whose positions are the slots, and names its points by rows.
    fn finish(&self, grown: &mut Grown<S>, outcome: Outcome, rows: Vec<Idx>) {
        let Outcome { levels, parents, .. } = outcome;
        let mut levels: Vec<i32> = levels.into_iter().map(AtomicI32::into_inner).collect();
        levels[0] = 0; // the root, which still stands
        let tree = &mut grown.tree;
        let slots: Vec<Idx> = tree.ids.to_vec();
        self.measure_apart(tree, &Shape { slots: &slots, parents: &parents, levels: &levels });
        tree.levels = levels.into();
        tree.parents = parents.into();
        cells::find_tops(tree);
        tree.ids = rows.into();
    }
}

#[cfg(test)]
mod tests;
