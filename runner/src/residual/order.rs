//! Orders in which points come, for Vecchia's approximation.

use std::fmt;
use std::str::FromStr;

use covertree_kernels::index::{Idx, NONE, at};
use rayon::prelude::*;

use super::parameters::{by_levels, shuffled};
use crate::error::Error;
use crate::named;
use crate::points::Points;

/// An order of points by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VecchiaOrder {
    /// By row number.
    #[default]
    Given,
    /// At random, by the seed.
    Random,
    /// By the first column, ties by the second, and so on.
    Coordinate,
    /// Far points first: by the levels of the Euclidean cover tree, at random within a level. Not the exact order in which
    /// each next point is the farthest from all before it, but each level is spread as evenly as that.
    Maximin,
}

impl VecchiaOrder {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Given, Self::Random, Self::Coordinate, Self::Maximin];

    /// The name in commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Random => "random",
            Self::Coordinate => "coordinate",
            Self::Maximin => "maximin",
        }
    }

    /// Refuses what is no order of so many rows.
    ///
    /// # Errors
    /// [`Error::Usage`] where it does not hold each row once.
    pub fn check(order: &[Idx], rows: usize) -> Result<(), Error> {
        ranks(order, rows).map(|_| ())
    }

    /// The rows in this order.
    ///
    /// # Errors
    /// Those of building the Euclidean tree, for [`Maximin`](Self::Maximin).
    pub fn rows(self, points: &Points, seed: u64) -> Result<Vec<Idx>, Error> {
        match self {
            Self::Given => Ok((0..points.rows()).collect()),
            Self::Random => Ok(shuffled(points.len(), seed.wrapping_add(1))),
            Self::Maximin => by_levels(points, seed),
            Self::Coordinate => {
                let (dim, values) = (points.dim(), points.to_f64());
                let row = |row: Idx| &values[at(row) * dim..][..dim];
                let mut rows: Vec<Idx> = (0..points.rows()).collect();
                rows.par_sort_unstable_by(|&a, &b| {
                    let columns = row(a).iter().zip(row(b)).map(|(a, b)| a.total_cmp(b));
                    columns.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then(a.cmp(&b))
                });
                Ok(rows)
            }
        }
    }
}

/// The rank of each of `len` rows in an order: `order[i]` is the row that comes `i`-th.
///
/// # Errors
/// [`Error::Usage`] for an order that does not hold each row once.
pub(super) fn ranks(order: &[Idx], len: usize) -> Result<Vec<Idx>, Error> {
    let mut ranks = vec![NONE; len];
    for (rank, &row) in order.iter().enumerate() {
        match usize::try_from(row).ok().and_then(|row| ranks.get_mut(row)) {
            Some(place) if *place == NONE => *place = rank as Idx, // below the number of rows
            _ => return Err(not_an_order(rank, row, len)),
        }
    }
    if order.len() == len { Ok(ranks) } else { Err(not_an_order(order.len(), NONE, len)) }
}

fn not_an_order(place: usize, row: Idx, len: usize) -> Error {
    Error::Usage(format!(
        "the order has row {row} at place {place}, which is out of range or stands there twice; give each of the rows 0 to {} once",
        len.saturating_sub(1)
    ))
}

impl fmt::Display for VecchiaOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for VecchiaOrder {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        named::parse(name, "order", Self::ALL, Self::name)
    }
}
