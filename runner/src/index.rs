//! An index: a tree with its points packed in its order.

use std::fmt;

use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::error::KernelError;
use covertree_kernels::index::Idx;
use covertree_kernels::simd::Tier;
use covertree_kernels::tree::{self as kernel, SearchCounters, TreeView, knn, search_blocks};

use crate::answers::Answers;
use crate::build::{BuildConfig, Telemetry, build};
use crate::error::Error;
use crate::parallel;
use crate::space::Space;
use crate::tree::Tree;
use crate::within::{Neighborhoods, Searched, check_radius};
use crate::workers::Workers;

/// Queries that one task answers.
const CHUNK: usize = 64;

/// A tree with its points packed in its order, ready to be searched.
pub struct Index<S: Space> {
    space: S,
    tree: Tree,
    packed: S::Packed,
    tier: Tier,
}

impl<S: Space> fmt::Debug for Index<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("len", &self.len()).field("tier", &self.tier).finish_non_exhaustive()
    }
}

impl<S: Space> Index<S> {
    /// Builds the tree over all points of a space.
    ///
    /// # Errors
    /// [`Error::Usage`] for settings that go neither together nor with the points; [`Error::NotAMetric`] when a distance is
    /// none, as [`Space::check`] finds.
    pub fn build(space: S, config: &BuildConfig, tier: Tier) -> Result<Self, Error> {
        Ok(Self::build_with(space, config, tier, &Workers::new())?.0)
    }

    /// [`build`](Self::build) with arenas that serve many builds, telling how it went.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_with(
        space: S,
        config: &BuildConfig,
        tier: Tier,
        workers: &Workers,
    ) -> Result<(Self, Telemetry), Error> {
        let since = space.wrong();
        let mut space = space;
        let (tree, packed, telemetry) = build(&mut space, config, tier, workers)?;
        space.check(since)?;
        Ok((Self { space, tree, packed, tier }, telemetry))
    }

    /// The index of a tree that was built over the same points before, and maybe [saved](crate::tree::file): nothing is built again.
    ///
    /// The points are all that the tree has, in the order of their ids. Whether they obey its laws, as they do when neither they nor the
    /// metric have changed, is for [`validate`](crate::tree::validate::validate) to say: under others, answers are wrong. Rows that were
    /// projected have to be projected as they were.
    ///
    /// ```
    /// use covertree::space::ItemSpace;
    /// use covertree::tree::file::{Contents, PackedRef, ReadMode, read, write};
    /// use covertree::{BuildConfig, Index, Tier};
    ///
    /// # fn main() -> Result<(), covertree::Error> {
    /// # let path = std::env::temp_dir().join(format!("covertree-of-tree-{}.ct", std::process::id()));
    /// let differ = |a: &String, b: &String| a.bytes().zip(b.bytes()).filter(|(a, b)| a != b).count() as f64;
    /// let words = || ["tree", "free", "fret", "brew"].map(String::from).to_vec();
    /// let built = Index::build(ItemSpace::new(words(), differ)?, &BuildConfig::default(), Tier::detect())?;
    /// let (tree, points) = (built.tree(), PackedRef::None);
    /// write(&path, &Contents { metric: "differ", config: "", seed: 42, next_id: 4, tree, points, extra: &[] })?;
    ///
    /// let saved = read(&path, ReadMode::Memory)?;
    /// let index = Index::of_tree(ItemSpace::new(words(), differ)?, saved.tree, Tier::detect())?;
    /// let (answers, _) = index.knn(4, 2, |row| index.space().member(row), |_| -1)?;
    /// assert_eq!(answers.row(1), (&[1, 0][..], &[0.0, 1.0][..]));
    /// # std::fs::remove_file(path).expect("it was written");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Usage`] when the tree is one of other points or of another kind of metric, as far as numbers tell: of other ids than
    /// those of all points (a tree from which points were deleted, for example), or in another order of storage;
    /// [`Error::NotAMetric`] as [`build`](Self::build).
    ///
    /// # Cost
    /// One copy of the points; for items, the distances to up to sixteen pivots of each.
    pub fn of_tree(space: S, tree: Tree, tier: Tier) -> Result<Self, Error> {
        let mut space = space;
        let mut seen = vec![false; space.len()];
        let mut new = |&id: &Idx| {
            let place = usize::try_from(id).ok().and_then(|id| seen.get_mut(id));
            place.is_some_and(|seen| !std::mem::replace(seen, true))
        };
        if tree.ids.iter().filter(|&id| new(id)).count() < tree.len().max(space.len()) {
            let (points, len) = (tree.len(), space.len());
            return Err(Error::Usage(format!(
                "this tree of {points} points is not one of these {len}: give it the points of all of its ids, or build another"
            )));
        }
        let since = space.wrong();
        space.prepare();
        if space.order() != tree.order() {
            let problem = "this tree was laid out for another kind of points: give it the metric that it was built under, and rows projected as they were";
            return Err(Error::Usage(problem.into()));
        }
        let packed = space.pack(&tree, tier);
        space.check(since)?;
        Ok(Self { space, tree, packed, tier })
    }

    /// The points under their metric.
    pub fn space(&self) -> &S {
        &self.space
    }

    /// The tree.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The points in the order of the tree.
    pub fn packed(&self) -> &S::Packed {
        &self.packed
    }

    /// The kernel metric over the points.
    pub fn kernel(&self) -> S::Kernel<'_> {
        self.space.kernel(&self.packed)
    }

    /// The nearest `k` points to each of `count` queries, by (distance, id), exactly.
    ///
    /// `query(i)` is query `i`; the point whose id is `except(i)` is left out of its answer. A row of the answer that
    /// has fewer than `k` points is padded with -1 and plus infinity.
    ///
    /// # Errors
    /// [`Error::Usage`] when `k` is zero; [`Error::Memory`] when the answer does not fit into memory; [`Error::Kernel`] for a
    /// query of another shape than the points; [`Error::NotAMetric`] when a distance is none.
    ///
    /// # Cost
    /// One traversal per query, split over the threads of the current pool.
    pub fn knn<'q>(
        &'q self,
        count: usize,
        k: usize,
        query: impl Fn(usize) -> <S::Kernel<'q> as kernel::Metric>::Query<'q> + Sync,
        except: impl Fn(usize) -> Idx + Sync,
    ) -> Result<(Answers, SearchCounters), Error>
    where
        S: 'q,
    {
        Answers::check(count, k)?;
        let wanted = k;
        let k = k.min(self.len().max(1));
        let mut answers = Answers::unwritten(count, k)?;
        let (kernel, since) = (self.kernel(), self.space.wrong());
        let view = self.tree.view();
        let workers = Workers::new();
        let Answers { ids, distances, .. } = &mut answers;
        let chunk = |chunk: usize, ids: &mut [Idx], distances: &mut [f64]| -> Result<SearchCounters, KernelError> {
            let mut total = SearchCounters::default();
            workers.with(search_blocks(self.tree.waiting), |memory| {
                for (row, (ids, distances)) in ids.chunks_mut(k).zip(distances.chunks_mut(k)).enumerate() {
                    let row = chunk * CHUNK + row;
                    let mut arena = Arena::new(memory);
                    let (_, counters) =
                        knn(self.tier, view, &kernel, query(row), except(row), distances, ids, &mut arena)?;
                    total.merge(&counters);
                }
                Ok(total)
            })
        };
        let work = parallel::chunk_pairs((ids, k * CHUNK), (distances, k * CHUNK), &chunk);
        self.space.check(since)?;
        let mut total = SearchCounters::default();
        for counters in work {
            total.merge(&counters?);
        }
        Ok((answers.widened(wanted)?, total))
    }

    /// All points at most `radius` away from each of `count` queries, by (distance, id), exactly; `query(i)` is query `i`.
    ///
    /// # Errors
    /// [`Error::Usage`] when `radius` is negative or not a number; otherwise as [`knn`](Self::knn).
    ///
    /// # Cost
    /// One traversal per query, split over the threads of the current pool, and the memory of the answer.
    pub fn within<'q>(
        &'q self,
        count: usize,
        radius: f64,
        query: impl Fn(usize) -> <S::Kernel<'q> as kernel::Metric>::Query<'q> + Sync,
    ) -> Result<(Neighborhoods, SearchCounters), Error>
    where
        S: 'q,
    {
        check_radius(radius)?;
        Answers::check(count, 1)?;
        let (kernel, workers, since) = (self.kernel(), Workers::new(), self.space.wrong());
        let searched = Searched { tier: self.tier, tree: &self.tree, metric: &kernel, workers: &workers };
        let found = searched.within(count, radius, &query, &Some);
        self.space.check(since)?;
        found
    }

    /// What answers single queries, one after the other.
    ///
    /// ```
    /// use covertree::space::{Euclidean, RowSpace};
    /// use covertree::{BuildConfig, Index, NONE, Tier};
    ///
    /// # fn main() -> Result<(), covertree::Error> {
    /// let space = RowSpace::<Euclidean<f32>>::new(vec![0.0, 0.0, 3.0, 4.0, 0.0, 1.0], 2)?;
    /// let index = Index::build(space, &BuildConfig::default(), Tier::detect())?;
    /// let (mut searcher, mut queries) = (index.searcher(), index.space().queries(Tier::detect()));
    /// let (mut distances, mut ids) = ([0.0; 2], [NONE; 2]);
    /// searcher.knn(queries.query(&[0.0, 0.25])?, NONE, &mut distances, &mut ids)?;
    /// assert_eq!((ids, distances), ([0, 2], [0.25, 0.75]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn searcher(&self) -> Searcher<'_, S> {
        let memory = vec![Block::default(); search_blocks(self.tree.waiting)];
        Searcher { index: self, view: self.tree.view(), kernel: self.kernel(), memory, since: self.space.wrong() }
    }

    /// Id of the point at a position.
    ///
    /// # Panics
    /// When there is no such position.
    pub fn id(&self, position: usize) -> Idx {
        self.tree.ids()[position]
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }
}

/// Answers single queries to an [`Index`], one after the other: what a query needs is made once, so that none
/// allocates, locks or checks the tree again. Each thread has one of its own.
pub struct Searcher<'a, S: Space> {
    index: &'a Index<S>,
    view: TreeView<'a>,
    kernel: S::Kernel<'a>,
    memory: Vec<Block>,
    /// Wrong distances of which it was told.
    since: u64,
}

impl<S: Space> fmt::Debug for Searcher<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Searcher").field("index", &self.index).finish_non_exhaustive()
    }
}

impl<'a, S: Space> Searcher<'a, S> {
    /// The nearest points to one query, by (distance, id), exactly; as many as `distances` and `ids` have room for, padded
    /// with plus infinity and -1. The point whose id is `except` is left out.
    ///
    /// Whether all distances were those of a metric is for [`check`](Self::check) to say, after any number of queries.
    ///
    /// # Errors
    /// [`KernelError::Least`] when there is no room, [`KernelError::Shape`] when the outputs differ in length.
    pub fn knn(
        &mut self,
        query: <S::Kernel<'a> as kernel::Metric>::Query<'_>,
        except: Idx,
        distances: &mut [f64],
        ids: &mut [Idx],
    ) -> Result<SearchCounters, KernelError> {
        let arena = &mut Arena::new(&mut self.memory);
        Ok(knn(self.index.tier, self.view, &self.kernel, query, except, distances, ids, arena)?.1)
    }

    /// Says whether all distances were such as a metric gives since the last call, or since there is this searcher: see [`Space::check`].
    ///
    /// # Errors
    /// [`Error::NotAMetric`] naming a pair of rows. The answers in between mean nothing then.
    pub fn check(&mut self) -> Result<(), Error> {
        let since = std::mem::replace(&mut self.since, self.index.space.wrong());
        self.index.space.check(since)
    }
}
