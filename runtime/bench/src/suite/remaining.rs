//! How long a run still takes: what measures expect of their rounds until one was seen, then what was seen.

use std::collections::BTreeMap;
use std::time::Duration;

/// The rounds that are left, by measure.
#[derive(Debug, Default)]
pub(super) struct Remaining {
    measures: BTreeMap<usize, Rounds>,
}

#[derive(Debug)]
struct Rounds {
    takes: Duration,
    left: u32,
}

impl Remaining {
    /// Another round of `measure`, expected to take this long.
    pub(super) fn add(&mut self, measure: usize, takes: Duration) {
        let rounds = self.measures.entry(measure);
        rounds.or_insert(Rounds { takes, left: 0 }).left += 1;
    }

    /// One is done, and took this long.
    pub(super) fn ran(&mut self, measure: usize, took: Duration) {
        if let Some(rounds) = self.measures.get_mut(&measure) {
            rounds.takes = took;
            rounds.left = rounds.left.saturating_sub(1);
        }
    }

    /// A round of `measure`.
    pub(super) fn of_round(&self, measure: usize) -> Duration {
        self.measures
            .get(&measure)
            .map_or(Duration::ZERO, |rounds| rounds.takes)
    }

    /// All that is left.
    pub(super) fn of_all(&self) -> Duration {
        self.measures
            .values()
            .map(|rounds| rounds.takes * rounds.left)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_counts_more_than_what_was_expected() {
        let second = Duration::from_secs(1);
        let mut remaining = Remaining::default();
        remaining.add(0, second);
        remaining.add(1, 5 * second);
        remaining.add(0, second);
        remaining.add(1, 5 * second);
        assert_eq!(remaining.of_all(), 12 * second);
        remaining.ran(1, 2 * second);
        assert_eq!(remaining.of_round(1), 2 * second);
        assert_eq!(remaining.of_all(), 4 * second);
    }
}
