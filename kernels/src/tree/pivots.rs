//! Items under a distance function, told apart by their distances to a few of them: the pivots.
//!
//! Two items whose distances to a pivot differ by `g` are at least `g` apart. So the distances to `P` pivots are coordinates
//! under which the Chebyshev distance never exceeds the true one, and everything that is done with coordinates can be done with
//! them: cells, boxes around groups, vector operations that rule out whole panels. The distance function, which nothing is
//! known of and which may be arbitrarily slow, is asked only about what is left.
//!
//! Since they only rule out, the coordinates are kept in single precision ([`PivotScale`]): twice as many to a vector, and half
//! the memory.
//!
//! Sources: Mico, Oncina and Vidal, *A new version of the nearest-neighbour approximating and eliminating search algorithm*
//! (Pattern Recognition Letters 1994), for the bound; Traina, Filho, Traina, Vieira and Faloutsos, *The Omni-family of all-purpose
//! access methods* (VLDB Journal 2007), for boxes in the space of the pivots.

use super::{Boxes, Coordinates, Item, Items, Metric};
use crate::dist::Chebyshev;
use crate::error::{KernelError, want};
use crate::index::{Idx, idx_len};
use crate::simd::{Lanes, Real};
use crate::view::Panels;

/// Most pivots.
pub const PIVOTS_MAX: usize = 16;

/// How distances to pivots become coordinates in single precision: times a power of two, by which the largest of the table
/// comes to be at most 1 (or 4, at the end of the range of `f64`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PivotScale(f64);

impl PivotScale {
    /// The largest coordinate, of queries that are farther than that: far beyond the items, whose coordinates are near 1 at most.
    const FAR: f64 = (1u128 << 100) as f64;

    /// The scale of a table in which no distance is above `farthest`.
    pub fn of(farthest: f64) -> Self {
        // Of any `farthest`, also one that is 0, infinite or no number: a power that has an inverse.
        let exponent = (farthest.to_bits() >> 52 & 0x7ff) as i64 - 1023;
        let power = (-exponent - 1).clamp(-1022, 1000);
        Self(f64::from_bits(((1023 + power) as u64) << 52)) // 1..=2023
    }

    /// The coordinate of a distance: rounded to nearest.
    #[inline]
    pub fn coordinate(self, distance: f64) -> f32 {
        let scaled = distance * self.0;
        (if scaled < Self::FAR { scaled } else { Self::FAR }) as f32
    }
}

/// An item as a query, with its distances to the pivots as coordinates.
#[derive(Debug)]
pub struct PivotItem<'q, X> {
    pub(super) item: Item<'q, X>,
    coordinates: [f32; PIVOTS_MAX],
    /// How many of them there are.
    axes: usize,
}

impl<X> Clone for PivotItem<'_, X> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<X> Copy for PivotItem<'_, X> {}

impl<'q, X> PivotItem<'q, X> {
    /// The item with its distances to all pivots as coordinates, in their order and by the [`PivotScale`] of the table.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when there are more than [`PIVOTS_MAX`].
    pub fn new(item: Item<'q, X>, coordinates: &[f32]) -> Result<Self, KernelError> {
        want("coordinates", coordinates.len().min(PIVOTS_MAX), coordinates.len())?;
        let mut all = [0.0; PIVOTS_MAX];
        all[..coordinates.len()].copy_from_slice(coordinates);
        Ok(Self { item, coordinates: all, axes: coordinates.len() })
    }
}

/// What one step of choosing pivots found in a run of items.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Remotest {
    /// The first of the items that are farthest from their nearest pivots.
    pub position: usize,
    /// That distance.
    pub distance: f64,
    /// The largest distance from the newest pivot.
    pub largest: f64,
}

impl Remotest {
    /// Of two runs, the first of which stands before the other.
    pub fn join(self, later: Self) -> Self {
        let largest = if later.largest > self.largest { later.largest } else { self.largest };
        Self { largest, ..if later.distance > self.distance { later } else { self } }
    }
}

impl<X: 'static, D> Items<'_, X, D>
where
    D: Fn(&X, &X) -> f64,
{
    /// One step of choosing pivots, each the farthest from those before it, over a run of items:
    ///
    /// ```text
    /// column[i] = d(pivot, item from + i),   least[i] = min(least[i], column[i]),
    /// ```
    ///
    /// and the first item whose `least` is the largest is the next pivot. Runs are [joined](Remotest::join) in their order.
    ///
    /// | argument | shape |
    /// | --- | --- |
    /// | `pivot` | the newest pivot |
    /// | `from` | position of the first item of the run |
    /// | `column` | `[items]`, overwritten: their distances from the newest pivot |
    /// | `least` | `[items]`, lowered: their distances from their nearest pivots; plus infinity before the first |
    ///
    /// Source: Gonzalez, *Clustering to minimize the maximum intercluster distance* (1985).
    ///
    /// # Errors
    /// [`KernelError::Shape`] when the outputs differ in length, [`KernelError::Key`] when the run ends behind the last item:
    /// element 1 is where it ends, and the limit the number of items. Nothing is written then, and the function is not called.
    ///
    /// # Cost
    /// One call of the distance function per item.
    pub fn remotest(
        &self,
        pivot: Item<'_, X>,
        from: usize,
        column: &mut [f64],
        least: &mut [f64],
    ) -> Result<Remotest, KernelError> {
        want("least", column.len(), least.len())?;
        let (to, limit) = (from.saturating_add(column.len()), idx_len(self.len())?);
        if to > self.len() {
            return Err(KernelError::Key { at: 1, key: Idx::try_from(to).unwrap_or(Idx::MAX), limit });
        }
        let mut remotest = Remotest { position: from, ..Remotest::default() };
        for (position, (out, least)) in (from..to).zip(column.iter_mut().zip(least)) {
            let distance = self.between(pivot, position);
            *out = distance;
            *least = if distance < *least { distance } else { *least };
            remotest = remotest.join(Remotest { position, distance: *least, largest: distance });
        }
        Ok(remotest)
    }
}

/// How many of the pivots are worth their cost, judged by a sample of items: the fewest that leave at most a quarter more
/// pairs undecided than all do. A pair is undecided where the pivots do not show that the items are farther apart than the
/// first of them and its nearest neighbour in the sample.
///
/// | argument | shape |
/// | --- | --- |
/// | `distances` | `[items][items]`, of the sample |
/// | `table` | `[items][pivots]`, to the pivots |
///
/// # Errors
/// [`KernelError::Least`] without pivots; [`KernelError::Shape`] when the lengths do not fit, [`KernelError::Value`] for more than
/// [`PIVOTS_MAX`] pivots.
///
/// # Cost
/// At most `items^2 pivots` comparisons.
pub fn pivots_worth_having(distances: &[f64], table: &[f64], pivots: usize) -> Result<usize, KernelError> {
    if pivots == 0 {
        return Err(KernelError::Least { what: "pivots", least: 1, got: 0 });
    }
    if pivots > PIVOTS_MAX {
        return Err(KernelError::Value { what: "pivots", at: pivots });
    }
    let items = table.len() / pivots;
    want("table", items * pivots, table.len())?;
    want("distances", items.saturating_mul(items), distances.len())?;
    let mut undecided = [0u64; PIVOTS_MAX];
    for item in 0..items {
        let row = &distances[item * items..][..items];
        let others = || (0..items).filter(move |&other| other != item);
        let nearest = others().fold(f64::INFINITY, |least, other| if row[other] < least { row[other] } else { least });
        for other in others() {
            let (mine, theirs) = (&table[item * pivots..][..pivots], &table[other * pivots..][..pivots]);
            for (count, (a, b)) in undecided.iter_mut().zip(mine.iter().zip(theirs)) {
                if a - b > nearest || b - a > nearest {
                    break;
                }
                *count += 1;
            }
        }
    }
    let all = undecided[pivots - 1];
    let enough = undecided[..pivots].iter().position(|&count| count <= all + all / 4);
    Ok(enough.map_or(pivots, |place| place + 1))
}

/// [`Items`] with their distances to pivots.
///
/// A surrogate is the largest difference of two items' coordinates; it bounds the distance from below only, so
/// [`at_most`](Metric::at_most) is infinite and [`floor`](Metric::floor) is 0.
///
/// # Margins
/// Let `x` be at a computed distance `D` from the query `q`, `s` and `a` the relative and absolute [`Slack`](super::Slack), `C` the
/// largest distance of an item to a pivot. For each pivot `c`, as computed,
///
/// ```text
/// d(q, c) <= d(q, x) + d(x, c) + s (d(q, x) + d(x, c)) + a  <=  d(x, c) + D + s (D + C) + a,
/// d(x, c) <= d(q, x) + d(q, c) + s (d(q, x) + d(q, c)) + a  <=  d(q, c) + D + s (D + C) + a,
/// ```
///
/// the last where `d(q, c) <= d(x, c) <= C`, which is where it matters. So the two differ by at most `E = D + s (D + C) + a`.
///
/// Coordinates are these distances times the scale `w`, which is exact, rounded to `f32`: each is off by at most `u = 2^-24` of itself,
/// or by half of the smallest number, `2^-150`, and a query that is beyond the range of coordinates has one that is too small, which
/// only lessens a difference. As `d(x, c) <= C` and `d(q, c) <= C + E`, no difference of coordinates exceeds
///
/// ```text
/// w (E + u (E + 2 C)) + 2^-149  =  w (1 + u) (1 + s) D  +  w ((1 + u) (s C + a) + 2 u C) + 2^-149.
/// ```
///
/// The rounding of the difference is what the Chebyshev metric over the table accounts for. With `2 u` for `u`, and eight units in the
/// last place more than `s`, both terms also pay for the arithmetic here.
#[derive(Debug)]
pub struct PivotItems<'a, X, D> {
    pub(super) items: Items<'a, X, D>,
    table: Coordinates<'a, f32, Chebyshev>,
    axes: usize,
    /// By how much a difference of coordinates grows with the distance,
    factor: f64,
    /// and what it may be at none.
    term: f64,
}

impl<'a, X, D> PivotItems<'a, X, D> {
    /// The metric over items of which `table` holds the distances to the pivots as [coordinates](PivotScale::coordinate), in the order
    /// of the tree; none of the distances is above `farthest`, which the scale is [of](PivotScale::of).
    ///
    /// # Errors
    /// [`KernelError::Shape`] when the table has more than [`PIVOTS_MAX`] columns, or not a row for each item.
    pub fn new(items: Items<'a, X, D>, table: Panels<'a, f32>, farthest: f64) -> Result<Self, KernelError> {
        want("table", items.len(), table.len())?;
        let axes = table.dim();
        want("pivots", axes.min(PIVOTS_MAX), axes)?;
        let (slack, PivotScale(scale)) = (items.slack(), PivotScale::of(farthest));
        let (relative, rounding) = (slack.relative + 8.0 * f64::EPSILON, 2.0 * f32::ROUNDOFF);
        let factor = scale * ((1.0 + rounding) * (1.0 + relative));
        let differences = (1.0 + rounding) * (relative * farthest + slack.absolute);
        let term = scale * (differences + 2.0 * rounding * farthest) + f64::from(f32::from_bits(2));
        Ok(Self { items, table: Coordinates::new(table), axes, factor, term })
    }

    /// The same with a box around each group of the tree, in the space of the pivots.
    ///
    /// # Errors
    /// [`KernelError::Shape`] unless a box has an axis for each pivot.
    pub fn with_boxes(self, boxes: Boxes<'a, f32>) -> Result<Self, KernelError> {
        want("boxes", self.axes, boxes.axes())?;
        Ok(Self { table: self.table.with_boxes(boxes), ..self })
    }
}

impl<X: 'static, D: Fn(&X, &X) -> f64> Metric for PivotItems<'_, X, D> {
    type Real = f32;
    type Query<'q> = PivotItem<'q, X>;
    const SHORTLIST_FROM: usize = usize::MAX;
    const DEAR: bool = true;

    #[inline]
    fn positions(&self) -> usize {
        self.items.len()
    }

    #[inline]
    fn check(&self, query: PivotItem<'_, X>, len: usize) -> Result<(), KernelError> {
        self.items.check(query.item, len)?;
        want("query", self.axes, query.axes)
    }

    #[inline]
    fn check_boxes(&self, groups: usize) -> Result<(), KernelError> {
        self.table.check_boxes(groups)
    }

    #[inline(always)]
    fn surrogates<L: Lanes>(&self, query: PivotItem<'_, X>, from: usize, to: usize, ceiling: f32, out: &mut [f32]) {
        self.table.surrogates::<L>(&query.coordinates[..self.axes], from, to, ceiling, out);
    }

    #[inline(always)]
    fn surrogate_panel<L: Lanes>(
        &self,
        query: PivotItem<'_, X>,
        from: usize,
        to: usize,
        ceiling: f32,
    ) -> <f32 as Real>::On<L> {
        self.table.surrogate_panel::<L>(&query.coordinates[..self.axes], from, to, ceiling)
    }

    #[inline(always)]
    fn has_boxes(&self) -> bool {
        self.table.has_boxes()
    }

    #[inline(always)]
    fn box_bounds<L: Lanes>(&self, query: PivotItem<'_, X>, from: usize, to: usize, out: &mut [f32]) {
        self.table.box_bounds::<L>(&query.coordinates[..self.axes], from, to, out);
    }

    #[inline(always)]
    fn box_panel<L: Lanes>(&self, query: PivotItem<'_, X>, from: usize, to: usize) -> <f32 as Real>::On<L> {
        self.table.box_panel::<L>(&query.coordinates[..self.axes], from, to)
    }

    #[inline(always)]
    fn ceiling(&self, distance: f64) -> f32 {
        if distance < 0.0 {
            return self.table.ceiling(distance);
        }
        self.table.ceiling(self.factor * distance + self.term)
    }

    #[inline(always)]
    fn floor(&self, _distance: f64) -> f32 {
        0.0
    }

    #[inline(always)]
    fn at_least<L: Lanes>(&self, surrogate: f32) -> f64 {
        let bound = (self.table.at_least::<L>(surrogate) - self.term) / self.factor;
        if bound > 0.0 { bound * (1.0 - 4.0 * f64::EPSILON) } else { 0.0 }
    }

    #[inline(always)]
    fn at_most<L: Lanes>(&self, _surrogate: f32) -> f64 {
        f64::INFINITY
    }

    #[inline(always)]
    fn distance<L: Lanes>(&self, query: PivotItem<'_, X>, position: usize, _surrogate: f32) -> f64 {
        self.items.between(query.item, position)
    }

    #[inline(always)]
    fn prefetch<L: Lanes>(&self, position: usize) {
        self.items.prefetch::<L>(position);
    }

    #[inline(always)]
    fn prefetch_run<L: Lanes>(&self, from: usize) {
        self.items.prefetch_run::<L>(from);
    }

    #[inline(always)]
    fn beyond(&self, center: f64, reach: f64) -> f64 {
        self.items.beyond(center, reach)
    }
}

#[cfg(test)]
mod tests;
