//! Projections lengthen nothing, on any tier, for any data; and axes find the plane that points lie in.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::arena::{Arena, Block};
use crate::oracle::double::Double;
use crate::oracle::projection as oracle;
use crate::simd::Tier;
use crate::tree::promises::uniform;
use crate::trials;
use crate::view::Rows;

/// Points near a plane of a few dimensions, `noise` away from it, around a center that is `offset` away from the origin.
fn near_plane(seed: u64, [len, dim, plane]: [usize; 3], noise: f64, offset: f64) -> Vec<f64> {
    let axes: Vec<f64> = (0..plane * dim).map(|at| uniform(seed, at) - 0.5).collect();
    let mut rows = Vec::new();
    for row in 0..len {
        let along: Vec<f64> = (0..plane).map(|axis| uniform(!seed, row * plane + axis) - 0.5).collect();
        rows.extend((0..dim).map(|d| {
            let sum: f64 = along.iter().enumerate().map(|(axis, along)| along * axes[axis * dim + d]).sum();
            offset + sum + noise * (uniform(seed ^ 0x55, row * dim + d) - 0.5)
        }));
    }
    rows
}

/// The center, the axes and their number.
type Axes = (Vec<f64>, Vec<f64>, usize);

fn axes_of<T: Real>(tier: Tier, rows: &[T], dim: usize) -> Axes {
    let (mut center, mut axes) = (vec![-7.0; dim], vec![f64::NAN; dim * AXES]);
    let mut memory = vec![Block::splat(0xdead_beef); principal_axes_blocks(dim)];
    let rows = Rows::new(rows, dim).unwrap();
    let count = principal_axes(tier, rows, &mut center, &mut axes, &mut Arena::new(&mut memory)).unwrap();
    (center, axes, count)
}

/// By the twin.
fn plain_axes<T: Real>(rows: &[T], dim: usize) -> Axes {
    let (mut center, mut axes, mut moments) = (vec![-7.0; dim], vec![f64::NAN; dim * AXES], vec![9.0; dim * AXES]);
    let count = scalar::principal_axes(Rows::new(rows, dim).unwrap(), &mut center, &mut axes, &mut moments);
    (center, axes, count)
}

fn bits<T: Real>(values: &[T]) -> Vec<u64> {
    values.iter().map(|value| value.to_f64().to_bits()).collect()
}

/// The axes of some rows: every tier gives the bits of the twin.
fn same_axes<T: Real>(rows: &[T], dim: usize) -> Axes {
    let (center, axes, count) = plain_axes(rows, dim);
    for tier in Tier::all() {
        let found = axes_of(tier, rows, dim);
        assert!((bits(&found.0), bits(&found.1), found.2) == (bits(&center), bits(&axes), count), "{tier}");
    }
    (center, axes, count)
}

/// Projected rows and their spread: every tier gives the bits of the twin.
fn same_rows<T: Real>(projection: &Projection<'_>, rows: &[T]) -> (Vec<T>, f64) {
    let whole = Rows::new(rows, projection.dim()).unwrap();
    let mut plain = vec![T::INFINITY; whole.len() * projection.width()];
    let spread = scalar::project_rows(projection, whole, &mut plain);
    let mut out = plain.clone();
    for tier in Tier::all() {
        out.fill(T::INFINITY);
        let found = project_rows(tier, projection, whole, &mut out).unwrap();
        assert!(bits(&out) == bits(&plain) && found.to_bits() == spread.to_bits(), "{tier}");
    }
    (plain, spread)
}

/// Holds projected rows and their spread against arithmetic of twice the precision, within the bound of the module.
fn near_the_truth<T: Real>(projection: &Projection<'_>, rows: &[T], (out, spread): (&[T], f64)) {
    let (dim, count) = (projection.dim(), projection.count());
    let rows: Vec<f64> = rows.iter().map(|value| value.to_f64()).collect();
    let truth = oracle::projections(&rows, projection.center(), projection.axes(), count);
    for (out, (along, apart)) in out.chunks_exact(projection.width()).zip(&truth) {
        let most = element_error::<T>(dim) * apart.high + T::TINY;
        for (value, &along) in out.iter().zip(along) {
            let off = (Double::from(value.to_f64()) - along).high.abs();
            assert!(off <= most, "{value:?} is off by {off}, not {most}");
        }
    }
    let largest = truth.iter().map(|(_, apart)| apart.high).fold(0.0, f64::max);
    let lost = libm::sqrt(dim as f64 * f64::from_bits(1)); // of squares that underflow
    let most = (largest + lost) * (1.0 + 2.0 * gamma(dim + 8, f64::ROUNDOFF));
    assert!((largest..=most).contains(&spread), "{largest} {spread} {most}");
}

#[test]
fn a_spread_whose_square_underflows_is_none_too_small() {
    for size in [1e-150, 1e-160, 1e-170, 1e-200, 1e-300, f64::from_bits(1)] {
        let (center, mut axes, rows) = ([0.0; 2], [0.0; 2 * AXES], [0.0, size, size, 0.0]);
        (axes[0], axes[AXES + 1]) = (0.5, 0.5);
        let projection = Projection::new(&center, &axes, 2).unwrap();
        let (_, spread) = same_rows(&projection, &rows);
        assert!(spread >= size, "{spread} of {size}");
    }
}

/// Distances in exact arithmetic, nearly: `f64` is far better than what is stored in `f32`, and the factor covers it for `f64`.
fn distance<T: Real>(a: &[T], b: &[T]) -> f64 {
    let differences = a.iter().zip(b).map(|(a, b)| a.to_f64() - b.to_f64());
    libm::sqrt(differences.map(|difference| difference * difference).sum())
}

/// Projects points in `T`, and holds every pair against the bound; later rows are queries that do not count for the spread.
fn check<T: Real>(rows: &[f64], dim: usize, points: usize) {
    let (center, axes, count) = same_axes(&rows[..points * dim], dim);
    let projection = Projection::new(&center, &axes, count).unwrap();
    assert!(axes.chunks_exact(AXES).all(|row| row[count..].iter().all(|&value| value == 0.0)));
    let rows: Vec<T> = rows.iter().map(|&value| T::from_f64(value)).collect();
    let (width, (out, whole_spread)) = (projection.width(), same_rows(&projection, &rows));
    near_the_truth(&projection, &rows, (&out, whole_spread));
    let (part, spread) = same_rows(&projection, &rows[..points * dim]);
    assert!(bits(&part) == bits(&out[..points * width]), "rows do not see each other");
    let near = 1.0 + 4.0 * dim as f64 * f64::EPSILON;
    let (stretch, excess) = (stretch::<T>(dim), excess::<T>(dim, spread));
    for (a, row) in out.chunks_exact(width).enumerate() {
        assert!(row[count..] == rows[a * dim..][..dim], "coordinates follow");
        let off: f64 = row[count..].iter().zip(&center).map(|(x, c)| (x.to_f64() - c) * (x.to_f64() - c)).sum();
        assert!(a >= points || libm::sqrt(off) <= spread * near);
        for b in 0..points {
            let other = &out[b * width..][..width];
            let exact = distance(&row[count..], &other[count..]) * near;
            let apart = distance(&row[..count], &other[..count]);
            assert!(apart <= (exact * stretch + excess) * near, "{a} {b}: {apart} against {exact}");
        }
    }
}

#[test]
fn projections_lengthen_nothing() {
    for (case, dim) in trials::thin(3, [20, 1, 3, 17, 64].into_iter().enumerate()) {
        for (noise, offset) in trials::thin(4, [(0.0, 0.0), (1e-3, 10.0), (1.0, 1e4), (1e-9, -3.0)]) {
            let rows = near_plane(case as u64, [trials::up_to(40), dim, 3.min(dim)], noise, offset);
            check::<f32>(&rows, dim, trials::up_to(30));
            check::<f64>(&rows, dim, trials::up_to(30));
        }
    }
    let twins = vec![2.5; 7 * 20];
    check::<f32>(&twins, 20, 5);
    check::<f64>(&[1e150, -1e150, 3e149, 1e-300, 0.0, 5e-324].repeat(20), 20, 4);
}

#[test]
fn axes_hold_nearly_as_much_as_the_true_ones() {
    for (case, dim) in trials::thin(3, [20, 1, 3, 17, 40].into_iter().enumerate()) {
        for (plane, noise, offset) in trials::thin(2, [(3, 0.0, 0.0), (3, 1e-4, 10.0), (12, 1e-3, -5.0), (1, 0.1, 1.0)])
        {
            let rows = near_plane(case as u64, [trials::up_to(80), dim, plane], noise, offset);
            holds_enough(&rows, dim);
            let single: Vec<f32> = rows.iter().map(|&value| value as f32).collect();
            holds_enough(&single, dim);
        }
    }
}

/// Axes are orthonormal to rounding, so that so many of them hold no more than the largest eigenvalues do; and they are to hold
/// 98 % of what the largest [`AXES`] do, for their number was chosen for that. Directions of less variance than these are gone
/// after six rounds, for data that lie near a plane of fewer dimensions.
fn holds_enough<T: Real>(rows: &[T], dim: usize) {
    let (center, axes, count) = same_axes(rows, dim);
    let rows: Vec<f64> = rows.iter().map(|value| value.to_f64()).collect();
    let truth = oracle::variances(&rows, dim);
    let along = oracle::projections(&rows, &center, &axes, count);
    let held: f64 = along.iter().flat_map(|(along, _)| along).map(|along| along.high * along.high).sum();
    let sum = |most: usize| truth[..dim.min(most)].iter().sum::<f64>();
    let slack = 1e-9; // for roundings of the oracle, of rows that are up to a hundred times their spread away
    assert!(held <= sum(count) * (1.0 + slack), "{held} of {}", sum(count));
    assert!(held >= 0.98 * sum(AXES) * (1.0 - slack), "{held} of {}", sum(AXES));
}

#[test]
fn axes_find_the_plane_that_points_lie_in() {
    let (dim, len) = (40, trials::up_to(300));
    let rows = near_plane(5, [len, dim, 3], 1e-6, 2.0);
    let (center, axes, count) = axes_of(Tier::detect(), &rows, dim);
    assert_eq!(count, 3);
    let projection = Projection::new(&center, &axes, count).unwrap();
    let mut out = vec![0.0; len * projection.width()];
    project_rows(Tier::detect(), &projection, Rows::new(&rows, dim).unwrap(), &mut out).unwrap();
    let projected: Vec<&[f64]> = out.chunks_exact(projection.width()).collect();
    for pair in projected.windows(2) {
        let (apart, exact) = (distance(&pair[0][..3], &pair[1][..3]), distance(&pair[0][3..], &pair[1][3..]));
        // The noise is at most 1e-6 / 2 a coordinate, and a point has forty.
        assert!(exact - apart <= 1e-5, "{apart} of {exact}");
    }
    // Without structure, a few axes are all that is kept.
    let noise: Vec<f64> = (0..len * 3 * dim).map(|at| uniform(9, at)).collect();
    let (_, _, few) = axes_of(Tier::detect(), &noise, 3 * dim);
    assert!(few <= if len < 100 { AXES } else { 4 }, "{few}");
}

proptest! {
    #![proptest_config(trials::cases(24))]

    #[test]
    fn any_points_are_projected_within_the_bound(
        seed in any::<u64>(),
        dim in 1..trials::up_to(40usize),
        plane in 1usize..20,
        noise in -9i32..3,
        offset in -5i32..6,
    ) {
        let offset = 10f64.powi(offset);
        let rows = near_plane(seed, [trials::up_to(30), dim, plane], 10f64.powi(noise), offset);
        check::<f32>(&rows, dim, trials::up_to(24));
        check::<f64>(&rows, dim, trials::up_to(24));
    }
}

#[test]
fn wrong_arguments_are_refused() {
    let rows = near_plane(1, [30, 20, 3], 0.1, 0.0);
    let (center, axes, count) = axes_of(Tier::detect(), &rows, 20);
    let wrong = |center: &[f64], axes: &[f64], count: usize| Projection::new(center, axes, count).unwrap_err();
    assert_eq!(wrong(&[], &[], 1), KernelError::Least { what: "dim", least: 1, got: 0 });
    assert_eq!(wrong(&center, &axes, 0), KernelError::Least { what: "count", least: 1, got: 0 });
    assert_eq!(wrong(&center, &axes, 17), KernelError::Shape { what: "count", want: 16, got: 17 });
    assert_eq!(wrong(&center, &axes[1..], count), KernelError::Shape { what: "axes", want: 320, got: 319 });
    let mut bent = axes.clone();
    bent[5 * AXES] = f64::NAN;
    assert_eq!(wrong(&center, &bent, count), KernelError::Value { what: "axes", at: 5 * AXES });
    let longer: Vec<f64> = axes.iter().map(|value| value * (1.0 + 1e-12)).collect();
    assert_eq!(wrong(&center, &longer, count), KernelError::Value { what: "axes", at: 0 });
    assert!(matches!(wrong(&[f64::INFINITY; 20], &axes, count), KernelError::Value { what: "center", at: 0 }));

    let mut memory = vec![Block::default(); principal_axes_blocks(20)];
    let mut find = |rows: &[f64], center: usize, axes: usize, blocks: usize| {
        let (mut center, mut axes) = (vec![-7.0; center], vec![-7.0; axes]);
        let arena = &mut Arena::new(&mut memory[..blocks]);
        let refused = principal_axes(Tier::detect(), Rows::new(rows, 20).unwrap(), &mut center, &mut axes, arena);
        assert!(refused.is_err() && center.iter().chain(&axes).all(|&value| value == -7.0));
        refused.unwrap_err()
    };
    let need = principal_axes_blocks(20);
    assert_eq!(find(&[], 20, 320, need), KernelError::Least { what: "rows", least: 1, got: 0 });
    assert!(matches!(find(&rows, 19, 320, need), KernelError::Shape { what: "center", .. }));
    assert!(matches!(find(&rows, 20, 321, need), KernelError::Shape { what: "axes", .. }));
    assert!(matches!(find(&rows, 20, 320, need - 1), KernelError::Scratch { .. }));

    let projection = Projection::new(&center, &axes, count).unwrap();
    let mut out = vec![-7.0; 30 * projection.width()];
    let short = project_rows(Tier::detect(), &projection, Rows::new(&rows, 20).unwrap(), &mut out[1..]);
    assert!(matches!(short, Err(KernelError::Shape { what: "out", .. })) && out.iter().all(|&value| value == -7.0));
    let other = project_rows(Tier::detect(), &projection, Rows::new(&rows, 10).unwrap(), &mut out);
    assert!(matches!(other, Err(KernelError::Shape { what: "rows", want: 20, got: 10 })));
}

/// The metrics over projected rows keep their promises.
mod metrics {
    use super::*;
    use crate::dist::SquaredEuclidean;
    use crate::tree::promises::{boxes_bound, keeps_promises, knn_is_brute_force, pack};
    use crate::tree::scalar::Formula;
    use crate::tree::{Angular, Coordinates, unit_row};
    use crate::view::Panels;

    /// Projected rows in `T`, their width, the number of axes, and the excess.
    fn projected<T: Real>(rows: &[f64], dim: usize) -> (Vec<T>, usize, usize, f64) {
        let rows: Vec<T> = rows.iter().map(|&value| T::from_f64(value)).collect();
        let wide: Vec<f64> = rows.iter().map(|value| value.to_f64()).collect();
        let (center, axes, count) = axes_of(Tier::detect(), &wide, dim);
        let projection = Projection::new(&center, &axes, count).unwrap();
        let mut out = vec![T::default(); rows.len() / dim * projection.width()];
        let spread = project_rows(Tier::detect(), &projection, Rows::new(&rows, dim).unwrap(), &mut out).unwrap();
        (out, projection.width(), count, excess::<T>(dim, spread))
    }

    fn hold<T, M>(
        tier: Tier,
        rows: &[T],
        width: usize,
        axes: usize,
        metric: impl Fn(&Panels<'static, T>) -> M,
        oracle: &dyn Fn(&[T], &[T]) -> f64,
    ) where
        T: Real,
        M: for<'q> Formula<Real = T, Query<'q> = &'q [T]> + WithBoxes<T>,
    {
        let packed = pack(rows, width).leak(); // the metrics must outlive this call's borrows
        let panels = Panels::new(packed, width, rows.len() / width).unwrap();
        let row = |i: usize| &rows[i * width..][axes..width];
        let oracle = |i: usize, j: usize| oracle(row(i), row(j));
        keeps_promises(tier, &metric(&panels), rows, width, &oracle);
        knn_is_brute_force(tier, &metric(&panels), rows, width, &oracle);
        boxes_bound(tier, rows, width, axes, |boxes| metric(&panels).boxed(boxes));
    }

    /// What both metrics call alike.
    trait WithBoxes<T> {
        fn boxed(self, boxes: crate::tree::Boxes<'static, T>) -> Self;
    }
    impl<T: Real> WithBoxes<T> for Coordinates<'static, T, SquaredEuclidean> {
        fn boxed(self, boxes: crate::tree::Boxes<'static, T>) -> Self {
            self.with_boxes(boxes)
        }
    }
    impl WithBoxes<f64> for Angular<'static> {
        fn boxed(self, boxes: crate::tree::Boxes<'static, f64>) -> Self {
            self.with_boxes(boxes)
        }
    }

    fn euclidean<T: Real>(tier: Tier, rows: &[f64], dim: usize) {
        let (rows, width, axes, excess) = projected::<T>(rows, dim);
        let oracle = |a: &[T], b: &[T]| {
            let differences = a.iter().zip(b).map(|(a, b)| a.to_f64() - b.to_f64());
            libm::sqrt(differences.fold(0.0, |sum, difference| sum + difference * difference))
        };
        hold(tier, &rows, width, axes, |panels| Coordinates::projected(*panels, axes, excess).unwrap(), &oracle);
    }

    #[test]
    fn projected_rows_keep_the_promises_of_their_metrics() {
        for tier in Tier::all() {
            for (seed, dim) in trials::thin(3, [(1, 20), (2, 2), (3, 40)]) {
                for (noise, offset) in trials::thin(3, [(1e-4, 100.0), (0.0, 0.0), (1.0, 0.0)]) {
                    let rows = near_plane(seed, [trials::up_to(40), dim, 3], noise, offset);
                    euclidean::<f32>(tier, &rows, dim);
                    euclidean::<f64>(tier, &rows, dim);
                    let mut units = vec![0.0; rows.len()];
                    for (row, out) in rows.chunks_exact(dim).zip(units.chunks_exact_mut(dim)) {
                        unit_row(row, out).unwrap();
                    }
                    let (units, width, axes, excess) = projected::<f64>(&units, dim);
                    let oracle = |a: &[f64], b: &[f64]| {
                        let squares =
                            |sign: f64| a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + (a + sign * b) * (a + sign * b));
                        2.0 * libm::atan2(libm::sqrt(squares(-1.0)), libm::sqrt(squares(1.0)))
                    };
                    hold(
                        tier,
                        &units,
                        width,
                        axes,
                        |panels| Angular::projected(*panels, axes, excess).unwrap(),
                        &oracle,
                    );
                }
            }
        }
    }

    #[test]
    fn metrics_refuse_what_they_cannot_bound() {
        let packed = pack(&[1.0f32; 60], 20);
        let panels = Panels::new(&packed, 20, 3).unwrap();
        let refused = |axes: usize, excess: f64| {
            Coordinates::<f32, SquaredEuclidean>::projected(panels, axes, excess).map(|_| ()).unwrap_err()
        };
        assert_eq!(refused(20, 0.0), KernelError::Shape { what: "points", want: 21, got: 20 });
        for excess in [-1.0, f64::NAN, f64::INFINITY, 1e19] {
            assert_eq!(refused(4, excess), KernelError::Value { what: "excess", at: 0 });
        }
        let other = Coordinates::<f32, crate::dist::Manhattan>::projected(panels, 4, 0.0).map(|_| ());
        assert_eq!(other, Err(KernelError::Shape { what: "axes", want: 0, got: 4 }));
        assert!(Coordinates::<f32, crate::dist::Manhattan>::projected(panels, 0, f64::NAN).is_ok());
    }
}
