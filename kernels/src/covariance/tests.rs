//! Every tier against the published formula, the twin and the oracle.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::error::KernelError;
use crate::oracle;
use crate::oracle::double::Double;
use crate::trials;

const BOTH: [Rounding; 2] = [Rounding::Published, Rounding::Fused];

/// The largest relative error of the lane exponential over `x`, in roundoffs of `T`, where it is not zero; and the
/// values that are zero must lie at or below the floor. The twin and, of some, the oracle must be as near.
fn worst_error<T: Exponential>(tier: Tier, rounding: Rounding, x: &[T]) -> f64 {
    let (mut out, mut twin) = (vec![T::from_f64(-7.0); x.len()], vec![T::from_f64(-8.0); x.len()]);
    exponentials(tier, rounding, x, &mut out).unwrap();
    scalar::exponentials(x, &mut twin);
    let mut worst = 0.0;
    for (place, ((&x, &got), twin)) in x.iter().zip(&out).zip(&twin).enumerate() {
        let (x, got) = (x.to_f64(), got.to_f64());
        if x <= T::FLOOR.to_f64() {
            assert_eq!(got, 0.0, "{tier} exp({x})");
            continue;
        }
        let want = libm::exp(x);
        worst = f64::max(worst, (got / want - 1.0).abs() / T::ROUNDOFF);
        let bound = (EXP_ERROR + 3.0) * T::ROUNDOFF * want;
        assert!((got - twin.to_f64()).abs() <= bound, "{tier} exp({x}): {got} for {twin:?}");
        if place % 64 == 0 && x > -600.0 {
            let exact = Double::from(x).exp().high;
            assert!((got - exact).abs() <= bound, "{tier} exp({x}): {got} for {exact}");
        }
    }
    worst
}

fn sweep_f64() -> Vec<f64> {
    let mut x: Vec<f64> = (0..400_000).map(|i| f64::from(i) * -0.001_862_9).collect();
    x.extend((0..20_000).map(|i| -(1.01f64).powi(-i))); // down through the subnormal numbers to zero
    for n in 0..2050 {
        // Where the nearest integer changes, the reduced argument is largest.
        let edge = f64::from(n) * -0.5 * core::f64::consts::LN_2;
        x.extend([edge, edge.next_up().min(0.0), edge.next_down(), edge * (1.0 + 1e-13)]);
    }
    x
}

#[test]
fn the_exponential_of_f64_stays_within_its_bound_on_every_tier() {
    let x: Vec<f64> = trials::thin(20_011, sweep_f64()).collect();
    for (tier, rounding) in Tier::all().flat_map(|tier| BOTH.map(|rounding| (tier, rounding))) {
        let worst = worst_error::<f64>(tier, rounding, &x);
        assert!(worst <= EXP_ERROR + 2.0, "{tier} {rounding:?}: {worst} roundoffs, two of them libm's");
    }
}

#[test]
fn the_exponential_of_f32_stays_within_its_bound_on_every_tier() {
    // Every 499th number between 0 and -90, and all numbers near the floor.
    let mut x: Vec<f32> = trials::thin(200_003, 0..(90f32).to_bits() / 499).map(|i| -f32::from_bits(i * 499)).collect();
    x.extend(trials::thin(501, 0..5_000).map(|i| -f32::from_bits(86.99f32.to_bits() + i)));
    for (tier, rounding) in Tier::all().flat_map(|tier| BOTH.map(|rounding| (tier, rounding))) {
        let worst = worst_error::<f32>(tier, rounding, &x);
        assert!(worst <= EXP_ERROR, "{tier} {rounding:?}: {worst} roundoffs");
    }
}

#[test]
fn special_arguments_have_exact_exponentials() {
    for (tier, rounding) in Tier::all().flat_map(|tier| BOTH.map(|rounding| (tier, rounding))) {
        let x = [0.0, -0.0, f64::NEG_INFINITY, -708.0, -1e300, f64::MIN, -5e-324, -1e-300, -745.2];
        let mut out = [9.0; 9];
        exponentials(tier, rounding, &x, &mut out).unwrap();
        assert_eq!(out, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
        let x = [0.0, -0.0, f32::NEG_INFINITY, -87.0, -1e30, f32::MIN, -1e-45, -1e-30];
        let mut out = [9.0; 8];
        exponentials(tier, rounding, &x, &mut out).unwrap();
        assert_eq!(out, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
        let mut nothing = [0.0f64; 0];
        exponentials(tier, rounding, &[], &mut nothing).unwrap();
    }
}

#[test]
fn the_published_formula_is_the_textbook_and_never_nan() {
    for kind in CovarianceKind::ALL {
        let covariance = Covariance::new(kind, 2.5).unwrap();
        for step in trials::thin(201, 0..2_000) {
            let r = f64::from(step) * 0.02;
            let (got, want) = (covariance.exact(r * r), oracle::covariance::between(covariance, &[r], &[0.0]));
            assert!((got - want).abs() <= 2e-14 * want, "{kind:?} {r}: {got} {want}");
        }
        assert_eq!(covariance_exact(kind, 0.0), 1.0);
        for far in [1e7, 1e300, f64::MAX, f64::INFINITY] {
            assert_eq!(covariance_exact(kind, far), 0.0, "{kind:?} {far}");
        }
    }
}

/// Packed points `[panels][dim][LANES]` from row-major ones; the padding repeats the last point.
fn pack<T: Exponential>(rows: &[f64], dim: usize) -> Vec<T> {
    let len = rows.len() / dim;
    let mut panels = vec![T::default(); panels_len::<T>(len, dim)];
    for position in 0..len.next_multiple_of(T::LANES) {
        let row = &rows[position.min(len - 1) * dim..][..dim];
        for (d, &value) in row.iter().enumerate() {
            panels[(position / T::LANES * dim + d) * T::LANES + position % T::LANES] = T::from_f64(value);
        }
    }
    panels
}

/// Lanes on every tier against the published formula, the twin and the oracle; both roundings.
fn check<T: Exponential>(covariance: Covariance, rows: &[f64], dim: usize) {
    let len = rows.len() / dim;
    let panels = pack::<T>(rows, dim);
    let radius = rows.chunks(dim).map(|row| row.iter().map(|z| z * z).sum::<f64>().sqrt()).fold(0.0, f64::max);
    let offset = if T::LANES == 16 { T::ROUNDOFF * radius * 1.01 } else { 0.0 };
    let margin = covariance.margin::<T>(dim, offset);
    let query: Vec<T> = rows[..dim].iter().map(|&z| T::from_f64(z)).collect();
    let mut twin = vec![T::default(); len.next_multiple_of(T::LANES)];
    scalar::one_to_run(covariance, &query, &panels, &mut twin);
    let mut portable = Vec::new();
    for (tier, rounding) in Tier::all().flat_map(|tier| BOTH.map(|rounding| (tier, rounding))) {
        let mut out = vec![T::from_f64(-9.0); twin.len()];
        one_to_run(tier, covariance, rounding, &query, Panels::new(&panels, dim, len).unwrap(), &mut out).unwrap();
        for (i, row) in rows.chunks(dim).enumerate() {
            let mut square = 0.0;
            for (a, b) in rows[..dim].iter().zip(row) {
                square += (a - b) * (a - b);
            }
            let (got, exact) = (out[i].to_f64(), covariance.exact(square));
            assert!((got - exact).abs() <= margin, "{tier} {covariance:?} point {i}: {got} for {exact}, {margin}");
            assert!((got - twin[i].to_f64()).abs() <= margin + T::ROUNDOFF * covariance.variance());
            let textbook = oracle::covariance::between(covariance, &rows[..dim], row);
            assert!((exact - textbook).abs() <= 64.0 * f64::ROUNDOFF * (dim + 8) as f64 * covariance.variance());
        }
        if rounding == Rounding::Published {
            if portable.is_empty() {
                portable.clone_from(&out);
            }
            assert_eq!(out, portable, "{tier}: unfused bits must not depend on the tier");
        }
    }
}

proptest! {
    #![proptest_config(trials::cases(64))]
    #[test]
    fn one_to_run_stays_within_its_margin(
        kind in 0..4usize,
        variance in prop_oneof![Just(1.0), 1e-3..1e3],
        dim in 1..6usize,
        scale in prop_oneof![Just(1e-8), Just(0.1), Just(1.0), Just(30.0), Just(1e4)],
        noise in proptest::collection::vec(-1.0..1.0f64, 6..120),
    ) {
        let covariance = Covariance::new(CovarianceKind::ALL[kind], variance).unwrap();
        let rows: Vec<f64> = noise[..noise.len() / dim * dim].iter().map(|x| x * scale).collect();
        check::<f64>(covariance, &rows, dim);
        check::<f32>(covariance, &rows, dim);
    }
}

/// Squares in one call and one by one, on every tier, against the published formula and the twin; both roundings.
fn check_squares<T: Exponential>(covariance: Covariance, squares: &[T]) {
    let len = squares.len();
    let margin = covariance.margin::<T>(0, 0.0);
    let mut twin = vec![T::default(); len];
    scalar::covariances(covariance, squares, &mut twin);
    let mut portable: Option<Vec<T>> = None;
    for (tier, rounding) in Tier::all().flat_map(|tier| BOTH.map(|rounding| (tier, rounding))) {
        let (mut whole, mut split) = (vec![T::from_f64(-1.0); len], vec![T::from_f64(-2.0); len]);
        covariances(tier, covariance, rounding, squares, &mut whole).unwrap();
        for (square, out) in squares.chunks(1).zip(split.chunks_mut(1)) {
            covariances(tier, covariance, rounding, square, out).unwrap();
        }
        assert_eq!(whole, split, "{tier} {rounding:?} {covariance:?} {len}");
        for (i, &got) in whole.iter().enumerate() {
            let (got, exact) = (got.to_f64(), covariance.exact(squares[i].to_f64()));
            assert!((got - exact).abs() <= margin, "{tier} {covariance:?} {:?}: {got} for {exact}", squares[i]);
            assert!((got - twin[i].to_f64()).abs() <= margin + T::ROUNDOFF * covariance.variance());
        }
        if rounding == Rounding::Published {
            let first = portable.get_or_insert_with(|| whole.clone());
            assert_eq!(&whole, first, "{tier}: unfused bits must not depend on the tier");
        }
    }
}

/// Squares of all lengths and sizes, and the ends of their range.
fn check_lengths<T: Exponential>(covariance: Covariance) {
    for len in trials::lengths([0, 1, 7, 8, 9, 15, 16, 17, 33, 40]) {
        for scale in trials::thin(3, [0.37, 1e-9, 25.0]) {
            let squares: Vec<T> = (0..len).map(|i| T::from_f64(i as f64 * scale)).collect();
            check_squares(covariance, &squares);
        }
    }
    let far = [0.0, 1e38, f64::INFINITY].map(T::from_f64);
    let want = [covariance.variance(), 0.0, 0.0].map(T::from_f64);
    for (tier, rounding) in Tier::all().flat_map(|tier| BOTH.map(|rounding| (tier, rounding))) {
        let mut out = [T::from_f64(9.0); 3];
        covariances(tier, covariance, rounding, &far, &mut out).unwrap();
        assert_eq!(out, want, "{tier} {rounding:?} {covariance:?}");
    }
}

#[test]
fn every_length_gives_what_each_square_gives_alone() {
    for kind in CovarianceKind::ALL {
        let covariance = Covariance::new(kind, 3.0).unwrap();
        check_lengths::<f32>(covariance);
        check_lengths::<f64>(covariance);
    }
}

/// Rows in one call and in two, on every tier, against the twin (bit for bit) and the oracle.
fn check_scaled<T: Real, U: Real>(rows: &[f64], lengthscales: &[f64]) {
    let dim = lengthscales.len();
    let rows: Vec<T> = rows.iter().map(|&x| T::from_f64(x)).collect();
    let exact = oracle::covariance::scaled(&rows.iter().map(|x| x.to_f64()).collect::<Vec<_>>(), lengthscales);
    let mut twin = vec![U::from_f64(-9.0); rows.len()];
    scalar::scale_rows(&rows, lengthscales, &mut twin);
    // The second term is half of the spacing of the subnormal numbers, and more than that.
    let bound = |z: f64| {
        (1.0 + 1e-6) * (f64::ROUNDOFF + if U::IS_F64 { 0.0 } else { U::ROUNDOFF }) * z.abs() + U::TINY * U::ROUNDOFF
    };
    for (got, exact) in twin.iter().zip(&exact) {
        let apart = (Double::from(got.to_f64()) - *exact).high.abs();
        assert!(apart <= bound(exact.high), "{got:?} for {exact:?}");
    }
    let middle = rows.len() / dim / 2 * dim;
    for tier in Tier::all() {
        let (mut whole, mut split) = (vec![U::from_f64(-1.0); rows.len()], vec![U::from_f64(-2.0); rows.len()]);
        scale_rows(tier, Rows::new(&rows, dim).unwrap(), lengthscales, &mut whole).unwrap();
        let (front, back) = split.split_at_mut(middle);
        scale_rows(tier, Rows::new(&rows[..middle], dim).unwrap(), lengthscales, front).unwrap();
        scale_rows(tier, Rows::new(&rows[middle..], dim).unwrap(), lengthscales, back).unwrap();
        for ((whole, split), twin) in whole.iter().zip(&split).zip(&twin) {
            let bits = [whole, split, twin].map(|value| value.to_f64().to_bits());
            assert!(bits[0] == bits[2] && bits[1] == bits[2], "{tier} {dim}: {whole:?} {split:?} {twin:?}");
        }
    }
}

/// All four pairs of elements.
fn check_scaled_elements(rows: &[f64], lengthscales: &[f64]) {
    check_scaled::<f64, f64>(rows, lengthscales);
    check_scaled::<f64, f32>(rows, lengthscales);
    check_scaled::<f32, f64>(rows, lengthscales);
    check_scaled::<f32, f32>(rows, lengthscales);
}

proptest! {
    #![proptest_config(trials::cases(96))]
    #[test]
    fn scaled_rows_match_oracle(
        dim in prop_oneof![1..9usize, 15..18usize, Just(40)],
        len in 0..40usize,
        lengths in proptest::collection::vec(prop_oneof![Just(1.0), 1e-4..1e-3, 0.1..10.0, 1e3..1e6], 40),
        noise in proptest::collection::vec(prop_oneof![4 => -1e3..1e3f64, 1 => Just(0.0), 1 => -1e-30..1e-30f64], 61),
    ) {
        let rows: Vec<f64> = noise.iter().cycle().take(trials::up_to(len) * dim).copied().collect();
        check_scaled_elements(&rows, &lengths[..dim]);
    }
}

#[test]
fn every_number_and_length_of_rows_is_divided() {
    for dim in trials::lengths([1, 2, 3, 7, 8, 9, 15, 16, 17, 32, 33, 64, 65]) {
        let lengthscales: Vec<f64> = (1..=dim).map(|d| 0.3 * d as f64).collect();
        for len in trials::lengths([0, 1, 7, 8, 9, 15, 16, 17, 33]) {
            let rows: Vec<f64> = (0..len * dim).map(|i| i as f64 - 40.25).collect();
            check_scaled_elements(&rows, &lengthscales);
        }
    }
}

#[test]
fn quotients_out_of_range_are_infinite_or_zero_and_zeros_keep_their_sign() {
    let rows = [1e300, -1e300, 0.0, -0.0, 5e-324, f64::MAX, 1.0, 3e-308];
    for length in [1e-300, 1.0, 3.0, 1e300, f64::MAX, 5e-324] {
        let (mut twin, mut narrow) = ([7.0; 8], [7.0f32; 8]);
        scalar::scale_rows(&rows, &[length], &mut twin);
        scalar::scale_rows(&rows, &[length], &mut narrow);
        for tier in Tier::all() {
            let (mut out, mut out_narrow) = ([-1.0; 8], [-1.0f32; 8]);
            scale_rows(tier, Rows::new(&rows, 1).unwrap(), &[length], &mut out).unwrap();
            scale_rows(tier, Rows::new(&rows, 1).unwrap(), &[length], &mut out_narrow).unwrap();
            assert_eq!(out.map(f64::to_bits), twin.map(f64::to_bits), "{tier} {length}");
            assert_eq!(out_narrow.map(f32::to_bits), narrow.map(f32::to_bits), "{tier} {length}");
        }
    }
    let mut out = [7.0; 8];
    scale_rows(Tier::detect(), Rows::new(&rows, 1).unwrap(), &[1e-300], &mut out).unwrap();
    assert_eq!(&out[..4], [f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0]);
    assert!(out[3].is_sign_negative());
}

#[test]
fn rows_and_lengthscales_that_do_not_fit_are_refused() {
    let (tier, rows, mut out) = (Tier::detect(), [1.0f32; 12], [7.0f64; 12]);
    let mut scale = |dim: usize, lengthscales: &[f64], len: usize| {
        scale_rows(tier, Rows::new(&rows, dim).unwrap(), lengthscales, &mut out[..len])
    };
    assert_eq!(scale(3, &[1.0; 2], 12), Err(KernelError::Shape { what: "lengthscales", want: 3, got: 2 }));
    assert_eq!(scale(3, &[1.0; 4], 12), Err(KernelError::Shape { what: "lengthscales", want: 3, got: 4 }));
    assert_eq!(scale(3, &[1.0; 3], 11), Err(KernelError::Shape { what: "out", want: 12, got: 11 }));
    for bad in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(scale(3, &[1.0, 2.0, bad], 12), Err(KernelError::Value { what: "lengthscales", at: 2 }));
        assert_eq!(scale(12, &[bad; 12], 12), Err(KernelError::Value { what: "lengthscales", at: 0 }));
    }
    assert_eq!(out, [7.0; 12]);
}

/// A lengthscale per dimension: the lanes see coordinates that were divided by them, each rounded once or twice; the
/// formula, in twice the precision, divides the differences.
fn check_lengthscales<T: Exponential>(covariance: Covariance, rows: &[f64], lengthscales: &[f64]) {
    let (dim, len) = (lengthscales.len(), rows.len() / lengthscales.len());
    let mut scaled = vec![f64::NAN; rows.len()];
    scale_rows(Tier::detect(), Rows::new(rows, dim).unwrap(), lengthscales, &mut scaled).unwrap();
    let radius = scaled.chunks(dim).map(|row| row.iter().map(|z| z * z).sum::<f64>().sqrt()).fold(0.0, f64::max);
    let narrowed = if T::IS_F64 { 0.0 } else { T::ROUNDOFF };
    let margin = covariance.margin::<T>(dim, 1.01 * (f64::ROUNDOFF + narrowed) * radius);
    let panels = pack::<T>(&scaled, dim);
    let points = Panels::new(&panels, dim, len).unwrap();
    let query: Vec<T> = scaled[..dim].iter().map(|&z| T::from_f64(z)).collect();
    for (tier, rounding) in Tier::all().flat_map(|tier| BOTH.map(|rounding| (tier, rounding))) {
        let mut out = vec![T::from_f64(-9.0); len.next_multiple_of(T::LANES)];
        one_to_run(tier, covariance, rounding, &query, points, &mut out).unwrap();
        for (row, got) in rows.chunks(dim).zip(&out) {
            let apart =
                (0..dim).map(|d| (Double::from(rows[d]) - Double::from(row[d])) / Double::from(lengthscales[d]));
            let exact = oracle::covariance::of_square_double(covariance, apart.map(|z| z * z).sum());
            let (got, exact) = (got.to_f64(), exact.high);
            assert!((got - exact).abs() <= margin, "{tier} {covariance:?} {row:?}: {got} for {exact}, {margin}");
        }
    }
}

proptest! {
    #![proptest_config(trials::cases(64))]
    #[test]
    fn each_dimension_may_have_a_lengthscale(
        kind in 0..4usize,
        variance in prop_oneof![Just(1.0), 1e-3..1e3],
        lengthscales in proptest::collection::vec(prop_oneof![Just(1.0), 1e-3..1e-2, 1e2..1e3], 1..6),
        spread in prop_oneof![Just(0.1), Just(1.0), Just(10.0)],
        noise in proptest::collection::vec(-1.0..1.0f64, 6..80),
    ) {
        let covariance = Covariance::new(CovarianceKind::ALL[kind], variance).unwrap();
        let noise = &noise[..noise.len() / lengthscales.len() * lengthscales.len()];
        let rows: Vec<f64> = noise.iter().zip(lengthscales.iter().cycle()).map(|(x, l)| x * l * spread).collect();
        check_lengthscales::<f64>(covariance, &rows, &lengthscales);
        check_lengthscales::<f32>(covariance, &rows, &lengthscales);
    }
}

#[test]
fn a_margin_is_never_more_than_the_variance_allows() {
    let covariance = Covariance::new(CovarianceKind::Rbf, 4.0).unwrap();
    assert!(covariance.margin::<f64>(3, 0.0) < 4e-14);
    assert!(covariance.margin::<f32>(1 << 20, 0.0) <= 4.1);
    assert!(covariance.margin::<f32>(3, 1e9) <= 4.1);
}

#[test]
fn wrong_arguments_are_refused_and_nothing_is_written() {
    for variance in [0.0, -1.0, 1e-101, 1e101, f64::NAN, f64::INFINITY] {
        let refused = Covariance::new(CovarianceKind::Rbf, variance);
        assert_eq!(refused, Err(KernelError::Value { what: "variance", at: 0 }));
    }
    let (tier, covariance) = (Tier::detect(), Covariance::new(CovarianceKind::Rbf, 1e60).unwrap());
    let mut out = [7.0f32; 16];
    let refused = covariances(tier, covariance, Rounding::Fused, &[1.0; 16], &mut out);
    assert_eq!(refused, Err(KernelError::Value { what: "variance", at: 0 }));
    let refused = covariances(tier, covariance.unit(), Rounding::Fused, &[1.0; 15], &mut out);
    assert_eq!(refused, Err(KernelError::Shape { what: "out", want: 15, got: 16 }));
    let refused = exponentials(tier, Rounding::Fused, &[-1.0f32; 3], &mut out);
    assert_eq!(refused, Err(KernelError::Shape { what: "out", want: 3, got: 16 }));
    let points = Panels::new(&[0.5f32; 32], 2, 9).unwrap();
    let refused = one_to_run(tier, covariance.unit(), Rounding::Fused, &[0.0; 3], points, &mut out);
    assert_eq!(refused, Err(KernelError::Shape { what: "query", want: 2, got: 3 }));
    let refused = one_to_run(tier, covariance.unit(), Rounding::Fused, &[0.0; 2], points, &mut out[..9]);
    assert_eq!(refused, Err(KernelError::Shape { what: "out", want: 16, got: 9 }));
    assert_eq!(out, [7.0; 16]);
}
