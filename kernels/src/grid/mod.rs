//! Hash grid: points binned into shifted cells, one leader per cell, without any adjacency.
//!
//! This is what the `grid` strategy of the builder runs on the points that compete for one level:
//!
//! 1. [`grid_offsets`] and [`Grid`]: a seeded offset per (level, shift); [`cell_keys`] bins the points.
//! 2. [`CellTable`]: the point of least (mix of (id, level, seed), id) leads its cell; [`mark_leaders`] reads the
//!    leaders back in the order of the points. The union over the shifts goes on.
//! 3. [`neighbour_keys`] and [`CellTable::find`]: leaders of neighbouring cells, between which a small independent set
//!    is chosen; [`coverage`] counts the points that some leader covers. What is not covered goes to the repair.
//!
//! # Cells
//! The cell of a coordinate is `floor((x + offset) / width)` in `f64` (`f32` is widened exactly), each operation rounded
//! by itself: the same integer on every machine. A cell is an `i64` clamped to `-2^62..=2^62`, NaN counts as 0, so
//! neither a cell nor its neighbours overflow; what is clamped merges far cells, which the next section allows.
//!
//! Rounding is monotone, and the computed quotient `q` of each point is within `2 u |q|` (u = 2^-53) of the true one to
//! first order. So two points at most `width (1 - (c + 2) 2^-51)` apart in every coordinate, `c` the larger magnitude of
//! their cells, have quotients at most 1 apart after rounding too, and lie in the same or in neighbouring cells:
//! [`ring_width`] computes that distance, rounded down. It is 0 where cells are beyond `2^51`: nothing is promised there.
//!
//! # Keys
//! A cell of one level and shift has the key
//!
//! ```text
//! h = stream(level, shift);  for each dimension: h = mix64((h xor cell) + GOLDEN);  key = h
//! ```
//!
//! with [`stream`](crate::hash::stream) and [`mix64`](crate::hash::mix64) of [`crate::hash`]. Each step is a bijection
//! of `h` for a given cell and of the cell for a given `h`; levels and shifts start from different states. Among `n`
//! occupied cells of all levels and shifts together a collision has probability about `n^2 / 2^65`: 3e-8 for a million.
//!
//! **A collision merges two cells, and that is all it does.** A merged cell has one leader where two cells would have
//! had two; a look-up may return a leader that is far away. Both stay correct because a leader is only a proposal: the
//! caller takes it after the distances to its neighbours are known, and the repair that follows works until every point
//! is covered, by distances, whatever the table said. Where a list of *all* points of a cell is needed, sort the keys and
//! take the runs ([`crate::group`]): a collision makes a run longer and loses nothing.
//!
//! # Cost and measured rate
//! A pass over the points per shift, and a look-up in an open-addressed table per point. One thread of an AMD EPYC (Zen 4):
//! 9.5 ns per key in three dimensions, 9 per point of a table, 3 to 4 per look-up. `cargo bench -p covertree-benches --bench grid`.

mod cells;
mod cover;
mod table;

pub use cells::{Grid, NEIGHBOURS_MAX, cell_keys, grid_offsets, neighbour_count, neighbour_keys, ring_width};
pub use cover::{Covers, EuclideanWithin, coverage};
pub use table::{CellTable, cell_table_blocks, leader_priority, mark_leaders};

#[cfg(test)]
mod tests;

/// Work of the hash grid, as far as the points decide it: `found <= keys <= slots`, `covered <= points` and
/// `covered <= tests`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GridCounters {
    /// Times that a table was filled: once, and again with twice the places whenever its cells were too many.
    pub fills: u64,
    /// Keys entered, in every fill, or looked up.
    pub keys: u64,
    /// Places of tables that were looked at for those keys.
    pub slots: u64,
    /// Occupied cells of the tables that were built.
    pub cells: u64,
    /// Keys that [`CellTable::find`] looked up, and whose cell is occupied.
    pub found: u64,
    /// Points whose coverage was asked about.
    pub points: u64,
    /// Points that a candidate covers.
    pub covered: u64,
    /// Pairs of a point and a candidate that were tested.
    pub tests: u64,
}

impl GridCounters {
    /// Adds the work of another call.
    pub fn merge(&mut self, other: &Self) {
        self.fills += other.fills;
        self.keys += other.keys;
        self.slots += other.slots;
        self.cells += other.cells;
        self.found += other.found;
        self.points += other.points;
        self.covered += other.covered;
        self.tests += other.tests;
    }
}
