use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::arena::{Arena, Block};
use crate::dist::{Chebyshev, Form, Manhattan, SquaredEuclidean};
use crate::hash::mix64;
use crate::index::NONE;
use crate::oracle::tree::HandMade;
use crate::simd::{Real, Tier};
use crate::trials;
use crate::view::{Panels, panels_len};

/// What a traversal for one query of a tree with so many points and groups may have counted.
fn assert_lawful(counters: &SearchCounters, made: &HandMade<impl Real>) {
    assert!(
        counters.settled <= counters.distance_evals && counters.distance_evals <= made.len() as u64,
        "{counters:?}"
    );
    assert!(counters.groups + counters.pruned <= made.groups.len() as u64, "{counters:?}");
}

/// Compares the nearest points on every tier, and those of the plain twin, with brute force.
fn check<T: Real, F: Form>(made: &HandMade<T>, query: &[T], k: usize, except: Idx, finish: fn(f64) -> f64) {
    let (view, metric) = (TreeView::new(made.parts()).unwrap(), made.metric::<F>());
    let want = made.brute::<F>(query, except, finish);
    let (mut plain, mut plain_ids) = (vec![-7.0; k], vec![-7; k]);
    assert_eq!(scalar::knn(view, &metric, query, except, &mut plain, &mut plain_ids), k.min(want.len()));
    for tier in Tier::all() {
        let mut memory = vec![Block::splat(0xdead_beef); search_blocks(made.waiting)];
        let (mut distances, mut ids) = (vec![-7.0; k], vec![-7; k]);
        let mut arena = Arena::new(&mut memory);
        let (found, counters) = knn(tier, view, &metric, query, except, &mut distances, &mut ids, &mut arena).unwrap();
        assert_eq!(found, k.min(want.len()), "{tier}");
        assert!(counters.settled as usize >= found);
        assert_lawful(&counters, made);
        for place in 0..k {
            let want = want.get(place).copied().unwrap_or((f64::INFINITY, NONE));
            assert_eq!((distances[place], ids[place]), want, "{tier}, neighbour {place}");
        }
        assert_eq!((&distances, &ids), (&plain, &plain_ids), "{tier}");
    }
}

/// Coordinates along a line of growing numbers, with noise: neighbours in order are neighbours in space, more or less.
fn points<T: Real>(len: usize, dim: usize, seed: u64, kind: usize) -> Vec<T> {
    (0..len * dim)
        .map(|i| {
            let noise = (mix64(seed ^ i as u64) >> 11) as f64 / (1u64 << 53) as f64;
            T::from_f64(match kind {
                0 => noise + (i / dim) as f64 / 64.0,
                1 => (noise * 4.0).floor(),  // a lattice full of ties
                2 => ((i / dim) / 5) as f64, // duplicates
                _ => 1e19 * noise,           // squares near the end of the range of f32
            })
        })
        .collect()
}

fn boxes_of_runs<T: Real>() {
    let (len, dim) = (50, 3);
    let rows: Vec<T> = points(len, dim, 7, 0);
    let mut packed = vec![T::from_f64(f64::NAN); panels_len::<T>(len, dim)]; // padding must not be looked at
    for (i, &value) in rows.iter().enumerate() {
        let (row, d) = (i / dim, i % dim);
        packed[(row / T::LANES * dim + d) * T::LANES + row % T::LANES] = value;
    }
    let packed = Panels::new(&packed, dim, len).unwrap();
    for from in trials::thin(5, 0..len) {
        for to in from + 1..=len {
            for tier in Tier::all() {
                let (mut low, mut high) = ([T::from_f64(-9.0); 2], [T::from_f64(9.0); 2]);
                box_of_run(tier, packed, from, to, &mut low, &mut high).unwrap();
                for d in 0..2 {
                    let (least, most) = rows[from * dim..to * dim]
                        .iter()
                        .skip(d)
                        .step_by(dim)
                        .fold((T::INFINITY, T::default()), |(low, high), &x| {
                            (if x < low { x } else { low }, if x > high { x } else { high })
                        });
                    assert_eq!((low[d], high[d]), (least, most), "{tier} {from}..{to}");
                }
                let (mut plain_low, mut plain_high) = ([T::from_f64(-9.0); 2], [T::from_f64(9.0); 2]);
                scalar::box_of_run(packed, from, to, &mut plain_low, &mut plain_high);
                assert_eq!((low, high), (plain_low, plain_high), "{tier} {from}..{to}");
            }
        }
    }
}

#[test]
fn queries_of_another_shape_are_refused() {
    let made = HandMade::<f64>::boxed(points(40, 3, 1, 0), 3, 11, 5);
    let (view, metric) = (TreeView::new(made.parts()).unwrap(), made.metric::<SquaredEuclidean>());
    let mut memory = vec![Block::default(); search_blocks(made.waiting)];
    let (mut distances, mut ids) = ([-7.0; 2], [-7; 2]);
    for query in [&[0.5; 2][..], &[0.5; 4]] {
        let arena = &mut Arena::new(&mut memory);
        let refused = knn(Tier::detect(), view, &metric, query, NONE, &mut distances, &mut ids, arena);
        assert_eq!(refused.err(), Some(KernelError::Shape { what: "query", want: 3, got: query.len() }));
    }
    let fewer = HandMade::<f64>::boxed(points(39, 3, 1, 0), 3, 11, 5);
    let arena = &mut Arena::new(&mut memory);
    let refused = knn(
        Tier::detect(),
        view,
        &fewer.metric::<SquaredEuclidean>(),
        &[0.5; 3],
        NONE,
        &mut distances,
        &mut ids,
        arena,
    );
    assert_eq!(refused.err(), Some(KernelError::Shape { what: "points", want: 40, got: 39 }));
    assert_eq!((distances, ids), ([-7.0; 2], [-7; 2]));
}

#[test]
fn boxes_of_another_tree_are_refused() {
    // Of 35 points, with groups of at most 3: too few boxes would be read beyond their end, or stand for other groups.
    let made = HandMade::<f64>::boxed(points(35, 2, 1, 0), 2, 3, 4);
    let (view, groups) = (TreeView::new(made.parts()).unwrap(), made.groups.len());
    let call = |boxes: usize, axes: usize| {
        let corners = vec![0.0; panels_len::<f64>(boxes, 2 * axes)];
        let boxes = Boxes::new(Panels::new(&corners, 2 * axes, boxes).unwrap()).unwrap();
        let metric =
            Coordinates::<f64, SquaredEuclidean>::new(made.metric::<SquaredEuclidean>().points()).with_boxes(boxes);
        let (mut distances, mut ids) = ([-7.0; 4], [-7; 4]);
        let mut memory = vec![Block::default(); search_blocks(made.waiting)];
        let arena = &mut Arena::new(&mut memory);
        let refused = knn(Tier::detect(), view, &metric, &[0.0; 2], NONE, &mut distances, &mut ids, arena);
        refused.map(|(found, _)| found)
    };
    assert_eq!(call(groups, 2), Ok(4));
    for boxes in [0, 1, groups - 1, groups + 1] {
        assert_eq!(call(boxes, 2), Err(KernelError::Shape { what: "boxes", want: groups, got: boxes }));
    }
    for axes in [1, 3] {
        assert_eq!(call(groups, axes), Err(KernelError::Shape { what: "axes of the boxes", want: 2, got: axes }));
    }
}

#[test]
fn a_tree_by_cells_is_refused_where_there_are_no_boxes() {
    let made = HandMade::<f64>::boxed(points(200, 2, 1, 0), 2, 3, 4);
    let view = TreeView::new(made.parts()).unwrap();
    let metric = Coordinates::<f64, SquaredEuclidean>::new(made.metric::<SquaredEuclidean>().points());
    let (mut distances, mut ids) = ([-7.0; 4], [-7; 4]);
    let mut memory = vec![Block::default(); search_blocks(made.waiting)];
    let arena = &mut Arena::new(&mut memory);
    let refused = knn(Tier::detect(), view, &metric, &[0.0; 2], NONE, &mut distances, &mut ids, arena);
    assert!(matches!(refused, Err(KernelError::Value { what: "groups", .. })), "{refused:?}");
}

#[test]
fn boxes_of_runs_are_the_smallest() {
    boxes_of_runs::<f32>();
    boxes_of_runs::<f64>();
}

fn every_shape<T: Real>() {
    for (case, len) in trials::thin(4, [1, 2, 15, 16, 17, 33, 300].into_iter().enumerate()) {
        for dim in trials::thin(4, [1, 2, 3, 4, 5, 9]) {
            for kind in trials::thin(3, 0..4) {
                let made = HandMade::<T>::boxed(points(len, dim, case as u64, kind), dim, 11, [2, 5, 16, 40][kind]);
                let query: Vec<T> = points(len, dim, 99, kind)[..dim].to_vec();
                let member = made.data[(len / 2) * dim..(len / 2 + 1) * dim].to_vec();
                for k in trials::thin(3, [1, 8, 40, len + 3]) {
                    check::<T, SquaredEuclidean>(&made, &query, k, NONE, libm::sqrt);
                    check::<T, Manhattan>(&made, &member, k, made.ids[len / 2], core::convert::identity);
                }
                check::<T, Chebyshev>(&made, &member, 5, NONE, core::convert::identity);
            }
        }
    }
}

#[test]
fn neighbours_of_f32_are_those_of_brute_force() {
    every_shape::<f32>();
}

#[test]
fn neighbours_of_f64_are_those_of_brute_force() {
    every_shape::<f64>();
}

#[test]
fn more_equally_near_points_than_can_be_noted_are_settled_early() {
    fn all<T: Real>(made: &HandMade<T>) {
        let center = vec![T::from_f64(0.5); made.dim];
        for k in trials::thin(3, [1, 7, 16, 50, 144, 145, 300]) {
            check::<T, SquaredEuclidean>(made, &center, k, NONE, libm::sqrt);
            check::<T, Chebyshev>(made, &center, k, made.ids[3], core::convert::identity);
        }
    }
    let corners = |seed: u64, i: usize| (mix64(seed ^ i as u64) % 2) as f64;
    let len = if cfg!(miri) { 310 } else { 700 };
    all(&HandMade::<f32>::boxed((0..2 * len).map(|i| corners(7, i) as f32).collect(), 2, 40, 4));
    all(&HandMade::<f64>::boxed((0..3 * len).map(|i| corners(8, i)).collect(), 3, 500, 4));
    all(&HandMade::<f32>::balled((0..2 * len).map(|i| corners(9, i) as f32).collect(), 2, 30));
}

proptest! {
    #![proptest_config(trials::cases(48))]
    #[test]
    fn any_number_of_neighbours_is_found(
        seed in any::<u64>(), len in 1..trials::up_to(600usize), dim in 1usize..6, kind in 0usize..4, k in 1usize..180,
        boxed in any::<bool>(), leave_out in any::<bool>(),
    ) {
        let (data, query) = (points::<f32>(len, dim, seed, kind), points::<f32>(1, dim, !seed, kind));
        let made = if boxed { HandMade::boxed(data, dim, 13, 5) } else { HandMade::balled(data, dim, 9) };
        let except = if leave_out { made.ids[len / 2] } else { NONE };
        check::<f32, SquaredEuclidean>(&made, &query, k, except, libm::sqrt);
        let data = points::<f64>(len, dim, seed, kind);
        let made = if boxed { HandMade::boxed(data, dim, 70, 3) } else { HandMade::balled(data, dim, 20) };
        let query: Vec<f64> = query.into_iter().map(f64::from).collect();
        check::<f64, Manhattan>(&made, &query, k, except, core::convert::identity);
    }
}

#[test]
fn all_points_within_a_radius_are_found() {
    let made = HandMade::<f32>::boxed(points(300, 3, 5, 1), 3, 11, 7);
    let view = TreeView::new(made.parts()).unwrap();
    let query = made.data[30..33].to_vec();
    let mut want = made.brute::<SquaredEuclidean>(&query, NONE, libm::sqrt);
    want.retain(|(distance, _)| *distance <= 2.0);
    let metric = made.metric::<SquaredEuclidean>();
    // Without a tier, by the plain twin.
    for tier in Tier::all().map(Some).chain([None]) {
        let mut memory = vec![Block::splat(9); search_blocks(made.waiting)];
        let (mut ids, mut distances) = (vec![-7; 300], vec![-7.0; 300]);
        let visitor = Within::new(&made.ids, NONE, 2.0, &mut ids, &mut distances).unwrap();
        let visitor = if let Some(tier) = tier {
            let arena = &mut Arena::new(&mut memory);
            let (visitor, counters) = search(tier, view, &metric, &query[..], visitor, arena).unwrap();
            assert_lawful(&counters, &made);
            visitor
        } else {
            scalar::search(view, &metric, &query[..], visitor)
        };
        let found = at(visitor.found().unwrap());
        let mut got: Vec<(f64, Idx)> = distances[..found].iter().copied().zip(ids[..found].iter().copied()).collect();
        got.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        assert_eq!(got, want, "{tier:?}");
    }
}

#[test]
fn too_little_scratch_is_refused() {
    let made = HandMade::<f64>::boxed(points(300, 2, 1, 0), 2, 11, 16);
    let view = TreeView::new(made.parts()).unwrap();
    let mut memory = vec![Block::default(); search_blocks(made.waiting) - 1];
    let (mut distances, mut ids) = ([0.0; 3], [0; 3]);
    let metric = made.metric::<SquaredEuclidean>();
    let refused = knn(
        Tier::detect(),
        view,
        &metric,
        &made.data[..2],
        NONE,
        &mut distances,
        &mut ids,
        &mut Arena::new(&mut memory),
    );
    assert!(matches!(refused, Err(KernelError::Scratch { .. })), "{refused:?}");
    // A tree that promises fewer waiting groups than it has is noticed, not followed.
    let view = TreeView::new(TreeParts { waiting: 0, ..made.parts() }).unwrap();
    let mut memory = vec![Block::default(); search_blocks(0)];
    let shallow = knn(
        Tier::detect(),
        view,
        &metric,
        &made.data[..2],
        NONE,
        &mut distances,
        &mut ids,
        &mut Arena::new(&mut memory),
    );
    assert!(matches!(shallow, Ok(_) | Err(KernelError::Scratch { .. })), "{shallow:?}");
}

#[test]
fn tampered_groups_are_refused() {
    let made = HandMade::<f32>::boxed(points(100, 2, 1, 0), 2, 11, 4);
    assert!(TreeView::new(made.parts()).is_ok());
    let tampers: [fn(&mut [Group]); 7] = [
        |groups| groups[0].end -= 1,
        |groups| groups[1].first += 1,
        |groups| groups[2].kids += 1,
        |groups| groups[0].kids_end += 1,
        |groups| groups[3].block = -1,
        |groups| groups[3].reach = f32::NAN,
        |groups| groups[0].kids = 0,
    ];
    for (case, tamper) in tampers.into_iter().enumerate() {
        let mut groups = made.groups.clone();
        tamper(&mut groups);
        let refused = TreeView::new(TreeParts { groups: &groups, ..made.parts() });
        assert!(matches!(refused, Err(KernelError::Value { what: "groups", .. })), "case {case}: {refused:?}");
    }
    let short = TreeView::new(TreeParts { levels: &made.levels[1..], ..made.parts() });
    assert!(matches!(short, Err(KernelError::Shape { .. })));
    let mut ids = made.ids.clone();
    ids[7] = NONE;
    let negative = TreeView::new(TreeParts { ids: &ids, ..made.parts() });
    assert_eq!(negative.err(), Some(KernelError::Value { what: "ids", at: 7 }), "it would look like padding");
}

#[test]
fn queries_that_are_no_numbers_and_visitors_of_other_trees_are_refused() {
    let made = HandMade::<f32>::boxed(points(100, 2, 1, 0), 2, 11, 4);
    let (view, metric) = (TreeView::new(made.parts()).unwrap(), made.metric::<SquaredEuclidean>());
    let mut memory = vec![Block::default(); search_blocks(made.waiting)];
    let (mut distances, mut ids) = ([-7.0; 3], [-7; 3]);
    let arena = &mut Arena::new(&mut memory);
    for (query, refused) in [([0.0, f32::NAN], Some(1)), ([0.0, f32::INFINITY], None)] {
        let found = knn(Tier::detect(), view, &metric, &query, NONE, &mut distances, &mut ids, arena);
        assert_eq!(found.err(), refused.map(|at| KernelError::Value { what: "query", at }));
    }
    let (mut near, mut near_ids) = ([0.0; 3], [0; 3]);
    let few = &made.ids[..99];
    let best = crate::topk::KBest::new(&mut near, &mut near_ids).unwrap();
    let refused = search(Tier::detect(), view, &metric, &[0.0; 2], Nearest::new(few, NONE, best), arena);
    assert_eq!(refused.err(), Some(KernelError::Shape { what: "ids", want: 100, got: 99 }));
    let within = Within::new(few, NONE, 1.0, &mut near_ids, &mut near).unwrap();
    let refused = search(Tier::detect(), view, &metric, &[0.0; 2], within, arena);
    assert_eq!(refused.err(), Some(KernelError::Shape { what: "ids", want: 100, got: 99 }));
}

/// Checks the neighbours of members among the earlier ones, and that late groups are skipped.
fn check_earlier(made: &HandMade<f32>, ranks: &[Idx]) {
    let (view, metric) = (TreeView::new(made.parts()).unwrap(), made.metric::<SquaredEuclidean>());
    let mut earliest = vec![-7; made.groups.len()];
    earliest_ranks(view, ranks, &mut earliest).unwrap();
    for (group, &least) in made.groups.iter().zip(&earliest) {
        let run = &ranks[at(group.first)..at(group.end)];
        assert_eq!(least, run.iter().copied().min().unwrap_or(Idx::MAX));
    }
    let precedence = Precedence::new(view, ranks, &earliest).unwrap();
    let rank_of = |id: Idx| ranks[made.ids.iter().position(|&other| other == id).unwrap()];
    for tier in Tier::all() {
        let mut memory = vec![Block::splat(0xdead_beef); search_blocks(made.waiting)];
        for (position, k) in [(0, 1), (1, 4), (40, 5), (150, 40), (299, 3)] {
            let (query, before) = (made.row(position), ranks[position]);
            let mut want = made.brute::<SquaredEuclidean>(query, NONE, libm::sqrt);
            want.retain(|(_, id)| rank_of(*id) < before);
            let (mut distances, mut ids) = (vec![-7.0; k], vec![-7; k]);
            let arena = &mut Arena::new(&mut memory);
            let (found, counters) =
                knn_before(tier, view, &metric, query, precedence, before, &mut distances, &mut ids, arena).unwrap();
            assert_eq!(found, k.min(want.len()), "{tier}");
            assert_lawful(&counters, made);
            let (mut plain, mut plain_ids) = (vec![-7.0; k], vec![-7; k]);
            let twin = scalar::knn_before(view, &metric, query, precedence, before, &mut plain, &mut plain_ids);
            assert_eq!((found, &distances, &ids), (twin, &plain, &plain_ids), "{tier}");
            for (place, got) in distances.into_iter().zip(ids).enumerate() {
                assert_eq!(
                    got,
                    want.get(place).copied().unwrap_or((f64::INFINITY, NONE)),
                    "{tier}, {position} {place}"
                );
            }
            assert!(before > 0 || counters.settled <= 1, "nothing is earlier, and only the root was looked at");
        }
    }
}

#[test]
fn earlier_neighbours_are_those_of_brute_force() {
    let scattered: Vec<Idx> = (0..300).map(|position| (position * 77 + 5) % 300).collect();
    for kind in trials::thin(3, 0..3) {
        let data = points(300, 3, 7, kind);
        for made in [HandMade::boxed(data.clone(), 3, 11, 7), HandMade::balled(data, 3, 12)] {
            check_earlier(&made, &made.ids);
            check_earlier(&made, &scattered);
        }
    }
}

#[test]
fn a_covering_node_is_found_on_the_lowest_level_that_has_one() {
    let radii = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
    let ladder = Ladder::new(&radii, -2).unwrap();
    for kind in trials::thin(3, 0..3) {
        let data = points(300, 3, 7, kind);
        let levels: Vec<i32> = (0..300).map(|i| [TWIN, -3, -2, -1, 0, 1][mix64(i) as usize % 6]).collect();
        for made in [HandMade::boxed(data.clone(), 3, 11, 7), HandMade::balled(data, 3, 12)] {
            let (made, boxed) = (made.clone().with_levels(levels.clone()), !made.corners.is_empty());
            let (view, metric) = (TreeView::new(made.parts()).unwrap(), made.metric::<SquaredEuclidean>());
            let mut ceilings = vec![-7.0; 304];
            cover_ceilings(&metric, ladder, &made.levels, &mut ceilings).unwrap();
            for tier in Tier::all() {
                let mut memory = vec![Block::splat(0xdead_beef); search_blocks(made.waiting)];
                for query in trials::thin(8, points::<f32>(40, 3, 5, kind).chunks_exact(3)) {
                    let want = made.nearest_covering::<SquaredEuclidean>(query, ladder, libm::sqrt);
                    for nearest in [true, !boxed] {
                        let visitor = Covering::new(view, ladder, &ceilings, nearest).unwrap();
                        let (visitor, _) =
                            search(tier, view, &metric, query, visitor, &mut Arena::new(&mut memory)).unwrap();
                        let found = visitor.found().map(|(place, distance)| (distance, made.ids[at(place)]));
                        let level = |found: Option<(f64, Idx)>| {
                            found.map(|(distance, _)| (distance > 0.0).then(|| ladder.level_over(distance)))
                        };
                        assert_eq!(level(found), level(want), "{tier}");
                        assert!(!nearest || found == want, "{tier}: {found:?} is not {want:?}");
                    }
                }
            }
        }
    }
    let made = HandMade::<f32>::boxed(points(20, 2, 1, 0), 2, 5, 4);
    let (metric, mut out) = (made.metric::<SquaredEuclidean>(), [5.0; 32]);
    let refused = cover_ceilings(&metric, ladder, &made.levels, &mut out[1..]);
    assert!(matches!(refused, Err(KernelError::Shape { what: "out", want: 32, got: 31 })));
    assert_eq!(out, [5.0; 32]);
    assert!(Covering::new(TreeView::new(made.parts()).unwrap(), ladder, &out[1..], true).is_err());
}

#[test]
fn a_covering_node_on_the_lowest_level_of_all_leaves_nothing_below() {
    let made = HandMade::<f32>::boxed(points(20, 2, 1, 0), 2, 5, 4).with_levels(vec![0; 20]);
    let (view, ceilings) = (TreeView::new(made.parts()).unwrap(), [f32::INFINITY; 32]);
    let mut visitor = Covering::new(view, Ladder::new(&[1.0], i32::MIN).unwrap(), &ceilings, false).unwrap();
    visitor.offer(3, 0.5);
    assert_eq!((visitor.found(), visitor.cap()), (Some((3, 0.5)), 0.0));
}

/// The error bounds of so many dimensions have no room in `usize`.
#[test]
fn coordinates_of_no_points_may_have_any_dimension() {
    for dim in [1, usize::MAX / 2 + 1, usize::MAX] {
        let panels = Panels::<f32>::new(&[], dim, 0).unwrap();
        assert_eq!(Coordinates::<f32, SquaredEuclidean>::new(panels).points().dim(), dim);
        assert_eq!(Coordinates::<f32, Manhattan>::new(panels).points().dim(), dim);
    }
}

#[test]
fn an_order_of_another_size_is_refused() {
    let made = HandMade::<f32>::boxed(points(100, 2, 1, 0), 2, 11, 4);
    let view = TreeView::new(made.parts()).unwrap();
    let mut earliest = vec![-7; made.groups.len()];
    assert!(matches!(earliest_ranks(view, &made.ids[1..], &mut earliest), Err(KernelError::Shape { want: 100, .. })));
    assert!(matches!(earliest_ranks(view, &made.ids, &mut earliest[1..]), Err(KernelError::Shape { .. })));
    assert!(earliest.iter().all(|&least| least == -7));
    earliest_ranks(view, &made.ids, &mut earliest).unwrap();
    assert!(Precedence::new(view, &made.ids[1..], &earliest).is_err());
    assert!(Precedence::new(view, &made.ids, &earliest[1..]).is_err());
    let other = HandMade::<f32>::boxed(points(90, 2, 1, 0), 2, 11, 4);
    let precedence = Precedence::new(view, &made.ids, &earliest).unwrap();
    let (mut distances, mut ids) = ([-7.0; 2], [-7; 2]);
    let mut memory = vec![Block::default(); search_blocks(other.waiting)];
    let refused = knn_before(
        Tier::detect(),
        TreeView::new(other.parts()).unwrap(),
        &other.metric::<SquaredEuclidean>(),
        &other.data[..2],
        precedence,
        5,
        &mut distances,
        &mut ids,
        &mut Arena::new(&mut memory),
    );
    assert!(matches!(refused, Err(KernelError::Shape { what: "ranks", want: 90, got: 100 })), "{refused:?}");
    assert_eq!((distances, ids), ([-7.0; 2], [-7; 2]));
}

fn farthest_of_runs<T: Real, F: Form>(finish: fn(f64) -> f64) {
    let (len, dim) = (200, 3);
    for kind in 0..3 {
        let made = HandMade::<T>::boxed(points(len, dim, 5, kind), dim, 11, 5);
        let (metric, query) = (made.metric::<F>(), made.row(len / 2));
        let mut distances = vec![-7.0; len];
        for (distance, id) in made.brute::<F>(query, NONE, finish) {
            distances[made.ids.iter().position(|&own| own == id).unwrap()] = distance;
        }
        for (from, to) in [(0, len), (0, 1), (15, 17), (3, 140), (130, 200), (199, 200), (7, 7), (9, 8), (900, 900)] {
            let run = distances.get(from..to).unwrap_or_default();
            let want = run.iter().copied().fold(0.0, f64::max);
            assert_eq!(scalar::farthest(&metric, query, from, to.max(from).min(len)), want);
            for tier in Tier::all() {
                let (largest, counters) = farthest(tier, &metric, query, from, to).unwrap();
                assert_eq!(largest, want, "{tier} {from}..{to}");
                let (runs, evals, few) = (counters.runs, counters.distance_evals, u64::from(!run.is_empty()));
                assert_eq!((runs, evals), (few, run.len() as u64), "{tier} {from}..{to}");
                assert!((few..=evals).contains(&counters.settled), "{tier} {from}..{to}: {counters:?}");
            }
        }
        for (from, to) in [(0, 201), (200, 201), (900, 901), (5, usize::MAX)] {
            let refused = farthest(Tier::detect(), &metric, query, from, to);
            let key = Idx::try_from(to).unwrap_or(Idx::MAX);
            assert_eq!(refused, Err(KernelError::Key { at: 1, key, limit: 200 }), "{from}..{to}");
        }
        let refused = farthest(Tier::detect(), &metric, &query[..2], 0, 1);
        assert_eq!(refused, Err(KernelError::Shape { what: "query", want: 3, got: 2 }));
    }
}

#[test]
fn the_farthest_of_a_run_is_that_of_brute_force() {
    farthest_of_runs::<f32, SquaredEuclidean>(libm::sqrt);
    farthest_of_runs::<f64, SquaredEuclidean>(libm::sqrt);
    farthest_of_runs::<f64, Manhattan>(|sum| sum);
}
