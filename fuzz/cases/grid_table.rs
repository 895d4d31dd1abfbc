//! Leaders by table and by map, marks in two parts, and the points that leaders cover.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::grid::*;
use covertree_kernels::group::Groups;
use covertree_kernels::hash::mix64;
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::oracle::grid as oracle;
use covertree_kernels::view::Rows;

pub fn check(data: &[u8]) {
    let mut bytes = super::Bytes(data);
    let (len, dim, mixed) = (bytes.below(80), 1 + bytes.below(4), bytes.u8() % 4 > 0);
    let (seed, level, cut) = (bytes.u64(), Idx::from(bytes.u8()) - 128, bytes.below(len + 1));
    // Keys that are not mixed collide in the table: slower, never wrong.
    let keys: Vec<u64> =
        (0..len).map(|_| u64::from(bytes.u8())).map(|key| if mixed { mix64(key) } else { key }).collect();
    let ids: Vec<Idx> = (0..len as Idx).rev().collect();

    let mut memory = vec![Block::splat(77); cell_table_blocks(len)];
    let mut built = GridCounters::default();
    let table = CellTable::build(&keys, &ids, seed, level, &mut Arena::new(&mut memory), &mut built)
        .expect("the memory suffices");
    let want = oracle::leaders(&keys, &ids, seed, level);
    assert_eq!((table.cells() as usize, built.cells), (want.len(), want.len() as u64));
    assert!((len as u64..=built.fills * len as u64).contains(&built.keys) && built.keys <= built.slots);
    let mut marks = vec![0; len];
    let (head, tail) = marks.split_at_mut(cut);
    let (mut marked, mut looked_up) = (GridCounters::default(), GridCounters::default());
    let fresh = mark_leaders(&table, &keys[cut..], &ids[cut..], tail, &mut marked).expect("the shapes fit")
        + mark_leaders(&table, &keys[..cut], &ids[..cut], head, &mut marked).expect("the shapes fit");
    assert_eq!(fresh, table.cells());
    let mut found = vec![-9; len];
    assert_eq!(table.find(&keys, &mut found, &mut looked_up), Ok(len as Idx));
    assert_eq!((looked_up.keys, looked_up.found), (len as u64, len as u64));
    looked_up.found = 0;
    assert_eq!(marked, looked_up);
    assert!(looked_up.slots >= looked_up.keys && looked_up.slots <= built.slots);
    for place in 0..len {
        assert_eq!(found[place], want[&keys[place]]);
        assert_eq!(marks[place] == 1, found[place] == ids[place]);
        assert_eq!(table.leader(!keys[place]), want.get(&!keys[place]).copied().unwrap_or(NONE));
    }

    let points: Vec<f64> = (0..dim * len).map(|_| bytes.coordinate()).collect();
    let radius = bytes.coordinate().abs();
    let starts: Vec<Idx> = (0..=len as Idx).collect();
    let candidates = Groups::new(&starts, &found, len as Idx).expect("one candidate each");
    let mut covers = EuclideanWithin::new(Rows::new(&points, dim).expect("whole rows"), radius);
    let mut leaders = vec![-9; len];
    let mut counters = GridCounters::default();
    coverage(&ids, candidates, &mut covers, &mut leaders, &mut counters).expect("the shapes fit");
    let covered = leaders.iter().filter(|&&leader| leader != NONE).count() as u64;
    assert_eq!((counters.points, counters.covered), (len as u64, covered));
    let plain: Vec<Vec<f64>> = points.chunks(dim).map(<[f64]>::to_vec).collect();
    let lists: Vec<Vec<Idx>> = found.iter().map(|&leader| vec![leader]).collect();
    assert_eq!((leaders, counters.tests), oracle::coverage(&plain, &ids, &lists, radius));
}
