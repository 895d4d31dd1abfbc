//! Landmarks of a cluster: pivoted partial Cholesky with an early stop, and what its rounding costs.

use bytemuck::{Pod, Zeroable};

use super::LandmarkCounters;
use crate::arena::{Arena, blocks};
use crate::dist::form::gamma;
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::Real;

/// Most landmarks of a cluster.
pub const LANDMARKS_MAX: usize = 64;

/// Largest `f` that is accepted: how far the basis may be from orthonormal. It costs about as much slack.
pub const DEFECT_MAX: f64 = 1.0 / 512.0;

/// Bound on `|a_x| + delta_x` for every point that the bounds can use (see [`Frame::extent`]).
pub(super) const REACH: f64 = 1.3;

/// A basis for the span of some landmarks, and how far it can be trusted. Its factor stands in the caller's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    pub(super) count: usize,
    pub(super) stride: usize,
    /// At least the norm of the inverse of the factor.
    pub(super) inverse: f64,
    /// At least `sqrt(sum of mu_s^2)` over the landmarks.
    pub(super) error: f64,
    /// `f`: at least the distance of the basis' Gram matrix from the identity.
    pub(super) defect: f64,
}

/// How far a point reaches in and out of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Extent {
    /// At least the norm of the point's projection on the span of the landmarks.
    pub span: f64,
    /// At least the norm of what is left: `t`.
    pub tail: f64,
    /// What a bound adds for this point, to be above the truth; infinite where the frame is no use for the point.
    pub slack: f64,
}

impl Frame {
    /// Number of landmarks.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Elements from one row of the factor to the next.
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// The same frame, for correlations with its landmarks that were computed with larger errors than those it was chosen
    /// with: `error` is at least `sqrt(sum of mu_s^2)` over the landmarks for the new errors. The larger one counts.
    #[must_use]
    pub fn with_error(self, error: f64) -> Self {
        Self { error: if error <= self.error { self.error } else { error * (1.0 + 1e-9) }, ..self }
    }

    /// `f`, at most [`DEFECT_MAX`].
    pub const fn defect(&self) -> f64 {
        self.defect
    }

    /// Roundings of sums over the landmarks, as a relative error.
    pub(super) fn rounding(&self) -> f64 {
        gamma(self.count + 2, f64::ROUNDOFF)
    }

    /// What the frame itself adds to a bound: `kappa` in the [module](super).
    pub(super) fn kappa(&self) -> f64 {
        1.1 * self.defect / (1.0 - self.defect) + 2.0 * self.rounding() + 32.0 * f64::ROUNDOFF
    }

    /// The extent of a point with computed coordinates of norm `norm` and error factor `error` (`mu`), by the derivation
    /// in the [module](super).
    pub fn extent(&self, norm: f64, error: f64) -> Extent {
        let residual = error * self.error + libm::sqrt(self.count as f64) * self.rounding() * 1.01 * norm;
        let delta = self.inverse * residual * (1.0 + 1e-9);
        let useful = delta <= 0.25 && error <= 0.25 && norm <= REACH;
        if !useful {
            return Extent { span: 1.0, tail: 1.0, slack: f64::INFINITY }; // also for NaN
        }
        let inside = (norm * (1.0 - 1e-14) - delta).max(0.0);
        let tail_square = 1.0 + error * error - inside * inside / (1.0 + self.defect);
        Extent {
            span: (norm + delta) / libm::sqrt(1.0 - self.defect) * (1.0 + 1e-12),
            tail: libm::sqrt(tail_square.max(0.0) + 1e-14),
            slack: REACH * delta + 0.5 * error * error + 0.5 * self.kappa(),
        }
    }
}

/// What to choose, and when to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits<'a> {
    /// Most landmarks, at most [`LANDMARKS_MAX`].
    pub count: usize,
    /// No landmark is chosen when the largest squared tail, times its weight, is at or below this: more would add little.
    pub pivot: f64,
    /// `[members]`, each at least 0: how much the squared tail of each counts; or nothing, where all count the same.
    pub weights: &'a [f64],
}

/// Where [`choose`] writes.
#[derive(Debug)]
pub struct Chosen<'o> {
    /// `[limits.count]`: the members that are landmarks, in their order; those beyond the frame's count are untouched.
    pub landmarks: &'o mut [Idx],
    /// `[limits.count][limits.count]`: the lower triangular factor.
    pub factor: &'o mut [f64],
    /// `[members][limits.count]`: coordinates of every member.
    pub coordinates: &'o mut [f64],
    /// `[members]`.
    pub extents: &'o mut [Extent],
}

/// Blocks of scratch that [`choose`] takes.
pub const fn choose_blocks(members: usize, count: usize) -> usize {
    2 * blocks::<f64>(members) + blocks::<f64>(count.saturating_mul(count)) + blocks::<f64>(count)
}

/// Chooses landmarks among the members of a cluster by a pivoted partial Cholesky factorisation of their residual
/// correlation matrix, and gives every member its coordinates in their basis.
///
/// The next landmark is the member with the largest squared tail, times its weight (ties to the first). A member that would make the basis
/// worse than [`DEFECT_MAX`], because its pivot is small against the errors, is passed over. The choice stops at the
/// limits, or when no member is left.
///
/// | argument | shape |
/// | --- | --- |
/// | `errors` | `[members]`: the factors `mu` of the [module](super), each at least 0 |
/// | `column` | called with a member; fills `[members]` with its correlations *not cut* to `[-1, 1]`; the diagonal is not read |
/// | `chosen` | outputs, all overwritten up to the frame's count |
/// | `arena` | [`choose_blocks`]`(members, limits.count)`, given back |
/// | `counters` | the members that were passed over are added; the frame's count says how many were taken |
///
/// # Errors
/// [`KernelError::Shape`], [`KernelError::TooLong`], [`KernelError::Scratch`], [`KernelError::Value`] for an error or a weight that
/// is negative or NaN, [`KernelError::Most`] when `limits.count` is above [`LANDMARKS_MAX`]; nothing is written then. An error
/// of `column` is passed on; outputs are then unspecified.
///
/// # Cost
/// `members * count^2` multiply-adds and `count` columns; `members + count^2 / 2` operations for each member passed over.
pub fn choose(
    limits: Limits<'_>,
    errors: &[f64],
    mut column: impl FnMut(Idx, &mut [f64]) -> Result<(), KernelError>,
    chosen: Chosen<'_>,
    arena: &mut Arena<'_>,
    counters: &mut LandmarkCounters,
) -> Result<Frame, KernelError> {
    let (members, stride) = (errors.len(), limits.count);
    if stride > LANDMARKS_MAX {
        return Err(KernelError::Most { what: "limits.count", most: LANDMARKS_MAX, got: stride });
    }
    idx_len(members)?;
    want("landmarks", stride, chosen.landmarks.len())?;
    want("factor", stride * stride, chosen.factor.len())?;
    want("coordinates", members.saturating_mul(stride), chosen.coordinates.len())?;
    want("extents", members, chosen.extents.len())?;
    want("limits.weights", if limits.weights.is_empty() { 0 } else { members }, limits.weights.len())?;
    for (what, values) in [("errors", errors), ("limits.weights", limits.weights)] {
        if let Some(at) = values.iter().position(|value| value.is_nan() || *value < 0.0) {
            return Err(KernelError::Value { what, at });
        }
    }
    let (need, have) = (choose_blocks(members, stride), arena.free());
    if need > have {
        return Err(KernelError::Scratch { need, have });
    }
    let mut arena = arena.scope();
    let (pivots, values) = (arena.take::<f64>(members)?, arena.take::<f64>(members)?);
    let (inverse, row) = (arena.take::<f64>(stride * stride)?, arena.take::<f64>(stride)?);
    let mut state = Growing::new(stride, inverse, row);
    pivots.fill(1.0);
    chosen.coordinates.fill(0.0);
    while state.frame.count < stride {
        let Some(next) = state.next_landmark(pivots, errors, chosen.coordinates, &limits) else { break };
        column(idx_len(next)?, values)?;
        let k = state.frame.count - 1;
        chosen.landmarks[k] = idx_len(next)?;
        eliminate(k, stride, next, values, pivots, chosen.coordinates);
    }
    let frame = state.frame;
    for (k, &landmark) in chosen.landmarks[..frame.count].iter().enumerate() {
        let from = &chosen.coordinates[at(landmark) * stride..][..stride];
        chosen.factor[k * stride..(k + 1) * stride].copy_from_slice(from);
    }
    for (member, &error) in errors.iter().enumerate() {
        let row = &chosen.coordinates[member * stride..(member + 1) * stride];
        chosen.extents[member] = frame.extent(norm(row), error);
    }
    counters.members_passed_over += state.passed_over;
    Ok(frame)
}

/// The Euclidean norm of a short row.
pub(super) fn norm(row: &[f64]) -> f64 {
    libm::sqrt(row.iter().fold(0.0, |sum, x| sum + x * x))
}

/// A frame that grows, with the inverse of its factor.
struct Growing<'s> {
    frame: Frame,
    inverse_square: f64,
    error_square: f64,
    passed_over: u64,
    inverse: &'s mut [f64],
    row: &'s mut [f64],
}

impl<'s> Growing<'s> {
    /// Without landmarks yet; `inverse` and `row` hold anything.
    fn new(stride: usize, inverse: &'s mut [f64], row: &'s mut [f64]) -> Self {
        let frame = Frame { count: 0, stride, inverse: 0.0, error: 0.0, defect: 0.0 };
        Self { frame, inverse_square: 0.0, error_square: 0.0, passed_over: 0, inverse, row }
    }

    /// Takes the member with the largest weighted pivot that keeps the frame good enough, or none. A pivot that has been taken
    /// or passed over becomes negative.
    fn next_landmark(
        &mut self,
        pivots: &mut [f64],
        errors: &[f64],
        coordinates: &[f64],
        limits: &Limits<'_>,
    ) -> Option<usize> {
        let stride = self.frame.stride;
        loop {
            let mut best = None;
            let mut largest = limits.pivot.max(0.0);
            for (member, &pivot) in pivots.iter().enumerate() {
                let counted = pivot * limits.weights.get(member).copied().unwrap_or(1.0);
                if counted > largest {
                    (best, largest) = (Some(member), counted);
                }
            }
            let member = best?;
            let taken = self.grow(&coordinates[member * stride..][..stride], pivots[member], errors[member]);
            if taken {
                return best; // its pivot turns negative when it is eliminated
            }
            pivots[member] = -1.0;
            self.passed_over += 1;
        }
    }

    /// Adds the landmark whose row of the factor is `row` and `sqrt(pivot)`, unless the frame gets worse than it may.
    fn grow(&mut self, row: &[f64], pivot: f64, error: f64) -> bool {
        let (k, stride) = (self.frame.count, self.frame.stride);
        let diagonal = libm::sqrt(pivot);
        let mut square = 1.0;
        for column in 0..k {
            let mut sum = 0.0;
            for (j, factor) in row.iter().enumerate().take(k).skip(column) {
                sum += factor * self.inverse[j * stride + column];
            }
            self.row[column] = -sum / diagonal;
            square += sum * sum;
        }
        let inverse_square = self.inverse_square + square / pivot;
        let error_square = self.error_square + error * error;
        let rounding = (k + 1) as f64 * gamma(k + 3, f64::ROUNDOFF) * 1.01;
        let defect = 1.003 * inverse_square * (error_square * (1.0 + 1e-9) + rounding);
        if defect.is_nan() || defect > DEFECT_MAX {
            return false;
        }
        self.row[k] = 1.0 / diagonal;
        self.inverse[k * stride..k * stride + k + 1].copy_from_slice(&self.row[..k + 1]);
        (self.inverse_square, self.error_square) = (inverse_square, error_square);
        self.frame = Frame {
            count: k + 1,
            stride,
            inverse: libm::sqrt(inverse_square) * 1.001,
            error: libm::sqrt(error_square) * (1.0 + 1e-9),
            defect,
        };
        true
    }
}

/// Adds coordinate `k` to every member that is no landmark yet, from the correlations `values` with landmark `next`.
fn eliminate(k: usize, stride: usize, next: usize, values: &[f64], pivots: &mut [f64], coordinates: &mut [f64]) {
    let mut pivot_row = [0.0; LANDMARKS_MAX];
    pivot_row[..k].copy_from_slice(&coordinates[next * stride..][..k]);
    let diagonal = libm::sqrt(pivots[next]);
    for (member, row) in coordinates.chunks_exact_mut(stride).enumerate() {
        if member == next {
            row[k] = diagonal;
            pivots[member] = f64::NEG_INFINITY; // a landmark
        } else if pivots[member] != f64::NEG_INFINITY {
            let mut sum = values[member];
            for j in 0..k {
                sum -= row[j] * pivot_row[j];
            }
            row[k] = sum / diagonal;
            pivots[member] -= row[k] * row[k];
        }
    }
}
