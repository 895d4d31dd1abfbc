//! The laws of a tree that need no distance: each is checked at every point.

use std::ops::Range;

use covertree_kernels::error::KernelError;
use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::tree::{TWIN, TreeView};

use super::violation::{Findings, Violation};
use crate::parallel;
use crate::tree::{Order, Runs, Tree};

/// Positions that one task looks at.
const CHUNK: usize = 1 << 10;

/// Whether the arrays of points are equally long.
pub(crate) fn lengths(tree: &Tree, findings: &mut Findings) {
    let want = tree.len();
    for (what, got) in [("levels", tree.levels.len()), ("parents", tree.parents.len()), ("reaches", tree.reaches.len())]
    {
        if got != want {
            findings.add(Violation::Length { what, want, got });
        }
    }
}

/// Ids are distinct and lie in `0..limit`. Takes a bit of scratch per id.
pub(crate) fn ids(tree: &Tree, limit: Idx, findings: &mut Findings) {
    let mut seen = vec![0u64; usize::try_from(limit).unwrap_or(0).div_ceil(64)];
    for (position, &id) in tree.ids.iter().enumerate() {
        let position = position as Idx; // counted when the points were
        if !(0..limit).contains(&id) {
            findings.add(Violation::Id { position, id, limit });
            continue;
        }
        let (word, bit) = (at(id) / 64, 1 << (at(id) % 64));
        if seen[word] & bit != 0 {
            findings.add(Violation::Repeated { id, position });
        }
        seen[word] |= bit;
    }
}

/// Every point but the root hangs on another, by blocks on one before it; levels fall, so that nothing hangs on itself;
/// twins hang on nodes, and nothing on them.
pub(crate) fn nodes(tree: &Tree) -> Findings {
    let (ids, levels, parents): (&[Idx], &[i32], &[Idx]) = (&tree.ids, &tree.levels, &tree.parents);
    let limit = |position: usize| if tree.order == Order::Blocks { position } else { tree.len() };
    let node = |position: usize| {
        let (id, level, parent) = (ids[position], levels[position], parents[position]);
        let (place, parent_at) = (position as Idx, usize::try_from(parent).ok()); // counted when the points were
        match parent_at {
            None if position == 0 && parent == NONE && level != TWIN => None,
            None if position == 0 && parent == NONE => Some(Violation::Root { id, problem: "is a twin" }),
            _ if position == 0 => Some(Violation::Root { id, problem: "has a parent, which a root has not" }),
            None if parent == NONE => Some(Violation::SecondRoot { id, position: place }),
            Some(above) if above < limit(position) && above != position => {
                let (parent, parent_level) = (ids[above], levels[above]);
                if parent_level == TWIN {
                    Some(Violation::TwinParent { id, twin: parent })
                } else if level >= parent_level {
                    Some(Violation::Level { id, level, parent, parent_level })
                } else {
                    None
                }
            }
            _ => Some(Violation::Parent { id, position: place, parent }),
        }
    };
    collect(ids.len(), &|position| node(position).into_iter().collect())
}

/// The groups partition the points, and each is centred where the search expects its center.
pub(crate) fn groups(tree: &Tree, findings: &mut Findings) {
    match TreeView::new(tree.parts()) {
        Ok(_) => {}
        Err(KernelError::Value { at, .. }) => {
            return findings.add(Violation::Group { group: at, problem: "breaks the order of the groups" });
        }
        Err(KernelError::Shape { what, want, got }) => return findings.add(Violation::Length { what, want, got }),
        Err(_) => {
            let (want, got) = (tree.len(), tree.groups.len());
            return findings.add(Violation::Length { what: "groups", want, got });
        }
    }
    for (place, group) in tree.groups.iter().enumerate() {
        let kids = &tree.groups[at(group.kids)..at(group.kids_end)];
        let fits = match tree.order {
            // A child in the block stands for the group of its descendants.
            Order::Blocks => {
                kids.len() <= at(group.block - group.first)
                    && (group.first..).zip(kids).all(|(child, kid)| kid.center == child)
            }
            Order::Cells => kids.iter().all(|kid| kid.center == kid.first),
        };
        if !fits {
            findings.add(Violation::Group { group: place, problem: "has groups that are centred elsewhere" });
        }
    }
}

/// The highest level of each group; groups that [`groups`] has passed.
pub(crate) fn tops(tree: &Tree) -> Findings {
    let wrong = |group: usize| {
        let held = &tree.groups[group];
        let run = &tree.levels[at(held.first)..at(held.end)];
        let highest = run.iter().copied().fold(i32::MIN, i32::max);
        (highest != held.top).then_some(Violation::GroupTop { group, top: held.top, highest })
    };
    collect(tree.groups.len(), &|group| wrong(group).into_iter().collect())
}

/// The violations that `find` gives for each of `0..len`, in their order.
pub(crate) fn collect(len: usize, find: &(dyn Fn(usize) -> Vec<Violation> + Sync)) -> Findings {
    let piece = |range: Range<usize>| {
        let mut findings = Findings::default();
        range.flat_map(find).for_each(|violation| findings.add(violation));
        findings
    };
    parallel::pieces(len, CHUNK, &piece).into_iter().fold(Findings::default(), Findings::merge)
}

/// Whether the points stand by blocks, as the tree claims; gives the strict descendants of each then.
///
/// For parents that [`nodes`] has passed. Takes three indices of scratch per point.
pub(crate) fn blocks(tree: &Tree, findings: &mut Findings) -> Option<Runs> {
    let len = tree.len();
    let (mut sizes, mut children) = (vec![1 as Idx; len], vec![0 as Idx; len]);
    for position in (1..len).rev() {
        let parent = at(tree.parents[position]);
        sizes[parent] += sizes[position];
        children[parent] += 1;
    }
    match by_blocks(tree, &sizes, &children) {
        Ok(runs) => Some(runs),
        Err((position, problem)) => {
            findings.add(Violation::Storage { id: tree.ids[position], position: position as Idx, problem });
            None
        }
    }
}

/// A position that stands out of order, and why.
type Misplaced = (usize, &'static str);

fn by_blocks(tree: &Tree, sizes: &[Idx], children: &[Idx]) -> Result<Runs, Misplaced> {
    let len = tree.len();
    let mut runs = Runs { firsts: vec![1; len], ends: vec![len as Idx; len] }; // what is true of the root
    for node in 0..len {
        let first = at(runs.firsts[node]);
        // The descendants of a node are as many as its run has room for, so that the block ends within it.
        let block = first..first + at(children[node]);
        let mut running = block.end as Idx;
        let mut leaves = false;
        for child in block {
            if at(tree.parents[child]) != node {
                return Err((child, "stands in the block of children of another than its parent"));
            }
            if leaves && children[child] > 0 {
                return Err((child, "has children, but stands behind a sibling that has none"));
            }
            leaves |= children[child] == 0;
            runs.firsts[child] = running;
            running += sizes[child] - 1;
            runs.ends[child] = running;
        }
    }
    Ok(runs)
}

/// By blocks, a group is the descendants of its center, scanned as a whole or with one group per child that has any.
///
/// For groups that [`groups`] has passed; the runs are those that [`blocks`] gives.
pub(crate) fn groups_by_node(tree: &Tree, runs: &Runs) -> Findings {
    let has_children = |position: usize| runs.firsts[position] < runs.ends[position];
    let wrong = |place: usize| {
        let group = &tree.groups[place];
        let center = at(group.center);
        let problem = if (group.first, group.end) != (runs.firsts[center], runs.ends[center]) {
            "does not hold the descendants of its center"
        } else if group.kids == group.kids_end {
            return None;
        } else {
            let (block, rest) = (at(group.first)..at(group.block), at(group.block)..at(group.end));
            let is_child = |position: usize| tree.parents[position] == group.center;
            let inner = block.clone().filter(|&child| has_children(child)).count();
            // Children stand before all other descendants, so that the first of the rest tells whether one is missing.
            if !block.clone().all(is_child) || rest.clone().next().is_some_and(is_child) {
                "has a block that is not its center's children"
            } else if inner != at(group.kids_end - group.kids) {
                "does not have one group per child with descendants"
            } else {
                return None;
            }
        };
        Some(Violation::Group { group: place, problem })
    };
    collect(tree.groups.len(), &|group| wrong(group).into_iter().collect())
}
