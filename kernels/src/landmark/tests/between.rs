//! Bounds from landmarks alone: never below the truth, near their twin, and what they refuse.

use proptest::prelude::*;

use super::*;
use crate::index::Idx;
use crate::{oracle, trials};

/// A cluster as combinations of its landmarks.
struct Mixed {
    /// Points in the order of the members.
    members: Vec<usize>,
    count: usize,
    weights: Vec<f32>,
    extents: [Vec<f32>; 3],
    errors: Vec<f32>,
}

impl Mixed {
    fn combined(&self) -> Combined<'_> {
        let [sums, spans, tails] = &self.extents;
        Combined::new(&self.weights, [sums, spans, tails], self.members.len(), self.count).unwrap()
    }

    fn terms(&self, ranks: &[f32]) -> Vec<PanelTerms> {
        let mut terms = vec![PanelTerms::default(); self.combined().panels()];
        panel_terms(&self.combined(), &self.errors, ranks, &mut terms).unwrap();
        terms
    }

    fn side<'a>(&'a self, ranks: &'a [f32], least: &'a [f32], terms: &'a [PanelTerms]) -> BetweenSide<'a> {
        BetweenSide { members: self.combined(), errors: &self.errors, ranks, least, terms }
    }
}

/// Combines a cluster; the tile of landmarks has errors of `rough` or more.
fn mixed(setup: &Setup, members: &[usize], limits: Limits<'_>, rough: f64) -> Mixed {
    let cluster = setup.cluster(members, limits);
    let (len, count) = (members.len(), cluster.frame().count());
    let mut order = cluster.landmarks[..count].to_vec();
    order.extend((0..len as Idx).filter(|member| !cluster.landmarks[..count].contains(member)).rev());
    let rho: Vec<f64> =
        members.iter().flat_map(|&i| members.iter().map(move |&j| (i, j))).map(|(i, j)| setup.rho(i, j)).collect();
    let errors: Vec<f64> = members.iter().map(|&i| setup.errors[i]).collect();
    let lanes = panels_len::<f32>(len, 1);
    let (mut weights, mut extents) = (vec![f32::NAN; count * lanes], [(); 3].map(|()| vec![f32::NAN; lanes]));
    let [sums, spans, tails] = &mut extents;
    let mut memory = CombinedMemory { weights: &mut weights, sums, spans, tails };
    let chosen = ChosenCluster {
        frame: cluster.frame(),
        factor: &cluster.factor,
        coordinates: &cluster.coordinates,
        rho: &rho,
        errors: &errors,
    };
    combine(&chosen, &order, &mut memory).unwrap();
    let members: Vec<usize> = order.iter().map(|&place| members[at(place)]).collect();
    let own: Vec<f64> = members.iter().map(|&i| setup.errors[i]).collect();
    let tile: Vec<f64> = own.iter().map(|error| error.max(rough)).collect();
    let mut mixed = Mixed { members, count, weights, extents, errors: vec![f32::NAN; lanes] };
    let mut errors = core::mem::take(&mut mixed.errors);
    combination_errors(&mixed.combined(), &own, &tile, &mut errors).unwrap();
    Mixed { errors, ..mixed }
}

/// Correlations of the landmarks of two clusters, as far off as the errors allow, in rows of `stride`.
fn table<T: Real>(setup: &Setup, one: &Mixed, other: &Mixed, stride: usize, rough: f64) -> Vec<T> {
    let mut table = vec![T::INFINITY; one.count * stride];
    let error = |i: usize| setup.errors[i].max(rough);
    for (s, &i) in one.members[..one.count].iter().enumerate() {
        for (t, &j) in other.members[..other.count].iter().enumerate() {
            // What rounding to T moves stays within the errors where these are rough.
            let more = (error(i) * error(j) - setup.errors[i] * setup.errors[j]) * 0.99;
            let rho = setup.rho(i, j) + if (s * 3 + t) % 5 < 2 { -more } else { more };
            table[s * stride + t] = T::from_f64(rho);
        }
    }
    table
}

/// In which order points come.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// All at once.
    Together,
    /// One at a time, whatever their places.
    Mixed,
    /// Three at a time, by their places.
    Sorted,
}

fn check_tables<T: Exponential>(setup: &Setup, tier: Tier, halves: &[Mixed; 2], rough: f64, order: Order) {
    let [one, other] = halves;
    let stride = other.count + 3;
    let elements = table::<T>(setup, one, other, stride, rough);
    let lanes = [one, other].map(|mixed| panels_len::<f32>(mixed.members.len(), 1));
    let rank = |i: usize| match order {
        Order::Together => 0.0,
        Order::Mixed => ((i * 37) % 101) as f32,
        Order::Sorted => (i / 3) as f32,
    };
    let least_of = |i: usize| 0.15 * (i % 7) as f32;
    let array = |mixed: &Mixed, of: &dyn Fn(usize) -> f32, lanes: usize| {
        let mut all: Vec<f32> = mixed.members.iter().map(|&i| of(i)).collect();
        all.resize(lanes, f32::NAN);
        all
    };
    let ranks = [array(one, &rank, lanes[0]), array(other, &rank, lanes[1])];
    let least = [array(one, &least_of, lanes[0]), array(other, &least_of, lanes[1])];
    let terms = [one.terms(&ranks[0]), other.terms(&ranks[1])];
    let (rows, columns) = (one.side(&ranks[0], &least[0], &terms[0]), other.side(&ranks[1], &least[1], &terms[1]));
    let panels = columns.members.panels();
    let mut masks = vec![u32::MAX; one.members.len() * panels];
    let mut memory = vec![Block::splat(0xffff_ffff); bounds_between_blocks(one.count)];
    let table = CrossTable { rho: &elements, stride };
    let (arena, mut counters) = (&mut Arena::new(&mut memory), LandmarkCounters::default());
    let kept = bounds_between(tier, &rows, &columns, table, &mut masks, arena, &mut counters).unwrap();
    assert_eq!(kept, masks.iter().map(|mask| u64::from(mask.count_ones())).sum::<u64>());
    check_counters(&rows, &columns, &masks, &counters);
    let mut twin_masks = vec![u32::MAX; masks.len()];
    let twin_kept = scalar::bounds_between(&rows, &columns, table, &mut twin_masks);
    assert_eq!(twin_kept, twin_masks.iter().map(|mask| u64::from(mask.count_ones())).sum::<u64>());
    let in_use = |panel: usize| u32::MAX >> (32 - (other.members.len() - panel * 16).min(16));
    assert!(masks.iter().enumerate().all(|(place, mask)| mask & !in_use(place % panels) == 0), "padding is no pair");
    for (row, &i) in one.members.iter().enumerate() {
        for (column, &j) in other.members.iter().enumerate() {
            let bit_of = |masks: &[u32]| masks[row * panels + column / 16] >> (column % 16) & 1 == 1;
            let (bit, twin_bit) = (bit_of(&masks), bit_of(&twin_masks));
            let for_row = if rank(j) <= rank(i) { least_of(i) } else { f32::INFINITY };
            let for_column = if rank(i) <= rank(j) { least_of(j) } else { f32::INFINITY };
            let least = f64::from(for_row.min(for_column));
            let (rho, ratio) = (published(&setup.metric, i, j), setup.rho(i, j));
            let wanted = rho.abs() >= least || ratio.abs() >= least;
            assert!(!wanted || (bit && twin_bit), "{tier} {i} {j}: {rho}, {ratio} is lost");
            let twin = scalar::bound_between(&rows, row, &columns, column, table);
            let sums = f64::from(rows.members.extent(row)[0] * columns.members.extent(column)[0]);
            let slack = 1e-4 * (1.0 + twin + sums);
            // Where the two differ, the bound is near to what is wanted.
            assert!(bit == twin_bit || (twin - least).abs() <= slack, "{tier}: {twin} {least}");
        }
    }
}

/// What the counters say of the masks: a panel is multiplied where, and only where, a pair of panels is not ruled out, and where
/// one is ruled out, no pair is marked.
fn check_counters(rows: &BetweenSide<'_>, columns: &BetweenSide<'_>, masks: &[u32], counters: &LandmarkCounters) {
    let (row_panels, panels) = (rows.members.panels() as u64, columns.members.panels());
    let &LandmarkCounters { panel_pairs_bounded, panel_pairs_pruned, panels_multiplied, .. } = counters;
    assert_eq!(panel_pairs_bounded, row_panels * panels as u64);
    let left = panel_pairs_bounded - panel_pairs_pruned;
    assert!(panels_multiplied <= left && left <= panels_multiplied * row_panels, "{counters:?}");
    let marked = masks.chunks(16 * panels.max(1)).map(|group| {
        (0..panels).filter(|panel| group.iter().skip(*panel).step_by(panels).any(|mask| *mask != 0)).count()
    });
    assert!(marked.sum::<usize>() as u64 <= left, "{counters:?}");
    let of_between =
        LandmarkCounters { panel_pairs_bounded, panel_pairs_pruned, panels_multiplied, ..Default::default() };
    assert_eq!(*counters, of_between, "pairs of points are the caller's to count");
}

fn check(metric: Residual, limits: Limits<'_>, defect: f64) {
    let half = metric.len() / 2;
    let (one, other): (Vec<usize>, Vec<usize>) = (0..metric.len()).partition(|i| *i < half);
    for tier in Tier::all() {
        let setup = Setup::new(metric.clone(), tier, defect);
        for rough in trials::thin(2, [0.0, 0.03]) {
            let halves = [&one, &other].map(|members| mixed(&setup, members, limits, rough));
            for order in [Order::Together, Order::Mixed, Order::Sorted] {
                check_tables::<f64>(&setup, tier, &halves, rough, order);
            }
            if rough > 0.0 {
                check_tables::<f32>(&setup, tier, &halves, rough, Order::Mixed);
                check_tables::<f32>(&setup, tier, &halves, rough, Order::Sorted);
            }
        }
    }
}

proptest! {
    #![proptest_config(trials::cases(96))]
    #[test]
    fn no_pair_is_lost_between_clusters(
        metric in metrics(),
        count in prop_oneof![Just(0usize), Just(1), 2..12usize, Just(40)],
        pivot in prop_oneof![Just(0.0), Just(1e-3), Just(0.1)],
        defect in prop_oneof![Just(0.0), Just(1e-14)],
    ) {
        let defect = defect * metric.covariance.variance();
        check(metric, Limits { count, pivot, weights: &[] }, defect);
    }

    #[test]
    fn no_pair_is_lost_where_everything_is_smooth(
        noise in proptest::collection::vec(-1.0..1.0f64, 160),
        kind in 0..4usize,
        scale in prop_oneof![Just(0.01), Just(0.1), Just(0.4), Just(1.0)],
    ) {
        let mut coordinates: Vec<f64> = noise.iter().map(|z| z * scale).collect();
        coordinates.truncate(2 * if cfg!(miri) { 20 } else { 80 });
        let covariance = Covariance::new(CovarianceKind::ALL[kind], 1.0).unwrap();
        let inducing: Vec<usize> = (0..10).map(|i| i * coordinates.len() / 24).collect();
        check(Residual::new(covariance, &coordinates, 2, &inducing, 1e-6, 0.0), Limits { count: 16, pivot: 1e-3, weights: &[] }, 0.0);
    }
}

fn setup(len: usize) -> Setup {
    let noise: Vec<f64> = (0..3 * len).map(|i| ((i * 7919) % 1009) as f64 / 504.5 - 1.0).collect();
    Setup::new(hard_metric((3, 2, len, len / 3), 1.0, 1.0, 1e-6, 0.0, &noise), Tier::detect(), 0.0)
}

#[test]
fn rests_are_those_of_the_oracle() {
    let setup = setup(trials::up_to(60));
    let members: Vec<usize> = (0..setup.metric.len() / 2).collect();
    for count in trials::thin(2, [1, 2, 5, 9]) {
        let mixed = mixed(&setup, &members, Limits { count, pivot: 0.05, weights: &[] }, 0.0);
        let landmarks = &mixed.members[..mixed.count];
        let matrix: Vec<f64> = landmarks
            .iter()
            .flat_map(|&i| landmarks.iter().map(move |&j| (i, j)))
            .map(|(i, j)| setup.rho(i, j))
            .collect();
        for (place, &i) in mixed.members.iter().enumerate() {
            let [sum, span, tail] = mixed.combined().extent(place).map(f64::from);
            if place < mixed.count {
                assert_eq!((sum as f32, tail), (1f32.next_up(), f64::from(0f32.next_up())), "a landmark is itself");
                continue;
            }
            let rho: Vec<f64> = landmarks.iter().map(|&l| setup.rho(l, i)).collect();
            let square = oracle::landmark::square_tail(&matrix, &rho).max(0.0);
            assert!(tail * tail >= square - 1e-12 && tail * tail <= square + 1e-3, "{place}: {tail} {square}");
            let cosine = if tail * tail > 0.5 { 1.0 } else { (1.0 - tail * tail).max(0.0).sqrt() };
            assert!((span - cosine).abs() <= 1e-5, "{place}: {span} {tail}");
        }
    }
}

/// A cluster of one landmark and a point at this angle from it.
fn two_at(degrees: f64) -> Mixed {
    let rho = [1.0, degrees.to_radians().cos(), degrees.to_radians().cos(), 1.0];
    let (mut landmarks, mut factor, mut coordinates) = ([-5; 1], [-5.0; 1], [-5.0; 2]);
    let mut extents = [Extent { span: 0.0, tail: 0.0, slack: 0.0 }; 2];
    let chosen =
        Chosen { landmarks: &mut landmarks, factor: &mut factor, coordinates: &mut coordinates, extents: &mut extents };
    let column = |member, out: &mut [f64]| {
        out.copy_from_slice(&rho[2 * at(member)..][..2]);
        Ok(())
    };
    let mut memory = vec![Block::default(); choose_blocks(2, 1)];
    let (limits, mut counters) = (Limits { count: 1, ..Limits::default() }, LandmarkCounters::default());
    let frame = choose(limits, &[0.0; 2], column, chosen, &mut Arena::new(&mut memory), &mut counters).unwrap();
    let (mut weights, mut extents) = (vec![f32::NAN; 16], [(); 3].map(|()| vec![f32::NAN; 16]));
    let [sums, spans, tails] = &mut extents;
    let mut memory = CombinedMemory { weights: &mut weights, sums, spans, tails };
    let chosen =
        ChosenCluster { frame: &frame, factor: &factor, coordinates: &coordinates, rho: &rho, errors: &[0.0; 2] };
    combine(&chosen, &[0, 1], &mut memory).unwrap();
    Mixed { members: vec![0, 1], count: 1, weights, extents, errors: vec![0.0; 16] }
}

/// Four vectors in one plane: two landmarks, and for each a point that leans towards the other. The bound is attained where the landmarks
/// are orthogonal and the angles no more than a right one together.
#[test]
fn points_that_lean_towards_each_other_are_never_lost() {
    let degrees = [0.0, 1e-3, 5.0, 20.0, 44.0, 45.0, 46.0, 60.0, 85.0, 90.0, 120.0];
    for (a, b) in degrees.iter().flat_map(|&a| degrees.map(|b| (a, b))) {
        for between in [90.0, 70.0, 30.0, 91.0f64] {
            let (one, other) = (two_at(a), two_at(b));
            let truth = (between - a - b).to_radians().cos().abs();
            let rho = [between.to_radians().cos()];
            for least in [truth * (1.0 - 1e-6), 2.0] {
                let (ranks, least) = ([0.0; 16], [least as f32; 16]);
                let terms = [one.terms(&ranks), other.terms(&ranks)];
                let rows = one.side(&ranks, &least, &terms[0]);
                let columns = other.side(&ranks, &least, &terms[1]);
                let table = CrossTable { rho: &rho, stride: 1 };
                let bound = scalar::bound_between(&rows, 1, &columns, 1, table);
                assert!(bound >= truth * (1.0 - 1e-12), "{a} {b} {between}: {bound} below {truth}");
                let tight = between == 90.0 && a < 45.0 && b < 45.0;
                assert!(!tight || bound <= truth + 1e-4, "{a} {b}: {bound} above {truth}");
                for tier in Tier::all() {
                    let (mut masks, mut memory) = ([0; 2], vec![Block::default(); bounds_between_blocks(1)]);
                    let (arena, counters) = (&mut Arena::new(&mut memory), &mut LandmarkCounters::default());
                    bounds_between(tier, &rows, &columns, table, &mut masks, arena, counters).unwrap();
                    let kept = masks[1] & 2 != 0;
                    assert!(kept == (f64::from(least[0]) <= bound), "{tier} {a} {b} {between}: {bound} {}", least[0]);
                }
            }
        }
    }
}

#[test]
fn sizes_around_a_panel_and_clusters_without_landmarks() {
    for len in trials::thin(2, [1usize, 15, 16, 17, 33]) {
        let setup = setup(len + 3);
        for count in [0, 3] {
            let members: Vec<usize> = (0..len).collect();
            let halves = [
                mixed(&setup, &members, Limits { count, pivot: 0.0, weights: &[] }, 0.0),
                mixed(&setup, &[len, len + 1, len + 2], Limits { count: 2, pivot: 0.0, weights: &[] }, 0.0),
            ];
            for tier in Tier::all() {
                check_tables::<f64>(&setup, tier, &halves, 0.0, Order::Mixed);
                check_tables::<f64>(&setup, tier, &halves, 0.0, Order::Sorted);
                check_tables::<f64>(&setup, tier, &halves, 0.0, Order::Together);
            }
        }
    }
}

#[test]
fn elements_that_are_not_finite_rule_nothing_out() {
    let setup = setup(24);
    let members: Vec<usize> = (0..24).collect();
    let limits = Limits { count: 4, pivot: 0.0, weights: &[] };
    let halves = [&members[..12], &members[12..]].map(|members| mixed(&setup, members, limits, 0.0));
    let (ranks, least) = ([0.0; 16], [1.0; 16]);
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut rho = vec![0.0; 16];
        rho[6] = bad;
        let terms = [halves[0].terms(&ranks), halves[1].terms(&ranks)];
        let (rows, columns) = (halves[0].side(&ranks, &least, &terms[0]), halves[1].side(&ranks, &least, &terms[1]));
        let mut masks = vec![0; 12];
        let mut memory = vec![Block::default(); bounds_between_blocks(4)];
        let table = CrossTable { rho: &rho, stride: 4 };
        for tier in Tier::all() {
            let (arena, counters) = (&mut Arena::new(&mut memory), &mut LandmarkCounters::default());
            let kept = bounds_between(tier, &rows, &columns, table, &mut masks, arena, counters);
            assert_eq!((kept, counters.panel_pairs_pruned), (Ok(144), 0), "{tier}: {bad}");
        }
        assert_eq!(scalar::bounds_between(&rows, &columns, table, &mut masks), 144, "{bad}");
    }
}

#[test]
fn wrong_clusters_are_not_combined() {
    let setup = setup(4);
    let cluster = setup.cluster(&[0, 1, 2, 3], Limits { count: 3, pivot: 0.0, weights: &[] });
    let (rho, errors) = ([0.5; 16], [0.0; 4]);
    let frame = cluster.frame();
    let (factor, coordinates) = (&cluster.factor[..], &cluster.coordinates[..]);
    let chosen = ChosenCluster { frame, factor, coordinates, rho: &rho, errors: &errors };
    let combine_into = |chosen: &ChosenCluster<'_>, order: &[Idx], lens: [usize; 4]| {
        let [mut weights, mut sums, mut spans, mut tails] = lens.map(|len| vec![7.0f32; len]);
        let mut memory =
            CombinedMemory { weights: &mut weights, sums: &mut sums, spans: &mut spans, tails: &mut tails };
        let refused = combine(chosen, order, &mut memory);
        assert!(refused.is_ok() || [weights, sums, spans, tails].iter().flatten().all(|value| *value == 7.0));
        refused
    };
    let (right, lens) = ([0, 1, 2, 3], [48, 16, 16, 16]);
    assert!(combine_into(&chosen, &right, lens).is_ok());
    let shape = |what| move |error: KernelError| matches!(error, KernelError::Shape { what: got, .. } if got == what);
    assert!(combine_into(&chosen, &right[..2], lens).is_err_and(shape("order")));
    let bad = ChosenCluster { factor: &factor[1..], ..chosen };
    assert!(combine_into(&bad, &right, lens).is_err_and(shape("factor")));
    let bad = ChosenCluster { coordinates: &coordinates[1..], ..chosen };
    assert!(combine_into(&bad, &right, lens).is_err_and(shape("coordinates")));
    assert!(combine_into(&ChosenCluster { rho: &rho[1..], ..chosen }, &right, lens).is_err_and(shape("rho")));
    assert!(combine_into(&ChosenCluster { errors: &errors[1..], ..chosen }, &right, lens).is_err_and(shape("errors")));
    for (place, what) in ["weights", "sums", "spans", "tails"].into_iter().enumerate() {
        let mut lens = lens;
        lens[place] -= 1;
        assert!(combine_into(&chosen, &right, lens).is_err_and(shape(what)));
    }
    for (bad, at) in [([0, 4, 2, 3], 1), ([0, 1, 2, -1], 3)] {
        let refused = combine_into(&chosen, &bad, lens);
        assert_eq!(refused, Err(KernelError::Key { at, key: bad[at as usize], limit: 4 }));
    }
}

#[test]
fn wrong_shapes_are_refused_and_nothing_is_written() {
    let setup = setup(20);
    let limits = Limits { count: 3, pivot: 0.0, weights: &[] };
    let [one, other] = [(0..10), (10..20)].map(|range| mixed(&setup, &range.collect::<Vec<_>>(), limits, 0.0));
    let (ranks, least, rho) = ([0.0; 16], [0.5; 16], [0.5; 9]);
    let terms = [one.terms(&ranks), other.terms(&ranks)];
    let (rows, columns) = (one.side(&ranks, &least, &terms[0]), other.side(&ranks, &least, &terms[1]));
    let tier = Tier::detect();
    let mut memory = vec![Block::default(); bounds_between_blocks(3)];
    let mut ask = |rows: BetweenSide<'_>, rho: &[f64], stride, masks: &mut [u32], blocks: usize| {
        let (arena, table) = (&mut Arena::new(&mut memory[..blocks]), CrossTable { rho, stride });
        let mut counters = LandmarkCounters::default();
        let answer = bounds_between(tier, &rows, &columns, table, masks, arena, &mut counters);
        assert_eq!(counters.panel_pairs_bounded, u64::from(answer.is_ok()), "a refusal counts nothing");
        answer
    };
    let (blocks, mut masks) = (bounds_between_blocks(3), [77; 10]);
    let shape = |what| move |error: KernelError| matches!(error, KernelError::Shape { what: got, .. } if got == what);
    let short = BetweenSide { least: &least[1..], ..rows };
    assert!(ask(short, &rho, 3, &mut masks, blocks).is_err_and(shape("least of a side")));
    let short = BetweenSide { ranks: &ranks[1..], ..rows };
    assert!(ask(short, &rho, 3, &mut masks, blocks).is_err_and(shape("ranks of a side")));
    let short = BetweenSide { errors: &one.errors[1..], ..rows };
    assert!(ask(short, &rho, 3, &mut masks, blocks).is_err_and(shape("errors of a side")));
    let short = BetweenSide { terms: &[], ..rows };
    assert!(ask(short, &rho, 3, &mut masks, blocks).is_err_and(shape("terms of a side")));
    let mut none = [PanelTerms::default(); 1];
    assert!(panel_terms(&one.combined(), &one.errors[1..], &ranks, &mut none).is_err_and(shape("errors")));
    assert!(panel_terms(&one.combined(), &one.errors, &ranks[1..], &mut none).is_err_and(shape("ranks")));
    assert!(panel_terms(&one.combined(), &one.errors, &ranks, &mut []).is_err_and(shape("out")));
    assert_eq!(none, [PanelTerms::default()]);
    assert!(ask(rows, &rho, 2, &mut masks, blocks).is_err_and(shape("stride")));
    assert!(ask(rows, &rho, 3, &mut masks[1..], blocks).is_err_and(shape("masks")));
    let small = ask(rows, &rho[1..], 3, &mut masks, blocks);
    assert_eq!(small, Err(KernelError::Least { what: "table", least: 9, got: 8 }));
    let scratch = ask(rows, &rho, 3, &mut masks, blocks - 1);
    assert_eq!(scratch, Err(KernelError::Scratch { need: blocks, have: blocks - 1 }));
    assert_eq!(masks, [77; 10]);
    assert!(ask(rows, &rho, 3, &mut masks, blocks).is_ok());
    let [sums, spans, tails] = &one.extents;
    let combined = |weights, sums| Combined::new(weights, [sums, &spans[..], &tails[..]], 10, 3);
    assert!(combined(&one.weights[1..], &sums[..]).is_err_and(shape("weights")));
    assert!(combined(&one.weights, &sums[1..]).is_err_and(shape("sums")));
    let many = Combined::new(&one.weights, [&sums[..], &spans[..], &tails[..]], 10, LANDMARKS_MAX + 1);
    let most = KernelError::Most { what: "count", most: LANDMARKS_MAX, got: LANDMARKS_MAX + 1 };
    assert_eq!(many.err(), Some(most));
    let errors = combination_errors(&one.combined(), &[0.0; 9], &[0.0; 10], &mut [0.0; 16]);
    assert!(errors.is_err_and(shape("errors")));
    let errors = combination_errors(&one.combined(), &[0.0; 10], &[0.0; 9], &mut [0.0; 16]);
    assert!(errors.is_err_and(shape("tile errors")));
    let errors = combination_errors(&one.combined(), &[0.0; 10], &[0.0; 10], &mut [0.0; 15]);
    assert!(errors.is_err_and(shape("out")));
}
