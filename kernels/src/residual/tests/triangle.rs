//! Residual distances are a pseudo-metric, and so are the angles `arccos |rho|`, but for what rounding does to correlations.

use super::*;
use crate::landmark::{point_error, solve_defect};

proptest! {
    #![proptest_config(trials::cases(48))]

    /// With `e_xy` a bound on how far a computed correlation is from that of unit vectors, angles are off by at most `pi
    /// sqrt(e / 2)` and distances by at most `sqrt(e)`.
    #[test]
    fn the_triangle_inequality_holds(
        (kind, dim) in (0..4usize, 1..4usize),
        (len, columns) in (3..trials::up_to(40usize), 0..trials::up_to(30usize)),
        scale in prop_oneof![Just(0.05), Just(0.5), Just(2.0)],
        jitter in prop_oneof![Just(1e-6), Just(1e-3)],
        nugget in prop_oneof![Just(0.0), Just(0.1)],
        noise in proptest::collection::vec(-1.0..1.0f64, 120),
    ) {
        let metric = hard_metric((kind, dim, len, columns), scale, 1.0, jitter, nugget, &noise);
        let packed = Packed::<f64>::new(&metric);
        // No weights are larger than this; see `solve_defect`.
        let defect = if metric.columns == 0 { 0.0 } else { solve_defect(&packed.model, jitter, 1.0 / jitter.sqrt()) };
        let errors: Vec<f64> = (0..len).map(|i| point_error(packed.margins[i], defect, metric.p[i])).collect();
        // The products, and what the lengths of both vectors may be above 1.
        let error = |i: usize, j: usize| errors[i] * errors[j] + 0.5 * (errors[i] * errors[i] + errors[j] * errors[j]);
        let rho = |i: usize, j: usize| if i == j { 1.0 } else { published(&metric, i, j).abs() };
        let angles: Vec<[f64; 4]> = (0..len * len)
            .map(|pair| {
                let (rho, error) = (rho(pair / len, pair % len), error(pair / len, pair % len) + 1e-15);
                [rho.acos(), core::f64::consts::PI * (error / 2.0).sqrt(), residual_distance(rho), error.sqrt()]
            })
            .collect();
        let mut sharp = 0;
        for (i, j, k) in (0..len).flat_map(|i| (0..len).flat_map(move |j| (0..len).map(move |k| (i, j, k)))) {
            let [ij, jk, ik] = [(i, j), (j, k), (i, k)].map(|(a, b)| angles[a * len + b]);
            for (value, slack) in [(0, 1), (2, 3)] {
                let slack = ij[slack] + jk[slack] + ik[slack];
                prop_assert!(ik[value] <= ij[value] + jk[value] + slack, "{i} {j} {k}: {ik:?} {ij:?} {jk:?}");
                sharp += usize::from(slack < 0.01);
            }
        }
        // Where something is left of every point, the claim is not empty.
        prop_assert!(sharp > 0 || metric.p.iter().any(|&p| p < 0.1) || jitter < 1e-3);
    }
}
