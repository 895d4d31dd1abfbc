//! What a meeting of two leaves reads in either precision.

use covertree_kernels::covariance::Exponential;
use covertree_kernels::error::KernelError;
use covertree_kernels::residual::{ResidualPoints, ResidualRows, ResidualRun, pack_listed, widen_tile};
use covertree_kernels::simd::{LANES_F32, LANES_F64};

use super::clusters::Packed;
use super::layout::{LEAF, PLACES};
use super::search::Side;
use super::set::PointSet;

/// A precision of tiles.
pub(super) trait Precision: Exponential {
    /// The points of a leaf that this precision serves, with their packed rows of `V`.
    fn leaf_points<'a>(set: &'a PointSet, leaf: usize, v: &'a [Self]) -> Result<ResidualPoints<'a, Self>, KernelError>;

    /// The points of a leaf that this precision serves by their rows.
    fn leaf_rows(set: &PointSet, leaf: usize) -> Result<ResidualRows<'_, Self>, KernelError>;

    /// Rows of `V` of a leaf that this precision serves.
    fn rows(set: &PointSet, leaf: usize) -> &[Self];

    /// Packed rows of `V` that are kept in this precision, and the leaf they begin with.
    fn tiles<'a>(side: &Side<'a>) -> (&'a [Self], usize);

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

    /// A leaf that this precision serves; its rows of `V` are packed into some room where they are not kept so.
    fn run<'a>(side: &Side<'a>, leaf: usize, room: &'a mut [Self]) -> Result<ResidualRun<'a, Self>, KernelError> {
        let (len, columns) = (side.set.layout.leaf(leaf).len(), side.set.model.columns());
        let (panels, (tiles, first)) = (len.div_ceil(Self::LANES), Self::tiles(side));
        let from = (leaf - first) * LEAF * columns;
        let v = match tiles.get(from..from + panels * Self::LANES * columns) {
            Some(kept) => kept,
            None => {
                let room = &mut room[..panels * Self::LANES * columns];
                pack_listed(side.set.tier(), Self::rows(side.set, leaf), columns, &PLACES[..len], room)?;
                room
            }
        };
        Self::leaf_points(side.set, leaf, v)?.run(0, panels)
    }
}

impl Precision for f64 {
    const ERRORS: usize = 0;

    fn has_landmarks(_: &PointSet) -> bool {
        true
    }

    fn gather_landmarks(set: &PointSet, group: usize) -> Result<Option<Packed<Self>>, KernelError> {
        set.landmarks.gather_wide(&set.whole()?, group)
    }

    fn landmarks<'a>(
        side: &Side<'a>,
        group: usize,
        gathered: Option<&'a Packed<Self>>,
    ) -> Result<ResidualRun<'a, Self>, KernelError> {
        side.set.landmarks.wide_run(side.set.model, group, gathered)
    }

    fn leaf_points<'a>(set: &'a PointSet, leaf: usize, v: &'a [Self]) -> Result<ResidualPoints<'a, Self>, KernelError> {
        set.leaf_points(leaf, v)
    }

    fn leaf_rows(set: &PointSet, leaf: usize) -> Result<ResidualRows<'_, Self>, KernelError> {
        set.leaf_rows(leaf)
    }

    fn rows(set: &PointSet, leaf: usize) -> &[Self] {
        set.rows(leaf)
    }

    fn tiles<'a>(side: &Side<'a>) -> (&'a [Self], usize) {
        (side.tiles, 0)
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
        side.set.landmarks.narrow_run(side.set.model, group)
    }

    fn leaf_points<'a>(set: &'a PointSet, leaf: usize, v: &'a [Self]) -> Result<ResidualPoints<'a, Self>, KernelError> {
        set.narrow_leaf_points(leaf, v)
    }

    fn leaf_rows(set: &PointSet, leaf: usize) -> Result<ResidualRows<'_, Self>, KernelError> {
        set.narrow_leaf_rows(leaf)
    }

    fn rows(set: &PointSet, leaf: usize) -> &[Self] {
        set.narrow_rows(leaf)
    }

    fn tiles<'a>(side: &Side<'a>) -> (&'a [Self], usize) {
        (side.set.narrow_tiles(), side.set.hard_leaves)
    }

    fn margins(set: &PointSet) -> &[f64] {
        set.narrow_margins()
    }

    fn to_wide(rho: &[Self], len: usize, wide: &mut [f64]) -> Result<(), KernelError> {
        let rows = wide.len() / len.next_multiple_of(LANES_F64);
        widen_tile(&rho[..rows * len.next_multiple_of(LANES_F32)], len, wide)
    }
}
