//! Answers to many queries.

use covertree_kernels::index::Idx;

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
