//! The nearest few of each row, in a bounded heap.

use core::cmp::Ordering;
use core::marker::PhantomData;

use heapless::binary_heap::{BinaryHeap, Max};

use super::csr::Edges;
use super::lanes::ROWS;
use super::sink::Sink;
use super::{ConflictCounters, Entry};
use crate::dist::Form;
use crate::error::{KernelError, want};
use crate::index::{Idx, idx_len};
use crate::simd::Lanes;

/// Largest cap: the heaps of a tile of rows stay within a few kilobytes of stack.
pub const CAP_MAX: usize = 64;

/// Where the nearest of each row go: those of row `r` are the first `lens[r]` of `entries[r * cap..(r + 1) * cap]`.
#[derive(Debug)]
pub struct Nearest<'a, E> {
    /// How many each row keeps, `[rows]`.
    pub lens: &'a mut [Idx],
    /// What each row keeps, ascending by (distance, column), `[rows * cap]`; unused places hold [`Entry::unused`].
    pub entries: &'a mut [E],
    /// Their distances, `[rows * cap]`; unused places hold plus infinity.
    pub distances: &'a mut [f64],
}

impl<E: Entry> Nearest<'_, E> {
    pub(super) fn check(&self, rows: usize, cap: usize) -> Result<(), KernelError> {
        if cap == 0 {
            return Err(KernelError::Least { what: "cap", least: 1, got: 0 });
        }
        if cap > CAP_MAX {
            return Err(KernelError::Most { what: "cap", most: CAP_MAX, got: cap });
        }
        want("lens", rows, self.lens.len())?;
        let places = rows.saturating_mul(cap);
        want("entries", places, self.entries.len())?;
        want("distances", places, self.distances.len())
    }

    /// Empties a heap into a row; returns how many it held.
    fn write(&mut self, row: usize, position: Idx, cap: usize, heap: &mut Heap) -> u64 {
        let places = row * cap..(row + 1) * cap;
        let (entries, distances) = (&mut self.entries[places.clone()], &mut self.distances[places]);
        let len = heap.len();
        entries[len..].fill(E::unused(position));
        distances[len..].fill(f64::INFINITY);
        for (entry, distance) in entries[..len].iter_mut().zip(&mut distances[..len]).rev() {
            if let Some(farthest) = heap.pop() {
                *entry = E::pair(position, farthest.column);
                *distance = farthest.distance;
            }
        }
        self.lens[row] = len as Idx; // at most the cap
        len as u64 // widens
    }
}

/// A column and its distance; the order is by distance, ties by column.
#[derive(Clone, Copy, Debug)]
struct Neighbour {
    distance: f64,
    column: Idx,
}

impl Ord for Neighbour {
    #[inline(always)]
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.column.cmp(&other.column))
    }
}

impl PartialOrd for Neighbour {
    #[inline(always)]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Neighbour {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Neighbour {}

type Heap = BinaryHeap<Neighbour, Max, CAP_MAX>;

/// Keeps a neighbour if it is among the `cap` nearest so far.
#[inline(always)]
fn offer(heap: &mut Heap, cap: usize, neighbour: Neighbour) {
    if heap.len() < cap {
        // A heap that is not full takes everything.
        let _ = heap.push(neighbour);
    } else if heap.peek().is_some_and(|farthest| neighbour < *farthest)
        && let Some(mut farthest) = heap.peek_mut()
    {
        *farthest = neighbour;
    }
}

/// A heap for each row of a tile.
pub(super) struct Heaps<'a, F, E> {
    first: Idx,
    cap: usize,
    out: Nearest<'a, E>,
    heaps: [Heap; ROWS],
    row: usize,
    rows: usize,
    form: PhantomData<F>,
}

impl<'a, F, E> Heaps<'a, F, E> {
    pub fn new(first: Idx, cap: usize, out: Nearest<'a, E>) -> Self {
        Self { first, cap, out, heaps: [const { Heap::new() }; ROWS], row: 0, rows: 0, form: PhantomData }
    }
}

impl<F: Form, E: Entry> Sink for Heaps<'_, F, E> {
    const WANTS_SUMS: bool = true;

    #[inline(always)]
    fn begin(&mut self, row: usize, rows: usize) {
        (self.row, self.rows) = (row, rows);
    }

    #[inline(always)]
    fn add(&mut self, _slot: usize, _pairs: u32) {}

    #[inline(always)]
    fn take<L: Lanes>(&mut self, slot: usize, column: Idx, sum: f64) {
        offer(&mut self.heaps[slot], self.cap, Neighbour { distance: F::finish::<L>(sum), column });
    }

    fn end(&mut self) -> u64 {
        let mut kept = 0;
        for slot in 0..self.rows {
            let row = self.row + slot;
            let position = self.first + row as Idx; // fits: the scope was checked
            kept += self.out.write(row, position, self.cap, &mut self.heaps[slot]);
        }
        kept
    }
}

/// The at most `cap` nearest neighbours of the vertices `first..first + out.lens.len()` of a weighted graph, ascending
/// by (weight, neighbour): [`nearest_within`](super::nearest_within) for pairs that came from elsewhere.
///
/// | argument | shape |
/// | --- | --- |
/// | `edges` | rows without duplicates, weights are distances; loops are skipped |
/// | `cap` | 1 to [`CAP_MAX`] |
/// | `out` | `[rows]` lengths, `[rows * cap]` entries and distances, overwritten |
///
/// # Errors
/// [`KernelError::Key`] when the range is not within the vertices, [`KernelError::Least`] or [`KernelError::Most`] for
/// a `cap` out of range, [`KernelError::Shape`] when an output does not fit. Nothing is written then.
///
/// # Cost
/// Reads the rows once; `log2 cap` comparisons for an edge that enters the heap.
pub fn nearest_of_rows<E: Entry>(
    edges: &Edges<'_, f64>,
    cap: usize,
    first: Idx,
    mut out: Nearest<'_, E>,
    counters: &mut ConflictCounters,
) -> Result<(), KernelError> {
    let limit = idx_len(edges.vertices())?;
    let last = first.saturating_add(idx_len(out.lens.len())?);
    for (at, key) in [(0, first), (1, last)] {
        if !(0..=limit).contains(&key) {
            return Err(KernelError::Key { at, key, limit });
        }
    }
    out.check(out.lens.len(), cap)?;
    let (mut heap, mut pairs, mut kept) = (Heap::new(), 0, 0);
    for (row, vertex) in (first..last).enumerate() {
        let (targets, weights) = edges.of(crate::index::at(vertex));
        for (&column, &distance) in targets.iter().zip(weights) {
            if column != vertex {
                offer(&mut heap, cap, Neighbour { distance, column });
                pairs += 1;
            }
        }
        kept += out.write(row, vertex, cap, &mut heap);
    }
    counters.pairs += pairs;
    counters.kept += kept;
    counters.rows += out.lens.len() as u64; // widens
    Ok(())
}
