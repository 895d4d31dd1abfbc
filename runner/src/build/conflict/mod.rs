//! The conflict stage: which points of a batch keep the level that they want, and where the others go.
//!
//! | file | strategy |
//! | --- | --- |
//! | `dense` | the whole graph of conflicts, with or without a cap on the degrees |
//! | `two_phase` | first what beats all of its conflicts, then the graph of the rest |
//! | `grid` | proposals: leaders of cells |
//! | `parent` | proposals: an independent set below each parent |
//! | `auto` | the choice between them |
//! | `graph` | settles a list of conflicts, level by level, downward |
//! | `proposals` | settles proposals: stitched, then repaired until nothing can be added |

mod auto;
mod dense;
mod graph;
mod grid;
mod parent;
mod proposals;
mod two_phase;

pub(super) use auto::{Choice, Crowding, choose};
pub(super) use grid::AXES_MAX;

use super::crowd::Crowd;

/// Settles the conflicts of a batch; levels, parents and distances are final then. Where a graph turns out to be too large to be
/// kept, a strategy without one goes on. Returns what settled the batch.
pub(super) fn settle(crowd: &mut Crowd<'_>, choice: Choice) -> Choice {
    crowd.row.conflict = choice.name();
    let settled = match choice {
        Choice::Dense => dense::settle(crowd),
        Choice::TwoPhase => two_phase::settle(crowd),
        Choice::Grid => {
            grid::settle(crowd);
            true
        }
        Choice::Parent => {
            parent::settle(crowd);
            true
        }
    };
    if settled { choice } else { settle(crowd, Choice::without_graph(crowd.scene.axes())) }
}

#[cfg(test)]
pub(super) mod tests;
