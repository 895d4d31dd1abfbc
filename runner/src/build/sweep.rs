//! Whether searches of the builder go through the tree, or over all of it in register tiles.

use std::ops::Range;

use super::Builder;
use crate::parallel;
use crate::space::Space;

/// Searches that are put to the tree first, to see how much of it they read.
const SAMPLE: usize = 16;

/// Fewer points, or fewer searches, are searched through the tree: there is little to gain.
const LEAST: usize = 1024;

/// Brute force over all points is chosen where a search looks at more than so many in a hundred of them. In register tiles a pair costs
/// 0.4 of the time in 16 dimensions, a quarter in 64 and a ninth in 384, unless a projection rules it out.
const SHARE: u64 = 40;

impl<S: Space> Builder<'_, S> {
    /// Whether brute force is faster than `searches` searches of a tree of `len` points. `work` gives the distances that one of them
    /// takes; it is the same whatever the threads and the tier, and so is the answer.
    pub(super) fn sweeps(&self, len: usize, searches: usize, work: &(dyn Fn(usize) -> u64 + Sync)) -> bool {
        if !self.space.sweeps() || len.min(searches) < LEAST {
            return false;
        }
        let sample = |piece: Range<usize>| work(piece.start * searches / SAMPLE);
        let evals: u64 = parallel::pieces(SAMPLE, 1, &sample).into_iter().sum();
        evals * 100 > SHARE * (SAMPLE * len) as u64 // widens
    }
}
