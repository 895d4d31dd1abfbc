use super::*;
use std::sync::atomic::Ordering::Relaxed;

use crate::space::{Euclidean, RowSpace};
use covertree_kernels::hash::mix64;

type Points = RowSpace<Euclidean<f32>>;

/// Points on a lattice of so many steps: the fewer, the more of them coincide.
fn points(len: usize, dim: usize, steps: u64) -> Points {
    let value = |word: usize| (mix64(word as u64) % steps) as f32 / steps as f32;
    RowSpace::prepared((0..len * dim).map(value).collect(), dim)
}

/// Points in space, a quarter of them in a crowd: too dense for the level that suits the others.
fn crowded(len: usize) -> Points {
    let unit = |word: usize| (mix64(word as u64) >> 40) as f32 / (1 << 24) as f32;
    let coordinate = |word: usize| if (word / 3).is_multiple_of(4) { 0.5 + 0.001 * unit(word) } else { unit(word) };
    Points::prepared((0..3 * len).map(coordinate).collect(), 3)
}

/// Settles one level after the other in some way, and holds each outcome against brute force; returns what is left.
fn settles(
    mut space: Points,
    pieces: (usize, usize),
    way: impl Fn(&mut Nets<'_, Points>, i32, &mut LevelRow),
) -> Vec<Idx> {
    let (config, tier, workers) = (BuildConfig::default(), Tier::detect(), Workers::new());
    let (rows, grown) = arranged(&mut space, &config, tier);
    let len = rows.len();
    let builder =
        Builder { space: &space, config: &config, tier, ladder: grown.tree.ladder.clone(), workers: &workers };
    let outcome = Outcome::new(len);
    let (mut row, standing) = (BatchRow::default(), (0..len as Idx).collect());
    let levels = Vec::new();
    let mut nets = Nets { builder: &builder, outcome, pieces, standing, settled: None, row: &mut row, levels };
    let distance = |a: Idx, b: Idx| {
        let both = (0..space.dim()).map(|axis| space.coordinate(at(a), axis) - space.coordinate(at(b), axis));
        both.fold(0.0, |sum, difference| sum + difference * difference).sqrt()
    };
    for level in std::iter::once(TWIN).chain(-24..=0) {
        let mut row = LevelRow::default();
        way(&mut nets, level, &mut row);
        let radius = if level == TWIN { 0.0 } else { builder.ladder.view().radius(level) };
        let before = nets.standing.clone();
        let (after, gone): (Vec<Idx>, Vec<Idx>) = before.into_iter().partition(|&slot| nets.stands(slot));
        for (place, &slot) in after.iter().enumerate() {
            assert!(after[..place].iter().all(|&other| distance(slot, other) > radius), "{level}: {slot}");
        }
        for &slot in &gone {
            let parent = nets.outcome.parents[at(slot)];
            assert!(nets.stands(parent) && distance(slot, parent) <= radius, "{level}: {slot}");
            assert_eq!(nets.outcome.distances[at(slot)], distance(slot, parent));
            assert_eq!(nets.outcome.levels[at(slot)].load(Relaxed), below(level));
        }
        assert_eq!(gone.len(), row.dominated);
        nets.standing = after;
    }
    nets.standing
}

/// What is left of sets of points: far apart, close together, coincident.
fn each(pieces: (usize, usize), way: impl Fn(&mut Nets<'_, Points>, i32, &mut LevelRow)) -> Vec<Vec<Idx>> {
    let sets = [(1, 2, 9), (2, 1, 2), (300, 2, 7), (500, 3, 1 << 20), (400, 6, 1 << 20), (300, 1, 3)];
    sets.into_iter().map(|(len, dim, steps)| settles(points(len, dim, steps), pieces, &way)).collect()
}

#[test]
fn a_level_is_settled_by_a_few_points_at_a_time() {
    for pieces in [(PIECE_LEAST, PIECE), (20, 20)] {
        let left = each(pieces, |nets, level, row| nets.thin(level, row));
        assert!(left.iter().all(|left| *left == [0]), "only the roots are left: {left:?}");
    }
}

#[test]
fn a_level_is_settled_by_all_of_its_pairs_in_pieces() {
    for pieces in [(PIECE_LEAST, PIECE), (40, 40), (7, 7)] {
        let left = each(pieces, |nets, level, row| {
            let grown = nets.over(&nets.standing.clone());
            match nets.list(&grown, level, &mut Vec::new()) {
                Ok(listing) => nets.settle_level(&listing, row),
                Err(_) => nets.thin(level, row), // many points in one place
            }
        });
        assert!(left.iter().all(|left| *left == [0]), "only the roots are left: {left:?}");
    }
}

/// Three of five pieces have more pairs than are listed on the higher of two levels, and the others keep theirs for the lower one.
#[test]
fn pairs_that_were_listed_for_a_higher_level_serve_a_lower_one() {
    // Couples, the two of each a quarter apart and one of them across the border between two pieces; then a crowd.
    let coordinate = |place: usize| match place {
        0..801 => 4.0 * (place / 2) as f32 + 0.25 * (place % 2) as f32,
        _ => 1602.0 + (mix64(place as u64) % 4096) as f32 / 64.0,
    };
    let mut space = Points::prepared((0..2000).map(coordinate).collect(), 1);
    let (config, tier, workers) = (BuildConfig::default(), Tier::detect(), Workers::new());
    let (rows, grown) = arranged(&mut space, &config, tier);
    let ladder = grown.tree.ladder.clone();
    let builder = Builder { space: &space, config: &config, tier, ladder, workers: &workers };
    let level = |radius: f64| builder.ladder.view().level_over(radius);
    let settled = |high_first: bool| {
        let (mut row, standing) = (BatchRow::default(), (0..rows.len() as Idx).collect());
        let (outcome, levels, pieces) = (Outcome::new(rows.len()), Vec::new(), (400, 400));
        let mut nets = Nets { builder: &builder, outcome, pieces, standing, settled: None, row: &mut row, levels };
        let mut kept = Vec::new();
        if high_first {
            assert!(nets.list(&grown, level(16.0), &mut kept).is_err_and(|typical| typical > 0.0));
            assert_eq!(kept.iter().flatten().count(), 2);
        }
        let before = nets.row.distance_evals;
        let listing = nets.list(&grown, level(0.5), &mut kept).unwrap();
        let evals = nets.row.distance_evals - before;
        let of_level = |row: LevelRow| (row.level, row.conflict_adj_pairs, row.dominated);
        let rows: Vec<_> = nets.outcome.settle(&listing).into_iter().map(of_level).collect();
        let Outcome { levels, parents, distances } = nets.outcome;
        let levels: Vec<i32> = levels.into_iter().map(AtomicI32::into_inner).collect();
        (evals, (listing.len(), rows, levels, parents, distances))
    };
    let ((fewer, kept), (evals, anew)) = (settled(true), settled(false));
    assert!(fewer < evals, "{fewer} of {evals}");
    assert!(anew.2[1..780].iter().filter(|&&level| level != STANDS).count() > 350, "of each couple one");
    assert_eq!(kept, anew);
}

#[test]
fn a_level_is_settled_by_rivals() {
    each((PIECE_LEAST, PIECE), |nets, level, row| {
        let grown = nets.over(&nets.standing.clone());
        nets.thin_by_rivals(&grown, level, row);
    });
}

#[test]
fn trees_of_many_pieces_are_the_same_on_any_number_of_threads() {
    // Of the last, some pieces have too many pairs on the first level that is tried.
    for (len, dim, steps) in [(150_000, 2, 1 << 20), (150_000, 3, 60), (20_000, 3, 1 << 20)] {
        let build = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut space = if len > AS_GIVEN { points(len, dim, steps) } else { crowded(len) };
            pool.install(|| build(&mut space, &BuildConfig::default(), Tier::detect(), &Workers::new()).unwrap().0)
        };
        let one = build(1);
        for threads in [2, 7] {
            let other = build(threads);
            assert!(
                one.ids == other.ids && one.levels == other.levels && one.parents == other.parents,
                "{dim} {threads}"
            );
            assert!(one.reaches == other.reaches && one.groups == other.groups, "{dim} {threads}");
        }
    }
}

#[test]
fn levels_may_be_many() {
    let config = BuildConfig { base: 1.001, ..BuildConfig::default() };
    let tree = build(&mut points(3000, 2, 1 << 20), &config, Tier::detect(), &Workers::new()).unwrap().0;
    let mut levels = tree.levels.to_vec();
    levels.sort_unstable();
    levels.dedup();
    assert!(levels.len() > 1000, "{} levels", levels.len());
    for (slot, &parent) in tree.parents.iter().enumerate().skip(1) {
        assert!(tree.levels[slot] < tree.levels[at(parent)], "{slot}");
    }
}

#[test]
fn the_root_is_the_first_of_a_random_permutation() {
    let least = (0..9000).min_by_key(|&row| (priority(5, 0, row), row));
    assert_eq!(Some(root(9000, 5)), least);
}
