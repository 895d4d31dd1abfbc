//! Every tier against the published formula, the twin and the oracle.

mod early;
mod exact;
mod floor;
mod gate;
mod listed;
mod shortlist;
mod tiles;
mod triangle;

pub(crate) use floor::floored;

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::covariance::{Covariance, CovarianceKind};
use crate::oracle::residual::{Residual, pack};
use crate::trials;
use crate::view::{Panels, panels_len};

/// A metric packed for the tiles of `T`, and its margins.
pub(crate) struct Packed<T> {
    pub(crate) model: ResidualModel,
    pub(crate) coordinates: Vec<T>,
    pub(crate) v: Vec<T>,
    pub(crate) scales: Vec<T>,
    pub(crate) margins: Vec<T>,
    pub(crate) len: usize,
}

impl<T: Exponential> Packed<T> {
    pub(crate) fn new(metric: &Residual) -> Self {
        let model = ResidualModel::new(metric.covariance, metric.dim, metric.columns).unwrap();
        let (len, narrow_lanes) = (metric.len(), T::LANES == 16);
        let radius = metric.coordinates.chunks(metric.dim).map(norm).fold(0.0, f64::max);
        let offset = if narrow_lanes { 1.01 * T::ROUNDOFF * radius } else { 0.0 };
        let wide_v = pack(&metric.v, metric.columns, len, 8);
        let v = if narrow_lanes {
            let mut narrow_v = vec![9.0; panels_len::<f32>(len, metric.columns)];
            narrow(&model, len, &wide_v, &mut narrow_v).unwrap();
            narrow_v.iter().map(|&v| T::from_f64(f64::from(v))).collect()
        } else {
            wide_v.iter().map(|&v| T::from_f64(v)).collect()
        };
        let coordinates =
            pack(&metric.coordinates, metric.dim, len, T::LANES).iter().map(|&z| T::from_f64(z)).collect();
        let mut norms = vec![-3.0; len];
        row_norms(&model, &wide_v, &mut norms).unwrap();
        let lanes = panels_len::<T>(len, 1);
        let (mut scales, mut margins) = (vec![T::from_f64(7.0); lanes], vec![T::from_f64(7.0); lanes]);
        scales_and_margins(&model, offset, &norms, &metric.p, &mut scales, &mut margins).unwrap();
        Self { model, coordinates, v, scales, margins, len }
    }

    pub(crate) fn points(&self) -> ResidualPoints<'_, T> {
        let coordinates = Panels::new(&self.coordinates, self.model.dim(), self.len).unwrap();
        ResidualPoints::new(self.model, coordinates, &self.v, &self.scales, &self.margins).unwrap()
    }

    pub(crate) fn all(&self) -> ResidualRun<'_, T> {
        let points = self.points();
        points.run(0, points.panels()).unwrap()
    }

    /// `V` row by row.
    pub(crate) fn rows(&self) -> Vec<T> {
        let mut rows = vec![T::from_f64(-7.0); self.len * self.model.columns()];
        unpack_rows(&self.v, self.model.columns(), &mut rows).unwrap();
        rows
    }

    /// The points by their rows.
    pub(crate) fn by_rows<'a>(&'a self, rows: &'a [T]) -> ResidualRows<'a, T> {
        let coordinates = Panels::new(&self.coordinates, self.model.dim(), self.len).unwrap();
        ResidualRows::new(self.model, coordinates, rows, &self.scales).unwrap()
    }

    /// The rows of one point: coordinates, then `V`.
    pub(crate) fn gather(&self, position: usize) -> (Vec<T>, Vec<T>) {
        let (mut z, mut v) = (vec![T::default(); self.model.dim()], vec![T::default(); self.model.columns()]);
        gather_row(&self.points(), position, &mut z, &mut v).unwrap();
        (z, v)
    }
}

fn norm(row: &[f64]) -> f64 {
    row.iter().map(|z| z * z).sum::<f64>().sqrt()
}

/// The published correlation of two points.
pub(crate) fn published(metric: &Residual, i: usize, j: usize) -> f64 {
    let row = |i: usize| PointRow { coordinates: metric.point(i), v: metric.row(i), p: metric.p[i] };
    rho_of_rows(metric.covariance, row(i), row(j))
}

/// Metrics with everything that makes residuals hard: points on top of inducing points, near and true duplicates,
/// variances of any size, no columns at all, a nugget, and (with the least jitter) `p` at its floor.
pub(crate) fn metrics() -> impl Strategy<Value = Residual> {
    let shape = (0..4usize, 1..4usize, 1..trials::up_to(70usize), 0..trials::up_to(40usize));
    let scale = prop_oneof![Just(0.05), Just(0.5), Just(2.0)];
    let variance = prop_oneof![Just(1.0), Just(1e-20), Just(300.0)];
    let jitter = prop_oneof![Just(1e-6), Just(1e-9), Just(1e-3)];
    let nugget = prop_oneof![Just(0.0), Just(0.1)];
    (shape, scale, variance, jitter, nugget, proptest::collection::vec(-1.0..1.0f64, 210)).prop_map(
        |(shape, scale, variance, jitter, nugget, noise)| hard_metric(shape, scale, variance, jitter, nugget, &noise),
    )
}

pub(crate) fn hard_metric(
    (kind, dim, len, columns): (usize, usize, usize, usize),
    scale: f64,
    variance: f64,
    jitter: f64,
    nugget: f64,
    noise: &[f64],
) -> Residual {
    let mut coordinates: Vec<f64> = noise[..len * dim].iter().map(|z| z * scale).collect();
    for i in (3..len).step_by(7) {
        coordinates.copy_within((i - 1) * dim..i * dim, i * dim); // a duplicate
        if i % 2 == 0 {
            coordinates[i * dim] += 1e-7; // nearly one
        }
    }
    let covariance = Covariance::new(CovarianceKind::ALL[kind], variance).unwrap();
    let inducing: Vec<usize> = (0..columns.min(len)).collect();
    Residual::new(covariance, &coordinates, dim, &inducing, jitter, nugget * variance)
}
