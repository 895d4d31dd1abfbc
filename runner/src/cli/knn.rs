//! `covertree knn`: build and query in one step, or the graph of nearest neighbours.

use std::path::PathBuf;

use clap::Args;
use covertree::BuildConfig;
use covertree::error::{Error, shown};
use covertree::formats::{Column, ReadOptions, read_points};
use covertree::points::Points;

use super::args::{AnswerFiles, MetricArgs, PointsArgs, StrategyArgs, check_dim, check_k};
use super::query::{answered, told, write_answers};
use super::record::{Outcome, Record};
use super::session::Session;

/// Find nearest neighbours in one step, without saving a tree
///
/// With --queries: the nearest points to each query. Without: to each point the nearest among the others.
///
/// Writes PREFIX.ids.npy (i32, rows x k: row numbers of POINTS, ascending by distance, then by row) and PREFIX.dist.npy
/// (f64, rows x k). Where there are fewer than k points, ids are -1 and distances infinite.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  covertree knn points.npy -k 10 -o nn\n  \
                        covertree knn table.csv --columns x,y --queries new.csv -k 10 -o nn")]
pub(crate) struct KnnArgs {
    #[command(flatten)]
    pub points: PointsArgs,
    /// Neighbours per row
    #[arg(short, value_name = "K", allow_negative_numbers = true)]
    pub k: usize,
    /// Where to write: the beginning of the names of the two files
    #[arg(long, short, value_name = "PREFIX")]
    pub output: PathBuf,
    #[command(flatten)]
    pub asked: AskedArgs,
    #[command(flatten)]
    pub metric: MetricArgs,
    #[command(flatten)]
    pub strategy: StrategyArgs,
}

/// What the neighbours of are asked for.
#[derive(Debug, Clone, Args)]
pub(crate) struct AskedArgs {
    /// The queries, one per row: .npy or .csv; without them, each point is a query
    #[arg(long, value_name = "FILE")]
    pub queries: Option<PathBuf>,
    /// Columns of the queries; those of --columns, unless told
    #[arg(long, value_name = "C,..", value_delimiter = ',', requires = "queries")]
    pub query_columns: Vec<Column>,
    /// Without --queries: let each point be its own neighbour too
    #[arg(long, conflicts_with = "queries")]
    pub include_self: bool,
}

impl AskedArgs {
    /// Reads the queries, if there are any, as the points were read; their columns may differ.
    pub fn read(&self, points: &PointsArgs, dim: usize) -> Result<Option<Points>, Error> {
        let Some(path) = &self.queries else { return Ok(None) };
        let mut options: ReadOptions = points.reading.options();
        if !self.query_columns.is_empty() {
            options.columns = self.query_columns.clone();
        }
        let queries = read_points(path, &options)?;
        check_dim((path, &queries), (&points.path, dim))?;
        Ok(Some(queries))
    }
}

/// A checked request.
pub(crate) struct KnnPlan {
    args: KnnArgs,
    files: AnswerFiles,
    config: BuildConfig,
}

impl KnnArgs {
    pub fn plan(self, session: &Session) -> Result<KnnPlan, Error> {
        check_k(self.k)?;
        let config = self.strategy.plan(session.seed)?;
        let files = AnswerFiles::plan(&self.output)?;
        session.stages(4);
        Ok(KnnPlan { args: self, files, config })
    }
}

impl KnnPlan {
    pub fn run(self, session: &Session) -> Result<Outcome, Error> {
        let Self { args, files, config } = self;
        let read = || -> Result<_, Error> {
            let points = args.points.read()?;
            let queries = args.asked.read(&args.points, points.dim())?;
            Ok((points, queries))
        };
        let (points, queries) = session.stage("reading", read).0?;
        let (index, build_s) = session.stage("building", || {
            args.strategy.build(session, &shown(&args.points.path), &points, args.metric.metric, &config)
        });
        let index = index?;
        drop(points); // the index has a copy
        let label = args.asked.queries.as_deref().map(shown).unwrap_or_default();
        let (found, query_s) = session.stage("searching", || match &queries {
            Some(queries) => index.knn_named(&label, queries, args.k),
            None => index.graph(args.k, args.asked.include_self),
        });
        let (answers, counters) = found?;
        session.stage("writing", || write_answers(&files, &answers)).0?;
        let record = Record {
            build_s: Some(build_s),
            counters: Some(counters.into()),
            ..answered(&index, "knn", &answers, query_s)
        };
        let message = format!("{} (built in {build_s:.3} s)", told(&files, &answers, query_s));
        Ok(Outcome { record, message, ..Outcome::default() })
    }
}
