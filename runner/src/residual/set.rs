//! Points under the metric, packed for the kernels.
//!
//! # Two precisions
//! The error of a tile in `f32` grows with `1 / p`, and most points need no more than `f32`. Those that do, on top of inducing
//! points say, are gathered in the first leaves; pairs of two other leaves meet in `f32`, all others in `f64`. Under a smooth
//! covariance nearly all points need `f64`, and then all leaves get it.
//!
//! # What is kept of `V`
//! Its rows, in `f64`, which the formula and single pairs read, and those of the leaves that `f32` serves once more in `f32`.
//! Where landmarks bound the pairs, tiles of whole leaves are rare, and a leaf is packed when it meets another; where there are
//! none, all pairs are computed in tiles, and every leaf is packed once and for all, in the precision that serves it.

mod leaves;

use std::mem::take;

use covertree_kernels::covariance::Covariance;
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::residual::{
    ResidualModel, narrow, pack_listed, residual_variances, row_norms, scales_and_margins, unpack_rows,
};
use covertree_kernels::simd::{LANES_F64, Real, Tier};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use rayon::prelude::*;

use super::clusters::{LandmarkSet, Whole};
use super::factor::Factor;
use super::frames::{Landmarks, LeafCluster, choose_landmarks, errors, weights};
use super::layout::{LEAF, Layout, PLACES, boxes, permute};
use crate::error::Error;
use crate::summary::{fits_memory, size_in_words};

/// The margin in `f32` above which a point is searched for in `f64`. Two points at it are known to within 0.063.
const HARD: f64 = 0.25;

/// The norm of scaled coordinates above which `f32` is not tried: squares have to stay in its range.
const NARROW_MAX: f64 = 1e15;

/// Where `V` and `p` come from.
pub(crate) enum Source {
    /// From inducing points.
    Factor(Factor),
    /// From the caller, row-major and in the order of the rows, until a set is made of them; the first number is that of the
    /// columns.
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
    tier: Tier,
    pub layout: Layout,
    pub model: ResidualModel,
    /// Packed scaled coordinates.
    coordinates: Vec<f64>,
    /// `[points][columns]`.
    v: Vec<f64>,
    pub p: Vec<f64>,
    /// Panels of 8: `1 / sqrt(p)`, and the margins of the `f64` tiles.
    scales: Vec<f64>,
    pub margins: Vec<f64>,
    /// Leaves, the first ones, that meet others in `f64`.
    pub hard_leaves: usize,
    /// Packed rows of `V` of the hard leaves, where they are kept.
    tiles: Vec<f64>,
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
    /// `[points][columns]`.
    v: Vec<f32>,
    scales: Vec<f32>,
    margins: Vec<f32>,
    /// Packed rows of `V`, where they are kept.
    tiles: Vec<f32>,
    /// Panels of 8, for *all* points: the margins, in `f64`.
    wide_margins: Vec<f64>,
}

/// Refuses a `V` that the memory of the machine does not hold: two copies, in double precision, are there in any case.
pub(super) fn check_room(points: usize, columns: usize) -> Result<(), Error> {
    let bytes = (16 * points as u64).saturating_mul(columns as u64); // widens
    if fits_memory(bytes) {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "V of {points} points and {columns} inducing points takes {}, more than there is memory; choose fewer of either",
        size_in_words(bytes)
    )))
}

impl PointSet {
    /// Fits points to a metric. `diagonal` is the prior variance of a point, its nugget included.
    pub fn fit(
        (tier, landmarks): (Tier, Landmarks),
        layout: Layout,
        covariance: Covariance,
        diagonal: f64,
        (scaled, dim): (&[f64], usize),
        source: &Source,
    ) -> Result<Self, Error> {
        check_room(layout.len(), source.columns())?;
        let mut set = Self::empty(tier, layout, ResidualModel::new(covariance, dim, source.columns())?);
        set.refit(landmarks, covariance, diagonal, scaled, source)?;
        Ok(set)
    }

    /// Fits the same points to another metric of as many columns, in the memory that the set has; what is packed for whole tiles is
    /// for [`keep_tiles`](Self::keep_tiles) to renew. Only a defect can stop it on the way, and leaves a set of no use.
    pub fn refit(
        &mut self,
        landmarks: Landmarks,
        covariance: Covariance,
        diagonal: f64,
        scaled: &[f64],
        source: &Source,
    ) -> Result<(), Error> {
        let (len, dim, columns) = (self.layout.len(), self.model.dim(), source.columns());
        self.model = ResidualModel::new(covariance, dim, columns)?;
        self.layout.restore();
        let lanes = panels_len::<f64>(len, 1);
        resize(&mut self.coordinates, panels_len::<f64>(len, dim));
        resize(&mut self.v, len * columns);
        resize(&mut self.p, len);
        self.scales.resize(lanes, 0.0);
        self.margins.resize(lanes, 0.0);
        self.pack_coordinates(scaled)?;
        if len == 0 {
            return Ok(());
        }
        let mut norms = vec![0.0; len];
        match source {
            Source::Factor(factor) => {
                factor.solve(self.tier, Panels::new(&self.coordinates, dim, len)?, &mut self.v)?;
                self.sum_squares(Some(diagonal), &mut norms)?;
            }
            Source::Given(_, v, p) => {
                gather(v, columns, &self.layout.ids, &mut self.v);
                self.p = self.layout.ids.iter().map(|&id| p[at(id)]).collect();
                self.sum_squares(None, &mut norms)?;
            }
            Source::Prior => self.p.fill(diagonal),
        }
        self.measure(landmarks, source, scaled, &mut norms)
    }

    fn empty(tier: Tier, layout: Layout, model: ResidualModel) -> Self {
        Self {
            tier,
            layout,
            model,
            coordinates: Vec::new(),
            v: Vec::new(),
            p: Vec::new(),
            scales: Vec::new(),
            margins: Vec::new(),
            hard_leaves: 0,
            tiles: Vec::new(),
            narrow: Narrow::default(),
            clusters: Vec::new(),
            landmarks: LandmarkSet::default(),
            boxes: Vec::new(),
        }
    }

    /// Packs the coordinates in the order of the layout.
    fn pack_coordinates(&mut self, scaled: &[f64]) -> Result<(), KernelError> {
        let (rows, dim) = (Rows::new(scaled, self.model.dim())?, self.model.dim());
        let leaves = self.coordinates.par_chunks_mut(LEAF * dim).zip(self.layout.ids.par_chunks(LEAF));
        leaves.try_for_each(|(panels, ids)| pack_rows(rows, ids, panels))
    }

    /// The tier that the points are packed on.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// The norms of the rows of `V`, and with a prior variance the residual ones, leaf by leaf.
    fn sum_squares(&mut self, diagonal: Option<f64>, norms: &mut [f64]) -> Result<(), KernelError> {
        let (tier, model, columns) = (self.tier, self.model, self.model.columns());
        let leaves = self.v.par_chunks(LEAF * columns).zip(self.p.par_chunks_mut(LEAF)).zip(norms.par_chunks_mut(LEAF));
        leaves.try_for_each_init(Vec::new, |panels, ((v, p), norms)| {
            panels.resize(panels_len::<f64>(p.len(), columns), 0.0);
            pack_listed(tier, v, columns, &PLACES[..p.len()], panels)?;
            if let Some(diagonal) = diagonal {
                residual_variances(&model, diagonal, panels, p)?;
            }
            row_norms(&model, panels, norms)
        })
    }

    /// All that follows from coordinates, `V`, its norms and `p`: scales and margins, the precisions, and landmarks.
    fn measure(
        &mut self,
        landmarks: Landmarks,
        source: &Source,
        scaled: &[f64],
        norms: &mut [f64],
    ) -> Result<(), Error> {
        let (model, columns) = (self.model, self.model.columns());
        scales_and_margins::<f64>(&model, 0.0, norms, &self.p, &mut self.scales, &mut self.margins)?;
        let reach = largest_norm(scaled, model.dim());
        self.part_hard(reach, norms, scaled)?;
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
            weights = self.choose_frames(most, factor, norms)?;
            self.pack_coordinates(scaled)?;
        }
        self.narrow(reach, norms, scaled)?;
        if let Some(factor) = factor {
            self.pack_landmarks(reach, factor.jitter, norms, &weights)?;
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
        let wide = errors(weights, &self.margins, &self.p, &model, jitter);
        let narrow = errors(weights, &margins, &self.p, &model, jitter);
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
        let coordinates = Panels::new(&self.coordinates, self.model.dim(), self.layout.len())?;
        let (tier, model, v, p) = (self.tier, self.model, &self.v[..], &self.p[..]);
        Ok(Whole { tier, model, coordinates, v, p, scales: &self.scales, margins: &self.margins })
    }

    /// Gathers the points that `f32` serves badly in the first leaves.
    fn part_hard(&mut self, reach: f64, norms: &mut [f64], scaled: &[f64]) -> Result<(), KernelError> {
        let (model, len) = (self.model, self.layout.len());
        let margin = |position: usize| model.margin::<f32>(reach * f32::ROUNDOFF, norms[position], self.p[position]);
        let margins: Vec<f64> = (0..len).map(margin).collect();
        let hard = margins.iter().filter(|margin| **margin > HARD).count();
        if 2 * hard >= len || reach > NARROW_MAX {
            self.hard_leaves = self.layout.leaves();
            return Ok(());
        }
        self.hard_leaves = hard.div_ceil(LEAF);
        if hard == 0 {
            return Ok(());
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
        let mut parted = vec![0.0; self.v.len()];
        gather(&self.v, model.columns(), &order, &mut parted);
        self.v = parted;
        self.pack_coordinates(scaled)?;
        for values in [&mut self.p[..], &mut self.scales, &mut self.margins, norms] {
            permute(&mut values[..len], &order);
        }
        Ok(())
    }

    /// Landmarks of every leaf, at most so many; its points are put in the order in which the landmarks come first, but for
    /// their coordinates. Gives the weights' norms.
    fn choose_frames(&mut self, most: usize, factor: &Factor, norms: &mut [f64]) -> Result<Vec<f64>, Error> {
        let (tier, columns) = (self.tier, self.model.columns());
        let choose = |panels: &mut Vec<f64>, leaf: usize| -> Result<_, Error> {
            let (range, v) = (self.layout.leaf(leaf), self.rows(leaf));
            panels.resize(panels_len::<f64>(range.len(), columns), 0.0);
            pack_listed(tier, v, columns, &PLACES[..range.len()], panels)?;
            let norms = weights(factor, v, range.len());
            let margins = &self.margins[range.clone()];
            let errors = errors(&norms, margins, &self.p[range], &self.model, factor.jitter);
            let how = (tier, most, leaf < self.hard_leaves);
            let (order, frame) =
                choose_landmarks(how, &self.leaf_points(leaf, panels)?, &self.layout.ranks(leaf), &errors)?;
            let weights: Vec<f64> = order.iter().map(|&member| norms[at(member)]).collect();
            Ok((order, frame, weights))
        };
        let chosen = (0..self.layout.leaves()).into_par_iter().map_init(Vec::new, choose);
        let chosen = chosen.collect::<Result<Vec<_>, Error>>()?;
        chosen.par_iter().zip(self.v.par_chunks_mut(LEAF * columns)).for_each(|((order, ..), v)| {
            let old = v.to_vec();
            for (row, &from) in v.chunks_exact_mut(columns).zip(order) {
                row.copy_from_slice(&old[at(from) * columns..(at(from) + 1) * columns]);
            }
        });
        let mut all = Vec::with_capacity(self.layout.len());
        for (leaf, (order, frame, weights)) in chosen.into_iter().enumerate() {
            let range = self.layout.leaf(leaf);
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

    /// Makes what is read of the leaves that are not hard in `f32`.
    fn narrow(&mut self, reach: f64, norms: &[f64], scaled: &[f64]) -> Result<(), Error> {
        let (tier, model, columns) = (self.tier, self.model, self.model.columns());
        let first = (self.hard_leaves * LEAF).min(self.layout.len());
        let (len, soft) = (self.layout.len() - first, &mut self.narrow);
        resize(&mut soft.coordinates, panels_len::<f32>(len, model.dim()));
        resize(&mut soft.v, len * columns);
        resize(&mut soft.scales, panels_len::<f32>(len, 1));
        resize(&mut soft.margins, panels_len::<f32>(len, 1));
        soft.wide_margins.clear();
        soft.wide_margins.resize(self.scales.len(), 0.0);
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
        let size = (LEAF * columns).max(1);
        let leaves = self.v[first * columns..].par_chunks(size).zip(soft.v.par_chunks_mut(size));
        leaves.try_for_each_init(Default::default, |(wide, short): &mut (Vec<f64>, Vec<f32>), (v, out)| {
            let len = v.len() / columns;
            wide.resize(panels_len::<f64>(len, columns), 0.0);
            short.resize(panels_len::<f32>(len, columns), 0.0);
            pack_listed(tier, v, columns, &PLACES[..len], wide)?;
            narrow(&model, len, wide, short)?;
            unpack_rows(short, columns, out)
        })?;
        Ok(())
    }

    /// Packs all leaves for whole tiles, each in the precision that serves it, where no landmarks make these rare.
    pub fn keep_tiles(&mut self) -> Result<(), KernelError> {
        let (mut tiles, mut narrow) = (take(&mut self.tiles), take(&mut self.narrow.tiles));
        if self.clusters.is_empty() {
            self.pack_leaves(self.hard_leaves, &mut tiles)?;
            pack_all(self.tier, &self.narrow.v, self.model.columns(), &mut narrow)?;
            (self.tiles, self.narrow.tiles) = (tiles, narrow);
        }
        Ok(())
    }

    /// Packs the first leaves for whole tiles in `f64`.
    pub fn pack_leaves(&self, leaves: usize, panels: &mut Vec<f64>) -> Result<(), KernelError> {
        let (columns, len) = (self.model.columns(), (leaves * LEAF).min(self.layout.len()));
        pack_all(self.tier, &self.v[..len * columns], columns, panels)
    }

    /// Packed rows of `V` of the first leaves, for tiles in `f64`; none but those of hard leaves.
    pub fn tiles(&self) -> &[f64] {
        &self.tiles
    }

    /// Packed rows of `V`, for tiles in `f32`, of the leaves that are not hard; or none.
    pub fn narrow_tiles(&self) -> &[f32] {
        &self.narrow.tiles
    }

    /// The row of `V` at a position.
    pub fn row(&self, position: usize) -> &[f64] {
        &self.v[position * self.model.columns()..(position + 1) * self.model.columns()]
    }

    /// The scaled coordinates at a position.
    pub fn point(&self, position: usize, coordinates: &mut [f64]) {
        let dim = self.model.dim();
        let panel = &self.coordinates[position / LANES_F64 * dim * LANES_F64..];
        for (out, row) in coordinates.iter_mut().zip(panel.chunks_exact(LANES_F64)) {
            *out = row[position % LANES_F64];
        }
    }

    /// Panels of 8: the margins of the `f32` tiles.
    pub fn narrow_margins(&self) -> &[f64] {
        &self.narrow.wide_margins
    }

    /// Bytes that `V` takes, in all the forms that are kept.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.v[..])
            + size_of_val(&self.tiles[..])
            + size_of_val(&self.narrow.v[..])
            + size_of_val(&self.narrow.tiles[..])
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

/// Rows of `columns` elements that are listed by their numbers.
fn gather(rows: &[f64], columns: usize, order: &[Idx], out: &mut [f64]) {
    if columns > 0 {
        let each = out.par_chunks_exact_mut(columns).zip(order).with_min_len(LEAF);
        each.for_each(|(out, &row)| out.copy_from_slice(&rows[at(row) * columns..(at(row) + 1) * columns]));
    }
}

/// Packs rows of whole leaves.
fn pack_all<T: Real>(tier: Tier, rows: &[T], columns: usize, panels: &mut Vec<T>) -> Result<(), KernelError> {
    let len = rows.len().checked_div(columns).unwrap_or(0);
    resize(panels, panels_len::<T>(len, columns));
    let size = (LEAF * columns).max(1);
    let leaves = panels.par_chunks_mut(size).zip(rows.par_chunks(size));
    leaves.try_for_each(|(panels, rows)| pack_listed(tier, rows, columns, &PLACES[..rows.len() / columns], panels))
}
