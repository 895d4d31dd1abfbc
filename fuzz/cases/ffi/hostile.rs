//! Arguments that are mostly right: lengths, numbers and pointers out of fuzz input.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr;

use bytemuck::{Pod, Zeroable};
use covertree::{COVERTREE_NAME_LEN, covertree_block, covertree_error, covertree_status, covertree_tier_best};

/// Memory of one argument.
struct Piece {
    start: *mut u8,
    layout: Layout,
    /// The bytes before the call, of an output.
    before: Option<Vec<u8>>,
}

/// Memory of one block of scratch, as aligned as C must have it.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Room([u64; 8]);

// SAFETY: it is numbers, and zeros are numbers.
unsafe impl Zeroable for Room {}
// SAFETY: it is numbers, as many as its alignment has bytes: nothing lies between or after them.
unsafe impl Pod for Room {}

/// One call and all its memory.
pub(super) struct Hostile<'a> {
    pub(super) data: &'a [u8],
    pieces: Vec<Piece>,
    /// Whether every argument so far is as it should be.
    pub(super) honest: bool,
    pub(super) error: covertree_error,
}

impl Drop for Hostile<'_> {
    fn drop(&mut self) {
        for piece in &self.pieces {
            // SAFETY: it was allocated with this layout, and is freed once.
            unsafe { dealloc(piece.start, piece.layout) };
        }
    }
}

pub(super) const NO_ERROR: covertree_error =
    covertree_error { code: covertree_status::Ok, need: -1, have: -1, at: -1, what: [0; COVERTREE_NAME_LEN] };

impl<'a> Hostile<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, pieces: Vec::new(), honest: true, error: NO_ERROR }
    }

    pub(super) fn u8(&mut self) -> u8 {
        let Some((&first, rest)) = self.data.split_first() else { return 0 };
        self.data = rest;
        first
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (usize::from(self.u8()) << 8 | usize::from(self.u8())) % limit
    }

    /// A number that is no length of memory: mostly the right one, sometimes one that no memory has.
    pub(super) fn number(&mut self, right: usize) -> usize {
        let wrong = match self.u8() {
            0..=219 => return right,
            220..=229 => right.wrapping_add(1),
            230..=236 => right.wrapping_sub(1),
            237..=242 => 0,
            243..=246 => usize::MAX,
            247..=250 => usize::MAX / 8,
            _ => i32::MAX as usize,
        };
        self.honest &= wrong == right;
        wrong
    }

    /// A length of memory, near the right one.
    pub(super) fn len(&mut self, right: usize) -> usize {
        let wrong = match self.u8() {
            0..=219 => return right,
            220..=230 => right + 1,
            231..=240 => right.saturating_sub(1),
            241..=246 => 0,
            _ => self.below(64),
        };
        self.honest &= wrong == right;
        wrong
    }

    /// A choice among a few, or none of them.
    pub(super) fn choice(&mut self, choices: u32) -> u32 {
        let choice = u32::from(self.u8()) % (choices + 1);
        self.honest &= choice < choices;
        choice
    }

    pub(super) fn tier(&mut self) -> u32 {
        let tier = u32::from(self.u8()) % 5;
        self.honest &= tier <= covertree_tier_best();
        tier
    }

    /// Memory of so many values, or a pointer that must be refused.
    pub(super) fn memory<T: Pod>(&mut self, len: usize, output: bool) -> *mut T {
        let (bytes, kind) = (len * size_of::<T>(), self.u8());
        if kind >= 250 && len > 0 {
            self.honest = false;
            return ptr::null_mut();
        }
        if (240..250).contains(&kind) && len > 0 {
            // Another argument, if there is one that is long enough.
            let other =
                self.pieces.iter().find(|piece| piece.layout.size() > bytes && piece.layout.align() >= align_of::<T>());
            if let Some(other) = other {
                self.honest = false;
                return other.start.cast();
            }
        }
        let shift = usize::from((230..240).contains(&kind) && align_of::<T>() > 1 && len > 0);
        self.honest &= shift == 0;
        // One more byte at least, since there is no allocation of none; never within reach of a shorter claim.
        let layout = Layout::from_size_align((bytes + shift).max(1), align_of::<T>()).expect("a small layout");
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc(layout) };
        assert!(!start.is_null());
        for i in 0..layout.size() {
            // SAFETY: within the allocation.
            unsafe { start.add(i).write(0xa5) };
        }
        let before = output.then(|| vec![0xa5; layout.size()]);
        self.pieces.push(Piece { start, layout, before });
        // SAFETY: within the allocation, or one past it.
        unsafe { start.add(shift) }.cast()
    }

    pub(super) fn output<T: Pod>(&mut self, len: usize) -> *mut T {
        self.memory(len, true)
    }

    /// So many blocks of scratch, or a pointer that must be refused. What a failed call leaves there means nothing.
    pub(super) fn scratch(&mut self, blocks: usize) -> *mut covertree_block {
        self.memory::<Room>(blocks, false).cast()
    }

    /// What an honest call wrote to an output.
    pub(super) fn written<T: Pod>(&self, output: *const T, len: usize) -> &[T] {
        let own = |piece: &&Piece| piece.start.addr() == output.addr() && piece.before.is_some();
        let piece = self.pieces.iter().find(own).expect("an honest call has outputs of its own");
        assert!(len * size_of::<T>() <= piece.layout.size() && align_of::<T>() <= piece.layout.align());
        // SAFETY: the allocation has room for so many, all of it was written, and any bits are a value.
        unsafe { std::slice::from_raw_parts(piece.start.cast(), len) }
    }

    /// The length of memory, or one that no memory has: it is refused before anything is looked at.
    pub(super) fn claim(&mut self, len: usize) -> usize {
        let claimed = if self.u8() > 250 { usize::MAX / 8 } else { len };
        self.honest &= claimed == len;
        claimed
    }

    /// An input that holds the values, as far as there is room; padded with zeros.
    pub(super) fn input<T: Pod>(&mut self, values: &[T], len: usize) -> *const T {
        let memory: *mut T = self.memory(len, false);
        let own = self.pieces.last().is_some_and(|piece| piece.start.addr() == memory.addr() && piece.before.is_none());
        if own && memory.is_aligned() {
            for i in 0..len {
                // SAFETY: the allocation holds `len` values.
                unsafe { memory.add(i).write(values.get(i).copied().unwrap_or(T::zeroed())) };
            }
        }
        memory
    }

    /// What every call must keep to.
    pub(super) fn settle(&self, status: covertree_status) -> bool {
        assert!(!self.honest || status == covertree_status::Ok, "refused: {:?}", self.error);
        if status == covertree_status::Ok {
            return self.honest;
        }
        assert_eq!((status, self.error.what[0] != 0), (self.error.code, true));
        for piece in &self.pieces {
            if let Some(before) = &piece.before {
                // SAFETY: the allocation is that long, and all of it was written.
                let now = unsafe { std::slice::from_raw_parts(piece.start, piece.layout.size()) };
                assert_eq!(now, before, "an output changed although the call failed: {:?}", self.error);
            }
        }
        false
    }
}
