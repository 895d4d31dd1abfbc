//! Kernels of an exact nearest-neighbour engine.
#![no_std]

#[cfg(any(test, feature = "oracle"))]
extern crate std;

pub mod arena;
pub mod dist;
pub mod error;
pub mod group;
pub mod hash;
pub mod index;
pub mod mis;
#[cfg(any(test, feature = "oracle"))]
pub mod oracle;
pub mod order;
pub mod simd;
pub mod topk;
pub mod tree;
pub mod view;
