//! `tree::knn_panel`: a panel of queries, some of which leave a point out, to a tree with boxes.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::{Form, Manhattan, SquaredEuclidean};
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::oracle::tree::HandMade;
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::tree::{TreeView, knn_panel, knn_panel_blocks};
use covertree_kernels::view::{Rows, pack_rows, panels_len};

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (len, dim, k) = (1 + bytes.below(200), 1 + bytes.below(9), 1 + bytes.below(40));
    let (leaf, fan, count) = (1 + bytes.below(40), 2 + bytes.below(20), bytes.below(17));
    // Small enough that no square leaves the range of `f32`.
    let mut values =
        |count: usize| -> Vec<f32> { (0..count).map(|_| bytes.coordinate().clamp(-1e15, 1e15) as f32).collect() };
    let (points, queries) = (values(len * dim), values(count * dim));
    let made = HandMade::boxed(points.clone(), dim, leaf, fan);
    answers::<f32, SquaredEuclidean>(&made, &queries, k, f64::sqrt);
    answers::<f32, Manhattan>(&made, &queries, k, |sum| sum);
    let widen = |values: &[f32]| -> Vec<f64> { values.iter().map(|&value| f64::from(value)).collect() };
    let (made, queries) = (HandMade::boxed(widen(&points), dim, leaf, fan), widen(&queries));
    answers::<f64, SquaredEuclidean>(&made, &queries[..queries.len() / dim / 2 * dim], k, f64::sqrt);
}

/// Compares the answers with brute force, on every tier; every other query leaves a point out.
fn answers<T: Real, F: Form>(made: &HandMade<T>, queries: &[T], k: usize, finish: fn(f64) -> f64) {
    let (dim, count) = (made.dim, queries.len() / made.dim);
    let except: Vec<Idx> =
        (0..count).map(|query| if query % 2 == 0 { made.ids[query % made.len()] } else { NONE }).collect();
    let mut panel = vec![T::default(); panels_len::<T>(T::LANES, dim)];
    if count > 0 {
        let order: Vec<Idx> = (0..count as Idx).collect();
        pack_rows(Rows::new(queries, dim).unwrap(), &order, &mut panel).unwrap();
    }
    let (view, metric) = (TreeView::new(made.parts()).unwrap(), made.metric::<F>());
    for tier in Tier::all() {
        let mut memory = vec![Block::splat(0xdead_beef); knn_panel_blocks::<T>(made.waiting, dim, k)];
        let (mut distances, mut found) = (vec![-7.0; count * k], vec![-7; count * k]);
        let arena = &mut Arena::new(&mut memory);
        knn_panel(tier, view, &metric, &panel, &except, &mut distances, &mut found, arena).unwrap();
        for (query, row) in queries.chunks_exact(dim).enumerate() {
            let want = made.brute::<F>(row, except[query], finish);
            for place in 0..k {
                let want = want.get(place).copied().unwrap_or((f64::INFINITY, NONE));
                assert_eq!((distances[query * k + place], found[query * k + place]), want, "{tier}, query {query}");
            }
        }
    }
}
