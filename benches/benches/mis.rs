//! Independent sets: million stored edges per second, beside sequential greedy.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::uniform;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::conflict::ConflictCounters;
use covertree_kernels::conflict::csr::{EdgesMut, Pairs, csr_from_pairs, csr_from_pairs_blocks};
use covertree_kernels::hash::priority;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::mis::*;
use covertree_kernels::view::Csr;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SEED: u64 = 7;

/// The pairs of uniform points of the unit square that are at most so far apart that degrees average `degree`.
fn geometric(len: usize, degree: f64) -> (Vec<Idx>, Vec<Idx>) {
    let points = uniform(2 * len, 11);
    let radius = (degree / (len as f64 * std::f64::consts::PI)).sqrt();
    let cells = ((1.0 / radius) as usize).max(1);
    let cell = |i: usize| ((points[2 * i] * cells as f64) as usize, (points[2 * i + 1] * cells as f64) as usize);
    let mut members = vec![vec![]; cells * cells];
    (0..len).for_each(|i| members[cell(i).0 * cells + cell(i).1].push(i));
    let mut ends = vec![];
    for i in 0..len {
        let (x, y) = cell(i);
        for near_x in x.saturating_sub(1)..(x + 2).min(cells) {
            for near_y in y.saturating_sub(1)..(y + 2).min(cells) {
                for &j in &members[near_x * cells + near_y] {
                    let (dx, dy) = (points[2 * i] - points[2 * j], points[2 * i + 1] - points[2 * j + 1]);
                    if j < i && dx * dx + dy * dy <= radius * radius {
                        ends.push([j as Idx, i as Idx]);
                    }
                }
            }
        }
    }
    let none = vec![(); 2 * ends.len()];
    let pairs = Pairs::new(&ends, &none[..ends.len()], len).expect("every end is a vertex");
    let (mut starts, mut targets, mut spare) = (vec![0; len + 1], vec![0; 2 * ends.len()], vec![0; 2 * ends.len()]);
    let (mut weights, mut spare_weights) = (none.clone(), none.clone());
    let edges = csr_from_pairs(
        &pairs,
        &mut starts,
        EdgesMut { targets: &mut targets, weights: &mut weights },
        EdgesMut { targets: &mut spare, weights: &mut spare_weights },
        &mut Arena::new(&mut vec![Block::splat(0); csr_from_pairs_blocks(len)]),
        &mut ConflictCounters::default(),
    );
    targets.truncate(edges.expect("the shapes fit") as usize);
    (starts, targets)
}

/// Sequential greedy as one writes it first: a member tells its neighbours.
fn sequential(graph: &Csr<'_>, state: &mut [i32]) {
    for vertex in 0..state.len() {
        if state[vertex] == OPEN {
            state[vertex] = IN;
            for &neighbour in graph.of(vertex as Idx) {
                state[neighbour as usize] = OUT;
            }
        }
    }
}

fn sets(c: &mut Criterion) {
    for (len, degree) in [(100_000, 4.0), (100_000, 16.0), (30_000, 64.0), (8_192, 512.0)] {
        let (starts, targets) = geometric(len, degree);
        let graph = Csr::new(&starts, &targets).expect("the graph is well formed");
        let (mut memory, mut counters) = (vec![Block::splat(0); mis_blocks(len)], MisCounters::default());
        let mut group = c.benchmark_group("mis");
        group.throughput(Throughput::Elements(targets.len() as u64));
        let size = format!("{len}x{degree}");
        let mut state = vec![OPEN; len];
        let mut run = |name: &str, solve: &mut dyn FnMut(&mut [i32])| {
            state.fill(OPEN);
            solve(&mut state);
            assert_eq!(verify_mis(&graph, &state), Ok(None));
            group.bench_function(BenchmarkId::new(name, &size), |b| {
                b.iter(|| {
                    state.fill(OPEN);
                    solve(black_box(&mut state));
                })
            });
        };
        run("luby", &mut |state| {
            mis(&graph, SEED, state, &mut Arena::new(&mut memory), &mut counters).expect("the shapes fit");
        });
        for rounds in [1, 2] {
            run(&format!("fast_{rounds}"), &mut |state| {
                let arena = &mut Arena::new(&mut memory);
                mis_fast(&graph, SEED, rounds, state, arena, &mut counters).expect("the shapes fit");
            });
        }
        run("complete", &mut |state| complete(&graph, state, &mut counters).expect("the shapes fit"));
        run("sequential_greedy", &mut |state| sequential(&graph, state));
        let mut done = vec![OPEN; len];
        complete(&graph, &mut done, &mut counters).expect("the shapes fit");
        run("repair_of_nothing", &mut |state| {
            state.copy_from_slice(&done);
            repair(&graph, state, &mut counters).expect("the shapes fit");
        });
        group.bench_function(BenchmarkId::new("verify", &size), |b| b.iter(|| verify_mis(&graph, black_box(&done))));
        group.finish();
    }
}

/// A round's first phase as it is defined: a vertex is compared with all of its neighbours.
fn plain_select(graph: &Csr<'_>, state: &[i32], next: &mut [i32]) {
    let rank = |vertex: Idx| (priority(SEED, 0, vertex), vertex);
    for ((vertex, &own), next) in (0..).zip(state).zip(next) {
        let open = graph.of(vertex).iter().copied().filter(|&rival| state[at(rival)] == OPEN && rival != vertex);
        let least = open.map(rank).min();
        *next = if own == OPEN && least.is_none_or(|least| rank(vertex) < least) { IN } else { own };
    }
}

/// A round's second phase told by the members, which does not split.
fn plain_exclude(graph: &Csr<'_>, state: &[i32], next: &mut [i32]) {
    next.copy_from_slice(state);
    for (vertex, _) in (0..).zip(state).filter(|(_, own)| **own == IN) {
        for &neighbour in graph.of(vertex) {
            if next[at(neighbour)] == OPEN {
                next[at(neighbour)] = OUT;
            }
        }
    }
}

/// A phase of a repair as it is defined: the members beside a vertex are counted.
fn plain_reopen(graph: &Csr<'_>, state: &[i32], next: &mut [i32]) {
    for ((vertex, &own), next) in (0..).zip(state).zip(next) {
        let beside = graph.of(vertex).iter().filter(|&&other| state[at(other)] == IN && other != vertex);
        let lower = beside.clone().filter(|&&other| other < vertex).count();
        let broken = (own == IN && lower > 0) || (own == OUT && beside.count() == 0);
        *next = if broken { OPEN } else { own };
    }
}

/// A phase over all vertices of a graph, beside a plain loop that does the same to `state`.
fn phase(
    c: &mut Criterion,
    name: &str,
    graph: &Csr<'_>,
    state: &[i32],
    run: impl Fn(&Csr<'_>, &[i32], &mut [i32]) -> Idx,
    plainly: impl Fn(&Csr<'_>, &[i32], &mut [i32]),
) {
    let (mut next, mut plain) = (vec![-7; state.len()], vec![-7; state.len()]);
    run(graph, state, &mut next);
    plainly(graph, state, &mut plain);
    assert_eq!(next, plain, "{name}");
    let size = format!("{}x16", state.len());
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(graph.edges() as u64));
    group.bench_function(BenchmarkId::new("range", &size), |b| b.iter(|| run(graph, black_box(state), &mut next)));
    group.bench_function(BenchmarkId::new("plain loop", &size), |b| {
        b.iter(|| plainly(graph, black_box(state), &mut plain))
    });
    group.finish();
}

/// The steps that split over threads, over all vertices at once; and both of them as one round.
fn steps(c: &mut Criterion) {
    let (starts, targets) = geometric(100_000, 16.0);
    let graph = Csr::new(&starts, &targets).expect("the graph is well formed");
    let (len, mut counters) = (graph.len(), MisCounters::default());
    let mut memory = vec![Block::splat(0); mis_blocks(len)];
    let (open, mut selected, mut next, mut state) =
        (vec![OPEN; len], vec![OPEN; len], vec![OPEN; len], vec![OPEN; len]);
    luby_select(&graph, &open, SEED, 0, 0, &mut selected).expect("the shapes fit");
    luby_exclude(&graph, &selected, 0, &mut next).expect("the shapes fit");
    luby_round(&graph, SEED, 0, &mut state, &mut Arena::new(&mut memory), &mut counters).expect("the shapes fit");
    assert_eq!(state, next, "a round is its two phases");
    complete(&graph, &mut state, &mut counters).expect("the shapes fit");
    assert_eq!(reopen(&graph, &state, 0, &mut next), Ok(0), "a set that breaks no law stays");
    let select = |graph: &Csr<'_>, state: &[i32], next: &mut [i32]| {
        luby_select(graph, state, SEED, 0, 0, next).expect("the shapes fit")
    };
    let exclude =
        |graph: &Csr<'_>, state: &[i32], next: &mut [i32]| luby_exclude(graph, state, 0, next).expect("the shapes fit");
    let reopened =
        |graph: &Csr<'_>, state: &[i32], next: &mut [i32]| reopen(graph, state, 0, next).expect("the shapes fit");
    phase(c, "luby_select", &graph, &open, select, plain_select);
    phase(c, "luby_exclude", &graph, &selected, exclude, plain_exclude);
    phase(c, "reopen", &graph, &state, reopened, plain_reopen);

    let mut group = c.benchmark_group("luby_round");
    group.throughput(Throughput::Elements(targets.len() as u64));
    group.bench_function(BenchmarkId::new("in place", format!("{len}x16")), |b| {
        b.iter(|| {
            state.copy_from_slice(black_box(&open));
            luby_round(&graph, SEED, 0, &mut state, &mut Arena::new(&mut memory), &mut counters)
        });
    });
    group.bench_function(BenchmarkId::new("plain loop", format!("{len}x16")), |b| {
        b.iter(|| {
            plain_select(&graph, black_box(&open), &mut selected);
            plain_exclude(&graph, &selected, &mut next);
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = sets, steps
}
criterion_main!(benches);
