//! The plain twins: point after point by the published formula, whatever the groups are. For tests, benchmarks and fuzz
//! targets.
//!
//! They take what the kernels take but for the tier and the scratch, count nothing, and agree with them in every bit. Where a
//! kernel leaves the order of its answers open (what [`search`](super::search()) offers, the pairs of one point among
//! [`near_pairs`](super::near_pairs())) that of the twin is the order of the positions. They check nothing and panic on shapes
//! that do not fit.

use core::marker::PhantomData;
use core::ops::Range;
use std::vec::Vec;

use super::{Angular, Conflict, Coordinates, Haversine, Item, Items, PivotItem, PivotItems};
use super::{Metric, Precedence, TreeView, Visitor};
use crate::dist::Form;
use crate::index::{Idx, NONE};
use crate::simd::{Lanes, OnLanes, Real, Tier};
use crate::view::{Panels, Rows};

/// A metric whose published formula can be had for one point, without a surrogate.
pub trait Formula: Metric {
    /// The distance from a query to the point at a position.
    fn formula(&self, query: Self::Query<'_>, position: usize) -> f64;
}

/// What a form makes of its sum: rounded correctly, so the same on every tier.
struct Finish<F>(f64, PhantomData<F>);

impl<F: Form> OnLanes for Finish<F> {
    type Out = f64;
    fn run<L: Lanes>(self) -> f64 {
        F::finish::<L>(self.0)
    }
}

impl<T: Real, F: Form> Formula for Coordinates<'_, T, F> {
    fn formula(&self, query: &[T], position: usize) -> f64 {
        let mut sum = 0.0;
        for d in self.projected_axes()..query.len() {
            sum = F::step_f64(sum, query[d].to_f64(), self.points().coordinate(position, d).to_f64());
        }
        Tier::PORTABLE.run(Finish::<F>(sum, PhantomData))
    }
}

impl Formula for Angular<'_> {
    fn formula(&self, query: &[f64], position: usize) -> f64 {
        let (mut minus, mut plus) = (0.0, 0.0);
        for d in self.sums.projected_axes()..query.len() {
            let (u, v) = (query[d], self.sums.points().coordinate(position, d));
            minus += (u - v) * (u - v);
            plus += (u + v) * (u + v);
        }
        2.0 * libm::atan2(libm::sqrt(minus), libm::sqrt(plus))
    }
}

impl Formula for Haversine<'_> {
    fn formula(&self, query: &[f64], position: usize) -> f64 {
        let point = |d| self.points.coordinate(position, d);
        let a = libm::sin((query[3] - point(3)).abs() * 0.5);
        let b = libm::sin((query[4] - point(4)).abs() * 0.5);
        2.0 * libm::asin(libm::sqrt((a * a + (query[5] * point(5)) * (b * b)).min(1.0)))
    }
}

impl<X: 'static, D: Fn(&X, &X) -> f64> Formula for Items<'_, X, D> {
    fn formula(&self, query: Item<'_, X>, position: usize) -> f64 {
        self.between(query, position)
    }
}

impl<X: 'static, D: Fn(&X, &X) -> f64> Formula for PivotItems<'_, X, D> {
    fn formula(&self, query: PivotItem<'_, X>, position: usize) -> f64 {
        self.items.between(query.item, position)
    }
}

/// Offers a visitor all points, in their order, that it may want.
fn offer_all<M: Formula, V: Visitor<M::Real>>(metric: &M, query: M::Query<'_>, visitor: &mut V) {
    for position in 0..metric.positions() {
        let distance = metric.formula(query, position);
        if distance <= visitor.cap() && visitor.admits(position) {
            visitor.offer(position, distance);
        }
    }
}

/// The nearest of the points for which `admits` holds, by (distance, id); returns how many there are.
fn nearest<M: Formula>(
    metric: &M,
    query: M::Query<'_>,
    ids: &[Idx],
    admits: impl Fn(usize) -> bool,
    distances: &mut [f64],
    out: &mut [Idx],
) -> usize {
    distances.fill(f64::INFINITY);
    out.fill(NONE);
    let mut found = 0;
    for position in (0..ids.len()).filter(|&position| admits(position)) {
        let mut mine = (metric.formula(query, position), ids[position]);
        // It takes the place of the first that is farther, which takes that of the next.
        for (distance, id) in distances.iter_mut().zip(out.iter_mut()) {
            if *id == NONE || mine < (*distance, *id) {
                ((*distance, *id), mine) = (mine, (*distance, *id));
            }
        }
        found += 1;
    }
    found.min(distances.len())
}

/// Twin of [`search`](super::search()).
pub fn search<M: Formula, V: Visitor<M::Real>>(
    _view: TreeView<'_>,
    metric: &M,
    query: M::Query<'_>,
    mut visitor: V,
) -> V {
    offer_all(metric, query, &mut visitor);
    visitor
}

/// Twin of [`knn`](super::knn()).
pub fn knn<M: Formula>(
    view: TreeView<'_>,
    metric: &M,
    query: M::Query<'_>,
    except: Idx,
    distances: &mut [f64],
    ids: &mut [Idx],
) -> usize {
    let names = view.parts().ids;
    nearest(metric, query, names, |position| names[position] != except, distances, ids)
}

/// Twin of [`knn_before`](super::knn_before()).
pub fn knn_before<M: Formula>(
    view: TreeView<'_>,
    metric: &M,
    query: M::Query<'_>,
    precedence: Precedence<'_>,
    before: Idx,
    distances: &mut [f64],
    ids: &mut [Idx],
) -> usize {
    let earlier = |position: usize| precedence.ranks[position] < before;
    nearest(metric, query, view.parts().ids, earlier, distances, ids)
}

/// Twin of [`knn_panel`](super::knn_panel()).
pub fn knn_panel<T: Real, F: Form>(
    view: TreeView<'_>,
    metric: &Coordinates<'_, T, F>,
    queries: &[T],
    except: &[Idx],
    distances: &mut [f64],
    out: &mut [Idx],
) {
    let k = distances.len() / except.len().max(1);
    for (lane, &except) in except.iter().enumerate() {
        let query: Vec<T> = queries.iter().skip(lane).step_by(T::LANES).copied().collect();
        let own = lane * k..(lane + 1) * k;
        knn(view, metric, &query[..], except, &mut distances[own.clone()], &mut out[own]);
    }
}

/// Twin of [`scan`](super::scan()).
pub fn scan<T: Real, F: Form>(
    metric: &Coordinates<'_, T, F>,
    ids: &[Idx],
    queries: Rows<'_, T>,
    except: &[Idx],
    distances: &mut [f64],
    out: &mut [Idx],
) {
    let k = distances.len() / except.len().max(1);
    for (query, &except) in except.iter().enumerate() {
        let (own, admits) = (query * k..(query + 1) * k, |position: usize| ids[position] != except);
        nearest(metric, queries.row(query), ids, admits, &mut distances[own.clone()], &mut out[own]);
    }
}

/// Twin of [`sweep`](super::sweep()).
pub fn sweep<T: Real, F: Form, V: Visitor<T>>(
    metric: &Coordinates<'_, T, F>,
    queries: Rows<'_, T>,
    visitors: &mut [V],
) {
    for (query, visitor) in visitors.iter_mut().enumerate() {
        offer_all(metric, queries.row(query), visitor);
    }
}

/// Twin of [`near_pairs`](super::near_pairs()); returns how many pairs there are, also where there is no room for all.
pub fn near_pairs<T: Real, F: Form>(
    view: TreeView<'_>,
    metric: &Coordinates<'_, T, F>,
    rows: Range<usize>,
    radius: f64,
    out: &mut [Conflict],
) -> usize {
    let (points, ids, mut found) = (metric.points(), view.parts().ids, 0);
    for row in rows {
        let query: Vec<T> = (0..points.dim()).map(|d| points.coordinate(row, d)).collect();
        for other in row + 1..points.len() {
            let distance = metric.formula(&query[..], other);
            if distance <= radius {
                if let Some(out) = out.get_mut(found) {
                    *out = Conflict { distance, id: ids[row], other: ids[other] };
                }
                found += 1;
            }
        }
    }
    found
}

/// Twin of [`farthest`](super::farthest()).
pub fn farthest<M: Formula>(metric: &M, query: M::Query<'_>, from: usize, to: usize) -> f64 {
    (from..to).map(|position| metric.formula(query, position)).fold(0.0, f64::max)
}

/// Twin of [`box_of_run`](super::box_of_run()). A corner at zero may have the other sign.
pub fn box_of_run<T: Real>(points: Panels<'_, T>, from: usize, to: usize, low: &mut [T], high: &mut [T]) {
    for (d, (low, high)) in low.iter_mut().zip(high).enumerate() {
        (*low, *high) = (points.coordinate(from, d), points.coordinate(from, d));
        for position in from + 1..to {
            let value = points.coordinate(position, d);
            *low = if value < *low { value } else { *low };
            *high = if value > *high { value } else { *high };
        }
    }
}
