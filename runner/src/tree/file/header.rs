//! The first bytes of a tree file, and where its sections lie.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use covertree_kernels::index::Idx;

use crate::tree::Order;

/// The first eight bytes. The first one is no text, and the line ends break when the file is sent as text.
pub(super) const MAGIC: [u8; 8] = *b"\x89ctree\r\n";
/// The version of the format that this program writes and reads.
pub const VERSION: u32 = 1;
/// Reads otherwise in the other order of bytes.
pub(super) const BYTE_ORDER: u32 = 0x0102_0304;
/// Sections begin at multiples of this, so that every type of value is aligned in a mapping.
pub(super) const ALIGN: usize = 64;
/// Bytes of the checksum at the end.
pub(super) const CHECKSUM: usize = 16;
/// Most sections of a file.
pub(super) const SECTIONS_MAX: usize = 1 << 10;
/// Bytes of the name of a section; shorter names are padded with zeros.
pub(super) const NAME: usize = 16;

/// What stands at the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Header {
    pub magic: [u8; 8],
    pub version: u32,
    pub byte_order: u32,
    /// Bytes of the whole file.
    pub file_bytes: u64,
    /// Entries of the table of sections, which follows the header.
    pub sections: u32,
    /// 0 without packed points, else the bytes of a coordinate: 4 or 8.
    pub dtype: u32,
    /// 1 by blocks, 2 by cells.
    pub order: u32,
    /// Coordinates of a packed point.
    pub dim: u32,
    pub len: Idx,
    pub groups: Idx,
    /// The first number that is not yet the id of a row.
    pub next_id: Idx,
    pub unused: u32,
    pub base: f64,
    pub scale: f64,
    pub seed: u64,
    pub reserved: [u64; 6],
}

/// One entry of the table of sections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Section {
    pub name: [u8; NAME],
    pub offset: u64,
    pub bytes: u64,
}

/// The header has no padding, and it leaves the table aligned.
const _: () = assert!(size_of::<Header>() == 2 * ALIGN && size_of::<Section>() == 32);

/// The number that stands for an order of storage.
pub(super) const fn order_code(order: Order) -> u32 {
    match order {
        Order::Blocks => 1,
        Order::Cells => 2,
    }
}

/// The order of storage that a number stands for.
pub(super) const fn order_of(code: u32) -> Option<Order> {
    match code {
        1 => Some(Order::Blocks),
        2 => Some(Order::Cells),
        _ => None,
    }
}

/// Where sections of these lengths lie, one after the other, and the bytes of the file; `None` if 64 bits cannot count
/// them.
pub(super) fn places(lengths: &[u64]) -> Option<(Vec<Range<u64>>, u64)> {
    let table = lengths.len().checked_mul(size_of::<Section>())?.checked_add(size_of::<Header>())?;
    let mut end = table as u64; // usize has at most 64 bits
    let mut places = Vec::with_capacity(lengths.len());
    for &bytes in lengths {
        let start = end.checked_next_multiple_of(ALIGN as u64)?;
        end = start.checked_add(bytes)?;
        places.push(start..end);
    }
    Some((places, end.checked_add(CHECKSUM as u64)?))
}

/// A name as the table holds it; `None` unless it has 1 to 16 characters among small letters, digits, `.`, `-` and `_`.
pub(super) fn name_bytes(name: &str) -> Option<[u8; NAME]> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    if name.is_empty() || name.len() > NAME || !name.bytes().all(legal) {
        return None;
    }
    let mut bytes = [0; NAME];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Some(bytes)
}

/// The name that an entry of the table holds.
pub(super) fn name_of(bytes: &[u8; NAME]) -> Option<&str> {
    let len = bytes.iter().position(|&byte| byte == 0).unwrap_or(NAME);
    let name = std::str::from_utf8(&bytes[..len]).ok()?;
    (name_bytes(name).as_ref() == Some(bytes)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_follow_each_other_in_line() {
        let (places, bytes) = places(&[0, 3, 64]).unwrap();
        assert_eq!((places, bytes), (vec![256..256, 256..259, 320..384], 400));
        assert!(super::places(&[u64::MAX]).is_none());
        assert!(super::places(&[u64::MAX - 500, 500]).is_none());
    }

    #[test]
    fn names_are_short_and_plain() {
        for name in ["v", "landmarks.basis", "sixteen-letters_"] {
            assert_eq!(name_of(&name_bytes(name).unwrap()), Some(name));
        }
        for name in ["", "seventeen-letters", "V", "a b", "é"] {
            assert_eq!(name_bytes(name), None);
        }
        assert_eq!(name_of(b"a\0b\0\0\0\0\0\0\0\0\0\0\0\0\0"), None);
    }
}
