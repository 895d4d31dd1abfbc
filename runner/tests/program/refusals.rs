//! Input that cannot be used: one line, code 2, nothing left behind.

use std::fs;
use std::process::Command;

use covertree::formats::output::write_npy;

use crate::Place;

/// An .npy file of version 1.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

/// A folder with a file of points, one of queries and a tree.
fn furnished() -> Place {
    let place = Place::new();
    let values: Vec<f64> = (0..60).map(|i| f64::from(i * i % 17)).collect();
    place.points("points.npy", 3, &values);
    place.points("queries.npy", 3, &values[..6]);
    place.points("flat.npy", 2, &values[..6]);
    place.done("build points.npy -o tree.ct");
    place
}

#[test]
fn files_of_points_that_cannot_be_read() {
    let place = furnished();
    std::fs::create_dir(place.path("folder.npy")).unwrap();
    let whole = npy("<f8", "(2, 2)", &[0; 32]);
    place.file("cut.npy", &whole[..whole.len() - 8]);
    place.file("stump.npy", &whole[..40]);
    place.file("empty.npy", "");
    place.file("empty.csv", "");
    place.file("int.npy", npy("<i8", "(2, 2)", &[0; 32]));
    place.file("complex.npy", npy("<c16", "(1, 2)", &[0; 32]));
    place.file("text.npy", npy("<U4", "(1, 2)", &[0; 32]));
    place.file("line.npy", npy("<f8", "(4,)", &[0; 32]));
    place.file("cube.npy", npy("<f8", "(1, 2, 2)", &[0; 32]));
    place.file("columns.npy", npy("<f8", "(4, 0)", &[]));
    place.file("rows.npy", npy("<f8", "(0, 4)", &[]));
    place.points("nan.npy", 2, &[0.0, 1.0, 2.0, f64::NAN]);
    place.points("inf.npy", 2, &[0.0, 1.0, f64::INFINITY, 2.0]);
    place.file("ragged.csv", "1,2\n3\n");
    place.file("words.csv", "1,2\n3,four\n");
    place.file("points.txt", "1,2\n");
    for (file, telling) in [
        ("missing.npy", "cannot be read"),
        ("missing.csv", "cannot be read"),
        ("folder.npy", "is a folder"),
        ("empty.npy", "is an empty file"),
        ("empty.csv", "is an empty file"),
        ("cut.npy", "24"),
        ("stump.npy", "not a readable .npy file"),
        ("int.npy", "int"),
        ("complex.npy", "complex"),
        ("text.npy", "holds values of type"),
        ("line.npy", "(4"),
        ("cube.npy", "(1, 2, 2)"),
        ("columns.npy", "columns"),
        ("rows.npy", "rows"),
        ("nan.npy", "row 1, column 1 (counted from 0) is NaN"),
        ("inf.npy", "row 1, column 0 (counted from 0) is inf"),
        ("ragged.csv", "row 1"),
        ("words.csv", "row 1, column 1"),
        ("points.txt", "must be .npy or .csv"),
    ] {
        for line in [
            format!("build {file} -o out.ct"),
            format!("knn {file} -k 2 -o nn"),
            format!("knn points.npy --queries {file} -k 2 -o nn"),
            format!("query tree.ct --queries {file} -k 2 -o nn"),
        ] {
            let message = place.refused(&line);
            assert!(message.starts_with(&format!("error: {file}: ")), "{line}: {message}");
            assert!(message.contains(telling), "{line}: {message}");
        }
    }
}

#[test]
fn settings_out_of_range() {
    let place = furnished();
    place.points("large.npy", 3, &[0.0, 1.0, 2.0, 3.0, 4.0, 1e200]);
    for (line, telling) in [
        ("knn points.npy -k 0 -o nn", "-k 0"),
        ("query tree.ct --queries queries.npy -k 0 -o nn", "-k 0"),
        ("check points.npy --ids nn.ids.npy -k 0", "-k 0"),
        ("within tree.ct --queries queries.npy --radius -1 -o near", "--radius -1"),
        ("within tree.ct --queries queries.npy --radius NaN -o near", "--radius NaN"),
        ("check tree.ct --sample 0", "--sample 0"),
        ("build points.npy -o out.ct --base 1", "base 1:"),
        ("build points.npy -o out.ct --base NaN", "base NaN:"),
        ("build points.npy -o out.ct --conflict sparse", "invalid value 'sparse'"),
        ("build points.npy -o out.ct --columns 7", "points.npy: has no column 7"),
        ("build points.npy -o out.ct --threads 100000", "--threads 100000"),
        (
            "build large.npy -o out.ct --columns 2 --dtype f32",
            "large.npy: row 1, column 2 (counted from 0) is 1e200, beyond",
        ),
        ("insert tree.ct large.npy --dtype f32", "leave out --dtype f32"),
        ("demo --rows 0", "--rows"),
        ("demo --rows 99999999999", "--rows 99999999999 and --queries 1024: together they may be at most 2147483646"),
        ("generate gaussian --rows 0 --dim 2 -o x.npy", "0 rows"),
        ("generate annulus --rows 9 --dim 1 -o x.npy", "annulus"),
        ("generate gaussian --rows 9 --dim 9223372036854775807 -o x.csv", "x.csv: the format is told by"),
        ("generate lattice --rows 2 --dim 9223372036854775807 -o x.npy", "do not fit into memory"),
        ("generate clusters --rows 2 --dim 9223372036854775807 -o x.npy", "do not fit into memory"),
        ("generate spiral --rows 9 --dim 2 -o x.npy", "spiral"),
        ("knn points.npy -k 5 -o nn --unheard", "--unheard"),
        ("check tree.ct --queries queries.npy", "--ids"),
        ("frobnicate", "frobnicate"),
    ] {
        let message = place.refused(line);
        assert!(message.contains(telling), "{line}: {message}");
    }
}

#[test]
fn queries_of_another_dimension_name_both_files() {
    let place = furnished();
    for (line, points) in [
        ("knn points.npy --queries flat.npy -k 2 -o nn", "points.npy"),
        ("query tree.ct --queries flat.npy -k 2 -o nn", "tree.ct"),
    ] {
        let message = place.refused(line);
        assert!(message.starts_with(&format!("error: flat.npy: has 2 columns where the points of {points} have 3")));
    }
}

#[test]
fn points_that_do_not_suit_the_metric_name_the_row() {
    let place = furnished();
    place.points("zero.npy", 2, &[1.0, 0.0, 0.0, 0.0]);
    place.points("pole.npy", 2, &[1.0, 0.0, 0.0, 91.0]);
    place.points("good.npy", 2, &[1.0, 0.0, 0.0, 1.0]);
    for (file, metric, telling) in [
        ("zero.npy", "angular", "row 1 (counted from 0) is a zero vector"),
        ("pole.npy", "haversine", "row 1, column 1 (counted from 0) is 91"),
        ("points.npy", "haversine", "haversine takes 2"),
    ] {
        let message = place.refused(&format!("knn {file} -k 2 -o nn --metric {metric}"));
        assert!(message.starts_with(&format!("error: {file}: ")) && message.contains(telling), "{message}");
        let message = place.refused(&format!("build {file} -o out.ct --metric {metric}"));
        assert!(message.starts_with(&format!("error: {file}: ")) && message.contains(telling), "{message}");
    }
    place.file("table.csv", "1,2,NA,91\n5,6,7,8\n");
    let message = place.refused("knn table.csv --columns 0,3 -k 1 -o nn --metric haversine");
    assert!(message.contains("table.csv: row 0, column 3 (counted from 0) is 91"), "{message}");
    let message = place.refused("knn good.npy --queries table.csv --query-columns 1,3 -k 1 -o nn --metric haversine");
    assert!(message.contains("table.csv: row 0, column 3 (counted from 0) is 91"), "{message}");
    let message = place.refused("knn good.npy --queries zero.npy -k 1 -o nn --metric angular");
    assert!(message.starts_with("error: zero.npy: row 1 (counted from 0) is a zero vector"), "{message}");
}

#[test]
fn outputs_that_cannot_be_written_are_refused_before_the_work() {
    let place = furnished();
    std::fs::create_dir(place.path("taken.ids.npy")).unwrap();
    for (line, telling) in [
        ("build points.npy -o nowhere/tree.ct", "the folder nowhere does not exist"),
        ("build points.npy -o .", "is a folder"),
        ("build points.npy -o new/", "new/: is a folder"),
        ("knn points.npy -k 2 -o nowhere/nn", "the folder nowhere does not exist"),
        ("query tree.ct --queries queries.npy -k 2 -o taken", "taken.ids.npy: is a folder"),
        ("generate gaussian --rows 9 --dim 2 -o nowhere/x.npy", "the folder nowhere does not exist"),
    ] {
        let message = place.refused(line);
        assert!(message.contains(telling), "{line}: {message}");
    }
}

#[test]
fn a_tree_that_is_damaged_anywhere_is_refused() {
    let place = furnished();
    let whole = place.bytes("tree.ct");
    let commands = ["query damaged.ct --queries queries.npy -k 2 -o nn", "check damaged.ct"];
    let mapped = "query damaged.ct --queries queries.npy -k 2 -o nn --mmap";
    // The library's own tests go through every byte; here the program is run, so a few places must do.
    for at in (0..whole.len()).step_by(whole.len() / 12).chain([whole.len() - 1]) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        place.file("damaged.ct", &damaged);
        for line in commands.into_iter().chain([mapped]) {
            assert!(place.refused(line).starts_with("error: damaged.ct: "), "byte {at}");
        }
    }
    for len in [0, 1, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        place.file("damaged.ct", &whole[..len]);
        for line in commands.into_iter().chain([mapped]) {
            assert!(place.refused(line).starts_with("error: damaged.ct: "), "{len} bytes");
        }
    }
}

#[test]
fn trees_that_are_none_are_refused() {
    let place = furnished();
    place.file("other.ct", b"PK\x03\x04 something else entirely, longer than any header of ours needs to be".repeat(9));
    std::fs::create_dir(place.path("folder.ct")).unwrap();
    for (file, telling) in [
        ("other.ct", "is no tree file of covertree"),
        ("points.npy", "is no tree file of covertree"),
        ("missing.ct", "cannot be read"),
        ("folder.ct", "is a folder"),
    ] {
        for line in [format!("query {file} --queries queries.npy -k 2 -o nn"), format!("check {file}")] {
            let message = place.refused(&line);
            assert!(message.starts_with(&format!("error: {file}: ")) && message.contains(telling), "{message}");
        }
    }
}

#[test]
fn answers_that_do_not_belong_to_the_points_are_refused() {
    let place = furnished();
    place.done("knn points.npy -k 2 -o nn");
    let mut ids: Vec<i32> = (0..60).collect();
    (ids[3], ids[5]) = (7, 7);
    ids.iter_mut().for_each(|id| *id %= 20);
    write_npy(&place.path("twice.npy"), &[20, 3], &ids).unwrap();
    place.file("far.npy", npy("<i4", "(20, 1)", &20i32.to_le_bytes().repeat(20)));
    for (line, telling) in [
        ("check points.npy --ids missing.npy", "missing.npy: cannot be read"),
        ("check points.npy --ids points.npy", "points.npy: holds values of type"),
        ("check points.npy --ids nn.ids.npy --queries queries.npy", "nn.ids.npy: is 20 x 2 where there are 2 queries"),
        ("check points.npy --ids nn.ids.npy -k 3", "nn.ids.npy: has 2 columns, fewer than -k 3"),
        ("check points.npy --ids twice.npy", "twice.npy: row 1 (counted from 0) names point 7 more than once;"),
        ("check points.npy --ids far.npy", "far.npy: row 0, column 0 (counted from 0) is 20, which is no row"),
    ] {
        let message = place.refused(line);
        assert!(message.starts_with(&format!("error: {telling}")), "{line}: {message}");
    }
}

#[test]
fn no_command_replaces_what_it_reads() {
    let place = furnished();
    place.done("build points.npy -o tree.ct");
    for name in ["x.ids.npy", "y.ids.npy"] {
        fs::copy(place.path("points.npy"), place.path(name)).unwrap();
    }
    fs::copy(place.path("tree.ct"), place.path("z.dist.npy")).unwrap();
    for (line, file) in [
        ("build points.npy -o points.npy", "points.npy"),
        ("build points.npy -o ./points.npy", "points.npy"),
        ("build points.npy -o new.ct --telemetry points.npy", "points.npy"),
        ("knn x.ids.npy -k 1 -o x", "x.ids.npy"),
        ("query tree.ct --queries y.ids.npy -k 1 -o y", "y.ids.npy"),
        ("query z.dist.npy --queries points.npy -k 1 -o z", "z.dist.npy"),
        ("within z.dist.npy --queries points.npy --radius 1 -o z", "z.dist.npy"),
        ("insert tree.ct points.npy -o points.npy", "points.npy"),
        ("vecchia points.npy -k 1 -o v --telemetry points.npy", "points.npy"),
        ("gate-profile points.npy --inducing 2 -o points.npy", "points.npy"),
    ] {
        let before = place.bytes(file);
        let text = place.refused(line);
        assert!(text.contains(file) && text.contains("is read by this command"), "{line}: {text}");
        assert_eq!(place.bytes(file), before, "{line}");
    }
    for line in ["build points.npy -o a.x --telemetry a.x", "vecchia points.npy -k 1 -o v --telemetry v.ids.npy"] {
        assert!(place.refused(line).contains("two outputs would have this name"), "{line}");
    }
}

#[test]
fn flags_that_would_do_nothing_are_refused() {
    let place = furnished();
    for line in ["knn points.npy -k 1 -o nn --lengthscale 3", "knn points.npy -k 1 -o nn --kernel rbf"] {
        assert!(place.refused(line).contains("--metric residual and correlation"), "{line}");
    }
    let text = place.refused("knn points.npy -k 1 -o nn --metric correlation --conflict grid");
    assert!(text.contains("no tree is built"), "{text}");
    place.file("sets.json", r#"[{}, {"jitter": 0.1}]"#);
    place.file("none.npy", npy("<i4", "(0,)", &[]));
    let (vecchia, gate) = ("vecchia points.npy -k 1 -o nn", "--gate lookup --gate-file p.json");
    for (line, telling) in [
        (format!("{vecchia} --inducing 5 --strategy brute {gate}"), "computes every pair, and --gate rules some out"),
        (format!("{vecchia} --inducing 5 --strategy brute --landmarks 5"), "and --landmarks rules some out"),
        (format!("{vecchia} --inducing 5 {gate} --gate-audit --verify 10"), "--verify has nothing to add"),
        (format!("{vecchia} --inducing 0"), "--inducing 0: ask for at least one"),
        (format!("{vecchia} --inducing 0 --landmarks 7"), "--inducing 0: ask for at least one"),
        (format!("{vecchia} --inducing-net 0"), "--inducing-net 0: ask for at least one"),
        ("knn points.npy -k 1 -o nn --metric residual --inducing 0".into(), "--inducing 0: ask for at least one"),
        ("gate-profile points.npy -o p.json --inducing 0".into(), "--inducing 0: ask for at least one"),
        (format!("{vecchia} --inducing-ids none.npy"), "none.npy: the list of inducing points is empty"),
        (format!("{vecchia} --jitter 0.5"), "the jitter is 0.5, and it is added to"),
        (format!("{vecchia} --v v.npy --p p.npy --jitter 0.1"), "the jitter is 0.1, and it is added to"),
        (format!("{vecchia} --parameters sets.json"), "sets.json: the jitter is 0.1, and it is added to"),
        ("knn points.npy -k 1 -o nn --metric correlation --jitter 0.1".into(), "the jitter is 0.1, and it is added to"),
        ("gate-profile points.npy -o p.json --jitter 0.1".into(), "the jitter is 0.1, and it is added to"),
        ("generate gaussian --rows 9 --dim 2 --intrinsic-dim 1 -o x.npy".into(), "--intrinsic-dim"),
        ("bench points.npy --rows 5".into(), "cannot be used with"),
        ("bench --columns 0".into(), "name a file"),
        ("bench --header present".into(), "name a file"),
        ("bench --sweep scale --singles".into(), "only --sweep strategies has"),
    ] {
        let message = place.refused(&line);
        assert!(message.contains(telling), "{line}: {message}");
    }
    for flag in ["--metric euclidean", "--columns 1", "--header present", "--dtype f32", "--queries points.npy"] {
        let text = place.refused(&format!("check tree.ct {flag}"));
        assert!(text.contains("belongs to an answer; name it with --ids"), "{flag}: {text}");
    }
}

#[test]
fn files_of_parameters_are_files_of_a_sensible_size() {
    let place = furnished();
    fs::create_dir(place.path("folder.json")).unwrap();
    place.file("empty.json", "");
    // Without contents on the disk: only its length is large.
    fs::File::create(place.path("long.json")).unwrap().set_len((1 << 26) + 1).unwrap();
    let mut files = vec![
        ("folder.json", "folder.json: is a folder"),
        ("empty.json", "empty.json: is an empty file"),
        ("long.json", "long.json: has more than 67108864 bytes"),
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/dev/zero", place.path("device.json")).unwrap();
        files.push(("device.json", "device.json: is a device or a pipe"));
    }
    for (file, telling) in files {
        for flags in ["--parameters", "--gate lookup --gate-file"] {
            let text = place.refused(&format!("vecchia points.npy -k 1 --inducing 2 -o v {flags} {file}"));
            assert!(text.contains(telling), "{text}");
        }
    }
}

/// What an allocation that fails would end in an abort or a panic of several lines.
#[cfg(target_os = "linux")]
#[test]
fn what_the_limit_on_memory_does_not_hold_is_refused_in_one_line() {
    let place = Place::new();
    place.done("generate gaussian --rows 3000 --dim 2 -o points.npy");
    place.done("build points.npy -o tree.ct");
    let before = place.names();
    for (kibibytes, line, telling) in [
        (250_000, "within tree.ct --queries points.npy --radius inf -o near", "do not fit into memory"),
        (300_000, "vecchia points.npy --inducing 3000 -k 5 -o nn", "more than there is memory"),
    ] {
        let output = Command::new("sh")
            .args(["-c", &format!("ulimit -v {kibibytes} && exec \"$0\" {line} --threads 1")])
            .arg(env!("CARGO_BIN_EXE_covertree"))
            .current_dir(place.path("."))
            .output()
            .unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {message}");
        assert!(message.starts_with("error: ") && message.contains(telling), "{line}: {message}");
        assert_eq!(message.trim_end().lines().count(), 1, "{line}: {message}");
        assert_eq!(place.names(), before, "{line}");
    }
}
