//! How fast a category sells, from the snapshots that came. Bounded, and forgotten when another event is looked at.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use ticket_admin::StockView;

/// Snapshots kept: two minutes, since a snapshot comes each second.
pub const SAMPLES_MAX: usize = 120;

/// Categories kept: as many as an event may have.
pub const CATEGORIES_MAX: usize = 32;

/// The rate is the mean over so many seconds: long enough to be calm, short enough to follow a rush.
pub const RATE_WINDOW_S: i64 = 30;

/// Key under which the sum over all categories is kept; no category has an empty name.
pub const ALL: &str = "";

/// What was available, and when.
type Sample = (Timestamp, i64);

/// Rates of an event.
#[derive(Debug, Default, Clone)]
pub struct Rates {
    samples: BTreeMap<String, VecDeque<Sample>>,
}

impl Rates {
    /// Takes a snapshot. One that is not newer than the last is dropped.
    pub fn take(&mut self, stock: &StockView) {
        let all: i64 = stock.categories.iter().map(|it| it.counts.available).sum();
        self.add(ALL, (stock.as_of, all));
        for category in stock.categories.iter().take(CATEGORIES_MAX) {
            self.add(&category.name, (stock.as_of, category.counts.available));
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.samples.clear();
    }

    fn add(&mut self, key: &str, sample: Sample) {
        if !self.samples.contains_key(key) {
            self.samples.insert(key.to_owned(), VecDeque::new());
        }
        let Some(samples) = self.samples.get_mut(key) else {
            return;
        };
        if samples.back().is_some_and(|(at, _)| *at >= sample.0) {
            return;
        }
        if samples.len() >= SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// Tickets taken per second over the last [`RATE_WINDOW_S`]; negative when more came back. `None` before there are two
    /// snapshots.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "tickets of an event fit")]
    pub fn per_second(&self, key: &str) -> Option<f64> {
        let samples = self.samples.get(key)?;
        let (now, available) = samples.back()?;
        let is_recent = |at: &Timestamp| now.duration_since(*at).as_secs() <= RATE_WINDOW_S;
        let (then, before) = samples.iter().find(|(at, _)| is_recent(at))?;
        let seconds = now.duration_since(*then).as_secs_f64();
        (seconds > 0.0).then(|| (before - available) as f64 / seconds)
    }

    /// Seconds until nothing is available at the present rate. `None` when it is not being sold or the rate is not known.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "an estimate for people; a float that does not fit becomes the largest number"
    )]
    pub fn sold_out_in_s(&self, key: &str) -> Option<i64> {
        let rate = self.per_second(key)?;
        let available = self.samples.get(key)?.back()?.1;
        (rate > 0.0 && available > 0).then(|| (available as f64 / rate).ceil() as i64)
    }

    /// Tickets taken between one snapshot and the next, per second, oldest first. What came back counts as nothing.
    #[must_use]
    pub fn series(&self, key: &str) -> Vec<u64> {
        let Some(samples) = self.samples.get(key) else {
            return Vec::new();
        };
        let pairs = samples.iter().zip(samples.iter().skip(1));
        pairs
            .map(|((then, before), (now, after))| {
                let millis = now.duration_since(*then).as_millis().max(1);
                let taken = i128::from((before - after).max(0)) * 1_000 / millis;
                u64::try_from(taken).unwrap_or(u64::MAX)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use ticket_admin::{CategoryStock, Counts};

    use super::*;

    fn stock(second: i64, available: i64) -> StockView {
        StockView {
            event: "default.demo".to_owned(),
            epoch: 1,
            armed_epoch: Some(1),
            as_of: Timestamp::from_second(second).unwrap(),
            categories: vec![CategoryStock {
                name: "vip".to_owned(),
                counts: Counts {
                    capacity: 1_000,
                    available,
                    held: 0,
                    sold: 1_000 - available,
                },
                store_available: None,
                shards: Vec::new(),
            }],
        }
    }

    #[test]
    fn a_rate_is_a_mean_and_says_when_nothing_is_left() {
        let mut rates = Rates::default();
        rates.take(&stock(0, 1_000));
        assert_eq!(rates.per_second("vip"), None);
        rates.take(&stock(1, 980));
        rates.take(&stock(1, 0));
        rates.take(&stock(2, 960));
        assert_eq!(rates.per_second("vip"), Some(20.0));
        assert_eq!(rates.per_second(ALL), Some(20.0));
        assert_eq!(rates.sold_out_in_s("vip"), Some(48));
        assert_eq!(rates.series("vip"), [20, 20]);
        // Only the last half minute counts.
        rates.take(&stock(100, 960));
        rates.take(&stock(101, 959));
        assert_eq!(rates.per_second("vip"), Some(1.0));
        // What comes back is a negative rate, and nothing is ever sold out by it.
        rates.take(&stock(102, 970));
        assert!(rates.per_second("vip").unwrap() < 0.0);
        assert_eq!(rates.sold_out_in_s("vip"), None);
        assert_eq!(rates.series("vip").last(), Some(&0));
    }

    #[test]
    fn an_hour_of_snapshots_keeps_two_minutes() {
        let mut rates = Rates::default();
        for second in 0..3_600 {
            rates.take(&stock(second, 1_000));
        }
        assert_eq!(rates.series("vip").len(), SAMPLES_MAX - 1);
    }
}
