use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::arena::Block;
use crate::dist::{Chebyshev, Manhattan, SquaredEuclidean};
use crate::oracle::tree::HandMade;
use crate::tree::promises::{pack, uniform};
use crate::tree::scalar;
use crate::trials;

/// Every kind of coordinates: spread, on a lattice full of ties, duplicates, squares near the end of the range of `f32`.
fn values<T: Real>(seed: u64, count: usize, kind: usize) -> Vec<T> {
    let value = |at| match kind {
        0 => uniform(seed, at),
        1 => (uniform(seed, at) * 4.0).floor(),
        2 => 7.0,
        3 => 1e19 * uniform(seed, at),
        _ => 1e-22 * uniform(seed, at),
    };
    (0..count).map(|at| T::from_f64(value(at))).collect()
}

/// Compares the answers to a panel of queries on every tier, and those of the plain twin, with brute force.
fn check<T: Real, F: Form>(made: &HandMade<T>, queries: &[T], except: &[Idx], k: usize, finish: fn(f64) -> f64) {
    let (view, metric, count) = (TreeView::new(made.parts()).unwrap(), made.metric::<F>(), except.len());
    let packed = if count == 0 { vec![T::default(); made.dim * T::LANES] } else { pack(queries, made.dim) };
    let (mut plain, mut plain_found) = (vec![-7.0; count * k], vec![-7; count * k]);
    scalar::knn_panel(view, &metric, &packed, except, &mut plain, &mut plain_found);
    for tier in Tier::all() {
        let mut memory = vec![Block::splat(0xdead_beef); knn_panel_blocks::<T>(made.waiting, made.dim, k)];
        let (mut distances, mut found) = (vec![-7.0; count * k], vec![-7; count * k]);
        let arena = &mut Arena::new(&mut memory);
        let work = knn_panel(tier, view, &metric, &packed, except, &mut distances, &mut found, arena).unwrap();
        assert!(work.settled <= work.distance_evals && work.distance_evals <= (made.len() * count) as u64, "{work:?}");
        assert!(work.groups + work.pruned <= made.groups.len().max(1) as u64, "{work:?}");
        assert_eq!((&distances, &found), (&plain, &plain_found), "{tier}");
        for (query, row) in queries.chunks_exact(made.dim).take(count).enumerate() {
            let mut want = made.brute::<F>(row, except[query], finish);
            want.resize(k, (f64::INFINITY, NONE));
            let both = distances[query * k..][..k].iter().copied().zip(found[query * k..][..k].iter().copied());
            assert_eq!(both.collect::<Vec<_>>(), want, "{tier}, query {query}");
        }
    }
}

fn every_form<T: Real>(len: usize, dim: usize, count: usize, k: usize, kind: usize, seed: u64) {
    let made = HandMade::<T>::boxed(values(seed, len * dim, kind), dim, 11, [2, 5, 16, 40][kind % 4]);
    // Some queries are points and leave themselves out, others are not.
    let queries: Vec<T> = values(seed + 1, count * dim, kind);
    let mut queries = queries;
    let mut except = vec![NONE; count];
    for query in (0..count.min(len)).step_by(2) {
        queries[query * dim..][..dim].copy_from_slice(made.row(query));
        except[query] = made.ids[query];
    }
    check::<T, SquaredEuclidean>(&made, &queries, &except, k, libm::sqrt);
    check::<T, Manhattan>(&made, &queries, &except, k, core::convert::identity);
    check::<T, Chebyshev>(&made, &queries, &vec![NONE; count], k, core::convert::identity);
}

#[test]
fn a_panel_finds_what_brute_force_finds() {
    for (case, len) in trials::thin(4, [1, 2, 15, 16, 17, 40, 700].into_iter().enumerate()) {
        for dim in trials::thin(2, [1, 2, 3, 4, 5, 9]) {
            for kind in trials::thin(2, 0..5) {
                for count in trials::thin(2, [0, 1, 7, 8]) {
                    every_form::<f32>(len, dim, 2 * count, 1 + 4 * case, kind, case as u64);
                    every_form::<f64>(len, dim, count, 1 + 4 * case, kind, case as u64);
                }
            }
        }
    }
}

#[test]
fn more_ties_than_there_is_room_to_note_are_settled_early() {
    // All points are at one place: every one is noted. There is room for some hundreds.
    let (len, count) = if cfg!(miri) { (310, 2) } else { (2000, 16) };
    every_form::<f64>(len, 2, count / 2, 5, 2, 1);
    for k in trials::thin(2, [5, 40]) {
        every_form::<f32>(len, 3, count, k, 2, 1);
    }
}

proptest! {
    #![proptest_config(trials::cases(48))]
    #[test]
    fn any_panel_is_answered_exactly(
        seed in any::<u64>(), len in 1..trials::up_to(400usize), dim in 1usize..12, count in 0usize..=16, k in 1usize..60, kind in 0usize..5,
    ) {
        every_form::<f32>(len, dim, count, k, kind, seed >> 1);
        every_form::<f64>(len, dim, count / 2, k, kind, seed >> 1);
    }
}

#[test]
fn wrong_shapes_are_refused_before_anything_is_written() {
    let made = HandMade::<f32>::boxed(values(1, 90, 0), 3, 11, 5);
    let balled = HandMade::<f32>::balled(values(1, 90, 0), 3, 4);
    let call = |made: &HandMade<f32>, queries: usize, except: usize, out: usize, blocks: usize| {
        let (mut distances, mut found, except) = (vec![-7.0; out], vec![-7; out], vec![NONE; except]);
        let mut memory = vec![Block::default(); blocks];
        let (view, metric) = (TreeView::new(made.parts()).unwrap(), made.metric::<SquaredEuclidean>());
        let (queries, arena) = (vec![0.5; queries], &mut Arena::new(&mut memory));
        let refused = knn_panel(Tier::detect(), view, &metric, &queries, &except, &mut distances, &mut found, arena);
        assert!(distances.iter().all(|&distance| distance == -7.0));
        refused.unwrap_err()
    };
    let blocks = knn_panel_blocks::<f32>(made.waiting, 3, 2);
    assert!(matches!(call(&made, 47, 4, 8, blocks), KernelError::Shape { what: "queries", .. }));
    assert!(matches!(call(&made, 48, 17, 34, blocks), KernelError::Shape { what: "except", .. }));
    assert!(matches!(call(&made, 48, 4, 9, blocks), KernelError::Shape { what: "distances", .. }));
    assert!(matches!(call(&made, 48, 4, 0, blocks), KernelError::Least { what: "k", .. }));
    assert!(matches!(call(&balled, 48, 4, 8, blocks), KernelError::Shape { what: "boxes", .. }));
    // One of the queries leaves a point out, which takes the most.
    let mut memory = vec![Block::default(); blocks - 1];
    let (view, metric) = (TreeView::new(made.parts()).unwrap(), made.metric::<SquaredEuclidean>());
    let (mut distances, mut found) = ([0.0; 2], [0; 2]);
    let arena = &mut Arena::new(&mut memory);
    let refused = knn_panel(Tier::detect(), view, &metric, &[0.5; 48], &[3], &mut distances, &mut found, arena);
    assert!(matches!(refused, Err(KernelError::Scratch { .. })));
}
