//! A block of queries against all points, beside the same queries one by one through the search of a tree of one group.

use covertree_benches::uniform;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::SquaredEuclidean;
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{
    Coordinates, Group, SCAN_QUERIES, TreeParts, TreeView, knn, scan, scan_blocks, search_blocks,
};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const LEN: usize = 4096;
const K: usize = 8;

fn scans(criterion: &mut Criterion) {
    for dim in [8, 16, 64, 384] {
        block(criterion, dim);
    }
}

fn block(criterion: &mut Criterion, dim: usize) {
    let data: Vec<f32> = uniform((LEN + SCAN_QUERIES) * dim, 7).into_iter().map(|value| value as f32).collect(); // rounds
    let (data, asked) = data.split_at(LEN * dim);
    let ids: Vec<Idx> = (0..LEN as Idx).collect();
    let mut packed = vec![0.0f32; panels_len::<f32>(LEN, dim)];
    pack_rows(Rows::new(data, dim).expect("whole rows"), &ids, &mut packed).expect("sized for the rows");
    let metric = Coordinates::<f32, SquaredEuclidean>::new(Panels::new(&packed, dim, LEN).expect("as above"));
    let levels = vec![0; LEN];
    let groups = [Group { first: 1, block: LEN as Idx, end: LEN as Idx, reach: f32::INFINITY, ..Group::default() }];
    let parts = TreeParts { ids: &ids, levels: &levels, groups: &groups, waiting: 1 };
    let view = TreeView::new(parts).expect("one group holds everything");
    let except = [NONE; SCAN_QUERIES];
    let mut group = criterion.benchmark_group(format!("scan/{dim}"));
    group.throughput(Throughput::Elements((LEN * SCAN_QUERIES) as u64));
    for tier in Tier::all() {
        let mut memory = vec![Block::default(); scan_blocks::<f32>(dim).max(search_blocks(1))];
        let (mut distances, mut found) = (vec![0.0; SCAN_QUERIES * K], vec![NONE; SCAN_QUERIES * K]);
        let (mut singly, mut alone) = (distances.clone(), found.clone());
        group.bench_function(BenchmarkId::new("scan", tier), |bench| {
            bench.iter(|| {
                let (asked, arena) = (Rows::new(asked, dim).expect("whole rows"), &mut Arena::new(&mut memory));
                scan(tier, &metric, &ids, asked, &except, &mut distances, &mut found, arena)
            });
        });
        group.bench_function(BenchmarkId::new("one by one", tier), |bench| {
            bench.iter(|| {
                let rows = asked.chunks_exact(dim).zip(singly.chunks_exact_mut(K)).zip(alone.chunks_exact_mut(K));
                for ((query, distances), ids) in rows {
                    let mut arena = Arena::new(&mut memory);
                    knn(tier, view, &metric, query, NONE, distances, ids, &mut arena).expect("sized for the tree");
                }
            });
        });
        assert_eq!((&distances, &found), (&singly, &alone), "{tier}");
    }
    group.finish();
}

criterion_group!(benches, scans);
criterion_main!(benches);
