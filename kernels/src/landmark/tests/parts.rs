//! The parts: choice, substitution, shapes, errors.

use super::*;
use crate::error::KernelError;
use crate::oracle;
use crate::trials;

fn smooth(len: usize) -> Residual {
    let noise: Vec<f64> = (0..3 * len).map(|i| ((i * 7919) % 1009) as f64 / 504.5 - 1.0).collect();
    hard_metric((3, 2, len, len / 3), 1.0, 1.0, 1e-6, 0.0, &noise)
}

#[test]
fn tails_are_those_of_the_oracle() {
    let setup = Setup::new(smooth(60), Tier::detect(), 0.0);
    let members: Vec<usize> = (0..30).collect();
    for count in trials::thin(2, [1, 2, 5, 9]) {
        let cluster = setup.cluster(&members, Limits { count, pivot: 0.05, weights: &[] });
        let landmarks: Vec<usize> =
            cluster.landmarks[..cluster.frame().count()].iter().map(|&l| cluster.members[at(l)]).collect();
        let matrix: Vec<f64> = landmarks
            .iter()
            .flat_map(|&i| landmarks.iter().map(move |&j| (i, j)))
            .map(|(i, j)| setup.rho(i, j))
            .collect();
        for (member, extent) in members.iter().zip(&cluster.extents) {
            let rho: Vec<f64> = landmarks.iter().map(|&l| setup.rho(l, *member)).collect();
            let square = oracle::landmark::square_tail(&matrix, &rho);
            let got = extent.tail * extent.tail;
            assert!(got >= square && got <= square + 4.0 * extent.slack + 1e-9, "{count} {member}: {got} {square}");
            let inside = libm::sqrt((1.0 - square).max(0.0));
            assert!(extent.span >= inside - 1e-9 && extent.span <= inside + 4.0 * extent.slack + 1e-6);
        }
    }
}

#[test]
fn the_largest_tail_is_next_and_ties_fall_to_the_first() {
    // Two blocks of equal points and one point alone, uncorrelated with each other.
    let block = [0, 0, 1, 1, 2];
    let errors = [0.0; 5];
    let column = |member: i32, out: &mut [f64]| {
        for (other, out) in out.iter_mut().enumerate() {
            *out = f64::from(u8::from(block[at(member)] == block[other]));
        }
        Ok(())
    };
    let (mut landmarks, mut factor) = ([-5; 4], [-5.0; 16]);
    let (mut coordinates, mut extents) = ([-5.0; 20], [Extent { span: 0.0, tail: 0.0, slack: 0.0 }; 5]);
    let mut memory = vec![Block::default(); choose_blocks(5, 4)];
    let chosen =
        Chosen { landmarks: &mut landmarks, factor: &mut factor, coordinates: &mut coordinates, extents: &mut extents };
    let (limits, mut counters) = (Limits { count: 4, pivot: 1e-6, weights: &[] }, LandmarkCounters::default());
    let frame = choose(limits, &errors, column, chosen, &mut Arena::new(&mut memory), &mut counters).unwrap();
    assert_eq!((frame.count(), landmarks), (3, [0, 2, 4, -5]));
    assert_eq!(counters, LandmarkCounters::default(), "none was passed over");
    assert!(extents.iter().all(|extent| extent.tail < 1e-6 && (extent.span - 1.0).abs() < 1e-6));
    assert_eq!(coordinates[4..8], [1.0, 0.0, 0.0, 0.0]);
}

/// Five members without correlation: their tails are the same until they are chosen.
#[test]
fn weights_decide_who_is_chosen_and_when_to_stop() {
    let column = |_, out: &mut [f64]| {
        out.fill(0.0);
        Ok(())
    };
    let cases: [(&[f64], f64, &[i32]); 5] = [
        (&[], 0.5, &[0, 1, 2, 3, 4]),
        (&[1.0, 4.0, 2.0, 4.0, 0.0], 0.5, &[1, 3, 2, 0]),
        (&[1.0, 4.0, 2.0, 4.0, 0.0], 1.0, &[1, 3, 2]),
        (&[0.0; 5], 0.0, &[]),
        (&[1.0, f64::INFINITY, 1.0, 1.0, 1.0], 2.0, &[1]),
    ];
    for (weights, pivot, want) in cases {
        let (mut landmarks, mut factor) = ([-5; 5], [-5.0; 25]);
        let (mut coordinates, mut extents) = ([-5.0; 25], [Extent { span: 0.0, tail: 0.0, slack: 0.0 }; 5]);
        let chosen = Chosen {
            landmarks: &mut landmarks,
            factor: &mut factor,
            coordinates: &mut coordinates,
            extents: &mut extents,
        };
        let mut memory = vec![Block::default(); choose_blocks(5, 5)];
        let (mut arena, mut counters) = (Arena::new(&mut memory), LandmarkCounters::default());
        let limits = Limits { count: 5, pivot, weights };
        let frame = choose(limits, &[0.0; 5], column, chosen, &mut arena, &mut counters).unwrap();
        assert_eq!(landmarks[..frame.count()], *want, "{weights:?}, {pivot}");
        assert_eq!(counters, LandmarkCounters::default());
    }
}

#[test]
fn large_errors_stop_the_choice_before_pivots_drown() {
    let setup = Setup::new(smooth(60), Tier::detect(), 0.0);
    let members: Vec<usize> = (0..60).collect();
    let limits = Limits { count: 40, pivot: 0.0, weights: &[] };
    let mut last = usize::MAX;
    for defect in trials::thin(4, [0.0, 1e-9, 1e-6, 1e-3, 1e3]) {
        let setup = Setup::new(setup.metric.clone(), Tier::detect(), defect);
        let frame = *setup.cluster(&members, limits).frame();
        assert!(frame.defect() <= DEFECT_MAX && frame.count() <= last, "{defect}: {frame:?}");
        last = frame.count();
    }
    assert_eq!(last, 0, "no landmark can be trusted");
}

/// Members of a cluster get the coordinates and extents that the choice gave them; [`Setup::project`] holds lanes and twin
/// against each other.
#[test]
fn a_projection_of_members_is_that_of_the_choice() {
    let setup = Setup::new(smooth(41), Tier::detect(), 0.0);
    let members: Vec<usize> = (0..41).collect();
    let cluster = setup.cluster(&members, Limits { count: 9, pivot: 1e-2, weights: &[] });
    let (count, stride) = (cluster.frame().count(), cluster.frame().stride());
    for tier in Tier::all() {
        for who in [&members[..1], &members[..7], &members[..8], &members[..9], &members[..]] {
            setup.project(tier, &cluster, who).view(|points| {
                for (place, &i) in who.iter().enumerate() {
                    for k in 0..count {
                        let got = points.coordinates[(place / 8 * count + k) * 8 + place % 8];
                        assert!((got - cluster.coordinates[i * stride + k]).abs() < 1e-12, "{tier} {i} {k}");
                    }
                    let Extent { span, tail, slack } = cluster.extents[i];
                    assert!((points.spans[place] - span).abs() < 1e-11 && (points.tails[place] - tail).abs() < 1e-5);
                    assert!((points.slacks[place] - slack).abs() < 1e-12, "{tier} {i}: {slack}");
                }
            });
        }
    }
}

/// The first member is taken, and no other: with errors of a half each it would bring too much error into the basis.
#[test]
fn members_that_are_passed_over_are_counted() {
    let (mut landmarks, mut factor) = ([-5; 3], [-5.0; 9]);
    let (mut coordinates, mut extents) = ([-5.0; 15], [Extent { span: 0.0, tail: 0.0, slack: 0.0 }; 5]);
    let chosen =
        Chosen { landmarks: &mut landmarks, factor: &mut factor, coordinates: &mut coordinates, extents: &mut extents };
    let column = |_, out: &mut [f64]| {
        out.fill(0.1);
        Ok(())
    };
    let mut memory = vec![Block::default(); choose_blocks(5, 3)];
    let (limits, errors) = (Limits { count: 3, pivot: 0.0, weights: &[] }, [0.0, 0.5, 0.5, 0.5, 0.5]);
    let mut counters = LandmarkCounters { members_passed_over: 7, ..LandmarkCounters::default() };
    let frame = choose(limits, &errors, column, chosen, &mut Arena::new(&mut memory), &mut counters).unwrap();
    assert_eq!((frame.count(), counters.members_passed_over), (1, 7 + 4));
}

#[test]
fn a_point_that_cannot_be_trusted_is_never_pruned() {
    let setup = Setup::new(smooth(30), Tier::detect(), 0.0);
    let members: Vec<usize> = (0..30).collect();
    let cluster = setup.cluster(&members, Limits { count: 6, pivot: 1e-2, weights: &[] });
    for (norm, error) in [(0.5, 0.3), (1.4, 0.0), (f64::NAN, 0.0), (0.5, f64::NAN), (0.5, f64::INFINITY)] {
        assert_eq!(cluster.frame().extent(norm, error).slack, f64::INFINITY);
    }
    let mut setup = setup;
    setup.rho[5] = f64::NAN; // the correlation of points 0 and 5
    let count = cluster.frame().count();
    for tier in Tier::all() {
        let mut broken = Cluster {
            landmarks: vec![0; count],
            ..setup.cluster(&members, Limits { count, pivot: 1e-2, weights: &[] })
        };
        broken.frame = cluster.frame;
        let (mut outside, mut inside) = (setup.project(tier, &broken, &[5]), cluster.pack::<f64>());
        let (mut out, mut masks) = (vec![0.0; 8 * 32], vec![0; 8 * 4]);
        let mut least = [f64::INFINITY; 8];
        least[0] = 1.0;
        let mut counters = LandmarkCounters::default();
        outside.view(|outside| {
            inside.view(|inside| {
                bounds(tier, &outside.queries(), &inside, &least, &mut out, &mut masks, &mut counters).unwrap();
            });
        });
        assert_eq!((masks[..4].to_vec(), counters.landmark_pruned), (vec![0xff, 0xff, 0xff, 0x3f], 0), "{tier}");
    }
}

#[test]
fn the_defect_of_a_solve_grows_with_the_weights_and_is_infinite_without_jitter() {
    let covariance = Covariance::new(CovarianceKind::Rbf, 4.0).unwrap();
    let model = ResidualModel::new(covariance, 3, 512).unwrap();
    let defect = solve_defect(&model, 1e-6, 1e3);
    assert!((4e-9..2e-8).contains(&defect), "{defect}");
    assert!(solve_defect(&model, 1e-6, 3.0) < 1e-10);
    assert_eq!(solve_defect(&model, 1e-12, 3.0), f64::INFINITY);
    assert_eq!(solve_defect(&ResidualModel::new(covariance, 3, 0).unwrap(), 0.0, 1.0), 0.0);
}

/// What the solve that made `V` got wrong is within the defect of all points, and within what the points' own defects
/// allow: smooth covariances and tiny jitters, where the weights are large, and heaps of points that nothing explains.
#[test]
fn the_error_of_a_solve_is_within_its_defect() {
    let mut largest = 0.0f64;
    for (kind, jitter, scale) in trials::thin(
        5,
        [
            (CovarianceKind::Rbf, 1e-6, 1.0),
            (CovarianceKind::Rbf, 1e-9, 0.3),
            (CovarianceKind::Matern52, 1e-8, 0.1),
            (CovarianceKind::Matern12, 1e-3, 4.0),
            (CovarianceKind::Matern32, 1e-6, 1e-4),
        ],
    ) {
        let (len, columns) = (trials::up_to(90), if cfg!(miri) { 6 } else { 30 });
        let coordinates: Vec<f64> = (0..len * 2).map(|i| scale * f64::from(i as u32 * 7919 % 1009) / 300.0).collect();
        let covariance = Covariance::new(kind, 3.0).unwrap();
        let inducing: Vec<usize> = (0..columns).map(|i| 2 * i).collect();
        let metric = Residual::new(covariance, &coordinates, 2, &inducing, jitter, 0.0);
        let model = ResidualModel::new(covariance, 2, columns).unwrap();
        let inducing: Vec<&[f64]> = inducing.iter().map(|&i| metric.point(i)).collect();
        let factor = oracle::residual::factor(covariance, &inducing, jitter);
        let (errors, weights) = oracle::landmark::solve_errors(&metric, &factor, &inducing);
        let heaviest = weights.iter().copied().fold(0.0, f64::max);
        assert!(heaviest <= 1.0 / jitter.sqrt(), "what the documentation says of the weights");
        let of_all = solve_defect(&model, jitter, heaviest);
        let own: Vec<f64> = weights.iter().map(|w| solve_defect(&model, jitter, w.max(1.0) * w.max(1.0))).collect();
        for (pair, error) in errors.iter().enumerate() {
            let (x, y) = (pair / len, pair % len);
            assert!(error.abs() <= of_all, "{kind:?} {x} {y}: {error:e} above {of_all:e}");
            let most = libm::sqrt(own[x] * own[y]);
            assert!(error.abs() <= most, "{kind:?} {x} {y}: {error:e} above {most:e} of the two");
            largest = largest.max(error.abs() / of_all);
        }
    }
    assert!(largest > 1e-5, "a bound that is never near the truth was not tested: {largest:e}");
}

#[test]
fn wrong_arguments_are_refused_and_nothing_is_written() {
    let dirt = Extent { span: -1.0, tail: -1.0, slack: -1.0 };
    let (mut landmarks, mut factor) = ([-5; 3], [-5.0; 9]);
    let (mut coordinates, mut extents) = ([-5.0; 12], [dirt; 4]);
    let mut memory = vec![Block::default(); choose_blocks(4, 3)];
    let have = memory.len() - 1;
    let mut call = |limits: Limits<'_>, errors: &[f64], blocks: usize, short: usize| {
        let chosen = Chosen {
            landmarks: &mut landmarks[..3 - (short == 1) as usize],
            factor: &mut factor[..9 - (short == 2) as usize],
            coordinates: &mut coordinates[..12 - (short == 3) as usize],
            extents: &mut extents[..4 - (short == 4) as usize],
        };
        let (arena, counters) = (&mut Arena::new(&mut memory[..blocks]), &mut LandmarkCounters::default());
        choose(limits, errors, |_, _| Ok(()), chosen, arena, counters).err()
    };
    let three = Limits { count: 3, ..Limits::default() };
    let many = Limits { count: 65, ..three };
    assert_eq!(call(many, &[0.0; 4], have + 1, 0), Some(KernelError::Most { what: "limits.count", most: 64, got: 65 }));
    assert_eq!(call(three, &[0.0; 4], have, 0), Some(KernelError::Scratch { need: have + 1, have }));
    assert_eq!(call(three, &[0.0, -1.0, 0.0, 0.0], have + 1, 0), Some(KernelError::Value { what: "errors", at: 1 }));
    for wrong in [-1.0, f64::NAN] {
        let refused = call(Limits { weights: &[1.0, 1.0, wrong, 1.0], ..three }, &[0.0; 4], have + 1, 0);
        assert_eq!(refused, Some(KernelError::Value { what: "limits.weights", at: 2 }));
    }
    let refused = call(Limits { weights: &[1.0; 3], ..three }, &[0.0; 4], have + 1, 0);
    assert_eq!(refused, Some(KernelError::Shape { what: "limits.weights", want: 4, got: 3 }));
    for (short, what, want) in [(1, "landmarks", 3), (2, "factor", 9), (3, "coordinates", 12), (4, "extents", 4)] {
        let refused = call(three, &[0.0; 4], have + 1, short);
        assert_eq!(refused, Some(KernelError::Shape { what, want, got: want - 1 }));
    }
    assert_eq!((landmarks, factor, coordinates, extents), ([-5; 3], [-5.0; 9], [-5.0; 12], [dirt; 4]));
    let refused = {
        let chosen = Chosen {
            landmarks: &mut landmarks,
            factor: &mut factor,
            coordinates: &mut coordinates,
            extents: &mut extents,
        };
        let column = |_, _: &mut [f64]| Err(KernelError::Value { what: "column", at: 7 });
        let (arena, counters) = (&mut Arena::new(&mut memory), &mut LandmarkCounters::default());
        choose(Limits { count: 3, pivot: 0.0, weights: &[] }, &[0.0; 4], column, chosen, arena, counters)
    };
    assert_eq!(refused, Err(KernelError::Value { what: "column", at: 7 }));
}

/// What their number adds to the slacks has no room in `usize`.
#[test]
fn of_no_points_there_may_be_any_number_of_landmarks() {
    for count in [1, usize::MAX / 2 + 1, usize::MAX] {
        let (mut wide, mut narrow) = (Owned::<f64>::new(0, 1), Owned::<f32>::new(0, 1));
        let memory = wide.memory();
        let points = FramePoints::new(memory.slices(), 0, count).unwrap();
        assert_eq!(narrow_points(&points, &mut narrow.memory()), Ok(()), "{count}");
    }
}

#[test]
fn wrong_shapes_of_tiles_are_refused() {
    let (setup, tier) = (Setup::new(smooth(20), Tier::detect(), 0.0), Tier::detect());
    let members: Vec<usize> = (0..20).collect();
    let cluster = setup.cluster(&members, Limits { count: 3, pivot: 1e-2, weights: &[] });
    let mut points = cluster.pack::<f64>();
    let mut memory = Owned::<f64>::new(20, 3);
    let rho = vec![0.0; 3 * 24];
    let short = project(tier, cluster.frame(), &cluster.factor, &rho[1..], &[0.0; 24], 20, &mut memory.memory());
    assert!(matches!(short, Err(KernelError::Shape { what: "rho", want: 72, got: 71 })));
    let short = project(tier, cluster.frame(), &cluster.factor, &rho, &[0.0; 23], 20, &mut memory.memory());
    assert!(matches!(short, Err(KernelError::Shape { what: "errors", .. })));
    for len in [usize::MAX, usize::MAX / 2] {
        let memory = &mut memory.memory();
        let long = project(tier, cluster.frame(), &cluster.factor, &rho, &[0.0; 24], len, memory);
        assert_eq!(long, Err(KernelError::TooLong { len }));
        let long = project_weighted(tier, cluster.frame(), &cluster.factor, &rho, &[0.0; 24], len, memory);
        assert_eq!(long, Err(KernelError::TooLong { len }));
    }
    assert!(pack_members(cluster.frame(), &[0.0; 59], &cluster.extents, &mut memory.memory()).is_err());
    assert!(cross([cluster.frame(); 2], [&cluster.factor; 2], &mut [0.0; 8]).is_err());
    points.view(|points| {
        let mut counters = LandmarkCounters::default();
        let (mut out, mut masks) = (vec![-2.0; 24 * 24], vec![7; 24 * 3]);
        let mut call = |least: usize, o: usize, m: usize| {
            let least = vec![0.0; least];
            bounds(tier, &points.queries(), &points, &least, &mut out[..o], &mut masks[..m], &mut counters)
        };
        assert!(matches!(call(23, 576, 72), Err(KernelError::Shape { what: "least", .. })));
        assert!(matches!(call(24, 575, 72), Err(KernelError::Shape { what: "out", .. })));
        assert!(matches!(call(24, 576, 71), Err(KernelError::Shape { what: "masks", .. })));
        assert!(out.iter().all(|&bound| bound == -2.0) && masks.iter().all(|&mask| mask == 7));
        assert!(envelope_bounds(tier, &points.queries(), points.envelope(), &mut out[..23]).is_err());
    });
    assert!(memory.arrays.iter().flatten().all(|&x| x == -7.0));
}
