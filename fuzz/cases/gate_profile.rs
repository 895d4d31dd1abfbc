//! `residual::profile_pairs`, `profile_thresholds` and `profile_slope` against sorted lists of pairs.
//!
//! All borders of bins, distances and shares are dyadic fractions, so that nothing is rounded and the oracle may count.

use covertree_kernels::residual::{
    Gate, GateBins, GateRule, profile_pairs, profile_slope, profile_thresholds, residual_distance,
};

use super::Bytes;

pub fn check(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (radii, features) = (1 << bytes.below(5), 1 << bytes.below(6));
    let bins = GateBins {
        radii,
        radius_cap: [0.25, 0.5, 1.0, 2.0][bytes.below(4)],
        features,
        feature_cap: [0.5, 1.0, 4.0, 16.0][bytes.below(4)],
    };
    let recall = bytes.below(17) as f64 / 16.0;
    // (residual distance, feature distance); the distances of a few pairs come from correlations.
    let pairs: Vec<(f64, f64)> = (0..bytes.below(60))
        .map(|_| {
            let (distance, feature) = (bytes.u8(), f64::from(bytes.u8()) / 16.0);
            (if distance == 255 { residual_distance(0.0) } else { f64::from(distance) / 64.0 }, feature)
        })
        .collect();
    let squares: Vec<f32> = pairs.iter().map(|(_, feature)| (feature * feature) as f32).collect();
    let distances: Vec<f64> = pairs.iter().map(|(distance, _)| *distance).collect();

    // Counted in two parts, which add up.
    let half = pairs.len() / 2;
    let mut counts = vec![0; radii * features];
    profile_pairs(bins, &squares[..half], &distances[..half], &mut counts).unwrap();
    profile_pairs(bins, &squares[half..], &distances[half..], &mut counts).unwrap();
    let (width, feature_width) = (bins.radius_cap / radii as f64, bins.feature_cap / features as f64);
    let counted = pairs.iter().filter(|(distance, _)| *distance <= bins.radius_cap);
    assert_eq!(counts.iter().sum::<u64>(), counted.count() as u64);

    let mut table = vec![-7.0; radii];
    profile_thresholds(bins, &counts, recall, &mut table).unwrap();
    for (radius, &threshold) in table.iter().enumerate() {
        let border = (radius + 1) as f64 * width;
        let mut within: Vec<f64> = pairs.iter().filter(|pair| pair.0 <= border).map(|pair| pair.1).collect();
        within.sort_by(f64::total_cmp);
        let wanted = (recall * within.len() as f64).ceil() as usize;
        // The upper border of the bin in which the last wanted pair lies; beyond the last but one, nothing is sure.
        let last = if wanted == 0 { 0.0 } else { within[wanted - 1] };
        let want = ((last / feature_width).floor() + 1.0) * feature_width;
        let want = if within.is_empty() || want >= bins.feature_cap { f64::INFINITY } else { want };
        assert_eq!(threshold, want, "radius {radius}, {wanted} of {}", within.len());
    }

    let slope = profile_slope(&table, bins.radius_cap);
    let steepest = table.iter().zip(1..).map(|(value, b)| value / (f64::from(b) * width));
    assert_eq!(slope, steepest.fold(0.0, f64::max));
    if recall == 1.0 {
        // Every pair that was counted passes both gates at the upper end of its bin.
        let lookup = Gate::new(GateRule::Lookup { table: &table }, 0.0, bins.radius_cap).unwrap();
        let whitened = Gate::new(GateRule::Whitened { slope }, 0.0, bins.radius_cap).unwrap();
        for &(distance, feature) in pairs.iter().filter(|(distance, _)| *distance <= bins.radius_cap) {
            assert!(feature <= lookup.threshold(distance));
            let border = (distance / width).ceil().max(1.0) * width;
            assert!(feature <= whitened.threshold(border) * (1.0 + 1e-15));
        }
    }
}
