//! Distances between points: one query against packed panels, blocks of queries against blocks of panels.

pub(crate) mod form;
pub(crate) mod lanes;

pub use form::{Chebyshev, Dot, Form, Manhattan, SquaredEuclidean};

/// How a sum is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Each operation by itself.
    Published,
    /// Fused.
    Fused,
}
