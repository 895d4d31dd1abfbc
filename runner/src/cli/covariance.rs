//! Arguments of the residual and the prior correlation.

use std::path::{Path, PathBuf};

use clap::Args;
use covertree::error::{Error, shown};
use covertree::formats::npy::{read_ids, read_reals};
use covertree::formats::{ReadOptions, read_points, read_text};
use covertree::points::{Points, Values};
use covertree::residual::{CovarianceConfig, FitOptions, Inducing, KernelName, ResidualIndex};
use serde::Deserialize;

use super::args::in_files;
use super::session::Session;

fn defaults() -> CovarianceConfig {
    CovarianceConfig::default()
}

/// The covariance and the inducing points.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Covariance")]
pub(crate) struct CovarianceArgs {
    /// The covariance: rbf, matern12, matern32 or matern52
    #[arg(long, value_name = "NAME", default_value_t = KernelName(defaults().kind), value_parser = |name: &str| name.parse::<KernelName>())]
    pub kernel: KernelName,
    /// One lengthscale, or one per column
    #[arg(long, value_name = "L,..", value_delimiter = ',', default_values_t = defaults().lengthscales, allow_negative_numbers = true)]
    pub lengthscale: Vec<f64>,
    /// Variance at distance zero
    #[arg(long, value_name = "V", default_value_t = defaults().variance, allow_negative_numbers = true)]
    pub variance: f64,
    /// Variance that a point has on top, shared with no other
    #[arg(long, value_name = "V", default_value_t = defaults().nugget, allow_negative_numbers = true)]
    pub nugget: f64,
    /// Added to the diagonal of the inducing points' covariance, in variances; grows tenfold, at most six times, where that
    /// is not positive definite
    #[arg(long, value_name = "J", default_value_t = defaults().jitter, allow_negative_numbers = true)]
    pub jitter: f64,
    #[command(flatten)]
    pub inducing: InducingArgs,
}

/// Where the inducing points come from; none of these is the prior correlation.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct InducingArgs {
    /// Draw so many rows of POINTS as inducing points
    #[arg(long, value_name = "M", group = "explained", allow_negative_numbers = true)]
    pub inducing: Option<usize>,
    /// Take so many rows of POINTS that lie far from each other: the top of their cover tree
    #[arg(long, value_name = "M", group = "explained", allow_negative_numbers = true)]
    pub inducing_net: Option<usize>,
    /// Row numbers of the inducing points: .npy (i32 or i64)
    #[arg(long, value_name = "FILE", group = "explained")]
    pub inducing_ids: Option<PathBuf>,
    /// The inducing points themselves: .npy or .csv
    #[arg(long, value_name = "FILE", group = "explained")]
    pub inducing_points: Option<PathBuf>,
    /// V from elsewhere, one row per row of POINTS, M columns: .npy (f32 or f64); with --p, and without --queries
    #[arg(long, value_name = "FILE", group = "explained", requires = "p")]
    pub v: Option<PathBuf>,
    /// Residual variances from elsewhere: variance and nugget less the squares of the row of V, or more; .npy (f32 or f64); with
    /// --v
    #[arg(long, value_name = "FILE", requires = "v")]
    pub p: Option<PathBuf>,
}

/// What of the inducing points stands in files, read.
pub(crate) enum Explained {
    Inducing(Inducing),
    Given { v: Points, p: Vec<f64> },
}

impl CovarianceArgs {
    /// Whether anything was asked for that a metric of coordinates has no use for.
    pub fn any(&self) -> bool {
        self.inducing.any() || self.config() != defaults()
    }
}

impl InducingArgs {
    /// The files that are read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.inducing_ids, &self.inducing_points, &self.v, &self.p].into_iter().flatten().map(PathBuf::as_path)
    }

    /// Whether there is anything but the prior.
    pub fn any(&self) -> bool {
        self.inducing.is_some()
            || self.inducing_net.is_some()
            || self.inducing_ids.is_some()
            || self.inducing_points.is_some()
            || self.v.is_some()
    }

    /// Whether the program finds `V` itself.
    pub fn factored(&self) -> bool {
        self.any() && self.v.is_none()
    }

    /// Reads what stands in files; the columns of inducing points are chosen as those of the points.
    pub fn read(&self, options: &ReadOptions) -> Result<Explained, Error> {
        if let (Some(v), Some(p)) = (&self.v, &self.p) {
            return Ok(Explained::Given { v: matrix(v)?, p: read_reals(p)?.values });
        }
        let inducing = if let Some(count) = self.inducing {
            Inducing::Random(count)
        } else if let Some(count) = self.inducing_net {
            Inducing::Net(count)
        } else if let Some(ids) = &self.inducing_ids {
            Inducing::Rows(read_ids(ids)?.values)
        } else if let Some(path) = &self.inducing_points {
            Inducing::Points(read_points(path, options)?)
        } else {
            Inducing::None
        };
        Ok(Explained::Inducing(inducing))
    }
}

/// A matrix of finite numbers.
fn matrix(path: &Path) -> Result<Points, Error> {
    let array = read_reals(path)?;
    match array.shape[..] {
        [_, columns] => Points::named(&shown(path), columns, Values::F64(array.values)),
        _ => Err(Error::Rank { file: shown(path), shape: format!("{:?}", array.shape), want: "rows x M" }),
    }
}

impl CovarianceArgs {
    pub fn config(&self) -> CovarianceConfig {
        CovarianceConfig {
            kind: self.kernel.0,
            variance: self.variance,
            lengthscales: self.lengthscale.clone(),
            nugget: self.nugget,
            jitter: self.jitter,
        }
    }

    /// The parameter sets of a file: JSON, a list of objects whose missing fields are those of the command line.
    pub fn sets(&self, path: &Path) -> Result<Vec<CovarianceConfig>, Error> {
        let text = read_text(path)?;
        let sets: Vec<ParameterSet> = serde_json::from_slice(&text).map_err(|problem| {
            let problem = problem.to_string().replace('\n', " ");
            Error::Usage(format!(
                "{}: is no list of parameter sets ({problem}); write for example [{{\"lengthscale\": [0.5]}}]",
                shown(path)
            ))
        })?;
        if sets.is_empty() {
            return Err(Error::Usage(format!("{}: holds no parameter set; give at least one", shown(path))));
        }
        let numbered = sets.into_iter().enumerate();
        let sets = numbered.map(|(number, set)| set.over(self.config()).map_err(|error| in_set(path, number, error)));
        sets.collect()
    }

    /// Fits points.
    pub fn fit(
        &self,
        session: &Session,
        label: &str,
        points: &Points,
        config: &CovarianceConfig,
        explained: &Explained,
        options: FitOptions<'_>,
    ) -> Result<ResidualIndex, Error> {
        // What is wrong with a parameter names it; what is wrong with the rest lies in its files.
        config.check(points.dim())?;
        let fitted = match explained {
            Explained::Inducing(inducing) => {
                ResidualIndex::fit_with(options, label, points, config, inducing, session.seed)
            }
            // Without landmarks, the order is of no use.
            Explained::Given { v, p } => ResidualIndex::given_on(options.tier, label, points, config, v, p.clone()),
        };
        fitted.map_err(|error| in_files(error, self.inducing.files()))
    }
}

/// What is wrong with one set of a file, with the file and the number of the set before it.
pub(crate) fn in_set(path: &Path, number: usize, error: Error) -> Error {
    Error::Usage(format!("{}: set {number}: {error}", shown(path)))
}

/// One set of parameters in a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ParameterSet {
    kernel: Option<String>,
    lengthscale: Option<Lengthscale>,
    variance: Option<f64>,
    nugget: Option<f64>,
    jitter: Option<f64>,
}

/// One for all columns, or one per column.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Lengthscale {
    One(f64),
    Each(Vec<f64>),
}

impl ParameterSet {
    fn over(self, mut config: CovarianceConfig) -> Result<CovarianceConfig, Error> {
        if let Some(kernel) = self.kernel {
            config.kind = kernel.parse::<KernelName>()?.0;
        }
        config.lengthscales = match self.lengthscale {
            None => config.lengthscales,
            Some(Lengthscale::One(length)) => vec![length],
            Some(Lengthscale::Each(lengths)) => lengths,
        };
        config.variance = self.variance.unwrap_or(config.variance);
        config.nugget = self.nugget.unwrap_or(config.nugget);
        config.jitter = self.jitter.unwrap_or(config.jitter);
        Ok(config)
    }
}
