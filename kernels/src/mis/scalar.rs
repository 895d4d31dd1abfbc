//! Bodies: states and shapes are checked. There is no form over lanes: the time goes into reads at random places.

use super::{IN, MisCounters, OPEN, OUT, Violation, beats};
use crate::hash::priority;
use crate::index::{Idx, at};
use crate::view::Csr;

/// Whether a neighbour other than `vertex` itself is a member.
#[inline(always)]
fn has_member(graph: &Csr<'_>, state: &[i32], vertex: Idx) -> bool {
    graph.of(vertex).iter().any(|&neighbour| state[at(neighbour)] == IN && neighbour != vertex)
}

/// Whether the open `vertex` wins against all of its open neighbours.
#[inline(always)]
fn wins(graph: &Csr<'_>, state: &[i32], seed: u64, round: u32, vertex: Idx) -> bool {
    let mine = priority(seed, round, vertex);
    !graph.of(vertex).iter().any(|&rival| state[at(rival)] == OPEN && beats(seed, round, rival, mine, vertex))
}

pub(super) fn select(graph: &Csr<'_>, state: &[i32], seed: u64, round: u32, first: Idx, next: &mut [i32]) -> Idx {
    let mut selected = 0;
    for (next, vertex) in next.iter_mut().zip(first..) {
        *next = state[at(vertex)];
        if *next == OPEN && wins(graph, state, seed, round, vertex) {
            *next = IN;
            selected += 1;
        }
    }
    selected
}

pub(super) fn exclude(graph: &Csr<'_>, state: &[i32], first: Idx, next: &mut [i32]) -> Idx {
    let mut open = 0;
    for (next, vertex) in next.iter_mut().zip(first..) {
        *next = state[at(vertex)];
        if *next == OPEN {
            if has_member(graph, state, vertex) {
                *next = OUT;
            } else {
                open += 1;
            }
        }
    }
    open
}

/// Both phases over all vertices; returns how many stay open.
pub(super) fn round(
    graph: &Csr<'_>,
    seed: u64,
    round: u32,
    state: &mut [i32],
    spare: &mut [i32],
    counters: &mut MisCounters,
) -> Idx {
    let open_before = state.iter().filter(|&&state| state == OPEN).count() as u64; // widens
    let selected = at(select(graph, state, seed, round, 0, spare)) as u64; // widens
    let open = exclude(graph, spare, 0, state);
    counters.rounds += u64::from(open_before > 0);
    counters.selected += selected;
    counters.excluded += open_before - selected - at(open) as u64; // widens
    open
}

/// Excludes what members that were set beforehand dominate; costs nothing worth naming if there are none.
pub(super) fn settle(graph: &Csr<'_>, state: &mut [i32], spare: &mut [i32], counters: &mut MisCounters) {
    if state.contains(&IN) {
        exclude(graph, state, 0, spare);
        counters.excluded += state.iter().zip(&*spare).filter(|(old, new)| old != new).count() as u64; // widens
        state.copy_from_slice(spare);
    }
}

/// Whether a decided vertex breaks a law, given the members in `state`.
#[inline(always)]
fn breaks_law(graph: &Csr<'_>, state: &[i32], vertex: Idx) -> bool {
    match state[at(vertex)] {
        IN => graph.of(vertex).iter().any(|&neighbour| neighbour < vertex && state[at(neighbour)] == IN),
        OUT => !has_member(graph, state, vertex),
        _ => false,
    }
}

pub(super) fn reopen(graph: &Csr<'_>, state: &[i32], first: Idx, next: &mut [i32]) -> Idx {
    let mut reopened = 0;
    for (next, vertex) in next.iter_mut().zip(first..) {
        *next = state[at(vertex)];
        if breaks_law(graph, state, vertex) {
            *next = OPEN;
            reopened += 1;
        }
    }
    reopened
}

/// [`reopen`] twice, in place; returns how many vertices became open.
///
/// Downwards, for a member looks at lower vertices only, which have not been touched yet. A dominated vertex may see
/// members that this pass has just reopened, and then opens one pass earlier than by [`reopen`]; members only become
/// fewer, so that after the second pass the states are the same.
pub(super) fn reopen_twice(graph: &Csr<'_>, state: &mut [i32]) -> u64 {
    let mut reopened = 0;
    for _ in 0..2 {
        for place in (0..state.len()).rev() {
            if breaks_law(graph, state, place as Idx) {
                // fits: a graph has no more vertices than an index counts
                state[place] = OPEN;
                reopened += 1;
            }
        }
    }
    reopened
}

pub(super) fn complete(graph: &Csr<'_>, state: &mut [i32], counters: &mut MisCounters) {
    let (mut selected, mut excluded) = (0, 0);
    for place in 0..state.len() {
        let vertex = place as Idx; // fits: a graph has no more vertices than an index counts
        if state[place] != OPEN {
            continue;
        }
        if has_member(graph, state, vertex) {
            state[place] = OUT;
            excluded += 1;
            continue;
        }
        state[place] = IN;
        selected += 1;
        for &neighbour in graph.of(vertex) {
            // Telling the neighbours now spares each of them its search for a member.
            if state[at(neighbour)] == OPEN {
                state[at(neighbour)] = OUT;
                excluded += 1;
            }
        }
    }
    counters.selected += selected;
    counters.excluded += excluded;
    counters.completed += selected + excluded;
}

pub(super) fn first_violation(graph: &Csr<'_>, state: &[i32]) -> Option<Violation> {
    (0..).zip(state).find_map(|(vertex, &own)| match own {
        OPEN => Some(Violation::Undecided { vertex }),
        IN => graph
            .of(vertex)
            .iter()
            .find(|&&neighbour| neighbour != vertex && state[at(neighbour)] == IN)
            .map(|&neighbour| Violation::Dependent { vertex, neighbour }),
        OUT if !has_member(graph, state, vertex) => Some(Violation::Uncovered { vertex }),
        _ => None,
    })
}
