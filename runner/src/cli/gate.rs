//! Searches under a correlation: landmarks, gates, and how approximate answers are measured.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use covertree::Answers;
use covertree::error::{Error, shown};
use covertree::formats::output::Outputs;
use covertree::formats::read_text;
use covertree::residual::telemetry::{SearchConfig, SearchTotals, to_jsonl};
use covertree::residual::{
    CovarianceConfig, GateConfig, GateName, GateProfile, Landmarks, ResidualIndex, Work, gate, reference,
};
use covertree_kernels::index::Idx;

use super::covariance::InducingArgs;
use super::record::Record;
use super::session::Session;

/// Rows whose true neighbours are found by brute force wherever a gate is on.
const SAMPLE: usize = 32;

/// How a search under a correlation is carried out.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Searching under a correlation")]
pub(crate) struct SearchArgs {
    /// Landmarks per leaf of 64 points, at most, for the bounds that rule pairs out: 0 to 64, or auto
    /// (as many as pay from 96 inducing points on, else none). Answers are the same
    #[arg(long, value_name = "L", default_value_t)]
    pub landmarks: Landmarks,
    /// Approximate: drop pairs by a cheap test that was calibrated by covertree gate-profile: off, whitened (a threshold in
    /// proportion to the radius) or lookup (a table). The recall of the answer is measured and told
    #[arg(long, value_name = "KIND", default_value_t)]
    pub gate: GateChoice,
    /// The profile of the gate: .json
    #[arg(long, value_name = "FILE")]
    pub gate_file: Option<PathBuf>,
    /// Added to each threshold: lengthscales, or prior standard deviations of the whitened distance [default: 0.02]
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    pub gate_margin: Option<f64>,
    /// Do not gate points whose radius is above this, at most 1 [default: 1]
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub gate_radius_cap: Option<f64>,
    /// Compare so many rows, drawn at random, with a brute force by the formula, and report the recall; without a gate, fail if it
    /// is below 1, behind a gate 0 means 32 rows
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    pub verify: usize,
    /// Find the exact answer too; fail if the gate lost any neighbour
    #[arg(long)]
    pub gate_audit: bool,
}

/// A gate, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GateChoice(Option<GateName>);

impl fmt::Display for GateChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or("off", GateName::name))
    }
}

impl FromStr for GateChoice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "off" => Ok(Self(None)),
            name => Ok(Self(Some(name.parse()?))),
        }
    }
}

/// A gate that was asked for, its profile read.
pub(crate) struct GatePlan {
    label: String,
    config: GateConfig,
    profile: GateProfile,
}

impl SearchArgs {
    /// Whether anything is asked for that only correlations know.
    pub fn any(&self) -> bool {
        self.gate.0.is_some() || self.landmarks != Landmarks::Auto || self.verify > 0 || self.loose().is_some()
    }

    /// A flag of the gate that was given.
    fn loose(&self) -> Option<&'static str> {
        let given = [
            (self.gate_file.is_some(), "--gate-file"),
            (self.gate_margin.is_some(), "--gate-margin"),
            (self.gate_radius_cap.is_some(), "--gate-radius-cap"),
            (self.gate_audit, "--gate-audit"),
        ];
        given.into_iter().find(|flag| flag.0).map(|flag| flag.1)
    }

    /// Refuses what rules pairs out, where every pair is to be computed.
    pub fn check_brute(&self) -> Result<(), Error> {
        let flag = match (self.gate.0, self.landmarks) {
            (Some(_), _) => "--gate",
            (None, Landmarks::Auto | Landmarks::Most(0)) => return Ok(()),
            (None, _) => "--landmarks",
        };
        Err(Error::Usage(format!(
            "--strategy brute computes every pair, and {flag} rules some out; leave one of them out"
        )))
    }

    /// Checks the flags and reads the profile, before any work; `explained` tells whether there are inducing points.
    pub fn plan(&self, explained: bool) -> Result<Option<GatePlan>, Error> {
        if !explained && !matches!(self.landmarks, Landmarks::Auto | Landmarks::Most(0)) {
            let message = "--landmarks: bounds by landmarks need inducing points; give --inducing M or one of its kin, or \
                           leave the flag out";
            return Err(Error::Usage(message.into()));
        }
        let Some(name) = self.gate.0 else {
            return match self.loose() {
                Some(flag) => {
                    let message =
                        format!("{flag} says how a gate works, and there is none; add --gate lookup or whitened");
                    Err(Error::Usage(message))
                }
                None => Ok(None),
            };
        };
        if self.gate_audit && self.verify > 0 {
            let message = "--gate-audit measures the recall of all rows, so that --verify has nothing to add; leave one of them out";
            return Err(Error::Usage(message.into()));
        }
        let default = GateConfig::new(name);
        let config = GateConfig {
            name,
            margin: self.gate_margin.unwrap_or(default.margin),
            radius_cap: self.gate_radius_cap.unwrap_or(default.radius_cap),
        };
        config.check()?;
        let Some(path) = &self.gate_file else {
            let message =
                format!("--gate {name} needs a profile; make one with covertree gate-profile, and add --gate-file");
            return Err(Error::Usage(message));
        };
        let label = shown(path);
        let text = read_text(path)?;
        // What is no text is no profile either: it says so better than the file system does.
        let profile = GateProfile::from_json(&label, &String::from_utf8_lossy(&text))?;
        Ok(Some(GatePlan { label, config, profile }))
    }
}

/// Refuses flags that ask for inducing points and give none, or that need some.
pub(crate) fn check_explained(inducing: &InducingArgs, sets: &[CovarianceConfig]) -> Result<(), Error> {
    for (count, flag) in [(inducing.inducing, "--inducing"), (inducing.inducing_net, "--inducing-net")] {
        if count == Some(0) {
            return Err(Error::Usage(format!("{flag} 0: ask for at least one inducing point, or leave the flag out")));
        }
    }
    let usual = CovarianceConfig::default().jitter;
    match sets.iter().find(|set| !inducing.factored() && set.jitter != usual) {
        Some(CovarianceConfig { jitter, .. }) => Err(Error::Usage(format!(
            "the jitter is {jitter}, and it is added to a covariance of inducing points, of which there are none; give \
             --inducing M or one of its kin, or leave the jitter out"
        ))),
        None => Ok(()),
    }
}

/// What a search found and what is known of it.
pub(crate) struct Searched {
    pub index: ResidualIndex,
    pub answers: Answers,
    pub work: Work,
    pub query_s: f64,
    pub recall: Option<f64>,
    /// Rows that the recall was measured on.
    pub sampled: Option<usize>,
    pub failed: Option<String>,
}

/// A search, exact or behind a gate.
pub(crate) struct Searching<'a> {
    pub args: &'a SearchArgs,
    pub gate: Option<&'a GatePlan>,
    /// Rows of the answer.
    pub asked: usize,
}

impl Searching<'_> {
    /// Searches, and measures the recall where that is asked for, and always behind a gate. `brute` answers some rows by brute
    /// force.
    pub fn run(
        &self,
        session: &Session,
        mut index: ResidualIndex,
        search: impl Fn(&ResidualIndex) -> Result<(Answers, Work), Error>,
        brute: impl Fn(&ResidualIndex, &[Idx]) -> Result<Answers, Error>,
    ) -> Result<Searched, Error> {
        if let Some(plan) = self.gate {
            index.set_gate(&plan.label, &plan.profile, plan.config)?;
        }
        let (found, query_s) = session.stage("searching", || search(&index));
        let (answers, mut work) = found?;
        index.remove_gate();
        let (mut recall, mut sampled, mut failed) = (None, None, None);
        if self.args.gate_audit {
            let (lost, all) = gate::audit(&answers, &search(&index)?.0);
            work.gate.gate1_false_negatives = lost;
            (recall, sampled) = (Some(gate::share_found(lost, all)), Some(self.asked));
            failed = (lost > 0).then(|| {
                format!(
                    "the gate lost {lost} of {all} neighbours; raise --gate-margin, or calibrate on more --tree-points"
                )
            });
        } else if self.gate.is_some() || self.args.verify > 0 {
            let wanted = if self.args.verify > 0 { self.args.verify } else { SAMPLE };
            let rows = reference::sample(self.asked, wanted, session.seed);
            let truth = brute(&index, &rows)?;
            sampled = Some(rows.len());
            if self.gate.is_some() {
                recall = Some(gate::recall(&answers, &rows, &truth));
            } else {
                let share = reference::agreement(&answers, &rows, &truth);
                recall = Some(share);
                failed = (share < 1.0).then(|| format!("the recall against a brute force by the formula is {share}"));
            }
        }
        Ok(Searched { index, answers, work, query_s, recall, sampled, failed })
    }

    /// The telemetry of a search.
    pub fn telemetry(
        &self,
        session: &Session,
        found: &Searched,
        record: &Record,
        order: Option<&str>,
        strategy: &str,
    ) -> String {
        let config = SearchConfig {
            command: record.command,
            k: found.answers.k,
            order,
            strategy,
            landmarks: self.args.landmarks.to_string(),
            gate: self.gate.map(|plan| plan.config),
            gate_audit: self.args.gate_audit,
            covariance: found.index.profile_metric(),
        };
        let totals = SearchTotals {
            queries: self.asked,
            pairs_all: record.residual.map_or(0, |residual| residual.pairs_all as u64), // widens
            recall: found.recall,
            recall_rows: found.sampled,
            covariance_s: record.covariance_s.unwrap_or_default(),
            query_s: found.query_s,
            ..SearchTotals::of(&found.work)
        };
        to_jsonl(session.tier, session.seed, &found.index, &config, &totals)
    }

    /// What the message says of an approximate answer.
    pub fn told(&self, found: &Searched) -> String {
        let Some(plan) = self.gate else { return String::new() };
        let gate = found.work.gate;
        format!(
            ", APPROXIMATE behind gate {}, which dropped {:.1} % of {} pairs",
            plan.config.name,
            100.0 * gate.residual_pruned_by_gate1 as f64 / gate.gate1_candidates.max(1) as f64,
            gate.gate1_candidates
        )
    }
}

/// Writes telemetry, if a file is asked for.
pub(crate) fn add_telemetry(outputs: &mut Outputs, path: Option<&PathBuf>, text: String) -> Result<(), Error> {
    match path {
        Some(path) => outputs.add(path, |out| out.write_all(text.as_bytes())),
        None => Ok(()),
    }
}
