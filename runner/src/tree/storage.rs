//! Arrays that own their memory, or share that of a file which was read or mapped as a whole.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use bytemuck::Pod;
use covertree_kernels::arena::{Block, blocks};

use super::file::Mapping;

/// An array of plain values: a `Vec`, or a part of a file in memory that other arrays share.
///
/// Reading is the same for both. To change a shared array, also through [`DerefMut`], copies it first.
///
/// A clone of a shared array shares it too; one of another is a copy that begins with a cache line.
pub struct Storage<T>(Kind<T>);

enum Kind<T> {
    /// The values from `start` on.
    Owned { values: Vec<T>, start: usize },
    /// Bytes of a file, aligned for `T` and whole values long.
    Shared { file: Arc<FileBytes>, bytes: Range<usize> },
}

impl<T: Pod> Storage<T> {
    /// So many zeros, the first of them at the beginning of a cache line: a vector of packed points then lies within
    /// one, and is read up to half as fast again as one that straddles two.
    pub(crate) fn zeroed(len: usize) -> Self {
        let line = size_of::<Block>();
        let mut values = vec![T::zeroed(); len + line / size_of::<T>()];
        let start = values.as_ptr().align_offset(line).min(values.len() - len);
        values.truncate(start + len);
        Self(Kind::Owned { values, start })
    }

    /// The values at `bytes` of a file; `None` if they are not there, cut a value, or are not aligned for it.
    pub(crate) fn shared(file: &Arc<FileBytes>, bytes: Range<usize>) -> Option<Self> {
        bytemuck::try_cast_slice::<u8, T>(file.as_bytes().get(bytes.clone())?).ok()?;
        Some(Self(Kind::Shared { file: Arc::clone(file), bytes }))
    }

    /// The array as one that can grow; a shared one is copied first.
    pub fn to_mut(&mut self) -> &mut Vec<T> {
        let (values, start) = self.own();
        values.drain(..std::mem::take(start));
        values
    }

    /// The memory of the array and where it begins there; a shared one is copied first.
    fn own(&mut self) -> (&mut Vec<T>, &mut usize) {
        if self.is_shared() {
            self.0 = Kind::Owned { values: self.to_vec(), start: 0 };
        }
        match &mut self.0 {
            Kind::Owned { values, start } => (values, start),
            Kind::Shared { .. } => unreachable!("it was copied above"),
        }
    }

    /// Whether the array lies in the memory of a file.
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Kind::Shared { .. })
    }
}

impl Storage<u8> {
    /// The bytes as values of another type; `None` where they do not make up whole values.
    ///
    /// # Cost
    /// None for a section of a tree file; bytes of other origin are copied.
    pub fn typed<T: Pod>(&self) -> Option<Storage<T>> {
        if !self.len().is_multiple_of(size_of::<T>()) {
            return None;
        }
        let shared = match &self.0 {
            Kind::Shared { file, bytes } => Storage::shared(file, bytes.clone()),
            Kind::Owned { .. } => None,
        };
        Some(shared.unwrap_or_else(|| bytemuck::pod_collect_to_vec::<u8, T>(self).into()))
    }
}

impl<T: Pod> Clone for Storage<T> {
    fn clone(&self) -> Self {
        match &self.0 {
            Kind::Owned { .. } => {
                let mut copy = Self::zeroed(self.len());
                copy.copy_from_slice(self);
                copy
            }
            Kind::Shared { file, bytes } => Self(Kind::Shared { file: Arc::clone(file), bytes: bytes.clone() }),
        }
    }
}

impl<T> From<Vec<T>> for Storage<T> {
    fn from(values: Vec<T>) -> Self {
        Self(Kind::Owned { values, start: 0 })
    }
}

impl<T> Default for Storage<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T: Pod> Deref for Storage<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Kind::Owned { values, start } => &values[*start..],
            Kind::Shared { file, bytes } => bytemuck::cast_slice(&file.as_bytes()[bytes.clone()]),
        }
    }
}

impl<T: Pod> DerefMut for Storage<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let (values, start) = self.own();
        &mut values[*start..]
    }
}

impl<T: Pod + PartialEq> PartialEq for Storage<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Storage<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A whole file in memory, at an address that suits every type of value.
pub(crate) enum FileBytes {
    /// Read: so many bytes at the front of the blocks.
    Read(Vec<Block>, usize),
    /// Mapped.
    Mapped(Mapping),
}

impl FileBytes {
    /// Room for `len` bytes, all zero; `None` if there is not so much memory.
    pub(crate) fn zeroed(len: usize) -> Option<Self> {
        Some(Self::Read(bytemuck::try_zeroed_vec(blocks::<u8>(len)).ok()?, len))
    }

    /// The bytes.
    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Read(blocks, len) => &bytemuck::cast_slice(blocks)[..*len],
            Self::Mapped(mapping) => mapping.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> Arc<FileBytes> {
        let FileBytes::Read(mut blocks, len) = FileBytes::zeroed(bytes.len()).unwrap() else { unreachable!() };
        bytemuck::cast_slice_mut(&mut blocks)[..len].copy_from_slice(bytes);
        Arc::new(FileBytes::Read(blocks, len))
    }

    #[test]
    fn a_shared_array_reads_the_file_and_is_copied_before_a_change() {
        let file = file(&[1, 0, 0, 0, 2, 0, 0, 0, 9]);
        let mut values: Storage<i32> = Storage::shared(&file, 0..8).unwrap();
        let before = values.clone();
        assert_eq!((&*values, values.is_shared()), (&[1, 2][..], true));
        values[1] = 7;
        values.to_mut().push(8);
        assert_eq!((&*values, values.is_shared(), &*before), (&[1, 7, 8][..], false, &[1, 2][..]));
    }

    #[test]
    fn zeros_begin_with_a_cache_line_wherever_they_are_changed() {
        for len in [0, 1, 15, 16, 17, 5000] {
            let mut values = Storage::<f32>::zeroed(len);
            assert_eq!((&*values, values.as_ptr().align_offset(64)), (&vec![0.0; len][..], 0));
            values.iter_mut().zip(1u16..).for_each(|(value, number)| *value = number.into());
            assert_eq!(values.as_ptr().align_offset(64), 0, "nothing was copied");
            let (same, mut grown) = (values.clone(), values.clone());
            assert_eq!([&same, &grown].map(|copy| copy.as_ptr().align_offset(64)), [0; 2]);
            grown.to_mut().push(-1.0);
            assert!(same == values && grown[..len] == *values && grown[len..] == [-1.0]);
        }
    }

    #[test]
    fn what_is_not_there_cut_or_out_of_line_is_refused() {
        let file = file(&[0; 17]);
        for bytes in [0..20, 0..6, 2..6, 16..24] {
            assert!(Storage::<i32>::shared(&file, bytes).is_none());
        }
        assert!(Storage::<i32>::shared(&file, 16..16).unwrap().is_empty());
    }

    #[test]
    fn bytes_become_values() {
        let shared: Storage<u8> = Storage::shared(&file(&1.5f64.to_ne_bytes()), 0..8).unwrap();
        let owned = Storage::from(1.5f64.to_ne_bytes().to_vec());
        for (bytes, in_place) in [(shared, true), (owned, false)] {
            let values = bytes.typed::<f64>().unwrap();
            assert_eq!((&*values, values.is_shared()), (&[1.5][..], in_place));
        }
        assert!(Storage::from(vec![0u8; 9]).typed::<f64>().is_none());
    }
}
