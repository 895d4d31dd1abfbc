//! Vectors, the tiers that implement them, and the choice between tiers at run time.
//!
//! A kernel body is written once, generic over [`Lanes`], and marked `#[inline(always)]`. [`Tier::run`] enters
//! one `#[target_feature]` function around the whole body, so that everything inlined into it is compiled for
//! that tier. `wide` alone cannot do this: it picks its registers when it is compiled, and people build without
//! `-C target-cpu` (Lokathor/wide issues 146 and 238).
//!
//! This folder is the only place of the crate with `unsafe`: the intrinsics, and the entry into a tier that
//! [`Tier::detect`] has proved to be there.
//!
//! | tier | registers | fused multiply-add | where |
//! | --- | --- | --- | --- |
//! | `portable` | what the build allows: SSE2, NEON, wasm `simd128`, or scalar | only if the build has it | everywhere |
//! | `avx2` | 2 x 256 bit | yes | x86-64 with AVX2 and FMA |
//! | `avx512` | 1 x 512 bit | yes | x86-64 with AVX-512 F, BW, DQ and VL |
//!
//! A vector is as wide as a panel on every tier, 16 `f32` or 8 `f64`, so packed data never depends on the tier.
#![allow(unsafe_code)]

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod avx2;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod avx512;
mod portable;
mod tier;
mod vector;

pub use tier::{Tier, TierUnavailable};
pub use vector::{Lanes, OnLanes, Real, Vector};

/// Lanes of a panel of `f32`.
pub const LANES_F32: usize = 16;
/// Lanes of a panel of `f64`.
pub const LANES_F64: usize = 8;

#[cfg(test)]
mod tests;
