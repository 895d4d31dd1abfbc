//! Many queries to one body: through the tree, or by brute force where the tree would read most points anyway.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{SCAN_QUERIES, SearchCounters, TreeView, knn, scan_blocks, search_blocks};
use covertree_kernels::view::Rows;

use super::body::Body;
use crate::answers::Answers;
use crate::error::Error;
use crate::parallel;
use crate::space::{PanelMetric, QueryIsRow, Scan};
use crate::workers::Workers;

/// Queries that one task answers.
const CHUNK: usize = SCAN_QUERIES;

/// Queries that are put to the tree first, to see how much of it they read.
const SAMPLE: usize = 32;

/// How many pairs a scan gets through while a tree looks at one point or bounds one group: blocks of queries share their
/// loads, and nothing is decided per group. Measured from 16 dimensions on, where the question arises; answers do not
/// depend on it.
const SCAN_GAIN: u64 = 3;

/// What is asked for the neighbours of.
#[derive(Clone, Copy)]
pub(super) enum Asked<'q, T> {
    /// Rows of prepared coordinates.
    Rows(&'q [T]),
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

impl<M: PanelMetric> Queries<'_, M> {
    /// Answers all queries, of which there are as many as the answers have rows.
    pub fn answer(&self, answers: &mut Answers) -> Result<SearchCounters, Error> {
        let k = answers.k;
        let workers = Workers::new();
        let count = answers.ids.len() / k;
        let mut total = SearchCounters::default();
        let scan = match M::scan() {
            Some(scan) if self.reads_most(count, k, &mut total)? => Some(scan),
            _ => None,
        };
        let scratch = match scan {
            Some(_) => scan_blocks::<M::Real>(self.body.dim()),
            None => search_blocks(self.body.tree.waiting),
        };
        let Answers { ids, distances, .. } = answers;
        let chunk = |chunk: usize, ids: &mut [Idx], distances: &mut [f64]| {
            workers.with(scratch, |memory| match scan {
                Some(scan) => self.scan(scan, chunk * CHUNK, k, ids, distances, memory),
                None => self.search(chunk * CHUNK, k, ids, distances, memory),
            })
        };
        for counters in parallel::chunk_pairs((ids, k * CHUNK), (distances, k * CHUNK), &chunk) {
            total.merge(&counters?);
        }
        Ok(total)
    }

    /// Whether a scan is the faster way, by what a sample of the queries reads of the tree.
    fn reads_most(&self, count: usize, k: usize, total: &mut SearchCounters) -> Result<bool, Error> {
        if count < 2 * SAMPLE {
            return Ok(false);
        }
        let mut memory = vec![Block::default(); search_blocks(self.body.tree.waiting)];
        let (mut ids, mut distances) = (vec![NONE; k], vec![0.0; k]);
        let mut work = SearchCounters::default();
        for sample in 0..SAMPLE {
            let place = sample * (count / SAMPLE);
            work.merge(&self.search(place, k, &mut ids, &mut distances, &mut memory)?);
        }
        total.merge(&work);
        let read = work.distance_evals + work.groups + work.pruned;
        Ok(read * SCAN_GAIN > (SAMPLE * self.body.tree.len()) as u64)
    }

    /// Writes the row of a query into `room`; gives the id that is left out of its answer.
    fn query(&self, place: usize, room: &mut Vec<M::Real>) -> Idx {
        let (dim, panels) = (self.body.dim(), self.body.points.panels());
        match self.asked {
            Asked::Rows(rows) => {
                room.extend_from_slice(&rows[place * dim..][..dim]);
                NONE
            }
            Asked::Members { include_self } => {
                room.extend((0..dim).map(|d| panels.coordinate(place, d)));
                if include_self { NONE } else { self.body.tree.ids[place] }
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
        let kernel = M::kernel(self.body.points.panels(), self.body.points.boxes());
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
        let kernel = M::kernel(self.body.points.panels(), None);
        let mut room = Vec::with_capacity(self.body.dim() * CHUNK);
        let except: Vec<Idx> = (first..first + ids.len() / k).map(|place| self.query(place, &mut room)).collect();
        let rows = Rows::new(&room, self.body.dim())?;
        let arena = &mut Arena::new(memory);
        let work = scan(self.tier, &kernel, self.view.parts().ids, rows, &except, distances, ids, arena)?;
        let (distance_evals, settled) = (work.distance_evals, work.settled);
        Ok(SearchCounters { distance_evals, settled, ..SearchCounters::default() })
    }
}
