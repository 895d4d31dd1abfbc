//! Fixed-seed inputs for the benchmarks.

use covertree_kernels::hash::{GOLDEN, mix64};

/// Mixed 64-bit words.
pub fn words(len: usize, seed: u64) -> Vec<u64> {
    (0..len as u64).map(|i| mix64(seed.wrapping_add(i.wrapping_mul(GOLDEN)))).collect()
}

/// Numbers of `0..1`, evenly spread.
pub fn uniform(len: usize, seed: u64) -> Vec<f64> {
    words(len, seed).into_iter().map(|word| (word >> 11) as f64 / (1u64 << 53) as f64).collect()
}

/// Numbers from the normal distribution with mean 0 and variance 1.
pub fn normal(len: usize, seed: u64) -> Vec<f64> {
    let pairs = uniform(2 * len, seed);
    let normal = |pair: &[f64]| (-2.0 * (1.0 - pair[0]).ln()).sqrt() * (std::f64::consts::TAU * pair[1]).cos();
    pairs.chunks_exact(2).map(normal).collect()
}
