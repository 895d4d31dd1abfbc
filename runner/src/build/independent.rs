//! Maximal independent sets: which points of a level may stay together.

use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::mis::{self, MisCounters};
use covertree_kernels::tree::Conflict;
use covertree_kernels::view::Csr;

use super::config::{BuildConfig, MisForm};
use crate::parallel;

/// Luby rounds of [`MisForm::Fast`].
const FAST_ROUNDS: u32 = 2;

/// Vertices that one task decides.
const PIECE: usize = 1 << 12;

/// The graph between some places, by their order in a list of open ones.
pub(super) struct Graph {
    pub starts: Vec<Idx>,
    pub targets: Vec<Idx>,
}

impl Graph {
    /// The graph of these pairs, both ends of which are open. `local` is scratch, `NONE` for every place before and after.
    pub fn new(open: &[Idx], pairs: &[Conflict], local: &mut [Idx]) -> Self {
        for (vertex, &place) in open.iter().enumerate() {
            local[at(place)] = vertex as Idx; // not above the size of the batch
        }
        let mut starts = vec![0 as Idx; open.len() + 1];
        let ends = |pair: &Conflict| (local[at(pair.id)], local[at(pair.other)]);
        for pair in pairs {
            let (a, b) = ends(pair);
            starts[at(a) + 1] += 1;
            starts[at(b) + 1] += 1;
        }
        for vertex in 0..open.len() {
            starts[vertex + 1] += starts[vertex];
        }
        let mut next = starts.clone();
        let mut targets = vec![NONE; 2 * pairs.len()];
        for pair in pairs {
            let (a, b) = ends(pair);
            for (from, to) in [(a, b), (b, a)] {
                targets[at(next[at(from)])] = to;
                next[at(from)] += 1;
            }
        }
        open.iter().for_each(|&place| local[at(place)] = NONE);
        Self { starts, targets }
    }

    /// Those of the open places that are a maximal independent set, in the form that the configuration asks for, and how many rounds
    /// that took.
    pub fn independent(&self, open: &[Idx], config: &BuildConfig, level: i32) -> (Vec<Idx>, u64) {
        let graph = Csr::new(&self.starts, &self.targets).expect("built by this module or the conflict stage");
        let seed = config.seed ^ level as u64; // any bits do
        let most = match config.mis {
            MisForm::Luby => u32::MAX,
            MisForm::Fast => FAST_ROUNDS,
        };
        let mut state = vec![mis::OPEN; open.len()];
        let (rounds, left) = luby(&graph, seed, most, &mut state);
        if left > 0 {
            mis::complete(&graph, &mut state, &mut MisCounters::default()).expect("states of this graph");
        }
        let members = open.iter().zip(state).filter(|(_, state)| *state == mis::IN).map(|(&place, _)| place);
        (members.collect(), rounds)
    }
}

/// Luby rounds until no vertex is open, but no more than `most`: those of [`mis::mis`], each phase of which is split over the threads.
/// Returns how many there were, and how many vertices they left open.
fn luby(graph: &Csr<'_>, seed: u64, most: u32, state: &mut Vec<i32>) -> (u64, usize) {
    let mut next = vec![mis::OPEN; state.len()];
    let (mut rounds, mut left) = (0, state.len());
    while left > 0 && rounds < most {
        let old = &*state;
        parallel::chunks(&mut next, PIECE, &|piece, next| {
            let first = (piece * PIECE) as Idx; // a vertex
            mis::luby_select(graph, old, seed, rounds, first, next).expect("states of this graph")
        });
        std::mem::swap(state, &mut next);
        let selected = &*state;
        let open = parallel::chunks(&mut next, PIECE, &|piece, next| {
            let first = (piece * PIECE) as Idx; // a vertex
            mis::luby_exclude(graph, selected, first, next).expect("states of this graph")
        });
        std::mem::swap(state, &mut next);
        left = open.into_iter().map(at).sum();
        rounds += 1;
    }
    (u64::from(rounds), left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use covertree_kernels::arena::{Arena, Block};
    use covertree_kernels::hash::mix64;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_form_is_independent_and_maximal_on_its_graph(
            len in prop_oneof![0..60 as Idx, 4000..9000 as Idx], degree in 0..6u64, seed: u64,
        ) {
            let end = |word: u64| (mix64(seed ^ mix64(word)) % len.max(1) as u64) as Idx;
            let pair = |edge| Conflict { id: 3 * end(2 * edge), other: 3 * end(2 * edge + 1), distance: 1.0 };
            let open: Vec<Idx> = (0..len).map(|vertex| 3 * vertex).collect();
            let pairs: Vec<Conflict> = (0..degree * len as u64).map(pair).collect();
            let mut local = vec![NONE; 3 * len as usize];
            let graph = Graph::new(&open, &pairs, &mut local);
            prop_assert!(local.iter().all(|&vertex| vertex == NONE));
            let csr = Csr::new(&graph.starts, &graph.targets).unwrap();
            for mis in MisForm::ALL {
                let config = BuildConfig { mis: *mis, seed, ..BuildConfig::default() };
                let (members, rounds) = graph.independent(&open, &config, -3);
                // As the kernels do it in one piece.
                let (mut state, mut counters) = (vec![mis::OPEN; open.len()], MisCounters::default());
                let mut memory = vec![Block::default(); mis::mis_blocks(open.len())];
                let (seed, arena) = (seed ^ -3i32 as u64, &mut Arena::new(&mut memory));
                match mis {
                    MisForm::Luby => mis::mis(&csr, seed, &mut state, arena, &mut counters).unwrap(),
                    MisForm::Fast => mis::mis_fast(&csr, seed, FAST_ROUNDS, &mut state, arena, &mut counters).unwrap(),
                }
                prop_assert_eq!(mis::verify_mis(&csr, &state).unwrap(), None);
                let expected = open.iter().zip(&state).filter(|(_, state)| **state == mis::IN);
                prop_assert_eq!(members, expected.map(|(&place, _)| place).collect::<Vec<Idx>>());
                prop_assert_eq!(rounds, if len == 0 { 0 } else { counters.rounds });
            }
        }
    }
}
