//! `tree::knn`, `tree::knn_before` with `tree::earliest_ranks`, `tree::search` for all points within a radius and for a
//! covering node (with `tree::cover_ceilings`), `tree::box_of_run` and `tree::farthest`, over trees of both orders of storage.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::SquaredEuclidean;
use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::oracle::tree::HandMade;
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{
    Covering, Ladder, Precedence, TWIN, TreeView, Within, box_of_run, cover_ceilings, earliest_ranks, farthest, knn,
    knn_before, search, search_blocks,
};
use covertree_kernels::view::Panels;

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (len, dim, k) = (1 + bytes.size(70), 1 + bytes.below(6), 1 + bytes.size(80));
    // Small enough that no square leaves the range of `f32`.
    let mut coordinate = || bytes.coordinate().clamp(-1e15, 1e15) as f32;
    let points: Vec<f32> = (0..len * dim).map(|_| coordinate()).collect();
    let query: Vec<f32> = (0..dim).map(|_| coordinate()).collect();
    let made = match bytes.u8() % 3 {
        0 => HandMade::boxed(points, dim, 1 + bytes.below(20), 2 + bytes.below(20)),
        1 => HandMade::balled(points, dim, 1 + bytes.below(20)),
        _ => HandMade::boxed(points, dim, len, 2),
    };
    let before = bytes.below(len + 2) as Idx;
    let levels: Vec<i32> = (0..len).map(|_| [TWIN, -3, -2, -1, 0, 1][bytes.below(6)]).collect();
    let made = made.with_levels(levels);
    let want = made.brute::<SquaredEuclidean>(&query, NONE, f64::sqrt);
    for tier in Tier::all() {
        searches(tier, &made, &query, &want, k);
        earlier(tier, &made, &query, &want, before, k);
        covering(tier, &made, &query);
        let panels = Panels::new(&made.packed, dim, len).unwrap();
        let (mut low, mut high) = (vec![f32::NAN; dim], vec![f32::NAN; dim]);
        box_of_run(tier, panels, len / 3, len, &mut low, &mut high).unwrap();
        for d in 0..dim {
            let column = made.data[len / 3 * dim..].iter().skip(d).step_by(dim).copied();
            let bounds = column.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
            assert_eq!((low[d], high[d]), bounds, "{tier}, dimension {d}");
        }
        let (reach, counters) = farthest(tier, &made.metric::<SquaredEuclidean>(), &query, len / 3, len).unwrap();
        let run = want.iter().filter(|(_, id)| made.ids[len / 3..].contains(id));
        assert_eq!(reach, run.map(|pair| pair.0).fold(0.0, f64::max), "{tier}");
        assert!(counters.settled <= counters.distance_evals && counters.distance_evals == (len - len / 3) as u64);
    }
}

fn searches(tier: Tier, made: &HandMade<f32>, query: &[f32], want: &[(f64, Idx)], k: usize) {
    let (view, metric) = (TreeView::new(made.parts()).unwrap(), made.metric::<SquaredEuclidean>());
    let mut memory = vec![Block::splat(0xdead_beef); search_blocks(made.waiting)];
    let (mut distances, mut found) = (vec![-7.0; k], vec![-7; k]);
    knn(tier, view, &metric, query, NONE, &mut distances, &mut found, &mut Arena::new(&mut memory)).unwrap();
    assert_answers(tier, want, &distances, &found);

    let len = made.len();
    let radius = want[len / 2].0;
    let inside = want.iter().filter(|(distance, _)| *distance <= radius).count();
    let (mut near, mut apart) = (vec![-7; len], vec![-7.0; len]);
    let visitor = Within::new(&made.ids, NONE, radius, &mut near, &mut apart).unwrap();
    let (visitor, _) = search(tier, view, &metric, query, visitor, &mut Arena::new(&mut memory)).unwrap();
    assert_eq!(visitor.found().unwrap(), inside as Idx, "{tier}");
    let mut pairs: Vec<(f64, Idx)> = apart.into_iter().zip(near).take(inside).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    assert_eq!(pairs, want[..inside], "{tier}");
}

/// Among the points that come before a rank: in the order of the ids, and in another one.
fn earlier(tier: Tier, made: &HandMade<f32>, query: &[f32], want: &[(f64, Idx)], before: Idx, k: usize) {
    let (view, metric) = (TreeView::new(made.parts()).unwrap(), made.metric::<SquaredEuclidean>());
    let mut memory = vec![Block::splat(0xdead_beef); search_blocks(made.waiting)];
    let backwards: Vec<Idx> = made.ids.iter().map(|id| made.len() as Idx - 1 - id).collect();
    for ranks in [&made.ids, &backwards] {
        let mut earliest = vec![-7; made.groups.len()];
        earliest_ranks(view, ranks, &mut earliest).unwrap();
        for (group, &least) in made.groups.iter().zip(&earliest) {
            let run = ranks[at(group.first)..at(group.end)].iter();
            assert_eq!(least, run.copied().min().unwrap_or(Idx::MAX));
        }
        let precedence = Precedence::new(view, ranks, &earliest).unwrap();
        let (mut distances, mut found) = (vec![-7.0; k], vec![-7; k]);
        let arena = &mut Arena::new(&mut memory);
        knn_before(tier, view, &metric, query, precedence, before, &mut distances, &mut found, arena).unwrap();
        let rank = |id: Idx| if ranks == &made.ids { id } else { made.len() as Idx - 1 - id };
        let want: Vec<(f64, Idx)> = want.iter().copied().filter(|(_, id)| rank(*id) < before).collect();
        assert_answers(tier, &want, &distances, &found);
    }
}

/// The node that covers the query on the lowest level.
fn covering(tier: Tier, made: &HandMade<f32>, query: &[f32]) {
    let (view, metric) = (TreeView::new(made.parts()).unwrap(), made.metric::<SquaredEuclidean>());
    let radii = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 1e10];
    let ladder = Ladder::new(&radii, -2).unwrap();
    let mut ceilings = vec![-7.0; made.len().next_multiple_of(16)];
    cover_ceilings(&metric, ladder, &made.levels, &mut ceilings).unwrap();
    let want = made.nearest_covering::<SquaredEuclidean>(query, ladder, f64::sqrt);
    let mut memory = vec![Block::splat(0xdead_beef); search_blocks(made.waiting)];
    for nearest in [true, made.corners.is_empty()] {
        let visitor = Covering::new(view, ladder, &ceilings, nearest).unwrap();
        let (visitor, _) = search(tier, view, &metric, query, visitor, &mut Arena::new(&mut memory)).unwrap();
        let found = visitor.found().map(|(place, distance)| (distance, made.ids[at(place)]));
        let level = |distance: f64| (distance > 0.0).then(|| ladder.level_over(distance));
        assert_eq!(found.map(|found| level(found.0)), want.map(|want| level(want.0)), "{tier}");
        assert!(!nearest || found == want, "{tier}: {found:?} is not {want:?}");
    }
}

/// The answers are the first of those that are wanted, then padding.
fn assert_answers(tier: Tier, want: &[(f64, Idx)], distances: &[f64], found: &[Idx]) {
    for (place, (&distance, &id)) in distances.iter().zip(found).enumerate() {
        let want = want.get(place).copied().unwrap_or((f64::INFINITY, NONE));
        assert_eq!((distance, id), want, "{tier}, neighbour {place}");
    }
}
