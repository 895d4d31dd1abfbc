//! The tile: four rows against one panel of columns.

use core::marker::PhantomData;

use super::sink::Sink;
use super::{Scope, Which};
use crate::dist::Form;
use crate::dist::limit::largest_sum;
use crate::index::{Idx, at};
use crate::simd::{LANES_F32, Lanes, OnLanes, Real, Vector};
use crate::view::Panels;

/// Rows of a tile, on every tier: their sums and the panel row stay in registers.
pub(super) const ROWS: usize = 4;

/// Dimensions between two questions whether every lane has passed every radius.
const DIMS: usize = 16;

/// Dimensions of the rows that are held at once, read only once where there are no more.
const HELD: usize = 64;

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

impl<T: Real> Caps<T> {
    #[inline(always)]
    fn new<F: Form, L: Lanes>(radius: f64, dim: usize) -> Self {
        let sum = largest_sum::<F>(radius, F::finish::<L>);
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
fn lane_mask(base: usize, from: usize, to: usize, lanes: usize) -> u64 {
    let low = |end: usize| (1u64 << end.saturating_sub(base).min(lanes)) - 1;
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

/// The coordinates of a tile's rows in the dimensions `dim..`, as many as are held; where the tile has fewer rows than
/// it could, the last one stands in for those that are missing.
#[inline(always)]
fn hold<T: Real>(points: Panels<'_, T>, tile: &Tile<T>, dim: usize, held: &mut [[T; ROWS]; HELD]) {
    for (row, d) in held.iter_mut().zip(dim..points.dim()) {
        for (slot, value) in row.iter_mut().enumerate() {
            *value = points.coordinate(tile.position + slot.min(tile.rows - 1), d);
        }
    }
}

/// Adds some dimensions of a panel to the sums of a tile.
#[inline(always)]
fn add_dims<T: Real, F: Form, L: Lanes>(sums: &mut [T::On<L>; ROWS], held: &[[T; ROWS]], panel: &[T]) {
    for (query, row) in held.iter().zip(panel.chunks_exact(T::LANES)) {
        let row = <T::On<L>>::load(row);
        for slot in 0..ROWS {
            // The broadcast second: it may then come from memory.
            let query = <T::On<L>>::splat(query[slot]);
            sums[slot] = if T::IS_F64 {
                F::step::<T::On<L>, true>(sums[slot], row, query)
            } else {
                F::step::<T::On<L>, false>(sums[slot], row, query)
            };
        }
    }
}

/// The lanes whose sums are at most the bounds, sixteen bits for each row.
#[inline(always)]
fn at_most<T: Real, L: Lanes>(sums: &[T::On<L>; ROWS], bounds: &[T::On<L>; ROWS]) -> u64 {
    let mut mask = 0;
    for slot in 0..ROWS {
        mask |= u64::from(sums[slot].le(bounds[slot])) << (LANES_F32 * slot);
    }
    mask
}

/// A tile: the rows from `position` on, and their radii.
struct Tile<T> {
    position: usize,
    rows: usize,
    caps: [Caps<T>; ROWS],
}

impl<T: Real, F: Form, S: Sink> OnLanes for Within<'_, T, F, S> {
    type Out = Work;

    #[inline(always)]
    fn run<L: Lanes>(mut self) -> Work {
        let mut work = Work::default();
        let rows = self.scope.radius.len();
        let mut row = 0;
        // The last radius seen and its caps: mostly all rows have the same.
        let mut known = (0.0, Caps::new::<F, L>(0.0, self.points.dim()));
        while row < rows {
            self.tile::<L>(row, ROWS.min(rows - row), &mut known, &mut work);
            row += ROWS;
        }
        work
    }
}

impl<T: Real, F: Form, S: Sink> Within<'_, T, F, S> {
    /// The rows `row..row + rows` of the scope against all of its columns.
    #[inline(always)]
    fn tile<L: Lanes>(&mut self, row: usize, rows: usize, known: &mut (f64, Caps<T>), work: &mut Work) {
        let (points, dim) = (self.points, self.points.dim());
        let mut tile = Tile { position: at(self.scope.first) + row, rows, caps: [known.1; ROWS] };
        let zero = <T::On<L>>::splat(T::default());
        let (mut reject, mut accept) = ([zero; ROWS], [zero; ROWS]);
        for slot in 0..ROWS {
            let radius = self.scope.radius[row + slot.min(rows - 1)];
            if radius != known.0 {
                *known = (radius, Caps::new::<F, L>(radius, dim));
            }
            tile.caps[slot] = known.1;
            reject[slot] = <T::On<L>>::splat(known.1.reject);
            accept[slot] = <T::On<L>>::splat(known.1.accept);
        }
        // The first row of a tile has the most columns.
        let columns = self.scope.columns_of(tile.position);
        let mut held = [[T::default(); ROWS]; HELD];
        hold(points, &tile, 0, &mut held);
        self.sink.begin(row, rows);
        for panel in columns.start / T::LANES..columns.end.div_ceil(T::LANES) {
            let mut sums = [zero; ROWS];
            let data = points.run(panel, 1);
            add_dims::<T, F, L>(&mut sums, &held[..DIMS.min(dim)], data);
            let mut found = at_most::<T, L>(&sums, &reject);
            let mut done = DIMS;
            while done < dim && found != 0 {
                if done.is_multiple_of(HELD) {
                    hold(points, &tile, done, &mut held);
                }
                let some = &held[done % HELD..(done % HELD + DIMS).min(done % HELD + dim - done)];
                add_dims::<T, F, L>(&mut sums, some, &data[done * T::LANES..]);
                // Sums only grow, also after rounding: a lane that has passed its radius stays there.
                found = at_most::<T, L>(&sums, &reject);
                done += DIMS;
            }
            if dim > HELD && done > HELD {
                hold(points, &tile, 0, &mut held);
            }
            work.tiles_cut += u64::from(done < dim);
            if found == 0 {
                continue;
            }
            found &= self.asked(panel, &tile);
            if !S::WANTS_SUMS {
                let sure = at_most::<T, L>(&sums, &accept) & found;
                for slot in 0..rows {
                    self.sink.add(slot, ((sure >> (LANES_F32 * slot)) & 0xffff).count_ones());
                }
                work.pairs += u64::from(sure.count_ones());
                found &= !sure;
            }
            if found != 0 {
                let mut lanes = [[T::default(); LANES_F32]; ROWS];
                for slot in 0..ROWS {
                    sums[slot].store(&mut lanes[slot]);
                }
                self.take::<L>(panel, &tile, found, &lanes, work);
            }
        }
        work.kept += self.sink.end();
    }

    /// The pairs of a tile and a panel that the scope asks about, sixteen bits for each row.
    #[inline(always)]
    fn asked(&self, panel: usize, tile: &Tile<T>) -> u64 {
        let (start, end) = (at(self.scope.columns.start), at(self.scope.columns.end));
        let base = panel * T::LANES;
        let before = self.scope.which == Which::All && base + T::LANES <= tile.position;
        if (before || base >= tile.position + tile.rows) && base >= start && base + T::LANES <= end {
            return u64::MAX >> (u64::BITS as usize - LANES_F32 * tile.rows);
        }
        let mut asked = 0;
        for slot in 0..tile.rows {
            let row = tile.position + slot;
            let from = if self.scope.which == Which::Above { start.max(row + 1) } else { start };
            let own = lane_mask(base, row, row + 1, T::LANES);
            asked |= (lane_mask(base, from, end, T::LANES) & !own) << (LANES_F32 * slot);
        }
        asked
    }

    /// Hands the sink those of the pairs `found` that the formula confirms; `lanes` are their sums in the tile.
    #[inline(always)]
    fn take<L: Lanes>(
        &mut self,
        panel: usize,
        tile: &Tile<T>,
        found: u64,
        lanes: &[[T; LANES_F32]; ROWS],
        work: &mut Work,
    ) {
        for (slot, lanes) in lanes.iter().enumerate() {
            let mut mask = (found >> (LANES_F32 * slot)) & 0xffff;
            if mask == 0 {
                continue;
            }
            let mut settled = [0.0; LANES_F32];
            if !T::IS_F64 {
                settled = settle::<T, F>(self.points, tile.position + slot, panel);
                work.settled += 1;
            }
            while mask != 0 {
                let lane = mask.trailing_zeros() as usize; // below 16
                mask &= mask - 1;
                let sum = if T::IS_F64 { lanes[lane].to_f64() } else { settled[lane] };
                if sum <= tile.caps[slot].sum {
                    // fits: a position of a point
                    self.sink.take::<L>(slot, (panel * T::LANES + lane) as Idx, sum);
                    work.pairs += 1;
                }
            }
        }
    }
}
