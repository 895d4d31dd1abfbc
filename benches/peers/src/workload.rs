//! The data sets, and which libraries take part in each.

use std::path::PathBuf;

use covertree::MetricName;
use covertree::error::Error;
use covertree::formats::{self, ReadOptions};
use covertree::generate::{Distribution, GenerateConfig};
use covertree::points::{Dtype, Points};

use super::kd;
use super::method::{Method, Scalar};
use super::metric::{self, Angular, Cubic, Euclidean, Manhattan, Measure};
use super::ours;

/// Seed of the points; that of the queries is the next.
const SEED: u64 = 42;

/// A metric of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One with a name.
    Named(MetricName),
    /// A function of the user's: see [`Cubic`].
    Closure,
}

impl Kind {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Named(metric) => metric.name(),
            Self::Closure => "closure",
        }
    }
}

/// Where the points come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Made.
    Made(GenerateConfig),
    /// Read; every so many rows one is a query as well.
    File(PathBuf),
}

/// One data set under one metric.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Where the points come from.
    pub source: Source,
    /// The metric.
    pub kind: Kind,
    /// The numbers of neighbours that are asked for.
    pub ks: Vec<usize>,
    /// Whether the graph of all points is timed too.
    pub graph: bool,
}

impl Workload {
    /// Points made with a distribution, Euclidean unless changed.
    fn made(distribution: Distribution, rows: usize, dim: usize, ks: &[usize]) -> Self {
        let source = Source::Made(GenerateConfig { distribution, rows, dim, seed: SEED, ..GenerateConfig::default() });
        let graph = dim <= 8 && distribution != Distribution::Manifold;
        Self { source, kind: Kind::Named(MetricName::Euclidean), ks: ks.to_vec(), graph }
    }

    /// The same under another metric, which some libraries need in `f64`.
    fn under(mut self, kind: Kind) -> Self {
        if let (Kind::Named(MetricName::Angular), Source::Made(config)) = (kind, &mut self.source) {
            config.dtype = Dtype::F64;
        }
        Self { kind, graph: false, ..self }
    }

    /// Everything, or what takes about a minute.
    pub fn all(quick: bool, files: &[PathBuf]) -> Vec<Self> {
        use Distribution::{Gaussian, Manifold, Uniform};
        let metrics = [Kind::Named(MetricName::Manhattan), Kind::Named(MetricName::Angular), Kind::Closure];
        let mut all = Vec::new();
        if quick {
            all.extend([3, 16].map(|dim| Self::made(Gaussian, 32_768, dim, &[8])));
            all.push(Self::made(Manifold, 32_768, 64, &[8]));
            all.extend(metrics.map(|kind| Self::made(Gaussian, 8_192, 3, &[8]).under(kind)));
        } else {
            for distribution in [Gaussian, Uniform] {
                all.extend([2, 3, 8, 16, 64, 384].map(|dim| Self::made(distribution, 32_768, dim, &[8, 50])));
                all.extend([2, 3].map(|dim| Self::made(distribution, 1_000_000, dim, &[8, 50])));
            }
            all.push(Self::made(Gaussian, 131_072, 8, &[8]));
            all.extend([64, 384].map(|dim| Self::made(Manifold, 32_768, dim, &[8, 50])));
            all.push(Self::made(Manifold, 200_000, 64, &[8]));
            for dim in [3, 8] {
                all.extend(metrics.map(|kind| Self::made(Gaussian, 32_768, dim, &[8]).under(kind)));
            }
        }
        let euclidean = Kind::Named(MetricName::Euclidean);
        all.extend(files.iter().map(|file| {
            let source = Source::File(file.clone());
            Self { source, kind: euclidean, ks: vec![8, 50], graph: true }
        }));
        all
    }

    /// Points and at most `most` queries.
    pub fn data(&self, most: usize) -> Result<(Points, Points), Error> {
        match &self.source {
            Source::Made(config) => {
                // Queries are further rows of the same distribution: the same manifold, not another one.
                let both = GenerateConfig { rows: config.rows + most, ..*config }.generate()?;
                let rows = |from: usize, to: usize| (from as i32..to as i32).collect::<Vec<_>>();
                let points = both.take_rows(&rows(0, config.rows))?;
                Ok((points, both.take_rows(&rows(config.rows, config.rows + most))?))
            }
            Source::File(path) => {
                let points = formats::read_points(path, &ReadOptions::default())?;
                let step = points.len().div_ceil(most);
                let rows: Vec<i32> = (0..points.rows()).step_by(step).collect();
                let queries = points.take_rows(&rows)?;
                Ok((points, queries))
            }
        }
    }

    /// Name in tables.
    pub fn name(&self) -> String {
        match &self.source {
            Source::Made(config) => config.distribution.name().to_owned(),
            Source::File(path) => path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
        }
    }

    /// The Python libraries that take part. Trees of coordinate boxes stop at the dimension where they are no use.
    pub fn python(&self, rows: usize, dim: usize) -> Vec<&'static str> {
        if self.kind != Kind::Named(MetricName::Euclidean) {
            return Vec::new();
        }
        let mut peers = vec!["scikit-learn", "FAISS flat"];
        if dim <= 16 {
            peers.extend(["scipy cKDTree", "pykdtree"]);
        }
        if dim <= 16 && rows <= 200_000 {
            peers.extend(["mlpack cover tree", "mlpack kd-tree"]);
        }
        peers
    }
}

/// The Rust libraries that take part.
pub fn methods<T: ByPrecision>(kind: Kind, dim: usize) -> Vec<Method<T>> {
    match dim {
        2 => low::<T, 2>(kind),
        3 => low::<T, 3>(kind),
        8 => low::<T, 8>(kind),
        16 => low::<T, 16>(kind),
        64 => high::<T, 64>(kind),
        384 => high::<T, 384>(kind),
        _ => match kind {
            Kind::Named(MetricName::Euclidean) => vec![ours::single(), ours::batch(MetricName::Euclidean)],
            Kind::Named(metric) => vec![ours::batch(metric)],
            Kind::Closure => Vec::new(),
        },
    }
}

fn low<T: ByPrecision, const D: usize>(kind: Kind) -> Vec<Method<T>> {
    match kind {
        Kind::Named(MetricName::Euclidean) => {
            let mut methods = vec![ours::single(), ours::batch(MetricName::Euclidean)];
            methods.extend(T::kd_trees::<D>());
            methods.push(metric::vantage::<T, Euclidean, D>());
            methods.push(metric::ball_tree::<T, Euclidean, D>());
            methods
        }
        Kind::Named(MetricName::Manhattan) => named::<T, Manhattan, D>(MetricName::Manhattan),
        Kind::Named(metric) => named::<T, Angular, D>(metric),
        Kind::Closure => {
            let mut methods = vec![ours::closure::<T, Cubic, D>()];
            methods.extend(general::<T, Cubic, D>());
            methods
        }
    }
}

fn named<T: Scalar, M: Measure, const D: usize>(metric: MetricName) -> Vec<Method<T>> {
    let mut methods = vec![ours::batch(metric)];
    methods.extend(general::<T, M, D>());
    methods
}

fn general<T: Scalar, M: Measure, const D: usize>() -> [Method<T>; 3] {
    [metric::vantage::<T, M, D>(), metric::exhaustive::<T, M, D>(), metric::ball_tree::<T, M, D>()]
}

/// Only trees that know distances alone: they may gain where the intrinsic dimension is low.
fn high<T: Scalar, const D: usize>(_: Kind) -> Vec<Method<T>> {
    vec![ours::single(), ours::batch(MetricName::Euclidean), metric::vantage::<T, Euclidean, D>()]
}

/// The libraries that are written for one precision at a time.
pub trait ByPrecision: Scalar {
    /// kiddo and nabo.
    fn kd_trees<const D: usize>() -> [Method<Self>; 3];
}

impl ByPrecision for f32 {
    fn kd_trees<const D: usize>() -> [Method<f32>; 3] {
        [kd::single::kiddo::<D>(), kd::single::kiddo_batch::<D>(), kd::single::nabo::<D>()]
    }
}

impl ByPrecision for f64 {
    fn kd_trees<const D: usize>() -> [Method<f64>; 3] {
        [kd::double::kiddo::<D>(), kd::double::kiddo_batch::<D>(), kd::double::nabo::<D>()]
    }
}
