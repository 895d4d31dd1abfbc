//! The loop with tails.

use super::*;
use crate::error::KernelError;
use crate::index::{Idx, at};
use crate::residual::lanes::GROUP;
use crate::trials;

pub(super) fn check<T: Exponential>(metric: &Residual, step: Step) -> u64 {
    let packed = Packed::<T>::new(metric);
    let (run, len, columns) = (packed.all(), metric.len(), metric.columns);
    let (tests, lanes) = (step.tests(columns), run.panels() * T::LANES);
    let wide = pack(&metric.v, columns, len, 8);
    let mut tails = vec![T::from_f64(-4.0); panels_len::<T>(len, tests)];
    tail_norms(&packed.model, step, len, &wide, &mut tails).unwrap();
    let mut exits = 0;
    for tier in Tier::all() {
        for i in trials::thin(25, 0..len) {
            let (z, v) = packed.gather(i);
            let query = ResidualQuery { coordinates: &z, v: &v, scale: packed.scales[i], margin: packed.margins[i] };
            let own: Vec<T> = (0..tests).map(|t| tails[(i / T::LANES * tests + t) * T::LANES + i % T::LANES]).collect();
            let (mut out, mut masks, mut ends) =
                (vec![T::from_f64(-1.0); lanes], vec![u32::MAX; run.panels()], vec![-1; run.panels()]);
            let least = [0.05, 0.5, 0.9, 1.0][i % 4];
            let rows = CutRows { out: &mut out, masks: &mut masks, ends: &mut ends };
            let cut = Tails { step, query: &own, points: &tails };
            let mut counters = ResidualCounters::default();
            one_to_run_cut(tier, &query, &run, cut, least, rows, &mut counters).unwrap();
            let (mut full, mut full_masks) = (vec![T::default(); lanes], vec![0; run.panels()]);
            one_to_run(tier, &query, &run, least, &mut full, &mut full_masks, &mut counters.clone()).unwrap();
            let (mut twin, mut twin_masks, mut twin_ends) =
                (vec![T::from_f64(-1.0); lanes], vec![u32::MAX; run.panels()], vec![-1; run.panels()]);
            let rows = CutRows { out: &mut twin, masks: &mut twin_masks, ends: &mut twin_ends };
            scalar::one_to_run_cut(&query, &run, cut, least, rows);
            check_twin(&packed, i, least, [(&out, &ends), (&twin, &twin_ends)]);
            for j in 0..len {
                let panel = j / T::LANES;
                assert!(at(twin_ends[panel]) == columns || twin_masks[panel] == 0, "{i} {j}: left with bits");
                let bit = twin_masks[panel] >> (j % T::LANES) & 1 == 1;
                assert!(bit || published(metric, i, j).abs() < least, "{i} {j}: the twin lost it");
                if at(ends[panel]) == columns {
                    assert_eq!((out[j], masks[panel]), (full[j], full_masks[panel]), "{tier} {i} {j}: all columns");
                    continue;
                }
                let (rho, bound) = (published(metric, i, j), out[j].to_f64());
                assert!(rho.abs() <= bound, "{tier} {i} {j}: {rho} above its bound {bound}");
                assert!(bound < least && masks[panel] == 0, "{tier} {i} {j}: left too early, {bound}");
            }
            let left = ends.iter().filter(|&&end| at(end) < columns).count();
            assert_eq!(counters.early_exits, left as u64);
            assert_eq!(counters.columns, ends.iter().map(|&end| at(end) as u64).sum::<u64>());
            exits += counters.early_exits;
        }
    }
    exits
}

/// Lanes and twin say the same within the margins where they read as many columns; where not, what the one that left earlier
/// bounds was within the margins of what is wanted.
fn check_twin<T: Exponential>(packed: &Packed<T>, i: usize, least: f64, answers: [(&[T], &[Idx]); 2]) {
    let columns = packed.model.columns();
    let margin = |j: usize| packed.margins[i].to_f64() * packed.margins[j].to_f64();
    for group in (0..packed.len).step_by(GROUP * T::LANES) {
        let places = group..packed.len.min(group + GROUP * T::LANES);
        let [(one, end), (other, other_end)] = answers.map(|(out, ends)| (out, at(ends[group / T::LANES])));
        if end == other_end {
            for j in places {
                let cut = |r: T| if end == columns { r.to_f64().clamp(-1.0, 1.0) } else { r.to_f64() };
                assert!((cut(one[j]) - cut(other[j])).abs() <= margin(j), "{i} {j}: {:?} {:?}", one[j], other[j]);
            }
        } else {
            let mut earlier = if end < other_end { one } else { other }.iter().enumerate();
            let close = |(j, bound): (usize, &T)| places.contains(&j) && bound.to_f64() + 2.0 * margin(j) >= least;
            assert!(earlier.any(close), "{i} {group}: {end} and {other_end} columns");
        }
    }
}

proptest! {
    #![proptest_config(trials::cases(32))]
    #[test]
    fn a_loop_that_leaves_early_bounds_the_truth(
        metric in metrics(),
        noise in proptest::collection::vec(-1.0..1.0f64, 220),
    ) {
        check::<f64>(&metric, Step::new(32).unwrap());
        check::<f32>(&metric, Step::new(32).unwrap());
        // More inducing points than a step, close enough to explain nearly everything.
        let inducing: Vec<usize> = (0..if cfg!(miri) { 36 } else { 75 }).collect();
        let metric = Residual::new(metric.covariance, &noise, 2, &inducing, 1e-6, 0.0);
        check::<f64>(&metric, Step::new(32).unwrap());
        check::<f32>(&metric, Step::new(64).unwrap());
    }
}

#[test]
fn points_far_apart_are_left_early() {
    // Two heaps of points around two heaps of inducing points: the columns of the other heap are nearly zero.
    let len = if cfg!(miri) { 72 } else { 128 };
    let coordinates: Vec<f64> = (0..len)
        .map(|i| f64::from(2 * i / len) * 50.0 + f64::from(i % (len / 2)) * 0.11 + f64::from(i * i % 7) * 0.01)
        .collect();
    let covariance = Covariance::new(CovarianceKind::Matern32, 1.0).unwrap();
    let inducing: Vec<usize> = (0..len as usize).step_by(2).collect();
    let metric = Residual::new(covariance, &coordinates, 1, &inducing, 1e-6, 0.0);
    assert!(check::<f64>(&metric, Step::new(32).unwrap()) > 0);
    assert!(check::<f32>(&metric, Step::new(32).unwrap()) > 0);
}

#[test]
fn wrong_steps_and_shapes_are_refused() {
    for columns in [0, 1, 31, 33] {
        assert_eq!(Step::new(columns), Err(KernelError::Value { what: "step", at: 0 }));
    }
    let step = Step::new(64).unwrap();
    assert_eq!([0, 1, 64, 65, 128, 129].map(|columns| step.tests(columns)), [0, 0, 0, 1, 1, 2]);
    let covariance = Covariance::new(CovarianceKind::Rbf, 1.0).unwrap();
    let model = ResidualModel::new(covariance, 1, 65).unwrap();
    let mut out = [3.0f64; 8];
    assert!(tail_norms(&model, step, 3, &[0.0; 8 * 65 - 1], &mut out).is_err());
    assert!(tail_norms(&model, step, 3, &[0.0; 8 * 65], &mut out[1..]).is_err());
    assert_eq!(out, [3.0; 8]);
    tail_norms(&model, step, 3, &[0.0; 8 * 65], &mut out).unwrap();
    // Of no columns, any number of points would fit.
    let (model, v) = (ResidualModel::new(covariance, 1, 0).unwrap(), &[]);
    for len in [usize::MAX, usize::MAX / 2] {
        let long = Err(KernelError::TooLong { len });
        assert_eq!(tail_norms::<f64>(&model, step, len, v, &mut []), long);
        assert_eq!(tail_norms::<f32>(&model, step, len, v, &mut []), long);
        assert_eq!(narrow(&model, len, v, &mut []), long);
    }
    assert!(out[..3].iter().all(|&tail| (0.0..1e-300).contains(&tail)) && out[3..] == [0.0; 5]);
}
