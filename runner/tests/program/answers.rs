//! Answers: the same by every way, on every tier and number of threads, and equal to brute force.

use covertree::formats::output::write_npy;
use serde_json::Value;

use crate::{Place, tiers, values};

#[test]
fn a_saved_tree_answers_as_one_step_does() {
    let place = Place::new();
    for dtype in ["f32", "f64"] {
        place.done(&format!("generate clusters --rows 900 --dim 3 --dtype {dtype} -o points.npy"));
        place.done(&format!("generate clusters --rows 77 --dim 3 --dtype {dtype} --seed 42 -o queries.npy"));
        for metric in ["euclidean", "manhattan", "chebyshev", "angular"] {
            place.done(&format!("build points.npy -o tree.ct --metric {metric}"));
            place.done(&format!("knn points.npy --queries queries.npy -k 7 -o one --metric {metric}"));
            for way in ["", "--mmap"] {
                place.done(&format!("query tree.ct --queries queries.npy -k 7 -o two {way}"));
                assert_eq!(place.bytes("one.ids.npy"), place.bytes("two.ids.npy"));
                assert_eq!(place.bytes("one.dist.npy"), place.bytes("two.dist.npy"));
            }
            let line = format!("check points.npy --ids one.ids.npy --queries queries.npy --metric {metric}");
            assert!(place.done(&line).starts_with("one.ids.npy: recall 1.000000 at k = 7 on all 77 rows"));
        }
    }
}

#[test]
fn bytes_do_not_depend_on_threads_or_tier() {
    let files = ["tree.ct", "nn.ids.npy", "nn.dist.npy", "near.ids.npy", "near.dist.npy"];
    // Boxes in both precisions, and balls.
    for points in ["duplicates --dim 4", "gaussian --dim 8", "lattice --dim 3 --dtype f64", "gaussian --dim 20"] {
        let place = Place::new();
        place.done(&format!("generate {points} --rows 3000 -o points.npy"));
        let mut first = None;
        for tier in tiers() {
            for threads in [1, 2] {
                let with = format!("--threads {threads} --tier {tier}");
                place.done(&format!("build points.npy -o tree.ct {with}"));
                place.done(&format!("knn points.npy -k 6 -o nn {with}"));
                place.done(&format!("within tree.ct --queries points.npy --radius 1 -o near {with}"));
                let bytes = files.map(|file| place.bytes(file));
                assert!(*first.get_or_insert_with(|| bytes.clone()) == bytes, "{points} {with}");
            }
        }
    }
}

#[test]
fn all_points_near_a_query_are_found() {
    let place = Place::new();
    place.points("points.npy", 1, &[0.0, 1.0, 2.0, 1.0, 5.0]);
    place.points("queries.npy", 1, &[1.0, 9.0, 3.0]);
    place.done("build points.npy -o tree.ct");
    for way in ["", "--mmap"] {
        place.done(&format!("within tree.ct --queries queries.npy --radius 1 -o near {way}"));
        assert_eq!(values::<i64>(&place.path("near.indptr.npy")), [0, 4, 4, 5]);
        assert_eq!(values::<i32>(&place.path("near.ids.npy")), [1, 3, 0, 2, 2]);
        assert_eq!(values::<f64>(&place.path("near.dist.npy")), [0.0, 0.0, 1.0, 1.0, 1.0]);
    }
}

#[test]
fn places_are_longitude_and_latitude() {
    let place = Place::new();
    place.file("places.csv", "lat,lon\n0,179\n0,-178.5\n0,170\n90,7\n");
    place.done("build places.csv --columns lon,lat -o tree.ct --metric haversine");
    assert!(place.done("check tree.ct").starts_with("tree.ct: valid: 4 points"));
    place.file("here.csv", "180,0\n");
    place.done("query tree.ct --queries here.csv -k 3 -o nn");
    assert_eq!(values::<i32>(&place.path("nn.ids.npy")), [0, 1, 2]);
    let degrees: Vec<f64> = values::<f64>(&place.path("nn.dist.npy")).iter().map(|d| d.to_degrees()).collect();
    assert!(degrees.iter().zip([1.0, 1.5, 10.0]).all(|(found, want)| (found - want).abs() < 1e-9), "{degrees:?}");
}

#[test]
fn the_graph_leaves_out_the_point_itself_but_not_its_twins() {
    let place = Place::new();
    place.points("points.npy", 1, &[0.0, 5.0, 0.0, 1.0]);
    place.done("knn points.npy -k 2 -o nn");
    assert_eq!(values::<i32>(&place.path("nn.ids.npy")), [2, 3, 3, 0, 0, 3, 0, 2]);
    assert_eq!(values::<f64>(&place.path("nn.dist.npy")), [0.0, 1.0, 4.0, 5.0, 0.0, 1.0, 1.0, 1.0]);
    place.done("knn points.npy -k 2 -o nn --include-self");
    assert_eq!(values::<i32>(&place.path("nn.ids.npy")), [0, 2, 1, 3, 0, 2, 3, 0]);
}

#[test]
fn more_neighbours_than_points_are_padded() {
    let place = Place::new();
    place.points("points.npy", 2, &[0.0, 0.0, 3.0, 4.0]);
    place.done("knn points.npy -k 4 -o nn");
    assert_eq!(values::<i32>(&place.path("nn.ids.npy")), [1, -1, -1, -1, 0, -1, -1, -1]);
    let distances = values::<f64>(&place.path("nn.dist.npy"));
    assert_eq!(distances[..2], [5.0, f64::INFINITY]);
    assert!(place.done("check points.npy --ids nn.ids.npy").contains("recall 1.000000 at k = 4"));
}

#[test]
fn queries_of_the_other_precision_are_never_rounded() {
    let place = Place::new();
    place.done("generate gaussian --rows 500 --dim 3 -o single.npy");
    place.done("generate gaussian --rows 50 --dim 3 --dtype f64 --seed 9 -o queries.npy");
    place.done("build single.npy -o single.ct");
    place.done("build single.npy -o double.ct --dtype f64");
    place.done("query single.ct --queries queries.npy -k 5 -o a");
    place.done("query double.ct --queries queries.npy -k 5 -o b");
    assert_eq!(place.bytes("a.ids.npy"), place.bytes("b.ids.npy"));
    assert_eq!(place.bytes("a.dist.npy"), place.bytes("b.dist.npy"));
}

#[test]
fn tables_of_text_are_read_by_name() {
    let place = Place::new();
    place.file("table.csv", "name,x,y\nb,0,1\na,3,1\nc,0,0\n");
    place.file("new.csv", "0,0.1\n");
    place.done("knn table.csv --columns x,y --queries new.csv --query-columns 0,1 -k 2 -o nn");
    assert_eq!(values::<i32>(&place.path("nn.ids.npy")), [2, 0]);
}

#[test]
fn an_answer_that_breaks_ties_otherwise_passes_the_check() {
    let place = Place::new();
    place.points("points.npy", 1, &[0.0, 1.0, -1.0, 2.0, -2.0]);
    place.points("query.npy", 1, &[0.0]);
    for (ids, recall) in [
        ([0i32, 1, 2, 3], 1.0), // as the program answers
        ([4, 2, 1, 0], 1.0),    // another neighbour at distance 2, in another order
        ([0, 1, 3, 4], 0.75),   // both are as far as the last, but one of them stands where 2 should
        ([0, 1, 2, -1], 0.75),
    ] {
        write_npy(&place.path("ids.npy"), &[1, 4], &ids).unwrap();
        let output = place.run("check points.npy --ids ids.npy --queries query.npy");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("recall {recall:.6} at k = 4")), "{ids:?}: {text}");
        assert_eq!(output.status.code(), Some(i32::from(recall < 1.0)), "{ids:?}");
    }
    // In the graph no point is its own neighbour.
    write_npy(&place.path("ids.npy"), &[5, 1], &[0i32, 0, 0, 1, 2]).unwrap();
    let text = String::from_utf8(place.run("check points.npy --ids ids.npy").stdout).unwrap();
    assert!(text.contains("recall 0.800000"), "{text}");
    write_npy(&place.path("ids.npy"), &[5, 1], &[2i32, 0, 4, 1, 2]).unwrap();
    assert!(place.done("check points.npy --ids ids.npy").contains("recall 1.000000"));
}

#[test]
fn a_wrong_answer_fails_the_check() {
    let place = Place::new();
    place.done("generate gaussian --rows 300 --dim 2 -o points.npy");
    place.done("knn points.npy -k 3 -o nn --metric chebyshev");
    let output = place.run("check points.npy --ids nn.ids.npy");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("recall 0."));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.starts_with("error: nn.ids.npy: recall 0.") && message.trim_end().lines().count() == 1);
}

#[test]
fn the_figures_of_a_run_are_one_object() {
    let place = Place::new();
    place.done("generate gaussian --rows 400 --dim 2 -o points.npy");
    let text = place.done("knn points.npy -k 3 -o nn --json --threads 2 --tier portable --seed 7");
    let Value::Object(object) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
    for (name, value) in [("rows", 400), ("dim", 2), ("k", 3), ("threads", 2), ("seed", 7)] {
        assert_eq!(object[name], value, "{name}");
    }
    assert_eq!(object["tier"], "portable");
    for name in ["build_s", "query_s", "total_s", "rows_per_s", "distance_evals"] {
        assert!(object[name].as_f64().unwrap() > 0.0, "{name}");
    }
    assert!(object["total_s"].as_f64() > object["query_s"].as_f64());
    for line in
        ["build points.npy -o tree.ct", "check tree.ct", "query tree.ct --queries points.npy -k 1 -o nn", "doctor"]
    {
        let text = place.done(&format!("{line} --json"));
        assert!(serde_json::from_str::<Value>(&text).unwrap().is_object(), "{line}");
    }
}

#[test]
fn the_demo_is_exact() {
    let place = Place::new();
    let text = place.done("demo --rows 700 --queries 60");
    let rows: Vec<&str> = text.lines().filter(|line| line.trim_end().ends_with("yes")).collect();
    assert_eq!(rows.len(), 6, "{text}");
    assert!(rows.iter().all(|row| row.contains(" 1.0000 ")), "{text}");
    let text = place.done("demo --rows 300 --queries 20 --json --quiet");
    let object: Value = serde_json::from_str(&text).unwrap();
    let runs = object["runs"].as_array().unwrap();
    assert!(runs.len() == 6 && runs.iter().all(|run| run["recall"] == 1.0 && run["distances_equal"] == true));
}

#[test]
fn quiet_is_quiet_and_help_is_an_answer() {
    let place = Place::new();
    let output = place.run("generate gaussian --rows 10 --dim 2 -o points.npy --quiet");
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty());
    for command in ["demo", "generate", "build", "query", "knn", "check", "doctor"] {
        assert!(place.done(&format!("{command} --help")).contains("Example"));
    }
    assert!(place.done("--version").starts_with("covertree "));
    assert!(place.done("doctor").contains("tier in use"));
}
