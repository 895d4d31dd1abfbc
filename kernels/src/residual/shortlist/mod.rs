//! Short lists: which points may still be among the `k` most correlated ones of each row.
//!
//! A filter knows `|rho|` up to a margin. A row keeps every point whose correlation may reach that of its `k`-th best, and
//! the published formula settles the list in the end ([`settle_positions`](super::settle_positions)). With the lower bounds
//! `|r| - m m'` of what was offered so far, the `k`-th largest of them, turned into a reported distance and back
//! ([`correlation_floor`]), is a correlation `least` such that no point below it can be in the answer, ties included:
//! at least `k` points report a distance that is not larger.
//!
//! A list is appended to while it has room; [`condense`], when it is full or sooner, raises `least` and drops what is below. One tile serves
//! both of its sides: [`offer_rows`] and [`offer_columns`].

mod lanes;
mod listed;
#[cfg(any(test, feature = "oracle"))]
pub(super) mod scalar;

pub use listed::{ListedPairs, Offered, offer_listed};

use super::{ResidualCounters, correlation_floor, residual_distance};
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::{LANES_F64, Lanes, OnLanes, Tier};
use crate::view::panels_len;

/// Which points count for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// Those of a lower rank.
    Earlier,
    /// All but the row itself, told by the position.
    Others,
    /// All.
    All,
}

/// The lists of some rows.
#[derive(Debug)]
pub struct Shortlists<'o> {
    /// Neighbours wanted per row.
    pub k: usize,
    /// Places per row.
    pub room: usize,
    /// `[rows][room]`: lower bounds of `|rho|`.
    pub lowers: &'o mut [f32],
    /// `[rows][room]`: upper bounds of `|rho|`.
    pub uppers: &'o mut [f32],
    /// `[rows][room]`.
    pub positions: &'o mut [Idx],
    /// `[rows]`: places taken.
    pub counts: &'o mut [Idx],
    /// `[rows]`: the smallest `|rho|` that may still be in the answer; begins at 0.
    pub least: &'o mut [f64],
}

impl Shortlists<'_> {
    pub(super) fn check(&self, rows: usize) -> Result<(), KernelError> {
        want("counts", rows, self.counts.len())?;
        want("least", rows, self.least.len())?;
        let places = rows.saturating_mul(self.room);
        want("lowers", places, self.lowers.len())?;
        want("uppers", places, self.uppers.len())?;
        want("positions", places, self.positions.len())
    }

    /// Places taken of a row; none if there is no such row, or its count is no number of places.
    fn taken(&self, row: usize) -> Option<usize> {
        let taken = self.counts.get(row).and_then(|&count| usize::try_from(count).ok());
        taken.filter(|taken| *taken <= self.room)
    }

    /// Checks the lists and one row of them; gives the places that the row takes.
    pub(super) fn check_row(&self, row: usize) -> Result<usize, KernelError> {
        self.check(self.counts.len())?;
        want("row", self.counts.len().max(row.saturating_add(1)), self.counts.len())?;
        self.taken(row).ok_or(KernelError::Value { what: "counts", at: row })
    }

    /// Whether a row has room for `more` points.
    pub fn fits(&self, row: usize, more: usize) -> bool {
        self.taken(row).is_some_and(|taken| more <= self.room - taken)
    }

    #[inline(always)]
    fn push(&mut self, row: usize, rho: f64, error: f64, position: Idx) {
        let place = row * self.room + at(self.counts[row]);
        (self.lowers[place], self.uppers[place]) = bounds(rho, error);
        self.positions[place] = position;
        self.counts[row] += 1;
    }
}

/// Bounds of `|rho|`, rounded outward. A NaN, which says nothing, becomes the whole range: it passes the cut, which `f64::min`
/// would not let it, and neither bound.
#[inline(always)]
pub(super) fn bounds(rho: f64, error: f64) -> (f32, f32) {
    let size = rho.abs();
    let cut = if size > 1.0 { 1.0 } else { size };
    (((cut - error) as f32).next_down().max(0.0), ((size + error) as f32).next_up().min(1.0))
}

/// Consecutive points on one side of a tile.
#[derive(Clone, Copy, Debug)]
pub struct Members<'a> {
    /// Position of the first one.
    pub first: Idx,
    /// How many there are.
    pub len: usize,
    /// `[len]` or longer: ranks in the order, exact in `f64`; for the columns whole panels of 8.
    pub ranks: &'a [f64],
    /// As `ranks`: the factors of the margin.
    pub margins: &'a [f64],
}

/// Correlations of some rows with consecutive points.
#[derive(Clone, Copy, Debug)]
pub struct RhoTile<'a> {
    /// `[places.len()][panels * 8]`: the filter `r`.
    pub rho: &'a [f64],
    /// Which of the members each row of the tile is, ascending.
    pub places: &'a [Idx],
    /// The side of the rows.
    pub rows: Members<'a>,
    /// The side of the columns.
    pub columns: Members<'a>,
}

impl Members<'_> {
    /// Checks that the last position fits an index.
    fn check(&self) -> Result<(), KernelError> {
        if self.first < 0 {
            return Err(KernelError::Key { at: 0, key: self.first, limit: Idx::MAX });
        }
        idx_len(self.len.saturating_add(at(self.first)))?;
        Ok(())
    }
}

/// Checks that places ascend and are below `len`, else gives the first that does not. A list has room for each member once.
fn check_places(places: &[Idx], len: usize) -> Result<(), usize> {
    let mut next = 0;
    for (at, &place) in places.iter().enumerate() {
        if place < next || usize::try_from(place).is_ok_and(|place| place >= len) {
            return Err(at);
        }
        next = place.saturating_add(1);
    }
    Ok(())
}

impl RhoTile<'_> {
    fn panels(&self) -> usize {
        self.columns.len.div_ceil(LANES_F64)
    }

    fn check(&self) -> Result<(), KernelError> {
        self.rows.check()?;
        self.columns.check()?;
        let lanes = self.panels() * LANES_F64;
        want("rho", self.places.len().saturating_mul(lanes), self.rho.len())?;
        for (what, got) in [("column ranks", self.columns.ranks.len()), ("column margins", self.columns.margins.len())]
        {
            want(what, lanes.max(got), got)?;
        }
        for (what, got) in [("row ranks", self.rows.ranks.len()), ("row margins", self.rows.margins.len())] {
            want(what, self.rows.len.max(got), got)?;
        }
        check_places(self.places, self.rows.len).map_err(|at| KernelError::Value { what: "places", at })
    }
}

/// Offers the points of a tile to its rows; returns how many were taken.
///
/// | argument | shape |
/// | --- | --- |
/// | `tile` | with the filter `r` |
/// | `counting` | which columns count for a row |
/// | `lists` | `[tile.rows.len]` lists, one for each of the members that the rows are of; appended to |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Key`] or [`KernelError::TooLong`] for members at
/// positions that are no [`Idx`], [`KernelError::Value`] for a place that is no member or does not ascend,
/// [`KernelError::Least`] when a row of the tile has no [room](Shortlists::fits) for all columns. Nothing is written then.
///
/// # Cost
/// Six operations per vector of eight pairs, and a few per point that is taken.
pub fn offer_rows(
    tier: Tier,
    tile: &RhoTile<'_>,
    counting: Counting,
    lists: &mut Shortlists<'_>,
) -> Result<u64, KernelError> {
    struct Body<'a, 'o>(&'a RhoTile<'a>, Counting, &'a mut Shortlists<'o>);
    impl OnLanes for Body<'_, '_> {
        type Out = u64;
        #[inline(always)]
        fn run<L: Lanes>(self) -> u64 {
            lanes::rows::<L>(self.0, self.1, self.2)
        }
    }
    tile.check()?;
    lists.check(tile.rows.len)?;
    if tile.places.iter().any(|&place| !lists.fits(at(place), tile.columns.len)) {
        return Err(KernelError::Least { what: "room", least: tile.columns.len, got: lists.room });
    }
    Ok(tier.run(Body(tile, counting, lists)))
}

/// Offers the rows of a tile to its columns; returns how many were taken.
///
/// | argument | shape |
/// | --- | --- |
/// | `tile`, `counting` | as for [`offer_rows`] |
/// | `lists` | `[tile.columns.len]` lists, appended to |
///
/// # Errors
/// As [`offer_rows`], for the columns.
///
/// # Cost
/// As [`offer_rows`].
pub fn offer_columns(
    tier: Tier,
    tile: &RhoTile<'_>,
    counting: Counting,
    lists: &mut Shortlists<'_>,
) -> Result<u64, KernelError> {
    struct Body<'a, 'o>(&'a RhoTile<'a>, Counting, &'a mut Shortlists<'o>);
    impl OnLanes for Body<'_, '_> {
        type Out = u64;
        #[inline(always)]
        fn run<L: Lanes>(self) -> u64 {
            lanes::columns::<L>(self.0, self.1, self.2)
        }
    }
    tile.check()?;
    lists.check(tile.columns.len)?;
    if (0..tile.columns.len).any(|column| !lists.fits(column, tile.places.len())) {
        return Err(KernelError::Least { what: "room", least: tile.places.len(), got: lists.room });
    }
    Ok(tier.run(Body(tile, counting, lists)))
}

/// Marks the pairs of a tile whose bound does not rule them out for their rows, nor for their columns.
///
/// | argument | shape |
/// | --- | --- |
/// | `tile` | with upper bounds of `|rho|` in place of the filter; margins are not read |
/// | `least` | `[rows.len]` and `[columns.len]`: of the short lists of both sides; no second one if the columns want nothing |
/// | `masks` | `[places.len()][panels]`, overwritten: bit `l` is set where the pair is wanted |
///
/// # Errors
/// As [`offer_rows`], but for lists; `masks` are then untouched.
///
/// Returns how many pairs are wanted.
///
/// # Cost
/// Six operations per vector of eight pairs.
pub fn wanted_pairs(
    tier: Tier,
    tile: &RhoTile<'_>,
    counting: Counting,
    least: (&[f64], Option<&[f64]>),
    masks: &mut [u32],
) -> Result<u64, KernelError> {
    struct Body<'a>(&'a RhoTile<'a>, Counting, (&'a [f64], Option<&'a [f64]>), &'a mut [u32]);
    impl OnLanes for Body<'_> {
        type Out = u64;
        #[inline(always)]
        fn run<L: Lanes>(self) -> u64 {
            lanes::wanted::<L>(self.0, self.1, self.2, self.3)
        }
    }
    tile.check()?;
    want("least of the rows", tile.rows.len, least.0.len())?;
    want("least of the columns", tile.columns.len, least.1.map_or(tile.columns.len, <[f64]>::len))?;
    want("masks", tile.places.len() * tile.panels(), masks.len())?;
    Ok(tier.run(Body(tile, counting, least, masks)))
}

/// Widens a tile of panels of 16 `f32` to panels of 8 `f64`, for the lists.
///
/// | argument | shape |
/// | --- | --- |
/// | `narrow` | `[rows][panels of 16][16]` for `len` columns |
/// | `wide` | `[rows][panels of 8][8]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; `wide` is then untouched.
///
/// # Cost
/// Reads and writes each element once; widening is exact.
pub fn widen_tile(narrow: &[f32], len: usize, wide: &mut [f64]) -> Result<(), KernelError> {
    let (from, to) = (panels_len::<f32>(len, 1), panels_len::<f64>(len, 1));
    let rows = wide.len().checked_div(to).unwrap_or(0);
    want("wide", rows * to, wide.len())?;
    want("narrow", rows * from, narrow.len())?;
    if to > 0 {
        for (wide, narrow) in wide.chunks_exact_mut(to).zip(narrow.chunks_exact(from)) {
            for (wide, narrow) in wide.iter_mut().zip(narrow) {
                *wide = f64::from(*narrow);
            }
        }
    }
    Ok(())
}

/// Raises `least` of one row as far as its list allows, and drops the points below it. The order of the list may change.
///
/// | argument | shape |
/// | --- | --- |
/// | `scratch` | `[room]`, overwritten |
/// | `counters` | one list condensed, and the points that it dropped; nothing for a list of fewer than `k` points |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit or there is no such row, [`KernelError::Value`] when its count is no
/// number of places. Nothing is written then.
///
/// # Cost
/// A selection among the listed points.
pub fn condense(
    row: usize,
    lists: &mut Shortlists<'_>,
    scratch: &mut [f32],
    counters: &mut ResidualCounters,
) -> Result<(), KernelError> {
    let (count, first) = (lists.check_row(row)?, row * lists.room);
    want("scratch", lists.room, scratch.len())?;
    if count < lists.k || lists.k == 0 {
        return Ok(());
    }
    let listed = first..first + count;
    let lowers = &mut scratch[..count];
    lowers.copy_from_slice(&lists.lowers[listed.clone()]);
    let kth = *lowers.select_nth_unstable_by(count - lists.k, f32::total_cmp).1;
    let least = correlation_floor(residual_distance(f64::from(kth))).max(lists.least[row]);
    lists.least[row] = least;
    let mut kept = first;
    for place in listed {
        if f64::from(lists.uppers[place]) >= least {
            lists.lowers[kept] = lists.lowers[place];
            lists.uppers[kept] = lists.uppers[place];
            lists.positions[kept] = lists.positions[place];
            kept += 1;
        }
    }
    counters.condensed += 1;
    counters.dropped += (count - (kept - first)) as u64; // widens
    lists.counts[row] = (kept - first) as Idx; // at most what it was
    Ok(())
}
