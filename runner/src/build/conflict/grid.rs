//! Proposals by cells: the points of a level fall into the cells of a few shifted grids, and one of each cell leads it.
//!
//! No distance is computed and no pair is stored before the leaders are stitched. Points with coordinates lie no farther
//! apart along an axis than their distance, so that a cell as wide as the radius of the level holds points that are
//! mostly in each other's way, and its leader covers most of it.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::grid::{CellTable, Grid, GridCounters, cell_keys, cell_table_blocks, grid_offsets};
use covertree_kernels::index::{Idx, at};
use covertree_kernels::view::Rows;

use super::proposals;
use crate::build::crowd::Crowd;
use crate::build::telemetry::LevelRow;
use crate::parallel;

/// Most axes that cells are made of; with more, almost every point has a cell of its own.
pub(in crate::build) const AXES_MAX: usize = 8;

/// Points that one task reads the coordinates of.
const CHUNK: usize = 1024;

pub(super) fn settle(crowd: &mut Crowd<'_>) {
    proposals::settle(crowd, &mut |crowd, round, open, row| leaders(crowd, round, open, row));
}

/// The leaders of all cells of all shifts.
fn leaders(crowd: &Crowd<'_>, round: u32, open: &[Idx], row: &mut LevelRow) -> Vec<Idx> {
    let axes = crowd.scene.axes();
    let mut coordinates = vec![0.0; axes * open.len()];
    parallel::chunks(&mut coordinates, axes * CHUNK, &|chunk, out| {
        for (out, &place) in out.chunks_exact_mut(axes).zip(&open[chunk * CHUNK..]) {
            let slot = crowd.slots[at(place)];
            out.iter_mut().enumerate().for_each(|(axis, out)| *out = crowd.scene.coordinate(slot, axis));
        }
    });
    let rows = Rows::new(&coordinates, axes).expect("whole rows");
    let shifts = crowd.config.grid_shifts;
    let tables = parallel::pieces(shifts as usize, 1, &|shift| {
        // Every round has grids of its own: what one left uncovered, the next one cuts differently.
        let shift = round.wrapping_mul(shifts).wrapping_add(shift.start as u32); // at most 4
        cell_leaders(crowd, rows, open, row.level, shift)
    });
    let mut leads = vec![false; open.len()];
    for (table, counters) in tables {
        row.grid_cells += counters.cells;
        leads.iter_mut().zip(table).for_each(|(leads, leader)| *leads |= leader);
    }
    open.iter().zip(leads).filter(|(_, leads)| *leads).map(|(&place, _)| place).collect()
}

/// For each open place, whether it leads its cell; and the work of the table.
fn cell_leaders(
    crowd: &Crowd<'_>,
    rows: Rows<'_, f64>,
    open: &[Idx],
    level: i32,
    shift: u32,
) -> (Vec<bool>, GridCounters) {
    let (width, seed, mut counters) = (crowd.ladder.radius(level), crowd.config.seed, GridCounters::default());
    let mut offsets = vec![0.0; rows.dim()];
    let made = grid_offsets(seed, level, shift, width, &mut offsets);
    let Ok(grid) = made.and_then(|()| Grid::new(width, &offsets, level, shift)) else {
        // Below the lowest radius there are no cells, and no conflicts either.
        return (vec![true; open.len()], counters);
    };
    let mut keys = vec![0; open.len()];
    let all: Vec<Idx> = (0..open.len() as Idx).collect(); // places of a batch, which are counted
    cell_keys(rows, &all, &grid, &mut keys).expect("one row per place");
    let mut memory = vec![Block::default(); cell_table_blocks(keys.len())];
    let table = CellTable::build(&keys, open, seed, level, &mut Arena::new(&mut memory), &mut counters)
        .expect("sized for the keys");
    let leads = keys.iter().zip(open).map(|(&key, &place)| table.leader(key) == place).collect();
    (leads, counters)
}
