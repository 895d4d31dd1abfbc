//! The leaves of a set, as the kernels read them: by packed rows of `V` for tiles, or row by row.

use std::ops::Range;

use covertree_kernels::error::KernelError;
use covertree_kernels::residual::{ResidualPoints, ResidualRows};
use covertree_kernels::simd::{LANES_F32, LANES_F64};
use covertree_kernels::view::Panels;

use super::PointSet;
use crate::residual::layout::LEAF;

impl PointSet {
    /// Rows of `V` of a leaf.
    pub fn rows(&self, leaf: usize) -> &[f64] {
        let (range, columns) = (self.layout.leaf(leaf), self.model.columns());
        &self.v[range.start * columns..range.end * columns]
    }

    /// Rows of `V`, in the units of `f32`, of a leaf that is not hard.
    pub fn narrow_rows(&self, leaf: usize) -> &[f32] {
        let (range, columns, first) = (self.layout.leaf(leaf), self.model.columns(), self.hard_leaves * LEAF);
        &self.narrow.v[(range.start - first) * columns..(range.end - first) * columns]
    }

    /// The points of a leaf as the `f64` tiles read them, with their packed rows of `V`.
    pub fn leaf_points<'a>(&'a self, leaf: usize, v: &'a [f64]) -> Result<ResidualPoints<'a, f64>, KernelError> {
        let (coordinates, lanes) = self.leaf_panels(leaf)?;
        ResidualPoints::new(self.model, coordinates, v, &self.scales[lanes.clone()], &self.margins[lanes])
    }

    /// The points of a leaf that is not hard as the `f32` tiles read them, with their packed rows of `V`.
    pub fn narrow_leaf_points<'a>(&'a self, leaf: usize, v: &'a [f32]) -> Result<ResidualPoints<'a, f32>, KernelError> {
        let (coordinates, lanes) = self.narrow_leaf_panels(leaf)?;
        let soft = &self.narrow;
        ResidualPoints::new(self.model, coordinates, v, &soft.scales[lanes.clone()], &soft.margins[lanes])
    }

    /// The points of a leaf by their rows.
    pub fn leaf_rows(&self, leaf: usize) -> Result<ResidualRows<'_, f64>, KernelError> {
        let (coordinates, lanes) = self.leaf_panels(leaf)?;
        ResidualRows::new(self.model, coordinates, self.rows(leaf), &self.scales[lanes])
    }

    /// The points of a leaf that is not hard by their rows, in the units of `f32`.
    pub fn narrow_leaf_rows(&self, leaf: usize) -> Result<ResidualRows<'_, f32>, KernelError> {
        let (coordinates, lanes) = self.narrow_leaf_panels(leaf)?;
        ResidualRows::new(self.model, coordinates, self.narrow_rows(leaf), &self.narrow.scales[lanes])
    }

    /// All points by their rows.
    pub fn all_rows(&self) -> Result<ResidualRows<'_, f64>, KernelError> {
        let coordinates = Panels::new(&self.coordinates, self.model.dim(), self.layout.len())?;
        ResidualRows::new(self.model, coordinates, &self.v, &self.scales)
    }

    fn leaf_panels(&self, leaf: usize) -> Result<(Panels<'_, f64>, Range<usize>), KernelError> {
        let (range, dim) = (self.layout.leaf(leaf), self.model.dim());
        let lanes = range.start..range.end.next_multiple_of(LANES_F64);
        Ok((Panels::new(&self.coordinates[lanes.start * dim..lanes.end * dim], dim, range.len())?, lanes))
    }

    fn narrow_leaf_panels(&self, leaf: usize) -> Result<(Panels<'_, f32>, Range<usize>), KernelError> {
        let (range, dim, first) = (self.layout.leaf(leaf), self.model.dim(), self.hard_leaves * LEAF);
        let lanes = range.start - first..(range.end - first).next_multiple_of(LANES_F32);
        let coordinates = &self.narrow.coordinates[lanes.start * dim..lanes.end * dim];
        Ok((Panels::new(coordinates, dim, range.len())?, lanes))
    }
}
