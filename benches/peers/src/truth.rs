//! The right answers to the first queries, and how many of them a library found.

use covertree::brute;
use covertree::error::Error;
use covertree::points::Points;
use covertree::{Answers, MetricName};

use super::method::Scalar;
use super::metric::{Cubic, Measure};
use super::workload::Kind;

/// Right answers to the first rows of a set of queries.
pub struct Truth {
    kind: Kind,
    answers: Answers,
    points: Points,
    queries: Points,
}

impl Truth {
    /// Finds the nearest `k` of the points to each query by brute force; `members` says that the queries are the first
    /// points, which are no neighbours of themselves then.
    pub fn find<T: Scalar>(
        points: &Points,
        queries: Points,
        kind: Kind,
        k: usize,
        members: bool,
    ) -> Result<Self, Error> {
        let except = |query: usize| if members { query as i32 } else { -1 };
        let answers = match kind {
            Kind::Named(metric) => brute::knn(points, &queries, metric, k, except)?,
            Kind::Closure => {
                let (rows, asked) = (row_at::<T>(points), row_at::<T>(&queries));
                let distance = |query: usize, point: usize| Cubic::distance(asked(query), rows(point));
                brute::knn_by(points.len(), queries.len(), k, except, distance)?
            }
        };
        Ok(Self { kind, answers, points: points.clone(), queries })
    }

    /// Number of queries.
    pub fn rows(&self) -> usize {
        self.queries.len()
    }

    /// The share of the true `k` neighbours among `ids`: `[rows][k]`. One counts if no true neighbour is nearer than it by
    /// more than the rounding of the precision, so that ties may be broken in any way.
    pub fn recall<T: Scalar>(&self, ids: &[i32], k: usize) -> f64 {
        let (points, queries) = (row_at::<T>(&self.points), row_at::<T>(&self.queries));
        let mut right = 0;
        for (query, ids) in ids.chunks_exact(k).take(self.rows()).enumerate() {
            let limit = self.answers.distances[query * self.answers.k + k - 1];
            let mut ids: Vec<i32> = ids.iter().copied().filter(|id| (0..self.points.rows()).contains(id)).collect();
            ids.sort_unstable();
            ids.dedup();
            let near = |id: &&i32| {
                let distance = distance(self.kind, queries(query), points(**id as usize));
                distance <= limit + T::TOLERANCE * limit.max(T::TOLERANCE)
            };
            right += ids.iter().filter(near).count();
        }
        right as f64 / ids.len() as f64
    }
}

/// The rows of a set of points.
fn row_at<'a, T: Scalar>(points: &'a Points) -> impl Fn(usize) -> &'a [T] + Sync + use<'a, T> {
    let (values, dim) = (T::of(points), points.dim());
    move |row| &values[row * dim..][..dim]
}

/// A distance in `f64`.
fn distance<T: Scalar>(kind: Kind, a: &[T], b: &[T]) -> f64 {
    let pairs = || a.iter().zip(b).map(|(a, b)| (a.wide(), b.wide()));
    match kind {
        Kind::Closure => Cubic::distance(a, b),
        Kind::Named(MetricName::Manhattan) => pairs().map(|(a, b)| (a - b).abs()).sum(),
        Kind::Named(MetricName::Angular) => {
            let norm = |of: fn((f64, f64)) -> f64| pairs().map(of).map(|value| value * value).sum::<f64>().sqrt();
            let (to_a, to_b) = (norm(|(a, _)| a), norm(|(_, b)| b));
            let length = |sign: f64| pairs().map(|(a, b)| (a / to_a + sign * b / to_b).powi(2)).sum::<f64>().sqrt();
            2.0 * length(-1.0).atan2(length(1.0))
        }
        Kind::Named(_) => pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt(),
    }
}
