//! What builds promise beyond valid trees: the same bytes on any number of threads, maximal sets, memory, and telemetry that
//! says what was done.

use covertree_kernels::index::at;
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::TWIN;

use super::conflict::tests::{arrays, on_threads, strategies};
use super::{BatchOrder, BuildConfig, Conflict, MisForm, Prefix, level_below};
use crate::generate::{Distribution, GenerateConfig};
use crate::points::{Dtype, Points};
use crate::{AnyIndex, MetricName, Telemetry, Workers};

fn points(distribution: Distribution, rows: usize, dim: usize) -> Points {
    GenerateConfig { distribution, rows, dim, dtype: Dtype::F64, ..GenerateConfig::default() }.generate().unwrap()
}

fn build(points: &Points, metric: MetricName, config: &BuildConfig, workers: &Workers) -> (AnyIndex, Telemetry) {
    AnyIndex::build_with(Tier::detect(), "points", points, metric, config, workers).unwrap()
}

/// Batches of thousands of points, so that every stage has several tasks.
#[test]
fn many_tasks_make_the_same_tree_as_one() {
    let sets = [(Distribution::Gaussian, 3), (Distribution::Clusters, 2), (Distribution::Gaussian, 17)];
    for (number, config) in strategies().into_iter().enumerate() {
        let (distribution, dim) = sets[number % 3];
        let metric = if number % 2 == 0 { MetricName::Manhattan } else { MetricName::Euclidean };
        let points = points(distribution, 6_000, dim);
        let made = |threads| {
            on_threads(threads, || {
                let (index, telemetry) = build(&points, metric, &config, &Workers::new());
                let rows = telemetry.batches.iter().map(|row| (row.selected, row.pairs_after, row.distance_evals));
                (arrays(index.tree()), rows.collect::<Vec<_>>(), telemetry.notes)
            })
        };
        assert!(made(1) == made(2), "{distribution} x {dim}, {metric}: {config:?}");
    }
}

/// In one batch behind the root, a point first wants the level below its distance from the root. Wherever it ends below
/// that, a point that kept the level it left is within the level's radius: by brute force over all points, and so over two
/// rings of cells, which are as wide as the radius. No two that kept a level are.
#[test]
fn cells_leave_maximal_sets() {
    for distribution in [Distribution::Annulus, Distribution::Clusters] {
        for (dim, grid_shifts) in [(2, 1), (2, 3), (3, 1), (3, 4)] {
            let points = points(distribution, 500, dim);
            let config =
                BuildConfig { conflict: Conflict::Grid, prefix: Prefix::Whole, grid_shifts, ..BuildConfig::default() };
            let (index, telemetry) = build(&points, MetricName::Euclidean, &config, &Workers::new());
            assert!(telemetry.totals().leaders_before_local_mis > 0);
            let (tree, values) = (index.tree(), points.to_f64());
            let (ladder, row) = (tree.ladder().view(), |id: i32| &values[at(id) * dim..][..dim]);
            let distance = |a: usize, b: usize| {
                let pairs = row(tree.ids()[a]).iter().zip(row(tree.ids()[b]));
                pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
            };
            let root = tree.levels().iter().position(|&level| level == 0).unwrap();
            let mut left = 0;
            for a in 0..tree.len() {
                let level = tree.levels()[a];
                if level == TWIN || a == root {
                    continue;
                }
                let stays = |b: &usize, level| *b != a && tree.levels()[*b] >= level;
                let near = |level: i32| {
                    (0..tree.len()).filter(|b| stays(b, level) && distance(a, *b) <= ladder.radius(level)).count()
                };
                assert_eq!(near(level), 0, "{distribution} x {dim}: two stay on level {level}");
                for above in level + 1..=level_below(distance(a, root), ladder) {
                    assert!(near(above) > 0, "{distribution} x {dim}: nobody keeps a point off level {above}");
                    left += 1;
                }
            }
            assert!(left > points.rows(), "points move down: {left}");
        }
    }
}

#[test]
fn a_second_build_of_the_same_size_grows_no_arena() {
    let few = points(Distribution::Gaussian, 3_000, 3);
    for config in strategies() {
        let workers = Workers::new();
        let told = || {
            let telemetry = build(&few, MetricName::Euclidean, &config, &workers).1;
            (telemetry.arena_bytes, telemetry.arena_growths)
        };
        let first = told();
        assert!(first.0 > 0 && first.1 > 0);
        assert_eq!(told(), first, "{config:?}");
    }
}

/// Beside one packed copy of the points, as the metric keeps them, a tree has at most 32 bytes for each. Projections, which stand ahead of the
/// coordinates where there are more than sixteen, belong to the points.
#[test]
fn a_tree_takes_at_most_thirty_two_bytes_a_point() {
    for dtype in [Dtype::F32, Dtype::F64] {
        for (dim, metric) in [
            (2, MetricName::Euclidean),
            (3, MetricName::Euclidean),
            (3, MetricName::Angular),
            (8, MetricName::Manhattan),
            (16, MetricName::Euclidean),
            (40, MetricName::Manhattan),
            (40, MetricName::Chebyshev),
        ] {
            let rows = 4_096;
            let points = GenerateConfig { rows, dim, dtype, ..GenerateConfig::default() }.generate().unwrap();
            let index = build(&points, metric, &BuildConfig::default(), &Workers::new()).0;
            // Directions are kept in double precision.
            let narrow = dtype == Dtype::F32 && metric != MetricName::Angular;
            let packed = rows * dim * if narrow { 4 } else { 8 };
            let each = (index.bytes() - packed) as f64 / rows as f64;
            assert!(each <= 32.0, "{dim} {metric} {dtype:?}: {each}");
        }
    }
}

#[test]
fn caps_and_shards_say_what_they_did() {
    let crowd = points(Distribution::Clusters, 4_000, 3);
    let plain = BuildConfig { conflict: Conflict::Dense, prefix: Prefix::Doubling, ..BuildConfig::default() };
    let sorted = BuildConfig { batch_order: BatchOrder::Hilbert, ..plain.clone() };
    let told = |config: &BuildConfig| build(&crowd, MetricName::Euclidean, config, &Workers::new());
    let (whole, reference) = told(&sorted);
    let all = reference.totals();
    assert!(all.pairs_before > 0 && all.pairs_after == all.pairs_before && all.spills == 0 && all.chains_deferred == 0);

    let capped = told(&BuildConfig { degree_cap: Some(4), ..sorted.clone() }).1;
    let most = capped.batches.iter().map(|row| row.avg_degree_after_cap).fold(0.0, f64::max);
    assert!(most <= 4.0 && capped.totals().pairs_after < capped.totals().pairs_before, "{most}");

    let (index, sharded) = told(&BuildConfig { shard_pairs: Some(64), ..sorted.clone() });
    assert!(sharded.totals().shards > all.shards, "{} {}", sharded.totals().shards, all.shards);
    assert_eq!((index.tree().ids(), index.tree().parents()), (whole.tree().ids(), whole.tree().parents()));

    let parent = BuildConfig { conflict: Conflict::Parent, ..sorted.clone() };
    assert_eq!(told(&parent).1.totals().spills, 0);
    assert!(told(&BuildConfig { group_cap: 8, ..parent }).1.totals().spills > 0);

    let cut = told(&BuildConfig { chain_cap: Some(1), ..plain.clone() }).1;
    let deferred = cut.totals().chains_deferred;
    let finished: u64 = cut.batches.iter().map(|row| row.chains_finished).sum();
    assert!(0 < finished && finished <= deferred, "{finished} of {deferred}");

    let rounds = |mis| told(&BuildConfig { mis, ..sorted.clone() }).1.totals().mis_iterations;
    assert!(rounds(MisForm::Luby) >= rounds(MisForm::Fast));
}

/// Each level of a batch has a row, with all its points, whether they are in conflict or not.
#[test]
fn level_rows_count_every_point() {
    let points = points(Distribution::Gaussian, 2_000, 3);
    for conflict in [Conflict::Dense, Conflict::TwoPhase, Conflict::Grid, Conflict::Parent] {
        let config = BuildConfig { conflict, prefix: Prefix::Doubling, ..BuildConfig::default() };
        let telemetry = build(&points, MetricName::Euclidean, &config, &Workers::new()).1;
        for batch in &telemetry.batches[1..] {
            let rows = telemetry.levels.iter().filter(|row| row.batch_index == batch.batch_index);
            let selected: usize = rows.map(|row| row.selected).sum();
            assert!(selected <= batch.candidates, "{conflict} {}", batch.batch_index);
            if conflict != Conflict::TwoPhase {
                assert_eq!(selected, batch.candidates, "{conflict} {}: all find a level", batch.batch_index);
            }
        }
    }
}
