//! Leaders of cells: an open-addressing table in the caller's memory.

use super::GridCounters;
use crate::arena::{Arena, blocks};
use crate::error::{KernelError, want};
use crate::hash::priority;
use crate::index::{Idx, NONE, at, idx_len};

/// A key and the leader of its cell. A leader is an [`Idx`] of 32 bits; [`FREE`] marks a free place.
type Slot = [u64; 2];

/// No leader: what no 32-bit index is.
const FREE: u64 = u64::MAX;

/// Points per cell that the first attempt at a table hopes for.
const POINTS_PER_CELL: usize = 4;

/// Places of a table for `len` points: at least twice as many, a power of two.
const fn capacity(len: usize) -> usize {
    match len.saturating_mul(2).checked_next_power_of_two() {
        Some(places) => places,
        None => usize::MAX,
    }
}

/// Blocks that [`CellTable::build`] takes for `len` points.
pub const fn cell_table_blocks(len: usize) -> usize {
    blocks::<Slot>(capacity(len))
}

/// The priority of a point in the contest for its cell: the least one leads.
///
/// A hash of (id, level, seed), injective in the id, so that points never tie; were two equal, the lower id would lead.
#[inline(always)]
pub const fn leader_priority(seed: u64, level: Idx, id: Idx) -> u64 {
    priority(seed, level as u32, id) // a level of any sign, as bits
}

/// The leader of each occupied cell: its point of least ([`leader_priority`], id).
///
/// Linear probing from the low bits of the key, which is mixed already, with at most half of the places taken. Which
/// place a key gets depends on the order of entry; who leads its cell does not.
#[derive(Debug)]
pub struct CellTable<'a> {
    slots: &'a [Slot],
    cells: Idx,
}

impl<'a> CellTable<'a> {
    /// Enters the points `ids` with the keys of their cells (from [`cell_keys`](super::cell_keys)).
    ///
    /// Sequential; build the tables of different shifts at the same time instead.
    ///
    /// | argument | shape |
    /// | --- | --- |
    /// | `keys`, `ids` | `[points]`; ids not negative |
    /// | `arena` | [`cell_table_blocks`]`(points)` blocks, which the table keeps |
    ///
    /// # Errors
    /// [`KernelError::Shape`] when the lengths differ, [`KernelError::TooLong`], [`KernelError::Value`] at the first
    /// negative id, [`KernelError::Scratch`]. Nothing is written then.
    ///
    /// # Cost
    /// One random access per point, and one mix each for the point and the leader that it meets; up to twice that where
    /// cells hold few points.
    pub fn build(
        keys: &[u64],
        ids: &[Idx],
        seed: u64,
        level: Idx,
        arena: &mut Arena<'a>,
        counters: &mut GridCounters,
    ) -> Result<Self, KernelError> {
        want("ids", keys.len(), ids.len())?;
        idx_len(keys.len())?;
        if let Some(place) = ids.iter().position(|&id| id < 0) {
            return Err(KernelError::Value { what: "ids", at: place });
        }
        let memory = arena.take::<Slot>(capacity(keys.len()))?;
        // Cells are usually far fewer than points, and a small table stays in the cache: start small, and start again
        // with twice the places when half of them are taken. The whole memory always suffices.
        let mut places = capacity(keys.len() / POINTS_PER_CELL);
        let cells = loop {
            match fill(&mut memory[..places], keys, ids, seed, level, counters) {
                Some(cells) => break cells,
                None => places *= 2,
            }
        };
        counters.cells += at(cells) as u64; // widens
        let slots = &memory[..places];
        Ok(Self { slots, cells })
    }

    /// Number of occupied cells.
    pub fn cells(&self) -> Idx {
        self.cells
    }

    /// The leader of the cell with this key, [`NONE`] when nobody is in it.
    #[inline(always)]
    pub fn leader(&self, key: u64) -> Idx {
        self.look_up(key, &mut 0)
    }

    /// [`leader`](Self::leader), adding the places that were passed before its own.
    #[inline(always)]
    fn look_up(&self, key: u64, passed: &mut u64) -> Idx {
        let leader = self.slots[place_of(self.slots, self.slots.len() - 1, key, passed)][1];
        if leader == FREE { NONE } else { leader as Idx }
    }

    /// The leaders of the occupied cells among `keys`, in the order of the keys; returns how many there are.
    ///
    /// | argument | shape |
    /// | --- | --- |
    /// | `keys` | for example from [`neighbour_keys`](super::neighbour_keys) |
    /// | `leaders` | `[keys]`: the front is overwritten, the rest keeps its contents |
    ///
    /// # Errors
    /// [`KernelError::Shape`] when `leaders` does not fit; nothing is written then.
    ///
    /// # Cost
    /// One random access per key.
    pub fn find(&self, keys: &[u64], leaders: &mut [Idx], counters: &mut GridCounters) -> Result<Idx, KernelError> {
        want("leaders", keys.len(), leaders.len())?;
        idx_len(keys.len())?;
        let (mut count, mut passed) = (0, 0);
        for &key in keys {
            let leader = self.look_up(key, &mut passed);
            if leader != NONE {
                leaders[at(count)] = leader;
                count += 1;
            }
        }
        counters.keys += keys.len() as u64; // widens
        counters.slots += keys.len() as u64 + passed; // the own place of each, and those before it
        counters.found += at(count) as u64; // widens
        Ok(count)
    }
}

/// Fills a table; gives up when more than half of its places would be taken. Returns the number of cells.
fn fill(
    slots: &mut [Slot],
    keys: &[u64],
    ids: &[Idx],
    seed: u64,
    level: Idx,
    counters: &mut GridCounters,
) -> Option<Idx> {
    slots.fill([0, FREE]);
    let (mask, most) = (slots.len() - 1, slots.len() / 2);
    let (mut cells, mut passed, mut entered) = (0, 0, keys.len());
    for (row, (&key, &id)) in keys.iter().zip(ids).enumerate() {
        let slot = &mut slots[place_of(slots, mask, key, &mut passed)];
        if slot[1] == FREE {
            cells += 1;
            *slot = [key, at(id) as u64];
            if at(cells) > most {
                entered = row + 1;
                break;
            }
        } else {
            // Written always: who wins cannot be guessed, so there should be no branch on it.
            slot[1] = if beats(id, slot[1] as Idx, seed, level) { at(id) as u64 } else { slot[1] };
        }
    }
    counters.fills += 1;
    counters.keys += entered as u64; // widens
    counters.slots += entered as u64 + passed; // the own place of each, and those before it
    (at(cells) <= most).then_some(cells)
}

/// The place of `key`, or the free one where it belongs. There is a free one: at most
/// half of the places are taken.
///
/// Adds the other places on the way to `passed`: there are few, so that most keys pay nothing for the count.
#[inline(always)]
fn place_of(slots: &[Slot], mask: usize, key: u64, passed: &mut u64) -> usize {
    let mut place = key as usize & mask; // the low bits of a mixed key
    while slots[place][1] != FREE && slots[place][0] != key {
        place = (place + 1) & mask;
        *passed += 1;
    }
    place
}

/// Whether `id` leads in place of `leader`.
#[inline(always)]
fn beats(id: Idx, leader: Idx, seed: u64, level: Idx) -> bool {
    (leader_priority(seed, level, id), id) < (leader_priority(seed, level, leader), leader)
}

/// Marks the points that lead their cells; returns how many were not marked before.
///
/// | argument | shape |
/// | --- | --- |
/// | `keys`, `ids` | a range of the points that the table was built from |
/// | `marks` | `[range]`: set to 1 at a leader, else left alone, so calls for several shifts make their union |
///
/// # Errors
/// [`KernelError::Shape`] when the lengths differ; nothing is written then.
///
/// # Cost
/// One random access per point.
pub fn mark_leaders(
    table: &CellTable<'_>,
    keys: &[u64],
    ids: &[Idx],
    marks: &mut [u8],
    counters: &mut GridCounters,
) -> Result<Idx, KernelError> {
    want("ids", keys.len(), ids.len())?;
    want("marks", keys.len(), marks.len())?;
    idx_len(keys.len())?;
    let (mut fresh, mut passed) = (0, 0);
    for ((&key, &id), mark) in keys.iter().zip(ids).zip(marks) {
        if table.look_up(key, &mut passed) == id && *mark != 1 {
            *mark = 1;
            fresh += 1;
        }
    }
    counters.keys += keys.len() as u64; // widens
    counters.slots += keys.len() as u64 + passed; // the own place of each, and those before it
    Ok(fresh)
}
