use covertree_kernels::index::{NONE, at};
use rayon::ThreadPoolBuilder;

use super::*;
use crate::generate::Distribution;
use crate::space::{Chebyshev, Euclidean, Manhattan};
use crate::tree::fixtures::{built, rows};

fn report<M: PanelMetric>(tree: &Tree, packed: &PackedPoints<M::Real>) -> Report {
    let config = ValidateConfig { ids: Some(tree.len() as Idx), ..ValidateConfig::default() };
    validate(tree, &PackedQueries::<M>::new(packed), &config, Tier::detect())
}

#[track_caller]
fn assert_valid<M: PanelMetric>(data: &[f64], dim: usize) {
    let (tree, packed) = built::<M>(data, dim);
    let report = report::<M>(&tree, &packed);
    assert!(report.is_valid(), "{report} {:#?}", report.violations);
    assert_eq!((report.points, report.nodes + report.twins, report.sampled), (tree.len(), tree.len(), None));
}

#[test]
fn what_the_builder_makes_is_valid() {
    for count in [1, 2, 15, 16, 17, 49, 300, 2000] {
        for dim in [1, 3, 20] {
            let data = rows(Distribution::Gaussian, count, dim, 7);
            assert_valid::<Euclidean<f64>>(&data, dim);
            assert_valid::<Euclidean<f32>>(&data, dim);
        }
    }
    for distribution in [Distribution::Lattice, Distribution::Duplicates, Distribution::Clusters] {
        for dim in [2, 18] {
            let data = rows(distribution, 1500, dim, 3);
            assert_valid::<Euclidean<f32>>(&data, dim);
            assert_valid::<Manhattan<f64>>(&data, dim);
            assert_valid::<Chebyshev<f32>>(&data, dim);
        }
    }
}

#[test]
fn a_tree_of_nothing_or_of_one_place_is_valid() {
    assert_valid::<Euclidean<f64>>(&[], 2);
    for dim in [2, 20] {
        let (tree, packed) = built::<Euclidean<f64>>(&vec![0.5; 70 * dim], dim);
        let report = report::<Euclidean<f64>>(&tree, &packed);
        assert_eq!((report.nodes, report.twins, report.pairs), (1, 69, 0));
        assert_eq!(report.to_string(), "valid: 70 points, 1 nodes, 69 twins, levels 0 to 0, separation of all 0 pairs");
    }
}

/// Every tier comes to the same report, whichever one built the tree.
#[test]
fn every_tier_accepts_the_same_tree() {
    for dim in [3, 20] {
        let (tree, packed) = built::<Euclidean<f32>>(&rows(Distribution::Duplicates, 900, dim, 1), dim);
        for tier in Tier::all() {
            let points = PackedQueries::<Euclidean<f32>>::new(&packed);
            let report = validate(&tree, &points, &ValidateConfig::default(), tier);
            assert!(report.is_valid(), "{tier}: {report} {:#?}", report.violations);
        }
    }
}

/// One tree per order of storage: duplicates, so that there are twins.
fn samples() -> Vec<(Tree, PackedPoints<f64>)> {
    [3, 20].map(|dim| built::<Euclidean<f64>>(&rows(Distribution::Duplicates, 500, dim, 5), dim)).into()
}

/// Tampers with a tree of each order, and wants a violation that speaks of `kind`.
#[track_caller]
fn assert_found(kind: &str, tamper: impl Fn(&mut Tree)) {
    assert_found_in(Order::Blocks, kind, &tamper);
    assert_found_in(Order::Cells, kind, &tamper);
}

/// The same, with the tree of one order.
#[track_caller]
fn assert_found_in(order: Order, kind: &str, tamper: impl Fn(&mut Tree)) {
    for (mut tree, packed) in samples().into_iter().filter(|(tree, _)| tree.order == order) {
        tamper(&mut tree);
        let report = report::<Euclidean<f64>>(&tree, &packed);
        let lines: Vec<String> = report.violations.iter().map(Violation::to_string).collect();
        assert!(!report.is_valid() && report.found >= lines.len() as u64);
        assert!(lines.iter().any(|line| line.contains(kind)), "{:?}: no {kind:?} in {lines:#?}", tree.order);
        assert!(lines.iter().all(|line| !line.contains('\n')));
    }
}

/// The last position for which `fits`.
fn last(tree: &Tree, fits: impl Fn(usize) -> bool) -> usize {
    (0..tree.len()).rev().find(|&position| fits(position)).unwrap()
}

fn has_children(tree: &Tree, position: usize) -> bool {
    tree.parents.contains(&(position as Idx))
}

/// The last node that is a leaf and no twin.
fn leaf(tree: &Tree) -> usize {
    last(tree, |position| tree.levels[position] != TWIN && !has_children(tree, position))
}

fn parent_of(tree: &Tree, position: usize) -> usize {
    at(tree.parents[position])
}

#[test]
fn a_child_that_is_not_covered_is_found() {
    assert_found("cover: row ", |tree| {
        let leaf = leaf(tree);
        tree.levels[leaf] -= 60;
    });
}

#[test]
fn nodes_that_are_too_close_are_found() {
    assert_found("separation: rows ", |tree| {
        // Raised by one level, it is no farther from its parent than the radius of its own level.
        let raised = last(tree, |position| {
            position > 0
                && tree.levels[position] != TWIN
                && tree.levels[parent_of(tree, position)] > tree.levels[position] + 1
        });
        tree.levels[raised] += 1;
    });
}

#[test]
fn a_second_root_is_found() {
    assert_found("root: row ", |tree| {
        let leaf = leaf(tree);
        tree.parents[leaf] = NONE;
    });
    assert_found("root: row ", |tree| tree.parents[0] = 3);
    assert_found("root: row ", |tree| tree.levels[0] = TWIN);
}

#[test]
fn a_level_that_does_not_fall_is_found() {
    assert_found("level: row ", |tree| {
        let leaf = leaf(tree);
        tree.levels[leaf] = tree.levels[parent_of(tree, leaf)];
    });
}

#[test]
fn a_reach_that_is_wrong_is_found() {
    for factor in [0.0, 0.99, 1.01, f32::INFINITY, -1.0, f32::NAN] {
        assert_found("reach: row ", |tree| tree.reaches[0] *= factor);
    }
    for reach in [-1.0, 1e-30, f32::NAN] {
        assert_found("reach: row ", |tree| {
            let leaf = leaf(tree);
            tree.reaches[leaf] = reach;
        });
    }
    for factor in [0.9, 1.1] {
        assert_found_in(Order::Blocks, "group 0: it reaches ", |tree| tree.groups[0].reach *= factor);
    }
    assert_found_in(Order::Cells, "group 0: has a reach", |tree| tree.groups[0].reach = 9.0);
}

#[test]
fn twins_that_are_none_are_found() {
    assert_found("twin: row ", |tree| {
        let leaf = leaf(tree);
        tree.levels[leaf] = TWIN;
    });
    assert_found("twin: row ", |tree| {
        let parent = last(tree, |position| position > 0 && has_children(tree, position));
        tree.levels[parent] = TWIN;
    });
    assert_found("twin: rows ", |tree| {
        let twin = last(tree, |position| tree.levels[position] == TWIN);
        tree.levels[twin] = tree.levels[parent_of(tree, twin)] - 90;
    });
}

#[test]
fn a_wrong_parent_is_found() {
    // By blocks, one that stands before it, but among whose descendants it does not stand.
    let adopt = |tree: &mut Tree| {
        let leaf = leaf(tree);
        let above = tree.parents[leaf];
        let stranger = last(tree, |other| {
            other + 1 < leaf
                && tree.levels[other] > tree.levels[leaf]
                && other as Idx != above
                && !has_children(tree, other)
        });
        tree.parents[leaf] = stranger as Idx;
    };
    assert_found_in(Order::Blocks, "storage: row ", adopt);
    // By cells the order says nothing of parents, but a stranger without children had no reach.
    assert_found_in(Order::Cells, "reach: row ", adopt);
    assert_found("parent: row ", |tree| {
        let leaf = leaf(tree);
        tree.parents[leaf] = leaf as Idx;
    });
    for wrong in [-2, 500, i32::MAX] {
        assert_found("parent: row ", |tree| {
            let leaf = leaf(tree);
            tree.parents[leaf] = wrong;
        });
    }
}

#[test]
fn wrong_ids_and_lengths_are_found() {
    assert_found("ids: row ", |tree| tree.ids[7] = tree.ids[8]);
    for wrong in [-1, 500, i32::MAX] {
        assert_found("ids: position 7 ", |tree| tree.ids[7] = wrong);
    }
    assert_found("levels: 499 elements", |tree| tree.levels.to_mut().truncate(499));
    assert_found("parents: 501 elements", |tree| tree.parents.to_mut().push(0));
    assert_found("points: 500 elements", |tree| {
        for array in [&mut tree.ids, &mut tree.levels, &mut tree.parents] {
            array.to_mut().pop();
        }
        tree.reaches.to_mut().pop();
    });
}

#[test]
fn groups_that_do_not_fit_are_found() {
    assert_found("group 0: its highest level", |tree| tree.groups[0].top += 1);
    assert_found(": breaks the order of the groups", |tree| tree.groups[0].end -= 1);
    assert_found(": breaks the order of the groups", |tree| {
        tree.groups.to_mut().pop();
    });
    assert_found("group 0: has groups that are centred elsewhere", |tree| tree.groups[1].center -= 1);
}

#[test]
fn by_blocks_groups_follow_the_nodes() {
    let (mut tree, packed) = samples().remove(1);
    let scanned = tree.groups.iter().position(|group| group.kids == group.kids_end && group.end - group.first > 2);
    let scanned = scanned.unwrap();
    // Two scanned groups that lie next to each other exchange a point: the groups still partition the points.
    assert!(tree.groups[scanned + 1].first == tree.groups[scanned].end);
    tree.groups[scanned].end -= 1;
    tree.groups[scanned].block -= 1;
    tree.groups[scanned + 1].first -= 1;
    let report = report::<Euclidean<f64>>(&tree, &packed);
    let lines: Vec<String> = report.violations.iter().map(Violation::to_string).collect();
    assert!(lines.iter().any(|line| line.ends_with("does not hold the descendants of its center")), "{lines:#?}");
}

#[test]
fn a_box_that_leaves_a_point_out_is_found() {
    let (tree, packed) = samples().remove(0);
    let (panels, mut corners) = (packed.panels(), packed.corners().to_vec());
    corners[0] += 1e-9; // the lower corner of the first group in the first dimension
    let (data, groups) = (panels.data().to_vec().into(), tree.groups.len());
    let shrunk = PackedPoints::new(data, corners.into(), panels.dim(), panels.len(), groups).unwrap();
    let report = report::<Euclidean<f64>>(&tree, &shrunk);
    let [Violation::Box { group: 0, id }] = report.violations[..] else { panic!("{:#?}", report.violations) };
    let lowest = (0..500).min_by(|&a, &b| panels.coordinate(a, 0).total_cmp(&panels.coordinate(b, 0))).unwrap();
    assert_eq!(tree.ids[lowest], id);
}

#[test]
fn a_point_that_was_moved_is_found() {
    for (tree, packed) in samples() {
        let panels = packed.panels();
        let mut data = panels.data().to_vec();
        data[5] += 3.0; // the first coordinate of position 5
        let groups = if packed.corners().is_empty() { 0 } else { tree.groups.len() };
        let corners = packed.corners().to_vec().into();
        let moved = PackedPoints::new(data.into(), corners, panels.dim(), panels.len(), groups).unwrap();
        assert!(!report::<Euclidean<f64>>(&tree, &moved).is_valid());
    }
}

#[test]
fn separation_finds_the_pairs_that_a_plain_loop_finds() {
    for dim in [2, 20] {
        let (mut tree, packed) = built::<Manhattan<f32>>(&rows(Distribution::Lattice, 700, dim, 5), dim);
        for (position, level) in tree.levels.iter_mut().enumerate() {
            *level += [0, 1, 0, -1, 2][position % 5];
        }
        let panels = packed.panels();
        let distance = |a: usize, b: usize| {
            let gap = |d| (f64::from(panels.coordinate(a, d)) - f64::from(panels.coordinate(b, d))).abs();
            (0..dim).map(gap).fold(0.0, |sum, gap| sum + gap)
        };
        let mut found = 0;
        for a in 0..tree.len() {
            for b in 0..a {
                let radius = tree.ladder.view().radius(tree.levels[a].min(tree.levels[b]));
                found += u64::from(distance(a, b) <= radius);
            }
        }
        assert!(found > 100);
        let points = PackedQueries::<Manhattan<f32>>::new(&packed);
        for tier in Tier::all() {
            let all = distances::separation(&tree, &points, None, tier).into_parts();
            let everyone = distances::sample(&tree, 700, 1);
            let sampled = distances::separation(&tree, &points, Some(&everyone), tier).into_parts();
            assert_eq!((all.0, sampled.0), (found, found));
            assert!(all.1.iter().all(|violation| sampled.1.contains(violation) || found > 5));
        }
    }
}

#[test]
fn large_trees_are_sampled_and_the_report_says_so() {
    let (mut tree, packed) = built::<Euclidean<f32>>(&rows(Distribution::Gaussian, 3000, 2, 5), 2);
    let points = PackedQueries::<Euclidean<f32>>::new(&packed);
    let config = ValidateConfig { exhaustive_max: 2999, sample: 50, ..ValidateConfig::default() };
    let report = validate(&tree, &points, &config, Tier::detect());
    assert_eq!((report.sampled, report.pairs, report.found), (Some(50), 50 * 2950 + 50 * 49 / 2, 0));
    assert!(report.to_string().ends_with("separation of 50 sampled nodes from all others (148725 pairs)"), "{report}");
    let nodes = distances::sample(&tree, 50, 42);
    assert!(nodes.is_sorted() && nodes.len() == 50 && nodes != distances::sample(&tree, 50, 43));
    // A member of the sample that is too close to any other node is found.
    tree.levels[at(nodes[20])] = tree.levels[0] - 1;
    let report = validate(&tree, &points, &config, Tier::detect());
    assert!(report.violations.iter().any(|violation| matches!(violation, Violation::Separation { .. })));
}

#[test]
fn the_report_does_not_depend_on_the_threads() {
    let (mut tree, packed) = built::<Euclidean<f32>>(&rows(Distribution::Gaussian, 5000, 3, 5), 3);
    for position in (10..5000).step_by(7) {
        tree.levels[position] += 2;
        tree.reaches[position] *= 0.9;
    }
    let reports = [1, 2, 8].map(|threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| report::<Euclidean<f32>>(&tree, &packed))
    });
    assert!(reports[0].found > 1000 && reports[0] == reports[1] && reports[1] == reports[2]);
}
