//! Metrics of directions: the angle between vectors, and the great-circle distance between places on the unit sphere.
//!
//! Both have the squared chord between unit vectors as their surrogate, in `f64`, unfused: cheap for a whole panel, and
//! bounded by boxes. Half of the chord is the sine of half of the distance, and [`Chord`] carries that relation with
//! its margin.
//!
//! No arc cosine anywhere: angles made by it are off by up to 3e-8 where they are small, which is where neighbours are.

mod angular;
mod haversine;

pub use angular::{Angular, unit_row};
pub use haversine::{HAVERSINE_WIDTH, Haversine, haversine_row};

use core::f64::consts::FRAC_PI_2;

use crate::simd::{Lanes, Real};

/// Bound on the relative error of a distance that `libm`'s `asin` or `atan2` ends: two units in the last place, where
/// their authors promise less than one. It covers the roundings of the translations of [`Chord`] as well.
const ARC: f64 = 8.0 * f64::EPSILON;

/// How far half of a computed chord may be from the sine of half of a computed distance.
///
/// For every pair of points, with `s` its surrogate, `h = sqrt(s) / 2` and `d` its computed distance, there is a `d'` in
/// `0..=pi` with `|d - d'| <= ARC / 2 * d'` and
///
/// ```text
/// |sin(d' / 2) - h| <= relative / 2 * h + absolute.
/// ```
///
/// The other halves of `ARC` and `relative` pay for the roundings of the translations themselves, for which `relative`
/// must be at least `16 * EPSILON`. All four translations follow from the monotonicity of the sine on `0..=pi/2`.
#[derive(Clone, Copy, Debug)]
struct Chord {
    relative: f64,
    absolute: f64,
}

impl Chord {
    /// See [`Metric::ceiling`](super::Metric::ceiling).
    #[inline(always)]
    fn ceiling(&self, distance: f64) -> f64 {
        if distance < 0.0 {
            return -1.0; // no point is that near
        }
        let half = 0.5 * distance * (1.0 + ARC);
        if half < FRAC_PI_2 {
            let chord = 2.0 * (libm::sin(half) + self.absolute) * (1.0 + 2.0 * self.relative);
            // The last term covers a square that is no normal number.
            chord * chord + f64::TINY
        } else {
            f64::INFINITY
        }
    }

    /// See [`Metric::floor`](super::Metric::floor).
    #[inline(always)]
    fn floor(&self, distance: f64) -> f64 {
        let half = (0.5 * distance * (1.0 - ARC)).min(FRAC_PI_2);
        if half > 0.0 {
            let chord = 2.0 * (libm::sin(half) - self.absolute) * (1.0 - self.relative);
            if chord > 0.0 { (chord * chord - f64::TINY).max(0.0) } else { 0.0 }
        } else {
            0.0
        }
    }

    /// See [`Metric::reach`](super::Metric::reach), without an arc.
    ///
    /// Let `x` have this surrogate and `y` be as near, `h` half of the chord of each. Then `d'_y <= c d'_x` with `c` below
    /// `1 + 1.02 ARC`; so far as it is below a right angle, the sine of half of it grows by no more than that factor, and it is at
    /// most one beyond, where that of `d'_x` is at least `1 / c`. With `r` and `a` for the relative and the absolute margin,
    ///
    /// ```text
    /// h_y (1 - r / 2) - a <= c (h_x (1 + r / 2) + a),
    /// ```
    ///
    /// which for `r <= 1/2` is below `h_x (1 + 1.4 r + 1.1 ARC) + 3 a`. What is allowed beyond that pays for the roundings.
    #[inline(always)]
    fn reach<L: Lanes>(&self, surrogate: f64) -> f64 {
        let chord = L::sqrt(surrogate) * (1.0 + 2.0 * (self.relative + ARC)) + 8.0 * self.absolute;
        // The last term covers a square that is no normal number.
        chord * chord + f64::TINY
    }

    /// See [`Metric::at_least`](super::Metric::at_least).
    #[inline(always)]
    fn at_least<L: Lanes>(&self, surrogate: f64) -> f64 {
        let sine = 0.5 * L::sqrt(surrogate) * (1.0 - self.relative) - self.absolute;
        if sine > 0.0 { 2.0 * libm::asin(sine.min(1.0)) * (1.0 - ARC) } else { 0.0 }
    }

    /// See [`Metric::at_most`](super::Metric::at_most).
    #[inline(always)]
    fn at_most<L: Lanes>(&self, surrogate: f64) -> f64 {
        let sine = 0.5 * L::sqrt(surrogate) * (1.0 + self.relative) + self.absolute;
        2.0 * libm::asin(sine.min(1.0)) * (1.0 + ARC)
    }
}

#[cfg(test)]
mod tests;
