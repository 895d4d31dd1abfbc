//! `covertree insert` and `covertree delete`: batch updates of a saved tree.

use std::fs::File;
#[cfg(unix)]
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use clap::Args;
use covertree::AnyIndex;
use covertree::build::Telemetry;
use covertree::error::{Error, shown};
use covertree::formats::npy::read_ids;
use covertree::formats::output::{Outputs, check_targets};
use covertree::formats::read_points;
use covertree::points::Points;
use covertree::tree::file::ReadMode;
use covertree_kernels::index::Idx;

use super::args::{DtypeArg, ReadingArgs, check_dim, convert, in_files, report};
use super::build::{built, described};
use super::record::{Outcome, Record};
use super::session::Session;

/// The tree that changes, and what is written.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The saved tree, which is replaced unless --output names another file
    #[arg(value_name = "TREE.ct")]
    pub tree: PathBuf,
    /// The file to write
    #[arg(long, short, value_name = "NEW.ct")]
    pub output: Option<PathBuf>,
    /// Write what was done, batch by batch and level by level: one JSON object per line
    #[arg(long, value_name = "FILE.jsonl")]
    pub telemetry: Option<PathBuf>,
}

/// Insert points into a saved tree
///
/// They get the ids that follow those of all points that the tree ever had; ids are never used twice.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  covertree insert tree.ct new.npy")]
pub(crate) struct InsertArgs {
    #[command(flatten)]
    pub change: ChangeArgs,
    /// The points, one per row: .npy or .csv
    #[arg(value_name = "POINTS")]
    pub points: PathBuf,
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
    #[command(flatten)]
    pub change: ChangeArgs,
    /// The ids
    #[arg(long, value_name = "ID,..", value_delimiter = ',', required_unless_present = "ids")]
    pub id: Vec<Idx>,
    /// A file of ids: .npy
    #[arg(long, value_name = "IDS.npy", conflicts_with = "id")]
    pub ids: Option<PathBuf>,
}

/// A checked request.
pub(crate) enum UpdatePlan {
    /// To insert.
    Insert(InsertArgs),
    /// To delete.
    Delete(DeleteArgs),
}

impl ChangeArgs {
    /// The file of the tree in the end.
    fn target(&self) -> &Path {
        self.output.as_ref().unwrap_or(&self.tree)
    }

    /// Refuses early what could never be written, or would replace what is read.
    fn check(&self, input: Option<&Path>) -> Result<(), Error> {
        let telemetry = self.telemetry.as_deref();
        check_targets([self.target()].into_iter().chain(telemetry), input)?;
        // The tree alone may be written over, and by a tree alone.
        check_targets(telemetry, [self.tree.as_path()])
    }

    /// Keeps other runs from the tree while the result lives, if it is to be replaced.
    fn hold(&self) -> Result<Option<File>, Error> {
        match &self.output {
            Some(output) if !is_same(output, &self.tree) => Ok(None),
            _ => hold(&self.tree).map(Some),
        }
    }

    fn load(&self, session: &Session) -> Result<AnyIndex, Error> {
        AnyIndex::load_on(session.tier, &self.tree, ReadMode::default())
    }

    /// Saves the tree, its telemetry with it if that is asked for, and tells about it.
    fn finish(
        &self,
        (index, telemetry): (&AnyIndex, &Telemetry),
        (what, seconds): (&str, f64),
        record: Record,
        session: &Session,
    ) -> Result<Outcome, Error> {
        let mut outputs = Outputs::new();
        report((index, telemetry), self.telemetry.as_ref(), session, &mut outputs)?;
        let write = || index.stage(&mut outputs, self.target()).and_then(|()| outputs.commit());
        session.stage("writing", write).0?;
        let message = format!("{}: {what} in {seconds:.3} s; {}", shown(self.target()), described(index));
        Ok(Outcome { record, message, ..Outcome::default() })
    }
}

impl InsertArgs {
    fn read(&self) -> Result<Points, Error> {
        let points = read_points(&self.points, &self.reading.options())?;
        convert(points, self.dtype, &shown(&self.points))
    }

    pub fn plan(self) -> Result<UpdatePlan, Error> {
        self.change.check(Some(&self.points))?;
        Ok(UpdatePlan::Insert(self))
    }

    fn run(&self, session: &Session) -> Result<Outcome, Error> {
        let _held = self.change.hold()?;
        let read = || Ok::<_, Error>((self.change.load(session)?, self.read()?));
        let (mut index, points) = session.stage("reading", read).0?;
        check_dim((&self.points, &points), (&self.change.tree, index.dim()))?;
        let first = index.next_id();
        let (told, seconds) = session.stage("inserting", || index.insert(&shown(&self.points), &points));
        let told = told?;
        let what = format!("{} points inserted with ids {first} to {}", points.len(), index.next_id() - 1);
        let record = built(&index, "insert", seconds);
        let record = Record { first_id: Some(first), changed: Some(points.len()), ..record };
        self.change.finish((&index, &told), (&what, seconds), record, session)
    }
}

impl DeleteArgs {
    /// The ids that are asked for.
    fn read(&self) -> Result<Vec<Idx>, Error> {
        match &self.ids {
            Some(path) => Ok(read_ids(path)?.values),
            None => Ok(self.id.clone()),
        }
    }

    /// What is wrong with the ids, with the names of the files.
    fn in_place(&self, error: Error, ids: &[Idx]) -> Error {
        let tree = shown(&self.change.tree);
        match (error, &self.ids) {
            (Error::UnknownId { id, .. }, Some(path)) => Error::Usage(format!(
                "{}: value number {} (counted from 0) is {id}, and {tree} holds no point with this id; leave it out",
                shown(path),
                ids.iter().position(|&asked| asked == id).unwrap_or_default()
            )),
            (Error::UnknownId { id, len, .. }, None) => Error::UnknownId { file: tree, id, len },
            (error, _) => in_files(error, [self.change.tree.as_path()]),
        }
    }

    pub fn plan(self) -> Result<UpdatePlan, Error> {
        self.change.check(self.ids.as_deref())?;
        Ok(UpdatePlan::Delete(self))
    }

    fn run(&self, session: &Session) -> Result<Outcome, Error> {
        let _held = self.change.hold()?;
        let read = || Ok::<_, Error>((self.change.load(session)?, self.read()?));
        let (mut index, ids) = session.stage("reading", read).0?;
        let before = index.len();
        let (told, seconds) = session.stage("deleting", || index.delete(&ids));
        let told = told.map_err(|error| self.in_place(error, &ids))?;
        let deleted = before - index.len();
        let record = Record { changed: Some(deleted), ..built(&index, "delete", seconds) };
        self.change.finish((&index, &told), (&format!("{deleted} points deleted"), seconds), record, session)
    }
}

impl UpdatePlan {
    pub fn run(self, session: &Session) -> Result<Outcome, Error> {
        session.stages(3);
        match self {
            Self::Insert(args) => args.run(session),
            Self::Delete(args) => args.run(session),
        }
    }
}

/// Whether two paths lead to one file that is there.
fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
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
