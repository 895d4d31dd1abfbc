//! Wrong arguments give the error that names them, and nothing is written.

use super::*;

#[test]
fn wrong_tiles_are_refused_and_nothing_is_written() {
    let points = Points::<f32>::new(&[0.0; 20], 2);
    let (tier, mut counters, mut counts) = (Tier::detect(), ConflictCounters::default(), [-7; 3]);
    let good = Scope { first: 7, radius: &[1.0; 3], columns: 0..10, which: Which::All };
    let count = |scope: &Scope<'_>, counts: &mut [Idx]| {
        count_within::<SquaredEuclidean, _>(tier, points.panels(), scope, counts, &mut ConflictCounters::default())
    };
    for (at, key, scope) in [
        (0, -1, Scope { first: -1, ..good.clone() }),
        (1, 11, Scope { first: 8, ..good.clone() }),
        (2, -1, Scope { columns: -1..3, ..good.clone() }),
        (3, 11, Scope { columns: 0..11, ..good.clone() }),
        (3, 2, Scope { columns: Range { start: 4, end: 2 }, ..good.clone() }),
    ] {
        assert_eq!(count(&scope, &mut counts), Err(KernelError::Key { at, key, limit: 10 }));
    }
    for bad in [-1.0, f64::NAN] {
        let radius = [1.0, 1.0, bad];
        let error = KernelError::Value { what: "radius", at: 2 };
        assert_eq!(count(&Scope { radius: &radius, ..good.clone() }, &mut counts), Err(error));
    }
    let error = KernelError::Shape { what: "counts", want: 3, got: 2 };
    assert_eq!(count(&good, &mut counts[..2]), Err(error));

    let (mut entries, mut distances) = ([-7; 9], [-7.0; 9]);
    let mut emit = |counts: &[Idx], entries: &mut [Idx], distances: &mut [f64]| {
        emit_within::<SquaredEuclidean, _, _>(tier, points.panels(), &good, counts, entries, distances, &mut counters)
    };
    let error = KernelError::Value { what: "counts", at: 1 };
    assert_eq!(emit(&[10, -1, 0], &mut entries, &mut distances), Err(error));
    let error = KernelError::Shape { what: "entries", want: 10, got: 9 };
    assert_eq!(emit(&[10, 0, 0], &mut entries, &mut distances), Err(error));
    let error = KernelError::Shape { what: "distances", want: 9, got: 8 };
    assert_eq!(emit(&[9, 0, 0], &mut entries, &mut distances[..8]), Err(error));
    assert_eq!((entries, distances, counts), ([-7; 9], [-7.0; 9], [-7; 3]));
    assert_eq!(emit(&[1, 0, 8], &mut entries, &mut distances), Ok(27), "counts that are wrong cost no more than that");
    assert_eq!(entries, [0, 0, 1, 2, 3, 4, 5, 6, 7]);

    let (mut lens, mut entries, mut distances) = ([-7; 3], [-7; 6], [-7.0; 6]);
    for (cap, len, error) in [
        (0, 6, KernelError::Least { what: "cap", least: 1, got: 0 }),
        (65, 6, KernelError::Most { what: "cap", most: 64, got: 65 }),
        (3, 6, KernelError::Shape { what: "entries", want: 9, got: 6 }),
        (2, 5, KernelError::Shape { what: "distances", want: 6, got: 5 }),
    ] {
        let out = Nearest { lens: &mut lens, entries: &mut entries, distances: &mut distances[..len] };
        let refused = nearest_within::<SquaredEuclidean, _, _>(tier, points.panels(), &good, cap, out, &mut counters);
        assert_eq!(refused, Err(error));
    }
    let edges = Edges::new(&[0, 0, 0], &[], &[]).unwrap();
    let out = Nearest { lens: &mut lens, entries: &mut entries, distances: &mut distances };
    let error = KernelError::Key { at: 1, key: 3, limit: 2 };
    assert_eq!(nearest_of_rows(&edges, 2, 0, out, &mut counters), Err(error));
    assert_eq!((lens, entries, distances), ([-7; 3], [-7; 6], [-7.0; 6]));
}

/// The error bounds of so many dimensions have no room in `usize`.
#[test]
fn of_no_points_the_dimension_may_be_anything() {
    fn check<F: Form, T: Real>(tier: Tier, dim: usize) {
        let (points, mut counters) = (Panels::<T>::new(&[], dim, 0).unwrap(), ConflictCounters::default());
        let none = Scope { first: 0, radius: &[], columns: 0..0, which: Which::All };
        assert_eq!(count_within::<F, T>(tier, points, &none, &mut [], &mut counters), Ok(()), "{tier} {dim}");
    }
    for (tier, dim) in Tier::all().flat_map(|tier| [1, usize::MAX / 2 + 1, usize::MAX].map(|dim| (tier, dim))) {
        check::<SquaredEuclidean, f32>(tier, dim);
        check::<SquaredEuclidean, f64>(tier, dim);
        check::<Manhattan, f32>(tier, dim);
    }
}

#[test]
fn wrong_graphs_are_refused_and_nothing_is_written() {
    let key = |at, key, limit| Err(KernelError::Key { at, key, limit });
    assert_eq!(Pairs::new(&[[0, 1], [1, 2]], &[0, 0], 2).map(|_| ()), key(1, 2, 2));
    assert_eq!(Pairs::new(&[[-1, 1]], &[0], 2).map(|_| ()), key(0, -1, 2));
    assert!(matches!(Pairs::new(&[[0, 1]], &[0, 0], 2), Err(KernelError::Shape { want: 1, got: 2, .. })));
    assert!(matches!(Edges::new(&[0, 1], &[0], &[0, 0]), Err(KernelError::Shape { want: 1, got: 2, .. })));
    assert_eq!(scan_degrees(&[1, -1], &mut [0; 3]), Err(KernelError::Value { what: "degrees", at: 1 }));
    assert_eq!(scan_degrees(&[i32::MAX; 2], &mut [0; 3]), Err(KernelError::TooLong { len: 2 * i32::MAX as usize }));
    assert_eq!(scan_degrees(&[1], &mut [0; 1]), Err(KernelError::Shape { what: "starts", want: 2, got: 1 }));

    let (ends, weights) = ([[0, 1], [1, 2]], [5, 6]);
    let pairs = Pairs::new(&ends, &weights, 3).unwrap();
    let (mut targets, mut out_weights, mut memory) = ([-7; 4], [-7; 4], dirty(9));
    assert_eq!(count_degrees(&pairs, 2, &mut targets[..2]), key(0, 4, 3));
    let mut scatter = |starts: &[Idx], range: Range<Idx>, blocks: usize| {
        let out = EdgesMut { targets: &mut targets, weights: &mut out_weights };
        scatter_pairs(&pairs, starts, range, out, &mut Arena::new(&mut memory[..blocks]))
    };
    assert_eq!(scatter(&[0, 1, 3], 0..3, 1), Err(KernelError::Shape { what: "starts", want: 4, got: 3 }));
    assert_eq!(scatter(&[0, 1, 3, 2], 0..3, 1), Err(KernelError::Value { what: "starts", at: 3 }));
    assert_eq!(scatter(&[-1, 1, 3, 4], 0..3, 1), Err(KernelError::Value { what: "starts", at: 0 }));
    assert_eq!(scatter(&[0, 1, 3, 4], 0..4, 1).map(|_| ()), key(0, 4, 3));
    assert_eq!(scatter(&[0, 1, 3, 4], Range { start: 2, end: 1 }, 1).map(|_| ()), key(1, 1, 3));
    assert_eq!(scatter(&[0, 1, 3, 4], 0..2, 1), Err(KernelError::Shape { what: "targets", want: 3, got: 4 }));
    assert_eq!(scatter(&[0, 1, 3, 4], 0..3, 0), Err(KernelError::Scratch { need: 1, have: 0 }));
    assert_eq!((targets, out_weights), ([-7; 4], [-7; 4]));
    let mut scatter = |starts: &[Idx]| {
        let out = EdgesMut { targets: &mut targets, weights: &mut out_weights };
        scatter_pairs(&pairs, starts, 0..3, out, &mut Arena::new(&mut memory))
    };
    assert_eq!(scatter(&[0, 1, 3, 4]), Ok(4));
    assert_eq!(scatter(&[0, 0, 1, 4]), Ok(0), "no row came out as long as these starts say");
    assert_eq!(scatter(&[4, 4, 4, 8]), Ok(0));

    let edges = Edges::new(&[0, 2, 3], &[1, 1, 0], &[1, 2, 3]).unwrap();
    let (mut targets, mut weights) = ([-7; 3], [-7; 3]);
    let mut copy = |starts: &[Idx], len: usize| {
        copy_unique(&edges, starts, 0..2, EdgesMut { targets: &mut targets[..len], weights: &mut weights[..len] })
    };
    assert_eq!(copy(&[0, 2, 3], 3), Err(KernelError::Value { what: "starts", at: 1 }));
    assert_eq!(copy(&[0, 1, 2], 3), Err(KernelError::Shape { what: "targets", want: 2, got: 3 }));
    assert_eq!(copy(&[0, 1, 2], 2), Ok(()));
    assert_eq!((targets, weights), ([1, 0, -7], [1, 3, -7]));
    assert_eq!(count_unique(&edges, -1, &mut [0]), key(0, -1, 2));
}

#[test]
fn a_whole_graph_in_the_wrong_memory_is_refused_and_nothing_is_written() {
    let (ends, weights) = ([[0, 1], [1, 2]], [5, 6]);
    let pairs = Pairs::new(&ends, &weights, 3).unwrap();
    let (mut starts, mut rows, mut spare) = ([-7; 4], [[-7; 4]; 2], [[-7; 4]; 2]);
    let mut counters = ConflictCounters::default();
    for (lens, blocks, error) in [
        ([3, 4, 4, 4, 4], 2, KernelError::Shape { what: "starts", want: 4, got: 3 }),
        ([4, 3, 4, 4, 4], 2, KernelError::Shape { what: "targets", want: 4, got: 3 }),
        ([4, 4, 3, 4, 4], 2, KernelError::Shape { what: "weights", want: 4, got: 3 }),
        ([4, 4, 4, 3, 4], 2, KernelError::Shape { what: "spare targets", want: 4, got: 3 }),
        ([4, 4, 4, 4, 3], 2, KernelError::Shape { what: "spare weights", want: 4, got: 3 }),
        ([4, 4, 4, 4, 4], 1, KernelError::Scratch { need: 2, have: 1 }),
    ] {
        let ([targets, weights], [spare_targets, spare_weights]) = (&mut rows, &mut spare);
        let refused = csr_from_pairs(
            &pairs,
            &mut starts[..lens[0]],
            EdgesMut { targets: &mut targets[..lens[1]], weights: &mut weights[..lens[2]] },
            EdgesMut { targets: &mut spare_targets[..lens[3]], weights: &mut spare_weights[..lens[4]] },
            &mut Arena::new(&mut dirty(blocks)),
            &mut counters,
        );
        assert_eq!((refused, counters), (Err(error), ConflictCounters::default()));
        assert_eq!((starts, rows, spare), ([-7; 4], [[-7; 4]; 2], [[-7; 4]; 2]));
    }
}
