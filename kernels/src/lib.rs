//! Kernels of an exact nearest-neighbour engine.
#![no_std]

#[cfg(any(test, feature = "oracle"))]
extern crate std;

pub mod arena;
pub mod dist;
pub mod error;
pub mod index;
#[cfg(any(test, feature = "oracle"))]
pub mod oracle;
pub mod simd;
pub mod topk;
pub mod view;
