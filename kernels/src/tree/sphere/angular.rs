//! The angle between vectors.

use super::{ARC, Chord};
use crate::dist::form::gamma;
use crate::dist::{Form, SquaredEuclidean};
use crate::error::{KernelError, want};
use crate::simd::{Lanes, Real};
use crate::tree::{Boxes, Coordinates, Metric};
use crate::view::Panels;

/// Makes the unit vector that [`Angular`] stores and takes as a query.
///
/// `out = y / |y|` with `y = 2^-e * row`, where `2^e` is the power of two of the largest magnitude in `row`, so that no
/// square leaves the range; `|y|` is the square root of the sum of squares, unfused, in order of dimension. Scaling by a power
/// of two rounds nothing but what becomes subnormal, so this is `row / |row|` wherever that can be computed.
///
/// | argument | shape |
/// | --- | --- |
/// | `row` | `[dim]`, finite, not all 0 |
/// | `out` | `[dim]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when the lengths differ; [`KernelError::Value`] naming `row` at the first value that is not
/// finite, or at 0 for a zero vector, which has no direction. `out` is then untouched.
///
/// # Accuracy
/// `| |out|^2 - 1 | <= gamma(dim + 5)` with `gamma(n) = n u / (1 - n u)`, `u = 2^-53`: the sum has at most `dim` roundings,
/// which the square root halves, the root and the quotient one each, and the square doubles them all.
///
/// # Cost
/// Three passes, with a scaling and a division per dimension.
pub fn unit_row<T: Real>(row: &[T], out: &mut [f64]) -> Result<(), KernelError> {
    want("out", row.len(), out.len())?;
    let mut largest = 0.0;
    for (at, value) in row.iter().enumerate() {
        let magnitude = value.to_f64().abs();
        if !magnitude.is_finite() {
            return Err(KernelError::Value { what: "row", at });
        }
        largest = if magnitude > largest { magnitude } else { largest };
    }
    if largest == 0.0 {
        return Err(KernelError::Value { what: "row", at: 0 });
    }
    let exponent = libm::ilogb(largest);
    let mut sum = 0.0;
    for (out, value) in out.iter_mut().zip(row) {
        *out = libm::scalbn(value.to_f64(), -exponent);
        sum += *out * *out;
    }
    let norm = libm::sqrt(sum);
    for out in out {
        *out /= norm;
    }
    Ok(())
}

/// The angle between vectors, in radians: `d = 2 atan2(sqrt(sum of (u - v)^2), sqrt(sum of (u + v)^2))` of the unit
/// vectors `u` and `v`, in `f64`, unfused, sums in order of dimension, `atan2` of `libm`.
///
/// The formula is W. Kahan's (*How Futile are Mindless Assessments of Roundoff in Floating-Point Computation?*, 2006):
/// accurate to the last bits for every angle from 0 to pi. It is symmetric bit for bit, for `u - v` and `v - u`
/// have one square.
///
/// Points and queries are rows of [`unit_row`]; the surrogate is the first of the two sums.
///
/// # Margins
/// With `u = 2^-53`, `g = gamma(dim + 3)` the bound on the relative error of a sum and `t = gamma(dim + 5)` that on
/// `|u|^2 - 1`: the exact sums add up to `2 |u|^2 + 2 |v|^2`, so the computed ones, `s` and `p`, to `4 (1 + r)` with
/// `|r| <= t + g` to first order. The sine of half of the distance is `sqrt(s / (s + p))` up to the roundings of the roots: half of
/// the computed chord `sqrt(s)`, to within a relative `(t + g) / 2 + 3 u`.
///
/// *Triangles.* The angle `w` between `u` and `v` satisfies the triangle inequality. Exact arithmetic on the rounded `u`
/// and `v` gives `d` with `cos d = cos w * 2 |u| |v| / (|u|^2 + |v|^2)`, a factor not below `1 - t^2 / 2` to first order,
/// so `|d - w| <= acos(1 - t^2 / 2)`, which is `t`. Rounding adds a relative `g + 7 u`: each root `g / 2 + u`, the quotient and
/// the arc tangent the rest; a relative error of a quotient is at most the same of its arc.
#[derive(Clone, Copy, Debug)]
pub struct Angular<'a> {
    pub(in crate::tree) sums: Coordinates<'a, f64, SquaredEuclidean>,
    chord: Chord,
    /// Bounds on the part by which three computed distances may break the triangle inequality.
    slack: f64,
    slack_absolute: f64,
}

impl<'a> Angular<'a> {
    /// The metric over packed unit vectors.
    pub fn new(points: Panels<'a, f64>) -> Self {
        Self::of(Coordinates::new(points))
    }

    /// The metric over packed unit vectors that have [projections](Coordinates::projected) ahead of them.
    ///
    /// # Errors
    /// As [`Coordinates::projected`].
    pub fn projected(points: Panels<'a, f64>, axes: usize, excess: f64) -> Result<Self, KernelError> {
        Coordinates::projected(points, axes, excess).map(Self::of)
    }

    fn of(sums: Coordinates<'a, f64, SquaredEuclidean>) -> Self {
        let dim = sums.points().dim() - sums.projected_axes();
        let sum_error = SquaredEuclidean::relative_error::<f64>(dim);
        let norm_error = gamma(dim + 5, f64::ROUNDOFF);
        // The doubled bounds cover terms of second order.
        let chord = Chord { relative: 2.0 * (sum_error + norm_error) + 16.0 * f64::EPSILON, absolute: 0.0 };
        let (slack, slack_absolute) = (2.0 * (sum_error + ARC), 4.0 * norm_error);
        Self { sums, chord, slack, slack_absolute }
    }

    /// The same with a box around each group of the tree.
    pub fn with_boxes(self, boxes: Boxes<'a, f64>) -> Self {
        Self { sums: self.sums.with_boxes(boxes), ..self }
    }
}

impl Metric for Angular<'_> {
    type Real = f64;
    type Query<'q> = &'q [f64];
    const SHORTLIST_FROM: usize = 1;

    #[inline]
    fn positions(&self) -> usize {
        self.sums.positions()
    }

    #[inline]
    fn check(&self, query: &[f64], len: usize) -> Result<(), KernelError> {
        self.sums.check(query, len)
    }

    #[inline]
    fn check_boxes(&self, groups: usize) -> Result<(), KernelError> {
        self.sums.check_boxes(groups)
    }

    #[inline(always)]
    fn surrogates<L: Lanes>(&self, query: &[f64], from: usize, to: usize, ceiling: f64, out: &mut [f64]) {
        self.sums.surrogates::<L>(query, from, to, ceiling, out);
    }

    #[inline(always)]
    fn has_boxes(&self) -> bool {
        self.sums.has_boxes()
    }

    #[inline(always)]
    fn box_bounds<L: Lanes>(&self, query: &[f64], from: usize, to: usize, out: &mut [f64]) {
        self.sums.box_bounds::<L>(query, from, to, out);
    }

    #[inline(always)]
    fn ceiling(&self, distance: f64) -> f64 {
        self.chord.ceiling(distance)
    }

    #[inline(always)]
    fn floor(&self, distance: f64) -> f64 {
        self.chord.floor(distance)
    }

    #[inline(always)]
    fn at_least<L: Lanes>(&self, surrogate: f64) -> f64 {
        self.chord.at_least::<L>(surrogate)
    }

    #[inline(always)]
    fn at_most<L: Lanes>(&self, surrogate: f64) -> f64 {
        self.chord.at_most::<L>(surrogate)
    }

    #[inline(always)]
    fn reach<L: Lanes>(&self, surrogate: f64) -> f64 {
        self.chord.reach::<L>(surrogate)
    }

    #[inline(always)]
    fn distance<L: Lanes>(&self, query: &[f64], position: usize, surrogate: f64) -> f64 {
        let points = self.sums.points();
        let mut sum = 0.0;
        for (d, q) in query.iter().enumerate().skip(self.sums.projected_axes()) {
            let both = q + points.coordinate(position, d);
            sum += both * both;
        }
        2.0 * libm::atan2(L::sqrt(surrogate), L::sqrt(sum))
    }

    #[inline(always)]
    fn beyond(&self, center: f64, reach: f64) -> f64 {
        center - reach - (self.slack * (center + reach) + self.slack_absolute)
    }
}
