//! What is read off groups: winners, sizes, pairs.

use crate::error::{KernelError, want};
use crate::index::{Idx, NONE, at, idx_len};
use crate::view::check_starts;

/// Groups of rows, checked once: group `g` is `rows[starts[g]..starts[g + 1]]`.
#[derive(Clone, Copy, Debug)]
pub struct Groups<'a> {
    starts: &'a [Idx],
    rows: &'a [Idx],
    limit: Idx,
}

impl<'a> Groups<'a> {
    /// A view of `starts` (`[groups + 1]`, from 0, not falling, ending at `rows.len()`) and `rows`, each of which is in
    /// `0..limit`.
    ///
    /// # Errors
    /// [`KernelError::Least`] for empty `starts`, [`KernelError::TooLong`], [`KernelError::Value`] at the first start
    /// that falls or at the last when it is not the number of rows or when `limit` is negative, [`KernelError::Key`] for
    /// a row out of range.
    ///
    /// # Cost
    /// Reads everything once.
    pub fn new(starts: &'a [Idx], rows: &'a [Idx], limit: Idx) -> Result<Self, KernelError> {
        if starts.is_empty() {
            return Err(KernelError::Least { what: "starts", least: 1, got: 0 });
        }
        idx_len(starts.len() - 1)?;
        let len = idx_len(rows.len())?;
        if limit < 0 {
            return Err(KernelError::Value { what: "limit", at: 0 });
        }
        check_starts(starts, len)?;
        match rows.iter().position(|row| !(0..limit).contains(row)) {
            Some(place) => Err(KernelError::Key { at: idx_len(place)?, key: rows[place], limit }),
            None => Ok(Self { starts, rows, limit }),
        }
    }

    /// Number of groups, empty ones included.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.starts.len() == 1
    }

    /// The rows of one group.
    #[inline(always)]
    pub fn of(&self, group: Idx) -> &'a [Idx] {
        let group = at(group);
        &self.rows[at(self.starts[group])..at(self.starts[group + 1])]
    }

    /// The starts, `[groups + 1]`.
    pub fn starts(&self) -> &'a [Idx] {
        self.starts
    }

    /// The rows of all groups.
    pub fn rows(&self) -> &'a [Idx] {
        self.rows
    }
}

/// The member of least (priority, row) of each of the groups `first..first + winners.len()`.
///
/// | argument | shape |
/// | --- | --- |
/// | `priorities` | `[limit]`, by row number |
/// | `winners` | `[groups of this range]`, overwritten; [`NONE`] for an empty group |
///
/// # Errors
/// [`KernelError::Shape`] when `priorities` is not one per row, [`KernelError::Key`] when the range reaches past the
/// last group. Nothing is written then.
///
/// # Cost
/// Reads each member and its priority once.
pub fn least_per_group(
    groups: Groups<'_>,
    priorities: &[u64],
    first: Idx,
    winners: &mut [Idx],
) -> Result<(), KernelError> {
    want("priorities", at(groups.limit), priorities.len())?;
    if first < 0 || winners.len() > groups.len() || at(first) > groups.len() - winners.len() {
        return Err(KernelError::Key { at: 0, key: first, limit: idx_len(groups.len())? });
    }
    for (group, winner) in (first..).zip(winners) {
        let (mut least, mut best) = (NONE, u64::MAX);
        for &row in groups.of(group) {
            let priority = priorities[at(row)];
            if least == NONE || priority < best || (priority == best && row < least) {
                (least, best) = (row, priority);
            }
        }
        *winner = least;
    }
    Ok(())
}

/// Sizes of groups and the pairs within them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCounts {
    /// All groups.
    pub groups: u64,
    /// Groups that have a member.
    pub occupied: u64,
    /// Members of all groups.
    pub rows: u64,
    /// Members of the largest group.
    pub largest: u64,
    /// Pairs of members of the same group: the sum of `m (m - 1) / 2`.
    pub pairs: u64,
}

impl GroupCounts {
    /// Adds the counts of other groups.
    pub fn merge(&mut self, other: &Self) {
        self.groups += other.groups;
        self.occupied += other.occupied;
        self.rows += other.rows;
        self.largest = self.largest.max(other.largest);
        self.pairs += other.pairs;
    }
}

/// Counts of the groups whose starts are `starts` (`[groups + 1]`, of which the first need not be 0: a range of starts
/// counts a range of groups).
///
/// # Errors
/// [`KernelError::Least`] when `starts` is empty, [`KernelError::Value`] at the first start that is negative or falls.
///
/// # Cost
/// Reads each start once. No sum overflows: below `2^31` members make less than `2^61` pairs.
pub fn group_counts(starts: &[Idx]) -> Result<GroupCounts, KernelError> {
    if starts.is_empty() {
        return Err(KernelError::Least { what: "starts", least: 1, got: 0 });
    }
    if starts[0] < 0 {
        return Err(KernelError::Value { what: "starts", at: 0 });
    }
    let mut counts = GroupCounts { groups: starts.len() as u64 - 1, ..GroupCounts::default() };
    for (place, pair) in starts.windows(2).enumerate() {
        if pair[1] < pair[0] {
            return Err(KernelError::Value { what: "starts", at: place + 1 });
        }
        let members = (pair[1] - pair[0]) as u64; // not negative: just checked
        counts.occupied += u64::from(members > 0);
        counts.rows += members;
        counts.largest = counts.largest.max(members);
        counts.pairs += members * members.saturating_sub(1) / 2;
    }
    Ok(counts)
}
