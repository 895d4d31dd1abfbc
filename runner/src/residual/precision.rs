//! What a meeting of two leaves reads in either precision.

use covertree_kernels::covariance::Exponential;
use covertree_kernels::error::KernelError;
use covertree_kernels::residual::{ResidualPoints, ResidualRun, widen_tile};
use covertree_kernels::simd::{LANES_F32, LANES_F64};

use super::clusters::Packed;
use super::layout::LEAF;
use super::search::Side;
use super::set::PointSet;

/// A precision of tiles.
pub(super) trait Precision: Exponential {
    /// Panels of a leaf.
    const PANELS: usize = LEAF / Self::LANES;

    /// The points in this precision.
    fn points<'a>(side: &Side<'a>) -> ResidualPoints<'a, Self>;

    /// Leaves that come before the first point of [`points`](Self::points).
    fn skipped(set: &PointSet) -> usize;

    /// Rows of `V` of a leaf, if they are kept in this precision.
    fn rows(set: &PointSet, leaf: usize) -> Option<&[Self]>;

    /// Panels of 8, for all positions: the margins of the tiles.
    fn margins(set: &PointSet) -> &[f64];

    /// Which of the error factors for landmarks are those of this precision.
    const ERRORS: usize;

    /// A tile of `len` columns in panels of `f64`.
    fn to_wide(rho: &[Self], len: usize, wide: &mut [f64]) -> Result<(), KernelError>;

    /// Whether there are landmarks in this precision.
    fn has_landmarks(set: &PointSet) -> bool;

    /// The landmarks of a group, where they are not kept in this precision.
    fn gather_landmarks(set: &PointSet, group: usize) -> Result<Option<Packed<Self>>, KernelError>;

    /// The landmarks of a group, those that were gathered if any.
    fn landmarks<'a>(
        side: &Side<'a>,
        group: usize,
        gathered: Option<&'a Packed<Self>>,
    ) -> Result<ResidualRun<'a, Self>, KernelError>;

    /// A leaf, which must be among [`points`](Self::points).
    fn run<'a>(side: &Side<'a>, leaf: usize) -> Result<ResidualRun<'a, Self>, KernelError> {
        let panels = side.set.layout.leaf(leaf).len().div_ceil(Self::LANES);
        Self::points(side).run((leaf - Self::skipped(side.set)) * Self::PANELS, panels)
    }
}

impl Precision for f64 {
    const ERRORS: usize = 0;

    fn has_landmarks(_: &PointSet) -> bool {
        true
    }

    fn gather_landmarks(set: &PointSet, group: usize) -> Result<Option<Packed<Self>>, KernelError> {
        Ok(set.landmarks.gather_wide(&set.whole()?, group))
    }

    fn landmarks<'a>(
        side: &Side<'a>,
        group: usize,
        gathered: Option<&'a Packed<Self>>,
    ) -> Result<ResidualRun<'a, Self>, KernelError> {
        side.set.landmarks.wide_run(&side.view, group, gathered)
    }

    fn points<'a>(side: &Side<'a>) -> ResidualPoints<'a, Self> {
        side.view
    }

    fn skipped(_: &PointSet) -> usize {
        0
    }

    fn rows(set: &PointSet, leaf: usize) -> Option<&[Self]> {
        set.rows(leaf)
    }

    fn margins(set: &PointSet) -> &[f64] {
        &set.margins
    }

    fn to_wide(rho: &[Self], len: usize, wide: &mut [f64]) -> Result<(), KernelError> {
        debug_assert_eq!(wide.len() % len.next_multiple_of(LANES_F64), 0);
        wide.copy_from_slice(&rho[..wide.len()]);
        Ok(())
    }
}

impl Precision for f32 {
    const ERRORS: usize = 1;

    fn has_landmarks(set: &PointSet) -> bool {
        set.landmarks.has_narrow()
    }

    fn gather_landmarks(_: &PointSet, _: usize) -> Result<Option<Packed<Self>>, KernelError> {
        Ok(None)
    }

    fn landmarks<'a>(
        side: &Side<'a>,
        group: usize,
        _: Option<&'a Packed<Self>>,
    ) -> Result<ResidualRun<'a, Self>, KernelError> {
        side.set.landmarks.narrow_run(&side.view, group)
    }

    fn points<'a>(side: &Side<'a>) -> ResidualPoints<'a, Self> {
        side.narrow
    }

    fn skipped(set: &PointSet) -> usize {
        set.hard_leaves
    }

    fn rows(set: &PointSet, leaf: usize) -> Option<&[Self]> {
        set.narrow_rows(leaf)
    }

    fn margins(set: &PointSet) -> &[f64] {
        set.narrow_margins()
    }

    fn to_wide(rho: &[Self], len: usize, wide: &mut [f64]) -> Result<(), KernelError> {
        let rows = wide.len() / len.next_multiple_of(LANES_F64);
        widen_tile(&rho[..rows * len.next_multiple_of(LANES_F32)], len, wide)
    }
}
