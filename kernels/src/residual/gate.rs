//! Gates: a cheap test before the exact distance, calibrated on pairs and *not* proven.
//!
//! A gate looks at the Euclidean distance `f` between *features* of two points, in `f32`: rows of `V`, or their first columns
//! (the whitened distance), or scaled coordinates. For a residual radius `r` it lets a pair pass when `f <= threshold(r)`:
//!
//! - *whitened*: `threshold(r) = slope * r + margin`;
//! - *lookup*: `threshold(r) = table[bin of r] + margin`.
//!
//! Above the radius cap both let everything pass, for the calibration saw nothing there. Distances between rows of `V` say
//! nothing certain about the residual (they describe the part that is *explained*), so a gate makes a query approximate: it
//! is calibrated on residual distances themselves ([`profile_pairs`], [`profile_thresholds`], [`profile_slope`]) and audited
//! ([`gate_audit`] counts the neighbours that it lost). [`gate_run`] tests one query at one radius, [`gate_block`] the pairs of two
//! leaves, in which every point has a radius of its own.
//!
//! No operation is fused, so that a gate gives the same answer on every tier.

use super::Counting;
use crate::arena::{Arena, blocks};
use crate::dist::SquaredEuclidean;
use crate::error::{KernelError, want};
use crate::simd::{LANES_F32, LANES_F64, Lanes, OnLanes, Real, Tier, Vector};
use crate::view::{Panels, Rows, panels_len};

/// Work done by gates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GateCounters {
    /// Pairs that came to the gate.
    pub gate1_candidates: u64,
    /// Of these, pairs that it dropped.
    pub residual_pruned_by_gate1: u64,
    /// Dropped pairs that an audit found within the radius.
    pub gate1_false_negatives: u64,
}

impl GateCounters {
    /// Adds another count.
    pub fn merge(&mut self, other: &Self) {
        self.gate1_candidates += other.gate1_candidates;
        self.residual_pruned_by_gate1 += other.residual_pruned_by_gate1;
        self.gate1_false_negatives += other.gate1_false_negatives;
    }
}

/// How a radius becomes a threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GateRule<'a> {
    /// `slope * radius`.
    Whitened {
        /// At least 0.
        slope: f64,
    },
    /// `table[b]` for radii in `(b w, (b + 1) w]`, `w = radius_cap / table.len()`; radius 0 belongs to the first.
    Lookup {
        /// Not empty, each at least 0; infinity lets everything pass.
        table: &'a [f64],
    },
}

/// A calibrated gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate<'a> {
    rule: GateRule<'a>,
    margin: f64,
    radius_cap: f64,
}

impl<'a> Gate<'a> {
    /// A gate that adds `margin` (at least 0) to every threshold and is open for radii above `radius_cap` (above 0).
    ///
    /// # Errors
    /// [`KernelError::Value`] naming `slope`, `table`, `margin` or `radius_cap` (with the first bad element) for a number that
    /// is negative or NaN, [`KernelError::Least`] for an empty table.
    pub fn new(rule: GateRule<'a>, margin: f64, radius_cap: f64) -> Result<Self, KernelError> {
        match rule {
            GateRule::Whitened { slope } if slope >= 0.0 => {}
            GateRule::Whitened { .. } => return Err(KernelError::Value { what: "slope", at: 0 }),
            GateRule::Lookup { table: [] } => return Err(KernelError::Least { what: "table", least: 1, got: 0 }),
            GateRule::Lookup { table } => {
                if let Some(at) = table.iter().position(|value| value.is_nan() || *value < 0.0) {
                    return Err(KernelError::Value { what: "table", at });
                }
            }
        }
        if margin.is_nan() || margin < 0.0 {
            return Err(KernelError::Value { what: "margin", at: 0 });
        }
        if radius_cap.is_nan() || radius_cap <= 0.0 {
            return Err(KernelError::Value { what: "radius_cap", at: 0 });
        }
        Ok(Self { rule, margin, radius_cap })
    }

    /// The largest feature distance that passes for pairs within `radius`.
    pub fn threshold(&self, radius: f64) -> f64 {
        if radius.is_nan() || radius > self.radius_cap {
            return f64::INFINITY;
        }
        let base = match self.rule {
            GateRule::Whitened { slope } if radius > 0.0 => slope * radius,
            GateRule::Whitened { .. } => 0.0, // an infinite slope times 0 is no number
            GateRule::Lookup { table } => table[bin(radius, self.radius_cap, table.len())],
        };
        base + self.margin
    }
}

/// The square of a [threshold](Gate::threshold), as squared feature distances are compared with it: one that leaves the range
/// of `f32` becomes its largest number, so that only infinity lets a pair pass whose square overflows. A threshold that is NaN
/// says nothing, and lets everything pass.
pub fn gate_square(threshold: f64) -> f32 {
    match threshold {
        f64::INFINITY => f32::INFINITY,
        _ if threshold.is_nan() => f32::INFINITY,
        _ => f32::from_f64((threshold * threshold).min(f64::from(f32::MAX))),
    }
}

/// The bin of a radius up to `cap`: `(b w, (b + 1) w]`.
fn bin(radius: f64, cap: f64, bins: usize) -> usize {
    let place = libm::ceil(radius / cap * bins as f64) - 1.0;
    (place.max(0.0) as usize).min(bins - 1) // saturates, then lies in range
}

/// Tests one query against packed features.
///
/// | argument | shape |
/// | --- | --- |
/// | `threshold` | from [`Gate::threshold`] |
/// | `query`, `features` | `[columns]`; packed, `columns` columns |
/// | `squares` | `[panels][LANES]`, overwritten: squared feature distances; padding lanes hold anything |
/// | `masks` | `[panels]`, overwritten: bit `l` is set where the pair passes |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; nothing is written then.
///
/// # Accuracy
/// `sqrt(sum) <= threshold` up to the rounding of the sum (a relative `(columns + 3) 2^-24`) and of the threshold's square.
///
/// # Cost
/// Three operations per column and pair.
pub fn gate_run(
    tier: Tier,
    threshold: f64,
    query: &[f32],
    features: Panels<'_, f32>,
    squares: &mut [f32],
    masks: &mut [u32],
    counters: &mut GateCounters,
) -> Result<(), KernelError> {
    struct Body<'a>(f32, &'a [f32], &'a [f32], &'a mut [f32], &'a mut [u32]);
    impl OnLanes for Body<'_> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            let Body(most, query, features, squares, masks) = self;
            crate::dist::lanes::one_to_run::<f32, SquaredEuclidean, L, true>(query, features, squares);
            let most = L::F32::splat(most);
            for (mask, row) in masks.iter_mut().zip(squares.chunks_exact(LANES_F32)) {
                *mask = L::F32::load(row).le(most);
            }
        }
    }
    let lanes = panels_len::<f32>(features.len(), 1);
    want("query", features.dim(), query.len())?;
    want("squares", lanes, squares.len())?;
    want("masks", lanes / LANES_F32, masks.len())?;
    tier.run(Body(gate_square(threshold), query, features.data(), squares, masks));
    if let (Some(last), used) = (masks.last_mut(), features.len() % LANES_F32) {
        *last &= if used == 0 { u32::MAX } else { (1 << used) - 1 };
    }
    let passed: u64 = masks.iter().map(|mask| u64::from(mask.count_ones())).sum();
    counters.gate1_candidates += features.len() as u64;
    counters.residual_pruned_by_gate1 += features.len() as u64 - passed;
    Ok(())
}

/// One side of a block of pairs.
#[derive(Clone, Copy, Debug)]
pub struct GateSide<'a> {
    /// `[len]`, for the columns in whole panels of 16: [`gate_square`] of each point's own threshold; below 0 where the point
    /// wants nothing.
    pub squares: &'a [f32],
    /// `[len]`, for the columns in whole panels of 8: ranks in the order, exact in `f64`.
    pub ranks: &'a [f64],
}

/// Pairs of some points with some others, each of which has a radius of its own.
#[derive(Clone, Copy, Debug)]
pub struct GatePairs<'a> {
    /// Features of the rows.
    pub queries: Rows<'a, f32>,
    /// Features of the columns.
    pub features: Panels<'a, f32>,
    /// The side of the rows.
    pub rows: GateSide<'a>,
    /// The side of the columns.
    pub columns: GateSide<'a>,
}

/// Blocks of scratch that [`gate_block`] takes for `len` columns.
pub const fn gate_block_blocks(len: usize) -> usize {
    blocks::<f32>(panels_len::<f32>(len, 1))
}

/// Tests pairs for both of their points: one passes where the gate of either point lets it.
///
/// | argument | shape |
/// | --- | --- |
/// | `pairs` | as many features on both sides |
/// | `counting` | with [`Counting::Earlier`], only the point of the higher rank is asked |
/// | `masks` | `[rows][panels of 8]`, overwritten: bit `l` is set where the pair passes |
/// | `arena` | [`gate_block_blocks`] of the columns, given back |
/// | `counters` | all pairs are candidates, and pruned is what does not pass, for whichever reason |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Scratch`] when the arena has less than
/// [`gate_block_blocks`]; `masks` are then untouched.
///
/// # Accuracy
/// That of [`gate_run`]; the same bits on every tier.
///
/// # Cost
/// Three operations per feature and pair, and a few per vector of pairs. Returns how many pairs pass.
pub fn gate_block(
    tier: Tier,
    pairs: &GatePairs<'_>,
    counting: Counting,
    masks: &mut [u32],
    arena: &mut Arena<'_>,
    counters: &mut GateCounters,
) -> Result<u64, KernelError> {
    struct Body<'a, 'o>(&'o GatePairs<'a>, bool, &'o mut [f32], &'o mut [u32]);
    impl OnLanes for Body<'_, '_> {
        type Out = u64;
        #[inline(always)]
        fn run<L: Lanes>(self) -> u64 {
            block::<L>(self.0, self.1, self.2, self.3)
        }
    }
    let (rows, columns) = (pairs.queries.len(), pairs.features.len());
    let (wide, narrow) = (panels_len::<f64>(columns, 1), panels_len::<f32>(columns, 1));
    want("queries", pairs.features.dim(), pairs.queries.dim())?;
    let sides = [
        ("squares of the rows", rows, pairs.rows.squares.len()),
        ("ranks of the rows", rows, pairs.rows.ranks.len()),
        ("squares of the columns", narrow, pairs.columns.squares.len()),
        ("ranks of the columns", wide, pairs.columns.ranks.len()),
    ];
    for (what, least, got) in sides {
        want(what, least.max(got), got)?;
    }
    want("masks", rows.saturating_mul(wide / LANES_F64), masks.len())?;
    let mut arena = arena.scope();
    let squares = arena.take::<f32>(narrow)?;
    let passed = tier.run(Body(pairs, counting == Counting::Earlier, squares, masks));
    let candidates = rows as u64 * columns as u64; // widens
    counters.gate1_candidates += candidates;
    counters.residual_pruned_by_gate1 += candidates - passed;
    Ok(passed)
}

#[inline(always)]
fn block<L: Lanes>(pairs: &GatePairs<'_>, earlier: bool, squares: &mut [f32], masks: &mut [u32]) -> u64 {
    const HALF: u32 = (1 << LANES_F64) - 1;
    let (columns, mut passed) = (pairs.features.len(), 0);
    let wide = columns.div_ceil(LANES_F64);
    for (row, masks) in masks.chunks_exact_mut(wide.max(1)).enumerate() {
        let query = pairs.queries.row(row);
        crate::dist::lanes::one_to_run::<f32, SquaredEuclidean, L, true>(query, pairs.features.data(), squares);
        let most = L::F32::splat(pairs.rows.squares[row]);
        let rank = L::F64::splat(pairs.rows.ranks[row]);
        for (panel, mask) in masks.iter_mut().enumerate() {
            let (first, lane) = (panel * LANES_F64, panel * LANES_F64 / LANES_F32 * LANES_F32);
            let (square, half) = (L::F32::load(&squares[lane..]), (first - lane) as u32); // 0 or 8
            let for_row = square.le(most) >> half & HALF;
            let for_column = square.le(L::F32::load(&pairs.columns.squares[lane..])) >> half & HALF;
            let bits = if earlier {
                let ranks = L::F64::load(&pairs.columns.ranks[first..]);
                (for_row & ranks.lt(rank)) | (for_column & rank.lt(ranks))
            } else {
                for_row | for_column
            };
            *mask = bits & (HALF >> (LANES_F64 - (columns - first).min(LANES_F64)));
            passed += u64::from(mask.count_ones());
        }
    }
    passed
}

/// Counts the pairs of one query that a gate dropped although their exact distance is within the radius.
///
/// | argument | shape |
/// | --- | --- |
/// | `masks` | `[panels of T]`: for `f32` from [`gate_run`], for `f64` one row from [`gate_block`], whose panels are of 8 |
/// | `distances` | `[len]`: exact residual distances of the same pairs; infinity for a pair that does not count for the query |
/// | `radius` | the one that the gate was asked for |
/// | `counters` | what was lost is added |
///
/// Returns how many pairs were lost.
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit; nothing is counted then.
///
/// # Cost
/// Reads everything once.
pub fn gate_audit<T: Real>(
    masks: &[u32],
    distances: &[f64],
    radius: f64,
    counters: &mut GateCounters,
) -> Result<u64, KernelError> {
    want("masks", distances.len().div_ceil(T::LANES), masks.len())?;
    let mut lost = 0;
    for (mask, distances) in masks.iter().zip(distances.chunks(T::LANES)) {
        for (lane, distance) in distances.iter().enumerate() {
            lost += u64::from(mask >> lane & 1 == 0 && *distance <= radius);
        }
    }
    counters.gate1_false_negatives += lost;
    Ok(lost)
}

/// The bins of a profile: pairs counted by residual distance and by feature distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateBins {
    /// Bins of `(0, radius_cap]`; pairs beyond the cap are not counted.
    pub radii: usize,
    /// Above 0.
    pub radius_cap: f64,
    /// Bins of `[0, feature_cap)`; the last one also holds everything beyond.
    pub features: usize,
    /// Above 0.
    pub feature_cap: f64,
}

impl GateBins {
    fn check(&self, counts: usize) -> Result<(), KernelError> {
        if self.radii == 0 || self.features == 0 {
            return Err(KernelError::Least { what: "bins", least: 1, got: 0 });
        }
        for (what, cap) in [("radius_cap", self.radius_cap), ("feature_cap", self.feature_cap)] {
            if cap.is_nan() || cap <= 0.0 {
                return Err(KernelError::Value { what, at: 0 });
            }
        }
        want("counts", self.radii.saturating_mul(self.features), counts)
    }
}

/// Counts pairs into a profile.
///
/// | argument | shape |
/// | --- | --- |
/// | `bins` | not empty, with caps above 0 |
/// | `squares` | `[len]`: squared feature distances, from [`gate_run`] |
/// | `distances` | `[len]`: exact residual distances of the same pairs |
/// | `counts` | `[radii][features]`, added to |
///
/// # Errors
/// [`KernelError::Shape`] when a length does not fit, [`KernelError::Least`] for no bins, [`KernelError::Value`] for a cap
/// that is not above 0; nothing is counted then.
///
/// # Cost
/// A square root and two divisions per pair within the cap.
pub fn profile_pairs(
    bins: GateBins,
    squares: &[f32],
    distances: &[f64],
    counts: &mut [u64],
) -> Result<(), KernelError> {
    bins.check(counts.len())?;
    want("squares", distances.len(), squares.len())?;
    for (square, &distance) in squares.iter().zip(distances) {
        if distance <= bins.radius_cap {
            let feature = libm::sqrt(f64::from(*square)) / bins.feature_cap * bins.features as f64;
            let feature = (feature as usize).min(bins.features - 1); // saturates, then lies in range
            counts[bin(distance, bins.radius_cap, bins.radii) * bins.features + feature] += 1;
        }
    }
    Ok(())
}

/// Turns a profile into the table of a lookup gate: for each radius the smallest threshold that keeps the share `recall`
/// of all counted pairs within it. Infinity where nothing was counted, or where the last bin is needed.
///
/// | argument | shape |
/// | --- | --- |
/// | `bins` | as for [`profile_pairs`] |
/// | `counts` | `[radii][features]`, from [`profile_pairs`] |
/// | `recall` | `0..=1` |
/// | `table` | `[radii]`, overwritten |
///
/// # Errors
/// As [`profile_pairs`], with [`KernelError::Value`] for a recall outside `0..=1`; `table` is then untouched.
///
/// # Cost
/// `radii^2 features` additions.
pub fn profile_thresholds(bins: GateBins, counts: &[u64], recall: f64, table: &mut [f64]) -> Result<(), KernelError> {
    bins.check(counts.len())?;
    want("table", bins.radii, table.len())?;
    if !(0.0..=1.0).contains(&recall) {
        return Err(KernelError::Value { what: "recall", at: 0 });
    }
    for (radius, out) in table.iter_mut().enumerate() {
        let within = &counts[..(radius + 1) * bins.features];
        let total: u64 = within.iter().sum();
        let wanted = libm::ceil(recall * total as f64) as u64; // a share of the total
        let (mut seen, mut feature) = (0, 0);
        while feature < bins.features {
            seen += within.iter().skip(feature).step_by(bins.features).sum::<u64>();
            feature += 1;
            if seen >= wanted {
                break;
            }
        }
        let useless = total == 0 || feature == bins.features;
        *out = if useless { f64::INFINITY } else { feature as f64 * bins.feature_cap / bins.features as f64 };
    }
    Ok(())
}

/// The slope of a whitened gate that lets pass whatever the lookup gate with this table does at the upper end of each
/// bin: `max of table[b] / ((b + 1) w)`. Infinite if an element is; with an infinite slope every radius above 0 passes.
pub fn profile_slope(table: &[f64], radius_cap: f64) -> f64 {
    let width = radius_cap / table.len() as f64;
    table.iter().enumerate().fold(0.0, |slope: f64, (b, value)| slope.max(value / ((b + 1) as f64 * width)))
}
