//! Numbers of twice the precision: unevaluated sums of two `f64`, the second at most half a unit in the last place of the
//! first. A result is within a few parts in `2^104`, as long as nothing leaves the range.
//!
//! Source: T. J. Dekker, *A floating-point technique for extending the available precision*, Numer. Math. 18, 1971.

use core::ops::{Add, Div, Mul, Neg, Sub};

/// The sum of two numbers of type `f64`.
///
/// Their order is that of the pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Double {
    /// The number, rounded.
    pub high: f64,
    /// What the rounding lost.
    pub low: f64,
}

/// The sum of two numbers, with its error.
fn sum(a: f64, b: f64) -> Double {
    let high = a + b;
    let back = high - a;
    Double { high, low: (a - (high - back)) + (b - back) }
}

impl From<f64> for Double {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

impl Add for Double {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let (high, low) = (sum(self.high, other.high), sum(self.low, other.low));
        let joined = sum(high.high, high.low + low.high);
        sum(joined.high, joined.low + low.low)
    }
}

impl Neg for Double {
    type Output = Self;
    fn neg(self) -> Self {
        Self { high: -self.high, low: -self.low }
    }
}

impl Sub for Double {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Double {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let high = self.high * other.high;
        let error = self.high.mul_add(other.high, -high);
        sum(high, error + (self.high * other.low + self.low * other.high))
    }
}

impl Div for Double {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let first = Self::from(self.high / other.high);
        let second = Self::from((self - first * other).high / other.high);
        let third = Self::from((self - first * other - second * other).high / other.high);
        first + second + third
    }
}

impl core::iter::Sum for Double {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::default(), |sum, term| sum + term)
    }
}

impl Double {
    /// The square root of a number that is not negative.
    pub fn sqrt(self) -> Self {
        if self.high <= 0.0 {
            return Self::default();
        }
        let first = Self::from(self.high.sqrt());
        first + (self - first * first) / (first + first)
    }

    /// The exponential of a number of moderate size: a series for a 512th of what is left after whole powers of two,
    /// squared nine times.
    pub fn exp(self) -> Self {
        const LN_2: Double = Double { high: core::f64::consts::LN_2, low: 2.319_046_813_846_3e-17 };
        let power = (self.high / core::f64::consts::LN_2).round();
        let rest = (self - LN_2 * Self::from(power)) * Self::from(1.0 / 512.0);
        let (mut term, mut series) = (rest, rest); // the exponential less 1, which keeps its digits
        for n in 2..12 {
            term = term * rest / Self::from(f64::from(n));
            series = series + term;
        }
        for _ in 0..9 {
            series = series + series + series * series;
        }
        let scale = Self::from(2f64.powi(power as i32)); // moderate, so within the range
        (series + Self::from(1.0)) * scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether two numbers agree to about thirty digits.
    fn near(a: Double, b: Double) -> bool {
        (a - b).high.abs() <= 1e-29 * b.high.abs()
    }

    #[test]
    fn arithmetic_keeps_thirty_digits() {
        let (third, seven) = (Double::from(1.0) / Double::from(3.0), Double::from(7.0));
        assert_eq!(third.high, 1.0 / 3.0);
        assert!(near(third * Double::from(3.0), Double::from(1.0)));
        assert!(near(seven.sqrt() * seven.sqrt(), seven));
        assert!(near((third + seven) - seven, third) && near(third * seven / seven, third));
        let tiny = Double::from(1.0) + Double::from(1e-25);
        assert_eq!((tiny - Double::from(1.0)).high, 1e-25);
    }

    #[test]
    fn the_exponential_is_the_known_one() {
        let e = Double { high: core::f64::consts::E, low: 1.445_646_891_729_250_2e-16 };
        assert!(near(Double::from(1.0).exp(), e));
        assert!(near(Double::from(-1.0).exp() * e, Double::from(1.0)));
        assert!(near(Double::from(-40.0).exp() * Double::from(39.0).exp() * e, Double::from(1.0)));
        assert_eq!(Double::default().exp(), Double::from(1.0));
    }
}
