//! An index and its file.

use std::path::Path;
use std::sync::OnceLock;

use covertree_kernels::simd::Tier;
use covertree_kernels::tree::stored::{PROJECTION, SCALING};

use super::body::Body;
use super::{AnyBody, AnyIndex, each, shape_of, variant};
use crate::build::BuildConfig;
use crate::error::{Error, shown};
use crate::formats::output::Outputs;
use crate::metric::MetricName;
use crate::space::{Haversine, Preparation, Projected, Scaling};
use crate::tree::file::{self, Contents, Packed, PackedRef, ReadMode, SavedTree};

impl AnyIndex {
    /// Writes the tree with its points to a file: whole, or not at all. The same tree makes the same bytes.
    ///
    /// ```
    /// use covertree::generate::GenerateConfig;
    /// use covertree::{AnyIndex, BuildConfig, MetricName, ReadMode};
    ///
    /// # fn main() -> Result<(), covertree::Error> {
    /// # let path = std::env::temp_dir().join(format!("covertree-save-{}.ct", std::process::id()));
    /// let points = GenerateConfig { rows: 100, dim: 3, ..GenerateConfig::default() }.generate()?;
    /// let index = AnyIndex::build(&points, MetricName::Euclidean, &BuildConfig::default())?;
    /// index.save(&path)?;
    /// let loaded = AnyIndex::load(&path, ReadMode::Memory)?;
    /// assert_eq!(loaded.graph(5, false)?.0, index.graph(5, false)?.0);
    /// # std::fs::remove_file(path).expect("it was written");
    /// # Ok(())
    /// # }
    /// ```
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
            AnyBody::Angular(body) => PackedRef::F64(&body.points),
            AnyBody::Haversine(body) => PackedRef::F64(&body.points),
        };
        let exponent = self.preparation.scaling.exponent().to_le_bytes();
        let config = self.config.to_json();
        let mut extra: Vec<(&str, &[u8])> = vec![(SCALING, &exponent)];
        if let Some(projected) = &self.projected {
            extra.push((PROJECTION, bytemuck::cast_slice(projected.section())));
        }
        let contents = Contents {
            metric: self.metric().name(),
            config: &config,
            seed: self.config.seed,
            next_id: self.next_id,
            tree: self.tree(),
            points,
            extra: &extra,
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
        let saved = file::read(path, mode)?;
        let invalid = |problem: &str| Error::TreeInvalid { file: shown(path), problem: problem.to_owned() };
        let metric = saved.metric.parse::<MetricName>();
        let metric = metric.map_err(|_| invalid("it was built under a metric that this program lacks"))?;
        let exponent = saved.extra(SCALING).and_then(|bytes| <[u8; 4]>::try_from(&**bytes).ok());
        let scaling = exponent.and_then(|bytes| Scaling::from_exponent(i32::from_le_bytes(bytes)));
        let scaling = scaling.ok_or_else(|| invalid("it does not tell how its points are scaled"))?;
        let dtype = saved.points.dtype().ok_or_else(|| invalid("it has no points"))?;
        let projected = projected(&saved).map_err(|problem| invalid(&problem))?;
        let SavedTree { seed, tree, points, config: saved_config, next_id, .. } = saved;
        let dim = match &projected {
            _ if metric == MetricName::Haversine => Haversine::COLUMNS,
            Some(projected) => projected.dim(),
            None => points.dim(),
        };
        let preparation = Preparation { metric, dtype, dim, scaling };
        let (width, ahead) = shape_of(&preparation, projected.as_ref());
        if width != points.dim() {
            return Err(invalid("its points have another number of columns than its metric"));
        }
        if projected.is_some() && !preparation.projects() {
            return Err(invalid("its points are projected, which its metric does not allow"));
        }
        let points = match points {
            Packed::None => Packed::None,
            Packed::F32(points) => Packed::F32(points.with_ahead(ahead).map_err(|error| invalid(&error.to_string()))?),
            Packed::F64(points) => Packed::F64(points.with_ahead(ahead).map_err(|error| invalid(&error.to_string()))?),
        };
        // Text of another origin is none of our concern: what the tree is made of stands elsewhere.
        let config = BuildConfig::from_json(&saved_config).unwrap_or_default();
        let config = BuildConfig { base: tree.ladder().base(), seed, ..config };
        let body = variant!(metric, points, Packed, points => Body { tree, points });
        let body = body.ok_or_else(|| invalid("its points are of another precision than its metric"))?;
        if !each!(&body, body => body.boxes_fit()) {
            return Err(invalid("its boxes have another number of columns than its metric"));
        }
        Ok(Self { preparation, projected, config, tier, body, wide: OnceLock::new(), next_id })
    }
}

/// The axes onto which the points of a file are projected, if they are.
fn projected(saved: &SavedTree) -> Result<Option<Projected>, String> {
    let Some(bytes) = saved.extra(PROJECTION) else { return Ok(None) };
    let section = bytes.typed::<f64>().ok_or("its section \"projection\" holds no whole numbers")?;
    let read = Projected::read(section.to_vec(), saved.points.dim());
    read.map(Some).map_err(|error| format!("its section \"projection\" is wrong: {error}"))
}
