//! Exact search under the metric: leaves against leaves in register tiles, short lists, and the formula for what remains.
//!
//! Every leaf first meets the leaves around it, so that its short lists know early how correlated a point must be; then all
//! the others, behind bounds. When points are searched among themselves, one tile serves both of its leaves, so each pair is computed once.

use std::sync::Mutex;

use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::landmark::LandmarkCounters;
use covertree_kernels::residual::{
    Counting, GateCounters, PointRow, ResidualCounters, residual_distance, settle_positions,
};
use covertree_kernels::simd::Tier;
use covertree_kernels::topk::KBest;
use rayon::prelude::*;

use super::far::{self, Far};
use super::gate::Gated;
use super::layout::box_distance;
use super::lists::Lists;
use super::set::PointSet;
use super::tile::{self, Meeting};
use crate::error::Error;
use crate::within::Budget;
use crate::workers::Workers;

/// Leaves that a leaf meets first.
const NEAR: usize = 12;

/// The same for a leaf whose points lie scattered.
const NEAR_SCATTERED: usize = 48;

/// Work of a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Work {
    /// Pairs in tiles (`filtered`: with the padding of tiles, and correlations of landmarks), those that entered a short list (`candidates`), and those that the formula settled.
    pub residual: ResidualCounters,
    /// Pairs that were bounded by landmarks, those that the bounds ruled out, and what it took.
    pub landmark: LandmarkCounters,
    /// Pairs that came to a gate and those that it dropped, where there is one.
    pub gate: GateCounters,
}

impl Work {
    /// Adds the work of another search.
    pub fn merge(&mut self, other: &Self) {
        self.residual.merge(&other.residual);
        self.landmark.merge(&other.landmark);
        self.gate.merge(&other.gate);
    }
}

/// What is searched for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// So many nearest points.
    Nearest(usize),
    /// All points within a distance.
    Within(f64),
}

/// How pairs are ruled out. Answers never depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// Landmark bounds where they pay, single precision where its margin allows.
    #[default]
    Auto,
    /// Every pair in an `f64` tile: the brute force that all else is measured against. Takes a packed copy of `V` for as long as
    /// a search runs.
    Brute,
}

/// One side of a search.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub set: &'a PointSet,
    /// Packed rows of `V` of the first leaves, as far as they are kept, for `f64` tiles.
    pub tiles: &'a [f64],
    /// Panels of 8: rank of each position; read where only earlier points count.
    pub ranks: &'a [f64],
}

/// A search to be run.
pub(crate) struct Search<'a> {
    pub tier: Tier,
    pub points: Side<'a>,
    /// Points that the neighbours are wanted of; `None` if these are the points themselves.
    pub queries: Option<Side<'a>>,
    pub strategy: Strategy,
    /// What makes the search approximate.
    pub gate: Option<&'a Gated>,
    pub counting: Counting,
    pub goal: Goal,
    /// Whether each point is its own nearest neighbour.
    pub with_self: bool,
    /// What the short lists may take; `None` where the goal bounds them.
    pub list_budget: Option<Budget>,
}

/// The answer of one leaf: rows of (distance, position), ascending by (distance, id).
pub(super) type Rows = Vec<Vec<(f64, Idx)>>;

impl Search<'_> {
    /// Runs the search: for each position of the queries its neighbours, and the work.
    pub fn run(&self) -> Result<(Rows, Work), Error> {
        let asked = self.queries.unwrap_or(self.points);
        let leaves = asked.set.layout.leaves();
        let lists = |leaf| Lists::new(asked.set.layout.leaf(leaf).len(), self.goal, self.list_budget.as_ref());
        let lists =
            (0..leaves).map(|leaf| lists(leaf).map(Mutex::new)).collect::<Result<Vec<Mutex<Lists>>, Error>>()?;
        let near = self.near(asked);
        let workers = Workers::new();
        let blocks = tile::blocks_of(&self.points.set.model).max(far::blocks_of(&self.points.set.model));
        let meet = |leaf: usize, others: &[usize]| {
            let wide = match leaf < asked.set.hard_leaves || self.strategy == Strategy::Brute {
                true => others.len(),
                false => others.partition_point(|&other| other < self.points.set.hard_leaves),
            };
            let (wide, narrow) = others.split_at(wide);
            let mut work = Work::default();
            workers.with(blocks, |memory| -> Result<(), Error> {
                if !wide.is_empty() {
                    work.merge(&Meeting::<f64>::new(self, leaf, &lists, memory)?.with_all(wide)?);
                }
                if !narrow.is_empty() {
                    work.merge(&Meeting::<f32>::new(self, leaf, &lists, memory)?.with_all(narrow)?);
                }
                Ok(())
            })?;
            Ok(work)
        };
        let merge = |mut one: Work, other: Work| {
            one.merge(&other);
            Ok::<_, Error>(one)
        };
        let first = (0..leaves).into_par_iter().map(|leaf| meet(leaf, &near[leaf]));
        let mut counters = first.try_reduce(Work::default, merge)?;
        let gate = self.gate.map(|gate| gate.open(self, asked, &lists, &mut counters.residual)).transpose()?;
        let far = Far::new(self, asked, &lists, &near, gate.as_ref())?;
        let rest = (0..far.groups()).into_par_iter().rev().map(|group| {
            let (mut work, rest) = workers.with(blocks, |memory| far.meet(group, memory))?;
            for (leaf, mut others) in rest.leaves.zip(rest.whole) {
                others.sort_unstable();
                work.merge(&meet(leaf, &others)?);
            }
            Ok(work)
        });
        counters = merge(counters, rest.try_reduce(Work::default, merge)?)?;
        // The lists of a leaf go when its rows are known.
        let budget = matches!(self.goal, Goal::Within(_)).then(Budget::of_answer);
        let settled = lists.into_par_iter().enumerate().map(|(leaf, lists)| {
            let lists = lists.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
            self.settle(asked, leaf, lists, budget.as_ref())
        });
        let mut rows = Vec::with_capacity(asked.set.layout.len());
        for leaf in settled.collect::<Result<Vec<(Rows, ResidualCounters)>, Error>>()? {
            rows.extend(leaf.0);
            counters.residual.merge(&leaf.1);
        }
        Ok((rows, counters))
    }

    /// The leaves that each leaf meets first, ascending; among the points themselves each pair stands with its higher leaf.
    fn near(&self, asked: Side<'_>) -> Vec<Vec<usize>> {
        let (leaves, points) = (asked.set.layout.leaves(), self.points.set);
        let all = points.layout.leaves();
        // The few points of hard leaves lie scattered: they are near to everything, and say little.
        let first = if points.hard_leaves < all { points.hard_leaves } else { 0 };
        let mut near: Vec<Vec<usize>> = (0..leaves)
            .into_par_iter()
            .map(|leaf| {
                let from = |other: usize| box_distance(asked.set.box_of(leaf), points.box_of(other));
                let mut others: Vec<(f64, usize)> = (first..all).map(|other| (from(other), other)).collect();
                let scattered = first > 0 && leaf < asked.set.hard_leaves;
                let count = if scattered { NEAR_SCATTERED } else { NEAR };
                if others.len() > count {
                    others.select_nth_unstable_by(count, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                    others.truncate(count);
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

    /// Settles the short lists of a leaf by the formula. The budget, if there is one, pays for the answer.
    fn settle(
        &self,
        asked: Side<'_>,
        leaf: usize,
        mut lists: Lists,
        budget: Option<&Budget>,
    ) -> Result<(Rows, ResidualCounters), Error> {
        let range = asked.set.layout.leaf(leaf);
        let mut counters = ResidualCounters::default();
        let mut answers = Vec::with_capacity(range.len());
        for (row, position) in range.enumerate() {
            let positions = lists.finish(row, self.goal, &mut counters)?;
            if let Some(budget) = budget {
                budget.spend(positions.len())?; // nearly all of them answer
            }
            let rho = self.published(position, positions, &mut counters)?;
            let own = self.with_self.then_some((0.0, position as Idx)); // a position
            let found =
                own.into_iter().chain(rho.iter().map(|&rho| residual_distance(rho)).zip(positions.iter().copied()));
            answers.push(self.best(found)?);
        }
        Ok((answers, counters))
    }

    /// The published correlations of a point of the side that asks with points at ascending positions.
    pub(super) fn published(
        &self,
        position: usize,
        positions: &[Idx],
        counters: &mut ResidualCounters,
    ) -> Result<Vec<f64>, KernelError> {
        let (asked, points) = (self.queries.unwrap_or(self.points), self.points);
        let mut z = vec![0.0; asked.set.model.dim()];
        asked.set.point(position, &mut z);
        let query = PointRow { coordinates: &z, v: asked.set.row(position), p: asked.set.p[position] };
        let mut rho = vec![0.0; positions.len()];
        settle_positions(self.tier, query, &points.set.all_rows()?, &points.set.p, positions, &mut rho, counters)?;
        Ok(rho)
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
                rows.shrink_to_fit();
                Ok(rows)
            }
        }
    }
}
