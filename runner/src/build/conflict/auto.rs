//! The choice of a strategy for each batch.

use covertree_kernels::index::{Idx, at};

use super::grid::AXES_MAX;
use crate::build::config::{BuildConfig, Conflict};
use crate::parallel::{self, Table};

/// Points that one task counts.
const CHUNK: usize = 1 << 12;

/// A strategy that can settle a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::build) enum Choice {
    Dense,
    TwoPhase,
    Grid,
    Parent,
}

impl Choice {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::TwoPhase => "two-phase",
            Self::Grid => "grid",
            Self::Parent => "parent",
        }
    }

    /// Whether all conflicts of a batch are kept at once.
    pub const fn makes_a_graph(self) -> bool {
        matches!(self, Self::Dense | Self::TwoPhase)
    }

    /// The strategy that suits points of so many axes when no graph may be made.
    pub const fn without_graph(axes: usize) -> Self {
        if axes > 0 && axes <= AXES_MAX / 2 { Self::Grid } else { Self::Parent }
    }
}

/// How crowded a batch is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::build) struct Crowding {
    /// Distinct parents.
    pub parents: usize,
    /// Pairs of points that share their parent, over the points.
    pub siblings: f64,
}

impl Crowding {
    /// Counts some ascending slots under each of their parents, given the parent of each slot.
    pub fn new(ascending: &[Idx], parents: &[Idx]) -> Self {
        let counted = Table::new(parents.len());
        let parts = parallel::pieces(ascending.len(), CHUNK, &|piece| {
            let (mut distinct, mut pairs) = (0, 0);
            // Neighbours mostly share their parent: they are counted at once, so that tasks do not wait for each other.
            for siblings in ascending[piece].chunk_by(|&a, &b| parents[at(a)] == parents[at(b)]) {
                let more = siblings.len();
                let before = counted.add(parents[at(siblings[0])], more as Idx); // not above the size of the batch
                distinct += usize::from(before == 0);
                pairs += (at(before) * more + more * (more - 1) / 2) as u64;
            }
            (distinct, pairs)
        });
        let sums = |sum: (usize, u64), part: (usize, u64)| (sum.0 + part.0, sum.1 + part.1);
        let (distinct, pairs) = parts.into_iter().fold((0, 0), sums);
        Self { parents: distinct, siblings: pairs as f64 / ascending.len().max(1) as f64 }
    }
}

/// With fewer conflicts a point than this, finding all of them costs less than anything cleverer. Siblings, which cost nothing
/// to count, are an upper bound of a sort; where there are many of them, the conflicts are estimated.
const CROWDED: f64 = 64.0;

/// The strategy for a batch; `conflicts` estimates how many a point has.
pub(in crate::build) fn choose(
    config: &BuildConfig,
    axes: usize,
    crowding: &Crowding,
    conflicts: impl FnOnce() -> f64,
) -> Choice {
    match config.conflict {
        // Nets take all points at once; a batch is settled by the graph.
        Conflict::Dense | Conflict::Nets => Choice::Dense,
        Conflict::TwoPhase => Choice::TwoPhase,
        Conflict::Parent => Choice::Parent,
        Conflict::Grid if axes > AXES_MAX => Choice::Parent,
        Conflict::Grid => Choice::Grid,
        Conflict::Auto if crowding.siblings < CROWDED || config.degree_cap.is_some() => Choice::Dense,
        Conflict::Auto if conflicts() < CROWDED => Choice::Dense,
        Conflict::Auto => Choice::without_graph(axes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use covertree_kernels::index::NONE;

    #[test]
    fn crowded_batches_get_no_graph() {
        let crowding = Crowding::new(&[1, 2, 4, 6], &[NONE, 3, 5, 0, 3, 0, 3]);
        assert_eq!(crowding, Crowding { parents: 2, siblings: 0.75 });
        let auto = BuildConfig { conflict: Conflict::Auto, ..BuildConfig::default() };
        assert_eq!(choose(&auto, 2, &crowding, || 1e9), Choice::Dense);
        let crowding = Crowding { siblings: 1e4, ..crowding };
        assert_eq!(
            [2, 8, 20, 0].map(|axes| choose(&auto, axes, &crowding, || 1e4)),
            [Choice::Grid, Choice::Parent, Choice::Parent, Choice::Parent]
        );
        // In many dimensions, siblings are not in conflict.
        assert_eq!(choose(&auto, 20, &crowding, || 1.0), Choice::Dense);
        let grid = BuildConfig { conflict: Conflict::Grid, ..auto };
        assert_eq!([8, 9].map(|axes| choose(&grid, axes, &crowding, || 1e4)), [Choice::Grid, Choice::Parent]);
    }
}
