//! An index whose metric and precision are chosen at run time: what the program and bindings work with.
//!
//! A program that knows its metric when it is compiled can use [`Index`](crate::Index) instead.

mod body;
mod change;
mod file;
mod queries;

use std::fmt;
use std::sync::OnceLock;

use covertree_kernels::index::Idx;
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::SearchCounters;

use crate::answers::Answers;
use crate::build::{BuildConfig, Telemetry};
use crate::error::Error;
use crate::metric::MetricName;
use crate::points::{Dtype, Points, Values};
use crate::space::{Ahead, Angular, Chebyshev, Euclidean, Haversine, Manhattan};
use crate::space::{Preparation, Projected, Scaling};
use crate::tree::Tree;
use crate::tree::validate::{Report, ValidateConfig};
use crate::within::{Neighborhoods, check_radius};
use crate::workers::Workers;

use body::Body;
use queries::Asked;

/// A tree over points under a metric that is chosen at run time.
///
/// ```
/// use covertree::{AnyIndex, BuildConfig, MetricName, Points, Values};
///
/// # fn main() -> Result<(), covertree::Error> {
/// let points = Points::new(2, Values::F64(vec![0.0, 0.0, 3.0, 4.0, 0.0, 1.0]))?;
/// let index = AnyIndex::build(&points, MetricName::Euclidean, &BuildConfig::default())?;
/// let (answers, _) = index.knn(&Points::new(2, Values::F64(vec![0.0, 0.0]))?, 2)?;
/// assert_eq!((answers.ids, answers.distances), (vec![0, 2], vec![0.0, 1.0]));
/// # Ok(())
/// # }
/// ```
///
/// It is searched by any number of threads at once. To change it beside them, change a copy and let them go over to it. A copy
/// takes the memory of the tree and its points once more, but for what a loaded one shares with its file, and of two threads that
/// change copies of their own one's changes are lost: let one do it.
///
/// ```
/// use std::sync::{Arc, RwLock};
///
/// use covertree::generate::GenerateConfig;
/// use covertree::{AnyIndex, BuildConfig, MetricName};
///
/// # fn main() -> Result<(), covertree::Error> {
/// let points = GenerateConfig { rows: 100, dim: 3, ..GenerateConfig::default() }.generate()?;
/// let index = AnyIndex::build(&points, MetricName::Euclidean, &BuildConfig::default())?;
/// let shared = RwLock::new(Arc::new(index));
/// let reader = Arc::clone(&shared.read().unwrap()); // whoever has it, keeps what it has
///
/// let mut next = AnyIndex::clone(&reader);
/// next.delete(&[17])?;
/// next.insert("more points", &points)?;
/// *shared.write().unwrap() = Arc::new(next);
/// assert_eq!((reader.len(), shared.read().unwrap().len()), (100, 199));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AnyIndex {
    preparation: Preparation,
    /// The axes onto which rows are projected, where they have many coordinates.
    projected: Option<Projected>,
    config: BuildConfig,
    tier: Tier,
    body: AnyBody,
    /// Where points are in `f32`, the same in `f64`, once queries came that `f32` cannot hold.
    wide: OnceLock<AnyBody>,
    /// The first number that is not yet the id of a point.
    next_id: Idx,
}

/// One body for each metric and precision.
#[derive(Clone)]
enum AnyBody {
    EuclideanF32(Body<Euclidean<f32>>),
    EuclideanF64(Body<Euclidean<f64>>),
    ManhattanF32(Body<Manhattan<f32>>),
    ManhattanF64(Body<Manhattan<f64>>),
    ChebyshevF32(Body<Chebyshev<f32>>),
    ChebyshevF64(Body<Chebyshev<f64>>),
    Angular(Body<Angular>),
    Haversine(Body<Haversine>),
}

/// Runs an expression on the body, whichever it is.
macro_rules! each {
    ($any:expr, $body:ident => $work:expr) => {
        match $any {
            AnyBody::EuclideanF32($body) => $work,
            AnyBody::EuclideanF64($body) => $work,
            AnyBody::ManhattanF32($body) => $work,
            AnyBody::ManhattanF64($body) => $work,
            AnyBody::ChebyshevF32($body) => $work,
            AnyBody::ChebyshevF64($body) => $work,
            AnyBody::Angular($body) => $work,
            AnyBody::Haversine($body) => $work,
        }
    };
}

/// The variant of a metric and a precision, with a body made from what holds the values; `None` where the metric does not
/// exist in that precision.
macro_rules! variant {
    ($metric:expr, $source:expr, $kinds:ident, $values:ident => $body:expr) => {
        match ($metric, $source) {
            (MetricName::Euclidean, $kinds::F32($values)) => Some(AnyBody::EuclideanF32($body)),
            (MetricName::Euclidean, $kinds::F64($values)) => Some(AnyBody::EuclideanF64($body)),
            (MetricName::Manhattan, $kinds::F32($values)) => Some(AnyBody::ManhattanF32($body)),
            (MetricName::Manhattan, $kinds::F64($values)) => Some(AnyBody::ManhattanF64($body)),
            (MetricName::Chebyshev, $kinds::F32($values)) => Some(AnyBody::ChebyshevF32($body)),
            (MetricName::Chebyshev, $kinds::F64($values)) => Some(AnyBody::ChebyshevF64($body)),
            (MetricName::Angular, $kinds::F64($values)) => Some(AnyBody::Angular($body)),
            (MetricName::Haversine, $kinds::F64($values)) => Some(AnyBody::Haversine($body)),
            _ => None,
        }
    };
}

pub(in crate::any) use {each, variant};

/// Runs an expression on the body that [`AnyIndex::body_for`] gives for prepared queries, and on their rows.
macro_rules! asked {
    ($any:expr, $queries:expr, $body:ident, $rows:ident => $work:expr) => {
        match ($any, $queries) {
            (AnyBody::EuclideanF32($body), Values::F32($rows)) => $work,
            (AnyBody::ManhattanF32($body), Values::F32($rows)) => $work,
            (AnyBody::ChebyshevF32($body), Values::F32($rows)) => $work,
            (AnyBody::EuclideanF64($body), Values::F64($rows)) => $work,
            (AnyBody::ManhattanF64($body), Values::F64($rows)) => $work,
            (AnyBody::ChebyshevF64($body), Values::F64($rows)) => $work,
            (AnyBody::Angular($body), Values::F64($rows)) => $work,
            (AnyBody::Haversine($body), Values::F64($rows)) => $work,
            _ => unreachable!("queries are prepared in the precision of the points, or in f64"),
        }
    };
}

impl fmt::Debug for AnyIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyIndex")
            .field("len", &self.len())
            .field("preparation", &self.preparation)
            .finish_non_exhaustive()
    }
}

impl AnyIndex {
    /// Builds the tree over all points, which keep their row numbers as ids, on the best tier of this machine.
    ///
    /// # Errors
    /// [`Error::Usage`] when settings are out of range or do not go together, or the number of columns does not suit the metric;
    /// [`Error::ZeroVector`] and [`Error::Latitude`] for the first row that does not.
    pub fn build(points: &Points, metric: MetricName, config: &BuildConfig) -> Result<Self, Error> {
        Self::build_on(Tier::detect(), "points", points, metric, config)
    }

    /// [`build`](Self::build) on a tier of choice (the tree is the same, bit for bit), with the name that messages give to
    /// the points: `label`, mostly a file.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_on(
        tier: Tier,
        label: &str,
        points: &Points,
        metric: MetricName,
        config: &BuildConfig,
    ) -> Result<Self, Error> {
        Ok(Self::build_with(tier, label, points, metric, config, &Workers::new())?.0)
    }

    /// [`build_on`](Self::build_on) with arenas that serve many builds, telling how it went.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_with(
        tier: Tier,
        label: &str,
        points: &Points,
        metric: MetricName,
        config: &BuildConfig,
        workers: &Workers,
    ) -> Result<(Self, Telemetry), Error> {
        config.check()?;
        let preparation = Preparation::of(metric, label, points)?;
        let mut prepared = preparation.points(label, points)?;
        let mut projected = preparation.axes(&prepared, tier);
        if let Some(projected) = &mut projected {
            prepared = projected.points(&prepared, tier);
        }
        let shape = shape_of(&preparation, projected.as_ref());
        let mut telemetry = Telemetry::default();
        let body = variant!(metric, prepared, Values, values => {
            let (body, told) = Body::build(values, shape, config, tier, workers)?;
            telemetry = told;
            body
        });
        let body = body.expect("points are prepared in a precision of their metric");
        let (config, next_id) = (config.clone(), points.rows());
        Ok((Self { preparation, projected, config, tier, body, wide: OnceLock::new(), next_id }, telemetry))
    }

    /// Queries as the body takes them.
    fn queries(&self, label: &str, queries: &Points) -> Result<Values, Error> {
        let prepared = self.preparation.queries(label, queries)?;
        Ok(match &self.projected {
            Some(projected) => projected.queries(&prepared, self.tier),
            None => prepared,
        })
    }

    /// How the tree was built.
    pub fn config(&self) -> &BuildConfig {
        &self.config
    }

    /// The nearest `k` points to each query, in ascending order of (distance, row number): exactly those that a brute
    /// force by the metric's formula finds, with the same distances bit for bit.
    ///
    /// Where there are fewer than `k` points, rows are padded with -1 and plus infinity.
    ///
    /// # Errors
    /// [`Error::Usage`] when `k` is zero or the queries have another number of columns than the points;
    /// [`Error::TooLarge`], [`Error::ZeroVector`] and [`Error::Latitude`] for the first query that the metric cannot take;
    /// [`Error::Memory`] when the answer does not fit into memory.
    ///
    /// # Cost
    /// One search per query, split over the threads of the current rayon pool; or, where there are many queries and a sample
    /// of them says that it is faster, one per panel of queries that are neighbours, or a brute force in register tiles.
    /// The first queries in `f64` to points in `f32` whose values `f32` cannot hold cost a copy of the tree and of the points in `f64`,
    /// which is kept for others.
    pub fn knn(&self, queries: &Points, k: usize) -> Result<(Answers, SearchCounters), Error> {
        self.knn_named("queries", queries, k)
    }

    /// [`knn`](Self::knn) with the name that messages give to the queries: `label`, mostly a file.
    ///
    /// # Errors
    /// As [`knn`](Self::knn).
    pub fn knn_named(&self, label: &str, queries: &Points, k: usize) -> Result<(Answers, SearchCounters), Error> {
        let prepared = self.queries(label, queries)?;
        let mut answers = self.room(queries.len(), k)?;
        let body = self.body_for(&prepared)?;
        let counters = asked!(body, &prepared, body, rows => {
            body.knn(Asked::Rows(rows.into()), &mut answers, self.tier)
        })?;
        self.preparation.scaling.restore_all(&mut answers.distances);
        Ok((answers.widened(k)?, counters))
    }

    /// Room for the answers to `count` queries for `k` neighbours: for no more than there are points, which
    /// [`Answers::widened`] makes `k` of.
    fn room(&self, count: usize, k: usize) -> Result<Answers, Error> {
        Answers::check(count, k)?;
        Answers::unwritten(count, k.min(self.len().max(1)))
    }

    /// All points at most `radius` away from each query, in ascending order of (distance, row number): exactly those that a
    /// brute force by the metric's formula finds, with the same distances bit for bit.
    ///
    /// # Errors
    /// [`Error::Usage`] when `radius` is negative or not a number; otherwise as [`knn`](Self::knn).
    ///
    /// # Cost
    /// As [`knn`](Self::knn), and the memory of the answer.
    pub fn within(&self, queries: &Points, radius: f64) -> Result<(Neighborhoods, SearchCounters), Error> {
        self.within_named("queries", queries, radius)
    }

    /// [`within`](Self::within) with the name that messages give to the queries: `label`, mostly a file.
    ///
    /// # Errors
    /// As [`within`](Self::within).
    pub fn within_named(
        &self,
        label: &str,
        queries: &Points,
        radius: f64,
    ) -> Result<(Neighborhoods, SearchCounters), Error> {
        check_radius(radius)?;
        let scaling = self.preparation.scaling;
        let keep = |distance: f64| Some(scaling.restore(distance)).filter(|&distance| distance <= radius);
        // A restored distance is rounded where it is subnormal: the search goes one number farther than it may.
        let reach = if scaling == Scaling::NONE { radius } else { scaling.apply(radius.next_up()) };
        let prepared = self.queries(label, queries)?;
        let body = self.body_for(&prepared)?;
        asked!(body, &prepared, body, rows => body.within(rows, reach, &keep, self.tier))
    }

    /// The body that prepared queries are asked of.
    fn body_for(&self, queries: &Values) -> Result<&AnyBody, Error> {
        let Values::F64(_) = queries else { return Ok(&self.body) };
        let widened = match &self.body {
            _ if self.wide.get().is_some() => None,
            AnyBody::EuclideanF32(body) => Some(AnyBody::EuclideanF64(body.widened()?)),
            AnyBody::ManhattanF32(body) => Some(AnyBody::ManhattanF64(body.widened()?)),
            AnyBody::ChebyshevF32(body) => Some(AnyBody::ChebyshevF64(body.widened()?)),
            body => return Ok(body),
        };
        // Of several threads that come here at once, the first to be done is the one that counts.
        Ok(match widened {
            Some(body) => self.wide.get_or_init(|| body),
            None => self.wide.get().unwrap_or(&self.body),
        })
    }

    /// The graph of nearest neighbours: for each point the nearest `k` among the others, in the order of row numbers.
    ///
    /// Twins of a point are others; the point itself counts only with `include_self`.
    ///
    /// # Errors
    /// As [`knn`](Self::knn).
    pub fn graph(&self, k: usize, include_self: bool) -> Result<(Answers, SearchCounters), Error> {
        let mut answers = self.room(self.len(), k)?;
        let asked = each!(&self.body, body => body.knn(Asked::Members { include_self }, &mut answers, self.tier));
        let counters = asked?;
        self.preparation.scaling.restore_all(&mut answers.distances);
        Ok((answers.widened(k)?, counters))
    }

    /// Holds every law of the tree against its points.
    pub fn validate(&self, config: &ValidateConfig) -> Report {
        let report = each!(&self.body, body => body.validate(config, self.tier));
        match &self.projected {
            Some(projected) => report.and(each!(&self.body, body => body.projections(projected, self.tier))),
            None => report,
        }
    }

    /// The tree.
    pub fn tree(&self) -> &Tree {
        each!(&self.body, body => &body.tree)
    }

    /// The metric.
    pub fn metric(&self) -> MetricName {
        self.preparation.metric
    }

    /// The precision in which the points are stored.
    pub fn dtype(&self) -> Dtype {
        self.preparation.dtype
    }

    /// Columns of a point.
    pub fn dim(&self) -> usize {
        self.preparation.dim
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.tree().len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.tree().is_empty()
    }

    /// Bytes of the tree and of its points, with those of the copy in `f64` where queries needed one.
    pub fn bytes(&self) -> usize {
        let wide = self.wide.get().map_or(0, |wide| each!(wide, body => body.bytes()));
        each!(&self.body, body => body.bytes()) + wide
    }
}

/// Values of a row, and what of them stands ahead of the coordinates.
fn shape_of(preparation: &Preparation, projected: Option<&Projected>) -> (usize, Ahead) {
    match projected {
        Some(projected) if preparation.dtype == Dtype::F32 => (projected.width(), projected.ahead::<f32>()),
        Some(projected) => (projected.width(), projected.ahead::<f64>()),
        None => (preparation.width(), Ahead::default()),
    }
}
