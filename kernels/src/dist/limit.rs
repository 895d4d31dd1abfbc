//! The border of a radius among sums, so that no pair needs the distance that belongs to its sum.

use super::Form;

/// The largest sum whose distance, which `finish` rounds correctly, is at most `radius`; below every sum where there is
/// none, as for a radius that is negative or NaN. The form must [grow](Form::GROWS): its sums are not negative.
///
/// `finish` is monotone, so a sum is within the radius exactly where it is at most this one.
#[inline(always)]
pub(crate) fn largest_sum<F: Form>(radius: f64, finish: impl Fn(f64) -> f64) -> f64 {
    const { assert!(F::GROWS, "only a distance has a radius") };
    if radius.is_nan() || radius < 0.0 {
        return -1.0;
    }
    if radius == f64::INFINITY {
        return radius;
    }
    // Exact arithmetic would have it here; rounding moves it by a few steps.
    let mut sum = F::unfinish(radius).min(f64::MAX);
    while finish(sum) > radius {
        sum = sum.next_down();
    }
    while sum < f64::MAX && finish(sum.next_up()) <= radius {
        sum = sum.next_up();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::{Chebyshev, Manhattan, SquaredEuclidean};
    use super::*;
    use crate::simd::{Lanes, OnLanes, Tier};
    use crate::trials;
    use core::marker::PhantomData;
    use proptest::prelude::*;

    /// The largest sum within a radius, by the roots of some tier.
    struct Largest<F>(f64, PhantomData<F>);

    impl<F: Form> OnLanes for Largest<F> {
        type Out = f64;
        #[inline(always)]
        fn run<L: Lanes>(self) -> f64 {
            largest_sum::<F>(self.0, F::finish::<L>)
        }
    }

    /// The same on every tier and without one.
    fn largest<F: Form>(radius: f64, finish: fn(f64) -> f64) -> f64 {
        let sum = largest_sum::<F>(radius, finish);
        for tier in Tier::all() {
            assert_eq!(tier.run(Largest::<F>(radius, PhantomData)), sum, "{tier} {radius:e}");
        }
        sum
    }

    fn check_form<F: Form>(radius: f64, finish: fn(f64) -> f64) {
        let sum = largest::<F>(radius, finish);
        assert!(finish(sum) <= radius, "{radius:e}");
        assert!(sum == f64::MAX || finish(sum.next_up()) > radius, "{radius:e}");
    }

    fn check(radius: f64) {
        check_form::<SquaredEuclidean>(radius, f64::sqrt);
        check_form::<Manhattan>(radius, |sum| sum);
        check_form::<Chebyshev>(radius, |sum| sum);
    }

    #[test]
    fn the_border_is_exact_at_the_ends_of_the_range() {
        for radius in [0.0, -0.0, 5e-324, 1e-170, 1e-161, 2.3e-162, 1e-154, 1.0, 2f64.sqrt(), 1e154, 1.4e154, f64::MAX]
        {
            check(radius);
        }
        for (radius, sum) in [(f64::INFINITY, f64::INFINITY), (-1.0, -1.0), (f64::NEG_INFINITY, -1.0), (f64::NAN, -1.0)]
        {
            assert_eq!(largest::<SquaredEuclidean>(radius, f64::sqrt), sum);
            assert_eq!(largest::<Manhattan>(radius, |sum| sum), sum);
        }
    }

    proptest! {
        #![proptest_config(trials::cases(256))]

        #[test]
        fn the_border_is_exact_for_any_radius(bits in any::<f64>(), mantissa in 1.0..2.0f64, exponent in -1074..1023i32) {
            for radius in [bits.abs(), mantissa * libm::exp2(f64::from(exponent))] {
                if radius.is_finite() {
                    check(radius);
                }
            }
        }
    }
}
