//! Plain twins of the offers and of the marks: pair by pair. They check nothing and panic on shapes that do not fit.
//!
//! [`wanted_pairs`] marks the same pairs as the lanes. An offer rounds `m_i m_j` and adds `|r|`, and tiers that fuse round once:
//! a pair of which `|r| + m_i m_j` is within a rounding of `least` may be taken by one and not by the other, which the
//! margins pay for. What both take stands in their lists with the same bits.

use super::{Counting, Members, RhoTile, Shortlists};
use crate::index::{Idx, at};
use crate::simd::LANES_F64;

/// Position of a member.
fn position(members: Members<'_>, place: usize) -> Idx {
    members.first + place as Idx // a place in a leaf
}

/// Whether the point of `theirs` at one place counts for that of `own` at another.
fn counts(counting: Counting, (own, place): (Members<'_>, usize), (theirs, other): (Members<'_>, usize)) -> bool {
    match counting {
        Counting::Earlier => theirs.ranks[other] < own.ranks[place],
        Counting::Others => position(theirs, other) != position(own, place),
        Counting::All => true,
    }
}

/// Pairs of a tile, row by row: the places of both members, and the `rho` of the pair.
fn pairs<'a>(tile: &'a RhoTile<'_>) -> impl Iterator<Item = (usize, usize, f64)> + 'a {
    let rows = tile.places.iter().zip(tile.rho.chunks_exact((tile.panels() * LANES_F64).max(1)));
    rows.flat_map(|(&place, rho)| (0..tile.columns.len).map(move |column| (at(place), column, rho[column])))
}

/// Twin of [`offer_rows`](super::offer_rows).
pub fn offer_rows(tile: &RhoTile<'_>, counting: Counting, lists: &mut Shortlists<'_>) -> u64 {
    let mut taken = 0;
    for (row, column, rho) in pairs(tile) {
        let error = tile.rows.margins[row] * tile.columns.margins[column];
        let below = rho.abs() + error < lists.least[row]; // a NaN is below nothing
        if !below && counts(counting, (tile.rows, row), (tile.columns, column)) {
            lists.push(row, rho, error, position(tile.columns, column));
            taken += 1;
        }
    }
    taken
}

/// Twin of [`offer_columns`](super::offer_columns).
pub fn offer_columns(tile: &RhoTile<'_>, counting: Counting, lists: &mut Shortlists<'_>) -> u64 {
    let mut taken = 0;
    for (row, column, rho) in pairs(tile) {
        let error = tile.rows.margins[row] * tile.columns.margins[column];
        let below = rho.abs() + error < lists.least[column]; // a NaN is below nothing
        if !below && counts(counting, (tile.columns, column), (tile.rows, row)) {
            lists.push(column, rho, error, position(tile.rows, row));
            taken += 1;
        }
    }
    taken
}

/// Twin of [`wanted_pairs`](super::wanted_pairs).
pub fn wanted_pairs(
    tile: &RhoTile<'_>,
    counting: Counting,
    (least_rows, least_columns): (&[f64], Option<&[f64]>),
    masks: &mut [u32],
) -> u64 {
    masks.fill(0);
    let (panels, mut count) = (tile.panels(), 0);
    for (pair, (row, column, bound)) in pairs(tile).enumerate() {
        let below_row = bound < least_rows[row]; // a NaN is below nothing
        let below_column = bound < least_columns.map_or(f64::INFINITY, |least| least[column]);
        let (ranked, own, theirs) = (counting == Counting::Earlier, tile.rows.ranks[row], tile.columns.ranks[column]);
        let (for_row, for_column) = (!ranked || theirs < own, !ranked || own < theirs);
        if (for_row && !below_row) || (for_column && !below_column) {
            masks[pair / tile.columns.len * panels + column / LANES_F64] |= 1 << (column % LANES_F64);
            count += 1;
        }
    }
    count
}
