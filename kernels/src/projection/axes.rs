//! The axes along which points vary most.

use super::{AXES, allowance, gram, sum_of_magnitudes};
use crate::arena::{Arena, blocks};
use crate::error::{KernelError, want};
use crate::hash::mix64;
use crate::simd::{Lanes, OnLanes, Real, Tier, Vector};
use crate::view::Rows;

/// Rounds of the iteration. What it leaves of the directions beyond the axes falls by the ratio of the variances each time;
/// axes that are not quite principal bound a little worse, and never wrongly.
const ROUNDS: usize = 6;

/// The share of the variance along all axes that the axes in use must hold.
const ENOUGH: f64 = 0.98;

/// The share of the whole variance that the axes must hold to be worth more than a few of them.
const WORTH: f64 = 0.5;

/// Axes that are kept where they are not worth more: what is left to boxes is to keep the far ends of the data apart.
const FEW: usize = 4;

/// Lanes of `f64`.
const HALF: usize = AXES / 2;
const _: () = assert!(HALF == <f64 as Real>::LANES);

/// Blocks of scratch that [`principal_axes`] takes for points of `dim` coordinates.
pub const fn principal_axes_blocks(dim: usize) -> usize {
    blocks::<f64>(dim.saturating_mul(AXES))
}

/// The axes along which a sample of points varies most, through its mean, and how many of them are worth their cost: as many as
/// hold nearly all of the variance that [`AXES`] of them hold, and a few where these hold little of it.
///
/// | argument | shape |
/// | --- | --- |
/// | `rows` | the sample, finite |
/// | `center` | `[dim]`, overwritten with the mean |
/// | `axes` | `[dim][AXES]`, overwritten: by falling variance, zero from the returned number on |
/// | `arena` | [`principal_axes_blocks`]`(dim)`, given back |
///
/// # Errors
/// [`KernelError::Least`] for an empty sample, [`KernelError::Shape`] for other lengths, [`KernelError::Scratch`]; nothing is
/// written then.
///
/// # Accuracy
/// The axes are orthonormal to rounding, and shortened by so much that [`Projection::new`](super::Projection::new) takes them; where
/// differences from the mean leave the range of `f64`, they are not numbers, and it refuses them. They are the same bits on every
/// tier: nothing is fused, and sums add the rows in their order.
///
/// # Cost
/// Seven passes over the rows, of `2 AXES dim` multiplications and additions per row each (six rounds, and one for the variances),
/// and seven orthonormalisations of `2 AXES^2 dim`.
pub fn principal_axes<T: Real>(
    tier: Tier,
    rows: Rows<'_, T>,
    center: &mut [f64],
    axes: &mut [f64],
    arena: &mut Arena<'_>,
) -> Result<usize, KernelError> {
    let dim = rows.dim();
    if rows.is_empty() {
        return Err(KernelError::Least { what: "rows", least: 1, got: 0 });
    }
    want("center", dim, center.len())?;
    want("axes", dim.saturating_mul(AXES), axes.len())?;
    let mut scratch = arena.scope();
    let moments = scratch.take::<f64>(dim * AXES)?;
    Ok(iterate(rows, center, axes, moments, |round| tier.run(round)))
}

/// The iteration, whose rounds `run` takes: what the kernel and its plain twin share. Contents of `moments` do not matter.
pub(super) fn iterate<T: Real>(
    rows: Rows<'_, T>,
    center: &mut [f64],
    axes: &mut [f64],
    moments: &mut [f64],
    run: impl Fn(Round<'_, '_, T>) -> Squares,
) -> usize {
    let scale = self::center(rows, center);
    for (place, axis) in axes.iter_mut().enumerate() {
        *axis = (mix64(place as u64) >> 11) as f64 / (1u64 << 52) as f64 - 1.0; // anything but special
    }
    orthonormalise(axes);
    let mut variances = [0.0; AXES];
    let mut total = 0.0;
    for _ in 0..ROUNDS {
        moments.fill(0.0);
        (variances, total) = run(Round { rows, center, scale, axes, moments });
        axes.copy_from_slice(moments);
        orthonormalise(axes);
    }
    moments.fill(0.0);
    if total > 0.0 {
        (variances, _) = run(Round { rows, center, scale, axes, moments });
    }
    keep(axes, &mut variances, total)
}

/// Writes the mean of the rows; returns the power of two by which differences from it come to at most 1.
fn center<T: Real>(rows: Rows<'_, T>, center: &mut [f64]) -> f64 {
    let len = rows.len() as f64;
    center.fill(0.0);
    for row in rows.data().chunks_exact(rows.dim()) {
        // Divided first, for a sum might leave the range.
        center.iter_mut().zip(row).for_each(|(center, value)| *center += value.to_f64() / len);
    }
    let mut largest = 0.0;
    for row in rows.data().chunks_exact(rows.dim()) {
        for (value, center) in row.iter().zip(&*center) {
            let difference = value.to_f64() - center;
            largest = if difference > largest { difference } else { largest };
            largest = if -difference > largest { -difference } else { largest };
        }
    }
    if largest > 0.0 { libm::scalbn(1.0, -libm::ilogb(largest).clamp(-1000, 1000) - 1) } else { 0.0 }
}

/// The sums of squares along each axis, and in all.
pub(super) type Squares = ([f64; AXES], f64);

/// One round: the moments of the rows with their projections, added to `moments`.
pub(super) struct Round<'a, 'm, T> {
    pub(super) rows: Rows<'a, T>,
    pub(super) center: &'a [f64],
    pub(super) scale: f64,
    pub(super) axes: &'a [f64],
    pub(super) moments: &'m mut [f64],
}

impl<T: Real> OnLanes for Round<'_, '_, T> {
    type Out = Squares;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let zero = L::F64::splat(0.0);
        let (mut low, mut high, mut total) = (zero, zero, 0.0);
        for row in self.rows.data().chunks_exact(self.rows.dim()) {
            let (mut y0, mut y1) = (zero, zero);
            for ((value, center), axes) in row.iter().zip(self.center).zip(self.axes.chunks_exact(AXES)) {
                let difference = (value.to_f64() - center) * self.scale;
                total += difference * difference;
                let x = L::F64::splat(difference);
                y0 = y0.add(x.mul(L::F64::load(axes)));
                y1 = y1.add(x.mul(L::F64::load(&axes[HALF..])));
            }
            for ((value, center), moments) in row.iter().zip(self.center).zip(self.moments.chunks_exact_mut(AXES)) {
                let x = L::F64::splat((value.to_f64() - center) * self.scale);
                L::F64::load(moments).add(x.mul(y0)).store(moments);
                L::F64::load(&moments[HALF..]).add(x.mul(y1)).store(&mut moments[HALF..]);
            }
            low = low.add(y0.mul(y0));
            high = high.add(y1.mul(y1));
        }
        let mut variances = [0.0; AXES];
        low.store(&mut variances);
        high.store(&mut variances[HALF..]);
        (variances, total)
    }
}

/// Makes the columns orthonormal, each by those before it (modified Gram-Schmidt, twice); a column that hardly has a part of
/// its own becomes zero.
fn orthonormalise(axes: &mut [f64]) {
    for axis in 0..AXES {
        let before = libm::sqrt(dot(axes, axis, axis));
        for _ in 0..2 {
            for other in 0..axis {
                let along = dot(axes, axis, other);
                axes.chunks_exact_mut(AXES).for_each(|row| row[axis] -= along * row[other]);
            }
        }
        let own = libm::sqrt(dot(axes, axis, axis));
        let factor = if own > 1e-8 * before { 1.0 / own } else { 0.0 };
        axes.chunks_exact_mut(AXES).for_each(|row| row[axis] *= factor);
    }
}

fn dot(axes: &[f64], a: usize, b: usize) -> f64 {
    axes.chunks_exact(AXES).fold(0.0, |sum, row| sum + row[a] * row[b])
}

/// Sorts the axes by their variances, clears those that are not worth their cost, and shortens the others by what they might
/// lengthen; returns how many there are.
fn keep(axes: &mut [f64], variances: &mut [f64; AXES], total: f64) -> usize {
    for place in 0..AXES {
        let rest = variances[place..].iter().enumerate();
        let (best, _) = rest.fold((0, 0.0), |best, (at, &value)| if value > best.1 { (at, value) } else { best });
        variances.swap(place, place + best);
        axes.chunks_exact_mut(AXES).for_each(|row| row.swap(place, place + best));
    }
    let all: f64 = variances.iter().sum();
    let mut held = 0.0;
    let enough = variances.iter().position(|variance| {
        held += variance;
        held >= ENOUGH * all
    });
    let enough = enough.map_or(AXES, |place| place + 1);
    let count = if all < WORTH * total { enough.min(FEW) } else { enough };
    axes.chunks_exact_mut(AXES).for_each(|row| row[count..].fill(0.0));
    let gram = gram(axes);
    let sums = gram[..count].iter().map(|row| sum_of_magnitudes(&row[..count]));
    let longest = sums.fold(0.0, |most: f64, sum| if sum > most { sum } else { most });
    if longest > 0.0 {
        // Twice the allowance: one for what the check subtracts, one for the roundings of the shortening.
        let factor = 1.0 / libm::sqrt(longest * (1.0 + 2.0 * allowance(axes.len() / AXES)));
        axes.iter_mut().for_each(|value| *value *= factor);
    }
    count
}
