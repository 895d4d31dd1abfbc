//! The sums of the distance kernels: the published formula written out, and the true value in about 106 bits.

use crate::dist::{Chebyshev, Dot, Form, Manhattan, SquaredEuclidean};

/// A form whose sums can be had slowly.
pub trait Truth: Form {
    /// The published formula: `f64`, each operation rounded by itself, in order of the dimension.
    fn published(query: &[f64], point: &[f64]) -> f64;

    /// The true sum, rounded to `f64`, barring underflow and overflow of `f64`; and the true sum of the magnitudes of
    /// its terms, to which [`Form::relative_error`] refers.
    fn truth(query: &[f64], point: &[f64]) -> (f64, f64);
}

impl Truth for SquaredEuclidean {
    fn published(query: &[f64], point: &[f64]) -> f64 {
        query.iter().zip(point).fold(0.0, |sum, (q, x)| sum + (q - x) * (q - x))
    }
    fn truth(query: &[f64], point: &[f64]) -> (f64, f64) {
        let sum = query.iter().zip(point).fold(Double::ZERO, |sum, (&q, &x)| {
            let diff = Double::sum(q, -x);
            sum.plus(diff.times(diff))
        });
        (sum.high, sum.high)
    }
}

impl Truth for Manhattan {
    fn published(query: &[f64], point: &[f64]) -> f64 {
        query.iter().zip(point).fold(0.0, |sum, (q, x)| sum + (q - x).abs())
    }
    fn truth(query: &[f64], point: &[f64]) -> (f64, f64) {
        let sum = query.iter().zip(point).fold(Double::ZERO, |sum, (&q, &x)| sum.plus(Double::sum(q, -x).abs()));
        (sum.high, sum.high)
    }
}

impl Truth for Chebyshev {
    fn published(query: &[f64], point: &[f64]) -> f64 {
        query.iter().zip(point).map(|(q, x)| (q - x).abs()).fold(0.0, f64::max)
    }
    fn truth(query: &[f64], point: &[f64]) -> (f64, f64) {
        let largest = Self::published(query, point); // rounding is monotone, so the largest stays the largest
        (largest, largest)
    }
}

impl Truth for Dot {
    fn published(query: &[f64], point: &[f64]) -> f64 {
        query.iter().zip(point).fold(0.0, |sum, (q, x)| sum + q * x)
    }
    fn truth(query: &[f64], point: &[f64]) -> (f64, f64) {
        let (mut sum, mut magnitudes) = (Double::ZERO, Double::ZERO);
        for (&q, &x) in query.iter().zip(point) {
            let product = Double::product(q, x);
            sum = sum.plus(product);
            magnitudes = magnitudes.plus(product.abs());
        }
        (sum.high, magnitudes.high)
    }
}

/// An unevaluated sum of two numbers, about 106 bits (T. J. Dekker, Numer. Math. 18, 1971).
#[derive(Clone, Copy)]
struct Double {
    high: f64,
    low: f64,
}

impl Double {
    const ZERO: Self = Self { high: 0.0, low: 0.0 };

    /// `a + b`, exactly.
    fn sum(a: f64, b: f64) -> Self {
        let high = a + b;
        let part = high - a;
        Self { high, low: (a - (high - part)) + (b - part) }
    }

    /// `a * b`, exactly.
    fn product(a: f64, b: f64) -> Self {
        let high = a * b;
        Self { high, low: a.mul_add(b, -high) }
    }

    fn plus(self, other: Self) -> Self {
        let (high, low) = (Self::sum(self.high, other.high), Self::sum(self.low, other.low));
        let carried = Self::sum(high.high, high.low + low.high);
        Self::sum(carried.high, carried.low + low.low)
    }

    fn times(self, other: Self) -> Self {
        let product = Self::product(self.high, other.high);
        Self::sum(product.high, product.low + (self.high * other.low + self.low * other.high))
    }

    fn abs(self) -> Self {
        if self.high < 0.0 { Self { high: -self.high, low: -self.low } } else { self }
    }
}
