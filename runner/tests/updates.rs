//! Trees that points are inserted into and deleted from: they obey every law, answer exactly, and keep their ids.

use covertree::build::{BatchOrder, Conflict, Prefix};
use covertree::generate::{Distribution, GenerateConfig};
use covertree::points::{Dtype, Points, Values};
use covertree::tree::file::ReadMode;
use covertree::tree::validate::ValidateConfig;
use covertree::{AnyIndex, BuildConfig, MetricName, brute};
use covertree_kernels::hash::mix64;
use proptest::prelude::*;
use proptest::sample::select;

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

fn points(distribution: Distribution, rows: usize, dim: usize, dtype: Dtype) -> Points {
    GenerateConfig { distribution, rows, dim, dtype, seed: 3, ..GenerateConfig::default() }.generate().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_keeps_every_law_and_answer(
        distribution in select(Distribution::ALL.to_vec()),
        dim in 2..=18usize,
        double: bool,
        metric in select(vec![MetricName::Euclidean, MetricName::Manhattan, MetricName::Chebyshev]),
        conflict in select(Conflict::ALL.to_vec()),
        base in select(vec![1.3, 2.0]),
        seed: u64,
    ) {
        let dtype = if double { Dtype::F64 } else { Dtype::F32 };
        let config = BuildConfig { conflict, base, ..BuildConfig::default() };
        let mut world = World::new(points(distribution, 600, dim, dtype), 60, metric, &config);
        for step in 0..6u64 {
            let word = mix64(seed ^ mix64(step));
            let left = world.all.rows() - world.index.next_id();
            match word % 3 {
                0 => {
                    let share = word >> 8 & 3; // none, a few, half, or all but a few
                    world.delete(|id| mix64(word ^ id as u64) % 16 < [0, 2, 8, 15][share as usize]);
                }
                1 => world.insert(left.min(1)),
                _ => world.insert(left.min((word >> 8) as i32 & 127)),
            }
            world.check();
        }
    }
}

#[test]
fn the_root_grows_in_both_directions_and_may_go() {
    let values = (0..40).map(|i| if i < 20 { f64::from(i) } else { f64::from(i - 19) * 1e6 });
    let all = Points::new(1, Values::F64(values.collect())).unwrap();
    let mut world = World::new(all, 20, MetricName::Euclidean, &BuildConfig::default());
    let root = world.index.tree().levels()[0];
    world.insert(20);
    world.check();
    assert!(world.index.tree().levels()[0] > root, "the root covers what is a million times as far");
    world.delete(|id| id >= 20);
    world.check();
    for _ in 0..3 {
        let root = world.index.tree().ids()[0];
        world.delete(|id| id == root);
        world.check();
    }
    world.delete(|id| id != 4);
    world.check();
    world.delete(|_| true);
    world.check();
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
    assert!(told.notes.iter().any(|note| note.contains("quadratic")), "{:?}", told.notes);
    world.live.extend(rows);
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
