//! Conflict graphs: which points lie within a radius of each other, as a list or as compressed rows.
//!
//! | step | kernels |
//! | --- | --- |
//! | pairs, by tiles of packed points | [`count_within`], then [`emit_within`] into memory of exactly that size |
//! | or the nearest few of each point, in one pass | [`nearest_within`]; from a graph, [`nearest_of_rows`] |
//! | from pairs to a graph | [`csr`]: [`csr_from_pairs`](csr::csr_from_pairs) or its phases |
//!
//! # Rows
//! Points are named by their position in the packed points. A [`Scope`] says which of them are rows (each with its own
//! radius) and which are columns. What is found for a row is written in one piece, ascending by column, so that:
//! - with [`Which::All`] over all columns and [`Idx`] entries, the counts scanned by
//!   [`scan_degrees`](csr::scan_degrees) and the entries *are* a [`Csr`](crate::view::Csr);
//! - with [`Which::Above`] each pair is found once, and `[Idx; 2]` entries are the pairs of [`csr::Pairs`].
//!
//! A caller splits the work by rows, or by columns (tiles of a large set), and every split finds the same.
//!
//! # Degree cap
//! [`nearest_within`] keeps the `cap` nearest of each row in a bounded heap while it enumerates, and never holds the
//! rest. Its entries as `[Idx; 2]`, made a graph by [`csr_from_pairs`](csr::csr_from_pairs), keep an edge if either end
//! keeps it, so that a degree may exceed the cap. A set that is independent in such a graph need not be so among the
//! points: whoever caps degrees must repair.
//!
//! # Exactness
//! A pair is found if and only if its distance by the published formula (`f64`, unfused, in order of the dimension) is
//! at most the radius. For `f64` points the tile computes that formula itself, and compares sums with the largest sum
//! whose distance is at most the radius, so that no root is taken before a pair is found. For `f32` points the tile is a
//! filter: with `e` the bound on the relative error of a sum, in `f32` and in `f64` together
//! ([`Form::relative_error`]), and `a` that on the absolute error, a sum above `cap (1 + 2e) + 2a` cannot belong to a
//! pair, one below `cap (1 - 2e) - 2a` must, and what lies between is settled in `f64`. The factor two covers the
//! terms of second order and the rounding of the bounds themselves.
//!
//! # Cost and measured rate
//! `dim` operations per pair of a row and a column, in register tiles; what `f32` cannot decide costs `f64` as well. One
//! thread of an AMD EPYC (Zen 4) with AVX-512, 2,048 points: [`count_within`] asks 3.8 G pairs/s in three dimensions and 0.58 in
//! 64 in `f32` (1.8 and 0.17 on the portable tier, 0.75 and 0.07 by a plain loop), 2.4 and 0.21 in `f64`. A graph from pairs takes 12 ns
//! per directed edge where sorting the edges takes 55. `cargo bench -p covertree-benches --bench conflict`.

use core::marker::PhantomData;
use core::ops::Range;

use crate::dist::Form;
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::{Real, Tier};
use crate::view::Panels;

pub mod csr;
mod lanes;
mod nearest;
#[cfg(any(test, feature = "oracle"))]
pub mod scalar;
mod sink;
#[cfg(test)]
mod tests;

pub use nearest::{CAP_MAX, Nearest, nearest_of_rows};

/// Work done on conflict graphs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConflictCounters {
    /// Pairs of a row and another column that were asked about.
    pub distance_evals: u64,
    /// Tiles that ended early, because every lane had passed every radius.
    pub tiles_cut: u64,
    /// Rows of a tile that `f32` could not decide alone.
    pub settled: u64,
    /// Pairs found.
    pub pairs: u64,
    /// Rows for which neighbours were looked for.
    pub rows: u64,
    /// Entries written for those rows: all pairs, or those within the cap, before the graph is made symmetric.
    pub kept: u64,
    /// Pairs that were dropped from a graph because an equal one is in it.
    pub repeated: u64,
}

impl ConflictCounters {
    /// Adds the work of another call.
    pub fn merge(&mut self, other: &Self) {
        self.distance_evals += other.distance_evals;
        self.tiles_cut += other.tiles_cut;
        self.settled += other.settled;
        self.pairs += other.pairs;
        self.rows += other.rows;
        self.kept += other.kept;
        self.repeated += other.repeated;
    }

    /// Average degree of the rows before the cap, zero without rows. Meant for [`Which::All`].
    pub fn avg_degree_before_cap(&self) -> f64 {
        self.pairs as f64 / (self.rows as f64).max(1.0)
    }

    /// Average degree after the cap, of a graph that was made symmetric and has `edges` stored edges.
    pub fn avg_degree_after_cap(&self, edges: usize) -> f64 {
        edges as f64 / (self.rows as f64).max(1.0)
    }
}

/// Which pairs of a row and a column are looked at. A point and itself never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of them: where the ranges overlap, each pair is found from both of its ends.
    All,
    /// Those whose column stands above the row: each pair once.
    Above,
}

/// The rows `first..first + radius.len()` against a range of columns, both positions of the same packed points.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// Position of the first row.
    pub first: Idx,
    /// The radius of each row: not negative, not NaN. A pair is found if its distance is at most that of its row.
    pub radius: &'a [f64],
    /// Positions of the columns.
    pub columns: Range<Idx>,
    /// Which pairs.
    pub which: Which,
}

impl Scope<'_> {
    fn check<T: Real>(&self, points: &Panels<'_, T>) -> Result<(), KernelError> {
        let limit = idx_len(points.len())?;
        let last = self.first.saturating_add(idx_len(self.radius.len())?);
        for (at, key) in [(0, self.first), (1, last), (2, self.columns.start), (3, self.columns.end)] {
            if !(0..=limit).contains(&key) {
                return Err(KernelError::Key { at, key, limit });
            }
        }
        if self.columns.end < self.columns.start {
            return Err(KernelError::Key { at: 3, key: self.columns.end, limit });
        }
        match self.radius.iter().position(|radius| radius.is_nan() || *radius < 0.0) {
            Some(place) => Err(KernelError::Value { what: "radius", at: place }),
            None => Ok(()),
        }
    }

    /// The columns that belong to a row, itself included if it is one of them.
    #[inline(always)]
    fn columns_of(&self, row: usize) -> Range<usize> {
        let (start, end) = (at(self.columns.start), at(self.columns.end));
        match self.which {
            Which::All => start..end,
            Which::Above => start.max(row + 1).min(end)..end,
        }
    }

    fn pairs(&self) -> u64 {
        let rows = at(self.first)..at(self.first) + self.radius.len();
        rows.map(|row| {
            let columns = self.columns_of(row);
            (columns.len() - usize::from(columns.contains(&row))) as u64 // widens
        })
        .sum()
    }
}

/// What is written for a pair that was found: the column ([`Idx`]), or row and column (`[Idx; 2]`).
pub trait Entry: Copy {
    /// The pair.
    fn pair(row: Idx, column: Idx) -> Self;
    /// The mark of an unused place in the row: [`NONE`](crate::index::NONE), or the loop `[row, row]`, which
    /// [`csr::Pairs`] skip.
    fn unused(row: Idx) -> Self;
}

impl Entry for Idx {
    #[inline(always)]
    fn pair(_row: Idx, column: Idx) -> Self {
        column
    }
    #[inline(always)]
    fn unused(_row: Idx) -> Self {
        crate::index::NONE
    }
}

impl Entry for [Idx; 2] {
    #[inline(always)]
    fn pair(row: Idx, column: Idx) -> Self {
        [row, column]
    }
    #[inline(always)]
    fn unused(row: Idx) -> Self {
        [row, row]
    }
}

/// Runs a scope into a sink and counts the work.
fn run<T: Real, F: Form, S: sink::Sink>(
    tier: Tier,
    points: Panels<'_, T>,
    scope: &Scope<'_>,
    sink: S,
    counters: &mut ConflictCounters,
) {
    const { assert!(F::GROWS, "only a distance has a radius") };
    let work = tier.run(lanes::Within { points, scope, sink, form: PhantomData::<F> });
    counters.distance_evals += scope.pairs();
    counters.rows += scope.radius.len() as u64; // widens
    counters.tiles_cut += work.tiles_cut;
    counters.settled += work.settled;
    counters.pairs += work.pairs;
    counters.kept += work.kept;
}

/// How many columns each row of `scope` has within its radius.
///
/// | argument | shape |
/// | --- | --- |
/// | `points` | packed points, `f32` or `f64` |
/// | `scope` | rows, their radii, columns |
/// | `counts` | `[rows]`, overwritten |
///
/// # Errors
/// [`KernelError::Key`] when rows or columns are not within the points (`at` 0 and 1: the rows' first and end, 2 and 3:
/// the columns'), [`KernelError::Value`] at the first radius that is negative or NaN, [`KernelError::Shape`] when
/// `counts` does not fit. `counts` is then untouched.
///
/// # Accuracy
/// Exact, on every tier: see the family's page.
///
/// # Cost
/// The form's operations for each pair, in tiles of four rows by one panel, until every lane has passed every radius
/// (asked every sixteen dimensions). A count needs no distance, so `f32` settles only what lies next to the radius.
pub fn count_within<F: Form, T: Real>(
    tier: Tier,
    points: Panels<'_, T>,
    scope: &Scope<'_>,
    counts: &mut [Idx],
    counters: &mut ConflictCounters,
) -> Result<(), KernelError> {
    scope.check(&points)?;
    want("counts", scope.radius.len(), counts.len())?;
    counts.fill(0);
    run::<T, F, _>(tier, points, scope, sink::Count { counts, base: 0 }, counters);
    Ok(())
}

/// Writes the columns that each row of `scope` has within its radius, row by row, ascending, with their distances.
/// Returns how many there are.
///
/// | argument | shape |
/// | --- | --- |
/// | `points`, `scope` | as in [`count_within`] |
/// | `counts` | `[rows]`, from [`count_within`] with the same points and scope |
/// | `entries` | `[sum of counts]`, [`Idx`] or `[Idx; 2]`, overwritten |
/// | `distances` | `[sum of counts]`, overwritten |
///
/// With other counts than those, what a row has no room for is dropped, a place that is not needed keeps what it held,
/// and the number returned tells.
///
/// # Errors
/// Those of [`count_within`], and [`KernelError::Value`] at the first count below zero. Nothing is written then.
///
/// # Accuracy
/// Distances are those of the published formula, bit for bit, on every tier.
///
/// # Cost
/// As [`count_within`]; each pair found costs a distance in `f64`.
pub fn emit_within<F: Form, T: Real, E: Entry>(
    tier: Tier,
    points: Panels<'_, T>,
    scope: &Scope<'_>,
    counts: &[Idx],
    entries: &mut [E],
    distances: &mut [f64],
    counters: &mut ConflictCounters,
) -> Result<usize, KernelError> {
    scope.check(&points)?;
    want("counts", scope.radius.len(), counts.len())?;
    if let Some(place) = counts.iter().position(|&count| count < 0) {
        return Err(KernelError::Value { what: "counts", at: place });
    }
    let total = counts.iter().fold(0, |sum: usize, &count| sum.saturating_add(at(count)));
    want("entries", total, entries.len())?;
    want("distances", total, distances.len())?;
    let before = counters.pairs;
    run::<T, F, _>(tier, points, scope, sink::Emit::<F, E>::new(scope.first, counts, entries, distances), counters);
    Ok((counters.pairs - before) as usize) // at most rows x columns, which the machine could count one by one
}

/// Writes the at most `cap` nearest columns that each row of `scope` has within its radius, ascending by (distance,
/// column). One pass: the size is bounded, so nothing needs to be counted first.
///
/// | argument | shape |
/// | --- | --- |
/// | `points`, `scope` | as in [`count_within`]; [`Which::All`] over all columns, unless the caller merges |
/// | `cap` | 1 to [`CAP_MAX`] |
/// | `out` | `[rows]` lengths, `[rows * cap]` entries and distances, overwritten |
///
/// # Errors
/// Those of [`count_within`], and [`KernelError::Least`] or [`KernelError::Most`] for a `cap` out of range.
///
/// # Cost
/// As [`emit_within`], and `log2 cap` comparisons for a pair that enters the heap.
pub fn nearest_within<F: Form, T: Real, E: Entry>(
    tier: Tier,
    points: Panels<'_, T>,
    scope: &Scope<'_>,
    cap: usize,
    out: Nearest<'_, E>,
    counters: &mut ConflictCounters,
) -> Result<(), KernelError> {
    scope.check(&points)?;
    out.check(scope.radius.len(), cap)?;
    run::<T, F, _>(tier, points, scope, nearest::Heaps::<F, E>::new(scope.first, cap, out), counters);
    Ok(())
}
