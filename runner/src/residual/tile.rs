//! One leaf against others in whole tiles.

use std::ops::Range;
use std::sync::Mutex;

use covertree_kernels::arena::{Arena, Block, blocks};
use covertree_kernels::index::Idx;
use covertree_kernels::residual::{
    Members, QueryTiles, ResidualModel, ResidualRun, RhoTile, block_where, block_where_blocks, offer_columns,
    offer_rows, pack_queries, pack_queries_blocks,
};
use covertree_kernels::simd::LANES_F64;

use super::layout::{LEAF, PLACES};
use super::lists::{Lists, lock};
use super::precision::Precision;
use super::search::{Search, Side, Work};
use crate::error::Error;

/// Panels of a leaf in a tile of `f64`.
const PANELS: usize = LEAF / LANES_F64;

/// Blocks that a [`Meeting`] takes, in either precision.
pub(super) fn blocks_of(model: &ResidualModel) -> usize {
    2 * blocks::<f64>(LEAF * model.columns())
        + pack_queries_blocks::<f64>(PANELS, model.columns())
        + block_where_blocks::<f64>(PANELS, PANELS)
        + 2 * blocks::<f64>(LEAF * LEAF)
        + blocks::<u32>(LEAF * PANELS)
}

/// A leaf that meets others in one precision.
pub(super) struct Meeting<'a, 'm, T> {
    search: &'a Search<'a>,
    lists: &'a [Mutex<Lists>],
    leaf: usize,
    side: Side<'a>,
    range: Range<usize>,
    run: ResidualRun<'m, T>,
    tiles: QueryTiles<'m, T>,
    arena: Arena<'m>,
    work: Work,
}

impl<'a: 'm, 'm, T: Precision> Meeting<'a, 'm, T> {
    /// Packs the rows of a leaf.
    pub fn new(
        search: &'a Search<'a>,
        leaf: usize,
        lists: &'a [Mutex<Lists>],
        memory: &'m mut [Block],
    ) -> Result<Self, Error> {
        let side = search.queries.unwrap_or(search.points);
        let mut arena = Arena::new(memory);
        let room = arena.take::<T>(LEAF * side.set.model.columns())?;
        let (range, run) = (side.set.layout.leaf(leaf), T::run(&side, leaf, room)?);
        let tiles = pack_queries(search.tier, &run, &mut arena)?;
        Ok(Self { search, lists, leaf, side, range, run, tiles, arena, work: Work::default() })
    }

    /// Meets others.
    pub fn with_all(mut self, others: &[usize]) -> Result<Work, Error> {
        for &other in others {
            self.with(other)?;
        }
        Ok(self.work)
    }

    /// Computes all pairs with another leaf, and offers them to both sides.
    fn with(&mut self, other: usize) -> Result<(), Error> {
        let (search, theirs) = (self.search, self.search.points);
        let mut arena = self.arena.scope();
        let room = arena.take::<T>(LEAF * theirs.set.model.columns())?;
        let (range, run) = (theirs.set.layout.leaf(other), T::run(&theirs, other, room)?);
        let (rows, panels) = (self.run.panels() * T::LANES, run.panels());
        let filter = arena.take::<T>(rows * panels * T::LANES)?;
        let rho = arena.take::<f64>(self.range.len() * range.len().next_multiple_of(LANES_F64))?;
        let wanted = arena.take::<u32>(rows * panels)?;
        wanted.fill(u32::MAX);
        block_where(&self.tiles, &run, wanted, filter, &mut arena, &mut self.work.residual)?;
        T::to_wide(filter, range.len(), rho)?;
        let tile = RhoTile {
            rho,
            places: &PLACES[..self.range.len()],
            rows: members(self.side, &self.range, T::margins(self.side.set)),
            columns: members(theirs, &range, T::margins(theirs.set)),
        };
        let mut lists = lock(&self.lists[self.leaf]);
        lists.make_room(range.len(), search, self.leaf, &mut self.work.residual)?;
        self.work.residual.candidates += offer_rows(search.tier, &tile, search.counting, &mut lists.view(search.goal))?;
        drop(lists);
        if search.queries.is_none() && self.leaf != other {
            let mut lists = lock(&self.lists[other]);
            lists.make_room(self.range.len(), search, other, &mut self.work.residual)?;
            self.work.residual.candidates +=
                offer_columns(search.tier, &tile, search.counting, &mut lists.view(search.goal))?;
        }
        Ok(())
    }
}

/// Some points of a side, with the margins of a precision.
pub(super) fn members<'a>(side: Side<'a>, range: &Range<usize>, margins: &'a [f64]) -> Members<'a> {
    let lanes = range.start..range.end.next_multiple_of(LANES_F64);
    Members {
        first: range.start as Idx, // a position
        len: range.len(),
        ranks: &side.ranks[lanes.clone()],
        margins: &margins[lanes],
    }
}
