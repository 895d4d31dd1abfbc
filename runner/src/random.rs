//! Random numbers by counter: each is a hash of (seed, stream, row, column), so that any part of a data set can be made
//! alone, in any order and on any number of threads, with the same bits.

use std::f64::consts::PI;

use covertree_kernels::hash::{GOLDEN, mix64};

/// A table of random numbers without end, addressed by row and column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    key: u64,
}

impl Table {
    /// The table of a seed. Different streams of one seed are independent of each other.
    pub(crate) const fn new(seed: u64, stream: u64) -> Self {
        Self { key: mix64(mix64(seed.wrapping_add(GOLDEN)).wrapping_add(stream.wrapping_mul(GOLDEN))) }
    }

    /// One row of the table.
    pub(crate) const fn row(self, row: usize) -> Row {
        Row { key: mix64(self.key.wrapping_add((row as u64).wrapping_mul(GOLDEN))) } // usize has at most 64 bits
    }
}

/// One row of a [`Table`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    key: u64,
}

impl Row {
    /// 64 random bits: the `column`-th output of the generator SplitMix64 that starts at the row's key.
    pub(crate) const fn bits(self, column: usize) -> u64 {
        mix64(self.key.wrapping_add((column as u64).wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// Uniform on the multiples of 2^-53 in [0, 1).
    pub(crate) fn uniform(self, column: usize) -> f64 {
        (self.bits(column) >> 11) as f64 * f64::EPSILON / 2.0 // 53 bits: exact
    }

    /// An integer in `0..limit`; the bias is at most `limit * 2^-64`.
    pub(crate) fn below(self, column: usize, limit: usize) -> usize {
        ((u128::from(self.bits(column)) * limit as u128) >> 64) as usize // below limit, so it fits
    }

    /// Standard normal numbers, independent of each other, for the columns from `first` on (`first` even).
    ///
    /// Source: G. E. P. Box, M. E. Muller, Ann. Math. Stat. 29(2), 1958: two uniform numbers make two normal ones.
    pub(crate) fn normals(self, first: usize, out: &mut [f64]) {
        debug_assert!(first.is_multiple_of(2), "pairs begin at even columns, not at {first}");
        for (pair, out) in out.chunks_mut(2).enumerate() {
            let column = first + 2 * pair;
            let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform(column))); // the logarithm of (0, 1]
            let (sine, cosine) = libm::sincos(2.0 * PI * self.uniform(column + 1));
            out[0] = radius * cosine;
            if let Some(second) = out.get_mut(1) {
                *second = radius * sine;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_the_published_generator() {
        // The first outputs of SplitMix64 from state 0, as its reference implementation prints them.
        let row = Row { key: 0 };
        assert_eq!(row.bits(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(row.bits(1), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(row.bits(2), 0x06c4_5d18_8009_454f);
    }

    #[test]
    fn seeds_streams_rows_and_columns_all_matter() {
        let mut seen = std::collections::HashSet::new();
        for (seed, stream) in [(0, 0), (0, 1), (1, 0), (1, 1), (u64::MAX, 0)] {
            for row in 0..50 {
                for column in 0..50 {
                    assert!(seen.insert(Table::new(seed, stream).row(row).bits(column)));
                }
            }
        }
    }

    #[test]
    fn uniform_numbers_fill_the_unit_interval_evenly() {
        let table = Table::new(7, 0);
        let mut cells = [0u32; 16];
        for row in 0..4_000 {
            for column in 0..4 {
                let value = table.row(row).uniform(column);
                assert!((0.0..1.0).contains(&value));
                cells[(value * 16.0) as usize] += 1;
            }
        }
        // Expected 1000 each with a standard deviation of 31.
        assert!(cells.iter().all(|&count| (850..1_150).contains(&count)), "{cells:?}");
        assert!((0..100).all(|column| table.row(0).below(column, 3) < 3));
    }

    #[test]
    fn normal_numbers_have_the_normal_moments() {
        let table = Table::new(3, 0);
        let (mut first, mut second, mut fourth, mut cross) = (0.0, 0.0, 0.0, 0.0);
        let rows = 40_000;
        for row in 0..rows {
            let mut pair = [0.0; 2];
            table.row(row).normals(0, &mut pair);
            for value in pair {
                assert!(value.is_finite());
                (first, second, fourth) = (first + value, second + value * value, fourth + value.powi(4));
            }
            cross += pair[0] * pair[1];
        }
        let count = 2.0 * rows as f64;
        assert!((first / count).abs() < 0.02, "mean {}", first / count);
        assert!((second / count - 1.0).abs() < 0.03, "variance {}", second / count);
        assert!((fourth / count - 3.0).abs() < 0.2, "fourth moment {}", fourth / count);
        assert!((cross / rows as f64).abs() < 0.03, "correlation {}", cross / rows as f64);
    }

    #[test]
    fn an_odd_length_is_the_beginning_of_an_even_one() {
        let row = Table::new(1, 2).row(3);
        let (mut odd, mut even) = ([0.0; 5], [0.0; 6]);
        row.normals(4, &mut odd);
        row.normals(4, &mut even);
        assert_eq!(odd, even[..5]);
    }
}
