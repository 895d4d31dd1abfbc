//! Points under the metric, packed for the kernels.

use covertree_kernels::covariance::Covariance;
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::residual::{
    ResidualModel, ResidualPoints, center_offsets, centered_margin, residual_variances, row_norms, scales_and_margins,
};
use covertree_kernels::simd::{LANES_F32, LANES_F64, Tier};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use rayon::prelude::*;

use super::factor::Factor;
use super::layout::{LEAF, Layout, boxes};
use crate::error::Error;

/// Where `V` and `p` come from.
pub(crate) enum Source {
    /// From inducing points.
    Factor(Factor),
    /// From the caller, row-major and in the order of the rows; the first number is that of the columns.
    Given(usize, Vec<f64>, Vec<f64>),
    /// There is no `V`.
    Prior,
}

impl Source {
    pub fn columns(&self) -> usize {
        match self {
            Self::Factor(factor) => factor.columns(),
            Self::Given(columns, ..) => *columns,
            Self::Prior => 0,
        }
    }
}

/// Points under a residual metric, in the order of their layout.
pub(crate) struct PointSet {
    pub layout: Layout,
    pub model: ResidualModel,
    /// Packed scaled coordinates.
    pub coordinates: Vec<f64>,
    /// Packed rows of `V`.
    pub v: Vec<f64>,
    pub p: Vec<f64>,
    /// Panels of 8: `1 / sqrt(p)`, and the margins of the `f64` tiles.
    pub scales: Vec<f64>,
    pub margins: Vec<f64>,
    /// Panels of 16 offsets from the leaves' centers, and the centers, `[leaves][columns]`.
    pub offsets: Vec<f32>,
    pub centers: Vec<f64>,
    /// Panels of 8: the margins of the centered tiles.
    pub centered: Vec<f64>,
    /// Per leaf: the margin of three quarters of its points, and the largest one.
    pub typical: Vec<[f64; 2]>,
    /// Corners of the leaves, `[leaves][2][dim]`, scaled.
    pub boxes: Vec<f64>,
}

impl PointSet {
    /// Fits points to a metric. `diagonal` is the prior variance of a point, its nugget included; memory of an earlier fit
    /// of as many points is reused.
    pub fn fit(
        tier: Tier,
        layout: Layout,
        covariance: Covariance,
        diagonal: f64,
        (scaled, dim): (&[f64], usize),
        source: &Source,
        earlier: Option<Self>,
    ) -> Result<Self, Error> {
        let (len, columns) = (layout.len(), source.columns());
        let model = ResidualModel::new(covariance, dim, columns)?;
        let lanes = panels_len::<f64>(len, 1);
        let mut set = earlier.unwrap_or_else(|| Self::empty(layout, model));
        set.model = model;
        set.boxes = boxes(&set.layout, scaled, dim);
        resize(&mut set.coordinates, panels_len::<f64>(len, dim));
        resize(&mut set.v, panels_len::<f64>(len, columns));
        resize(&mut set.p, len);
        for lane_wise in [&mut set.scales, &mut set.margins, &mut set.centered] {
            lane_wise.resize(lanes, 0.0);
        }
        resize(&mut set.offsets, panels_len::<f32>(len, columns));
        resize(&mut set.centers, set.layout.leaves() * columns);
        pack_rows(Rows::new(scaled, dim)?, &set.layout.ids, &mut set.coordinates)?;
        if len == 0 {
            return Ok(set);
        }
        let points = Panels::new(&set.coordinates, dim, len)?;
        match source {
            Source::Factor(factor) => {
                factor.solve(tier, points, &mut set.v)?;
                residual_variances_of(&model, diagonal, &set.v, &mut set.p)?;
            }
            Source::Given(_, v, p) => {
                pack_rows(Rows::new(v, columns)?, &set.layout.ids, &mut set.v)?;
                set.p = set.layout.ids.iter().map(|&id| p[at(id)]).collect();
            }
            Source::Prior => set.p.fill(diagonal),
        }
        set.measure()?;
        Ok(set)
    }

    fn empty(layout: Layout, model: ResidualModel) -> Self {
        Self {
            layout,
            model,
            coordinates: Vec::new(),
            v: Vec::new(),
            p: Vec::new(),
            scales: Vec::new(),
            margins: Vec::new(),
            offsets: Vec::new(),
            centers: Vec::new(),
            centered: Vec::new(),
            typical: Vec::new(),
            boxes: Vec::new(),
        }
    }

    /// Norms, scales and margins, and what the centered tiles read.
    fn measure(&mut self) -> Result<(), Error> {
        let (model, columns) = (self.model, self.model.columns());
        let mut norms = vec![0.0; self.p.len()];
        let chunks = self.v.par_chunks((LEAF * columns).max(1)).zip(norms.par_chunks_mut(LEAF));
        chunks.try_for_each(|(v, norms)| row_norms(&model, v, norms))?;
        scales_and_margins::<f64>(&model, 0.0, &norms, &self.p, &mut self.scales, &mut self.margins)?;
        let mut offsets = std::mem::take(&mut self.offsets);
        let mut centers = std::mem::take(&mut self.centers);
        let mut centered = std::mem::take(&mut self.centered);
        let view = self.view()?;
        let leaf_panels = LEAF / LANES_F64;
        let typical = centered
            .par_chunks_mut(LEAF)
            .zip(chunks_or_empty(&mut offsets, LEAF * columns, self.layout.leaves()))
            .zip(chunks_or_empty(&mut centers, columns, self.layout.leaves()))
            .enumerate()
            .map(|(leaf, ((centered, offsets), center))| -> Result<[f64; 2], KernelError> {
                let range = self.layout.leaf(leaf);
                let run = view.run(leaf * leaf_panels, range.len().div_ceil(LANES_F64))?;
                let mut lengths = vec![0.0; range.len()];
                center_offsets(&run, center, offsets, &mut lengths)?;
                let reach = norms[range.clone()].iter().fold(0.0, |most: f64, norm| most.max(*norm));
                centered.fill(0.0);
                for ((margin, &length), &p) in centered.iter_mut().zip(&lengths).zip(&self.p[range.clone()]) {
                    *margin = centered_margin(&model, length, reach, p);
                }
                let mut sorted = centered[..range.len()].to_vec();
                sorted.sort_unstable_by(f64::total_cmp);
                Ok([sorted[sorted.len() * 3 / 4], sorted[sorted.len() - 1]])
            })
            .collect::<Result<Vec<_>, _>>()?;
        (self.offsets, self.centers, self.centered, self.typical) = (offsets, centers, centered, typical);
        Ok(())
    }

    /// The points as the tiles read them.
    pub fn view(&self) -> Result<ResidualPoints<'_, f64>, KernelError> {
        let coordinates = Panels::new(&self.coordinates, self.model.dim(), self.layout.len())?;
        ResidualPoints::new(self.model, coordinates, &self.v, &self.scales, &self.margins)
    }

    /// Panels of offsets of a leaf.
    pub fn offsets_of(&self, leaf: usize) -> &[f32] {
        let (columns, range) = (self.model.columns(), self.layout.leaf(leaf));
        &self.offsets[range.start * columns..range.end.next_multiple_of(LANES_F32) * columns]
    }

    /// Center of a leaf.
    pub fn center_of(&self, leaf: usize) -> &[f64] {
        let columns = self.model.columns();
        &self.centers[leaf * columns..(leaf + 1) * columns]
    }

    /// Box of a leaf.
    pub fn box_of(&self, leaf: usize) -> &[f64] {
        let width = 2 * self.model.dim();
        &self.boxes[leaf * width..(leaf + 1) * width]
    }

    /// Id of a position.
    pub fn id(&self, position: Idx) -> Idx {
        self.layout.ids[at(position)]
    }
}

fn resize<T: Copy + Default>(values: &mut Vec<T>, len: usize) {
    if values.len() != len {
        *values = vec![T::default(); len];
    }
}

/// `values` in chunks of `size`; `count` empty chunks where the size is 0.
fn chunks_or_empty<T: Send>(values: &mut [T], size: usize, count: usize) -> Vec<&mut [T]> {
    if size == 0 {
        return (0..count).map(|_| Default::default()).collect();
    }
    values.chunks_mut(size).collect()
}

fn residual_variances_of(model: &ResidualModel, diagonal: f64, v: &[f64], p: &mut [f64]) -> Result<(), KernelError> {
    let chunks = v.par_chunks(LEAF * model.columns()).zip(p.par_chunks_mut(LEAF));
    chunks.try_for_each(|(v, p)| residual_variances(model, diagonal, v, p))
}
