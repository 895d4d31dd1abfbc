//! Coordinates over lengthscales, covariances of a point with packed points and of squares, and the exponential, against the
//! published formula.

use covertree_kernels::covariance::{
    Covariance, CovarianceKind, EXP_ERROR, Exponential, covariances, exponentials, one_to_run, scalar, scale_rows,
};
use covertree_kernels::dist::Rounding;
use covertree_kernels::error::KernelError;
use covertree_kernels::oracle::covariance as oracle;
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::view::{Panels, Rows, panels_len};

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let kind = CovarianceKind::ALL[bytes.below(4)];
    let variance = [1.0, 0.25, 7.5, 1e-9][bytes.below(4)];
    let covariance = Covariance::new(kind, variance).expect("the variance is in range");
    let (dim, len) = (1 + bytes.below(5), 1 + bytes.below(40));
    let rows: Vec<f64> = (0..len * dim).map(|_| bytes.coordinate()).collect();
    run::<f64>(covariance, &rows, dim, 0.0);
    let radius = rows.chunks(dim).map(|row| row.iter().map(|z| z * z).sum::<f64>().sqrt()).fold(0.0, f64::max);
    run::<f32>(covariance, &rows, dim, 1.01 * f32::ROUNDOFF * radius);
    squares::<f64>(covariance, &rows);
    squares::<f32>(covariance, &rows);
    // The rows again, in whatever width the bytes say; one lengthscale may be none.
    let dim = 1 + bytes.below(rows.len().min(40));
    let rows = &rows[..rows.len() / dim * dim];
    let mut lengthscales: Vec<f64> = (0..dim).map(|_| LENGTHS[bytes.below(LENGTHS.len())]).collect();
    if bytes.below(16) == 1 {
        lengthscales[dim / 2] = [0.0, -1.0, f64::NAN, f64::INFINITY][bytes.below(4)];
    }
    scaled::<f64, f64>(rows, &lengthscales);
    scaled::<f64, f32>(rows, &lengthscales);
    scaled::<f32, f64>(rows, &lengthscales);
    scaled::<f32, f32>(rows, &lengthscales);
}

const LENGTHS: [f64; 8] = [1.0, 0.3, 7.0, 1e-3, 1e6, 1e-200, 1e300, 5e-324];

/// Quotients: the bits of the twin on every tier, and the nearest of the exact ones, where these are ordinary numbers.
fn scaled<T: Real, U: Real>(rows: &[f64], lengthscales: &[f64]) {
    let dim = lengthscales.len();
    let rows: Vec<T> = rows.iter().map(|&x| T::from_f64(x)).collect();
    let bad = lengthscales.iter().position(|length| !(length.is_finite() && *length > 0.0));
    let mut twin = vec![U::from_f64(-7.0); rows.len()];
    for tier in Tier::all() {
        let mut out = vec![U::from_f64(-7.0); rows.len()];
        let answer = scale_rows(tier, Rows::new(&rows, dim).expect("whole rows"), lengthscales, &mut out);
        match bad {
            Some(at) => assert_eq!(answer, Err(KernelError::Value { what: "lengthscales", at })),
            None => {
                answer.expect("the shapes fit");
                scalar::scale_rows(&rows, lengthscales, &mut twin);
            }
        }
        let same = |(a, b): (&U, &U)| a.to_f64().to_bits() == b.to_f64().to_bits();
        assert!(out.iter().zip(&twin).all(same), "{tier} {lengthscales:?}: {out:?} for {twin:?}");
    }
    if bad.is_some() {
        return;
    }
    let wide: Vec<f64> = rows.iter().map(|x| x.to_f64()).collect();
    for (got, exact) in twin.iter().zip(oracle::scaled(&wide, lengthscales)) {
        let (z, roundoff) = (exact.high, f64::ROUNDOFF + if U::IS_F64 { 0.0 } else { U::ROUNDOFF });
        // Below, the lower half of the oracle's number is no ordinary one.
        if (U::TINY.max(1e-280)..=U::HUGE / 2.0).contains(&z.abs()) {
            assert!((got.to_f64() - z).abs() <= 1.000_001 * roundoff * z.abs(), "{got:?} for {z}");
        }
    }
}

/// The squares of some numbers: of `f32` they may be subnormal or infinite.
fn squares<T: Exponential>(covariance: Covariance, roots: &[f64]) {
    let squares: Vec<T> = roots.iter().map(|z| T::from_f64(z * z)).collect();
    let margin = covariance.margin::<T>(0, 0.0);
    let mut same: Option<Vec<T>> = None;
    for tier in Tier::all() {
        for rounding in [Rounding::Fused, Rounding::Published] {
            let mut out = vec![T::from_f64(f64::NAN); squares.len()];
            covariances(tier, covariance, rounding, &squares, &mut out).expect("the lengths are equal");
            for (square, got) in squares.iter().zip(&out) {
                let (got, exact) = (got.to_f64(), covariance.exact(square.to_f64()));
                assert!((got - exact).abs() <= margin, "{tier} {covariance:?} {square:?}: {got} for {exact}");
            }
            if rounding == Rounding::Published {
                assert_eq!(&out, same.get_or_insert_with(|| out.clone()), "{tier}: unfused bits depend on the tier");
            }
        }
    }
}

fn run<T: Exponential>(covariance: Covariance, rows: &[f64], dim: usize, offset: f64) {
    let len = rows.len() / dim;
    let mut packed = vec![T::default(); panels_len::<T>(len, dim)];
    for position in 0..len.next_multiple_of(T::LANES) {
        for d in 0..dim {
            let place = (position / T::LANES * dim + d) * T::LANES + position % T::LANES;
            packed[place] = T::from_f64(rows[position.min(len - 1) * dim + d]);
        }
    }
    let points = Panels::new(&packed, dim, len).expect("the points are packed");
    let query: Vec<T> = rows[..dim].iter().map(|&z| T::from_f64(z)).collect();
    let margin = covariance.margin::<T>(dim, offset);
    let mut same: Option<Vec<T>> = None;
    for tier in Tier::all() {
        for rounding in [Rounding::Fused, Rounding::Published] {
            let mut out = vec![T::from_f64(f64::NAN); len.next_multiple_of(T::LANES)];
            one_to_run(tier, covariance, rounding, &query, points, &mut out).expect("the shapes fit");
            for (row, got) in rows.chunks(dim).zip(&out) {
                let square: f64 = row.iter().zip(rows).fold(0.0, |sum, (a, b)| sum + (b - a) * (b - a));
                let (got, exact) = (got.to_f64(), covariance.exact(square));
                assert!((got - exact).abs() <= margin, "{tier} {covariance:?}: {got} for {exact} within {margin}");
            }
            if rounding == Rounding::Published {
                assert_eq!(&out, same.get_or_insert_with(|| out.clone()), "{tier}: unfused bits depend on the tier");
            }
        }
        let arguments: Vec<T> = rows.iter().map(|z| T::from_f64(-z.abs())).collect();
        let mut out = vec![T::from_f64(f64::NAN); arguments.len()];
        exponentials(tier, Rounding::Fused, &arguments, &mut out).expect("the lengths are equal");
        for (x, got) in arguments.iter().zip(&out) {
            let (got, exact) = (got.to_f64(), libm_exp(x.to_f64()));
            let bound = if *x <= T::FLOOR { T::FLOOR.to_f64().exp() } else { (EXP_ERROR + 2.0) * T::ROUNDOFF * exact };
            assert!((got - exact).abs() <= bound, "{tier} exp({x:?}): {got} for {exact}");
        }
    }
}

/// The exponential of the published formula.
fn libm_exp(x: f64) -> f64 {
    covertree_kernels::covariance::covariance_exact(CovarianceKind::Rbf, -2.0 * x)
}
