//! Independent sets by their definitions.

use std::vec;
use std::vec::Vec;

use crate::hash::priority;
use crate::index::{Idx, at};
use crate::mis::{IN, INACTIVE, OPEN, OUT};
use crate::view::Csr;

/// The graph as a matrix of edges between different active vertices, in either direction.
fn edges(graph: &Csr<'_>, state: &[i32]) -> Vec<Vec<bool>> {
    let mut edges = vec![vec![false; graph.len()]; graph.len()];
    for (v, row) in (0..).zip(state) {
        for &u in graph.of(v) {
            if u != v && *row != INACTIVE && state[at(u)] != INACTIVE {
                edges[at(v)][at(u)] = true;
                edges[at(u)][at(v)] = true;
            }
        }
    }
    edges
}

/// Whether no two members are adjacent.
pub fn independent(graph: &Csr<'_>, state: &[i32]) -> bool {
    let edges = edges(graph, state);
    let members: Vec<usize> = (0..state.len()).filter(|&v| state[v] == IN).collect();
    members.iter().all(|&v| members.iter().all(|&u| !edges[v][u]))
}

/// Whether every active vertex is a member or dominated, and each dominated one has a member beside it.
pub fn maximal(graph: &Csr<'_>, state: &[i32]) -> bool {
    let edges = edges(graph, state);
    (0..state.len()).all(|v| match state[v] {
        IN | INACTIVE => true,
        OUT => (0..state.len()).any(|u| edges[v][u] && state[u] == IN),
        _ => false,
    })
}

/// One Luby round: the open vertices that come before all their open neighbours by (priority, vertex) are members,
/// the open neighbours of members are dominated.
pub fn luby_round(graph: &Csr<'_>, state: &[i32], seed: u64, round: u32) -> Vec<i32> {
    let edges = edges(graph, state);
    let rank = |v: usize| (priority(seed, round, v as Idx), v);
    let open: Vec<usize> = (0..state.len()).filter(|&v| state[v] == OPEN).collect();
    let mut next = state.to_vec();
    for &v in &open {
        if open.iter().all(|&u| !edges[v][u] || rank(v) < rank(u)) {
            next[v] = IN;
        }
    }
    let selected = next.clone();
    for v in open {
        if selected[v] == OPEN && (0..state.len()).any(|u| edges[v][u] && selected[u] == IN) {
            next[v] = OUT;
        }
    }
    next
}

/// Luby rounds until no vertex is open.
pub fn mis(graph: &Csr<'_>, state: &[i32], seed: u64) -> Vec<i32> {
    let mut state = state.to_vec();
    for round in 0.. {
        if !state.contains(&OPEN) {
            break;
        }
        state = luby_round(graph, &state, seed, round);
    }
    state
}

/// The open vertices one after another: dominated if a neighbour is a member by then, else a member.
pub fn greedy(graph: &Csr<'_>, state: &[i32]) -> Vec<i32> {
    let edges = edges(graph, state);
    let mut next = state.to_vec();
    for v in 0..next.len() {
        if next[v] == OPEN {
            next[v] = if (0..next.len()).any(|u| edges[v][u] && next[u] == IN) { OUT } else { IN };
        }
    }
    next
}

/// Twice: what breaks a law becomes open again; then [`greedy`].
pub fn repair(graph: &Csr<'_>, state: &[i32]) -> Vec<i32> {
    let edges = edges(graph, state);
    let mut state = state.to_vec();
    for _ in 0..2 {
        let old = state.clone();
        let member_beside = |v: usize, limit: usize| (0..limit).any(|u| edges[v][u] && old[u] == IN);
        for v in 0..old.len() {
            let broken = match old[v] {
                IN => member_beside(v, v),
                OUT => !member_beside(v, old.len()),
                _ => false,
            };
            if broken {
                state[v] = OPEN;
            }
        }
    }
    greedy(graph, &state)
}
