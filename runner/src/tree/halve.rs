//! Arranges points as in a kd-tree: halves of halves, each across its widest axis.

use covertree_kernels::index::{Idx, at};

use crate::parallel;
use crate::space::Space;

/// The halves of runs above this size are halved by several tasks.
const SPLIT: usize = 1 << 12;

/// Runs above this size are halved by several tasks themselves.
const LARGE: usize = 1 << 16;

/// Slots that one task looks at.
const PIECE: usize = 1 << 14;

/// Cells begin at multiples of this: points are packed in panels of as many at most, so that a scan of a cell meets no panel of
/// which it wants a part, and neighbours that are asked for together are neighbours in space.
const PANEL: usize = 16;

/// Where the run of positions `first..end` is halved.
pub(super) fn middle(first: usize, end: usize) -> usize {
    let middle = first + (end - first) / 2;
    if end - first < 2 * PANEL { middle } else { (middle + PANEL / 2) / PANEL * PANEL }
}

/// Arranges slots that stand behind one that belongs to no cell.
pub(crate) fn arrange<S: Space>(space: &S, slots: &mut [Idx]) {
    halve(space, 1, slots, space.scanned(), &mut Room::default());
}

/// A coordinate of a slot, as a number in the same order, and the slot: no two slots have the same.
type Key = (u64, Idx);

/// Memory of a task that halves.
#[derive(Default)]
struct Room {
    extent: Extent,
    keys: Vec<Key>,
}

/// Smallest and largest coordinate along each axis.
#[derive(Default)]
struct Extent {
    lows: Vec<f64>,
    highs: Vec<f64>,
}

/// The bits of a number as an integer in the order of `f64::total_cmp`.
fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

fn key<S: Space>(space: &S, slot: Idx, axis: usize) -> Key {
    (ordered(space.coordinate(at(slot), axis)), slot)
}

/// Halves slots, the first of which is to stand at position `first`, across their widest axis, again and again, down to groups
/// that are scanned.
fn halve<S: Space>(space: &S, first: usize, slots: &mut [Idx], scanned: usize, room: &mut Room) {
    if slots.len() <= scanned || space.axes() == 0 {
        return;
    }
    let middle = middle(first, first + slots.len());
    let below = middle - first;
    if slots.len() > LARGE {
        divide(space, slots, below);
    } else {
        let axis = room.extent.of(space, slots).widest();
        let keys = &mut room.keys;
        keys.clear();
        keys.extend(slots.iter().map(|&slot| key(space, slot, axis)));
        keys.select_nth_unstable(below);
        slots.iter_mut().zip(keys.iter()).for_each(|(slot, key)| *slot = key.1);
    }
    let split = slots.len() > SPLIT;
    let (left, right) = slots.split_at_mut(below);
    if split {
        rayon::join(
            || halve(space, first, left, scanned, room),
            || halve(space, middle, right, scanned, &mut Room::default()),
        );
    } else {
        halve(space, first, left, scanned, room);
        halve(space, middle, right, scanned, room);
    }
}

impl Extent {
    /// That of some slots.
    fn of<S: Space>(&mut self, space: &S, slots: &[Idx]) -> &Self {
        match space.axes() {
            2 => self.of_few::<S, 2>(space, slots),
            3 => self.of_few::<S, 3>(space, slots),
            4 => self.of_few::<S, 4>(space, slots),
            axes => {
                self.lows.clear();
                self.highs.clear();
                self.lows.resize(axes, f64::INFINITY);
                self.highs.resize(axes, f64::NEG_INFINITY);
                enclose(space, slots, &mut self.lows, &mut self.highs);
            }
        }
        self
    }

    /// The same for a number of axes that the compiler knows, so that both corners stay in registers.
    fn of_few<S: Space, const AXES: usize>(&mut self, space: &S, slots: &[Idx]) {
        let (mut lows, mut highs) = ([f64::INFINITY; AXES], [f64::NEG_INFINITY; AXES]);
        enclose(space, slots, &mut lows, &mut highs);
        self.lows.clear();
        self.highs.clear();
        self.lows.extend_from_slice(&lows);
        self.highs.extend_from_slice(&highs);
    }

    /// That of both.
    fn join(self, other: Self) -> Self {
        let lows = self.lows.iter().zip(&other.lows).map(|(a, b)| a.min(*b)).collect();
        let highs = self.highs.iter().zip(&other.highs).map(|(a, b)| a.max(*b)).collect();
        Self { lows, highs }
    }

    /// The axis along which it is widest; the first of several.
    fn widest(&self) -> usize {
        let widths = self.lows.iter().zip(&self.highs).map(|(low, high)| high - low);
        widths.zip(0..).fold((-1.0, 0), |best, next| if next.0 > best.0 { next } else { best }).1
    }
}

/// Widens a box so that it holds some slots.
#[inline(always)]
fn enclose<S: Space>(space: &S, slots: &[Idx], lows: &mut [f64], highs: &mut [f64]) {
    for &slot in slots {
        for (axis, (low, high)) in lows.iter_mut().zip(highs.iter_mut()).enumerate() {
            let value = space.coordinate(at(slot), axis);
            *low = if value < *low { value } else { *low };
            *high = if value > *high { value } else { *high };
        }
    }
}

/// Puts the `below` slots that come first along the widest axis in front of the others, by several tasks. Both sides keep their
/// order.
fn divide<S: Space>(space: &S, slots: &mut [Idx], below: usize) {
    let extents = parallel::pieces(slots.len(), PIECE, &|piece| {
        let mut extent = Extent::default();
        extent.of(space, &slots[piece]);
        extent
    });
    let axis = extents.into_iter().reduce(Extent::join).map_or(0, |extent| extent.widest());
    let border = nth(space, slots, axis, below);
    let is_left = |slot: &&Idx| key(space, **slot, axis) < border;
    let lefts = parallel::pieces(slots.len(), PIECE, &|piece| slots[piece].iter().filter(is_left).count());
    let mut divided = vec![0 as Idx; slots.len()];
    let (mut left, mut right) = divided.split_at_mut(below);
    let mut tasks = Vec::with_capacity(lefts.len());
    for (piece, count) in slots.chunks(PIECE).zip(lefts) {
        let (to_left, left_rest) = left.split_at_mut(count);
        let (to_right, right_rest) = right.split_at_mut(piece.len() - count);
        tasks.push((piece, to_left, to_right));
        (left, right) = (left_rest, right_rest);
    }
    parallel::chunks(&mut tasks, 1, &|_, tasks| {
        for (piece, to_left, to_right) in tasks {
            let (mut left, mut right) = (to_left.iter_mut(), to_right.iter_mut());
            for slot in *piece {
                let to = if is_left(&slot) { left.next() } else { right.next() };
                *to.expect("as many as were counted") = *slot;
            }
        }
    });
    slots.copy_from_slice(&divided);
}

/// How many of `len` slots are a sample of them.
fn sampled(len: usize) -> usize {
    ((len as f64).powf(2.0 / 3.0) as usize).clamp(1, len) // rounds down
}

/// The key of the slot that has `below` before it along an axis: bracketed by a sample, and picked out of what lies within the
/// bracket (R. W. Floyd, R. L. Rivest, *Expected time bounds for selection*, CACM 18(3), 1975).
fn nth<S: Space>(space: &S, slots: &[Idx], axis: usize, below: usize) -> Key {
    let len = slots.len();
    let sample_len = sampled(len);
    let mut sample: Vec<Key> = (0..sample_len).map(|i| key(space, slots[i * len / sample_len], axis)).collect();
    sample.sort_unstable();
    // Three standard deviations on each side.
    let (place, room) = (below * sample_len / len, (1.5 * (sample_len as f64).sqrt()) as usize + 1); // rounds down
    let (low, high) = (sample[place.saturating_sub(room)], sample[(place + room).min(sample_len - 1)]);
    let found = parallel::pieces(len, PIECE, &|piece| {
        let (mut before, mut within) = (0, Vec::new());
        for &slot in &slots[piece] {
            let key = key(space, slot, axis);
            before += usize::from(key < low);
            if (low..=high).contains(&key) {
                within.push(key);
            }
        }
        (before, within)
    });
    let before: usize = found.iter().map(|(before, _)| before).sum();
    let mut within: Vec<Key> = found.into_iter().flat_map(|(_, within)| within).collect();
    if (before..before + within.len()).contains(&below) {
        return *within.select_nth_unstable(below - before).1;
    }
    let mut all: Vec<Key> = slots.iter().map(|&slot| key(space, slot, axis)).collect();
    *all.select_nth_unstable(below).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Euclidean, RowSpace};
    use covertree_kernels::hash::mix64;

    /// Each half of halves is on its side of the widest axis.
    fn check(space: &RowSpace<Euclidean<f64>>, first: usize, slots: &[Idx]) {
        if slots.len() <= space.scanned() {
            return;
        }
        let axis = Extent::default().of(space, slots).widest();
        let middle = middle(first, first + slots.len());
        let (left, right) = slots.split_at(middle - first);
        let keys = |slots: &[Idx]| slots.iter().map(|&slot| key(space, slot, axis)).collect::<Vec<_>>();
        assert!(keys(left).iter().max() < keys(right).iter().min(), "{} slots from {first} on", slots.len());
        check(space, first, left);
        check(space, middle, right);
    }

    #[test]
    fn large_runs_are_halved_as_small_ones_are() {
        let len = 3 * LARGE + 11;
        type Values = fn(usize) -> f64;
        let sets: [(&str, Values); 4] = [
            ("many ties", |place| (mix64(place as u64) % 1000) as f64),
            ("two values", |place| f64::from(u8::from(place % 3 == 0))),
            ("one place", |_| -0.0),
            ("rising", |place| place as f64),
        ];
        for (name, value) in sets {
            let data: Vec<f64> = (0..2 * len).map(value).collect();
            let space = RowSpace::<Euclidean<f64>>::new(data, 2).unwrap();
            let mut slots: Vec<Idx> = (0..len as Idx).collect();
            arrange(&space, &mut slots);
            check(&space, 1, &slots);
            slots.sort_unstable();
            assert!(slots.into_iter().eq(0..len as Idx), "{name}: each slot once");
        }
    }

    #[test]
    fn a_sample_that_misleads_is_told_by_counting() {
        let len = LARGE + 1;
        // What the sample reads lies far below all others.
        let mut data: Vec<f64> = (0..len).map(|row| row as f64).collect();
        (0..sampled(len)).for_each(|number| data[number * len / sampled(len)] -= 1e9);
        let space = RowSpace::<Euclidean<f64>>::new(data.clone(), 1).unwrap();
        let slots: Vec<Idx> = (0..len as Idx).collect();
        let mut keys: Vec<Key> = slots.iter().map(|&slot| key(&space, slot, 0)).collect();
        keys.sort_unstable();
        for below in [0, 7, sampled(len), len / 2, len - 1] {
            assert_eq!(nth(&space, &slots, 0, below), keys[below], "{below}");
        }
    }
}
