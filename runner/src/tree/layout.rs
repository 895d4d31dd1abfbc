//! Puts the points of a tree, given by parents and levels, into an order of storage, and forms its groups.

use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::tree::Group;

use super::{Ladder, Tree, cells};
use crate::space::Space;

/// A tree as the builder keeps it: by slot.
pub(crate) struct Shape<'a> {
    /// The slots that belong to the tree, ascending.
    pub slots: &'a [Idx],
    /// Parent slot of each slot; `NONE` for the root.
    pub parents: &'a [Idx],
    /// Level of each slot.
    pub levels: &'a [i32],
}

/// An order of storage; see `covertree_kernels::tree`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Blocks of children; groups are bounded by balls.
    Blocks,
    /// Cells of space, whatever the parents; groups are bounded by boxes.
    Cells,
}

/// Groups of at most this many points are scanned from end to end.
const SCANNED: usize = 48;

/// The children of each slot.
struct Children {
    starts: Vec<Idx>,
    /// The children of all slots, one slot after the other.
    all: Vec<Idx>,
    root: Idx,
}

impl Children {
    /// Those that have children themselves come before those that have none.
    fn new(shape: &Shape<'_>) -> Self {
        let slots_len = shape.parents.len();
        let mut starts = vec![0 as Idx; slots_len + 1];
        for &slot in shape.slots {
            let parent = shape.parents[at(slot)];
            if parent != NONE {
                starts[at(parent) + 1] += 1;
            }
        }
        for slot in 0..slots_len {
            starts[slot + 1] += starts[slot];
        }
        let mut next: Vec<Idx> = starts[..slots_len].to_vec();
        let mut children = vec![NONE; shape.slots.len().saturating_sub(1)];
        let mut root = NONE;
        for inner in [true, false] {
            for &slot in shape.slots {
                let parent = shape.parents[at(slot)];
                if parent == NONE {
                    root = slot;
                } else if inner == (starts[at(slot)] < starts[at(slot) + 1]) {
                    children[at(next[at(parent)])] = slot;
                    next[at(parent)] += 1;
                }
            }
        }
        Self { starts, all: children, root }
    }

    fn of(&self, slot: Idx) -> &[Idx] {
        &self.all[at(self.starts[at(slot)])..at(self.starts[at(slot) + 1])]
    }

    fn has_any(&self, slot: Idx) -> bool {
        self.starts[at(slot)] < self.starts[at(slot) + 1]
    }
}

/// Lays a tree out in the order that suits the space: in blocks, siblings keep the order of their slots; in cells, points are arranged
/// as in a kd-tree, and the runs stay empty. The ids of the tree are slots, and the reaches are still to be measured.
pub(crate) fn lay_out<S: Space>(shape: &Shape<'_>, ladder: Ladder, space: &S) -> (Tree, Runs) {
    let (len, order) = (shape.slots.len(), space.order());
    let mut tree = Tree {
        ids: vec![NONE; len].into(),
        levels: vec![0; len].into(),
        parents: vec![NONE; len].into(),
        reaches: vec![0.0; len].into(),
        groups: Vec::new().into(),
        waiting: 1,
        order,
        ladder,
    };
    if len == 0 {
        return (tree, Runs::default());
    }
    if order == Order::Blocks {
        let runs = by_blocks(shape, &mut tree);
        return (tree, runs);
    }
    cells::form(space, shape, &mut tree);
    (tree, Runs::default())
}

/// For each position, the range of its strict descendants.
#[derive(Default)]
pub(crate) struct Runs {
    pub firsts: Vec<Idx>,
    pub ends: Vec<Idx>,
}

/// For each position, the range of its strict descendants and the highest level among its children.
struct Places {
    firsts: Vec<Idx>,
    ends: Vec<Idx>,
    tops: Vec<i32>,
}

/// Blocks of children, breadth first over the nodes that have any.
fn by_blocks(shape: &Shape<'_>, tree: &mut Tree) -> Runs {
    let len = tree.ids.len();
    let children = Children::new(shape);
    // Nodes with children, breadth first; leaves need no visit.
    let mut inner: Vec<Idx> = vec![children.root];
    let mut done = 0;
    while done < inner.len() {
        let node = inner[done];
        done += 1;
        inner.extend(children.of(node).iter().filter(|&&child| children.has_any(child)));
    }
    let mut sizes = vec![1 as Idx; shape.parents.len()];
    for &node in inner.iter().rev() {
        sizes[at(node)] += children.of(node).iter().map(|&child| sizes[at(child)]).sum::<Idx>();
    }
    tree.ids[0] = children.root;
    tree.levels[0] = shape.levels[at(children.root)];
    let mut positions = vec![0 as Idx; shape.parents.len()];
    let mut places = Places { firsts: vec![1; len], ends: vec![len as Idx; len], tops: vec![i32::MIN; len] };
    for &node in &inner {
        let place = at(positions[at(node)]);
        let block = children.of(node);
        let first = places.firsts[place];
        let mut running = first + block.len() as Idx;
        for (offset, &child) in block.iter().enumerate() {
            let position = at(first) + offset;
            tree.ids[position] = child;
            tree.levels[position] = shape.levels[at(child)];
            tree.parents[position] = place as Idx;
            places.tops[place] = places.tops[place].max(shape.levels[at(child)]);
            places.firsts[position] = running;
            running += sizes[at(child)] - 1;
            places.ends[position] = running;
            positions[at(child)] = position as Idx;
        }
    }
    form_by_node(tree, &places);
    Runs { firsts: places.firsts, ends: places.ends }
}

/// By blocks: the run of each node that is not small, and of its children.
fn form_by_node(tree: &mut Tree, places: &Places) {
    let len = tree.ids.len();
    let whole = Group { first: 1, block: 1, end: len as Idx, top: places.tops[0], ..Group::default() };
    tree.groups.to_mut().push(whole);
    let mut waits = vec![0 as Idx];
    let mut done = 0;
    while done < tree.groups.len() {
        let kids = tree.groups.len() as Idx;
        let group = tree.groups[done];
        if at(group.end - group.first) > SCANNED {
            split(tree, places, &group);
        }
        let count = tree.groups.len() as Idx - kids;
        tree.groups[done] = match tree.groups.get(at(kids)) {
            None => Group { block: group.end, ..group },
            Some(kid) => Group { block: kid.first, kids, kids_end: kids + count, ..group },
        };
        let waiting = waits[done] + count;
        tree.waiting = tree.waiting.max(waiting);
        waits.extend(std::iter::repeat_n(waiting - 1, at(count)));
        done += 1;
    }
    tree.waiting = tree.waiting.max(1);
}

/// Appends a group for each child of the group's node that has descendants; those come first in the block.
fn split(tree: &mut Tree, places: &Places, group: &Group) {
    let node = at(group.center);
    for child in group.first..block_end(places, node) {
        let (first, end) = (places.firsts[at(child)], places.ends[at(child)]);
        if first == end {
            break;
        }
        let top = places.tops[at(child)];
        tree.groups.to_mut().push(Group { first, block: end, end, center: child, top, ..Group::default() });
    }
}

/// One past the block of children of a node that has any, by blocks.
fn block_end(places: &Places, node: usize) -> Idx {
    let first = at(places.firsts[node]);
    if places.firsts[first] < places.ends[first] { places.firsts[first] } else { places.ends[node] }
}
