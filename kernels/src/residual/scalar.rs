//! The plain twins, in `f64` on what the tiles read.

pub use super::shortlist::scalar::{offer_columns, offer_rows, wanted_pairs};

use super::{ResidualQuery, ResidualRun};
use crate::covariance::Exponential;

/// Twin of [`one_to_run`](super::one_to_run): the filter `r` of each point of the run, padding lanes included.
pub fn one_to_run<T: Exponential>(query: &ResidualQuery<'_, T>, points: &ResidualRun<'_, T>, out: &mut [T]) {
    let covariance = points.points.model.covariance();
    for panel in 0..points.count {
        for lane in 0..T::LANES {
            let mut square = 0.0;
            for (z, row) in query.coordinates.iter().zip(points.coordinates(panel).chunks_exact(T::LANES)) {
                let difference = z.to_f64() - row[lane].to_f64();
                square += difference * difference;
            }
            let mut dot = 0.0;
            for (v, row) in query.v.iter().zip(points.v_panel(panel).chunks_exact(T::LANES)) {
                dot += v.to_f64() * row[lane].to_f64();
            }
            let (scales, _) = points.scales_and_margins(panel);
            let ratio = (covariance.exact(square) - dot) * (query.scale.to_f64() * scales[lane].to_f64());
            out[panel * T::LANES + lane] = T::from_f64(ratio);
        }
    }
}
