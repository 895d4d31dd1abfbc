//! Answers to many queries.

use covertree_kernels::index::{Idx, NONE, at};

use crate::error::Error;

/// The ids and the distances of one query.
pub(crate) type AnswerRow<'a> = (&'a mut [Idx], &'a mut [f64]);

/// The neighbours of many queries, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// `[queries * k]`: ids, ascending by (distance, id); -1 where there is no further neighbour.
    pub ids: Vec<Idx>,
    /// `[queries * k]`: distances; plus infinity where there is no further neighbour.
    pub distances: Vec<f64>,
    /// Neighbours per query.
    pub k: usize,
}

impl Answers {
    /// Answers of `k` to each of `count` queries, padded as if there were no points.
    ///
    /// # Errors
    /// [`Error::Usage`] for `k = 0`, [`Error::Memory`] when there is no room for them.
    pub(crate) fn padded(count: usize, k: usize) -> Result<Self, Error> {
        let (mut ids, mut distances) = Self::reserve(count, k)?;
        ids.resize(count * k, NONE);
        distances.resize(count * k, f64::INFINITY);
        Ok(Self { ids, distances, k })
    }

    /// The same, to be overwritten whole. Nothing touches the memory before, so that the threads share what that costs.
    ///
    /// # Errors
    /// As [`padded`](Self::padded).
    pub(crate) fn unwritten(count: usize, k: usize) -> Result<Self, Error> {
        drop(Self::reserve(count, k)?); // there is room
        Ok(Self { ids: vec![0; count * k], distances: vec![0.0; count * k], k })
    }

    fn reserve(count: usize, k: usize) -> Result<(Vec<Idx>, Vec<f64>), Error> {
        if k == 0 {
            return Err(Error::Usage("k is 0; ask for at least one neighbour".into()));
        }
        let too_large = |bytes| Error::Memory { file: format!("the answer of {count} x {k}"), bytes };
        let len = count.checked_mul(k).ok_or_else(|| too_large(u64::MAX))?;
        let bytes = (len as u64).saturating_mul((size_of::<Idx>() + size_of::<f64>()) as u64);
        let (mut ids, mut distances) = (Vec::new(), Vec::new());
        let reserved = ids.try_reserve_exact(len).and_then(|()| distances.try_reserve_exact(len));
        reserved.map_err(|_| too_large(bytes))?;
        Ok((ids, distances))
    }

    /// The rows in this order, in which each stands once.
    pub(crate) fn rows_in(&mut self, order: &[Idx]) -> Vec<AnswerRow<'_>> {
        let rows = self.ids.chunks_mut(self.k).zip(self.distances.chunks_mut(self.k));
        let mut rows: Vec<Option<AnswerRow<'_>>> = rows.map(Some).collect();
        order.iter().filter_map(|&row| rows[at(row)].take()).collect()
    }
}
