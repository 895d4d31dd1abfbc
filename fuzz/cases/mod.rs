//! One file per fuzzed kernel: it decodes bytes into a valid case and compares the kernel with its oracle.
//!
//! The same functions serve the fuzz targets (`fuzz/targets`) and the stable test that replays the corpora
//! (`kernels/tests/replay.rs`), so they use nothing but the kernel crate and std.
#![allow(dead_code)] // a target uses one of these modules

pub mod conflict_csr;
pub mod conflict_within;
pub mod covariance;
pub mod dist_block;
pub mod dist_by_dots;
pub mod dist_capped;
pub mod dist_one_to_run;
pub mod gate_profile;
pub mod grid_cells;
pub mod grid_table;
pub mod group_by_key;
pub mod knn_panel;
pub mod kth_smallest;
pub mod landmark;
pub mod merge_runs;
pub mod mis;
pub mod near_pairs;
pub mod order_bounds;
pub mod order_keys;
pub mod pivots;
pub mod points;
pub mod positions_at_most;
pub mod projection;
pub mod radix_sort_keys;
pub mod residual;
pub mod residual_search;
pub mod scan;
pub mod sphere;
pub mod stored;
pub mod topk;
pub mod tree;

/// Reads a case from fuzz input; runs on zeros once the bytes are used up.
pub struct Bytes<'a>(pub &'a [u8]);

#[allow(dead_code)] // each user of this module needs only some of these
impl Bytes<'_> {
    pub fn u8(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes([(); 8].map(|()| self.u8()))
    }

    /// A number in `0..limit`; `limit` is at least 1 and at most 65,536.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::from(self.u16()) % limit
    }

    /// A size in `0..limit`, mostly a small one, so that many cases are tried: a large one needs a high byte of zero.
    pub fn size(&mut self, limit: usize) -> usize {
        let any = usize::from(self.u16());
        if any < 256 { any % limit } else { any % limit.min(12) }
    }

    /// A finite coordinate: mostly small and often tied, sometimes any finite bit pattern.
    pub fn coordinate(&mut self) -> f64 {
        match self.u8() {
            byte @ 0..=199 => f64::from(byte % 16) - 8.0,
            200..=229 => f64::from(self.u16()) / 257.0 - 100.0,
            _ => {
                let any = f32::from_bits(u32::from_le_bytes([(); 4].map(|()| self.u8())));
                if any.is_finite() { f64::from(any) } else { 0.5 }
            }
        }
    }
}
