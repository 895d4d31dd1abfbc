//! The lane traits: what a kernel body may ask of a tier.

use core::ops::{Add, Mul, Sub};

use bytemuck::Pod;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}
pub(super) use sealed::Sealed;

/// `f32` or `f64`: the element of a panel.
pub trait Real:
    Sealed
    + Pod
    + PartialOrd
    + Default
    + Send
    + Sync
    + core::fmt::Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + 'static
{
    /// The vector of this element on tier `L`.
    type On<L: Lanes>: Vector<Elem = Self>;
    /// Elements of a panel row: 64 bytes on every tier.
    const LANES: usize;
    /// Whether this is `f64`, in which the published formulas are computed.
    const IS_F64: bool;
    /// Unit roundoff: half of the distance from 1 to the next number.
    const ROUNDOFF: f64;
    /// Smallest positive normal number.
    const TINY: f64;
    /// Largest finite number.
    const HUGE: f64;
    /// Plus infinity.
    const INFINITY: Self;
    /// Rounds to nearest.
    fn from_f64(value: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// The next number towards plus infinity; finite input.
    fn next_up(self) -> Self;
    /// Widens the first `LANES` elements of a panel row to `f64`: the lower eight and the upper eight, where there are
    /// sixteen.
    fn widen<L: Lanes>(row: &[Self]) -> (L::F64, L::F64);
}

impl Real for f32 {
    type On<L: Lanes> = L::F32;
    const LANES: usize = super::LANES_F32;
    const IS_F64: bool = false;
    const ROUNDOFF: f64 = 1.0 / (1u64 << 24) as f64;
    const TINY: f64 = f32::MIN_POSITIVE as f64;
    const HUGE: f64 = f32::MAX as f64;
    const INFINITY: Self = f32::INFINITY;
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32 // rounding is what the name says
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn next_up(self) -> Self {
        f32::next_up(self)
    }
    #[inline(always)]
    fn widen<L: Lanes>(row: &[Self]) -> (L::F64, L::F64) {
        L::widen(<L::F32 as Vector>::load(row))
    }
}

impl Real for f64 {
    type On<L: Lanes> = L::F64;
    const LANES: usize = super::LANES_F64;
    const IS_F64: bool = true;
    const ROUNDOFF: f64 = 1.0 / (1u64 << 53) as f64;
    const TINY: f64 = f64::MIN_POSITIVE;
    const HUGE: f64 = f64::MAX;
    const INFINITY: Self = f64::INFINITY;
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn next_up(self) -> Self {
        f64::next_up(self)
    }
    #[inline(always)]
    fn widen<L: Lanes>(row: &[Self]) -> (L::F64, L::F64) {
        let row = <L::F64 as Vector>::load(row);
        (row, row)
    }
}

/// One panel-wide vector. Every operation works lane by lane and is the IEEE operation of its element,
/// so [`add`](Self::add), [`mul`](Self::mul) and the like give the same bits on every tier; only
/// [`mul_add`](Self::mul_add) may or may not round in between.
pub trait Vector: Copy + Sealed {
    /// The element.
    type Elem: Real;
    /// The same value in every lane.
    fn splat(value: Self::Elem) -> Self;
    /// Reads the first `LANES` elements of `from`. Panics if there are fewer; no alignment is needed.
    fn load(from: &[Self::Elem]) -> Self;
    /// Writes the first `LANES` elements of `to`. Panics if there are fewer; no alignment is needed.
    fn store(self, to: &mut [Self::Elem]);
    /// `self + other`, rounded once.
    fn add(self, other: Self) -> Self;
    /// `self - other`, rounded once.
    fn sub(self, other: Self) -> Self;
    /// `self * other`, rounded once.
    fn mul(self, other: Self) -> Self;
    /// `self / other`, rounded once.
    fn div(self, other: Self) -> Self;
    /// The smaller one; unspecified which where one is NaN.
    fn min(self, other: Self) -> Self;
    /// The larger one; unspecified which where one is NaN.
    fn max(self, other: Self) -> Self;
    /// The smallest lane; unspecified where one is NaN.
    fn least(self) -> Self::Elem;
    /// The absolute value.
    fn abs(self) -> Self;
    /// The square root, within one unit in the last place (correctly rounded on `avx2` and `avx512`).
    fn sqrt(self) -> Self;
    /// `self * factor + term`, fused where the tier fuses, else rounded twice.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// The nearest integer, ties to even, for magnitudes below `2^22` (`f32`) or `2^51` (`f64`).
    fn round(self) -> Self;
    /// `2^self` for integers whose power is a normal number.
    fn exp2_integer(self) -> Self;
    /// Bit `l` is set where lane `l` of `self` is below or equal to that of `other`; clear for NaN.
    fn le(self, other: Self) -> u32;
    /// Bit `l` is set where lane `l` of `self` is below that of `other`; clear for NaN.
    fn lt(self, other: Self) -> u32;
    /// Lane by lane, `yes` where `self <= bound`, else `no` (also for NaN).
    fn pick_le(self, bound: Self, yes: Self, no: Self) -> Self;
    /// The lanes whose bit is set in `mask`, and those of `other` for the rest.
    fn keep(self, mask: u32, other: Self) -> Self;
    /// The lanes one place up, and in lane 0 the last one of `before`.
    fn behind(self, before: Self) -> Self;
    /// Exchanges rows and columns of a square of `LANES` vectors. Panics if there are fewer; leaves what is beyond.
    fn transpose(square: &mut [Self]);
}

/// One tier's vectors. Only [`Tier::run`](super::Tier::run) hands out a type that implements this, so a body that
/// is generic over it runs only where its instructions exist.
pub trait Lanes: Sealed + Copy + 'static {
    /// Sixteen `f32`.
    type F32: Vector<Elem = f32>;
    /// Eight `f64`.
    type F64: Vector<Elem = f64>;
    /// Rows of a register tile (`rows` x one panel) that fit the tier's registers without a spill.
    const TILE_ROWS: usize;
    /// Widens sixteen `f32` to `f64`, exactly: lanes 0 to 7, then 8 to 15.
    fn widen(from: Self::F32) -> (Self::F64, Self::F64);
    /// The square root, correctly rounded, by the tier's own instruction: `libm` would mix encodings of two tiers, which
    /// costs more than a hundred cycles each time on some machines.
    fn sqrt(value: f64) -> f64;
    /// [`sqrt`](Self::sqrt) in every lane: correctly rounded.
    fn sqrt_lanes(value: Self::F64) -> Self::F64;
    /// Asks the cache for the line that holds `data[at]`; does nothing out of range.
    fn prefetch<T>(data: &[T], at: usize);
    /// Writes `base + l` for each bit `l` below 16 that is set in `mask`, ascending, to the front of `to`. The places
    /// behind them, up to sixteen in all, hold anything afterwards. Panics if there are fewer than sixteen.
    fn store_places(mask: u32, base: i32, to: &mut [i32]);
}

/// A kernel body with its arguments, to be run on a tier by [`Tier::run`](super::Tier::run).
pub trait OnLanes {
    /// What the body returns.
    type Out;
    /// The body. Must be `#[inline(always)]`, as must everything hot that it calls, or it is compiled without the
    /// tier's instructions; avoid closures there for the same reason.
    fn run<L: Lanes>(self) -> Self::Out;
}
