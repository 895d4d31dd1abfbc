//! The radii of the levels.

use crate::error::KernelError;

/// The radii `r_i = scale * b^i` of a run of levels, from the lowest that is positive.
///
/// Below its lowest level a radius is 0, above its highest it is plus infinity: so every comparison of a distance with
/// the radius of any level means what it should.
#[derive(Clone, Copy, Debug)]
pub struct Ladder<'a> {
    radii: &'a [f64],
    lowest: i32,
}

impl<'a> Ladder<'a> {
    /// A ladder of the given radii, the first one being that of level `lowest`.
    ///
    /// # Errors
    /// [`KernelError::Least`] when there are none; [`KernelError::Value`] at the first radius that is not finite,
    /// positive and above the one before.
    pub fn new(radii: &'a [f64], lowest: i32) -> Result<Self, KernelError> {
        if radii.is_empty() {
            return Err(KernelError::Least { what: "radii", least: 1, got: 0 });
        }
        let mut before = 0.0;
        for (at, &radius) in radii.iter().enumerate() {
            if !(radius > before && radius.is_finite()) {
                return Err(KernelError::Value { what: "radii", at });
            }
            before = radius;
        }
        Ok(Self { radii, lowest })
    }

    /// The radius of a level.
    #[inline(always)]
    pub fn radius(&self, level: i32) -> f64 {
        if level < self.lowest {
            return 0.0;
        }
        // The difference cannot overflow: `level` is not below `lowest`, and widening keeps it positive.
        let step = (i64::from(level) - i64::from(self.lowest)) as usize;
        if step < self.radii.len() { self.radii[step] } else { f64::INFINITY }
    }

    /// The lowest level whose radius is at least `distance`, for a positive distance.
    #[inline(always)]
    pub fn level_over(&self, distance: f64) -> i32 {
        let step = self.radii.partition_point(|radius| *radius < distance);
        self.lowest.saturating_add(i32::try_from(step).unwrap_or(i32::MAX))
    }

    /// The largest radius below `distance`, 0 where there is none, for a positive distance: that of the level below
    /// [`level_over`](Self::level_over), also where no `i32` counts that level.
    #[inline(always)]
    pub fn radius_under(&self, distance: f64) -> f64 {
        let step = self.radii.partition_point(|radius| *radius < distance);
        if step > 0 { self.radii[step - 1] } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_the_lowest_that_covers() {
        let ladder = Ladder::new(&[0.5, 1.0, 2.0], -1).unwrap();
        assert_eq!([0.1, 0.5, 0.6, 1.0, 2.0, 9.0].map(|d| ladder.level_over(d)), [-1, -1, 0, 0, 1, 2]);
        assert_eq!(
            [-2, -1, 1, 2, i32::MIN, i32::MAX].map(|l| ladder.radius(l)),
            [0.0, 0.5, 2.0, f64::INFINITY, 0.0, f64::INFINITY]
        );
    }

    #[test]
    fn the_radius_under_a_distance_is_that_of_the_level_below() {
        for lowest in [i32::MIN, -1, i32::MAX] {
            let ladder = Ladder::new(&[0.5, 1.0, 2.0], lowest).unwrap();
            let distances = [0.1, 0.5, 0.6, 1.0, 2.0, 9.0];
            assert_eq!(distances.map(|d| ladder.radius_under(d)), [0.0, 0.0, 0.5, 0.5, 1.0, 2.0]);
            if lowest == -1 {
                let below = distances.map(|d| ladder.radius(ladder.level_over(d) - 1));
                assert_eq!(distances.map(|d| ladder.radius_under(d)), below);
            }
        }
    }

    #[test]
    fn radii_must_rise() {
        assert!(Ladder::new(&[], 0).is_err());
        for wrong in [[1.0, 1.0], [0.0, 1.0], [1.0, f64::INFINITY], [f64::NAN, 1.0]] {
            assert!(matches!(Ladder::new(&wrong, 0), Err(KernelError::Value { what: "radii", .. })));
        }
    }
}
