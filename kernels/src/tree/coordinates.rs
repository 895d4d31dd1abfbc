//! Metrics of coordinates: Euclidean, Manhattan, Chebyshev.

use core::marker::PhantomData;

use super::Boxes;
use super::metric::Metric;
use crate::dist::{Form, lanes};
use crate::simd::{Lanes, Real};
use crate::view::Panels;

/// The metric that belongs to a [`Form`], over packed points.
///
/// | `T` | surrogate | distance |
/// | --- | --- | --- |
/// | `f64` | the form's sum by the published formula, so nothing is left to settle | its [`finish`](Form::finish) |
/// | `f32` | the form's sum in `f32`, fused where the tier fuses | the sum again in `f64`, unfused, finished |
///
/// A query is a row of `dim` coordinates in the same precision.
#[derive(Clone, Copy, Debug)]
pub struct Coordinates<'a, T, F> {
    points: Panels<'a, T>,
    boxes: Option<Boxes<'a, T>>,
    /// Bounds on the error of a surrogate.
    relative: f64,
    absolute: f64,
    /// Bound on the relative error of a computed distance, for the slack of the triangle inequality.
    slack: f64,
    form: PhantomData<F>,
}

impl<'a, T: Real, F: Form> Coordinates<'a, T, F> {
    /// The metric over packed points.
    pub fn new(points: Panels<'a, T>) -> Self {
        let dim = points.dim();
        // Surrogate and published sum may both be off. The factor 2 covers terms of second order and the roundings
        // inside the translations below.
        let relative = 2.0 * (F::relative_error::<T>(dim) + F::relative_error::<f64>(dim)) + 8.0 * f64::EPSILON;
        let absolute = 2.0 * (F::absolute_error::<T>(dim) + F::absolute_error::<f64>(dim));
        // Three computed distances take part in a triangle.
        let slack = 2.0 * (F::relative_error::<f64>(dim) + 2.0 * f64::EPSILON);
        Self { points, boxes: None, relative, absolute, slack, form: PhantomData }
    }

    /// The same with a box around each group of the tree.
    pub fn with_boxes(self, boxes: Boxes<'a, T>) -> Self {
        Self { boxes: Some(boxes), ..self }
    }

    /// The packed points.
    pub fn points(&self) -> Panels<'a, T> {
        self.points
    }
}

impl<T: Real, F: Form> Metric for Coordinates<'_, T, F> {
    type Real = T;
    type Query<'q> = &'q [T];

    #[inline(always)]
    fn surrogates<L: Lanes>(&self, query: &[T], from: usize, to: usize, _ceiling: T, out: &mut [T]) {
        let first = from / T::LANES;
        let panels = self.points.run(first, to.div_ceil(T::LANES) - first);
        if T::IS_F64 {
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
    fn box_bounds<L: Lanes>(&self, query: &[T], from: usize, to: usize, out: &mut [T]) {
        if let Some(boxes) = self.boxes {
            if T::IS_F64 {
                boxes.bounds::<F, L, true>(query, from, to, out);
            } else {
                boxes.bounds::<F, L, false>(query, from, to, out);
            }
        }
    }

    #[inline(always)]
    fn ceiling(&self, distance: f64) -> T {
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
        let sum = surrogate.to_f64() * (1.0 - self.relative) - self.absolute;
        if sum > 0.0 { F::finish::<L>(sum) * (1.0 - 2.0 * f64::EPSILON) } else { 0.0 }
    }

    #[inline(always)]
    fn at_most<L: Lanes>(&self, surrogate: T) -> f64 {
        F::finish::<L>(surrogate.to_f64() * (1.0 + self.relative) + self.absolute) * (1.0 + 2.0 * f64::EPSILON)
    }

    #[inline(always)]
    fn distance<L: Lanes>(&self, query: &[T], position: usize, surrogate: T) -> f64 {
        if T::IS_F64 {
            return F::finish::<L>(surrogate.to_f64());
        }
        let mut sum = 0.0;
        for (d, q) in query.iter().enumerate() {
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
            lanes::widened::<T, F, L>(query, self.points.run(start / T::LANES, 1), out);
        }
    }

    #[inline(always)]
    fn beyond(&self, center: f64, reach: f64) -> f64 {
        center - reach - self.slack * (center + reach)
    }
}
