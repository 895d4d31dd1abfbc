//! Every tier, the plain twin and the definition; graphs from pairs; every split.

use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use super::csr::*;
use super::*;
use crate::arena::{Arena, Block};
use crate::dist::{Chebyshev, Manhattan, SquaredEuclidean};
use crate::index::NONE;
use crate::oracle::conflict as oracle;
use crate::trials;
use crate::view::{Csr, Rows, pack_rows, panels_len};

mod refusals;

fn dirty(blocks: usize) -> Vec<Block> {
    vec![Block::splat(u32::MAX); blocks]
}

/// Points packed as they are, and as the numbers that the formula sees.
struct Points<T> {
    packed: Vec<T>,
    rows: Vec<Vec<f64>>,
    dim: usize,
}

impl<T: Real> Points<T> {
    fn new(values: &[f64], dim: usize) -> Self {
        let data: Vec<T> = values.iter().map(|&value| T::from_f64(value)).collect();
        let len = data.len() / dim;
        let order: Vec<Idx> = (0..len as Idx).collect();
        let mut packed = vec![T::from_f64(7.0); panels_len::<T>(len, dim)];
        pack_rows(Rows::new(&data, dim).unwrap(), &order, &mut packed).unwrap();
        let rows = data.chunks(dim).map(|row| row.iter().map(|value| value.to_f64()).collect()).collect();
        Self { packed, rows, dim }
    }

    fn panels(&self) -> Panels<'_, T> {
        Panels::new(&self.packed, self.dim, self.rows.len()).unwrap()
    }
}

/// Compares all kernels of the tile with the definition, on every tier.
fn check<F: Form, T: Real>(points: &Points<T>, scope: &Scope<'_>, cap: usize) {
    let columns = at(scope.columns.start)..at(scope.columns.end);
    let want = oracle::within::<F>(&points.rows, at(scope.first), scope.radius, columns, scope.which);
    let rows = scope.radius.len();
    let want_counts: Vec<Idx> =
        (scope.first..).take(rows).map(|row| want.iter().filter(|found| found.0 == row).count() as Idx).collect();
    let want_entries: Vec<[Idx; 2]> = want.iter().map(|found| [found.0, found.1]).collect();
    let want_distances: Vec<f64> = want.iter().map(|found| found.2).collect();

    let mut counts = vec![-7; rows];
    scalar::count_within::<F, T>(points.panels(), scope, &mut counts);
    assert_eq!(counts, want_counts);
    let (mut entries, mut distances) = (vec![[-7; 2]; want.len()], vec![-7.0; want.len()]);
    scalar::emit_within::<F, T, [Idx; 2]>(points.panels(), scope, &counts, &mut entries, &mut distances);
    assert_eq!((&entries, &distances), (&want_entries, &want_distances));
    let nearest = |run: &mut dyn FnMut(Nearest<'_, [Idx; 2]>)| {
        let (mut lens, mut entries) = (vec![-7; rows], vec![[-7, -7]; rows * cap]);
        let mut distances = vec![-7.0; rows * cap];
        run(Nearest { lens: &mut lens, entries: &mut entries, distances: &mut distances });
        (lens, entries, distances)
    };
    let twin = nearest(&mut |out| scalar::nearest_within::<F, T, _>(points.panels(), scope, cap, out));
    for (slot, row) in (scope.first..).take(rows).enumerate() {
        let mut near = oracle::nearest(&want, row, cap);
        assert_eq!(at(twin.0[slot]), near.len());
        near.resize(cap, (row, f64::INFINITY));
        for (place, (column, distance)) in (slot * cap..).zip(near) {
            assert_eq!((twin.1[place], twin.2[place]), ([row, column], distance));
        }
    }

    for tier in Tier::all() {
        let mut counters = ConflictCounters::default();
        counts.fill(-7);
        count_within::<F, T>(tier, points.panels(), scope, &mut counts, &mut counters).unwrap();
        assert_eq!(counts, want_counts, "{tier}");
        assert_eq!((counters.pairs, counters.rows, counters.kept), (want.len() as u64, rows as u64, 0));
        entries.fill([-7; 2]);
        distances.fill(-7.0);
        let found =
            emit_within::<F, T, _>(tier, points.panels(), scope, &counts, &mut entries, &mut distances, &mut counters);
        assert_eq!(found, Ok(want.len()));
        assert_eq!((&entries, &distances), (&want_entries, &want_distances), "{tier}");
        assert_eq!((counters.pairs, counters.kept), (2 * want.len() as u64, want.len() as u64));
        let by_tier = nearest(&mut |out| {
            nearest_within::<F, T, _>(tier, points.panels(), scope, cap, out, &mut counters).unwrap();
        });
        assert_eq!(by_tier, twin, "{tier}");
    }
}

/// Coordinates on a small lattice (ties), spread, or far from the origin (where `f32` sees little).
fn coordinate() -> impl Strategy<Value = f64> {
    prop_oneof![(-3..4i32).prop_map(f64::from), -2.0..2.0f64, (0.0..1e-3f64).prop_map(|x| 1e7 + x)]
}

/// A scope over random points; which radius a row has depends on the metric, see [`Tiles::check`].
#[derive(Clone, Debug)]
struct Tiles {
    values: Vec<f64>,
    dim: usize,
    first: usize,
    picks: Vec<(u8, usize)>,
    columns: Range<Idx>,
    which: Which,
    radius: f64,
    cap: usize,
}

impl Tiles {
    fn any() -> impl Strategy<Value = Self> {
        let shape = (prop_oneof![1..5usize, 15..18usize, 31..35usize, 63..67usize], 0..40usize);
        shape.prop_flat_map(|(dim, len)| {
            let data = (vec(coordinate(), dim * len), vec((0..3u8, 0..40usize), len));
            let ranges = (0..=len, 0..=len, 0..=len, 0..=len);
            (data, ranges, any::<bool>(), 0.0..6.0f64, 1..5usize).prop_map(
                move |((values, mut picks), (first, rows, a, b), above, radius, cap)| {
                    picks.truncate(rows.min(len - first));
                    let which = if above { Which::Above } else { Which::All };
                    Self { values, dim, first, picks, columns: a.min(b) as Idx..a.max(b) as Idx, which, radius, cap }
                },
            )
        })
    }

    /// A third of the radii are distances that occur, so that ties are decided.
    fn check<F: Form, T: Real>(&self) {
        let points = Points::<T>::new(&self.values, self.dim);
        let distance = |a: &[f64], b: &[f64]| {
            oracle::finish::<F>(a.iter().zip(b).fold(0.0, |sum, (&a, &b)| F::step_f64(sum, a, b)))
        };
        let radius: Vec<f64> = (self.first..)
            .zip(&self.picks)
            .map(|(row, &(kind, other))| match kind {
                0 => self.radius,
                1 => 0.0,
                _ => distance(&points.rows[row], &points.rows[other % points.rows.len()]),
            })
            .collect();
        let (first, columns, which) = (self.first as Idx, self.columns.clone(), self.which);
        check::<F, T>(&points, &Scope { first, radius: &radius, columns, which }, self.cap);
    }
}

proptest! {
    #![proptest_config(trials::cases(256))]

    #[test]
    fn within_matches_oracle(tiles in Tiles::any()) {
        tiles.check::<SquaredEuclidean, f32>();
        tiles.check::<SquaredEuclidean, f64>();
        tiles.check::<Manhattan, f32>();
        tiles.check::<Chebyshev, f64>();
    }

    #[test]
    fn rows_split_in_two_equal_the_whole(values in vec(coordinate(), 3 * 37), cut in 0..38usize, r in 0.0..4.0f64) {
        let (points, tier) = (Points::<f32>::new(&values, 3), Tier::detect());
        let radius = [r; 37];
        let scope = |rows: Range<usize>| Scope {
            first: rows.start as Idx, radius: &radius[rows], columns: 0..37, which: Which::Above,
        };
        let mut counters = ConflictCounters::default();
        let (mut whole, mut split) = (vec![-7; 37], vec![-7; 37]);
        count_within::<SquaredEuclidean, _>(tier, points.panels(), &scope(0..37), &mut whole, &mut counters).unwrap();
        let (low, high) = split.split_at_mut(cut.min(37));
        for (rows, counts) in [(0..low.len(), low), (cut.min(37)..37, high)] {
            count_within::<SquaredEuclidean, _>(tier, points.panels(), &scope(rows), counts, &mut counters).unwrap();
        }
        prop_assert_eq!(&whole, &split);
        prop_assert_eq!(counters.distance_evals, 37 * 36);

        // The entries may be columns alone: all rows against all columns are then a graph as they stand.
        let all = Scope { which: Which::All, ..scope(0..37) };
        count_within::<SquaredEuclidean, _>(tier, points.panels(), &all, &mut whole, &mut counters).unwrap();
        let mut starts = [-7; 38];
        let edges = at(scan_degrees(&whole, &mut starts).unwrap());
        let (mut targets, mut distances) = (vec![-7; edges], vec![-7.0; edges]);
        let out = (&mut targets[..], &mut distances[..]);
        emit_within::<SquaredEuclidean, _, Idx>(tier, points.panels(), &all, &whole, out.0, out.1, &mut counters)
            .unwrap();
        let want = oracle::within::<SquaredEuclidean>(&points.rows, 0, &radius, 0..37, Which::All);
        let graph = Csr::new(&starts, &targets).unwrap();
        let got: Vec<(Idx, Idx)> = (0..37).flat_map(|v| graph.of(v).iter().map(move |&u| (v, u))).collect();
        prop_assert_eq!(got, want.iter().map(|found| (found.0, found.1)).collect::<Vec<_>>());
    }

    #[test]
    fn csr_matches_oracle(
        (vertices, pairs) in (1..30usize).prop_flat_map(|n| {
            (Just(n), vec(([0..n as Idx, 0..n as Idx], 0..4i32), 0..90))
        }),
        cut in 0..31usize,
    ) {
        let (ends, weights): (Vec<[Idx; 2]>, Vec<i32>) = pairs.into_iter().unzip();
        let list = Pairs::new(&ends, &weights, vertices).unwrap();
        let (mut starts, room) = (vec![-7; vertices + 1], 2 * ends.len());
        let (mut targets, mut out_weights) = (vec![-7; room], vec![-7; room]);
        let (mut spare_targets, mut spare_weights) = (vec![-7; room], vec![-7; room]);
        let mut counters = ConflictCounters::default();
        let edges = csr_from_pairs(
            &list,
            &mut starts,
            EdgesMut { targets: &mut targets, weights: &mut out_weights },
            EdgesMut { targets: &mut spare_targets, weights: &mut spare_weights },
            &mut Arena::new(&mut dirty(csr_from_pairs_blocks(vertices))),
            &mut counters,
        ).unwrap();
        targets.truncate(at(edges));
        out_weights.truncate(at(edges));
        let want = oracle::csr(&ends, &weights, vertices);
        prop_assert_eq!((&starts, &targets, &out_weights), (&want.0, &want.1, &want.2));
        prop_assert!(Csr::new(&starts, &targets).is_ok());
        let (kept, loops) = (at(edges) as u64 / 2, ends.iter().filter(|pair| pair[0] == pair[1]).count() as u64);
        prop_assert_eq!(kept + counters.repeated + loops, ends.len() as u64);
        prop_assert_eq!(counters, ConflictCounters { repeated: counters.repeated, ..ConflictCounters::default() });

        let phases = in_phases(&list, cut.min(vertices));
        prop_assert_eq!(phases, want);
    }

    #[test]
    fn a_cap_keeps_an_edge_if_either_end_does(values in vec(-2.0..2.0f64, 2 * 30), r in 0.5..3.0f64, cap in 1..6usize) {
        let (points, radius) = (Points::<f64>::new(&values, 2), [r; 30]);
        let scope = Scope { first: 0, radius: &radius, columns: 0..30, which: Which::All };
        let mut counters = ConflictCounters::default();
        let (mut lens, mut entries, mut distances) = ([-7; 30], vec![[-7; 2]; 30 * cap], vec![-7.0; 30 * cap]);
        let out = Nearest { lens: &mut lens, entries: &mut entries, distances: &mut distances };
        nearest_within::<SquaredEuclidean, _, _>(Tier::detect(), points.panels(), &scope, cap, out, &mut counters)
            .unwrap();
        let (starts, targets, _) = whole(&Pairs::new(&entries, &distances, 30).unwrap());

        let found = oracle::within::<SquaredEuclidean>(&points.rows, 0, &radius, 0..30, Which::All);
        let kept: Vec<(Idx, Idx)> = (0..30)
            .flat_map(|row| oracle::nearest(&found, row, cap).into_iter().map(move |(column, _)| (row, column)))
            .collect();
        let graph = Csr::new(&starts, &targets).unwrap();
        let edges: BTreeSet<(Idx, Idx)> = (0..30).flat_map(|v| graph.of(v).iter().map(move |&u| (v, u))).collect();
        prop_assert_eq!(&edges, &oracle::kept_by_either_end(&kept));
        prop_assert_eq!((counters.pairs, counters.kept), (found.len() as u64, kept.len() as u64));
        prop_assert_eq!(counters.avg_degree_before_cap(), found.len() as f64 / 30.0);
        prop_assert_eq!(counters.avg_degree_after_cap(graph.edges()), edges.len() as f64 / 30.0);
    }

    #[test]
    fn nearest_of_rows_matches_nearest_within(values in vec(-2.0..2.0f64, 2 * 30), r in 0.5..3.0f64, cap in 1..65usize) {
        let (points, radius, tier) = (Points::<f64>::new(&values, 2), [r; 30], Tier::detect());
        let scope = Scope { first: 0, radius: &radius, columns: 0..30, which: Which::All };
        let mut counters = ConflictCounters::default();
        let (mut lens, mut entries, mut distances) = ([-7; 30], vec![-7; 30 * cap], vec![-7.0; 30 * cap]);
        let out = Nearest { lens: &mut lens, entries: &mut entries, distances: &mut distances };
        nearest_within::<SquaredEuclidean, _, Idx>(tier, points.panels(), &scope, cap, out, &mut counters).unwrap();

        let found = oracle::within::<SquaredEuclidean>(&points.rows, 0, &radius, 0..30, Which::Above);
        let (ends, weights): (Vec<[Idx; 2]>, Vec<f64>) = found.iter().map(|f| ([f.0, f.1], f.2)).unzip();
        let (starts, targets, weights) = whole(&Pairs::new(&ends, &weights, 30).unwrap());
        let edges = Edges::new(&starts, &targets, &weights).unwrap();
        let mut from_rows = ConflictCounters::default();
        let (mut other_lens, mut other, mut other_distances) = ([-7; 30], vec![-7; 30 * cap], vec![-7.0; 30 * cap]);
        for (first, rows) in [(0usize, 11usize), (11, 19)] {
            let places = first * cap..(first + rows) * cap;
            let out = Nearest {
                lens: &mut other_lens[first..first + rows],
                entries: &mut other[places.clone()],
                distances: &mut other_distances[places],
            };
            nearest_of_rows(&edges, cap, first as Idx, out, &mut from_rows).unwrap();
        }
        prop_assert_eq!((lens, entries, distances), (other_lens, other, other_distances));
        prop_assert_eq!((counters.pairs, counters.kept), (from_rows.pairs, from_rows.kept));
    }
}

/// The graph of some pairs by [`csr_from_pairs`].
fn whole<W: Weight + Default>(pairs: &Pairs<'_, W>) -> (Vec<Idx>, Vec<Idx>, Vec<W>) {
    let (room, mut starts) = (2 * pairs.len(), vec![-7; pairs.vertices() + 1]);
    let (mut targets, mut weights) = (vec![-7; room], vec![W::default(); room]);
    let (mut spare_targets, mut spare_weights) = (vec![-7; room], vec![W::default(); room]);
    let out = EdgesMut { targets: &mut targets, weights: &mut weights };
    let spare = EdgesMut { targets: &mut spare_targets, weights: &mut spare_weights };
    let mut memory = dirty(csr_from_pairs_blocks(pairs.vertices()));
    let (arena, counters) = (&mut Arena::new(&mut memory), &mut ConflictCounters::default());
    let edges = at(csr_from_pairs(pairs, &mut starts, out, spare, arena, counters).unwrap());
    targets.truncate(edges);
    weights.truncate(edges);
    (starts, targets, weights)
}

/// The same by its phases, each over two ranges of vertices that meet at `cut`.
fn in_phases(pairs: &Pairs<'_, i32>, cut: usize) -> (Vec<Idx>, Vec<Idx>, Vec<i32>) {
    let vertices = pairs.vertices();
    let ranges = [0..cut as Idx, cut as Idx..vertices as Idx];
    let mut memory = dirty(scatter_blocks(cut.max(vertices - cut)));
    let mut arena = Arena::new(&mut memory);
    let (mut degrees, mut repeated, mut starts) = (vec![-7; vertices], vec![-7; vertices + 1], vec![-7; vertices + 1]);

    let (low, high) = degrees.split_at_mut(cut);
    count_degrees(pairs, 0, low).unwrap();
    count_degrees(pairs, cut as Idx, high).unwrap();
    let len = at(scan_degrees(&degrees, &mut repeated).unwrap());
    let (mut rows, mut row_weights) = (vec![-7; len], vec![-7; len]);
    let (mut sorted, mut sorted_weights) = (vec![-7; len], vec![-7; len]);
    for range in ranges.clone() {
        let places = at(repeated[at(range.start)])..at(repeated[at(range.end)]);
        let out = EdgesMut { targets: &mut rows[places.clone()], weights: &mut row_weights[places.clone()] };
        assert_eq!(scatter_pairs(pairs, &repeated, range, out, &mut arena).map(at), Ok(places.len()));
    }
    let edges = Edges::new(&repeated, &rows, &row_weights).unwrap();
    for range in ranges.clone() {
        let places = at(repeated[at(range.start)])..at(repeated[at(range.end)]);
        let out = EdgesMut { targets: &mut sorted[places.clone()], weights: &mut sorted_weights[places.clone()] };
        assert_eq!(sort_rows(&edges, range, out, &mut arena).map(at), Ok(places.len()));
    }
    let edges = Edges::new(&repeated, &sorted, &sorted_weights).unwrap();
    let (low, high) = degrees.split_at_mut(cut);
    count_unique(&edges, 0, low).unwrap();
    count_unique(&edges, cut as Idx, high).unwrap();
    let len = at(scan_degrees(&degrees, &mut starts).unwrap());
    let (mut targets, mut weights) = (vec![-7; len], vec![-7; len]);
    for range in ranges {
        let places = at(starts[at(range.start)])..at(starts[at(range.end)]);
        let out = EdgesMut { targets: &mut targets[places.clone()], weights: &mut weights[places] };
        copy_unique(&edges, &starts, range, out).unwrap();
    }
    (starts, targets, weights)
}

#[test]
fn panels_that_just_fit_and_just_do_not() {
    for len in trials::thin(3, [0, 1, 7, 8, 9, 15, 16, 17, 33]) {
        let values: Vec<f64> = (0..2 * len).map(|i| f64::from(i * 7 % 5)).collect();
        let (single, double) = (Points::<f32>::new(&values, 2), Points::<f64>::new(&values, 2));
        let radius = vec![2.0; len as usize];
        for which in [Which::All, Which::Above] {
            let scope = Scope { first: 0, radius: &radius, columns: 0..len, which };
            check::<SquaredEuclidean, f32>(&single, &scope, 3);
            check::<SquaredEuclidean, f64>(&double, &scope, 3);
        }
    }
}

#[test]
fn ranges_at_the_ends_of_the_floating_point_range_are_decided_exactly() {
    let huge = [0.0, 1e19, 3e19, -1e19, 3e38, -3e38, 1e-30, -1e-30, 1e-45, 0.0];
    let points = Points::<f32>::new(&huge, 1);
    for radius in [0.0, 1e-46, 2e-45, 1e-30, 2e-30, 1e19, 2e19, 6e38, 1e200, f64::INFINITY] {
        let radius = [radius; 10];
        let scope = Scope { first: 0, radius: &radius, columns: 0..10, which: Which::All };
        check::<SquaredEuclidean, f32>(&points, &scope, 64);
        check::<Manhattan, f32>(&points, &scope, 2);
    }
    let points = Points::<f64>::new(&[0.0, 1e160, -1e160, 1e-170, 5e-324], 1);
    for radius in [0.0, 5e-324, 1e-170, 1e160, 1e161, f64::INFINITY] {
        let radius = [radius; 5];
        let scope = Scope { first: 0, radius: &radius, columns: 0..5, which: Which::All };
        check::<SquaredEuclidean, f64>(&points, &scope, 1);
    }
}

#[test]
fn a_tile_that_is_far_away_ends_early() {
    let values: Vec<f64> = (0..64).flat_map(|row| [f64::from(row / 16 * 100); 40]).collect();
    let points = Points::<f32>::new(&values, 40);
    let (mut counters, mut counts) = (ConflictCounters::default(), [-7; 64]);
    let scope = Scope { first: 0, radius: &[1.0; 64], columns: 0..64, which: Which::All };
    count_within::<SquaredEuclidean, _>(Tier::detect(), points.panels(), &scope, &mut counts, &mut counters).unwrap();
    assert_eq!((counts, counters.tiles_cut, counters.settled), ([15; 64], 16 * 3, 0));
}

#[test]
fn weights_may_be_nothing_or_distances() {
    let ends = [[0, 1], [1, 0], [2, 2], [1, 2]];
    assert_eq!(whole(&Pairs::new(&ends, &[(); 4], 3).unwrap()), (vec![0, 1, 3, 4], vec![1, 0, 2, 1], vec![(); 4]));
    let (_, _, weights) = whole(&Pairs::new(&ends, &[2.0, 1.5, 0.0, 4.0], 3).unwrap());
    assert_eq!(weights, [1.5, 1.5, 4.0, 4.0]);
    let (_, _, weights) = whole(&Pairs::new(&ends, &[f32::NAN, 1.5, 0.0, 4.0], 3).unwrap());
    assert_eq!(weights, [1.5, 1.5, 4.0, 4.0], "a number is less than NaN");
    let none: (Vec<Idx>, Vec<Idx>, Vec<i32>) = whole(&Pairs::new(&[], &[], 0).unwrap());
    assert_eq!(none, (vec![0], vec![], vec![]));
}

#[test]
fn an_unused_place_is_marked() {
    let points = Points::<f64>::new(&[0.0, 1.0, 50.0], 1);
    let (mut lens, mut entries, mut distances) = ([-7; 3], [-7; 6], [-7.0; 6]);
    let scope = Scope { first: 0, radius: &[1.0; 3], columns: 0..3, which: Which::All };
    let out = Nearest { lens: &mut lens, entries: &mut entries, distances: &mut distances };
    let mut counters = ConflictCounters::default();
    nearest_within::<Manhattan, _, _>(Tier::detect(), points.panels(), &scope, 2, out, &mut counters).unwrap();
    assert_eq!((lens, entries), ([1, 1, 0], [1, NONE, 0, NONE, NONE, NONE]));
    assert_eq!(distances, [1.0, f64::INFINITY, 1.0, f64::INFINITY, f64::INFINITY, f64::INFINITY]);
    let mut sum = counters;
    sum.merge(&counters);
    let twice =
        ConflictCounters { distance_evals: 12, tiles_cut: 0, settled: 0, pairs: 4, rows: 6, kept: 4, repeated: 0 };
    assert_eq!(sum, twice);
}
