//! k-best by sorting everything.

use std::vec::Vec;

use crate::index::{Idx, NONE};

/// How many pairs [`KBest`](crate::topk::KBest) must keep of `offers`, with the distances and the ids that it must leave
/// behind, `[k]` each.
pub fn k_best(k: usize, offers: &[(f64, Idx)]) -> (usize, Vec<f64>, Vec<Idx>) {
    let mut kept: Vec<(f64, Idx)> = offers.iter().copied().filter(|(distance, _)| !distance.is_nan()).collect();
    kept.sort_by(|a, b| a.partial_cmp(b).expect("NaN was removed"));
    kept.truncate(k);
    let found = kept.len();
    kept.resize(k, (f64::INFINITY, NONE));
    let (distances, ids) = kept.into_iter().unzip();
    (found, distances, ids)
}
