//! Loops over ranges and arrays, split over the threads of the current rayon pool.
//!
//! The work of a task is called through a reference, so that one instance of each loop serves all metrics: what rayon makes
//! of a closure is ten times the closure, and a program with every metric had hundreds of them. A task is long enough
//! for the call not to matter.

use std::ops::Range;

use rayon::prelude::*;

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
