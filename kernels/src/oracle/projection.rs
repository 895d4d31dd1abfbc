//! Projections in numbers of twice the precision, and the variances along the true principal axes.

use std::vec;
use std::vec::Vec;

use super::double::Double;
use crate::projection::AXES;

/// The projections of row-major `rows` on the first `count` of `axes`, `[dim][AXES]`, each row with its distance from `center`.
pub fn projections(rows: &[f64], center: &[f64], axes: &[f64], count: usize) -> Vec<(Vec<Double>, Double)> {
    let project = |row: &[f64]| {
        let apart = row.iter().zip(center).map(|(&x, &c)| Double::from(x) - Double::from(c));
        let apart: Vec<Double> = apart.collect();
        let along =
            |axis: usize| apart.iter().zip(axes.chunks_exact(AXES)).map(|(&x, a)| x * Double::from(a[axis])).sum();
        let square: Double = apart.iter().map(|&x| x * x).sum();
        ((0..count).map(along).collect(), square.sqrt())
    };
    rows.chunks_exact(center.len()).map(project).collect()
}

/// The sums of squares of row-major `rows` along their principal axes, by falling size: the eigenvalues of
/// `sum over x of (x - c) (x - c)'`, with `c` the mean, by Jacobi's rotations (Golub and Van Loan, section 8.5).
pub fn variances(rows: &[f64], dim: usize) -> Vec<f64> {
    let len = (rows.len() / dim) as f64; // exact
    let column = |d: usize| rows.iter().copied().skip(d).step_by(dim);
    let center: Vec<f64> = (0..dim).map(|d| column(d).map(|x| x / len).sum()).collect();
    let product = |a: usize, b: usize| -> f64 {
        rows.chunks_exact(dim).map(|row| (row[a] - center[a]) * (row[b] - center[b])).sum()
    };
    let mut matrix: Vec<Vec<f64>> = (0..dim).map(|a| (0..dim).map(|b| product(a, b)).collect()).collect();
    for _ in 0..12 {
        for a in 0..dim {
            for b in a + 1..dim {
                rotate(&mut matrix, a, b);
            }
        }
    }
    let mut variances = vec![0.0; dim];
    variances.iter_mut().enumerate().for_each(|(d, variance)| *variance = matrix[d][d]);
    variances.sort_by(|a, b| b.total_cmp(a));
    variances
}

/// Makes the element of row `a` and column `b` of a symmetric matrix zero.
fn rotate(matrix: &mut [Vec<f64>], a: usize, b: usize) {
    if matrix[a][b] == 0.0 {
        return;
    }
    let slope = (matrix[b][b] - matrix[a][a]) / (2.0 * matrix[a][b]);
    let tangent = slope.signum() / (slope.abs() + slope.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let turn = |x: f64, y: f64| (cosine * (x - tangent * y), cosine * (y + tangent * x));
    for row in matrix.iter_mut() {
        (row[a], row[b]) = turn(row[a], row[b]);
    }
    for d in 0..matrix.len() {
        (matrix[a][d], matrix[b][d]) = turn(matrix[a][d], matrix[b][d]);
    }
}
