//! Fixed-seed inputs for the benchmarks.

pub mod residual;

use covertree_kernels::arena::{Arena, Block, blocks};
use covertree_kernels::hash::{GOLDEN, mix64};
use covertree_kernels::simd::Real;

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

/// Copies values to memory that begins with a cache line and is never returned: where vectors straddle lines, the
/// first-level cache gives half as much, and where an allocation begins is chance.
pub fn aligned<T: Real>(values: &[T]) -> &'static mut [T] {
    let memory = vec![Block::splat(0); blocks::<T>(values.len())].leak();
    let out = Arena::new(memory).take(values.len()).expect("there are as many blocks");
    out.copy_from_slice(values);
    out
}
