//! Radix sort of 64-bit keys that carry a row each, and the runs of equal keys afterwards.
//!
//! Most significant digit first. Each pass looks only at bits that vary within its range, from the highest one down,
//! so shared prefixes (a cluster on a space-filling curve, constant bytes) cost nothing. The width of a digit follows
//! the length of the range: two passes bring a million evenly spread keys to about one per bucket, the second of them
//! inside the second-level cache, and one insertion sweep over the whole range finishes them. Buckets that stay large
//! are sorted by themselves. Nothing but one table of counts is kept: the borders of buckets are read off the keys.

use crate::arena::{Arena, blocks};
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};

/// Widest digit, in bits: its table of counts fills half of a usual first-level cache.
const DIGIT_MAX: u32 = 12;
/// Entries of the table of counts.
const COUNTS: usize = 1 << DIGIT_MAX;
/// Up to so many keys, insertion is faster than a pass.
const SMALL: usize = 24;

/// Blocks of scratch that [`radix_sort_keys`] takes for `len` keys.
pub const fn radix_sort_keys_blocks(len: usize) -> usize {
    blocks::<u64>(len).saturating_add(blocks::<Idx>(len)).saturating_add(blocks::<u32>(COUNTS))
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
/// For keys that differ early, `log2(len) / 12` passes, rounded up; at worst, every bit of the keys decides once. Stack: depth
/// at most 13 calls, for a digit of more than 24 keys has at least five bits, no buffers.
pub fn radix_sort_keys(keys: &mut [u64], rows: &mut [Idx], arena: &mut Arena<'_>) -> Result<(), KernelError> {
    let len = keys.len();
    want("rows", len, rows.len())?;
    idx_len(len)?;
    if arena.free() < radix_sort_keys_blocks(len) {
        return Err(KernelError::Scratch { need: radix_sort_keys_blocks(len), have: arena.free() });
    }
    let mut arena = arena.scope();
    let other = Pairs { keys: arena.take(len)?, rows: arena.take(len)? };
    let counts = arena.take::<u32>(COUNTS)?;
    sort(Pairs { keys, rows }, other, counts, false);
    Ok(())
}

/// Keys and the rows that they carry, of one length.
struct Pairs<'a> {
    keys: &'a mut [u64],
    rows: &'a mut [Idx],
}

impl Pairs<'_> {
    fn part(&mut self, first: usize, end: usize) -> Pairs<'_> {
        Pairs { keys: &mut self.keys[first..end], rows: &mut self.rows[first..end] }
    }

    fn copy_to(&self, to: &mut Pairs<'_>) {
        to.keys.copy_from_slice(self.keys);
        to.rows.copy_from_slice(self.rows);
    }
}

/// Bits of the digit for `len` keys: one key per bucket where one pass can do that, else half of the way.
fn digit_bits(len: usize) -> u32 {
    let all = usize::BITS - len.leading_zeros();
    if all <= DIGIT_MAX { all } else { all.div_ceil(2).min(DIGIT_MAX) }
}

/// Sorts `from`; the result lies in `to` if `move_over`, else where it was. `counts` is a scratch table.
fn sort(mut from: Pairs<'_>, mut to: Pairs<'_>, counts: &mut [u32], move_over: bool) {
    let len = from.keys.len();
    if len <= SMALL {
        return if move_over { insert_over(&from, &mut to) } else { insert_in_place(&mut from) };
    }
    let varying = from.keys.iter().fold(0, |varying, &key| varying | (key ^ from.keys[0]));
    if varying == 0 {
        if move_over {
            from.copy_to(&mut to);
        }
        return;
    }
    let top = u64::BITS - varying.leading_zeros();
    let width = digit_bits(len).min(top);
    let shift = top - width;
    let fullest = pass(&from, &mut to, shift, &mut counts[..1 << width]);
    if shift == 0 {
        if !move_over {
            to.copy_to(&mut from);
        }
    } else if fullest <= SMALL as u32 {
        // Keys are out of place only within their bucket, so each moves by less than its length.
        if move_over {
            insert_in_place(&mut to);
        } else {
            insert_over(&to, &mut from);
        }
    } else {
        buckets(from, to, shift, counts, move_over);
    }
}

/// Sorts the buckets of a range that lies in `to` after a pass by the bits from `shift` up.
fn buckets(mut from: Pairs<'_>, mut to: Pairs<'_>, shift: u32, counts: &mut [u32], move_over: bool) {
    let (len, mut first) = (to.keys.len(), 0);
    while first < len {
        let digit = to.keys[first] >> shift;
        let mut end = first + 1;
        while end < len && to.keys[end] >> shift == digit {
            end += 1;
        }
        let (there, back) = (to.part(first, end), from.part(first, end));
        sort(there, back, counts, !move_over);
        first = end;
    }
}

/// One stable pass by the digit `key >> shift`, whose values are told apart by the low bits that `counts` has entries
/// for. Returns the size of the fullest bucket.
fn pass(from: &Pairs<'_>, to: &mut Pairs<'_>, shift: u32, counts: &mut [u32]) -> u32 {
    let mask = counts.len() as u64 - 1;
    counts.fill(0);
    for &key in from.keys.iter() {
        counts[(key >> shift & mask) as usize] += 1;
    }
    let (mut total, mut fullest) = (0, 0);
    for count in counts.iter_mut() {
        fullest = fullest.max(*count);
        total += core::mem::replace(count, total);
    }
    for (&key, &row) in from.keys.iter().zip(from.rows.iter()) {
        let next = &mut counts[(key >> shift & mask) as usize];
        let place = *next as usize;
        *next += 1;
        to.keys[place] = key;
        to.rows[place] = row;
    }
    fullest
}

/// Insertion sort from one place into another.
fn insert_over(from: &Pairs<'_>, to: &mut Pairs<'_>) {
    for (place, (&key, &row)) in from.keys.iter().zip(from.rows.iter()).enumerate() {
        insert(to, place, key, row);
    }
}

/// Insertion sort in place.
fn insert_in_place(pairs: &mut Pairs<'_>) {
    for place in 1..pairs.keys.len() {
        let (key, row) = (pairs.keys[place], pairs.rows[place]);
        insert(pairs, place, key, row);
    }
}

/// Puts a key behind the last of the sorted `0..place` that is not above it.
#[inline(always)]
fn insert(pairs: &mut Pairs<'_>, mut place: usize, key: u64, row: Idx) {
    while place > 0 && pairs.keys[place - 1] > key {
        pairs.keys[place] = pairs.keys[place - 1];
        pairs.rows[place] = pairs.rows[place - 1];
        place -= 1;
    }
    pairs.keys[place] = key;
    pairs.rows[place] = row;
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
