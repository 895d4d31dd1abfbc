//! Bodies over the lane traits: no checks beyond slicing, no branch on data except the cut.

use super::form::Form;
use crate::simd::{Lanes, Real, Vector};

/// Sums of one query (`[dim]`) against contiguous panels (`[count][dim][LANES]`), written to `out` (`[count][LANES]`).
#[inline(always)]
pub(crate) fn one_to_run<T: Real, F: Form, L: Lanes, const EXACT: bool>(query: &[T], panels: &[T], out: &mut [T]) {
    // Few dimensions are known to the compiler: the query stays in registers and the loop over dimensions unrolls.
    match query.len() {
        1 => few::<T, F, L, EXACT, 1>(query, panels, out),
        2 => few::<T, F, L, EXACT, 2>(query, panels, out),
        3 => few::<T, F, L, EXACT, 3>(query, panels, out),
        4 => few::<T, F, L, EXACT, 4>(query, panels, out),
        _ => many::<T, F, L, EXACT>(query, panels, out),
    }
}

#[inline(always)]
fn few<T: Real, F: Form, L: Lanes, const EXACT: bool, const DIM: usize>(query: &[T], panels: &[T], out: &mut [T]) {
    let zero = <T::On<L>>::splat(T::default());
    let mut splat = [zero; DIM];
    for (splat, &q) in splat.iter_mut().zip(query) {
        *splat = <T::On<L>>::splat(q);
    }
    for (panel, out) in panels.chunks_exact(DIM * T::LANES).zip(out.chunks_exact_mut(T::LANES)) {
        let mut sum = zero;
        for (d, q) in splat.iter().enumerate() {
            sum = F::step::<T::On<L>, EXACT>(sum, *q, <T::On<L>>::load(&panel[d * T::LANES..]));
        }
        sum.store(out);
    }
}

#[inline(always)]
fn many<T: Real, F: Form, L: Lanes, const EXACT: bool>(query: &[T], panels: &[T], out: &mut [T]) {
    let zero = <T::On<L>>::splat(T::default());
    let stride = query.len() * T::LANES;
    let mut rest = panels;
    for out in out.chunks_exact_mut(T::LANES) {
        if rest.len() < stride {
            break;
        }
        let (panel, next) = rest.split_at(stride);
        rest = next;
        let mut sum = zero;
        for (&q, row) in query.iter().zip(panel.chunks_exact(T::LANES)) {
            sum = F::step::<T::On<L>, EXACT>(sum, <T::On<L>>::splat(q), <T::On<L>>::load(row));
        }
        sum.store(out);
    }
}

/// Sums of one query (`[dim]`) against one panel (`[dim][LANES]`).
#[inline(always)]
pub(crate) fn one_to_panel<T: Real, F: Form, L: Lanes, const EXACT: bool>(query: &[T], panel: &[T]) -> T::On<L> {
    // As above: few dimensions are known to the compiler.
    match query.len() {
        1 => sums::<T, F, L, EXACT>(&query[..1], panel),
        2 => sums::<T, F, L, EXACT>(&query[..2], panel),
        3 => sums::<T, F, L, EXACT>(&query[..3], panel),
        4 => sums::<T, F, L, EXACT>(&query[..4], panel),
        _ => sums::<T, F, L, EXACT>(query, panel),
    }
}

#[inline(always)]
fn sums<T: Real, F: Form, L: Lanes, const EXACT: bool>(query: &[T], panel: &[T]) -> T::On<L> {
    let mut sum = <T::On<L>>::splat(T::default());
    for (&q, row) in query.iter().zip(panel[..query.len() * T::LANES].chunks_exact(T::LANES)) {
        sum = F::step::<T::On<L>, EXACT>(sum, <T::On<L>>::splat(q), <T::On<L>>::load(row));
    }
    sum
}

/// Distances by the published formula of one query to the sixteen points of an `f32` panel: every coordinate widened,
/// sums in `f64`, unfused, in order of the dimension, finished lane by lane.
#[inline(always)]
pub(crate) fn widened<T: Real, F: Form, L: Lanes>(query: &[T], panel: &[T], out: &mut [f64; 16]) {
    let zero = <L::F64 as Vector>::splat(0.0);
    let (mut low, mut high) = (zero, zero);
    for (&q, row) in query.iter().zip(panel.chunks_exact(T::LANES)) {
        let q = <L::F64 as Vector>::splat(q.to_f64());
        let (row_low, row_high) = T::widen::<L>(row);
        low = F::step::<L::F64, true>(low, q, row_low);
        high = F::step::<L::F64, true>(high, q, row_high);
    }
    F::finish_lanes::<L>(low).store(out);
    F::finish_lanes::<L>(high).store(&mut out[8..]);
}
