//! Bounds between the points of two clusters, from the correlations of their landmarks alone.
//!
//! # The bound
//! Write every member of a cluster as a combination of the cluster's landmarks and a rest, `u_x = c_x + e_x` with `c_x = sum over s of
//! w_xs u_s`. *Any* weights do; a good choice makes the angle between `u_x` and `c_x` small. With `h_x` its cosine and `t_x` its sine
//! (in units of `|u_x|`), and with the correlations `R` of the landmarks of two clusters, for `x` in the one and `y` in the other
//!
//! ```text
//! |rho_xy| <= |w_x' R w_y| + h_x t_y + t_x h_y.
//! ```
//!
//! *Why.* Let `a` and `b` be the two angles and `g` the cosine of the one between `c_x` and `c_y` (of `c_x` and `-c_y`, if that is
//! smaller). Angles obey the triangle inequality, so that `u_x` and `u_y` are at least `acos(g) - (a + b)` apart, and for `a + b` up
//! to a right angle
//!
//! ```text
//! |u_x.u_y| <= |u_x| |u_y| (g cos(a + b) + sin(a + b))
//! ```
//!
//! (where `acos(g) < a + b`, the right side is at least `cos^2 + sin`, and so at least 1). `sin(a + b) = h_x t_y + t_x h_y`, and
//! `g cos(a + b) |u_x| |u_y| <= |c_x.c_y|` if `h_x |u_x| <= |c_x|`, for which `h_x` is lowered where it has to be. For an angle beyond
//! 45 degrees `h_x` is taken as 1: if then `a + b` is more than a right angle, `t_x >= h_y` or `t_x, t_y >= 1 / sqrt(2)`, and the
//! sum is at least 1. All of this holds for larger angles than the true ones, too. It is attained: by vectors in one plane, where
//! `c_x` and `c_y` are orthogonal.
//!
//! A pair of clusters costs as many dot products of rows of `V` as the product of its numbers of landmarks, and a few
//! dozen multiply-adds per pair of points.
//!
//! # Why a computed bound is never below the truth
//! The model is that of [landmarks](super): vectors `u` and factors `mu` with `1 <= |u_x|^2 <= 1 + mu_x^2`, and correlations of
//! different points that are given or published within `mu_x mu_y` of `u_x.u_y`. The weights are numbers of `f32`, taken as they
//! are: that a solver rounded them makes them other weights, not wrong ones.
//!
//! *Spans and tails* ([`combine`]), `h |u|` and `t |u|`, come from correlations `r` inside the cluster. With `W = sum over s of
//! |w_xs| mu_s`,
//!
//! ```text
//! u_x.c_x >= sum over s of w_s r_xs - mu_x W,      | |c_x|^2 - sum over s, s' of w_s w_s' r_ss' | <= W^2      (with r_ss = 1),
//! ```
//!
//! for each `r_ss'` is off by at most `mu_s mu_s'`, `|u_s|^2` by at most `mu_s^2`, and each `r_xs` by at most `mu_x mu_s`. Sums of `f64`
//! with `k` landmarks add `gamma_(2k+6) (1 + m sum |w|)^2`, where `m >= 1` is the largest `|r|`. The cosine is the quotient of the
//! first by the largest `|c_x|` and by `|u_x|`, at most `sqrt(1 + mu_x^2)`; the smallest `|c_x|` over the latter is its other limit. A
//! landmark is itself, with no rest.
//!
//! *Errors* ([`combination_errors`]). The elements of `R` come from a tile, whose factors `mu'` may be larger than `mu` (it was
//! computed in `f32`, say). They change the product by at most `A_x A_y`, `A_x = sum over s of |w_xs| mu'_s`; the published
//! correlation is within `mu_x mu_y` of the true product. By Cauchy and Schwarz both together are at most `E_x E_y` with
//! `E_x^2 = A_x^2 + mu_x^2`.
//!
//! *The product* `w_x' R w_y` is computed in `f32`, elements of `R` rounded to it. Each term passes at most `n = k_S + k_T + 4`
//! roundings, so the error is at most `gamma_n m |w_x|_1 |w_y|_1`, `m` the largest element: [`bounds_between`] adds this. Where
//! an element is not finite, nothing is ruled out. Without the product, `m |w_x|_1 |w_y|_1` bounds it: that is tried first, with the
//! largest terms of sixteen members of the other cluster at once ([`panel_terms`]), each way for the points that come later.
//!
//! *The sum* of the terms, none of them negative, passes fewer than 16 roundings: it is multiplied by `1 + 2^-19`. Products that
//! underflow lose at most `2^-126` each, far below `E_x E_y`, which is at least `40 * 2^-53`.

mod lanes;

use super::points::up;
use super::{Frame, LANDMARKS_MAX, LandmarkCounters};
use crate::arena::{Arena, blocks};
use crate::covariance::Exponential;
use crate::dist::form::gamma;
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::{LANES_F32, Lanes, OnLanes, Real, Tier};
use crate::view::panels_len;

/// Members of a cluster as combinations of its landmarks.
///
/// | field | shape |
/// | --- | --- |
/// | `weights` | panels `[count][16]` |
/// | `sums` | `[panels][16]`: sums of the absolute weights, rounded up |
/// | `spans`, `tails` | `[panels][16]`: `h` and `t` of the [module](self), times the length of the member, rounded up; infinite where not known |
#[derive(Clone, Copy, Debug)]
pub struct Combined<'a> {
    count: usize,
    len: usize,
    weights: &'a [f32],
    sums: &'a [f32],
    spans: &'a [f32],
    tails: &'a [f32],
}

/// Memory for `len` members and `count` landmarks, with the shapes of [`Combined`].
#[derive(Debug)]
pub struct CombinedMemory<'o> {
    /// Panels `[count][16]`.
    pub weights: &'o mut [f32],
    /// `[panels][16]`.
    pub sums: &'o mut [f32],
    /// `[panels][16]`.
    pub spans: &'o mut [f32],
    /// `[panels][16]`.
    pub tails: &'o mut [f32],
}

impl<'a> Combined<'a> {
    /// A view of what [`combine`] wrote.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when a length does not fit, [`KernelError::TooLong`], [`KernelError::Most`] when `count` is
    /// above [`LANDMARKS_MAX`].
    pub fn new(
        weights: &'a [f32],
        [sums, spans, tails]: [&'a [f32]; 3],
        len: usize,
        count: usize,
    ) -> Result<Self, KernelError> {
        idx_len(len)?;
        if count > LANDMARKS_MAX {
            return Err(KernelError::Most { what: "count", most: LANDMARKS_MAX, got: count });
        }
        let lanes = panels_len::<f32>(len, 1);
        want("weights", panels_len::<f32>(len, count), weights.len())?;
        want("sums", lanes, sums.len())?;
        want("spans", lanes, spans.len())?;
        want("tails", lanes, tails.len())?;
        Ok(Self { count, len, weights, sums, spans, tails })
    }

    /// Number of members.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no members.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of landmarks.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Number of panels.
    pub const fn panels(&self) -> usize {
        self.len.div_ceil(LANES_F32)
    }

    /// The weight of landmark `s` in a member.
    pub fn weight(&self, member: usize, s: usize) -> f32 {
        self.weights[(member / LANES_F32 * self.count + s) * LANES_F32 + member % LANES_F32]
    }

    /// Sum of the absolute weights, span and tail of a member.
    pub fn extent(&self, member: usize) -> [f32; 3] {
        [self.sums[member], self.spans[member], self.tails[member]]
    }
}

/// A cluster as it was chosen, for [`combine`].
#[derive(Clone, Copy, Debug)]
pub struct ChosenCluster<'a> {
    /// From [`choose`](super::choose).
    pub frame: &'a Frame,
    /// `[stride][stride]`, from `choose`.
    pub factor: &'a [f64],
    /// `[members][stride]`, from `choose`.
    pub coordinates: &'a [f64],
    /// `[members][lanes]`, `lanes` at least the number of members: correlations of all members, not cut; the diagonal is not
    /// read.
    pub rho: &'a [f64],
    /// `[members]`: the factors `mu` of `rho`.
    pub errors: &'a [f64],
}

/// Writes the members of a cluster as combinations of its landmarks, by the factor that [`choose`](super::choose) made.
///
/// | argument | shape |
/// | --- | --- |
/// | `order` | `[members]`: which member comes at each place; the landmarks come first, in their order |
/// | `memory` | for as many members and `frame.count()` landmarks, overwritten; padding lanes hold zeros |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit or there are fewer members than landmarks, [`KernelError::Key`] for a
/// place of `order` that is no member; nothing is
/// written then.
///
/// # Accuracy
/// Spans and tails are never too small, as derived in the [module](self).
///
/// # Cost
/// `2 count^2` multiply-adds per member.
pub fn combine(cluster: &ChosenCluster<'_>, order: &[Idx], memory: &mut CombinedMemory<'_>) -> Result<(), KernelError> {
    let (members, frame) = (order.len(), cluster.frame);
    let lanes = cluster.rho.len().checked_div(members).unwrap_or(0);
    want("order", members.max(frame.count), members)?;
    want("factor", frame.stride * frame.stride, cluster.factor.len())?;
    want("coordinates", members.saturating_mul(frame.stride), cluster.coordinates.len())?;
    want("rho", members.saturating_mul(lanes.max(members)), cluster.rho.len())?;
    want("errors", members, cluster.errors.len())?;
    want("weights", panels_len::<f32>(members, frame.count), memory.weights.len())?;
    for (what, got) in [("sums", &memory.sums), ("spans", &memory.spans), ("tails", &memory.tails)] {
        want(what, panels_len::<f32>(members, 1), got.len())?;
    }
    if let Some(place) = order.iter().position(|&member| member < 0 || at(member) >= members) {
        return Err(KernelError::Key { at: idx_len(place)?, key: order[place], limit: idx_len(members)? });
    }
    memory.weights.fill(0.0);
    for values in [&mut memory.sums, &mut memory.spans, &mut memory.tails] {
        values.fill(0.0);
    }
    let inside = Inside { cluster, landmarks: &order[..frame.count], lanes };
    for (place, &member) in order.iter().enumerate() {
        let weights = inside.weights(place, at(member));
        let panel = &mut memory.weights[place / LANES_F32 * frame.count * LANES_F32..];
        for (s, &weight) in weights[..frame.count].iter().enumerate() {
            panel[s * LANES_F32 + place % LANES_F32] = weight;
        }
        let [sum, span, tail] = inside.extent(place, at(member), &weights[..frame.count]);
        (memory.sums[place], memory.spans[place], memory.tails[place]) = (up(sum), up(span), up(tail));
    }
    Ok(())
}

/// A cluster seen from its landmarks.
struct Inside<'a> {
    cluster: &'a ChosenCluster<'a>,
    landmarks: &'a [Idx],
    lanes: usize,
}

impl Inside<'_> {
    fn rho(&self, s: usize, member: usize) -> f64 {
        self.cluster.rho[at(self.landmarks[s]) * self.lanes + member]
    }

    /// The weights of a member: its own for a landmark, else by substitution; none where these are not finite.
    fn weights(&self, place: usize, member: usize) -> [f32; LANDMARKS_MAX] {
        let (count, stride) = (self.landmarks.len(), self.cluster.frame.stride);
        let mut weights = [0.0; LANDMARKS_MAX];
        if place < count {
            weights[place] = 1.0;
            return weights;
        }
        let coordinates = &self.cluster.coordinates[member * stride..][..count];
        let mut solved = [0.0; LANDMARKS_MAX];
        for s in (0..count).rev() {
            let mut rest = coordinates[s];
            for j in s + 1..count {
                rest -= self.cluster.factor[j * stride + s] * solved[j];
            }
            solved[s] = rest / self.cluster.factor[s * stride + s];
        }
        if solved.iter().fold(0.0, |sum, w| sum + libm::fabs(*w)) <= 1e6 {
            for (weight, &solved) in weights.iter_mut().zip(&solved) {
                *weight = solved as f32; // any weights do
            }
        }
        weights
    }

    /// Sum of the absolute weights, span and tail, by the derivation in the [module](self), not yet rounded up.
    fn extent(&self, place: usize, member: usize, weights: &[f32]) -> [f64; 3] {
        let mu = self.cluster.errors[member];
        if place < weights.len() {
            return [1.0, libm::sqrt(1.0 + mu * mu) * (1.0 + 1e-12), 0.0];
        }
        let (mut sum, mut error, mut most) = (0.0, 0.0, 1.0f64);
        let (mut square, mut product) = (0.0, 0.0);
        for (s, weight) in weights.iter().map(|&weight| f64::from(weight)).enumerate() {
            sum += libm::fabs(weight);
            error += libm::fabs(weight) * self.cluster.errors[at(self.landmarks[s])];
            let mut inner = weight;
            for (j, &other) in weights.iter().enumerate().filter(|(j, _)| *j != s) {
                let rho = self.rho(s, at(self.landmarks[j]));
                inner += f64::from(other) * rho;
                most = most.max(libm::fabs(rho));
            }
            let rho = self.rho(s, member);
            square += weight * inner;
            product += weight * rho;
            most = most.max(libm::fabs(rho));
        }
        let roundings = gamma(2 * weights.len() + 6, f64::ROUNDOFF) * (1.0 + most * sum) * (1.0 + most * sum);
        if !(sum.is_finite() && square.is_finite() && product.is_finite()) {
            return [f64::INFINITY; 3];
        }
        let off = error * error + roundings;
        let own = 1.0 + mu * mu;
        let along = (product - mu * error - roundings).max(0.0);
        let cosine_square = (along * along / (own * (square + off))).min((square - off).max(0.0) / own) * (1.0 - 1e-14);
        let sine_square = (1.0 - cosine_square).max(0.0) + 1e-15;
        let root = |square: f64| libm::sqrt(own * square) * (1.0 + 1e-9);
        let span = if sine_square <= 0.5 { cosine_square } else { 1.0 };
        [sum * (1.0 + 1e-9), root(span), root(sine_square)]
    }
}

/// What errors of the landmarks' correlations, and those of the members themselves, do to the bounds of each member.
///
/// | argument | shape |
/// | --- | --- |
/// | `errors` | `[members]`: the factors `mu`, in the order of the members |
/// | `tile_errors` | `[members]`: the factors of the tile that computes the correlations of landmarks |
/// | `out` | `[panels][16]`, overwritten; padding lanes hold zeros |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; `out` is then untouched.
///
/// # Cost
/// `count` multiply-adds per member.
pub fn combination_errors(
    members: &Combined<'_>,
    errors: &[f64],
    tile_errors: &[f64],
    out: &mut [f32],
) -> Result<(), KernelError> {
    want("errors", members.len, errors.len())?;
    want("tile errors", members.len, tile_errors.len())?;
    want("out", members.sums.len(), out.len())?;
    out.fill(0.0);
    for (member, out) in out.iter_mut().enumerate().take(members.len) {
        let of = |s: usize| libm::fabs(f64::from(members.weight(member, s))) * tile_errors[s];
        let sum = (0..members.count).fold(0.0, |sum, s| sum + of(s));
        *out = up(libm::sqrt(sum * sum + errors[member] * errors[member]) * (1.0 + 1e-9));
    }
    Ok(())
}

/// The largest terms of a bound among sixteen members, and the first of their ranks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PanelTerms {
    sum: f32,
    span: f32,
    tail: f32,
    error: f32,
    first: f32,
}

impl Default for PanelTerms {
    /// Terms that rule nothing out.
    fn default() -> Self {
        let infinity = f32::INFINITY;
        Self { sum: infinity, span: infinity, tail: infinity, error: infinity, first: -infinity }
    }
}

/// Finds the largest terms of each panel of members, which rule out sixteen members and a panel of others at once.
///
/// | argument | shape |
/// | --- | --- |
/// | `errors` | `[panels][16]`, from [`combination_errors`] |
/// | `ranks` | `[panels][16]`, as for [`bounds_between`] |
/// | `out` | `[panels]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; `out` is then untouched.
///
/// # Cost
/// Reads each number once. Members whose ranks are near should share a panel: what comes early wants little correlation, but of
/// few points.
pub fn panel_terms(
    members: &Combined<'_>,
    errors: &[f32],
    ranks: &[f32],
    out: &mut [PanelTerms],
) -> Result<(), KernelError> {
    want("errors", members.sums.len(), errors.len())?;
    want("ranks", members.sums.len(), ranks.len())?;
    want("out", members.panels(), out.len())?;
    // Where one is no number, nothing is ruled out.
    let larger = |most: f32, value: f32| match value.is_nan() {
        true => f32::INFINITY,
        false => most.max(value),
    };
    for (panel, out) in out.iter_mut().enumerate() {
        *out = PanelTerms { sum: 0.0, span: 0.0, tail: 0.0, error: 0.0, first: f32::INFINITY };
        for member in panel * LANES_F32..members.len.min((panel + 1) * LANES_F32) {
            out.sum = larger(out.sum, members.sums[member]);
            out.span = larger(out.span, members.spans[member]);
            out.tail = larger(out.tail, members.tails[member]);
            out.error = larger(out.error, errors[member]);
            out.first = out.first.min(ranks[member]);
        }
    }
    Ok(())
}

/// One side of [`bounds_between`].
#[derive(Clone, Copy, Debug)]
pub struct BetweenSide<'a> {
    /// The members.
    pub members: Combined<'a>,
    /// `[panels][16]`, from [`combination_errors`].
    pub errors: &'a [f32],
    /// `[panels][16]`: ranks in an order; rounded ones will do if rounding keeps them ascending.
    pub ranks: &'a [f32],
    /// `[panels][16]`: the smallest `abs(rho)` that the member wants, rounded down; infinity where nothing is wanted.
    pub least: &'a [f32],
    /// `[panels]`, from [`panel_terms`] of the same members, errors and ranks.
    pub terms: &'a [PanelTerms],
}

impl BetweenSide<'_> {
    fn check(&self) -> Result<(), KernelError> {
        let lanes = self.members.sums.len();
        want("errors of a side", lanes, self.errors.len())?;
        want("ranks of a side", lanes, self.ranks.len())?;
        want("least of a side", lanes, self.least.len())?;
        want("terms of a side", self.members.panels(), self.terms.len())
    }
}

/// Correlations of the landmarks of two clusters, in a larger table.
#[derive(Clone, Copy, Debug)]
pub struct CrossTable<'a, T> {
    /// Row `s` begins at `s * stride`.
    pub rho: &'a [T],
    /// Elements from one row to the next.
    pub stride: usize,
}

/// Blocks of scratch that [`bounds_between`] takes.
pub const fn bounds_between_blocks(row_landmarks: usize) -> usize {
    blocks::<f32>(row_landmarks.saturating_mul(LANES_F32))
}

/// Marks the pairs of two clusters that the correlations of their landmarks do not rule out. A pair counts for its later
/// point by rank, for both if the ranks are equal. Returns how many pairs are marked.
///
/// | argument | shape |
/// | --- | --- |
/// | `table` | `rows.count()` rows of `columns.count()` or more elements: correlations *not cut* |
/// | `masks` | `[rows.len()][column panels]`, overwritten: bit `l` is set where the pair is not ruled out |
/// | `arena` | [`bounds_between_blocks`]`(rows.count())`, given back |
/// | `counters` | the pairs of panels are added, those ruled out, and the panels multiplied; no pairs of points |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Least`] when the table is too small,
/// [`KernelError::Scratch`] when the arena has less than [`bounds_between_blocks`]; nothing is written then.
///
/// # Accuracy
/// A clear bit proves `|rho|` to be below what each point wants for which the pair counts, as derived in the [module](self).
/// Which further bits are set may differ between tiers.
///
/// # Cost
/// `rows.count() * (columns.count() + rows.len()) * columns.len()` multiply-adds in `f32` at most; a dozen operations on vectors
/// for sixteen rows and a panel of columns where the largest terms of either rule out all that the other wants.
pub fn bounds_between<T: Exponential>(
    tier: Tier,
    rows: &BetweenSide<'_>,
    columns: &BetweenSide<'_>,
    table: CrossTable<'_, T>,
    masks: &mut [u32],
    arena: &mut Arena<'_>,
    counters: &mut LandmarkCounters,
) -> Result<u64, KernelError> {
    struct Body<'a, 'o, T>(lanes::Between<'a, 'o, T>);
    impl<T: Exponential> OnLanes for Body<'_, '_, T> {
        type Out = (u64, LandmarkCounters);
        #[inline(always)]
        fn run<L: Lanes>(mut self) -> (u64, LandmarkCounters) {
            lanes::between::<T, L>(&mut self.0)
        }
    }
    rows.check()?;
    columns.check()?;
    let (count, width) = (rows.members.count, columns.members.count);
    want("stride", table.stride.max(width), table.stride)?;
    let least = if count == 0 { 0 } else { (count - 1).saturating_mul(table.stride).saturating_add(width) };
    if table.rho.len() < least {
        return Err(KernelError::Least { what: "table", least, got: table.rho.len() });
    }
    want("masks", rows.members.len.saturating_mul(columns.members.panels()), masks.len())?;
    let mut arena = arena.scope();
    let products = arena.take::<f32>(count * LANES_F32)?;
    let (kept, work) = tier.run(Body(lanes::Between { rows, columns, table, masks, products }));
    counters.merge(&work);
    Ok(kept)
}
