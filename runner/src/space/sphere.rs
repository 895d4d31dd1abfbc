//! Directions and places: metrics whose stored rows are derived from the input.

use covertree_kernels::tree::{self as kernel, Boxes, HAVERSINE_WIDTH, haversine_row, unit_row};
use covertree_kernels::view::Panels;

use super::{Ahead, PanelMetric, QueryIsRow, Scaling};
use crate::error::Error;
use crate::parallel;
use crate::points::{Points, Values};

/// The angle between vectors, in radians; see [`kernel::Angular`] for the formula and [`unit_row`] for what is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Angular;

/// The great-circle distance on the unit sphere, in radians, between places given by two columns, longitude and latitude in
/// degrees; see [`kernel::Haversine`] for the formula and [`haversine_row`] for what is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Haversine;

impl Haversine {
    /// Columns of a place: longitude, latitude.
    pub const COLUMNS: usize = 2;
}

/// Rows that one task prepares.
const CHUNK: usize = 1024;

/// Prepares each row by `derive(row, out)`, which says whether it could; the error is the first row that it could not.
fn derive<T: Copy + Sync>(
    values: &[T],
    dim: usize,
    width: usize,
    derive: impl Fn(&[T], &mut [f64]) -> bool + Sync,
) -> Result<Vec<f64>, usize> {
    let mut prepared = vec![0.0; values.len() / dim * width];
    let wrong = parallel::chunks(&mut prepared, CHUNK * width, &|chunk, out| {
        let mut rows = values[chunk * CHUNK * dim..].chunks_exact(dim).zip(out.chunks_exact_mut(width));
        rows.position(|(row, out)| !derive(row, out)).map(|row| chunk * CHUNK + row)
    });
    wrong.into_iter().flatten().next().map_or(Ok(prepared), Err)
}

impl PanelMetric for Angular {
    type Real = f64;
    type Kernel<'a> = kernel::Angular<'a>;

    /// Unit vectors.
    ///
    /// # Errors
    /// [`Error::ZeroVector`].
    fn prepare(label: &str, points: &Points, _scaling: Scaling) -> Result<Vec<f64>, Error> {
        let dim = points.dim();
        let prepared = match points.values() {
            Values::F32(values) => derive(values, dim, dim, |row, out| unit_row(row, out).is_ok()),
            Values::F64(values) => derive(values, dim, dim, |row, out| unit_row(row, out).is_ok()),
        };
        prepared.map_err(|row| Error::ZeroVector { file: label.to_owned(), row })
    }

    fn projects() -> bool {
        true
    }

    fn kernel<'a>(points: Panels<'a, f64>, ahead: Ahead, boxes: Option<Boxes<'a, f64>>) -> kernel::Angular<'a> {
        let metric = kernel::Angular::projected(points, ahead.axes, ahead.excess);
        let metric = metric.expect("checked when the points were packed");
        match boxes {
            Some(boxes) => metric.with_boxes(boxes),
            None => metric,
        }
    }
}

impl<'q> QueryIsRow<'q, f64> for kernel::Angular<'_> {
    #[inline(always)]
    fn from_row(row: &'q [f64]) -> &'q [f64] {
        row
    }
}

impl PanelMetric for Haversine {
    type Real = f64;
    type Kernel<'a> = kernel::Haversine<'a>;

    fn width(_dim: usize) -> usize {
        HAVERSINE_WIDTH
    }

    /// The unit vector comes first.
    fn boxed(_width: usize) -> usize {
        3
    }

    /// Rows of [`haversine_row`].
    ///
    /// # Errors
    /// [`Error::Usage`] unless there are two columns; [`Error::Latitude`].
    fn prepare(label: &str, points: &Points, _scaling: Scaling) -> Result<Vec<f64>, Error> {
        if points.dim() != Self::COLUMNS {
            let dim = points.dim();
            return Err(Error::Usage(format!(
                "{label}: has a column count of {dim}, and haversine takes 2, longitude and latitude; choose two columns"
            )));
        }
        let values = points.to_f64();
        let prepared = derive(&values, Self::COLUMNS, HAVERSINE_WIDTH, |row, out| {
            haversine_row(row[0], row[1]).map(|place| out.copy_from_slice(&place)).is_ok()
        });
        prepared.map_err(|row| {
            let (file, column) = (label.to_owned(), points.column(1));
            Error::Latitude { file, row, column, value: values[row * Self::COLUMNS + 1] }
        })
    }

    fn kernel<'a>(points: Panels<'a, f64>, _ahead: Ahead, boxes: Option<Boxes<'a, f64>>) -> kernel::Haversine<'a> {
        let metric = kernel::Haversine::new(points).expect("prepared rows have this width");
        match boxes {
            Some(boxes) => metric.with_boxes(boxes),
            None => metric,
        }
    }
}

impl<'q> QueryIsRow<'q, f64> for kernel::Haversine<'_> {
    #[inline(always)]
    fn from_row(row: &'q [f64]) -> &'q [f64] {
        row
    }
}
