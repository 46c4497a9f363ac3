//! A few measured values as people compare them: the median, and how far the others lie from it.

use std::fmt;

use serde::Serialize;

use crate::text;

/// Median, smallest and largest of a few values, and the values in the order in which they were measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one; the mean of the two in the middle if their number is even.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// All of them.
    pub values: Vec<f64>,
}

impl Spread {
    /// The spread of `values`; all 0 if there are none.
    #[must_use]
    pub fn of(values: Vec<f64>) -> Self {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(at(middle.saturating_sub(1)), at(middle))
        } else {
            at(middle)
        };
        let (min, max) = (at(0), at(sorted.len().saturating_sub(1)));
        Self {
            median,
            min,
            max,
            values,
        }
    }

    /// A single number as people read it: `45`, `0.33`, `12,000`.
    #[must_use]
    pub fn number(value: f64) -> String {
        if value >= 100.0 {
            grouped_float(value)
        } else if value.fract() == 0.0 {
            format!("{value:.0}")
        } else {
            let text = format!("{value:.2}");
            text.trim_end_matches('0').to_owned()
        }
    }
}

/// `0.388 (0.352-0.410)`, `12.3 (11.0-13.1)`, without decimals from 100 on: `16,457 (15,003-17,120)`; a
/// single value has no range.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: f64| match self.median {
            // Shares: 0.328 misses a limit of 0.33.
            ..1.0 => format!("{value:.3}"),
            ..100.0 => format!("{value:.1}"),
            _ => grouped_float(value),
        };
        if self.values.len() == 1 {
            return f.write_str(&shown(self.median));
        }
        write!(
            f,
            "{} ({}-{})",
            shown(self.median),
            shown(self.min),
            shown(self.max)
        )
    }
}

/// Without decimals, thousands grouped.
fn grouped_float(value: f64) -> String {
    let whole = format!("{value:.0}");
    whole.parse().map_or(whole, text::grouped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle() {
        let odd = Spread::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        assert_eq!(odd.values, [3.0, 1.0, 2.0]);
        assert_eq!(odd.to_string(), "2.0 (1.0-3.0)");
        let even = Spread::of(vec![1_000.0, 4_000.0, 2_000.0, 3_000.4]);
        assert_eq!(even.to_string(), "2,500 (1,000-4,000)");
        assert_eq!(Spread::of(vec![0.388]).to_string(), "0.388");
        assert_eq!(Spread::of(Vec::new()).to_string(), "0.000 (0.000-0.000)");
    }

    #[test]
    fn limits_have_no_more_digits_than_they_need() {
        let texts = [40.0, 0.33, 1.5, 12_000.0].map(Spread::number);
        assert_eq!(texts, ["40", "0.33", "1.5", "12,000"]);
    }
}
