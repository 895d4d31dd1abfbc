use proptest::collection::vec;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::hash::mix64;
use crate::oracle::order as oracle;
use crate::trials;

/// Row-major coordinates: ties, lattice points, and values all over a range.
fn coordinates(len: usize, seed: u64) -> Vec<f64> {
    (0..len as u64)
        .map(|i| match mix64(seed ^ i.wrapping_mul(0x9e37_79b9)) {
            word if word % 3 == 0 => (word >> 8 & 7) as f64 - 4.0,
            word => (word >> 11) as f64 / (1u64 << 53) as f64 * 9.0 - 4.5,
        })
        .collect()
}

/// Both curves on every tier against the twin and the oracle.
fn check_keys<T: Real>(data: &[T], dim: usize, fit: Fit, bits: u32) {
    let rows = Rows::new(data, dim).unwrap();
    let (mut low, mut high) = (vec![T::from_f64(99.0); dim], vec![T::from_f64(-99.0); dim]);
    bounds(Tier::PORTABLE, rows, &mut low, &mut high).unwrap();
    if rows.is_empty() {
        (low, high) = (vec![T::from_f64(0.0); dim], vec![T::from_f64(1.0); dim]);
    }
    let frame = Frame::new(&low, &high, fit).unwrap().with_bits(bits);
    let (mut plain, mut keys) = (vec![7; rows.len()], vec![9; rows.len()]);
    for hilbert in [false, true] {
        match hilbert {
            false => scalar::morton_keys(data, &frame, &mut plain),
            true => scalar::hilbert_keys(data, &frame, &mut plain),
        }
        for (row, &key) in plain.iter().enumerate() {
            let cell = scalar::cells(rows.row(row), &frame);
            let read = if hilbert { oracle::hilbert_cell } else { oracle::morton_cell };
            assert_eq!(read(key, frame.dims(), frame.bits()), cell[..frame.dims()], "row {row}");
        }
        for tier in Tier::all() {
            let kernel = if hilbert { hilbert_keys } else { morton_keys };
            keys.fill(9);
            kernel(tier, rows, &frame, 0, &mut keys).unwrap();
            assert_eq!(keys, plain, "{tier} dim {dim} bits {} hilbert {hilbert}", frame.bits());
        }
    }
}

#[test]
fn keys_match_oracle() {
    for dim in trials::thin(9, (1..=12).chain([16, 21, 22, 31, 32, 33, 63, 64, 65, 100])) {
        for len in trials::thin(3, [0, 1, 2, 15, 16, 17, 33]) {
            let data = coordinates(len * dim, dim as u64);
            check_keys(&data, dim, Fit::Cube, 64);
            check_keys(&data, dim, Fit::Box, 1 + len as u32 % 7);
            let single: Vec<f32> = data.iter().map(|&x| x as f32).collect();
            check_keys(&single, dim, Fit::Box, 64);
        }
    }
}

#[test]
fn morton_keys_match_oracle() {
    // Also covered above; here one key written out by hand: cells (x, y) = (0b10, 0b01) interleave to 0b1001.
    let frame = Frame::new(&[0.0, 0.0], &[3.0, 3.0], Fit::Cube).unwrap().with_bits(2);
    let mut key = [7];
    morton_keys(Tier::detect(), Rows::new(&[2.0, 1.0], 2).unwrap(), &frame, 0, &mut key).unwrap();
    assert_eq!(key, [0b1001]);
}

#[test]
fn the_hilbert_curve_visits_each_cell_once_and_moves_by_one_face() {
    for (dims, bits) in trials::thin(3, [(1, 6), (2, 1), (2, 5), (3, 1), (3, 3), (4, 2), (5, 2), (6, 1), (10, 1)]) {
        let cells = 1u64 << (dims as u32 * bits);
        let mut seen = vec![false; cells as usize];
        let mut before: Option<Vec<u32>> = None;
        for key in 0..cells {
            let cell = oracle::hilbert_cell(key, dims, bits);
            let place = cell.iter().fold(0, |place, &x| place << bits | x as usize);
            assert!(!core::mem::replace(&mut seen[place], true));
            if let Some(before) = before {
                let steps: u32 = before.iter().zip(&cell).map(|(&a, &b)| a.abs_diff(b)).sum();
                assert_eq!(steps, 1, "dims {dims} bits {bits} key {key}");
            }
            before = Some(cell);
        }
    }
}

#[test]
fn bounds_match_oracle() {
    for dim in trials::thin(4, (1..=10).chain([16, 17, 40, 300])) {
        for len in trials::thin(3, [0, 1, 7, 8, 9, 15, 16, 17, 50]) {
            let data = coordinates(len * dim, 5);
            let single: Vec<f32> = data.iter().map(|&x| x as f32).collect();
            let rounded: Vec<f64> = single.iter().map(|&x| f64::from(x)).collect();
            check_bounds(&data, dim, &data);
            check_bounds(&single, dim, &rounded);
        }
    }
}

/// Bits of the bounds, from buffers that are dirty: by the twin without a tier.
fn bits_of_bounds<T: Real>(tier: Option<Tier>, data: &[T], dim: usize) -> (Vec<u64>, Vec<u64>) {
    let (mut low, mut high) = (vec![T::from_f64(-1.0); dim], vec![T::from_f64(1.0); dim]);
    match tier {
        Some(tier) => bounds(tier, Rows::new(data, dim).unwrap(), &mut low, &mut high).unwrap(),
        None => scalar::bounds(data, &mut low, &mut high),
    }
    let bits = |values: Vec<T>| values.into_iter().map(|value| value.to_f64().to_bits()).collect();
    (bits(low), bits(high))
}

/// Every tier against the twin and the oracle, which gets the same data, in `f64`.
fn check_bounds<T: Real>(data: &[T], dim: usize, wide: &[f64]) {
    let (low, high) = oracle::bounds(wide, dim);
    let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    let want = (bits(low), bits(high));
    assert_eq!(bits_of_bounds(None, data, dim), want, "twin, {dim} of {}", data.len());
    for tier in Tier::all() {
        assert_eq!(bits_of_bounds(Some(tier), data, dim), want, "{tier}, {dim} of {}", data.len());
    }
}

#[test]
fn bounds_do_not_show_the_order_of_signed_zeros() {
    for data in [[0.0, -0.0], [-0.0, 0.0], [-0.0, -0.0]] {
        for tier in Tier::all().map(Some).chain([None]) {
            assert_eq!(bits_of_bounds(tier, &data, 1), (vec![0], vec![0]));
        }
        check_bounds(&data, 1, &data);
        check_bounds(&data, 2, &data);
    }
}

#[test]
fn bounds_and_keys_of_two_halves_are_those_of_the_whole() {
    let data = coordinates(3 * 77, 11);
    let rows = Rows::new(&data, 3).unwrap();
    let (mut low, mut high) = ([0.0; 3], [0.0; 3]);
    let tier = Tier::detect();
    bounds(tier, rows, &mut low, &mut high).unwrap();
    let (mut a, mut b, mut c, mut d) = ([0.0; 3], [0.0; 3], [0.0; 3], [0.0; 3]);
    bounds(tier, Rows::new(&data[..3 * 31], 3).unwrap(), &mut a, &mut b).unwrap();
    bounds(tier, Rows::new(&data[3 * 31..], 3).unwrap(), &mut c, &mut d).unwrap();
    merge_bounds(&mut a, &mut b, &c, &d).unwrap();
    assert_eq!((low, high), (a, b));

    let frame = Frame::new(&low, &high, Fit::Cube).unwrap();
    let (mut whole, mut parts) = ([0; 77], [1; 77]);
    hilbert_keys(tier, rows, &frame, 0, &mut whole).unwrap();
    let (head, tail) = parts.split_at_mut(31);
    hilbert_keys(tier, rows, &frame, 31, tail).unwrap();
    hilbert_keys(tier, rows, &frame, 0, head).unwrap();
    assert_eq!(whole, parts);
}

#[test]
fn extreme_boxes_keep_the_order_of_the_points() {
    for (low, high) in [
        (-f64::MAX, f64::MAX),
        (0.0, 5e-324),
        (-5e-324, 1e-310),
        (1e7, 1e7 + 1e-3),
        (-1.0, -1.0),
        (0.0, f64::MAX),
        (f64::MAX / 2.0, f64::MAX),
    ] {
        let data: Vec<f64> = (0..=20).map(|i| low + (high / 20.0 - low / 20.0) * f64::from(i)).collect();
        let data: Vec<f64> = data.iter().map(|x| x.clamp(low, high)).collect();
        for fit in [Fit::Cube, Fit::Box] {
            check_keys(&data, 1, fit, 64);
            let frame = Frame::new(&[low], &[high], fit).unwrap();
            let mut keys = [0; 21];
            hilbert_keys(Tier::detect(), Rows::new(&data, 1).unwrap(), &frame, 0, &mut keys).unwrap();
            assert!(keys.is_sorted(), "{low} {high}: {keys:?}");
        }
    }
}

#[test]
fn the_ends_of_the_box_are_the_ends_of_the_curve_and_what_lies_outside_counts_as_its_border() {
    let frame = Frame::new(&[-1.0f32], &[3.0], Fit::Cube).unwrap();
    let data = [-1.0f32, 3.0, -9.0, 9.0, f32::NEG_INFINITY, f32::INFINITY, f32::NAN];
    let last = u64::from(u32::MAX);
    for tier in Tier::all() {
        let mut keys = [5; 7];
        morton_keys(tier, Rows::new(&data, 1).unwrap(), &frame, 0, &mut keys).unwrap();
        assert_eq!(keys, [0, last, 0, last, 0, last, 0]);
    }
}

#[test]
fn a_box_is_cut_into_cubes_or_evenly() {
    let (low, high) = ([0.0, 0.0], [4.0, 1.0]);
    let data = [4.0, 1.0];
    let cell = |fit| scalar::cells(&data, &Frame::new(&low, &high, fit).unwrap().with_bits(3));
    assert_eq!((cell(Fit::Cube)[..2].to_vec(), cell(Fit::Box)[..2].to_vec()), (vec![7, 2], vec![7, 7]));
}

#[test]
fn bits_fill_the_key() {
    let bits = [1, 2, 3, 4, 8, 22, 32, 33, 64, 65, 1000].map(key_bits);
    assert_eq!(bits, [32, 32, 21, 16, 8, 2, 2, 1, 1, 1, 1]);
    let frame = Frame::new(&[0.0; 3], &[1.0; 3], Fit::Cube).unwrap();
    assert_eq!((frame.dims(), frame.bits(), frame.clone().with_bits(0).bits()), (3, 21, 1));
    assert_eq!((frame.clone().with_bits(10).bits(), frame.with_bits(99).bits()), (10, 21));
}

#[test]
fn wrong_arguments_are_refused_and_nothing_is_written() {
    let shape = |what, want, got| Err(KernelError::Shape { what, want, got });
    let rows = Rows::new(&[0.0; 8], 2).unwrap();
    let frame = Frame::new(&[0.0; 2], &[1.0; 2], Fit::Cube).unwrap();
    let line = Frame::new(&[0.0], &[1.0], Fit::Cube).unwrap();
    let tier = Tier::detect();
    for kernel in [hilbert_keys, morton_keys] {
        let mut keys = [42; 5];
        assert_eq!(kernel(tier, rows, &frame, 0, &mut keys), shape("keys", 4, 5));
        assert_eq!(kernel(tier, rows, &frame, 3, &mut keys[..2]), shape("keys", 1, 2));
        assert_eq!(kernel(tier, rows, &frame, Idx::MAX, &mut keys[..2]), shape("keys", 0, 2));
        assert_eq!(kernel(tier, rows, &line, 0, &mut keys[..4]), shape("frame", 2, 1));
        let negative = kernel(tier, rows, &frame, -1, &mut keys[..2]);
        assert_eq!(negative, Err(KernelError::Value { what: "first", at: 0 }));
        assert_eq!(kernel(tier, rows, &frame, 4, &mut keys[..0]), Ok(()));
        assert_eq!(keys, [42; 5]);
    }
    let (mut low, mut high) = ([5.0; 2], [6.0; 2]);
    assert_eq!(bounds(tier, rows, &mut low[..1], &mut high), shape("low", 2, 1));
    assert_eq!(bounds(tier, rows, &mut low, &mut high[..1]), shape("high", 2, 1));
    assert_eq!(merge_bounds(&mut low, &mut high, &[0.0; 2], &[0.0; 1]), shape("other_high", 2, 1));
    assert_eq!(merge_bounds(&mut low, &mut high, &[0.0; 1], &[0.0; 2]), shape("other_low", 2, 1));
    assert_eq!(merge_bounds(&mut low, &mut high[..1], &[0.0; 2], &[0.0; 2]), shape("high", 2, 1));
    assert_eq!((low, high), ([5.0; 2], [6.0; 2]));

    let refused = |low: &[f64], high: &[f64]| Frame::new(low, high, Fit::Cube).err();
    assert_eq!(refused(&[], &[]), Some(KernelError::Least { what: "low", least: 1, got: 0 }));
    assert_eq!(refused(&[0.0], &[]), Some(KernelError::Shape { what: "high", want: 1, got: 0 }));
    for (low, high) in [(1.0, 0.0), (f64::NAN, 0.0), (0.0, f64::INFINITY), (f64::NEG_INFINITY, 0.0)] {
        assert_eq!(refused(&[0.0, low], &[0.0, high]), Some(KernelError::Value { what: "low", at: 1 }));
    }
}

proptest! {
    #![proptest_config(trials::cases(256))]

    #[test]
    fn any_coordinates_give_the_keys_of_the_twin(
        dim in 1..10usize, bits in 1..33u32, even in any::<bool>(), data in vec(-1e300..1e300f64, 0..200)
    ) {
        let len = data.len() / dim * dim;
        check_keys(&data[..len], dim, if even { Fit::Box } else { Fit::Cube }, bits);
    }
}
