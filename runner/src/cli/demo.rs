//! `covertree demo`: generate, build, query, compare with brute force, print one table.

use clap::Args;
use covertree::error::Error;
use covertree::generate::{Distribution, GenerateConfig};
use covertree::points::Points;
use covertree::{AnyIndex, BuildConfig, MetricName, brute};
use covertree_kernels::index::{Idx, LEN_MAX, NONE, idx_len};

use super::build::built;
use super::check::recall;
use super::record::{Counters, Outcome, Record};
use super::session::Session;

/// Generate points, build, query and compare with brute force, in one table
///
/// Every answer is held against a brute force by the metric's formula: the same neighbours, and distances equal bit for
/// bit. Exit code 1 if any differs.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  covertree demo --threads 2")]
pub(crate) struct DemoArgs {
    /// Points of each set
    #[arg(long, value_name = "N", default_value_t = 32_768)]
    pub rows: usize,
    /// Queries to each set
    #[arg(long, value_name = "Q", default_value_t = 1_024)]
    pub queries: usize,
}

/// One row of the table.
struct Case {
    distribution: Distribution,
    dim: usize,
    k: usize,
}

const CASES: [Case; 6] = [
    Case { distribution: Distribution::Gaussian, dim: 8, k: 8 },
    Case { distribution: Distribution::Gaussian, dim: 3, k: 50 },
    Case { distribution: Distribution::Uniform, dim: 2, k: 10 },
    Case { distribution: Distribution::Clusters, dim: 3, k: 10 },
    Case { distribution: Distribution::Lattice, dim: 3, k: 10 },
    Case { distribution: Distribution::Duplicates, dim: 3, k: 10 },
];

/// A checked request.
pub(crate) struct DemoPlan {
    rows: usize,
    queries: usize,
}

impl DemoArgs {
    pub fn plan(self, session: &Session) -> Result<DemoPlan, Error> {
        if self.rows == 0 || self.queries == 0 {
            return Err(Error::Usage("--rows and --queries must be at least 1".into()));
        }
        if self.rows.saturating_add(self.queries) > LEN_MAX {
            let Self { rows, queries } = self;
            return Err(Error::Usage(format!(
                "--rows {rows} and --queries {queries}: together they may be at most {LEN_MAX}; ask for fewer"
            )));
        }
        session.stages(4 * CASES.len() as u64);
        Ok(DemoPlan { rows: self.rows, queries: self.queries })
    }
}

impl DemoPlan {
    pub fn run(self, session: &Session) -> Result<Outcome, Error> {
        let runs: Result<Vec<Record>, Error> = CASES.iter().map(|case| self.run_case(case, session)).collect();
        let runs = runs?;
        let wrong = runs.iter().filter(|run| run.recall != Some(1.0) || run.distances_equal != Some(true)).count();
        let failed = (wrong > 0).then(|| format!("{wrong} of {} answers differ from brute force", runs.len()));
        let text = table(&runs, session);
        let record = Record { command: "demo", runs, ..Record::default() };
        Ok(Outcome { record, text, failed, ..Outcome::default() })
    }

    fn run_case(&self, case: &Case, session: &Session) -> Result<Record, Error> {
        let name = |stage| format!("{} {}-D: {stage}", case.distribution, case.dim);
        let (sets, _) = session.stage(&name("generating"), || self.generate(case, session.seed));
        let (points, queries) = sets?;
        let config = BuildConfig { seed: session.seed, ..BuildConfig::default() };
        let metric = MetricName::default();
        let (index, build_s) =
            session.stage(&name("building"), || AnyIndex::build_on(session.tier, "points", &points, metric, &config));
        let index = index?;
        let (found, query_s) = session.stage(&name("searching"), || index.knn(&queries, case.k));
        let (answers, counters) = found?;
        let (truth, _) =
            session.stage(&name("brute force"), || brute::knn(&points, &queries, metric, case.k, |_| NONE));
        let truth = truth?;
        let bits = |distances: &[f64]| distances.iter().map(|distance| distance.to_bits()).collect::<Vec<_>>();
        Ok(Record {
            data: Some(case.distribution.name()),
            threads: session.threads(),
            tier: session.tier.name(),
            version: env!("CARGO_PKG_VERSION"),
            seed: session.seed,
            queries: Some(queries.len()),
            k: Some(case.k),
            query_s: Some(query_s),
            total_s: build_s + query_s,
            rows_per_s: Some(queries.len() as f64 / query_s),
            counters: Some(counters.into()),
            recall: Some(recall(&truth, answers.ids.chunks(case.k))),
            distances_equal: Some(answers.ids == truth.ids && bits(&answers.distances) == bits(&truth.distances)),
            ..built(&index, "demo", build_s)
        })
    }

    /// The points, and queries that come from the same distribution; those to a lattice are some of its points, so that all
    /// of their neighbours tie.
    fn generate(&self, case: &Case, seed: u64) -> Result<(Points, Points), Error> {
        let lattice = case.distribution == Distribution::Lattice;
        let rows = if lattice { self.rows } else { self.rows + self.queries };
        let config =
            GenerateConfig { distribution: case.distribution, rows, dim: case.dim, seed, ..GenerateConfig::default() };
        let all = config.generate()?;
        let (len, count) = (idx_len(self.rows)?, idx_len(self.queries)?);
        let points: Vec<Idx> = (0..len).collect();
        let spread = |i: Idx| (i64::from(i) * i64::from(len) / i64::from(count)) as Idx; // below `len`
        let queries: Vec<Idx> = (0..count).map(|i| if lattice { spread(i) } else { len + i }).collect();
        Ok((all.take_rows(&points)?, all.take_rows(&queries)?))
    }
}

/// The table.
fn table(runs: &[Record], session: &Session) -> String {
    let mut text = format!(
        "covertree {} on {} threads, tier {}, seed {}; {} queries each, euclidean\n\n",
        env!("CARGO_PKG_VERSION"),
        session.threads(),
        session.tier,
        session.seed,
        runs.first().and_then(|run| run.queries).unwrap_or(0)
    );
    text.push_str(
        "data        points x dim    k  build (s)  queries/s  index (MiB)  distances/query  recall  equal bit for bit\n",
    );
    for run in runs {
        text.push_str(&line(run));
    }
    text
}

fn line(run: &Record) -> String {
    let size = format!("{} x {}", run.rows.unwrap_or(0), run.dim.unwrap_or(0));
    let evals = run.counters.map_or(0, |Counters { distance_evals, .. }| distance_evals);
    format!(
        "{:<11} {size:>12} {:>4} {:>10.4} {:>10.0} {:>12.2} {:>16.0} {:>7.4}  {:>17}\n",
        run.data.unwrap_or_default(),
        run.k.unwrap_or(0),
        run.build_s.unwrap_or(0.0),
        run.rows_per_s.unwrap_or(0.0),
        run.index_bytes.unwrap_or(0) as f64 / f64::from(1 << 20),
        evals as f64 / run.queries.unwrap_or(1) as f64,
        run.recall.unwrap_or(0.0),
        if run.distances_equal == Some(true) { "yes" } else { "NO" }
    )
}
