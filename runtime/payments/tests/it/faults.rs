//! Webhooks come late, twice, never, out of order, and again until they are taken.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use ticket_payments::Provider;

use crate::stage::Stage;

#[tokio::test]
async fn a_duplicate_is_the_same_event() {
    let mut stage = Stage::open().await;
    stage.set_faults(json!({"duplicate": 1})).await;
    let payment = stage.paid_with("pm_card_visa").await;
    let first = stage.webhook_of("payment_intent.succeeded", &payment).await;
    let second = stage.webhook_of("payment_intent.succeeded", &payment).await;
    assert_eq!(first.event, second.event);
}

#[tokio::test]
async fn a_dropped_webhook_never_comes_but_the_payment_tells() {
    let mut stage = Stage::open().await;
    stage.set_faults(json!({"drop": 1.0})).await;
    let lost = stage.paid_with("pm_card_visa").await;
    stage.set_faults(json!({})).await;
    let told = stage.paid_with("pm_card_visa").await;
    stage.webhook_of("payment_intent.succeeded", &told).await;
    stage.assert_no_webhook();
    let lost = stage.client.get(&lost.id).await.unwrap();
    assert_eq!(lost.status, ticket_payments::PaymentStatus::Succeeded);
}

#[tokio::test]
async fn a_late_webhook_is_late() {
    let mut stage = Stage::open().await;
    stage.set_faults(json!({"late_ms": 700})).await;
    let payment = stage.payment(1200).await;
    let confirmed = Instant::now();
    stage.confirm(&payment, "pm_card_visa").await;
    let delivery = stage.webhook_of("payment_intent.succeeded", &payment).await;
    assert!(delivery.arrived - confirmed >= Duration::from_millis(700));
}

#[tokio::test]
async fn shuffled_webhooks_overtake_each_other_and_none_is_lost() {
    const PAYMENTS: usize = 30;
    let mut stage = Stage::open().await;
    stage.set_faults(json!({"shuffle": 1})).await;
    let mut sent = Vec::new();
    for _ in 0..PAYMENTS {
        sent.push(Some(stage.paid_with("pm_card_visa").await.id));
    }
    let mut arrived = Vec::new();
    for _ in 0..PAYMENTS {
        arrived.push(stage.webhook().await.event.payment_id);
    }
    // By chance alone they would be in order once in 30! runs.
    assert_ne!(sent, arrived);
    sent.sort();
    arrived.sort();
    assert_eq!(sent, arrived);
}

#[tokio::test]
async fn a_refused_webhook_is_sent_again_until_it_is_taken() {
    let mut stage = Stage::open().await;
    stage.refuse_next.store(3, Ordering::SeqCst);
    let payment = stage.paid_with("pm_card_visa").await;
    stage.webhook_of("payment_intent.succeeded", &payment).await;
    assert_eq!(stage.refuse_next.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn faults_that_cannot_be_are_refused_and_change_nothing() {
    let mut stage = Stage::open().await;
    let bad = [
        (json!({"drop": 1.5}), "drop"),
        (json!({"duplicate": -1}), "duplicate"),
        (json!({"late_ms": 600_001}), "late_ms"),
        (json!({"drop": "often"}), "-"),
        (json!({"droop": 1}), "-"),
        (json!([1]), "-"),
    ];
    for (faults, param) in bad {
        let request = stage
            .http
            .post(format!("{}/sandbox/faults", stage.url))
            .json(&faults);
        let answer = stage.send(request).await;
        assert_eq!(answer.fault(), (400, "-", param), "{faults}");
    }
    let set = stage.get("/sandbox/faults").await.body;
    let none = json!({"late_ms": 0, "duplicate": 0.0, "drop": 0.0, "shuffle": 0.0});
    assert_eq!(set["faults"], none);
    let payment = stage.paid_with("pm_card_visa").await;
    stage.webhook_of("payment_intent.succeeded", &payment).await;
}
