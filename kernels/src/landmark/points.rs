//! Packed points in a frame, and the sides of a bound.

use super::{Extent, Frame};
use crate::dist::form::gamma;
use crate::error::{KernelError, want};
use crate::index::idx_len;
use crate::simd::Real;
use crate::view::panels_len;

/// Packed points in a frame.
///
/// | field | shape |
/// | --- | --- |
/// | `coordinates` | panels `[count][LANES]`: coordinates in the frame |
/// | `spans`, `tails`, `slacks` | `[panels][LANES]`: the points' [`Extent`]s, rounded up |
#[derive(Clone, Copy, Debug)]
pub struct FramePoints<'a, T> {
    pub(super) count: usize,
    pub(super) len: usize,
    pub(super) coordinates: &'a [T],
    pub(super) spans: &'a [T],
    pub(super) tails: &'a [T],
    pub(super) slacks: &'a [T],
}

/// What [`FramePoints`] looks at: packed points in a frame of `count` landmarks.
#[derive(Clone, Copy, Debug)]
pub struct FrameSlices<'a, T> {
    /// Panels `[count][LANES]`.
    pub coordinates: &'a [T],
    /// `[panels][LANES]`.
    pub spans: &'a [T],
    /// `[panels][LANES]`.
    pub tails: &'a [T],
    /// `[panels][LANES]`.
    pub slacks: &'a [T],
}

/// Memory for packed points in a frame of `count` landmarks, with the shapes of [`FramePoints`].
#[derive(Debug)]
pub struct FrameMemory<'o, T> {
    /// Panels `[count][LANES]`.
    pub coordinates: &'o mut [T],
    /// `[panels][LANES]`.
    pub spans: &'o mut [T],
    /// `[panels][LANES]`.
    pub tails: &'o mut [T],
    /// `[panels][LANES]`.
    pub slacks: &'o mut [T],
}

impl<T: Real> FrameSlices<'_, T> {
    fn check(&self, len: usize, count: usize) -> Result<(), KernelError> {
        idx_len(len)?;
        let lanes = panels_len::<T>(len, 1);
        want("coordinates", panels_len::<T>(len, count), self.coordinates.len())?;
        want("spans", lanes, self.spans.len())?;
        want("tails", lanes, self.tails.len())?;
        want("slacks", lanes, self.slacks.len())
    }
}

impl<T: Real> FrameMemory<'_, T> {
    /// What stands in the memory, to be looked at.
    pub const fn slices(&self) -> FrameSlices<'_, T> {
        FrameSlices { coordinates: self.coordinates, spans: self.spans, tails: self.tails, slacks: self.slacks }
    }

    pub(super) fn check(&self, len: usize, count: usize) -> Result<(), KernelError> {
        self.slices().check(len, count)
    }
}

/// Queries of a bound: coordinates in the frame of the *other* side, and what multiplies its tails and spans.
///
/// Made by [`FramePoints::queries`] (one-sided: the queries are points in that very frame) or by
/// [`turn`](super::turn) (two-sided: they have a frame of their own).
#[derive(Clone, Copy, Debug)]
pub struct FrameQueries<'a, T> {
    pub(super) count: usize,
    pub(super) len: usize,
    pub(super) coordinates: &'a [T],
    /// What multiplies the other side's tails.
    pub(super) tails: &'a [T],
    /// What multiplies the other side's spans; nothing in a one-sided bound.
    pub(super) spans: Option<&'a [T]>,
    pub(super) slacks: &'a [T],
}

impl<'a, T: Real> FramePoints<'a, T> {
    /// A view of `len` points in a frame of `count` landmarks.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when a length does not fit, [`KernelError::TooLong`].
    pub fn new(slices: FrameSlices<'a, T>, len: usize, count: usize) -> Result<Self, KernelError> {
        slices.check(len, count)?;
        let FrameSlices { coordinates, spans, tails, slacks } = slices;
        Ok(Self { count, len, coordinates, spans, tails, slacks })
    }

    /// Number of points.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no points.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of landmarks of the frame.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The points as queries of a one-sided bound against points in the same frame.
    pub const fn queries(&self) -> FrameQueries<'a, T> {
        FrameQueries {
            count: self.count,
            len: self.len,
            coordinates: self.coordinates,
            tails: self.tails,
            spans: None,
            slacks: self.slacks,
        }
    }

    /// The points as queries of a one-sided bound against points of [`project_weighted`](super::project_weighted);
    /// `weights` are those of [`member_weights`](super::member_weights), rounded up.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when there are not as many weights as lanes.
    pub fn weighted_queries(&self, weights: &'a [T]) -> Result<FrameQueries<'a, T>, KernelError> {
        want("weights", self.tails.len(), weights.len())?;
        Ok(FrameQueries { spans: Some(weights), ..self.queries() })
    }

    /// The largest span, tail and slack, for [`envelope_bounds`](super::envelope_bounds). Zero if there are no points.
    pub fn envelope(&self) -> Extent {
        let largest = |values: &[T]| values[..self.len].iter().fold(0.0, |most: f64, value| most.max(value.to_f64()));
        Extent { span: largest(self.spans), tail: largest(self.tails), slack: largest(self.slacks) }
    }
}

impl<T: Real> FrameQueries<'_, T> {
    /// Number of queries.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no queries.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// What a side of a bound adds for being computed in `T`: half of the rounding of elements, of a dot product over `count`
/// landmarks between vectors of norm at most 1.3, and of a handful of sums of numbers below 4.
pub(super) fn rounding<T: Real>(count: usize) -> f64 {
    0.85 * gamma(count.saturating_add(3), T::ROUNDOFF) + 24.0 * T::ROUNDOFF
}

/// Packs the members of a cluster, as [`choose`](super::choose) leaves them, for the bounds in `T`.
///
/// | argument | shape |
/// | --- | --- |
/// | `coordinates` | `[members][frame.stride()]` |
/// | `extents` | `[members]` |
/// | `memory` | for `members` points and `frame.count()` landmarks, overwritten; padding lanes repeat the last member |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; nothing is written then.
///
/// # Cost
/// Reads and writes each element once.
pub fn pack_members<T: Real>(
    frame: &Frame,
    coordinates: &[f64],
    extents: &[Extent],
    memory: &mut FrameMemory<'_, T>,
) -> Result<(), KernelError> {
    let (len, count, stride) = (extents.len(), frame.count(), frame.stride());
    want("coordinates", len.saturating_mul(stride), coordinates.len())?;
    memory.check(len, count)?;
    let extra = rounding::<T>(count);
    for place in 0..memory.spans.len() {
        let member = place.min(len - 1); // there are places only if there are members
        let panel = &mut memory.coordinates[place / T::LANES * count * T::LANES..][..count * T::LANES];
        for (k, row) in panel.chunks_exact_mut(T::LANES).enumerate() {
            row[place % T::LANES] = T::from_f64(coordinates[member * stride + k]);
        }
        let Extent { span, tail, slack } = extents[member];
        memory.spans[place] = up(span);
        memory.tails[place] = up(tail);
        memory.slacks[place] = up(slack + extra);
    }
    Ok(())
}

/// At least `value`, infinity included.
pub(super) fn up<T: Real>(value: f64) -> T {
    if value <= T::HUGE * 0.5 { T::from_f64(value).next_up() } else { T::INFINITY }
}

/// Packs points of `f64` for the bounds in `f32`.
///
/// | argument | shape |
/// | --- | --- |
/// | `points` | of any frame |
/// | `memory` | for as many points and landmarks, overwritten; padding lanes repeat the last point |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; nothing is written then.
///
/// # Accuracy
/// Spans, tails and slacks are rounded up, and the slacks pay for the rounding of the coordinates.
///
/// # Cost
/// Reads and writes each element once.
pub fn narrow_points(points: &FramePoints<'_, f64>, memory: &mut FrameMemory<'_, f32>) -> Result<(), KernelError> {
    let (len, count) = (points.len, points.count);
    memory.check(len, count)?;
    let extra = rounding::<f32>(count);
    for place in 0..memory.spans.len() {
        let from = place.min(len - 1); // there are places only if there are points
        for k in 0..count {
            let value = points.coordinates[(from / f64::LANES * count + k) * f64::LANES + from % f64::LANES];
            memory.coordinates[(place / f32::LANES * count + k) * f32::LANES + place % f32::LANES] =
                f32::from_f64(value);
        }
        memory.spans[place] = up(points.spans[from]);
        memory.tails[place] = up(points.tails[from]);
        memory.slacks[place] = up(points.slacks[from] + extra);
    }
    Ok(())
}
