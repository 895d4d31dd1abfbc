//! Metrics of coordinates: Euclidean, Manhattan, Chebyshev.

use core::marker::PhantomData;

use super::Boxes;
use super::metric::{Metric, check_numbers};
use crate::dist::{Form, lanes};
use crate::error::{KernelError, want};
use crate::projection::stretch;
use crate::simd::{Lanes, Real, Vector};
use crate::view::Panels;

/// The metric that belongs to a [`Form`], over packed points.
///
/// | `T` | surrogate | distance |
/// | --- | --- | --- |
/// | `f64` | the form's sum by the published formula, so nothing is left to settle | its [`finish`](Form::finish) |
/// | `f32` | the form's sum in `f32`, fused where the tier fuses | the sum again in `f64`, unfused, finished |
///
/// A query is a row of `dim` coordinates in the same precision.
///
/// # Margins
/// The surrogate and the published sum are each within their [relative](Form::relative_error) and
/// [absolute](Form::absolute_error) bounds of the exact sum, so apart by at most the sum of both pairs, to first order.
/// Twice that is allowed, for the terms of second order and for the roundings of the translations themselves.
///
/// *Triangles.* Exact distances satisfy the triangle inequality, and a computed one is within a relative `e = g + 4 u` of the
/// exact one, `g` the bound of its sum in `f64`. So `center - reach` is off by `e (center + reach)`, and the distance that it
/// bounds, which is at most `center + reach`, by as much again: `2 e (center + reach)`. A sum whose squares underflow
/// is off by an absolute `a`, its root by `sqrt(a)`; of three distances that is less than `4 sqrt(a)`.
///
/// *Projections.* See [`projected`](Self::projected).
#[derive(Clone, Copy, Debug)]
pub struct Coordinates<'a, T, F> {
    points: Panels<'a, T>,
    boxes: Option<Boxes<'a, T>>,
    /// The values of a row before its coordinates.
    ahead: Ahead<T>,
    /// Bounds on the error of a surrogate.
    relative: f64,
    absolute: f64,
    /// Bounds on the part by which three computed distances may break the triangle inequality.
    slack: f64,
    slack_absolute: f64,
    /// Factor and term of [`limits`](Self::limits).
    margin: (T, T),
    form: PhantomData<F>,
}

impl<'a, T: Real, F: Form> Coordinates<'a, T, F> {
    /// The metric over packed points.
    pub fn new(points: Panels<'a, T>) -> Self {
        Self::after(Ahead::default(), points)
    }

    /// The metric over the coordinates of packed rows that have something ahead of them.
    fn after(ahead: Ahead<T>, points: Panels<'a, T>) -> Self {
        let dim = points.dim() - ahead.count;
        // Surrogate and published sum may both be off. The factor 2 covers terms of second order and the roundings
        // inside the translations below.
        let relative = 2.0 * (F::relative_error::<T>(dim) + F::relative_error::<f64>(dim)) + 8.0 * f64::EPSILON;
        let absolute = 2.0 * (F::absolute_error::<T>(dim) + F::absolute_error::<f64>(dim));
        // Three computed distances take part in a triangle. A square that underflows is off by `e`, its root by `sqrt(e)`.
        let slack = 2.0 * (F::relative_error::<f64>(dim) + 2.0 * f64::EPSILON);
        let slack_absolute = 4.0 * libm::sqrt(F::absolute_error::<f64>(dim));
        let factor = (1.0 + relative) * (1.0 + relative) * (1.0 + 16.0 * f64::EPSILON) * (1.0 + 8.0 * T::ROUNDOFF);
        let term = 4.0 * absolute + 8.0 * T::TINY * T::ROUNDOFF;
        let margin = if relative < 1.0 {
            (T::from_f64(factor).next_up(), T::from_f64(term))
        } else {
            (T::from_f64(1.0), T::INFINITY)
        };
        Self { points, boxes: None, ahead, relative, absolute, slack, slack_absolute, margin, form: PhantomData }
    }

    /// The same with a box around each group of the tree; of projected rows around their projections.
    pub fn with_boxes(self, boxes: Boxes<'a, T>) -> Self {
        Self { boxes: Some(boxes), ..self }
    }

    /// The packed points; projected ones with their projections.
    pub fn points(&self) -> Panels<'a, T> {
        self.points
    }

    /// Values of a row ahead of its coordinates: the axes of a projection, or none.
    pub fn projected_axes(&self) -> usize {
        self.ahead.count
    }

    /// Refuses projected rows.
    pub(crate) fn want_plain(&self) -> Result<(), KernelError> {
        want("projected axes", 0, self.ahead.count)
    }

    /// The boxes around the groups, if there are any.
    pub fn boxes(&self) -> Option<Boxes<'a, T>> {
        self.boxes
    }

    /// For the surrogate in each lane one that no point exceeds which is as near as any point with that surrogate, or nearer:
    /// not below `ceiling(at_most(surrogate))`.
    ///
    /// With `s` for the surrogate, `r` and `a` for the relative and absolute error and `e`, `u` for the units roundoff of
    /// `f64` and `T`, that is at most `((s (1 + r) + a) (1 + 8 e) (1 + r) + a) (1 + 2 u)`, which for `r < 1` is
    /// below `s (1 + r)^2 (1 + 16 e) (1 + 2 u) + 3.1 a`. Eight units for two roundings, and a few of the smallest numbers where
    /// the product underflows, pay for the arithmetic in `T`.
    #[inline(always)]
    pub(crate) fn limits<L: Lanes>(&self, surrogates: T::On<L>) -> T::On<L> {
        let (factor, term) = self.margin;
        surrogates.mul(<T::On<L>>::splat(factor)).add(<T::On<L>>::splat(term))
    }
}

impl<'a, T: Real, F: Form> Coordinates<'a, T, F> {
    /// The metric over packed [projected rows](crate::projection::project_rows), to which a query is one as well: `axes` values of
    /// a projection, then the coordinates. Boxes are around the projections. `excess` is what
    /// [`excess`](crate::projection::excess) gives for the points. Without axes, this is [`new`](Self::new).
    ///
    /// # Errors
    /// [`KernelError::Shape`] unless there are coordinates besides, and for axes under a form that does not
    /// [project](Form::PROJECTS); [`KernelError::Value`] for an `excess` that is negative or not finite, or so large that `T` does not
    /// hold the square of sixteen times as much.
    ///
    /// # Margins
    /// Let `d` be the exact distance of a point, `S` that of the two stored projections, `m` the [`stretch`] and `e` the excess:
    /// `S <= d m + e`, so for any positive `h`, `S^2 <= (1 + h) m^2 d^2 + (1 + 1/h) e^2`. The sum over the axes, as computed, is
    /// at most `S^2 (1 + r) + a`, and that over the coordinates at least `d^2 (1 - r) - a`, with the larger of the relative and absolute
    /// errors of both. With `h = 1/128`, a sum `b` over the axes therefore shows that the surrogate is at least
    ///
    /// ```text
    /// b f - g,   f = (1 - 2 r) / ((1 + h) m^2),   g = 129 e^2 + 2 a.
    /// ```
    ///
    /// A few roundoffs of `T` pay for the arithmetic, which is not fused. Projections of points that are nearer than some ten times the
    /// excess tell nothing.
    pub fn projected(points: Panels<'a, T>, axes: usize, excess: f64) -> Result<Self, KernelError> {
        if axes == 0 {
            return Ok(Self::new(points));
        }
        if !F::PROJECTS {
            return Err(KernelError::Shape { what: "axes", want: 0, got: axes });
        }
        if axes >= points.dim() {
            return Err(KernelError::Shape { what: "points", want: axes + 1, got: points.dim() });
        }
        let square = excess * excess;
        if !(excess >= 0.0 && 256.0 * square < T::HUGE) {
            return Err(KernelError::Value { what: "excess", at: 0 });
        }
        let dim = points.dim() - axes;
        let most = if dim > axes { dim } else { axes };
        let relative = F::relative_error::<T>(most);
        let absolute = F::absolute_error::<T>(most);
        let longer = (1.0 + 1.0 / 128.0) * stretch::<T>(dim) * stretch::<T>(dim);
        let factor = (1.0 - 2.0 * relative) / longer * (1.0 - 16.0 * T::ROUNDOFF);
        let term = (129.0 * square + 2.0 * absolute + 16.0 * T::TINY) * (1.0 + 16.0 * T::ROUNDOFF);
        let factor = if factor > 0.0 { T::from_f64(factor) } else { T::default() };
        Ok(Self::after(Ahead { count: axes, factor, term: T::from_f64(term) }, points))
    }
}

/// What stands ahead of the coordinates of a row.
#[derive(Clone, Copy, Debug, Default)]
struct Ahead<T> {
    /// Axes of a projection.
    count: usize,
    /// What a sum over them shows of the surrogate: the sum times this,
    factor: T,
    /// less this.
    term: T,
}

impl<T: Real> Ahead<T> {
    /// Lower bounds of surrogates, or of boxes full of them, from sums over the axes.
    #[inline(always)]
    fn at_least<L: Lanes>(self, sums: T::On<L>) -> T::On<L> {
        let bound = sums.mul(<T::On<L>>::splat(self.factor)).sub(<T::On<L>>::splat(self.term));
        bound.max(<T::On<L>>::splat(T::default()))
    }
}

impl<T: Real, F: Form> Coordinates<'_, T, F> {
    /// The sums over the coordinates behind what stands ahead, of one panel.
    #[inline(always)]
    fn sums_behind<L: Lanes>(&self, query: &[T], panel: &[T]) -> T::On<L> {
        let (query, panel) = (&query[self.ahead.count..], &panel[self.ahead.count * T::LANES..]);
        if T::IS_F64 {
            lanes::one_to_panel::<T, F, L, true>(query, panel)
        } else {
            lanes::one_to_panel::<T, F, L, false>(query, panel)
        }
    }

    /// The surrogates of a panel of projected rows: bounds from the projections, where these are all above the ceiling.
    #[inline(always)]
    fn projected_panel<L: Lanes>(&self, query: &[T], panel: &[T], ceiling: T) -> T::On<L> {
        let sums = lanes::one_to_panel::<T, F, L, true>(&query[..self.ahead.count], panel);
        let bounds = self.ahead.at_least::<L>(sums);
        if bounds.le(<T::On<L>>::splat(ceiling)) == 0 { bounds } else { self.sums_behind::<L>(query, panel) }
    }
}

impl<T: Real, F: Form> Metric for Coordinates<'_, T, F> {
    type Real = T;
    type Query<'q> = &'q [T];
    const SHORTLIST_FROM: usize = 1;

    #[inline]
    fn positions(&self) -> usize {
        self.points.len()
    }

    #[inline]
    fn check(&self, query: &[T], len: usize) -> Result<(), KernelError> {
        want("points", len, self.points.len())?;
        want("query", self.points.dim(), query.len())?;
        check_numbers(query)
    }

    #[inline]
    fn check_boxes(&self, groups: usize) -> Result<(), KernelError> {
        let axes = if self.ahead.count > 0 { self.ahead.count } else { self.points.dim() };
        self.boxes.map_or(Ok(()), |boxes| boxes.check(groups, axes))
    }

    #[inline(always)]
    fn surrogates<L: Lanes>(&self, query: &[T], from: usize, to: usize, ceiling: T, out: &mut [T]) {
        let first = from / T::LANES;
        let panels = self.points.run(first, to.div_ceil(T::LANES) - first);
        if F::PROJECTS && self.ahead.count > 0 {
            let stride = self.points.dim() * T::LANES;
            for (panel, out) in panels.chunks_exact(stride).zip(out.chunks_exact_mut(T::LANES)) {
                self.projected_panel::<L>(query, panel, ceiling).store(out);
            }
        } else if T::IS_F64 {
            lanes::one_to_run::<T, F, L, true>(query, panels, out);
        } else {
            lanes::one_to_run::<T, F, L, false>(query, panels, out);
        }
    }

    #[inline(always)]
    fn has_boxes(&self) -> bool {
        self.boxes.is_some()
    }

    #[inline(always)]
    fn surrogate_panel<L: Lanes>(&self, query: &[T], from: usize, _to: usize, ceiling: T) -> T::On<L> {
        let panel = self.points.run(from / T::LANES, 1);
        if F::PROJECTS && self.ahead.count > 0 {
            self.projected_panel::<L>(query, panel, ceiling)
        } else if T::IS_F64 {
            lanes::one_to_panel::<T, F, L, true>(query, panel)
        } else {
            lanes::one_to_panel::<T, F, L, false>(query, panel)
        }
    }

    #[inline(always)]
    fn box_bounds<L: Lanes>(&self, query: &[T], from: usize, to: usize, out: &mut [T]) {
        let Some(boxes) = self.boxes else { return };
        if F::PROJECTS && self.ahead.count > 0 {
            boxes.bounds::<F, L>(&query[..self.ahead.count], from, to, out);
            for out in out.chunks_exact_mut(T::LANES).take(to.div_ceil(T::LANES) - from / T::LANES) {
                self.ahead.at_least::<L>(<T::On<L>>::load(out)).store(out);
            }
        } else {
            boxes.bounds::<F, L>(query, from, to, out);
        }
    }

    #[inline(always)]
    fn box_panel<L: Lanes>(&self, query: &[T], from: usize, _to: usize) -> T::On<L> {
        match self.boxes {
            Some(boxes) if F::PROJECTS && self.ahead.count > 0 => {
                let sums = boxes.panel_bounds::<F, L>(&query[..self.ahead.count], from / T::LANES);
                self.ahead.at_least::<L>(sums)
            }
            Some(boxes) => boxes.panel_bounds::<F, L>(query, from / T::LANES),
            None => <T::On<L>>::splat(T::default()),
        }
    }

    #[inline(always)]
    fn ceiling(&self, distance: f64) -> T {
        if distance < 0.0 {
            return T::from_f64(-1.0); // no point is that near
        }
        let sum = F::unfinish(distance) * (1.0 + self.relative) + self.absolute;
        // Twice the unit roundoff more than pays for the rounding to `T`.
        let sum = sum * (1.0 + 2.0 * T::ROUNDOFF);
        if sum < T::HUGE { T::from_f64(sum) } else { T::INFINITY }
    }

    #[inline(always)]
    fn floor(&self, distance: f64) -> T {
        let sum = F::unfinish(distance) * (1.0 - self.relative) - self.absolute;
        if distance > 0.0 && sum > 0.0 { T::from_f64(sum * (1.0 - 2.0 * T::ROUNDOFF)) } else { T::default() }
    }

    #[inline(always)]
    fn at_least<L: Lanes>(&self, surrogate: T) -> f64 {
        // A sum that left the range of `T` only says that it is beyond that range.
        let sum = surrogate.to_f64().min(T::HUGE) * (1.0 - self.relative) - self.absolute;
        if sum > 0.0 { F::finish::<L>(sum) * (1.0 - 2.0 * f64::EPSILON) } else { 0.0 }
    }

    #[inline(always)]
    fn at_most<L: Lanes>(&self, surrogate: T) -> f64 {
        F::finish::<L>(surrogate.to_f64() * (1.0 + self.relative) + self.absolute) * (1.0 + 2.0 * f64::EPSILON)
    }

    // One multiply-add instead of a root and a square: see `limits`.
    #[inline(always)]
    fn reach<L: Lanes>(&self, surrogate: T) -> T {
        surrogate * self.margin.0 + self.margin.1
    }

    #[inline(always)]
    fn distance<L: Lanes>(&self, query: &[T], position: usize, surrogate: T) -> f64 {
        if T::IS_F64 {
            return F::finish::<L>(surrogate.to_f64());
        }
        let mut sum = 0.0;
        for (d, q) in query.iter().enumerate().skip(self.ahead.count) {
            sum = F::step_f64(sum, q.to_f64(), self.points.coordinate(position, d).to_f64());
        }
        F::finish::<L>(sum)
    }

    #[inline(always)]
    fn distances<L: Lanes>(&self, query: &[T], start: usize, mask: u32, surrogates: &[T], out: &mut [f64; 16]) {
        if T::IS_F64 || mask.count_ones() < 3 {
            let mut rest = mask;
            while rest != 0 {
                let lane = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                out[lane] = self.distance::<L>(query, start + lane, surrogates[lane]);
            }
        } else {
            let panel = &self.points.run(start / T::LANES, 1)[self.ahead.count * T::LANES..];
            lanes::widened::<T, F, L>(&query[self.ahead.count..], panel, out);
        }
    }

    #[inline(always)]
    fn beyond(&self, center: f64, reach: f64) -> f64 {
        center - reach - (self.slack * (center + reach) + self.slack_absolute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{Chebyshev, Manhattan, SquaredEuclidean};
    use crate::simd::Tier;
    use crate::tree::promises::{boxes_bound, keeps_promises, knn_is_brute_force, pack, uniform};
    use crate::trials;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Points of every order of magnitude, with near-ties, duplicates, and differences that underflow or overflow.
    fn points<T: Real>(seed: u64, dim: usize, magnitudes: &[f64]) -> Vec<T> {
        let mut rows = Vec::new();
        for (place, magnitude) in trials::thin(2, magnitudes.iter().enumerate()) {
            for tilt in [0.0, 0.0, 1e-7, 1e-15, 1.0] {
                let base = 1000 * place;
                rows.extend((0..dim).map(|d| {
                    let value = uniform(seed, base + d) - 0.5 + tilt * (uniform(seed, base + 500 + d) - 0.5);
                    T::from_f64(magnitude * value)
                }));
            }
        }
        rows
    }

    fn check<T: Real, F: Form>(tier: Tier, rows: &[T], dim: usize) {
        let packed = pack(rows, dim);
        let metric = Coordinates::<T, F>::new(Panels::new(&packed, dim, rows.len() / dim).unwrap());
        let oracle = |i: usize, j: usize| {
            let (a, b) = (&rows[i * dim..][..dim], &rows[j * dim..][..dim]);
            let sum = a.iter().zip(b).fold(0.0, |sum, (a, b)| F::step_f64(sum, a.to_f64(), b.to_f64()));
            if F::unfinish(2.0) == 4.0 { libm::sqrt(sum) } else { sum }
        };
        keeps_promises(tier, &metric, rows, dim, &oracle);
        knn_is_brute_force(tier, &metric, rows, dim, &oracle);
        boxes_bound(tier, rows, dim, dim, |boxes| metric.with_boxes(boxes));
    }

    fn check_forms<T: Real>(tier: Tier, rows: &[T], dim: usize) {
        check::<T, SquaredEuclidean>(tier, rows, dim);
        check::<T, Manhattan>(tier, rows, dim);
        check::<T, Chebyshev>(tier, rows, dim);
    }

    #[test]
    fn every_form_keeps_its_promises_on_every_tier() {
        for tier in Tier::all() {
            for (seed, dim) in trials::thin(4, [(2, 3), (1, 1), (3, 8), (4, 40)]) {
                check_forms::<f32>(tier, &points(seed, dim, &[1.0, 1e3, 1e-3, 1e-15, 1e-22, 1e-41]), dim);
                check_forms::<f64>(tier, &points(seed, dim, &[1.0, 1e9, 1e-9, 1e-120, 1e-158, 1e-310]), dim);
            }
        }
    }

    #[test]
    fn sums_beyond_the_range_of_single_precision_still_bound() {
        for tier in Tier::all() {
            for dim in trials::thin(3, [3, 1, 40]) {
                check_forms::<f32>(tier, &points(5, dim, &[1.0, 1e19, 4e19, 1e30, 4e38]), dim);
            }
        }
    }

    proptest! {
        #![proptest_config(trials::cases(32))]

        #[test]
        fn random_magnitudes_keep_the_promises(
            seed in any::<u64>(),
            dim in 1usize..12,
            powers in prop::collection::vec(-45.0f64..38.0, 1..6),
        ) {
            let magnitudes: Vec<f64> = powers.iter().map(|power| libm::pow(10.0, *power)).collect();
            check_forms::<f32>(Tier::detect(), &points(seed, dim, &magnitudes), dim);
            check_forms::<f64>(Tier::detect(), &points(seed, dim, &magnitudes), dim);
        }
    }
}
