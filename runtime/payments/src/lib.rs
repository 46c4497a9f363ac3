//! Payments: the [`Provider`] that the platform pays through, a client for Stripe's API, the signature and the meaning
//! of its webhooks, and a sandbox that speaks the same API for tests, load and local use.
//!
//! It knows orders by their outside reference only. It does not know the order machine's states, Kafka, the ledger or
//! Redis, and it never retries by itself: [`PaymentError::class`] tells the caller what may be tried again.

mod error;
mod provider;
pub mod sandbox;
pub mod signature;
mod stripe;
pub mod webhook;

pub use error::{ConfigureFault, PaymentError};
pub use provider::{
    Complaint, ComplaintKind, Failure, NewPayment, Page, Payment, PaymentStatus, Provider, Refund,
    RefundStatus,
};
pub use stripe::{
    CONNECT_TIMEOUT, CallFault, PAYMENTS_PER_SECOND, REQUEST_TIMEOUT, RETRY_AFTER_MAX, Refusal,
    StripeClient, StripeConfig,
};

/// Name of Stripe-compatible providers: `provider` in an order's payment, in webhook paths and as a metric label.
pub const STRIPE: &str = "stripe";

/// Metadata key of a payment or refund that carries the order's outside reference.
pub const METADATA_ORDER: &str = "order_id";

/// Metadata key of a payment that carries `<namespace>.<name>` of the event.
pub const METADATA_EVENT: &str = "event";
