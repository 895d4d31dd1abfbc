//! The index of one metric and one precision: a tree, its packed points, and nothing else.

use std::borrow::Cow;

use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::SearchCounters;
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use rayon::prelude::*;

use super::queries::{Asked, Queries};
use crate::answers::Answers;
use crate::build::{BuildConfig, Change, Telemetry, build, update};
use crate::error::Error;
use crate::parallel;
use crate::space::{Ahead, PackedPoints, PanelMetric, Projected, QueryIsRow, RowSpace, boxed};
use crate::summary::fits_memory;
use crate::tree::Tree;
use crate::tree::validate::{Findings, PackedQueries, Report, ValidateConfig, Violation, validate};
use crate::within::{Neighborhoods, Searched};
use crate::workers::Workers;

/// Queries that one task answers.
const CHUNK: usize = 64;

/// A tree with its points packed in its order.
#[derive(Clone)]
pub(super) struct Body<M: PanelMetric> {
    pub tree: Tree,
    pub points: PackedPoints<M::Real>,
}

impl<M: PanelMetric> Body<M> {
    /// Builds the tree over rows of prepared coordinates, `dim` each with what is ahead of them.
    pub fn build(
        data: Vec<M::Real>,
        (dim, ahead): (usize, Ahead),
        config: &BuildConfig,
        tier: Tier,
        workers: &Workers,
    ) -> Result<(Self, Telemetry), Error> {
        let (tree, points, telemetry) =
            build(&mut RowSpace::<M>::prepared(data, dim).with_ahead(ahead), config, tier, workers)?;
        Ok((Self { tree, points }, telemetry))
    }

    /// The tree without some of its points, and with rows of prepared coordinates, whose ids begin with `next_id`; `ahead` is
    /// what stands ahead of them all then.
    pub fn changed(
        &self,
        (deleted, new, next_id): (&[bool], &[M::Real], Idx),
        ahead: Ahead,
        config: &BuildConfig,
        tier: Tier,
        workers: &Workers,
    ) -> Result<(Self, Telemetry), Error> {
        let mut rows = self.rows();
        rows.extend_from_slice(new);
        let change = Change { tree: &self.tree, deleted, next_id };
        let mut space = RowSpace::<M>::prepared(rows, self.dim()).with_ahead(ahead);
        let (tree, points, telemetry) = update(&mut space, &change, config, tier, workers)?;
        Ok((Self { tree, points }, telemetry))
    }

    /// Values of a prepared row.
    pub fn dim(&self) -> usize {
        self.points.panels().dim()
    }

    /// Whether the boxes, if there are any, have the dimension that the metric gives them.
    pub fn boxes_fit(&self) -> bool {
        let rows = panels_len::<M::Real>(self.tree.groups.len(), 1);
        let corners = self.points.corners().len();
        corners == 0 || corners == 2 * boxed::<M>(self.dim(), self.points.ahead()) * rows
    }

    /// Bytes of the tree and of its points.
    pub fn bytes(&self) -> usize {
        let Tree { ids, levels, parents, reaches, groups, .. } = &self.tree;
        size_of_val(&**ids)
            + size_of_val(&**levels)
            + size_of_val(&**parents)
            + size_of_val(&**reaches)
            + size_of_val(&**groups)
            + size_of_val(self.points.panels().data())
            + size_of_val(self.points.corners())
    }

    /// Holds every law of the tree against its points.
    pub fn validate(&self, config: &ValidateConfig, tier: Tier) -> Report {
        validate(&self.tree, &PackedQueries::<M>::new(&self.points), config, tier)
    }

    /// Holds every projection against the coordinates behind it.
    pub fn projections(&self, projected: &Projected, tier: Tier) -> Findings {
        let mut findings = Findings::default();
        for place in projected.wrong(&self.rows(), tier) {
            findings.add(Violation::Projection { id: self.tree.ids[place] });
        }
        findings
    }

    /// The nearest `k` points to each of `answers.len()` queries, written to `answers` in the order of asking.
    pub fn knn(&self, asked: Asked<'_, M::Real>, answers: &mut Answers, tier: Tier) -> Result<SearchCounters, Error> {
        let view = self.tree.view();
        let queries = Queries { body: self, asked, view, tier };
        queries.answer(answers)
    }

    /// All points within a radius of each query, given as rows of prepared coordinates; those that `keep` gives a distance
    /// to.
    pub fn within(
        &self,
        rows: &[M::Real],
        radius: f64,
        keep: &(dyn Fn(f64) -> Option<f64> + Sync),
        tier: Tier,
    ) -> Result<(Neighborhoods, SearchCounters), Error> {
        let (dim, workers) = (self.dim(), Workers::new());
        let query = |row: usize| <M::Kernel<'_> as QueryIsRow<'_, M::Real>>::from_row(&rows[row * dim..][..dim]);
        let searched = Searched { tier, tree: &self.tree, metric: &self.points.metric::<M>(), workers: &workers };
        searched.within(rows.len() / dim, radius, &query, keep)
    }

    /// The points in the order of the tree, row by row.
    pub fn rows(&self) -> Vec<M::Real> {
        let (dim, panels) = (self.dim(), self.points.panels());
        let mut rows = vec![M::Real::default(); dim * panels.len()];
        parallel::chunks(&mut rows, dim * CHUNK, &|chunk, rows| {
            for (row, out) in rows.chunks_mut(dim).enumerate() {
                for (d, out) in out.iter_mut().enumerate() {
                    *out = panels.coordinate(chunk * CHUNK + row, d);
                }
            }
        });
        rows
    }
}

impl<M: PanelMetric<Real = f32>> Body<M> {
    /// The same tree over the same points in double precision: nothing is rounded, so every law and distance stays.
    pub fn widened<W: PanelMetric<Real = f64>>(&self) -> Result<Body<W>, Error> {
        let (points, boxes) = (self.points.panels(), self.points.boxes().map(|boxes| boxes.corners()));
        let values = points.data().len() + boxes.map_or(0, |boxes| boxes.data().len());
        let bytes = (values * size_of::<f64>() + self.bytes()) as u64; // widens
        if !fits_memory(bytes) {
            let (file, remedy) =
                ("the points in f64".to_owned(), "give queries that f32 can hold, or build the tree in f64");
            return Err(Error::Memory { file, bytes, remedy });
        }
        let corners = boxes.map_or(Ok(Vec::new()), widened_panels)?;
        let groups = boxes.map_or(0, |boxes| boxes.len());
        let points =
            PackedPoints::new(widened_panels(points)?.into(), corners.into(), self.dim(), points.len(), groups)?;
        // Projections are as wrong as they were.
        let points = points.with_ahead(self.points.ahead())?;
        Ok(Body { tree: self.tree.clone(), points })
    }
}

/// The same rows in panels of double precision.
fn widened_panels(panels: Panels<'_, f32>) -> Result<Vec<f64>, Error> {
    let (len, dim) = (panels.len(), panels.dim());
    let mut wide = vec![0.0; panels_len::<f64>(len, dim)];
    let packed = parallel::chunks(&mut wide, dim * CHUNK, &|chunk, out| {
        let places = chunk * CHUNK..len.min((chunk + 1) * CHUNK);
        let value = |place: usize, d: usize| f64::from(panels.coordinate(place, d));
        let rows: Vec<f64> = places.clone().flat_map(|place| (0..dim).map(move |d| value(place, d))).collect();
        let slots: Vec<Idx> = (0..places.len() as Idx).collect(); // at most a chunk
        pack_rows(Rows::new(&rows, dim)?, &slots, out)
    });
    packed.into_iter().collect::<Result<(), _>>()?;
    Ok(wide)
}

/// The rank of each id among all of them: row numbers, mostly.
pub(super) fn ranks(ids: &[Idx]) -> Cow<'_, [Idx]> {
    if ids.iter().all(|&id| at(id) < ids.len()) {
        return Cow::Borrowed(ids);
    }
    // Ids have gaps: points were deleted.
    let mut places: Vec<Idx> = (0..).zip(ids).map(|(place, _)| place).collect();
    places.par_sort_unstable_by_key(|&place| ids[at(place)]);
    let mut ranks = vec![NONE; ids.len()];
    for (rank, &place) in (0..).zip(&places) {
        ranks[at(place)] = rank;
    }
    Cow::Owned(ranks)
}
