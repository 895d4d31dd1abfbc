//! Which points are inserted when.

use covertree_kernels::hash::priority;
use covertree_kernels::index::{Idx, at};
use rayon::prelude::*;

use super::config::{BatchOrder, BuildConfig, Prefix};
use crate::parallel;
use crate::sort::sort_by_keys;

/// Rows that one task makes priorities for.
const CHUNK: usize = 1 << 14;

/// The points in the order of insertion, cut into batches as the build goes on.
pub(crate) struct Schedule<'a> {
    config: &'a BuildConfig,
    /// The slots in the order of insertion.
    members: Vec<Idx>,
    end: usize,
    /// Points that were there before.
    before: usize,
    /// By what factor the last batch let the inserted points grow.
    pub factor: f64,
}

impl<'a> Schedule<'a> {
    /// `rows[slot]` is the row of a slot; `morton` the slots along that curve, where the order asks for it.
    pub fn new(rows: &[Idx], config: &'a BuildConfig, morton: Option<Vec<Idx>>) -> Self {
        let mut members: Vec<Idx> = (0..rows.len() as Idx).collect(); // counted by the caller
        match config.batch_order {
            BatchOrder::Random | BatchOrder::Brio => shuffle(rows, config.seed, &mut members),
            BatchOrder::Natural => members.par_sort_unstable_by_key(|&slot| rows[at(slot)]),
            BatchOrder::Morton => members = morton.unwrap_or(members),
            BatchOrder::Hilbert => {}
        }
        Self { config, members, end: 0, before: 0, factor: 1.0 }
    }

    /// The same for some slots alone, behind `before` points that are in the tree already.
    pub fn behind(self, before: usize, only: impl Fn(Idx) -> bool) -> Self {
        let members = self.members.into_iter().filter(|&slot| only(slot)).collect();
        Self { members, before, ..self }
    }

    /// The first slot, which becomes the root.
    pub fn root(&mut self) -> Option<Idx> {
        self.end = self.members.len().min(1);
        self.members.first().copied()
    }

    /// Where the last batch ends if nothing adapts: for estimates.
    pub fn last_batch(&self) -> (&[Idx], &[Idx]) {
        let len = self.members.len();
        let start = if self.config.prefix == Prefix::Whole { len.min(1) } else { len / 2 };
        self.members.split_at(start)
    }

    /// The next batch, given the share of the last one that was dominated; `None` behind the last one.
    pub fn next(&mut self, rho: f64) -> Option<&[Idx]> {
        let (start, len) = (self.end, self.members.len());
        if start == len {
            return None;
        }
        let config = self.config;
        let factor = match config.prefix {
            Prefix::Auto | Prefix::Doubling => 2.0,
            Prefix::Adaptive if rho > config.rho_high => config.growth[0],
            Prefix::Adaptive if rho < config.rho_low => config.growth[2],
            Prefix::Adaptive => config.growth[1],
            Prefix::Whole => f64::INFINITY,
        };
        // At least one more each time, whatever rounding does; the cast saturates.
        let inserted = self.before + start;
        self.end = ((inserted as f64 * factor).round() as usize).saturating_sub(self.before).clamp(start + 1, len);
        self.factor = (self.before + self.end) as f64 / inserted as f64;
        let batch = &mut self.members[start..self.end];
        if config.batch_order == BatchOrder::Brio {
            // Slots lie along the Hilbert curve.
            batch.par_sort_unstable();
        }
        Some(batch)
    }
}

/// The points of a batch. A *place* is the number of a point in it.
pub(crate) struct Batch {
    /// The slots in the order of insertion: that of each place.
    pub slots: Vec<Idx>,
    /// The slots, ascending: tasks that write what is kept by slot take a run of slots each.
    pub ascending: Vec<Idx>,
    /// The place of each of these.
    pub places: Vec<Idx>,
}

impl Batch {
    pub fn new(slots: &[Idx]) -> Self {
        let mut sorted = parallel::map(slots.len(), &|place| (slots[place], place as Idx)); // slots are counted
        sorted.par_sort_unstable(); // costs little where they are sorted already
        Self {
            slots: slots.to_vec(),
            ascending: parallel::map(slots.len(), &|number| sorted[number].0),
            places: parallel::map(slots.len(), &|number| sorted[number].1),
        }
    }
}

/// A random permutation: by a hash of the row, so that the order in which slots lie does not matter.
fn shuffle(rows: &[Idx], seed: u64, members: &mut Vec<Idx>) {
    let mut keys = vec![0u64; rows.len()];
    parallel::chunks(&mut keys, CHUNK, &|chunk, keys| {
        for (key, &row) in keys.iter_mut().zip(&rows[chunk * CHUNK..]) {
            *key = priority(seed, 0, row);
        }
    });
    sort_by_keys(&mut keys, members);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of all batches behind the root.
    fn sizes(len: Idx, config: &BuildConfig, rho: f64) -> Vec<usize> {
        let rows: Vec<Idx> = (0..len).rev().collect();
        let mut schedule = Schedule::new(&rows, config, None);
        let mut seen: Vec<Idx> = schedule.root().into_iter().collect();
        let mut sizes = Vec::new();
        while let Some(batch) = schedule.next(rho) {
            sizes.push(batch.len());
            seen.extend_from_slice(batch);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..len).collect::<Vec<_>>(), "each point once");
        sizes
    }

    #[test]
    fn batches_double_adapt_or_are_one() {
        let config = |prefix| BuildConfig { prefix, ..BuildConfig::default() };
        assert_eq!(sizes(20, &config(Prefix::Doubling), 0.3), [1, 2, 4, 8, 4]);
        assert_eq!(sizes(20, &config(Prefix::Whole), 0.3), [19]);
        assert_eq!(sizes(0, &config(Prefix::Whole), 0.3), [0; 0]);
        assert_eq!(sizes(1, &config(Prefix::Adaptive), 0.3), [0; 0]);
        // High shares grow slowly, but they grow: 1, 2, 3, 4, 5, 6, 8, 10, 13 ...
        assert_eq!(sizes(13, &config(Prefix::Adaptive), 0.9), [1, 1, 1, 1, 1, 2, 2, 3]);
        let counts = [0.9, 0.3, 0.1].map(|rho| sizes(32_768, &config(Prefix::Adaptive), rho).len());
        assert!(counts[0] < 60 && counts[0] > counts[1] && counts[1] > counts[2], "{counts:?}");
    }

    #[test]
    fn orders_are_what_their_names_say() {
        let rows: Vec<Idx> = vec![3, 0, 2, 1, 4];
        let order = |batch_order| {
            let config = BuildConfig { batch_order, prefix: Prefix::Whole, ..BuildConfig::default() };
            let mut schedule = Schedule::new(&rows, &config, Some(vec![4, 2, 0, 1, 3]));
            let root = schedule.root().unwrap();
            [&[root], schedule.next(0.0).unwrap()].concat()
        };
        assert_eq!(order(BatchOrder::Natural), [1, 3, 2, 0, 4]);
        assert_eq!(order(BatchOrder::Hilbert), [0, 1, 2, 3, 4]);
        assert_eq!(order(BatchOrder::Morton), [4, 2, 0, 1, 3]);
        let (random, brio) = (order(BatchOrder::Random), order(BatchOrder::Brio));
        assert_eq!(random[0], brio[0]);
        assert!(brio[1..].is_sorted());
    }
}
