//! Plain twins, for tests and benchmarks: the same bits, one number at a time, for arguments that the kernels would accept.
//!
//! Starting axes, orthonormalisation, the choice among the axes and the margin of the spread are no lane code: they are those of
//! the kernels. What is written out here are the loops over the rows.

use super::axes::{self, Round, Squares};
use super::{AXES, Projection, rows};
use crate::simd::Real;
use crate::view::Rows;

/// Twin of [`principal_axes`](super::principal_axes); `moments` is scratch, `[dim][AXES]`.
pub fn principal_axes<T: Real>(rows: Rows<'_, T>, center: &mut [f64], axes: &mut [f64], moments: &mut [f64]) -> usize {
    axes::iterate(rows, center, axes, moments, round)
}

/// One round over all rows.
fn round<T: Real>(round: Round<'_, '_, T>) -> Squares {
    let (mut variances, mut total) = ([0.0; AXES], 0.0);
    for row in round.rows.data().chunks_exact(round.rows.dim()) {
        let difference = |d: usize| (row[d].to_f64() - round.center[d]) * round.scale;
        let mut projected = [0.0; AXES];
        for d in 0..row.len() {
            total += difference(d) * difference(d);
            for axis in 0..AXES {
                projected[axis] += difference(d) * round.axes[d * AXES + axis];
            }
        }
        for axis in 0..AXES {
            for d in 0..row.len() {
                round.moments[d * AXES + axis] += difference(d) * projected[axis];
            }
            variances[axis] += projected[axis] * projected[axis];
        }
    }
    (variances, total)
}

/// Twin of [`project_rows`](super::project_rows).
pub fn project_rows<T: Real>(projection: &Projection<'_>, rows: Rows<'_, T>, out: &mut [T]) -> f64 {
    let mut largest = 0.0;
    for (row, out) in rows.data().chunks_exact(rows.dim()).zip(out.chunks_exact_mut(projection.width())) {
        let difference = |d: usize| row[d].to_f64() - projection.center()[d];
        for axis in 0..projection.count() {
            let term = |d: usize| difference(d) * projection.axes()[d * AXES + axis];
            out[axis] = T::from_f64((0..row.len()).fold(0.0, |sum, d| sum + term(d)));
        }
        out[projection.count()..].copy_from_slice(row);
        let square = (0..row.len()).fold(0.0, |sum, d| sum + difference(d) * difference(d));
        largest = if square > largest { square } else { largest };
    }
    rows::spread(largest, projection.dim())
}
