//! Anything under a closure.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use covertree_kernels::index::{Idx, at, idx_len};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{Item, Items, PIVOTS_MAX, PivotItem, PivotItems, Slack, Witness};

use super::pivots::Pivots;
use super::{Ahead, PackedPoints, Space};
use crate::error::Error;
use crate::order::{Curve, curve_order};
use crate::tree::{Order, Tree};

/// Items of any type that owns what it holds, under a distance function: strings, sets, graphs, or indices into data, borrowed or not,
/// that the function looks up.
///
/// The function must be a metric up to the declared [`Slack`]: finite, not negative, 0 from an item to itself, symmetric, and
/// obeying the triangle inequality. Of these, the first two are watched while it is called, and [`Space::check`] reports the
/// pair that broke them, to every call that it happened during. It is called with the item of the lower row first, and with the query first for queries that are
/// no items; its result is the published formula.
///
/// When the index is built, a few items far from each other become *pivots*. The distances to them are coordinates for
/// everything that has to be near or far only roughly, so that the function, which may be slow, is asked little.
///
/// ```
/// use covertree::space::{ItemSpace, Space};
/// use covertree::{BuildConfig, Index, Tier};
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
/// assert_eq!(answers.row(0), (&[2, 0][..], &[1.0, 2.0][..]));
/// # Ok(())
/// # }
/// ```
pub struct ItemSpace<X, D> {
    items: Vec<X>,
    distance: D,
    slack: Slack,
    /// Row of each slot.
    rows: Vec<Idx>,
    /// None before the index is built.
    pivots: Pivots,
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
        Ok(Self {
            items,
            distance,
            slack: Slack::default(),
            rows,
            pivots: Pivots::default(),
            wrong: FirstWrong::default(),
        })
    }

    /// The same with the slack that the author of the function declares.
    pub fn with_slack(self, slack: Slack) -> Self {
        Self { slack, ..self }
    }

    /// The items, by row.
    pub fn items(&self) -> &[X] {
        &self.items
    }
}

impl<X, D> fmt::Debug for ItemSpace<X, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemSpace")
            .field("items", &self.items.len())
            .field("slack", &self.slack)
            .finish_non_exhaustive()
    }
}

impl<X, D> ItemSpace<X, D>
where
    X: Send + Sync + 'static,
    D: Fn(&X, &X) -> f64 + Sync,
{
    /// The item of a row as a query.
    ///
    /// # Panics
    /// Beyond the last item.
    pub fn member(&self, row: usize) -> PivotItem<'_, X> {
        let item = Item { value: &self.items[row], row: row as Idx, outside: false }; // a row, so it was counted
        PivotItem::new(item, self.pivots.of(row)).expect("there are not too many pivots")
    }

    /// A value as query `number` of a set of queries.
    ///
    /// # Cost
    /// Up to sixteen calls of the distance function: the distances to the pivots.
    pub fn outside<'q>(&'q self, value: &'q X, number: usize) -> PivotItem<'q, X> {
        let row = Idx::try_from(number).unwrap_or(Idx::MAX); // it only serves to name the query
        let item = Item { value, row, outside: true };
        let (metric, scale) = (self.metric(&self.pivots.rows), self.pivots.scale());
        let mut coordinates = [0.0; PIVOTS_MAX];
        for (coordinate, pivot) in coordinates.iter_mut().zip(0..self.pivots.len()) {
            *coordinate = scale.coordinate(metric.between(item, pivot));
        }
        PivotItem::new(item, &coordinates[..self.pivots.width()]).expect("there are not too many pivots")
    }

    /// The slots along a curve through their distances to the pivots.
    fn along(&self, curve: Curve, tier: Tier) -> Option<Vec<Idx>> {
        let table: Vec<f32> = self.rows.iter().flat_map(|&row| self.pivots.of(at(row))).copied().collect();
        Some(curve_order(curve, tier, &table, self.pivots.width()))
    }

    /// The metric over the items of these rows.
    fn metric<'a>(&'a self, rows: &'a [Idx]) -> Items<'a, X, D> {
        let metric = Items::new(&self.items, rows, &self.distance, &self.wrong);
        metric.expect("rows of these items").with_slack(self.slack)
    }
}

/// The items in the order of a tree.
#[derive(Debug)]
pub struct PackedItems {
    rows: Vec<Idx>,
    /// The distances to the pivots, as coordinates.
    table: PackedPoints<f32>,
}

impl<X, D> Space for ItemSpace<X, D>
where
    X: Send + Sync + 'static,
    D: Fn(&X, &X) -> f64 + Sync,
{
    type Packed = PackedItems;
    type Kernel<'a>
        = PivotItems<'a, X, D>
    where
        D: 'a;

    fn prepare(&mut self) {
        self.pivots = Pivots::choose(&self.metric(&self.rows), &self.items);
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn curve(&self, tier: Tier) -> Option<Vec<Idx>> {
        self.along(Curve::Hilbert, tier)
    }

    fn morton(&self, tier: Tier) -> Option<Vec<Idx>> {
        self.along(Curve::Morton, tier)
    }

    fn reorder(&mut self, order: &[Idx]) {
        self.rows = order.iter().map(|&slot| self.rows[at(slot)]).collect();
    }

    fn order(&self) -> Order {
        Order::Cells
    }

    fn axes(&self) -> usize {
        self.pivots.width()
    }

    /// Fewer than where a distance costs next to nothing.
    fn scanned(&self) -> usize {
        32
    }

    fn coordinate(&self, slot: usize, axis: usize) -> f64 {
        f64::from(self.pivots.of(at(self.rows[slot]))[axis])
    }

    fn pack(&self, tree: &Tree, tier: Tier) -> PackedItems {
        let mut packed = self.pack_slots(tree.ids());
        packed.table.enclose(self.pivots.width(), &tree.groups, tier);
        packed
    }

    fn kernel<'a>(&'a self, packed: &'a PackedItems) -> PivotItems<'a, X, D> {
        let table = packed.table.panels();
        let metric = PivotItems::new(self.metric(&packed.rows), table, self.pivots.farthest);
        let metric = metric.expect("the table has a row for each item");
        match packed.table.boxes() {
            Some(boxes) => metric.with_boxes(boxes).expect("an axis for each pivot"),
            None => metric,
        }
    }

    fn pack_slots(&self, slots: &[Idx]) -> PackedItems {
        let rows: Vec<Idx> = slots.iter().map(|&slot| self.rows[at(slot)]).collect();
        let table = PackedPoints::pack(&self.pivots.table, self.pivots.width(), Ahead::default(), &rows);
        PackedItems { rows, table }
    }

    fn query<'a>(&'a self, slot: usize) -> PivotItem<'a, X> {
        self.member(at(self.rows[slot]))
    }

    fn wrong(&self) -> u64 {
        self.wrong.count.load(Ordering::Relaxed)
    }

    fn check(&self, since: u64) -> Result<(), Error> {
        if self.wrong() == since {
            return Ok(());
        }
        let (first, outside, row) = self.wrong.tell();
        let pair = if outside { format!("query {first} and row {row}") } else { format!("rows {first} and {row}") };
        Err(Error::NotAMetric { pair: format!("{pair} (counted from 0)") })
    }
}

/// What came out wrong: how often, and the first pair, in the order of row numbers: the same on any number of threads.
///
/// Relaxed operations are enough: whoever asks has joined the threads that might have told.
struct FirstWrong {
    count: AtomicU64,
    /// The first pair of which nobody was told yet.
    first: AtomicU64,
    /// The one that was told last: calls that overlap are told the same.
    told: AtomicU64,
}

/// What there is while nothing is wrong.
const NOTHING: u64 = u64::MAX;
/// Bits of a row number, which is not negative.
const ROW_BITS: u32 = 31;
/// Set where the query is no item; pairs of items come first.
const OUTSIDE: u64 = 1 << (2 * ROW_BITS);

impl Default for FirstWrong {
    fn default() -> Self {
        Self { count: AtomicU64::new(0), first: AtomicU64::new(NOTHING), told: AtomicU64::new(NOTHING) }
    }
}

impl FirstWrong {
    /// A pair, and whether its first member is a query from outside; what comes next does not count with it.
    fn tell(&self) -> (u64, bool, u64) {
        let key = match self.first.swap(NOTHING, Ordering::Relaxed) {
            NOTHING => self.told.load(Ordering::Relaxed),
            key => {
                self.told.store(key, Ordering::Relaxed);
                key
            }
        };
        let row = (1 << ROW_BITS) - 1;
        ((key >> ROW_BITS) & row, key & OUTSIDE != 0, key & row)
    }
}

impl Witness for FirstWrong {
    #[cold]
    fn wrong(&self, query: Idx, outside: bool, row: Idx) {
        let (first, second) = if outside { (query, row) } else { (query.min(row), query.max(row)) };
        let key = ((at(first) as u64) << ROW_BITS) | at(second) as u64 | if outside { OUTSIDE } else { 0 };
        self.first.fetch_min(key, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}
