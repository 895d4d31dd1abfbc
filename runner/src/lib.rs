//! Exact nearest neighbours in any metric space: a parallel compressed cover tree.
pub mod build;
pub mod error;
pub mod formats;
pub mod generate;
pub mod points;
mod random;
pub mod space;
pub mod summary;
pub mod tree;
mod workers;

pub use build::BuildConfig;
use covertree_kernels::simd::Tier;
/// Temporary
pub fn try_build<S: space::Space>(space: &S, config: &BuildConfig) -> tree::Tree {
    build::build(space, config, Tier::detect())
}
