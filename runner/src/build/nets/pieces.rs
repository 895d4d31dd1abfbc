//! Near pairs, piece by piece, and how they settle levels.
//!
//! Points are cut into pieces that lie together in memory and in space, and pieces that have pairs with each other get different
//! colours. Of two points that conflict at most one stays: within a piece the first in the order of storage, between pieces that of
//! the lower colour. One colour is settled after the other, all pieces of a colour at the same time; only the task of a piece writes
//! what becomes of its points. Pieces and colours do not depend on the number of threads, so neither does what is kept. The first
//! point of all always stays.

use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::tree::Conflict;
use rayon::prelude::*;

use super::{STANDS, below};
use crate::build::telemetry::{LevelRow, timed};
use crate::parallel;

/// Keys that are told apart one by one; where there are more, they are sorted.
const KEYS: usize = 1 << 10;

/// Slots cut into pieces.
pub(super) struct Pieces {
    /// The first slot of each piece, ascending.
    firsts: Vec<Idx>,
}

impl Pieces {
    /// Pieces of `size` slots each, but for the last. The slots ascend.
    pub fn new(slots: &[Idx], size: usize) -> Self {
        Self { firsts: slots.iter().step_by(size).copied().collect() }
    }

    fn has(&self, piece: usize, slot: Idx) -> bool {
        self.firsts[piece] <= slot && self.firsts.get(piece + 1).is_none_or(|&next| slot < next)
    }

    /// Sorts the pairs that were listed for the slots of a piece by the level on which they matter, and the piece of the other slot.
    pub fn sort(&self, piece: usize, pairs: &[Conflict], level_of: impl Fn(f64) -> i32) -> Listed {
        let mut last = piece;
        let key_of = |pair: &Conflict| {
            let level = level_of(pair.distance);
            if self.has(piece, pair.other) {
                return key(level, piece);
            }
            if !self.has(last, pair.other) {
                last = self.firsts.partition_point(|&first| first <= pair.other) - 1;
            }
            key(level, last)
        };
        let keys: Vec<Key> = pairs.iter().map(key_of).collect();
        Listed::new(pairs, &keys)
    }
}

/// The level on which a pair matters, and below that the piece of its second slot, as one number, so that it is compared at once.
type Key = i64;

fn key(level: i32, piece: usize) -> Key {
    Key::from(level) << 32 | piece as Key // there are fewer pieces than slots
}

/// The level and the piece of a key.
fn parts(key: Key) -> (i32, usize) {
    ((key >> 32) as i32, (key & 0xFFFF_FFFF) as usize) // as they were before they were made a key
}

/// The pairs that were listed for the slots of a piece, which are the first of each, in the order of their keys.
pub(super) struct Listed {
    pairs: Vec<Conflict>,
    /// The key and the end of each run of pairs.
    runs: Vec<(Key, usize)>,
}

impl Listed {
    /// Sorts pairs, each of which has a key; those of one key stay in their order.
    fn new(given: &[Conflict], keys: &[Key]) -> Self {
        let (mut runs, numbers, mut counts) = numbered(keys);
        // What was the count of a key becomes the place of its next pair, and what was its number the end of its run.
        let mut end = 0;
        for run in &mut runs {
            let next = &mut counts[run.1];
            (end, *next) = (end + *next, end);
            run.1 = end;
        }
        let mut pairs = vec![Conflict::default(); given.len()];
        for (pair, number) in given.iter().zip(numbers) {
            let place = &mut counts[at(number)];
            pairs[*place] = *pair;
            *place += 1;
        }
        Self { pairs, runs }
    }

    /// Those that matter on a level up to this one.
    pub fn up_to(mut self, level: i32) -> Self {
        self.runs.truncate(self.runs.partition_point(|run| parts(run.0).0 <= level));
        self.pairs.truncate(self.runs.last().map_or(0, |run| run.1));
        self
    }

    /// The pairs of a level with slots of a piece.
    fn of(&self, level: i32, piece: usize) -> &[Conflict] {
        let Ok(place) = self.runs.binary_search_by_key(&key(level, piece), |run| run.0) else { return &[] };
        let first = if place == 0 { 0 } else { self.runs[place - 1].1 };
        &self.pairs[first..self.runs[place].1]
    }

    pub fn len(&self) -> usize {
        self.pairs.len()
    }
}

/// Numbers the different keys; gives them ascending with their numbers, the number of each key, and how many have each.
fn numbered(keys: &[Key]) -> (Vec<(Key, usize)>, Vec<Idx>, Vec<usize>) {
    let (mut known, mut counts): (Vec<(Key, usize)>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut numbers = Vec::with_capacity(keys.len());
    let mut last = None;
    for &key in keys {
        // Neighbours often have the same.
        let number = match last {
            Some((last, number)) if last == key => number,
            _ => match known.binary_search_by_key(&key, |known| known.0) {
                Ok(place) => known[place].1,
                Err(place) => {
                    known.insert(place, (key, counts.len()));
                    counts.push(0);
                    counts.len() - 1
                }
            },
        };
        last = Some((key, number));
        counts[number] += 1;
        numbers.push(number as Idx); // fewer than pairs
        if known.len() > KEYS {
            return numbered_by_sorting(keys);
        }
    }
    (known, numbers, counts)
}

/// The same where there are many.
fn numbered_by_sorting(keys: &[Key]) -> (Vec<(Key, usize)>, Vec<Idx>, Vec<usize>) {
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    let counts = sorted.chunk_by(|a, b| a == b).map(<[Key]>::len).collect();
    sorted.dedup();
    let number = |key| sorted.binary_search(key).expect("all are there") as Idx; // fewer than pairs
    let numbers = keys.iter().map(number).collect();
    (sorted.into_iter().zip(0..).collect(), numbers, counts)
}

/// All near pairs of some points.
pub(super) struct Listing {
    pieces: Pieces,
    /// Those of each piece.
    listed: Vec<Listed>,
    /// The pieces that each piece has pairs with, ascending.
    neighbours: Vec<Vec<usize>>,
    colours: Vec<Idx>,
}

impl Listing {
    /// The pairs that were listed for each piece.
    pub fn new(pieces: Pieces, listed: Vec<Listed>) -> Self {
        let mut neighbours: Vec<Vec<usize>> = vec![Vec::new(); listed.len()];
        for (piece, listed) in listed.iter().enumerate() {
            let mut others: Vec<usize> = listed.runs.iter().map(|run| parts(run.0).1).collect();
            others.sort_unstable();
            others.dedup();
            for other in others.into_iter().filter(|&other| other != piece) {
                neighbours[piece].push(other);
                neighbours[other].push(piece);
            }
        }
        let mut colours: Vec<Idx> = Vec::with_capacity(listed.len());
        for (piece, neighbours) in neighbours.iter_mut().enumerate() {
            neighbours.sort_unstable();
            let mut taken: Vec<Idx> =
                neighbours.iter().filter(|&&other| other < piece).map(|&other| colours[other]).collect();
            taken.sort_unstable();
            taken.dedup();
            let free = taken.iter().zip(0..).position(|(&colour, free)| colour != free);
            colours.push(free.unwrap_or(taken.len()) as Idx); // no more than pieces
        }
        Self { pieces, listed, neighbours, colours }
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.listed.iter().map(Listed::len).sum()
    }

    /// Which pieces have something to do on which level: the level, the colour and the number of the piece, in order.
    fn tasks(&self) -> Vec<(i32, Idx, Idx)> {
        let tasks = self.listed.par_iter().enumerate().flat_map_iter(|(piece, listed)| {
            let task = move |run: &(Key, usize)| {
                let (level, other) = parts(run.0);
                let later = if self.colours[other] > self.colours[piece] { other } else { piece };
                (level, self.colours[later], later as Idx) // there are fewer pieces than slots
            };
            listed.runs.iter().map(task)
        });
        let mut tasks: Vec<(i32, Idx, Idx)> = tasks.collect();
        tasks.par_sort_unstable();
        tasks.dedup();
        tasks
    }

    /// The pieces with the parents and distances of their slots.
    fn cut<'a>(&self, mut parents: &'a mut [Idx], mut distances: &'a mut [f64]) -> Vec<Mutex<Part<'a>>> {
        let mut parts = Vec::with_capacity(self.listed.len());
        let mut first = 0;
        for number in 0..self.listed.len() {
            // What stands before the first piece belongs to it, and what stands behind the last to that.
            let end = self.pieces.firsts.get(number + 1).map_or(first + parents.len(), |&next| at(next));
            let (own_parents, parents_rest) = parents.split_at_mut(end - first);
            let (own_distances, distances_rest) = distances.split_at_mut(end - first);
            parts.push(Mutex::new(Part { first, parents: own_parents, distances: own_distances }));
            (parents, distances, first) = (parents_rest, distances_rest, end);
        }
        parts
    }
}

/// What becomes of the slots of a piece.
struct Part<'a> {
    /// The first slot whose parent and distance follow.
    first: usize,
    parents: &'a mut [Idx],
    distances: &'a mut [f64],
}

/// What becomes of each slot.
pub(super) struct Outcome {
    /// Its level; [`STANDS`] as long as it stands.
    pub levels: Vec<AtomicI32>,
    /// Its parent.
    pub parents: Vec<Idx>,
    /// How far that is.
    pub distances: Vec<f64>,
}

impl Outcome {
    /// All of them stand.
    pub fn new(len: usize) -> Self {
        let levels = (0..len).map(|_| AtomicI32::new(STANDS)).collect();
        Self { levels, parents: vec![NONE; len], distances: vec![0.0; len] }
    }

    pub fn stands(&self, slot: Idx) -> bool {
        self.levels[at(slot)].load(Relaxed) == STANDS
    }

    /// Settles levels, upward, by all of their pairs. Returns what was done on each.
    pub fn settle(&mut self, listing: &Listing) -> Vec<LevelRow> {
        let Self { levels, parents, distances } = self;
        let (tasks, parts) = (listing.tasks(), listing.cut(parents, distances));
        let of_level = |tasks: &[(i32, Idx, Idx)]| {
            let (mut row, mut mis_ms) = (LevelRow { level: tasks[0].0, ..LevelRow::default() }, 0.0);
            timed(&mut mis_ms, || {
                for tasks in tasks.chunk_by(|a, b| a.1 == b.1) {
                    let counts = parallel::pieces(tasks.len(), 1, &|task| {
                        let (level, _, piece) = tasks[task.start];
                        // No other task wants it.
                        let mut part = parts[at(piece)].lock().unwrap_or_else(PoisonError::into_inner);
                        settle(listing, at(piece), level, levels, &mut part)
                    });
                    for (pairs, covered) in counts {
                        row.conflict_adj_pairs += pairs;
                        row.dominated += covered;
                    }
                }
            });
            LevelRow { mis_ms, ..row }
        };
        tasks.chunk_by(|a, b| a.0 == b.0).map(of_level).collect()
    }
}

/// Settles the slots of a piece on a level; returns how many pairs there were, and how many slots are covered.
fn settle(listing: &Listing, piece: usize, level: i32, levels: &[AtomicI32], part: &mut Part<'_>) -> (u64, usize) {
    let Listing { listed, neighbours, colours, .. } = listing;
    // Pairs are listed for the slot that stands first.
    let earlier = neighbours[piece].iter().filter(|&&other| colours[other] < colours[piece]);
    let between = earlier.map(|&other| match other < piece {
        true => (listed[other].of(level, piece), false),
        false => (listed[piece].of(level, other), true),
    });
    let (below, mut pairs, mut covered) = (below(level), 0, 0);
    for (met, turned) in between.chain([(listed[piece].of(level, piece), false)]) {
        pairs += met.len() as u64; // widens
        for pair in met {
            let (keeper, other) = if turned { (pair.other, pair.id) } else { (pair.id, pair.other) };
            // Whether the keeper stays is known: elsewhere by its colour, here by earlier pairs, which name those before it.
            if levels[at(keeper)].load(Relaxed) != STANDS {
                continue;
            }
            let now = levels[at(other)].load(Relaxed);
            let place = at(other) - part.first;
            if now == STANDS || (now == below && pair.distance < part.distances[place]) {
                levels[at(other)].store(below, Relaxed);
                (part.parents[place], part.distances[place]) = (keeper, pair.distance);
            }
            covered += usize::from(now == STANDS);
        }
    }
    (pairs, covered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use covertree_kernels::hash::mix64;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_settled_as_if_one_after_the_other(
            len in 1..200usize, size in 1..30usize, edges in 0..600u64, levels in 1..4u64, seed: u64,
        ) {
            // Slots with gaps; each two have one pair at most.
            let slots: Vec<Idx> = (0..len as Idx).map(|slot| 2 * slot + 1).collect();
            let word = |edge: u64| mix64(seed ^ mix64(edge));
            let end = |edge| (word(edge) % len as u64) as usize;
            let mut all: Vec<(usize, usize)> = (0..edges)
                .map(|edge| (end(2 * edge), end(2 * edge + 1)))
                .filter(|(a, b)| a != b)
                .map(|(a, b)| (a.min(b), a.max(b)))
                .collect();
            all.sort_unstable();
            all.dedup();
            let distance = |&(a, b): &(usize, usize)| (word((a * len + b) as u64) % (8 * levels)) as f64 + 1.0;
            let level_of = |distance: f64| ((distance - 1.0) / 8.0) as i32 - 2;
            let pieces = Pieces::new(&slots, size);
            let listed = (0..len.div_ceil(size)).map(|piece| {
                let own = all.iter().filter(|pair| pair.0 / size == piece);
                let pair = |pair: &(usize, usize)| Conflict { id: slots[pair.0], other: slots[pair.1], distance: distance(pair) };
                pieces.sort(piece, &own.map(pair).collect::<Vec<_>>(), level_of)
            });
            let listed: Vec<Listed> = listed.collect();
            let listing = Listing::new(pieces, listed);
            prop_assert_eq!(listing.len(), all.len());
            let mut outcome = Outcome::new(2 * len);
            let rows = outcome.settle(&listing);
            // One slot after the other, by colour and place.
            let colour = |slot: usize| listing.colours[slot / size];
            for (a, b) in &all {
                prop_assert!(a / size == b / size || colour(*a) != colour(*b));
            }
            let mut order: Vec<usize> = (0..len).collect();
            order.sort_by_key(|&slot| (colour(slot), slot));
            let (mut expected, mut parents) = (vec![STANDS; len], vec![f64::INFINITY; len]);
            for level in -2..levels as i32 - 2 {
                let mut gone = 0;
                for &slot in &order {
                    if expected[slot] != STANDS {
                        continue;
                    }
                    for pair in all.iter().filter(|pair| level_of(distance(pair)) == level) {
                        let other = if pair.0 == slot { pair.1 } else { pair.0 };
                        let covers = pair.0 == slot || pair.1 == slot;
                        if !covers || (colour(other), other) < (colour(slot), slot) {
                            continue;
                        }
                        gone += usize::from(expected[other] == STANDS);
                        if expected[other] == STANDS
                            || (expected[other] == level - 1 && distance(pair) < parents[other])
                        {
                            (expected[other], parents[other]) = (level - 1, distance(pair));
                        }
                    }
                }
                let row = rows.iter().find(|row| row.level == level);
                prop_assert_eq!(row.map_or(0, |row| row.dominated), gone);
            }
            for (place, &slot) in slots.iter().enumerate() {
                prop_assert_eq!(outcome.levels[at(slot)].load(Relaxed), expected[place]);
                if expected[place] != STANDS {
                    prop_assert_eq!(outcome.distances[at(slot)], parents[place]);
                    let parent = at(outcome.parents[at(slot)] - 1) / 2;
                    let pair = (parent.min(place), parent.max(place));
                    prop_assert!(all.contains(&pair) && distance(&pair) == parents[place]);
                }
            }
            prop_assert_eq!(expected[0], STANDS);
        }

        #[test]
        fn keys_are_numbered_alike_both_ways(keys in prop::collection::vec(-5i64..5, 0..60)) {
            let sorted = |(known, numbers, counts): (Vec<(Key, usize)>, Vec<Idx>, Vec<usize>)| {
                let runs: Vec<(Key, usize)> = known.iter().map(|&(key, number)| (key, counts[number])).collect();
                let named: Vec<Key> = numbers.iter().map(|&number| known.iter().find(|known| known.1 == at(number)).unwrap().0).collect();
                (runs, named)
            };
            prop_assert_eq!(sorted(numbered(&keys)), sorted(numbered_by_sorting(&keys)));
        }
    }
}
