//! What librdkafka says by itself, in the words of our log.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, info, warn};

/// Context of every client that is no group member. What a person must act on comes back as a
/// [`crate::BusError`] of the call that failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogContext;

impl ClientContext for LogContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log_line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

/// For clients that read without being a member of a group.
impl ConsumerContext for LogContext {}

/// One line of librdkafka's log. A broker that is away makes several a second, so none is louder than `info`.
pub(crate) fn log_line(level: RDKafkaLogLevel, facility: &str, text: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => info!(facility, text, "kafka client"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            debug!(facility, text, "kafka client");
        }
    }
}

/// An error that belongs to no call. librdkafka logs the same as a line, see [`log_line`]. Brokers that do not take us for
/// whom we say we are, or whom we do not, will not change their mind by themselves: a person should look.
pub(crate) fn log_error(error: &KafkaError, reason: &str) {
    let code = error.rdkafka_error_code();
    if matches!(
        code,
        Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL)
    ) {
        warn!(%error, reason, "kafka and we do not trust each other");
    } else {
        debug!(%error, reason, "kafka client reports an error");
    }
}

/// Drops a client on a thread of its own. Its drop waits for librdkafka's threads, and for the group to let it go; a
/// worker of the async runtime must not wait for that. Without a thread to be had it is dropped here.
pub(crate) fn drop_elsewhere<T: Send + 'static>(client: T) {
    let dropping = std::thread::Builder::new().name("bus-close".to_owned());
    if let Err(error) = dropping.spawn(move || drop(client)) {
        warn!(%error, "no thread to close a kafka client on, closed in place");
    }
}
