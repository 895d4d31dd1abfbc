//! Saved trees that are checked.

use std::fs;

use serde_json::Value;

use crate::{Place, values};

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

#[test]
fn trees_are_updated_in_place_and_checked() {
    let place = Place::new();
    place.done("generate gaussian --rows 300 --dim 2 -o points.npy");
    place.done("generate gaussian --rows 40 --dim 2 --seed 7 -o more.npy");
    place.done("build points.npy -o tree.ct --conflict grid --telemetry told.jsonl");
    place.done("insert tree.ct more.npy");
    place.done("delete tree.ct --id 3,17,339 -o smaller.ct");
    let text = place.done("check smaller.ct");
    assert!(text.starts_with("smaller.ct: valid: 337 points"), "{text}");
    let text = place.refused("delete smaller.ct --id 17");
    assert!(text.contains("smaller.ct: holds no point with id 17 among its 337; leave it out"), "{text}");
    covertree::formats::output::write_npy(&place.path("gone.npy"), &[2], &[5i32, 17]).unwrap();
    let text = place.refused("delete smaller.ct --ids gone.npy");
    assert!(text.contains("gone.npy: value number 1 (counted from 0) is 17, and smaller.ct holds no point"), "{text}");
    place.points("wide.npy", 3, &[0.0; 6]);
    let text = place.refused("insert smaller.ct wide.npy");
    assert!(text.contains("wide.npy: has 3 columns where the points of smaller.ct have 2;"), "{text}");
    let told = String::from_utf8(place.bytes("told.jsonl")).unwrap();
    assert!(told.lines().count() > 10 && told.starts_with("{\"row\":\"header\",\"schema\":\"covertree.telemetry.v1\""));
}

#[test]
fn the_benchmark_checks_what_it_measures_and_draws_it() {
    let place = Place::new();
    place.done("generate annulus --rows 600 --dim 2 -o points.npy");
    let text = place.done("bench points.npy --singles --repeats 1 -o rows.jsonl --report page.html");
    assert!(text.contains("two-phase") && text.contains("valid, exact") && !text.contains("IN"), "{text}");
    assert!(text.contains("Queries above 1.1 x those of the reference: "), "{text}");
    let page = String::from_utf8(place.bytes("page.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("href=") && !page.contains("src="));
    for title in [
        "Build time by points: log10 of milliseconds over log2 of points",
        "Time per stage, ms",
        "Conflicts per point by batch",
        "Points per parent by batch",
        "Cells by batch",
        "Points by level",
        "Nodes by level of the tree",
    ] {
        assert!(page.contains(&format!("<h3>{title}</h3><svg")), "{title}");
    }
    let rows = String::from_utf8(place.bytes("rows.jsonl")).unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.iter().map(|row| row["rows"].as_u64().unwrap()).max(), Some(600));
    let grid = rows.iter().find(|row| row["strategy"] == "grid").unwrap();
    assert_eq!([&grid["set"], &grid["metric"], &grid["config"]["conflict"]], ["points.npy", "euclidean", "grid"]);
    assert_eq!([&grid["valid"], &grid["exact"], &grid["reference"]], [true, true, false]);
    assert!(grid["build_ms"].as_f64().unwrap() > 0.0 && grid["query_ratio"].as_f64().unwrap() > 0.0);
    let nodes = grid["nodes"].as_object().unwrap().values().map(|count| count.as_u64().unwrap());
    assert_eq!(nodes.sum::<u64>(), 600);
    place.done("generate gaussian --rows 16 --dim 2 -o few.npy");
    let text = place.done("bench few.npy --repeats 1");
    assert!(text.contains("grid + degree-cap 32           refused: degree-cap goes with"), "{text}");
    let text = place.done("bench few.npy --singles --repeats 1 --json");
    let object: Value = serde_json::from_str(&text).unwrap();
    let runs = object["runs"].as_array().unwrap();
    assert!(object["command"] == "bench" && runs.len() >= 19, "{text}");
    assert!(
        runs.iter().all(|run| run["set"].as_str().unwrap().starts_with("few.npy") && run["valid"] == true),
        "{text}"
    );
    place.done("bench --sweep scale --rows 4096 --repeats 1 --threads 2");
    place.done("bench --sweep metrics --rows 300 --repeats 1");
}

#[test]
fn a_metric_that_the_points_do_not_suit_is_a_row_of_the_table() {
    let place = Place::new();
    // The first point is no direction, and those from 91 on are no places.
    let line: Vec<f64> = (0..200).flat_map(|i| [f64::from(i), f64::from(i)]).collect();
    place.points("line.npy", 2, &line);
    let text = place.done("bench line.npy --sweep metrics --repeats 1");
    let row = |metric: &str| text.lines().find(|line| line.starts_with(metric)).unwrap_or_else(|| panic!("{text}"));
    assert!(row("angular").contains("refused: line.npy: row 0 (counted from 0) is a zero vector"), "{text}");
    assert!(row("haversine").contains("refused: line.npy: row 91, column 1 (counted from 0) is 91"), "{text}");
    assert!(row("manhattan").contains("valid, exact"), "{text}");
}

#[test]
fn trees_wider_than_single_precision_stay_usable() {
    let place = Place::new();
    place.points("points.npy", 2, &[0.0, 1.0, 2.0, 3.0, 4.0, -5.0, 6.0, 7.0]);
    place.points("far.npy", 2, &[1e39, -1e39, 1e150, 0.0]);
    place.done("build points.npy -o tree.ct");
    place.done("insert tree.ct far.npy");
    place.done("check tree.ct");
    place.done("query tree.ct --queries far.npy -k 1 -o nn");
    assert_eq!(values::<i32>(&place.path("nn.ids.npy")), [4, 5]);
    place.done("build far.npy -o far.ct");
    place.done("check far.ct");
}

#[test]
fn updates_at_the_same_time_follow_one_another() {
    let place = Place::new();
    let line: Vec<f64> = (0..400).map(f64::from).collect();
    place.points("points.npy", 2, &line);
    place.points("new.npy", 2, &line[..100]);
    place.done("build points.npy -o tree.ct");
    std::thread::scope(|scope| {
        // An output that is the tree, by whatever name, is waited for as well.
        for output in ["", "", " -o tree.ct", " -o ./tree.ct"] {
            let place = &place;
            scope.spawn(move || place.done(&format!("insert tree.ct new.npy{output}")));
        }
    });
    let text = place.done("check tree.ct --json");
    assert!(text.contains("\"rows\":400"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_replaced_file_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::new();
    place.points("points.npy", 1, &[0.0, 1.0, 2.0]);
    place.done("build points.npy -o tree.ct");
    fs::set_permissions(place.path("tree.ct"), fs::Permissions::from_mode(0o600)).unwrap();
    place.done("insert tree.ct points.npy --dtype f64");
    assert_eq!(fs::metadata(place.path("tree.ct")).unwrap().permissions().mode() & 0o777, 0o600);
}
