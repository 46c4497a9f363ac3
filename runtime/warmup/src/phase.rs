//! The phases of a warm-up run. No I/O, no clock.

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It holds the lock; the event has its epoch.
    Locked,
    /// Its markers are in the log.
    Marking,
    /// Every stock shard is at its epoch: what is read from now on contains all that the store will not be told.
    Seeding,
    /// The store is armed; what it may have missed is told again.
    CatchingUp,
    /// The store is armed and nothing is missing. An end.
    Armed,
    /// Somebody has a newer epoch, or the lock was lost. An end.
    Fenced,
}

/// What happened to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The log has every marker.
    MarkersSent,
    /// Every stock shard was read at the epoch.
    AllRowsAtEpoch,
    /// The store took the seed.
    Seeded,
    /// The store was told of all that changed since the orders were read.
    CaughtUp,
    /// The lock was lost, or store or ledger know a newer epoch.
    NewerEpochSeen,
}

/// An event that cannot happen in this phase: a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen to a warm-up that is {phase:?}")]
pub struct IllegalEvent {
    /// The phase.
    pub phase: Phase,
    /// The event.
    pub event: Event,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 6] = [
        Self::Locked,
        Self::Marking,
        Self::Seeding,
        Self::CatchingUp,
        Self::Armed,
        Self::Fenced,
    ];

    /// The phase after `event`.
    ///
    /// # Errors
    /// [`IllegalEvent`] if it cannot happen in this phase.
    pub const fn next(self, event: Event) -> Result<Self, IllegalEvent> {
        match (self, event) {
            (Self::Locked, Event::MarkersSent) => Ok(Self::Marking),
            // Read from the rows of the ledger, never counted: a marker may be delivered twice.
            (Self::Marking, Event::AllRowsAtEpoch) => Ok(Self::Seeding),
            (Self::Seeding, Event::Seeded) => Ok(Self::CatchingUp),
            (Self::CatchingUp, Event::CaughtUp) => Ok(Self::Armed),
            // Whatever this run still did would be refused by the receivers, so it stops here.
            (
                Self::Locked | Self::Marking | Self::Seeding | Self::CatchingUp,
                Event::NewerEpochSeen,
            ) => Ok(Self::Fenced),
            (Self::Locked, Event::AllRowsAtEpoch | Event::Seeded | Event::CaughtUp)
            | (Self::Marking, Event::MarkersSent | Event::Seeded | Event::CaughtUp)
            | (Self::Seeding, Event::MarkersSent | Event::AllRowsAtEpoch | Event::CaughtUp)
            | (Self::CatchingUp, Event::MarkersSent | Event::AllRowsAtEpoch | Event::Seeded)
            | (
                Self::Armed | Self::Fenced,
                Event::MarkersSent
                | Event::AllRowsAtEpoch
                | Event::Seeded
                | Event::CaughtUp
                | Event::NewerEpochSeen,
            ) => Err(IllegalEvent { phase: self, event }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENTS: [Event; 5] = [
        Event::MarkersSent,
        Event::AllRowsAtEpoch,
        Event::Seeded,
        Event::CaughtUp,
        Event::NewerEpochSeen,
    ];

    proptest! {
        /// Whatever is thrown at a run, it is armed only by all four steps in their order, and an end stays an end.
        #[test]
        fn a_run_is_armed_by_every_step_in_order_and_by_nothing_else(
            events in proptest::collection::vec(proptest::sample::select(EVENTS.to_vec()), 0..40),
        ) {
            let mut phase = Phase::Locked;
            let mut taken = Vec::new();
            for event in events {
                match phase.next(event) {
                    Ok(next) => {
                        prop_assert_ne!(next, phase);
                        taken.push(event);
                        phase = next;
                    }
                    Err(illegal) => prop_assert_eq!(illegal, IllegalEvent { phase, event }),
                }
            }
            match phase {
                Phase::Armed => prop_assert_eq!(&taken[..], &EVENTS[..4]),
                Phase::Fenced => {
                    let (last, before) = taken.split_last().unwrap();
                    prop_assert_eq!(*last, Event::NewerEpochSeen);
                    prop_assert_eq!(before, &EVENTS[..before.len()]);
                }
                Phase::Locked | Phase::Marking | Phase::Seeding | Phase::CatchingUp => {
                    prop_assert_eq!(&taken[..], &EVENTS[..taken.len()]);
                }
            }
        }
    }
}
