//! Short lists that stay short where margins are wide: the formula tells which of the listed points are wanted.

use super::Shortlists;
use super::shortlist::bounds;
use crate::error::{KernelError, want};
use crate::index::{Idx, at};

impl Shortlists<'_> {
    /// Moves the points of a row whose correlations the formula would tell more precisely to the front of its list, ascending by
    /// position, and gives their positions. With [`tighten`](Self::tighten), it keeps lists short where margins are wide.
    ///
    /// | argument | shape |
    /// | --- | --- |
    /// | `row` | below `counts.len()` |
    ///
    /// The bounds of these points are forgotten: they become 0 and 1 until [`tighten`](Self::tighten) replaces them.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when a length does not fit or there is no such row. Nothing is written then.
    ///
    /// # Cost
    /// Reads the list once, and sorts the positions that it gives.
    pub fn wide(&mut self, row: usize) -> Result<&[Idx], KernelError> {
        self.check(self.counts.len())?;
        want("row", self.counts.len().max(row.saturating_add(1)), self.counts.len())?;
        let first = row * self.room;
        let mut end = first;
        for place in first..first + at(self.counts[row]) {
            // A correlation that is known is rounded once down and once up.
            if self.uppers[place] > self.lowers[place].next_up().next_up() {
                self.lowers.swap(place, end);
                self.uppers.swap(place, end);
                self.positions.swap(place, end);
                end += 1;
            }
        }
        // Their bounds are about to be replaced, so they need not follow.
        self.lowers[first..end].fill(0.0);
        self.uppers[first..end].fill(1.0);
        let wide = &mut self.positions[first..end];
        wide.sort_unstable();
        Ok(wide)
    }

    /// Replaces the bounds of the first points of a row by their published correlations.
    ///
    /// | argument | shape |
    /// | --- | --- |
    /// | `row` | below `counts.len()` |
    /// | `rho` | at most as many as the row lists: in the order of its list, which is that of [`wide`](Self::wide) |
    ///
    /// # Errors
    /// [`KernelError::Shape`] when a length does not fit, there is no such row, or it lists fewer points. Nothing is written then.
    ///
    /// # Cost
    /// Writes both bounds once.
    pub fn tighten(&mut self, row: usize, rho: &[f64]) -> Result<(), KernelError> {
        self.check(self.counts.len())?;
        want("row", self.counts.len().max(row.saturating_add(1)), self.counts.len())?;
        want("rho", rho.len().min(at(self.counts[row])), rho.len())?;
        for (place, &rho) in (row * self.room..).zip(rho) {
            (self.lowers[place], self.uppers[place]) = bounds(rho, 0.0);
        }
        Ok(())
    }
}
