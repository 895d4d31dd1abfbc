//! One query against packed points, in every form and precision, and widened, against the published formula.

use covertree_kernels::dist::{Rounding, SquaredEuclidean, one_to_run, scalar, widened_one_to_run};
use covertree_kernels::oracle::dist::Truth;
use covertree_kernels::simd::{Real, Tier};

use super::Bytes;
use super::points::{Points, same, with_form, within_bound};

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (form, dim, len) = (bytes.u8(), 1 + bytes.below(40), bytes.below(150));
    run::<f64, _>(SquaredEuclidean, &mut Bytes(bytes.0), dim, len);
    with_form!(form, form => {
        run::<f32, _>(form, &mut Bytes(bytes.0), dim, len);
        widened(form, &mut bytes, dim, len);
    });
}

fn run<T: Real, F: Truth>(form: F, bytes: &mut Bytes<'_>, dim: usize, len: usize) {
    let query = Points::<T>::read(bytes, dim, 1);
    let points = Points::<T>::read(bytes, dim, len);
    let mut twin = points.out::<T>(1);
    scalar::one_to_run(form, &query.rows, &points.packed, &mut twin);
    for tier in Tier::all() {
        for rounding in [Rounding::Published, Rounding::Fused] {
            let mut out = points.out::<T>(1);
            one_to_run(tier, form, rounding, &query.rows, points.panels(), &mut out).expect("the sizes fit");
            assert!(rounding == Rounding::Fused || same(&out, &twin), "{tier}");
            for (row, &value) in out[..len].iter().enumerate() {
                let (query, point) = (query.wide(0), points.wide(row));
                within_bound::<T, F>(&query, &point, value);
                if T::IS_F64 && rounding == Rounding::Published {
                    assert!(same(&[value.to_f64()], &[F::published(&query, &point)]), "{tier}");
                }
            }
        }
    }
}

fn widened<F: Truth>(form: F, bytes: &mut Bytes<'_>, dim: usize, len: usize) {
    let query = Points::<f64>::read(bytes, dim, 1);
    let points = Points::<f32>::read(bytes, dim, len);
    for tier in Tier::all() {
        let mut out = points.out::<f64>(1);
        widened_one_to_run(tier, form, &query.rows, points.panels(), &mut out).expect("the sizes fit");
        for (row, &value) in out[..len].iter().enumerate() {
            assert!(same(&[value], &[F::published(&query.rows, &points.wide(row))]), "{tier}");
        }
    }
}
