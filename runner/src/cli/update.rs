//! `covertree insert` and `covertree delete`: batch updates of a saved tree.

use std::path::{Path, PathBuf};

use clap::Args;
use covertree::AnyIndex;
use covertree::error::{Error, shown};
use covertree::formats::npy::read_ids;
use covertree::formats::output::check_target;
use covertree::formats::read_points;
use covertree::tree::file::ReadMode;
use covertree_kernels::index::Idx;

use super::args::ReadingArgs;
use super::build::{built, described};
use super::record::Outcome;
use super::session::Session;

/// Insert points into a saved tree
///
/// They get the ids that follow those of all points that the tree ever had; ids are never used twice.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  covertree insert tree.ct new.npy")]
pub(crate) struct InsertArgs {
    /// The saved tree, which is replaced unless --output names another file
    #[arg(value_name = "TREE.ct")]
    pub tree: PathBuf,
    /// The points, one per row: .npy or .csv
    #[arg(value_name = "POINTS")]
    pub points: PathBuf,
    /// The file to write
    #[arg(long, short, value_name = "NEW.ct")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// Delete points from a saved tree, by their ids
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  covertree delete tree.ct --id 3,17\n  covertree delete tree.ct --ids gone.npy -o smaller.ct"
)]
pub(crate) struct DeleteArgs {
    /// The saved tree, which is replaced unless --output names another file
    #[arg(value_name = "TREE.ct")]
    pub tree: PathBuf,
    /// The ids
    #[arg(long, value_name = "ID,..", value_delimiter = ',', required_unless_present = "ids")]
    pub id: Vec<Idx>,
    /// A file of ids: .npy
    #[arg(long, value_name = "IDS.npy", conflicts_with = "id")]
    pub ids: Option<PathBuf>,
    /// The file to write
    #[arg(long, short, value_name = "NEW.ct")]
    pub output: Option<PathBuf>,
}

/// A checked request.
pub(crate) enum UpdatePlan {
    /// To insert.
    Insert(InsertArgs),
    /// To delete.
    Delete(DeleteArgs),
}

impl InsertArgs {
    pub fn plan(self) -> Result<UpdatePlan, Error> {
        check_target(self.output.as_ref().unwrap_or(&self.tree))?;
        Ok(UpdatePlan::Insert(self))
    }
}

impl DeleteArgs {
    pub fn plan(self) -> Result<UpdatePlan, Error> {
        check_target(self.output.as_ref().unwrap_or(&self.tree))?;
        Ok(UpdatePlan::Delete(self))
    }
}

impl UpdatePlan {
    pub fn run(self, session: &Session) -> Result<Outcome, Error> {
        session.stages(3);
        let load = |path: &Path| AnyIndex::load_on(session.tier, path, ReadMode::default());
        match self {
            Self::Insert(args) => {
                let read = || Ok::<_, Error>((load(&args.tree)?, read_points(&args.points, &args.reading.options())?));
                let (mut index, points) = session.stage("reading", read).0?;
                let first = index.next_id();
                let (done, seconds) = session.stage("inserting", || index.insert(&shown(&args.points), &points));
                done?;
                let what = format!("{} points inserted with ids {first} to {}", points.len(), index.next_id() - 1);
                finish(&index, "insert", &what, seconds, args.output.as_ref().unwrap_or(&args.tree), session)
            }
            Self::Delete(args) => {
                let read = || {
                    let ids = match &args.ids {
                        Some(path) => read_ids(path)?.values,
                        None => args.id.clone(),
                    };
                    Ok::<_, Error>((load(&args.tree)?, ids))
                };
                let (mut index, ids) = session.stage("reading", read).0?;
                let before = index.len();
                let (done, seconds) = session.stage("deleting", || index.delete(&ids));
                done?;
                let what = format!("{} points deleted", before - index.len());
                finish(&index, "delete", &what, seconds, args.output.as_ref().unwrap_or(&args.tree), session)
            }
        }
    }
}

/// Saves the tree and tells about it.
fn finish(
    index: &AnyIndex,
    command: &'static str,
    what: &str,
    seconds: f64,
    path: &Path,
    session: &Session,
) -> Result<Outcome, Error> {
    session.stage("writing", || index.save(path)).0?;
    let message = format!("{}: {what} in {seconds:.3} s; {}", shown(path), described(index));
    Ok(Outcome { record: built(index, command, seconds), message, ..Outcome::default() })
}
