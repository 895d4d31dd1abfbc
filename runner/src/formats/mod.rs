//! Files of points and answers: [`npy`] and [`csv`] are read, [`npy`] is written, always through [`output`].

pub mod csv;
pub mod npy;
pub mod output;

use std::convert::Infallible;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, quoted, shown};
use crate::points::{Points, Values};

/// How a file of points is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// The columns to keep, in this order; all of them when empty.
    pub columns: Vec<Column>,
    /// Whether the first line of a text table names the columns.
    pub header: Header,
    /// The byte between two cells of a text table; found out when `None`, see [`csv`].
    pub delimiter: Option<u8>,
}

/// A column of a file: its number, or its name where the file has a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// Counted from 0.
    Number(usize),
    /// As the header writes it, without the blanks around it.
    Name(String),
}

impl FromStr for Column {
    type Err = Infallible;

    /// Digits alone are a number, all else is a name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let text = text.trim();
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Number))
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(&quoted(name.as_bytes())),
        }
    }
}

/// Whether the first line of a text table names the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Header {
    /// It does if none of its cells is a number, or if a column is chosen by name. It does not if all cells of the chosen
    /// columns are numbers, or all of them are empty. Else the file is refused.
    #[default]
    Detect,
    /// It does, even if the names look like numbers.
    Present,
    /// It is a row like the others.
    Absent,
}

/// Reads points from a file whose format its extension tells: `.npy` or `.csv`, in any case of letters.
///
/// # Errors
/// One clear line that names the file, the place and the remedy: see [`npy::read_points`], [`csv::read_points`], and
/// [`Error::Extension`]. A file without rows is refused.
pub fn read_points(path: &Path, options: &ReadOptions) -> Result<Points, Error> {
    match extension(path).as_deref() {
        Some("npy") => npy::read_columns(path, &options.columns),
        Some("csv") => csv::read_points(path, options),
        _ => Err(Error::Extension { file: shown(path), known: ".npy or .csv" }),
    }
}

/// Writes points to an `.npy` file in their own precision: whole, or not at all.
///
/// # Errors
/// [`Error::Extension`] for another extension; else as [`output::write_npy`].
pub fn write_points(path: &Path, points: &Points) -> Result<(), Error> {
    want_npy(path)?;
    let shape = [points.len(), points.dim()];
    match points.values() {
        Values::F32(values) => output::write_npy(path, &shape, values),
        Values::F64(values) => output::write_npy(path, &shape, values),
    }
}

/// Says early, before any work, that points could never be written to a file.
///
/// # Errors
/// [`Error::Extension`] for another extension than `.npy`; else as [`output::check_target`].
pub fn check_points_target(path: &Path) -> Result<(), Error> {
    want_npy(path)?;
    output::check_target(path)
}

fn want_npy(path: &Path) -> Result<(), Error> {
    match extension(path).as_deref() {
        Some("npy") => Ok(()),
        _ => Err(Error::Extension { file: shown(path), known: ".npy" }),
    }
}

/// Most bytes of a file of parameters: far more than any has that this program writes.
const TEXT_MAX: u64 = 1 << 26;

/// Reads a file of parameters, such as the profile of a gate, as it stands.
///
/// # Errors
/// [`Error::Read`] and [`Error::NotAFile`] as for points; [`Error::EmptyFile`]; [`Error::TooLong`] above 64 MiB.
pub fn read_text(path: &Path) -> Result<Vec<u8>, Error> {
    let (input, _) = npy::open_regular(path)?;
    let mut text = Vec::new();
    // The length is that of now: a file may grow while it is read.
    let read = input.take(TEXT_MAX + 1).read_to_end(&mut text);
    let len = read.map_err(|source| Error::Read { file: shown(path), source })? as u64; // at most TEXT_MAX + 1
    if len > TEXT_MAX {
        return Err(Error::TooLong { file: shown(path), most: TEXT_MAX });
    }
    Ok(text)
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

/// The numbers of the chosen columns (all, if none is chosen) in a table of `dim` columns with these `names`.
fn numbers(file: &str, chosen: &[Column], names: Option<&[String]>, dim: usize) -> Result<Vec<usize>, Error> {
    if chosen.is_empty() {
        return Ok((0..dim).collect());
    }
    let number = |column: &Column| {
        let found = match column {
            Column::Number(number) => (*number < dim).then_some(*number),
            Column::Name(name) => names.and_then(|names| names.iter().position(|known| known == name)),
        };
        found.ok_or_else(|| {
            let numbers = format!("the numbers 0 to {}", dim.saturating_sub(1));
            let known = match names {
                Some(names) => format!("{numbers} or {}", listed(names)),
                None => numbers,
            };
            Error::Column { file: file.to_owned(), column: column.to_string(), known }
        })
    };
    chosen.iter().map(number).collect()
}

/// The first few names, for a message.
fn listed(names: &[String]) -> String {
    const FEW: usize = 8;
    let few: Vec<String> = names.iter().take(FEW).map(|name| quoted(name.as_bytes())).collect();
    let rest = if names.len() > FEW { " ..." } else { "" };
    format!("{}{rest}", few.join(" "))
}
