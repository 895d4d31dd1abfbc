//! The order in which the builder keeps points: along a space-filling curve where there are coordinates.

use covertree_kernels::index::{Idx, idx_len};
use covertree_kernels::order::{Fit, Frame, bounds, hilbert_keys, merge_bounds, morton_keys};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::view::Rows;

use crate::parallel;
use crate::sort::sort_by_keys;

/// Rows that one task makes keys for.
const CHUNK: usize = 1 << 14;

/// A space-filling curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    /// Neighbours on it are neighbours in space.
    Hilbert,
    /// Z order: cheaper to find, with leaps.
    Morton,
}

/// Row numbers along a curve through the box of the points; ties go to the lower row.
pub(crate) fn curve_order<T: Real>(curve: Curve, tier: Tier, data: &[T], dim: usize) -> Vec<Idx> {
    let rows = Rows::new(data, dim).expect("the shape was checked when the points were read");
    let len = idx_len(rows.len()).expect("as above");
    let mut order: Vec<Idx> = (0..len).collect();
    let Some((low, high)) = box_of(tier, data, dim) else { return order };
    let Ok(frame) = Frame::new(&low, &high, Fit::Cube) else { return order };
    let mut keys = vec![0u64; rows.len()];
    parallel::chunks(&mut keys, CHUNK, &|chunk, keys| {
        let first = (chunk * CHUNK) as Idx; // below `len`
        let made = match curve {
            Curve::Hilbert => hilbert_keys(tier, rows, &frame, first, keys),
            Curve::Morton => morton_keys(tier, rows, &frame, first, keys),
        };
        made.expect("the frame has the dimension of the rows");
    });
    sort_by_keys(&mut keys, &mut order);
    order
}

/// Smallest and largest coordinates; `None` when there are no points.
fn box_of<T: Real>(tier: Tier, data: &[T], dim: usize) -> Option<(Vec<T>, Vec<T>)> {
    let boxes = parallel::pieces(data.len() / dim, CHUNK, &|rows| {
        let (mut low, mut high) = (vec![T::default(); dim], vec![T::default(); dim]);
        let rows = Rows::new(&data[rows.start * dim..rows.end * dim], dim).expect("whole rows");
        bounds(tier, rows, &mut low, &mut high).expect("the outputs have the dimension of the rows");
        (low, high)
    });
    boxes.into_iter().reduce(|(mut low, mut high), (other_low, other_high)| {
        merge_bounds(&mut low, &mut high, &other_low, &other_high).expect("one dimension throughout");
        (low, high)
    })
}
