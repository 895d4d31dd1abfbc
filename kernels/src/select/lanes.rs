//! Bodies over the lane traits.

use core::cmp::Ordering;

use crate::hash::mix64;
use crate::index::Idx;
use crate::simd::{LANES_F32, Lanes, OnLanes, Real, Vector};

/// Values between two questions whether any has passed: as many as a word has bits.
const BLOCK: usize = 4 * LANES_F32;

/// At most so many values of a block are written one by one.
const FEW: u32 = 4;

/// A threshold scan to be run on some tier; returns how many values passed.
pub(super) struct PositionsAtMost<'a, T> {
    pub values: &'a [T],
    pub threshold: T,
    pub first: Idx,
    pub out: &'a mut [Idx],
}

impl<T: Real> OnLanes for PositionsAtMost<'_, T> {
    type Out = usize;

    #[inline(always)]
    fn run<L: Lanes>(self) -> usize {
        let Self { values, threshold, first, out } = self;
        let bound = <T::On<L>>::splat(threshold);
        let (mut end, mut place) = (0, 0);
        // A store writes sixteen places, so it needs that much room behind what has passed; since no more has passed
        // than was read, there is room while sixteen values are left.
        while place + BLOCK <= values.len() {
            let block = &values[place..place + BLOCK];
            let mut masks = [0; BLOCK / LANES_F32];
            let mut any = 0;
            for (mask, values) in masks.iter_mut().zip(block.chunks_exact(LANES_F32)) {
                *mask = at_most::<T, L>(values, bound);
                any |= *mask;
            }
            if any != 0 {
                let base = first + place as Idx; // fits: the entrance checked
                end += store_block::<L>(masks, base, &mut out[end..]);
            }
            place += BLOCK;
        }
        for (value, position) in values[place..].iter().zip(first + place as Idx..) {
            // fits: the entrance checked
            if *value <= threshold {
                out[end] = position;
                end += 1;
            }
        }
        end
    }
}

/// Writes the places of the bits of a block, from `base` on; returns how many there are.
#[inline(always)]
fn store_block<L: Lanes>(masks: [u32; BLOCK / LANES_F32], base: Idx, out: &mut [Idx]) -> usize {
    let mut bits = 0u64;
    for mask in masks.into_iter().rev() {
        bits = bits << LANES_F32 | u64::from(mask);
    }
    let mut end = 0;
    if bits.count_ones() <= FEW {
        while bits != 0 {
            out[end] = base + bits.trailing_zeros() as Idx; // below a block
            bits &= bits - 1;
            end += 1;
        }
        return end;
    }
    for (mask, base) in masks.into_iter().zip((base..).step_by(LANES_F32)) {
        L::store_places(mask, base, &mut out[end..]);
        end += mask.count_ones() as usize; // at most sixteen
    }
    end
}

/// Which of sixteen values are at most the bound: one panel row of `f32`, two of `f64`.
#[inline(always)]
fn at_most<T: Real, L: Lanes>(values: &[T], bound: T::On<L>) -> u32 {
    let low = <T::On<L>>::load(values).le(bound);
    if T::LANES == LANES_F32 { low } else { low | <T::On<L>>::load(&values[T::LANES..]).le(bound) << T::LANES }
}

/// The k-th smallest of a row, to be found on some tier; `None` if the row holds a NaN.
pub(super) struct KthSmallest<'a, T> {
    pub row: &'a [T],
    pub k: usize,
    pub buffer: &'a mut [T],
}

/// What was found, and how.
pub(super) struct Found<T> {
    pub value: T,
    pub passed: usize,
    pub missed: bool,
}

/// Rows up to this length are partitioned at once: a sample costs more than it saves.
const SHORT: usize = 256;

impl<T: Real> OnLanes for KthSmallest<'_, T> {
    type Out = Option<Found<T>>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Option<Found<T>> {
        let Self { row, k, buffer } = self;
        if row.len() <= SHORT {
            return whole(row, k, buffer, false);
        }
        let (low, high) = bracket(row, k, buffer)?;
        let split = split::<T, L>(row, low, high, buffer)?;
        let passed = split.inside;
        if k > split.up_to_low && k <= split.up_to_low + split.inside {
            let value = partition(&mut buffer[..split.inside], k - split.up_to_low);
            return Some(Found { value, passed, missed: false });
        }
        // Ties often put the answer on an end of the bracket.
        let end = if k <= split.up_to_low { low } else { high };
        let (below, up_to) = counts::<T, L>(row, end);
        if below < k && k <= up_to {
            return Some(Found { value: plus_zero(end), passed, missed: false });
        }
        whole(row, k, buffer, true)
    }
}

/// Partitions a copy of the whole row.
fn whole<T: Real>(row: &[T], k: usize, buffer: &mut [T], missed: bool) -> Option<Found<T>> {
    buffer.copy_from_slice(row);
    if buffer.iter().any(|value| value.partial_cmp(value).is_none()) {
        return None;
    }
    Some(Found { value: partition(buffer, k), passed: row.len(), missed })
}

/// The k-th smallest of the values, none of them NaN; their order is lost.
fn partition<T: Real>(values: &mut [T], k: usize) -> T {
    plus_zero(*values.select_nth_unstable_by(k - 1, order).1)
}

/// Of numbers. With a NaN it is no order, on which std may panic; one that is total takes up to twice as long.
fn order<T: Real>(a: &T, b: &T) -> Ordering {
    a.partial_cmp(b).unwrap_or(Ordering::Equal)
}

fn plus_zero<T: Real>(value: T) -> T {
    T::from_f64(value.to_f64() + 0.0) // exact
}

/// Two values that the k-th smallest very likely lies strictly between, from a sample; `None` if that holds a NaN.
///
/// The rank of the answer in a sample of `s` values is binomial with mean `s k / n`; the bracket reaches three standard
/// deviations to either side. With `v = k / n (1 - k / n)` it then holds about `6 n sqrt(v / s)` values; a sampled value
/// and a value inside cost about the same, and their sum is least for `s` near `(3 n)^(2/3) v^(1/3)`. The floor of
/// `sqrt(n)` is for the two ranks that the bracket reaches beyond that, which hold `2 n / s` values.
pub(super) fn bracket<T: Real>(row: &[T], k: usize, buffer: &mut [T]) -> Option<(T, T)> {
    let len = row.len() as f64; // exact below 2^53
    let share = k as f64 / len;
    let root = libm::cbrt(len * libm::sqrt(share * (1.0 - share)));
    let size = (root * root).max(libm::sqrt(len)) as usize; // below the row's length, which is above SHORT
    let sample = &mut buffer[..size];
    for (value, place) in sample.iter_mut().zip(0u64..) {
        // A hash scaled to the row's length; truncation keeps it below.
        *value = row[((u128::from(mix64(place + 1)) * row.len() as u128) >> 64) as usize];
    }
    if sample.iter().any(|value| value.partial_cmp(value).is_none()) {
        return None;
    }
    let (mean, all) = (sample.len() as f64 * share, sample.len());
    let reach = 3.0 * libm::sqrt(mean * (1.0 - share)) + 2.0;
    let mut ends = (T::from_f64(f64::NEG_INFINITY), T::INFINITY);
    let high = (mean + reach) as usize;
    if high < all {
        ends.1 = *sample.select_nth_unstable_by(high, order).1;
    }
    let low = (mean - reach) as usize; // negative becomes zero
    if low > 0 {
        ends.0 = *sample[..high.min(all)].select_nth_unstable_by(low, order).1;
    }
    Some(ends)
}

/// How a row splits at a bracket.
struct Split {
    /// Values at or below the low end.
    up_to_low: usize,
    /// Values strictly inside, which were copied to the front of the buffer.
    inside: usize,
}

/// Counts and copies what lies where; `None` if a value is NaN. The low end is at most the high one.
#[inline(always)]
fn split<T: Real, L: Lanes>(row: &[T], low: T, high: T, buffer: &mut [T]) -> Option<Split> {
    let (lows, highs) = (<T::On<L>>::splat(low), <T::On<L>>::splat(high));
    let (mut up_to_low, mut inside, mut numbers) = (0, 0, 0);
    let panels = row.chunks_exact(T::LANES);
    let rest = panels.remainder();
    for panel in panels {
        let values = <T::On<L>>::load(panel);
        let at_low = values.le(lows);
        up_to_low += at_low.count_ones() as usize; // at most sixteen
        numbers += values.le(values).count_ones() as usize;
        let mut mask = values.lt(highs) & !at_low;
        while mask != 0 {
            buffer[inside] = panel[mask.trailing_zeros() as usize]; // below sixteen
            inside += 1;
            mask &= mask - 1;
        }
    }
    for &value in rest {
        if value <= low {
            up_to_low += 1;
        } else if value < high {
            buffer[inside] = value;
            inside += 1;
        }
        numbers += usize::from(value.partial_cmp(&value).is_some());
    }
    (numbers == row.len()).then_some(Split { up_to_low, inside })
}

/// How many values are below a bound, and how many are at most the bound.
#[inline(always)]
fn counts<T: Real, L: Lanes>(row: &[T], bound: T) -> (usize, usize) {
    let bounds = <T::On<L>>::splat(bound);
    let (mut below, mut up_to) = (0, 0);
    let panels = row.chunks_exact(T::LANES);
    for &value in panels.remainder() {
        below += usize::from(value < bound);
        up_to += usize::from(value <= bound);
    }
    for panel in panels {
        let values = <T::On<L>>::load(panel);
        below += values.lt(bounds).count_ones() as usize; // at most sixteen
        up_to += values.le(bounds).count_ones() as usize;
    }
    (below, up_to)
}
