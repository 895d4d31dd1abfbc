//! The plain twin of the tile: every panel is settled by the published formula. For tests and benchmarks.

use core::marker::PhantomData;

use super::lanes::{Within, Work, largest_sum, settle};
use super::sink::{Count, Emit, Sink};
use super::{Entry, Scope};
use crate::dist::Form;
use crate::index::{Idx, at};
use crate::simd::{Lanes, OnLanes, Real, Tier};
use crate::view::Panels;

/// What [`count_within`](super::count_within) does, for arguments that it would accept.
pub fn count_within<F: Form, T: Real>(points: Panels<'_, T>, scope: &Scope<'_>, counts: &mut [Idx]) {
    counts.fill(0);
    let sink = Count { counts, base: 0 };
    Tier::PORTABLE.run(Plain(Within { points, scope, sink, form: PhantomData::<F> }));
}

/// What [`emit_within`](super::emit_within) does, for arguments that it would accept.
pub fn emit_within<F: Form, T: Real, E: Entry>(
    points: Panels<'_, T>,
    scope: &Scope<'_>,
    counts: &[Idx],
    entries: &mut [E],
    distances: &mut [f64],
) {
    let sink = Emit::<F, E>::new(scope.first, counts, entries, distances);
    Tier::PORTABLE.run(Plain(Within { points, scope, sink, form: PhantomData::<F> }));
}

struct Plain<'a, T, F, S>(Within<'a, T, F, S>);

impl<T: Real, F: Form, S: Sink> OnLanes for Plain<'_, T, F, S> {
    type Out = Work;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Work {
        let Within { points, scope, mut sink, .. } = self.0;
        for (row, &radius) in scope.radius.iter().enumerate() {
            let position = at(scope.first) + row;
            let (cap, columns) = (largest_sum::<F, L>(radius), scope.columns_of(position));
            sink.begin(row, 1);
            for panel in columns.start / T::LANES..columns.end.div_ceil(T::LANES) {
                let sums = settle::<T, F>(points, position, panel);
                for (lane, &sum) in sums[..T::LANES].iter().enumerate() {
                    let column = panel * T::LANES + lane;
                    if columns.contains(&column) && column != position && sum <= cap {
                        sink.take::<L>(0, column as Idx, sum); // fits: a position of a point
                    }
                }
            }
            sink.end();
        }
        Work::default()
    }
}
