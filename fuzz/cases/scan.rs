//! `tree::scan`: a block of queries, some of which leave a point out; `tree::sweep` of all that lie within a radius; and
//! `view::pack_rows`, which packs the points for both, in the reverse order.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::SquaredEuclidean;
use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::tree::{Coordinates, SCAN_QUERIES, Within, scan, scan_blocks, sweep};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};

use super::Bytes;

const LANES: usize = f32::LANES;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (len, dim, k) = (bytes.size(70), 1 + bytes.size(20), 1 + bytes.size(40));
    let count = bytes.size(SCAN_QUERIES + 1);
    // Small enough that no square leaves the range of `f32`.
    let mut values =
        |count: usize| -> Vec<f32> { (0..count).map(|_| bytes.coordinate().clamp(-1e15, 1e15) as f32).collect() };
    let (points, queries) = (values(len * dim), values(count * dim));
    let ids: Vec<Idx> = (0..len as Idx).rev().collect();
    let except: Vec<Idx> = (0..count as Idx).map(|query| if query % 2 == 0 { query } else { NONE }).collect();
    let mut packed = vec![f32::NAN; panels_len::<f32>(len, dim)];
    pack_rows(Rows::new(&points, dim).unwrap(), &ids, &mut packed).unwrap();
    for (place, value) in packed.iter().enumerate() {
        // `[panel][dim][LANES]`; the lanes behind the last point repeat it.
        let (panel, d, lane) = (place / LANES / dim, place / LANES % dim, place % LANES);
        let position = (panel * LANES + lane).min(len - 1);
        assert_eq!(*value, points[at(ids[position]) * dim + d], "point {position}, dimension {d}");
    }
    let metric = Coordinates::<f32, SquaredEuclidean>::new(Panels::new(&packed, dim, len).unwrap());
    for tier in Tier::all() {
        let mut memory = vec![Block::splat(0xdead_beef); scan_blocks::<f32>(dim)];
        let (mut distances, mut found) = (vec![-7.0; count * k], vec![-7; count * k]);
        let (asked, arena) = (Rows::new(&queries, dim).unwrap(), &mut Arena::new(&mut memory));
        scan(tier, &metric, &ids, asked, &except, &mut distances, &mut found, arena).unwrap();
        for (query, row) in queries.chunks_exact(dim).enumerate() {
            let want = brute(&points, dim, row, except[query]);
            for place in 0..k {
                let want = want.get(place).copied().unwrap_or((f64::INFINITY, NONE));
                assert_eq!((distances[query * k + place], found[query * k + place]), want, "{tier}, query {query}");
            }
        }
        for (query, row) in queries.chunks_exact(dim).enumerate() {
            // As far as one of the points, so that there is a tie.
            let all = brute(&points, dim, row, NONE);
            let radius = all.get(k - 1).map_or(1.0, |nearest| nearest.0);
            let (mut near, mut how_far) = (vec![NONE; len], vec![0.0; len]);
            let mut visitor = [Within::new(&ids, NONE, radius, &mut near, &mut how_far).unwrap()];
            let (asked, arena) = (Rows::new(row, dim).unwrap(), &mut Arena::new(&mut memory));
            sweep(tier, &metric, asked, &mut visitor, arena).unwrap();
            let count = visitor[0].found().unwrap() as usize;
            let mut got: Vec<(f64, Idx)> = how_far.into_iter().zip(near).take(count).collect();
            got.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            assert_eq!(got, &all[..all.partition_point(|one| one.0 <= radius)], "{tier}, query {query}");
        }
    }
}

/// All distances but one by the published formula, ascending by (distance, id).
fn brute(points: &[f32], dim: usize, query: &[f32], except: Idx) -> Vec<(f64, Idx)> {
    let distance = |row: &[f32]| {
        let square = |(q, p): (&f32, &f32)| (f64::from(*q) - f64::from(*p)).powi(2);
        query.iter().zip(row).map(square).fold(0.0, |sum, term| sum + term).sqrt()
    };
    let mut all: Vec<(f64, Idx)> = points.chunks_exact(dim).map(distance).zip(0..).collect();
    all.retain(|(_, id)| *id != except);
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all
}
