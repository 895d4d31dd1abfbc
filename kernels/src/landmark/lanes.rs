//! Bodies over the lane traits.

#![allow(clippy::needless_range_loop, reason = "a counted loop over an array of vectors stays in registers")]

use super::frame::REACH;
use super::{Cross, Frame, FrameMemory, FramePoints, FrameQueries};
use crate::simd::{LANES_F64, Lanes, Real, Vector};

/// Coordinates and extents of packed points from their correlations with the landmarks, `rho: [count][panels][LANES]`.
#[inline(always)]
pub(super) fn project<L: Lanes>(
    frame: &Frame,
    factor: &[f64],
    rho: &[f64],
    errors: &[f64],
    memory: &mut FrameMemory<'_, f64>,
) {
    let (count, lanes) = (frame.count, memory.spans.len());
    for first in (0..lanes).step_by(LANES_F64) {
        let out = &mut memory.coordinates[first * count..][..count * LANES_F64];
        let mut squares = L::F64::splat(0.0);
        for i in 0..count {
            let factors = &factor[i * frame.stride..][..i + 1];
            let mut sum = L::F64::load(&rho[i * lanes + first..]);
            for (&factor, known) in factors[..i].iter().zip(out.chunks_exact(LANES_F64)) {
                sum = L::F64::splat(-factor).mul_add(L::F64::load(known), sum);
            }
            let coordinate = sum.div(L::F64::splat(factors[i]));
            squares = coordinate.mul_add(coordinate, squares);
            coordinate.store(&mut out[i * LANES_F64..]);
        }
        let [span, tail, slack] = extents::<L>(frame, squares.sqrt(), L::F64::load(&errors[first..]));
        span.store(&mut memory.spans[first..]);
        tail.store(&mut memory.tails[first..]);
        slack.store(&mut memory.slacks[first..]);
    }
}

/// [`Frame::extent`] in lanes, with the rounding of the bounds in the slack.
#[inline(always)]
fn extents<L: Lanes>(frame: &Frame, norm: L::F64, error: L::F64) -> [L::F64; 3] {
    let splat = L::F64::splat;
    let (zero, one, infinity) = (splat(0.0), splat(1.0), splat(f64::INFINITY));
    let per_norm = libm::sqrt(frame.count as f64) * frame.rounding() * 1.01;
    let residual = error.mul_add(splat(frame.error), norm.mul(splat(per_norm)));
    let delta = residual.mul(splat(frame.inverse * (1.0 + 1e-9)));
    let inside = norm.mul(splat(1.0 - 1e-14)).sub(delta).max(zero);
    let lost = inside.mul(inside).mul(splat(1.0 / (1.0 + frame.defect) * (1.0 - 1e-15)));
    let tail = error.mul_add(error, one).sub(lost).max(zero).add(splat(1e-14)).sqrt();
    let span = norm.add(delta).mul(splat((1.0 + 1e-12) / libm::sqrt(1.0 - frame.defect)));
    let constant = splat(0.5 * frame.kappa() + super::points::rounding::<f64>(frame.count));
    let slack = delta.mul_add(splat(REACH), error.mul(error).mul_add(splat(0.5), constant));
    // Infinite where the frame is no use for the point, also for NaN.
    let slack = delta.pick_le(splat(0.25), slack, infinity);
    let slack = error.pick_le(splat(0.25), slack, infinity);
    [span, tail, norm.pick_le(splat(REACH), slack, infinity)]
}

/// Coordinates of the points of `S` in the frame of `T`, through `products: [count of S][count of T]`.
#[inline(always)]
pub(super) fn turn<L: Lanes>(
    points: &FramePoints<'_, f64>,
    cross: &Cross,
    products: &[f64],
    coordinates: &mut [f64],
    tails: &mut [f64],
    slacks: &mut [f64],
) {
    coordinates.fill(0.0); // what it stays if S has no landmarks
    let panels = points.coordinates.chunks_exact((cross.rows * LANES_F64).max(1));
    for (out, panel) in coordinates.chunks_exact_mut((cross.columns * LANES_F64).max(1)).zip(panels) {
        for (j, out) in out.chunks_exact_mut(LANES_F64).enumerate() {
            let mut sum = L::F64::splat(0.0);
            for (products, row) in products.chunks_exact(cross.columns).zip(panel.chunks_exact(LANES_F64)) {
                sum = L::F64::splat(products[j]).mul_add(L::F64::load(row), sum);
            }
            sum.store(out);
        }
    }
    for first in (0..tails.len()).step_by(LANES_F64) {
        let tail = L::F64::load(&points.tails[first..]);
        tail.add(L::F64::load(&points.spans[first..])).store(&mut tails[first..]);
        L::F64::load(&points.slacks[first..]).add(L::F64::splat(cross.slack)).store(&mut slacks[first..]);
    }
}

/// What the body of [`bounds`](super::bounds) works on.
pub(super) struct Bounds<'a, 'o, T> {
    pub queries: FrameQueries<'a, T>,
    pub points: FramePoints<'a, T>,
    pub least: &'o [f64],
    pub out: &'o mut [T],
    pub masks: &'o mut [u32],
}

#[inline(always)]
pub(super) fn bounds<T: Real, L: Lanes>(work: &mut Bounds<'_, '_, T>) {
    match (L::TILE_ROWS, work.queries.spans.is_some()) {
        (0..=5, false) => tiles::<T, L, 2, false>(work),
        (0..=5, true) => tiles::<T, L, 2, true>(work),
        (6..=11, false) => tiles::<T, L, 4, false>(work),
        (6..=11, true) => tiles::<T, L, 4, true>(work),
        (_, false) => tiles::<T, L, 8, false>(work),
        (_, true) => tiles::<T, L, 8, true>(work),
    }
}

/// Register tiles of `R` queries against one panel; `TWO` adds the products of spans of a two-sided bound.
#[inline(always)]
fn tiles<T: Real, L: Lanes, const R: usize, const TWO: bool>(work: &mut Bounds<'_, '_, T>) {
    let (count, panels) = (work.points.count, work.points.len.div_ceil(T::LANES));
    for first in (0..work.least.len()).step_by(R) {
        if work.least[first..first + R].iter().all(|&least| least == f64::INFINITY) {
            continue; // nobody wants these rows
        }
        let lane = first % T::LANES;
        let queries = &work.queries.coordinates[first / T::LANES * count * T::LANES..][..count * T::LANES];
        for p in 0..panels {
            let points = &work.points.coordinates[p * count * T::LANES..][..count * T::LANES];
            let mut sums = [<T::On<L>>::splat(T::default()); R];
            for (query, point) in queries.chunks_exact(T::LANES).zip(points.chunks_exact(T::LANES)) {
                let (query, point) = (&query[lane..lane + R], <T::On<L>>::load(point));
                for r in 0..R {
                    sums[r] = <T::On<L>>::splat(query[r]).mul_add(point, sums[r]);
                }
            }
            let lanes = p * T::LANES..(p + 1) * T::LANES;
            let tails = <T::On<L>>::load(&work.points.tails[lanes.clone()]);
            let slacks = <T::On<L>>::load(&work.points.slacks[lanes.clone()]);
            let spans = <T::On<L>>::load(&work.points.spans[lanes]);
            let in_use = super::lanes_in_use::<T>(work.points.len, p);
            for r in 0..R {
                let query = first + r;
                let slack = slacks.add(<T::On<L>>::splat(work.queries.slacks[query]));
                let mut bound = tails.mul_add(<T::On<L>>::splat(work.queries.tails[query]), sums[r].abs().add(slack));
                if let (true, Some(query_spans)) = (TWO, work.queries.spans) {
                    bound = spans.mul_add(<T::On<L>>::splat(query_spans[query]), bound);
                }
                let place = query * panels + p;
                bound.store(&mut work.out[place * T::LANES..]);
                let least = <T::On<L>>::splat(T::from_f64(work.least[query]));
                let wanted = query < work.queries.len && work.least[query] < f64::INFINITY;
                let kept = if wanted { in_use } else { 0 };
                work.masks[place] = !bound.lt(least) & kept; // a NaN bounds nothing: it stays
            }
        }
    }
}

/// Bounds of queries against an envelope.
#[inline(always)]
pub(super) fn envelope_bounds<T: Real, L: Lanes>(
    queries: &FrameQueries<'_, T>,
    [span, tail, slack]: [T; 3],
    out: &mut [T],
) {
    let up = <T::On<L>>::splat(T::from_f64(1.0 + 8.0 * T::ROUNDOFF));
    for (panel, out) in out.chunks_exact_mut(T::LANES).enumerate() {
        let mut squares = <T::On<L>>::splat(T::default());
        let size = queries.count * T::LANES;
        for row in queries.coordinates[panel * size..(panel + 1) * size].chunks_exact(T::LANES) {
            let row = <T::On<L>>::load(row);
            squares = row.mul_add(row, squares);
        }
        let lanes = panel * T::LANES..(panel + 1) * T::LANES;
        let mut reach = squares.sqrt();
        if let Some(spans) = queries.spans {
            reach = reach.add(<T::On<L>>::load(&spans[lanes.clone()]));
        }
        let slack = <T::On<L>>::load(&queries.slacks[lanes.clone()]).add(<T::On<L>>::splat(slack));
        let bound = reach.mul_add(<T::On<L>>::splat(span), slack);
        let bound = <T::On<L>>::load(&queries.tails[lanes]).mul_add(<T::On<L>>::splat(tail), bound);
        bound.mul(up).store(out);
    }
}
