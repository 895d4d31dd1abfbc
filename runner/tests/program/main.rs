//! The program itself: what it answers, refuses and leaves behind.

mod answers;
mod correlations;
mod gates;
mod refusals;
mod trees;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use covertree::formats::output::write_npy;
use tempfile::TempDir;

/// A folder in which the program runs; it goes when it is dropped.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The names in the folder, sorted; hidden ones too.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Writes points in double precision.
    fn points(&self, name: &str, dim: usize, values: &[f64]) {
        write_npy(&self.path(name), &[values.len() / dim, dim], values).unwrap();
    }

    /// Runs the program in the folder.
    fn run(&self, line: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_covertree"))
            .current_dir(self.0.path())
            .args(line.split_whitespace())
            .output()
            .unwrap()
    }

    /// Runs the program, which must succeed; gives what it printed.
    #[track_caller]
    fn done(&self, line: &str) -> String {
        let output = self.run(line);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{line}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the program, which must refuse with code 2 and one line, print nothing and leave nothing behind; gives the line.
    #[track_caller]
    fn refused(&self, line: &str) -> String {
        let before = self.names();
        let output = self.run(line);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {message}");
        assert!(output.stdout.is_empty(), "{line}");
        assert_eq!(self.names(), before, "{line}");
        let text = message.strip_suffix('\n').unwrap_or(&message);
        assert!(text.starts_with("error: ") && !text.contains('\n'), "{line}: not one line: {message:?}");
        text.to_owned()
    }
}

/// The tiers of this machine.
fn tiers() -> impl Iterator<Item = String> {
    covertree_kernels::simd::Tier::all().map(|tier| tier.to_string())
}

/// The values of an .npy file that this program wrote: those after the header.
fn values<T: bytemuck::Pod>(path: &Path) -> Vec<T> {
    let bytes = fs::read(path).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytemuck::pod_collect_to_vec(&bytes[header..])
}
