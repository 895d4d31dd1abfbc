//! AVX2 with FMA: a panel-wide vector is two 256-bit registers.

use core::arch::x86_64::*;

use super::vector::Sealed;
use super::{LANES_F32, LANES_F64, Lanes, OnLanes, Vector};

/// Runs a body compiled for AVX2 and FMA.
///
/// # Safety
/// The processor and the operating system must support both.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn enter<K: OnLanes>(kernel: K) -> K::Out {
    kernel.run::<Avx2>()
}

#[derive(Clone, Copy)]
pub struct Avx2;

#[derive(Clone, Copy)]
pub struct F32x16(__m256, __m256);

#[derive(Clone, Copy)]
pub struct F64x8(__m256d, __m256d);

impl Sealed for Avx2 {}
impl Sealed for F32x16 {}
impl Sealed for F64x8 {}

// SAFETY (every block below): these types are private to `simd`, and only code that is generic over
// `Lanes` and was entered by `enter`, whose caller has proved AVX2 and FMA, gets to know them: whoever makes a value of them runs on
// a machine that has both, inside `enter` or after it.

/// For each mask of eight lanes the numbers of the lanes that are set, ascending, a byte each, the first one lowest.
static SET_LANES: [u64; 256] = {
    let mut table = [0; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut end) = (0, 0);
        while lane < 8 {
            if mask >> lane & 1 == 1 {
                table[mask] |= lane << (8 * end);
                end += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    table
};

/// Writes `base + l` for each set bit `l` of a mask of eight to the front of `to`, and anything behind.
#[inline(always)]
fn store_eight(mask: usize, base: i32, to: &mut [i32]) {
    let (lanes, to) = (SET_LANES[mask], to[..8].as_mut_ptr());
    // SAFETY: AVX2 is there, see above; `to` points at eight elements, checked by the slice.
    unsafe {
        let lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(lanes as i64)); // the same bits
        _mm256_storeu_si256(to.cast(), _mm256_add_epi32(_mm256_set1_epi32(base), lanes));
    }
}

impl Lanes for Avx2 {
    type F32 = F32x16;
    type F64 = F64x8;
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    fn widen(from: F32x16) -> (F64x8, F64x8) {
        // SAFETY: AVX is there, see above.
        unsafe {
            let widen = |half: __m256| {
                F64x8(_mm256_cvtps_pd(_mm256_castps256_ps128(half)), _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(half)))
            };
            (widen(from.0), widen(from.1))
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
        let to = &mut to[..LANES_F32];
        let (low, high) = ((mask & 0xff) as usize, (mask >> 8 & 0xff) as usize); // a byte each
        let end = low.count_ones() as usize; // at most eight
        store_eight(low, base, &mut to[..8]);
        store_eight(high, base + 8, &mut to[end..end + 8]);
    }
}

/// The smallest of eight lanes.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
unsafe fn least_ps(lanes: __m256) -> f32 {
    // SAFETY: the caller vouches for AVX.
    unsafe {
        let four = _mm_min_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
        let two = _mm_min_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)))
    }
}

/// The smallest of four lanes.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
unsafe fn least_pd(lanes: __m256d) -> f64 {
    // SAFETY: the caller vouches for AVX.
    unsafe {
        let two = _mm_min_pd(_mm256_castpd256_pd128(lanes), _mm256_extractf128_pd::<1>(lanes));
        _mm_cvtsd_f64(_mm_min_sd(two, _mm_unpackhi_pd(two, two)))
    }
}

/// Eight lanes one place up, and in front the last one of `before`.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
unsafe fn behind_ps(lanes: __m256, before: __m256) -> __m256 {
    // SAFETY: the caller vouches for AVX2. Halves of 128 bits are lifted by themselves, each behind the one before it.
    unsafe {
        let (lanes, halves) = (_mm256_castps_si256(lanes), _mm256_permute2f128_ps::<0x21>(before, lanes));
        _mm256_castsi256_ps(_mm256_alignr_epi8::<12>(lanes, _mm256_castps_si256(halves)))
    }
}

/// Four lanes one place up, and in front the last one of `before`.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
unsafe fn behind_pd(lanes: __m256d, before: __m256d) -> __m256d {
    // SAFETY: the caller vouches for AVX; as above.
    unsafe { _mm256_shuffle_pd::<0b0101>(_mm256_permute2f128_pd::<0x21>(before, lanes), lanes) }
}

/// All bits of the lanes whose bit is set in the low eight bits of `mask`.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
unsafe fn chosen_ps(mask: u32) -> __m256 {
    // SAFETY: the caller vouches for AVX2.
    unsafe {
        let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
        let mask = _mm256_and_si256(_mm256_set1_epi32(mask as i32), bits); // the same bits
        _mm256_castsi256_ps(_mm256_cmpeq_epi32(mask, bits))
    }
}

/// All bits of the lanes whose bit is set in the low four bits of `mask`.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
unsafe fn chosen_pd(mask: u32) -> __m256d {
    // SAFETY: the caller vouches for AVX2.
    unsafe {
        let bits = _mm256_setr_epi64x(1, 2, 4, 8);
        let mask = _mm256_and_si256(_mm256_set1_epi64x(i64::from(mask)), bits);
        _mm256_castsi256_pd(_mm256_cmpeq_epi64(mask, bits))
    }
}

/// Exchanges rows and columns of eight vectors of eight lanes.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
pub(super) unsafe fn square_ps(rows: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: the caller vouches for AVX. Pairs of rows, then of pairs; what stands in four lanes of 128 bits is then
    // exchanged between the halves.
    unsafe {
        let mut pairs = rows;
        for p in 0..4 {
            pairs[2 * p] = _mm256_unpacklo_ps(rows[2 * p], rows[2 * p + 1]);
            pairs[2 * p + 1] = _mm256_unpackhi_ps(rows[2 * p], rows[2 * p + 1]);
        }
        let mut fours = pairs;
        for half in 0..2 {
            let [a, b, c, d] = [pairs[4 * half], pairs[4 * half + 1], pairs[4 * half + 2], pairs[4 * half + 3]];
            fours[4 * half] = _mm256_shuffle_ps::<0b01_00_01_00>(a, c);
            fours[4 * half + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(a, c);
            fours[4 * half + 2] = _mm256_shuffle_ps::<0b01_00_01_00>(b, d);
            fours[4 * half + 3] = _mm256_shuffle_ps::<0b11_10_11_10>(b, d);
        }
        let mut columns = fours;
        for c in 0..4 {
            columns[c] = _mm256_permute2f128_ps::<0x20>(fours[c], fours[c + 4]);
            columns[c + 4] = _mm256_permute2f128_ps::<0x31>(fours[c], fours[c + 4]);
        }
        columns
    }
}

/// Exchanges rows and columns of four vectors of four lanes.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
pub(super) unsafe fn square_pd(rows: [__m256d; 4]) -> [__m256d; 4] {
    // SAFETY: the caller vouches for AVX. Pairs of rows, then the halves of 128 bits.
    unsafe {
        let (a, b) = (_mm256_unpacklo_pd(rows[0], rows[1]), _mm256_unpackhi_pd(rows[0], rows[1]));
        let (c, d) = (_mm256_unpacklo_pd(rows[2], rows[3]), _mm256_unpackhi_pd(rows[2], rows[3]));
        [
            _mm256_permute2f128_pd::<0x20>(a, c),
            _mm256_permute2f128_pd::<0x20>(b, d),
            _mm256_permute2f128_pd::<0x31>(a, c),
            _mm256_permute2f128_pd::<0x31>(b, d),
        ]
    }
}

macro_rules! avx2_vector {
    ($vector:ident, $elem:ty, $lanes:expr, $set1:ident, $loadu:ident, $storeu:ident, $add:ident, $sub:ident, $mul:ident,
     $div:ident, $min:ident, $max:ident, $least:ident, $andnot:ident, $sqrt:ident, $fmadd:ident, $round:ident, $cmp:ident,
     $movemask:ident, $blendv:ident, $to_bits:ident, $from_bits:ident, $shift:ident, $behind:ident, $chosen:ident,
     $square:ident, $magic:expr, $mantissa:expr) => {
        impl Vector for $vector {
            type Elem = $elem;
            #[inline(always)]
            fn splat(value: $elem) -> Self {
                // SAFETY: AVX is there, see above.
                unsafe { Self($set1(value), $set1(value)) }
            }
            #[inline(always)]
            fn load(from: &[$elem]) -> Self {
                let from = from[..$lanes].as_ptr();
                // SAFETY: `from` points at `$lanes` elements, checked by the slice; loads are unaligned.
                unsafe { Self($loadu(from), $loadu(from.add($lanes / 2))) }
            }
            #[inline(always)]
            fn store(self, to: &mut [$elem]) {
                let to = to[..$lanes].as_mut_ptr();
                // SAFETY: `to` points at `$lanes` elements, checked by the slice; stores are unaligned.
                unsafe {
                    $storeu(to, self.0);
                    $storeu(to.add($lanes / 2), self.1);
                }
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: AVX is there, see above.
                unsafe { Self($add(self.0, other.0), $add(self.1, other.1)) }
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: AVX is there, see above.
                unsafe { Self($sub(self.0, other.0), $sub(self.1, other.1)) }
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                // SAFETY: AVX is there, see above.
                unsafe { Self($mul(self.0, other.0), $mul(self.1, other.1)) }
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                // SAFETY: AVX is there, see above.
                unsafe { Self($div(self.0, other.0), $div(self.1, other.1)) }
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                // SAFETY: AVX is there, see above.
                unsafe { Self($min(self.0, other.0), $min(self.1, other.1)) }
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // SAFETY: AVX is there, see above.
                unsafe { Self($max(self.0, other.0), $max(self.1, other.1)) }
            }
            #[inline(always)]
            fn least(self) -> $elem {
                // SAFETY: AVX is there, see above.
                unsafe { $least($min(self.0, self.1)) }
            }
            #[inline(always)]
            fn abs(self) -> Self {
                // SAFETY: AVX is there, see above.
                unsafe { Self($andnot($set1(-0.0), self.0), $andnot($set1(-0.0), self.1)) }
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                // SAFETY: AVX is there, see above.
                unsafe { Self($sqrt(self.0), $sqrt(self.1)) }
            }
            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                // SAFETY: FMA is there, see above.
                unsafe { Self($fmadd(self.0, factor.0, term.0), $fmadd(self.1, factor.1, term.1)) }
            }
            #[inline(always)]
            fn round(self) -> Self {
                const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
                // SAFETY: AVX is there, see above.
                unsafe { Self($round::<NEAREST>(self.0), $round::<NEAREST>(self.1)) }
            }
            #[inline(always)]
            fn exp2_integer(self) -> Self {
                // SAFETY: AVX2 is there, see above. The low bits of `integer + magic` hold the biased integer.
                unsafe {
                    let power = |half| $from_bits($shift::<$mantissa>($to_bits($add(half, $set1($magic)))));
                    Self(power(self.0), power(self.1))
                }
            }
            #[inline(always)]
            fn le(self, other: Self) -> u32 {
                // SAFETY: AVX is there, see above.
                let (low, high) = unsafe {
                    ($movemask($cmp::<_CMP_LE_OQ>(self.0, other.0)), $movemask($cmp::<_CMP_LE_OQ>(self.1, other.1)))
                };
                low as u32 | (high as u32) << ($lanes / 2) // a mask has at most eight bits
            }
            #[inline(always)]
            fn lt(self, other: Self) -> u32 {
                // SAFETY: AVX is there, see above.
                let (low, high) = unsafe {
                    ($movemask($cmp::<_CMP_LT_OQ>(self.0, other.0)), $movemask($cmp::<_CMP_LT_OQ>(self.1, other.1)))
                };
                low as u32 | (high as u32) << ($lanes / 2) // a mask has at most eight bits
            }
            #[inline(always)]
            fn pick_le(self, bound: Self, yes: Self, no: Self) -> Self {
                // SAFETY: AVX is there, see above.
                unsafe {
                    Self(
                        $blendv(no.0, yes.0, $cmp::<_CMP_LE_OQ>(self.0, bound.0)),
                        $blendv(no.1, yes.1, $cmp::<_CMP_LE_OQ>(self.1, bound.1)),
                    )
                }
            }
            #[inline(always)]
            fn keep(self, mask: u32, other: Self) -> Self {
                // SAFETY: AVX2 is there, see above.
                unsafe {
                    let (low, high) = ($chosen(mask), $chosen(mask >> ($lanes / 2)));
                    Self($blendv(other.0, self.0, low), $blendv(other.1, self.1, high))
                }
            }
            #[inline(always)]
            fn behind(self, before: Self) -> Self {
                // SAFETY: AVX2 is there, see above.
                unsafe { Self($behind(self.0, before.1), $behind(self.1, self.0)) }
            }
            #[inline(always)]
            fn transpose(square: &mut [Self]) {
                const HALF: usize = $lanes / 2;
                let square = &mut square[..$lanes];
                let (mut low, mut high) = ([[square[0].0; HALF]; 2], [[square[0].0; HALF]; 2]);
                for row in 0..HALF {
                    (low[0][row], low[1][row]) = (square[row].0, square[row].1);
                    (high[0][row], high[1][row]) = (square[HALF + row].0, square[HALF + row].1);
                }
                // SAFETY: AVX is there, see above.
                let [a, b, c, d] = unsafe { [$square(low[0]), $square(low[1]), $square(high[0]), $square(high[1])] };
                for column in 0..HALF {
                    square[column] = Self(a[column], c[column]);
                    square[HALF + column] = Self(b[column], d[column]);
                }
            }
        }
    };
}

avx2_vector!(
    F32x16,
    f32,
    LANES_F32,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_div_ps,
    _mm256_min_ps,
    _mm256_max_ps,
    least_ps,
    _mm256_andnot_ps,
    _mm256_sqrt_ps,
    _mm256_fmadd_ps,
    _mm256_round_ps,
    _mm256_cmp_ps,
    _mm256_movemask_ps,
    _mm256_blendv_ps,
    _mm256_castps_si256,
    _mm256_castsi256_ps,
    _mm256_slli_epi32,
    behind_ps,
    chosen_ps,
    square_ps,
    12_583_039.0,
    23
);
avx2_vector!(
    F64x8,
    f64,
    LANES_F64,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    _mm256_mul_pd,
    _mm256_div_pd,
    _mm256_min_pd,
    _mm256_max_pd,
    least_pd,
    _mm256_andnot_pd,
    _mm256_sqrt_pd,
    _mm256_fmadd_pd,
    _mm256_round_pd,
    _mm256_cmp_pd,
    _mm256_movemask_pd,
    _mm256_blendv_pd,
    _mm256_castpd_si256,
    _mm256_castsi256_pd,
    _mm256_slli_epi64,
    behind_pd,
    chosen_pd,
    square_pd,
    6_755_399_441_056_767.0,
    52
);
