use std::vec;
use std::vec::Vec;

use super::*;
use crate::arena::{Arena, Block};
use crate::dist::{Chebyshev, Form, Manhattan, SquaredEuclidean};
use crate::hash::mix64;
use crate::index::NONE;
use crate::simd::{Real, Tier};
use crate::view::{Panels, Rows, pack_rows, panels_len};

/// A hand-made tree over points in the order of their rows: the root, then runs of `leaf` points, `fan` of them to a group.
struct Made<T> {
    ids: Vec<Idx>,
    levels: Vec<i32>,
    groups: Vec<Group>,
    waiting: Idx,
    data: Vec<T>,
    packed: Vec<T>,
    corners: Vec<T>,
    dim: usize,
}

impl<T: Real> Made<T> {
    fn new(data: Vec<T>, dim: usize, leaf: usize, fan: usize) -> Self {
        let len = data.len() / dim;
        let ids: Vec<Idx> = (0..len as Idx).map(|row| (row * 7919) % len as Idx).collect();
        let ids = if len.is_multiple_of(7919) { (0..len as Idx).collect() } else { ids };
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
        let waiting = groups.len() as Idx;
        let rows = Rows::new(&data, dim).unwrap();
        let order: Vec<Idx> = (0..len as Idx).collect();
        let mut packed = vec![T::default(); panels_len::<T>(len, dim)];
        pack_rows(rows, &order, &mut packed).unwrap();
        let mut corners = vec![T::default(); panels_len::<T>(groups.len(), 2 * dim)];
        let panels = Panels::new(&packed, dim, len).unwrap();
        for (place, group) in groups.iter().enumerate().filter(|(_, group)| group.first < group.end) {
            let (mut low, mut high) = (vec![T::default(); dim], vec![T::default(); dim]);
            box_of_run(Tier::detect(), panels, at(group.first), at(group.end), &mut low, &mut high).unwrap();
            let panel = place / T::LANES * 2 * dim;
            for (d, &value) in low.iter().chain(&high).enumerate() {
                corners[(panel + d) * T::LANES + place % T::LANES] = value;
            }
        }
        Self { levels: vec![0; len], ids, groups, waiting, data, packed, corners, dim }
    }

    fn parts(&self) -> TreeParts<'_> {
        TreeParts { ids: &self.ids, levels: &self.levels, groups: &self.groups, waiting: self.waiting }
    }

    fn metric<F: Form>(&self) -> Coordinates<'_, T, F> {
        let points = Panels::new(&self.packed, self.dim, self.ids.len()).unwrap();
        let corners = Panels::new(&self.corners, 2 * self.dim, self.groups.len()).unwrap();
        Coordinates::new(points).with_boxes(Boxes::new(corners).unwrap())
    }

    /// Brute force by the published formula, ascending by (distance, id).
    fn brute<F: Form>(&self, query: &[T], except: Idx, finish: fn(f64) -> f64) -> Vec<(f64, Idx)> {
        let mut all: Vec<(f64, Idx)> = self
            .data
            .chunks_exact(self.dim)
            .zip(&self.ids)
            .filter(|(_, id)| **id != except)
            .map(|(row, &id)| {
                let sum = query.iter().zip(row).fold(0.0, |sum, (q, p)| F::step_f64(sum, q.to_f64(), p.to_f64()));
                (finish(sum), id)
            })
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all
    }

    fn check<F: Form>(&self, query: &[T], k: usize, except: Idx, finish: fn(f64) -> f64) {
        let view = TreeView::new(self.parts()).unwrap();
        let want = self.brute::<F>(query, except, finish);
        for tier in Tier::all() {
            let mut memory = vec![Block::new([0xdead_beef; 16]); search_blocks(self.waiting)];
            let (mut distances, mut ids) = (vec![-7.0; k], vec![-7; k]);
            let metric = self.metric::<F>();
            let mut arena = Arena::new(&mut memory);
            let (found, counters) =
                knn(tier, view, &metric, query, except, &mut distances, &mut ids, &mut arena).unwrap();
            assert_eq!(found, k.min(want.len()), "{tier}");
            assert!(counters.settled as usize >= found);
            for place in 0..k {
                let want = want.get(place).copied().unwrap_or((f64::INFINITY, NONE));
                assert_eq!((distances[place], ids[place]), want, "{tier}, neighbour {place}");
            }
        }
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

fn every_shape<T: Real>() {
    for (case, len) in [1, 2, 15, 16, 17, 33, 300].into_iter().enumerate() {
        for dim in [1, 2, 3, 4, 5, 9] {
            for kind in 0..4 {
                let made = Made::<T>::new(points(len, dim, case as u64, kind), dim, 11, [2, 5, 16, 40][kind]);
                let query: Vec<T> = points(len, dim, 99, kind)[..dim].to_vec();
                let member = made.data[(len / 2) * dim..(len / 2 + 1) * dim].to_vec();
                for k in [1, 8, 40, len + 3] {
                    made.check::<SquaredEuclidean>(&query, k, NONE, libm::sqrt);
                    made.check::<Manhattan>(&member, k, made.ids[len / 2], core::convert::identity);
                }
                made.check::<Chebyshev>(&member, 5, NONE, core::convert::identity);
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
fn all_points_within_a_radius_are_found() {
    let made = Made::<f32>::new(points(300, 3, 5, 1), 3, 11, 7);
    let view = TreeView::new(made.parts()).unwrap();
    let query = made.data[30..33].to_vec();
    let mut want = made.brute::<SquaredEuclidean>(&query, NONE, libm::sqrt);
    want.retain(|(distance, _)| *distance <= 2.0);
    for tier in Tier::all() {
        let mut memory = vec![Block::new([9; 16]); search_blocks(made.waiting)];
        let (mut ids, mut distances) = (vec![-7; 300], vec![-7.0; 300]);
        let visitor = Within::new(&made.ids, NONE, 2.0, &mut ids, &mut distances).unwrap();
        let metric = made.metric::<SquaredEuclidean>();
        let (visitor, _) = search(tier, view, &metric, &query[..], visitor, &mut Arena::new(&mut memory)).unwrap();
        let found = at(visitor.found().unwrap());
        let mut got: Vec<(f64, Idx)> = distances[..found].iter().copied().zip(ids[..found].iter().copied()).collect();
        got.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        assert_eq!(got, want, "{tier}");
    }
}

#[test]
fn too_little_scratch_is_refused() {
    let made = Made::<f64>::new(points(300, 2, 1, 0), 2, 11, 16);
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
    let made = Made::<f32>::new(points(100, 2, 1, 0), 2, 11, 4);
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
}
