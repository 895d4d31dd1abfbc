//! Fixed-seed inputs for the benchmarks.
