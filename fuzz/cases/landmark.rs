//! Landmarks of two halves of a point set: no bound may be below the published correlation.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::index::at;
use covertree_kernels::landmark::{
    Chosen, Extent, Frame, FrameMemory, FramePoints, FrameQueries, LandmarkCounters, Limits, bounds, choose,
    choose_blocks, cross, envelope_bounds, pack_members, point_error, project, turn,
};
use covertree_kernels::oracle::residual::Residual;
use covertree_kernels::simd::Tier;
use covertree_kernels::view::panels_len;

use super::Bytes;
use super::residual::{Packed, filtered, metric, published};

/// Correlations of all pairs, not cut.
struct Table {
    rho: Vec<f64>,
    lanes: usize,
    errors: Vec<f64>,
}

/// A half of the points with its landmarks.
struct Half {
    first: usize,
    frame: Frame,
    landmarks: Vec<usize>,
    factor: Vec<f64>,
    points: [Vec<f64>; 4],
    len: usize,
}

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let metric = metric(&mut bytes);
    let limits = Limits { count: bytes.below(20), pivot: [0.0, 1e-3, 0.1][bytes.below(3)] };
    let least = f64::from(bytes.u8()) / 250.0;
    for tier in Tier::all() {
        let table = table(tier, &metric);
        let middle = metric.len() / 2;
        let mut halves = [(0, middle), (middle, metric.len())].map(|(from, to)| half(&table, from, to, limits));
        for half in &mut halves {
            outside(tier, &metric, &table, half, least);
        }
        across(tier, &metric, &table, &mut halves, least);
    }
}

fn table(tier: Tier, metric: &Residual) -> Table {
    let (packed, len) = (Packed::<f64>::new(metric), metric.len());
    let points = packed.points(len);
    let run = points.run(0, points.panels()).expect("all panels");
    let lanes = run.panels() * 8;
    let (mut rho, _) = filtered(tier, &run, metric.columns, &vec![0.0; lanes]);
    (0..len).for_each(|i| rho[i * lanes + i] = 1.0);
    let errors = (0..len).map(|i| point_error(packed.margins[i], 0.0, metric.p[i])).collect();
    Table { rho, lanes, errors }
}

fn half(table: &Table, first: usize, end: usize, limits: Limits) -> Half {
    let (len, stride) = (end - first, limits.count);
    let (mut landmarks, mut factor) = (vec![-1; stride], vec![f64::NAN; stride * stride]);
    let (mut coordinates, mut extents) =
        (vec![f64::NAN; len * stride], vec![Extent { span: f64::NAN, tail: f64::NAN, slack: f64::NAN }; len]);
    let column = |member, out: &mut [f64]| {
        for (other, out) in out.iter_mut().enumerate() {
            *out = table.rho[(first + at(member)) * table.lanes + first + other];
        }
        Ok(())
    };
    let chosen =
        Chosen { landmarks: &mut landmarks, factor: &mut factor, coordinates: &mut coordinates, extents: &mut extents };
    let mut memory = vec![Block::splat(u32::MAX); choose_blocks(len, stride)];
    let errors = &table.errors[first..end];
    let frame = choose(limits, errors, column, chosen, &mut Arena::new(&mut memory)).expect("the shapes fit");
    let mut points = arrays(len, frame.count());
    pack_members(&frame, &coordinates, &extents, &mut memory_of(&mut points)).expect("the shapes fit");
    let landmarks = landmarks[..frame.count()].iter().map(|&landmark| first + at(landmark)).collect();
    Half { first, frame, landmarks, factor, points, len }
}

fn arrays(len: usize, count: usize) -> [Vec<f64>; 4] {
    let lanes = panels_len::<f64>(len, 1);
    [panels_len::<f64>(len, count), lanes, lanes, lanes].map(|len| vec![f64::NAN; len])
}

fn memory_of(arrays: &mut [Vec<f64>; 4]) -> FrameMemory<'_, f64> {
    let [coordinates, spans, tails, slacks] = arrays;
    FrameMemory { coordinates, spans, tails, slacks }
}

/// Every point against the half, one-sided.
fn outside(tier: Tier, metric: &Residual, table: &Table, half: &mut Half, least: f64) {
    let (len, count) = (metric.len(), half.frame.count());
    let mut rho = Vec::new();
    for &landmark in &half.landmarks {
        rho.extend_from_slice(&table.rho[landmark * table.lanes..][..table.lanes]);
    }
    let mut errors = table.errors.clone();
    errors.resize(table.lanes, f64::NAN);
    let mut points = arrays(len, count);
    let memory = &mut memory_of(&mut points);
    project(tier, &half.frame, &half.factor, &rho, &errors, len, memory).expect("the shapes fit");
    let outside = FramePoints::new(memory, len, count).expect("the shapes fit");
    let memory = memory_of(&mut half.points);
    let inside = FramePoints::new(&memory, half.len, count).expect("the shapes fit");
    compare(tier, metric, outside.queries(), 0, inside, half.first, least);
}

/// The first half against the second, two-sided.
fn across(tier: Tier, metric: &Residual, table: &Table, halves: &mut [Half; 2], least: f64) {
    let [s, t] = halves;
    let mut products: Vec<f64> = Vec::new();
    for &i in &s.landmarks {
        products.extend(t.landmarks.iter().map(|&j| table.rho[i * table.lanes + j]));
    }
    let cross = cross([&s.frame, &t.frame], [&s.factor, &t.factor], &mut products).expect("the shapes fit");
    let (s_memory, t_memory) = (memory_of(&mut s.points), memory_of(&mut t.points));
    let from = FramePoints::new(&s_memory, s.len, s.frame.count()).expect("the shapes fit");
    let to = FramePoints::new(&t_memory, t.len, t.frame.count()).expect("the shapes fit");
    let [mut coordinates, mut tails, mut slacks, _] = arrays(s.len, t.frame.count());
    let queries = turn(tier, &from, &cross, &products, &mut coordinates, &mut tails, &mut slacks);
    compare(tier, metric, queries.expect("the shapes fit"), s.first, to, t.first, least);
    let most = cross.bound(from.envelope(), to.envelope());
    for (i, j) in (0..s.len).flat_map(|i| (0..t.len).map(move |j| (i, j))) {
        assert!(published(metric, s.first + i, t.first + j).abs() <= most, "{tier} {i} {j}: two halves, {most}");
    }
}

/// No bound is below the truth, no wanted pair is lost.
fn compare(
    tier: Tier,
    metric: &Residual,
    queries: FrameQueries<'_, f64>,
    first: usize,
    points: FramePoints<'_, f64>,
    other: usize,
    least: f64,
) {
    let (rows, lanes) = (queries.len().next_multiple_of(8), points.len().next_multiple_of(8));
    let (mut out, mut masks) = (vec![f64::NAN; rows * lanes], vec![u32::MAX; rows * lanes / 8]);
    let mut counters = LandmarkCounters::default();
    bounds(tier, &queries, &points, &vec![least; rows], &mut out, &mut masks, &mut counters).expect("the shapes fit");
    let mut whole = vec![f64::NAN; rows];
    envelope_bounds(tier, &queries, points.envelope(), &mut whole).expect("the shapes fit");
    for (i, j) in (0..queries.len()).flat_map(|i| (0..points.len()).map(move |j| (i, j))) {
        if first + i == other + j {
            continue;
        }
        let (rho, bound) = (published(metric, first + i, other + j).abs(), out[i * lanes + j]);
        assert!(rho <= bound, "{tier} {i} {j}: {rho} above its bound {bound}");
        assert!(rho <= whole[i], "{tier} {i} {j}: {rho} above the bound of all, {}", whole[i]);
        let bit = masks[(i * lanes + j) / 8] >> (j % 8) & 1 == 1;
        assert!(bit || rho < least, "{tier} {i} {j}: {rho} is lost");
    }
}
