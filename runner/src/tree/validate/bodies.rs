//! What is measured between points, as bodies to be run on a tier.

use std::ops::Range;

use covertree_kernels::simd::{Lanes, OnLanes, Real, Vector};
use covertree_kernels::tree::{Metric, run_len};

use super::SelfQueries;

/// Positions that are measured in one go.
pub(super) const CHUNK: usize = 512;

/// Distances by the published formula from one query to the positions from `from` on, as many as `out` holds.
pub(super) struct Distances<'a, 'q, M: Metric> {
    pub metric: &'a M,
    pub query: M::Query<'q>,
    pub from: usize,
    pub out: &'a mut [f64],
}

impl<M: Metric> OnLanes for Distances<'_, '_, M> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let lanes = M::Real::LANES;
        let mut surrogates = [M::Real::default(); CHUNK];
        let end = self.from + self.out.len();
        let mut from = self.from;
        while from < end {
            let to = end.min(from / lanes * lanes + CHUNK);
            let room = &mut surrogates[..run_len(lanes, from, to)];
            self.metric.surrogates::<L>(self.query, from, to, M::Real::INFINITY, room);
            for position in from..to {
                let surrogate = room[position - from / lanes * lanes];
                self.out[position - self.from] = self.metric.distance::<L>(self.query, position, surrogate);
            }
            from = to;
        }
    }
}

/// Two nodes whose surrogate does not rule out that they are too close.
pub(super) struct Close {
    pub position: usize,
    pub other: usize,
    pub distance: f64,
}

/// Finds the pairs of a few nodes with the positions `from..to` that are too close, or nearly so.
pub(super) struct TooClose<'a, 'q, M: Metric> {
    pub metric: &'a M,
    /// Positions and queries of the nodes.
    pub nodes: &'a [(usize, M::Query<'q>)],
    /// Whether each node is held against what stands before it only, so that each pair is met once.
    pub before: bool,
    /// A multiple of the panel width.
    pub from: usize,
    pub to: usize,
    /// For each position, padded to whole panels, the ceiling of the radius of its level; minus infinity for twins.
    pub ceilings: &'a [M::Real],
    pub found: &'a mut Vec<Close>,
}

impl<M: Metric> OnLanes for TooClose<'_, '_, M> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let lanes = M::Real::LANES;
        let mut surrogates = [M::Real::default(); CHUNK];
        for &(node, query) in self.nodes {
            let to = if self.before { self.to.min(node) } else { self.to };
            if to <= self.from {
                continue;
            }
            let ceiling = self.ceilings[node];
            let room = &mut surrogates[..run_len(lanes, self.from, to)];
            self.metric.surrogates::<L>(query, self.from, to, ceiling, room);
            for (panel, values) in room.chunks_exact(lanes).enumerate() {
                let start = self.from + panel * lanes;
                let vector = <<M::Real as Real>::On<L>>::load(values);
                // The lower one of the two levels decides, which is the smaller one of the two ceilings.
                let mut mask = vector.le(<<M::Real as Real>::On<L>>::splat(ceiling))
                    & vector.le(<<M::Real as Real>::On<L>>::load(&self.ceilings[start..]));
                while mask != 0 {
                    let lane = mask.trailing_zeros() as usize;
                    mask &= mask - 1;
                    let other = start + lane;
                    if other < to && other != node {
                        let distance = self.metric.distance::<L>(query, other, values[lane]);
                        self.found.push(Close { position: node, other, distance });
                    }
                }
            }
        }
    }
}

/// The first of some positions of a group that its box leaves out.
pub(super) struct OutsideBox<'a, Q: SelfQueries> {
    pub points: &'a Q,
    pub group: usize,
    pub members: Range<usize>,
}

impl<Q: SelfQueries> OnLanes for OutsideBox<'_, Q> {
    type Out = Option<usize>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Option<usize> {
        type RealOf<Q> = <<Q as SelfQueries>::Metric as Metric>::Real;
        let lanes = <RealOf<Q>>::LANES;
        let metric = self.points.metric();
        let mut room = Q::Room::default();
        let (mut bounds, mut surrogates) = ([<RealOf<Q>>::default(); 16], [<RealOf<Q>>::default(); 16]);
        for position in self.members {
            let query = self.points.query(position, &mut room);
            metric.box_bounds::<L>(query, self.group, self.group + 1, &mut bounds[..lanes]);
            metric.surrogates::<L>(query, position, position + 1, <RealOf<Q>>::INFINITY, &mut surrogates[..lanes]);
            let fits = bounds[self.group % lanes] <= surrogates[position % lanes];
            if !fits {
                return Some(position);
            }
        }
        None
    }
}

/// The largest reach that rounding explains where the farthest point is so far away, on whatever tier it was measured.
pub(super) struct ReachLimit<'a, M> {
    pub metric: &'a M,
    pub distance: f64,
}

impl<M: Metric> OnLanes for ReachLimit<'_, M> {
    type Out = f64;

    #[inline(always)]
    fn run<L: Lanes>(self) -> f64 {
        // A reach is made from the largest surrogate, and no surrogate of a point in reach is above the ceiling.
        self.metric.at_most::<L>(self.metric.ceiling(self.distance))
    }
}
