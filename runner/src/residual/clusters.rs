//! The landmarks of all leaves, packed for tiles of their own.
//!
//! Consecutive leaves stand together in groups, so that a tile of landmarks against landmarks has enough rows and columns
//! to run at the speed of a matrix product.
//!
//! A group has no landmarks of its own, above those of its leaves, that would rule out pairs of leaves before their tables are computed.
//! Half of the leaves' explain nearly as much, and where every point wants its nearest they rule out three fifths of all pairs of leaves
//! of 131 072 normally distributed points in 3-D. That gained 7 % there in one run, and nothing where only earlier points of a random order count:
//! each leaf then holds a point that comes early and wants correlations far below what such a bound can tell (1 % were ruled out;
//! measured before the landmarks of leaves were chosen by rank). Leaves
//! of points that come about as early as each other need so many more landmarks that their tables double.

use std::ops::Range;

use covertree_kernels::covariance::Exponential;
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::residual::{
    ResidualModel, ResidualPoints, ResidualRun, narrow, pack_listed, scales_and_margins,
};
use covertree_kernels::simd::{LANES_F32, LANES_F64, Tier};
use covertree_kernels::view::{Panels, panels_len};
use rayon::prelude::*;

/// Most landmarks of a group: a multiple of the rows of every register tile and of the lanes of a panel.
pub(crate) const GROUP: usize = 96;

/// Most leaves of a group.
pub(crate) const GROUP_LEAVES: usize = 16;

/// Landmarks of some consecutive leaves.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub leaves: Range<usize>,
    /// Where its places begin and end, in panels of 16; the last landmark is repeated in the padding.
    panels: Range<usize>,
    /// Whether all its leaves meet others in `f64`; else none does.
    pub hard: bool,
}

/// Landmarks of consecutive groups in one precision.
#[derive(Default)]
pub(crate) struct Packed<T> {
    places: usize,
    coordinates: Vec<T>,
    v: Vec<T>,
    scales: Vec<T>,
    margins: Vec<T>,
}

/// The landmarks of all leaves.
#[derive(Default)]
pub(crate) struct LandmarkSet {
    pub groups: Vec<Group>,
    /// For each leaf the place of its first landmark, from the beginning of its group.
    pub offsets: Vec<usize>,
    /// Position of each place.
    order: Vec<Idx>,
    /// Those of hard groups.
    wide: Packed<f64>,
    /// Those of the other groups.
    narrow: Packed<f32>,
    /// Panels of 16 of hard groups.
    hard_panels: usize,
}

/// What landmarks are gathered from: all points, by position.
#[derive(Clone, Copy)]
pub(crate) struct Whole<'a> {
    pub tier: Tier,
    pub model: ResidualModel,
    pub coordinates: Panels<'a, f64>,
    /// `[points][columns]`.
    pub v: &'a [f64],
    pub p: &'a [f64],
    pub scales: &'a [f64],
    pub margins: &'a [f64],
}

impl LandmarkSet {
    /// Groups leaves, given the numbers of their landmarks, which are the first points of each; the first `hard` leaves stand
    /// apart. `narrow` is what the margins of `f32` ask for and upper bounds of the norms; nothing is packed in `f32` without.
    pub fn new(
        counts: &[usize],
        leaf: impl Fn(usize) -> Range<usize>,
        hard: usize,
        whole: &Whole<'_>,
        narrow: Option<(f64, &[f64])>,
    ) -> Result<Self, KernelError> {
        let mut set = Self::default();
        let mut order: Vec<Idx> = Vec::new();
        let mut next = 0;
        while next < counts.len() {
            let (first, begin) = (next, order.len());
            let end = if first < hard { hard } else { counts.len() };
            while next < end.min(first + GROUP_LEAVES) && order.len() - begin + counts[next] <= GROUP {
                set.offsets.push(order.len() - begin);
                let start = leaf(next).start;
                order.extend((start..start + counts[next]).map(|position| position as Idx)); // positions
                next += 1;
            }
            let last = order.last().copied().unwrap_or(0);
            order.resize(order.len().next_multiple_of(LANES_F32), last);
            let panels = begin / LANES_F32..order.len() / LANES_F32;
            set.groups.push(Group { leaves: first..next, panels, hard: first < hard });
        }
        set.hard_panels = set.groups.iter().rfind(|group| group.hard).map_or(0, |group| group.panels.end);
        let (hard, soft) = order.split_at(set.hard_panels * LANES_F32);
        set.wide = Packed::<f64>::gather_all(whole, hard)?;
        if let Some((offset, norms)) = narrow {
            set.narrow = Packed::<f32>::gather_all(whole, soft, offset, norms)?;
        }
        set.order = order;
        Ok(set)
    }

    /// Bytes that rows of `V` take here.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.wide.v[..]) + size_of_val(&self.narrow.v[..])
    }

    /// Whether there is `f32`.
    pub fn has_narrow(&self) -> bool {
        self.narrow.places > 0
    }

    /// The landmarks of a group in `f64`, gathered anew if it is not hard.
    pub fn gather_wide(&self, whole: &Whole<'_>, group: usize) -> Result<Option<Packed<f64>>, KernelError> {
        let Group { panels, hard, .. } = &self.groups[group];
        let places = panels.start * LANES_F32..panels.end * LANES_F32;
        (!hard).then(|| Packed::<f64>::gather(whole, &self.order[places])).transpose()
    }

    /// Landmarks of a group in `f64`; what was gathered for one that is not hard.
    pub fn wide_run<'a>(
        &'a self,
        model: ResidualModel,
        group: usize,
        gathered: Option<&'a Packed<f64>>,
    ) -> Result<ResidualRun<'a, f64>, KernelError> {
        let panels = &self.groups[group].panels;
        match gathered {
            Some(gathered) => gathered.run(model, 0..panels.len() * 2),
            None => self.wide.run(model, panels.start * 2..panels.end * 2),
        }
    }

    /// Landmarks of a group that is not hard, in `f32`.
    pub fn narrow_run<'a>(&'a self, model: ResidualModel, group: usize) -> Result<ResidualRun<'a, f32>, KernelError> {
        let panels = &self.groups[group].panels;
        self.narrow.run(model, panels.start - self.hard_panels..panels.end - self.hard_panels)
    }
}

impl<T: Exponential> Packed<T> {
    fn run(&self, model: ResidualModel, panels: Range<usize>) -> Result<ResidualRun<'_, T>, KernelError> {
        let coordinates = Panels::new(&self.coordinates, model.dim(), self.places)?;
        let points = ResidualPoints::new(model, coordinates, &self.v, &self.scales, &self.margins)?;
        points.run(panels.start, panels.len())
    }

    /// Coordinates, room for the rows of `V`, and none for the rest.
    fn without_rows(whole: &Whole<'_>, order: &[Idx]) -> Self {
        let (dim, lanes) = (whole.model.dim(), panels_len::<T>(order.len(), 1));
        let mut packed = Self {
            places: order.len(),
            coordinates: vec![T::default(); lanes * dim],
            v: vec![T::default(); lanes * whole.model.columns()],
            scales: Vec::new(),
            margins: Vec::new(),
        };
        for (place, &position) in order.iter().enumerate() {
            for d in 0..dim {
                let z = whole.coordinates.coordinate(at(position), d);
                packed.coordinates[(place / T::LANES * dim + d) * T::LANES + place % T::LANES] = T::from_f64(z);
            }
        }
        packed
    }
}

impl Packed<f64> {
    /// All but the rows of `V`, for which there is room.
    fn with_scales(whole: &Whole<'_>, order: &[Idx]) -> Self {
        let of = |position: &Idx| (whole.scales[at(*position)], whole.margins[at(*position)]);
        let (scales, margins) = order.iter().map(of).unzip();
        Self { scales, margins, ..Self::without_rows(whole, order) }
    }

    /// On one thread: the caller holds the memory of a worker.
    fn gather(whole: &Whole<'_>, order: &[Idx]) -> Result<Self, KernelError> {
        let mut packed = Self::with_scales(whole, order);
        pack_listed(whole.tier, whole.v, whole.model.columns(), order, &mut packed.v)?;
        Ok(packed)
    }

    /// On all threads.
    fn gather_all(whole: &Whole<'_>, order: &[Idx]) -> Result<Self, KernelError> {
        let (mut packed, columns) = (Self::with_scales(whole, order), whole.model.columns());
        let panels = packed.v.par_chunks_mut((columns * LANES_F64).max(1)).zip(order.par_chunks(LANES_F64));
        panels.try_for_each(|(panel, order)| pack_listed(whole.tier, whole.v, columns, order, panel))?;
        Ok(packed)
    }
}

impl Packed<f32> {
    fn gather_all(whole: &Whole<'_>, order: &[Idx], offset: f64, norms: &[f64]) -> Result<Self, KernelError> {
        let (mut packed, columns) = (Self::without_rows(whole, order), whole.model.columns());
        let pick = |values: &[f64]| order.iter().map(|&position| values[at(position)]).collect::<Vec<f64>>();
        let (norms, p) = (pick(norms), pick(whole.p));
        (packed.scales, packed.margins) = (vec![0.0; order.len()], vec![0.0; order.len()]); // whole panels
        scales_and_margins(&whole.model, offset, &norms, &p, &mut packed.scales, &mut packed.margins)?;
        let panels = packed.v.par_chunks_mut((columns * LANES_F32).max(1)).zip(order.par_chunks(LANES_F32));
        panels.try_for_each_init(
            || vec![0.0; panels_len::<f64>(LANES_F32, columns)],
            |wide, (panel, order)| {
                pack_listed(whole.tier, whole.v, columns, order, wide)?;
                narrow(&whole.model, order.len(), wide, panel)
            },
        )?;
        Ok(packed)
    }
}
