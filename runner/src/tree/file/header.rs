//! The first bytes of a tree file, and where its sections lie.

use std::ops::Range;

pub use covertree_kernels::tree::stored::VERSION;
pub(super) use covertree_kernels::tree::stored::{
    ALIGN, BYTE_ORDER, CHECKSUM, FileHeader as Header, FileSection as Section, MAGIC, NAME, SECTIONS_MAX,
};
use covertree_kernels::tree::stored::{ORDER_BALLS, ORDER_BOXES};

use crate::tree::Order;

/// The number that stands for an order of storage.
pub(super) const fn order_code(order: Order) -> u32 {
    match order {
        Order::Blocks => ORDER_BALLS,
        Order::Cells => ORDER_BOXES,
    }
}

/// The order of storage that a number stands for.
pub(super) const fn order_of(code: u32) -> Option<Order> {
    match code {
        ORDER_BALLS => Some(Order::Blocks),
        ORDER_BOXES => Some(Order::Cells),
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
