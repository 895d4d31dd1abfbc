//! The C interface of `covertree-kernels`: a static library and `include/covertree.h`, which is generated from this crate.
//!
//! # What a function promises
//! - It needs nothing: no allocator, no threads, no operating system, no libc but `memcpy`, `memmove`, `memset`,
//!   `memcmp` and `bcmp`. All memory is the caller's; scratch comes in [`covertree_block`]s, and a function `..._blocks` says how many.
//! - If it can fail, it returns a [`covertree_status`] and, where the caller gives room for it, a [`covertree_error`] with the name of the
//!   argument and both numbers. Nothing has been written to the outputs when it is not `OK`.
//! - It checks what it can: null and misaligned pointers, lengths that do not fit together, outputs that overlap another
//!   argument (but for the `covertree_error`, which is written last), numbers out of range. It reads and writes within `pointer[0..length]` of its arguments and nowhere else; the
//!   fuzz target `ffi` puts hostile lengths and arguments to it under AddressSanitizer.
//! - What it cannot check is the caller's part: that a pointer of length `n` points to `n` elements that no other thread
//!   changes meanwhile, and that they hold values, any of them, also where they are only written to. A pointer with length 0 may be null.
//!
//! # Layers
//! | module | what |
//! | --- | --- |
//! | `boundary` | pointers and lengths become checked slices: nearly all of the `unsafe` code |
//! | `status` | codes, and errors with both numbers |
//! | `points`, `projection`, `sets`, `correlation` | one kernel of each family, at least |
//! | `tree` | search over a tree file that `covertree build` wrote |
#![no_std]
#![allow(non_camel_case_types)] // the names that the C header has
#![deny(missing_docs)]

#[cfg(feature = "std")]
extern crate std;

mod boundary;
mod correlation;
#[cfg(not(feature = "std"))]
mod panic;
mod points;
mod projection;
mod sets;
mod status;
mod tree;

pub use boundary::*;
pub use correlation::*;
pub use points::*;
pub use projection::*;
pub use sets::*;
pub use status::{COVERTREE_NAME_LEN, covertree_error, covertree_status};
pub use tree::*;
