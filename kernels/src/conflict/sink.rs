//! What a tile does with the pairs that it finds.

use core::marker::PhantomData;

use super::Entry;
use super::lanes::ROWS;
use crate::dist::Form;
use crate::index::{Idx, at};
use crate::simd::Lanes;

/// Receives the pairs of one tile of rows after another; a `slot` is a row of the present tile.
pub(super) trait Sink {
    /// Whether the sums are wanted; else [`add`](Self::add) is told of pairs that need none.
    const WANTS_SUMS: bool;
    /// The tile of the rows `row..row + rows` of the scope begins.
    fn begin(&mut self, row: usize, rows: usize);
    /// So many pairs of a slot, whose sums were not computed by the formula.
    fn add(&mut self, slot: usize, pairs: u32);
    /// A pair, and its sum by the formula. Columns of a slot come in ascending order.
    fn take<L: Lanes>(&mut self, slot: usize, column: Idx, sum: f64);
    /// The tile ends; returns how many of its pairs were kept, zero for a sink that keeps none.
    fn end(&mut self) -> u64;
}

/// Counts the pairs of each row.
pub(super) struct Count<'a> {
    pub counts: &'a mut [Idx],
    pub base: usize,
}

impl Sink for Count<'_> {
    const WANTS_SUMS: bool = false;

    #[inline(always)]
    fn begin(&mut self, row: usize, _rows: usize) {
        self.base = row;
    }

    #[inline(always)]
    fn add(&mut self, slot: usize, pairs: u32) {
        self.counts[self.base + slot] += pairs as Idx; // at most the lanes of a panel
    }

    #[inline(always)]
    fn take<L: Lanes>(&mut self, slot: usize, _column: Idx, _sum: f64) {
        self.counts[self.base + slot] += 1;
    }

    #[inline(always)]
    fn end(&mut self) -> u64 {
        0
    }
}

/// Writes the pairs of each row behind those of the row before.
pub(super) struct Emit<'a, F, E> {
    first: Idx,
    counts: &'a [Idx],
    entries: &'a mut [E],
    distances: &'a mut [f64],
    row: Idx,
    cursors: [usize; ROWS],
    ends: [usize; ROWS],
    next: usize,
    kept: u64,
    form: PhantomData<F>,
}

impl<'a, F, E> Emit<'a, F, E> {
    pub fn new(first: Idx, counts: &'a [Idx], entries: &'a mut [E], distances: &'a mut [f64]) -> Self {
        let (cursors, ends) = ([0; ROWS], [0; ROWS]);
        Self { first, counts, entries, distances, row: first, cursors, ends, next: 0, kept: 0, form: PhantomData }
    }
}

impl<F: Form, E: Entry> Sink for Emit<'_, F, E> {
    const WANTS_SUMS: bool = true;

    #[inline(always)]
    fn begin(&mut self, row: usize, rows: usize) {
        self.row = self.first + row as Idx; // fits: the scope was checked
        for (slot, &count) in self.counts[row..row + rows].iter().enumerate() {
            self.cursors[slot] = self.next;
            self.next += at(count);
            self.ends[slot] = self.next;
        }
    }

    #[inline(always)]
    fn add(&mut self, _slot: usize, _pairs: u32) {}

    #[inline(always)]
    fn take<L: Lanes>(&mut self, slot: usize, column: Idx, sum: f64) {
        let place = self.cursors[slot];
        if place < self.ends[slot] {
            self.entries[place] = E::pair(self.row + slot as Idx, column); // fits: fewer slots than rows
            self.distances[place] = F::finish::<L>(sum);
            self.cursors[slot] = place + 1;
            self.kept += 1;
        }
    }

    #[inline(always)]
    fn end(&mut self) -> u64 {
        core::mem::take(&mut self.kept)
    }
}
