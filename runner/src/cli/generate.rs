//! `covertree generate`: a data set to try things on.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use covertree::error::{Error, shown};
use covertree::formats::{check_points_target, write_points};
use covertree::generate::{Distribution, GenerateConfig};

use super::args::{DtypeArg, dtype_name};
use super::record::{Outcome, Record};
use super::session::Session;

/// Make a data set: the same bytes for the same request, on every machine
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  covertree generate gaussian --rows 32768 --dim 8 -o points.npy")]
pub(crate) struct GenerateArgs {
    /// The shape of the set
    #[arg(value_name = "SHAPE", value_parser = shape_parser())]
    pub shape: Distribution,
    /// Rows: the number of points
    #[arg(long, value_name = "N")]
    pub rows: usize,
    /// Columns: the dimension of the points
    #[arg(long, value_name = "D")]
    pub dim: usize,
    /// Precision of the values
    #[arg(long, value_enum, value_name = "TYPE", default_value = "f32")]
    pub dtype: DtypeArg,
    /// manifold: its intrinsic dimension [default: 8, or D where that is less]
    #[arg(long, value_name = "Q")]
    pub intrinsic_dim: Option<usize>,
    /// The file to write: .npy
    #[arg(long, short, value_name = "FILE.npy")]
    pub output: PathBuf,
}

fn shape_parser() -> impl TypedValueParser<Value = Distribution> {
    PossibleValuesParser::new(Distribution::ALL.iter().map(|shape| shape.name()))
        .try_map(|name| name.parse::<Distribution>())
}

/// A checked request.
pub(crate) struct GeneratePlan {
    config: GenerateConfig,
    output: PathBuf,
}

impl GenerateArgs {
    pub fn config(&self, seed: u64) -> GenerateConfig {
        let Self { shape: distribution, rows, dim, dtype, intrinsic_dim, .. } = *self;
        GenerateConfig { distribution, rows, dim, seed, dtype: dtype.into(), intrinsic_dim }
    }

    pub fn plan(self, session: &Session) -> Result<GeneratePlan, Error> {
        if self.intrinsic_dim.is_some() && self.shape != Distribution::Manifold {
            let problem = format!("--intrinsic-dim is that of a manifold, and not of {}; leave it out", self.shape);
            return Err(Error::Usage(problem));
        }
        check_points_target(&self.output)?;
        session.stages(2);
        Ok(GeneratePlan { config: self.config(session.seed), output: self.output })
    }
}

impl GeneratePlan {
    pub fn run(self, session: &Session) -> Result<Outcome, Error> {
        let (points, _) = session.stage("generating", || self.config.generate());
        let points = points?;
        session.stage("writing", || write_points(&self.output, &points)).0?;
        let dtype = dtype_name(points.dtype());
        let message = format!(
            "{}: {} x {} {dtype}, {}, seed {}",
            shown(&self.output),
            points.len(),
            points.dim(),
            self.config.distribution,
            self.config.seed
        );
        let record = Record {
            command: "generate",
            rows: Some(points.len()),
            dim: Some(points.dim()),
            dtype: Some(dtype),
            ..Record::default()
        };
        Ok(Outcome { record, message, ..Outcome::default() })
    }
}
