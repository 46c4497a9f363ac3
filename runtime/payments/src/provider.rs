//! What the platform wants of a payment provider, in the platform's own words. No provider's vocabulary leaks out.

use std::future::Future;

use jiff::Timestamp;
use ticket_core::{BuyerId, EventName, Money, OrderRef, Reason};

use crate::error::PaymentError;

/// A payment to be made. The order's reference is the idempotency key: asking twice gives the same payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPayment {
    /// Whose payment.
    pub order: OrderRef,
    /// What the buyer shall pay, at least 1 minor unit.
    pub amount: Money,
    /// The sale, for the provider's reports and the audit.
    pub event: EventName,
    /// Who buys: an opaque id that ties payments of one person together in the provider's fraud checks.
    pub buyer: BuyerId,
}

/// A payment as the provider has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The provider's id.
    pub id: String,
    /// What the buyer's browser needs to pay it. Absent where the provider keeps it back.
    pub client_secret: Option<String>,
    /// Where it stands.
    pub status: PaymentStatus,
    /// What the buyer shall pay.
    pub amount: Money,
    /// What has arrived, minor units.
    pub received_minor: i64,
    /// Whose payment. `None`: not one of this platform's.
    pub order: Option<OrderRef>,
    /// The sale.
    pub event: Option<EventName>,
    /// When it was made, to the second.
    pub created_at: Timestamp,
    /// Why the last try to pay failed.
    pub failure: Option<Failure>,
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentStatus {
    /// The buyer can pay, also after a declined try.
    Open,
    /// The money is on its way.
    Processing,
    /// The money is there. It stays so after a refund.
    Succeeded,
    /// It can never be paid.
    Canceled,
    /// The provider uses a word that is not known here.
    Unknown,
}

/// Why a try to pay failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The provider's own word, e.g. `generic_decline`.
    pub code: Option<String>,
    /// Blocked as fraud: final. Else the buyer may try again.
    pub is_fraud: bool,
}

/// Money on its way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The provider's id.
    pub id: String,
    /// The payment that is given back.
    pub payment: Option<String>,
    /// Whose payment. `None`: not made by this platform.
    pub order: Option<OrderRef>,
    /// How much.
    pub amount: Money,
    /// Where it stands.
    pub status: RefundStatus,
    /// When it was made, to the second.
    pub created_at: Timestamp,
}

/// Where a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefundStatus {
    /// Not there yet; a webhook follows.
    Pending,
    /// The money is back.
    Succeeded,
    /// It did not arrive: a person must look.
    Failed,
}

/// Something that speaks against a payment which has succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The provider's id.
    pub id: String,
    /// What it is.
    pub kind: ComplaintKind,
    /// The payment. It leads to the order, which a complaint does not name.
    pub payment: Option<String>,
    /// When it was made, to the second.
    pub created_at: Timestamp,
    /// Money that the buyer has got back through the bank for good, minor units.
    pub taken_back_minor: i64,
}

/// What speaks against a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ComplaintKind {
    /// The buyer's bank suspects fraud.
    FraudWarning,
    /// The buyer wants the money back through the bank.
    Dispute,
}

impl ComplaintKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::FraudWarning, Self::Dispute];
}

/// Part of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// At most 100.
    pub items: Vec<T>,
    /// Ask for the next page with this; `None` at the end.
    pub next: Option<String>,
}

/// A payment provider. Every call is one request; a retry is the caller's, by [`PaymentError::class`].
pub trait Provider: Send + Sync {
    /// Name in an order's payment, in webhook paths and as a metric label.
    fn name(&self) -> &'static str;

    /// Makes the payment, or finds the one that was made for the same order.
    fn create(
        &self,
        payment: &NewPayment,
    ) -> impl Future<Output = Result<Payment, PaymentError>> + Send;

    /// Makes sure that the payment can never be paid. A payment that is cancelled already is success; class `Conflict`
    /// if the money is there or on its way.
    fn cancel(&self, payment: &str) -> impl Future<Output = Result<Payment, PaymentError>> + Send;

    /// Gives `amount` back, or finds the refund that was made for the same order. What went back before by other ways (at the
    /// provider's dashboard, through the buyer's bank) counts; a dispute that still runs is conceded, because the bank then
    /// gives the buyer what we wanted to. Success means that all of it is back or on its way.
    fn refund(
        &self,
        order: OrderRef,
        payment: &str,
        amount: Money,
        reason: Reason,
    ) -> impl Future<Output = Result<Refund, PaymentError>> + Send;

    /// The payment as it is now.
    fn get(&self, payment: &str) -> impl Future<Output = Result<Payment, PaymentError>> + Send;

    /// All payments, newest first, in pages; `after` is [`Page::next`] of the page before.
    fn list(
        &self,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Page<Payment>, PaymentError>> + Send;

    /// All refunds, newest first, in pages.
    fn list_refunds(
        &self,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Page<Refund>, PaymentError>> + Send;

    /// All complaints of a kind that were made at or after `since`, newest first, in pages.
    fn list_complaints(
        &self,
        kind: ComplaintKind,
        since: Timestamp,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Page<Complaint>, PaymentError>> + Send;
}
