use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::tile::{NEAR_BYTES, PANEL_DIMS, Plain, QUERY_BYTES};
use super::*;
use crate::arena::Block;
use crate::index::Idx;
use crate::oracle::dist::Truth;
use crate::simd::{Lanes, OnLanes};
use crate::trials;
use crate::view::{pack_rows, panels_len};

/// Numbers of every size that a test needs, from a seed: a mix of small integers (ties), fractions and wide ranges.
fn numbers<T: Real>(seed: u64, len: usize) -> Vec<T> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 11
    };
    (0..len)
        .map(|_| {
            let fraction = next() as f64 / (1u64 << 53) as f64 - 0.5;
            T::from_f64(match (seed % 4, next() % 8) {
                (0, _) => (fraction * 16.0).round(),
                (1, _) => fraction * 4.0,
                (2, _) => 1000.0 + fraction * 1e-2,
                (_, size) => fraction * 10.0_f64.powi(size as i32 * 3 - 12),
            })
        })
        .collect()
}

/// One query, a block of queries and packed points, all from a seed.
struct Case<T> {
    dim: usize,
    len: usize,
    queries: Vec<T>,
    rows: Vec<T>,
    packed: Vec<T>,
}

impl<T: Real> Case<T> {
    fn new(seed: u64, dim: usize, len: usize, queries: usize) -> Self {
        let rows = numbers::<T>(seed, len * dim);
        let order: Vec<Idx> = (0..len as Idx).collect();
        let mut packed = vec![T::from_f64(9.5); panels_len::<T>(len, dim)];
        pack_rows(Rows::new(&rows, dim).unwrap(), &order, &mut packed).unwrap();
        let mut queries = numbers::<T>(seed.wrapping_mul(3), queries * dim);
        if seed.is_multiple_of(3) && len > 0 && queries.len() >= dim {
            queries[..dim].copy_from_slice(&rows[..dim]); // a query on top of a point
        }
        Self { dim, len, queries, rows, packed }
    }

    fn panels(&self) -> Panels<'_, T> {
        Panels::new(&self.packed, self.dim, self.len).unwrap()
    }

    fn queries(&self) -> Rows<'_, T> {
        Rows::new(&self.queries, self.dim).unwrap()
    }

    fn out<U: Real>(&self) -> Vec<U> {
        vec![U::from_f64(-7.25); lanes_len(&self.panels())] // dirty on purpose
    }

    /// Query and point in `f64`.
    fn pair(&self, query: usize, point: usize) -> (Vec<f64>, Vec<f64>) {
        let wide = |row: &[T]| row.iter().map(|value| value.to_f64()).collect();
        (wide(self.queries().row(query)), wide(&self.rows[point * self.dim..][..self.dim]))
    }

    fn block(&self, tier: Tier, form: impl Form, rounding: Rounding) -> Vec<T> {
        let (queries, panels) = (self.queries(), self.panels());
        let mut out = vec![T::from_f64(-7.25); queries.len() * lanes_len(&panels)];
        let mut memory = vec![Block::splat(0x7fc0_0001); block_to_run_blocks::<T>(queries.len(), self.dim)];
        block_to_run(tier, form, rounding, queries, panels, &mut out, &mut Arena::new(&mut memory)).unwrap();
        out
    }
}

/// Whether two slices hold the same bits; `0.0` and `-0.0` differ.
fn same<T: Real>(a: &[T], b: &[T]) -> bool {
    bytemuck::cast_slice::<T, u8>(a) == bytemuck::cast_slice::<T, u8>(b)
}

/// Asserts that each value is within the proven bound of the true sum.
fn assert_within_bound<T: Real, F: Truth>(case: &Case<T>, query: usize, out: &[T]) {
    for (point, value) in out[..case.len].iter().enumerate() {
        let (q, x) = case.pair(query, point);
        let (truth, magnitudes) = F::truth(&q, &x);
        let bound = F::relative_error::<T>(case.dim) * magnitudes + F::absolute_error::<T>(case.dim);
        let error = (value.to_f64() - truth).abs();
        // The oracle's own rounding to f64 is half a unit in the last place.
        assert!(error <= bound + truth.abs() * f64::ROUNDOFF, "dim {} {truth} {value:?} {bound}", case.dim);
    }
}

fn check_one_to_run<T: Real, F: Truth>(form: F, case: &Case<T>) {
    let (query, panels) = (case.queries().row(0), case.panels());
    let mut twin = case.out();
    scalar::one_to_run(form, query, &case.packed, &mut twin);
    for tier in Tier::all() {
        let (mut published, mut fused) = (case.out(), case.out());
        one_to_run(tier, form, Rounding::Published, query, panels, &mut published).unwrap();
        assert!(same(&published, &twin), "{tier} dim {} len {}", case.dim, case.len);
        one_to_run(tier, form, Rounding::Fused, query, panels, &mut fused).unwrap();
        assert_within_bound::<T, F>(case, 0, &fused);
        // A panel's sums do not depend on the panels beside it.
        let half = case.len / T::LANES / 2;
        let mut split: Vec<T> = case.out();
        let (front, back) = split.split_at_mut(half * T::LANES);
        for (part, first, len) in [(front, 0, half * T::LANES), (back, half, case.len - half * T::LANES)] {
            let data = panels.run(first, len.div_ceil(T::LANES));
            one_to_run(tier, form, Rounding::Fused, query, Panels::new(data, case.dim, len).unwrap(), part).unwrap();
        }
        assert!(same(&split, &fused));
    }
    assert_within_bound::<T, F>(case, 0, &twin);
    for (point, value) in twin.iter().enumerate().take(if T::IS_F64 { case.len } else { 0 }) {
        let (q, x) = case.pair(0, point);
        assert_eq!(value.to_f64().to_bits(), F::published(&q, &x).to_bits());
    }
}

fn check_capped<T: Real, F: Truth>(form: F, case: &Case<T>, share: f64) {
    let (query, panels) = (case.queries().row(0), case.panels());
    let mut whole = case.out();
    scalar::one_to_run(form, query, &case.packed, &mut whole);
    let mut ranked = whole.clone();
    ranked.sort_by(|a, b| a.partial_cmp(b).unwrap());
    // The cap is often exactly one of the sums.
    let cap = ranked.get((share * ranked.len() as f64) as usize).copied().unwrap_or(T::INFINITY);
    let (mut twin, mut twin_counters) = (case.out(), DistCounters::default());
    let twin_cut = scalar::one_to_run_capped(form, query, &case.packed, cap, &mut twin, &mut twin_counters);
    for tier in Tier::all() {
        let (mut out, mut counters) = (case.out(), DistCounters::default());
        let cut =
            one_to_run_capped(tier, form, Rounding::Published, query, panels, cap, &mut out, &mut counters).unwrap();
        assert!(same(&out, &twin), "{tier}");
        assert_eq!((cut, counters), (twin_cut, twin_counters));
        let mut fused = case.out();
        one_to_run(tier, form, Rounding::Fused, query, panels, &mut fused).unwrap();
        let mut fused_capped = case.out();
        one_to_run_capped(tier, form, Rounding::Fused, query, panels, cap, &mut fused_capped, &mut counters).unwrap();
        for (whole, capped) in [(&whole, &out), (&fused, &fused_capped)] {
            for (whole, capped) in whole.iter().zip(capped) {
                assert!(if *whole <= cap { whole == capped } else { *capped > cap && capped <= whole });
            }
        }
        assert_eq!(counters.panels_full + counters.panels_cut, 2 * (whole.len() / T::LANES) as u64);
    }
}

fn check_widened<F: Truth>(form: F, case: &Case<f32>) {
    let query: Vec<f64> = case.queries().row(0).iter().map(|&q| f64::from(q) + 1e-9).collect();
    let mut twin: Vec<f64> = case.out();
    scalar::widened_one_to_run(form, &query, &case.packed, &mut twin);
    for tier in Tier::all() {
        let mut out: Vec<f64> = case.out();
        widened_one_to_run(tier, form, &query, case.panels(), &mut out).unwrap();
        assert!(same(&out, &twin), "{tier}");
    }
    for (point, value) in twin.iter().enumerate().take(case.len) {
        assert_eq!(value.to_bits(), F::published(&query, &case.pair(0, point).1).to_bits());
    }
}

fn check_block<T: Real, F: Truth>(form: F, case: &Case<T>) {
    let queries = case.queries();
    let stride = lanes_len(&case.panels());
    let mut twin: Vec<T> = numbers(1, queries.len() * stride);
    scalar::block_to_run(form, queries.data(), case.dim, &case.packed, &mut twin);
    for tier in Tier::all() {
        assert!(same(&case.block(tier, form, Rounding::Published), &twin), "{tier}");
        let fused = case.block(tier, form, Rounding::Fused);
        for query in 0..queries.len() {
            assert_within_bound::<T, F>(case, query, &fused[query * stride..][..stride]);
        }
    }
}

fn check_by_dots<T: Real>(case: &Case<T>) {
    let (queries, panels) = (case.queries(), case.panels());
    let (mut norms, mut twin_norms) = (case.out(), case.out());
    scalar::squared_norms(&case.packed, case.dim, &mut twin_norms);
    let mut twin: Vec<T> = numbers(1, queries.len() * norms.len());
    scalar::squared_by_dots(queries.data(), case.dim, &case.packed, &twin_norms, &mut twin);
    for tier in Tier::all() {
        squared_norms(tier, panels, &mut norms).unwrap();
        assert!(same(&norms, &twin_norms), "{tier}");
        let mut out: Vec<T> = numbers(1, queries.len() * norms.len());
        let mut memory = vec![Block::splat(0x7fc0_0001); squared_by_dots_blocks::<T>(queries.len(), case.dim)];
        squared_by_dots(tier, queries, panels, &norms, &mut out, &mut Arena::new(&mut memory)).unwrap();
        for out in [&out, &twin] {
            for (at, value) in out.iter().enumerate().filter(|(at, _)| at % norms.len() < case.len) {
                let (query, point) = (at / norms.len(), at % norms.len());
                let (q, x) = case.pair(query, point);
                let norm = q.iter().fold(0.0, |sum, q| sum + q * q) + norms[point].to_f64();
                let bound = dots_error::<T>(case.dim, norm);
                let error = (value.to_f64() - SquaredEuclidean::truth(&q, &x).0).abs();
                assert!(bound.is_finite() && error <= bound && value.to_f64() >= 0.0, "{error} {bound}");
            }
        }
    }
}

/// Runs `$call` with every form.
macro_rules! every_form {
    ($form:ident => $call:expr) => {
        every_form!(SquaredEuclidean Manhattan Chebyshev Dot; $form => $call)
    };
    ($($name:ident)*; $form:ident => $call:expr) => {
        $({
            let $form = $name;
            $call;
        })*
    };
}

/// Numbers of points around the panel and around the groups that are taken in step.
fn lens<T: Real>() -> impl Iterator<Item = usize> {
    [0, 1, T::LANES - 1, T::LANES, T::LANES + 1, 2 * T::LANES, 3 * T::LANES, 5 * T::LANES - 1, 7 * T::LANES].into_iter()
}

#[test]
fn one_to_run_matches_oracle_at_every_size() {
    for (seed, dim) in trials::thin(4, [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33].into_iter().enumerate()) {
        for (more, len) in trials::thin(3, lens::<f32>().chain(lens::<f64>()).enumerate()) {
            let seed = (seed * 31 + more) as u64;
            every_form!(form => check_one_to_run(form, &Case::<f32>::new(seed, dim, len, 1)));
            check_one_to_run(SquaredEuclidean, &Case::<f64>::new(seed, dim, len, 1));
            check_one_to_run(Dot, &Case::<f64>::new(seed, dim, len, 1));
        }
    }
}

proptest! {
    #![proptest_config(trials::cases(64))]

    #[test]
    fn one_to_run_matches_oracle(seed in 0..10_000_u64, dim in 1..trials::up_to(70_usize), len in 0..trials::up_to(90_usize)) {
        every_form!(form => check_one_to_run(form, &Case::<f32>::new(seed, dim, len, 1)));
        check_one_to_run(SquaredEuclidean, &Case::<f64>::new(seed, dim, len, 1));
        check_one_to_run(Dot, &Case::<f64>::new(seed, dim, len, 1));
    }

    #[test]
    fn one_to_run_capped_matches_oracle(
        seed in 0..10_000_u64, dim in 1..90_usize, len in 0..150_usize, share in 0.0..1.1_f64,
    ) {
        let (single, double) = (Case::<f32>::new(seed, dim, len, 1), Case::<f64>::new(seed, dim, len, 1));
        check_capped(SquaredEuclidean, &single, share);
        check_capped(Chebyshev, &single, share);
        check_capped(Manhattan, &double, share);
    }

    #[test]
    fn widened_one_to_run_matches_oracle(seed in 0..10_000_u64, dim in 1..40_usize, len in 0..90_usize) {
        every_form!(form => check_widened(form, &Case::<f32>::new(seed, dim, len, 1)));
    }

    #[test]
    fn block_to_run_matches_oracle(seed in 0..10_000_u64, dim in 1..40_usize, len in 0..70_usize, queries in 0..27_usize) {
        every_form!(form => check_block(form, &Case::<f32>::new(seed, dim, len, queries)));
        check_block(SquaredEuclidean, &Case::<f64>::new(seed, dim, len, queries));
        check_block(Dot, &Case::<f64>::new(seed, dim, len, queries));
    }

    #[test]
    fn squared_by_dots_matches_oracle(seed in 0..10_000_u64, dim in 1..70_usize, len in 1..50_usize, queries in 0..14_usize) {
        check_by_dots(&Case::<f32>::new(seed, dim, len, queries));
        check_by_dots(&Case::<f64>::new(seed, dim, len, queries));
    }
}

#[test]
fn a_block_beyond_each_cache_block_is_the_same() {
    let many = PANEL_DIMS * 3 / 2;
    let (queries, near) = (QUERY_BYTES / (many * size_of::<f32>()), NEAR_BYTES / (lanes::FEW_DIMS * size_of::<f32>()));
    let shapes = [
        (PANEL_DIMS + 1, 1, 2),
        (PANEL_DIMS + 1, 9, 13),
        (PANEL_DIMS - 1, 17, 7),
        (PANEL_DIMS, 16, 6),
        (many, 33, queries + 5),
        (3, 2 * near + 52, 5),
    ];
    for (dim, len, queries) in trials::thin(6, shapes) {
        check_block(SquaredEuclidean, &Case::<f32>::new(1, dim, len, queries));
        check_block(Dot, &Case::<f64>::new(1, dim, len, queries));
        check_by_dots(&Case::<f32>::new(1, dim, len, queries));
    }
}

#[test]
fn more_panels_than_a_capped_batch() {
    for seed in trials::thin(4, 0..4) {
        let case = Case::<f64>::new(seed, 35, 64 * f64::LANES + 83, 1);
        for share in trials::thin(3, [0.01, 0.0, 0.3]) {
            check_capped(Manhattan, &case, share);
        }
    }
}

#[test]
fn tiles_of_every_shape_give_the_same_bits_on_every_tier() {
    struct Tiles<'a, const ROWS: usize>(&'a Case<f32>, &'a mut [f32]);
    impl<const ROWS: usize> OnLanes for Tiles<'_, ROWS> {
        type Out = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            let (queries, dim) = (self.0.queries(), self.0.dim);
            let mut packed = vec![f32::NAN; tile::packed_len(queries.len(), dim)];
            tile::pack_tiles::<f32, ROWS>(queries.data(), 0, dim, &mut packed);
            let panels = &self.0.packed;
            tile::tiles::<f32, Manhattan, L, true, ROWS>(&packed, queries.len(), (0, dim), panels, Plain, self.1);
        }
    }
    for (dim, queries) in trials::thin(4, [(7, 12), (2, 13), (5, 1), (PANEL_DIMS + 2, 25)]) {
        let case = Case::<f32>::new(5, dim, 40, queries);
        let mut twin = vec![0.0; queries * 48];
        scalar::block_to_run(Manhattan, &case.queries, dim, &case.packed, &mut twin);
        for tier in Tier::all() {
            let mut out = [(); 4].map(|()| vec![-1.0; queries * 48]);
            tier.run(Tiles::<2>(&case, &mut out[0]));
            tier.run(Tiles::<4>(&case, &mut out[1]));
            tier.run(Tiles::<6>(&case, &mut out[2]));
            tier.run(Tiles::<12>(&case, &mut out[3]));
            assert!(out.iter().all(|out| same(out, &twin)), "{tier} {dim} {queries}");
        }
    }
}

#[test]
fn a_cut_says_how_deep_the_last_panel_went() {
    let mut points = vec![0.0; 40 * 2 * f64::LANES];
    points[17 * f64::LANES..18 * f64::LANES].fill(10.0); // the first panel is far in dimension 17
    points[(40 + 35) * f64::LANES..(40 + 36) * f64::LANES].fill(10.0); // the second in dimension 35
    let panels = Panels::new(&points, 40, 2 * f64::LANES).unwrap();
    for tier in Tier::all() {
        let run = |cap: f64| {
            let (mut out, mut counters) = ([-1.0; 2 * f64::LANES], DistCounters::default());
            let form = Manhattan;
            let cut =
                one_to_run_capped(tier, form, Rounding::Published, &[0.0; 40], panels, cap, &mut out, &mut counters);
            (cut.unwrap(), counters.panels_full, counters.panels_cut, out[0], out[f64::LANES])
        };
        assert_eq!(run(-1.0), (Cut::At(16), 0, 2, 0.0, 0.0));
        assert_eq!(run(9.0), (Cut::Full, 1, 1, 10.0, 10.0), "the last dimensions are never cut");
        assert_eq!(run(10.0), (Cut::Full, 2, 0, 10.0, 10.0), "a lane at the cap is not above it");
    }
}

#[test]
fn what_stands_in_padding_lanes_does_not_matter() {
    for tier in Tier::all() {
        let mut case = Case::<f32>::new(1, 40, 17, 7);
        let clean = case.block(tier, SquaredEuclidean, Rounding::Fused);
        for (at, value) in case.packed[40 * f32::LANES..].iter_mut().enumerate() {
            if at % f32::LANES > 0 {
                *value = f32::NAN;
            }
        }
        let dirty = case.block(tier, SquaredEuclidean, Rounding::Fused);
        for (clean, dirty) in clean.chunks_exact(2 * f32::LANES).zip(dirty.chunks_exact(2 * f32::LANES)) {
            assert_eq!(clean[..17], dirty[..17]);
        }
        let (mut out, mut counters) = (case.out::<f32>(), DistCounters::default());
        let (query, panels) = (&case.queries[..40], case.panels());
        let (form, rounding) = (SquaredEuclidean, Rounding::Fused);
        let cut = one_to_run_capped(tier, form, rounding, query, panels, -1.0, &mut out, &mut counters);
        assert_eq!(cut, Ok(Cut::At(16)));
    }
}

#[test]
fn values_out_of_range_overflow_to_infinity() {
    let (query, points) = ([2e38_f32; 20], [-2e38_f32; 20 * f32::LANES]);
    let panels = Panels::new(&points, 20, f32::LANES).unwrap();
    for tier in Tier::all() {
        let (mut out, mut wide) = ([0.0; f32::LANES], [0.0; f32::LANES]);
        one_to_run(tier, SquaredEuclidean, Rounding::Fused, &query, panels, &mut out).unwrap();
        assert_eq!(out, [f32::INFINITY; f32::LANES]);
        widened_one_to_run(tier, SquaredEuclidean, &query.map(f64::from), panels, &mut wide).unwrap();
        assert_eq!(wide[3], SquaredEuclidean::published(&query.map(f64::from), &[f64::from(-2e38_f32); 20]));
    }
    assert_eq!(dots_error::<f32>(3, 1e38), f64::INFINITY);
    assert_eq!(dots_error::<f32>(1 << 23, 1.0), f64::INFINITY);
    assert!(dots_error::<f32>(3, 1.0) < 1e-6);
}

#[test]
fn wrong_arguments_are_refused_and_nothing_is_written() {
    let (query, points) = ([1.0_f32; 3], [2.0_f32; 3 * f32::LANES]);
    let (panels, queries) = (Panels::new(&points, 3, 5).unwrap(), Rows::new(&query, 3).unwrap());
    let (tier, form, rounding) = (Tier::detect(), SquaredEuclidean, Rounding::Fused);
    let shape = |what, want, got| Some(KernelError::Shape { what, want, got });
    let (mut out, mut short, mut wide) = ([9.0_f32; 16], [9.0_f32; 5], [9.0_f64; 16]);
    let mut counters = DistCounters::default();
    assert_eq!(one_to_run(tier, form, rounding, &query[1..], panels, &mut out).err(), shape("query", 3, 2));
    assert_eq!(one_to_run(tier, form, rounding, &query, panels, &mut short).err(), shape("out", 16, 5));
    let mut capped = |query, cap, out: &mut [f32]| {
        one_to_run_capped(tier, form, rounding, query, panels, cap, out, &mut counters).err()
    };
    assert_eq!(capped(&query[1..], 1.0, &mut out), shape("query", 3, 2));
    assert_eq!(capped(&query, 1.0, &mut short), shape("out", 16, 5));
    assert_eq!(capped(&query, f32::NAN, &mut out), Some(KernelError::Value { what: "cap", at: 0 }));
    assert_eq!(widened_one_to_run(tier, form, &[1.0; 2], panels, &mut wide).err(), shape("query", 3, 2));
    assert_eq!(widened_one_to_run(tier, form, &[1.0; 3], panels, &mut wide[1..]).err(), shape("out", 16, 15));
    assert_eq!(squared_norms(tier, panels, &mut short).err(), shape("out", 16, 5));
    let block = |queries, memory: &mut [Block], out: &mut [f32]| {
        block_to_run(tier, form, rounding, queries, panels, out, &mut Arena::new(memory)).err()
    };
    let need = block_to_run_blocks::<f32>(1, 3);
    let mut memory = vec![Block::splat(0); need];
    assert_eq!(block(Rows::new(&query[1..], 2).unwrap(), &mut memory, &mut out), shape("queries", 3, 2));
    assert_eq!(block(queries, &mut memory, &mut short), shape("out", 16, 5));
    let scratch = Some(KernelError::Scratch { need, have: need - 1 });
    assert_eq!(block(queries, &mut memory[1..], &mut out), scratch);
    let dots = |norms: &[f32], blocks: usize, out: &mut [f32]| {
        let mut memory = vec![Block::splat(0); blocks];
        squared_by_dots(tier, queries, panels, norms, out, &mut Arena::new(&mut memory)).err()
    };
    let need = squared_by_dots_blocks::<f32>(1, 3);
    assert_eq!(dots(&[1.0; 5], need, &mut out), shape("norms", 16, 5));
    assert_eq!(dots(&[1.0; 16], need, &mut short), shape("out", 16, 5));
    assert!(matches!(dots(&[1.0; 16], need - 1, &mut out), Some(KernelError::Scratch { .. })));
    assert_eq!((out, short, wide), ([9.0; 16], [9.0; 5], [9.0; 16]));
    assert_eq!(counters, DistCounters::default());
}

/// Products of the dimension with a number of lanes leave `usize`, or wrap to zero.
#[test]
fn of_no_points_the_dimension_may_be_anything() {
    fn check<T: Real>(tier: Tier, dim: usize) {
        let (queries, panels) = (Rows::<T>::new(&[], dim).unwrap(), Panels::new(&[], dim, 0).unwrap());
        let (form, rounding, arena) = (SquaredEuclidean, Rounding::Fused, &mut Arena::new(&mut []));
        assert_eq!(squared_norms(tier, panels, &mut []), Ok(()));
        assert_eq!(squared_by_dots(tier, queries, panels, &[], &mut [], arena), Ok(()));
        assert_eq!(block_to_run(tier, form, rounding, queries, panels, &mut [], arena), Ok(()));
        assert_eq!(block_to_run(tier, Dot, Rounding::Published, queries, panels, &mut [], arena), Ok(()));
        let refused = one_to_run(tier, form, rounding, &[], panels, &mut []);
        assert_eq!(refused, Err(KernelError::Shape { what: "query", want: dim, got: 0 }));
        assert_eq!(dots_error::<T>(dim, 1.0) == f64::INFINITY, dim as f64 * T::ROUNDOFF > 0.2);
        let most = [Manhattan::relative_error::<T>(dim), Dot::relative_error::<T>(dim)];
        assert!(most.iter().all(|&most| most <= SquaredEuclidean::relative_error::<T>(dim)), "{most:?}");
    }
    for dim in [1, 4, usize::MAX].into_iter().chain((1..6).map(|bit| 1 << (usize::BITS - bit))) {
        for tier in Tier::all() {
            check::<f32>(tier, dim);
            check::<f64>(tier, dim);
        }
    }
}

#[test]
fn counters_add_up() {
    let mut sum = DistCounters { panels_full: 1, panels_cut: 2 };
    sum.merge(&DistCounters { panels_full: 10, panels_cut: 20 });
    assert_eq!(sum, DistCounters { panels_full: 11, panels_cut: 22 });
}
