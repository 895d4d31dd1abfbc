//! Two frames and the products of their bases.

use super::Frame;
use super::frame::{REACH, norm};
use crate::error::{KernelError, want};

/// What is known of the products `G` of two bases, beside its elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cross {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) norm: f64,
    pub(super) slack: f64,
}

impl Cross {
    /// At least the norm of `G` (its Frobenius norm).
    pub const fn norm(&self) -> f64 {
        self.norm
    }

    /// What a two-sided bound adds beyond the slacks of both points.
    pub const fn slack(&self) -> f64 {
        self.slack
    }

    /// A bound on `|rho|` of any point of the one cluster with any of the other, from the envelopes of both.
    pub fn bound(&self, one: super::Extent, other: super::Extent) -> f64 {
        let spans = self.norm * one.span * other.span;
        let tails = one.span * other.tail + one.tail * other.span + one.tail * other.tail;
        (spans + tails + one.slack + other.slack + self.slack) * (1.0 + 1e-12)
    }
}

/// Replaces the correlations of the landmarks of two clusters by the products of the clusters' bases: `G = L_S^-1 R
/// L_T^-T`.
///
/// | argument | shape |
/// | --- | --- |
/// | `frames` | of `S` and of `T` |
/// | `factors` | `[stride][stride]` of each, from [`choose`](super::choose) |
/// | `products` | `[count of S][count of T]`: correlations *not cut* to `[-1, 1]`; overwritten by `G` |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; nothing is written then.
///
/// # Accuracy
/// [`Cross::slack`] contains how far `G` can be off, derived in the [module](super).
///
/// # Cost
/// `count of S * count of T * (count of S + count of T) / 2` multiply-adds.
pub fn cross(frames: [&Frame; 2], factors: [&[f64]; 2], products: &mut [f64]) -> Result<Cross, KernelError> {
    let ([s, t], [factor_s, factor_t]) = (frames, factors);
    want("factor of S", s.stride * s.stride, factor_s.len())?;
    want("factor of T", t.stride * t.stride, factor_t.len())?;
    want("products", s.count * t.count, products.len())?;
    let columns = t.count;
    if products.is_empty() {
        return Ok(Cross { rows: s.count, columns, norm: 0.0, slack: s.kappa() + t.kappa() });
    }
    for i in 0..s.count {
        let (above, row) = products.split_at_mut(i * columns);
        let row = &mut row[..columns];
        for (j, above) in above.chunks_exact(columns).enumerate() {
            let factor = factor_s[i * s.stride + j];
            for (out, value) in row.iter_mut().zip(above) {
                *out -= factor * value;
            }
        }
        for out in row {
            *out /= factor_s[i * s.stride + i];
        }
    }
    let halfway = norm(products);
    for row in products.chunks_exact_mut(columns) {
        for i in 0..columns {
            let mut sum = row[i];
            for j in 0..i {
                sum -= factor_t[i * t.stride + j] * row[j];
            }
            row[i] = sum / factor_t[i * t.stride + i];
        }
    }
    let norm = norm(products) * (1.0 + 1e-9);
    let first = libm::sqrt(s.count as f64) * s.rounding() * 1.01 * halfway;
    let second = libm::sqrt(t.count as f64) * t.rounding() * 1.01 * norm;
    let off = s.inverse * t.inverse * (s.error * t.error + first) + t.inverse * second;
    let sums = 2.0 * (s.rounding() + t.rounding()) * norm.max(1.0);
    let slack = (REACH * REACH * off * 1.01 + 0.52 * (s.kappa() + t.kappa()) + sums) * (1.0 + 1e-9);
    Ok(Cross { rows: s.count, columns, norm, slack: if slack >= 0.0 { slack } else { f64::INFINITY } })
}
