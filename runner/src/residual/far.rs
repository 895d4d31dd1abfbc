//! Leaves against leaves that are not near: bounds by landmarks first, for whole groups of leaves at once.
//!
//! The correlations of the landmarks of two groups come first, one tile for all their leaves. They bound every pair of points;
//! what the bounds do not rule out, for either side, is computed pair by pair where it is little, else the two leaves meet in
//! whole tiles. Where bounds turn out not to pay, a group goes on without them, and tries again later.

use std::ops::Range;
use std::sync::Mutex;

use covertree_kernels::arena::{Arena, Block, blocks};
use covertree_kernels::error::KernelError;
use covertree_kernels::landmark::{CrossTable, PanelTerms, bounds_between, bounds_between_blocks};
use covertree_kernels::residual::{
    Counting, GateCounters, QueryTiles, ResidualModel, block_where, block_where_blocks, gate_block_blocks,
    pack_queries, pack_queries_blocks,
};
use covertree_kernels::simd::{LANES_F32, LANES_F64, Real};
use rayon::prelude::*;

use super::clusters::{GROUP, GROUP_LEAVES};
use super::gate::OpenGate;
use super::layout::LEAF;
use super::listed::{self, Marks};
use super::lists::{Lists, lock};
use super::precision::Precision;
use super::search::{Search, Side, Strategy, Work};
use super::set::PointSet;
use crate::error::Error;

/// Pairs that bounding a pair of leaves costs beside the landmarks' own, in pairs of a tile.
const BOUND_COST: u64 = (LEAF * LEAF / 8) as u64;

/// What a listed pair costs, in pairs of a tile.
const LISTED_COST: u64 = 3;

/// Pairs of leaves that are met without bounds before they are tried again.
const PATIENCE: usize = 96;

/// Panels of a leaf in `f32`.
const PANELS: usize = LEAF / LANES_F32;

/// Elements of a row of masks of a leaf.
const MASKS: usize = LEAF / LANES_F64;

/// Blocks that a [`Far`] takes, in either precision.
pub(super) fn blocks_of(model: &ResidualModel) -> usize {
    let panels = GROUP / LANES_F64;
    pack_queries_blocks::<f64>(panels, model.columns())
        + block_where_blocks::<f64>(panels, panels)
        + blocks::<u32>(GROUP * panels)
        + blocks::<f64>(GROUP * GROUP)
        + blocks::<u32>(LEAF * MASKS)
        + 2 * blocks::<f32>(GROUP_LEAVES * LEAF)
        + bounds_between_blocks(LEAF)
        + gate_block_blocks(LEAF)
        + listed::blocks_of()
}

/// What the meetings of all groups share.
pub(super) struct Far<'a> {
    pub search: &'a Search<'a>,
    pub asked: Side<'a>,
    pub lists: &'a [Mutex<Lists>],
    /// The leaves that each leaf has met.
    pub near: &'a [Vec<usize>],
    /// What makes the meetings approximate.
    pub gate: Option<&'a OpenGate<'a>>,
    /// Ranks of both sides, in whole leaves.
    ranks: [Vec<f32>; 2],
    /// Groups of leaves of both sides.
    groups: [Vec<Range<usize>>; 2],
    /// Whether both sides have landmarks.
    bounded: bool,
    /// Where they have: of both sides, in both precisions, the largest terms of the panels of each leaf.
    terms: [[Vec<PanelTerms>; 2]; 2],
}

impl<'a> Far<'a> {
    pub fn new(
        search: &'a Search<'a>,
        asked: Side<'a>,
        lists: &'a [Mutex<Lists>],
        near: &'a [Vec<usize>],
        gate: Option<&'a OpenGate<'a>>,
    ) -> Result<Self, Error> {
        let sides = [asked, search.points];
        let ranks = sides.map(|side| {
            let mut ranks = vec![0.0; side.set.layout.leaves() * LEAF];
            if search.counting == Counting::Earlier {
                for (short, &rank) in ranks.iter_mut().zip(side.ranks) {
                    *short = rank as f32; // stays ascending, and equal ranks count for both
                }
            }
            ranks
        });
        let bounded = search.strategy == Strategy::Auto && sides.iter().all(|side| !side.set.clusters.is_empty());
        let groups = sides.map(|side| match bounded {
            true => side.set.landmarks.groups.iter().map(|group| group.leaves.clone()).collect(),
            false => (0..side.set.layout.leaves()).map(|leaf| leaf..leaf + 1).collect(),
        });
        let mut terms = <[[Vec<PanelTerms>; 2]; 2]>::default();
        if bounded {
            for ((side, ranks), terms) in sides.into_iter().zip(&ranks).zip(&mut terms) {
                for (precision, terms) in terms.iter_mut().enumerate() {
                    *terms = terms_of(side.set, ranks, precision)?;
                }
            }
        }
        Ok(Self { search, asked, lists, near, gate, ranks, groups, bounded, terms })
    }

    /// Number of groups of the side that asks.
    pub fn groups(&self) -> usize {
        self.groups[0].len()
    }

    /// A group meets all others that its leaves have not met; gives the work, and for each of its leaves those that it has to meet
    /// in whole tiles.
    pub fn meet(&self, group: usize, memory: &mut [Block]) -> Result<(Work, Rest), Error> {
        let leaves = self.groups[0][group].clone();
        let end = if self.search.queries.is_none() { group + 1 } else { self.groups[1].len() };
        let hard = |side: &Side<'_>, leaves: &Range<usize>| leaves.start < side.set.hard_leaves;
        let wide = match hard(&self.asked, &leaves) {
            true => end,
            false => self.groups[1][..end].partition_point(|other| hard(&self.search.points, other)),
        };
        let mut task = Task {
            far: self,
            group,
            work: Work::default(),
            whole: vec![Vec::new(); leaves.len()],
            cost: (0, 0),
            unbounded: 0,
        };
        task.run::<f64>(0..wide, memory)?;
        task.run::<f32>(wide..end, memory)?;
        Ok((task.work, Rest { leaves, whole: task.whole }))
    }
}

/// What is left to whole tiles when a group has met all others.
pub struct Rest {
    /// The leaves of the group.
    pub leaves: Range<usize>,
    /// For each of them, the leaves that it has to meet.
    pub whole: Vec<Vec<usize>>,
}

/// A group that meets others.
struct Task<'f, 'a> {
    far: &'f Far<'a>,
    group: usize,
    work: Work,
    whole: Vec<Vec<usize>>,
    /// Pairs that bounded meetings cost of late, and those of whole tiles in their place.
    cost: (u64, u64),
    /// Meetings to come without bounds.
    unbounded: usize,
}

impl Task<'_, '_> {
    /// Meets a range of groups, whose landmarks are correlated in one precision.
    fn run<T: Precision>(&mut self, others: Range<usize>, memory: &mut [Block]) -> Result<(), Error> {
        let far = self.far;
        let sides = [&far.asked, &far.search.points];
        let mut arena = Arena::new(memory);
        let known = far.bounded && !others.is_empty() && sides.iter().all(|side| T::has_landmarks(side.set));
        let gathered = if known { T::gather_landmarks(far.asked.set, self.group)? } else { None };
        let tiles = match known {
            true => {
                let run = T::landmarks(&far.asked, self.group, gathered.as_ref())?;
                Some((run.panels() * T::LANES, pack_queries(far.search.tier, &run, &mut arena)?))
            }
            false => None,
        };
        let mut pairs = Vec::new();
        (self.cost, self.unbounded) = ((0, 0), 0);
        // Among the points themselves from the nearest in the layout on: limits fall sooner, and tasks do not walk through the
        // same groups in step.
        for other in others.rev() {
            pairs.clear();
            // The other leaf outside: its rows of V stay in the cache while all leaves of the group meet them.
            for other in far.groups[1][other].clone() {
                for leaf in far.groups[0][self.group].clone() {
                    let met =
                        (far.search.queries.is_none() && other >= leaf) || far.near[leaf].binary_search(&other).is_ok();
                    if met || self.meet_gated(leaf, other, &mut arena.scope())? {
                        continue;
                    }
                    if tiles.is_some() && self.bounds_pay(leaf, other) {
                        pairs.push((leaf, other));
                    } else {
                        self.meet_later(leaf, other);
                    }
                }
            }
            if let (Some(tiles), false) = (&tiles, pairs.is_empty()) {
                self.meet_bounded(tiles, other, &pairs, &mut arena.scope())?;
            }
        }
        Ok(())
    }

    /// Leaves two leaves to meet in whole tiles.
    fn meet_later(&mut self, leaf: usize, other: usize) {
        self.whole[leaf - self.far.groups[0][self.group].start].push(other);
    }

    /// What bounding a pair of leaves costs; `None` where they cannot be bounded.
    fn cost_of_bounds(&self, leaf: usize, other: usize) -> Option<u64> {
        let clusters = [&self.far.asked.set.clusters, &self.far.search.points.set.clusters];
        let counts = clusters[0].get(leaf)?.count * clusters[1].get(other)?.count;
        (counts > 0).then_some(counts as u64 + BOUND_COST) // widens
    }

    fn pairs(&self, leaf: usize, other: usize) -> u64 {
        let [own, theirs] = [&self.far.asked, &self.far.search.points];
        (own.set.layout.leaf(leaf).len() * theirs.set.layout.leaf(other).len()) as u64 // widens
    }

    /// Whether bounds for a pair of leaves are there and have paid lately.
    fn bounds_pay(&mut self, leaf: usize, other: usize) -> bool {
        let whole = self.pairs(leaf, other);
        if self.cost_of_bounds(leaf, other).is_none_or(|cost| cost >= whole) {
            return false;
        }
        if self.unbounded > 0 {
            self.unbounded -= 1;
            return false;
        }
        let (cost, instead) = self.cost;
        if instead >= 8 * (LEAF * LEAF) as u64 && cost >= instead {
            (self.unbounded, self.cost) = (PATIENCE, (0, 0));
            return false;
        }
        if instead >= 64 * (LEAF * LEAF) as u64 {
            self.cost = (cost / 2, instead / 2); // what was long ago counts less
        }
        true
    }

    /// Correlates the landmarks of both groups, bounds the pairs of points of some pairs of their leaves, and meets what remains.
    fn meet_bounded<T: Precision>(
        &mut self,
        (rows, tiles): &(usize, QueryTiles<'_, T>),
        group: usize,
        pairs: &[(usize, usize)],
        arena: &mut Arena<'_>,
    ) -> Result<(), Error> {
        let far = self.far;
        let [own, theirs] = [far.asked.set, far.search.points.set];
        let gathered = T::gather_landmarks(theirs, group)?;
        let run = T::landmarks(&far.search.points, group, gathered.as_ref())?;
        let (rows, panels) = (*rows, run.panels());
        let place = |pair: &(usize, usize)| (own.landmarks.offsets[pair.0], theirs.landmarks.offsets[pair.1]);
        let (wanted, table) = (arena.take::<u32>(rows * panels)?, arena.take::<T>(rows * panels * T::LANES)?);
        wanted.fill(0);
        for pair in pairs {
            let (first, column) = place(pair);
            let columns = column / T::LANES..(column + theirs.clusters[pair.1].count).div_ceil(T::LANES);
            for row in first..first + own.clusters[pair.0].count {
                wanted[row * panels..][columns.clone()].fill(u32::MAX);
            }
        }
        block_where(tiles, &run, wanted, table, arena, &mut self.work.residual)?;
        let stride = panels * T::LANES;
        let least = [
            least_of(far, &far.groups[0][self.group], arena, &mut self.work)?,
            match far.search.queries {
                None => least_of(far, &far.groups[1][group], arena, &mut self.work)?,
                Some(_) => nothing_wanted(far.groups[1][group].len(), arena)?,
            },
        ];
        let masks = arena.take::<u32>(LEAF * MASKS)?;
        for pair in pairs {
            let &(leaf, other) = pair;
            let (first, column) = place(pair);
            let side = |which: usize, leaf: usize| {
                let set = [own, theirs][which];
                let panels = set.layout.leaf(leaf).len().div_ceil(LANES_F32);
                let from = leaf - far.groups[which][[self.group, group][which]].start;
                let (lanes, terms) = (panels * LANES_F32, &far.terms[which][T::ERRORS][leaf * PANELS..][..panels]);
                let (ranks, least) = (&far.ranks[which][leaf * LEAF..][..lanes], &least[which][from * LEAF..][..lanes]);
                set.clusters[leaf].side(T::ERRORS, ranks, least, terms)
            };
            let table = CrossTable { rho: &table[first * stride + column..], stride };
            let width = theirs.layout.leaf(other).len().div_ceil(LANES_F32);
            let masks = &mut masks[..own.layout.leaf(leaf).len() * width];
            let (sides, counters) = ([side(0, leaf)?, side(1, other)?], &mut self.work.landmark);
            let arena_of_pair = &mut arena.scope();
            let kept = bounds_between(far.search.tier, &sides[0], &sides[1], table, masks, arena_of_pair, counters)?;
            self.meet_kept((leaf, other), kept, masks, &mut arena.scope())?;
        }
        Ok(())
    }

    /// Meets what bounds left of two leaves.
    fn meet_kept(
        &mut self,
        (leaf, other): (usize, usize),
        kept: u64,
        masks: &[u32],
        arena: &mut Arena<'_>,
    ) -> Result<(), Error> {
        let pairs = self.pairs(leaf, other);
        let marks = Marks { bits: masks, lanes: LANES_F32, count: kept };
        let listed = kept * LISTED_COST < pairs;
        self.work.landmark.landmark_bounded += pairs;
        self.work.landmark.landmark_pruned += if listed { pairs - kept } else { 0 };
        let cost = self.cost_of_bounds(leaf, other).unwrap_or(0);
        self.cost.0 += cost + if listed { kept * LISTED_COST } else { pairs };
        self.cost.1 += pairs;
        match listed {
            true => self.meet_listed((leaf, other), &marks, arena)?,
            false => self.meet_later(leaf, other),
        }
        Ok(())
    }

    /// Computes and offers marked pairs.
    fn meet_listed(
        &mut self,
        (leaf, other): (usize, usize),
        marks: &Marks<'_>,
        arena: &mut Arena<'_>,
    ) -> Result<(), Error> {
        let (far, pair) = (self.far, (leaf, other));
        if marks.count == 0 {
            return Ok(());
        }
        match leaf < far.asked.set.hard_leaves || other < far.search.points.set.hard_leaves {
            true => listed::meet::<f64>(far.search, far.lists, pair, marks, arena, &mut self.work),
            false => listed::meet::<f32>(far.search, far.lists, pair, marks, arena, &mut self.work),
        }
    }

    /// Computes and offers the pairs that the gate lets pass, if these are few; else does nothing, and says so, and nothing is
    /// dropped. Which of the two depends on the gate and on constants alone.
    fn meet_gated(&mut self, leaf: usize, other: usize, arena: &mut Arena<'_>) -> Result<bool, Error> {
        let Some(gate) = self.far.gate else { return Ok(false) };
        let [own, theirs] = [&self.far.asked, &self.far.search.points].map(|side| &side.set.layout);
        let pairs = self.pairs(leaf, other);
        let bits = arena.take::<u32>(own.leaf(leaf).len() * theirs.leaf(other).len().div_ceil(LANES_F64))?;
        let mut counters = GateCounters::default();
        let passed = match gate.shut(leaf, other) {
            true => {
                (counters.gate1_candidates, counters.residual_pruned_by_gate1) = (pairs, pairs);
                0
            }
            false => gate.mark(self.far.search, (leaf, other), bits, arena, &mut counters)?,
        };
        let bounds = self.cost_of_bounds(leaf, other).filter(|_| self.far.bounded);
        let without = bounds.map_or(pairs, |cost| cost.min(pairs));
        let marks = Marks { bits, lanes: LANES_F64, count: passed };
        let met = passed == 0 || passed * LISTED_COST < without;
        if met {
            self.meet_listed((leaf, other), &marks, arena)?;
        } else {
            counters.residual_pruned_by_gate1 = 0; // what did not pass is computed with the rest
        }
        self.work.gate.merge(&counters);
        Ok(met)
    }
}

/// The largest terms of the panels of all leaves of a side, in whole leaves.
fn terms_of(set: &PointSet, ranks: &[f32], precision: usize) -> Result<Vec<PanelTerms>, KernelError> {
    let mut all = vec![PanelTerms::default(); set.layout.leaves() * PANELS];
    let leaves = all.par_chunks_mut(PANELS).zip(ranks.par_chunks(LEAF)).zip(&set.clusters).enumerate();
    leaves.try_for_each(|(leaf, ((terms, ranks), cluster))| {
        let panels = set.layout.leaf(leaf).len().div_ceil(LANES_F32);
        cluster.terms(precision, &ranks[..panels * LANES_F32], &mut terms[..panels])
    })?;
    Ok(all)
}

/// What each point of some leaves wants at least, rounded down, in whole leaves.
fn least_of<'m>(
    far: &Far<'_>,
    leaves: &Range<usize>,
    arena: &mut Arena<'m>,
    work: &mut Work,
) -> Result<&'m mut [f32], KernelError> {
    let all = nothing_wanted(leaves.len(), arena)?;
    for (leaf, out) in leaves.clone().zip(all.chunks_exact_mut(LEAF)) {
        for (out, &least) in out.iter_mut().zip(lock(&far.lists[leaf]).least(far.search.goal, &mut work.residual)?) {
            *out = f32::from_f64(least).next_down().max(0.0);
        }
    }
    Ok(all)
}

fn nothing_wanted<'m>(leaves: usize, arena: &mut Arena<'m>) -> Result<&'m mut [f32], KernelError> {
    let all = arena.take::<f32>(leaves * LEAF)?;
    all.fill(f32::INFINITY);
    Ok(all)
}
