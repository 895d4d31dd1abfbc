//! Landmarks of the leaves, and their members as combinations of them: what bounds the correlations of two leaves after a few
//! dot products.

use std::fmt;
use std::str::FromStr;

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::landmark::{
    BetweenSide, Chosen, ChosenCluster, Combined, CombinedMemory, Extent, LandmarkCounters, Limits, PanelTerms, choose,
    choose_blocks, combination_errors, combine, panel_terms, point_error, solve_defect,
};
use covertree_kernels::residual::{
    ResidualCounters, ResidualModel, ResidualPoints, block_where, block_where_blocks, pack_queries, pack_queries_blocks,
};
use covertree_kernels::simd::{LANES_F64, Tier};
use covertree_kernels::view::panels_len;

use super::factor::Factor;
use super::layout::{LEAF, Ranks};
use crate::error::Error;

/// Columns of `V` from which bounds by landmarks are worth their price.
const FRAMES_FROM: usize = 96;

/// How many landmarks a leaf has, for the bounds that rule pairs out. Answers never depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Landmarks {
    /// As many as pay where `V` has 96 columns or more, else none.
    #[default]
    Auto,
    /// At most so many, up to [`Landmarks::MAX`]; fewer where the rest of the leaf is explained by them. None is no bounds.
    Most(usize),
}

impl Landmarks {
    /// A leaf has no more points.
    pub const MAX: usize = LEAF;

    /// Most landmarks of a leaf, for a `V` of so many columns.
    pub(super) fn most(self, columns: usize) -> usize {
        match self {
            Self::Auto if columns < FRAMES_FROM => 0,
            Self::Auto => Self::MAX,
            Self::Most(count) => count.min(Self::MAX),
        }
    }
}

impl fmt::Display for Landmarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Most(count) => write!(f, "{count}"),
        }
    }
}

impl FromStr for Landmarks {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let count = text.parse().ok().filter(|count| *count <= Self::MAX).map(Self::Most);
        let refused = || Error::Usage(format!("{text:?} is no number of landmarks; choose auto or 0 to {}", Self::MAX));
        if text == "auto" { Ok(Self::Auto) } else { count.ok_or_else(refused) }
    }
}

/// The squared tail below which no further landmark is taken. The bound of a pair is the sum of both tails and what landmarks
/// explain of its correlation, and is compared with correlations of the nearest neighbours, a third and more. Fewer landmarks
/// leave more pairs, more cost more than they rule out: a product of the numbers of both leaves. Where pairs are computed in
/// `f64`, those that are left cost more.
const PIVOTS: [f64; 2] = [0.01, 0.0225];

/// The same for the last point of a leaf, in either precision, where neighbours are wanted among earlier points; less is left of
/// those that come before it ([`by_rank`]).
const PIVOT_OF_LAST: f64 = 0.05;

/// The squared tail that is enough where the points of a leaf are close, as a share of their squared correlation with each
/// other: their nearest neighbours are at least as close, and two tails of this size make a bound of less than half of that.
const PIVOT_SHARE: f64 = 0.04;

/// The members of a leaf as combinations of its landmarks, which are the first members.
pub(crate) struct LeafCluster {
    pub count: usize,
    members: usize,
    weights: Vec<f32>,
    extents: [Vec<f32>; 3],
    /// How errors reach the bounds of the members, in `f64` and in `f32`.
    errors: [Vec<f32>; 2],
}

impl LeafCluster {
    /// The members.
    fn combined(&self) -> Result<Combined<'_>, KernelError> {
        let [sums, spans, tails] = &self.extents;
        Combined::new(&self.weights, [sums, spans, tails], self.members, self.count)
    }

    /// The members as one side of a bound in one of the precisions.
    pub fn side<'a>(
        &'a self,
        precision: usize,
        ranks: &'a [f32],
        least: &'a [f32],
        terms: &'a [PanelTerms],
    ) -> Result<BetweenSide<'a>, KernelError> {
        Ok(BetweenSide { members: self.combined()?, errors: &self.errors[precision], ranks, least, terms })
    }

    /// The largest terms of the bounds of its panels in one of the precisions.
    pub fn terms(&self, precision: usize, ranks: &[f32], terms: &mut [PanelTerms]) -> Result<(), KernelError> {
        panel_terms(&self.combined()?, &self.errors[precision], ranks, terms)
    }

    /// Finds how errors reach the bounds, from the error factors of the members in both precisions.
    pub fn weigh(&mut self, errors: [&[f64]; 2]) -> Result<(), KernelError> {
        let mut both = [vec![0.0; self.extents[0].len()], vec![0.0; self.extents[0].len()]];
        for (tile_errors, out) in errors.into_iter().zip(&mut both) {
            combination_errors(&self.combined()?, errors[0], tile_errors, out)?;
        }
        self.errors = both;
        Ok(())
    }
}

/// The error factors `mu` of the points of a leaf, for correlations with the given margins.
pub(crate) fn errors(weights: &[f64], margins: &[f64], p: &[f64], model: &ResidualModel, jitter: f64) -> Vec<f64> {
    let each = weights.iter().zip(margins).zip(p);
    each.map(|((&weights, &margin), &p)| {
        let weights = weights.max(1.0);
        point_error(margin, solve_defect(model, jitter, weights * weights), p)
    })
    .collect()
}

/// The norms of the weights of `len` points.
pub(crate) fn weights(factor: &Factor, v: &[f64], len: usize) -> Vec<f64> {
    let mut norms = vec![0.0; len];
    factor.weights(v, &mut norms);
    norms
}

/// How correlated the points of a leaf are with each other: for half of them, half of the others are closer.
fn closeness(rho: &[f64], lanes: usize) -> f64 {
    let len = rho.len() / lanes;
    let middle = |sizes: &mut [f64]| *sizes.select_nth_unstable_by(len / 2, f64::total_cmp).1;
    let of = |row: &[f64]| middle(&mut row[..len].iter().map(|rho| rho.abs()).collect::<Vec<f64>>());
    middle(&mut rho.chunks_exact(lanes).map(of).collect::<Vec<f64>>()).min(1.0)
}

/// How much the squared tails of points that come at these ranks count: the more, the fewer of the leaf come before.
///
/// Who comes early chooses among few, and wants the less correlated of them. A bound is the sum of both tails, and is compared
/// with what the later point wants; so the tails of two early points have to be small, where those of late ones need not. The
/// squared tail that is left of a point is limited by the share of the leaf that has come with it: in three dimensions what is
/// wanted falls a little faster. Without such weights three fifths of the pairs that the bounds left were of two points of the
/// first quarter (Matern-5/2, 32 768 normally distributed points in 3-D, random order).
fn by_rank(ranks: &[Idx]) -> Vec<f64> {
    let mut sorted = ranks.to_vec();
    sorted.sort_unstable();
    let earlier = |rank: &Idx| sorted.partition_point(|other| other < rank);
    ranks.iter().map(|rank| ranks.len() as f64 / (earlier(rank) + 1) as f64).collect()
}

/// Chooses at most `most` landmarks among the points of a leaf, which come at these ranks; gives the order of its members in
/// which the landmarks stand first, and the members as combinations of them.
pub(crate) fn choose_landmarks(
    (tier, most, hard): (Tier, usize, bool),
    points: &ResidualPoints<'_, f64>,
    Ranks { ranks, ordered }: &Ranks,
    errors: &[f64],
) -> Result<(Vec<Idx>, LeafCluster), KernelError> {
    let len = errors.len();
    let panels = len.div_ceil(LANES_F64);
    let run = points.run(0, panels)?;
    let columns = points.model().columns();
    let blocks = pack_queries_blocks::<f64>(panels, columns)
        + block_where_blocks::<f64>(panels, panels)
        + choose_blocks(len, most);
    let mut memory = vec![Block::default(); blocks];
    let mut arena = Arena::new(&mut memory);
    let queries = pack_queries(tier, &run, &mut arena)?;
    let lanes = panels * LANES_F64;
    let mut rho = vec![0.0; lanes * lanes];
    let (all, mut counters) = (vec![u32::MAX; lanes * panels], ResidualCounters::default());
    block_where(&queries, &run, &all, &mut rho, &mut arena, &mut counters)?;
    let mut landmarks = vec![0; most];
    let mut factor = vec![0.0; most * most];
    let mut coordinates = vec![0.0; len * most];
    let mut extents = vec![Extent { span: 0.0, tail: 0.0, slack: 0.0 }; len];
    let chosen =
        Chosen { landmarks: &mut landmarks, factor: &mut factor, coordinates: &mut coordinates, extents: &mut extents };
    let column = |member: Idx, out: &mut [f64]| {
        out.copy_from_slice(&rho[at(member) * lanes..][..len]);
        Ok(())
    };
    let close = closeness(&rho[..len * lanes], lanes);
    // The choice has to be good, not proven: combinations count the errors for themselves.
    let (pivot, weights) = match ordered {
        true => (PIVOT_OF_LAST, by_rank(ranks)),
        false => (PIVOTS[usize::from(!hard)], Vec::new()),
    };
    let limits = Limits { count: most, pivot: pivot.max(PIVOT_SHARE * close * close), weights: &weights };
    let mut counters = LandmarkCounters::default(); // a fit reports no work
    let frame = choose(limits, &vec![0.0; len], column, chosen, &mut arena, &mut counters)?;
    let mut order = landmarks[..frame.count()].to_vec();
    // The others as they come: what comes early wants little correlation, but of few points, so it should not share a panel
    // with what comes late.
    let mut rest: Vec<Idx> = (0..len as Idx).filter(|member| !order.contains(member)).collect(); // at most a leaf
    rest.sort_unstable_by_key(|&member| ranks[at(member)]);
    order.extend(rest);
    let mut cluster = LeafCluster {
        count: frame.count(),
        members: len,
        weights: vec![0.0; panels_len::<f32>(len, frame.count())],
        extents: [(); 3].map(|()| vec![0.0; panels_len::<f32>(len, 1)]),
        errors: Default::default(),
    };
    let [sums, spans, tails] = &mut cluster.extents;
    let mut target = CombinedMemory { weights: &mut cluster.weights, sums, spans, tails };
    let chosen =
        ChosenCluster { frame: &frame, factor: &factor, coordinates: &coordinates, rho: &rho[..len * lanes], errors };
    combine(&chosen, &order, &mut target)?;
    Ok((order, cluster))
}

#[cfg(test)]
mod tests {
    use super::by_rank;

    #[test]
    fn who_comes_early_counts_more() {
        assert_eq!(by_rank(&[70, 3, 900, 5]), [4.0 / 3.0, 4.0, 1.0, 2.0], "the first four times as much as the last");
        assert!(by_rank(&[]).is_empty());
    }
}
