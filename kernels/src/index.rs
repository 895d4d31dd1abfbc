//! The one index type of the workspace, and the two casts that touch it.
//!
//! Rows, nodes, groups and counts are [`Idx`] wherever they are stored. `usize` lives only inside an
//! expression that slices: lengths are narrowed once by [`idx_len`], indices are widened by [`at`].

use crate::error::KernelError;

/// Index of a row, node or group. Never negative, except [`NONE`].
pub type Idx = i32;

/// "No such row".
pub const NONE: Idx = -1;

/// Longest array that an [`Idx`] may address: one below `i32::MAX`, so that a length fits too.
pub const LEN_MAX: usize = i32::MAX as usize - 1;

/// Narrows a length, once, where data enters the crate.
///
/// # Errors
/// [`KernelError::TooLong`] when `len` is above [`LEN_MAX`].
pub const fn idx_len(len: usize) -> Result<Idx, KernelError> {
    if len <= LEN_MAX {
        Ok(len as Idx) // fits: LEN_MAX is below i32::MAX
    } else {
        Err(KernelError::TooLong { len })
    }
}

/// Widens a stored index so that it can slice.
///
/// A negative index is a broken invariant: it fails a debug assertion, and in a release build it becomes
/// so large that the slice that it indexes refuses it.
#[inline(always)]
pub const fn at(index: Idx) -> usize {
    debug_assert!(index >= 0);
    index as usize // sign-extends: a negative index is out of range of every slice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_narrowed_up_to_the_limit_and_refused_above() {
        assert_eq!(idx_len(0), Ok(0));
        assert_eq!(idx_len(LEN_MAX), Ok(i32::MAX - 1));
        assert_eq!(idx_len(LEN_MAX + 1), Err(KernelError::TooLong { len: LEN_MAX + 1 }));
    }

    #[test]
    fn an_index_is_widened_unchanged() {
        assert_eq!(at(0), 0);
        assert_eq!(at(i32::MAX - 1), LEN_MAX);
    }
}
