use super::*;
use crate::arena::{Arena, Block};
use crate::dist::Chebyshev;
use crate::index::{Idx, NONE, at};
use crate::oracle::tree::HandMade;
use crate::simd::{OnLanes, Tier};
use crate::tree::promises::pack;
use crate::tree::{Group, Slack, TreeParts, TreeView, Within, box_of_run, knn, scalar, search, search_blocks};
use crate::trials;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// Bits in which two numbers differ: few values, so ties everywhere.
fn hamming(a: &u64, b: &u64) -> f64 {
    f64::from((a ^ b).count_ones())
}

fn member<X>(items: &[X], row: usize) -> Item<'_, X> {
    Item { value: &items[row], row: row as Idx, outside: false }
}

/// Pivots, each the farthest from those before it, the distances of all items to them, row by row, and the largest.
fn chosen<X: 'static, D: Fn(&X, &X) -> f64>(
    metric: &Items<'_, X, D>,
    items: &[X],
    count: usize,
) -> (Vec<usize>, Vec<f64>, f64) {
    let (mut rows, mut columns, mut farthest, mut row) = (Vec::new(), Vec::new(), 0.0, 0);
    let mut least = vec![f64::INFINITY; items.len()];
    for _ in 0..count {
        let mut column = vec![-7.0; items.len()];
        let found = metric.remotest(member(items, row), 0, &mut column, &mut least).unwrap();
        farthest = f64::max(farthest, found.largest);
        columns.push(column);
        rows.push(row);
        row = found.position;
    }
    let table = (0..items.len()).flat_map(|item| columns.iter().map(move |column| column[item])).collect();
    (rows, table, farthest)
}

/// For a query, the surrogate, the distance and the lower bound of each item.
struct Measure<'m, 'q, X: 'static, D: Fn(&X, &X) -> f64>(&'m PivotItems<'m, X, D>, PivotItem<'q, X>);

impl<X: 'static, D: Fn(&X, &X) -> f64> OnLanes for Measure<'_, '_, X, D> {
    type Out = Vec<(f32, f64, f64)>;
    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let Self(metric, query) = self;
        let mut out = vec![-7.0; metric.items.len().next_multiple_of(f32::LANES)];
        metric.surrogates::<L>(query, 0, metric.items.len(), f32::INFINITY, &mut out);
        let one = |(position, surrogate): (usize, &f32)| {
            (*surrogate, metric.distance::<L>(query, position, *surrogate), metric.at_least::<L>(*surrogate))
        };
        out[..metric.items.len()].iter().enumerate().map(one).collect()
    }
}

/// Checks every bound, and a search over two groups with boxes, for queries that are items and for one that is none.
fn check<X: Clone + 'static, D: Fn(&X, &X) -> f64>(items: &[X], other: &X, pivots: usize, slack: Slack, distance: &D) {
    let len = items.len();
    let order: Vec<Idx> = (0..len as Idx).collect();
    let plain = || Items::new(items, &order, distance, &()).unwrap().with_slack(slack);
    let (rows, table, farthest) = chosen(&plain(), items, pivots);
    let scale = PivotScale::of(farthest);
    let table: Vec<f32> = table.into_iter().map(|distance| scale.coordinate(distance)).collect();
    assert!(table.iter().all(|coordinate| (0.0..=4.0).contains(coordinate)));
    let packed = pack(&table, pivots);
    let panels = Panels::new(&packed, pivots, len).unwrap();
    let half = 1 + len / 2;
    let part = |first: usize, end: usize| Group {
        first: first as Idx,
        block: end as Idx,
        end: end as Idx,
        center: first as Idx,
        reach: f32::INFINITY,
        ..Group::default()
    };
    let groups = [Group { block: 1, center: 0, kids: 1, kids_end: 3, ..part(1, len) }, part(1, half), part(half, len)];
    let levels = vec![0; len];
    let parts = TreeParts { ids: &order, levels: &levels, groups: &groups, waiting: 2 };
    let outside = Item { value: other, row: 0, outside: true };
    for tier in Tier::all() {
        let mut corners = vec![0.0; 2 * pivots * 3];
        for (corner, group) in corners.chunks_exact_mut(2 * pivots).zip(&groups) {
            let (low, high) = corner.split_at_mut(pivots);
            box_of_run(tier, panels, group.first as usize, group.end as usize, low, high).unwrap();
        }
        let corners = pack(&corners, 2 * pivots);
        let boxes = Boxes::new(Panels::new(&corners, 2 * pivots, 3).unwrap()).unwrap();
        let metric = PivotItems::new(plain(), panels, farthest).unwrap().with_boxes(boxes).unwrap();
        for query in trials::thin(5, (0..len).map(|row| member(items, row)).chain([outside])) {
            let mut coordinates = [0.0; PIVOTS_MAX];
            for (out, &row) in coordinates.iter_mut().zip(&rows) {
                *out = scale.coordinate(metric.items.between(query, row));
            }
            let query = PivotItem::new(query, &coordinates[..pivots]).unwrap();
            let mut all = Vec::new();
            for (id, (surrogate, distance, at_least)) in tier.run(Measure(&metric, query)).into_iter().enumerate() {
                assert!(surrogate <= metric.ceiling(distance), "{surrogate:e} hides an item at {distance:e}");
                assert!(at_least <= distance, "{at_least:e} is no bound of {distance:e}");
                all.push((distance, id as Idx));
            }
            all.sort_by(|a, b| a.partial_cmp(b).unwrap());
            for k in [1, 4, len + 1] {
                let (mut distances, mut ids) = (vec![-7.0; k], vec![-7; k]);
                let mut memory = vec![Block::default(); search_blocks(2)];
                let (view, arena) = (TreeView::new(parts).unwrap(), &mut Arena::new(&mut memory));
                knn(tier, view, &metric, query, NONE, &mut distances, &mut ids, arena).unwrap();
                let found: Vec<(f64, Idx)> = distances.into_iter().zip(ids).take(len).collect();
                assert_eq!(found, all[..k.min(len)]);
                let (mut plain, mut plain_ids) = (vec![-7.0; k], vec![-7; k]);
                scalar::knn(view, &metric, query, NONE, &mut plain, &mut plain_ids);
                assert!(plain.into_iter().zip(plain_ids).take(len).eq(found));
                // The points up to the farthest of these, but for the nearest.
                let (except, radius) = (all[0].1, all[k.min(len) - 1].0);
                let (mut distances, mut ids) = (vec![-7.0; len], vec![-7; len]);
                let within = Within::new(parts.ids, except, radius, &mut ids, &mut distances).unwrap();
                let (view, arena) = (TreeView::new(parts).unwrap(), &mut Arena::new(&mut memory));
                let (within, _) = search(tier, view, &metric, query, within, arena).unwrap();
                let count = at(within.found().unwrap());
                let mut found: Vec<(f64, Idx)> = distances.into_iter().zip(ids).take(count).collect();
                found.sort_by(|a, b| a.partial_cmp(b).unwrap());
                assert!(all[1..].iter().filter(|(distance, _)| *distance <= radius).eq(&found));
            }
        }
    }
}

#[test]
fn words_of_bits_are_found_by_any_number_of_pivots() {
    // Of 291 items, each of the two groups has more than are noted together.
    let items: Vec<u64> = (0..291u64).map(|i| crate::hash::mix64(i) % 512).collect();
    for (pivots, len) in [(1, 291), (2, 61), (PIVOTS_MAX, 131)] {
        check(&items[..len], &0b1_0110, pivots, Slack::default(), &hamming);
    }
}

#[test]
fn a_tree_of_so_many_layers_that_not_all_that_waits_is_compared_answers_as_well() {
    // Along a line with noise.
    let noise = |i: u64| (crate::hash::mix64(i) % 1024) as f64 / 64.0;
    let items: Vec<[f64; 2]> = (0..700u64).map(|i| [i as f64 / 16.0 + noise(i), noise(!i)]).collect();
    let order: Vec<Idx> = (0..700).collect();
    let calls = core::cell::Cell::new(0);
    let apart = |a: &[f64; 2], b: &[f64; 2]| {
        calls.set(calls.get() + 1);
        (a[0] - b[0]).abs() + (a[1] - b[1]).abs()
    };
    let plain = || Items::new(&items, &order, &apart, &()).unwrap();
    let (rows, table, farthest) = chosen(&plain(), &items, 2);
    let scale = PivotScale::of(farthest);
    let table: Vec<f32> = table.into_iter().map(|distance| scale.coordinate(distance)).collect();
    let made = HandMade::<f32>::boxed(table, 2, 2, 3);
    let view = TreeView::new(made.parts()).unwrap();
    let coordinates = made.metric::<Chebyshev>();
    let metric = PivotItems::new(plain(), coordinates.points(), farthest).unwrap();
    let metric = metric.with_boxes(coordinates.boxes().unwrap()).unwrap();
    for (number, tier) in (0..12).flat_map(|number| Tier::all().map(move |tier| (number, tier))) {
        let value = [noise(1000 + number) * 4.0, noise(2000 + number)];
        let item = Item { value: &value, row: 0, outside: true };
        let pivots = [0, 1].map(|pivot| scale.coordinate(metric.items.between(item, rows[pivot])));
        let query = PivotItem::new(item, &pivots).unwrap();
        let measured = tier.run(Measure(&metric, query));
        let mut all: Vec<(f64, Idx)> = measured.iter().zip(&made.ids).map(|(found, &id)| (found.1, id)).collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        for k in [1, 5, 40, 500] {
            let (mut distances, mut ids) = (vec![-7.0; k], vec![-7; k]);
            let mut memory = vec![Block::default(); search_blocks(made.waiting)];
            calls.set(0);
            let arena = &mut Arena::new(&mut memory);
            let (_, work) = knn(tier, view, &metric, query, NONE, &mut distances, &mut ids, arena).unwrap();
            assert!(distances.into_iter().zip(ids).eq(all[..k].iter().copied()), "{k} of query {number}, {tier}");
            assert_eq!(calls.get(), work.settled);
            assert!(work.groups + work.pruned <= made.groups.len() as u64, "{work:?}");
        }
    }
}

#[test]
fn nothing_is_asked_for_that_a_group_to_be_opened_might_undercut() {
    // On a line, where the pivot at 0 tells every distance: 21 is in the nearer group, 20 in the other, and then comes 22.
    let items: Vec<f64> = (0..41).map(f64::from).collect();
    let order: Vec<Idx> = (0..41).collect();
    let calls = core::cell::Cell::new(0);
    let apart = |a: &f64, b: &f64| {
        calls.set(calls.get() + 1);
        (a - b).abs()
    };
    let (scale, value) = (PivotScale::of(40.0), 20.6);
    let table: Vec<f32> = items.iter().map(|&item| scale.coordinate(item)).collect();
    let packed = pack(&table, 1);
    let panels = Panels::new(&packed, 1, 41).unwrap();
    let part = |first: Idx, end: Idx| Group { first, block: end, end, center: first, ..Group::default() };
    let groups = [Group { block: 1, center: 0, kids: 1, kids_end: 3, ..part(1, 41) }, part(1, 21), part(21, 41)];
    let levels = [0; 41];
    let view = TreeView::new(TreeParts { ids: &order, levels: &levels, groups: &groups, waiting: 2 }).unwrap();
    for tier in Tier::all() {
        let mut corners = [0.0; 6];
        for (corner, group) in corners.chunks_exact_mut(2).zip(&groups) {
            let (low, high) = corner.split_at_mut(1);
            box_of_run(tier, panels, at(group.first), at(group.end), low, high).unwrap();
        }
        let corners = pack(&corners, 2);
        let boxes = Boxes::new(Panels::new(&corners, 2, 3).unwrap()).unwrap();
        let plain = Items::new(&items, &order, &apart, &()).unwrap();
        let metric = PivotItems::new(plain, panels, 40.0).unwrap().with_boxes(boxes).unwrap();
        let query = PivotItem::new(Item { value: &value, row: 0, outside: true }, &[scale.coordinate(value)]).unwrap();
        let (mut distances, mut ids) = ([-7.0; 3], [-7; 3]);
        let mut memory = vec![Block::default(); search_blocks(2)];
        calls.set(0);
        knn(tier, view, &metric, query, NONE, &mut distances, &mut ids, &mut Arena::new(&mut memory)).unwrap();
        assert_eq!((ids, calls.get()), ([21, 20, 22], 3), "{tier}");
    }
}

#[test]
fn the_root_is_asked_for_last_and_so_mostly_never() {
    use core::sync::atomic::{AtomicBool, Ordering};
    const FAR: f64 = 1e6;
    let items: Vec<f64> = core::iter::once(FAR).chain((0..40).map(f64::from)).collect();
    let order: Vec<Idx> = (0..41).collect();
    let asked = AtomicBool::new(false);
    let apart = |a: &f64, b: &f64| {
        asked.fetch_or(*b == FAR, Ordering::Relaxed);
        (a - b).abs()
    };
    let scale = PivotScale::of(FAR);
    let table: Vec<f32> = items.iter().map(|&item| scale.coordinate(item)).collect(); // the distances to 0
    let packed = pack(&table, 1);
    let panels = Panels::new(&packed, 1, 41).unwrap();
    let groups = [Group { first: 1, block: 41, end: 41, reach: f32::INFINITY, ..Group::default() }];
    let levels = [0; 41];
    let view = TreeView::new(TreeParts { ids: &order, levels: &levels, groups: &groups, waiting: 1 }).unwrap();
    for tier in Tier::all() {
        let mut corner = [0.0; 2];
        let (low, high) = corner.split_at_mut(1);
        box_of_run(tier, panels, 1, 41, low, high).unwrap();
        let corners = pack(&corner, 2);
        let boxes = Boxes::new(Panels::new(&corners, 2, 1).unwrap()).unwrap();
        let plain = Items::new(&items, &order, &apart, &()).unwrap();
        let metric = PivotItems::new(plain, panels, FAR).unwrap().with_boxes(boxes).unwrap();
        let nearest = |value: &f64| {
            let query = PivotItem::new(Item { value, row: 0, outside: true }, &[scale.coordinate(*value)]).unwrap();
            let (mut distances, mut ids) = ([-7.0; 3], [-7; 3]);
            let mut memory = vec![Block::default(); search_blocks(1)];
            let arena = &mut Arena::new(&mut memory);
            knn(tier, view, &metric, query, NONE, &mut distances, &mut ids, arena).unwrap();
            (ids, distances, asked.swap(false, Ordering::Relaxed))
        };
        assert_eq!(nearest(&20.25), ([21, 22, 20], [0.25, 0.75, 1.25], false), "{tier}");
        assert_eq!(nearest(&FAR), ([0, 40, 39], [0.0, FAR - 39.0, FAR - 38.0], true), "{tier}");
    }
}

#[test]
fn pivots_are_remote_from_each_other() {
    let items: Vec<u64> = (0..97u64).map(|i| crate::hash::mix64(i) % 4096).collect();
    let order: Vec<Idx> = (0..97).collect();
    let metric = Items::new(&items, &order, &hamming, &()).unwrap();
    let (rows, table, farthest) = chosen(&metric, &items, 5);
    for (place, &row) in rows.iter().enumerate().skip(1) {
        let least = |item: usize| rows[..place].iter().map(|&row| hamming(&items[row], &items[item]) as u32).min();
        let best = (0..97).map(|item| least(item).unwrap()).max().unwrap();
        assert_eq!(Some(row), (0..97).find(|&item| least(item).unwrap() == best), "pivot {place}");
    }
    assert_eq!(farthest, table.iter().copied().fold(0.0, f64::max));
    // Two runs are one.
    let (mut whole, mut halves) = (vec![f64::INFINITY; 97], vec![f64::INFINITY; 97]);
    let (mut column, mut parts) = (vec![0.0; 97], vec![0.0; 97]);
    let all = metric.remotest(member(&items, 3), 0, &mut column, &mut whole).unwrap();
    let (left, right) = parts.split_at_mut(40);
    let (low, high) = halves.split_at_mut(40);
    let front = metric.remotest(member(&items, 3), 0, left, low).unwrap();
    assert_eq!(front.join(metric.remotest(member(&items, 3), 40, right, high).unwrap()), all);
    assert_eq!((column, whole), (parts, halves));
}

#[test]
fn a_run_that_does_not_fit_is_refused_before_the_function_is_called() {
    let (items, order) = ([5, 6, 7, 8], [0, 1, 2, 3]);
    let never = |_: &u64, _: &u64| -> f64 { panic!("the function is called") };
    let metric = Items::new(&items, &order, &never, &()).unwrap();
    let (mut column, mut least) = ([-7.0; 5], [-7.0; 5]);
    let mut call = |from: usize, columns: usize, leasts: usize| {
        let refused = metric.remotest(member(&items, 0), from, &mut column[..columns], &mut least[..leasts]);
        (column, least) = ([-7.0; 5], [-7.0; 5]);
        refused
    };
    assert_eq!(call(0, 4, 3), Err(KernelError::Shape { what: "least", want: 4, got: 3 }));
    assert_eq!(call(0, 5, 5), Err(KernelError::Key { at: 1, key: 5, limit: 4 }));
    assert_eq!(call(3, 2, 2), Err(KernelError::Key { at: 1, key: 5, limit: 4 }));
    assert_eq!(call(usize::MAX, 2, 2), Err(KernelError::Key { at: 1, key: Idx::MAX, limit: 4 }));
    assert_eq!(call(4, 0, 0), Ok(Remotest { position: 4, ..Remotest::default() }), "no items are no work");
}

#[test]
fn what_does_not_fit_is_refused() {
    let (items, order) = ([1, 2, 3], [0, 1, 2]);
    let metric = || Items::new(&items, &order, &hamming, &()).unwrap();
    let table = pack(&[0.0; 51], 17);
    let wide = Panels::new(&table, 17, 3).unwrap();
    let refused = PivotItems::new(metric(), wide, 1.0).err();
    assert_eq!(refused, Some(KernelError::Shape { what: "pivots", want: 16, got: 17 }));
    let short = Panels::new(&table[..32], 2, 2).unwrap();
    let refused = PivotItems::new(metric(), short, 1.0).err();
    assert_eq!(refused, Some(KernelError::Shape { what: "table", want: 3, got: 2 }));
    let fine = PivotItems::new(metric(), Panels::new(&table[..32], 2, 3).unwrap(), 1.0).unwrap();
    let boxes = Boxes::new(Panels::new(&table[..32], 2, 1).unwrap()).unwrap();
    assert_eq!(fine.with_boxes(boxes).err(), Some(KernelError::Shape { what: "boxes", want: 2, got: 1 }));
    let refused = PivotItem::new(member(&items, 0), &[0.0; 17]).err();
    assert_eq!(refused, Some(KernelError::Shape { what: "coordinates", want: 16, got: 17 }));
    // Coordinates that are missing are not taken for zeros.
    let fine = PivotItems::new(metric(), Panels::new(&table[..32], 2, 3).unwrap(), 1.0).unwrap();
    let check = |axes: usize| fine.check(PivotItem::new(member(&items, 0), &[0.0; 4][..axes]).unwrap(), 3);
    assert_eq!(check(2), Ok(()));
    for axes in [0, 1, 3] {
        assert_eq!(check(axes), Err(KernelError::Shape { what: "query", want: 2, got: axes }));
    }
}

#[test]
fn coordinates_are_near_one_and_far_queries_stay_in_range() {
    let tiny = f64::from_bits(1);
    for farthest in [1.0, 0.3, 4.0, 1e-300, tiny, f64::MIN_POSITIVE, 1e300, f64::MAX] {
        let scale = PivotScale::of(farthest);
        let largest = scale.coordinate(farthest);
        assert!((0.0..=if farthest > 1e307 { 4.0 } else { 1.0 }).contains(&largest), "{farthest:e} has {largest:e}");
        assert!(farthest < 1e-301 || largest >= 0.5, "{farthest:e} has {largest:e}");
        let far = scale.coordinate(f64::MAX);
        assert!((largest..=1.5e30).contains(&far), "{farthest:e}: {far:e}");
    }
    for odd in [0.0, f64::INFINITY, f64::NAN, -1.0] {
        assert!(PivotScale::of(odd).coordinate(0.0) == 0.0 && PivotScale::of(odd).coordinate(1.0).is_finite());
    }
}

#[test]
fn distances_of_every_size_are_bounded() {
    let apart = |a: &f64, b: &f64| (a - b).abs();
    // Near ties beside what is far, in the whole range of `f64`, and queries far outside of the items.
    for magnitude in trials::thin(5, [1.0, 1e-310, 1e-160, 1e30, 1e150, 1e300]) {
        let items: Vec<f64> = (0..40).map(|i| magnitude * (f64::from(i % 8) + 1e-9 * f64::from(i))).collect();
        for other in [magnitude * 3.000_000_1, magnitude * 1e7, 1e307, 0.0] {
            check(&items, &other, 3, Slack::default(), &apart);
        }
    }
}

#[test]
fn as_many_pivots_are_worth_having_as_tell_more_apart() {
    // Places in a plane and, far outside of them, three pivots: two tell all apart, the third one adds nothing.
    let places: Vec<[f64; 2]> = (0..49).map(|i| [f64::from(i % 7), f64::from(i / 7)]).collect();
    let larger = |a: &[f64; 2], b: &[f64; 2]| f64::max((a[0] - b[0]).abs(), (a[1] - b[1]).abs());
    let distances: Vec<f64> = places.iter().flat_map(|a| places.iter().map(move |b| larger(a, b))).collect();
    let table: Vec<f64> =
        places.iter().flat_map(|place| [100.0 + place[0], 100.0 + place[1], 100.0 + place[0]]).collect();
    assert_eq!(pivots_worth_having(&distances, &table, 3), Ok(2));
    // Pivots that are as far from everything tell nothing apart.
    assert_eq!(pivots_worth_having(&distances, &[5.0; 147], 3), Ok(1));
    assert_eq!(pivots_worth_having(&[], &[], 3), Ok(1));
    let none = pivots_worth_having(&[], &[], 0);
    assert_eq!(none, Err(KernelError::Least { what: "pivots", least: 1, got: 0 }));
    assert_eq!(pivots_worth_having(&[], &[], 17), Err(KernelError::Value { what: "pivots", at: 17 }));
    let short = pivots_worth_having(&distances[1..], &table, 3);
    assert_eq!(short, Err(KernelError::Shape { what: "distances", want: 2401, got: 2400 }));
}

proptest! {
    #![proptest_config(trials::cases(48))]

    #[test]
    fn a_noisy_function_is_bounded_within_its_slack(
        places in prop::collection::vec((-100.0f64..100.0, -1.0f64..1.0), 8..40),
        pivots in 1usize..5,
        (relative, absolute) in (0.0f64..1e-3, 0.0f64..1e-2),
        magnitude in -200i32..200,
    ) {
        let scale = libm::pow(10.0, f64::from(magnitude));
        // A distance that is off by a share that depends on the pair, and symmetric.
        let noisy = move |a: &(f64, f64), b: &(f64, f64)| {
            let distance = (a.0 - b.0).abs();
            let noise = a.1 * b.1;
            ((distance + noise * (relative * distance + absolute)) * scale).max(0.0)
        };
        // Each of three distances may be off.
        let slack = Slack { relative: 4.0 * relative + 4.0 * f64::EPSILON, absolute: 4.0 * absolute * scale };
        let (other, items) = places.split_last().unwrap();
        check(items, other, pivots, slack, &noisy);
    }
}
