//! Which points lie within reach of a leader.

use super::GridCounters;
use crate::dist::{Form, SquaredEuclidean};
use crate::error::{KernelError, want};
use crate::group::Groups;
use crate::index::{Idx, NONE, at};
use crate::simd::Real;
use crate::view::Rows;

/// Whether a leader covers a point. Any `FnMut(point, leader) -> bool` is one.
pub trait Covers {
    /// The answer for one pair.
    fn covers(&mut self, point: Idx, leader: Idx) -> bool;
    /// Ids must be below this.
    fn limit(&self) -> Idx {
        Idx::MAX
    }
}

impl<F: FnMut(Idx, Idx) -> bool> Covers for F {
    #[inline(always)]
    fn covers(&mut self, point: Idx, leader: Idx) -> bool {
        self(point, leader)
    }
}

/// Covers within a Euclidean radius, by the published formula: `sqrt(sum (x - y)^2) <= radius` in `f64`, unfused,
/// summed in the order of the dimensions, the root rounded correctly.
///
/// The root is not taken: a correctly rounded root is monotone, so the test is `sum <= limit` for the largest `limit`
/// whose root is at most the radius, which is found once.
#[derive(Clone, Copy, Debug)]
pub struct EuclideanWithin<'a, T> {
    rows: Rows<'a, T>,
    limit: f64,
}

impl<'a, T: Real> EuclideanWithin<'a, T> {
    /// The test for points of `rows` (scaled so that no square overflows) and a `radius`, inclusive. A radius that is
    /// negative or NaN covers nothing.
    pub fn new(rows: Rows<'a, T>, radius: f64) -> Self {
        Self { rows, limit: square_limit(radius) }
    }
}

/// The largest number whose correctly rounded root is at most `radius`; below zero where there is none.
fn square_limit(radius: f64) -> f64 {
    if radius == f64::INFINITY {
        return radius;
    }
    if radius.is_nan() || radius < 0.0 {
        return -1.0;
    }
    // The rounded square is a few units off at most.
    let mut limit = (radius * radius).min(f64::MAX);
    while libm::sqrt(limit) > radius {
        limit = limit.next_down();
    }
    while limit < f64::MAX && libm::sqrt(limit.next_up()) <= radius {
        limit = limit.next_up();
    }
    limit
}

impl<T: Real> Covers for EuclideanWithin<'_, T> {
    #[inline(always)]
    fn covers(&mut self, point: Idx, leader: Idx) -> bool {
        let (x, y) = (self.rows.row(at(point)), self.rows.row(at(leader)));
        let mut sum = 0.0;
        for (x, y) in x.iter().zip(y) {
            sum = SquaredEuclidean::step_f64(sum, x.to_f64(), y.to_f64());
        }
        sum <= self.limit
    }

    fn limit(&self) -> Idx {
        self.rows.len() as Idx // checked when the view was made
    }
}

/// Finds, for each point, the first of its candidate leaders that covers it.
///
/// | argument | shape |
/// | --- | --- |
/// | `points` | ids, in any order; split them and their candidates to use several threads |
/// | `candidates` | group `p` is the leaders to try for `points[p]`, for example those of its own cell under each shift |
/// | `covers` | the test, for example [`EuclideanWithin`] or a closure |
/// | `leaders` | `[points]`, overwritten; [`NONE`] where no candidate covers |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Key`] at the first point, or at the first
/// candidate, that the test has no id for. Nothing is written then.
///
/// # Cost
/// One test per pair, up to the first that covers.
pub fn coverage<C: Covers>(
    points: &[Idx],
    candidates: Groups<'_>,
    covers: &mut C,
    leaders: &mut [Idx],
    counters: &mut GridCounters,
) -> Result<(), KernelError> {
    want("candidates", points.len(), candidates.len())?;
    want("leaders", points.len(), leaders.len())?;
    let limit = covers.limit();
    for ids in [points, candidates.rows()] {
        if let Some(place) = ids.iter().position(|id| !(0..limit).contains(id)) {
            return Err(KernelError::Key { at: place as Idx, key: ids[place], limit }); // below the group count, or a row
        }
    }
    let (mut covered, mut tests) = (0, 0);
    for ((group, &point), leader) in (0..).zip(points).zip(leaders) {
        *leader = NONE;
        for &candidate in candidates.of(group) {
            tests += 1;
            if covers.covers(point, candidate) {
                *leader = candidate;
                covered += 1;
                break;
            }
        }
    }
    counters.points += points.len() as u64; // widens
    counters.covered += covered;
    counters.tests += tests;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::square_limit;
    use crate::trials;
    use proptest::prelude::*;

    fn check(radius: f64) {
        let limit = square_limit(radius);
        assert!(limit.sqrt() <= radius, "{radius:e}");
        assert!(limit == f64::MAX || limit.next_up().sqrt() > radius, "{radius:e}");
    }

    #[test]
    fn the_limit_is_the_last_square_within_the_radius() {
        for radius in [0.0, 5e-324, 1e-170, 1e-161, 2.3e-162, 1e-154, 1.0, 2f64.sqrt(), 1e154, 1.4e154, f64::MAX] {
            check(radius);
        }
        assert_eq!(
            (square_limit(f64::INFINITY), square_limit(-1.0), square_limit(f64::NAN)),
            (f64::INFINITY, -1.0, -1.0)
        );
    }

    proptest! {
        #![proptest_config(trials::cases(256))]

        #[test]
        fn the_limit_is_exact_for_any_radius(radius in any::<f64>()) {
            if radius.is_finite() {
                check(radius.abs());
            }
        }
    }
}
