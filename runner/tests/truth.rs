//! Answers under a residual metric against an oracle that shares nothing with the program: covariances, factor, `V`, `p` and
//! distances in twice the precision, neighbours by brute force. How far the two may differ is derived in
//! [`covertree_kernels::oracle::precise`].

use covertree::generate::{Distribution, GenerateConfig};
use covertree::points::{Points, Values};
use covertree::residual::{CovarianceConfig, Inducing, ResidualIndex, VecchiaOrder};
use covertree_kernels::covariance::{Covariance, CovarianceKind};
use covertree_kernels::oracle::double::Double;
use covertree_kernels::oracle::precise::{Parameters, Precise};

/// A set of points and a metric of them.
struct Workload {
    points: Points,
    inducing: Inducing,
    config: CovarianceConfig,
}

/// What a comparison found.
#[derive(Debug, Default)]
struct Findings {
    /// Pairs whose distances were compared.
    pairs: usize,
    /// The largest difference of two distances.
    error: f64,
    /// The largest difference, in tolerances.
    share: f64,
    /// The largest tolerance of a distance.
    tolerance: f64,
    /// Neighbours that must be who they are, for nobody else is as near or as far within the tolerances.
    decided: usize,
    /// All neighbours.
    neighbors: usize,
}

/// A point that may be a neighbour: its exact distance, and how far the program may be from it.
struct Candidate {
    id: usize,
    distance: Double,
    tolerance: f64,
}

impl Candidate {
    fn least(&self) -> f64 {
        self.distance.high - self.tolerance
    }

    fn most(&self) -> f64 {
        self.distance.high + self.tolerance
    }
}

impl Findings {
    /// Compares the neighbours of a point, nearest first, with all candidates.
    fn compare(&mut self, mut candidates: Vec<Candidate>, ids: &[i32], distances: &[f64]) {
        candidates.sort_by(|a, b| a.distance.partial_cmp(&b.distance).unwrap().then(a.id.cmp(&b.id)));
        let count = ids.len().min(candidates.len());
        assert!(ids[count..].iter().all(|&id| id == -1), "padding");
        let mut listed = vec![false; candidates.iter().map(|one| one.id + 1).max().unwrap_or(0)];
        for (&id, &distance) in ids[..count].iter().zip(distances) {
            let one = candidates.iter().find(|one| one.id as i32 == id).expect("a neighbour is a candidate");
            let error = (Double::from(distance) - one.distance).high.abs();
            assert!(error <= one.tolerance, "{id}: {distance} is off by {error:e}, more than {:e}", one.tolerance);
            assert!(!std::mem::replace(&mut listed[one.id], true), "{id} twice");
            self.pairs += 1;
            self.error = self.error.max(error);
            self.share = self.share.max(error / one.tolerance);
            self.tolerance = self.tolerance.max(one.tolerance);
        }
        // Nobody outside the list is nearer than somebody in it, beyond the tolerances.
        let reach = candidates.iter().filter(|one| listed[one.id]).map(Candidate::least).fold(f64::MIN, f64::max);
        for one in candidates.iter().filter(|one| !listed[one.id]) {
            assert!(one.most() >= reach, "{} is missing at distance {:?}", one.id, one.distance);
        }
        // Who is farther than all before it and nearer than all after it, beyond the tolerances, has its place.
        let mut after = vec![f64::INFINITY; candidates.len() + 1];
        for (place, one) in candidates.iter().enumerate().rev() {
            after[place] = after[place + 1].min(one.least());
        }
        let mut before = f64::MIN;
        for (place, one) in candidates[..count].iter().enumerate() {
            if before < one.least() && one.most() < after[place + 1] {
                assert_eq!(ids[place], one.id as i32, "place {place}, distance {:?}", one.distance);
                self.decided += 1;
            }
            self.neighbors += 1;
            before = before.max(one.most());
        }
    }
}

/// The Vecchia neighbours that the program finds, the nearest ten and all, against the oracle's.
fn compare(name: &str, workload: &Workload) -> Findings {
    let Workload { points, inducing, config } = workload;
    let index = ResidualIndex::fit(points, config, inducing, 3).unwrap();
    let explained = inducing.resolve(points, 3).unwrap();
    let parameters = Parameters {
        covariance: Covariance::new(config.kind, config.variance).unwrap(),
        lengthscales: &config.lengthscales,
        nugget: config.nugget,
        jitter: index.jitter().unwrap_or(config.jitter),
    };
    let explained = explained.map_or(Vec::new(), |explained| explained.to_f64().into_owned());
    let precise = Precise::new(parameters, points.dim(), &points.to_f64(), &explained);
    for (i, p) in index.v_and_p().unwrap().1.into_iter().enumerate() {
        let error = (Double::from(p) - precise.p(i)).high.abs();
        assert!(error <= precise.p_tolerance(i), "{name}: p of {i} is off by {error:e}");
    }
    let order = VecchiaOrder::Random.rows(points, 5).unwrap();
    let (few, all) = (index.vecchia(&order, 10).unwrap().0, index.vecchia(&order, points.len()).unwrap().0);
    let mut findings = Findings::default();
    for (rank, &row) in order.iter().enumerate() {
        let row = row as usize;
        let candidates = || {
            let earlier = order[..rank].iter().map(|&id| id as usize);
            earlier.map(|id| {
                let distance = precise.distance(row, id);
                Candidate { id, distance, tolerance: precise.tolerance(row, id, distance) }
            })
        };
        let own = row * points.len()..(row + 1) * points.len();
        findings.compare(candidates().collect(), &all.ids[own.clone()], &all.distances[own]);
        let (of_ten, own) = (row * 10..(row + 1) * 10, row * points.len()..row * points.len() + rank.min(10));
        assert_eq!(few.ids[of_ten.clone()][..rank.min(10)], all.ids[own.clone()], "{name}");
        assert_eq!(few.distances[of_ten][..rank.min(10)], all.distances[own], "{name}");
    }
    println!("{name}: {findings:?}");
    findings
}

fn gaussian(rows: usize, dim: usize) -> Points {
    GenerateConfig { distribution: Distribution::Gaussian, rows, dim, seed: 5, ..GenerateConfig::default() }
        .generate()
        .unwrap()
}

fn config(kind: CovarianceKind, lengthscales: &[f64]) -> CovarianceConfig {
    CovarianceConfig { kind, lengthscales: lengthscales.to_vec(), ..CovarianceConfig::default() }
}

/// What the tests below ask of a comparison: a largest tolerance, and a share of the neighbours that are decided.
#[track_caller]
fn check(name: &str, workload: &Workload, (tolerance, decided): (f64, f64)) {
    let findings = compare(name, workload);
    assert!(findings.tolerance <= tolerance, "{name}: {findings:?}");
    assert!(findings.decided as f64 >= decided * findings.neighbors as f64, "{name}: {findings:?}");
    assert!(findings.share > 1e-6, "{name}: a bound that is never near the truth says nothing: {findings:?}");
}

#[test]
fn smooth_covariances() {
    for (name, length, jitter, want) in [
        ("rbf", 0.8, 1e-6, (1e-2, 0.9)),
        ("rbf, long", 2.0, 1e-6, (1e-1, 0.5)),
        ("rbf, little jitter", 0.8, 1e-9, (1e-1, 0.5)),
    ] {
        let config = CovarianceConfig { jitter, ..config(CovarianceKind::Rbf, &[length]) };
        check(name, &Workload { points: gaussian(320, 3), inducing: Inducing::Random(50), config }, want);
    }
}

#[test]
fn rough_covariances() {
    for (kind, rows, columns) in
        [(CovarianceKind::Matern12, 300, 30), (CovarianceKind::Matern32, 300, 40), (CovarianceKind::Matern52, 420, 60)]
    {
        let workload =
            Workload { points: gaussian(rows, 2), inducing: Inducing::Net(columns), config: config(kind, &[0.7]) };
        check(&format!("{kind:?}"), &workload, (1e-2, 0.9));
    }
}

#[test]
fn lengthscales_nuggets_and_variances() {
    for nugget in [0.0, 0.1, 30.0] {
        let config = CovarianceConfig { variance: 3.0, nugget, ..config(CovarianceKind::Matern52, &[0.4, 2.0, 1.1]) };
        let workload = Workload { points: gaussian(300, 3), inducing: Inducing::Random(40), config };
        check(&format!("nugget {nugget}"), &workload, (1e-2, 0.9));
    }
}

/// Every point is there three times; so are some of the inducing points.
#[test]
fn copies_and_points_on_top_of_inducing_points() {
    let once = gaussian(100, 2).to_f64().into_owned();
    let points = Points::new(2, Values::F64([&once[..], &once, &once].concat())).unwrap();
    for kind in [CovarianceKind::Rbf, CovarianceKind::Matern32] {
        for (name, nugget) in [("copies", 0.0), ("copies with a nugget", 0.2)] {
            let rows = (0..30).chain(100..105).chain(200..205).collect();
            let config = CovarianceConfig { nugget, ..config(kind, &[0.7]) };
            let workload = Workload { points: points.clone(), inducing: Inducing::Rows(rows), config };
            check(&format!("{kind:?}, {name}"), &workload, (1e-1, 0.0));
        }
    }
}

#[test]
fn no_inducing_point_and_nothing_but_inducing_points() {
    for (name, kind, inducing) in [
        ("none", CovarianceKind::Rbf, Inducing::None),
        ("all, Matern 1/2", CovarianceKind::Matern12, Inducing::Random(200)),
        ("all, Matern 5/2", CovarianceKind::Matern52, Inducing::Random(200)),
    ] {
        let workload = Workload { points: gaussian(200, 2), inducing, config: config(kind, &[0.6]) };
        check(name, &workload, (1e-1, 0.5));
    }
}
