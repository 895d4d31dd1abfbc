//! Keys of any points in any frame: every tier equals the twin, and reading a key backwards gives the cell.

use covertree_kernels::index::Idx;
use covertree_kernels::oracle::order as oracle;
use covertree_kernels::order::{Fit, Frame, hilbert_keys, morton_keys, scalar};
use covertree_kernels::simd::{Real, Tier};
use covertree_kernels::view::Rows;

pub fn check(data: &[u8]) {
    let mut bytes = super::Bytes(data);
    let dim = [1, 2, 3, 4, 5, 8, 13, 21, 32, 40, 64, 70][bytes.below(12)];
    let len = bytes.below(40);
    let (bits, fit) = (u32::from(bytes.u8()), [Fit::Cube, Fit::Box][bytes.below(2)]);
    let points: Vec<f64> = (0..dim * len).map(|_| bytes.coordinate()).collect();
    // A box of its own, so that points lie outside it too.
    let mut low: Vec<f64> = (0..dim).map(|_| bytes.coordinate()).collect();
    let mut high: Vec<f64> = (0..dim).map(|_| bytes.coordinate()).collect();
    for (low, high) in low.iter_mut().zip(&mut high) {
        if *low > *high {
            std::mem::swap(low, high);
        }
    }
    let frame = Frame::new(&low, &high, fit).expect("the bounds are finite and in order").with_bits(bits);
    let single: Vec<f32> = points.iter().map(|&x| x as f32).collect();
    // A third of the rows in a first call, unless the input says otherwise, and the others in a second one.
    let cut = (len / 3 + bytes.below(len + 1)) % (len + 1);
    check_rows(&points, dim, &frame, cut);
    check_rows(&single, dim, &frame, cut);
}

fn check_rows<T: Real>(points: &[T], dim: usize, frame: &Frame, cut: usize) {
    let rows = Rows::new(points, dim).expect("whole rows");
    let (mut hilbert, mut morton) = (vec![7; rows.len()], vec![8; rows.len()]);
    scalar::hilbert_keys(points, frame, &mut hilbert);
    scalar::morton_keys(points, frame, &mut morton);
    for row in 0..rows.len() {
        let cell = scalar::cells(rows.row(row), frame);
        let cell = &cell[..frame.dims()];
        assert_eq!(oracle::hilbert_cell(hilbert[row], frame.dims(), frame.bits()), cell);
        assert_eq!(oracle::morton_cell(morton[row], frame.dims(), frame.bits()), cell);
    }
    for tier in Tier::all() {
        for parts in [[0..0, 0..rows.len()], [0..cut, cut..rows.len()]] {
            let (mut by_hilbert, mut by_morton) = (vec![9; rows.len()], vec![9; rows.len()]);
            for part in parts {
                let first = part.start as Idx;
                hilbert_keys(tier, rows, frame, first, &mut by_hilbert[part.clone()]).expect("the shapes fit");
                morton_keys(tier, rows, frame, first, &mut by_morton[part]).expect("the shapes fit");
            }
            assert_eq!((&by_hilbert, &by_morton), (&hilbert, &morton), "{tier} cut at {cut}");
        }
    }
}
