//! Points packed in the order of a tree.

use std::fmt;

use covertree_kernels::dist;
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, at, idx_len};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::tree::{Boxes, Coordinates, Group, box_of_run};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};

use super::{Ahead, PanelMetric};
use crate::parallel;
use crate::tree::Storage;

/// Panels that one task packs.
const PACK_PANELS: usize = 256;

/// Points packed in the order of a tree, with the boxes of its groups where the order calls for them.
pub struct PackedPoints<T> {
    data: Storage<T>,
    corners: Storage<T>,
    dim: usize,
    len: usize,
    groups: usize,
    ahead: Ahead,
}

impl<T: Real> Clone for PackedPoints<T> {
    fn clone(&self) -> Self {
        Self { data: self.data.clone(), corners: self.corners.clone(), ..*self }
    }
}

impl<T> fmt::Debug for PackedPoints<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedPoints")
            .field("len", &self.len)
            .field("dim", &self.dim)
            .field("groups", &self.groups)
            .field("ahead", &self.ahead)
            .finish_non_exhaustive()
    }
}

impl<T: Real> PackedPoints<T> {
    /// Points that are packed already, with the corners of `groups` boxes (or none and 0).
    ///
    /// # Errors
    /// As [`Panels::new`] and [`Boxes::new`] where the lengths do not fit, [`KernelError::Shape`] for corners of no groups,
    /// [`KernelError::TooLong`] for more groups than there are numbers for.
    pub fn new(
        data: Storage<T>,
        corners: Storage<T>,
        dim: usize,
        len: usize,
        groups: usize,
    ) -> Result<Self, KernelError> {
        Panels::new(&data, dim, len)?;
        idx_len(groups)?;
        if groups > 0 {
            let width = corners.len() / groups.next_multiple_of(T::LANES);
            Boxes::new(Panels::new(&corners, width, groups)?)?;
        } else if !corners.is_empty() {
            return Err(KernelError::Shape { what: "corners", want: 0, got: corners.len() });
        }
        Ok(Self { data, corners, dim, len, groups, ahead: Ahead::default() })
    }

    /// The same where the first values of a point are a projection.
    ///
    /// # Errors
    /// [`KernelError::Shape`] and [`KernelError::Value`] as for [`Coordinates::projected`].
    pub fn with_ahead(self, ahead: Ahead) -> Result<Self, KernelError> {
        Coordinates::<T, dist::SquaredEuclidean>::projected(self.panels(), ahead.axes, ahead.excess)?;
        Ok(Self { ahead, ..self })
    }

    /// What stands ahead of the coordinates.
    pub fn ahead(&self) -> Ahead {
        self.ahead
    }

    /// The kernel metric over the points, with their boxes.
    pub fn metric<M: PanelMetric<Real = T>>(&self) -> M::Kernel<'_> {
        M::kernel(self.panels(), self.ahead, self.boxes())
    }

    /// Packs these rows of `data`, without boxes.
    pub(super) fn pack(data: &[T], dim: usize, ahead: Ahead, order: &[Idx]) -> Self {
        let rows = Rows::new(data, dim).expect("whole rows");
        let mut packed = Storage::zeroed(panels_len::<T>(order.len(), dim));
        parallel::chunks(&mut packed, PACK_PANELS * T::LANES * dim, &|chunk, out| {
            let first = chunk * PACK_PANELS * T::LANES;
            let order = &order[first..order.len().min(first + PACK_PANELS * T::LANES)];
            pack_rows(rows, order, out).expect("these are rows, and the chunk has their size");
        });
        Self { data: packed, corners: Storage::default(), dim, len: order.len(), groups: 0, ahead }
    }

    /// The panels.
    pub fn panels(&self) -> Panels<'_, T> {
        Panels::new(&self.data, self.dim, self.len).expect("the shape was made by pack")
    }

    /// The packed corners of the boxes; empty where there are no boxes.
    pub fn corners(&self) -> &[T] {
        &self.corners
    }

    /// The boxes, if there are any.
    pub fn boxes(&self) -> Option<Boxes<'_, T>> {
        (!self.corners.is_empty()).then(|| {
            let lanes = self.groups.next_multiple_of(T::LANES);
            let width = self.corners.len() / lanes;
            let corners = Panels::new(&self.corners, width, self.groups).expect("the shape was made by pack");
            Boxes::new(corners).expect("each box has two corners")
        })
    }

    /// Encloses the first `dim` values of each group of the tree.
    pub(super) fn enclose(&mut self, dim: usize, groups: &[Group], tier: Tier) {
        let lanes = T::LANES;
        let stride = 2 * dim * lanes;
        let mut corners = Storage::zeroed(groups.len().div_ceil(lanes) * stride);
        parallel::chunks(&mut corners, stride, &|number, panel| {
            let mut corner = vec![T::default(); 2 * dim];
            for (lane, group) in groups[number * lanes..].iter().take(lanes).enumerate() {
                let (low, high) = corner.split_at_mut(dim);
                if group.first < group.end {
                    box_of_run(tier, self.panels(), at(group.first), at(group.end), low, high)
                        .expect("groups are runs of positions");
                } else {
                    corner.fill(T::INFINITY); // infinitely far from everything
                }
                for (row, &value) in panel.chunks_exact_mut(lanes).zip(&corner) {
                    row[lane] = value;
                }
            }
        });
        self.corners = corners;
        self.groups = groups.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_belong_to_groups() {
        let new = |corners: usize, groups: usize| {
            PackedPoints::new(vec![0.0f32; 16].into(), vec![1.0; corners].into(), 1, 1, groups)
        };
        assert!(new(0, 0).is_ok_and(|points| points.boxes().is_none()));
        assert_eq!(new(32, 0).err(), Some(KernelError::Shape { what: "corners", want: 0, got: 32 }));
        assert!(new(32, 1).is_ok_and(|points| points.boxes().is_some()));
        assert!(matches!(new(32, usize::MAX), Err(KernelError::TooLong { .. })));
    }
}
