//! Deliveries: the thread that learns of them, and the future that waits for one. It does not know what is sent.
//!
//! rdkafka's own `FutureProducer` polls with a deadline of 100 ms, of which librdkafka, which counts whole milliseconds,
//! sleeps 99: up to one in a hundred is spent spinning, for each producer and for ever. In a quiet sale that was two thirds of
//! the processor's CPU time (measured with `perf` at 200 orders/s). So the thread is ours and its deadline is long.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, ProducerContext};
use tokio::sync::oneshot;

use crate::context::LogContext;
use crate::error::BusError;

/// Deadline of one poll; deliveries that come before it are served at once. Also how long a producer that was dropped keeps
/// its thread.
const POLL_WAIT: Duration = Duration::from_secs(1);

/// Who waits for a delivery: gets the record's offset, or why there is none.
pub(crate) type Waiting = oneshot::Sender<Result<i64, BusError>>;

/// The delivery of one record: its offset once all in-sync replicas have it. Dropping it does not call the record back.
#[must_use = "a record that nobody waits for may be lost without a word"]
pub struct Delivery {
    outcome: oneshot::Receiver<Result<i64, BusError>>,
}

impl Delivery {
    /// A delivery, and where its outcome goes.
    pub(crate) fn new() -> (Waiting, Self) {
        let (waiting, outcome) = oneshot::channel();
        (waiting, Self { outcome })
    }
}

impl Future for Delivery {
    type Output = Result<i64, BusError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome)
            .poll(context)
            .map(|outcome| outcome.unwrap_or(Err(BusError::Closed)).map_err(counted))
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivery")
    }
}

/// Counts a record that did not get out.
pub(crate) fn counted(error: BusError) -> BusError {
    metrics::counter!("ticket_bus_produce_errors_total", "code" => error.code()).increment(1);
    error
}

/// Tells those who wait. Called on the polling thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeliveryContext;

impl ClientContext for DeliveryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        LogContext.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        LogContext.error(error, reason);
    }
}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = Box<Waiting>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Box<Waiting>) {
        let outcome = match result {
            Ok(record) => Ok(record.offset()),
            Err((cause, record)) => {
                let bytes = record.key_len() + record.payload_len();
                let (topic, partition) = (record.topic(), record.partition());
                Err(BusError::unsent(cause.clone(), topic, partition, bytes))
            }
        };
        // Whoever waited may have gone away: the record is delivered all the same.
        drop(waiting.send(outcome));
    }
}

/// A producer with a thread that polls it. The thread ends within [`POLL_WAIT`] after this was dropped, and closes the client:
/// closing waits for librdkafka's threads, and a worker of the async runtime must not.
pub(crate) struct Polled {
    /// `None` only while this is dropped.
    producer: Option<Arc<BaseProducer<DeliveryContext>>>,
    is_over: Arc<AtomicBool>,
}

impl Polled {
    pub(crate) fn start(producer: BaseProducer<DeliveryContext>) -> Result<Self, BusError> {
        let producer = Arc::new(producer);
        let is_over = Arc::new(AtomicBool::new(false));
        let (polled, until) = (Arc::clone(&producer), Arc::clone(&is_over));
        std::thread::Builder::new()
            .name("bus-producer".to_owned())
            .spawn(move || {
                while !until.load(Ordering::Acquire) {
                    polled.poll(POLL_WAIT);
                }
            })
            .map_err(|cause| BusError::Thread {
                what: "producer",
                cause,
            })?;
        let producer = Some(producer);
        Ok(Self { producer, is_over })
    }

    pub(crate) fn get(&self) -> Result<&BaseProducer<DeliveryContext>, BusError> {
        self.producer.as_deref().ok_or(BusError::Closed)
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        // Ours first: the thread's is the last one then.
        drop(self.producer.take());
        self.is_over.store(true, Ordering::Release);
    }
}
