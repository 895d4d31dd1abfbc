//! Profiles: how far apart the features of correlated points lie, measured on a sample.
//!
//! A gate's threshold cannot be derived (see [`super::gate`]), so it is calibrated: a seeded sample of the points is held
//! against all points, pair by pair, by the published formula, and for each residual radius the smallest feature distance is kept
//! that would let the wanted share of the pairs within the radius pass.

use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::residual::{
    GateBins, GateCounters, PointRow, ResidualCounters, gate_run, profile_pairs, profile_slope, profile_thresholds,
    residual_distance, settle_positions,
};
use covertree_kernels::simd::LANES_F32;
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::set::{PointSet, Source};
use super::{KernelName, ResidualIndex, reference};
use crate::error::Error;

/// The name of the layout of a profile.
pub const PROFILE_SCHEMA: &str = "covertree.gate-profile.v1";

/// Bins of feature distances while pairs are counted.
const FEATURE_BINS: usize = 1024;

/// Most bins of radii: a count of pairs takes 8 bytes per bin of radii and of features, for each thread.
const BINS_MAX: usize = 4096;

/// What a gate looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Feature {
    /// Coordinates over lengthscales.
    #[default]
    Coordinates,
    /// The first columns of `V` over the prior standard deviation: the whitened distance.
    Whitened,
}

/// How a gate is calibrated.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileConfig {
    /// What the gate is to look at.
    pub feature: Feature,
    /// Most columns of `V` that it looks at; of no matter for coordinates.
    pub feature_columns: usize,
    /// Bins of radii.
    pub bins: usize,
    /// Points that are held against all others.
    pub tree_points: usize,
    /// Share of the sampled pairs within a radius that a gate without margin lets pass.
    pub recall: f64,
    /// Draws the points.
    pub seed: u64,
}

impl Default for ProfileConfig {
    fn default() -> Self {
        Self {
            feature: Feature::default(),
            feature_columns: usize::MAX,
            bins: 512,
            tree_points: 2048,
            recall: 1.0,
            seed: 42,
        }
    }
}

impl ProfileConfig {
    /// Checks what does not depend on the points.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the first setting that is out of its range.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::Usage(message));
        match self {
            Self { bins, .. } if !(1..=BINS_MAX).contains(bins) => {
                refuse(format!("a profile of {bins} bins is asked for; choose a number from 1 to {BINS_MAX}"))
            }
            Self { tree_points: 0, .. } => refuse("a profile of 0 points says nothing; choose at least 1".into()),
            Self { feature_columns: 0, .. } => refuse("a gate on 0 columns sees nothing; choose at least 1".into()),
            Self { recall, .. } if !(*recall > 0.0 && *recall <= 1.0) => {
                refuse(format!("the recall of the profile is {recall}; choose a number above 0, at most 1"))
            }
            _ => Ok(()),
        }
    }
}

/// The parameters that a profile belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileMetric {
    /// Name of the covariance.
    pub kernel: String,
    /// See [`CovarianceConfig`](super::CovarianceConfig).
    pub variance: f64,
    /// As above.
    pub lengthscales: Vec<f64>,
    /// As above.
    pub nugget: f64,
    /// As above.
    pub jitter: f64,
    /// Columns of `V`.
    pub inducing: usize,
    /// Columns of a point.
    pub dim: usize,
    /// Hash of all of these, bit for bit, and of the inducing points or the given `V` and `p`.
    pub hash: String,
}

/// A calibration, as it is saved: JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateProfile {
    /// [`PROFILE_SCHEMA`].
    pub schema: String,
    /// Of the library that made it.
    pub version: String,
    /// What it was calibrated for.
    pub metric: ProfileMetric,
    /// Points that there were.
    pub rows: usize,
    /// Points that were held against all others.
    pub tree_points: usize,
    /// What drew them.
    pub seed: u64,
    /// Pairs that were measured.
    pub pairs: u64,
    /// Share of them that the thresholds let pass, for every radius.
    pub recall: f64,
    /// What is looked at.
    pub feature: Feature,
    /// Columns of the features.
    pub columns: usize,
    /// The whitened gate lets feature distances up to `slope * radius` pass.
    pub slope: f64,
    /// The lookup gate's thresholds, for radii in `(b w, (b + 1) w]` with `w = 1 / bins`; `null` where nothing is known, and
    /// everything passes.
    pub table: Vec<Option<f64>>,
}

impl GateProfile {
    /// The profile as text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names are strings, and no map has other keys") + "\n"
    }

    /// Reads a profile; `label` names it in messages.
    ///
    /// # Errors
    /// [`Error::Usage`] for text that is no profile of this version, or whose numbers make no gate.
    pub fn from_json(label: &str, text: &str) -> Result<Self, Error> {
        let profile: Self = serde_json::from_str(text).map_err(|problem| refused(label, &problem.to_string()))?;
        profile.check(label)?;
        Ok(profile)
    }

    /// Refuses what makes no gate.
    pub(super) fn check(&self, label: &str) -> Result<(), Error> {
        if self.schema != PROFILE_SCHEMA {
            let problem = format!("it is of the layout {:?}, and {PROFILE_SCHEMA:?} is read", self.schema);
            return Err(refused(label, &problem));
        }
        let threshold = |value: &f64| value.is_finite() && *value >= 0.0;
        if !(threshold(&self.slope) && self.table.iter().flatten().all(threshold)) {
            return Err(refused(label, "a threshold is negative"));
        }
        if self.table.is_empty() || self.columns == 0 {
            return Err(refused(label, "it has no thresholds"));
        }
        Ok(())
    }
}

fn refused(label: &str, problem: &str) -> Error {
    let problem = problem.replace('\n', " ");
    Error::Usage(format!("{label}: is no profile of a gate ({problem}); make one with covertree gate-profile"))
}

impl ResidualIndex {
    /// Calibrates gates for these points: one profile serves both kinds.
    ///
    /// # Errors
    /// [`Error::Usage`] for a setting out of its range, for fewer than two points, for a sample in which no two points are
    /// correlated, and for the whitened distance where there is no `V`.
    ///
    /// # Cost
    /// The published formula for each of the sampled points with every point.
    pub fn profile(&self, config: &ProfileConfig) -> Result<GateProfile, Error> {
        config.check()?;
        let (len, set) = (self.len(), &self.set);
        if len < 2 {
            return Err(Error::Usage(format!("there are {len} points, and a profile needs pairs; give more")));
        }
        let features = Features::of_points(self, config.feature, config.feature_columns)?;
        let sample = reference::sample(len, config.tree_points, config.seed);
        let reach = features.reach();
        // Beyond the largest distance, so that the last bin stays empty: it would count as unknown.
        let feature_cap = if reach > 0.0 { 1.01 * reach } else { 1.0 };
        let bins = GateBins { radii: config.bins, radius_cap: 1.0, features: FEATURE_BINS, feature_cap };
        let none = || Counted { counts: vec![0; config.bins * FEATURE_BINS], row: Vec::new() };
        let add = |mut one: Counted, other: Counted| {
            for (count, more) in one.counts.iter_mut().zip(&other.counts) {
                *count += more;
            }
            Ok(one)
        };
        let count = |mut counted: Counted, &row: &Idx| -> Result<Counted, Error> {
            counted.add(self, &features, bins, at(set.layout.positions[at(row)]))?;
            Ok(counted)
        };
        let counted = sample.par_iter().with_min_len(64).try_fold(none, count).try_reduce(none, add)?;
        let mut table = vec![0.0; config.bins];
        profile_thresholds(bins, &counted.counts, config.recall, &mut table)?;
        let known: Vec<Option<f64>> = table.iter().map(|value| value.is_finite().then_some(*value)).collect();
        if known.iter().all(Option::is_none) {
            let message =
                "no two points of the sample are correlated, so nothing can be calibrated; raise the lengthscale";
            return Err(Error::Usage(message.into()));
        }
        // What is unknown must not make the slope infinite: the line goes through what is known.
        let slope = profile_slope(&known.iter().map(|value| value.unwrap_or(0.0)).collect::<Vec<_>>(), 1.0);
        Ok(GateProfile {
            schema: PROFILE_SCHEMA.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            metric: self.profile_metric(),
            rows: len,
            tree_points: sample.len(),
            seed: config.seed,
            pairs: counted.counts.iter().sum(),
            recall: config.recall,
            feature: config.feature,
            columns: features.columns,
            slope,
            table: known,
        })
    }

    /// The parameters as a profile names them.
    pub fn profile_metric(&self) -> ProfileMetric {
        let (config, dim) = (&self.config, self.set.model.dim());
        let mut hash = Xxh3::new();
        let kernel = KernelName(config.kind).name();
        feed(&mut hash, &[config.variance, config.nugget, config.jitter, dim as f64]);
        feed(&mut hash, &config.lengthscales);
        match (&self.source, &self.inducing) {
            (Source::Given(columns, ..), _) => {
                let positions = &self.set.layout.positions;
                hash.update(&((positions.len() * columns) as u64).to_le_bytes()); // widens
                positions.iter().for_each(|&position| feed_values(&mut hash, self.set.row(at(position))));
                let p: Vec<f64> = positions.iter().map(|&position| self.set.p[at(position)]).collect();
                feed(&mut hash, &p);
            }
            (_, Some(inducing)) => feed(&mut hash, &inducing.to_f64()),
            (_, None) => {}
        }
        hash.update(kernel.as_bytes());
        ProfileMetric {
            kernel: kernel.into(),
            variance: config.variance,
            lengthscales: config.lengthscales.clone(),
            nugget: config.nugget,
            jitter: config.jitter,
            inducing: self.columns(),
            dim,
            hash: format!("{:016x}", hash.digest()),
        }
    }
}

/// Hashes values and their number.
fn feed(hash: &mut Xxh3, values: &[f64]) {
    hash.update(&(values.len() as u64).to_le_bytes()); // widens
    feed_values(hash, values);
}

fn feed_values(hash: &mut Xxh3, values: &[f64]) {
    values.iter().for_each(|value| hash.update(&value.to_bits().to_le_bytes()));
}

/// Pairs counted so far, and room for the next point's.
struct Counted {
    counts: Vec<u64>,
    row: Vec<f64>,
}

impl Counted {
    /// Counts the pairs of one point with all others.
    fn add(&mut self, index: &ResidualIndex, features: &Features, bins: GateBins, own: usize) -> Result<(), Error> {
        let (set, model) = (&index.set, index.set.model);
        let len = set.layout.len();
        let mut z = vec![0.0; model.dim()];
        set.point(own, &mut z);
        let query = PointRow { coordinates: &z, v: set.row(own), p: set.p[own] };
        let all: Vec<Idx> = (0..len as Idx).collect(); // positions
        self.row.resize(len, 0.0);
        let mut counters = ResidualCounters::default();
        settle_positions(index.tier, query, &set.all_rows()?, &set.p, &all, &mut self.row, &mut counters)?;
        self.row.iter_mut().for_each(|rho| *rho = residual_distance(*rho));
        self.row[own] = f64::INFINITY; // no pair
        let mut squares = vec![0.0; panels_len::<f32>(len, 1)];
        let mut passed = vec![0; squares.len() / LANES_F32];
        let packed = Panels::new(&features.packed, features.columns, len)?;
        let query = features.row(own);
        gate_run(index.tier, f64::INFINITY, query, packed, &mut squares, &mut passed, &mut GateCounters::default())?;
        Ok(profile_pairs(bins, &squares[..len], &self.row[..len], &mut self.counts)?)
    }
}

/// What a gate looks at, in `f32`, in the order of a layout.
pub(super) struct Features {
    pub columns: usize,
    /// `[points][columns]`.
    pub rows: Vec<f32>,
    /// The same in panels of 16.
    pub packed: Vec<f32>,
    /// What was taken off the coordinates, so that `f32` holds their differences.
    pub centre: Vec<f64>,
}

impl Features {
    /// Of the points of an index.
    pub fn of_points(index: &ResidualIndex, feature: Feature, columns: usize) -> Result<Self, Error> {
        let set = &index.set;
        let columns = match feature {
            Feature::Coordinates => set.model.dim(),
            Feature::Whitened => columns.min(set.model.columns()),
        };
        if columns == 0 {
            let message = "the whitened distance needs inducing points, and there are none; calibrate on coordinates";
            return Err(Error::Usage(message.into()));
        }
        let centre = match feature {
            Feature::Coordinates => middle(&set.boxes, columns),
            Feature::Whitened => vec![0.0; columns],
        };
        Ok(Self::of(set, feature, centre)?)
    }

    /// Of other points under the same metric, with the same centre.
    pub fn of(set: &PointSet, feature: Feature, centre: Vec<f64>) -> Result<Self, KernelError> {
        let (len, columns) = (set.layout.len(), centre.len());
        let unit = match feature {
            Feature::Coordinates => 1.0,
            Feature::Whitened => 1.0 / libm::sqrt(set.model.covariance().variance()),
        };
        let mut rows = vec![0.0f32; len * columns];
        let each = |(position, row): (usize, &mut [f32])| {
            let mut z = vec![0.0; set.model.dim()];
            set.point(position, &mut z);
            let values = if feature == Feature::Coordinates { &z } else { set.row(position) };
            for ((out, value), centre) in row.iter_mut().zip(values).zip(&centre) {
                *out = ((value - centre) * unit) as f32; // what is looked at is this rounded value
            }
        };
        rows.par_chunks_exact_mut(columns).with_min_len(256).enumerate().for_each(each);
        let order: Vec<Idx> = (0..len as Idx).collect(); // positions
        let mut packed = vec![0.0; panels_len::<f32>(len, columns)];
        pack_rows(Rows::new(&rows, columns)?, &order, &mut packed)?;
        Ok(Self { columns, rows, packed, centre })
    }

    /// The features of one position.
    pub fn row(&self, position: usize) -> &[f32] {
        &self.rows[position * self.columns..(position + 1) * self.columns]
    }

    /// No two points are farther apart.
    fn reach(&self) -> f64 {
        let square = |row: &[f32]| row.iter().fold(0.0, |sum, x| sum + f64::from(*x) * f64::from(*x));
        2.0 * libm::sqrt(self.rows.chunks_exact(self.columns).map(square).fold(0.0, f64::max))
    }
}

/// The middle of the box around boxes, each low then high corner.
fn middle(boxes: &[f64], dim: usize) -> Vec<f64> {
    let bound = |d: usize, pick: fn(f64, f64) -> f64, start: f64| {
        boxes.chunks_exact(dim).fold(start, |bound, corner| pick(bound, corner[d]))
    };
    (0..dim).map(|d| 0.5 * bound(d, f64::min, f64::INFINITY) + 0.5 * bound(d, f64::max, f64::NEG_INFINITY)).collect()
}
