//! Validation: every law of a tree, held against the points themselves.
//!
//! | law | how |
//! | --- | --- |
//! | ids are distinct and name rows | every point |
//! | exactly one root, at position 0; everything hangs on it in the end | every point |
//! | levels fall strictly; twins lie at distance 0 on a node and have no children | every point |
//! | cover: `d(p, parent) <= r` of the level above `p` | every point |
//! | separation: two nodes are farther apart than `r` of the lower one of their levels | every pair, or a sample |
//! | reach: not below the distance to any strict descendant, nor above what rounding explains | every pair of the two |
//! | the order of storage, and the runs, levels, reaches and boxes of the groups | every point and group |
//!
//! Distances are those of the published formula. No bound of the tree is used to avoid one: separation looks at all
//! pairs, so that a tree whose reaches lie cannot hide anything.

mod bodies;
mod distances;
pub(crate) mod structure;
#[cfg(test)]
mod tests;
mod violation;

pub(crate) use violation::Findings;
pub use violation::Violation;

use std::fmt;

use covertree_kernels::index::Idx;
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{Metric, TWIN};
use covertree_kernels::view::Panels;

use super::{Order, Tree};
use crate::space::{PackedPoints, PanelMetric, QueryIsRow};

/// Points under a metric, in the order of a tree, each of which can also be a query.
pub trait SelfQueries: Sync {
    /// The metric; its positions are those of the tree.
    type Metric: Metric + Sync;
    /// What a query borrows from.
    type Room: Default + Send;

    /// Number of points.
    fn len(&self) -> usize;

    /// Whether there are no points.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The metric.
    fn metric(&self) -> &Self::Metric;

    /// The point at a position, as a query.
    fn query<'q>(&'q self, position: usize, room: &'q mut Self::Room) -> <Self::Metric as Metric>::Query<'q>;
}

/// Packed points under a panel metric.
pub struct PackedQueries<'a, M: PanelMetric> {
    points: Panels<'a, M::Real>,
    metric: M::Kernel<'a>,
}

impl<M: PanelMetric> fmt::Debug for PackedQueries<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedQueries").field("points", &self.points).finish_non_exhaustive()
    }
}

impl<'a, M: PanelMetric> PackedQueries<'a, M> {
    /// The points as a tree's search sees them.
    pub fn new(points: &'a PackedPoints<M::Real>) -> Self {
        Self { points: points.panels(), metric: points.metric::<M>() }
    }
}

impl<'a, M: PanelMetric> SelfQueries for PackedQueries<'a, M> {
    type Metric = M::Kernel<'a>;
    type Room = Vec<M::Real>;

    fn len(&self) -> usize {
        self.points.len()
    }

    fn metric(&self) -> &M::Kernel<'a> {
        &self.metric
    }

    fn query<'q>(&'q self, position: usize, room: &'q mut Vec<M::Real>) -> <M::Kernel<'a> as Metric>::Query<'q> {
        room.clear();
        room.extend((0..self.points.dim()).map(|d| self.points.coordinate(position, d)));
        <M::Kernel<'a> as QueryIsRow<'q, M::Real>>::from_row(room)
    }
}

/// How thoroughly a tree is validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidateConfig {
    /// Up to so many points, separation is checked on all pairs of nodes; above, on a sample.
    pub exhaustive_max: usize,
    /// Nodes of the sample; each is held against all others.
    pub sample: usize,
    /// Seed of the sample.
    pub seed: u64,
    /// The first number that no id may have: the number of points where ids are row numbers. `None`: there is none.
    pub ids: Option<Idx>,
}

impl Default for ValidateConfig {
    fn default() -> Self {
        Self { exhaustive_max: 50_000, sample: 1_000, seed: 42, ids: None }
    }
}

/// What a validation found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Points of the tree.
    pub points: usize,
    /// Those that are no twins.
    pub nodes: usize,
    /// Those that are.
    pub twins: usize,
    /// The lowest and the highest level of a node; `None` without points.
    pub levels: Option<(i32, i32)>,
    /// Groups of the tree.
    pub groups: usize,
    /// The order of storage.
    pub order: Order,
    /// Pairs of nodes whose separation was checked.
    pub pairs: u64,
    /// Nodes that were held against all others, where not all were.
    pub sampled: Option<usize>,
    /// How many violations there are.
    pub found: u64,
    /// The first few of each kind.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_valid(&self) -> bool {
        self.found == 0
    }

    /// The same with what else was found.
    pub(crate) fn and(mut self, findings: Findings) -> Self {
        let (found, violations) = findings.into_parts();
        self.found += found;
        self.violations.extend(violations);
        self
    }
}

impl fmt::Display for Report {
    /// One line; the violations are lines of their own, to be printed by the caller.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.found {
            0 => f.write_str("valid")?,
            found => write!(f, "{found} violations")?,
        }
        write!(f, ": {} points, {} nodes, {} twins", self.points, self.nodes, self.twins)?;
        if let Some((lowest, highest)) = self.levels {
            write!(f, ", levels {lowest} to {highest}")?;
        }
        match self.sampled {
            None => write!(f, ", separation of all {} pairs", self.pairs),
            Some(sampled) => {
                write!(f, ", separation of {sampled} sampled nodes from all others ({} pairs)", self.pairs)
            }
        }
    }
}

/// Validates a tree against its points, in parallel; see the [module](self) for what is checked.
///
/// Laws that others rest on are checked first: where the parents are in disorder, for example, reaches are not looked
/// at. The report does not depend on the number of threads.
///
/// # Cost
/// Up to [`exhaustive_max`](ValidateConfig::exhaustive_max) points one surrogate per pair of nodes; beyond, one per node
/// and member of the sample; besides, one per pair of a point and an ancestor. Scratch: twelve bytes per point.
pub fn validate<Q: SelfQueries>(tree: &Tree, points: &Q, config: &ValidateConfig, tier: Tier) -> Report {
    let mut findings = Findings::default();
    structure::lengths(tree, &mut findings);
    if points.len() != tree.len() {
        findings.add(Violation::Length { what: "points", want: tree.len(), got: points.len() });
    }
    let mut report = Report {
        points: tree.len(),
        nodes: 0,
        twins: 0,
        levels: None,
        groups: tree.groups.len(),
        order: tree.order,
        pairs: 0,
        sampled: None,
        found: 0,
        violations: Vec::new(),
    };
    if findings.is_empty() {
        count(tree, &mut report);
        // Where any number may be an id, the largest one that there is sets the limit.
        let limit = config.ids.unwrap_or_else(|| tree.ids.iter().fold(0, |limit, id| limit.max(id.saturating_add(1))));
        structure::ids(tree, limit, &mut findings);
        findings = check(tree, points, config, tier, findings, &mut report);
    }
    (report.found, report.violations) = findings.into_parts();
    report
}

/// Counts nodes and twins, and finds the levels.
fn count(tree: &Tree, report: &mut Report) {
    for &level in tree.levels.iter().filter(|level| **level != TWIN) {
        report.nodes += 1;
        let (lowest, highest) = report.levels.unwrap_or((level, level));
        report.levels = Some((lowest.min(level), highest.max(level)));
    }
    report.twins = report.points - report.nodes;
}

/// Checks a tree whose arrays fit together.
fn check<Q: SelfQueries>(
    tree: &Tree,
    points: &Q,
    config: &ValidateConfig,
    tier: Tier,
    mut findings: Findings,
    report: &mut Report,
) -> Findings {
    let nodes = structure::nodes(tree);
    let in_order = nodes.is_empty();
    findings = findings.merge(nodes).merge(distances::cover(tree, points, tier));
    let sample = (tree.len() > config.exhaustive_max).then(|| distances::sample(tree, config.sample, config.seed));
    findings = findings.merge(distances::separation(tree, points, sample.as_deref(), tier));
    report.sampled = sample.as_ref().map(Vec::len);
    let (nodes, held) = (report.nodes as u64, sample.map_or(report.nodes, |sample| sample.len()) as u64);
    report.pairs = held * (nodes - held) + held * held.saturating_sub(1) / 2;
    let by_blocks = in_order && tree.order == Order::Blocks;
    let runs = if by_blocks { structure::blocks(tree, &mut findings) } else { None };
    if let Some(runs) = &runs {
        findings = findings.merge(distances::reaches(tree, runs, points, tier));
    } else if in_order && tree.order == Order::Cells {
        findings = findings.merge(distances::reaches_of_parents(tree, points, tier));
    }
    let mut groups = Findings::default();
    structure::groups(tree, &mut groups);
    if !groups.is_empty() {
        return findings.merge(groups);
    }
    findings = findings.merge(structure::tops(tree)).merge(distances::groups(tree, points, tier));
    match runs {
        Some(runs) => findings.merge(structure::groups_by_node(tree, &runs)),
        None => findings,
    }
}
