//! The squared tail of a point against landmarks, by solving a dense system instead of growing a basis; and what the
//! columns of `V` should explain, in twice the precision.

use std::vec;
use std::vec::Vec;

use super::covariance::between_double;
use super::double::Double;
use super::residual::Residual;

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

/// For all pairs of points how much of `V_x.V_y` the triangular solve got wrong, `V_x.V_y - k_x' (L L')^-1 k_y`, row-major,
/// and for each point `|(L L')^-1 k_x|`: with the factor `L` as it is, but with covariances and sums in twice the precision.
pub fn solve_errors(metric: &Residual, factor: &[Vec<f64>], inducing: &[&[f64]]) -> (Vec<f64>, Vec<f64>) {
    let (len, columns) = (metric.len(), metric.columns);
    let entry = |i: usize, j: usize| Double::from(factor[i][j]);
    let (mut solved, mut weights) = (Vec::new(), Vec::new());
    for x in 0..len {
        let mut row = vec![Double::default(); columns];
        for i in 0..columns {
            let known: Double = (0..i).map(|m| entry(i, m) * row[m]).sum();
            row[i] = (between_double(metric.covariance, metric.point(x), inducing[i]) - known) / entry(i, i);
        }
        let mut weight = row.clone();
        for i in (0..columns).rev() {
            let known: Double = (i + 1..columns).map(|m| entry(m, i) * weight[m]).sum();
            weight[i] = (row[i] - known) / entry(i, i);
        }
        weights.push(weight.iter().map(|w| w.high * w.high).sum::<f64>().sqrt());
        solved.push(row);
    }
    let error = |x: usize, y: usize| {
        let each = metric.row(x).iter().zip(metric.row(y)).map(|(&a, &b)| Double::from(a) * Double::from(b));
        let right: Double = solved[x].iter().zip(&solved[y]).map(|(&a, &b)| a * b).sum();
        (each.sum::<Double>() - right).high
    };
    let pairs = (0..len).flat_map(|x| (0..len).map(move |y| (x, y)));
    (pairs.map(|(x, y)| error(x, y)).collect(), weights)
}
