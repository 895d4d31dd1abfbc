//! One leaf against many: tiles where landmarks cannot rule pairs out.
//!
//! For leaves that are not near, the correlations of a leaf's landmarks with the other leaf come first; they put the
//! other leaf's points into the frame of the landmarks, which bounds every pair. Pairs that the bounds do not rule out, for
//! either side, are computed one by one where they are few, else in register tiles. Where bounds turn out not to pay, a leaf
//! goes on without them, and tries again later.

mod gated;

use std::ops::Range;
use std::sync::Mutex;

use covertree_kernels::arena::{Arena, Block, blocks};
use covertree_kernels::index::{Idx, at};
use covertree_kernels::landmark::{FrameMemory, FramePoints, LANDMARKS_MAX, bounds, project_weighted};
use covertree_kernels::residual::{
    ListedPairs, Members, Offered, QueryTiles, ResidualModel, ResidualQuery, ResidualRun, RhoTile, block_where,
    block_where_blocks, gate_block_blocks, gather_row, offer_columns, offer_listed, offer_rows, one_to_listed,
    pack_queries, pack_queries_blocks, wanted_pairs,
};
use covertree_kernels::simd::LANES_F64;

use super::gate::OpenGate;
use super::layout::LEAF;
use super::precision::Precision;
use super::search::{Lists, Search, Side, Strategy, Work, lock};
use crate::error::Error;

/// Panels of a leaf in a tile of `f64`.
const PANELS: usize = LEAF / LANES_F64;

/// Pairs that bounding a pair of leaves costs beside the landmarks' own, in pairs of a tile.
const BOUND_COST: u64 = (LEAF * LEAF / 8) as u64;

/// What a listed pair costs, in pairs of a tile.
const LISTED_COST: u64 = 3;

/// Leaves that are met without bounds before they are tried again.
const PATIENCE: usize = 24;

/// Blocks that a [`Meeting`] takes, in either precision.
pub(super) fn blocks_of(model: &ResidualModel) -> usize {
    let (lanes, pairs) = (blocks::<f64>(LEAF), blocks::<f64>(LEAF * LEAF));
    pack_queries_blocks::<f64>(PANELS, model.columns())
        + block_where_blocks::<f64>(PANELS, PANELS)
        + 4 * pairs
        + 4 * blocks::<u32>(LEAF * PANELS)
        + blocks::<f64>(LEAF * LANDMARKS_MAX)
        + blocks::<f64>(model.columns() + model.dim())
        + gate_block_blocks(LEAF)
        + 8 * lanes
}

/// A leaf that meets others in one precision.
pub(super) struct Meeting<'a, 'm, T> {
    search: &'a Search<'a>,
    lists: &'a [Mutex<Lists>],
    leaf: usize,
    side: Side<'a>,
    range: Range<usize>,
    run: ResidualRun<'a, T>,
    tiles: QueryTiles<'m, T>,
    places: [Idx; LEAF],
    arena: Arena<'m>,
    /// What makes the meetings approximate.
    gate: Option<&'a OpenGate<'a>>,
    work: Work,
    /// Pairs that bounded meetings cost of late, and how many there were.
    cost: (u64, u64),
    /// Meetings to come without bounds.
    unbounded: usize,
}

/// The other leaf of a meeting.
struct Other<'a, T> {
    leaf: usize,
    range: Range<usize>,
    run: ResidualRun<'a, T>,
}

/// The buffers of one meeting.
struct Buffers<'b, T> {
    /// `[rows][panels of T][LANES]`: the filter.
    filter: &'b mut [T],
    /// `[rows][panels of 8][8]`: the same in `f64`.
    rho: &'b mut [f64],
    /// `[rows][panels of T]`: what to compute.
    wanted: &'b mut [u32],
    /// `[rows][panels of 8]`: what the bounds leave.
    masks: &'b mut [u32],
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
        let (range, run) = (side.set.layout.leaf(leaf), T::run(&side, leaf)?);
        let mut arena = Arena::new(memory);
        let tiles = pack_queries(search.tier, &run, &mut arena)?;
        let places = std::array::from_fn(|place| place as Idx); // at most a leaf
        let (work, cost, unbounded) = (Work::default(), (0, 0), 0);
        Ok(Self { search, lists, leaf, side, range, run, tiles, places, arena, gate: None, work, cost, unbounded })
    }

    /// Meets others, which are near or far.
    pub fn with_all(mut self, others: &[usize], far: bool) -> Result<Work, Error> {
        for &other in others {
            self.with(other, far)?;
        }
        Ok(self.work)
    }

    /// Computes what is needed of the tile with another leaf, and offers what it holds.
    fn with(&mut self, leaf: usize, far: bool) -> Result<(), Error> {
        let theirs = self.search.points;
        let other = Other { leaf, range: theirs.set.layout.leaf(leaf), run: T::run(&theirs, leaf)? };
        let (rows, panels) = (self.run.panels() * T::LANES, other.run.panels());
        let wide = other.range.len().div_ceil(LANES_F64);
        let mut memory = std::mem::replace(&mut self.arena, Arena::new(&mut []));
        let done = (|| {
            let mut arena = memory.scope();
            let mut buffers = Buffers {
                filter: arena.take::<T>(rows * panels * T::LANES)?,
                rho: arena.take::<f64>(self.range.len() * wide * LANES_F64)?,
                wanted: arena.take::<u32>(rows * panels)?,
                masks: arena.take::<u32>(self.range.len() * wide)?,
            };
            if self.meet_gated(&other, &mut buffers, &mut arena)? {
                return Ok(());
            }
            let bounded = far && self.search.strategy == Strategy::Auto && self.bounds_pay();
            if bounded && self.meet_bounded(&other, &mut buffers, &mut arena)? {
                return Ok(());
            }
            self.meet_whole(&other, &mut buffers, &mut arena)
        })();
        self.arena = memory;
        done
    }

    /// Whether bounds are there and have paid lately.
    fn bounds_pay(&mut self) -> bool {
        let Some(frame) = self.side.set.frames.get(self.leaf) else { return false };
        if self.unbounded > 0 {
            self.unbounded -= 1;
            return false;
        }
        let (cost, met) = self.cost;
        let fixed = (frame.frame.count().next_multiple_of(6) * LEAF) as u64 + BOUND_COST;
        if met >= 4 && cost + met * fixed >= met * (LEAF * LEAF) as u64 {
            (self.unbounded, self.cost) = (PATIENCE, (0, 0));
            return false;
        }
        if met >= 32 {
            self.cost = (cost / 2, met / 2); // what was long ago counts less
        }
        true
    }

    /// Computes and offers all pairs.
    fn meet_whole(
        &mut self,
        other: &Other<'a, T>,
        buffers: &mut Buffers<'_, T>,
        arena: &mut Arena<'_>,
    ) -> Result<(), Error> {
        buffers.wanted.fill(u32::MAX);
        self.compute(self.range.len(), other, buffers, arena)?;
        let tile = self.tile(
            other,
            self.range.len(),
            buffers.rho,
            T::margins(self.side.set),
            T::margins(self.search.points.set),
        );
        self.work.residual.candidates += self.offer(other, &tile, None)?;
        Ok(())
    }

    /// Computes the first rows of the tile where they are wanted, in both forms.
    fn compute(
        &mut self,
        rows: usize,
        other: &Other<'a, T>,
        buffers: &mut Buffers<'_, T>,
        arena: &mut Arena<'_>,
    ) -> Result<(), Error> {
        let pairs = block_where(&self.tiles, &other.run, buffers.wanted, buffers.filter, arena)?;
        self.work.residual.filtered += pairs;
        let len = other.range.len();
        let rho = &mut buffers.rho[..rows * len.next_multiple_of(LANES_F64)];
        Ok(T::to_wide(buffers.filter, len, rho)?)
    }

    /// Bounds all pairs by the landmarks of this leaf, and computes and offers those that remain. Does nothing, and says so,
    /// where too many remain.
    fn meet_bounded(
        &mut self,
        other: &Other<'a, T>,
        buffers: &mut Buffers<'_, T>,
        arena: &mut Arena<'_>,
    ) -> Result<bool, Error> {
        let count = self.side.set.frames[self.leaf].frame.count();
        let Some(rows) = T::rows(self.search.points.set, other.leaf).filter(|_| count > 0) else { return Ok(false) };
        let kept = self.mark(other, buffers, arena)?;
        let pairs = (self.range.len() * other.range.len()) as u64; // widens
        let listed = kept * LISTED_COST < pairs;
        self.cost = (self.cost.0 + if listed { kept * LISTED_COST } else { pairs }, self.cost.1 + 1);
        self.work.landmark.landmark_bounded += pairs;
        if !listed {
            return Ok(false);
        }
        self.work.landmark.landmark_pruned += pairs - kept;
        self.meet_listed(other, rows, (count, kept), buffers, arena)?;
        Ok(true)
    }

    /// Computes the marked pairs one by one, and offers them and the first `count` rows, which are computed. `kept` pairs are
    /// marked.
    fn meet_listed(
        &mut self,
        other: &Other<'a, T>,
        rows: &[T],
        (count, kept): (usize, u64),
        buffers: &mut Buffers<'_, T>,
        arena: &mut Arena<'_>,
    ) -> Result<(), Error> {
        let mut starts = [0; LEAF + 1];
        let (filter, wide) = (&mut *buffers.filter, other.range.len().div_ceil(LANES_F64));
        let places = arena.take::<Idx>(at(kept as Idx))?; // at most the pairs of two leaves
        let (columns, dim) = (self.side.set.model.columns(), self.side.set.model.dim());
        let (v, z) = (arena.take::<T>(columns)?, arena.take::<T>(dim)?);
        let (view, own) = (T::points(&self.side), T::rows(self.side.set, self.leaf));
        let first = T::skipped(self.side.set) * LEAF;
        for row in 0..self.range.len() {
            let from = at(starts[row]);
            let mut end = from;
            for (panel, &mask) in buffers.masks[row * wide..(row + 1) * wide].iter().enumerate() {
                let mut bits = mask;
                while bits != 0 {
                    places[end] = (panel * LANES_F64) as Idx + bits.trailing_zeros() as Idx; // below a leaf
                    bits &= bits - 1;
                    end += 1;
                }
            }
            starts[row + 1] = end as Idx; // as above
            if end > from {
                let position = self.range.start + row;
                let v = match own {
                    Some(own) => &own[row * columns..(row + 1) * columns],
                    None => {
                        gather_row(&view, position - first, z, v)?;
                        &*v
                    }
                };
                for (d, z) in z.iter_mut().enumerate() {
                    *z = view.coordinates().coordinate(position - first, d);
                }
                let (scale, margin) = view.scale_and_margin(position - first);
                let query = ResidualQuery { coordinates: z, v, scale, margin };
                let (places, out) = (&places[from..end], &mut filter[from..end]);
                one_to_listed(self.search.tier, &query, &other.run, rows, places, out, &mut self.work.residual)?;
            }
        }
        let pairs = ListedPairs {
            starts: &starts[..self.range.len() + 1],
            places,
            rho: &filter[..places.len()],
            rows: members(self.side, &self.range, T::margins(self.side.set)),
            columns: members(self.search.points, &other.range, T::margins(self.search.points.set)),
        };
        let tile = self.tile(other, count, buffers.rho, T::margins(self.side.set), T::margins(self.search.points.set));
        self.work.residual.candidates += self.offer(other, &tile, Some(&pairs))?;
        Ok(())
    }

    /// Marks the pairs that the landmarks of this leaf cannot rule out and gives their number; the landmarks' own pairs are
    /// computed, and not marked.
    fn mark(
        &mut self,
        other: &Other<'a, T>,
        buffers: &mut Buffers<'_, T>,
        arena: &mut Arena<'_>,
    ) -> Result<u64, Error> {
        let leaf = &self.side.set.frames[self.leaf];
        let (count, panels) = (leaf.frame.count(), other.run.panels());
        buffers.wanted.fill(0);
        buffers.wanted[..count * panels].fill(u32::MAX);
        self.compute(count, other, buffers, arena)?;
        let (set, lanes) = (self.search.points.set, other.range.len().next_multiple_of(LANES_F64));
        let errors = &set.errors[T::ERRORS][other.range.start..][..lanes];
        let own = &self.side.set.errors[T::ERRORS][self.range.start..][..count];
        let frame = leaf.frame.with_error(libm::sqrt(own.iter().fold(0.0, |sum, error| sum + error * error)));
        let mut arena = arena.scope();
        let mut memory = FrameMemory {
            coordinates: arena.take::<f64>(lanes * count)?,
            spans: arena.take::<f64>(lanes)?,
            tails: arena.take::<f64>(lanes)?,
            slacks: arena.take::<f64>(lanes)?,
        };
        project_weighted(self.search.tier, &frame, &leaf.factor, buffers.rho, errors, other.range.len(), &mut memory)?;
        let theirs = FramePoints::new(&memory, other.range.len(), count)?;
        let rows = self.range.len().next_multiple_of(LANES_F64);
        let most = arena.take::<f64>(rows * lanes)?;
        let (least, passing) = (arena.take::<f64>(rows)?, arena.take::<u32>(rows * lanes / LANES_F64)?);
        least.fill(0.0);
        bounds(self.search.tier, &leaf.queries(T::ERRORS)?, &theirs, least, most, passing, &mut Default::default())?;
        let tile = self.tile(other, self.range.len(), most, &self.side.set.margins, &set.margins);
        let own = lock(&self.lists[self.leaf]).least.clone();
        let columns = self.search.queries.is_none().then(|| lock(&self.lists[other.leaf]).least.clone());
        wanted_pairs(self.search.tier, &tile, self.search.counting, (&own, columns.as_deref()), buffers.masks)?;
        buffers.masks[..count * lanes / LANES_F64].fill(0);
        Ok(buffers.masks.iter().map(|mask| u64::from(mask.count_ones())).sum())
    }

    /// Offers pairs to both sides; gives how many were taken.
    fn offer(
        &self,
        other: &Other<'a, T>,
        tile: &RhoTile<'_>,
        listed: Option<&ListedPairs<'_, T>>,
    ) -> Result<u64, Error> {
        let (search, mut taken) = (self.search, 0);
        let mut lists = lock(&self.lists[self.leaf]);
        lists.make_room(other.range.len(), search.goal)?;
        taken += offer_rows(search.tier, tile, search.counting, &mut lists.view(search.goal))?;
        if let Some(pairs) = listed {
            lists.make_room(other.range.len(), search.goal)?;
            taken += offer_listed(pairs, search.counting, Offered::ToRows, &mut lists.view(search.goal))?;
        }
        drop(lists);
        if search.queries.is_none() && self.leaf != other.leaf {
            let mut lists = lock(&self.lists[other.leaf]);
            lists.make_room(self.range.len(), search.goal)?;
            taken += offer_columns(search.tier, tile, search.counting, &mut lists.view(search.goal))?;
            if let Some(pairs) = listed {
                lists.make_room(self.range.len(), search.goal)?;
                taken += offer_listed(pairs, search.counting, Offered::ToColumns, &mut lists.view(search.goal))?;
            }
        }
        Ok(taken)
    }

    /// The first rows of a tile with another leaf.
    fn tile<'t>(
        &'t self,
        other: &Other<'a, T>,
        rows: usize,
        rho: &'t [f64],
        margins: &'t [f64],
        theirs: &'t [f64],
    ) -> RhoTile<'t> {
        RhoTile {
            rho: &rho[..rows * other.range.len().next_multiple_of(LANES_F64)],
            places: &self.places[..rows],
            rows: members(self.side, &self.range, margins),
            columns: members(self.search.points, &other.range, theirs),
        }
    }
}

fn members<'a>(side: Side<'a>, range: &Range<usize>, margins: &'a [f64]) -> Members<'a> {
    let lanes = range.start..range.end.next_multiple_of(LANES_F64);
    Members {
        first: range.start as Idx, // a position
        len: range.len(),
        ranks: &side.ranks[lanes.clone()],
        margins: &margins[lanes],
    }
}
