//! The kernels for the types that nearly every crate asks for, compiled here once. Feature `instances`.
//!
//! A generic function is compiled by whoever calls it, for each of its types and tiers anew: in a library, in its tests, in
//! every program. Where a build is optimised little (`opt-level` 1 and below, as for tests), a crate takes what a crate below it has
//! compiled already. With this feature that is most of the searches: on two cores of an AMD EPYC (Zen 3) the unit tests of the runner
//! are compiled in 3.3 minutes instead of 6, and the replayed fuzz cases in 0.7 instead of some 5 (30 November 2026), for 2.8
//! more for this crate, once. In a release crates do not share, and so without `debug_assertions` nothing is compiled here.

use core::hint::black_box;

use crate::covariance::{Exponential, one_to_run};
use crate::dist::{Chebyshev, Form, Manhattan, SquaredEuclidean};
use crate::landmark::bounds_between;
use crate::order::{bounds, hilbert_keys, morton_keys};
use crate::residual::{block_to_run, block_where, listed_pairs, one_to_run as residual_to_run};
use crate::simd::Real;
use crate::tree::{
    Angular, Coordinates, Covering, Haversine, Metric, Within, farthest, knn, knn_panel, near_pairs, scan, search,
};

/// The address of a function: reason enough to compile it.
type Address = *const ();

/// Never called: it is here to be compiled. Gives the number of functions.
#[doc(hidden)]
pub fn instances() -> usize {
    let forms = [
        of_form::<f32, SquaredEuclidean>(),
        of_form::<f64, SquaredEuclidean>(),
        of_form::<f32, Manhattan>(),
        of_form::<f64, Manhattan>(),
        of_form::<f32, Chebyshev>(),
        of_form::<f64, Chebyshev>(),
    ];
    let metrics = [
        of_metric::<Coordinates<'static, f32, SquaredEuclidean>>(),
        of_metric::<Coordinates<'static, f64, SquaredEuclidean>>(),
        of_metric::<Coordinates<'static, f32, Manhattan>>(),
        of_metric::<Coordinates<'static, f64, Manhattan>>(),
        of_metric::<Coordinates<'static, f32, Chebyshev>>(),
        of_metric::<Coordinates<'static, f64, Chebyshev>>(),
        of_metric::<Angular<'static>>(),
        of_metric::<Haversine<'static>>(),
    ];
    let reals = [of_real::<f32>(), of_real::<f64>()];
    black_box(&forms).as_flattened().len()
        + black_box(&metrics).as_flattened().len()
        + black_box(&reals).as_flattened().len()
}

fn of_form<T: Real, F: Form>() -> [Address; 3] {
    [knn_panel::<T, F> as Address, near_pairs::<T, F> as Address, scan::<T, F> as Address]
}

fn of_metric<M: Metric + 'static>() -> [Address; 4] {
    [
        knn::<M> as Address,
        search::<M, Within<'static, 'static>> as Address,
        search::<M, Covering<'static, M::Real>> as Address,
        farthest::<M> as Address,
    ]
}

fn of_real<T: Exponential>() -> [Address; 9] {
    [
        one_to_run::<T> as Address,
        residual_to_run::<T> as Address,
        block_to_run::<T> as Address,
        block_where::<T> as Address,
        listed_pairs::<T> as Address,
        bounds_between::<T> as Address,
        bounds::<T> as Address,
        hilbert_keys::<T> as Address,
        morton_keys::<T> as Address,
    ]
}
