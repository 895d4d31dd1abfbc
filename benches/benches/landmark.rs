//! Landmark bounds: their choice in a leaf of 64 points, projections of points outside, tiles of bounds, and two leaves by their
//! landmarks alone.

use std::hint::black_box;
use std::time::Duration;

use covertree_benches::normal;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::covariance::{Covariance, CovarianceKind};
use covertree_kernels::error::KernelError;
use covertree_kernels::index::at;
use covertree_kernels::landmark::{
    BetweenSide, Chosen, ChosenCluster, Combined, CombinedMemory, CrossTable, Extent, Frame, FrameMemory, FramePoints,
    LandmarkCounters, Limits, PanelTerms, bounds, bounds_between, bounds_between_blocks, choose, choose_blocks,
    combination_errors, combine, cross, envelope_bounds, member_weights, narrow_points, pack_members, panel_terms,
    project, project_weighted, scalar, turn,
};
use covertree_kernels::oracle::landmark::square_tail;
use covertree_kernels::oracle::residual::Residual;
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::view::panels_len;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use timing::time;

#[path = "../src/timing.rs"]
mod timing;

const LEAF: usize = 64;
const LEN: usize = 1024;
const LANDMARKS: usize = 16;
/// Stands for the errors of tiles in `f64` at residual variances near 1e-2.
const ERROR: f64 = 1e-6;

/// Weights, and sums, spans, tails and errors.
type Mixed = (Vec<f32>, [Vec<f32>; 4]);

/// Correlations of all points with the members of one leaf of neighbours, and the leaf's landmarks.
struct Leaf {
    /// `[LEAF][LEN]`.
    rho: Vec<f64>,
    frame: Frame,
    landmarks: Vec<i32>,
    factor: Vec<f64>,
    coordinates: Vec<f64>,
    extents: Vec<Extent>,
}

impl Leaf {
    fn new(first: usize) -> Self {
        let covariance = Covariance::new(CovarianceKind::Matern52, 1.0).expect("the variance is in range");
        let mut coordinates = normal(LEN, 1);
        coordinates.sort_by(f64::total_cmp); // on a line, so that a leaf is a run
        let inducing: Vec<usize> = (0..LEN).step_by(64).collect();
        let metric = Residual::new(covariance, &coordinates, 1, &inducing, 1e-6, 0.0);
        let rho: Vec<f64> = (first..first + LEAF)
            .flat_map(|i| (0..LEN).map(move |j| (i, j)))
            .map(|(i, j)| metric.ratio(i, j))
            .collect();
        let mut leaf = Self {
            rho,
            frame: empty(),
            landmarks: vec![0; LANDMARKS],
            factor: vec![0.0; LANDMARKS * LANDMARKS],
            coordinates: vec![0.0; LEAF * LANDMARKS],
            extents: vec![Extent { span: 0.0, tail: 0.0, slack: 0.0 }; LEAF],
        };
        let mut memory = vec![Block::default(); choose_blocks(LEAF, LANDMARKS)];
        leaf.choose(first, &mut memory);
        leaf
    }

    fn choose(&mut self, first: usize, memory: &mut [Block]) {
        let Self { rho, landmarks, factor, coordinates, extents, .. } = self;
        let column = |member, out: &mut [f64]| {
            out.copy_from_slice(&rho[at(member) * LEN + first..][..LEAF]);
            out[at(member)] = 1.0;
            Ok(())
        };
        let chosen = Chosen { landmarks, factor, coordinates, extents };
        let limits = Limits { count: LANDMARKS, pivot: 0.0, weights: &[] };
        let (arena, counters) = (&mut Arena::new(memory), &mut LandmarkCounters::default());
        self.frame = choose(limits, &[ERROR; LEAF], column, chosen, arena, counters).expect("the shapes fit");
    }

    /// The members with the landmarks first, and the correlations of the members, which begin at `first`.
    fn ordered(&self, first: usize) -> (Vec<i32>, Vec<f64>) {
        let landmarks = &self.landmarks[..self.frame.count()];
        let mut order = landmarks.to_vec();
        order.extend((0..LEAF as i32).filter(|member| !landmarks.contains(member)));
        (order, (0..LEAF).flat_map(|i| self.rho[i * LEN + first..][..LEAF].to_vec()).collect())
    }

    fn cluster<'a>(&'a self, rho: &'a [f64]) -> ChosenCluster<'a> {
        ChosenCluster {
            frame: &self.frame,
            factor: &self.factor,
            coordinates: &self.coordinates,
            rho,
            errors: &[ERROR; LEAF],
        }
    }

    /// The members, which begin at `first`, as combinations of the landmarks.
    fn mixed(&self, first: usize) -> Mixed {
        let (count, (order, rho)) = (self.frame.count(), self.ordered(first));
        let (mut weights, mut extents) = (vec![0.0; LEAF * count], [(); 4].map(|()| vec![0.0; LEAF]));
        let [sums, spans, tails, errors] = &mut extents;
        let mut memory = CombinedMemory { weights: &mut weights, sums, spans, tails };
        combine(&self.cluster(&rho), &order, &mut memory).expect("the shapes fit");
        let members = Combined::new(&weights, [sums, spans, tails], LEAF, count).expect("the shapes fit");
        combination_errors(&members, &[ERROR; LEAF], &[1e-2; LEAF], errors).expect("the shapes fit");
        (weights, extents)
    }

    /// Whether the tails of the members, which begin at `first`, are those of a dense system.
    fn has_true_tails(&self, first: usize) -> bool {
        let landmarks = &self.landmarks[..self.frame.count()];
        let rho = |i: i32, j: i32| if i == j { 1.0 } else { self.rho[at(i) * LEN + first + at(j)] };
        let matrix: Vec<f64> = landmarks.iter().flat_map(|&i| landmarks.iter().map(move |&j| rho(i, j))).collect();
        (0..LEAF as i32).zip(&self.extents).all(|(member, extent)| {
            let own: Vec<f64> = landmarks.iter().map(|&landmark| rho(landmark, member)).collect();
            let (tail, square) = (extent.tail * extent.tail, square_tail(&matrix, &own));
            tail >= square - 1e-6 && tail <= square + 4.0 * extent.slack + 1e-6
        })
    }

    /// Correlations of the landmarks with all points.
    fn rows(&self) -> Vec<f64> {
        self.landmarks[..self.frame.count()].iter().flat_map(|&l| self.rho[at(l) * LEN..][..LEN].to_vec()).collect()
    }
}

fn empty() -> Frame {
    let chosen = Chosen { landmarks: &mut [], factor: &mut [], coordinates: &mut [], extents: &mut [] };
    let (limits, counters) = (Limits { count: 0, pivot: 0.0, weights: &[] }, &mut LandmarkCounters::default());
    choose(limits, &[], |_, _| Ok(()), chosen, &mut Arena::new(&mut []), counters).expect("nothing to choose from")
}

/// Memory for points in a frame.
struct Owned<T>([Vec<T>; 4]);

impl<T: Real> Owned<T> {
    fn new(len: usize, count: usize) -> Self {
        let lanes = panels_len::<T>(len, 1);
        Self([panels_len::<T>(len, count), lanes, lanes, lanes].map(|len| vec![T::default(); len]))
    }

    fn memory(&mut self) -> FrameMemory<'_, T> {
        let [coordinates, spans, tails, slacks] = &mut self.0;
        FrameMemory { coordinates, spans, tails, slacks }
    }
}

fn choices(criterion: &mut Criterion) {
    let mut leaf = Leaf::new(256);
    assert!(leaf.has_true_tails(256));
    let mut memory = vec![Block::default(); choose_blocks(LEAF, LANDMARKS)];
    let mut group = criterion.benchmark_group("landmark::choose");
    group.throughput(Throughput::Elements(LEAF as u64));
    group.bench_function(format!("scalar/{LEAF}x{LANDMARKS}"), |bencher| {
        bencher.iter(|| leaf.choose(black_box(256), &mut memory));
    });
    group.finish();

    let (one, other) = (Leaf::new(256), Leaf::new(512));
    let size = one.frame.count() * other.frame.count();
    let mut products = vec![0.1; size];
    let made = cross([&one.frame, &other.frame], [&one.factor, &other.factor], &mut products);
    let most = 1e-11 * (1.0 + made.expect("the shapes fit").norm());
    assert!(multiplied_back(&one, &other, &products).iter().all(|rho| (rho - 0.1).abs() <= most));
    let mut group = criterion.benchmark_group("landmark::cross");
    group.throughput(Throughput::Elements(1));
    group.bench_function(format!("scalar/{LANDMARKS}x{LANDMARKS}"), |bencher| {
        bencher.iter(|| {
            products.fill(0.1);
            cross([&one.frame, &other.frame], [&one.factor, &other.factor], black_box(&mut products))
        });
    });
    group.finish();
}

/// The correlations `L_S G L_T'` that products `G` of two bases were made of.
fn multiplied_back(one: &Leaf, other: &Leaf, products: &[f64]) -> Vec<f64> {
    let (rows, columns) = (one.frame.count(), other.frame.count());
    let factors = |leaf: &Leaf, i: usize, k: usize| leaf.factor[i * leaf.frame.stride() + k];
    let entry = |i: usize, j: usize| -> f64 {
        let pairs = (0..=i).flat_map(|k| (0..=j).map(move |l| (k, l)));
        pairs.map(|(k, l)| factors(one, i, k) * products[k * columns + l] * factors(other, j, l)).sum()
    };
    (0..rows * columns).map(|place| entry(place / columns, place % columns)).collect()
}

/// What is made once per leaf beside its choice.
fn packing(criterion: &mut Criterion) {
    let leaf = Leaf::new(256);
    let (count, (order, rho)) = (leaf.frame.count(), leaf.ordered(256));
    let (mut wide, mut narrow) = (Owned::<f64>::new(LEAF, count), Owned::<f32>::new(LEAF, count));
    let mut group = criterion.benchmark_group("landmark, once per leaf");
    time(&mut group, "pack_members", LEAF, || {
        pack_members(&leaf.frame, black_box(&leaf.coordinates), &leaf.extents, &mut wide.memory())
    });
    let memory = wide.memory();
    let members = FramePoints::new(memory.slices(), LEAF, count).expect("the shapes fit");
    time(&mut group, "narrow_points", LEAF, || narrow_points(black_box(&members), &mut narrow.memory()));
    let (errors, mut weights) = (vec![ERROR; count], vec![0.0; LEAF]);
    time(&mut group, "member_weights", LEAF, || {
        member_weights(&leaf.frame, &leaf.factor, black_box(&members), &errors, &mut weights)
    });

    let (mut weights, [mut sums, mut spans, mut tails]) = (vec![0.0; LEAF * count], [(); 3].map(|()| vec![0.0; LEAF]));
    time(&mut group, "combine", LEAF, || {
        let mut memory =
            CombinedMemory { weights: &mut weights, sums: &mut sums, spans: &mut spans, tails: &mut tails };
        combine(black_box(&leaf.cluster(&rho)), &order, &mut memory)
    });
    let combined = Combined::new(&weights, [&sums, &spans, &tails], LEAF, count).expect("the shapes fit");
    let (errors, ranks, mut terms) = ([1e-2; LEAF], [0.0; LEAF], [PanelTerms::default(); LEAF / 16]);
    time(&mut group, "panel_terms", LEAF, || panel_terms(black_box(&combined), &errors, &ranks, &mut terms));
    group.finish();
}

/// One of the two projections, of all points in the frame of a leaf.
type Project = fn(Tier, &Frame, &[f64], &[f64], &[f64], usize, &mut FrameMemory<'_, f64>) -> Result<(), KernelError>;

/// Its twin.
type Twin = fn(&Frame, &[f64], &[f64], &[f64], usize, &mut FrameMemory<'_, f64>);

fn projections(criterion: &mut Criterion) {
    let leaf = Leaf::new(256);
    projection(criterion, "project", &leaf, project, scalar::project);
    projection(criterion, "project_weighted", &leaf, project_weighted, scalar::project_weighted);
}

fn projection(criterion: &mut Criterion, name: &str, leaf: &Leaf, kernel: Project, twin: Twin) {
    let (rows, errors, count) = (leaf.rows(), vec![ERROR; LEN], leaf.frame.count());
    let (mut points, mut plain) = (Owned::<f64>::new(LEN, count), Owned::<f64>::new(LEN, count));
    twin(&leaf.frame, &leaf.factor, &rows, &errors, LEN, &mut plain.memory());
    let mut group = criterion.benchmark_group(format!("landmark::{name}"));
    group.throughput(Throughput::Elements(LEN as u64));
    for tier in Tier::all() {
        let run = |points: &mut Owned<f64>| {
            kernel(tier, &leaf.frame, &leaf.factor, black_box(&rows), &errors, LEN, &mut points.memory())
        };
        run(&mut points).expect("the shapes fit");
        // Where a frame is no use, both slacks are infinite.
        let agree = |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= 1e-7 * (1.0 + b.abs());
        assert!(points.0.iter().flatten().zip(plain.0.iter().flatten()).all(agree), "{tier}");
        group.bench_function(format!("{tier}/{LEN}x{LANDMARKS}"), |bencher| bencher.iter(|| run(&mut points)));
    }
    group.bench_function(format!("scalar twin/{LEN}x{LANDMARKS}"), |bencher| {
        bencher.iter(|| twin(&leaf.frame, &leaf.factor, black_box(&rows), &errors, LEN, &mut plain.memory()));
    });
    group.finish();
}

fn tiles(criterion: &mut Criterion) {
    let leaf = Leaf::new(256);
    let count = leaf.frame.count();
    let tier = Tier::detect();
    let (mut outside, mut inside) = (Owned::<f64>::new(LEN, count), Owned::<f64>::new(LEAF, count));
    let mut memory = outside.memory();
    project(tier, &leaf.frame, &leaf.factor, &leaf.rows(), &[ERROR; LEN], LEN, &mut memory).expect("the shapes fit");
    let wide = FramePoints::new(memory.slices(), LEN, count).expect("the shapes fit");
    let (mut narrow_outside, mut narrow_inside) = (Owned::<f32>::new(LEN, count), Owned::<f32>::new(LEAF, count));
    let mut narrow = narrow_outside.memory();
    narrow_points(&wide, &mut narrow).expect("the shapes fit");
    pack_members(&leaf.frame, &leaf.coordinates, &leaf.extents, &mut inside.memory()).expect("the shapes fit");
    pack_members(&leaf.frame, &leaf.coordinates, &leaf.extents, &mut narrow_inside.memory()).expect("the shapes fit");
    let narrow = FramePoints::new(narrow.slices(), LEN, count).expect("the shapes fit");
    let (inside, narrow_inside) = (inside.memory(), narrow_inside.memory());
    let inside = FramePoints::new(inside.slices(), LEAF, count).expect("the shapes fit");
    let narrow_inside = FramePoints::new(narrow_inside.slices(), LEAF, count).expect("the shapes fit");
    tile::<f64>(criterion, "f64", wide, inside);
    tile::<f32>(criterion, "f32", narrow, narrow_inside);

    envelopes(criterion, &memory, &inside, count);
    turns(criterion, &leaf, &memory);
}

fn envelopes(criterion: &mut Criterion, memory: &FrameMemory<'_, f64>, inside: &FramePoints<'_, f64>, count: usize) {
    let (points, envelope) =
        (FramePoints::new(memory.slices(), LEN, count).expect("the shapes fit"), inside.envelope());
    let (mut out, mut plain) = (vec![0.0; LEN], vec![0.0; LEN]);
    let twin = |plain: &mut [f64]| scalar::envelope_bounds(&points.queries(), envelope, plain);
    twin(&mut plain);
    let mut group = criterion.benchmark_group("landmark::envelope_bounds");
    group.throughput(Throughput::Elements(LEN as u64));
    for tier in Tier::all() {
        envelope_bounds(tier, &points.queries(), envelope, &mut out).expect("the shapes fit");
        // Where a frame is no use, both are infinite.
        let agree = |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= 1e-12 * (1.0 + b);
        assert!(out.iter().zip(&plain).all(agree), "{tier}");
        group.bench_function(format!("{tier}/{LEN}x{LANDMARKS}"), |bencher| {
            bencher.iter(|| envelope_bounds(tier, black_box(&points.queries()), envelope, &mut out));
        });
    }
    group.bench_function(format!("scalar twin/{LEN}x{LANDMARKS}"), |bencher| {
        bencher.iter(|| twin(black_box(&mut plain)));
    });
    group.finish();
}

fn turns(criterion: &mut Criterion, leaf: &Leaf, memory: &FrameMemory<'_, f64>) {
    let (other, rows) = (Leaf::new(512), leaf.frame.count());
    let (points, columns) =
        (FramePoints::new(memory.slices(), LEN, rows).expect("the shapes fit"), other.frame.count());
    let mut products = vec![0.1; rows * columns];
    let cross =
        cross([&leaf.frame, &other.frame], [&leaf.factor, &other.factor], &mut products).expect("the shapes fit");
    let (mut coordinates, mut plain) = (vec![0.0; LEN * columns], vec![0.0; LEN * columns]);
    let (mut tails, mut slacks) = (vec![0.0; LEN], vec![0.0; LEN]);
    let (mut plain_tails, mut plain_slacks) = (vec![0.0; LEN], vec![0.0; LEN]);
    let mut twin = |plain: &mut [f64]| {
        scalar::turn(black_box(&points), &cross, &products, plain, &mut plain_tails, &mut plain_slacks);
    };
    twin(&mut plain);
    let mut group = criterion.benchmark_group("landmark::turn");
    group.throughput(Throughput::Elements(LEN as u64));
    for tier in Tier::all() {
        let mut run = |coordinates: &mut [f64]| {
            turn(tier, black_box(&points), &cross, &products, coordinates, &mut tails, &mut slacks).map(|_| ())
        };
        run(&mut coordinates).expect("the shapes fit");
        let most = 1e-12 * (1.0 + cross.norm());
        assert!(coordinates.iter().zip(&plain).all(|(a, b)| (a - b).abs() <= most), "{tier}");
        group.bench_function(format!("{tier}/{LEN}x{LANDMARKS}"), |bencher| bencher.iter(|| run(&mut coordinates)));
    }
    group.bench_function(format!("scalar twin/{LEN}x{LANDMARKS}"), |bencher| {
        bencher.iter(|| twin(black_box(&mut plain)));
    });
    group.finish();
}

fn tile<T: covertree_kernels::covariance::Exponential>(
    criterion: &mut Criterion,
    name: &str,
    outside: FramePoints<'_, T>,
    inside: FramePoints<'_, T>,
) {
    let least = vec![0.5; LEN];
    let (mut out, mut masks) = (vec![T::default(); LEN * LEAF], vec![0; LEN * LEAF / T::LANES]);
    let mut counters = LandmarkCounters::default();
    let mut group = criterion.benchmark_group(format!("landmark::bounds {name}"));
    group.throughput(Throughput::Elements((LEN * LEAF) as u64));
    let (queries, mut plain, mut plain_masks) = (outside.queries(), out.clone(), masks.clone());
    scalar::bounds(&queries, &inside, &least, &mut plain, &mut plain_masks, &mut counters);
    for tier in Tier::all() {
        bounds(tier, &queries, &inside, &least, &mut out, &mut masks, &mut counters).expect("the shapes fit");
        let (one, other) = (out.iter().map(|bound| bound.to_f64()), plain.iter().map(|bound| bound.to_f64()));
        let near = |(a, b): (f64, f64)| a == b || (a - b).abs() <= 64.0 * T::ROUNDOFF * (1.0 + b);
        assert!(one.zip(other).all(near), "{tier}");
        group.bench_function(format!("{tier}/{LEN}x{LEAF}x{LANDMARKS}"), |bencher| {
            bencher.iter(|| bounds(tier, black_box(&queries), &inside, &least, &mut out, &mut masks, &mut counters));
        });
    }
    group.bench_function(format!("scalar twin/{LEN}x{LEAF}x{LANDMARKS}"), |bencher| {
        bencher.iter(|| {
            scalar::bounds(black_box(&queries), &inside, &least, &mut plain, &mut plain_masks, &mut counters);
        });
    });
    group.finish();
}

/// Two leaves by the correlations of their landmarks.
fn between(criterion: &mut Criterion) {
    let leaves = [Leaf::new(256), Leaf::new(512)];
    let mixed = [leaves[0].mixed(256), leaves[1].mixed(512)];
    let [rows, columns] = [&leaves[0], &leaves[1]].map(|leaf| leaf.frame.count());
    let mut rho = vec![0.0f32; rows * columns];
    for (row, &s) in rho.chunks_exact_mut(columns).zip(&leaves[0].landmarks) {
        for (rho, &t) in row.iter_mut().zip(&leaves[1].landmarks) {
            *rho = leaves[0].rho[at(s) * LEN + 512 + at(t)] as f32;
        }
    }
    let rising = |most: f32| std::array::from_fn::<f32, LEAF, _>(|i| most * i as f32 / LEAF as f32);
    asked(criterion, "", &leaves, &mixed, &rho, ([0.0; LEAF], [0.3; LEAF]));
    asked(criterion, " in an order", &leaves, &mixed, &rho, (rising(1.0), rising(0.9)));
}

/// Two leaves whose points have the same ranks and wants.
fn asked(
    criterion: &mut Criterion,
    name: &str,
    leaves: &[Leaf; 2],
    mixed: &[Mixed; 2],
    rho: &[f32],
    (ranks, least): ([f32; LEAF], [f32; LEAF]),
) {
    let counts = [&leaves[0], &leaves[1]].map(|leaf| leaf.frame.count());
    let members = |which: usize| {
        let (weights, [sums, spans, tails, _]) = &mixed[which];
        Combined::new(weights, [sums, spans, tails], LEAF, counts[which]).expect("the shapes fit")
    };
    let terms = [0, 1].map(|which| {
        let mut terms = [PanelTerms::default(); LEAF / 16];
        panel_terms(&members(which), &mixed[which].1[3], &ranks, &mut terms).expect("the shapes fit");
        terms
    });
    let side = |which: usize| {
        let (members, errors, terms) = (members(which), &mixed[which].1[3], &terms[which]);
        BetweenSide { members, errors, ranks: &ranks, least: &least, terms }
    };
    let (one, other, table) = (side(0), side(1), CrossTable { rho, stride: counts[1] });
    let mut masks = vec![0; LEAF * LEAF / 16];
    let mut memory = vec![Block::default(); bounds_between_blocks(counts[0])];
    let (mut plain, mut counters) = (masks.clone(), LandmarkCounters::default());
    let twins = scalar::bounds_between(&one, &other, table, &mut plain);
    let mut ask = |tier, masks: &mut [u32]| {
        bounds_between(tier, &one, &other, table, masks, &mut Arena::new(&mut memory), &mut counters)
    };
    let mut group = criterion.benchmark_group(format!("landmark::bounds_between{name}"));
    group.throughput(Throughput::Elements((LEAF * LEAF) as u64));
    for tier in Tier::all() {
        let kept = ask(tier, &mut masks).expect("the shapes fit");
        let differ = masks.iter().zip(&plain).map(|(one, other)| (one ^ other).count_ones()).sum::<u32>();
        assert!(differ <= 8, "{tier}: {kept} {twins}");
        group.bench_function(format!("{tier}/{LEAF}x{LEAF}x{LANDMARKS}"), |bencher| {
            bencher.iter(|| ask(black_box(tier), &mut masks))
        });
    }
    group.bench_function(format!("scalar twin/{LEAF}x{LEAF}x{LANDMARKS}"), |bencher| {
        bencher.iter(|| scalar::bounds_between(black_box(&one), &other, table, &mut plain));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    targets = choices, packing, projections, tiles, between
}
criterion_main!(benches);
