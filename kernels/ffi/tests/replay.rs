//! Replays the fuzz corpus of the C functions on stable Rust, and many plain inputs beside.

#[path = "../../../fuzz/cases/ffi/mod.rs"]
mod ffi;

use std::fs;
use std::path::Path;

#[test]
fn hostile_calls_are_refused_and_honest_ones_are_done() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/ffi");
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("there is a corpus") {
        ffi::check(&fs::read(entry.expect("the corpus can be listed").path()).expect("the corpus can be read"));
        files += 1;
    }
    assert!(files > 0, "the corpus is empty");
    let (mut state, kinds) = (1u64, i32::from(ffi::KINDS));
    // Miri checks every access of the boundary, and takes its time.
    for case in 0..if cfg!(miri) { 24 } else { 4000 } {
        let mut bytes = [0u8; 300];
        for byte in &mut bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Half of the cases of each kind have mostly harmless bytes, so that calls get far.
            *byte = (state >> 56) as u8 % if case / kinds % 2 == 0 { 220 } else { 255 };
        }
        bytes[0] = (case % kinds) as u8;
        ffi::check(&bytes);
    }
}
