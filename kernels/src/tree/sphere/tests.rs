use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;

use super::*;
use crate::error::KernelError;
use crate::oracle;
use crate::simd::Tier;
use crate::tree::promises::{Measure, boxes_bound, keeps_promises, knn_is_brute_force, pack, uniform};
use crate::trials;
use crate::view::Panels;

/// Vectors at nearly equal, nearly parallel, nearly opposite and nearly right angles, with other lengths.
fn directions(seed: u64, dim: usize) -> Vec<f64> {
    let base: Vec<f64> = (0..dim).map(|d| uniform(seed, d) - 0.5).collect();
    let mut rows = base.clone();
    let tilts = [0.0, 1e-300, 1e-170, 1e-155, 1e-17, 1.5e-16, 1e-15, 1e-12, 1e-8, 1e-8, 1e-3, 0.3, 1.0, 5.0];
    for (variant, tilt) in trials::thin(4, tilts.iter().enumerate()) {
        let length = [1.0, 3.0, 1e-310, 7e-200, 1e300, 0.1][variant % 6];
        for sign in [1.0, -1.0] {
            let place = 100 * variant + 50;
            rows.extend((0..dim).map(|d| sign * length * (base[d] + tilt * (uniform(seed, place + d) - 0.5))));
        }
    }
    // An axis, its opposite, and neighbours that differ only where squares underflow.
    for (first, second) in [(1.0, 0.0), (-1.0, 0.0), (1.0, 1e-200), (1.0, -1e-160), (0.0, 1.0), (-1.0, 5e-324)] {
        let row = [first, second];
        rows.extend((0..dim).map(|d| if d == 0 && dim == 1 { 1.0 } else { row.get(d).copied().unwrap_or(0.0) }));
    }
    rows
}

fn check_angular(tier: Tier, raw: &[f64], dim: usize) {
    let mut rows = vec![-7.0; raw.len()];
    for (row, out) in raw.chunks_exact(dim).zip(rows.chunks_exact_mut(dim)) {
        unit_row(row, out).unwrap();
        let norm: f64 = out.iter().map(|u| u * u).sum();
        assert!((norm - 1.0).abs() <= 2.0 * (dim + 5) as f64 * f64::EPSILON, "{norm}");
    }
    let packed = pack(&rows, dim);
    let points = Panels::new(&packed, dim, rows.len() / dim).unwrap();
    let oracle = |i: usize, j: usize| oracle::sphere::angular(&raw[i * dim..][..dim], &raw[j * dim..][..dim]);
    let metric = Angular::new(points);
    keeps_promises(tier, &metric, &rows, dim, &oracle);
    knn_is_brute_force(tier, &metric, &rows, dim, &oracle);
    boxes_bound(tier, &rows, dim, dim, |boxes| metric.with_boxes(boxes));
}

#[test]
fn angular_keeps_its_promises_on_every_tier() {
    for tier in Tier::all() {
        for (seed, dim) in trials::thin(8, [(6, 9), (1, 1), (2, 2), (3, 3), (4, 7), (5, 8), (7, 64), (8, 384)]) {
            check_angular(tier, &directions(seed, dim), dim);
        }
    }
}

#[test]
fn right_and_straight_angles_are_what_they_should_be() {
    let mut rows = [0.0; 6];
    for (row, out) in [[2.0, 0.0], [0.0, 0.5], [-3.0, 0.0]].iter().zip(rows.chunks_exact_mut(2)) {
        unit_row(row, out).unwrap();
    }
    let packed = pack(&rows, 2);
    let metric = Angular::new(Panels::new(&packed, 2, 3).unwrap());
    let measured = Tier::PORTABLE.run(Measure(&metric, &rows[..2], 3));
    let distances: Vec<f64> = measured.iter().map(|pair| pair.distance).collect();
    assert_eq!(distances, [0.0, FRAC_PI_2, 2.0 * FRAC_PI_2]);
}

#[test]
fn unit_rows_of_any_length_are_made_and_others_refused() {
    for exponent in [1021, 600, 0, -600, -1074] {
        let mut out = [-7.0; 2];
        unit_row(&[libm::scalbn(3.0, exponent), libm::scalbn(4.0, exponent)], &mut out).unwrap();
        assert_eq!(out, [0.6, 0.8], "2^{exponent}");
    }
    let mut single = [-7.0; 2];
    unit_row(&[3.0f32, 4.0], &mut single).unwrap();
    assert_eq!(single, [0.6, 0.8]);
    let mut out = [-7.0; 2];
    assert_eq!(unit_row(&[0.0, -0.0], &mut out), Err(KernelError::Value { what: "row", at: 0 }));
    assert_eq!(unit_row(&[0.0, f64::NAN], &mut out), Err(KernelError::Value { what: "row", at: 1 }));
    assert_eq!(unit_row(&[f64::INFINITY, 0.0], &mut out), Err(KernelError::Value { what: "row", at: 0 }));
    assert_eq!(unit_row(&[1.0], &mut out), Err(KernelError::Shape { what: "out", want: 1, got: 2 }));
    assert_eq!(out, [-7.0; 2]);
}

/// Places near each other, near the poles, across the date line, and nearly opposite.
fn places(seed: u64) -> Vec<[f64; 2]> {
    let (lon, lat) = (360.0 * uniform(seed, 0) - 180.0, 170.0 * uniform(seed, 1) - 85.0);
    let mut all = vec![[lon, lat], [lon + 360.0, lat], [lon - 720.0, lat], [lon + 3.6e17, lat]];
    let tilts = [0.0, 1e-300, 3e-14, 1e-13, 1e-9, 1e-6, 1e-6, 0.01, 1.0, 40.0];
    for (variant, tilt) in trials::thin(5, tilts.iter().enumerate()) {
        let (east, north) = (tilt * (uniform(seed, 10 + variant) - 0.5), tilt * (uniform(seed, 30 + variant) - 0.5));
        let lat = (lat + north).clamp(-90.0, 90.0);
        all.push([lon + east, lat]);
        all.push([lon + 180.0 + east, -lat]); // the antipode and its surroundings
        all.push([180.0 - east.abs(), north]); // both sides of the date line
        all.push([east.abs() - 180.0, north]);
        all.push([360.0 * uniform(seed, 50 + variant), 90.0 - north.abs()]); // both poles
        all.push([360.0 * uniform(seed, 70 + variant), north.abs() - 90.0]);
    }
    all.extend([[0.0, 0.0], [-0.0, -0.0], [180.0, 0.0], [-180.0, 0.0], [90.0, 0.0], [0.0, 90.0], [5.0, -90.0]]);
    all
}

fn check_haversine(tier: Tier, places: &[[f64; 2]]) {
    let rows: Vec<f64> = places.iter().flat_map(|place| haversine_row(place[0], place[1]).unwrap()).collect();
    let packed = pack(&rows, HAVERSINE_WIDTH);
    let points = Panels::new(&packed, HAVERSINE_WIDTH, places.len()).unwrap();
    let metric = Haversine::new(points).unwrap();
    let oracle = |i: usize, j: usize| oracle::sphere::haversine(places[i], places[j]);
    keeps_promises(tier, &metric, &rows, HAVERSINE_WIDTH, &oracle);
    knn_is_brute_force(tier, &metric, &rows, HAVERSINE_WIDTH, &oracle);
    boxes_bound(tier, &rows, HAVERSINE_WIDTH, 3, |boxes| metric.with_boxes(boxes));
}

#[test]
fn haversine_keeps_its_promises_on_every_tier() {
    for tier in Tier::all() {
        for seed in trials::thin(12, 0..12) {
            check_haversine(tier, &places(seed));
        }
    }
}

#[test]
fn half_of_the_chord_stays_within_the_derived_margin_of_the_sine() {
    for seed in trials::thin(200, 0..200) {
        let places = places(seed);
        let rows: Vec<f64> = places.iter().flat_map(|place| haversine_row(place[0], place[1]).unwrap()).collect();
        let packed = pack(&rows, HAVERSINE_WIDTH);
        let metric = Haversine::new(Panels::new(&packed, HAVERSINE_WIDTH, places.len()).unwrap()).unwrap();
        for query in rows.chunks_exact(HAVERSINE_WIDTH) {
            for pair in Tier::PORTABLE.run(Measure(&metric, query, places.len())) {
                let apart = (libm::sin(0.5 * pair.distance) - 0.5 * libm::sqrt(pair.surrogate)).abs();
                assert!(apart <= 24.0 * 0.5 * f64::EPSILON, "{apart:e} {pair:?}");
            }
        }
    }
}

#[test]
fn whole_turns_and_all_longitudes_of_a_pole_are_one_place() {
    assert_eq!(haversine_row(370.0, 10.0), haversine_row(10.0, 10.0));
    assert_eq!(haversine_row(-180.0, 10.0), haversine_row(180.0, 10.0));
    assert_eq!(haversine_row(540.0, 10.0), haversine_row(180.0, 10.0));
    assert_eq!(oracle::sphere::haversine([13.0, 90.0], [-50.0, 90.0]), 0.0);
    assert_eq!(oracle::sphere::haversine([13.0, 90.0], [-50.0, -90.0]), 2.0 * FRAC_PI_2);
    assert!(haversine_row(f64::MAX, 0.0).is_ok());
    for (lon, lat, what) in [
        (f64::NAN, 0.0, "lon"),
        (f64::INFINITY, 0.0, "lon"),
        (0.0, 90.0f64.next_up(), "lat"),
        (0.0, -91.0, "lat"),
        (0.0, f64::NAN, "lat"),
    ] {
        assert_eq!(haversine_row(lon, lat), Err(KernelError::Value { what, at: 0 }));
    }
    let flat = [0.0; 16];
    let refused = Haversine::new(Panels::new(&flat, 2, 3).unwrap());
    assert_eq!(refused.err(), Some(KernelError::Shape { what: "row", want: 6, got: 2 }));
}

#[test]
fn a_known_distance_on_earth_comes_out() {
    // Berlin to Tokyo, computed in sixty digits.
    let distance = oracle::sphere::haversine([13.405, 52.52], [139.6917, 35.6895]);
    assert!((distance - 1.399_482_930_919_403_2).abs() < 1e-15, "{distance}");
}

proptest! {
    #![proptest_config(trials::cases(48))]

    #[test]
    fn angular_holds_for_random_bundles(seed in any::<u64>(), dim in 1usize..20) {
        check_angular(Tier::detect(), &directions(seed, dim), dim);
    }

    #[test]
    fn haversine_holds_for_random_places(seed in any::<u64>()) {
        check_haversine(Tier::detect(), &places(seed));
    }

    #[test]
    fn translations_are_monotone(a in 0.0f64..3.2, b in 0.0f64..3.2, absolute in prop_oneof![Just(0.0), Just(1e-14)]) {
        let chord = Chord { relative: 1e-14, absolute };
        let (near, far) = if a < b { (a, b) } else { (b, a) };
        prop_assert!(chord.floor(near) <= chord.ceiling(near), "{}", format!("{near}"));
        prop_assert!(chord.floor(near) <= chord.ceiling(far));
    }
}
