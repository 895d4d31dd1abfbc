//! A block of queries against all points, beside the same queries one by one through the search of a tree of one group.

use covertree_benches::uniform;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::dist::SquaredEuclidean;
use covertree_kernels::index::{Idx, NONE, at};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{
    Coordinates, Group, SCAN_QUERIES, TreeParts, TreeView, Within, knn, scan, scan_blocks, search_blocks, sweep,
};
use covertree_kernels::view::{Panels, Rows, pack_rows, panels_len};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const LEN: usize = 4096;
const K: usize = 8;
/// Points within a radius that a query has room for.
const ROOM: usize = 64;

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
        let rows = Rows::new(asked, dim).expect("whole rows");
        let together = |distances: &mut [f64], found: &mut [Idx], memory: &mut [Block]| {
            scan(tier, &metric, &ids, rows, &except, distances, found, &mut Arena::new(memory)).expect("it fits")
        };
        let one_by_one = |singly: &mut [f64], alone: &mut [Idx], memory: &mut [Block]| {
            let rows = asked.chunks_exact(dim).zip(singly.chunks_exact_mut(K)).zip(alone.chunks_exact_mut(K));
            for ((query, distances), ids) in rows {
                let mut arena = Arena::new(memory);
                knn(tier, view, &metric, query, NONE, distances, ids, &mut arena).expect("sized for the tree");
            }
        };
        together(&mut distances, &mut found, &mut memory);
        one_by_one(&mut singly, &mut alone, &mut memory);
        assert_eq!((&distances, &found), (&singly, &alone), "{tier}");
        group.bench_function(BenchmarkId::new("scan", tier), |bench| {
            bench.iter(|| together(&mut distances, &mut found, &mut memory));
        });
        group.bench_function(BenchmarkId::new("one by one", tier), |bench| {
            bench.iter(|| one_by_one(&mut singly, &mut alone, &mut memory));
        });
        // All points that are no farther from a query than the farthest that was found for any.
        let radius = singly.iter().copied().fold(0.0, f64::max);
        let (mut near, mut apart) = (vec![NONE; SCAN_QUERIES * ROOM], vec![0.0; SCAN_QUERIES * ROOM]);
        let mut within = |memory: &mut [Block]| {
            let visitor = |(near, apart)| Within::new(&ids, NONE, radius, near, apart).expect("equal lengths");
            let mut visitors: Vec<Within<'_, '_>> =
                near.chunks_exact_mut(ROOM).zip(apart.chunks_exact_mut(ROOM)).map(visitor).collect();
            sweep(tier, &metric, rows, &mut visitors, &mut Arena::new(memory)).expect("it fits");
            visitors.iter().map(|visitor| at(visitor.found().expect("few"))).min()
        };
        assert!(within(&mut memory) >= Some(K), "{tier}");
        group.bench_function(BenchmarkId::new("sweep/within", tier), |bench| bench.iter(|| within(&mut memory)));
    }
    group.finish();
}

criterion_group!(benches, scans);
criterion_main!(benches);
