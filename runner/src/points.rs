//! Points: a checked matrix of finite coordinates, one point per row.

use std::borrow::Cow;

use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, at, idx_len};
use rayon::prelude::*;

use crate::error::Error;
use crate::parallel;

/// Values that one thread scans at a time; a megabyte or less, so that a scan streams through its cache.
const SCAN: usize = 1 << 16;

/// The precision of a set of points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit floats.
    #[default]
    F32,
    /// 64-bit floats.
    F64,
}

/// Coordinates in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
}

impl Values {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at a place in row-major order, widened without loss.
    pub(crate) fn get(&self, place: usize) -> f64 {
        match self {
            Self::F32(values) => f64::from(values[place]),
            Self::F64(values) => values[place],
        }
    }

    /// Only the columns named by `columns`, in that order, of rows of `dim` values. The caller has checked that each of them
    /// exists.
    pub(crate) fn take_columns(&self, dim: usize, columns: &[usize]) -> Self {
        debug_assert!(columns.iter().all(|&column| column < dim), "{columns:?}");
        match self {
            Self::F32(values) => Self::F32(gather_columns(values, dim, columns)),
            Self::F64(values) => Self::F64(gather_columns(values, dim, columns)),
        }
    }

    /// The first place whose value is NaN or infinite.
    fn first_not_finite(&self) -> Option<usize> {
        match self {
            Self::F32(values) => first_not(values, f32::is_finite),
            Self::F64(values) => first_not(values, f64::is_finite),
        }
    }
}

/// The first place where `test` fails.
pub(crate) fn first_not<T: Copy + Sync>(values: &[T], test: impl Fn(T) -> bool + Sync) -> Option<usize> {
    // The whole chunk is tested without an early exit, which lets the compiler use vector instructions.
    let all = |chunk: &[T]| chunk.iter().fold(true, |all, &value| all & test(value));
    let chunk = values.par_chunks(SCAN).position_first(|chunk| !all(chunk))?;
    let start = chunk * SCAN;
    values[start..].iter().position(|&value| !test(value)).map(|place| start + place)
}

/// A matrix of finite coordinates, row-major: one point per row, at least one column, rows within the range of [`Idx`].
///
/// There may be no rows: a set can become empty. The readers of files refuse that, see [`crate::formats`].
///
/// Points know which columns of their file they are, so that messages name these. It does not count when points are
/// compared.
#[derive(Clone, Debug)]
pub struct Points {
    dim: usize,
    rows: Idx,
    values: Values,
    /// The number in the file of each column; empty where that is its own.
    columns: Vec<usize>,
}

impl PartialEq for Points {
    fn eq(&self, other: &Self) -> bool {
        self.dim == other.dim && self.values == other.values
    }
}

impl Points {
    /// Checks `values` as rows of `dim` columns; the messages call them `points`.
    ///
    /// # Errors
    /// As [`Points::named`].
    ///
    /// ```
    /// use covertree::points::{Points, Values};
    /// let points = Points::new(2, Values::F64(vec![0.0, 1.0, 2.0, 3.0])).unwrap();
    /// assert_eq!((points.len(), points.dim()), (2, 2));
    /// let error = Points::new(2, Values::F32(vec![0.0, 1.0, 2.0, f32::NAN])).unwrap_err();
    /// assert!(error.to_string().starts_with("points: row 1, column 1 (counted from 0) is NaN;"));
    /// ```
    pub fn new(dim: usize, values: Values) -> Result<Self, Error> {
        Self::named("points", dim, values)
    }

    /// Checks `values` as rows of `dim` columns; `label`, mostly a file, is what the messages name.
    ///
    /// # Errors
    /// [`Error::NoColumns`], [`Error::WholeRows`], [`Error::TooManyRows`], or [`Error::NotFinite`] for the first
    /// value, in row-major order, that is NaN or infinite.
    ///
    /// # Cost
    /// Reads the values once, on all threads of the current rayon pool.
    pub fn named(label: &str, dim: usize, values: Values) -> Result<Self, Error> {
        Self::checked(label, dim, values, Vec::new())
    }

    /// The same for the columns of a file with these numbers, one per column of `values`.
    pub(crate) fn chosen(label: &str, columns: Vec<usize>, values: Values) -> Result<Self, Error> {
        Self::checked(label, columns.len(), values, columns)
    }

    fn checked(label: &str, dim: usize, values: Values, columns: Vec<usize>) -> Result<Self, Error> {
        let file = || label.to_owned();
        if dim == 0 {
            return Err(Error::NoColumns { file: file() });
        }
        let len = values.len();
        if !len.is_multiple_of(dim) {
            return Err(Error::WholeRows { file: file(), len, dim });
        }
        let rows = idx_len(len / dim).map_err(|_| Error::TooManyRows { file: file(), rows: (len / dim) as u64 })?;
        let points = Self { dim, rows, values, columns };
        if let Some(place) = points.values.first_not_finite() {
            let (row, column) = points.place(place);
            return Err(Error::NotFinite { file: file(), row, column, value: points.values.get(place) });
        }
        Ok(points)
    }

    /// The points in another precision; `label`, mostly a file, is what the messages name. `f64` is rounded to the nearest
    /// `f32`.
    ///
    /// # Errors
    /// [`Error::BeyondSingle`] for the first value that no finite `f32` is near.
    pub fn converted(self, label: &str, dtype: Dtype) -> Result<Self, Error> {
        let values = match (dtype, &self.values) {
            (Dtype::F32, Values::F64(values)) => {
                if let Some(place) = first_not(values, |value| (value as f32).is_finite()) {
                    let ((row, column), value) = (self.place(place), values[place]);
                    return Err(Error::BeyondSingle { file: label.to_owned(), row, column, value });
                }
                Values::F32(values.iter().map(|&value| value as f32).collect())
            }
            (Dtype::F64, Values::F32(_)) => Values::F64(self.to_f64().into_owned()),
            _ => return Ok(self),
        };
        Ok(Self { values, ..self })
    }

    /// The number in the file of a column, which messages name.
    pub(crate) fn column(&self, column: usize) -> usize {
        self.columns.get(column).copied().unwrap_or(column)
    }

    /// Row and column, as [`column`](Self::column) counts, of a place in row-major order.
    pub(crate) fn place(&self, place: usize) -> (usize, usize) {
        (place / self.dim, self.column(place % self.dim))
    }

    /// Columns of a row: at least 1.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        at(self.rows)
    }

    /// Number of rows, as the index type.
    pub fn rows(&self) -> Idx {
        self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The precision of the coordinates.
    pub fn dtype(&self) -> Dtype {
        match self.values {
            Values::F32(_) => Dtype::F32,
            Values::F64(_) => Dtype::F64,
        }
    }

    /// The coordinates, row-major.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Gives the coordinates back, row-major.
    pub fn into_values(self) -> Values {
        self.values
    }

    /// The coordinates in double precision, row-major: borrowed where they are, else widened, which loses nothing.
    pub fn to_f64(&self) -> Cow<'_, [f64]> {
        match &self.values {
            Values::F32(values) => Cow::Owned(values.iter().map(|&value| f64::from(value)).collect()),
            Values::F64(values) => Cow::Borrowed(values),
        }
    }

    /// The largest absolute value, and the smallest absolute value that is not zero.
    ///
    /// They tell whether squares would leave the range of the precision. Where every value is zero, or there is
    /// none, the answer is `(0, +inf)`: the neutral elements of maximum and minimum.
    pub fn magnitude(&self) -> (f64, f64) {
        match &self.values {
            Values::F32(values) => extremes(values, |value| f64::from(value.abs())),
            Values::F64(values) => extremes(values, f64::abs),
        }
    }

    /// A new set of the rows named by `rows`, in that order; a row may be taken more than once.
    ///
    /// # Errors
    /// [`Error::Kernel`] with [`KernelError::Key`] for an entry that is no row, [`KernelError::TooLong`] for more
    /// entries than rows can be indexed.
    pub fn take_rows(&self, rows: &[Idx]) -> Result<Self, Error> {
        let count = idx_len(rows.len())?;
        if let Some(place) = rows.iter().position(|row| !(0..self.rows).contains(row)) {
            let at = idx_len(place)?;
            return Err(KernelError::Key { at, key: rows[place], limit: self.rows }.into());
        }
        let values = match &self.values {
            Values::F32(values) => Values::F32(gather_rows(values, self.dim, rows)),
            Values::F64(values) => Values::F64(gather_rows(values, self.dim, rows)),
        };
        Ok(Self { dim: self.dim, rows: count, values, columns: self.columns.clone() })
    }
}

/// Largest and smallest nonzero of the absolute values that `widen` gives.
fn extremes<T: Copy + Sync>(values: &[T], widen: impl Fn(T) -> f64 + Sync) -> (f64, f64) {
    let join = |a: (f64, f64), b: (f64, f64)| (a.0.max(b.0), a.1.min(b.1));
    let scan = |chunk: &[T]| {
        chunk.iter().fold((0.0, f64::INFINITY), |(largest, least), &value| {
            let value = widen(value);
            join((largest, least), (value, if value > 0.0 { value } else { f64::INFINITY }))
        })
    };
    values.par_chunks(SCAN).map(scan).reduce(|| (0.0, f64::INFINITY), join)
}

/// Rows that one task moves.
const ROWS: usize = 4096;

/// The rows named by `rows`, which are in range, one after the other.
pub(crate) fn gather_rows<T: Copy + Default + Send + Sync>(values: &[T], dim: usize, rows: &[Idx]) -> Vec<T> {
    let mut taken = vec![T::default(); rows.len() * dim];
    parallel::chunks(&mut taken, ROWS * dim, &|chunk, out| {
        for (out, &row) in out.chunks_exact_mut(dim).zip(&rows[chunk * ROWS..]) {
            out.copy_from_slice(&values[at(row) * dim..][..dim]);
        }
    });
    taken
}

/// The columns named by `columns`, which are in range, of every row.
fn gather_columns<T: Copy>(values: &[T], dim: usize, columns: &[usize]) -> Vec<T> {
    values.chunks_exact(dim).flat_map(|row| columns.iter().map(|&column| row[column])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<Points, Error>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn construction_checks_columns_rows_and_values() {
        assert!(message(Points::new(0, Values::F32(vec![]))).contains("no columns"));
        assert!(message(Points::new(3, Values::F64(vec![0.0; 7]))).contains("7 values"));
        assert!(Points::new(3, Values::F64(vec![])).unwrap().is_empty());
        let text = message(Points::named("x.npy", 2, Values::F64(vec![0.0, 1.0, 2.0, f64::NEG_INFINITY])));
        assert_eq!(text, "x.npy: row 1, column 1 (counted from 0) is -inf; remove such rows or fill them in");
    }

    #[test]
    fn the_first_bad_value_is_found_at_every_chunk_border() {
        for place in [0, 1, SCAN - 1, SCAN, SCAN + 1, 3 * SCAN + 5] {
            let mut values = vec![1.0f32; 4 * SCAN];
            values[place] = f32::NAN;
            values[4 * SCAN - 1] = f32::INFINITY; // a later one must not win
            assert_eq!(Values::F32(values).first_not_finite(), Some(place));
        }
        assert_eq!(Values::F64(vec![f64::MAX; SCAN + 1]).first_not_finite(), None);
    }

    #[test]
    fn magnitude_spans_the_nonzero_values() {
        let of = |values| Points::new(1, values).unwrap().magnitude();
        assert_eq!(of(Values::F64(vec![0.0, -3.0, 1e-300, -0.0])), (3.0, 1e-300));
        assert_eq!(of(Values::F32(vec![-0.5, 0.25])), (0.5, 0.25));
        assert_eq!(
            of(Values::F32(vec![f32::from_bits(1)])),
            (f64::from(f32::from_bits(1)), f64::from(f32::from_bits(1)))
        );
        assert_eq!(of(Values::F64(vec![0.0; 3])), (0.0, f64::INFINITY));
        assert_eq!(of(Values::F64(vec![])), (0.0, f64::INFINITY));
    }

    #[test]
    fn rows_and_columns_are_taken_in_the_order_asked_for() {
        let points = Points::new(2, Values::F32(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0])).unwrap();
        let taken = points.take_rows(&[2, 0, 2]).unwrap();
        assert_eq!((taken.rows(), taken.len(), taken.dim()), (3, 3, 2));
        assert_eq!(taken.to_f64().as_ref(), [4.0, 5.0, 0.0, 1.0, 4.0, 5.0]);
        assert_eq!(points.values().take_columns(2, &[1]), Values::F32(vec![1.0, 3.0, 5.0]));
        assert!(points.take_rows(&[]).unwrap().is_empty());
        for bad in [-1, 3] {
            let error = points.take_rows(&[0, bad]).unwrap_err();
            assert!(matches!(error, Error::Kernel(KernelError::Key { at: 1, key, limit: 3 }) if key == bad));
        }
    }

    #[test]
    fn messages_name_the_columns_of_the_file() {
        let text = message(Points::chosen("x.npy", vec![7, 4], Values::F64(vec![0.0, 1.0, 2.0, f64::NAN])));
        assert!(text.starts_with("x.npy: row 1, column 4 (counted from 0) is NaN;"), "{text}");
        let points = Points::chosen("x.npy", vec![7, 4], Values::F64(vec![0.0, 1.0, 1e200, f64::MIN])).unwrap();
        assert_eq!(points, Points::new(2, points.values().clone()).unwrap());
        assert_eq!(points.take_rows(&[1]).unwrap().place(1), (0, 4));
        let text = message(points.converted("x.npy", Dtype::F32));
        assert!(
            text.starts_with("x.npy: row 1, column 7 (counted from 0) is 1e200, beyond the range of f32;"),
            "{text}"
        );
    }

    #[test]
    fn precision_is_converted_to_the_nearest() {
        let convert =
            |values, dtype| Points::new(1, values).unwrap().converted("points", dtype).map(Points::into_values);
        let largest = f64::from(f32::MAX);
        let double = || Values::F64(vec![0.1, -largest, 1e-300]);
        assert_eq!(convert(double(), Dtype::F32).unwrap(), Values::F32(vec![0.1, f32::MIN, 0.0]));
        assert_eq!(convert(double(), Dtype::F64).unwrap(), double());
        assert_eq!(convert(Values::F32(vec![0.1]), Dtype::F64).unwrap(), Values::F64(vec![f64::from(0.1f32)]));
        assert!(convert(Values::F64(vec![largest * 1.000_000_1]), Dtype::F32).is_err());
    }

    #[test]
    fn double_precision_is_borrowed_and_single_widened() {
        let points = Points::new(1, Values::F64(vec![0.1])).unwrap();
        assert!(matches!(points.to_f64(), Cow::Borrowed([0.1])));
        let points = Points::new(1, Values::F32(vec![0.1])).unwrap();
        assert_eq!((points.to_f64()[0], points.dtype()), (f64::from(0.1f32), Dtype::F32));
    }
}
