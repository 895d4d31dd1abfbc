//! The plain twins: one pair at a time. Gates and settled correlations agree with the lanes in every bit; tiles and listed pairs
//! are computed in `f64` from what the lanes read, and agree within their margins. For tests, benchmarks and fuzz targets.
//!
//! Twins take what the kernels take, but for what has no part in the answer: a tier, scratch, counters. They check nothing and
//! panic on shapes that do not fit.

mod gate;
mod lists;

pub use gate::{gate_block, gate_run};
pub use lists::{listed_pairs, pack_listed, settle_positions, settle_run};

pub use super::shortlist::scalar::{offer_columns, offer_rows, wanted_pairs};

use core::cmp::Ordering;
use std::vec;
use std::vec::Vec;

use super::lanes::{GROUP, rows_of_tiles};
use super::{CutRows, QueryTiles, ResidualQuery, ResidualRun, Tails, gather_row, packed_len};
use crate::arena::Arena;
use crate::covariance::Exponential;
use crate::index::Idx;
use crate::simd::{Real, Tier};

/// The sum of the squared differences of pairs of numbers.
fn square_of<T: Real>(pairs: impl Iterator<Item = (T, T)>) -> f64 {
    pairs.map(|(one, other)| one.to_f64() - other.to_f64()).fold(0.0, |sum, difference| sum + difference * difference)
}

/// The sum of the products of pairs of numbers.
fn dot_of<T: Real>(pairs: impl Iterator<Item = (T, T)>) -> f64 {
    pairs.fold(0.0, |sum, (one, other)| sum + one.to_f64() * other.to_f64())
}

/// The elements of one lane of a panel.
fn lane_of<T: Real>(panel: &[T], lane: usize) -> impl Iterator<Item = T> {
    panel.chunks_exact(T::LANES).map(move |row| row[lane])
}

/// One point of a run in rows.
struct Row<T> {
    coordinates: Vec<T>,
    v: Vec<T>,
    scale: T,
    margin: T,
}

impl<T: Exponential> Row<T> {
    fn of(run: &ResidualRun<'_, T>, place: usize) -> Self {
        let (model, position) = (run.points.model, run.first * T::LANES + place);
        let (mut coordinates, mut v) = (vec![T::default(); model.dim()], vec![T::default(); model.columns()]);
        gather_row(&run.points, position, &mut coordinates, &mut v).expect("the run holds the point");
        let (scale, margin) = run.points.scale_and_margin(position);
        Self { coordinates, v, scale, margin }
    }

    fn query(&self) -> ResidualQuery<'_, T> {
        ResidualQuery { coordinates: &self.coordinates, v: &self.v, scale: self.scale, margin: self.margin }
    }
}

/// The covariance of a query and the point at a place of a run, and what their difference from the dot product is scaled by.
fn covariance_and_scale<T: Exponential>(
    query: &ResidualQuery<'_, T>,
    points: &ResidualRun<'_, T>,
    place: usize,
) -> (f64, f64) {
    let (panel, lane) = (place / T::LANES, place % T::LANES);
    let coordinates = query.coordinates.iter().copied().zip(lane_of(points.coordinates(panel), lane));
    let (scales, _) = points.scales_and_margins(panel);
    (points.points.model.covariance().exact(square_of(coordinates)), query.scale.to_f64() * scales[lane].to_f64())
}

/// The filter `r` of a query and the point at a place of a run.
fn filter<T: Exponential>(query: &ResidualQuery<'_, T>, points: &ResidualRun<'_, T>, place: usize) -> f64 {
    let (covariance, scale) = covariance_and_scale(query, points, place);
    let v = lane_of(points.v_panel(place / T::LANES), place % T::LANES);
    (covariance - dot_of(query.v.iter().copied().zip(v))) * scale
}

/// The product of the margins of a query and the point at a place of a run.
fn margin<T: Exponential>(query: &ResidualQuery<'_, T>, points: &ResidualRun<'_, T>, place: usize) -> f64 {
    query.margin.to_f64() * points.scales_and_margins(place / T::LANES).1[place % T::LANES].to_f64()
}

/// The bit of a place of a run: set if it holds a point and `abs(rho) >= least` is possible, where `r` is the filter.
fn bit<T: Exponential>(
    query: &ResidualQuery<'_, T>,
    points: &ResidualRun<'_, T>,
    place: usize,
    r: f64,
    least: f64,
) -> u32 {
    let most = r.abs() + margin(query, points, place);
    u32::from(points.holds(place) && most.partial_cmp(&least) != Some(Ordering::Less)) << (place % T::LANES)
}

/// Twin of [`pack_queries`](super::pack_queries).
pub fn pack_queries<'a, T: Exponential>(
    tier: Tier,
    run: &ResidualRun<'a, T>,
    arena: &mut Arena<'a>,
) -> QueryTiles<'a, T> {
    let (columns, rows) = (run.points.model.columns(), rows_of_tiles(tier.tile_rows()));
    let packed = arena.take::<T>(packed_len::<T>(run.count, columns)).expect("the arena has pack_queries_blocks");
    for (place, out) in packed.iter_mut().enumerate() {
        let (tile, column, row) = (place / (rows * columns), place / rows % columns, place % rows);
        let query = (tile * rows + row).min(run.count * T::LANES - 1);
        *out = run.v_panel(query / T::LANES)[column * T::LANES + query % T::LANES];
    }
    QueryTiles { tier, run: *run, packed }
}

/// Twin of [`block_to_run`](super::block_to_run). Reads the panels of the queries, not what was packed of them.
pub fn block_to_run<T: Exponential>(
    queries: &QueryTiles<'_, T>,
    points: &ResidualRun<'_, T>,
    least: &[f64],
    out: &mut [T],
    masks: &mut [u32],
) {
    masks.fill(0);
    for (row, &least) in least.iter().enumerate().take(queries.run.len()) {
        let (first, lanes) = (row * points.count, points.count * T::LANES);
        if least < f64::INFINITY {
            let (out, masks) = (&mut out[first * T::LANES..][..lanes], &mut masks[first..][..points.count]);
            one_to_run(&Row::of(&queries.run, row).query(), points, least, out, masks);
        }
    }
}

/// Twin of [`block_where`](super::block_where). Writes the wanted pairs and nothing else.
pub fn block_where<T: Exponential>(
    queries: &QueryTiles<'_, T>,
    points: &ResidualRun<'_, T>,
    wanted: &[u32],
    out: &mut [T],
) {
    for (panel, (bits, out)) in wanted.iter().zip(out.chunks_exact_mut(T::LANES)).enumerate() {
        let (row, panel) = (panel / points.count, panel % points.count);
        if *bits == 0 || !queries.run.holds(row) {
            continue;
        }
        let query = Row::of(&queries.run, row);
        for (lane, out) in out.iter_mut().enumerate().filter(|(lane, _)| bits >> lane & 1 == 1) {
            *out = T::from_f64(filter(&query.query(), points, panel * T::LANES + lane));
        }
    }
}

/// Twin of [`one_to_run`](super::one_to_run).
pub fn one_to_run<T: Exponential>(
    query: &ResidualQuery<'_, T>,
    points: &ResidualRun<'_, T>,
    least: f64,
    out: &mut [T],
    masks: &mut [u32],
) {
    masks.fill(0);
    for (place, out) in out.iter_mut().enumerate() {
        let r = filter(query, points, place);
        *out = T::from_f64(r);
        masks[place / T::LANES] |= bit(query, points, place, r, least);
    }
}

/// Twin of [`one_to_run_cut`](super::one_to_run_cut): it too goes on until no point of a group of panels is left.
pub fn one_to_run_cut<T: Exponential>(
    query: &ResidualQuery<'_, T>,
    points: &ResidualRun<'_, T>,
    tails: Tails<'_, T>,
    least: f64,
    rows: CutRows<'_, T>,
) {
    let (columns, tests) = (query.v.len(), tails.step.tests(query.v.len()));
    rows.masks.fill(0);
    for (group, ends) in rows.ends.chunks_mut(GROUP).enumerate() {
        let first = group * GROUP * T::LANES;
        let mut values = vec![0.0; ends.len() * T::LANES];
        let (mut dots, mut end) = (values.clone(), 0);
        for test in 0..=tests {
            let part = end..columns.min(end + tails.step.0);
            end = part.end;
            for (place, (dot, value)) in (first..).zip(dots.iter_mut().zip(&mut values)) {
                let (panel, lane) = (place / T::LANES, place % T::LANES);
                let v = &points.v_panel(panel)[part.start * T::LANES..part.end * T::LANES];
                *dot += dot_of(query.v[part.clone()].iter().copied().zip(lane_of(v, lane)));
                let (covariance, scale) = covariance_and_scale(query, points, place);
                *value = (covariance - *dot) * scale;
                if end < columns {
                    let tail = tails.points[((points.first + panel) * tests + test) * T::LANES + lane].to_f64();
                    *value = value.abs() + tails.query[test].to_f64() * tail * scale + margin(query, points, place);
                }
            }
            let below = |(place, value): (usize, &f64)| !points.holds(place) || *value < least;
            if end < columns && (first..).zip(&values).all(below) {
                break;
            }
        }
        ends.fill(end as Idx); // at most the number of columns
        for (place, value) in (first..).zip(values) {
            rows.out[place] = T::from_f64(value);
            if end == columns {
                rows.masks[place / T::LANES] |= bit(query, points, place, value, least);
            }
        }
    }
}
