//! Bodies over the lane traits.

#![allow(clippy::needless_range_loop, reason = "a counted loop over an array of vectors stays in registers")]

use super::frame::REACH;
use super::{Cross, Frame, FrameMemory, FramePoints, FrameQueries};
use crate::simd::{LANES_F64, Lanes, Real, Vector};

/// Vectors that go in step, so that their chains of dependent operations overlap.
const GROUP: usize = 4;

/// Coordinates and extents of packed points from their correlations with the landmarks, `rho: [count][panels][LANES]`; of
/// `WEIGHTED` points the spans are their errors, and the slacks leave out what these cause.
#[inline(always)]
pub(super) fn project<L: Lanes, const WEIGHTED: bool>(
    frame: &Frame,
    factor: &[f64],
    rho: &[f64],
    errors: &[f64],
    memory: &mut FrameMemory<'_, f64>,
) {
    let (count, lanes) = (frame.count, memory.spans.len());
    let (coordinates, extents) = (&mut *memory.coordinates, Extents::new(frame));
    for first in (0..lanes).step_by(GROUP * LANES_F64) {
        // Where the panels of the group begin; the last panel is repeated at the end.
        let mut places = [0; GROUP];
        for g in 0..GROUP {
            places[g] = (first + g * LANES_F64).min(lanes - LANES_F64);
        }
        let mut squares = [L::F64::splat(0.0); GROUP];
        for i in 0..count {
            let factors = &factor[i * frame.stride..][..i + 1];
            let mut sums = squares;
            for g in 0..GROUP {
                sums[g] = L::F64::load(&rho[i * lanes + places[g]..]);
            }
            for (j, &factor) in factors[..i].iter().enumerate() {
                let factor = L::F64::splat(-factor);
                for g in 0..GROUP {
                    let known = L::F64::load(&coordinates[places[g] * count + j * LANES_F64..]);
                    sums[g] = factor.mul_add(known, sums[g]);
                }
            }
            let inverse = L::F64::splat(1.0 / factors[i]); // one rounding more, which the frame counts
            for g in 0..GROUP {
                let coordinate = sums[g].mul(inverse);
                squares[g] = coordinate.mul_add(coordinate, squares[g]);
                coordinate.store(&mut coordinates[places[g] * count + i * LANES_F64..]);
            }
        }
        for g in 0..GROUP {
            let [span, tail, slack] =
                extents.of::<L::F64, WEIGHTED>(squares[g].sqrt(), L::F64::load(&errors[places[g]..]));
            span.store(&mut memory.spans[places[g]..]);
            tail.store(&mut memory.tails[places[g]..]);
            slack.store(&mut memory.slacks[places[g]..]);
        }
    }
}

/// [`Frame::extent`] in lanes, with the rounding of the bounds in the slack. Holds what is the same for all points.
#[derive(Clone, Copy)]
struct Extents {
    /// Residual per `mu` and per norm, both through the inverse: `delta = error * per_error + norm * per_norm`.
    per_error: f64,
    per_norm: f64,
    per_square: f64,
    per_reach: f64,
    slack: f64,
}

impl Extents {
    fn new(frame: &Frame) -> Self {
        let inverse = frame.inverse * (1.0 + 2e-9);
        Self {
            per_error: frame.error * inverse,
            per_norm: libm::sqrt(frame.count as f64) * frame.rounding() * 1.01 * inverse,
            per_square: 1.0 / (1.0 + frame.defect) * (1.0 - 1e-15),
            per_reach: (1.0 + 1e-12) / libm::sqrt(1.0 - frame.defect),
            slack: 0.5 * frame.kappa() + super::points::rounding::<f64>(frame.count),
        }
    }

    /// Span, tail and slack of points with the norms and error factors of the lanes.
    #[inline(always)]
    fn of<V: Vector<Elem = f64>, const WEIGHTED: bool>(&self, norm: V, error: V) -> [V; 3] {
        let (zero, one, infinity) = (V::splat(0.0), V::splat(1.0), V::splat(f64::INFINITY));
        let rounding = norm.mul(V::splat(self.per_norm));
        let delta = error.mul_add(V::splat(self.per_error), rounding);
        let inside = norm.mul(V::splat(1.0 - 1e-14)).sub(delta).max(zero);
        let lost = inside.mul(inside).mul(V::splat(self.per_square));
        let tail = error.mul_add(error, one).sub(lost).max(zero).add(V::splat(1e-14)).sqrt();
        let own = if WEIGHTED { rounding } else { delta };
        let span = if WEIGHTED { error } else { norm.add(delta).mul(V::splat(self.per_reach)) };
        let slack = own.mul_add(V::splat(REACH), error.mul(error).mul_add(V::splat(0.5), V::splat(self.slack)));
        // Infinite where the frame is no use for the point, also for NaN.
        let slack = own.pick_le(V::splat(0.25), slack, infinity);
        let slack = error.pick_le(V::splat(0.25), slack, infinity);
        [span, tail, norm.pick_le(V::splat(REACH), slack, infinity)]
    }
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
        for first in (0..cross.columns).step_by(GROUP) {
            let group = GROUP.min(cross.columns - first);
            let mut sums = [L::F64::splat(0.0); GROUP];
            for (products, row) in products.chunks_exact(cross.columns).zip(panel.chunks_exact(LANES_F64)) {
                let (products, row) = (&products[first..first + group], L::F64::load(row));
                for g in 0..GROUP {
                    sums[g] = L::F64::splat(products[g.min(group - 1)]).mul_add(row, sums[g]);
                }
            }
            for g in 0..group {
                sums[g].store(&mut out[(first + g) * LANES_F64..]);
            }
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
