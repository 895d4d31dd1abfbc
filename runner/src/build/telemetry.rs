//! What a build did, and how long it took: plain values, kept beside the tree and never in it.
//!
//! Counts are the same on every machine and number of threads; times, memory and `arena_*` are those of the run. So is
//! `distance_evals` of a batch whose conflicts were more than `graph-cap`, which the notes name: how far its search had come when it
//! was given up depends on the threads.

use std::time::Instant;

use covertree_kernels::simd::Tier;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::BuildConfig;
use crate::summary::rss_bytes;

/// The name of the layout of the rows.
pub const SCHEMA: &str = "covertree.telemetry.v1";

/// Everything that a build tells of itself.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Telemetry {
    /// One entry per batch.
    pub batches: Vec<BatchRow>,
    /// One entry per level on which points of a batch met, in the order of the work.
    pub levels: Vec<LevelRow>,
    /// What the builder decided by itself, in words: a strategy that was replaced by another one, for example.
    pub notes: Vec<String>,
    /// Seconds of the whole build.
    pub build_s: f64,
    /// Bytes of the arenas of all workers in the end.
    pub arena_bytes: u64,
    /// How often an arena grew.
    pub arena_growths: u64,
}

/// One batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BatchRow {
    /// Number of the batch, from 0.
    pub batch_index: usize,
    /// The strategy that settled its conflicts; `delete` for the points that a deletion left without a parent.
    pub conflict: &'static str,
    /// Points.
    pub batch_size: usize,
    /// Points that are no twins of points before the batch: they want a level of their own.
    pub candidates: usize,
    /// Candidates that got it; of a deletion, those that were promoted.
    pub selected: usize,
    /// Candidates that others of the batch forced lower.
    pub dominated: usize,
    /// Dominated points over the size of the batch.
    pub rho: f64,
    /// By what factor the batch let the inserted points grow; below 1 for a deletion.
    pub prefix_factor: f64,
    /// Rounds of independent sets.
    pub mis_iterations: u64,
    /// Searching the tree for the level and the parent of each point.
    pub traversal_ms: f64,
    /// Finding conflicts or proposals.
    pub conflict_graph_ms: f64,
    /// Of that, sorting pairs into rows.
    pub conflict_adj_scatter_ms: f64,
    /// Independent sets and moving points down.
    pub mis_ms: f64,
    /// Laying out the batch, and the tree with it.
    pub insert_ms: f64,
    /// Pairs in the graphs.
    pub conflict_adj_pairs: u64,
    /// Distinct parents of the points.
    pub conflict_scope_groups_unique: usize,
    /// Conflicts per candidate before the degree cap.
    pub avg_degree_before_cap: f64,
    /// Conflicts per candidate that were kept.
    pub avg_degree_after_cap: f64,
    /// Conflicts found.
    pub pairs_before: u64,
    /// Conflicts kept.
    pub pairs_after: u64,
    /// Shards of the conflict search.
    pub shards: usize,
    /// Occupied cells, over all shifts and rounds.
    pub grid_cells: u64,
    /// Proposals of cells or parents.
    pub leaders_before_local_mis: u64,
    /// Vertices of the graphs between proposals.
    pub local_mis_nodes: u64,
    /// Edges of the graphs between proposals.
    pub local_mis_edges: u64,
    /// Points of the batch within the radius of their level of a point that the first round placed, or placed by it, over
    /// all that were open; 1 where nothing was left to repair.
    pub coverage_ratio: f64,
    /// Groups above the cap.
    pub spills: u64,
    /// Traversals that the chain cap cut short.
    pub chains_deferred: u64,
    /// Of those, the ones that were finished in the end.
    pub chains_finished: u64,
    /// Distances that the searches evaluated, those of searches that were given up included.
    pub distance_evals: u64,
    /// Bytes of the arenas of all workers so far.
    pub arena_bytes: u64,
    /// How often an arena has grown so far.
    pub arena_growths: u64,
    /// Resident memory of the process behind the batch; 0 where the system does not tell.
    pub rss_bytes: u64,
}

/// The points of a batch that met on one level.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LevelRow {
    /// Number of the batch, from 0.
    pub batch_index: usize,
    /// The level.
    pub level: i32,
    /// Points that wanted it.
    pub candidates: usize,
    /// Those that got it.
    pub selected: usize,
    /// Those that moved down.
    pub dominated: usize,
    /// Rounds of independent sets.
    pub mis_iterations: u64,
    /// Rounds of proposals, the repairs included.
    pub rounds: u64,
    /// Pairs in its graph.
    pub conflict_adj_pairs: u64,
    /// Occupied cells, over all shifts and rounds.
    pub grid_cells: u64,
    /// Proposals of cells or parents.
    pub leaders_before_local_mis: u64,
    /// Vertices of the graphs between proposals.
    pub local_mis_nodes: u64,
    /// Edges of the graphs between proposals.
    pub local_mis_edges: u64,
    /// Points placed or covered by the first round, over those that were open before it.
    pub coverage_ratio: f64,
    /// Groups above the cap.
    pub spills: u64,
    /// Milliseconds.
    pub mis_ms: f64,
}

/// The totals of a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// Batches.
    pub batches: usize,
    /// Points of all batches; the root is in none.
    pub batch_size: usize,
    /// Sum over the batches, as all that follows.
    pub candidates: usize,
    /// See [`BatchRow`].
    pub selected: usize,
    /// See [`BatchRow`].
    pub dominated: usize,
    /// Dominated points over all points.
    pub rho: f64,
    /// See [`BatchRow`].
    pub mis_iterations: u64,
    /// See [`BatchRow`].
    pub traversal_ms: f64,
    /// See [`BatchRow`].
    pub conflict_graph_ms: f64,
    /// See [`BatchRow`].
    pub conflict_adj_scatter_ms: f64,
    /// See [`BatchRow`].
    pub mis_ms: f64,
    /// See [`BatchRow`].
    pub insert_ms: f64,
    /// See [`BatchRow`].
    pub conflict_adj_pairs: u64,
    /// See [`BatchRow`].
    pub pairs_before: u64,
    /// See [`BatchRow`].
    pub pairs_after: u64,
    /// See [`BatchRow`].
    pub shards: usize,
    /// See [`BatchRow`].
    pub grid_cells: u64,
    /// See [`BatchRow`].
    pub leaders_before_local_mis: u64,
    /// See [`BatchRow`].
    pub local_mis_nodes: u64,
    /// See [`BatchRow`].
    pub local_mis_edges: u64,
    /// See [`BatchRow`].
    pub spills: u64,
    /// See [`BatchRow`].
    pub chains_deferred: u64,
    /// See [`BatchRow`].
    pub distance_evals: u64,
    /// Gates belong to residual queries: a build has none.
    pub gate1_candidates: u64,
    /// As above.
    pub residual_pruned_by_gate1: u64,
    /// As above.
    pub gate1_false_negatives: u64,
    /// Landmarks belong to residual queries too.
    pub landmark_pruned: u64,
    /// As above.
    pub early_exits: u64,
    /// Bytes of the arenas of all workers.
    pub arena_bytes: u64,
    /// How often an arena grew.
    pub arena_growths: u64,
    /// Resident memory of the process.
    pub rss_bytes: u64,
    /// Seconds of the build.
    pub build_s: f64,
    /// What the builder decided by itself.
    pub notes: Vec<String>,
}

/// What the first row says.
#[derive(Serialize)]
struct Header<'a, C> {
    schema: &'static str,
    version: &'static str,
    tier: &'static str,
    threads: usize,
    seed: u64,
    config: &'a C,
    config_hash: String,
    rows: usize,
    dim: usize,
    metric: &'a str,
}

/// A row with the name of its kind.
#[derive(Serialize)]
struct Tagged<'a, T> {
    row: &'static str,
    #[serde(flatten)]
    fields: &'a T,
}

/// What a build or a search was of, for the header of its telemetry.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Points.
    pub rows: usize,
    /// Columns of a point.
    pub dim: usize,
    /// Name of the metric.
    pub metric: &'a str,
    /// The tier that it ran on.
    pub tier: Tier,
}

impl Telemetry {
    /// Notes that a batch had to go without the graph of its conflicts.
    pub(super) fn without_graph(&mut self, batch: usize, strategy: &str) {
        self.notes.push(format!("batch {batch}: it has more conflicts than graph-cap; {strategy} was used instead"));
    }

    /// The totals over all batches.
    pub fn totals(&self) -> Totals {
        let mut total = Totals {
            batches: self.batches.len(),
            arena_bytes: self.arena_bytes,
            arena_growths: self.arena_growths,
            rss_bytes: self.batches.last().map_or(0, |batch| batch.rss_bytes),
            build_s: self.build_s,
            notes: self.notes.clone(),
            ..Totals::default()
        };
        for batch in &self.batches {
            total.batch_size += batch.batch_size;
            total.candidates += batch.candidates;
            total.selected += batch.selected;
            total.dominated += batch.dominated;
            total.mis_iterations += batch.mis_iterations;
            total.traversal_ms += batch.traversal_ms;
            total.conflict_graph_ms += batch.conflict_graph_ms;
            total.conflict_adj_scatter_ms += batch.conflict_adj_scatter_ms;
            total.mis_ms += batch.mis_ms;
            total.insert_ms += batch.insert_ms;
            total.conflict_adj_pairs += batch.conflict_adj_pairs;
            total.pairs_before += batch.pairs_before;
            total.pairs_after += batch.pairs_after;
            total.shards += batch.shards;
            total.grid_cells += batch.grid_cells;
            total.leaders_before_local_mis += batch.leaders_before_local_mis;
            total.local_mis_nodes += batch.local_mis_nodes;
            total.local_mis_edges += batch.local_mis_edges;
            total.spills += batch.spills;
            total.chains_deferred += batch.chains_deferred;
            total.distance_evals += batch.distance_evals;
        }
        total.rho = share(total.dominated, total.batch_size);
        total
    }

    /// The rows as text, one JSON object a line: a header, the batches, the levels, the totals.
    pub fn to_jsonl(&self, config: &BuildConfig, subject: &Subject<'_>) -> String {
        let mut text = header(config, config.seed, subject);
        self.batches.iter().for_each(|batch| text.push_str(&line("batch", batch)));
        self.levels.iter().for_each(|level| text.push_str(&line("level", level)));
        text.push_str(&line("summary", &self.totals()));
        text
    }
}

/// The first row: what ran, how and on what.
pub(crate) fn header<C: Serialize>(config: &C, seed: u64, subject: &Subject<'_>) -> String {
    let json = serde_json::to_string(config).expect("names are strings, and no map has other keys");
    let header = Header {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        tier: subject.tier.name(),
        threads: rayon::current_num_threads(),
        seed,
        config,
        config_hash: format!("{:016x}", xxh3_64(json.as_bytes())),
        rows: subject.rows,
        dim: subject.dim,
        metric: subject.metric,
    };
    line("header", &header)
}

pub(crate) fn line<T: Serialize>(row: &'static str, fields: &T) -> String {
    let json = serde_json::to_string(&Tagged { row, fields });
    json.expect("names are strings, and no map has other keys") + "\n"
}

/// A part over a whole; 0 over nothing.
pub(super) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl BatchRow {
    /// Adds what happened on a level.
    pub(super) fn add(&mut self, level: &LevelRow) {
        self.mis_iterations += level.mis_iterations;
        self.grid_cells += level.grid_cells;
        self.leaders_before_local_mis += level.leaders_before_local_mis;
        self.local_mis_nodes += level.local_mis_nodes;
        self.local_mis_edges += level.local_mis_edges;
        self.spills += level.spills;
        self.conflict_adj_pairs += level.conflict_adj_pairs;
    }

    /// Reads what the process takes.
    pub(super) fn read_memory(&mut self) {
        self.rss_bytes = rss_bytes().unwrap_or(0);
    }
}

/// Runs work and adds its milliseconds to a field.
pub(super) fn timed<R>(milliseconds: &mut f64, work: impl FnOnce() -> R) -> R {
    let started = Instant::now();
    let result = work();
    *milliseconds += started.elapsed().as_secs_f64() * 1e3;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_carry_the_published_names() {
        let telemetry = Telemetry {
            batches: vec![BatchRow { batch_size: 4, dominated: 1, ..BatchRow::default() }],
            levels: vec![LevelRow::default()],
            ..Telemetry::default()
        };
        let subject = Subject { rows: 5, dim: 3, metric: "euclidean", tier: Tier::detect() };
        let text = telemetry.to_jsonl(&BuildConfig::default(), &subject);
        let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            rows.iter().map(|row| row["row"].as_str().unwrap()).collect::<Vec<_>>(),
            ["header", "batch", "level", "summary"]
        );
        assert_eq!((&rows[0]["schema"], &rows[0]["config"]["prefix"]), (&SCHEMA.into(), &"auto".into()));
        assert_eq!(rows[3]["rho"], 0.25);
        let names = "batch_index batch_size level candidates selected dominated rho prefix_factor mis_iterations \
            traversal_ms conflict_graph_ms conflict_adj_scatter_ms mis_ms insert_ms conflict_adj_pairs \
            conflict_scope_groups_unique avg_degree_before_cap avg_degree_after_cap pairs_before pairs_after shards \
            grid_cells leaders_before_local_mis local_mis_nodes local_mis_edges coverage_ratio spills chains_deferred \
            distance_evals gate1_candidates residual_pruned_by_gate1 gate1_false_negatives landmark_pruned early_exits \
            arena_bytes arena_growths rss_bytes";
        for name in names.split_whitespace() {
            assert!(rows[1..].iter().any(|row| row.get(name).is_some()), "{name}");
        }
    }
}
