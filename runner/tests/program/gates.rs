//! Gates on the command line: calibrated, used, audited, refused.

use crate::Place;

const METRIC: &str = "--kernel matern52 --lengthscale 0.8 --inducing 20";

/// A folder with points and a profile.
fn furnished() -> Place {
    let place = Place::new();
    place.done("generate gaussian --rows 1300 --dim 3 --seed 3 -o points.npy");
    place.done(&format!("gate-profile points.npy {METRIC} --bins 64 --tree-points 150 -o profile.json --json"));
    place
}

/// The numbers and strings of a line of JSON.
fn field(line: &str, name: &str) -> f64 {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    value[name].as_f64().unwrap_or_else(|| panic!("{name} in {line}"))
}

#[test]
fn an_approximate_answer_tells_its_recall_and_its_work() {
    let place = furnished();
    let vecchia = format!("vecchia points.npy {METRIC} -k 7 --json");
    place.done(&format!("{vecchia} -o exact --telemetry exact.jsonl"));
    for gate in ["lookup", "whitened"] {
        let line = format!("{vecchia} --gate {gate} --gate-file profile.json -o {gate} --telemetry {gate}.jsonl");
        let text = place.done(&line);
        assert!(field(&text, "recall") > 0.8 && field(&text, "sampled") == 32.0, "{text}");
        assert!(field(&text, "gate1_candidates") > 0.0, "{text}");
    }
    for name in ["exact", "lookup", "whitened"] {
        let text = String::from_utf8(place.bytes(&format!("{name}.jsonl"))).unwrap();
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 2);
        assert!(rows[0].contains("\"row\":\"header\"") && rows[0].contains("covertree.telemetry.v1"), "{}", rows[0]);
        let fields = "gate1_candidates residual_pruned_by_gate1 gate1_false_negatives landmark_pruned early_exits \
                      distance_evals queries query_s rss_bytes";
        for name in fields.split_whitespace() {
            field(rows[1], name);
        }
        assert_eq!(field(rows[1], "gate1_candidates") > 0.0, name != "exact");
    }
    let knn = place.done(&format!(
        "knn points.npy -k 5 --metric residual {METRIC} --gate lookup --gate-file profile.json -o nn --json --telemetry t.jsonl"
    ));
    assert!(field(&knn, "recall") > 0.8 && place.names().contains(&"t.jsonl".to_owned()), "{knn}");
}

#[test]
fn a_gate_that_passes_everything_is_exact_and_survives_its_audit() {
    let place = furnished();
    let vecchia = format!("vecchia points.npy {METRIC} -k 7");
    place.done(&format!("{vecchia} -o exact"));
    let wide = "--gate lookup --gate-file profile.json --gate-margin 1000 --gate-audit";
    let text = place.done(&format!("{vecchia} {wide} -o wide --json"));
    assert_eq!((field(&text, "recall"), field(&text, "gate1_false_negatives")), (1.0, 0.0), "{text}");
    assert_eq!(place.bytes("exact.ids.npy"), place.bytes("wide.ids.npy"));
    assert_eq!(place.bytes("exact.dist.npy"), place.bytes("wide.dist.npy"));
}

#[test]
fn the_audit_fails_on_a_profile_that_was_tampered_with() {
    let place = furnished();
    let text = String::from_utf8(place.bytes("profile.json")).unwrap();
    let mut profile: serde_json::Value = serde_json::from_str(&text).unwrap();
    profile["table"] = vec![0.0; 64].into();
    profile["slope"] = 0.0.into();
    place.file("tampered.json", profile.to_string());
    for gate in ["lookup", "whitened"] {
        let line = format!(
            "vecchia points.npy {METRIC} -k 7 --gate {gate} --gate-file tampered.json --gate-margin 0 --gate-audit -q -o nn"
        );
        let output = place.run(&line);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.starts_with("error: the gate lost ") && message.contains("--gate-margin"), "{message}");
        assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    }
}

#[test]
fn what_makes_no_gate_is_refused_in_one_line() {
    let place = furnished();
    place.file("bad.json", "{}");
    place.file("sets.json", r#"[{"lengthscale": [0.4]}]"#);
    let base = format!("vecchia points.npy {METRIC} -k 3 -o nn");
    let gated = format!("{base} --gate lookup --gate-file profile.json");
    let other = "vecchia points.npy --kernel rbf --inducing 20 -k 3 -o nn --gate lookup --gate-file profile.json";
    for (line, telling) in [
        (format!("{base} --gate lookup"), "--gate-file"),
        (format!("{base} --gate open"), "choose one of whitened, lookup"),
        (format!("{base} --gate-file profile.json"), "add --gate"),
        (format!("{base} --gate-audit"), "add --gate"),
        (format!("{base} --gate lookup --gate-file none.json"), "none.json"),
        (format!("{base} --gate lookup --gate-file bad.json"), "covertree gate-profile"),
        (format!("{gated} --gate-margin -1"), "margin"),
        (format!("{gated} --gate-radius-cap 2"), "radius cap"),
        (format!("{gated} --parameters sets.json"), "--parameters"),
        (other.into(), "was calibrated for matern52, and this is rbf"),
        (format!("{base} --landmarks 65"), "0 to 64"),
        ("vecchia points.npy -k 3 -o nn --landmarks 8".into(), "--inducing"),
        ("knn points.npy -k 3 -o nn --landmarks 8".into(), "belong to --metric residual"),
        ("knn points.npy -k 3 -o nn --gate lookup --gate-file profile.json".into(), "belong to --metric residual"),
        (format!("gate-profile points.npy {METRIC} --bins 0 -o p.json"), "0 bins"),
        (format!("gate-profile points.npy {METRIC} --recall 2 -o p.json"), "recall"),
        (format!("gate-profile points.npy {METRIC} --feature-columns 3 -o p.json"), "--features whitened"),
        ("gate-profile points.npy --features whitened -o p.json".into(), "inducing points"),
    ] {
        let message = place.refused(&line);
        assert!(message.contains(telling), "{line}: {message}");
    }
}

#[test]
fn neighbours_under_a_correlation_are_verified_on_request() {
    let place = furnished();
    for metric in ["correlation --kernel rbf", &format!("residual {METRIC}")] {
        for asked in ["", "--queries points.npy"] {
            let text = place.done(&format!("knn points.npy -k 5 --metric {metric} {asked} --verify 300 -o nn --json"));
            assert_eq!((field(&text, "recall"), field(&text, "sampled")), (1.0, 300.0), "{text}");
        }
    }
    assert!(place.refused("knn points.npy -k 5 --verify 9 -o nn").contains("belong to --metric residual"));
}
