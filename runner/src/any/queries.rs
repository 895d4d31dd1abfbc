//! Many queries to one body: through the tree, or by brute force where the tree would read most points anyway.

use std::borrow::Cow;
use std::ops::Range;

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::tree::{
    SCAN_QUERIES, SearchCounters, TreeView, knn, knn_panel_blocks, scan_blocks, search_blocks,
};
use covertree_kernels::view::Rows;

use super::body::{Body, ranks};
use crate::answers::Answers;
use crate::error::Error;
use crate::order::{Curve, curve_order};
use crate::parallel;
use crate::points::gather_rows;
use crate::space::{KnnPanel, PanelMetric, QueryIsRow, Scan};
use crate::workers::Workers;

/// Queries that are answered in one go.
const CHUNK: usize = SCAN_QUERIES;

/// Most chunks whose answers are written at once where they belong elsewhere, so that a task seldom waits for another.
const TOGETHER: usize = 16;

/// Tasks that each thread has at least, where there are queries for so many.
const TASKS: usize = 8;

/// Queries that are put to the tree first, where there are no panels, to see how much of it they read; fewer where that would be
/// more than one of [`SHARE`].
const SAMPLE: usize = 32;

/// At most one query of so many is answered to find out how to answer all. Few queries are over before it would pay.
const SHARE: usize = 32;

/// Panels of queries that are put to the tree first, at least and at most: in between, one of [`SHARE`].
const PANELS: (usize, usize) = (8, 48);

/// What work costs, in nanoseconds: fitted to times of the three kernels on one thread of a Zen 3 over 32,768 normally
/// distributed points in 2 to 16 dimensions, for 8 and 50 neighbours, and within a quarter of most of them. Answers do
/// not depend on it.
struct Costs {
    dim: f64,
    k: f64,
}

impl Costs {
    /// Of brute force in register tiles for so many queries: the pairs, and the points that are among the nearest so far.
    fn of_scan(&self, queries: usize, points: usize) -> f64 {
        let (queries, points) = (queries as f64, points as f64);
        let noted = self.k * (1.0 + (points / self.k).max(1.0).ln());
        queries * (points * (self.dim + 8.0) / 34.0 + 35.0 * noted)
    }

    /// Of searching a tree for one query at a time.
    fn of_singles(&self, work: &SearchCounters) -> f64 {
        sum(work, [self.dim.max(10.0) / 10.8, 35.0, 30.0, 2.0])
    }

    /// Of searching it for a panel of queries: the more neighbours are wanted, the more of the pairs are noted.
    fn of_panels(&self, work: &SearchCounters) -> f64 {
        sum(work, [self.dim.max(8.0) / 18.0 + (self.k - 8.0).max(0.0) / 84.0, 40.0, 125.0, 2.0])
    }
}

/// Work at the cost of a pair, of a distance that is settled, of a group that is opened and of one that is ruled out.
fn sum(work: &SearchCounters, [pair, settled, group, pruned]: [f64; 4]) -> f64 {
    pair * work.distance_evals as f64
        + settled * work.settled as f64
        + group * work.groups as f64
        + pruned * work.pruned as f64
}

/// Answers a run of queries from the given one on into ids and distances; the last is memory.
type Answer<'a> =
    dyn Fn(usize, &mut [Idx], &mut [f64], &mut [Block]) -> Result<SearchCounters, KernelError> + Sync + 'a;

/// What is asked for the neighbours of.
pub(super) enum Asked<'q, T: Clone> {
    /// Rows of prepared coordinates.
    Rows(Cow<'q, [T]>),
    /// Every point of the tree, in the tree's order; its own id is among the neighbours or not.
    Members {
        /// Whether a point is its own neighbour.
        include_self: bool,
    },
}

/// Queries to a body.
pub(super) struct Queries<'a, M: PanelMetric> {
    pub body: &'a Body<M>,
    pub asked: Asked<'a, M::Real>,
    pub view: TreeView<'a>,
    pub tier: Tier,
}

/// How queries are answered.
enum Way<M: PanelMetric> {
    /// One by one through the tree.
    Singly,
    /// A panel of neighbours at a time through the tree.
    Panels(KnnPanel<M>),
    /// By brute force.
    Scan(Scan<M>),
}

/// The place of a number among `len`: any first few numbers have places that are spread over all of them, as multiples of the
/// golden ratio are. Equal steps would meet the borders of cells, which are simple fractions of the points, again and again,
/// and there the queries of a panel lie far apart.
fn spread(number: usize, len: usize) -> usize {
    let turn = (number as u32 + 1).wrapping_mul(0x9E37_79B9); // a sample is small
    ((u64::from(turn) * len as u64) >> 32) as usize
}

/// Runs of queries, spread over all of them.
struct Sample {
    samples: usize,
    /// Queries of a run.
    size: usize,
    /// Queries in all.
    count: usize,
    k: usize,
}

impl Sample {
    /// The work of answering them.
    fn work(&self, workers: &Workers, blocks: usize, answer: &Answer<'_>) -> Result<SearchCounters, KernelError> {
        let Self { samples, size, count, k } = *self;
        let run = |sample: Range<usize>| {
            // Panels begin at a multiple, and are whole.
            let place = spread(sample.start, count / size) * size;
            let (mut ids, mut distances) = (vec![NONE; k * size], vec![0.0; k * size]);
            workers.with(blocks, |memory| answer(place, &mut ids, &mut distances, memory))
        };
        let mut total = SearchCounters::default();
        for work in parallel::pieces(samples, 1, &run) {
            total.merge(&work?);
        }
        Ok(total)
    }
}

impl<M: PanelMetric> Queries<'_, M> {
    /// Fewer queries are not put into panels: it takes some to find out what is better.
    const LEAST_FOR_PANELS: usize = SHARE * PANELS.0 * <M::Real as Real>::LANES;

    /// Answers all queries, of which there are as many as the answers have rows: rows in the order of asking, points in that of
    /// their ids.
    pub fn answer(mut self, answers: &mut Answers) -> Result<SearchCounters, Error> {
        let k = answers.k;
        let workers = Workers::new();
        let count = answers.ids.len() / k;
        let mut total = SearchCounters::default();
        let order = match self.asked {
            Asked::Members { .. } => Some(ranks(&self.body.tree.ids)),
            Asked::Rows(_) if count < Self::LEAST_FOR_PANELS => None,
            Asked::Rows(_) => self.sort().map(Cow::Owned),
        };
        let way = self.way(count, k, &workers, &mut total)?;
        let scratch = match way {
            Way::Scan(_) => scan_blocks::<M::Real>(self.body.dim()),
            Way::Singly => search_blocks(self.body.tree.waiting),
            Way::Panels(_) => knn_panel_blocks::<M::Real>(self.body.tree.waiting, self.body.dim(), k),
        };
        let chunk = |chunk: usize, ids: &mut [Idx], distances: &mut [f64]| {
            workers.with(scratch, |memory| match way {
                Way::Scan(scan) => self.scan(scan, chunk * CHUNK, k, ids, distances, memory),
                Way::Singly => self.search(chunk * CHUNK, k, ids, distances, memory),
                Way::Panels(panel) => self.panels(panel, chunk * CHUNK, k, ids, distances, memory),
            })
        };
        let work = match order {
            None => {
                let Answers { ids, distances, .. } = answers;
                parallel::chunk_pairs((ids, k * CHUNK), (distances, k * CHUNK), &chunk)
            }
            Some(order) => {
                let (out, tasks) = (answers.scattered(), TASKS * rayon::current_num_threads());
                let together = CHUNK * (count / (CHUNK * tasks)).clamp(1, TOGETHER);
                parallel::pieces(count, together, &|places| -> Result<SearchCounters, KernelError> {
                    let (mut ids, mut distances) = (vec![NONE; k * places.len()], vec![0.0; k * places.len()]);
                    let chunks = ids.chunks_mut(k * CHUNK).zip(distances.chunks_mut(k * CHUNK));
                    let mut total = SearchCounters::default();
                    for (number, (ids, distances)) in chunks.enumerate() {
                        total.merge(&chunk(places.start / CHUNK + number, ids, distances)?);
                    }
                    out.write(&order[places], &ids, &distances);
                    Ok(total)
                })
            }
        };
        for counters in work {
            total.merge(&counters?);
        }
        Ok(total)
    }

    /// Puts queries that are rows into an order in which neighbours in space are neighbours, where the points are; gives the
    /// order.
    fn sort(&mut self) -> Option<Vec<Idx>> {
        let (Asked::Rows(rows), Some(boxes)) = (&self.asked, self.body.points.boxes()) else { return None };
        let dim = self.body.dim();
        if boxes.axes() != dim {
            return None; // rows hold more than coordinates
        }
        let order = curve_order(Curve::Hilbert, self.tier, rows, dim);
        self.asked = Asked::Rows(Cow::Owned(gather_rows(rows, dim, &order)));
        Some(order)
    }

    /// The fastest way, by what a sample of the queries reads of the tree.
    fn way(&self, count: usize, k: usize, workers: &Workers, total: &mut SearchCounters) -> Result<Way<M>, Error> {
        let lanes = <M::Real as Real>::LANES;
        let (scan, points) = (M::scan(), &self.body.points);
        let plain = points.boxes().is_some() && points.ahead().axes == 0;
        let panel = M::knn_panel().filter(|_| plain && count >= Self::LEAST_FOR_PANELS);
        // One query of each panel of the sample is answered alone as well, so that both ways meet the same regions.
        let samples = match panel {
            Some(_) => (count / (SHARE * lanes)).clamp(PANELS.0, PANELS.1),
            None => SAMPLE.min(count / SHARE),
        };
        if samples == 0 || (scan.is_none() && panel.is_none()) {
            return Ok(Way::Singly);
        }
        let costs = Costs { dim: self.body.dim() as f64, k: k as f64 };
        let sample = Sample { samples, size: 1, count, k };
        let blocks = search_blocks(self.body.tree.waiting);
        let work = sample
            .work(workers, blocks, &|first, ids, distances, memory| self.search(first, k, ids, distances, memory))?;
        total.merge(&work);
        let (mut way, mut least) = (Way::Singly, costs.of_singles(&work));
        if let Some(panel) = panel {
            let sample = Sample { samples, size: lanes, count, k };
            let blocks = knn_panel_blocks::<M::Real>(self.body.tree.waiting, self.body.dim(), k);
            let work = sample.work(workers, blocks, &|first, ids, distances, memory| {
                self.panels(panel, first, k, ids, distances, memory)
            })?;
            total.merge(&work);
            let cost = costs.of_panels(&work) / lanes as f64;
            (way, least) = if cost < least { (Way::Panels(panel), cost) } else { (way, least) };
        }
        let all = costs.of_scan(samples, self.body.tree.len());
        Ok(scan.filter(|_| all < least).map_or(way, Way::Scan))
    }

    /// Writes the row of a query into `room`; gives the id that is left out of its answer.
    fn query(&self, place: usize, room: &mut Vec<M::Real>) -> Idx {
        let (dim, panels) = (self.body.dim(), self.body.points.panels());
        match &self.asked {
            Asked::Rows(rows) => {
                room.extend_from_slice(&rows[place * dim..][..dim]);
                NONE
            }
            Asked::Members { include_self } => {
                room.extend((0..dim).map(|d| panels.coordinate(place, d)));
                if *include_self { NONE } else { self.body.tree.ids[place] }
            }
        }
    }

    /// Answers the queries from `first` on, as many as the outputs have rows, one by one through the tree.
    fn search(
        &self,
        first: usize,
        k: usize,
        ids: &mut [Idx],
        distances: &mut [f64],
        memory: &mut [Block],
    ) -> Result<SearchCounters, KernelError> {
        let kernel = self.body.points.metric::<M>();
        let mut room = Vec::with_capacity(self.body.dim());
        let mut total = SearchCounters::default();
        for (row, (ids, distances)) in ids.chunks_mut(k).zip(distances.chunks_mut(k)).enumerate() {
            room.clear();
            let except = self.query(first + row, &mut room);
            let query = <M::Kernel<'_> as QueryIsRow<'_, M::Real>>::from_row(&room);
            let arena = &mut Arena::new(memory);
            let (_, counters) = knn(self.tier, self.view, &kernel, query, except, distances, ids, arena)?;
            total.merge(&counters);
        }
        Ok(total)
    }

    /// The same, a panel at a time.
    fn panels(
        &self,
        panel: KnnPanel<M>,
        first: usize,
        k: usize,
        ids: &mut [Idx],
        distances: &mut [f64],
        memory: &mut [Block],
    ) -> Result<SearchCounters, KernelError> {
        let (dim, lanes) = (self.body.dim(), <M::Real as Real>::LANES);
        let points = self.body.points.panels();
        let kernel = self.body.points.metric::<M>();
        let (mut packed, mut total) = (vec![M::Real::default(); dim * lanes], SearchCounters::default());
        let mut except = [NONE; 16];
        let chunks = ids.chunks_mut(k * lanes).zip(distances.chunks_mut(k * lanes));
        for (number, (ids, distances)) in chunks.enumerate() {
            let (first, count) = (first + number * lanes, ids.len() / k);
            let queries = match &self.asked {
                Asked::Rows(rows) => {
                    for (lane, row) in rows[first * dim..].chunks_exact(dim).take(count).enumerate() {
                        packed.chunks_exact_mut(lanes).zip(row).for_each(|(out, &value)| out[lane] = value);
                    }
                    &packed
                }
                Asked::Members { include_self } => {
                    if !include_self {
                        except[..count].copy_from_slice(&self.body.tree.ids[first..][..count]);
                    }
                    points.run(first / lanes, 1)
                }
            };
            let arena = &mut Arena::new(memory);
            let except = &except[..count];
            total.merge(&panel(self.tier, self.view, &kernel, queries, except, distances, ids, arena)?);
        }
        Ok(total)
    }

    /// The same by brute force, all at once.
    fn scan(
        &self,
        scan: Scan<M>,
        first: usize,
        k: usize,
        ids: &mut [Idx],
        distances: &mut [f64],
        memory: &mut [Block],
    ) -> Result<SearchCounters, KernelError> {
        let kernel = self.body.points.metric::<M>();
        let mut room = Vec::with_capacity(self.body.dim() * CHUNK);
        let except: Vec<Idx> = (first..first + ids.len() / k).map(|place| self.query(place, &mut room)).collect();
        let rows = Rows::new(&room, self.body.dim())?;
        let arena = &mut Arena::new(memory);
        let work = scan(self.tier, &kernel, self.view.parts().ids, rows, &except, distances, ids, arena)?;
        Ok(work.into())
    }
}
