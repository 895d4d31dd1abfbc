//! One leaf against many: tiles in the precision that suffices, computed where landmarks cannot rule pairs out.
//!
//! # Precision
//! Two leaves meet in a centered `f32` tile where the margins of most of their points allow it, else in an `f64` tile. The few
//! points that a centered tile says too little about (their residual variance is tiny, as on top of an inducing point) are
//! asked for in `f64`, row by row.
//!
//! # Bounds
//! For leaves that are not near, the correlations of a leaf's landmarks with the other leaf come first; they put the
//! other leaf's points into the frame of the landmarks, which bounds every pair. Only register tiles with a pair that
//! the bounds do not rule out, for either side, are then computed. Where that turns out not to pay, a leaf goes on without
//! bounds, and tries again later.

use std::ops::Range;
use std::sync::Mutex;

use covertree_kernels::arena::{Arena, Block, blocks};
use covertree_kernels::index::{Idx, at};
use covertree_kernels::landmark::{FrameMemory, FramePoints, LANDMARKS_MAX, bounds, project};
use covertree_kernels::residual::{
    CenteredPoints, CenteredQueries, CenteredRows, Members, QueryTiles, ResidualModel, ResidualQuery, ResidualRun,
    RhoTile, block_where, block_where_blocks, center_products, centered_tile, centered_tile_blocks, offer_columns,
    offer_rows, one_to_run, pack_offsets, pack_offsets_blocks, pack_queries, pack_queries_blocks, wanted_pairs,
};
use covertree_kernels::simd::LANES_F64;

use super::layout::LEAF;
use super::search::{Lists, Search, Side, Strategy, Work, lock};
use super::set::Hard;
use crate::error::Error;

/// Panels of a leaf.
const PANELS: usize = LEAF / LANES_F64;

/// The product of typical margins above which a tile must be in double precision: a share of the range of a correlation.
const MARGIN_MAX: f64 = 0.02;

/// Pairs that bounding a pair of leaves costs beside the landmarks' own, in pairs of a tile.
const BOUND_COST: u64 = (LEAF * LEAF / 8) as u64;

/// Leaves that are met without bounds before they are tried again.
const PATIENCE: usize = 24;

/// Blocks that a [`Meeting`] takes.
pub(super) fn blocks_of(model: &ResidualModel) -> usize {
    let lanes = blocks::<f64>(LEAF);
    pack_offsets_blocks(LEAF, model.columns())
        + pack_queries_blocks::<f64>(PANELS, model.columns())
        + centered_tile_blocks(LEAF, PANELS).max(block_where_blocks(PANELS, PANELS))
        + 2 * blocks::<f64>(LEAF * LEAF)
        + 2 * blocks::<u32>(LEAF * PANELS)
        + blocks::<f64>(LEAF * model.dim())
        + blocks::<f64>(LEAF * LANDMARKS_MAX)
        + 8 * lanes
}

/// A leaf that meets others.
pub(super) struct Meeting<'a, 'm> {
    search: &'a Search<'a>,
    lists: &'a [Mutex<Lists>],
    leaf: usize,
    side: Side<'a>,
    range: Range<usize>,
    run: ResidualRun<'a, f64>,
    places: Vec<Idx>,
    packed: CenteredRows<'m>,
    wide: QueryTiles<'m, f64>,
    coordinates: &'m [f64],
    arena: Arena<'m>,
    work: Work,
    /// Pairs that bounded meetings cost of late, and how many there were.
    cost: (u64, u64),
    /// Meetings to come without bounds.
    unbounded: usize,
}

/// The buffers of one meeting.
struct Buffers<'b> {
    rho: &'b mut [f64],
    masks: &'b mut [u32],
    own: &'b mut [f64],
    theirs: &'b mut [f64],
}

impl<'a: 'm, 'm> Meeting<'a, 'm> {
    /// Packs the rows of a leaf.
    pub fn new(
        search: &'a Search<'a>,
        leaf: usize,
        lists: &'a [Mutex<Lists>],
        memory: &'m mut [Block],
    ) -> Result<Self, Error> {
        let side = search.queries.unwrap_or(search.points);
        let (range, dim) = (side.set.layout.leaf(leaf), side.set.model.dim());
        let places: Vec<Idx> = (0..range.len() as Idx).collect(); // at most a leaf
        let mut arena = Arena::new(memory);
        let columns = side.set.model.columns();
        let packed = pack_offsets(search.tier, side.set.offsets_of(leaf), columns, &places, &mut arena)?;
        let run = side.view.run(leaf * PANELS, range.len().div_ceil(LANES_F64))?;
        let wide = pack_queries(search.tier, &run, &mut arena)?;
        let coordinates = arena.take::<f64>(range.len() * dim)?;
        let panels = side.view.coordinates();
        for (position, row) in range.clone().zip(coordinates.chunks_exact_mut(dim)) {
            for (d, z) in row.iter_mut().enumerate() {
                *z = panels.coordinate(position, d);
            }
        }
        let (work, cost, unbounded) = (Work::default(), (0, 0), 0);
        Ok(Self {
            search,
            lists,
            leaf,
            side,
            range,
            run,
            places,
            packed,
            wide,
            coordinates,
            arena,
            work,
            cost,
            unbounded,
        })
    }

    /// Meets others, which are near or far.
    pub fn with_all(mut self, others: &[usize], far: bool) -> Result<Work, Error> {
        for &other in others {
            self.with(other, far)?;
        }
        Ok(self.work)
    }

    /// Computes the tile with another leaf, as far as needed, and offers what it holds.
    fn with(&mut self, other: usize, far: bool) -> Result<(), Error> {
        let theirs = self.search.points;
        let range = theirs.set.layout.leaf(other);
        let panels = range.len().div_ceil(LANES_F64);
        let run = theirs.view.run(other * PANELS, panels)?;
        let auto = self.search.strategy == Strategy::Auto;
        let narrow = auto && self.side.set.typical[self.leaf] * theirs.set.typical[other] <= MARGIN_MAX;
        let padded = self.run.panels() * LANES_F64;
        let mut memory = std::mem::replace(&mut self.arena, Arena::new(&mut []));
        let done = (|| {
            let mut arena = memory.scope();
            let buffers = Buffers {
                rho: &mut arena.take::<f64>(LEAF * LEAF)?[..padded * panels * LANES_F64],
                masks: &mut arena.take::<u32>(LEAF * PANELS)?[..padded * panels],
                own: arena.take::<f64>(LEAF)?,
                theirs: &mut arena.take::<f64>(LEAF)?[..panels * LANES_F64],
            };
            buffers.rho.fill(0.0);
            if narrow {
                let (tier, here) = (self.search.tier, self.side.set.center_of(self.leaf));
                let there = theirs.set.center_of(other);
                center_products(tier, there, None, &self.run, &mut buffers.own[..padded])?;
                center_products(tier, here, Some(there), &run, buffers.theirs)?;
            }
            let meets = Other { leaf: other, range, run, narrow };
            self.fill(&meets, far, buffers, &mut arena)
        })();
        self.arena = memory;
        done
    }

    fn fill(
        &mut self,
        other: &Other<'a>,
        far: bool,
        mut buffers: Buffers<'_>,
        arena: &mut Arena<'_>,
    ) -> Result<(), Error> {
        let bounded = far
            && self.search.strategy == Strategy::Auto
            && self.bounds_pay()
            && self.mark(other, &mut buffers, arena)?;
        if !bounded {
            buffers.masks.fill(u32::MAX);
        }
        let evaluated = self.compute(other, &mut buffers, arena)?;
        if bounded {
            self.cost = (self.cost.0 + evaluated, self.cost.1 + 1);
        }
        self.offer(other, buffers.rho)?;
        if other.narrow {
            self.ask_hard(other, buffers.rho)?;
        }
        Ok(())
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

    /// Marks the pairs that the landmarks of this leaf cannot rule out; what is known of the landmarks' own pairs stays in
    /// the tile. Gives whether there were landmarks.
    fn mark(&mut self, other: &Other<'a>, buffers: &mut Buffers<'_>, arena: &mut Arena<'_>) -> Result<bool, Error> {
        let leaf = &self.side.set.frames[self.leaf];
        let (count, panels) = (leaf.frame.count(), other.run.panels());
        if count == 0 {
            return Ok(false);
        }
        buffers.masks.fill(0);
        buffers.masks[..count * panels].fill(u32::MAX);
        self.compute(other, buffers, arena)?;
        let (set, lanes) = (self.search.points.set, panels * LANES_F64);
        let errors = &set.errors[usize::from(other.narrow)][other.range.start..][..lanes];
        let frame = if other.narrow {
            let own = &self.side.set.errors[1][self.range.start..][..count];
            leaf.frame.with_error(libm::sqrt(own.iter().fold(0.0, |sum, error| sum + error * error)))
        } else {
            leaf.frame
        };
        let mut arena = arena.scope();
        let mut memory = FrameMemory {
            coordinates: arena.take::<f64>(lanes * count)?,
            spans: arena.take::<f64>(lanes)?,
            tails: arena.take::<f64>(lanes)?,
            slacks: arena.take::<f64>(lanes)?,
        };
        project(self.search.tier, &frame, &leaf.factor, buffers.rho, errors, other.range.len(), &mut memory)?;
        if other.narrow {
            for hard in set.hard_of(other.leaf) {
                memory.slacks[at(hard.position) - other.range.start] = f64::NEG_INFINITY; // asks for itself
            }
        }
        let theirs = FramePoints::new(&memory, other.range.len(), count)?;
        let rows = self.run.panels() * LANES_F64;
        let most = &mut arena.take::<f64>(LEAF * LEAF)?[..rows * lanes];
        let (least, passing) = (&vec![0.0; rows], &mut vec![0; rows * panels]);
        bounds(self.search.tier, &leaf.points()?.queries(), &theirs, least, most, passing, &mut Default::default())?;
        let tile = self.tile(other, &most[..self.range.len() * lanes], &self.side.set.margins, &set.margins);
        let own = lock(&self.lists[self.leaf]).least.clone();
        let columns = self.search.queries.is_none().then(|| lock(&self.lists[other.leaf]).least.clone());
        let masks = &mut buffers.masks[..self.range.len() * panels];
        let kept = wanted_pairs(self.search.tier, &tile, self.search.counting, (&own, columns.as_deref()), masks)?;
        masks[..count * panels].fill(0); // known already
        if other.narrow {
            for hard in self.side.set.hard_of(self.leaf) {
                masks[(at(hard.position) - self.range.start) * panels..][..panels].fill(0); // asks for itself
            }
        }
        let pairs = (self.range.len() * other.range.len()) as u64; // widens
        self.work.landmark.landmark_bounded += pairs;
        self.work.landmark.landmark_pruned += pairs - kept;
        Ok(true)
    }

    /// Computes the register tiles with a wanted pair; gives the pairs in them.
    fn compute(&mut self, other: &Other<'a>, buffers: &mut Buffers<'_>, arena: &mut Arena<'_>) -> Result<u64, Error> {
        let (rows, panels) = (self.range.len(), other.run.panels());
        let pairs = if other.narrow {
            let queries = CenteredQueries {
                rows: self.packed,
                coordinates: self.coordinates,
                scales: &self.side.set.scales[self.range.clone()],
                products: &buffers.own[..rows],
            };
            let offsets = self.search.points.set.offsets_of(other.leaf);
            let points = CenteredPoints { run: other.run, offsets, products: buffers.theirs };
            let (wanted, rho) = (&buffers.masks[..rows * panels], &mut buffers.rho[..rows * panels * LANES_F64]);
            centered_tile(&queries, &points, wanted, rho, arena)?
        } else {
            buffers.masks[rows * panels..].fill(0); // rows that pad the last panel
            block_where(&self.wide, &other.run, buffers.masks, buffers.rho, arena)?
        };
        self.work.residual.filtered += pairs;
        Ok(pairs)
    }

    /// Offers a tile to both sides.
    fn offer(&mut self, other: &Other<'a>, rho: &[f64]) -> Result<(), Error> {
        let (mine, yours, search) = (self.side.set, self.search.points.set, self.search);
        let rho = &rho[..self.range.len() * other.run.panels() * LANES_F64];
        let (own, theirs) = match other.narrow {
            true => (&mine.asking, &yours.asking),
            false => (&mine.margins, &yours.margins),
        };
        let tile = self.tile(other, rho, own, theirs);
        let mut lists = lock(&self.lists[self.leaf]);
        lists.make_room(other.range.len(), search.goal)?;
        let mut taken = offer_rows(search.tier, &tile, search.counting, &mut lists.view(search.goal))?;
        drop(lists);
        if search.queries.is_none() && self.leaf != other.leaf {
            let mut lists = lock(&self.lists[other.leaf]);
            lists.make_room(self.range.len(), search.goal)?;
            taken += offer_columns(search.tier, &tile, search.counting, &mut lists.view(search.goal))?;
        }
        self.work.residual.candidates += taken;
        Ok(())
    }

    /// Settles the pairs that centered tiles know too little of, in double precision: hard points ask, and answer, by
    /// themselves. A pair of hard points counts for the first of both leaves alone.
    fn ask_hard(&mut self, other: &Other<'a>, rho: &mut [f64]) -> Result<(), Error> {
        let (search, own, points) = (self.search, self.side, self.search.points);
        let (among, same) = (search.queries.is_none(), self.leaf == other.leaf);
        let same = among && same;
        let (mine, theirs) = (&self.lists[self.leaf], &self.lists[if among { other.leaf } else { self.leaf }]);
        for hard in own.set.hard_of(self.leaf) {
            let row = HardRow { search, side: own, range: &self.range, hard };
            let (all, soft) = (&points.set.margins, &points.set.soft);
            let columns = among.then_some((theirs, if same { soft } else { all }));
            self.work.merge(&row.offer(points, (&other.range, &other.run), Some((mine, all)), columns, rho)?);
        }
        if same {
            return Ok(());
        }
        for hard in points.set.hard_of(other.leaf) {
            let row = HardRow { search, side: points, range: &other.range, hard };
            let soft = &own.set.soft;
            let rows = among.then_some((theirs, soft));
            self.work.merge(&row.offer(own, (&self.range, &self.run), rows, Some((mine, soft)), rho)?);
        }
        Ok(())
    }

    fn tile<'t>(&'t self, other: &Other<'a>, rho: &'t [f64], margins: &'t [f64], theirs: &'t [f64]) -> RhoTile<'t> {
        RhoTile {
            rho,
            places: &self.places,
            rows: members(self.side, &self.range, margins),
            columns: members(self.search.points, &other.range, theirs),
        }
    }
}

/// The other leaf of a meeting.
struct Other<'a> {
    leaf: usize,
    range: Range<usize>,
    run: ResidualRun<'a, f64>,
    narrow: bool,
}

/// A hard point against a leaf.
struct HardRow<'a> {
    search: &'a Search<'a>,
    side: Side<'a>,
    range: &'a Range<usize>,
    hard: Hard<'a>,
}

/// Lists that are offered to, and the margins of the points that answer.
type Offer<'a> = Option<(&'a Mutex<Lists>, &'a Vec<f64>)>;

impl HardRow<'_> {
    /// Offers the points of the leaf to the hard point, and the hard point to them.
    fn offer(
        &self,
        answering: Side<'_>,
        (range, run): (&Range<usize>, &ResidualRun<'_, f64>),
        to_row: Offer<'_>,
        to_columns: Offer<'_>,
        rho: &mut [f64],
    ) -> Result<Work, Error> {
        let (set, position, search) = (self.side.set, at(self.hard.position), self.search);
        let Hard { coordinates, v, .. } = self.hard;
        let query = ResidualQuery { coordinates, v, scale: set.scales[position], margin: set.margins[position] };
        let (rho, masks) = (&mut rho[..run.panels() * LANES_F64], &mut [0; PANELS][..run.panels()]);
        one_to_run(search.tier, &query, run, 0.0, rho, masks, &mut Default::default())?;
        let mut work = Work::default();
        work.residual.filtered += range.len() as u64; // widens
        let places = [(position - self.range.start) as Idx]; // at most a leaf
        for (offer, rows) in [(to_row, true), (to_columns, false)] {
            let Some((lists, margins)) = offer else { continue };
            let tile = RhoTile {
                rho,
                places: &places,
                rows: members(self.side, self.range, &set.margins),
                columns: members(answering, range, margins),
            };
            let mut lists = lock(lists);
            lists.make_room(if rows { range.len() } else { 1 }, search.goal)?;
            let mut view = lists.view(search.goal);
            work.residual.candidates += match rows {
                true => offer_rows(search.tier, &tile, search.counting, &mut view)?,
                false => offer_columns(search.tier, &tile, search.counting, &mut view)?,
            };
        }
        Ok(work)
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
