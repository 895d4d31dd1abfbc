//! Exact nearest neighbours in any metric space: a parallel compressed cover tree.
pub mod answers;
pub mod brute;
pub mod build;
pub mod error;
pub mod formats;
pub mod generate;
pub mod index;
pub mod metric;
mod order;
pub mod points;
mod random;
pub mod space;
pub mod summary;
pub mod tree;
mod workers;

pub use answers::Answers;
pub use build::BuildConfig;
pub use index::Index;
pub use metric::MetricName;
