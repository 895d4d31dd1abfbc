//! Short lists: which points may still be among the `k` most correlated ones of each row.
//!
//! A filter knows `|rho|` up to a margin. A row keeps every point whose correlation may reach that of its `k`-th best, and
//! the published formula settles the list in the end ([`settle_positions`](super::settle_positions)). With the lower bounds
//! `|r| - m m'` of what was offered so far, the `k`-th largest of them, turned into a reported distance and back
//! ([`correlation_floor`]), is a correlation `least` such that no point below it can be in the answer, ties included:
//! at least `k` points report a distance that is not larger.
//!
//! A list is appended to until it is full; [`condense`] then raises `least` and drops what is below. One tile serves
//! both of its sides: [`offer_rows`] and [`offer_columns`].

use super::listed::check_starts;
use super::{correlation_floor, residual_distance};
use crate::error::{KernelError, want};
use crate::index::{Idx, at};
use crate::simd::{LANES_F64, Lanes, OnLanes, Real, Tier, Vector};
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
        want("lowers", rows * self.room, self.lowers.len())?;
        want("uppers", rows * self.room, self.uppers.len())?;
        want("positions", rows * self.room, self.positions.len())
    }

    /// Whether a row has room for `more` points.
    pub fn fits(&self, row: usize, more: usize) -> bool {
        at(self.counts[row]) + more <= self.room
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
        let lanes = self.panels() * LANES_F64;
        want("rho", self.places.len() * lanes, self.rho.len())?;
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
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Value`] for a place that is no member or does not ascend,
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
            rows::<L>(self.0, self.1, self.2)
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
            columns::<L>(self.0, self.1, self.2)
        }
    }
    tile.check()?;
    lists.check(tile.columns.len)?;
    if (0..tile.columns.len).any(|column| !lists.fits(column, tile.places.len())) {
        return Err(KernelError::Least { what: "room", least: tile.places.len(), got: lists.room });
    }
    Ok(tier.run(Body(tile, counting, lists)))
}

#[inline(always)]
fn rows<L: Lanes>(tile: &RhoTile<'_>, counting: Counting, lists: &mut Shortlists<'_>) -> u64 {
    let (panels, mut taken) = (tile.panels(), 0);
    for (row, &place) in tile.places.iter().enumerate() {
        let (place, own) = (at(place), tile.rows.first + place);
        let least = L::F64::splat(lists.least[place]);
        let (margin, rank) = (L::F64::splat(tile.rows.margins[place]), L::F64::splat(tile.rows.ranks[place]));
        for panel in 0..panels {
            let lane = panel * LANES_F64;
            let rho = L::F64::load(&tile.rho[row * panels * LANES_F64 + lane..]);
            let most = L::F64::load(&tile.columns.margins[lane..]).mul_add(margin, rho.abs());
            let mut bits = !most.lt(least) & in_use(tile.columns.len, panel);
            if counting == Counting::Earlier {
                bits &= L::F64::load(&tile.columns.ranks[lane..]).lt(rank);
            }
            while bits != 0 {
                let column = lane + bits.trailing_zeros() as usize; // below 8
                bits &= bits - 1;
                let position = tile.columns.first + column as Idx; // a position
                if counting != Counting::Others || position != own {
                    let error = tile.rows.margins[place] * tile.columns.margins[column];
                    lists.push(place, tile.rho[row * panels * LANES_F64 + column], error, position);
                    taken += 1;
                }
            }
        }
    }
    taken
}

#[inline(always)]
fn columns<L: Lanes>(tile: &RhoTile<'_>, counting: Counting, lists: &mut Shortlists<'_>) -> u64 {
    let (panels, mut taken) = (tile.panels(), 0);
    for panel in 0..panels {
        let lane = panel * LANES_F64;
        let mut least = [f64::INFINITY; LANES_F64];
        let used = (tile.columns.len - lane).min(LANES_F64);
        least[..used].copy_from_slice(&lists.least[lane..lane + used]);
        let least = L::F64::load(&least);
        let margins = L::F64::load(&tile.columns.margins[lane..]);
        let ranks = L::F64::load(&tile.columns.ranks[lane..]);
        for (row, &place) in tile.places.iter().enumerate() {
            let (place, position) = (at(place), tile.rows.first + place);
            let rho = L::F64::load(&tile.rho[row * panels * LANES_F64 + lane..]);
            let most = margins.mul_add(L::F64::splat(tile.rows.margins[place]), rho.abs());
            let mut bits = !most.lt(least) & in_use(tile.columns.len, panel);
            if counting == Counting::Earlier {
                bits &= L::F64::splat(tile.rows.ranks[place]).lt(ranks);
            }
            while bits != 0 {
                let column = lane + bits.trailing_zeros() as usize; // below 8
                bits &= bits - 1;
                if counting != Counting::Others || position != tile.columns.first + column as Idx {
                    // a position
                    let error = tile.rows.margins[place] * tile.columns.margins[column];
                    lists.push(column, tile.rho[row * panels * LANES_F64 + column], error, position);
                    taken += 1;
                }
            }
        }
    }
    taken
}

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
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Value`] for starts that do not rise, or a place that is
/// no column or does not ascend, [`KernelError::Least`] when a list has no [room](Shortlists::fits) for its pairs. Nothing is written then.
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
    want("rho", pairs.places.len(), pairs.rho.len())?;
    want("starts", rows.len + 1, pairs.starts.len())?;
    check_starts(pairs.starts, pairs.places.len())?;
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

/// Bits of the lanes of a panel that hold points.
#[inline(always)]
fn in_use(len: usize, panel: usize) -> u32 {
    (1 << (len - panel * LANES_F64).min(LANES_F64)) - 1
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
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Value`] for a place that is no member or does not
/// ascend; `masks` are then untouched.
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
            wanted::<L>(self.0, self.1, self.2, self.3)
        }
    }
    tile.check()?;
    want("least of the rows", tile.rows.len, least.0.len())?;
    want("least of the columns", tile.columns.len, least.1.map_or(tile.columns.len, <[f64]>::len))?;
    want("masks", tile.places.len() * tile.panels(), masks.len())?;
    Ok(tier.run(Body(tile, counting, least, masks)))
}

#[inline(always)]
fn wanted<L: Lanes>(
    tile: &RhoTile<'_>,
    counting: Counting,
    (least, least_columns): (&[f64], Option<&[f64]>),
    masks: &mut [u32],
) -> u64 {
    let (panels, mut count) = (tile.panels(), 0);
    for panel in 0..panels {
        let lane = panel * LANES_F64;
        let used = (tile.columns.len - lane).min(LANES_F64);
        let mut own = [f64::INFINITY; LANES_F64];
        if let Some(least) = least_columns {
            own[..used].copy_from_slice(&least[lane..lane + used]);
        }
        let (own, ranks) = (L::F64::load(&own), L::F64::load(&tile.columns.ranks[lane..]));
        for (row, &place) in tile.places.iter().enumerate() {
            let bound = L::F64::load(&tile.rho[(row * panels + panel) * LANES_F64..]);
            let for_row = !bound.lt(L::F64::splat(least[at(place)])); // a NaN bounds nothing
            let for_column = !bound.lt(own);
            let bits = if counting == Counting::Earlier {
                let rank = L::F64::splat(tile.rows.ranks[at(place)]);
                (for_row & ranks.lt(rank)) | (for_column & rank.lt(ranks))
            } else {
                for_row | for_column
            };
            let bits = bits & in_use(tile.columns.len, panel);
            masks[row * panels + panel] = bits;
            count += u64::from(bits.count_ones());
        }
    }
    count
}

/// Raises `least` of one row as far as its list allows, and drops the points below it. The order of the list may change.
///
/// | argument | shape |
/// | --- | --- |
/// | `scratch` | `[room]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit or there is no such row. Nothing is written then.
///
/// # Cost
/// A selection among the listed points.
pub fn condense(row: usize, lists: &mut Shortlists<'_>, scratch: &mut [f32]) -> Result<(), KernelError> {
    lists.check(lists.counts.len())?;
    want("row", lists.counts.len().max(row.saturating_add(1)), lists.counts.len())?;
    want("scratch", lists.room, scratch.len())?;
    let (first, count) = (row * lists.room, at(lists.counts[row]));
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
    lists.counts[row] = (kept - first) as Idx; // at most what it was
    Ok(())
}
