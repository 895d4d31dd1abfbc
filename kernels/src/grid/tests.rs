use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::arena::{Arena, Block};
use crate::error::KernelError;
use crate::group::Groups;
use crate::hash::mix64;
use crate::index::{Idx, NONE, at};
use crate::oracle::grid as oracle;
use crate::trials;
use crate::view::Rows;

/// Points on a coarse lattice with some noise, so that cells hold several.
fn points(len: usize, dim: usize) -> Vec<f64> {
    (0..(len * dim) as u64).map(|i| (mix64(i) % 40) as f64 / 4.0 - 5.0 + (i % 2) as f64 * 1e-3).collect()
}

#[test]
fn cell_keys_match_oracle() {
    for dim in [1, 2, 3, 5, 9] {
        let data = points(50, dim);
        let single: Vec<f32> = data.iter().map(|&x| x as f32).collect();
        let wide: Vec<f64> = single.iter().map(|&x| f64::from(x)).collect();
        let ids: Vec<Idx> = (0..50).rev().step_by(3).collect();
        for (level, shift, width) in [(-3, 0, 0.7), (5, 1, 1e-9), (0, 7, 1e20)] {
            let mut offsets = vec![9.0; dim];
            grid_offsets(42, level, shift, width, &mut offsets).unwrap();
            assert!(offsets.iter().all(|offset| (0.0..width).contains(offset)));
            let grid = Grid::new(width, &offsets, level, shift).unwrap();
            assert_eq!((grid.dim(), grid.width()), (dim, width));
            let key = |data: &[f64], id: Idx| {
                let row = &data[at(id) * dim..(at(id) + 1) * dim];
                oracle::cell_key(&oracle::cell(row, &offsets, width), level, shift)
            };
            let (mut keys, mut keys_single) = (vec![1; ids.len()], vec![2; ids.len()]);
            cell_keys(Rows::new(&data, dim).unwrap(), &ids, &grid, &mut keys).unwrap();
            cell_keys(Rows::new(&single, dim).unwrap(), &ids, &grid, &mut keys_single).unwrap();
            assert_eq!(keys, ids.iter().map(|&id| key(&data, id)).collect::<Vec<_>>());
            assert_eq!(keys_single, ids.iter().map(|&id| key(&wide, id)).collect::<Vec<_>>());
        }
    }
}

#[test]
fn cells_are_floors_and_do_not_overflow() {
    let grid = Grid::new(2.0, &[0.0], 0, 0).unwrap();
    let far = 1i64 << 62;
    for (x, cell) in [
        (-2.0, -1),
        (-0.5, -1),
        (-0.0, 0),
        (0.0, 0),
        (1.999, 0),
        (2.0, 1),
        (-2.0000001, -2),
        (2f64.powi(52) + 1.0, 1 << 51),
        (-2f64.powi(52) - 1.0, -(1 << 51) - 1),
        (2f64.powi(52) - 1.0, (1 << 51) - 1),
        (-2f64.powi(52) + 1.0, -(1 << 51)),
        (1e300, far),
        (-1e300, -far),
        (f64::MAX, far),
        (f64::INFINITY, far),
        (f64::NEG_INFINITY, -far),
        (f64::NAN, 0),
    ] {
        assert_eq!(grid.cell(0, x), cell, "{x}");
    }
    let mut keys = [0; 3];
    neighbour_keys(&[f64::MAX], &grid, 1, &mut keys).unwrap();
    assert_eq!(keys, [far - 1, far, far + 1].map(|cell| oracle::cell_key(&[cell], 0, 0)));
}

#[test]
fn neighbour_keys_match_oracle() {
    for (dim, rings) in trials::thin(2, [(1, 0), (1, 1), (1, 5), (5, 2), (2, 2), (8, 1), (3, 1), (2, 1)]) {
        let offsets = vec![0.25; dim];
        let grid = Grid::new(0.5, &offsets, -1, 2).unwrap();
        let row: Vec<f64> = (0..dim).map(|d| d as f64 * 1.7 - 3.0).collect();
        let count = neighbour_count(dim, rings).unwrap();
        let mut keys = vec![0; count];
        neighbour_keys(&row, &grid, rings, &mut keys).unwrap();
        let cell = oracle::cell(&row, &offsets, 0.5);
        let cells = oracle::neighbours(&cell, i64::from(rings));
        assert_eq!(keys, cells.map(|cell| oracle::cell_key(&cell, -1, 2)).collect::<Vec<_>>());
        assert_eq!(keys[count / 2], grid.key(&row), "its own cell stands in the middle");
    }
}

#[test]
fn too_many_neighbours_are_refused_early() {
    let dim = |at| Err(KernelError::Value { what: "dim", at });
    assert_eq!(neighbour_count(8, 1), Ok(NEIGHBOURS_MAX));
    assert_eq!(
        (neighbour_count(9, 1), neighbour_count(usize::MAX, 1), neighbour_count(6, 2)),
        (dim(9), dim(usize::MAX), dim(6))
    );
    assert_eq!((neighbour_count(usize::MAX, 0), neighbour_count(5, 2)), (Ok(1), Ok(3125)));
    assert_eq!(neighbour_count(1, u32::MAX), Err(KernelError::Value { what: "rings", at: 0 }));
    assert_eq!(neighbour_count(0, 1), Err(KernelError::Least { what: "dim", least: 1, got: 0 }));
    let grid = Grid::new(1.0, &[0.0; 9], 0, 0).unwrap();
    let mut keys = [7; 2];
    assert_eq!(neighbour_keys(&[0.0; 9], &grid, 1, &mut keys).err(), dim(9).err());
    assert_eq!(keys, [7; 2]);
}

#[test]
fn levels_and_shifts_have_keys_of_their_own() {
    let (mut keys, mut all) = (BTreeSet::new(), 0);
    for level in trials::thin(9, -20..20) {
        for shift in 0..4 {
            let grid = Grid::new(1.0, &[0.0; 2], level, shift).unwrap();
            for x in 0..10 {
                for y in 0..10 {
                    keys.insert(grid.key(&[f64::from(x), f64::from(y)]));
                    all += 1;
                }
            }
        }
    }
    assert_eq!(keys.len(), all);
}

#[test]
fn offsets_depend_on_seed_level_shift_and_dimension() {
    let mut seen = BTreeSet::new();
    for (seed, level, shift) in [(1, 0, 0), (2, 0, 0), (1, 1, 0), (1, -1, 0), (1, 0, 1), (0, 1, 1)] {
        let mut offsets = [0.0f64; 3];
        grid_offsets(seed, level, shift, 1.0, &mut offsets).unwrap();
        seen.extend(offsets.map(f64::to_bits));
    }
    assert_eq!(seen.len(), 18);
}

#[test]
fn points_within_the_ring_width_are_in_neighbouring_cells() {
    // The worst case of rounding: points a hair below a border, and their partners the ring width away.
    for width in [1.0, 0.1, 3.3e-7, 7e11] {
        for offset in [0.0, 0.37 * width] {
            let offsets = [offset];
            let grid = Grid::new(width, &offsets, 0, 0).unwrap();
            for base in [0i64, 1, 3, 1_000, 123_456_789, 1 << 40, -5, -(1 << 45)] {
                let mut x = (base as f64) * width - offset - width * 1e-9;
                for _ in 0..200 {
                    x = x.next_up();
                    let largest = grid.cell(0, x).unsigned_abs() as i64 + 2;
                    let y = x + ring_width(width, largest);
                    let y = if y - x > ring_width(width, largest) { y.next_down() } else { y };
                    assert!(grid.cell(0, y) - grid.cell(0, x) <= 1, "{width} {offset} {base} {x} {y}");
                }
            }
        }
    }
    assert_eq!((ring_width(1.0, 1 << 51), ring_width(1.0, i64::MIN), ring_width(1.0, i64::MAX)), (0.0, 0.0, 0.0));
    assert!(ring_width(1.0, 10) < 1.0 && ring_width(1.0, 10) > 1.0 - 1e-14);
}

/// Runs the whole proposal: keys, table, marks, coverage by the leader of the own cell.
fn check_table(keys: &[u64], ids: &[Idx], seed: u64, level: Idx, cut: usize) {
    let mut memory = vec![Block::splat(0xabcd); cell_table_blocks(keys.len())];
    let mut arena = Arena::new(&mut memory);
    let (len, mut built) = (keys.len() as u64, GridCounters::default());
    let table = CellTable::build(keys, ids, seed, level, &mut arena, &mut built).unwrap();
    let want = oracle::leaders(keys, ids, seed, level);
    assert_eq!((at(table.cells()), built.cells, built.found), (want.len(), want.len() as u64, 0));
    assert!(built.fills >= 1 && (len..=built.fills * len).contains(&built.keys) && built.keys <= built.slots);
    for (&key, &leader) in &want {
        assert_eq!(table.leader(key), leader);
        assert_eq!(table.leader(!key), want.get(&!key).copied().unwrap_or(NONE));
    }
    let (mut marks, mut again) = (vec![0; ids.len()], vec![0; ids.len()]);
    let (mut whole, mut split) = (GridCounters::default(), GridCounters::default());
    let fresh = mark_leaders(&table, keys, ids, &mut marks, &mut whole).unwrap();
    let (k, i, m) = (keys.split_at(cut), ids.split_at(cut), again.split_at_mut(cut));
    let parts = mark_leaders(&table, k.1, i.1, m.1, &mut split).unwrap()
        + mark_leaders(&table, k.0, i.0, m.0, &mut split).unwrap();
    assert_eq!((fresh, &marks, whole), (parts, &again, split));
    assert_eq!(mark_leaders(&table, keys, ids, &mut marks, &mut split), Ok(0), "nothing is new");
    assert_eq!(whole, GridCounters { keys: len, slots: whole.slots, ..GridCounters::default() });
    assert!(whole.slots >= len && whole.slots <= built.slots, "no key lies farther than where it was entered");
    for ((key, id), mark) in keys.iter().zip(ids).zip(&marks) {
        assert_eq!(*mark == 1, want[key] == *id);
    }
    let mut found = vec![-5; keys.len()];
    let mut looked_up = GridCounters::default();
    assert_eq!(table.find(keys, &mut found, &mut looked_up), Ok(keys.len() as Idx));
    assert_eq!(looked_up, GridCounters { found: len, ..whole });
    let absent: Vec<u64> = keys.iter().map(|key| !key).filter(|key| !want.contains_key(key)).collect();
    looked_up = GridCounters::default();
    assert_eq!(table.find(&absent, &mut vec![0; absent.len()], &mut looked_up), Ok(0));
    assert_eq!((looked_up.keys, looked_up.found), (absent.len() as u64, 0));
    assert!(looked_up.slots >= looked_up.keys);
    assert_eq!(found, keys.iter().map(|key| want[key]).collect::<Vec<_>>());
}

#[test]
fn tables_of_any_size_match_oracle() {
    for len in [0, 1, 2, 3, 31, 32, 33, 500] {
        for cells in [1, 5, 1000] {
            let keys: Vec<u64> = (0..len).map(|i| mix64(mix64(i) % cells)).collect();
            let ids: Vec<Idx> = (0..len as Idx).map(|id| id * 7 % 1009).collect();
            check_table(&keys, &ids, 3, -2, len as usize / 3);
        }
    }
}

#[test]
fn keys_that_share_their_low_bits_and_the_extreme_keys_are_told_apart() {
    let keys: Vec<u64> = (0..40).map(|i| i << 58).chain([0, u64::MAX, u64::MAX - 1]).collect();
    let ids: Vec<Idx> = (0..43).collect();
    check_table(&keys, &ids, 0, 0, 7);
}

#[test]
fn every_fill_and_every_place_is_counted() {
    let counts = |keys: &[u64], looked_up: &[u64]| {
        let (mut memory, ids) = (vec![Block::splat(9); cell_table_blocks(keys.len())], vec![0; keys.len()]);
        let (mut built, mut found) = (GridCounters::default(), GridCounters::default());
        let table = CellTable::build(keys, &ids, 0, 0, &mut Arena::new(&mut memory), &mut built).unwrap();
        table.find(looked_up, &mut vec![0; looked_up.len()], &mut found).unwrap();
        (built, found)
    };
    let none = GridCounters::default();
    // The first 64 integers are at home in places of their own. 16 and 32 cells are the most that 32 and 64 places hold.
    let keys: Vec<u64> = (0..64).collect();
    let built = GridCounters { fills: 3, keys: 17 + 33 + 64, slots: 17 + 33 + 64, cells: 64, ..none };
    assert_eq!(
        counts(&keys, &[63, 64, 0, 127, 128]),
        (built, GridCounters { keys: 5, slots: 4 + 65, found: 2, ..none })
    );
    // One home for all: each passes those before it.
    let keys: Vec<u64> = (0..8).map(|i| i << 58).collect();
    let built = GridCounters { fills: 3, keys: 3 + 5 + 8, slots: 6 + 15 + 36, cells: 8, ..none };
    assert_eq!(counts(&keys, &keys), (built, GridCounters { keys: 8, slots: 36, found: 8, ..none }));
    let built = GridCounters { fills: 1, keys: 100, slots: 100, cells: 1, ..none };
    assert_eq!(counts(&[7; 100], &[7, 8]), (built, GridCounters { keys: 2, slots: 2, found: 1, ..none }));
    let mut sum = built;
    sum.merge(&built);
    assert_eq!(sum, GridCounters { fills: 2, keys: 200, slots: 200, cells: 2, ..none });
}

#[test]
fn coverage_matches_oracle_and_a_closure() {
    let data = points(60, 3);
    let rows = Rows::new(&data, 3).unwrap();
    let plain: Vec<Vec<f64>> = data.chunks(3).map(<[f64]>::to_vec).collect();
    let ids: Vec<Idx> = (0..60).step_by(2).collect();
    let lists: Vec<Vec<Idx>> = ids
        .iter()
        .map(|&id| (0..mix64(id as u64) % 5).map(|i| (mix64(i + 9 * id as u64) % 60) as Idx).collect())
        .collect();
    let mut starts = vec![0];
    starts.extend(lists.iter().scan(0, |sum, list| {
        *sum += list.len() as Idx;
        Some(*sum)
    }));
    let flat = lists.concat();
    let candidates = Groups::new(&starts, &flat, 60).unwrap();
    for radius in [0.0, 3.0, 5.0, 8.0, f64::INFINITY] {
        let mut within = EuclideanWithin::new(rows, radius);
        let (mut leaders, mut by_closure) = (vec![-9; ids.len()], vec![-9; ids.len()]);
        let (mut counters, mut again) = (GridCounters::default(), GridCounters::default());
        coverage(&ids, candidates, &mut within, &mut leaders, &mut counters).unwrap();
        let (want, tests) = oracle::coverage(&plain, &ids, &lists, radius);
        let covered = want.iter().filter(|&&leader| leader != NONE).count() as u64;
        let counts = GridCounters { points: 30, covered, tests, ..GridCounters::default() };
        assert_eq!((&leaders, counters), (&want, counts));
        assert!(covered <= tests && tests <= flat.len() as u64);
        let mut closure = |point, leader| within.covers(point, leader);
        coverage(&ids, candidates, &mut closure, &mut by_closure, &mut again).unwrap();
        assert_eq!((&by_closure, again), (&want, counts));
        counters.merge(&counts);
        assert_eq!(counters, GridCounters { points: 60, covered: 2 * covered, tests: 2 * tests, ..again });
    }
}

#[test]
fn wrong_arguments_are_refused_and_nothing_is_written() {
    let shape = |what, want, got| KernelError::Shape { what, want, got };
    let value = |what, at| KernelError::Value { what, at };
    let key = |at, key, limit| KernelError::Key { at, key, limit };
    assert_eq!(Grid::new(1.0, &[], 0, 0).err(), Some(KernelError::Least { what: "offsets", least: 1, got: 0 }));
    for width in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(Grid::new(width, &[0.0], 0, 0).err(), Some(value("width", 0)));
        let mut offsets = [5.0];
        assert_eq!(grid_offsets(0, 0, 0, width, &mut offsets), Err(value("width", 0)));
        assert_eq!(offsets, [5.0]);
    }
    assert_eq!(Grid::new(1.0, &[0.0, f64::NAN], 0, 0).err(), Some(value("offsets", 1)));
    let (rows, grid) = (Rows::new(&[0.0; 6], 2).unwrap(), Grid::new(1.0, &[0.0; 2], 0, 0).unwrap());
    let mut keys = [7; 2];
    let thin = Grid::new(1.0, &[0.0], 0, 0).unwrap();
    assert_eq!(cell_keys(rows, &[0, 1], &thin, &mut keys), Err(shape("grid", 2, 1)));
    assert_eq!(cell_keys(rows, &[0], &grid, &mut keys), Err(shape("keys", 1, 2)));
    assert_eq!(cell_keys(rows, &[0, 3], &grid, &mut keys), Err(key(1, 3, 3)));
    assert_eq!(cell_keys(rows, &[-1, 3], &grid, &mut keys), Err(key(0, -1, 3)));
    assert_eq!(neighbour_keys(&[0.0], &grid, 1, &mut keys), Err(shape("row", 2, 1)));
    assert_eq!(neighbour_keys(&[0.0; 2], &grid, 1, &mut keys), Err(shape("keys", 9, 2)));
    assert_eq!(keys, [7; 2]);

    let (need, mut counters) = (cell_table_blocks(2), GridCounters::default());
    let mut memory = vec![Block::splat(0); need];
    let refused = |keys: &[u64], ids: &[Idx], memory: &mut [Block]| {
        let mut counters = GridCounters::default();
        let error = CellTable::build(keys, ids, 0, 0, &mut Arena::new(memory), &mut counters).err();
        assert_eq!(counters, GridCounters::default());
        error
    };
    assert_eq!(refused(&[1, 2], &[1], &mut memory), Some(shape("ids", 2, 1)));
    assert_eq!(refused(&[1, 2], &[1, -1], &mut memory), Some(value("ids", 1)));
    assert_eq!(refused(&[1, 2], &[1, 2], &mut memory[1..]), Some(KernelError::Scratch { need, have: need - 1 }));
    let mut arena = Arena::new(&mut memory);
    let table = CellTable::build(&[1, 2], &[1, 2], 0, 0, &mut arena, &mut GridCounters::default()).unwrap();
    assert_eq!(arena.free(), 0);
    let (mut marks, mut found) = ([3; 2], [4; 2]);
    assert_eq!(mark_leaders(&table, &[1], &[1], &mut marks, &mut counters), Err(shape("marks", 1, 2)));
    assert_eq!(mark_leaders(&table, &[1, 2], &[1], &mut marks, &mut counters), Err(shape("ids", 2, 1)));
    assert_eq!(table.find(&[1], &mut found, &mut counters), Err(shape("leaders", 1, 2)));

    let candidates = Groups::new(&[0, 1, 2], &[0, 3], 4).unwrap();
    let mut within = EuclideanWithin::new(rows, 1.0);
    let mut refused =
        |points: &[Idx], leaders: &mut [Idx]| coverage(points, candidates, &mut within, leaders, &mut counters).err();
    assert_eq!(refused(&[0], &mut found[..1]), Some(shape("candidates", 1, 2)));
    assert_eq!(refused(&[0, 1], &mut found[..1]), Some(shape("leaders", 2, 1)));
    assert_eq!(refused(&[0, 1], &mut found), Some(key(1, 3, 3)));
    assert_eq!(refused(&[-1, 1], &mut found), Some(key(0, -1, 3)));
    assert_eq!((marks, found, counters), ([3; 2], [4; 2], GridCounters::default()));
}

proptest! {
    #![proptest_config(trials::cases(256))]

    #[test]
    fn any_keys_have_the_leaders_of_the_oracle(
        keys in vec(0..30u64, 0..120), spread in any::<bool>(), seed in any::<u64>(), level in any::<Idx>(), cut in 0..120usize
    ) {
        let keys: Vec<u64> = keys.into_iter().map(|key| if spread { mix64(key) } else { key }).collect();
        let ids: Vec<Idx> = (0..keys.len() as Idx).rev().collect();
        check_table(&keys, &ids, seed, level, cut.min(keys.len()));
    }

    #[test]
    fn any_coordinate_is_in_the_cell_of_the_oracle(x in any::<f64>(), offset in -1e3..1e3f64, width in 1e-6..1e6f64) {
        let offsets = [offset];
        let cell = Grid::new(width, &offsets, 0, 0).unwrap().cell(0, x);
        prop_assert_eq!(cell, oracle::cell(&[x], &offsets, width)[0]);
    }
}
