//! Answers to many queries.

use std::sync::{Mutex, PoisonError};

use covertree_kernels::index::{Idx, NONE, at};

use crate::error::Error;
use crate::summary::fits_memory;

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
    /// Number of queries.
    pub fn len(&self) -> usize {
        self.ids.len() / self.k.max(1)
    }

    /// Whether there are no queries.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Ids and distances of the neighbours of query `query`, ascending by (distance, id), without the padding.
    ///
    /// # Panics
    /// If `query` is not below [`len`](Self::len).
    pub fn row(&self, query: usize) -> (&[Idx], &[f64]) {
        let row = query * self.k..(query + 1) * self.k;
        let ids = &self.ids[row.clone()];
        let found = ids.iter().position(|&id| id == NONE).unwrap_or(self.k);
        (&ids[..found], &self.distances[row][..found])
    }

    /// Refuses answers of `k` to each of `count` queries for which there is no room.
    ///
    /// # Errors
    /// As [`padded`](Self::padded).
    pub(crate) fn check(count: usize, k: usize) -> Result<(), Error> {
        Self::reserve(count, k).map(drop)
    }

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
        Self::check(count, k)?;
        Ok(Self { ids: vec![0; count * k], distances: vec![0.0; count * k], k })
    }

    fn reserve(count: usize, k: usize) -> Result<(Vec<Idx>, Vec<f64>), Error> {
        if k == 0 {
            return Err(Error::Usage("k is 0; ask for at least one neighbour".into()));
        }
        let too_large = |bytes| {
            let remedy = "ask for fewer neighbours, or fewer queries at a time";
            Error::Memory { file: format!("the answer of {count} x {k}"), bytes, remedy }
        };
        let len = count.checked_mul(k).ok_or_else(|| too_large(u64::MAX))?;
        let bytes = (len as u64).saturating_mul((size_of::<Idx>() + size_of::<f64>()) as u64);
        if !fits_memory(bytes) {
            return Err(too_large(bytes));
        }
        let (mut ids, mut distances) = (Vec::new(), Vec::new());
        let reserved = ids.try_reserve_exact(len).and_then(|()| distances.try_reserve_exact(len));
        reserved.map_err(|_| too_large(bytes))?;
        Ok((ids, distances))
    }

    /// The same with so many neighbours per query, padded where that is more.
    ///
    /// # Errors
    /// As [`padded`](Self::padded).
    pub(crate) fn widened(self, k: usize) -> Result<Self, Error> {
        if k == self.k {
            return Ok(self);
        }
        let mut wide = Self::padded(self.len(), k)?;
        for (out, row) in wide.ids.chunks_exact_mut(k).zip(self.ids.chunks_exact(self.k)) {
            out[..self.k].copy_from_slice(row);
        }
        for (out, row) in wide.distances.chunks_exact_mut(k).zip(self.distances.chunks_exact(self.k)) {
            out[..self.k].copy_from_slice(row);
        }
        Ok(wide)
    }

    /// The rows, to be written in any order by several threads.
    pub(crate) fn scattered(&mut self) -> Scattered<'_> {
        let (k, count) = (self.k, self.len());
        let rows = count.div_ceil(SHARDS * rayon::current_num_threads()).max(1);
        let shards = self.ids.chunks_mut(rows * k).zip(self.distances.chunks_mut(rows * k));
        Scattered { k, rows, shards: shards.map(Mutex::new).collect() }
    }
}

/// Shards of the answers for each thread: more than one, so that two threads seldom want the same.
const SHARDS: usize = 4;

/// Answers that are found in another order than that of their rows.
pub(crate) struct Scattered<'a> {
    k: usize,
    /// Rows of a shard.
    rows: usize,
    shards: Vec<Mutex<(&'a mut [Idx], &'a mut [f64])>>,
}

impl Scattered<'_> {
    /// Writes answers to the rows of these numbers. Takes each shard once, for as long as copying takes.
    pub(crate) fn write(&self, rows: &[Idx], ids: &[Idx], distances: &[f64]) {
        let k = self.k;
        let mut order: Vec<(usize, usize)> = rows.iter().map(|&row| at(row)).zip(0..).collect();
        order.sort_unstable();
        for of_shard in order.chunk_by(|one, next| one.0 / self.rows == next.0 / self.rows) {
            let number = of_shard[0].0 / self.rows;
            let mut shard = self.shards[number].lock().unwrap_or_else(PoisonError::into_inner);
            for &(row, from) in of_shard {
                let to = (row - number * self.rows) * k;
                shard.0[to..][..k].copy_from_slice(&ids[from * k..][..k]);
                shard.1[to..][..k].copy_from_slice(&distances[from * k..][..k]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel;

    #[test]
    fn rows_end_where_the_padding_begins() {
        let answers =
            Answers { ids: vec![4, 2, NONE, 7, 1, 0], distances: vec![0.0, 1.0, f64::INFINITY, 2.0, 3.0, 4.0], k: 3 };
        assert_eq!((answers.len(), answers.is_empty()), (2, false));
        assert_eq!(answers.row(0), (&[4, 2][..], &[0.0, 1.0][..]));
        assert_eq!(answers.row(1), (&[7, 1, 0][..], &[2.0, 3.0, 4.0][..]));
        assert!(Answers::padded(0, 3).unwrap().is_empty());
    }

    #[test]
    fn every_row_is_written_to_its_place() {
        for count in [1, 7, 64, 1000] {
            let mut answers = Answers::unwritten(count, 3).unwrap();
            // 7919 is prime and above all counts: each row stands once in the order.
            let order: Vec<Idx> = (0..count).map(|place| (place * 7919 % count) as Idx).collect();
            let out = answers.scattered();
            parallel::pieces(count, 16, &|places| {
                let rows = &order[places];
                let ids: Vec<Idx> = rows.iter().flat_map(|&row| [row, row + 1, row + 2]).collect();
                let distances: Vec<f64> = ids.iter().map(|&id| f64::from(id) / 2.0).collect();
                out.write(rows, &ids, &distances);
            });
            let want: Vec<Idx> = (0..count as Idx).flat_map(|row| [row, row + 1, row + 2]).collect();
            assert_eq!(answers.ids, want);
            assert!(answers.distances.iter().zip(&want).all(|(&distance, &id)| distance == f64::from(id) / 2.0));
        }
    }
}
