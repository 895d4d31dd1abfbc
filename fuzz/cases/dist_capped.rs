//! The early exit at a cap, against the whole sums.

use covertree_kernels::dist::*;
use covertree_kernels::simd::{Real, Tier};

use super::Bytes;
use super::points::{Points, same};

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (form, dim, len) = (bytes.u8(), 1 + bytes.below(90), bytes.below(300));
    let pick = bytes.below(400);
    match form % 3 {
        0 => run::<f32, _>(SquaredEuclidean, &mut bytes, dim, len, pick),
        1 => run::<f64, _>(Manhattan, &mut bytes, dim, len, pick),
        _ => run::<f32, _>(Chebyshev, &mut bytes, dim, len, pick),
    }
}

fn run<T: Real, F: Form>(form: F, bytes: &mut Bytes<'_>, dim: usize, len: usize, pick: usize) {
    let query = Points::<T>::read(bytes, dim, 1);
    let points = Points::<T>::read(bytes, dim, len);
    // The cap is one of the sums, or a number of its own.
    let mut whole = points.out::<T>(1);
    scalar::one_to_run(form, &query.rows, &points.packed, &mut whole);
    let cap = whole.get(pick).copied().unwrap_or(T::from_f64(pick as f64 - 350.0));
    let (mut twin, mut twin_counters) = (points.out::<T>(1), DistCounters::default());
    let twin_cut = scalar::one_to_run_capped(form, &query.rows, &points.packed, cap, &mut twin, &mut twin_counters);
    for tier in Tier::all() {
        let (mut out, mut counters) = (points.out::<T>(1), DistCounters::default());
        let (rounding, panels) = (Rounding::Published, points.panels());
        let cut = one_to_run_capped(tier, form, rounding, &query.rows, panels, cap, &mut out, &mut counters);
        assert_eq!((cut, counters), (Ok(twin_cut), twin_counters), "{tier}");
        assert!(same(&out, &twin), "{tier}");
        assert_eq!(counters.panels_full + counters.panels_cut, (out.len() / T::LANES) as u64);
        for (&whole, &capped) in whole.iter().zip(&out) {
            assert!(if whole <= cap { whole == capped } else { capped > cap && capped <= whole }, "{tier}");
        }
    }
}
