//! Exact nearest neighbours in any metric space: a parallel compressed cover tree.
//!
//! # Where to begin
//! [`AnyIndex`] builds, queries, saves and loads a tree whose metric is chosen at run time; it is what the program uses.
//! [`Index`] is generic over the metric and the points; its tree is saved by [`tree::file`], and taken over by
//! [`Index::of_tree`]. [`formats`] reads and writes files, [`generate`] makes data sets
//! to try things on, [`brute`] is what all answers are held against.
//!
//! ```
//! use covertree::generate::GenerateConfig;
//! use covertree::{AnyIndex, BuildConfig, MetricName, brute};
//!
//! # fn main() -> Result<(), covertree::error::Error> {
//! let points = GenerateConfig { rows: 1_000, dim: 3, ..GenerateConfig::default() }.generate()?;
//! let queries = GenerateConfig { rows: 10, dim: 3, seed: 7, ..GenerateConfig::default() }.generate()?;
//! let index = AnyIndex::build(&points, MetricName::Manhattan, &BuildConfig::default())?;
//! let (answers, _counters) = index.knn(&queries, 5)?;
//! assert_eq!(answers, brute::knn(&points, &queries, MetricName::Manhattan, 5, |_| -1)?);
//! # Ok(())
//! # }
//! ```
//!
//! # Layers
//! | layer | modules |
//! | --- | --- |
//! | data in and out | [`points`], [`formats`], [`generate`], [`tree::file`] |
//! | metrics | [`metric`] (names), [`space`] (points under a metric, packed for the kernels) |
//! | trees | [`build`] (batches, conflicts, levels), [`tree`] (storage, files, validation) |
//! | queries | [`any`], [`index`], [`answers`], [`brute`] |
//! | errors, the machine | [`error`], [`summary`] |
//! | correlations | [`residual`] (residual and prior correlation, Vecchia neighbours) |
//!
//! The arithmetic is in the crate `covertree-kernels`, which stands here as [`kernels`]; this crate plans, splits over
//! threads, merges, reads and writes. Everything runs on the current rayon pool, and no result depends on its size.
//!
//! # Exactness
//! An answer is what a brute force by the metric's published formula gives (in `f64`, unfused, sums in the order of the
//! dimensions), ordered by (distance, id), with the same distances bit for bit: on every machine, vector tier and number of
//! threads, with every setting of the builder. Under [`residual`] this holds for the `V` and `p` of the run, whose last bits depend on the
//! processor; and a [gate](residual::gate) makes answers approximate.

pub mod answers;
pub mod any;
pub mod brute;
pub mod build;
pub mod error;
pub mod formats;
pub mod generate;
pub mod index;
pub mod metric;
mod named;
mod order;
mod parallel;
pub mod points;
mod random;
pub mod residual;
mod sort;
pub mod space;
pub mod summary;
pub mod tree;
mod within;
mod workers;

pub use covertree_kernels as kernels;
pub use kernels::index::{Idx, NONE};
pub use kernels::simd::Tier;
pub use kernels::tree::SearchCounters;

pub use answers::Answers;
pub use any::AnyIndex;
pub use build::{BuildConfig, Telemetry};
pub use error::Error;
pub use index::{Index, Searcher};
pub use metric::MetricName;
pub use points::{Points, Values};
pub use residual::ResidualIndex;
pub use tree::file::ReadMode;
pub use within::Neighborhoods;
pub use workers::Workers;

/// The examples of the README, compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
