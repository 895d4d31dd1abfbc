//! The cells that order keys are taken from.

use super::KEY_DIMS_MAX;
use crate::error::{KernelError, want};
use crate::simd::Real;

/// Bits per dimension of a key in `dim` dimensions: as many as 64 bits hold, at most 32.
pub const fn key_bits(dim: usize) -> u32 {
    match dim {
        0..=2 => 32,
        3..=KEY_DIMS_MAX => (KEY_DIMS_MAX / dim) as u32, // at most 21
        _ => 1,
    }
}

/// How the box of the data is cut into cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Cells are cubes, sized by the longest side. Distances keep their proportions, which suits a metric that weighs
    /// all dimensions alike.
    #[default]
    Cube,
    /// Each dimension is cut into the same number of cells, whatever its extent. Suits dimensions of unlike units.
    Box,
}

/// The cells of a box, checked once: what [`hilbert_keys`](super::hilbert_keys) and
/// [`morton_keys`](super::morton_keys) scale coordinates with.
#[derive(Clone, Debug)]
pub struct Frame {
    dim: usize,
    bits: u32,
    /// 0.5 where a difference of coordinates would overflow, else 1.
    pub(super) shrink: f64,
    /// `low * shrink`.
    pub(super) corner: [f64; KEY_DIMS_MAX],
    /// Reciprocal of the extent, of the shrunk coordinates; 0 for an extent of zero.
    per_extent: [f64; KEY_DIMS_MAX],
    /// Cells per unit of the shrunk coordinates.
    pub(super) scale: [f64; KEY_DIMS_MAX],
}

impl Frame {
    /// The cells of the box from `low` to `high` (`[dim]` each, as [`bounds`](super::bounds) gives them), with
    /// [`key_bits`]`(dim)` bits per dimension.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when the lengths differ, [`KernelError::Least`] when they are zero,
    /// [`KernelError::Value`] at the first dimension where `low` or `high` is not finite or `low` is above `high`.
    pub fn new<T: Real>(low: &[T], high: &[T], fit: Fit) -> Result<Self, KernelError> {
        let dim = low.len();
        want("high", dim, high.len())?;
        if dim == 0 {
            return Err(KernelError::Least { what: "low", least: 1, got: 0 });
        }
        let mut shrink = 1.0;
        for (d, (low, high)) in low.iter().zip(high).enumerate() {
            let (low, high) = (low.to_f64(), high.to_f64());
            if !(low.is_finite() && high.is_finite() && low <= high) {
                return Err(KernelError::Value { what: "low", at: d });
            }
            if !(high - low).is_finite() {
                shrink = 0.5;
            }
        }
        let dims = dim.min(KEY_DIMS_MAX);
        let (mut corner, mut extent, mut longest) = ([0.0; KEY_DIMS_MAX], [0.0; KEY_DIMS_MAX], 0.0f64);
        for (d, extent) in extent.iter_mut().enumerate().take(dims) {
            corner[d] = low[d].to_f64() * shrink;
            *extent = high[d].to_f64() * shrink - corner[d];
            longest = longest.max(*extent);
        }
        let mut frame =
            Self { dim, bits: 0, shrink, corner, per_extent: [0.0; KEY_DIMS_MAX], scale: [0.0; KEY_DIMS_MAX] };
        for (per_extent, &extent) in frame.per_extent.iter_mut().zip(&extent[..dims]) {
            let side = if fit == Fit::Cube { longest } else { extent };
            // A side so short that its reciprocal overflows cannot be cut evenly in f64; the largest finite number
            // keeps the cells in order.
            *per_extent = if side > 0.0 { (1.0 / side).min(f64::MAX / 4_294_967_296.0) } else { 0.0 };
        }
        Ok(frame.with_bits(key_bits(dim)))
    }

    /// The same box with at most `bits` bits per dimension, at least one and no more than [`key_bits`] allows. Keys are
    /// then `dims * bits` bits long, so a radix sort has fewer passes to make.
    #[must_use]
    pub fn with_bits(mut self, bits: u32) -> Self {
        self.bits = bits.clamp(1, key_bits(self.dim));
        let last = self.last();
        for (scale, per_extent) in self.scale.iter_mut().zip(self.per_extent) {
            *scale = per_extent * last;
        }
        self
    }

    /// Dimension of the points.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Dimensions that enter a key: the leading ones.
    pub fn dims(&self) -> usize {
        self.dim.min(KEY_DIMS_MAX)
    }

    /// Bits per dimension; a key is below `2^(dims * bits)`.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The largest cell.
    pub(super) fn last(&self) -> f64 {
        ((1u64 << self.bits) - 1) as f64 // exact: below 2^32
    }
}
