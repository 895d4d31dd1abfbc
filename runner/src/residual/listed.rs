//! What remains of two leaves after bounds have ruled out most pairs, pair by pair.

use std::sync::Mutex;

use covertree_kernels::arena::{Arena, blocks};
use covertree_kernels::index::{Idx, at};
use covertree_kernels::residual::{ListedPairs, Offered, ResidualCounters, listed_pairs, offer_listed};

use super::layout::LEAF;
use super::lists::{Lists, lock};
use super::precision::Precision;
use super::search::{Search, Work};
use super::tile::members;
use crate::error::Error;

/// Pairs of two leaves as bits: rows of panels of `lanes` columns.
pub(super) struct Marks<'a> {
    pub bits: &'a [u32],
    pub lanes: usize,
    /// Bits that are set.
    pub count: u64,
}

impl Marks<'_> {
    /// The columns of all rows, and where those of each row begin.
    fn list(&self, rows: usize, starts: &mut [Idx], places: &mut [Idx]) {
        let panels = self.bits.len().checked_div(rows).unwrap_or(0);
        let mut end = 0;
        starts[0] = 0;
        for (row, bits) in self.bits.chunks(panels.max(1)).enumerate() {
            for (panel, &mask) in bits.iter().enumerate() {
                let mut bits = mask;
                while bits != 0 {
                    places[end] = (panel * self.lanes) as Idx + bits.trailing_zeros() as Idx; // below a leaf
                    bits &= bits - 1;
                    end += 1;
                }
            }
            starts[row + 1] = end as Idx; // at most the pairs of two leaves
        }
    }
}

/// Blocks that [`meet`] takes.
pub(super) fn blocks_of() -> usize {
    blocks::<Idx>(LEAF * LEAF) + blocks::<f64>(LEAF * LEAF)
}

/// Computes the marked pairs of two leaves, which this precision serves, and offers them to both sides.
pub(super) fn meet<T: Precision>(
    search: &Search<'_>,
    lists: &[Mutex<Lists>],
    (leaf, other): (usize, usize),
    marks: &Marks<'_>,
    arena: &mut Arena<'_>,
    work: &mut Work,
) -> Result<(), Error> {
    let (side, theirs) = (search.queries.unwrap_or(search.points), search.points);
    let (range, other_range) = (side.set.layout.leaf(leaf), theirs.set.layout.leaf(other));
    let mut starts = [0; LEAF + 1];
    let places = arena.take::<Idx>(at(marks.count as Idx))?; // at most the pairs of two leaves
    let rho = arena.take::<T>(places.len())?;
    marks.list(range.len(), &mut starts, places);
    let starts = &starts[..range.len() + 1];
    let (one, two) = (T::leaf_rows(side.set, leaf)?, T::leaf_rows(theirs.set, other)?);
    listed_pairs(search.tier, &one, &two, starts, places, rho, &mut work.residual)?;
    let pairs = ListedPairs {
        starts,
        places,
        rho,
        rows: members(side, &range, T::margins(side.set)),
        columns: members(theirs, &other_range, T::margins(theirs.set)),
    };
    offer(search, lists, (leaf, other), &pairs, &mut work.residual)
}

/// Offers pairs to both sides.
fn offer<T: Precision>(
    search: &Search<'_>,
    lists: &[Mutex<Lists>],
    (leaf, other): (usize, usize),
    pairs: &ListedPairs<'_, T>,
    work: &mut ResidualCounters,
) -> Result<(), Error> {
    let mut own = lock(&lists[leaf]);
    own.make_room(pairs.columns.len, search, leaf, work)?;
    work.candidates += offer_listed(pairs, search.counting, Offered::ToRows, &mut own.view(search.goal))?;
    drop(own);
    if search.queries.is_none() {
        let mut theirs = lock(&lists[other]);
        theirs.make_room(pairs.rows.len, search, other, work)?;
        work.candidates += offer_listed(pairs, search.counting, Offered::ToColumns, &mut theirs.view(search.goal))?;
    }
    Ok(())
}
