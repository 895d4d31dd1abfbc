//! The checked arguments of a search, on their way to the metric of the tree.

use covertree_kernels::arena::Arena;
use covertree_kernels::dist::{Chebyshev, Manhattan};
use covertree_kernels::error::KernelError;
use covertree_kernels::index::Idx;
use covertree_kernels::simd::{Lanes, Real, Tier};
use covertree_kernels::topk::KBest;
use covertree_kernels::tree::stored::StoredTree;
use covertree_kernels::tree::{
    Earlier, Group, Metric, Nearest, Precedence, TreeView, Visitor, Within, search, search_blocks,
};

use super::handle::{covertree_tree, opened};
use crate::boundary::{Call, covertree_block, tier_of};
use crate::status::{Fault, covertree_status, wide};

/// What a search collects under conditions: one type for both, so that the search is compiled once for them.
enum Conditional<'a, 'k> {
    Earlier(Earlier<'a, 'k>),
    Within(Within<'a, 'k>),
}

impl<R: Real> Visitor<R> for Conditional<'_, '_> {
    const BY_GROUP: bool = true;

    #[inline(always)]
    fn cap(&self) -> f64 {
        match self {
            Self::Earlier(visitor) => Visitor::<R>::cap(visitor),
            Self::Within(visitor) => Visitor::<R>::cap(visitor),
        }
    }
    #[inline(always)]
    fn cap_in(&self, number: usize, group: &Group) -> f64 {
        match self {
            Self::Earlier(visitor) => Visitor::<R>::cap_in(visitor, number, group),
            Self::Within(visitor) => Visitor::<R>::cap_in(visitor, number, group),
        }
    }
    #[inline(always)]
    fn narrow<L: Lanes>(&self, start: usize, surrogates: R::On<L>) -> u32 {
        match self {
            Self::Earlier(visitor) => Visitor::<R>::narrow::<L>(visitor, start, surrogates),
            Self::Within(_) => u32::MAX,
        }
    }
    #[inline(always)]
    fn admits(&self, position: usize) -> bool {
        match self {
            Self::Earlier(visitor) => Visitor::<R>::admits(visitor, position),
            Self::Within(visitor) => Visitor::<R>::admits(visitor, position),
        }
    }
    #[inline(always)]
    fn offer(&mut self, position: usize, distance: f64) {
        match self {
            Self::Earlier(visitor) => Visitor::<R>::offer(visitor, position, distance),
            Self::Within(visitor) => Visitor::<R>::offer(visitor, position, distance),
        }
    }
}

/// A search on its way to its metric.
pub(super) struct Ask<'a, 's, V> {
    tier: Tier,
    view: TreeView<'a>,
    visitor: V,
    arena: Arena<'s>,
}

impl<V> Ask<'_, '_, V> {
    fn run<T: Real, M>(mut self, metric: Result<M, KernelError>, query: &[T]) -> Result<V, Fault>
    where
        M: for<'q> Metric<Query<'q> = &'q [T]>,
        V: Visitor<M::Real>,
    {
        let (visitor, _) = search(self.tier, self.view, &metric?, query, self.visitor, &mut self.arena)?;
        Ok(visitor)
    }
}

/// Coordinates of a tree that can be searched.
pub(super) trait Coordinate: Real {
    /// Runs a search under the metric of the tree.
    fn ask<V: Visitor<Self>>(tree: &StoredTree<'_>, query: &[Self], ask: Ask<'_, '_, V>) -> Result<V, Fault>;
}

/// The tree has points of another kind, or a metric that is not known here.
fn no_metric() -> Fault {
    Fault::new(covertree_status::Metric, "tree", 0, 0)
}

impl Coordinate for f32 {
    fn ask<V: Visitor<f32>>(tree: &StoredTree<'_>, query: &[f32], ask: Ask<'_, '_, V>) -> Result<V, Fault> {
        let points = tree.points::<f32>().ok_or_else(no_metric)?;
        match tree.metric() {
            "euclidean" => ask.run(points.euclidean(), query),
            "manhattan" => ask.run(points.coordinates::<Manhattan>(), query),
            "chebyshev" => ask.run(points.coordinates::<Chebyshev>(), query),
            _ => Err(no_metric()),
        }
    }
}

impl Coordinate for f64 {
    fn ask<V: Visitor<f64>>(tree: &StoredTree<'_>, query: &[f64], ask: Ask<'_, '_, V>) -> Result<V, Fault> {
        let points = tree.points::<f64>().ok_or_else(no_metric)?;
        match tree.metric() {
            "euclidean" => ask.run(points.euclidean(), query),
            "manhattan" => ask.run(points.coordinates::<Manhattan>(), query),
            "chebyshev" => ask.run(points.coordinates::<Chebyshev>(), query),
            "angular" => ask.run(points.angular(), query),
            "haversine" => ask.run(points.haversine(), query),
            _ => Err(no_metric()),
        }
    }
}

/// The arguments that every search has.
pub(super) struct Asked<'a, T> {
    pub(super) tree: StoredTree<'static>,
    tier: Tier,
    query: &'a [T],
    distances: &'a mut [f64],
    ids: &'a mut [Idx],
    found: &'a mut usize,
    arena: Arena<'a>,
}

impl<'a, T: Coordinate> Asked<'a, T> {
    /// # Safety
    /// As the functions of `search` say.
    pub(super) unsafe fn new(
        call: &mut Call,
        tier: u32,
        tree: *const covertree_tree,
        query: (*const T, usize),
        out: (*mut f64, *mut i32, usize, *mut usize),
        scratch: (*mut covertree_block, usize),
    ) -> Result<Self, Fault> {
        // SAFETY: the caller's promise is the same.
        let tree = unsafe { opened(call, tree) }?;
        // SAFETY: as above.
        let (query, distances, ids, found, arena) = unsafe {
            (
                call.read("query", query.0, query.1)?,
                call.write("distances", out.0, out.2)?,
                call.write("ids", out.1, out.2)?,
                call.one("found", out.3)?,
                call.arena(scratch.0, scratch.1)?,
            )
        };
        let dim = tree.header().dim as usize; // usize has at least 32 bits
        if query.len() != dim {
            return Err(Fault::new(covertree_status::Shape, "query", wide(dim), wide(query.len())));
        }
        if let Some(at) = query.iter().position(|value| !value.to_f64().is_finite()) {
            return Err(KernelError::Value { what: "query", at }.into());
        }
        let (need, have) = (search_blocks(tree.view().parts().waiting), arena.free());
        if need > have {
            return Err(KernelError::Scratch { need, have }.into());
        }
        Ok(Self { tree, tier: tier_of(tier)?, query, distances, ids, found, arena })
    }

    pub(super) fn nearest(self, except: Idx) -> Result<(), Fault> {
        let Self { tree, tier, query, distances, ids, found, arena } = self;
        let view = tree.view();
        let visitor = Nearest::new(view.parts().ids, except, KBest::new(distances, ids)?);
        *found = T::ask(&tree, query, Ask { tier, view, visitor, arena })?.finish();
        Ok(())
    }

    pub(super) fn before(self, ranks: &[Idx], earliest: &[Idx], before: Idx) -> Result<(), Fault> {
        let Self { tree, tier, query, distances, ids, found, arena } = self;
        let view = tree.view();
        let precedence = Precedence::new(view, ranks, earliest)?;
        let visitor = Conditional::Earlier(Earlier::new(view, precedence, before, KBest::new(distances, ids)?)?);
        if let Conditional::Earlier(visitor) = T::ask(&tree, query, Ask { tier, view, visitor, arena })? {
            *found = visitor.finish();
        }
        Ok(())
    }

    pub(super) fn within(self, radius: f64, except: Idx) -> Result<(), Fault> {
        let Self { tree, tier, query, distances, ids, found, arena } = self;
        if radius.is_nan() || radius < 0.0 {
            return Err(KernelError::Value { what: "radius", at: 0 }.into());
        }
        let view = tree.view();
        let visitor = Conditional::Within(Within::new(view.parts().ids, except, radius, ids, distances)?);
        if let Conditional::Within(visitor) = T::ask(&tree, query, Ask { tier, view, visitor, arena })? {
            *found = visitor.found()? as usize; // a count, so not negative
        }
        Ok(())
    }
}
