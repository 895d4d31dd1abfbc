//! One query against packed panels: bodies over the lane traits. No checks beyond slicing, no branch that depends on
//! data except the cut.
//!
//! A sum is a chain of dependent additions, and one panel alone would wait for the latency of each of them. The bodies
//! therefore take several panels in step ([`group_panels`]), while each sum still adds its dimensions in their order.
#![allow(clippy::needless_range_loop, reason = "a counted loop over an array of vectors stays in registers")]

use super::form::Form;
use super::{Cut, DistCounters};
use crate::simd::{Lanes, Real, Vector};

/// Dimensions that are added between two tests of the cap.
pub(crate) const CUT_DIMS: usize = 16;

/// Dimensions that are unrolled: their panel rows are sliced, hence checked, at once.
const UNROLL: usize = 4;

/// Panels that are taken in step: as many as have their sums in registers beside the operands, up to the four that
/// hide the latency of a fused multiply-add.
const fn group_panels<L: Lanes>() -> usize {
    if L::TILE_ROWS < 4 { 2 } else { 4 }
}

/// Sums of one query (`[dim]`) against contiguous panels (`[count][dim][LANES]`), written to `out` (`[count][LANES]`).
#[inline(always)]
pub(crate) fn one_to_run<T: Real, F: Form, L: Lanes, const EXACT: bool>(query: &[T], panels: &[T], out: &mut [T]) {
    if query.len() <= FEW_DIMS {
        few_dims::<T, F, L, EXACT>(query, panels, out);
    } else {
        many_dims::<T, F, L, EXACT>(query, panels, out);
    }
}

/// Up to this dimension the query stays in registers while all panels pass.
pub(crate) const FEW_DIMS: usize = 4;

/// [`one_to_run`] for at most [`FEW_DIMS`] dimensions.
#[inline(always)]
pub(crate) fn few_dims<T: Real, F: Form, L: Lanes, const EXACT: bool>(query: &[T], panels: &[T], out: &mut [T]) {
    match query.len() {
        1 => dims::<T, F, L, EXACT, 1>(query, panels, out),
        2 => dims::<T, F, L, EXACT, 2>(query, panels, out),
        3 => dims::<T, F, L, EXACT, 3>(query, panels, out),
        _ => dims::<T, F, L, EXACT, 4>(query, panels, out),
    }
}

/// [`one_to_run`] for `DIM` dimensions: the query stays in registers, and sums this short overlap by themselves.
#[inline(always)]
fn dims<T: Real, F: Form, L: Lanes, const EXACT: bool, const DIM: usize>(query: &[T], panels: &[T], out: &mut [T]) {
    let zero = <T::On<L>>::splat(T::default());
    let mut splats = [zero; DIM];
    for d in 0..DIM {
        splats[d] = <T::On<L>>::splat(query[d]);
    }
    for p in 0..panels.len() / (DIM * T::LANES) {
        let panel = &panels[p * DIM * T::LANES..][..DIM * T::LANES];
        let mut sum = zero;
        for d in 0..DIM {
            sum = F::step::<T::On<L>, EXACT>(sum, splats[d], <T::On<L>>::load(&panel[d * T::LANES..]));
        }
        sum.store(&mut out[p * T::LANES..]);
    }
}

/// [`one_to_run`] with several panels in step.
#[inline(always)]
fn many_dims<T: Real, F: Form, L: Lanes, const EXACT: bool>(query: &[T], panels: &[T], out: &mut [T]) {
    let stride = query.len() * T::LANES;
    let count = panels.len() / stride;
    let mut p = 0;
    if group_panels::<L>() == 4 {
        while p + 4 <= count {
            group::<T, F, L, EXACT, 4>(query, &panels[p * stride..], &mut out[p * T::LANES..]);
            p += 4;
        }
    }
    while p + 2 <= count {
        group::<T, F, L, EXACT, 2>(query, &panels[p * stride..], &mut out[p * T::LANES..]);
        p += 2;
    }
    if p < count {
        group::<T, F, L, EXACT, 1>(query, &panels[p * stride..], &mut out[p * T::LANES..]);
    }
}

/// Whole sums of the first `GROUP` panels.
#[inline(always)]
fn group<T: Real, F: Form, L: Lanes, const EXACT: bool, const GROUP: usize>(query: &[T], panels: &[T], out: &mut [T]) {
    let mut starts = [0; GROUP];
    for g in 0..GROUP {
        starts[g] = g * query.len() * T::LANES;
    }
    let zero = <T::On<L>>::splat(T::default());
    let sums = add_dims::<T, F, L, EXACT, GROUP>([zero; GROUP], query, panels, starts);
    for g in 0..GROUP {
        sums[g].store(&mut out[g * T::LANES..]);
    }
}

/// Adds the dimensions `query` (a part of them all) to the sums of `GROUP` panels, whose rows of these dimensions begin
/// at `starts`.
#[inline(always)]
fn add_dims<T: Real, F: Form, L: Lanes, const EXACT: bool, const GROUP: usize>(
    mut sums: [T::On<L>; GROUP],
    query: &[T],
    panels: &[T],
    starts: [usize; GROUP],
) -> [T::On<L>; GROUP] {
    let (blocks, rest) = query.as_chunks::<UNROLL>();
    let mut passed = 0;
    for block in blocks {
        let mut rows = [panels; GROUP];
        for g in 0..GROUP {
            rows[g] = &panels[starts[g] + passed..][..UNROLL * T::LANES];
        }
        for d in 0..UNROLL {
            let q = <T::On<L>>::splat(block[d]);
            for g in 0..GROUP {
                sums[g] = F::step::<T::On<L>, EXACT>(sums[g], q, <T::On<L>>::load(&rows[g][d * T::LANES..]));
            }
        }
        passed += UNROLL * T::LANES;
    }
    for &q in rest {
        let q = <T::On<L>>::splat(q);
        for g in 0..GROUP {
            sums[g] = F::step::<T::On<L>, EXACT>(sums[g], q, <T::On<L>>::load(&panels[starts[g] + passed..]));
        }
        passed += T::LANES;
    }
    sums
}

/// [`one_to_run`], but a panel is left after any [`CUT_DIMS`] dimensions where all its lanes are strictly above `cap`;
/// its partial sums stay in `out`.
///
/// They are lower bounds of what [`one_to_run`] would have written, and so above `cap` as well: a form that
/// [grows](Form::GROWS) adds `t >= 0` to `s`, and the rounded `s + t` is not below `s`, because rounding is monotone and
/// `s` is itself a number of the format. Which panels are left depends on their own lanes alone, hence neither on the
/// tier (for the published formula) nor on the company that a panel is summed in.
///
/// A block of dimensions is added to all panels that are still in before the next block, so that they can be taken in
/// step however few are left.
#[inline(always)]
pub(crate) fn one_to_run_capped<T: Real, F: Form, L: Lanes, const EXACT: bool>(
    query: &[T],
    panels: &[T],
    cap: T,
    out: &mut [T],
    counters: &mut DistCounters,
) -> Cut {
    const { assert!(F::GROWS, "partial sums of this form are no lower bounds") };
    let stride = query.len() * T::LANES;
    let count = panels.len() / stride;
    let (mut full, mut deepest, mut first) = (0, 0, 0);
    while first < count {
        let len = (count - first).min(BATCH_PANELS);
        let (panels, out) = (&panels[first * stride..][..len * stride], &mut out[first * T::LANES..][..len * T::LANES]);
        let (left, dims) = capped_batch::<T, F, L, EXACT>(query, panels, cap, out, len);
        (full, deepest, first) = (full + left.count_ones() as usize, dims.max(deepest), first + len);
    }
    counters.panels_full += full as u64; // widens
    counters.panels_cut += (count - full) as u64; // widens
    if full == 0 && count > 0 { Cut::At(deepest) } else { Cut::Full }
}

/// Panels that [`capped_batch`] keeps account of in one word.
const BATCH_PANELS: usize = u64::BITS as usize;

/// [`one_to_run_capped`] for up to [`BATCH_PANELS`] panels. Returns which of them were summed to the end, as bits, and
/// how many dimensions were added to the panel that was left last.
#[inline(always)]
fn capped_batch<T: Real, F: Form, L: Lanes, const EXACT: bool>(
    query: &[T],
    panels: &[T],
    cap: T,
    out: &mut [T],
    len: usize,
) -> (u64, usize) {
    let cap = <T::On<L>>::splat(cap);
    let mut open = u64::MAX >> (BATCH_PANELS - len);
    let mut passed = 0;
    loop {
        let dims = (query.len() - passed).min(CUT_DIMS);
        let part = Part { query: &query[passed..passed + dims], passed, dim: query.len() };
        let (mut left, mut kept) = (open, 0);
        if group_panels::<L>() == 4 {
            while left.count_ones() >= 4 {
                kept |= add_part::<T, F, L, EXACT, 4>(part, panels, cap, out, &mut left);
            }
        }
        while left.count_ones() >= 2 {
            kept |= add_part::<T, F, L, EXACT, 2>(part, panels, cap, out, &mut left);
        }
        if left != 0 {
            kept |= add_part::<T, F, L, EXACT, 1>(part, panels, cap, out, &mut left);
        }
        passed += dims;
        if passed == query.len() {
            return (open, passed);
        }
        open = kept;
        if open == 0 {
            return (0, passed);
        }
    }
}

/// Some dimensions of a query of `dim`, after the first `passed`.
#[derive(Clone, Copy)]
struct Part<'a, T> {
    query: &'a [T],
    passed: usize,
    dim: usize,
}

/// Adds some dimensions to the first `GROUP` panels of `left`, and takes these out of it. Returns those of them that
/// have a lane at or below the cap.
#[inline(always)]
fn add_part<T: Real, F: Form, L: Lanes, const EXACT: bool, const GROUP: usize>(
    part: Part<'_, T>,
    panels: &[T],
    cap: T::On<L>,
    out: &mut [T],
    left: &mut u64,
) -> u64 {
    let (mut places, mut starts) = ([0; GROUP], [0; GROUP]);
    let mut sums = [<T::On<L>>::splat(T::default()); GROUP];
    for g in 0..GROUP {
        places[g] = left.trailing_zeros() as usize; // widens
        *left &= *left - 1;
        starts[g] = (places[g] * part.dim + part.passed) * T::LANES;
        if part.passed > 0 {
            sums[g] = <T::On<L>>::load(&out[places[g] * T::LANES..]);
        }
    }
    let sums = add_dims::<T, F, L, EXACT, GROUP>(sums, part.query, panels, starts);
    let mut kept = 0;
    for g in 0..GROUP {
        sums[g].store(&mut out[places[g] * T::LANES..]);
        kept |= u64::from(sums[g].le(cap) != 0) << places[g];
    }
    kept
}

/// Sums of one `f64` query (`[dim]`) against contiguous panels of `f32` (`[count][dim][LANES]`), each coordinate
/// widened, each operation rounded by itself in `f64`; written to `out` (`[count][LANES]` of `f32`, sixteen a panel).
#[inline(always)]
pub(crate) fn widened_one_to_run<F: Form, L: Lanes>(query: &[f64], panels: &[f32], out: &mut [f64]) {
    let stride = query.len() * f32::LANES;
    let count = panels.len() / stride;
    let mut p = 0;
    if group_panels::<L>() == 4 {
        while p + 2 <= count {
            widened_group::<F, L, 2>(query, &panels[p * stride..][..2 * stride], &mut out[p * f32::LANES..]);
            p += 2;
        }
    }
    while p < count {
        widened_group::<F, L, 1>(query, &panels[p * stride..][..stride], &mut out[p * f32::LANES..]);
        p += 1;
    }
}

/// [`widened_one_to_run`] for `GROUP` panels: each of them has two vectors of sums.
#[inline(always)]
fn widened_group<F: Form, L: Lanes, const GROUP: usize>(query: &[f64], panels: &[f32], out: &mut [f64]) {
    let stride = query.len() * f32::LANES;
    let zero = L::F64::splat(0.0);
    let mut sums = [(zero, zero); GROUP];
    for (d, &q) in query.iter().enumerate() {
        let q = L::F64::splat(q);
        for g in 0..GROUP {
            let (low, high) = L::widen(L::F32::load(&panels[g * stride + d * f32::LANES..]));
            sums[g].0 = F::step::<L::F64, true>(sums[g].0, q, low);
            sums[g].1 = F::step::<L::F64, true>(sums[g].1, q, high);
        }
    }
    for g in 0..GROUP {
        sums[g].0.store(&mut out[g * f32::LANES..]);
        sums[g].1.store(&mut out[g * f32::LANES + f64::LANES..]);
    }
}

/// Squared lengths of the last `dim` values of packed points (`[count][ahead + dim][LANES]`), written to `out`
/// (`[count][LANES]`).
#[inline(always)]
pub(crate) fn squared_norms<T: Real, L: Lanes>(panels: &[T], (ahead, dim): (usize, usize), out: &mut [T]) {
    let width = (ahead + dim) * T::LANES;
    let count = panels.len() / width;
    let mut p = 0;
    while p + 4 <= count {
        norms_group::<T, L, 4>(&panels[p * width..], (ahead, dim), &mut out[p * T::LANES..]);
        p += 4;
    }
    while p < count {
        norms_group::<T, L, 1>(&panels[p * width..], (ahead, dim), &mut out[p * T::LANES..]);
        p += 1;
    }
}

/// [`squared_norms`] of the first `GROUP` panels, in step.
#[inline(always)]
fn norms_group<T: Real, L: Lanes, const GROUP: usize>(panels: &[T], (ahead, dim): (usize, usize), out: &mut [T]) {
    let mut sums = [<T::On<L>>::splat(T::default()); GROUP];
    let mut rows = [panels; GROUP];
    for g in 0..GROUP {
        rows[g] = &panels[(g * (ahead + dim) + ahead) * T::LANES..][..dim * T::LANES];
    }
    for d in 0..dim {
        for g in 0..GROUP {
            let row = <T::On<L>>::load(&rows[g][d * T::LANES..]);
            sums[g] = sums[g].add(row.mul(row));
        }
    }
    for g in 0..GROUP {
        sums[g].store(&mut out[g * T::LANES..]);
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
