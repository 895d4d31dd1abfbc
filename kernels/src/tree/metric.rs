//! What a traversal asks of a metric.

use crate::error::KernelError;
use crate::simd::{Lanes, Real, Vector};

/// A metric over the points of a tree, in the order in which the tree stores them.
///
/// The traversal never settles a question by anything but [`distance`](Self::distance), the published formula. To ask
/// it rarely, a metric also offers *surrogates*: numbers that grow with the distance, cheap to get for a whole run of
/// points. [`ceiling`](Self::ceiling), [`at_least`](Self::at_least) and [`at_most`](Self::at_most) translate between
/// the two and carry the proven margin.
///
/// Computed distances must be symmetric, not negative, not NaN, and satisfy the triangle inequality up to
/// [`beyond`](Self::beyond); otherwise answers are unspecified, but nothing panics or reads out of bounds.
pub trait Metric {
    /// Precision of the surrogates; its panel width is the alignment of surrogate buffers.
    type Real: Real;
    /// One prepared query.
    type Query<'q>: Copy;

    /// Number of positions.
    fn positions(&self) -> usize;

    /// Refuses a query of another shape than the points, and a tree of another number of points. A search asks once, before
    /// anything else.
    ///
    /// # Errors
    /// [`KernelError::Shape`].
    fn check(&self, query: Self::Query<'_>, len: usize) -> Result<(), KernelError>;

    /// Refuses a tree of which this metric has not a box for each of its `groups`, with the axes of a query; takes any tree where it
    /// [has no boxes](Self::has_boxes). A search asks once, after [`check`](Self::check).
    ///
    /// # Errors
    /// [`KernelError::Shape`].
    #[inline]
    fn check_boxes(&self, groups: usize) -> Result<(), KernelError> {
        let _ = groups;
        Ok(())
    }

    /// Writes the surrogates of the points at `from..to`.
    ///
    /// The surrogate of position `i` goes to `out[i - base]`, where `base` is `from` rounded down to a multiple of
    /// the panel width; other elements of the first and the last panel may be overwritten with anything. `out` has at
    /// least [`run_len`]`(from, to)` elements. Once every surrogate of a panel is sure to exceed `ceiling`, any
    /// value above `ceiling` that is not above the true surrogate may be written instead.
    fn surrogates<L: Lanes>(
        &self,
        query: Self::Query<'_>,
        from: usize,
        to: usize,
        ceiling: Self::Real,
        out: &mut [Self::Real],
    );

    /// From how many neighbours on a search does well to go by surrogates and to settle distances in the end: not where
    /// [`at_most`](Self::at_most) tells nothing; for few of them only where [`reach`](Self::reach) costs little.
    const SHORTLIST_FROM: usize = 16;

    /// Whether a distance costs far more than a surrogate, so that it pays to settle nothing before what has a smaller surrogate, or stands
    /// in a group with a smaller bound.
    /// Where the caps of a visitor differ by group, only within a group.
    /// Only where groups are bounded by boxes, and for a metric whose distances are settled at once: [`SHORTLIST_FROM`](Self::SHORTLIST_FROM)
    /// is out of reach.
    const DEAR: bool = false;

    /// A surrogate that no point at or below `distance` exceeds.
    fn ceiling(&self, distance: f64) -> Self::Real;

    /// A number that the surrogate of no point at or beyond `distance` falls below.
    fn floor(&self, distance: f64) -> Self::Real;

    /// A lower bound of the distance of a point with this surrogate.
    fn at_least<L: Lanes>(&self, surrogate: Self::Real) -> f64;

    /// The surrogates of the points at `from..to`, which lie in one panel, in the lanes of that panel; see
    /// [`surrogates`](Self::surrogates). Other lanes hold anything.
    #[inline(always)]
    fn surrogate_panel<L: Lanes>(
        &self,
        query: Self::Query<'_>,
        from: usize,
        to: usize,
        ceiling: Self::Real,
    ) -> <Self::Real as Real>::On<L> {
        let mut out = [Self::Real::default(); 16];
        self.surrogates::<L>(query, from, to, ceiling, &mut out[..Self::Real::LANES]);
        <<Self::Real as Real>::On<L>>::load(&out)
    }

    /// Whether groups are bounded by boxes: [`box_bounds`](Self::box_bounds) instead of balls.
    #[inline(always)]
    fn has_boxes(&self) -> bool {
        false
    }

    /// Writes for each of the groups `from..to` a number that is not above the [`ceiling`](Self::ceiling) of the distance of
    /// any of its points, and the same on every tier; placed in `out` as [`surrogates`](Self::surrogates) are. Only asked of a metric that [has boxes](Self::has_boxes).
    #[inline(always)]
    fn box_bounds<L: Lanes>(&self, query: Self::Query<'_>, from: usize, to: usize, out: &mut [Self::Real]) {
        let _ = (query, from);
        out[..run_len(Self::Real::LANES, from, to)].fill(Self::Real::default());
    }

    /// [`box_bounds`](Self::box_bounds) of the groups `from..to`, which lie in one panel, in the lanes of that panel.
    /// Other lanes hold anything.
    #[inline(always)]
    fn box_panel<L: Lanes>(&self, query: Self::Query<'_>, from: usize, to: usize) -> <Self::Real as Real>::On<L> {
        let mut out = [Self::Real::default(); 16];
        self.box_bounds::<L>(query, from, to, &mut out[..Self::Real::LANES]);
        <<Self::Real as Real>::On<L>>::load(&out)
    }

    /// An upper bound of the distance of a point with this surrogate.
    fn at_most<L: Lanes>(&self, surrogate: Self::Real) -> f64;

    /// A surrogate that no point exceeds which is as near as any point with this surrogate, or nearer.
    #[inline(always)]
    fn reach<L: Lanes>(&self, surrogate: Self::Real) -> Self::Real {
        self.ceiling(self.at_most::<L>(surrogate))
    }

    /// The distance by the published formula, given the point's surrogate (which some metrics can use).
    fn distance<L: Lanes>(&self, query: Self::Query<'_>, position: usize, surrogate: Self::Real) -> f64;

    /// Fetches into the cache the beginning of what [`distance`](Self::distance) will need of a point.
    #[inline(always)]
    fn prefetch<L: Lanes>(&self, position: usize) {
        let _ = position;
    }

    /// Fetches into the cache what [`prefetch`](Self::prefetch) reads of the few dozen points from `from` on.
    #[inline(always)]
    fn prefetch_run<L: Lanes>(&self, from: usize) {
        let _ = from;
    }

    /// Distances by the published formula of those points of the panel at `start` whose bit is set in `mask`, at least;
    /// other elements of `out` may be overwritten with anything. `surrogates` are the panel's.
    #[inline(always)]
    fn distances<L: Lanes>(
        &self,
        query: Self::Query<'_>,
        start: usize,
        mask: u32,
        surrogates: &[Self::Real],
        out: &mut [f64; 16],
    ) {
        let mut rest = mask;
        while rest != 0 {
            let lane = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            out[lane] = self.distance::<L>(query, start + lane, surrogates[lane]);
        }
    }

    /// A lower bound of the computed distance to any point within a computed `reach` of a point whose computed
    /// distance is at least `center`: `center - reach`, less the slack by which computed distances may break the
    /// triangle inequality. May be negative.
    ///
    /// The default subtracts 4 units in the last place of `center + reach`, as for a metric that is computed to
    /// within one unit.
    fn beyond(&self, center: f64, reach: f64) -> f64 {
        center - reach - 4.0 * f64::EPSILON * (center + reach)
    }
}

/// Elements that a surrogate buffer needs for the positions `from..to`: whole panels.
#[inline(always)]
pub const fn run_len(lanes: usize, from: usize, to: usize) -> usize {
    to.next_multiple_of(lanes) - from / lanes * lanes
}

/// Refuses a query with a coordinate that is no number: nothing is near it, and that would look like a tree of too few points.
pub(super) fn check_numbers<T: Real>(query: &[T]) -> Result<(), KernelError> {
    match query.iter().position(|value| value.to_f64().is_nan()) {
        Some(at) => Err(KernelError::Value { what: "query", at }),
        None => Ok(()),
    }
}
