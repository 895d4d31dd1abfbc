//! Built trees for the tests of this folder.

use covertree_kernels::simd::{Real, Tier};

use super::Tree;
use crate::build::{BuildConfig, build};
use crate::generate::{Distribution, GenerateConfig};
use crate::space::{PackedPoints, PanelMetric, RowSpace};
use crate::workers::Workers;

/// A tree with its points in its order.
pub(crate) fn built<M: PanelMetric>(rows: &[f64], dim: usize) -> (Tree, PackedPoints<M::Real>) {
    built_on::<M>(Tier::detect(), rows, dim)
}

/// The same, built on one tier.
pub(crate) fn built_on<M: PanelMetric>(tier: Tier, rows: &[f64], dim: usize) -> (Tree, PackedPoints<M::Real>) {
    let data = rows.iter().map(|&value| M::Real::from_f64(value)).collect();
    let config = BuildConfig::default();
    let (tree, points, _) = build(&mut RowSpace::<M>::prepared(data, dim), &config, tier, &Workers::new()).unwrap();
    (tree, points)
}

/// Rows of a generated data set, widened.
pub(crate) fn rows(distribution: Distribution, rows: usize, dim: usize, seed: u64) -> Vec<f64> {
    if rows == 0 {
        return Vec::new();
    }
    let config = GenerateConfig { distribution, rows, dim, seed, ..GenerateConfig::default() };
    config.generate().unwrap().to_f64().into_owned()
}
