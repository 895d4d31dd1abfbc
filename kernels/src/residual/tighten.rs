//! Short lists that stay short where margins are wide: the formula tells which of the listed points are wanted.

use super::Shortlists;
use super::shortlist::bounds;
use crate::error::{KernelError, want};
use crate::index::Idx;

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
    /// [`KernelError::Shape`] when a length does not fit or there is no such row, [`KernelError::Value`] when its count is
    /// no number of places. Nothing is written then.
    ///
    /// # Cost
    /// Reads the list once, and sorts the positions that it gives.
    pub fn wide(&mut self, row: usize) -> Result<&[Idx], KernelError> {
        let (count, first) = (self.check_row(row)?, row * self.room);
        let mut end = first;
        for place in first..first + count {
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
    /// [`KernelError::Shape`] when a length does not fit, there is no such row, or it lists fewer points,
    /// [`KernelError::Value`] when its count is no number of places. Nothing is written then.
    ///
    /// # Cost
    /// Writes both bounds once.
    pub fn tighten(&mut self, row: usize, rho: &[f64]) -> Result<(), KernelError> {
        let count = self.check_row(row)?;
        want("rho", rho.len().min(count), rho.len())?;
        for (place, &rho) in (row * self.room..).zip(rho) {
            (self.lowers[place], self.uppers[place]) = bounds(rho, 0.0);
        }
        Ok(())
    }
}
