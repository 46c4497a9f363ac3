//! Load shedding: a limit on the requests that are worked on at the same time. Beyond it a request is refused at once,
//! before its token is looked at, so that a refusal stays cheap and quick however many come. Whoever only waits (for a
//! decision, for a slow body, for the next event of a stream) has no turn.
//!
//! The limit adapts. A fixed one is either too low for a fast machine with slow neighbours, where many requests wait for
//! Redis and Kafka at little cost, or so high that on a busy machine thousands of tasks stand before the next refusal. So
//! while many requests have a turn, a task asks to be woken again and again and looks how late it was: that is how long
//! everybody waits for the processor. Late: fewer turns. In time, and all turns were taken: more. (Additive increase,
//! multiplicative decrease, as TCP does it: Chiu and Jain, 1989.)
//!
//! A limit that was never reached says nothing, so it is not kept: whoever comes with a crowd after a quiet time begins with
//! few turns. (TCP does the same after an idle time: RFC 7661.) Otherwise the first of a crowd would fill a limit that its
//! machine cannot bear, and everybody behind them would wait before the first look is over.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use ticket_core::Code;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Api;
use crate::problem::Problem;

/// At the beginning, and however late everything is, so many requests are worked on: fewer would leave Kafka with batches too
/// small to be cheap.
const TURNS_MIN: usize = 256;

/// Between two looks at how late things are.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A task that is woken so much too late stands behind too many others.
const LATE_MAX: Duration = Duration::from_millis(5);

/// One eighth fewer turns after a late look.
const LESS: usize = 8;

/// One of so many parts of the largest limit more after a look in time at a limit that was reached, and fewer after one at a
/// limit of which less than half was used: from the smallest limit to the largest in about 2.5 s, and back.
const STEPS: usize = 256;

/// The turns of this process. Clones are the same turns.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    taken: AtomicUsize,
    /// Most that were taken, or wanted, at the same time since the last look.
    most: AtomicUsize,
    limit: AtomicUsize,
    max: usize,
    /// Woken when [`TURNS_MIN`] or more are taken.
    crowded: Notify,
}

/// The right to work on a request, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Arc<Shared>);

/// Extractor for handlers that take their [`Turn`] later: there was one left at the beginning.
pub(crate) struct Room;

impl Turns {
    /// At most `max` turns, fewer while the process is late. Nothing is looked at after `stop`.
    pub(crate) fn start(max: usize, stop: &CancellationToken) -> Self {
        let turns = Self::new(max);
        let (looking, stop) = (turns.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = looking.adapt() => {}
            }
        });
        turns
    }

    fn new(max: usize) -> Self {
        Self(Arc::new(Shared {
            taken: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            limit: AtomicUsize::new(least(max)),
            max,
            crowded: Notify::new(),
        }))
    }

    /// A turn, or `overloaded`.
    pub(crate) fn take(&self) -> Result<Turn, Problem> {
        let before = self.0.taken.fetch_add(1, Ordering::Relaxed);
        let turn = Turn(self.0.clone());
        // Most requests come to a quiet process: they need no more than the line above.
        if before + 1 >= TURNS_MIN {
            self.0.most.fetch_max(before + 1, Ordering::Relaxed);
            self.0.crowded.notify_one();
        }
        if before < self.0.limit.load(Ordering::Relaxed) {
            Ok(turn)
        } else {
            Err(full())
        }
    }

    fn has_room(&self) -> bool {
        self.0.taken.load(Ordering::Relaxed) < self.0.limit.load(Ordering::Relaxed)
    }

    /// Looks only while there is a crowd or the limit is not yet the least again: a process at rest is not woken.
    async fn adapt(&self) {
        loop {
            self.0.crowded.notified().await;
            loop {
                let due = Instant::now() + LOOK_EVERY;
                sleep(LOOK_EVERY).await;
                if self.look(due.elapsed()).is_break() {
                    break;
                }
            }
        }
    }

    /// Sets the limit after a look that was so `late`; breaks off where there is nothing more to look at.
    fn look(&self, late: Duration) -> ControlFlow<()> {
        let Shared {
            taken,
            most,
            limit,
            max,
            ..
        } = &*self.0;
        let now = taken.load(Ordering::Relaxed);
        let used = most.swap(now, Ordering::Relaxed).max(now);
        let next = next_limit(limit.load(Ordering::Relaxed), *max, used, late);
        limit.store(next, Ordering::Relaxed);
        if next == least(*max) && now < TURNS_MIN {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// The limit to begin with.
fn least(max: usize) -> usize {
    max.min(TURNS_MIN)
}

/// The limit after a look that was so `late` and up to which so many were `used`.
fn next_limit(now: usize, max: usize, used: usize, late: Duration) -> usize {
    let step = max.div_ceil(STEPS);
    let next = if late > LATE_MAX {
        now - now / LESS
    } else if used >= now {
        now + step
    } else if used < now / 2 {
        now.saturating_sub(step)
    } else {
        now
    };
    next.clamp(least(max), max)
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
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
        assert_eq!(turns.0.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_limit_falls_fast_rises_slowly_where_it_is_reached_and_stays_within_its_bounds() {
        let (max, late, in_time) = (2_048, LATE_MAX * 2, Duration::ZERO);
        let mut limit = max;
        for _ in 0..20 {
            let before = limit;
            limit = next_limit(limit, max, limit, late);
            assert!(limit < before || limit == TURNS_MIN);
        }
        assert_eq!(limit, TURNS_MIN);
        let mut looks = 0;
        while limit < max {
            limit = next_limit(limit, max, limit, in_time);
            looks += 1;
        }
        assert_eq!((limit, looks), (max, 224));
        // What is used in part is kept; what is hardly used goes back as slowly as it came.
        assert_eq!(next_limit(1_000, max, 999, in_time), 1_000);
        assert_eq!(next_limit(1_000, max, 500, in_time), 1_000);
        assert_eq!(next_limit(1_000, max, 499, in_time), 992);
        assert_eq!(next_limit(TURNS_MIN, max, 0, in_time), TURNS_MIN);
        // Who wants fewer than the least has them, late or not.
        assert_eq!(next_limit(16, 16, 16, late), 16);
        assert_eq!(next_limit(16, 16, 16, in_time), 16);
    }

    #[test]
    fn a_crowd_begins_with_few_turns_gets_more_in_time_and_leaves_few_behind() {
        let max = TURNS_MIN * 2;
        let turns = Turns::new(max);
        let mut crowd = Vec::new();
        let mut looks = 0;
        while crowd.len() < max {
            let step = turns.0.limit.load(Ordering::Relaxed) - crowd.len();
            crowd.extend((0..step).map(|_| turns.take().unwrap()));
            assert!(turns.take().is_err());
            assert!(turns.look(Duration::ZERO).is_continue());
            looks += 1;
        }
        assert_eq!(looks, 1 + TURNS_MIN / max.div_ceil(STEPS));
        drop(crowd);
        // The first look still sees how many there were.
        let back = (0..).take_while(|_| turns.look(Duration::ZERO).is_continue());
        assert_eq!(back.count(), TURNS_MIN / max.div_ceil(STEPS));
        assert_eq!(turns.0.limit.load(Ordering::Relaxed), TURNS_MIN);
    }

    #[tokio::test]
    async fn a_crowd_on_a_blocked_process_gets_fewer_turns() {
        let (max, stop) = (TURNS_MIN + 200, CancellationToken::new());
        let turns = Turns::start(max, &stop);
        // As after a good time.
        turns.0.limit.store(max, Ordering::Relaxed);
        let crowd: Vec<_> = (0..max).map(|_| turns.take().unwrap()).collect();
        tokio::task::yield_now().await;
        // Nobody else runs meanwhile, as under a heavy load.
        std::thread::sleep(LOOK_EVERY + LATE_MAX * 3);
        let looking = async {
            while turns.0.limit.load(Ordering::Relaxed) == max {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), looking).await;
        waited.expect("the limit does not follow");
        assert!(!turns.has_room());
        drop(crowd);
        assert!(turns.has_room());
        stop.cancel();
    }
}
