//! `covertree gate-profile`: calibrates gates.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use covertree::error::{Error, shown};
use covertree::formats::output::{Outputs, check_targets};
use covertree::residual::{Feature, FitOptions, GateProfile, ProfileConfig};

use super::args::PointsArgs;
use super::covariance::CovarianceArgs;
use super::gate::check_explained;
use super::record::{Outcome, Record, told_of_jitter};
use super::session::Session;

/// Calibrate a gate for approximate searches under a correlation
///
/// A gate (--gate of vecchia and knn) drops pairs whose features lie farther apart than a threshold that grows with the radius
/// that a point still needs. This measures the thresholds: some points, drawn at random, are held against all points by the
/// formula of the metric. The profile serves both kinds of gate, for these parameters and inducing points only.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  covertree gate-profile points.npy --kernel matern52 --inducing 512 -o profile.json\n  covertree \
                        vecchia points.npy --kernel matern52 --inducing 512 -k 30 --gate lookup --gate-file profile.json \
                        -o nn"
)]
pub(crate) struct GateProfileArgs {
    #[command(flatten)]
    pub points: PointsArgs,
    /// Bins of radii
    #[arg(long, value_name = "B", default_value_t = ProfileConfig::default().bins)]
    pub bins: usize,
    /// Points that are held against all points, at most
    #[arg(long, value_name = "N", default_value_t = ProfileConfig::default().tree_points)]
    pub tree_points: usize,
    /// What the gate looks at: coordinates (over lengthscales), or whitened (rows of V)
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub features: FeatureArg,
    /// whitened: look at so many columns of V only, the first
    #[arg(long, value_name = "C")]
    pub feature_columns: Option<usize>,
    /// Share of the measured pairs within a radius that the thresholds let pass
    #[arg(long, value_name = "SHARE", default_value_t = ProfileConfig::default().recall, allow_negative_numbers = true)]
    pub recall: f64,
    /// Where to write: .json
    #[arg(long, short, value_name = "PROFILE.json")]
    pub output: PathBuf,
    #[command(flatten)]
    pub covariance: CovarianceArgs,
}

/// What a gate looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FeatureArg {
    /// Coordinates over lengthscales
    #[default]
    Coordinates,
    /// Rows of V
    Whitened,
}

/// A checked request.
pub(crate) struct GateProfilePlan {
    args: GateProfileArgs,
    config: ProfileConfig,
}

impl GateProfileArgs {
    pub fn plan(self, session: &Session) -> Result<GateProfilePlan, Error> {
        let feature = match self.features {
            FeatureArg::Coordinates => Feature::Coordinates,
            FeatureArg::Whitened => Feature::Whitened,
        };
        if feature == Feature::Coordinates && self.feature_columns.is_some() {
            let message = "--feature-columns counts columns of V; add --features whitened, or leave it out";
            return Err(Error::Usage(message.into()));
        }
        check_explained(&self.covariance.inducing, &[self.covariance.config()])?;
        let config = ProfileConfig {
            feature,
            feature_columns: self.feature_columns.unwrap_or(usize::MAX),
            bins: self.bins,
            tree_points: self.tree_points,
            recall: self.recall,
            seed: session.seed,
        };
        config.check()?;
        check_targets(
            [self.output.as_path()],
            [self.points.path.as_path()].into_iter().chain(self.covariance.inducing.files()),
        )?;
        session.stages(4);
        Ok(GateProfilePlan { args: self, config })
    }
}

impl GateProfilePlan {
    pub fn run(self, session: &Session) -> Result<Outcome, Error> {
        let Self { args, config } = self;
        let set = args.covariance.config();
        let read = || -> Result<_, Error> {
            let points = args.points.read()?;
            set.check(points.dim())?;
            Ok((points, args.covariance.inducing.read(&args.points.reading.options())?))
        };
        let (points, explained) = session.stage("reading", read).0?;
        let label = shown(&args.points.path);
        let inducing_label = args.covariance.inducing.inducing_points.as_deref().map(shown);
        let options =
            FitOptions { tier: session.tier, inducing_label: inducing_label.as_deref(), ..FitOptions::default() };
        let fit = || args.covariance.fit(session, &label, &points, &set, &explained, options);
        let (index, covariance_s) = session.stage("fitting", fit);
        let index = index?;
        let (profile, build_s) = session.stage("calibrating", || index.profile(&config));
        let profile: GateProfile = profile?;
        let write = || -> Result<(), Error> {
            let mut outputs = Outputs::new();
            outputs.add(&args.output, |out| out.write_all(profile.to_json().as_bytes()))?;
            outputs.commit()
        };
        session.stage("writing", write).0?;
        let record = Record {
            command: "gate-profile",
            rows: Some(points.len()),
            dim: Some(points.dim()),
            metric: Some(if index.columns() > 0 { "residual" } else { "correlation" }),
            covariance_s: Some(covariance_s),
            build_s: Some(build_s),
            jitter: index.jitter(),
            sampled: Some(profile.tree_points),
            ..Record::default()
        };
        let message = format!(
            "{}: {} pairs of {} points measured in {build_s:.3} s, slope {:.4}{}",
            shown(&args.output),
            profile.pairs,
            profile.tree_points,
            profile.slope,
            told_of_jitter(&index)
        );
        Ok(Outcome { record, message, ..Outcome::default() })
    }
}
