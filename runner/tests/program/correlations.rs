//! Residual and prior correlations on the command line.

use covertree::formats::npy::{read_ids, read_reals};

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
