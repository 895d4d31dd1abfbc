//! Graphs from pairs, whole, by phases over two ranges, and of the nearest few of each row, against the definition.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::conflict::csr::*;
use covertree_kernels::conflict::{CAP_MAX, ConflictCounters, Nearest, nearest_of_rows};
use covertree_kernels::index::{Idx, at};
use covertree_kernels::oracle::conflict as oracle;

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (vertices, pairs) = (1 + bytes.below(40), bytes.below(120));
    let (cut, cap) = (bytes.below(vertices + 1), 1 + bytes.below(CAP_MAX));
    let mut vertex = || (usize::from(bytes.u8()) % vertices) as Idx;
    let ends: Vec<[Idx; 2]> = (0..pairs).map(|_| [vertex(), vertex()]).collect();
    let weights: Vec<f64> = (0..pairs).map(|_| bytes.coordinate().abs()).collect();
    let list = Pairs::new(&ends, &weights, vertices).expect("every end is a vertex");
    let want = oracle::csr(&ends, &weights, vertices);

    let mut memory = vec![Block::splat(u32::MAX); csr_from_pairs_blocks(vertices)];
    let mut arena = Arena::new(&mut memory);
    let (mut starts, mut rows, mut spare) = (vec![-7; vertices + 1], Rows::new(2 * pairs), Rows::new(2 * pairs));
    let mut counters = ConflictCounters::default();
    let len = csr_from_pairs(&list, &mut starts, rows.all(), spare.all(), &mut arena, &mut counters);
    let len = len.map(at).expect("the shapes fit");
    assert_eq!((&starts[..], &rows.targets[..len], &rows.weights[..len]), (&want.0[..], &want.1[..], &want.2[..]));
    let loops = ends.iter().filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(len as u64 / 2 + counters.repeated, (pairs - loops) as u64, "a pair is kept, repeated or a loop");
    assert_eq!(by_phases(&list, cut as Idx, &mut arena), want);

    let edges = Edges::new(&want.0, &want.1, &want.2).expect("the graph is well formed");
    let (mut lens, mut near) = (vec![-7; vertices], Rows::new(vertices * cap));
    let out = Nearest { lens: &mut lens, entries: &mut near.targets, distances: &mut near.weights };
    nearest_of_rows(&edges, cap, 0, out, &mut ConflictCounters::default()).expect("the shapes fit");
    let found: Vec<(Idx, Idx, f64)> = (0..vertices)
        .flat_map(|v| edges.of(v).0.iter().zip(edges.of(v).1).map(move |(&u, &weight)| (v as Idx, u, weight)))
        .collect();
    for (v, &len) in lens.iter().enumerate() {
        let best = oracle::nearest(&found, v as Idx, cap);
        let places = v * cap..v * cap + best.len();
        let got = near.targets[places.clone()].iter().copied().zip(near.weights[places].iter().copied());
        assert_eq!((at(len), got.collect::<Vec<_>>()), (best.len(), best));
    }
    capped(&edges, cap, &found, &mut arena);
}

/// The nearest few of each row made a graph again: the edges that either end keeps, in both of their rows.
fn capped(edges: &Edges<'_, f64>, cap: usize, found: &[(Idx, Idx, f64)], arena: &mut Arena<'_>) {
    let vertices = edges.vertices();
    let places = vertices * cap;
    let (mut lens, mut ends, mut distances) = (vec![-7; vertices], vec![[-7; 2]; places], vec![f64::NAN; places]);
    let out = Nearest { lens: &mut lens, entries: &mut ends, distances: &mut distances };
    nearest_of_rows(edges, cap, 0, out, &mut ConflictCounters::default()).expect("the shapes fit");
    let list = Pairs::new(&ends, &distances, vertices).expect("unused places are loops");
    let (mut starts, mut rows, mut spare) = (vec![-7; vertices + 1], Rows::new(2 * places), Rows::new(2 * places));
    let counters = &mut ConflictCounters::default();
    let len = csr_from_pairs(&list, &mut starts, rows.all(), spare.all(), arena, counters).map(at);
    let len = len.expect("the shapes fit");

    let near = (0..vertices as Idx).flat_map(|v| oracle::nearest(found, v, cap).into_iter().map(move |near| (v, near)));
    let (kept, weights): (Vec<[Idx; 2]>, Vec<f64>) = near.map(|(v, (u, weight))| ([v, u], weight)).unzip();
    let want = oracle::csr(&kept, &weights, vertices);
    assert_eq!((&starts[..], &rows.targets[..len], &rows.weights[..len]), (&want.0[..], &want.1[..], &want.2[..]));
    let kept: Vec<(Idx, Idx)> = kept.iter().map(|pair| (pair[0], pair[1])).collect();
    let graph = Edges::new(&starts, &rows.targets[..len], &rows.weights[..len]).expect("the graph is well formed");
    let pairs = (0..vertices).flat_map(|v| graph.of(v).0.iter().map(move |&u| (v as Idx, u)));
    assert!(pairs.eq(oracle::kept_by_either_end(&kept)), "an edge is there if either end keeps it");
}

/// Dirty rows to write to.
struct Rows {
    targets: Vec<Idx>,
    weights: Vec<f64>,
}

impl Rows {
    fn new(len: usize) -> Self {
        Self { targets: vec![-7; len], weights: vec![f64::NAN; len] }
    }

    fn all(&mut self) -> EdgesMut<'_, f64> {
        EdgesMut { targets: &mut self.targets, weights: &mut self.weights }
    }

    fn of(&mut self, starts: &[Idx], range: &std::ops::Range<Idx>) -> EdgesMut<'_, f64> {
        let places = at(starts[at(range.start)])..at(starts[at(range.end)]);
        EdgesMut { targets: &mut self.targets[places.clone()], weights: &mut self.weights[places] }
    }
}

fn by_phases(list: &Pairs<'_, f64>, cut: Idx, arena: &mut Arena<'_>) -> (Vec<Idx>, Vec<Idx>, Vec<f64>) {
    let vertices = list.vertices();
    let ranges = [cut..vertices as Idx, 0..cut];
    let (mut degrees, mut repeated, mut starts) = (vec![-7; vertices], vec![-7; vertices + 1], vec![-7; vertices + 1]);
    for range in &ranges {
        count_degrees(list, range.start, &mut degrees[at(range.start)..at(range.end)]).expect("a range of vertices");
    }
    let len = at(scan_degrees(&degrees, &mut repeated).expect("the shapes fit"));
    let (mut rows, mut sorted) = (Rows::new(len), Rows::new(len));
    let mut written = 0;
    for range in &ranges {
        let out = rows.of(&repeated, range);
        written += scatter_pairs(list, &repeated, range.clone(), out, arena).map(at).expect("the shapes fit");
    }
    let edges = Edges::new(&repeated, &rows.targets, &rows.weights).expect("the graph is well formed");
    for range in &ranges {
        let out = sorted.of(&repeated, range);
        written += sort_rows(&edges, range.clone(), out, arena).map(at).expect("the shapes fit");
    }
    assert_eq!(written, 2 * len);
    let edges = Edges::new(&repeated, &sorted.targets, &sorted.weights).expect("the graph is well formed");
    for range in &ranges {
        count_unique(&edges, range.start, &mut degrees[at(range.start)..at(range.end)]).expect("a range of vertices");
    }
    let len = at(scan_degrees(&degrees, &mut starts).expect("the shapes fit"));
    let mut unique = Rows::new(len);
    for range in &ranges {
        let out = unique.of(&starts, range);
        copy_unique(&edges, &starts, range.clone(), out).expect("the shapes fit");
    }
    (starts, unique.targets, unique.weights)
}
