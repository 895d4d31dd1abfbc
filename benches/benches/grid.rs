//! Hash grid: million points per second, beside a hash map of the standard library and a sort.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use covertree_benches::uniform;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::grid::*;
use covertree_kernels::group::{
    GroupCounters, Groups, key_runs, least_per_group, radix_sort_keys, radix_sort_keys_blocks,
};
use covertree_kernels::hash::{GOLDEN, mix64, stream};
use covertree_kernels::index::{Idx, NONE, at};
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

/// The cell of a point, as the family describes it.
fn plain_cell(row: &[f32], offsets: &[f64; 3]) -> [i64; 3] {
    std::array::from_fn(|d| ((f64::from(row[d]) + offsets[d]) / WIDTH).floor() as i64) // far from any limit
}

/// The key of a cell, as the family describes it.
fn plain_key(cell: [i64; 3]) -> u64 {
    let start = stream(u64::from(LEVEL as u32), 0); // the bits of the level
    cell.into_iter().fold(start, |key, cell| mix64((key ^ cell as u64).wrapping_add(GOLDEN)))
}

/// The offsets of the grid: a hashed fraction of the width for each dimension.
fn plain_offsets(seed: u64, offsets: &mut [f64; 3]) {
    let state = stream(stream(seed, 0), LEVEL as u32); // the bits of the level
    for (d, offset) in (1..).zip(offsets) {
        let word = mix64(state.wrapping_add(GOLDEN.wrapping_mul(d)));
        *offset = (word >> 11) as f64 / (1u64 << 53) as f64 * WIDTH; // 53 bits are a fraction
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
    let mut plain = vec![0; LEN];
    let plain_keys = |plain: &mut [u64]| {
        for (row, key) in black_box(&fixture.points).chunks_exact(3).zip(plain) {
            *key = plain_key(plain_cell(row, &fixture.offsets));
        }
    };
    plain_keys(&mut plain);
    assert_eq!(keys, plain);
    let mut group = c.benchmark_group("cell_keys");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("f32", format!("{LEN}x3")), |b| {
        b.iter(|| cell_keys(black_box(rows), &fixture.ids, &grid, &mut keys))
    });
    group.bench_function(BenchmarkId::new("plain loop", format!("{LEN}x3")), |b| b.iter(|| plain_keys(&mut plain)));
    group.finish();

    let (mut near, mut plain) = (vec![0; 27], vec![0; 27]);
    let plain_near = |plain: &mut [u64]| {
        let [x, y, z] = plain_cell(black_box(rows.row(9)), &fixture.offsets);
        for (key, place) in plain.iter_mut().zip(0..) {
            *key = plain_key([x + place / 9 - 1, y + place / 3 % 3 - 1, z + place % 3 - 1]);
        }
    };
    neighbour_keys(rows.row(9), &grid, 1, &mut near).expect("the shapes fit");
    plain_near(&mut plain);
    assert_eq!(near, plain);
    let mut group = c.benchmark_group("neighbour_keys");
    group.throughput(Throughput::Elements(27));
    group.bench_function(BenchmarkId::new("f32", "one ring x3"), |b| {
        b.iter(|| neighbour_keys(black_box(rows.row(9)), &grid, 1, &mut near))
    });
    group.bench_function(BenchmarkId::new("plain loop", "one ring x3"), |b| b.iter(|| plain_near(&mut plain)));
    group.finish();

    let (mut offsets, mut plain) = ([0.0; 3], [0.0; 3]);
    plain_offsets(SEED, &mut plain);
    assert_eq!(fixture.offsets, plain);
    let mut group = c.benchmark_group("grid_offsets");
    group.throughput(Throughput::Elements(3));
    group.bench_function(BenchmarkId::new("hashed", 3), |b| {
        b.iter(|| grid_offsets(black_box(SEED), LEVEL, 0, WIDTH, &mut offsets))
    });
    group.bench_function(BenchmarkId::new("plain loop", 3), |b| b.iter(|| plain_offsets(black_box(SEED), &mut plain)));
    group.finish();
}

fn leaders(c: &mut Criterion) {
    let fixture = Fixture::new();
    let (keys, ids) = (fixture.keys(), &fixture.ids);
    let (mut memory, mut counters) = (vec![Block::splat(0); cell_table_blocks(LEN)], GridCounters::default());
    let map = by_map(&keys, ids);
    let mut group = c.benchmark_group("cell_leaders");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("table", LEN), |b| {
        b.iter(|| {
            let arena = &mut Arena::new(&mut memory);
            let table = CellTable::build(black_box(&keys), ids, SEED, LEVEL, arena, &mut counters);
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
            let (arena, counters) = (&mut Arena::new(&mut scratch), &mut GroupCounters::default());
            radix_sort_keys(&mut keys, &mut ids, arena, counters).expect("the shapes fit");
            let runs = key_runs(&keys, &mut starts).expect("the keys rise") as usize;
            let groups = Groups::new(&starts[..=runs], &ids, LEN as Idx).expect("the runs are whole");
            least_per_group(groups, &priorities, 0, &mut winners[..runs])
        })
    });
    group.finish();

    let table = CellTable::build(&keys, ids, SEED, LEVEL, &mut Arena::new(&mut memory), &mut counters)
        .expect("the memory suffices");
    assert_eq!(table.cells() as usize, map.len());
    assert!(map.iter().all(|(&key, &leader)| table.leader(key) == leader));
    let mut marks = vec![0; LEN];
    let mut group = c.benchmark_group("mark_leaders");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("table", LEN), |b| {
        b.iter(|| mark_leaders(&table, black_box(&keys), ids, &mut marks, &mut counters))
    });
    group.bench_function(BenchmarkId::new("std_hash_map", LEN), |b| {
        b.iter(|| {
            for ((key, id), mark) in keys.iter().zip(ids).zip(&mut marks) {
                *mark |= u8::from(map[key] == *id);
            }
        })
    });
    group.finish();

    looked_up(c, &fixture, &table, &map);
}

/// Look-ups of the leader of each point's own cell, and whether it is near enough.
fn looked_up(c: &mut Criterion, fixture: &Fixture, table: &CellTable<'_>, map: &HashMap<u64, Idx>) {
    let (keys, ids, rows) = (fixture.keys(), &fixture.ids, fixture.rows());
    let (mut found, mut counters) = (vec![NONE; LEN], GridCounters::default());
    table.find(&keys, &mut found, &mut counters).expect("the shapes fit");
    assert!(keys.iter().zip(&found).all(|(key, leader)| map[key] == *leader));
    let mut group = c.benchmark_group("find_leaders");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("table", LEN), |b| {
        b.iter(|| table.find(black_box(&keys), &mut found, &mut counters))
    });
    group.bench_function(BenchmarkId::new("std_hash_map", LEN), |b| {
        b.iter(|| {
            for (key, leader) in black_box(&keys).iter().zip(&mut found) {
                *leader = map.get(key).copied().unwrap_or(NONE);
            }
        })
    });
    group.finish();

    let starts: Vec<Idx> = (0..=LEN as Idx).collect();
    let candidates = Groups::new(&starts, &found, LEN as Idx).expect("one candidate each");
    let mut covers = EuclideanWithin::new(rows, WIDTH);
    let (mut by, mut plain) = (vec![NONE; LEN], vec![NONE; LEN]);
    let by_loop = |plain: &mut [Idx]| {
        for ((&id, &leader), by) in black_box(ids).iter().zip(&found).zip(plain) {
            let terms = rows.row(at(id)).iter().zip(rows.row(at(leader))).map(|(&x, &y)| f64::from(x) - f64::from(y));
            let square = terms.fold(0.0, |sum, term| sum + term * term);
            *by = if square.sqrt() <= WIDTH { leader } else { NONE };
        }
    };
    coverage(ids, candidates, &mut covers, &mut by, &mut counters).expect("the shapes fit");
    by_loop(&mut plain);
    assert_eq!(by, plain);
    let mut group = c.benchmark_group("coverage");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("own_cell", LEN), |b| {
        b.iter(|| coverage(black_box(ids), candidates, &mut covers, &mut by, &mut counters))
    });
    group.bench_function(BenchmarkId::new("plain loop", LEN), |b| b.iter(|| by_loop(&mut plain)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    targets = cells, leaders
}
criterion_main!(benches);
