//! A meeting behind a gate.

use covertree_kernels::arena::Arena;

use super::{BOUND_COST, Buffers, LISTED_COST, Meeting, Other};
use crate::error::Error;
use crate::residual::gate::OpenGate;
use crate::residual::layout::LEAF;
use crate::residual::precision::Precision;
use crate::residual::search::Strategy;

impl<'a: 'm, 'm, T: Precision> Meeting<'a, 'm, T> {
    /// The same behind a gate.
    pub fn behind(self, gate: Option<&'a OpenGate<'a>>) -> Self {
        Self { gate, ..self }
    }

    /// Computes and offers the pairs that the gate lets pass, if these are few; else does nothing, and says so, and nothing is
    /// dropped. Which of the two depends on the gate and on constants alone.
    pub(super) fn meet_gated(
        &mut self,
        other: &Other<'a, T>,
        buffers: &mut Buffers<'_, T>,
        arena: &mut Arena<'_>,
    ) -> Result<bool, Error> {
        let Some(gate) = self.gate else { return Ok(false) };
        let pairs = (self.range.len() * other.range.len()) as u64; // widens
        self.work.gate.gate1_candidates += pairs;
        let passed = match gate.shut(self.leaf, other.leaf) {
            true => 0,
            false => gate.mark(self.search, (self.leaf, other.leaf), buffers.masks, arena)?,
        };
        if passed > 0 {
            let rows = T::rows(self.search.points.set, other.leaf);
            let Some(rows) = rows.filter(|_| passed * LISTED_COST < self.cost_without_gate(pairs)) else {
                return Ok(false);
            };
            self.meet_listed(other, rows, (0, passed), buffers, arena)?;
        }
        self.work.gate.residual_pruned_by_gate1 += pairs - passed;
        Ok(true)
    }

    /// What the meeting costs at least without a gate, in pairs of a tile.
    fn cost_without_gate(&self, pairs: u64) -> u64 {
        match self.side.set.frames.get(self.leaf) {
            Some(frame) if self.search.strategy == Strategy::Auto => {
                let landmarks = frame.frame.count().next_multiple_of(6) * LEAF;
                (landmarks as u64 + BOUND_COST).min(pairs) // widens
            }
            _ => pairs,
        }
    }
}
