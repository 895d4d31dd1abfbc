use proptest::collection::vec;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::arena::{Arena, Block};
use crate::error::KernelError;
use crate::hash::mix64;
use crate::index::{Idx, NONE, at};
use crate::oracle::group as oracle;
use crate::trials;

/// Groups keys cut into chunks at `cuts`, then gathers the groups in two parts.
fn in_chunks(keys: &[Idx], groups: Idx, cuts: &[usize]) -> (Vec<Idx>, Vec<Idx>) {
    let width = at(groups) + 1;
    let (mut chunk_starts, mut chunk_rows) = (Vec::new(), vec![-3; keys.len()]);
    let mut begin = 0;
    for &end in cuts.iter().chain([&keys.len()]) {
        let mut starts = vec![-9; width];
        group_chunk(&keys[begin..end], groups, begin as Idx, &mut starts, &mut chunk_rows[begin..end]).unwrap();
        chunk_starts.extend(starts);
        begin = end;
    }
    let (mut starts, mut rows) = (vec![-5; width], vec![-6; keys.len()]);
    scan_chunks(&chunk_starts, &mut starts).unwrap();
    let middle = groups / 3;
    let (head, tail) = rows.split_at_mut(at(starts[at(middle)]));
    gather_groups(&chunk_starts, &chunk_rows, &starts, 0, middle, head).unwrap();
    gather_groups(&chunk_starts, &chunk_rows, &starts, middle, groups - middle, tail).unwrap();
    (starts, rows)
}

/// Keys and rows, sorted, and the work of it, whose laws hold.
fn sorted_with_work(keys: &[u64], rows: &[Idx]) -> ((Vec<u64>, Vec<Idx>), GroupCounters) {
    let (len, mut keys, mut rows) = (keys.len() as u64, keys.to_vec(), rows.to_vec());
    let mut memory = vec![Block::splat(0xdead_beef); radix_sort_keys_blocks(keys.len())];
    let mut work = GroupCounters::default();
    radix_sort_keys(&mut keys, &mut rows, &mut Arena::new(&mut memory), &mut work).unwrap();
    assert_eq!(work.inserted + work.tied + work.swept, len, "each key is settled once: {work:?}");
    assert!(work.cut == 0 || (len > 1 << 16 && work.cut >= len), "the first cut takes all of a long range: {work:?}");
    // The mean key of up to 24 passes at most 23 / 2; a sweep ends with the key whose moves make it eight for each of its keys.
    let most = 12 * work.inserted + 9 * (work.swept + work.given_up);
    assert!(work.places <= most && work.compared == 0, "{work:?}");
    ((keys, rows), work)
}

fn sorted(keys: &[u64], rows: &[Idx]) -> (Vec<u64>, Vec<Idx>) {
    sorted_with_work(keys, rows).0
}

/// Keys of many shapes: spread, clustered, tied, sorted, reversed, with constant bytes inside.
fn shapes(len: usize) -> Vec<Vec<u64>> {
    let words = (0..len as u64).map(mix64);
    let shape = |f: &dyn Fn(u64) -> u64| words.clone().map(f).collect::<Vec<u64>>();
    let mut all = vec![
        shape(&|word| word),
        shape(&|word| word % 3),
        shape(&|word| word & 0xff00_0000_0000_00ff),
        shape(&|word| if word % 8 == 0 { word } else { 0x1234_5678_0000_0000 | word >> 50 }),
        shape(&|word| word >> (word % 64)),
        shape(&|_| 7),
        shape(&|word| 1 << (word % 64)),
        shape(&|word| (word % 2) * u64::MAX),
    ];
    all.push((0..len as u64).collect());
    all.push((0..len as u64).rev().collect());
    all
}

#[test]
fn radix_sort_matches_oracle() {
    for len in trials::lengths([0, 1, 2, 23, 24, 25, 26, 100, 511, 512, 2047, 2048, 5000, 70_000, 140_000]) {
        for (shape, keys) in shapes(len).into_iter().enumerate() {
            let rows: Vec<Idx> = (0..len as Idx).map(|row| row ^ 5).collect();
            assert!(sorted(&keys, &rows) == oracle::sort_keys(&keys, &rows), "len {len} shape {shape}");
        }
    }
}

#[test]
fn counters_of_a_sort_say_what_the_keys_decided() {
    let work = |keys: &[u64]| sorted_with_work(keys, &vec![0; keys.len()]).1;
    let (none, len) = (GroupCounters::default(), trials::up_to(1000));
    assert_eq!(work(&[]), none);
    // Insertion moves a key past every larger one before it.
    assert_eq!(work(&[3, 1, 2, 1]), GroupCounters { inserted: 4, places: 4, ..none });
    let count = len as u64;
    let all_equal = GroupCounters { tied: count, ..none };
    assert_eq!(work(&vec![9; len]), if len > 24 { all_equal } else { GroupCounters { inserted: count, ..none } });
    if len <= 24 {
        return;
    }
    assert_eq!(work(&(0..count).collect::<Vec<_>>()), GroupCounters { swept: count, ..none });
    // One key takes both digits away from the others, which fall: the sweep gives up, and they go through two passes more.
    let mut falling: Vec<u64> = (0..count).rev().collect();
    falling[0] = u64::MAX;
    let found = work(&falling);
    assert!(found.places > 8 * count, "{found:?}");
    assert_eq!(found, GroupCounters { inserted: 1, swept: count - 1, given_up: count, places: found.places, ..none });
    let long: Vec<u64> = (0..70_000).map(mix64).collect();
    let found = work(&long);
    assert_eq!((found.cut, found.given_up), (70_000, 0));
    // Crowded into one bucket of the first cut, and into few keys: these are cut again, and then tied.
    let crowded: Vec<u64> = (0..140_000).map(|word| mix64(word) % 2 + if word == 0 { 1 << 60 } else { 0 }).collect();
    assert_eq!(work(&crowded), GroupCounters { inserted: 1, tied: 139_999, cut: 140_000 + 139_999, ..none });
}

#[test]
fn counters_of_a_merge_say_when_one_run_ended() {
    let compared = |left: &[u64], right: &[u64]| {
        let (mut keys, mut rows) = (vec![7; left.len() + right.len()], vec![-7; left.len() + right.len()]);
        let mut work = GroupCounters::default();
        let (a, b) = (vec![0; left.len()], vec![1; right.len()]);
        merge_keys((left, &a), (right, &b), &mut keys, &mut rows, &mut work).unwrap();
        assert_eq!(work, GroupCounters { compared: work.compared, ..GroupCounters::default() });
        work.compared
    };
    assert_eq!(compared(&[1, 2, 3], &[]), 0);
    assert_eq!(compared(&[1, 2, 3], &[4, 5]), 3);
    assert_eq!(compared(&[4, 4, 5], &[1, 4]), 4); // equal keys come from the left first
    assert_eq!(compared(&[1, 3, 5], &[2, 4, 6]), 5);
}

#[test]
fn counters_merge_field_by_field() {
    let [inserted, tied, swept, given_up, cut, places, compared] = [1, 2, 3, 4, 5, 6, 7];
    let once = GroupCounters { inserted, tied, swept, given_up, cut, places, compared };
    let mut sum = once;
    sum.merge(&once);
    let twice = GroupCounters { inserted: 2, tied: 4, swept: 6, given_up: 8, cut: 10, places: 12, compared: 14 };
    assert_eq!(sum, twice);
}

#[test]
fn radix_sort_takes_exactly_the_blocks_that_it_says() {
    let (mut keys, mut rows) = ([2, 1, 3], [0, 1, 2]);
    let need = radix_sort_keys_blocks(3);
    let mut memory = vec![Block::splat(7); need];
    let mut work = GroupCounters::default();
    let refused = radix_sort_keys(&mut keys, &mut rows, &mut Arena::new(&mut memory[1..]), &mut work);
    assert_eq!((refused, keys), (Err(KernelError::Scratch { need, have: need - 1 }), [2, 1, 3]));
    assert_eq!(work, GroupCounters::default());
    let mut arena = Arena::new(&mut memory);
    radix_sort_keys(&mut keys, &mut rows, &mut arena, &mut work).unwrap();
    assert_eq!((keys, rows, arena.free()), ([1, 2, 3], [1, 0, 2], need));
}

#[test]
fn key_runs_match_oracle() {
    for len in [0, 1, 2, 7, 100] {
        for mut keys in shapes(len) {
            keys.sort_unstable();
            let mut starts = vec![-7; len + 1];
            let runs = key_runs(&keys, &mut starts).unwrap();
            assert_eq!(starts[..=at(runs)], oracle::key_runs(&keys)[..]);
        }
    }
}

#[test]
fn groups_of_chunks_match_oracle() {
    let keys: Vec<Idx> = (0..1000).map(|i| (mix64(i) % 37) as Idx).collect();
    let want = oracle::group_by_key(&keys, 40);
    for cuts in [&[][..], &[0], &[1000], &[500], &[1, 1, 999], &[100, 200, 300, 400]] {
        assert_eq!(in_chunks(&keys, 40, cuts), want);
    }
    assert_eq!(in_chunks(&[], 0, &[0]), (vec![0], vec![]));
}

/// Keys whose groups are compared with the plain form, which the oracle has checked.
fn check_wide(keys: &[Idx], groups: Idx) {
    let (mut starts, mut rows) = (vec![-7; at(groups) + 1], vec![-7; keys.len()]);
    let (mut wide_starts, mut wide_rows) = (vec![-8; at(groups) + 1], vec![-8; keys.len()]);
    group_by_key(keys, groups, &mut starts, &mut rows).unwrap();
    let need = group_by_key_wide_blocks(keys.len(), at(groups));
    let mut memory = vec![Block::splat(0x5555_5555); need];
    let mut arena = Arena::new(&mut memory);
    group_by_key_wide(keys, groups, &mut wide_starts, &mut wide_rows, &mut arena).unwrap();
    assert!((starts, rows) == (wide_starts, wide_rows), "{groups} groups");
    assert_eq!(arena.free(), need);
}

#[test]
fn many_groups_match_the_plain_form() {
    for groups in trials::thin(9, [40, 1, 1 << 18, (1 << 18) + 1, 300_000, (1 << 21) - 1, 1 << 21, 5_000_000]) {
        for len in trials::lengths([0, 1, 60, 1000, 50_000]) {
            check_wide(&(0..len as u64).map(|i| (mix64(i) % groups as u64) as Idx).collect::<Vec<_>>(), groups);
        }
        check_wide(&[groups - 1, 0, groups - 1, groups / 2, 0], groups);
    }
}

#[test]
fn many_groups_refuse_what_the_plain_form_refuses() {
    let groups = (1 << 18) + 1;
    let (mut starts, mut rows) = (vec![9; at(groups) + 1], [9; 2]);
    let need = group_by_key_wide_blocks(2, at(groups));
    let mut memory = vec![Block::splat(0); need];
    let refused = group_by_key_wide(&[0, groups], groups, &mut starts, &mut rows, &mut Arena::new(&mut memory));
    assert_eq!(refused, Err(KernelError::Key { at: 1, key: groups, limit: groups }));
    let short = group_by_key_wide(&[0, 1], groups, &mut starts, &mut rows, &mut Arena::new(&mut memory[1..]));
    assert_eq!(short, Err(KernelError::Scratch { need, have: need - 1 }));
    assert!(starts.iter().chain(&rows).all(|&value| value == 9));
}

#[test]
fn wrong_arguments_are_refused_and_nothing_is_written() {
    let shape = |what, want, got| Err(KernelError::Shape { what, want, got });
    let value = |what, at| Err(KernelError::Value { what, at });
    let key = |at, key, limit| Err(KernelError::Key { at, key, limit });
    let (mut starts, mut rows) = ([9; 4], [9; 3]);
    let keys = [0, 2, 1];
    assert_eq!(group_by_key(&keys, -1, &mut starts, &mut rows), value("groups", 0));
    assert_eq!(group_by_key(&keys, 4, &mut starts, &mut rows), shape("starts", 5, 4));
    assert_eq!(group_by_key(&keys, 3, &mut starts, &mut rows[..2]), shape("rows", 3, 2));
    assert_eq!(group_by_key(&keys, 2, &mut starts[..3], &mut rows), key(1, 2, 2));
    assert_eq!(group_by_key(&[0, 1, -1], 3, &mut starts, &mut rows), key(2, -1, 3));
    assert_eq!(group_by_key(&[0], 0, &mut starts[..1], &mut rows[..1]), key(0, 0, 0));
    assert_eq!(group_chunk(&keys, 3, -1, &mut starts, &mut rows), value("first", 0));
    let far = group_chunk(&keys, 3, Idx::MAX - 1, &mut starts, &mut rows);
    assert_eq!(far, Err(KernelError::TooLong { len: i32::MAX as usize + 2 }));

    let chunks = [0, 1, 2, 0, 0, 1];
    assert_eq!(scan_chunks(&chunks, &mut []), Err(KernelError::Least { what: "starts", least: 1, got: 0 }));
    assert_eq!(scan_chunks(&chunks, &mut starts), shape("chunk_starts", 4, 6));
    assert_eq!(scan_chunks(&[0, 2, 1, 0, 0, 1], &mut starts[..3]), value("chunk_starts", 2));
    assert_eq!(scan_chunks(&[0, 1, 2, 1, 1, 1], &mut starts[..3]), value("chunk_starts", 3));
    let huge = scan_chunks(&[0, Idx::MAX - 1, 0, 1], &mut starts[..2]);
    assert_eq!(huge, Err(KernelError::TooLong { len: i32::MAX as usize }));

    let total = [0, 1, 3];
    let gather = |rows: &[Idx], starts: &[Idx], first, count, out: &mut [Idx]| {
        gather_groups(&chunks, rows, starts, first, count, out)
    };
    assert_eq!(gather(&[0; 3], &[], 0, 0, &mut rows), Err(KernelError::Least { what: "starts", least: 1, got: 0 }));
    assert_eq!(gather(&[0; 2], &total, 0, 2, &mut rows), shape("chunk_rows", 3, 2));
    assert_eq!(gather(&[0; 3], &total, 0, 2, &mut rows[..2]), shape("out", 3, 2));
    assert_eq!(gather(&[0; 3], &total, 1, 2, &mut rows), key(0, 1, 2));
    assert_eq!(gather(&[0; 3], &total, -1, 2, &mut rows), key(0, -1, 2));
    assert_eq!(gather(&[0; 3], &[0, 2, 3], 0, 2, &mut rows), value("starts", 1));

    let mut words = [3, 1];
    let mut work = GroupCounters::default();
    let short = radix_sort_keys(&mut words, &mut rows, &mut Arena::new(&mut []), &mut work);
    assert_eq!((short, work), (shape("rows", 2, 3), GroupCounters::default()));
    assert_eq!(key_runs(&[1, 0], &mut starts[..3]), Err(KernelError::Value { what: "keys", at: 1 }));
    assert_eq!(key_runs(&[1, 2], &mut starts), Err(KernelError::Shape { what: "starts", want: 3, got: 4 }));
    assert_eq!((starts, rows, words), ([9; 4], [9; 3], [3, 1]));
}

#[test]
fn wrong_groups_and_merges_are_refused() {
    let value = |what, at| Some(KernelError::Value { what, at });
    assert_eq!(Groups::new(&[], &[], 0).err(), Some(KernelError::Least { what: "starts", least: 1, got: 0 }));
    assert_eq!(Groups::new(&[0], &[], -1).err(), value("limit", 0));
    assert_eq!(Groups::new(&[1], &[], 0).err(), value("starts", 0));
    assert_eq!(Groups::new(&[0, 2, 1], &[0], 1).err(), value("starts", 2));
    assert_eq!(Groups::new(&[0, 1, 1], &[0, 0], 1).err(), value("starts", 2));
    assert_eq!(Groups::new(&[0, 1], &[3], 3).err(), Some(KernelError::Key { at: 0, key: 3, limit: 3 }));
    let groups = Groups::new(&[0, 1, 1], &[2], 3).unwrap();
    let mut winners = [7; 2];
    let few = least_per_group(groups, &[0; 2], 0, &mut winners);
    assert_eq!(few, Err(KernelError::Shape { what: "priorities", want: 3, got: 2 }));
    let far = least_per_group(groups, &[0; 3], 1, &mut winners);
    assert_eq!(far, Err(KernelError::Key { at: 0, key: 1, limit: 2 }));
    assert_eq!(winners, [7; 2]);
    assert_eq!(group_counts(&[]).err(), Some(KernelError::Least { what: "starts", least: 1, got: 0 }));
    assert_eq!(group_counts(&[-1]).err(), value("starts", 0));
    assert_eq!(group_counts(&[4, 5, 3]).err(), value("starts", 2));

    assert_eq!(merge_split(&[1], &[2], 3), Err(KernelError::Key { at: 0, key: 3, limit: 3 }));
    assert_eq!(merge_split(&[1], &[2], -1), Err(KernelError::Key { at: 0, key: -1, limit: 3 }));
    let (mut keys, mut rows) = ([5; 2], [6; 2]);
    for (left, right, k, r, what) in
        [(0, 1, 2, 2, "left"), (1, 0, 2, 2, "right"), (1, 1, 1, 2, "keys"), (1, 1, 2, 1, "rows")]
    {
        let (left, right) = ((&[1][..], &[0; 1][..left]), (&[2][..], &[0; 1][..right]));
        let mut work = GroupCounters::default();
        let got = merge_keys(left, right, &mut keys[..k], &mut rows[..r], &mut work);
        assert_eq!(work, GroupCounters::default());
        assert!(matches!(got, Err(KernelError::Shape { what: found, .. }) if found == what), "{what}: {got:?}");
    }
    assert_eq!((keys, rows), ([5; 2], [6; 2]));
}

#[test]
fn counts_of_large_groups_do_not_overflow() {
    let counts = group_counts(&[0, Idx::MAX - 1, Idx::MAX - 1, Idx::MAX]).unwrap();
    let m = u64::from(i32::MAX as u32) - 1;
    let want = GroupCounts { groups: 3, occupied: 2, rows: m + 1, largest: m, pairs: m * (m - 1) / 2 };
    assert_eq!(counts, want);
    let mut both = want;
    both.merge(&counts);
    assert_eq!(both, GroupCounts { groups: 6, occupied: 4, rows: 2 * m + 2, largest: m, pairs: m * (m - 1) });
}

proptest! {
    #![proptest_config(trials::cases(256))]

    #[test]
    fn group_by_key_matches_oracle(
        (groups, keys, cut) in (1..40i32).prop_flat_map(|g| (Just(g), vec(0..g, 0..200), 0..200usize))
    ) {
        let (mut starts, mut rows) = (vec![-7; at(groups) + 1], vec![-7; keys.len()]); // dirty on purpose
        group_by_key(&keys, groups, &mut starts, &mut rows).unwrap();
        let want = oracle::group_by_key(&keys, groups);
        prop_assert_eq!((&starts, &rows), (&want.0, &want.1));
        prop_assert_eq!(in_chunks(&keys, groups, &[cut.min(keys.len())]), want);
        prop_assert_eq!(group_counts(&starts).unwrap().pairs, oracle::pairs(&keys));
    }

    #[test]
    fn least_per_group_matches_oracle(
        keys in vec(0..20i32, 0..100), priorities in vec(0..6u64, 100), cut in 0..=20usize
    ) {
        let (starts, rows) = oracle::group_by_key(&keys, 20);
        let priorities: Vec<u64> = priorities.into_iter().map(|p| if p == 5 { u64::MAX } else { p }).collect();
        let groups = Groups::new(&starts, &rows, 100).unwrap();
        let mut winners = vec![-8; 20];
        let (head, tail) = winners.split_at_mut(cut);
        least_per_group(groups, &priorities, cut as Idx, tail).unwrap();
        least_per_group(groups, &priorities, 0, head).unwrap();
        prop_assert!(winners.iter().all(|&winner| winner >= NONE));
        prop_assert_eq!(winners, oracle::least_per_group(&starts, &rows, &priorities));
    }

    #[test]
    fn merging_in_two_pieces_is_the_stable_sort(
        mut left in vec(0..9u64, 0..40), mut right in vec(0..9u64, 0..40), cut in 0..=80usize
    ) {
        left.sort_unstable();
        right.sort_unstable();
        let len = left.len() + right.len();
        let (a, b): (Vec<Idx>, Vec<Idx>) = ((0..left.len() as Idx).collect(), (left.len() as Idx..len as Idx).collect());
        let place = cut.min(len);
        let i = at(merge_split(&left, &right, place as Idx).unwrap());
        let j = place - i;
        let (mut keys, mut rows) = (vec![77; len], vec![-7; len]);
        let (k, r) = (keys.split_at_mut(place), rows.split_at_mut(place));
        let mut work = GroupCounters::default();
        merge_keys((&left[..i], &a[..i]), (&right[..j], &b[..j]), k.0, r.0, &mut work).unwrap();
        merge_keys((&left[i..], &a[i..]), (&right[j..], &b[j..]), k.1, r.1, &mut work).unwrap();
        let least = i.min(j) + (left.len() - i).min(right.len() - j);
        prop_assert!((least..=len).contains(&(work.compared as usize)));
        prop_assert_eq!((keys, rows), oracle::sort_keys(&[left, right].concat(), &[a, b].concat()));
    }

    #[test]
    fn any_keys_are_sorted_like_the_oracle(keys in vec(any::<u64>(), 0..400), mask in any::<u64>()) {
        let keys: Vec<u64> = keys.into_iter().map(|key| key & mask).collect();
        let rows: Vec<Idx> = (0..keys.len() as Idx).collect();
        prop_assert_eq!(sorted(&keys, &rows), oracle::sort_keys(&keys, &rows));
    }
}
