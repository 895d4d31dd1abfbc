//! Residual and prior correlations on the command line.

use covertree::formats::npy::{read_ids, read_reals};
use covertree::formats::output::write_npy;

use crate::Place;

/// A folder with points.
fn furnished() -> Place {
    let place = Place::new();
    place.done("generate gaussian --rows 150 --dim 2 --seed 3 -o points.npy");
    place.done("generate gaussian --rows 7 --dim 2 --seed 4 -o new.npy");
    place
}

#[test]
fn vecchia_writes_its_rows_in_the_order_of_the_points() {
    let place = furnished();
    let line = "vecchia points.npy --kernel rbf --lengthscale 0.7 --inducing 12 -k 6 --verify 150 --json";
    let text = place.done(&format!("{line} -o nn"));
    assert!(text.contains("\"recall\":1.0") && text.contains("\"covariance_s\""), "{text}");
    assert!(text.contains("\"pairs_all\":11175") && text.contains("\"distance_evals\""), "{text}");
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(object["landmark_pruned"].as_u64() <= object["pairs_all"].as_u64(), "{text}");
    assert_eq!(object["jitter"], 1e-6);
    let (ids, distances) =
        (read_ids(&place.path("nn.ids.npy")).unwrap(), read_reals(&place.path("nn.dist.npy")).unwrap());
    assert_eq!((ids.shape, distances.shape), (vec![150, 6], vec![150, 6]));
    assert_eq!(ids.values[..6], [-1; 6]);
    assert_eq!(ids.values[6..12], [0, -1, -1, -1, -1, -1]);
    assert!(distances.values[7..12].iter().all(|distance| *distance == f64::INFINITY));
    assert!(!place.names().contains(&"nn.order.npy".to_owned()));
    for order in ["random", "coordinate", "maximin"] {
        place.done(&format!("{line} --order {order} -o {order}"));
        let rows = read_ids(&place.path(&format!("{order}.order.npy"))).unwrap().values;
        let ids = read_ids(&place.path(&format!("{order}.ids.npy"))).unwrap().values;
        assert!(ids[rows[0] as usize * 6..][..6].iter().all(|id| *id == -1), "{order}: nothing comes before the first");
        assert_eq!(ids[rows[1] as usize * 6], rows[0], "{order}");
        place.done(&format!("{line} --order-ids {order}.order.npy -o again"));
        assert_eq!(place.bytes(&format!("{order}.ids.npy")), place.bytes("again.ids.npy"), "{order}");
    }
}

#[test]
fn answers_do_not_depend_on_threads_and_tier() {
    let place = furnished();
    let line = "vecchia points.npy --lengthscale 0.5,0.9 --inducing-net 20 --nugget 0.1 -k 6";
    place.done(&format!("{line} -o one --threads 1 --tier portable"));
    place.done(&format!("{line} -o three --threads 3"));
    assert_eq!(place.bytes("one.ids.npy"), place.bytes("three.ids.npy"));
    assert_eq!(place.bytes("one.dist.npy"), place.bytes("three.dist.npy"));
}

#[test]
fn a_list_of_parameters_gives_a_list_of_answers() {
    let place = furnished();
    place.file(
        "sets.json",
        r#"[{"lengthscale": [0.4]}, {"kernel": "rbf", "variance": 2.0, "lengthscale": [1.0, 0.5]}]"#,
    );
    let text = place.done("vecchia points.npy --inducing 9 -k 4 --parameters sets.json -o nn --verify 20 --json");
    assert_eq!(text.matches("\"recall\":1.0").count(), 2, "{text}");
    place.done("vecchia points.npy --inducing 9 -k 4 --kernel rbf --variance 2 --lengthscale 1,0.5 -o alone");
    assert_eq!(place.bytes("nn.1.ids.npy"), place.bytes("alone.ids.npy"));
    assert_eq!(place.bytes("nn.1.dist.npy"), place.bytes("alone.dist.npy"));
}

#[test]
fn knn_knows_both_correlations() {
    let place = furnished();
    for metric in ["residual --inducing 10", "correlation", "residual --inducing-points new.npy"] {
        place.done(&format!("knn points.npy -k 5 --metric {metric} --lengthscale 0.6 -o graph"));
        place.done(&format!("knn points.npy -k 5 --metric {metric} --lengthscale 0.6 --queries new.npy -o nn"));
        assert_eq!(read_ids(&place.path("graph.ids.npy")).unwrap().shape, [150, 5]);
        assert_eq!(read_ids(&place.path("nn.ids.npy")).unwrap().shape, [7, 5]);
    }
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let place = furnished();
    place.file("bad.json", r#"[{"length": 3}]"#);
    place.file("none.json", "[]");
    place.points("v.npy", 2, &[0.5; 300]);
    place.points("p.npy", 1, &[0.5; 150]);
    place.points("short.npy", 1, &[0.5; 149]);
    place.points("small.npy", 1, &[0.4; 150]);
    for (line, telling) in [
        ("vecchia points.npy -k 3 --lengthscale 0 -o nn", "a lengthscale is 0"),
        ("vecchia points.npy -k 3 --lengthscale 1,NaN -o nn", "a lengthscale is NaN"),
        ("vecchia points.npy -k 3 --lengthscale 1,2,3 -o nn", "3 lengthscales"),
        ("vecchia points.npy -k 3 --variance -1 -o nn", "the variance is -1"),
        ("vecchia points.npy -k 0 -o nn", "-k 0"),
        ("vecchia points.npy -k 3 --inducing 151 -o nn", "151 inducing points"),
        ("vecchia points.npy -k 3 --kernel cubic -o nn", "no covariance"),
        ("vecchia points.npy -k 3 --order upward -o nn", "no order"),
        ("vecchia points.npy -k 3 --v v.npy -o nn", "--p"),
        ("vecchia points.npy -k 3 --v v.npy --p short.npy -o nn", "149 values"),
        ("vecchia points.npy -k 3 --v v.npy --p small.npy -o nn", "makes no metric"),
        ("vecchia points.npy -k 3 --inducing 3 --v v.npy --p p.npy -o nn", "cannot be used with"),
        ("vecchia points.npy -k 3 --parameters bad.json -o nn", "no list of parameter sets"),
        ("vecchia points.npy -k 3 --parameters none.json -o nn", "no parameter set"),
        ("knn points.npy -k 3 --metric residual -o nn", "--inducing M"),
        ("knn points.npy -k 3 --metric euclidean --inducing 5 -o nn", "belong to --metric residual"),
    ] {
        let message = place.refused(line);
        assert!(message.contains(telling), "{line}: {message}");
    }
    place.done("vecchia points.npy -k 3 --v v.npy --p p.npy -o nn --verify 150");
}

/// A file of 150 numbers 0.5, but for one of them.
fn halves_but(place: &Place, name: &str, at: usize, value: f64) {
    let mut values = [0.5; 150];
    values[at] = value;
    place.points(name, 1, &values);
}

#[test]
fn parameters_that_make_no_covariance_are_refused_in_one_line() {
    let place = furnished();
    for (flags, telling) in [
        ("--lengthscale -1", "a lengthscale is -1"),
        ("--lengthscale inf", "a lengthscale is inf"),
        ("--lengthscale 1e-300", "points.npy"),
        ("--variance 0", "the variance is 0"),
        ("--variance NaN", "the variance is NaN"),
        ("--nugget -0.1", "the nugget is -0.1"),
        ("--nugget NaN", "the nugget is NaN"),
        ("--jitter 0", "the jitter is 0"),
        ("--jitter -0.5", "the jitter is -0.5"),
        ("--jitter NaN", "the jitter is NaN"),
        ("--lengthscale long", "invalid value 'long'"),
    ] {
        for command in ["vecchia points.npy -k 3", "knn points.npy -k 3 --metric residual"] {
            let line = format!("{command} --inducing 9 {flags} -o nn");
            let message = place.refused(&line);
            assert!(message.contains(telling), "{line}: {message}");
        }
    }
}

#[test]
fn inducing_points_that_cannot_be_are_refused_in_one_line() {
    let place = furnished();
    write_npy(&place.path("beyond.npy"), &[3], &[0, 150, 2]).unwrap();
    write_npy(&place.path("negative.npy"), &[2], &[0, -1]).unwrap();
    write_npy(&place.path("twice.npy"), &[3], &[7, 3, 7]).unwrap();
    place.points("wide.npy", 3, &[0.5; 9]);
    place.points("big.npy", 2, &[0.5, 0.5, 1e200, 0.5]);
    place.points("nan.npy", 2, &[0.5, f64::NAN]);
    place.file("text.npy", "row 1, row 2");
    for (flags, telling) in [
        ("--inducing-ids beyond.npy", "inducing point 1 (counted from 0) is row 150, and the rows are 0 to 149"),
        ("--inducing-ids negative.npy", "inducing point 1 (counted from 0) is row -1"),
        ("--inducing-ids twice.npy", "inducing point 2 (counted from 0) repeats row 7"),
        ("--inducing-ids points.npy", "points.npy"),
        ("--inducing-ids text.npy", "text.npy"),
        ("--inducing-ids none.npy", "none.npy"),
        ("--inducing-points wide.npy", "3 columns"),
        ("--inducing-points big.npy", "error: big.npy: row 1, column 0 (counted from 0) is 1e200"),
        ("--inducing-points nan.npy", "nan.npy: row 0, column 1 (counted from 0) is NaN"),
        ("--inducing-net 151", "151 inducing points"),
        ("--inducing -3", "--inducing"),
    ] {
        for command in ["vecchia points.npy -k 3", "knn points.npy -k 3 --metric residual"] {
            let line = format!("{command} {flags} -o nn");
            let message = place.refused(&line);
            assert!(message.contains(telling), "{line}: {message}");
        }
    }
}

#[test]
fn v_and_p_that_make_no_metric_are_refused_in_one_line() {
    let place = furnished();
    place.points("v.npy", 2, &[0.5; 300]);
    place.points("short.npy", 2, &[0.5; 298]);
    place.points("long.npy", 2, &[0.9; 300]);
    place.points("nan.npy", 2, &[&[0.5; 100][..], &[f64::NAN], &[0.5; 199]].concat());
    write_npy(&place.path("flat.npy"), &[300], &[0.5; 300]).unwrap();
    halves_but(&place, "p.npy", 0, 0.5);
    for (name, value) in
        [("negative", -0.5), ("zero", 0.0), ("nan_p", f64::NAN), ("infinite", f64::INFINITY), ("huge", 1e29)]
    {
        halves_but(&place, &format!("{name}.npy"), 3, value);
    }
    for (flags, telling) in [
        ("--v short.npy --p p.npy", "short.npy, p.npy: V has 149 rows"),
        ("--v flat.npy --p p.npy", "flat.npy"),
        ("--v nan.npy --p p.npy", "nan.npy: row 50, column 0 (counted from 0) is NaN"),
        ("--v long.npy --p p.npy", "square norm above the variance and nugget"),
        ("--v v.npy --p negative.npy", "p is -0.5 at row 3"),
        ("--v v.npy --p zero.npy", "p is 0 at row 3"),
        ("--v v.npy --p nan_p.npy", "p is NaN at row 3 (counted from 0); give"),
        ("--v v.npy --p infinite.npy", "p is inf at row 3"),
        ("--v v.npy --p huge.npy", "p is 1e29 at row 3 (counted from 0), and a variance of 1 admits at most"),
        ("--p p.npy", "--v"),
    ] {
        let line = format!("vecchia points.npy -k 3 {flags} -o nn");
        let message = place.refused(&line);
        assert!(message.contains(telling), "{line}: {message}");
    }
}

/// Four hundred inducing points within a fraction of a lengthscale: with the least jitter rounding makes their covariance
/// indefinite.
#[test]
fn the_jitter_grows_where_it_must_and_the_program_says_so() {
    let place = furnished();
    place.done("generate gaussian --rows 400 --dim 2 --seed 5 -o many.npy");
    let line = "vecchia many.npy --kernel rbf --lengthscale 20 --inducing 400 -k 3 --verify 100 --jitter";
    let raised = place.run(&format!("{line} 1e-15 -o nn"));
    let message = String::from_utf8(raised.stderr).unwrap();
    assert_eq!(raised.status.code(), Some(0), "{message}");
    assert!(message.contains(", jitter raised to 1") && message.contains("recall 1 of 100"), "{message}");
    let metric = "--kernel rbf --lengthscale 20 --inducing 400 --jitter 1e-15";
    for line in [
        format!("knn many.npy -k 3 --metric residual {metric} -o nn --json"),
        format!("gate-profile many.npy {metric} --tree-points 50 -o profile.json --json"),
    ] {
        let raised = place.run(&line);
        let message = String::from_utf8(raised.stderr).unwrap();
        assert!(raised.status.success() && message.contains(", jitter raised to 1"), "{line}: {message}");
        let object: serde_json::Value = serde_json::from_slice(&raised.stdout).unwrap();
        assert!(object["jitter"].as_f64().unwrap() > 1.5e-15, "{line}: {object}");
    }
    let plain = place.run(&format!("{line} 1e-6 -o nn"));
    let message = String::from_utf8(plain.stderr).unwrap();
    assert!(!message.contains("jitter raised") && message.contains("recall 1 of 100"), "{message}");
}

#[test]
fn parameter_sets_are_named_by_file_and_number() {
    let place = furnished();
    place.file("one.json", r#"[{"lengthscale": 0.5}, {"lengthscale": [0.7]}]"#);
    place.done("vecchia points.npy -k 2 --parameters one.json -o nn");
    place.file("wrong.json", r#"[{}, {"variance": -1}]"#);
    let text = place.refused("vecchia points.npy -k 2 --parameters wrong.json -o nn");
    assert!(text.contains("wrong.json: set 1: "), "{text}");
    // What is wrong with the points under one set alone.
    place.file("later.json", r#"[{}, {"lengthscale": 1e-300}]"#);
    let text = place.refused("vecchia points.npy --inducing 9 -k 2 --parameters later.json -o nn");
    assert!(text.starts_with("error: later.json: set 1: points.npy: row 0, column 0 (counted from 0)"), "{text}");
    write_npy(&place.path("short.npy"), &[2], &[1, 0]).unwrap();
    let text = place.refused("vecchia points.npy -k 2 --order-ids short.npy -o nn");
    assert!(text.contains("short.npy: holds 2 row numbers where there are 150 points"), "{text}");
}

#[test]
fn no_more_pairs_are_ruled_out_than_there_are() {
    let place = Place::new();
    for rows in [1, 2, 500] {
        place.done(&format!("generate gaussian --rows {rows} --dim 2 -o points.npy"));
        let told = place.run("vecchia points.npy -k 2 --inducing 1 -o nn").stderr;
        let told = String::from_utf8(told).unwrap();
        let share =
            told.split_once(" % of all pairs ruled out by bounds").and_then(|(line, _)| line.rsplit(' ').next());
        let share: f64 = share.unwrap_or_else(|| panic!("{told}")).parse().unwrap();
        assert!((0.0..=100.0).contains(&share), "{told}");
    }
}

#[test]
fn an_order_of_an_earlier_run_is_pointed_out() {
    let place = furnished();
    place.done("vecchia points.npy -k 2 --order maximin -o nn");
    let told = place.run("vecchia points.npy -k 2 -o nn").stderr;
    assert!(String::from_utf8(told).unwrap().contains("nn.order.npy: is of an earlier run"));
}
