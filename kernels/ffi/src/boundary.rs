//! The boundary: pointers and lengths of C become slices, or an error.

use bytemuck::Pod;
use covertree_kernels::arena::{Arena, Block};
use covertree_kernels::simd::Tier;

use crate::status::{Fault, covertree_status, wide};

/// The best tier of the machine.
pub const COVERTREE_TIER_BEST: u32 = 0;
/// The tier that runs everywhere.
pub const COVERTREE_TIER_PORTABLE: u32 = 1;
/// AVX2 and FMA.
pub const COVERTREE_TIER_AVX2: u32 = 2;
/// AVX-512 (F, BW, DQ, VL).
pub const COVERTREE_TIER_AVX512: u32 = 3;

/// Unit of scratch memory: 64 bytes at an address that is a multiple of 64. Its contents mean nothing.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct covertree_block {
    /// Anything.
    pub words: [u32; 16],
}

const _: () = assert!(size_of::<covertree_block>() == size_of::<Block>());
const _: () = assert!(align_of::<covertree_block>() == align_of::<Block>());

/// Memory that one argument of a call stands for.
#[derive(Clone, Copy)]
struct Claim {
    start: usize,
    end: usize,
    written: bool,
}

/// Most arguments of a call that are memory.
const CLAIMS_MAX: usize = 16;

/// The arguments of one call. No two of them may share memory if one is written to: that is what a `&mut` promises.
pub(crate) struct Call {
    claims: [Claim; CLAIMS_MAX],
    len: usize,
}

impl Call {
    pub fn new() -> Self {
        Self { claims: [Claim { start: 0, end: 0, written: false }; CLAIMS_MAX], len: 0 }
    }

    /// An argument that is read.
    ///
    /// # Safety
    /// `data` is null, or points to `len` values that nobody changes while the slice is in use.
    pub unsafe fn read<'a, T: Pod>(
        &mut self,
        what: &'static str,
        data: *const T,
        len: usize,
    ) -> Result<&'a [T], Fault> {
        if len == 0 {
            return Ok(&[]);
        }
        self.claim(what, data, len, false)?;
        // SAFETY: `claim` checked that the pointer is aligned and not null, that the length fits the address space, and
        // that no argument which is written to shares the memory; the rest is the caller's promise. Any bits are a `Pod`.
        Ok(unsafe { core::slice::from_raw_parts(data, len) })
    }

    /// An argument that is written to.
    ///
    /// # Safety
    /// `data` is null, or points to `len` values that nobody else looks at while the slice is in use.
    pub unsafe fn write<'a, T: Pod>(
        &mut self,
        what: &'static str,
        data: *mut T,
        len: usize,
    ) -> Result<&'a mut [T], Fault> {
        if len == 0 {
            return Ok(&mut []);
        }
        self.claim(what, data.cast_const(), len, true)?;
        // SAFETY: as for `read`; and no other argument shares the memory.
        Ok(unsafe { core::slice::from_raw_parts_mut(data, len) })
    }

    /// One value that is written to.
    ///
    /// # Safety
    /// As for [`write`](Self::write), of one value.
    pub unsafe fn one<'a, T: Pod>(&mut self, what: &'static str, data: *mut T) -> Result<&'a mut T, Fault> {
        // SAFETY: the caller's promise is the same.
        let slice = unsafe { self.write(what, data, 1) }?;
        slice.first_mut().ok_or(Fault::new(covertree_status::Null, what, 1, 0))
    }

    /// Scratch.
    ///
    /// # Safety
    /// As for [`write`](Self::write), of `len` blocks.
    pub unsafe fn arena<'a>(&mut self, data: *mut covertree_block, len: usize) -> Result<Arena<'a>, Fault> {
        // SAFETY: the caller's promise is the same, and the two types have the same size and alignment.
        let blocks = unsafe { self.write("scratch", data.cast::<Block>(), len) }?;
        Ok(Arena::new(blocks))
    }

    /// Checks a pointer; returns the range of addresses.
    fn check<T>(&self, what: &'static str, data: *const T, len: usize) -> Result<(usize, usize), Fault> {
        let bytes = len.checked_mul(size_of::<T>()).filter(|bytes| *bytes <= isize::MAX as usize);
        let Some(bytes) = bytes else {
            let most = isize::MAX as usize / size_of::<T>();
            return Err(Fault::new(covertree_status::TooLong, what, wide(most), wide(len)));
        };
        if len > 0 && data.is_null() {
            return Err(Fault::new(covertree_status::Null, what, wide(len), 0));
        }
        let (start, align) = (data.addr(), align_of::<T>());
        if len > 0 && !start.is_multiple_of(align) {
            return Err(Fault::new(covertree_status::Misaligned, what, wide(align), wide(start % align)));
        }
        match start.checked_add(bytes) {
            Some(end) => Ok((start, end)),
            None => Err(Fault::new(covertree_status::TooLong, what, wide(usize::MAX - start), wide(bytes))),
        }
    }

    /// An argument of which no slice is made: checks that it is neither null nor misaligned, and that nothing else shares its memory if
    /// either is written to.
    pub fn claim<T>(&mut self, what: &'static str, data: *const T, len: usize, written: bool) -> Result<(), Fault> {
        let (start, end) = self.check(what, data, len)?;
        let shared = |claim: &&Claim| claim.start < end && start < claim.end && (claim.written || written);
        if self.claims[..self.len].iter().any(|claim| shared(&claim)) {
            return Err(Fault::new(covertree_status::Overlap, what, 0, 0));
        }
        let slot = self.claims.get_mut(self.len).expect("no function of this interface has so many arguments");
        *slot = Claim { start, end, written };
        self.len += 1;
        Ok(())
    }
}

/// The tier of a number.
pub(crate) fn tier_of(number: u32) -> Result<Tier, Fault> {
    let name = match number {
        COVERTREE_TIER_BEST => return Ok(Tier::detect()),
        COVERTREE_TIER_PORTABLE => "portable",
        COVERTREE_TIER_AVX2 => "avx2",
        COVERTREE_TIER_AVX512 => "avx512",
        _ => return Err(Fault::choice("tier", number)),
    };
    let found = Tier::all().find(|tier| tier.name() == name);
    found.ok_or(Fault::new(covertree_status::Tier, "tier", 0, i64::from(number)))
}

/// The best tier of this machine: one of the `COVERTREE_TIER_` numbers above 0.
#[unsafe(no_mangle)]
pub extern "C" fn covertree_tier_best() -> u32 {
    match Tier::detect().name() {
        "avx2" => COVERTREE_TIER_AVX2,
        "avx512" => COVERTREE_TIER_AVX512,
        _ => COVERTREE_TIER_PORTABLE,
    }
}
