//! Bodies: sixteen points at a time, one lane each.
//!
//! The integer part is written as loops over arrays of sixteen words, which the compiler turns into the registers of
//! the tier whose function they are inlined into; no intrinsic is needed.

use super::{Frame, KEY_DIMS_MAX};
use crate::simd::{Lanes, OnLanes, Real, Vector};
use crate::view::Rows;

/// Points per block.
const BLOCK: usize = 16;

/// One dimension of a block of points.
type Words = [u32; BLOCK];

/// Dimensions whose bounds are kept in registers.
const BOUNDS_DIM_MAX: usize = 8;

/// Elements that are passed more than once: 16 or 32 KiB.
const NEAR: usize = 4096;

/// The arguments of [`super::hilbert_keys`] and [`super::morton_keys`].
pub(crate) struct Keys<'a, T, const HILBERT: bool> {
    pub(crate) rows: &'a [T],
    pub(crate) frame: &'a Frame,
    pub(crate) keys: &'a mut [u64],
}

impl<T: Real, const HILBERT: bool> OnLanes for Keys<'_, T, HILBERT> {
    type Out = ();
    #[inline(always)]
    fn run<L: Lanes>(self) {
        // A dimension that is known when this is compiled keeps the whole block in registers.
        match self.frame.dim() {
            2 => self.known::<2>(),
            3 => self.known::<3>(),
            4 => self.known::<4>(),
            _ => self.any(&mut [[0; BLOCK]; KEY_DIMS_MAX]),
        }
    }
}

impl<T: Real, const HILBERT: bool> Keys<'_, T, HILBERT> {
    #[inline(always)]
    fn known<const D: usize>(self) {
        let spread = Spread::new(D, self.frame.bits());
        for (rows, keys) in self.rows.chunks(D * BLOCK).zip(self.keys.chunks_mut(BLOCK)) {
            let mut x = [[0; BLOCK]; D];
            block::<T, HILBERT>(rows, D, self.frame, &spread, &mut x, keys);
        }
    }

    #[inline(always)]
    fn any(self, memory: &mut [Words; KEY_DIMS_MAX]) {
        let (dim, dims) = (self.frame.dim(), self.frame.dims());
        let spread = Spread::new(dims, self.frame.bits());
        for (rows, keys) in self.rows.chunks(dim * BLOCK).zip(self.keys.chunks_mut(BLOCK)) {
            block::<T, HILBERT>(rows, dim, self.frame, &spread, &mut memory[..dims], keys);
        }
    }
}

/// Keys of up to sixteen points; `x` has one row per dimension of the key.
#[inline(always)]
fn block<T: Real, const HILBERT: bool>(
    rows: &[T],
    dim: usize,
    frame: &Frame,
    spread: &Spread,
    x: &mut [Words],
    keys: &mut [u64],
) {
    let dims = x.len();
    for (d, x) in x.iter_mut().enumerate() {
        *x = cells(rows, dim, d, frame);
    }
    if HILBERT {
        hilbert(x, frame.bits());
    }
    let mut out = [0u64; BLOCK];
    for (d, x) in x.iter().enumerate() {
        let place = (dims - 1 - d) as u32; // below 64
        let wide = spread.words(x);
        for lane in 0..BLOCK {
            out[lane] |= wide[lane] << place;
        }
    }
    match <&mut [u64; BLOCK]>::try_from(&mut *keys) {
        Ok(keys) => *keys = out,
        Err(_) => keys.copy_from_slice(&out[..keys.len()]),
    }
}

/// Cells of up to sixteen points in dimension `d`; the lanes past the last row repeat zero.
#[inline(always)]
fn cells<T: Real>(rows: &[T], dim: usize, d: usize, frame: &Frame) -> Words {
    /// Added to a number of `0..2^32`, it leaves the nearest integer in the low bits of the sum.
    const MAGIC: f64 = 4_503_599_627_370_496.0;
    let (corner, scale, shrink, last) = (frame.corner[d], frame.scale[d], frame.shrink, frame.last());
    let mut places = [0.0; BLOCK];
    if rows.len() == dim * BLOCK {
        for lane in 0..BLOCK {
            places[lane] = rows[lane * dim + d].to_f64();
        }
    } else {
        for (place, row) in places.iter_mut().zip(rows.chunks_exact(dim)) {
            *place = row[d].to_f64();
        }
    }
    let mut cells = [0; BLOCK];
    for lane in 0..BLOCK {
        let place = (places[lane] * shrink - corner) * scale;
        let place = if place > 0.0 { place } else { 0.0 }; // NaN too
        let place = if place < last { place } else { last };
        cells[lane] = (place + MAGIC).to_bits() as u32; // the low 32 bits hold the integer
    }
    cells
}

/// Skilling's transform without branches.
///
/// Where bit `b` of `x[i]` is set the low bits of `x[0]` are inverted, else they are exchanged with those of `x[i]`.
/// The last step of the original flips the bits below each set bit of the last dimension: a running parity, which
/// takes five shifts instead of one test per bit.
#[inline(always)]
fn hilbert(x: &mut [Words], bits: u32) {
    let mut head = x[0];
    for b in (1..bits).rev() {
        let low = (1u32 << b) - 1;
        for head in &mut head {
            *head ^= set(*head, b) & low;
        }
        for x in &mut x[1..] {
            for lane in 0..BLOCK {
                let set = set(x[lane], b);
                let change = ((head[lane] ^ x[lane]) | set) & low;
                head[lane] ^= change;
                x[lane] ^= change & !set;
            }
        }
    }
    x[0] = head;
    let mut before = head;
    for x in &mut x[1..] {
        for lane in 0..BLOCK {
            x[lane] ^= before[lane];
        }
        before = *x;
    }
    for shift in [1, 2, 4, 8, 16] {
        for parity in &mut before {
            *parity ^= *parity >> shift;
        }
    }
    for x in x {
        for lane in 0..BLOCK {
            x[lane] ^= before[lane] >> 1;
        }
    }
}

/// All ones where bit `b` is set, else zero.
#[inline(always)]
fn set(word: u32, b: u32) -> u32 {
    (((word << (31 - b)) as i32) >> 31) as u32 // the arithmetic shift copies the bit everywhere
}

/// Moves bit `b` of a word to bit `b * dims`: halves are moved apart, then quarters, and so on.
struct Spread {
    steps: [(u32, u64); 5],
    len: usize,
}

impl Spread {
    #[inline(always)]
    fn new(dims: usize, bits: u32) -> Self {
        let (mut steps, mut len, dims) = ([(0, 0); 5], 0, dims as u32); // dims is at most 64
        let mut group = bits.next_power_of_two() / 2;
        while group > 0 {
            let (mut mask, mut start) = (0u64, 0);
            while start < 64 {
                mask |= ((1u64 << group) - 1) << start;
                start += group * dims;
            }
            steps[len] = (group * (dims - 1), mask);
            len += 1;
            group /= 2;
        }
        Self { steps, len }
    }

    #[inline(always)]
    fn words(&self, x: &Words) -> [u64; BLOCK] {
        let mut wide = [0u64; BLOCK];
        for lane in 0..BLOCK {
            wide[lane] = u64::from(x[lane]);
        }
        for &(shift, mask) in &self.steps[..self.len] {
            for word in &mut wide {
                *word = (*word | *word << shift) & mask;
            }
        }
        wide
    }
}

/// The arguments of [`super::bounds`].
pub(crate) struct Bounds<'a, T> {
    pub(crate) rows: Rows<'a, T>,
    pub(crate) low: &'a mut [T],
    pub(crate) high: &'a mut [T],
}

impl<T: Real> OnLanes for Bounds<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let (data, dim) = (self.rows.data(), self.rows.dim());
        let minus_infinity = T::from_f64(f64::NEG_INFINITY);
        self.low.fill(T::INFINITY);
        self.high.fill(minus_infinity);
        let rest = match dim {
            1 => flat::<T, L, 1>(data, self.low, self.high),
            2 => flat::<T, L, 2>(data, self.low, self.high),
            3 => flat::<T, L, 3>(data, self.low, self.high),
            4 => flat::<T, L, 4>(data, self.low, self.high),
            5 => flat::<T, L, 5>(data, self.low, self.high),
            6 => flat::<T, L, 6>(data, self.low, self.high),
            7 => flat::<T, L, 7>(data, self.low, self.high),
            BOUNDS_DIM_MAX => flat::<T, L, BOUNDS_DIM_MAX>(data, self.low, self.high),
            _ if dim >= T::LANES => strips::<T, L>(data, self.low, self.high),
            _ => data,
        };
        for row in rest.chunks_exact(dim) {
            fold(row, row, self.low, self.high);
        }
        for value in self.low.iter_mut().chain(self.high) {
            // Equal to zero: +0.0 or -0.0.
            *value = if *value == T::default() { T::default() } else { *value };
        }
    }
}

/// Bounds of the whole groups of `LANES` rows of `D` elements: `D` vectors, read as one stream, in which lane `l` of
/// vector `v` always belongs to dimension `(v * LANES + l) % D`. Returns what is left.
#[inline(always)]
fn flat<'a, T: Real, L: Lanes, const D: usize>(data: &'a [T], low: &mut [T], high: &mut [T]) -> &'a [T] {
    let mut least = [T::On::<L>::splat(T::INFINITY); D];
    let mut most = [T::On::<L>::splat(T::from_f64(f64::NEG_INFINITY)); D];
    let groups = data.chunks_exact(D * T::LANES);
    let rest = groups.remainder();
    for group in groups {
        for v in 0..D {
            let values = T::On::<L>::load(&group[v * T::LANES..]);
            least[v] = least[v].min(values);
            most[v] = most[v].max(values);
        }
    }
    let (mut a, mut b) = ([T::default(); 16 * BOUNDS_DIM_MAX], [T::default(); 16 * BOUNDS_DIM_MAX]);
    for v in 0..D {
        least[v].store(&mut a[v * T::LANES..]);
        most[v].store(&mut b[v * T::LANES..]);
    }
    for (a, b) in a[..D * T::LANES].chunks_exact(D).zip(b.chunks_exact(D)) {
        fold(a, b, low, high);
    }
    rest
}

/// Bounds of rows of at least `LANES` elements: some rows that stay in the first-level cache, two vectors of columns at a time,
/// whose bounds stay in registers. The last vectors reach back where columns are no multiple. Returns what is left: nothing.
#[inline(always)]
fn strips<'a, T: Real, L: Lanes>(data: &'a [T], low: &mut [T], high: &mut [T]) -> &'a [T] {
    let dim = low.len();
    let last = dim - T::LANES;
    for rows in data.chunks((NEAR / dim).max(1) * dim) {
        for first in (0..dim).step_by(2 * T::LANES) {
            let columns = [first.min(last), (first + T::LANES).min(last)];
            let mut least = columns.map(|column| T::On::<L>::load(&low[column..]));
            let mut most = columns.map(|column| T::On::<L>::load(&high[column..]));
            for row in rows.chunks_exact(dim) {
                for v in 0..2 {
                    let values = T::On::<L>::load(&row[columns[v]..]);
                    least[v] = least[v].min(values);
                    most[v] = most[v].max(values);
                }
            }
            for v in 0..2 {
                least[v].store(&mut low[columns[v]..]);
                most[v].store(&mut high[columns[v]..]);
            }
        }
    }
    &[]
}

/// One row of lower and one of upper candidates.
#[inline(always)]
fn fold<T: Real>(least: &[T], most: &[T], low: &mut [T], high: &mut [T]) {
    for d in 0..low.len() {
        low[d] = if least[d] < low[d] { least[d] } else { low[d] };
        high[d] = if most[d] > high[d] { most[d] } else { high[d] };
    }
}
