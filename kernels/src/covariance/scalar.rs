//! The plain twins: one published formula after the other, in `f64`.

use super::Covariance;
use super::exp::Exponential;
use crate::simd::Real;

/// Twin of [`scale_rows`](super::scale_rows), bit for bit.
pub fn scale_rows<T: Real, U: Real>(rows: &[T], lengthscales: &[f64], out: &mut [U]) {
    for (row, out) in rows.chunks_exact(lengthscales.len()).zip(out.chunks_exact_mut(lengthscales.len())) {
        for ((x, length), out) in row.iter().zip(lengthscales).zip(out) {
            *out = U::from_f64(x.to_f64() / length);
        }
    }
}

/// Twin of [`exponentials`](super::exponentials).
pub fn exponentials<T: Exponential>(x: &[T], out: &mut [T]) {
    for (&x, out) in x.iter().zip(out) {
        *out = T::from_f64(libm::exp(x.to_f64()));
    }
}

/// Twin of [`covariances`](super::covariances).
pub fn covariances<T: Exponential>(covariance: Covariance, squares: &[T], out: &mut [T]) {
    for (&square, out) in squares.iter().zip(out) {
        *out = T::from_f64(covariance.exact(square.to_f64()));
    }
}

/// Twin of [`one_to_run`](super::one_to_run).
pub fn one_to_run<T: Exponential>(covariance: Covariance, query: &[T], panels: &[T], out: &mut [T]) {
    for (panel, out) in panels.chunks_exact(query.len() * T::LANES).zip(out.chunks_exact_mut(T::LANES)) {
        for (lane, out) in out.iter_mut().enumerate() {
            let mut square = 0.0;
            for (d, q) in query.iter().enumerate() {
                let difference = q.to_f64() - panel[d * T::LANES + lane].to_f64();
                square += difference * difference;
            }
            *out = T::from_f64(covariance.exact(square));
        }
    }
}
