//! Arguments that several commands share.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use covertree::build::telemetry::Subject;
use covertree::build::{BatchOrder, Conflict, MisForm, Prefix};
use covertree::error::{Error, shown};
use covertree::formats::output::{Outputs, check_targets, suffixed};
use covertree::formats::{Column, Header, ReadOptions, read_points};
use covertree::points::{Dtype, Points};
use covertree::tree::file::ReadMode;
use covertree::{AnyIndex, BuildConfig, MetricName, Telemetry, Workers};
use covertree_kernels::simd::Tier;

use super::gate::add_telemetry;
use super::session::Session;
use super::tell;

/// What every command understands.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Common {
    /// Threads to work on; as many as the machine has, unless told
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Seed of every random choice
    #[arg(long, global = true, value_name = "S", default_value_t = 42)]
    pub seed: u64,
    /// Vector instructions to use (portable, avx2, avx512): the best there are, unless told
    #[arg(long, global = true, value_name = "TIER", value_parser = |name: &str| name.parse::<Tier>())]
    pub tier: Option<Tier>,
    /// No messages and no progress; errors are still told
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Print one JSON object with the figures of the run on the standard output
    #[arg(long, global = true)]
    pub json: bool,
}

/// A saved tree that is only searched.
#[derive(Clone, Debug, Args)]
pub(crate) struct TreeArgs {
    /// The saved tree, from covertree build
    #[arg(value_name = "TREE.ct")]
    pub path: PathBuf,
    /// Map the tree into memory instead of reading it; no other program may write to the file meanwhile
    #[arg(long)]
    pub mmap: bool,
}

impl TreeArgs {
    /// Reads or maps the tree.
    #[allow(unsafe_code)]
    pub fn load(&self, session: &Session) -> Result<AnyIndex, Error> {
        let mode = match self.mmap {
            // SAFETY: whoever says `--mmap` was told what it takes.
            true => unsafe { ReadMode::mapped() },
            false => ReadMode::Memory,
        };
        session.stage("reading the tree", || AnyIndex::load_on(session.tier, &self.path, mode)).0
    }
}

/// The file of points, and what of it is used.
#[derive(Clone, Debug, Args)]
pub(crate) struct PointsArgs {
    /// The points, one per row: .npy (f32 or f64) or .csv
    #[arg(value_name = "POINTS")]
    pub path: PathBuf,
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Convert the points to this precision first
    #[arg(long, value_enum, value_name = "TYPE")]
    pub dtype: Option<DtypeArg>,
}

/// How files of points are read.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ReadingArgs {
    /// Use these columns only, in this order: numbers from 0, or names of the header of a .csv
    #[arg(long, value_name = "C,..", value_delimiter = ',')]
    pub columns: Vec<Column>,
    /// Whether the first line of a .csv names the columns
    #[arg(long, value_enum, value_name = "WHICH", default_value_t)]
    pub header: HeaderArg,
}

impl ReadingArgs {
    pub fn options(&self) -> ReadOptions {
        let header = match self.header {
            HeaderArg::Detect => Header::Detect,
            HeaderArg::Present => Header::Present,
            HeaderArg::Absent => Header::Absent,
        };
        ReadOptions { columns: self.columns.clone(), header, delimiter: None }
    }
}

impl PointsArgs {
    /// Reads the points and converts them.
    pub fn read(&self) -> Result<Points, Error> {
        let points = read_points(&self.path, &self.reading.options())?;
        convert(points, self.dtype, &covertree::error::shown(&self.path))
    }
}

/// The points in another precision, if one is asked for.
pub(crate) fn convert(points: Points, dtype: Option<DtypeArg>, label: &str) -> Result<Points, Error> {
    match dtype {
        Some(dtype) => points.converted(label, dtype.into()),
        None => Ok(points),
    }
}

/// Whether the first line of a .csv names the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum HeaderArg {
    /// It does if none of its cells is a number
    #[default]
    Detect,
    /// It does
    Present,
    /// It is a row like the others
    Absent,
}

/// A precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DtypeArg {
    /// 32-bit floats
    F32,
    /// 64-bit floats
    F64,
}

impl From<DtypeArg> for Dtype {
    fn from(dtype: DtypeArg) -> Self {
        match dtype {
            DtypeArg::F32 => Self::F32,
            DtypeArg::F64 => Self::F64,
        }
    }
}

/// The name of a precision as the program prints it.
pub(crate) const fn dtype_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "f32",
        Dtype::F64 => "f64",
    }
}

/// The metric.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct MetricArgs {
    /// The metric; angular and haversine are in radians, of haversine the columns are longitude and latitude in degrees
    #[arg(long, value_name = "METRIC", default_value = MetricName::default().name(), value_parser = metric_parser())]
    pub metric: MetricName,
}

pub(super) fn metric_parser() -> impl TypedValueParser<Value = MetricName> {
    PossibleValuesParser::new(MetricName::ALL.iter().map(|metric| metric.name()))
        .try_map(|name| name.parse::<MetricName>())
}

/// How a tree is built.
#[derive(Clone, Debug, Args)]
#[command(
    next_help_heading = "Building (every setting gives a correct tree and the same answers; the defaults suit most points)"
)]
pub(crate) struct StrategyArgs {
    /// Ratio of the radii of neighbouring levels
    #[arg(long, value_name = "B", default_value_t = BuildConfig::default().base)]
    pub base: f64,
    /// How points that want the same place are told apart: dense (a graph of all conflicts), grid or parent (no graph: by cells, or
    /// below each parent), two-phase (a first set, then what is left), nets (all points at once, level by level), auto (nets up to
    /// five columns, else by batch)
    #[arg(long, value_name = "HOW", default_value_t)]
    pub conflict: Conflict,
    /// grid: shifted grids per round, 1 to 4
    #[arg(long, value_name = "S", default_value_t = BuildConfig::default().grid_shifts)]
    pub grid_shifts: u32,
    /// parent: groups above this size are not thinned by themselves
    #[arg(long, value_name = "N", default_value_t = BuildConfig::default().group_cap)]
    pub group_cap: usize,
    /// dense, two-phase: conflicts of a batch that are kept at most, some fifty bytes each
    #[arg(long, value_name = "N", default_value_t = BuildConfig::default().graph_cap)]
    pub graph_cap: u64,
    /// Order of insertion: random, hilbert or morton (along a curve), natural (by row), brio (random, each batch along a curve)
    #[arg(long, value_name = "ORDER", default_value_t)]
    pub batch_order: BatchOrder,
    /// Sizes of batches: auto, doubling, adaptive (by the share of the last one that others forced to a lower level: dominated),
    /// whole (one batch)
    #[arg(long, value_name = "HOW", default_value_t)]
    pub prefix: Prefix,
    /// adaptive: a share of dominated points below this is low
    #[arg(long, value_name = "SHARE", default_value_t = BuildConfig::default().rho_low)]
    pub rho_low: f64,
    /// adaptive: a share of dominated points above this is high
    #[arg(long, value_name = "SHARE", default_value_t = BuildConfig::default().rho_high)]
    pub rho_high: f64,
    /// adaptive: growth of the inserted points when the share is high, between, low
    #[arg(long, value_name = "F,F,F", value_parser = growth, default_value_t = Growth(BuildConfig::default().growth))]
    pub growth: Growth,
    /// Cut a first traversal short after so many covering nodes, each nearer than the last; it is finished for points that
    /// win a place
    #[arg(long, value_name = "C")]
    pub chain_cap: Option<usize>,
    /// dense: most conflicts kept per point, the nearest; what that leaves out is repaired
    #[arg(long, value_name = "K")]
    pub degree_cap: Option<usize>,
    /// dense, two-phase: merge shards of the conflict search up to so many pairs of siblings
    #[arg(long, value_name = "P")]
    pub shard_pairs: Option<u64>,
    /// How independent sets are found: luby, fast
    #[arg(long, value_name = "FORM", default_value_t)]
    pub mis: MisForm,
    /// Write what the build did, batch by batch and level by level, or under a correlation the search: one JSON object per line
    #[arg(long, value_name = "FILE.jsonl")]
    pub telemetry: Option<PathBuf>,
}

/// Says what the builder decided by itself, and adds the telemetry to the outputs if a file is asked for.
pub(super) fn report(
    (index, telemetry): (&AnyIndex, &Telemetry),
    path: Option<&PathBuf>,
    session: &Session,
    outputs: &mut Outputs,
) -> Result<(), Error> {
    if !session.quiet {
        telemetry.notes.iter().for_each(|note| tell(note));
    }
    let subject = Subject { rows: index.len(), dim: index.dim(), metric: index.metric().name(), tier: session.tier };
    add_telemetry(outputs, path, telemetry.to_jsonl(index.config(), &subject))
}

/// Three factors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Growth([f64; 3]);

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [high, between, low] = self.0;
        write!(f, "{high},{between},{low}")
    }
}

fn growth(text: &str) -> Result<Growth, String> {
    let factors: Result<Vec<f64>, _> = text.split(',').map(str::parse).collect();
    let factors = factors.ok().and_then(|factors| <[f64; 3]>::try_from(factors).ok());
    factors
        .map(Growth)
        .ok_or_else(|| format!("{text:?} is not three numbers, such as {}", Growth(BuildConfig::default().growth)))
}

impl StrategyArgs {
    /// Checks everything that can be checked before the points are known, but for the telemetry's file.
    pub fn plan(&self, seed: u64) -> Result<BuildConfig, Error> {
        let config = self.config(seed);
        config.check()?;
        Ok(config)
    }

    /// Builds, adds the telemetry to the outputs if it is asked for, and says what the builder decided by itself.
    pub fn build(
        &self,
        session: &Session,
        (label, points): (&str, &Points),
        metric: MetricName,
        config: &BuildConfig,
        outputs: &mut Outputs,
    ) -> Result<AnyIndex, Error> {
        let workers = Workers::new();
        let (index, telemetry) = AnyIndex::build_with(session.tier, label, points, metric, config, &workers)?;
        report((&index, &telemetry), self.telemetry.as_ref(), session, outputs)?;
        Ok(index)
    }

    /// Whether anything but the defaults is asked for, telemetry aside.
    pub fn any(&self) -> bool {
        self.config(0) != BuildConfig { seed: 0, ..BuildConfig::default() }
    }

    fn config(&self, seed: u64) -> BuildConfig {
        BuildConfig {
            base: self.base,
            seed,
            conflict: self.conflict,
            grid_shifts: self.grid_shifts,
            group_cap: self.group_cap,
            graph_cap: self.graph_cap,
            batch_order: self.batch_order,
            prefix: self.prefix,
            rho_low: self.rho_low,
            rho_high: self.rho_high,
            growth: self.growth.0,
            chain_cap: self.chain_cap,
            degree_cap: self.degree_cap,
            shard_pairs: self.shard_pairs,
            mis: self.mis,
        }
    }
}

/// The files of an answer: `PREFIX.ids.npy` and `PREFIX.dist.npy`.
#[derive(Clone, Debug)]
pub(crate) struct AnswerFiles {
    pub ids: PathBuf,
    pub distances: PathBuf,
}

impl AnswerFiles {
    /// Refuses early what could never be written, these files and another one, or would replace what is read.
    pub fn plan<'p>(
        prefix: &Path,
        other: Option<&Path>,
        inputs: impl IntoIterator<Item = &'p Path>,
    ) -> Result<Self, Error> {
        let files = Self { ids: suffixed(prefix, ".ids.npy"), distances: suffixed(prefix, ".dist.npy") };
        check_targets([files.ids.as_path(), &files.distances].into_iter().chain(other), inputs)?;
        Ok(files)
    }
}

/// Refuses a number of neighbours that asks for nothing.
pub(crate) fn check_k(k: usize) -> Result<usize, Error> {
    match k {
        0 => Err(Error::Usage("-k 0: ask for at least one neighbour".into())),
        _ => Ok(k),
    }
}

/// What is wrong with the contents of files, with their names before it.
pub(crate) fn in_files<'a>(error: Error, files: impl IntoIterator<Item = &'a Path>) -> Error {
    let files: Vec<String> = files.into_iter().map(shown).collect();
    match error {
        Error::Usage(message) if !files.is_empty() => Error::Usage(format!("{}: {message}", files.join(", "))),
        error => error,
    }
}

/// Refuses queries whose columns are not those of the points, naming both files.
pub(crate) fn check_dim(queries: (&Path, &Points), points: (&Path, usize)) -> Result<(), Error> {
    let (got, want) = (queries.1.dim(), points.1);
    if got == want {
        return Ok(());
    }
    let (queries, points) = (shown(queries.0), shown(points.0));
    Err(Error::Usage(format!(
        "{queries}: has {got} columns where the points of {points} have {want}; choose columns so that both agree"
    )))
}
