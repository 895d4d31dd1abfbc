//! What is compared with what.

use std::sync::Arc;

use covertree::build::{BatchOrder, Conflict, MisForm, Prefix};
use covertree::error::Error;
use covertree::formats::read_points;
use covertree::generate::{Distribution, GenerateConfig};
use covertree::points::{Dtype, Points};
use covertree::{BuildConfig, MetricName};
use covertree_kernels::index::{Idx, idx_len};

use super::{BenchArgs, Session, Sweep};

/// Queries to each tree.
const QUERIES: usize = 1024;

/// Sizes at which the strategies sweep shows how time grows, the full one included.
const SIZES: usize = 4;

/// The setting that all others of the strategies sweep are measured against, and the one that nobody has to choose.
const REFERENCE: &str = "dense";
const DEFAULT: &str = "default";

/// What stands between the names of a pair of settings.
pub(super) const AND: &str = " + ";

/// Points, and queries to them.
pub(super) struct Set {
    pub name: String,
    pub points: Points,
    pub queries: Points,
    /// What of it belongs to the plot of times by size.
    pub scaling: Scaling,
}

/// What of a set belongs to the plot of times by size.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scaling {
    /// Nothing.
    Not,
    /// The reference and the default; the others are built as well.
    Also,
    /// These two, and no others are built.
    Only,
}

/// One row to be.
pub(super) struct Case {
    pub set: Arc<Set>,
    pub metric: MetricName,
    pub strategy: String,
    pub config: BuildConfig,
    pub threads: usize,
    /// Whether the others of its set are measured against it.
    pub reference: bool,
    /// Whether it belongs to the plot of times by size.
    pub scaling: bool,
}

/// The cases of a sweep.
pub(super) fn of(args: &BenchArgs, session: &Session) -> Result<Vec<Case>, Error> {
    let plain = BuildConfig { seed: session.seed, ..BuildConfig::default() };
    let (threads, metric) = (session.threads(), MetricName::Euclidean);
    let sets = sets(args, session)?;
    let mut cases: Vec<Case> = Vec::new();
    let mut add = |set: &Arc<Set>, metric, strategy: &str, config: &BuildConfig, threads| {
        // Sizes, threads and metrics are measured against the first of their set.
        let reference = match args.sweep {
            Sweep::Strategies => strategy == REFERENCE,
            Sweep::Scale | Sweep::Metrics => cases.last().is_none_or(|last| !Arc::ptr_eq(&last.set, set)),
        };
        let scaling = set.scaling != Scaling::Not && [REFERENCE, DEFAULT].contains(&strategy);
        let (set, strategy, config) = (Arc::clone(set), strategy.to_owned(), config.clone());
        cases.push(Case { set, metric, strategy, config, threads, reference, scaling });
    };
    for set in &sets {
        match args.sweep {
            Sweep::Strategies => {
                let all = strategies(&plain, !args.singles);
                let some = |name: &str| set.scaling != Scaling::Only || [REFERENCE, DEFAULT].contains(&name);
                for (name, config) in all.iter().filter(|(name, _)| some(name)) {
                    add(set, metric, name, config, threads);
                }
            }
            Sweep::Scale => {
                add(set, metric, DEFAULT, &plain, 1);
                if threads > 1 {
                    add(set, metric, DEFAULT, &plain, threads);
                }
            }
            Sweep::Metrics => {
                let fits = |metric: &MetricName| *metric != MetricName::Haversine || set.points.dim() == 2;
                for metric in MetricName::ALL.iter().copied().filter(fits) {
                    add(set, metric, DEFAULT, &plain, threads);
                }
            }
        }
    }
    Ok(cases)
}

/// The sets of a sweep.
fn sets(args: &BenchArgs, session: &Session) -> Result<Vec<Arc<Set>>, Error> {
    if let Some(path) = &args.points {
        let points = read_points(path, &args.reading.options())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return of_file(points, &name, args.sweep);
    }
    let made = |distribution: Distribution, rows: usize, dim: usize, dtype: Dtype, scaling: Scaling| {
        let config =
            GenerateConfig { distribution, rows: rows + QUERIES, dim, dtype, seed: session.seed, intrinsic_dim: None };
        let all = config.generate()?;
        let (len, end) = (idx_len(rows)?, idx_len(rows + QUERIES)?);
        let (points, queries) = ((0..len).collect::<Vec<Idx>>(), (len..end).collect::<Vec<Idx>>());
        let name = format!("{distribution} {rows} x {dim} {}", if dtype == Dtype::F32 { "f32" } else { "f64" });
        Ok(Arc::new(Set { name, points: all.take_rows(&points)?, queries: all.take_rows(&queries)?, scaling }))
    };
    let (rows, single) = (args.rows, Dtype::F32);
    match args.sweep {
        Sweep::Strategies => shapes(rows)
            .into_iter()
            .map(|(shape, rows, dim, scaling)| made(shape, rows, dim, single, scaling))
            .collect(),
        Sweep::Scale => {
            let sizes = std::iter::successors(Some(rows), |&rows| (rows > 2_048).then_some(rows / 2));
            let mut sizes: Vec<usize> = sizes.collect();
            sizes.reverse();
            sizes.into_iter().map(|rows| made(Distribution::Uniform, rows, 3, single, Scaling::Also)).collect()
        }
        Sweep::Metrics => [(2, Dtype::F32), (2, Dtype::F64), (8, Dtype::F32), (8, Dtype::F64)]
            .into_iter()
            .map(|(dim, dtype)| made(Distribution::Uniform, rows, dim, dtype, Scaling::Not))
            .collect(),
    }
}

/// The generated sets of the strategies sweep: shape, rows, columns. Three shapes come in full; the others at a quarter, so that
/// the sweep stays short; and the first at lesser sizes too, with few settings.
fn shapes(rows: usize) -> Vec<(Distribution, usize, usize, Scaling)> {
    let mut shapes = vec![
        (Distribution::Gaussian, rows, 3, Scaling::Also),
        (Distribution::Gaussian, rows, 8, Scaling::Not),
        (Distribution::Clusters, rows, 2, Scaling::Not),
        (Distribution::Clusters, rows, 3, Scaling::Not),
        (Distribution::Annulus, rows, 2, Scaling::Not),
        (Distribution::Annulus, rows, 3, Scaling::Not),
    ];
    let seen: Vec<Distribution> = shapes.iter().map(|shape| shape.0).collect();
    let others = Distribution::ALL.iter().copied().filter(|shape| !seen.contains(shape));
    shapes.extend(others.map(|shape| (shape, (rows / 4).max(2), 3, Scaling::Not)));
    let lesser = lesser_steps(rows).map(|step| (Distribution::Gaussian, rows / step, 3, Scaling::Only));
    shapes.extend(lesser);
    shapes
}

/// Into how many parts so many rows are cut for each lesser size, the smallest size first; none of less than two rows.
fn lesser_steps(rows: usize) -> impl Iterator<Item = usize> {
    (1..SIZES).rev().map(|halvings| 1 << halvings).filter(move |step| rows / step >= 2)
}

/// The points of a file; for the strategies sweep also every second, fourth and eighth of them, which unlike the first ones are
/// spread as all are, however the file is sorted.
fn of_file(points: Points, name: &str, sweep: Sweep) -> Result<Vec<Arc<Set>>, Error> {
    let every = |step: usize| -> Result<Points, Error> {
        let rows: Vec<Idx> = (0..points.rows()).step_by(step).collect();
        points.take_rows(&rows)
    };
    let queries = every(points.len().div_ceil(QUERIES))?;
    let mut sets = Vec::new();
    if sweep == Sweep::Strategies {
        for step in lesser_steps(points.len()) {
            let (name, points) = (format!("{name}, one row in {step}"), every(step)?);
            sets.push(Arc::new(Set { name, points, queries: queries.clone(), scaling: Scaling::Only }));
        }
    }
    sets.insert(0, Arc::new(Set { name: name.to_owned(), points, queries, scaling: Scaling::Also }));
    Ok(sets)
}

/// A setting that differs from the reference, and which one it is.
type Setting = (&'static str, fn(&mut BuildConfig));

/// The settings by kind; those of one kind exclude each other.
const KINDS: [&[Setting]; 8] = [
    &[
        ("grid", |config| config.conflict = Conflict::Grid),
        ("two-phase", |config| config.conflict = Conflict::TwoPhase),
        ("parent", |config| config.conflict = Conflict::Parent),
        ("auto", |config| config.conflict = Conflict::Auto),
        ("nets", |config| (config.conflict, config.prefix) = (Conflict::Nets, Prefix::Auto)),
    ],
    &[
        ("random", |config| config.batch_order = BatchOrder::Random),
        ("hilbert", |config| config.batch_order = BatchOrder::Hilbert),
        ("morton", |config| config.batch_order = BatchOrder::Morton),
        ("natural", |config| config.batch_order = BatchOrder::Natural),
    ],
    &[("adaptive", |config| config.prefix = Prefix::Adaptive), ("whole", |config| config.prefix = Prefix::Whole)],
    &[("chain-cap 4", |config| config.chain_cap = Some(4))],
    &[("degree-cap 32", |config| config.degree_cap = Some(32))],
    &[("shard-pairs 4096", |config| config.shard_pairs = Some(4096))],
    &[("luby", |config| config.mis = MisForm::Luby)],
    &[("base 1.5", |config| config.base = 1.5), ("base 3", |config| config.base = 3.0)],
];

/// The reference (the whole graph, batches that double), the default, every setting by itself, and the pairs of settings of different
/// kinds. Pairs that the builder refuses are among them: their rows say why.
fn strategies(plain: &BuildConfig, pairs: bool) -> Vec<(String, BuildConfig)> {
    let dense = BuildConfig { conflict: Conflict::Dense, prefix: Prefix::Doubling, ..plain.clone() };
    let mut all = vec![(REFERENCE.to_owned(), dense.clone()), (DEFAULT.to_owned(), plain.clone())];
    for (kind, settings) in KINDS.iter().enumerate() {
        for (name, set) in *settings {
            let mut config = dense.clone();
            set(&mut config);
            all.push(((*name).to_owned(), config.clone()));
            let others = KINDS[kind + 1..].iter().flat_map(|others| others.iter());
            for (other, set_other) in others.filter(|_| pairs) {
                let mut config = config.clone();
                set_other(&mut config);
                all.push((format!("{name}{AND}{other}"), config));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_distinct_and_only_pairs_are_refused() {
        let plain = BuildConfig::default();
        assert_eq!(strategies(&plain, false).len(), 2 + 17);
        let all = strategies(&plain, true);
        assert!(all.iter().filter(|(_, config)| config.check().is_ok()).count() > 80);
        for (place, (name, config)) in all.iter().enumerate() {
            config.check().unwrap_or_else(|problem| assert!(name.contains(AND), "{name}: {problem}"));
            assert!(all[..place].iter().all(|(_, other)| other != config), "{name}");
        }
        assert!(all.iter().any(|(name, config)| name == "nets + adaptive" && config.check().is_err()));
    }

    #[test]
    fn every_shape_is_swept_and_one_of_them_at_several_sizes() {
        let shapes = shapes(8_192);
        assert!(Distribution::ALL.iter().all(|shape| shapes.iter().any(|other| other.0 == *shape)));
        let sizes: Vec<usize> = shapes.iter().filter(|shape| shape.3 != Scaling::Not).map(|shape| shape.1).collect();
        assert_eq!(sizes, [8_192, 1_024, 2_048, 4_096]);
        assert!((2..20).all(|rows| super::shapes(rows).iter().all(|shape| shape.1 >= 2)));
    }
}
