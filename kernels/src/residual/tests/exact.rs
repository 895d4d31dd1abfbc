//! The published formula and the conversions of thresholds.

use super::*;
use crate::error::KernelError;
use crate::index::at;
use crate::trials;

proptest! {
    #![proptest_config(trials::cases(64))]
    #[test]
    fn the_published_formula_is_symmetric_and_near_the_accurate_one(metric in metrics()) {
        let packed = Packed::<f64>::new(&metric);
        for i in 0..metric.len() {
            for j in 0..metric.len() {
                let rho = published(&metric, i, j);
                prop_assert_eq!(rho, published(&metric, j, i));
                let bound = packed.margins[i] * packed.margins[j];
                let accurate = metric.ratio(i, j).clamp(-1.0, 1.0);
                prop_assert!((rho - accurate).abs() <= bound, "{} {}: {} {} {}", i, j, rho, accurate, bound);
            }
        }
    }

    #[test]
    fn a_distance_and_its_least_correlation_agree_to_the_last_bit(
        distance in prop_oneof![0.0..1.0f64, 0.999_999..1.0f64, (0..60i32).prop_map(|e| 0.5f64.powi(e)), Just(1.0), Just(0.0)],
        ulps in -3..4i64,
    ) {
        let distance = f64::from_bits((distance.to_bits() as i64 + ulps).max(0) as u64);
        let least = least_correlation(distance);
        prop_assert!((0.0..=1.0).contains(&least));
        prop_assert!(residual_distance(least) <= distance);
        prop_assert!(least == 0.0 || residual_distance(least.next_down()) > distance);
        let floor = correlation_floor(distance);
        prop_assert!(floor <= least && least - floor <= 1.0 / (1u64 << 49) as f64, "{} {}", floor, least);
    }
}

#[test]
fn thresholds_at_the_ends() {
    assert_eq!(least_correlation(0.0), 1.0);
    assert_eq!(least_correlation(1.0), 0.0);
    assert_eq!(least_correlation(f64::INFINITY), 0.0);
    assert_eq!(least_correlation(-1e-300), f64::INFINITY);
    assert_eq!(least_correlation(f64::NAN), f64::INFINITY);
    assert_eq!((residual_distance(1.0), residual_distance(-1.0), residual_distance(0.0)), (0.0, 0.0, 1.0));
}

#[test]
fn settled_lanes_have_the_published_bits_on_every_tier() {
    let noise: Vec<f64> = (0..210).map(|i| f64::from(i * 7919 % 1000) / 500.0 - 1.0).collect();
    for len in [1, 7, 8, 9, 40, 41] {
        let metric = hard_metric((0, 2, len, 20), 1.0, 2.0, 1e-6, 0.0, &noise);
        let packed = Packed::<f64>::new(&metric);
        for tier in Tier::all() {
            let (coordinates, v) = packed.gather(len / 2);
            let query = PointRow { coordinates: &coordinates, v: &v, p: metric.p[len / 2] };
            let masks: Vec<u32> = (0..packed.all().panels()).map(|panel| [0xff, 0, 0x25][panel % 3]).collect();
            let (mut out, mut counters) = (vec![-9.0; masks.len() * 8], ResidualCounters::default());
            settle_run(tier, query, &packed.all(), &metric.p, &masks, &mut out, &mut counters).unwrap();
            let mut settled = 0;
            for (i, &got) in out.iter().enumerate() {
                let asked = i < len && masks[i / 8] >> (i % 8) & 1 == 1;
                let want = if asked { published(&metric, len / 2, i) } else { -9.0 };
                assert_eq!(got, want, "{tier} {len} {i}");
                settled += u64::from(asked);
            }
            assert_eq!(counters, ResidualCounters { settled, ..ResidualCounters::default() });
            let mut twin = vec![-9.0; out.len()];
            scalar::settle_run(query, &packed.all(), &metric.p, &masks, &mut twin);
            assert_eq!(out, twin, "{tier} {len}");
        }
    }
}

#[test]
fn a_run_can_be_settled_in_parts() {
    let noise: Vec<f64> = (0..210).map(|i| f64::from(i * 7919 % 1000) / 500.0 - 1.0).collect();
    let metric = hard_metric((3, 3, 60, 9), 1.0, 1.0, 1e-6, 0.0, &noise);
    let packed = Packed::<f64>::new(&metric);
    let (points, tier) = (packed.points(), Tier::detect());
    let query = PointRow { coordinates: metric.point(5), v: metric.row(5), p: metric.p[5] };
    let (masks, mut counters) = ([0xff; 8], ResidualCounters::default());
    let (mut whole, mut parts, mut twins) = ([0.0; 64], [0.0; 64], [0.0; 64]);
    settle_run(tier, query, &points.run(0, 8).unwrap(), &metric.p, &masks, &mut whole, &mut counters).unwrap();
    for (first, count) in [(0, 3), (3, 5)] {
        let run = points.run(first, count).unwrap();
        let places = first * 8..(first + count) * 8;
        settle_run(tier, query, &run, &metric.p, &masks[..count], &mut parts[places.clone()], &mut counters).unwrap();
        scalar::settle_run(query, &run, &metric.p, &masks[..count], &mut twins[places]);
    }
    assert_eq!((whole, whole), (parts, twins));
}

#[test]
fn wrong_arguments_are_refused_and_nothing_is_written() {
    let covariance = Covariance::new(CovarianceKind::Rbf, 1.0).unwrap();
    assert!(matches!(ResidualModel::new(covariance, 0, 3), Err(KernelError::Least { what: "dim", .. })));
    assert!(matches!(ResidualModel::new(covariance, 1, at(i32::MAX)), Err(KernelError::TooLong { .. })));
    let model = ResidualModel::new(covariance, 1, 2).unwrap();
    let mut out = [5.0f64; 8];
    let mut other = [5.0f64; 8];
    for (p, norm) in [(1e-13, 0.5), (0.0, 0.5), (f64::NAN, 0.5), (1e13, 0.5), (0.5, f64::NAN), (0.5, 2e6), (0.5, -1.0)]
    {
        let refused = scales_and_margins(&model, 0.0, &[0.5, norm], &[0.5, p], &mut out, &mut other);
        assert!(matches!(refused, Err(KernelError::Value { at: 1, .. })), "{p} {norm}");
    }
    let refused = scales_and_margins(&model, 0.0, &[0.5], &[0.5, 0.5], &mut out, &mut other);
    assert_eq!(refused, Err(KernelError::Shape { what: "norms", want: 2, got: 1 }));
    let refused = scales_and_margins(&model, 0.0, &[0.5], &[0.5], &mut out[..7], &mut other);
    assert_eq!(refused, Err(KernelError::Shape { what: "scales", want: 8, got: 7 }));
    let refused = row_norms(&model, &[0.0; 15], &mut out[..2]);
    assert_eq!(refused, Err(KernelError::Shape { what: "v", want: 16, got: 15 }));
    let mut single = [5.0f32; 32];
    assert!(narrow(&model, 3, &[0.0; 15], &mut single).is_err());
    assert!(narrow(&model, 3, &[0.0; 16], &mut single[..31]).is_err());
    assert_eq!((out, other, single), ([5.0; 8], [5.0; 8], [5.0; 32]));
}
