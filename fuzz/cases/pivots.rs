//! `tree::PivotItems`: any items under a function that is a metric, told apart by their distances to pivots; with
//! `Items::remotest` and `tree::pivots_worth_having`, which choose these.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::oracle::tree::HandMade;
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{
    Boxes, Item, Items, PIVOTS_MAX, PivotItem, PivotItems, PivotScale, Slack, TreeView, knn, pivots_worth_having,
    search_blocks,
};
use covertree_kernels::view::Panels;

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (len, k) = (1 + bytes.below(150), 1 + bytes.below(20));
    let (leaf, fan, most) = (1 + bytes.below(40), 2 + bytes.below(20), 1 + bytes.below(PIVOTS_MAX));
    if bytes.u8() % 2 == 0 {
        let items: Vec<u64> = (0..=len).map(|_| bytes.u64()).collect();
        answers(&items, [leaf, fan, most, k], |a, b| f64::from((a ^ b).count_ones()));
    } else {
        // Distances of every size, and so near to each other that rounding decides.
        let items: Vec<f64> = (0..=len).map(|_| bytes.coordinate().clamp(-1e300, 1e300)).collect();
        answers(&items, [leaf, fan, most, k], |a, b| (a - b).abs());
    }
}

/// The last of the items is asked for among the others.
fn answers<X: Copy + 'static>(items: &[X], [leaf, fan, most, k]: [usize; 4], distance: impl Fn(&X, &X) -> f64) {
    let Some((asked, items)) = items.split_last() else { return };
    let len = items.len();
    let rows: Vec<Idx> = (0..len as Idx).collect();
    let plain = Items::new(items, &rows, &distance, &()).unwrap();
    let member = |row: usize| Item { value: &items[row], row: row as Idx, outside: false };
    let (mut columns, mut pivots, mut farthest) = (Vec::new(), vec![0], 0.0);
    let mut least = vec![f64::INFINITY; len];
    for place in 0..most {
        let mut column = vec![-7.0; len];
        let found = plain.remotest(member(pivots[place]), 0, &mut column, &mut least).unwrap();
        let far =
            |row: usize| pivots.iter().map(|&pivot| distance(&items[pivot], &items[row])).fold(f64::INFINITY, f64::min);
        let best = (0..len).map(far).fold(0.0, f64::max);
        assert_eq!((found.distance, Some(found.position)), (best, (0..len).find(|&row| far(row) == best)));
        assert!(
            (0..len).all(|row| column[row] == distance(&items[pivots[place]], &items[row]) && least[row] == far(row))
        );
        farthest = f64::max(farthest, found.largest);
        columns.push(column);
        pivots.push(found.position);
    }
    let table: Vec<f64> = (0..len).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
    let all: Vec<f64> = items.iter().flat_map(|a| items.iter().map(|b| distance(a, b))).collect();
    assert!((1..=most).contains(&pivots_worth_having(&all, &table, most).unwrap()));

    let scale = PivotScale::of(farthest);
    let table: Vec<f32> = table.into_iter().map(|distance| scale.coordinate(distance)).collect();
    let made = HandMade::boxed(table, most, leaf, fan);
    let panels = Panels::new(&made.packed, most, len).unwrap();
    let boxes = Boxes::new(Panels::new(&made.corners, 2 * most, made.groups.len()).unwrap()).unwrap();
    let metric =
        PivotItems::new(plain.with_slack(Slack::default()), panels, farthest).unwrap().with_boxes(boxes).unwrap();
    let to_pivots = pivots[..most].iter().map(|&pivot| scale.coordinate(distance(asked, &items[pivot])));
    let to_pivots: Vec<f32> = to_pivots.collect();
    let query = PivotItem::new(Item { value: asked, row: 0, outside: true }, &to_pivots).unwrap();
    let mut want: Vec<(f64, Idx)> =
        items.iter().zip(&made.ids).map(|(item, &id)| (distance(asked, item), id)).collect();
    want.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for tier in Tier::all() {
        let mut memory = vec![Block::splat(0xdead_beef); search_blocks(made.waiting)];
        let (mut distances, mut found) = (vec![-7.0; k], vec![-7; k]);
        let (view, arena) = (TreeView::new(made.parts()).unwrap(), &mut Arena::new(&mut memory));
        knn(tier, view, &metric, query, NONE, &mut distances, &mut found, arena).unwrap();
        for (place, answer) in distances.into_iter().zip(found).enumerate() {
            assert_eq!(answer, want.get(place).copied().unwrap_or((f64::INFINITY, NONE)), "{tier}, neighbour {place}");
        }
    }
}
