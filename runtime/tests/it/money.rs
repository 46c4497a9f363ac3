//! What becomes of money and units when a payment does not simply succeed.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json as value};

use crate::sale::{Sale, Terms, VIEWER, json, token};

/// What nobody tells us of is found by then: two half minutes, and some time for a machine that is busy.
const HEARD_WITHIN: Duration = Duration::from_secs(90);

async fn wish(sale: &Sale, order: &Value, wish: &str, status: u16) -> Value {
    let path = format!("/v1/orders/{}/{wish}", order["id"].as_str().unwrap());
    let request = sale.request(Method::POST, &path).bearer_auth(token("ann"));
    json(request.send().await.unwrap(), status).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_payment_ends_the_order_and_a_declined_one_may_be_tried_again() {
    let sale = Sale::open(Terms::default()).await;
    let blocked = sale.awaiting("ann", "blocked", 2).await;
    sale.pay(&blocked, "pm_card_radarBlock").await;
    let ended = sale
        .order_until("ann", blocked["id"].as_str().unwrap(), "payment_failed")
        .await;
    assert_eq!(ended["reason"], "fraud");
    sale.counts_until(100, 0, 0).await;

    let declined = sale.awaiting("ann", "declined", 2).await;
    sale.pay(&declined, "pm_card_chargeDeclined").await;
    assert_eq!(sale.pay(&declined, "pm_card_visa").await.status(), 200);
    sale.order_until("ann", declined["id"].as_str().unwrap(), "paid")
        .await;
    sale.counts_until(98, 0, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_pays_expires_and_can_be_bought_again() {
    let sale = Sale::open(Terms {
        hold_for_s: 1,
        ..Terms::default()
    })
    .await;
    let order = sale.awaiting("ann", "never-paid", 4).await;
    let expired = sale
        .order_until("ann", order["id"].as_str().unwrap(), "expired")
        .await;
    assert_eq!(expired["reason"], "hold-expired");
    sale.counts_until(100, 0, 0).await;
    // The buyer's limit is free again, too.
    json(sale.place("ann", "again", 4).send().await.unwrap(), 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_and_refund_give_back_what_was_taken() {
    let sale = Sale::open(Terms::default()).await;
    let unpaid = sale.awaiting("ann", "cancelled", 1).await;
    assert_eq!(
        wish(&sale, &unpaid, "refund", 409).await["code"],
        "illegal-transition"
    );
    wish(&sale, &unpaid, "cancel", 202).await;
    let id = unpaid["id"].as_str().unwrap();
    let cancelled = sale.order_until("ann", id, "cancelled").await;
    assert_eq!(cancelled["reason"], "buyer-request");
    wish(&sale, &unpaid, "cancel", 202).await;
    sale.counts_until(100, 0, 0).await;

    let paid = sale.awaiting("ann", "refunded", 3).await;
    sale.pay(&paid, "pm_card_visa").await;
    let id = paid["id"].as_str().unwrap();
    sale.order_until("ann", id, "paid").await;
    assert_eq!(
        wish(&sale, &paid, "cancel", 409).await["code"],
        "illegal-transition"
    );
    wish(&sale, &paid, "refund", 202).await;
    sale.order_until("ann", id, "refunded").await;
    wish(&sale, &paid, "refund", 202).await;
    sale.counts_until(100, 0, 0).await;
}

async fn managed(sale: &Sale, id: &str) -> Value {
    let path = format!("/orders/{id}");
    json(
        sale.ask(Method::GET, &path, VIEWER).send().await.unwrap(),
        200,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_or_a_dispute_flags_the_order_and_it_stays_paid() {
    let sale = Sale::open(Terms::default()).await;
    // Each webhook comes twice, and in any order.
    sale.faults(value!({ "duplicate": 1.0, "shuffle": 0.5 }))
        .await;
    for (method, flag) in [
        ("pm_card_createIssuerFraudRecord", "fraud-warning"),
        ("pm_card_createDispute", "disputed"),
    ] {
        let order = sale.awaiting("ann", method, 1).await;
        let id = order["id"].as_str().unwrap();
        sale.pay(&order, method).await;
        let paid = sale.order_until("ann", id, "paid").await;
        sale.until("the order is flagged", async || {
            managed(&sale, id).await["flags"] == value!([flag])
        })
        .await;
        let seen = managed(&sale, id).await;
        assert_eq!(seen["state"], "paid");
        let history = seen["history"].as_array().unwrap();
        let [.., state, last] = history.as_slice() else {
            panic!("{seen}")
        };
        assert_eq!(
            (&state["state"], &state["at"]),
            (&value!("paid"), &paid["updated_at"])
        );
        assert_eq!(
            (&last["state"], &last["flag"]),
            (&value!("paid"), &value!(flag))
        );
        // The buyer is not told, and nothing changes for him.
        assert_eq!(sale.order("ann", id).await, paid);
    }
    sale.counts_until(98, 0, 2).await;
    assert!(sale.at_provider("/v1/refunds").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_or_a_dispute_of_which_nobody_tells_us_is_found() {
    let sale = Sale::open(Terms::default()).await;
    let mut flagged = Vec::new();
    for (method, flag) in [
        ("pm_card_createIssuerFraudRecord", "fraud-warning"),
        ("pm_card_createDispute", "disputed"),
    ] {
        let order = sale.awaiting("ann", method, 1).await;
        flagged.push((order["id"].as_str().unwrap().to_owned(), flag));
        sale.faults(value!({ "drop": 1.0 })).await;
        sale.pay(&order, method).await;
        sale.faults(value!({})).await;
    }
    sale.within(HEARD_WITHIN, "both orders are flagged", async || {
        let mut found = 0;
        for (id, flag) in &flagged {
            let seen = managed(&sale, id).await;
            let is_it = seen["flags"] == value!([flag]) && seen["state"] == "paid";
            found += usize::from(is_it);
        }
        found == flagged.len()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_policy_refund_a_flagged_order_is_given_back() {
    let sale = Sale::open(Terms {
        settings: vec![("TICKET_COMPLAINT_POLICY", Some("refund".to_owned()))],
        ..Terms::default()
    })
    .await;
    for method in ["pm_card_createIssuerFraudRecord", "pm_card_createDispute"] {
        let order = sale.awaiting("ann", method, 2).await;
        let id = order["id"].as_str().unwrap();
        sale.pay(&order, method).await;
        let refunded = sale.order_until("ann", id, "refunded").await;
        assert_eq!(refunded["reason"], "fraud");
    }
    sale.counts_until(100, 0, 0).await;
    // A disputed payment cannot be refunded: the dispute is given up, and the bank gives the money back.
    assert_eq!(sale.at_provider("/v1/refunds").await.len(), 1);
    let disputes = sale.at_provider("/v1/disputes").await;
    assert_eq!(
        (disputes.len(), &disputes[0]["status"]),
        (1, &value!("lost"))
    );
    let audit = format!("/events/{}/audit", sale.name);
    let audit = sale.ask(Method::POST, &audit, VIEWER).send().await.unwrap();
    let audit = json(audit, 200).await;
    assert_eq!(audit["ok"], true, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_counts_what_went_back_before_by_other_ways() {
    let sale = Sale::open(Terms::default()).await;
    // Nobody tells us of what is done at the provider's dashboard.
    sale.faults(value!({ "drop": 1.0 })).await;
    for (name, before) in [("all", 3_000), ("half", 1_000), ("disputed", 0)] {
        sale.faults(value!({})).await;
        let order = sale.awaiting("ann", name, 2).await;
        let id = order["id"].as_str().unwrap();
        let method = if before == 0 {
            "pm_card_createDispute"
        } else {
            "pm_card_visa"
        };
        sale.pay(&order, method).await;
        sale.order_until("ann", id, "paid").await;
        sale.faults(value!({ "drop": 1.0 })).await;
        if before > 0 {
            let payment = order["payment"]["id"].as_str().unwrap();
            sale.refund_at_the_dashboard(payment, before).await;
        }
        wish(&sale, &order, "refund", 202).await;
        sale.order_until("ann", id, "refunded").await;
    }
    sale.counts_until(100, 0, 0).await;
    let refunds = sale.at_provider("/v1/refunds").await;
    let mut amounts: Vec<i64> = refunds
        .iter()
        .map(|refund| refund["amount"].as_i64().unwrap())
        .collect();
    amounts.sort_unstable();
    assert_eq!(amounts, [1_000, 2_000, 3_000]);
    let audit = format!("/events/{}/audit", sale.name);
    let audit = sale.ask(Method::POST, &audit, VIEWER).send().await.unwrap();
    let audit = json(audit, 200).await;
    assert_eq!(audit["ok"], true, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_cancelled_while_its_money_is_on_the_way_gets_it_back() {
    let sale = Sale::open(Terms::default()).await;
    let order = sale.awaiting("ann", "slow", 2).await;
    let id = order["id"].as_str().unwrap();
    sale.pay(&order, "pm_bank_transfer").await;
    // Its hold lasts as long as such payments may take.
    sale.until("the hold is longer", async || {
        sale.order("ann", id).await["hold_expires_at"].as_str() > order["hold_expires_at"].as_str()
    })
    .await;
    assert_eq!(
        wish(&sale, &order, "refund", 409).await["code"],
        "illegal-transition"
    );
    wish(&sale, &order, "cancel", 202).await;
    let refunded = sale.order_until("ann", id, "refunded").await;
    assert_eq!(refunded["reason"], "late-money");
    sale.counts_until(100, 0, 0).await;
    let refunds = sale.at_provider("/v1/refunds").await;
    assert_eq!((refunds.len(), &refunds[0]["amount"]), (1, &value!(3_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_transfer_that_fails_gives_its_tickets_back_also_if_nobody_tells_us() {
    let sale = Sale::open(Terms::default()).await;
    let order = sale.awaiting("ann", "bounces", 2).await;
    let id = order["id"].as_str().unwrap();
    sale.pay(&order, "pm_bank_transfer_fails").await;
    sale.until("the hold is longer", async || {
        sale.order("ann", id).await["hold_expires_at"].as_str() > order["hold_expires_at"].as_str()
    })
    .await;
    sale.faults(value!({ "drop": 1.0 })).await;
    sale.within(HEARD_WITHIN, "the order has ended", async || {
        sale.order("ann", id).await["state"] == "payment_failed"
    })
    .await;
    assert_eq!(sale.order("ann", id).await["reason"], "declined");
    sale.counts_until(100, 0, 0).await;
    // Its payment cannot be made good any more.
    sale.until("the payment is closed", async || {
        sale.pay(&order, "pm_card_visa").await.status() == 400
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_transfer_is_paid_when_it_arrives() {
    let sale = Sale::open(Terms {
        hold_for_s: 2,
        ..Terms::default()
    })
    .await;
    let order = sale.awaiting("ann", "slow", 2).await;
    let id = order["id"].as_str().unwrap();
    sale.pay(&order, "pm_bank_transfer").await;
    // Longer on its way than an ordinary hold lasts.
    let paid = sale.order_until("ann", id, "paid").await;
    assert!(paid["hold_expires_at"].is_null());
    sale.counts_until(98, 0, 2).await;
    assert!(sale.at_provider("/v1/refunds").await.is_empty());
}
