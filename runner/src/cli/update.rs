//! `covertree insert` and `covertree delete`: batch updates of a saved tree.

use std::fs::File;
#[cfg(unix)]
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use clap::Args;
use covertree::AnyIndex;
use covertree::error::{Error, shown};
use covertree::formats::npy::read_ids;
use covertree::formats::output::check_targets;
use covertree::formats::read_points;
use covertree::points::Points;
use covertree::tree::file::ReadMode;
use covertree_kernels::index::Idx;

use super::args::{DtypeArg, ReadingArgs, convert, in_files};
use super::build::{built, described};
use super::record::{Outcome, Record};
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
    /// Convert the points to this precision first: to that of the tree, say
    #[arg(long, value_enum, value_name = "TYPE")]
    pub dtype: Option<DtypeArg>,
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
    fn read(&self) -> Result<Points, Error> {
        let points = read_points(&self.points, &self.reading.options())?;
        convert(points, self.dtype, &shown(&self.points))
    }

    pub fn plan(self) -> Result<UpdatePlan, Error> {
        check_targets([self.output.as_ref().unwrap_or(&self.tree).as_path()], [self.points.as_path()])?;
        Ok(UpdatePlan::Insert(self))
    }
}

impl DeleteArgs {
    pub fn plan(self) -> Result<UpdatePlan, Error> {
        let output = self.output.as_ref().unwrap_or(&self.tree);
        check_targets([output.as_path()], self.ids.as_deref())?;
        Ok(UpdatePlan::Delete(self))
    }
}

impl UpdatePlan {
    pub fn run(self, session: &Session) -> Result<Outcome, Error> {
        session.stages(3);
        let load = |path: &Path| AnyIndex::load_on(session.tier, path, ReadMode::default());
        let _held = match &self {
            Self::Insert(InsertArgs { tree, output: None, .. })
            | Self::Delete(DeleteArgs { tree, output: None, .. }) => Some(hold(tree)?),
            _ => None,
        };
        match self {
            Self::Insert(args) => {
                let read = || Ok::<_, Error>((load(&args.tree)?, args.read()?));
                let (mut index, points) = session.stage("reading", read).0?;
                let first = index.next_id();
                let (done, seconds) = session.stage("inserting", || index.insert(&shown(&args.points), &points));
                done?;
                let what = format!("{} points inserted with ids {first} to {}", points.len(), index.next_id() - 1);
                let record = built(&index, "insert", seconds);
                let record = Record { first_id: Some(first), changed: Some(points.len()), ..record };
                finish(&index, (&what, seconds), record, args.output.as_ref().unwrap_or(&args.tree), session)
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
                done.map_err(|error| in_files(error, args.ids.as_deref()))?;
                let deleted = before - index.len();
                let record = Record { changed: Some(deleted), ..built(&index, "delete", seconds) };
                let what = format!("{deleted} points deleted");
                finish(&index, (&what, seconds), record, args.output.as_ref().unwrap_or(&args.tree), session)
            }
        }
    }
}

/// Waits until no other run updates a tree, and keeps others waiting while the result lives. Two at once would start from the same
/// tree, and the later one would undo the earlier. Where the system knows no locks, nothing is held.
fn hold(path: &Path) -> Result<File, Error> {
    loop {
        let file = File::open(path).map_err(|source| Error::Read { file: shown(path), source })?;
        // Whoever held it has replaced it: the lock is then on what no longer has the name.
        if file.lock().is_err() || has_name(&file, path) {
            return Ok(file);
        }
    }
}

#[cfg(unix)]
fn has_name(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let place = |metadata: Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => place(held) == place(named),
        _ => true,
    }
}

#[cfg(not(unix))]
fn has_name(_: &File, _: &Path) -> bool {
    true
}

/// Saves the tree and tells about it.
fn finish(
    index: &AnyIndex,
    (what, seconds): (&str, f64),
    record: Record,
    path: &Path,
    session: &Session,
) -> Result<Outcome, Error> {
    session.stage("writing", || index.save(path)).0?;
    let message = format!("{}: {what} in {seconds:.3} s; {}", shown(path), described(index));
    Ok(Outcome { record, message, ..Outcome::default() })
}
