//! Bodies over the lane traits.

use super::{Counting, RhoTile, Shortlists};
use crate::index::{Idx, at};
use crate::simd::{LANES_F64, Lanes, Vector};

/// Offers the columns of a tile to its rows.
#[inline(always)]
pub(super) fn rows<L: Lanes>(tile: &RhoTile<'_>, counting: Counting, lists: &mut Shortlists<'_>) -> u64 {
    let (panels, mut taken) = (tile.panels(), 0);
    for (row, &place) in tile.places.iter().enumerate() {
        let (place, own) = (at(place), tile.rows.first + place);
        let least = L::F64::splat(lists.least[place]);
        let (margin, rank) = (L::F64::splat(tile.rows.margins[place]), L::F64::splat(tile.rows.ranks[place]));
        for panel in 0..panels {
            let lane = panel * LANES_F64;
            let rho = L::F64::load(&tile.rho[row * panels * LANES_F64 + lane..]);
            let most = L::F64::load(&tile.columns.margins[lane..]).mul_add(margin, rho.abs());
            let mut bits = !most.lt(least) & in_use(tile.columns.len, panel);
            if counting == Counting::Earlier {
                bits &= L::F64::load(&tile.columns.ranks[lane..]).lt(rank);
            }
            while bits != 0 {
                let column = lane + bits.trailing_zeros() as usize; // below 8
                bits &= bits - 1;
                let position = tile.columns.first + column as Idx; // a position
                if counting != Counting::Others || position != own {
                    let error = tile.rows.margins[place] * tile.columns.margins[column];
                    lists.push(place, tile.rho[row * panels * LANES_F64 + column], error, position);
                    taken += 1;
                }
            }
        }
    }
    taken
}

/// Offers the rows of a tile to its columns.
#[inline(always)]
pub(super) fn columns<L: Lanes>(tile: &RhoTile<'_>, counting: Counting, lists: &mut Shortlists<'_>) -> u64 {
    let (panels, mut taken) = (tile.panels(), 0);
    for panel in 0..panels {
        let lane = panel * LANES_F64;
        let mut least = [f64::INFINITY; LANES_F64];
        let used = (tile.columns.len - lane).min(LANES_F64);
        least[..used].copy_from_slice(&lists.least[lane..lane + used]);
        let least = L::F64::load(&least);
        let margins = L::F64::load(&tile.columns.margins[lane..]);
        let ranks = L::F64::load(&tile.columns.ranks[lane..]);
        for (row, &place) in tile.places.iter().enumerate() {
            let (place, position) = (at(place), tile.rows.first + place);
            let rho = L::F64::load(&tile.rho[row * panels * LANES_F64 + lane..]);
            let most = margins.mul_add(L::F64::splat(tile.rows.margins[place]), rho.abs());
            let mut bits = !most.lt(least) & in_use(tile.columns.len, panel);
            if counting == Counting::Earlier {
                bits &= L::F64::splat(tile.rows.ranks[place]).lt(ranks);
            }
            while bits != 0 {
                let column = lane + bits.trailing_zeros() as usize; // below 8
                bits &= bits - 1;
                if counting != Counting::Others || position != tile.columns.first + column as Idx {
                    // a position
                    let error = tile.rows.margins[place] * tile.columns.margins[column];
                    lists.push(column, tile.rho[row * panels * LANES_F64 + column], error, position);
                    taken += 1;
                }
            }
        }
    }
    taken
}

/// Bits of the lanes of a panel that hold points.
#[inline(always)]
fn in_use(len: usize, panel: usize) -> u32 {
    (1 << (len - panel * LANES_F64).min(LANES_F64)) - 1
}

/// Marks the pairs of a tile that either side wants.
#[inline(always)]
pub(super) fn wanted<L: Lanes>(
    tile: &RhoTile<'_>,
    counting: Counting,
    (least, least_columns): (&[f64], Option<&[f64]>),
    masks: &mut [u32],
) -> u64 {
    let (panels, mut count) = (tile.panels(), 0);
    for panel in 0..panels {
        let lane = panel * LANES_F64;
        let used = (tile.columns.len - lane).min(LANES_F64);
        let mut own = [f64::INFINITY; LANES_F64];
        if let Some(least) = least_columns {
            own[..used].copy_from_slice(&least[lane..lane + used]);
        }
        let (own, ranks) = (L::F64::load(&own), L::F64::load(&tile.columns.ranks[lane..]));
        for (row, &place) in tile.places.iter().enumerate() {
            let bound = L::F64::load(&tile.rho[(row * panels + panel) * LANES_F64..]);
            let for_row = !bound.lt(L::F64::splat(least[at(place)])); // a NaN bounds nothing
            let for_column = !bound.lt(own);
            let bits = if counting == Counting::Earlier {
                let rank = L::F64::splat(tile.rows.ranks[at(place)]);
                (for_row & ranks.lt(rank)) | (for_column & rank.lt(ranks))
            } else {
                for_row | for_column
            };
            let bits = bits & in_use(tile.columns.len, panel);
            masks[row * panels + panel] = bits;
            count += u64::from(bits.count_ones());
        }
    }
    count
}
