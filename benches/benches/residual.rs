//! Residual correlations: tiles of pairs at 512 columns, the settling formula, and the loops and gates around them.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::normal;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::covariance::{Covariance, CovarianceKind, Exponential};
use covertree_kernels::residual::{
    Counting, CutRows, GateCounters, GatePairs, GateSide, Members, PointRow, ResidualCounters, ResidualModel,
    ResidualPoints, ResidualQuery, ResidualRows, RhoTile, Shortlists, Step, Tails, block_to_run, gate_block,
    gate_block_blocks, gate_run, gather_row, listed_pairs, narrow, offer_rows, one_to_run, one_to_run_cut, pack_listed,
    pack_queries, pack_queries_blocks, residual_variances, row_norms, scalar, scales_and_margins, settle_positions,
    settle_run, tail_norms, unpack_rows,
};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const COLUMNS: usize = 512;
const DIM: usize = 3;
/// Points of a leaf; 16 leaves of them are the points of a run.
const LEAF: usize = 64;
const LEN: usize = 1024;

/// Points with rows of `V` of norm near 0.8, packed for `T`.
struct Fixture<T> {
    model: ResidualModel,
    coordinates: Vec<T>,
    v: Vec<T>,
    p: Vec<f64>,
    scales: Vec<T>,
    margins: Vec<T>,
}

impl<T: Exponential> Fixture<T> {
    fn new() -> Self {
        let covariance = Covariance::new(CovarianceKind::Matern52, 1.0).expect("the variance is in range");
        let model = ResidualModel::new(covariance, DIM, COLUMNS).expect("the shape is legal");
        let coordinates: Vec<T> = normal(LEN * DIM, 1).iter().map(|&z| T::from_f64(z)).collect();
        let wide_v: Vec<f64> = normal(LEN * COLUMNS, 2).iter().map(|z| 0.8 * z / (COLUMNS as f64).sqrt()).collect();
        let v = if T::LANES == 16 {
            let mut out = vec![0.0; LEN * COLUMNS];
            narrow(&model, LEN, &wide_v, &mut out).expect("the shapes fit");
            out.iter().map(|&v| T::from_f64(f64::from(v))).collect()
        } else {
            wide_v.iter().map(|&v| T::from_f64(v)).collect()
        };
        let mut norms = vec![0.0; LEN];
        row_norms(&model, &wide_v, &mut norms).expect("the shapes fit");
        let p: Vec<f64> = norms.iter().map(|norm| 1.0 - norm * norm).map(|p| p.max(1e-3)).collect();
        let mut scales = vec![T::default(); panels_len::<T>(LEN, 1)];
        let mut margins = scales.clone();
        scales_and_margins(&model, 8.0 * f32::ROUNDOFF, &norms, &p, &mut scales, &mut margins).expect("p is in range");
        Self { model, coordinates, v, p, scales, margins }
    }

    fn points(&self) -> ResidualPoints<'_, T> {
        let coordinates = Panels::new(&self.coordinates, DIM, LEN).expect("whole panels");
        ResidualPoints::new(self.model, coordinates, &self.v, &self.scales, &self.margins).expect("the shapes fit")
    }
}

fn tiles<T: Exponential>(criterion: &mut Criterion, name: &str) {
    let fixture = Fixture::<T>::new();
    let points = fixture.points();
    let all = points.run(0, points.panels()).expect("all panels");
    let (mut counters, least) = (ResidualCounters::default(), vec![0.9; LEAF]);
    let (mut z, mut v) = (vec![T::default(); DIM], vec![T::default(); COLUMNS]);
    gather_row(&points, 5, &mut z, &mut v).expect("the point is there");
    let query = ResidualQuery { coordinates: &z, v: &v, scale: fixture.scales[5], margin: fixture.margins[5] };
    let mut twin = vec![T::default(); LEN];
    scalar::one_to_run(&query, &all, &mut twin);

    let mut group = criterion.benchmark_group(format!("residual::block_to_run {name}"));
    group.throughput(Throughput::Elements((LEAF * LEN) as u64));
    let (mut out, mut masks) = (vec![T::default(); LEAF * LEN], vec![0; LEAF * points.panels()]);
    let leaf = points.run(0, LEAF / T::LANES).expect("the leaf is there");
    for tier in Tier::all() {
        let mut memory = vec![Block::default(); pack_queries_blocks::<T>(leaf.panels(), COLUMNS)];
        let queries = pack_queries(tier, &leaf, &mut Arena::new(&mut memory)).expect("the memory is enough");
        block_to_run(&queries, &all, &least, &mut out, &mut masks, &mut counters).expect("the shapes fit");
        for (got, want) in out[5 * LEN..6 * LEN].iter().zip(&twin) {
            assert!((got.to_f64() - want.to_f64()).abs() < 2e5 * T::ROUNDOFF, "{tier}: {got:?} for {want:?}");
        }
        group.bench_function(format!("{tier}/{LEAF}x{LEN}x{COLUMNS}"), |bencher| {
            bencher.iter(|| block_to_run(black_box(&queries), &all, &least, &mut out, &mut masks, &mut counters));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group(format!("residual::pack_queries {name}"));
    group.throughput(Throughput::Elements(LEAF as u64));
    let mut memory = vec![Block::default(); pack_queries_blocks::<T>(leaf.panels(), COLUMNS)];
    for tier in Tier::all() {
        group.bench_function(format!("{tier}/{LEAF}x{COLUMNS}"), |bencher| {
            bencher.iter(|| pack_queries(tier, black_box(&leaf), &mut Arena::new(&mut memory)).map(|_| ()));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group(format!("residual::one_to_run {name}"));
    group.throughput(Throughput::Elements(LEN as u64));
    let (mut out, mut masks) = (vec![T::default(); LEN], vec![0; points.panels()]);
    for tier in Tier::all() {
        group.bench_function(format!("{tier}/{LEN}x{COLUMNS}"), |bencher| {
            bencher.iter(|| one_to_run(tier, black_box(&query), &all, 0.9, &mut out, &mut masks, &mut counters));
        });
    }
    group.bench_function(format!("scalar twin/{LEN}x{COLUMNS}"), |bencher| {
        bencher.iter(|| scalar::one_to_run(black_box(&query), &all, &mut out));
    });
    group.finish();
}

fn tiles_of_both(criterion: &mut Criterion) {
    tiles::<f64>(criterion, "f64");
    tiles::<f32>(criterion, "f32");
}

fn settling(criterion: &mut Criterion) {
    let fixture = Fixture::<f64>::new();
    let points = fixture.points();
    let all = points.run(0, points.panels()).expect("all panels");
    let (mut z, mut v) = (vec![0.0; DIM], vec![0.0; COLUMNS]);
    gather_row(&points, 5, &mut z, &mut v).expect("the point is there");
    let query = PointRow { coordinates: &z, v: &v, p: fixture.p[5] };
    let (mut out, mut counters) = (vec![0.0; LEN], ResidualCounters::default());
    let mut group = criterion.benchmark_group("residual::settle_run");
    for (what, mask) in [("all lanes", 0xff_u32), ("one lane", 1)] {
        let masks = vec![mask; points.panels()];
        group.throughput(Throughput::Elements(u64::from(mask.count_ones()) * masks.len() as u64));
        for tier in Tier::all() {
            group.bench_function(format!("{tier} {what}/{LEN}x{COLUMNS}"), |bencher| {
                bencher.iter(|| settle_run(tier, query, black_box(&all), &fixture.p, &masks, &mut out, &mut counters));
            });
        }
    }
    group.finish();

    let mut rows = vec![0.0; LEN * COLUMNS];
    unpack_rows(&fixture.v, COLUMNS, &mut rows).expect("the shapes fit");
    let points =
        ResidualRows::new(fixture.model, points.coordinates(), &rows, &fixture.scales).expect("the shapes fit");
    let mut group = criterion.benchmark_group("residual::settle_positions");
    let positions: Vec<i32> = (0..LEN as i32).step_by(19).collect();
    group.throughput(Throughput::Elements(positions.len() as u64));
    for tier in Tier::all() {
        let (positions, out) = (&positions[..], &mut out[..positions.len()]);
        group.bench_function(format!("{tier}/{}x{COLUMNS}", positions.len()), |bencher| {
            bencher
                .iter(|| settle_positions(tier, query, &points, &fixture.p, black_box(positions), out, &mut counters));
        });
    }
    group.finish();
}

/// Listed pairs, whose best alternative is the row of a tile, and what is done with a tile.
fn listed(criterion: &mut Criterion) {
    let fixture = Fixture::<f64>::new();
    let points = fixture.points();
    let run = points.run(LEAF / 8, LEAF / 8).expect("a leaf");
    let mut rows = vec![0.0; LEN * COLUMNS];
    unpack_rows(&fixture.v, COLUMNS, &mut rows).expect("the shapes fit");
    let (mut z, mut v, mut rho) = (vec![0.0; DIM], vec![0.0; COLUMNS], vec![0.0; LEAF * LEAF]);
    let mut counters = ResidualCounters::default();
    let mut group = criterion.benchmark_group("residual::listed_pairs");
    let leaf = |leaf: usize| {
        let points = leaf * LEAF..(leaf + 1) * LEAF;
        let v = points.start * COLUMNS..points.end * COLUMNS;
        let coordinates = &fixture.coordinates[points.start * DIM..points.end * DIM];
        let coordinates = Panels::new(coordinates, DIM, LEAF).expect("whole panels");
        ResidualRows::new(fixture.model, coordinates, &rows[v], &fixture.scales[points]).expect("the shapes fit")
    };
    let (one, other) = (leaf(0), leaf(1));
    for every in [1, 8, 32] {
        let places: Vec<i32> = (0..LEAF).flat_map(|_| (0..LEAF as i32).step_by(every)).collect();
        let starts: Vec<i32> = (0..=LEAF).map(|row| (row * places.len() / LEAF) as i32).collect();
        group.throughput(Throughput::Elements(places.len() as u64));
        for tier in Tier::all() {
            let out = &mut rho[..places.len()];
            group.bench_function(format!("{tier}/f64/{}x{COLUMNS}", places.len()), |bencher| {
                bencher.iter(|| listed_pairs(tier, black_box(&one), &other, &starts, &places, out, &mut counters));
            });
        }
    }
    group.finish();
    for row in 0..LEAF {
        gather_row(&points, row, &mut z, &mut v).expect("the shapes fit");
        let (scale, margin) = points.scale_and_margin(row);
        let query = ResidualQuery { coordinates: &z, v: &v, scale, margin };
        let (out, masks) = (&mut rho[row * LEAF..][..LEAF], &mut [0; LEAF / 8]);
        one_to_run(Tier::detect(), &query, &run, 0.0, out, masks, &mut counters).expect("the shapes fit");
    }

    let order: Vec<i32> = (0..LEAF as i32).collect();
    let mut panels = vec![0.0; LEAF * COLUMNS];
    let mut group = criterion.benchmark_group("residual::pack_listed");
    group.throughput(Throughput::Bytes((LEAF * COLUMNS * 8) as u64));
    for tier in Tier::all() {
        group.bench_function(format!("{tier}/f64/{LEAF}x{COLUMNS}"), |bencher| {
            bencher.iter(|| pack_listed(tier, black_box(&rows), COLUMNS, &order, &mut panels));
        });
    }
    group.bench_function(format!("pack_rows, the plain twin/f64/{LEAF}x{COLUMNS}"), |bencher| {
        let rows = Rows::new(&rows, COLUMNS).expect("whole rows");
        bencher.iter(|| pack_rows(black_box(rows), &order, &mut panels));
    });
    group.finish();

    let mut group = criterion.benchmark_group("residual::residual_variances");
    group.throughput(Throughput::Elements(LEN as u64));
    let mut p = vec![0.0; LEN];
    group.bench_function(format!("{LEN}x{COLUMNS}"), |bencher| {
        bencher.iter(|| residual_variances(&fixture.model, 1.0, black_box(&fixture.v), &mut p));
    });
    group.finish();
    offers(criterion, &rho);
}

/// A tile in which one pair in a thousand passes.
fn offers(criterion: &mut Criterion, rho: &[f64]) {
    let mut sorted: Vec<f64> = rho.iter().map(|rho| rho.abs()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let threshold = sorted[sorted.len() - sorted.len() / 1000];
    let (ranks, margins, places) = ([0.0; LEAF], [1e-6; LEAF], (0..LEAF as i32).collect::<Vec<_>>());
    let members = Members { first: 0, len: LEAF, ranks: &ranks, margins: &margins };
    let tile = RhoTile { rho, places: &places, rows: members, columns: members };
    let (mut lowers, mut uppers, mut positions) = ([0.0; LEAF * LEAF], [0.0; LEAF * LEAF], [0; LEAF * LEAF]);
    let (mut counts, mut least) = ([0; LEAF], [threshold; LEAF]);
    let mut group = criterion.benchmark_group("residual::offer_rows");
    group.throughput(Throughput::Elements((LEAF * LEAF) as u64));
    for tier in Tier::all() {
        group.bench_function(format!("{tier}/{LEAF}x{LEAF}"), |bencher| {
            bencher.iter(|| {
                counts.fill(0);
                let mut lists = Shortlists {
                    k: 50,
                    room: LEAF,
                    lowers: &mut lowers,
                    uppers: &mut uppers,
                    positions: &mut positions,
                    counts: &mut counts,
                    least: &mut least,
                };
                offer_rows(tier, black_box(&tile), Counting::All, &mut lists)
            });
        });
    }
    group.finish();
}

fn early_exit(criterion: &mut Criterion) {
    let fixture = Fixture::<f64>::new();
    let points = fixture.points();
    let all = points.run(0, points.panels()).expect("all panels");
    let (mut z, mut v) = (vec![0.0; DIM], vec![0.0; COLUMNS]);
    gather_row(&points, 5, &mut z, &mut v).expect("the point is there");
    let query = ResidualQuery { coordinates: &z, v: &v, scale: fixture.scales[5], margin: fixture.margins[5] };
    let step = Step::new(64).expect("a multiple of 32");
    let tests = step.tests(COLUMNS);
    let mut tails = vec![0.0; LEN * tests];
    tail_norms(&fixture.model, step, LEN, &fixture.v, &mut tails).expect("the shapes fit");
    let own: Vec<f64> = (0..tests).map(|test| tails[test * 8 + 5]).collect();
    let (mut out, mut masks, mut ends) = (vec![0.0; LEN], vec![0; LEN / 8], vec![0; LEN / 8]);
    let mut counters = ResidualCounters::default();
    let mut group = criterion.benchmark_group("residual::one_to_run_cut f64");
    group.throughput(Throughput::Elements(LEN as u64));
    for (what, least) in [("never leaves", 0.0), ("leaves", 1.0)] {
        for tier in Tier::all() {
            group.bench_function(format!("{tier} {what}/{LEN}x{COLUMNS}"), |bencher| {
                bencher.iter(|| {
                    let cut = Tails { step, query: &own, points: &tails };
                    let rows = CutRows { out: &mut out, masks: &mut masks, ends: &mut ends };
                    one_to_run_cut(tier, black_box(&query), &all, cut, least, rows, &mut counters)
                });
            });
        }
    }
    group.bench_function(format!("scalar twin/{LEN}x{COLUMNS}"), |bencher| {
        bencher.iter(|| scalar::one_to_run(black_box(&query), &all, &mut out));
    });
    group.finish();
}

fn gates(criterion: &mut Criterion) {
    let features: Vec<f32> = normal(LEN * 64, 7).iter().map(|&z| z as f32).collect();
    let query: Vec<f32> = normal(64, 8).iter().map(|&z| z as f32).collect();
    let (mut squares, mut masks) = (vec![0.0; LEN], vec![0; LEN / 16]);
    let mut counters = GateCounters::default();
    let mut group = criterion.benchmark_group("residual::gate_run");
    group.throughput(Throughput::Elements(LEN as u64));
    for dim in [3, 64] {
        let panels = Panels::new(&features[..LEN * dim], dim, LEN).expect("whole panels");
        for tier in Tier::all() {
            group.bench_function(format!("{tier}/{LEN}x{dim}"), |bencher| {
                bencher.iter(|| {
                    let query = black_box(&query[..dim]);
                    gate_run(tier, 0.5, query, panels, &mut squares, &mut masks, &mut counters)
                });
            });
        }
        group.bench_function(format!("plain loop/{LEN}x{dim}"), |bencher| {
            bencher.iter(|| {
                for (panel, out) in
                    black_box(&features[..LEN * dim]).chunks_exact(dim * 16).zip(squares.chunks_exact_mut(16))
                {
                    out.fill(0.0);
                    for (q, row) in query.iter().zip(panel.chunks_exact(16)) {
                        for (square, x) in out.iter_mut().zip(row) {
                            *square += (q - x) * (q - x);
                        }
                    }
                }
            });
        });
    }
    group.finish();
    blocks_of_gates(criterion, &features);
}

/// Pairs of two leaves of 64 points, both of which have thresholds.
fn blocks_of_gates(criterion: &mut Criterion, features: &[f32]) {
    let (squares, ranks) = ([0.25; LEAF], [0.0; LEAF]);
    let mut memory = vec![Block::default(); gate_block_blocks(LEAF)];
    let mut masks = [0; LEAF * LEAF / 8];
    let mut group = criterion.benchmark_group("residual::gate_block");
    group.throughput(Throughput::Elements((LEAF * LEAF) as u64));
    for dim in [3, 64] {
        let side = GateSide { squares: &squares, ranks: &ranks };
        let pairs = GatePairs {
            queries: Rows::new(&features[..LEAF * dim], dim).expect("whole rows"),
            features: Panels::new(&features[..LEAF * dim], dim, LEAF).expect("whole panels"),
            rows: side,
            columns: side,
        };
        for tier in Tier::all() {
            group.bench_function(format!("{tier}/{LEAF}x{LEAF}x{dim}"), |bencher| {
                bencher.iter(|| {
                    let mut arena = Arena::new(&mut memory);
                    gate_block(tier, black_box(&pairs), Counting::Others, &mut masks, &mut arena)
                });
            });
        }
        group.bench_function(format!("plain loop/{LEAF}x{LEAF}x{dim}"), |bencher| {
            bencher.iter(|| {
                masks.fill(0);
                for (i, one) in black_box(&features[..LEAF * dim]).chunks_exact(dim).enumerate() {
                    for (j, other) in features[..LEAF * dim].chunks_exact(dim).enumerate() {
                        let square: f32 = one.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum();
                        masks[(i * LEAF + j) / 8] |= u32::from(square <= squares[i] || square <= squares[j]) << (j % 8);
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    targets = tiles_of_both, listed, settling, early_exit, gates
}
criterion_main!(benches);
