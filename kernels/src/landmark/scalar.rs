//! The plain twins: one point or one pair at a time, in `f64`. For tests, benchmarks and fuzz targets.
//!
//! Twin and lanes differ by roundings that both pay for: neither is below the truth, and their masks differ in pairs alone whose
//! bound is that near to what is wanted. The twins check nothing and panic on shapes that do not fit.

use super::frame::{REACH, norm};
use super::points::{rounding, up};
use super::{
    BetweenSide, Cross, CrossTable, Extent, Frame, FrameMemory, FramePoints, FrameQueries, LANDMARKS_MAX,
    LandmarkCounters,
};
use crate::dist::form::gamma;
use crate::simd::{LANES_F32, LANES_F64, Real};

/// Where element `k` of point `i` stands in panels `[count][LANES]`.
fn place<T: Real>(i: usize, k: usize, count: usize) -> usize {
    (i / T::LANES * count + k) * T::LANES + i % T::LANES
}

/// Twin of [`project`](super::project).
pub fn project(
    frame: &Frame,
    factor: &[f64],
    rho: &[f64],
    errors: &[f64],
    len: usize,
    memory: &mut FrameMemory<'_, f64>,
) {
    project_each(frame, factor, rho, errors, len, memory, false);
}

/// Twin of [`project_weighted`](super::project_weighted).
pub fn project_weighted(
    frame: &Frame,
    factor: &[f64],
    rho: &[f64],
    errors: &[f64],
    len: usize,
    memory: &mut FrameMemory<'_, f64>,
) {
    project_each(frame, factor, rho, errors, len, memory, true);
}

/// Every lane, padding included, by substitution.
fn project_each(
    frame: &Frame,
    factor: &[f64],
    rho: &[f64],
    errors: &[f64],
    len: usize,
    memory: &mut FrameMemory<'_, f64>,
    weighted: bool,
) {
    let (count, lanes) = (frame.count, len.next_multiple_of(LANES_F64));
    for point in 0..lanes {
        let mut coordinates = [0.0; LANDMARKS_MAX];
        for i in 0..count {
            let mut sum = rho[i * lanes + point];
            for j in 0..i {
                sum -= factor[i * frame.stride + j] * coordinates[j];
            }
            coordinates[i] = sum / factor[i * frame.stride + i];
            memory.coordinates[place::<f64>(point, i, count)] = coordinates[i];
        }
        let Extent { span, tail, slack } = extent(frame, norm(&coordinates[..count]), errors[point], weighted);
        (memory.spans[point], memory.tails[point], memory.slacks[point]) = (span, tail, slack);
    }
}

/// The extent of a point as the [module](super) derives it, with the rounding of bounds in the slack. Of a `weighted` point
/// the span is its error, and the slack leaves out what this causes.
fn extent(frame: &Frame, norm: f64, error: f64, weighted: bool) -> Extent {
    let inverse = frame.inverse * (1.0 + 1e-9);
    let own = inverse * libm::sqrt(frame.count as f64) * frame.rounding() * 1.01 * norm;
    let delta = inverse * frame.error * error + own;
    let paid = if weighted { own } else { delta };
    let useful = paid <= 0.25 && error <= 0.25 && norm <= REACH; // not where one is NaN
    let inside = (norm * (1.0 - 1e-14) - delta).max(0.0);
    let square = 1.0 + error * error - inside * inside / (1.0 + frame.defect);
    let reach = (norm + delta) / libm::sqrt(1.0 - frame.defect) * (1.0 + 1e-12);
    let slack = REACH * paid + 0.5 * error * error + 0.5 * frame.kappa() + rounding::<f64>(frame.count);
    Extent {
        span: if weighted { error } else { reach },
        tail: libm::sqrt(square.max(0.0) + 1e-14),
        slack: if useful { slack } else { f64::INFINITY },
    }
}

/// Twin of [`turn`](super::turn); tails and slacks are the same bit for bit.
pub fn turn<'a>(
    points: &FramePoints<'a, f64>,
    cross: &Cross,
    products: &[f64],
    coordinates: &'a mut [f64],
    tails: &'a mut [f64],
    slacks: &'a mut [f64],
) -> FrameQueries<'a, f64> {
    for point in 0..tails.len() {
        for t in 0..cross.columns {
            let each = (0..cross.rows)
                .map(|s| products[s * cross.columns + t] * points.coordinates[place::<f64>(point, s, cross.rows)]);
            coordinates[place::<f64>(point, t, cross.columns)] = each.sum();
        }
        tails[point] = points.tails[point] + points.spans[point];
        slacks[point] = points.slacks[point] + cross.slack;
    }
    FrameQueries { count: cross.columns, len: points.len, coordinates, tails, spans: Some(points.tails), slacks }
}

/// Twin of [`bounds`](super::bounds). Rows that nobody wants stay as they are.
pub fn bounds<T: Real>(
    queries: &FrameQueries<'_, T>,
    points: &FramePoints<'_, T>,
    least: &[f64],
    out: &mut [T],
    masks: &mut [u32],
    counters: &mut LandmarkCounters,
) {
    let lanes = points.tails.len();
    masks.fill(0);
    for query in (0..queries.len).filter(|&query| least[query] != f64::INFINITY) {
        for point in 0..points.len {
            let bound = T::from_f64(bound(queries, query, points, point));
            let pruned = bound < T::from_f64(least[query]);
            out[query * lanes + point] = bound;
            masks[(query * lanes + point) / T::LANES] |= u32::from(!pruned) << (point % T::LANES);
            counters.landmark_bounded += 1;
            counters.landmark_pruned += u64::from(pruned);
        }
    }
}

/// The bound of one pair.
fn bound<T: Real>(queries: &FrameQueries<'_, T>, query: usize, points: &FramePoints<'_, T>, point: usize) -> f64 {
    let mut dot = 0.0;
    for k in 0..points.count {
        let [query, point] = [query, point].map(|i| place::<T>(i, k, points.count));
        dot += queries.coordinates[query].to_f64() * points.coordinates[point].to_f64();
    }
    let spans = queries.spans.map_or(0.0, |spans| spans[query].to_f64() * points.spans[point].to_f64());
    let tails = queries.tails[query].to_f64() * points.tails[point].to_f64();
    dot.abs() + tails + spans + queries.slacks[query].to_f64() + points.slacks[point].to_f64()
}

/// Twin of [`envelope_bounds`](super::envelope_bounds).
pub fn envelope_bounds<T: Real>(queries: &FrameQueries<'_, T>, envelope: Extent, out: &mut [T]) {
    for (query, out) in out.iter_mut().enumerate().take(queries.len) {
        let own = (0..queries.count).map(|k| queries.coordinates[place::<T>(query, k, queries.count)].to_f64());
        let reach = libm::sqrt(own.map(|x| x * x).sum()) + queries.spans.map_or(0.0, |spans| spans[query].to_f64());
        let tails = queries.tails[query].to_f64() * envelope.tail;
        let bound = reach * envelope.span + tails + queries.slacks[query].to_f64() + envelope.slack;
        *out = up(bound * (1.0 + 8.0 * T::ROUNDOFF));
    }
}

/// Twin of [`bounds_between`](super::bounds_between). It looks at every pair, and so has no work to count.
pub fn bounds_between<T: Real>(
    rows: &BetweenSide<'_>,
    columns: &BetweenSide<'_>,
    table: CrossTable<'_, T>,
    masks: &mut [u32],
) -> u64 {
    let (panels, mut kept) = (columns.members.panels(), 0);
    masks.fill(0);
    for row in 0..rows.members.len() {
        for column in 0..columns.members.len() {
            let [rank, other_rank] = [rows.ranks[row], columns.ranks[column]];
            let for_row = if other_rank <= rank { rows.least[row] } else { f32::INFINITY };
            let for_column = if rank <= other_rank { columns.least[column] } else { f32::INFINITY };
            let bound = bound_between(rows, row, columns, column, table);
            let pruned = bound < f64::from(for_row.min(for_column)); // a NaN bounds nothing
            masks[row * panels + column / LANES_F32] |= u32::from(!pruned) << (column % LANES_F32);
            kept += u64::from(!pruned);
        }
    }
    kept
}

/// The bound of one pair, and what covers the roundings of the product.
pub(super) fn bound_between<T: Real>(
    rows: &BetweenSide<'_>,
    row: usize,
    columns: &BetweenSide<'_>,
    column: usize,
    table: CrossTable<'_, T>,
) -> f64 {
    let [own, theirs] = [rows.members.count(), columns.members.count()];
    let (mut product, mut magnitude) = (0.0, 0.0);
    for s in 0..own {
        for t in 0..theirs {
            let weights = f64::from(rows.members.weight(row, s)) * f64::from(columns.members.weight(column, t));
            let term = weights * table.rho[s * table.stride + t].to_f64();
            product += term;
            magnitude += term.abs();
        }
    }
    let extent = |side: &BetweenSide<'_>, member: usize| {
        let [_, span, tail] = side.members.extent(member).map(f64::from);
        (span, tail, f64::from(side.errors[member]))
    };
    let ((span, tail, error), (other_span, other_tail, other_error)) = (extent(rows, row), extent(columns, column));
    let bound = product.abs() + error * other_error + span * other_tail + tail * other_span;
    (bound + gamma(own * theirs + 1, f64::ROUNDOFF) * magnitude) * (1.0 + 1e-12)
}
