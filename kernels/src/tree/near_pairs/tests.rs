use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::arena::Block;
use crate::dist::{Chebyshev, Manhattan, SquaredEuclidean};
use crate::oracle::tree::HandMade;
use crate::tree::promises::{pack, uniform};
use crate::tree::{box_of_run, scalar};
use crate::trials;
use crate::view::Panels;

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

/// Compares the pairs of rows `0..split` and `split..` on every tier, and those of the plain twin, with brute force.
fn check<T: Real, F: Form>(made: &HandMade<T>, radius: f64, split: usize, finish: fn(f64) -> f64) {
    let named = |pairs: &[Conflict]| {
        let mut named: Vec<_> = pairs.iter().map(|pair| (pair.id, pair.other, pair.distance)).collect();
        named.sort_by(|a, b| a.partial_cmp(b).unwrap());
        named
    };
    let brute = made.brute_pairs::<F>(radius, finish);
    let (view, metric, expected) = (TreeView::new(made.parts()).unwrap(), made.metric::<F>(), named(&brute));
    let mut twin = vec![Conflict { distance: -7.0, id: -7, other: -7 }; expected.len()];
    let found = scalar::near_pairs(view, &metric, 0..split, radius, &mut twin);
    let rest = scalar::near_pairs(view, &metric, split..made.len(), radius, &mut twin[found..]);
    assert_eq!((found + rest, &twin), (expected.len(), &brute), "in one order, too");
    let mut on_tiers: Vec<Vec<Conflict>> = Vec::new();
    for tier in Tier::all() {
        let room = near_pairs_blocks::<T>(made.waiting, made.parts().groups.len(), made.dim);
        let mut memory = vec![Block::splat(0xdead_beef); room];
        let mut pairs = Vec::new();
        for rows in [0..split, split..made.len()] {
            let mut out = vec![Conflict { distance: -7.0, id: -7, other: -7 }; expected.len()];
            let arena = &mut Arena::new(&mut memory);
            let (found, counters) = near_pairs(tier, view, &metric, rows, radius, &mut out, arena).unwrap();
            assert!(counters.settled >= found as u64 && counters.distance_evals >= counters.settled);
            pairs.extend_from_slice(&out[..found]);
        }
        let positions: Vec<usize> =
            pairs.iter().map(|pair| made.ids.iter().position(|&id| id == pair.id).unwrap()).collect();
        assert!(positions.is_sorted(), "{tier}");
        assert_eq!(named(&pairs), expected, "{tier}");
        on_tiers.push(pairs);
    }
    assert!(on_tiers.iter().all(|pairs| *pairs == on_tiers[0]));
}

fn every_form<T: Real>(len: usize, dim: usize, share: f64, kind: usize, seed: u64) {
    let made = HandMade::<T>::boxed(values(seed, len * dim, kind), dim, 11, [2, 5, 16, 40][kind % 4]);
    let radius = share * [1.0, 1.0, 1.0, 1e19, 1e-22][kind];
    let split = (seed % (len as u64 + 1)) as usize; // at most `len`
    check::<T, SquaredEuclidean>(&made, radius, split, libm::sqrt);
    check::<T, Manhattan>(&made, radius, split, core::convert::identity);
    check::<T, Chebyshev>(&made, radius, split, core::convert::identity);
}

#[test]
fn near_pairs_are_those_of_brute_force() {
    for len in trials::thin(4, [1, 2, 15, 16, 17, 40, 170]) {
        for dim in trials::thin(3, [1, 2, 3, 5, 9]) {
            for kind in trials::thin(2, 0..5) {
                for share in trials::thin(2, [0.0, 0.3, 1.0, 20.0]) {
                    every_form::<f32>(len, dim, share, kind, 7 + len as u64);
                    every_form::<f64>(len, dim, share, kind, 7 + len as u64);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(trials::cases(32))]
    #[test]
    fn any_near_pairs_are_found(
        seed in any::<u64>(), len in 1usize..200, dim in 1usize..12, share in 0.0f64..1.5, kind in 0usize..5,
    ) {
        every_form::<f32>(len, dim, share, kind, seed >> 1);
        every_form::<f64>(len, dim, share, kind, seed >> 1);
    }
}

#[test]
fn more_pairs_than_there_is_room_for_end_the_search() {
    let made = HandMade::<f32>::boxed(values(1, 900, 2), 3, 11, 5);
    let (view, metric) = (TreeView::new(made.parts()).unwrap(), made.metric::<SquaredEuclidean>());
    let mut memory = vec![Block::default(); near_pairs_blocks::<f32>(made.waiting, made.parts().groups.len(), 3)];
    let mut out = [Conflict::default(); 40];
    let arena = &mut Arena::new(&mut memory);
    let (found, counters) = near_pairs(Tier::detect(), view, &metric, 0..300, 0.0, &mut out, arena).unwrap();
    assert!(found > 40 && counters.distance_evals < 10_000);
    assert!(out.iter().all(|pair| pair.id != pair.other && pair.distance == 0.0));
}

#[test]
fn wrong_arguments_are_refused_before_anything_is_written() {
    let made = HandMade::<f32>::boxed(values(1, 90, 0), 3, 11, 5);
    let balled = HandMade::<f32>::balled(values(1, 90, 0), 3, 4);
    let blocks = near_pairs_blocks::<f32>(made.waiting, made.parts().groups.len(), 3);
    let call = |made: &HandMade<f32>, rows: Range<usize>, radius: f64, blocks: usize| {
        let (mut out, mut memory) = (vec![Conflict::default(); 500], vec![Block::default(); blocks]);
        let (view, metric) = (TreeView::new(made.parts()).unwrap(), made.metric::<SquaredEuclidean>());
        let refused = near_pairs(Tier::detect(), view, &metric, rows, radius, &mut out, &mut Arena::new(&mut memory));
        assert!(out.iter().all(|pair| *pair == Conflict::default()) || refused.is_ok());
        refused.map(|(found, _)| found)
    };
    assert!(call(&made, 0..30, 2.0, blocks).is_ok());
    assert!(matches!(call(&balled, 0..30, 2.0, blocks), Err(KernelError::Shape { what: "boxes", .. })));
    assert!(matches!(call(&made, 0..31, 2.0, blocks), Err(KernelError::Key { at: 1, key: 31, limit: 30 })));
    assert!(matches!(call(&made, 31..32, 2.0, blocks), Err(KernelError::Key { at: 0, .. })));
    for radius in [-1.0, f64::NAN] {
        assert!(matches!(call(&made, 0..30, radius, blocks), Err(KernelError::Value { what: "radius", .. })));
    }
    assert!(matches!(call(&made, 0..30, 2.0, blocks - 1), Err(KernelError::Scratch { .. })));
}

#[test]
fn a_tree_by_blocks_is_refused() {
    let made = HandMade::<f32>::balled(values(1, 90, 0), 3, 4);
    let (view, parts) = (TreeView::new(made.parts()).unwrap(), made.parts());
    let points = made.metric::<SquaredEuclidean>().points();
    let mut corners = Vec::new();
    for group in parts.groups {
        let (mut low, mut high) = ([0.0; 3], [0.0; 3]);
        box_of_run(Tier::detect(), points, at(group.first), at(group.end), &mut low, &mut high).unwrap();
        corners.extend(low.into_iter().chain(high));
    }
    let corners = pack(&corners, 6);
    let boxes = Boxes::new(Panels::new(&corners, 6, parts.groups.len()).unwrap()).unwrap();
    let metric = Coordinates::<f32, SquaredEuclidean>::new(points).with_boxes(boxes);
    let mut memory = vec![Block::default(); near_pairs_blocks::<f32>(made.waiting, parts.groups.len(), 3)];
    let (mut out, arena) = (vec![Conflict::default(); 500], &mut Arena::new(&mut memory));
    let refused = near_pairs(Tier::detect(), view, &metric, 0..30, 2.0, &mut out, arena);
    assert!(matches!(refused, Err(KernelError::Value { what: "groups", .. })), "{refused:?}");
}
