//! Points with their projections.

use super::{AXES, Projection};
use crate::dist::form::gamma;
use crate::error::{KernelError, want};
use crate::simd::{Lanes, OnLanes, Real, Tier, Vector};
use crate::view::Rows;

/// Makes projected rows: the projection of each point, followed by its coordinates. Returns an upper bound of the distances of
/// the points from the center: their spread.
///
/// | argument | shape |
/// | --- | --- |
/// | `rows` | `[len]` of the projection's dimension, finite |
/// | `out` | `[len][width]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; nothing is written then.
///
/// # Accuracy
/// See the [module](super). The same bits on every tier: each product and sum is rounded by itself, in order of the dimension.
///
/// # Cost
/// [`AXES`] multiplications and additions per coordinate, however many axes there are.
pub fn project_rows<T: Real>(
    tier: Tier,
    projection: &Projection<'_>,
    rows: Rows<'_, T>,
    out: &mut [T],
) -> Result<f64, KernelError> {
    want("rows", projection.dim(), rows.dim())?;
    want("out", rows.len().saturating_mul(projection.width()), out.len())?;
    let largest = tier.at_256_bits().run(Project { projection, rows, out });
    Ok(spread(largest, projection.dim()))
}

/// An upper bound of the distances from the center whose largest square was computed as `largest`.
pub(super) fn spread(largest: f64, dim: usize) -> f64 {
    // A square that underflows loses at most half of the smallest number, which is also what the sum loses where it absorbs this. The
    // sum has `dim + 3` roundings, of which the root halves those of the sum; and its own.
    let lost = dim as f64 * f64::from_bits(1);
    libm::sqrt(largest + lost) * (1.0 + gamma(dim + 8, f64::ROUNDOFF))
}

struct Project<'a, 'o, T> {
    projection: &'a Projection<'a>,
    rows: Rows<'a, T>,
    out: &'o mut [T],
}

impl<T: Real> OnLanes for Project<'_, '_, T> {
    /// The largest squared distance from the center.
    type Out = f64;

    #[inline(always)]
    fn run<L: Lanes>(self) -> f64 {
        let (center, axes, count) = (self.projection.center, self.projection.axes, self.projection.count);
        let half = <f64 as Real>::LANES;
        let mut largest = 0.0;
        let rows = self.rows.data().chunks_exact(self.rows.dim());
        for (row, out) in rows.zip(self.out.chunks_exact_mut(self.projection.width())) {
            let (mut low, mut high, mut square) = (L::F64::splat(0.0), L::F64::splat(0.0), 0.0);
            for ((value, center), axes) in row.iter().zip(center).zip(axes.chunks_exact(AXES)) {
                let difference = value.to_f64() - center;
                square += difference * difference;
                let x = L::F64::splat(difference);
                low = low.add(x.mul(L::F64::load(axes)));
                high = high.add(x.mul(L::F64::load(&axes[half..])));
            }
            largest = if square > largest { square } else { largest };
            let mut projected = [0.0; AXES];
            low.store(&mut projected);
            high.store(&mut projected[half..]);
            let (front, back) = out.split_at_mut(count);
            front.iter_mut().zip(projected).for_each(|(out, value)| *out = T::from_f64(value));
            back.copy_from_slice(row);
        }
        largest
    }
}
