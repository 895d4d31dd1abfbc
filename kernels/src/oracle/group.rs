//! Grouping by sorting whole rows, and by asking every row.

use std::vec::Vec;

use crate::index::{Idx, NONE, at};

/// Starts and rows of the groups `0..groups`.
pub fn group_by_key(keys: &[Idx], groups: Idx) -> (Vec<Idx>, Vec<Idx>) {
    let of = |group: Idx| keys.iter().enumerate().filter(move |(_, key)| **key == group).map(|(row, _)| row as Idx);
    let rows: Vec<Idx> = (0..groups).flat_map(of).collect();
    let starts = (0..=groups).map(|group| keys.iter().filter(|&&key| key < group).count() as Idx).collect();
    (starts, rows)
}

/// Keys and rows, sorted by key, with the order of equal keys kept.
pub fn sort_keys(keys: &[u64], rows: &[Idx]) -> (Vec<u64>, Vec<Idx>) {
    let mut pairs: Vec<(u64, Idx)> = keys.iter().copied().zip(rows.iter().copied()).collect();
    pairs.sort_by_key(|pair| pair.0); // the sort of the standard library is stable
    pairs.into_iter().unzip()
}

/// Starts of the runs of equal keys, and the end.
pub fn key_runs(keys: &[u64]) -> Vec<Idx> {
    let begins = |place: &usize| *place == 0 || *place == keys.len() || keys[*place] != keys[place - 1];
    (0..=keys.len()).filter(begins).map(|place| place as Idx).collect()
}

/// The member of least (priority, row) of each group.
pub fn least_per_group(starts: &[Idx], rows: &[Idx], priorities: &[u64]) -> Vec<Idx> {
    let least = |pair: &[Idx]| {
        let members = rows[at(pair[0])..at(pair[1])].iter().copied();
        members.min_by_key(|&row| (priorities[at(row)], row)).unwrap_or(NONE)
    };
    starts.windows(2).map(least).collect()
}

/// Pairs of rows that share a key.
pub fn pairs(keys: &[Idx]) -> u64 {
    let later = |(row, key): (usize, &Idx)| keys[row + 1..].iter().filter(|other| *other == key).count() as u64;
    keys.iter().enumerate().map(later).sum()
}
