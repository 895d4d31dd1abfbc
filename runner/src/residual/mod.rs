//! The residual correlation metric: nearest neighbours by what inducing points leave unexplained.
//!
//! With a covariance `K` (see [`covertree_kernels::covariance`] for its published formula), inducing points `U` and `L L' =
//! K_UU + jitter variance I`, let `V = (L^-1 K_UX)'` and `p_i = max(K_ii - |V_i|^2, 2^-40 K_ii)`, where `K_ii` is the variance
//! and the nugget. Then
//!
//! ```text
//! rho_ij = (K_ij - V_i.V_j) / sqrt(p_i p_j), cut to [-1, 1]        d_ij = sqrt(1 - |rho_ij|)
//! ```
//!
//! and `d_ii = 0`. Without inducing points this is the prior correlation. See [`covertree_kernels::residual`] for the order of
//! every operation: an answer is, bit for bit, what a brute force by the formula gives with the program's own `V` and `p`, on
//! every tier and number of threads ([`mod@reference`] is that brute force). Only a [`gate`], which is off unless asked for, makes an
//! answer approximate.
//!
//! ```
//! use covertree::generate::GenerateConfig;
//! use covertree::residual::{CovarianceConfig, Inducing, ResidualIndex};
//!
//! # fn main() -> Result<(), covertree::error::Error> {
//! let points = GenerateConfig { rows: 500, dim: 2, ..GenerateConfig::default() }.generate()?;
//! let index = ResidualIndex::fit(&points, &CovarianceConfig::default(), &Inducing::Random(20), 42)?;
//! let order: Vec<i32> = (0..500).collect();
//! let (answers, work) = index.vecchia(&order, 10)?;
//! assert_eq!(answers.ids[..20], [[-1; 10], [0, -1, -1, -1, -1, -1, -1, -1, -1, -1]].concat());
//! assert!(work.residual.filtered >= 500 * 499 / 2);
//! # Ok(())
//! # }
//! ```

mod clusters;
mod factor;
mod far;
mod frames;
pub mod gate;
mod layout;
mod listed;
mod lists;
pub mod order;
mod parameters;
mod precision;
pub mod profile;
pub mod reference;
mod search;
mod set;
pub mod telemetry;
#[cfg(test)]
mod tests;
mod tile;

pub use frames::Landmarks;
pub use gate::{GateConfig, GateName};
pub use order::VecchiaOrder;
pub use parameters::{CovarianceConfig, FitOptions, Inducing, KernelName};
pub use profile::{Feature, GateProfile, ProfileConfig};
pub use search::{Strategy, Work};

use std::fmt;

use covertree_kernels::covariance::Covariance;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::residual::{Counting, P_FLOOR};
use covertree_kernels::simd::{LANES_F64, Tier};

use crate::answers::Answers;
use crate::error::Error;
use crate::points::Points;
use crate::within::{Budget, Neighborhoods, check_radius};
use factor::Factor;
use layout::Layout;
use lists::Lists;
use search::{Goal, Search, Side};
use set::{PointSet, Source};

/// What messages call short lists that grow too long.
const LISTS: &str = "short lists with room for";

/// Points under a residual metric, ready to be searched.
pub struct ResidualIndex {
    tier: Tier,
    landmarks: Landmarks,
    config: CovarianceConfig,
    covariance: Covariance,
    source: Source,
    inducing: Option<Points>,
    /// What messages call them, if they were given by themselves.
    inducing_label: Option<String>,
    strategy: Strategy,
    gate: Option<gate::Gated>,
    set: PointSet,
}

impl fmt::Debug for ResidualIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResidualIndex")
            .field("columns", &self.columns())
            .field("config", self.config())
            .finish_non_exhaustive()
    }
}

impl ResidualIndex {
    /// Fits points to a metric on the best tier of this machine. `seed` draws the inducing points, where they are drawn.
    ///
    /// # Errors
    /// [`Error::Usage`] for parameters out of range, inducing points that cannot be, a `V` or a factor beyond the memory of the
    /// machine, or a `K_UU` that is not positive definite even with a million times the jitter; [`Error::Lengthscale`] for scaled coordinates whose squares leave the range.
    ///
    /// # Cost
    /// `M^2 / 2` multiply-adds per point on all threads of the current pool, and before these `M^3 / 3` for the factor on one
    /// of them, so that its bits do not depend on their number. Memory, in copies of `V` in double precision: one, half of one
    /// for what is met in single precision, and an eighth to a half for the landmarks; without landmarks (below 96 columns, or a
    /// `V` that is given) two in all, for the rows are packed besides. For a moment once more where some points are met in
    /// double precision and others are not.
    pub fn fit(points: &Points, config: &CovarianceConfig, inducing: &Inducing, seed: u64) -> Result<Self, Error> {
        Self::fit_with(FitOptions::default(), "points", points, config, inducing, seed)
    }

    /// [`fit`](Self::fit) in a way of choice, with the name that messages give to the points: `label`, mostly a file.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and [`Error::Usage`] for an order that is none.
    pub fn fit_with(
        options: FitOptions<'_>,
        label: &str,
        points: &Points,
        config: &CovarianceConfig,
        inducing: &Inducing,
        seed: u64,
    ) -> Result<Self, Error> {
        config.check(points.dim())?;
        let inducing = inducing.resolve(points, seed)?;
        Self::make(options, label, points, config, inducing, None)
    }

    /// A metric whose `V` (row-major, as many rows as there are points) and `p` are given.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and [`Error::Usage`] for a wrong shape, for values that are not finite, for a `p` below what the
    /// covariance and `V` imply (beyond rounding) or beyond all measure, and for rows of `V` longer than the covariance allows:
    /// none of these is a metric.
    pub fn given(points: &Points, config: &CovarianceConfig, v: &Points, p: Vec<f64>) -> Result<Self, Error> {
        Self::given_on(Tier::detect(), "points", points, config, v, p)
    }

    /// [`given`](Self::given) on a tier of choice, with the name that messages give to the points.
    ///
    /// # Errors
    /// As [`given`](Self::given).
    pub fn given_on(
        tier: Tier,
        label: &str,
        points: &Points,
        config: &CovarianceConfig,
        v: &Points,
        p: Vec<f64>,
    ) -> Result<Self, Error> {
        config.check(points.dim())?;
        check_given(points, config, v, &p)?;
        let source = Source::Given(v.dim(), v.to_f64().into_owned(), p);
        Self::make(FitOptions { tier, ..FitOptions::default() }, label, points, config, None, Some(source))
    }

    fn make(
        FitOptions { tier, landmarks, order, inducing_label }: FitOptions<'_>,
        label: &str,
        points: &Points,
        config: &CovarianceConfig,
        inducing: Option<Points>,
        source: Option<Source>,
    ) -> Result<Self, Error> {
        let (covariance, dim) = (config.check(points.dim())?, points.dim());
        let scaled = config.scaled(tier, label, points)?;
        let mut source = match (source, &inducing) {
            (Some(source), _) => source,
            (None, None) => Source::Prior,
            (None, Some(inducing)) => {
                set::check_room(points.len(), inducing.len())?; // the factor takes its time
                Source::Factor(factor((tier, covariance), config, inducing, inducing_label)?)
            }
        };
        let ranks = order.map_or(Ok(Vec::new()), |order| order::ranks(order, points.len()))?;
        let (layout, diagonal) = (Layout::new(&scaled, dim, ranks), config.diagonal());
        let mut set = PointSet::fit((tier, landmarks), layout, covariance, diagonal, (&scaled, dim), &source)?;
        if let Source::Given(_, v, p) = &mut source {
            (*v, *p) = (Vec::new(), Vec::new()); // the set has them
        }
        set.keep_tiles()?;
        let (config, strategy, inducing_label) = (config.clone(), Strategy::Auto, inducing_label.map(str::to_owned));
        Ok(Self { tier, landmarks, config, covariance, source, inducing, inducing_label, strategy, gate: None, set })
    }

    /// Fits the same points, which messages call `label`, and inducing points to other parameters: the layout and the memory of
    /// `V` are reused. A gate is gone then, for it was calibrated for the old ones.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); [`Error::Usage`] when `V` was given. The index is what it was then.
    ///
    /// # Cost
    /// As [`fit`](Self::fit) without the layout; the old factor is there until the new one is made.
    pub fn refit(&mut self, label: &str, points: &Points, config: &CovarianceConfig) -> Result<(), Error> {
        if points.len() != self.set.layout.len() || points.dim() != self.set.model.dim() {
            return Err(Error::Usage("a metric can be fitted anew to the same points only; make a new index".into()));
        }
        if matches!(self.source, Source::Given(..)) {
            return Err(Error::Usage("V and p were given, so they cannot follow other parameters; give others".into()));
        }
        let covariance = config.check(points.dim())?;
        let scaled = config.scaled(self.tier, label, points)?;
        let source = match &self.inducing {
            Some(inducing) => {
                let label = self.inducing_label.as_deref();
                Source::Factor(factor((self.tier, covariance), config, inducing, label)?)
            }
            None => Source::Prior,
        };
        // Whatever can be refused has been.
        self.set.refit(self.landmarks, covariance, config.diagonal(), &scaled, &source)?;
        self.set.keep_tiles()?;
        (self.config, self.covariance, self.source, self.gate) = (config.clone(), covariance, source, None);
        Ok(())
    }

    /// Searches in another way from now on; see [`Strategy`].
    pub fn set_strategy(&mut self, strategy: Strategy) {
        self.strategy = strategy;
    }

    /// The parameters.
    pub fn config(&self) -> &CovarianceConfig {
        &self.config
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.set.layout.len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Columns of `V`.
    pub fn columns(&self) -> usize {
        self.set.model.columns()
    }

    /// The jitter that `K_UU` was factored with, in units of the variance; `None` without inducing points.
    pub fn jitter(&self) -> Option<f64> {
        match &self.source {
            Source::Factor(factor) => Some(factor.jitter),
            _ => None,
        }
    }

    /// `V`, row-major in the order of the rows, and `p`.
    pub fn v_and_p(&self) -> (Vec<f64>, Vec<f64>) {
        reference::Unpacked::new(&self.set).into_v_and_p()
    }

    /// Bytes that `V` and what was made of it take.
    pub fn bytes(&self) -> usize {
        self.set.bytes()
    }

    /// The `min(k, i)` nearest of the points that come before each point in an order: `order[i]` is the row that comes
    /// `i`-th. Row `r` of the answer belongs to row `r` of the points; ties go to the lower row number; rows are padded
    /// with -1 and plus infinity.
    ///
    /// # Errors
    /// [`Error::Usage`] when `k` is 0, or `order` is no permutation of the rows.
    ///
    /// # Cost
    /// The correlations of the landmarks of all leaves with each other, at `columns` multiply-adds each: a quarter of all pairs of
    /// 32 768 points, a fiftieth of those of half a million. A few dozen operations for every sixteen by sixteen pairs, a few dozen
    /// multiply-adds for each pair where these do not rule out all, and the pairs that the bounds leave; each pair serves both of
    /// its points. Tell the fit the order ([`FitOptions::order`]), also if it is that of the rows: the bounds are made for it then.
    pub fn vecchia(&self, order: &[Idx], k: usize) -> Result<(Answers, Work), Error> {
        let ranks = self.ranks(order)?;
        self.nearest(None, Some(&ranks), k, Counting::Earlier, false)
    }

    /// The `k` nearest among the other points of each point; with `include_self` the point itself counts, at distance 0.
    ///
    /// # Errors
    /// [`Error::Usage`] when `k` is 0.
    pub fn graph(&self, k: usize, include_self: bool) -> Result<(Answers, Work), Error> {
        self.nearest(None, None, k, Counting::Others, include_self)
    }

    /// The `k` nearest points of new points: prediction.
    ///
    /// # Errors
    /// [`Error::Usage`] when `k` is 0, the columns differ, or `V` was given (that of the queries is not known then);
    /// [`Error::Lengthscale`].
    pub fn knn(&self, queries: &Points, k: usize) -> Result<(Answers, Work), Error> {
        self.knn_named("queries", queries, k)
    }

    /// [`knn`](Self::knn) with the name that messages give to the queries: `label`, mostly a file.
    ///
    /// # Errors
    /// As [`knn`](Self::knn).
    pub fn knn_named(&self, label: &str, queries: &Points, k: usize) -> Result<(Answers, Work), Error> {
        let queries = self.query_set(label, queries)?;
        self.nearest(Some(&queries), None, k, Counting::All, false)
    }

    /// All points within `radius` of new points.
    ///
    /// # Errors
    /// As [`knn`](Self::knn), and [`Error::Usage`] for a radius that is negative or NaN; [`Error::Memory`] when there is no room
    /// for the answer, or for the lists that it is found in.
    ///
    /// # Cost
    /// As [`vecchia`](Self::vecchia), and lists that take up to some 24 bytes for each neighbour, as if all 64 points of a leaf
    /// had as many as the one that has the most.
    pub fn within(&self, queries: &Points, radius: f64) -> Result<(Neighborhoods, Work), Error> {
        self.within_named("queries", queries, radius)
    }

    /// [`within`](Self::within) with the name that messages give to the queries: `label`, mostly a file.
    ///
    /// # Errors
    /// As [`within`](Self::within).
    pub fn within_named(&self, label: &str, queries: &Points, radius: f64) -> Result<(Neighborhoods, Work), Error> {
        check_radius(radius)?;
        let queries = self.query_set(label, queries)?;
        self.near(Some(&queries), radius, Counting::All)
    }

    /// All others within `radius` of each point.
    ///
    /// # Errors
    /// [`Error::Usage`] for a radius that is negative or NaN; [`Error::Memory`] as [`within`](Self::within).
    ///
    /// # Cost
    /// As [`within`](Self::within).
    pub fn graph_within(&self, radius: f64) -> Result<(Neighborhoods, Work), Error> {
        check_radius(radius)?;
        self.near(None, radius, Counting::Others)
    }

    /// Rank of each position, in whole panels.
    fn ranks(&self, order: &[Idx]) -> Result<Vec<f64>, Error> {
        let mut ranks = vec![f64::INFINITY; self.len().next_multiple_of(LANES_F64)];
        for (rank, &position) in order::ranks(order, self.len())?.into_iter().zip(&self.set.layout.positions) {
            ranks[at(position)] = f64::from(rank);
        }
        Ok(ranks)
    }

    fn query_set(&self, label: &str, queries: &Points) -> Result<PointSet, Error> {
        let dim = self.set.model.dim();
        if queries.dim() != dim {
            return Err(Error::Usage(format!(
                "{label}: has {} columns where the points have {dim}; choose columns so that both agree",
                queries.dim()
            )));
        }
        if matches!(self.source, Source::Given(..)) {
            let message =
                "V and p are given for the points alone, so new points cannot be asked for; give inducing points";
            return Err(Error::Usage(message.into()));
        }
        let scaled = self.config.scaled(self.tier, label, queries)?;
        let (layout, diagonal) = (Layout::new(&scaled, dim, Vec::new()), self.config.diagonal());
        PointSet::fit((self.tier, self.landmarks), layout, self.covariance, diagonal, (&scaled, dim), &self.source)
    }

    fn nearest(
        &self,
        queries: Option<&PointSet>,
        ranks: Option<&[f64]>,
        k: usize,
        counting: Counting,
        with_self: bool,
    ) -> Result<(Answers, Work), Error> {
        let positions = &queries.map_or(&self.set.layout, |queries| &queries.layout).positions;
        let mut answers = Answers::padded(positions.len(), k)?;
        // Nobody has more neighbours than there are points.
        let goal = Goal::Nearest(k.min(self.len()).max(1));
        let (rows, counters) = self.search(queries, ranks, goal, counting, with_self)?;
        let outputs = answers.ids.chunks_exact_mut(k).zip(answers.distances.chunks_exact_mut(k));
        for ((ids, distances), &position) in outputs.zip(positions) {
            for ((id, distance), pair) in ids.iter_mut().zip(distances).zip(&rows[at(position)]) {
                (*distance, *id) = *pair;
            }
        }
        Ok((answers, counters))
    }

    fn near(
        &self,
        queries: Option<&PointSet>,
        radius: f64,
        counting: Counting,
    ) -> Result<(Neighborhoods, Work), Error> {
        let (mut rows, counters) = self.search(queries, None, Goal::Within(radius), counting, false)?;
        let layout = queries.map_or(&self.set.layout, |queries| &queries.layout);
        let rows: Vec<_> = layout.positions.iter().map(|&position| std::mem::take(&mut rows[at(position)])).collect();
        let counts: Vec<usize> = rows.iter().map(Vec::len).collect();
        Ok((Neighborhoods::joined(&mut counts.into_iter(), rows)?, counters))
    }

    fn search(
        &self,
        queries: Option<&PointSet>,
        ranks: Option<&[f64]>,
        goal: Goal,
        counting: Counting,
        with_self: bool,
    ) -> Result<(search::Rows, Work), Error> {
        if self.is_empty() {
            let rows = queries.map_or(0, |queries| queries.layout.len());
            return Ok((vec![Vec::new(); rows], Work::default()));
        }
        let lanes = |set: &PointSet| set.layout.len().next_multiple_of(LANES_F64);
        let none = vec![0.0; lanes(&self.set).max(queries.map_or(0, lanes))];
        let mut packed = Vec::new();
        let tiles = match self.strategy {
            Strategy::Brute if self.set.hard_leaves < self.set.layout.leaves() || self.set.tiles().is_empty() => {
                self.set.pack_leaves(self.set.layout.leaves(), &mut packed)?;
                &packed
            }
            _ => self.set.tiles(),
        };
        let search = Search {
            tier: self.tier,
            points: Side { set: &self.set, tiles, ranks: ranks.unwrap_or(&none) },
            queries: queries.map(|set| Side { set, tiles: set.tiles(), ranks: &none }),
            strategy: self.strategy,
            gate: self.gate.as_ref(),
            counting,
            goal,
            with_self,
            list_budget: matches!(goal, Goal::Within(_)).then(|| Budget::new(LISTS, Lists::EACH as u64)), // widens
        };
        search.run()
    }
}

/// The factor of the inducing points' covariance, which messages call `label`.
fn factor(
    (tier, covariance): (Tier, Covariance),
    config: &CovarianceConfig,
    inducing: &Points,
    label: Option<&str>,
) -> Result<Factor, Error> {
    let scaled = config.scaled(tier, label.unwrap_or("inducing points"), inducing)?;
    Factor::new(tier, covariance, inducing.dim(), scaled, config.jitter)
}

/// Refuses `V` and `p` that make no metric.
fn check_given(points: &Points, config: &CovarianceConfig, v: &Points, p: &[f64]) -> Result<(), Error> {
    let (len, columns) = (points.len(), v.dim());
    if v.len() != len || p.len() != len {
        return Err(Error::Usage(format!(
            "V has {} rows and p has {} values where there are {len} points; give one of each per point",
            v.len(),
            p.len()
        )));
    }
    let diagonal = config.diagonal();
    // The sum of squares and the difference, once here and once in whatever made the given p.
    let rounding = 2.0 * (columns as f64 + 4.0) * f64::EPSILON * diagonal;
    let values = v.to_f64();
    for (row, (v, &p)) in values.chunks_exact(columns).zip(p).enumerate() {
        let implied = diagonal - v.iter().fold(0.0, |sum, v| sum + v * v);
        if implied < -rounding {
            return Err(Error::Usage(format!(
                "row {row} (counted from 0) of V has a square norm above the variance and nugget, {diagonal}; such a V \
                 belongs to another covariance"
            )));
        }
        let largest = config.variance / P_FLOOR;
        if p.is_nan() {
            return Err(Error::Usage(format!(
                "p is NaN at row {row} (counted from 0); give the residual variance of every point"
            )));
        }
        if p > largest {
            return Err(Error::Usage(format!(
                "p is {p:e} at row {row} (counted from 0), and a variance of {} admits at most {largest:e}; such a p belongs to \
                 another covariance",
                config.variance
            )));
        }
        if p < (implied - rounding).max(P_FLOOR * diagonal) {
            return Err(Error::Usage(format!(
                "p is {p} at row {row} (counted from 0), and the covariance and V imply at least {:e}; a smaller p makes no \
                 metric",
                implied.max(P_FLOOR * diagonal)
            )));
        }
    }
    Ok(())
}
