//! Principal axes and projected rows, in both precisions: no projection lengthens a distance.

use covertree::*;
use covertree_kernels::simd::Real;

use super::hostile::Hostile;

type PrincipalAxes<T> = unsafe extern "C" fn(
    u32,
    *const T,
    usize,
    usize,
    *mut f64,
    *mut f64,
    usize,
    *mut usize,
    *mut covertree_block,
    usize,
    *mut covertree_error,
) -> covertree_status;
type ProjectRows<T> = unsafe extern "C" fn(
    u32,
    *const f64,
    *const f64,
    usize,
    usize,
    *const T,
    usize,
    usize,
    *mut T,
    usize,
    *mut f64,
    *mut covertree_error,
) -> covertree_status;

/// The functions for rows of one precision.
pub(super) trait Projected: Real {
    const PRINCIPAL_AXES: PrincipalAxes<Self>;
    const PROJECT_ROWS: ProjectRows<Self>;
    const STRETCH: extern "C" fn(usize) -> f64;
    const EXCESS: extern "C" fn(usize, f64) -> f64;
}

impl Projected for f32 {
    const PRINCIPAL_AXES: PrincipalAxes<f32> = covertree_principal_axes_f32;
    const PROJECT_ROWS: ProjectRows<f32> = covertree_project_rows_f32;
    const STRETCH: extern "C" fn(usize) -> f64 = covertree_projection_stretch_f32;
    const EXCESS: extern "C" fn(usize, f64) -> f64 = covertree_projection_excess_f32;
}

impl Projected for f64 {
    const PRINCIPAL_AXES: PrincipalAxes<f64> = covertree_principal_axes_f64;
    const PROJECT_ROWS: ProjectRows<f64> = covertree_project_rows_f64;
    const STRETCH: extern "C" fn(usize) -> f64 = covertree_projection_stretch_f64;
    const EXCESS: extern "C" fn(usize, f64) -> f64 = covertree_projection_excess_f64;
}

/// Axes of a few rows, then the rows by these axes.
pub(super) fn projection<T: Projected>(call: &mut Hostile<'_>) {
    let (points, dim) = (call.below(12), 1 + call.below(20));
    let special = [0.0, 1.0, 1e30, 1e-30, f64::INFINITY, f64::NAN][call.below(6)];
    let mut rows: Vec<T> = (0..points * dim).map(|i| T::from_f64((i * i % 29) as f64 + i as f64 / 7.0)).collect();
    if let Some(first) = rows.first_mut() {
        *first = T::from_f64(special);
    }
    call.honest &= points > 0;
    let tier = call.tier();
    let (rows_len, dim_len) = (call.len(rows.len()), call.number(dim).min(64));
    let (axes_len, scratch_len) = (call.len(dim * COVERTREE_AXES), call.len(covertree_principal_axes_blocks(dim)));
    let (given, scratch) = (call.input(&rows, rows_len), call.scratch(scratch_len));
    let (center, axes, count) = (call.output::<f64>(dim_len), call.output::<f64>(axes_len), call.output::<usize>(1));
    let (dim_given, error) = (call.claim(dim_len), &raw mut call.error);
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe {
        (T::PRINCIPAL_AXES)(
            tier,
            given,
            rows_len,
            dim_given,
            center,
            axes,
            axes_len,
            count,
            scratch,
            scratch_len,
            error,
        )
    };
    if call.settle(status) {
        let (center, axes) = (call.written(center, dim), call.written(axes, axes_len));
        let count = call.written(count, 1)[0];
        assert!((1..=COVERTREE_AXES).contains(&count));
        if special.is_finite() {
            let beyond = |row: &[f64]| row[count..].iter().all(|&value| value == 0.0);
            assert!(axes.chunks_exact(COVERTREE_AXES).all(beyond), "{count}: {axes:?}");
            project(&mut Hostile::new(call.data), &rows, center, axes, count);
        }
    }
}

fn project<T: Projected>(call: &mut Hostile<'_>, rows: &[T], center: &[f64], axes: &[f64], count: usize) {
    let (dim, mut axes) = (center.len(), axes.to_vec());
    if call.u8() > 240 {
        // An axis that is longer than 1, or no number.
        axes[COVERTREE_AXES * call.below(dim)] = [2.0, f64::NAN][call.below(2)];
        call.honest = false;
    }
    let (points, width, tier) = (rows.len() / dim, count + dim, call.tier());
    let (axes_len, rows_len, out_len) = (call.len(axes.len()), call.len(rows.len()), call.len(points * width));
    let (count_given, dim_len) = (call.number(count), call.number(dim).min(64));
    let (center, axes) = (call.input(center, dim_len), call.input(&axes, axes_len));
    let (given, out, spread) = (call.input(rows, rows_len), call.output::<T>(out_len), call.output::<f64>(1));
    let (dim_given, error) = (call.claim(dim_len), &raw mut call.error);
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe {
        (T::PROJECT_ROWS)(
            tier,
            center,
            axes,
            axes_len,
            count_given,
            given,
            rows_len,
            dim_given,
            out,
            out_len,
            spread,
            error,
        )
    };
    if !call.settle(status) {
        return;
    }
    let (out, spread) = (call.written(out, out_len), call.written(spread, 1)[0]);
    let (stretch, excess) = ((T::STRETCH)(dim), (T::EXCESS)(dim, spread));
    let apart = |a: &[T], b: &[T]| {
        let differences = a.iter().zip(b).map(|(a, b)| a.to_f64() - b.to_f64());
        differences.fold(0.0, |sum, difference| sum + difference * difference).sqrt()
    };
    for (one, row) in out.chunks_exact(width).zip(rows.chunks_exact(dim)) {
        assert!(one[count..] == *row, "the row itself follows");
        for other in out.chunks_exact(width) {
            let (whole, part) = (apart(&one[count..], &other[count..]), apart(&one[..count], &other[..count]));
            assert!(part <= whole * stretch + excess, "{part} of {whole}, spread {spread}");
        }
    }
}
