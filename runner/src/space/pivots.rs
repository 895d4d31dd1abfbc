//! The pivots of items: few of them, far from each other, by whose distances the others are told apart.

use covertree_kernels::index::Idx;
use covertree_kernels::tree::{Item, Items, PIVOTS_MAX, PivotScale, Remotest, pivots_worth_having};

use crate::parallel;

/// Items whose distance to a pivot one task computes.
const CHUNK: usize = 1024;

/// Items by which it is judged how many pivots there should be.
const SAMPLE: usize = 256;

/// Distances to pivots.
#[derive(Default)]
pub(super) struct Pivots {
    /// Rows of the pivots.
    pub rows: Vec<Idx>,
    /// `[items][pivots]`: the distances as coordinates.
    pub table: Vec<f32>,
    /// The largest of the distances.
    pub farthest: f64,
}

impl Pivots {
    /// Pivots among all items, which the metric has in the order of their rows: each the farthest from those before it, and the
    /// first the farthest from row 0. Ties go to the lower row.
    ///
    /// # Cost
    /// A distance per item and pivot, and one more per item; split over the threads of the current pool. Before that, the
    /// same for all pairs of [`SAMPLE`] items, to see how many pivots are worth it.
    pub fn choose<X, D>(metric: &Items<'_, X, D>, items: &[X]) -> Self
    where
        X: Send + Sync + 'static,
        D: Fn(&X, &X) -> f64 + Sync,
    {
        let mut pivots = Self::default();
        if items.is_empty() {
            return pivots;
        }
        let (mut columns, mut column) = (Vec::new(), vec![0.0; items.len()]);
        let mut least = vec![f64::INFINITY; items.len()];
        let mut row = step(metric, items, 0, &mut column, &mut least).position;
        least.fill(f64::INFINITY);
        loop {
            let found = step(metric, items, row, &mut column, &mut least);
            pivots.rows.push(row as Idx); // a row, so it was counted
            pivots.farthest = pivots.farthest.max(found.largest);
            columns.push(column.clone());
            if found.distance == 0.0 || columns.len() == PIVOTS_MAX {
                break;
            }
            row = found.position;
        }
        let sample: Vec<usize> = (0..items.len()).step_by(items.len().div_ceil(SAMPLE)).collect();
        let distances = among(metric, items, &sample);
        let table: Vec<f64> = sample.iter().flat_map(|&row| columns.iter().map(move |column| column[row])).collect();
        let enough = pivots_worth_having(&distances, &table, columns.len()).expect("one row per item of the sample");
        columns.truncate(enough);
        pivots.rows.truncate(enough);
        let scale = pivots.scale();
        pivots.table =
            (0..items.len()).flat_map(|row| columns.iter().map(move |column| scale.coordinate(column[row]))).collect();
        pivots
    }

    /// Number of pivots.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Columns of a table of them: one where there are no items.
    pub fn width(&self) -> usize {
        self.len().max(1)
    }

    /// What makes coordinates of distances.
    pub fn scale(&self) -> PivotScale {
        PivotScale::of(self.farthest)
    }

    /// The coordinates of a row.
    pub fn of(&self, row: usize) -> &[f32] {
        &self.table[row * self.len()..][..self.len()]
    }
}

/// The distances of all items from one of them, the newest pivot; `least` are those from the nearest pivot.
fn step<X, D>(metric: &Items<'_, X, D>, items: &[X], row: usize, column: &mut [f64], least: &mut [f64]) -> Remotest
where
    X: Send + Sync + 'static,
    D: Fn(&X, &X) -> f64 + Sync,
{
    let pivot = member(items, row);
    let parts = parallel::chunk_pairs((column, CHUNK), (least, CHUNK), &|chunk, column, least| {
        metric.remotest(pivot, chunk * CHUNK, column, least).expect("a part of the items")
    });
    parts.into_iter().reduce(Remotest::join).unwrap_or_default()
}

/// The distances between all items of a sample.
fn among<X, D>(metric: &Items<'_, X, D>, items: &[X], sample: &[usize]) -> Vec<f64>
where
    X: Send + Sync + 'static,
    D: Fn(&X, &X) -> f64 + Sync,
{
    let mut distances = vec![0.0; sample.len() * sample.len()];
    parallel::chunks(&mut distances, sample.len(), &|place, out| {
        let from = member(items, sample[place]);
        out.iter_mut().zip(sample).for_each(|(out, &to)| *out = metric.between(from, to));
    });
    distances
}

fn member<X>(items: &[X], row: usize) -> Item<'_, X> {
    Item { value: &items[row], row: row as Idx, outside: false } // a row, so it was counted
}
