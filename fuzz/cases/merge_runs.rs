//! Merges of sorted runs, against a sort.

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::oracle::select as oracle;
use covertree_kernels::select::{Runs, SelectCounters, merge_runs, merge_runs_blocks};

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (runs, k) = (bytes.below(9), bytes.below(40));
    let (mut lists, mut distances, mut ids, mut starts) = (vec![], vec![], vec![], vec![0]);
    for _ in 0..runs {
        let (len, padding) = (bytes.below(12), bytes.below(3));
        let mut list: Vec<(f64, Idx)> =
            (0..len).map(|_| (bytes.coordinate().abs(), Idx::from(bytes.u8() % 16))).collect();
        list.sort_by(|a, b| a.partial_cmp(b).expect("no coordinate is NaN"));
        list.extend((0..padding).map(|_| (f64::INFINITY, NONE)));
        distances.extend(list.iter().map(|pair| pair.0));
        ids.extend(list.iter().map(|pair| pair.1));
        starts.push(ids.len() as Idx);
        lists.push(list);
    }
    let runs = Runs::new(&distances, &ids, &starts).expect("the runs are sorted");
    let mut memory = vec![Block::splat(u32::MAX); merge_runs_blocks(runs.len())];
    let (mut out, mut out_ids, mut counters) = (vec![f64::NAN; k], vec![-7; k], SelectCounters::default());
    let found = merge_runs(&runs, &mut out, &mut out_ids, &mut Arena::new(&mut memory), &mut counters);
    assert_eq!((found.expect("the shapes fit"), out, out_ids), oracle::merge_runs(&lists, k));
}
