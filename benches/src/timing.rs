//! A timing of one call; a module of the benchmarks, not of the library, which does without criterion.

use covertree_kernels::error::KernelError;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Throughput};

/// Times a kernel that has no tiers, on so many elements.
pub fn time<R>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    elements: usize,
    mut kernel: impl FnMut() -> Result<R, KernelError>,
) {
    kernel().expect("the shapes fit"); // a refusal would be timed as readily
    group.throughput(Throughput::Elements(elements as u64));
    group.bench_function(name, |bencher| bencher.iter(&mut kernel));
}
