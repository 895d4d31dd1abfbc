//! Bounds where residual variances stand at their floor, on top of inducing points.

use proptest::prelude::*;

use super::*;
use crate::trials;

proptest! {
    #![proptest_config(trials::cases(24))]
    #[test]
    fn no_bound_is_below_the_truth_where_p_is_at_its_floor(
        metric in floored(),
        count in prop_oneof![Just(3usize), Just(16)],
        pivot in prop_oneof![Just(0.0), Just(1e-3)],
    ) {
        // `2 |w| phi` of `solve_defect`; its last term has the least eigenvalue in place of the jitter here, for the inducing
        // points lie far apart.
        let defect = 2e-13 * metric.covariance.variance();
        truth::check(metric, Limits { count, pivot, weights: &[] }, defect);
    }
}
