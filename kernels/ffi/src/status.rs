//! Codes, and errors with both numbers.

use core::ffi::c_char;

use covertree_kernels::error::KernelError;
use covertree_kernels::index::LEN_MAX;

/// Bytes of a name in this interface, the zero at its end included.
pub const COVERTREE_NAME_LEN: usize = 32;

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum covertree_status {
    /// Done.
    Ok = 0,
    /// `what` must have `need` elements (or bytes, for a section of a file), not `have`.
    Shape = 1,
    /// The call needs `need` blocks of scratch; there are `have`.
    Scratch = 2,
    /// `have` is more than `need`, the most that 32-bit indices (or the address space) can hold.
    TooLong = 3,
    /// Element `at` is `have`, which lies outside `0..need`.
    Key = 4,
    /// `what` must be at least `need`, not `have`.
    Least = 5,
    /// Element `at` of `what` (a byte, for a file) has a value that is not allowed there.
    Value = 6,
    /// `what` is null, where `need` elements are needed.
    Null = 7,
    /// `what` must be aligned to `need` bytes; its address is `have` bytes beyond such a place.
    Misaligned = 8,
    /// `what` shares memory with another argument, and one of the two is written to.
    Overlap = 9,
    /// This machine does not have the tier `have`.
    Tier = 10,
    /// `what` cannot be `have`: there is no such choice.
    Choice = 11,
    /// The handle of the tree was not filled by `covertree_tree_open`.
    NotOpen = 12,
    /// The tree has coordinates of another precision, or a metric that this library lacks.
    Metric = 13,
    /// The checksum of the file does not match its contents.
    Checksum = 14,
    /// `what` must be at most `need`, not `have`.
    Most = 15,
}

/// What was wrong, with both numbers; see [`covertree_status`] for their meaning. Those without one are 0.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct covertree_error {
    /// The code that was returned.
    pub code: covertree_status,
    /// What was needed.
    pub need: i64,
    /// What was there.
    pub have: i64,
    /// Where in the argument.
    pub at: i64,
    /// Name of the argument, zero-terminated.
    pub what: [c_char; COVERTREE_NAME_LEN],
}

/// A failed call, before it is told to C.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub code: covertree_status,
    pub what: &'static str,
    pub need: i64,
    pub have: i64,
    pub at: i64,
}

impl Fault {
    pub fn new(code: covertree_status, what: &'static str, need: i64, have: i64) -> Self {
        Self { code, what, need, have, at: 0 }
    }

    /// There is no such choice.
    pub fn choice(what: &'static str, have: u32) -> Self {
        Self::new(covertree_status::Choice, what, 0, i64::from(have))
    }
}

/// A length as C sees it.
pub(crate) fn wide(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

impl From<KernelError> for Fault {
    fn from(error: KernelError) -> Self {
        use covertree_status as Code;
        let fault = |code, what, need, have| Self::new(code, what, wide(need), wide(have));
        match error {
            KernelError::Shape { what, want, got } => fault(Code::Shape, what, want, got),
            KernelError::Scratch { need, have } => fault(Code::Scratch, "scratch", need, have),
            KernelError::TooLong { len } => fault(Code::TooLong, "length", LEN_MAX, len),
            KernelError::Key { at, key, limit } => {
                Self { at: at.into(), ..Self::new(Code::Key, "key", limit.into(), key.into()) }
            }
            KernelError::Least { what, least, got } => fault(Code::Least, what, least, got),
            KernelError::Most { what, most, got } => fault(Code::Most, what, most, got),
            KernelError::Value { what, at } => Self { at: wide(at), ..fault(Code::Value, what, 0, 0) },
            // An error that this crate does not know yet.
            _ => fault(Code::Value, "argument", 0, 0),
        }
    }
}

/// Tells C what a call came to.
///
/// # Safety
/// `error` is null or points to room for an error.
pub(crate) unsafe fn finish(result: Result<(), Fault>, error: *mut covertree_error) -> covertree_status {
    let fault = match result {
        Ok(()) => return covertree_status::Ok,
        Err(fault) => fault,
    };
    if !error.is_null() && error.is_aligned() {
        let Fault { code, what, need, have, at } = fault;
        let mut name = [0; COVERTREE_NAME_LEN];
        for (to, &byte) in name.iter_mut().zip(what.as_bytes()).take(COVERTREE_NAME_LEN - 1) {
            *to = byte as c_char; // names are ASCII
        }
        // SAFETY: the pointer is not null and aligned; that there is room is the caller's promise.
        unsafe { error.write(covertree_error { code, need, have, at, what: name }) };
    }
    fault.code
}
