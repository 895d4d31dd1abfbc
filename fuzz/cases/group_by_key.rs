//! Dense keys: grouped at once and in chunks, with the winners and the counts of the groups.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::group::*;
use covertree_kernels::index::Idx;
use covertree_kernels::oracle::group as oracle;

pub fn check(data: &[u8]) {
    let mut bytes = super::Bytes(data);
    let (groups, len) = (1 + bytes.below(30), bytes.below(120));
    let (limit, cut, border) = (groups as Idx, bytes.below(len + 1), bytes.below(groups + 1));
    let keys: Vec<Idx> = (0..len).map(|_| Idx::from(bytes.u8()) % limit).collect();
    let priorities: Vec<u64> = (0..len).map(|_| u64::from(bytes.u8() % 8)).collect();
    let wide = bytes.u8() % 32 == 3; // seldom: it touches megabytes
    let (want_starts, want_rows) = oracle::group_by_key(&keys, limit);

    let (mut starts, mut rows) = (vec![-7; groups + 1], vec![-7; len]);
    group_by_key(&keys, limit, &mut starts, &mut rows).expect("the keys are in range");
    assert_eq!((&starts, &rows), (&want_starts, &want_rows));

    let (mut chunk_starts, mut chunk_rows) = (vec![-7; 2 * (groups + 1)], vec![-7; len]);
    let (a, b) = chunk_starts.split_at_mut(groups + 1);
    let (c, d) = chunk_rows.split_at_mut(cut);
    group_chunk(&keys[cut..], limit, cut as Idx, b, d).expect("the keys are in range");
    group_chunk(&keys[..cut], limit, 0, a, c).expect("the keys are in range");
    starts.fill(-7);
    scan_chunks(&chunk_starts, &mut starts).expect("the chunks are whole");
    rows.fill(-7);
    let (head, tail) = rows.split_at_mut(starts[border] as usize);
    let (first, rest) = (border as Idx, (groups - border) as Idx);
    gather_groups(&chunk_starts, &chunk_rows, &starts, first, rest, tail).expect("the groups exist");
    gather_groups(&chunk_starts, &chunk_rows, &starts, 0, first, head).expect("the groups exist");
    assert_eq!((&starts, &rows), (&want_starts, &want_rows));

    let view = Groups::new(&starts, &rows, len as Idx).expect("the groups are well formed");
    let mut winners = vec![-7; groups];
    least_per_group(view, &priorities, 0, &mut winners).expect("the shapes fit");
    assert_eq!(winners, oracle::least_per_group(&starts, &rows, &priorities));
    let counts = group_counts(&starts).expect("the starts rise");
    assert_eq!((counts.rows, counts.pairs), (len as u64, oracle::pairs(&keys)));
    if wide {
        check_wide(&keys, limit);
    }
}

/// The same keys spread over so many groups that they go through buckets.
fn check_wide(keys: &[Idx], limit: Idx) {
    const STRIDE: Idx = 20_011;
    let groups = limit * STRIDE;
    let keys: Vec<Idx> = keys.iter().map(|key| key * STRIDE).collect();
    let (mut starts, mut rows) = (vec![-7; groups as usize + 1], vec![-7; keys.len()]);
    let mut memory = vec![Block::splat(99); group_by_key_wide_blocks(keys.len(), groups as usize)];
    group_by_key_wide(&keys, groups, &mut starts, &mut rows, &mut Arena::new(&mut memory))
        .expect("the keys are in range");
    let mut want: Vec<Idx> = (0..keys.len() as Idx).collect();
    want.sort_by_key(|&row| keys[row as usize]); // the sort of the standard library is stable
    assert_eq!(rows, want);
    for group in [0, 1, groups / 2, groups] {
        assert_eq!(starts[group as usize], keys.iter().filter(|&&key| key < group).count() as Idx);
    }
}
