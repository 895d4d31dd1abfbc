//! Order keys, read backwards: from the key to the cell.

use std::vec;
use std::vec::Vec;

/// The cell of a Morton key: bit `b * dims + dims - 1 - i` of the key is bit `b` of dimension `i`.
pub fn morton_cell(key: u64, dims: usize, bits: u32) -> Vec<u32> {
    let mut cell = vec![0; dims];
    for b in 0..bits {
        for (i, x) in cell.iter_mut().enumerate() {
            let place = b as usize * dims + dims - 1 - i;
            *x |= ((key >> place & 1) as u32) << b;
        }
    }
    cell
}

/// The cell of a Hilbert key: `TransposetoAxes` of J. Skilling, AIP Conference Proceedings 707, 381 (2004).
///
/// The tests check it by law, on small grids: it visits each cell once, and consecutive cells share a face.
pub fn hilbert_cell(key: u64, dims: usize, bits: u32) -> Vec<u32> {
    let mut x = morton_cell(key, dims, bits);
    let t = x[dims - 1] >> 1;
    for i in (1..dims).rev() {
        x[i] ^= x[i - 1];
    }
    x[0] ^= t;
    for b in 1..bits {
        let (q, low) = (1u32 << b, (1u32 << b) - 1);
        for i in (0..dims).rev() {
            if x[i] & q != 0 {
                x[0] ^= low;
            } else {
                let t = (x[0] ^ x[i]) & low;
                x[0] ^= t;
                x[i] ^= t;
            }
        }
    }
    x
}

/// Least and greatest coordinate per dimension of row-major `rows`; infinities where there are none.
pub fn bounds(rows: &[f64], dim: usize) -> (Vec<f64>, Vec<f64>) {
    let column = |d: usize| rows.iter().copied().skip(d).step_by(dim);
    let low = (0..dim).map(|d| column(d).fold(f64::INFINITY, f64::min) + 0.0).collect();
    let high = (0..dim).map(|d| column(d).fold(f64::NEG_INFINITY, f64::max) + 0.0).collect();
    (low, high)
}
