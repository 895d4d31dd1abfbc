//! Points under the metric, packed for the kernels.

use covertree_kernels::covariance::Covariance;
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::residual::{
    ResidualModel, ResidualPoints, center_offsets, centered_margin, gather_row, residual_variances, row_norms,
    scales_and_margins,
};
use covertree_kernels::simd::{LANES_F32, LANES_F64, Tier};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use rayon::prelude::*;
use std::ops::Range;

use super::factor::Factor;
use super::frames::{LeafFrame, choose_landmarks, errors, weights};
use super::layout::{LEAF, Layout, boxes};
use crate::error::Error;

/// Panels of a leaf.
const PANELS: usize = LEAF / LANES_F64;

/// Columns of `V` from which bounds by landmarks are worth their price.
const FRAMES_FROM: usize = 96;

/// The product of a point's margin and a typical one above which it is searched for in double precision.
const HARD: f64 = 0.004;

/// Hard points that a leaf may have and still use centered tiles.
const HARD_MOST: usize = 8;

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
    /// The same, minus infinity for the hard points: centered tiles do not concern them.
    pub asking: Vec<f64>,
    /// The margins of the `f64` tiles, minus infinity for the hard points.
    pub soft: Vec<f64>,
    /// Positions of the points that centered tiles say too little about, ascending, and where those of each leaf begin.
    hard: Vec<Idx>,
    hard_starts: Vec<usize>,
    /// Their scaled coordinates and rows of `V`, one after the other.
    hard_rows: Vec<f64>,
    /// Per leaf: the margin of three quarters of its points.
    pub typical: Vec<f64>,
    /// Landmarks of the leaves; empty where bounds do not pay or are not known to hold.
    pub frames: Vec<LeafFrame>,
    /// Panels of 8: the error factors of the points in wide and in centered tiles; empty without landmarks.
    pub errors: [Vec<f64>; 2],
    /// Corners of the leaves, `[leaves][2][dim]`, scaled.
    pub boxes: Vec<f64>,
}

/// A point that centered tiles say too little about: `p` is tiny, as on top of an inducing point.
#[derive(Clone, Copy)]
pub(crate) struct Hard<'a> {
    pub position: Idx,
    pub coordinates: &'a [f64],
    pub v: &'a [f64],
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
        set.measure(tier, source)?;
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
            asking: Vec::new(),
            soft: Vec::new(),
            hard: Vec::new(),
            hard_starts: Vec::new(),
            hard_rows: Vec::new(),
            typical: Vec::new(),
            frames: Vec::new(),
            errors: [Vec::new(), Vec::new()],
            boxes: Vec::new(),
        }
    }

    /// Norms, scales and margins, landmarks, and what the centered tiles read.
    fn measure(&mut self, tier: Tier, source: &Source) -> Result<(), Error> {
        let (model, columns) = (self.model, self.model.columns());
        let mut norms = vec![0.0; self.p.len()];
        let chunks = self.v.par_chunks((LEAF * columns).max(1)).zip(norms.par_chunks_mut(LEAF));
        chunks.try_for_each(|(v, norms)| row_norms(&model, v, norms))?;
        scales_and_margins::<f64>(&model, 0.0, &norms, &self.p, &mut self.scales, &mut self.margins)?;
        let factor = match source {
            Source::Factor(factor) if columns >= FRAMES_FROM => Some(factor),
            _ => None,
        };
        let mut weights = Vec::new();
        self.frames.clear();
        if let Some(factor) = factor {
            weights = self.choose_frames(tier, factor, &mut norms)?;
        }
        let mut offsets = std::mem::take(&mut self.offsets);
        let mut centers = std::mem::take(&mut self.centers);
        let mut centered = std::mem::take(&mut self.centered);
        let view = self.view()?;
        let typical = centered
            .par_chunks_mut(LEAF)
            .zip(chunks_or_empty(&mut offsets, LEAF * columns, self.layout.leaves()))
            .zip(chunks_or_empty(&mut centers, columns, self.layout.leaves()))
            .enumerate()
            .map(|(leaf, ((centered, offsets), center))| -> Result<f64, KernelError> {
                let range = self.layout.leaf(leaf);
                let run = view.run(leaf * PANELS, range.len().div_ceil(LANES_F64))?;
                let mut lengths = vec![0.0; range.len()];
                center_offsets(&run, center, offsets, &mut lengths)?;
                let reach = norms[range.clone()].iter().fold(0.0, |most: f64, norm| most.max(*norm));
                centered.fill(0.0);
                for ((margin, &length), &p) in centered.iter_mut().zip(&lengths).zip(&self.p[range.clone()]) {
                    *margin = centered_margin(&model, length, reach, p);
                }
                let mut sorted = centered[..range.len()].to_vec();
                sorted.sort_unstable_by(f64::total_cmp);
                Ok(sorted[sorted.len() * 3 / 4])
            })
            .collect::<Result<Vec<_>, _>>()?;
        (self.offsets, self.centers, self.centered, self.typical) = (offsets, centers, centered, typical);
        self.part_hard()?;
        if let Some(factor) = factor {
            let each = |margins: &[f64]| -> Result<Vec<f64>, KernelError> {
                let mut all = errors(&weights, margins, &self.p, &self.view()?, factor.jitter);
                all.resize(self.scales.len(), 0.0);
                Ok(all)
            };
            self.errors = [each(&self.margins)?, each(&self.centered)?];
        }
        Ok(())
    }

    /// Landmarks of every leaf; its points are put in the order in which the landmarks come first. Gives the weights' norms.
    fn choose_frames(&mut self, tier: Tier, factor: &Factor, norms: &mut [f64]) -> Result<Vec<f64>, Error> {
        let columns = self.model.columns();
        let view = self.view()?;
        let chosen = (0..self.layout.leaves()).into_par_iter().map(|leaf| -> Result<_, Error> {
            let range = self.layout.leaf(leaf);
            let lanes = range.len().next_multiple_of(LANES_F64);
            let norms = weights(Some(factor), &self.v[range.start * columns..(range.start + lanes) * columns]);
            let norms = &norms[..range.len()];
            let margins = &self.margins[range.clone()];
            let errors = errors(norms, margins, &self.p[range.clone()], &view, factor.jitter);
            let (order, frame) = choose_landmarks(tier, &view, leaf, &self.layout.ids[range.clone()], &errors)?;
            let weights: Vec<f64> = order.iter().map(|&member| norms[at(member)]).collect();
            Ok((order, frame, weights))
        });
        let chosen = chosen.collect::<Result<Vec<_>, Error>>()?;
        let leaves: Vec<Range<usize>> = (0..self.layout.leaves()).map(|leaf| self.layout.leaf(leaf)).collect();
        let v = chunks_or_empty(&mut self.v, LEAF * columns, leaves.len());
        let z = chunks_or_empty(&mut self.coordinates, LEAF * self.model.dim(), leaves.len());
        chosen.par_iter().zip(v).zip(z).for_each(|(((order, ..), v), z)| {
            permute_panels(v, columns, order);
            permute_panels(z, self.model.dim(), order);
        });
        let mut all = Vec::with_capacity(self.layout.len());
        for ((order, frame, weights), range) in chosen.into_iter().zip(leaves) {
            permute(&mut self.layout.ids[range.clone()], &order);
            for values in [&mut self.p[..], &mut self.scales, &mut self.margins, norms] {
                permute(&mut values[range.clone()], &order);
            }
            all.extend(weights);
            self.frames.push(frame);
        }
        for (position, &id) in (0..).zip(&self.layout.ids) {
            self.layout.positions[at(id)] = position;
        }
        Ok(all)
    }

    /// Tells the points that single precision serves badly from the others.
    fn part_hard(&mut self) -> Result<(), KernelError> {
        let mut typical = self.typical.clone();
        typical.sort_unstable_by(f64::total_cmp);
        let median = typical[typical.len() / 2].max(f64::MIN_POSITIVE);
        self.asking.clone_from(&self.centered);
        self.soft.clone_from(&self.margins);
        (self.hard, self.hard_starts) = (Vec::new(), vec![0]);
        for leaf in 0..typical.len() {
            let hard = self.layout.leaf(leaf).filter(|&position| self.centered[position] * median > HARD);
            let hard: Vec<usize> = hard.collect();
            if hard.len() > HARD_MOST {
                self.typical[leaf] = f64::INFINITY; // all of the leaf is better off in double precision
            } else {
                for position in hard {
                    self.hard.push(position as Idx); // a position
                    (self.asking[position], self.soft[position]) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
                }
            }
            self.hard_starts.push(self.hard.len());
        }
        let width = self.model.dim() + self.model.columns();
        let mut rows = vec![0.0; self.hard.len() * width];
        let view = self.view()?;
        for (row, &position) in rows.chunks_exact_mut(width).zip(&self.hard) {
            let (z, v) = row.split_at_mut(self.model.dim());
            gather_row(&view, at(position), z, v)?;
        }
        self.hard_rows = rows;
        Ok(())
    }

    /// The hard points of a leaf.
    pub fn hard_of(&self, leaf: usize) -> impl Iterator<Item = Hard<'_>> {
        let (dim, width) = (self.model.dim(), self.model.dim() + self.model.columns());
        (self.hard_starts[leaf]..self.hard_starts[leaf + 1]).map(move |place| {
            let (coordinates, v) = self.hard_rows[place * width..(place + 1) * width].split_at(dim);
            Hard { position: self.hard[place], coordinates, v }
        })
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

/// Puts packed points in another order: `order[i]` is the one that comes `i`-th. Padding lanes repeat the last point.
fn permute_panels(panels: &mut [f64], width: usize, order: &[Idx]) {
    let old = panels.to_vec();
    for (panel, out) in panels.chunks_exact_mut(width * LANES_F64).enumerate() {
        for lane in 0..LANES_F64 {
            let from = at(order[(panel * LANES_F64 + lane).min(order.len() - 1)]);
            let column = old[from / LANES_F64 * width * LANES_F64 + from % LANES_F64..].iter().step_by(LANES_F64);
            for (out, value) in out[lane..].iter_mut().step_by(LANES_F64).zip(column) {
                *out = *value;
            }
        }
    }
}

fn permute<T: Copy>(values: &mut [T], order: &[Idx]) {
    let old = values.to_vec();
    for (value, &from) in values.iter_mut().zip(order) {
        *value = old[at(from)];
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
