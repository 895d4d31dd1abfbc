//! Landmarks of two halves of a point set: no bound may be below the published correlation.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::covariance::Exponential;
use covertree_kernels::index::at;
use covertree_kernels::landmark::{
    BetweenSide, Chosen, ChosenCluster, Combined, CombinedMemory, CrossTable, Extent, Frame, FrameMemory, FramePoints,
    FrameQueries, LandmarkCounters, Limits, PanelTerms, bounds, bounds_between, bounds_between_blocks, choose,
    choose_blocks, combination_errors, combine, cross, envelope_bounds, member_weights, narrow_points, pack_members,
    panel_terms, point_error, project, project_weighted, solve_defect, turn,
};
use covertree_kernels::oracle::residual::Residual;
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::view::panels_len;

use super::Bytes;
use super::residual::{Packed, Published, filtered, metric_with_jitter};

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
    coordinates: Vec<f64>,
    points: [Vec<f64>; 4],
    len: usize,
}

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (metric, jitter) = metric_with_jitter(&mut bytes);
    defect(&metric, jitter);
    let weights: Vec<f64> = (0..metric.len()).map(|member| [1.0, 0.0, 64.0][member * 7 % 3]).collect();
    let limits = Limits { count: bytes.below(20), pivot: [0.0, 1e-3, 0.1][bytes.below(3)], weights: &[] };
    let least = bytes.u8();
    let limits = if least.is_multiple_of(2) { limits } else { Limits { weights: &weights, ..limits } };
    let least = f64::from(least) / 250.0;
    let published = Published::new(&metric);
    for tier in Tier::all() {
        let table = table(tier, &metric);
        let middle = metric.len() / 2;
        let mut halves = [(0, middle), (middle, metric.len())].map(|(from, to)| half(&table, from, to, limits));
        for half in &mut halves {
            outside(tier, &published, &table, half, least);
        }
        across(tier, &published, &table, &mut halves, least);
        between(tier, &published, &table, &halves, least);
    }
}

/// Within the defect of `K - V V'` there is a positive semidefinite matrix, so no element is farther than that beyond the
/// geometric mean of its diagonal.
fn defect(metric: &Residual, jitter: f64) {
    let model = Packed::<f64>::new(metric).model;
    let defect = solve_defect(&model, jitter, 1.0 / jitter.sqrt());
    assert!(defect >= 0.0);
    let element = |i: usize, j: usize| metric.ratio(i, j) * (metric.p[i] * metric.p[j]).sqrt();
    let rounding = 1e-14 * metric.covariance.variance();
    for (i, j) in (0..metric.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
        let diagonal = [i, j].map(|i| (element(i, i) + defect + rounding).max(0.0));
        let most = (diagonal[0] * diagonal[1]).sqrt() + defect + rounding;
        assert!(element(i, j).abs() <= most, "{i} {j}: {} above {most}", element(i, j));
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

fn half(table: &Table, first: usize, end: usize, limits: Limits<'_>) -> Half {
    let (len, stride) = (end - first, limits.count);
    let weights = if limits.weights.is_empty() { &[] } else { &limits.weights[first..end] };
    let limits = Limits { weights, ..limits };
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
    let (arena, mut counters) = (&mut Arena::new(&mut memory), LandmarkCounters::default());
    let frame = choose(limits, errors, column, chosen, arena, &mut counters).expect("the shapes fit");
    assert!(frame.count() as u64 + counters.members_passed_over <= len as u64, "{counters:?}");
    let mut points = arrays::<f64>(len, frame.count());
    pack_members(&frame, &coordinates, &extents, &mut memory_of(&mut points)).expect("the shapes fit");
    let landmarks = landmarks[..frame.count()].iter().map(|&landmark| first + at(landmark)).collect();
    Half { first, frame, landmarks, factor, coordinates, points, len }
}

fn arrays<T: Real>(len: usize, count: usize) -> [Vec<T>; 4] {
    let lanes = panels_len::<T>(len, 1);
    [panels_len::<T>(len, count), lanes, lanes, lanes].map(|len| vec![T::from_f64(f64::NAN); len])
}

fn memory_of<T>(arrays: &mut [Vec<T>; 4]) -> FrameMemory<'_, T> {
    let [coordinates, spans, tails, slacks] = arrays;
    FrameMemory { coordinates, spans, tails, slacks }
}

/// Every point against the half, one-sided.
fn outside(tier: Tier, published: &Published, table: &Table, half: &mut Half, least: f64) {
    let (len, count) = (table.errors.len(), half.frame.count());
    let mut rho = Vec::new();
    for &landmark in &half.landmarks {
        rho.extend_from_slice(&table.rho[landmark * table.lanes..][..table.lanes]);
    }
    let mut errors = table.errors.clone();
    errors.resize(table.lanes, f64::NAN);
    let mut points = arrays::<f64>(len, count);
    let memory = &mut memory_of(&mut points);
    project(tier, &half.frame, &half.factor, &rho, &errors, len, memory).expect("the shapes fit");
    let outside = FramePoints::new(memory.slices(), len, count).expect("the shapes fit");
    let memory = memory_of(&mut half.points);
    let inside = FramePoints::new(memory.slices(), half.len, count).expect("the shapes fit");
    compare(tier, published, outside.queries(), 0, inside, half.first, least);

    // By weights, with larger errors.
    by_weights(
        tier,
        published,
        (half.first, &half.frame, &half.landmarks, &half.factor),
        (&inside, &rho, &errors),
        least,
    );

    // The same in single precision.
    let (mut outside_f32, mut inside_f32) = (arrays::<f32>(len, count), arrays::<f32>(half.len, count));
    let (mut outside_memory, mut inside_memory) = (memory_of(&mut outside_f32), memory_of(&mut inside_f32));
    narrow_points(&outside, &mut outside_memory).expect("the shapes fit");
    narrow_points(&inside, &mut inside_memory).expect("the shapes fit");
    let outside = FramePoints::new(outside_memory.slices(), len, count).expect("the shapes fit");
    let inside = FramePoints::new(inside_memory.slices(), half.len, count).expect("the shapes fit");
    compare(tier, published, outside.queries(), 0, inside, half.first, least);
}

/// The half against every point, whose correlations with the landmarks have errors of a tenth.
fn by_weights(
    tier: Tier,
    published: &Published,
    (first, frame, landmarks, factor): (usize, &Frame, &[usize], &[f64]),
    (inside, rho, errors): (&FramePoints<'_, f64>, &[f64], &[f64]),
    least: f64,
) {
    let (len, count, lanes) = (published.len(), frame.count(), errors.len());
    let larger = |error: f64| error.max(0.1);
    let moved: Vec<f64> = (0..rho.len())
        .map(|place| {
            let (landmark, i) = (landmarks[place / lanes], place % lanes);
            let more = larger(errors[landmark]) * larger(errors[i]) - errors[landmark] * errors[i];
            if i >= len || i == landmark {
                rho[place]
            } else {
                rho[place] + if place % 3 == 0 { more } else { -more } * 0.999
            }
        })
        .collect();
    let own: Vec<f64> = landmarks.iter().map(|&landmark| larger(errors[landmark])).collect();
    let frame = frame.with_error(own.iter().map(|error| error * error).sum::<f64>().sqrt());
    let all: Vec<f64> = errors.iter().map(|&error| larger(error)).collect();
    let mut points = arrays::<f64>(len, count);
    let memory = &mut memory_of(&mut points);
    project_weighted(tier, &frame, factor, &moved, &all, len, memory).expect("the shapes fit");
    let outside = FramePoints::new(memory.slices(), len, count).expect("the shapes fit");
    let mut weights = vec![f64::NAN; inside.len().next_multiple_of(8)];
    member_weights(&frame, factor, inside, &own, &mut weights).expect("the shapes fit");
    let queries = inside.weighted_queries(&weights).expect("the shapes fit");
    let (rows, lanes) = (queries.len().next_multiple_of(8), len.next_multiple_of(8));
    let (mut out, mut masks) = (vec![f64::NAN; rows * lanes], vec![u32::MAX; rows * lanes / 8]);
    let mut counters = LandmarkCounters::default();
    bounds(tier, &queries, &outside, &vec![least; rows], &mut out, &mut masks, &mut counters).expect("the shapes fit");
    for (i, j) in (0..inside.len()).flat_map(|i| (0..len).map(move |j| (i, j))).filter(|&(i, j)| first + i != j) {
        let (rho, bound) = (published.of(first + i, j).abs(), out[i * lanes + j]);
        assert!(rho <= bound, "{tier} {i} {j}: {rho} above its bound by weights {bound}");
    }
}

/// The first half against the second, two-sided.
fn across(tier: Tier, published: &Published, table: &Table, halves: &mut [Half; 2], least: f64) {
    let [s, t] = halves;
    let mut products: Vec<f64> = Vec::new();
    for &i in &s.landmarks {
        products.extend(t.landmarks.iter().map(|&j| table.rho[i * table.lanes + j]));
    }
    let cross = cross([&s.frame, &t.frame], [&s.factor, &t.factor], &mut products).expect("the shapes fit");
    let (s_memory, t_memory) = (memory_of(&mut s.points), memory_of(&mut t.points));
    let from = FramePoints::new(s_memory.slices(), s.len, s.frame.count()).expect("the shapes fit");
    let to = FramePoints::new(t_memory.slices(), t.len, t.frame.count()).expect("the shapes fit");
    let [mut coordinates, mut tails, mut slacks, _] = arrays::<f64>(s.len, t.frame.count());
    let queries = turn(tier, &from, &cross, &products, &mut coordinates, &mut tails, &mut slacks);
    compare(tier, published, queries.expect("the shapes fit"), s.first, to, t.first, least);
    let most = cross.bound(from.envelope(), to.envelope());
    for (i, j) in (0..s.len).flat_map(|i| (0..t.len).map(move |j| (i, j))) {
        assert!(published.of(s.first + i, t.first + j).abs() <= most, "{tier} {i} {j}: two halves, {most}");
    }
}

/// A half as combinations of its landmarks: the members in order, the weights, the extents, and the errors.
fn mixed(table: &Table, half: &Half) -> (Vec<usize>, Vec<f32>, [Vec<f32>; 4]) {
    let mut members = half.landmarks.clone();
    members.extend((half.first..half.first + half.len).filter(|member| !half.landmarks.contains(member)));
    let order: Vec<i32> = members.iter().map(|&member| (member - half.first) as i32).collect();
    let rho: Vec<f64> = (half.first..half.first + half.len)
        .flat_map(|i| table.rho[i * table.lanes + half.first..][..half.len].to_vec())
        .collect();
    let chosen = ChosenCluster {
        frame: &half.frame,
        factor: &half.factor,
        coordinates: &half.coordinates,
        rho: &rho,
        errors: &table.errors[half.first..half.first + half.len],
    };
    let lanes = half.len.next_multiple_of(16);
    let mut weights = vec![f32::NAN; lanes * half.frame.count()];
    let mut extents = [(); 4].map(|()| vec![f32::NAN; lanes]);
    let [sums, spans, tails, errors] = &mut extents;
    combine(&chosen, &order, &mut CombinedMemory { weights: &mut weights, sums, spans, tails }).expect("they fit");
    let own: Vec<f64> = members.iter().map(|&member| table.errors[member]).collect();
    let points = Combined::new(&weights, [sums, spans, tails], half.len, half.frame.count()).expect("they fit");
    combination_errors(&points, &own, &own, errors).expect("they fit");
    (members, weights, extents)
}

/// The first half against the second by the correlations of landmarks alone, for the later point by a made-up rank.
fn between(tier: Tier, published: &Published, table: &Table, halves: &[Half; 2], least: f64) {
    let [one, other] = [0, 1].map(|which| mixed(table, &halves[which]));
    let [rows, columns] = [0, 1].map(|which| halves[which].frame.count());
    let mut rho: Vec<f32> = vec![f32::NAN; rows * columns];
    for (s, t) in (0..rows).flat_map(|s| (0..columns).map(move |t| (s, t))) {
        rho[s * columns + t] = table.rho[one.0[s] * table.lanes + other.0[t]] as f32;
    }
    let rank = |member: usize| (member % 5) as f32;
    let arrays = [&one, &other].map(|(members, _, [.., errors])| {
        let all = |of: &dyn Fn(usize) -> f32| {
            let mut all: Vec<f32> = members.iter().map(|&member| of(member)).collect();
            all.resize(errors.len(), f32::NAN);
            all
        };
        (all(&rank), all(&|member| (least * (1.0 + member as f64 / 64.0)) as f32))
    });
    let members = |which: usize| {
        let (_, weights, [sums, spans, tails, _]) = [&one, &other][which];
        Combined::new(weights, [sums, spans, tails], halves[which].len, halves[which].frame.count()).expect("they fit")
    };
    let errors = |which: usize| &[&one, &other][which].2[3];
    let terms = [0, 1].map(|which| {
        let mut terms = vec![PanelTerms::default(); halves[which].len.div_ceil(16)];
        panel_terms(&members(which), errors(which), &arrays[which].0, &mut terms).expect("they fit");
        terms
    });
    let side = |which: usize| {
        let (ranks, least) = &arrays[which];
        BetweenSide { members: members(which), errors: errors(which), ranks, least, terms: &terms[which] }
    };
    let panels = halves[1].len.div_ceil(16);
    let mut masks = vec![u32::MAX; halves[0].len * panels];
    let mut memory = vec![Block::splat(u32::MAX); bounds_between_blocks(rows)];
    let table = CrossTable { rho: &rho, stride: columns };
    let (arena, mut counters) = (&mut Arena::new(&mut memory), LandmarkCounters::default());
    let kept = bounds_between(tier, &side(0), &side(1), table, &mut masks, arena, &mut counters);
    assert_eq!(kept, Ok(masks.iter().map(|mask| u64::from(mask.count_ones())).sum::<u64>()));
    assert_eq!(counters.panel_pairs_bounded, (halves[0].len.div_ceil(16) * panels) as u64);
    assert!(counters.panel_pairs_pruned + counters.panels_multiplied <= counters.panel_pairs_bounded, "{counters:?}");
    for (row, column) in (0..halves[0].len).flat_map(|row| (0..halves[1].len).map(move |column| (row, column))) {
        let (i, j) = (one.0[row], other.0[column]);
        let wants = |later: bool, least: f32| if later { f64::from(least) } else { f64::INFINITY };
        let least = wants(rank(j) <= rank(i), arrays[0].1[row]).min(wants(rank(i) <= rank(j), arrays[1].1[column]));
        let bit = masks[row * panels + column / 16] >> (column % 16) & 1 == 1;
        assert!(bit || published.of(i, j).abs() < least, "{tier} {i} {j}: lost between clusters");
    }
}

/// No bound is below the truth, no wanted pair is lost.
fn compare<T: Exponential>(
    tier: Tier,
    published: &Published,
    queries: FrameQueries<'_, T>,
    first: usize,
    points: FramePoints<'_, T>,
    other: usize,
    least: f64,
) {
    let (rows, lanes) = (queries.len().next_multiple_of(T::LANES), points.len().next_multiple_of(T::LANES));
    let (mut out, mut masks) = (vec![T::from_f64(f64::NAN); rows * lanes], vec![u32::MAX; rows * lanes / T::LANES]);
    let mut counters = LandmarkCounters::default();
    bounds(tier, &queries, &points, &vec![least; rows], &mut out, &mut masks, &mut counters).expect("the shapes fit");
    let mut whole = vec![T::from_f64(f64::NAN); rows];
    envelope_bounds(tier, &queries, points.envelope(), &mut whole).expect("the shapes fit");
    for (i, j) in (0..queries.len()).flat_map(|i| (0..points.len()).map(move |j| (i, j))) {
        if first + i == other + j {
            continue;
        }
        let (rho, bound) = (published.of(first + i, other + j).abs(), out[i * lanes + j].to_f64());
        assert!(rho <= bound, "{tier} {i} {j}: {rho} above its bound {bound}");
        assert!(rho <= whole[i].to_f64(), "{tier} {i} {j}: {rho} above the bound of all, {:?}", whole[i]);
        let bit = masks[(i * lanes + j) / T::LANES] >> (j % T::LANES) & 1 == 1;
        assert!(bit || rho < least, "{tier} {i} {j}: {rho} is lost");
    }
}
