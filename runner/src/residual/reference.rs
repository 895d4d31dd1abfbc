//! Brute force by the published formula, one pair at a time: what every answer is held against.

use covertree_kernels::index::{Idx, at};
use covertree_kernels::residual::{PointRow, residual_distance, rho_of_rows};
use rayon::prelude::*;

use super::ResidualIndex;
use super::order;
use super::set::PointSet;
use crate::answers::Answers;
use crate::brute::knn_by;
use crate::error::Error;

/// The `min(k, i)` nearest earlier points, for [`ResidualIndex::vecchia`].
///
/// # Errors
/// As [`ResidualIndex::vecchia`].
///
/// # Cost
/// One formula per pair.
pub fn vecchia(index: &ResidualIndex, order: &[Idx], k: usize) -> Result<Answers, Error> {
    let ranks = order::ranks(order, index.len())?;
    let rows = Unpacked::new(&index.set);
    let distance = |query: usize, point: usize| match ranks[point] < ranks[query] {
        true => rows.distance(index, query, &rows, point),
        false => f64::INFINITY,
    };
    let mut answers = knn_by(index.len(), index.len(), k, |_| -1, distance)?;
    pad(&mut answers);
    Ok(answers)
}

/// [`vecchia`] for some rows only: one row of the answer for each.
///
/// # Errors
/// As [`vecchia`].
///
/// # Cost
/// One formula per earlier point of each row.
pub fn vecchia_rows(index: &ResidualIndex, order: &[Idx], rows: &[Idx], k: usize) -> Result<Answers, Error> {
    let ranks = order::ranks(order, index.len())?;
    let all = Unpacked::new(&index.set);
    let mut answers = knn_by(
        index.len(),
        rows.len(),
        k,
        |_| -1,
        |asked, point| {
            let query = at(rows[asked]);
            match ranks[point] < ranks[query] {
                true => all.distance(index, query, &all, point),
                false => f64::INFINITY,
            }
        },
    )?;
    pad(&mut answers);
    Ok(answers)
}

/// At most `count` different rows of `len`, drawn at random.
pub fn sample(len: usize, count: usize, seed: u64) -> Vec<Idx> {
    let mut rows = super::parameters::shuffled(len, seed.wrapping_add(2));
    rows.truncate(count);
    rows
}

/// The share of the neighbours in `wanted`, one row of it for each of `rows`, that `answers` has at the same place with the
/// same distance: 1 where an exact search answered. What a gate loses is measured by [`super::gate::recall`], whatever the
/// places.
///
/// # Panics
/// When `answers` has no row of that number, or `wanted` another `k` or fewer rows than are listed.
pub fn agreement(answers: &Answers, rows: &[Idx], wanted: &Answers) -> f64 {
    let k = answers.k;
    assert_eq!(k, wanted.k, "the two are answers to other questions");
    let (mut right, mut all) = (0usize, 0usize);
    for (place, &row) in rows.iter().enumerate() {
        for rank in 0..k {
            let (got, want) = (at(row) * k + rank, place * k + rank);
            let same = answers.ids[got] == wanted.ids[want] && answers.distances[got] == wanted.distances[want];
            right += usize::from(same);
            all += 1;
        }
    }
    if all == 0 { 1.0 } else { right as f64 / all as f64 }
}

/// The nearest others, for [`ResidualIndex::graph`].
///
/// # Errors
/// As [`ResidualIndex::graph`].
///
/// # Cost
/// One formula per pair.
pub fn graph(index: &ResidualIndex, k: usize, include_self: bool) -> Result<Answers, Error> {
    let rows = Unpacked::new(&index.set);
    let except = |query: usize| if include_self { -1 } else { query as Idx }; // a row
    knn_by(index.len(), index.len(), k, except, |query, point| match query == point {
        true => 0.0,
        false => rows.distance(index, query, &rows, point),
    })
}

/// [`graph`] for some rows only: one row of the answer for each.
///
/// # Errors
/// As [`graph`].
///
/// # Cost
/// One formula per point and row.
pub fn graph_rows(index: &ResidualIndex, rows: &[Idx], k: usize, include_self: bool) -> Result<Answers, Error> {
    let all = Unpacked::new(&index.set);
    let except = |asked: usize| if include_self { -1 } else { rows[asked] };
    knn_by(index.len(), rows.len(), k, except, |asked, point| match at(rows[asked]) {
        query if query == point => 0.0,
        query => all.distance(index, query, &all, point),
    })
}

/// The nearest points of new points, for [`ResidualIndex::knn`].
///
/// # Errors
/// As [`ResidualIndex::knn`].
///
/// # Cost
/// One formula per pair.
pub fn knn(index: &ResidualIndex, queries: &crate::points::Points, k: usize) -> Result<Answers, Error> {
    let (set, rows) = (index.query_set("queries", queries)?, Unpacked::new(&index.set));
    let asked = Unpacked::new(&set);
    knn_by(index.len(), queries.len(), k, |_| -1, |query, point| asked.distance(index, query, &rows, point))
}

/// What has no distance is no neighbour.
fn pad(answers: &mut Answers) {
    for (id, distance) in answers.ids.iter_mut().zip(&answers.distances) {
        if *distance == f64::INFINITY {
            *id = -1;
        }
    }
}

/// Points in the order of their rows.
pub(crate) struct Unpacked {
    dim: usize,
    columns: usize,
    coordinates: Vec<f64>,
    v: Vec<f64>,
    p: Vec<f64>,
}

impl Unpacked {
    pub fn new(set: &PointSet) -> Self {
        let (len, dim, columns) = (set.layout.len(), set.model.dim(), set.model.columns());
        let mut rows =
            Self { dim, columns, coordinates: vec![0.0; len * dim], v: vec![0.0; len * columns], p: vec![0.0; len] };
        let positions = &set.layout.positions;
        if columns > 0 {
            let each = rows.v.par_chunks_exact_mut(columns).zip(positions);
            each.for_each(|(v, &position)| v.copy_from_slice(set.row(at(position))));
        }
        let each = rows.coordinates.par_chunks_exact_mut(dim).zip(&mut rows.p).zip(positions);
        each.for_each(|((z, p), &position)| {
            set.point(at(position), z);
            *p = set.p[at(position)];
        });
        rows
    }

    /// `V`, row-major, and `p`.
    pub fn into_v_and_p(self) -> (Vec<f64>, Vec<f64>) {
        (self.v, self.p)
    }

    fn row(&self, row: usize) -> PointRow<'_> {
        PointRow {
            coordinates: &self.coordinates[row * self.dim..(row + 1) * self.dim],
            v: &self.v[row * self.columns..(row + 1) * self.columns],
            p: self.p[row],
        }
    }

    fn distance(&self, index: &ResidualIndex, own: usize, others: &Self, other: usize) -> f64 {
        residual_distance(rho_of_rows(index.covariance, self.row(own), others.row(other)))
    }
}
