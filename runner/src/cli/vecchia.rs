//! `covertree vecchia`: the most correlated earlier points of each point.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use covertree::error::{Error, shown};
use covertree::formats::npy::read_ids;
use covertree::formats::output::{Outputs, check_targets, suffixed};
use covertree::points::Points;
use covertree::residual::{CovarianceConfig, FitOptions, ResidualIndex, Strategy, VecchiaOrder, reference};
use covertree_kernels::index::Idx;

use super::args::{PointsArgs, check_k, in_files};
use super::covariance::{CovarianceArgs, Explained, in_set};
use super::gate::{GatePlan, SearchArgs, Searched, Searching, add_telemetry, check_explained};
use super::record::{Outcome, Record, ResidualRecord, told_of_jitter};
use super::session::Session;

/// Find the most correlated earlier points of each point, for Vecchia's approximation
///
/// The correlation is what the inducing points leave unexplained; without inducing points, the prior one. In the chosen
/// order, the point that comes i-th gets its min(k, i) nearest among the i points before it, by d = sqrt(1 - |correlation|),
/// ties by row number.
///
/// Writes PREFIX.ids.npy (i32, rows x k: row numbers of POINTS; row r belongs to row r of POINTS) and PREFIX.dist.npy (f64);
/// where there are fewer than k earlier points, ids are -1 and distances infinite. With an order other than given,
/// PREFIX.order.npy has the row numbers in that order. With --parameters, the files of set s, counted from 0, are
/// PREFIX.s.ids.npy and PREFIX.s.dist.npy; PREFIX.order.npy serves all.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  covertree vecchia points.npy --kernel matern52 --lengthscale 0.2 --inducing 512 -k 30 \
                        --order maximin -o nn\n  covertree vecchia table.csv --columns x,y --lengthscale 0.1,0.3 \
                        --inducing-ids u.npy -k 20 -o nn"
)]
pub(crate) struct VecchiaArgs {
    #[command(flatten)]
    pub points: PointsArgs,
    /// Neighbours per row, at most
    #[arg(short, value_name = "K", allow_negative_numbers = true)]
    pub k: usize,
    /// Where to write: the beginning of the names of the files
    #[arg(long, short, value_name = "PREFIX")]
    pub output: PathBuf,
    /// The order of the points: given, random, coordinate, or maximin (far points first, by the levels of a cover tree)
    #[arg(long, value_name = "ORDER", default_value = "given", value_parser = |name: &str| name.parse::<VecchiaOrder>())]
    pub order: VecchiaOrder,
    /// An order of your own: the row that comes first, the one that comes second, and so on: .npy (i32 or i64)
    #[arg(long, value_name = "FILE", conflicts_with = "order")]
    pub order_ids: Option<PathBuf>,
    /// Parameter sets to run one after the other: JSON, [{"lengthscale": [0.5], "variance": 2}, ..], with any of kernel,
    /// lengthscale, variance, nugget and jitter; what a set leaves out is taken from the flags
    #[arg(long, value_name = "FILE")]
    pub parameters: Option<PathBuf>,
    /// How pairs are ruled out: auto (landmark bounds and single precision, where they are proven to suffice), or brute (every
    /// pair in double precision). Answers are the same
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub strategy: StrategyArg,
    /// Write what the search did: one JSON object per line
    #[arg(long, value_name = "FILE.jsonl")]
    pub telemetry: Option<PathBuf>,
    #[command(flatten)]
    pub search: SearchArgs,
    #[command(flatten)]
    pub covariance: CovarianceArgs,
}

/// How pairs are ruled out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyArg {
    /// By landmark bounds, and in single precision where that is proven to suffice
    #[default]
    Auto,
    /// Every pair is computed in double precision
    Brute,
}

impl StrategyArg {
    const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Brute => "brute",
        }
    }
}

impl From<StrategyArg> for Strategy {
    fn from(strategy: StrategyArg) -> Self {
        match strategy {
            StrategyArg::Auto => Self::Auto,
            StrategyArg::Brute => Self::Brute,
        }
    }
}

/// A checked request.
pub(crate) struct VecchiaPlan {
    args: VecchiaArgs,
    sets: Vec<CovarianceConfig>,
    files: Vec<[PathBuf; 2]>,
    order_file: Option<PathBuf>,
    gate: Option<GatePlan>,
}

impl VecchiaArgs {
    pub fn plan(self, session: &Session) -> Result<VecchiaPlan, Error> {
        check_k(self.k)?;
        let sets = match &self.parameters {
            Some(path) => self.covariance.sets(path)?,
            None => vec![self.covariance.config()],
        };
        check_explained(&self.covariance.inducing, &[self.covariance.config()])?;
        check_explained(&self.covariance.inducing, &sets)
            .map_err(|error| in_files(error, self.parameters.as_deref()))?;
        if self.strategy == StrategyArg::Brute {
            self.search.check_brute()?;
        }
        let gate = self.search.plan(self.covariance.inducing.factored())?;
        if gate.is_some() && self.parameters.is_some() {
            let message = "a gate is calibrated for one set of parameters; leave --parameters out, and run set by set";
            return Err(Error::Usage(message.into()));
        }
        let named = |set: usize, suffix: &str| match self.parameters {
            Some(_) => suffixed(&self.output, &format!(".{set}{suffix}")),
            None => suffixed(&self.output, suffix),
        };
        let files: Vec<[PathBuf; 2]> =
            (0..sets.len()).map(|set| [named(set, ".ids.npy"), named(set, ".dist.npy")]).collect();
        let ordered = self.order != VecchiaOrder::Given || self.order_ids.is_some();
        let order_file = ordered.then(|| suffixed(&self.output, ".order.npy"));
        let inputs = [&self.order_ids, &self.parameters, &self.search.gate_file].into_iter().flatten();
        let inputs = inputs.chain([&self.points.path]).map(PathBuf::as_path).chain(self.covariance.inducing.files());
        let outputs = files.iter().flatten().chain(&order_file).chain(&self.telemetry);
        check_targets(outputs.map(PathBuf::as_path), inputs)?;
        session.stages(2 + 3 * sets.len() as u64); // a handful of sets
        Ok(VecchiaPlan { args: self, sets, files, order_file, gate })
    }
}

impl VecchiaPlan {
    pub fn run(self, session: &Session) -> Result<Outcome, Error> {
        let Self { args, sets, files, order_file, gate } = &self;
        let read = || -> Result<_, Error> {
            let points = args.points.read()?;
            for (number, set) in sets.iter().enumerate() {
                set.check(points.dim()).map_err(|error| args.in_set(number, error))?;
            }
            Ok((points, args.covariance.inducing.read(&args.points.reading.options())?))
        };
        let (points, explained) = session.stage("reading", read).0?;
        let (order, order_s) = session.stage("ordering", || args.order(&points, session.seed));
        let order = order?;
        let mut outputs = Outputs::new();
        if let Some(file) = order_file {
            outputs.add_npy(file, &[order.len()], &order)?;
        }
        let searching = Searching { args: &args.search, gate: gate.as_ref(), asked: points.len() };
        let work = SetWork { args, session, points: &points, explained: &explained, order: &order, order_s, searching };
        let (mut index, mut runs, mut lines, mut failed) = (None, Vec::new(), Vec::new(), None);
        let mut telemetry = String::new();
        for (number, (set, [ids, distances])) in sets.iter().zip(files).enumerate() {
            let done = work.search(set, index.take()).map_err(|error| args.in_set(number, error));
            let (found, record) = done?;
            let (shape, answers) = ([points.len(), args.k], &found.answers);
            let write = || -> Result<(), Error> {
                outputs.add_npy(ids, &shape, &answers.ids)?;
                outputs.add_npy(distances, &shape, &answers.distances)
            };
            session.stage("writing", write).0?;
            let searching = &work.searching;
            telemetry += &searching.telemetry(session, &found, &record, args.order_name(), args.strategy.name());
            lines.push(told(ids, &record, &found.index) + &searching.told(&found));
            runs.push(record);
            failed = failed.or(found.failed);
            index = Some(found.index);
        }
        let stale = suffixed(&args.output, ".order.npy");
        if order_file.is_none() && stale.exists() {
            lines.push(format!("{}: is of an earlier run; the rows here are those of the points", shown(&stale)));
        }
        add_telemetry(&mut outputs, args.telemetry.as_ref(), telemetry)?;
        outputs.commit()?;
        let record = match runs.len() {
            1 => runs.remove(0),
            _ => Record { command: "vecchia", rows: Some(points.len()), runs, ..Record::default() },
        };
        Ok(Outcome { record, message: lines.join("\n"), failed, ..Outcome::default() })
    }
}

/// What the searches of all parameter sets share.
struct SetWork<'a> {
    args: &'a VecchiaArgs,
    session: &'a Session,
    points: &'a Points,
    explained: &'a Explained,
    order: &'a [Idx],
    order_s: f64,
    searching: Searching<'a>,
}

impl SetWork<'_> {
    /// Fits the points to a set of parameters, with the memory of an earlier fit, and searches.
    fn search(&self, set: &CovarianceConfig, earlier: Option<ResidualIndex>) -> Result<(Searched, Record), Error> {
        let Self { args, session, points, order, .. } = *self;
        let fit = || args.fit(session, points, order, set, self.explained, earlier);
        let (fitted, covariance_s) = session.stage("fitting", fit);
        let mut fitted = fitted?;
        fitted.set_strategy(args.strategy.into());
        let found = self.searching.run(
            session,
            fitted,
            |index| index.vecchia(order, args.k),
            |index, rows| reference::vecchia_rows(index, order, rows, args.k),
        )?;
        let (fitted, len) = (&found.index, points.len());
        let record = Record {
            command: "vecchia",
            rows: Some(len),
            dim: Some(points.dim()),
            metric: Some(if fitted.columns() > 0 { "residual" } else { "correlation" }),
            queries: Some(len),
            k: Some(args.k),
            build_s: Some(self.order_s),
            covariance_s: Some(covariance_s),
            query_s: Some(found.query_s),
            rows_per_s: Some(len as f64 / found.query_s),
            index_bytes: Some(fitted.bytes()),
            jitter: fitted.jitter(),
            residual: Some(ResidualRecord::new(fitted, found.work, len * len.saturating_sub(1) / 2)),
            recall: found.recall,
            sampled: found.sampled,
            ..Record::default()
        };
        Ok((found, record))
    }
}

impl VecchiaArgs {
    fn order(&self, points: &Points, seed: u64) -> Result<Vec<Idx>, Error> {
        match &self.order_ids {
            Some(path) => {
                let order = read_ids(path)?.values;
                if order.len() == points.len() {
                    let checked = VecchiaOrder::check(&order, points.len());
                    return checked.map(|()| order).map_err(|error| in_files(error, [path.as_path()]));
                }
                let (file, rows) = (shown(path), points.len());
                Err(Error::Usage(format!(
                    "{file}: holds {} row numbers where there are {rows} points; give each once",
                    order.len()
                )))
            }
            None => self.order.rows(points, seed),
        }
    }

    /// Fits the points; an earlier fit lends its layout and memory.
    fn fit(
        &self,
        session: &Session,
        points: &Points,
        order: &[Idx],
        set: &CovarianceConfig,
        explained: &Explained,
        earlier: Option<ResidualIndex>,
    ) -> Result<ResidualIndex, Error> {
        let label = shown(&self.points.path);
        match (earlier, explained) {
            (Some(mut index), Explained::Inducing(_)) => {
                let files = self.covariance.inducing.files();
                index.refit(&label, points, set).map_err(|error| in_files(error, files))?;
                Ok(index)
            }
            _ => {
                let inducing_label = self.covariance.inducing.inducing_points.as_deref().map(shown);
                let options = FitOptions {
                    tier: session.tier,
                    landmarks: self.search.landmarks,
                    order: Some(order),
                    inducing_label: inducing_label.as_deref(),
                };
                self.covariance.fit(session, &label, points, set, explained, options)
            }
        }
    }

    /// What is wrong with a parameter set, or with the points under it, with its file and number before it.
    fn in_set(&self, number: usize, error: Error) -> Error {
        match &self.parameters {
            Some(path) => in_set(path, number, error),
            None => error,
        }
    }

    /// The order in words.
    fn order_name(&self) -> Option<&str> {
        Some(if self.order_ids.is_some() { "file" } else { self.order.name() })
    }
}

/// What was done, in words.
fn told(ids: &Path, record: &Record, index: &ResidualIndex) -> String {
    let (query_s, rows) = (record.query_s.unwrap_or_default(), record.rows.unwrap_or_default());
    let mut line = format!(
        "{}: {rows} x {} found in {query_s:.3} s, {:.0} rows/s (V of {} columns in {:.3} s)",
        shown(ids),
        record.k.unwrap_or_default(),
        rows as f64 / query_s,
        index.columns(),
        record.covariance_s.unwrap_or_default()
    );
    if let Some(work) = &record.residual {
        line += &format!(
            ", {:.1} % of all pairs ruled out by bounds",
            100.0 * work.landmark_pruned as f64 / work.pairs_all.max(1) as f64
        );
    }
    line += &told_of_jitter(index);
    if let Some(recall) = record.recall {
        line += &format!(", recall {recall} of {} rows", record.sampled.unwrap_or_default());
    }
    line
}
