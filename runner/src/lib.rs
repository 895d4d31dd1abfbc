//! Exact nearest neighbours.

pub mod error;
pub mod formats;
pub mod generate;
pub mod points;
mod random;
pub mod summary;
