//! Packed points out of fuzz input, and what the distance cases compare.
#![allow(dead_code)] // each user of this module needs only some of it

use covertree_kernels::index::Idx;
use covertree_kernels::oracle::dist::Truth;
use covertree_kernels::simd::Real;
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};

use super::Bytes;

/// Row-major points and the same packed.
pub struct Points<T> {
    pub dim: usize,
    pub len: usize,
    pub rows: Vec<T>,
    pub packed: Vec<T>,
}

impl<T: Real> Points<T> {
    /// Points of given coordinates, and of repeated ones once the input is used up.
    pub fn read(bytes: &mut Bytes<'_>, dim: usize, len: usize) -> Self {
        let given: Vec<T> = (0..64).map(|_| T::from_f64(bytes.coordinate())).collect();
        let rows: Vec<T> = (0..len * dim).map(|i| given[(i + i / 61) % given.len()]).collect();
        let order: Vec<Idx> = (0..len as Idx).collect();
        let mut packed = vec![T::from_f64(-3.0); panels_len::<T>(len, dim)];
        pack_rows(Rows::new(&rows, dim).expect("whole rows"), &order, &mut packed).expect("the sizes fit");
        Self { dim, len, rows, packed }
    }

    pub fn rows(&self) -> Rows<'_, T> {
        Rows::new(&self.rows, self.dim).expect("whole rows")
    }

    pub fn panels(&self) -> Panels<'_, T> {
        Panels::new(&self.packed, self.dim, self.len).expect("the sizes fit")
    }

    /// Padded length, of dirty memory.
    pub fn out<U: Real>(&self, queries: usize) -> Vec<U> {
        vec![U::from_f64(-7.25); queries * self.len.next_multiple_of(T::LANES)]
    }

    /// One row in `f64`.
    pub fn wide(&self, row: usize) -> Vec<f64> {
        self.rows().row(row).iter().map(|value| value.to_f64()).collect()
    }
}

/// Whether two slices hold the same bits, or a NaN in the same place.
pub fn same<T: Real>(a: &[T], b: &[T]) -> bool {
    let equal = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a.to_f64(), b.to_f64()))
}

/// Asserts that a finite sum is within its proven bound.
pub fn within_bound<T: Real, F: Truth>(query: &[f64], point: &[f64], value: T) {
    let (truth, magnitudes) = F::truth(query, point);
    let bound = F::relative_error::<T>(query.len()) * magnitudes + F::absolute_error::<T>(query.len());
    let error = (value.to_f64() - truth).abs();
    // The oracle itself is rounded once. A sum that leaves the range has no bound.
    assert!(!value.to_f64().is_finite() || error <= bound + truth.abs() * f64::ROUNDOFF, "{value:?} {truth} {bound}");
}

/// Calls a generic check with the form that `choice` names.
macro_rules! with_form {
    ($choice:expr, $form:ident => $call:expr) => {
        match $choice % 4 {
            0 => {
                let $form = covertree_kernels::dist::SquaredEuclidean;
                $call
            }
            1 => {
                let $form = covertree_kernels::dist::Manhattan;
                $call
            }
            2 => {
                let $form = covertree_kernels::dist::Chebyshev;
                $call
            }
            _ => {
                let $form = covertree_kernels::dist::Dot;
                $call
            }
        }
    };
}
pub(crate) use with_form;
