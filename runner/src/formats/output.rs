//! Files that appear whole or not at all.
//!
//! Each file is written to a temporary beside its target and forced to the disk; only when all of them stand are they
//! renamed. So an error, or a full disk, leaves nothing half-written, and readers never see part of an answer.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::npy::{self, Element};
use crate::error::{Error, shown};

/// Output files that belong together: all of them appear, or none.
///
/// Dropped without [`Outputs::commit`], it removes what it has written so far.
///
/// ```no_run
/// # fn main() -> Result<(), covertree::error::Error> {
/// use std::path::Path;
/// use covertree::formats::output::{Outputs, suffixed};
/// let prefix = Path::new("nn");
/// let mut outputs = Outputs::new();
/// outputs.add_npy(&suffixed(prefix, ".ids.npy"), &[2, 1], &[1, 0])?;
/// outputs.add_npy(&suffixed(prefix, ".dist.npy"), &[2, 1], &[0.5, 0.5])?;
/// outputs.commit()
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Outputs {
    staged: Vec<Staged>,
}

/// A file that stands complete under a temporary name.
#[derive(Debug)]
struct Staged {
    temporary: NamedTempFile,
    target: PathBuf,
    /// The target, for messages.
    file: String,
}

impl Outputs {
    /// No files yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a file under a temporary name: `write` gets a buffered writer.
    ///
    /// # Errors
    /// As [`check_target`], [`Error::Write`] for what `write` or the system reports, and [`Error::Usage`] for a file that is
    /// among them already.
    pub fn add<F>(&mut self, path: &Path, write: F) -> Result<(), Error>
    where
        F: FnOnce(&mut dyn Write) -> io::Result<()>,
    {
        let target = whole(&resolve(path)?);
        let file = shown(path);
        if self.staged.iter().any(|staged| staged.target == target) {
            return Err(twice(&file));
        }
        let failed = |source| Error::Write { file: file.clone(), source };
        sweep(&target);
        let temporary =
            create_beside(&target, |path| File::options().write(true).read(true).create_new(true).open(path));
        let temporary = temporary.map_err(failed)?;
        drop(temporary.as_file().lock()); // tells that it is at work, see `sweep`
        let mut buffered = BufWriter::new(temporary.as_file());
        write(&mut buffered).and_then(|()| buffered.flush()).map_err(failed)?;
        drop(buffered);
        if let Ok(earlier) = fs::metadata(&target) {
            // Whom the file was for, the new one is for; where the system refuses, the usual permissions have to do.
            drop(temporary.as_file().set_permissions(earlier.permissions()));
        }
        temporary.as_file().sync_all().map_err(failed)?; // a full disk shows here at the latest
        self.staged.push(Staged { temporary, target, file });
        Ok(())
    }

    /// Writes an `.npy` file under a temporary name.
    ///
    /// # Errors
    /// As [`Outputs::add`]; and [`Error::Kernel`] when `data` does not fill `shape`.
    pub fn add_npy<T: Element>(&mut self, path: &Path, shape: &[usize], data: &[T]) -> Result<(), Error> {
        npy::want_shape(shape, data.len())?;
        self.add(path, |out| npy::write_to(out, shape, data))
    }

    /// Gives every file its name. Files of those names that were there before are replaced.
    ///
    /// # Errors
    /// [`Error::Write`] when a file cannot be renamed. The files renamed before it are then taken back: new names
    /// vanish, and earlier files return where the file system knows hard links.
    pub fn commit(self) -> Result<(), Error> {
        // Whatever was there before stays reachable under a second name until all is done.
        let mut earlier = Vec::with_capacity(self.staged.len());
        for staged in &self.staged {
            let existed = staged.target.exists();
            let kept = create_beside(&staged.target, |path| fs::hard_link(&staged.target, path)).ok();
            earlier.push((staged.target.clone(), existed, kept));
        }
        for (done, staged) in self.staged.into_iter().enumerate() {
            if let Err(error) = staged.temporary.persist(&staged.target) {
                for (target, existed, kept) in earlier.into_iter().take(done) {
                    take_back(&target, existed, kept);
                }
                return Err(Error::Write { file: staged.file, source: error.error });
            }
        }
        let mut folders: Vec<&Path> = earlier.iter().map(|(target, ..)| folder_of(target)).collect();
        folders.dedup();
        folders.into_iter().for_each(settle_folder);
        Ok(())
    }
}

/// Forces the new names in a folder to the disk, where the system knows how. The files are in place whatever it answers.
fn settle_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        drop(folder.sync_all());
    }
}

/// Undoes a rename. A second failure here cannot be helped: the first one is what gets reported.
fn take_back(target: &Path, existed: bool, kept: Option<NamedTempFile<()>>) {
    match kept {
        Some(kept) => drop(kept.persist(target)),
        None if !existed => drop(fs::remove_file(target)),
        None => {}
    }
}

/// How the names of temporary files end.
const PARTIAL: &str = ".partial";

/// Makes something with a fresh name in the folder of `target`; it goes when the handle is dropped.
fn create_beside<R>(target: &Path, make: impl FnMut(&Path) -> io::Result<R>) -> io::Result<NamedTempFile<R>> {
    tempfile::Builder::new().prefix(&prefix_of(target)).suffix(PARTIAL).make_in(folder_of(target), make)
}

/// How the names of temporary files of a target begin.
fn prefix_of(target: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(target.file_name().unwrap_or_default());
    prefix.push(".");
    prefix
}

/// Removes what runs that were killed left of this target: temporary files that nobody holds.
fn sweep(target: &Path) {
    let prefix = prefix_of(target);
    for entry in fs::read_dir(folder_of(target)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        let partial = bytes.starts_with(prefix.as_encoded_bytes()) && bytes.ends_with(PARTIAL.as_bytes());
        if partial && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// The folder that a file stands in.
fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Says early, before any work, that a file could never be written: its folder is missing or refuses new files, or
/// the name belongs to a folder or a device.
///
/// # Errors
/// [`Error::NoFolder`], [`Error::NotAFile`] or [`Error::Write`].
pub fn check_target(path: &Path) -> Result<(), Error> {
    let target = resolve(path)?;
    let probe = create_beside(&target, |path| File::options().write(true).create_new(true).open(path));
    probe.map(drop).map_err(|source| Error::Write { file: shown(path), source })
}

/// [`check_target`] for all files that are to be written together; and none of them may be one that is read, or the same as
/// another.
///
/// # Errors
/// As [`check_target`]; [`Error::Usage`] naming the file that would be lost.
pub fn check_targets<'o, 'i>(
    outputs: impl IntoIterator<Item = &'o Path>,
    inputs: impl IntoIterator<Item = &'i Path>,
) -> Result<(), Error> {
    let inputs: Vec<PathBuf> = inputs.into_iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let mut targets = Vec::new();
    for path in outputs {
        check_target(path)?;
        let target = whole(&resolve(path)?);
        if inputs.contains(&target) {
            return Err(Error::Usage(format!(
                "{}: is read by this command, and would be replaced; write to another file",
                shown(path)
            )));
        }
        if targets.contains(&target) {
            return Err(twice(&shown(path)));
        }
        targets.push(target);
    }
    Ok(())
}

fn twice(file: &str) -> Error {
    Error::Usage(format!("{file}: two outputs would have this name; give one of them another"))
}

/// A resolved path from the root on, so that two names of one file are equal.
fn whole(target: &Path) -> PathBuf {
    match (fs::canonicalize(folder_of(target)), target.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => target.to_owned(),
    }
}

/// The file that a path leads to: a symbolic link keeps leading there when its target is replaced.
fn resolve(path: &Path) -> Result<PathBuf, Error> {
    let file = || shown(path);
    let ends_as_folder = path.to_string_lossy().ends_with(std::path::is_separator);
    if path.file_name().is_none() || ends_as_folder {
        return Err(Error::NotAFile { file: file(), found: "a folder" });
    }
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(Error::NotAFile { file: file(), found: "a folder" }),
        // To rename over a device would replace the device itself.
        Ok(found) if !found.is_file() => Err(Error::NotAFile { file: file(), found: "a device or a pipe" }),
        Ok(_) => fs::canonicalize(path).map_err(|source| Error::Write { file: file(), source }),
        Err(_) if !folder_of(path).is_dir() => Err(Error::NoFolder { file: file(), folder: shown(folder_of(path)) }),
        Err(_) => Ok(path.to_owned()),
    }
}

/// `prefix` with `suffix` at the end of its name: `nn` and `.ids.npy` make `nn.ids.npy`, and so does `nn/`.
/// A prefix that ends in no name, such as `..`, is a folder, and `.ids.npy` becomes `ids.npy` in it.
pub fn suffixed(prefix: &Path, suffix: &str) -> PathBuf {
    match prefix.file_name() {
        Some(name) => {
            let mut name = name.to_owned();
            name.push(suffix);
            prefix.with_file_name(name)
        }
        None => prefix.join(suffix.trim_start_matches('.')),
    }
}

/// Writes one `.npy` file: whole, or not at all.
///
/// # Errors
/// As [`Outputs::add_npy`] and [`Outputs::commit`].
pub fn write_npy<T: Element>(path: &Path, shape: &[usize], data: &[T]) -> Result<(), Error> {
    let mut outputs = Outputs::new();
    outputs.add_npy(path, shape, data)?;
    outputs.commit()
}
