//! Saved trees: one file that holds a tree, its points and whatever belongs to the metric.
//!
//! # Format, version 1
//! Everything is little-endian; machines of the other order of bytes refuse to write and to read.
//!
//! | bytes | content |
//! | --- | --- |
//! | 8 | `89 63 74 72 65 65 0d 0a`: the byte 0x89, `ctree`, carriage return, line feed |
//! | 4 + 4 | version (1), mark of the order of bytes (`0x01020304`) |
//! | 8 | bytes of the file |
//! | 4 + 4 + 4 + 4 | number of sections, bytes of a coordinate (4, 8, or 0 without packed points), order of storage (1 by blocks, 2 by cells), dimension |
//! | 4 + 4 + 4 + 4 | points, groups, next id, zero |
//! | 8 + 8 + 8 + 48 | base, scale, seed, zeros |
//! | 32 each | table of sections: name (16 bytes, padded with zeros), offset, bytes |
//! | | the sections in the order of the table, each at the next multiple of 64, zeros between them |
//! | 16 | XXH3 (128 bits, low half first) of all bytes before |
//!
//! The sections are `metric` and `config` (UTF-8 text), `ids`, `levels`, `parents` (`i32` per position), `reaches` (`f32`
//! per position), `groups` (seven `i32` and an `f32` each; see `covertree_kernels::tree::Group`), `points` (panels, see
//! `covertree_kernels::view::Panels`), `corners` (panels of boxes, or empty), then those of the caller: the index adds
//! `scaling` (an `i32`: coordinates are those of the input over two to this power) and, where points have projections ahead of
//! their coordinates, `projection` (`f64`: see `covertree_kernels::tree::stored::StoredProjection`).
//!
//! The same contents make the same bytes: nothing else, such as a time or a machine, goes into the file.
//!
//! # Trust
//! XXH3 runs at the speed of memory and its 128 bits leave accidents no chance; it does not resist forgery, and needs not
//! to: what a search relies on is checked besides, so that even a forged file is refused or searched, but never crashes.
//! A file that is written goes to a temporary beside its target, is forced to the disk, and renamed.

mod header;
mod mapping;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use header::VERSION;
pub(crate) use mapping::Mapping;
pub use read::{ReadMode, SavedTree, Unchanging, read};
pub use write::{stage, write};

use covertree_kernels::index::Idx;
use covertree_kernels::simd::Real;
use covertree_kernels::tree::stored::NAMES;
use covertree_kernels::view::panels_len;

use super::Tree;
use crate::points::Dtype;
use crate::space::PackedPoints;

/// Everything that goes into a tree file, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// Name of the metric.
    pub metric: &'a str,
    /// How the tree was built, as text of the caller's choice.
    pub config: &'a str,
    /// Seed of the builder.
    pub seed: u64,
    /// The first number that is not yet the id of a row; ids are never reused.
    pub next_id: Idx,
    /// The tree.
    pub tree: &'a Tree,
    /// Its points.
    pub points: PackedRef<'a>,
    /// More sections: their names (1 to 16 characters of `a-z 0-9 . - _`, distinct) and bytes.
    pub extra: &'a [(&'a str, &'a [u8])],
}

/// Packed points of either precision, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum PackedRef<'a> {
    /// The metric needs no coordinates.
    None,
    /// 32-bit floats.
    F32(&'a PackedPoints<f32>),
    /// 64-bit floats.
    F64(&'a PackedPoints<f64>),
}

/// Packed points of either precision.
#[derive(Debug)]
pub enum Packed {
    /// The metric needs no coordinates.
    None,
    /// 32-bit floats.
    F32(PackedPoints<f32>),
    /// 64-bit floats.
    F64(PackedPoints<f64>),
}

impl Packed {
    /// The same, borrowed.
    pub fn by_ref(&self) -> PackedRef<'_> {
        match self {
            Self::None => PackedRef::None,
            Self::F32(points) => PackedRef::F32(points),
            Self::F64(points) => PackedRef::F64(points),
        }
    }

    /// The precision; `None` without points.
    pub fn dtype(&self) -> Option<Dtype> {
        match self {
            Self::None => None,
            Self::F32(_) => Some(Dtype::F32),
            Self::F64(_) => Some(Dtype::F64),
        }
    }

    /// Coordinates of a point; 0 without points.
    pub fn dim(&self) -> usize {
        match self {
            Self::None => 0,
            Self::F32(points) => points.panels().dim(),
            Self::F64(points) => points.panels().dim(),
        }
    }
}

/// Whether so many values are the packed corners of boxes around `groups` groups, over the first few of `dim` values of a point
/// (a metric may keep values that boxes do not bound); or none at all.
fn corners_fit<T: Real>(corners: usize, groups: usize, dim: usize) -> bool {
    let row = 2 * panels_len::<T>(groups, 1); // the low and the high corners in one dimension
    corners == 0 || (row > 0 && corners.is_multiple_of(row) && corners / row <= dim)
}
