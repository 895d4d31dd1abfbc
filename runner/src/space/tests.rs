//! Whole trees against brute force, for every metric, and what is refused.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{knn, search_blocks};
use proptest::prelude::*;

use super::*;
use crate::answers::Answers;
use crate::brute;
use crate::build::BuildConfig;
use crate::generate::{Distribution, GenerateConfig};
use crate::index::Index;
use crate::metric::MetricName;
use crate::points::{Dtype, Points, Values};

const COORDINATES: [MetricName; 3] = [MetricName::Euclidean, MetricName::Manhattan, MetricName::Chebyshev];

/// Builds over rows of prepared values and asks for rows of prepared values.
fn ask<M: PanelMetric>(rows: Vec<M::Real>, asked: &[M::Real], width: usize, k: usize, own: bool) -> Answers {
    let index = Index::build(RowSpace::<M>::prepared(rows, width), &BuildConfig::default(), Tier::detect()).unwrap();
    let count = asked.len() / width;
    let query = |row: usize| <M::Kernel<'_> as QueryIsRow<'_, M::Real>>::from_row(&asked[row * width..][..width]);
    index.knn(count, k, query, |row| if own { NONE } else { row as Idx }).unwrap().0
}

/// The answer of a tree under a metric that is chosen at run time.
fn answer(metric: MetricName, points: &Points, queries: &Points, k: usize, own: bool) -> Answers {
    let preparation = Preparation::of(metric, "points", points).unwrap();
    let rows = preparation.points("points", points).unwrap();
    let asked = preparation.queries("queries", queries).unwrap();
    let width = preparation.width();
    let mut answers = match (metric, rows, asked) {
        (MetricName::Euclidean, Values::F32(rows), Values::F32(asked)) => {
            ask::<Euclidean<f32>>(rows, &asked, width, k, own)
        }
        (MetricName::Manhattan, Values::F32(rows), Values::F32(asked)) => {
            ask::<Manhattan<f32>>(rows, &asked, width, k, own)
        }
        (MetricName::Chebyshev, Values::F32(rows), Values::F32(asked)) => {
            ask::<Chebyshev<f32>>(rows, &asked, width, k, own)
        }
        (MetricName::Euclidean, Values::F64(rows), Values::F64(asked)) => {
            ask::<Euclidean<f64>>(rows, &asked, width, k, own)
        }
        (MetricName::Manhattan, Values::F64(rows), Values::F64(asked)) => {
            ask::<Manhattan<f64>>(rows, &asked, width, k, own)
        }
        (MetricName::Chebyshev, Values::F64(rows), Values::F64(asked)) => {
            ask::<Chebyshev<f64>>(rows, &asked, width, k, own)
        }
        (MetricName::Angular, Values::F64(rows), Values::F64(asked)) => ask::<Angular>(rows, &asked, width, k, own),
        (MetricName::Haversine, Values::F64(rows), Values::F64(asked)) => ask::<Haversine>(rows, &asked, width, k, own),
        (metric, rows, asked) => panic!("{metric}: {rows:?} {asked:?}"),
    };
    preparation.scaling.restore_all(&mut answers.distances);
    answers
}

/// Compares a tree with brute force, for outside queries and for the points themselves.
fn equals_brute_force(metric: MetricName, points: &Points, queries: &Points, k: usize) {
    for own in [true, false] {
        let queries = if own { queries } else { points };
        let except = |row: usize| if own { NONE } else { row as Idx };
        let expected = brute::knn(points, queries, metric, k, except).unwrap();
        let found = answer(metric, points, queries, k, own);
        assert_eq!(found.ids, expected.ids, "{metric}");
        let bits = |answers: &Answers| -> Vec<u64> { answers.distances.iter().map(|d| d.to_bits()).collect() };
        assert_eq!(bits(&found), bits(&expected), "{metric}");
    }
}

fn points(dim: usize, values: Vec<f64>) -> Points {
    Points::new(dim, Values::F64(values)).unwrap()
}

fn made(family: Distribution, rows: Idx, dim: usize, seed: u64) -> Points {
    let rows = usize::try_from(rows).unwrap();
    let config =
        GenerateConfig { distribution: family, rows, dim, seed, dtype: Dtype::F64, ..GenerateConfig::default() };
    config.generate().unwrap()
}

fn single(points: &Points) -> Points {
    let values = points.to_f64().iter().map(|&value| value as f32).collect(); // rounding is the point
    Points::new(points.dim(), Values::F32(values)).unwrap()
}

/// Places all over the globe, with many at the poles and on both sides of the date line.
fn globe(rows: Idx, seed: u64) -> Points {
    let uniform = made(Distribution::Uniform, rows, 2, seed);
    let mut values = uniform.to_f64().into_owned();
    for (row, place) in values.chunks_exact_mut(2).enumerate() {
        place[0] = 720.0 * place[0] - 360.0;
        place[1] = (200.0 * place[1] - 100.0).clamp(-90.0, 90.0);
        match row % 8 {
            0 => place.copy_from_slice(&[180.0 - place[0] / 1e6, place[1] / 1e5]),
            1 => place.copy_from_slice(&[place[0] / 1e9, 0.0]),
            2 => place.copy_from_slice(&[(place[0] / 10.0).round() * 10.0, (place[1] / 10.0).round() * 10.0]),
            _ => {}
        }
    }
    points(2, values)
}

#[test]
fn angles_equal_brute_force_by_boxes_and_by_balls() {
    for dim in [1, 2, 3, 8, 24] {
        for family in [Distribution::Gaussian, Distribution::Clusters, Distribution::Lattice] {
            let mut values = made(family, 600, dim, 7).to_f64().into_owned();
            for row in values.chunks_exact_mut(dim) {
                if row.iter().all(|value| *value == 0.0) {
                    row[0] = 1.0; // a lattice has its origin
                }
            }
            for d in 0..dim {
                values[d + dim] = -values[d]; // an antipode
                values[d + 2 * dim] = 3.0 * values[d]; // nearly the same direction
                values[d + 3 * dim] = 2.0 * values[d]; // the same direction
            }
            let data = points(dim, values);
            let mut asked = made(Distribution::Gaussian, 40, dim, 8).to_f64().into_owned();
            for d in 0..dim {
                asked[d] = -data.to_f64()[d];
            }
            equals_brute_force(MetricName::Angular, &data, &points(dim, asked), 9);
        }
    }
    let data = single(&made(Distribution::Gaussian, 300, 3, 9));
    equals_brute_force(MetricName::Angular, &data, &made(Distribution::Gaussian, 30, 3, 10), 5);
}

#[test]
fn places_equal_brute_force() {
    equals_brute_force(MetricName::Haversine, &globe(1500, 1), &globe(200, 2), 10);
    let lattice: Vec<f64> =
        (0..19).flat_map(|lat| (0..36).flat_map(move |lon| [10.0 * lon as f64, 10.0 * lat as f64 - 90.0])).collect();
    let lattice = points(2, lattice);
    equals_brute_force(MetricName::Haversine, &lattice, &globe(100, 3), 40);
    let answers = answer(MetricName::Haversine, &lattice, &lattice, 40, true);
    assert_eq!(answers.distances[..36], [0.0; 36], "all longitudes of a pole are one place");
}

#[test]
fn coordinates_of_extreme_size_equal_brute_force() {
    let data = made(Distribution::Gaussian, 400, 3, 11);
    let asked = made(Distribution::Gaussian, 40, 3, 12);
    let sized = |points: &Points, power: i32| {
        let values = points.to_f64().iter().map(|&value| libm::ldexp(value, power)).collect();
        self::points(3, values)
    };
    for metric in COORDINATES {
        let plain = answer(metric, &data, &asked, 6, true);
        for power in [-1060, -700, -401, -300, 300, 499, 600, 1020] {
            let (data, asked) = (sized(&data, power), sized(&asked, power));
            equals_brute_force(metric, &data, &asked, 6);
            if power > -900 && power < 1000 {
                let found = answer(metric, &data, &asked, 6, true);
                assert_eq!(found.ids, plain.ids, "{metric} 2^{power}");
                let distances: Vec<f64> = plain.distances.iter().map(|d| libm::ldexp(*d, power)).collect();
                assert_eq!(found.distances, distances, "{metric} 2^{power}");
            }
        }
        for power in [-140, -100, -40, -20, 40, 70, 120] {
            equals_brute_force(metric, &single(&sized(&data, power)), &single(&sized(&asked, power)), 6);
            equals_brute_force(metric, &single(&data), &single(&sized(&asked, power)), 6);
        }
    }
}

#[test]
fn the_preparation_fits_the_magnitude() {
    let of = |values: Values, dim: usize| {
        let points = Points::new(dim, values).unwrap();
        let preparation = Preparation::of(MetricName::Euclidean, "points", &points).unwrap();
        (preparation.dtype, preparation.scaling.exponent())
    };
    let double = |value: f64| of(Values::F64(vec![value, 0.0]), 1);
    let narrow = |value: f64, dim: usize| of(Values::F32(vec![value as f32; dim]), dim);
    let power = |exponent: i32| libm::ldexp(1.0, exponent);
    assert_eq!(double(0.0), (Dtype::F64, 0));
    assert_eq!((double(power(500)), double(power(-400))), ((Dtype::F64, 0), (Dtype::F64, 0)));
    assert_eq!(double(power(500).next_up()), (Dtype::F64, 100));
    assert_eq!(double(f64::MAX), (Dtype::F64, 623));
    assert_eq!(double(power(-400).next_down()), (Dtype::F64, -401));
    assert_eq!(double(5e-324), (Dtype::F64, -1074));
    assert_eq!(
        (narrow(0.0, 1), narrow(1.0, 700), narrow(power(60), 1)),
        ((Dtype::F32, 0), (Dtype::F32, 0), (Dtype::F32, 0))
    );
    assert_eq!((narrow(power(60), 2), narrow(power(-31), 1)), ((Dtype::F64, 0), (Dtype::F64, 0)));
    for exponent in [-1074, -401, 0, 100, 623] {
        assert_eq!(Scaling::from_exponent(exponent).map(Scaling::exponent), Some(exponent));
    }
    assert!([-1075, -400, -1, 99, 624].into_iter().all(|exponent| Scaling::from_exponent(exponent).is_none()));
    assert_eq!((Scaling::SAFE, Scaling::of(f64::MAX).limit()), (power(502), f64::MAX));
}

#[test]
fn queries_of_another_precision_are_never_rounded() {
    let data = single(&made(Distribution::Lattice, 300, 3, 13));
    let preparation = Preparation::of(MetricName::Euclidean, "points", &data).unwrap();
    let exact = points(3, vec![0.5, 0.25, -3.0, 1e10, 0.0, -0.0]);
    assert_eq!(preparation.queries("q", &exact).unwrap(), Values::F32(vec![0.5, 0.25, -3.0, 1e10, 0.0, -0.0]));
    let asked = points(3, vec![0.5, 0.1, -3.0, 1e-300, 1e100, 0.0]);
    let Values::F64(rows) = preparation.queries("q", &asked).unwrap() else { panic!("0.1 is no f32") };
    assert_eq!(rows, asked.to_f64().as_ref());
    // The tree over the points in f32 serves for a copy in f64.
    let space = RowSpace::<Euclidean<f32>>::prepare("points", &data, Scaling::NONE).unwrap();
    let index = Index::build(space, &BuildConfig::default(), Tier::detect()).unwrap();
    let copy = RowSpace::<Euclidean<f64>>::prepare("points", &data, Scaling::NONE).unwrap();
    let packed = copy.pack(index.tree(), Tier::detect());
    let kernel = copy.kernel(&packed);
    let expected = brute::knn(&data, &asked, MetricName::Euclidean, 4, |_| NONE).unwrap();
    let mut memory = vec![Block::default(); search_blocks(index.tree().parts().waiting)];
    for (row, query) in rows.chunks_exact(3).enumerate() {
        let (mut distances, mut ids) = ([0.0; 4], [0; 4]);
        let arena = &mut Arena::new(&mut memory);
        knn(Tier::detect(), index.tree().view(), &kernel, query, NONE, &mut distances, &mut ids, arena).unwrap();
        assert_eq!((&ids[..], &distances[..]), (&expected.ids[4 * row..][..4], &expected.distances[4 * row..][..4]));
    }
}

#[test]
fn what_a_metric_cannot_take_is_named() {
    let refusal = |metric, points: &Points, queries: &Points| {
        let tree = Preparation::of(metric, "points", points).and_then(|preparation| {
            preparation.points("points", points)?;
            preparation.queries("queries", queries)
        });
        let brute = brute::knn(points, queries, metric, 1, |_| NONE);
        let (tree, brute) = (tree.unwrap_err().to_string(), brute.unwrap_err().to_string());
        assert_eq!(tree, brute);
        assert!(!tree.contains('\n'));
        tree
    };
    let mut zeros = vec![1.0; 6000];
    zeros[4004..4006].fill(0.0);
    let (zeros, fine) = (points(2, zeros), points(2, vec![1.0, 2.0]));
    let text = refusal(MetricName::Angular, &zeros, &fine);
    assert_eq!(
        text,
        "points: row 2002 (counted from 0) is a zero vector, which has no direction; remove such rows, or choose \
         another metric"
    );
    assert!(refusal(MetricName::Angular, &fine, &zeros).starts_with("queries: row 2002 "));
    let text = refusal(MetricName::Haversine, &points(2, vec![0.0, 0.0, 500.0, 90.5]), &fine);
    assert_eq!(
        text,
        "points: row 1, column 1 (counted from 0) is 90.5, and a latitude lies between -90 and 90 degrees; correct \
         it, and see that the columns are longitude, latitude"
    );
    let cube = points(3, vec![1.0; 3]);
    assert!(refusal(MetricName::Haversine, &cube, &cube).starts_with("points: has a column count of 3, and haversine"));
    let text = refusal(MetricName::Euclidean, &fine, &cube);
    assert!(text.starts_with("queries: has a column count of 3 where the points have 2;"), "{text}");
    let text = refusal(MetricName::Manhattan, &fine, &points(2, vec![0.0, 0.0, 0.0, -1e200]));
    assert_eq!(
        text,
        "queries: row 1, column 1 (counted from 0) is -1e200, and distances to these points can be computed up to a \
         magnitude of 1.3093562431584567e151; remove such rows"
    );
    let tiny = points(2, vec![1e-200, 0.0]);
    assert!(refusal(MetricName::Euclidean, &tiny, &fine).starts_with("queries: row 0, column 0 "));
    let narrow = RowSpace::<Euclidean<f32>>::prepare("x.npy", &points(2, vec![0.5, 0.1]), Scaling::NONE);
    let text = narrow.err().unwrap().to_string();
    assert!(
        text.starts_with("x.npy: row 0, column 1 (counted from 0) is 1e-1, which is no f32 as the points are;"),
        "{text}"
    );
}

/// One type for all closures of the tests, so that the builder is compiled for one.
pub(crate) type Closure = Box<dyn Fn(&u32, &u32) -> f64 + Send + Sync>;

/// The items `0..len` under a closure.
pub(crate) fn numbers(len: u32, distance: impl Fn(u32, u32) -> f64 + Send + Sync + 'static) -> ItemSpace<u32, Closure> {
    let distance: Closure = Box::new(move |a, b| distance(*a, *b));
    ItemSpace::new((0..len).collect(), distance).unwrap()
}

fn indexed(space: ItemSpace<u32, Closure>) -> Result<Index<ItemSpace<u32, Closure>>, Error> {
    Index::build(space, &BuildConfig::default(), Tier::detect())
}

/// The letters in which two words differ, and the difference of their lengths.
fn differ(a: &str, b: &str) -> f64 {
    (a.bytes().zip(b.bytes()).filter(|(a, b)| a != b).count() + a.len().abs_diff(b.len())) as f64
}

#[test]
fn items_under_a_closure_equal_brute_force() {
    let words: Vec<String> = (0..730u32).map(|i| format!("{:b}", i * i * 31 % 997)).collect();
    let known = words.clone();
    // The last thirty words are in the data of the closure, and not in the tree.
    let index = indexed(numbers(700, move |a, b| differ(&known[a as usize], &known[b as usize]))).unwrap();
    let space = index.space();
    let asked: Vec<u32> = (700..730).collect();
    let (found, _) = index.knn(30, 12, |row| space.outside(&asked[row], row), |_| NONE).unwrap();
    let expected = brute::knn_by(700, 30, 12, |_| NONE, |q, p| differ(&words[700 + q], &words[p])).unwrap();
    assert_eq!(found, expected);
    let (found, _) = index.knn(700, 5, |row| space.member(row), |row| row as Idx).unwrap();
    let expected = brute::knn_by(700, 700, 5, |row| row as Idx, |q, p| differ(&words[q], &words[p])).unwrap();
    assert_eq!(found, expected);
    let (found, _) = index.within(30, 4.0, |row| space.outside(&asked[row], row)).unwrap();
    assert_eq!(found.len(), 30);
    for (query, word) in words[700..].iter().enumerate() {
        let distances = words[..700].iter().map(|other| differ(word, other));
        let mut near: Vec<(f64, Idx)> = distances.zip(0..).filter(|near| near.0 <= 4.0).collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (ids, distances) = found.row(query);
        assert!(distances.iter().copied().zip(ids.iter().copied()).eq(near), "query {query}");
    }
    assert!(index.within(1, -1.0, |row| space.outside(&asked[row], row)).is_err());
}

#[test]
fn a_declared_slack_makes_an_inaccurate_closure_exact() {
    let data = made(Distribution::Gaussian, 500, 3, 14).to_f64().into_owned();
    // An arc cosine: symmetric, and off by far more than a few units where angles are small.
    let angle = move |a: u32, b: u32| {
        let row = |i: u32| &data[3 * i as usize..][..3];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b);
        let (a, b) = (row(a), row(b));
        libm::acos((dot(a, b) / libm::sqrt(dot(a, a) * dot(b, b))).clamp(-1.0, 1.0))
    };
    let space = numbers(500, angle.clone()).with_slack(Slack { absolute: 1e-6, ..Slack::default() });
    let index = indexed(space).unwrap();
    let (found, _) = index.knn(500, 7, |row| index.space().member(row), |row| row as Idx).unwrap();
    let by_number = |q: usize, p: usize| angle(q.min(p) as u32, q.max(p) as u32);
    let expected = brute::knn_by(500, 500, 7, |row| row as Idx, by_number).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn a_closure_that_is_no_metric_is_reported_with_its_rows() {
    let build = |threads: usize, wrong: f64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        // Every eighth row is in the sample of those all of whose distances are asked for, so some of these are.
        let space = numbers(2000, move |a, b| if a % 7 == 3 && b % 7 == 3 { wrong } else { f64::from(a.abs_diff(b)) });
        pool.install(|| indexed(space).err().map(|error| error.to_string()))
    };
    for wrong in [f64::NAN, -1.0, f64::INFINITY] {
        let text = build(1, wrong).unwrap();
        assert!(text.starts_with("the distance between rows "), "{text}");
        assert!(text.ends_with(" (counted from 0) is negative or not a finite number; correct the distance function"));
        assert_eq!(build(2, wrong), Some(text), "the same on any number of threads");
    }
    let index = indexed(numbers(50, |a, b| if a == 99 { f64::NAN } else { f64::from(a.abs_diff(b)) })).unwrap();
    let asked = [3, 99];
    let query = |row: usize| index.space().outside(&asked[row], row);
    let text = index.knn(2, 1, query, |_| NONE).unwrap_err().to_string();
    // The first row that the search asked about, whichever that is.
    assert!(text.starts_with("the distance between query 1 and row "), "{text}");
    assert!(text.ends_with(" (counted from 0) is negative or not a finite number; correct the distance function"));
    assert_eq!(index.knn(1, 1, query, |_| NONE).unwrap().0.ids, [3], "one bad query spoils no other call");
}

#[test]
fn all_calls_that_overlap_are_told_what_is_wrong() {
    let index = indexed(numbers(30, |a, b| if a.max(b) == 99 { f64::NAN } else { f64::from(a.abs_diff(b)) })).unwrap();
    let (mut one, mut other) = (index.searcher(), index.searcher());
    let (mut distances, mut ids) = ([0.0], [0]);
    one.knn(index.space().outside(&99, 7), NONE, &mut distances, &mut ids).unwrap();
    // Whoever asks first takes nothing from the other.
    let first = other.check().unwrap_err().to_string();
    assert!(first.starts_with("the distance between query 7 and row "), "{first}");
    assert_eq!(one.check().unwrap_err().to_string(), first);
    one.knn(index.space().outside(&3, 0), NONE, &mut distances, &mut ids).unwrap();
    assert_eq!(ids, [3]);
    assert!(one.check().is_ok() && other.check().is_ok() && index.searcher().check().is_ok());
}

#[test]
fn no_items_and_equal_items_are_legal() {
    for len in 0..3 {
        let index = indexed(numbers(len, |_, _| 0.0)).unwrap();
        let (answers, _) = index.knn(1, 3, |row| index.space().outside(&9, row), |_| NONE).unwrap();
        assert_eq!(answers.ids.iter().filter(|id| **id != NONE).count(), len as usize);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_metric_equals_brute_force(
        metric in prop::sample::select(MetricName::ALL.to_vec()),
        (rows, dim, seed) in (1..400 as Idx, 1usize..20, any::<u64>()),
        family in prop::sample::select(vec![Distribution::Gaussian, Distribution::Clusters, Distribution::Duplicates, Distribution::Filament]),
        (power, narrow, k) in (prop_oneof![-460..480, 520..1000], any::<bool>(), 1usize..12),
    ) {
        if metric == MetricName::Haversine {
            equals_brute_force(metric, &globe(rows, seed), &globe(17, seed ^ 1), k);
        } else {
            let power = if narrow { power / 12 } else { power };
            let sized = |seed: u64, rows: Idx| {
                let values = made(family, rows, dim, seed).to_f64().iter().map(|&value| libm::ldexp(value, power)).collect();
                let points = points(dim, values);
                if narrow { single(&points) } else { points }
            };
            equals_brute_force(metric, &sized(seed, rows), &sized(seed ^ 1, 17), k);
        }
    }
}

#[test]
fn rows_are_checked() {
    let refused = |data: Vec<f64>, dim| RowSpace::<Euclidean<f64>>::new(data, dim).err().unwrap().to_string();
    assert!(refused(vec![1.0; 3], 0).starts_with("rows: "));
    assert!(refused(vec![1.0; 3], 2).contains("whole rows"));
    assert!(refused(vec![1.0, 2.0, 3.0, f64::NAN], 2).contains("row 1, column 1"));
    assert!(refused(vec![1.0, -1e200], 2).contains("row 0, column 1"));
    assert!(RowSpace::<Euclidean<f32>>::new(vec![1e19, 0.0], 2).is_err());
    let space = RowSpace::<Euclidean<f32>>::new(vec![1e18, 0.0], 2).unwrap();
    let wrong = space.queries(Tier::detect()).query(&[1.0]).err();
    assert_eq!(wrong, Some(KernelError::Shape { what: "row", want: 2, got: 1 }));
}

#[test]
fn a_tree_over_the_same_points_is_an_index_again() {
    let circle = |a: u32, b: u32| f64::from(a.abs_diff(b).min(300 - a.abs_diff(b)));
    let built = indexed(numbers(300, circle)).unwrap();
    let again = |len, tree: &Tree| Index::of_tree(numbers(len, circle), tree.clone(), Tier::detect());
    let index = again(300, built.tree()).unwrap();
    let answers = |index: &Index<ItemSpace<u32, Closure>>| {
        index.knn(300, 7, |row| index.space().member(row), |row| row as Idx).unwrap().0
    };
    assert_eq!(answers(&index), answers(&built));

    let points = single(&made(Distribution::Gaussian, 500, 3, 5));
    let space = |points| RowSpace::<Euclidean<f32>>::prepare("points", points, Scaling::NONE).unwrap();
    let built = Index::build(space(&points), &BuildConfig::default(), Tier::detect()).unwrap();
    let rows = Index::of_tree(space(&points), built.tree().clone(), Tier::detect()).unwrap();
    let Values::F32(asked) = points.values() else { panic!("made so") };
    let found = rows.knn(500, 3, |row| &asked[3 * row..][..3], |_| NONE).unwrap().0;
    assert_eq!(found, brute::knn(&points, &points, MetricName::Euclidean, 3, |_| NONE).unwrap());

    // Under balls, the reaches are the tree's own.
    let wide = made(Distribution::Gaussian, 300, 20, 5);
    let space = || RowSpace::<Manhattan<f64>>::prepare("points", &wide, Scaling::NONE).unwrap();
    let built = Index::build(space(), &BuildConfig::default(), Tier::detect()).unwrap();
    assert_eq!(built.tree().order(), Order::Blocks);
    let balls = Index::of_tree(space(), built.tree().clone(), Tier::detect()).unwrap();
    let Values::F64(asked) = wide.values() else { panic!("made so") };
    let found = balls.knn(300, 3, |row| &asked[20 * row..][..20], |_| NONE).unwrap().0;
    assert_eq!(found, brute::knn(&wide, &wide, MetricName::Manhattan, 3, |_| NONE).unwrap());
    for len in [0, 1] {
        let few = indexed(numbers(len, circle)).unwrap();
        let few = again(len, few.tree()).unwrap();
        assert_eq!(
            few.knn(len as usize, 1, |row| few.space().member(row), |_| NONE).unwrap().0.ids,
            vec![0; len as usize]
        );
    }

    for len in [299, 301] {
        let text = again(len, index.tree()).unwrap_err().to_string();
        assert!(text.starts_with(&format!("this tree of 300 points is not one of these {len}: ")), "{text}");
    }
    let mut twice = index.tree().clone();
    twice.ids.to_mut()[5] = twice.ids[6];
    assert!(again(300, &twice).unwrap_err().to_string().starts_with("this tree of 300 points is not one of"));
    let mut blocks = index.tree().clone();
    blocks.order = Order::Blocks;
    assert!(again(300, &blocks).unwrap_err().to_string().contains("laid out for another kind of points"));
}
