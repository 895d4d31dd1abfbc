//! Files of trees made by hand: searched in place, or refused with the place that is wrong.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::arena::{Arena, Block};
use crate::dist::{Chebyshev, SquaredEuclidean};
use crate::hash::mix64;
use crate::index::NONE;
use crate::oracle::tree::{HandMade, bytes_of_image, image};
use crate::simd::Tier;
use crate::tree::sphere::HAVERSINE_WIDTH;
use crate::tree::{knn, search_blocks};
use crate::trials;

fn points<T: Real>(len: usize, dim: usize) -> Vec<T> {
    (0..len * dim).map(|i| T::from_f64((mix64(i as u64) >> 50) as f64 / 1024.0 - 8.0)).collect()
}

/// The neighbours by a search of the file are those of brute force.
fn check<T: Real>(made: &HandMade<T>) {
    let words = made.image("chebyshev", &[("note", b"hello"), (SCALING, &(-3i32).to_le_bytes())]);
    let stored = StoredTree::new(bytes_of_image(&words)).unwrap();
    assert_eq!((stored.metric(), stored.scaling()), ("chebyshev", -3));
    assert_eq!(stored.section("note"), Some(&b"hello"[..]));
    assert_eq!((stored.section("not"), stored.section("a name that is too long")), (None, None));
    let view = stored.view();
    assert_eq!((view.parts().ids, view.parts().groups), (&made.ids[..], &made.groups[..]));
    assert!(view.parts().waiting <= made.waiting.max(1), "no more wait than there are");
    let points = stored.points::<T>().unwrap();
    assert_eq!((points.panels().data(), points.boxes().is_some()), (&made.packed[..], !made.corners.is_empty()));
    let metric = points.coordinates::<Chebyshev>().unwrap();
    let mut memory = vec![Block::splat(7); search_blocks(view.parts().waiting)];
    for query in made.data.chunks_exact(made.dim).step_by(17) {
        let (mut distances, mut ids) = (vec![-7.0; 9], vec![-7; 9]);
        let arena = &mut Arena::new(&mut memory);
        knn(Tier::detect(), view, &metric, query, NONE, &mut distances, &mut ids, arena).unwrap();
        let mut want = made.brute::<Chebyshev>(query, NONE, core::convert::identity);
        want.resize(want.len().max(9), (f64::INFINITY, NONE));
        assert_eq!(distances.into_iter().zip(ids).collect::<Vec<_>>(), want[..9]);
    }
}

#[test]
fn a_file_is_searched_in_place() {
    for len in trials::lengths([1, 2, 16, 17, 300]) {
        check(&HandMade::<f32>::boxed(points(len, 3), 3, 7, 4));
        check(&HandMade::<f64>::boxed(points(len, 2), 2, 7, 40));
        check(&HandMade::<f32>::balled(points(len, 5), 5, 9));
        check(&HandMade::<f64>::balled(points(len, 1), 1, 3));
    }
    let empty = HandMade::<f32>::boxed(Vec::new(), 3, 7, 4).image("euclidean", &[]);
    let empty = StoredTree::new(bytes_of_image(&empty)).unwrap();
    assert!(empty.view().is_empty() && empty.points::<f32>().is_some() && empty.points::<f64>().is_none());
}

#[test]
fn the_bound_on_what_waits_holds_for_uneven_trees() {
    for (leaf, fan) in [(1, 2), (3, 7), (11, 16), (40, 3)] {
        let made = HandMade::<f32>::boxed(points(trials::up_to(500), 2), 2, leaf, fan);
        let view = TreeView::new(made.parts()).unwrap();
        let (mut waiting, mut most) = (vec![0], 1);
        while let Some(group) = waiting.pop() {
            let group = made.groups[group];
            waiting.extend(at(group.kids)..at(group.kids_end));
            most = most.max(waiting.len());
        }
        let bound = at(view.waiting_bound());
        assert!((most..=2 * most + 2).contains(&bound), "{leaf} {fan}: {bound} for {most}");
    }
}

#[test]
fn directions_and_places_are_known() {
    let made = HandMade::<f64>::boxed(points(50, 3), 3, 7, 4);
    let words = made.image("angular", &[]);
    let stored = StoredTree::new(bytes_of_image(&words)).unwrap().points::<f64>().unwrap();
    assert!(stored.angular().is_ok() && stored.haversine().is_err());
    let made = HandMade::<f64>::balled(points(50, HAVERSINE_WIDTH), HAVERSINE_WIDTH, 4);
    let words = made.image("haversine", &[]);
    assert!(StoredTree::new(bytes_of_image(&words)).unwrap().points::<f64>().unwrap().haversine().is_ok());
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let made = HandMade::<f32>::boxed(points(100, 3), 3, 7, 4);
    let good = made.image("euclidean", &[]);
    let len = bytes_of_image(&good).len();
    let table = |place: usize| size_of::<FileHeader>() + place * size_of::<FileSection>();
    let section =
        |place: usize| bytemuck::pod_read_unaligned::<FileSection>(&bytes_of_image(&good)[table(place)..][..32]);
    let value = |what, at| KernelError::Value { what, at };
    // The byte that is changed, what it becomes, what is said.
    for (at, byte, error) in [
        (1, b'x', value("signature", 1)),
        (8, 2, value("version", 8)),
        (12, 1, value("byte order", 12)),
        (16, 0xff, KernelError::Shape { what: "file", want: len / 256 * 256 + 0xff, got: len }),
        (24, 8, value("header", 24)),
        (28, 5, value("header", 28)),
        (32, 3, value("header", 32)),
        (36, 0, KernelError::Shape { what: "points", want: 0, got: 7 * 64 * 3 }),
        (36, 4, KernelError::Shape { what: "points", want: 7 * 64 * 4, got: 7 * 64 * 3 }),
        (43, 0x80, value("header", 40)),
        (47, 0x80, value("header", 44)),
        (48, 99, value("header", 48)),
        (table(0), b'M', value("sections", table(0))),
        (table(3) + 16, 1, value("sections", table(3))),
        (table(3) + 24, 1, value("sections", table(4))),
        (section(2).offset as usize, 100, value("ids", 0)),
        (section(7).offset as usize + 4 * 5 + 3, 0x7f, value("points", 5)),
        (section(8).offset as usize + 4 * 6 + 3, 0x7f, value("corners", 6)),
        (section(6).offset as usize, 2, value("groups", 0)),
    ] {
        let mut words = good.clone();
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        bytes[at] = byte;
        if byte == 0x7f {
            bytes[at - 1] = 0xff;
        }
        assert_eq!(StoredTree::new(&bytes[..len]).map(|_| ()), Err(error), "byte {at} = {byte}");
    }
    let bytes = bytes_of_image(&good);
    assert_eq!(
        StoredTree::new(&bytes[..100]).map(|_| ()),
        Err(KernelError::Least { what: "file", least: 144, got: 100 })
    );
    assert!(matches!(StoredTree::new(&bytes[..len - 8]), Err(KernelError::Shape { what: "file", .. })));
    let moved: Vec<u8> = [&[0; 4], bytes].concat();
    let start = moved.as_ptr().align_offset(8) + 4;
    assert!(matches!(StoredTree::new(&moved[start..]), Err(KernelError::Least { what: "alignment of the file", .. })));
}

#[test]
fn groups_without_their_bounds_are_refused() {
    let boxed = HandMade::<f32>::boxed(points(100, 3), 3, 7, 4);
    let without = HandMade { corners: Vec::new(), ..boxed.clone() }.image("euclidean", &[]);
    assert_eq!(
        StoredTree::new(bytes_of_image(&without)).map(|_| ()),
        Err(KernelError::Value { what: "groups", at: 0 }),
        "no point of a block is the center of these groups"
    );
    let flat = HandMade { corners: vec![0.0; 2 * boxed.corners.len() / 6], ..boxed.clone() };
    let words = flat.image("euclidean", &[]);
    let flat = StoredTree::new(bytes_of_image(&words)).unwrap().points::<f32>().unwrap();
    let error = KernelError::Shape { what: "corners", want: 3, got: 1 };
    assert_eq!(flat.coordinates::<SquaredEuclidean>().map(|_| ()), Err(error));
    let cut = HandMade { corners: boxed.corners[1..].to_vec(), ..boxed };
    let words = cut.image("euclidean", &[]);
    assert!(matches!(StoredTree::new(bytes_of_image(&words)), Err(KernelError::Shape { what: "corners", .. })));
    let header = FileHeader { order: ORDER_BALLS, ..FileHeader::default() };
    let words = image(header, &NAMES.map(|name| (name, &b""[..])));
    let empty = StoredTree::new(bytes_of_image(&words)).unwrap();
    assert!(empty.points::<f32>().is_none() && empty.metric().is_empty());
}
