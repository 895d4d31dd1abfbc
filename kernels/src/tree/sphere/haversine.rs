//! Great-circle distances.

use core::f64::consts::{FRAC_PI_2, PI};

use super::Chord;
use crate::dist::{Form, SquaredEuclidean};
use crate::error::{KernelError, want};
use crate::simd::{Lanes, Real, Vector};
use crate::tree::metric::check_numbers;
use crate::tree::{Boxes, Metric};
use crate::view::Panels;

/// Values of a prepared row: the unit vector `x, y, z`, the latitude, the longitude, the cosine of the latitude.
pub const HAVERSINE_WIDTH: usize = 6;

/// Leading values of a prepared row that boxes enclose: the unit vector.
const VECTOR: usize = 3;

/// Prepares a place, given by longitude and latitude in degrees, as [`Haversine`] stores it and takes it as a query.
///
/// | argument | range |
/// | --- | --- |
/// | `lon` | finite |
/// | `lat` | `-90..=90` |
///
/// | value | computed as |
/// | --- | --- |
/// | `phi` | `lat * (pi / 180)`, the constant rounded once |
/// | `lambda` | `rem * (pi / 180)`, where `rem` in `-180 < rem <= 180` is exactly `lon` less a multiple of 360 |
/// | `cos phi` | `libm`'s `cos`; 0 at the poles, so that all longitudes there are one place |
/// | `x, y, z` | `cos phi * cos lambda`, `cos phi * sin lambda`, `sin phi` |
///
/// So any finite longitude serves, and those that differ by whole turns are one place.
///
/// # Errors
/// [`KernelError::Value`] naming `lon` when it is not finite, `lat` when it is not in `-90..=90`.
///
/// # Accuracy
/// Beside the roundings of `phi` and `lambda`, which define the place, `x, y, z` has a relative error below `6 * 2^-53`.
///
/// # Cost
/// Four sines and cosines, and the remainder of the longitude.
pub fn haversine_row(lon: f64, lat: f64) -> Result<[f64; HAVERSINE_WIDTH], KernelError> {
    const RADIANS: f64 = PI / 180.0;
    if !lon.is_finite() {
        return Err(KernelError::Value { what: "lon", at: 0 });
    }
    if !(-90.0..=90.0).contains(&lat) {
        return Err(KernelError::Value { what: "lat", at: 0 });
    }
    let turned = libm::remainder(lon, 360.0);
    let lambda = if turned == -180.0 { 180.0 } else { turned } * RADIANS;
    let (phi, cosine) = if lat.abs() == 90.0 {
        (libm::copysign(FRAC_PI_2, lat), 0.0)
    } else {
        let phi = lat * RADIANS;
        (phi, libm::cos(phi))
    };
    Ok([cosine * libm::cos(lambda), cosine * libm::sin(lambda), libm::sin(phi), phi, lambda, cosine])
}

/// The great-circle distance on the unit sphere, in radians, by the haversine formula. In `f64`, unfused, with `sin` and
/// `asin` of `libm`, from the values of [`haversine_row`]:
///
/// ```text
/// a = sin(|phi_1 - phi_2| * 0.5)
/// b = sin(|lambda_1 - lambda_2| * 0.5)
/// d = 2 * asin(sqrt(min(a * a + (cos phi_1 * cos phi_2) * (b * b), 1)))
/// ```
///
/// It is symmetric bit for bit. The surrogate is the squared chord between the unit vectors, unfused.
///
/// # Margins
/// With `u = 2^-53` and `H` the sine of half of the exact distance between the places that `phi` and `lambda` define:
///
/// - *the formula*: `a` is off by at most `4.2 u` (the half difference `1.6 u`, the rounded pole `0.6 u`, the sine `2 u`), `b` by
///   `5.2 u`, and the root of the product of cosines by a relative `2.5 u`; as two legs of a right triangle they
///   leave its hypotenuse, `H`, within `10 u`, and the last roundings within `12 u`;
/// - *the chord*: each unit vector is within `5.2 u`, the chord within `10.4 u`, its computed length within `17 u`, half
///   of it within `9 u` of `H`.
///
/// So half of the computed chord and the computed sine are within `21 u`; `2^-48` is allowed, in distance 45 nanometres on
/// Earth.
///
/// *Triangles.* The exact distance satisfies the triangle inequality. The computed one comes from a sine within `12 u`. The
/// slope of `2 asin` is below 29 up to the distance 3, so that it is within `2^-44` there. Towards the antipode the
/// arc sine becomes steep without bound, and all that can be said is `2 acos(1 - 12 u) < 2^-23`, under a metre on Earth:
/// there [`beyond`](Metric::beyond) gives up so much, which costs time only for queries about the far side.
#[derive(Clone, Copy, Debug)]
pub struct Haversine<'a> {
    pub(in crate::tree) points: Panels<'a, f64>,
    boxes: Option<Boxes<'a, f64>>,
}

/// The margin derived above.
const CHORD: Chord = Chord { relative: 16.0 * f64::EPSILON, absolute: 16.0 * f64::EPSILON };

/// Three times the error of a distance up to [`STEEP`], rounded up.
const SLACK: f64 = 1.0 / (1u64 << 42) as f64;
/// Three times the error of any distance, rounded up.
const SLACK_STEEP: f64 = 1.0 / (1u64 << 21) as f64;
/// From here on the arc sine is called steep.
const STEEP: f64 = 3.0;

impl<'a> Haversine<'a> {
    /// The metric over packed rows of [`haversine_row`].
    ///
    /// # Errors
    /// [`KernelError::Shape`] when the rows do not have [`HAVERSINE_WIDTH`] values.
    pub fn new(points: Panels<'a, f64>) -> Result<Self, KernelError> {
        want("row", HAVERSINE_WIDTH, points.dim())?;
        Ok(Self { points, boxes: None })
    }

    /// The same with a box around the unit vectors of each group of the tree.
    pub fn with_boxes(self, boxes: Boxes<'a, f64>) -> Self {
        Self { boxes: Some(boxes), ..self }
    }

    /// The squared sine of half of the difference between value `d` of the query and of a point.
    #[inline(always)]
    fn haversine(&self, query: &[f64], position: usize, d: usize) -> f64 {
        let sine = libm::sin((query[d] - self.points.coordinate(position, d)).abs() * 0.5);
        sine * sine
    }
}

impl Metric for Haversine<'_> {
    type Real = f64;
    type Query<'q> = &'q [f64];
    const SHORTLIST_FROM: usize = 1;

    #[inline]
    fn positions(&self) -> usize {
        self.points.len()
    }

    #[inline]
    fn check(&self, query: &[f64], len: usize) -> Result<(), KernelError> {
        want("points", len, self.points.len())?;
        want("query", HAVERSINE_WIDTH, query.len())?;
        check_numbers(query)
    }

    #[inline]
    fn check_boxes(&self, groups: usize) -> Result<(), KernelError> {
        self.boxes.map_or(Ok(()), |boxes| boxes.check(groups, VECTOR))
    }

    #[inline(always)]
    fn surrogates<L: Lanes>(&self, query: &[f64], from: usize, to: usize, _ceiling: f64, out: &mut [f64]) {
        let lanes = f64::LANES;
        let first = from / lanes;
        let panels = self.points.run(first, to.div_ceil(lanes) - first);
        for (panel, out) in panels.chunks_exact(HAVERSINE_WIDTH * lanes).zip(out.chunks_exact_mut(lanes)) {
            let mut sum = L::F64::splat(0.0);
            for (&q, row) in query[..VECTOR].iter().zip(panel.chunks_exact(lanes)) {
                sum = SquaredEuclidean::step::<L::F64, true>(sum, L::F64::splat(q), L::F64::load(row));
            }
            sum.store(out);
        }
    }

    #[inline(always)]
    fn has_boxes(&self) -> bool {
        self.boxes.is_some()
    }

    #[inline(always)]
    fn box_bounds<L: Lanes>(&self, query: &[f64], from: usize, to: usize, out: &mut [f64]) {
        if let Some(boxes) = self.boxes {
            boxes.bounds::<SquaredEuclidean, L>(&query[..VECTOR], from, to, out);
        }
    }

    #[inline(always)]
    fn ceiling(&self, distance: f64) -> f64 {
        CHORD.ceiling(distance)
    }

    #[inline(always)]
    fn floor(&self, distance: f64) -> f64 {
        CHORD.floor(distance)
    }

    #[inline(always)]
    fn at_least<L: Lanes>(&self, surrogate: f64) -> f64 {
        CHORD.at_least::<L>(surrogate)
    }

    #[inline(always)]
    fn at_most<L: Lanes>(&self, surrogate: f64) -> f64 {
        CHORD.at_most::<L>(surrogate)
    }

    #[inline(always)]
    fn reach<L: Lanes>(&self, surrogate: f64) -> f64 {
        CHORD.reach::<L>(surrogate)
    }

    #[inline(always)]
    fn distance<L: Lanes>(&self, query: &[f64], position: usize, _surrogate: f64) -> f64 {
        let (along, across) = (self.haversine(query, position, 3), self.haversine(query, position, 4));
        let square = along + (query[5] * self.points.coordinate(position, 5)) * across;
        2.0 * libm::asin(L::sqrt(if square < 1.0 { square } else { 1.0 }))
    }

    #[inline(always)]
    fn beyond(&self, center: f64, reach: f64) -> f64 {
        let flat = center <= STEEP && reach <= STEEP;
        center - reach - if flat { SLACK } else { SLACK_STEEP }
    }
}
