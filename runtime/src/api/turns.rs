//! Load shedding: a limit on the requests that are worked on at the same time. Beyond it a request is refused at once,
//! before its token is looked at, so that a refusal stays cheap and quick however many come. Whoever only waits (for a
//! decision, for a slow body, for the next event of a stream) has no turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use ticket_core::Code;

use super::Api;
use crate::problem::Problem;

/// The turns of this process. Clones are the same turns.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    taken: Arc<AtomicUsize>,
    max: usize,
}

/// The right to work on a request, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Arc<AtomicUsize>);

/// Extractor for handlers that take their [`Turn`] later: there was one left at the beginning.
pub(crate) struct Room;

impl Turns {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            taken: Arc::default(),
            max,
        }
    }

    /// A turn, or `overloaded`.
    pub(crate) fn take(&self) -> Result<Turn, Problem> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        let turn = Turn(self.taken.clone());
        if before < self.max {
            Ok(turn)
        } else {
            Err(full())
        }
    }

    fn has_room(&self) -> bool {
        self.taken.load(Ordering::Relaxed) < self.max
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn full() -> Problem {
    Problem::new(Code::Overloaded, "more requests than can be worked on")
}

impl FromRequestParts<Arc<Api>> for Turn {
    type Rejection = Problem;

    async fn from_request_parts(_parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        api.turns.take()
    }
}

impl FromRequestParts<Arc<Api>> for Room {
    type Rejection = Problem;

    async fn from_request_parts(_parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        if api.turns.has_room() {
            Ok(Self)
        } else {
            Err(full())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_nobody_gets_a_turn_until_one_is_over() {
        let turns = Turns::new(2);
        let first = turns.take().unwrap();
        let second = turns.take().unwrap();
        assert!(!turns.has_room());
        for _ in 0..3 {
            let refused = turns.take().unwrap_err();
            assert_eq!(refused.code, Code::Overloaded);
            assert!(refused.retry_after_s.is_some());
        }
        drop(first);
        assert!(turns.has_room());
        let third = turns.take().unwrap();
        drop((second, third));
        assert_eq!(turns.taken.load(Ordering::Relaxed), 0);
    }
}
