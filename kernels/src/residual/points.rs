//! What the tiles know of packed points, and how it is made.

use crate::covariance::{Covariance, Exponential};
use crate::dist::form::gamma;
use crate::error::{KernelError, want};
use crate::index::idx_len;
use crate::simd::{LANES_F32, LANES_F64, Real};
use crate::view::{Panels, panels_len};

/// The residual variance is never below this share of the prior one.
pub const P_FLOOR: f64 = 1.0 / (1u64 << 40) as f64;

/// Columns whose products are added before the sum joins the others. In `f32` sums of sums keep the error bound near
/// `columns / 32`; in `f64` one chain is exact enough, and it is the published one.
pub(super) const fn depth<T: Real>() -> usize {
    if T::LANES == LANES_F32 { 32 } else { usize::MAX }
}

/// Roundings between an element of `V` and a dot product, by which their error bound `gamma` counts. A product, at most
/// `depth` sums in its group and one for each group; in `f32` also that of both elements and of `1 / sqrt(variance)`.
pub(super) fn roundings<T: Real>(columns: usize) -> usize {
    let depth = depth::<T>();
    let conversions = if T::LANES == LANES_F32 { 5 } else { 0 };
    1 + columns.min(depth) + columns.div_ceil(depth) + conversions
}

/// The constants of a residual metric: its covariance, the number of scaled coordinates, and the columns of `V`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResidualModel {
    covariance: Covariance,
    dim: usize,
    columns: usize,
}

impl ResidualModel {
    /// A model; `columns` is 0 for the prior correlation.
    ///
    /// # Errors
    /// [`KernelError::Least`] when `dim` is zero, [`KernelError::TooLong`] when a row does not fit an index.
    pub fn new(covariance: Covariance, dim: usize, columns: usize) -> Result<Self, KernelError> {
        if dim == 0 {
            return Err(KernelError::Least { what: "dim", least: 1, got: 0 });
        }
        idx_len(dim)?;
        idx_len(columns)?;
        Ok(Self { covariance, dim, columns })
    }

    /// The covariance.
    pub const fn covariance(&self) -> Covariance {
        self.covariance
    }

    /// Scaled coordinates of a point.
    pub const fn dim(&self) -> usize {
        self.dim
    }

    /// Columns of `V`.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// The model in the units of the tiles of `T`: in `f32` that of variance 1.
    pub(super) fn of_tiles<T: Real>(self) -> Self {
        let covariance = if T::LANES == LANES_F32 { self.covariance.unit() } else { self.covariance };
        Self { covariance, ..self }
    }

    /// The factor `m_i` of a point in the margin `m_i m_j` of the tiles of `T`, derived in the [module](super).
    ///
    /// `norm` is at least the norm of the point's row of `V`, `p` its residual variance, `offset` what
    /// [`Covariance::margin`] asks for (0 for `f64`).
    pub fn margin<T: Exponential>(&self, offset: f64, norm: f64, p: f64) -> f64 {
        let dots = gamma(roundings::<T>(self.columns), T::ROUNDOFF) + gamma(self.columns + 1, f64::ROUNDOFF);
        let underflow = self.columns as f64 * T::TINY * self.covariance.variance().max(1.0);
        let absolute = dots * norm * norm + self.covariance.margin::<T>(self.dim, offset) + underflow;
        libm::sqrt(absolute / p + 40.0 * T::ROUNDOFF) * (1.0 + 1e-6)
    }
}

/// Packed points of a residual metric: what a tile reads.
///
/// In `f32` everything is in units of the prior standard deviation, so that nothing leaves the range: `V / sqrt(variance)`
/// ([`narrow`]) and the scales `sqrt(variance / p)`; the model's covariance is replaced by its unit.
#[derive(Clone, Copy, Debug)]
pub struct ResidualPoints<'a, T> {
    pub(super) model: ResidualModel,
    pub(super) coordinates: Panels<'a, T>,
    pub(super) v: &'a [T],
    pub(super) scales: &'a [T],
    pub(super) margins: &'a [T],
}

impl<'a, T: Exponential> ResidualPoints<'a, T> {
    /// A view.
    ///
    /// | argument | shape | from |
    /// | --- | --- | --- |
    /// | `coordinates` | packed, `dim` scaled coordinates | the caller |
    /// | `v` | packed, `columns` columns | the caller; [`narrow`] for `f32` |
    /// | `scales`, `margins` | `[panels][LANES]` | [`scales_and_margins`] |
    ///
    /// # Errors
    /// [`KernelError::Shape`] when a length does not fit.
    pub fn new(
        model: ResidualModel,
        coordinates: Panels<'a, T>,
        v: &'a [T],
        scales: &'a [T],
        margins: &'a [T],
    ) -> Result<Self, KernelError> {
        want("coordinates", model.dim, coordinates.dim())?;
        want("v", panels_len::<T>(coordinates.len(), model.columns), v.len())?;
        want("scales", panels_len::<T>(coordinates.len(), 1), scales.len())?;
        want("margins", scales.len(), margins.len())?;
        Ok(Self { model: model.of_tiles::<T>(), coordinates, v, scales, margins })
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.coordinates.len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.coordinates.is_empty()
    }

    /// The model; in `f32` that of variance 1.
    pub const fn model(&self) -> ResidualModel {
        self.model
    }

    /// The scaled coordinates.
    pub const fn coordinates(&self) -> Panels<'a, T> {
        self.coordinates
    }

    /// Scale and margin of a point, as [`ResidualQuery`](super::ResidualQuery) has them.
    pub fn scale_and_margin(&self, position: usize) -> (T, T) {
        (self.scales[position], self.margins[position])
    }

    /// Number of panels.
    pub fn panels(&self) -> usize {
        self.len().div_ceil(T::LANES)
    }

    /// Rows of `V` of one panel, `[columns][LANES]`.
    #[inline(always)]
    pub(super) fn v_panel(&self, panel: usize) -> &'a [T] {
        let stride = self.model.columns * T::LANES;
        &self.v[panel * stride..(panel + 1) * stride]
    }

    /// Bits of the lanes of a panel that hold points, not padding.
    #[inline(always)]
    pub(super) fn lanes_in_use(&self, panel: usize) -> u32 {
        let used = (self.len() - panel * T::LANES).min(T::LANES);
        (1 << used) - 1
    }
}

/// Upper bounds of the norms of the rows of `V`.
///
/// | argument | shape |
/// | --- | --- |
/// | `v` | packed `f64`, `model.columns()` columns |
/// | `norms` | `[len]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; `norms` is then untouched.
///
/// # Accuracy
/// At least the norm, and at most `1 + 2e-6` times it (up to a million million columns), barring underflow.
///
/// # Cost
/// Reads `v` once.
pub fn row_norms(model: &ResidualModel, v: &[f64], norms: &mut [f64]) -> Result<(), KernelError> {
    want("v", panels_len::<f64>(norms.len(), model.columns), v.len())?;
    for (panel, norms) in norms.chunks_mut(LANES_F64).enumerate() {
        let panel = &v[panel * LANES_F64 * model.columns..][..LANES_F64 * model.columns];
        let mut squares = [0.0; LANES_F64];
        for row in panel.chunks_exact(LANES_F64) {
            for (square, v) in squares.iter_mut().zip(row) {
                *square += v * v;
            }
        }
        for (norm, square) in norms.iter_mut().zip(squares) {
            *norm = libm::sqrt(square) * (1.0 + 1e-6); // far above the rounding of the sum
        }
    }
    Ok(())
}

/// The residual variances: `p = max(diagonal - sum over m of V_m^2, 2^-40 diagonal)`, each operation rounded by itself, the
/// sum added in order.
///
/// | argument | shape |
/// | --- | --- |
/// | `v` | packed `f64`, `model.columns()` columns |
/// | `diagonal` | the prior variance of a point, its nugget included |
/// | `p` | `[len]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; `p` is then untouched.
///
/// # Cost
/// Reads `v` once.
pub fn residual_variances(model: &ResidualModel, diagonal: f64, v: &[f64], p: &mut [f64]) -> Result<(), KernelError> {
    want("v", panels_len::<f64>(p.len(), model.columns), v.len())?;
    for (panel, p) in p.chunks_mut(LANES_F64).enumerate() {
        let panel = &v[panel * LANES_F64 * model.columns..][..LANES_F64 * model.columns];
        let mut squares = [0.0; LANES_F64];
        for row in panel.chunks_exact(LANES_F64) {
            for (square, v) in squares.iter_mut().zip(row) {
                *square += v * v;
            }
        }
        for (p, square) in p.iter_mut().zip(squares) {
            *p = (diagonal - square).max(P_FLOOR * diagonal);
        }
    }
    Ok(())
}

/// Makes the scales `1 / sqrt(p)` (in `f32` `sqrt(variance / p)`) and the margins of packed points.
///
/// | argument | shape |
/// | --- | --- |
/// | `norms` | `[len]`, from [`row_norms`]; at most `2^20` prior standard deviations |
/// | `p` | `[len]`, each in `2^-40 variance ..= 2^40 variance` |
/// | `scales`, `margins` | `[panels of T][LANES of T]`, overwritten; 0 in the padding lanes |
///
/// `offset` is what [`Covariance::margin`] asks for: 0 for `f64`.
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Value`] at the first `p` or norm out of range (or
/// NaN); nothing is written then.
///
/// # Cost
/// Two square roots per point.
pub fn scales_and_margins<T: Exponential>(
    model: &ResidualModel,
    offset: f64,
    norms: &[f64],
    p: &[f64],
    scales: &mut [T],
    margins: &mut [T],
) -> Result<(), KernelError> {
    want("norms", p.len(), norms.len())?;
    want("scales", panels_len::<T>(p.len(), 1), scales.len())?;
    want("margins", scales.len(), margins.len())?;
    let variance = model.covariance.variance();
    within("p", p, P_FLOOR * variance, variance / P_FLOOR)?;
    within("norms", norms, 0.0, libm::sqrt(variance / P_FLOOR))?;
    scales[p.len()..].fill(T::default());
    margins[p.len()..].fill(T::default());
    let unit = if T::LANES == LANES_F32 { variance } else { 1.0 };
    for (i, (&norm, &p)) in norms.iter().zip(p).enumerate() {
        scales[i] = T::from_f64(libm::sqrt(unit / p));
        margins[i] = T::from_f64(model.margin::<T>(offset, norm, p)).next_up();
    }
    Ok(())
}

/// Refuses the first value that is not in a range.
fn within(what: &'static str, values: &[f64], least: f64, most: f64) -> Result<(), KernelError> {
    match values.iter().position(|value| !(least..=most).contains(value)) {
        Some(at) => Err(KernelError::Value { what, at }),
        None => Ok(()),
    }
}

/// Packs `V` for the `f32` tiles: rounded, in units of the prior standard deviation.
///
/// | argument | shape |
/// | --- | --- |
/// | `v` | packed `f64`, `len` points of `model.columns()` columns |
/// | `out` | packed `f32`, the same points, overwritten; 0 in the padding lanes |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::TooLong`] when an index cannot count the points; `out` is
/// then untouched.
///
/// # Cost
/// Reads and writes each element once.
pub fn narrow(model: &ResidualModel, len: usize, v: &[f64], out: &mut [f32]) -> Result<(), KernelError> {
    let columns = model.columns;
    idx_len(len)?;
    want("v", panels_len::<f64>(len, columns), v.len())?;
    want("out", panels_len::<f32>(len, columns), out.len())?;
    let unit = 1.0 / libm::sqrt(model.covariance.variance());
    for (position, panel) in (0..len.next_multiple_of(LANES_F32)).step_by(LANES_F64).zip(0..) {
        let lane = position % LANES_F32;
        let rows = out[position / LANES_F32 * columns * LANES_F32..].chunks_exact_mut(LANES_F32);
        let used = len.saturating_sub(position).min(LANES_F64);
        for (column, row) in rows.take(columns).enumerate() {
            row[lane..lane + LANES_F64].fill(0.0);
            for l in 0..used {
                let value = v[(panel * columns + column) * LANES_F64 + l] * unit;
                row[lane + l] = value as f32; // rounding is the purpose; the margin counts it
            }
        }
    }
    Ok(())
}
