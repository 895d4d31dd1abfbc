//! The tiles: margins, masks, shapes.

use super::*;
use crate::arena::Block;
use crate::error::KernelError;
use crate::trials;

/// Memory for the packed rows of a run, dirty.
fn packing<T: Exponential>(run: &ResidualRun<'_, T>) -> Vec<Block> {
    vec![Block::splat(0x7fc0_0001); pack_queries_blocks::<T>(run.panels(), run.points.model.columns())]
}

/// Masks and margins of one row of filtered correlations.
fn check_row<T: Exponential>(metric: &Residual, packed: &Packed<T>, i: usize, least: f64, row: &[T], masks: &[u32]) {
    for (j, r) in row.iter().enumerate() {
        let bit = masks[j / T::LANES] >> (j % T::LANES) & 1 == 1;
        if j >= metric.len() {
            assert!(!bit, "padding lane {j}");
            continue;
        }
        let (rho, r) = (published(metric, i, j), r.to_f64().clamp(-1.0, 1.0));
        let margin = packed.margins[i].to_f64() * packed.margins[j].to_f64();
        assert!((r - rho).abs() <= margin, "{i} {j}: {r} for {rho}, margin {margin}");
        assert!(bit || rho.abs() < least, "{i} {j}: {rho} of at least {least} is lost");
        let most = r.abs() + 1.01 * margin + 100.0 * T::ROUNDOFF;
        assert!(!bit || most >= least, "{i} {j}: kept for nothing");
    }
}

/// The answer of the plain twin to all queries of a run.
fn twin<T: Exponential>(run: &ResidualRun<'_, T>, least: &[f64]) -> (Vec<T>, Vec<u32>) {
    let (lanes, mut memory) = (least.len(), packing(run));
    let queries = scalar::pack_queries(Tier::PORTABLE, run, &mut Arena::new(&mut memory));
    let (mut out, mut masks) = (vec![T::from_f64(f64::NAN); lanes * lanes], vec![u32::MAX; lanes * run.panels()]);
    scalar::block_to_run(&queries, run, least, &mut out, &mut masks);
    (out, masks)
}

pub(super) fn check<T: Exponential>(metric: &Residual) {
    let packed = Packed::<T>::new(metric);
    let (run, len) = (packed.all(), metric.len());
    let (lanes, panels) = (run.panels() * T::LANES, run.panels());
    // Thresholds that are met exactly by some pair; every third row is not wanted.
    let least: Vec<f64> = (0..lanes)
        .map(|i| if i % 3 == 2 || i >= len { f64::INFINITY } else { published(metric, i, (i * 5 + 1) % len).abs() })
        .collect();
    let (twin, twin_masks) = twin(&run, &least);
    for tier in Tier::all() {
        let (mut out, mut masks) = (vec![T::from_f64(f64::NAN); lanes * lanes], vec![u32::MAX; lanes * panels]);
        let mut counters = ResidualCounters::default();
        let (mut memory, mut plain_memory) = (packing(&run), packing(&run));
        let queries = pack_queries(tier, &run, &mut Arena::new(&mut memory)).unwrap();
        assert!(
            queries.packed == scalar::pack_queries(tier, &run, &mut Arena::new(&mut plain_memory)).packed,
            "{tier}"
        );
        block_to_run(&queries, &run, &least, &mut out, &mut masks, &mut counters).unwrap();
        let asked = least.iter().filter(|least| least.is_finite()).count();
        assert_eq!(counters.filtered, (asked * len) as u64);
        assert_eq!(counters.candidates, masks.iter().map(|mask| u64::from(mask.count_ones())).sum::<u64>());
        for i in 0..lanes {
            let (row, masks) = (&out[i * lanes..][..lanes], &masks[i * panels..][..panels]);
            if least[i] == f64::INFINITY {
                assert!(masks.iter().all(|&mask| mask == 0), "{tier} row {i} was not wanted");
                assert!(twin_masks[i * panels..][..panels].iter().all(|&mask| mask == 0), "row {i} was not wanted");
                continue;
            }
            let (twin, twin_masks) = (&twin[i * lanes..][..lanes], &twin_masks[i * panels..][..panels]);
            check_row(metric, &packed, i, least[i], row, masks);
            check_row(metric, &packed, i, least[i], twin, twin_masks);
            let (z, v) = packed.gather(i);
            let query = ResidualQuery { coordinates: &z, v: &v, scale: packed.scales[i], margin: packed.margins[i] };
            let (mut alone, mut alone_masks) = (vec![T::from_f64(f64::NAN); lanes], vec![u32::MAX; panels]);
            one_to_run(tier, &query, &run, least[i], &mut alone, &mut alone_masks, &mut counters).unwrap();
            assert_eq!((&alone[..len], &alone_masks[..]), (&row[..len], masks), "{tier} row {i}: a block of one");
            let (mut plain, mut plain_masks) = (vec![T::default(); lanes], vec![u32::MAX; panels]);
            scalar::one_to_run(&query, &run, least[i], &mut plain, &mut plain_masks);
            assert_eq!((&plain[..len], &plain_masks[..]), (&twin[..len], twin_masks), "row {i}: a block of one");
            for j in 0..len {
                let margin = packed.margins[i].to_f64() * packed.margins[j].to_f64();
                let (twin, lane) = (twin[j].to_f64().clamp(-1.0, 1.0), alone[j].to_f64().clamp(-1.0, 1.0));
                assert!((twin - lane).abs() <= margin, "{tier} {i} {j}: twin {twin}, lanes {lane}");
            }
        }
    }
}

proptest! {
    #![proptest_config(trials::cases(48))]
    #[test]
    fn tiles_stay_within_their_margins_and_masks_lose_nothing(metric in metrics()) {
        check::<f64>(&metric);
        check::<f32>(&metric);
    }
}

#[test]
fn every_length_and_more_columns_than_a_chunk() {
    let noise: Vec<f64> = (0..500).map(|i| f64::from(i * 7919 % 1000) / 500.0 - 1.0).collect();
    for len in trials::thin(3, [1, 7, 8, 9, 15, 16, 17]) {
        let metric = hard_metric((1, 2, len, 5), 1.0, 1.0, 1e-6, 0.0, &noise);
        check::<f64>(&metric);
        check::<f32>(&metric);
    }
    let metric = hard_metric((1, 2, if cfg!(miri) { 20 } else { 240 }, 0), 1.0, 1.0, 1e-6, 0.0, &noise);
    let inducing: Vec<usize> = (0..metric.len() * 5 / 6).filter(|i| i % 7 != 3).collect(); // no duplicates among them
    let metric = Residual::new(metric.covariance, &metric.coordinates, 2, &inducing, 1e-6, 0.0);
    check::<f64>(&metric);
    check::<f32>(&metric);
}

#[test]
fn in_single_precision_a_small_p_keeps_everything() {
    let coordinates: Vec<f64> = (0..64).map(|i| f64::from(i) * 0.01).collect();
    let covariance = Covariance::new(CovarianceKind::Rbf, 1.0).unwrap();
    let metric = Residual::new(covariance, &coordinates, 1, &[0, 20, 40, 60], 1e-6, 0.0);
    assert!(metric.p.iter().all(|&p| p < 1e-5), "the case must be smooth");
    let packed = Packed::<f32>::new(&metric);
    let (mut out, mut masks) = (vec![0.0; 64 * 64], vec![0; 64 * 4]);
    let mut counters = ResidualCounters::default();
    let run = packed.all();
    let mut memory = packing(&run);
    let queries = pack_queries(Tier::detect(), &run, &mut Arena::new(&mut memory)).unwrap();
    block_to_run(&queries, &run, &[1.0; 64], &mut out, &mut masks, &mut counters).unwrap();
    assert_eq!(counters.candidates, 64 * 64);
}

#[test]
fn a_split_block_is_the_whole_block() {
    let noise: Vec<f64> = (0..210).map(|i| f64::from(i * 7919 % 1000) / 500.0 - 1.0).collect();
    let metric = hard_metric((2, 3, 48, 21), 1.0, 1.0, 1e-6, 0.0, &noise);
    let packed = Packed::<f64>::new(&metric);
    let (points, least) = (packed.points(), vec![0.3; 48]);
    for tier in Tier::all() {
        let mut counters = ResidualCounters::default();
        let (mut whole, mut masks) = (vec![0.0; 48 * 48], vec![0; 48 * 6]);
        let run = points.run(0, 6).unwrap();
        let mut memory = packing(&run);
        let all = pack_queries(tier, &run, &mut Arena::new(&mut memory)).unwrap();
        block_to_run(&all, &run, &least, &mut whole, &mut masks, &mut counters).unwrap();
        for (q, p) in [(0, 0), (0, 4), (3, 1), (5, 5)] {
            let (mut out, mut part_masks) = (vec![0.0; 64], vec![0; 8]);
            let (queries, run) = (points.run(q, 1).unwrap(), points.run(p, 1).unwrap());
            let mut memory = packing(&queries);
            let queries = pack_queries(tier, &queries, &mut Arena::new(&mut memory)).unwrap();
            block_to_run(&queries, &run, &least[..8], &mut out, &mut part_masks, &mut counters).unwrap();
            for r in 0..8 {
                assert_eq!(out[r * 8..][..8], whole[(q * 8 + r) * 48 + p * 8..][..8], "{tier}");
                assert_eq!(part_masks[r], masks[(q * 8 + r) * 6 + p], "{tier}");
            }
        }
        let empty = points.run(6, 0).unwrap();
        assert!(empty.is_empty());
        let nobody = pack_queries(tier, &empty, &mut Arena::new(&mut [])).unwrap();
        block_to_run(&nobody, &run, &[], &mut [], &mut [], &mut counters).unwrap();
        block_to_run(&all, &empty, &least, &mut [], &mut [], &mut counters).unwrap();
    }
}

#[test]
fn wrong_shapes_are_refused_and_nothing_is_written() {
    let noise: Vec<f64> = (0..210).map(|i| f64::from(i * 7919 % 1000) / 500.0 - 1.0).collect();
    let metric = hard_metric((2, 3, 12, 3), 1.0, 1.0, 1e-6, 0.0, &noise);
    let packed = Packed::<f64>::new(&metric);
    let (run, tier, mut counters) = (packed.all(), Tier::detect(), ResidualCounters::default());
    let (mut out, mut masks) = ([4.0; 256], [9; 32]);
    let mut memory = packing(&run);
    let (need, have) = (memory.len(), memory.len() - 1);
    let refused = pack_queries(tier, &run, &mut Arena::new(&mut memory[..have]));
    assert_eq!(refused.err(), Some(KernelError::Scratch { need, have }));
    let queries = pack_queries(tier, &run, &mut Arena::new(&mut memory)).unwrap();
    let mut call = |least: usize, o: usize, m: usize| {
        block_to_run(&queries, &run, &vec![0.0; least], &mut out[..o], &mut masks[..m], &mut counters)
    };
    assert_eq!(call(15, 256, 32), Err(KernelError::Shape { what: "least", want: 16, got: 15 }));
    assert_eq!(call(16, 255, 32), Err(KernelError::Shape { what: "out", want: 256, got: 255 }));
    assert_eq!(call(16, 256, 31), Err(KernelError::Shape { what: "masks", want: 32, got: 31 }));
    assert_eq!((out, masks, counters), ([4.0; 256], [9; 32], ResidualCounters::default()));
    assert!(matches!(packed.points().run(1, 2), Err(KernelError::Least { what: "panels", least: 3, got: 2 })));
    assert!(packed.points().run(usize::MAX, 2).is_err());
    let other = hard_metric((1, 3, 12, 3), 1.0, 1.0, 1e-6, 0.0, &noise);
    let other = Packed::<f64>::new(&other);
    let refused = block_to_run(&queries, &other.all(), &[0.0; 16], &mut out, &mut masks, &mut counters);
    assert_eq!(refused, Err(KernelError::Value { what: "queries", at: 0 }));
    let query = ResidualQuery { coordinates: &[0.0; 3], v: &[0.0; 2], scale: 1.0, margin: 0.0 };
    let refused = one_to_run(tier, &query, &run, 0.0, &mut out[..16], &mut masks[..2], &mut counters);
    assert_eq!(refused, Err(KernelError::Shape { what: "query.v", want: 3, got: 2 }));
    assert_eq!(masks, [9; 32]);
}
