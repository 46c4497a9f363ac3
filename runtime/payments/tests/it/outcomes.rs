//! Every test payment method leads to the answer and the webhook that it stands for.

use std::time::{Duration, Instant};

use ticket_core::{Action, Reason};
use ticket_payments::webhook::{PaymentEvent, order_behind};
use ticket_payments::{PaymentStatus, Provider};

use crate::stage::Stage;

#[tokio::test]
async fn a_visa_card_pays() {
    let mut stage = Stage::open().await;
    let payment = stage.payment(1200).await;
    let answer = stage.confirm(&payment, "pm_card_visa").await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (200, &"succeeded".into())
    );
    assert_eq!(answer.body["amount_received"], 1200);

    let delivery = stage.webhook_of("payment_intent.succeeded", &payment).await;
    assert_eq!(
        delivery.event.kind,
        PaymentEvent::Succeeded {
            received: payment.amount
        }
    );
    assert_eq!(delivery.event.order, payment.order);
    assert!(payment.order.is_some());

    let now = stage.client.get(&payment.id).await.unwrap();
    assert_eq!(
        (now.status, now.received_minor),
        (PaymentStatus::Succeeded, 1200)
    );
    let again = stage.confirm(&payment, "pm_card_visa").await;
    assert_eq!(again.fault(), (400, "payment_intent_unexpected_state", "-"));
    assert_eq!(again.body["error"]["payment_intent"]["id"], payment.id);
    stage.assert_no_webhook();
}

#[tokio::test]
async fn a_declined_buyer_may_try_again() {
    let mut stage = Stage::open().await;
    let payment = stage.payment(1200).await;
    let answer = stage.confirm(&payment, "pm_card_chargeDeclined").await;
    assert_eq!(answer.fault(), (402, "card_declined", "-"));
    assert_eq!(answer.body["error"]["decline_code"], "generic_decline");
    assert_eq!(answer.body["error"]["type"], "card_error");

    let delivery = stage
        .webhook_of("payment_intent.payment_failed", &payment)
        .await;
    let code = Some("generic_decline".to_owned());
    assert_eq!(delivery.event.kind, PaymentEvent::Declined { code });
    assert_eq!(delivery.event.kind.action(), None);
    let now = stage.client.get(&payment.id).await.unwrap();
    assert_eq!(now.status, PaymentStatus::Open);
    assert!(!now.failure.unwrap().is_fraud);

    assert_eq!(stage.confirm(&payment, "pm_card_visa").await.status, 200);
    stage.webhook_of("payment_intent.succeeded", &payment).await;
    assert_eq!(stage.client.get(&payment.id).await.unwrap().failure, None);
}

#[tokio::test]
async fn a_blocked_payment_is_fraud() {
    let mut stage = Stage::open().await;
    let payment = stage.payment(1200).await;
    let answer = stage.confirm(&payment, "pm_card_radarBlock").await;
    assert_eq!(answer.fault(), (402, "card_declined", "-"));

    let delivery = stage
        .webhook_of("payment_intent.payment_failed", &payment)
        .await;
    let action = delivery.event.kind.action();
    assert_eq!(
        action,
        Some(Action::PaymentFailed {
            reason: Reason::Fraud
        })
    );
    assert!(
        stage
            .client
            .get(&payment.id)
            .await
            .unwrap()
            .failure
            .unwrap()
            .is_fraud
    );
}

#[tokio::test]
async fn warnings_and_disputes_follow_a_payment_and_lead_to_its_order() {
    let mut stage = Stage::open().await;
    for (method, event_type, kind) in [
        (
            "pm_card_createIssuerFraudRecord",
            "radar.early_fraud_warning.created",
            PaymentEvent::FraudWarning,
        ),
        (
            "pm_card_createDispute",
            "charge.dispute.created",
            PaymentEvent::Disputed,
        ),
    ] {
        let payment = stage.paid_with(method).await;
        stage.webhook_of("payment_intent.succeeded", &payment).await;
        let delivery = stage.webhook_of(event_type, &payment).await;
        assert_eq!(delivery.event.kind, kind);
        assert_eq!(delivery.event.order, None);
        let order = order_behind(&delivery.event, &stage.client).await.unwrap();
        assert_eq!(order, payment.order);
        assert!(order.is_some());
    }
}

#[tokio::test]
async fn a_bank_transfer_is_processing_for_two_seconds() {
    let mut stage = Stage::open().await;
    let payment = stage.payment(1200).await;
    let confirmed = Instant::now();
    let answer = stage.confirm(&payment, "pm_bank_transfer").await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (200, &"processing".into())
    );
    let delivery = stage
        .webhook_of("payment_intent.processing", &payment)
        .await;
    assert_eq!(
        delivery.event.kind.action(),
        Some(Action::PaymentProcessing)
    );

    // On its way it can neither be cancelled nor given back.
    let cancel = stage.client.cancel(&payment.id).await.unwrap_err();
    assert_eq!(cancel.class(), ticket_core::ErrorClass::Conflict);
    let refund = stage
        .post("/v1/refunds", &[("payment_intent", &payment.id)])
        .await;
    assert_eq!(refund.status, 400);

    let delivery = stage.webhook_of("payment_intent.succeeded", &payment).await;
    assert!(delivery.arrived - confirmed >= Duration::from_secs(2));
    assert_eq!(
        stage.client.get(&payment.id).await.unwrap().status,
        PaymentStatus::Succeeded
    );
}

#[tokio::test]
async fn a_cancelled_payment_says_so_and_cannot_be_paid() {
    let mut stage = Stage::open().await;
    let payment = stage.payment(1200).await;
    stage.client.cancel(&payment.id).await.unwrap();
    let delivery = stage.webhook_of("payment_intent.canceled", &payment).await;
    assert_eq!(delivery.event.kind, PaymentEvent::Canceled);
    let answer = stage.confirm(&payment, "pm_card_visa").await;
    assert_eq!(
        answer.fault(),
        (400, "payment_intent_unexpected_state", "-")
    );
    assert_eq!(answer.body["error"]["payment_intent"]["status"], "canceled");
}

#[tokio::test]
async fn a_refund_in_parts_settles_with_the_last_one() {
    let mut stage = Stage::open().await;
    let payment = stage.paid_with("pm_card_visa").await;
    stage.webhook().await;
    let mut settled = Vec::new();
    for part in ["500", "700"] {
        let form = [("payment_intent", payment.id.as_str()), ("amount", part)];
        assert_eq!(stage.post("/v1/refunds", &form).await.status, 200);
        for _ in 0..2 {
            let delivery = stage.webhook().await;
            if delivery.event.kind == PaymentEvent::RefundSettled {
                settled.push((part, delivery.body["type"].clone(), delivery.event.order));
            }
        }
    }
    assert_eq!(settled, [("700", "charge.refunded".into(), payment.order)]);
    let form = [("payment_intent", payment.id.as_str())];
    let again = stage.post("/v1/refunds", &form).await;
    assert_eq!(again.fault(), (400, "charge_already_refunded", "-"));
}
