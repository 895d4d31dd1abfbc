//! Bounding boxes of groups.

use super::search::lanes_within;
use crate::dist::Form;
use crate::error::{KernelError, want};
use crate::index::idx_len;
use crate::simd::{Lanes, OnLanes, Real, Tier, Vector};
use crate::view::Panels;

/// Axis-parallel boxes, packed like points: panels of [`Real::LANES`] boxes, each panel stored `[2 * dim][LANES]`, the
/// lower corners before the upper ones.
#[derive(Clone, Copy, Debug)]
pub struct Boxes<'a, T> {
    corners: Panels<'a, T>,
}

impl<'a, T: Real> Boxes<'a, T> {
    /// A view of packed corners.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when the number of corner coordinates is odd.
    pub fn new(corners: Panels<'a, T>) -> Result<Self, KernelError> {
        want("corners", corners.dim() / 2 * 2, corners.dim())?;
        Ok(Self { corners })
    }

    /// Number of boxes.
    pub fn len(&self) -> usize {
        self.corners.len()
    }

    /// Dimensions of a box.
    pub fn axes(&self) -> usize {
        self.corners.dim() / 2
    }

    /// The packed corners.
    pub fn corners(&self) -> Panels<'a, T> {
        self.corners
    }

    /// Whether there are no boxes.
    pub fn is_empty(&self) -> bool {
        self.corners.is_empty()
    }

    /// Refuses boxes that are not one for each of `groups`, with `axes` axes.
    #[inline]
    pub(super) fn check(&self, groups: usize, axes: usize) -> Result<(), KernelError> {
        want("boxes", groups, self.len())?;
        want("axes of the boxes", axes, self.axes())
    }

    /// For each box of the run, the form's sum over the gaps between `query` and the box, as
    /// [`panel_bounds`](Self::panel_bounds) finds it.
    #[inline(always)]
    pub(crate) fn bounds<F: Form, L: Lanes>(&self, query: &[T], from: usize, to: usize, out: &mut [T]) {
        for (panel, out) in (from / T::LANES..to.div_ceil(T::LANES)).zip(out.chunks_exact_mut(T::LANES)) {
            self.panel_bounds::<F, L>(query, panel).store(out);
        }
    }

    /// For each box of one panel, the form's sum over the gaps between `query` and the box.
    ///
    /// The gap of a dimension is `max(low - query, query - high, 0)`. For a point inside the box the rounded difference to
    /// the query is at least the rounded gap, and the sum is made by the same operations in the same order, each of
    /// which is monotone also after rounding. So the bound never exceeds the sum that the point has in this precision,
    /// unfused; a ceiling allows for its error already, with no further margin. Nothing is fused, so that traversals
    /// take the same way on every tier.
    #[inline(always)]
    pub(crate) fn panel_bounds<F: Form, L: Lanes>(&self, query: &[T], panel: usize) -> T::On<L> {
        self.panel_gaps::<F, L>(query, query, panel)
    }

    /// For each box of one panel, the form's sum over the gaps between it and the box from `low` to `high`: not above the
    /// bound of any query in that box, for differences of numbers further apart are larger also after rounding.
    #[inline(always)]
    pub(crate) fn panel_gaps<F: Form, L: Lanes>(&self, low: &[T], high: &[T], panel: usize) -> T::On<L> {
        let corners = self.corners.run(panel, 1);
        // Few dimensions are known to the compiler, so that the loop over them unrolls.
        match low.len() {
            1 => gaps::<T, F, L>(&low[..1], &high[..1], corners),
            2 => gaps::<T, F, L>(&low[..2], &high[..2], corners),
            3 => gaps::<T, F, L>(&low[..3], &high[..3], corners),
            4 => gaps::<T, F, L>(&low[..4], &high[..4], corners),
            _ => gaps::<T, F, L>(low, high, corners),
        }
    }

    /// For each query of a packed panel, the form's sum over the gaps between it and one box, as
    /// [`panel_bounds`](Self::panel_bounds) finds it.
    #[inline(always)]
    pub(crate) fn bounds_of_panel<F: Form, L: Lanes>(&self, queries: &[T], number: usize) -> T::On<L> {
        let zero = <T::On<L>>::splat(T::default());
        let axes = self.axes();
        let corners = &self.corners.run(number / T::LANES, 1)[number % T::LANES..];
        let mut sum = zero;
        for (d, row) in queries[..axes * T::LANES].chunks_exact(T::LANES).enumerate() {
            let q = <T::On<L>>::load(row);
            let below = <T::On<L>>::splat(corners[d * T::LANES]).sub(q);
            let above = q.sub(<T::On<L>>::splat(corners[(axes + d) * T::LANES]));
            sum = F::step::<T::On<L>, true>(sum, below.max(above).max(zero), zero);
        }
        sum
    }
}

#[inline(always)]
fn gaps<T: Real, F: Form, L: Lanes>(low: &[T], high: &[T], corners: &[T]) -> T::On<L> {
    let zero = <T::On<L>>::splat(T::default());
    let (lows, highs) = corners[..2 * low.len() * T::LANES].split_at(low.len() * T::LANES);
    let mut sum = zero;
    let axes = low.iter().zip(high).zip(lows.chunks_exact(T::LANES)).zip(highs.chunks_exact(T::LANES));
    for (((&from, &to), low), high) in axes {
        let below = <T::On<L>>::load(low).sub(<T::On<L>>::splat(to));
        let above = <T::On<L>>::splat(from).sub(<T::On<L>>::load(high));
        sum = F::step::<T::On<L>, true>(sum, below.max(above).max(zero), zero);
    }
    sum
}

/// The smallest and largest coordinate of a run, by dimension.
struct BoxOfRun<'a, 'o, T> {
    points: Panels<'a, T>,
    from: usize,
    to: usize,
    low: &'o mut [T],
    high: &'o mut [T],
}

impl<T: Real> OnLanes for BoxOfRun<'_, '_, T> {
    type Out = ();
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let (first, last) = (self.from / T::LANES, (self.to - 1) / T::LANES);
        let within = |panel| lanes_within(panel * T::LANES, self.from, self.to);
        let zero = <T::On<L>>::splat(T::default());
        for d in 0..self.low.len() {
            let row = |panel| <T::On<L>>::load(&self.points.run(panel, 1)[d * T::LANES..]);
            let start = <T::On<L>>::splat(self.points.coordinate(self.from, d));
            let (front, back) = (row(first).keep(within(first), start), row(last).keep(within(last), start));
            let (mut low, mut high) = (front.min(back), front.max(back));
            for panel in first + 1..last {
                let row = row(panel);
                low = low.min(row);
                high = high.max(row);
            }
            let (low, high) = (low.least(), T::default() - zero.sub(high).least());
            self.low[d] = low;
            self.high[d] = high;
        }
    }
}

/// The bounding box of the leading coordinates of the points at `from..to`: as many as the outputs have room for.
///
/// | argument | shape |
/// | --- | --- |
/// | `points` | packed, finite |
/// | `from`, `to` | `from < to <= points.len()` |
/// | `low`, `high` | `[boxed]`, overwritten; `boxed <= dim` |
///
/// # Errors
/// [`KernelError::Shape`] when the outputs differ in length or are longer than `dim`; [`KernelError::Value`] when the run
/// is empty or not within the points. Nothing is written then.
///
/// # Accuracy
/// Nothing rounds.
///
/// # Cost
/// Reads the leading coordinates of the panels of the run once.
pub fn box_of_run<T: Real>(
    tier: Tier,
    points: Panels<'_, T>,
    from: usize,
    to: usize,
    low: &mut [T],
    high: &mut [T],
) -> Result<(), KernelError> {
    want("low", low.len().min(points.dim()), low.len())?;
    want("high", low.len(), high.len())?;
    idx_len(to)?;
    if from >= to || to > points.len() {
        return Err(KernelError::Value { what: "to", at: to });
    }
    tier.run(BoxOfRun { points, from, to, low, high });
    Ok(())
}
