//! Short lists of the points that may still be among the answers of each point of a leaf.

use std::sync::{Mutex, MutexGuard};

use bytemuck::Zeroable;
use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, at};
use covertree_kernels::residual::{ResidualCounters, Shortlists, condense, correlation_floor};

use super::layout::LEAF;
use super::search::{Goal, Search};
use crate::error::Error;
use crate::within::{Budget, FEWER};

/// Points that a list takes beyond those that it needs before it tells anew how correlated others must be. Fewer would
/// rule out little more; a list that only tells when it is full leaves a tenth more pairs to be computed.
const GROWN: usize = 8;

/// The short lists of a leaf.
pub(super) struct Lists {
    room: usize,
    lowers: Vec<f32>,
    uppers: Vec<f32>,
    positions: Vec<Idx>,
    counts: Vec<Idx>,
    least: Vec<f64>,
    /// For each row, how many points its list must hold before it tells more than it did.
    due: Vec<usize>,
    /// Room from which on lists are settled before they grow; none where all that is listed is wanted.
    calm: usize,
    scratch: Vec<f32>,
}

impl Lists {
    /// Bytes that a listed point takes.
    pub const EACH: usize = 2 * size_of::<f32>() + size_of::<Idx>();

    /// Empty lists for so many rows. The budget, if there is one, pays for the room of all rows.
    pub fn new(rows: usize, goal: Goal, budget: Option<&Budget>) -> Result<Self, Error> {
        let (least, room, calm) = match goal {
            Goal::Nearest(k) => {
                let room = k.min(1 << 20) + LEAF + LEAF / 4;
                (0.0, room, 2 * room)
            }
            Goal::Within(radius) => (correlation_floor(radius), 2 * LEAF, usize::MAX),
        };
        let mut lists = Self {
            room: 0,
            lowers: Vec::new(),
            uppers: Vec::new(),
            positions: Vec::new(),
            counts: vec![0; rows],
            least: vec![least; rows],
            due: vec![0; rows],
            calm,
            scratch: Vec::new(),
        };
        lists.grow(room, budget)?;
        Ok(lists)
    }

    fn grow(&mut self, room: usize, budget: Option<&Budget>) -> Result<(), Error> {
        let (old, rows) = (self.room, self.counts.len());
        if let Some(budget) = budget {
            budget.spend(rows * (room - old))?;
        }
        spread(&mut self.lowers, old, room, rows)?;
        spread(&mut self.uppers, old, room, rows)?;
        spread(&mut self.positions, old, room, rows)?;
        self.room = room;
        Ok(())
    }

    pub fn view(&mut self, goal: Goal) -> Shortlists<'_> {
        let k = match goal {
            Goal::Nearest(k) => k,
            Goal::Within(_) => usize::MAX, // the threshold is known from the beginning
        };
        Shortlists {
            k,
            room: self.room,
            lowers: &mut self.lowers,
            uppers: &mut self.uppers,
            positions: &mut self.positions,
            counts: &mut self.counts,
            least: &mut self.least,
        }
    }

    /// The least correlation that each row still wants, raised as far as what was offered allows: it does not depend on the order
    /// in which that was.
    pub fn settled_least(&mut self, goal: Goal, work: &mut ResidualCounters) -> Result<&[f64], KernelError> {
        self.due.fill(0);
        self.least(goal, work)
    }

    /// The least correlation that each row still wants; only lists that have grown since they told are read again.
    pub fn least(&mut self, goal: Goal, work: &mut ResidualCounters) -> Result<&[f64], KernelError> {
        for row in 0..self.counts.len() {
            if at(self.counts[row]) >= self.due[row] {
                self.condense(row, goal, work)?;
            }
        }
        Ok(&self.least)
    }

    /// Makes room for `more` points in every row of a leaf of the side that asks.
    ///
    /// Lists grow while that is cheap. Where the margins of many points overlap, the formula then tells which of them are
    /// wanted: lists of any length would take more memory than the points. Where all points up to a distance are wanted, lists
    /// grow as far as the budget of the search allows.
    pub fn make_room(
        &mut self,
        more: usize,
        search: &Search<'_>,
        leaf: usize,
        work: &mut ResidualCounters,
    ) -> Result<(), Error> {
        let mut most = 0;
        for row in 0..self.counts.len() {
            if self.lacks(row, more) {
                self.condense(row, search.goal, work)?;
                if self.lacks(row, more) && self.room >= self.calm {
                    self.tighten(row, search, leaf, work)?;
                }
                most = most.max(at(self.counts[row]));
            }
        }
        if most + more > self.room {
            // No list holds more points than there are, and those of a leaf that it is offered.
            let all = search.points.set.layout.len() + LEAF;
            self.grow((2 * self.room).min(all).max(most + more), search.list_budget.as_ref())?;
        }
        Ok(())
    }

    fn lacks(&self, row: usize, more: usize) -> bool {
        at(self.counts[row]) + more > self.room
    }

    /// Settles what a row lists, and drops what is then ruled out.
    fn tighten(
        &mut self,
        row: usize,
        search: &Search<'_>,
        leaf: usize,
        work: &mut ResidualCounters,
    ) -> Result<(), KernelError> {
        let position = search.queries.unwrap_or(search.points).set.layout.leaf(leaf).start + row;
        let rho = search.published(position, self.view(search.goal).wide(row)?, work)?;
        self.view(search.goal).tighten(row, &rho)?;
        self.condense(row, search.goal, work)
    }

    /// Raises what a row wants at least, and drops what is below.
    fn condense(&mut self, row: usize, goal: Goal, work: &mut ResidualCounters) -> Result<(), KernelError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.resize(self.room, 0.0);
        let condensed = condense(row, &mut self.view(goal), &mut scratch, work);
        self.scratch = scratch;
        let count = at(self.counts[row]);
        self.due[row] = match goal {
            Goal::Nearest(k) if count < k => k,
            Goal::Nearest(_) => count + GROWN,
            Goal::Within(_) => usize::MAX, // what is wanted is known from the beginning
        };
        condensed
    }

    /// What a row lists in the end, ascending by position.
    pub fn finish(&mut self, row: usize, goal: Goal, work: &mut ResidualCounters) -> Result<&[Idx], KernelError> {
        self.condense(row, goal, work)?;
        let positions = &mut self.positions[row * self.room..][..at(self.counts[row])];
        positions.sort_unstable();
        Ok(positions)
    }
}

/// Moves rows of `old` elements to rows of `new` elements.
fn spread<T: Copy + Zeroable>(values: &mut Vec<T>, old: usize, new: usize, rows: usize) -> Result<(), Error> {
    let len = rows * new;
    let mut spread: Vec<T> = bytemuck::try_zeroed_vec(len).map_err(|()| Error::Memory {
        file: format!("short lists with room for {len} neighbours"),
        bytes: (len * Lists::EACH) as u64, // widens
        remedy: FEWER,
    })?;
    if old > 0 {
        for (to, from) in spread.chunks_exact_mut(new).zip(values.chunks_exact(old)) {
            to[..old].copy_from_slice(from);
        }
    }
    *values = spread;
    Ok(())
}

pub(super) fn lock(lists: &Mutex<Lists>) -> MutexGuard<'_, Lists> {
    lists.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOAL: Goal = Goal::Nearest(4);

    /// Lists one more point, whose correlation is nearly this.
    fn push(lists: &mut Lists, rho: f32) {
        let place = at(lists.counts[0]);
        assert!(place < lists.room, "the list is far from full");
        (lists.lowers[place], lists.uppers[place]) = (rho - 0.01, rho + 0.01);
        lists.positions[place] = place as Idx;
        lists.counts[0] += 1;
    }

    /// What the row wants at least once so many closer points were listed behind the first four.
    fn least_after(closer: usize, tell: fn(&mut Lists, Goal, &mut ResidualCounters) -> f64) -> f64 {
        let (mut lists, mut work) = (Lists::new(1, GOAL, None).unwrap(), ResidualCounters::default());
        (0..3).for_each(|_| push(&mut lists, 0.3));
        assert_eq!(lists.least(GOAL, &mut work).unwrap(), [0.0], "three points bound no fourth");
        push(&mut lists, 0.3);
        let first = lists.least(GOAL, &mut work).unwrap()[0];
        assert!((0.25..0.3).contains(&first), "{first}");
        (0..closer).for_each(|_| push(&mut lists, 0.6));
        tell(&mut lists, GOAL, &mut work)
    }

    #[test]
    fn a_list_tells_more_once_it_has_grown_and_when_all_are_settled() {
        let least = |lists: &mut Lists, goal, work: &mut ResidualCounters| lists.least(goal, work).unwrap()[0];
        let settled =
            |lists: &mut Lists, goal, work: &mut ResidualCounters| lists.settled_least(goal, work).unwrap()[0];
        assert!(least_after(GROWN - 1, least) < 0.3, "a list that has hardly grown is not read again");
        assert!((0.55..0.6).contains(&least_after(GROWN, least)));
        assert!((0.55..0.6).contains(&least_after(GROWN - 1, settled)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn lists_that_outgrow_their_budget_are_refused() {
        let budget = Budget::new("short lists with room for", u64::MAX / 1000);
        let refused = Lists::new(64, Goal::Within(1.0), Some(&budget)).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("lists with room for 8192 neighbours: ") && refused.contains("memory"), "{refused}");
    }
}
