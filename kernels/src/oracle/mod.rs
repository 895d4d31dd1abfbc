//! Slow, obvious answers that the kernels are compared with, one file per family. Feature `oracle`: for tests,
//! benchmarks and fuzz targets; they allocate, and panic where a kernel would return an error.

pub mod conflict;
pub mod covariance;
pub mod dist;
pub mod double;
pub mod grid;
pub mod group;
pub mod landmark;
pub mod mis;
pub mod order;
pub mod precise;
pub mod projection;
pub mod residual;
pub mod select;
pub mod sphere;
pub mod topk;
pub mod tree;
