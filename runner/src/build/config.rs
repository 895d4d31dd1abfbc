//! The builder's configuration.

/// How a tree is built.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildConfig {
    /// Ratio of the radii of neighbouring levels, above 1.
    pub base: f64,
    /// Seed of every random choice.
    pub seed: u64,
}

impl Default for BuildConfig {
    fn default() -> Self {
        Self { base: 2.0, seed: 42 }
    }
}
