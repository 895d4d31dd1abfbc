//! An index whose metric and precision are chosen at run time: what the program and bindings work with.
//!
//! A program that knows its metric when it is compiled can use [`Index`](crate::Index) instead.

mod body;

use std::path::Path;

use covertree_kernels::dist::Form;
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::SearchCounters;

use crate::answers::Answers;
use crate::build::BuildConfig;
use crate::error::{Error, shown};
use crate::formats::output::Outputs;
use crate::metric::MetricName;
use crate::points::{Dtype, Points, Values};
use crate::space::{ByForm, Chebyshev, Euclidean, Manhattan};
use crate::tree::file::{self, Contents, Packed, PackedRef, ReadMode, SavedTree};
use crate::tree::validate::{Report, ValidateConfig};
use crate::tree::{Ladder, Tree};

use body::{Asked, Body, by_row};

/// A tree over points under a metric that is chosen at run time.
///
/// ```
/// use covertree::points::{Points, Values};
/// use covertree::{AnyIndex, BuildConfig, MetricName};
///
/// # fn main() -> Result<(), covertree::error::Error> {
/// let points = Points::new(2, Values::F64(vec![0.0, 0.0, 3.0, 4.0, 0.0, 1.0]))?;
/// let index = AnyIndex::build(&points, MetricName::Euclidean, &BuildConfig::default())?;
/// let (answers, _) = index.knn(&Points::new(2, Values::F64(vec![0.0, 0.0]))?, 2)?;
/// assert_eq!((answers.ids, answers.distances), (vec![0, 2], vec![0.0, 1.0]));
/// # Ok(())
/// # }
/// ```
pub struct AnyIndex {
    metric: MetricName,
    config: BuildConfig,
    tier: Tier,
    body: AnyBody,
}

/// One body for each metric and precision.
enum AnyBody {
    EuclideanF32(Body<Euclidean<f32>>),
    EuclideanF64(Body<Euclidean<f64>>),
    ManhattanF32(Body<Manhattan<f32>>),
    ManhattanF64(Body<Manhattan<f64>>),
    ChebyshevF32(Body<Chebyshev<f32>>),
    ChebyshevF64(Body<Chebyshev<f64>>),
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
        }
    };
}

impl AnyIndex {
    /// Builds the tree over all points, which keep their row numbers as ids, on the best tier of this machine.
    ///
    /// # Errors
    /// [`Error::Usage`] when the base is out of range, or the points do not suit the metric.
    pub fn build(points: &Points, metric: MetricName, config: &BuildConfig) -> Result<Self, Error> {
        Self::build_on(Tier::detect(), points, metric, config)
    }

    /// [`build`](Self::build) on a tier of choice; the tree is the same, bit for bit.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_on(tier: Tier, points: &Points, metric: MetricName, config: &BuildConfig) -> Result<Self, Error> {
        check_config(config)?;
        let dim = points.dim();
        /// A body of the metric in the precision of the points.
        macro_rules! form {
            ($single:ident, $double:ident) => {
                match points.values() {
                    Values::F32(values) => AnyBody::$single(Body::build(values.clone(), dim, config, tier)),
                    Values::F64(values) => AnyBody::$double(Body::build(values.clone(), dim, config, tier)),
                }
            };
        }
        let body = match metric {
            MetricName::Euclidean => form!(EuclideanF32, EuclideanF64),
            MetricName::Manhattan => form!(ManhattanF32, ManhattanF64),
            MetricName::Chebyshev => form!(ChebyshevF32, ChebyshevF64),
        };
        Ok(Self { metric, config: config.clone(), tier, body })
    }

    /// The nearest `k` points to each query, in ascending order of (distance, row number): exactly those that a brute
    /// force by the metric's formula finds, with the same distances bit for bit.
    ///
    /// Where there are fewer than `k` points, rows are padded with -1 and plus infinity.
    ///
    /// # Errors
    /// [`Error::Usage`] when `k` is zero or the queries have another number of columns than the points;
    /// [`Error::Memory`] when the answer does not fit into memory.
    ///
    /// # Cost
    /// One search per query, split over the threads of the current rayon pool. Queries in `f64` to points in `f32` whose
    /// values `f32` cannot hold cost a copy of the points in `f64`.
    pub fn knn(&self, queries: &Points, k: usize) -> Result<(Answers, SearchCounters), Error> {
        if queries.dim() != self.dim() {
            let (got, want) = (queries.dim(), self.dim());
            return Err(Error::Usage(format!(
                "the queries have {got} columns and the points {want}; choose columns so that both have the same"
            )));
        }
        let mut answers = room(queries.len(), k)?;
        let (out, tier) = (&mut answers, self.tier);
        let counters = match &self.body {
            AnyBody::EuclideanF32(body) => ask_single(body, queries, out, tier),
            AnyBody::ManhattanF32(body) => ask_single(body, queries, out, tier),
            AnyBody::ChebyshevF32(body) => ask_single(body, queries, out, tier),
            AnyBody::EuclideanF64(body) => body.knn(Asked::Rows(&queries.to_f64()), out, tier),
            AnyBody::ManhattanF64(body) => body.knn(Asked::Rows(&queries.to_f64()), out, tier),
            AnyBody::ChebyshevF64(body) => body.knn(Asked::Rows(&queries.to_f64()), out, tier),
        }?;
        Ok((answers, counters))
    }

    /// The graph of nearest neighbours: for each point the nearest `k` among the others, in the order of row numbers.
    ///
    /// Twins of a point are others; the point itself counts only with `include_self`.
    ///
    /// # Errors
    /// As [`knn`](Self::knn).
    pub fn graph(&self, k: usize, include_self: bool) -> Result<(Answers, SearchCounters), Error> {
        let mut answers = room(self.len(), k)?;
        let asked = each!(&self.body, body => body.knn(Asked::Members { include_self }, &mut answers, self.tier));
        let counters = asked?;
        Ok((by_row(&answers, self.tree().ids()), counters))
    }

    /// Holds every law of the tree against its points.
    pub fn validate(&self, config: &ValidateConfig) -> Report {
        each!(&self.body, body => body.validate(config, self.tier))
    }

    /// Writes the tree with its points to a file: whole, or not at all. The same tree makes the same bytes.
    ///
    /// # Errors
    /// As [`file::write`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut outputs = Outputs::new();
        self.stage(&mut outputs, path)?;
        outputs.commit()
    }

    /// Writes the file of [`save`](Self::save) under a temporary name, as one of several that are to appear together.
    ///
    /// # Errors
    /// As [`file::stage`].
    pub fn stage(&self, outputs: &mut Outputs, path: &Path) -> Result<(), Error> {
        let points = match &self.body {
            AnyBody::EuclideanF32(body) => PackedRef::F32(&body.points),
            AnyBody::ManhattanF32(body) => PackedRef::F32(&body.points),
            AnyBody::ChebyshevF32(body) => PackedRef::F32(&body.points),
            AnyBody::EuclideanF64(body) => PackedRef::F64(&body.points),
            AnyBody::ManhattanF64(body) => PackedRef::F64(&body.points),
            AnyBody::ChebyshevF64(body) => PackedRef::F64(&body.points),
        };
        let contents = Contents {
            metric: self.metric.name(),
            config: CONFIG,
            seed: self.config.seed,
            next_id: self.tree().ids().iter().fold(0, |next, id| next.max(id + 1)),
            tree: self.tree(),
            points,
            extra: &[],
        };
        file::stage(outputs, path, &contents)
    }

    /// Reads a saved tree, or maps it into memory.
    ///
    /// # Errors
    /// As [`file::read`]; and [`Error::TreeInvalid`] when the metric is not known, or cannot have such points.
    pub fn load(path: &Path, mode: ReadMode) -> Result<Self, Error> {
        Self::load_on(Tier::detect(), path, mode)
    }

    /// [`load`](Self::load), to be searched on a tier of choice.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_on(tier: Tier, path: &Path, mode: ReadMode) -> Result<Self, Error> {
        let SavedTree { metric, seed, tree, points, .. } = file::read(path, mode)?;
        let invalid = |problem: String| Error::TreeInvalid { file: shown(path), problem };
        let known = metric.parse::<MetricName>();
        let metric = known.map_err(|_| invalid("it was built under a metric that this program lacks".into()))?;
        let config = BuildConfig { base: tree.ladder().base(), seed, ..BuildConfig::default() };
        let body = match (metric, points) {
            (_, Packed::None) => return Err(invalid("it has no points".into())),
            (MetricName::Euclidean, Packed::F32(points)) => AnyBody::EuclideanF32(Body { tree, points }),
            (MetricName::Euclidean, Packed::F64(points)) => AnyBody::EuclideanF64(Body { tree, points }),
            (MetricName::Manhattan, Packed::F32(points)) => AnyBody::ManhattanF32(Body { tree, points }),
            (MetricName::Manhattan, Packed::F64(points)) => AnyBody::ManhattanF64(Body { tree, points }),
            (MetricName::Chebyshev, Packed::F32(points)) => AnyBody::ChebyshevF32(Body { tree, points }),
            (MetricName::Chebyshev, Packed::F64(points)) => AnyBody::ChebyshevF64(Body { tree, points }),
        };
        Ok(Self { metric, config, tier, body })
    }

    /// The tree.
    pub fn tree(&self) -> &Tree {
        each!(&self.body, body => &body.tree)
    }

    /// The metric.
    pub fn metric(&self) -> MetricName {
        self.metric
    }

    /// The precision of the points.
    pub fn dtype(&self) -> Dtype {
        match self.body {
            AnyBody::EuclideanF32(_) | AnyBody::ManhattanF32(_) | AnyBody::ChebyshevF32(_) => Dtype::F32,
            AnyBody::EuclideanF64(_) | AnyBody::ManhattanF64(_) | AnyBody::ChebyshevF64(_) => Dtype::F64,
        }
    }

    /// Columns of a point.
    pub fn dim(&self) -> usize {
        each!(&self.body, body => body.dim())
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.tree().len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.tree().is_empty()
    }

    /// Bytes of the tree and of its points.
    pub fn bytes(&self) -> usize {
        each!(&self.body, body => body.bytes())
    }
}

/// Refuses settings that no tree can have.
///
/// # Errors
/// [`Error::Usage`] when there is no ladder of this base.
pub fn check_config(config: &BuildConfig) -> Result<(), Error> {
    if Ladder::exists(config.base, 1.0) {
        return Ok(());
    }
    Err(Error::Usage(format!("base {}: choose a finite number from {} on", config.base, Ladder::BASE_MIN)))
}

/// How trees are built so far, as their files tell.
const CONFIG: &str = "conflict=dense";

/// Answers of `k` to each of `count` queries, padded as if there were no points.
fn room(count: usize, k: usize) -> Result<Answers, Error> {
    if k == 0 {
        return Err(Error::Usage("k is 0; ask for at least one neighbour".into()));
    }
    let too_large = |bytes| Error::Memory { file: format!("the answer of {count} x {k}"), bytes };
    let len = count.checked_mul(k).ok_or_else(|| too_large(u64::MAX))?;
    let bytes = (len as u64).saturating_mul((size_of::<Idx>() + size_of::<f64>()) as u64);
    let (mut ids, mut distances) = (Vec::new(), Vec::new());
    let reserved = ids.try_reserve_exact(len).and_then(|()| distances.try_reserve_exact(len));
    reserved.map_err(|_| too_large(bytes))?;
    ids.resize(len, NONE);
    distances.resize(len, f64::INFINITY);
    Ok(Answers { ids, distances, k })
}

/// Queries of either precision to points in `f32`: no value is ever rounded.
fn ask_single<F: Form>(
    body: &Body<ByForm<f32, F>>,
    queries: &Points,
    answers: &mut Answers,
    tier: Tier,
) -> Result<SearchCounters, Error> {
    match queries.values() {
        Values::F32(values) => body.knn(Asked::Rows(values), answers, tier),
        Values::F64(values) => match narrowed(values) {
            Some(values) => body.knn(Asked::Rows(&values), answers, tier),
            None => body.widened::<ByForm<f64, F>>()?.knn(Asked::Rows(values), answers, tier),
        },
    }
}

/// The values in `f32`, if it holds each of them exactly.
fn narrowed(values: &[f64]) -> Option<Vec<f32>> {
    let narrow = |&value: &f64| {
        let narrow = value as f32; // rounds to nearest; whether it did is looked at here
        (f64::from(narrow) == value).then_some(narrow)
    };
    values.iter().map(narrow).collect()
}
