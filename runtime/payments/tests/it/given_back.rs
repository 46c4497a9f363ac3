//! Money that went back by other ways than ours, and complaints as a list.

use jiff::Timestamp;
use serde_json::json;
use ticket_core::{Money, Reason};
use ticket_payments::{ComplaintKind, Payment, PaymentStatus, Provider, Refund, RefundStatus};

use crate::stage::{Stage, new_payment};

const REASON: Reason = Reason::BuyerRequest;

async fn refund(stage: &Stage, payment: &Payment) -> Refund {
    let order = payment.order.unwrap();
    let refund = stage
        .client
        .refund(order, &payment.id, payment.amount, REASON);
    refund.await.unwrap()
}

/// As a person does it, for no order.
async fn at_the_dashboard(stage: &Stage, payment: &Payment, amount: &str) {
    let form = [("payment_intent", payment.id.as_str()), ("amount", amount)];
    assert_eq!(stage.post("/v1/refunds", &form).await.status, 200);
}

async fn given_back(stage: &Stage, payment: &Payment) -> i64 {
    let path = format!("/v1/refunds?payment_intent={}", payment.id);
    let list = stage.get(&path).await;
    let refunds = list.body["data"].as_array().unwrap().clone();
    refunds
        .iter()
        .map(|one| one["amount"].as_i64().unwrap())
        .sum()
}

#[tokio::test]
async fn what_went_back_at_the_dashboard_counts_and_the_rest_follows_once() {
    let stage = Stage::open().await;
    for before in ["1200", "500"] {
        let payment = stage.paid_with("pm_card_visa").await;
        at_the_dashboard(&stage, &payment, before).await;
        for _ in 0..2 {
            let refund = refund(&stage, &payment).await;
            assert_eq!(refund.status, RefundStatus::Succeeded);
            assert_eq!(given_back(&stage, &payment).await, 1200, "{before}");
        }
    }
}

#[tokio::test]
async fn a_refund_of_a_disputed_payment_concedes_the_dispute() {
    let stage = Stage::open().await;
    let payment = stage.paid_with("pm_card_createDispute").await;
    let order = payment.order.unwrap().to_string();
    // Stripe refuses to give back what the bank has taken already.
    let form = [("payment_intent", payment.id.as_str())];
    let refused = stage.post("/v1/refunds", &form).await;
    assert_eq!(refused.fault(), (400, "charge_disputed", "-"));
    for _ in 0..2 {
        let refund = refund(&stage, &payment).await;
        assert_eq!(refund.status, RefundStatus::Succeeded);
        assert_eq!(refund.amount, payment.amount);
        assert_eq!(refund.order.unwrap().to_string(), order);
    }
    assert_eq!(given_back(&stage, &payment).await, 0);
    let kind = ComplaintKind::Dispute;
    let page = stage
        .client
        .list_complaints(kind, Timestamp::UNIX_EPOCH, None);
    let disputes = page.await.unwrap().items;
    assert_eq!(disputes.len(), 1);
    assert_eq!(disputes[0].taken_back_minor, 1200);
}

#[tokio::test]
async fn a_payment_that_was_never_made_good_is_not_given_back() {
    let stage = Stage::open().await;
    let payment = stage.payment(1200).await;
    let order = payment.order.unwrap();
    let refund = stage
        .client
        .refund(order, &payment.id, payment.amount, REASON);
    assert!(refund.await.is_err());
    let amount = Money {
        amount_minor: 1,
        ..payment.amount
    };
    let order = new_payment(1).order;
    let refund = stage.client.refund(order, "pi_nobody", amount, REASON);
    assert_eq!(refund.await.unwrap_err().code(), "not-found");
}

#[tokio::test]
async fn complaints_are_listed_by_kind_and_time() {
    let stage = Stage::open().await;
    let begun = ticket_core::clock::now();
    let warned = stage.paid_with("pm_card_createIssuerFraudRecord").await;
    let disputed = stage.paid_with("pm_card_createDispute").await;
    stage.paid_with("pm_card_visa").await;
    for (kind, payment) in [
        (ComplaintKind::FraudWarning, &warned),
        (ComplaintKind::Dispute, &disputed),
    ] {
        let page = stage
            .client
            .list_complaints(kind, begun, None)
            .await
            .unwrap();
        assert_eq!(page.next, None);
        let [complaint] = page.items.as_slice() else {
            panic!("{:?}", page.items)
        };
        assert_eq!((complaint.kind, complaint.taken_back_minor), (kind, 0));
        assert_eq!(complaint.payment.as_deref(), Some(payment.id.as_str()));
        let later = begun + jiff::SignedDuration::from_hours(1);
        let page = stage
            .client
            .list_complaints(kind, later, None)
            .await
            .unwrap();
        assert!(page.items.is_empty());
        let after = stage
            .client
            .list_complaints(kind, begun, Some(&complaint.id));
        assert!(after.await.unwrap().items.is_empty());
    }
}

#[tokio::test]
async fn a_transfer_may_fail_when_it_was_on_its_way() {
    let mut stage = Stage::open().await;
    let payment = stage.paid_with("pm_bank_transfer_fails").await;
    stage
        .webhook_of("payment_intent.processing", &payment)
        .await;
    let failed = stage
        .webhook_of("payment_intent.payment_failed", &payment)
        .await;
    // Another try may follow: what the order makes of it is not decided here.
    assert_eq!(failed.event.kind.action(), None);
    let now = stage.client.get(&payment.id).await.unwrap();
    assert_eq!(now.status, PaymentStatus::Open);
    assert!(!now.failure.unwrap().is_fraud);
}

#[tokio::test]
async fn the_sandbox_counts_what_it_did_to_webhooks() {
    let stage = Stage::open().await;
    let faults = json!({"late_ms": 1, "duplicate": 1.0, "drop": 0.0, "shuffle": 1.0});
    stage.set_faults(faults.clone()).await;
    stage.paid_with("pm_card_visa").await;
    stage.set_faults(json!({"drop": 1.0})).await;
    stage.paid_with("pm_card_visa").await;
    let seen = stage.get("/sandbox/faults").await.body;
    assert_eq!(seen["faults"]["drop"], 1.0);
    assert_eq!(
        seen["webhooks"],
        json!({"caused": 2, "late": 1, "duplicated": 1, "dropped": 1, "shuffled": 1})
    );
}
