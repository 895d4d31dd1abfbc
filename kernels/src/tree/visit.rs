//! Visitors: what a traversal is for.

use crate::error::{KernelError, want};
use crate::index::{Idx, NONE, idx_len};
use crate::simd::{Lanes, Real, Tier};
use crate::topk::KBest;

use super::Group;

/// Collects answers during a traversal and says how far it still has to look.
pub trait Visitor<R: Real> {
    /// Whether [`cap_in`](Self::cap_in) differs between groups, so that it pays to ask before a group waits.
    const BY_GROUP: bool = false;

    /// Whether [`nearest`](Self::nearest) may tell a number: where it cannot, nothing is compiled for that.
    const NEAREST: bool = false;

    /// No point farther than this can matter any more; one exactly as far still can. Never grows.
    fn cap(&self) -> f64;

    /// The same for the points of one group, which has this number in the tree; not above [`cap`](Self::cap).
    #[inline(always)]
    fn cap_in(&self, number: usize, group: &Group) -> f64 {
        let _ = (number, group);
        self.cap()
    }

    /// The lanes of the panel at `start` whose points may be answers as far as their surrogates tell, at least, as a mask;
    /// asked before anything is settled.
    #[inline(always)]
    fn narrow<L: Lanes>(&self, start: usize, surrogates: R::On<L>) -> u32 {
        let _ = (start, surrogates);
        u32::MAX
    }

    /// Whether the point at `position` may be an answer at all; asked before it is offered.
    #[inline(always)]
    fn admits(&self, position: usize) -> bool {
        let _ = position;
        true
    }

    /// If nothing matters but so many of the nearest points that it [admits](Self::admits): how many. A traversal
    /// may then find out first which points those are as far as surrogates tell, and offer just these, in the end. Only asked
    /// where [`NEAREST`](Self::NEAREST) is true.
    #[inline(always)]
    fn nearest(&self) -> Option<usize> {
        None
    }

    /// Whether the visitor was made for a tree of `len` points.
    ///
    /// # Errors
    /// What does not fit; [`search`](super::search) passes it on before anything is visited.
    fn check(&self, _len: usize) -> Result<(), KernelError> {
        Ok(())
    }

    /// A point and its distance by the published formula, at most [`cap`](Self::cap) when it was asked last.
    fn offer(&mut self, position: usize, distance: f64);
}

/// The `k` nearest points by (distance, id).
#[derive(Debug)]
pub struct Nearest<'a, 'k> {
    ids: &'a [Idx],
    except: Idx,
    best: KBest<'k>,
}

impl<'a, 'k> Nearest<'a, 'k> {
    /// Fills `best` with points named by `ids` (`[len]`, by position), leaving out the one named `except` (`NONE`: none is left out).
    pub fn new(ids: &'a [Idx], except: Idx, best: KBest<'k>) -> Self {
        Self { ids, except, best }
    }

    /// Sorts the answers; returns how many there are.
    pub fn finish(self) -> usize {
        self.best.finish()
    }

    /// [`finish`](Self::finish), on a tier.
    pub(super) fn finish_on(self, tier: Tier) -> usize {
        self.best.finish_on(tier)
    }
}

impl<R: Real> Visitor<R> for Nearest<'_, '_> {
    const NEAREST: bool = true;

    fn check(&self, len: usize) -> Result<(), KernelError> {
        want("ids", len, self.ids.len())
    }
    #[inline(always)]
    fn cap(&self) -> f64 {
        self.best.worst()
    }
    #[inline(always)]
    fn nearest(&self) -> Option<usize> {
        Some(self.best.capacity())
    }
    #[inline(always)]
    fn admits(&self, position: usize) -> bool {
        self.ids[position] != self.except
    }
    #[inline(always)]
    fn offer(&mut self, position: usize, distance: f64) {
        self.best.offer(distance, self.ids[position]);
    }
}

/// All points within a radius, in no particular order. Counts on when the room is used up.
#[derive(Debug)]
pub struct Within<'a, 'o> {
    ids: &'a [Idx],
    except: Idx,
    radius: f64,
    out_ids: &'o mut [Idx],
    out_distances: &'o mut [f64],
    found: usize,
}

impl<'a, 'o> Within<'a, 'o> {
    /// Writes the points at most `radius` away to the front of `out_ids` and `out_distances`.
    ///
    /// | argument | shape |
    /// | --- | --- |
    /// | `ids` | `[len]`: the id of the point at each position |
    /// | `except` | an id that is left out, or `NONE` |
    /// | `radius` | in units of the distance |
    /// | `out_ids`, `out_distances` | `[room]`, overwritten as far as points are found |
    ///
    /// # Errors
    /// [`KernelError::Shape`] when the two outputs differ in length.
    pub fn new(
        ids: &'a [Idx],
        except: Idx,
        radius: f64,
        out_ids: &'o mut [Idx],
        out_distances: &'o mut [f64],
    ) -> Result<Self, KernelError> {
        want("out_distances", out_ids.len(), out_distances.len())?;
        Ok(Self { ids, except, radius, out_ids, out_distances, found: 0 })
    }

    /// How many points lie within the radius; the first ones are in the outputs, as many as there was room for.
    ///
    /// # Errors
    /// [`KernelError::TooLong`] when an [`Idx`] cannot count them.
    pub fn found(&self) -> Result<Idx, KernelError> {
        idx_len(self.found)
    }
}

impl<R: Real> Visitor<R> for Within<'_, '_> {
    fn check(&self, len: usize) -> Result<(), KernelError> {
        want("ids", len, self.ids.len())
    }
    #[inline(always)]
    fn cap(&self) -> f64 {
        self.radius
    }
    #[inline(always)]
    fn admits(&self, position: usize) -> bool {
        self.except == NONE || self.ids[position] != self.except
    }
    #[inline(always)]
    fn offer(&mut self, position: usize, distance: f64) {
        if distance <= self.radius {
            if let (Some(id), Some(out)) = (self.out_ids.get_mut(self.found), self.out_distances.get_mut(self.found)) {
                (*id, *out) = (self.ids[position], distance);
            }
            self.found += 1;
        }
    }
}
