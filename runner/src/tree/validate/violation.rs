//! What can be wrong with a tree, and how much of it is kept.

use covertree_kernels::index::Idx;

/// One way in which a tree is not what it should be. Points are named by their ids: row numbers of the input.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// An array does not fit the others.
    #[error("{what}: {got} elements where the tree has {want}")]
    Length {
        /// The array.
        what: &'static str,
        /// The length that the tree implies.
        want: usize,
        /// Its length.
        got: usize,
    },
    /// An id that no row can have.
    #[error("ids: position {position} holds {id}, outside 0..{limit}")]
    Id {
        /// Where.
        position: Idx,
        /// The id.
        id: Idx,
        /// The first id that is too large.
        limit: Idx,
    },
    /// An id that names two points.
    #[error("ids: row {id} stands twice, the second time at position {position}")]
    Repeated {
        /// The id.
        id: Idx,
        /// Where it stands again.
        position: Idx,
    },
    /// The first point is no root.
    #[error("root: row {id} at position 0 {problem}")]
    Root {
        /// The point at position 0.
        id: Idx,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Another point without a parent.
    #[error("root: row {id} at position {position} has no parent either; only the root may")]
    SecondRoot {
        /// The point.
        id: Idx,
        /// Where.
        position: Idx,
    },
    /// A parent that is no other point or, by blocks, does not stand before its child.
    #[error("parent: row {id} at position {position} hangs on position {parent}, where it cannot hang")]
    Parent {
        /// The child.
        id: Idx,
        /// Its position.
        position: Idx,
        /// The position that is given as its parent.
        parent: Idx,
    },
    /// A level that does not fall.
    #[error("level: row {id} on level {level} hangs on row {parent} on level {parent_level}, which is not higher")]
    Level {
        /// The child.
        id: Idx,
        /// Its level.
        level: i32,
        /// The parent.
        parent: Idx,
        /// The parent's level.
        parent_level: i32,
    },
    /// A twin with a child.
    #[error("twin: row {id} hangs on row {twin}, a twin, which may have no children")]
    TwinParent {
        /// The child.
        id: Idx,
        /// The twin.
        twin: Idx,
    },
    /// A twin away from its node.
    #[error("twin: row {id} hangs as a twin on row {node}, at distance {distance} instead of 0")]
    TwinDistance {
        /// The twin.
        id: Idx,
        /// The node.
        node: Idx,
        /// Their distance.
        distance: f64,
    },
    /// A point that its parent does not cover.
    #[error("cover: row {id} on level {level} lies {distance} from its parent, row {parent}, beyond {radius}")]
    Cover {
        /// The child.
        id: Idx,
        /// Its level.
        level: i32,
        /// The parent.
        parent: Idx,
        /// Their distance.
        distance: f64,
        /// The radius of the level above.
        radius: f64,
    },
    /// Two nodes too close to each other.
    #[error(
        "separation: rows {id} on level {level} and {other} on level {other_level} lie {distance} apart, not more than \
         {radius}"
    )]
    Separation {
        /// One node.
        id: Idx,
        /// Its level.
        level: i32,
        /// The other node.
        other: Idx,
        /// Its level.
        other_level: i32,
        /// Their distance.
        distance: f64,
        /// The radius of the lower one of the levels.
        radius: f64,
    },
    /// Two nodes at the same place.
    #[error("twin: rows {id} and {other} are two nodes at distance 0; one must be a twin")]
    Coincident {
        /// One node.
        id: Idx,
        /// The other node.
        other: Idx,
    },
    /// A reach that leaves a descendant out.
    #[error("reach: row {id} reaches {reach}, but its descendant, row {descendant}, lies {distance} away")]
    Reach {
        /// The node.
        id: Idx,
        /// Its reach.
        reach: f32,
        /// The farthest descendant.
        descendant: Idx,
        /// The distance to it.
        distance: f64,
    },
    /// A reach above what rounding explains.
    #[error("reach: row {id} reaches {reach}, beyond {limit}, though its farthest descendant lies {distance} away")]
    LooseReach {
        /// The node.
        id: Idx,
        /// Its reach.
        reach: f32,
        /// The distance to its farthest descendant; 0 if there is none.
        distance: f64,
        /// The same, rounded up as far as it may be.
        limit: f32,
    },
    /// A point out of the order of storage.
    #[error("storage: row {id} at position {position} {problem}")]
    Storage {
        /// The point.
        id: Idx,
        /// Where.
        position: Idx,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A group that does not fit the order of storage.
    #[error("group {group}: {problem}")]
    Group {
        /// The number of the group.
        group: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A group whose highest level is another than it says.
    #[error("group {group}: its highest level is {highest}, not {top}")]
    GroupTop {
        /// The number of the group.
        group: usize,
        /// What it says.
        top: i32,
        /// The highest level among its points.
        highest: i32,
    },
    /// A group that reaches less far than its points.
    #[error("group {group}: it reaches {reach} from row {center}, but row {id} lies {distance} away")]
    GroupReach {
        /// The number of the group.
        group: usize,
        /// Its reach.
        reach: f32,
        /// The point at its center.
        center: Idx,
        /// The farthest point.
        id: Idx,
        /// The distance to it.
        distance: f64,
    },
    /// A group whose reach is above what rounding explains.
    #[error(
        "group {group}: it reaches {reach} from row {center}, beyond {limit}, though no point is farther than {distance}"
    )]
    LooseGroup {
        /// The number of the group.
        group: usize,
        /// Its reach.
        reach: f32,
        /// The point at its center.
        center: Idx,
        /// The distance to its farthest point.
        distance: f64,
        /// The same, rounded up as far as it may be.
        limit: f32,
    },
    /// A group whose box leaves a point out.
    #[error("group {group}: row {id} lies outside of its box")]
    Box {
        /// The number of the group.
        group: usize,
        /// The point.
        id: Idx,
    },
    /// A point whose projection is not that of its coordinates, or that is farther from the center than the spread says.
    #[error("row {id}: its projection is not that of its coordinates, or the spread leaves it out")]
    Projection {
        /// The point.
        id: Idx,
    },
}

/// Violations of one kind that are kept; the others are only counted.
const FEW: usize = 5;

/// Violations as they are found: all are counted, the first few of each kind are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    total: u64,
    kept: Vec<Violation>,
}

impl Findings {
    /// Adds one.
    pub(crate) fn add(&mut self, violation: Violation) {
        self.total += 1;
        self.keep(violation);
    }

    /// Adds those that were found in a part that comes later.
    pub(crate) fn merge(mut self, later: Self) -> Self {
        self.total += later.total;
        for violation in later.kept {
            self.keep(violation);
        }
        self
    }

    fn keep(&mut self, violation: Violation) {
        let kind = std::mem::discriminant(&violation);
        if self.kept.iter().filter(|kept| std::mem::discriminant(*kept) == kind).count() < FEW {
            self.kept.push(violation);
        }
    }

    /// Whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// How many there are, and the first few of each kind.
    pub(crate) fn into_parts(self) -> (u64, Vec<Violation>) {
        (self.total, self.kept)
    }
}
