//! What is settled, and listed pairs.

use std::vec;
use std::vec::Vec;

use super::{dot_of, square_of};
use crate::covariance::Exponential;
use crate::index::{Idx, at};
use crate::residual::{PointRow, ResidualRows, ResidualRun, gather_row, rho_of_rows};
use crate::simd::{LANES_F64, Real};
use crate::view::{Rows, pack_rows};

/// Twin of [`settle_run`](super::super::settle_run).
pub fn settle_run(query: PointRow<'_>, points: &ResidualRun<'_, f64>, p: &[f64], masks: &[u32], out: &mut [f64]) {
    let model = points.points.model;
    let (mut coordinates, mut v) = (vec![0.0; model.dim()], vec![0.0; model.columns()]);
    for (place, out) in out.iter_mut().enumerate().take(points.len()) {
        if masks[place / LANES_F64] >> (place % LANES_F64) & 1 == 1 {
            let position = points.first * LANES_F64 + place;
            gather_row(&points.points, position, &mut coordinates, &mut v).expect("the run holds the point");
            let other = PointRow { coordinates: &coordinates, v: &v, p: p[position] };
            *out = rho_of_rows(model.covariance(), query, other);
        }
    }
}

/// Twin of [`settle_positions`](super::super::settle_positions).
pub fn settle_positions(
    query: PointRow<'_>,
    points: &ResidualRows<'_, f64>,
    p: &[f64],
    positions: &[Idx],
    out: &mut [f64],
) {
    for (&position, out) in positions.iter().zip(out) {
        let position = at(position);
        let coordinates: Vec<f64> =
            (0..points.model.dim()).map(|d| points.coordinates.coordinate(position, d)).collect();
        let other = PointRow { coordinates: &coordinates, v: points.row(position), p: p[position] };
        *out = rho_of_rows(points.model.covariance(), query, other);
    }
}

/// Twin of [`listed_pairs`](super::super::listed_pairs).
pub fn listed_pairs<T: Exponential>(
    one: &ResidualRows<'_, T>,
    other: &ResidualRows<'_, T>,
    starts: &[Idx],
    places: &[Idx],
    out: &mut [T],
) {
    let (covariance, dim) = (one.model.covariance(), one.model.dim());
    for (row, range) in starts.windows(2).enumerate() {
        for pair in at(range[0])..at(range[1]) {
            let place = at(places[pair]);
            let coordinates =
                (0..dim).map(|d| (one.coordinates.coordinate(row, d), other.coordinates.coordinate(place, d)));
            let v = one.row(row).iter().copied().zip(other.row(place).iter().copied());
            let scale = one.scales[row].to_f64() * other.scales[place].to_f64();
            out[pair] = T::from_f64((covariance.exact(square_of(coordinates)) - dot_of(v)) * scale);
        }
    }
}

/// Twin of [`pack_listed`](super::super::pack_listed): [`pack_rows`], for which a row has an element at least.
pub fn pack_listed<T: Real>(rows: &[T], columns: usize, order: &[Idx], panels: &mut [T]) {
    if columns > 0 {
        let packed = Rows::new(rows, columns).and_then(|rows| pack_rows(rows, order, panels));
        assert_eq!(packed, Ok(()), "the twin of a call that is refused");
    }
}
