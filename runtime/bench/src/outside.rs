//! What the buyer API and the admin API answer, as far as the crowd and its checker read it. These types are written from
//! the contract and not shared with the servers, so that a field that was renamed there is noticed here.

use jiff::Timestamp;
use serde::Deserialize;
use ticket_core::{CategoryName, Money, OrderRef, Reason, State};

/// `GET /v1/events/{event}`.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// `scheduled`, `on_sale`, `paused`, `sold_out`, `warming_up` or `closed`.
    pub sale: String,
    /// What can be bought.
    pub categories: Vec<Category>,
}

/// A category as buyers see it.
#[derive(Debug, Clone, Deserialize)]
pub struct Category {
    /// Its name.
    pub name: CategoryName,
    /// Price of one ticket.
    pub price: Money,
}

/// An order as its buyer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Order {
    /// `ord_...`.
    pub id: OrderRef,
    /// Its category.
    pub category: CategoryName,
    /// Tickets.
    pub quantity: u32,
    /// Its state.
    pub state: State,
    /// Why, where there is something to say.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// What it costs.
    pub amount: Money,
    /// When the hold ends, while there is one that runs.
    #[serde(default)]
    pub hold_expires_at: Option<Timestamp>,
    /// Where to pay, as soon as that is known.
    #[serde(default)]
    pub payment: Option<Payment>,
}

/// Where to pay.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Payment {
    /// The provider's id.
    pub id: String,
    /// What a browser needs to pay.
    pub client_secret: String,
}

/// An error document (RFC 9457).
#[derive(Debug, Clone, Deserialize)]
pub struct Problem {
    /// `kebab-case`.
    pub code: String,
}

/// A payment at the provider after a try to pay.
#[derive(Debug, Clone, Deserialize)]
pub struct PaymentIntent {
    /// `succeeded`, `processing`, `requires_payment_method` ...
    pub status: String,
}

/// The provider's refusal.
#[derive(Debug, Clone, Deserialize)]
pub struct PaymentRefusal {
    /// Its details.
    pub error: PaymentRefusalError,
}

/// Details of the provider's refusal.
#[derive(Debug, Clone, Deserialize)]
pub struct PaymentRefusalError {
    /// `card_declined` ...
    #[serde(default)]
    pub code: Option<String>,
    /// `card_error` ...
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

/// `GET /admin/v1/events/{event}`.
#[derive(Debug, Clone, Deserialize)]
pub struct ManagedEvent {
    /// Most tickets of one buyer.
    pub max_per_buyer: u32,
}

/// `GET /admin/v1/events/{event}/stock`.
#[derive(Debug, Clone, Deserialize)]
pub struct Stock {
    /// One entry per category.
    pub categories: Vec<CategoryStock>,
}

/// The counters of a category.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CategoryStock {
    /// Its name.
    pub name: CategoryName,
    /// Tickets there are.
    pub capacity: i64,
    /// Tickets nobody has.
    pub available: i64,
    /// Tickets of orders that are not paid yet.
    pub held: i64,
    /// Tickets that are paid.
    pub sold: i64,
    /// Tickets that nobody has, as the stock store says; absent while it is not armed.
    #[serde(default)]
    pub store_available: Option<i64>,
}

/// `POST /admin/v1/events/{event}/audit`.
#[derive(Debug, Clone, Deserialize)]
pub struct Audit {
    /// Do all checks hold?
    pub ok: bool,
    /// One entry per check.
    pub checks: Vec<AuditCheck>,
}

/// One check of the audit.
#[derive(Debug, Clone, Deserialize)]
pub struct AuditCheck {
    /// `conservation` ...
    pub name: String,
    /// Does it hold?
    pub ok: bool,
    /// What was compared, or why it was skipped.
    #[serde(default)]
    pub detail: String,
    /// It could not be looked at; `detail` says why.
    #[serde(default)]
    pub skipped: bool,
}

/// A page of a list.
#[derive(Debug, Clone, Deserialize)]
pub struct Page<T> {
    /// This page.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last one.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// An order as an event manager sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ManagedOrder {
    /// `ord_...`.
    pub id: OrderRef,
    /// Who bought.
    pub buyer: String,
    /// Tickets.
    pub quantity: u32,
    /// Its state.
    pub state: State,
    /// What speaks against its payment.
    #[serde(default)]
    pub flags: Vec<String>,
}

/// A page of the provider's lists.
#[derive(Debug, Clone, Deserialize)]
pub struct ProviderPage<T> {
    /// This page, newest first.
    pub data: Vec<T>,
    /// Is there another one after it?
    pub has_more: bool,
}

/// What we gave the provider along.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Metadata {
    /// Absent on what is not ours.
    #[serde(default)]
    pub order_id: Option<OrderRef>,
    /// `<namespace>.<name>`; only payments have it.
    #[serde(default)]
    pub event: Option<String>,
}

/// `GET /sandbox/faults`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct FaultsView {
    /// What became of webhooks so far.
    pub webhooks: Webhooks,
}

/// What the sandbox did to its webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct Webhooks {
    /// All that were caused.
    pub caused: u64,
    /// Sent late on purpose.
    pub late: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Never sent.
    pub dropped: u64,
    /// Held back so that later ones overtake them.
    pub shuffled: u64,
}

impl Webhooks {
    /// What was added since `before`.
    #[must_use]
    pub const fn since(&self, before: &Self) -> Self {
        Self {
            caused: self.caused.saturating_sub(before.caused),
            late: self.late.saturating_sub(before.late),
            duplicated: self.duplicated.saturating_sub(before.duplicated),
            dropped: self.dropped.saturating_sub(before.dropped),
            shuffled: self.shuffled.saturating_sub(before.shuffled),
        }
    }
}

/// A dispute in the provider's list.
#[derive(Debug, Clone, Deserialize)]
pub struct DisputeEntry {
    /// `du_...`.
    pub id: String,
    /// Minor units.
    pub amount: i64,
    /// The payment.
    pub payment_intent: String,
    /// `needs_response`, `lost` ...
    pub status: String,
}

/// An order as an event manager sees it, with what it has been through.
#[derive(Debug, Clone, Deserialize)]
pub struct OrderHistory {
    /// Its states, oldest first.
    #[serde(default)]
    pub history: Vec<OrderStep>,
}

/// A state that an order has been in.
#[derive(Debug, Clone, Deserialize)]
pub struct OrderStep {
    /// The state.
    pub state: State,
}

/// A payment in the provider's list.
#[derive(Debug, Clone, Deserialize)]
pub struct IntentEntry {
    /// `pi_...`.
    pub id: String,
    /// Minor units that have arrived.
    pub amount_received: i64,
    /// Whose.
    #[serde(default)]
    pub metadata: Metadata,
}

/// A refund in the provider's list.
#[derive(Debug, Clone, Deserialize)]
pub struct RefundEntry {
    /// `re_...`.
    pub id: String,
    /// Minor units.
    pub amount: i64,
    /// Whose.
    #[serde(default)]
    pub metadata: Metadata,
}
