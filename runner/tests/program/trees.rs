//! Saved trees that are checked.

use crate::Place;

#[test]
fn the_check_of_a_tree_says_what_it_looked_at() {
    let place = Place::new();
    for shape in ["gaussian", "lattice", "duplicates"] {
        place.done(&format!("generate {shape} --rows 2000 --dim 3 -o points.npy"));
        place.done("build points.npy -o tree.ct");
        let text = place.done("check tree.ct");
        assert!(text.starts_with("tree.ct: valid: 2000 points"), "{text}");
        assert!(text.contains("separation of all"), "{text}");
    }
}

#[test]
fn a_tree_is_replaced_as_a_whole() {
    let place = Place::new();
    place.done("generate gaussian --rows 50 --dim 2 -o points.npy");
    place.done("build points.npy -o tree.ct");
    let before = place.bytes("tree.ct");
    place.points("bad.npy", 2, &[0.0, f64::NAN]);
    place.refused("build bad.npy -o tree.ct");
    assert_eq!(place.bytes("tree.ct"), before);
    place.done("build points.npy -o tree.ct --base 1.5");
    assert_ne!(place.bytes("tree.ct"), before);
    assert_eq!(place.names(), ["bad.npy", "points.npy", "tree.ct"]);
}
