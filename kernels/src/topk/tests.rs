use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{COUNTED_MAX, KBest, RANKED_MAX, SORTED_MAX, TopkCounters, ascending};
use crate::error::KernelError;
use crate::index::{Idx, NONE};
use crate::oracle::topk::k_best;
use crate::simd::{Lanes, OnLanes, Tier};
use crate::trials;

/// Offers everything to a selection in dirty memory.
fn select(k: usize, offers: &[(f64, Idx)]) -> (usize, Vec<f64>, Vec<Idx>) {
    let (mut distances, mut ids) = (vec![-3.5; k], vec![77; k]);
    let mut best = KBest::new(&mut distances, &mut ids).unwrap();
    assert!(best.is_empty());
    for (at, &(distance, id)) in offers.iter().enumerate() {
        best.offer(distance, id);
        if trials::thin(32, 0..=at).last() == Some(at) {
            let (found, so_far, _) = k_best(k, &offers[..=at]);
            assert_eq!(best.len(), found);
            assert_eq!(best.worst(), if found == k { so_far[k - 1] } else { f64::INFINITY });
        }
    }
    assert_eq!(best.counters(), counted(k, offers), "k {k}");
    let found = best.finish();
    (found, distances, ids)
}

/// The work of a selection, by holding in order what is kept: more pairs than are sorted form a heap as soon as one comes
/// that belongs in front of nearer ones, or in front of many ties.
fn counted(k: usize, offers: &[(f64, Idx)]) -> TopkCounters {
    let (mut held, mut counters) = (Vec::<(f64, Idx)>::new(), TopkCounters::default());
    for &offer in offers.iter().filter(|offer| !offer.0.is_nan()) {
        let place = held.iter().take_while(|pair| **pair < offer).count();
        if place < k {
            let ties = held.len() - place <= SORTED_MAX && held.last().is_some_and(|last| last.0 == offer.0);
            if k > SORTED_MAX && place < held.len() && !ties {
                counters.heaps = 1;
            }
            held.insert(place, offer);
            held.truncate(k);
            counters.kept += 1;
        }
    }
    counters
}

proptest! {
    #![proptest_config(trials::cases(256))]

    #[test]
    fn k_best_matches_oracle(
        k in prop_oneof![1..12_usize, SORTED_MAX - 1..SORTED_MAX + 3, 33..90_usize],
        distances in prop::collection::vec(prop_oneof![(0..9_u8).prop_map(f64::from), 0.0..5.0], 0..150),
    ) {
        // Ids neither rise nor repeat.
        let offers: Vec<(f64, Idx)> = distances.iter().enumerate().map(|(i, &d)| (d, (i as Idx * 61) % 151)).collect();
        prop_assert_eq!(select(k, &offers), k_best(k, &offers));
    }

    #[test]
    fn every_tier_ends_in_the_same_order(
        k in prop_oneof![1..12_usize, 33..90_usize, COUNTED_MAX - 1..COUNTED_MAX + 2],
        distances in prop::collection::vec(
            prop_oneof![(0..9_u8).prop_map(f64::from), 0.0..5.0, Just(-0.0), Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
            0..200,
        ),
    ) {
        let offers: Vec<(f64, Idx)> = distances.iter().enumerate().map(|(i, &d)| (d, (i as Idx * 61) % 211)).collect();
        let bits = |distances: &[f64]| distances.iter().map(|distance| distance.to_bits()).collect::<Vec<u64>>();
        let (found, expected, expected_ids) = k_best(k, &offers);
        for tier in Tier::all() {
            let (mut distances, mut ids) = (vec![-3.5; k], vec![77; k]);
            let mut best = KBest::new(&mut distances, &mut ids).unwrap();
            offers.iter().for_each(|&(distance, id)| best.offer(distance, id));
            prop_assert_eq!(best.finish_on(tier), found);
            prop_assert_eq!((bits(&distances), &ids), (bits(&expected), &expected_ids), "{} k {}", tier, k);
        }
    }

    #[test]
    fn the_order_of_the_offers_does_not_matter(seed in 0..1000_usize, k in 1..50_usize) {
        let mut offers: Vec<(f64, Idx)> = (0..100).map(|i| (f64::from(i % 7), i)).collect();
        let straight = select(k, &offers);
        for i in (1..offers.len()).rev() {
            offers.swap(i, (seed * 31 + i * 17) % (i + 1));
        }
        prop_assert_eq!(select(k, &offers), straight);
    }
}

#[test]
fn sizes_around_the_switch_to_the_heap() {
    for k in trials::thin(2, [1, 2, SORTED_MAX + 1, SORTED_MAX, SORTED_MAX - 1, 100]) {
        for len in trials::thin(2, [0, 1, k - 1, k, k + 1, 3 * k]) {
            let falling: Vec<(f64, Idx)> = (0..len as Idx).map(|i| (f64::from(1000 - i), i)).collect();
            let rising: Vec<(f64, Idx)> = (0..len as Idx).map(|i| (f64::from(i), i)).collect();
            let equal: Vec<(f64, Idx)> = (0..len as Idx).rev().map(|i| (0.5, i)).collect();
            // What comes in order until the end, and after that does not.
            let mut late = rising.clone();
            late.extend([(0.5, 2000), (f64::from(len as Idx), 2001), (0.5, 1999), (-1.0, 2002)]);
            // Of each distance several, in order but for their ids.
            let tied: Vec<(f64, Idx)> = (0..len as Idx).map(|i| (f64::from(i / 5), i / 5 * 5 + 4 - i % 5)).collect();
            for offers in [falling, rising, equal, late, tied] {
                assert_eq!(select(k, &offers), k_best(k, &offers), "k {k} len {len}");
            }
        }
    }
}

#[test]
fn ties_go_to_the_lower_id_even_when_full() {
    assert_eq!(select(1, &[(1.0, 5), (1.0, 3), (1.0, 4)]), (1, vec![1.0], vec![3]));
    assert_eq!(select(2, &[(0.0, 5), (-0.0, 3), (0.0, 4)]).2, vec![3, 4]);
}

#[test]
fn infinities_are_kept_and_nan_is_not() {
    let infinite = (f64::INFINITY, 2);
    assert_eq!(select(2, &[infinite, (f64::NAN, 1)]), (1, vec![f64::INFINITY; 2], vec![2, NONE]));
    assert_eq!(select(1, &[infinite, (f64::INFINITY, 1)]).2, vec![1]);
    assert_eq!(select(1, &[infinite, (f64::NEG_INFINITY, 7)]).2, vec![7]);
}

#[test]
fn counters_add_up() {
    let mut sum = TopkCounters { kept: 1, heaps: 2 };
    sum.merge(&TopkCounters { kept: 10, heaps: 20 });
    assert_eq!(sum, TopkCounters { kept: 11, heaps: 22 });
}

#[test]
fn wrong_shapes_are_refused() {
    let refused = KBest::new(&mut [], &mut []).err();
    assert_eq!(refused, Some(KernelError::Least { what: "distances", least: 1, got: 0 }));
    let refused = KBest::new(&mut [0.0; 2], &mut [0; 3]).err();
    assert_eq!(refused, Some(KernelError::Shape { what: "ids", want: 2, got: 3 }));
}

/// Puts distances in order on a tier.
struct Order<'a>(&'a [f64]);

impl OnLanes for Order<'_> {
    type Out = (bool, Vec<u8>);
    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let (mut distances, mut order) = ([-1.0; RANKED_MAX], [0; RANKED_MAX]);
        distances[..self.0.len()].copy_from_slice(self.0);
        let ordered = ascending::<L>(&mut distances, self.0.len(), &mut order);
        (ordered, order[..self.0.len()].to_vec())
    }
}

proptest! {
    #![proptest_config(trials::cases(64))]
    #[test]
    fn ranks_are_those_of_a_sort(
        mut distances in prop::collection::vec(0.0..3.0, 0..=RANKED_MAX),
        coarse in prop_oneof![Just(None), (1..20_u8).prop_map(Some)],
    ) {
        if let Some(parts) = coarse {
            distances.iter_mut().for_each(|value: &mut f64| *value = (*value * f64::from(parts)).floor());
        }
        let mut want: Vec<u8> = (0..distances.len()).map(|place| place as u8).collect();
        want.sort_by(|&a, &b| distances[usize::from(a)].total_cmp(&distances[usize::from(b)])); // stable
        for tier in Tier::all() {
            prop_assert_eq!(tier.run(Order(&distances)), (true, want.clone()), "{}", tier);
        }
    }
}

#[test]
fn what_is_no_number_has_no_rank() {
    for tier in Tier::all() {
        assert!(!tier.run(Order(&[1.0, f64::NAN, 0.5])).0);
        assert_eq!(tier.run(Order(&[f64::INFINITY, 1.0, f64::INFINITY])), (true, vec![1, 0, 2]));
        assert_eq!(tier.run(Order(&[f64::INFINITY, 1.0])), (true, vec![1, 0]));
    }
}
