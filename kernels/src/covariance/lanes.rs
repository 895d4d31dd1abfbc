//! Bodies over the lane traits.

use super::exp::{Exponential, exp_negative, mul_add};
use super::{Covariance, CovarianceKind};
use crate::dist::SquaredEuclidean;
use crate::simd::{LANES_F32, LANES_F64, Lanes, Real, Vector};

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

    /// The covariances at the squared distances `squares`, `N` vectors in step. The branch is the same for a whole call.
    #[inline(always)]
    pub(crate) fn at<V: Vector<Elem = T>, const N: usize, const EXACT: bool>(&self, squares: [V; N]) -> [V; N] {
        match self.kind {
            CovarianceKind::Rbf => self.rbf::<V, N, EXACT>(squares),
            CovarianceKind::Matern12 => self.matern::<V, N, EXACT, 1>(squares),
            CovarianceKind::Matern32 => self.matern::<V, N, EXACT, 3>(squares),
            CovarianceKind::Matern52 => self.matern::<V, N, EXACT, 5>(squares),
        }
    }

    #[inline(always)]
    fn rbf<V: Vector<Elem = T>, const N: usize, const EXACT: bool>(&self, mut squares: [V; N]) -> [V; N] {
        for square in &mut squares {
            *square = square.mul(V::splat(T::from_f64(-0.5)));
        }
        let mut shapes = exp_negative::<T, V, N, EXACT>(squares);
        for shape in &mut shapes {
            *shape = shape.mul(V::splat(self.variance));
        }
        shapes
    }

    /// The Matern kinds of smoothness `TWICE / 2`.
    #[inline(always)]
    fn matern<V: Vector<Elem = T>, const N: usize, const EXACT: bool, const TWICE: u32>(
        &self,
        squares: [V; N],
    ) -> [V; N] {
        let one = V::splat(T::from_f64(1.0));
        let factor = match TWICE {
            1 => 1.0,
            3 => super::SQRT_3,
            _ => super::SQRT_5,
        };
        // Cut where the exponential is zero, so that the polynomial stays finite.
        let cut = V::splat(T::from_f64(-T::FLOOR.to_f64()));
        let (mut polynomials, mut arguments) = ([one; N], squares);
        for i in 0..N {
            let a = squares[i].sqrt().mul(V::splat(T::from_f64(factor))).min(cut);
            if TWICE > 1 {
                polynomials[i] = one.add(a);
            }
            if TWICE > 3 {
                polynomials[i] = mul_add::<V, EXACT>(a.mul(a), V::splat(T::from_f64(1.0 / 3.0)), polynomials[i]);
            }
            arguments[i] = V::splat(T::default()).sub(a);
        }
        let mut shapes = exp_negative::<T, V, N, EXACT>(arguments);
        for i in 0..N {
            shapes[i] = shapes[i].mul(polynomials[i]).mul(V::splat(self.variance));
        }
        shapes
    }
}

/// Vectors of a long run that go in step.
const STEP: usize = 2;

/// Exponentials of whole vectors and of a shorter rest.
#[inline(always)]
pub(super) fn exponentials<T: Exponential, L: Lanes, const EXACT: bool>(x: &[T], out: &mut [T]) {
    let (mut rows, mut outs) = (x.chunks_exact(STEP * T::LANES), out.chunks_exact_mut(STEP * T::LANES));
    for (row, out) in rows.by_ref().zip(outs.by_ref()) {
        store::<T, L>(exp_negative::<T, T::On<L>, STEP, EXACT>(load::<T, L>(row)), out);
    }
    let (rest, out) = (rows.remainder(), outs.into_remainder());
    let mut padded = [T::default(); STEP * LANES_F32];
    padded[..rest.len()].copy_from_slice(rest);
    store::<T, L>(exp_negative::<T, T::On<L>, STEP, EXACT>(load::<T, L>(&padded)), &mut padded);
    out.copy_from_slice(&padded[..rest.len()]);
}

/// Replaces squared distances by covariances.
#[inline(always)]
pub(super) fn replace<T: Exponential, L: Lanes, const EXACT: bool>(covariance: LaneCovariance<T>, values: &mut [T]) {
    let mut rows = values.chunks_exact_mut(STEP * T::LANES);
    for row in rows.by_ref() {
        store::<T, L>(covariance.at::<T::On<L>, STEP, EXACT>(load::<T, L>(row)), row);
    }
    let rest = rows.into_remainder();
    let mut padded = [T::default(); STEP * LANES_F32];
    padded[..rest.len()].copy_from_slice(rest);
    store::<T, L>(covariance.at::<T::On<L>, STEP, EXACT>(load::<T, L>(&padded)), &mut padded);
    rest.copy_from_slice(&padded[..rest.len()]);
}

#[inline(always)]
fn load<T: Exponential, L: Lanes>(from: &[T]) -> [T::On<L>; STEP] {
    let mut vectors = [<T::On<L>>::splat(T::default()); STEP];
    for i in 0..STEP {
        vectors[i] = <T::On<L>>::load(&from[i * T::LANES..]);
    }
    vectors
}

#[inline(always)]
fn store<T: Exponential, L: Lanes>(vectors: [T::On<L>; STEP], to: &mut [T]) {
    for i in 0..STEP {
        vectors[i].store(&mut to[i * T::LANES..]);
    }
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

/// Most lengthscales, each as often as there are rows that are taken together.
const REPEATED: usize = 512;

/// Rows over lengthscales.
#[inline(always)]
pub(super) fn scale_rows<T: Real, U: Real, L: Lanes>(rows: &[T], lengthscales: &[f64], out: &mut [U]) {
    // As many rows as a vector has lanes are whole vectors: they are taken together, as one row. Of long rows it does not
    // matter that the last vector is not full.
    let together = lengthscales.len() * T::LANES;
    let whole = if together <= REPEATED { rows.len() - rows.len() % together } else { 0 };
    let ((front, rows), (front_out, out)) = (rows.split_at(whole), out.split_at_mut(whole));
    if whole > 0 {
        let mut repeated = [1.0; REPEATED];
        let repeated = &mut repeated[..together];
        for row in repeated.chunks_exact_mut(lengthscales.len()) {
            row.copy_from_slice(lengthscales);
        }
        long_rows::<T, U, L>(front, repeated, front_out);
    }
    if lengthscales.len() >= T::LANES {
        long_rows::<T, U, L>(rows, lengthscales, out);
        return;
    }
    for ((x, length), out) in rows.iter().zip(lengthscales.iter().cycle()).zip(out) {
        *out = U::from_f64(x.to_f64() / length);
    }
}

/// Rows of a vector at least, over their divisors. The last vector of a row ends with it, and may repeat some of the one before.
#[inline(always)]
fn long_rows<T: Real, U: Real, L: Lanes>(rows: &[T], divisors: &[f64], out: &mut [U]) {
    let last = divisors.len() - T::LANES;
    for (row, out) in rows.chunks_exact(divisors.len()).zip(out.chunks_exact_mut(divisors.len())) {
        for start in (0..last).step_by(T::LANES) {
            quotients::<T, U, L>(&row[start..], &divisors[start..], &mut out[start..]);
        }
        quotients::<T, U, L>(&row[last..], &divisors[last..], &mut out[last..]);
    }
}

/// One vector of quotients.
#[inline(always)]
fn quotients<T: Real, U: Real, L: Lanes>(x: &[T], divisors: &[f64], out: &mut [U]) {
    let (low, high) = T::widen::<L>(x);
    let mut quotients = [0.0; LANES_F32];
    low.div(L::F64::load(divisors)).store(&mut quotients);
    if !T::IS_F64 {
        high.div(L::F64::load(&divisors[LANES_F64..])).store(&mut quotients[LANES_F64..]);
    }
    for (out, quotient) in out[..T::LANES].iter_mut().zip(quotients) {
        *out = U::from_f64(quotient);
    }
}
