//! Covariances of a point with packed points and of squares, and the exponential, against the published formula.

use covertree_kernels::covariance::{
    Covariance, CovarianceKind, EXP_ERROR, Exponential, covariances, exponentials, one_to_run,
};
use covertree_kernels::dist::Rounding;
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::view::{Panels, panels_len};

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
