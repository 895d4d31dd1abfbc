//! Stable merge of two sorted runs, in pieces that are found by bisection.

use super::GroupCounters;
use crate::error::{KernelError, want};
use crate::index::{Idx, at, idx_len};

/// How many keys of `left` are among the first `place` of the stable merge of `left` and `right`; the others come from
/// `right`.
///
/// The borders at several places cut one merge into independent ones for [`merge_keys`] (the merge path of O. Green,
/// R. McColl, D. Bader, *GPU merge path*, ICS 2012). The keys must rise; if they do not, the answer is some border, and
/// nothing worse happens.
///
/// # Errors
/// [`KernelError::Key`] when `place` is outside `0..=left.len() + right.len()`, [`KernelError::TooLong`].
///
/// # Cost
/// `log2(min(left, right))` comparisons.
pub fn merge_split(left: &[u64], right: &[u64], place: Idx) -> Result<Idx, KernelError> {
    let len = idx_len(left.len().saturating_add(right.len()))?;
    if !(0..=len).contains(&place) {
        return Err(KernelError::Key { at: 0, key: place, limit: len + 1 });
    }
    let place = at(place);
    let (mut low, mut high) = (place.saturating_sub(right.len()), place.min(left.len()));
    while low < high {
        let middle = low + (high - low) / 2;
        // Equal keys come from the left first, so this key of the left is among the first unless a key of the right
        // that would have to be among them is smaller.
        if left[middle] <= right[place - 1 - middle] {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    idx_len(low)
}

/// Merges two sorted runs of keys with their rows; of equal keys those of `left` come first.
///
/// | argument | shape |
/// | --- | --- |
/// | `left`, `right` | keys, rising, and rows of the same length |
/// | `keys`, `rows` | `[left + right]`, overwritten |
///
/// # Errors
/// [`KernelError::Shape`] when lengths do not fit, [`KernelError::TooLong`]; nothing is written then. Keys that do not
/// rise come out in some order.
///
/// # Cost
/// One comparison per key until one run ends, without a branch that depends on it; what is left of the other is copied.
pub fn merge_keys(
    left: (&[u64], &[Idx]),
    right: (&[u64], &[Idx]),
    keys: &mut [u64],
    rows: &mut [Idx],
    counters: &mut GroupCounters,
) -> Result<(), KernelError> {
    let len = left.0.len().saturating_add(right.0.len());
    idx_len(len)?;
    want("left", left.0.len(), left.1.len())?;
    want("right", right.0.len(), right.1.len())?;
    want("keys", len, keys.len())?;
    want("rows", len, rows.len())?;
    let (mut i, mut j) = (0, 0);
    while i < left.0.len() && j < right.0.len() {
        let (a, b) = (left.0[i], right.0[j]);
        let from_left = a <= b;
        keys[i + j] = if from_left { a } else { b };
        rows[i + j] = if from_left { left.1[i] } else { right.1[j] };
        i += usize::from(from_left);
        j += usize::from(!from_left);
    }
    let place = i + j;
    counters.compared += place as u64;
    let (left_rest, right_rest) = ((&left.0[i..], &left.1[i..]), (&right.0[j..], &right.1[j..]));
    let middle = place + left_rest.0.len();
    keys[place..middle].copy_from_slice(left_rest.0);
    rows[place..middle].copy_from_slice(left_rest.1);
    keys[middle..].copy_from_slice(right_rest.0);
    rows[middle..].copy_from_slice(right_rest.1);
    Ok(())
}
