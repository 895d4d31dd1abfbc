//! Residual correlations of packed points: tiles that filter with a proven margin, and the formula that settles.
//!
//! # The published formula
//! `K` is a [covariance](crate::covariance) of scaled coordinates, `V` has `columns` columns (none: the prior
//! correlation), `p_i` is the residual variance. In `f64`, each operation rounded by itself, sums added in order,
//!
//! ```text
//! rho_ij = (K(sum over d of (z_id - z_jd)^2) - sum over m of V_im V_jm) / sqrt(p_i p_j), cut to [-1, 1]
//! d_ij   = sqrt(1 - |rho_ij|)
//! ```
//!
//! ([`rho_exact`], [`rho_of_rows`], [`residual_distance`]). That the diagonal is 0 and that a nugget enters `K_ii` alone
//! is the caller's business: the formula is for two different points.
//!
//! # The filter and its margin
//! A tile computes `r = (K - V.V') scale scale'` with `scale = 1 / sqrt(p)` in `f64` or `f32`, fused where the tier fuses.
//! Every point carries a factor `m`, its *margin*, so that for two points
//!
//! ```text
//! |cut(r_ij) - rho_ij| <= m_i m_j,
//! m_i^2 = ((g_T + g_64) w_i^2 + c + t) / p_i + 40 u_T.
//! ```
//!
//! *Why.* (1) A dot product of which each term passes at most `n` roundings is off by at most `gamma_n |V_i| |V_j|` (Higham,
//! *Accuracy and Stability of Numerical Algorithms*, 3.1, and Cauchy and Schwarz). In `f64`, `n = columns + 2`, fused or
//! not. In `f32` groups of 32 columns are added first and then the groups, so that `n` is `32 + columns / 32` and a few:
//! a seventh of one chain's for 512 columns. `g_T` is the filter's gamma, `g_64` that of the formula, `w_i >= |V_i|`. (2) `c` is
//! `Covariance::margin`, how far `K` can be off. (3) `t = columns * tiny` pays for products that underflow. (4) What is left,
//! the difference, the scales, their product and the quotient, are 14 roundings relative to `|r|`. For `|r| <= 2` they are
//! 28 u; beyond 2 both sides are cut to 1 unless (1) to (3) exceed 1, and then the claim is empty. (5) The sum of (1) to
//! (4) has the form `a w_i w_j + b` over `sqrt(p_i p_j)`; by Cauchy and Schwarz it is at most the product of two factors
//! `sqrt((a w^2 + b) / p)`. So a margin is one number per point, and a tile tests `|r| + m_i m_j >= least` with one
//! multiply-add; its own rounding, and that of `least`, are the rest of the 40 u.
//!
//! *What it says.* `m^2` is near `64 u / p` in units of the variance, if `|V|` is near 1. In `f64` that is `3e-8` for a
//! smooth covariance with `p = 2e-6`. In `f32` it is `2e-3` at `p = 3e-3` but 2 at `p = 2e-6`: there the mask keeps every
//! point, and the caller must use `f64`. No flag is needed: the margin says it.
//!
//! # How far `f64` can be trusted
//! The published formula takes `V` and `p` as they are; exact arithmetic would make other ones of the same points, inducing
//! points and parameters. Let `u = 2^-53`, `gamma_n = n u / (1 - n u)`, `M` the number of inducing points, `A = K_UU + jitter
//! variance I` exactly, `k_i` the exact covariances of point `i` with the inducing points, `w_i = A^-1 k_i` its weights, `W_i` the
//! sum of their magnitudes, and `D = variance + nugget`. With hats on what was computed in `f64`:
//!
//! 1. *Covariances.* Each is within `e = variance (16 u + 0.37 gamma_(dim+3) + 2 u R)` of the exact one: the shape and the sum
//!    of squares as in [`crate::covariance`], and coordinates that were rounded when they were divided by the lengthscales,
//!    with `R` the largest norm of a scaled point.
//! 2. *Factor.* `L^ L^' = A + F`, and no element of `F` is larger than `phi = e + 1.03 gamma_(M+8) (1 + jitter) D`: the backward
//!    error of Cholesky's method is at most `gamma_(M+1) |L^| |L^'|` element by element (Higham, *Accuracy and Stability of
//!    Numerical Algorithms*, theorem 10.3), for any order of the sums, and rows of `L^` have squared norms near `(1 + jitter)
//!    variance`. Seven more roundings pay for blocks that multiply by reciprocals.
//! 3. *Rows of V.* `L^ V^_i = k_i + r_i`, and no element of `r_i` is larger than `phi` (theorem 8.5, and `|V^_i|^2` near the
//!    variance at most).
//! 4. *Products.* Hence `V^_i.V^_j = (k_i + r_i)' (A + F)^-1 (k_j + r_j)`. The smallest eigenvalue of `A` is at least `jitter
//!    variance`; where `eta = 2 M phi / (jitter variance)` is at most 1, that of `A + F` is at least half of it. Expanding the inverse
//!    twice, with `|F w|_2 <= sqrt(M) phi |w|_1` and `|r|_2 <= sqrt(M) phi`,
//!    ```text
//!    |V^_i.V^_j - k_i' A^-1 k_j| <= phi (1 + eta) (1 + W_i) (1 + W_j).
//!    ```
//!    The condition of `A` enters by the weights: they are large where inducing points nearly repeat each other.
//! 5. *What is left.* `K - V.V` loses at most another `phi`, by its covariance, the sum in `f64` and the rounding of `D`. So both
//!    it and `p` are within `t_i t_j` of the exact ones, `t_i = sqrt(phi (1 + eta)) (sqrt(2) + W_i)`. Raising `p` to its
//!    floor moves no two values apart.
//! 6. *Correlations.* With `theta_i = t_i^2 / p_i` and `c = 1 / sqrt((1 - theta_i) (1 - theta_j))`,
//!    ```text
//!    |rho^_ij - rho_ij| <= E_ij = (1 + sqrt(theta_i theta_j)) c - 1 + 8 u,
//!    ```
//!    for exact correlations are at most 1, and cutting moves no two values apart. `theta` above 1/100 says nothing: `E = 1`.
//! 7. *Distances.* `|d^ - d| (d^ + d) = |rho^ - rho|` but for rounding, so that `|d^ - d| <= min(E / d, sqrt(E)) + 2 u`.
//!
//! `oracle::precise` (feature `oracle`) computes the exact side in twice the precision, and these bounds.
//!
//! # Use
//! [`row_norms`] and [`scales_and_margins`] once per parameter set (and [`narrow`] for `f32`); [`block_to_run`] or
//! [`one_to_run`] with the least correlation that is still wanted; [`settle_run`] for the lanes whose bits are set.
//! [`least_correlation`] turns a distance into that threshold. Where only single pairs are left, rows of `V` serve better than
//! panels ([`ResidualRows`]): [`listed_pairs`] filters them, [`settle_positions`] settles them, and [`pack_listed`] packs rows
//! when a tile needs them after all.
//!
//! # Cost and measured rate
//! `columns` multiply-adds per pair, in register tiles. One thread of an AMD EPYC (Zen 4) with AVX-512 (portable), 512 columns:
//! [`block_to_run`] 38 M pairs/s (17) in `f64` and 91 (36) in `f32`, 66 and 79 % of the limit of multiply-adds; [`one_to_run`] half of
//! that; the plain twin 2.4. `cargo bench -p covertree-benches --bench residual`.

mod early;
mod exact;
mod gate;
pub(crate) mod lanes;
mod listed;
mod points;
mod rows;
#[cfg(any(test, feature = "oracle"))]
pub mod scalar;
mod settle;
mod shortlist;
mod tighten;

pub use early::{CutRows, Step, Tails, one_to_run_cut, tail_norms};
pub use exact::{PointRow, correlation_floor, least_correlation, residual_distance, rho_exact, rho_of_rows};
pub use gate::{
    Gate, GateBins, GateCounters, GatePairs, GateRule, GateSide, gate_audit, gate_block, gate_block_blocks, gate_run,
    gate_square, profile_pairs, profile_slope, profile_thresholds,
};
pub use listed::listed_pairs;
pub use points::{P_FLOOR, ResidualModel, ResidualPoints, narrow, residual_variances, row_norms, scales_and_margins};
pub use rows::{ResidualRows, pack_listed, unpack_rows};
pub use settle::{gather_row, settle_positions, settle_run};
pub use shortlist::{
    Counting, ListedPairs, Members, Offered, RhoTile, Shortlists, condense, offer_columns, offer_listed, offer_rows,
    wanted_pairs, widen_tile,
};

use crate::arena::{Arena, blocks};
use crate::covariance::Exponential;
use crate::error::{KernelError, want};
use crate::simd::{Lanes, OnLanes, Real, Tier};

/// Work done by the residual kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResidualCounters {
    /// Pairs of points whose correlation a tile or a list filtered; those of [`block_where`] with padding.
    pub filtered: u64,
    /// Of these, pairs whose mask bit was set.
    pub candidates: u64,
    /// Pairs that the published formula settled.
    pub settled: u64,
    /// Panels that the loop with tails left before all columns were read.
    pub early_exits: u64,
    /// Columns that this loop read, summed over its panels.
    pub columns: u64,
    /// Short lists that were cut to what may still be in the answer.
    pub condensed: u64,
    /// Points that these lists dropped.
    pub dropped: u64,
}

impl ResidualCounters {
    /// Adds another count.
    pub fn merge(&mut self, other: &Self) {
        self.filtered += other.filtered;
        self.candidates += other.candidates;
        self.settled += other.settled;
        self.early_exits += other.early_exits;
        self.columns += other.columns;
        self.condensed += other.condensed;
        self.dropped += other.dropped;
    }
}

/// Some panels of packed points.
#[derive(Clone, Copy, Debug)]
pub struct ResidualRun<'a, T> {
    points: ResidualPoints<'a, T>,
    first: usize,
    count: usize,
}

impl<'a, T: Exponential> ResidualRun<'a, T> {
    /// Number of panels.
    pub fn panels(&self) -> usize {
        self.count
    }

    /// Number of points, without padding.
    pub fn len(&self) -> usize {
        (self.points.len() - (self.first * T::LANES).min(self.points.len())).min(self.count * T::LANES)
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: Exponential> ResidualPoints<'a, T> {
    /// The panels `first..first + count`.
    ///
    /// # Errors
    /// [`KernelError::Least`] when there are fewer panels.
    pub fn run(&self, first: usize, count: usize) -> Result<ResidualRun<'a, T>, KernelError> {
        let least = first.saturating_add(count);
        if least > self.panels() {
            return Err(KernelError::Least { what: "panels", least, got: self.panels() });
        }
        Ok(ResidualRun { points: *self, first, count })
    }
}

/// One point in rows, for the tiles.
#[derive(Clone, Copy, Debug)]
pub struct ResidualQuery<'a, T> {
    /// `[dim]`: scaled coordinates.
    pub coordinates: &'a [T],
    /// `[columns]`: row of `V` (in `f32` over the prior standard deviation).
    pub v: &'a [T],
    /// `1 / sqrt(p)`; in `f32` `sqrt(variance / p)`.
    pub scale: T,
    /// The point's [`ResidualModel::margin`].
    pub margin: T,
}

/// A block of queries, packed for the register tiles of one tier. Make it once for many runs of points.
#[derive(Clone, Copy, Debug)]
pub struct QueryTiles<'a, T> {
    tier: Tier,
    run: ResidualRun<'a, T>,
    packed: &'a [T],
}

/// Blocks that [`pack_queries`] takes, on any tier.
pub const fn pack_queries_blocks<T: Exponential>(panels: usize, columns: usize) -> usize {
    blocks::<T>(packed_len::<T>(panels, columns))
}

const fn packed_len<T: Exponential>(panels: usize, columns: usize) -> usize {
    let rows = panels.saturating_mul(T::LANES).div_ceil(lanes::TILE_ROWS_MAX).saturating_mul(lanes::TILE_ROWS_MAX);
    rows.saturating_mul(columns)
}

/// Packs the rows of `V` of a run for [`block_to_run`] on a tier.
///
/// | argument | shape |
/// | --- | --- |
/// | `tier` | the one that the tiles will run on |
/// | `run` | the queries |
/// | `arena` | [`pack_queries_blocks`]`(run.panels(), columns)`, kept by the result |
///
/// # Errors
/// [`KernelError::Scratch`] when the arena has less than [`pack_queries_blocks`]`(run.panels(), columns)`.
///
/// # Cost
/// Reads and writes each element once.
pub fn pack_queries<'a, T: Exponential>(
    tier: Tier,
    run: &ResidualRun<'a, T>,
    arena: &mut Arena<'a>,
) -> Result<QueryTiles<'a, T>, KernelError> {
    struct Body<'a, 'o, T>(&'o ResidualRun<'a, T>, usize, &'o mut [T]);
    impl<T: Exponential> OnLanes for Body<'_, '_, T> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            lanes::pack_queries(self.0, self.1, self.2);
        }
    }
    let packed = arena.take(packed_len::<T>(run.count, run.points.model.columns()))?;
    tier.for_words().run(Body(run, lanes::rows_of_tiles(tier.tile_rows()), packed));
    Ok(QueryTiles { tier, run: *run, packed })
}

/// Filtered correlations of a block of queries with a run of points, on the tier that the queries are packed for.
///
/// | argument | shape |
/// | --- | --- |
/// | `queries`, `points` | panels of the same model, of the same or of different sets |
/// | `least` | `[query panels * LANES]`: the smallest `abs(rho)` that is wanted, at most 1; infinity where nothing is |
/// | `out` | `[query panels * LANES][point panels][LANES]`: the filter `r`, not cut |
/// | `masks` | `[query panels * LANES][point panels]`: bit `l` is set where `abs(rho) >= least` is possible |
///
/// Rows of `out` of queries with infinite `least`, and padding lanes, hold anything; their bits are clear.
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Value`] when the models differ; nothing is written
/// then.
///
/// # Accuracy
/// `|cut(r_ij) - rho_ij| <= m_i m_j`, derived in the [module](self); a clear bit proves `|rho_ij| < least_i`. The last bits
/// of `r` may differ between tiers.
///
/// # Cost
/// `columns` multiply-adds per pair and about 30 operations for the covariance, in register tiles.
pub fn block_to_run<T: Exponential>(
    queries: &QueryTiles<'_, T>,
    points: &ResidualRun<'_, T>,
    least: &[f64],
    out: &mut [T],
    masks: &mut [u32],
    counters: &mut ResidualCounters,
) -> Result<(), KernelError> {
    struct Body<'a, 'o, T>(lanes::Block<'a, 'o, T>);
    impl<T: Exponential> OnLanes for Body<'_, '_, T> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(mut self) {
            lanes::block_to_run::<T, L>(&mut self.0);
        }
    }
    let QueryTiles { tier, run, packed } = *queries;
    let rows = run.count * T::LANES;
    want("least", rows, least.len())?;
    let panels = rows.saturating_mul(points.count);
    want("out", panels.saturating_mul(T::LANES), out.len())?;
    want("masks", panels, masks.len())?;
    if run.points.model != points.points.model {
        return Err(KernelError::Value { what: "queries", at: 0 });
    }
    masks.fill(0);
    tier.run(Body(lanes::Block { queries: run, packed, points: *points, least, wanted: &[], out, masks }));
    let asked = least.iter().take(run.len()).filter(|least| **least != f64::INFINITY).count();
    counters.filtered += asked as u64 * points.len() as u64;
    counters.candidates += masks.iter().map(|mask| u64::from(mask.count_ones())).sum::<u64>();
    Ok(())
}

/// Blocks of scratch that [`block_where`] takes.
pub const fn block_where_blocks<T: Real>(query_panels: usize, point_panels: usize) -> usize {
    let rows = query_panels.saturating_mul(T::LANES);
    blocks::<f64>(rows).saturating_add(blocks::<u32>(rows.saturating_mul(point_panels)))
}

/// Filtered correlations of the pairs that are wanted, and of some more.
///
/// | argument | shape |
/// | --- | --- |
/// | `queries`, `points` | as for [`block_to_run`] |
/// | `wanted` | `[query panels * LANES][point panels]`: bit `l` is set where the pair is wanted |
/// | `out` | `[query panels * LANES][point panels][LANES]`: the filter `r` of each wanted pair; what stands elsewhere stays or becomes the filter of that pair |
/// | `arena` | [`block_where_blocks`]`(query panels, point panels)`, given back |
/// | `counters` | `filtered` grows by the pairs of the register tiles in which any is wanted, with those of padding lanes |
///
/// # Errors
/// As [`block_to_run`], and [`KernelError::Scratch`] when the arena is too small; nothing is written then.
///
/// # Accuracy
/// As [`block_to_run`].
///
/// # Cost
/// That of [`block_to_run`] for the register tiles (some queries, one panel) in which any pair is wanted.
pub fn block_where<T: Exponential>(
    queries: &QueryTiles<'_, T>,
    points: &ResidualRun<'_, T>,
    wanted: &[u32],
    out: &mut [T],
    arena: &mut Arena<'_>,
    counters: &mut ResidualCounters,
) -> Result<(), KernelError> {
    struct Body<'a, 'o, T>(lanes::Block<'a, 'o, T>);
    impl<T: Exponential> OnLanes for Body<'_, '_, T> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(mut self) {
            lanes::block_to_run::<T, L>(&mut self.0);
        }
    }
    let QueryTiles { tier, run, packed } = *queries;
    let rows = run.count * T::LANES;
    let panels = rows.saturating_mul(points.count);
    want("wanted", panels, wanted.len())?;
    want("out", panels.saturating_mul(T::LANES), out.len())?;
    if run.points.model != points.points.model {
        return Err(KernelError::Value { what: "queries", at: 0 });
    }
    let (need, have) = (block_where_blocks::<T>(run.count, points.count), arena.free());
    if need > have {
        return Err(KernelError::Scratch { need, have });
    }
    let mut arena = arena.scope();
    let (least, masks) = (arena.take::<f64>(rows)?, arena.take::<u32>(panels)?);
    least.fill(0.0);
    tier.run(Body(lanes::Block { queries: run, packed, points: *points, least, wanted, out, masks }));
    counters.filtered += pairs_of_tiles::<T>(tier, wanted, points.count);
    Ok(())
}

/// Pairs of the register tiles in which something is wanted; padding counts, for it costs as much.
fn pairs_of_tiles<T: Real>(tier: Tier, wanted: &[u32], panels: usize) -> u64 {
    let tile = lanes::rows_of_tiles(tier.tile_rows());
    let mut pairs = 0;
    for rows in wanted.chunks(tile * panels.max(1)) {
        for panel in 0..panels {
            if rows.iter().skip(panel).step_by(panels).any(|bits| *bits != 0) {
                pairs += rows.len() / panels * T::LANES;
            }
        }
    }
    pairs as u64 // widens
}

/// Filtered correlations of one point with a run of points.
///
/// | argument | shape |
/// | --- | --- |
/// | `query` | rows of the points' model |
/// | `least` | the smallest `abs(rho)` that is wanted, at most 1 |
/// | `out` | `[panels][LANES]`: the filter `r`, not cut; padding lanes hold anything |
/// | `masks` | `[panels]`: bit `l` is set where `abs(rho) >= least` is possible |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; nothing is written then.
///
/// # Accuracy
/// As [`block_to_run`].
///
/// # Cost
/// As [`block_to_run`] per pair, but each element of the points' `V` is loaded for one multiply-add: memory decides.
pub fn one_to_run<T: Exponential>(
    tier: Tier,
    query: &ResidualQuery<'_, T>,
    points: &ResidualRun<'_, T>,
    least: f64,
    out: &mut [T],
    masks: &mut [u32],
    counters: &mut ResidualCounters,
) -> Result<(), KernelError> {
    struct Body<'a, 'o, T>(&'o ResidualQuery<'a, T>, &'o ResidualRun<'a, T>, f64, &'o mut [T], &'o mut [u32]);
    impl<T: Exponential> OnLanes for Body<'_, '_, T> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            lanes::one_to_run::<T, L>(self.0, self.1, self.2, self.3, self.4);
        }
    }
    check_query(query, points)?;
    want("out", points.count * T::LANES, out.len())?;
    want("masks", points.count, masks.len())?;
    tier.run(Body(query, points, least, out, masks));
    counters.filtered += points.len() as u64;
    counters.candidates += masks.iter().map(|mask| u64::from(mask.count_ones())).sum::<u64>();
    Ok(())
}

/// Refuses a query whose rows do not fit the points.
fn check_query<T: Exponential>(query: &ResidualQuery<'_, T>, points: &ResidualRun<'_, T>) -> Result<(), KernelError> {
    want("query.coordinates", points.points.model.dim(), query.coordinates.len())?;
    want("query.v", points.points.model.columns(), query.v.len())
}

#[cfg(test)]
pub(crate) mod tests;
