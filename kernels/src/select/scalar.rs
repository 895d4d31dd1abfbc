//! Plain twins, for tests and benchmarks.

use crate::index::Idx;
use crate::simd::Real;

/// What [`positions_at_most`](super::positions_at_most) does, for arguments that it would accept.
pub fn positions_at_most<T: Real>(values: &[T], threshold: T, first: Idx, out: &mut [Idx]) -> usize {
    let mut end = 0;
    for (&value, position) in values.iter().zip(first..) {
        if value <= threshold {
            out[end] = position;
            end += 1;
        }
    }
    end
}

/// What [`kth_smallest`](super::kth_smallest) does, for arguments that it would accept: partitions a copy.
pub fn kth_smallest<T: Real>(row: &[T], k: usize, buffer: &mut [T]) -> T {
    buffer.copy_from_slice(row);
    let order = |a: &T, b: &T| a.partial_cmp(b).unwrap_or(core::cmp::Ordering::Equal);
    T::from_f64(buffer.select_nth_unstable_by(k - 1, order).1.to_f64() + 0.0) // exact; makes a zero positive
}
