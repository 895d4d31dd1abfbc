//! `tree::knn`, `tree::scan`, `tree::search` for all points within a radius and for a covering node, with
//! `tree::cover_ceilings`, and `tree::box_of_run`, over a tree of one group.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::SquaredEuclidean;
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{
    Coordinates, Covering, Group, Ladder, TreeParts, TreeView, Within, box_of_run, cover_ceilings, knn, scan,
    scan_blocks, search, search_blocks,
};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (len, dim, k) = (1 + bytes.below(70), 1 + bytes.below(6), 1 + bytes.below(80));
    // Small enough that no square leaves the range of `f32`.
    let mut coordinate = || bytes.coordinate().clamp(-1e15, 1e15) as f32;
    let points: Vec<f32> = (0..len * dim).map(|_| coordinate()).collect();
    let query: Vec<f32> = (0..dim).map(|_| coordinate()).collect();

    let ids: Vec<Idx> = (0..len as Idx).collect();
    let mut packed = vec![f32::NAN; panels_len::<f32>(len, dim)];
    pack_rows(Rows::new(&points, dim).unwrap(), &ids, &mut packed).unwrap();
    let panels = Panels::new(&packed, dim, len).unwrap();
    let metric = Coordinates::<f32, SquaredEuclidean>::new(panels);
    let levels = vec![0; len];
    let groups = [Group { first: 1, block: len as Idx, end: len as Idx, ..Group::default() }];
    let view = TreeView::new(TreeParts { ids: &ids, levels: &levels, groups: &groups, waiting: 1 }).unwrap();

    let want = brute(&points, dim, &query);
    let radius = want[len / 2].0;
    let inside = want.iter().filter(|(distance, _)| *distance <= radius).count();
    for tier in Tier::all() {
        let mut memory = vec![Block::splat(0xdead_beef); search_blocks(1)];
        let (mut distances, mut found) = (vec![-7.0; k], vec![-7; k]);
        knn(tier, view, &metric, &query, NONE, &mut distances, &mut found, &mut Arena::new(&mut memory)).unwrap();
        for place in 0..k {
            let want = want.get(place).copied().unwrap_or((f64::INFINITY, NONE));
            assert_eq!((distances[place], found[place]), want, "{tier}, neighbour {place}");
        }

        let mut memory_of_scan = vec![Block::splat(0xdead_beef); scan_blocks::<f32>(dim)];
        let (mut scanned, mut who) = (vec![-7.0; k], vec![-7; k]);
        let (asked, arena) = (Rows::new(&query, dim).unwrap(), &mut Arena::new(&mut memory_of_scan));
        scan(tier, &metric, &ids, asked, &[NONE], &mut scanned, &mut who, arena).unwrap();
        assert_eq!((scanned, who), (distances, found), "{tier}");

        // All nodes stand on level 0, whose radius reaches to the point in the middle.
        if radius > 0.0 && radius.is_finite() {
            let ladder = [radius];
            let ladder = Ladder::new(&ladder, 0).unwrap();
            let mut ceilings = vec![f32::NAN; len.next_multiple_of(16)];
            cover_ceilings(&metric, ladder, &levels, &mut ceilings).unwrap();
            let visitor = Covering::new(view, ladder, &ceilings, true).unwrap();
            let (visitor, _) = search(tier, view, &metric, &query, visitor, &mut Arena::new(&mut memory)).unwrap();
            assert_eq!(visitor.found(), Some((want[0].1, want[0].0)), "{tier}");
        }

        let (mut near, mut apart) = (vec![-7; len], vec![-7.0; len]);
        let visitor = Within::new(&ids, NONE, radius, &mut near, &mut apart).unwrap();
        let (visitor, _) = search(tier, view, &metric, &query, visitor, &mut Arena::new(&mut memory)).unwrap();
        assert_eq!(visitor.found().unwrap(), inside as Idx, "{tier}");
        let mut pairs: Vec<(f64, Idx)> = apart.into_iter().zip(near).take(inside).collect();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        assert_eq!(pairs, want[..inside], "{tier}");

        let (mut low, mut high) = (vec![f32::NAN; dim], vec![f32::NAN; dim]);
        box_of_run(tier, panels, len / 3, len, &mut low, &mut high).unwrap();
        for d in 0..dim {
            let column = points[len / 3 * dim..].iter().skip(d).step_by(dim).copied();
            let bounds = column.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
            assert_eq!((low[d], high[d]), bounds, "{tier}, dimension {d}");
        }
    }
}

/// All distances by the published formula, ascending by (distance, id).
fn brute(points: &[f32], dim: usize, query: &[f32]) -> Vec<(f64, Idx)> {
    let distance = |row: &[f32]| {
        let square = |(q, p): (&f32, &f32)| (f64::from(*q) - f64::from(*p)).powi(2);
        query.iter().zip(row).map(square).fold(0.0, |sum, term| sum + term).sqrt()
    };
    let mut all: Vec<(f64, Idx)> = points.chunks_exact(dim).map(distance).zip(0..).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all
}
