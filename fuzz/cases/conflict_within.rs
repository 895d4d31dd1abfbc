//! Pairs within a radius and the nearest few of each row, on every tier, against the definition.

use covertree_kernels::conflict::*;
use covertree_kernels::dist::{Chebyshev, Form, Manhattan, SquaredEuclidean};
use covertree_kernels::index::Idx;
use covertree_kernels::oracle::conflict as oracle;
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};

use super::Bytes;

struct Case {
    coordinates: Vec<f64>,
    dim: usize,
    first: usize,
    radii: Vec<(u8, f64)>,
    columns: std::ops::Range<usize>,
    which: Which,
    cap: usize,
}

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let metric = bytes.u8() % 4;
    let dim = [1, 2, 3, 17, 33, 65, 81][bytes.below(7)];
    let len = bytes.below(40);
    let first = bytes.below(len + 1);
    let rows = bytes.below(len - first + 1);
    let start = bytes.below(len + 1);
    let columns = start..start + bytes.below(len - start + 1);
    let which = if bytes.u8() & 1 == 0 { Which::All } else { Which::Above };
    let cap = 1 + bytes.below(CAP_MAX);
    let radii = (0..rows).map(|_| (bytes.u8(), bytes.coordinate().abs())).collect();
    let coordinates = (0..len * dim).map(|_| bytes.coordinate()).collect();
    let case = Case { coordinates, dim, first, radii, columns, which, cap };
    match metric {
        0 => run::<SquaredEuclidean, f32>(&case),
        1 => run::<SquaredEuclidean, f64>(&case),
        2 => run::<Manhattan, f32>(&case),
        _ => run::<Chebyshev, f64>(&case),
    }
}

fn run<F: Form, T: Real>(case: &Case) {
    let data: Vec<T> = case.coordinates.iter().map(|&z| T::from_f64(z)).collect();
    let len = data.len() / case.dim;
    let rows: Vec<Vec<f64>> = data.chunks(case.dim).map(|row| row.iter().map(|z| z.to_f64()).collect()).collect();
    let mut packed = vec![T::default(); panels_len::<T>(len, case.dim)];
    let order: Vec<Idx> = (0..len as Idx).collect();
    pack_rows(Rows::new(&data, case.dim).expect("whole rows"), &order, &mut packed).expect("the shapes fit");
    let points = Panels::new(&packed, case.dim, len).expect("the points are packed");
    // An even byte asks for the distance to some point, so that ties are decided.
    let distance =
        |a: &[f64], b: &[f64]| oracle::finish::<F>(a.iter().zip(b).fold(0.0, |sum, (&a, &b)| F::step_f64(sum, a, b)));
    let radius: Vec<f64> = (case.first..)
        .zip(&case.radii)
        .map(
            |(row, &(kind, any))| {
                if kind % 2 == 0 { distance(&rows[row], &rows[usize::from(kind / 2) % len]) } else { any }
            },
        )
        .collect();
    let (first, columns) = (case.first as Idx, case.columns.start as Idx..case.columns.end as Idx);
    let scope = Scope { first, radius: &radius, columns, which: case.which };
    let want = oracle::within::<F>(&rows, case.first, &radius, case.columns.clone(), case.which);

    for tier in Tier::all() {
        let (mut counts, mut counters) = (vec![-7; radius.len()], ConflictCounters::default());
        count_within::<F, T>(tier, points, &scope, &mut counts, &mut counters).expect("the shapes fit");
        let (mut entries, mut distances) = (vec![[-7; 2]; want.len()], vec![f64::NAN; want.len()]);
        let found = emit_within::<F, T, _>(tier, points, &scope, &counts, &mut entries, &mut distances, &mut counters);
        assert_eq!(found, Ok(want.len()), "{tier}");
        let got: Vec<(Idx, Idx, f64)> =
            entries.iter().zip(&distances).map(|(pair, &d)| (pair[0], pair[1], d)).collect();
        assert_eq!(got, want, "{tier}");
        let places = radius.len() * case.cap;
        let (mut lens, mut entries, mut distances) = (counts, vec![-7; places], vec![f64::NAN; places]);
        let out = Nearest { lens: &mut lens, entries: &mut entries, distances: &mut distances };
        nearest_within::<F, T, Idx>(tier, points, &scope, case.cap, out, &mut counters).expect("the shapes fit");
        for (row, own) in entries.chunks(case.cap).zip(distances.chunks(case.cap)).enumerate() {
            let near = oracle::nearest(&want, first + row as Idx, case.cap);
            assert_eq!(lens[row] as usize, near.len(), "{tier}");
            let got: Vec<(Idx, f64)> = own.0.iter().copied().zip(own.1.iter().copied()).take(near.len()).collect();
            assert_eq!(got, near, "{tier}");
        }
    }
}
