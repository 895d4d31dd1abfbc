//! The kernels for the types that nearly every crate asks for, compiled here once. Feature `instances`.
//!
//! A generic function is compiled by whoever calls it, for each of its types and tiers anew: in a library, in its tests, in
//! every program. Where a build is optimised little, as tests are (`opt-level` 1 and below), a crate takes what a crate below it has
//! compiled already. With this feature that is most of the searches; without it, and in a release, nothing is compiled here.

use core::hint::black_box;

use crate::covariance::{Exponential, one_to_run};
use crate::dist::{Chebyshev, Form, Manhattan, SquaredEuclidean};
use crate::landmark::bounds_between;
use crate::order::{bounds, hilbert_keys, morton_keys};
use crate::residual::{block_to_run, block_where, listed_pairs, one_to_run as residual_to_run};
use crate::simd::Real;
use crate::tree::{
    Angular, Coordinates, Covering, Haversine, Metric, Nearest, Within, farthest, knn, knn_before, knn_panel,
    near_pairs, scan, search, sweep,
};

/// The address of a function: reason enough to compile it.
type Address = *const ();

/// Compiles all of them; gives their number.
pub fn instances() -> usize {
    let forms = [
        of_form::<f32, SquaredEuclidean>(),
        of_form::<f64, SquaredEuclidean>(),
        of_form::<f32, Manhattan>(),
        of_form::<f64, Manhattan>(),
        of_form::<f32, Chebyshev>(),
        of_form::<f64, Chebyshev>(),
    ];
    let metrics = [of_metric::<Angular<'static>>(), of_metric::<Haversine<'static>>()];
    let reals = [of_real::<f32>(), of_real::<f64>()];
    black_box(&forms).as_flattened().len()
        + black_box(&metrics).as_flattened().len()
        + black_box(&reals).as_flattened().len()
}

fn of_form<T: Real, F: Form>() -> [Address; 9] {
    let [a, b, c, d, e] = of_metric::<Coordinates<'static, T, F>>();
    [
        a,
        b,
        c,
        d,
        e,
        knn_panel::<T, F> as Address,
        near_pairs::<T, F> as Address,
        scan::<T, F> as Address,
        sweep::<T, F, Nearest<'static, 'static>> as Address,
    ]
}

fn of_metric<M: Metric + 'static>() -> [Address; 5] {
    [
        knn::<M> as Address,
        knn_before::<M> as Address,
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
