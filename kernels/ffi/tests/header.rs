//! The header that is checked in is the one that the source makes, and all of it is fuzzed.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

#[test]
fn the_header_is_up_to_date() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).expect("the configuration is valid");
    let mut generated = Vec::new();
    cbindgen::generate_with_config(crate_dir, config).expect("the source can be parsed").write(&mut generated);
    let generated = String::from_utf8(generated).expect("a header is text");
    let path = crate_dir.join("include/covertree.h");
    if env::var_os("UPDATE_HEADER").is_some() {
        fs::write(&path, generated).expect("the header can be written");
        return;
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == generated,
        "include/covertree.h is out of date: UPDATE_HEADER=1 cargo test --features std --test header"
    );
}

/// The lines of a text that are no comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The names in a piece of C or Rust.
fn names(code: &str) -> impl DoubleEndedIterator<Item = &str> {
    code.split(|letter: char| letter != '_' && !letter.is_ascii_alphanumeric())
}

#[test]
fn every_function_of_the_header_is_called_by_the_fuzz_cases() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = fs::read_to_string(crate_dir.join("include/covertree.h")).expect("there is a header");
    // A declaration has the name right before its first parenthesis.
    let before =
        code(&header).filter_map(|line| line.split_once('(')).filter_map(|(start, _)| names(start).next_back());
    let declared: BTreeSet<&str> = before.filter(|name| name.starts_with("covertree_")).collect();
    assert!(declared.len() >= 40, "the header is not understood: {declared:?}");

    let mut called = BTreeSet::new();
    for entry in fs::read_dir(crate_dir.join("../../fuzz/cases/ffi")).expect("there are cases") {
        let path = entry.expect("the cases can be listed").path();
        let text = fs::read_to_string(&path).expect("the cases can be read");
        called.extend(code(&text).flat_map(names).map(String::from));
    }
    let forgotten: Vec<&str> = declared.into_iter().filter(|name| !called.contains(*name)).collect();
    assert!(forgotten.is_empty(), "no case of fuzz/cases/ffi calls {forgotten:?}");
}
