//! Laws that hold for any points: the tree is valid, and answers are those of brute force, bit for bit.

use covertree::points::{Dtype, Points, Values};
use covertree::tree::validate::ValidateConfig;
use covertree::{AnyIndex, BuildConfig, MetricName, brute};
use proptest::prelude::*;
use proptest::sample::select;

/// How the points of a case lie.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    /// Anywhere in a cube.
    Cloud,
    /// Every third one is a copy of an earlier one.
    Copies,
    /// On a grid of few places: ties everywhere, and twins.
    Grid,
    /// On a straight line.
    Line,
    /// All at one place.
    Place,
}

/// A set of points, and what is asked of it.
#[derive(Clone, Copy, Debug)]
struct Case {
    shape: Shape,
    rows: usize,
    dim: usize,
    dtype: Dtype,
    metric: MetricName,
    scale: f64,
    offset: f64,
    base: f64,
    k: usize,
    seed: u64,
}

/// The metrics of plain coordinates, which any points suit.
const COORDINATES: [MetricName; 3] = [MetricName::Euclidean, MetricName::Manhattan, MetricName::Chebyshev];

fn cases() -> impl Strategy<Value = Case> {
    let shapes = select(vec![Shape::Cloud, Shape::Copies, Shape::Grid, Shape::Line, Shape::Place]);
    let rows = prop_oneof![0..4usize, 4..200usize, 200..=2_000usize];
    let metric = select(COORDINATES.to_vec());
    // The large offset would ruin single precision, and leave its range: differences of 1e-3 near 1e7, in units of the
    // scale.
    let offset = select(vec![0.0, 0.0, 1.0, 1e10]);
    let numbers = (1..=40usize, select(vec![2.0, 1.3, 4.0]), 1..30usize, any::<u64>());
    (shapes, rows, any::<bool>(), metric, -30..=30i32, offset, numbers).prop_map(
        |(shape, rows, double, metric, exponent, offset, (dim, base, k, seed))| {
            let dtype = if double { Dtype::F64 } else { Dtype::F32 };
            let offset = if double { offset } else { f64::min(offset, 1.0) };
            Case { shape, rows, dim, dtype, metric, scale: 10f64.powi(exponent), offset, base, k, seed }
        },
    )
}

/// A number in `0..1` for each place of the set.
fn noise(seed: u64, place: usize) -> f64 {
    let word = covertree_kernels::hash::mix64(seed ^ covertree_kernels::hash::mix64(place as u64));
    (word >> 11) as f64 / (1u64 << 53) as f64
}

impl Case {
    fn coordinate(&self, row: usize, d: usize) -> f64 {
        let uniform = |row: usize| noise(self.seed, row * self.dim + d);
        match self.shape {
            Shape::Cloud => uniform(row),
            Shape::Copies if row % 3 == 2 => uniform((noise(!self.seed, row) * row as f64) as usize / 3 * 3),
            Shape::Copies => uniform(row),
            Shape::Grid => (uniform(row) * 4.0).floor(),
            Shape::Line => noise(self.seed, row) * (d + 1) as f64,
            Shape::Place => 0.5,
        }
    }

    fn points(&self, first: usize, rows: usize) -> Points {
        let places = (first..first + rows).flat_map(|row| (0..self.dim).map(move |d| (row, d)));
        let values = places.map(|(row, d)| (self.coordinate(row, d) + self.offset) * self.scale);
        let values = match self.dtype {
            Dtype::F32 => Values::F32(values.map(|value| value as f32).collect()),
            Dtype::F64 => Values::F64(values.collect()),
        };
        Points::new(self.dim, values).unwrap()
    }
}

/// The formulas as the documentation states them.
fn distance(metric: MetricName, a: &[f64], b: &[f64]) -> f64 {
    let gaps = a.iter().zip(b).map(|(a, b)| a - b);
    match metric {
        MetricName::Euclidean => gaps.fold(0.0, |sum, gap| sum + gap * gap).sqrt(),
        MetricName::Manhattan => gaps.fold(0.0, |sum, gap| sum + gap.abs()),
        MetricName::Chebyshev => gaps.fold(0.0, |most, gap| f64::max(most, gap.abs())),
        other => unreachable!("{other} is none of the metrics of coordinates"),
    }
}

/// The nearest of all points but `except`, by (distance, row).
fn nearest(case: &Case, points: &Points, query: &[f64], except: i32) -> Vec<(u64, i32)> {
    let rows = points.to_f64();
    let all = rows.chunks_exact(case.dim).zip(0i32..).filter(|(_, id)| *id != except);
    let mut all: Vec<(f64, i32)> = all.map(|(row, id)| (distance(case.metric, query, row), id)).collect();
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all.resize(case.k, (f64::INFINITY, -1));
    all.into_iter().map(|(distance, id)| (distance.to_bits(), id)).collect()
}

fn row_of(answers: &covertree::Answers, row: usize) -> Vec<(u64, i32)> {
    let range = row * answers.k..(row + 1) * answers.k;
    answers.distances[range.clone()].iter().map(|d| d.to_bits()).zip(answers.ids[range].iter().copied()).collect()
}

/// Builds, validates, and holds queries and the graph against brute force.
fn check(case: &Case) -> Result<(), TestCaseError> {
    let points = case.points(0, case.rows);
    let config = BuildConfig { base: case.base, seed: case.seed, ..BuildConfig::default() };
    let index = AnyIndex::build(&points, case.metric, &config).unwrap();
    let report = index.validate(&ValidateConfig { ids: Some(points.rows()), ..ValidateConfig::default() });
    prop_assert!(report.is_valid(), "{report}: {:?}", report.violations);

    // Queries from outside, and some of the points themselves.
    let outside = case.points(case.rows, 12);
    let (answers, _) = index.knn(&outside, case.k).unwrap();
    for (row, query) in outside.to_f64().chunks_exact(case.dim).enumerate() {
        prop_assert_eq!(row_of(&answers, row), nearest(case, &points, query, -1), "query {}", row);
    }
    // A radius at which there is a point, where there are any.
    let radius = answers.distances.first().copied().filter(|distance| distance.is_finite()).unwrap_or(1.0);
    let (near, _) = index.within(&outside, radius).unwrap();
    prop_assert_eq!(near, brute::within(&points, &outside, case.metric, radius).unwrap());
    let (graph, _) = index.graph(case.k, false).unwrap();
    for row in (0..case.rows).step_by(1 + case.rows / 25) {
        let query = &points.to_f64()[row * case.dim..(row + 1) * case.dim];
        prop_assert_eq!(row_of(&graph, row), nearest(case, &points, query, row as i32), "point {}", row);
    }
    Ok(())
}

/// Directions or places: as [`check`], against the brute force of the library, which shares no code with the kernels.
fn check_sphere(case: &Case) -> Result<(), TestCaseError> {
    let points = case.points(0, case.rows);
    let config = BuildConfig { base: case.base, seed: case.seed, ..BuildConfig::default() };
    let index = AnyIndex::build(&points, case.metric, &config).unwrap();
    let report = index.validate(&ValidateConfig { ids: Some(points.rows()), ..ValidateConfig::default() });
    prop_assert!(report.is_valid(), "{report}: {:?}", report.violations);
    let outside = case.points(case.rows, 12);
    let (answers, _) = index.knn(&outside, case.k).unwrap();
    let radius = answers.distances.get(2).copied().filter(|distance| distance.is_finite()).unwrap_or(1.0);
    prop_assert_eq!(answers, brute::knn(&points, &outside, case.metric, case.k, |_| -1).unwrap());
    let (near, _) = index.within(&outside, radius).unwrap();
    prop_assert_eq!(near, brute::within(&points, &outside, case.metric, radius).unwrap());
    let (graph, _) = index.graph(case.k, false).unwrap();
    prop_assert_eq!(graph, brute::knn(&points, &points, case.metric, case.k, |row| row as i32).unwrap());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_points_make_a_valid_tree_that_answers_exactly(case in cases()) {
        check(&case)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn directions_make_a_valid_tree_that_answers_exactly(case in cases()) {
        // The offset keeps zero vectors out.
        let offset = if case.offset == 0.0 { 0.25 } else { case.offset };
        check_sphere(&Case { metric: MetricName::Angular, offset, rows: case.rows % 700, ..case })?;
    }

    #[test]
    fn places_make_a_valid_tree_that_answers_exactly(case in cases(), spread in select(vec![1e-9, 1e-3, 1.0, 20.0])) {
        // Coordinates are at most 4, so latitudes stay in range.
        let places = Case { metric: MetricName::Haversine, dim: 2, offset: 0.0, rows: case.rows % 700, ..case };
        check_sphere(&Case { scale: spread, ..places })?;
    }
}

/// One case of each kind that has broken such programs before, so that every run looks at it.
#[test]
fn the_hard_cases_hold_under_every_metric() {
    let plain = Case {
        shape: Shape::Cloud,
        rows: 500,
        dim: 3,
        dtype: Dtype::F32,
        metric: MetricName::Euclidean,
        scale: 1.0,
        offset: 0.0,
        base: 2.0,
        k: 9,
        seed: 5,
    };
    for metric in COORDINATES {
        for dtype in [Dtype::F32, Dtype::F64] {
            let plain = Case { metric, dtype, ..plain };
            for case in [
                Case { scale: 1e-30, ..plain },
                Case { scale: 1e30, dim: 20, ..plain },
                Case { offset: 1e10, scale: 1e-3, ..plain },
                Case { shape: Shape::Grid, rows: 2_000, dim: 2, k: 29, ..plain },
                Case { shape: Shape::Line, dim: 17, ..plain },
                Case { shape: Shape::Place, ..plain },
                Case { rows: 0, ..plain },
                Case { rows: 1, ..plain },
            ] {
                check(&case).unwrap_or_else(|problem| panic!("{case:?}: {problem}"));
            }
        }
    }
}
