//! Why a call to Stripe failed, and what may be done about it.

use std::time::Duration;

use ticket_core::{Code, ErrorClass};

use crate::provider::Payment;
use crate::stripe::objects::ErrorObject;

/// Longest `Retry-After` that is believed. A wrong header must not stop payments for a day.
pub const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

/// Stripe's word for "this payment's status does not allow that".
pub(crate) const UNEXPECTED_STATE: &str = "payment_intent_unexpected_state";
/// Stripe's word for "the money is back already".
pub(crate) const ALREADY_REFUNDED: &str = "charge_already_refunded";
/// Stripe's word for "the buyer's bank took the money back already".
pub(crate) const CHARGE_DISPUTED: &str = "charge_disputed";
/// Stripe's word for "there is no such thing".
pub(crate) const RESOURCE_MISSING: &str = "resource_missing";
/// Type of the error for an idempotency key that came with other parameters before.
pub(crate) const IDEMPOTENCY_ERROR: &str = "idempotency_error";

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallFault {
    /// Our own rate limit had no place for the call in time; nothing was sent.
    #[error("the call did not get its turn within {waited:?}")]
    RateLimit {
        /// How long it waited.
        waited: Duration,
    },
    /// No connection; nothing was sent.
    #[error("the provider could not be reached")]
    NotSent(#[source] reqwest::Error),
    /// Sent, no whole answer.
    #[error("the provider gave no whole answer")]
    NoAnswer(#[source] reqwest::Error),
    /// The answer is longer than anything that Stripe sends.
    #[error("the provider's answer is longer than {limit} bytes")]
    TooLong {
        /// The limit, bytes.
        limit: usize,
    },
    /// An answer that says yes in words that are not understood.
    #[error("the provider's answer (status {status}) cannot be read")]
    Unreadable {
        /// HTTP status.
        status: u16,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// An answer that reads well and breaks a rule, e.g. a currency of four letters.
    #[error("the provider's answer has a strange `{field}`")]
    Strange {
        /// The field.
        field: &'static str,
    },
    /// The provider said no.
    #[error("the provider answered {} {}: {}", .0.status, .0.kind, .0.message)]
    Refused(Box<Refusal>),
}

/// An answer that says no.
#[derive(Debug)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Stripe's `type`, e.g. `invalid_request_error`.
    pub kind: String,
    /// Stripe's `code`, e.g. `resource_missing`.
    pub code: Option<String>,
    /// Stripe's `message`.
    pub message: String,
    /// `Retry-After`, at most [`RETRY_AFTER_MAX`].
    pub retry_after: Option<Duration>,
    /// The payment as it is, where the error shows it.
    pub payment: Option<Payment>,
}

impl CallFault {
    pub(crate) fn refused(
        status: u16,
        error: Option<ErrorObject>,
        retry_after: Option<Duration>,
    ) -> Self {
        let error = error.unwrap_or_default();
        Self::Refused(Box::new(Refusal {
            status,
            kind: error
                .kind
                .unwrap_or_else(|| "without an error object".to_owned()),
            code: error.code,
            message: error.message.unwrap_or_default(),
            retry_after,
            payment: error
                .payment_intent
                .and_then(|intent| intent.into_payment().ok()),
        }))
    }

    pub(crate) fn from_send(cause: reqwest::Error) -> Self {
        // What fails while connecting was not sent. Everything later may have arrived.
        if cause.is_connect() || cause.is_builder() {
            Self::NotSent(cause)
        } else {
            Self::NoAnswer(cause)
        }
    }

    /// Stripe's `code`, where the provider said no.
    pub(crate) fn stripe_code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.code.as_deref(),
            Self::RateLimit { .. }
            | Self::NotSent(_)
            | Self::NoAnswer(_)
            | Self::TooLong { .. }
            | Self::Unreadable { .. }
            | Self::Strange { .. } => None,
        }
    }

    /// What the caller may do.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::RateLimit { .. } | Self::NotSent(_) => ErrorClass::Retry,
            Self::NoAnswer(_)
            | Self::TooLong { .. }
            | Self::Unreadable { .. }
            | Self::Strange { .. } => ErrorClass::Ambiguous,
            Self::Refused(refusal) => refused_class(refusal.status, refusal.code.as_deref()),
        }
    }

    /// Stable, `kebab-case`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::RateLimit { .. }
            | Self::NotSent(_)
            | Self::NoAnswer(_)
            | Self::TooLong { .. }
            | Self::Unreadable { .. }
            | Self::Strange { .. } => Code::PaymentsUnreachable.as_str(),
            Self::Refused(refusal) => refused_code(refusal),
        }
    }

    /// `Retry-After`, at most [`RETRY_AFTER_MAX`].
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            Self::RateLimit { .. }
            | Self::NotSent(_)
            | Self::NoAnswer(_)
            | Self::TooLong { .. }
            | Self::Unreadable { .. }
            | Self::Strange { .. } => None,
        }
    }
}

fn refused_class(status: u16, code: Option<&str>) -> ErrorClass {
    match (status, code) {
        // A wrong key, too fast, or the same key is being worked on: nothing happened.
        (401 | 403 | 409 | 429, _) => ErrorClass::Retry,
        // Stripe: treat a 500 as "may or may not have happened", and send the same key again.
        (500.., _) => ErrorClass::Ambiguous,
        (_, Some(UNEXPECTED_STATE | ALREADY_REFUNDED | CHARGE_DISPUTED)) => ErrorClass::Conflict,
        (_, _) => ErrorClass::Permanent,
    }
}

fn refused_code(refusal: &Refusal) -> &'static str {
    match refusal.status {
        401 | 403 => "payments-unauthorized",
        429 | 500.. => Code::PaymentsUnreachable.as_str(),
        _ if refusal.kind == IDEMPOTENCY_ERROR => Code::IdempotencyKeyReused.as_str(),
        404 => Code::NotFound.as_str(),
        _ => "payments-refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_tried_again_is_told_apart() {
        let class = |status, code: Option<&str>| {
            let error = ErrorObject {
                code: code.map(str::to_owned),
                ..ErrorObject::default()
            };
            CallFault::refused(status, Some(error), None).class()
        };
        assert_eq!(class(429, None), ErrorClass::Retry);
        assert_eq!(
            class(409, Some("idempotency_key_in_use")),
            ErrorClass::Retry
        );
        assert_eq!(class(401, None), ErrorClass::Retry);
        assert_eq!(class(500, None), ErrorClass::Ambiguous);
        assert_eq!(class(503, None), ErrorClass::Ambiguous);
        assert_eq!(class(400, Some(UNEXPECTED_STATE)), ErrorClass::Conflict);
        assert_eq!(class(400, Some("parameter_missing")), ErrorClass::Permanent);
        assert_eq!(class(404, Some(RESOURCE_MISSING)), ErrorClass::Permanent);
    }
}
