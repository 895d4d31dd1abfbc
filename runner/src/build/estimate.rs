//! What is refused or replaced before any work: graphs that would be quadratic, and strategies that the points cannot have.

use covertree_kernels::index::{Idx, LEN_MAX, at};
use covertree_kernels::tree::farthest;

use super::batches::Schedule;
use super::config::Conflict;
use super::conflict::AXES_MAX;
use super::{Builder, Placement, Prefix};
use crate::error::Error;
use crate::space::Space;
use crate::summary::fits_memory;
use crate::tree::Order;

/// Points of a sample.
const SAMPLE: usize = 128;

/// A random batch has about one conflict per point and member of the sample; many more mean an order that is sorted in space.
const MANY: f64 = 4.0;

/// Conflicts of a batch that are not worth an estimate.
const FEW: f64 = (1u64 << 22) as f64;

/// Bytes that a conflict takes while it is settled.
const PAIR_BYTES: f64 = 50.0;

/// What a refusal is of.
#[derive(Clone, Copy)]
pub(super) enum Work {
    Build,
    Update,
}

/// Some of the slots, spread evenly.
fn sample(slots: &[Idx]) -> Vec<Idx> {
    let len = slots.len().min(SAMPLE);
    (0..len).map(|i| slots[i * slots.len() / len]).collect()
}

impl<S: Space> Builder<'_, S> {
    /// Refuses a build, or an update of a tree that is there, whose last batch would have a graph beyond all bounds.
    ///
    /// # Errors
    /// [`Error::Usage`] with the estimate and what to do instead: an update has the settings of its tree.
    pub(super) fn refuse_quadratic(&self, schedule: &Schedule<'_>, work: Work) -> Result<(), Error> {
        let config = self.config;
        let (before, batch) = schedule.last_batch();
        let graph = matches!(config.conflict, Conflict::Dense | Conflict::TwoPhase);
        let limit = config.graph_limit(batch.len());
        if !graph || before.is_empty() || (batch.len() as f64).powi(2) / 2.0 <= FEW.min(limit as f64) {
            return Ok(());
        }
        let pairs = self.pairs_of(before, batch);
        let beyond = pairs > limit as f64;
        if !beyond && fits_memory((pairs * PAIR_BYTES) as u64) {
            return Ok(());
        }
        // Without coordinates there are no cells.
        let sparse = if self.space.axes() == 0 { Conflict::Parent } else { Conflict::Grid };
        let remedy = match work {
            Work::Update => format!("change fewer points at a time, or build the tree anew with conflict {sparse}"),
            Work::Build => format!(
                "choose conflict {sparse}{}{}",
                if config.prefix == Prefix::Whole { ", or prefix doubling" } else { ", or batch-order brio" },
                if beyond && limit < LEN_MAX as u64 / 2 { ", or a larger graph-cap" } else { "" }
            ),
        };
        Err(Error::Usage(format!(
            "conflict {}: the last batch would have about {pairs:.1e} conflicts ({:.0} GiB), more than {}; {remedy}",
            config.conflict,
            pairs * PAIR_BYTES / f64::from(1 << 30),
            if beyond { format!("the limit of {limit}") } else { "there is memory".into() },
        )))
    }

    /// Conflicts of a batch behind the points before it, by a sample of both; 0 where they are as few as in a random order.
    fn pairs_of(&self, before: &[Idx], batch: &[Idx]) -> f64 {
        let (before, members) = (sample(before), sample(batch));
        let all: Vec<Idx> = before.iter().chain(&members).copied().collect();
        let packed = self.space.pack_slots(&all);
        let kernel = self.space.kernel(&packed);
        let ladder = self.ladder.view();
        let mut near = 0usize;
        for &slot in &members {
            let distance = |position| {
                let run = farthest(self.tier, &kernel, self.space.query(at(slot)), position, position + 1);
                run.expect("the position is one of the packed points").0
            };
            let nearest = (0..before.len()).map(distance).fold(f64::INFINITY, f64::min);
            if nearest > 0.0 {
                let radius = ladder.radius(ladder.level_over(nearest) - 1);
                let within = (before.len()..all.len()).filter(|&position| distance(position) <= radius).count();
                near += within.saturating_sub(1); // without itself, which a function that is no metric may put elsewhere
            }
        }
        let per_point = near as f64 / members.len() as f64;
        if per_point < MANY { 0.0 } else { per_point / members.len() as f64 * (batch.len() as f64).powi(2) / 2.0 }
    }

    /// The share of the pairs of a batch, all points of which stand where they would alone, that are conflicts; by a sample.
    pub(super) fn share_of_conflicts(&self, batch: &[Idx], placement: &Placement) -> f64 {
        let members = sample(batch);
        let packed = self.space.pack_slots(&members);
        let kernel = self.space.kernel(&packed);
        let ladder = self.ladder.view();
        let mut near = 0usize;
        for &slot in &members {
            let radius = ladder.radius(placement.levels[at(slot)]);
            let distance = |position| {
                let run = farthest(self.tier, &kernel, self.space.query(at(slot)), position, position + 1);
                run.expect("the position is one of the packed points").0
            };
            let within = (0..members.len()).filter(|&position| distance(position) <= radius).count();
            near += within.saturating_sub(1); // without itself, as above
        }
        near as f64 / (members.len() as f64).powi(2)
    }

    /// Whether the whole graph of a batch is beyond all bounds: points far from everything before them, for example.
    pub(super) fn is_quadratic(&self, batch: &[Idx], placement: &Placement) -> bool {
        let share = self.share_of_conflicts(batch, placement);
        let pairs = share * (batch.len() as f64).powi(2) / 2.0;
        share * batch.len().min(SAMPLE) as f64 >= MANY && pairs > self.config.graph_limit(batch.len()) as f64
    }

    /// What the builder decides by itself, in words.
    pub(super) fn notes(&self) -> Vec<String> {
        let axes = self.space.axes();
        let mut notes = Vec::new();
        if self.config.conflict == Conflict::Grid && axes > AXES_MAX {
            notes.push(format!("conflict grid: {axes} axes are more than {AXES_MAX}; parent was used instead"));
        }
        if self.config.chain_cap.is_some() && self.chain().is_none() {
            notes.push("chain-cap: balls are not visited in the same order everywhere; nothing was cut short".into());
        }
        notes
    }

    /// The cap on the covering nodes that a traversal finds. Over balls around coordinates the order of the nodes depends on how
    /// surrogates round, and so would the tree.
    pub(super) fn chain(&self) -> Option<u64> {
        let same_everywhere = self.space.order() == Order::Cells || self.space.axes() == 0;
        self.config.chain_cap.filter(|_| same_everywhere).map(|chain| chain as u64) // widens
    }
}
