//! Generated data: the same bits on any number of threads, and the shapes that the documentation promises.

use covertree::generate::{Distribution, GenerateConfig};
use covertree::points::{Dtype, Points, Values};

fn config(distribution: Distribution, rows: usize, dim: usize) -> GenerateConfig {
    GenerateConfig { distribution, rows, dim, dtype: Dtype::F64, ..GenerateConfig::default() }
}

fn make(distribution: Distribution, rows: usize, dim: usize) -> Vec<f64> {
    config(distribution, rows, dim).generate().unwrap().to_f64().into_owned()
}

/// A hash of the bits of all values (FNV-1a).
fn digest(points: &Points) -> u64 {
    let bytes: Vec<u8> = match points.values() {
        Values::F32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Values::F64(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    };
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &b| (hash ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn mean_and_variance(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    (mean, values.map(|v| (v - mean) * (v - mean)).sum::<f64>() / count)
}

#[test]
fn the_bits_do_not_depend_on_threads() {
    for &distribution in Distribution::ALL {
        for dim in [2, 9] {
            let config = config(distribution, 3_000, dim);
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| config.generate().unwrap())
            };
            let one = with(1);
            assert_eq!(digest(&one), digest(&with(2)), "{distribution}");
            assert_eq!(digest(&one), digest(&with(7)), "{distribution}");
        }
    }
}

#[test]
fn the_bits_are_pinned() {
    // A change here changes every data set that people have made and cited: it needs a reason.
    let digests = Distribution::ALL.iter().map(|&distribution| {
        let single = GenerateConfig { dtype: Dtype::F32, ..config(distribution, 200, 9) };
        (
            distribution.name(),
            digest(&config(distribution, 200, 9).generate().unwrap()),
            digest(&single.generate().unwrap()),
        )
    });
    assert_eq!(digests.collect::<Vec<_>>(), PINNED);
}

/// Name, digest in double precision, digest in single precision.
const PINNED: [(&str, u64, u64); 8] = [
    ("gaussian", 0xd442_a4ad_5c8a_719f, 0x94fc_0e64_5b65_c7c0),
    ("uniform", 0x40cd_d633_fbf1_955e, 0xac24_c77b_1683_bd10),
    ("clusters", 0x90c3_d3dc_5657_ab24, 0x380c_e124_7c8b_4c31),
    ("annulus", 0xcf34_0e25_78d3_5ef3, 0xc646_518b_242e_57a5),
    ("lattice", 0xe9d5_76cb_1c6a_1ae5, 0x7a7a_f28e_6d62_bb05),
    ("filament", 0x6474_eb35_23ed_5e36, 0x315a_5d6a_ad4f_b1b7),
    ("duplicates", 0xfa42_c5bf_ea55_9f86, 0x9ef6_1030_37ae_60d3),
    ("manifold", 0xca98_b4af_3d1c_1768, 0x6371_7dce_d721_55e1),
];

#[test]
fn single_precision_is_double_rounded_and_seeds_differ() {
    for &distribution in Distribution::ALL {
        let double = config(distribution, 100, 3);
        let single = GenerateConfig { dtype: Dtype::F32, ..double };
        let rounded = double.generate().unwrap().to_f64().iter().map(|&v| v as f32).collect();
        assert_eq!(single.generate().unwrap().into_values(), Values::F32(rounded));
        let other = GenerateConfig { seed: 43, ..double }.generate().unwrap();
        assert_eq!(other == double.generate().unwrap(), distribution == Distribution::Lattice);
    }
}

#[test]
fn a_shorter_set_is_the_beginning_of_a_longer_one() {
    for distribution in Distribution::ALL.iter().copied().filter(|&d| d != Distribution::Lattice) {
        let (short, long) = (make(distribution, 1_025, 3), make(distribution, 2_500, 3));
        assert_eq!(short, long[..short.len()], "{distribution}");
    }
}

#[test]
fn gaussian_has_the_identity_as_covariance() {
    let (rows, dim) = (20_000, 5);
    let values = make(Distribution::Gaussian, rows, dim);
    for a in 0..dim {
        let column = |c: usize| values.chunks_exact(dim).map(move |row| row[c]);
        let (mean, variance) = mean_and_variance(column(a));
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "column {a}: {mean} {variance}");
        for b in 0..a {
            let covariance = column(a).zip(column(b)).map(|(x, y)| x * y).sum::<f64>() / rows as f64;
            assert!(covariance.abs() < 0.03, "columns {a} and {b}: {covariance}");
        }
        let within = column(a).filter(|v| v.abs() < 1.0).count() as f64 / rows as f64;
        assert!((within - 0.6827).abs() < 0.015, "column {a}: {within} within one deviation");
    }
}

#[test]
fn uniform_fills_the_cube() {
    let values = make(Distribution::Uniform, 20_000, 2);
    assert!(values.iter().all(|v| (0.0..1.0).contains(v)));
    let (mean, variance) = mean_and_variance(values.iter().copied());
    assert!((mean - 0.5).abs() < 0.01 && (variance - 1.0 / 12.0).abs() < 0.003);
}

#[test]
fn clusters_differ_widely_in_density() {
    let values = make(Distribution::Clusters, 4_000, 2);
    let points: Vec<&[f64]> = values.chunks_exact(2).collect();
    let nearest = |i: usize| {
        let distance = |j: usize| (points[i][0] - points[j][0]).hypot(points[i][1] - points[j][1]);
        (0..points.len()).filter(|&j| j != i).map(distance).fold(f64::INFINITY, f64::min)
    };
    let mut gaps: Vec<f64> = (0..400).map(nearest).collect();
    gaps.sort_by(f64::total_cmp);
    assert!(gaps[380] / gaps[20] > 100.0, "gaps from {} to {}", gaps[20], gaps[380]);
}

#[test]
fn annulus_is_a_ring() {
    for row in make(Distribution::Annulus, 2_000, 3).chunks_exact(3) {
        let radius = row[0].hypot(row[1]);
        assert!((0.9 - 1e-12..1.1 + 1e-12).contains(&radius) && (-0.1..0.1).contains(&row[2]), "{row:?}");
    }
    let values = make(Distribution::Annulus, 2_000, 2);
    for quadrant in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
        let count = values.chunks_exact(2).filter(|p| p[0] * quadrant.0 > 0.0 && p[1] * quadrant.1 > 0.0).count();
        assert!((400..600).contains(&count));
    }
}

#[test]
fn lattice_is_every_cell_once() {
    let values = make(Distribution::Lattice, 60, 3);
    assert_eq!(values[..9], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 2.0]);
    let mut cells: Vec<Vec<i64>> = values.chunks_exact(3).map(|row| row.iter().map(|&v| v as i64).collect()).collect();
    assert!(values.iter().all(|v| v.fract() == 0.0 && (0.0..4.0).contains(v)));
    cells.sort();
    cells.dedup();
    assert_eq!(cells.len(), 60);
}

#[test]
fn filament_is_a_thin_connected_curve() {
    let dim = 3;
    let values = make(Distribution::Filament, 4_000, dim);
    let rows: Vec<&[f64]> = values.chunks_exact(dim).collect();
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt();
    let spread = rows.iter().map(|row| distance(row, rows[0])).fold(0.0, f64::max);
    let nearest = |i: usize| {
        let others = rows.iter().enumerate().filter(|&(j, _)| j != i);
        others.map(|(_, row)| distance(row, rows[i])).fold(f64::INFINITY, f64::min)
    };
    let largest_gap = (0..200).map(nearest).fold(0.0, f64::max);
    assert!(spread > 1.0 && largest_gap < 0.1, "spread {spread}, gap {largest_gap}");
}

#[test]
fn duplicates_are_three_tenths_exact_copies() {
    let values = make(Distribution::Duplicates, 1_000, 2);
    let mut rows: Vec<[u64; 2]> = values.chunks_exact(2).map(|r| [r[0].to_bits(), r[1].to_bits()]).collect();
    for row in 0..rows.len() {
        let copied = rows[..row].contains(&rows[row]);
        assert_eq!(copied, matches!(row % 10, 3 | 6 | 9), "row {row}");
    }
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), 700);
}

#[test]
fn manifold_has_its_intrinsic_dimension() {
    // The number of neighbours within r grows as r^q at small scale.
    let dim = 20;
    for (intrinsic, bounds) in [(1, 0.8..1.2), (2, 1.6..2.4), (4, 3.0..5.0)] {
        let request = GenerateConfig { intrinsic_dim: Some(intrinsic), ..config(Distribution::Manifold, 3_000, dim) };
        let points = request.generate().unwrap();
        let values = points.to_f64();
        let (_, variance) = mean_and_variance(values.iter().copied());
        assert!((0.4..2.5).contains(&variance), "variance {variance}");
        let rows: Vec<&[f64]> = values.chunks_exact(dim).collect();
        // Estimator of E. Levina and P. J. Bickel (2004) from the 10 nearest of each of 200 points.
        let mut sum = 0.0;
        for row in &rows[..200] {
            let square = |other: &&[f64]| row.iter().zip(*other).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
            let mut distances: Vec<f64> = rows.iter().map(|other| square(other).sqrt()).collect();
            distances.sort_by(f64::total_cmp);
            sum += (1..10).map(|j| (distances[10] / distances[j]).ln()).sum::<f64>();
        }
        let estimate = 200.0 * 9.0 / sum;
        assert!(bounds.contains(&estimate), "intrinsic dimension {intrinsic} looks like {estimate}");
    }
}

#[test]
fn impossible_requests_are_refused_in_one_line() {
    let base = config(Distribution::Manifold, 10, 4);
    for (request, want) in [
        (GenerateConfig { rows: 0, ..base }, "manifold: 0 rows cannot be made; ask for 1 to 2147483646"),
        (GenerateConfig { rows: usize::MAX, ..base }, "rows cannot be made; ask for 1 to 2147483646"),
        (GenerateConfig { dim: 0, ..base }, "manifold: points need at least 1 dimension; ask for more"),
        (GenerateConfig { intrinsic_dim: Some(0), ..base }, "an intrinsic dimension of 0 does not lie in 1 to 4"),
        (GenerateConfig { intrinsic_dim: Some(5), ..base }, "an intrinsic dimension of 5 does not lie in 1 to 4"),
        (config(Distribution::Annulus, 10, 1), "annulus: a ring needs 2 dimensions or more, not 1"),
        (
            GenerateConfig { dtype: Dtype::F32, ..config(Distribution::Lattice, 1 << 25, 1) },
            "lattice: a side of 33554432 is not exact in f32; ask for f64",
        ),
    ] {
        let error = request.generate().unwrap_err();
        let message = error.to_string();
        assert!(message.contains(want) && !message.contains('\n'), "{message}");
        assert_eq!(error.exit_code(), 2);
    }
    for dim in 1..6 {
        let points = config(Distribution::Manifold, 10, dim).generate().unwrap();
        assert_eq!(points.dim(), dim); // the default intrinsic dimension gives way
    }
}

/// Where the system tells what memory there is.
#[cfg(target_os = "linux")]
#[test]
fn no_shape_asks_for_memory_that_there_is_not() {
    for &distribution in Distribution::ALL {
        for dim in [1 << 50, isize::MAX as usize, usize::MAX] {
            for request in [
                config(distribution, 2, dim),
                GenerateConfig { dtype: Dtype::F32, ..config(distribution, 2, dim) },
                GenerateConfig { intrinsic_dim: Some(dim), ..config(distribution, 2, dim) },
            ] {
                let error = request.generate().unwrap_err().to_string();
                assert!(error.starts_with(&format!("{distribution}: its ")), "{error}");
                assert!(
                    error.ends_with("do not fit into memory; ask for fewer rows or columns, or for f32"),
                    "{error}"
                );
            }
        }
    }
    // The values would fit, and the matrices of the surface do not.
    let request = GenerateConfig { intrinsic_dim: Some(1 << 24), ..config(Distribution::Manifold, 2, 1 << 24) };
    assert!(request.generate().unwrap_err().to_string().contains("do not fit into memory"));
}
