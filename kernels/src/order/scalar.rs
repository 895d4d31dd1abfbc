//! Plain twins: one point at a time, for arguments that the kernels would accept; the curves as the source prints them.

use super::{Frame, KEY_DIMS_MAX};
use crate::simd::Real;

/// Twin of [`bounds`](super::bounds) of `rows`, row-major.
pub fn bounds<T: Real>(rows: &[T], low: &mut [T], high: &mut [T]) {
    low.fill(T::INFINITY);
    high.fill(T::from_f64(f64::NEG_INFINITY));
    for row in rows.chunks_exact(low.len()) {
        for (d, &value) in row.iter().enumerate() {
            low[d] = if value < low[d] { value } else { low[d] };
            high[d] = if value > high[d] { value } else { high[d] };
        }
    }
    for value in low.iter_mut().chain(high) {
        *value = *value + T::default(); // makes a zero positive, and nothing else
    }
}

/// Keys of `rows`, row-major, along the Hilbert curve.
pub fn hilbert_keys<T: Real>(rows: &[T], frame: &Frame, keys: &mut [u64]) {
    for (row, key) in rows.chunks_exact(frame.dim()).zip(keys) {
        let mut cells = cells(row, frame);
        hilbert(&mut cells[..frame.dims()], frame.bits());
        *key = interleave(&cells[..frame.dims()], frame.bits());
    }
}

/// Keys of `rows`, row-major, along the Morton curve.
pub fn morton_keys<T: Real>(rows: &[T], frame: &Frame, keys: &mut [u64]) {
    for (row, key) in rows.chunks_exact(frame.dim()).zip(keys) {
        *key = interleave(&cells(row, frame)[..frame.dims()], frame.bits());
    }
}

/// The cell of one point.
pub fn cells<T: Real>(row: &[T], frame: &Frame) -> [u32; KEY_DIMS_MAX] {
    let mut cells = [0; KEY_DIMS_MAX];
    for d in 0..frame.dims() {
        let place = (row[d].to_f64() * frame.shrink - frame.corner[d]) * frame.scale[d];
        // `max` takes NaN to zero; after the clamp the cast is exact.
        cells[d] = libm::rint(place.max(0.0).min(frame.last())) as u32;
    }
    cells
}

/// Skilling's `AxestoTranspose`, with its branches.
fn hilbert(x: &mut [u32], bits: u32) {
    let top = 1u32 << (bits - 1);
    let mut q = top;
    while q > 1 {
        for i in 0..x.len() {
            if x[i] & q != 0 {
                x[0] ^= q - 1;
            } else {
                let t = (x[0] ^ x[i]) & (q - 1);
                x[0] ^= t;
                x[i] ^= t;
            }
        }
        q >>= 1;
    }
    for i in 1..x.len() {
        x[i] ^= x[i - 1];
    }
    let mut t = 0;
    q = top;
    while q > 1 {
        if x[x.len() - 1] & q != 0 {
            t ^= q - 1;
        }
        q >>= 1;
    }
    for x in x {
        *x ^= t;
    }
}

/// Bit by bit, the most significant first.
fn interleave(x: &[u32], bits: u32) -> u64 {
    let mut key = 0;
    for b in (0..bits).rev() {
        for &x in x {
            key = key << 1 | u64::from(x >> b & 1);
        }
    }
    key
}
