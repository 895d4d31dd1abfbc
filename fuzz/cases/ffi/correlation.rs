//! Covariances, residual correlations and landmarks.

use covertree::*;
use covertree_kernels::covariance::{Covariance, CovarianceKind};
use covertree_kernels::dist::{Dot, SquaredEuclidean};
use covertree_kernels::oracle::dist::Truth;

use super::hostile::Hostile;

pub(super) fn covariance(call: &mut Hostile<'_>) {
    let (tier, kind, len) = (call.tier(), call.choice(4), call.below(60));
    let variance = [1.0, 2.0, 0.0, -1.0, f64::NAN, f64::INFINITY][call.below(6)];
    call.honest &= variance == 1.0 || variance == 2.0;
    let (squares, out) = (call.input(&[0.0, 1.0, 1e300, f64::INFINITY], len), call.output(len));
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe { covertree_covariances_f64(tier, kind, variance, squares, out, len, error) };
    call.settle(status);
}

/// Coordinates over lengthscales, one of which may be none.
pub(super) fn scaled(call: &mut Hostile<'_>) {
    let (points, dim, tier) = (call.below(30), 1 + call.below(12), call.tier());
    let rows: Vec<f64> = (0..points * dim).map(|i| (i * i % 31) as f64 - 12.25).collect();
    let mut lengthscales: Vec<f64> = (0..dim).map(|_| 0.1 + f64::from(call.u8()) / 3.0).collect();
    let last = [1.0, 1e-300, 5e-324, 1e300, 0.0, -1.0, f64::NAN, f64::INFINITY][call.below(8)];
    lengthscales[dim - 1] = last;
    call.honest &= last.is_finite() && last > 0.0;
    let (rows_len, dim_len) = (call.len(rows.len()), call.number(dim).min(64));
    let (given, lengthscales_given) = (call.input(&rows, rows_len), call.input(&lengthscales, dim_len));
    let (out, dim_given) = (call.output::<f64>(rows_len), call.claim(dim_len));
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe { covertree_scale_rows_f64(tier, given, rows_len, dim_given, lengthscales_given, out, error) };
    if call.settle(status) {
        let quotients = rows.iter().zip(lengthscales.iter().cycle()).map(|(x, length)| (x / length).to_bits());
        assert!(call.written(out, rows_len).iter().map(|z| z.to_bits()).eq(quotients), "{lengthscales:?}");
    }
}

pub(super) fn residual(call: &mut Hostile<'_>) {
    let (points, dim, columns) = (1 + call.below(30), 1 + call.below(3), call.below(4));
    let (tier, kind) = (call.tier(), call.choice(4));
    let model = covertree_residual_model { kind, variance: 1.0, dim, columns };
    let lanes = covertree_panels_len_f64(points, 1);
    let (coordinates_len, v_len) = (call.len(lanes * dim), call.len(lanes * columns));
    let out_len = call.len(lanes);
    let (x, v_x) = (call.input(&[0.5; 3], dim), call.input(&[0.25; 4], columns));
    let (coordinates, v) = (call.input(&[0.75; 96], coordinates_len), call.input(&[0.25; 96], v_len));
    let (scales, margins) = (call.input(&[1.25; 64], out_len), call.input(&[1e-8; 64], out_len));
    let (out, masks) = (call.output(out_len), call.output(out_len / 8));
    let (points_given, error) = (call.number(points), &raw mut call.error);
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe {
        covertree_residual_to_run_f64(
            tier,
            model,
            x,
            v_x,
            1.25,
            1e-8,
            coordinates,
            coordinates_len,
            v,
            v_len,
            points_given,
            scales,
            margins,
            0.5,
            out,
            out_len,
            masks,
            error,
        )
    };
    call.settle(status);

    let mut call = Hostile::new(call.data);
    let (v_len, scales_len, kind) = (call.len(lanes * columns), call.len(lanes), call.choice(4));
    let p = [[0.9, 0.5, 1.0][call.below(3)]; 32];
    let (v, p) = (call.input(&[0.25; 96], v_len), call.input(&p, points));
    let norms = call.output(points);
    let (scales, margins, error) = (call.output(scales_len), call.output(scales_len), &raw mut call.error);
    let model = covertree_residual_model { kind, ..model };
    // SAFETY: as above.
    let status = unsafe {
        covertree_residual_prepare_f64(model, v, v_len, p, norms, points, scales, margins, scales_len, error)
    };
    call.settle(status);
}

pub(super) fn landmarks(call: &mut Hostile<'_>) {
    let (members, most) = (1 + call.below(20), call.below(10));
    // Any numbers at all, but the answers then mean nothing.
    let rho: Vec<f64> =
        (0..members * members).map(|_| [0.5, -0.25, 1.0, 0.0, f64::NAN, 1e300][usize::from(call.u8() / 50)]).collect();
    let lanes = covertree_panels_len_f64(members, 1);
    let (rho, errors) = (call.input(&rho, members * members), call.input(&[1e-9; 20], members));
    let memory = covertree_frame_memory {
        landmarks: call.output(most),
        factor: call.output(most * most),
        rows: call.output(members * most),
        extents: call.output(members * 3),
        coordinates: call.output(lanes * most),
        spans: call.output(lanes),
        tails: call.output(lanes),
        slacks: call.output(lanes),
    };
    let (count, most) = (call.output::<usize>(1), if call.u8() > 250 { usize::MAX } else { most });
    call.honest &= most < 10;
    let scratch_len = call.len(covertree_landmarks_blocks(members, most).min(100));
    let scratch = call.memory::<[u64; 8]>(scratch_len, false).cast::<covertree_block>();
    call.honest &= scratch.is_aligned();
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length; with more landmarks than anyone has, all are refused
    // before they are looked at.
    let status = unsafe {
        covertree_landmarks_f64(rho, errors, members, most, 1e-3, memory, count, scratch, scratch_len, error)
    };
    if !call.settle(status) {
        return;
    }
    // SAFETY: an honest call filled it.
    let count = unsafe { count.read() };
    let mut next = Hostile::new(call.data);
    let tier = next.tier();
    let least = next.input(&[0.5; 32], lanes);
    let (out, masks, error) = (next.output(lanes * lanes), next.output(lanes * lanes / 8), &raw mut next.error);
    let covertree_frame_memory { coordinates, spans, tails, slacks, .. } = memory;
    // SAFETY: as above; the packed members belong to the first call, whose memory is still there.
    let status = unsafe {
        covertree_landmark_bounds_f64(tier, count, members, coordinates, spans, tails, slacks, least, out, masks, error)
    };
    next.settle(status);
}

/// The published correlation of two rows, against the formula of its sums.
pub(super) fn rho(call: &mut Hostile<'_>) {
    let (dim, columns, kind) = (1 + call.below(5), call.below(5), call.choice(4));
    let variance = [1.0, 2.0, 0.0, f64::NAN][call.below(4)];
    call.honest &= variance == 1.0 || variance == 2.0;
    // Residual variances are not checked; where they have no root, the answer is no number.
    let (p_x, p_y) = ([0.9, 0.5, 0.0, -1.0][call.below(4)], [1.0, 0.25, 1e-9][call.below(3)]);
    let mut row =
        |len: usize, unit: f64| -> Vec<f64> { (0..len).map(|_| (f64::from(call.u8()) - 64.0) * unit).collect() };
    let (x, y, v_x, v_y) = (row(dim, 0.01), row(dim, 0.01), row(columns, 0.004), row(columns, 0.004));
    let model = covertree_residual_model { kind, variance, dim, columns: call.claim(columns) };
    let (x_given, v_x_given) = (call.input(&x, dim), call.input(&v_x, columns));
    let (y_given, v_y_given) = (call.input(&y, dim), call.input(&v_y, columns));
    let (out, error) = (call.output::<f64>(1), &raw mut call.error);
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe { covertree_residual_rho(model, x_given, v_x_given, p_x, y_given, v_y_given, p_y, out, error) };
    if call.settle(status) {
        let kind = CovarianceKind::ALL[kind as usize];
        let covariance = Covariance::new(kind, variance).expect("the variance is in range");
        let own = covariance.exact(SquaredEuclidean::published(&x, &y)) - Dot::published(&v_x, &v_y);
        let (got, want) = (call.written(out, 1)[0], (own / (p_x * p_y).sqrt()).clamp(-1.0, 1.0));
        assert!(got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()), "{got} for {want}");
    }
}
