//! The plain twins of the tile: every panel is settled by the published formula. For tests and benchmarks.

use core::marker::PhantomData;

use super::lanes::{Within, Work, settle};
use super::sink::{Count, Emit, Sink};
use super::{Entry, Nearest, Scope};
use crate::dist::Form;
use crate::dist::limit::largest_sum;
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

/// What [`nearest_within`](super::nearest_within) does, for arguments that it would accept: each pair is inserted where it
/// belongs among those that its row keeps.
pub fn nearest_within<F: Form, T: Real, E: Entry>(
    points: Panels<'_, T>,
    scope: &Scope<'_>,
    cap: usize,
    out: Nearest<'_, E>,
) {
    let sink = Sorted { first: scope.first, cap, out, row: 0, form: PhantomData::<F> };
    Tier::PORTABLE.run(Plain(Within { points, scope, sink, form: PhantomData::<F> }));
}

/// The nearest of one row at a time, always in order.
struct Sorted<'a, F, E> {
    first: Idx,
    cap: usize,
    out: Nearest<'a, E>,
    row: usize,
    form: PhantomData<F>,
}

impl<F: Form, E: Entry> Sorted<'_, F, E> {
    fn position(&self) -> Idx {
        self.first + self.row as Idx // fits: the scope was checked
    }
}

impl<F: Form, E: Entry> Sink for Sorted<'_, F, E> {
    const WANTS_SUMS: bool = true;

    fn begin(&mut self, row: usize, _rows: usize) {
        self.row = row;
        let (unused, places) = (E::unused(self.position()), row * self.cap..(row + 1) * self.cap);
        self.out.lens[row] = 0;
        self.out.entries[places.clone()].fill(unused);
        self.out.distances[places].fill(f64::INFINITY);
    }

    fn add(&mut self, _slot: usize, _pairs: u32) {}

    fn take<L: Lanes>(&mut self, _slot: usize, column: Idx, sum: f64) {
        let (distance, entry) = (F::finish::<L>(sum), E::pair(self.position(), column));
        let places = self.row * self.cap..(self.row + 1) * self.cap;
        let (entries, distances) = (&mut self.out.entries[places.clone()], &mut self.out.distances[places]);
        let len = &mut self.out.lens[self.row];
        // Columns come in ascending order: among equal distances the new one is the last.
        let place = distances[..at(*len)].iter().filter(|kept| **kept <= distance).count();
        if place < self.cap {
            *len = (*len + 1).min(self.cap as Idx); // the cap is small
            entries[place..at(*len)].rotate_right(1);
            distances[place..at(*len)].rotate_right(1);
            (entries[place], distances[place]) = (entry, distance);
        }
    }

    fn end(&mut self) -> u64 {
        0
    }
}

struct Plain<'a, T, F, S>(Within<'a, T, F, S>);

impl<T: Real, F: Form, S: Sink> OnLanes for Plain<'_, T, F, S> {
    type Out = Work;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Work {
        let Within { points, scope, mut sink, .. } = self.0;
        for (row, &radius) in scope.radius.iter().enumerate() {
            let position = at(scope.first) + row;
            let (cap, columns) = (largest_sum::<F>(radius, F::finish::<L>), scope.columns_of(position));
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
