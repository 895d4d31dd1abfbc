//! `covertree query`: the neighbours of new points in a saved tree.

use std::path::PathBuf;

use clap::Args;
use covertree::AnyIndex;
use covertree::answers::Answers;
use covertree::error::{Error, shown};
use covertree::formats::output::Outputs;
use covertree::formats::read_points;

use super::args::{AnswerFiles, ReadingArgs, TreeArgs, check_dim, check_k};
use super::build::built;
use super::record::{Outcome, Record};
use super::session::Session;

/// Find the nearest neighbours of each query in a saved tree
///
/// Writes PREFIX.ids.npy (i32, queries x k: row numbers of the points, ascending by distance, then by row) and
/// PREFIX.dist.npy (f64, queries x k). Where there are fewer than k points, ids are -1 and distances infinite.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  covertree query tree.ct --queries queries.npy -k 10 -o nn")]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    pub tree: TreeArgs,
    /// The queries, one per row: .npy or .csv
    #[arg(long, value_name = "FILE")]
    pub queries: PathBuf,
    /// Neighbours per query
    #[arg(short, value_name = "K", allow_negative_numbers = true)]
    pub k: usize,
    /// Where to write: the beginning of the names of the two files
    #[arg(long, short, value_name = "PREFIX")]
    pub output: PathBuf,
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// A checked request.
pub(crate) struct QueryPlan {
    args: QueryArgs,
    files: AnswerFiles,
}

impl QueryArgs {
    pub fn plan(self) -> Result<QueryPlan, Error> {
        check_k(self.k)?;
        let files = AnswerFiles::plan(&self.output, None, [self.tree.path.as_path(), &self.queries])?;
        Ok(QueryPlan { args: self, files })
    }
}

impl QueryPlan {
    pub fn run(self, session: &Session) -> Result<Outcome, Error> {
        let Self { args, files } = self;
        session.stages(4);
        let index = args.tree.load(session)?;
        let queries = session.stage("reading the queries", || read_points(&args.queries, &args.reading.options())).0?;
        check_dim((&args.queries, &queries), (&args.tree.path, index.dim()))?;
        let (found, query_s) = session.stage("searching", || index.knn_named(&shown(&args.queries), &queries, args.k));
        let (answers, counters) = found?;
        session.stage("writing", || write_answers(Outputs::new(), &files, &answers)).0?;
        let record = Record { counters: Some(counters.into()), ..answered(&index, "query", &answers, query_s) };
        let record = Record { build_s: None, ..record };
        Ok(Outcome { message: told(&files, &answers, query_s), record, ..Outcome::default() })
    }
}

/// Writes both files of an answer, and what stands beside them: all appear, or none.
pub(crate) fn write_answers(mut outputs: Outputs, files: &AnswerFiles, answers: &Answers) -> Result<(), Error> {
    add_answers(&mut outputs, files, answers)?;
    outputs.commit()
}

/// Adds both files of an answer to others.
pub(crate) fn add_answers(outputs: &mut Outputs, files: &AnswerFiles, answers: &Answers) -> Result<(), Error> {
    let shape = [answers.ids.len() / answers.k, answers.k];
    outputs.add_npy(&files.ids, &shape, &answers.ids)?;
    outputs.add_npy(&files.distances, &shape, &answers.distances)
}

/// The figures of an answer.
pub(crate) fn answered(index: &AnyIndex, command: &'static str, answers: &Answers, query_s: f64) -> Record {
    let queries = answers.ids.len() / answers.k;
    Record {
        queries: Some(queries),
        k: Some(answers.k),
        query_s: Some(query_s),
        rows_per_s: Some(queries as f64 / query_s),
        ..built(index, command, 0.0)
    }
}

/// An answer in words.
pub(crate) fn told(files: &AnswerFiles, answers: &Answers, query_s: f64) -> String {
    let queries = answers.ids.len() / answers.k;
    format!(
        "{} and {}: {queries} x {} found in {query_s:.3} s, {:.0} rows/s",
        shown(&files.ids),
        shown(&files.distances),
        answers.k,
        queries as f64 / query_s
    )
}
