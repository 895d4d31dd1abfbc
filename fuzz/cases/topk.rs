//! Bounded k-best against a sort of all offers.

use covertree_kernels::index::Idx;
use covertree_kernels::oracle::topk::k_best;
use covertree_kernels::topk::{KBest, SORTED_MAX};

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (k, len) = (1 + bytes.below(100), bytes.below(400));
    let offers: Vec<(f64, Idx)> = (0..len)
        .map(|i| {
            let distance = match bytes.u8() {
                0 => f64::INFINITY,
                1 => f64::NAN,
                2..=20 => bytes.coordinate(),
                byte => f64::from(byte % 32), // ties
            };
            (distance, (i as Idx * 7919) % 4001) // each id once, in no order
        })
        .collect();
    let (mut distances, mut ids) = (vec![-1.0; k], vec![-9; k]);
    let mut best = KBest::new(&mut distances, &mut ids).expect("k is positive");
    for &(distance, id) in &offers {
        best.offer(distance, id);
    }
    let (found, sorted, sorted_ids) = k_best(k, &offers);
    assert_eq!((best.len(), best.worst()), (found, if found == k { sorted[k - 1] } else { f64::INFINITY }));
    let work = best.counters();
    assert!(work.kept >= found as u64 && work.kept <= len as u64, "what is held was kept");
    assert!(work.heaps <= u64::from(k > SORTED_MAX), "few pairs are sorted");
    assert_eq!((best.finish(), distances, ids), (found, sorted, sorted_ids));
}
