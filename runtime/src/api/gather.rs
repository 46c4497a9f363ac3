//! Questions that arrive together are asked together: under load one round trip answers hundreds of requests. It knows
//! neither what is asked nor whom.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Questions that may wait; beyond it [`Gather::ask`] refuses.
const WAITING_MAX: usize = 8_192;

/// Asks questions in batches.
pub(crate) struct Gather<Q, A> {
    queue: mpsc::Sender<(Q, oneshot::Sender<A>)>,
}

impl<Q, A> Clone for Gather<Q, A> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

impl<Q: Send + 'static, A: Send + 'static> Gather<Q, A> {
    /// Starts asking, until `stop`. `ask` gets 1 to `batch_max` questions and answers each, in their order; it is called for
    /// at most `at_once` batches at the same time: fewer are larger and cheaper, more make nobody wait for a slow one.
    pub(crate) fn start<F, R>(
        batch_max: usize,
        at_once: usize,
        stop: &CancellationToken,
        ask: F,
    ) -> Self
    where
        F: Fn(Vec<Q>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Vec<A>> + Send,
    {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..at_once {
            let (waiting, stop, ask) = (waiting.clone(), stop.clone(), ask.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = answer_all(&waiting, batch_max, &ask) => {}
                }
            });
        }
        Self { queue }
    }

    /// The answer to one question; `None` if too many wait or the end has come.
    pub(crate) async fn ask(&self, question: Q) -> Option<A> {
        let (answer, wait) = oneshot::channel();
        self.queue.try_send((question, answer)).ok()?;
        wait.await.ok()
    }
}

async fn answer_all<Q, A, R: Future<Output = Vec<A>>>(
    waiting: &Mutex<mpsc::Receiver<(Q, oneshot::Sender<A>)>>,
    batch_max: usize,
    ask: &impl Fn(Vec<Q>) -> R,
) {
    let mut batch = Vec::with_capacity(batch_max);
    while waiting.lock().await.recv_many(&mut batch, batch_max).await > 0 {
        let (questions, askers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        let answers = ask(questions).await;
        for (asker, answer) in askers.into_iter().zip(answers) {
            // Whoever asked may have gone away meanwhile; then nobody needs the answer.
            drop(asker.send(answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn questions_that_come_together_are_asked_together_and_each_gets_its_answer() {
        let stop = CancellationToken::new();
        let gather = Gather::start(100, 2, &stop, async |numbers: Vec<u32>| {
            let together = numbers.len();
            numbers
                .into_iter()
                .map(|number| (number, together))
                .collect()
        });
        let asking = (0..50).map(|number| gather.ask(number));
        let answers = futures::future::join_all(asking).await;
        for (number, answer) in (0..50).zip(&answers) {
            assert_eq!(answer.unwrap().0, number);
        }
        assert!(answers.iter().flatten().any(|(_, together)| *together > 1));
        stop.cancel();
        tokio::task::yield_now().await;
        assert_eq!(gather.ask(1).await, None);
    }
}
