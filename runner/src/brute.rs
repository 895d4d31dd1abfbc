//! Brute force: every query against every point, by the published formula. What the trees are held against.

use covertree_kernels::index::{Idx, NONE};
use rayon::prelude::*;

use crate::answers::Answers;
use crate::error::Error;
use crate::metric::MetricName;
use crate::points::Points;

/// The nearest `k` points to each query, by (distance, row number), padded with -1 and plus infinity. The point whose row
/// number is `except(query)` is left out.
///
/// # Errors
/// [`Error::Usage`] when `k` is zero or the dimensions differ.
///
/// # Cost
/// One distance per pair, and a selection per query; split over the threads of the current pool.
pub fn knn(
    points: &Points,
    queries: &Points,
    metric: MetricName,
    k: usize,
    except: impl Fn(usize) -> Idx + Sync,
) -> Result<Answers, Error> {
    if k == 0 || points.dim() != queries.dim() {
        let (dim, other) = (points.dim(), queries.dim());
        return Err(Error::Usage(format!("k = {k}, points of {dim} and queries of {other} columns; correct them")));
    }
    let (dim, rows, asked) = (points.dim(), points.to_f64(), queries.to_f64());
    let distance = match metric {
        MetricName::Euclidean => euclidean,
        MetricName::Manhattan => manhattan,
        MetricName::Chebyshev => chebyshev,
    };
    let mut answers =
        Answers { ids: vec![NONE; queries.len() * k], distances: vec![f64::INFINITY; queries.len() * k], k };
    answers.ids.par_chunks_mut(k).zip(answers.distances.par_chunks_mut(k)).enumerate().for_each(
        |(query, (ids, distances))| {
            let (row, except) = (&asked[query * dim..][..dim], except(query));
            let all = rows.chunks_exact(dim).zip(0..).filter(|(_, id)| *id != except);
            let mut all: Vec<(f64, Idx)> = all.map(|(point, id)| (distance(row, point), id)).collect();
            let by = |a: &(f64, Idx), b: &(f64, Idx)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
            if all.len() > k {
                all.select_nth_unstable_by(k, by);
                all.truncate(k);
            }
            all.sort_unstable_by(by);
            for ((distance, id), (to_id, to_distance)) in all.into_iter().zip(ids.iter_mut().zip(distances)) {
                (*to_id, *to_distance) = (id, distance);
            }
        },
    );
    Ok(answers)
}

fn euclidean(a: &[f64], b: &[f64]) -> f64 {
    libm::sqrt(a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + (a - b) * (a - b)))
}

fn manhattan(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + (a - b).abs())
}

fn chebyshev(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |most, (a, b)| f64::max(most, (a - b).abs()))
}
