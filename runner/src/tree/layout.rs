//! Puts the points of a tree, given by parents and levels, into an order of storage, and forms its groups.

use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::tree::Group;

use super::{Ladder, Tree};

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
    /// Each node before its descendants; groups are bounded by boxes.
    Subtrees,
}

/// Groups of at most this many points are scanned from end to end.
const SCANNED: usize = 48;
/// Neighbouring subtrees are joined to one group up to this many points.
const JOINED: usize = 32;

/// The children of each slot, in the order of their slots.
struct Children {
    starts: Vec<Idx>,
    children: Vec<Idx>,
    root: Idx,
}

impl Children {
    fn new(shape: &Shape<'_>, order: Order) -> Self {
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
        // By blocks, children that have descendants come first.
        let rounds: &[Option<bool>] = if order == Order::Blocks { &[Some(true), Some(false)] } else { &[None] };
        for round in rounds {
            for &slot in shape.slots {
                let parent = shape.parents[at(slot)];
                if parent == NONE {
                    root = slot;
                } else if round.is_none_or(|inner| inner == (starts[at(slot)] < starts[at(slot) + 1])) {
                    children[at(next[at(parent)])] = slot;
                    next[at(parent)] += 1;
                }
            }
        }
        Self { starts, children, root }
    }

    fn of(&self, slot: Idx) -> &[Idx] {
        &self.children[at(self.starts[at(slot)])..at(self.starts[at(slot) + 1])]
    }

    fn has_any(&self, slot: Idx) -> bool {
        self.starts[at(slot)] < self.starts[at(slot) + 1]
    }
}

/// Lays a tree out. Siblings keep the order of their slots. The ids of the tree are slots, and all reaches are still 0.
pub(crate) fn lay_out(shape: &Shape<'_>, ladder: Ladder, order: Order) -> (Tree, Runs) {
    let len = shape.slots.len();
    let mut tree = Tree {
        ids: vec![NONE; len],
        levels: vec![0; len],
        parents: vec![NONE; len],
        reaches: vec![0.0; len],
        groups: Vec::new(),
        waiting: 0,
        order,
        ladder,
    };
    if len == 0 {
        return (tree, Runs::default());
    }
    let children = Children::new(shape, order);
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
    let mut places = Places { firsts: vec![1; len], ends: vec![len as Idx; len], tops: vec![i32::MIN; len] };
    let mut positions = vec![0 as Idx; shape.parents.len()];
    tree.ids[0] = children.root;
    tree.levels[0] = shape.levels[at(children.root)];
    for &node in &inner {
        let place = at(positions[at(node)]);
        let block = children.of(node);
        let first = places.firsts[place];
        let mut running = if order == Order::Blocks { first + block.len() as Idx } else { first };
        for (offset, &child) in block.iter().enumerate() {
            let position = if order == Order::Blocks { at(first) + offset } else { at(running) };
            tree.ids[position] = child;
            tree.levels[position] = shape.levels[at(child)];
            tree.parents[position] = place as Idx;
            places.tops[place] = places.tops[place].max(shape.levels[at(child)]);
            running += Idx::from(order == Order::Subtrees);
            places.firsts[position] = running;
            running += sizes[at(child)] - 1;
            places.ends[position] = running;
            positions[at(child)] = position as Idx;
        }
    }
    form_groups(&mut tree, &places);
    (tree, Runs { firsts: places.firsts, ends: places.ends })
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

/// A child's share of its parent's run: what a group is made of.
struct Part {
    first: Idx,
    end: Idx,
    center: Idx,
    top: i32,
    /// Whether it can be split further.
    splits: bool,
}

fn form_groups(tree: &mut Tree, places: &Places) {
    let len = tree.ids.len();
    let whole = Group { first: 1, block: 1, end: len as Idx, top: places.tops[0], ..Group::default() };
    tree.groups.push(whole);
    let mut waits = vec![0 as Idx];
    let mut done = 0;
    while done < tree.groups.len() {
        let kids = tree.groups.len() as Idx;
        let group = tree.groups[done];
        // The splittable groups are those of a single node, which is their center.
        if at(group.end - group.first) > SCANNED && group.block < group.end {
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

/// Appends the groups that a node's run is split into.
fn split(tree: &mut Tree, places: &Places, group: &Group) {
    let node = at(group.center);
    let mut open: Option<Part> = None;
    let by_subtrees = tree.order == Order::Subtrees;
    if by_subtrees && group.first == group.center {
        // The node itself stands first and joins what follows.
        open = Some(Part {
            first: group.first,
            end: group.first + 1,
            center: group.first,
            top: tree.levels[node],
            splits: false,
        });
    }
    let mut child = places.firsts[node];
    let block_end = if by_subtrees { places.ends[node] } else { block_end(places, node) };
    while child < block_end {
        let (first, end) = (places.firsts[at(child)], places.ends[at(child)]);
        let part = if by_subtrees {
            let top = tree.levels[at(child)];
            Part { first: child, end, center: child, top, splits: at(end - child) > SCANNED }
        } else {
            if first == end {
                break; // children without descendants come last
            }
            Part { first, end, center: child, top: places.tops[at(child)], splits: true }
        };
        child = if by_subtrees { end } else { child + 1 };
        open = match open {
            Some(before) if by_subtrees && !part.splits && !before.splits && at(part.end - before.first) <= JOINED => {
                Some(Part { end: part.end, top: before.top.max(part.top), ..before })
            }
            before => {
                push_part(tree, before);
                Some(part)
            }
        };
    }
    push_part(tree, open);
}

fn push_part(tree: &mut Tree, part: Option<Part>) {
    if let Some(Part { first, end, center, top, splits }) = part {
        let block = if splits { first } else { end };
        tree.groups.push(Group { first, block, end, center, top, ..Group::default() });
    }
}

/// One past the block of children of a node that has any, by blocks.
fn block_end(places: &Places, node: usize) -> Idx {
    let first = at(places.firsts[node]);
    if places.firsts[first] < places.ends[first] { places.firsts[first] } else { places.ends[node] }
}
