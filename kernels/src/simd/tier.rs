//! The run-time choice of a tier.

use core::fmt;
use core::str::FromStr;

use super::portable::Portable;
use super::{Lanes, OnLanes};
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
use super::{avx2, avx512};

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
cpufeatures::new!(has_avx2, "avx2", "fma");
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
cpufeatures::new!(has_avx512, "avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl");

/// Proof that the machine runs a set of vector instructions.
///
/// Only detection makes one of a tier above `portable`, so *having* the token is the proof.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tier(Kind);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Portable,
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    Avx2,
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    Avx512,
}

/// This machine cannot run the tier that was asked for, or there is no tier of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierUnavailable;

impl fmt::Display for TierUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this machine offers ")?;
        for (at, tier) in Tier::all().enumerate() {
            write!(f, "{}{tier}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl core::error::Error for TierUnavailable {}

impl Tier {
    /// The tier that runs everywhere.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// The best tier of this machine. Reads the processor's flags once and remembers them; needs no std.
    pub fn detect() -> Self {
        #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
        {
            if has_avx512::get() {
                return Self(Kind::Avx512);
            }
            if has_avx2::get() {
                return Self(Kind::Avx2);
            }
        }
        Self::PORTABLE
    }

    /// Every tier that this machine can run, plainest first.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
        let above = [(has_avx2::get(), Kind::Avx2), (has_avx512::get(), Kind::Avx512)];
        #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
        let above: [(bool, Kind); 0] = [];
        let above = above.into_iter().filter_map(|(has, kind)| has.then_some(Self(kind)));
        core::iter::once(Self::PORTABLE).chain(above)
    }

    /// `portable`, `avx2` or `avx512`.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx2 => "avx2",
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx512 => "avx512",
        }
    }

    /// Runs a kernel body with this tier's vectors, inside one function compiled for them.
    #[inline]
    pub fn run<K: OnLanes>(self, kernel: K) -> K::Out {
        match self.0 {
            Kind::Portable => kernel.run::<Portable>(),
            // SAFETY: a token of this kind exists only after `has_avx2` said that the processor and the operating
            // system support the features that `enter` enables.
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx2 => unsafe { avx2::enter(kernel) },
            // SAFETY: as above, with `has_avx512`.
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx512 => unsafe { avx512::enter(kernel) },
        }
    }

    /// The tier for bodies that gain nothing from 512-bit registers: AVX2 on machines with AVX-512. Some processors run 512
    /// bits in two halves, and only masks, more registers or fewer instructions make up for what it costs to join them.
    pub(crate) fn at_256_bits(self) -> Self {
        match self.0 {
            // What proves AVX-512 proves AVX2 too: its detection asks for both.
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx512 => Self(Kind::Avx2),
            _ => self,
        }
    }

    /// The tier for bodies that are plain loops over words, which the compiler is to turn into vectors: it does so well
    /// with the 256-bit registers of AVX2, and for AVX-512 mixes masks, permutations and gathers into code half as fast or worse.
    pub(crate) fn for_words(self) -> Self {
        self.at_256_bits()
    }

    /// Rows of the register tile that suits this tier.
    pub fn tile_rows(self) -> usize {
        struct Rows;
        impl OnLanes for Rows {
            type Out = usize;
            #[inline(always)]
            fn run<L: Lanes>(self) -> usize {
                L::TILE_ROWS
            }
        }
        self.run(Rows)
    }
}

impl FromStr for Tier {
    type Err = TierUnavailable;
    fn from_str(name: &str) -> Result<Self, TierUnavailable> {
        Self::all().find(|tier| tier.name() == name).ok_or(TierUnavailable)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tier({})", self.name())
    }
}
