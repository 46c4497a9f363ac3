//! What a progress line shows while the crowd is at work. Counters only; the book has the truth.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ticket_core::State;

/// Running counts, shared by all buyers.
#[derive(Debug, Default)]
pub struct Counters {
    done: AtomicU64,
    acknowledged: AtomicU64,
    paid: AtomicU64,
    ended_otherwise: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Buyers who have gone.
    pub done: u64,
    /// Orders acknowledged.
    pub acknowledged: u64,
    /// Of those, paid.
    pub paid: u64,
    /// Of those, at another end.
    pub ended_otherwise: u64,
}

impl Counters {
    pub(super) fn done(&self) {
        self.done.fetch_add(1, Relaxed);
    }

    pub(super) fn acknowledged(&self) {
        self.acknowledged.fetch_add(1, Relaxed);
    }

    pub(super) fn ended(&self, state: State) {
        let counter = if state == State::Paid {
            &self.paid
        } else {
            &self.ended_otherwise
        };
        counter.fetch_add(1, Relaxed);
    }

    /// The counts now.
    #[must_use]
    pub fn now(&self) -> Counts {
        Counts {
            done: self.done.load(Relaxed),
            acknowledged: self.acknowledged.load(Relaxed),
            paid: self.paid.load(Relaxed),
            ended_otherwise: self.ended_otherwise.load(Relaxed),
        }
    }
}

impl Counts {
    /// Acknowledged orders that have no end yet.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.acknowledged
            .saturating_sub(self.paid + self.ended_otherwise)
    }
}
