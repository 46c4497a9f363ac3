//! What can go wrong with payments. A variant is an action that failed; the cause is its source.

use std::net::SocketAddr;
use std::time::Duration;

use ticket_core::{Code, ErrorClass, OrderRef};

use crate::signature::SignatureFault;
use crate::stripe::CallFault;
use crate::webhook::EventFault;

/// An action that failed.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// The client or the sandbox could not be made from its settings.
    #[error("could not set payments up")]
    Configure {
        /// What is wrong with the settings.
        #[source]
        cause: ConfigureFault,
    },
    /// The provider did not make the payment, or did not say so.
    #[error("could not create the payment of order {order}")]
    Create {
        /// Whose payment.
        order: OrderRef,
        /// Why.
        #[source]
        cause: CallFault,
    },
    /// The provider did not cancel the payment, or did not say so.
    #[error("could not cancel payment {payment}")]
    Cancel {
        /// The provider's id.
        payment: String,
        /// Why.
        #[source]
        cause: CallFault,
    },
    /// The provider did not give the money back, or did not say so.
    #[error("could not refund order {order}")]
    Refund {
        /// Whose payment.
        order: OrderRef,
        /// Why.
        #[source]
        cause: CallFault,
    },
    /// A payment could not be read.
    #[error("could not read payment {payment}")]
    Read {
        /// The provider's id.
        payment: String,
        /// Why.
        #[source]
        cause: CallFault,
    },
    /// A page of payments or refunds could not be read.
    #[error("could not list {what}")]
    List {
        /// `payments` or `refunds`.
        what: &'static str,
        /// Why.
        #[source]
        cause: CallFault,
    },
    /// A webhook's signature was not accepted, or could not be made.
    #[error("could not accept the signature of a webhook")]
    Signature {
        /// Why.
        #[source]
        cause: SignatureFault,
    },
    /// A signed webhook is no event.
    #[error("could not read the event of a webhook")]
    Event {
        /// Why.
        #[source]
        cause: EventFault,
    },
    /// The sandbox could not listen, or its listener died.
    #[error("could not serve the sandbox on {listen}")]
    Serve {
        /// The address.
        listen: SocketAddr,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureFault {
    /// TLS has no cryptography yet.
    #[error("no TLS cryptography provider is installed: the program must install one first")]
    NoCryptoProvider,
    /// The address of the provider or of the webhook receiver is no http(s) URL.
    #[error("`{url}` is no http or https URL")]
    Url {
        /// As it was given.
        url: String,
    },
    /// The webhook secret is empty: everybody could sign.
    #[error("the webhook secret is empty")]
    EmptySecret,
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be built")]
    Client(#[source] reqwest::Error),
}

impl PaymentError {
    /// What the caller may do. `Ambiguous`: ask again, the idempotency key makes it safe. A refused API key is `Retry`:
    /// nothing happened, and the same works once the key is right; orders must not die of it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Create { cause, .. }
            | Self::Cancel { cause, .. }
            | Self::Refund { cause, .. }
            | Self::Read { cause, .. }
            | Self::List { cause, .. } => cause.class(),
            Self::Configure { .. }
            | Self::Signature { .. }
            | Self::Event { .. }
            | Self::Serve { .. } => ErrorClass::Permanent,
        }
    }

    /// Stable, `kebab-case`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Create { cause, .. }
            | Self::Cancel { cause, .. }
            | Self::Refund { cause, .. }
            | Self::Read { cause, .. }
            | Self::List { cause, .. } => cause.code(),
            Self::Signature { .. } => Code::InvalidSignature.as_str(),
            Self::Event { .. } => Code::InvalidRequest.as_str(),
            Self::Configure { .. } | Self::Serve { .. } => Code::PaymentsMisconfigured.as_str(),
        }
    }

    /// How long the provider wants to be left alone, if it said so. At most [`crate::RETRY_AFTER_MAX`].
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Create { cause, .. }
            | Self::Cancel { cause, .. }
            | Self::Refund { cause, .. }
            | Self::Read { cause, .. }
            | Self::List { cause, .. } => cause.retry_after(),
            Self::Configure { .. }
            | Self::Signature { .. }
            | Self::Event { .. }
            | Self::Serve { .. } => None,
        }
    }
}
