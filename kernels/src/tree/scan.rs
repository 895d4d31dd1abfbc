//! Brute force in register tiles: a block of queries against all points, for any visitors.
//!
//! Where the dimension defeats every tree, a tree reads most points for each query, one query at a time. A block of
//! queries reads each point once for all of them, and is limited by the multiply-adds instead.

use heapless::Vec;

use super::search::{lanes_within, settle_panel};
use super::shortlist::{Asked, SETTLED_BLOCKS, Shortlist, may_note, take_settled};
use super::visit::{Nearest, Visitor};
use super::{Coordinates, Metric, SearchCounters};
use crate::arena::{Arena, blocks};
use crate::dist::tile::{self, FromDots, Plain};
use crate::dist::{Dot, Form, dots_error, lanes};
use crate::error::{KernelError, want};
use crate::index::Idx;
use crate::simd::{Lanes, OnLanes, Real, Tier, Vector};
use crate::topk::KBest;
use crate::view::Rows;

/// Queries that pass over the points together, at most: whole register tiles on every tier, and whole panels.
pub const SCAN_QUERIES: usize = 96;

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
#[non_exhaustive]
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

/// The same work, as a search tells it: there are no groups.
impl From<ScanCounters> for SearchCounters {
    fn from(work: ScanCounters) -> Self {
        Self { distance_evals: work.distance_evals, settled: work.settled, ..Self::default() }
    }
}

/// Blocks of scratch that [`scan`] and [`sweep`] take for queries of `dim` coordinates.
pub const fn scan_blocks<T: Real>(dim: usize) -> usize {
    let sums = blocks::<T>(SCAN_QUERIES * PANELS * T::LANES);
    let norms = blocks::<T>(SCAN_QUERIES) + blocks::<T>(PANELS * T::LANES);
    let lists = SCAN_QUERIES * Shortlist::<T>::BLOCKS + SETTLED_BLOCKS;
    (sums + norms + lists).saturating_add(blocks::<T>(tile::packed_len(SCAN_QUERIES, dim)))
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
/// That of [`sweep`]. Up to some hundred neighbours, points are only noted, and about `k` distances per query are settled in the
/// end; of more, one for each point that is among the `k` nearest of those before it: about `k (1 + ln(len / k))` in an order that
/// knows nothing of the query.
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
    let mut visitors: Vec<Nearest<'_, '_>, SCAN_QUERIES> = Vec::new();
    for ((distances, out), &except) in distances.chunks_exact_mut(k).zip(out.chunks_exact_mut(k)).zip(except) {
        // There is room for as many as there are queries.
        if visitors.push(Nearest::new(ids, except, KBest::new(distances, out)?)).is_err() {
            break;
        }
    }
    let counters = sweep(tier, metric, queries, &mut visitors, arena)?;
    for visitor in visitors {
        visitor.finish_on(tier);
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
/// | `visitors` | `[queries]`; offered points by their position among the packed points, in ascending order; those that want only the [nearest](Visitor::nearest) in the end |
/// | `arena` | [`scan_blocks`]`(dim)`, given back |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, a [visitor](Visitor::check) does not, or there are more queries,
/// [`KernelError::Scratch`] when the arena is too small. Nothing is offered then.
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
    visitors.iter().try_for_each(|visitor| visitor.check(metric.points().len()))?;
    if queries.is_empty() {
        return Ok(ScanCounters::default());
    }
    let mut memory = arena.scope();
    let memory = Memory::take::<F, V>(&mut memory, &queries, visitors)?;
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
    /// Where points are noted, for each query whose visitor wants only the nearest; else nothing.
    lists: Vec<Option<Shortlist<'a, T>>, SCAN_QUERIES>,
    /// What they are settled with.
    distances: &'a mut [f64],
}

impl<'a, T: Real> Memory<'a, T> {
    fn take<F: Form, V: Visitor<T>>(
        arena: &mut Arena<'a>,
        queries: &Rows<'_, T>,
        visitors: &[V],
    ) -> Result<Self, KernelError> {
        let mut lists = Vec::new();
        for query in 0..SCAN_QUERIES {
            let nearest = visitors.get(query).filter(|_| V::NEAREST).and_then(V::nearest);
            // There is room for as many as there are queries.
            if lists.push(Shortlist::take::<Coordinates<'_, T, F>>(arena, nearest)?).is_err() {
                break;
            }
        }
        Ok(Self {
            lists,
            distances: take_settled(arena)?,
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
        for query in 0..count {
            counters.settled += self.end::<L>(query);
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
        let visitors = self.visitors.iter().zip(&self.memory.lists);
        let reached = visitors.map(|(visitor, list)| match list {
            Some(list) => list.limit().to_f64(),
            None => F::unfinish(visitor.cap()),
        });
        let exceptions = reached.filter(|&sum| !(sum < f64::INFINITY && error <= DOTS_SHARE * sum)).count();
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
        let Memory { packed, sums, query_norms, point_norms, .. } = &mut self.memory;
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
        let (less, zero) = (<T::On<L>>::splat(error), <T::On<L>>::splat(T::default()));
        let mut list = if may_note::<Coordinates<'_, T, F>, V>() { memory.lists[query].as_mut() } else { None };
        let asked = &mut Asked { metric: *metric, query: row, distances: memory.distances };
        let mut ceiling = list.as_ref().map_or_else(|| metric.ceiling(visitor.cap()), |list| list.ceiling());
        let mut settled = 0;
        for (panel, sums) in memory.sums[query * stride..][..stride].chunks_exact(T::LANES).enumerate() {
            let start = (first + panel) * T::LANES;
            let surrogates = <T::On<L>>::load(sums).sub(less).max(zero);
            let mut mask = surrogates.le(<T::On<L>>::splat(ceiling));
            if mask == 0 {
                continue;
            }
            mask &= lanes_within(start, start, len) & visitor.narrow::<L>(start, surrogates);
            if mask == 0 {
                continue;
            }
            if let Some(list) = &mut list {
                let mut noted = [T::default(); 16];
                surrogates.store(&mut noted);
                settled += list.add::<L, _, V>(asked, visitor, (start, mask), &noted, 2.0 * error.to_f64());
                ceiling = list.ceiling();
            } else {
                settled += u64::from(mask.count_ones());
                settle_panel::<L, _, V>((*metric, row), visitor, (start, mask), sums, f64::INFINITY);
                ceiling = metric.ceiling(visitor.cap());
            }
        }
        settled
    }

    /// Settles what was only noted for a query; returns how many points that are.
    #[inline(always)]
    fn end<L: Lanes>(&mut self, query: usize) -> u64 {
        if !may_note::<Coordinates<'_, T, F>, V>() {
            return 0;
        }
        let Some(list) = self.memory.lists[query].take() else { return 0 };
        let asked =
            &mut Asked { metric: self.metric, query: self.queries.row(query), distances: self.memory.distances };
        list.end::<L, _, V>(asked, &mut self.visitors[query])
    }
}

#[cfg(test)]
mod tests;
