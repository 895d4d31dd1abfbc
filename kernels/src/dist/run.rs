//! The bodies with their checked arguments, as [`Tier::run`](crate::simd::Tier::run) takes them.

use core::marker::PhantomData;

use super::form::{Dot, Form};
use super::tile::{self, FromDots, Plain};
use super::{Cut, DistCounters, Rounding, lanes};
use crate::simd::{Lanes, OnLanes, Real};
use crate::view::{Panels, Rows};

/// The form and the rounding of a body, chosen when it is compiled.
#[derive(Clone, Copy)]
pub(super) struct Kind<F> {
    exact: bool,
    form: PhantomData<F>,
}

impl<F: Form> Kind<F> {
    pub(super) fn of(_form: F, rounding: Rounding) -> Self {
        Self { exact: rounding == Rounding::Published, form: PhantomData }
    }
}

pub(super) struct OneToRun<'a, T, F> {
    pub kind: Kind<F>,
    pub query: &'a [T],
    pub panels: Panels<'a, T>,
    pub out: &'a mut [T],
}

impl<T: Real, F: Form> OnLanes for OneToRun<'_, T, F> {
    type Out = ();
    #[inline(always)]
    fn run<L: Lanes>(self) {
        if !F::FUSES || self.kind.exact {
            lanes::one_to_run::<T, F, L, true>(self.query, self.panels.data(), self.out);
        } else {
            lanes::one_to_run::<T, F, L, false>(self.query, self.panels.data(), self.out);
        }
    }
}

pub(super) struct OneToRunCapped<'a, T, F> {
    pub kind: Kind<F>,
    pub query: &'a [T],
    pub panels: Panels<'a, T>,
    pub cap: T,
    pub out: &'a mut [T],
    pub counters: &'a mut DistCounters,
}

impl<T: Real, F: Form> OnLanes for OneToRunCapped<'_, T, F> {
    type Out = Cut;
    #[inline(always)]
    fn run<L: Lanes>(self) -> Cut {
        let (query, panels, cap) = (self.query, self.panels.data(), self.cap);
        if !F::FUSES || self.kind.exact {
            lanes::one_to_run_capped::<T, F, L, true>(query, panels, cap, self.out, self.counters)
        } else {
            lanes::one_to_run_capped::<T, F, L, false>(query, panels, cap, self.out, self.counters)
        }
    }
}

pub(super) struct WidenedOneToRun<'a, F> {
    pub form: PhantomData<F>,
    pub query: &'a [f64],
    pub panels: Panels<'a, f32>,
    pub out: &'a mut [f64],
}

impl<F: Form> OnLanes for WidenedOneToRun<'_, F> {
    type Out = ();
    #[inline(always)]
    fn run<L: Lanes>(self) {
        lanes::widened_one_to_run::<F, L>(self.query, self.panels.data(), self.out);
    }
}

pub(super) struct BlockToRun<'a, T, F> {
    pub kind: Kind<F>,
    pub queries: Rows<'a, T>,
    pub panels: Panels<'a, T>,
    pub packed: &'a mut [T],
    pub out: &'a mut [T],
}

impl<T: Real, F: Form> OnLanes for BlockToRun<'_, T, F> {
    type Out = ();
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let (len, dim, panels) = (self.queries.len(), self.queries.dim(), self.panels.data());
        tile::pack_queries::<T, F, L>(self.queries.data(), 0, dim, self.packed);
        if !F::FUSES || self.kind.exact {
            tile::block_to_run::<T, F, L, true>(self.packed, len, (0, dim), panels, Plain, self.out);
        } else {
            tile::block_to_run::<T, F, L, false>(self.packed, len, (0, dim), panels, Plain, self.out);
        }
    }
}

pub(super) struct SquaredNorms<'a, T> {
    pub panels: Panels<'a, T>,
    pub out: &'a mut [T],
}

impl<T: Real> OnLanes for SquaredNorms<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<L: Lanes>(self) {
        lanes::squared_norms::<T, L>(self.panels.data(), (0, self.panels.dim()), self.out);
    }
}

pub(super) struct SquaredByDots<'a, T> {
    pub queries: Rows<'a, T>,
    pub panels: Panels<'a, T>,
    pub norms: &'a [T],
    pub packed: &'a mut [T],
    pub query_norms: &'a mut [T],
    pub out: &'a mut [T],
}

impl<T: Real> OnLanes for SquaredByDots<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let (len, dim, panels) = (self.queries.len(), self.queries.dim(), self.panels.data());
        tile::pack_queries::<T, Dot, L>(self.queries.data(), 0, dim, self.packed);
        tile::squared_norms_of_rows(self.queries.data(), (0, dim), self.query_norms);
        let finish = FromDots { queries: self.query_norms, points: self.norms };
        tile::block_to_run::<T, Dot, L, false>(self.packed, len, (0, dim), panels, finish, self.out);
    }
}
