//! What a Stripe webhook means. It reads bytes whose signature was checked by [`crate::signature`]; what follows from
//! them is the order machine's affair. Delivery is at least once and in no order: an event names what happened, and the
//! commands that follow are idempotent.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ticket_core::{Action, Flag, Money, OrderRef, Reason};

use crate::error::PaymentError;
use crate::provider::{Provider, RefundStatus};
use crate::stripe::CallFault;
use crate::stripe::objects::{
    Charge, Complaint, Event, Identified, PaymentIntent, RefundObject, money, order_of,
};

/// Something that happened at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderEvent {
    /// The provider's id of the event; a repeat carries the same.
    pub id: String,
    /// What happened.
    pub kind: PaymentEvent,
    /// The order, where the object carries it. Fraud warnings and disputes do not: see [`order_behind`].
    pub order: Option<OrderRef>,
    /// The provider's id of the payment.
    pub payment_id: Option<String>,
    /// When it happened, by the provider's clock, to the second.
    pub at: Timestamp,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentEvent {
    /// The money is there.
    Succeeded {
        /// How much.
        received: Money,
    },
    /// The money is on its way.
    Processing,
    /// A try to pay was declined. The buyer may try again while the hold lasts.
    Declined {
        /// The provider's word, e.g. `generic_decline`.
        code: Option<String>,
    },
    /// The payment failed for good.
    Failed {
        /// [`Reason::Fraud`].
        reason: Reason,
    },
    /// It can never be paid: we cancelled it, or somebody did at the provider's dashboard.
    Canceled,
    /// All the money is back.
    RefundSettled,
    /// The money did not arrive: a person must look.
    RefundFailed,
    /// The buyer's bank suspects fraud on a payment that succeeded.
    FraudWarning,
    /// The buyer wants the money back through the bank.
    Disputed,
    /// Nothing that the platform acts on.
    Ignored {
        /// The provider's type of the event.
        event_type: String,
    },
}

impl PaymentEvent {
    /// The command that follows, if one does. A fraud warning or a dispute flags the order; what else follows is the
    /// platform's policy. A decline and a failed refund change no order.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        match self {
            Self::Succeeded { .. } => Some(Action::PaymentSucceeded),
            Self::Processing => Some(Action::PaymentProcessing),
            Self::Failed { reason } => Some(Action::PaymentFailed { reason: *reason }),
            // On an order that ended by our own doing this is late news, and the order machine lets it pass.
            Self::Canceled => Some(Action::PaymentFailed {
                reason: Reason::Provider,
            }),
            Self::RefundSettled => Some(Action::RefundSettled),
            Self::FraudWarning => Some(Action::Flag {
                flag: Flag::FraudWarning,
            }),
            Self::Disputed => Some(Action::Flag {
                flag: Flag::Disputed,
            }),
            Self::Declined { .. } | Self::RefundFailed | Self::Ignored { .. } => None,
        }
    }

    /// Metric label: a closed set.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "succeeded",
            Self::Processing => "processing",
            Self::Declined { .. } => "declined",
            Self::Failed { .. } => "failed",
            Self::Canceled => "canceled",
            Self::RefundSettled => "refund-settled",
            Self::RefundFailed => "refund-failed",
            Self::FraudWarning => "fraud-warning",
            Self::Disputed => "disputed",
            Self::Ignored { .. } => "ignored",
        }
    }
}

/// Why a body is no event.
#[derive(Debug, thiserror::Error)]
pub enum EventFault {
    /// Not JSON, or a field is missing.
    #[error("the body is not an event object")]
    Shape(#[source] serde_json::Error),
    /// JSON with another `object`.
    #[error("`object` is not `event`")]
    Object,
    /// The event's object is not what its type promises.
    #[error("`data.object` does not fit the type {event_type}")]
    Data {
        /// The type.
        event_type: String,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// A value that breaks a rule.
    #[error("`{field}` is not valid")]
    Field {
        /// The field.
        field: &'static str,
    },
}

/// Reads the body of a webhook. An event of a type that is not handled is [`PaymentEvent::Ignored`], not an error.
///
/// # Errors
/// [`PaymentError::Event`], code `invalid-request`.
pub fn parse(body: &[u8]) -> Result<ProviderEvent, PaymentError> {
    read(body).map_err(|cause| PaymentError::Event { cause })
}

/// The order that `event` is about, asking the provider where the event does not say. `None`: not one of ours.
///
/// # Errors
/// [`PaymentError::Read`].
pub async fn order_behind<P: Provider>(
    event: &ProviderEvent,
    provider: &P,
) -> Result<Option<OrderRef>, PaymentError> {
    match (event.order, &event.payment_id) {
        (Some(order), _) => Ok(Some(order)),
        (None, Some(payment)) => Ok(provider.get(payment).await?.order),
        (None, None) => Ok(None),
    }
}

fn read(body: &[u8]) -> Result<ProviderEvent, EventFault> {
    let event: Event<Value> = serde_json::from_slice(body).map_err(EventFault::Shape)?;
    if event.object != "event" {
        return Err(EventFault::Object);
    }
    if event.id.is_empty() {
        return Err(EventFault::Field { field: "id" });
    }
    let at = Timestamp::from_second(event.created)
        .map_err(|_| EventFault::Field { field: "created" })?;
    let About {
        kind,
        order,
        payment_id,
    } = about(&event.kind, event.data.object)?;
    Ok(ProviderEvent {
        id: event.id,
        kind,
        order,
        payment_id,
        at,
    })
}

/// What an event says about its object.
struct About {
    kind: PaymentEvent,
    order: Option<OrderRef>,
    payment_id: Option<String>,
}

fn about(event_type: &str, object: Value) -> Result<About, EventFault> {
    match event_type {
        "payment_intent.succeeded" => about_intent(event_type, object, |intent| {
            let received = money(&intent.currency, intent.amount_received)?;
            Ok(PaymentEvent::Succeeded { received })
        }),
        "payment_intent.processing" => {
            about_intent(event_type, object, |_| Ok(PaymentEvent::Processing))
        }
        "payment_intent.canceled" => {
            about_intent(event_type, object, |_| Ok(PaymentEvent::Canceled))
        }
        "payment_intent.payment_failed" => {
            about_intent(event_type, object, |intent| Ok(failed(intent)))
        }
        "charge.refunded" => about_charge(event_type, object),
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            about_refund(event_type, object)
        }
        "radar.early_fraud_warning.created" => {
            about_complaint(event_type, object, PaymentEvent::FraudWarning)
        }
        "charge.dispute.created" => about_complaint(event_type, object, PaymentEvent::Disputed),
        _ => Ok(About {
            kind: ignored(event_type),
            order: None,
            payment_id: None,
        }),
    }
}

fn failed(intent: &PaymentIntent) -> PaymentEvent {
    match intent.failure() {
        Some(failure) if failure.is_fraud => PaymentEvent::Failed {
            reason: Reason::Fraud,
        },
        Some(failure) => PaymentEvent::Declined { code: failure.code },
        None => PaymentEvent::Declined { code: None },
    }
}

fn about_intent(
    event_type: &str,
    object: Value,
    kind: impl Fn(&PaymentIntent) -> Result<PaymentEvent, CallFault>,
) -> Result<About, EventFault> {
    let intent: PaymentIntent = object_of(event_type, object)?;
    let kind = kind(&intent).map_err(|_| EventFault::Field { field: "currency" })?;
    Ok(About {
        kind,
        order: order_of(&intent.metadata),
        payment_id: Some(intent.id),
    })
}

fn about_charge(event_type: &str, object: Value) -> Result<About, EventFault> {
    let charge: Charge = object_of(event_type, object)?;
    // Half of the money back is not an order given back.
    let kind = if charge.refunded {
        PaymentEvent::RefundSettled
    } else {
        ignored(event_type)
    };
    let order = order_of(&charge.metadata);
    Ok(About {
        kind,
        order,
        payment_id: charge.payment_intent.map(Identified::into_id),
    })
}

fn about_refund(event_type: &str, object: Value) -> Result<About, EventFault> {
    let refund: RefundObject = object_of(event_type, object)?;
    // Our own refunds carry the order and are for all of it. What somebody gave back at the dashboard may be a part:
    // `charge.refunded` tells.
    let order = order_of(&refund.metadata);
    let kind = match (order, refund.settled()) {
        (Some(_), RefundStatus::Succeeded) => PaymentEvent::RefundSettled,
        (Some(_), RefundStatus::Failed) => PaymentEvent::RefundFailed,
        (Some(_), RefundStatus::Pending) | (None, _) => ignored(event_type),
    };
    Ok(About {
        kind,
        order,
        payment_id: refund.payment_intent.map(Identified::into_id),
    })
}

fn about_complaint(
    event_type: &str,
    object: Value,
    kind: PaymentEvent,
) -> Result<About, EventFault> {
    let complaint: Complaint = object_of(event_type, object)?;
    let payment_id = complaint.payment_intent.map(Identified::into_id);
    Ok(About {
        kind,
        order: None,
        payment_id,
    })
}

fn ignored(event_type: &str) -> PaymentEvent {
    PaymentEvent::Ignored {
        event_type: event_type.to_owned(),
    }
}

fn object_of<T: DeserializeOwned>(event_type: &str, object: Value) -> Result<T, EventFault> {
    serde_json::from_value(object).map_err(|cause| EventFault::Data {
        event_type: event_type.to_owned(),
        cause,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use ticket_core::ErrorClass;

    use super::*;

    const ORDER: &str = "ord_000000000000000000000000000012340000000000002a";

    fn event(event_type: &str, object: &Value) -> ProviderEvent {
        let body = json!({"id": "evt_1", "object": "event", "created": 1_700_000_000,
            "type": event_type, "data": {"object": object}, "livemode": false});
        parse(body.to_string().as_bytes()).unwrap()
    }

    fn intent(extra: &Value) -> Value {
        let mut intent = json!({"id": "pi_1", "object": "payment_intent", "amount": 1200,
            "amount_received": 1200, "currency": "idr", "created": 1, "status": "succeeded",
            "metadata": {"order_id": ORDER}});
        for (name, value) in extra.as_object().unwrap() {
            intent[name] = value.clone();
        }
        intent
    }

    #[test]
    fn a_payment_that_succeeded_names_order_payment_and_money() {
        let event = event("payment_intent.succeeded", &intent(&json!({})));
        assert_eq!(event.order, Some(ORDER.parse().unwrap()));
        assert_eq!(event.payment_id.as_deref(), Some("pi_1"));
        assert_eq!(
            event.kind,
            PaymentEvent::Succeeded {
                received: money("IDR", 1200).unwrap()
            }
        );
        assert_eq!(event.kind.action(), Some(Action::PaymentSucceeded));
    }

    #[test]
    fn a_decline_changes_no_order_and_fraud_ends_it() {
        let failed = |decline: &str| {
            let error = json!({"last_payment_error": {"code": "card_declined",
                "decline_code": decline, "type": "card_error"}});
            event("payment_intent.payment_failed", &intent(&error)).kind
        };
        let declined = failed("generic_decline");
        assert_eq!(
            declined,
            PaymentEvent::Declined {
                code: Some("generic_decline".to_owned())
            }
        );
        assert_eq!(declined.action(), None);
        let fraud = failed("fraudulent");
        assert_eq!(
            fraud.action(),
            Some(Action::PaymentFailed {
                reason: Reason::Fraud
            })
        );
    }

    #[test]
    fn only_all_of_the_money_back_settles_a_refund() {
        let charge = |refunded: bool| {
            json!({"id": "ch_1", "object": "charge", "amount": 1200, "currency": "idr", "created": 1,
                "refunded": refunded, "payment_intent": "pi_1", "metadata": {"order_id": ORDER}})
        };
        assert_eq!(
            event("charge.refunded", &charge(true)).kind,
            PaymentEvent::RefundSettled
        );
        assert_eq!(
            event("charge.refunded", &charge(false)).kind.label(),
            "ignored"
        );

        let refund = |status: &str, metadata: Value| {
            let object = json!({"id": "re_1", "object": "refund", "amount": 600, "currency": "idr",
                "created": 1, "status": status, "payment_intent": {"id": "pi_1", "amount": 1200,
                "currency": "idr", "created": 1, "status": "succeeded"}, "metadata": metadata});
            let event = event("refund.updated", &object);
            assert_eq!(event.payment_id.as_deref(), Some("pi_1"));
            event.kind.label()
        };
        assert_eq!(
            refund("succeeded", json!({"order_id": ORDER})),
            "refund-settled"
        );
        assert_eq!(refund("pending", json!({"order_id": ORDER})), "ignored");
        assert_eq!(
            refund("failed", json!({"order_id": ORDER})),
            "refund-failed"
        );
        assert_eq!(refund("succeeded", json!({})), "ignored");
    }

    #[test]
    fn warnings_and_disputes_name_the_payment_and_flag_its_order() {
        let complaint = json!({"id": "x_1", "created": 1, "charge": "ch_1", "payment_intent": "pi_1",
            "fraud_type": "misc", "evidence": {"deep": [1]}});
        for (event_type, kind, flag) in [
            (
                "radar.early_fraud_warning.created",
                PaymentEvent::FraudWarning,
                Flag::FraudWarning,
            ),
            (
                "charge.dispute.created",
                PaymentEvent::Disputed,
                Flag::Disputed,
            ),
        ] {
            let event = event(event_type, &complaint);
            assert_eq!(event.kind.action(), Some(Action::Flag { flag }));
            assert_eq!(event.order, None);
            assert_eq!(event.kind, kind);
            assert_eq!(event.payment_id.as_deref(), Some("pi_1"));
        }
    }

    #[test]
    fn a_type_that_nobody_handles_is_ignored_and_somebody_elses_payment_has_no_order() {
        let ignored = event("customer.created", &json!({"anything": true}));
        assert_eq!(ignored.kind.label(), "ignored");
        let foreign = intent(&json!({"metadata": {"order_id": "their-7"}}));
        assert_eq!(event("payment_intent.succeeded", &foreign).order, None);
    }

    #[test]
    fn what_is_no_event_is_an_invalid_request() {
        let with = |event_type: &str, object: Value| {
            json!({"id": "evt_1", "object": "event", "created": 1, "type": event_type,
                "data": {"object": object}})
        };
        let bodies = [
            String::new(),
            "not json".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            json!({"id": "evt_1", "object": "charge", "created": 1, "type": "x",
                "data": {"object": {}}})
            .to_string(),
            json!({"id": "", "object": "event", "created": 1, "type": "x", "data": {"object": {}}})
                .to_string(),
            json!({"id": "evt_1", "object": "event", "created": i64::MAX, "type": "x",
                "data": {"object": {}}})
            .to_string(),
            with("payment_intent.succeeded", json!({"id": "pi_1"})).to_string(),
            with(
                "payment_intent.succeeded",
                intent(&json!({"currency": "rupiah"})),
            )
            .to_string(),
        ];
        for body in bodies {
            let error = parse(body.as_bytes()).unwrap_err();
            assert_eq!(error.code(), "invalid-request", "{body}");
            assert_eq!(error.class(), ErrorClass::Permanent);
        }
    }
}
