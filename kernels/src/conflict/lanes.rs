//! The tile: four rows against one panel of columns.

use core::marker::PhantomData;

use super::sink::Sink;
use super::{Scope, Which};
use crate::dist::Form;
use crate::index::{Idx, at};
use crate::simd::{LANES_F32, Lanes, OnLanes, Real, Vector};
use crate::view::Panels;

/// Rows of a tile, on every tier: their sums and the panel row stay in registers.
pub(super) const ROWS: usize = 4;

/// Dimensions between two questions whether every lane has passed every radius.
const DIMS: usize = 16;

/// What was done, besides what the sink keeps.
#[derive(Default)]
pub(super) struct Work {
    pub tiles_cut: u64,
    pub settled: u64,
    pub pairs: u64,
    pub kept: u64,
}

/// A scope to be run into a sink on some tier.
pub(super) struct Within<'a, T, F, S> {
    pub points: Panels<'a, T>,
    pub scope: &'a Scope<'a>,
    pub sink: S,
    pub form: PhantomData<F>,
}

/// The radius of a row, as bounds on sums.
#[derive(Clone, Copy)]
pub(super) struct Caps<T> {
    /// The largest sum by the formula whose distance is at most the radius.
    pub sum: f64,
    /// No pair has a sum above this in the arithmetic of the tile.
    pub reject: T,
    /// Every sum up to this in the arithmetic of the tile belongs to a pair.
    pub accept: T,
}

/// The largest sum whose distance is at most `radius`: a few steps from where exact arithmetic would have it.
pub(super) fn largest_sum<F: Form>(radius: f64) -> f64 {
    let mut sum = F::unfinish(radius);
    if sum == f64::INFINITY && radius < f64::INFINITY {
        sum = f64::MAX;
    }
    while F::finish(sum) > radius {
        sum = sum.next_down();
    }
    while sum < f64::INFINITY && F::finish(sum.next_up()) <= radius {
        sum = sum.next_up();
    }
    sum
}

impl<T: Real> Caps<T> {
    pub(super) fn new<F: Form>(radius: f64, dim: usize) -> Self {
        let sum = largest_sum::<F>(radius);
        if T::IS_F64 {
            let exact = T::from_f64(sum);
            return Self { sum, reject: exact, accept: exact };
        }
        let relative = 2.0 * (F::relative_error::<T>(dim) + F::relative_error::<f64>(dim)) + 8.0 * f64::EPSILON;
        let absolute = 2.0 * (F::absolute_error::<T>(dim) + F::absolute_error::<f64>(dim));
        let reject = sum * (1.0 + relative) + absolute;
        let accept = (sum * (1.0 - relative) - absolute) * (1.0 - 4.0 * T::ROUNDOFF);
        Self {
            sum,
            reject: if reject < T::HUGE { T::from_f64(reject).next_up() } else { T::INFINITY },
            // Below every sum, so that nothing is accepted unseen, where the bound says nothing.
            accept: if accept > 0.0 { T::from_f64(accept.min(T::HUGE)) } else { T::from_f64(-1.0) },
        }
    }
}

/// The lanes `from..to` of a panel that starts at position `base`.
#[inline(always)]
fn lane_mask(base: usize, from: usize, to: usize, lanes: usize) -> u32 {
    let low = |end: usize| (1u32 << end.saturating_sub(base).min(lanes)) - 1;
    low(to) & !low(from)
}

/// Sums by the published formula of the point at `position` against every lane of a panel.
#[inline(always)]
pub(super) fn settle<T: Real, F: Form>(points: Panels<'_, T>, position: usize, panel: usize) -> [f64; LANES_F32] {
    let mut sums = [0.0; LANES_F32];
    for (d, row) in points.run(panel, 1).chunks_exact(T::LANES).enumerate() {
        let query = points.coordinate(position, d).to_f64();
        for (sum, &point) in sums.iter_mut().zip(row) {
            *sum = F::step_f64(*sum, query, point.to_f64());
        }
    }
    sums
}

/// The coordinates of the rows at `position..` in the dimensions `dim..`, as many as fit.
#[inline(always)]
fn load_rows<T: Real, const R: usize>(points: Panels<'_, T>, position: usize, dim: usize) -> [[T; R]; DIMS] {
    let mut block = [[T::default(); R]; DIMS];
    for (row, d) in block.iter_mut().zip(dim..points.dim()) {
        for (slot, value) in row.iter_mut().enumerate() {
            *value = points.coordinate(position + slot, d);
        }
    }
    block
}

/// Adds up to [`DIMS`] dimensions of a panel to the sums of a tile.
#[inline(always)]
fn add_dims<T: Real, F: Form, L: Lanes, const R: usize>(sums: &mut [T::On<L>; R], block: &[[T; R]; DIMS], panel: &[T]) {
    for (query, row) in block.iter().zip(panel.chunks_exact(T::LANES)) {
        let row = <T::On<L>>::load(row);
        for slot in 0..R {
            let query = <T::On<L>>::splat(query[slot]);
            sums[slot] = if T::IS_F64 {
                F::step::<T::On<L>, true>(sums[slot], query, row)
            } else {
                F::step::<T::On<L>, false>(sums[slot], query, row)
            };
        }
    }
}

impl<T: Real, F: Form, S: Sink> OnLanes for Within<'_, T, F, S> {
    type Out = Work;

    #[inline(always)]
    fn run<L: Lanes>(mut self) -> Work {
        let mut work = Work::default();
        let rows = self.scope.radius.len();
        let mut row = 0;
        // The last radius seen and its caps: mostly all rows have the same.
        let mut known = (0.0, Caps::new::<F>(0.0, self.points.dim()));
        while row < rows {
            if rows - row >= ROWS {
                self.tile::<L, ROWS>(row, &mut known, &mut work);
                row += ROWS;
            } else {
                self.tile::<L, 1>(row, &mut known, &mut work);
                row += 1;
            }
        }
        work
    }
}

impl<T: Real, F: Form, S: Sink> Within<'_, T, F, S> {
    /// The rows `row..row + R` of the scope against all of its columns.
    #[inline(always)]
    fn tile<L: Lanes, const R: usize>(&mut self, row: usize, known: &mut (f64, Caps<T>), work: &mut Work) {
        let (points, dim) = (self.points, self.points.dim());
        let position = at(self.scope.first) + row;
        let mut caps = [known.1; R];
        for (cap, &radius) in caps.iter_mut().zip(&self.scope.radius[row..row + R]) {
            if radius != known.0 {
                *known = (radius, Caps::new::<F>(radius, dim));
            }
            *cap = known.1;
        }
        // The first row of a tile has the most columns.
        let columns = self.scope.columns_of(position);
        let block = load_rows::<T, R>(points, position, 0);
        self.sink.begin(row, R);
        for panel in columns.start / T::LANES..columns.end.div_ceil(T::LANES) {
            let mut sums = [<T::On<L>>::splat(T::default()); R];
            let data = points.run(panel, 1);
            add_dims::<T, F, L, R>(&mut sums, &block, data);
            let mut done = DIMS;
            while done < dim && some_below::<T, L, R>(&sums, &caps) {
                let block = load_rows::<T, R>(points, position, done);
                add_dims::<T, F, L, R>(&mut sums, &block, &data[done * T::LANES..]);
                done += DIMS;
            }
            if done < dim {
                work.tiles_cut += 1;
                continue;
            }
            for slot in 0..R {
                self.find::<L>(panel, position + slot, slot, sums[slot], caps[slot], work);
            }
        }
        work.kept += self.sink.end();
    }

    /// Tells the sink which lanes of a panel are pairs of the row at `position`.
    #[inline(always)]
    fn find<L: Lanes>(
        &mut self,
        panel: usize,
        position: usize,
        slot: usize,
        sums: T::On<L>,
        caps: Caps<T>,
        work: &mut Work,
    ) {
        let base = panel * T::LANES;
        let from = match self.scope.which {
            Which::All => at(self.scope.columns.start),
            Which::Above => at(self.scope.columns.start).max(position + 1),
        };
        let own = lane_mask(base, position, position + 1, T::LANES);
        let asked = lane_mask(base, from, at(self.scope.columns.end), T::LANES) & !own;
        let mut found = sums.le(<T::On<L>>::splat(caps.reject)) & asked;
        if found == 0 {
            return;
        }
        if !S::WANTS_SUMS {
            let sure = sums.le(<T::On<L>>::splat(caps.accept)) & found;
            self.sink.add(slot, sure.count_ones());
            work.pairs += u64::from(sure.count_ones());
            found &= !sure;
            if found == 0 {
                return;
            }
        }
        let exact = if T::IS_F64 {
            let (mut lanes, mut exact) = ([T::default(); LANES_F32], [0.0; LANES_F32]);
            sums.store(&mut lanes);
            for lane in 0..T::LANES {
                exact[lane] = lanes[lane].to_f64();
            }
            exact
        } else {
            work.settled += 1;
            settle::<T, F>(self.points, position, panel)
        };
        while found != 0 {
            let lane = found.trailing_zeros() as usize; // below 16
            found &= found - 1;
            if exact[lane] <= caps.sum {
                self.sink.take(slot, (base + lane) as Idx, exact[lane]); // fits: a position of a point
                work.pairs += 1;
            }
        }
    }
}

/// Whether some lane of some row has not passed its cap yet; sums only grow, also after rounding.
#[inline(always)]
fn some_below<T: Real, L: Lanes, const R: usize>(sums: &[T::On<L>; R], caps: &[Caps<T>; R]) -> bool {
    let mut below = 0;
    for slot in 0..R {
        below |= sums[slot].le(<T::On<L>>::splat(caps[slot].reject));
    }
    below != 0
}
