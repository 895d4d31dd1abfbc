use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::arena::Block;
use crate::dist::{Chebyshev, Manhattan, SquaredEuclidean};
use crate::index::NONE;
use crate::tree::promises::{pack, uniform};
use crate::tree::{Within, scalar};
use crate::trials;
use crate::view::Panels;

/// Everything by the published formula, sorted.
fn brute<T: Real, F: Form>(rows: &[T], dim: usize, query: &[T], except: Idx, k: usize) -> Vec<(f64, Idx)> {
    let distance = |row: &[T]| {
        let sum = query.iter().zip(row).fold(0.0, |sum, (q, x)| F::step_f64(sum, q.to_f64(), x.to_f64()));
        if F::unfinish(2.0) == 4.0 { libm::sqrt(sum) } else { sum }
    };
    let mut all: Vec<(f64, Idx)> = rows.chunks_exact(dim).map(distance).zip(100..).collect();
    all.retain(|(_, id)| *id != except);
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all.resize(k, (f64::INFINITY, NONE));
    all
}

/// Returns the pairs that came from dot products, on the tier of this machine.
fn check<T: Real, F: Form>(rows: &[T], queries: &[T], dim: usize, k: usize) -> u64 {
    let (len, count) = (rows.len() / dim, queries.len() / dim);
    let packed = pack(rows, dim);
    let metric = Coordinates::<T, F>::new(Panels::new(&packed, dim, len).unwrap());
    let ids: Vec<Idx> = (100..100 + len as Idx).collect();
    let except: Vec<Idx> = (0..count as Idx).map(|query| if query % 3 == 0 { 100 + query } else { NONE }).collect();
    let asked = Rows::new(queries, dim).unwrap();
    let (mut plain, mut plain_found) = (vec![-7.0; count * k], vec![-7; count * k]);
    scalar::scan(&metric, &ids, asked, &except, &mut plain, &mut plain_found);
    let mut by_dots = 0;
    for tier in Tier::all() {
        let mut memory = vec![Block::splat(0xdead_beef); scan_blocks::<T>(dim)];
        let (mut distances, mut found) = (vec![-7.0; count * k], vec![-7; count * k]);
        let arena = &mut Arena::new(&mut memory);
        let counters = scan(tier, &metric, &ids, asked, &except, &mut distances, &mut found, arena).unwrap();
        assert_eq!(counters.distance_evals, (len * count) as u64);
        assert!(counters.by_dots <= counters.distance_evals && counters.settled <= counters.distance_evals);
        assert!(counters.settled >= found.iter().filter(|&&id| id != NONE).count() as u64);
        assert_eq!((&distances, &found), (&plain, &plain_found), "{tier}");
        by_dots = counters.by_dots;
        for (query, row) in queries.chunks_exact(dim).enumerate() {
            let both = distances[query * k..][..k].iter().copied().zip(found[query * k..][..k].iter().copied());
            let got: Vec<(f64, Idx)> = both.collect();
            assert_eq!(got, brute::<T, F>(rows, dim, row, except[query], k), "{tier}, query {query}");
        }
    }
    by_dots
}

fn values<T: Real>(seed: u64, count: usize, ties: bool) -> Vec<T> {
    let value = |at| if ties { (uniform(seed, at) * 3.0) as i32 as f64 } else { uniform(seed, at) - 0.5 };
    (0..count).map(|at| T::from_f64(value(at))).collect()
}

#[test]
fn a_scan_finds_what_brute_force_finds() {
    for (len, dim) in trials::thin(4, [(0, 3), (1, 1), (15, 2), (16, 8), (17, 17), (257, 20), (600, 64)]) {
        for count in trials::lengths([0, 1, 5, SCAN_QUERIES]) {
            for ties in [false, true] {
                let (rows, queries) = (values::<f32>(1, len * dim, ties), values::<f32>(2, count * dim, ties));
                check::<f32, SquaredEuclidean>(&rows, &queries, dim, 8);
                check::<f32, Manhattan>(&rows, &queries, dim, 1);
                let (rows, queries) = (values::<f64>(1, len * dim, ties), values::<f64>(2, count * dim, ties));
                check::<f64, Chebyshev>(&rows, &queries, dim, 8);
            }
        }
    }
}

#[test]
fn dot_products_are_used_where_they_tell_points_apart() {
    let (len, dim, count) = (40 * 16, trials::up_to(40), if cfg!(miri) { 3 } else { 9 });
    let run = (PANELS * 16 * count) as u64;
    let shifted = |seed, count: usize, spread: f64, by: f64| -> Vec<f32> {
        values::<f64>(seed, count * dim, false).into_iter().map(|value| (spread * value + by) as f32).collect()
    };
    let used = |spread: f64, by: f64, k: usize| {
        let rows = shifted(3, len, spread, by);
        let mut queries = shifted(4, count, spread, by);
        queries[..dim].copy_from_slice(&rows[7 * dim..][..dim]); // one is a point, and has others left out
        check::<f32, SquaredEuclidean>(&rows, &queries, dim, k)
    };
    let most = (len * count) as u64 - run;
    assert_eq!(used(1.0, 0.0, 8), most, "all but the first run, before which nothing is known");
    assert_eq!(used(1e-12, 0.0, 8), most, "at any scale");
    assert_eq!(used(1.0, 0.0, PANELS * 16 + 1), most - run, "and two before there are that many");
    assert_eq!(used(1e-3, 10.0, 8), 0, "points far from the origin are not told apart");
    // Differences of the order of the error: whatever is used, the answers are those of the formula.
    for by in trials::thin(3, [0.3, 1.0, 3.0]) {
        used(0.1, by, 3);
    }
    let (rows, queries) = (shifted(3, len, 1.0, 0.0), shifted(4, count, 1.0, 0.0));
    assert_eq!(check::<f32, Manhattan>(&rows, &queries, dim, 8), 0);
    let huge: Vec<f32> = rows.iter().map(|value| 7e18 * value).collect();
    assert_eq!(check::<f32, SquaredEuclidean>(&huge, &queries, dim, 8), 0, "squares near the largest number");
}

#[test]
fn a_sweep_offers_each_visitor_what_is_in_its_reach() {
    let (len, dim, count) = (33 * 16 + 5, 24, 7);
    let (rows, queries) = (values::<f32>(5, len * dim, false), values::<f32>(6, count * dim, false));
    let packed = pack(&rows, dim);
    let metric = Coordinates::<f32, SquaredEuclidean>::new(Panels::new(&packed, dim, len).unwrap());
    let ids: Vec<Idx> = (0..len as Idx).collect();
    // Without a tier, by the plain twin.
    for tier in Tier::all().map(Some).chain([None]) {
        let mut memory = vec![Block::splat(0xdead_beef); scan_blocks::<f32>(dim)];
        let (mut near, mut distances) = (vec![NONE; count * len], vec![0.0; count * len]);
        let radius = |query: usize| 1.2 + 0.1 * query as f64;
        let outs = near.chunks_exact_mut(len).zip(distances.chunks_exact_mut(len)).enumerate();
        let visitor = |(query, (ids_out, out))| Within::new(&ids, NONE, radius(query), ids_out, out).unwrap();
        let mut visitors: Vec<_> = outs.map(visitor).collect();
        let asked = Rows::new(&queries, dim).unwrap();
        if let Some(tier) = tier {
            let counters = sweep(tier, &metric, asked, &mut visitors, &mut Arena::new(&mut memory)).unwrap();
            assert_eq!(counters.by_dots, counters.distance_evals, "caps are known from the beginning");
        } else {
            scalar::sweep(&metric, asked, &mut visitors);
        }
        let found: Vec<usize> = visitors.iter().map(|visitor| visitor.found().unwrap() as usize).collect();
        for (query, row) in queries.chunks_exact(dim).enumerate() {
            let mut want = brute::<f32, SquaredEuclidean>(&rows, dim, row, NONE, len);
            want.retain(|(distance, _)| *distance <= radius(query));
            want.sort_by_key(|(_, id)| *id);
            let place = query * len..query * len + found[query];
            let got = distances[place.clone()].iter().copied().zip(near[place].iter().map(|id| id + 100));
            assert_eq!(got.collect::<Vec<_>>(), want, "{tier:?}, query {query}: in the order of the points");
        }
        assert!(found.iter().any(|&found| found > 0 && found < len));
        let mut one = [Within::new(&ids, NONE, 1.0, &mut [], &mut []).unwrap()];
        let refused = sweep(tier.unwrap_or(Tier::PORTABLE), &metric, asked, &mut one, &mut Arena::new(&mut memory));
        assert!(matches!(refused, Err(KernelError::Shape { what: "visitors", want: 7, got: 1 })));
    }
}

proptest! {
    #![proptest_config(trials::cases(32))]
    #[test]
    fn any_block_is_scanned_exactly(
        seed in any::<u64>(), len in 0..trials::up_to(400usize), dim in 1usize..24, count in 1..=trials::up_to(SCAN_QUERIES), k in 1usize..40,
        ties in any::<bool>(),
    ) {
        let (rows, queries) = (values::<f32>(seed, len * dim, ties), values::<f32>(!seed, count * dim, ties));
        check::<f32, SquaredEuclidean>(&rows, &queries, dim, k);
    }
}

#[test]
fn wrong_shapes_are_refused_before_anything_is_written() {
    let packed = pack(&values::<f32>(1, 40, false), 2);
    let metric = Coordinates::<f32, SquaredEuclidean>::new(Panels::new(&packed, 2, 20).unwrap());
    let (ids, queries) = (vec![0; 20], values::<f32>(2, 2 * (SCAN_QUERIES + 1), false));
    let call = |ids: &[Idx], queries: &[f32], except: usize, out: usize, blocks: usize| {
        let (mut distances, mut found, except) = (vec![-7.0; out], vec![-7; out], vec![NONE; except]);
        let mut memory = vec![Block::default(); blocks];
        let (queries, arena) = (Rows::new(queries, 2).unwrap(), &mut Arena::new(&mut memory));
        let refused = scan(Tier::detect(), &metric, ids, queries, &except, &mut distances, &mut found, arena);
        assert!(refused.is_err() && distances.iter().all(|&distance| distance == -7.0));
        refused.unwrap_err()
    };
    let blocks = scan_blocks::<f32>(2);
    assert!(matches!(call(&ids[1..], &queries[..4], 2, 6, blocks), KernelError::Shape { what: "ids", .. }));
    assert!(matches!(call(&ids, &queries[..4], 1, 6, blocks), KernelError::Shape { what: "except", .. }));
    assert!(matches!(call(&ids, &queries[..4], 2, 5, blocks), KernelError::Shape { what: "distances", .. }));
    assert!(matches!(call(&ids, &queries[..4], 2, 0, blocks), KernelError::Least { what: "k", .. }));
    assert!(matches!(call(&ids, &queries[..4], 2, 6, blocks - 1), KernelError::Scratch { .. }));
    let (all, more) = (&queries[..], SCAN_QUERIES + 1);
    assert!(matches!(call(&ids, all, more, more, blocks), KernelError::Shape { what: "queries", .. }));
}
