//! Any items under a distance function of the caller.

use core::fmt;

use super::Metric;
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};
use crate::simd::{Lanes, Real};

/// Is told of results of a distance function that no metric gives.
///
/// A search cannot stop for them: it takes the distance as 0 and goes on, so its answers mean nothing then. Whoever
/// starts it looks at the witness afterwards. It is shared between threads, and may be told of a pair more than once.
pub trait Witness: Sync {
    /// The distance from the item `query` (of the tree, or of a set of queries outside of it) to the item `row` of the tree
    /// came out NaN, infinite or negative.
    fn wrong(&self, query: Idx, outside: bool, row: Idx);
}

/// Nobody looks: for a function that is known to be a metric.
impl Witness for () {
    fn wrong(&self, _query: Idx, _outside: bool, _row: Idx) {}
}

/// An item as a query.
#[derive(Debug)]
pub struct Item<'q, X> {
    /// The item itself.
    pub value: &'q X,
    /// Its number: among the items of the tree, or among the queries.
    pub row: Idx,
    /// Whether it is none of the items of the tree.
    pub outside: bool,
}

impl<X> Clone for Item<'_, X> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<X> Copy for Item<'_, X> {}

/// How far the computed distances of a function may break the triangle inequality: `d(a, c)` may exceed `d(a, b) + d(b, c)`
/// by `relative * (d(a, b) + d(b, c)) + absolute`.
///
/// A function that computes a metric to within `n` units in the last place has a relative slack of `2 n` units; one whose
/// result comes out of a cancellation (of an arc cosine, say) needs an absolute slack too. Too small a slack may lose a neighbour
/// by a hair; a larger one costs time only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slack {
    /// Relative to the sum of the two distances.
    pub relative: f64,
    /// In units of the distance.
    pub absolute: f64,
}

/// Four units in the last place.
impl Default for Slack {
    fn default() -> Self {
        Self { relative: 4.0 * f64::EPSILON, absolute: 0.0 }
    }
}

/// Items of any type under a distance function. There is nothing cheaper to filter with, so the surrogate is the distance.
///
/// The function is called with the item of the lower row first where both are in the tree, and with the query first where
/// it is not: a function that is symmetric only up to rounding still gives each pair one distance. It must return finite
/// numbers of at least 0, which obey the triangle inequality up to the [`Slack`]; other results go to the [`Witness`].
///
/// A query is an [`Item`]. The type of the items borrows nothing (`'static`); to put borrowed data under a tree, let the
/// items be indices and let the function look them up.
pub struct Items<'a, X, D> {
    items: &'a [X],
    order: &'a [Idx],
    distance: &'a D,
    slack: Slack,
    witness: &'a dyn Witness,
}

/// Neither items nor functions need be able to show themselves.
impl<X, D> fmt::Debug for Items<'_, X, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("items", &self.items.len()).field("slack", &self.slack).finish_non_exhaustive()
    }
}

impl<'a, X, D> Items<'a, X, D> {
    /// The metric over `items` (`[items]`), of which `order` (`[len]`) names those at the positions `0..len`.
    ///
    /// # Errors
    /// [`KernelError::TooLong`]; [`KernelError::Key`] when an entry of `order` is no item.
    ///
    /// # Cost
    /// Reads `order` once.
    pub fn new(
        items: &'a [X],
        order: &'a [Idx],
        distance: &'a D,
        witness: &'a dyn Witness,
    ) -> Result<Self, KernelError> {
        let limit = idx_len(items.len())?;
        if let Some(place) = order.iter().position(|row| !(0..limit).contains(row)) {
            return Err(KernelError::Key { at: idx_len(place)?, key: order[place], limit });
        }
        Ok(Self { items, order, distance, slack: Slack::default(), witness })
    }

    /// The same with the slack that the author of the function declares.
    pub fn with_slack(self, slack: Slack) -> Self {
        Self { slack, ..self }
    }

    /// How far computed distances may break the triangle inequality.
    pub fn slack(&self) -> Slack {
        self.slack
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are no positions.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

impl<X: 'static, D: Fn(&X, &X) -> f64> Items<'_, X, D> {
    /// The distance from the query to the item at a position, as every search takes it.
    #[inline(always)]
    pub fn between(&self, query: Item<'_, X>, position: usize) -> f64 {
        let row = self.order[position];
        let item = &self.items[at(row)];
        let swap = !query.outside && row < query.row;
        let distance = if swap { (self.distance)(item, query.value) } else { (self.distance)(query.value, item) };
        if (0.0..f64::INFINITY).contains(&distance) {
            distance + 0.0 // a negative zero becomes zero
        } else {
            self.witness.wrong(query.row, query.outside, row);
            0.0
        }
    }
}

impl<X: 'static, D: Fn(&X, &X) -> f64> Metric for Items<'_, X, D> {
    type Real = f64;
    type Query<'q> = Item<'q, X>;

    #[inline]
    fn positions(&self) -> usize {
        self.len()
    }

    #[inline]
    fn check(&self, _query: Item<'_, X>, len: usize) -> Result<(), KernelError> {
        want("items", len, self.len())
    }

    #[inline(always)]
    fn surrogates<L: Lanes>(&self, query: Item<'_, X>, from: usize, to: usize, _ceiling: f64, out: &mut [f64]) {
        let skip = from % f64::LANES;
        for (position, out) in (from..to).zip(&mut out[skip..]) {
            *out = self.between(query, position);
        }
    }

    #[inline(always)]
    fn ceiling(&self, distance: f64) -> f64 {
        distance
    }

    #[inline(always)]
    fn floor(&self, distance: f64) -> f64 {
        if distance > 0.0 { distance } else { 0.0 }
    }

    #[inline(always)]
    fn at_least<L: Lanes>(&self, surrogate: f64) -> f64 {
        surrogate
    }

    #[inline(always)]
    fn at_most<L: Lanes>(&self, surrogate: f64) -> f64 {
        surrogate
    }

    #[inline(always)]
    fn distance<L: Lanes>(&self, _query: Item<'_, X>, _position: usize, surrogate: f64) -> f64 {
        surrogate
    }

    #[inline(always)]
    fn prefetch<L: Lanes>(&self, position: usize) {
        L::prefetch(self.items, at(self.order[position]));
    }

    #[inline(always)]
    fn prefetch_run<L: Lanes>(&self, from: usize) {
        for line in 0..3 {
            L::prefetch(self.order, from + 16 * line);
        }
    }

    #[inline(always)]
    fn beyond(&self, center: f64, reach: f64) -> f64 {
        center - reach - (self.slack.relative * (center + reach) + self.slack.absolute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::{Arena, Block};
    use crate::index::NONE;
    use crate::simd::Tier;
    use crate::tree::{Group, SearchCounters, TreeParts, TreeView, knn, search_blocks};
    use crate::trials;
    use proptest::prelude::*;
    use std::string::String;
    use std::sync::Mutex;
    use std::vec::Vec;
    use std::{format, vec};

    /// Remembers everything that it is told.
    #[derive(Default)]
    struct Ledger(Mutex<Vec<(Idx, bool, Idx)>>);

    impl Witness for Ledger {
        fn wrong(&self, query: Idx, outside: bool, row: Idx) {
            self.0.lock().unwrap().push((query, outside, row));
        }
    }

    /// The `k` nearest through a tree of one group, whose points stand in the given order.
    fn nearest<X: 'static, D: Fn(&X, &X) -> f64>(
        tier: Tier,
        metric: &Items<'_, X, D>,
        order: &[Idx],
        query: Item<'_, X>,
        k: usize,
    ) -> (Vec<(f64, Idx)>, SearchCounters) {
        let len = order.len() as Idx;
        let levels = vec![0; order.len()];
        let groups = [Group { first: 1, block: len, end: len, reach: f32::INFINITY, ..Group::default() }];
        let parts = TreeParts { ids: order, levels: &levels, groups: &groups, waiting: 1 };
        let mut memory = vec![Block::default(); search_blocks(1)];
        let (mut distances, mut ids) = (vec![-7.0; k], vec![-7; k]);
        let (_, counters) = knn(
            tier,
            TreeView::new(parts).unwrap(),
            metric,
            query,
            NONE,
            &mut distances,
            &mut ids,
            &mut Arena::new(&mut memory),
        )
        .unwrap();
        (distances.into_iter().zip(ids).collect(), counters)
    }

    /// Letters in which two words differ, and the difference of their lengths.
    #[allow(clippy::ptr_arg)] // the items are strings
    fn hamming(a: &String, b: &String) -> f64 {
        (a.chars().zip(b.chars()).filter(|(a, b)| a != b).count() + a.len().abs_diff(b.len())) as f64
    }

    #[test]
    fn words_are_found_by_distance_then_id() {
        let words: Vec<String> = (0..40).map(|i| format!("{:b}", i * i * 7 % 64)).collect();
        let order: Vec<Idx> = (0..40).map(|i| (i * 13 + 5) % 40).collect();
        let metric = Items::new(&words, &order, &hamming, &()).unwrap();
        let query = String::from("10110");
        let mut expected: Vec<(f64, Idx)> =
            words.iter().enumerate().map(|(row, word)| (hamming(&query, word), row as Idx)).collect();
        expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
        for tier in Tier::all() {
            let (found, counters) = nearest(tier, &metric, &order, Item { value: &query, row: 0, outside: true }, 7);
            assert_eq!(found, expected[..7]);
            assert_eq!(counters.distance_evals, 40, "each distance is asked for once");
        }
    }

    #[test]
    fn a_pair_has_one_distance_whichever_way_it_is_asked_for() {
        let items = [10.0, 20.0, 40.0];
        let lopsided = |a: &f64, b: &f64| (a - b).abs() + a * 1e-3;
        let metric = Items::new(&items, &[0, 1, 2], &lopsided, &()).unwrap();
        let member = |row: usize| Item { value: &items[row], row: row as Idx, outside: false };
        assert_eq!((metric.between(member(0), 2), metric.between(member(2), 0)), (30.01, 30.01));
        assert_eq!(metric.between(Item { outside: true, ..member(2) }, 0), 30.04, "the query comes first");
    }

    #[test]
    fn wrong_distances_are_told_and_taken_as_zero() {
        let items = [f64::NAN, -1.0, f64::INFINITY, 3.0, -0.0];
        let ledger = Ledger::default();
        let order = [4, 3, 2, 1, 0];
        let plain = |_: &f64, item: &f64| *item;
        let metric = Items::new(&items, &order, &plain, &ledger).unwrap();
        let (found, _) = nearest(Tier::detect(), &metric, &order, Item { value: &0.0, row: 8, outside: true }, 5);
        assert_eq!(found, [(0.0, 0), (0.0, 1), (0.0, 2), (0.0, 4), (3.0, 3)]);
        assert!(found.iter().all(|(distance, _)| distance.is_sign_positive()));
        assert_eq!(ledger.0.into_inner().unwrap(), [(8, true, 2), (8, true, 1), (8, true, 0)]);
    }

    #[test]
    fn an_order_that_names_no_item_is_refused() {
        let distance = |a: &f64, b: &f64| (a - b).abs();
        for wrong in [-1, 2] {
            let refused = Items::new(&[0.0, 1.0], &[1, wrong], &distance, &()).err();
            assert_eq!(refused, Some(KernelError::Key { at: 1, key: wrong, limit: 2 }));
        }
    }

    proptest! {
        #![proptest_config(trials::cases(256))]

        #[test]
        fn the_declared_slack_covers_a_noisy_function(
            (a, b, c) in (0.0f64..100.0, 0.0f64..100.0, 0.0f64..100.0),
            (relative, absolute) in (0.0f64..1e-3, 0.0f64..1e-2),
            noise in prop::array::uniform3(-1.0f64..1.0),
        ) {
            let far = |x: f64, y: f64, noise: f64| {
                let distance = (x - y).abs();
                (distance + noise * (relative * distance + absolute)).max(0.0)
            };
            let none = |_: &f64, _: &f64| 0.0;
            let slack = Slack { relative: 4.0 * relative, absolute: 4.0 * absolute };
            let metric = Items::new(&[], &[], &none, &()).unwrap().with_slack(slack);
            prop_assert!(metric.beyond(far(a, b, noise[0]), far(b, c, noise[1])) <= far(a, c, noise[2]) + 1e-12);
        }
    }
}
