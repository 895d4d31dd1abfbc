//! Bounds of any rows, whole and merged from two parts.

use covertree_kernels::oracle::order as oracle;
use covertree_kernels::order::{bounds, merge_bounds, scalar};
use covertree_kernels::simd::Tier;
use covertree_kernels::view::Rows;

pub fn check(data: &[u8]) {
    let mut bytes = super::Bytes(data);
    let (dim, len) = (1 + bytes.below(40), bytes.below(60));
    let cut = bytes.below(len + 1) * dim;
    let points: Vec<f64> = (0..dim * len).map(|_| bytes.coordinate()).collect();
    let single: Vec<f32> = points.iter().map(|&x| x as f32).collect();
    let want = oracle::bounds(&points, dim);
    let (mut low, mut high) = (vec![-1e9; dim], vec![1e9; dim]);
    scalar::bounds(&points, &mut low, &mut high);
    assert_eq!((&low, &high), (&want.0, &want.1), "twin");
    for tier in Tier::all() {
        let of = |points: &[f64]| {
            let (mut low, mut high) = (vec![-1e9; dim], vec![1e9; dim]);
            bounds(tier, Rows::new(points, dim).expect("whole rows"), &mut low, &mut high).expect("the shapes fit");
            (low, high)
        };
        assert_eq!(of(&points), want, "{tier}");
        let ((mut low, mut high), (other_low, other_high)) = (of(&points[..cut]), of(&points[cut..]));
        merge_bounds(&mut low, &mut high, &other_low, &other_high).expect("the shapes fit");
        assert_eq!((low, high), want, "{tier}");

        let (mut low, mut high) = (vec![-1e9; dim], vec![1e9; dim]);
        bounds(tier, Rows::new(&single, dim).expect("whole rows"), &mut low, &mut high).expect("the shapes fit");
        // Rounding is monotone: the bounds of the rounded are the rounded bounds. Adding zero unifies its signs.
        let round = |values: &[f64]| values.iter().map(|&x| x as f32 + 0.0).collect::<Vec<_>>();
        assert_eq!((low, high), (round(&want.0), round(&want.1)), "{tier}");
    }
}
