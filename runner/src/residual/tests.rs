//! Answers against the brute force by the formula, and refusals.

use covertree_kernels::covariance::CovarianceKind;
use covertree_kernels::simd::Tier;

use super::*;
use crate::generate::{Distribution, GenerateConfig};
use crate::points::Values;

fn points(rows: usize, dim: usize, seed: u64) -> Points {
    GenerateConfig { rows, dim, seed, ..GenerateConfig::default() }.generate().unwrap()
}

fn config(kind: CovarianceKind, length: f64) -> CovarianceConfig {
    CovarianceConfig { kind, lengthscales: vec![length], ..CovarianceConfig::default() }
}

/// All searches of an index against the reference, with one and three threads.
#[track_caller]
fn check(index: &ResidualIndex, orders: &[Vec<Idx>], ks: &[usize]) {
    let pools = [1, 3].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    for &k in ks {
        for order in orders {
            let want = reference::vecchia(index, order, k).unwrap();
            for pool in &pools {
                assert_eq!(pool.install(|| index.vecchia(order, k)).unwrap().0, want);
            }
        }
        for with_self in [false, true] {
            let want = reference::graph(index, k, with_self).unwrap();
            for pool in &pools {
                assert_eq!(pool.install(|| index.graph(k, with_self)).unwrap().0, want);
            }
        }
    }
}

fn orders(points: &Points) -> Vec<Vec<Idx>> {
    VecchiaOrder::ALL.iter().map(|order| order.rows(points, 7).unwrap()).collect()
}

#[test]
fn answers_are_those_of_the_formula() {
    for (kind, rows, inducing) in [
        (CovarianceKind::Rbf, 900, 100),
        (CovarianceKind::Matern52, 900, 100),
        (CovarianceKind::Matern32, 65, 3),
        (CovarianceKind::Matern12, 300, 300),
        (CovarianceKind::Rbf, 130, 0),
    ] {
        let points = points(rows, 3, 5);
        for tier in if rows < 500 { Tier::all().collect() } else { vec![Tier::detect()] } {
            let (config, options) = (config(kind, 0.8), FitOptions { tier, ..FitOptions::default() });
            let index =
                ResidualIndex::fit_with(options, "points", &points, &config, &Inducing::Random(inducing), 1).unwrap();
            check(&index, &orders(&points)[..2], &[10]);
        }
    }
}

/// Leaves of both precisions meet each other, as rows and as columns, with landmarks and without.
#[test]
fn points_that_need_double_precision_stand_apart() {
    let points = points(1500, 3, 6);
    for inducing in [40, 128] {
        let config = config(CovarianceKind::Matern52, 1.0);
        let index = ResidualIndex::fit(&points, &config, &Inducing::Random(inducing), 1).unwrap();
        let (hard, leaves) = (index.set.hard_leaves, index.set.layout.leaves());
        assert!(hard > 0 && hard < leaves, "{hard} of {leaves}");
        check(&index, &orders(&points)[..2], &[12]);
        let queries = self::points(300, 3, 9);
        assert_eq!(index.knn(&queries, 9).unwrap().0, reference::knn(&index, &queries, 9).unwrap());
    }
}

#[test]
fn a_strategy_changes_the_work_and_no_answer() {
    let points = points(1200, 2, 8);
    let order: Vec<Idx> = (0..1200).collect();
    for kind in [CovarianceKind::Rbf, CovarianceKind::Matern32] {
        let mut index = ResidualIndex::fit(&points, &config(kind, 0.6), &Inducing::Random(96), 1).unwrap();
        let (auto, work) = index.vecchia(&order, 8).unwrap();
        assert!(work.landmark.landmark_pruned > 0, "{work:?}");
        index.set_strategy(Strategy::Brute);
        let (brute, work) = index.vecchia(&order, 8).unwrap();
        assert!(work.landmark.landmark_bounded == 0 && work.residual.filtered >= 1200 * 1199 / 2, "{work:?}");
        assert_eq!(auto, brute);
    }
}

#[test]
fn orders_few_points_and_many_neighbours() {
    for rows in [1, 2, 9, 64, 65, 100] {
        let points = points(rows, 2, 9);
        let index =
            ResidualIndex::fit(&points, &config(CovarianceKind::Matern32, 0.5), &Inducing::Random(rows.min(4)), 3);
        check(&index.unwrap(), &orders(&points), &[1, 5, 120]);
    }
}

#[test]
fn duplicates_ties_nuggets_and_lengthscales() {
    let lattice: Vec<f64> = (0..300).flat_map(|i| [f64::from(i % 10), f64::from(i / 10 % 15)]).collect();
    let points = Points::new(2, Values::F64(lattice)).unwrap();
    for nugget in [0.0, 0.3] {
        let config = CovarianceConfig {
            kind: CovarianceKind::Matern52,
            variance: 2.5,
            lengthscales: vec![3.0, 5.0],
            nugget,
            jitter: 1e-6,
        };
        for inducing in [Inducing::None, Inducing::Net(30), Inducing::Rows((0..40).collect())] {
            check(&ResidualIndex::fit(&points, &config, &inducing, 3).unwrap(), &orders(&points), &[7]);
        }
    }
}

#[test]
fn variances_at_the_floor_and_inducing_points_everywhere() {
    // Every point is an inducing point, and the jitter is tiny: what remains is rounding.
    let points = points(150, 2, 2);
    for kind in [CovarianceKind::Matern12, CovarianceKind::Matern32] {
        let config = CovarianceConfig { jitter: 1e-14, ..config(kind, 0.7) };
        check(&ResidualIndex::fit(&points, &config, &Inducing::Random(150), 3).unwrap(), &orders(&points), &[6]);
    }
}

#[test]
fn prediction_and_radii() {
    let (points, queries) = (points(500, 3, 5), points(77, 3, 6));
    let index = ResidualIndex::fit(&points, &config(CovarianceKind::Rbf, 1.0), &Inducing::Random(30), 1).unwrap();
    let (answers, _) = index.knn(&queries, 9).unwrap();
    assert_eq!(answers, reference::knn(&index, &queries, 9).unwrap());
    let all = reference::knn(&index, &queries, 500).unwrap();
    let radius = answers.distances[8];
    let (within, _) = index.within(&queries, radius).unwrap();
    for query in 0..77 {
        let range = within.starts[query] as usize..within.starts[query + 1] as usize;
        let row = query * 500..(query + 1) * 500;
        let want = all.distances[row.clone()].iter().filter(|distance| **distance <= radius).count();
        assert_eq!(within.ids[range.clone()], all.ids[row.clone()][..want]);
        assert_eq!(within.distances[range], all.distances[row][..want]);
    }
    // Everything is within 1: lists grow as far as there are points.
    let (within, graph) = (index.graph_within(1.0).unwrap().0, reference::graph(&index, 499, false).unwrap());
    assert_eq!((within.ids, within.distances), (graph.ids, graph.distances));
    assert!(within.starts.iter().enumerate().all(|(row, &start)| start == 499 * row as i64));
}

#[test]
fn an_order_that_is_told_before_changes_no_answer() {
    let (points, config) = (points(1500, 3, 5), config(CovarianceKind::Matern52, 0.8));
    for order in orders(&points) {
        let options = FitOptions { order: Some(&order), ..FitOptions::default() };
        let index = ResidualIndex::fit_with(options, "points", &points, &config, &Inducing::Random(100), 1).unwrap();
        let (found, work) = index.vecchia(&order, 7).unwrap();
        assert_eq!(found, reference::vecchia(&index, &order, 7).unwrap());
        assert!(work.landmark.landmark_pruned > 0);
        let other: Vec<Idx> = order.iter().rev().copied().collect();
        assert_eq!(index.vecchia(&other, 7).unwrap().0, reference::vecchia(&index, &other, 7).unwrap());
    }
    let options = FitOptions { order: Some(&[0; 1500]), ..FitOptions::default() };
    let refused = ResidualIndex::fit_with(options, "points", &points, &config, &Inducing::Random(100), 1);
    assert!(matches!(refused, Err(Error::Usage(_))));
}

#[test]
fn no_more_than_two_copies_of_v_are_kept() {
    let points = points(1536, 3, 5); // whole leaves
    for (kind, length, inducing) in [
        (CovarianceKind::Matern52, 0.8, 128), // most leaves in single precision
        (CovarianceKind::Rbf, 2.0, 128),      // all in double precision
        (CovarianceKind::Matern12, 0.8, 40),  // no landmarks
    ] {
        let index = ResidualIndex::fit(&points, &config(kind, length), &Inducing::Random(inducing), 1).unwrap();
        let copies = index.bytes() as f64 / (1536 * inducing * 8) as f64;
        assert!(copies <= 2.0, "{kind:?}: {copies}");
        let (v, p) = index.v_and_p();
        let v = Points::new(inducing, Values::F64(v)).unwrap();
        let given = ResidualIndex::given(&points, &config(kind, length), &v, p).unwrap();
        assert_eq!(given.bytes(), 2 * 1536 * inducing * 8, "{kind:?}");
    }
}

#[test]
fn a_new_fit_on_old_memory_is_a_fresh_fit() {
    let points = points(700, 3, 5);
    let order = VecchiaOrder::Random.rows(&points, 3).unwrap();
    let options = FitOptions { order: Some(&order), ..FitOptions::default() };
    // Without landmarks and with them; all in double precision, then some, then all again.
    for inducing in [25, 100] {
        let fit = |config: &CovarianceConfig| {
            ResidualIndex::fit_with(options, "points", &points, config, &Inducing::Random(inducing), 1).unwrap()
        };
        let smooth = config(CovarianceKind::Rbf, 1.0);
        let mut again = fit(&smooth);
        for config in [config(CovarianceKind::Matern32, 0.4), config(CovarianceKind::Matern52, 0.8), smooth] {
            again.refit("points", &points, &config).unwrap();
            let fresh = fit(&config);
            assert_eq!(again.bytes(), fresh.bytes());
            let want = fresh.vecchia(&order, 8).unwrap().0;
            assert_eq!(again.vecchia(&order, 8).unwrap().0, want);
            again.set_strategy(Strategy::Brute);
            assert_eq!(again.vecchia(&order, 8).unwrap().0, want);
            let queries = self::points(70, 3, 6);
            let found = again.knn(&queries, 5).unwrap().0;
            again.set_strategy(Strategy::Auto);
            assert_eq!(again.knn(&queries, 5).unwrap().0, found);
            assert_eq!(found, reference::knn(&again, &queries, 5).unwrap());
        }
    }
}

#[test]
fn a_refused_fit_leaves_the_index_as_it_was() {
    let points = points(1500, 2, 5);
    let good = config(CovarianceKind::Matern32, 0.5);
    let mut index = ResidualIndex::fit(&points, &good, &Inducing::Random(100), 1).unwrap();
    let profile = index.profile(&ProfileConfig::default()).unwrap();
    index.set_gate("p.json", &profile, GateConfig::new(GateName::Lookup)).unwrap();
    let state = |index: &ResidualIndex| {
        let (answers, work) = index.graph(6, false).unwrap();
        (index.v_and_p(), index.bytes(), answers, work.gate)
    };
    let want = state(&index);
    assert!(want.3.gate1_candidates > 0);
    let mut refused = |points: &Points, config: &CovarianceConfig, message: &str| {
        let error = index.refit("points", points, config).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert_eq!((index.config(), index.jitter()), (&good, Some(good.jitter)));
        assert_eq!(state(&index), want);
    };
    refused(&points, &config(CovarianceKind::Matern32, -1.0), "lengthscale");
    refused(&points, &config(CovarianceKind::Matern32, 1e-300), "lengthscale");
    refused(&self::points(1499, 2, 5), &good, "the same points only");
    index.refit("points", &points, &good).unwrap();
    assert_eq!(index.v_and_p(), want.0);
    assert_eq!(index.graph(6, false).unwrap().1.gate, Default::default());

    let (v, p) = index.v_and_p();
    let v = Points::new(100, Values::F64(v)).unwrap();
    let mut given = ResidualIndex::given(&points, &good, &v, p).unwrap();
    assert!(given.refit("points", &points, &good).unwrap_err().to_string().contains("V and p were given"));
}

#[test]
fn given_v_and_p_are_taken_and_checked() {
    let points = points(90, 2, 5);
    let config = config(CovarianceKind::Matern52, 1.0);
    let fitted = ResidualIndex::fit(&points, &config, &Inducing::Random(12), 1).unwrap();
    let (v, p) = fitted.v_and_p();
    let given = |v: Vec<f64>, p: Vec<f64>| {
        let v = Points::new(12, Values::F64(v)).unwrap();
        ResidualIndex::given(&points, &config, &v, p)
    };
    let index = given(v.clone(), p.clone()).unwrap();
    let order: Vec<Idx> = (0..90).collect();
    assert_eq!(index.vecchia(&order, 5).unwrap().0, fitted.vecchia(&order, 5).unwrap().0);
    let refused = |v: Vec<f64>, p: Vec<f64>| given(v, p).err().unwrap().to_string();
    assert!(refused(v[12..].to_vec(), p.clone()).contains("V has 89 rows"));
    assert!(refused(v.clone(), p[1..].to_vec()).contains("p has 89 values"));
    let with = |value: f64| [&[value], &p[1..]].concat();
    for bad in [-1.0, 0.0, f64::NAN, f64::INFINITY, p[0] * 0.5] {
        assert!(refused(v.clone(), with(bad)).contains("at row 0"), "{bad}");
    }
    assert!(given(v.clone(), with(1.0)).is_ok(), "a larger p is a nugget");
    assert!(refused(v.iter().map(|v| v * 3.0).collect(), p.clone()).contains("square norm"));
    assert!(index.knn(&points, 3).err().unwrap().to_string().contains("new points"));
}

#[test]
fn bad_input_gives_one_clear_line() {
    let points = points(50, 2, 5);
    let base = config(CovarianceKind::Rbf, 1.0);
    let fit = |config: CovarianceConfig, inducing: Inducing| {
        let error = ResidualIndex::fit(&points, &config, &inducing, 1).err().unwrap().to_string();
        assert!(!error.contains('\n'));
        error
    };
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = fit(CovarianceConfig { lengthscales: vec![bad], ..base.clone() }, Inducing::None);
        assert!(error.contains("lengthscale"), "{error}");
        assert!(fit(CovarianceConfig { variance: bad, ..base.clone() }, Inducing::None).contains("variance"));
    }
    assert!(
        fit(CovarianceConfig { lengthscales: vec![1.0; 3], ..base.clone() }, Inducing::None).contains("3 lengthscales")
    );
    assert!(fit(CovarianceConfig { nugget: -0.1, ..base.clone() }, Inducing::None).contains("nugget"));
    assert!(fit(CovarianceConfig { jitter: 0.0, ..base.clone() }, Inducing::None).contains("jitter"));
    assert!(fit(base.clone(), Inducing::Random(51)).contains("51 inducing points"));
    assert!(fit(base.clone(), Inducing::Rows(vec![3, 50])).contains("row 50"));
    assert!(fit(base.clone(), Inducing::Rows(vec![3, -1])).contains("row -1"));
    assert!(fit(base.clone(), Inducing::Rows(vec![3, 4, 3])).contains("repeats row 3"));
    assert!(fit(base.clone(), Inducing::Rows(Vec::new())).contains("the list of inducing points is empty"));
    let other = Points::new(3, Values::F64(vec![0.0; 6])).unwrap();
    assert!(fit(base.clone(), Inducing::Points(other)).contains("3 columns"));
    let tiny = CovarianceConfig { lengthscales: vec![1e-300], ..base };
    assert!(fit(tiny, Inducing::None).contains("times the lengthscale 1e-300; choose a larger one"));
    let index = ResidualIndex::fit(&points, &CovarianceConfig::default(), &Inducing::None, 1).unwrap();
    assert!(index.vecchia(&[0, 1], 3).is_err() && index.vecchia(&[0; 50], 3).is_err());
    assert!(reference::vecchia(&index, &[-1; 50], 3).is_err());
    assert!(reference::vecchia_rows(&index, &[0; 50], &[1], 3).is_err());
    assert!(index.graph(0, false).is_err() && index.graph_within(f64::NAN).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn more_inducing_points_than_the_memory_holds_are_refused() {
    let long = GenerateConfig { rows: 1 << 20, dim: 1, ..GenerateConfig::default() }.generate().unwrap();
    let fit = |points: &Points, inducing: Inducing| {
        ResidualIndex::fit(points, &CovarianceConfig::default(), &inducing, 1).map(|_| ()).unwrap_err().to_string()
    };
    let refused = fit(&long, Inducing::Random(1 << 20));
    assert!(refused.contains("V of 1048576 points and 1048576 inducing points takes 16384 GiB"), "{refused}");
    let refused = fit(&points(8, 1, 3), Inducing::Points(long));
    assert!(refused.contains("the factor of 1048576 inducing points takes 32768 GiB"), "{refused}");
    let refused = set::check_room(1 << 31, 1 << 20).unwrap_err().to_string();
    assert!(refused.contains("takes 33554432 GiB") && refused.contains("choose fewer"), "{refused}");
}

#[test]
fn the_jitter_grows_where_it_must() {
    // All inducing points but one are the same: with the least jitter rounding makes the matrix indefinite.
    let values = [vec![0.25; 58], vec![1.0, 1.0]].concat();
    let points = Points::new(2, Values::F64(values)).unwrap();
    let config = CovarianceConfig { jitter: 1e-15, ..config(CovarianceKind::Rbf, 1.0) };
    let index = ResidualIndex::fit(&points, &config, &Inducing::Points(points.clone()), 1).unwrap();
    assert!(index.jitter().unwrap() >= 1e-15);
    check(&index, &[(0..30).collect()], &[3]);
}

#[test]
fn uniform_points_in_five_dimensions() {
    let config_points =
        GenerateConfig { distribution: Distribution::Uniform, rows: 600, dim: 5, seed: 4, ..GenerateConfig::default() };
    let points = config_points.generate().unwrap();
    let index = ResidualIndex::fit(&points, &config(CovarianceKind::Matern52, 0.5), &Inducing::Random(50), 1).unwrap();
    check(&index, &orders(&points)[3..], &[12]);
}
