//! What residual searches do beside tiles: the settling formula, listed pairs, and short lists of two leaves.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::residual::{COLUMNS, DIM, Fixture, LEAF, LEN, point, rho_of_leaves, tile};
use covertree_kernels::index::{Idx, at};
use covertree_kernels::residual::{
    Counting, ListedPairs, Offered, ResidualCounters, ResidualRows, RhoTile, Shortlists, condense, listed_pairs,
    offer_columns, offer_listed, offer_rows, pack_listed, rho_of_rows, scalar, settle_positions, settle_run,
    unpack_rows, wanted_pairs, widen_tile,
};
use covertree_kernels::simd::Tier;
use covertree_kernels::view::Panels;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use timing::time;

#[path = "../src/timing.rs"]
mod timing;

fn settling(criterion: &mut Criterion) {
    let fixture = Fixture::<f64>::new();
    let (points, rows, p) = (fixture.points(), fixture.rows(), &fixture.p[..]);
    let (all, query) = (points.run(0, points.panels()).expect("all panels"), point(&rows, 5, p));
    let by_loop = |positions: &[Idx], out: &mut [f64]| {
        for (&position, out) in positions.iter().zip(out) {
            *out = rho_of_rows(fixture.model.covariance(), query, point(&rows, at(position), p));
        }
    };
    let (mut out, mut plain, mut counters) = (vec![0.0; LEN], vec![0.0; LEN], ResidualCounters::default());
    let (mut twin, mut group) = (vec![0.0; LEN], criterion.benchmark_group("residual::settle_run"));
    for (what, mask, every) in [("all lanes", 0xff_u32, 1), ("one lane", 1, 8)] {
        let masks = vec![mask; points.panels()];
        let positions: Vec<Idx> = (0..LEN as Idx).step_by(every).collect();
        let plain = &mut plain[..positions.len()];
        by_loop(&positions, plain);
        out.fill(0.0);
        twin.fill(0.0);
        scalar::settle_run(query, &all, p, &masks, &mut twin);
        group.throughput(Throughput::Elements(positions.len() as u64));
        for tier in Tier::all() {
            settle_run(tier, query, &all, p, &masks, &mut out, &mut counters).expect("the shapes fit");
            assert!(positions.iter().map(|&position| out[at(position)]).eq(plain.iter().copied()), "{tier} {what}");
            assert!(out == twin, "{tier} {what}");
            group.bench_function(format!("{tier} {what}/{LEN}x{COLUMNS}"), |bencher| {
                bencher.iter(|| settle_run(tier, query, black_box(&all), p, &masks, &mut out, &mut counters));
            });
        }
        group.bench_function(format!("scalar twin {what}/{LEN}x{COLUMNS}"), |bencher| {
            bencher.iter(|| scalar::settle_run(query, black_box(&all), p, &masks, &mut twin));
        });
    }
    group.finish();

    let points =
        ResidualRows::new(fixture.model, points.coordinates(), &rows[1], &fixture.scales).expect("the shapes fit");
    let mut group = criterion.benchmark_group("residual::settle_positions");
    let positions: Vec<Idx> = (0..LEN as Idx).step_by(19).collect();
    let (out, plain, twin) = (&mut out[..positions.len()], &mut plain[..positions.len()], &mut twin[..positions.len()]);
    by_loop(&positions, plain);
    scalar::settle_positions(query, &points, p, &positions, twin);
    group.throughput(Throughput::Elements(positions.len() as u64));
    for tier in Tier::all() {
        settle_positions(tier, query, &points, p, &positions, out, &mut counters).expect("the shapes fit");
        assert_eq!((&*out, &*out), (&*plain, &*twin), "{tier}");
        group.bench_function(format!("{tier}/{}x{COLUMNS}", positions.len()), |bencher| {
            bencher.iter(|| settle_positions(tier, query, &points, p, black_box(&positions), out, &mut counters));
        });
    }
    group.bench_function(format!("scalar twin/{}x{COLUMNS}", positions.len()), |bencher| {
        bencher.iter(|| scalar::settle_positions(query, &points, p, black_box(&positions), twin));
    });
    group.finish();
}

/// Listed pairs, whose best alternative beside the plain twin is the row of a tile.
fn listed(criterion: &mut Criterion) {
    let fixture = Fixture::<f64>::new();
    let rows = fixture.rows();
    let mut counters = ResidualCounters::default();
    let leaf = |leaf: usize| {
        let points = leaf * LEAF..(leaf + 1) * LEAF;
        let v = points.start * COLUMNS..points.end * COLUMNS;
        let coordinates = &fixture.coordinates[points.start * DIM..points.end * DIM];
        let coordinates = Panels::new(coordinates, DIM, LEAF).expect("whole panels");
        ResidualRows::new(fixture.model, coordinates, &rows[1][v], &fixture.scales[points]).expect("the shapes fit")
    };
    let (one, other) = (leaf(0), leaf(1));
    let mut group = criterion.benchmark_group("residual::listed_pairs");
    for every in [1, 8, 32] {
        let places: Vec<Idx> = (0..LEAF).flat_map(|_| (0..LEAF as Idx).step_by(every)).collect();
        let starts: Vec<Idx> = (0..=LEAF).map(|row| (row * places.len() / LEAF) as Idx).collect();
        let (mut out, mut plain) = (vec![0.0; places.len()], vec![0.0; places.len()]);
        let by_loop = |places: &[Idx], plain: &mut [f64]| {
            for (pair, (&place, out)) in places.iter().zip(plain).enumerate() {
                let own = point(&rows, pair * LEAF / places.len(), &fixture.p);
                let theirs = point(&rows, LEAF + at(place), &fixture.p);
                *out = rho_of_rows(fixture.model.covariance(), own, theirs);
            }
        };
        by_loop(&places, &mut plain);
        let mut twin = vec![0.0; places.len()];
        scalar::listed_pairs(&one, &other, &starts, &places, &mut twin);
        group.throughput(Throughput::Elements(places.len() as u64));
        for tier in Tier::all() {
            listed_pairs(tier, &one, &other, &starts, &places, &mut out, &mut counters).expect("the shapes fit");
            // The filter is not cut as the formula is.
            assert!(out.iter().zip(&plain).all(|(out, rho)| (out.clamp(-1.0, 1.0) - rho).abs() < 1e-10), "{tier}");
            assert!(out.iter().zip(&twin).all(|(out, twin)| (out - twin).abs() < 1e-10), "{tier}");
            group.bench_function(format!("{tier}/f64/{}x{COLUMNS}", places.len()), |bencher| {
                bencher.iter(|| listed_pairs(tier, black_box(&one), &other, &starts, &places, &mut out, &mut counters));
            });
        }
        group.bench_function(format!("scalar twin/f64/{}x{COLUMNS}", places.len()), |bencher| {
            bencher.iter(|| scalar::listed_pairs(black_box(&one), &other, &starts, &places, &mut twin));
        });
    }
    group.finish();
    packing(criterion, &fixture, &rows[1]);
}

/// Rows of `V` to panels and back.
fn packing(criterion: &mut Criterion, fixture: &Fixture<f64>, rows: &[f64]) {
    let order: Vec<Idx> = (0..LEAF as Idx).collect();
    let mut panels = vec![0.0; LEAF * COLUMNS];
    let mut group = criterion.benchmark_group("residual::pack_listed");
    group.throughput(Throughput::Bytes((LEAF * COLUMNS * 8) as u64));
    for tier in Tier::all() {
        pack_listed(tier, rows, COLUMNS, &order, &mut panels).expect("the shapes fit");
        assert!(panels == fixture.v[..LEAF * COLUMNS], "{tier}");
        group.bench_function(format!("{tier}/f64/{LEAF}x{COLUMNS}"), |bencher| {
            bencher.iter(|| pack_listed(tier, black_box(rows), COLUMNS, &order, &mut panels));
        });
    }
    let mut twin = vec![0.0; LEAF * COLUMNS];
    scalar::pack_listed(rows, COLUMNS, &order, &mut twin);
    assert!(panels == twin);
    group.bench_function(format!("scalar twin/f64/{LEAF}x{COLUMNS}"), |bencher| {
        bencher.iter(|| scalar::pack_listed(black_box(rows), COLUMNS, &order, &mut twin));
    });
    group.finish();

    let mut unpacked = vec![0.0; LEN * COLUMNS];
    let mut group = criterion.benchmark_group("residual::unpack_rows");
    time(&mut group, &format!("{LEN}x{COLUMNS}"), LEN * COLUMNS, || {
        unpack_rows(black_box(&fixture.v), COLUMNS, &mut unpacked)
    });
    group.finish();
}

/// Neighbours wanted of each point.
const K: usize = 8;

/// Lists of the points of a leaf, with room for another leaf.
#[derive(Clone, PartialEq)]
struct Lists {
    lowers: Vec<f32>,
    uppers: Vec<f32>,
    positions: Vec<Idx>,
    counts: Vec<Idx>,
    least: Vec<f64>,
}

impl Lists {
    /// Empty lists of points at or above a correlation.
    fn new(least: f64) -> Self {
        let (bounds, positions) = (vec![0.0; LEAF * LEAF], vec![0; LEAF * LEAF]);
        Self { lowers: bounds.clone(), uppers: bounds, positions, counts: vec![0; LEAF], least: vec![least; LEAF] }
    }

    fn view(&mut self) -> Shortlists<'_> {
        Shortlists {
            k: K,
            room: LEAF,
            lowers: &mut self.lowers,
            uppers: &mut self.uppers,
            positions: &mut self.positions,
            counts: &mut self.counts,
            least: &mut self.least,
        }
    }

    /// The lists, without what they hold.
    fn emptied(&mut self) -> Shortlists<'_> {
        self.counts.fill(0);
        self.view()
    }
}

/// Tiles in which one pair in a thousand passes, and all pairs of them listed.
fn offers(criterion: &mut Criterion) {
    let rho = rho_of_leaves(&Fixture::new());
    let mut sorted: Vec<f64> = rho.iter().map(|rho| rho.abs()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let threshold = sorted[sorted.len() - sorted.len() / 1000];
    let (margins, places) = ([1e-6; LEAF], (0..LEAF as Idx).collect::<Vec<_>>());
    let (tile, counting) = (tile(&rho, &places, &margins), Counting::All);
    let (mut lists, mut plain) = (Lists::new(threshold), Lists::new(threshold));
    let taken = scalar::offer_rows(&tile, counting, &mut plain.emptied());
    let mut group = criterion.benchmark_group("residual::offer_rows");
    group.throughput(Throughput::Elements((LEAF * LEAF) as u64));
    for tier in Tier::all() {
        assert_eq!(offer_rows(tier, &tile, counting, &mut lists.emptied()), Ok(taken), "{tier}");
        assert!(lists == plain, "{tier}");
        group.bench_function(format!("{tier}/{LEAF}x{LEAF}"), |bencher| {
            bencher.iter(|| offer_rows(tier, black_box(&tile), counting, &mut lists.emptied()));
        });
    }
    group.bench_function(format!("twin/{LEAF}x{LEAF}"), |bencher| {
        bencher.iter(|| scalar::offer_rows(black_box(&tile), counting, &mut plain.emptied()));
    });
    group.finish();
    offers_to_columns(criterion, &tile, threshold);
    marks(criterion, &tile, threshold, taken);
    listed_offers(criterion, &tile, threshold, taken);
}

/// The same tile, offered to its columns.
fn offers_to_columns(criterion: &mut Criterion, tile: &RhoTile<'_>, threshold: f64) {
    let (mut lists, mut plain) = (Lists::new(threshold), Lists::new(threshold));
    let taken = scalar::offer_columns(tile, Counting::All, &mut plain.emptied());
    let mut group = criterion.benchmark_group("residual::offer_columns");
    group.throughput(Throughput::Elements((LEAF * LEAF) as u64));
    for tier in Tier::all() {
        assert_eq!(offer_columns(tier, tile, Counting::All, &mut lists.emptied()), Ok(taken), "{tier}");
        assert!(lists == plain, "{tier}");
        group.bench_function(format!("{tier}/{LEAF}x{LEAF}"), |bencher| {
            bencher.iter(|| offer_columns(tier, black_box(tile), Counting::All, &mut lists.emptied()));
        });
    }
    group.bench_function(format!("twin/{LEAF}x{LEAF}"), |bencher| {
        bencher.iter(|| scalar::offer_columns(black_box(tile), Counting::All, &mut plain.emptied()));
    });
    group.finish();
}

/// The same pairs as bounds, of which `taken` are wanted.
fn marks(criterion: &mut Criterion, tile: &RhoTile<'_>, threshold: f64, taken: u64) {
    let bounds: Vec<f64> = tile.rho.iter().map(|rho| rho.abs() + 1e-12).collect();
    let (bounded, threshold) = (RhoTile { rho: &bounds, ..*tile }, [threshold; LEAF]);
    let least = (&threshold[..], Some(&threshold[..]));
    let (mut masks, mut plain) = ([0; LEAF * LEAF / 8], [0; LEAF * LEAF / 8]);
    assert_eq!(scalar::wanted_pairs(&bounded, Counting::All, least, &mut plain), taken);
    let mut group = criterion.benchmark_group("residual::wanted_pairs");
    group.throughput(Throughput::Elements((LEAF * LEAF) as u64));
    for tier in Tier::all() {
        assert_eq!(wanted_pairs(tier, &bounded, Counting::All, least, &mut masks), Ok(taken), "{tier}");
        assert_eq!(masks, plain, "{tier}");
        group.bench_function(format!("{tier}/{LEAF}x{LEAF}"), |bencher| {
            bencher.iter(|| wanted_pairs(tier, black_box(&bounded), Counting::All, least, &mut masks));
        });
    }
    group.bench_function(format!("twin/{LEAF}x{LEAF}"), |bencher| {
        bencher.iter(|| scalar::wanted_pairs(black_box(&bounded), Counting::All, least, &mut plain));
    });
    group.finish();
}

/// The same pairs as a list, of which `taken` pass, and widened.
fn listed_offers(criterion: &mut Criterion, tile: &RhoTile<'_>, threshold: f64, taken: u64) {
    let (mut lists, pairs, counting) = (Lists::new(threshold), LEAF * LEAF, Counting::All);
    let starts: Vec<Idx> = (0..=LEAF).map(|row| (row * LEAF) as Idx).collect();
    let places = tile.places.repeat(LEAF);
    let listed =
        ListedPairs { starts: &starts, places: &places, rho: tile.rho, rows: tile.rows, columns: tile.columns };
    assert_eq!(offer_listed(&listed, counting, Offered::ToRows, &mut lists.emptied()), Ok(taken));
    let narrow: Vec<f32> = tile.rho.iter().map(|&rho| rho as f32).collect(); // any numbers do
    let mut wide = [0.0; LEAF * LEAF];

    let mut group = criterion.benchmark_group("residual, tiles of two leaves");
    time(&mut group, "offer_listed", pairs, || {
        offer_listed(black_box(&listed), counting, Offered::ToRows, &mut lists.emptied())
    });
    time(&mut group, "widen_tile", pairs, || widen_tile(black_box(&narrow), LEAF, &mut wide));
    group.finish();
}

/// Full lists that are cut to what may still be among the nearest.
fn full_lists(criterion: &mut Criterion) {
    let rho = rho_of_leaves(&Fixture::new());
    let (margins, places) = ([0.1; LEAF], (0..LEAF as Idx).collect::<Vec<_>>());
    let (mut full, mut scratch, settled) = (Lists::new(0.0), [0.0; LEAF], [0.5; LEAF]);
    let tile = tile(&rho, &places, &margins);
    offer_rows(Tier::detect(), &tile, Counting::All, &mut full.view()).expect("there is room");
    let mut counters = ResidualCounters::default();
    let mut condense_all = |lists: &mut Lists| {
        for row in 0..LEAF {
            condense(row, &mut lists.view(), &mut scratch, &mut counters).expect("there is such a row");
        }
    };
    let all_wide = |lists: &mut Lists| -> usize {
        (0..LEAF).map(|row| lists.view().wide(row).expect("there is such a row").len()).sum()
    };
    let tighten_all = |lists: &mut Lists| {
        (0..LEAF).for_each(|row| lists.view().tighten(row, &settled).expect("there is such a row"));
    };
    let mut lists = full.clone();
    condense_all(&mut lists);
    assert!(lists.counts.iter().all(|&count| at(count) >= K) && lists.least.iter().all(|&least| least > 0.0));
    assert_eq!(all_wide(&mut full.clone()), LEAF * LEAF, "margins are wide");

    let mut group = criterion.benchmark_group("residual, full lists");
    group.throughput(Throughput::Elements((LEAF * LEAF) as u64));
    group.bench_function("condense", |bencher| {
        bencher.iter_batched_ref(|| full.clone(), &mut condense_all, BatchSize::SmallInput);
    });
    group.bench_function("Shortlists::wide", |bencher| {
        bencher.iter_batched_ref(|| full.clone(), all_wide, BatchSize::SmallInput);
    });
    group.bench_function("Shortlists::tighten", |bencher| {
        bencher.iter_batched_ref(|| full.clone(), tighten_all, BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    targets = settling, listed, offers, full_lists
}
criterion_main!(benches);
