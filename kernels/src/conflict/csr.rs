//! From a list of undirected pairs to a graph: both directions, no duplicates, each row sorted by neighbour.
//!
//! Counting, scanning and scattering twice replaces every comparison: the first scatter puts each pair into both of its
//! rows; reading those rows in order and scattering them again leaves each row sorted, because the graph is its own
//! transpose. Equal neighbours then stand side by side, and the last step keeps one of them, with the least weight.
//!
//! | phase | reads | writes, of one range of vertices |
//! | --- | --- | --- |
//! | [`count_degrees`] | all pairs | degrees |
//! | [`scan_degrees`] (serial) | degrees | starts |
//! | [`scatter_pairs`] | all pairs, starts | rows, in the order of the pairs |
//! | [`sort_rows`] | all rows | rows, sorted |
//! | [`count_unique`] | sorted rows | degrees without duplicates |
//! | [`scan_degrees`] (serial) | degrees | starts without duplicates |
//! | [`copy_unique`] | sorted rows | rows without duplicates |
//!
//! A phase reads everything and writes one range, so that it splits over a few threads without `unsafe`: reading a list
//! front to back costs far less than writing at random places. [`csr_from_pairs`] runs all of them. If the pairs are
//! known to be distinct, stop after [`sort_rows`].

use core::ops::Range;

use super::ConflictCounters;
use crate::arena::{Arena, blocks};
use crate::error::{KernelError, want};
use crate::index::{Idx, LEN_MAX, at, idx_len};
use crate::view::wrong_start;

/// What an edge carries: `()` for nothing, a level, a distance.
pub trait Weight: Copy {
    /// Of the weights of two equal pairs, the one to keep; the same whichever comes first.
    fn least(self, other: Self) -> Self;
}

impl Weight for () {
    #[inline(always)]
    fn least(self, _other: Self) {}
}

impl Weight for i32 {
    #[inline(always)]
    fn least(self, other: Self) -> Self {
        self.min(other)
    }
}

impl Weight for f32 {
    #[inline(always)]
    fn least(self, other: Self) -> Self {
        if other.total_cmp(&self).is_lt() { other } else { self }
    }
}

impl Weight for f64 {
    #[inline(always)]
    fn least(self, other: Self) -> Self {
        if other.total_cmp(&self).is_lt() { other } else { self }
    }
}

/// Undirected weighted pairs of vertices, checked once. `[a, b]` is the same pair as `[b, a]`; a loop `[a, a]` is no
/// edge and is skipped, so that it may fill an unused place.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a, W> {
    ends: &'a [[Idx; 2]],
    weights: &'a [W],
    vertices: Idx,
}

impl<'a, W: Weight> Pairs<'a, W> {
    /// A view of `ends` (`[pairs]`) and `weights` (`[pairs]`) over the vertices `0..vertices`.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when the lengths differ, [`KernelError::TooLong`] when both directions of all pairs are
    /// more than an [`Idx`] counts, [`KernelError::Key`] at the first pair with an end outside `0..vertices`.
    ///
    /// # Cost
    /// Reads `ends` once.
    pub fn new(ends: &'a [[Idx; 2]], weights: &'a [W], vertices: usize) -> Result<Self, KernelError> {
        want("weights", ends.len(), weights.len())?;
        let vertices = idx_len(vertices)?;
        idx_len(ends.len().saturating_mul(2))?;
        let outside = |end: Idx| !(0..vertices).contains(&end);
        match ends.iter().position(|&[a, b]| outside(a) | outside(b)) {
            Some(place) => {
                let [a, b] = ends[place];
                Err(KernelError::Key { at: idx_len(place)?, key: if outside(a) { a } else { b }, limit: vertices })
            }
            None => Ok(Self { ends, weights, vertices }),
        }
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Number of vertices.
    pub fn vertices(&self) -> usize {
        at(self.vertices)
    }
}

/// Rows of edges to read: `targets[starts[v]..starts[v + 1]]` and the weights beside them, checked once.
#[derive(Clone, Copy, Debug)]
pub struct Edges<'a, W> {
    starts: &'a [Idx],
    targets: &'a [Idx],
    weights: &'a [W],
}

impl<'a, W: Weight> Edges<'a, W> {
    /// A view of `starts` (`[vertices + 1]`), `targets` and `weights` (`[edges]`).
    ///
    /// # Errors
    /// Those of [`Csr::new`](crate::view::Csr::new), and [`KernelError::Shape`] when `weights` does not fit.
    ///
    /// # Cost
    /// Reads `starts` and `targets` once.
    pub fn new(starts: &'a [Idx], targets: &'a [Idx], weights: &'a [W]) -> Result<Self, KernelError> {
        crate::view::Csr::new(starts, targets)?;
        want("weights", targets.len(), weights.len())?;
        Ok(Self { starts, targets, weights })
    }

    /// Number of vertices.
    pub fn vertices(&self) -> usize {
        self.starts.len() - 1
    }

    /// The neighbours of a vertex and their weights.
    #[inline(always)]
    pub fn of(&self, vertex: usize) -> (&'a [Idx], &'a [W]) {
        let row = at(self.starts[vertex])..at(self.starts[vertex + 1]);
        (&self.targets[row.clone()], &self.weights[row])
    }
}

/// Rows of edges to write: those of one range of vertices, from the first of them on.
#[derive(Debug)]
pub struct EdgesMut<'a, W> {
    /// Neighbours, row by row.
    pub targets: &'a mut [Idx],
    /// Their weights.
    pub weights: &'a mut [W],
}

/// Refuses a range that is not within `0..vertices`.
fn check_range(range: &Range<Idx>, vertices: usize) -> Result<(), KernelError> {
    let limit = idx_len(vertices)?;
    for key in [range.start, range.end] {
        if !(0..=limit).contains(&key) {
            return Err(KernelError::Key { at: 0, key, limit });
        }
    }
    if range.end < range.start {
        return Err(KernelError::Key { at: 1, key: range.end, limit });
    }
    Ok(())
}

/// Refuses starts that are not those of `vertices` rows, and output that is not the rows `range`.
fn check_rows<W>(
    starts: &[Idx],
    vertices: usize,
    range: &Range<Idx>,
    out: &EdgesMut<'_, W>,
) -> Result<(), KernelError> {
    want("starts", vertices + 1, starts.len())?;
    check_range(range, vertices)?;
    // What stands before these rows, and how far the last of them reaches, is the caller's business.
    if let Some(at) = wrong_start(starts, starts[0].max(0), starts[vertices]) {
        return Err(KernelError::Value { what: "starts", at });
    }
    let len = at(starts[at(range.end)] - starts[at(range.start)]);
    want("targets", len, out.targets.len())?;
    want("weights", len, out.weights.len())
}

/// Degrees of the vertices `first..first + degrees.len()`, duplicates counted.
///
/// # Errors
/// [`KernelError::Key`] when the range is not within the vertices; `degrees` is then untouched.
///
/// # Cost
/// Reads all pairs once.
pub fn count_degrees<W: Weight>(pairs: &Pairs<'_, W>, first: Idx, degrees: &mut [Idx]) -> Result<(), KernelError> {
    let last = first.saturating_add(idx_len(degrees.len())?);
    check_range(&(first..last), pairs.vertices())?;
    degrees.fill(0);
    for &[a, b] in pairs.ends {
        if a != b {
            for end in [a, b] {
                // An end below `first` becomes negative, and so too large for the slice.
                if let Some(degree) = degrees.get_mut((end - first) as usize) {
                    *degree += 1;
                }
            }
        }
    }
    Ok(())
}

/// Exclusive sums of `degrees` (`[vertices]`), with the total at the end of `starts` (`[vertices + 1]`); returns it.
///
/// # Errors
/// [`KernelError::Shape`] when `starts` does not fit, [`KernelError::Value`] at the first degree below zero,
/// [`KernelError::TooLong`] when the total is more than an [`Idx`] counts; `starts` is then untouched.
///
/// # Cost
/// Reads `degrees` twice. Serial: a fraction of the phases around it.
pub fn scan_degrees(degrees: &[Idx], starts: &mut [Idx]) -> Result<Idx, KernelError> {
    want("starts", degrees.len() + 1, starts.len())?;
    if let Some(place) = degrees.iter().position(|&degree| degree < 0) {
        return Err(KernelError::Value { what: "degrees", at: place });
    }
    let total: u64 = degrees.iter().map(|&degree| at(degree) as u64).sum(); // widens
    if total > LEN_MAX as u64 {
        return Err(KernelError::TooLong { len: usize::try_from(total).unwrap_or(usize::MAX) });
    }
    let mut sum = 0;
    for (start, &degree) in starts.iter_mut().zip(degrees) {
        *start = sum;
        sum += degree;
    }
    starts[degrees.len()] = sum;
    Ok(sum)
}

/// Blocks that [`scatter_pairs`] and [`sort_rows`] take for a range of `vertices`.
pub const fn scatter_blocks(vertices: usize) -> usize {
    blocks::<Idx>(vertices)
}

/// Appends to the rows of a range of vertices.
struct Appender<'a, W> {
    first: Idx,
    starts: &'a [Idx],
    /// Where the next edge of each row goes, counted from the first edge of the range.
    cursors: &'a mut [Idx],
    out: EdgesMut<'a, W>,
}

impl<'a, W: Weight> Appender<'a, W> {
    fn new(
        starts: &'a [Idx],
        range: Range<Idx>,
        out: EdgesMut<'a, W>,
        arena: &mut Arena<'a>,
    ) -> Result<Self, KernelError> {
        let cursors = arena.take::<Idx>(at(range.end - range.start))?;
        let starts = &starts[at(range.start)..=at(range.end)];
        for (cursor, start) in cursors.iter_mut().zip(starts) {
            *cursor = start - starts[0];
        }
        Ok(Self { first: range.start, starts, cursors, out })
    }

    #[inline(always)]
    fn append(&mut self, row: Idx, target: Idx, weight: W) {
        // A row below the range becomes negative, and so too large for the slice.
        let Some(cursor) = self.cursors.get_mut((row - self.first) as usize) else { return };
        let place = *cursor as usize; // never negative
        // Only with starts that do not belong to these edges may a row run into the next, or out of the range.
        if let (Some(to), Some(to_weight)) = (self.out.targets.get_mut(place), self.out.weights.get_mut(place)) {
            *to = target;
            *to_weight = weight;
            *cursor += 1;
        }
    }

    /// The number of edges in the rows that came out as long as they should be.
    fn finish(&self) -> Idx {
        let rows = self.cursors.iter().zip(self.starts.windows(2));
        rows.filter(|(cursor, row)| **cursor == row[1] - self.starts[0]).map(|(_, row)| row[1] - row[0]).sum()
    }
}

/// Writes the rows of the vertices `range`, each in the order of the pairs; returns how many edges stand in complete
/// rows, which is all of them.
///
/// | argument | shape |
/// | --- | --- |
/// | `starts` | `[vertices + 1]`, from [`scan_degrees`] over the degrees of the same pairs |
/// | `range` | within `0..vertices` |
/// | `out` | `starts[range.end] - starts[range.start]` edges, overwritten |
/// | `arena` | [`scatter_blocks`]`(range.len())` |
///
/// With starts that do not come from the same pairs, the rows hold anything, and the number returned is smaller.
///
/// # Errors
/// [`KernelError::Shape`], [`KernelError::Value`] at the first start that falls, [`KernelError::Key`] for a range that
/// is not within the vertices, [`KernelError::Scratch`]. `out` is then untouched.
///
/// # Cost
/// Reads all pairs once; writes each edge of the range once, at random places.
pub fn scatter_pairs<W: Weight>(
    pairs: &Pairs<'_, W>,
    starts: &[Idx],
    range: Range<Idx>,
    out: EdgesMut<'_, W>,
    arena: &mut Arena<'_>,
) -> Result<Idx, KernelError> {
    check_rows(starts, pairs.vertices(), &range, &out)?;
    let mut rows = Appender::new(starts, range, out, &mut arena.scope())?;
    for (&[a, b], &weight) in pairs.ends.iter().zip(pairs.weights) {
        if a != b {
            rows.append(a, b, weight);
            rows.append(b, a, weight);
        }
    }
    Ok(rows.finish())
}

/// Writes the rows of the vertices `range` sorted by neighbour, duplicates side by side; returns how many edges stand in
/// complete rows, which is all of them.
///
/// `edges` must hold each edge in both of its rows with the same weight, as [`scatter_pairs`] leaves them: the rows are
/// sorted by transposing. Among equal neighbours the order is that of `edges`. Otherwise arguments and the meaning of the
/// result are those of [`scatter_pairs`]; `out` has the shape of `edges` over `range`.
///
/// # Errors
/// As [`scatter_pairs`].
///
/// # Cost
/// Reads all edges once; writes each edge of the range once, at random places.
pub fn sort_rows<W: Weight>(
    edges: &Edges<'_, W>,
    range: Range<Idx>,
    out: EdgesMut<'_, W>,
    arena: &mut Arena<'_>,
) -> Result<Idx, KernelError> {
    check_rows(edges.starts, edges.vertices(), &range, &out)?;
    let mut rows = Appender::new(edges.starts, range, out, &mut arena.scope())?;
    for vertex in 0..edges.vertices() {
        let (targets, weights) = edges.of(vertex);
        for (&target, &weight) in targets.iter().zip(weights) {
            rows.append(target, vertex as Idx, weight); // fits: the number of vertices does
        }
    }
    Ok(rows.finish())
}

/// Degrees of the vertices `first..first + degrees.len()` without duplicates; the rows are sorted.
///
/// # Errors
/// [`KernelError::Key`] when the range is not within the vertices; `degrees` is then untouched.
///
/// # Cost
/// Reads the rows of the range once.
pub fn count_unique<W: Weight>(edges: &Edges<'_, W>, first: Idx, degrees: &mut [Idx]) -> Result<(), KernelError> {
    let last = first.saturating_add(idx_len(degrees.len())?);
    check_range(&(first..last), edges.vertices())?;
    for (degree, vertex) in degrees.iter_mut().zip(at(first)..) {
        let (targets, _) = edges.of(vertex);
        let repeats = targets.windows(2).filter(|pair| pair[0] == pair[1]).count();
        *degree = (targets.len() - repeats) as Idx; // fits: the number of edges does
    }
    Ok(())
}

/// Copies the rows of the vertices `range` without duplicates; an edge keeps the least of its weights.
///
/// | argument | shape |
/// | --- | --- |
/// | `edges` | rows sorted by neighbour |
/// | `starts` | `[vertices + 1]`, from [`scan_degrees`] over [`count_unique`] |
/// | `range` | within `0..vertices` |
/// | `out` | `starts[range.end] - starts[range.start]` edges, overwritten |
///
/// # Errors
/// Those of [`scatter_pairs`], and [`KernelError::Value`] at the first start of the range that does not fit the row
/// before it. `out` is then untouched.
///
/// # Cost
/// Reads the rows of the range twice, writes each edge once.
pub fn copy_unique<W: Weight>(
    edges: &Edges<'_, W>,
    starts: &[Idx],
    range: Range<Idx>,
    out: EdgesMut<'_, W>,
) -> Result<(), KernelError> {
    check_rows(starts, edges.vertices(), &range, &out)?;
    for vertex in at(range.start)..at(range.end) {
        let mut degree = [0];
        count_unique(edges, vertex as Idx, &mut degree)?; // fits: the number of vertices does
        if starts[vertex + 1] - starts[vertex] != degree[0] {
            return Err(KernelError::Value { what: "starts", at: vertex + 1 });
        }
    }
    let mut end = 0;
    for vertex in at(range.start)..at(range.end) {
        let (targets, weights) = edges.of(vertex);
        let mut last = crate::index::NONE;
        for (&target, &weight) in targets.iter().zip(weights) {
            if target == last {
                out.weights[end - 1] = out.weights[end - 1].least(weight);
            } else {
                out.targets[end] = target;
                out.weights[end] = weight;
                end += 1;
                last = target;
            }
        }
    }
    Ok(())
}

/// Blocks that [`csr_from_pairs`] takes for a graph of `vertices`.
pub const fn csr_from_pairs_blocks(vertices: usize) -> usize {
    let starts = blocks::<Idx>(vertices.saturating_add(1));
    let (degrees, cursors) = (blocks::<Idx>(vertices), scatter_blocks(vertices));
    starts.saturating_add(if degrees > cursors { degrees } else { cursors })
}

/// All phases for all vertices; returns the number of stored edges, twice that of different pairs. Of the
/// other pairs, some repeat one of those, which is counted, and some are loops.
///
/// | argument | shape |
/// | --- | --- |
/// | `starts` | `[vertices + 1]`, overwritten |
/// | `out` | `2 * pairs.len()` edges; the first (returned number) are the graph, the rest is unspecified |
/// | `spare` | `2 * pairs.len()` edges, scratch |
/// | `arena` | [`csr_from_pairs_blocks`]`(vertices)` |
///
/// # Errors
/// [`KernelError::Shape`] for any length that does not fit, [`KernelError::Scratch`]. Nothing is written then.
///
/// # Cost
/// Reads the pairs twice and the edges four times in order; writes the edges three times, twice (to scatter and to sort)
/// at the places of their rows. Pairs in the order of their rows, as tiles give them, write within the caches and cost 0.3
/// of sorting the edges; pairs in no order at all, over more vertices than the caches hold, 0.6.
pub fn csr_from_pairs<W: Weight>(
    pairs: &Pairs<'_, W>,
    starts: &mut [Idx],
    out: EdgesMut<'_, W>,
    spare: EdgesMut<'_, W>,
    arena: &mut Arena<'_>,
    counters: &mut ConflictCounters,
) -> Result<Idx, KernelError> {
    want("starts", pairs.vertices() + 1, starts.len())?;
    for (what, len) in [
        ("targets", out.targets.len()),
        ("weights", out.weights.len()),
        ("spare targets", spare.targets.len()),
        ("spare weights", spare.weights.len()),
    ] {
        want(what, 2 * pairs.len(), len)?;
    }
    let (need, have) = (csr_from_pairs_blocks(pairs.vertices()), arena.free());
    if need > have {
        return Err(KernelError::Scratch { need, have });
    }
    let mut arena = arena.scope();
    let all = 0..pairs.vertices;
    let (repeated, EdgesMut { targets, weights }) = (arena.take::<Idx>(pairs.vertices() + 1)?, out);

    count_degrees(pairs, 0, &mut starts[..pairs.vertices()])?;
    let len = {
        let degrees = &starts[..pairs.vertices()];
        at(scan_degrees(degrees, repeated)?)
    };
    let rows = EdgesMut { targets: &mut targets[..len], weights: &mut weights[..len] };
    scatter_pairs(pairs, repeated, all.clone(), rows, &mut arena)?;
    let rows = Edges { starts: repeated, targets: &targets[..len], weights: &weights[..len] };
    let sorted = EdgesMut { targets: &mut spare.targets[..len], weights: &mut spare.weights[..len] };
    sort_rows(&rows, all.clone(), sorted, &mut arena)?;
    let sorted = Edges { starts: repeated, targets: &spare.targets[..len], weights: &spare.weights[..len] };
    let degrees = arena.take::<Idx>(pairs.vertices())?;
    count_unique(&sorted, 0, degrees)?;
    let (stored, len) = (len, at(scan_degrees(degrees, starts)?));
    copy_unique(&sorted, starts, all, EdgesMut { targets: &mut targets[..len], weights: &mut weights[..len] })?;
    counters.repeated += ((stored - len) / 2) as u64; // an edge repeats in both of its rows; widens
    idx_len(len)
}
