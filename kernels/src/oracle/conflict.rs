//! Conflict graphs by their definitions.

use core::marker::PhantomData;
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use crate::conflict::Which;
use crate::conflict::csr::Weight;
use crate::dist::Form;
use crate::index::{Idx, at};
use crate::simd::{Lanes, OnLanes, Tier};

/// The distance that belongs to a sum.
pub fn finish<F: Form>(sum: f64) -> f64 {
    struct Finish<F>(f64, PhantomData<F>);
    impl<F: Form> OnLanes for Finish<F> {
        type Out = f64;
        fn run<L: Lanes>(self) -> f64 {
            F::finish::<L>(self.0)
        }
    }
    Tier::PORTABLE.run(Finish(sum, PhantomData::<F>))
}

/// The pairs (row, column, distance) with a distance at most the row's radius, ordered by (row, column).
///
/// `rows` are the points, all of them; `radius` belongs to the points from `first` on.
pub fn within<F: Form>(
    rows: &[Vec<f64>],
    first: usize,
    radius: &[f64],
    columns: core::ops::Range<usize>,
    which: Which,
) -> Vec<(Idx, Idx, f64)> {
    let mut found = Vec::new();
    for (row, &radius) in (first..).zip(radius) {
        for column in columns.clone() {
            if column == row || (which == Which::Above && column < row) {
                continue;
            }
            let sum = rows[row].iter().zip(&rows[column]).fold(0.0, |sum, (&a, &b)| F::step_f64(sum, a, b));
            let distance = finish::<F>(sum);
            if distance <= radius {
                found.push((row as Idx, column as Idx, distance));
            }
        }
    }
    found
}

/// The `cap` nearest of each row among (row, column, distance), ordered by (distance, column).
pub fn nearest(found: &[(Idx, Idx, f64)], row: Idx, cap: usize) -> Vec<(Idx, f64)> {
    let mut own: Vec<(Idx, f64)> = found.iter().filter(|f| f.0 == row).map(|f| (f.1, f.2)).collect();
    own.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    own.truncate(cap);
    own
}

/// Starts, targets and weights of the graph of undirected pairs: no loops, no duplicates, sorted, the least weight.
pub fn csr<W: Weight>(ends: &[[Idx; 2]], weights: &[W], vertices: usize) -> (Vec<Idx>, Vec<Idx>, Vec<W>) {
    let mut edges: BTreeMap<(Idx, Idx), W> = BTreeMap::new();
    for (&[a, b], &weight) in ends.iter().zip(weights) {
        if a != b {
            for edge in [(a, b), (b, a)] {
                edges.entry(edge).and_modify(|kept| *kept = kept.least(weight)).or_insert(weight);
            }
        }
    }
    let starts = (0..=vertices).map(|v| edges.keys().filter(|edge| at(edge.0) < v).count() as Idx).collect();
    (starts, edges.keys().map(|edge| edge.1).collect(), edges.into_values().collect())
}

/// The undirected edges that either end keeps.
pub fn kept_by_either_end(kept: &[(Idx, Idx)]) -> BTreeSet<(Idx, Idx)> {
    kept.iter().flat_map(|&(a, b)| [(a, b), (b, a)]).collect()
}
