//! The plain twins of the bodies: the same answers, one number at a time. For tests, benchmarks and fuzz targets.
//!
//! Where each operation is rounded by itself, twin and lanes agree in every bit. The twins check nothing and panic on
//! shapes that do not fit.

use super::form::{Dot, Form};
use super::lanes::CUT_DIMS;
use super::{Cut, DistCounters};
use crate::simd::Real;

/// Adds the dimensions `query` to the sums of one panel (`[dims][LANES]`).
fn add_dims<T: Real, F: Form>(query: &[T], panel: &[T], sums: &mut [T]) {
    for (&q, row) in query.iter().zip(panel.chunks_exact(T::LANES)) {
        for (sum, &point) in sums.iter_mut().zip(row) {
            *sum = F::step_scalar(*sum, q, point);
        }
    }
}

/// Twin of [`one_to_run`](super::one_to_run).
pub fn one_to_run<T: Real, F: Form>(_form: F, query: &[T], panels: &[T], out: &mut [T]) {
    for (panel, out) in panels.chunks_exact(query.len() * T::LANES).zip(out.chunks_exact_mut(T::LANES)) {
        out.fill(T::default());
        add_dims::<T, F>(query, panel, out);
    }
}

/// Twin of [`one_to_run_capped`](super::one_to_run_capped).
pub fn one_to_run_capped<T: Real, F: Form>(
    _form: F,
    query: &[T],
    panels: &[T],
    cap: T,
    out: &mut [T],
    counters: &mut DistCounters,
) -> Cut {
    let (mut deepest, mut full) = (0, 0);
    for (panel, out) in panels.chunks_exact(query.len() * T::LANES).zip(out.chunks_exact_mut(T::LANES)) {
        out.fill(T::default());
        let mut passed = 0;
        while passed < query.len() && !(passed > 0 && out.iter().all(|sum| *sum > cap)) {
            let end = query.len().min(passed + CUT_DIMS);
            add_dims::<T, F>(&query[passed..end], &panel[passed * T::LANES..end * T::LANES], out);
            passed = end;
        }
        if passed == query.len() {
            full += 1;
        } else {
            counters.panels_cut += 1;
            deepest = passed.max(deepest);
        }
    }
    counters.panels_full += full;
    if full == 0 && deepest > 0 { Cut::At(deepest) } else { Cut::Full }
}

/// Twin of [`widened_one_to_run`](super::widened_one_to_run).
pub fn widened_one_to_run<F: Form>(_form: F, query: &[f64], panels: &[f32], out: &mut [f64]) {
    for (panel, out) in panels.chunks_exact(query.len() * f32::LANES).zip(out.chunks_exact_mut(f32::LANES)) {
        out.fill(0.0);
        for (&q, row) in query.iter().zip(panel.chunks_exact(f32::LANES)) {
            for (sum, &point) in out.iter_mut().zip(row) {
                *sum = F::step_f64(*sum, q, f64::from(point));
            }
        }
    }
}

/// Twin of [`block_to_run`](super::block_to_run).
pub fn block_to_run<T: Real, F: Form>(form: F, queries: &[T], dim: usize, panels: &[T], out: &mut [T]) {
    let row = panels.len() / dim;
    for (query, out) in queries.chunks_exact(dim).zip(out.chunks_exact_mut(row.max(1))) {
        one_to_run(form, query, panels, out);
    }
}

/// Twin of [`squared_norms`](super::squared_norms).
pub fn squared_norms<T: Real>(panels: &[T], dim: usize, out: &mut [T]) {
    for (panel, out) in panels.chunks_exact(dim * T::LANES).zip(out.chunks_exact_mut(T::LANES)) {
        out.fill(T::default());
        for row in panel.chunks_exact(T::LANES) {
            for (sum, &point) in out.iter_mut().zip(row) {
                *sum = *sum + point * point;
            }
        }
    }
}

/// Twin of [`squared_by_dots`](super::squared_by_dots).
pub fn squared_by_dots<T: Real>(queries: &[T], dim: usize, panels: &[T], norms: &[T], out: &mut [T]) {
    block_to_run(Dot, queries, dim, panels, out);
    for (query, out) in queries.chunks_exact(dim).zip(out.chunks_exact_mut(norms.len().max(1))) {
        let query_norm = query.iter().fold(T::default(), |sum, &q| sum + q * q);
        for (out, &norm) in out.iter_mut().zip(norms) {
            let squared = query_norm + norm - (*out + *out);
            *out = if squared > T::default() { squared } else { T::default() };
        }
    }
}
