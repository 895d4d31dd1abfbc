//! A file mapped into memory: the one place of this library that does something `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// The bytes of a file, loaded page by page when they are first read.
pub(crate) struct Mapping(Mmap);

impl Mapping {
    /// Maps a whole file for reading.
    ///
    /// The file must keep its bytes for as long as it is mapped, which no program can enforce: whoever made the
    /// `ReadMode` promised it.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is read-only, and its bytes are only ever used as plain values of which every pattern of
        // bits is legal, behind slices whose bounds are checked. What remains is that another program changes or
        // cuts the file meanwhile, which the caller of `ReadMode::mapped` excluded.
        unsafe { Mmap::map(file) }.map(Self)
    }

    /// The bytes.
    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
