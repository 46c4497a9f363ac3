//! What shall go wrong with webhooks: late, twice, lost, out of order.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rand::Rng;
use serde::{Deserialize, Serialize};

/// Longest delay, ms.
pub const LATE_MS_MAX: u64 = 600_000;

/// Longest time that a shuffled webhook is held back, ms: later ones overtake it.
const SHUFFLE_WINDOW_MS: u64 = 500;

/// The body of `POST /sandbox/faults`. It is the whole setting: what is left out is off.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Every webhook waits this long, ms, at most [`LATE_MS_MAX`].
    pub late_ms: u64,
    /// Probability that a webhook is sent twice.
    pub duplicate: f64,
    /// Probability that a webhook is never sent.
    pub drop: f64,
    /// Probability that a webhook is held back for a random time, so that later ones overtake it.
    pub shuffle: f64,
}

/// The answer of `GET /sandbox/faults`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FaultsView {
    /// What is set.
    pub faults: Faults,
    /// What came of it.
    pub webhooks: Spoiled,
}

/// Webhooks since the sandbox began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spoiled {
    /// All that were caused.
    pub caused: u64,
    /// Sent late on purpose.
    pub late: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Never sent.
    pub dropped: u64,
    /// Held back so that later ones overtake them.
    pub shuffled: u64,
}

/// [`Spoiled`] while it grows.
#[derive(Debug, Default)]
pub(super) struct SpoiledCounters {
    caused: AtomicU64,
    late: AtomicU64,
    duplicated: AtomicU64,
    dropped: AtomicU64,
    shuffled: AtomicU64,
}

impl SpoiledCounters {
    pub(super) fn count(&self, fate: &Fate) {
        self.caused.fetch_add(1, Relaxed);
        if fate.copies == 0 {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        for (counter, is_so) in [
            (&self.late, fate.is_late),
            (&self.duplicated, fate.copies > 1),
            (&self.shuffled, fate.is_shuffled),
        ] {
            counter.fetch_add(u64::from(is_so), Relaxed);
        }
    }

    pub(super) fn now(&self) -> Spoiled {
        Spoiled {
            caused: self.caused.load(Relaxed),
            late: self.late.load(Relaxed),
            duplicated: self.duplicated.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            shuffled: self.shuffled.load(Relaxed),
        }
    }
}

/// What becomes of one webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    /// How often it is sent.
    pub(super) copies: u32,
    /// How long it waits first.
    pub(super) delay: Duration,
    /// A part of that is for everybody.
    pub(super) is_late: bool,
    /// A part of that is for this one, so that others overtake it.
    pub(super) is_shuffled: bool,
}

impl Faults {
    /// The field that breaks its rule, and the rule.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.late_ms > LATE_MS_MAX {
            return Err(("late_ms", "expected at most 600000 ms"));
        }
        let probabilities = [
            ("duplicate", self.duplicate),
            ("drop", self.drop),
            ("shuffle", self.shuffle),
        ];
        for (field, value) in probabilities {
            // NaN is not in the range either.
            if !(0.0..=1.0).contains(&value) {
                return Err((field, "expected a probability from 0 to 1"));
            }
        }
        Ok(())
    }

    /// Throws the dice for one webhook.
    pub(super) fn fate(&self) -> Fate {
        let mut rng = rand::rng();
        // `random_bool` panics outside of 0..=1, which `check` has kept out.
        let mut happens = |probability: f64| probability > 0.0 && rng.random::<f64>() < probability;
        let copies = match (happens(self.drop), happens(self.duplicate)) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        };
        let is_shuffled = happens(self.shuffle);
        let held_back_ms = if is_shuffled {
            rand::rng().random_range(0..SHUFFLE_WINDOW_MS)
        } else {
            0
        };
        Fate {
            copies,
            delay: Duration::from_millis(self.late_ms.saturating_add(held_back_ms)),
            is_late: self.late_ms > 0,
            is_shuffled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let field = |faults: Faults| faults.check().unwrap_err().0;
        assert_eq!(
            field(Faults {
                late_ms: LATE_MS_MAX + 1,
                ..Faults::default()
            }),
            "late_ms"
        );
        assert_eq!(
            field(Faults {
                drop: 1.1,
                ..Faults::default()
            }),
            "drop"
        );
        assert_eq!(
            field(Faults {
                shuffle: -0.1,
                ..Faults::default()
            }),
            "shuffle"
        );
        assert_eq!(
            field(Faults {
                duplicate: f64::NAN,
                ..Faults::default()
            }),
            "duplicate"
        );
        assert!(
            Faults {
                late_ms: LATE_MS_MAX,
                duplicate: 1.0,
                drop: 1.0,
                shuffle: 1.0
            }
            .check()
            .is_ok()
        );
    }

    #[test]
    fn certainties_are_certain() {
        for _ in 0..100 {
            assert_eq!(
                Faults::default().fate(),
                Fate {
                    copies: 1,
                    delay: Duration::ZERO,
                    is_late: false,
                    is_shuffled: false,
                }
            );
            assert_eq!(
                Faults {
                    drop: 1.0,
                    duplicate: 1.0,
                    ..Faults::default()
                }
                .fate()
                .copies,
                0
            );
            let twice = Faults {
                duplicate: 1.0,
                late_ms: 7,
                ..Faults::default()
            }
            .fate();
            assert_eq!(
                twice,
                Fate {
                    copies: 2,
                    delay: Duration::from_millis(7),
                    is_late: true,
                    is_shuffled: false,
                }
            );
        }
    }
}
