//! The one error type of the kernels.

use core::fmt;

use crate::index::Idx;

/// Why a kernel refused its arguments. Nothing has been written when one is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelError {
    /// `what` must have `want` elements.
    Shape {
        /// The argument's name.
        what: &'static str,
        /// The length that the other arguments imply.
        want: usize,
        /// The length that was given.
        got: usize,
    },
    /// The arena has `have` free blocks; the call needs `need`.
    Scratch {
        /// Blocks that the call needs.
        need: usize,
        /// Blocks that were free.
        have: usize,
    },
    /// `len` does not fit the 32-bit index range.
    TooLong {
        /// The length that was given.
        len: usize,
    },
    /// `keys[at] = key` lies outside `0..limit`.
    Key {
        /// Where in the argument.
        at: Idx,
        /// The value found there.
        key: Idx,
        /// The first value that is too large.
        limit: Idx,
    },
    /// `what` must be at least `least`.
    Least {
        /// The argument's name.
        what: &'static str,
        /// The smallest legal value.
        least: usize,
        /// The value that was given.
        got: usize,
    },
    /// `what` must be at most `most`.
    Most {
        /// The argument's name.
        what: &'static str,
        /// The largest legal value.
        most: usize,
        /// The value that was given.
        got: usize,
    },
    /// `what[at]` breaks a rule that the documentation of `what` states.
    Value {
        /// The argument's name.
        what: &'static str,
        /// The first place that breaks the rule.
        at: usize,
    },
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Shape { what, want, got } => write!(f, "{what} must have {want} elements, not {got}"),
            Self::Scratch { need, have } => write!(f, "the arena has {have} free blocks; the call needs {need}"),
            Self::TooLong { len } => write!(f, "a length of {len} does not fit 32-bit indices"),
            Self::Key { at, key, limit } => write!(f, "keys[{at}] = {key} lies outside 0..{limit}"),
            Self::Least { what, least, got } => write!(f, "{what} must be at least {least}, not {got}"),
            Self::Most { what, most, got } => write!(f, "{what} must be at most {most}, not {got}"),
            Self::Value { what, at } => write!(f, "{what}[{at}] has a value that is not allowed there"),
        }
    }
}

impl core::error::Error for KernelError {}

/// Refuses an argument whose length is not what the others imply.
#[inline(always)]
pub(crate) const fn want(what: &'static str, want: usize, got: usize) -> Result<(), KernelError> {
    if want == got { Ok(()) } else { Err(KernelError::Shape { what, want, got }) }
}
