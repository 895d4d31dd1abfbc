//! Measuring, and the table.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::time::Instant;

use covertree::build::telemetry::{BatchRow, LevelRow};
use covertree::error::Error;
use covertree::tree::validate::ValidateConfig;
use covertree::{AnyIndex, BuildConfig, Telemetry, Workers, brute};
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::tree::TWIN;
use serde::Serialize;

use super::Session;
use super::cases::{AND, Case};

/// Neighbours per query.
const K: usize = 8;

/// Queries that are compared with brute force.
const COMPARED: usize = 32;

/// Queries that take longer than this many times those of the reference are marked.
pub(super) const QUERY_LIMIT: f64 = 1.1;

/// The figures of a case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub set: String,
    pub rows: usize,
    pub dim: usize,
    pub metric: &'static str,
    pub strategy: String,
    pub threads: usize,
    /// Whether the others of its set are measured against it.
    pub reference: bool,
    /// Whether it belongs to the plot of times by size.
    pub scaling: bool,
    pub config: BuildConfig,
    /// Why it was not built, in one line.
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
    /// Over that of the reference of the set; no number where that was refused.
    pub query_ratio: f64,
    /// Whether that is beyond the limit; nothing for the reference itself, and under another metric or on other threads.
    pub query_slow: Option<bool>,
    pub valid: bool,
    pub exact: bool,
    /// For the plots.
    pub batches: Vec<BatchRow>,
    pub levels: Vec<LevelRow>,
    /// Level and nodes on it; twins have none.
    pub nodes: BTreeMap<i32, usize>,
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
            reference: case.reference,
            scaling: case.scaling,
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
            query_ratio: f64::NAN,
            query_slow: None,
            valid: false,
            exact: false,
            batches: Vec::new(),
            levels: Vec::new(),
            nodes: BTreeMap::new(),
        }
    }

    /// What tells it from the others of its set.
    pub fn name(&self) -> &str {
        if self.metric == "euclidean" { &self.strategy } else { self.metric }
    }

    /// Whether it is no pair of settings.
    pub fn is_single(&self) -> bool {
        !self.strategy.contains(AND)
    }

    /// What was found wrong with it, or nothing.
    pub fn checks(&self) -> &'static str {
        match (self.valid, self.exact) {
            (true, true) => "valid, exact",
            (false, _) => "INVALID",
            (_, false) => "INEXACT",
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
        // Not a sum: that of nothing is minus zero.
        self.dominated_conflict_ms = dominated.fold(0.0, |sum, batch| sum + batch.conflict_graph_ms + batch.mis_ms);
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
    for row in rows.iter_mut().filter(|row| row.refused.is_none()) {
        let mut times = row.build_ms_all.clone();
        times.sort_by(f64::total_cmp);
        row.build_ms = times[times.len() / 2];
    }
    rows.chunk_by_mut(|a, b| a.set == b.set).for_each(compare);
    Ok(rows)
}

/// The reference of the rows of a set, unless it was refused: no other takes its place.
pub(super) fn reference(block: &[Row]) -> Option<&Row> {
    block.iter().find(|row| row.reference && row.refused.is_none())
}

/// Measures the queries of the rows of a set against those of its reference.
fn compare(block: &mut [Row]) {
    let Some(reference) = reference(block) else { return };
    let (query_us, metric, threads) = (reference.query_us, reference.metric, reference.threads);
    for row in block.iter_mut().filter(|row| row.refused.is_none()) {
        row.query_ratio = row.query_us / query_us;
        let alike = !row.reference && row.metric == metric && row.threads == threads;
        row.query_slow = alike.then_some(row.query_ratio > QUERY_LIMIT);
    }
}

/// One build of one case.
fn once(case: &Case, row: &mut Row, check: bool, workers: &Workers, session: &Session) -> Result<(), Error> {
    let started = Instant::now();
    let built =
        AnyIndex::build_with(session.tier, &case.set.name, &case.set.points, case.metric, &case.config, workers);
    let build_ms = started.elapsed().as_secs_f64() * 1e3;
    let (index, telemetry) = match built {
        // Points need not suit every setting and metric: such a row says so, and the others are measured.
        Err(error @ (Error::Usage(_) | Error::Latitude { .. } | Error::ZeroVector { .. } | Error::Memory { .. })) => {
            row.refused = Some(error.to_string());
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
        for &level in index.tree().levels().iter().filter(|&&level| level != TWIN) {
            *row.nodes.entry(level).or_insert(0) += 1;
        }
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

/// The table: a block for each set, and how many queries are beyond the limit.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for block in rows.chunk_by(|a, b| a.set == b.set) {
        let _ = writeln!(
            text,
            "{}\n{:<30} {:>7} {:>10} {:>9} {:>11} {:>9} {:>9} {:>9} {:>8} {:>6}  checks",
            block[0].set,
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
        let reference_ms = reference(block).map_or(f64::NAN, |row| row.build_ms);
        for row in block {
            line(row, reference_ms, &mut text);
        }
        if let Some(sentence) = slow_ones(block) {
            let _ = writeln!(text, "{sentence}");
        }
        text.push('\n');
    }
    if let Some(sentence) = slow_count(rows) {
        let _ = writeln!(text, "{sentence}");
    }
    text
}

/// A line of the table.
fn line(row: &Row, reference_ms: f64, text: &mut String) {
    let name = row.name();
    if let Some(reason) = &row.refused {
        let _ = writeln!(text, "{name:<30} refused: {reason}");
        return;
    }
    let _ = writeln!(
        text,
        "{name:<30} {:>7} {:>10.2} {:>9} {:>11.2} {:>9.2} {:>9.2} {:>9.2} {:>8} {:>6.2}  {}",
        row.threads,
        row.build_ms,
        ratio(row.build_ms / reference_ms),
        row.traversal_ms,
        row.conflict_ms,
        row.insert_ms,
        row.degree,
        query(row),
        row.rho,
        row.checks()
    );
}

/// A ratio to the reference; a dash where that was refused.
fn ratio(value: f64) -> String {
    if value.is_nan() { "-".into() } else { format!("{value:.2}") }
}

/// The time of the queries over that of the reference, and a mark where it is beyond the limit.
pub(super) fn query(row: &Row) -> String {
    ratio(row.query_ratio) + if row.query_slow == Some(true) { "!" } else { "" }
}

/// Which rows of a set have queries beyond the limit, or that nobody can tell.
pub(super) fn slow_ones(block: &[Row]) -> Option<String> {
    let Some(reference) = reference(block) else {
        return Some("The reference was refused: build and query times are compared with nothing.".into());
    };
    let slow = block.iter().filter(|row| row.query_slow == Some(true));
    let slow: Vec<String> = slow.map(|row| format!("{} ({:.2})", row.name(), row.query_ratio)).collect();
    let named = || format!("! queries above {QUERY_LIMIT} x those of {}: {}", reference.name(), slow.join(", "));
    (!slow.is_empty()).then(named)
}

/// How many of all rows have queries beyond the limit, where any are compared.
pub(super) fn slow_count(rows: &[Row]) -> Option<String> {
    let compared = rows.iter().filter_map(|row| row.query_slow);
    let (all, slow) = (compared.clone().count(), compared.filter(|&slow| slow).count());
    let sentence = || format!("Queries above {QUERY_LIMIT} x those of the reference: {slow} of {all} trees.");
    (all > 0).then(sentence)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use covertree::MetricName;
    use covertree::generate::GenerateConfig;

    use super::super::cases::{Scaling, Set};
    use super::*;

    fn rows(queries_us: &[(&str, f64)]) -> Vec<Row> {
        let points = GenerateConfig { rows: 4, ..GenerateConfig::default() }.generate().unwrap();
        let set = Arc::new(Set { name: "some".into(), queries: points.clone(), points, scaling: Scaling::Not });
        let row = |&(name, query_us): &(&str, f64)| {
            let (metric, config) = (MetricName::Euclidean, BuildConfig::default());
            let (set, strategy, reference) = (Arc::clone(&set), name.to_owned(), name == "dense");
            let case = Case { set, metric, strategy, config, threads: 1, reference, scaling: false };
            Row { query_us, build_ms: 1.0, ..Row::new(&case) }
        };
        queries_us.iter().map(row).collect()
    }

    #[test]
    fn slow_queries_are_marked_and_listed() {
        let mut rows = rows(&[("grid", 1.05), ("dense", 1.0), ("parent", 1.2)]);
        compare(&mut rows);
        assert_eq!(rows.iter().map(|row| row.query_slow).collect::<Vec<_>>(), [Some(false), None, Some(true)]);
        let text = table(&rows);
        assert!(text.contains("1.20!") && text.contains("of dense: parent (1.20)"), "{text}");
        assert!(text.ends_with("reference: 1 of 2 trees.\n"), "{text}");
    }

    #[test]
    fn nobody_takes_the_place_of_a_reference_that_was_refused() {
        let mut rows = rows(&[("dense", f64::INFINITY), ("grid", 1.0), ("parent", 9.0)]);
        rows[0].refused = Some("too many".into());
        compare(&mut rows);
        assert!(rows.iter().all(|row| row.query_ratio.is_nan() && row.query_slow.is_none()));
        let text = table(&rows);
        assert!(text.contains("refused: too many") && text.contains("The reference was refused"), "{text}");
        assert!(!text.contains("Queries above"), "{text}");
    }
}
