//! Bodies over the lane traits: no checks beyond slicing, no branch on data except the cut.

use super::form::Form;
use crate::simd::{Lanes, Real, Vector};

/// Sums of one query (`[dim]`) against contiguous panels (`[count][dim][LANES]`), written to `out` (`[count][LANES]`).
#[inline(always)]
pub(crate) fn one_to_run<T: Real, F: Form, L: Lanes, const EXACT: bool>(query: &[T], panels: &[T], out: &mut [T]) {
    let zero = <T::On<L>>::splat(T::default());
    for (panel, out) in panels.chunks_exact(query.len() * T::LANES).zip(out.chunks_exact_mut(T::LANES)) {
        let mut sum = zero;
        for (&q, row) in query.iter().zip(panel.chunks_exact(T::LANES)) {
            sum = F::step::<T::On<L>, EXACT>(sum, <T::On<L>>::splat(q), <T::On<L>>::load(row));
        }
        sum.store(out);
    }
}
