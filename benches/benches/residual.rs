//! Residual correlations: tiles of pairs at 512 columns, the loop that leaves early, and what is made once of `V`.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::residual::{COLUMNS, DIM, Fixture, LEAF, LEN, OFFSET};
use covertree_benches::uniform;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::covariance::Exponential;
use covertree_kernels::residual::{
    CutRows, P_FLOOR, ResidualCounters, ResidualRun, Step, Tails, block_to_run, block_where, block_where_blocks,
    gather_row, least_correlation, narrow, one_to_run, one_to_run_cut, pack_queries, pack_queries_blocks,
    residual_distance, residual_variances, row_norms, scalar, scales_and_margins, tail_norms,
};
use covertree_kernels::simd::Tier;
use covertree_kernels::view::panels_len;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use products::by_gemm;
use timing::time;

#[path = "../src/products.rs"]
mod products;
#[path = "../src/timing.rs"]
mod timing;

/// Whether what was computed in two orders of the sums agrees.
fn agree<T: Exponential>(got: &[T], want: &[T]) -> bool {
    got.iter().zip(want).all(|(got, want)| (got.to_f64() - want.to_f64()).abs() < 2e5 * T::ROUNDOFF)
}

fn blocks<T: Exponential>(criterion: &mut Criterion, name: &str, fixture: &Fixture<T>) {
    let points = fixture.points();
    let all = points.run(0, points.panels()).expect("all panels");
    let (mut counters, least) = (ResidualCounters::default(), vec![0.9; LEAF]);
    let leaf = points.run(0, LEAF / T::LANES).expect("the leaf is there");
    let (mut twin, mut masks) = (vec![T::default(); LEAF * LEN], vec![0; LEAF * points.panels()]);
    let mut memory = vec![Block::default(); pack_queries_blocks::<T>(leaf.panels(), COLUMNS)];
    let plain = scalar::pack_queries(Tier::PORTABLE, &leaf, &mut Arena::new(&mut memory));
    scalar::block_to_run(&plain, &all, &least, &mut twin, &mut masks);

    let mut group = criterion.benchmark_group(format!("residual::block_to_run {name}"));
    group.throughput(Throughput::Elements((LEAF * LEN) as u64));
    let mut out = vec![T::default(); LEAF * LEN];
    for tier in Tier::all() {
        let mut memory = vec![Block::default(); pack_queries_blocks::<T>(leaf.panels(), COLUMNS)];
        let queries = pack_queries(tier, &leaf, &mut Arena::new(&mut memory)).expect("the memory is enough");
        block_to_run(&queries, &all, &least, &mut out, &mut masks, &mut counters).expect("the shapes fit");
        assert!(agree(&out, &twin), "{tier}");
        group.bench_function(format!("{tier}/{LEAF}x{LEN}x{COLUMNS}"), |bencher| {
            bencher.iter(|| block_to_run(black_box(&queries), &all, &least, &mut out, &mut masks, &mut counters));
        });
    }
    let rows = fixture.rows();
    by_product(fixture, &rows, &mut out);
    assert!(agree(&out, &twin));
    group.bench_function(format!("gemm and a plain loop/{LEAF}x{LEN}x{COLUMNS}"), |bencher| {
        bencher.iter(|| by_product(fixture, black_box(&rows), &mut out));
    });
    group.bench_function(format!("scalar twin/{LEAF}x{LEN}x{COLUMNS}"), |bencher| {
        bencher.iter(|| scalar::block_to_run(black_box(&plain), &all, &least, &mut twin, &mut masks));
    });
    group.finish();
    packing(criterion, name, &leaf);
}

/// The rows of a leaf, packed for the tiles.
fn packing<T: Exponential>(criterion: &mut Criterion, name: &str, leaf: &ResidualRun<'_, T>) {
    let mut group = criterion.benchmark_group(format!("residual::pack_queries {name}"));
    group.throughput(Throughput::Elements(LEAF as u64));
    let mut memory = vec![Block::default(); pack_queries_blocks::<T>(leaf.panels(), COLUMNS)];
    let mut twin = memory.clone();
    for tier in Tier::all() {
        pack_queries(tier, leaf, &mut Arena::new(&mut memory)).expect("the memory is enough");
        scalar::pack_queries(tier, leaf, &mut Arena::new(&mut twin));
        assert!(memory == twin, "{tier}");
        group.bench_function(format!("{tier}/{LEAF}x{COLUMNS}"), |bencher| {
            bencher.iter(|| pack_queries(tier, black_box(leaf), &mut Arena::new(&mut memory)).map(|_| ()));
        });
    }
    group.bench_function(format!("scalar twin/{LEAF}x{COLUMNS}"), |bencher| {
        bencher.iter(|| _ = scalar::pack_queries(Tier::PORTABLE, black_box(leaf), &mut Arena::new(&mut twin)));
    });
    group.finish();
}

/// The filter of a leaf and a run as one writes it with a library: the products of the rows of `V` by `gemm`, the
/// covariances by a loop.
fn by_product<T: Exponential>(fixture: &Fixture<T>, [coordinates, v]: &[Vec<T>; 2], out: &mut [T]) {
    by_gemm(&v[..LEAF * COLUMNS], v, COLUMNS, out);
    for (i, (one, out)) in coordinates.chunks_exact(DIM).zip(out.chunks_exact_mut(LEN)).enumerate() {
        for (j, (other, out)) in coordinates.chunks_exact(DIM).zip(out).enumerate() {
            let terms = one.iter().zip(other).map(|(a, b)| a.to_f64() - b.to_f64());
            let covariance = fixture.model.covariance().exact(terms.map(|term| term * term).sum());
            *out = T::from_f64(covariance - out.to_f64()) * (fixture.scales[i] * fixture.scales[j]);
        }
    }
}

/// A block of which one panel in about seven is wanted.
fn parts<T: Exponential>(criterion: &mut Criterion, name: &str, fixture: &Fixture<T>) {
    let points = fixture.points();
    let all = points.run(0, points.panels()).expect("all panels");
    let leaf = points.run(0, LEAF / T::LANES).expect("the leaf is there");
    let wanted: Vec<u32> = (0..LEAF * all.panels()).map(|place| u32::from(place % all.panels() % 7 == 3)).collect();
    let (mut out, mut twin, mut counters) =
        (vec![T::default(); LEAF * LEN], vec![T::default(); LEAF * LEN], ResidualCounters::default());
    let mut memory = vec![Block::default(); pack_queries_blocks::<T>(leaf.panels(), COLUMNS)];
    let plain = scalar::pack_queries(Tier::PORTABLE, &leaf, &mut Arena::new(&mut memory));
    scalar::block_where(&plain, &all, &wanted, &mut twin);
    let mut group = criterion.benchmark_group(format!("residual::block_where {name}"));
    group.throughput(Throughput::Elements((LEAF * LEN) as u64));
    for tier in Tier::all() {
        let mut memory = vec![Block::default(); pack_queries_blocks::<T>(leaf.panels(), COLUMNS)];
        let mut scratch = vec![Block::default(); block_where_blocks::<T>(leaf.panels(), all.panels())];
        let queries = pack_queries(tier, &leaf, &mut Arena::new(&mut memory)).expect("the memory is enough");
        let mut run = |out: &mut [T]| {
            let mut arena = Arena::new(&mut scratch);
            block_where(&queries, &all, black_box(&wanted), out, &mut arena, &mut counters)
        };
        run(&mut out).expect("the shapes fit");
        // One point of a panel is wanted, the first.
        let marked = (0..wanted.len()).filter(|&panel| wanted[panel] != 0).map(|panel| panel * T::LANES);
        assert!(marked.into_iter().all(|place| agree(&out[place..=place], &twin[place..=place])), "{tier}");
        group.bench_function(format!("{tier}/{LEAF}x{LEN}x{COLUMNS}"), |bencher| bencher.iter(|| run(&mut out)));
    }
    group.bench_function(format!("scalar twin/{LEAF}x{LEN}x{COLUMNS}"), |bencher| {
        bencher.iter(|| scalar::block_where(&plain, &all, black_box(&wanted), &mut twin));
    });
    group.finish();
}

fn runs<T: Exponential>(criterion: &mut Criterion, name: &str, fixture: &Fixture<T>) {
    let points = fixture.points();
    let all = points.run(0, points.panels()).expect("all panels");
    let row = fixture.row(5);
    let (query, mut counters) = (row.query(), ResidualCounters::default());
    let (mut out, mut twin, mut masks) = (vec![T::default(); LEN], vec![T::default(); LEN], vec![0; points.panels()]);
    scalar::one_to_run(&query, &all, 0.9, &mut twin, &mut masks);
    let mut group = criterion.benchmark_group(format!("residual::one_to_run {name}"));
    group.throughput(Throughput::Elements(LEN as u64));
    for tier in Tier::all() {
        one_to_run(tier, &query, &all, 0.9, &mut out, &mut masks, &mut counters).expect("the shapes fit");
        assert!(agree(&out, &twin), "{tier}");
        group.bench_function(format!("{tier}/{LEN}x{COLUMNS}"), |bencher| {
            bencher.iter(|| one_to_run(tier, black_box(&query), &all, 0.9, &mut out, &mut masks, &mut counters));
        });
    }
    group.bench_function(format!("scalar twin/{LEN}x{COLUMNS}"), |bencher| {
        bencher.iter(|| scalar::one_to_run(black_box(&query), &all, 0.9, &mut twin, &mut masks));
    });
    group.finish();
}

fn tiles_of_both(criterion: &mut Criterion) {
    fn tiles<T: Exponential>(criterion: &mut Criterion, name: &str) {
        let fixture = Fixture::<T>::new();
        blocks(criterion, name, &fixture);
        parts(criterion, name, &fixture);
        runs(criterion, name, &fixture);
    }
    tiles::<f64>(criterion, "f64");
    tiles::<f32>(criterion, "f32");
}

fn early_exit(criterion: &mut Criterion) {
    let fixture = Fixture::<f64>::new();
    let points = fixture.points();
    let all = points.run(0, points.panels()).expect("all panels");
    let row = fixture.row(5);
    let query = row.query();
    let step = Step::new(64).expect("a multiple of 32");
    let tests = step.tests(COLUMNS);
    let mut tails = vec![0.0; LEN * tests];
    tail_norms(&fixture.model, step, LEN, &fixture.v, &mut tails).expect("the shapes fit");
    let own: Vec<f64> = (0..tests).map(|test| tails[test * 8 + 5]).collect();
    let (mut out, mut masks, mut ends) = (vec![0.0; LEN], vec![0; LEN / 8], vec![0; LEN / 8]);
    let (mut counters, mut twin) = (ResidualCounters::default(), vec![0.0; LEN]);
    let cut = Tails { step, query: &own, points: &tails };
    let mut group = criterion.benchmark_group("residual::one_to_run_cut f64");
    group.throughput(Throughput::Elements(LEN as u64));
    for (what, least) in [("never leaves", 0.0), ("leaves", 1.0)] {
        let mut by_twin = |out: &mut [f64]| {
            let rows = CutRows { out, masks: &mut masks, ends: &mut ends };
            scalar::one_to_run_cut(black_box(&query), &all, cut, least, rows);
        };
        by_twin(&mut twin);
        group.bench_function(format!("scalar twin {what}/{LEN}x{COLUMNS}"), |bencher| {
            bencher.iter(|| by_twin(&mut twin));
        });
        for tier in Tier::all() {
            let mut run = |out: &mut [f64]| {
                let rows = CutRows { out, masks: &mut masks, ends: &mut ends };
                one_to_run_cut(tier, black_box(&query), &all, cut, least, rows, &mut counters)
            };
            run(&mut out).expect("the shapes fit");
            assert!(agree(&out, &twin), "{tier} {what}");
            group.bench_function(format!("{tier} {what}/{LEN}x{COLUMNS}"), |bencher| bencher.iter(|| run(&mut out)));
        }
    }
    group.finish();
}

/// What is made of `V` once per parameter set, and what is asked for now and then.
fn made_once(criterion: &mut Criterion) {
    let fixture = Fixture::<f64>::new();
    let (model, points, v) = (&fixture.model, fixture.points(), &fixture.wide_v);
    let step = Step::new(64).expect("a multiple of 32");
    let mut tails = vec![0.0f64; LEN * step.tests(COLUMNS)];
    let (mut norms, mut scales, mut margins) = (vec![0.0; LEN], vec![0.0f64; LEN], vec![0.0; LEN]);
    let mut small = vec![0.0f32; panels_len::<f32>(LEN, COLUMNS)];
    let (mut z, mut row) = (vec![0.0; DIM], vec![0.0; COLUMNS]);
    let distances = uniform(LEN, 3);
    assert!(distances.iter().all(|&distance| residual_distance(least_correlation(distance)) <= distance));

    let mut group = criterion.benchmark_group("residual, once");
    time(&mut group, "row_norms", LEN, || row_norms(model, black_box(v), &mut norms));
    time(&mut group, "tail_norms", LEN, || tail_norms(model, step, LEN, black_box(v), &mut tails));
    time(&mut group, "scales_and_margins", LEN, || {
        scales_and_margins(model, OFFSET, black_box(&fixture.norms), &fixture.p, &mut scales, &mut margins)
    });
    time(&mut group, "narrow", LEN, || narrow(model, LEN, black_box(v), &mut small));
    time(&mut group, "gather_row", COLUMNS, || gather_row(&points, black_box(5), &mut z, &mut row));
    time(&mut group, "least_correlation", LEN, || {
        Ok(black_box(&distances).iter().map(|&distance| least_correlation(distance)).fold(0.0, f64::max))
    });
    group.finish();
    variances(criterion, &fixture);
}

fn variances(criterion: &mut Criterion, fixture: &Fixture<f64>) {
    let [_, rows] = fixture.rows();
    let (mut p, mut plain) = (vec![0.0; LEN], vec![0.0; LEN]);
    let by_rows = |p: &mut [f64]| {
        for (row, p) in black_box(&rows).chunks_exact(COLUMNS).zip(p) {
            *p = (1.0 - row.iter().fold(0.0f64, |sum, v| sum + v * v)).max(P_FLOOR);
        }
    };
    residual_variances(&fixture.model, 1.0, &fixture.v, &mut p).expect("the shapes fit");
    by_rows(&mut plain);
    assert_eq!(p, plain);
    let mut group = criterion.benchmark_group("residual::residual_variances");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(format!("{LEN}x{COLUMNS}"), |bencher| {
        bencher.iter(|| residual_variances(&fixture.model, 1.0, black_box(&fixture.v), &mut p));
    });
    group.bench_function(format!("plain loop/{LEN}x{COLUMNS}"), |bencher| bencher.iter(|| by_rows(&mut plain)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    targets = tiles_of_both, early_exit, made_once
}
criterion_main!(benches);
