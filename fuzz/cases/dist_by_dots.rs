//! Squared distances by way of dot products, and the squared lengths that they need, against the true distance.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::*;
use covertree_kernels::oracle::dist::Truth;
use covertree_kernels::simd::{Real, Tier};

use super::Bytes;
use super::points::{Points, same};

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (dim, len, queries) = (1 + bytes.below(450), bytes.below(40), bytes.below(30));
    run::<f32>(&mut Bytes(bytes.0), dim, len, queries);
    run::<f64>(&mut bytes, dim, len, queries);
}

fn run<T: Real>(bytes: &mut Bytes<'_>, dim: usize, len: usize, queries: usize) {
    let queries = Points::<T>::read(bytes, dim, queries);
    let points = Points::<T>::read(bytes, dim, len);
    let mut twin = points.out::<T>(1);
    scalar::squared_norms(&points.packed, dim, &mut twin);
    for tier in Tier::all() {
        let mut norms = points.out::<T>(1);
        squared_norms(tier, points.panels(), &mut norms).expect("the sizes fit");
        assert!(same(&norms, &twin), "{tier}");
        let mut out = points.out::<T>(queries.len);
        let mut memory = vec![Block::splat(u32::MAX); squared_by_dots_blocks::<T>(queries.len, dim)];
        squared_by_dots(tier, queries.rows(), points.panels(), &norms, &mut out, &mut Arena::new(&mut memory))
            .expect("the sizes fit");
        let stride = norms.len().max(1);
        for (at, &value) in out.iter().enumerate().filter(|(at, _)| at % stride < len) {
            let (query, point) = (queries.wide(at / stride), points.wide(at % stride));
            let query_norm = query.iter().fold(T::default(), |sum, &q| sum + T::from_f64(q) * T::from_f64(q));
            let bound = dots_error::<T>(dim, query_norm.to_f64() + norms[at % stride].to_f64());
            let error = (value.to_f64() - SquaredEuclidean::truth(&query, &point).0).abs();
            assert!(bound == f64::INFINITY || (error <= bound && value >= T::default()), "{tier} {error} {bound}");
        }
    }
}
