//! Maximal independent sets: Luby rounds over a graph that is stored in both directions, in phases that can be split.
//!
//! # State
//! One `i32` per vertex: [`OPEN`] (undecided), [`IN`] (in the set), [`OUT`] (a neighbour is in the set) or
//! [`INACTIVE`] (not in play: never chosen, and no neighbour of anybody). An active mask needs no subgraph: write
//! `OPEN` where a vertex takes part and `INACTIVE` elsewhere.
//!
//! # A round has two phases
//! 1. [`luby_select`]: an open vertex whose priority is the least among its open neighbours becomes `IN`.
//! 2. [`luby_exclude`]: an open vertex with a neighbour that is `IN` becomes `OUT`.
//!
//! Each phase reads the whole old state and writes one range of the new one, so a caller splits it over threads by
//! `chunks_mut`, with one barrier between the phases: select from `state` into `spare`, exclude from `spare` into
//! `state`. Priorities are [`priority`]`(seed, round, vertex)`, the least wins, ties fall to the lower vertex: any
//! split gives the same bits. Rounds number about `log n`; in the conflict graphs of points in low dimension, three
//! to five.
//!
//! Doing both in one phase, where a round starts by excluding what the last one's winners dominate, saves no barrier:
//! it needs nearly twice the rounds, and on random geometric graphs it reads 1.4 (average degree 3) to 2.4 (degree
//! 450) times as many neighbours.
//!
//! # Ways to the end
//! | call | state before | what it does | result |
//! | --- | --- | --- | --- |
//! | [`mis`] | decided vertices break no law | rounds until none is open | maximal, the same for any split |
//! | [`mis_fast`] | the same | one or two rounds, then [`complete`] | maximal, the same for any split |
//! | [`complete`] | the same | greedy over the open vertices by id, serial | maximal |
//! | [`repair`] | any | undoes what breaks a law ([`reopen`] twice), then [`complete`] | maximal |
//!
//! [`verify_mis`] names the first broken law.
//!
//! # Graph
//! A [`Csr`] with both directions of every edge. Loops and repeated edges do no harm. If a direction is missing, the
//! calls still end, but the set need not be independent ([`verify_mis`] looks at each stored direction).
//!
//! Source: M. Luby, SIAM J. Comput. 15(4), 1986.
//!
//! # Cost and measured rate
//! A round reads the neighbours of the open vertices, in each phase up to the first that decides. One thread of an AMD EPYC
//! (Zen 4), random geometric graphs: [`mis`] takes 37 ns per vertex at degree 4, 99 at 64 and 279 at 512; [`complete`] 7.9, 3.7
//! and 3.2, where sequential greedy without checks takes 4.4, 1.5 and 1.2. `cargo bench -p covertree-benches --bench mis`.

use crate::arena::{Arena, blocks};
use crate::error::{KernelError, want};
use crate::hash::priority;
use crate::index::{Idx, at, idx_len};
use crate::view::Csr;

mod scalar;
#[cfg(test)]
mod tests;

/// State of a vertex that is not decided yet.
pub const OPEN: i32 = 0;
/// State of a member of the set.
pub const IN: i32 = 1;
/// State of a vertex that a member dominates.
pub const OUT: i32 = 2;
/// State of a vertex that is not in play.
pub const INACTIVE: i32 = 3;

/// Work done on independent sets. Every vertex that was open and is decided counts once in `selected` or `excluded`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MisCounters {
    /// Luby rounds (of two phases each).
    pub rounds: u64,
    /// Vertices that became `IN`.
    pub selected: u64,
    /// Vertices that became `OUT`.
    pub excluded: u64,
    /// Of `selected` and `excluded`, those decided by the greedy completion.
    pub completed: u64,
    /// Vertices that a repair made open again.
    pub reopened: u64,
}

impl MisCounters {
    /// Adds the work of another call.
    pub fn merge(&mut self, other: &Self) {
        self.rounds += other.rounds;
        self.selected += other.selected;
        self.excluded += other.excluded;
        self.completed += other.completed;
        self.reopened += other.reopened;
    }
}

/// Which law a state breaks, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// `vertex` is still open.
    Undecided {
        /// The vertex.
        vertex: Idx,
    },
    /// `vertex` and its `neighbour` are both in the set.
    Dependent {
        /// The vertex.
        vertex: Idx,
        /// The first such neighbour in the order of the graph.
        neighbour: Idx,
    },
    /// `vertex` is out, yet no neighbour of it is in the set: the set could grow.
    Uncovered {
        /// The vertex.
        vertex: Idx,
    },
}

/// The states `first..first + len` of the graph's, checked to exist and to be states.
fn own_range<'s>(graph: &Csr<'_>, state: &'s [i32], first: Idx, len: usize) -> Result<&'s [i32], KernelError> {
    want("state", graph.len(), state.len())?;
    let Some(rest) = usize::try_from(first).ok().and_then(|first| state.get(first..)) else {
        return Err(KernelError::Key { at: 0, key: first, limit: idx_len(state.len())? });
    };
    let Some(own) = rest.get(..len) else {
        return Err(KernelError::Shape { what: "next", want: rest.len(), got: len });
    };
    match own.iter().position(|state| !(OPEN..=INACTIVE).contains(state)) {
        Some(place) => Err(KernelError::Value { what: "state", at: at(first) + place }),
        None => Ok(own),
    }
}

/// First phase of a Luby round for the vertices `first..first + next.len()`; returns how many become `IN`.
///
/// An `OPEN` vertex becomes `IN` if its [`priority`] is below that of every other `OPEN` neighbour (ties: the lower
/// vertex); all other states are copied. Reads the old state of all vertices, writes only `next`.
///
/// The winners are independent of each other. They are independent of earlier members too, provided that no open
/// vertex has a neighbour that is `IN`, which is what [`luby_exclude`] leaves behind.
///
/// | argument | shape |
/// | --- | --- |
/// | `graph` | both directions of every edge |
/// | `state` | `[graph.len()]` |
/// | `first` | first vertex of the range, `0..=graph.len()` |
/// | `next` | at most `graph.len() - first`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when `state` or `next` does not fit, [`KernelError::Key`] when `first` is no vertex,
/// [`KernelError::Value`] at the first of `state[first..first + next.len()]` that is no state. `next` is then untouched.
///
/// # Cost
/// Reads the neighbours of each open vertex up to the first that beats it: about `ln(degree)` hashes per vertex.
pub fn luby_select(
    graph: &Csr<'_>,
    state: &[i32],
    seed: u64,
    round: u32,
    first: Idx,
    next: &mut [i32],
) -> Result<Idx, KernelError> {
    own_range(graph, state, first, next.len())?;
    Ok(scalar::select(graph, state, seed, round, first, next))
}

/// Second phase of a Luby round for the vertices `first..first + next.len()`; returns how many stay open.
///
/// An `OPEN` vertex with a neighbour that is `IN` becomes `OUT`; all other states are copied. Reads the state of all
/// vertices, writes only `next`. The round has ended everything when the sum over all ranges is zero.
///
/// Shapes are those of [`luby_select`].
///
/// # Errors
/// As [`luby_select`]; `next` is then untouched.
///
/// # Cost
/// Reads the neighbours of each open vertex up to the first that is `IN`.
pub fn luby_exclude(graph: &Csr<'_>, state: &[i32], first: Idx, next: &mut [i32]) -> Result<Idx, KernelError> {
    own_range(graph, state, first, next.len())?;
    Ok(scalar::exclude(graph, state, first, next))
}

/// One phase of a repair for the vertices `first..first + next.len()`; returns how many become open.
///
/// Makes `OPEN` again what breaks a law: an `IN` vertex with a *lower* neighbour that is `IN`, and an `OUT` vertex
/// with no neighbour that is `IN`; all other states are copied. Reads the old state of all vertices, writes only `next`.
///
/// After two applications to any state the members are independent and every `OUT` vertex has a member beside it:
/// the first lets at most one of two adjacent members stand, the second finds what lost its member by that. A
/// [`luby_exclude`] then settles the open vertices beside a member, and rounds (or [`complete`]) the others.
///
/// Shapes are those of [`luby_select`].
///
/// # Errors
/// As [`luby_select`]; `next` is then untouched.
///
/// # Cost
/// Reads the neighbours of each decided vertex up to the first that is `IN`.
pub fn reopen(graph: &Csr<'_>, state: &[i32], first: Idx, next: &mut [i32]) -> Result<Idx, KernelError> {
    own_range(graph, state, first, next.len())?;
    Ok(scalar::reopen(graph, state, first, next))
}

/// Blocks that [`luby_round`], [`mis`] and [`mis_fast`] take for a graph of `vertices`.
pub const fn mis_blocks(vertices: usize) -> usize {
    blocks::<i32>(vertices)
}

/// One whole Luby round in place, both phases; returns how many vertices stay open.
///
/// | argument | shape |
/// | --- | --- |
/// | `graph` | both directions of every edge |
/// | `state` | `[graph.len()]`, updated; no `OPEN` vertex may have a neighbour that is `IN` |
/// | `arena` | [`mis_blocks`]`(graph.len())` |
///
/// # Errors
/// [`KernelError::Shape`] and [`KernelError::Value`] for a `state` that does not fit or holds no state,
/// [`KernelError::Scratch`] when the arena is too small. `state` is then untouched.
///
/// # Cost
/// That of [`luby_select`] and [`luby_exclude`] over all vertices.
pub fn luby_round(
    graph: &Csr<'_>,
    seed: u64,
    round: u32,
    state: &mut [i32],
    arena: &mut Arena<'_>,
    counters: &mut MisCounters,
) -> Result<Idx, KernelError> {
    own_range(graph, state, 0, state.len())?;
    let spare = arena.scope().take::<i32>(state.len())?;
    Ok(scalar::round(graph, seed, round, state, spare, counters))
}

/// A maximal independent set of the active vertices by Luby rounds, until none is open.
///
/// Equal to any split of [`luby_select`] and [`luby_exclude`] with rounds counted from zero. Members that are set
/// beforehand stay: if there are any, a [`luby_exclude`] comes first.
///
/// Arguments are those of [`luby_round`], without its condition on open vertices.
///
/// # Errors
/// As [`luby_round`]; `state` is then untouched.
///
/// # Cost
/// About `log n` rounds; in practice it reads each stored edge about once in all. On one thread [`complete`] is much
/// cheaper, for it reads the members' edges alone: 5 times at an average degree of 4, 27 times at 64, 87 times at 512.
/// Rounds pay where they are split over more threads than that.
pub fn mis(
    graph: &Csr<'_>,
    seed: u64,
    state: &mut [i32],
    arena: &mut Arena<'_>,
    counters: &mut MisCounters,
) -> Result<(), KernelError> {
    own_range(graph, state, 0, state.len())?;
    let spare = arena.scope().take::<i32>(state.len())?;
    scalar::settle(graph, state, spare, counters);
    let mut round = 0;
    // Ends: the open vertex with the least priority of all is selected in every round, whatever the edges are.
    while scalar::round(graph, seed, round, state, spare, counters) > 0 {
        round += 1;
    }
    Ok(())
}

/// The fast form: `rounds` Luby rounds (one or two), then [`complete`] over the few vertices that are still open.
///
/// Equal to any split of the rounds, followed by [`complete`]. Arguments are those of [`mis`], with at least one of
/// `rounds`.
///
/// # Errors
/// As [`mis`], and [`KernelError::Least`] when `rounds` is zero; `state` is then untouched.
///
/// # Cost
/// On random geometric graphs of degree 4 to 256 a seventh to a quarter of the vertices are open after one round, and
/// 1 % to 5 % after two, so that the serial part is short. It saves the later rounds, which are the cheap ones: one thread
/// takes 0.7 to 1.0 of the time of [`mis`].
pub fn mis_fast(
    graph: &Csr<'_>,
    seed: u64,
    rounds: u32,
    state: &mut [i32],
    arena: &mut Arena<'_>,
    counters: &mut MisCounters,
) -> Result<(), KernelError> {
    if rounds == 0 {
        return Err(KernelError::Least { what: "rounds", least: 1, got: 0 });
    }
    own_range(graph, state, 0, state.len())?;
    let spare = arena.scope().take::<i32>(state.len())?;
    scalar::settle(graph, state, spare, counters);
    for round in 0..rounds {
        if scalar::round(graph, seed, round, state, spare, counters) == 0 {
            return Ok(());
        }
    }
    scalar::complete(graph, state, counters);
    Ok(())
}

/// Decides every open vertex greedily, in order of vertices: `OUT` beside a member, else `IN`.
///
/// Serial, in place, without scratch: meant for the few vertices that rounds leave, or for one thread. From a state
/// that breaks no law but for its open vertices it makes a maximal independent set; other vertices never change.
///
/// | argument | shape |
/// | --- | --- |
/// | `graph` | both directions of every edge |
/// | `state` | `[graph.len()]`, updated |
///
/// # Errors
/// [`KernelError::Shape`] and [`KernelError::Value`] for a `state` that does not fit or holds no state; it is then
/// untouched.
///
/// # Cost
/// Reads `state` once, the neighbours of each new member twice, and those of an open vertex beside an old member up
/// to that member.
pub fn complete(graph: &Csr<'_>, state: &mut [i32], counters: &mut MisCounters) -> Result<(), KernelError> {
    own_range(graph, state, 0, state.len())?;
    scalar::complete(graph, state, counters);
    Ok(())
}

/// Makes a maximal independent set of any state: [`reopen`] twice, then [`complete`]. Equal to any split of those.
///
/// Of two adjacent members the lower may stand; members and dominated vertices that break no law stay what they are;
/// `INACTIVE` vertices stay so. Serial, in place, without scratch. Arguments are those of [`complete`].
///
/// # Errors
/// As [`complete`]; `state` is then untouched.
///
/// # Cost
/// Two passes over the decided vertices, each up to the first neighbour that is `IN`, and [`complete`].
pub fn repair(graph: &Csr<'_>, state: &mut [i32], counters: &mut MisCounters) -> Result<(), KernelError> {
    own_range(graph, state, 0, state.len())?;
    counters.reopened += scalar::reopen_twice(graph, state);
    scalar::complete(graph, state, counters);
    Ok(())
}

/// The first law that `state` breaks, in order of vertices; `None` for a maximal independent set of the active ones.
///
/// # Errors
/// [`KernelError::Shape`] and [`KernelError::Value`] for a `state` that does not fit or holds no state.
///
/// # Cost
/// Reads the graph once.
pub fn verify_mis(graph: &Csr<'_>, state: &[i32]) -> Result<Option<Violation>, KernelError> {
    own_range(graph, state, 0, state.len())?;
    Ok(scalar::first_violation(graph, state))
}

/// Whether `rival` wins against a vertex of priority `mine`.
#[inline(always)]
fn beats(seed: u64, round: u32, rival: Idx, mine: u64, vertex: Idx) -> bool {
    (priority(seed, round, rival), rival) < (mine, vertex)
}
