//! Which points of a tree are looked for, and in which groups there are any.

use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::tree::{Group, TWIN};

use crate::tree::Tree;
use crate::tree::cells::set_tops;

/// Marked points of a tree, and its groups with the highest level among the marked points of each.
pub(super) struct Marks {
    pub flags: Vec<u8>,
    pub groups: Vec<Group>,
}

impl Marks {
    /// Marks some positions.
    pub fn new(tree: &Tree, positions: impl Iterator<Item = Idx>) -> Self {
        let mut flags = vec![0; tree.len()];
        positions.for_each(|position| flags[at(position)] = 1);
        Self::of(tree, flags)
    }

    /// Marks what the flags say.
    pub fn of(tree: &Tree, flags: Vec<u8>) -> Self {
        let mut groups = tree.groups.to_vec();
        set_tops(&mut groups, |place| if flags[place] != 0 { tree.levels[place] } else { TWIN });
        Self { flags, groups }
    }
}

/// The level of all points of a tree whose marks come and go.
const LEVEL: i32 = 0;

/// Which groups are around the points of a tree.
pub(super) struct Around {
    /// By position: the group that has the point, but in none of its kids; `NONE` for the root, which stands before all groups.
    homes: Vec<Idx>,
    /// By group: the one that it is a kid of; `NONE` for the first.
    above: Vec<Idx>,
}

impl Around {
    pub fn new(tree: &Tree) -> Self {
        let (mut homes, mut above) = (vec![NONE; tree.len()], vec![NONE; tree.groups.len()]);
        for (group, number) in tree.groups.iter().zip(0..) {
            homes[at(group.first)..at(group.block)].fill(number);
            above[at(group.kids)..at(group.kids_end)].fill(number);
        }
        Self { homes, above }
    }
}

/// Marks that come and go, in a tree all of whose points are on level 0: each costs a step for every group around its point, where
/// new [`Marks`] are a pass over the tree.
pub(super) struct Changing<'a> {
    around: &'a Around,
    marks: Marks,
    /// By group: how many of its points are marked.
    counts: Vec<Idx>,
}

impl<'a> Changing<'a> {
    /// None, so far.
    pub fn new(tree: &Tree, around: &'a Around) -> Self {
        debug_assert!(tree.levels.iter().all(|&level| level == LEVEL));
        let marks = Marks::of(tree, vec![0; tree.len()]);
        Self { around, marks, counts: vec![0; tree.groups.len()] }
    }

    /// The marks that are set.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Sets the mark of a position, or takes it away.
    pub fn set(&mut self, position: usize, mark: bool) {
        let flag = &mut self.marks.flags[position];
        if *flag == u8::from(mark) {
            return;
        }
        *flag = u8::from(mark);
        let mut group = self.around.homes[position];
        while group != NONE {
            let count = &mut self.counts[at(group)];
            *count += if mark { 1 } else { -1 };
            self.marks.groups[at(group)].top = if *count > 0 { LEVEL } else { TWIN };
            group = self.around.above[at(group)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Distribution;
    use crate::space::{Euclidean, Manhattan, PanelMetric};
    use crate::tree::Order;
    use crate::tree::fixtures::{built, rows};
    use covertree_kernels::hash::mix64;

    fn come_and_go_as_if_made_anew<M: PanelMetric>(dim: usize, order: Order) {
        let (mut tree, _) = built::<M>(&rows(Distribution::Manifold, 2_000, dim, 5), dim);
        assert_eq!(tree.order, order);
        tree.levels.to_mut().fill(LEVEL);
        let around = Around::new(&tree);
        let mut changing = Changing::new(&tree, &around);
        // None, a few, all, half, and none again; what is said twice changes nothing.
        for share in [0, 1, 64, 32, 0] {
            let marked = |place: usize| mix64(share ^ place as u64) % 64 < share;
            for place in (0..tree.len()).chain(0..9) {
                changing.set(place, marked(place));
            }
            let flags: Vec<u8> = (0..tree.len()).map(|place| u8::from(marked(place))).collect();
            let anew = Marks::of(&tree, flags);
            assert!(changing.marks.flags == anew.flags && changing.marks.groups == anew.groups, "{share} of 64");
        }
    }

    #[test]
    fn marks_come_and_go_in_cells_and_in_blocks() {
        come_and_go_as_if_made_anew::<Euclidean<f64>>(3, Order::Cells);
        come_and_go_as_if_made_anew::<Manhattan<f64>>(20, Order::Blocks);
    }
}
