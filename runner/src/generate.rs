//! Data sets to try things on: the same bits for the same request, on every machine and number of threads.
//!
//! Every number is a hash of (seed, row, column), and every function beyond the four operations and the square root
//! comes from the crate `libm`. Values are made in double precision and rounded to nearest for `f32`.

use std::f64::consts::{PI, SQRT_2};
use std::fmt;
use std::str::FromStr;

use bytemuck::Pod;
use covertree_kernels::index::LEN_MAX;
use rayon::prelude::*;

use crate::error::Error;
use crate::named;
use crate::points::{Dtype, Points, Values};
use crate::random::{Row, Table};
use crate::summary::fits_memory;

/// Rows that one task makes.
const CHUNK_ROWS: usize = 1024;

/// Intrinsic dimension of [`Distribution::Manifold`] unless the request says otherwise (or the dimension is less).
pub const INTRINSIC_DIM: usize = 8;

/// The shape of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Distribution {
    /// N(0, I): independent standard normal coordinates.
    #[default]
    Gaussian,
    /// Uniform on the unit cube, `[0, 1)` in each coordinate.
    Uniform,
    /// 32 normal clusters of equal size around centres that are uniform on `[0, 10)^dim`; their standard deviations
    /// fall in equal ratios from 1 to 0.001, so that densities differ by a factor of `1000^dim`.
    Clusters,
    /// A ring: the first two coordinates uniform by area between the radii 0.9 and 1.1, each other one
    /// uniform on `[-0.1, 0.1)`. Needs two dimensions.
    Annulus,
    /// The integer grid that is as cubic as possible: the first `rows` cells, last coordinate fastest, of the box whose
    /// sides differ by at most 1. Full of ties. The seed does not matter.
    Lattice,
    /// Points along a random smooth closed curve, a Fourier series whose m-th of six harmonics has normal coefficients
    /// of standard deviation `1/m^2`, plus normal noise of standard deviation 0.001 in each coordinate.
    Filament,
    /// As [`Distribution::Gaussian`], but rows 3, 6 and 9 of every ten are exact copies of random earlier rows.
    Duplicates,
    /// A smooth surface of low dimension: z ~ N(0, I) of the intrinsic dimension q goes to
    /// `A z + B sin(W z + phase)`, with 2q sines and normal matrices, scaled so that coordinates have a variance near 1.
    Manifold,
}

impl Distribution {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Gaussian,
        Self::Uniform,
        Self::Clusters,
        Self::Annulus,
        Self::Lattice,
        Self::Filament,
        Self::Duplicates,
        Self::Manifold,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "gaussian",
            Self::Uniform => "uniform",
            Self::Clusters => "clusters",
            Self::Annulus => "annulus",
            Self::Lattice => "lattice",
            Self::Filament => "filament",
            Self::Duplicates => "duplicates",
            Self::Manifold => "manifold",
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Distribution {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        named::parse(name, "distribution", Self::ALL, Self::name)
    }
}

/// A request for a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerateConfig {
    /// The shape.
    pub distribution: Distribution,
    /// Rows: at least 1.
    pub rows: usize,
    /// Columns: at least 1.
    pub dim: usize,
    /// Chooses among the sets of this shape.
    pub seed: u64,
    /// Precision of the values.
    pub dtype: Dtype,
    /// Intrinsic dimension of [`Distribution::Manifold`], `1..=dim`; `None` is the lesser of [`INTRINSIC_DIM`] and `dim`.
    /// Other shapes ignore it.
    pub intrinsic_dim: Option<usize>,
}

impl Default for GenerateConfig {
    fn default() -> Self {
        Self {
            distribution: Distribution::default(),
            rows: 32_768,
            dim: 3,
            seed: 42,
            dtype: Dtype::default(),
            intrinsic_dim: None,
        }
    }
}

impl GenerateConfig {
    /// Makes the data set, on all threads of the current rayon pool. A shorter request of the same seed gives the
    /// first rows of a longer one, except for [`Distribution::Lattice`], whose box depends on the rows.
    ///
    /// # Errors
    /// [`Error::Usage`] for sizes that the shape cannot have, [`Error::Memory`] for more values than fit.
    ///
    /// ```
    /// use covertree::generate::{Distribution, GenerateConfig};
    /// let points = GenerateConfig { rows: 10, dim: 2, ..GenerateConfig::default() }.generate().unwrap();
    /// assert_eq!((points.len(), points.dim()), (10, 2));
    /// ```
    pub fn generate(&self) -> Result<Points, Error> {
        let shape = self.plan()?;
        let values = match self.dtype {
            Dtype::F32 => Values::F32(self.fill(shape.as_ref(), |value| value as f32)?), // rounds to nearest
            Dtype::F64 => Values::F64(self.fill(shape.as_ref(), |value| value)?),
        };
        Points::named(self.distribution.name(), self.dim, values)
    }

    /// Checks the request and draws what all rows share.
    fn plan(&self) -> Result<Box<dyn Shape>, Error> {
        let Self { distribution, rows, dim, seed, .. } = *self;
        let refuse = |problem: String| Err(Error::Usage(format!("{distribution}: {problem}")));
        if rows == 0 || rows > LEN_MAX {
            return refuse(format!("{rows} rows cannot be made; ask for 1 to {LEN_MAX}"));
        }
        if dim == 0 {
            return refuse("points need at least 1 dimension; ask for more".to_owned());
        }
        let intrinsic = self.intrinsic_dim.unwrap_or(dim.min(INTRINSIC_DIM));
        if distribution == Distribution::Manifold && !(1..=dim).contains(&intrinsic) {
            return refuse(format!("an intrinsic dimension of {intrinsic} does not lie in 1 to {dim}"));
        }
        self.check_room(intrinsic)?; // before the shapes ask for any
        let table = Table::new(seed, stream::VALUES);
        Ok(match distribution {
            Distribution::Gaussian => Box::new(Gaussian { table }),
            Distribution::Uniform => Box::new(Uniform { table }),
            Distribution::Clusters => Box::new(Clusters::new(seed, dim)),
            Distribution::Annulus if dim < 2 => return refuse("a ring needs 2 dimensions or more, not 1".to_owned()),
            Distribution::Annulus => Box::new(Annulus { table }),
            Distribution::Lattice => {
                let sides = lattice_sides(rows, dim);
                if self.dtype == Dtype::F32 && sides[0] > F32_INTEGERS {
                    return refuse(format!("a side of {} is not exact in f32; ask for f64", sides[0]));
                }
                Box::new(Lattice { sides })
            }
            Distribution::Filament => Box::new(Filament::new(seed, dim)),
            Distribution::Duplicates => Box::new(Duplicates { table, sources: Table::new(seed, stream::CHOICE) }),
            Distribution::Manifold => Box::new(Manifold::new(seed, dim, intrinsic)),
        })
    }

    /// Refuses what there is no memory for: the values, and what all rows share.
    fn check_room(&self, intrinsic: usize) -> Result<(), Error> {
        let [rows, dim, intrinsic] = [self.rows, self.dim, intrinsic].map(|count| count as u128); // widens
        let shared = match self.distribution {
            Distribution::Gaussian | Distribution::Uniform | Distribution::Annulus | Distribution::Duplicates => 0,
            Distribution::Lattice => dim,
            Distribution::Clusters => CLUSTERS as u128 * dim,
            Distribution::Filament => 2 * HARMONICS as u128 * dim,
            Distribution::Manifold => (3 * dim + 2 * intrinsic + 2).saturating_mul(intrinsic),
        };
        let value = if self.dtype == Dtype::F32 { size_of::<f32>() } else { size_of::<f64>() };
        let values = rows * dim * value as u128; // rows have 31 bits
        let bytes = shared.saturating_mul(size_of::<f64>() as u128).saturating_add(values);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        // No array may be longer than that, however much memory there is.
        if bytes <= isize::MAX as u64 && fits_memory(bytes) { Ok(()) } else { Err(self.too_large(bytes)) }
    }

    fn too_large(&self, bytes: u64) -> Error {
        let remedy = "ask for fewer rows or columns, or for f32";
        Error::Memory { file: self.distribution.name().to_owned(), bytes, remedy }
    }

    /// All values, row by row.
    fn fill<T: Pod + Send>(&self, shape: &dyn Shape, round: impl Fn(f64) -> T + Sync) -> Result<Vec<T>, Error> {
        let count = self.rows * self.dim; // `check_room` has seen it
        let values = bytemuck::try_zeroed_vec(count);
        let mut values: Vec<T> = values.map_err(|()| self.too_large((count * size_of::<T>()) as u64))?;
        values.par_chunks_mut(CHUNK_ROWS * self.dim).enumerate().for_each(|(chunk, values)| {
            let mut exact = vec![0.0; self.dim];
            for (row, out) in values.chunks_exact_mut(self.dim).enumerate() {
                shape.row(chunk * CHUNK_ROWS + row, &mut exact);
                for (out, &value) in out.iter_mut().zip(&exact) {
                    *out = round(value);
                }
            }
        });
        Ok(values)
    }
}

/// Streams of random numbers of one seed.
mod stream {
    /// The values of the rows.
    pub(super) const VALUES: u64 = 0;
    /// What all rows share: centres, coefficients, matrices.
    pub(super) const SHARED: u64 = 1;
    /// A row's choice among things: its cluster, the row that it copies.
    pub(super) const CHOICE: u64 = 2;
}

/// A distribution that is ready to make any row alone.
trait Shape: Sync {
    /// Overwrites `out` with the coordinates of a row.
    fn row(&self, row: usize, out: &mut [f64]);
}

struct Gaussian {
    table: Table,
}

impl Shape for Gaussian {
    fn row(&self, row: usize, out: &mut [f64]) {
        self.table.row(row).normals(0, out);
    }
}

struct Uniform {
    table: Table,
}

impl Shape for Uniform {
    fn row(&self, row: usize, out: &mut [f64]) {
        let random = self.table.row(row);
        for (column, out) in out.iter_mut().enumerate() {
            *out = random.uniform(column);
        }
    }
}

/// Number of clusters.
const CLUSTERS: usize = 32;

struct Clusters {
    table: Table,
    choice: Table,
    /// Shape `[CLUSTERS][dim]`.
    centres: Vec<f64>,
    deviations: [f64; CLUSTERS],
}

impl Clusters {
    fn new(seed: u64, dim: usize) -> Self {
        let shared = Table::new(seed, stream::SHARED);
        let centre = |cluster: usize| (0..dim).map(move |column| 10.0 * shared.row(cluster).uniform(column));
        let step = 3.0 / (CLUSTERS - 1) as f64;
        Self {
            table: Table::new(seed, stream::VALUES),
            choice: Table::new(seed, stream::CHOICE),
            centres: (0..CLUSTERS).flat_map(centre).collect(),
            deviations: std::array::from_fn(|cluster| libm::pow(10.0, -step * cluster as f64)),
        }
    }
}

impl Shape for Clusters {
    fn row(&self, row: usize, out: &mut [f64]) {
        let cluster = self.choice.row(row).below(0, CLUSTERS);
        let centre = &self.centres[cluster * out.len()..][..out.len()];
        self.table.row(row).normals(0, out);
        for (out, &centre) in out.iter_mut().zip(centre) {
            *out = centre + self.deviations[cluster] * *out;
        }
    }
}

struct Annulus {
    table: Table,
}

impl Shape for Annulus {
    fn row(&self, row: usize, out: &mut [f64]) {
        let random = self.table.row(row);
        // The square of the radius is uniform, hence the area is.
        let radius = libm::sqrt(0.81 + (1.21 - 0.81) * random.uniform(0));
        let (sine, cosine) = libm::sincos(2.0 * PI * random.uniform(1));
        (out[0], out[1]) = (radius * cosine, radius * sine);
        for (column, out) in out.iter_mut().enumerate().skip(2) {
            *out = 0.2 * random.uniform(column) - 0.1;
        }
    }
}

/// Integers up to here are exact in single precision.
const F32_INTEGERS: usize = 1 << 24;

struct Lattice {
    sides: Vec<usize>,
}

impl Shape for Lattice {
    fn row(&self, row: usize, out: &mut [f64]) {
        let mut cell = row;
        for (out, &side) in out.iter_mut().zip(&self.sides).rev() {
            *out = (cell % side) as f64; // below 2^31
            cell /= side;
        }
    }
}

/// Sides of the box, falling by at most 1 in all, that holds at least `rows` cells and no whole layer too many.
fn lattice_sides(rows: usize, dim: usize) -> Vec<usize> {
    let cells = |side: usize| u32::try_from(dim).ok().and_then(|dim| side.checked_pow(dim));
    let fits = |side: usize| side <= 1 || cells(side).is_some_and(|cells| cells <= rows);
    let mut side = libm::pow(rows as f64, 1.0 / dim as f64) as usize; // near the root, which is exact below
    while !fits(side) {
        side -= 1;
    }
    while fits(side + 1) {
        side += 1;
    }
    let mut sides = vec![side.max(1); dim];
    let mut product = cells(side.max(1)).unwrap_or(1); // only 1 to a power beyond u32 gets here without a value
    for long in &mut sides {
        if product >= rows {
            break;
        }
        product = product / *long * (*long + 1);
        *long += 1;
    }
    sides
}

/// Harmonics of the curve of a filament.
const HARMONICS: usize = 6;

struct Filament {
    table: Table,
    position: Table,
    /// Shape `[dim][2 * HARMONICS]`: of the sines, then of the cosines.
    coefficients: Vec<f64>,
}

impl Filament {
    fn new(seed: u64, dim: usize) -> Self {
        let mut coefficients = normal_matrix(Table::new(seed, stream::SHARED), 0, dim, 2 * HARMONICS, 1.0);
        for (place, value) in coefficients.iter_mut().enumerate() {
            let harmonic = (place % HARMONICS + 1) as f64;
            *value /= harmonic * harmonic;
        }
        Self { table: Table::new(seed, stream::VALUES), position: Table::new(seed, stream::CHOICE), coefficients }
    }
}

impl Shape for Filament {
    fn row(&self, row: usize, out: &mut [f64]) {
        let angle = 2.0 * PI * self.position.row(row).uniform(0);
        let mut waves = [0.0; 2 * HARMONICS];
        for harmonic in 0..HARMONICS {
            (waves[harmonic], waves[HARMONICS + harmonic]) = libm::sincos(angle * (harmonic + 1) as f64);
        }
        self.table.row(row).normals(0, out);
        for (out, coefficients) in out.iter_mut().zip(self.coefficients.chunks_exact(2 * HARMONICS)) {
            *out = dot(coefficients, &waves) + 0.001 * *out;
        }
    }
}

struct Duplicates {
    table: Table,
    sources: Table,
}

impl Shape for Duplicates {
    fn row(&self, row: usize, out: &mut [f64]) {
        let mut source = row;
        while matches!(source % 10, 3 | 6 | 9) {
            source = self.sources.row(source).below(0, source); // an earlier row, so the chain ends
        }
        self.table.row(source).normals(0, out);
    }
}

struct Manifold {
    table: Table,
    intrinsic: usize,
    /// Shape `[dim][intrinsic]`.
    linear: Vec<f64>,
    /// Shape `[dim][sines]`.
    bend: Vec<f64>,
    /// Shape `[sines][intrinsic]`.
    waves: Vec<f64>,
    /// Shape `[sines]`.
    phases: Vec<f64>,
}

impl Manifold {
    fn new(seed: u64, dim: usize, intrinsic: usize) -> Self {
        let shared = Table::new(seed, stream::SHARED);
        let sines = 2 * intrinsic;
        let root = libm::sqrt(intrinsic as f64);
        Self {
            table: Table::new(seed, stream::VALUES),
            intrinsic,
            linear: normal_matrix(shared, 0, dim, intrinsic, 1.0 / root),
            bend: normal_matrix(shared, dim, dim, sines, 0.5 / (root * SQRT_2)),
            waves: normal_matrix(shared, 2 * dim, sines, intrinsic, 1.0 / root),
            phases: (0..sines).map(|sine| 2.0 * PI * shared.row(2 * dim + sines).uniform(sine)).collect(),
        }
    }
}

impl Shape for Manifold {
    fn row(&self, row: usize, out: &mut [f64]) {
        let mut latent = vec![0.0; self.intrinsic];
        self.table.row(row).normals(0, &mut latent);
        let waves = self.waves.chunks_exact(self.intrinsic).zip(&self.phases);
        let sines: Vec<f64> = waves.map(|(wave, phase)| libm::sin(dot(wave, &latent) + phase)).collect();
        let maps = self.linear.chunks_exact(self.intrinsic).zip(self.bend.chunks_exact(sines.len()));
        for (out, (linear, bend)) in out.iter_mut().zip(maps) {
            *out = dot(linear, &latent) + dot(bend, &sines);
        }
    }
}

/// Independent normal numbers of standard deviation `scale`, shape `[rows][columns]`, from the table's rows `first` on.
fn normal_matrix(table: Table, first: usize, rows: usize, columns: usize, scale: f64) -> Vec<f64> {
    let mut matrix = vec![0.0; rows * columns];
    for (row, out) in matrix.chunks_exact_mut(columns).enumerate() {
        let random: Row = table.row(first + row);
        random.normals(0, out);
        out.iter_mut().for_each(|value| *value *= scale);
    }
    matrix
}

/// The sum of products in order: the same bits everywhere.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lattice_boxes_are_cubic_and_just_large_enough() {
        assert_eq!(lattice_sides(1_000, 3), [10, 10, 10]);
        assert_eq!(lattice_sides(1_001, 3), [11, 10, 10]);
        assert_eq!(lattice_sides(5, 2), [3, 2]);
        assert_eq!(lattice_sides(7, 1), [7]);
        assert_eq!(lattice_sides(1, 4), [1, 1, 1, 1]);
        assert_eq!(lattice_sides(5, 20)[..4], [2, 2, 2, 1]);
        for rows in 1..300 {
            for dim in 1..6 {
                let sides = lattice_sides(rows, dim);
                let cells: usize = sides.iter().product();
                assert!(cells >= rows && cells / sides[0] * (sides[0] - 1) < rows, "{rows} {sides:?}");
                assert!(sides[0] - sides[dim - 1] <= 1 && sides.is_sorted_by(|a, b| a >= b), "{sides:?}");
            }
        }
        assert_eq!(lattice_sides(LEN_MAX, 1), [LEN_MAX]);
        assert!(lattice_sides(LEN_MAX, 31).iter().product::<usize>() >= LEN_MAX);
    }

    #[test]
    fn names_lead_back_to_their_distribution() {
        for &distribution in Distribution::ALL {
            assert_eq!(distribution.to_string().parse::<Distribution>().unwrap(), distribution);
        }
        let error = "gauss".parse::<Distribution>().unwrap_err();
        assert!(error.to_string().contains("gaussian, uniform, clusters"), "{error}");
    }
}
