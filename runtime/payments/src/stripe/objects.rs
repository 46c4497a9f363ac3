//! Stripe's objects, as far as they are read or (by the sandbox) written here. Reading is lenient: only what is needed
//! must be there. Source: Stripe's API reference of version [`API_VERSION`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ticket_core::{Currency, EventName, Money, OrderRef};

use crate::provider::{self, ComplaintKind, Failure, Payment, PaymentStatus, Refund, RefundStatus};
use crate::stripe::error::CallFault;
use crate::{METADATA_EVENT, METADATA_ORDER};

/// The version that every request pins, so that an upgrade of the account changes nothing here.
pub(crate) const API_VERSION: &str = "2025-03-31.basil";

/// Metadata of an object.
pub(crate) type Metadata = BTreeMap<String, String>;

/// An id, or the object itself where it was expanded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Expandable<T> {
    Id(String),
    Object(Box<T>),
}

/// Status of a `PaymentIntent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IntentStatus {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Canceled,
    Succeeded,
    #[serde(other)]
    Unknown,
}

impl IntentStatus {
    /// As it is spelled in JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::RequiresCapture => "requires_capture",
            Self::Canceled => "canceled",
            Self::Succeeded => "succeeded",
            Self::Unknown => "unknown",
        }
    }
}

/// A `PaymentIntent`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PaymentIntent {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) object: String,
    pub(crate) amount: i64,
    #[serde(default)]
    pub(crate) amount_received: i64,
    #[serde(default)]
    pub(crate) automatic_payment_methods: Option<AutomaticPaymentMethods>,
    #[serde(default)]
    pub(crate) canceled_at: Option<i64>,
    #[serde(default)]
    pub(crate) cancellation_reason: Option<String>,
    #[serde(default)]
    pub(crate) client_secret: Option<String>,
    pub(crate) created: i64,
    pub(crate) currency: String,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) last_payment_error: Option<ErrorObject>,
    #[serde(default)]
    pub(crate) latest_charge: Option<Expandable<Charge>>,
    #[serde(default)]
    pub(crate) livemode: bool,
    #[serde(default)]
    pub(crate) metadata: Metadata,
    /// Id or object in Stripe's answers; nothing here reads it.
    #[serde(skip_deserializing)]
    pub(crate) payment_method: Option<String>,
    pub(crate) status: IntentStatus,
}

/// Which payment methods a `PaymentIntent` takes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct AutomaticPaymentMethods {
    pub(crate) enabled: bool,
}

/// An error object: in an answer that says no, and in `last_payment_error`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) charge: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decline_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) doc_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) param: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payment_intent: Option<Box<PaymentIntent>>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
}

/// The body of an answer that says no.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: ErrorObject,
}

/// A charge: one try to take the money.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) object: String,
    pub(crate) amount: i64,
    #[serde(default)]
    pub(crate) amount_refunded: i64,
    pub(crate) created: i64,
    pub(crate) currency: String,
    #[serde(default)]
    pub(crate) livemode: bool,
    /// Copied from the `PaymentIntent`.
    #[serde(default)]
    pub(crate) metadata: Metadata,
    #[serde(default)]
    pub(crate) outcome: Option<Outcome>,
    #[serde(default)]
    pub(crate) paid: bool,
    #[serde(default)]
    pub(crate) payment_intent: Option<Expandable<PaymentIntent>>,
    /// Given back in full.
    #[serde(default)]
    pub(crate) refunded: bool,
    #[serde(default)]
    pub(crate) status: String,
}

/// What became of a charge. `type` is `blocked` if Radar stopped it before it reached the bank.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    #[serde(default)]
    pub(crate) network_status: Option<String>,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) risk_level: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// A refund.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RefundObject {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) object: String,
    pub(crate) amount: i64,
    #[serde(default)]
    pub(crate) charge: Option<Expandable<Charge>>,
    pub(crate) created: i64,
    pub(crate) currency: String,
    #[serde(default)]
    pub(crate) metadata: Metadata,
    #[serde(default)]
    pub(crate) payment_intent: Option<Expandable<PaymentIntent>>,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) status: Option<String>,
}

/// What early fraud warnings and disputes have in common: whom they are about. They carry no metadata of ours.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Complaint {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) object: String,
    /// Of a dispute: how much the buyer wants back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) amount: Option<i64>,
    #[serde(default)]
    pub(crate) charge: Option<Expandable<Charge>>,
    pub(crate) created: i64,
    #[serde(default)]
    pub(crate) payment_intent: Option<Expandable<PaymentIntent>>,
    /// Of a dispute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<String>,
    #[serde(flatten)]
    pub(crate) rest: BTreeMap<String, serde_json::Value>,
}

/// A page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct List<T> {
    #[serde(default)]
    pub(crate) object: String,
    pub(crate) data: Vec<T>,
    pub(crate) has_more: bool,
    #[serde(default)]
    pub(crate) url: String,
}

/// A webhook's body.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Event<T> {
    pub(crate) id: String,
    pub(crate) object: String,
    #[serde(default)]
    pub(crate) api_version: Option<String>,
    pub(crate) created: i64,
    pub(crate) data: EventData<T>,
    #[serde(default)]
    pub(crate) livemode: bool,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// What an event is about: the object as it was when the event happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EventData<T> {
    pub(crate) object: T,
}

/// Decline codes that say fraud: Stripe's own suspicion, and the account's block list. A bank that reports a stolen card
/// only declines; the buyer may pay with another one.
const FRAUD_DECLINE_CODES: [&str; 2] = ["fraudulent", "merchant_blacklist"];

/// `type` of the outcome of a charge that Radar blocked.
pub(crate) const OUTCOME_BLOCKED: &str = "blocked";

impl PaymentIntent {
    /// In the platform's words.
    pub(crate) fn into_payment(self) -> Result<Payment, CallFault> {
        let failure = self.failure();
        let status = match self.status {
            IntentStatus::RequiresPaymentMethod
            | IntentStatus::RequiresConfirmation
            | IntentStatus::RequiresAction => PaymentStatus::Open,
            // Never asked for here; the money is on its way, not there.
            IntentStatus::Processing | IntentStatus::RequiresCapture => PaymentStatus::Processing,
            IntentStatus::Succeeded => PaymentStatus::Succeeded,
            IntentStatus::Canceled => PaymentStatus::Canceled,
            IntentStatus::Unknown => PaymentStatus::Unknown,
        };
        Ok(Payment {
            status,
            amount: money(&self.currency, self.amount)?,
            received_minor: self.amount_received,
            order: order_of(&self.metadata),
            event: self
                .metadata
                .get(METADATA_EVENT)
                .and_then(|text| text.parse::<EventName>().ok()),
            created_at: timestamp(self.created)?,
            failure,
            client_secret: self.client_secret,
            id: self.id,
        })
    }

    /// Why the last try failed, if it did.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let error = self.last_payment_error.as_ref()?;
        let says_fraud = |code: &str| FRAUD_DECLINE_CODES.contains(&code);
        let is_fraud = error.decline_code.as_deref().is_some_and(says_fraud)
            || self
                .charge()
                .and_then(|charge| charge.outcome.as_ref())
                .is_some_and(Outcome::blocked);
        let code = error.decline_code.clone().or_else(|| error.code.clone());
        Some(Failure { code, is_fraud })
    }

    fn charge(&self) -> Option<&Charge> {
        match self.latest_charge.as_ref()? {
            Expandable::Object(charge) => Some(charge),
            Expandable::Id(_) => None,
        }
    }
}

impl Outcome {
    fn blocked(&self) -> bool {
        self.kind == OUTCOME_BLOCKED
    }
}

impl RefundObject {
    /// In the platform's words.
    pub(crate) fn into_refund(self) -> Result<Refund, CallFault> {
        Ok(Refund {
            status: self.settled(),
            amount: money(&self.currency, self.amount)?,
            order: order_of(&self.metadata),
            payment: self.payment_intent.map(Identified::into_id),
            created_at: timestamp(self.created)?,
            id: self.id,
        })
    }

    pub(crate) fn settled(&self) -> RefundStatus {
        match self.status.as_deref() {
            Some("succeeded") => RefundStatus::Succeeded,
            Some("failed" | "canceled") => RefundStatus::Failed,
            // `pending`, `requires_action`, and words of later versions.
            Some(_) | None => RefundStatus::Pending,
        }
    }
}

impl Complaint {
    /// In the platform's words.
    pub(crate) fn into_complaint(
        self,
        kind: ComplaintKind,
    ) -> Result<provider::Complaint, CallFault> {
        let is_lost = self.stands() == DisputeStands::Lost;
        Ok(provider::Complaint {
            id: self.id,
            kind,
            payment: self.payment_intent.map(Identified::into_id),
            created_at: timestamp(self.created)?,
            taken_back_minor: self.amount.filter(|_| is_lost).unwrap_or(0),
        })
    }

    /// How a dispute stands.
    pub(crate) fn stands(&self) -> DisputeStands {
        match self.status.as_deref() {
            Some(DISPUTE_LOST) => DisputeStands::Lost,
            Some("needs_response" | "under_review") => DisputeStands::Open,
            // Won, prevented, or only an inquiry of the bank: the money is ours.
            Some(_) | None => DisputeStands::Over,
        }
    }
}

/// How a dispute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DisputeStands {
    /// The bank has taken the money and has not decided.
    Open,
    /// The buyer has the money.
    Lost,
    /// We have the money.
    Over,
}

/// Status of a dispute that the buyer has won, also by our giving in.
pub(crate) const DISPUTE_LOST: &str = "lost";

/// Something with an id, expanded or not.
pub(crate) trait Identified {
    fn into_id(self) -> String;
}

impl Identified for Expandable<PaymentIntent> {
    fn into_id(self) -> String {
        match self {
            Self::Id(id) => id,
            Self::Object(intent) => intent.id,
        }
    }
}

/// The order that an object of ours is about. Somebody else's objects on the same account have none.
pub(crate) fn order_of(metadata: &Metadata) -> Option<OrderRef> {
    metadata.get(METADATA_ORDER)?.parse().ok()
}

/// Stripe writes currencies in lower case.
pub(crate) fn money(currency: &str, amount_minor: i64) -> Result<Money, CallFault> {
    let currency = Currency::new(&currency.to_ascii_uppercase())
        .map_err(|_| CallFault::Strange { field: "currency" })?;
    Ok(Money {
        currency,
        amount_minor,
    })
}

fn timestamp(seconds: i64) -> Result<Timestamp, CallFault> {
    Timestamp::from_second(seconds).map_err(|_| CallFault::Strange { field: "created" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(extra: &serde_json::Value) -> PaymentIntent {
        let mut json = serde_json::json!({
            "id": "pi_1", "object": "payment_intent", "amount": 1200, "currency": "idr",
            "created": 1_700_000_000, "status": "requires_payment_method", "metadata": {},
            "payment_method": {"id": "pm_1", "object": "payment_method"}, "field_of_tomorrow": [1],
        });
        for (name, value) in extra.as_object().unwrap() {
            json[name] = value.clone();
        }
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn fraud_is_told_from_a_decline() {
        let error = |decline: &str| {
            serde_json::json!({"last_payment_error": {
                "type": "card_error", "code": "card_declined", "decline_code": decline}})
        };
        let is_fraud = |extra| intent(&extra).failure().unwrap().is_fraud;
        assert!(is_fraud(error("fraudulent")));
        assert!(is_fraud(error("merchant_blacklist")));
        assert!(!is_fraud(error("generic_decline")));
        assert!(!is_fraud(error("stolen_card")));
        assert_eq!(intent(&serde_json::json!({})).failure(), None);

        let mut blocked = error("generic_decline");
        blocked["latest_charge"] = serde_json::json!({
            "id": "ch_1", "amount": 1200, "currency": "idr", "created": 1,
            "outcome": {"type": "blocked", "reason": "highest_risk_level"}});
        assert!(is_fraud(blocked));
    }

    #[test]
    fn words_of_tomorrow_are_unknown_and_not_an_error() {
        let payment = intent(&serde_json::json!({"status": "requires_luck"}))
            .into_payment()
            .unwrap();
        assert_eq!(payment.status, PaymentStatus::Unknown);
        assert_eq!(payment.amount, money("idr", 1200).unwrap());
        assert_eq!(payment.order, None);
    }
}
