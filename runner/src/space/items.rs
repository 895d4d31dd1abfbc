//! Anything under a closure.

use std::sync::atomic::{AtomicU64, Ordering};

use covertree_kernels::index::{Idx, at, idx_len};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{Item, Items, Slack, Witness};

use super::Space;
use crate::error::Error;
use crate::tree::{Order, Tree};

/// Items of any type under a distance function: strings, sets, graphs, or indices into data that the function looks up.
///
/// The function must be a metric up to the declared [`Slack`]: finite, not negative, 0 from an item to itself, symmetric, and
/// obeying the triangle inequality. Of these, the first two are watched while it is called, and [`Space::check`] reports the
/// pair that broke them. It is called with the item of the lower row first, and with the query first for queries that are
/// no items; its result is the published formula.
///
/// ```
/// use covertree::space::{ItemSpace, Space};
/// use covertree::{BuildConfig, Index};
/// use covertree_kernels::simd::Tier;
///
/// # fn main() -> Result<(), covertree::error::Error> {
/// let words = ["tree", "three", "free", "cover"].map(String::from).to_vec();
/// let differ = |a: &String, b: &String| {
///     let pairs = a.bytes().zip(b.bytes()).filter(|(a, b)| a != b).count();
///     (pairs + a.len().abs_diff(b.len())) as f64
/// };
/// let index = Index::build(ItemSpace::new(words, differ)?, &BuildConfig::default(), Tier::detect())?;
/// let query = String::from("flee");
/// let (answers, _) = index.knn(1, 2, |number| index.space().outside(&query, number), |_| -1)?;
/// assert_eq!((answers.ids, answers.distances), (vec![2, 0], vec![1.0, 2.0]));
/// # Ok(())
/// # }
/// ```
pub struct ItemSpace<X, D> {
    items: Vec<X>,
    distance: D,
    slack: Slack,
    /// Row of each slot.
    rows: Vec<Idx>,
    wrong: FirstWrong,
}

impl<X, D> ItemSpace<X, D> {
    /// The items under the function, with the default slack.
    ///
    /// # Errors
    /// [`Error::TooManyRows`] when 32-bit row numbers cannot count the items.
    pub fn new(items: Vec<X>, distance: D) -> Result<Self, Error> {
        let len = items.len();
        let too_many = |_| Error::TooManyRows { file: "items".to_owned(), rows: len as u64 };
        let rows = (0..idx_len(len).map_err(too_many)?).collect();
        Ok(Self { items, distance, slack: Slack::default(), rows, wrong: FirstWrong::default() })
    }

    /// The same with the slack that the author of the function declares.
    pub fn with_slack(self, slack: Slack) -> Self {
        Self { slack, ..self }
    }

    /// The items, by row.
    pub fn items(&self) -> &[X] {
        &self.items
    }

    /// The item of a row as a query.
    pub fn member(&self, row: usize) -> Item<'_, X> {
        Item { value: &self.items[row], row: row as Idx, outside: false } // a row, so it was counted
    }

    /// A value as query `number` of a set of queries.
    pub fn outside<'q>(&self, value: &'q X, number: usize) -> Item<'q, X> {
        let row = Idx::try_from(number).unwrap_or(Idx::MAX); // it only serves to name the query
        Item { value, row, outside: true }
    }
}

/// The rows of the items in the order of a tree.
pub struct PackedItems {
    rows: Vec<Idx>,
}

impl<X, D> Space for ItemSpace<X, D>
where
    X: Send + Sync + 'static,
    D: Fn(&X, &X) -> f64 + Sync,
{
    type Packed = PackedItems;
    type Kernel<'a>
        = Items<'a, X, D>
    where
        D: 'a;

    fn len(&self) -> usize {
        self.items.len()
    }

    fn curve(&self, _tier: Tier) -> Option<Vec<Idx>> {
        None
    }

    fn reorder(&mut self, order: &[Idx]) {
        self.rows = order.iter().map(|&slot| self.rows[at(slot)]).collect();
    }

    fn order(&self) -> Order {
        Order::Blocks
    }

    fn pack(&self, tree: &Tree, _tier: Tier) -> PackedItems {
        self.pack_slots(tree.ids())
    }

    fn kernel<'a>(&'a self, packed: &'a PackedItems) -> Items<'a, X, D> {
        let metric = Items::new(&self.items, &packed.rows, &self.distance, &self.wrong);
        metric.expect("packed rows are rows of these items").with_slack(self.slack)
    }

    fn pack_slots(&self, slots: &[Idx]) -> PackedItems {
        PackedItems { rows: slots.iter().map(|&slot| self.rows[at(slot)]).collect() }
    }

    fn query<'a>(&'a self, slot: usize) -> Item<'a, X> {
        self.member(at(self.rows[slot]))
    }

    fn check(&self) -> Result<(), Error> {
        match self.wrong.take() {
            None => Ok(()),
            Some((first, true, row)) => {
                Err(Error::NotAMetric { pair: format!("query {first} and row {row} (counted from 0)") })
            }
            Some((first, false, row)) => {
                Err(Error::NotAMetric { pair: format!("rows {first} and {row} (counted from 0)") })
            }
        }
    }
}

/// The first pair, in the order of row numbers, whose distance came out wrong: the same on any number of threads.
struct FirstWrong(AtomicU64);

/// What [`FirstWrong`] holds while nothing is wrong.
const NOTHING: u64 = u64::MAX;
/// Bits of a row number, which is not negative.
const ROW_BITS: u32 = 31;
/// Set where the query is no item; pairs of items come first.
const OUTSIDE: u64 = 1 << (2 * ROW_BITS);

impl Default for FirstWrong {
    fn default() -> Self {
        Self(AtomicU64::new(NOTHING))
    }
}

impl FirstWrong {
    /// The pair and whether its first member is a query from outside; forgets it.
    fn take(&self) -> Option<(u64, bool, u64)> {
        // Relaxed is enough: whoever asks has joined the threads that might have told.
        let key = self.0.swap(NOTHING, Ordering::Relaxed);
        let row = (1 << ROW_BITS) - 1;
        (key != NOTHING).then_some(((key >> ROW_BITS) & row, key & OUTSIDE != 0, key & row))
    }
}

impl Witness for FirstWrong {
    #[cold]
    fn wrong(&self, query: Idx, outside: bool, row: Idx) {
        let (first, second) = if outside { (query, row) } else { (query.min(row), query.max(row)) };
        let key = ((at(first) as u64) << ROW_BITS) | at(second) as u64 | if outside { OUTSIDE } else { 0 };
        self.0.fetch_min(key, Ordering::Relaxed);
    }
}
