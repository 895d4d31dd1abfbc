//! Brute force in register tiles: a block of queries against all points.
//!
//! Where the dimension defeats every tree, a tree reads most points for each query, one query at a time. A block of
//! queries reads each point once for all of them, and is limited by the multiply-adds instead.

use heapless::Vec;

use super::{Coordinates, Metric};
use crate::arena::{Arena, blocks};
use crate::dist::{Form, tile};
use crate::error::{KernelError, want};
use crate::index::Idx;
use crate::simd::{Lanes, OnLanes, Real, Tier, Vector};
use crate::topk::KBest;
use crate::view::Rows;

/// Queries that pass over the points together.
pub const SCAN_QUERIES: usize = 64;

/// Panels whose sums wait to be looked at: as many as the second-level cache holds for a block of queries.
const PANELS: usize = 16;

/// Work of [`scan`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanCounters {
    /// Pairs of a query and a point whose surrogate was computed.
    pub distance_evals: u64,
    /// Distances settled by the published formula.
    pub settled: u64,
}

impl ScanCounters {
    /// Adds the work of another call.
    pub fn merge(&mut self, other: &Self) {
        self.distance_evals += other.distance_evals;
        self.settled += other.settled;
    }
}

/// Blocks of scratch that [`scan`] takes for queries of `dim` coordinates.
pub const fn scan_blocks<T: Real>(dim: usize) -> usize {
    let sums = blocks::<T>(SCAN_QUERIES * PANELS * T::LANES);
    sums.saturating_add(blocks::<T>(tile::packed_len(SCAN_QUERIES, dim)))
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
/// Surrogates are filters with the margin of [`Coordinates`]; what they leave possible is settled by the published formula.
///
/// # Cost
/// `dim` steps of the form per pair of a query and a point, and a settled distance for each point that is among the `k`
/// nearest of those before it: about `k (1 + ln(len / k))` per query in an order that knows nothing of the query.
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
    let points = metric.points();
    want("ids", points.len(), ids.len())?;
    want("queries", points.dim(), queries.dim())?;
    want("except", queries.len(), except.len())?;
    want("out", distances.len(), out.len())?;
    if queries.len() > SCAN_QUERIES {
        return Err(KernelError::Shape { what: "queries", want: SCAN_QUERIES, got: queries.len() });
    }
    if queries.is_empty() {
        want("distances", 0, distances.len())?;
        return Ok(ScanCounters::default());
    }
    let k = distances.len() / queries.len();
    want("distances", k * queries.len(), distances.len())?;
    if k == 0 {
        return Err(KernelError::Least { what: "k", least: 1, got: 0 });
    }
    let mut scratch = arena.scope();
    let packed = scratch.take(tile::packed_len(SCAN_QUERIES, queries.dim()))?;
    let sums = scratch.take(SCAN_QUERIES * PANELS * T::LANES)?;
    let mut best: Vec<KBest<'_>, SCAN_QUERIES> = Vec::new();
    for (distances, ids) in distances.chunks_exact_mut(k).zip(out.chunks_exact_mut(k)) {
        // There is room for as many as there are queries.
        if best.push(KBest::new(distances, ids)?).is_err() {
            break;
        }
    }
    let (best, counters) = tier.run(Scan { metric, ids, queries, except, packed, sums, best });
    for best in best {
        best.finish();
    }
    Ok(counters)
}

/// A block of queries as a body to be run on a tier.
struct Scan<'a, 'k, T, F> {
    metric: &'a Coordinates<'a, T, F>,
    ids: &'a [Idx],
    queries: Rows<'a, T>,
    except: &'a [Idx],
    packed: &'a mut [T],
    sums: &'a mut [T],
    best: Vec<KBest<'k>, SCAN_QUERIES>,
}

impl<'k, T: Real, F: Form> OnLanes for Scan<'_, 'k, T, F> {
    type Out = (Vec<KBest<'k>, SCAN_QUERIES>, ScanCounters);

    #[inline(always)]
    fn run<L: Lanes>(mut self) -> Self::Out {
        let (points, count) = (self.metric.points(), self.queries.len());
        let ahead = self.metric.projected_axes();
        let dim = self.queries.dim() - ahead;
        let mut counters = ScanCounters::default();
        counters.distance_evals += count as u64 * points.len() as u64;
        tile::pack_queries::<T, F, L>(self.queries.data(), ahead, dim, self.packed);
        let all = points.len().div_ceil(T::LANES);
        let mut first = 0;
        while first < all {
            let panels = PANELS.min(all - first);
            let stride = panels * T::LANES;
            let run = points.run(first, panels);
            let sums = &mut self.sums[..count * stride];
            if T::IS_F64 {
                tile::block_to_run::<T, F, L, true>(self.packed, count, (ahead, dim), run, tile::Plain, sums);
            } else {
                tile::block_to_run::<T, F, L, false>(self.packed, count, (ahead, dim), run, tile::Plain, sums);
            }
            for query in 0..count {
                counters.settled += self.offer::<L>(query, first, stride);
            }
            first += panels;
        }
        (self.best, counters)
    }
}

impl<T: Real, F: Form> Scan<'_, '_, T, F> {
    /// Offers the points whose sums leave them possible, from the panel `first` on; returns how many were settled.
    #[inline(always)]
    fn offer<L: Lanes>(&mut self, query: usize, first: usize, stride: usize) -> u64 {
        let Self { metric, ids, queries, except, sums, best, .. } = self;
        let (row, best) = (queries.row(query), &mut best[query]);
        let mut ceiling = <T::On<L>>::splat(metric.ceiling(best.worst()));
        let mut settled = 0;
        for (panel, sums) in sums[query * stride..][..stride].chunks_exact(T::LANES).enumerate() {
            let start = (first + panel) * T::LANES;
            let mut mask = <T::On<L>>::load(sums).le(ceiling);
            if mask == 0 {
                continue;
            }
            // The last panel may be cut.
            let lanes = ids.len() - start;
            mask &= if lanes < T::LANES { (1 << lanes) - 1 } else { u32::MAX };
            let mut exact = [0.0; 16];
            metric.distances::<L>(row, start, mask, sums, &mut exact);
            settled += u64::from(mask.count_ones());
            while mask != 0 {
                let lane = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                if ids[start + lane] != except[query] {
                    best.offer(exact[lane], ids[start + lane]);
                }
            }
            ceiling = <T::On<L>>::splat(metric.ceiling(best.worst()));
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

    fn check<T: Real, F: Form>(rows: &[T], queries: &[T], dim: usize, k: usize) {
        let (len, count) = (rows.len() / dim, queries.len() / dim);
        let packed = pack(rows, dim);
        let metric = Coordinates::<T, F>::new(Panels::new(&packed, dim, len).unwrap());
        let ids: Vec<Idx> = (100..100 + len as Idx).collect();
        let except: Vec<Idx> = (0..count as Idx).map(|query| if query % 3 == 0 { 100 + query } else { NONE }).collect();
        for tier in Tier::all() {
            let mut memory = vec![Block::new([0xdead_beef; 16]); scan_blocks::<T>(dim)];
            let (mut distances, mut found) = (vec![-7.0; count * k], vec![-7; count * k]);
            let asked = Rows::new(queries, dim).unwrap();
            let arena = &mut Arena::new(&mut memory);
            let counters = scan(tier, &metric, &ids, asked, &except, &mut distances, &mut found, arena).unwrap();
            assert_eq!(counters.distance_evals, (len * count) as u64);
            for (query, row) in queries.chunks_exact(dim).enumerate() {
                let both = distances[query * k..][..k].iter().copied().zip(found[query * k..][..k].iter().copied());
                let got: Vec<(f64, Idx)> = both.collect();
                assert_eq!(got, brute::<T, F>(rows, dim, row, except[query], k), "{tier}, query {query}");
            }
        }
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
