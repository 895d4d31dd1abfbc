//! The loop that leaves before all columns of `V` are read.

use super::lanes::{GROUP, add_dots, group_of, row_squares};
use super::{ResidualCounters, ResidualModel, ResidualQuery, ResidualRun, check_query};
use crate::covariance::Exponential;
use crate::covariance::lanes::LaneCovariance;
use crate::error::{KernelError, want};
use crate::index::{Idx, idx_len};
use crate::simd::{LANES_F32, LANES_F64, Lanes, OnLanes, Tier, Vector};
use crate::view::panels_len;

/// Columns between two tests of a tail; a test costs about as much as two columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step(pub(super) usize);

impl Step {
    /// A step of `columns`, a positive multiple of 32 (so that the `f32` sums group as in the tiles).
    ///
    /// # Errors
    /// [`KernelError::Value`] for any other number.
    pub const fn new(columns: usize) -> Result<Self, KernelError> {
        if columns == 0 || !columns.is_multiple_of(32) {
            return Err(KernelError::Value { what: "step", at: 0 });
        }
        Ok(Self(columns))
    }

    /// Tests on the way through `columns` columns: one after every step but the last.
    pub const fn tests(self, columns: usize) -> usize {
        columns.div_ceil(self.0).saturating_sub(1)
    }
}

/// Norms of the rests of the rows of `V`, for [`one_to_run_cut`].
///
/// | argument | shape |
/// | --- | --- |
/// | `v` | packed `f64`, `len` points of `model.columns()` columns |
/// | `out` | panels of `T`, `[tests][LANES]`: the norm of all columns after the test's, rounded up; 0 in padding lanes; in `f32` over the prior standard deviation |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::TooLong`] when an index cannot count the points; `out` is
/// then untouched.
///
/// # Cost
/// Reads `v` once.
pub fn tail_norms<T: Exponential>(
    model: &ResidualModel,
    step: Step,
    len: usize,
    v: &[f64],
    out: &mut [T],
) -> Result<(), KernelError> {
    let (columns, tests) = (model.columns(), step.tests(model.columns()));
    idx_len(len)?;
    want("v", panels_len::<f64>(len, columns), v.len())?;
    want("out", panels_len::<T>(len, tests), out.len())?;
    out.fill(T::default());
    let unit = if T::LANES == LANES_F32 { 1.0 / libm::sqrt(model.covariance().variance()) } else { 1.0 };
    for (panel, first) in (0..len).step_by(LANES_F64).enumerate() {
        let panel = &v[panel * columns * LANES_F64..][..columns * LANES_F64];
        let mut squares = [0.0; LANES_F64];
        for test in (0..tests).rev() {
            let rest = (test + 1) * step.0..columns.min((test + 2) * step.0);
            for row in panel[rest.start * LANES_F64..rest.end * LANES_F64].chunks_exact(LANES_F64) {
                for (square, v) in squares.iter_mut().zip(row) {
                    *square += v * v;
                }
            }
            for (position, square) in (first..len).zip(squares) {
                let place = (position / T::LANES * tests + test) * T::LANES + position % T::LANES;
                out[place] = T::from_f64(libm::sqrt(square) * unit * (1.0 + 1e-6)).next_up(); // far above the rounding
            }
        }
    }
    Ok(())
}

/// What the cut adds to the arguments of [`one_to_run`](super::one_to_run).
#[derive(Clone, Copy, Debug)]
pub struct Tails<'a, T> {
    /// Columns between two tests.
    pub step: Step,
    /// `[tests]`: tails of the query.
    pub query: &'a [T],
    /// Panels `[tests][LANES]` of all points of the set: [`tail_norms`].
    pub points: &'a [T],
}

/// Where [`one_to_run_cut`] writes.
#[derive(Debug)]
pub struct CutRows<'o, T> {
    /// `[panels][LANES]`: the filter `r` where all columns were read, else an upper bound of `abs(rho)`.
    pub out: &'o mut [T],
    /// `[panels]`: bit `l` is set where `abs(rho) >= least` is possible; no bit where the loop left early.
    pub masks: &'o mut [u32],
    /// `[panels]`: the columns that decided; fewer than all where the loop left early.
    pub ends: &'o mut [Idx],
}

/// [`one_to_run`](super::one_to_run), leaving a group of panels as soon as all their lanes are below `least`.
///
/// | argument | shape |
/// | --- | --- |
/// | `query`, `points`, `least` | as for `one_to_run` |
/// | `tails` | of the query, and of all points of the set that `points` is a run of |
/// | `rows` | for the panels of the run, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; nothing is written then.
///
/// # Accuracy
/// Where all columns were read, as `one_to_run`. Where not, `out` is never below `|rho|`, and every lane that holds a point is
/// below `least`.
///
/// After `m` columns the rest of a dot product is at most the product of the norms of both rests (Cauchy and Schwarz),
///
/// ```text
/// |rho_ij| <= (|K - first m products| + tail_i(m) tail_j(m)) / sqrt(p_i p_j).
/// ```
///
/// The margin of the whole dot product covers a part of it too (fewer roundings, shorter rows), so the computed bound plus
/// `m_i m_j` is never below `|rho_ij|`. The tails are tested after every `step` columns, never per lane: a group of panels
/// goes on until each of its lanes is below what is wanted.
///
/// # Cost
/// At most that of `one_to_run` and a test per step; see [`ResidualCounters::columns`].
pub fn one_to_run_cut<T: Exponential>(
    tier: Tier,
    query: &ResidualQuery<'_, T>,
    points: &ResidualRun<'_, T>,
    tails: Tails<'_, T>,
    least: f64,
    rows: CutRows<'_, T>,
    counters: &mut ResidualCounters,
) -> Result<(), KernelError> {
    struct Body<'a, 'o, T>(Loop<'a, 'o, T>, CutRows<'o, T>);
    impl<T: Exponential> OnLanes for Body<'_, '_, T> {
        type Out = (u64, u64);
        #[inline(always)]
        fn run<L: Lanes>(self) -> (u64, u64) {
            all_groups::<T, L>(&self.0, self.1)
        }
    }
    let columns = points.points.model.columns();
    let tests = tails.step.tests(columns);
    check_query(query, points)?;
    want("tails.query", tests, tails.query.len())?;
    want("tails.points", panels_len::<T>(points.points.len(), tests), tails.points.len())?;
    want("out", points.count * T::LANES, rows.out.len())?;
    want("masks", points.count, rows.masks.len())?;
    want("ends", points.count, rows.ends.len())?;
    idx_len(columns)?;
    let masks = &mut *rows.masks;
    let rows = CutRows { out: rows.out, masks: &mut *masks, ends: rows.ends };
    let (exits, passed) = tier.run(Body(Loop { query, points, tails, least }, rows));
    counters.filtered += points.len() as u64;
    counters.candidates += masks.iter().map(|mask| u64::from(mask.count_ones())).sum::<u64>();
    counters.early_exits += exits;
    counters.columns += passed;
    Ok(())
}

/// The inputs of the body.
struct Loop<'a, 'o, T> {
    query: &'o ResidualQuery<'a, T>,
    points: &'o ResidualRun<'a, T>,
    tails: Tails<'a, T>,
    least: f64,
}

/// Group by group; returns the panels that were left early, and the panel-columns that were read.
#[inline(always)]
fn all_groups<T: Exponential, L: Lanes>(input: &Loop<'_, '_, T>, rows: CutRows<'_, T>) -> (u64, u64) {
    let (run, columns) = (input.points, input.points.points.model.columns());
    let least = <T::On<L>>::splat(T::from_f64(input.least));
    let (mut exits, mut passed) = (0, 0);
    for first in (0..run.count).step_by(GROUP) {
        let alive = GROUP.min(run.count - first);
        let (values, end) = group::<T, L>(input, first, least);
        passed += (end * alive) as u64;
        exits += if end < columns { alive as u64 } else { 0 };
        for (g, value) in values.iter().enumerate().take(alive) {
            let p = first + g;
            value.store(&mut rows.out[p * T::LANES..]);
            rows.ends[p] = end as Idx; // at most the number of columns, which was checked
            rows.masks[p] = if end < columns {
                0
            } else {
                let (_, margins) = run.scales_and_margins(p);
                let margins = <T::On<L>>::load(margins);
                let most = margins.mul_add(<T::On<L>>::splat(input.query.margin), value.abs());
                !most.lt(least) & run.lanes_in_use(p)
            };
        }
    }
    (exits, passed)
}

/// One group of panels: the filter after all columns, or bounds and the columns after which every lane was below.
#[inline(always)]
fn group<T: Exponential, L: Lanes>(
    input: &Loop<'_, '_, T>,
    first: usize,
    least: T::On<L>,
) -> ([T::On<L>; GROUP], usize) {
    let (run, query) = (input.points, input.query);
    let (columns, step) = (query.v.len(), input.tails.step);
    let zero = <T::On<L>>::splat(T::default());
    let (mut sums, mut values, mut scales) = ([zero; GROUP], [zero; GROUP], [zero; GROUP]);
    for g in 0..GROUP {
        let p = (first + g).min(run.count - 1);
        values[g] = row_squares::<T, L, false>(query.coordinates, run.coordinates(p));
        scales[g] = <T::On<L>>::load(run.scales_and_margins(p).0).mul(<T::On<L>>::splat(query.scale));
    }
    let covariance = LaneCovariance::<T>::new(run.points.model.covariance());
    let covariances = covariance.at::<T::On<L>, GROUP, false>(values);
    let mut passed = 0;
    for test in 0..=step.tests(columns) {
        let part = passed..columns.min(passed + step.0);
        let mut panels = group_of(run, first);
        for panel in &mut panels {
            *panel = &panel[part.start * T::LANES..part.end * T::LANES];
        }
        passed = part.end;
        sums = add_dots::<T, L, GROUP, false>(sums, &query.v[part], panels);
        let whole = passed == columns;
        let mut open = false;
        for g in 0..GROUP {
            let p = (first + g).min(run.count - 1);
            let rest = covariances[g].sub(sums[g]);
            if whole {
                values[g] = rest.mul(scales[g]);
                continue;
            }
            let tests = step.tests(columns);
            let tails = &input.tails.points[((run.first + p) * tests + test) * T::LANES..];
            let tail = <T::On<L>>::load(tails).mul(<T::On<L>>::splat(input.tails.query[test]));
            let margins = <T::On<L>>::load(run.scales_and_margins(p).1).mul(<T::On<L>>::splat(query.margin));
            values[g] = rest.abs().add(tail).mul_add(scales[g], margins);
            open |= !values[g].lt(least) & run.lanes_in_use(p) != 0;
        }
        if !whole && !open {
            return (values, passed);
        }
    }
    (values, columns)
}
