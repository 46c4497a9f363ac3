//! Bad input: a clear problem with a stable code, and nothing is lost.

use jiff::SignedDuration;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use ticket_core::clock;
use ticket_payments::signature;

use crate::sale::{JWT_SECRET, Sale, Terms, WEBHOOK_SECRET, json, sign, token};

/// Sends, and checks that the answer is the problem with this status and code, whose detail names `word`.
async fn refused(request: RequestBuilder, status: u16, code: &str, word: &str) {
    let response = request.send().await.unwrap();
    let retry_after = response.headers().contains_key("retry-after");
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json",
        "{code}"
    );
    let problem = json(response, status).await;
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status);
    assert_eq!(
        problem["type"],
        format!("https://ticketctl.io/problems/{code}")
    );
    assert!(problem["title"].is_string());
    assert_eq!(
        problem["trace_id"].as_str().map(str::len),
        Some(32),
        "{problem}"
    );
    assert!(
        problem["detail"].as_str().unwrap().contains(word),
        "{problem}"
    );
    assert_eq!(retry_after, status == 429 || status == 503, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_a_problem_with_its_code() {
    let sale = Sale::open(Terms::default()).await;
    let orders = format!("/v1/events/{}/orders", sale.name);
    let post = |path: &str| sale.request(Method::POST, path).bearer_auth(token("ann"));
    let keyed = |path: &str| post(path).header("Idempotency-Key", "refused");
    let seats = |quantity: i64| json!({ "category": "seat", "quantity": quantity });
    let json_body = "application/json";

    let raw = |body: &'static str| keyed(&orders).header("Content-Type", json_body).body(body);
    refused(raw("{"), 400, "invalid-request", "body").await;
    let list = raw(r#" ["seat", 1]"#);
    refused(list, 400, "invalid-request", "body").await;
    let missing = raw(r#"{"category":"seat"}"#);
    refused(missing, 400, "invalid-request", "quantity").await;
    let wrong_type = raw(r#"{"category":"seat","quantity":"two"}"#);
    refused(wrong_type, 400, "invalid-request", "quantity").await;
    for quantity in [0, -1, 1_001, i64::MAX] {
        let request = keyed(&orders).json(&seats(quantity));
        refused(request, 400, "invalid-request", "quantity").await;
    }
    refused(
        post(&orders).json(&seats(1)),
        400,
        "invalid-request",
        "Idempotency-Key",
    )
    .await;
    let long = post(&orders)
        .header("Idempotency-Key", "k".repeat(256))
        .json(&seats(1));
    refused(long, 400, "invalid-request", "Idempotency-Key").await;
    refused(keyed(&orders).json(&seats(5)), 409, "buyer-limit", "4").await;
    let text = keyed(&orders)
        .header("Content-Type", "text/plain")
        .body("{}");
    refused(text, 415, "unsupported-media-type", "application/json").await;
    let large = format!(r#"{{"category":"{}","quantity":1}}"#, "x".repeat(65 * 1024));
    let large = keyed(&orders).header("Content-Type", json_body).body(large);
    refused(large, 413, "payload-too-large", "65536").await;
    // Its rest is read, so that the answer arrives; nothing else is asked on that connection.
    let huge = keyed(&orders).header("Content-Type", json_body);
    let huge = huge.body("x".repeat(512 * 1024)).send().await.unwrap();
    assert_eq!(huge.headers()["connection"], "close");
    assert_eq!(huge.status(), 413);

    let nowhere = keyed("/v1/events/tests.nowhere/orders").json(&seats(1));
    refused(nowhere, 404, "not-found", "event").await;
    let no_category = keyed(&orders).json(&json!({ "category": "throne", "quantity": 1 }));
    refused(no_category, 404, "not-found", "category").await;
    refused(post("/v1/nothing/here"), 404, "not-found", "path").await;
    refused(post("/v1/events"), 405, "method-not-allowed", "method").await;
    for id in [
        "nonsense".to_owned(),
        format!("ord_{}", "0".repeat(46)),
        format!("ord_{}1", "0".repeat(45)),
    ] {
        let get = sale.request(Method::GET, &format!("/v1/orders/{id}"));
        refused(get.bearer_auth(token("ann")), 404, "not-found", "order").await;
    }

    let bare = || {
        sale.request(Method::POST, &orders)
            .header("Idempotency-Key", "k")
            .json(&seats(1))
    };
    refused(bare(), 401, "unauthenticated", "Bearer").await;
    let hour = SignedDuration::from_hours(1);
    let expired = sign("ann", clock::now() - hour, JWT_SECRET);
    refused(
        bare().bearer_auth(expired),
        401,
        "unauthenticated",
        "expired",
    )
    .await;
    let forged = sign(
        "ann",
        clock::now() + hour,
        "another secret altogether, also long",
    );
    refused(
        bare().bearer_auth(forged),
        401,
        "unauthenticated",
        "signature",
    )
    .await;
    refused(
        bare().bearer_auth("not.a.token"),
        401,
        "unauthenticated",
        "token",
    )
    .await;
    // An unsigned token must never pass.
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9.";
    refused(bare().bearer_auth(none), 401, "unauthenticated", "token").await;

    let (ledger, store) = sale.counts().await;
    assert_eq!(
        (ledger.available, store),
        (100, 100),
        "a refusal took units"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_order_and_another_payload_is_refused() {
    let sale = Sale::open(Terms::default()).await;
    let first = json(sale.place("ann", "one", 2).send().await.unwrap(), 202).await;
    for _ in 0..3 {
        let again = json(sale.place("ann", "one", 2).send().await.unwrap(), 202).await;
        assert_eq!(again["id"], first["id"]);
    }
    refused(
        sale.place("ann", "one", 1),
        422,
        "idempotency-key-reused",
        "",
    )
    .await;
    let bob = json(sale.place("bob", "one", 2).send().await.unwrap(), 202).await;
    assert_ne!(bob["id"], first["id"]);
    // Two more are the limit of four; a fifth is one too many, over all orders of the buyer.
    json(sale.place("ann", "two", 2).send().await.unwrap(), 202).await;
    refused(sale.place("ann", "three", 1), 409, "buyer-limit", "4").await;
    sale.counts_until(94, 6, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_finds_its_order_for_ever() {
    let sale = Sale::open(Terms {
        quantity: 3,
        shards: 1,
        ..Terms::default()
    })
    .await;
    let order = sale.awaiting("ann", "k", 2).await;
    let again = async |status: u16| {
        let place = sale.place("ann", "k", 2);
        let place = if status == 201 {
            place.header("Prefer", "wait=5")
        } else {
            place
        };
        let answer = place.send().await.unwrap();
        let applied = answer.headers().get("preference-applied").cloned();
        assert_eq!(applied.is_some(), status == 201);
        let found = json(answer, status).await;
        assert_eq!(found["id"], order["id"]);
        found
    };
    let other_payload = || sale.place("ann", "k", 1);
    let reused = "idempotency-key-reused";

    // Decided: whoever waits gets the decision at once.
    assert_eq!(again(202).await["state"], "awaiting_payment");
    assert_eq!(again(201).await["state"], "awaiting_payment");
    // After the last ticket.
    json(sale.place("bob", "k", 1).send().await.unwrap(), 202).await;
    refused(sale.place("eve", "k", 1), 409, "sold-out", "").await;
    again(202).await;
    refused(other_payload(), 422, reused, "").await;
    // After its own end.
    let id = order["id"].as_str().unwrap();
    let cancel = sale.request(Method::POST, &format!("/v1/orders/{id}/cancel"));
    json(cancel.bearer_auth(token("ann")).send().await.unwrap(), 202).await;
    sale.order_until("ann", id, "cancelled").await;
    assert_eq!(again(202).await["state"], "cancelled");
    // While the sale is paused, and after it is over; a new order is refused then.
    sale.change("paused", |row| row.paused = true).await;
    again(202).await;
    refused(other_payload(), 422, reused, "").await;
    refused(sale.place("ann", "new", 1), 409, "sale-paused", "").await;
    sale.change("closed", |row| {
        row.closes_at = clock::now() - SignedDuration::from_hours(1);
    })
    .await;
    assert_eq!(again(201).await["state"], "cancelled");
    refused(other_payload(), 422, reused, "").await;
    refused(sale.place("ann", "new", 1), 409, "sale-closed", "").await;
    // Also when the stock store knows nothing of the sale any more: the ledger does.
    sale.stock
        .close(sale.id, &[ticket_core::CategoryName::new("seat").unwrap()])
        .await
        .unwrap();
    again(202).await;
    refused(other_payload(), 422, reused, "").await;
    refused(sale.place("ann", "new", 1), 409, "sale-closed", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_should_never_fail_says_nothing_of_our_insides() {
    let sale = Sale::open(Terms::default()).await;
    let order = sale.awaiting("ann", "k", 1).await;
    sale.spoil_orders().await;
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let get = sale.request(Method::GET, &path).bearer_auth(token("ann"));
    let answer = get.send().await.unwrap();
    let problem = json(answer, 500).await;
    assert_eq!(problem["code"], "internal");
    let words = problem.to_string().to_lowercase();
    for inside in ["sql", "select", "orders_", "postgres", "relation", "ledger"] {
        assert!(!words.contains(inside), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_no_text_is_a_problem_too() {
    let sale = Sale::open(Terms::default()).await;
    for path in [
        "/v1/events/%ff",
        "/v1/orders/%c3%28",
        "/v1/orders/%fe/events",
    ] {
        let get = sale.request(Method::GET, path).bearer_auth(token("ann"));
        refused(get, 404, "not-found", "path").await;
    }
    let post = sale
        .request(Method::DELETE, "/v1/orders/x")
        .send()
        .await
        .unwrap();
    assert_eq!(post.headers()["allow"], "GET,HEAD");
    assert_eq!(json(post, 405).await["code"], "method-not-allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_has_its_hours() {
    let sale = Sale::open(Terms::default()).await;
    let hour = SignedDuration::from_hours(1);
    sale.change("paused", |row| row.paused = true).await;
    refused(sale.place("ann", "k", 1), 409, "sale-paused", "").await;
    sale.change("scheduled", |row| {
        row.paused = false;
        row.opens_at = clock::now() + hour;
    })
    .await;
    refused(sale.place("ann", "k", 1), 409, "sale-not-open", "").await;
    sale.change("closed", |row| {
        row.opens_at = clock::now() - hour - hour;
        row.closes_at = clock::now() - hour;
    })
    .await;
    refused(sale.place("ann", "k", 1), 409, "sale-closed", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_needs_its_signature() {
    let sale = Sale::open(Terms::default()).await;
    let event = json!({
        "id": "evt_1", "object": "event", "type": "customer.created", "created": 1,
        "data": { "object": { "id": "cus_1", "object": "customer" } },
    })
    .to_string();
    let post = |body: &str, signature: Option<String>| {
        let request = sale
            .request(Method::POST, "/v1/webhooks/stripe")
            .header("Content-Type", "application/json")
            .body(body.to_owned());
        match signature {
            Some(signature) => request.header("Stripe-Signature", signature),
            None => request,
        }
    };
    let sign = |secret: &str, age_s: i64, body: &str| {
        let at = clock::now() - SignedDuration::from_secs(age_s);
        Some(signature::sign(&secret.to_owned().into(), at, body.as_bytes()).unwrap())
    };
    for wrong in [
        None,
        Some("t=1,v1=00".to_owned()),
        sign("another secret", 0, &event),
        sign(WEBHOOK_SECRET, 301, &event),
        sign(WEBHOOK_SECRET, -310, &event),
        sign(WEBHOOK_SECRET, 0, "another body"),
    ] {
        refused(post(&event, wrong), 400, "invalid-signature", "").await;
    }
    let nonsense = "[]";
    let signed = sign(WEBHOOK_SECRET, 0, nonsense);
    refused(post(nonsense, signed), 400, "invalid-request", "").await;
    // Signed, and of a type that is nothing to us.
    let unknown = post(&event, sign(WEBHOOK_SECRET, 0, &event))
        .send()
        .await
        .unwrap();
    assert_eq!(unknown.status(), 200);
}
