//! Requests that come shortly after each other go on together: the stock store then gets their calls in one read, the order
//! log gets their commands in one batch, and every thread on the way is woken once. In a quiet sale an order costs mostly
//! such wake-ups, several times what it costs under load (`make bench`, steady rates). It does not know what a request wants.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long the first request of a batch waits for others. It does not wait if nobody came for so long before it: then
/// nobody is likely to come.
const WAIT: Duration = Duration::from_millis(20);

/// A batch of so many does not wait: under load the wait ends by itself, long before [`WAIT`] is over. Fewer than the
/// buyers who may be waiting on a busy process, or all would wait for one batch after the other: with 50 and 128 buyers a
/// twentieth fewer orders were taken per second (`make bench`, over HTTP).
const ENOUGH: usize = 25;

/// Lets requests go on in batches. Clones are the same window.
#[derive(Clone)]
pub(crate) struct BatchWindow(Arc<Shared>);

struct Shared {
    batch: Mutex<Batch>,
    /// Woken by the first request of each batch.
    begun: Notify,
}

/// The batch that has not gone on yet. Knows no clock of its own.
#[derive(Default)]
struct Batch {
    waiting: Vec<oneshot::Sender<()>>,
    /// When it goes on at the latest; `None` while nobody waits.
    due: Option<Instant>,
    /// When a request came last.
    last: Option<Instant>,
    is_closed: bool,
}

impl BatchWindow {
    /// Starts the clock that ends waits. After `stop` nobody waits.
    pub(crate) fn start(stop: &CancellationToken) -> Self {
        let window = Self(Arc::new(Shared {
            batch: Mutex::default(),
            begun: Notify::new(),
        }));
        let (ticking, stop) = (window.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = ticking.end_waits() => {}
            }
            let mut batch = ticking.batch();
            batch.is_closed = true;
            batch.go_on();
        });
        window
    }

    /// Waits for other requests, at most [`WAIT`]. A request that is dropped meanwhile holds nobody up.
    pub(crate) async fn join(&self) {
        let Some(Joined { released, begins }) = self.batch().join(Instant::now()) else {
            return;
        };
        if begins {
            self.0.begun.notify_one();
        }
        // It is always released; an error would mean that there is no window any more, and nothing to wait for.
        drop(released.await);
    }

    /// Releases each batch when it is due.
    async fn end_waits(&self) {
        loop {
            let due = self.batch().due;
            match due {
                None => self.0.begun.notified().await,
                Some(due) => {
                    sleep_until(due).await;
                    self.batch().go_on_if_due(Instant::now());
                }
            }
        }
    }

    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.0.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the batch.
struct Joined {
    released: oneshot::Receiver<()>,
    /// It is the first of its batch.
    begins: bool,
}

impl Batch {
    /// `None`: go on at once.
    fn join(&mut self, now: Instant) -> Option<Joined> {
        let last = self.last.replace(now);
        let came_shortly_before = last.is_some_and(|last| now.duration_since(last) <= WAIT);
        let begins = self.due.is_none();
        if self.is_closed || (begins && !came_shortly_before) {
            return None;
        }
        let (release, released) = oneshot::channel();
        self.waiting.push(release);
        if begins {
            self.due = Some(now + WAIT);
        }
        if self.waiting.len() >= ENOUGH {
            self.go_on();
        }
        Some(Joined { released, begins })
    }

    /// The batch that was due may have gone on because it was enough; the next one has its own time.
    fn go_on_if_due(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.go_on();
        }
    }

    /// Releases who waits; the next batch begins empty.
    fn go_on(&mut self) {
        self.due = None;
        for release in self.waiting.drain(..) {
            // Whoever is gone needs no release.
            let _is_there = release.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures::FutureExt as _;

    use super::*;

    /// Whether the one who `joined` may go on.
    fn goes_on(joined: &mut Option<Joined>) -> bool {
        joined
            .as_mut()
            .is_none_or(|joined| joined.released.try_recv().is_ok())
    }

    #[test]
    fn whoever_comes_alone_does_not_wait() {
        let (mut batch, start) = (Batch::default(), Instant::now());
        for turn in 0..3 {
            assert!(batch.join(start + turn * 2 * WAIT).is_none());
        }
    }

    #[test]
    fn who_comes_shortly_after_waits_and_goes_on_with_those_who_follow() {
        let (mut batch, start) = (Batch::default(), Instant::now());
        assert!(batch.join(start).is_none());
        let mut first = batch.join(start + WAIT);
        let mut late = batch.join(start + WAIT + WAIT / 2);
        assert!(first.as_ref().is_some_and(|first| first.begins));
        assert!(late.as_ref().is_some_and(|late| !late.begins));
        batch.go_on_if_due(start + WAIT + WAIT / 2);
        assert!(!goes_on(&mut first) && !goes_on(&mut late));
        batch.go_on_if_due(start + WAIT * 2);
        assert!(goes_on(&mut first) && goes_on(&mut late));
    }

    #[test]
    fn enough_do_not_wait_and_one_more_waits_its_own_time() {
        let (mut batch, start) = (Batch::default(), Instant::now());
        assert!(batch.join(start).is_none());
        let mut enough: Vec<_> = (0..ENOUGH).map(|_| batch.join(start)).collect();
        assert!(enough.iter_mut().all(goes_on));
        let mut one_more = batch.join(start + WAIT / 2);
        // When the batch that was enough would have been due.
        batch.go_on_if_due(start + WAIT);
        assert!(!goes_on(&mut one_more));
        batch.go_on_if_due(start + WAIT / 2 + WAIT);
        assert!(goes_on(&mut one_more));
    }

    /// Somebody who waits. Whoever was held up between two lines comes alone, and comes again.
    fn waiting(window: &BatchWindow) -> Pin<Box<impl Future<Output = ()>>> {
        loop {
            let mut waiting = Box::pin(window.join());
            if waiting.as_mut().now_or_never().is_none() {
                return waiting;
            }
        }
    }

    #[tokio::test]
    async fn the_clock_releases_also_after_somebody_went_away_and_after_the_end_nobody_waits() {
        let stop = CancellationToken::new();
        let window = BatchWindow::start(&stop);
        assert!(window.join().now_or_never().is_some());
        let before = Instant::now();
        drop(waiting(&window));
        window.join().await;
        assert!(before.elapsed() >= WAIT);

        let waiting = waiting(&window);
        stop.cancel();
        waiting.await;
        assert!(window.join().now_or_never().is_some());
    }
}
