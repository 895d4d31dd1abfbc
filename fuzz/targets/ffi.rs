#![no_main]
#[path = "../cases/ffi/mod.rs"]
mod ffi;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ffi::check(data));
