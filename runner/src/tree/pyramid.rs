//! The order by subtrees, and the groups over it.
//!
//! A cover tree says which points are descendants of which; the order of siblings is free. It is chosen so that
//! neighbours in the order make compact boxes: the children of a node are halved by weight across their widest axis, again
//! and again, as in a kd-tree whose smallest parts are whole subtrees. Of two halves the one on the side of their parent
//! comes first, for the parent stands right before it and is enclosed with it.

use covertree_kernels::index::{Idx, at};
use covertree_kernels::tree::Group;

use super::Tree;
use super::layout::{Children, Shape};
use crate::space::Space;

/// Groups that are joined to one in the layer above: as many as the search tests in one go.
const FAN: usize = 16;

/// Groups of at most this many points are scanned from end to end. The more axes, the more of the neighbouring boxes a
/// query meets, and the less it pays to tell them apart.
fn scanned(axes: usize) -> Idx {
    match axes {
        0..=4 => 40,
        5..=6 => 64,
        _ => 96,
    }
}

/// A run of positions: points that were placed already, then neighbouring siblings with their descendants.
#[derive(Clone, Copy)]
struct Cell {
    /// Position of the first point.
    first: Idx,
    /// Number of points that were placed already.
    lead: Idx,
    /// The siblings, as a range of the children of all nodes.
    from: Idx,
    to: Idx,
    /// Number of points.
    weight: Idx,
}

impl Cell {
    fn splits(&self) -> bool {
        self.from < self.to
    }
}

/// What is being laid out.
pub(super) struct Pyramid<'a, S> {
    pub space: &'a S,
    pub shape: &'a Shape<'a>,
    pub children: Children,
    /// Points in the subtree of each slot.
    pub sizes: &'a [Idx],
    /// Position of each slot that was placed.
    pub positions: Vec<Idx>,
    pub tree: &'a mut Tree,
    /// For each position, one past its last descendant.
    pub ends: Vec<Idx>,
}

impl<S: Space> Pyramid<'_, S> {
    /// Places every point behind the root, which has position 0, and forms the groups.
    pub fn form(&mut self) {
        let scanned = scanned(self.space.axes());
        let root = self.tree.ids[0];
        let (from, to) = self.children.range(root);
        let mut cells = vec![Cell { first: 1, lead: 0, from, to, weight: self.tree.ids.len() as Idx - 1 }];
        let mut groups = vec![group(&cells[0])];
        let mut waits = vec![0 as Idx];
        self.tree.waiting = 1;
        let mut done = 0;
        while done < cells.len() {
            let kids = cells.len();
            if cells[done].weight > scanned {
                self.split(cells[done], scanned, &mut cells);
            }
            let count = cells.len() - kids;
            if count == 1 {
                // A chain of single children: there is nothing to choose between.
                cells[done] = cells[kids];
                cells.truncate(kids);
            }
            if count < 2 {
                self.fill(cells[done]);
            } else {
                // A group's kids are one panel of boxes. The first group of all has the place before its own.
                let aligned = (kids / FAN + 1) * FAN;
                let last = cells[cells.len() - 1];
                let nothing = Cell { first: last.first + last.weight, lead: 0, from: 0, to: 0, weight: 0 };
                cells.resize(aligned, nothing);
                groups.extend(cells[kids..].iter().map(group));
                let block = groups[done].first;
                groups[done] = Group { block, kids: kids as Idx, kids_end: aligned as Idx, ..groups[done] };
                let waiting = waits[done] + (aligned - kids) as Idx;
                self.tree.waiting = self.tree.waiting.max(waiting);
                waits.resize(aligned, waiting - 1);
            }
            done += 1;
        }
        for place in (0..groups.len()).rev() {
            let Group { first, end, kids, kids_end, .. } = groups[place];
            let tops = groups[at(kids)..at(kids_end)].iter().map(|kid| kid.top);
            let levels = &self.tree.levels[at(first)..if kids < kids_end { at(first) } else { at(end) }];
            groups[place].top = tops.chain(levels.iter().copied()).max().unwrap_or(i32::MIN);
        }
        groups[0].center = 0;
        self.tree.groups = groups.into();
    }

    /// Appends the parts of a cell, [`FAN`] at most (one less behind the very first group), in the order of their positions.
    fn split(&mut self, cell: Cell, scanned: Idx, cells: &mut Vec<Cell>) {
        let kids = cells.len();
        let room = if kids == 1 { FAN - 1 } else { FAN };
        // Parts as large as a full group of the layer below.
        let mut goal = scanned;
        while goal - goal / 4 < cell.weight / FAN as Idx {
            goal = goal.saturating_mul(FAN as Idx) / 4 * 3;
        }
        cells.push(cell);
        while cells.len() - kids < room {
            let heaviest = (kids..cells.len())
                .filter(|&part| cells[part].weight > goal && cells[part].splits())
                .max_by_key(|&part| (cells[part].weight, std::cmp::Reverse(part)));
            let Some(part) = heaviest else { break };
            let (left, right) = self.halve(cells[part]);
            cells[part] = left;
            if let Some(right) = right {
                cells.insert(part + 1, right);
            }
        }
    }

    /// Cuts a cell in two between siblings; a cell that is a single chain is placed and comes back whole.
    fn halve(&mut self, mut cell: Cell) -> (Cell, Option<Cell>) {
        while cell.to - cell.from == 1 {
            let child = self.children.all[at(cell.from)];
            self.place(child, cell.first + cell.lead);
            cell.lead += 1;
            (cell.from, cell.to) = self.children.range(child);
        }
        if cell.from == cell.to {
            return (cell, None);
        }
        let siblings = &mut self.children.all[at(cell.from)..at(cell.to)];
        let parent = self.shape.parents[at(siblings[0])];
        let (axis, below) = arrange(self.space, siblings, parent);
        let weight: Idx = cell.weight - cell.lead;
        let mut left = 0;
        let mut cut = 0;
        while cut + 1 < siblings.len() {
            let more = left + self.sizes[at(siblings[cut])];
            // The cut that leaves the halves most alike.
            if cut > 0 && (2 * more - weight).abs() >= (2 * left - weight).abs() {
                break;
            }
            left = more;
            cut += 1;
        }
        let border = self.space.coordinate(at(siblings[cut]), axis);
        if below > border {
            siblings.rotate_left(cut);
            cut = siblings.len() - cut;
            left = weight - left;
        }
        let middle = cell.from + cut as Idx;
        let right =
            Cell { first: cell.first + cell.lead + left, lead: 0, from: middle, to: cell.to, weight: weight - left };
        (Cell { to: middle, weight: cell.lead + left, ..cell }, Some(right))
    }

    /// Places all that is left of a cell.
    fn fill(&mut self, cell: Cell) {
        let mut next = cell.first + cell.lead;
        let mut open: Vec<Idx> = self.children.all[at(cell.from)..at(cell.to)].iter().rev().copied().collect();
        while let Some(slot) = open.pop() {
            self.place(slot, next);
            next += 1;
            open.extend(self.children.of(slot).iter().rev());
        }
    }

    fn place(&mut self, slot: Idx, position: Idx) {
        let place = at(position);
        self.positions[at(slot)] = position;
        self.tree.ids[place] = slot;
        self.tree.levels[place] = self.shape.levels[at(slot)];
        self.tree.parents[place] = self.positions[at(self.shape.parents[at(slot)])];
        self.ends[place] = position + self.sizes[at(slot)];
    }
}

fn group(cell: &Cell) -> Group {
    let end = cell.first + cell.weight;
    // An empty group has no point of its own.
    let center = if cell.weight > 0 { cell.first } else { 0 };
    Group { first: cell.first, block: end, end, center, ..Group::default() }
}

/// Sorts siblings along their widest axis; returns it, and the coordinate of their parent. Without axes they stay as they are.
fn arrange<S: Space>(space: &S, siblings: &mut [Idx], parent: Idx) -> (usize, f64) {
    let (mut widest, mut axis) = (-1.0, 0);
    for candidate in 0..space.axes() {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for &slot in &*siblings {
            let value = space.coordinate(at(slot), candidate);
            low = low.min(value);
            high = high.max(value);
        }
        if high - low > widest {
            (widest, axis) = (high - low, candidate);
        }
    }
    if widest < 0.0 {
        return (0, 0.0);
    }
    siblings.sort_unstable_by(|&a, &b| {
        space.coordinate(at(a), axis).total_cmp(&space.coordinate(at(b), axis)).then(a.cmp(&b))
    });
    (axis, space.coordinate(at(parent), axis))
}
