//! The one error type of the runner: each message is a single line that names the file, the place and the remedy.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, LEN_MAX};

/// Why a request was refused.
///
/// Rows and columns are counted from 0, as everywhere in the program, and the messages say so; columns are those of the
/// file, also where some of them were chosen. `file` is the
/// name as [`shown`] prints it, or a label such as `points` where the values did not come from a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("{file}: cannot be read ({source}); check the path and its permissions")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The path leads to something that is not a regular file.
    #[error("{file}: is {found}, not a regular file; name a file")]
    NotAFile {
        /// The path.
        file: String,
        /// What it leads to.
        found: &'static str,
    },
    /// The file name does not tell a known format.
    #[error("{file}: the format is told by the file's extension, which must be {known}; rename or convert the file")]
    Extension {
        /// The file.
        file: String,
        /// The extensions that are known.
        known: &'static str,
    },
    /// The file is longer than any of its kind.
    #[error("{file}: has more than {most} bytes, which no file of parameters needs; name another file")]
    TooLong {
        /// The file.
        file: String,
        /// The most bytes that are read.
        most: u64,
    },
    /// The file has no bytes.
    #[error("{file}: is an empty file; name one with contents")]
    EmptyFile {
        /// The file.
        file: String,
    },
    /// The file does not begin as an `.npy` file must.
    #[error("{file}: is not a readable .npy file ({problem}); write it again, for example with numpy.save")]
    NotNpy {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The array has values of a type that does not serve here.
    #[error("{file}: holds values of type {found}, not {want}; convert them, for example with numpy's astype")]
    Dtype {
        /// The file.
        file: String,
        /// The type in the file, as numpy writes it.
        found: String,
        /// The types that serve.
        want: &'static str,
    },
    /// The array has the wrong number of axes.
    #[error("{file}: holds an array of shape {shape}, not {want}; reshape it, for example with numpy's reshape")]
    Rank {
        /// The file.
        file: String,
        /// The shape in the file.
        shape: String,
        /// The shape that serves.
        want: &'static str,
    },
    /// The file is shorter or longer than its header promises.
    #[error("{file}: has {got} bytes of values where its header promises {want}; it is damaged, so write it again")]
    Length {
        /// The file.
        file: String,
        /// Bytes that the header promises.
        want: u64,
        /// Bytes that follow the header.
        got: u64,
    },
    /// There is not one row.
    #[error("{file}: holds no rows; at least one is needed")]
    NoRows {
        /// The file.
        file: String,
    },
    /// There is not one column.
    #[error("{file}: holds no columns; at least one is needed")]
    NoColumns {
        /// The file.
        file: String,
    },
    /// There are more rows than 32-bit indices can name.
    #[error("{file}: holds {rows} rows where at most {LEN_MAX} can be indexed; split it")]
    TooManyRows {
        /// The file.
        file: String,
        /// Rows found.
        rows: u64,
    },
    /// The values do not make up whole rows.
    #[error("{file}: {len} values do not make up whole rows of {dim} columns; pass every row in full")]
    WholeRows {
        /// The label of the values.
        file: String,
        /// Values given.
        len: usize,
        /// Columns of a row.
        dim: usize,
    },
    /// A value is NaN or infinite.
    #[error("{file}: row {row}, column {column} (counted from 0) is {value}; remove such rows or fill them in")]
    NotFinite {
        /// The file.
        file: String,
        /// Row of the value, from 0.
        row: usize,
        /// Column of the value, from 0.
        column: usize,
        /// The value.
        value: f64,
    },
    /// A row is zero where a direction is needed.
    #[error(
        "{file}: row {row} (counted from 0) is a zero vector, which has no direction; remove such rows, or choose \
         another metric"
    )]
    ZeroVector {
        /// The file.
        file: String,
        /// The row, from 0.
        row: usize,
    },
    /// A latitude is out of range.
    #[error(
        "{file}: row {row}, column {column} (counted from 0) is {value}, and a latitude lies between -90 and 90 degrees; \
         correct it, and see that the columns are longitude, latitude"
    )]
    Latitude {
        /// The file.
        file: String,
        /// The row, from 0.
        row: usize,
        /// The column of latitudes, from 0.
        column: usize,
        /// The value.
        value: f64,
    },
    /// A coordinate is too large for distances to be computed.
    #[error(
        "{file}: row {row}, column {column} (counted from 0) is {value:e}, and distances to these points can be computed \
         up to a magnitude of {limit:e}; remove such rows"
    )]
    TooLarge {
        /// The file.
        file: String,
        /// Row of the value, from 0.
        row: usize,
        /// Column of the value, from 0.
        column: usize,
        /// The value.
        value: f64,
        /// The largest magnitude that is admitted.
        limit: f64,
    },
    /// A coordinate is too many lengthscales from the origin for squares to stay in range.
    #[error(
        "{file}: row {row}, column {column} (counted from 0) is {value:e}, more than 1e150 times the lengthscale {lengthscale:e}; \
         choose a larger one, or remove such rows"
    )]
    Lengthscale {
        /// The file.
        file: String,
        /// Row of the value, from 0.
        row: usize,
        /// Column of the value, from 0.
        column: usize,
        /// The value.
        value: f64,
        /// The lengthscale of the column.
        lengthscale: f64,
    },
    /// A value cannot be stored in single precision.
    #[error(
        "{file}: row {row}, column {column} (counted from 0) is {value:e}, which is no f32 as the points are; round such rows to f32, or \
         keep all points in f64"
    )]
    NotSingle {
        /// The file.
        file: String,
        /// Row of the value, from 0.
        row: usize,
        /// Column of the value, from 0.
        column: usize,
        /// The value.
        value: f64,
    },
    /// A value is to be converted to single precision, and is beyond its range.
    #[error(
        "{file}: row {row}, column {column} (counted from 0) is {value:e}, beyond the range of f32; leave out --dtype f32, or \
         remove such rows"
    )]
    BeyondSingle {
        /// The file.
        file: String,
        /// Row of the value, from 0.
        row: usize,
        /// Column of the value, from 0.
        column: usize,
        /// The value.
        value: f64,
    },
    /// A distance function gave what no metric gives.
    #[error("the distance between {pair} is negative or not a finite number; correct the distance function")]
    NotAMetric {
        /// The two, in words.
        pair: String,
    },
    /// An id is not that of a point.
    #[error("{file}: holds no point with id {id} among its {len}; leave it out (covertree query shows ids that exist)")]
    UnknownId {
        /// The tree.
        file: String,
        /// The id.
        id: Idx,
        /// Points of the tree.
        len: usize,
    },
    /// An id in an array of ids does not fit 32 bits.
    #[error("{file}: value number {at} (counted from 0) is {value}, which is no 32-bit row number; correct it")]
    Id {
        /// The file.
        file: String,
        /// Place in row-major order, from 0.
        at: usize,
        /// The value.
        value: i64,
    },
    /// A row of a text table has more or fewer cells than the first.
    #[error(
        "{file}: row {row} (counted from 0; line {line}) has a cell count of {got} where the first line has {want}; \
         make all rows equally long"
    )]
    Ragged {
        /// The file.
        file: String,
        /// Row, from 0, the header not counted.
        row: usize,
        /// Line of the file, from 1.
        line: u64,
        /// Cells of the first line.
        want: usize,
        /// Cells of this row.
        got: usize,
    },
    /// A cell of a text table is not a finite number.
    #[error(
        "{file}: row {row}, column {column} (counted from 0; line {line}) {problem}; \
         correct it, or leave the column out with --columns"
    )]
    Cell {
        /// The file.
        file: String,
        /// Row, from 0, the header not counted.
        row: usize,
        /// Column, from 0, with its name where the table has a header.
        column: String,
        /// Line of the file, from 1.
        line: u64,
        /// What is wrong with the cell.
        problem: String,
    },
    /// The text table cannot be taken apart.
    #[error("{file}: is not a table of text ({problem}); write one row of numbers per line")]
    NotCsv {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The first line of a text table is neither a header nor a row.
    #[error(
        "{file}: the first line mixes numbers and text (column {column}, counted from 0, holds {text}); make it all \
         numbers (a row) or all names (a header), say which it is with --header absent or present, or choose other columns \
         with --columns"
    )]
    MixedFirstLine {
        /// The file.
        file: String,
        /// The first column that is no number, from 0.
        column: usize,
        /// What it holds.
        text: String,
    },
    /// A chosen column does not exist.
    #[error("{file}: has no column {column}; choose among {known}")]
    Column {
        /// The file.
        file: String,
        /// The column asked for.
        column: String,
        /// The columns that there are.
        known: String,
    },
    /// A file, or what is asked for, does not fit into memory.
    #[error("{file}: its {bytes} bytes do not fit into memory; {remedy}")]
    Memory {
        /// The file, or what is asked for.
        file: String,
        /// Bytes needed.
        bytes: u64,
        /// What helps.
        remedy: &'static str,
    },
    /// The file is not a saved tree.
    #[error("{file}: is no tree file of covertree ({problem}); make one with covertree build")]
    NotTree {
        /// The file.
        file: String,
        /// What it lacks.
        problem: String,
    },
    /// The saved tree is of another version of the format.
    #[error(
        "{file}: is a tree file of version {found}, and this program reads version {known}; use the program that wrote \
         it, or build the tree again"
    )]
    TreeVersion {
        /// The file.
        file: String,
        /// Its version.
        found: u32,
        /// The version that is read.
        known: u32,
    },
    /// The bytes of a saved tree are not those that were written.
    #[error("{file}: is damaged ({problem}); copy it again, or build the tree again")]
    TreeDamaged {
        /// The file.
        file: String,
        /// How that shows.
        problem: String,
    },
    /// The bytes of a saved tree are as they were written, and make no tree.
    #[error("{file}: holds no valid tree ({problem}); build it again")]
    TreeInvalid {
        /// The file.
        file: String,
        /// What does not fit.
        problem: String,
    },
    /// The file cannot be written.
    #[error("{file}: cannot be written ({}); check the folder, its permissions and its free space", .source.kind())]
    Write {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The folder of an output does not exist.
    #[error("{file}: cannot be written, for the folder {folder} does not exist; create it first")]
    NoFolder {
        /// The file.
        file: String,
        /// Its folder.
        folder: String,
    },
    /// A setting is out of its range, or does not go with another; the text names both and the remedy.
    #[error("{0}")]
    Usage(String),
    /// A check was carried out and failed; the text says what and where.
    #[error("{0}")]
    Check(String),
    /// A kernel refused its arguments.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

impl Error {
    /// The exit code of a program that ends with this error: 1 for a failed check, else 2.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Check(_) => 1,
            _ => 2,
        }
    }
}

/// Characters of a piece of foreign text that a message quotes at most.
const QUOTE_CHARS: usize = 40;

/// A path as the messages print it: on one line, whatever characters it has.
pub fn shown(path: &Path) -> String {
    escape(&path.to_string_lossy(), usize::MAX)
}

/// Text from a file in quotes, on one line, cut to a length that leaves the message readable.
pub(crate) fn quoted(text: &[u8]) -> String {
    // A character takes at most four bytes, so what follows this prefix would be cut anyway.
    let prefix = &text[..text.len().min(4 * (QUOTE_CHARS + 1))];
    format!("\"{}\"", escape(&String::from_utf8_lossy(prefix), QUOTE_CHARS))
}

/// `text` with its control characters escaped; `...` replaces what follows the first `limit` characters.
fn escape(text: &str, limit: usize) -> String {
    let mut line = String::with_capacity(text.len().min(limit));
    for (count, character) in text.chars().enumerate() {
        if count == limit {
            line.push_str("...");
            break;
        }
        // The two separators end a line for some programs, though they are no control characters.
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            write!(line, "{}", character.escape_debug()).expect("a String accepts every write");
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_ends_with_one_and_all_else_with_two() {
        assert_eq!(Error::Check("separation fails at level 3".into()).exit_code(), 1);
        assert_eq!(Error::Usage("k = 0: ask for at least 1".into()).exit_code(), 2);
        assert_eq!(Error::EmptyFile { file: "x.npy".into() }.exit_code(), 2);
        assert_eq!(Error::from(KernelError::TooLong { len: 7 }).exit_code(), 2);
    }

    #[test]
    fn foreign_text_stays_on_one_line_and_short() {
        assert_eq!(shown(Path::new("a\nb\tc")), "a\\nb\\tc");
        assert_eq!(shown(Path::new("Zürich/x.npy")), "Zürich/x.npy");
        assert_eq!(quoted(b"1,5\r"), "\"1,5\\r\"");
        assert_eq!(quoted(&[b'x'; 1000]), format!("\"{}...\"", "x".repeat(QUOTE_CHARS)));
        assert_eq!(quoted(b"\xff"), "\"\u{fffd}\"");
        assert_eq!(quoted("\u{2028}".as_bytes()), "\"\\u{2028}\"");
    }
}
