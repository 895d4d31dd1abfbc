//! Tiles around centers, and the parts that they are made of.

use super::*;
use crate::arena::{Arena, Block};
use crate::index::Idx;
use crate::simd::Tier;
use crate::trials;

/// Rows and points of one metric around centers of their own, as a search has them.
struct Sides {
    packed: Packed<f64>,
    split: usize,
    centers: [Vec<f64>; 2],
    offsets: [Vec<f32>; 2],
    margins: Vec<f64>,
}

impl Sides {
    /// The panels up to `split` are the rows, all others the points; both are centered.
    fn new(metric: &Residual, split: usize) -> Self {
        let packed = Packed::<f64>::new(metric);
        let (columns, panels) = (metric.columns, packed.points().panels());
        let mut norms = vec![0.0; metric.len()];
        row_norms(&packed.model, &packed.v, &mut norms).unwrap();
        let (mut centers, mut offsets, mut margins) = ([vec![], vec![]], [vec![], vec![]], vec![0.0; panels * 8]);
        for (side, (first, count)) in [(0, split), (split, panels - split)].into_iter().enumerate() {
            let run = packed.points().run(first, count).unwrap();
            centers[side] = vec![-3.0; columns];
            offsets[side] = vec![-3.0; panels_len::<f32>(run.len(), columns)];
            let mut lengths = vec![-3.0; run.len()];
            center_offsets(&run, &mut centers[side], &mut offsets[side], &mut lengths).unwrap();
            let here = first * 8..first * 8 + run.len();
            let reach = norms[here.clone()].iter().fold(0.0, |most: f64, norm| most.max(*norm));
            for (i, length) in here.zip(lengths) {
                margins[i] = centered_margin(&packed.model, length, reach, metric.p[i]);
            }
        }
        Self { packed, split, centers, offsets, margins }
    }

    fn runs(&self) -> [ResidualRun<'_, f64>; 2] {
        let points = self.packed.points();
        [points.run(0, self.split).unwrap(), points.run(self.split, points.panels() - self.split).unwrap()]
    }

    /// The tile of `places` with all points, on a tier; `wanted` as the kernel takes it.
    fn tile(&self, metric: &Residual, tier: Tier, places: &[Idx], wanted: &[u32], out: &mut [f64]) -> u64 {
        let [rows, points] = self.runs();
        let columns = metric.columns;
        let (mut own, mut theirs) = (vec![-5.0; rows.panels() * 8], vec![-5.0; points.panels() * 8]);
        center_products(tier, &self.centers[1], None, &rows, &mut own).unwrap();
        center_products(tier, &self.centers[0], Some(&self.centers[1]), &points, &mut theirs).unwrap();
        let blocks = pack_offsets_blocks(places.len(), columns) + centered_tile_blocks(places.len(), points.panels());
        let mut memory = vec![Block::splat(0x7fc0_0000); blocks];
        let mut arena = Arena::new(&mut memory);
        let packed = pack_offsets(tier, &self.offsets[0], columns, places, &mut arena).unwrap();
        assert_eq!((packed.len(), packed.is_empty()), (places.len(), places.is_empty()));
        let at = |place: &Idx| crate::index::at(*place);
        let coordinates: Vec<f64> = places.iter().flat_map(|place| metric.point(at(place)).to_vec()).collect();
        let scales: Vec<f64> = places.iter().map(|place| self.packed.scales[at(place)]).collect();
        let products: Vec<f64> = places.iter().map(|place| own[at(place)]).collect();
        let queries = CenteredQueries { rows: packed, coordinates: &coordinates, scales: &scales, products: &products };
        let points = CenteredPoints { run: points, offsets: &self.offsets[1], products: &theirs };
        centered_tile(&queries, &points, wanted, out, &mut arena).unwrap()
    }
}

fn check_tiles(metric: &Residual) {
    let panels = metric.len().div_ceil(8);
    if panels < 2 {
        return;
    }
    for split in [1, panels - 1] {
        let sides = Sides::new(metric, split);
        let [rows, points] = sides.runs();
        let (lanes, places): (usize, Vec<Idx>) = (points.panels() * 8, (0..rows.len() as Idx).rev().collect());
        for tier in Tier::all() {
            let mut whole = vec![-7.0; places.len() * lanes];
            let pairs = sides.tile(metric, tier, &places, &[], &mut whole);
            assert_eq!(pairs, (places.len() * points.len()) as u64);
            for (row, &place) in places.iter().enumerate() {
                for j in 0..points.len() {
                    let (i, j) = (place as usize, split * 8 + j);
                    let (r, rho) = (whole[row * lanes + j - split * 8], published(metric, i, j));
                    let margin = sides.margins[i] * sides.margins[j];
                    assert!((r.clamp(-1.0, 1.0) - rho).abs() <= margin, "{tier} {i} {j}: {r} {rho} {margin}");
                }
            }
            // A part of the pairs: the same numbers where they are wanted, and nothing lost elsewhere.
            let wanted: Vec<u32> =
                (0..places.len() * points.panels()).map(|place| if place % 5 == 2 { 4 } else { 0 }).collect();
            let mut part = vec![-7.0; whole.len()];
            sides.tile(metric, tier, &places, &wanted, &mut part);
            for (place, (part, whole)) in part.iter().zip(&whole).enumerate() {
                let asked = wanted[place / 8] != 0;
                assert!(part == whole || (!asked && *part == -7.0), "{tier} {place}: {part} {whole}");
            }
            // So with the wide tile.
            check_wide(&sides.packed, tier);
        }
    }
}

/// [`block_where`] against [`block_to_run`].
fn check_wide(packed: &Packed<f64>, tier: Tier) {
    let (run, columns) = (packed.all(), packed.model.columns());
    let panels = run.panels();
    let blocks = pack_queries_blocks::<f64>(panels, columns) + block_where_blocks(panels, panels);
    let mut memory = vec![Block::splat(0x7fc0_0000); blocks];
    let mut arena = Arena::new(&mut memory);
    let queries = pack_queries(tier, &run, &mut arena).unwrap();
    let (mut whole, mut masks) = (vec![0.0; panels * 8 * panels * 8], vec![0; panels * 8 * panels]);
    block_to_run(&queries, &run, &vec![0.0; panels * 8], &mut whole, &mut masks, &mut Default::default()).unwrap();
    let wanted: Vec<u32> = (0..masks.len()).map(|place| if place % 7 == 3 { 1 } else { 0 }).collect();
    let mut part = vec![-7.0; whole.len()];
    let pairs = block_where(&queries, &run, &wanted, &mut part, &mut arena).unwrap();
    for (place, (part, whole)) in part.iter().zip(&whole).enumerate() {
        if place / (panels * 8) < packed.len && place % (panels * 8) < packed.len {
            let asked = wanted[place / 8] != 0;
            assert!(part == whole || (!asked && *part == -7.0), "{tier} {place}: {part} {whole}");
        }
    }
    assert!(pairs as usize >= wanted.iter().filter(|bits| **bits != 0).count());
    let short = block_where(&queries, &run, &wanted[1..], &mut part, &mut arena);
    assert!(matches!(short, Err(KernelError::Shape { what: "wanted", .. })));
}

proptest! {
    #![proptest_config(trials::cases(24))]
    #[test]
    fn centered_tiles_stay_within_their_margins(metric in metrics()) {
        check_tiles(&metric);
    }

    #[test]
    fn residual_variances_are_those_of_the_formula(metric in metrics()) {
        let packed = Packed::<f64>::new(&metric);
        let mut p = vec![-1.0; metric.len()];
        let diagonal = metric.covariance.variance() * 1.25;
        residual_variances(&packed.model, diagonal, &packed.v, &mut p).unwrap();
        for (i, p) in p.iter().enumerate() {
            let sum = metric.row(i).iter().fold(0.0, |sum, v| sum + v * v);
            prop_assert_eq!(*p, (diagonal - sum).max(P_FLOOR * diagonal));
        }
        let short = residual_variances(&packed.model, diagonal, &packed.v, &mut vec![0.0; metric.len() + 8]);
        let refused = matches!(short, Err(KernelError::Shape { what: "v", .. }));
        prop_assert!(refused || metric.columns == 0);
    }

    #[test]
    fn listed_points_are_settled_by_the_formula(metric in metrics(), step in 1usize..9) {
        let packed = Packed::<f64>::new(&metric);
        let positions: Vec<Idx> = (0..metric.len() as Idx).step_by(step).collect();
        let query = PointRow { coordinates: metric.point(0), v: metric.row(0), p: metric.p[0] };
        for tier in Tier::all() {
            let mut out = vec![-9.0; positions.len()];
            let mut counters = ResidualCounters::default();
            settle_positions(tier, query, &packed.points(), &metric.p, &positions, &mut out, &mut counters).unwrap();
            prop_assert_eq!(counters.settled, positions.len() as u64);
            for (&position, &rho) in positions.iter().zip(&out) {
                prop_assert_eq!(rho, published(&metric, 0, position as usize));
            }
            for bad in [vec![-1], vec![metric.len() as Idx], vec![0, metric.len() as Idx - 1, 0]] {
                let mut out = vec![-9.0; bad.len()];
                let refused =
                    settle_positions(tier, query, &packed.points(), &metric.p, &bad, &mut out, &mut counters);
                let falls = bad.len() < 3 || metric.len() > 1;
                prop_assert_eq!(matches!(refused, Err(KernelError::Key { .. })), falls);
            }
        }
    }
}

#[test]
fn wrong_shapes_are_refused_before_anything_is_written() {
    let metric = hard_metric((1, 2, 40, 7), 0.5, 1.0, 1e-6, 0.0, &[0.25; 210].map(|z| z * 0.5));
    let sides = Sides::new(&metric, 2);
    let [rows, points] = sides.runs();
    let tier = Tier::detect();
    let mut out = [1.0; 16];
    assert!(center_products(tier, &sides.centers[0][1..], None, &rows, &mut out).is_err());
    assert!(center_products(tier, &sides.centers[0], Some(&[]), &rows, &mut out).is_err());
    assert!(center_products(tier, &sides.centers[0], None, &points, &mut out).is_err());
    assert_eq!(out, [1.0; 16]);
    let mut memory = vec![Block::default(); pack_offsets_blocks(3, 7)];
    for (offsets, places) in
        [(&sides.offsets[0][1..], &[0, 1, 2]), (&sides.offsets[0][..], &[0, -1, 2]), (&sides.offsets[0], &[0, 1, 16])]
    {
        assert!(pack_offsets(tier, offsets, 7, places, &mut Arena::new(&mut memory)).is_err());
    }
    let mut short = vec![Block::default(); 1];
    let refused = pack_offsets(tier, &sides.offsets[0], 7, &[0, 1, 2], &mut Arena::new(&mut short));
    assert!(matches!(refused, Err(KernelError::Scratch { .. })));
    let (mut center, mut offsets, mut norms) = (vec![0.0; 7], vec![0.0; 7 * 16], vec![0.0; 15]);
    assert!(center_offsets(&rows, &mut center, &mut offsets, &mut norms).is_err());
}
