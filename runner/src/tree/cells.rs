//! The order by cells: neighbours in space are neighbours in the order, whatever their parents.

use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::tree::Group;

use super::layout::{Order, Shape};
use super::{Ladder, Tree};
use crate::space::Space;

/// Groups that are joined to one in the layer above: as many as the search tests in one go.
const FAN: usize = 16;

/// Runs above this size are halved by several tasks.
const SPLIT: usize = 1 << 12;

/// Cells begin at multiples of this: points are packed in panels of as many at most, so that a scan of a cell meets no panel of
/// which it wants a part, and neighbours that are asked for together are neighbours in space.
const PANEL: usize = 16;

/// Places the root, and every other point behind it, and forms the groups. With `arranged`, the points are put as in a
/// kd-tree; else they keep the order of their slots.
pub(super) fn form<S: Space>(space: &S, shape: &Shape<'_>, arranged: bool, tree: &mut Tree) {
    let is_root = |slot: &Idx| shape.parents[at(*slot)] == NONE;
    let Some(&root) = shape.slots.iter().find(|slot| is_root(slot)) else { return };
    tree.ids[0] = root;
    tree.levels[0] = shape.levels[at(root)];
    let scanned = space.scanned();
    let mut order: Vec<Idx> = shape.slots.iter().copied().filter(|&slot| slot != root).collect();
    if arranged {
        arrange(space, &mut order);
    }
    let mut positions = vec![0 as Idx; shape.parents.len()];
    for (place, &slot) in order.iter().enumerate() {
        positions[at(slot)] = place as Idx + 1; // not above `len`
        tree.ids[place + 1] = slot;
        tree.levels[place + 1] = shape.levels[at(slot)];
    }
    for (parent, &slot) in tree.parents[1..].iter_mut().zip(&order) {
        *parent = positions[at(shape.parents[at(slot)])];
    }
    form_groups(tree, scanned);
}

/// The tree over some slots in the order in which they are given, the first of them being the root: without parents, and with
/// everything on level 0.
pub(crate) fn over(slots: &[Idx], scanned: usize, ladder: Ladder) -> Tree {
    let mut tree = Tree {
        ids: slots.to_vec().into(),
        levels: vec![0; slots.len()].into(),
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

/// Arranges the slots behind the root as in a kd-tree.
pub(crate) fn arrange<S: Space>(space: &S, slots: &mut [Idx]) {
    halve(space, 1, slots, space.scanned(), &mut Room::default());
}

/// Where the run of positions `first..end` is halved.
fn middle(first: usize, end: usize) -> usize {
    let middle = first + (end - first) / 2;
    if end - first < 2 * PANEL { middle } else { (middle + PANEL / 2) / PANEL * PANEL }
}

/// Memory of a task that halves.
#[derive(Default)]
struct Room {
    /// Largest and smallest coordinate along each axis.
    highs: Vec<f64>,
    lows: Vec<f64>,
    /// A coordinate of each slot, as a number in the same order, and the slot.
    keys: Vec<(u64, Idx)>,
}

/// The bits of a number as an integer in the order of `f64::total_cmp`.
fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// Halves slots, the first of which is to stand at position `first`, across their widest axis, again and again, down to groups
/// that are scanned.
fn halve<S: Space>(space: &S, first: usize, slots: &mut [Idx], scanned: usize, room: &mut Room) {
    if slots.len() <= scanned || space.axes() == 0 {
        return;
    }
    let axis = widest(space, slots, room);
    let keys = &mut room.keys;
    keys.clear();
    keys.extend(slots.iter().map(|&slot| (ordered(space.coordinate(at(slot), axis)), slot)));
    let middle = middle(first, first + slots.len());
    let below = middle - first;
    keys.select_nth_unstable(below);
    slots.iter_mut().zip(keys.iter()).for_each(|(slot, key)| *slot = key.1);
    let split = slots.len() > SPLIT;
    let (left, right) = slots.split_at_mut(below);
    if split {
        rayon::join(
            || halve(space, first, left, scanned, room),
            || halve(space, middle, right, scanned, &mut Room::default()),
        );
    } else {
        halve(space, first, left, scanned, room);
        halve(space, middle, right, scanned, room);
    }
}

/// The axis along which slots extend farthest; the first of several.
fn widest<S: Space>(space: &S, slots: &[Idx], room: &mut Room) -> usize {
    let axes = space.axes();
    let (lows, highs) = (&mut room.lows, &mut room.highs);
    lows.clear();
    highs.clear();
    lows.resize(axes, f64::INFINITY);
    highs.resize(axes, f64::NEG_INFINITY);
    for &slot in slots {
        for (axis, (low, high)) in lows.iter_mut().zip(highs.iter_mut()).enumerate() {
            let value = space.coordinate(at(slot), axis);
            *low = if value < *low { value } else { *low };
            *high = if value > *high { value } else { *high };
        }
    }
    let extents = lows.iter().zip(highs.iter()).map(|(low, high)| high - low);
    extents.zip(0..).fold((-1.0, 0), |best, next| if next.0 > best.0 { next } else { best }).1
}

/// Halves the run of all positions just as [`halve`] does, sixteen parts to a group.
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
    let groups = tree.groups.to_mut();
    for place in (0..groups.len()).rev() {
        let Group { first, block, kids, kids_end, .. } = groups[place];
        let tops = groups[at(kids)..at(kids_end)].iter().map(|kid| kid.top);
        let top = tops.chain(tree.levels[at(first)..at(block)].iter().copied()).max();
        groups[place].top = top.unwrap_or(i32::MIN);
    }
}

impl Tree {
    /// Gives the points of a draft, whose ids are slots, other levels; its parents are not what they were any more.
    pub(crate) fn relevel(&mut self, levels: &[i32]) {
        for (level, &slot) in self.levels.to_mut().iter_mut().zip(self.ids.iter()) {
            *level = levels[at(slot)];
        }
        find_tops(self);
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
