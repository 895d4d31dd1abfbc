//! The order by cells: neighbours in space are neighbours in the order, whatever their parents.

use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::tree::{Group, TWIN};

use super::halve::{arrange, middle};
use super::layout::{Order, Shape};
use super::{Ladder, Tree};
use crate::parallel::{self, Table};
use crate::space::Space;

/// Groups that are joined to one in the layer above: as many as the search tests in one go.
const FAN: usize = 16;

/// Points that one task writes.
const POINTS: usize = 1 << 12;

/// Places the root, and every other point behind it as in a kd-tree, and forms the groups.
pub(super) fn form<S: Space>(space: &S, shape: &Shape<'_>, tree: &mut Tree) {
    let Some(root) = root_of(shape) else { return };
    let mut order = [&shape.slots[..root], &shape.slots[root + 1..]].concat();
    arrange(space, &mut order);
    place(shape.slots[root], &order, shape, tree);
    form_groups(tree, space.scanned());
}

/// Where the root stands among the slots.
fn root_of(shape: &Shape<'_>) -> Option<usize> {
    let is_root = |number: &usize| shape.parents[at(shape.slots[*number])] == NONE;
    parallel::pieces(shape.slots.len(), POINTS, &|mut piece| piece.find(is_root)).into_iter().flatten().next()
}

/// Writes the root, and the others behind it in their order.
fn place(root: Idx, order: &[Idx], shape: &Shape<'_>, tree: &mut Tree) {
    tree.ids[0] = root;
    tree.levels[0] = shape.levels[at(root)];
    // The root is at position 0.
    let positions = Table::new(shape.parents.len());
    let (ids, levels) = (&mut tree.ids[1..], &mut tree.levels[1..]);
    parallel::chunk_pairs((ids, POINTS), (levels, POINTS), &|chunk, ids, levels| {
        let start = chunk * POINTS;
        for (((&slot, place), id), level) in order[start..].iter().zip(start..).zip(ids).zip(levels) {
            positions.set(slot, place as Idx + 1); // not above `len`
            *id = slot;
            *level = shape.levels[at(slot)];
        }
    });
    parallel::chunks(&mut tree.parents[1..], POINTS, &|chunk, parents| {
        for (parent, &slot) in parents.iter_mut().zip(&order[chunk * POINTS..]) {
            *parent = positions.get(shape.parents[at(slot)]);
        }
    });
}

/// The tree over some slots in the order in which they are given, the first of which stands before all groups: without parents,
/// each on the level that is given for it.
pub(crate) fn over(slots: &[Idx], level: impl Fn(Idx) -> i32 + Sync, scanned: usize, ladder: Ladder) -> Tree {
    let mut tree = Tree {
        ids: slots.to_vec().into(),
        levels: parallel::map(slots.len(), &|place| level(slots[place])).into(),
        parents: vec![NONE; slots.len()].into(),
        reaches: vec![0.0; slots.len()].into(),
        groups: Vec::new().into(),
        waiting: 1,
        order: Order::Cells,
        ladder,
    };
    if !slots.is_empty() {
        form_groups(&mut tree, scanned);
    }
    tree
}

/// Halves the run of all positions just as [`arrange`] does, sixteen parts to a group.
fn form_groups(tree: &mut Tree, scanned: usize) {
    let run = |first: usize, end: usize| {
        let (first, end) = (first as Idx, end as Idx); // positions
        Group { first, block: end, end, center: first, reach: f32::INFINITY, ..Group::default() }
    };
    let mut groups = vec![run(1, tree.ids.len())];
    let mut waits = vec![0 as Idx];
    let mut parts = Vec::with_capacity(FAN);
    tree.waiting = 1;
    let mut done = 0;
    while done < groups.len() {
        let Group { first, end, .. } = groups[done];
        let kids = groups.len();
        split(at(first), at(end), if kids == 1 { FAN - 1 } else { FAN }, scanned, &mut parts);
        if parts.len() > 1 {
            // A group's kids are one panel of boxes, filled up with empty ones. The first group of all stands in front of its own.
            let aligned = (kids / FAN + 1) * FAN;
            groups.extend(parts.iter().map(|&(first, end)| run(first, end)));
            groups.resize(aligned, run(at(end), at(end)));
            groups[done] = Group { block: first, kids: kids as Idx, kids_end: aligned as Idx, ..groups[done] };
            let waiting = waits[done] + (aligned - kids) as Idx; // not above the number of groups
            tree.waiting = tree.waiting.max(waiting);
            waits.resize(aligned, waiting - 1);
        }
        done += 1;
    }
    groups[0].center = 0;
    tree.groups = groups.into();
    find_tops(tree);
}

/// The highest level of each group.
pub(crate) fn find_tops(tree: &mut Tree) {
    let levels = &tree.levels;
    set_tops(tree.groups.to_mut(), |position| levels[position]);
}

/// Groups whose points one task looks at.
const GROUPS: usize = 256;

/// Sets the top of each group to the highest of the levels that are given for its points.
pub(crate) fn set_tops(groups: &mut [Group], level: impl Fn(usize) -> i32 + Sync) {
    parallel::chunks(groups, GROUPS, &|_, groups| {
        for group in groups {
            group.top = (at(group.first)..at(group.block)).map(&level).max().unwrap_or(TWIN);
        }
    });
    for place in (0..groups.len()).rev() {
        let Group { kids, kids_end, top, .. } = groups[place];
        groups[place].top = groups[at(kids)..at(kids_end)].iter().map(|kid| kid.top).fold(top, i32::max);
    }
}

/// The parts of a run: halves of halves, as many as there is room for, none larger than a full group of the layer below
/// where that can be.
fn split(first: usize, end: usize, room: usize, scanned: usize, parts: &mut Vec<(usize, usize)>) {
    parts.clear();
    parts.push((first, end));
    let mut goal = scanned;
    while goal - goal / 4 < (end - first) / FAN {
        goal = goal * FAN / 4 * 3;
    }
    while parts.len() < room {
        let heaviest = (0..parts.len()).max_by_key(|&part| (parts[part].1 - parts[part].0, std::cmp::Reverse(part)));
        let Some(part) = heaviest else { break };
        let (first, end) = parts[part];
        if end - first <= goal {
            break;
        }
        let middle = middle(first, end);
        parts[part].1 = middle;
        parts.insert(part + 1, (middle, end));
    }
}
