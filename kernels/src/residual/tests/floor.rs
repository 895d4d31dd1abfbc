//! Residual variances at their floor, and points on top of inducing points.

use super::*;
use crate::residual::early::Step;

/// Metrics of points most of which lie on top of inducing points, exactly or nearly, with so little jitter that nothing but
/// rounding is left of them: their `p` stands at its floor.
pub(crate) fn floored() -> impl Strategy<Value = Residual> {
    let near = prop_oneof![Just(0.0), Just(1e-12), Just(1e-9), Just(1e-7)];
    let variance = prop_oneof![Just(1.0), Just(1e-20), Just(300.0)];
    let noise = proptest::collection::vec(-1.0..1.0f64, 2 * trials::up_to(60usize));
    (0..4usize, trials::up_to(40usize)..=trials::up_to(44usize), near, variance, noise).prop_map(
        |(kind, columns, near, variance, noise)| {
            // Inducing points on a lattice, far enough apart for a factor without jitter.
            let place = |i: usize| [(i % 7) as f64 * 1.5, (i / 7) as f64 * 1.5];
            let lattice = (0..columns).flat_map(place);
            let mut coordinates: Vec<f64> = lattice.collect();
            for (i, noise) in noise.chunks(2).enumerate() {
                let [x, y] = place(i * 5 % columns);
                let radius = if i % 4 == 3 { 1.0 } else { near };
                coordinates.extend([x + radius * noise[0], y + radius * noise[1]]);
            }
            let covariance = Covariance::new(CovarianceKind::ALL[kind], variance).unwrap();
            let inducing: Vec<usize> = (0..columns).collect();
            let metric = Residual::new(covariance, &coordinates, 2, &inducing, 1e-15, 0.0);
            let low = metric.p.iter().filter(|p| **p == P_FLOOR * variance).count();
            assert!(low >= columns / 2, "{low} of {columns} variances at the floor");
            metric
        },
    )
}

proptest! {
    #![proptest_config(trials::cases(16))]
    #[test]
    fn no_filter_loses_anything_where_p_is_at_its_floor(metric in floored()) {
        tiles::check::<f64>(&metric);
        tiles::check::<f32>(&metric);
        early::check::<f64>(&metric, Step::new(32).unwrap());
        early::check::<f32>(&metric, Step::new(32).unwrap());
        for tier in Tier::all() {
            listed::check_listed::<f64>(&metric, tier, 7);
            listed::check_listed::<f32>(&metric, tier, 7);
        }
    }
}
