//! Files of points and answers: what is read, what is refused and how, what is left behind.

mod csv;
mod npy;
mod output;

use std::fs;
use std::path::{Path, PathBuf};

use covertree::error::Error;
use covertree::formats::output::write_npy;
use covertree::formats::{Column, ReadOptions, read_points};
use covertree::points::{Dtype, Points, Values};
use tempfile::TempDir;

/// A folder of files that goes when it is dropped.
struct Folder(TempDir);

impl Folder {
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

    /// The names in the folder, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Reads with the default options.
fn read(path: &Path) -> Result<Points, Error> {
    read_points(path, &ReadOptions::default())
}

/// Options that choose columns.
fn choose(columns: &[&str]) -> ReadOptions {
    ReadOptions { columns: columns.iter().map(|c| c.parse::<Column>().unwrap()).collect(), ..ReadOptions::default() }
}

/// The message of a refusal: one line, which begins with the path and ends the program with code 2.
#[track_caller]
fn refusal<T: std::fmt::Debug>(path: &Path, result: Result<T, Error>) -> String {
    let error = result.expect_err("this must be refused");
    let message = error.to_string();
    assert_eq!(error.exit_code(), 2);
    assert!(!message.chars().any(char::is_control), "not a single line: {message:?}");
    assert!(message.len() < 500, "too long: {message}");
    assert!(message.contains(';'), "no remedy: {message}");
    let rest = message.strip_prefix(&*path.to_string_lossy()).unwrap_or_else(|| panic!("names no file: {message}"));
    rest.trim_start_matches(": ").to_owned()
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = Folder::new();
    for name in ["none.npy", "none.csv", "no/such/folder.npy"] {
        let path = folder.path(name);
        let message = refusal(&path, read(&path));
        assert!(message.starts_with("cannot be read (No such file"), "{message}");
    }
    for name in ["folder.npy", "folder.csv"] {
        let path = folder.path(name);
        fs::create_dir(&path).unwrap();
        assert!(refusal(&path, read(&path)).starts_with("is a folder, not a regular file"));
    }
    for name in ["empty.npy", "empty.csv"] {
        let path = folder.file(name, "");
        assert!(refusal(&path, read(&path)).starts_with("is an empty file"));
    }
}

#[test]
fn the_extension_tells_the_format_in_any_case() {
    let folder = Folder::new();
    assert_eq!(read(&folder.file("x.CSV", "1,2\n")).unwrap().dim(), 2);
    assert_eq!(read(&folder.file("x.Npy", npy::file("<f4", false, "(1, 1)", &[0; 4]))).unwrap().dim(), 1);
    for name in ["x.txt", "x", ".npy", "x.npz"] {
        let path = folder.file(name, "1,2\n");
        assert!(refusal(&path, read(&path)).contains("which must be .npy or .csv; rename or convert"));
    }
}

#[test]
fn a_name_with_a_line_break_stays_on_one_line() {
    let folder = Folder::new();
    let path = folder.path("a\nb.npy");
    let message = read(&path).unwrap_err().to_string();
    assert!(message.contains("a\\nb.npy: ") && !message.contains('\n'), "{message}");
}

#[test]
fn columns_are_chosen_by_number_in_npy_too() {
    let folder = Folder::new();
    let path = folder.path("x.npy");
    write_npy(&path, &[2, 3], &[0.0f64, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    let points = read_points(&path, &choose(&["2", "0"])).unwrap();
    assert_eq!((points.dim(), points.into_values()), (2, Values::F64(vec![2.0, 0.0, 5.0, 3.0])));
    let message = refusal(&path, read_points(&path, &choose(&["3"])));
    assert_eq!(message, "has no column 3; choose among the numbers 0 to 2");
    let message = refusal(&path, read_points(&path, &choose(&["lat"])));
    assert_eq!(message, "has no column \"lat\"; choose among the numbers 0 to 2");
}

#[test]
fn what_is_wrong_is_told_of_the_chosen_columns_alone_and_with_the_numbers_of_the_file() {
    let folder = Folder::new();
    let values = [0.0, f64::NAN, 2.0, 3.0, 4.0, f64::INFINITY];
    let npy = folder.path("x.npy");
    for f32s in [false, true] {
        match f32s {
            false => write_npy(&npy, &[2, 3], &values).unwrap(),
            true => write_npy(&npy, &[2, 3], &values.map(|value| value as f32)).unwrap(),
        }
        assert_eq!(read_points(&npy, &choose(&["0"])).unwrap().to_f64().as_ref(), [0.0, 3.0]);
        let message = refusal(&npy, read_points(&npy, &choose(&["2", "0"])));
        assert!(message.starts_with("row 1, column 2 (counted from 0) is inf;"), "{message}");
        let message = refusal(&npy, read_points(&npy, &choose(&["2", "1"])));
        assert!(message.starts_with("row 0, column 1 (counted from 0) is NaN;"), "{message}");
    }
    let csv = folder.file("x.csv", "a,b,c\n0,NaN,2\n3,4,1e200\n");
    let points = read_points(&csv, &choose(&["c", "a"])).unwrap();
    let message = refusal(&csv, points.converted(&csv.to_string_lossy(), Dtype::F32));
    assert!(message.starts_with("row 1, column 2 (counted from 0) is 1e200, beyond the range of f32;"), "{message}");
}

#[cfg(unix)]
#[test]
fn a_device_is_refused_before_it_is_opened() {
    let folder = Folder::new();
    for name in ["x.npy", "x.csv"] {
        let path = folder.path(name);
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(refusal(&path, read(&path)).starts_with("is a device or a pipe, not a regular file"));
    }
}
