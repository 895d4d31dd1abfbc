//! Order keys: the position of a point along a space-filling curve, as one 64-bit word.
//!
//! Points that are close on the curve are close in space, so sorting by key lays points out such that a traversal
//! reads memory forward. A key never decides an answer: a poor order costs time only.
//!
//! | kernel | curve | neighbours on the curve |
//! | --- | --- | --- |
//! | [`hilbert_keys`] | Hilbert, Skilling's transform | always share a face |
//! | [`morton_keys`] | Morton (Z order): interleaved bits | may jump |
//!
//! # From coordinates to cells
//! A [`Frame`] cuts the box of the data into `2^bits` cells per dimension. With `s = (2^bits - 1) / extent` the cell
//! of a coordinate `x` is `round((x - low) * s)`, ties to even, clamped to `0..2^bits`: one subtraction and one
//! multiplication in `f64`, each rounded by itself, so keys are the same bits on every tier and machine. Rounding is
//! monotone, so a larger coordinate never has a smaller cell.
//!
//! A key takes `dims * bits <= 64` bits, `dims = min(dim, 64)` and `bits = min(32, 64 / dims)`:
//!
//! | dim | 1, 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 16 | 22-32 | 33 and more |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | bits | 32 | 21 | 16 | 12 | 10 | 9 | 8 | 7 | 6 | 4 | 2 | 1 |
//!
//! Above 64 dimensions only the 64 leading ones enter, one bit each: rotate the data to its principal axes first if
//! that matters. [`Frame::with_bits`] asks for fewer bits, which makes keys shorter and a radix sort of them faster.
//!
//! # Shapes
//! [`bounds`] reads rows `[len][dim]` and writes two corners `[dim]`, `low[d] = min over the rows of x[d]` and `high[d]` the greatest;
//! [`merge_bounds`] joins the corners of parts. The kernels of keys write one word per row, `[len]`, or for any range of the rows.
//!
//! # Cost and measured rate
//! Sixteen points at a time, one per lane. Hilbert: about `6 * dims * bits` vector operations per sixteen points;
//! Morton: `3 * dims * log2(bits)`. Stack: 4 KiB.
//!
//! One thread of an AMD EPYC (Zen 4), 1,000,000 points: a Hilbert key takes 13 ns in three dimensions (16 on the
//! portable tier) and 26 in sixteen, a Morton key 4 and 19; [`bounds`] reads 77 GB/s. `cargo bench -p covertree-benches --bench order`.

mod frame;
pub(crate) mod lanes;
#[cfg(any(test, feature = "oracle"))]
pub mod scalar;

pub use frame::{Fit, Frame, key_bits};

use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::{Real, Tier};
use crate::view::Rows;

/// Most dimensions that enter a key.
pub const KEY_DIMS_MAX: usize = 64;

/// Least and greatest coordinate per dimension.
///
/// | argument | shape |
/// | --- | --- |
/// | `rows` | finite coordinates; split the rows and combine with [`merge_bounds`] to use several threads |
/// | `low`, `high` | `[dim]`, overwritten; `+inf` and `-inf` when there are no rows |
///
/// A zero comes out as `+0.0`, whatever the sign of the zeros that went in, so that the order of the rows does not
/// show. Where a coordinate is NaN the bounds of its dimension are unspecified.
///
/// # Errors
/// [`KernelError::Shape`] when `low` or `high` does not fit; nothing is written then.
///
/// # Cost
/// Reads each coordinate once: the bandwidth of the memory up to eight dimensions.
pub fn bounds<T: Real>(tier: Tier, rows: Rows<'_, T>, low: &mut [T], high: &mut [T]) -> Result<(), KernelError> {
    want("low", rows.dim(), low.len())?;
    want("high", rows.dim(), high.len())?;
    tier.run(lanes::Bounds { rows, low, high });
    Ok(())
}

/// Widens the bounds `low`, `high` by the bounds of other rows.
///
/// | argument | shape |
/// | --- | --- |
/// | `low`, `high` | `[dim]`, from [`bounds`], updated |
/// | `other_low`, `other_high` | `[dim]`, from [`bounds`] of the other rows |
///
/// # Errors
/// [`KernelError::Shape`] when the four lengths differ; nothing is written then.
///
/// # Cost
/// Two comparisons per dimension.
pub fn merge_bounds<T: Real>(
    low: &mut [T],
    high: &mut [T],
    other_low: &[T],
    other_high: &[T],
) -> Result<(), KernelError> {
    want("high", low.len(), high.len())?;
    want("other_low", low.len(), other_low.len())?;
    want("other_high", low.len(), other_high.len())?;
    for d in 0..low.len() {
        low[d] = if other_low[d] < low[d] { other_low[d] } else { low[d] };
        high[d] = if other_high[d] > high[d] { other_high[d] } else { high[d] };
    }
    Ok(())
}

/// Positions along the Hilbert curve of the rows `first..first + keys.len()`.
///
/// The curve is the one of J. Skilling, *Programming the Hilbert curve*, AIP Conference Proceedings 707, 381 (2004):
/// cells whose keys differ by one share a face. Bit `b` of the transformed dimension `i` stands at bit
/// `b * dims + dims - 1 - i` of the key, so the first dimension is the most significant.
///
/// | argument | shape |
/// | --- | --- |
/// | `rows` | all rows; coordinates outside the frame count as on its border, NaN as at its low corner |
/// | `frame` | the cells, of the same dimension as `rows` |
/// | `first`, `keys` | a range of the rows; `keys` is overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when `frame` has another dimension or `keys` reaches past the last row,
/// [`KernelError::Value`] when `first` is negative. `keys` is then untouched.
///
/// # Cost
/// See [the family](self).
pub fn hilbert_keys<T: Real>(
    tier: Tier,
    rows: Rows<'_, T>,
    frame: &Frame,
    first: Idx,
    keys: &mut [u64],
) -> Result<(), KernelError> {
    let rows = range(rows, frame, first, keys.len())?;
    tier.for_words().run(lanes::Keys::<T, true> { rows, frame, keys });
    Ok(())
}

/// Positions along the Morton curve (Z order) of the rows `first..first + keys.len()`: the bits of the cells,
/// interleaved.
///
/// Bit `b` of dimension `i` stands at bit `b * dims + dims - 1 - i` of the key, so the first dimension is the most
/// significant (G. M. Morton, *A computer oriented geodetic data base*, IBM, 1966).
///
/// Arguments, errors and cost as for [`hilbert_keys`].
///
/// # Errors
/// As [`hilbert_keys`].
pub fn morton_keys<T: Real>(
    tier: Tier,
    rows: Rows<'_, T>,
    frame: &Frame,
    first: Idx,
    keys: &mut [u64],
) -> Result<(), KernelError> {
    let rows = range(rows, frame, first, keys.len())?;
    tier.for_words().run(lanes::Keys::<T, false> { rows, frame, keys });
    Ok(())
}

/// The coordinates of the rows `first..first + len`, checked.
fn range<'a, T: Real>(rows: Rows<'a, T>, frame: &Frame, first: Idx, len: usize) -> Result<&'a [T], KernelError> {
    want("frame", rows.dim(), frame.dim())?;
    if first < 0 {
        return Err(KernelError::Value { what: "first", at: 0 });
    }
    idx_len(len)?;
    // Both are at most `LEN_MAX`: the sum does not wrap where a pointer has 32 bits.
    let (first, end) = (at(first), at(first) + len);
    if end > rows.len() {
        return Err(KernelError::Shape { what: "keys", want: rows.len().saturating_sub(first), got: len });
    }
    Ok(&rows.data()[first * rows.dim()..end * rows.dim()])
}

#[cfg(test)]
mod tests;
