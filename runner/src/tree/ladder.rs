//! The radii of the levels, set by the data.

use covertree_kernels::tree as kernel;

/// The radii `scale * base^i` for every level that can be told from 0 and from infinity.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    base: f64,
    scale: f64,
    lowest: i32,
    radii: Vec<f64>,
}

impl Ladder {
    /// The smallest base: it leaves one and a half million levels between 0 and infinity.
    pub const BASE_MIN: f64 = 1.001;

    /// Whether there is a ladder of this base and scale.
    pub fn exists(base: f64, scale: f64) -> bool {
        base.is_finite() && base >= Self::BASE_MIN && scale.is_finite() && scale > 0.0
    }

    /// The ladder whose level 0 has the radius `scale`.
    ///
    /// Radii are made by repeated multiplication upward and division downward, so that they are the same on every
    /// machine; for base 2 they are exact. The ladder ends where rounding leaves a radius as it was.
    ///
    /// # Panics
    /// Unless it [exists](Self::exists).
    pub fn new(base: f64, scale: f64) -> Self {
        assert!(Self::exists(base, scale), "base {base}, scale {scale}");
        let mut down = Vec::new();
        let mut radius = scale / base;
        while radius > 0.0 && down.last().is_none_or(|last| radius < *last) {
            down.push(radius);
            radius /= base;
        }
        let lowest = -i32::try_from(down.len()).expect("a base from 1.001 on leaves fewer than two million levels");
        let mut radii: Vec<f64> = down.into_iter().rev().collect();
        let mut radius = scale;
        while radius.is_finite() && radii.last().is_none_or(|last| radius > *last) {
            radii.push(radius);
            radius *= base;
        }
        Self { base, scale, lowest, radii }
    }

    /// The base of the levels.
    pub fn base(&self) -> f64 {
        self.base
    }

    /// The radius of level 0.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The ladder as the kernels take it.
    pub fn view(&self) -> kernel::Ladder<'_> {
        kernel::Ladder::new(&self.radii, self.lowest).expect("radii rise from the lowest level on")
    }
}
