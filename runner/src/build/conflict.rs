//! Which points of a batch are in each other's way.

use covertree_kernels::arena::Arena;
use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::tree::{Conflict, Conflicts, Group, TWIN, TreeParts, TreeView, search, search_blocks};

use super::{Builder, Grown, Placement};
use crate::parallel;
use crate::space::Space;
use crate::tree::Tree;

/// Points that one task searches for.
const CHUNK: usize = 256;

/// Groups that one task looks at.
const GROUPS: usize = 256;

impl<S: Space> Builder<'_, S> {
    /// The pairs of new points that cannot both stay where they are, over the tree in which all of them hang. Ids are places in
    /// the batch.
    pub(super) fn conflicts(&self, crowded: &Grown<S>, batch: &[Idx], placement: &Placement) -> Vec<Conflict> {
        let kernel = self.space.kernel(&crowded.packed);
        let ladder = self.ladder.view();
        let mut places = vec![NONE; placement.levels.len()];
        for (place, &slot) in batch.iter().enumerate() {
            places[at(slot)] = place as Idx;
        }
        let mut positions = vec![NONE; batch.len()];
        let mut fresh = vec![0u8; crowded.tree.len()];
        for (position, &slot) in crowded.tree.ids.iter().enumerate() {
            if places[at(slot)] != NONE {
                positions[at(places[at(slot)])] = position as Idx;
                fresh[position] = 1;
            }
        }
        let groups = tops_of(&crowded.tree, &fresh);
        let view = TreeView::new(TreeParts { groups: &groups, ..crowded.tree.parts() }).expect("as the tree's own");
        let found = parallel::pieces(positions.len(), CHUNK, &|range| {
            let mut room = vec![Conflict::default(); 8 * CHUNK];
            let mut used = 0;
            self.workers.with(search_blocks(crowded.tree.waiting), |memory| {
                for &position in &positions[range.clone()] {
                    if crowded.tree.levels[at(position)] == TWIN {
                        continue;
                    }
                    let slot = at(crowded.tree.ids[at(position)]);
                    loop {
                        let visitor = Conflicts::new(view, ladder, &fresh, at(position), &mut room[used..]);
                        let (visitor, _) =
                            search(self.tier, view, &kernel, self.space.query(slot), visitor, &mut Arena::new(memory))
                                .expect("the memory was sized for this tree");
                        let count = visitor.found();
                        if used + count <= room.len() {
                            used += count;
                            break;
                        }
                        room.resize((used + count).max(2 * room.len()), Conflict::default());
                    }
                }
            });
            room.truncate(used);
            for conflict in &mut room {
                conflict.id = places[at(conflict.id)];
                conflict.other = places[at(conflict.other)];
            }
            room
        });
        found.concat()
    }
}

/// The groups of a tree with the highest level among the new points alone: nobody looks for the others.
fn tops_of(tree: &Tree, fresh: &[u8]) -> Vec<Group> {
    let mut groups = tree.groups.to_vec();
    parallel::chunks(&mut groups, GROUPS, &|_, groups| {
        for group in groups {
            let block = at(group.first)..at(group.block);
            let tops = tree.levels[block.clone()].iter().zip(&fresh[block]).filter(|&(_, &fresh)| fresh != 0);
            group.top = tops.map(|(&level, _)| level).max().unwrap_or(i32::MIN);
        }
    });
    for place in (0..groups.len()).rev() {
        let Group { kids, kids_end, top, .. } = groups[place];
        groups[place].top = groups[at(kids)..at(kids_end)].iter().map(|kid| kid.top).fold(top, i32::max);
    }
    groups
}
