//! `covertree build`: an index of a file of points, saved.

use std::path::PathBuf;

use clap::Args;
use covertree::error::{Error, shown};
use covertree::formats::output::{Outputs, check_targets};
use covertree::{AnyIndex, BuildConfig};

use super::args::{MetricArgs, PointsArgs, StrategyArgs, dtype_name};
use super::record::{Outcome, Record};
use super::session::Session;

/// Build the tree of a file of points and save it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  covertree build points.npy -o tree.ct --metric manhattan")]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub points: PointsArgs,
    /// The file to write
    #[arg(long, short, value_name = "TREE.ct")]
    pub output: PathBuf,
    #[command(flatten)]
    pub metric: MetricArgs,
    #[command(flatten)]
    pub strategy: StrategyArgs,
}

/// A checked request.
pub(crate) struct BuildPlan {
    args: BuildArgs,
    config: BuildConfig,
}

impl BuildArgs {
    pub fn plan(self, session: &Session) -> Result<BuildPlan, Error> {
        let outputs = [&self.output].into_iter().chain(&self.strategy.telemetry);
        check_targets(outputs.map(PathBuf::as_path), [self.points.path.as_path()])?;
        session.stages(3);
        let config = self.strategy.plan(session.seed)?;
        Ok(BuildPlan { config, args: self })
    }
}

impl BuildPlan {
    pub fn run(self, session: &Session) -> Result<Outcome, Error> {
        let Self { args, config } = self;
        let points = session.stage("reading", || args.points.read()).0?;
        let (mut outputs, label) = (Outputs::new(), shown(&args.points.path));
        let (index, build_s) = session.stage("building", || {
            args.strategy.build(session, (&label, &points), args.metric.metric, &config, &mut outputs)
        });
        let index = index?;
        let write = || index.stage(&mut outputs, &args.output).and_then(|()| outputs.commit());
        session.stage("writing", write).0?;
        let record = built(&index, "build", build_s);
        let message = format!("{}: {} built in {build_s:.3} s", shown(&args.output), described(&index));
        Ok(Outcome { record, message, ..Outcome::default() })
    }
}

/// The figures of an index.
pub(crate) fn built(index: &AnyIndex, command: &'static str, build_s: f64) -> Record {
    Record {
        command,
        rows: Some(index.len()),
        dim: Some(index.dim()),
        dtype: Some(dtype_name(index.dtype())),
        metric: Some(index.metric().name()),
        build_s: Some(build_s),
        index_bytes: Some(index.bytes()),
        ..Record::default()
    }
}

/// An index in words.
pub(crate) fn described(index: &AnyIndex) -> String {
    format!("tree of {} x {} {}, {}", index.len(), index.dim(), dtype_name(index.dtype()), index.metric())
}
