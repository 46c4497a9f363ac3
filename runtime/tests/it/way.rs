//! The way of an order, from the buyer's side.

use reqwest::Method;
use sqlx::Connection;

use crate::sale::{Sale, Terms, json, token};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_decided_paid_and_nobody_elses() {
    let sale = Sale::open(Terms::default()).await;
    let place = sale
        .place("ann", "k", 2)
        .header("Prefer", "wait=20")
        .send()
        .await
        .unwrap();
    let location = place.headers()["location"].to_str().unwrap().to_owned();
    let placed = json(place, 201).await;
    assert_eq!(placed["state"], "reserved");
    assert_eq!(placed["amount"]["amount_minor"], 3_000);
    assert_eq!(placed["amount"]["currency"], "EUR");
    let id = placed["id"].as_str().unwrap();
    assert_eq!(location, format!("/v1/orders/{id}"));

    let order = sale.order_until("ann", id, "awaiting_payment").await;
    assert!(order["hold_expires_at"].is_string());
    assert_eq!(order["payment"]["provider"], "stripe");
    assert_eq!(sale.pay(&order, "pm_card_visa").await.status(), 200);
    let paid = sale.order_until("ann", id, "paid").await;
    assert!(paid["hold_expires_at"].is_null());
    sale.counts_until(98, 0, 2).await;

    let others = sale
        .request(Method::GET, &location)
        .bearer_auth(token("bob"));
    assert_eq!(others.send().await.unwrap().status(), 404);
    for wish in ["cancel", "refund"] {
        let others = sale.request(Method::POST, &format!("{location}/{wish}"));
        assert_eq!(
            others
                .bearer_auth(token("bob"))
                .send()
                .await
                .unwrap()
                .status(),
            404
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_ends_leaves_an_order_in_the_queue_that_is_decided_later() {
    let sale = Sale::open(Terms::default()).await;
    // Positions are read for sales that somebody asks about.
    json(sale.place("ann", "first", 1).send().await.unwrap(), 202).await;
    sale.counts_until(99, 1, 0).await;
    let held = sale.hold_ledger().await;
    let begun = std::time::Instant::now();
    let place = sale.place("ann", "second", 1).header("Prefer", "wait=1");
    let answer = place.send().await.unwrap();
    assert!(
        begun.elapsed().as_millis() >= 1_000,
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(answer.headers()["preference-applied"], "wait=1");
    let queued = json(answer, 202).await;
    assert_eq!(queued["state"], "queued");
    assert!(
        queued["queue"]["position"]
            .as_i64()
            .is_some_and(|position| position >= 0),
        "{queued}"
    );
    held.close().await.unwrap();
    let id = queued["id"].as_str().unwrap();
    sale.order_until("ann", id, "awaiting_payment").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_tells_each_state_once_and_resumes() {
    let sale = Sale::open(Terms::default()).await;
    let order = sale.awaiting("ann", "k", 1).await;
    let path = format!("/v1/orders/{}/events", order["id"].as_str().unwrap());
    let listen = || sale.request(Method::GET, &path).bearer_auth(token("ann"));
    let stream = tokio::spawn(listen().send());
    assert_eq!(sale.pay(&order, "pm_card_visa").await.status(), 200);
    // The stream ends by itself at `paid`.
    let text = stream.await.unwrap().unwrap().text().await.unwrap();
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    assert!(
        last.contains("event: state") && last.contains(r#""state":"paid""#),
        "{text}"
    );
    let id = last
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap();
    let resumed = listen()
        .header("Last-Event-ID", id)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(resumed.trim(), "", "nothing is news after the last event");
    let unknown = listen()
        .header("Last-Event-ID", "never-given")
        .send()
        .await
        .unwrap();
    assert!(unknown.text().await.unwrap().contains(r#""state":"paid""#));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_ticket_is_sold_once_and_the_next_buyer_is_told() {
    let sale = Sale::open(Terms {
        quantity: 3,
        shards: 1,
        ..Terms::default()
    })
    .await;
    json(sale.place("ann", "k", 2).send().await.unwrap(), 202).await;
    let two = json(sale.place("bob", "k", 2).send().await.unwrap(), 409).await;
    assert_eq!(two["code"], "no-shard-fits");
    json(sale.place("bob", "k", 1).send().await.unwrap(), 202).await;
    let none = json(sale.place("eve", "k", 1).send().await.unwrap(), 409).await;
    assert_eq!(none["code"], "sold-out");
    // A repeat of an order that was taken is that order, also now.
    let again = json(sale.place("ann", "k", 2).send().await.unwrap(), 202).await;
    assert_eq!(again["quantity"], 2);
    sale.counts_until(0, 3, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_comes_too_late_is_turned_away_and_repeats_find_their_order() {
    let sale = Sale::open(Terms {
        quantity: 1,
        shards: 1,
        ..Terms::default()
    })
    .await;
    let bought = json(sale.place("ann", "k", 1).send().await.unwrap(), 202).await;
    let crowd = (0..300).map(|number| {
        let is_repeat = number % 3 == 0;
        let late = format!("late-{number}");
        let request = sale.place(if is_repeat { "ann" } else { &late }, "k", 1);
        async move { (is_repeat, request.send().await.unwrap()) }
    });
    for (is_repeat, answer) in futures::future::join_all(crowd).await {
        if is_repeat {
            assert_eq!(json(answer, 202).await["id"], bought["id"]);
        } else {
            assert_eq!(json(answer, 409).await["code"], "sold-out");
        }
    }
    // What comes back is for sale again, at the latest when the store's word is old.
    let id = bought["id"].as_str().unwrap();
    sale.order_until("ann", id, "awaiting_payment").await;
    let cancel = format!("/v1/orders/{id}/cancel");
    let cancel = sale.request(Method::POST, &cancel);
    json(cancel.bearer_auth(token("ann")).send().await.unwrap(), 202).await;
    sale.until("the ticket is for sale again", async || {
        let answer = sale.place("late-1", "k", 1).send().await.unwrap();
        answer.status() == 202
    })
    .await;
    sale.counts_until(0, 1, 0).await;
}
