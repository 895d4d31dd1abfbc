//! `covertree knn`: build and query in one step, or the graph of nearest neighbours.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use covertree::error::{Error, shown};
use covertree::formats::output::Outputs;
use covertree::formats::{Column, ReadOptions, read_points};
use covertree::points::Points;
use covertree::residual::{FitOptions, ResidualIndex, reference};
use covertree::{BuildConfig, MetricName};
use covertree_kernels::index::Idx;

use super::args::{AnswerFiles, PointsArgs, StrategyArgs, check_dim, check_k};
use super::covariance::CovarianceArgs;
use super::gate::{GatePlan, SearchArgs, Searching, add_telemetry, check_explained};
use super::query::{add_answers, answered, told, write_answers};
use super::record::{Outcome, Record, ResidualRecord, told_of_jitter};
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
    pub metric: AnyMetricArgs,
    #[command(flatten)]
    pub strategy: StrategyArgs,
    #[command(flatten)]
    pub covariance: CovarianceArgs,
    #[command(flatten)]
    pub search: SearchArgs,
}

/// The metric, by its name.
#[derive(Clone, Debug, Args)]
pub(crate) struct AnyMetricArgs {
    /// The metric; residual and correlation take the flags of the covariance; angular and haversine are in radians, of haversine the
    /// columns are longitude and latitude in degrees
    #[arg(long, value_name = "METRIC", default_value = MetricName::default().name(), value_parser = AnyMetric::parser())]
    pub metric: AnyMetric,
}

/// A metric of coordinates, or a correlation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnyMetric {
    Coordinates(MetricName),
    Residual,
    Correlation,
}

impl AnyMetric {
    fn parser() -> impl TypedValueParser<Value = Self> {
        let names = MetricName::ALL.iter().map(|metric| metric.name()).chain(["residual", "correlation"]);
        PossibleValuesParser::new(names).try_map(|name| match name.as_str() {
            "residual" => Ok(Self::Residual),
            "correlation" => Ok(Self::Correlation),
            name => name.parse().map(Self::Coordinates),
        })
    }
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
    gate: Option<GatePlan>,
}

impl KnnArgs {
    pub fn plan(self, session: &Session) -> Result<KnnPlan, Error> {
        check_k(self.k)?;
        let config = self.strategy.plan(session.seed)?;
        let coordinates = matches!(self.metric.metric, AnyMetric::Coordinates(_));
        if coordinates && self.covariance.any() && !self.covariance.inducing.any() {
            let message = "kernel, lengthscale, variance, nugget and jitter belong to --metric residual and correlation; \
                           choose one of these, or leave them out";
            return Err(Error::Usage(message.into()));
        }
        if !coordinates && self.strategy.any() {
            let message = "no tree is built under a correlation; leave out what says how to build one";
            return Err(Error::Usage(message.into()));
        }
        match (self.metric.metric, self.covariance.inducing.any()) {
            (AnyMetric::Residual, false) => {
                let message = "--metric residual: say what is explained, with --inducing M or one of its kin; \
                               without inducing points it is --metric correlation";
                return Err(Error::Usage(message.into()));
            }
            (AnyMetric::Correlation | AnyMetric::Coordinates(_), true) => {
                let message = "inducing points belong to --metric residual; choose it, or leave them out";
                return Err(Error::Usage(message.into()));
            }
            (AnyMetric::Coordinates(_), false) if self.search.any() => {
                let message = "gates, landmarks and --verify belong to --metric residual and correlation; choose one of \
                               these, or leave them out";
                return Err(Error::Usage(message.into()));
            }
            _ => {}
        }
        if !coordinates {
            check_explained(&self.covariance.inducing, &[self.covariance.config()])?;
        }
        let gate = self.search.plan(self.covariance.inducing.factored())?;
        let inputs = [&self.asked.queries, &self.search.gate_file].into_iter().flatten().map(PathBuf::as_path);
        let inputs = inputs.chain([self.points.path.as_path()]).chain(self.covariance.inducing.files());
        let files = AnswerFiles::plan(&self.output, self.strategy.telemetry.as_deref(), inputs)?;
        session.stages(4);
        Ok(KnnPlan { args: self, files, config, gate })
    }
}

impl KnnPlan {
    fn metric(&self) -> AnyMetric {
        self.args.metric.metric
    }

    /// The same under a correlation.
    fn run_correlation(self, session: &Session) -> Result<Outcome, Error> {
        let Self { args, files, gate, .. } = self;
        let set = args.covariance.config();
        let read = || -> Result<_, Error> {
            let points = args.points.read()?;
            set.check(points.dim())?;
            let queries = args.asked.read(&args.points, points.dim())?;
            Ok((points, queries, args.covariance.inducing.read(&args.points.reading.options())?))
        };
        let (points, queries, explained) = session.stage("reading", read).0?;
        let label = shown(&args.points.path);
        let inducing_label = args.covariance.inducing.inducing_points.as_deref().map(shown);
        let options = FitOptions {
            tier: session.tier,
            landmarks: args.search.landmarks,
            order: None,
            inducing_label: inducing_label.as_deref(),
        };
        let fit = || args.covariance.fit(session, &label, &points, &set, &explained, options);
        let (index, covariance_s) = session.stage("fitting", fit);
        let (rows, asked) = (points.len(), queries.as_ref().map_or(points.len(), Points::len));
        let searching = Searching { args: &args.search, gate: gate.as_ref(), asked };
        let search = |index: &ResidualIndex| match (&queries, &args.asked.queries) {
            (Some(queries), Some(path)) => index.knn_named(&shown(path), queries, args.k),
            _ => index.graph(args.k, args.asked.include_self),
        };
        let brute = |index: &ResidualIndex, rows: &[Idx]| match &queries {
            Some(queries) => reference::knn(index, &queries.take_rows(rows)?, args.k),
            None => reference::graph_rows(index, rows, args.k, args.asked.include_self),
        };
        let found = searching.run(session, index?, search, brute)?;
        let (index, answers, query_s) = (&found.index, &found.answers, found.query_s);
        let pairs = match &queries {
            Some(queries) => queries.len() * rows,
            None => rows * rows.saturating_sub(1) / 2,
        };
        let record = Record {
            command: "knn",
            rows: Some(rows),
            dim: Some(points.dim()),
            metric: Some(if index.columns() > 0 { "residual" } else { "correlation" }),
            queries: Some(asked),
            k: Some(args.k),
            covariance_s: Some(covariance_s),
            query_s: Some(query_s),
            rows_per_s: Some(asked as f64 / query_s),
            index_bytes: Some(index.bytes()),
            jitter: index.jitter(),
            residual: Some(ResidualRecord::new(index, found.work, pairs)),
            recall: found.recall,
            sampled: found.sampled,
            ..Record::default()
        };
        let write = || -> Result<(), Error> {
            let mut outputs = Outputs::new();
            add_answers(&mut outputs, &files, answers)?;
            let text = searching.telemetry(session, &found, &record, None, "auto");
            add_telemetry(&mut outputs, args.strategy.telemetry.as_ref(), text)?;
            outputs.commit()
        };
        session.stage("writing", write).0?;
        let jitter = told_of_jitter(index);
        let mut message = format!("{} (V in {covariance_s:.3} s){jitter}", told(&files, answers, query_s));
        if let (Some(recall), Some(sampled)) = (found.recall, found.sampled) {
            message += &format!(", recall {recall} of {sampled} rows{}", searching.told(&found));
        }
        Ok(Outcome { record, message, failed: found.failed, ..Outcome::default() })
    }

    pub fn run(self, session: &Session) -> Result<Outcome, Error> {
        let AnyMetric::Coordinates(metric) = self.metric() else { return self.run_correlation(session) };
        let Self { args, files, config, .. } = self;
        let read = || -> Result<_, Error> {
            let points = args.points.read()?;
            let queries = args.asked.read(&args.points, points.dim())?;
            Ok((points, queries))
        };
        let (points, queries) = session.stage("reading", read).0?;
        let (mut outputs, label) = (Outputs::new(), shown(&args.points.path));
        let (index, build_s) = session
            .stage("building", || args.strategy.build(session, (&label, &points), metric, &config, &mut outputs));
        let index = index?;
        drop(points); // the index has a copy
        let label = args.asked.queries.as_deref().map(shown).unwrap_or_default();
        let (found, query_s) = session.stage("searching", || match &queries {
            Some(queries) => index.knn_named(&label, queries, args.k),
            None => index.graph(args.k, args.asked.include_self),
        });
        let (answers, counters) = found?;
        session.stage("writing", || write_answers(outputs, &files, &answers)).0?;
        let record = Record {
            build_s: Some(build_s),
            counters: Some(counters.into()),
            ..answered(&index, "knn", &answers, query_s)
        };
        let message = format!("{} (built in {build_s:.3} s)", told(&files, &answers, query_s));
        Ok(Outcome { record, message, ..Outcome::default() })
    }
}
