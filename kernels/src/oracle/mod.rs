//! Slow, obvious answers that the kernels are compared with, one file per family. Feature `oracle`: for tests,
//! benchmarks and fuzz targets; they allocate, and panic where a kernel would return an error.

pub mod dist;
pub mod group;
pub mod mis;
pub mod order;
pub mod topk;
