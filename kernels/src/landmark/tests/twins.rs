//! Lanes against the plain twins, for what the other tests compute on every tier.

use super::*;

/// Coordinates and extents from the lanes against those of the twin, for the points with these errors.
///
/// Either substitution is within `own` of the exact one, and the frame's norms are rounded up by a few parts in a billion.
pub(super) fn check_projection(
    tier: Tier,
    frame: &Frame,
    lanes: &Owned<f64>,
    twin: &Owned<f64>,
    errors: &[f64],
    weighted: bool,
) {
    let ([coordinates, spans, tails, slacks], [twin_coordinates, twin_spans, twin_tails, twin_slacks]) =
        (&lanes.arrays, &twin.arrays);
    for (point, error) in errors.iter().enumerate().take(lanes.len) {
        let at = |k: usize| (point / 8 * frame.count + k) * 8 + point % 8;
        let norm = libm::sqrt((0..frame.count).map(|k| twin_coordinates[at(k)] * twin_coordinates[at(k)]).sum());
        let own = frame.inverse * libm::sqrt(frame.count as f64) * frame.rounding() * 1.02 * norm;
        let most = 2.0 * own + 1e-13 * (1.0 + norm);
        let near = |one: f64, other: f64, most: f64| {
            assert!(one == other || (one - other).abs() <= most, "{tier} {point}: {one} {other} {most}");
        };
        if twin_slacks[point] == f64::INFINITY && slacks[point] == f64::INFINITY {
            continue; // the frame is no use for the point, and nothing else is known of it
        }
        (0..frame.count).for_each(|k| near(coordinates[at(k)], twin_coordinates[at(k)], most));
        let most = 1.01 * most + 2e-9 * (own + frame.inverse * frame.error * error);
        near(spans[point], twin_spans[point], if weighted { 0.0 } else { 2.0 * most });
        near(tails[point] * tails[point], twin_tails[point] * twin_tails[point], 4.0 * (1.0 + norm) * most);
        near(slacks[point], twin_slacks[point], 2.0 * most);
    }
}

/// Turned queries against those of the twin: products summed in another order, the rest bit for bit.
pub(super) fn check_turn(
    tier: Tier,
    points: &FramePoints<'_, f64>,
    cross: &Cross,
    products: &[f64],
    queries: &FrameQueries<'_, f64>,
) {
    let mut coordinates = vec![-9.0; queries.coordinates.len()];
    let (mut tails, mut slacks) = (vec![-9.0; queries.tails.len()], vec![-9.0; queries.slacks.len()]);
    let twin = scalar::turn(points, cross, products, &mut coordinates, &mut tails, &mut slacks);
    assert_eq!(
        (twin.count, twin.len, twin.tails, twin.slacks),
        (queries.count, queries.len, queries.tails, queries.slacks)
    );
    assert_eq!(twin.spans, queries.spans);
    for (place, (one, other)) in queries.coordinates.iter().zip(twin.coordinates).enumerate() {
        let (panel, t) = (place / 8 / cross.columns, place / 8 % cross.columns);
        let magnitudes = (0..cross.rows).map(|s| {
            let own = points.coordinates[(panel * cross.rows + s) * 8 + place % 8];
            (products[s * cross.columns + t] * own).abs()
        });
        let most = 2.0 * gamma(cross.rows, f64::ROUNDOFF) * magnitudes.sum::<f64>() + f64::TINY;
        assert!((one - other).abs() <= most, "{tier} {place}: {one} {other} {most}");
    }
}
