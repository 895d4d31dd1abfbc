//! Slow, obvious answers that the tests, benchmarks and fuzz targets compare with.

pub mod mis;
