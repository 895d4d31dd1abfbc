//! Landmark bounds on residual correlations: whole clusters are thrown away after a few dot products.
//!
//! # The idea
//! Residual correlations are inner products of unit vectors, `rho_xy = u_x.u_y`. Take an orthonormal basis of the span of a
//! few landmarks, write `a_x` for the coordinates of `u_x` in it and `t_x = sqrt(1 - |a_x|^2)` for what is left. Then
//!
//! ```text
//! one-sided:  |rho_xy| <= |a_x.a_y| + t_x t_y                                    (both in the frame of one cluster)
//! two-sided:  |rho_xy| <= |a_x' G b_y| + |a_x| t_y + t_x |b_y| + t_x t_y         (x in frame S, y in frame T, G = S.T)
//! ```
//!
//! The cheapest bound for a pair of clusters needs the correlations of their landmarks alone: [`bounds_between`], derived there.
//!
//! With landmarks inside the cluster of `y`, `t_y` is small for the whole cluster. [`choose`] picks landmarks and gives the
//! members their coordinates, [`project`] does so for points outside, [`bounds`] evaluates tiles of either bound,
//! [`envelope_bounds`] a whole cluster at once, [`cross`] and [`turn`] make `G` and `G' a_x`, and [`Cross::bound`] bounds two
//! clusters against each other.
//!
//! # Why a computed bound is never below the truth
//! *Model.* For each point there are a vector `u_x` and a factor `mu_x >= 0` ([`point_error`]) such that
//!
//! 1. each correlation that a kernel is given or that is published (before it is cut to `[-1, 1]`) is within `mu_x mu_y` of
//!    `u_x.u_y`, for any two different points;
//! 2. `1 <= |u_x|^2 <= 1 + mu_x^2`.
//!
//! (Where `p` was raised to its floor, or holds a nugget, give `u_x` a component of its own to lengthen it to 1: no inner
//! product of two points changes.) The model holds if `K - V V'` is positive semidefinite up to errors that `mu` contains;
//! [`solve_defect`] says what the triangular solve that made `V` contributes. Correlations given to these kernels must *not*
//! be cut: cutting can move them by more than `mu_x mu_y`.
//!
//! *The basis.* Let `L` be the computed factor, `q_i = sum of (L^-1)_ij u_sj`. The Gram matrix of the `q` is `I + F`, `F = L^-1
//! (Gram_S - L L') L^-T`. Elements of `Gram_S` are within `mu_s mu_s'` of the correlations used, and `L L'` reproduces those up
//! to `gamma |L| |L'|` (Higham, *Accuracy and Stability of Numerical Algorithms*, theorem 10.3), so
//!
//! ```text
//! |F| <= f = |L^-1|^2 (sum of mu_s^2 + k gamma_(k+1)).
//! ```
//!
//! *The early stop.* `|L^-1|` grows as pivots shrink. [`choose`] keeps the inverse of the factor beside it and passes over every
//! landmark that would push `f` above [`DEFECT_MAX`]: pivots stop before they drown in rounding, by the errors of the very
//! points at hand, that is by `p` and the smallest pivot.
//!
//! *Coordinates.* `a_x = L^-1 (u_s.u_x)` is computed with a residual of at most `r = mu_x sqrt(sum of mu_s^2) + sqrt(k) gamma |a|`
//! (data, and the backward error of substitution, one rounding for the reciprocal included), so that the computed coordinates are within `delta_x = |L^-1| r` of it.
//!
//! *One-sided.* With `P` the projection on the span, `P u_x.P u_y = a_x' (I + F)^-1 a_y` and `|a_x|^2 / (1 + f) <= |P u_x|^2`.
//! Hence `t_x^2 = 1 + mu_x^2 - max(0, |a_x| - delta_x)^2 / (1 + f)` is at least the square of what is left, and the computed
//! bound needs on top, with `N` the largest `|a_x|` possible,
//!
//! ```text
//! delta_x N + (N + delta_x) delta_y + mu_x mu_y + N^2 f / (1 - f) + gamma_k (N + delta)^2 + roundings.
//! ```
//!
//! Points with `delta_x > 1/4` or `mu_x > 1/4` get an infinite slack: the frame is no use for them. For all others `N <= 1.04`
//! and `N + delta <= 1.3`, and the sum is at most `s_x + s_y` with `s_x = 1.3 delta_x + mu_x^2 / 2 + kappa / 2` and `kappa = 1.1 f /
//! (1 - f) + 2 gamma + 32 u`. So the slack is one number per point, made from its own `p` and the frame's pivots.
//!
//! *By weights.* Where the correlations of landmarks with `y` have large errors `e` (they were computed in `f32`), `delta_y` pays
//! for the worst direction. Only one matters: the computed `a_x.a_y` contains `a_x.L^-1 e = w_x.e` with `w_x = L^-T a_x`, the
//! weights by which the landmarks make up `x`, and
//!
//! ```text
//! |w_x.e| <= mu_y W_x,    W_x = sum over s of |w_xs| mu_s                        (member_weights)
//! ```
//!
//! takes the place of `N delta_y` but for the rounding of the substitution. With `a_x` off by `delta_x` the exact products differ
//! by `delta_x N`, as before; `t_y` keeps the whole `delta_y`. No condition on `delta_y` is left but that of the norm, `|a_y| <= 1.3`.
//!
//! *Two-sided.* `u_x = P_S u_x + rest`, the same for `y` in `T`, gives the four terms with the spans `|P u_x| <= (|a_x| + delta_x) /
//! sqrt(1 - f)`. The computed `G` is within `e = |L_S^-1| |L_T^-1| (mu_S mu_T + e_1) + |L_T^-1| e_2` of the truth, `e_1` and `e_2` the
//! backward errors of both substitutions; the bound needs `1.3^2 e`, another half of both `kappa` and the roundings of two more
//! sums: [`Cross::slack`].
//!
//! # Cost and measured rate
//! As many multiply-adds per pair as landmarks. One thread of an AMD EPYC (Zen 4) with AVX-512 (portable), 16 landmarks, leaves of
//! 64: [`bounds`] 1,120 M pairs/s (418) in `f64`, the plain twin 79; [`choose`] 6 us per leaf; [`envelope_bounds`] 1.4 ns per query.
//! `cargo bench -p covertree-benches --bench landmark`.

pub mod between;
mod cross;
mod frame;
mod lanes;
mod points;
#[cfg(any(test, feature = "oracle"))]
pub mod scalar;

pub use between::{
    BetweenSide, ChosenCluster, Combined, CombinedMemory, CrossTable, PanelTerms, bounds_between,
    bounds_between_blocks, combination_errors, combine, panel_terms,
};
pub use cross::{Cross, cross};
pub use frame::{Chosen, DEFECT_MAX, Extent, Frame, LANDMARKS_MAX, Limits, choose, choose_blocks};
pub use points::{FrameMemory, FramePoints, FrameQueries, FrameSlices, narrow_points, pack_members};

use crate::covariance::Exponential;
use crate::dist::form::gamma;
use crate::error::{KernelError, want};
use crate::residual::ResidualModel;
use crate::simd::{LANES_F64, Lanes, OnLanes, Real, Tier};
use crate::view::panels_len;

/// Work done by the landmark kernels, as far as the data decided it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LandmarkCounters {
    /// Pairs of points that [`bounds`] bounded. [`bounds_between`] leaves this and the next to its caller: it returns how many
    /// pairs it marks, and the caller knows what becomes of them.
    pub landmark_bounded: u64,
    /// Of these, pairs whose bound is below what is wanted.
    pub landmark_pruned: u64,
    /// Members that [`choose`] tried and passed over, for they would have made the basis worse than [`DEFECT_MAX`].
    pub members_passed_over: u64,
    /// Pairs of panels that [`bounds_between`] visited.
    pub panel_pairs_bounded: u64,
    /// Of these, pairs that the panels' largest terms ruled out, so that no pair of points was looked at.
    pub panel_pairs_pruned: u64,
    /// Panels of columns that were multiplied by the table, because some pair of panels was not ruled out.
    pub panels_multiplied: u64,
}

impl LandmarkCounters {
    /// Adds another count.
    pub fn merge(&mut self, other: &Self) {
        self.landmark_bounded += other.landmark_bounded;
        self.landmark_pruned += other.landmark_pruned;
        self.members_passed_over += other.members_passed_over;
        self.panel_pairs_bounded += other.panel_pairs_bounded;
        self.panel_pairs_pruned += other.panel_pairs_pruned;
        self.panels_multiplied += other.panels_multiplied;
    }
}

/// The factor `mu` of a point: from its [margin](ResidualModel::margin) in the tiles that computed the correlations, its
/// residual variance, and a bound on how far an element of `K - V V'` is from a positive semidefinite one (0 if it is one
/// exactly; [`solve_defect`] for the program's own `V`).
///
/// | argument | range |
/// | --- | --- |
/// | `margin`, `defect` | at least 0 |
/// | `p` | above 0 |
///
/// # Errors
/// None: out of these ranges the result means nothing, and may be NaN, which [`choose`] refuses.
///
/// # Cost
/// A division and a square root.
pub fn point_error(margin: f64, defect: f64, p: f64) -> f64 {
    libm::sqrt(margin * margin + defect / p) * (1.0 + 1e-9)
}

/// How far an element of `K - V V'` can be from a positive semidefinite one, because `V` was computed by a triangular solve
/// with `L L' = K_UU + jitter variance I`.
///
/// `weights` is at least the norm of `(L L')^-1 k_x` for every point; `1 / sqrt(jitter)` always is, and far too large for
/// covariances that are not smooth. The solve leaves a residual of at most `phi = sqrt(M) (gamma_M + 16 u) variance (1 +
/// jitter)` (backward error, row norms of `L`, and the error of the covariances themselves), which moves `V_i.V_j` by at
/// most `2 weights phi + phi^2 / (jitter variance)`. That `L L'` itself was rounded does not matter as long as the rounding is
/// below the jitter, `M gamma_M < jitter`: a larger matrix there only makes the residual larger. Infinite if it is not.
///
/// One number for all points is pessimistic where a few of them have large weights. A point's own `max(1, weights)^2` serves
/// as well: of two numbers that are at least 1 the sum is at most twice the product, so the error `phi (w_x + w_y)` still has the
/// form `mu_x mu_y`.
///
/// | argument | range |
/// | --- | --- |
/// | `model` | its columns and its variance are read |
/// | `jitter` | above 0, in units of the variance |
/// | `weights` | at least 0 |
///
/// # Errors
/// None: a jitter that is too small gives infinity.
///
/// # Cost
/// A dozen operations.
pub fn solve_defect(model: &ResidualModel, jitter: f64, weights: f64) -> f64 {
    let (columns, variance) = (model.columns() as f64, model.covariance().variance());
    let relative = gamma(model.columns() + 1, f64::ROUNDOFF) + 16.0 * f64::ROUNDOFF;
    if model.columns() > 0 && columns * relative * 1.01 >= jitter {
        return f64::INFINITY;
    }
    let phi = libm::sqrt(columns) * relative * (1.0 + jitter) * 1.01;
    let square = if columns > 0.0 { phi * phi / jitter } else { 0.0 };
    (2.0 * weights * phi + square) * variance
}

/// Coordinates and extents of packed points outside (or inside) a cluster, in the frame of its landmarks.
///
/// | argument | shape |
/// | --- | --- |
/// | `factor` | `[stride][stride]`, from [`choose`] |
/// | `rho` | `[count][panels][LANES]`: correlations of each landmark with the points, *not cut*; what
///   [`block_to_run`](crate::residual::block_to_run) writes with the landmarks as queries. Further rows are ignored. A landmark's correlation with itself is 1 |
/// | `errors` | `[panels][LANES]`: the points' `mu`; anything in padding lanes |
/// | `memory` | for `len` points and `frame.count()` landmarks, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::TooLong`] when an index cannot count the points; nothing
/// is written then.
///
/// # Accuracy
/// The extents contain the errors, as derived in the [module](self).
///
/// # Cost
/// `count^2 / 2` multiply-adds per point and about 20 operations, among them two square roots.
pub fn project(
    tier: Tier,
    frame: &Frame,
    factor: &[f64],
    rho: &[f64],
    errors: &[f64],
    len: usize,
    memory: &mut FrameMemory<'_, f64>,
) -> Result<(), KernelError> {
    check_projection(frame, factor, rho, errors, len, memory)?;
    tier.run(Projection::<false> { frame, factor, rho, errors, memory });
    Ok(())
}

/// [`project`] for bounds by weights: the spans become the points' errors, and the slacks leave out what these cause.
/// To be met by [`FramePoints::weighted_queries`].
///
/// # Errors
/// As [`project`].
///
/// # Accuracy
/// As [`project`].
///
/// # Cost
/// As [`project`].
pub fn project_weighted(
    tier: Tier,
    frame: &Frame,
    factor: &[f64],
    rho: &[f64],
    errors: &[f64],
    len: usize,
    memory: &mut FrameMemory<'_, f64>,
) -> Result<(), KernelError> {
    check_projection(frame, factor, rho, errors, len, memory)?;
    tier.run(Projection::<true> { frame, factor, rho, errors, memory });
    Ok(())
}

/// The body of [`project`] and of [`project_weighted`].
struct Projection<'a, 'o, const WEIGHTED: bool> {
    frame: &'a Frame,
    factor: &'a [f64],
    rho: &'a [f64],
    errors: &'a [f64],
    memory: &'a mut FrameMemory<'o, f64>,
}

impl<const WEIGHTED: bool> OnLanes for Projection<'_, '_, WEIGHTED> {
    type Out = ();
    #[inline(always)]
    fn run<L: Lanes>(self) {
        lanes::project::<L, WEIGHTED>(self.frame, self.factor, self.rho, self.errors, self.memory);
    }
}

fn check_projection(
    frame: &Frame,
    factor: &[f64],
    rho: &[f64],
    errors: &[f64],
    len: usize,
    memory: &FrameMemory<'_, f64>,
) -> Result<(), KernelError> {
    memory.check(len, frame.count)?;
    let lanes = panels_len::<f64>(len, 1);
    want("factor", frame.stride * frame.stride, factor.len())?;
    want("rho", lanes.saturating_mul(frame.count).max(rho.len()), rho.len())?;
    want("errors", lanes, errors.len())
}

/// How errors of correlations with the landmarks reach the bounds of each member of a cluster: `W_x` of the
/// [module](self).
///
/// | argument | shape |
/// | --- | --- |
/// | `factor` | `[stride][stride]`, from [`choose`] |
/// | `members` | the cluster in its own frame |
/// | `errors` | `[count]`: the landmarks' `mu` in the precision of those correlations |
/// | `weights` | `[panels of members][8]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; `weights` are then untouched.
///
/// # Cost
/// `count^2 / 2` multiply-adds per member.
pub fn member_weights(
    frame: &Frame,
    factor: &[f64],
    members: &FramePoints<'_, f64>,
    errors: &[f64],
    weights: &mut [f64],
) -> Result<(), KernelError> {
    let (count, stride) = (frame.count, frame.stride);
    want("factor", stride * stride, factor.len())?;
    want("members", count, members.count)?;
    want("errors", count, errors.len())?;
    want("weights", members.tails.len(), weights.len())?;
    let error = libm::sqrt(errors.iter().fold(0.0, |sum, mu| sum + mu * mu)) * (1.0 + 1e-9);
    // Backward error of the substitution, through the inverse; rows of the factor are no longer than 1.04.
    let rounding = 1.1 * frame.inverse * frame.rounding() * count as f64 * error;
    for (place, out) in weights.iter_mut().enumerate() {
        let mut solved = [0.0; LANDMARKS_MAX];
        let (mut sum, mut square) = (0.0, 0.0);
        for s in (0..count).rev() {
            let mut rest = members.coordinates[(place / LANES_F64 * count + s) * LANES_F64 + place % LANES_F64];
            for j in s + 1..count {
                rest -= factor[j * stride + s] * solved[j];
            }
            solved[s] = rest / factor[s * stride + s];
            sum += libm::fabs(solved[s]) * errors[s];
            square += solved[s] * solved[s];
        }
        *out = points::up((sum + rounding * libm::sqrt(square)) * (1.0 + 1e-9));
    }
    Ok(())
}

/// Turns points of the frame `S` into queries against points of the frame `T`: coordinates `G' a_x`.
///
/// | argument | shape |
/// | --- | --- |
/// | `products` | `[count of S][count of T]`, from [`cross`] |
/// | `coordinates` | panels `[count of T][LANES]`, overwritten |
/// | `tails`, `slacks` | `[panels][LANES]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; nothing is written then.
///
/// # Cost
/// `count of S * count of T` multiply-adds per point.
pub fn turn<'a>(
    tier: Tier,
    points: &FramePoints<'a, f64>,
    cross: &Cross,
    products: &[f64],
    coordinates: &'a mut [f64],
    tails: &'a mut [f64],
    slacks: &'a mut [f64],
) -> Result<FrameQueries<'a, f64>, KernelError> {
    struct Body<'a, 'o>(&'o FramePoints<'a, f64>, &'o Cross, &'o [f64], [&'o mut [f64]; 3]);
    impl OnLanes for Body<'_, '_> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            let [coordinates, tails, slacks] = self.3;
            lanes::turn::<L>(self.0, self.1, self.2, coordinates, tails, slacks);
        }
    }
    want("points", cross.rows, points.count)?;
    want("products", cross.rows * cross.columns, products.len())?;
    want("coordinates", panels_len::<f64>(points.len, cross.columns), coordinates.len())?;
    want("tails", points.tails.len(), tails.len())?;
    want("slacks", points.slacks.len(), slacks.len())?;
    tier.run(Body(points, cross, products, [&mut *coordinates, &mut *tails, &mut *slacks]));
    Ok(FrameQueries { count: cross.columns, len: points.len, coordinates, tails, spans: Some(points.tails), slacks })
}

/// Bounds on `|rho|` of each query with each point, one-sided or two-sided as the queries are.
///
/// | argument | shape |
/// | --- | --- |
/// | `queries`, `points` | in the same frame |
/// | `least` | `[query panels * LANES]`: the smallest `abs(rho)` that is wanted, at most 1; infinity where nothing is |
/// | `out` | `[query panels * LANES][point panels][LANES]`: upper bounds of `abs(rho)`, which may exceed 1 |
/// | `masks` | `[query panels * LANES][point panels]`: bit `l` is set where the bound is not below `least` |
///
/// Rows of `out` of queries with infinite `least`, and padding lanes, hold anything; their bits are clear. That query and
/// point are not the same point is the caller's business.
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; nothing is written then.
///
/// # Accuracy
/// Never below `|rho|`, as derived in the [module](self): a clear bit proves `|rho| < least`.
///
/// # Cost
/// `count` multiply-adds per pair and six operations, in register tiles.
pub fn bounds<T: Exponential>(
    tier: Tier,
    queries: &FrameQueries<'_, T>,
    points: &FramePoints<'_, T>,
    least: &[f64],
    out: &mut [T],
    masks: &mut [u32],
    counters: &mut LandmarkCounters,
) -> Result<(), KernelError> {
    struct Body<'a, 'o, T>(lanes::Bounds<'a, 'o, T>);
    impl<T: Exponential> OnLanes for Body<'_, '_, T> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(mut self) {
            lanes::bounds::<T, L>(&mut self.0);
        }
    }
    let (rows, lanes) = (queries.tails.len(), points.tails.len());
    want("queries", points.count, queries.count)?;
    want("least", rows, least.len())?;
    want("out", rows.saturating_mul(lanes), out.len())?;
    want("masks", rows.saturating_mul(lanes / T::LANES), masks.len())?;
    masks.fill(0);
    let asked = least.iter().take(queries.len).filter(|least| **least != f64::INFINITY).count();
    tier.run(Body(lanes::Bounds { queries: *queries, points: *points, least, out, masks }));
    let pairs = asked as u64 * points.len as u64;
    counters.landmark_bounded += pairs;
    counters.landmark_pruned += pairs - masks.iter().map(|mask| u64::from(mask.count_ones())).sum::<u64>();
    Ok(())
}

/// Bounds on `|rho|` of each query with *every* point of an envelope (see [`FramePoints::envelope`]).
///
/// | argument | shape |
/// | --- | --- |
/// | `queries` | in the frame of the envelope's points |
/// | `out` | `[query panels][LANES]`, overwritten; padding lanes hold anything |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; `out` is then untouched.
///
/// # Accuracy
/// Never below any `|rho|`; at least the bound that [`bounds`] gives for each point.
///
/// # Cost
/// `count` multiply-adds and a square root per query.
pub fn envelope_bounds<T: Exponential>(
    tier: Tier,
    queries: &FrameQueries<'_, T>,
    envelope: Extent,
    out: &mut [T],
) -> Result<(), KernelError> {
    struct Body<'a, 'o, T>(&'o FrameQueries<'a, T>, [T; 3], &'o mut [T]);
    impl<T: Exponential> OnLanes for Body<'_, '_, T> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            lanes::envelope_bounds::<T, L>(self.0, self.1, self.2);
        }
    }
    want("out", queries.tails.len(), out.len())?;
    let extent = [envelope.span, envelope.tail, envelope.slack].map(points::up);
    tier.run(Body(queries, extent, out));
    Ok(())
}

/// Bits of the lanes of panel `panel` that hold points of `len`.
#[inline(always)]
fn lanes_in_use<T: Real>(len: usize, panel: usize) -> u32 {
    (1 << (len - panel * T::LANES).min(T::LANES)) - 1
}

#[cfg(test)]
mod tests;
