//! What a command reports.

use covertree::residual::{ResidualIndex, Work};
use covertree_kernels::tree::SearchCounters;
use serde::Serialize;

use super::bench::CaseRow;

/// The figures of a run, as `--json` prints them: those that apply.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Record {
    pub command: &'static str,
    pub version: &'static str,
    pub tier: &'static str,
    pub threads: usize,
    pub seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dim: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queries: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<usize>,
    /// Neighbours within the radius, of all queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<usize>,
    /// The first id of the points that were inserted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_id: Option<i32>,
    /// Points that were inserted or deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub covariance_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_s: Option<f64>,
    pub total_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_bytes: Option<usize>,
    /// What `K_UU` was factored with, in units of the variance: what was asked for, or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
    #[serde(flatten)]
    pub counters: Option<Counters>,
    #[serde(flatten)]
    pub residual: Option<ResidualRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distances_equal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampled: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineRecord>,
    /// The rows of the demo's table, or the parameter sets of vecchia where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Record>,
    /// The rows of the benchmark's table, where there are no others.
    #[serde(rename = "runs", skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<CaseRow>,
    /// What a row of the demo's table ran on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_rss_bytes: Option<u64>,
}

/// Work of the searches.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Counters {
    pub distance_evals: u64,
    pub distances_settled: u64,
    pub groups_searched: u64,
    pub groups_pruned: u64,
    pub runs_scanned: u64,
}

impl From<SearchCounters> for Counters {
    fn from(counters: SearchCounters) -> Self {
        Self {
            distance_evals: counters.distance_evals,
            distances_settled: counters.settled,
            groups_searched: counters.groups,
            groups_pruned: counters.pruned,
            runs_scanned: counters.runs,
        }
    }
}

/// Work of the searches under a residual metric.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ResidualRecord {
    /// Columns of `V`.
    pub inducing: usize,
    pub pairs_all: usize,
    /// Correlations that register tiles computed: those of landmarks, and the padding of tiles, are among them, so that few points
    /// may have more than there are pairs.
    pub distance_evals: u64,
    pub candidates: u64,
    pub distances_settled: u64,
    pub landmark_bounded: u64,
    /// Pairs that bounds ruled out before anything was computed for them: never more than all.
    pub landmark_pruned: u64,
    pub early_exits: u64,
    pub gate1_candidates: u64,
    pub residual_pruned_by_gate1: u64,
    pub gate1_false_negatives: u64,
}

impl ResidualRecord {
    /// The work of a search that could have looked at `pairs` pairs.
    pub fn new(index: &ResidualIndex, work: Work, pairs: usize) -> Self {
        Self {
            inducing: index.columns(),
            pairs_all: pairs,
            distance_evals: work.residual.filtered,
            candidates: work.residual.candidates,
            distances_settled: work.residual.settled,
            landmark_bounded: work.landmark.landmark_bounded,
            landmark_pruned: work.landmark.landmark_pruned,
            early_exits: work.residual.early_exits,
            gate1_candidates: work.gate.gate1_candidates,
            residual_pruned_by_gate1: work.gate.residual_pruned_by_gate1,
            gate1_false_negatives: work.gate.gate1_false_negatives,
        }
    }
}

/// What a message says of a jitter that had to be raised; nothing of others.
pub(crate) fn told_of_jitter(index: &ResidualIndex) -> String {
    let raised = index.jitter().filter(|jitter| *jitter > index.config().jitter * 1.5);
    raised.map_or_else(String::new, |jitter| format!(", jitter raised to {jitter:e}"))
}

/// What `check` found in a tree.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TreeRecord {
    pub valid: bool,
    pub nodes: usize,
    pub twins: usize,
    pub level_lowest: Option<i32>,
    pub level_highest: Option<i32>,
    pub pairs_checked: u64,
    pub violations_found: u64,
    /// The first few of each kind.
    pub violations: Vec<String>,
}

/// What `doctor` found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MachineRecord {
    pub tiers: Vec<&'static str>,
    pub threads_available: usize,
    pub memory_total_bytes: Option<u64>,
    pub memory_available_bytes: Option<u64>,
    pub rows_max: usize,
}

impl Record {
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names are strings, and the keys of maps are numbers or strings")
    }
}

/// How a command ended, short of an error.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// For `--json`.
    pub record: Record,
    /// The result, for the standard output.
    pub text: String,
    /// What was done, for the standard error.
    pub message: String,
    /// The check that failed.
    pub failed: Option<String>,
}
