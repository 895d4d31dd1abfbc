//! `covertree bench`: the settings of the builder side by side, interleaved, with every tree checked.

mod cases;
mod report;
mod rows;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use covertree::error::Error;
use covertree::formats::output::{Outputs, check_targets};

use super::args::{HeaderArg, ReadingArgs};
use super::record::{Outcome, Record};
use super::session::Session;
use cases::Case;
use rows::Row;

pub(crate) use rows::Row as CaseRow;

/// Build the same points with many settings, several times in turn, and compare
///
/// Every tree is validated, its answers to 32 queries are compared with brute force, and 1 024 queries are timed. Those of --sweep strategies are
/// marked where they take more than 1.1 times as long as those of the row "dense" (--conflict dense --prefix doubling). Exit code 1
/// if any tree breaks a law or any answer differs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  covertree bench --sweep strategies --report strategies.html\n  \
                        covertree bench points.npy --sweep strategies --repeats 5 -o rows.jsonl")]
pub(crate) struct BenchArgs {
    /// Points to use instead of generated ones: .npy or .csv
    #[arg(value_name = "POINTS")]
    pub points: Option<PathBuf>,
    /// What is varied
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub sweep: Sweep,
    /// Points of each generated set; the largest set of --sweep scale; --sweep strategies has some of a half, a quarter and an eighth
    #[arg(long, value_name = "N", default_value_t = 8_192, conflicts_with = "points")]
    pub rows: usize,
    /// Builds of each case
    #[arg(long, value_name = "R", default_value_t = 3)]
    pub repeats: usize,
    /// strategies: leave out the pairs of settings, only each by itself
    #[arg(long)]
    pub singles: bool,
    /// Write the rows of the table: one JSON object per line
    #[arg(long, short, value_name = "FILE.jsonl")]
    pub output: Option<PathBuf>,
    /// Write a page with plots, which needs nothing else to be looked at
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// What is varied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sweep {
    /// The settings of the builder, each by itself and in pairs
    #[default]
    Strategies,
    /// The number of points, of generated ones, and of threads
    Scale,
    /// The metrics, in both precisions; those of a file in its own
    Metrics,
}

/// A checked request.
pub(crate) struct BenchPlan {
    args: BenchArgs,
}

impl BenchArgs {
    pub fn plan(self, session: &Session) -> Result<BenchPlan, Error> {
        if self.rows < 2 || self.repeats == 0 {
            return Err(Error::Usage("bench: --rows must be at least 2, --repeats at least 1".into()));
        }
        if self.singles && self.sweep != Sweep::Strategies {
            let message =
                "bench: --singles leaves out pairs of settings, which only --sweep strategies has; leave it out";
            return Err(Error::Usage(message.into()));
        }
        let reading = !self.reading.columns.is_empty() || self.reading.header != HeaderArg::Detect;
        if reading && self.points.is_none() {
            let message = "bench: --columns and --header say how POINTS are read; name a file, or leave them out";
            return Err(Error::Usage(message.into()));
        }
        check_targets(
            [&self.output, &self.report].into_iter().flatten().map(PathBuf::as_path),
            self.points.as_deref(),
        )?;
        session.stages(3);
        Ok(BenchPlan { args: self })
    }
}

impl BenchPlan {
    pub fn run(self, session: &Session) -> Result<Outcome, Error> {
        let Self { args } = self;
        let cases: Vec<Case> = session.stage("making points", || cases::of(&args, session)).0?;
        let rows: Vec<Row> = session.stage("building", || rows::measure(&cases, args.repeats, session)).0?;
        let mut outputs = Outputs::new();
        if let Some(path) = &args.output {
            let lines: String = rows.iter().map(|row| row.to_json() + "\n").collect();
            outputs.add(path, |out| out.write_all(lines.as_bytes()))?;
        }
        if let Some(path) = &args.report {
            let page = session.stage("drawing", || report::page(&rows)).0;
            outputs.add(path, |out| out.write_all(page.as_bytes()))?;
        }
        outputs.commit()?;
        let built = rows.iter().filter(|row| row.refused.is_none());
        let wrong = built.clone().filter(|row| !(row.valid && row.exact)).count();
        let failed = (wrong > 0).then(|| format!("bench: {wrong} of {} trees are wrong", built.count()));
        let text = rows::table(&rows);
        let record = Record { command: "bench", cases: rows, ..Record::default() };
        Ok(Outcome { record, text, failed, ..Outcome::default() })
    }
}
