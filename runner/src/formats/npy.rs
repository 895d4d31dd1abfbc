//! Reading and writing `.npy`, the array format of numpy (its versions 1.0, 2.0 and 3.0).
//!
//! The header is taken apart by the crate `npyz`, after checks that keep a hostile one from exhausting memory or
//! stack; the values are read in one piece, straight to where they stay.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use bytemuck::Pod;
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, LEN_MAX};
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar, TypeStr, WriterBuilder};
use rayon::prelude::*;

use super::{Column, numbers};
use crate::error::{Error, shown};
use crate::points::{Points, Values};
use crate::summary::fits_memory;

/// Bytes before the length of the header: the magic string and two bytes of version.
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest header that is read. Numpy itself refuses more than 10 000 bytes; ours have 118.
const HEADER_MAX: usize = 1 << 16;
/// Deepest nesting of brackets in a header: structured types, which are refused by name, need three.
const NESTING_MAX: usize = 8;
/// Digits of all numbers of a shape together: fewer than 2^64 has, so that no product of them can overflow.
const DIGITS_MAX: usize = 19;
/// Rows that one task reorders when it turns columns into rows.
const TURN_ROWS: usize = 256;

/// An array as it stands in a file: values in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<T> {
    /// Lengths of the axes, slowest first.
    pub shape: Vec<usize>,
    /// As many values as the product of `shape`.
    pub values: Vec<T>,
}

/// A type of value that `.npy` files are read and written with.
pub trait Element: Pod + Send + Sync + sealed::Sealed {
    /// The type as numpy writes it; files are always little-endian, on every machine.
    const DTYPE: &'static str;
    /// The value with its bytes in the opposite order.
    fn swapped(self) -> Self;
}

mod sealed {
    /// Keeps [`super::Element`] to the types whose bytes the readers know.
    pub trait Sealed {}
}

macro_rules! element {
    ($type:ty, $dtype:literal, $bits:ty) => {
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPE: &'static str = $dtype;
            fn swapped(self) -> Self {
                bytemuck::cast(bytemuck::cast::<$type, $bits>(self).swap_bytes())
            }
        }
    };
}
element!(f32, "<f4", u32);
element!(f64, "<f8", u64);
element!(i32, "<i4", u32);
element!(i64, "<i8", u64);

/// Reads points: two axes, `f32` or `f64`, either byte order, C or Fortran order.
///
/// # Errors
/// One clear line for: a file that is missing, unreadable, empty, a folder, of another format, cut short or too long;
/// values of another type; one axis or three; no row, no column, too many rows; a value that is NaN or infinite.
///
/// # Cost
/// Reads the file once. Fortran order takes the memory twice for a moment.
pub fn read_points(path: &Path) -> Result<Points, Error> {
    read_columns(path, &[])
}

/// The same for the chosen columns, or for all if none is chosen. What stands in the other columns is not looked at.
pub(super) fn read_columns(path: &Path, chosen: &[Column]) -> Result<Points, Error> {
    let mut source = Source::open(path)?;
    let (kind, shape) = (source.kind, &source.shape);
    let &[rows, dim] = shape.as_slice() else {
        return Err(source.wrong_rank("two axes (rows, columns), where a single column is (rows, 1)"));
    };
    if !matches!(kind, Kind::F32 | Kind::F64) {
        return Err(source.wrong_type("f32 or f64"));
    }
    let file = source.file.clone();
    match (rows, dim) {
        (0, _) => return Err(Error::NoRows { file }),
        (_, 0) => return Err(Error::NoColumns { file }),
        (rows, _) if rows > LEN_MAX => return Err(Error::TooManyRows { file, rows: rows as u64 }),
        _ => {}
    }
    let columns = numbers(&file, chosen, None, dim)?;
    let values = match kind {
        Kind::F32 => Values::F32(source.values()?),
        _ => Values::F64(source.values()?),
    };
    if chosen.is_empty() {
        return Points::named(&file, dim, values);
    }
    let values = values.take_columns(dim, &columns);
    Points::chosen(&file, columns, values)
}

/// Reads real numbers: one or two axes, `f32` or `f64`, widened to `f64`. Any value is let through, also NaN.
///
/// # Errors
/// As [`read_points`], except that zero lengths and values that are not finite are legal.
pub fn read_reals(path: &Path) -> Result<Array<f64>, Error> {
    let mut source = Source::open(path)?;
    source.want_one_or_two_axes()?;
    let values = match source.kind {
        Kind::F32 => source.values::<f32>()?.into_iter().map(f64::from).collect(),
        Kind::F64 => source.values()?,
        _ => return Err(source.wrong_type("f32 or f64")),
    };
    Ok(Array { shape: source.shape, values })
}

/// Reads ids: one or two axes, `i32` or `i64`. The caller checks which rows they may name; -1 is let through.
///
/// # Errors
/// As [`read_reals`], and [`Error::Id`] for a value that does not fit 32 bits.
pub fn read_ids(path: &Path) -> Result<Array<Idx>, Error> {
    let mut source = Source::open(path)?;
    source.want_one_or_two_axes()?;
    let values = match source.kind {
        Kind::I32 => source.values()?,
        Kind::I64 => {
            let wide = source.values::<i64>()?;
            narrow(&source.file, &wide)?
        }
        _ => return Err(source.wrong_type("i32 or i64")),
    };
    Ok(Array { shape: source.shape, values })
}

/// Ids of 64 bits in 32.
fn narrow(file: &str, wide: &[i64]) -> Result<Vec<Idx>, Error> {
    let id = |(at, &value)| Idx::try_from(value).map_err(|_| Error::Id { file: file.to_owned(), at, value });
    wide.iter().enumerate().map(id).collect()
}

/// Checks that `len` values fill `shape`.
pub(super) fn want_shape(shape: &[usize], len: usize) -> Result<(), KernelError> {
    let want = shape.iter().fold(1, |product: usize, &len| product.saturating_mul(len));
    if want == len { Ok(()) } else { Err(KernelError::Shape { what: "data", want, got: len }) }
}

/// Writes an array in C order, little-endian: the same bytes on every machine. The caller has checked the shape.
pub(super) fn write_to<T: Element>(mut out: impl Write, shape: &[usize], data: &[T]) -> io::Result<()> {
    debug_assert_eq!(want_shape(shape, data.len()), Ok(()));
    let dtype: TypeStr = T::DTYPE.parse().expect("the dtypes of Element are constants that numpy knows");
    let axes: Vec<u64> = shape.iter().map(|&len| len as u64).collect(); // usize has at most 64 bits
    npyz::WriteOptions::new_header_only()
        .dtype(DType::Plain(dtype))
        .shape(&axes)
        .writer(&mut out)
        .write_header_only()?;
    if cfg!(target_endian = "little") {
        return out.write_all(bytemuck::cast_slice(data));
    }
    for part in data.chunks(1 << 14) {
        let swapped: Vec<T> = part.iter().map(|&value| value.swapped()).collect();
        out.write_all(bytemuck::cast_slice(&swapped))?;
    }
    Ok(())
}

/// The types of value that this program knows what to do with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    F32,
    F64,
    I32,
    I64,
    Other,
}

/// An open file whose header has been read, ready to give its values.
struct Source {
    input: File,
    /// The file, for messages.
    file: String,
    /// Bytes that follow the header.
    bytes: u64,
    dtype: DType,
    kind: Kind,
    swap: bool,
    fortran: bool,
    shape: Vec<usize>,
}

impl Source {
    /// Opens a file and reads its header. Nothing is allocated beyond the header, which is bounded.
    fn open(path: &Path) -> Result<Self, Error> {
        let file = shown(path);
        let (mut input, len) = open_regular(path)?;
        let header = read_header(&mut input, len).map_err(|problem| match problem {
            HeaderProblem::Io(source) => Error::Read { file: file.clone(), source },
            HeaderProblem::Bad(problem) => Error::NotNpy { file: file.clone(), problem },
        })?;
        let (header, header_bytes) = header;
        let dtype = header.dtype();
        let (kind, endianness) = match &dtype {
            DType::Plain(plain) => (kind_of(plain), plain.endianness()),
            _ => (Kind::Other, Endianness::Irrelevant),
        };
        let shape: Result<Vec<usize>, _> = header.shape().iter().map(|&len| usize::try_from(len)).collect();
        let shape =
            shape.map_err(|_| Error::NotNpy { file: file.clone(), problem: "its shape is too large".into() })?;
        Ok(Self {
            input,
            file,
            bytes: len - header_bytes,
            kind,
            dtype,
            swap: match endianness {
                Endianness::Little => cfg!(target_endian = "big"),
                Endianness::Big => cfg!(target_endian = "little"),
                Endianness::Irrelevant => false,
            },
            fortran: header.order() == Order::Fortran,
            shape,
        })
    }

    fn want_one_or_two_axes(&self) -> Result<(), Error> {
        match self.shape.len() {
            1 | 2 => Ok(()),
            _ => Err(self.wrong_rank("one or two axes")),
        }
    }

    fn wrong_rank(&self, want: &'static str) -> Error {
        let lengths: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        let comma = if lengths.len() == 1 { "," } else { "" }; // as Python writes a tuple of one
        Error::Rank { file: self.file.clone(), shape: format!("({}{comma})", lengths.join(", ")), want }
    }

    fn wrong_type(&self, want: &'static str) -> Error {
        let found = match &self.dtype {
            DType::Plain(plain) => plain.to_string(),
            _ => "a structured type".to_owned(),
        };
        Error::Dtype { file: self.file.clone(), found, want }
    }

    /// Reads the values, in row-major order. `T` is the type that `kind` names.
    fn values<T: Element>(&mut self) -> Result<Vec<T>, Error> {
        let count = self.shape.iter().try_fold(1usize, |product, &len| product.checked_mul(len));
        let bytes = count.and_then(|count| count.checked_mul(size_of::<T>())).unwrap_or(usize::MAX) as u64;
        if bytes != self.bytes {
            return Err(Error::Length { file: self.file.clone(), want: bytes, got: self.bytes });
        }
        let count = self.bytes as usize / size_of::<T>(); // equals a product of usize
        let mut values = self.zeroed::<T>(count)?;
        let read = self.input.read_exact(bytemuck::cast_slice_mut(&mut values));
        read.map_err(|source| Error::Read { file: self.file.clone(), source })?;
        if self.swap {
            values.par_iter_mut().for_each(|value| *value = value.swapped());
        }
        match *self.shape.as_slice() {
            [rows, columns] if self.fortran && rows > 1 && columns > 1 => {
                let mut turned = self.zeroed::<T>(count)?;
                turn(&values, rows, columns, &mut turned);
                Ok(turned)
            }
            _ => Ok(values),
        }
    }

    fn zeroed<T: Element>(&self, count: usize) -> Result<Vec<T>, Error> {
        let bytes = (count as u64).saturating_mul(size_of::<T>() as u64);
        let too_large = || {
            let remedy = "free some, split the file, or store its values in fewer bits";
            Error::Memory { file: self.file.clone(), bytes, remedy }
        };
        // Systems promise memory that they do not have, and then end the program.
        if !fits_memory(bytes) {
            return Err(too_large());
        }
        bytemuck::try_zeroed_vec(count).map_err(|()| too_large())
    }
}

/// Turns an array that is stored column by column into rows.
fn turn<T: Element>(by_column: &[T], rows: usize, columns: usize, by_row: &mut [T]) {
    by_row.par_chunks_mut(TURN_ROWS * columns).enumerate().for_each(|(block, out)| {
        let first = block * TURN_ROWS;
        let count = out.len() / columns;
        // A block of rows stays in the cache while the columns stream by.
        for (column, values) in by_column.chunks_exact(rows).enumerate() {
            for (row, &value) in values[first..first + count].iter().enumerate() {
                out[row * columns + column] = value;
            }
        }
    });
}

fn kind_of(plain: &TypeStr) -> Kind {
    match (plain.type_char(), plain.size_field()) {
        (TypeChar::Float, 4) => Kind::F32,
        (TypeChar::Float, 8) => Kind::F64,
        (TypeChar::Int, 4) => Kind::I32,
        (TypeChar::Int, 8) => Kind::I64,
        _ => Kind::Other,
    }
}

/// Opens a regular file that has at least one byte; gives its length too.
pub(crate) fn open_regular(path: &Path) -> Result<(File, u64), Error> {
    let file = || shown(path);
    let read = |source| Error::Read { file: file(), source };
    // The kind is looked up first: to open a pipe would wait for its other end.
    let kind = fs::metadata(path).map_err(read)?;
    if kind.is_dir() {
        return Err(Error::NotAFile { file: file(), found: "a folder" });
    }
    if !kind.is_file() {
        return Err(Error::NotAFile { file: file(), found: "a device or a pipe" });
    }
    let input = File::open(path).map_err(read)?;
    let len = input.metadata().map_err(read)?.len();
    if len == 0 {
        return Err(Error::EmptyFile { file: file() });
    }
    Ok((input, len))
}

/// Why a header was refused.
enum HeaderProblem {
    Io(io::Error),
    Bad(String),
}

impl HeaderProblem {
    fn bad(problem: impl Into<String>) -> Self {
        Self::Bad(problem.into())
    }
}

/// Reads the header from the beginning of a file of `len` bytes; gives the bytes that it takes too.
fn read_header(input: &mut impl Read, len: u64) -> Result<(NpyHeader, u64), HeaderProblem> {
    let mut header = Vec::with_capacity(256);
    extend_exact(input, &mut header, 8)?;
    if &header[..6] != MAGIC {
        return Err(HeaderProblem::bad("it does not begin with the .npy signature"));
    }
    let text_len = match header[6] {
        1 => {
            extend_exact(input, &mut header, 2)?;
            usize::from(u16::from_le_bytes([header[8], header[9]]))
        }
        2 | 3 => {
            extend_exact(input, &mut header, 4)?;
            u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize
        }
        version => return Err(HeaderProblem::bad(format!("its version is {version}, not 1, 2 or 3"))),
    };
    let text_start = header.len();
    if text_len > HEADER_MAX || (text_start + text_len) as u64 > len {
        return Err(HeaderProblem::bad(format!("its header claims {text_len} bytes")));
    }
    extend_exact(input, &mut header, text_len)?;
    if !is_plain(&header[text_start..]) {
        return Err(HeaderProblem::bad("its header does not describe an array of plain values"));
    }
    // The parser's own message spans lines and talks about Python: it would not help.
    let parsed = NpyHeader::from_reader(header.as_slice());
    let parsed = parsed.map_err(|_| HeaderProblem::bad("its header does not describe an array"))?;
    Ok((parsed, header.len() as u64))
}

/// Appends exactly `count` bytes of `input`.
fn extend_exact(input: &mut impl Read, header: &mut Vec<u8>, count: usize) -> Result<(), HeaderProblem> {
    let start = header.len();
    header.resize(start + count, 0);
    input.read_exact(&mut header[start..]).map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof => HeaderProblem::bad("it ends within its header"),
        _ => HeaderProblem::Io(source),
    })
}

/// Whether the parser can be let loose on a header: it recurses at every bracket and multiplies every shape unchecked.
///
/// So outside of quotes there may be few brackets within each other, few digits, and letters of `True` and `False`
/// alone (no hexadecimal numbers). Quotes hold no escapes and are not tripled, so that this scan sees them end
/// where the parser does.
fn is_plain(text: &[u8]) -> bool {
    let (mut depth, mut digits, mut quote) = (0usize, 0usize, None);
    for (at, &byte) in text.iter().enumerate() {
        if let Some(open) = quote {
            if byte == b'\\' {
                return false;
            }
            if byte == open {
                quote = None;
            }
            continue;
        }
        match byte {
            b'\'' | b'"' if text[at..].starts_with(&[byte; 3]) => return false,
            b'\'' | b'"' => quote = Some(byte),
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'0'..=b'9' => digits += 1,
            b'T' | b'r' | b'u' | b'e' | b'F' | b'a' | b'l' | b's' => {}
            b':' | b',' | b' ' | b'\n' => {}
            _ => return false,
        }
        if depth > NESTING_MAX || digits > DIGITS_MAX {
            return false;
        }
    }
    quote.is_none()
}
