//! The header that is checked in is the one that the source makes.

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
