//! Points under the metric, packed for the kernels.
//!
//! # Two precisions
//! The error of a tile in `f32` grows with `1 / p`, and most points need no more than `f32`. Those that do, on top of inducing
//! points say, are gathered in the first leaves; pairs of two other leaves meet in `f32`, all others in `f64`. Under a smooth
//! covariance nearly all points need `f64`, and then all leaves get it.

use std::ops::Range;

use covertree_kernels::covariance::Covariance;
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::residual::{
    ResidualModel, ResidualPoints, narrow, residual_variances, row_norms, scales_and_margins, unpack_rows,
};
use covertree_kernels::simd::{LANES_F64, Real, Tier};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use rayon::prelude::*;

use super::clusters::{LandmarkSet, Whole};
use super::factor::Factor;
use super::frames::{Landmarks, LeafCluster, choose_landmarks, errors, weights};
use super::layout::{LEAF, Layout, boxes, gather_panels, permute};
use crate::error::Error;

/// The margin in `f32` above which a point is searched for in `f64`. Two points at it are known to within 0.063.
const HARD: f64 = 0.25;

/// The norm of scaled coordinates above which `f32` is not tried: squares have to stay in its range.
const NARROW_MAX: f64 = 1e15;

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
    /// Leaves, the first ones, that meet others in `f64`.
    pub hard_leaves: usize,
    /// `[points of the hard leaves][columns]`: their rows of `V`.
    rows: Vec<f64>,
    /// The other leaves.
    narrow: Narrow,
    /// The leaves by their landmarks; empty where bounds do not pay or are not known to hold.
    pub clusters: Vec<LeafCluster>,
    /// The landmarks; empty where there are none.
    pub landmarks: LandmarkSet,
    /// Corners of the leaves, `[leaves][2][dim]`, scaled.
    pub boxes: Vec<f64>,
}

/// The leaves that `f32` serves, in the units of its tiles.
#[derive(Default)]
struct Narrow {
    coordinates: Vec<f32>,
    v: Vec<f32>,
    scales: Vec<f32>,
    margins: Vec<f32>,
    /// `[points][columns]`.
    rows: Vec<f32>,
    /// Panels of 8, for *all* points: the margins, in `f64`.
    wide_margins: Vec<f64>,
}

impl PointSet {
    /// Fits points to a metric. `diagonal` is the prior variance of a point, its nugget included; memory of an earlier fit
    /// of as many points is reused.
    pub fn fit(
        (tier, landmarks): (Tier, Landmarks),
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
        set.layout.restore();
        resize(&mut set.coordinates, panels_len::<f64>(len, dim));
        resize(&mut set.v, panels_len::<f64>(len, columns));
        resize(&mut set.p, len);
        set.scales.resize(lanes, 0.0);
        set.margins.resize(lanes, 0.0);
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
        set.measure((tier, landmarks), source, scaled)?;
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
            hard_leaves: 0,
            rows: Vec::new(),
            narrow: Narrow::default(),
            clusters: Vec::new(),
            landmarks: LandmarkSet::default(),
            boxes: Vec::new(),
        }
    }

    /// All that follows from coordinates, `V` and `p`: norms, scales and margins, the precisions, landmarks, and rows.
    fn measure(&mut self, (tier, landmarks): (Tier, Landmarks), source: &Source, scaled: &[f64]) -> Result<(), Error> {
        let (model, columns) = (self.model, self.model.columns());
        let mut norms = vec![0.0; self.p.len()];
        let chunks = self.v.par_chunks((LEAF * columns).max(1)).zip(norms.par_chunks_mut(LEAF));
        chunks.try_for_each(|(v, norms)| row_norms(&model, v, norms))?;
        scales_and_margins::<f64>(&model, 0.0, &norms, &self.p, &mut self.scales, &mut self.margins)?;
        let reach = largest_norm(scaled, model.dim());
        self.part_hard(reach, &mut norms, scaled);
        self.boxes = boxes(&self.layout, scaled, model.dim());
        let most = landmarks.most(columns);
        let factor = match source {
            Source::Factor(factor) if most > 0 => Some(factor),
            _ => None,
        };
        let mut weights = Vec::new();
        self.clusters.clear();
        self.landmarks = LandmarkSet::default();
        if let Some(factor) = factor {
            weights = self.choose_frames((tier, most), factor, &mut norms)?;
        }
        self.narrow(reach, &norms, scaled)?;
        if let Some(factor) = factor {
            self.pack_landmarks(reach, factor.jitter, &norms, &weights)?;
        }
        Ok(())
    }

    /// Finds how errors reach the bounds of the leaves, and packs their landmarks.
    fn pack_landmarks(&mut self, reach: f64, jitter: f64, norms: &[f64], weights: &[f64]) -> Result<(), Error> {
        let model = self.model;
        let offset = (reach <= NARROW_MAX).then_some(reach * f32::ROUNDOFF);
        let margin = |(&norm, &p): (&f64, &f64)| match offset {
            Some(offset) => model.margin::<f32>(offset, norm, p),
            None => f64::INFINITY,
        };
        let margins: Vec<f64> = norms.iter().zip(&self.p).map(margin).collect();
        let view = self.view()?;
        let wide = errors(weights, &self.margins, &self.p, &view, jitter);
        let narrow = errors(weights, &margins, &self.p, &view, jitter);
        let layout = &self.layout;
        self.clusters.par_iter_mut().enumerate().try_for_each(|(leaf, cluster)| {
            let range = layout.leaf(leaf);
            cluster.weigh([&wide[range.clone()], &narrow[range]])
        })?;
        let counts: Vec<usize> = self.clusters.iter().map(|cluster| cluster.count).collect();
        let narrow = offset.map(|offset| (offset, norms));
        let leaf = |leaf| self.layout.leaf(leaf);
        self.landmarks = LandmarkSet::new(&counts, leaf, self.hard_leaves, &self.whole()?, narrow)?;
        Ok(())
    }

    /// What landmarks are gathered from.
    pub fn whole(&self) -> Result<Whole<'_>, KernelError> {
        Ok(Whole { points: self.view()?, coordinates: &self.coordinates, v: &self.v, p: &self.p })
    }

    /// Gathers the points that `f32` serves badly in the first leaves.
    fn part_hard(&mut self, reach: f64, norms: &mut [f64], scaled: &[f64]) {
        let (model, len) = (self.model, self.layout.len());
        let margin = |position: usize| model.margin::<f32>(reach * f32::ROUNDOFF, norms[position], self.p[position]);
        let margins: Vec<f64> = (0..len).map(margin).collect();
        let hard = margins.iter().filter(|margin| **margin > HARD).count();
        if 2 * hard >= len || reach > NARROW_MAX {
            self.hard_leaves = self.layout.leaves();
            return;
        }
        self.hard_leaves = hard.div_ceil(LEAF);
        if hard == 0 {
            return;
        }
        // Whole leaves: the next hardest points come with them.
        let mut hardest: Vec<Idx> = (0..len as Idx).collect(); // positions
        let count = self.hard_leaves * LEAF;
        if count < len {
            let by_margin = |a: &Idx, b: &Idx| margins[at(*b)].total_cmp(&margins[at(*a)]).then(a.cmp(b));
            hardest.select_nth_unstable_by(count, by_margin);
        }
        hardest.truncate(count);
        hardest.sort_unstable();
        let order = self.layout.part(scaled, model.dim(), &hardest);
        for (panels, width) in [(&mut self.v, model.columns()), (&mut self.coordinates, model.dim())] {
            let mut parted = vec![0.0; panels.len()];
            let leaves = parted.par_chunks_mut((LEAF * width).max(1)).zip(order.par_chunks(LEAF));
            leaves.for_each(|(parted, order)| gather_panels(panels, width, order, parted));
            *panels = parted;
        }
        for values in [&mut self.p[..], &mut self.scales, &mut self.margins, norms] {
            permute(&mut values[..len], &order);
        }
    }

    /// Landmarks of every leaf, on a tier and at most so many; its points are put in the order in which the landmarks come first. Gives the weights' norms.
    fn choose_frames(
        &mut self,
        (tier, most): (Tier, usize),
        factor: &Factor,
        norms: &mut [f64],
    ) -> Result<Vec<f64>, Error> {
        let columns = self.model.columns();
        let view = self.view()?;
        let chosen = (0..self.layout.leaves()).into_par_iter().map(|leaf| -> Result<_, Error> {
            let range = self.layout.leaf(leaf);
            let lanes = range.len().next_multiple_of(LANES_F64);
            let norms = weights(Some(factor), &self.v[range.start * columns..(range.start + lanes) * columns]);
            let norms = &norms[..range.len()];
            let margins = &self.margins[range.clone()];
            let errors = errors(norms, margins, &self.p[range.clone()], &view, factor.jitter);
            let (order, frame) = choose_landmarks(
                (tier, most, leaf < self.hard_leaves),
                &view,
                leaf,
                &self.layout.ids[range.clone()],
                &errors,
            )?;
            let weights: Vec<f64> = order.iter().map(|&member| norms[at(member)]).collect();
            Ok((order, frame, weights))
        });
        let chosen = chosen.collect::<Result<Vec<_>, Error>>()?;
        let leaves: Vec<Range<usize>> = (0..self.layout.leaves()).map(|leaf| self.layout.leaf(leaf)).collect();
        let v = chunks_or_empty(&mut self.v, LEAF * columns, leaves.len());
        let z = chunks_or_empty(&mut self.coordinates, LEAF * self.model.dim(), leaves.len());
        chosen.par_iter().zip(v).zip(z).for_each(|(((order, ..), v), z)| {
            for (panels, width) in [(v, columns), (z, self.model.dim())] {
                let old = panels.to_vec();
                gather_panels(&old, width, order, panels);
            }
        });
        let mut all = Vec::with_capacity(self.layout.len());
        for ((order, frame, weights), range) in chosen.into_iter().zip(leaves) {
            self.layout.permute(range.clone(), &order);
            for values in [&mut self.p[..], &mut self.scales, &mut self.margins, norms] {
                permute(&mut values[range.clone()], &order);
            }
            all.extend(weights);
            self.clusters.push(frame);
        }
        self.layout.number();
        Ok(all)
    }

    /// Makes what `f32` tiles read, and the rows of both precisions.
    fn narrow(&mut self, reach: f64, norms: &[f64], scaled: &[f64]) -> Result<(), Error> {
        let (model, columns) = (self.model, self.model.columns());
        let first = (self.hard_leaves * LEAF).min(self.layout.len());
        let (len, soft, v) = (self.layout.len() - first, &mut self.narrow, &self.v);
        resize(&mut soft.coordinates, panels_len::<f32>(len, model.dim()));
        resize(&mut soft.v, panels_len::<f32>(len, columns));
        resize(&mut soft.scales, panels_len::<f32>(len, 1));
        resize(&mut soft.margins, panels_len::<f32>(len, 1));
        resize(&mut soft.rows, len * columns);
        resize(&mut self.rows, first * columns);
        soft.wide_margins.clear();
        soft.wide_margins.resize(self.scales.len(), 0.0);
        let (hard_v, soft_v) = v.split_at(first.next_multiple_of(LANES_F64) * columns);
        let size = (LEAF * columns).max(1);
        hard_v
            .par_chunks(size)
            .zip(self.rows.par_chunks_mut(size))
            .try_for_each(|(v, rows)| unpack_rows(v, columns, rows))?;
        if len == 0 {
            return Ok(());
        }
        let short: Vec<f32> = scaled.iter().map(|&z| z as f32).collect(); // rounding is the purpose; the margin counts it
        pack_rows(Rows::new(&short, model.dim())?, &self.layout.ids[first..], &mut soft.coordinates)?;
        let (norms, p) = (&norms[first..], &self.p[first..]);
        scales_and_margins(&model, reach * f32::ROUNDOFF, norms, p, &mut soft.scales, &mut soft.margins)?;
        for (wide, &margin) in soft.wide_margins[first..].iter_mut().zip(&soft.margins) {
            *wide = f64::from(margin);
        }
        let leaves = soft_v.par_chunks(size).zip(soft.v.par_chunks_mut(size)).zip(soft.rows.par_chunks_mut(size));
        leaves.try_for_each(|((v, out), rows)| {
            narrow(&model, rows.len() / columns, v, out)?;
            unpack_rows(out, columns, rows)
        })?;
        Ok(())
    }

    /// The points as the `f64` tiles read them.
    pub fn view(&self) -> Result<ResidualPoints<'_, f64>, KernelError> {
        let coordinates = Panels::new(&self.coordinates, self.model.dim(), self.layout.len())?;
        ResidualPoints::new(self.model, coordinates, &self.v, &self.scales, &self.margins)
    }

    /// The points of the leaves that are not hard, as the `f32` tiles read them.
    pub fn narrow_view(&self) -> Result<ResidualPoints<'_, f32>, KernelError> {
        let (soft, len) = (&self.narrow, self.layout.len().saturating_sub(self.hard_leaves * LEAF));
        let coordinates = Panels::new(&soft.coordinates, self.model.dim(), len)?;
        ResidualPoints::new(self.model, coordinates, &soft.v, &soft.scales, &soft.margins)
    }

    /// Panels of 8: the margins of the `f32` tiles.
    pub fn narrow_margins(&self) -> &[f64] {
        &self.narrow.wide_margins
    }

    /// Rows of `V` of a hard leaf; `None` of another one.
    pub fn rows(&self, leaf: usize) -> Option<&[f64]> {
        let (range, columns) = (self.layout.leaf(leaf), self.model.columns());
        (leaf < self.hard_leaves).then(|| &self.rows[range.start * columns..range.end * columns])
    }

    /// Rows of `V`, in the units of `f32`, of a leaf that is not hard.
    pub fn narrow_rows(&self, leaf: usize) -> Option<&[f32]> {
        let (range, columns, first) = (self.layout.leaf(leaf), self.model.columns(), self.hard_leaves * LEAF);
        (leaf >= self.hard_leaves)
            .then(|| &self.narrow.rows[(range.start - first) * columns..(range.end - first) * columns])
    }

    /// Bytes that `V` takes, in all the forms that are kept.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.v[..])
            + size_of_val(&self.rows[..])
            + size_of_val(&self.narrow.v[..])
            + size_of_val(&self.narrow.rows[..])
            + self.landmarks.bytes()
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

/// The largest norm of some rows, rounded up.
fn largest_norm(scaled: &[f64], dim: usize) -> f64 {
    let square = |row: &[f64]| row.iter().fold(0.0, |sum, z| sum + z * z);
    libm::sqrt(scaled.chunks_exact(dim).map(square).fold(0.0, f64::max)) * (1.0 + 1e-6)
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
