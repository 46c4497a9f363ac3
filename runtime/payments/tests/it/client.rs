//! The client: what it sends, what it makes of answers, and what it says when there is none.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use secrecy::SecretString;
use ticket_core::{ErrorClass, Money, Reason};
use ticket_payments::{
    PaymentError, PaymentStatus, Provider, RefundStatus, StripeClient, StripeConfig,
};

use crate::stage::{Stage, client_for, install_crypto, listen, new_payment, serve};

#[tokio::test]
async fn an_order_has_one_payment_however_often_it_is_asked_for() {
    let stage = Stage::open().await;
    let wish = new_payment(250_000_000);
    let made = stage.client.create(&wish).await.unwrap();
    assert_eq!((made.order, made.amount), (Some(wish.order), wish.amount));
    assert_eq!(
        (made.event.as_ref(), made.status),
        (Some(&wish.event), PaymentStatus::Open)
    );
    assert!(
        made.client_secret
            .as_ref()
            .unwrap()
            .starts_with(&format!("{}_secret_", made.id))
    );
    assert_eq!(stage.client.create(&wish).await.unwrap(), made);
    assert_eq!(stage.client.get(&made.id).await.unwrap(), made);

    let mut dearer = wish;
    dearer.amount.amount_minor += 1;
    let error = stage.client.create(&dearer).await.unwrap_err();
    assert_eq!(
        (error.code(), error.class()),
        ("idempotency-key-reused", ErrorClass::Permanent)
    );
}

#[tokio::test]
async fn cancelling_twice_is_fine_and_cancelling_what_is_paid_is_a_conflict() {
    let stage = Stage::open().await;
    let open = stage.payment(10).await;
    for _ in 0..2 {
        let cancelled = stage.client.cancel(&open.id).await.unwrap();
        assert_eq!(
            (cancelled.id, cancelled.status),
            (open.id.clone(), PaymentStatus::Canceled)
        );
    }
    let paid = stage.paid_with("pm_card_visa").await;
    let error = stage.client.cancel(&paid.id).await.unwrap_err();
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Conflict, "payments-refused")
    );
    let error = stage.client.cancel("pi_nobody/../x").await.unwrap_err();
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Permanent, "not-found")
    );
}

#[tokio::test]
async fn an_order_is_refunded_once() {
    let stage = Stage::open().await;
    let payment = stage.paid_with("pm_card_visa").await;
    let order = payment.order.unwrap();
    let refund = |reason| {
        stage
            .client
            .refund(order, &payment.id, payment.amount, reason)
    };
    let made = refund(Reason::BuyerRequest).await.unwrap();
    assert_eq!(
        (made.order, made.status),
        (Some(order), RefundStatus::Succeeded)
    );
    assert_eq!(
        (&made.payment, made.amount),
        (&Some(payment.id.clone()), payment.amount)
    );
    assert_eq!(refund(Reason::BuyerRequest).await.unwrap(), made);
    assert_eq!(stage.client.list_refunds(None).await.unwrap().items, [made]);
}

#[tokio::test]
async fn a_refund_made_at_the_dashboard_is_found() {
    let stage = Stage::open().await;
    let payment = stage.paid_with("pm_card_visa").await;
    let by_hand = stage
        .post("/v1/refunds", &[("payment_intent", &payment.id)])
        .await;
    let order = payment.order.unwrap();
    let found = stage
        .client
        .refund(order, &payment.id, payment.amount, Reason::Fraud)
        .await
        .unwrap();
    assert_eq!(
        (found.id.as_str(), found.order),
        (by_hand.body["id"].as_str().unwrap(), None)
    );
}

#[tokio::test]
async fn what_was_not_paid_cannot_be_refunded() {
    let stage = Stage::open().await;
    let payment = stage.payment(10).await;
    let order = payment.order.unwrap();
    let refund = stage
        .client
        .refund(order, &payment.id, payment.amount, Reason::BuyerRequest);
    let error = refund.await.unwrap_err();
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Permanent, "payments-refused")
    );
}

#[tokio::test]
async fn pages_show_every_payment_once_newest_first() {
    const PAYMENTS: i64 = 205;
    let stage = Stage::open().await;
    let mut made = Vec::new();
    for amount in 1..=PAYMENTS {
        made.push(stage.payment(amount).await.id);
    }
    let mut seen = Vec::new();
    let mut after = None;
    let mut pages = 0;
    loop {
        let page = stage.client.list(after.as_deref()).await.unwrap();
        pages += 1;
        seen.extend(page.items.into_iter().map(|payment| payment.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    made.reverse();
    assert_eq!((seen, pages), (made, 3));
}

#[tokio::test]
async fn a_provider_that_is_down_may_be_tried_again() {
    let (listener, address) = listen().await;
    drop(listener);
    let client = client_for(&format!("http://{address}"));
    let error = client.create(&new_payment(10)).await.unwrap_err();
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Retry, "payments-unreachable")
    );
}

#[tokio::test]
async fn no_answer_in_time_is_an_unknown_outcome() {
    install_crypto();
    let silent = Router::new().fallback(|| async {
        std::future::pending::<()>().await;
    });
    let url = serve(silent).await;
    let client = StripeClient::new(StripeConfig {
        request_timeout: Duration::from_millis(200),
        ..StripeConfig::new(url)
    })
    .unwrap();
    let error = client.create(&new_payment(10)).await.unwrap_err();
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Ambiguous, "payments-unreachable")
    );
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_an_unknown_outcome() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut request = [0_u8; 4096];
        let read = peer.read(&mut request).await.unwrap();
        assert!(read > 0);
        peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":")
            .await
            .unwrap();
    });
    let client = client_for(&format!("http://{address}"));
    let error = client.create(&new_payment(10)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Ambiguous);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let error = |status: u16, header: Option<(&'static str, &'static str)>, body: &'static str| async move {
        let router = Router::new().fallback(move || async move {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, value.parse().unwrap());
            }
            (StatusCode::from_u16(status).unwrap(), headers, body)
        });
        let client = client_for(&serve(router).await);
        let error = client.get("pi_1").await.unwrap_err();
        (error.class(), error.code(), error.retry_after())
    };
    let limit =
        r#"{"error":{"type":"invalid_request_error","code":"rate_limit","message":"slow"}}"#;
    let unreachable = "payments-unreachable";
    assert_eq!(
        error(429, Some(("retry-after", "3")), limit).await,
        (ErrorClass::Retry, unreachable, Some(Duration::from_secs(3)))
    );
    // Nobody waits a day because of a header.
    assert_eq!(
        error(429, Some(("retry-after", "86400")), limit).await.2,
        Some(ticket_payments::RETRY_AFTER_MAX)
    );
    let proxy = "<html>Bad Gateway</html>";
    assert_eq!(
        error(502, None, proxy).await,
        (ErrorClass::Ambiguous, unreachable, None)
    );
    assert_eq!(
        error(200, None, proxy).await,
        (ErrorClass::Ambiguous, unreachable, None)
    );
    assert_eq!(error(302, None, "").await.0, ErrorClass::Permanent);
    let key = r#"{"error":{"type":"invalid_request_error","message":"Invalid API Key"}}"#;
    assert_eq!(
        error(401, None, key).await,
        (ErrorClass::Retry, "payments-unauthorized", None)
    );
}

/// Head and body of each request.
type Seen = Arc<Mutex<Vec<(String, HeaderMap, String)>>>;

async fn remember(
    State(seen): State<Seen>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let body = String::from_utf8(body.to_vec()).unwrap();
    seen.lock().unwrap().push((uri.to_string(), headers, body));
    StatusCode::IM_A_TEAPOT
}

#[tokio::test]
async fn requests_are_what_stripe_asks_for() {
    install_crypto();
    let seen = Seen::default();
    let router = Router::new()
        .fallback(remember)
        .with_state(Arc::clone(&seen));
    let client = StripeClient::new(StripeConfig {
        secret_key: Some(SecretString::from("sk_test_1")),
        ..StripeConfig::new(format!("{}/", serve(router).await))
    })
    .unwrap();
    let wish = new_payment(1200);
    let order = wish.order.to_string();
    assert!(client.create(&wish).await.is_err());
    let half = Money {
        amount_minor: 600,
        ..wish.amount
    };
    assert!(
        client
            .refund(wish.order, "pi_1", half, Reason::Fraud)
            .await
            .is_err()
    );
    assert!(client.list(Some("pi_1")).await.is_err());

    let seen = seen.lock().unwrap();
    // A refund that is refused asks what went back before.
    let [create, refund, back, list] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    assert_eq!(create.0, "/v1/payment_intents");
    assert_eq!(create.1["authorization"], "Bearer sk_test_1");
    assert_eq!(create.1["idempotency-key"], order.as_str());
    assert_eq!(create.1["stripe-version"], "2025-03-31.basil");
    assert_eq!(
        create.1["content-type"],
        "application/x-www-form-urlencoded"
    );
    assert_eq!(
        create.2,
        format!(
            "amount=1200&currency=idr&automatic_payment_methods%5Benabled%5D=true&\
             metadata%5Border_id%5D={order}&metadata%5Bevent%5D=default.coldplay&\
             metadata%5Bbuyer%5D=auth0%7Cada"
        )
    );
    assert_eq!(refund.0, "/v1/refunds");
    assert_eq!(refund.1["idempotency-key"], format!("{order}:refund"));
    assert_eq!(
        refund.2,
        format!(
            "payment_intent=pi_1&amount=600&reason=fraudulent&metadata%5Border_id%5D={order}&\
             metadata%5Breason%5D=fraud"
        )
    );
    assert_eq!(back.0, "/v1/refunds?payment_intent=pi_1&limit=100");
    assert_eq!(list.0, "/v1/payment_intents?limit=100&starting_after=pi_1");
    assert!(!list.1.contains_key("idempotency-key"));
}

#[tokio::test]
async fn the_rate_limit_spreads_calls() {
    install_crypto();
    let url = serve(Router::new().fallback(|| async { StatusCode::NOT_FOUND })).await;
    let client = StripeClient::new(StripeConfig {
        payments_per_second: NonZeroU32::new(20).unwrap(),
        ..StripeConfig::new(url)
    })
    .unwrap();
    let started = Instant::now();
    for _ in 0..12 {
        assert_eq!(client.get("pi_1").await.unwrap_err().code(), "not-found");
    }
    // Two may go at once, the other ten wait for 50 ms each.
    assert!(
        started.elapsed() >= Duration::from_millis(450),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_provider_that_says_later_is_left_alone_by_everybody() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    let router = Router::new().fallback(move || {
        let mut calls = seen.lock().unwrap();
        calls.push(Instant::now());
        let answer = match calls.len() {
            1 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]),
            _ => (StatusCode::NOT_FOUND, [("retry-after", "0")]),
        };
        async move { answer }
    });
    let client = client_for(&serve(router).await);
    let error = client.get("pi_1").await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    // Another call, about another payment.
    assert_eq!(client.get("pi_2").await.unwrap_err().code(), "not-found");
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 2);
    let waited = calls[1] - calls[0];
    assert!(waited >= Duration::from_millis(950), "{waited:?}");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_the_start() {
    install_crypto();
    for url in ["", "localhost:80", "ftp://localhost", "http://"] {
        let error = StripeClient::new(StripeConfig::new(url)).unwrap_err();
        assert!(matches!(error, PaymentError::Configure { .. }), "{url}");
        assert_eq!(error.code(), "payments-misconfigured");
    }
}
