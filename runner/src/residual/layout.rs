//! Where points stand in memory: in leaves of 64 that are close in space.
//!
//! Points that need double precision come first, in leaves of their own; see [`super::set`].

use std::ops::Range;

use covertree_kernels::index::{Idx, at};

/// Points of a leaf: four panels of `f32`, eight of `f64`.
pub(crate) const LEAF: usize = 64;

/// The places of a leaf, in their order.
pub(crate) static PLACES: [Idx; LEAF] = {
    let mut places = [0; LEAF];
    let mut place = 0;
    while place < LEAF {
        places[place] = place as Idx; // at most a leaf
        place += 1;
    }
    places
};

/// Points smaller sets of which are cut without splitting the work.
const SPLIT: usize = 1 << 12;

/// An order of the points in which every [`LEAF`] of them lie close together: which they are depends on the coordinates alone.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Row number of each position.
    pub ids: Vec<Idx>,
    /// Position of each row.
    pub positions: Vec<Idx>,
    /// The row numbers as the cuts left them.
    cut: Vec<Idx>,
    /// When each row comes in the order that searches are expected to ask for, if any is.
    ranks: Vec<Idx>,
}

/// When the points of a leaf come.
pub(crate) struct Ranks {
    pub ranks: Vec<Idx>,
    /// Whether neighbours are wanted among earlier points.
    pub ordered: bool,
}

impl Layout {
    /// Cuts the points, row-major with `dim` coordinates, at medians of their longest sides until leaves remain. `ranks` tell
    /// when each row comes, where neighbours will be wanted among earlier points.
    pub fn new(coordinates: &[f64], dim: usize, ranks: Vec<Idx>) -> Self {
        let len = coordinates.len() / dim;
        let mut ids: Vec<Idx> = (0..len as Idx).collect(); // rows that were counted before
        cut(coordinates, dim, &mut ids);
        let mut layout = Self { ids: Vec::new(), positions: vec![0; len], cut: ids, ranks };
        layout.restore();
        layout
    }

    /// The order that the cuts left, whatever was done to it since.
    pub fn restore(&mut self) {
        self.ids.clone_from(&self.cut);
        self.number();
    }

    /// Cuts some of the points, given by their positions in ascending order, apart from the others, and puts them first. They
    /// must fill whole leaves. Gives the old positions in the new order.
    pub fn part(&mut self, coordinates: &[f64], dim: usize, first: &[Idx]) -> Vec<Idx> {
        let mut next = first.iter().peekable();
        let others = (0..self.len() as Idx).filter(|position| next.next_if_eq(&position).is_none()); // rows that were counted
        let mut ids: Vec<Idx> = first.iter().copied().chain(others).map(|position| self.ids[at(position)]).collect();
        let (first, others) = ids.split_at_mut(first.len());
        cut(coordinates, dim, first);
        cut(coordinates, dim, others);
        let order = ids.iter().map(|&id| self.positions[at(id)]).collect();
        self.ids = ids;
        self.number();
        order
    }

    /// Puts some neighbouring points in another order: `order[i]` is the one of them that comes `i`-th.
    pub fn permute(&mut self, range: Range<usize>, order: &[Idx]) {
        permute(&mut self.ids[range], order);
    }

    /// Finds the positions after the order has changed.
    pub fn number(&mut self) {
        for (position, &id) in (0..).zip(&self.ids) {
            self.positions[at(id)] = position;
        }
    }

    /// When the points of a leaf come: by their row numbers, if nobody has said.
    pub fn ranks(&self, leaf: usize) -> Ranks {
        let ids = &self.ids[self.leaf(leaf)];
        let rank = |&id: &Idx| self.ranks.get(at(id)).copied().unwrap_or(id);
        Ranks { ranks: ids.iter().map(rank).collect(), ordered: !self.ranks.is_empty() }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Number of leaves.
    pub fn leaves(&self) -> usize {
        self.len().div_ceil(LEAF)
    }

    /// Positions of a leaf.
    pub fn leaf(&self, leaf: usize) -> Range<usize> {
        leaf * LEAF..((leaf + 1) * LEAF).min(self.len())
    }
}

/// Puts values in another order: `order[i]` is the place of the one that comes `i`-th.
pub(crate) fn permute<T: Copy>(values: &mut [T], order: &[Idx]) {
    let old = values.to_vec();
    for (value, &from) in values.iter_mut().zip(order) {
        *value = old[at(from)];
    }
}

/// Reorders `ids` so that all cuts lie at multiples of [`LEAF`].
fn cut(coordinates: &[f64], dim: usize, ids: &mut [Idx]) {
    if ids.len() <= LEAF {
        return;
    }
    let value = |id: Idx, d: usize| coordinates[at(id) * dim + d];
    let (mut longest, mut widest) = (0, -1.0);
    for d in 0..dim {
        let (low, high) = ids.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &id| {
            (low.min(value(id, d)), high.max(value(id, d)))
        });
        if high - low > widest {
            (longest, widest) = (d, high - low);
        }
    }
    let half = ids.len().div_ceil(LEAF).div_ceil(2) * LEAF;
    ids.select_nth_unstable_by(half, |&a, &b| value(a, longest).total_cmp(&value(b, longest)).then(a.cmp(&b)));
    let split = ids.len() > SPLIT;
    let (left, right) = ids.split_at_mut(half);
    if split {
        rayon::join(|| cut(coordinates, dim, left), || cut(coordinates, dim, right));
    } else {
        cut(coordinates, dim, left);
        cut(coordinates, dim, right);
    }
}

/// The box of each leaf, low then high corner: `[leaves][2][dim]`.
pub(crate) fn boxes(layout: &Layout, scaled: &[f64], dim: usize) -> Vec<f64> {
    let mut boxes = Vec::with_capacity(layout.leaves() * 2 * dim);
    for leaf in 0..layout.leaves() {
        let ids = &layout.ids[layout.leaf(leaf)];
        let corner = |d: usize, pick: fn(f64, f64) -> f64, start: f64| {
            ids.iter().fold(start, |corner, &id| pick(corner, scaled[at(id) * dim + d]))
        };
        boxes.extend((0..dim).map(|d| corner(d, f64::min, f64::INFINITY)));
        boxes.extend((0..dim).map(|d| corner(d, f64::max, f64::NEG_INFINITY)));
    }
    boxes
}

/// The squared distance of two boxes, each low then high corner.
pub(crate) fn box_distance(one: &[f64], other: &[f64]) -> f64 {
    let dim = one.len() / 2;
    (0..dim).fold(0.0, |sum, d| {
        let gap = (other[d] - one[dim + d]).max(one[d] - other[dim + d]).max(0.0);
        sum + gap * gap
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_one_position_and_leaves_are_compact() {
        for len in [0usize, 1, 63, 64, 65, 1000, 9000] {
            let coordinates: Vec<f64> = (0..len * 2).map(|i| ((i * 7919) % 1009) as f64).collect();
            let layout = Layout::new(&coordinates, 2, Vec::new());
            let mut seen = layout.ids.clone();
            seen.sort_unstable();
            assert!(seen.iter().enumerate().all(|(row, &id)| at(id) == row));
            assert!((0..len).all(|row| at(layout.ids[at(layout.positions[row])]) == row));
            assert_eq!(layout.leaves(), len.div_ceil(LEAF));
        }
    }

    #[test]
    fn boxes_know_how_far_they_are() {
        assert_eq!(box_distance(&[0.0, 0.0, 1.0, 1.0], &[4.0, 5.0, 6.0, 7.0]), 25.0);
        assert_eq!(box_distance(&[0.0, 1.0], &[0.5, 3.0]), 0.0);
    }
}
