use std::fs;
use std::io;
use std::path::Path;

use covertree::formats::output::{Outputs, check_target, suffixed, write_npy};
use covertree::formats::{npy, write_points};
use covertree::points::{Points, Values};

use super::{Folder, refusal};

#[test]
fn files_that_belong_together_appear_together() {
    let folder = Folder::new();
    let prefix = folder.path("nn");
    let mut outputs = Outputs::new();
    outputs.add_npy(&suffixed(&prefix, ".ids.npy"), &[2, 1], &[1i32, 0]).unwrap();
    outputs.add_npy(&suffixed(&prefix, ".dist.npy"), &[2, 1], &[0.5f64, 0.5]).unwrap();
    assert!(folder.names().iter().all(|name| name.ends_with(".partial")), "{:?}", folder.names());
    outputs.commit().unwrap();
    assert_eq!(folder.names(), ["nn.dist.npy", "nn.ids.npy"]);
    assert_eq!(npy::read_ids(&folder.path("nn.ids.npy")).unwrap().values, [1, 0]);
}

#[test]
fn an_error_while_writing_leaves_nothing_behind() {
    let folder = Folder::new();
    let earlier = folder.file("b.npy", "earlier");
    let mut outputs = Outputs::new();
    outputs.add_npy(&folder.path("a.npy"), &[1], &[1i64]).unwrap();
    let failed = outputs.add(&earlier, |out| {
        out.write_all(b"half")?;
        Err(io::ErrorKind::StorageFull.into())
    });
    let message = refusal(&earlier, failed);
    assert_eq!(message, "cannot be written (no storage space); check the folder, its permissions and its free space");
    drop(outputs);
    assert_eq!(folder.names(), ["b.npy"]);
    assert_eq!(fs::read(&earlier).unwrap(), b"earlier");
}

#[test]
fn a_rename_that_fails_takes_the_others_back() {
    let folder = Folder::new();
    let (old, new, blocked) = (folder.file("old.npy", "earlier"), folder.path("new.npy"), folder.path("blocked.npy"));
    let mut outputs = Outputs::new();
    for path in [&old, &new, &blocked] {
        outputs.add(path, |out| out.write_all(b"later")).unwrap();
    }
    fs::create_dir(&blocked).unwrap(); // between the check and the rename
    refusal(&blocked, outputs.commit());
    assert_eq!(folder.names(), ["blocked.npy", "old.npy"]);
    assert_eq!(fs::read(&old).unwrap(), b"earlier");
}

#[test]
fn an_earlier_file_is_replaced() {
    let folder = Folder::new();
    let path = folder.file("x.npy", "earlier");
    write_npy(&path, &[1], &[7i32]).unwrap();
    assert_eq!(npy::read_ids(&path).unwrap().values, [7]);
    assert_eq!(folder.names(), ["x.npy"]);
}

#[test]
fn targets_that_cannot_be_written_are_refused_early_and_late() {
    let folder = Folder::new();
    let missing = folder.path("none/x.npy");
    let taken = folder.path("taken.npy");
    fs::create_dir(&taken).unwrap();
    let inside_a_file = folder.file("plain", "").join("x.npy");
    for (path, want) in [
        (missing.as_path(), "cannot be written, for the folder "),
        (&taken, "is a folder, not a regular file"),
        (&inside_a_file, "cannot be written, for the folder "),
        (Path::new("/dev/null"), "is a device or a pipe, not a regular file"),
        (Path::new(".."), "is a folder, not a regular file"),
    ] {
        for result in [check_target(path), write_npy(path, &[1], &[1i32])] {
            let message = refusal(path, result);
            assert!(message.starts_with(want), "{message}");
        }
    }
    check_target(&folder.path("fine.npy")).unwrap();
    assert_eq!(folder.names(), ["plain", "taken.npy"]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_permissions_are_the_usual_ones() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::new();
    let real = folder.file("real.npy", "earlier");
    let link = folder.path("link.npy");
    symlink(&real, &link).unwrap();
    write_npy(&link, &[1], &[7i32]).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(npy::read_ids(&real).unwrap().values, [7]);
    let plain = folder.file("plain", "");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&real), mode(&plain));
}

#[test]
fn points_go_to_npy_alone() {
    let folder = Folder::new();
    let points = Points::new(1, Values::F32(vec![1.0])).unwrap();
    write_points(&folder.path("x.npy"), &points).unwrap();
    let path = folder.path("x.csv");
    assert!(refusal(&path, write_points(&path, &points)).contains("which must be .npy;"));
    assert_eq!(folder.names(), ["x.npy"]);
}

#[test]
fn suffixes_join_the_name() {
    for (prefix, want) in [
        ("nn", "nn.ids.npy"),
        ("out/nn", "out/nn.ids.npy"),
        ("nn/", "nn.ids.npy"),
        ("a.b", "a.b.ids.npy"),
        ("..", "../ids.npy"),
    ] {
        assert_eq!(suffixed(Path::new(prefix), ".ids.npy"), Path::new(want));
    }
}

#[test]
fn what_killed_runs_left_is_removed_and_what_is_at_work_is_not() {
    let folder = Folder::new();
    fs::write(folder.path(".x.npy.AbCdEf.partial"), b"left").unwrap();
    fs::write(folder.path(".other.npy.AbCdEf.partial"), b"of another file").unwrap();
    let mut first = Outputs::new();
    first.add_npy(&folder.path("x.npy"), &[1], &[1.0]).unwrap();
    assert!(!folder.names().contains(&".x.npy.AbCdEf.partial".to_owned()));
    write_npy(&folder.path("x.npy"), &[1], &[2.0]).unwrap();
    first.commit().unwrap();
    assert_eq!(folder.names(), [".other.npy.AbCdEf.partial", "x.npy"]);
}

#[test]
fn two_outputs_cannot_have_one_name() {
    let folder = Folder::new();
    let mut outputs = Outputs::new();
    outputs.add_npy(&folder.path("x.npy"), &[1], &[1.0]).unwrap();
    let error = outputs.add_npy(&folder.path("x.npy"), &[1], &[2.0]).unwrap_err();
    assert!(error.to_string().contains("two outputs would have this name"), "{error}");
}
