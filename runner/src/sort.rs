//! Sorts 64-bit keys with their rows, on all threads of the current rayon pool.
//!
//! Each thread sorts a part by radix; the parts are then merged by twos, each merge cut into pieces that do not depend on each
//! other. A stable sort has one result, so it does not show how many threads there were.
//!
//! # Cost
//! With `t` threads a `t`-th of a radix sort and `log2 t` times a `t`-th of a merge; twice the memory of keys and rows.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::group::{GroupCounters, merge_keys, merge_split, radix_sort_keys, radix_sort_keys_blocks};
use covertree_kernels::index::{Idx, at};

use crate::parallel;

/// Fewest keys that are worth a task of their own.
const PART: usize = 1 << 14;

/// Sorts keys with their rows; rows of equal keys stay in the order in which they are given.
pub(crate) fn sort_by_keys(keys: &mut Vec<u64>, rows: &mut Vec<Idx>) {
    sort_in_parts(keys, rows, rayon::current_num_threads().min(keys.len() / PART).max(1));
}

fn sort_in_parts(keys: &mut Vec<u64>, rows: &mut Vec<Idx>, parts: usize) {
    let mut size = keys.len().div_ceil(parts).max(1);
    parallel::chunk_pairs((keys, size), (rows, size), &|_, keys, rows| {
        let mut memory = vec![Block::default(); radix_sort_keys_blocks(keys.len())];
        let (arena, counters) = (&mut Arena::new(&mut memory), &mut GroupCounters::default());
        radix_sort_keys(keys, rows, arena, counters).expect("the memory has the size");
    });
    if size >= keys.len() {
        return;
    }
    let (mut other_keys, mut other_rows) = (vec![0; keys.len()], vec![0; rows.len()]);
    while size < keys.len() {
        merge_by_twos((keys, rows), (&mut other_keys, &mut other_rows), size);
        std::mem::swap(keys, &mut other_keys);
        std::mem::swap(rows, &mut other_rows);
        size *= 2;
    }
}

/// Merges sorted runs of `size` keys by twos.
fn merge_by_twos((keys, rows): (&[u64], &[Idx]), (out_keys, out_rows): (&mut [u64], &mut [Idx]), size: usize) {
    parallel::chunk_pairs((out_keys, PART), (out_rows, PART), &|number, mut out_keys, mut out_rows| {
        let mut place = number * PART;
        while !out_keys.is_empty() {
            // A piece of the output may reach over the border between two merges.
            let start = place / (2 * size) * (2 * size);
            let (middle, end) = (keys.len().min(start + size), keys.len().min(start + 2 * size));
            let taken = out_keys.len().min(end - place);
            let split = |place: usize| {
                let place = (place - start) as Idx; // not above the number of rows, which are counted by `Idx`
                let left = merge_split(&keys[start..middle], &keys[middle..end], place).expect("within the two runs");
                (start + at(left), middle + at(place - left))
            };
            let ((left, right), (left_end, right_end)) = (split(place), split(place + taken));
            let (done_keys, rest_keys) = out_keys.split_at_mut(taken);
            let (done_rows, rest_rows) = out_rows.split_at_mut(taken);
            merge_keys(
                (&keys[left..left_end], &rows[left..left_end]),
                (&keys[right..right_end], &rows[right..right_end]),
                done_keys,
                done_rows,
                &mut GroupCounters::default(),
            )
            .expect("as many as the two pieces have");
            (out_keys, out_rows) = (rest_keys, rest_rows);
            place += taken;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use covertree_kernels::hash::mix64;

    #[test]
    fn any_number_of_parts_sorts_alike_and_keeps_the_order_of_equal_keys() {
        for len in [0, 1, 2, PART - 1, 3 * PART + 17, 5 * PART] {
            for kinds in [1, 3, 1 << 40] {
                let given: Vec<u64> = (0..len as u64).map(|place| mix64(place) % kinds).collect();
                let mut wanted: Vec<(u64, Idx)> = given.iter().copied().zip(0..).collect();
                wanted.sort_unstable();
                for parts in [1, 2, 3, 5, 8] {
                    let (mut keys, mut rows) = (given.clone(), (0..len as Idx).collect());
                    sort_in_parts(&mut keys, &mut rows, parts);
                    assert!(keys.into_iter().zip(rows).eq(wanted.iter().copied()), "{len} keys in {parts} parts");
                }
            }
        }
    }
}
