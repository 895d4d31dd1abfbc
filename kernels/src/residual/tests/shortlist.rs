//! Short lists lose nothing that may be in the answer.

use proptest::collection::vec;

use super::*;
use crate::index::Idx;
use crate::simd::Tier;
use crate::trials;

/// Lists of some rows.
#[derive(Clone)]
struct Owned {
    k: usize,
    room: usize,
    lowers: Vec<f32>,
    uppers: Vec<f32>,
    positions: Vec<Idx>,
    counts: Vec<Idx>,
    least: Vec<f64>,
}

impl Owned {
    fn new(rows: usize, k: usize, room: usize) -> Self {
        let (lowers, uppers) = (std::vec![-2.0; rows * room], std::vec![-2.0; rows * room]);
        let (positions, counts, least) = (std::vec![-2; rows * room], std::vec![0; rows], std::vec![0.0; rows]);
        Self { k, room, lowers, uppers, positions, counts, least }
    }

    fn view(&mut self) -> Shortlists<'_> {
        Shortlists {
            k: self.k,
            room: self.room,
            lowers: &mut self.lowers,
            uppers: &mut self.uppers,
            positions: &mut self.positions,
            counts: &mut self.counts,
            least: &mut self.least,
        }
    }

    /// Condenses all lists.
    fn condensed(&mut self) -> ResidualCounters {
        let (mut scratch, mut counters) = (std::vec![9.0; self.room], ResidualCounters::default());
        for row in 0..self.counts.len() {
            condense(row, &mut self.view(), &mut scratch, &mut counters).unwrap();
        }
        counters
    }

    fn listed(&self, row: usize) -> Vec<Idx> {
        let mut listed = self.positions[row * self.room..][..self.counts[row] as usize].to_vec();
        listed.sort_unstable();
        listed
    }
}

/// Every tier, and none for the plain twin.
fn tiers_and_twin() -> impl Iterator<Item = Option<Tier>> {
    Tier::all().map(Some).chain([None])
}

/// Offers a tile to one of its sides; returns how many were taken.
fn offer(tier: Option<Tier>, side: Offered, tile: &RhoTile<'_>, counting: Counting, lists: &mut Owned) -> u64 {
    let mut lists = lists.view();
    match (tier, side) {
        (Some(tier), Offered::ToRows) => offer_rows(tier, tile, counting, &mut lists).unwrap(),
        (Some(tier), Offered::ToColumns) => offer_columns(tier, tile, counting, &mut lists).unwrap(),
        (None, Offered::ToRows) => scalar::offer_rows(tile, counting, &mut lists),
        (None, Offered::ToColumns) => scalar::offer_columns(tile, counting, &mut lists),
    }
}

/// The `k` nearest of the countable points of a row, by (distance, position), from the true correlations.
fn nearest(truth: &[f64], counts: impl Fn(usize) -> bool, k: usize) -> Vec<Idx> {
    let mut all: Vec<(f64, Idx)> =
        (0..truth.len()).filter(|j| counts(*j)).map(|j| (residual_distance(truth[j]), j as Idx)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.truncate(k);
    all.into_iter().map(|pair| pair.1).collect()
}

proptest! {
    #![proptest_config(trials::cases(256))]

    /// Filters that err by at most the margins, true correlations that tie or nearly tie: whatever is among the k nearest stays.
    #[test]
    fn lists_hold_every_possible_answer(
        (rows, len) in (1usize..9, 1usize..40),
        values in vec((0u8..12, -1.0..1.0f64), 400),
        margin in prop_oneof![Just(0.0), Just(1e-9), Just(0.1), Just(0.5)],
        k in 1usize..9,
        counting in prop_oneof![Just(Counting::Earlier), Just(Counting::Others), Just(Counting::All)],
    ) {
        let lanes = len.next_multiple_of(8);
        let tie = |class: u8| 1.0 - f64::from(class) * f64::from(class) * 1e-3;
        let near = |(class, error): (u8, f64)| (tie(class), error);
        let (truth, errors): (Vec<f64>, Vec<f64>) =
            (0..rows * lanes).map(|place| near(values[place % values.len()])).unzip();
        let margins = std::vec![margin; lanes.max(rows)];
        let rho: Vec<f64> = truth.iter().zip(&errors).map(|(rho, error)| rho + error * margin * margin * 0.999).collect();
        let ranks: Vec<f64> = (0..lanes.max(rows)).map(|place| f64::from((place * 7 % 11) as u8)).collect();
        // The rows stand inside the columns, so that a point may meet itself.
        let members = |len| Members { first: 0, len, ranks: &ranks, margins: &margins };
        let places: Vec<Idx> = (0..rows as Idx).collect();
        let tile = RhoTile { rho: &rho, places: &places, rows: members(rows), columns: members(len) };
        let may = |row: usize, column: usize| match counting {
            Counting::Earlier => ranks[column] < ranks[row],
            Counting::Others => row != column,
            Counting::All => true,
        };
        for tier in tiers_and_twin() {
            // The same columns come once more as other points: what is offered to a condensed list meets a threshold.
            let again = RhoTile { columns: Members { first: len as Idx, ..members(len) }, ..tile };
            let mut lists = Owned::new(rows, k, 3 * len);
            let mut taken = offer(tier, Offered::ToRows, &tile, counting, &mut lists);
            let mut counters = lists.condensed();
            taken += offer(tier, Offered::ToRows, &again, counting, &mut lists);
            counters.merge(&lists.condensed());
            prop_assert_eq!(taken, counters.dropped + lists.counts.iter().map(|count| *count as u64).sum::<u64>());
            prop_assert!(counters.condensed <= 2 * rows as u64);
            for row in 0..rows {
                let (listed, once) = (lists.listed(row), &truth[row * lanes..][..len]);
                let counts = |column: usize| match counting {
                    Counting::Others => row != column,
                    _ => may(row, column % len),
                };
                for want in nearest(&[once, once].concat(), counts, k) {
                    prop_assert!(listed.contains(&want), "{tier:?} {row} {want}: {listed:?}");
                }
                prop_assert!(listed.iter().all(|&column| counts(column as usize)));
            }
            let mut lists = Owned::new(len, k, 2 * rows);
            offer(tier, Offered::ToColumns, &tile, counting, &mut lists);
            lists.condensed();
            for column in 0..len {
                let truth: Vec<f64> = (0..rows).map(|row| truth[row * lanes + column]).collect();
                let listed = lists.listed(column);
                for want in nearest(&truth, |row| may(column, row), k) {
                    prop_assert!(listed.contains(&want), "{tier:?} {column} {want}: {listed:?}");
                }
            }
            // Bounds in place of the filter: no pair that reaches a threshold of its side is ruled out.
            let bounds: Vec<f64> = truth.iter().zip(&errors).map(|(rho, error)| rho + error.abs() * 0.1).collect();
            let bounded = RhoTile { rho: &bounds, ..tile };
            let (own, theirs) = (std::vec![tie(4); rows], std::vec![tie(2); len]);
            let mut masks = std::vec![u32::MAX; rows * lanes / 8];
            let least = (&own[..], Some(&theirs[..]));
            let count = match tier {
                Some(tier) => wanted_pairs(tier, &bounded, counting, least, &mut masks).unwrap(),
                None => scalar::wanted_pairs(&bounded, counting, least, &mut masks),
            };
            prop_assert_eq!(count, masks.iter().map(|mask| u64::from(mask.count_ones())).sum::<u64>());
            for row in 0..rows {
                for column in 0..lanes {
                    let bit = masks[row * lanes / 8 + column / 8] >> (column % 8) & 1 == 1;
                    prop_assert!(!bit || column < len);
                    if column < len {
                        let rho = truth[row * lanes + column];
                        let ranked = counting == Counting::Earlier;
                        let for_row = rho >= own[row] && (!ranked || may(row, column));
                        let for_column = rho >= theirs[column] && (!ranked || may(column, row));
                        prop_assert!(bit || !(for_row || for_column), "{tier:?} {row} {column}");
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(trials::cases(64))]

    /// Listed pairs reach the lists as those of a tile do, in either precision of the filter.
    #[test]
    fn listed_pairs_are_offered_as_tiles_are(
        (rows, len) in (1usize..9, 1usize..40),
        values in vec(-1.0..1.0f32, 97),
        threshold in prop_oneof![Just(0.0), Just(0.6)],
        counting in prop_oneof![Just(Counting::Earlier), Just(Counting::Others), Just(Counting::All)],
    ) {
        let (narrow_lanes, lanes) = (len.next_multiple_of(16), len.next_multiple_of(8));
        let narrow: Vec<f32> = (0..rows * narrow_lanes).map(|place| values[place % values.len()]).collect();
        let mut rho = std::vec![-9.0; rows * lanes];
        widen_tile(&narrow, len, &mut rho).unwrap();
        prop_assert!(widen_tile(&narrow[1..], len, &mut rho).is_err());
        let most = lanes.max(rows);
        let ranks: Vec<f64> = (0..most).map(|place| f64::from((place * 7 % 11) as u8)).collect();
        let margins: Vec<f64> = (0..most).map(|place| 0.01 * f64::from((place % 5) as u8)).collect();
        let members = |len| Members { first: 0, len, ranks: &ranks, margins: &margins };
        let all: Vec<Idx> = (0..rows as Idx).collect();
        let tile = RhoTile { rho: &rho, places: &all, rows: members(rows), columns: members(len) };
        let starts: Vec<Idx> = (0..=rows).map(|row| (row * len) as Idx).collect();
        let places: Vec<Idx> = (0..rows).flat_map(|_| 0..len as Idx).collect();
        let listed: Vec<f32> = (0..rows).flat_map(|row| narrow[row * narrow_lanes..][..len].to_vec()).collect();
        let (rows_of, columns_of) = (members(rows), members(len));
        let pairs = ListedPairs { starts: &starts, places: &places, rho: &listed, rows: rows_of, columns: columns_of };
        for (side, count, room) in [(Offered::ToRows, rows, len), (Offered::ToColumns, len, rows)] {
            let (mut by_tile, mut by_list) = (Owned::new(count, 3, room), Owned::new(count, 3, room));
            by_tile.least.fill(threshold);
            by_list.least.fill(threshold);
            let tier = Tier::detect();
            let want = match side {
                Offered::ToRows => offer_rows(tier, &tile, counting, &mut by_tile.view()),
                Offered::ToColumns => offer_columns(tier, &tile, counting, &mut by_tile.view()),
            };
            prop_assert_eq!(offer_listed(&pairs, counting, side, &mut by_list.view()), want);
            prop_assert_eq!(&by_list.counts, &by_tile.counts);
            for row in 0..count {
                let taken = row * room..row * room + by_tile.counts[row] as usize;
                prop_assert_eq!(&by_list.positions[taken.clone()], &by_tile.positions[taken.clone()]);
                prop_assert_eq!(&by_list.lowers[taken.clone()], &by_tile.lowers[taken.clone()]);
                prop_assert_eq!(&by_list.uppers[taken.clone()], &by_tile.uppers[taken]);
            }
            let mut full = Owned::new(count, 3, room - 1);
            let refused = offer_listed(&pairs, counting, side, &mut full.view());
            prop_assert_eq!(refused, Err(KernelError::Least { what: "room", least: room, got: room - 1 }));
        }
        let mut lists = Owned::new(rows, 3, len);
        for bad in [
            ListedPairs { starts: &starts[1..], ..pairs },
            ListedPairs { rho: &listed[1..], ..pairs },
            ListedPairs { columns: members(len - 1), ..pairs },
        ] {
            prop_assert!(offer_listed(&bad, counting, Offered::ToRows, &mut lists.view()).is_err());
        }
    }
}

/// What a list holds, point by point: its position and the bits of its bounds.
fn held(lists: &Owned, list: usize) -> Vec<(Idx, [u32; 2])> {
    let places = list * lists.room..list * lists.room + lists.counts[list] as usize;
    places.map(|at| (lists.positions[at], [lists.lowers[at], lists.uppers[at]].map(f32::to_bits))).collect()
}

proptest! {
    #![proptest_config(trials::cases(128))]

    /// Tiers take what the plain twin takes, in its order: all of it where no rounding is involved, else all but pairs within a
    /// rounding of what a list wants.
    #[test]
    fn offers_are_those_of_the_plain_twin(
        (rows, len, every) in (1usize..9, 1usize..40, 1usize..3),
        values in vec((0u8..9, -1.0..1.0f64), 89),
        coarse in any::<bool>(),
        columns_want in any::<bool>(),
        counting in prop_oneof![Just(Counting::Earlier), Just(Counting::Others), Just(Counting::All)],
    ) {
        let lanes = len.next_multiple_of(8);
        let number = |place: usize| {
            let (class, fraction) = values[place % values.len()];
            if coarse { f64::from(class) / 8.0 } else { fraction }
        };
        let places: Vec<Idx> = (0..rows as Idx).step_by(every).collect();
        let mut rho: Vec<f64> = (0..places.len() * lanes).map(|place| number(place) * [1.0, -1.0][place % 2]).collect();
        rho[len / 2] = f64::NAN;
        let most = lanes.max(rows);
        let ranks: Vec<f64> = (0..most).map(|place| f64::from((place * 7 % 11) as u8)).collect();
        let margins: Vec<f64> = (0..most).map(|place| number(place + 5).abs() / 2.0).collect();
        let members = |first, len| Members { first, len, ranks: &ranks, margins: &margins };
        let tile = RhoTile { rho: &rho, places: &places, rows: members(3, rows), columns: members(2, len) };
        let thresholds: Vec<f64> = (0..most).map(|place| number(place + 11).abs()).collect();
        for (side, count, room) in [(Offered::ToRows, rows, len), (Offered::ToColumns, len, rows)] {
            let mut empty = Owned::new(count, 3, room);
            empty.least.copy_from_slice(&thresholds[..count]);
            let mut twin = empty.clone();
            offer(None, side, &tile, counting, &mut twin);
            for tier in Tier::all() {
                let mut lists = empty.clone();
                let taken = offer(Some(tier), side, &tile, counting, &mut lists);
                prop_assert_eq!(taken, lists.counts.iter().map(|count| *count as u64).sum::<u64>());
                for list in 0..count {
                    let decided = |point: &(Idx, [u32; 2])| {
                        let other = (point.0 - if side == Offered::ToRows { 2 } else { 3 }) as usize;
                        let (row, column) = if side == Offered::ToRows { (list, other) } else { (other, list) };
                        let bound = rho[row / every * lanes + column].abs() + margins[row] * margins[column];
                        coarse || bound.is_nan() || (bound - empty.least[list]).abs() > 4.0 * f64::EPSILON
                    };
                    let [own, plain] = [&lists, &twin].map(|lists| held(lists, list).into_iter().filter(decided));
                    prop_assert!(own.eq(plain), "{} {} {:?}", tier, list, side);
                }
            }
        }
        let least = (&thresholds[..rows], columns_want.then_some(&thresholds[..len]));
        let mut twin = std::vec![u32::MAX; places.len() * lanes / 8];
        let count = scalar::wanted_pairs(&tile, counting, least, &mut twin);
        for tier in Tier::all() {
            let mut masks = std::vec![u32::MAX; twin.len()];
            prop_assert_eq!(wanted_pairs(tier, &tile, counting, least, &mut masks), Ok(count));
            prop_assert_eq!(&masks, &twin, "{}", tier);
        }
    }
}

#[test]
fn a_number_that_is_none_stays() {
    let rho = [f64::NAN, 0.1, 0.9, 0.1, 0.0, 0.0, 0.0, 0.0];
    let (ranks, margins) = ([0.0; 8], [1e-3; 8]);
    let columns = Members { first: 10, len: 4, ranks: &ranks, margins: &margins };
    let rows = Members { first: 0, len: 1, ranks: &[1.0], margins: &[1e-3] };
    let tile = RhoTile { rho: &rho, places: &[0], rows, columns };
    for tier in Tier::all() {
        let mut lists = Owned::new(1, 1, 8);
        lists.least[0] = 0.3;
        assert_eq!(offer_rows(tier, &tile, Counting::All, &mut lists.view()).unwrap(), 2);
        assert_eq!(lists.listed(0), [10, 12]);
    }
    let pairs = ListedPairs { starts: &[0, 4], places: &[0, 1, 2, 3], rho: &rho[..4], rows, columns };
    let mut lists = Owned::new(1, 1, 8);
    lists.least[0] = 0.3;
    assert_eq!(offer_listed(&pairs, Counting::All, Offered::ToRows, &mut lists.view()).unwrap(), 2);
    assert_eq!(lists.listed(0), [10, 12]);
}

#[test]
fn full_lists_and_wrong_shapes_are_refused() {
    let (ranks, margins) = ([0.0; 8], [0.0; 8]);
    let members = |len| Members { first: 0, len, ranks: &ranks, margins: &margins };
    let rho = [0.5; 16];
    let tile = RhoTile { rho: &rho, places: &[0, 1], rows: members(2), columns: members(8) };
    let tier = Tier::detect();
    let mut lists = Owned::new(2, 1, 7);
    let refused = offer_rows(tier, &tile, Counting::All, &mut lists.view());
    assert_eq!(refused, Err(KernelError::Least { what: "room", least: 8, got: 7 }));
    let mut lists = Owned::new(8, 1, 1);
    assert!(offer_columns(tier, &tile, Counting::All, &mut lists.view()).is_err());
    assert!(lists.counts.iter().all(|count| *count == 0));
    let mut lists = Owned::new(3, 1, 8);
    assert!(offer_rows(tier, &tile, Counting::All, &mut lists.view()).is_err());
    for bad in [RhoTile { rho: &rho[1..], ..tile }, RhoTile { places: &[0, 2], ..tile }] {
        assert!(offer_rows(tier, &bad, Counting::All, &mut Owned::new(2, 1, 8).view()).is_err());
        let mut masks = [7; 2];
        assert!(wanted_pairs(tier, &bad, Counting::All, (&[0.0; 2], None), &mut masks).is_err());
        assert_eq!(masks, [7; 2]);
    }
    // A member that comes twice would need twice the room.
    for places in [[0, 0], [1, 0]] {
        let bad = RhoTile { places: &places, ..tile };
        let refused = offer_rows(tier, &bad, Counting::All, &mut Owned::new(2, 1, 8).view());
        assert_eq!(refused, Err(KernelError::Value { what: "places", at: 1 }));
        let (starts, rho) = ([0, 0, 2], [0.5; 2]);
        let pairs = ListedPairs { starts: &starts, places: &places, rho: &rho, rows: members(2), columns: members(2) };
        let refused = offer_listed(&pairs, Counting::All, Offered::ToRows, &mut Owned::new(2, 1, 2).view());
        assert_eq!(refused, Err(KernelError::Value { what: "places", at: 1 }));
        for (starts, at) in [([0, 3, 2], 2), ([0, 0, 1], 2), ([1, 1, 2], 0), ([0, -1, 2], 1)] {
            let bad = ListedPairs { starts: &starts, ..pairs };
            let refused = offer_listed(&bad, Counting::All, Offered::ToRows, &mut Owned::new(2, 1, 2).view());
            assert_eq!(refused, Err(KernelError::Value { what: "starts", at }));
        }
    }
    let mut lists = Owned::new(2, 1, 8);
    let mut counters = ResidualCounters::default();
    assert!(condense(2, &mut lists.view(), &mut [0.0; 8], &mut counters).is_err());
    assert!(condense(0, &mut lists.view(), &mut [0.0; 7], &mut counters).is_err());
    assert_eq!(counters, ResidualCounters::default());
}

#[test]
fn counts_and_positions_out_of_range_are_refused() {
    let (ranks, margins) = ([0.0; 8], [0.0; 8]);
    let members = |first, len| Members { first, len, ranks: &ranks, margins: &margins };
    let tile = RhoTile { rho: &[0.5; 8], places: &[0], rows: members(0, 1), columns: members(0, 8) };
    let all = |tile: &RhoTile<'_>, lists: &mut Owned| {
        let listed = ListedPairs { starts: &[0, 1], places: &[0], rho: &[0.5], rows: tile.rows, columns: tile.columns };
        [
            offer_rows(Tier::detect(), tile, Counting::All, &mut lists.view()),
            offer_listed(&listed, Counting::All, Offered::ToRows, &mut lists.view()),
        ]
    };
    for count in [-1, 9, Idx::MIN, Idx::MAX] {
        let mut lists = Owned::new(1, 1, 8);
        lists.counts[0] = count;
        assert_eq!(all(&tile, &mut lists), [Err(KernelError::Least { what: "room", least: 8, got: 8 }); 2]);
        let refused = KernelError::Value { what: "counts", at: 0 };
        let mut counters = ResidualCounters::default();
        assert_eq!(condense(0, &mut lists.view(), &mut [0.0; 8], &mut counters), Err(refused));
        assert_eq!(lists.view().wide(0), Err(refused));
        assert_eq!(lists.view().tighten(0, &[]), Err(refused));
    }
    let mut lists = Owned::new(1, 1, 8);
    let key = KernelError::Key { at: 0, key: -1, limit: Idx::MAX };
    assert_eq!(all(&RhoTile { columns: members(-1, 8), ..tile }, &mut lists), [Err(key); 2]);
    for columns in [members(Idx::MAX - 7, 8), members(0, usize::MAX), members(1, usize::MAX)] {
        let refused = all(&RhoTile { columns, ..tile }, &mut lists);
        assert!(refused.iter().all(|refused| matches!(refused, Err(KernelError::TooLong { .. }))), "{refused:?}");
    }
    let refused = all(&RhoTile { rows: members(0, usize::MAX), ..tile }, &mut lists);
    assert_eq!(refused, [Err(KernelError::TooLong { len: usize::MAX }); 2]);
    lists.room = usize::MAX;
    assert!(condense(0, &mut lists.view(), &mut [0.0; 8], &mut ResidualCounters::default()).is_err());
}

/// Bounds that overlap all over: the formula tells what is wanted, and what it has told once is not asked for again.
#[test]
fn settled_lists_hold_the_answers_alone() {
    let (k, room) = (3, 24);
    let mut lists = Owned::new(2, k, room);
    let truth = |position: Idx| f64::from((position * 7) % 20) / 20.0 - 0.4;
    let row = 1;
    lists.counts[row] = 20;
    for i in 0..20 {
        let (place, position) = (row * room + i, 19 - i as Idx);
        lists.positions[place] = position;
        let size = truth(position).abs() as f32;
        let known = position % 5 == 0;
        lists.lowers[place] = if known { size.next_down().max(0.0) } else { 0.0 };
        lists.uppers[place] = if known { size.next_up() } else { 1.0 };
    }
    let wide = lists.view().wide(row).unwrap().to_vec();
    assert_eq!(wide, (0..20).filter(|position| position % 5 != 0).collect::<Vec<Idx>>());
    let rho: Vec<f64> = wide.iter().map(|&position| truth(position)).collect();
    lists.view().tighten(row, &rho).unwrap();
    for place in row * room..row * room + 20 {
        let size = truth(lists.positions[place]).abs();
        assert!(f64::from(lists.lowers[place]) <= size && size <= f64::from(lists.uppers[place]));
    }
    assert_eq!(lists.view().wide(row).unwrap(), []);
    let counters = lists.condensed();
    let all: Vec<f64> = (0..20).map(truth).collect();
    let mut wanted = nearest(&all, |_| true, k);
    wanted.sort_unstable();
    assert_eq!(lists.listed(row), wanted);
    let dropped = 20 - wanted.len() as u64;
    assert_eq!(counters, ResidualCounters { condensed: 1, dropped, ..ResidualCounters::default() });
    assert!(
        lists.counts[0] == 0 && lists.lowers[..room].iter().all(|lower| *lower == -2.0),
        "the other row is left alone"
    );
}

#[test]
fn rows_and_points_that_are_not_listed_are_not_settled() {
    let mut lists = Owned::new(2, 3, 4);
    let row = KernelError::Shape { what: "row", want: 3, got: 2 };
    assert_eq!(lists.view().wide(2), Err(row));
    assert_eq!(lists.view().tighten(2, &[]), Err(row));
    lists.counts[0] = 1;
    assert_eq!(lists.view().tighten(0, &[0.5; 2]), Err(KernelError::Shape { what: "rho", want: 1, got: 2 }));
    assert!(lists.lowers.iter().chain(&lists.uppers).all(|bound| *bound == -2.0));
}
