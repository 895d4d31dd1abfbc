//! The library itself, as a user calls it.

use covertree::points::Points;
use covertree::space::{Euclidean, ItemSpace, RowQueries, RowSpace, Space};
use covertree::{AnyIndex, BuildConfig, Index, MetricName};
use covertree_kernels::index::NONE;
use covertree_kernels::simd::Tier;

use super::method::{Built, Method, Scalar, Searcher};
use super::metric::Measure;

/// Batches and graphs under a metric chosen at run time.
pub fn batch<T: Scalar>(metric: MetricName) -> Method<T> {
    let build: fn(&[T], usize) -> Box<dyn Built<T>> = match metric {
        MetricName::Euclidean => |rows, dim| batched(rows, dim, MetricName::Euclidean),
        MetricName::Manhattan => |rows, dim| batched(rows, dim, MetricName::Manhattan),
        MetricName::Angular => |rows, dim| batched(rows, dim, MetricName::Angular),
        MetricName::Chebyshev => |rows, dim| batched(rows, dim, MetricName::Chebyshev),
        MetricName::Haversine => |rows, dim| batched(rows, dim, MetricName::Haversine),
        other => panic!("{other} is a metric that this comparison does not know"),
    };
    Method { name: "covertree batch", build }
}

fn batched<T: Scalar>(rows: &[T], dim: usize, metric: MetricName) -> Box<dyn Built<T>> {
    let index = AnyIndex::build(&points(rows, dim), metric, &BuildConfig::default());
    Box::new(Batch { index: index.expect("the points suit the metric"), dim })
}

fn points<T: Scalar>(rows: &[T], dim: usize) -> Points {
    Points::new(dim, T::values(rows.to_vec())).expect("the values are finite rows")
}

struct Batch {
    index: AnyIndex,
    dim: usize,
}

impl<T: Scalar> Built<T> for Batch {
    fn batch(&self, queries: &[T], k: usize) -> Option<Vec<i32>> {
        let (answers, _) = self.index.knn(&points(queries, self.dim), k).expect("queries are as the points");
        Some(answers.ids)
    }

    fn graph(&self, k: usize) -> Option<Vec<i32>> {
        Some(self.index.graph(k, false).expect("k is positive").0.ids)
    }
}

/// Single Euclidean queries.
pub fn single<T: Scalar>() -> Method<T> {
    Method {
        name: "covertree",
        build: |rows, dim| {
            let space = RowSpace::<Euclidean<T>>::new(rows.to_vec(), dim).expect("the values are finite rows");
            Box::new(Single(built(space.projected(Tier::detect()))))
        },
    }
}

fn built<S: Space>(space: S) -> Index<S> {
    Index::build(space, &BuildConfig::default(), Tier::detect()).expect("the distance is a metric")
}

struct Single<T: Scalar>(Index<RowSpace<Euclidean<T>>>);

impl<T: Scalar> Built<T> for Single<T> {
    fn searcher(&self) -> Option<Box<dyn Searcher<T> + '_>> {
        let queries = self.0.space().queries(Tier::detect());
        Some(Box::new(SingleQuery { searcher: self.0.searcher(), queries, distances: Vec::new() }))
    }
}

struct SingleQuery<'a, T: Scalar> {
    searcher: covertree::Searcher<'a, RowSpace<Euclidean<T>>>,
    queries: RowQueries<'a, T>,
    distances: Vec<f64>,
}

impl<T: Scalar> Searcher<T> for SingleQuery<'_, T> {
    fn knn(&mut self, query: &[T], k: usize, ids: &mut Vec<i32>) {
        let out = room(k, ids, &mut self.distances);
        let query = self.queries.query(query).expect("queries are as the points");
        self.searcher.knn(query, NONE, &mut self.distances, out).expect("the shapes fit");
    }
}

/// Makes room for `k` neighbours, behind the ids that there are.
fn room<'a>(k: usize, ids: &'a mut Vec<i32>, distances: &mut Vec<f64>) -> &'a mut [i32] {
    let start = ids.len();
    ids.resize(start + k, NONE);
    distances.resize(k, 0.0);
    &mut ids[start..]
}

/// Single queries under a function of the user's, which the compiler sees whole as it does for the peers.
pub fn closure<T: Scalar, M: Measure, const D: usize>() -> Method<T> {
    Method {
        name: "covertree",
        build: |rows, _| {
            let (rows, _) = rows.as_chunks::<D>();
            let space = ItemSpace::new(rows.to_vec(), |a: &[T; D], b: &[T; D]| M::distance(a, b));
            Box::new(Items(built(space.expect("rows can be counted"))))
        },
    }
}

struct Items<T: Scalar, F: Distance<T, D>, const D: usize>(Index<ItemSpace<[T; D], F>>);

/// A function of the user's between rows.
trait Distance<T, const D: usize>: Fn(&[T; D], &[T; D]) -> f64 + Send + Sync {}

impl<T, F: Fn(&[T; D], &[T; D]) -> f64 + Send + Sync, const D: usize> Distance<T, D> for F {}

impl<T: Scalar, F: Distance<T, D>, const D: usize> Built<T> for Items<T, F, D> {
    fn searcher(&self) -> Option<Box<dyn Searcher<T> + '_>> {
        let (space, searcher) = (self.0.space(), self.0.searcher());
        Some(Box::new(ItemQuery { space, searcher, distances: Vec::new() }))
    }
}

struct ItemQuery<'a, T: Scalar, F: Distance<T, D>, const D: usize> {
    space: &'a ItemSpace<[T; D], F>,
    searcher: covertree::Searcher<'a, ItemSpace<[T; D], F>>,
    distances: Vec<f64>,
}

impl<T: Scalar, F: Distance<T, D>, const D: usize> Searcher<T> for ItemQuery<'_, T, F, D> {
    fn knn(&mut self, query: &[T], k: usize, ids: &mut Vec<i32>) {
        let query: &[T; D] = query.try_into().expect("a query has D coordinates");
        let out = room(k, ids, &mut self.distances);
        self.searcher.knn(self.space.outside(query, 0), NONE, &mut self.distances, out).expect("the shapes fit");
    }
}
