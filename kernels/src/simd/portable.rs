//! The tier that runs everywhere: `wide`, which compiles to SSE2, NEON, wasm `simd128` or scalar code.

use wide::{f32x16, f64x8};

use super::vector::Sealed;
use super::{LANES_F32, LANES_F64, Lanes, Vector};

#[derive(Clone, Copy)]
pub struct Portable;

impl Sealed for Portable {}
impl Sealed for f32x16 {}
impl Sealed for f64x8 {}

impl Lanes for Portable {
    type F32 = f32x16;
    type F64 = f64x8;
    const TILE_ROWS: usize = 2;

    #[inline(always)]
    fn widen(from: f32x16) -> (f64x8, f64x8) {
        let lanes = from.to_array();
        let (mut low, mut high) = ([0.0; LANES_F64], [0.0; LANES_F64]);
        for lane in 0..LANES_F64 {
            low[lane] = f64::from(lanes[lane]);
            high[lane] = f64::from(lanes[LANES_F64 + lane]);
        }
        (f64x8::new(low), f64x8::new(high))
    }

    #[inline(always)]
    fn sqrt(value: f64) -> f64 {
        libm::sqrt(value)
    }

    #[inline(always)]
    fn sqrt_lanes(value: f64x8) -> f64x8 {
        let mut lanes = value.to_array();
        for lane in &mut lanes {
            *lane = libm::sqrt(*lane);
        }
        f64x8::new(lanes)
    }

    #[inline(always)]
    fn prefetch<T>(_data: &[T], _at: usize) {}

    #[inline(always)]
    fn store_places(mask: u32, base: i32, to: &mut [i32]) {
        let to = &mut to[..LANES_F32];
        let (mut mask, mut end) = (mask & 0xffff, 0);
        if mask == 0xffff {
            for (place, to) in (base..).zip(to) {
                *to = place;
            }
            return;
        }
        while mask != 0 {
            to[end & (LANES_F32 - 1)] = base + mask.trailing_zeros() as i32; // below 16
            mask &= mask - 1;
            end += 1;
        }
    }
}

macro_rules! portable_vector {
    ($vector:ty, $elem:ty, $lanes:expr, $bits:ty, $magic:expr, $bias:expr, $mantissa:expr) => {
        impl Vector for $vector {
            type Elem = $elem;
            #[inline(always)]
            fn splat(value: $elem) -> Self {
                <$vector>::splat(value)
            }
            #[inline(always)]
            fn load(from: &[$elem]) -> Self {
                let mut lanes = [0.0; $lanes];
                lanes.copy_from_slice(&from[..$lanes]);
                <$vector>::new(lanes)
            }
            #[inline(always)]
            fn store(self, to: &mut [$elem]) {
                to[..$lanes].copy_from_slice(self.as_array());
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self + other
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                self - other
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                self * other
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                self / other
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                self.fast_min(other)
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                self.fast_max(other)
            }
            #[inline(always)]
            fn least(self) -> $elem {
                let mut least = self.as_array()[0];
                for &lane in &self.as_array()[1..] {
                    least = if lane < least { lane } else { least };
                }
                least
            }
            #[inline(always)]
            fn abs(self) -> Self {
                <$vector>::abs(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$vector>::sqrt(self)
            }
            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                <$vector>::mul_add(self, factor, term)
            }
            #[inline(always)]
            fn round(self) -> Self {
                let magic = <$vector>::splat($magic);
                (self + magic) - magic
            }
            #[inline(always)]
            fn exp2_integer(self) -> Self {
                let mut lanes = self.to_array();
                for lane in &mut lanes {
                    // The low bits of `integer + magic` hold the integer; shifted, they are the exponent.
                    *lane = <$elem>::from_bits((*lane + ($magic + $bias)).to_bits() << $mantissa);
                }
                <$vector>::new(lanes)
            }
            #[inline(always)]
            fn le(self, other: Self) -> u32 {
                self.simd_le(other).to_bitmask()
            }
            #[inline(always)]
            fn lt(self, other: Self) -> u32 {
                self.simd_lt(other).to_bitmask()
            }
            #[inline(always)]
            fn pick_le(self, bound: Self, yes: Self, no: Self) -> Self {
                self.simd_le(bound).bitselect(yes, no)
            }
            #[inline(always)]
            fn keep(self, mask: u32, other: Self) -> Self {
                let (mut lanes, others) = (self.to_array(), other.as_array());
                for (lane, to) in lanes.iter_mut().enumerate() {
                    *to = if mask >> lane & 1 == 1 { *to } else { others[lane] };
                }
                <$vector>::new(lanes)
            }
            #[inline(always)]
            fn behind(self, before: Self) -> Self {
                let (mut lanes, from) = ([before.as_array()[$lanes - 1]; $lanes], self.as_array());
                lanes[1..].copy_from_slice(&from[..$lanes - 1]);
                <$vector>::new(lanes)
            }
            #[inline(always)]
            fn transpose(square: &mut [Self]) {
                let square = &mut square[..$lanes];
                let mut columns = [[0.0; $lanes]; $lanes];
                for (row, vector) in square.iter().enumerate() {
                    for (column, &lane) in columns.iter_mut().zip(vector.as_array()) {
                        column[row] = lane;
                    }
                }
                for (vector, column) in square.iter_mut().zip(columns) {
                    *vector = <$vector>::new(column);
                }
            }
        }
    };
}

portable_vector!(f32x16, f32, LANES_F32, u32, 12_582_912.0, 127.0, 23);
portable_vector!(f64x8, f64, LANES_F64, u64, 6_755_399_441_055_744.0, 1023.0, 52);
