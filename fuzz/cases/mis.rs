//! Independent sets of any graph from any state, against their definitions.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::index::Idx;
use covertree_kernels::mis::*;
use covertree_kernels::oracle::mis as oracle;
use covertree_kernels::view::Csr;

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (n, m, seed) = (bytes.below(24), bytes.below(64), bytes.u64());
    let cut = bytes.below(n + 1);
    let state: Vec<i32> = (0..n).map(|_| i32::from(bytes.u8() % 4)).collect();
    let mut rows: Vec<Vec<Idx>> = vec![vec![]; n];
    for _ in 0..if n == 0 { 0 } else { m } {
        let (a, b) = (usize::from(bytes.u8()) % n, usize::from(bytes.u8()) % n);
        rows[a].push(b as Idx);
        rows[b].push(a as Idx);
    }
    let mut starts = vec![0];
    starts.extend(rows.iter().scan(0, |sum, row| {
        *sum += row.len() as Idx;
        Some(*sum)
    }));
    let targets = rows.concat();
    let graph = Csr::new(&starts, &targets).expect("the graph is well formed");

    let laws = oracle::independent(&graph, &state) && oracle::maximal(&graph, &state);
    assert_eq!(verify_mis(&graph, &state) == Ok(None), laws);
    repaired(&graph, &state, cut);
    let masked: Vec<i32> = state.iter().map(|&state| if state == INACTIVE { INACTIVE } else { OPEN }).collect();
    selected(&graph, &masked, seed, cut);
}

/// Any state, repaired; and its two phases in two ranges.
fn repaired(graph: &Csr<'_>, state: &[i32], cut: usize) {
    let mut repaired = state.to_vec();
    let mut counters = MisCounters::default();
    repair(graph, &mut repaired, &mut counters).expect("the shapes fit");
    assert_eq!(repaired, oracle::repair(graph, state));
    assert_eq!(verify_mis(graph, &repaired), Ok(None));
    let (mut split, mut next, mut reopened) = (state.to_vec(), vec![-7; state.len()], 0);
    for _ in 0..2 {
        let (low, high) = next.split_at_mut(cut);
        reopened += reopen(graph, &split, cut as Idx, high).expect("the shapes fit");
        reopened += reopen(graph, &split, 0, low).expect("the shapes fit");
        split.copy_from_slice(&next);
        next.fill(-7);
    }
    complete(graph, &mut split, &mut counters).expect("the shapes fit");
    assert_eq!((split, i64::from(reopened)), (repaired, counters.reopened as i64));
}

/// Open and inactive vertices: all rounds, the fast form, and one round in two ranges.
fn selected(graph: &Csr<'_>, state: &[i32], seed: u64, cut: usize) {
    let mut memory = vec![Block::splat(u32::MAX); mis_blocks(state.len())];
    let (mut arena, mut counters) = (Arena::new(&mut memory), MisCounters::default());
    let mut all = state.to_vec();
    mis(graph, seed, &mut all, &mut arena, &mut counters).expect("the shapes fit");
    assert_eq!(all, oracle::mis(graph, state, seed));
    let (mut round, mut fast) = (state.to_vec(), state.to_vec());
    luby_round(graph, seed, 0, &mut round, &mut arena, &mut counters).expect("the shapes fit");
    mis_fast(graph, seed, 1, &mut fast, &mut arena, &mut counters).expect("the shapes fit");
    assert_eq!(fast, oracle::greedy(graph, &round));
    assert_eq!((verify_mis(graph, &all), verify_mis(graph, &fast)), (Ok(None), Ok(None)));

    let (mut chosen, mut next) = (vec![-7; state.len()], vec![-7; state.len()]);
    let (low, high) = chosen.split_at_mut(cut);
    luby_select(graph, state, seed, 0, cut as Idx, high).expect("the shapes fit");
    luby_select(graph, state, seed, 0, 0, low).expect("the shapes fit");
    let (low, high) = next.split_at_mut(cut);
    luby_exclude(graph, &chosen, cut as Idx, high).expect("the shapes fit");
    luby_exclude(graph, &chosen, 0, low).expect("the shapes fit");
    assert_eq!(next, round);
    assert_eq!(round, oracle::luby_round(graph, state, seed, 0));
}
