//! Pairs that stand in lists instead of tiles.

use super::{Counting, Members, Shortlists, check_places};
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::Real;
use crate::view::check_starts;

/// Correlations of listed pairs of two leaves.
#[derive(Clone, Copy, Debug)]
pub struct ListedPairs<'a, T> {
    /// `[rows.len + 1]`: where the columns of each row begin.
    pub starts: &'a [Idx],
    /// `[pairs]`: which of the columns, row by row, ascending in each.
    pub places: &'a [Idx],
    /// `[pairs]`: the filter `r`.
    pub rho: &'a [T],
    /// The side of the rows.
    pub rows: Members<'a>,
    /// The side of the columns.
    pub columns: Members<'a>,
}

/// Whom pairs are offered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// The points of the columns, to the rows.
    ToRows,
    /// The points of the rows, to the columns.
    ToColumns,
}

/// Offers listed pairs to one of their sides, whose lists these are; returns how many were taken.
///
/// | argument | shape |
/// | --- | --- |
/// | `counting` | which points count for one of that side |
/// | `lists` | `[pairs.rows.len]` or `[pairs.columns.len]` lists, as the side says, appended to |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Key`] or [`KernelError::TooLong`] for members at
/// positions that are no [`Idx`], [`KernelError::Value`] at the first start that does not rise from 0 to the number of pairs, or
/// at a place that is no column or does not ascend, [`KernelError::Least`] when a list has no [room](Shortlists::fits) for its
/// pairs. Nothing is written then.
///
/// # Cost
/// A few operations per pair.
pub fn offer_listed<T: Real>(
    pairs: &ListedPairs<'_, T>,
    counting: Counting,
    side: Offered,
    lists: &mut Shortlists<'_>,
) -> Result<u64, KernelError> {
    let (rows, columns) = (pairs.rows, pairs.columns);
    rows.check()?;
    columns.check()?;
    want("rho", pairs.places.len(), pairs.rho.len())?;
    want("starts", rows.len + 1, pairs.starts.len())?;
    check_starts(pairs.starts, idx_len(pairs.places.len())?)?;
    for range in pairs.starts.windows(2) {
        let from = at(range[0]);
        check_places(&pairs.places[from..at(range[1])], columns.len)
            .map_err(|place| KernelError::Value { what: "places", at: from + place })?;
    }
    for (what, members) in [("rows", rows), ("columns", columns)] {
        want(what, members.len.max(members.ranks.len()), members.ranks.len())?;
        want(what, members.len.max(members.margins.len()), members.margins.len())?;
    }
    let to_rows = side == Offered::ToRows;
    lists.check(if to_rows { rows.len } else { columns.len })?;
    let most = if to_rows { columns.len } else { rows.len };
    if (0..lists.counts.len()).any(|list| !lists.fits(list, most)) {
        return Err(KernelError::Least { what: "room", least: most, got: lists.room });
    }
    let mut taken = 0;
    for (row, range) in pairs.starts.windows(2).enumerate() {
        for pair in at(range[0])..at(range[1]) {
            let (column, rho) = (at(pairs.places[pair]), pairs.rho[pair].to_f64());
            let error = rows.margins[row] * columns.margins[column];
            let (list, own, other) = match side {
                Offered::ToRows => (row, rows.ranks[row], columns.ranks[column]),
                Offered::ToColumns => (column, columns.ranks[column], rows.ranks[row]),
            };
            let counts = match counting {
                Counting::Earlier => other < own,
                Counting::Others => rows.first + row as Idx != columns.first + column as Idx, // positions
                Counting::All => true,
            };
            let below = rho.abs() + error < lists.least[list];
            // Which of two points comes earlier is as good as random: no branch on that alone.
            if counts & !below {
                let position = if to_rows { columns.first + column as Idx } else { rows.first + row as Idx };
                lists.push(list, rho, error, position);
                taken += 1;
            }
        }
    }
    Ok(taken)
}
