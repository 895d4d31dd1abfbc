//! Radix sort of 64-bit keys that carry a row each, and the runs of equal keys afterwards.
//!
//! Only bits that vary within a range are looked at, from the highest one down, so shared prefixes (a cluster on a
//! space-filling curve, constant bytes) cost nothing. A long range is first cut by a digit into buckets that stay in the
//! second-level cache. It is counted by eleven bits before the digit is chosen, because keys of a space-filling curve crowd:
//! half of a million Hilbert keys of normal points lie in eight of 512 buckets. A range that does takes two stable passes, by the lower and then by the upper half of as many
//! bits as tell nearly all of its keys apart, and one insertion sweep puts right what is left. A sweep that has to move
//! keys far gives up, and the runs of keys that the passes did not tell apart are sorted by themselves.
//!
//! Key and row move together, sixteen bytes at a time: a scatter touches one place per key, not two. Nothing but two
//! tables of counts is kept: the borders of buckets are read off the keys.

use super::GroupCounters;
use crate::arena::{Arena, blocks};
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};

/// Widest digit, in bits: its table of counts fills a quarter of a usual first-level cache.
const DIGIT_MAX: u32 = 11;
/// Entries of a table of counts.
const COUNTS: usize = 1 << DIGIT_MAX;
/// Up to so many keys, insertion is faster than a pass.
const SMALL: usize = 24;
/// Longest range that is not cut into buckets: its pairs fill a usual second-level cache.
const NEAR: usize = 1 << 16;
/// Keys per bucket, as a power of two, that a cut aims at, were they evenly spread.
const BUCKET_LOG2: u32 = 11;
/// Keys of a bucket from which on finer ones pay: its pairs, and the place that they go through, fill half of a usual
/// second-level cache.
const LONG: u32 = 1 << 14;
/// Bits that the two digits of a range have beyond the logarithm of its length: one key in thirty-two, if they are
/// evenly spread, then has another one beside it that the digits do not tell from it.
const SPARE_BITS: u32 = 4;
/// Places that a sweep may move a key by, on average, before it gives up.
const MOVES: usize = 8;

/// A key and its row.
type Pair = [u64; 2];

/// Pairs of the scratch that the two passes of a range go through.
const fn near(len: usize) -> usize {
    if len < NEAR { len } else { NEAR }
}

/// Blocks of scratch that [`radix_sort_keys`] takes for `len` keys.
pub const fn radix_sort_keys_blocks(len: usize) -> usize {
    blocks::<Pair>(len).saturating_add(blocks::<Pair>(near(len))).saturating_add(2 * blocks::<u32>(COUNTS))
}

/// Sorts keys, each with its row; rows of equal keys keep their order.
///
/// | argument | shape |
/// | --- | --- |
/// | `keys` | `[len]`, sorted in place, rising |
/// | `rows` | `[len]`, any values, permuted like the keys |
/// | `arena` | [`radix_sort_keys_blocks`]`(len)` blocks |
///
/// # Errors
/// [`KernelError::Shape`] when the lengths differ, [`KernelError::TooLong`], [`KernelError::Scratch`]. Nothing is
/// written then.
///
/// # Cost
/// For keys that are evenly spread, two passes up to 65,536 of them and three beyond; at worst, every bit of the keys
/// decides once. Stack: no buffers, and a depth of at most 50 calls, for each cut uses up six bits or more, and each
/// pair of passes ten or more.
pub fn radix_sort_keys(
    keys: &mut [u64],
    rows: &mut [Idx],
    arena: &mut Arena<'_>,
    counters: &mut GroupCounters,
) -> Result<(), KernelError> {
    let len = keys.len();
    want("rows", len, rows.len())?;
    idx_len(len)?;
    if arena.free() < radix_sort_keys_blocks(len) {
        return Err(KernelError::Scratch { need: radix_sort_keys_blocks(len), have: arena.free() });
    }
    let mut arena = arena.scope();
    let pairs = arena.take::<Pair>(len)?;
    let other = arena.take::<Pair>(near(len))?;
    let (low, high) = (arena.take(COUNTS)?, arena.take(COUNTS)?);
    let mut scratch = Scratch { other, low, high, work: GroupCounters::default() };
    sort(Range { pairs, keys, rows }, &mut scratch);
    counters.merge(&scratch.work);
    Ok(())
}

/// A range of keys and rows, with the place beside it that their pairs are moved through. What is to be sorted lies in
/// either; the result lies in `keys` and `rows`.
struct Range<'a> {
    pairs: &'a mut [Pair],
    keys: &'a mut [u64],
    rows: &'a mut [Idx],
}

/// What the passes of a range need besides, and what they have done.
struct Scratch<'a> {
    other: &'a mut [Pair],
    low: &'a mut [u32],
    high: &'a mut [u32],
    work: GroupCounters,
}

impl Range<'_> {
    fn len(&self) -> usize {
        self.keys.len()
    }

    fn part(&mut self, first: usize, end: usize) -> Range<'_> {
        Range { pairs: &mut self.pairs[first..end], keys: &mut self.keys[first..end], rows: &mut self.rows[first..end] }
    }

    fn copy_back(&mut self) {
        for ((&[key, row], to), to_row) in self.pairs.iter().zip(self.keys.iter_mut()).zip(self.rows.iter_mut()) {
            (*to, *to_row) = (key, row_of(row));
        }
    }

    /// Sorts the pairs into `keys` and `rows` by insertion, unless that takes more moves than `most`; the pairs stay as
    /// they are. Returns the moves: more than `most` if it is not done.
    fn insert_back(&mut self, most: usize) -> usize {
        let mut moves = 0;
        for (place, &[key, row]) in self.pairs.iter().enumerate() {
            moves += insert(self.keys, self.rows, place, key, row_of(row));
            if moves > most {
                break;
            }
        }
        moves
    }
}

/// Pairs of keys and rows; the low half of the second word is the row.
fn zipped(keys: &[u64], rows: &[Idx]) -> impl Iterator<Item = Pair> + Clone {
    keys.iter().zip(rows).map(|(&key, &row)| [key, u64::from(row as u32)])
}

/// The row of a pair.
#[inline(always)]
fn row_of(word: u64) -> Idx {
    word as u32 as Idx // the low half is the row, whatever its sign
}

/// Binary digits of a length.
const fn bits(len: usize) -> u32 {
    usize::BITS - len.leading_zeros()
}

/// Bits that are left when those above the highest one that varies are taken away.
fn varying_bits(keys: impl Iterator<Item = u64>, first: u64) -> u32 {
    u64::BITS - keys.fold(0, |varying, key| varying | (key ^ first)).leading_zeros()
}

/// Sorts what lies in `keys` and `rows`.
fn sort(mut range: Range<'_>, scratch: &mut Scratch<'_>) {
    let len = range.len();
    if len <= SMALL {
        let mut moves = 0;
        for place in 1..len {
            let (key, row) = (range.keys[place], range.rows[place]);
            moves += insert(range.keys, range.rows, place, key, row);
        }
        scratch.work.inserted += len as u64;
        scratch.work.places += moves as u64;
        return;
    }
    let top = varying_bits(range.keys.iter().copied(), range.keys[0]);
    if top == 0 {
        scratch.work.tied += len as u64;
        return;
    }
    if len <= NEAR {
        let shift = pass_low(zipped(range.keys, range.rows), len, top, scratch);
        return pass_high(range, shift, scratch);
    }
    scratch.work.cut += len as u64;
    let width = count_buckets(range.keys, top, scratch.low);
    let (shift, counts) = (top - width, &mut scratch.low[..1 << width]);
    starts(counts);
    for pair in zipped(range.keys, range.rows) {
        put(pair, range.pairs, counts, digit(pair[0], shift, width));
    }
    runs(&mut range, shift, scratch);
}

/// Counts keys that differ in their low `top` bits by the highest digit of these, and returns how wide it is: as wide as buckets
/// of a good size take, were keys evenly spread, or the widest if one of those buckets would be long.
fn count_buckets(keys: &[u64], top: u32, counts: &mut [u32]) -> u32 {
    let widest = DIGIT_MAX.min(top);
    let width = (bits(keys.len()) - BUCKET_LOG2).min(widest);
    let counts = &mut counts[..1 << widest];
    counts.fill(0);
    for &key in keys {
        counts[digit(key, top - widest, widest)] += 1;
    }
    let parts = 1 << (widest - width);
    let size = |parts: &[u32]| parts.iter().sum::<u32>();
    if counts.chunks_exact(parts).any(|parts| size(parts) > LONG) {
        return widest;
    }
    for bucket in 0..1 << width {
        counts[bucket] = size(&counts[bucket * parts..][..parts]);
    }
    width
}

/// Sorts what lies in `pairs`, in order of `key >> shift` already.
fn runs(range: &mut Range<'_>, shift: u32, scratch: &mut Scratch<'_>) {
    let (len, mut first) = (range.len(), 0);
    while first < len {
        let above = range.pairs[first][0] >> shift;
        let mut end = first + 1;
        while end < len && range.pairs[end][0] >> shift == above {
            end += 1;
        }
        run(range.part(first, end), scratch);
        first = end;
    }
}

/// Sorts what lies in `pairs`.
fn run(mut range: Range<'_>, scratch: &mut Scratch<'_>) {
    let len = range.len();
    if len <= SMALL {
        scratch.work.places += range.insert_back(usize::MAX) as u64;
        scratch.work.inserted += len as u64;
        return;
    }
    if len > NEAR {
        range.copy_back();
        return sort(range, scratch);
    }
    let top = varying_bits(range.pairs.iter().map(|pair| pair[0]), range.pairs[0][0]);
    if top == 0 {
        scratch.work.tied += len as u64;
        return range.copy_back();
    }
    let shift = pass_low(range.pairs.iter().copied(), len, top, scratch);
    pass_high(range, shift, scratch);
}

/// Bits of each of the two digits for `len` keys.
const fn digit_bits(len: usize) -> u32 {
    (bits(len) + SPARE_BITS).div_ceil(2)
}
const _: () = assert!(digit_bits(NEAR) <= DIGIT_MAX);

/// The first of two passes over up to [`NEAR`] pairs whose keys differ in their low `top` bits: into the scratch by the
/// lower digit, which begins at the returned bit. Counts for the second one too.
#[inline(always)]
fn pass_low(pairs: impl Iterator<Item = Pair> + Clone, len: usize, top: u32, scratch: &mut Scratch<'_>) -> u32 {
    let width = digit_bits(len);
    let shift = top.saturating_sub(2 * width);
    let (low, high) = (&mut scratch.low[..1 << width], &mut scratch.high[..1 << width]);
    low.fill(0);
    high.fill(0);
    for [key, _] in pairs.clone() {
        low[digit(key, shift, width)] += 1;
        high[digit(key, shift + width, width)] += 1;
    }
    starts(low);
    starts(high);
    for pair in pairs {
        put(pair, scratch.other, low, digit(pair[0], shift, width));
    }
    shift
}

/// The second pass: back from the scratch by the upper digit. Then everything that is left to do.
fn pass_high(mut range: Range<'_>, shift: u32, scratch: &mut Scratch<'_>) {
    let len = range.len();
    let width = digit_bits(len);
    let high = &mut scratch.high[..1 << width];
    for &pair in &scratch.other[..len] {
        put(pair, range.pairs, high, digit(pair[0], shift + width, width));
    }
    // Keys are out of place only within a run of equal digits, so that runs can be sorted by themselves.
    let (most, work) = (MOVES * len, &mut scratch.work);
    let moves = range.insert_back(most);
    work.places += moves as u64;
    if moves > most {
        work.given_up += len as u64;
        runs(&mut range, shift, scratch);
    } else {
        work.swept += len as u64;
    }
}

/// The digit of so many bits that begins at bit `shift`. Bits above the varying ones are the same in all keys of a range.
#[inline(always)]
fn digit(key: u64, shift: u32, width: u32) -> usize {
    (key >> shift & ((1 << width) - 1)) as usize // below 2^11
}

/// Puts a pair at the next place of its bucket.
#[inline(always)]
fn put(pair: Pair, to: &mut [Pair], starts: &mut [u32], bucket: usize) {
    let next = &mut starts[bucket];
    to[*next as usize] = pair; // widens
    *next += 1;
}

/// Turns counts into the starts of buckets.
fn starts(counts: &mut [u32]) {
    let mut total = 0;
    for count in counts.iter_mut() {
        total += core::mem::replace(count, total);
    }
}

/// Puts a key behind the last of the sorted `0..place` that is not above it. Returns how many it passed.
#[inline(always)]
fn insert(keys: &mut [u64], rows: &mut [Idx], end: usize, key: u64, row: Idx) -> usize {
    let mut place = end;
    while place > 0 && keys[place - 1] > key {
        keys[place] = keys[place - 1];
        rows[place] = rows[place - 1];
        place -= 1;
    }
    keys[place] = key;
    rows[place] = row;
    end - place
}

/// Starts of the runs of equal keys; returns how many runs there are.
///
/// | argument | shape |
/// | --- | --- |
/// | `keys` | `[len]`, rising |
/// | `starts` | `[len + 1]`: run `g` is `starts[g]..starts[g + 1]`; what follows the last run's end keeps its contents |
///
/// # Errors
/// [`KernelError::Shape`] when `starts` does not fit, [`KernelError::TooLong`], [`KernelError::Value`] at the first key
/// that falls. Nothing is written then.
///
/// # Cost
/// Reads each key twice.
pub fn key_runs(keys: &[u64], starts: &mut [Idx]) -> Result<Idx, KernelError> {
    let len = idx_len(keys.len())?;
    want("starts", keys.len() + 1, starts.len())?;
    if let Some(place) = keys.windows(2).position(|pair| pair[1] < pair[0]) {
        return Err(KernelError::Value { what: "keys", at: place + 1 });
    }
    if keys.is_empty() {
        starts[0] = 0;
        return Ok(0);
    }
    starts[0] = 0;
    let mut runs = 1;
    for (place, pair) in (1..).zip(keys.windows(2)) {
        // Written always, kept only where a run begins: no branch to guess.
        starts[at(runs)] = place;
        runs += Idx::from(pair[0] != pair[1]);
    }
    starts[at(runs)] = len;
    Ok(runs)
}
