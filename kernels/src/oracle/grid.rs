//! The hash grid by maps and full scans.

use std::collections::BTreeMap;
use std::vec::Vec;

use crate::grid::leader_priority;
use crate::hash::{GOLDEN, mix64, stream};
use crate::index::{Idx, NONE};

/// The cell of one point: the floor of the library, clamped.
pub fn cell(row: &[f64], offsets: &[f64], width: f64) -> Vec<i64> {
    let far = 2f64.powi(62);
    row.iter().zip(offsets).map(|(x, offset)| ((x + offset) / width).floor().clamp(-far, far) as i64).collect()
}

/// The key of a cell, as the documentation of the family writes it.
pub fn cell_key(cell: &[i64], level: Idx, shift: u32) -> u64 {
    let start = stream(u64::from(level as u32), shift);
    cell.iter().fold(start, |h, &c| mix64((h ^ c as u64).wrapping_add(GOLDEN)))
}

/// The cells within `rings` rings, in lexicographic order: the digits of a counter, the last dimension fastest.
pub fn neighbours(cell: &[i64], rings: i64) -> impl Iterator<Item = Vec<i64>> {
    let side = 2 * rings + 1;
    (0..side.pow(cell.len() as u32)).map(move |index| {
        let digit = |d: usize| index / side.pow((cell.len() - 1 - d) as u32) % side;
        cell.iter().enumerate().map(|(d, c)| c + digit(d) - rings).collect()
    })
}

/// The leader of each key.
pub fn leaders(keys: &[u64], ids: &[Idx], seed: u64, level: Idx) -> BTreeMap<u64, Idx> {
    let mut leaders: BTreeMap<u64, (u64, Idx)> = BTreeMap::new();
    for (&key, &id) in keys.iter().zip(ids) {
        let entry = (leader_priority(seed, level, id), id);
        leaders.entry(key).and_modify(|best| *best = entry.min(*best)).or_insert(entry);
    }
    leaders.into_iter().map(|(key, (_, id))| (key, id)).collect()
}

/// The first leader within `radius` of each point, and how many pairs were looked at.
pub fn coverage(rows: &[Vec<f64>], points: &[Idx], candidates: &[Vec<Idx>], radius: f64) -> (Vec<Idx>, u64) {
    let mut tests = 0;
    let mut first = |(&point, candidates): (&Idx, &Vec<Idx>)| {
        let near = |&&leader: &&Idx| {
            tests += 1;
            let pair = rows[point as usize].iter().zip(&rows[leader as usize]);
            pair.map(|(x, y)| (x - y) * (x - y)).fold(0.0, |sum, square| sum + square).sqrt() <= radius
        };
        candidates.iter().find(near).copied().unwrap_or(NONE)
    };
    let leaders = points.iter().zip(candidates).map(&mut first).collect();
    (leaders, tests)
}
