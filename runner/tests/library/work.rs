//! What queries cost, in counted work: the counts do not depend on the machine, and their weights are those by which the index
//! itself chooses how to answer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use covertree::build::{BatchOrder, Conflict, MisForm, Prefix};
use covertree::generate::{Distribution, GenerateConfig};
use covertree::points::Points;
use covertree::space::ItemSpace;
use covertree::{AnyIndex, BuildConfig, Index, MetricName};
use covertree_kernels::hash::mix64;
use covertree_kernels::simd::Tier;

const ROWS: usize = 6_000;

/// Points, and as many queries as are answered one by one.
fn points(distribution: Distribution, dim: usize) -> (Points, Points) {
    let config = GenerateConfig { distribution, rows: ROWS + 900, dim, seed: 11, ..GenerateConfig::default() };
    let all = config.generate().unwrap();
    let rows = |from: usize, to: usize| all.take_rows(&(from as i32..to as i32).collect::<Vec<_>>()).unwrap();
    (rows(0, ROWS), rows(ROWS, ROWS + 900))
}

/// A pair counts 4, a settled distance 60, a group that is opened 80, one that is ruled out 4.
fn work(index: &AnyIndex, queries: &Points) -> f64 {
    let (_, work) = index.knn(queries, 8).unwrap();
    (4 * work.distance_evals + 60 * work.settled + 80 * work.groups + 4 * work.pruned) as f64
}

/// Sets of the kinds that trees are stored in: cells of coordinates, of projections, and balls.
fn sets() -> [(Distribution, usize, MetricName); 6] {
    [
        (Distribution::Gaussian, 2, MetricName::Euclidean),
        (Distribution::Clusters, 3, MetricName::Manhattan),
        (Distribution::Annulus, 3, MetricName::Euclidean),
        (Distribution::Gaussian, 8, MetricName::Chebyshev),
        (Distribution::Manifold, 24, MetricName::Euclidean),
        (Distribution::Manifold, 20, MetricName::Manhattan),
    ]
}

#[test]
fn a_tree_that_changed_costs_at_most_a_third_more_than_a_fresh_one() {
    for (distribution, dim, metric) in sets() {
        let (all, queries) = points(distribution, dim);
        let config = BuildConfig::default();
        let rows = |from: usize, to: usize| all.take_rows(&(from as i32..to as i32).collect::<Vec<_>>()).unwrap();
        let mut index = AnyIndex::build(&rows(0, 600), metric, &config).unwrap();
        let mut live: Vec<i32> = (0..600).collect();
        let mut first = 600;
        for step in 0..12u64 {
            let count = if step % 3 == 0 { 1 + step as usize } else { (ROWS - 600) / 8 }.min(ROWS - first);
            index.insert("points", &rows(first, first + count)).unwrap();
            live.extend(first as i32..(first + count) as i32);
            first += count;
            let gone = |id: &i32| mix64(step << 32 ^ *id as u64).is_multiple_of(9);
            index.delete(&live.iter().copied().filter(gone).collect::<Vec<_>>()).unwrap();
            live.retain(|id| !gone(id));
        }
        let fresh = AnyIndex::build(&all.take_rows(&live).unwrap(), metric, &config).unwrap();
        let (changed, fresh) = (work(&index, &queries), work(&fresh, &queries));
        assert!(changed <= 1.3 * fresh, "{distribution} x {dim}, {metric}: {:.3}", changed / fresh);
    }
}

#[test]
fn no_strategy_makes_queries_cost_a_tenth_more_than_the_whole_graph() {
    for (distribution, dim, metric) in sets() {
        let (all, queries) = points(distribution, dim);
        let dense = BuildConfig { conflict: Conflict::Dense, prefix: Prefix::Doubling, ..BuildConfig::default() };
        let reference = work(&AnyIndex::build(&all, metric, &dense).unwrap(), &queries);
        let strategies = [
            BuildConfig { conflict: Conflict::Grid, ..dense.clone() },
            BuildConfig { conflict: Conflict::TwoPhase, ..dense.clone() },
            BuildConfig { conflict: Conflict::Parent, group_cap: 64, ..dense.clone() },
            BuildConfig { prefix: Prefix::Adaptive, batch_order: BatchOrder::Morton, ..dense.clone() },
            BuildConfig { degree_cap: Some(16), mis: MisForm::Luby, ..dense.clone() },
            BuildConfig { chain_cap: Some(3), shard_pairs: Some(1_000), ..dense.clone() },
            BuildConfig { batch_order: BatchOrder::Random, ..dense.clone() },
            BuildConfig { batch_order: BatchOrder::Natural, ..dense.clone() },
            BuildConfig { batch_order: BatchOrder::Hilbert, conflict: Conflict::Auto, ..dense.clone() },
            BuildConfig { prefix: Prefix::Whole, conflict: Conflict::Grid, ..dense.clone() },
            BuildConfig::default(),
        ];
        for config in strategies {
            let ratio = work(&AnyIndex::build(&all, metric, &config).unwrap(), &queries) / reference;
            assert!(ratio <= 1.1, "{distribution} x {dim}, {metric}: {ratio:.3} with {config:?}");
        }
    }
}

/// What a function costs is not known, so what counts is how often it is called: among 6 000 points in space, for the distances to the
/// pivots (five or six), the eight that are found, and those that the pivots do not tell from them.
#[test]
fn a_function_is_called_some_twenty_times_for_eight_neighbours_in_space() {
    let (all, queries) = points(Distribution::Gaussian, 3);
    let rows = |points: &Points| points.to_f64().as_chunks::<3>().0.to_vec();
    let called = AtomicU64::new(0);
    let distance = |a: &[f64; 3], b: &[f64; 3]| {
        called.fetch_add(1, Relaxed);
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>()
    };
    let space = ItemSpace::new(rows(&all), &distance).unwrap();
    let index = Index::build(space, &BuildConfig::default(), Tier::detect()).unwrap();
    let queries = rows(&queries);
    called.store(0, Relaxed);
    index.knn(queries.len(), 8, |row| index.space().outside(&queries[row], row), |_| -1).unwrap();
    let calls = called.load(Relaxed) as f64 / queries.len() as f64;
    assert!((15.0..27.0).contains(&calls), "{calls} calls a query");
}
