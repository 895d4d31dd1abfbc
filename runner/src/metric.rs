//! The metrics that have names.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::named;

/// A metric by its name, for choices at run time.
///
/// Each has one published formula: in `f64`, every operation rounded by itself, sums in order of the columns, square roots
/// rounded correctly, all other functions from the `libm` crate. Answers are exactly those of a brute force with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricName {
    /// `sqrt(sum of (a - b)^2)`; see [`Scaling`](crate::space::Scaling) for coordinates of extreme size.
    #[default]
    Euclidean,
    /// `sum of |a - b|`; scaled likewise.
    Manhattan,
    /// `max of |a - b|`; scaled likewise.
    Chebyshev,
    /// `2 atan2(sqrt(sum of (u - v)^2), sqrt(sum of (u + v)^2))` of the unit vectors, in radians; see
    /// [`Angular`](crate::space::Angular).
    Angular,
    /// The great-circle distance on the unit sphere, in radians, from longitude and latitude in degrees; see
    /// [`Haversine`](crate::space::Haversine).
    Haversine,
}

impl MetricName {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Euclidean, Self::Manhattan, Self::Chebyshev, Self::Angular, Self::Haversine];

    /// The name in commands and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Euclidean => "euclidean",
            Self::Manhattan => "manhattan",
            Self::Chebyshev => "chebyshev",
            Self::Angular => "angular",
            Self::Haversine => "haversine",
        }
    }
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for MetricName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        named::parse(name, "metric", Self::ALL, Self::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused() {
        for &metric in MetricName::ALL {
            assert_eq!(metric.to_string().parse::<MetricName>().unwrap(), metric);
        }
        let text = "cosine".parse::<MetricName>().unwrap_err().to_string();
        assert_eq!(text, "\"cosine\" is no metric; choose one of euclidean, manhattan, chebyshev, angular, haversine");
    }
}
