//! A block of queries against packed points in register tiles, against the published formula pair by pair.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::{Dot, Rounding, block_to_run, block_to_run_blocks, scalar};
use covertree_kernels::oracle::dist::Truth;
use covertree_kernels::simd::{Real, Tier};

use super::Bytes;
use super::points::{Points, same, with_form, within_bound};

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (form, dim, len, queries) = (bytes.u8(), 1 + bytes.below(450), bytes.below(40), bytes.below(30));
    run::<f64, _>(Dot, &mut Bytes(bytes.0), dim, len, queries);
    with_form!(form, form => run::<f32, _>(form, &mut bytes, dim, len, queries));
}

fn run<T: Real, F: Truth>(form: F, bytes: &mut Bytes<'_>, dim: usize, len: usize, queries: usize) {
    let queries = Points::<T>::read(bytes, dim, queries);
    let points = Points::<T>::read(bytes, dim, len);
    let mut twin = points.out::<T>(queries.len);
    scalar::block_to_run(form, &queries.rows, dim, &points.packed, &mut twin);
    for tier in Tier::all() {
        for rounding in [Rounding::Published, Rounding::Fused] {
            let mut out = points.out::<T>(queries.len);
            let mut memory = vec![Block::splat(u32::MAX); block_to_run_blocks::<T>(queries.len, dim)];
            let (rows, panels) = (queries.rows(), points.panels());
            block_to_run(tier, form, rounding, rows, panels, &mut out, &mut Arena::new(&mut memory))
                .expect("the sizes fit");
            assert!(rounding == Rounding::Fused || same(&out, &twin), "{tier}");
            let stride = len.next_multiple_of(T::LANES).max(1);
            for (at, &value) in out.iter().enumerate().filter(|(at, _)| at % stride < len) {
                within_bound::<T, F>(&queries.wide(at / stride), &points.wide(at % stride), value);
            }
        }
    }
}
