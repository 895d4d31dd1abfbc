//! Parts of tiles, single pairs, and the formula for listed points.

use super::*;
use crate::arena::{Arena, Block};
use crate::index::Idx;
use crate::simd::Tier;
use crate::trials;

/// [`block_where`] against [`block_to_run`].
fn check_where<T: Exponential>(packed: &Packed<T>, tier: Tier) {
    let (run, columns) = (packed.all(), packed.model.columns());
    let panels = run.panels();
    let blocks = pack_queries_blocks::<T>(panels, columns) + block_where_blocks::<T>(panels, panels);
    let mut memory = vec![Block::splat(0x7fc0_0000); blocks];
    let mut arena = Arena::new(&mut memory);
    let queries = pack_queries(tier, &run, &mut arena).unwrap();
    let (mut whole, mut masks) =
        (vec![T::default(); panels * T::LANES * panels * T::LANES], vec![0; panels * T::LANES * panels]);
    block_to_run(&queries, &run, &vec![0.0; panels * T::LANES], &mut whole, &mut masks, &mut Default::default())
        .unwrap();
    let wanted: Vec<u32> = (0..masks.len()).map(|place| if place % 7 == 3 { 1 } else { 0 }).collect();
    let mut part = vec![T::from_f64(-7.0); whole.len()];
    let mut counters = ResidualCounters::default();
    block_where(&queries, &run, &wanted, &mut part, &mut arena, &mut counters).unwrap();
    let mut twin = vec![T::from_f64(-7.0); whole.len()];
    scalar::block_where(&queries, &run, &wanted, &mut twin);
    for (place, (part, whole)) in part.iter().zip(&whole).enumerate() {
        if place / (panels * T::LANES) < packed.len && place % (panels * T::LANES) < packed.len {
            let asked = wanted[place / T::LANES] != 0;
            assert!(part == whole || (!asked && part.to_f64() == -7.0), "{tier} {place}: {part:?} {whole:?}");
            let (own, other) = (place / (panels * T::LANES), place % (panels * T::LANES));
            let margin = packed.margins[own].to_f64() * packed.margins[other].to_f64();
            let [plain, r] = [twin[place], *part].map(|r| r.to_f64().clamp(-1.0, 1.0));
            let marked = wanted[place / T::LANES] >> (place % T::LANES) & 1 == 1;
            assert!(if marked { (plain - r).abs() <= margin } else { twin[place].to_f64() == -7.0 }, "{tier} {place}");
        }
    }
    check_counters(&queries, &run, &wanted, counters, &mut arena);
    let mut ignored = counters;
    let short = block_where(&queries, &run, &wanted[1..], &mut part, &mut arena, &mut ignored);
    assert!(matches!(short, Err(KernelError::Shape { what: "wanted", .. })));
    let (need, mut untouched) = (block_where_blocks::<T>(panels, panels), vec![T::from_f64(-7.0); whole.len()]);
    let mut few = vec![Block::default(); need - 1];
    let refused = block_where(&queries, &run, &wanted, &mut untouched, &mut Arena::new(&mut few), &mut ignored);
    assert_eq!((refused, ignored), (Err(KernelError::Scratch { need, have: need - 1 }), counters));
    assert!(untouched.iter().all(|value| value.to_f64() == -7.0));
}

/// What is filtered is at least what is wanted and at most everything; all of it or none where that is wanted; and the tiles in
/// which one of two parts is wanted are those of either of them.
fn check_counters<T: Exponential>(
    queries: &QueryTiles<'_, T>,
    run: &ResidualRun<'_, T>,
    wanted: &[u32],
    counters: ResidualCounters,
    arena: &mut Arena<'_>,
) {
    let everything = (wanted.len() * T::LANES) as u64;
    let mut filtered = |wanted: &[u32]| {
        let (mut out, mut counters) = (vec![T::default(); wanted.len() * T::LANES], ResidualCounters::default());
        block_where(queries, run, wanted, &mut out, arena, &mut counters).unwrap();
        assert_eq!(counters, ResidualCounters { filtered: counters.filtered, ..ResidualCounters::default() });
        counters.filtered
    };
    assert_eq!([filtered(&vec![0; wanted.len()]), filtered(&vec![1; wanted.len()])], [0, everything]);
    let marked = wanted.iter().map(|bits| u64::from(bits.count_ones())).sum::<u64>();
    assert!((marked..=everything).contains(&counters.filtered));
    let part = |parity: usize| -> Vec<u32> {
        wanted.iter().enumerate().map(|(place, bits)| if place % 2 == parity { *bits } else { 0 }).collect()
    };
    let parts = [part(0), part(1)].map(|wanted| filtered(&wanted));
    assert!(parts[0].max(parts[1]) <= counters.filtered && counters.filtered <= parts[0] + parts[1]);
}

/// [`listed_pairs`] against the published formula, with the rows that [`unpack_rows`] makes. Of every fifth point nothing is
/// wanted, of the others one, two, three or many pairs.
pub(super) fn check_listed<T: Exponential>(metric: &Residual, tier: Tier, step: usize) {
    let (packed, columns, len) = (Packed::<T>::new(metric), metric.columns, metric.len());
    let rows = packed.rows();
    let (mut starts, mut places) = (vec![0], Vec::<Idx>::new());
    for own in 0..len {
        let some = (0..len as Idx).rev().step_by(step).take([0, 1, 2, 3, len][own % 5]);
        places.extend(some);
        starts.push(places.len() as Idx);
    }
    let side = packed.by_rows(&rows);
    let mut out = vec![T::from_f64(-7.0); places.len()];
    let mut counters = ResidualCounters::default();
    listed_pairs(tier, &side, &side, &starts, &places, &mut out, &mut counters).unwrap();
    assert_eq!(counters, ResidualCounters { filtered: places.len() as u64, ..ResidualCounters::default() });
    let mut twin = vec![T::from_f64(-7.0); places.len()];
    scalar::listed_pairs(&side, &side, &starts, &places, &mut twin);
    for own in 0..len {
        assert_eq!(packed.gather(own).1, rows[own * columns..(own + 1) * columns]);
        for pair in starts[own] as usize..starts[own + 1] as usize {
            let other = places[pair] as usize;
            if other != own {
                let (r, rho) = (out[pair].to_f64(), published(metric, own, other));
                let margin = packed.margins[own].to_f64() * packed.margins[other].to_f64();
                assert!((r.clamp(-1.0, 1.0) - rho).abs() <= margin, "{tier} {own} {other}: {r} {rho} {margin}");
                let off = (twin[pair].to_f64().clamp(-1.0, 1.0) - r.clamp(-1.0, 1.0)).abs();
                assert!(off <= margin, "{tier} {own} {other}: {r}, off by {off}, {margin}");
            }
        }
    }
    refuses_lists(&side, tier);
    if columns > 0 {
        let coordinates = Panels::new(&packed.coordinates, metric.dim, len).unwrap();
        let refused = ResidualRows::new(packed.model, coordinates, &rows[1..], &packed.scales);
        assert!(matches!(refused, Err(KernelError::Shape { what: "v", .. })));
    }
}

fn refuses_lists<T: Exponential>(side: &ResidualRows<'_, T>, tier: Tier) {
    let len = side.len();
    let (mut one_each, mut counters) = (vec![1; len + 1], ResidualCounters::default());
    one_each[0] = 0;
    for bad in [-1, len as Idx] {
        let mut out = [T::from_f64(-7.0)];
        let refused = listed_pairs(tier, side, side, &one_each, &[bad], &mut out, &mut counters);
        assert_eq!(refused, Err(KernelError::Key { at: 0, key: bad, limit: len as Idx }));
        assert_eq!(out[0].to_f64(), -7.0);
    }
    let mut out = [T::from_f64(-7.0); 2];
    let short = listed_pairs(tier, side, side, &one_each[1..], &[0], &mut out[..1], &mut counters);
    assert!(matches!(short, Err(KernelError::Shape { what: "starts", .. })));
    let long = listed_pairs(tier, side, side, &one_each, &[0], &mut out, &mut counters);
    assert!(matches!(long, Err(KernelError::Shape { what: "out", .. })));
    let few = listed_pairs(tier, side, side, &one_each, &[0, 0], &mut out, &mut counters);
    assert_eq!(few, Err(KernelError::Value { what: "starts", at: len }), "the last is not the number of pairs");
    one_each[0] = 1;
    let late = listed_pairs(tier, side, side, &one_each, &[0], &mut out[..1], &mut counters);
    assert_eq!(late, Err(KernelError::Value { what: "starts", at: 0 }));
    assert_eq!(counters, ResidualCounters::default());
}

proptest! {
    #![proptest_config(trials::cases(24))]
    #[test]
    fn a_part_of_a_tile_is_that_of_the_whole(metric in metrics()) {
        for tier in Tier::all() {
            check_where(&Packed::<f64>::new(&metric), tier);
            check_where(&Packed::<f32>::new(&metric), tier);
        }
    }

    #[test]
    fn listed_pairs_stay_within_their_margins(metric in metrics(), step in 1usize..9) {
        for tier in Tier::all() {
            check_listed::<f64>(&metric, tier, step);
            check_listed::<f32>(&metric, tier, step);
        }
    }

    #[test]
    fn listed_rows_are_packed_as_the_plain_twin_packs_them(metric in metrics(), step in 1usize..9) {
        fn check<T: Exponential>(metric: &Residual, step: usize) {
            let (packed, columns, len) = (Packed::<T>::new(metric), metric.columns, metric.len());
            let rows = packed.rows();
            let order: Vec<Idx> = (0..len as Idx).rev().step_by(step).collect();
            let mut want = vec![T::default(); panels_len::<T>(order.len(), columns)];
            scalar::pack_listed(&rows, columns, &order, &mut want);
            for (place, &value) in want.iter().enumerate() {
                let (panel, column, lane) =
                    (place / (columns * T::LANES), place / T::LANES % columns, place % T::LANES);
                let row = order[(panel * T::LANES + lane).min(order.len() - 1)] as usize;
                assert!(value == rows[row * columns + column], "the twin at {place}");
            }
            for tier in Tier::all() {
                let mut got = vec![T::from_f64(-7.0); want.len()];
                pack_listed(tier, &rows, columns, &order, &mut got).unwrap();
                assert!(got == want, "{tier}");
                for bad in [-1, len as Idx] {
                    let refused = pack_listed(tier, &rows, columns, &[bad], &mut got[..want.len().min(columns * T::LANES)]);
                    let key = Err(KernelError::Key { at: 0, key: bad, limit: len as Idx });
                    assert!(refused == key || columns == 0);
                }
                let short = pack_listed(tier, &rows, columns, &order, &mut vec![T::default(); want.len() + 1]);
                assert!(matches!(short, Err(KernelError::Shape { what: "panels", .. })));
                assert!(got == want, "{tier}: a refusal writes nothing");
            }
        }
        check::<f64>(&metric, step);
        check::<f32>(&metric, step);
    }

    #[test]
    fn residual_variances_are_those_of_the_formula(metric in metrics()) {
        let packed = Packed::<f64>::new(&metric);
        let mut p = vec![-1.0; metric.len()];
        let diagonal = metric.covariance.variance() * 1.25;
        residual_variances(&packed.model, diagonal, &packed.v, &mut p).unwrap();
        for (i, p) in p.iter().enumerate() {
            let sum = metric.row(i).iter().fold(0.0, |sum, v| sum + v * v);
            prop_assert_eq!(*p, (diagonal - sum).max(P_FLOOR * diagonal));
        }
        let short = residual_variances(&packed.model, diagonal, &packed.v, &mut vec![0.0; metric.len() + 8]);
        let refused = matches!(short, Err(KernelError::Shape { what: "v", .. }));
        prop_assert!(refused || metric.columns == 0);
    }

    #[test]
    fn listed_points_are_settled_by_the_formula(metric in metrics(), step in 1usize..9) {
        let packed = Packed::<f64>::new(&metric);
        let rows = packed.rows();
        let points = packed.by_rows(&rows);
        let positions: Vec<Idx> = (0..metric.len() as Idx).step_by(step).collect();
        let query = PointRow { coordinates: metric.point(0), v: metric.row(0), p: metric.p[0] };
        let mut twin = vec![-9.0; positions.len()];
        scalar::settle_positions(query, &points, &metric.p, &positions, &mut twin);
        for tier in Tier::all() {
            let mut out = vec![-9.0; positions.len()];
            let mut counters = ResidualCounters::default();
            settle_positions(tier, query, &points, &metric.p, &positions, &mut out, &mut counters).unwrap();
            prop_assert_eq!(counters.settled, positions.len() as u64);
            prop_assert_eq!(&out, &twin);
            for (&position, &rho) in positions.iter().zip(&out) {
                prop_assert_eq!(rho, published(&metric, 0, position as usize));
            }
            for bad in [vec![-1], vec![metric.len() as Idx], vec![0, metric.len() as Idx - 1, 0]] {
                let mut out = vec![-9.0; bad.len()];
                let refused = settle_positions(tier, query, &points, &metric.p, &bad, &mut out, &mut counters);
                let falls = bad.len() < 3 || metric.len() > 1;
                prop_assert_eq!(matches!(refused, Err(KernelError::Key { .. })), falls);
            }
        }
    }
}

/// Rows longer than a group of columns, and with a rest.
#[test]
fn listed_pairs_of_long_rows_stay_within_their_margins() {
    let mut state = 7u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    let coordinates: Vec<f64> = (0..trials::up_to(540) * 2).map(|_| uniform()).collect();
    let covariance = Covariance::new(CovarianceKind::Matern32, 1.0).unwrap();
    let inducing: Vec<usize> = (0..trials::up_to(531)).collect();
    let metric = Residual::new(covariance, &coordinates, 2, &inducing, 1e-4, 0.0);
    for tier in Tier::all() {
        check_listed::<f64>(&metric, tier, 17);
        check_listed::<f32>(&metric, tier, 17);
    }
}

#[test]
fn rows_are_unpacked_or_refused() {
    let panels: Vec<f64> = (0..48).map(f64::from).collect(); // 2 panels of 3 columns
    let mut rows = [-1.0; 9 * 3];
    unpack_rows(&panels, 3, &mut rows).unwrap();
    assert_eq!(rows[..6], [0.0, 8.0, 16.0, 1.0, 9.0, 17.0]);
    assert_eq!(rows[24..], [24.0, 32.0, 40.0]);
    assert!(matches!(unpack_rows(&panels[1..], 3, &mut rows), Err(KernelError::Shape { what: "panels", .. })));
    assert!(matches!(unpack_rows(&panels, 3, &mut rows[1..]), Err(KernelError::Shape { what: "rows", .. })));
    unpack_rows::<f64>(&[], 0, &mut []).unwrap();
}

/// Products of their number with the lanes leave `usize`, or wrap to zero.
#[test]
fn of_no_rows_there_may_be_any_number_of_columns() {
    fn check<T: Exponential>() {
        for columns in [usize::MAX, usize::MAX / 2 + 1, usize::MAX / T::LANES + 1] {
            assert_eq!(unpack_rows::<T>(&[], columns, &mut []), Ok(()));
            scalar::pack_listed::<T>(&[], columns, &[], &mut []);
            for tier in Tier::all() {
                assert_eq!(pack_listed::<T>(tier, &[], columns, &[], &mut []), Ok(()));
                let short = pack_listed::<T>(tier, &[], columns, &[0], &mut []);
                assert!(matches!(short, Err(KernelError::Shape { what: "panels", .. })));
            }
            let mut one = [T::default()];
            let refused = unpack_rows::<T>(&[], columns, &mut one);
            assert!(matches!(refused, Err(KernelError::Shape { what: "rows", .. })));
        }
    }
    check::<f64>();
    check::<f32>();
}
