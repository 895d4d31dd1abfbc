//! Sparse keys: sorted with their rows, at once and as a merge of two halves, and cut into runs.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::group::*;
use covertree_kernels::index::Idx;
use covertree_kernels::oracle::group as oracle;

pub fn check(data: &[u8]) {
    let mut bytes = super::Bytes(data);
    let (len, repeat, mask, shift) = (bytes.below(300), 1 + bytes.below(20), bytes.u64(), bytes.u8() % 64);
    let (cut, place) = (bytes.below(len + 1), bytes.below(len + 1));
    // Few bytes make many keys: each word that is read is repeated with small changes.
    let mut keys = Vec::with_capacity(len);
    while keys.len() < len {
        let word = bytes.u64();
        keys.extend((0..repeat as u64).map(|i| (word ^ i << shift) & mask));
    }
    keys.truncate(len);
    let rows: Vec<Idx> = (0..len as Idx).map(|row| row ^ 3).collect();
    let want = oracle::sort_keys(&keys, &rows);
    assert_eq!(sorted(&keys, &rows), want);

    let (left, right) = (sorted(&keys[..cut], &rows[..cut]), sorted(&keys[cut..], &rows[cut..]));
    let i = merge_split(&left.0, &right.0, place as Idx).expect("the place is in range") as usize;
    let j = place - i;
    let (mut keys, mut rows) = (vec![1; len], vec![-1; len]);
    let (k, r) = (keys.split_at_mut(place), rows.split_at_mut(place));
    let work = &mut GroupCounters::default();
    merge_keys((&left.0[..i], &left.1[..i]), (&right.0[..j], &right.1[..j]), k.0, r.0, work).expect("the shapes fit");
    merge_keys((&left.0[i..], &left.1[i..]), (&right.0[j..], &right.1[j..]), k.1, r.1, work).expect("the shapes fit");
    assert_eq!((&keys, &rows), (&want.0, &want.1));
    assert!(work.compared <= len as u64, "a key is taken once");

    let mut starts = vec![-7; len + 1];
    let runs = key_runs(&keys, &mut starts).expect("the keys rise");
    assert_eq!(starts[..=runs as usize], oracle::key_runs(&keys));
}

fn sorted(keys: &[u64], rows: &[Idx]) -> (Vec<u64>, Vec<Idx>) {
    let (mut keys, mut rows) = (keys.to_vec(), rows.to_vec());
    let mut memory = vec![Block::splat(0xdead_beef); radix_sort_keys_blocks(keys.len())];
    let mut work = GroupCounters::default();
    radix_sort_keys(&mut keys, &mut rows, &mut Arena::new(&mut memory), &mut work).expect("the shapes fit");
    assert_eq!(work.inserted + work.tied + work.swept, keys.len() as u64, "a key is settled once");
    (keys, rows)
}
