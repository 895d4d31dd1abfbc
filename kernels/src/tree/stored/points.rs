//! The points of a stored tree, and the metrics over them.

use super::PROJECTION;
use crate::dist::{Form, SquaredEuclidean};
use crate::error::{KernelError, want};
use crate::projection::{AXES, Projection, excess};
use crate::simd::Real;
use crate::tree::sphere::{Angular, HAVERSINE_WIDTH, Haversine};
use crate::tree::{Boxes, Coordinates};
use crate::view::Panels;

/// The packed points of a stored tree and, where its groups have them, their boxes.
#[derive(Clone, Copy, Debug)]
pub struct StoredPoints<'a, T> {
    pub(super) points: Panels<'a, T>,
    pub(super) boxes: Option<Boxes<'a, T>>,
    pub(super) projected: Option<StoredProjection<'a>>,
}

/// The projection of the points of a stored tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredProjection<'a> {
    /// What makes a query of the coordinates of a point: see [`project_rows`](crate::projection::project_rows).
    pub projection: Projection<'a>,
    /// The largest distance of a point from the center, or more.
    pub spread: f64,
}

impl<'a> StoredProjection<'a> {
    /// The section as it stands in a file of rows of `width` values: the spread, the number of axes, the center, the axes
    /// (`[dim][AXES]`).
    ///
    /// # Errors
    /// [`KernelError::Shape`] naming `projection` when it has another length, [`KernelError::Value`] for a spread that is
    /// negative or not finite, or a number of axes that is none, and those of [`Projection::new`].
    pub fn read(section: &'a [f64], width: usize) -> Result<Self, KernelError> {
        let &[spread, axes, ref rest @ ..] = section else {
            return Err(KernelError::Shape { what: PROJECTION, want: 2, got: section.len() });
        };
        if !(spread >= 0.0 && spread.is_finite()) {
            return Err(KernelError::Value { what: PROJECTION, at: 0 });
        }
        let whole = (1..=AXES).find(|&count| count as f64 == axes).filter(|&count| count < width);
        let axes = whole.ok_or(KernelError::Value { what: PROJECTION, at: 1 })?;
        let dim = width - axes;
        want(PROJECTION, dim.saturating_mul(AXES + 1).saturating_add(2), section.len())?;
        let (center, axes_of) = rest.split_at(dim);
        Ok(Self { projection: Projection::new(center, axes_of, axes)?, spread })
    }

    /// The [`excess`](crate::projection::excess) of points in precision `T`.
    pub fn excess<T: Real>(&self) -> f64 {
        excess::<T>(self.projection.dim(), self.spread)
    }
}

impl<'a, T: Real> StoredPoints<'a, T> {
    /// The packed points.
    pub fn panels(&self) -> Panels<'a, T> {
        self.points
    }

    /// The boxes of the groups.
    pub fn boxes(&self) -> Option<Boxes<'a, T>> {
        self.boxes
    }

    /// Their projection, where they have one: a query needs it as well.
    pub fn projected(&self) -> Option<StoredProjection<'a>> {
        self.projected
    }

    /// The Euclidean metric over the points, projected or not.
    ///
    /// # Errors
    /// As [`coordinates`](Self::coordinates).
    pub fn euclidean(&self) -> Result<Coordinates<'a, T, SquaredEuclidean>, KernelError> {
        let Some(projected) = self.projected else { return self.coordinates() };
        let axes = projected.projection.count();
        let metric = Coordinates::projected(self.points, axes, projected.excess::<T>())?;
        Ok(match self.boxes_in(axes)? {
            Some(boxes) => metric.with_boxes(boxes),
            None => metric,
        })
    }

    /// The metric of a [`Form`] over the points, which are not projected.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when there are boxes of another dimension.
    pub fn coordinates<F: Form>(&self) -> Result<Coordinates<'a, T, F>, KernelError> {
        let metric = Coordinates::new(self.points);
        Ok(match self.boxes_in(self.points.dim())? {
            Some(boxes) => metric.with_boxes(boxes),
            None => metric,
        })
    }

    /// The boxes, which must have so many dimensions.
    fn boxes_in(&self, axes: usize) -> Result<Option<Boxes<'a, T>>, KernelError> {
        if let Some(boxes) = &self.boxes {
            want("corners", axes, boxes.axes())?;
        }
        Ok(self.boxes)
    }

    /// Refuses what no point or box may hold: a search must not meet a value that is not a number.
    pub(super) fn check(&self) -> Result<(), KernelError> {
        let points = self.points.data().iter();
        if let Some(at) = points.map(|value| value.to_f64()).position(|value| !value.is_finite()) {
            return Err(KernelError::Value { what: "points", at });
        }
        // The box of an empty group is infinitely far from everything.
        let mut corners = self.boxes.iter().flat_map(|boxes| boxes.corners().data());
        match corners.position(|value| value.to_f64().is_nan()) {
            Some(at) => Err(KernelError::Value { what: "corners", at }),
            None => Ok(()),
        }
    }
}

impl<'a> StoredPoints<'a, f64> {
    /// The angle between vectors, projected or not.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when there are boxes of another dimension.
    pub fn angular(&self) -> Result<Angular<'a>, KernelError> {
        let axes = self.projected.map_or(0, |projected| projected.projection.count());
        let excess = self.projected.map_or(0.0, |projected| projected.excess::<f64>());
        let metric = Angular::projected(self.points, axes, excess)?;
        Ok(match self.boxes_in(if axes > 0 { axes } else { self.points.dim() })? {
            Some(boxes) => metric.with_boxes(boxes),
            None => metric,
        })
    }

    /// The great-circle distance.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when the points are no places, or when there are boxes of another dimension than three.
    pub fn haversine(&self) -> Result<Haversine<'a>, KernelError> {
        want("points", HAVERSINE_WIDTH, self.points.dim())?;
        let metric = Haversine::new(self.points)?;
        Ok(match self.boxes_in(3)? {
            Some(boxes) => metric.with_boxes(boxes),
            None => metric,
        })
    }
}
