//! Distances between points: one query against packed panels, and a block of queries against them in register tiles.
//!
//! # Forms
//! A [`Form`] is a fold over the dimensions, in their order. The public entrances take it as a value.
//!
//! | form | sum over `d` | [relative error](Form::relative_error) `e` | [grows](Form::GROWS) |
//! | --- | --- | --- | --- |
//! | [`SquaredEuclidean`] | `(q[d] - x[d])^2` | `g(dim + 3)` | yes |
//! | [`Manhattan`] | `abs(q[d] - x[d])` | `g(dim + 1)` | yes |
//! | [`Chebyshev`] | the largest `abs(q[d] - x[d])` | `g(1)` | yes |
//! | [`Dot`] | `q[d] * x[d]` | `g(dim + 1)`, of the sum of `abs(q[d] * x[d])` | no |
//!
//! `g(n) = n u / (1 - n u)` with the unit roundoff `u`: `2^-24` for `f32`, `2^-53` for `f64`.
//!
//! # Error bound
//! For finite input and a finite result, what is written differs from the true value `t` of the sum (its magnitude for
//! [`Dot`]) by at most `e t + a`, where [`a`](Form::absolute_error) covers products that underflow. Each rounding
//! multiplies what it rounds by `1 + delta`, `abs(delta) <= u`. A term of the squared distance carries at most three of
//! them for itself (the difference twice, for it is squared; the square) and `dim` of the additions, and a product of
//! `n` such factors is `1 + theta`, `abs(theta) <= g(n)` (N. J. Higham, *Accuracy and Stability of Numerical
//! Algorithms*, lemma 3.1). All terms being positive, the sum inherits the bound of its terms. Fusing drops roundings
//! and adds none. The other forms are counted in the same way.
//!
//! # Rounding
//! [`Rounding::Published`] rounds each operation by itself: every tier gives the same bits, and in `f64` they are the
//! published formula. [`Rounding::Fused`] is the filter: it fuses multiplication and addition where the tier can. It
//! keeps the same bound, but its last bits may differ between tiers.
//!
//! # Which entrance
//! | entrance | work | limited by | measured, `f32`, AVX-512 |
//! | --- | --- | --- | --- |
//! | [`one_to_run`] | one query, all panels | the cache that the panels stream from | 149 GB/s of points from the first-level cache, 106 from the second, where reads alone reach 110 |
//! | [`one_to_run_capped`] | the same, left early above a cap | the same | by data |
//! | [`widened_one_to_run`] | one `f64` query, `f32` panels, in `f64` | conversion and arithmetic | |
//! | [`block_to_run`] | a block of queries, all panels | multiply-adds | [`Dot`], with packing: 0.94 of the limit at 64 dimensions, 0.95 at 384; squared distance, counted alike: 0.89 and 0.93 |
//! | [`squared_by_dots`] | squared distances from dot products | multiply-adds | as [`Dot`], less what the squared lengths cost |
//!
//! The limit is what fused multiply-adds on registers reach: 117 GFLOP/s on the core of an AMD EPYC (Zen 4) that these
//! figures are from.
//!
//! `benches/benches/dist.rs` measures them, with the limit itself in the same run.

pub(crate) mod form;
pub(crate) mod lanes;
pub(crate) mod limit;
mod run;
pub(crate) mod tile;

#[cfg(any(test, feature = "oracle"))]
pub mod scalar;

pub use form::{Chebyshev, Dot, Form, Manhattan, SquaredEuclidean};

use core::marker::PhantomData;

use crate::arena::{Arena, blocks};
use crate::error::{KernelError, want};
use crate::simd::{Real, Tier};
use crate::view::{Panels, Rows};
use form::gamma;

/// Dimensions below which [`one_to_run`] and [`one_to_run_capped`] wait for the caches more than for arithmetic.
const STREAMED: usize = 16;

/// The tier for one query of so many dimensions: a panel of few is hardly read before its sums are written, and wider
/// registers save nothing that it waits for.
fn streaming(tier: Tier, dim: usize) -> Tier {
    if dim < STREAMED { tier.at_256_bits() } else { tier }
}

/// How the operations of a sum are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// Each operation by itself: the same bits on every tier.
    Published,
    /// Multiplication and addition fused where the tier fuses: faster, within the same error bound.
    Fused,
}

/// What became of a run of panels under a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// At least one panel was summed over all dimensions (or there was none).
    Full,
    /// Every panel was left early, the last of them after this many dimensions: every value is a lower bound, strictly
    /// above the cap.
    At(usize),
}

/// Work done by the distance kernels. `panels_full + panels_cut` is every pair of a query and a panel that was visited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DistCounters {
    /// Panels that were summed over all dimensions.
    pub panels_full: u64,
    /// Panels that were left early, because all their lanes were above the cap.
    pub panels_cut: u64,
}

impl DistCounters {
    /// Adds the work of another worker.
    pub fn merge(&mut self, other: &Self) {
        self.panels_full += other.panels_full;
        self.panels_cut += other.panels_cut;
    }
}

/// Lanes of packed points, padding included.
fn lanes_len<T: Real>(panels: &Panels<'_, T>) -> usize {
    panels.len().next_multiple_of(T::LANES)
}

/// Sums of one query against packed points.
///
/// `out[i] = form over d of (query[d], point i [d])`, added in order of `d`.
///
/// | argument | shape | unit |
/// | --- | --- | --- |
/// | `query` | `[dim]`, finite | coordinates |
/// | `panels` | `len` points of `dim`, finite | coordinates |
/// | `out` | `[len` rounded up to whole panels`]`, overwritten; padding lanes get the sum of their padding | of the form |
///
/// ```
/// use covertree_kernels::dist::{Rounding, SquaredEuclidean, one_to_run};
/// use covertree_kernels::simd::Tier;
/// use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
///
/// let points = [0.0, 0.0, 3.0, 4.0, -1.0, 1.0]; // three points of two coordinates
/// let mut packed = vec![0.0; panels_len::<f64>(3, 2)];
/// pack_rows(Rows::new(&points, 2)?, &[0, 1, 2], &mut packed)?;
///
/// let mut out = [0.0; 8]; // one panel of f64
/// let panels = Panels::new(&packed, 2, 3)?;
/// one_to_run(Tier::detect(), SquaredEuclidean, Rounding::Published, &[0.0, 0.0], panels, &mut out)?;
/// assert_eq!(out[..3], [0.0, 25.0, 2.0]);
/// # Ok::<(), covertree_kernels::error::KernelError>(())
/// ```
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; `out` is then untouched. Never panics.
///
/// # Accuracy
/// The bound of the [module](self#error-bound). With [`Rounding::Published`] the same bits on every tier.
///
/// # Cost
/// `dim` steps of the form per lane (squared distance: 3 flops each); reads each input once. Below sixteen dimensions in
/// registers of 256 bits at most, for the caches decide there.
pub fn one_to_run<T: Real, F: Form>(
    tier: Tier,
    form: F,
    rounding: Rounding,
    query: &[T],
    panels: Panels<'_, T>,
    out: &mut [T],
) -> Result<(), KernelError> {
    want("query", panels.dim(), query.len())?;
    want("out", lanes_len(&panels), out.len())?;
    if out.is_empty() {
        return Ok(()); // without points the dimension may be any number, and the bodies divide by products of it
    }
    streaming(tier, query.len()).run(run::OneToRun { kind: run::Kind::of(form, rounding), query, panels, out });
    Ok(())
}

/// Sums of one query against packed points, left early where they are above a cap.
///
/// As [`one_to_run`], but a panel is left after any sixteen dimensions where **all** its lanes are **strictly** above
/// `cap`. So `out[i] <= cap` exactly where the whole sum is, and there it *is* the whole sum; every other value is above
/// `cap` and at most the whole sum. A caller that keeps what is at or below the cap need not know which panels were cut.
///
/// | argument | shape | unit |
/// | --- | --- | --- |
/// | `query` | `[dim]`, finite | coordinates |
/// | `panels` | `len` points of `dim`, finite | coordinates |
/// | `cap` | not NaN; plus infinity cuts nothing | of the form |
/// | `out` | `[len` rounded up to whole panels`]`, overwritten | of the form |
/// | `counters` | one panel each, full or cut | panels |
///
/// A form that does not [grow](Form::GROWS) is refused by the compiler.
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Value`] for a cap that is NaN; nothing is then
/// written. Never panics.
///
/// # Accuracy
/// Values at or below the cap: the bound of the [module](self#error-bound). The others: partial sums, which never exceed
/// the computed whole. For a term `t >= 0` the exact `s + t` is at least `s`, rounding is monotone, and `s` is a number
/// of the format: so the rounded `s + t` is at least `s`. The largest of two numbers is not even rounded. So a value
/// above `cap (1 + e) + a` proves that the true sum is above `cap`.
///
/// # Cost
/// At most that of [`one_to_run`], and one comparison per panel and sixteen dimensions. Up to sixteen dimensions nothing
/// is cut; below sixteen registers of 256 bits are used at most, as there.
#[allow(clippy::too_many_arguments, reason = "two of them name the formula, and the rest is inputs, output, counters")]
pub fn one_to_run_capped<T: Real, F: Form>(
    tier: Tier,
    form: F,
    rounding: Rounding,
    query: &[T],
    panels: Panels<'_, T>,
    cap: T,
    out: &mut [T],
    counters: &mut DistCounters,
) -> Result<Cut, KernelError> {
    want("query", panels.dim(), query.len())?;
    want("out", lanes_len(&panels), out.len())?;
    if cap.to_f64().is_nan() {
        return Err(KernelError::Value { what: "cap", at: 0 });
    }
    if out.is_empty() {
        return Ok(Cut::Full); // as in `one_to_run`
    }
    let kind = run::Kind::of(form, rounding);
    Ok(streaming(tier, query.len()).run(run::OneToRunCapped { kind, query, panels, cap, out, counters }))
}

/// Sums of one `f64` query against packed `f32` points, in `f64`: the published formula for single-precision points.
///
/// `out[i] = form over d of (query[d], f64(point i [d]))`, each operation rounded by itself, added in order of `d`.
///
/// | argument | shape | unit |
/// | --- | --- | --- |
/// | `query` | `[dim]`, finite | coordinates |
/// | `panels` | `len` points of `dim`, finite | coordinates |
/// | `out` | `[len` rounded up to whole panels of `f32]`, overwritten | of the form |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; `out` is then untouched. Never panics.
///
/// # Accuracy
/// Widening is exact; from there the bound of the [module](self#error-bound) in `f64`. The same bits on every tier.
///
/// # Cost
/// `dim` conversions and steps of the form per lane; reads each input once.
pub fn widened_one_to_run<F: Form>(
    tier: Tier,
    _form: F,
    query: &[f64],
    panels: Panels<'_, f32>,
    out: &mut [f64],
) -> Result<(), KernelError> {
    want("query", panels.dim(), query.len())?;
    want("out", lanes_len(&panels), out.len())?;
    if out.is_empty() {
        return Ok(()); // as in `one_to_run`
    }
    tier.at_256_bits().run(run::WidenedOneToRun { form: PhantomData::<F>, query, panels, out });
    Ok(())
}

/// Blocks of scratch that [`block_to_run`] takes.
pub const fn block_to_run_blocks<T: Real>(queries: usize, dim: usize) -> usize {
    blocks::<T>(tile::packed_len(queries, dim))
}

/// Sums of a block of queries against packed points, in register tiles.
///
/// `out[q][i] = form over d of (query q [d], point i [d])`, added in order of `d`.
///
/// | argument | shape | unit |
/// | --- | --- | --- |
/// | `queries` | any number of rows of `dim`, finite | coordinates |
/// | `panels` | `len` points of `dim`, finite | coordinates |
/// | `out` | `[queries][len` rounded up to whole panels`]`, overwritten | of the form |
/// | `arena` | [`block_to_run_blocks`]`(queries, dim)`, given back | |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Scratch`] when the arena is too small; `out` is
/// then untouched. Never panics.
///
/// # Accuracy
/// The bound of the [module](self#error-bound); with [`Rounding::Published`] the same bits as [`one_to_run`], on every
/// tier.
///
/// # Cost
/// `dim` steps of the form per pair. Reads each panel once per 192 KiB of queries, and each query twice.
pub fn block_to_run<T: Real, F: Form>(
    tier: Tier,
    form: F,
    rounding: Rounding,
    queries: Rows<'_, T>,
    panels: Panels<'_, T>,
    out: &mut [T],
    arena: &mut Arena<'_>,
) -> Result<(), KernelError> {
    want("queries", panels.dim(), queries.dim())?;
    want("out", queries.len().saturating_mul(lanes_len(&panels)), out.len())?;
    let packed = arena.scope().take(tile::packed_len(queries.len(), queries.dim()))?;
    if out.is_empty() {
        return Ok(()); // as in `one_to_run`; without queries too
    }
    tier.run(run::BlockToRun { kind: run::Kind::of(form, rounding), queries, panels, packed, out });
    Ok(())
}

/// Squared lengths of packed points, as [`squared_by_dots`] takes them.
///
/// `out[i] = sum over d of (point i [d])^2`, each operation rounded by itself, added in order of `d`.
///
/// | argument | shape | unit |
/// | --- | --- | --- |
/// | `panels` | `len` points of `dim`, finite | coordinates |
/// | `out` | `[len` rounded up to whole panels`]`, overwritten | coordinates squared |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; `out` is then untouched. Never panics.
///
/// # Accuracy
/// That of [`Dot`], relative to the squared length itself. The same bits on every tier.
///
/// # Cost
/// `2 dim` flops per lane; reads the points once.
pub fn squared_norms<T: Real>(tier: Tier, panels: Panels<'_, T>, out: &mut [T]) -> Result<(), KernelError> {
    want("out", lanes_len(&panels), out.len())?;
    if out.is_empty() {
        return Ok(()); // as in `one_to_run`
    }
    tier.run(run::SquaredNorms { panels, out });
    Ok(())
}

/// Bound on the absolute error of a squared distance by [`squared_by_dots`], given the sum of the two squared lengths
/// as computed. Infinite where the sum is so large that an operation might have overflowed.
///
/// With the true `n = q.q + x.x`, and all roundings counted as in the [module](self#error-bound):
///
/// - the computed squared lengths and their sum are `n (1 + theta)`, `abs(theta) <= g(dim + 1)`;
/// - the dot product is off by at most `g(dim)` times the sum of `abs(q[d] x[d])`, which is at most `n / 2`; doubling it
///   is exact, so twice the dot product is off by `g(dim) n`, and is itself at most `n (1 + g(dim))`;
/// - the last subtraction rounds a value of at most `n (2 + g(dim + 1) + g(dim))`, with one more `u` of it.
///
/// Since `g(k) + u (1 + g(k)) <= g(k + 1)`, this adds up to `2 g(dim + 2) n`. The true `n` is at most the computed one
/// over `1 - g(dim + 1)`. Replacing a negative result by zero only helps, for the true one is not negative. Products
/// that underflow, four per dimension, add their share to the result and to `n`.
pub fn dots_error<T: Real>(dim: usize, norms: f64) -> f64 {
    // One more than counted pays for the rounding of this formula.
    let relative = gamma(dim.saturating_add(3), T::ROUNDOFF);
    let bound = 2.0 * relative / (1.0 - relative) * norms + 8.0 * dim as f64 * T::TINY;
    if norms <= T::HUGE / 8.0 && relative < 0.5 { bound } else { f64::INFINITY }
}

/// Blocks of scratch that [`squared_by_dots`] takes.
pub const fn squared_by_dots_blocks<T: Real>(queries: usize, dim: usize) -> usize {
    block_to_run_blocks::<T>(queries, dim).saturating_add(blocks::<T>(queries))
}

/// Squared Euclidean distances of a block of queries to packed points, by way of dot products.
///
/// `out[q][i] = max(0, (|query q|^2 + |point i|^2) - 2 (query q . point i))`.
///
/// One multiply-add per pair and dimension where the difference form takes a subtraction too, hence up to half as fast
/// again; but the error is *absolute*, of the size of the squared lengths and not of the distance. A filter must use
/// [`dots_error`]; points should be centred first. For distances that are small beside the lengths, or in a low
/// dimension, [`block_to_run`] with [`SquaredEuclidean`] is the better filter.
///
/// | argument | shape | unit |
/// | --- | --- | --- |
/// | `queries` | any number of rows of `dim`, finite | coordinates |
/// | `panels` | `len` points of `dim`, finite | coordinates |
/// | `norms` | `[len` rounded up to whole panels`]`, from [`squared_norms`] | coordinates squared |
/// | `out` | `[queries][len` rounded up to whole panels`]`, overwritten | coordinates squared |
/// | `arena` | [`squared_by_dots_blocks`]`(queries, dim)`, given back | |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Scratch`] when the arena is too small; `out` is
/// then untouched. Never panics.
///
/// # Accuracy
/// Absolute error at most [`dots_error`]`(dim, |query|^2 + |point|^2)`, where it is finite. The last bits may differ
/// between tiers.
///
/// # Cost
/// `2 dim + 3` flops per pair. Reads each panel once per 192 KiB of queries, and each query three times.
pub fn squared_by_dots<T: Real>(
    tier: Tier,
    queries: Rows<'_, T>,
    panels: Panels<'_, T>,
    norms: &[T],
    out: &mut [T],
    arena: &mut Arena<'_>,
) -> Result<(), KernelError> {
    want("queries", panels.dim(), queries.dim())?;
    want("norms", lanes_len(&panels), norms.len())?;
    want("out", queries.len().saturating_mul(norms.len()), out.len())?;
    let mut scratch = arena.scope();
    let packed = scratch.take(tile::packed_len(queries.len(), queries.dim()))?;
    let query_norms = scratch.take(queries.len())?;
    if out.is_empty() {
        return Ok(()); // as in `one_to_run`; without queries too
    }
    tier.run(run::SquaredByDots { queries, panels, norms, packed, query_norms, out });
    Ok(())
}

#[cfg(test)]
mod tests;
