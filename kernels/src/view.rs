//! Borrowed, checked views: rows, packed panels, compressed sparse rows. Checked once when made, bare afterwards.

use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::Real;

/// Row-major points: `data[row * dim + d]`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    data: &'a [T],
    dim: usize,
    len: usize,
}

impl<'a, T: Real> Rows<'a, T> {
    /// A view of `data` as rows of `dim` elements.
    ///
    /// # Errors
    /// [`KernelError::Least`] when `dim` is zero, [`KernelError::Shape`] when `data` is not whole rows,
    /// [`KernelError::TooLong`] when there are more rows than an [`Idx`] counts.
    pub fn new(data: &'a [T], dim: usize) -> Result<Self, KernelError> {
        if dim == 0 {
            return Err(KernelError::Least { what: "dim", least: 1, got: 0 });
        }
        let len = data.len() / dim;
        want("data", len * dim, data.len())?;
        idx_len(len)?;
        Ok(Self { data, dim, len })
    }

    /// Elements of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One row.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &'a [T] {
        &self.data[row * self.dim..(row + 1) * self.dim]
    }

    /// All elements.
    pub fn data(&self) -> &'a [T] {
        self.data
    }
}

/// Elements of `len` points of `dim` coordinates packed into panels.
pub const fn panels_len<T: Real>(len: usize, dim: usize) -> usize {
    len.div_ceil(T::LANES).saturating_mul(T::LANES).saturating_mul(dim)
}

/// Packed points: panels of [`Real::LANES`] points, each panel stored `[dim][LANES]`. Padding lanes of the last panel
/// hold whatever the packer put there; no reader of this crate lets them decide anything.
///
/// Any memory will do. Where panels begin with a cache line, as those of an [`Arena`](crate::arena::Arena) do, no vector
/// straddles two lines: 64 points of 64 dimensions, in the first-level cache, are read at 125 GB/s instead of 88 (AVX2).
#[derive(Clone, Copy, Debug)]
pub struct Panels<'a, T> {
    data: &'a [T],
    dim: usize,
    len: usize,
}

impl<'a, T: Real> Panels<'a, T> {
    /// A view of `data` as `len` packed points.
    ///
    /// # Errors
    /// [`KernelError::Least`] when `dim` is zero, [`KernelError::Shape`] when `data` does not have
    /// [`panels_len`] elements, [`KernelError::TooLong`] when an [`Idx`] cannot count the points.
    pub fn new(data: &'a [T], dim: usize, len: usize) -> Result<Self, KernelError> {
        if dim == 0 {
            return Err(KernelError::Least { what: "dim", least: 1, got: 0 });
        }
        idx_len(len)?;
        want("data", panels_len::<T>(len, dim), data.len())?;
        Ok(Self { data, dim, len })
    }

    /// Coordinates of a point.
    #[inline(always)]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of points.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The panels `first..first + count`, contiguous.
    #[inline(always)]
    pub fn run(&self, first: usize, count: usize) -> &'a [T] {
        // Without a point the dimension may be any number, and nothing is cut off; with one, this is a part of `data.len()`.
        let stride = self.dim.wrapping_mul(T::LANES);
        &self.data[first * stride..(first + count) * stride]
    }

    /// Coordinate `d` of the point at `position`.
    #[inline(always)]
    pub fn coordinate(&self, position: usize, d: usize) -> T {
        self.data[((position / T::LANES) * self.dim + d) * T::LANES + position % T::LANES]
    }

    /// All elements.
    pub fn data(&self) -> &'a [T] {
        self.data
    }
}

/// Packs the rows `order[0..]` of `rows` into panels; the padding lanes repeat the last point.
///
/// | argument | shape |
/// | --- | --- |
/// | `rows` | `[rows][dim]` |
/// | `order` | `[len]`, row numbers, each as often as one likes |
/// | `out` | [`panels_len`]`(len, dim)`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when `out` does not fit, [`KernelError::Key`] when a row number is out of range; `out` is
/// then untouched.
///
/// # Cost
/// Reads each row once, writes each element once.
pub fn pack_rows<T: Real>(rows: Rows<'_, T>, order: &[Idx], out: &mut [T]) -> Result<(), KernelError> {
    want("out", panels_len::<T>(order.len(), rows.dim), out.len())?;
    let limit = idx_len(rows.len)?;
    for (place, &row) in order.iter().enumerate() {
        if !(0..limit).contains(&row) {
            return Err(KernelError::Key { at: idx_len(place)?, key: row, limit });
        }
    }
    // Without a row, the dimension may be any number.
    for (panel, members) in out.chunks_exact_mut(rows.dim.saturating_mul(T::LANES)).zip(order.chunks(T::LANES)) {
        for lane in 0..T::LANES {
            let row = rows.row(at(members[lane.min(members.len() - 1)]));
            for (d, &value) in row.iter().enumerate() {
                panel[d * T::LANES + lane] = value;
            }
        }
    }
    Ok(())
}

/// The place of the first of `starts` (not empty) that does not belong: the first of all unless it is `first`, one that
/// falls, the last unless it is `last`.
pub(crate) fn wrong_start(starts: &[Idx], first: Idx, last: Idx) -> Option<usize> {
    if starts[0] != first {
        return Some(0);
    }
    let falls = starts.windows(2).position(|pair| pair[1] < pair[0]).map(|place| place + 1);
    falls.or((starts[starts.len() - 1] != last).then_some(starts.len() - 1))
}

/// Refuses `starts` (not empty) that do not rise from 0 to `end`, at the [first](wrong_start) that does not belong.
pub(crate) fn check_starts(starts: &[Idx], end: Idx) -> Result<(), KernelError> {
    wrong_start(starts, 0, end).map_or(Ok(()), |at| Err(KernelError::Value { what: "starts", at }))
}

/// Compressed sparse rows: the neighbours of vertex `v` are `targets[starts[v]..starts[v + 1]]`.
#[derive(Clone, Copy, Debug)]
pub struct Csr<'a> {
    starts: &'a [Idx],
    targets: &'a [Idx],
}

impl<'a> Csr<'a> {
    /// A view of `starts` (`[vertices + 1]`, from 0, not falling, ending at `targets.len()`) and `targets` (each below
    /// `vertices`).
    ///
    /// # Errors
    /// [`KernelError::Least`] for empty `starts`, [`KernelError::TooLong`], [`KernelError::Value`] at the first start when
    /// it is not 0, at one that falls or at the last when it is not the number of targets, [`KernelError::Key`] for a target
    /// out of range.
    ///
    /// # Cost
    /// Reads everything once.
    pub fn new(starts: &'a [Idx], targets: &'a [Idx]) -> Result<Self, KernelError> {
        if starts.is_empty() {
            return Err(KernelError::Least { what: "starts", least: 1, got: 0 });
        }
        let (vertices, edges) = (idx_len(starts.len() - 1)?, idx_len(targets.len())?);
        check_starts(starts, edges)?;
        match targets.iter().position(|target| !(0..vertices).contains(target)) {
            Some(place) => Err(KernelError::Key { at: idx_len(place)?, key: targets[place], limit: vertices }),
            None => Ok(Self { starts, targets }),
        }
    }

    /// Number of vertices.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there are no vertices.
    pub fn is_empty(&self) -> bool {
        self.starts.len() == 1
    }

    /// Number of stored edges; an undirected edge counts twice.
    pub fn edges(&self) -> usize {
        self.targets.len()
    }

    /// The neighbours of one vertex.
    #[inline(always)]
    pub fn of(&self, vertex: Idx) -> &'a [Idx] {
        let vertex = at(vertex);
        &self.targets[at(self.starts[vertex])..at(self.starts[vertex + 1])]
    }

    /// The starts, `[vertices + 1]`.
    pub fn starts(&self) -> &'a [Idx] {
        self.starts
    }

    /// All targets.
    pub fn targets(&self) -> &'a [Idx] {
        self.targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn packed_and_read_back<T: Real>() {
        for len in [0, 1, T::LANES - 1, T::LANES, T::LANES + 1, 40] {
            for dim in [1, 3] {
                let data: Vec<T> = (0..7 * dim).map(|i| T::from_f64(i as f64)).collect();
                let rows = Rows::new(&data, dim).unwrap();
                let order: Vec<Idx> = (0..len as Idx).map(|place| place * 5 % 7).collect();
                let mut out = vec![T::from_f64(-1.0); panels_len::<T>(len, dim)];
                pack_rows(rows, &order, &mut out).unwrap();
                let panels = Panels::new(&out, dim, len).unwrap();
                for position in 0..len.next_multiple_of(T::LANES) {
                    let row = rows.row(at(order[position.min(len - 1)])); // padding repeats the last point
                    for (d, &value) in row.iter().enumerate() {
                        assert_eq!(panels.coordinate(position, d), value, "{len} {dim}: {position} {d}");
                    }
                }
            }
        }
    }

    #[test]
    fn points_are_packed_panel_by_panel_and_read_back() {
        packed_and_read_back::<f32>();
        packed_and_read_back::<f64>();
    }

    #[test]
    fn wrong_shapes_and_rows_are_refused() {
        assert!(matches!(Rows::new(&[1.0f32; 4], 3), Err(KernelError::Shape { .. })));
        assert!(matches!(Rows::new(&[1.0f32; 4], 0), Err(KernelError::Least { .. })));
        assert!(matches!(Panels::new(&[1.0f32; 4], 3, 1), Err(KernelError::Shape { want: 48, got: 4, .. })));
        let rows = Rows::new(&[1.0f32; 4], 2).unwrap();
        let mut out = [9.0; 32];
        let refused = pack_rows(rows, &[0, 2], &mut out);
        assert_eq!((refused, out), (Err(KernelError::Key { at: 1, key: 2, limit: 2 }), [9.0; 32]));
        let none = Rows::<f64>::new(&[], usize::MAX).unwrap();
        assert_eq!(pack_rows(none, &[], &mut []), Ok(()), "of no rows the dimension may be anything");
        for dim in [usize::MAX, usize::MAX / 2 + 1, usize::MAX / 16 + 1] {
            assert!(Panels::<f32>::new(&[], dim, 0).unwrap().run(0, 0).is_empty(), "of no points too");
        }
    }

    #[test]
    fn the_first_start_that_does_not_belong_is_named() {
        for (starts, place) in [
            (&[0][..], None),
            (&[0, 0, 2, 2], None),
            (&[1, 2], Some(0)),
            (&[-1, 2], Some(0)),
            (&[0, 3, 2], Some(2)),
            (&[0, -1, 2], Some(1)),
            (&[0, 1, 1], Some(2)),
            (&[0, 3], Some(1)),
        ] {
            let end = if starts.len() == 1 { 0 } else { 2 };
            assert_eq!(wrong_start(starts, 0, end), place, "{starts:?}");
            let refused = place.map(|at| KernelError::Value { what: "starts", at });
            assert_eq!(check_starts(starts, end).err(), refused);
        }
        assert_eq!(wrong_start(&[4, 4, 7], 4, 7), None, "a part of some rows begins anywhere");
    }

    #[test]
    fn a_graph_is_checked_once() {
        let graph = Csr::new(&[0, 1, 3], &[1, 0, 1]).unwrap();
        assert_eq!((graph.len(), graph.edges(), graph.of(1)), (2, 3, &[0, 1][..]));
        assert!(Csr::new(&[], &[]).is_err());
        assert_eq!(Csr::new(&[1, 1], &[0]).err(), Some(KernelError::Value { what: "starts", at: 0 }));
        assert_eq!(Csr::new(&[0, 2, 1], &[0]).err(), Some(KernelError::Value { what: "starts", at: 2 }));
        assert_eq!(Csr::new(&[0, 2], &[0]).err(), Some(KernelError::Value { what: "starts", at: 1 }));
        assert_eq!(Csr::new(&[0, 1], &[1]).err(), Some(KernelError::Key { at: 0, key: 1, limit: 1 }));
    }
}
