//! Covariance parameters and the choice of inducing points.

use std::fmt;
use std::str::FromStr;

use covertree_kernels::covariance::{Covariance, CovarianceKind, VARIANCE_MAX, VARIANCE_MIN, scale_rows};
use covertree_kernels::index::{Idx, at};
use covertree_kernels::simd::Tier;
use covertree_kernels::view::Rows;
use rayon::prelude::*;

use super::Landmarks;
use crate::error::Error;
use crate::named;
use crate::parallel;
use crate::points::{Points, Values};
use crate::random::Table;
use crate::sort::sort_by_keys;
use crate::{AnyIndex, BuildConfig, MetricName};

/// A covariance by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelName(pub CovarianceKind);

impl KernelName {
    /// The name in commands.
    pub const fn name(self) -> &'static str {
        match self.0 {
            CovarianceKind::Rbf => "rbf",
            CovarianceKind::Matern12 => "matern12",
            CovarianceKind::Matern32 => "matern32",
            CovarianceKind::Matern52 => "matern52",
        }
    }
}

impl fmt::Display for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KernelName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        named::parse(name, "covariance", &CovarianceKind::ALL.map(Self), Self::name)
    }
}

/// The parameters of a residual metric.
#[derive(Clone, Debug, PartialEq)]
pub struct CovarianceConfig {
    /// The shape of the covariance.
    pub kind: CovarianceKind,
    /// The variance at distance zero.
    pub variance: f64,
    /// One lengthscale for all columns, or one per column.
    pub lengthscales: Vec<f64>,
    /// What the variance of a point itself has on top; it enters no covariance of two points, not even equal ones.
    pub nugget: f64,
    /// What `K_UU` gets on its diagonal, in units of the variance.
    pub jitter: f64,
}

impl Default for CovarianceConfig {
    fn default() -> Self {
        Self { kind: CovarianceKind::Matern52, variance: 1.0, lengthscales: vec![1.0], nugget: 0.0, jitter: 1e-6 }
    }
}

impl CovarianceConfig {
    /// Checks every parameter, for points of `dim` columns; gives the covariance of scaled points.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the first parameter that is out of its range.
    pub fn check(&self, dim: usize) -> Result<Covariance, Error> {
        if !(VARIANCE_MIN..=VARIANCE_MAX).contains(&self.variance) {
            let variance = self.variance;
            return Err(Error::Usage(format!(
                "the variance is {variance}; choose a number from {VARIANCE_MIN:e} to {VARIANCE_MAX:e}"
            )));
        }
        let count = self.lengthscales.len();
        if count != 1 && count != dim {
            return Err(Error::Usage(format!(
                "{count} lengthscales are given for points of {dim} columns; give one, or one per column"
            )));
        }
        if let Some(bad) = self.lengthscales.iter().find(|length| !(length.is_finite() && **length > 0.0)) {
            return Err(Error::Usage(format!("a lengthscale is {bad}; choose numbers above 0")));
        }
        let largest = self.variance * 1e6;
        if !(0.0..=largest).contains(&self.nugget) {
            let nugget = self.nugget;
            return Err(Error::Usage(format!(
                "the nugget is {nugget}; choose a number from 0 to {largest:e}, a million variances"
            )));
        }
        if !(1e-15..=1.0).contains(&self.jitter) {
            let jitter = self.jitter;
            return Err(Error::Usage(format!("the jitter is {jitter}; choose a number from 1e-15 to 1")));
        }
        Ok(Covariance::new(self.kind, self.variance)?)
    }

    /// The prior variance of a point: with the nugget.
    pub(super) fn diagonal(&self) -> f64 {
        self.variance + self.nugget
    }

    /// The points divided by their lengthscales, row-major: `z_d = x_d / l_d`.
    ///
    /// # Errors
    /// [`Error::Lengthscale`] for the first coordinate whose square would leave the range.
    pub(crate) fn scaled(&self, tier: Tier, label: &str, points: &Points) -> Result<Vec<f64>, Error> {
        let dim = points.dim();
        // One for all columns, or one for each.
        let lengthscales: Vec<f64> = self.lengthscales.iter().copied().cycle().take(dim).collect();
        let mut scaled = vec![0.0f64; points.values().len()];
        match points.values() {
            Values::F32(values) => scale_rows(tier, Rows::new(values, dim)?, &lengthscales, &mut scaled)?,
            Values::F64(values) => scale_rows(tier, Rows::new(values, dim)?, &lengthscales, &mut scaled)?,
        }
        let limit = 1e150;
        match scaled.iter().position(|value| value.abs() > limit) {
            None => Ok(scaled),
            Some(place) => {
                let (file, (row, column)) = (label.into(), points.place(place));
                let (value, lengthscale) = (points.values().get(place), lengthscales[place % dim]);
                Err(Error::Lengthscale { file, row, column, value, lengthscale })
            }
        }
    }
}

/// How points are fitted to a metric. Answers never depend on it.
#[derive(Clone, Copy, Debug)]
pub struct FitOptions<'a> {
    /// The tier of the kernels.
    pub tier: Tier,
    /// Landmarks of a leaf.
    pub landmarks: Landmarks,
    /// The order that Vecchia neighbours will be asked for, that of the rows included: the bounds between leaves are made for it
    /// then. Without one they are made for neighbours among all points.
    pub order: Option<&'a [Idx]>,
    /// What messages call inducing points that are given by themselves, such as the name of their file.
    pub inducing_label: Option<&'a str>,
}

impl Default for FitOptions<'_> {
    fn default() -> Self {
        Self { tier: Tier::detect(), landmarks: Landmarks::Auto, order: None, inducing_label: None }
    }
}

/// Where the inducing points come from.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Inducing {
    /// There are none: the prior correlation.
    #[default]
    None,
    /// So many different rows of the points, drawn at random.
    Random(usize),
    /// So many rows of the points that lie far from each other: the points of the highest levels of their Euclidean cover
    /// tree, which is a net of them.
    Net(usize),
    /// These rows of the points.
    Rows(Vec<Idx>),
    /// These points, which need not be among the points.
    Points(Points),
}

impl Inducing {
    /// The inducing points, unscaled.
    ///
    /// # Errors
    /// [`Error::Usage`] for more inducing points than points, for a list of no rows, for a row number out of range or given
    /// twice, and for inducing points of another number of columns.
    pub fn resolve(&self, points: &Points, seed: u64) -> Result<Option<Points>, Error> {
        let len = points.len();
        let enough = |count: usize| {
            let message =
                || format!("{count} inducing points are asked for, and there are {len} points; ask for fewer");
            if count > len { Err(Error::Usage(message())) } else { Ok(()) }
        };
        match self {
            Self::None | Self::Random(0) | Self::Net(0) => Ok(None),
            Self::Random(count) => {
                enough(*count)?;
                points.take_rows(&shuffled(len, seed)[..*count]).map(Some)
            }
            Self::Net(count) => {
                enough(*count)?;
                points.take_rows(&by_levels(points, seed)?[..*count]).map(Some)
            }
            Self::Rows(rows) => {
                let mut seen = vec![false; len];
                for (place, &row) in rows.iter().enumerate() {
                    let known = usize::try_from(row).ok().filter(|row| *row < len);
                    let Some(known) = known else {
                        return Err(Error::Usage(format!(
                            "inducing point {place} (counted from 0) is row {row}, and the rows are 0 to {}; correct it",
                            len.saturating_sub(1)
                        )));
                    };
                    if std::mem::replace(&mut seen[known], true) {
                        return Err(Error::Usage(format!(
                            "inducing point {place} (counted from 0) repeats row {row}; give each row once"
                        )));
                    }
                }
                if rows.is_empty() {
                    let message =
                        "the list of inducing points is empty; give at least one row number, or leave the list out";
                    return Err(Error::Usage(message.into()));
                }
                points.take_rows(rows).map(Some)
            }
            Self::Points(inducing) if inducing.dim() != points.dim() => Err(Error::Usage(format!(
                "the inducing points have {} columns where the points have {}; choose columns so that both agree",
                inducing.dim(),
                points.dim()
            ))),
            Self::Points(inducing) => Ok((!inducing.is_empty()).then(|| inducing.clone())),
        }
    }
}

/// Rows that one task makes keys for.
const KEYS: usize = 1 << 14;

/// All rows in random order.
pub(crate) fn shuffled(len: usize, seed: u64) -> Vec<Idx> {
    let table = Table::new(seed, 17);
    let mut rows: Vec<Idx> = (0..len as Idx).collect(); // as many as the points that were counted
    let mut keys = vec![0; len];
    parallel::chunks(&mut keys, KEYS, &|chunk, keys| {
        for (key, row) in keys.iter_mut().zip(chunk * KEYS..) {
            *key = table.row(row).bits(0);
        }
    });
    sort_by_keys(&mut keys, &mut rows);
    rows
}

/// All rows by the levels of the Euclidean cover tree, highest first, at random within a level.
///
/// # Errors
/// Those of building the tree.
pub(crate) fn by_levels(points: &Points, seed: u64) -> Result<Vec<Idx>, Error> {
    let index = AnyIndex::build(points, MetricName::Euclidean, &BuildConfig { seed, ..BuildConfig::default() })?;
    let tree = index.tree();
    let table = Table::new(seed, 17);
    let mut rows: Vec<(i32, u64, Idx)> = Vec::with_capacity(tree.len());
    for (&id, &level) in tree.ids().iter().zip(tree.levels()) {
        // Twins come last.
        rows.push((-level.max(-i32::MAX), table.row(at(id)).bits(0), id));
    }
    rows.par_sort_unstable();
    Ok(rows.into_iter().map(|(_, _, id)| id).collect())
}
