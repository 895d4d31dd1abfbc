//! `tree::near_pairs`: all pairs within a radius of some points of a tree with boxes, in two parts.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::{Form, Manhattan, SquaredEuclidean};
use covertree_kernels::oracle::tree::HandMade;
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::tree::{Conflict, TreeView, near_pairs, near_pairs_blocks};

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (len, dim) = (1 + bytes.below(120), 1 + bytes.below(9));
    let (leaf, fan, split) = (1 + bytes.below(40), 2 + bytes.below(20), bytes.below(121).min(len));
    let radius = bytes.coordinate().abs();
    // Small enough that no square leaves the range of `f32`.
    let points: Vec<f32> = (0..len * dim).map(|_| bytes.coordinate().clamp(-1e15, 1e15) as f32).collect();
    let made = HandMade::boxed(points.clone(), dim, leaf, fan);
    pairs::<f32, SquaredEuclidean>(&made, radius, split, f64::sqrt);
    pairs::<f32, Manhattan>(&made, radius, split, |sum| sum);
    let made = HandMade::boxed(points.iter().map(|&value| f64::from(value)).collect(), dim, leaf, fan);
    pairs::<f64, SquaredEuclidean>(&made, radius, split, f64::sqrt);
}

/// Compares the pairs of the rows before and from `split` on with brute force, on every tier.
fn pairs<T: Real, F: Form>(made: &HandMade<T>, radius: f64, split: usize, finish: fn(f64) -> f64) {
    let named = |pair: &Conflict| (pair.id, pair.other, pair.distance.to_bits());
    let mut want: Vec<_> = made.brute_pairs::<F>(radius, finish).iter().map(named).collect();
    want.sort_unstable();
    let (view, metric) = (TreeView::new(made.parts()).unwrap(), made.metric::<F>());
    let blocks = near_pairs_blocks::<T>(made.waiting, made.groups.len(), made.dim);
    for tier in Tier::all() {
        let mut memory = vec![Block::splat(0xdead_beef); blocks];
        let mut all = Vec::new();
        for rows in [0..split, split..made.len()] {
            let mut out = vec![Conflict { distance: -7.0, id: -7, other: -7 }; want.len()];
            let arena = &mut Arena::new(&mut memory);
            let (found, _) = near_pairs(tier, view, &metric, rows, radius, &mut out, arena).unwrap();
            all.extend(out[..found].iter().map(named));
        }
        all.sort_unstable();
        assert_eq!(all, want, "{tier}");
    }
}
