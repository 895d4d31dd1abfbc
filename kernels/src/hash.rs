//! Random choices that depend on what is chosen, never on who asks first: a hash of (seed, round, vertex).
//!
//! A stream of random numbers would have to be handed around in some order; a hash gives every vertex its own number,
//! so that any split over threads makes the same choices.

use crate::index::Idx;

/// Odd, and close to `2^64` divided by the golden ratio: multiples of it spread evenly.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A bijection of 64-bit words in which every input bit changes about half of the output bits. `mix64(0) = 0`.
///
/// Source: the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
#[inline(always)]
pub const fn mix64(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The priority of `vertex` in a round: the least one wins, ties fall to the lower vertex.
///
/// `mix64(mix64(seed ^ GOLDEN * (round + 1)) ^ vertex)`, wrapping: different vertices of one round never tie.
#[inline(always)]
pub const fn priority(seed: u64, round: u32, vertex: Idx) -> u64 {
    // Widens: u32 always fits u64, and a vertex is never negative.
    mix64(mix64(seed ^ GOLDEN.wrapping_mul(round as u64 + 1)) ^ vertex as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_that_of_splitmix64() {
        // The first outputs of SplitMix64 from state 0: the state is a multiple of GOLDEN.
        assert_eq!(mix64(GOLDEN), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix64(GOLDEN.wrapping_mul(2)), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(mix64(GOLDEN.wrapping_mul(3)), 0x06c4_5d18_8009_454f);
    }

    #[test]
    fn priorities_differ_by_seed_round_and_vertex() {
        let one = priority(1, 0, 5);
        assert_eq!(one, mix64(mix64(1 ^ GOLDEN) ^ 5));
        assert!([priority(2, 0, 5), priority(1, 1, 5), priority(1, 0, 6)].iter().all(|&other| other != one));
        assert_ne!(priority(0, u32::MAX, 0), priority(0, 0, 0));
    }
}
