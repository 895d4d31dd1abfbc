//! The library itself, as a user calls it.

use covertree::points::Points;
use covertree::space::{Euclidean, ItemSpace, RowSpace, Space};
use covertree::{AnyIndex, BuildConfig, Index, MetricName};
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::index::{Idx, NONE};
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{Metric, knn, search_blocks};

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
            let space = RowSpace::<Euclidean<T>>::new(rows.to_vec(), dim);
            Box::new(Single(built(space)))
        },
    }
}

fn built<S: Space>(space: S) -> Index<S> {
    Index::build(space, &BuildConfig::default(), Tier::detect()).expect("the distance is a metric")
}

struct Single<T: Scalar>(Index<RowSpace<Euclidean<T>>>);

impl<T: Scalar> Built<T> for Single<T> {
    fn searcher(&self) -> Option<Box<dyn Searcher<T> + '_>> {
        Some(Box::new(SingleQuery { index: &self.0, room: Room::of(&self.0) }))
    }
}

struct SingleQuery<'a, T: Scalar> {
    index: &'a Index<RowSpace<Euclidean<T>>>,
    room: Room,
}

impl<T: Scalar> Searcher<T> for SingleQuery<'_, T> {
    fn knn(&mut self, query: &[T], k: usize, ids: &mut Vec<i32>) {
        self.room.knn(self.index, query, k, ids);
    }
}

/// Memory of one thread for its queries.
struct Room {
    blocks: Vec<Block>,
    distances: Vec<f64>,
}

impl Room {
    fn of<S: Space>(index: &Index<S>) -> Self {
        let blocks = search_blocks(index.tree().view().parts().waiting);
        Self { blocks: vec![Block::default(); blocks], distances: Vec::new() }
    }

    fn knn<'q, S: Space + 'q>(
        &mut self,
        index: &'q Index<S>,
        query: <S::Kernel<'q> as Metric>::Query<'_>,
        k: usize,
        ids: &mut Vec<Idx>,
    ) {
        let start = ids.len();
        ids.resize(start + k, NONE);
        self.distances.resize(k, 0.0);
        let (view, kernel, arena) = (index.tree().view(), index.kernel(), &mut Arena::new(&mut self.blocks));
        let (out, distances) = (&mut ids[start..], &mut self.distances[..]);
        knn(Tier::detect(), view, &kernel, query, NONE, distances, out, arena).expect("the shapes fit");
    }
}

/// Single queries under a function of the user's.
pub fn closure<T: Scalar, M: Measure, const D: usize>() -> Method<T> {
    Method {
        name: "covertree",
        build: |rows, _| {
            let (rows, _) = rows.as_chunks::<D>();
            let distance: fn(&[T; D], &[T; D]) -> f64 = |a, b| M::distance(a, b);
            let space = ItemSpace::new(rows.to_vec(), distance).expect("rows can be counted");
            Box::new(Items(built(space)))
        },
    }
}

type Distance<T, const D: usize> = fn(&[T; D], &[T; D]) -> f64;

struct Items<T: Scalar, const D: usize>(Index<ItemSpace<[T; D], Distance<T, D>>>);

impl<T: Scalar, const D: usize> Built<T> for Items<T, D> {
    fn searcher(&self) -> Option<Box<dyn Searcher<T> + '_>> {
        Some(Box::new(ItemQuery { index: &self.0, room: Room::of(&self.0) }))
    }
}

struct ItemQuery<'a, T: Scalar, const D: usize> {
    index: &'a Index<ItemSpace<[T; D], Distance<T, D>>>,
    room: Room,
}

impl<T: Scalar, const D: usize> Searcher<T> for ItemQuery<'_, T, D> {
    fn knn(&mut self, query: &[T], k: usize, ids: &mut Vec<i32>) {
        let query: &[T; D] = query.try_into().expect("a query has D coordinates");
        self.room.knn(self.index, self.index.space().outside(query, 0), k, ids);
    }
}
