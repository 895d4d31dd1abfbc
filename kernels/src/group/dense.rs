//! Counting sort of keys from `0..groups`.

use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::view::wrong_start;

/// Groups rows by key: a stable counting sort.
///
/// | argument | shape |
/// | --- | --- |
/// | `keys` | `[len]`, each in `0..groups` |
/// | `starts` | `[groups + 1]`, overwritten: group `g` is `rows[starts[g]..starts[g + 1]]` |
/// | `rows` | `[len]`, overwritten: row numbers `0..len`, rising within each group |
///
/// # Errors
/// [`KernelError::Value`] when `groups` is negative, [`KernelError::Shape`] when a length does not fit,
/// [`KernelError::TooLong`], [`KernelError::Key`] at the first key out of range. Nothing is written then.
///
/// # Cost
/// Three passes over the keys (check, count, scatter) and one over the starts; no scratch. The scatter is bound by the
/// cache that holds the starts.
pub fn group_by_key(keys: &[Idx], groups: Idx, starts: &mut [Idx], rows: &mut [Idx]) -> Result<(), KernelError> {
    group_chunk(keys, groups, 0, starts, rows)
}

/// Groups the rows `first..first + keys.len()`, one chunk of many: [`group_by_key`] with `first` added to each row
/// number.
///
/// Chunks are grouped by themselves, on any thread. Then [`scan_chunks`] adds up their starts, and [`gather_groups`]
/// copies any range of groups together: three steps, each of which reads whole inputs and writes a disjoint range.
/// The result is the same for any cut into chunks.
///
/// # Errors
/// As [`group_by_key`]; also [`KernelError::Value`] when `first` is negative and [`KernelError::TooLong`] when the
/// last row number does not fit.
pub fn group_chunk(
    keys: &[Idx],
    groups: Idx,
    first: Idx,
    starts: &mut [Idx],
    rows: &mut [Idx],
) -> Result<(), KernelError> {
    check_shapes(keys, groups, first, starts, rows)?;
    scatter(keys, first, starts, rows);
    Ok(())
}

/// Refuses arguments of [`group_chunk`] that do not fit together.
pub(super) fn check_shapes(
    keys: &[Idx],
    groups: Idx,
    first: Idx,
    starts: &[Idx],
    rows: &[Idx],
) -> Result<(), KernelError> {
    if groups < 0 {
        return Err(KernelError::Value { what: "groups", at: 0 });
    }
    if first < 0 {
        return Err(KernelError::Value { what: "first", at: 0 });
    }
    idx_len(keys.len().saturating_add(at(first)))?;
    want("starts", at(groups) + 1, starts.len())?;
    want("rows", keys.len(), rows.len())?;
    check(keys, groups)
}

/// Finds the first key outside `0..groups`.
fn check(keys: &[Idx], groups: Idx) -> Result<(), KernelError> {
    // Blocks without an early exit inside become vector code; a negative key is a large unsigned one.
    const BLOCK: usize = 256;
    for (block, keys) in keys.chunks(BLOCK).enumerate() {
        let largest = keys.iter().fold(0, |largest, &key| largest.max(key as u32));
        if largest >= groups as u32 {
            for (place, &key) in keys.iter().enumerate() {
                if !(0..groups).contains(&key) {
                    return Err(KernelError::Key { at: (block * BLOCK + place) as Idx, key, limit: groups });
                }
            }
        }
    }
    Ok(())
}

/// Counts, scans and scatters checked keys. `starts[g + 1]` first counts group `g`, then points at its next free
/// place; when all rows are placed, that is the start of group `g + 1`.
pub(super) fn scatter(keys: &[Idx], first: Idx, starts: &mut [Idx], rows: &mut [Idx]) {
    starts.fill(0);
    let next = &mut starts[1..];
    for &key in keys {
        next[at(key)] += 1;
    }
    let mut total = 0;
    for count in next.iter_mut() {
        total += core::mem::replace(count, total);
    }
    for (row, &key) in (first..).zip(keys) {
        let place = &mut next[at(key)];
        rows[at(*place)] = row;
        *place += 1;
    }
}

/// Adds up the starts of chunks: `starts[g]` is the sum over chunks of `chunk_starts[chunk][g]`.
///
/// That is right because `chunk_starts[chunk][g]` counts the rows of the chunk whose key is below `g`.
///
/// | argument | shape |
/// | --- | --- |
/// | `chunk_starts` | `[chunks][groups + 1]`, from [`group_chunk`] |
/// | `starts` | `[groups + 1]`, overwritten |
///
/// # Errors
/// [`KernelError::Least`] when `starts` is empty, [`KernelError::Shape`] when `chunk_starts` is not whole chunks,
/// [`KernelError::TooLong`] when the chunks hold more rows than an [`Idx`] counts, [`KernelError::Value`] where a chunk
/// does not start at 0 or falls. Nothing is written then.
///
/// # Cost
/// Reads each chunk's starts twice, writes `starts` once per chunk.
pub fn scan_chunks(chunk_starts: &[Idx], starts: &mut [Idx]) -> Result<(), KernelError> {
    let width = starts.len();
    if width == 0 {
        return Err(KernelError::Least { what: "starts", least: 1, got: 0 });
    }
    check_chunks(chunk_starts, width)?;
    starts.fill(0);
    for chunk in chunk_starts.chunks_exact(width) {
        for (total, &start) in starts.iter_mut().zip(chunk) {
            *total += start;
        }
    }
    Ok(())
}

/// Whether `chunk_starts` is whole chunks of rising starts whose ends add up to an [`Idx`].
fn check_chunks(chunk_starts: &[Idx], width: usize) -> Result<(), KernelError> {
    want("chunk_starts", chunk_starts.len() / width * width, chunk_starts.len())?;
    let mut total = 0;
    for (chunk, starts) in chunk_starts.chunks_exact(width).enumerate() {
        if let Some(place) = wrong_start(starts, 0, starts[width - 1]) {
            return Err(KernelError::Value { what: "chunk_starts", at: chunk * width + place });
        }
        total += at(starts[width - 1]);
        idx_len(total)?;
    }
    Ok(())
}

/// Copies a range of groups together from chunks that were grouped by themselves.
///
/// | argument | shape |
/// | --- | --- |
/// | `chunk_starts` | `[chunks][groups + 1]`, from [`group_chunk`] |
/// | `chunk_rows` | the rows of all chunks, one chunk after the other |
/// | `starts` | `[groups + 1]`, from [`scan_chunks`] |
/// | `first`, `count` | which groups |
/// | `out` | `rows[starts[first]..starts[first + count]]` of the whole, overwritten |
///
/// # Errors
/// As [`scan_chunks`]; [`KernelError::Shape`] when `chunk_rows` or `out` does not fit, [`KernelError::Key`] when the
/// groups reach past the last one, [`KernelError::Value`] when `starts` is not the sum of the chunks' starts. Nothing
/// is written then.
///
/// # Cost
/// One copy per group and chunk: cheap when a chunk has many more rows than there are groups. Each call checks
/// `chunk_starts`, which costs one pass over it.
pub fn gather_groups(
    chunk_starts: &[Idx],
    chunk_rows: &[Idx],
    starts: &[Idx],
    first: Idx,
    count: Idx,
    out: &mut [Idx],
) -> Result<(), KernelError> {
    let width = starts.len();
    if width == 0 {
        return Err(KernelError::Least { what: "starts", least: 1, got: 0 });
    }
    check_chunks(chunk_starts, width)?;
    let rows: usize = chunk_starts.chunks_exact(width).map(|chunk| at(chunk[width - 1])).sum();
    want("chunk_rows", rows, chunk_rows.len())?;
    let groups = idx_len(width - 1)?;
    if first < 0 || count < 0 || first > groups || count > groups - first {
        return Err(KernelError::Key { at: 0, key: first, limit: groups });
    }
    for g in 0..width {
        let total: i64 = chunk_starts.chunks_exact(width).map(|chunk| i64::from(chunk[g])).sum();
        if i64::from(starts[g]) != total {
            return Err(KernelError::Value { what: "starts", at: g });
        }
    }
    let (first, last) = (at(first), at(first) + at(count));
    let begin = at(starts[first]);
    want("out", at(starts[last]) - begin, out.len())?;
    for g in first..last {
        let (mut place, mut offset) = (at(starts[g]) - begin, 0);
        for chunk in chunk_starts.chunks_exact(width) {
            let run = &chunk_rows[offset + at(chunk[g])..offset + at(chunk[g + 1])];
            out[place..place + run.len()].copy_from_slice(run);
            place += run.len();
            offset += at(chunk[width - 1]);
        }
    }
    Ok(())
}
