//! AVX-512 (F, BW, DQ, VL): a panel-wide vector is one 512-bit register.

use core::arch::x86_64::*;

use super::avx2::{square_pd, square_ps};
use super::vector::Sealed;
use super::{LANES_F32, LANES_F64, Lanes, OnLanes, Vector};

/// Runs a body compiled for AVX-512.
///
/// # Safety
/// The processor and the operating system must support every feature named here.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn enter<K: OnLanes>(kernel: K) -> K::Out {
    kernel.run::<Avx512>()
}

#[derive(Clone, Copy)]
pub struct Avx512;

#[derive(Clone, Copy)]
pub struct F32x16(__m512);

#[derive(Clone, Copy)]
pub struct F64x8(__m512d);

impl Sealed for Avx512 {}
impl Sealed for F32x16 {}
impl Sealed for F64x8 {}

// SAFETY (every block below): these types are private to `simd`, and only code that is generic over
// `Lanes` and was entered by `enter`, whose caller has proved AVX-512, gets to know them: whoever makes a value of them runs on a
// machine that has it, inside `enter` or after it.

impl Lanes for Avx512 {
    type F32 = F32x16;
    type F64 = F64x8;
    const TILE_ROWS: usize = 12;

    #[inline(always)]
    fn widen(from: F32x16) -> (F64x8, F64x8) {
        // SAFETY: AVX-512 is there, see above.
        unsafe {
            (
                F64x8(_mm512_cvtps_pd(_mm512_castps512_ps256(from.0))),
                F64x8(_mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(from.0))),
            )
        }
    }

    #[inline(always)]
    fn sqrt(value: f64) -> f64 {
        // SAFETY: SSE2 is part of what `enter` enables; inside it the instruction gets the tier's own encoding.
        unsafe { _mm_cvtsd_f64(_mm_sqrt_sd(_mm_setzero_pd(), _mm_set_sd(value))) }
    }

    #[inline(always)]
    fn sqrt_lanes(value: F64x8) -> F64x8 {
        value.sqrt()
    }

    #[inline(always)]
    fn prefetch<T>(data: &[T], at: usize) {
        if let Some(item) = data.get(at) {
            // SAFETY: SSE is part of every x86-64 with SSE2, and a prefetch of a valid reference reads nothing.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(item).cast()) }
        }
    }

    #[inline(always)]
    fn store_places(mask: u32, base: i32, to: &mut [i32]) {
        let to = to[..LANES_F32].as_mut_ptr();
        // SAFETY: AVX-512 is there, see above; `to` points at sixteen elements, checked by the slice. Compressing in a
        // register and storing it whole is many times faster than a compressing store on some processors.
        unsafe {
            let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let places = _mm512_add_epi32(_mm512_set1_epi32(base), lanes);
            let low = (mask & 0xffff) as u16; // sixteen lanes have sixteen bits
            _mm512_storeu_si512(to.cast(), _mm512_maskz_compress_epi32(low, places));
        }
    }
}

/// Both halves of a vector.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
unsafe fn halves_ps(lanes: __m512) -> (__m256, __m256) {
    // SAFETY: the caller vouches for AVX-512.
    unsafe { (_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps::<1>(lanes)) }
}

/// Both halves of a vector.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
unsafe fn halves_pd(lanes: __m512d) -> (__m256d, __m256d) {
    // SAFETY: the caller vouches for AVX-512.
    unsafe { (_mm512_castpd512_pd256(lanes), _mm512_extractf64x4_pd::<1>(lanes)) }
}

/// A vector of two halves.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
unsafe fn whole_ps(low: __m256, high: __m256) -> __m512 {
    // SAFETY: the caller vouches for AVX-512.
    unsafe { _mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high) }
}

/// A vector of two halves.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
unsafe fn whole_pd(low: __m256d, high: __m256d) -> __m512d {
    // SAFETY: the caller vouches for AVX-512.
    unsafe { _mm512_insertf64x4::<1>(_mm512_castpd256_pd512(low), high) }
}

macro_rules! avx512_vector {
    ($vector:ident, $elem:ty, $lanes:expr, $set1:ident, $loadu:ident, $storeu:ident, $add:ident, $sub:ident, $mul:ident,
     $div:ident, $min:ident, $max:ident, $reduce_min:ident, $abs:ident, $sqrt:ident, $fmadd:ident, $round:ident, $cmp:ident,
     $blend:ident, $to_bits:ident, $from_bits:ident, $shift:ident, $align:ident, $mask:ty, $halves:ident, $whole:ident,
     $square:ident, $magic:expr, $mantissa:expr) => {
        impl Vector for $vector {
            type Elem = $elem;
            #[inline(always)]
            fn splat(value: $elem) -> Self {
                // SAFETY: AVX-512 is there, see above.
                unsafe { Self($set1(value)) }
            }
            #[inline(always)]
            fn load(from: &[$elem]) -> Self {
                let from = from[..$lanes].as_ptr();
                // SAFETY: `from` points at `$lanes` elements, checked by the slice; the load is unaligned.
                unsafe { Self($loadu(from)) }
            }
            #[inline(always)]
            fn store(self, to: &mut [$elem]) {
                let to = to[..$lanes].as_mut_ptr();
                // SAFETY: `to` points at `$lanes` elements, checked by the slice; the store is unaligned.
                unsafe { $storeu(to, self.0) }
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: AVX-512 is there, see above.
                unsafe { Self($add(self.0, other.0)) }
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: AVX-512 is there, see above.
                unsafe { Self($sub(self.0, other.0)) }
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                // SAFETY: AVX-512 is there, see above.
                unsafe { Self($mul(self.0, other.0)) }
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                // SAFETY: AVX-512 is there, see above.
                unsafe { Self($div(self.0, other.0)) }
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                // SAFETY: AVX-512 is there, see above.
                unsafe { Self($min(self.0, other.0)) }
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // SAFETY: AVX-512 is there, see above.
                unsafe { Self($max(self.0, other.0)) }
            }
            #[inline(always)]
            fn least(self) -> $elem {
                // SAFETY: AVX-512 is there, see above.
                unsafe { $reduce_min(self.0) }
            }
            #[inline(always)]
            fn abs(self) -> Self {
                // SAFETY: AVX-512 is there, see above.
                unsafe { Self($abs(self.0)) }
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                // SAFETY: AVX-512 is there, see above.
                unsafe { Self($sqrt(self.0)) }
            }
            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                // SAFETY: AVX-512 is there, see above.
                unsafe { Self($fmadd(self.0, factor.0, term.0)) }
            }
            #[inline(always)]
            fn round(self) -> Self {
                const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
                // SAFETY: AVX-512 is there, see above.
                unsafe { Self($round::<NEAREST>(self.0)) }
            }
            #[inline(always)]
            fn exp2_integer(self) -> Self {
                // SAFETY: AVX-512 is there, see above. The low bits of `integer + magic` hold the biased integer.
                unsafe { Self($from_bits($shift::<$mantissa>($to_bits($add(self.0, $set1($magic)))))) }
            }
            #[inline(always)]
            fn le(self, other: Self) -> u32 {
                // SAFETY: AVX-512 is there, see above.
                u32::from(unsafe { $cmp::<_CMP_LE_OQ>(self.0, other.0) })
            }
            #[inline(always)]
            fn lt(self, other: Self) -> u32 {
                // SAFETY: AVX-512 is there, see above.
                u32::from(unsafe { $cmp::<_CMP_LT_OQ>(self.0, other.0) })
            }
            #[inline(always)]
            fn pick_le(self, bound: Self, yes: Self, no: Self) -> Self {
                // SAFETY: AVX-512 is there, see above.
                unsafe { Self($blend($cmp::<_CMP_LE_OQ>(self.0, bound.0), no.0, yes.0)) }
            }
            #[inline(always)]
            fn keep(self, mask: u32, other: Self) -> Self {
                // SAFETY: AVX-512 is there, see above. Bits beyond the lanes mean nothing.
                unsafe { Self($blend(mask as $mask, other.0, self.0)) }
            }
            #[inline(always)]
            fn behind(self, before: Self) -> Self {
                const LAST: i32 = $lanes as i32 - 1; // sixteen at most
                // SAFETY: AVX-512 is there, see above.
                unsafe { Self($from_bits($align::<LAST>($to_bits(self.0), $to_bits(before.0)))) }
            }
            #[inline(always)]
            fn transpose(square: &mut [Self]) {
                const HALF: usize = $lanes / 2;
                let square = &mut square[..$lanes];
                // SAFETY: AVX-512 is there, see above, and with it AVX.
                unsafe {
                    let first = $halves(square[0].0).0;
                    let (mut low, mut high) = ([[first; HALF]; 2], [[first; HALF]; 2]);
                    for row in 0..HALF {
                        (low[0][row], low[1][row]) = $halves(square[row].0);
                        (high[0][row], high[1][row]) = $halves(square[HALF + row].0);
                    }
                    let [a, b, c, d] = [$square(low[0]), $square(low[1]), $square(high[0]), $square(high[1])];
                    for column in 0..HALF {
                        square[column] = Self($whole(a[column], c[column]));
                        square[HALF + column] = Self($whole(b[column], d[column]));
                    }
                }
            }
        }
    };
}

avx512_vector!(
    F32x16,
    f32,
    LANES_F32,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_div_ps,
    _mm512_min_ps,
    _mm512_max_ps,
    _mm512_reduce_min_ps,
    _mm512_abs_ps,
    _mm512_sqrt_ps,
    _mm512_fmadd_ps,
    _mm512_roundscale_ps,
    _mm512_cmp_ps_mask,
    _mm512_mask_blend_ps,
    _mm512_castps_si512,
    _mm512_castsi512_ps,
    _mm512_slli_epi32,
    _mm512_alignr_epi32,
    u16,
    halves_ps,
    whole_ps,
    square_ps,
    12_583_039.0,
    23
);
avx512_vector!(
    F64x8,
    f64,
    LANES_F64,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_add_pd,
    _mm512_sub_pd,
    _mm512_mul_pd,
    _mm512_div_pd,
    _mm512_min_pd,
    _mm512_max_pd,
    _mm512_reduce_min_pd,
    _mm512_abs_pd,
    _mm512_sqrt_pd,
    _mm512_fmadd_pd,
    _mm512_roundscale_pd,
    _mm512_cmp_pd_mask,
    _mm512_mask_blend_pd,
    _mm512_castpd_si512,
    _mm512_castsi512_pd,
    _mm512_slli_epi64,
    _mm512_alignr_epi64,
    u8,
    halves_pd,
    whole_pd,
    square_pd,
    6_755_399_441_056_767.0,
    52
);
