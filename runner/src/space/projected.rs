//! Points of many coordinates, with their projection onto a few axes ahead of them.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::error::KernelError;
use covertree_kernels::hash::priority;
use covertree_kernels::index::Idx;
use covertree_kernels::projection::{AXES, Projection, excess, principal_axes, principal_axes_blocks, project_rows};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::tree::stored::StoredProjection;
use covertree_kernels::view::Rows;

use super::{Ahead, PanelMetric, RowSpace};
use crate::parallel;
use crate::points::Values;

/// Coordinates from which on points are projected: boxes over fewer bound as well as any.
const LEAST_DIM: usize = 17;

/// Points by which axes are chosen.
const SAMPLE: usize = 1024;

/// Rows that one task projects.
const CHUNK: usize = 1024;

/// Where the sample is drawn: one number for all builds, so that the seed of a build changes nothing here.
const SEED: u64 = 0x6178_6573;

/// The axes of a data set: what has to be stored with its tree, so that queries are projected alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Projected {
    /// `[2 + dim + dim * AXES]`: the spread, the number of axes, the center, the axes.
    section: Vec<f64>,
    dim: usize,
    axes: usize,
}

/// Numbers of a section before the center.
const HEAD: usize = 2;

impl Projected {
    /// Axes for prepared points of `dim` coordinates; `None` where they have few coordinates, or there are no points, or their
    /// numbers are so large that axes cannot be computed.
    ///
    /// # Cost
    /// That of [`principal_axes`] for a thousand points.
    pub fn choose(points: &Values, dim: usize, tier: Tier) -> Option<Self> {
        match points {
            Values::F32(values) => Self::of(values, dim, tier),
            Values::F64(values) => Self::of(values, dim, tier),
        }
    }

    fn of<T: Real>(values: &[T], dim: usize, tier: Tier) -> Option<Self> {
        if dim < LEAST_DIM {
            return None;
        }
        let sample = sample(values, dim);
        let mut section = vec![0.0; HEAD + dim * (AXES + 1)];
        let (center, matrix) = section[HEAD..].split_at_mut(dim);
        let mut memory = vec![Block::default(); principal_axes_blocks(dim)];
        let rows = Rows::new(&sample, dim).ok()?;
        let axes = principal_axes(tier, rows, center, matrix, &mut Arena::new(&mut memory)).ok()?;
        Projection::new(center, matrix, axes).ok()?;
        section[1] = axes as f64;
        Some(Self { section, dim, axes })
    }

    /// The axes as [`section`](Self::section) gives them, for rows of `width` values.
    ///
    /// # Errors
    /// As [`StoredProjection::read`](covertree_kernels::tree::stored::StoredProjection::read).
    pub fn read(section: Vec<f64>, width: usize) -> Result<Self, KernelError> {
        let projection = StoredProjection::read(&section, width)?.projection;
        let (dim, axes) = (projection.dim(), projection.count());
        Ok(Self { section, dim, axes })
    }

    /// What is stored: the spread, the number of axes, the center, the axes.
    pub fn section(&self) -> &[f64] {
        &self.section
    }

    /// Coordinates of a point.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Values of a projected row.
    pub fn width(&self) -> usize {
        self.axes + self.dim
    }

    /// What stands ahead of the coordinates of points in precision `T`.
    pub fn ahead<T: Real>(&self) -> Ahead {
        Ahead { axes: self.axes, excess: excess::<T>(self.dim, self.section[0]) }
    }

    /// Points that the tree is going to have, projected; they count for the spread.
    pub fn points(&mut self, points: &Values, tier: Tier) -> Values {
        let (projected, spread) = self.project(points, tier);
        self.section[0] = self.section[0].max(spread);
        projected
    }

    /// Queries, projected.
    pub fn queries(&self, queries: &Values, tier: Tier) -> Values {
        self.project(queries, tier).0
    }

    fn project(&self, rows: &Values, tier: Tier) -> (Values, f64) {
        match rows {
            Values::F32(values) => {
                let (projected, spread) = self.rows(values, tier);
                (Values::F32(projected), spread)
            }
            Values::F64(values) => {
                let (projected, spread) = self.rows(values, tier);
                (Values::F64(projected), spread)
            }
        }
    }

    /// The places of those among projected rows that are not the projections of their coordinates, or lie outside of the
    /// spread.
    pub(crate) fn wrong<T: Real>(&self, rows: &[T], tier: Tier) -> Vec<usize> {
        let (projection, width) = (self.projection(), self.width());
        let wrong = parallel::pieces(rows.len() / width, CHUNK, &|range| {
            let mut room = vec![T::default(); width];
            let mut is_wrong = |place: usize| {
                let row = &rows[place * width..][..width];
                let coordinates = Rows::new(&row[self.axes..], self.dim).expect("the row has the width");
                let spread = project_rows(tier, &projection, coordinates, &mut room).expect("the shapes fit");
                room != row || spread > self.section[0]
            };
            range.filter(|&place| is_wrong(place)).collect::<Vec<_>>()
        });
        wrong.concat()
    }

    fn projection(&self) -> Projection<'_> {
        let (center, matrix) = self.section[HEAD..].split_at(self.dim);
        Projection::new(center, matrix, self.axes).expect("checked when it was made")
    }

    fn rows<T: Real>(&self, values: &[T], tier: Tier) -> (Vec<T>, f64) {
        let projection = self.projection();
        let (dim, width) = (self.dim, self.width());
        let mut out = vec![T::default(); values.len() / dim * width];
        let spreads = parallel::chunks(&mut out, CHUNK * width, &|chunk, out| {
            let rows = &values[chunk * CHUNK * dim..][..out.len() / width * dim];
            let rows = Rows::new(rows, dim).expect("whole rows");
            project_rows(tier, &projection, rows, out).expect("the shapes fit")
        });
        (out, spreads.into_iter().fold(0.0, f64::max))
    }
}

/// Makes queries of rows of coordinates, one at a time and without allocation, for points that may have projections ahead of
/// theirs.
#[derive(Debug)]
pub struct RowQueries<'a, T> {
    projection: Option<Projection<'a>>,
    dim: usize,
    tier: Tier,
    room: Vec<T>,
}

impl<T: Real> RowQueries<'_, T> {
    /// The query of a row of coordinates, which has as many as the points.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when it has more or fewer.
    pub fn query<'q>(&'q mut self, row: &'q [T]) -> Result<&'q [T], KernelError> {
        if row.len() != self.dim {
            return Err(KernelError::Shape { what: "row", want: self.dim, got: row.len() });
        }
        let Some(projection) = &self.projection else { return Ok(row) };
        project_rows(self.tier, projection, Rows::new(row, projection.dim())?, &mut self.room)?;
        Ok(&self.room)
    }
}

impl<M: PanelMetric> RowSpace<M> {
    /// The same rows with their projections ahead of them, where they have many coordinates and the metric allows it;
    /// otherwise nothing changes. Queries are made by [`queries`](Self::queries).
    ///
    /// # Cost
    /// That of [`Projected::choose`], and a copy of the rows.
    pub fn projected(self, tier: Tier) -> Self {
        let axes = if M::projects() { Projected::of(self.data(), self.dim(), tier) } else { None };
        let Some(mut axes) = axes else { return self };
        let (rows, spread) = axes.rows(self.data(), tier);
        axes.section[0] = spread;
        Self::prepared(rows, axes.width()).with_ahead(axes.ahead::<M::Real>()).with_axes(axes)
    }

    /// What makes queries to these points.
    pub fn queries(&self, tier: Tier) -> RowQueries<'_, M::Real> {
        let projection = self.axes_of_projection().map(Projected::projection);
        let room = vec![M::Real::default(); projection.map_or(0, |projection| projection.width())];
        let dim = projection.map_or(self.dim(), |projection| projection.dim());
        RowQueries { projection, dim, tier, room }
    }
}

/// Some of the rows, widened: the same whatever the threads.
fn sample<T: Real>(values: &[T], dim: usize) -> Vec<f64> {
    let len = values.len() / dim;
    let row = |number: usize| match len {
        0..=SAMPLE => number,
        _ => (priority(SEED, 0, number as Idx) % len as u64) as usize, // a place in memory
    };
    (0..len.min(SAMPLE)).flat_map(|number| &values[row(number) * dim..][..dim]).map(|value| value.to_f64()).collect()
}
