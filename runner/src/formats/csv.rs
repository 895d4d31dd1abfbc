//! Reading tables of text: one point per line, read in double precision.
//!
//! - *Delimiter*: the first of tab, `;`, `,` and blank that occurs in each of the first two lines (in the first alone,
//!   if that leaves none; a comma, if that leaves none either). Several blanks count as one.
//! - *Header*: see [`Header`]. Rows are counted from 0 without it.
//! - Lines that are empty or begin with `#` are skipped; cells may be quoted, and blanks around a cell are ignored.
//! - A number is what Rust and C read: `1`, `-.5`, `6.02e23`, with a decimal *point*.
//!
//! Nothing is guessed about data: a cell that is empty, text, NaN or infinite, and a row that is shorter or longer
//! than the first line, are errors that name the row, the column and the line.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use covertree_kernels::index::LEN_MAX;
use csv::{ByteRecord, ErrorKind, Position, Reader, ReaderBuilder};

use super::npy::open_regular;
use super::{Column, Header, ReadOptions, numbers};
use crate::error::{Error, quoted, shown};
use crate::points::{Points, Values};

/// Lines that start with it are skipped, as numpy writes and reads them.
const COMMENT: u8 = b'#';
/// Bytes at the beginning of the file from which the delimiter is found out.
const SNIFF: usize = 1 << 16;
/// Bytes that the parser reads at a time.
const BUFFER: usize = 1 << 18;

/// Reads points from a table of text.
///
/// # Errors
/// One clear line for: a file that is missing, unreadable, empty, a folder or binary; no row, too many rows; a row of
/// another length than the first line; a cell that is no finite number; a first line that mixes numbers and
/// text; a chosen column that does not exist or whose name is not unique.
///
/// # Cost
/// One pass over the file; beside the values it holds one row at a time.
pub fn read_points(path: &Path, options: &ReadOptions) -> Result<Points, Error> {
    let mut table = Table::open(path, options.delimiter)?;
    if !table.advance()? {
        return Err(Error::NoRows { file: table.file });
    }
    table.width = table.fields.len();
    let has_header = table.has_header(options)?;
    if has_header {
        table.names = Some((0..table.width).map(|column| table.text(column)).collect());
        table.want_unique_names(&options.columns)?;
    }
    let columns = numbers(&table.file, &options.columns, table.names.as_deref(), table.width)?;
    let mut values = Vec::new();
    let mut rows = 0;
    let mut more = if has_header { table.advance()? } else { true };
    while more {
        if rows == LEN_MAX {
            return Err(Error::TooManyRows { file: table.file, rows: rows as u64 + 1 });
        }
        table.append_row(rows, &columns, &mut values)?;
        rows += 1;
        more = table.advance()?;
    }
    if rows == 0 {
        return Err(Error::NoRows { file: table.file });
    }
    Points::chosen(&table.file, columns, Values::F64(values))
}

/// A file that is read row by row.
struct Table<'a> {
    path: &'a Path,
    /// The file, for messages.
    file: String,
    reader: Reader<BufReader<File>>,
    record: ByteRecord,
    /// The fields of the record that count as cells: all of them, or those with content where blanks separate.
    fields: Vec<usize>,
    blanks: bool,
    /// Cells of the first line.
    width: usize,
    names: Option<Vec<String>>,
}

impl<'a> Table<'a> {
    fn open(path: &'a Path, delimiter: Option<u8>) -> Result<Self, Error> {
        let file = shown(path);
        let (input, _) = open_regular(path)?;
        let mut input = BufReader::with_capacity(SNIFF, input);
        let head = input.fill_buf().map_err(|source| Error::Read { file: file.clone(), source })?;
        if head.contains(&0) {
            return Err(Error::NotCsv { file, problem: "it holds zero bytes".to_owned() });
        }
        let delimiter = delimiter.unwrap_or_else(|| sniff(head));
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true) // rows of another length get our own message
            .comment(Some(COMMENT))
            .delimiter(delimiter)
            .buffer_capacity(BUFFER)
            .from_reader(input);
        let (record, fields) = (ByteRecord::new(), Vec::new());
        Ok(Self { path, file, reader, record, fields, blanks: delimiter == b' ', width: 0, names: None })
    }

    /// Moves on to the next row; `false` at the end of the file.
    fn advance(&mut self) -> Result<bool, Error> {
        loop {
            if !self.reader.read_byte_record(&mut self.record).map_err(|error| self.unreadable(error))? {
                return Ok(false);
            }
            self.fields.clear();
            let counts = |field: &usize| !self.blanks || !self.record[*field].is_empty();
            self.fields.extend((0..self.record.len()).filter(counts));
            if !self.fields.is_empty() {
                return Ok(true);
            }
        }
    }

    /// The cell of a column, without the blanks around it.
    fn cell(&self, column: usize) -> &[u8] {
        self.record[self.fields[column]].trim_ascii()
    }

    fn text(&self, column: usize) -> String {
        String::from_utf8_lossy(self.cell(column)).into_owned()
    }

    /// Whether the first line, which is the current one, names the columns.
    fn has_header(&self, options: &ReadOptions) -> Result<bool, Error> {
        match options.header {
            Header::Present => return Ok(true),
            Header::Absent => return Ok(false),
            Header::Detect => {}
        }
        if options.columns.iter().any(|column| matches!(column, Column::Name(_))) {
            return Ok(true);
        }
        let columns = numbers(&self.file, &options.columns, None, self.width)?;
        let is_text = |&column: &usize| number(self.cell(column)).is_none();
        // A row without a value is a row with values missing, wherever it stands.
        if columns.iter().all(|&column| self.cell(column).is_empty()) {
            return Ok(false);
        }
        match columns.iter().copied().find(is_text) {
            None => Ok(false),
            // Cells that are not chosen tell as well: a row with a gap in the chosen columns would be lost as a header.
            Some(_) if (0..self.width).all(|column| is_text(&column)) => Ok(true),
            Some(column) => {
                let text = quoted(self.cell(column));
                Err(Error::MixedFirstLine { file: self.file.clone(), column, text })
            }
        }
    }

    /// Refuses a choice by a name that several columns have.
    fn want_unique_names(&self, chosen: &[Column]) -> Result<(), Error> {
        for column in chosen {
            let Column::Name(wanted) = column else { continue };
            if self.names.iter().flatten().filter(|name| *name == wanted).count() > 1 {
                let file = &self.file;
                return Err(Error::Usage(format!(
                    "{file}: several columns are named {column}; choose one by its number"
                )));
            }
        }
        Ok(())
    }

    /// Appends the chosen columns of the current row.
    fn append_row(&self, row: usize, columns: &[usize], values: &mut Vec<f64>) -> Result<(), Error> {
        if self.fields.len() != self.width {
            let (file, line) = (self.file.clone(), self.line());
            return Err(Error::Ragged { file, row, line, want: self.width, got: self.fields.len() });
        }
        for &column in columns {
            match number(self.cell(column)) {
                Some(value) if value.is_finite() => values.push(value),
                _ => return Err(self.bad_cell(row, column)),
            }
        }
        Ok(())
    }

    #[cold]
    fn bad_cell(&self, row: usize, column: usize) -> Error {
        let cell = self.cell(column);
        let problem = match number(cell) {
            _ if cell.is_empty() => "is empty".to_owned(),
            Some(_) => format!("holds {}, which is not finite", quoted(cell)),
            None => format!("holds {}, which is not a number", quoted(cell)),
        };
        let column = match &self.names {
            Some(names) => format!("{column} named {}", quoted(names[column].as_bytes())),
            None => column.to_string(),
        };
        Error::Cell { file: self.file.clone(), row, column, line: self.line(), problem }
    }

    #[cold]
    fn unreadable(&self, error: csv::Error) -> Error {
        let file = self.file.clone();
        match error.into_kind() {
            ErrorKind::Io(source) => Error::Read { file, source },
            _ => Error::NotCsv { file, problem: "a line cannot be taken apart".to_owned() },
        }
    }

    /// The line of the file, from 1, on which the current row begins.
    fn line(&self) -> u64 {
        // The parser's position is where it began to look, which may be lines before the row that it found.
        let Some(position) = self.record.position() else { return 1 };
        position.line() + self.skipped(position).unwrap_or(0)
    }

    /// Lines from a position on that hold no row.
    fn skipped(&self, position: &Position) -> std::io::Result<u64> {
        let mut input = File::open(self.path)?;
        input.seek(SeekFrom::Start(position.byte()))?;
        let mut lines = BufReader::new(input).split(b'\n');
        let holds_no_row = |line: &Vec<u8>| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            line.first().is_none_or(|&first| first == COMMENT)
        };
        let mut count = 0;
        while lines.next().transpose()?.as_ref().is_some_and(holds_no_row) {
            count += 1;
        }
        Ok(count)
    }
}

/// The number that a cell writes, which may be NaN or infinite.
fn number(cell: &[u8]) -> Option<f64> {
    std::str::from_utf8(cell).ok()?.parse().ok()
}

/// The delimiter that the first lines suggest.
fn sniff(head: &[u8]) -> u8 {
    let mut lines = head
        .split(|&byte| byte == b'\n' || byte == b'\r')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && line[0] != COMMENT);
    let first = lines.next().unwrap_or_default();
    let second = lines.next().unwrap_or(first);
    let in_both = |delimiter: &u8| first.contains(delimiter) && second.contains(delimiter);
    // A name in a header may have blanks inside, so a blank must be in both lines.
    let in_first = |delimiter: &u8| first.contains(delimiter);
    b"\t;, ".iter().find(|d| in_both(d)).or_else(|| b"\t;,".iter().find(|d| in_first(d))).copied().unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_the_first_that_both_lines_have() {
        for (head, want) in [
            ("1,2\n3,4\n", b','),
            ("1;2\n3;4\n", b';'),
            ("1,5;2,5\n3,5;4,5\n", b';'),
            ("1\t2\n", b'\t'),
            ("# x, y\n\n 1.0  2.0\n3.0 4.0\n", b' '),
            ("1.0, 2.0\r\n3.0, 4.0\r\n", b','),
            ("sea temperature\n1.5\n", b','),
            ("1;2\n3\n", b';'),
            ("1\n2\n", b','),
            ("", b','),
        ] {
            assert_eq!(char::from(sniff(head.as_bytes())), char::from(want), "{head:?}");
        }
    }

    #[test]
    fn numbers_are_read_whole_or_not_at_all() {
        assert_eq!(number(b"-.5e1"), Some(-5.0));
        assert_eq!(number(b"+7"), Some(7.0));
        assert_eq!(number(b"0.1"), Some(0.1));
        assert!(number(b"nan").unwrap().is_nan() && number(b"1e999") == Some(f64::INFINITY));
        for text in [&b""[..], b"1,5", b"1.0D+03", b"0x10", b"1 2", b"\xff"] {
            assert_eq!(number(text), None);
        }
    }
}
