//! The squared tail of a point against landmarks, by solving a dense system instead of growing a basis.

use std::vec::Vec;

/// `1 - r' R^-1 r` for the correlations `matrix` (`[k][k]`, row-major) of the landmarks and `rho` (`[k]`) of the point
/// with them, by Gaussian elimination with partial pivoting.
pub fn square_tail(matrix: &[f64], rho: &[f64]) -> f64 {
    let k = rho.len();
    let mut rows: Vec<Vec<f64>> =
        (0..k).map(|i| matrix[i * k..(i + 1) * k].iter().copied().chain([rho[i]]).collect()).collect();
    for i in 0..k {
        let pivot = (i..k).max_by(|&a, &b| rows[a][i].abs().total_cmp(&rows[b][i].abs())).unwrap_or(i);
        rows.swap(i, pivot);
        let head = rows[i].clone();
        for row in &mut rows[i + 1..] {
            let factor = row[i] / head[i];
            for (x, h) in row.iter_mut().zip(&head) {
                *x -= factor * h;
            }
        }
    }
    let mut solution = rho.to_vec();
    for i in (0..k).rev() {
        let known: f64 = (i + 1..k).map(|j| rows[i][j] * solution[j]).sum();
        solution[i] = (rows[i][k] - known) / rows[i][i];
    }
    1.0 - solution.iter().zip(rho).map(|(w, r)| w * r).sum::<f64>()
}
