//! Trees that points are inserted into and deleted from: they obey every law, answer exactly, and keep their ids.

use std::process::Command;

use covertree::build::telemetry::BatchRow;
use covertree::build::{BatchOrder, Conflict, MisForm, Prefix};
use covertree::generate::{Distribution, GenerateConfig};
use covertree::points::{Dtype, Points, Values};
use covertree::tree::file::ReadMode;
use covertree::tree::validate::ValidateConfig;
use covertree::{AnyIndex, BuildConfig, MetricName, Workers, brute};
use covertree_kernels::hash::mix64;
use covertree_kernels::tree::TWIN;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

/// An index, all points that it ever had, and which of them are in it.
struct World {
    index: AnyIndex,
    all: Points,
    live: Vec<i32>,
}

impl World {
    fn new(all: Points, first: i32, metric: MetricName, config: &BuildConfig) -> Self {
        let live: Vec<i32> = (0..first).collect();
        let index = AnyIndex::build(&all.take_rows(&live).unwrap(), metric, config).unwrap();
        Self { index, all, live }
    }

    /// Inserts the next points.
    fn insert(&mut self, count: i32) {
        let first = self.index.next_id();
        let rows: Vec<i32> = (first..first + count).collect();
        self.index.insert("points", &self.all.take_rows(&rows).unwrap()).unwrap();
        self.live.extend(rows);
        assert_eq!(self.index.next_id(), first + count);
    }

    fn delete(&mut self, chosen: impl Fn(i32) -> bool) {
        let (gone, live): (Vec<i32>, Vec<i32>) = self.live.iter().partition(|&&id| chosen(id));
        self.index.delete(&gone).unwrap();
        self.live = live;
    }

    /// Inserts or deletes what a step asks for; `word` is its chance.
    fn take(&mut self, step: Step, word: u64) {
        let left = self.all.rows() - self.index.next_id();
        match step {
            Step::InsertOne => self.insert(left.min(1)),
            Step::InsertFew => self.insert(left.min((word & 127) as i32)),
            Step::InsertHalf => self.insert((left + 1) / 2),
            Step::InsertRest => self.insert(left),
            Step::DeleteOne if self.live.is_empty() => self.delete(|_| false),
            Step::DeleteOne => {
                let one = self.live[(word % self.live.len() as u64) as usize];
                self.delete(|id| id == one);
            }
            Step::DeleteSome => {
                let share = [0, 2, 8, 15][(word >> 8 & 3) as usize]; // none, a few, half, or all but a few
                self.delete(|id| mix64(word ^ id as u64) % 16 < share);
            }
            Step::DeleteAll => self.delete(|_| true),
        }
    }

    /// Distances that some queries evaluate.
    fn evals(&self, queries: &Points) -> u64 {
        self.index.knn(queries, 8).unwrap().1.distance_evals
    }

    /// Every law, every id, and some answers.
    fn check(&self) {
        let report = self.index.validate(&ValidateConfig::default());
        assert!(report.is_valid(), "{report}: {:?}", report.violations);
        let mut ids = self.index.tree().ids().to_vec();
        ids.sort_unstable();
        assert_eq!(ids, self.live);
        let queries = self.all.take_rows(&(0..6).map(|i| i * (self.all.rows() - 1) / 5).collect::<Vec<_>>()).unwrap();
        let (answers, _) = self.index.knn(&queries, 4).unwrap();
        if self.live.is_empty() {
            assert!(answers.ids.iter().all(|&id| id == -1));
            return;
        }
        let some = self.all.take_rows(&self.live).unwrap();
        let mut truth = brute::knn(&some, &queries, self.index.metric(), 4, |_| -1).unwrap();
        truth.ids.iter_mut().filter(|id| **id >= 0).for_each(|id| *id = self.live[*id as usize]);
        assert_eq!(answers, truth);
    }
}

/// What is done to an index.
#[derive(Clone, Copy, Debug)]
enum Step {
    InsertOne,
    InsertFew,
    /// Half of what is left, by which a tree grows several times over.
    InsertHalf,
    InsertRest,
    DeleteOne,
    DeleteSome,
    DeleteAll,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::InsertOne,
        Self::InsertFew,
        Self::InsertHalf,
        Self::InsertRest,
        Self::DeleteOne,
        Self::DeleteSome,
        Self::DeleteAll,
    ];
}

/// Configurations that go together.
fn configs() -> impl Strategy<Value = BuildConfig> {
    let batches = (select(BatchOrder::ALL.to_vec()), select(Prefix::ALL.to_vec()));
    let settling = (select(Conflict::ALL.to_vec()), select(MisForm::ALL.to_vec()));
    let others = (proptest::option::of(1..4usize), select(vec![1.3, 2.0]));
    let config = (batches, settling, others).prop_map(|((batch_order, prefix), (conflict, mis), (chain_cap, base))| {
        BuildConfig { batch_order, prefix, conflict, mis, chain_cap, base, ..BuildConfig::default() }
    });
    config.prop_filter("settings that exclude each other", |config| config.check().is_ok())
}

/// The points one farther along each axis: none of the generated ones is then zero, which has no direction.
fn off_zero(points: &Points) -> Points {
    let values = match points.values() {
        Values::F32(values) => Values::F32(values.iter().map(|value| value + 1.0).collect()),
        Values::F64(values) => Values::F64(values.iter().map(|value| value + 1.0).collect()),
    };
    Points::new(points.dim(), values).unwrap()
}

fn points(distribution: Distribution, rows: usize, dim: usize, dtype: Dtype) -> Points {
    GenerateConfig { distribution, rows, dim, dtype, seed: 3, ..GenerateConfig::default() }.generate().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]
    /// Each case takes all steps, in an order of its own.
    #[test]
    fn any_sequence_keeps_every_law_and_answer(
        distribution in select(Distribution::ALL.to_vec()),
        dim in 2..=18usize,
        double: bool,
        metric in select(vec![MetricName::Euclidean, MetricName::Manhattan, MetricName::Chebyshev, MetricName::Angular]),
        config in configs(),
        steps in Just(Step::ALL.to_vec()).prop_shuffle(),
        seed: u64,
    ) {
        let dtype = if double { Dtype::F64 } else { Dtype::F32 };
        let mut all = points(distribution, 400, dim, dtype);
        if metric == MetricName::Angular {
            all = off_zero(&all);
        }
        let mut world = World::new(all, 60, metric, &config);
        for (number, step) in (0..).zip(steps) {
            world.take(step, mix64(seed ^ mix64(number)));
            world.check();
        }
    }
}

#[test]
fn the_root_rises_stays_raised_and_may_go() {
    let values = (0..40).map(|i| if i < 20 { f64::from(i) } else { f64::from(i - 19) * 1e6 });
    let all = Points::new(1, Values::F64(values.collect())).unwrap();
    let mut world = World::new(all, 20, MetricName::Euclidean, &BuildConfig::default());
    let level = |world: &World| world.index.tree().levels()[0];
    let first = level(&world);
    world.insert(20);
    world.check();
    let raised = level(&world);
    assert!(raised > first, "the root covers what is a million times as far");
    world.delete(|id| id >= 20);
    world.check();
    // By design: a root is never lowered.
    assert_eq!(level(&world), raised);
    for _ in 0..3 {
        let root = world.index.tree().ids()[0];
        world.delete(|id| id == root);
        world.check();
        assert!(level(&world) < raised, "a new root is as high as what is left asks for");
    }
    world.delete(|id| id != 4);
    world.check();
    world.delete(|_| true);
    world.check();
}

/// A root is never lowered: it costs nothing, for searches go by boxes and measured reaches. In space the tree is stored in cells, in 20
/// dimensions in balls.
#[test]
fn queries_cost_no_more_below_a_root_that_was_raised() {
    for (distribution, dim, metric) in
        [(Distribution::Gaussian, 3, MetricName::Euclidean), (Distribution::Manifold, 20, MetricName::Manhattan)]
    {
        let near = points(distribution, 2_000, dim, Dtype::F64).to_f64().into_owned();
        let far = near[..300 * dim].iter().map(|value| value * 1e6);
        let all = Points::new(dim, Values::F64(near.iter().copied().chain(far).collect())).unwrap();
        let queries =
            points(distribution, 2_200, dim, Dtype::F64).take_rows(&(2_000..2_200).collect::<Vec<_>>()).unwrap();
        let mut world = World::new(all, 2_000, metric, &BuildConfig::default());
        let (first, fresh) = (world.index.tree().levels()[0], world.evals(&queries));
        world.insert(300);
        let raised = world.index.tree().levels()[0];
        assert!(raised > first, "{metric}");
        world.delete(|id| id >= 2_000);
        world.check();
        assert_eq!(world.index.tree().levels()[0], raised, "{metric}");
        let evals = world.evals(&queries);
        assert!(evals as f64 <= 1.3 * fresh as f64, "{metric}: {evals} against {fresh}");
    }
}

/// In many dimensions nearly all points hang on the root, and nearly all are orphans of one level that are in each other's way.
#[test]
fn the_root_of_many_dimensions_goes_without_a_graph() {
    for (rows, dim, metric) in [(4_000, 64, MetricName::Euclidean), (2_000, 128, MetricName::Manhattan)] {
        let all = points(Distribution::Gaussian, rows as usize, dim, Dtype::F32);
        let mut world = World::new(all, rows, metric, &BuildConfig::default());
        let root = world.index.tree().ids()[0];
        assert!(orphans(&world.index, |id| id == root) > rows as usize / 2, "{metric}");
        let told = world.index.delete(&[root]).unwrap();
        world.live.retain(|&id| id != root);
        let [row] = &told.batches[..] else { panic!("{:?}", told.batches) };
        assert!(row.mis_iterations > 0 && row.pairs_before == 0, "{metric}: no pairs are stored: {row:?}");
        world.check();
    }
}

#[test]
fn an_emptied_tree_starts_again_and_ids_go_on() {
    let all = points(Distribution::Duplicates, 200, 3, Dtype::F64);
    let mut world = World::new(all, 100, MetricName::Euclidean, &BuildConfig::default());
    world.delete(|_| true);
    world.check();
    world.insert(100);
    world.check();
    assert_eq!(world.live[0], 100);
}

#[test]
fn twins_of_deleted_points_stay() {
    let all = Points::new(2, Values::F32([1.0, 2.0].repeat(30))).unwrap();
    let mut world = World::new(all, 20, MetricName::Euclidean, &BuildConfig::default());
    for _ in 0..4 {
        let root = world.index.tree().ids()[0];
        world.delete(|id| id == root);
        world.check();
    }
    world.insert(10);
    world.check();
}

#[test]
fn a_far_crowd_in_one_batch_is_settled_without_a_quadratic_graph() {
    let near = points(Distribution::Gaussian, 12_000, 2, Dtype::F64).to_f64().into_owned();
    let far = near.iter().map(|value| value * 1e-3 + 1e4);
    let all = Points::new(2, Values::F64(near.iter().copied().chain(far).collect())).unwrap();
    let dense = BuildConfig { conflict: Conflict::Dense, ..BuildConfig::default() };
    let mut world = World::new(all, 12_000, MetricName::Euclidean, &dense);
    let rows: Vec<i32> = (12_000..24_000).collect();
    let told = world.index.insert("far", &world.all.take_rows(&rows).unwrap()).unwrap();
    assert!(told.notes.iter().any(|note| note.contains("graph-cap")), "{:?}", told.notes);
    world.live.extend(rows);
    world.check();
}

#[test]
fn a_refused_insertion_says_what_can_be_done() {
    let all = points(Distribution::Gaussian, 1_020, 2, Dtype::F64);
    let config =
        BuildConfig { conflict: Conflict::Dense, prefix: Prefix::Whole, graph_cap: 1, ..BuildConfig::default() };
    let mut world = World::new(all, 20, MetricName::Euclidean, &config);
    let rows: Vec<i32> = (20..1_020).collect();
    let text = world.index.insert("points", &world.all.take_rows(&rows).unwrap()).unwrap_err().to_string();
    assert!(text.ends_with("; change fewer points at a time, or build the tree anew with conflict grid"), "{text}");
    world.insert(10);
    world.check();
}

#[test]
fn ids_survive_files_and_are_never_used_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tree.ct");
    let all = points(Distribution::Gaussian, 300, 3, Dtype::F32);
    let config = BuildConfig {
        conflict: Conflict::Parent,
        prefix: Prefix::Adaptive,
        batch_order: BatchOrder::Natural,
        ..BuildConfig::default()
    };
    let mut world = World::new(all, 200, MetricName::Manhattan, &config);
    world.delete(|id| id >= 150);
    world.index.save(&path).unwrap();
    world.index = AnyIndex::load(&path, ReadMode::Memory).unwrap();
    assert_eq!((world.index.next_id(), world.index.config()), (200, &config));
    world.insert(100);
    world.check();
    let problem = world.index.delete(&[7, 160]).unwrap_err().to_string();
    assert!(problem.contains("id 160"), "{problem}");
    let wide = Points::new(3, Values::F64(vec![0.1, 0.2, 0.3])).unwrap();
    let problem = world.index.insert("wide", &wide).unwrap_err().to_string();
    assert!(problem.contains("wide") && !problem.contains('\n'), "{problem}");
    world.check();
}

#[test]
fn queries_that_f32_cannot_hold_are_answered_from_one_copy_that_follows_the_points() {
    let all = points(Distribution::Gaussian, 300, 3, Dtype::F32);
    let queries = Points::new(3, Values::F64((0..60).map(|i| f64::from(i) / 30.0 - 0.9).collect())).unwrap();
    let mut world = World::new(all, 200, MetricName::Euclidean, &BuildConfig::default());
    let narrow = world.index.bytes();
    let check = |world: &World| {
        let points = world.all.take_rows(&world.live).unwrap();
        let mut truth = brute::knn(&points, &queries, MetricName::Euclidean, 7, |_| -1).unwrap();
        truth.ids.iter_mut().for_each(|id| *id = world.live[*id as usize]);
        assert_eq!(world.index.knn(&queries, 7).unwrap().0, truth);
        let (near, _) = world.index.within(&queries, truth.distances[6]).unwrap();
        assert_eq!(near.ids[..7], truth.ids[..7]);
        world.index.bytes()
    };
    let wide = check(&world);
    assert!(wide > 2 * narrow, "a copy in f64 is larger");
    assert_eq!(check(&world), wide, "there is one, however often it is asked");
    world.insert(100);
    world.delete(|id| id % 3 == 0);
    check(&world);
}

/// How many points hang on points that go, and stay with a level of their own.
fn orphans(index: &AnyIndex, goes: impl Fn(i32) -> bool) -> usize {
    let tree = index.tree();
    let orphan = |&position: &usize| {
        let parent = tree.parents()[position];
        parent >= 0
            && goes(tree.ids()[parent as usize])
            && !goes(tree.ids()[position])
            && tree.levels()[position] != TWIN
    };
    (0..tree.len()).filter(orphan).count()
}

#[test]
fn updates_tell_what_they_did() {
    let all = points(Distribution::Gaussian, 500, 3, Dtype::F64);
    let mut world = World::new(all, 300, MetricName::Euclidean, &BuildConfig::default());
    let workers = Workers::new();
    let new: Vec<i32> = (300..500).collect();
    let told = world.index.insert_with("new", &world.all.take_rows(&new).unwrap(), &workers).unwrap();
    // Batches at most double the tree.
    let [row] = &told.batches[..] else { panic!("{:?}", told.batches) };
    assert!(["dense", "two-phase", "grid", "parent"].contains(&row.conflict), "{}", row.conflict);
    assert_eq!((row.batch_index, row.batch_size, row.candidates), (0, 200, 200));
    assert_eq!((row.selected + row.dominated, row.prefix_factor), (200, 500.0 / 300.0));
    assert!(row.distance_evals > 0 && row.traversal_ms > 0.0);
    world.live.extend(new);
    world.check();

    let root = world.index.tree().ids()[0];
    let goes = |id: i32| id == root || id % 4 == 0;
    let expected = orphans(&world.index, goes);
    let (gone, live): (Vec<i32>, Vec<i32>) = world.live.iter().partition(|&&id| goes(id));
    let told = world.index.delete_with(&gone, &workers).unwrap();
    let [row] = &told.batches[..] else { panic!("{:?}", told.batches) };
    assert_eq!((row.batch_index, row.conflict), (0, "delete"));
    assert_eq!((row.batch_size, row.candidates, row.dominated), (expected, expected, 0));
    assert!((1..=expected).contains(&row.selected), "the root is gone: {row:?}");
    assert!((1..=expected).contains(&row.conflict_scope_groups_unique), "{row:?}");
    assert_eq!(row.prefix_factor, live.len() as f64 / 500.0);
    let BatchRow { distance_evals, mis_iterations, pairs_after, traversal_ms, mis_ms, insert_ms, .. } = *row;
    assert!(distance_evals > 0 && mis_iterations > 0 && pairs_after == 0, "no pairs are stored: {row:?}");
    assert!(traversal_ms > 0.0 && mis_ms > 0.0 && insert_ms > 0.0, "{row:?}");
    assert_eq!(told.totals().distance_evals, distance_evals);
    world.live = live;
    world.check();

    let (root, grown) = (world.index.tree().ids()[0], workers.growths());
    let told = world.index.delete_with(&[root], &workers).unwrap();
    assert!(grown > 0 && told.arena_growths == grown, "a smaller tree needs no more: {told:?}");
    let told = world.index.delete_with(&[], &workers).unwrap();
    assert_eq!(told.batches, Vec::new());
}

#[test]
fn a_deletion_has_one_row_behind_those_of_twins_that_come_back() {
    let all = Points::new(2, Values::F64([1.0, 2.0].repeat(30))).unwrap();
    let mut world = World::new(all, 30, MetricName::Euclidean, &BuildConfig::default());
    let root = world.index.tree().ids()[0];
    let told = world.index.delete(&[root]).unwrap();
    let (row, before) = told.batches.split_last().unwrap();
    assert_eq!((row.conflict, row.candidates, row.batch_index), ("delete", 0, before.len()));
    // One of them is the new root.
    assert_eq!(before.iter().map(|row| row.batch_size).sum::<usize>(), 28);
    world.live.retain(|&id| id != root);
    world.check();
}

#[test]
fn the_program_tells_what_updates_did() {
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str, code: i32| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_covertree"));
        let output = command.current_dir(folder.path()).args(line.split_whitespace()).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {text}");
        text
    };
    let rows = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    run("generate gaussian --rows 300 --dim 9 -o points.npy", 0);
    run("generate gaussian --rows 40 --dim 9 --seed 7 -o more.npy", 0);
    run("build points.npy -o tree.ct --conflict grid --metric manhattan", 0);
    for (line, points, strategy) in [
        ("insert tree.ct more.npy --telemetry told.jsonl", 340, "parent"),
        ("delete tree.ct --id 0,1,2,3,4,5,6,7 --telemetry told.jsonl", 332, "delete"),
    ] {
        // Nine axes are too many for a grid.
        assert!(run(line, 0).contains("parent was used instead"), "{line}");
        let told = rows("told.jsonl");
        let kinds: Vec<&str> = told.iter().map(|row| row["row"].as_str().unwrap()).collect();
        assert!(kinds.starts_with(&["header", "batch"]) && kinds.ends_with(&["summary"]), "{kinds:?}");
        let (header, batch, summary) = (&told[0], &told[1], &told[told.len() - 1]);
        assert_eq!([&header["metric"], &header["config"]["conflict"]], ["manhattan", "grid"]);
        assert_eq!([&header["rows"], &header["dim"], &summary["batches"]], [points, 9, 1]);
        assert_eq!(batch["conflict"], strategy);
        assert_eq!(summary["candidates"], batch["candidates"]);
    }
    let before = std::fs::read(folder.path().join("tree.ct")).unwrap();
    for (line, problem) in [
        ("insert tree.ct more.npy --telemetry tree.ct", "two outputs would have this name"),
        ("insert tree.ct more.npy -o new.ct --telemetry tree.ct", "is read by this command"),
        ("insert tree.ct more.npy --telemetry more.npy", "is read by this command"),
        ("delete tree.ct --id 9 -o new.ct --telemetry new.ct", "two outputs would have this name"),
    ] {
        assert!(run(line, 2).contains(problem), "{line}");
    }
    assert!(std::fs::read(folder.path().join("tree.ct")).unwrap() == before);
    assert!(run("delete tree.ct --id 9 --quiet", 0).is_empty());
}
