//! `covertree within`: all points near new points, in a saved tree.

use std::path::PathBuf;

use clap::Args;
use covertree::Neighborhoods;
use covertree::error::{Error, shown};
use covertree::formats::output::{Outputs, check_targets, suffixed};
use covertree::formats::read_points;

use super::args::{ReadingArgs, TreeArgs, check_dim};
use super::build::built;
use super::record::{Outcome, Record};
use super::session::Session;

/// Find all points within a radius of each query in a saved tree
///
/// Writes PREFIX.indptr.npy (i64, queries + 1), PREFIX.ids.npy (i32) and PREFIX.dist.npy (f64): the row numbers of the
/// points within the radius of query i, ascending by distance, then by row, stand at indptr[i] to indptr[i + 1].
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  covertree within tree.ct --queries queries.npy --radius 0.5 -o near")]
pub(crate) struct WithinArgs {
    #[command(flatten)]
    pub tree: TreeArgs,
    /// The queries, one per row: .npy or .csv
    #[arg(long, value_name = "FILE")]
    pub queries: PathBuf,
    /// Points up to this distance count, those at it too; in the unit of the tree's metric (angular and haversine: radians)
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub radius: f64,
    /// Where to write: the beginning of the names of the three files
    #[arg(long, short, value_name = "PREFIX")]
    pub output: PathBuf,
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// A checked request.
pub(crate) struct WithinPlan {
    args: WithinArgs,
    starts: PathBuf,
    ids: PathBuf,
    distances: PathBuf,
}

impl WithinArgs {
    pub fn plan(self) -> Result<WithinPlan, Error> {
        if self.radius.is_nan() || self.radius < 0.0 {
            return Err(Error::Usage(format!("--radius {}: choose a number from 0 on", self.radius)));
        }
        let [starts, ids, distances] =
            [".indptr.npy", ".ids.npy", ".dist.npy"].map(|suffix| suffixed(&self.output, suffix));
        check_targets([starts.as_path(), &ids, &distances], [self.tree.path.as_path(), &self.queries])?;
        Ok(WithinPlan { args: self, starts, ids, distances })
    }
}

impl WithinPlan {
    pub fn run(self, session: &Session) -> Result<Outcome, Error> {
        let Self { args, .. } = &self;
        session.stages(4);
        let index = args.tree.load(session)?;
        let queries = session.stage("reading the queries", || read_points(&args.queries, &args.reading.options())).0?;
        check_dim((&args.queries, &queries), (&args.tree.path, index.dim()))?;
        let label = shown(&args.queries);
        let (found, query_s) = session.stage("searching", || index.within_named(&label, &queries, args.radius));
        let (near, counters) = found?;
        session.stage("writing", || self.write(&near)).0?;
        let count = queries.len();
        let record = Record {
            build_s: None,
            queries: Some(count),
            found: Some(near.ids.len()),
            query_s: Some(query_s),
            rows_per_s: Some(count as f64 / query_s),
            counters: Some(counters.into()),
            ..built(&index, "within", 0.0)
        };
        let message = format!(
            "{}: {} points near {count} queries, found in {query_s:.3} s, {:.0} rows/s",
            shown(&self.ids),
            near.ids.len(),
            count as f64 / query_s
        );
        Ok(Outcome { message, record, ..Outcome::default() })
    }

    /// Writes the three files: all appear, or none.
    fn write(&self, near: &Neighborhoods) -> Result<(), Error> {
        let mut outputs = Outputs::new();
        outputs.add_npy(&self.starts, &[near.starts.len()], &near.starts)?;
        outputs.add_npy(&self.ids, &[near.ids.len()], &near.ids)?;
        outputs.add_npy(&self.distances, &[near.distances.len()], &near.distances)?;
        outputs.commit()
    }
}
