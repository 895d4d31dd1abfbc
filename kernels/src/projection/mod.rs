//! Projections onto a few axes: coordinates for points that have too many.
//!
//! Boxes around groups of points bound distances well as long as there are few axes. Data of many dimensions mostly
//! varies along few directions, its principal axes, and a projection onto orthonormal axes never lengthens a distance:
//!
//! ```text
//! |P (x - y)| <= |x - y|,
//! ```
//!
//! so that cells, boxes and a first look at a point may use its projection `P (x - c)`, of up to [`AXES`] numbers, and
//! what they rule out is ruled out. A point is stored as its projection followed by its coordinates;
//! [`Coordinates::projected`](crate::tree::Coordinates::projected) is the metric over such rows.
//!
//! # Formula and shapes
//! | kernel | reads | writes |
//! | --- | --- | --- |
//! | [`principal_axes`] | a sample `x`, `[len][dim]`, once per data set | its mean `c`, `[dim]`, and the axes, `[dim][AXES]` |
//! | [`project_rows`] | points or queries `x`, `[len][dim]` | rows `[len][count + dim]`: `sum over d of (x_d - c_d) axes[d][a]` for each axis `a`, then `x` |
//!
//! Sums are in `f64`, in order of `d`, each operation rounded by itself; only what is stored is rounded to the type of the rows. The
//! axes come from orthogonal iteration: six times, a matrix of [`AXES`] columns is multiplied by the matrix of covariances of the
//! sample, `sum over x of (x - c) (x - c)'` (without making it), and made orthonormal. Both give the same bits on every tier.
//!
//! # Margin
//! Let `u` be the unit roundoff of `f64`, `t` that of the stored numbers, and `gamma(n) = n u / (1 - n u)`. An element of a projection is a sum
//! of `dim` products of rounded differences; as computed and stored it is off by at most
//!
//! ```text
//! e |x - c| + tiny,   e = gamma(dim + 3) + 2 t,
//! ```
//!
//! for no axis is longer than 1, and `tiny`, the smallest normal number, covers underflow. [`AXES`] = 16 such errors have a length of
//! at most four of them. A query `q` at the distance `d` from `x` has `|q - c| <= d + s`, where `s` is the *spread*: the largest
//! `|x - c|`. Hence two stored projections are at most
//!
//! ```text
//! d (1 + 4 e) + excess,   excess = 8 e s + 8 tiny,
//! ```
//!
//! apart ([`stretch`], [`excess`]). That the axes as stored do not lengthen anything is part of what [`Projection::new`] checks: the
//! squared norm of `P` is the largest eigenvalue of `P P'`, which is at most the largest sum of magnitudes of one of its rows
//! (Gershgorin's theorem); the sums are computed, and 16 `gamma(dim + 2)` pay for that.
//!
//! # Cost and measured rate
//! [`project_rows`] takes [`AXES`] multiplications and additions per coordinate, whatever the number of axes; [`principal_axes`] fourteen
//! times as many per coordinate of the sample. One thread of an AMD EPYC (Zen 4) with AVX-512, `f32`, 64 dimensions: axes of 1,024 points
//! take 1.5 ms (portable 2.5), a projected row 90 ns (portable 149). `cargo bench -p covertree-benches --bench projection`.
//!
//! Source of the axes: orthogonal iteration (Golub and Van Loan, *Matrix Computations*, section 8.2.4).

mod axes;
mod rows;
#[cfg(any(test, feature = "oracle"))]
pub mod scalar;

pub use axes::{principal_axes, principal_axes_blocks};
pub use rows::project_rows;

use crate::dist::form::gamma;
use crate::error::{KernelError, want};
use crate::simd::Real;

/// Most axes of a projection, and the elements of a row of the matrix that holds them.
pub const AXES: usize = 16;

/// Axes through a center: what makes projections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projection<'a> {
    center: &'a [f64],
    axes: &'a [f64],
    count: usize,
}

impl<'a> Projection<'a> {
    /// Axes as [`principal_axes`] writes them.
    ///
    /// | argument | shape |
    /// | --- | --- |
    /// | `center` | `[dim]` |
    /// | `axes` | `[dim][AXES]`: axis `a` is column `a`; columns from `count` on are finite, and not used |
    /// | `count` | `1..=AXES` |
    ///
    /// # Errors
    /// [`KernelError::Least`] without dimensions or axes, [`KernelError::Shape`] for other lengths or more axes; [`KernelError::Value`]
    /// naming `center` or `axes` at the first element that is not finite, or `axes` at the number of an axis that, with the
    /// others, might lengthen a distance.
    ///
    /// # Cost
    /// `AXES^2 dim` multiplications and additions.
    pub fn new(center: &'a [f64], axes: &'a [f64], count: usize) -> Result<Self, KernelError> {
        if center.is_empty() || count == 0 {
            let what = if count == 0 { "count" } else { "dim" };
            return Err(KernelError::Least { what, least: 1, got: 0 });
        }
        want("count", count.min(AXES), count)?;
        want("axes", center.len().saturating_mul(AXES), axes.len())?;
        for (what, values) in [("center", center), ("axes", axes)] {
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(KernelError::Value { what, at });
            }
        }
        let most = 1.0 - allowance(center.len());
        let gram = gram(axes);
        // A sum that is no number, of products that left the range, fits nothing.
        let fits = |row: &[f64; AXES]| sum_of_magnitudes(&row[..count]) <= most;
        match gram[..count].iter().position(|row| !fits(row)) {
            Some(at) => Err(KernelError::Value { what: "axes", at }),
            None => Ok(Self { center, axes, count }),
        }
    }

    /// Coordinates of a point.
    pub fn dim(&self) -> usize {
        self.center.len()
    }

    /// Number of axes.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Elements of a projected row: the projection, then the coordinates.
    pub fn width(&self) -> usize {
        self.count + self.dim()
    }

    /// The center, `[dim]`.
    pub fn center(&self) -> &'a [f64] {
        self.center
    }

    /// The axes, `[dim][AXES]`.
    pub fn axes(&self) -> &'a [f64] {
        self.axes
    }
}

/// The dot products of all pairs of axes, each summed in order of the dimension.
fn gram(axes: &[f64]) -> [[f64; AXES]; AXES] {
    let mut gram = [[0.0; AXES]; AXES];
    for row in axes.as_chunks::<AXES>().0 {
        for (sums, a) in gram.iter_mut().zip(row) {
            sums.iter_mut().zip(row).for_each(|(sum, b)| *sum += a * b);
        }
    }
    gram
}

fn sum_of_magnitudes(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |sum, &value| sum + if value < 0.0 { -value } else { value })
}

/// What the roundings of a sum of magnitudes of [`gram`] may hide, for axes no longer than 1 (of one that is longer, its own square
/// shows): 16 `gamma(dim + 2)`, and as much again for the sum and for what underflows.
fn allowance(dim: usize) -> f64 {
    2.0 * AXES as f64 * gamma(dim + 2, f64::ROUNDOFF)
}

/// The relative error of an element of a projection, as a part of the distance from the center.
fn element_error<T: Real>(dim: usize) -> f64 {
    gamma(dim + 3, f64::ROUNDOFF) + 2.0 * T::ROUNDOFF
}

/// The factor by which stored projections may be farther apart than the points, beside the [`excess`].
pub fn stretch<T: Real>(dim: usize) -> f64 {
    1.0 + 4.0 * element_error::<T>(dim)
}

/// By how much stored projections may be farther apart than the [stretched](stretch) distance of the points, none of which is farther
/// than `spread` from the center.
pub fn excess<T: Real>(dim: usize, spread: f64) -> f64 {
    8.0 * element_error::<T>(dim) * spread + 8.0 * T::TINY
}

#[cfg(test)]
mod tests;
