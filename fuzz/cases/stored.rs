//! `tree::stored::StoredTree`: an honest file is searched as brute force searches, and a damaged one is refused or
//! searched without harm.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::SquaredEuclidean;
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::oracle::tree::{HandMade, bytes_of_image};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::tree::stored::StoredTree;
use covertree_kernels::tree::{Metric, TreeView, Within, knn, search, search_blocks};

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    if bytes.u8().is_multiple_of(2) { case::<f32>(&mut bytes) } else { case::<f64>(&mut bytes) }
}

fn case<T: Real>(bytes: &mut Bytes<'_>) {
    let (len, dim) = (1 + bytes.size(120), 1 + bytes.below(4));
    let (boxed, leaf, fan) = (bytes.u8().is_multiple_of(2), 1 + bytes.below(20), 2 + bytes.below(20));
    let points: Vec<T> =
        (0..len * dim).map(|i| T::from_f64(f64::from(bytes.u8()) / 8.0 + (i / dim) as f64 / 4.0)).collect();
    let made = if boxed { HandMade::boxed(points, dim, leaf, fan) } else { HandMade::balled(points, dim, fan) };
    let mut words = made.image("euclidean", &[("note", b"any")]);
    let file_len = bytes_of_image(&words).len();
    let file: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    let damages = bytes.below(6);
    for _ in 0..damages {
        // Mostly the header, the table and the first sections, where a byte matters most.
        let most = if bytes.u8().is_multiple_of(2) { file_len.min(600) } else { file_len };
        file[bytes.below(most)] = bytes.u8();
    }
    let stored = match StoredTree::new(&file[..file_len]) {
        Ok(stored) => stored,
        Err(_) => {
            assert!(damages > 0, "an honest file is refused");
            return;
        }
    };
    assert!(damages > 0 || (stored.metric() == "euclidean" && stored.section("note") == Some(b"any")));
    let (Some(points), view) = (stored.points::<T>(), stored.view()) else { return };
    let query = vec![T::from_f64(f64::from(bytes.u8())); points.panels().dim()];
    if let Ok(metric) = points.coordinates::<SquaredEuclidean>() {
        let answers = answers(view, &metric, &query);
        if damages == 0 {
            let mut want = made.brute::<SquaredEuclidean>(&query, NONE, f64::sqrt);
            want.resize(want.len().max(K), (f64::INFINITY, NONE));
            assert_eq!(answers, want[..K]);
        }
    }
}

const K: usize = 9;

/// The nearest points, after a search for all within the distance of the last one.
fn answers<M: Metric>(view: TreeView<'_>, metric: &M, query: M::Query<'_>) -> Vec<(f64, Idx)> {
    let mut memory = vec![Block::splat(0xdead_beef); search_blocks(view.parts().waiting)];
    let (mut distances, mut ids) = (vec![-7.0; K], vec![-7; K]);
    let tier = Tier::detect();
    let arena = &mut Arena::new(&mut memory);
    knn(tier, view, metric, query, NONE, &mut distances, &mut ids, arena).expect("the scratch is enough");
    let (mut near, mut apart) = (vec![-7; 4], vec![-7.0; 4]);
    let visitor = Within::new(view.parts().ids, NONE, distances[K - 1], &mut near, &mut apart).expect("equal lengths");
    search(tier, view, metric, query, visitor, arena).expect("the scratch is enough");
    distances.into_iter().zip(ids).collect()
}
