//! Exact search under the metric: leaves against leaves in register tiles, short lists, and the formula for what remains.
//!
//! Every leaf first meets the leaves around it, so that its short lists know early how correlated a point must be; then all
//! the others. When points are searched among themselves, one tile serves both of its leaves, so each pair is computed once.

use std::sync::{Mutex, MutexGuard};

use covertree_kernels::arena::{Arena, blocks};
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::residual::{
    CenteredPoints, CenteredQueries, Counting, Members, PointRow, ResidualCounters, ResidualPoints, RhoTile,
    Shortlists, block_to_run, center_products, centered_tile, centered_tile_blocks, condense, correlation_floor,
    gather_row, offer_columns, offer_rows, pack_offsets, pack_offsets_blocks, pack_queries, pack_queries_blocks,
    residual_distance, settle_positions,
};
use covertree_kernels::simd::{LANES_F64, Tier};
use covertree_kernels::topk::KBest;
use rayon::prelude::*;

use super::layout::{LEAF, box_distance};
use super::set::PointSet;
use crate::error::Error;
use crate::workers::Workers;

/// Panels of a leaf.
const PANELS: usize = LEAF / LANES_F64;

/// Leaves that a leaf meets first.
const NEAR: usize = 12;

/// The product of margins above which a tile must be in double precision: a hundredth of the range of a correlation.
const MARGIN_MAX: f64 = 0.02;

/// What is searched for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// So many nearest points.
    Nearest(usize),
    /// All points within a distance.
    Within(f64),
}

/// One side of a search.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub set: &'a PointSet,
    pub view: ResidualPoints<'a, f64>,
    /// Panels of 8: rank of each position; read where only earlier points count.
    pub ranks: &'a [f64],
}

/// A search to be run.
pub(crate) struct Search<'a> {
    pub tier: Tier,
    pub points: Side<'a>,
    /// Points that the neighbours are wanted of; `None` if these are the points themselves.
    pub queries: Option<Side<'a>>,
    pub counting: Counting,
    pub goal: Goal,
    /// Whether each point is its own nearest neighbour.
    pub with_self: bool,
}

/// The answer of one leaf: rows of (distance, position), ascending by (distance, id).
type Rows = Vec<Vec<(f64, Idx)>>;

/// The short lists of a leaf.
struct Lists {
    room: usize,
    lowers: Vec<f32>,
    uppers: Vec<f32>,
    positions: Vec<Idx>,
    counts: Vec<Idx>,
    least: Vec<f64>,
}

impl Lists {
    fn new(rows: usize, goal: Goal) -> Self {
        let (least, room) = match goal {
            Goal::Nearest(k) => (0.0, k.min(1 << 20) + LEAF + LEAF / 4),
            Goal::Within(radius) => (correlation_floor(radius), 2 * LEAF),
        };
        let mut lists = Self {
            room: 0,
            lowers: Vec::new(),
            uppers: Vec::new(),
            positions: Vec::new(),
            counts: vec![0; rows],
            least: vec![least; rows],
        };
        lists.grow(room);
        lists
    }

    fn grow(&mut self, room: usize) {
        let old = self.room;
        spread(&mut self.lowers, old, room, self.counts.len());
        spread(&mut self.uppers, old, room, self.counts.len());
        spread(&mut self.positions, old, room, self.counts.len());
        self.room = room;
    }

    fn view(&mut self, goal: Goal) -> Shortlists<'_> {
        let k = match goal {
            Goal::Nearest(k) => k,
            Goal::Within(_) => usize::MAX, // the threshold is known from the beginning
        };
        Shortlists {
            k,
            room: self.room,
            lowers: &mut self.lowers,
            uppers: &mut self.uppers,
            positions: &mut self.positions,
            counts: &mut self.counts,
            least: &mut self.least,
        }
    }

    /// Makes room for `more` points in every row.
    fn make_room(&mut self, more: usize, goal: Goal) -> Result<(), KernelError> {
        let mut scratch = Vec::new();
        let mut most = 0;
        for row in 0..self.counts.len() {
            if at(self.counts[row]) + more > self.room {
                scratch.resize(self.room, 0.0);
                condense(row, &mut self.view(goal), &mut scratch)?;
                most = most.max(at(self.counts[row]));
            }
        }
        if most + more > self.room {
            self.grow((most + more).max(2 * self.room));
        }
        Ok(())
    }
}

/// Moves rows of `old` elements to rows of `new` elements.
fn spread<T: Copy + Default>(values: &mut Vec<T>, old: usize, new: usize, rows: usize) {
    let mut spread = vec![T::default(); rows * new];
    if old > 0 {
        for (to, from) in spread.chunks_exact_mut(new).zip(values.chunks_exact(old)) {
            to[..old].copy_from_slice(from);
        }
    }
    *values = spread;
}

fn lock(lists: &Mutex<Lists>) -> MutexGuard<'_, Lists> {
    lists.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Search<'_> {
    /// Runs the search: for each position of the queries its neighbours, and the work.
    pub fn run(&self) -> Result<(Vec<Vec<(f64, Idx)>>, ResidualCounters), Error> {
        let asked = self.queries.unwrap_or(self.points);
        let leaves = asked.set.layout.leaves();
        let lists: Vec<Mutex<Lists>> =
            (0..leaves).map(|leaf| Mutex::new(Lists::new(asked.set.layout.leaf(leaf).len(), self.goal))).collect();
        let near = self.near(asked);
        let workers = Workers::new();
        let meet = |leaf: usize, others: &[usize]| {
            workers.with(self.tile_blocks(), |memory| self.meet(leaf, others, &lists, memory))
        };
        let merge = |mut one: ResidualCounters, other: ResidualCounters| {
            one.merge(&other);
            Ok::<_, Error>(one)
        };
        let first = (0..leaves).into_par_iter().map(|leaf| meet(leaf, &near[leaf]));
        let mut counters = first.try_reduce(ResidualCounters::default, merge)?;
        let rest = (0..leaves).into_par_iter().rev().map(|leaf| {
            let end = if self.queries.is_none() { leaf } else { self.points.set.layout.leaves() };
            let others: Vec<usize> = (0..end).filter(|other| near[leaf].binary_search(other).is_err()).collect();
            meet(leaf, &others)
        });
        counters = merge(counters, rest.try_reduce(ResidualCounters::default, merge)?)?;
        let settled = lists.into_par_iter().enumerate().map(|(leaf, lists)| {
            let lists = lists.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
            self.settle(asked, leaf, lists)
        });
        let mut rows = Vec::with_capacity(asked.set.layout.len());
        for leaf in settled.collect::<Result<Vec<(Rows, ResidualCounters)>, Error>>()? {
            rows.extend(leaf.0);
            counters.merge(&leaf.1);
        }
        Ok((rows, counters))
    }

    /// The leaves that each leaf meets first, ascending; among the points themselves each pair stands with its higher leaf.
    fn near(&self, asked: Side<'_>) -> Vec<Vec<usize>> {
        let (leaves, points) = (asked.set.layout.leaves(), self.points.set);
        let mut near: Vec<Vec<usize>> = (0..leaves)
            .into_par_iter()
            .map(|leaf| {
                let from = |other: usize| box_distance(asked.set.box_of(leaf), points.box_of(other));
                let mut others: Vec<(f64, usize)> =
                    (0..points.layout.leaves()).map(|other| (from(other), other)).collect();
                if others.len() > NEAR {
                    others.select_nth_unstable_by(NEAR, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                    others.truncate(NEAR);
                }
                others.into_iter().map(|(_, other)| other).collect()
            })
            .collect();
        if self.queries.is_none() {
            let mut pairs: Vec<Vec<usize>> = (0..leaves).map(|leaf| vec![leaf]).collect();
            for (leaf, others) in near.iter().enumerate() {
                for &other in others {
                    pairs[leaf.max(other)].push(leaf.min(other));
                }
            }
            near = pairs;
        }
        for others in &mut near {
            others.sort_unstable();
            others.dedup();
        }
        near
    }

    /// Blocks that [`meet`](Self::meet) takes.
    fn tile_blocks(&self) -> usize {
        let model = self.points.set.model;
        pack_offsets_blocks(LEAF, model.columns())
            + pack_queries_blocks::<f64>(PANELS, model.columns())
            + centered_tile_blocks(LEAF, PANELS)
            + blocks::<f64>(LEAF * LEAF)
            + 2 * blocks::<u32>(LEAF * PANELS)
            + blocks::<f64>(LEAF * model.dim())
            + 4 * blocks::<f64>(LEAF)
    }

    /// Computes the tiles of one leaf with others, and offers what they hold.
    fn meet(
        &self,
        leaf: usize,
        others: &[usize],
        lists: &[Mutex<Lists>],
        memory: &mut [covertree_kernels::arena::Block],
    ) -> Result<ResidualCounters, Error> {
        let asked = self.queries.unwrap_or(self.points);
        let (set, points, columns) = (asked.set, self.points.set, asked.set.model.columns());
        let range = set.layout.leaf(leaf);
        let (rows, dim) = (range.len(), set.model.dim());
        let places: Vec<Idx> = (0..rows as Idx).collect(); // at most a leaf
        let mut counters = ResidualCounters::default();
        let mut arena = Arena::new(memory);
        let packed = pack_offsets(self.tier, set.offsets_of(leaf), columns, &places, &mut arena)?;
        let run = asked.view.run(leaf * PANELS, rows.div_ceil(LANES_F64))?;
        let wide = pack_queries(self.tier, &run, &mut arena)?;
        let coordinates = arena.take::<f64>(rows * dim)?;
        let panels = asked.view.coordinates();
        for (place, row) in coordinates.chunks_exact_mut(dim).enumerate() {
            for (d, z) in row.iter_mut().enumerate() {
                *z = panels.coordinate(range.start + place, d);
            }
        }
        let (own, theirs) = (arena.take::<f64>(LEAF)?, arena.take::<f64>(LEAF)?);
        let rho = arena.take::<f64>(LEAF * LEAF)?;
        let masks = arena.take::<u32>(LEAF * PANELS)?;
        for &other in others {
            let other_range = points.layout.leaf(other);
            let lanes = other_range.len().next_multiple_of(LANES_F64);
            let other_run = self.points.view.run(other * PANELS, lanes / LANES_F64)?;
            let narrow = single_suffices(set.typical[leaf], points.typical[other]);
            let (mine, yours) = if narrow {
                let theirs = &mut theirs[..lanes];
                center_products(self.tier, points.center_of(other), None, &run, &mut own[..run.panels() * LANES_F64])?;
                center_products(self.tier, set.center_of(leaf), Some(points.center_of(other)), &other_run, theirs)?;
                let scales = &set.scales[range.clone()];
                let queries = CenteredQueries { rows: packed, coordinates, scales, products: &own[..rows] };
                let others = CenteredPoints { run: other_run, offsets: points.offsets_of(other), products: theirs };
                centered_tile(&queries, &others, &mut rho[..rows * lanes], &mut arena)?;
                counters.filtered += (rows * other_range.len()) as u64; // widens
                (&set.centered, &points.centered)
            } else {
                let padded = run.panels() * LANES_F64;
                let (rho, masks) = (&mut rho[..padded * lanes], &mut masks[..padded * lanes / LANES_F64]);
                let mut ignored = ResidualCounters::default();
                block_to_run(&wide, &other_run, &vec![0.0; padded], rho, masks, &mut ignored)?;
                counters.filtered += (rows * other_range.len()) as u64; // widens
                (&set.margins, &points.margins)
            };
            let tile = RhoTile {
                rho: &rho[..rows * lanes],
                places: &places,
                rows: members(asked, range.clone(), mine),
                columns: members(self.points, other_range.clone(), yours),
            };
            let mut guard = lock(&lists[leaf]);
            guard.make_room(other_range.len(), self.goal)?;
            counters.candidates += offer_rows(self.tier, &tile, self.counting, &mut guard.view(self.goal))?;
            drop(guard);
            if self.queries.is_none() && leaf != other {
                let mut guard = lock(&lists[other]);
                guard.make_room(rows, self.goal)?;
                counters.candidates += offer_columns(self.tier, &tile, self.counting, &mut guard.view(self.goal))?;
            }
        }
        Ok(counters)
    }

    /// Settles the short lists of a leaf by the formula.
    fn settle(&self, asked: Side<'_>, leaf: usize, mut lists: Lists) -> Result<(Rows, ResidualCounters), Error> {
        let range = asked.set.layout.leaf(leaf);
        let model = asked.set.model;
        let mut counters = ResidualCounters::default();
        let (mut z, mut v) = (vec![0.0; model.dim()], vec![0.0; model.columns()]);
        let mut scratch = vec![0.0; lists.room];
        let mut answers = Vec::with_capacity(range.len());
        for row in 0..range.len() {
            condense(row, &mut lists.view(self.goal), &mut scratch)?;
            let count = at(lists.counts[row]);
            let positions = &mut lists.positions[row * lists.room..][..count];
            positions.sort_unstable();
            let position = range.start + row;
            gather_row(&asked.view, position, &mut z, &mut v)?;
            let query = PointRow { coordinates: &z, v: &v, p: asked.set.p[position] };
            let mut rho = vec![0.0; count];
            settle_positions(
                self.tier,
                query,
                &self.points.view,
                &self.points.set.p,
                positions,
                &mut rho,
                &mut counters,
            )?;
            let own = self.with_self.then_some((0.0, position as Idx)); // a position
            let found =
                own.into_iter().chain(rho.iter().map(|&rho| residual_distance(rho)).zip(positions.iter().copied()));
            answers.push(self.best(found)?);
        }
        Ok((answers, counters))
    }

    /// The pairs that answer, ascending by (distance, id).
    fn best(&self, found: impl Iterator<Item = (f64, Idx)>) -> Result<Vec<(f64, Idx)>, KernelError> {
        match self.goal {
            Goal::Nearest(k) => {
                let k = k.min(self.points.set.layout.len());
                let (mut distances, mut ids) = (vec![0.0; k], vec![NONE; k]);
                let mut best = KBest::new(&mut distances, &mut ids)?;
                for (distance, position) in found {
                    best.offer(distance, self.points.set.id(position));
                }
                let count = best.finish();
                Ok(distances.into_iter().zip(ids).take(count).collect())
            }
            Goal::Within(radius) => {
                let mut rows: Vec<(f64, Idx)> = found
                    .filter(|pair| pair.0 <= radius)
                    .map(|(distance, position)| (distance, self.points.set.id(position)))
                    .collect();
                rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                Ok(rows)
            }
        }
    }
}

/// Whether a tile in single precision can decide most pairs of two leaves, each with its typical and its largest margin.
fn single_suffices(one: [f64; 2], other: [f64; 2]) -> bool {
    one[1] * other[0] <= MARGIN_MAX && one[0] * other[1] <= MARGIN_MAX
}

fn members<'a>(side: Side<'a>, range: std::ops::Range<usize>, margins: &'a [f64]) -> Members<'a> {
    let lanes = range.start..range.end.next_multiple_of(LANES_F64);
    Members {
        first: range.start as Idx, // a position
        len: range.len(),
        ranks: &side.ranks[lanes.clone()],
        margins: &margins[lanes],
    }
}
