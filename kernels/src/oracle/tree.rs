//! Small trees made by hand, their files, and brute force over their points.

use std::vec;
use std::vec::Vec;

use crate::dist::Form;
use crate::index::{Idx, NONE, at};
use crate::simd::{Real, Tier};
use crate::tree::stored::{ALIGN, BYTE_ORDER, CHECKSUM, FileHeader, FileSection, MAGIC, NAME, NAMES, VERSION};
use crate::tree::stored::{ORDER_BALLS, ORDER_BOXES};
use crate::tree::{Boxes, Conflict, Coordinates, Group, Ladder, TWIN, TreeParts, box_of_run};
use crate::view::{Panels, Rows, pack_rows, panels_len};

/// A tree over points in the order of their rows, of any shape that a search must follow. Levels mean nothing.
#[derive(Clone, Debug)]
pub struct HandMade<T> {
    /// `[len]`: a permutation.
    pub ids: Vec<Idx>,
    /// `[len]`.
    pub levels: Vec<i32>,
    /// The groups.
    pub groups: Vec<Group>,
    /// Most groups that wait.
    pub waiting: Idx,
    /// `[len][dim]`.
    pub data: Vec<T>,
    /// The same, packed.
    pub packed: Vec<T>,
    /// Packed boxes of the groups; empty where groups are bounded by balls.
    pub corners: Vec<T>,
    /// Coordinates of a point.
    pub dim: usize,
}

impl<T: Real> HandMade<T> {
    /// Groups bounded by boxes: the root, then runs of at most `leaf` points, `fan` of them to a group.
    pub fn boxed(data: Vec<T>, dim: usize, leaf: usize, fan: usize) -> Self {
        let len = data.len() / dim;
        let run = |first: usize, end: usize| Group {
            first: first as Idx,
            block: end as Idx,
            end: end as Idx,
            center: first as Idx,
            ..Group::default()
        };
        let mut groups = Vec::new();
        if len > 0 {
            groups.push(Group { center: 0, ..run(1, len) });
        }
        let mut done = 0;
        while done < groups.len() {
            let (first, end) = (at(groups[done].first), at(groups[done].end));
            if end - first > leaf {
                let kids = groups.len();
                let part = (end - first).div_ceil(fan).max(1);
                groups.extend((first..end).step_by(part).map(|from| run(from, (from + part).min(end))));
                let (kids, kids_end) = (kids as Idx, groups.len() as Idx);
                groups[done] = Group { block: first as Idx, kids, kids_end, ..groups[done] };
            }
            done += 1;
        }
        let mut made = Self::of_groups(data, dim, groups);
        made.corners = vec![T::default(); panels_len::<T>(made.groups.len(), 2 * dim)];
        let panels = Panels::new(&made.packed, dim, len).unwrap();
        for (place, group) in made.groups.iter().enumerate().filter(|(_, group)| group.first < group.end) {
            let (mut low, mut high) = (vec![T::default(); dim], vec![T::default(); dim]);
            box_of_run(Tier::detect(), panels, at(group.first), at(group.end), &mut low, &mut high).unwrap();
            let panel = place / T::LANES * 2 * dim;
            for (d, &value) in low.iter().chain(&high).enumerate() {
                made.corners[(panel + d) * T::LANES + place % T::LANES] = value;
            }
        }
        made
    }

    /// Groups bounded by balls (whose reach is infinite): the children of the root are its block, and each has a share of
    /// the rest as descendants. `children` is above 0.
    pub fn balled(data: Vec<T>, dim: usize, children: usize) -> Self {
        let len = data.len() / dim;
        let children = children.min(len.saturating_sub(1));
        let mut groups = Vec::new();
        if len > 0 {
            let (block, rest) = (1 + children, len - 1 - children);
            let reach = f32::INFINITY;
            let root = Group { first: 1, block: block as Idx, end: len as Idx, reach, ..Group::default() };
            groups.push(if rest > 0 { Group { kids: 1, kids_end: block as Idx, ..root } } else { root });
            let share = rest.div_ceil(children.max(1));
            for child in (0..children).filter(|_| rest > 0) {
                let border = |child: usize| (block + child * share).min(len) as Idx;
                let (first, end, center) = (border(child), border(child + 1), 1 + child as Idx);
                groups.push(Group { first, block: end, end, center, reach, ..Group::default() });
            }
        }
        Self::of_groups(data, dim, groups)
    }

    fn of_groups(data: Vec<T>, dim: usize, groups: Vec<Group>) -> Self {
        let len = data.len() / dim;
        let ids: Vec<Idx> = (0..len as Idx).map(|row| (row * 7919) % len as Idx).collect();
        let ids = if len.is_multiple_of(7919) { (0..len as Idx).collect() } else { ids };
        let order: Vec<Idx> = (0..len as Idx).collect();
        let mut packed = vec![T::default(); panels_len::<T>(len, dim)];
        pack_rows(Rows::new(&data, dim).unwrap(), &order, &mut packed).unwrap();
        let waiting = groups.len() as Idx;
        Self { levels: vec![0; len], ids, groups, waiting, data, packed, corners: Vec::new(), dim }
    }

    /// The same tree with other levels.
    pub fn with_levels(mut self, levels: Vec<i32>) -> Self {
        for group in &mut self.groups {
            group.top = levels[at(group.first)..at(group.end)].iter().copied().max().unwrap_or(TWIN);
        }
        self.levels = levels;
        self
    }

    /// The nearest node, by (distance, id), of those that are no farther than the radius of their level.
    pub fn nearest_covering<F: Form>(
        &self,
        query: &[T],
        ladder: Ladder<'_>,
        finish: fn(f64) -> f64,
    ) -> Option<(f64, Idx)> {
        let level_of = |id: Idx| self.ids.iter().position(|&other| other == id).map(|place| self.levels[place]);
        let mut all = self.brute::<F>(query, NONE, finish).into_iter();
        all.find(|&(distance, id)| level_of(id).is_some_and(|l| l != TWIN && distance <= ladder.radius(l)))
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// One point.
    pub fn row(&self, position: usize) -> &[T] {
        &self.data[position * self.dim..(position + 1) * self.dim]
    }

    /// The arrays of the tree.
    pub fn parts(&self) -> TreeParts<'_> {
        TreeParts { ids: &self.ids, levels: &self.levels, groups: &self.groups, waiting: self.waiting }
    }

    /// The metric over the points, with boxes if there are any.
    pub fn metric<F: Form>(&self) -> Coordinates<'_, T, F> {
        let metric = Coordinates::new(Panels::new(&self.packed, self.dim, self.ids.len()).unwrap());
        if self.corners.is_empty() {
            return metric;
        }
        let corners = Panels::new(&self.corners, 2 * self.dim, self.groups.len()).unwrap();
        metric.with_boxes(Boxes::new(corners).unwrap())
    }

    /// All points but one by the published formula, ascending by (distance, id).
    pub fn brute<F: Form>(&self, query: &[T], except: Idx, finish: fn(f64) -> f64) -> Vec<(f64, Idx)> {
        let mut all: Vec<(f64, Idx)> = self
            .data
            .chunks_exact(self.dim)
            .zip(&self.ids)
            .filter(|(_, id)| **id != except)
            .map(|(row, &id)| (finish(sum::<T, F>(query, row)), id))
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all
    }

    /// All pairs of points within a radius by the published formula, in the order of their rows.
    pub fn brute_pairs<F: Form>(&self, radius: f64, finish: fn(f64) -> f64) -> Vec<Conflict> {
        let mut pairs = Vec::new();
        for row in 0..self.len() {
            for other in row + 1..self.len() {
                let distance = finish(sum::<T, F>(self.row(row), self.row(other)));
                if distance <= radius {
                    pairs.push(Conflict { distance, id: self.ids[row], other: self.ids[other] });
                }
            }
        }
        pairs
    }

    /// The tree as a file, in words, so that it is aligned; without a checksum.
    pub fn image(&self, metric: &str, extra: &[(&str, &[u8])]) -> Vec<u64> {
        let len = self.len();
        let (mut parents, reaches) = (vec![0 as Idx; len], vec![0.0f32; len]);
        if let Some(root) = parents.first_mut() {
            *root = NONE;
        }
        let own: [&[u8]; NAMES.len()] = [
            metric.as_bytes(),
            b"made by hand",
            bytemuck::cast_slice(&self.ids),
            bytemuck::cast_slice(&self.levels),
            bytemuck::cast_slice(&parents),
            bytemuck::cast_slice(&reaches),
            bytemuck::cast_slice(&self.groups),
            bytemuck::cast_slice(&self.packed),
            bytemuck::cast_slice(&self.corners),
        ];
        let sections: Vec<(&str, &[u8])> = NAMES.into_iter().zip(own).chain(extra.iter().copied()).collect();
        let header = FileHeader {
            dtype: size_of::<T>() as u32,
            order: if self.corners.is_empty() { ORDER_BALLS } else { ORDER_BOXES },
            dim: self.dim as u32,
            len: len as Idx,
            groups: self.groups.len() as Idx,
            next_id: len as Idx,
            base: 2.0,
            scale: 1.0,
            ..FileHeader::default()
        };
        image(header, &sections)
    }
}

/// The sum of a form by the published formula.
fn sum<T: Real, F: Form>(query: &[T], row: &[T]) -> f64 {
    query.iter().zip(row).fold(0.0, |sum, (q, p)| F::step_f64(sum, q.to_f64(), p.to_f64()))
}

/// A file of these sections, with the numbers in the header that follow from them.
pub fn image(header: FileHeader, sections: &[(&str, &[u8])]) -> Vec<u64> {
    let mut end = size_of::<FileHeader>() + sections.len() * size_of::<FileSection>();
    let mut table = Vec::new();
    for (name, bytes) in sections {
        let mut padded = [0; NAME];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        let offset = end.next_multiple_of(ALIGN);
        table.push(FileSection { name: padded, offset: offset as u64, bytes: bytes.len() as u64 });
        end = offset + bytes.len();
    }
    let file_bytes = end + CHECKSUM;
    let header = FileHeader {
        magic: MAGIC,
        version: VERSION,
        byte_order: BYTE_ORDER,
        file_bytes: file_bytes as u64,
        sections: sections.len() as u32,
        ..header
    };
    let mut words = vec![0u64; file_bytes.div_ceil(8)];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    bytes[..size_of::<FileHeader>()].copy_from_slice(bytemuck::bytes_of(&header));
    for (place, (entry, (_, content))) in table.iter().zip(sections).enumerate() {
        let at = size_of::<FileHeader>() + place * size_of::<FileSection>();
        bytes[at..at + size_of::<FileSection>()].copy_from_slice(bytemuck::bytes_of(entry));
        bytes[entry.offset as usize..][..content.len()].copy_from_slice(content);
    }
    words
}

/// The bytes of an [`image`]: as many as its header promises.
pub fn bytes_of_image(words: &[u64]) -> &[u8] {
    let bytes: &[u8] = bytemuck::cast_slice(words);
    let promised = bytemuck::pod_read_unaligned::<FileHeader>(&bytes[..size_of::<FileHeader>()]).file_bytes;
    &bytes[..promised as usize]
}
