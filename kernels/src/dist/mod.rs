//! Distances between points: one query against packed panels, blocks of queries against blocks of panels.

pub(crate) mod form;
pub(crate) mod lanes;

pub use form::{Chebyshev, Dot, Form, Manhattan, SquaredEuclidean};
