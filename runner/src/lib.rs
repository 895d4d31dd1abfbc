//! Exact nearest neighbours.
pub mod build;
pub mod space;
pub mod tree;
mod workers;

pub use build::BuildConfig;
use covertree_kernels::simd::Tier;
/// Temporary
pub fn try_build<S: space::Space>(space: &S, config: &BuildConfig) -> tree::Tree {
    build::build(space, config, Tier::detect())
}
