//! Residual metrics made by a dense Cholesky factorisation, and their correlations with a dot product that does not cancel.

use std::vec;
use std::vec::Vec;

use crate::covariance::Covariance;

use super::covariance::between;

/// Points with their rows of `V` and residual variances, row-major.
#[derive(Clone, Debug)]
pub struct Residual {
    /// The covariance.
    pub covariance: Covariance,
    /// Coordinates of a point.
    pub dim: usize,
    /// Columns of `V`.
    pub columns: usize,
    /// `[len][dim]`: scaled coordinates.
    pub coordinates: Vec<f64>,
    /// `[len][columns]`.
    pub v: Vec<f64>,
    /// `[len]`.
    pub p: Vec<f64>,
}

impl Residual {
    /// The metric of `coordinates` (`[len][dim]`, scaled) with the points `inducing` as inducing points: `L L' = K_UU +
    /// jitter variance I`, `V = (L^-1 K_UX)'`, `p = max(variance + nugget - |V|^2, 2^-40 (variance + nugget))`.
    pub fn new(
        covariance: Covariance,
        coordinates: &[f64],
        dim: usize,
        inducing: &[usize],
        jitter: f64,
        nugget: f64,
    ) -> Self {
        let point = |i: usize| &coordinates[i * dim..(i + 1) * dim];
        let columns = inducing.len();
        let inducing: Vec<&[f64]> = inducing.iter().map(|&i| point(i)).collect();
        let factor = factor(covariance, &inducing, jitter);
        let (mut v, mut p) = (Vec::new(), Vec::new());
        for x in coordinates.chunks(dim) {
            let mut row = vec![0.0; columns];
            for i in 0..columns {
                let known: f64 = (0..i).map(|m| factor[i][m] * row[m]).sum();
                row[i] = (between(covariance, x, inducing[i]) - known) / factor[i][i];
            }
            let prior = covariance.variance() + nugget;
            p.push((prior - row.iter().map(|v| v * v).sum::<f64>()).max(prior / (1u64 << 40) as f64));
            v.extend(row);
        }
        Self { covariance, dim, columns, coordinates: coordinates.to_vec(), v, p }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.p.len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.p.is_empty()
    }

    /// Scaled coordinates of a point.
    pub fn point(&self, i: usize) -> &[f64] {
        &self.coordinates[i * self.dim..(i + 1) * self.dim]
    }

    /// Row of `V` of a point.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.v[i * self.columns..(i + 1) * self.columns]
    }

    /// The residual correlation of two points, not cut, by a dot product in twice the precision.
    pub fn ratio(&self, i: usize, j: usize) -> f64 {
        let k = between(self.covariance, self.point(i), self.point(j));
        minus_dot(k, self.row(i), self.row(j)) / (self.p[i] * self.p[j]).sqrt()
    }
}

/// The rows of `L` in `L L' = K_UU + jitter variance I`, for inducing points of scaled coordinates.
pub fn factor(covariance: Covariance, inducing: &[&[f64]], jitter: f64) -> Vec<Vec<f64>> {
    let columns = inducing.len();
    let mut factor = vec![vec![0.0; columns]; columns];
    for i in 0..columns {
        for j in 0..=i {
            let mut sum = between(covariance, inducing[i], inducing[j]);
            if i == j {
                sum += jitter * covariance.variance();
            }
            sum -= (0..j).map(|m| factor[i][m] * factor[j][m]).sum::<f64>();
            factor[i][j] = if i == j { sum.sqrt() } else { sum / factor[j][j] };
        }
        assert!(factor[i][i] > 0.0, "the covariance of the inducing points is not positive definite");
    }
    factor
}

/// `start - sum of a_m b_m`, in twice the precision: each product and sum with its own error (Ogita, Rump and Oishi,
/// *Accurate sum and dot product*, SIAM J. Sci. Comput. 26(6), 2005).
fn minus_dot(start: f64, a: &[f64], b: &[f64]) -> f64 {
    let (mut high, mut low) = (start, 0.0);
    for (a, b) in a.iter().zip(b) {
        let product = -a * b;
        let product_error = (-a).mul_add(*b, -product);
        let sum = high + product;
        let back = sum - high;
        low += (high - (sum - back)) + (product - back) + product_error;
        high = sum;
    }
    high + low
}

/// Packs rows into panels of `lanes`; the padding lanes repeat the last row.
pub fn pack(rows: &[f64], width: usize, len: usize, lanes: usize) -> Vec<f64> {
    let mut panels = vec![0.0; len.div_ceil(lanes) * lanes * width];
    for position in 0..len.next_multiple_of(lanes) {
        for d in 0..width {
            panels[(position / lanes * width + d) * lanes + position % lanes] = rows[position.min(len - 1) * width + d];
        }
    }
    panels
}
