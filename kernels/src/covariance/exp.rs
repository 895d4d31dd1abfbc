//! The exponential of numbers that are not positive, in lanes.

use crate::simd::{Real, Vector};

/// Bound on the relative error of the lane exponential above its floor, in units of the roundoff.
///
/// # Method
/// `x = n ln 2 + r` with the integer `n` nearest to `x / ln 2`, then `exp(x) = 2^n exp(r)`, where `exp(r)` is its Taylor
/// polynomial of degree 13 (`f64`) or 7 (`f32`) in Horner's form. Below a floor, where the result would no longer be a
/// normal number, the answer is zero.
///
/// # Error bound
/// With the unit roundoff `u`, for floor < x <= 0 the relative error is at most `5 u`; at and below the floor the
/// absolute error is at most the exponential of the floor. Step by step:
///
/// 1. *Reduction.* `ln 2` is split into `hi + lo`; `hi` has so few bits that `n hi` is exact. The rounded quotient is off
///    by at most `2 u |x| / ln 2`, so that `|r| <= R = 0.3466` (half of `ln 2`, and 1e-5 more in `f32`). If `n = 0`
///    nothing happens. Otherwise `|x| > 1/4`; `x - n hi` is a multiple of the spacing of the numbers at `x` and below
///    1/2 in magnitude, so it has at most as many bits as `x`: it is exact, fused or not. What remains is the rounding of
///    `n lo`, of `lo` itself, and of the last difference: together at most `0.41 u`.
/// 2. *Truncation.* Lagrange's remainder is at most `exp(R) R^14 / 14!` (`f64`) and `exp(R) R^8 / 8!` (`f32`): relative
///    to `exp(r) >= 0.7071` less than `0.08 u` and `0.18 u`.
/// 3. *Horner.* Write `q_k = c_k + r q_(k+1)`, `Q_k` for the largest `|q_k|` and `E_k u` for the bound on its error. Then,
///    unfused (fused is less), `E_k <= R E_(k+1) + R Q_(k+1) + Q_k + c_k`, the last term for a coefficient that is not
///    exact. From `Q_0 = 1.4143, Q_1 = 1.196, Q_2 = 0.564, Q_3 = 0.183`: `E_3 < 0.40, E_2 < 0.77, E_1 < 1.66, E_0 < 2.41`,
///    relative to 0.7071: `3.41 u`.
/// 4. *Scaling* by `2^n` is exact, for the result is a normal number.
///
/// The sum is `0.41 + 0.18 + 3.41 = 4.0`; the rest up to 5 covers the terms in `u^2`.
pub const EXP_ERROR: f64 = 5.0;

/// The constants of the exponential for one element.
pub trait Exponential: Real {
    /// At and below this argument the result is zero. `exp` of it is a normal number, and so is `2^n` for each `n` in use.
    const FLOOR: Self;
    /// `1 / ln 2`.
    const LOG2_E: Self;
    /// The leading bits of `ln 2`: its product with each integer in use is exact.
    const LN2_HI: Self;
    /// `ln 2 - LN2_HI`.
    const LN2_LO: Self;
    /// `1 / k!`, from the highest power downward; the last two (both 1) are left out.
    const TAYLOR: &'static [Self];
}

impl Exponential for f64 {
    const FLOOR: f64 = -708.0;
    const LOG2_E: f64 = core::f64::consts::LOG2_E;
    const LN2_HI: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000); // 32 bits; an integer in use has at most 10
    const LN2_LO: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
    const TAYLOR: &'static [f64] = &[
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
    ];
}

impl Exponential for f32 {
    const FLOOR: f32 = -87.0;
    const LOG2_E: f32 = core::f32::consts::LOG2_E;
    const LN2_HI: f32 = 355.0 / 512.0; // 9 bits; an integer in use has at most 7
    const LN2_LO: f32 = -2.121_944_4e-4;
    const TAYLOR: &'static [f32] = &[1.0 / 5_040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];
}

/// `x * factor + term`, each operation rounded by itself where `EXACT`, so that every tier gives the same bits.
#[inline(always)]
pub(crate) fn mul_add<V: Vector, const EXACT: bool>(x: V, factor: V, term: V) -> V {
    if EXACT { x.mul(factor).add(term) } else { x.mul_add(factor, term) }
}

/// `exp(x)` for `x <= 0`, lane by lane; a NaN gives anything. `N` vectors go in step, so that their chains of dependent
/// operations overlap; each is computed as if it were alone.
#[inline(always)]
pub(crate) fn exp_negative<T: Exponential, V: Vector<Elem = T>, const N: usize, const EXACT: bool>(
    x: [V; N],
) -> [V; N] {
    let (floor, zero, one) = (V::splat(T::FLOOR), V::splat(T::default()), V::splat(T::from_f64(1.0)));
    let (mut powers, mut rests, mut sums) = ([zero; N], [zero; N], [V::splat(T::TAYLOR[0]); N]);
    for i in 0..N {
        let kept = x[i].max(floor); // what lies below is computed at the floor and replaced at the end
        let n = kept.mul(V::splat(T::LOG2_E)).round();
        let minus_n = zero.sub(n);
        let rest = mul_add::<V, EXACT>(minus_n, V::splat(T::LN2_HI), kept);
        rests[i] = mul_add::<V, EXACT>(minus_n, V::splat(T::LN2_LO), rest);
        powers[i] = n.exp2_integer();
    }
    for &coefficient in &T::TAYLOR[1..] {
        let coefficient = V::splat(coefficient);
        for i in 0..N {
            sums[i] = mul_add::<V, EXACT>(sums[i], rests[i], coefficient);
        }
    }
    for i in 0..N {
        let sum = mul_add::<V, EXACT>(sums[i], rests[i], one);
        let sum = mul_add::<V, EXACT>(sum, rests[i], one);
        sums[i] = x[i].pick_le(floor, zero, sum.mul(powers[i]));
    }
    sums
}
