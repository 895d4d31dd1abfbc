//! Seeded mixing of 64-bit words: every "random" choice of the engine is one of these hashes, never a stream.
//!
//! A choice that is a function of (seed, round, vertex) alone comes out the same on any split over threads, on any
//! machine, and for any order of the work. Nothing here resists an adversary who knows the seed, and nothing needs to:
//! a bad hash costs time, never a wrong answer.

use crate::index::Idx;

/// The odd constant nearest to `2^64 / phi`: multiples of it spread evenly over 64 bits.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes a 64-bit word so that each input bit reaches each output bit. A bijection, with `mix64(0) == 0`.
///
/// Two rounds of xor-shift and multiply: the finaliser of SplitMix64 (Steele, Lea, Flood, *Fast Splittable
/// Pseudorandom Number Generators*, OOPSLA 2014), which has the shape of MurmurHash3's with the constants of
/// D. Stafford's variant 13.
///
/// # Cost
/// Two multiplications in a chain of about ten cycles; independent calls overlap.
#[inline(always)]
pub const fn mix64(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The start of the sequence of priorities that belongs to one (seed, round).
#[inline(always)]
pub const fn stream(seed: u64, round: u32) -> u64 {
    mix64(mix64(seed.wrapping_add(GOLDEN)) ^ (round as u64 + 1).wrapping_mul(GOLDEN))
}

/// The priority of `vertex` in one round of one seeded choice.
///
/// `mix64(stream(seed, round) + (vertex + 1) * GOLDEN)`: output `vertex` of a SplitMix64 generator that starts at
/// [`stream`]`(seed, round)`. For a fixed (seed, round) it is injective in `vertex`, so vertices never tie. The
/// priorities of two rounds, or of two seeds, behave as independent.
///
/// # Cost
/// One [`mix64`] per vertex in a loop over vertices: the compiler lifts the rest out of the loop.
#[inline(always)]
pub const fn priority(seed: u64, round: u32, vertex: Idx) -> u64 {
    // The widening cast extends the sign: distinct vertices stay distinct, whatever they are.
    mix64(stream(seed, round).wrapping_add((vertex as i64 as u64).wrapping_add(1).wrapping_mul(GOLDEN)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use crate::trials;

    #[test]
    fn mixing_gives_the_published_sequence() {
        // The first outputs of SplitMix64 seeded with 1234567, as its authors' test vectors have them.
        let mut state = 1_234_567u64;
        let outputs = [(); 5].map(|()| {
            state = state.wrapping_add(GOLDEN);
            mix64(state)
        });
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(outputs, published);
        assert_eq!(mix64(0), 0);
    }

    #[test]
    fn one_flipped_input_bit_flips_about_half_of_the_output() {
        for bit in 0..64 {
            let words = (0..256u64).map(|i| i.wrapping_mul(GOLDEN));
            let flipped: u32 = words.map(|word| (mix64(word) ^ mix64(word ^ (1 << bit))).count_ones()).sum();
            assert!((28 * 256..36 * 256).contains(&flipped), "bit {bit}: {flipped}");
        }
    }

    #[test]
    fn priorities_do_not_tie_and_change_with_seed_and_round() {
        let vertices = trials::up_to(4096);
        let of = |seed, round| (0..vertices).map(move |vertex| priority(seed, round, vertex));
        let distinct: BTreeSet<u64> = of(7, 0).collect();
        assert_eq!(distinct.len(), vertices as usize);
        let all: BTreeSet<u64> =
            of(7, 0).chain(of(7, 1)).chain(of(8, 0)).chain(of(8, 1)).chain(of(0, u32::MAX)).collect();
        assert_eq!(all.len(), 5 * vertices as usize);
    }

    #[test]
    fn the_order_of_two_vertices_is_a_fair_coin_over_rounds() {
        let heads = (0..10_000).filter(|&round| priority(42, round, 3) < priority(42, round, 4)).count();
        assert!((4_800..5_200).contains(&heads), "{heads}");
    }
}
