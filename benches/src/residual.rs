//! Points of a residual metric, for the benchmarks of that family.

use covertree_kernels::covariance::{Covariance, CovarianceKind, Exponential};
use covertree_kernels::index::Idx;
use covertree_kernels::residual::{
    Members, PointRow, ResidualModel, ResidualPoints, ResidualQuery, RhoTile, gather_row, narrow, one_to_run,
    row_norms, scales_and_margins, unpack_rows,
};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::view::{Panels, panels_len};

use crate::normal;

/// Columns of `V`.
pub const COLUMNS: usize = 512;
/// Scaled coordinates of a point.
pub const DIM: usize = 3;
/// Points of a leaf; 16 leaves of them are the points of a run.
pub const LEAF: usize = 64;
/// Points of a run.
pub const LEN: usize = 1024;
/// What [`ResidualModel::margin`] asks for in either precision, generously.
pub const OFFSET: f64 = 8.0 * f32::ROUNDOFF;

/// Points with rows of `V` of norm near 0.8, packed for `T`.
#[derive(Debug)]
pub struct Fixture<T> {
    /// The model.
    pub model: ResidualModel,
    /// Packed coordinates.
    pub coordinates: Vec<T>,
    /// `V`, packed in `f64`.
    pub wide_v: Vec<f64>,
    /// `V`, packed for `T`.
    pub v: Vec<T>,
    /// Norms of the rows of `V`.
    pub norms: Vec<f64>,
    /// Residual variances.
    pub p: Vec<f64>,
    /// Scales of the points.
    pub scales: Vec<T>,
    /// Margins of the points.
    pub margins: Vec<T>,
}

impl<T: Exponential> Fixture<T> {
    /// The points.
    #[allow(clippy::new_without_default, reason = "nothing about these points is a default")]
    pub fn new() -> Self {
        let covariance = Covariance::new(CovarianceKind::Matern52, 1.0).expect("the variance is in range");
        let model = ResidualModel::new(covariance, DIM, COLUMNS).expect("the shape is legal");
        let coordinates: Vec<T> = normal(LEN * DIM, 1).iter().map(|&z| T::from_f64(z)).collect();
        let wide_v: Vec<f64> = normal(LEN * COLUMNS, 2).iter().map(|z| 0.8 * z / (COLUMNS as f64).sqrt()).collect();
        let v = if T::LANES == 16 {
            let mut out = vec![0.0; LEN * COLUMNS];
            narrow(&model, LEN, &wide_v, &mut out).expect("the shapes fit");
            out.iter().map(|&v| T::from_f64(f64::from(v))).collect()
        } else {
            wide_v.iter().map(|&v| T::from_f64(v)).collect()
        };
        let mut norms = vec![0.0; LEN];
        row_norms(&model, &wide_v, &mut norms).expect("the shapes fit");
        let p: Vec<f64> = norms.iter().map(|norm| 1.0 - norm * norm).map(|p| p.max(1e-3)).collect();
        let mut scales = vec![T::default(); panels_len::<T>(LEN, 1)];
        let mut margins = scales.clone();
        scales_and_margins(&model, OFFSET, &norms, &p, &mut scales, &mut margins).expect("p is in range");
        Self { model, coordinates, wide_v, v, norms, p, scales, margins }
    }

    /// The points, packed.
    pub fn points(&self) -> ResidualPoints<'_, T> {
        let coordinates = Panels::new(&self.coordinates, DIM, LEN).expect("whole panels");
        ResidualPoints::new(self.model, coordinates, &self.v, &self.scales, &self.margins).expect("the shapes fit")
    }

    /// One point.
    pub fn row(&self, position: usize) -> Row<T> {
        let (mut coordinates, mut v) = (vec![T::default(); DIM], vec![T::default(); COLUMNS]);
        gather_row(&self.points(), position, &mut coordinates, &mut v).expect("the point is there");
        Row { coordinates, v, scale: self.scales[position], margin: self.margins[position] }
    }

    /// Rows of coordinates and rows of `V` of all points.
    pub fn rows(&self) -> [Vec<T>; 2] {
        [(&self.coordinates, DIM), (&self.v, COLUMNS)].map(|(panels, width)| {
            let mut rows = vec![T::default(); LEN * width];
            unpack_rows(panels, width, &mut rows).expect("the shapes fit");
            rows
        })
    }
}

/// One point in rows.
#[derive(Debug)]
pub struct Row<T> {
    /// Scaled coordinates.
    pub coordinates: Vec<T>,
    /// Row of `V`.
    pub v: Vec<T>,
    /// Its scale.
    pub scale: T,
    /// Its margin.
    pub margin: T,
}

impl<T: Real> Row<T> {
    /// The point as tiles ask for it.
    pub fn query(&self) -> ResidualQuery<'_, T> {
        ResidualQuery { coordinates: &self.coordinates, v: &self.v, scale: self.scale, margin: self.margin }
    }
}

/// One of the points of `rows`, as the published formula takes it.
pub fn point<'a>(rows: &'a [Vec<f64>; 2], position: usize, p: &[f64]) -> PointRow<'a> {
    let [coordinates, v] = rows;
    PointRow {
        coordinates: &coordinates[position * DIM..(position + 1) * DIM],
        v: &v[position * COLUMNS..(position + 1) * COLUMNS],
        p: p[position],
    }
}

/// Correlations of the points of one leaf with those of another.
pub fn rho_of_leaves(fixture: &Fixture<f64>) -> Vec<f64> {
    let points = fixture.points();
    let run = points.run(LEAF / 8, LEAF / 8).expect("a leaf");
    let mut rho = vec![0.0; LEAF * LEAF];
    for (row, out) in rho.chunks_exact_mut(LEAF).enumerate() {
        let (row, masks) = (fixture.row(row), &mut [0; LEAF / 8]);
        one_to_run(Tier::detect(), &row.query(), &run, 0.0, out, masks, &mut Default::default())
            .expect("the shapes fit");
    }
    rho
}

/// Correlations of two leaves as a tile whose members all have the same rank.
pub fn tile<'a>(rho: &'a [f64], places: &'a [Idx], margins: &'a [f64]) -> RhoTile<'a> {
    let members = Members { first: 0, len: LEAF, ranks: &[0.0; LEAF], margins };
    RhoTile { rho, places, rows: members, columns: members }
}
