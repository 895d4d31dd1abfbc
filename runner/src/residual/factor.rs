//! `V` and `p` from inducing points: Cholesky factor and triangular solves.

use covertree_kernels::covariance::{Covariance, one_to_run};
use covertree_kernels::dist::Rounding;
use covertree_kernels::simd::{LANES_F64, Tier};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Mat, MatMut, MatRef, Par, Side};
use rayon::prelude::*;

use crate::error::Error;
use crate::summary::{fits_memory, size_in_words};

/// Points whose rows of `V` are solved for at a time.
const BLOCK: usize = 256;

/// Bytes for what a factorisation takes beside its matrices: padding of rows, and blocks that are packed.
const WORKSPACE: u64 = 1 << 24;

/// The jitter is multiplied by this where `K_UU` is not positive definite in floating point, at most [`STEPS`] times.
const STEP: f64 = 10.0;
/// See [`STEP`].
const STEPS: usize = 6;

/// Inducing points and the Cholesky factor of their covariance.
pub(crate) struct Factor {
    covariance: Covariance,
    dim: usize,
    /// `[inducing][dim]`, scaled.
    inducing: Vec<f64>,
    lower: Mat<f64>,
    /// The jitter that was used, in units of the variance.
    pub jitter: f64,
}

impl Factor {
    /// Factors `K_UU + jitter variance I`; the jitter grows tenfold, at most six times, where that fails.
    ///
    /// # Errors
    /// [`Error::Usage`] where it fails with the largest jitter, too.
    pub fn new(tier: Tier, covariance: Covariance, dim: usize, inducing: Vec<f64>, jitter: f64) -> Result<Self, Error> {
        let count = inducing.len() / dim;
        // The matrix, what it is made from, the factor, and its rows; what factors them ends the program where there is no room.
        let bytes = (32 * count as u64).saturating_mul(count as u64); // widens
        if !fits_memory(bytes.saturating_add(WORKSPACE)) {
            return Err(Error::Usage(format!(
                "the factor of {count} inducing points takes {}, more than there is memory; choose fewer",
                size_in_words(bytes)
            )));
        }
        let order: Vec<i32> = (0..count as i32).collect(); // inducing points were counted as rows
        let mut panels = vec![0.0; panels_len::<f64>(count, dim)];
        pack_rows(Rows::new(&inducing, dim)?, &order, &mut panels)?;
        let lanes = panels_len::<f64>(count, 1);
        let mut gram = vec![0.0; count * lanes];
        gram.par_chunks_mut(lanes.max(1)).zip(inducing.par_chunks(dim)).try_for_each(|(row, point)| {
            one_to_run(tier, covariance, Rounding::Published, point, Panels::new(&panels, dim, count)?, row)
        })?;
        let mut last = jitter;
        for step in 0..=STEPS {
            last = jitter * STEP.powi(step as i32); // a handful
            let ridge = last * covariance.variance();
            let matrix = Mat::from_fn(count, count, |i, j| gram[i * lanes + j] + if i == j { ridge } else { 0.0 });
            if let Ok(factor) = matrix.llt(Side::Lower) {
                let lower = factor.L().to_owned();
                return Ok(Self { covariance, dim, inducing, lower, jitter: last });
            }
        }
        Err(Error::Usage(format!(
            "the covariance of the {count} inducing points is not positive definite, even with a jitter of {last:e}; choose \
             inducing points that are farther apart, or a larger --jitter"
        )))
    }

    /// Number of inducing points.
    pub fn columns(&self) -> usize {
        self.inducing.len() / self.dim
    }

    /// Rows of `V`, `[points][columns]`, of packed scaled points.
    ///
    /// Blocks of points are solved for by themselves, so the number of threads changes no bit.
    pub fn solve(&self, tier: Tier, points: Panels<'_, f64>, v: &mut [f64]) -> Result<(), Error> {
        let (columns, panels) = (self.columns(), BLOCK / LANES_F64);
        v.par_chunks_mut(BLOCK * columns).enumerate().try_for_each(|(block, v)| -> Result<(), Error> {
            let len = v.len() / columns;
            let lanes = len.next_multiple_of(LANES_F64);
            let points = Panels::new(points.run(block * panels, lanes / LANES_F64), self.dim, len)?;
            let mut covariances = vec![0.0; columns * lanes];
            for (row, inducing) in covariances.chunks_exact_mut(lanes).zip(self.inducing.chunks_exact(self.dim)) {
                one_to_run(tier, self.covariance, Rounding::Published, inducing, points, row)?;
            }
            let matrix = MatMut::from_row_major_slice_mut(&mut covariances, columns, lanes);
            solve_lower_triangular_in_place(self.lower.as_ref(), matrix, Par::Seq);
            let solved = MatRef::from_row_major_slice(&covariances, columns, lanes).transpose().subrows(0, len);
            MatMut::from_row_major_slice_mut(v, len, columns).copy_from(solved);
            Ok(())
        })
    }

    /// The norms of the weights `(L L')^-1 k_x` of some points, from their rows of `V`.
    pub fn weights(&self, v: &[f64], norms: &mut [f64]) {
        let columns = self.columns();
        let mut weights = MatRef::from_row_major_slice(v, norms.len(), columns).transpose().to_owned();
        solve_upper_triangular_in_place(self.lower.transpose(), weights.as_mut(), Par::Seq);
        for (norm, weights) in norms.iter_mut().zip(weights.col_iter()) {
            *norm = weights.norm_l2() * (1.0 + 1e-6); // far above the rounding of the sum
        }
    }
}
