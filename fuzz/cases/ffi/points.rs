//! Packed points of both precisions, offsets of grids, directions and places on Earth: all compared with their formulas.

use std::ffi::CStr;

use covertree::*;
use covertree_kernels::dist::{Chebyshev, Dot, Form, Manhattan, SquaredEuclidean};
use covertree_kernels::hash::{GOLDEN, mix64, stream};
use covertree_kernels::oracle::sphere as oracle;
use covertree_kernels::tree::{HAVERSINE_WIDTH, haversine_row};

use super::hostile::Hostile;

/// The version has no arguments that could be wrong; it is three numbers.
pub(super) fn version() {
    // SAFETY: the text ends with a zero, and is never freed.
    let version = unsafe { CStr::from_ptr(covertree_version()) };
    assert_eq!(version.to_bytes().split(|byte| *byte == b'.').count(), 3);
}

/// Doubles are packed, then singles are measured.
pub(super) fn packed(call: &mut Hostile<'_>) {
    let (points, dim) = (call.below(40), 1 + call.below(6));
    let rows: Vec<f64> = (0..points * dim).map(|i| (i * i % 19) as f64 + i as f64 / 3.0).collect();
    let mut order: Vec<i32> = (0..points as i32).rev().collect();
    if points > 0 && call.u8() > 240 {
        order[points / 2] = [-1, points as i32, i32::MAX][call.below(3)];
        call.honest = false;
    }
    let (rows_len, order_len) = (call.len(rows.len()), call.len(points));
    let panels_len = call.len(covertree_panels_len_f64(points, dim));
    let (given, order_given) = (call.input(&rows, rows_len), call.input(&order, order_len));
    let (panels, dim_given) = (call.output::<f64>(panels_len), call.number(dim));
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe {
        covertree_pack_rows_f64(given, rows_len, dim_given, order_given, order_len, panels, panels_len, error)
    };
    if call.settle(status) {
        for (place, &got) in call.written(panels, panels_len).iter().enumerate() {
            let (panel, d, lane) = (place / (8 * dim), place / 8 % dim, place % 8);
            // Padding repeats the last point.
            let row = order[(8 * panel + lane).min(points - 1)] as usize;
            assert_eq!(got, rows[row * dim + d], "point {} dimension {d}", 8 * panel + lane);
        }
    }
    distances(&mut Hostile::new(call.data), points, dim);
}

/// Sums of singles, which are rounded operation by operation: the same bits on every tier.
fn distances(call: &mut Hostile<'_>, points: usize, dim: usize) {
    let (tier, form) = (call.tier(), call.choice(4));
    let (query_len, panels_len) = (call.number(dim).min(64), call.len(covertree_panels_len_f32(points, dim)));
    let out_len = call.len(covertree_panels_len_f32(points, 1));
    let query: Vec<f32> = (0..dim).map(|_| f32::from(call.u8()) / 3.0).collect();
    let panels: Vec<f32> = (0..panels_len).map(|i| (i * 7 % 61) as f32 / 7.0).collect();
    let (query_given, panels_given) = (call.input(&query, query_len), call.input(&panels, panels_len));
    let (out, points_given) = (call.output::<f32>(out_len), call.number(points));
    let error = &raw mut call.error;
    // SAFETY: every pointer that is not to be refused has its length.
    let status = unsafe {
        covertree_distances_f32(
            tier,
            form,
            query_given,
            query_len,
            panels_given,
            panels_len,
            points_given,
            out,
            out_len,
            error,
        )
    };
    if !call.settle(status) {
        return;
    }
    let step: fn(f32, f32, f32) -> f32 = match form {
        COVERTREE_FORM_SQUARED_EUCLIDEAN => SquaredEuclidean::step_scalar::<f32>,
        COVERTREE_FORM_MANHATTAN => Manhattan::step_scalar::<f32>,
        COVERTREE_FORM_CHEBYSHEV => Chebyshev::step_scalar::<f32>,
        _ => Dot::step_scalar::<f32>,
    };
    for (place, &got) in call.written(out, out_len).iter().enumerate() {
        let point = panels[place / 16 * 16 * dim + place % 16..].iter().step_by(16);
        let want = query.iter().zip(point).fold(0.0, |sum, (&q, &x)| step(sum, q, x));
        assert_eq!(got.to_bits(), want.to_bits(), "point {place}");
    }
}

pub(super) fn offsets(call: &mut Hostile<'_>) {
    let (dim, seed) = (call.below(40), u64::from(call.u8()).wrapping_mul(GOLDEN));
    let (level, shift) = (i32::from(call.u8()) - 128, u32::from(call.u8()));
    let width = [1.5, 0.1, 1e300, 0.0, -1.0, f64::NAN, f64::INFINITY][call.below(7)];
    call.honest &= width.is_finite() && width > 0.0;
    let claimed = call.claim(dim);
    let (out, error) = (call.output::<f64>(dim), &raw mut call.error);
    // SAFETY: the pointer has the length, or is to be refused.
    let status = unsafe { covertree_grid_offsets(seed, level, shift, width, out, claimed, error) };
    if call.settle(status) {
        // A fraction of 53 bits for each dimension, as the family of grids has it.
        let start = stream(stream(seed, shift), level as u32);
        for (d, &got) in (1u64..).zip(call.written(out, dim)) {
            let fraction = (mix64(start.wrapping_add(GOLDEN.wrapping_mul(d))) >> 11) as f64 / (1u64 << 53) as f64;
            assert_eq!(got.to_bits(), (fraction * width).to_bits(), "dimension {d}");
            assert!((0.0..=width).contains(&got));
        }
    }
}

/// Unit vectors, then places.
pub(super) fn directions(call: &mut Hostile<'_>) {
    let (dim, scale) = (call.below(10), [1.0, 0.1, 1e300, 1e-320, f64::NAN][call.below(5)]);
    let row: Vec<f64> = (0..dim).map(|_| (f64::from(call.u8() % 16) - 8.0) * scale).collect();
    call.honest &= row.iter().all(|value| value.is_finite()) && row.iter().any(|value| *value != 0.0);
    let claimed = call.claim(dim);
    let (given, out) = (call.input(&row, dim), call.output::<f64>(dim));
    let error = &raw mut call.error;
    // SAFETY: both pointers have the length, or are to be refused.
    let status = unsafe { covertree_unit_row_f64(given, out, claimed, error) };
    if call.settle(status) {
        assert_eq!(call.written(out, dim), unit(&row));
    }
    place(&mut Hostile::new(call.data));
}

/// The unit vector of a row: halved or doubled until the largest value is in 1..2, which rounds no value that is within
/// a small factor of it, then divided by the length.
fn unit(row: &[f64]) -> Vec<f64> {
    let largest = |row: &[f64]| row.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let mut row = row.to_vec();
    while largest(&row) >= 2.0 {
        row.iter_mut().for_each(|value| *value *= 0.5);
    }
    while largest(&row) < 1.0 {
        row.iter_mut().for_each(|value| *value *= 2.0);
    }
    let length = row.iter().fold(0.0, |sum, value| sum + value * value).sqrt();
    row.iter().map(|value| value / length).collect()
}

fn place(call: &mut Hostile<'_>) {
    let lon = [0.0, 90.0, -180.0, 540.5, -1e9, 1e300, f64::NAN, f64::INFINITY][call.below(8)];
    let lat = [0.0, 45.25, 90.0, -90.0, 90.5, f64::NAN][call.below(6)];
    call.honest &= lon.is_finite() && (-90.0..=90.0).contains(&lat);
    let dim = call.len(HAVERSINE_WIDTH);
    let (out, error) = (call.output::<f64>(dim), &raw mut call.error);
    // SAFETY: the pointer has the length, or is to be refused.
    let status = unsafe { covertree_haversine_row_f64(lon, lat, out, dim, error) };
    if call.settle(status) {
        let got = call.written(out, dim);
        let want = haversine_row(lon, lat).expect("a place on Earth");
        assert!(got.iter().zip(want).all(|(got, want)| got.to_bits() == want.to_bits()), "{lon} {lat}");
        // Half of the chord to another place is the sine of half of the arc, within what the metric allows.
        let (other_lon, other_lat) = (12.5, -33.0);
        let other = haversine_row(other_lon, other_lat).expect("a place on Earth");
        let chord = got[..3].iter().zip(&other).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
        let arc = oracle::haversine([lon, lat], [other_lon, other_lat]);
        assert!((chord / 2.0 - (arc / 2.0).sin()).abs() <= 1.0 / (1u64 << 48) as f64, "{lon} {lat}: {chord} {arc}");
    }
}
