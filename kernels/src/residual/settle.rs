//! The published formula for the lanes that a filter could not decide.

#![allow(clippy::needless_range_loop, reason = "a counted loop over an array of vectors stays in registers")]

use super::lanes::{GROUP, dots, row_squares};
use super::{PointRow, ResidualCounters, ResidualPoints, ResidualRows, ResidualRun, rho_exact};
use crate::covariance::Exponential;
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::{LANES_F64, Lanes, OnLanes, Tier, Vector};

/// Copies one point out of its panel, into rows.
///
/// | argument | shape |
/// | --- | --- |
/// | `points` | packed, of any model |
/// | `position` | below `points.len()` |
/// | `coordinates`, `v` | `[dim]`, `[columns]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Least`] when there are not that many points; nothing
/// is written then.
///
/// # Cost
/// Reads and writes `dim + columns` elements, each of another row of its panel.
pub fn gather_row<T: Exponential>(
    points: &ResidualPoints<'_, T>,
    position: usize,
    coordinates: &mut [T],
    v: &mut [T],
) -> Result<(), KernelError> {
    want("coordinates", points.model.dim(), coordinates.len())?;
    want("v", points.model.columns(), v.len())?;
    if position >= points.len() {
        return Err(KernelError::Least { what: "points", least: position.saturating_add(1), got: points.len() });
    }
    let lane = position % T::LANES;
    for (d, out) in coordinates.iter_mut().enumerate() {
        *out = points.coordinates.coordinate(position, d);
    }
    for (row, out) in points.v_panel(position / T::LANES).chunks_exact(T::LANES).zip(v) {
        *out = row[lane];
    }
    Ok(())
}

/// Settles the lanes of a run whose bits are set: `out` gets their published correlations, all other elements stay.
///
/// | argument | shape |
/// | --- | --- |
/// | `query` | rows of the points' model |
/// | `p` | `[points.len()]` of the whole set: the residual variances |
/// | `masks` | `[panels of the run]`, from a filter; bits of padding lanes are ignored |
/// | `out` | `[panels of the run][LANES]` |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; nothing is written then.
///
/// # Accuracy
/// [`rho_exact`], bit for bit, on every tier.
///
/// # Cost
/// Per panel with a bit set, two operations per column, four panels in step; per bit an exponential and two square roots.
pub fn settle_run(
    tier: Tier,
    query: PointRow<'_>,
    points: &ResidualRun<'_, f64>,
    p: &[f64],
    masks: &[u32],
    out: &mut [f64],
    counters: &mut ResidualCounters,
) -> Result<(), KernelError> {
    struct Body<'a, 'o>(PointRow<'o>, &'o ResidualRun<'a, f64>, &'o [f64], &'o [u32], &'o mut [f64]);
    impl OnLanes for Body<'_, '_> {
        type Out = u64;
        #[inline(always)]
        fn run<L: Lanes>(self) -> u64 {
            settle::<L>(self.0, self.1, self.2, self.3, self.4)
        }
    }
    let model = points.points.model;
    want("query.coordinates", model.dim(), query.coordinates.len())?;
    want("query.v", model.columns(), query.v.len())?;
    want("p", points.points.len(), p.len())?;
    want("masks", points.count, masks.len())?;
    want("out", points.count * LANES_F64, out.len())?;
    counters.settled += tier.run(Body(query, points, p, masks, out));
    Ok(())
}

/// Collects panels with bits, [`GROUP`] at a time.
#[inline(always)]
fn settle<L: Lanes>(query: PointRow<'_>, run: &ResidualRun<'_, f64>, p: &[f64], masks: &[u32], out: &mut [f64]) -> u64 {
    let (mut group, mut waiting, mut settled) = ([0; GROUP], 0, 0);
    for panel in 0..run.count {
        if masks[panel] & run.lanes_in_use(panel) != 0 {
            group[waiting] = panel;
            waiting += 1;
        }
        if waiting == GROUP || (waiting > 0 && panel + 1 == run.count) {
            settled += settle_group::<L>(query, run, p, masks, &group[..waiting], out);
            waiting = 0;
        }
    }
    settled
}

#[inline(always)]
fn settle_group<L: Lanes>(
    query: PointRow<'_>,
    run: &ResidualRun<'_, f64>,
    p: &[f64],
    masks: &[u32],
    group: &[usize],
    out: &mut [f64],
) -> u64 {
    let mut panels = [run.v_panel(group[0]); GROUP];
    for (g, &panel) in group.iter().enumerate() {
        panels[g] = run.v_panel(panel);
    }
    let sums = dots::<f64, L, GROUP, true>(query.v, panels);
    let mut settled = 0;
    for (g, &panel) in group.iter().enumerate() {
        let (mut dots, mut squares) = ([0.0; LANES_F64], [0.0; LANES_F64]);
        sums[g].store(&mut dots);
        row_squares::<f64, L, true>(query.coordinates, run.coordinates(panel)).store(&mut squares);
        let mut bits = masks[panel] & run.lanes_in_use(panel);
        settled += u64::from(bits.count_ones());
        while bits != 0 {
            let lane = bits.trailing_zeros() as usize; // below 8
            let p_other = p[(run.first + panel) * LANES_F64 + lane];
            out[panel * LANES_F64 + lane] =
                rho_exact(run.points.model.covariance(), squares[lane], dots[lane], query.p, p_other);
            bits &= bits - 1;
        }
    }
    settled
}

/// The published correlations of one point with listed points.
///
/// | argument | shape |
/// | --- | --- |
/// | `query` | rows of the points' model |
/// | `p` | `[points.len()]`: the residual variances |
/// | `positions` | ascending |
/// | `out` | as `positions`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Key`] for a position out of range or out of order;
/// nothing is written then.
///
/// # Accuracy
/// [`rho_exact`], bit for bit, on every tier.
///
/// # Cost
/// Each row of `V` is read once, forward, eight rows in step; per point an exponential and two square roots.
pub fn settle_positions(
    tier: Tier,
    query: PointRow<'_>,
    points: &ResidualRows<'_, f64>,
    p: &[f64],
    positions: &[Idx],
    out: &mut [f64],
    counters: &mut ResidualCounters,
) -> Result<(), KernelError> {
    struct Body<'a, 'o>(PointRow<'o>, &'o ResidualRows<'a, f64>, &'o [f64], &'o [Idx], &'o mut [f64]);
    impl OnLanes for Body<'_, '_> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            settle_list::<L>(self.0, self.1, self.2, self.3, self.4);
        }
    }
    want("query.coordinates", points.model.dim(), query.coordinates.len())?;
    want("query.v", points.model.columns(), query.v.len())?;
    want("p", points.len(), p.len())?;
    want("out", positions.len(), out.len())?;
    let limit = idx_len(points.len())?;
    let mut least = 0;
    for (place, &position) in positions.iter().enumerate() {
        if !(least..limit).contains(&position) {
            return Err(KernelError::Key { at: idx_len(place)?, key: position, limit });
        }
        least = position;
    }
    tier.run(Body(query, points, p, positions, out));
    counters.settled += positions.len() as u64; // widens
    Ok(())
}

#[inline(always)]
fn settle_list<L: Lanes>(
    query: PointRow<'_>,
    points: &ResidualRows<'_, f64>,
    p: &[f64],
    positions: &[Idx],
    out: &mut [f64],
) {
    for (positions, out) in positions.chunks(LANES_F64).zip(out.chunks_mut(LANES_F64)) {
        let mut rows = [points.row(at(positions[0])); LANES_F64];
        for (row, &position) in rows.iter_mut().zip(positions) {
            *row = points.row(at(position));
        }
        let dots = dots_in_order::<L>(query.v, rows);
        for (l, out) in out.iter_mut().enumerate() {
            let position = at(positions[l]);
            let mut square = 0.0;
            for (d, z) in query.coordinates.iter().enumerate() {
                let difference = z - points.coordinates.coordinate(position, d);
                square += difference * difference;
            }
            *out = rho_exact(points.model.covariance(), square, dots[l], query.p, p[position]);
        }
    }
}

/// The dot products of a row with eight others, each added in its order: products by rows, sums by columns.
#[inline(always)]
fn dots_in_order<L: Lanes>(row: &[f64], others: [&[f64]; LANES_F64]) -> [f64; LANES_F64] {
    let whole = row.len() / LANES_F64 * LANES_F64;
    let mut sums = L::F64::splat(0.0);
    for first in (0..whole).step_by(LANES_F64) {
        let own = L::F64::load(&row[first..]);
        let mut products = [own; LANES_F64];
        for l in 0..LANES_F64 {
            products[l] = own.mul(L::F64::load(&others[l][first..]));
        }
        L::F64::transpose(&mut products);
        for column in products {
            sums = sums.add(column);
        }
    }
    let mut dots = [0.0; LANES_F64];
    sums.store(&mut dots);
    for (dot, other) in dots.iter_mut().zip(others) {
        for column in whole..row.len() {
            *dot += row[column] * other[column];
        }
    }
    dots
}
