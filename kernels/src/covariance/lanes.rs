//! Bodies over the lane traits.

use super::exp::{Exponential, exp_negative, mul_add};
use super::{Covariance, CovarianceKind};
use crate::dist::SquaredEuclidean;
use crate::simd::{Lanes, Vector};

/// A covariance in the element of the lanes.
#[derive(Clone, Copy)]
pub(crate) struct LaneCovariance<T> {
    kind: CovarianceKind,
    variance: T,
}

impl<T: Exponential> LaneCovariance<T> {
    #[inline(always)]
    pub(crate) fn new(covariance: Covariance) -> Self {
        Self { kind: covariance.kind, variance: T::from_f64(covariance.variance) }
    }

    /// The covariances at the squared distances `squares`. The branch is the same for a whole call.
    #[inline(always)]
    pub(crate) fn at<V: Vector<Elem = T>, const EXACT: bool>(&self, squares: V) -> V {
        let shape = match self.kind {
            CovarianceKind::Rbf => exp_negative::<T, V, EXACT>(V::splat(T::from_f64(-0.5)).mul(squares)),
            CovarianceKind::Matern12 => {
                exp_negative::<T, V, EXACT>(V::splat(T::default()).sub(scaled::<T, V>(squares, 1.0)))
            }
            CovarianceKind::Matern32 => {
                let a = scaled::<T, V>(squares, super::SQRT_3);
                let polynomial = a.add(V::splat(T::from_f64(1.0)));
                polynomial.mul(exp_negative::<T, V, EXACT>(V::splat(T::default()).sub(a)))
            }
            CovarianceKind::Matern52 => {
                let a = scaled::<T, V>(squares, super::SQRT_5);
                let linear = a.add(V::splat(T::from_f64(1.0)));
                let polynomial = mul_add::<V, EXACT>(a.mul(a), V::splat(T::from_f64(1.0 / 3.0)), linear);
                polynomial.mul(exp_negative::<T, V, EXACT>(V::splat(T::default()).sub(a)))
            }
        };
        shape.mul(V::splat(self.variance))
    }
}

/// `factor * sqrt(squares)`, cut where the exponential is zero, so that a polynomial of it stays finite.
#[inline(always)]
fn scaled<T: Exponential, V: Vector<Elem = T>>(squares: V, factor: f64) -> V {
    squares.sqrt().mul(V::splat(T::from_f64(factor))).min(V::splat(T::from_f64(-T::FLOOR.to_f64())))
}

/// Exponentials of whole vectors and of a shorter rest.
#[inline(always)]
pub(super) fn exponentials<T: Exponential, L: Lanes, const EXACT: bool>(x: &[T], out: &mut [T]) {
    let (mut rows, mut outs) = (x.chunks_exact(T::LANES), out.chunks_exact_mut(T::LANES));
    for (row, out) in rows.by_ref().zip(outs.by_ref()) {
        exp_negative::<T, T::On<L>, EXACT>(<T::On<L>>::load(row)).store(out);
    }
    let (rest, out) = (rows.remainder(), outs.into_remainder());
    let mut padded = [T::default(); crate::simd::LANES_F32];
    padded[..rest.len()].copy_from_slice(rest);
    exp_negative::<T, T::On<L>, EXACT>(<T::On<L>>::load(&padded)).store(&mut padded);
    out.copy_from_slice(&padded[..rest.len()]);
}

/// Replaces squared distances by covariances.
#[inline(always)]
pub(super) fn replace<T: Exponential, L: Lanes, const EXACT: bool>(covariance: LaneCovariance<T>, values: &mut [T]) {
    let mut rows = values.chunks_exact_mut(T::LANES);
    for row in rows.by_ref() {
        covariance.at::<T::On<L>, EXACT>(<T::On<L>>::load(row)).store(row);
    }
    let rest = rows.into_remainder();
    let mut padded = [T::default(); crate::simd::LANES_F32];
    padded[..rest.len()].copy_from_slice(rest);
    covariance.at::<T::On<L>, EXACT>(<T::On<L>>::load(&padded)).store(&mut padded);
    rest.copy_from_slice(&padded[..rest.len()]);
}

/// Covariances of one point with contiguous panels: the squared distances first, then all exponentials.
#[inline(always)]
pub(super) fn one_to_run<T: Exponential, L: Lanes, const EXACT: bool>(
    covariance: LaneCovariance<T>,
    query: &[T],
    panels: &[T],
    out: &mut [T],
) {
    crate::dist::lanes::one_to_run::<T, SquaredEuclidean, L, EXACT>(query, panels, out);
    replace::<T, L, EXACT>(covariance, out);
}
