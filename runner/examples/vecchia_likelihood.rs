//! Vecchia's approximation of a Gaussian log-likelihood, with Euclidean and with residual neighbours.
//!
//! ```text
//! cargo run --release --example vecchia_likelihood                                     a simulated field, and the exact value
//! cargo run --release --example vecchia_likelihood -- points.npy values.npy [PREFIX]   measurements of your own
//! ```
//!
//! The model is a Gaussian process of mean zero with noise. `M` inducing points explain `V V'` of its covariance; the
//! residual is approximated as in Vecchia (1988): each point depends on `k` earlier points only. With `B` and `D` from these
//! regressions, the covariance of the data is `V V' + (B' D^-1 B)^-1`, whose likelihood takes one `M x M` matrix.
//!
//! With a third name, the residual neighbours are written as the R package GpGp takes them. `PREFIX.order.csv` holds the random
//! order that was used: line `i` is the row of the points that comes `i`-th. `PREFIX.nn.csv` is the `NNarray` *of the points in that
//! order*: line `i` belongs to the point that comes `i`-th, and holds places in the order, its own first, then those of its
//! neighbours, nearest first, then `NA`. All numbers count from 1. In R:
//!
//! ```text
//! ord <- scan("PREFIX.order.csv")
//! NNarray <- as.matrix(read.csv("PREFIX.nn.csv", header = FALSE))
//! vecchia_meanzero_loglik(covparms, "matern15_isotropic", y[ord], locs[ord, ], NNarray)
//! ```

use std::path::{Path, PathBuf};

use covertree::error::Error;
use covertree::formats::npy::read_reals;
use covertree::formats::output::{Outputs, check_targets, suffixed};
use covertree::formats::{ReadOptions, read_points};
use covertree::generate::{Distribution, GenerateConfig};
use covertree::points::Points;
use covertree::residual::{CovarianceConfig, FitOptions, Inducing, ResidualIndex};
use covertree_kernels::covariance::{Covariance, CovarianceKind};
use rayon::prelude::*;

const NEIGHBOURS: [usize; 3] = [5, 10, 20];
const NOISE: f64 = 0.01;

fn main() -> Result<(), Error> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    match &names[..] {
        [] => simulated(),
        [points, values] => given(Path::new(points), Path::new(values), None),
        [points, values, prefix] => given(Path::new(points), Path::new(values), Some(Path::new(prefix))),
        _ => Err(Error::Usage("give no file, or points and values, or these and the beginning of two names".into())),
    }
}

/// A field whose exact likelihood can still be computed.
fn simulated() -> Result<(), Error> {
    let shape =
        GenerateConfig { distribution: Distribution::Uniform, rows: 1_500, dim: 2, ..GenerateConfig::default() };
    let points = shape.generate()?;
    let config = config(CovarianceKind::Matern52, 0.25);
    let mut lower = covariances(&points, &config)?;
    cholesky(&mut lower, points.len());
    let noise = GenerateConfig { rows: points.len(), dim: 1, seed: 7, ..GenerateConfig::default() }.generate()?;
    let noise = noise.to_f64();
    let field: Vec<f64> =
        lower.chunks_exact(points.len()).map(|row| row.iter().zip(&*noise).map(|(l, z)| l * z).sum()).collect();
    let square: f64 = noise.iter().map(|z| z * z).sum();
    let exact = log_density(log_determinant(&lower, points.len()), square, points.len());
    println!("simulated field, {} points, exact log-likelihood {exact:.2}", points.len());
    compare(&points, &field, &config, 64, None, Some(exact))
}

/// Points and values from files; the lengthscale is a tenth of the longest side.
fn given(points: &Path, values: &Path, prefix: Option<&Path>) -> Result<(), Error> {
    let files = prefix
        .map(|prefix| GpGpFiles { neighbours: suffixed(prefix, ".nn.csv"), order: suffixed(prefix, ".order.csv") });
    if let Some(files) = &files {
        check_targets([files.neighbours.as_path(), &files.order], [points, values])?;
    }
    let (points, values) = (read_points(points, &ReadOptions::default())?, read_reals(values)?.values);
    if values.len() != points.len() {
        return Err(Error::Usage(format!(
            "{} values are given for {} points; give one each",
            values.len(),
            points.len()
        )));
    }
    let (dim, coordinates) = (points.dim(), points.to_f64());
    let side = (0..dim).map(|d| {
        let column = || coordinates.iter().skip(d).step_by(dim).copied();
        column().fold(f64::MIN, f64::max) - column().fold(f64::MAX, f64::min)
    });
    let length = side.fold(0.0, f64::max) / 10.0;
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let spread = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
    let values: Vec<f64> = values.iter().map(|value| (value - mean) / spread).collect();
    println!("{} points, lengthscale {length:.3}, values of mean 0 and variance 1", points.len());
    compare(&points, &values, &config(CovarianceKind::Matern32, length), 128, files.as_ref(), None)
}

fn config(kind: CovarianceKind, length: f64) -> CovarianceConfig {
    CovarianceConfig { kind, lengthscales: vec![length], nugget: NOISE, ..CovarianceConfig::default() }
}

/// Prints the approximate likelihoods with both kinds of neighbours.
fn compare(
    points: &Points,
    values: &[f64],
    config: &CovarianceConfig,
    inducing: usize,
    files: Option<&GpGpFiles>,
    exact: Option<f64>,
) -> Result<(), Error> {
    // A random order, by moving the points: then row numbers are ranks.
    let order = covertree::residual::VecchiaOrder::Random.rows(points, 42)?;
    let points = points.take_rows(&order)?;
    let values: Vec<f64> = order.iter().map(|&row| values[row as usize]).collect();
    let ranks: Vec<i32> = (0..points.rows()).collect();
    let options = FitOptions { order: Some(&ranks), ..FitOptions::default() };
    let residual = ResidualIndex::fit_with(options, "points", &points, config, &Inducing::Random(inducing), 42)?;
    // The prior correlation falls with the Euclidean distance alone, so its neighbours are the Euclidean ones.
    let euclidean = ResidualIndex::fit(&points, config, &Inducing::None, 42)?;
    let data =
        Data { points: &points, values: &values, covariance: config.check(points.dim())?, config, index: &residual };
    println!("{:>4} {:>22} {:>22}", "k", "Euclidean neighbours", "residual neighbours");
    for k in NEIGHBOURS {
        let near = data.likelihood(&euclidean.vecchia(&ranks, k)?.0.ids, k)?;
        let (answers, _) = residual.vecchia(&ranks, k)?;
        let best = data.likelihood(&answers.ids, k)?;
        match exact {
            Some(exact) => {
                println!("{k:>4} {near:>13.2} ({:>+6.2}) {best:>13.2} ({:>+6.2})", near - exact, best - exact)
            }
            None => println!("{k:>4} {near:>22.2} {best:>22.2}"),
        }
        if let (Some(files), true) = (files, k == NEIGHBOURS[NEIGHBOURS.len() - 1]) {
            files.write(&order, &answers.ids, k)?;
        }
    }
    Ok(())
}

/// What a likelihood is made of.
struct Data<'a> {
    points: &'a Points,
    values: &'a [f64],
    covariance: Covariance,
    config: &'a CovarianceConfig,
    index: &'a ResidualIndex,
}

impl Data<'_> {
    /// The log-likelihood with the neighbours `ids`, `[points][k]`.
    fn likelihood(&self, ids: &[i32], k: usize) -> Result<f64, Error> {
        let (v, _) = self.index.v_and_p();
        let (len, columns) = (self.points.len(), self.index.columns());
        let coordinates = self.points.to_f64();
        let residual = |i: usize, j: usize| {
            let (a, b) = (&v[i * columns..][..columns], &v[j * columns..][..columns]);
            let explained: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            let nugget = if i == j { self.config.nugget } else { 0.0 };
            between(self.covariance, self.config, &coordinates, self.points.dim(), i, j) + nugget - explained
        };
        // Row i of D^-1/2 B, applied to the data and to V: what is left of each after regression on the neighbours.
        let whitened: Vec<(f64, Vec<f64>, f64)> = (0..len)
            .into_par_iter()
            .map(|i| {
                let near: Vec<usize> =
                    ids[i * k..(i + 1) * k].iter().filter(|id| **id >= 0).map(|&id| id as usize).collect();
                let (weights, variance) = regression(&near, i, residual);
                let scale = 1.0 / variance.sqrt();
                let left = |value: &dyn Fn(usize) -> f64| {
                    scale * (value(i) - near.iter().zip(&weights).map(|(&j, weight)| weight * value(j)).sum::<f64>())
                };
                let row = (0..columns).map(|m| left(&|i| v[i * columns + m])).collect();
                (left(&|i| self.values[i]), row, variance.ln())
            })
            .collect();
        // The Woodbury identity: I + W' W with W the whitened V.
        let mut inner = vec![0.0; columns * columns];
        let mut right = vec![0.0; columns];
        let (mut square, mut determinant) = (0.0, 0.0);
        for (value, row, log_variance) in &whitened {
            square += value * value;
            determinant += log_variance;
            for (i, a) in row.iter().enumerate() {
                right[i] += a * value;
                for (out, b) in inner[i * columns..].iter_mut().zip(&row[..=i]) {
                    *out += a * b;
                }
            }
        }
        for i in 0..columns {
            inner[i * columns + i] += 1.0;
        }
        cholesky(&mut inner, columns);
        solve_lower(&inner, &mut right);
        square -= right.iter().map(|value| value * value).sum::<f64>();
        Ok(log_density(determinant + log_determinant(&inner, columns), square, len))
    }
}

/// Weights of the neighbours and the variance that they leave.
fn regression(near: &[usize], i: usize, residual: impl Fn(usize, usize) -> f64) -> (Vec<f64>, f64) {
    let count = near.len();
    let mut lower = vec![0.0; count * count];
    for (row, &a) in near.iter().enumerate() {
        for (column, &b) in near[..=row].iter().enumerate() {
            lower[row * count + column] = residual(a, b);
        }
    }
    cholesky(&mut lower, count);
    let mut weights: Vec<f64> = near.iter().map(|&j| residual(j, i)).collect();
    solve_lower(&lower, &mut weights);
    let variance = residual(i, i) - weights.iter().map(|weight| weight * weight).sum::<f64>();
    for row in (0..count).rev() {
        let known: f64 = (row + 1..count).map(|j| lower[j * count + row] * weights[j]).sum();
        weights[row] = (weights[row] - known) / lower[row * count + row];
    }
    (weights, variance.max(1e-12))
}

fn between(
    covariance: Covariance,
    config: &CovarianceConfig,
    coordinates: &[f64],
    dim: usize,
    i: usize,
    j: usize,
) -> f64 {
    let (a, b) = (&coordinates[i * dim..][..dim], &coordinates[j * dim..][..dim]);
    covariance.exact(a.iter().zip(b).map(|(a, b)| ((a - b) / config.lengthscales[0]).powi(2)).sum())
}

/// The covariance matrix of all points, noise included.
fn covariances(points: &Points, config: &CovarianceConfig) -> Result<Vec<f64>, Error> {
    let (len, coordinates, covariance) = (points.len(), points.to_f64(), config.check(points.dim())?);
    let mut matrix = vec![0.0; len * len];
    for (i, row) in matrix.chunks_exact_mut(len).enumerate() {
        for (j, out) in row.iter_mut().enumerate() {
            *out = between(covariance, config, &coordinates, points.dim(), i, j)
                + if i == j { config.nugget } else { 0.0 };
        }
    }
    Ok(matrix)
}

/// Replaces the lower half of a matrix by its Cholesky factor, and the upper half by zeros.
fn cholesky(matrix: &mut [f64], len: usize) {
    for i in 0..len {
        let (above, row) = matrix.split_at_mut(i * len);
        for j in 0..i {
            let other = &above[j * len..][..len];
            let known: f64 = row[..j].iter().zip(other).map(|(a, b)| a * b).sum();
            row[j] = (row[j] - known) / other[j];
        }
        let known: f64 = row[..i].iter().map(|a| a * a).sum();
        row[i] = (row[i] - known).sqrt();
        row[i + 1..len].fill(0.0);
    }
}

fn solve_lower(lower: &[f64], right: &mut [f64]) {
    let len = right.len();
    for i in 0..len {
        let known: f64 = lower[i * len..][..i].iter().zip(&right[..i]).map(|(a, b)| a * b).sum();
        right[i] = (right[i] - known) / lower[i * len + i];
    }
}

fn log_determinant(lower: &[f64], len: usize) -> f64 {
    (0..len).map(|i| 2.0 * lower[i * len + i].ln()).sum()
}

fn log_density(log_determinant: f64, square: f64, len: usize) -> f64 {
    -0.5 * (log_determinant + square + len as f64 * (2.0 * std::f64::consts::PI).ln())
}

/// What GpGp reads: see above.
struct GpGpFiles {
    neighbours: PathBuf,
    order: PathBuf,
}

impl GpGpFiles {
    /// Writes both files, or none. `ids` are places in the order, as the points were moved.
    fn write(&self, order: &[i32], ids: &[i32], k: usize) -> Result<(), Error> {
        let cell = |id: &i32| if *id < 0 { "NA".to_owned() } else { (id + 1).to_string() };
        let mut outputs = Outputs::new();
        outputs.add(&self.order, |out| order.iter().try_for_each(|row| writeln!(out, "{}", row + 1)))?;
        outputs.add(&self.neighbours, |out| {
            ids.chunks_exact(k).enumerate().try_for_each(|(place, ids)| {
                let cells: Vec<String> = std::iter::once((place + 1).to_string()).chain(ids.iter().map(cell)).collect();
                writeln!(out, "{}", cells.join(","))
            })
        })?;
        outputs.commit()
    }
}
