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

/// Points, and queries to them.
pub(super) struct Set {
    pub name: String,
    pub points: Points,
    pub queries: Points,
}

/// One row to be.
pub(super) struct Case {
    pub set: Arc<Set>,
    pub metric: MetricName,
    pub strategy: String,
    pub config: BuildConfig,
    pub threads: usize,
}

/// The cases of a sweep.
pub(super) fn of(args: &BenchArgs, session: &Session) -> Result<Vec<Case>, Error> {
    let plain = BuildConfig { seed: session.seed, ..BuildConfig::default() };
    let (threads, metric) = (session.threads(), MetricName::Euclidean);
    let sets = sets(args, session)?;
    let case = |set: &Arc<Set>, metric, strategy: &str, config: &BuildConfig, threads| Case {
        set: Arc::clone(set),
        metric,
        strategy: strategy.to_owned(),
        config: config.clone(),
        threads,
    };
    let mut cases = Vec::new();
    for set in &sets {
        match args.sweep {
            Sweep::Strategies => {
                for (name, config) in strategies(&plain, !args.singles) {
                    cases.push(case(set, metric, &name, &config, threads));
                }
            }
            Sweep::Scale => {
                cases.push(case(set, metric, "default", &plain, 1));
                if threads > 1 {
                    cases.push(case(set, metric, "default", &plain, threads));
                }
            }
            Sweep::Metrics => {
                let fits = |metric: &MetricName| *metric != MetricName::Haversine || set.points.dim() == 2;
                for metric in MetricName::ALL.into_iter().filter(fits) {
                    cases.push(case(set, metric, "default", &plain, threads));
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
        let step = points.len().div_ceil(QUERIES);
        let some: Vec<Idx> = (0..points.rows()).step_by(step).collect();
        let queries = points.take_rows(&some)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![Arc::new(Set { name, points, queries })]);
    }
    let made = |distribution: Distribution, rows: usize, dim: usize, dtype: Dtype| -> Result<Arc<Set>, Error> {
        let config =
            GenerateConfig { distribution, rows: rows + QUERIES, dim, dtype, seed: session.seed, intrinsic_dim: None };
        let all = config.generate()?;
        let (len, end) = (idx_len(rows)?, idx_len(rows + QUERIES)?);
        let (points, queries) = ((0..len).collect::<Vec<Idx>>(), (len..end).collect::<Vec<Idx>>());
        let name = format!("{distribution} {rows} x {dim} {}", if dtype == Dtype::F32 { "f32" } else { "f64" });
        Ok(Arc::new(Set { name, points: all.take_rows(&points)?, queries: all.take_rows(&queries)? }))
    };
    let (rows, single) = (args.rows, Dtype::F32);
    match args.sweep {
        Sweep::Strategies => [
            (Distribution::Gaussian, 3),
            (Distribution::Gaussian, 8),
            (Distribution::Clusters, 2),
            (Distribution::Clusters, 3),
            (Distribution::Annulus, 2),
            (Distribution::Annulus, 3),
        ]
        .into_iter()
        .map(|(distribution, dim)| made(distribution, rows, dim, single))
        .collect(),
        Sweep::Scale => {
            let sizes = std::iter::successors(Some(rows), |&rows| (rows > 2_048).then_some(rows / 2));
            let mut sizes: Vec<usize> = sizes.collect();
            sizes.reverse();
            sizes.into_iter().map(|rows| made(Distribution::Uniform, rows, 3, single)).collect()
        }
        Sweep::Metrics => [(2, Dtype::F32), (2, Dtype::F64), (8, Dtype::F32), (8, Dtype::F64)]
            .into_iter()
            .map(|(dim, dtype)| made(Distribution::Uniform, rows, dim, dtype))
            .collect(),
    }
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

/// The reference (the whole graph, batches that double), every setting by itself, and the pairs of settings of different kinds that mean something.
fn strategies(plain: &BuildConfig, pairs: bool) -> Vec<(String, BuildConfig)> {
    let plain = BuildConfig { conflict: Conflict::Dense, prefix: Prefix::Doubling, ..plain.clone() };
    let mut all = vec![("dense".to_owned(), plain.clone())];
    for (kind, settings) in KINDS.iter().enumerate() {
        for (name, set) in *settings {
            let mut config = plain.clone();
            set(&mut config);
            all.push(((*name).to_owned(), config.clone()));
            let others = KINDS[kind + 1..].iter().flat_map(|others| others.iter());
            for (other, set_other) in others.filter(|_| pairs) {
                let mut config = config.clone();
                set_other(&mut config);
                if config.check().is_ok() {
                    all.push((format!("{name} + {other}"), config));
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_distinct_and_legal() {
        let plain = BuildConfig::default();
        assert_eq!(strategies(&plain, false).len(), 1 + 17);
        let all = strategies(&plain, true);
        assert!(all.len() > 80, "{}", all.len());
        for (place, (name, config)) in all.iter().enumerate() {
            config.check().unwrap_or_else(|problem| panic!("{name}: {problem}"));
            assert!(all[..place].iter().all(|(_, other)| other != config), "{name}");
        }
    }
}
