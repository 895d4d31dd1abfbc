//! Brute force in register tiles: a block of queries against all points, for any visitors.
//!
//! Where the dimension defeats every tree, a tree reads most points for each query, one query at a time. A block of
//! queries reads each point once for all of them, and is limited by the multiply-adds instead.

use heapless::Vec;

use super::search::lanes_within;
use super::visit::{Nearest, Visitor};
use super::{Coordinates, Metric};
use crate::arena::{Arena, blocks};
use crate::dist::tile::{self, FromDots, Plain};
use crate::dist::{Dot, Form, dots_error, lanes};
use crate::error::{KernelError, want};
use crate::index::Idx;
use crate::simd::{Lanes, OnLanes, Real, Tier, Vector};
use crate::topk::KBest;
use crate::view::Rows;

/// Queries that pass over the points together, at most.
pub const SCAN_QUERIES: usize = 64;

/// Panels whose sums wait to be looked at: as many as the second-level cache holds for a block of queries.
const PANELS: usize = 16;

/// Coordinates from which dot products are tried. With fewer, a tile has as much to do besides.
const DOTS_DIM: usize = 12;

/// Dot products serve a query while their error is at most this part of the square of its cap. In 384
/// dimensions as many as a fifth more points than otherwise are then settled, and fewer in all others.
const DOTS_SHARE: f64 = 1.0 / 1024.0;

/// Dot products serve a block of queries that holds at most one in so many that they do not serve.
const DOTS_EXCEPTIONS: usize = 8;

/// Work of [`scan`] and [`sweep`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanCounters {
    /// Pairs of a query and a point whose surrogate was computed.
    pub distance_evals: u64,
    /// Those of them that came from a dot product.
    pub by_dots: u64,
    /// Distances settled by the published formula.
    pub settled: u64,
}

impl ScanCounters {
    /// Adds the work of another call.
    pub fn merge(&mut self, other: &Self) {
        self.distance_evals += other.distance_evals;
        self.by_dots += other.by_dots;
        self.settled += other.settled;
    }
}

/// Blocks of scratch that [`scan`] and [`sweep`] take for queries of `dim` coordinates.
pub const fn scan_blocks<T: Real>(dim: usize) -> usize {
    let sums = blocks::<T>(SCAN_QUERIES * PANELS * T::LANES);
    let norms = blocks::<T>(SCAN_QUERIES) + blocks::<T>(PANELS * T::LANES);
    (sums + norms).saturating_add(blocks::<T>(tile::packed_len(SCAN_QUERIES, dim)))
}

/// The nearest points to each of a block of queries, by (distance, id): what [`knn`](super::knn) finds, by brute force.
///
/// | argument | shape |
/// | --- | --- |
/// | `metric` | over `len` packed points |
/// | `ids` | `[len]`: the id of the point at each position |
/// | `queries` | at most [`SCAN_QUERIES`] rows like those of the points, finite |
/// | `except` | `[queries]`: for each query an id that is left out, or `NONE` |
/// | `distances`, `out` | `[queries][k]`, overwritten: ascending; padded with plus infinity and `NONE` |
/// | `arena` | [`scan_blocks`]`(dim)`, given back |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit or there are more queries, [`KernelError::Least`] for `k = 0`,
/// [`KernelError::Scratch`] when the arena is too small. Nothing is written then.
///
/// # Accuracy
/// That of [`sweep`].
///
/// # Cost
/// That of [`sweep`]; a distance is settled for each point that is among the `k` nearest of those before it: about
/// `k (1 + ln(len / k))` per query in an order that knows nothing of the query.
#[allow(clippy::too_many_arguments)] // inputs, outputs, scratch: the order that every entrance has
pub fn scan<T: Real, F: Form>(
    tier: Tier,
    metric: &Coordinates<'_, T, F>,
    ids: &[Idx],
    queries: Rows<'_, T>,
    except: &[Idx],
    distances: &mut [f64],
    out: &mut [Idx],
    arena: &mut Arena<'_>,
) -> Result<ScanCounters, KernelError> {
    want("ids", metric.points().len(), ids.len())?;
    want("except", queries.len(), except.len())?;
    want("out", distances.len(), out.len())?;
    check_queries(metric, &queries)?;
    if queries.is_empty() {
        want("distances", 0, distances.len())?;
        return Ok(ScanCounters::default());
    }
    let k = distances.len() / queries.len();
    want("distances", k * queries.len(), distances.len())?;
    if k == 0 {
        return Err(KernelError::Least { what: "k", least: 1, got: 0 });
    }
    let mut memory = arena.scope();
    let memory = Memory::take(&mut memory, &queries)?;
    let mut visitors: Vec<Nearest<'_, '_>, SCAN_QUERIES> = Vec::new();
    for ((distances, out), &except) in distances.chunks_exact_mut(k).zip(out.chunks_exact_mut(k)).zip(except) {
        // There is room for as many as there are queries.
        if visitors.push(Nearest::new(ids, except, KBest::new(distances, out)?)).is_err() {
            break;
        }
    }
    let counters = tier.run(Sweep { metric, queries, memory, visitors: &mut visitors });
    for visitor in visitors {
        visitor.finish();
    }
    Ok(counters)
}

/// Runs a block of visitors over all points, each with its own query: what [`search`](super::search) does with one visitor, by
/// brute force. There are no groups: a visitor is not asked for its cap in one.
///
/// | argument | shape |
/// | --- | --- |
/// | `metric` | over `len` packed points |
/// | `queries` | at most [`SCAN_QUERIES`] rows like those of the points, finite |
/// | `visitors` | `[queries]`; offered points by their position among the packed points, in ascending order |
/// | `arena` | [`scan_blocks`]`(dim)`, given back |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit or there are more queries, [`KernelError::Scratch`] when the arena is too
/// small. Nothing is offered then.
///
/// # Accuracy
/// Surrogates are filters with the margin of [`Coordinates`]; what they leave possible is settled by the published formula.
/// Squared distances in `f32` come from dot products where their [error](crate::dist::dots_error), which is taken off them,
/// is below a thousandth of the square of the visitor's cap so far: in many dimensions, unless points are nearly equal
/// or far from the origin.
///
/// # Cost
/// `dim` steps of the form, or with dot products `dim` multiply-adds, per pair of a query and a point, and a distance for each pair
/// within the cap of its visitor at the time.
pub fn sweep<T: Real, F: Form, V: Visitor<T>>(
    tier: Tier,
    metric: &Coordinates<'_, T, F>,
    queries: Rows<'_, T>,
    visitors: &mut [V],
    arena: &mut Arena<'_>,
) -> Result<ScanCounters, KernelError> {
    want("visitors", queries.len(), visitors.len())?;
    check_queries(metric, &queries)?;
    if queries.is_empty() {
        return Ok(ScanCounters::default());
    }
    let mut memory = arena.scope();
    let memory = Memory::take(&mut memory, &queries)?;
    Ok(tier.run(Sweep { metric, queries, memory, visitors }))
}

/// Refuses rows that the points cannot be asked for, and more of them than pass together.
fn check_queries<T: Real, F: Form>(metric: &Coordinates<'_, T, F>, queries: &Rows<'_, T>) -> Result<(), KernelError> {
    want("queries", metric.points().dim(), queries.dim())?;
    if queries.len() > SCAN_QUERIES {
        return Err(KernelError::Shape { what: "queries", want: SCAN_QUERIES, got: queries.len() });
    }
    Ok(())
}

/// A block of queries as a body to be run on a tier.
struct Sweep<'a, 'v, T, F, V> {
    metric: &'a Coordinates<'a, T, F>,
    queries: Rows<'a, T>,
    memory: Memory<'a, T>,
    visitors: &'v mut [V],
}

/// What a scan works in.
struct Memory<'a, T> {
    /// The queries, packed for one of the two ways.
    packed: &'a mut [T],
    /// Sums of all queries and a run of panels.
    sums: &'a mut [T],
    /// Squared lengths of the queries, where they may be needed.
    query_norms: &'a mut [T],
    /// Squared lengths of a run of panels.
    point_norms: &'a mut [T],
}

impl<'a, T: Real> Memory<'a, T> {
    fn take(arena: &mut Arena<'a>, queries: &Rows<'_, T>) -> Result<Self, KernelError> {
        Ok(Self {
            packed: arena.take(tile::packed_len(SCAN_QUERIES, queries.dim()))?,
            sums: arena.take(SCAN_QUERIES * PANELS * T::LANES)?,
            query_norms: &mut arena.take(SCAN_QUERIES)?[..queries.len()],
            point_norms: arena.take(PANELS * T::LANES)?,
        })
    }
}

impl<T: Real, F: Form, V: Visitor<T>> OnLanes for Sweep<'_, '_, T, F, V> {
    type Out = ScanCounters;

    #[inline(always)]
    fn run<L: Lanes>(mut self) -> Self::Out {
        let (points, count) = (self.metric.points(), self.queries.len());
        let ahead = self.metric.projected_axes();
        let shape = (ahead, self.queries.dim() - ahead);
        let mut counters = ScanCounters::default();
        counters.distance_evals += count as u64 * points.len() as u64;
        let may_dot = F::FROM_DOTS && !T::IS_F64 && shape.1 >= DOTS_DIM;
        if may_dot {
            tile::squared_norms_of_rows(self.queries.data(), shape, self.memory.query_norms);
        }
        tile::pack_queries::<T, F, L>(self.queries.data(), shape.0, shape.1, self.memory.packed);
        let mut by_dots = false;
        let all = points.len().div_ceil(T::LANES);
        let mut first = 0;
        while first < all {
            let panels = PANELS.min(all - first);
            let stride = panels * T::LANES;
            let run = points.run(first, panels);
            let error = if may_dot { self.error::<L>(shape, run) } else { f64::INFINITY };
            let dots = may_dot && self.dots_serve(error);
            if dots != by_dots {
                by_dots = dots;
                self.pack_again::<L>(shape, dots);
            }
            self.sum::<L>(shape, run, count * stride, dots);
            counters.by_dots += if dots { (count * (points.len() - first * T::LANES).min(stride)) as u64 } else { 0 };
            let error = if dots { error } else { 0.0 };
            for query in 0..count {
                counters.settled += self.offer::<L>(query, first, stride, error);
            }
            first += panels;
        }
        counters
    }
}

impl<T: Real, F: Form, V: Visitor<T>> Sweep<'_, '_, T, F, V> {
    /// Bound on the error of squared distances by dot products to a run of panels, whose squared lengths it finds.
    #[inline(always)]
    fn error<L: Lanes>(&mut self, (ahead, dim): (usize, usize), run: &[T]) -> f64 {
        let Memory { query_norms, point_norms, .. } = &mut self.memory;
        let point_norms = &mut point_norms[..run.len() / (ahead + dim)];
        lanes::squared_norms::<T, L>(run, (ahead, dim), point_norms);
        let largest = |norms: &[T]| norms.iter().fold(0.0, |most, norm| f64::max(most, norm.to_f64()));
        dots_error::<T>(dim, largest(query_norms) + largest(point_norms))
    }

    /// Whether that error is small enough for nearly all of the queries.
    #[inline(always)]
    fn dots_serve(&self, error: f64) -> bool {
        let small = |visitor: &V| {
            let cap = visitor.cap();
            cap < f64::INFINITY && error <= DOTS_SHARE * F::unfinish(cap)
        };
        let exceptions = self.visitors.iter().filter(|visitor| !small(visitor)).count();
        exceptions <= self.visitors.len() / DOTS_EXCEPTIONS
    }

    /// Packs the queries for the other way. Kept apart, for it is rare.
    #[inline(never)]
    fn pack_again<L: Lanes>(&mut self, (ahead, dim): (usize, usize), dots: bool) {
        let (queries, packed) = (self.queries.data(), &mut *self.memory.packed);
        if dots {
            tile::pack_queries::<T, Dot, L>(queries, ahead, dim, packed);
        } else {
            tile::pack_queries::<T, F, L>(queries, ahead, dim, packed);
        }
    }

    /// Surrogates of all queries and a run of panels.
    #[inline(always)]
    fn sum<L: Lanes>(&mut self, shape: (usize, usize), run: &[T], pairs: usize, dots: bool) {
        let count = self.queries.len();
        let Memory { packed, sums, query_norms, point_norms } = &mut self.memory;
        let sums = &mut sums[..pairs];
        if T::IS_F64 {
            tile::block_to_run::<T, F, L, true>(packed, count, shape, run, Plain, sums);
        } else if dots {
            let finish = FromDots { queries: query_norms, points: point_norms };
            tile::block_to_run::<T, Dot, L, false>(packed, count, shape, run, finish, sums);
        } else {
            tile::block_to_run::<T, F, L, false>(packed, count, shape, run, Plain, sums);
        }
    }

    /// Offers the points whose sums leave them possible, from the panel `first` on; returns how many were settled. The
    /// sums may be too large by `error` besides what the metric allows for.
    #[inline(always)]
    fn offer<L: Lanes>(&mut self, query: usize, first: usize, stride: usize, error: f64) -> u64 {
        let Self { metric, queries, memory, visitors } = self;
        let (row, visitor, len) = (queries.row(query), &mut visitors[query], metric.points().len());
        // Not below the error; the rounding of the difference is far smaller than what the metric allows for.
        let error = if error > 0.0 { T::from_f64(error).next_up() } else { T::default() };
        let (error, zero) = (<T::On<L>>::splat(error), <T::On<L>>::splat(T::default()));
        let mut cap = visitor.cap();
        let mut ceiling = <T::On<L>>::splat(metric.ceiling(cap));
        let mut settled = 0;
        for (panel, sums) in memory.sums[query * stride..][..stride].chunks_exact(T::LANES).enumerate() {
            let start = (first + panel) * T::LANES;
            let surrogates = <T::On<L>>::load(sums).sub(error).max(zero);
            let mut mask = surrogates.le(ceiling);
            if mask == 0 {
                continue;
            }
            mask &= lanes_within(start, start, len) & visitor.narrow::<L>(start, surrogates);
            if mask == 0 {
                continue;
            }
            let mut exact = [0.0; 16];
            metric.distances::<L>(row, start, mask, sums, &mut exact);
            settled += u64::from(mask.count_ones());
            while mask != 0 {
                let lane = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                if exact[lane] <= cap && visitor.admits(start + lane) {
                    visitor.offer(start + lane, exact[lane]);
                    cap = visitor.cap();
                }
            }
            ceiling = <T::On<L>>::splat(metric.ceiling(cap));
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::arena::Block;
    use crate::dist::{Chebyshev, Manhattan, SquaredEuclidean};
    use crate::index::NONE;
    use crate::tree::Within;
    use crate::tree::promises::{pack, uniform};
    use crate::trials;
    use crate::view::Panels;

    /// Everything by the published formula, sorted.
    fn brute<T: Real, F: Form>(rows: &[T], dim: usize, query: &[T], except: Idx, k: usize) -> Vec<(f64, Idx)> {
        let distance = |row: &[T]| {
            let sum = query.iter().zip(row).fold(0.0, |sum, (q, x)| F::step_f64(sum, q.to_f64(), x.to_f64()));
            if F::unfinish(2.0) == 4.0 { libm::sqrt(sum) } else { sum }
        };
        let mut all: Vec<(f64, Idx)> = rows.chunks_exact(dim).map(distance).zip(100..).collect();
        all.retain(|(_, id)| *id != except);
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        all.resize(k, (f64::INFINITY, NONE));
        all
    }

    /// Returns the pairs that came from dot products, on the tier of this machine.
    fn check<T: Real, F: Form>(rows: &[T], queries: &[T], dim: usize, k: usize) -> u64 {
        let (len, count) = (rows.len() / dim, queries.len() / dim);
        let packed = pack(rows, dim);
        let metric = Coordinates::<T, F>::new(Panels::new(&packed, dim, len).unwrap());
        let ids: Vec<Idx> = (100..100 + len as Idx).collect();
        let except: Vec<Idx> = (0..count as Idx).map(|query| if query % 3 == 0 { 100 + query } else { NONE }).collect();
        let mut by_dots = 0;
        for tier in Tier::all() {
            let mut memory = vec![Block::new([0xdead_beef; 16]); scan_blocks::<T>(dim)];
            let (mut distances, mut found) = (vec![-7.0; count * k], vec![-7; count * k]);
            let asked = Rows::new(queries, dim).unwrap();
            let arena = &mut Arena::new(&mut memory);
            let counters = scan(tier, &metric, &ids, asked, &except, &mut distances, &mut found, arena).unwrap();
            assert_eq!(counters.distance_evals, (len * count) as u64);
            by_dots = counters.by_dots;
            for (query, row) in queries.chunks_exact(dim).enumerate() {
                let both = distances[query * k..][..k].iter().copied().zip(found[query * k..][..k].iter().copied());
                let got: Vec<(f64, Idx)> = both.collect();
                assert_eq!(got, brute::<T, F>(rows, dim, row, except[query], k), "{tier}, query {query}");
            }
        }
        by_dots
    }

    fn values<T: Real>(seed: u64, count: usize, ties: bool) -> Vec<T> {
        let value = |at| if ties { (uniform(seed, at) * 3.0) as i32 as f64 } else { uniform(seed, at) - 0.5 };
        (0..count).map(|at| T::from_f64(value(at))).collect()
    }

    #[test]
    fn a_scan_finds_what_brute_force_finds() {
        for (len, dim) in trials::thin(4, [(0, 3), (1, 1), (15, 2), (16, 8), (17, 17), (257, 20), (600, 64)]) {
            for count in trials::lengths([0, 1, 5, SCAN_QUERIES]) {
                for ties in [false, true] {
                    let (rows, queries) = (values::<f32>(1, len * dim, ties), values::<f32>(2, count * dim, ties));
                    check::<f32, SquaredEuclidean>(&rows, &queries, dim, 8);
                    check::<f32, Manhattan>(&rows, &queries, dim, 1);
                    let (rows, queries) = (values::<f64>(1, len * dim, ties), values::<f64>(2, count * dim, ties));
                    check::<f64, Chebyshev>(&rows, &queries, dim, 8);
                }
            }
        }
    }

    #[test]
    fn dot_products_are_used_where_they_tell_points_apart() {
        let (len, dim, count) = (40 * 16, 40, 9);
        let run = (PANELS * 16 * count) as u64;
        let shifted = |seed, count: usize, spread: f64, by: f64| -> Vec<f32> {
            values::<f64>(seed, count * dim, false).into_iter().map(|value| (spread * value + by) as f32).collect()
        };
        let used = |spread: f64, by: f64, k: usize| {
            let rows = shifted(3, len, spread, by);
            let mut queries = shifted(4, count, spread, by);
            queries[..dim].copy_from_slice(&rows[7 * dim..][..dim]); // one is a point, and has others left out
            check::<f32, SquaredEuclidean>(&rows, &queries, dim, k)
        };
        let most = (len * count) as u64 - run;
        assert_eq!(used(1.0, 0.0, 8), most, "all but the first run, before which nothing is known");
        assert_eq!(used(1e-12, 0.0, 8), most, "at any scale");
        assert_eq!(used(1.0, 0.0, PANELS * 16 + 1), most - run, "and two before there are that many");
        assert_eq!(used(1e-3, 10.0, 8), 0, "points far from the origin are not told apart");
        // Differences of the order of the error: whatever is used, the answers are those of the formula.
        for by in [0.3, 1.0, 3.0] {
            used(0.1, by, 3);
        }
        let (rows, queries) = (shifted(3, len, 1.0, 0.0), shifted(4, count, 1.0, 0.0));
        assert_eq!(check::<f32, Manhattan>(&rows, &queries, dim, 8), 0);
        let huge: Vec<f32> = rows.iter().map(|value| 7e18 * value).collect();
        assert_eq!(check::<f32, SquaredEuclidean>(&huge, &queries, dim, 8), 0, "squares near the largest number");
    }

    #[test]
    fn a_sweep_offers_each_visitor_what_is_in_its_reach() {
        let (len, dim, count) = (33 * 16 + 5, 24, 7);
        let (rows, queries) = (values::<f32>(5, len * dim, false), values::<f32>(6, count * dim, false));
        let packed = pack(&rows, dim);
        let metric = Coordinates::<f32, SquaredEuclidean>::new(Panels::new(&packed, dim, len).unwrap());
        let ids: Vec<Idx> = (0..len as Idx).collect();
        for tier in Tier::all() {
            let mut memory = vec![Block::new([0xdead_beef; 16]); scan_blocks::<f32>(dim)];
            let (mut near, mut distances) = (vec![NONE; count * len], vec![0.0; count * len]);
            let radius = |query: usize| 1.2 + 0.1 * query as f64;
            let outs = near.chunks_exact_mut(len).zip(distances.chunks_exact_mut(len)).enumerate();
            let visitor = |(query, (ids_out, out))| Within::new(&ids, NONE, radius(query), ids_out, out).unwrap();
            let mut visitors: Vec<_> = outs.map(visitor).collect();
            let asked = Rows::new(&queries, dim).unwrap();
            let counters = sweep(tier, &metric, asked, &mut visitors, &mut Arena::new(&mut memory)).unwrap();
            let found: Vec<usize> = visitors.iter().map(|visitor| visitor.found().unwrap() as usize).collect();
            assert_eq!(counters.by_dots, counters.distance_evals, "caps are known from the beginning");
            for (query, row) in queries.chunks_exact(dim).enumerate() {
                let mut want = brute::<f32, SquaredEuclidean>(&rows, dim, row, NONE, len);
                want.retain(|(distance, _)| *distance <= radius(query));
                want.sort_by_key(|(_, id)| *id);
                let place = query * len..query * len + found[query];
                let got = distances[place.clone()].iter().copied().zip(near[place].iter().map(|id| id + 100));
                assert_eq!(got.collect::<Vec<_>>(), want, "{tier}, query {query}: in the order of the points");
            }
            assert!(found.iter().any(|&found| found > 0 && found < len));
            let mut one = [Within::new(&ids, NONE, 1.0, &mut [], &mut []).unwrap()];
            let refused = sweep(tier, &metric, asked, &mut one, &mut Arena::new(&mut memory));
            assert!(matches!(refused, Err(KernelError::Shape { what: "visitors", want: 7, got: 1 })));
        }
    }

    proptest! {
        #![proptest_config(trials::cases(32))]
        #[test]
        fn any_block_is_scanned_exactly(
            seed in any::<u64>(), len in 0..trials::up_to(400usize), dim in 1usize..24, count in 1..=trials::up_to(SCAN_QUERIES), k in 1usize..40,
            ties in any::<bool>(),
        ) {
            let (rows, queries) = (values::<f32>(seed, len * dim, ties), values::<f32>(!seed, count * dim, ties));
            check::<f32, SquaredEuclidean>(&rows, &queries, dim, k);
        }
    }

    #[test]
    fn wrong_shapes_are_refused_before_anything_is_written() {
        let packed = pack(&values::<f32>(1, 40, false), 2);
        let metric = Coordinates::<f32, SquaredEuclidean>::new(Panels::new(&packed, 2, 20).unwrap());
        let (ids, queries) = (vec![0; 20], values::<f32>(2, 2 * (SCAN_QUERIES + 1), false));
        let call = |ids: &[Idx], queries: &[f32], except: usize, out: usize, blocks: usize| {
            let (mut distances, mut found, except) = (vec![-7.0; out], vec![-7; out], vec![NONE; except]);
            let mut memory = vec![Block::default(); blocks];
            let (queries, arena) = (Rows::new(queries, 2).unwrap(), &mut Arena::new(&mut memory));
            let refused = scan(Tier::detect(), &metric, ids, queries, &except, &mut distances, &mut found, arena);
            assert!(refused.is_err() && distances.iter().all(|&distance| distance == -7.0));
            refused.unwrap_err()
        };
        let blocks = scan_blocks::<f32>(2);
        assert!(matches!(call(&ids[1..], &queries[..4], 2, 6, blocks), KernelError::Shape { what: "ids", .. }));
        assert!(matches!(call(&ids, &queries[..4], 1, 6, blocks), KernelError::Shape { what: "except", .. }));
        assert!(matches!(call(&ids, &queries[..4], 2, 5, blocks), KernelError::Shape { what: "distances", .. }));
        assert!(matches!(call(&ids, &queries[..4], 2, 0, blocks), KernelError::Least { what: "k", .. }));
        assert!(matches!(call(&ids, &queries[..4], 2, 6, blocks - 1), KernelError::Scratch { .. }));
        let (all, more) = (&queries[..], SCAN_QUERIES + 1);
        assert!(matches!(call(&ids, all, more, more, blocks), KernelError::Shape { what: "queries", .. }));
    }
}
