//! `projection::principal_axes`, `projection::project_rows`, and searches and scans over the rows that they make.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::SquaredEuclidean;
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::oracle::tree::HandMade;
use covertree_kernels::projection::{
    AXES, Projection, excess, principal_axes, principal_axes_blocks, project_rows, scalar,
};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::tree::{Boxes, Coordinates, TreeView, knn, scan, scan_blocks, search_blocks};
use covertree_kernels::view::{Panels, Rows};

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (len, dim, k) = (1 + bytes.size(120), 1 + bytes.size(40), 1 + bytes.size(20));
    let (leaf, fan) = (1 + bytes.below(40), 2 + bytes.below(20));
    // Small enough that no square leaves the range of `f32`; the last row is asked for among the others.
    let rows: Vec<f64> = (0..(len + 1) * dim).map(|_| bytes.coordinate().clamp(-1e15, 1e15)).collect();
    let single: Vec<f32> = rows.iter().map(|&value| value as f32).collect();
    answers(&rows, dim, [leaf, fan, k]);
    answers(&single, dim, [leaf, fan, k]);
}

/// The center, the axes and their number, the same by every tier and by the twin.
fn axes_of<T: Real>(sample: Rows<'_, T>) -> (Vec<f64>, Vec<f64>, usize) {
    let dim = sample.dim();
    let (mut center, mut axes, mut moments) = (vec![9.0; dim], vec![9.0; dim * AXES], vec![9.0; dim * AXES]);
    let count = scalar::principal_axes(sample, &mut center, &mut axes, &mut moments);
    for tier in Tier::all() {
        let (mut other_center, mut other_axes) = (vec![-7.0; dim], vec![f64::NAN; dim * AXES]);
        let mut memory = vec![Block::splat(0xdead_beef); principal_axes_blocks(dim)];
        let arena = &mut Arena::new(&mut memory);
        let other = principal_axes(tier, sample, &mut other_center, &mut other_axes, arena).unwrap();
        assert!((&other_center, &other_axes, other) == (&center, &axes, count), "{tier}");
    }
    (center, axes, count)
}

/// Projected rows and their spread, the same by every tier and by the twin.
fn projected_by<T: Real>(projection: &Projection<'_>, rows: Rows<'_, T>) -> (Vec<T>, f64) {
    let mut plain = vec![T::INFINITY; rows.len() * projection.width()];
    let spread = scalar::project_rows(projection, rows, &mut plain);
    for tier in Tier::all() {
        let mut out = vec![T::INFINITY; plain.len()];
        let found = project_rows(tier, projection, rows, &mut out).unwrap();
        assert!(out == plain && found == spread, "{tier}");
    }
    (plain, spread)
}

fn answers<T: Real>(rows: &[T], dim: usize, [leaf, fan, k]: [usize; 3]) {
    let (points, asked) = rows.split_at(rows.len() - dim);
    let sample = Rows::new(points, dim).unwrap();
    let (center, axes, count) = axes_of(sample);
    let projection = Projection::new(&center, &axes, count).unwrap();
    let width = projection.width();
    let (projected, spread) = projected_by(&projection, sample);
    let (query, _) = projected_by(&projection, Rows::new(asked, dim).unwrap());

    // Boxes around the projections alone, over a tree of the whole rows.
    let leading = projected.chunks_exact(width).flat_map(|row| row[..count].iter().copied()).collect();
    let boxes = HandMade::boxed(leading, count, leaf, fan);
    let made = HandMade::balled(projected, width, 1);
    let panels = Panels::new(&made.packed, width, made.ids.len()).unwrap();
    let plain = Coordinates::<T, SquaredEuclidean>::projected(panels, count, excess::<T>(dim, spread)).unwrap();
    let corners = Panels::new(&boxes.corners, 2 * count, boxes.groups.len()).unwrap();
    let metric = plain.with_boxes(Boxes::new(corners).unwrap());

    let distance = |row: &[T]| {
        let differences = asked.iter().zip(row).map(|(q, x)| q.to_f64() - x.to_f64());
        differences.fold(0.0, |sum, difference| sum + difference * difference).sqrt()
    };
    let mut want: Vec<(f64, Idx)> = points.chunks_exact(dim).map(distance).zip(boxes.ids.iter().copied()).collect();
    want.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    want.resize(want.len().max(k), (f64::INFINITY, NONE));
    for tier in Tier::all() {
        let mut memory = vec![Block::splat(0xdead_beef); search_blocks(boxes.waiting).max(scan_blocks::<T>(width))];
        let (mut distances, mut found) = (vec![-7.0; k], vec![-7; k]);
        let view = TreeView::new(boxes.parts()).unwrap();
        let arena = &mut Arena::new(&mut memory);
        knn(tier, view, &metric, &query, NONE, &mut distances, &mut found, arena).unwrap();
        let same = distances.iter().copied().zip(found.iter().copied()).eq(want[..k].iter().copied());
        assert!(same, "{tier}: {distances:?} {found:?} instead of {want:?}");
        distances.fill(-7.0);
        found.fill(-7);
        let arena = &mut Arena::new(&mut memory);
        let asked = Rows::new(&query, width).unwrap();
        scan(tier, &plain, &boxes.ids, asked, &[NONE], &mut distances, &mut found, arena).unwrap();
        let same = distances.iter().copied().zip(found).eq(want[..k].iter().copied());
        assert!(same, "{tier}, scan");
    }
}
