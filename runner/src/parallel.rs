//! Loops over ranges and arrays, split over the threads of the current rayon pool.
//!
//! The work of a task is called through a reference, so that one instance of each loop serves all metrics: what rayon makes
//! of a closure is ten times the closure, and a program with every metric had hundreds of them. A task is long enough
//! for the call not to matter.

use std::ops::Range;
use std::sync::atomic::{AtomicI32, Ordering};

use covertree_kernels::index::{Idx, at};
use rayon::prelude::*;

/// Short steps that are worth a task.
const STEPS: usize = 1 << 12;

/// The results of `work` on the pieces of `0..len`, in their order: each of `grain` numbers, but for the last.
pub(crate) fn pieces<R: Send>(len: usize, grain: usize, work: &(dyn Fn(Range<usize>) -> R + Sync)) -> Vec<R> {
    let piece = |number: usize| work(number * grain..len.min((number + 1) * grain));
    (0..len.div_ceil(grain)).into_par_iter().map(piece).collect()
}

/// The results of `work(number, chunk)` on chunks of `size` elements, in their order.
pub(crate) fn chunks<T: Send, R: Send>(
    all: &mut [T],
    size: usize,
    work: &(dyn Fn(usize, &mut [T]) -> R + Sync),
) -> Vec<R> {
    all.par_chunks_mut(size).enumerate().map(|(number, chunk)| work(number, chunk)).collect()
}

/// What is done with the number of a pair of chunks, and the two.
type PairWork<'a, T, U, R> = dyn Fn(usize, &mut [T], &mut [U]) -> R + Sync + 'a;

/// The same for two arrays at once, each with the size of its chunks.
pub(crate) fn chunk_pairs<T: Send, U: Send, R: Send>(
    (left, left_size): (&mut [T], usize),
    (right, right_size): (&mut [U], usize),
    work: &PairWork<'_, T, U, R>,
) -> Vec<R> {
    let both = left.par_chunks_mut(left_size).zip(right.par_chunks_mut(right_size));
    both.enumerate().map(|(number, (left, right))| work(number, left, right)).collect()
}

/// What `value`, which is short, gives for each number below `len`, in their order.
pub(crate) fn map<T: Send>(len: usize, value: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    (0..len).into_par_iter().with_min_len(STEPS).map(value).collect()
}

/// The parts of an array that hold the places of each chunk of `size` ascending ones: a part begins at the first of its chunk.
pub(crate) fn parts<'a, T>(mut all: &'a mut [T], ascending: &[Idx], size: usize) -> Vec<&'a mut [T]> {
    let mut parts = Vec::with_capacity(ascending.len().div_ceil(size));
    let mut start = 0;
    for chunk in ascending.chunks(size) {
        let (first, end) = (at(chunk[0]), at(chunk[chunk.len() - 1]) + 1);
        let (part, rest) = all[first - start..].split_at_mut(end - first);
        parts.push(part);
        (all, start) = (rest, end);
    }
    parts
}

/// Writes what `value` gives for the number of each of some ascending places, to that place.
pub(crate) fn scatter(all: &mut [Idx], ascending: &[Idx], value: &(dyn Fn(usize) -> Idx + Sync)) {
    chunks(&mut parts(all, ascending, STEPS), 1, &|task, parts| {
        let numbers = task * STEPS..ascending.len().min((task + 1) * STEPS);
        let first = at(ascending[numbers.start]);
        for part in parts {
            numbers.clone().for_each(|number| part[at(ascending[number]) - first] = value(number));
        }
    });
}

/// One index for each place, 0 at first, which any task may change: for places in no order, each of which one task writes.
pub(crate) struct Table(Box<[AtomicI32]>);

impl Table {
    /// Pages that nobody touches cost nothing.
    pub fn new(len: usize) -> Self {
        Self(bytemuck::zeroed_slice_box(len))
    }

    pub fn get(&self, place: Idx) -> Idx {
        self.0[at(place)].load(Ordering::Relaxed)
    }

    pub fn set(&self, place: Idx, value: Idx) {
        self.0[at(place)].store(value, Ordering::Relaxed);
    }

    /// Adds to a place, which any number of tasks may do at once; returns what it held before.
    pub fn add(&self, place: Idx, value: Idx) -> Idx {
        self.0[at(place)].fetch_add(value, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascending_places_are_written_and_no_others() {
        for len in [0, 1, STEPS, 3 * STEPS + 5] {
            let ascending: Vec<Idx> = (0..len as Idx).map(|number| 3 * number + 2).collect();
            let mut all = vec![-1; 3 * len + 2];
            scatter(&mut all, &ascending, &|number| number as Idx);
            let expected = |place: usize| if place % 3 == 2 { place as Idx / 3 } else { -1 };
            assert!(all.into_iter().eq((0..3 * len + 2).map(expected)), "{len} places");
        }
    }
}
