//! Points that are rows of numbers.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use covertree_kernels::arena::Arena;
use covertree_kernels::dist::{self, Form};
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, at, idx_len};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::tree::{self as kernel, Boxes, Coordinates};
use covertree_kernels::view::{Panels, Rows};

use super::{NearIn, PackedPoints, Projected, Scaling, Space};
use crate::error::Error;
use crate::order::{Curve, curve_order};
use crate::parallel;
use crate::points::{Points, Values, first_not, gather_rows};
use crate::tree::{Order, Tree};

/// A family of kernel metrics over packed coordinates, one for each borrow of the points.
pub trait PanelMetric: Copy + Send + Sync + 'static {
    /// Precision in which the points are stored.
    type Real: Real;
    /// The kernel metric over borrowed panels; a query is one prepared row.
    type Kernel<'a>: kernel::Metric<Real = Self::Real> + for<'q> QueryIsRow<'q, Self::Real> + Send + Sync;

    /// Values of a prepared row of `dim` coordinates.
    fn width(dim: usize) -> usize {
        dim
    }

    /// How many of the values of a prepared row, from the first on, are coordinates that boxes and curves run over.
    fn boxed(width: usize) -> usize {
        width
    }

    /// Points or queries as the metric stores and takes them: [`width`](Self::width) values per row.
    ///
    /// `label`, mostly a file, is what the messages name. Points and queries of one tree have the same `scaling`.
    ///
    /// # Errors
    /// One that names the first row that the metric cannot take.
    ///
    /// # Cost
    /// Reads the points once or twice, on all threads of the current rayon pool.
    fn prepare(label: &str, points: &Points, scaling: Scaling) -> Result<Vec<Self::Real>, Error>;

    /// Whether rows may have projections ahead of them.
    fn projects() -> bool {
        false
    }

    /// The kernel metric over these points, with a box around each group if there are any. `ahead` is none unless the metric
    /// [projects](Self::projects).
    fn kernel<'a>(
        points: Panels<'a, Self::Real>,
        ahead: Ahead,
        boxes: Option<Boxes<'a, Self::Real>>,
    ) -> Self::Kernel<'a>;

    /// The brute force of the metric in register tiles, if it has one.
    fn scan() -> Option<Scan<Self>> {
        None
    }

    /// Whether there is a [`sweep`](Self::sweep).
    fn sweeps() -> bool {
        false
    }

    /// The brute force for any visitors, if the metric has one that is much faster than searches that read all points.
    fn sweep<V: kernel::Visitor<Self::Real>>() -> Option<Sweep<Self, V>> {
        None
    }

    /// The search for a panel of queries together, if the metric has one; it needs boxes.
    fn knn_panel() -> Option<KnnPanel<Self>> {
        None
    }

    /// The join of a tree with itself, if the metric has one; it needs boxes.
    fn near_pairs() -> Option<NearPairs<Self>> {
        None
    }
}

/// Lists the near pairs of a tree: [`kernel::near_pairs`] for the kernel metric of `M`.
pub type NearPairs<M> = fn(
    Tier,
    kernel::TreeView<'_>,
    &<M as PanelMetric>::Kernel<'_>,
    Range<usize>,
    f64,
    &mut [kernel::Conflict],
    &mut Arena<'_>,
) -> Result<(usize, kernel::SearchCounters), KernelError>;

/// Answers a panel of queries through a tree: [`kernel::knn_panel`] for the kernel metric of `M`.
pub type KnnPanel<M> = fn(
    Tier,
    kernel::TreeView<'_>,
    &<M as PanelMetric>::Kernel<'_>,
    &[<M as PanelMetric>::Real],
    &[Idx],
    &mut [f64],
    &mut [Idx],
    &mut Arena<'_>,
) -> Result<kernel::SearchCounters, KernelError>;

/// Answers a block of queries by brute force: [`kernel::scan`] for the kernel metric of `M`.
pub type Scan<M> = fn(
    Tier,
    &<M as PanelMetric>::Kernel<'_>,
    &[Idx],
    Rows<'_, <M as PanelMetric>::Real>,
    &[Idx],
    &mut [f64],
    &mut [Idx],
    &mut Arena<'_>,
) -> Result<kernel::ScanCounters, KernelError>;

/// Runs visitors over all points: [`kernel::sweep`] for the kernel metric of `M`.
pub type Sweep<M, V> = fn(
    Tier,
    &<M as PanelMetric>::Kernel<'_>,
    Rows<'_, <M as PanelMetric>::Real>,
    &mut [V],
    &mut Arena<'_>,
) -> Result<kernel::ScanCounters, KernelError>;

/// Says that a kernel metric takes a row of coordinates as its query.
pub trait QueryIsRow<'q, T: 'q>: kernel::Metric {
    /// The row as a query.
    fn from_row(row: &'q [T]) -> Self::Query<'q>;
}

impl<'q, T: Real, F: Form> QueryIsRow<'q, T> for Coordinates<'_, T, F> {
    #[inline(always)]
    fn from_row(row: &'q [T]) -> &'q [T] {
        row
    }
}

/// A coordinate metric given by its form: Euclidean, Manhattan or Chebyshev.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByForm<T, F>(PhantomData<(T, F)>);

impl<T: Real, F: Form> PanelMetric for ByForm<T, F> {
    type Real = T;
    type Kernel<'a> = Coordinates<'a, T, F>;

    /// The coordinates, scaled.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a coordinate that is too large for the scaling; [`Error::NotSingle`] where `T` is `f32`
    /// and a coordinate, scaled, is not.
    fn prepare(label: &str, points: &Points, scaling: Scaling) -> Result<Vec<T>, Error> {
        let prepared = match points.values() {
            Values::F32(values) => convert(values, |value| scaling.apply(f64::from(value))),
            Values::F64(values) => convert(values, |value| scaling.apply(value)),
        };
        prepared.map_err(|place| {
            let (row, column) = points.place(place);
            let (file, value) = (label.to_owned(), points.values().get(place));
            if scaling.admits(value) {
                Error::NotSingle { file, row, column, value }
            } else {
                Error::TooLarge { file, row, column, value, limit: scaling.limit() }
            }
        })
    }

    fn scan() -> Option<Scan<Self>> {
        Some(kernel::scan::<T, F>)
    }

    fn sweeps() -> bool {
        F::FROM_DOTS
    }

    fn sweep<V: kernel::Visitor<T>>() -> Option<Sweep<Self, V>> {
        if F::FROM_DOTS { Some(kernel::sweep::<T, F, V>) } else { None }
    }

    fn knn_panel() -> Option<KnnPanel<Self>> {
        Some(kernel::knn_panel::<T, F>)
    }

    fn near_pairs() -> Option<NearPairs<Self>> {
        Some(kernel::near_pairs::<T, F>)
    }

    fn projects() -> bool {
        F::PROJECTS
    }

    fn kernel<'a>(points: Panels<'a, T>, ahead: Ahead, boxes: Option<Boxes<'a, T>>) -> Coordinates<'a, T, F> {
        let metric =
            Coordinates::projected(points, ahead.axes, ahead.excess).expect("checked when the points were packed");
        match boxes {
            Some(boxes) => metric.with_boxes(boxes),
            None => metric,
        }
    }
}

/// The values after `change`, or the first place where one of them is too large or not a `T`.
fn convert<V: Copy + Sync, T: Real>(values: &[V], change: impl Fn(V) -> f64 + Sync) -> Result<Vec<T>, usize> {
    let mut converted = vec![T::default(); values.len()];
    let wrong = parallel::chunks(&mut converted, CHUNK, &|chunk, out| {
        let place = values[chunk * CHUNK..].iter().zip(out).position(|(&value, out)| {
            let value = change(value);
            *out = T::from_f64(value);
            out.to_f64() != value || value.abs() > Scaling::SAFE
        });
        place.map(|place| chunk * CHUNK + place)
    });
    wrong.into_iter().flatten().next().map_or(Ok(converted), Err)
}

/// Euclidean distance.
pub type Euclidean<T> = ByForm<T, dist::SquaredEuclidean>;
/// Manhattan distance.
pub type Manhattan<T> = ByForm<T, dist::Manhattan>;
/// Chebyshev distance.
pub type Chebyshev<T> = ByForm<T, dist::Chebyshev>;

/// What stands ahead of the coordinates of prepared rows: the values of a [projection](super::Projected), or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ahead {
    /// How many values.
    pub axes: usize,
    /// By how much projections may be farther apart than the points.
    pub excess: f64,
}

/// How many of the `width` values of a row, from the first on, boxes and curves run over.
pub(crate) fn boxed<M: PanelMetric>(width: usize, ahead: Ahead) -> usize {
    if ahead.axes > 0 { ahead.axes } else { M::boxed(width) }
}

/// Prepared rows under a panel metric.
pub struct RowSpace<M: PanelMetric> {
    data: Vec<M::Real>,
    dim: usize,
    ahead: Ahead,
    axes: Option<Projected>,
}

impl<M: PanelMetric> fmt::Debug for RowSpace<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowSpace")
            .field("rows", &(self.data.len() / self.dim))
            .field("dim", &self.dim)
            .field("ahead", &self.ahead)
            .finish_non_exhaustive()
    }
}

impl<M: PanelMetric> RowSpace<M> {
    /// Prepares `points`, which the messages call `label`.
    ///
    /// # Errors
    /// As [`PanelMetric::prepare`] and [`new`](Self::new).
    pub fn prepare(label: &str, points: &Points, scaling: Scaling) -> Result<Self, Error> {
        Self::checked(label, M::prepare(label, points, scaling)?, M::width(points.dim()))
    }

    /// The rows of `data`, `dim` values each, as the metric stores them: coordinates as they are, unit vectors for
    /// [`Angular`](super::Angular).
    ///
    /// # Errors
    /// [`Error::NoColumns`], [`Error::WholeRows`], [`Error::TooManyRows`], and for the first value that is not finite or so
    /// large that squared distances may overflow [`Error::NotFinite`] and [`Error::TooLarge`]; they call the rows `rows`.
    ///
    /// # Cost
    /// Reads the values once, on all threads of the current rayon pool.
    pub fn new(data: Vec<M::Real>, dim: usize) -> Result<Self, Error> {
        Self::checked("rows", data, dim)
    }

    fn checked(label: &str, data: Vec<M::Real>, dim: usize) -> Result<Self, Error> {
        let (file, len) = (|| label.to_owned(), data.len());
        if dim == 0 {
            return Err(Error::NoColumns { file: file() });
        }
        if !len.is_multiple_of(dim) {
            return Err(Error::WholeRows { file: file(), len, dim });
        }
        idx_len(len / dim).map_err(|_| Error::TooManyRows { file: file(), rows: (len / dim) as u64 })?;
        // Differences are at most twice as large; the sum of their squares stays below half of the largest number.
        let limit = (<M::Real as Real>::HUGE / (8.0 * dim as f64)).sqrt();
        if let Some(place) = first_not(&data, |value| value.to_f64().abs() <= limit) {
            let (row, column, value) = (place / dim, place % dim, data[place].to_f64());
            return Err(match value.is_finite() {
                true => Error::TooLarge { file: file(), row, column, value, limit },
                false => Error::NotFinite { file: file(), row, column, value },
            });
        }
        Ok(Self::prepared(data, dim))
    }

    /// Rows that were checked.
    pub(crate) fn prepared(data: Vec<M::Real>, dim: usize) -> Self {
        Self { data, dim, ahead: Ahead::default(), axes: None }
    }

    /// The same where the first values of a row are a projection; for metrics that [project](PanelMetric::projects).
    pub(crate) fn with_ahead(self, ahead: Ahead) -> Self {
        assert!(ahead.axes == 0 || (M::projects() && ahead.axes < self.dim), "{ahead:?} in rows of {}", self.dim);
        Self { ahead, ..self }
    }

    /// The same, knowing the axes of the projection.
    pub(super) fn with_axes(self, axes: Projected) -> Self {
        Self { axes: Some(axes), ..self }
    }

    /// The axes of the projection, if they are known.
    pub(super) fn axes_of_projection(&self) -> Option<&Projected> {
        self.axes.as_ref()
    }

    /// How many values of a row, from the first on, boxes and curves run over.
    fn boxed(&self) -> usize {
        boxed::<M>(self.dim, self.ahead)
    }

    /// The rows along a curve through what boxes run over.
    fn along(&self, curve: Curve, tier: Tier) -> Vec<Idx> {
        let boxed = self.boxed();
        if boxed == self.dim {
            return curve_order(curve, tier, &self.data, boxed);
        }
        let mut leading = vec![M::Real::default(); self.data.len() / self.dim * boxed];
        parallel::chunks(&mut leading, ROWS * boxed, &|chunk, out| {
            for (out, row) in
                out.chunks_exact_mut(boxed).zip(self.data[chunk * ROWS * self.dim..].chunks_exact(self.dim))
            {
                out.copy_from_slice(&row[..boxed]);
            }
        });
        curve_order(curve, tier, &leading, boxed)
    }

    /// Values of a prepared row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All values, row by row.
    pub fn data(&self) -> &[M::Real] {
        &self.data
    }
}

/// Most coordinates of points whose groups are bounded by boxes: beyond, a box bounds no better than a ball.
const BOXED_DIM_MAX: usize = 16;

/// Rows that one task moves.
const ROWS: usize = 4096;

/// Values that one task converts.
const CHUNK: usize = 1 << 16;

impl<M: PanelMetric> Space for RowSpace<M> {
    type Packed = PackedPoints<M::Real>;
    type Kernel<'a> = M::Kernel<'a>;

    fn len(&self) -> usize {
        self.data.len() / self.dim
    }

    fn curve(&self, tier: Tier) -> Option<Vec<Idx>> {
        Some(self.along(Curve::Hilbert, tier))
    }

    fn morton(&self, tier: Tier) -> Option<Vec<Idx>> {
        Some(self.along(Curve::Morton, tier))
    }

    fn reorder(&mut self, order: &[Idx]) {
        self.data = gather_rows(&self.data, self.dim, order);
    }

    fn order(&self) -> Order {
        if self.boxed() <= BOXED_DIM_MAX { Order::Cells } else { Order::Blocks }
    }

    fn axes(&self) -> usize {
        self.boxed()
    }

    fn coordinate(&self, slot: usize, axis: usize) -> f64 {
        self.data[slot * self.dim + axis].to_f64()
    }

    fn lists_near_pairs(&self) -> bool {
        M::near_pairs().is_some() && self.order() == Order::Cells && self.ahead.axes == 0
    }

    fn near_pairs_blocks(&self, tree: &Tree) -> usize {
        kernel::near_pairs_blocks::<M::Real>(tree.waiting, tree.groups.len(), self.dim)
    }

    fn near_pairs(&self, near: &NearIn<'_, Self>, out: &mut [kernel::Conflict], arena: &mut Arena<'_>) -> (usize, u64) {
        let join = M::near_pairs().expect("asked before");
        let kernel = self.kernel(near.packed);
        let (found, counters) = join(near.tier, near.view, &kernel, near.rows.clone(), near.radius, out, arena)
            .expect("sized for the tree");
        (found, counters.distance_evals)
    }

    fn sweeps(&self) -> bool {
        M::sweeps()
    }

    fn sweep_blocks(&self) -> usize {
        kernel::scan_blocks::<M::Real>(self.dim)
    }

    fn sweep<'k, V: kernel::Visitor<<M::Kernel<'k> as kernel::Metric>::Real>>(
        &'k self,
        tier: Tier,
        kernel: &M::Kernel<'k>,
        slots: &[Idx],
        visitors: &mut [V],
        arena: &mut Arena<'_>,
    ) -> u64 {
        let sweep = M::sweep::<V>().expect("asked before");
        let data: Vec<M::Real> =
            slots.iter().flat_map(|&slot| &self.data[at(slot) * self.dim..][..self.dim]).copied().collect();
        let rows = Rows::new(&data, self.dim).expect("whole rows");
        sweep(tier, kernel, rows, visitors, arena).expect("sized for these rows").distance_evals
    }

    fn pack(&self, tree: &Tree, tier: Tier) -> PackedPoints<M::Real> {
        let mut packed = self.pack_slots(tree.ids());
        if tree.order() == Order::Cells {
            packed.enclose(self.boxed(), &tree.groups, tier);
        }
        packed
    }

    fn kernel<'a>(&'a self, packed: &'a Self::Packed) -> M::Kernel<'a> {
        packed.metric::<M>()
    }

    fn pack_slots(&self, slots: &[Idx]) -> PackedPoints<M::Real> {
        PackedPoints::pack(&self.data, self.dim, self.ahead, slots)
    }

    fn query<'a>(&'a self, slot: usize) -> <M::Kernel<'a> as kernel::Metric>::Query<'a> {
        <M::Kernel<'a> as QueryIsRow<'a, M::Real>>::from_row(&self.data[slot * self.dim..(slot + 1) * self.dim])
    }
}
