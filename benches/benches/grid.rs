//! Hash grid: million points per second, beside a hash map of the standard library and a sort.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use covertree_benches::uniform;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::grid::*;
use covertree_kernels::group::{Groups, key_runs, least_per_group, radix_sort_keys, radix_sort_keys_blocks};
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::view::Rows;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const LEN: usize = 200_000;
const SEED: u64 = 42;
const LEVEL: Idx = -3;
/// About eight points per cell.
const WIDTH: f64 = 0.034;

/// Points in the unit cube with their grid.
struct Fixture {
    points: Vec<f32>,
    ids: Vec<Idx>,
    offsets: [f64; 3],
}

impl Fixture {
    fn new() -> Self {
        let points = uniform(3 * LEN, 7).into_iter().map(|x| x as f32).collect();
        let mut offsets = [0.0; 3];
        grid_offsets(SEED, LEVEL, 0, WIDTH, &mut offsets).expect("the width is positive");
        Self { points, ids: (0..LEN as Idx).collect(), offsets }
    }

    fn rows(&self) -> Rows<'_, f32> {
        Rows::new(&self.points, 3).expect("whole rows")
    }

    fn grid(&self) -> Grid<'_> {
        Grid::new(WIDTH, &self.offsets, LEVEL, 0).expect("the grid is well formed")
    }

    fn keys(&self) -> Vec<u64> {
        let mut keys = vec![0; LEN];
        cell_keys(self.rows(), &self.ids, &self.grid(), &mut keys).expect("the shapes fit");
        keys
    }
}

/// Leaders by the hash map of the standard library.
fn by_map(keys: &[u64], ids: &[Idx]) -> HashMap<u64, Idx> {
    let mut leaders = HashMap::new();
    for (&key, &id) in keys.iter().zip(ids) {
        let rank = |id| (leader_priority(SEED, LEVEL, id), id);
        leaders.entry(key).and_modify(|leader| *leader = rank(id).min(rank(*leader)).1).or_insert(id);
    }
    leaders
}

fn cells(c: &mut Criterion) {
    let fixture = Fixture::new();
    let (rows, grid, mut keys) = (fixture.rows(), fixture.grid(), fixture.keys());
    let mut group = c.benchmark_group("cell_keys");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("f32", format!("{LEN}x3")), |b| {
        b.iter(|| cell_keys(black_box(rows), &fixture.ids, &grid, &mut keys))
    });
    group.finish();
    let mut near = vec![0; 27];
    let mut group = c.benchmark_group("neighbour_keys");
    group.throughput(Throughput::Elements(27));
    group.bench_function(BenchmarkId::new("f32", "one ring x3"), |b| {
        b.iter(|| neighbour_keys(black_box(rows.row(9)), &grid, 1, &mut near))
    });
    group.finish();
}

fn leaders(c: &mut Criterion) {
    let fixture = Fixture::new();
    let (keys, ids) = (fixture.keys(), &fixture.ids);
    let mut memory = vec![Block::splat(0); cell_table_blocks(LEN)];
    let map = by_map(&keys, ids);
    let mut group = c.benchmark_group("cell_leaders");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("table", LEN), |b| {
        b.iter(|| {
            let table = CellTable::build(black_box(&keys), ids, SEED, LEVEL, &mut Arena::new(&mut memory));
            table.expect("the memory suffices").cells()
        })
    });
    group.bench_function(BenchmarkId::new("std_hash_map", LEN), |b| b.iter(|| by_map(black_box(&keys), ids).len()));
    let priorities: Vec<u64> = ids.iter().map(|&id| leader_priority(SEED, LEVEL, id)).collect();
    let mut scratch = vec![Block::splat(0); radix_sort_keys_blocks(LEN)];
    let (mut starts, mut winners) = (vec![0; LEN + 1], vec![0; LEN]);
    group.bench_function(BenchmarkId::new("radix_sort_and_least_per_group", LEN), |b| {
        b.iter(|| {
            let (mut keys, mut ids) = (keys.clone(), ids.clone());
            radix_sort_keys(&mut keys, &mut ids, &mut Arena::new(&mut scratch)).expect("the shapes fit");
            let runs = key_runs(&keys, &mut starts).expect("the keys rise") as usize;
            let groups = Groups::new(&starts[..=runs], &ids, LEN as Idx).expect("the runs are whole");
            least_per_group(groups, &priorities, 0, &mut winners[..runs])
        })
    });
    group.finish();

    let table = CellTable::build(&keys, ids, SEED, LEVEL, &mut Arena::new(&mut memory)).expect("the memory suffices");
    assert_eq!(table.cells() as usize, map.len());
    assert!(map.iter().all(|(&key, &leader)| table.leader(key) == leader));
    let mut marks = vec![0; LEN];
    let mut group = c.benchmark_group("mark_leaders");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("table", LEN), |b| {
        b.iter(|| mark_leaders(&table, black_box(&keys), ids, &mut marks))
    });
    group.bench_function(BenchmarkId::new("std_hash_map", LEN), |b| {
        b.iter(|| {
            for ((key, id), mark) in keys.iter().zip(ids).zip(&mut marks) {
                *mark |= u8::from(map[key] == *id);
            }
        })
    });
    group.finish();

    let mut found = vec![NONE; LEN];
    table.find(&keys, &mut found).expect("the shapes fit");
    assert!(keys.iter().zip(&found).all(|(key, leader)| map[key] == *leader));
    let mut group = c.benchmark_group("find_leaders");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("table", LEN), |b| b.iter(|| table.find(black_box(&keys), &mut found)));
    group.finish();
    let starts: Vec<Idx> = (0..=LEN as Idx).collect();
    let candidates = Groups::new(&starts, &found, LEN as Idx).expect("one candidate each");
    let mut covers = EuclideanWithin::new(fixture.rows(), WIDTH);
    let mut by = vec![NONE; LEN];
    let mut group = c.benchmark_group("coverage");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("own_cell", LEN), |b| {
        b.iter(|| coverage(black_box(ids), candidates, &mut covers, &mut by))
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    targets = cells, leaders
}
criterion_main!(benches);
