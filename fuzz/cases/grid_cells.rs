//! Cells of any points: keys and neighbouring keys equal those of the plainly computed cells.

use covertree_kernels::grid::*;
use covertree_kernels::index::Idx;
use covertree_kernels::oracle::grid as oracle;
use covertree_kernels::simd::Real;
use covertree_kernels::view::Rows;

pub fn check(data: &[u8]) {
    let mut bytes = super::Bytes(data);
    let (dim, len, rings) = (1 + bytes.below(8), 1 + bytes.below(20), bytes.below(3) as u32);
    let (seed, level, shift) = (bytes.u64(), Idx::from(bytes.u8()) - 128, u32::from(bytes.u8()));
    let width = bytes.coordinate().abs().max(1e-30);
    let points: Vec<f64> = (0..dim * len).map(|_| bytes.coordinate()).collect();
    let ids: Vec<Idx> = (0..len).map(|_| bytes.below(len) as Idx).collect();

    let mut offsets = vec![-1.0; dim];
    grid_offsets(seed, level, shift, width, &mut offsets).expect("the width is positive");
    assert!(offsets.iter().all(|offset| (0.0..=width).contains(offset)));
    let grid = Grid::new(width, &offsets, level, shift).expect("the grid is well formed");
    let rows = Rows::new(&points, dim).expect("whole rows");
    keys_of(rows, &ids, &grid, &offsets, (level, shift));
    let single: Vec<f32> = points.iter().map(|&x| x as f32).collect();
    keys_of(Rows::new(&single, dim).expect("whole rows"), &ids, &grid, &offsets, (level, shift));

    let cell = oracle::cell(rows.row(0), &offsets, width);
    match neighbour_count(dim, rings) {
        Ok(count) => {
            let mut keys = vec![5; count];
            neighbour_keys(rows.row(0), &grid, rings, &mut keys).expect("the shapes fit");
            let cells = oracle::neighbours(&cell, i64::from(rings));
            assert!(keys.into_iter().eq(cells.map(|cell| oracle::cell_key(&cell, level, shift))));
        }
        Err(refused) => {
            assert!((2 * rings as usize + 1).pow(dim as u32) > NEIGHBOURS_MAX);
            assert_eq!(neighbour_keys(rows.row(0), &grid, rings, &mut []), Err(refused));
        }
    }

    // Any other point within the ring width has a cell at most one away.
    for row in 1..len {
        let other = oracle::cell(rows.row(row), &offsets, width);
        for d in 0..dim {
            let (a, b) = (points[d], points[row * dim + d]);
            let largest = cell[d].unsigned_abs().max(other[d].unsigned_abs()).min(i64::MAX as u64) as i64;
            if (a - b).abs() <= ring_width(width, largest).next_down() {
                assert!(cell[d].abs_diff(other[d]) <= 1);
            }
        }
    }
}

/// Keys of rows of either precision: their cells are those of the same numbers in `f64`.
fn keys_of<T: Real>(rows: Rows<'_, T>, ids: &[Idx], grid: &Grid<'_>, offsets: &[f64], (level, shift): (Idx, u32)) {
    let mut keys = vec![3; ids.len()];
    cell_keys(rows, ids, grid, &mut keys).expect("the ids are rows");
    for (&id, &key) in ids.iter().zip(&keys) {
        let wide: Vec<f64> = rows.row(id as usize).iter().map(|x| x.to_f64()).collect();
        let cell = oracle::cell(&wide, offsets, grid.width());
        assert_eq!(key, oracle::cell_key(&cell, level, shift));
    }
}
