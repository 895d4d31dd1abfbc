//! Residual tiles, the settling formula, the loop with tails and the gate, against the published formula.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::covariance::{Covariance, CovarianceKind, Exponential};
use covertree_kernels::hash::mix64;
use covertree_kernels::oracle::residual::{Residual, pack};
use covertree_kernels::residual::{
    Counting, CutRows, GateCounters, GatePairs, GateSide, PointRow, ResidualCounters, ResidualModel, ResidualPoints,
    ResidualQuery, ResidualRun, Step, Tails, block_to_run, gate_audit, gate_block, gate_block_blocks, gate_run,
    gate_square, gather_row, least_correlation, narrow, one_to_run, one_to_run_cut, pack_queries, pack_queries_blocks,
    residual_distance, rho_of_rows, row_norms, scalar, scales_and_margins, settle_run, tail_norms,
};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::view::{Panels, Rows, panels_len};

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let metric = metric(&mut bytes);
    let published = Published::new(&metric);
    let least = f64::from(bytes.u8()) / 250.0;
    tiles::<f64>(&metric, &published, least);
    tiles::<f32>(&metric, &published, least);
    gates(&metric, &published, f64::from(bytes.u8()) / 200.0);
    let distance = f64::from_bits(bytes.u64());
    let reached = least_correlation(distance);
    if reached <= 1.0 {
        assert!(residual_distance(reached) <= distance);
        assert!(reached == 0.0 || residual_distance(reached.next_down()) > distance, "{distance}");
    }
    // The factor of many columns costs more than all the rest.
    if bytes.u8() % 8 == 7 {
        many_columns(&metric, 34 + bytes.below(97), least);
    }
}

/// The loop with tails over 34 to 130 columns, so that it may leave at each of four tests: the points of a metric with
/// other inducing points, which are none of them.
fn many_columns(metric: &Residual, columns: usize, least: f64) {
    let mut coordinates: Vec<f64> =
        (0..columns * metric.dim).map(|i| (mix64(i as u64) % 4096) as f64 / 1024.0).collect();
    coordinates.extend(&metric.coordinates);
    let inducing: Vec<usize> = (0..columns).collect();
    let mut metric = Residual::new(metric.covariance, &coordinates, metric.dim, &inducing, 1e-6, 0.0);
    metric.coordinates.drain(..columns * metric.dim);
    metric.v.drain(..columns * columns);
    metric.p.drain(..columns);
    let (published, single, double) =
        (Published::new(&metric), Packed::<f32>::new(&metric), Packed::<f64>::new(&metric));
    for tier in Tier::all() {
        cut(tier, &metric, &published, &single, least);
        cut(tier, &metric, &published, &double, least);
    }
}

/// A metric with up to 48 points, duplicates likely, and up to 40 inducing points.
pub fn metric(bytes: &mut Bytes) -> Residual {
    metric_with_jitter(bytes).0
}

/// The same with its jitter.
pub fn metric_with_jitter(bytes: &mut Bytes) -> (Residual, f64) {
    let covariance = Covariance::new(CovarianceKind::ALL[bytes.below(4)], [1.0, 9.0, 1e-12][bytes.below(3)]);
    let (dim, len) = (1 + bytes.below(3), 1 + bytes.size(48));
    let columns = bytes.size(41).min(len);
    let (jitter, scale) = ([1e-6, 1e-8, 1e-3][bytes.below(3)], [1.0, 0.1, 0.01][bytes.below(3)]);
    let coordinates: Vec<f64> =
        (0..len * dim).map(|_| scale * (f64::from(bytes.u8()) / 64.0 + f64::from(bytes.u8() % 4) * 1e-7)).collect();
    let inducing: Vec<usize> = (0..columns).collect();
    let covariance = covariance.expect("the variance is in range");
    (Residual::new(covariance, &coordinates, dim, &inducing, jitter, 0.0), jitter)
}

/// The published correlations of all pairs of points.
pub struct Published {
    rho: Vec<f64>,
    len: usize,
}

impl Published {
    pub fn new(metric: &Residual) -> Self {
        let len = metric.len();
        let row = |i: usize| PointRow { coordinates: metric.point(i), v: metric.row(i), p: metric.p[i] };
        let pairs = (0..len).flat_map(|i| (0..len).map(move |j| (i, j)));
        Self { rho: pairs.map(|(i, j)| rho_of_rows(metric.covariance, row(i), row(j))).collect(), len }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn of(&self, i: usize, j: usize) -> f64 {
        self.rho[i * self.len + j]
    }
}

/// A metric packed for the tiles of `T`.
pub struct Packed<T> {
    pub model: ResidualModel,
    pub wide: Vec<f64>,
    pub coordinates: Vec<T>,
    pub v: Vec<T>,
    pub scales: Vec<T>,
    pub margins: Vec<T>,
}

impl<T: Exponential> Packed<T> {
    pub fn new(metric: &Residual) -> Self {
        let (len, lanes) = (metric.len(), T::LANES);
        let model = ResidualModel::new(metric.covariance, metric.dim, metric.columns).expect("the shape is legal");
        let wide = pack(&metric.v, metric.columns, len, 8);
        let single = lanes == f32::LANES;
        let v = if single {
            let mut out = vec![f32::NAN; panels_len::<f32>(len, metric.columns)];
            narrow(&model, len, &wide, &mut out).expect("the shapes fit");
            out.into_iter().map(|v| T::from_f64(f64::from(v))).collect()
        } else {
            wide.iter().map(|&v| T::from_f64(v)).collect()
        };
        let coordinates = pack(&metric.coordinates, metric.dim, len, lanes).into_iter().map(T::from_f64).collect();
        let mut norms = vec![f64::NAN; len];
        row_norms(&model, &wide, &mut norms).expect("the shapes fit");
        let places = panels_len::<T>(len, 1);
        let (mut scales, mut margins) = (vec![T::INFINITY; places], vec![T::INFINITY; places]);
        let offset = if single { 16.0 * f32::ROUNDOFF } else { 0.0 }; // coordinates lie within 0..5
        scales_and_margins(&model, offset, &norms, &metric.p, &mut scales, &mut margins).expect("p is in range");
        Self { model, wide, coordinates, v, scales, margins }
    }

    pub fn points(&self, len: usize) -> ResidualPoints<'_, T> {
        let coordinates = Panels::new(&self.coordinates, self.model.dim(), len).expect("the points are packed");
        ResidualPoints::new(self.model, coordinates, &self.v, &self.scales, &self.margins).expect("the shapes fit")
    }
}

/// The filter of all pairs of a run, and its masks.
pub fn filtered<T: Exponential>(
    tier: Tier,
    run: &ResidualRun<'_, T>,
    columns: usize,
    least: &[f64],
) -> (Vec<T>, Vec<u32>) {
    let rows = run.panels() * T::LANES;
    let mut memory = vec![Block::splat(u32::MAX); pack_queries_blocks::<T>(run.panels(), columns)];
    let queries = pack_queries(tier, run, &mut Arena::new(&mut memory)).expect("the memory is enough");
    let (mut out, mut masks) = (vec![T::from_f64(f64::NAN); rows * rows], vec![u32::MAX; rows * run.panels()]);
    let mut counters = ResidualCounters::default();
    block_to_run(&queries, run, least, &mut out, &mut masks, &mut counters).expect("the shapes fit");
    (out, masks)
}

fn tiles<T: Exponential>(metric: &Residual, published: &Published, least: f64) {
    let (packed, len) = (Packed::<T>::new(metric), metric.len());
    let points = packed.points(len);
    let run = points.run(0, points.panels()).expect("all panels");
    let (rows, panels) = (run.panels() * T::LANES, run.panels());
    for tier in Tier::all() {
        let (out, masks) = filtered(tier, &run, metric.columns, &vec![least; rows]);
        for i in 0..len {
            for j in 0..rows {
                let bit = masks[i * panels + j / T::LANES] >> (j % T::LANES) & 1 == 1;
                if j >= len {
                    assert!(!bit, "{tier}: padding");
                    continue;
                }
                let (rho, r) = (published.of(i, j), out[i * rows + j].to_f64().clamp(-1.0, 1.0));
                let margin = packed.margins[i].to_f64() * packed.margins[j].to_f64();
                assert!((r - rho).abs() <= margin, "{tier} {i} {j}: {r} for {rho} within {margin}");
                assert!(bit || rho.abs() < least, "{tier} {i} {j}: {rho} is lost");
            }
        }
        one(tier, metric, published, &packed, least);
        cut(tier, metric, published, &packed, least);
    }
}

/// The tile of one point, the last, with all of them.
fn one<T: Exponential>(tier: Tier, metric: &Residual, published: &Published, packed: &Packed<T>, least: f64) {
    let (i, points) = (metric.len() - 1, packed.points(metric.len()));
    let run = points.run(0, points.panels()).expect("all panels");
    let (mut z, mut v) = (vec![T::default(); metric.dim], vec![T::default(); metric.columns]);
    gather_row(&points, i, &mut z, &mut v).expect("there is a point");
    let query = ResidualQuery { coordinates: &z, v: &v, scale: packed.scales[i], margin: packed.margins[i] };
    let (mut out, mut masks) = (vec![T::from_f64(f64::NAN); run.panels() * T::LANES], vec![u32::MAX; run.panels()]);
    let mut counters = ResidualCounters::default();
    one_to_run(tier, &query, &run, least, &mut out, &mut masks, &mut counters).expect("the shapes fit");
    for j in 0..run.panels() * T::LANES {
        let bit = masks[j / T::LANES] >> (j % T::LANES) & 1 == 1;
        if j >= metric.len() {
            assert!(!bit, "{tier}: padding");
            continue;
        }
        let (rho, r) = (published.of(i, j), out[j].to_f64().clamp(-1.0, 1.0));
        let margin = packed.margins[i].to_f64() * packed.margins[j].to_f64();
        assert!((r - rho).abs() <= margin, "{tier} {i} {j}: {r} for {rho} within {margin}");
        assert!(bit || rho.abs() < least, "{tier} {i} {j}: {rho} is lost");
    }
}

/// The loop with tails from the first point, and in `f64` its candidates settled.
fn cut<T: Exponential>(tier: Tier, metric: &Residual, published: &Published, packed: &Packed<T>, least: f64) {
    let (step, len) = (Step::new(32).expect("a multiple of 32"), metric.len());
    let points = packed.points(len);
    let run = points.run(0, points.panels()).expect("all panels");
    let tests = step.tests(metric.columns);
    let mut tails = vec![T::INFINITY; panels_len::<T>(len, tests)];
    tail_norms(&packed.model, step, len, &packed.wide, &mut tails).expect("the shapes fit");
    let (mut z, mut v) = (vec![T::default(); metric.dim], vec![T::default(); metric.columns]);
    gather_row(&points, 0, &mut z, &mut v).expect("there is a point");
    let query = ResidualQuery { coordinates: &z, v: &v, scale: packed.scales[0], margin: packed.margins[0] };
    let own: Vec<T> = (0..tests).map(|test| tails[test * T::LANES]).collect();
    let (mut out, mut masks, mut ends) =
        (vec![T::from_f64(f64::NAN); run.panels() * T::LANES], vec![u32::MAX; run.panels()], vec![-1; run.panels()]);
    let rows = CutRows { out: &mut out, masks: &mut masks, ends: &mut ends };
    let cut = Tails { step, query: &own, points: &tails };
    let mut counters = ResidualCounters::default();
    one_to_run_cut(tier, &query, &run, cut, least, rows, &mut counters).expect("the shapes fit");
    for j in 0..len {
        let (panel, rho) = (j / T::LANES, published.of(0, j).abs());
        let bit = masks[panel] >> (j % T::LANES) & 1 == 1;
        assert!(bit || rho < least, "{tier} {j}: {rho} is lost");
        assert!(ends[panel] == metric.columns as i32 || rho <= out[j].to_f64(), "{tier} {j}: {rho} above its bound");
    }
    if T::LANES == f64::LANES {
        let wide = Packed::<f64>::new(metric);
        let points = wide.points(len);
        let run = points.run(0, points.panels()).expect("all panels");
        let query = PointRow { coordinates: metric.point(0), v: metric.row(0), p: metric.p[0] };
        let mut settled = vec![7.0; run.panels() * 8];
        settle_run(tier, query, &run, &metric.p, &masks, &mut settled, &mut counters).expect("the shapes fit");
        let mut plain = vec![7.0; settled.len()];
        scalar::settle_run(query, &run, &metric.p, &masks, &mut plain);
        assert_eq!(settled, plain, "{tier}");
        for (j, got) in settled.into_iter().enumerate() {
            let bit = masks[j / 8] >> (j % 8) & 1 == 1;
            assert_eq!(got, if bit { published.of(0, j) } else { 7.0 }, "{tier} {j}");
        }
    }
}

/// The gate on coordinates, and its audit, from the first point.
fn gates(metric: &Residual, published: &Published, threshold: f64) {
    let len = metric.len();
    let features: Vec<f32> = pack(&metric.coordinates, metric.dim, len, 16).iter().map(|&z| z as f32).collect();
    let query: Vec<f32> = metric.point(0).iter().map(|&z| z as f32).collect();
    let panels = Panels::new(&features, metric.dim, len).expect("the features are packed");
    let distances: Vec<f64> = (0..len).map(|j| residual_distance(published.of(0, j))).collect();
    for tier in Tier::all() {
        let (mut squares, mut masks) = (vec![f32::NAN; len.next_multiple_of(16)], vec![u32::MAX; len.div_ceil(16)]);
        let mut counters = GateCounters::default();
        gate_run(tier, threshold, &query, panels, &mut squares, &mut masks, &mut counters).expect("the shapes fit");
        let (mut pruned, mut lost) = (0, 0);
        for j in 0..len {
            let square =
                metric.point(j).iter().zip(&query).fold(0.0, |sum: f32, (&z, q)| sum + (q - z as f32) * (q - z as f32));
            let passes = square <= (threshold * threshold) as f32;
            assert_eq!(masks[j / 16] >> (j % 16) & 1 == 1, passes, "{tier} {j}");
            pruned += u64::from(!passes);
            lost += u64::from(!passes && distances[j] <= 0.9);
        }
        let (mut plain_squares, mut plain_masks) = (vec![f32::NAN; squares.len()], vec![u32::MAX; masks.len()]);
        scalar::gate_run(threshold, &query, panels, &mut plain_squares, &mut plain_masks);
        assert_eq!((&squares[..len], &masks), (&plain_squares[..len], &plain_masks), "{tier}");
        assert_eq!(counters.gate1_candidates, len as u64);
        assert_eq!(gate_audit::<f32>(&masks, &distances, 0.9, &mut counters), Ok(lost));
        assert_eq!((counters.residual_pruned_by_gate1, counters.gate1_false_negatives), (pruned, lost));
        // The same pairs as a block whose columns want nothing.
        let (nothing, ranks) = (vec![-1.0; len.next_multiple_of(16)], vec![0.0; len.next_multiple_of(8)]);
        let pairs = GatePairs {
            queries: Rows::new(&query, metric.dim).expect("one row"),
            features: panels,
            rows: GateSide { squares: &[gate_square(threshold)], ranks: &ranks[..1] },
            columns: GateSide { squares: &nothing, ranks: &ranks },
        };
        let (mut memory, mut narrow) = (vec![Block::splat(u32::MAX); gate_block_blocks(len)], vec![7; len.div_ceil(8)]);
        let (mut arena, mut counters) = (Arena::new(&mut memory), GateCounters::default());
        let passed = gate_block(tier, &pairs, Counting::Others, &mut narrow, &mut arena, &mut counters);
        assert_eq!(passed, Ok(len as u64 - pruned), "{tier}");
        assert_eq!(gate_audit::<f64>(&narrow, &distances, 0.9, &mut counters), Ok(lost));
        assert_eq!((counters.gate1_candidates, counters.residual_pruned_by_gate1), (len as u64, pruned));
        let mut plain = vec![u32::MAX; narrow.len()];
        assert_eq!((scalar::gate_block(&pairs, Counting::Others, &mut plain), &plain), (len as u64 - pruned, &narrow));
        for (j, mask) in narrow.into_iter().enumerate() {
            assert_eq!(mask, masks[j / 2] >> (j % 2 * 8) & 255, "{tier} panel {j}");
        }
    }
}
