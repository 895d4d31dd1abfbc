//! Projections onto principal axes: rows per second, and what searching by them saves beside the coordinates alone.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::normal;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::SquaredEuclidean;
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::projection::{
    AXES, Projection, excess, principal_axes, principal_axes_blocks, project_rows, scalar,
};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{Coordinates, Group, TreeParts, TreeView, knn, search_blocks};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const LEN: usize = 16_384;
const DIM: usize = 64;
/// Dimension of the plane that the points lie near.
const PLANE: usize = 8;
const SAMPLE: usize = 1024;
const K: usize = 8;

/// Points near a plane.
fn points(len: usize) -> Vec<f32> {
    let (axes, along, noise) = (normal(PLANE * DIM, 1), normal(len * PLANE, 2), normal(len * DIM, 3));
    let value = |place: usize| {
        let (row, d) = (place / DIM, place % DIM);
        (0..PLANE).map(|axis| along[row * PLANE + axis] * axes[axis * DIM + d]).sum::<f64>() + 0.05 * noise[place]
    };
    (0..len * DIM).map(|place| value(place) as f32).collect()
}

fn pack(rows: &[f32], width: usize) -> Vec<f32> {
    let order: Vec<Idx> = (0..(rows.len() / width) as Idx).collect(); // rows of the data
    let mut packed = vec![0.0; panels_len::<f32>(order.len(), width)];
    pack_rows(Rows::new(rows, width).expect("whole rows"), &order, &mut packed).expect("these are rows");
    packed
}

fn projection(criterion: &mut Criterion) {
    let rows = points(LEN);
    let whole = Rows::new(&rows, DIM).expect("whole rows");
    let sample = Rows::new(&rows[..SAMPLE * DIM], DIM).expect("whole rows");
    let (mut center, mut axes) = (vec![0.0; DIM], vec![0.0; DIM * AXES]);
    let mut memory = vec![Block::default(); principal_axes_blocks(DIM)];
    let best = Tier::detect();
    let mut find = |tier: Tier, center: &mut [f64], axes: &mut [f64]| {
        principal_axes(tier, sample, center, axes, &mut Arena::new(&mut memory)).expect("the shapes fit")
    };
    let count = find(best, &mut center, &mut axes);
    assert_eq!(count, PLANE);
    let projection = Projection::new(&center, &axes, count).expect("they were made for it");
    let width = projection.width();
    let mut projected = vec![0.0; LEN * width];
    let spread = project_rows(best, &projection, whole, &mut projected).expect("the shapes fit");

    let mut group = criterion.benchmark_group("principal_axes");
    group.throughput(Throughput::Elements(SAMPLE as u64));
    let (mut other_center, mut other_axes, mut moments) = (vec![0.0; DIM], vec![0.0; DIM * AXES], axes.clone());
    for tier in Tier::all() {
        assert_eq!(find(tier, &mut other_center, &mut other_axes), count);
        assert!(other_center == center && other_axes == axes, "{tier}");
        group.bench_function(BenchmarkId::new("64 dimensions", tier), |bench| {
            bench.iter(|| find(tier, black_box(&mut other_center), &mut other_axes));
        });
    }
    let mut by_twin = || scalar::principal_axes(black_box(sample), &mut other_center, &mut other_axes, &mut moments);
    assert_eq!(by_twin(), count);
    group.bench_function("64 dimensions/twin", |bench| bench.iter(&mut by_twin));
    assert!(other_center == center && other_axes == axes);
    let mut matrix = vec![0.0; DIM * DIM];
    group.bench_function("64 dimensions/plain loop, the matrix of covariances alone", |bench| {
        bench.iter(|| covariances(black_box(sample), &center, &mut matrix));
    });
    group.finish();
    projected_rows(criterion, &projection, whole, &projected);
    first_look(criterion, &rows, &projected, &projection, spread);
}

/// What a decomposition of the matrix of covariances, the usual way to principal axes, begins with.
fn covariances(rows: Rows<'_, f32>, center: &[f64], matrix: &mut [f64]) {
    matrix.fill(0.0);
    for row in rows.data().chunks_exact(DIM) {
        let apart: [f64; DIM] = std::array::from_fn(|d| f64::from(row[d]) - center[d]);
        for (a, sums) in apart.iter().zip(matrix.chunks_exact_mut(DIM)) {
            sums.iter_mut().zip(&apart).for_each(|(sum, b)| *sum += a * b);
        }
    }
}

fn projected_rows(criterion: &mut Criterion, projection: &Projection<'_>, rows: Rows<'_, f32>, want: &[f32]) {
    let mut out = vec![0.0; LEN * projection.width()];
    let mut group = criterion.benchmark_group("project_rows");
    group.throughput(Throughput::Elements(LEN as u64));
    for tier in Tier::all() {
        let mut project = || project_rows(tier, projection, rows, black_box(&mut out)).expect("the shapes fit");
        project();
        group.bench_function(BenchmarkId::new("64 dimensions", tier), |bench| bench.iter(&mut project));
        assert!(out == want, "{tier}");
    }
    out.fill(0.0);
    scalar::project_rows(projection, rows, &mut out);
    assert!(out == want);
    group.bench_function("64 dimensions/twin", |bench| {
        bench.iter(|| scalar::project_rows(projection, black_box(rows), &mut out));
    });
    group.finish();
}

/// One group of all points: what a first look at the projection saves of the sums over the coordinates.
fn first_look(criterion: &mut Criterion, rows: &[f32], projected: &[f32], projection: &Projection<'_>, spread: f64) {
    let (best, width, count) = (Tier::detect(), projection.width(), projection.count());
    let ids: Vec<Idx> = (0..LEN as Idx).collect(); // rows of the data
    let levels = vec![0; LEN];
    let end = LEN as Idx; // as above
    let groups = [Group { first: 1, block: end, end, reach: f32::INFINITY, ..Group::default() }];
    let view =
        TreeView::new(TreeParts { ids: &ids, levels: &levels, groups: &groups, waiting: 1 }).expect("it is whole");
    let mut memory = vec![Block::default(); search_blocks(1)];
    let (plain, ahead) = (pack(rows, DIM), pack(projected, width));
    let plain = Coordinates::<f32, SquaredEuclidean>::new(Panels::new(&plain, DIM, LEN).expect("packed"));
    let ahead = Panels::new(&ahead, width, LEN).expect("packed");
    let ahead = Coordinates::projected(ahead, count, excess::<f32>(DIM, spread)).expect("they are projected");
    let mut group = criterion.benchmark_group("first look");
    group.throughput(Throughput::Elements(LEN as u64));
    let mut answers = Vec::new();
    for (name, metric, query) in
        [("coordinates", plain, &rows[7 * DIM..8 * DIM]), ("projected", ahead, &projected[7 * width..8 * width])]
    {
        let (mut distances, mut found) = ([0.0; K], [NONE; K]);
        let mut look = || {
            let arena = &mut Arena::new(&mut memory);
            knn(best, view, &metric, black_box(query), NONE, &mut distances, &mut found, arena).expect("it fits")
        };
        look();
        group.bench_function(name, |bench| bench.iter(&mut look));
        answers.push((distances, found));
    }
    assert_eq!(answers[0], answers[1]);
    group.finish();
}

fn config() -> Criterion {
    Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = config(); targets = projection }
criterion_main!(benches);
