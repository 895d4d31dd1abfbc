//! Bodies over the lane traits.

#![allow(clippy::needless_range_loop, reason = "a counted loop over an array of vectors stays in registers")]

use core::ops::Range;

use super::{BetweenSide, CrossTable, LandmarkCounters, PanelTerms};
use crate::covariance::Exponential;
use crate::dist::form::gamma;
use crate::simd::{LANES_F32, Lanes, Real, Vector};

/// Landmarks of the rows that are multiplied in step.
const STEP: usize = 4;

/// What covers the roundings of a bound.
const UP: f32 = 1.0 + 1.0 / (1u32 << 19) as f32;

/// What the body of [`bounds_between`](super::bounds_between) works on.
pub(super) struct Between<'a, 'o, T> {
    pub rows: &'o BetweenSide<'a>,
    pub columns: &'o BetweenSide<'a>,
    pub table: CrossTable<'a, T>,
    pub masks: &'o mut [u32],
    /// `[landmarks of the rows][16]`: `R w_y` of a panel of columns.
    pub products: &'o mut [f32],
}

/// Returns how many pairs are marked, and what it took.
#[inline(always)]
pub(super) fn between<T: Exponential, L: Lanes>(work: &mut Between<'_, '_, T>) -> (u64, LandmarkCounters) {
    let (rows, columns) = (work.rows.members, work.columns.members);
    let roundings = gamma(rows.count + columns.count + 4, f32::ROUNDOFF) * 1.01;
    let largest = largest::<T, L>(work);
    let rounding = (largest * roundings) as f32 * UP; // infinite stays so
    let most = largest as f32 * UP + rounding;
    let (mut kept, mut pruned, mut panels_multiplied) = (0, 0, 0);
    for panel in 0..columns.panels() {
        let mut multiplied = false;
        for first in (0..rows.len).step_by(LANES_F32) {
            let group = first..rows.len.min(first + LANES_F32);
            let for_columns = wanting::<L>(work.columns, panel, &work.rows.terms[first / LANES_F32], most);
            let for_rows = wanting::<L>(work.rows, first / LANES_F32, &work.columns.terms[panel], most);
            if for_columns | for_rows == 0 {
                pruned += 1;
                for row in group {
                    work.masks[row * columns.panels() + panel] = 0;
                }
                continue;
            }
            if !multiplied {
                products::<T, L>(work, panel);
                multiplied = true;
                panels_multiplied += 1;
            }
            kept += mark::<T, L>(work, group, panel, rounding);
        }
    }
    let panel_pairs_bounded = rows.panels() as u64 * columns.panels() as u64; // widens
    let counters = LandmarkCounters {
        panel_pairs_bounded,
        panel_pairs_pruned: pruned,
        panels_multiplied,
        ..LandmarkCounters::default()
    };
    (kept, counters)
}

/// The members of a panel that may want any of the others with these largest terms.
#[inline(always)]
fn wanting<L: Lanes>(side: &BetweenSide<'_>, panel: usize, others: &PanelTerms, most: f32) -> u32 {
    let lanes = panel * LANES_F32..(panel + 1) * LANES_F32;
    let in_use = (1u32 << (side.members.len - panel * LANES_F32).min(LANES_F32)) - 1;
    let PanelTerms { sum, span, tail, error, first } = *others;
    let tails = L::F32::load(&side.members.tails[lanes.clone()]);
    let spans = L::F32::load(&side.members.spans[lanes.clone()]);
    let mut bound = L::F32::load(&side.members.sums[lanes.clone()]).mul(L::F32::splat(sum * most));
    bound = L::F32::load(&side.errors[lanes.clone()]).mul_add(L::F32::splat(error), bound);
    bound = tails.mul_add(L::F32::splat(span), bound);
    bound = spans.mul_add(L::F32::splat(tail), bound).mul(L::F32::splat(UP));
    let counts = L::F32::splat(first).le(L::F32::load(&side.ranks[lanes.clone()]));
    // A NaN bounds nothing.
    !bound.lt(L::F32::load(&side.least[lanes])) & counts & in_use
}

/// The largest element of the table, infinite if one is not finite.
#[inline(always)]
fn largest<T: Exponential, L: Lanes>(work: &Between<'_, '_, T>) -> f64 {
    let (width, stride) = (work.columns.members.count, work.table.stride);
    let (bound, infinity) = (<T::On<L>>::splat(T::from_f64(1e30)), <T::On<L>>::splat(T::INFINITY));
    let mut most = <T::On<L>>::splat(T::default());
    for s in 0..work.rows.members.count {
        let row = &work.table.rho[s * stride..][..width];
        let (whole, rest) = row.split_at(width / T::LANES * T::LANES);
        for values in whole.chunks_exact(T::LANES) {
            let values = <T::On<L>>::load(values).abs();
            most = most.max(values.pick_le(bound, values, infinity));
        }
        let mut last = [T::default(); LANES_F32];
        last[..rest.len()].copy_from_slice(rest);
        let values = <T::On<L>>::load(&last).abs();
        most = most.max(values.pick_le(bound, values, infinity));
    }
    let mut all = [T::default(); LANES_F32];
    most.store(&mut all);
    let mut largest = 0.0;
    for value in all {
        largest = if value.to_f64() > largest { value.to_f64() } else { largest };
    }
    largest
}

/// `R w_y` for the points of a panel.
#[inline(always)]
fn products<T: Exponential, L: Lanes>(work: &mut Between<'_, '_, T>, panel: usize) {
    let (count, columns) = (work.rows.members.count, work.columns.members);
    let width = columns.count;
    let weights = &columns.weights[panel * width * LANES_F32..][..width * LANES_F32];
    let out = work.products.chunks_mut(STEP * LANES_F32);
    for (first, out) in (0..count).step_by(STEP).zip(out) {
        let mut rows = [&work.table.rho[..0]; STEP];
        for s in 0..STEP {
            rows[s] = &work.table.rho[(first + s).min(count - 1) * work.table.stride..][..width];
        }
        let mut sums = [L::F32::splat(0.0); STEP];
        for (t, weights) in weights.chunks_exact(LANES_F32).enumerate() {
            let weights = L::F32::load(weights);
            for s in 0..STEP {
                let rho = f32::from_f64(rows[s][t].to_f64()); // one rounding, which the bound counts
                sums[s] = L::F32::splat(rho).mul_add(weights, sums[s]);
            }
        }
        for (sum, out) in sums.iter().zip(out.chunks_exact_mut(LANES_F32)) {
            sum.store(out);
        }
    }
}

/// Marks what remains of some rows and a panel of columns; returns how many pairs that are.
#[inline(always)]
fn mark<T: Exponential, L: Lanes>(
    work: &mut Between<'_, '_, T>,
    group: Range<usize>,
    panel: usize,
    rounding: f32,
) -> u64 {
    let (rows, columns) = (work.rows, work.columns);
    let (count, panels) = (rows.members.count, columns.members.panels());
    let lanes = panel * LANES_F32..(panel + 1) * LANES_F32;
    let in_use = (1u32 << (columns.members.len - panel * LANES_F32).min(LANES_F32)) - 1;
    let products = &work.products[..count * LANES_F32];
    let sums = L::F32::load(&columns.members.sums[lanes.clone()]).mul(L::F32::splat(rounding));
    let errors = L::F32::load(&columns.errors[lanes.clone()]);
    let tails = L::F32::load(&columns.members.tails[lanes.clone()]);
    let spans = L::F32::load(&columns.members.spans[lanes.clone()]);
    let (ranks, least) = (L::F32::load(&columns.ranks[lanes.clone()]), L::F32::load(&columns.least[lanes]));
    let (infinity, up) = (L::F32::splat(f32::INFINITY), L::F32::splat(UP));
    let mut kept = 0;
    for first in group.clone().step_by(STEP) {
        // These rows stand in one panel.
        let weights = &rows.members.weights[first / LANES_F32 * count * LANES_F32..][..count * LANES_F32];
        let lane = first % LANES_F32;
        let mut dots = [L::F32::splat(0.0); STEP];
        for (weights, products) in weights.chunks_exact(LANES_F32).zip(products.chunks_exact(LANES_F32)) {
            let (weights, products) = (&weights[lane..lane + STEP], L::F32::load(products));
            for r in 0..STEP {
                dots[r] = L::F32::splat(weights[r]).mul_add(products, dots[r]);
            }
        }
        for r in 0..STEP {
            let row = first + r;
            if row >= group.end {
                break;
            }
            let (span, tail) = (L::F32::splat(rows.members.spans[row]), L::F32::splat(rows.members.tails[row]));
            let mut bound = sums.mul_add(L::F32::splat(rows.members.sums[row]), dots[r].abs());
            bound = errors.mul_add(L::F32::splat(rows.errors[row]), bound);
            bound = tails.mul_add(span, bound);
            bound = spans.mul_add(tail, bound).mul(up);
            let rank = L::F32::splat(rows.ranks[row]);
            let for_row = ranks.pick_le(rank, L::F32::splat(rows.least[row]), infinity);
            let for_column = rank.pick_le(ranks, least, infinity);
            // A NaN bounds nothing: it stays.
            let bits = !bound.lt(for_row.min(for_column)) & in_use;
            work.masks[row * panels + panel] = bits;
            kept += u64::from(bits.count_ones());
        }
    }
    kept
}
