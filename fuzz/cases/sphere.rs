//! Nearest neighbours by angle and by great-circle distance, against the published formulas on raw input.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::oracle;
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{
    Angular, Group, HAVERSINE_WIDTH, Haversine, Metric, TreeParts, TreeView, haversine_row, knn, search_blocks,
    unit_row,
};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let len = 1 + bytes.size(40);
    let k = 1 + bytes.below(len + 2);
    if bytes.u8() % 2 == 0 {
        let dim = 1 + bytes.below(9);
        let rows: Vec<Vec<f64>> = (0..len).map(|_| (0..dim).map(|_| coordinate(&mut bytes)).collect()).collect();
        angles(&rows, dim, k);
    } else {
        let places: Vec<[f64; 2]> = (0..len).map(|_| [longitude(&mut bytes), latitude(&mut bytes)]).collect();
        arcs(&places, k);
    }
}

/// A coordinate, sometimes of any size that an `f64` can have.
fn coordinate(bytes: &mut Bytes<'_>) -> f64 {
    let value = bytes.coordinate();
    if bytes.u8() < 250 {
        return value;
    }
    let any = f64::from_bits(bytes.u64());
    if any.is_finite() { any } else { value }
}

/// A longitude, which may be any finite number.
fn longitude(bytes: &mut Bytes<'_>) -> f64 {
    (coordinate(bytes) * 30.0).clamp(-f64::MAX, f64::MAX)
}

/// A latitude, often a pole or next to one.
fn latitude(bytes: &mut Bytes<'_>) -> f64 {
    match bytes.u8() {
        0..=20 => 90.0,
        21..=40 => -90.0,
        41..=60 => 90.0 - bytes.coordinate().abs().min(90.0) * 1e-13,
        _ => bytes.coordinate().clamp(-9.0, 9.0) * 10.0,
    }
}

fn angles(rows: &[Vec<f64>], dim: usize, k: usize) {
    let mut units = Vec::new();
    let mut kept = Vec::new();
    for row in rows {
        let mut unit = vec![-7.0; dim];
        let made = unit_row(row, &mut unit);
        assert_eq!(made.is_ok(), row.iter().any(|value| *value != 0.0), "{row:?}");
        if made.is_ok() {
            units.extend(unit);
            kept.push(row);
        }
    }
    if !kept.is_empty() {
        let packed = pack(&units, dim);
        let metric = Angular::new(Panels::new(&packed, dim, kept.len()).expect("the points are packed"));
        compare(&metric, &units, dim, k, |i, j| oracle::sphere::angular(kept[i], kept[j]));
    }
}

fn arcs(places: &[[f64; 2]], k: usize) {
    let rows: Vec<f64> =
        places.iter().flat_map(|place| haversine_row(place[0], place[1]).expect("a place on Earth")).collect();
    let packed = pack(&rows, HAVERSINE_WIDTH);
    let points = Panels::new(&packed, HAVERSINE_WIDTH, places.len()).expect("the points are packed");
    let metric = Haversine::new(points).expect("rows have the width");
    compare(&metric, &rows, HAVERSINE_WIDTH, k, |i, j| oracle::sphere::haversine(places[i], places[j]));
}

fn pack(rows: &[f64], width: usize) -> Vec<f64> {
    let order: Vec<Idx> = (0..(rows.len() / width) as Idx).collect();
    let mut packed = vec![f64::NAN; panels_len::<f64>(order.len(), width)];
    pack_rows(Rows::new(rows, width).expect("whole rows"), &order, &mut packed).expect("the size fits");
    packed
}

/// Asks for the neighbours of each point among all of them, in a tree of one group, on every tier.
fn compare<M>(metric: &M, rows: &[f64], width: usize, k: usize, oracle: impl Fn(usize, usize) -> f64)
where
    M: for<'q> Metric<Query<'q> = &'q [f64]>,
{
    let len = rows.len() / width;
    let ids: Vec<Idx> = (0..len as Idx).collect();
    let levels = vec![0; len];
    let groups = [Group { first: 1, block: len as Idx, end: len as Idx, reach: f32::MAX, ..Group::default() }];
    let parts = TreeParts { ids: &ids, levels: &levels, groups: &groups, waiting: 1 };
    let view = TreeView::new(parts).expect("one group is a tree");
    let mut memory = vec![Block::splat(7); search_blocks(1)];
    for (i, query) in rows.chunks(width).enumerate() {
        let mut expected: Vec<(f64, Idx)> = (0..len).map(|j| (oracle(i, j), j as Idx)).collect();
        expected.sort_by(|a, b| a.partial_cmp(b).expect("distances are numbers"));
        expected.resize(len.max(k), (f64::INFINITY, NONE));
        for tier in Tier::all() {
            let (mut distances, mut found) = (vec![f64::NAN; k], vec![-7; k]);
            let arena = &mut Arena::new(&mut memory);
            knn(tier, view, metric, query, NONE, &mut distances, &mut found, arena).expect("the arena has the size");
            for (rank, (got, want)) in distances.into_iter().zip(found).zip(&expected).enumerate() {
                assert_eq!((got.0.to_bits(), got.1), (want.0.to_bits(), want.1), "{tier} query {i} rank {rank}");
            }
        }
    }
}
