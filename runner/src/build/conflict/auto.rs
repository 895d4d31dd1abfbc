//! The choice of a strategy for each batch.

use covertree_kernels::index::{Idx, NONE, at};

use super::grid::AXES_MAX;
use crate::build::config::{BuildConfig, Conflict};

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
    /// Counts the points under each parent. `scratch` has a place for each slot, `NONE` before and after.
    pub fn new(parents: impl Iterator<Item = Idx> + Clone, scratch: &mut [Idx]) -> Self {
        let (mut distinct, mut points, mut pairs) = (0, 0usize, 0.0);
        for parent in parents.clone() {
            let before = scratch[at(parent)] + 1;
            distinct += usize::from(before == 0);
            points += 1;
            pairs += f64::from(before);
            scratch[at(parent)] = before;
        }
        parents.for_each(|parent| scratch[at(parent)] = NONE);
        Self { parents: distinct, siblings: pairs / points.max(1) as f64 }
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

    #[test]
    fn crowded_batches_get_no_graph() {
        let mut scratch = [NONE; 6];
        let crowding = Crowding::new([3, 5, 3, 3].into_iter(), &mut scratch);
        assert_eq!(scratch, [NONE; 6]);
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
