//! The plain twin of the tile: every panel is settled by the published formula. For tests and benchmarks.

use super::lanes::{largest_sum, settle};
use super::{Entry, Scope};
use crate::dist::Form;
use crate::index::{Idx, at};
use crate::simd::Real;
use crate::view::Panels;

/// What [`count_within`](super::count_within) does, for arguments that it would accept.
pub fn count_within<F: Form, T: Real>(points: Panels<'_, T>, scope: &Scope<'_>, counts: &mut [Idx]) {
    counts.fill(0);
    for_each::<F, T>(points, scope, |row, _, _| counts[row] += 1);
}

/// What [`emit_within`](super::emit_within) does, for arguments that it would accept and counts that are right.
pub fn emit_within<F: Form, T: Real, E: Entry>(
    points: Panels<'_, T>,
    scope: &Scope<'_>,
    entries: &mut [E],
    distances: &mut [f64],
) {
    let mut end = 0;
    for_each::<F, T>(points, scope, |row, column, sum| {
        entries[end] = E::pair(scope.first + row as Idx, column); // fits: a position of a point
        distances[end] = F::finish(sum);
        end += 1;
    });
}

/// Calls `found(row, column, sum)` for each pair, row by row, ascending by column.
fn for_each<F: Form, T: Real>(points: Panels<'_, T>, scope: &Scope<'_>, mut found: impl FnMut(usize, Idx, f64)) {
    for (row, &radius) in scope.radius.iter().enumerate() {
        let position = at(scope.first) + row;
        let (cap, columns) = (largest_sum::<F>(radius), scope.columns_of(position));
        for panel in columns.start / T::LANES..columns.end.div_ceil(T::LANES) {
            let sums = settle::<T, F>(points, position, panel);
            for (lane, &sum) in sums[..T::LANES].iter().enumerate() {
                let column = panel * T::LANES + lane;
                if columns.contains(&column) && column != position && sum <= cap {
                    found(row, column as Idx, sum); // fits: a position of a point
                }
            }
        }
    }
}
