//! `covertree check`: every law of a saved tree, or an answer against brute force.

use std::path::{Path, PathBuf};

use clap::Args;
use covertree::answers::Answers;
use covertree::error::{Error, shown};
use covertree::formats::npy::read_ids;
use covertree::points::Points;
use covertree::space::Preparation;
use covertree::tree::file::ReadMode;
use covertree::tree::validate::{Report, ValidateConfig};
use covertree::{AnyIndex, MetricName, brute};
use covertree_kernels::hash::mix64;
use covertree_kernels::index::{Idx, NONE, at, idx_len};

use super::args::{HeaderArg, PointsArgs, check_k, metric_parser};
use super::build::built;
use super::knn::AskedArgs;
use super::record::{Outcome, Record, TreeRecord};
use super::session::Session;

/// Check a saved tree, or the recall of an answer
///
/// A tree: one root, levels that fall strictly, cover, separation on every level, reach, twins and the order of storage, by
/// brute force. Above 50 000 points separation is checked on a sample, and the report says so.
///
/// An answer (with --ids): its rows against a brute force by the metric's formula; above 2^31 pairs for a sample of the rows,
/// and the report says so. Points as far from the query as the k-th true neighbour stand for each other, so that ties may go
/// either way. The order within a row is not checked, nor are the distances that were written.
///
/// Exit code 1 when a law is broken or the recall is below 1.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  covertree check tree.ct\n  \
                  covertree check points.npy --ids nn.ids.npy --queries queries.npy",
    // A comment on the flattened field would be lost.
    mut_arg("path", |path| {
        path.value_name("FILE").help("The saved tree; or, with --ids, the points, one per row: .npy (f32 or f64) or .csv")
    })
)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub points: PointsArgs,
    /// The answer to check: row numbers of the points, one row per query, padded with -1: .npy (i32 or i64)
    #[arg(long, value_name = "IDS.npy")]
    pub ids: Option<PathBuf>,
    /// Neighbours per row to compare, the first of each row; all columns of the answer, unless told
    #[arg(short, value_name = "K", requires = "ids")]
    pub k: Option<usize>,
    /// Rows to sample where all would be too many pairs
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub sample: usize,
    #[command(flatten)]
    pub asked: AskedArgs,
    /// The metric of the answer [default: euclidean]
    #[arg(long, value_name = "METRIC", value_parser = metric_parser())]
    pub metric: Option<MetricName>,
}

/// Pairs that are compared without sampling.
const PAIRS_MAX: u64 = 1 << 31;

/// A checked request.
pub(crate) enum CheckPlan {
    Tree { path: PathBuf, sample: usize },
    Answer { ids: PathBuf, args: Box<CheckArgs> },
}

impl CheckArgs {
    pub fn plan(self) -> Result<CheckPlan, Error> {
        if self.sample == 0 {
            return Err(Error::Usage("--sample 0: ask for at least one row".into()));
        }
        self.k.map(check_k).transpose()?;
        match self.ids.clone() {
            Some(ids) => Ok(CheckPlan::Answer { ids, args: Box::new(self) }),
            None => match self.loose() {
                Some(flag) => {
                    let message = format!("{flag} belongs to an answer; name it with --ids, or leave the flag out");
                    Err(Error::Usage(message))
                }
                None => Ok(CheckPlan::Tree { path: self.points.path, sample: self.sample }),
            },
        }
    }

    /// A flag that was given and says nothing about a tree.
    fn loose(&self) -> Option<&'static str> {
        let Self { points, asked, metric, .. } = self;
        let given = [
            (asked.queries.is_some(), "--queries"),
            (asked.include_self, "--include-self"),
            (metric.is_some(), "--metric"),
            (!points.reading.columns.is_empty(), "--columns"),
            (points.reading.header != HeaderArg::Detect, "--header"),
            (points.dtype.is_some(), "--dtype"),
        ];
        given.into_iter().find(|flag| flag.0).map(|flag| flag.1)
    }
}

impl CheckPlan {
    pub fn run(self, session: &Session) -> Result<Outcome, Error> {
        match self {
            Self::Tree { path, sample } => {
                session.stages(2);
                let index = session.stage("reading", || AnyIndex::load_on(session.tier, &path, ReadMode::Memory)).0?;
                let config = ValidateConfig { sample, seed: session.seed, ..ValidateConfig::default() };
                let (report, _) = session.stage("checking", || index.validate(&config));
                Ok(tree_outcome(&index, &report, &shown(&path)))
            }
            Self::Answer { ids, args } => check_answer(&ids, &args, session),
        }
    }
}

fn tree_outcome(index: &AnyIndex, report: &Report, file: &str) -> Outcome {
    let violations: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
    let mut text = format!("{file}: {report}");
    for violation in &violations {
        text.push_str("\n  ");
        text.push_str(violation);
    }
    let tree = TreeRecord {
        valid: report.is_valid(),
        nodes: report.nodes,
        twins: report.twins,
        level_lowest: report.levels.map(|(lowest, _)| lowest),
        level_highest: report.levels.map(|(_, highest)| highest),
        pairs_checked: report.pairs,
        violations_found: report.found,
        violations,
    };
    let record = Record { tree: Some(tree), build_s: None, sampled: report.sampled, ..built(index, "check", 0.0) };
    let failed = (!report.is_valid()).then(|| format!("{file}: breaks {} laws of its tree", report.found));
    Outcome { record, text, failed, ..Outcome::default() }
}

fn check_answer(ids: &Path, args: &CheckArgs, session: &Session) -> Result<Outcome, Error> {
    session.stages(3);
    let read = || -> Result<_, Error> {
        let points = args.points.read()?;
        let queries = args.asked.read(&args.points, points.dim())?;
        Ok((points, queries))
    };
    let (points, queries) = session.stage("reading", read).0?;
    let asked = queries.as_ref().unwrap_or(&points);
    let (found, width) = read_answer(ids, asked.len(), &points)?;
    let k = args.k.unwrap_or(width);
    if k > width {
        return Err(Error::Usage(format!("{}: has {width} columns, fewer than -k {k}; ask for fewer", shown(ids))));
    }
    // Whatever the metric cannot take is refused here, with the name of its file.
    let file_of_points = shown(&args.points.path);
    let metric = args.metric.unwrap_or_default();
    let preparation = Preparation::of(metric, &file_of_points, &points)?;
    preparation.points(&file_of_points, &points)?;
    preparation.queries(&args.asked.queries.as_deref().map_or(file_of_points, shown), asked)?;
    let rows = sample(asked.len(), points.len(), args.sample, session.seed)?;
    let some = asked.take_rows(&rows)?;
    let graph = queries.is_none() && !args.asked.include_self;
    let except = |row: usize| if graph { rows[row] } else { NONE };
    let named = |row: usize| {
        let ids = &found[at(rows[row]) * width..][..k];
        ids.iter().copied().filter(move |&id| id != NONE && id != except(row))
    };
    let compare = || -> Result<_, Error> {
        let truth = brute::knn(&points, &some, metric, k, except)?;
        Ok(recall_by_distance(&truth, &brute::knn_among(&points, &some, metric, k, named)?))
    };
    let (recall, query_s) = session.stage("brute force", compare);
    let recall = recall?;
    let file = shown(ids);
    let sampled = (rows.len() < asked.len()).then_some(rows.len());
    let of = match sampled {
        Some(rows) => format!("a sample of {rows} of {} rows (seed {})", asked.len(), session.seed),
        None => format!("all {} rows", asked.len()),
    };
    let record = Record {
        command: "check",
        rows: Some(points.len()),
        dim: Some(points.dim()),
        metric: Some(metric.name()),
        queries: Some(asked.len()),
        k: Some(k),
        query_s: Some(query_s),
        recall: Some(recall),
        sampled,
        ..Record::default()
    };
    let failed = (recall < 1.0).then(|| format!("{file}: recall {recall:.6} is below 1"));
    Ok(Outcome { record, text: format!("{file}: recall {recall:.6} at k = {k} on {of}"), failed, ..Outcome::default() })
}

/// Reads the ids of an answer to `rows` queries; gives the neighbours per query too.
fn read_answer(path: &Path, rows: usize, points: &Points) -> Result<(Vec<Idx>, usize), Error> {
    let array = read_ids(path)?;
    let wrong = |problem: String| Error::Usage(format!("{}: {problem}", shown(path)));
    let (len, width) = match array.shape[..] {
        [len] => (len, 1),
        [len, width] => (len, width),
        _ => return Err(wrong("has no rows and columns; give one row of ids per query".into())),
    };
    if len != rows || width == 0 {
        return Err(wrong(format!("is {len} x {width} where there are {rows} queries; give one row of ids for each")));
    }
    if let Some(place) = array.values.iter().position(|id| !(NONE..points.rows()).contains(id)) {
        return Err(wrong(format!(
            "row {}, column {} (counted from 0) is {}, which is no row of the {} points; check which points it is of",
            place / width,
            place % width,
            array.values[place],
            points.len()
        )));
    }
    let repeats = array.values.chunks_exact(width).map(repeated).enumerate();
    match repeats.filter_map(|(row, id)| Some((row, id?))).next() {
        None => Ok((array.values, width)),
        Some((row, id)) => {
            Err(wrong(format!("row {row} (counted from 0) names point {id} more than once; name each neighbour once")))
        }
    }
}

/// An id that a row holds more than once.
fn repeated(row: &[Idx]) -> Option<Idx> {
    let mut sorted = row.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).find(|pair| pair[0] == pair[1] && pair[0] != NONE).map(|pair| pair[0])
}

/// The rows to compare: all, or a seeded choice in ascending order.
fn sample(queries: usize, points: usize, count: usize, seed: u64) -> Result<Vec<Idx>, Error> {
    let mut rows: Vec<Idx> = (0..idx_len(queries)?).collect();
    if (queries as u64).saturating_mul(points as u64) > PAIRS_MAX && count < queries {
        rows.sort_by_cached_key(|&row| mix64(seed ^ mix64(row as u64))); // rows are not negative
        rows.truncate(count);
        rows.sort_unstable();
    }
    Ok(rows)
}

/// The share of the true neighbours that were found, where points as far as the last of them stand for each other; 1 where
/// there are none to be found. `found` holds what was named, with distances by the same formula.
fn recall_by_distance(truth: &Answers, found: &Answers) -> f64 {
    let rows = 0..truth.len();
    let all: usize = rows.clone().map(|row| truth.row(row).0.len()).sum();
    let hits = rows.map(|row| {
        let (wanted, named) = (truth.row(row).1, found.row(row).1);
        let last = wanted.last().copied().unwrap_or(f64::NEG_INFINITY);
        let nearer = |distances: &[f64]| distances.iter().filter(|&&distance| distance < last).count();
        let tied = |distances: &[f64]| distances.iter().filter(|&&distance| distance == last).count();
        // What is nearer than the last is a true neighbour; of those that tie with it, only so many are wanted.
        nearer(named) + tied(named).min(tied(wanted))
    });
    if all == 0 { 1.0 } else { hits.sum::<usize>() as f64 / all as f64 }
}

/// The share of the true neighbours that were found, by their ids; 1 where there are none to be found.
pub(crate) fn recall<'a>(truth: &Answers, found: impl Iterator<Item = &'a [Idx]>) -> f64 {
    let (mut all, mut hits) = (0u64, 0u64);
    for (truth, found) in truth.ids.chunks(truth.k).zip(found) {
        let mut found = found.to_vec();
        found.sort_unstable();
        for id in truth.iter().filter(|id| **id != NONE) {
            all += 1;
            hits += u64::from(found.binary_search(id).is_ok());
        }
    }
    if all == 0 { 1.0 } else { hits as f64 / all as f64 }
}
