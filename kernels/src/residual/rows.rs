//! Points whose rows of `V` lie one after the other: what single pairs read, where tiles read panels.

#![allow(clippy::needless_range_loop, reason = "a counted loop over an array of vectors stays in registers")]

use super::ResidualModel;
use crate::covariance::Exponential;
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::{LANES_F32, Lanes, OnLanes, Real, Tier, Vector};
use crate::view::{Panels, panels_len};

/// Points of a residual metric by their rows of `V`: for [`listed_pairs`](super::listed_pairs) and
/// [`settle_positions`](super::settle_positions).
///
/// Units are those of [`ResidualPoints`](super::ResidualPoints).
#[derive(Clone, Copy, Debug)]
pub struct ResidualRows<'a, T> {
    pub(super) model: ResidualModel,
    pub(super) coordinates: Panels<'a, T>,
    pub(super) v: &'a [T],
    pub(super) scales: &'a [T],
}

impl<'a, T: Exponential> ResidualRows<'a, T> {
    /// A view.
    ///
    /// | argument | shape | from |
    /// | --- | --- | --- |
    /// | `coordinates` | packed, `dim` scaled coordinates | the caller |
    /// | `v` | `[len][columns]` | the caller; what [`unpack_rows`] makes of [`narrow`](super::narrow) for `f32` |
    /// | `scales` | `[panels][LANES]` | [`scales_and_margins`](super::scales_and_margins) |
    ///
    /// # Errors
    /// [`KernelError::Shape`] when a length does not fit.
    pub fn new(
        model: ResidualModel,
        coordinates: Panels<'a, T>,
        v: &'a [T],
        scales: &'a [T],
    ) -> Result<Self, KernelError> {
        want("coordinates", model.dim(), coordinates.dim())?;
        want("v", coordinates.len().saturating_mul(model.columns()), v.len())?;
        want("scales", panels_len::<T>(coordinates.len(), 1), scales.len())?;
        Ok(Self { model: model.of_tiles::<T>(), coordinates, v, scales })
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.coordinates.len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.coordinates.is_empty()
    }

    /// The row of `V` of a point.
    #[inline(always)]
    pub(super) fn row(&self, position: usize) -> &'a [T] {
        let columns = self.model.columns();
        &self.v[position * columns..(position + 1) * columns]
    }
}

/// Packs rows that are listed by their numbers, as [`pack_rows`](crate::view::pack_rows) does without lanes: for tiles of
/// points of which only rows are kept.
///
/// | argument | shape |
/// | --- | --- |
/// | `rows` | `[rows][columns]` |
/// | `order` | `[len]`, row numbers |
/// | `panels` | packed, `len` points of `columns` columns, overwritten; padding lanes repeat the last one |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Key`] for a row number out of range; `panels` are then
/// untouched.
///
/// # Cost
/// Reads and writes each element once, squares of vectors at a time: near the speed of a copy.
pub fn pack_listed<T: Real>(
    tier: Tier,
    rows: &[T],
    columns: usize,
    order: &[Idx],
    panels: &mut [T],
) -> Result<(), KernelError> {
    struct Body<'a, T>(&'a [T], usize, &'a [Idx], &'a mut [T]);
    impl<T: Real> OnLanes for Body<'_, T> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            pack::<T, L>(self.0, self.1, self.2, self.3);
        }
    }
    let len = rows.len().checked_div(columns).unwrap_or(0);
    want("rows", len * columns, rows.len())?;
    want("panels", panels_len::<T>(order.len(), columns), panels.len())?;
    if columns == 0 {
        return Ok(());
    }
    let limit = idx_len(len)?;
    if let Some(place) = order.iter().position(|row| !(0..limit).contains(row)) {
        return Err(KernelError::Key { at: idx_len(place)?, key: order[place], limit });
    }
    tier.run(Body(rows, columns, order, panels));
    Ok(())
}

#[inline(always)]
fn pack<T: Real, L: Lanes>(rows: &[T], columns: usize, order: &[Idx], panels: &mut [T]) {
    let whole = columns / T::LANES * T::LANES;
    // Without a row, the number of columns may be anything.
    for (panel, members) in panels.chunks_exact_mut(columns.saturating_mul(T::LANES)).zip(order.chunks(T::LANES)) {
        let mut listed = [&rows[..0]; LANES_F32]; // an f64 panel uses half of them
        for lane in 0..T::LANES {
            let first = at(members[lane.min(members.len() - 1)]) * columns;
            listed[lane] = &rows[first..first + columns];
        }
        for first in (0..whole).step_by(T::LANES) {
            let mut square = [<T::On<L>>::splat(T::default()); LANES_F32];
            for lane in 0..T::LANES {
                square[lane] = <T::On<L>>::load(&listed[lane][first..]);
            }
            <T::On<L>>::transpose(&mut square);
            for column in 0..T::LANES {
                square[column].store(&mut panel[(first + column) * T::LANES..]);
            }
        }
        for column in whole..columns {
            for lane in 0..T::LANES {
                panel[column * T::LANES + lane] = listed[lane][column];
            }
        }
    }
}

/// Unpacks rows: panels `[columns][LANES]` become rows of `columns` elements, one after the other.
///
/// | argument | shape |
/// | --- | --- |
/// | `panels` | packed, `len` points of `columns` columns |
/// | `rows` | `[len][columns]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; `rows` is then untouched.
///
/// # Cost
/// Reads and writes each element once.
pub fn unpack_rows<T: Real>(panels: &[T], columns: usize, rows: &mut [T]) -> Result<(), KernelError> {
    let len = rows.len().checked_div(columns).unwrap_or(0);
    want("rows", len * columns, rows.len())?;
    want("panels", panels_len::<T>(len, columns), panels.len())?;
    if columns > 0 {
        let stride = columns.saturating_mul(T::LANES); // without a row, the number of columns may be anything
        let each = panels.chunks_exact(stride).zip(rows.chunks_mut(stride));
        for (panel, rows) in each {
            for (lane, row) in rows.chunks_exact_mut(columns).enumerate() {
                for (out, values) in row.iter_mut().zip(panel.chunks_exact(T::LANES)) {
                    *out = values[lane];
                }
            }
        }
    }
    Ok(())
}
