//! Laws (independent, maximal), equality with the definitions, and with every split.

use proptest::collection::vec;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::arena::Block;
use crate::oracle;
use crate::trials;

/// Both directions of the given edges, each list in the order of `edges`.
fn both_directions(vertices: usize, edges: &[(usize, usize)]) -> (Vec<Idx>, Vec<Idx>) {
    let (mut starts, mut targets) = (vec![0], vec![]);
    for v in 0..vertices {
        for &(a, b) in edges {
            targets.extend((a == v).then_some(b as Idx));
            targets.extend((b == v && a != b).then_some(a as Idx));
        }
        starts.push(targets.len() as Idx);
    }
    (starts, targets)
}

/// Vertices, edges between them (loops and repeats allowed), a state for each.
fn cases(states: core::ops::RangeInclusive<i32>) -> impl Strategy<Value = (Vec<Idx>, Vec<Idx>, Vec<i32>)> {
    (1..40usize).prop_flat_map(move |n| {
        (vec((0..n, 0..n), 0..3 * n), vec(states.clone(), n)).prop_map(move |(edges, state)| {
            let (starts, targets) = both_directions(n, &edges);
            (starts, targets, state)
        })
    })
}

fn dirty(blocks: usize) -> Vec<Block> {
    vec![Block::splat(u32::MAX); blocks]
}

/// Applies a phase to two ranges that meet at `cut`, into a dirty buffer, and adds what they return.
fn in_two(
    state: &[i32],
    cut: usize,
    mut phase: impl FnMut(&[i32], Idx, &mut [i32]) -> Result<Idx, KernelError>,
) -> (Vec<i32>, Idx) {
    let mut next = vec![-7; state.len()];
    let (low, high) = next.split_at_mut(cut);
    let sum = phase(state, cut as Idx, high).unwrap() + phase(state, 0, low).unwrap();
    (next, sum)
}

proptest! {
    #![proptest_config(trials::cases(256))]

    #[test]
    fn luby_matches_oracle((starts, targets, state) in cases(OPEN..=OPEN), seed: u64, cut in 0..40usize) {
        let graph = Csr::new(&starts, &targets).unwrap();
        let (mut whole, mut counters) = (state.clone(), MisCounters::default());
        let mut memory = dirty(mis_blocks(state.len()));
        mis(&graph, seed, &mut whole, &mut Arena::new(&mut memory), &mut counters).unwrap();
        prop_assert_eq!(&whole, &oracle::mis::mis(&graph, &state, seed));
        prop_assert_eq!(verify_mis(&graph, &whole), Ok(None));
        prop_assert!(oracle::mis::independent(&graph, &whole) && oracle::mis::maximal(&graph, &whole));
        prop_assert_eq!(counters.selected + counters.excluded, state.len() as u64);

        let (mut split, mut rounds) = (state.clone(), 0);
        loop {
            let cut = cut.min(state.len());
            let (selected, _) = in_two(&split, cut, |s, first, next| luby_select(&graph, s, seed, rounds, first, next));
            let (next, open) = in_two(&selected, cut, |s, first, next| luby_exclude(&graph, s, first, next));
            let mut round = split.clone();
            let mut memory = dirty(mis_blocks(state.len()));
            let ignored = &mut MisCounters::default();
            let left = luby_round(&graph, seed, rounds, &mut round, &mut Arena::new(&mut memory), ignored).unwrap();
            prop_assert_eq!((&round, left), (&next, open));
            split = next;
            rounds += 1;
            if open == 0 {
                break;
            }
        }
        prop_assert_eq!(split, whole);
        prop_assert_eq!(u64::from(rounds), counters.rounds);
    }

    #[test]
    fn an_active_mask_equals_the_graph_without_the_others(
        (starts, targets, state) in cases(OPEN..=OPEN),
        mask in vec(any::<bool>(), 40),
        seed: u64,
    ) {
        let graph = Csr::new(&starts, &targets).unwrap();
        let masked: Vec<i32> = state.iter().zip(&mask).map(|(&s, &m)| if m { s } else { INACTIVE }).collect();
        let mut answers = vec![];
        for rounds in [None, Some(1), Some(2)] {
            let mut answer = masked.clone();
            let mut memory = dirty(mis_blocks(state.len()));
            let (arena, counters) = (&mut Arena::new(&mut memory), &mut MisCounters::default());
            match rounds {
                None => mis(&graph, seed, &mut answer, arena, counters).unwrap(),
                Some(rounds) => mis_fast(&graph, seed, rounds, &mut answer, arena, counters).unwrap(),
            }
            prop_assert_eq!(verify_mis(&graph, &answer), Ok(None));
            prop_assert!(answer.iter().zip(&masked).all(|(&a, &m)| (a == INACTIVE) == (m == INACTIVE)));
            answers.push(answer);
        }
        prop_assert_eq!(&answers[0], &oracle::mis::mis(&graph, &masked, seed));
        let mut after_one = oracle::mis::luby_round(&graph, &masked, seed, 0);
        prop_assert_eq!(&answers[1], &oracle::mis::greedy(&graph, &after_one));
        after_one = oracle::mis::luby_round(&graph, &after_one, seed, 1);
        prop_assert_eq!(&answers[2], &oracle::mis::greedy(&graph, &after_one));
    }

    #[test]
    fn complete_matches_oracle((starts, targets, state) in cases(OPEN..=INACTIVE)) {
        let graph = Csr::new(&starts, &targets).unwrap();
        let (mut answer, mut counters) = (state.clone(), MisCounters::default());
        complete(&graph, &mut answer, &mut counters).unwrap();
        prop_assert_eq!(&answer, &oracle::mis::greedy(&graph, &state));
        let open = state.iter().filter(|&&s| s == OPEN).count() as u64;
        prop_assert_eq!((counters.completed, counters.selected + counters.excluded), (open, open));
    }

    #[test]
    fn repair_matches_oracle((starts, targets, state) in cases(OPEN..=INACTIVE), cut in 0..40usize) {
        let graph = Csr::new(&starts, &targets).unwrap();
        let (mut answer, mut counters) = (state.clone(), MisCounters::default());
        repair(&graph, &mut answer, &mut counters).unwrap();
        prop_assert_eq!(&answer, &oracle::mis::repair(&graph, &state));
        prop_assert_eq!(verify_mis(&graph, &answer), Ok(None));
        prop_assert!(oracle::mis::independent(&graph, &answer) && oracle::mis::maximal(&graph, &answer));

        let cut = cut.min(state.len());
        let (once, first) = in_two(&state, cut, |s, first, next| reopen(&graph, s, first, next));
        let (mut split, second) = in_two(&once, cut, |s, first, next| reopen(&graph, s, first, next));
        prop_assert_eq!(at(first) as u64 + at(second) as u64, counters.reopened);
        complete(&graph, &mut split, &mut MisCounters::default()).unwrap();
        prop_assert_eq!(split, answer);
    }

    #[test]
    fn verify_agrees_with_the_laws((starts, targets, state) in cases(OPEN..=INACTIVE)) {
        let graph = Csr::new(&starts, &targets).unwrap();
        let laws = oracle::mis::independent(&graph, &state) && oracle::mis::maximal(&graph, &state);
        prop_assert_eq!(verify_mis(&graph, &state) == Ok(None), laws);
    }

    #[test]
    fn members_set_beforehand_stay((starts, targets, _) in cases(OPEN..=OPEN), seed: u64, chosen in 0..40usize) {
        let graph = Csr::new(&starts, &targets).unwrap();
        let chosen = chosen % graph.len();
        let mut state = vec![OPEN; graph.len()];
        state[chosen] = IN;
        let mut memory = dirty(mis_blocks(state.len()));
        let mut counters = MisCounters::default();
        mis(&graph, seed, &mut state, &mut Arena::new(&mut memory), &mut counters).unwrap();
        prop_assert_eq!((state[chosen], verify_mis(&graph, &state)), (IN, Ok(None)));
        prop_assert_eq!(counters.selected + counters.excluded, state.len() as u64 - 1);
    }
}

#[test]
fn no_vertex_one_vertex_and_a_clique() {
    let mut counters = MisCounters::default();
    let empty = Csr::new(&[0], &[]).unwrap();
    mis(&empty, 1, &mut [], &mut Arena::new(&mut []), &mut counters).unwrap();
    repair(&empty, &mut [], &mut counters).unwrap();
    assert_eq!((counters, verify_mis(&empty, &[])), (MisCounters::default(), Ok(None)));

    let single = Csr::new(&[0, 1], &[0]).unwrap();
    let mut state = [OPEN];
    mis(&single, 1, &mut state, &mut Arena::new(&mut dirty(1)), &mut counters).unwrap();
    assert_eq!((state, counters.rounds), ([IN], 1), "a loop does not exclude its vertex");

    let edges: Vec<(usize, usize)> = (0..17).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
    let (starts, targets) = both_directions(17, &edges);
    let clique = Csr::new(&starts, &targets).unwrap();
    for seed in 0..20 {
        let (mut state, mut counters) = ([OPEN; 17], MisCounters::default());
        mis(&clique, seed, &mut state, &mut Arena::new(&mut dirty(mis_blocks(17))), &mut counters).unwrap();
        let least = (0..17).min_by_key(|&v| (priority(seed, 0, v), v)).unwrap();
        assert_eq!(state.iter().position(|&s| s == IN), Some(at(least)));
        assert_eq!((counters.rounds, counters.selected, counters.excluded), (1, 1, 16));
    }
}

#[test]
fn the_first_broken_law_is_named() {
    let (starts, targets) = both_directions(4, &[(0, 1), (1, 2), (2, 3)]);
    let path = Csr::new(&starts, &targets).unwrap();
    for (state, fault) in [
        ([IN, OUT, IN, OUT], None),
        ([IN, OUT, OPEN, IN], Some(Violation::Undecided { vertex: 2 })),
        ([IN, OUT, IN, IN], Some(Violation::Dependent { vertex: 2, neighbour: 3 })),
        ([IN, OUT, OUT, INACTIVE], Some(Violation::Uncovered { vertex: 2 })),
        ([INACTIVE, IN, INACTIVE, IN], None),
    ] {
        assert_eq!(verify_mis(&path, &state), Ok(fault));
    }
}

#[test]
fn wrong_arguments_are_refused_and_nothing_is_written() {
    let (starts, targets) = both_directions(20, &[(0, 1), (1, 2)]);
    let graph = Csr::new(&starts, &targets).unwrap();
    let mut counters = MisCounters::default();
    let mut next = [-7; 5];
    let short = KernelError::Shape { what: "state", want: 20, got: 19 };
    assert_eq!(luby_select(&graph, &[OPEN; 19], 1, 0, 0, &mut next), Err(short));
    let long = KernelError::Shape { what: "next", want: 4, got: 5 };
    assert_eq!(luby_exclude(&graph, &[OPEN; 20], 16, &mut next), Err(long));
    for first in [-1, 21] {
        let outside = KernelError::Key { at: 0, key: first, limit: 20 };
        assert_eq!(reopen(&graph, &[OPEN; 20], first, &mut next), Err(outside));
    }
    assert_eq!(luby_exclude(&graph, &[OPEN; 20], 20, &mut []), Ok(0), "an empty range at the end is a range");
    let mut state = [OPEN; 20];
    state[8] = 4;
    let bad = KernelError::Value { what: "state", at: 8 };
    assert_eq!(luby_select(&graph, &state, 1, 0, 5, &mut next), Err(bad));
    assert_eq!(repair(&graph, &mut state, &mut counters), Err(bad));
    assert_eq!(complete(&graph, &mut state, &mut counters), Err(bad));
    assert_eq!(verify_mis(&graph, &state), Err(bad));
    assert_eq!(next, [-7; 5]);

    let mut state = [OPEN; 20];
    let less = KernelError::Scratch { need: 2, have: 1 };
    assert_eq!(mis(&graph, 1, &mut state, &mut Arena::new(&mut dirty(1)), &mut counters), Err(less));
    assert_eq!(mis_fast(&graph, 1, 1, &mut state, &mut Arena::new(&mut dirty(1)), &mut counters), Err(less));
    assert_eq!(luby_round(&graph, 1, 0, &mut state, &mut Arena::new(&mut dirty(1)), &mut counters), Err(less));
    let none = KernelError::Least { what: "rounds", least: 1, got: 0 };
    assert_eq!(mis_fast(&graph, 1, 0, &mut state, &mut Arena::new(&mut dirty(2)), &mut counters), Err(none));
    assert_eq!((state, counters), ([OPEN; 20], MisCounters::default()));
}

#[test]
fn counters_add_up() {
    let one = MisCounters { rounds: 1, selected: 2, excluded: 3, completed: 4, reopened: 5 };
    let mut sum = one;
    sum.merge(&one);
    assert_eq!(sum, MisCounters { rounds: 2, selected: 4, excluded: 6, completed: 8, reopened: 10 });
}
