//! Every strategy on every kind of points: the tree obeys all laws, answers exactly, and is the same on any number of threads.

use std::sync::Arc;

use covertree_kernels::index::Idx;
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::PivotItem;
use proptest::prelude::*;
use proptest::sample::select;

use crate::build::{BatchOrder, BuildConfig, Conflict, MisForm, Prefix};
use crate::error::Error;
use crate::generate::{Distribution, GenerateConfig};
use crate::points::{Dtype, Points};
use crate::space::tests::{Closure, numbers};
use crate::space::{ItemSpace, Space};
use crate::tree::Tree;
use crate::tree::validate::{SelfQueries, ValidateConfig, validate};
use crate::{Answers, AnyIndex, Index, MetricName, Telemetry, Workers, brute};

/// A metric of the tests: one that has a name, or a closure over rows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Under {
    Name(MetricName),
    Closure,
}

/// One build.
#[derive(Clone, Debug)]
struct Case {
    config: BuildConfig,
    distribution: Distribution,
    rows: usize,
    dim: usize,
    dtype: Dtype,
    under: Under,
}

/// The square root of the sum of absolute differences, which is a metric.
fn rooted(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>().sqrt()
}

type Items = ItemSpace<u32, Closure>;

/// An index over items, as a validation wants to see it.
struct Members<'a> {
    index: &'a Index<Items>,
    kernel: <Items as Space>::Kernel<'a>,
}

impl<'a> SelfQueries for Members<'a> {
    type Metric = <Items as Space>::Kernel<'a>;
    type Room = ();

    fn len(&self) -> usize {
        self.index.len()
    }

    fn metric(&self) -> &Self::Metric {
        &self.kernel
    }

    fn query<'q>(&'q self, position: usize, (): &'q mut ()) -> PivotItem<'q, u32> {
        self.index.space().member(self.index.id(position) as usize) // a row
    }
}

pub(in crate::build) fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// All of a tree, bit for bit; its points are packed in this order.
pub(in crate::build) fn arrays(tree: &Tree) -> Vec<Vec<u8>> {
    let parts = tree.parts();
    vec![
        bytemuck::cast_slice(tree.ids()).to_vec(),
        bytemuck::cast_slice(tree.levels()).to_vec(),
        bytemuck::cast_slice(tree.parents()).to_vec(),
        bytemuck::cast_slice(tree.reaches()).to_vec(),
        bytemuck::cast_slice(parts.groups).to_vec(),
        parts.waiting.to_ne_bytes().to_vec(),
        tree.ladder().scale().to_ne_bytes().to_vec(),
    ]
}

/// The counts of a build, which do not depend on the threads.
fn counts(telemetry: &Telemetry) -> Vec<(usize, usize, usize, u64, u64)> {
    let rows = telemetry.batches.iter();
    rows.map(|row| (row.batch_size, row.selected, row.dominated, row.pairs_after, row.local_mis_nodes)).collect()
}

impl Case {
    fn points(&self, rows: usize, seed: u64) -> Points {
        let Case { distribution, dim, dtype, .. } = *self;
        GenerateConfig { distribution, rows, dim, dtype, seed, ..GenerateConfig::default() }.generate().unwrap()
    }

    fn check(&self) {
        match self.under {
            Under::Name(metric) => self.check_named(metric),
            Under::Closure => self.check_closure(),
        }
    }

    fn check_named(&self, metric: MetricName) {
        let points = self.points(self.rows, 7);
        let build =
            || AnyIndex::build_with(Tier::detect(), "points", &points, metric, &self.config, &Workers::new()).unwrap();
        let ((index, told), (other, told_too)) = (on_threads(1, build), on_threads(2, build));
        assert_eq!(arrays(index.tree()), arrays(other.tree()), "{self:?}");
        assert_eq!(counts(&told), counts(&told_too), "{self:?}");
        let report = index.validate(&ValidateConfig { ids: Some(points.rows()), ..ValidateConfig::default() });
        assert!(report.is_valid(), "{self:?}: {report}: {:?}", report.violations);
        let queries = self.points(8, 8);
        let (answers, _) = index.knn(&queries, 5).unwrap();
        assert_eq!(answers, brute::knn(&points, &queries, metric, 5, |_| -1).unwrap(), "{self:?}");
    }

    fn check_closure(&self) {
        let points = self.points(self.rows, 7);
        let rows: Arc<[Vec<f64>]> = points.to_f64().chunks(self.dim).map(<[f64]>::to_vec).collect();
        let build = || {
            let known = Arc::clone(&rows);
            let distance = move |a: u32, b: u32| rooted(&known[a as usize], &known[b as usize]);
            Index::build(numbers(self.rows as u32, distance), &self.config, Tier::detect()).unwrap() // a few rows
        };
        let (index, other) = (on_threads(1, build), on_threads(2, build));
        assert_eq!(arrays(index.tree()), arrays(other.tree()), "{self:?}");
        let members = Members { index: &index, kernel: index.kernel() };
        let report = validate(index.tree(), &members, &ValidateConfig::default(), Tier::detect());
        assert!(report.is_valid(), "{self:?}: {report}: {:?}", report.violations);
        let asked = |number: usize| index.space().member(number * 7);
        let (answers, _) = index.knn(8, 5, asked, |_| -1).unwrap();
        assert_eq!(answers, nearest(&rows), "{self:?}");
    }
}

/// The five nearest rows to each of the rows that are asked for.
fn nearest(rows: &[Vec<f64>]) -> Answers {
    let mut answers = Answers { ids: Vec::new(), distances: Vec::new(), k: 5 };
    for query in (0..8).map(|number| &rows[number * 7]) {
        let mut all: Vec<(f64, Idx)> = rows.iter().zip(0..).map(|(row, id)| (rooted(query, row), id)).collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        answers.ids.extend(all[..5].iter().map(|(_, id)| id));
        answers.distances.extend(all[..5].iter().map(|(distance, _)| distance));
    }
    answers
}

/// Every strategy, and every value of every other setting, at least once.
pub(in crate::build) fn strategies() -> Vec<BuildConfig> {
    let plain = BuildConfig { conflict: Conflict::Dense, prefix: Prefix::Doubling, ..BuildConfig::default() };
    let by_batches = Conflict::ALL.iter().filter(|conflict| **conflict != Conflict::Nets);
    let of = |conflict| BuildConfig { conflict, ..plain.clone() };
    let mut all: Vec<BuildConfig> = by_batches.map(|&conflict| of(conflict)).collect();
    all.extend(BatchOrder::ALL.iter().map(|&batch_order| BuildConfig { batch_order, ..plain.clone() }));
    all.extend(Prefix::ALL.iter().map(|&prefix| BuildConfig { prefix, ..plain.clone() }));
    all.extend(MisForm::ALL.iter().map(|&mis| BuildConfig { mis, ..plain.clone() }));
    all.extend([
        BuildConfig::default(),
        BuildConfig { prefix: Prefix::Whole, ..of(Conflict::Nets) },
        BuildConfig { prefix: Prefix::Auto, base: 1.3, ..of(Conflict::Nets) },
        BuildConfig { prefix: Prefix::Auto, base: 3.0, seed: 5, ..of(Conflict::Nets) },
        BuildConfig { chain_cap: Some(1), ..plain.clone() },
        BuildConfig { chain_cap: Some(4), ..of(Conflict::TwoPhase) },
        BuildConfig { chain_cap: Some(2), prefix: Prefix::Adaptive, ..of(Conflict::Grid) },
        BuildConfig { chain_cap: Some(3), ..of(Conflict::Parent) },
        BuildConfig { degree_cap: Some(1), ..plain.clone() },
        BuildConfig { degree_cap: Some(8), chain_cap: Some(2), mis: MisForm::Luby, ..plain.clone() },
        BuildConfig { shard_pairs: Some(10), ..plain.clone() },
        BuildConfig { shard_pairs: Some(100), ..of(Conflict::TwoPhase) },
        BuildConfig { group_cap: 2, ..of(Conflict::Parent) },
        BuildConfig { prefix: Prefix::Whole, grid_shifts: 1, ..of(Conflict::Grid) },
        BuildConfig { prefix: Prefix::Whole, ..of(Conflict::Parent) },
        BuildConfig { prefix: Prefix::Whole, ..of(Conflict::Auto) },
        BuildConfig { prefix: Prefix::Whole, mis: MisForm::Luby, ..of(Conflict::TwoPhase) },
        BuildConfig { batch_order: BatchOrder::Hilbert, ..of(Conflict::Auto) },
        BuildConfig { base: 1.3, ..of(Conflict::Grid) },
        BuildConfig { base: 4.0, ..of(Conflict::Parent) },
    ]);
    all
}

#[test]
fn every_strategy_builds_valid_trees_of_every_kind_of_points() {
    let metrics = [
        Under::Name(MetricName::Euclidean),
        Under::Name(MetricName::Manhattan),
        Under::Name(MetricName::Angular),
        Under::Closure,
    ];
    for (i, config) in strategies().into_iter().enumerate() {
        for (j, distribution) in Distribution::ALL.iter().copied().enumerate() {
            let dim = [2, 3, 8, 16][(i + j) % 4];
            let mut under = metrics[(i + j + j / 4 + i / 4) % 4];
            // A lattice holds the origin, which has no direction.
            if distribution == Distribution::Lattice && under == metrics[2] {
                under = metrics[i % 2];
            }
            let dtype = if (i + j / 2) % 2 == 0 { Dtype::F32 } else { Dtype::F64 };
            Case { config: config.clone(), distribution, rows: 120, dim, dtype, under }.check();
        }
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let points = (select(Distribution::ALL.to_vec()), 60..400usize, 2..=17usize, any::<bool>());
    let settings = (
        select(Conflict::ALL.to_vec()),
        select(BatchOrder::ALL.to_vec()),
        select(Prefix::ALL.to_vec()),
        select(MisForm::ALL.to_vec()),
    );
    let caps = (0..6usize, 0..6usize, 0..40u64, 1..20usize, 1..=4u32, select(vec![1.2, 2.0, 3.0]));
    let metric = select(vec![
        Under::Name(MetricName::Euclidean),
        Under::Name(MetricName::Manhattan),
        Under::Name(MetricName::Chebyshev),
        Under::Name(MetricName::Angular),
        Under::Closure,
    ]);
    (points, settings, caps, metric, any::<u64>()).prop_map(|(points, settings, caps, under, seed)| {
        let (distribution, rows, dim, double) = points;
        let (conflict, batch_order, prefix, mis) = settings;
        let (chain, degree, shard, group_cap, grid_shifts, base) = caps;
        let graph = matches!(conflict, Conflict::Dense | Conflict::Auto);
        let nets = conflict == Conflict::Nets;
        let prefix = if nets && prefix != Prefix::Auto { Prefix::Whole } else { prefix };
        // A lattice holds the origin, which has no direction.
        let directed = distribution != Distribution::Lattice;
        let under = if under == Under::Name(MetricName::Angular) && !directed { Under::Closure } else { under };
        let config = BuildConfig {
            base,
            seed,
            conflict,
            batch_order: if nets { BatchOrder::default() } else { batch_order },
            prefix,
            mis: if nets { MisForm::default() } else { mis },
            group_cap,
            // What asks for the whole graph would be refused where batches are crowded; the choice goes on without it.
            graph_cap: if seed % 2 == 0 && conflict == Conflict::Auto { 1 } else { BuildConfig::default().graph_cap },
            growth: [1.0 + (seed % 7) as f64 / 4.0, 3.0, 4.0],
            rho_low: (seed % 5) as f64 / 10.0,
            grid_shifts,
            chain_cap: (chain > 0 && !nets).then_some(chain),
            degree_cap: (degree > 0 && graph).then_some(degree),
            shard_pairs: (shard > 0 && (graph || conflict == Conflict::TwoPhase)).then_some(shard),
            ..BuildConfig::default()
        };
        let dtype = if double { Dtype::F64 } else { Dtype::F32 };
        Case { config, distribution, rows, dim, dtype, under }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_settings_build_a_valid_tree(case in cases()) {
        case.check();
    }
}

#[test]
fn a_graph_that_would_be_quadratic_is_refused_before_any_work() {
    let points = GenerateConfig { rows: 60_000, dim: 2, ..GenerateConfig::default() }.generate().unwrap();
    let build = |config: BuildConfig| AnyIndex::build(&points, MetricName::Euclidean, &config).err();
    let graph_cap = 1 << 24;
    let whole = BuildConfig { prefix: Prefix::Whole, conflict: Conflict::Dense, graph_cap, ..BuildConfig::default() };
    let text = build(whole.clone()).unwrap().to_string();
    assert!(["conflicts", "GiB", "choose", "graph-cap"].iter().all(|word| text.contains(word)), "{text}");
    assert!(build(BuildConfig { conflict: Conflict::TwoPhase, ..whole.clone() }).is_some());
    let sorted = BuildConfig { prefix: Prefix::Doubling, batch_order: BatchOrder::Hilbert, ..whole };
    assert!(build(sorted).is_some());
}

/// Sorted clusters, each of the second half beside one of the first: a sample of the last batch has two points of each, and sees
/// few conflicts.
#[test]
fn a_graph_that_turns_out_to_be_quadratic_is_given_up() {
    let (clusters, members) = (64, 1024); // the last batch is the second half
    let noise = GenerateConfig { rows: 2 * clusters * members, dim: 2, ..GenerateConfig::default() };
    let place = |(i, x): (usize, &f64)| {
        let (half, cluster) = (i / 2 / members / clusters, i / 2 / members % clusters);
        let (column, row) = (100 * (cluster % 13) + half, 100 * (cluster / 13));
        1e-3 * x + if i % 2 == 0 { column } else { row } as f64
    };
    let values = noise.generate().unwrap().to_f64().iter().enumerate().map(place).collect();
    let points = Points::new(2, crate::points::Values::F64(values)).unwrap();
    for conflict in [Conflict::Dense, Conflict::TwoPhase] {
        let config = BuildConfig {
            conflict,
            batch_order: BatchOrder::Natural,
            prefix: Prefix::Doubling,
            graph_cap: 1 << 24,
            ..BuildConfig::default()
        };
        let build = || {
            let workers = Workers::new();
            AnyIndex::build_with(Tier::detect(), "points", &points, MetricName::Euclidean, &config, &workers).unwrap()
        };
        let ((index, told), (other, _)) = (on_threads(1, build), on_threads(2, build));
        assert!(told.notes.iter().any(|note| note.contains("graph-cap")), "{:?}", told.notes);
        assert!(told.batches.last().is_some_and(|batch| batch.conflict == "grid"));
        assert_eq!(arrays(index.tree()), arrays(other.tree()));
        let report = index.validate(&ValidateConfig { ids: Some(points.rows()), ..ValidateConfig::default() });
        assert!(report.is_valid(), "{report}: {:?}", report.violations);
    }
}

/// Functions that are no metric get answers that mean little, but get them: nothing panics or goes on for ever.
#[test]
fn functions_that_are_no_metric_do_no_harm() {
    let functions: [fn(f64, f64) -> f64; 3] = [
        |a, b| (a - b) * (a - b),
        |a, b| 1.0 - (a - b).cos(),
        |a, b| if a.min(b) == 50.0 { f64::NAN } else { (a - b).abs() },
    ];
    for (number, function) in functions.into_iter().enumerate() {
        for (seed, config) in strategies().into_iter().enumerate() {
            let space = numbers(120, move |a, b| function(a.into(), b.into()));
            let config = BuildConfig { seed: seed as u64, ..config };
            match Index::build(space, &config, Tier::detect()) {
                Ok(index) => assert!(number < 2 && index.len() == 120, "{config:?}"),
                Err(Error::NotAMetric { .. }) => assert_eq!(number, 2, "{config:?}"),
                Err(other) => panic!("{config:?}: {other}"),
            }
        }
    }
}

/// A function that runs tasks of its own: the thread that waits for them may take up another part of the build.
#[test]
fn functions_may_split_their_work() {
    let points = GenerateConfig { rows: 3_000, dim: 4, ..GenerateConfig::default() }.generate().unwrap();
    let rows = points.to_f64().into_owned();
    let both = move |a: u32, b: u32| {
        let (a, b) = (&rows[a as usize * 4..], &rows[b as usize * 4..]);
        let part = |range: std::ops::Range<usize>| range.map(|i| (a[i] - b[i]).abs()).fold(0.0, f64::max);
        let (low, high) = rayon::join(|| part(0..2), || part(2..4));
        f64::max(low, high)
    };
    let space = numbers(3_000, both);
    let index = on_threads(4, || Index::build(space, &BuildConfig::default(), Tier::detect()).unwrap());
    let answers = on_threads(4, || index.knn(300, 3, |row| index.space().member(row), |_| -1).unwrap().0);
    let first = brute::knn(&points, &points.take_rows(&[0, 299]).unwrap(), MetricName::Chebyshev, 3, |_| -1).unwrap();
    assert_eq!([&answers.ids[..3], &answers.ids[897..]].concat(), first.ids);
}

#[test]
fn grids_tell_what_they_did_and_fall_back_above_eight_axes() {
    let points = GenerateConfig { rows: 2_000, dim: 2, distribution: Distribution::Annulus, ..Default::default() };
    let config = BuildConfig { conflict: Conflict::Grid, ..BuildConfig::default() };
    let told = |points: &Points| {
        let workers = Workers::new();
        AnyIndex::build_with(Tier::detect(), "points", points, MetricName::Euclidean, &config, &workers).unwrap().1
    };
    let telemetry = told(&points.generate().unwrap());
    let totals = telemetry.totals();
    assert!(totals.grid_cells > 0 && totals.leaders_before_local_mis > 0 && totals.local_mis_nodes > 0);
    assert!(telemetry.batches.iter().all(|batch| (0.0..=1.0).contains(&batch.coverage_ratio)));
    assert!(telemetry.notes.is_empty());
    let telemetry = told(&GenerateConfig { dim: 9, ..points }.generate().unwrap());
    assert!(telemetry.notes[0].contains("parent was used instead"), "{:?}", telemetry.notes);
    assert!(telemetry.batches.iter().all(|batch| batch.conflict == "parent"));
}

#[test]
fn nets_settle_crowds() {
    let plain = BuildConfig { conflict: Conflict::Nets, ..BuildConfig::default() };
    for (distribution, rows, dim) in [
        (Distribution::Duplicates, 1500, 2),
        (Distribution::Clusters, 1500, 3),
        (Distribution::Annulus, 1200, 2),
        (Distribution::Lattice, 1200, 3),
        (Distribution::Gaussian, 900, 12),
        (Distribution::Filament, 900, 5),
    ] {
        for (base, dtype) in [(2.0, Dtype::F32), (1.2, Dtype::F64)] {
            let config = BuildConfig { base, ..plain.clone() };
            Case { config, distribution, rows, dim, dtype, under: Under::Name(MetricName::Euclidean) }.check();
        }
    }
}

#[test]
fn nets_are_the_default_for_few_axes_and_give_way_where_there_are_no_boxes() {
    let told = |dim: usize, metric: MetricName, conflict: Conflict| {
        let points = GenerateConfig { rows: 300, dim, ..GenerateConfig::default() }.generate().unwrap();
        let (config, workers) = (BuildConfig { conflict, ..BuildConfig::default() }, Workers::new());
        let (_, told) = AnyIndex::build_with(Tier::detect(), "points", &points, metric, &config, &workers).unwrap();
        (told.batches[0].conflict, told.batches.len() == 1, told.notes.len())
    };
    assert_eq!(told(3, MetricName::Euclidean, Conflict::Auto), ("nets", true, 0));
    assert_eq!(told(12, MetricName::Euclidean, Conflict::Auto), ("dense", false, 0));
    assert_eq!(told(12, MetricName::Manhattan, Conflict::Nets), ("nets", true, 0));
    assert_eq!(told(17, MetricName::Euclidean, Conflict::Nets), ("dense", false, 1));
    assert_eq!(told(3, MetricName::Angular, Conflict::Nets), ("dense", false, 1));
    assert_eq!(told(3, MetricName::Angular, Conflict::Auto), ("dense", false, 0));
}
