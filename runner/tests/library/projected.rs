//! Points of many coordinates, which the index searches by their projections: exact, the same everywhere, and kept in files.

use covertree::generate::{Distribution, GenerateConfig};
use covertree::points::{Dtype, Points, Values};
use covertree::space::{Euclidean, RowSpace};
use covertree::tree::Order;
use covertree::tree::file::ReadMode;
use covertree::tree::validate::{ValidateConfig, Violation};
use covertree::{AnyIndex, BuildConfig, Index, MetricName, Workers, brute};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::stored::{CHECKSUM, PROJECTION};

fn points(distribution: Distribution, rows: usize, dim: usize, dtype: Dtype) -> Points {
    GenerateConfig { distribution, rows, dim, dtype, seed: 5, ..GenerateConfig::default() }.generate().unwrap()
}

/// Every law holds, and queries, radii and the graph are those of brute force.
fn check(index: &AnyIndex, all: &Points, queries: &Points) {
    let report = index.validate(&ValidateConfig::default());
    assert!(report.is_valid(), "{report}: {:?}", report.violations);
    let metric = index.metric();
    let (answers, _) = index.knn(queries, 7).unwrap();
    assert_eq!(answers, brute::knn(all, queries, metric, 7, |_| -1).unwrap());
    let radius = answers.distances[3];
    assert_eq!(index.within(queries, radius).unwrap().0, brute::within(all, queries, metric, radius).unwrap());
    let (graph, _) = index.graph(3, false).unwrap();
    assert_eq!(graph, brute::knn(all, all, metric, 3, |row| row as i32).unwrap());
}

#[test]
fn every_distribution_is_searched_exactly() {
    for metric in [MetricName::Euclidean, MetricName::Angular] {
        for dtype in [Dtype::F32, Dtype::F64] {
            for distribution in [
                Distribution::Manifold,
                Distribution::Gaussian,
                Distribution::Clusters,
                Distribution::Filament,
                Distribution::Duplicates,
            ] {
                let all = points(distribution, 700, 33, dtype);
                let index = AnyIndex::build(&all, metric, &BuildConfig::default()).unwrap();
                assert_eq!((index.tree().order(), index.dim()), (Order::Cells, 33));
                check(&index, &all, &points(distribution, 40, 33, dtype));
            }
        }
    }
}

#[test]
fn a_projection_saves_most_of_the_work_on_a_surface() {
    let all = points(Distribution::Manifold, 4_000, 64, Dtype::F32);
    let config =
        GenerateConfig { distribution: Distribution::Manifold, rows: 4_020, dim: 64, seed: 5, ..Default::default() };
    let queries = config.generate().unwrap().take_rows(&(4_000..4_020).collect::<Vec<_>>()).unwrap();
    let index = AnyIndex::build(&all, MetricName::Euclidean, &BuildConfig::default()).unwrap();
    let (_, work) = index.knn(&queries, 5).unwrap();
    assert!(work.distance_evals < 20 * 4_000 / 2, "{work:?}");
}

#[test]
fn points_without_structure_are_searched_by_brute_force_while_building() {
    for (dim, dtype) in [(48, Dtype::F32), (48, Dtype::F64), (16, Dtype::F32), (16, Dtype::F64)] {
        let all = points(Distribution::Gaussian, 4_096, dim, dtype);
        let queries = points(Distribution::Gaussian, 20, dim, dtype);
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (tier, threads) in Tier::all().flat_map(|tier| [(tier, 1), (tier, 2)]) {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let config = BuildConfig::default();
            let workers = Workers::new();
            let build = || AnyIndex::build_with(tier, "points", &all, MetricName::Euclidean, &config, &workers);
            let (index, telemetry) = pool.install(build).unwrap();
            let last = telemetry.batches.last().unwrap();
            // Each of a batch against what is there, and against the batch itself.
            assert_eq!((last.batch_size, last.distance_evals), (2_048, 2_048 * (2_048 + 2_048)), "{last:?}");
            let path = folder.path().join("tree.ct");
            index.save(&path).unwrap();
            files.push(std::fs::read(&path).unwrap());
            if files.len() == 1 {
                check(&index, &all, &queries);
            }
        }
        assert!(files.iter().all(|file| *file == files[0]));
    }
}

#[test]
fn files_keep_the_projection_on_any_threads_and_tier() {
    let all = points(Distribution::Manifold, 900, 40, Dtype::F32);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tree.ct");
    let mut files = Vec::new();
    for tier in Tier::all() {
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let config = BuildConfig::default();
            let build = || AnyIndex::build_on(tier, "points", &all, MetricName::Euclidean, &config);
            pool.install(build).unwrap().save(&path).unwrap();
            files.push(std::fs::read(&path).unwrap());
        }
    }
    assert!(files.iter().all(|file| *file == files[0]));
    #[allow(unsafe_code)]
    // SAFETY: nobody writes to the file any more.
    let mapped = unsafe { ReadMode::mapped() };
    for mode in [ReadMode::Memory, mapped] {
        let index = AnyIndex::load(&path, mode).unwrap();
        check(&index, &all, &points(Distribution::Manifold, 20, 40, Dtype::F32));
        // Queries that single precision does not hold are asked of a copy in double precision.
        check(&index, &all, &points(Distribution::Manifold, 20, 40, Dtype::F64));
    }
}

#[test]
fn an_index_with_its_metric_known_searches_projected_rows_too() {
    let all = points(Distribution::Manifold, 600, 50, Dtype::F64);
    let asked = points(Distribution::Gaussian, 20, 50, Dtype::F64);
    let tier = Tier::detect();
    let space = RowSpace::<Euclidean<f64>>::new(all.to_f64().into_owned(), 50).unwrap().projected(tier);
    let index = Index::build(space, &BuildConfig::default(), tier).unwrap();
    assert_eq!(index.tree().order(), Order::Cells);
    let truth = brute::knn(&all, &asked, MetricName::Euclidean, 6, |_| -1).unwrap();
    let (mut searcher, mut queries) = (index.searcher(), index.space().queries(tier));
    let (mut distances, mut ids) = ([0.0; 6], [0; 6]);
    for (row, query) in asked.to_f64().chunks_exact(50).enumerate() {
        searcher.knn(queries.query(query).unwrap(), -1, &mut distances, &mut ids).unwrap();
        assert_eq!((&ids[..], &distances[..]), (&truth.ids[6 * row..][..6], &truth.distances[6 * row..][..6]));
    }
    assert!(queries.query(&[0.0; 49]).is_err());
}

#[test]
fn points_far_from_all_others_may_come_and_all_may_go() {
    let all = points(Distribution::Manifold, 300, 24, Dtype::F64);
    let mut index = AnyIndex::build(&all, MetricName::Euclidean, &BuildConfig::default()).unwrap();
    let far = Values::F64((0..2 * 24).map(|i| 1e7 + f64::from(i % 24) * 1e3).collect());
    let far = Points::new(24, far).unwrap();
    index.insert("far", &far).unwrap();
    let both = [all.to_f64(), far.to_f64()].concat();
    let both = Points::new(24, Values::F64(both)).unwrap();
    check(&index, &both, &far);
    check(&index, &both, &points(Distribution::Gaussian, 20, 24, Dtype::F64));

    index.delete(&(0..302).collect::<Vec<_>>()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.ct");
    index.save(&path).unwrap();
    let mut index = AnyIndex::load(&path, ReadMode::Memory).unwrap();
    assert_eq!((index.len(), index.dim()), (0, 24));
    index.insert("again", &all).unwrap();
    let (answers, _) = index.knn(&all, 4).unwrap();
    let mut truth = brute::knn(&all, &all, MetricName::Euclidean, 4, |_| -1).unwrap();
    truth.ids.iter_mut().for_each(|id| *id += 302);
    assert_eq!(answers, truth);
}

#[test]
fn a_wrong_projection_in_a_file_is_refused() {
    let all = points(Distribution::Manifold, 200, 20, Dtype::F32);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tree.ct");
    AnyIndex::build(&all, MetricName::Euclidean, &BuildConfig::default()).unwrap().save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    let entry = good.windows(PROJECTION.len()).position(|name| name == PROJECTION.as_bytes()).unwrap();
    let start = u64::from_le_bytes(good[entry + 16..entry + 24].try_into().unwrap()) as usize;
    // The spread, the number of axes, the center, an axis.
    for (place, value) in [(0, -1.0), (1, 2.5), (1, 40.0), (2, f64::NAN), (2 + 20, 1.5)] {
        let mut bytes = good.clone();
        bytes[start + 8 * place..][..8].copy_from_slice(&f64::to_le_bytes(value));
        let (body, sum) = bytes.split_last_chunk_mut::<CHECKSUM>().unwrap();
        *sum = xxhash_rust::xxh3::xxh3_128(body).to_le_bytes();
        std::fs::write(&path, &bytes).unwrap();
        let message = AnyIndex::load(&path, ReadMode::Memory).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("projection") && message.contains("tree.ct"), "{place}: {message}");
        assert_eq!(message.lines().count(), 1);
    }
    // Axes that lengthen nothing, and yet are not those of the points; and a spread that leaves points out.
    let first_axis: Vec<usize> = (0..20).map(|d| 2 + 20 + 16 * d).collect();
    for (places, value) in [(first_axis, 0.0), (vec![2], 7.0), (vec![0], 1e-3)] {
        let mut bytes = good.clone();
        for place in &places {
            bytes[start + 8 * place..][..8].copy_from_slice(&f64::to_le_bytes(value));
        }
        let (body, sum) = bytes.split_last_chunk_mut::<CHECKSUM>().unwrap();
        *sum = xxhash_rust::xxh3::xxh3_128(body).to_le_bytes();
        std::fs::write(&path, &bytes).unwrap();
        let report = AnyIndex::load(&path, ReadMode::Memory).unwrap().validate(&ValidateConfig::default());
        assert!(matches!(report.violations[..], [.., Violation::Projection { .. }]), "{places:?}: {report}");
    }
}
