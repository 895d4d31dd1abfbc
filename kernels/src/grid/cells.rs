//! Cells, their keys and their neighbours.

use crate::error::{KernelError, want};
use crate::hash::{GOLDEN, mix64, stream};
use crate::index::{Idx, at, idx_len};
use crate::simd::Real;
use crate::view::Rows;

/// Most cells that [`neighbour_keys`] enumerates: one ring around a cell in eight dimensions.
pub const NEIGHBOURS_MAX: usize = 6561;

/// Largest magnitude of a cell.
const CELL_MAX: i64 = 1 << 62;

/// The magnitude below which [`MAGIC`] finds the nearest integer.
const SMALL: f64 = (1u64 << 51) as f64;
/// `1.5 x 2^52`.
const MAGIC: f64 = 6_755_399_441_055_744.0;

/// The cells of one (level, shift).
#[derive(Clone, Copy, Debug)]
pub struct Grid<'a> {
    width: f64,
    offsets: &'a [f64],
    start: u64,
}

impl<'a> Grid<'a> {
    /// Cells of side `width`, moved by `offsets` (`[dim]`, as [`grid_offsets`] gives them). The level and the shift only
    /// keep the keys of different grids apart.
    ///
    /// # Errors
    /// [`KernelError::Least`] when there are no offsets, [`KernelError::Value`] when `width` is not positive and finite,
    /// or at the first offset that is not finite.
    pub fn new(width: f64, offsets: &'a [f64], level: Idx, shift: u32) -> Result<Self, KernelError> {
        if offsets.is_empty() {
            return Err(KernelError::Least { what: "offsets", least: 1, got: 0 });
        }
        if !(width.is_finite() && width > 0.0) {
            return Err(KernelError::Value { what: "width", at: 0 });
        }
        match offsets.iter().position(|offset| !offset.is_finite()) {
            Some(place) => Err(KernelError::Value { what: "offsets", at: place }),
            // The sign of the level is part of its bits; distinct (level, shift) start at distinct states but for a
            // collision of the mix.
            None => Ok(Self { width, offsets, start: stream(level as u32 as u64, shift) }),
        }
    }

    /// Dimension of the points.
    pub fn dim(&self) -> usize {
        self.offsets.len()
    }

    /// Side of a cell.
    pub fn width(&self) -> f64 {
        self.width
    }

    /// The cell of coordinate `x` in dimension `d`; panics when there is no such dimension.
    #[inline(always)]
    pub fn cell<T: Real>(&self, d: usize, x: T) -> i64 {
        let place = (x.to_f64() + self.offsets[d]) / self.width;
        if place.abs() < SMALL {
            // Adding 1.5 x 2^52 leaves the nearest integer in the low bits of the sum; one less where that is above.
            let sum = place + MAGIC;
            let nearest = sum.to_bits().wrapping_sub(MAGIC.to_bits()) as i64;
            return nearest - i64::from(sum - MAGIC > place);
        }
        // The cast cuts towards zero, saturates, and takes NaN to 0; one less where it cut upwards is the floor.
        let cut = place as i64;
        cut.saturating_sub(i64::from(place < cut as f64)).clamp(-CELL_MAX, CELL_MAX)
    }

    /// The key of the cell of one point; panics when the dimension differs.
    #[inline(always)]
    pub fn key<T: Real>(&self, row: &[T]) -> u64 {
        assert_eq!(row.len(), self.offsets.len());
        let mut key = self.start;
        for (d, &x) in row.iter().enumerate() {
            key = step(key, self.cell(d, x));
        }
        key
    }
}

/// Mixes one more dimension into a key.
#[inline(always)]
fn step(key: u64, cell: i64) -> u64 {
    mix64((key ^ cell as u64).wrapping_add(GOLDEN)) // the sign of a cell is part of its bits
}

/// The offsets of one (level, shift): `fraction * width`, with a hashed fraction of `0..1` per dimension.
///
/// | argument | shape |
/// | --- | --- |
/// | `seed`, `level`, `shift` | any; they alone choose the fractions |
/// | `width` | side of a cell, as for [`Grid::new`] |
/// | `offsets` | `[dim]`, overwritten |
///
/// # Errors
/// [`KernelError::Value`] when `width` is not positive and finite; `offsets` is then untouched.
///
/// # Cost
/// A mix per dimension.
pub fn grid_offsets(seed: u64, level: Idx, shift: u32, width: f64, offsets: &mut [f64]) -> Result<(), KernelError> {
    if !(width.is_finite() && width > 0.0) {
        return Err(KernelError::Value { what: "width", at: 0 });
    }
    let state = stream(stream(seed, shift), level as u32); // a level of any sign, as bits
    for (d, offset) in (1..).zip(offsets) {
        let word = mix64(state.wrapping_add(GOLDEN.wrapping_mul(d)));
        *offset = (word >> 11) as f64 * (1.0 / (1u64 << 53) as f64) * width;
    }
    Ok(())
}

/// Keys of the cells of the rows `ids`.
///
/// | argument | shape |
/// | --- | --- |
/// | `ids` | row numbers, any subset in any order; split it to use several threads |
/// | `keys` | `[ids]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when `keys` does not fit or `grid` has another dimension, [`KernelError::Key`] at the first id
/// that is no row. Nothing is written then.
///
/// # Cost
/// Per coordinate one division and one mix: about 3 ns.
pub fn cell_keys<T: Real>(
    rows: Rows<'_, T>,
    ids: &[Idx],
    grid: &Grid<'_>,
    keys: &mut [u64],
) -> Result<(), KernelError> {
    want("grid", rows.dim(), grid.dim())?;
    want("keys", ids.len(), keys.len())?;
    let limit = idx_len(rows.len())?;
    if let Some(place) = ids.iter().position(|id| !(0..limit).contains(id)) {
        return Err(KernelError::Key { at: idx_len(place)?, key: ids[place], limit });
    }
    match grid.dim() {
        // A dimension that is known when this is compiled lets the mixes of several points overlap.
        2 => keys_of::<T, 2>(rows, ids, grid, keys),
        3 => keys_of::<T, 3>(rows, ids, grid, keys),
        _ => {
            for (&id, key) in ids.iter().zip(keys) {
                *key = grid.key(rows.row(at(id)));
            }
        }
    }
    Ok(())
}

fn keys_of<T: Real, const D: usize>(rows: Rows<'_, T>, ids: &[Idx], grid: &Grid<'_>, keys: &mut [u64]) {
    let mut offsets = [0.0; D];
    offsets.copy_from_slice(grid.offsets);
    let grid = Grid { offsets: &offsets, ..*grid };
    for (&id, key) in ids.iter().zip(keys) {
        *key = grid.key(&rows.row(at(id))[..D]);
    }
}

/// Cells within `rings` rings of one cell, itself included: `(2 rings + 1)^dim`.
///
/// # Errors
/// [`KernelError::Least`] when `dim` is zero; [`KernelError::Value`] when the number is above [`NEIGHBOURS_MAX`], which
/// one ring reaches above eight dimensions and two rings above five.
pub const fn neighbour_count(dim: usize, rings: u32) -> Result<usize, KernelError> {
    if dim == 0 {
        return Err(KernelError::Least { what: "dim", least: 1, got: 0 });
    }
    if rings as usize > NEIGHBOURS_MAX {
        return Err(KernelError::Value { what: "rings", at: 0 });
    }
    let (side, mut count, mut d) = (2 * rings as usize + 1, 1, 0);
    while d < dim && side > 1 {
        count *= side;
        if count > NEIGHBOURS_MAX {
            return Err(KernelError::Value { what: "dim", at: dim });
        }
        d += 1;
    }
    Ok(count)
}

/// Keys of the cells within `rings` rings of the cell of `row`, in lexicographic order: its own stands in the middle.
///
/// | argument | shape |
/// | --- | --- |
/// | `keys` | [`neighbour_count`]`(dim, rings)`, overwritten |
///
/// # Errors
/// As [`neighbour_count`], before any work; [`KernelError::Shape`] when `keys` or `row` does not fit. Nothing is written
/// then.
///
/// # Cost
/// One mix per key, and half of one more for the prefixes that keys share.
pub fn neighbour_keys<T: Real>(row: &[T], grid: &Grid<'_>, rings: u32, keys: &mut [u64]) -> Result<(), KernelError> {
    let count = neighbour_count(grid.dim(), rings)?;
    want("row", grid.dim(), row.len())?;
    want("keys", count, keys.len())?;
    let (side, mut len) = (2 * rings as usize + 1, 1);
    keys[0] = grid.start;
    for (d, &x) in row.iter().enumerate() {
        let low = grid.cell(d, x) - i64::from(rings);
        // Every prefix becomes `side` longer ones, from the last to the first, so that none is overwritten unread.
        for prefix in (0..len).rev() {
            let key = keys[prefix];
            for (cell, out) in (low..).zip(&mut keys[prefix * side..(prefix + 1) * side]) {
                *out = step(key, cell);
            }
        }
        len *= side;
    }
    Ok(())
}

/// How far apart in each coordinate two points may be and surely lie in the same or in neighbouring cells, when no cell
/// is larger in magnitude than `largest`: `width (1 - (largest + 2) 2^-51)`, rounded down, at least 0. See [the
/// family](super) for the proof.
pub fn ring_width(width: f64, largest: i64) -> f64 {
    // Everything but the last product is exact below 2^51, and the product is moved down by more than its rounding.
    let share = 1.0 - (largest.unsigned_abs() as f64 + 3.0) / (1u64 << 51) as f64;
    (width * share.max(0.0)).next_down().max(0.0)
}
