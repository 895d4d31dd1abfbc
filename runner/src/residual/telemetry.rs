//! What a search under a correlation did: two rows of JSON, laid out as those of a build.

use covertree_kernels::simd::Tier;
use serde::Serialize;

use super::gate::GateConfig;
use super::profile::ProfileMetric;
use super::{ResidualIndex, Work};
use crate::build::telemetry::{Subject, header, line};
use crate::summary::rss_bytes;

/// The settings of a search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchConfig<'a> {
    /// The command.
    pub command: &'a str,
    /// Neighbours wanted.
    pub k: usize,
    /// The order of the points, where only earlier ones count.
    pub order: Option<&'a str>,
    /// How pairs are ruled out.
    pub strategy: &'a str,
    /// Most landmarks of a leaf, in words.
    pub landmarks: String,
    /// What makes the search approximate.
    pub gate: Option<GateConfig>,
    /// Whether the whole answer is held against the exact one.
    pub gate_audit: bool,
    /// The parameters.
    pub covariance: ProfileMetric,
}

/// The totals of a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SearchTotals {
    /// Rows of the answer.
    pub queries: usize,
    /// Pairs that there are.
    pub pairs_all: u64,
    /// Correlations that tiles computed, those of landmarks and of the padding of tiles included.
    pub distance_evals: u64,
    /// Of these, the ones that entered a short list.
    pub candidates: u64,
    /// Correlations that the published formula settled.
    pub distances_settled: u64,
    /// Pairs that came to a gate.
    pub gate1_candidates: u64,
    /// Of these, pairs that were not evaluated because of it.
    pub residual_pruned_by_gate1: u64,
    /// Neighbours that an audit found lost; 0 without one.
    pub gate1_false_negatives: u64,
    /// Pairs that landmarks bounded.
    pub landmark_bounded: u64,
    /// Of these, pairs that the bounds ruled out.
    pub landmark_pruned: u64,
    /// Panels that were left before all columns were read.
    pub early_exits: u64,
    /// Share of the true neighbours, where it was measured.
    pub recall: Option<f64>,
    /// Rows that it was measured on.
    pub recall_rows: Option<usize>,
    /// Seconds of the fit.
    pub covariance_s: f64,
    /// Seconds of the search.
    pub query_s: f64,
    /// Resident memory of the process.
    pub rss_bytes: u64,
}

impl SearchTotals {
    /// The counts of a search, with what the process takes now.
    pub fn of(work: &Work) -> Self {
        Self {
            distance_evals: work.residual.filtered,
            candidates: work.residual.candidates,
            distances_settled: work.residual.settled,
            gate1_candidates: work.gate.gate1_candidates,
            residual_pruned_by_gate1: work.gate.residual_pruned_by_gate1,
            gate1_false_negatives: work.gate.gate1_false_negatives,
            landmark_bounded: work.landmark.landmark_bounded,
            landmark_pruned: work.landmark.landmark_pruned,
            early_exits: work.residual.early_exits,
            rss_bytes: rss_bytes().unwrap_or(0),
            ..Self::default()
        }
    }
}

/// The rows as text, one JSON object a line: a header and the totals.
pub fn to_jsonl(
    tier: Tier,
    seed: u64,
    index: &ResidualIndex,
    config: &SearchConfig<'_>,
    totals: &SearchTotals,
) -> String {
    let subject = Subject {
        rows: index.len(),
        dim: index.set.model.dim(),
        metric: if index.columns() > 0 { "residual" } else { "correlation" },
        tier,
    };
    header(config, seed, &subject) + &line("summary", totals)
}
