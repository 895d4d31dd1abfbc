//! Which points lie within reach of a leader.

use super::GridCounters;
use crate::dist::limit::largest_sum;
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
        Self { rows, limit: largest_sum::<SquaredEuclidean>(radius, libm::sqrt) }
    }
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
