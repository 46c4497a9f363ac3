//! Stripe's API as far as the platform uses it: payments (`PaymentIntent`) and refunds, form-encoded requests, JSON answers.

mod client;
mod error;
pub(crate) mod form;
pub(crate) mod objects;

pub use client::{
    CONNECT_TIMEOUT, PAYMENTS_PER_SECOND, REQUEST_TIMEOUT, StripeClient, StripeConfig,
};
pub(crate) use client::{check_url, http_client};
pub(crate) use error::{
    ALREADY_REFUNDED, CHARGE_DISPUTED, IDEMPOTENCY_ERROR, RESOURCE_MISSING, UNEXPECTED_STATE,
};
pub use error::{CallFault, RETRY_AFTER_MAX, Refusal};
