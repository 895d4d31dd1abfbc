//! Brute force: every query against every point by the published formula, in plain scalar code that shares nothing with
//! the kernels but `libm`. What the trees are held against.

use std::f64::consts::{FRAC_PI_2, PI};
use std::iter::Chain;
use std::ops::Range;

use covertree_kernels::index::{Idx, NONE, at, idx_len};

use crate::answers::Answers;
use crate::error::Error;
use crate::metric::MetricName;
use crate::parallel;
use crate::points::Points;
use crate::within::Neighborhoods;

/// The nearest `k` points to each query, by (distance, row number), padded with -1 and plus infinity. The point whose row
/// number is `except(query)` is left out.
///
/// # Errors
/// [`Error::Usage`] when `k` is zero, the numbers of columns differ, or the metric takes another one;
/// [`Error::ZeroVector`], [`Error::Latitude`], [`Error::TooLarge`] as the trees do, calling the sets `points` and `queries`.
///
/// # Cost
/// One distance per pair, and a selection per query; split over the threads of the current rayon pool.
pub fn knn(
    points: &Points,
    queries: &Points,
    metric: MetricName,
    k: usize,
    except: impl Fn(usize) -> Idx + Sync,
) -> Result<Answers, Error> {
    knn_among(points, queries, metric, k, all_but(points.len(), except))
}

/// The same, where the neighbours of a query are chosen among its `candidates`: numbers of points, each of them once.
///
/// # Errors
/// As [`knn`].
///
/// # Cost
/// As [`knn`], with one distance per candidate.
pub fn knn_among<C: Iterator<Item = Idx>>(
    points: &Points,
    queries: &Points,
    metric: MetricName,
    k: usize,
    candidates: impl Fn(usize) -> C + Sync,
) -> Result<Answers, Error> {
    if points.dim() != queries.dim() {
        let (got, want) = (queries.dim(), points.dim());
        return Err(Error::Usage(format!(
            "queries: has a column count of {got} where the points have {want}; choose columns so that both agree"
        )));
    }
    let asked = queries.len();
    match metric {
        MetricName::Euclidean => coordinates(points, queries, k, candidates, euclidean),
        MetricName::Manhattan => coordinates(points, queries, k, candidates, manhattan),
        MetricName::Chebyshev => coordinates(points, queries, k, candidates, chebyshev),
        MetricName::Angular => {
            let (points, queries) = (directions("points", points)?, directions("queries", queries)?);
            select(asked, k, candidates, |query, point| angle(&queries[query], &points[point]))
        }
        MetricName::Haversine => {
            let (points, queries) = (places("points", points)?, places("queries", queries)?);
            select(asked, k, candidates, |query, point| arc(&queries[query], &points[point]))
        }
    }
}

/// All points at most `radius` away from each query, as [`AnyIndex::within`](crate::AnyIndex::within) gives them.
///
/// # Errors
/// As [`knn`], for any `k`.
///
/// # Cost
/// As [`knn`], with a sort of all points per query.
pub fn within(points: &Points, queries: &Points, metric: MetricName, radius: f64) -> Result<Neighborhoods, Error> {
    let k = points.len().max(1);
    let answers = knn(points, queries, metric, k, |_| NONE)?;
    let mut near = Neighborhoods { starts: vec![0], ids: Vec::new(), distances: Vec::new() };
    for (ids, distances) in answers.ids.chunks(k).zip(answers.distances.chunks(k)) {
        let both = ids.iter().zip(distances).filter(|(id, distance)| **id != NONE && **distance <= radius);
        for (&id, &distance) in both {
            near.ids.push(id);
            near.distances.push(distance);
        }
        near.starts.push(near.ids.len() as i64); // as many as fit into memory
    }
    Ok(near)
}

/// The same for any distance: `distance(query, point)` is that between a query and a point given by their numbers.
///
/// # Errors
/// [`Error::Usage`] when `k` is zero, [`Error::Memory`] when there is no room for the answers, [`Error::Kernel`] for more points than
/// there are numbers for.
///
/// # Cost
/// As [`knn`].
pub fn knn_by(
    points: usize,
    queries: usize,
    k: usize,
    except: impl Fn(usize) -> Idx + Sync,
    distance: impl Fn(usize, usize) -> f64 + Sync,
) -> Result<Answers, Error> {
    idx_len(points)?;
    select(queries, k, all_but(points, except), distance)
}

/// The numbers before one of them, and those behind it.
type AllBut = Chain<Range<Idx>, Range<Idx>>;

/// The candidates of each query: all points but one, if it is one of them.
fn all_but(points: usize, except: impl Fn(usize) -> Idx + Sync) -> impl Fn(usize) -> AllBut + Sync {
    let len = points as Idx; // row numbers, as the caller counts them
    move |query| {
        let except = except(query).clamp(NONE, len);
        (0..except).chain(except + 1..len)
    }
}

/// The nearest of each query's candidates.
fn select<C: Iterator<Item = Idx>>(
    queries: usize,
    k: usize,
    candidates: impl Fn(usize) -> C + Sync,
    distance: impl Fn(usize, usize) -> f64 + Sync,
) -> Result<Answers, Error> {
    let mut answers = Answers::padded(queries, k)?;
    let Answers { ids, distances, .. } = &mut answers;
    parallel::chunk_pairs((ids, k), (distances, k), &|query, ids, distances| {
        let mut all: Vec<(f64, Idx)> = candidates(query).map(|point| (distance(query, at(point)), point)).collect();
        let by = |a: &(f64, Idx), b: &(f64, Idx)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if all.len() > k {
            all.select_nth_unstable_by(k, by);
            all.truncate(k);
        }
        all.sort_unstable_by(by);
        for ((distance, id), (to_id, to_distance)) in all.into_iter().zip(ids.iter_mut().zip(distances)) {
            (*to_id, *to_distance) = (id, distance);
        }
    });
    Ok(answers)
}

/// Metrics of plain coordinates: scaled, compared, scaled back.
fn coordinates<C: Iterator<Item = Idx>>(
    points: &Points,
    queries: &Points,
    k: usize,
    candidates: impl Fn(usize) -> C + Sync,
    distance: impl Fn(&[f64], &[f64]) -> f64 + Sync,
) -> Result<Answers, Error> {
    let dim = points.dim();
    let (points, values) = (points.to_f64(), queries.to_f64());
    let largest = points.iter().fold(0.0, |largest, value| f64::max(largest, value.abs()));
    let limit = libm::exp2(502.0);
    let (_, above) = libm::frexp(largest); // 2^(above - 1) <= largest < 2^above
    let exponent = if largest > libm::exp2(500.0) {
        above - 401
    } else if largest > 0.0 && largest < libm::exp2(-400.0) {
        above - 1
    } else {
        0
    };
    let scaled = |values: &[f64]| -> Vec<f64> { values.iter().map(|value| libm::ldexp(*value, -exponent)).collect() };
    let (points, asked) = (scaled(&points), scaled(&values));
    if let Some(place) = asked.iter().position(|value| value.abs() > limit) {
        let ((row, column), value) = (queries.place(place), values[place]);
        let limit = f64::min(libm::ldexp(limit, exponent), f64::MAX);
        return Err(Error::TooLarge { file: "queries".into(), row, column, value, limit });
    }
    let mut answers = select(queries.len(), k, candidates, |query, point| {
        distance(&asked[query * dim..][..dim], &points[point * dim..][..dim])
    })?;
    for distance in &mut answers.distances {
        *distance = libm::ldexp(*distance, exponent);
    }
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

/// Unit vectors, one per row.
fn directions(label: &str, points: &Points) -> Result<Vec<Vec<f64>>, Error> {
    let values = points.to_f64();
    let mut all = Vec::with_capacity(points.len());
    for (row, values) in values.chunks_exact(points.dim()).enumerate() {
        let largest = values.iter().fold(0.0, |largest, value| f64::max(largest, value.abs()));
        if largest == 0.0 {
            return Err(Error::ZeroVector { file: label.into(), row });
        }
        let (_, above) = libm::frexp(largest);
        let scaled: Vec<f64> = values.iter().map(|value| libm::ldexp(*value, 1 - above)).collect();
        let norm = libm::sqrt(scaled.iter().fold(0.0, |sum, value| sum + value * value));
        all.push(scaled.into_iter().map(|value| value / norm).collect());
    }
    Ok(all)
}

fn angle(u: &[f64], v: &[f64]) -> f64 {
    let minus = u.iter().zip(v).fold(0.0, |sum, (u, v)| sum + (u - v) * (u - v));
    let plus = u.iter().zip(v).fold(0.0, |sum, (u, v)| sum + (u + v) * (u + v));
    2.0 * libm::atan2(libm::sqrt(minus), libm::sqrt(plus))
}

/// Longitude and latitude in radians, and the cosine of the latitude.
struct Place {
    lambda: f64,
    phi: f64,
    cosine: f64,
}

/// Places, one per row of longitude and latitude in degrees.
fn places(label: &str, points: &Points) -> Result<Vec<Place>, Error> {
    if points.dim() != 2 {
        let dim = points.dim();
        return Err(Error::Usage(format!(
            "{label}: has a column count of {dim}, and haversine takes 2, longitude and latitude; choose two columns"
        )));
    }
    let radians = PI / 180.0;
    let values = points.to_f64();
    let mut all = Vec::with_capacity(points.len());
    for (row, place) in values.chunks_exact(2).enumerate() {
        let (lon, lat) = (place[0], place[1]);
        if lat.abs() > 90.0 {
            return Err(Error::Latitude { file: label.into(), row, column: points.column(1), value: lat });
        }
        // Both steps are exact: a remainder always is, and so is a difference of numbers within a factor of two.
        let mut turned = libm::fmod(lon, 360.0);
        if turned > 180.0 {
            turned -= 360.0;
        } else if turned <= -180.0 {
            turned += 360.0;
        }
        let lambda = turned * radians;
        all.push(match lat.abs() == 90.0 {
            true => Place { lambda, phi: FRAC_PI_2.copysign(lat), cosine: 0.0 },
            false => Place { lambda, phi: lat * radians, cosine: libm::cos(lat * radians) },
        });
    }
    Ok(all)
}

fn arc(a: &Place, b: &Place) -> f64 {
    let along = libm::sin((a.phi - b.phi).abs() * 0.5);
    let across = libm::sin((a.lambda - b.lambda).abs() * 0.5);
    let square = along * along + (a.cosine * b.cosine) * (across * across);
    2.0 * libm::asin(libm::sqrt(square.min(1.0)))
}
