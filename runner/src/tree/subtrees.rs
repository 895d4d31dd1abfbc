//! An order of the points of a tree in which the descendants of each stand together.

use std::ops::Range;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use covertree_kernels::index::{Idx, NONE, at};

use super::layout::Shape;
use crate::parallel;
use crate::sort::sort_by_keys;

/// Slots that one task looks at.
const PIECE: usize = 1 << 12;

/// Each point right before its descendants. In which order siblings stand differs from run to run.
///
/// Nodes with children are gone through level by level, upward for the sizes of their subtrees and downward for their places, those
/// of a level by several tasks; numbers are added up in atomics, one addition for neighbours that have the same parent.
pub(crate) struct Subtrees {
    /// The slots in this order.
    pub slots: Vec<Idx>,
    /// By slot: how many points it stands before, itself included.
    sizes: Vec<AtomicI32>,
    /// By slot: one past the place of its last descendant. Until all are placed, the place of the next.
    ends: Vec<AtomicI32>,
}

fn filled(value: Idx, len: usize) -> Vec<AtomicI32> {
    (0..len).map(|_| AtomicI32::new(value)).collect()
}

impl Subtrees {
    /// Those of a tree that is not empty, whose levels fall strictly from parent to child.
    ///
    /// # Cost
    /// A few reads and writes per point, and a sort of the nodes with children by level.
    pub fn new(shape: &Shape<'_>) -> Self {
        let all = shape.parents.len();
        let mut subtrees = Self { slots: Vec::new(), sizes: filled(1, all), ends: filled(0, all) };
        subtrees.by_parent(
            shape,
            |_| true,
            |parent, children| {
                subtrees.sizes[parent].fetch_add(children.len() as Idx, Relaxed); // fewer than all points
            },
        );
        let inner = subtrees.inner(shape);
        let by_level = || inner.chunk_by(|&a, &b| shape.levels[at(a)] == shape.levels[at(b)]);
        for nodes in by_level().collect::<Vec<_>>().into_iter().rev() {
            parallel::pieces(nodes.len(), PIECE, &|piece| {
                for &node in &nodes[piece] {
                    if let Some(parent) = parent(shape, node) {
                        subtrees.sizes[parent].fetch_add(subtrees.size(node) - 1, Relaxed);
                    }
                }
            });
        }
        let slots = filled(NONE, shape.slots.len());
        for nodes in by_level() {
            parallel::pieces(nodes.len(), PIECE, &|piece| {
                for &node in &nodes[piece] {
                    let size = subtrees.size(node);
                    let place = parent(shape, node).map_or(0, |parent| subtrees.ends[parent].fetch_add(size, Relaxed));
                    slots[at(place)].store(node, Relaxed);
                    subtrees.ends[at(node)].store(place + 1, Relaxed);
                }
            });
        }
        subtrees.by_parent(
            shape,
            |leaf| subtrees.size(leaf) == 1,
            |parent, leaves| {
                let first = subtrees.ends[parent].fetch_add(leaves.len() as Idx, Relaxed); // fewer than all points
                for (&leaf, place) in leaves.iter().zip(first..) {
                    slots[at(place)].store(leaf, Relaxed);
                    subtrees.ends[at(leaf)].store(place + 1, Relaxed);
                }
            },
        );
        subtrees.slots = slots.into_iter().map(AtomicI32::into_inner).collect();
        subtrees
    }

    /// The places of the strict descendants of a slot.
    pub fn below(&self, slot: Idx) -> Range<usize> {
        let end = at(self.ends[at(slot)].load(Relaxed));
        end + 1 - at(self.size(slot))..end
    }

    fn size(&self, slot: Idx) -> Idx {
        self.sizes[at(slot)].load(Relaxed)
    }

    /// The root and the slots that have children, whose sizes are above 1 already, from the highest level down.
    fn inner(&self, shape: &Shape<'_>) -> Vec<Idx> {
        let level = |slot: Idx| i64::from(shape.levels[at(slot)]);
        let found = parallel::pieces(shape.slots.len(), PIECE, &|piece| {
            let inner = |slot: Idx| self.size(slot) > 1 || parent(shape, slot).is_none();
            let slots: Vec<Idx> = shape.slots[piece].iter().copied().filter(|&slot| inner(slot)).collect();
            let highest = slots.iter().map(|&slot| level(slot)).max();
            (slots, highest)
        });
        let top = found.iter().filter_map(|(_, highest)| *highest).max().unwrap_or(0);
        let mut inner: Vec<Idx> = found.into_iter().flat_map(|(slots, _)| slots).collect();
        let mut keys: Vec<u64> = inner.iter().map(|&slot| top.abs_diff(level(slot))).collect();
        sort_by_keys(&mut keys, &mut inner);
        inner
    }

    /// Calls `visit` with the runs of slots, of those that are wanted, that have the same parent.
    fn by_parent(&self, shape: &Shape<'_>, wanted: impl Fn(Idx) -> bool + Sync, visit: impl Fn(usize, &[Idx]) + Sync) {
        parallel::pieces(shape.slots.len(), PIECE, &|piece| {
            let wanted: Vec<Idx> = shape.slots[piece].iter().copied().filter(|&slot| wanted(slot)).collect();
            for run in wanted.chunk_by(|&a, &b| shape.parents[at(a)] == shape.parents[at(b)]) {
                if let Some(parent) = parent(shape, run[0]) {
                    visit(parent, run);
                }
            }
        });
    }
}

fn parent(shape: &Shape<'_>, slot: Idx) -> Option<usize> {
    let parent = shape.parents[at(slot)];
    (parent != NONE).then(|| at(parent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use covertree_kernels::hash::mix64;
    use proptest::prelude::*;

    #[test]
    fn a_root_alone_and_one_with_twins() {
        for len in [1, 2, 3, 2 * PIECE] {
            let slots: Vec<Idx> = (0..len as Idx).collect();
            let mut parents = vec![0; len];
            let mut levels = vec![i32::MIN; len];
            (parents[0], levels[0]) = (NONE, 0);
            let subtrees = Subtrees::new(&Shape { slots: &slots, parents: &parents, levels: &levels });
            assert_eq!(subtrees.slots[0], 0);
            assert_eq!(subtrees.below(0), 1..len);
            assert!(slots[1..].iter().all(|&slot| subtrees.below(slot).is_empty()));
        }
    }

    proptest! {
        #[test]
        fn descendants_stand_together_behind_their_ancestor(len in 1..3 * PIECE, fan in 1..40usize, seed: u64) {
            // Every third place is no slot of the tree; parents are a few slots before, those of some are shared by many.
            let slots: Vec<Idx> = (0..len as Idx).map(|slot| 3 * slot).collect();
            let (mut parents, mut levels) = (vec![NONE; 3 * len], vec![0; 3 * len]);
            for number in 1..len {
                let back = 1 + (mix64(seed ^ number as u64) as usize % fan).min(number - 1);
                let slot = if fan % 4 == 0 { number / fan } else { number - back };
                parents[3 * number] = 3 * slot as Idx;
                levels[3 * number] = levels[3 * slot] - 1 - (mix64(number as u64) % 3) as i32;
            }
            let subtrees = Subtrees::new(&Shape { slots: &slots, parents: &parents, levels: &levels });
            let mut places = vec![NONE; 3 * len];
            subtrees.slots.iter().zip(0..).for_each(|(&slot, place)| places[at(slot)] = place);
            let mut seen = subtrees.slots.clone();
            seen.sort_unstable();
            prop_assert_eq!(seen, &slots[..]);
            let mut sizes = vec![1; 3 * len];
            for &slot in slots.iter().rev() {
                let (place, below) = (at(places[at(slot)]), subtrees.below(slot));
                prop_assert_eq!((below.start, below.len()), (place + 1, sizes[at(slot)] - 1));
                if let Some(parent) = parent(&Shape { slots: &slots, parents: &parents, levels: &levels }, slot) {
                    sizes[parent] += sizes[at(slot)];
                    let around = subtrees.below(parent as Idx);
                    prop_assert!(around.start <= place && below.end <= around.end, "{slot} is not below {parent}");
                }
            }
        }
    }
}
