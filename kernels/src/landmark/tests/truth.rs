//! No bound is ever below the published correlation, and bounds prune.

use proptest::prelude::*;

use super::*;
use crate::trials;

/// Checks a tile of bounds of `queries` (points `who`) against `points` (points `others`), and its masks and envelope.
fn check_bounds<T: Exponential>(
    setup: &Setup,
    tier: Tier,
    queries: FrameQueries<'_, T>,
    who: &[usize],
    points: FramePoints<'_, T>,
    others: &[usize],
    by_weights: bool,
) {
    let (rows, lanes) = (who.len().next_multiple_of(T::LANES), others.len().next_multiple_of(T::LANES));
    let panels = lanes / T::LANES;
    let least: Vec<f64> =
        (0..rows).map(|row| if row % 5 == 4 { f64::INFINITY } else { 0.2 * (row % 5) as f64 }).collect();
    let (mut out, mut masks) = (vec![T::from_f64(-1.0); rows * lanes], vec![u32::MAX; rows * panels]);
    let mut counters = LandmarkCounters::default();
    bounds(tier, &queries, &points, &least, &mut out, &mut masks, &mut counters).unwrap();
    let mut whole = vec![T::from_f64(-1.0); rows];
    envelope_bounds(tier, &queries, points.envelope(), &mut whole).unwrap();
    let (mut twin_out, mut twin_masks) = (vec![T::from_f64(-1.0); rows * lanes], vec![u32::MAX; rows * panels]);
    let mut twin_counters = LandmarkCounters::default();
    scalar::bounds(&queries, &points, &least, &mut twin_out, &mut twin_masks, &mut twin_counters);
    let mut twin_whole = vec![T::from_f64(-1.0); rows];
    scalar::envelope_bounds(&queries, points.envelope(), &mut twin_whole);
    let near = |one: T, other: T| {
        let (one, other) = (one.to_f64(), other.to_f64());
        one == other || (one - other).abs() <= 64.0 * T::ROUNDOFF * (1.0 + other)
    };
    for (row, (one, other)) in whole.iter().zip(&twin_whole).enumerate().take(who.len()) {
        assert!(near(*one, *other), "{tier} {row}: {one:?} {other:?}");
    }
    let mut kept = 0;
    for row in 0..rows {
        for place in 0..lanes {
            let bit_of = |masks: &[u32]| masks[row * panels + place / T::LANES] >> (place % T::LANES) & 1 == 1;
            let (bit, twin_bit) = (bit_of(&masks), bit_of(&twin_masks));
            if row >= who.len() || place >= others.len() || least[row] == f64::INFINITY {
                assert!(!bit && !twin_bit, "{tier} {row} {place}: no such pair is wanted");
                continue;
            }
            kept += u64::from(bit);
            let bound = out[row * lanes + place].to_f64();
            assert_eq!(bit, bound >= T::from_f64(least[row]).to_f64(), "{tier} {row} {place}: {bound}");
            let twin = twin_out[row * lanes + place];
            assert!(near(out[row * lanes + place], twin), "{tier}: {bound} {twin:?}");
            assert!(bit == twin_bit || near(twin, T::from_f64(least[row])), "{tier} {row} {place}: {bound} {twin:?}");
            if who[row] == others[place] {
                continue; // a point with itself
            }
            let (rho, ratio) = (published(&setup.metric, who[row], others[place]), setup.rho(who[row], others[place]));
            assert!(rho.abs() <= bound && ratio.abs() <= bound, "{tier} {row} {place}: {bound} below {rho}, {ratio}");
            assert!(rho.abs() <= twin.to_f64(), "{row} {place}: the twin's {twin:?} below {rho}");
            // An envelope knows spans, not errors.
            assert!(
                by_weights || bound <= whole[row].to_f64() * (1.0 + 16.0 * T::ROUNDOFF),
                "{tier} {row}: {bound} {:?}",
                whole[row]
            );
        }
    }
    assert_eq!(counters.landmark_pruned + kept, counters.landmark_bounded);
    let twin_kept = twin_masks.iter().map(|mask| u64::from(mask.count_ones())).sum::<u64>();
    assert_eq!(twin_counters.landmark_pruned + twin_kept, twin_counters.landmark_bounded);
    assert_eq!(twin_counters.landmark_bounded, counters.landmark_bounded);
}

/// All bounds between two clusters of a metric, on one tier.
fn check_clusters(setup: &Setup, tier: Tier, one: &[usize], other: &[usize], limits: Limits<'_>) {
    let everyone: Vec<usize> = (0..setup.metric.len()).collect();
    let clusters = [one, other].map(|members| setup.cluster(members, limits));
    for cluster in &clusters {
        let (frame, mut outside) = (cluster.frame(), setup.project(tier, cluster, &everyone));
        assert!(frame.count() <= limits.count && frame.defect() <= DEFECT_MAX);
        let (mut narrow, mut inside) = (Owned::<f32>::new(everyone.len(), frame.count()), cluster.pack::<f64>());
        outside.view(|outside| narrow_points(&outside, &mut narrow.memory()).unwrap());
        outside.view(|outside| {
            inside.view(|inside| {
                check_bounds(setup, tier, outside.queries(), &everyone, inside, &cluster.members, false)
            });
        });
        let mut inside = cluster.pack::<f32>();
        narrow.view(|outside| {
            inside.view(|inside| {
                check_bounds(setup, tier, outside.queries(), &everyone, inside, &cluster.members, false)
            });
        });
    }
    for (cluster, rough) in clusters.iter().zip([1e-3, 0.1]) {
        let (mut outside, weights) = setup.project_rough(tier, cluster, &everyone, rough);
        cluster.pack::<f64>().view(|inside| {
            let queries = inside.weighted_queries(&weights).unwrap();
            outside.view(|outside| check_bounds(setup, tier, queries, &cluster.members, outside, &everyone, true));
            assert!(inside.weighted_queries(&[weights.clone(), vec![0.0]].concat()).is_err());
        });
    }
    let [s, t] = &clusters;
    let mut products: Vec<f64> = Vec::new();
    for &a in &s.landmarks[..s.frame().count()] {
        for &b in &t.landmarks[..t.frame().count()] {
            products.push(setup.rho(s.members[at(a)], t.members[at(b)]));
        }
    }
    let cross = cross([s.frame(), t.frame()], [&s.factor, &t.factor], &mut products).unwrap();
    let lanes = one.len().next_multiple_of(8);
    let (mut coordinates, mut tails) = (vec![-3.0; lanes * t.frame().count()], vec![-3.0; lanes]);
    let mut slacks = tails.clone();
    let (mut points, mut others) = (s.pack::<f64>(), t.pack::<f64>());
    points.view(|points| {
        others.view(|others| {
            let queries = turn(tier, &points, &cross, &products, &mut coordinates, &mut tails, &mut slacks).unwrap();
            twins::check_turn(tier, &points, &cross, &products, &queries);
            check_bounds(setup, tier, queries, one, others, other, false);
            let most = cross.bound(points.envelope(), others.envelope());
            for (i, j) in one.iter().flat_map(|i| other.iter().map(move |j| (*i, *j))) {
                assert!(published(&setup.metric, i, j).abs() <= most, "two clusters: {most}");
            }
        });
    });
}

pub(super) fn check(metric: Residual, limits: Limits<'_>, defect: f64) {
    let half = metric.len() / 2;
    let (one, other): (Vec<usize>, Vec<usize>) = (0..metric.len()).partition(|i| *i < half);
    for tier in Tier::all() {
        let setup = Setup::new(metric.clone(), tier, defect);
        check_clusters(&setup, tier, &one, &other, limits);
    }
}

proptest! {
    #![proptest_config(trials::cases(96))]
    #[test]
    fn no_bound_is_below_the_truth(
        metric in metrics(),
        count in prop_oneof![Just(0usize), Just(1), 2..12usize, Just(40)],
        pivot in prop_oneof![Just(0.0), Just(1e-3), Just(0.1)],
        defect in prop_oneof![Just(0.0), Just(1e-14)],
    ) {
        let defect = defect * metric.covariance.variance();
        check(metric, Limits { count, pivot, weights: &[] }, defect);
    }

    #[test]
    fn no_bound_is_below_the_truth_where_everything_is_smooth(
        noise in proptest::collection::vec(-1.0..1.0f64, 160),
        kind in 0..4usize,
        scale in prop_oneof![Just(0.01), Just(0.1), Just(0.4), Just(1.0)],
        near in prop_oneof![Just(0.0), Just(1e-9), Just(1e-4)],
    ) {
        // Tiny residual variances everywhere, points on top of inducing points, nearly and exactly.
        let mut coordinates: Vec<f64> = noise.iter().map(|z| z * scale).collect();
        let (first, step) = if cfg!(miri) { (12, 1) } else { (60, 4) };
        coordinates.truncate(2 * first + 40);
        for i in 0..10 {
            coordinates[(first + i) * 2] = coordinates[i * step * 2] + near;
            coordinates[(first + i) * 2 + 1] = coordinates[i * step * 2 + 1];
        }
        let covariance = Covariance::new(CovarianceKind::ALL[kind], 1.0).unwrap();
        let inducing: Vec<usize> = (0..10).map(|i| i * step).collect();
        let metric = Residual::new(covariance, &coordinates, 2, &inducing, 1e-6, 0.0);
        check(metric, Limits { count: 16, pivot: 1e-3, weights: &[] }, 0.0);
    }
}

/// Clusters of nearby points: cuts at the median of the widest coordinate.
fn leaves(metric: &Residual, mut members: Vec<usize>, size: usize, out: &mut Vec<Vec<usize>>) {
    if members.len() <= size {
        return out.push(members);
    }
    let value = |i: usize, d: usize| metric.point(i)[d];
    let spread = |d: usize| {
        let of = |pick: fn(f64, f64) -> f64, start| members.iter().fold(start, |x, &i| pick(x, value(i, d)));
        of(f64::max, f64::MIN) - of(f64::min, f64::MAX)
    };
    let widest = (0..metric.dim).max_by(|&a, &b| spread(a).total_cmp(&spread(b))).unwrap();
    members.sort_by(|&a, &b| value(a, widest).total_cmp(&value(b, widest)));
    let upper = members.split_off(members.len() / 2);
    leaves(metric, members, size, out);
    leaves(metric, upper, size, out);
}

/// The share of pairs that one-sided bounds leave, with `count` landmarks per leaf of 64 of 1024 Gaussian points and the
/// best threshold: each point's true 50th largest correlation.
fn survivors(kind: CovarianceKind, count: usize) -> f64 {
    let (len, dim, tier) = (1024, 2, Tier::detect());
    let mut state = 42u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let coordinates: Vec<f64> = (0..len * dim).map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0).collect(); // nearly normal
    let covariance = Covariance::new(kind, 1.0).unwrap();
    let inducing: Vec<usize> = (0..64).map(|i| i * 16).collect();
    let setup = Setup::new(Residual::new(covariance, &coordinates, dim, &inducing, 1e-6, 0.0), tier, 0.0);
    let everyone: Vec<usize> = (0..len).collect();
    let least: Vec<f64> = everyone
        .iter()
        .map(|&i| {
            let mut row: Vec<f64> = everyone.iter().filter(|j| **j != i).map(|&j| setup.rho(i, j).abs()).collect();
            row.sort_by(|a, b| b.total_cmp(a));
            row[49].min(1.0)
        })
        .collect();
    let (mut parts, mut counters) = (Vec::new(), LandmarkCounters::default());
    leaves(&setup.metric, everyone.clone(), 64, &mut parts);
    for part in parts {
        let cluster = setup.cluster(&part, Limits { count, pivot: 1e-3, weights: &[] });
        let (mut outside, mut inside) = (setup.project(tier, &cluster, &everyone), cluster.pack::<f64>());
        let (mut out, mut masks) = (vec![0.0; len * 64], vec![0; len * 8]);
        outside.view(|outside| {
            inside.view(|inside| {
                bounds(tier, &outside.queries(), &inside, &least, &mut out, &mut masks, &mut counters).unwrap();
            });
        });
    }
    1.0 - counters.landmark_pruned as f64 / counters.landmark_bounded as f64
}

#[test]
fn bounds_prune_most_pairs() {
    if cfg!(miri) {
        return; // a share of a million pairs; the tests above make the same calls
    }
    for (kind, count, most) in [
        (CovarianceKind::Rbf, 8, 0.4),
        (CovarianceKind::Rbf, 16, 0.12),
        (CovarianceKind::Matern52, 16, 0.55),
        (CovarianceKind::Matern52, 24, 0.3),
        (CovarianceKind::Matern52, 32, 0.2),
    ] {
        let share = survivors(kind, count);
        assert!(share <= most, "{kind:?}, {count} landmarks: {share} of all pairs survive");
    }
}
