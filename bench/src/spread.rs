//! Several measurements of the same.

/// The median of what the runs of each round come to, one by the other.
pub fn paired(
    values: impl IntoIterator<Item = f64>,
    by: impl IntoIterator<Item = f64>,
) -> Option<f64> {
    let ratios = values.into_iter().zip(by).map(|(value, by)| value / by);
    Spread::of(ratios).map(|spread| spread.median)
}

/// The middle one of several measurements, and how far they are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Of an even number the mean of the middle two.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of these; nothing where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self {
            median: f64::midpoint(low, high),
            min,
            max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = Spread::of([3.0, 1.0, 10.0]).expect("three");
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 3.0, 10.0));
        assert_eq!(
            Spread::of([1.0, 2.0]).map(|spread| spread.median),
            Some(1.5)
        );
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn runs_are_compared_with_those_of_their_round() {
        // The machine was half as fast in the second round.
        assert_eq!(paired([2.0, 4.0, 2.2], [1.0, 2.0, 1.0]), Some(2.0));
        assert_eq!(paired([], [1.0]), None);
    }
}
