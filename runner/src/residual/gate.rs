//! Gates: approximate searches, by name, off unless asked for.
//!
//! A gate looks at the distance of cheap features of two points (coordinates, or columns of `V`) before their correlation is
//! computed, and drops the pair where it is above a threshold that was calibrated for the radius that the point still needs
//! ([`GateProfile`]). Nothing proves that a dropped pair was no neighbour, so an answer behind a gate is approximate: measure its
//! [`recall`], or hold all of it against the exact answer ([`audit`]).
//!
//! Leaves that lie next to each other meet first, without a gate. The radius of each point is what it has by then, so that
//! the pairs that a gate drops, and with them the answer, are the same on any number of threads. Tiers may round a radius
//! differently.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use covertree_kernels::arena::Arena;
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::residual::{
    Gate, GateCounters, GatePairs, GateRule, GateSide, ResidualCounters, gate_block, gate_square, residual_distance,
};
use covertree_kernels::simd::{LANES_F32, LANES_F64};
use covertree_kernels::view::{Panels, Rows};
use serde::Serialize;

use super::ResidualIndex;
use super::layout::{LEAF, box_distance};
use super::lists::{Lists, lock};
use super::profile::{Feature, Features, GateProfile};
use super::search::{Search, Side};
use crate::answers::Answers;
use crate::error::Error;
use crate::named;

/// A kind of gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum GateName {
    /// Thresholds grow in proportion to the radius.
    Whitened,
    /// Thresholds stand in a table, one per bin of radii.
    Lookup,
}

impl GateName {
    /// All gates.
    pub const ALL: &[Self] = &[Self::Whitened, Self::Lookup];

    /// The name in commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whitened => "whitened",
            Self::Lookup => "lookup",
        }
    }
}

impl fmt::Display for GateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for GateName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        named::parse(name, "gate", Self::ALL, Self::name)
    }
}

/// How a profile is used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GateConfig {
    /// The kind of gate.
    pub name: GateName,
    /// Added to every threshold, in the unit of the features: lengthscales, or prior standard deviations.
    pub margin: f64,
    /// Points whose radius is above this are not gated.
    pub radius_cap: f64,
}

impl GateConfig {
    /// A gate with the default margin, 0.02, for all radii.
    pub const fn new(name: GateName) -> Self {
        Self { name, margin: 0.02, radius_cap: 1.0 }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the one that is out of its range.
    pub fn check(&self) -> Result<(), Error> {
        let Self { margin, radius_cap, .. } = *self;
        if !(margin >= 0.0 && margin.is_finite()) {
            return Err(Error::Usage(format!(
                "the margin of the gate is {margin}; choose a number that is not negative"
            )));
        }
        if !(radius_cap > 0.0 && radius_cap <= 1.0) {
            let message = format!("the radius cap of the gate is {radius_cap}; choose a number above 0, at most 1");
            return Err(Error::Usage(message));
        }
        Ok(())
    }
}

impl ResidualIndex {
    /// Puts the index behind a gate: searches become approximate. A gate that stood there before is gone. `label` is what messages
    /// call the profile.
    ///
    /// # Errors
    /// [`Error::Usage`] for a number out of its range, and for a profile of other parameters or inducing points; the index is
    /// what it was then.
    ///
    /// # Cost
    /// One copy of the features, in `f32`.
    pub fn set_gate(&mut self, label: &str, profile: &GateProfile, config: GateConfig) -> Result<(), Error> {
        config.check()?;
        profile.check(label)?;
        let (own, theirs) = (self.profile_metric(), &profile.metric);
        if own.hash != theirs.hash {
            let what = if own.kernel != theirs.kernel {
                format!("{}, and this is {}", theirs.kernel, own.kernel)
            } else if own.lengthscales != theirs.lengthscales {
                format!("lengthscales {:?}, and these are {:?}", theirs.lengthscales, own.lengthscales)
            } else if own.inducing != theirs.inducing {
                format!("{} inducing points, and these are {}", theirs.inducing, own.inducing)
            } else {
                "another variance, nugget, jitter or other inducing points".into()
            };
            return Err(Error::Usage(format!(
                "{label}: was calibrated for {what}; calibrate for these parameters with covertree gate-profile"
            )));
        }
        let features = Features::of_points(self, profile.feature, profile.columns)?;
        let table = profile.table.iter().map(|value| value.unwrap_or(f64::INFINITY)).collect();
        self.gate = Some(Gated { config, slope: profile.slope, table, feature: profile.feature, features });
        Ok(())
    }

    /// Takes the gate away: searches are exact again.
    pub fn remove_gate(&mut self) {
        self.gate = None;
    }
}

/// The share of the neighbours in `wanted`, one row of it for each of `rows`, that `answers` has with the same distance,
/// at whatever place; 1 where nothing is wanted.
///
/// # Panics
/// When `answers` has no row of that number, or `wanted` fewer rows than are listed.
pub fn recall(answers: &Answers, rows: &[Idx], wanted: &Answers) -> f64 {
    let pairs = rows.iter().enumerate().map(|(place, &row)| lost(answers, at(row), wanted, place));
    let (lost, all) = pairs.fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1));
    share_found(lost, all)
}

/// The share of all neighbours that were not lost; 1 where there are none.
pub fn share_found(lost: u64, all: u64) -> f64 {
    if all == 0 { 1.0 } else { (all - lost) as f64 / all as f64 }
}

/// Neighbours of an exact answer that an approximate one lost, over all rows, and all neighbours.
///
/// # Panics
/// When `answers` has fewer rows than `exact`.
pub fn audit(answers: &Answers, exact: &Answers) -> (u64, u64) {
    let rows = (0..exact.ids.len() / exact.k.max(1)).map(|row| lost(answers, row, exact, row));
    rows.fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1))
}

/// Neighbours of one row that an answer lost, and all of them.
fn lost(answers: &Answers, row: usize, exact: &Answers, place: usize) -> (u64, u64) {
    let mut pairs: Vec<(Idx, f64)> = neighbours(answers, row).collect();
    pairs.sort_unstable_by_key(|pair| pair.0);
    neighbours(exact, place).fold((0, 0), |(lost, all), (id, distance)| {
        let found = pairs.binary_search_by_key(&id, |pair| pair.0).is_ok_and(|found| pairs[found].1 == distance);
        (lost + u64::from(!found), all + 1)
    })
}

fn neighbours(answers: &Answers, row: usize) -> impl Iterator<Item = (Idx, f64)> {
    let range = row * answers.k..(row + 1) * answers.k;
    let pairs = answers.ids[range.clone()].iter().copied().zip(answers.distances[range].iter().copied());
    pairs.filter(|pair| pair.0 >= 0)
}

/// A gate of an index.
pub(super) struct Gated {
    config: GateConfig,
    slope: f64,
    table: Vec<f64>,
    feature: Feature,
    features: Features,
}

impl Gated {
    /// The squared threshold of a point that wants correlations of `least` and above. Where that is 0 it has too few
    /// neighbours yet, and wants everything.
    fn square(&self, least: f64) -> Result<f32, KernelError> {
        let radius = residual_distance(least);
        if least <= 0.0 || radius > self.config.radius_cap {
            return Ok(f32::INFINITY);
        }
        let rule = match self.config.name {
            GateName::Whitened => GateRule::Whitened { slope: self.slope },
            GateName::Lookup => GateRule::Lookup { table: &self.table },
        };
        Ok(gate_square(Gate::new(rule, self.config.margin, 1.0)?.threshold(radius)))
    }

    /// The gate as it stands once near leaves have met.
    pub fn open<'a>(
        &'a self,
        search: &Search<'a>,
        asked: Side<'a>,
        lists: &[Mutex<Lists>],
        work: &mut ResidualCounters,
    ) -> Result<OpenGate<'a>, Error> {
        let own = match search.queries {
            Some(queries) => Some(Features::of(queries.set, self.feature, self.features.centre.clone())?),
            None => None,
        };
        let mut rows = Vec::with_capacity(lists.len() * LEAF);
        for leaf in lists {
            for &least in lock(leaf).settled_least(search.goal, work)? {
                rows.push(self.square(least)?);
            }
            rows.resize(rows.len().next_multiple_of(LEAF), NOTHING);
        }
        let columns = match search.queries {
            Some(_) => vec![NOTHING; search.points.set.layout.leaves() * LEAF],
            None => rows.clone(),
        };
        Ok(OpenGate { gate: self, own, asked, points: search.points, rows, columns })
    }
}

/// The squared threshold of what wants no neighbours.
const NOTHING: f32 = -1.0;

/// A gate whose points know their thresholds.
pub(super) struct OpenGate<'a> {
    gate: &'a Gated,
    /// Features of the queries, where these are no points of the index.
    own: Option<Features>,
    asked: Side<'a>,
    points: Side<'a>,
    /// Squared thresholds by position, in whole leaves.
    rows: Vec<f32>,
    columns: Vec<f32>,
}

impl OpenGate<'_> {
    /// Whether no pair of two leaves can pass, told by their boxes.
    pub fn shut(&self, leaf: usize, other: usize) -> bool {
        let all = self.rows[leaf * LEAF..][..LEAF].iter().chain(&self.columns[other * LEAF..][..LEAF]);
        let most = all.fold(NOTHING, |most, square| most.max(*square));
        self.gate.feature == Feature::Coordinates
            && box_distance(self.asked.set.box_of(leaf), self.points.set.box_of(other)) > f64::from(most)
    }

    /// Marks the pairs of two leaves that pass, in rows of panels of 8, and gives their number.
    pub fn mark(
        &self,
        search: &Search<'_>,
        (leaf, other): (usize, usize),
        masks: &mut [u32],
        arena: &mut Arena<'_>,
        counters: &mut GateCounters,
    ) -> Result<u64, KernelError> {
        let (rows, columns) = (self.asked.set.layout.leaf(leaf), self.points.set.layout.leaf(other));
        let (own, theirs) = (self.own.as_ref().unwrap_or(&self.gate.features), &self.gate.features);
        let width = theirs.columns;
        let packed = columns.start * width..columns.end.next_multiple_of(LANES_F32) * width;
        let pairs = GatePairs {
            queries: Rows::new(&own.rows[rows.start * width..rows.end * width], width)?,
            features: Panels::new(&theirs.packed[packed], width, columns.len())?,
            rows: GateSide { squares: &self.rows[rows.clone()], ranks: &self.asked.ranks[rows] },
            columns: GateSide {
                squares: &self.columns[other * LEAF..][..LEAF],
                ranks: &self.points.ranks[columns.start..columns.end.next_multiple_of(LANES_F64)],
            },
        };
        gate_block(search.tier, &pairs, search.counting, masks, arena, counters)
    }
}

#[cfg(test)]
mod tests;
