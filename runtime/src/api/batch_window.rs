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

/// The batch that has not gone on yet.
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
            go_on(batch);
        });
        window
    }

    /// Waits for other requests, at most [`WAIT`]. A request that is dropped meanwhile holds nobody up.
    pub(crate) async fn join(&self) {
        let waiting = {
            let mut batch = self.batch();
            let now = Instant::now();
            let last = batch.last.replace(now);
            let is_alone =
                batch.due.is_none() && last.is_none_or(|last| now.duration_since(last) > WAIT);
            if is_alone || batch.is_closed {
                return;
            }
            let (release, waiting) = oneshot::channel();
            batch.waiting.push(release);
            if batch.waiting.len() >= ENOUGH {
                go_on(batch);
            } else if batch.due.is_none() {
                batch.due = Some(now + WAIT);
                drop(batch);
                self.0.begun.notify_one();
            }
            waiting
        };
        // It is always released; an error would mean that there is no window any more, and nothing to wait for.
        drop(waiting.await);
    }

    /// Releases each batch when it is due.
    async fn end_waits(&self) {
        loop {
            let due = self.batch().due;
            let Some(due) = due else {
                self.0.begun.notified().await;
                continue;
            };
            sleep_until(due).await;
            let batch = self.batch();
            // What was slept for may have gone on because it was enough.
            if batch.due.is_some_and(|due| due <= Instant::now()) {
                go_on(batch);
            }
        }
    }

    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.0.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Releases who waits; the next batch begins empty.
fn go_on(mut batch: MutexGuard<'_, Batch>) {
    batch.due = None;
    let room = batch.waiting.len();
    let waiting = std::mem::replace(&mut batch.waiting, Vec::with_capacity(room));
    drop(batch);
    for release in waiting {
        // Whoever is gone needs no release.
        let _is_there = release.send(());
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::join_all;

    use super::*;

    fn window() -> BatchWindow {
        BatchWindow::start(&CancellationToken::new())
    }

    #[tokio::test]
    async fn whoever_comes_alone_does_not_wait() {
        let window = window();
        for _ in 0..3 {
            assert!(window.join().now_or_never().is_some());
            tokio::time::sleep(WAIT * 2).await;
        }
    }

    #[tokio::test]
    async fn who_comes_shortly_after_waits_and_goes_on_with_those_who_follow() {
        let window = window();
        let before = Instant::now();
        window.join().await;
        let (mut first, mut late) = (Box::pin(window.join()), Box::pin(window.join()));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(late.as_mut().now_or_never().is_none());
        first.await;
        assert!(before.elapsed() >= WAIT);
        assert!(late.now_or_never().is_some());
    }

    #[tokio::test]
    async fn enough_do_not_wait_and_one_more_waits_its_own_time() {
        let window = window();
        window.join().await;
        let mut enough = Box::pin(join_all((0..ENOUGH).map(|_| window.join())));
        // The last one releases all the others, which learn of it when they are asked again.
        assert!(enough.as_mut().now_or_never().is_none());
        assert!(enough.now_or_never().is_some());
        let before = Instant::now();
        window.join().await;
        assert!(before.elapsed() >= WAIT);
    }

    #[tokio::test]
    async fn who_goes_away_holds_nobody_up_and_after_the_end_nobody_waits() {
        let stop = CancellationToken::new();
        let window = BatchWindow::start(&stop);
        window.join().await;
        assert!(window.join().now_or_never().is_none());
        window.join().await;
        // Whoever comes now is not alone, whether or not this one waits.
        let _may_wait = window.join().now_or_never();
        let mut waiting = Box::pin(window.join());
        assert!(waiting.as_mut().now_or_never().is_none());
        stop.cancel();
        waiting.await;
        assert!(window.join().now_or_never().is_some());
    }
}
