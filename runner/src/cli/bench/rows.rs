//! Measuring, and the table.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write;
use std::time::Instant;

use covertree::build::telemetry::{BatchRow, LevelRow};
use covertree::error::Error;
use covertree::tree::validate::ValidateConfig;
use covertree::{AnyIndex, BuildConfig, Telemetry, Workers, brute};
use covertree_kernels::index::{Idx, NONE};
use serde::Serialize;

use super::Session;
use super::cases::Case;

/// Neighbours per query.
const K: usize = 8;

/// Queries that are compared with brute force.
const COMPARED: usize = 32;

/// The figures of a case.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub set: String,
    pub rows: usize,
    pub dim: usize,
    pub metric: &'static str,
    pub strategy: String,
    pub threads: usize,
    pub config: BuildConfig,
    /// Why the builder would not, in one line.
    pub refused: Option<String>,
    /// Median over the repeats.
    pub build_ms: f64,
    pub build_ms_all: Vec<f64>,
    /// Of the repeat that was the fastest, as all that follows.
    pub traversal_ms: f64,
    pub conflict_ms: f64,
    pub insert_ms: f64,
    pub worst_scatter_ms: f64,
    /// Finding and settling conflicts in batches of which more than half were dominated.
    pub dominated_conflict_ms: f64,
    pub pairs: u64,
    pub degree: f64,
    pub rho: f64,
    pub distance_evals: u64,
    pub tree_bytes: usize,
    /// The least over the repeats, per query.
    pub query_us: f64,
    /// Over that of the first row of the set.
    pub query_ratio: f64,
    pub valid: bool,
    pub exact: bool,
    /// For the plots.
    pub batches: Vec<BatchRow>,
    pub levels: Vec<LevelRow>,
}

impl Row {
    fn new(case: &Case) -> Self {
        Self {
            set: case.set.name.clone(),
            rows: case.set.points.len(),
            dim: case.set.points.dim(),
            metric: case.metric.name(),
            strategy: case.strategy.clone(),
            threads: case.threads,
            config: case.config.clone(),
            refused: None,
            build_ms: f64::NAN,
            build_ms_all: Vec::new(),
            traversal_ms: 0.0,
            conflict_ms: 0.0,
            insert_ms: 0.0,
            worst_scatter_ms: 0.0,
            dominated_conflict_ms: 0.0,
            pairs: 0,
            degree: 0.0,
            rho: 0.0,
            distance_evals: 0,
            tree_bytes: 0,
            query_us: f64::INFINITY,
            query_ratio: 1.0,
            valid: false,
            exact: false,
            batches: Vec::new(),
            levels: Vec::new(),
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names are strings; what is no number becomes null")
    }

    /// Takes over the stages of the fastest build.
    fn stages(&mut self, telemetry: Telemetry) {
        let totals = telemetry.totals();
        self.traversal_ms = totals.traversal_ms;
        self.conflict_ms = totals.conflict_graph_ms + totals.mis_ms;
        self.insert_ms = totals.insert_ms;
        self.pairs = totals.pairs_after + totals.local_mis_edges;
        self.degree = totals.pairs_before as f64 / totals.candidates.max(1) as f64;
        self.rho = totals.rho;
        self.distance_evals = totals.distance_evals;
        let batches = telemetry.batches.iter();
        self.worst_scatter_ms = batches.clone().map(|batch| batch.conflict_adj_scatter_ms).fold(0.0, f64::max);
        let dominated = batches.filter(|batch| batch.rho > 0.5);
        self.dominated_conflict_ms = dominated.map(|batch| batch.conflict_graph_ms + batch.mis_ms).sum();
        self.batches = telemetry.batches;
        self.levels = telemetry.levels;
    }
}

/// Builds all cases, in turn, `repeats` times over; validates and compares each once.
pub(super) fn measure(cases: &[Case], repeats: usize, session: &Session) -> Result<Vec<Row>, Error> {
    let mut rows: Vec<Row> = cases.iter().map(Row::new).collect();
    // One pool and one set of arenas for each number of threads.
    let mut pools = HashMap::new();
    for case in cases {
        if let Entry::Vacant(entry) = pools.entry(case.threads) {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(case.threads).build();
            let pool = pool.map_err(|problem| Error::Usage(format!("--threads {}: {problem}", case.threads)))?;
            let workers = pool.install(Workers::new);
            entry.insert((pool, workers));
        }
    }
    for repeat in 0..repeats {
        for (case, row) in cases.iter().zip(&mut rows) {
            if row.refused.is_none() {
                let (pool, workers) = &pools[&case.threads];
                pool.install(|| once(case, row, repeat == 0, workers, session))?;
            }
        }
    }
    let mut first: HashMap<String, f64> = HashMap::new();
    for row in rows.iter_mut().filter(|row| row.refused.is_none()) {
        let mut times = row.build_ms_all.clone();
        times.sort_by(f64::total_cmp);
        row.build_ms = times[times.len() / 2];
        row.query_ratio = row.query_us / *first.entry(row.set.clone()).or_insert(row.query_us);
    }
    Ok(rows)
}

/// One build of one case.
fn once(case: &Case, row: &mut Row, check: bool, workers: &Workers, session: &Session) -> Result<(), Error> {
    let started = Instant::now();
    let built =
        AnyIndex::build_with(session.tier, &case.set.name, &case.set.points, case.metric, &case.config, workers);
    let build_ms = started.elapsed().as_secs_f64() * 1e3;
    let (index, telemetry) = match built {
        Err(Error::Usage(reason)) => {
            row.refused = Some(reason);
            return Ok(());
        }
        other => other?,
    };
    if row.build_ms_all.iter().all(|&other| build_ms < other) {
        row.stages(telemetry);
    }
    row.build_ms_all.push(build_ms);
    let queries = &case.set.queries;
    let started = Instant::now();
    let (answers, _) = index.knn(queries, K)?;
    row.query_us = row.query_us.min(started.elapsed().as_secs_f64() * 1e6 / queries.len() as f64);
    if check {
        row.tree_bytes = index.bytes();
        row.valid = index.validate(&ValidateConfig::default()).is_valid();
        let step = queries.len().div_ceil(COMPARED);
        let some: Vec<Idx> = (0..queries.rows()).step_by(step).collect();
        let truth = brute::knn(&case.set.points, &queries.take_rows(&some)?, case.metric, K, |_| NONE)?;
        let found = some.iter().flat_map(|&row| {
            let row = row as usize * K; // a row of the queries
            answers.ids[row..row + K].iter().zip(answers.distances[row..row + K].iter().map(|d| d.to_bits()))
        });
        row.exact = found.eq(truth.ids.iter().zip(truth.distances.iter().map(|d| d.to_bits())));
    }
    Ok(())
}

/// The table: a block for each set.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for block in rows.chunk_by(|a, b| a.set == b.set) {
        let reference = &block[0];
        let _ = writeln!(
            text,
            "{}\n{:<30} {:>7} {:>10} {:>9} {:>11} {:>9} {:>9} {:>9} {:>7} {:>6}  checks",
            reference.set,
            "strategy",
            "threads",
            "build ms",
            "x",
            "traverse ms",
            "conflict",
            "insert",
            "degree",
            "query x",
            "rho"
        );
        for row in block {
            let name = if row.metric == "euclidean" { row.strategy.clone() } else { row.metric.to_owned() };
            if let Some(reason) = &row.refused {
                let _ = writeln!(text, "{name:<30} refused: {reason}");
                continue;
            }
            let _ = writeln!(
                text,
                "{name:<30} {:>7} {:>10.2} {:>9.2} {:>11.2} {:>9.2} {:>9.2} {:>9.2} {:>7.2} {:>6.2}  {}",
                row.threads,
                row.build_ms,
                row.build_ms / reference.build_ms,
                row.traversal_ms,
                row.conflict_ms,
                row.insert_ms,
                row.degree,
                row.query_ratio,
                row.rho,
                match (row.valid, row.exact) {
                    (true, true) => "valid, exact",
                    (false, _) => "INVALID",
                    (_, false) => "INEXACT",
                }
            );
        }
        text.push('\n');
    }
    text
}
