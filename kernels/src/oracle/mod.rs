//! Slow, obvious answers for tests, benchmarks and fuzz targets. They use `std` and favour plainness over speed.

pub mod order;
