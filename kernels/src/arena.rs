//! Scratch memory that the caller owns, cut into typed slices.
//!
//! A kernel that needs scratch takes `&mut Arena` and has a `const fn ..._blocks(shape)` directly above it,
//! which says exactly how many [`Block`]s it takes. Contents are never assumed to be zero.

use core::fmt;

use bytemuck::{Pod, Zeroable};

use crate::error::KernelError;

/// Unit of the arena: 64 bytes, 64-byte aligned: one cache line, one AVX-512 register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Block([u32; 16]);

impl Block {
    /// A block filled with a word; `Block::default()` is one of zeros.
    pub const fn splat(word: u32) -> Self {
        Self([word; 16])
    }
}

/// Blocks that hold `len` values of `T`. Saturates, so that a hopeless size fails in [`Arena::take`].
pub const fn blocks<T>(len: usize) -> usize {
    len.saturating_mul(size_of::<T>()).div_ceil(size_of::<Block>())
}

/// A stack of typed slices cut from the caller's memory.
pub struct Arena<'a> {
    free: &'a mut [Block],
}

impl fmt::Debug for Arena<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("free", &self.free()).finish()
    }
}

impl<'a> Arena<'a> {
    /// An arena over the whole of `memory`.
    pub fn new(memory: &'a mut [Block]) -> Self {
        Self { free: memory }
    }

    /// Blocks that are still free.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Cuts off `len` values of `T`, aligned to 64 bytes, contents unspecified.
    ///
    /// # Errors
    /// [`KernelError::Scratch`] when fewer than [`blocks::<T>(len)`](blocks) blocks are free; nothing is cut then.
    pub fn take<T: Pod>(&mut self, len: usize) -> Result<&'a mut [T], KernelError> {
        const { assert!(size_of::<Block>().is_multiple_of(size_of::<T>())) };
        let (need, have) = (blocks::<T>(len), self.free.len());
        if need > have {
            return Err(KernelError::Scratch { need, have });
        }
        let (head, rest) = core::mem::take(&mut self.free).split_at_mut(need);
        self.free = rest;
        Ok(&mut bytemuck::cast_slice_mut(head)[..len])
    }

    /// A nested arena over what is left; its memory returns when it is dropped.
    pub fn scope(&mut self) -> Arena<'_> {
        Arena { free: self.free }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_aligned_disjoint_and_returned_by_a_scope() {
        let mut memory = [Block::splat(7); 4];
        let mut arena = Arena::new(&mut memory);
        {
            let mut inner = arena.scope();
            let bytes = inner.take::<u8>(65).unwrap();
            assert_eq!((bytes.len(), bytes.as_ptr().align_offset(64)), (65, 0));
            let words = inner.take::<f64>(8).unwrap();
            assert_eq!((words.len(), words.as_ptr().align_offset(64)), (8, 0));
            assert_eq!(inner.free(), 1);
            assert_eq!(inner.take::<f32>(17), Err(KernelError::Scratch { need: 2, have: 1 }));
            assert_eq!(inner.take::<f32>(16).map(|s| s.len()), Ok(16));
        }
        assert_eq!(arena.free(), 4);
    }

    #[test]
    fn a_hopeless_size_saturates_and_fails() {
        assert_eq!(blocks::<f64>(usize::MAX), usize::MAX.div_ceil(64));
        assert!(Arena::new(&mut []).take::<f64>(usize::MAX).is_err());
        assert_eq!(Arena::new(&mut []).take::<f64>(0).map(|s| s.len()), Ok(0));
    }
}
