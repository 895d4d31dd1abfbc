//! Items under a function: queries per second by pivots, beside calling the function for every item.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::normal;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::oracle::tree::HandMade;
use covertree_kernels::order::{Fit, Frame, bounds, hilbert_keys};
use covertree_kernels::simd::Tier;
use covertree_kernels::topk::KBest;
use covertree_kernels::tree::{
    Boxes, Item, Items, PIVOTS_MAX, PivotItem, PivotItems, PivotScale, TreeView, knn, pivots_worth_having,
    search_blocks,
};
use covertree_kernels::view::{Panels, Rows};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const LEN: usize = 32_768;
const DIM: usize = 3;
const K: usize = 8;
const QUERIES: usize = 64;
const PIVOTS: usize = 4;

type Point = [f64; DIM];

/// The Minkowski distance of order three.
fn cubic(a: &Point, b: &Point) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs().powi(3)).sum::<f64>().cbrt()
}

fn points(len: usize, seed: u64) -> Vec<Point> {
    normal(len * DIM, seed).as_chunks::<DIM>().0.to_vec()
}

fn member(items: &[Point], row: usize) -> Item<'_, Point> {
    Item { value: &items[row], row: row as Idx, outside: false } // a row of the data
}

/// Rows of the pivots, the distances of all items to them, row by row, and the largest of these.
fn choose(items: &[Point]) -> (Vec<usize>, Vec<f64>, f64) {
    let order: Vec<Idx> = (0..items.len() as Idx).collect(); // rows of the data
    let metric = Items::new(items, &order, &cubic, &()).expect("every item is there");
    let (mut rows, mut columns, mut farthest, mut row) = (Vec::new(), Vec::new(), 0.0, 0);
    let mut least = vec![f64::INFINITY; items.len()];
    for _ in 0..PIVOTS {
        let mut column = vec![0.0; items.len()];
        let found = metric.remotest(member(items, row), 0, &mut column, &mut least).expect("all items");
        farthest = f64::max(farthest, found.largest);
        columns.push(column);
        rows.push(row);
        row = found.position;
    }
    let table = (0..items.len()).flat_map(|item| columns.iter().map(move |column| column[item])).collect();
    (rows, table, farthest)
}

fn items(criterion: &mut Criterion) {
    let given = points(LEN, 7);
    let (_, table, _) = choose(&given);
    let rows = Rows::new(&table, PIVOTS).expect("whole rows");
    let (mut low, mut high) = ([0.0; PIVOTS], [0.0; PIVOTS]);
    bounds(Tier::detect(), rows, &mut low, &mut high).expect("one per pivot");
    let frame = Frame::new(&low, &high, Fit::Cube).expect("a cube");
    let mut keys = vec![0; LEN];
    hilbert_keys(Tier::detect(), rows, &frame, 0, &mut keys).expect("a key for each row");
    let mut order: Vec<usize> = (0..LEN).collect();
    order.sort_by_key(|&row| keys[row]);
    let items: Vec<Point> = order.iter().map(|&row| given[row]).collect();

    let (pivots, table, farthest) = choose(&items);
    let scale = PivotScale::of(farthest);
    let table: Vec<f32> = table.into_iter().map(|distance| scale.coordinate(distance)).collect();
    let made = HandMade::boxed(table, PIVOTS, 32, 16);
    let places: Vec<Idx> = (0..LEN as Idx).collect(); // rows of the data
    let plain = Items::new(&items, &places, &cubic, &()).expect("every item is there");
    let panels = Panels::new(&made.packed, PIVOTS, LEN).expect("the table is packed");
    let corners = Panels::new(&made.corners, 2 * PIVOTS, made.groups.len()).expect("the boxes are packed");
    let metric = PivotItems::new(plain, panels, farthest).expect("one row per item");
    let metric = metric.with_boxes(Boxes::new(corners).expect("two corners each")).expect("an axis per pivot");
    let view = TreeView::new(made.parts()).expect("it is whole");
    let mut memory = vec![Block::default(); search_blocks(made.waiting)];
    let queries = points(QUERIES, 8);

    let mut group = criterion.benchmark_group("items");
    group.throughput(Throughput::Elements(QUERIES as u64));
    let (mut distances, mut found) = ([0.0; K], [NONE; K]);
    let brute = |query: &Point, distances: &mut [f64], found: &mut [Idx]| {
        let mut best = KBest::new(distances, found).expect("room for some");
        items.iter().zip(&made.ids).for_each(|(item, &id)| best.offer(cubic(query, item), id));
        black_box(best.finish());
    };
    for tier in Tier::all() {
        let mut nearest = |query: &Point, distances: &mut [f64], found: &mut [Idx]| {
            let mut to_pivots = [0.0; PIVOTS];
            for (out, &row) in to_pivots.iter_mut().zip(&pivots) {
                *out = scale.coordinate(cubic(query, &items[row]));
            }
            let item = Item { value: query, row: 0, outside: true };
            let query = PivotItem::new(item, &to_pivots).expect("not too many");
            let answer = knn(tier, view, &metric, query, NONE, distances, found, &mut Arena::new(&mut memory));
            assert_eq!(answer.map(|(found, _)| found), Ok(K));
        };
        brute(&queries[0], &mut distances, &mut found);
        let want = (distances, found);
        nearest(&queries[0], &mut distances, &mut found);
        assert_eq!((distances, found), want, "{tier}");
        group.bench_function(BenchmarkId::new("PivotItems", tier), |bench| {
            bench.iter(|| queries.iter().for_each(|query| nearest(query, &mut distances, &mut found)));
        });
    }
    group.bench_function("every item", |bench| {
        bench.iter(|| queries.iter().for_each(|query| brute(query, &mut distances, &mut found)));
    });
    group.finish();

    let sample = &items[..256];
    let all: Vec<f64> = sample.iter().flat_map(|a| sample.iter().map(move |b| cubic(a, b))).collect();
    let table = vec![1.0; sample.len() * PIVOTS_MAX];
    let mut group = criterion.benchmark_group("pivots_worth_having");
    group.throughput(Throughput::Elements(all.len() as u64)); // pairs
    group.bench_function("256", |bench| {
        bench.iter(|| pivots_worth_having(&all, black_box(&table), PIVOTS_MAX).expect("the shapes fit"));
    });
    group.finish();
}

/// One step of choosing pivots, beside a loop.
fn steps(criterion: &mut Criterion) {
    let items = points(LEN, 7);
    let order: Vec<Idx> = (0..LEN as Idx).collect(); // rows of the data
    let metric = Items::new(&items, &order, &cubic, &()).expect("every item is there");
    let (mut column, mut least) = (vec![0.0; LEN], vec![f64::INFINITY; LEN]);
    let (mut plain, mut plain_least) = (column.clone(), least.clone());
    let mut by_loop = || {
        let (mut next, mut far) = (0, 0.0);
        for (row, item) in black_box(&items).iter().enumerate() {
            plain[row] = cubic(&items[0], item);
            plain_least[row] = plain_least[row].min(plain[row]);
            if plain_least[row] > far {
                (next, far) = (row, plain_least[row]);
            }
        }
        (next, far)
    };
    let mut step = || metric.remotest(black_box(member(&items, 0)), 0, &mut column, &mut least).expect("all items");
    let found = step();
    assert_eq!((found.position, found.distance), by_loop());
    let mut group = criterion.benchmark_group("remotest");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function("kernel", |bench| bench.iter(&mut step));
    group.bench_function("plain loop", |bench| bench.iter(&mut by_loop));
    assert_eq!((column, least), (plain, plain_least));
    group.finish();
}

fn config() -> Criterion {
    Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = config(); targets = items, steps }
criterion_main!(benches);
