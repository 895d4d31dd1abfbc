//! For tests: checks that a metric keeps every promise of [`Metric`], pair by pair and triple by triple.

use std::vec;
use std::vec::Vec;

use super::scalar::{self, Formula};
use super::{Boxes, Group, Metric, TreeParts, TreeView, box_of_run, knn, run_len, search_blocks};
use crate::arena::{Arena, Block};
use crate::hash::mix64;
use crate::index::{Idx, NONE};
use crate::simd::{Lanes, OnLanes, Real, Tier};
use crate::trials;
use crate::view::{Panels, Rows, pack_rows, panels_len};

/// What a metric says about one pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured<T> {
    pub surrogate: T,
    pub distance: f64,
    pub at_least: f64,
    pub at_most: f64,
    pub reach: T,
}

/// Measures one query against the first so many points.
pub(crate) struct Measure<'m, 'q, M: Metric>(pub &'m M, pub M::Query<'q>, pub usize);

impl<M: Metric> OnLanes for Measure<'_, '_, M> {
    type Out = Vec<Measured<M::Real>>;
    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let Self(metric, query, len) = self;
        let mut surrogates = vec![M::Real::from_f64(-7.0); run_len(M::Real::LANES, 0, len)];
        metric.surrogates::<L>(query, 0, len, M::Real::INFINITY, &mut surrogates);
        let mut all = Vec::new();
        for (position, &surrogate) in surrogates[..len].iter().enumerate() {
            let distance = metric.distance::<L>(query, position, surrogate);
            let (at_least, at_most) = (metric.at_least::<L>(surrogate), metric.at_most::<L>(surrogate));
            let reach = metric.reach::<L>(surrogate);
            all.push(Measured { surrogate, distance, at_least, at_most, reach });
        }
        all
    }
}

/// Asks for the bound of the first box.
struct FirstBox<'m, 'q, M: Metric>(&'m M, M::Query<'q>);

impl<M: Metric> OnLanes for FirstBox<'_, '_, M> {
    type Out = M::Real;
    #[inline(always)]
    fn run<L: Lanes>(self) -> M::Real {
        let mut out = [M::Real::from_f64(-7.0); 16];
        assert!(self.0.has_boxes());
        self.0.box_bounds::<L>(self.1, 0, 1, &mut out[..M::Real::LANES]);
        out[0]
    }
}

/// Packs rows of `width` values in their order.
pub(crate) fn pack<T: Real>(rows: &[T], width: usize) -> Vec<T> {
    let order: Vec<Idx> = (0..(rows.len() / width) as Idx).collect();
    let mut packed = vec![T::from_f64(-7.0); panels_len::<T>(order.len(), width)];
    pack_rows(Rows::new(rows, width).unwrap(), &order, &mut packed).unwrap();
    packed
}

/// A uniform number in `0..1`.
pub(crate) fn uniform(seed: u64, at: usize) -> f64 {
    (mix64(seed.wrapping_mul(0x9e37_79b9).wrapping_add(at as u64 + 1)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Checks the formula, its symmetry, and each bound, on all pairs and triples of points, which are queries too.
/// `oracle(i, j)` is the distance of two rows by the published formula.
pub(crate) fn keeps_promises<T, M>(
    tier: Tier,
    metric: &M,
    rows: &[T],
    width: usize,
    oracle: &dyn Fn(usize, usize) -> f64,
) where
    T: Real,
    M: for<'q> Formula<Real = T, Query<'q> = &'q [T]>,
{
    let len = rows.len() / width;
    let queries: Vec<&[T]> = rows.chunks_exact(width).collect();
    let all: Vec<Vec<Measured<T>>> = queries.iter().map(|query| tier.run(Measure(metric, query, len))).collect();
    for (i, measured) in trials::thin(13, all.iter().enumerate()) {
        for (j, pair) in measured.iter().enumerate() {
            assert_eq!(pair.distance.to_bits(), oracle(i, j).to_bits(), "the formula, {i} {j} {pair:?}");
            assert_eq!(pair.distance.to_bits(), metric.formula(queries[i], j).to_bits(), "the twin, {i} {j} {pair:?}");
            assert_eq!(pair.distance.to_bits(), all[j][i].distance.to_bits(), "symmetry, {i} {j}");
            assert!(pair.at_least <= pair.distance && pair.distance <= pair.at_most, "{i} {j} {pair:?}");
        }
        assert_eq!(measured[i].distance, 0.0);
        let mut ranked = measured.clone();
        ranked.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        let (mut largest, mut least) = (T::default(), T::INFINITY);
        for pair in &ranked {
            largest = if pair.surrogate > largest { pair.surrogate } else { largest };
            let ceiling = metric.ceiling(pair.distance);
            assert!(largest <= ceiling, "{largest:?} above {ceiling:?} for {pair:?}");
            assert!(largest <= pair.reach, "{largest:?} out of reach for {pair:?}");
        }
        for pair in ranked.iter().rev() {
            least = if pair.surrogate < least { pair.surrogate } else { least };
            let floor = metric.floor(pair.distance);
            assert!(least >= floor, "{least:?} below {floor:?} for {pair:?}");
        }
        for (c, center) in measured.iter().enumerate() {
            for (p, point) in measured.iter().enumerate() {
                let reach = all[c][p];
                let computed = metric.beyond(center.distance, reach.distance);
                let bound = metric.beyond(center.at_least, reach.at_most);
                assert!(computed <= point.distance, "{i} {c} {p}: {computed:e} above {point:?}");
                assert!(bound <= point.distance, "{i} {c} {p}: {bound:e} above {point:?}");
            }
        }
    }
    let zero = T::default();
    assert!(metric.floor(0.0) == zero && metric.floor(-1.0) == zero, "a floor must not be negative");
    assert!(metric.ceiling(f64::INFINITY) == T::INFINITY && metric.ceiling(-1.0) < zero);
    assert!(metric.ceiling(f64::NEG_INFINITY) < zero, "nothing is nearer than 0");
}

/// Checks that the box around the leading values of a run of points bounds their distances, by the same number on every
/// tier.
pub(crate) fn boxes_bound<'b, T, M>(
    tier: Tier,
    rows: &[T],
    width: usize,
    boxed: usize,
    with_boxes: impl Fn(Boxes<'b, T>) -> M,
) where
    T: Real,
    M: for<'q> Metric<Real = T, Query<'q> = &'q [T]>,
{
    let leading: Vec<T> = rows.chunks_exact(width).flat_map(|row| row[..boxed].to_vec()).collect();
    let len = rows.len() / width;
    let packed = pack(&leading, boxed);
    let (from, to) = (len / 3, len);
    let mut corner = vec![T::default(); 2 * boxed];
    let (low, high) = corner.split_at_mut(boxed);
    box_of_run(tier, Panels::new(&packed, boxed, len).unwrap(), from, to, low, high).unwrap();
    let corners = pack(&corner, 2 * boxed).leak(); // the metric must outlive this call's borrows
    let metric = with_boxes(Boxes::new(Panels::new(corners, 2 * boxed, 1).unwrap()).unwrap());
    for query in trials::thin(7, rows.chunks_exact(width)) {
        let bound = tier.run(FirstBox(&metric, query));
        assert!(Tier::all().all(|other| other.run(FirstBox(&metric, query)) == bound));
        for pair in &tier.run(Measure(&metric, query, len))[from..to] {
            assert!(bound <= metric.ceiling(pair.distance), "{bound:?} above {pair:?}");
        }
    }
}

/// Compares a search over a tree of one group with sorting all distances.
pub(crate) fn knn_is_brute_force<T, M>(
    tier: Tier,
    metric: &M,
    rows: &[T],
    width: usize,
    oracle: &dyn Fn(usize, usize) -> f64,
) where
    T: Real,
    M: for<'q> Formula<Real = T, Query<'q> = &'q [T]>,
{
    let len = rows.len() / width;
    let ids: Vec<Idx> = (0..len as Idx).collect();
    let levels = vec![0; len];
    let groups = [Group { first: 1, block: len as Idx, end: len as Idx, reach: f32::INFINITY, ..Group::default() }];
    let view = TreeView::new(TreeParts { ids: &ids, levels: &levels, groups: &groups, waiting: 1 }).unwrap();
    let mut memory = vec![Block::default(); search_blocks(1)];
    for (i, query) in trials::thin(9, rows.chunks_exact(width).enumerate()) {
        let mut expected: Vec<(f64, Idx)> = (0..len).map(|j| (oracle(i, j), j as Idx)).collect();
        expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
        for k in [1, 3, len + 2] {
            let (mut distances, mut found) = (vec![-7.0; k], vec![-7; k]);
            let arena = &mut Arena::new(&mut memory);
            let (count, _) = knn(tier, view, metric, query, NONE, &mut distances, &mut found, arena).unwrap();
            assert_eq!(count, k.min(len));
            let got: Vec<(f64, Idx)> = distances.into_iter().zip(found).take(count).collect();
            assert_eq!(got, expected[..count], "query {i}, k {k}");
            let (mut plain, mut plain_found) = (vec![-7.0; k], vec![-7; k]);
            scalar::knn(view, metric, query, NONE, &mut plain, &mut plain_found);
            let twin: Vec<(f64, Idx)> = plain.into_iter().zip(plain_found).take(count).collect();
            assert_eq!(twin, got, "query {i}, k {k}");
        }
    }
}
