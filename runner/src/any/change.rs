//! Inserting into an index, and deleting from it.

use covertree_kernels::index::{Idx, LEN_MAX, idx_len};

use super::{AnyBody, AnyIndex, shape_of};
use crate::Workers;
use crate::build::Telemetry;
use crate::error::Error;
use crate::parallel;
use crate::points::{Dtype, Points, Values};
use crate::space::{Projected, SINGLE_SQUARES};

/// Points that one task looks at.
const CHUNK: usize = 1 << 12;

impl AnyIndex {
    /// Inserts points, which messages call `label`. They get the next ids, in their order; an id is never given twice, whatever is
    /// deleted.
    ///
    /// ```
    /// use covertree::{AnyIndex, BuildConfig, MetricName, Points, Values};
    ///
    /// # fn main() -> Result<(), covertree::Error> {
    /// let point = |x: f64| Points::new(1, Values::F64(vec![x]));
    /// let mut index = AnyIndex::build(&point(1.0)?, MetricName::Euclidean, &BuildConfig::default())?;
    /// index.insert("a point", &point(2.0)?)?; // its id is 1
    /// index.delete(&[0])?;
    /// index.insert("another point", &point(4.0)?)?; // and that of this one is 2
    /// assert_eq!(index.knn(&point(0.0)?, 2)?.0.ids, vec![1, 2]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The tree is then one over all of its points: queries are exact, and every law holds. The telemetry has a row for each batch.
    ///
    /// # Errors
    /// [`Error::Usage`] when the columns are not those of the tree, when points stored in single precision would leave its
    /// range, when ids run out, and when a batch would have far more conflicts than the settings of the tree admit; otherwise as for
    /// queries, naming the row: a point in `f64` that a tree of `f32` cannot hold, for example. Nothing has changed then.
    ///
    /// # Cost
    /// A search for each new point, and laying out all points anew.
    pub fn insert(&mut self, label: &str, points: &Points) -> Result<Telemetry, Error> {
        self.insert_with(label, points, &Workers::new())
    }

    /// [`insert`](Self::insert) with arenas that serve many builds and updates.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    ///
    /// # Cost
    /// As [`insert`](Self::insert); the second update of the same size grows no arena.
    pub fn insert_with(&mut self, label: &str, points: &Points, workers: &Workers) -> Result<Telemetry, Error> {
        let (got, want) = (points.dim(), self.dim());
        if got != want {
            return Err(Error::Usage(format!(
                "{label}: has {got} columns where the points of the tree have {want}; choose columns so that both agree"
            )));
        }
        let after = self.next_id as usize + points.len(); // an id is not negative
        if after > LEN_MAX {
            return Err(Error::Usage(format!("{label}: {after} points are more than ids can name; build a new tree")));
        }
        let (largest, _) = points.magnitude();
        if self.dtype() == Dtype::F32 && want as f64 * largest * largest > SINGLE_SQUARES {
            let problem = format!("{label}: {largest} is too large for a tree in single precision; build a new tree");
            return Err(Error::Usage(problem));
        }
        let prepared = self.preparation.points(label, points)?;
        let mut projected = self.projected.clone();
        let prepared = match &mut projected {
            Some(projected) => projected.points(&prepared, self.tier),
            None => prepared,
        };
        let (kept, after) = (vec![false; self.len()], idx_len(after)?);
        let telemetry = self.change((&kept, Some(&prepared)), projected.as_ref(), after, workers)?;
        self.projected = projected;
        Ok(telemetry)
    }

    /// Deletes points by their ids. The last batch of the telemetry, `delete`, tells of the points that hung on deleted ones: its
    /// candidates are all of them but twins, and selected are those that were promoted. None is there if no id is given.
    ///
    /// # Errors
    /// [`Error::UnknownId`] for the least id that is not in the tree. Nothing has changed then.
    ///
    /// # Cost
    /// Two searches and a few more for each child of a deleted point, on each level that it is promoted to, with one result each;
    /// and laying out all points anew. In many dimensions, where most points hang on the root and a search reads most of them, a
    /// deletion of the root takes some three times the square of their number in distances. Memory grows with the points alone.
    pub fn delete(&mut self, ids: &[Idx]) -> Result<Telemetry, Error> {
        self.delete_with(ids, &Workers::new())
    }

    /// [`delete`](Self::delete) with arenas that serve many builds and updates.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    ///
    /// # Cost
    /// As [`delete`](Self::delete); the second update of the same size grows no arena.
    pub fn delete_with(&mut self, ids: &[Idx], workers: &Workers) -> Result<Telemetry, Error> {
        let mut wanted = ids.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let ids = self.tree().ids();
        let mut deleted = vec![false; ids.len()];
        let found = parallel::chunks(&mut deleted, CHUNK, &|chunk, deleted| {
            let ids = &ids[chunk * CHUNK..];
            deleted.iter_mut().zip(ids).for_each(|(deleted, id)| *deleted = wanted.binary_search(id).is_ok());
            deleted.iter().filter(|&&deleted| deleted).count()
        });
        if found.into_iter().sum::<usize>() < wanted.len() {
            let mut known = ids.to_vec();
            known.sort_unstable();
            let missing = wanted.iter().find(|id| known.binary_search(id).is_err());
            return Err(match missing {
                Some(&id) => Error::UnknownId { file: "the tree".into(), id, len: self.len() },
                None => Error::Usage("two points of the tree have one id; build it anew".into()),
            });
        }
        self.change((&deleted, None), self.projected.clone().as_ref(), self.next_id, workers)
    }

    /// The first number that is not yet the id of a point.
    pub fn next_id(&self) -> Idx {
        self.next_id
    }

    /// Takes points out, given whether the one at each position goes, and adds prepared ones; `after` is the next id then.
    fn change(
        &mut self,
        (deleted, new): (&[bool], Option<&Values>),
        projected: Option<&Projected>,
        after: Idx,
        workers: &Workers,
    ) -> Result<Telemetry, Error> {
        let (_, ahead) = shape_of(&self.preparation, projected);
        let (next_id, config, tier) = (self.next_id, self.config.clone(), self.tier);
        macro_rules! changed {
            ($body:expr, $kind:ident) => {{
                let new = match new {
                    Some(Values::$kind(values)) => &values[..],
                    Some(_) => unreachable!("points are prepared in the precision of the tree"),
                    None => &[],
                };
                let (body, telemetry) = $body.changed((deleted, new, next_id), ahead, &config, tier, workers)?;
                *$body = body;
                telemetry
            }};
        }
        let telemetry = match &mut self.body {
            AnyBody::EuclideanF32(body) => changed!(body, F32),
            AnyBody::EuclideanF64(body) => changed!(body, F64),
            AnyBody::ManhattanF32(body) => changed!(body, F32),
            AnyBody::ManhattanF64(body) => changed!(body, F64),
            AnyBody::ChebyshevF32(body) => changed!(body, F32),
            AnyBody::ChebyshevF64(body) => changed!(body, F64),
            AnyBody::Angular(body) => changed!(body, F64),
            AnyBody::Haversine(body) => changed!(body, F64),
        };
        self.next_id = after;
        self.wide.take(); // it has the old points
        Ok(telemetry)
    }
}
