//! What can go wrong with Kafka, and what the caller may do about it.

use std::error::Error;
use std::io;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use ticket_core::{Code, ErrorClass};

use crate::consumer::HandlerError;
use crate::record::TopicPartition;

/// An action on Kafka that failed.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Settings contradict each other or are out of range.
    #[error("the settings of the {what} cannot be used: {reason}")]
    Settings {
        /// `consumer`, `producer` ...
        what: &'static str,
        /// Which and why.
        reason: String,
    },
    /// librdkafka refused to make a client (bad settings, no memory); nothing was sent.
    #[error("could not set up the kafka {what}")]
    Setup {
        /// `consumer`, `producer` ...
        what: &'static str,
        /// Why.
        #[source]
        cause: KafkaError,
    },
    /// The operating system gave no thread.
    #[error("could not start the thread of the kafka {what}")]
    Thread {
        /// Whose.
        what: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The topic is not there. Nothing was sent or read.
    #[error("topic {topic} does not exist")]
    TopicMissing {
        /// Which.
        topic: String,
    },
    /// The topic has no such partition, or this client does not know it yet. Nothing was sent.
    #[error("topic {topic} has no partition {partition} that this client knows")]
    PartitionMissing {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The topic is there, but not as it is wanted.
    #[error("topic {topic} is not as wanted: {difference}")]
    TopicConflict {
        /// Which.
        topic: String,
        /// What is wanted and what is there.
        difference: String,
    },
    /// Topic, settings or partitions could not be changed.
    #[error("could not {action} topic {topic}")]
    Admin {
        /// A verb: `create`, `delete` ...
        action: &'static str,
        /// Which.
        topic: String,
        /// Why.
        #[source]
        cause: KafkaError,
    },
    /// Metadata or offsets could not be read.
    #[error("could not read {what}")]
    Read {
        /// What.
        what: String,
        /// Why.
        #[source]
        cause: KafkaError,
    },
    /// A call did not come back in time.
    #[error("no answer from kafka within {} ms to: {action}", after.as_millis())]
    Deadline {
        /// What was asked.
        action: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The local queue of unsent records is full: the brokers are slower than we are. Nothing was taken.
    #[error("the queue of records to send is full")]
    Full {
        /// Where the record was to go.
        topic: String,
    },
    /// A record is larger than broker or client allow.
    #[error("a record of {bytes} bytes is too large for topic {topic}")]
    TooLarge {
        /// Where it was to go.
        topic: String,
        /// Its size.
        bytes: usize,
    },
    /// The brokers refuse such records for good (authorisation, policy).
    #[error("kafka refuses records for topic {topic}")]
    Refused {
        /// Where it was to go.
        topic: String,
        /// Why.
        #[source]
        cause: KafkaError,
    },
    /// A record was taken and its delivery is not known.
    #[error("delivery to {to} is not known")]
    Undelivered {
        /// Where it was to go.
        to: TopicPartition,
        /// Why.
        #[source]
        cause: KafkaError,
    },
    /// The client was closed while a call was under way.
    #[error("the kafka client was closed before the answer came")]
    Closed,
    /// The topics could not be subscribed to.
    #[error("could not subscribe group {group}")]
    Subscribe {
        /// The group.
        group: String,
        /// Why.
        #[source]
        cause: KafkaError,
    },
    /// librdkafka says that this client must not go on: it was fenced by a newer one, or lost the sequence of records.
    #[error("this kafka client must not go on")]
    Fatal {
        /// Why.
        #[source]
        cause: KafkaError,
    },
    /// A batch cannot be handled, now or later.
    #[error("could not handle the batch at {at} offset {offset}")]
    Handler {
        /// Where.
        at: TopicPartition,
        /// First offset of the batch.
        offset: i64,
        /// Why.
        #[source]
        cause: HandlerError,
    },
    /// A record came out of the common queue although its partition has one of its own. It was not handled, so the
    /// process must end before a later offset is committed.
    #[error("record at {at} offset {offset} came past its partition's queue")]
    Stray {
        /// Where.
        at: TopicPartition,
        /// Its offset.
        offset: i64,
    },
    /// The partition's own queue could not be had.
    #[error("could not get the queue of {at}")]
    Queue {
        /// Where.
        at: TopicPartition,
    },
    /// The task of a partition ended without being told to: it panicked.
    #[error("the task of {at} ended by itself")]
    TaskEnded {
        /// Where.
        at: TopicPartition,
    },
    /// The task of a partition could not be ended, so that two owners might work at once.
    #[error("the task of {at} does not end")]
    TaskStuck {
        /// Where.
        at: TopicPartition,
    },
}

impl BusError {
    /// What the caller may do.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::TopicMissing { .. } | Self::PartitionMissing { .. } | Self::Full { .. } => {
                ErrorClass::Retry
            }
            Self::TopicConflict { .. } => ErrorClass::Conflict,
            Self::Admin { cause, .. } => admin_class(cause),
            Self::Read { cause, .. } | Self::Subscribe { cause, .. } => read_class(cause),
            Self::Deadline { .. } | Self::Undelivered { .. } | Self::Closed => {
                ErrorClass::Ambiguous
            }
            Self::Handler { cause, .. } => cause.class(),
            Self::Settings { .. }
            | Self::Setup { .. }
            | Self::Thread { .. }
            | Self::TooLarge { .. }
            | Self::Refused { .. }
            | Self::Fatal { .. }
            | Self::Stray { .. }
            | Self::Queue { .. }
            | Self::TaskEnded { .. }
            | Self::TaskStuck { .. } => ErrorClass::Permanent,
        }
    }

    /// The stable name of what failed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Settings { .. } | Self::Setup { .. } | Self::Thread { .. } => {
                Code::LogSetupFailed.as_str()
            }
            Self::TopicMissing { .. } => Code::TopicMissing.as_str(),
            Self::PartitionMissing { .. } => Code::PartitionMissing.as_str(),
            Self::TopicConflict { .. } => Code::TopicConflict.as_str(),
            Self::Admin { .. } => Code::TopicChangeFailed.as_str(),
            Self::Read { .. } | Self::Deadline { .. } | Self::Subscribe { .. } => {
                Code::LogUnreachable.as_str()
            }
            Self::Full { .. } => Code::LogFull.as_str(),
            Self::TooLarge { .. } => Code::RecordTooLarge.as_str(),
            Self::Refused { .. } => Code::RecordRefused.as_str(),
            Self::Undelivered { .. } => Code::DeliveryUnknown.as_str(),
            Self::Closed => Code::LogClosed.as_str(),
            Self::Fatal { .. } => Code::LogClientFenced.as_str(),
            Self::Handler { cause, .. } => cause.code(),
            Self::Stray { .. } | Self::Queue { .. } => Code::PartitionQueueBroken.as_str(),
            Self::TaskEnded { .. } | Self::TaskStuck { .. } => Code::PartitionTaskBroken.as_str(),
        }
    }

    /// A record that could not be sent; `bytes` is its size.
    pub(crate) fn unsent(cause: KafkaError, topic: &str, partition: i32, bytes: usize) -> Self {
        let topic = topic.to_owned();
        match code_of(&cause) {
            Some(RDKafkaErrorCode::QueueFull) => Self::Full { topic },
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
                Self::TopicMissing { topic }
            }
            Some(RDKafkaErrorCode::UnknownPartition) => Self::PartitionMissing { topic, partition },
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Self::TooLarge { topic, bytes },
            Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced) => Self::Fatal { cause },
            Some(code) if is_refusal(code) => Self::Refused { topic, cause },
            // Whatever is left may have reached a broker: only the same record again is safe.
            Some(_) | None => Self::Undelivered {
                to: TopicPartition::new(&topic, partition),
                cause,
            },
        }
    }
}

/// librdkafka's code; its own accessor leaves out those of admin calls.
pub(crate) fn code_of(cause: &KafkaError) -> Option<RDKafkaErrorCode> {
    if let KafkaError::AdminOp(code) = cause {
        return Some(*code);
    }
    cause.rdkafka_error_code()
}

/// The brokers would say the same again.
fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::PolicyViolation
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::InvalidPartitions
            | RDKafkaErrorCode::InvalidReplicationFactor
            | RDKafkaErrorCode::InvalidConfig
            | RDKafkaErrorCode::InvalidRequest
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidArgument
            | RDKafkaErrorCode::UnsupportedVersion
    )
}

fn admin_class(cause: &KafkaError) -> ErrorClass {
    match code_of(cause) {
        Some(code) if is_refusal(code) => ErrorClass::Permanent,
        // Every admin call of ours may be repeated, but the caller should look before it does.
        Some(_) | None => ErrorClass::Ambiguous,
    }
}

fn read_class(cause: &KafkaError) -> ErrorClass {
    match code_of(cause) {
        Some(code) if is_refusal(code) => ErrorClass::Permanent,
        Some(_) | None => ErrorClass::Retry,
    }
}

/// An error with all its causes, for a log line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsent(code: RDKafkaErrorCode) -> BusError {
        BusError::unsent(KafkaError::MessageProduction(code), "t", 3, 17)
    }

    #[test]
    fn only_a_record_that_never_left_may_be_sent_anew() {
        for never_left in [
            RDKafkaErrorCode::QueueFull,
            RDKafkaErrorCode::UnknownTopic,
            RDKafkaErrorCode::UnknownPartition,
        ] {
            assert_eq!(
                unsent(never_left).class(),
                ErrorClass::Retry,
                "{never_left:?}"
            );
        }
        for unknown in [
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::NotEnoughReplicasAfterAppend,
            RDKafkaErrorCode::PurgeInflight,
        ] {
            assert_eq!(
                unsent(unknown).class(),
                ErrorClass::Ambiguous,
                "{unknown:?}"
            );
        }
        for hopeless in [
            RDKafkaErrorCode::MessageSizeTooLarge,
            RDKafkaErrorCode::TopicAuthorizationFailed,
            RDKafkaErrorCode::Fatal,
        ] {
            assert_eq!(
                unsent(hopeless).class(),
                ErrorClass::Permanent,
                "{hopeless:?}"
            );
        }
    }

    #[test]
    fn an_error_does_not_print_its_cause_but_the_chain_does() {
        let error = unsent(RDKafkaErrorCode::MessageTimedOut);
        assert_eq!(error.to_string(), "delivery to t/3 is not known");
        assert!(chain(&error).starts_with("delivery to t/3 is not known: "));
    }
}
