//! Our requests against Stripe's own description of its API: stripe-mock refuses a path, a parameter or a value that the
//! description does not have, and answers with Stripe's examples, which the client must be able to read.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use secrecy::SecretString;
use ticket_core::Reason;
use ticket_payments::{ComplaintKind, Provider, RefundStatus, StripeClient, StripeConfig};
use ticket_testkit::{StartOptions, StripeMockServer};

use crate::stage::{install_crypto, new_payment, serve};

const KEY: &str = "sk_test_123";

async fn start() -> StripeMockServer {
    install_crypto();
    let options = StartOptions::own("stripe-mock").unwrap();
    StripeMockServer::start(options).await.unwrap()
}

fn client(url: &str) -> StripeClient {
    StripeClient::new(StripeConfig {
        secret_key: Some(SecretString::from(KEY)),
        ..StripeConfig::new(url)
    })
    .unwrap()
}

#[tokio::test]
async fn stripe_accepts_every_request_and_its_answers_can_be_read() {
    let stripe = start().await;
    let client = client(stripe.url());
    let wish = new_payment(1200);
    let made = client.create(&wish).await.unwrap();
    assert!(made.id.starts_with("pi_"), "{made:?}");
    assert!(made.client_secret.is_some(), "{made:?}");
    assert_eq!(client.get(&made.id).await.unwrap().id, made.id);
    client.cancel(&made.id).await.unwrap();
    for reason in Reason::ALL {
        let refund = client
            .refund(wish.order, &made.id, wish.amount, reason)
            .await;
        assert!(refund.is_ok(), "{reason:?}: {refund:?}");
    }
    assert!(!client.list(None).await.unwrap().items.is_empty());
    client.list(Some(&made.id)).await.unwrap();
    assert!(!client.list_refunds(None).await.unwrap().items.is_empty());
    client.list_refunds(Some("re_1")).await.unwrap();
    for kind in ComplaintKind::ALL {
        let since = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        for after in [None, Some("x_1")] {
            let page = client.list_complaints(kind, since, after).await;
            assert!(page.is_ok(), "{kind:?}: {page:?}");
        }
    }
}

/// What the sandbox asks of itself: the search for a dispute and its end, as a refund that is refused sends them.
#[tokio::test]
async fn stripe_accepts_that_a_dispute_is_given_up() {
    let stripe = start().await;
    let refuse = || async {
        let body = r#"{"error":{"type":"invalid_request_error","code":"charge_disputed"}}"#;
        (StatusCode::BAD_REQUEST, body)
    };
    let (list, close) = (stripe.url().to_owned(), stripe.url().to_owned());
    // Stripe's examples are disputes that are over: ours runs until it is given up.
    let with_status = |answer: (StatusCode, serde_json::Value), status: &str| {
        let (code, mut body) = answer;
        assert!(code.is_success(), "{code} {body}");
        let is_list = body["data"].is_array();
        let dispute = if is_list {
            &mut body["data"][0]
        } else {
            &mut body
        };
        dispute["status"] = status.into();
        dispute["amount"] = 1200.into();
        axum::Json(body)
    };
    let router = Router::new()
        .route("/v1/refunds", post(refuse))
        .route(
            "/v1/disputes",
            axum::routing::get(
                move |axum::extract::RawQuery(query): axum::extract::RawQuery| {
                    let url = format!("{list}/v1/disputes?{}", query.unwrap_or_default());
                    async move {
                        with_status(ask(reqwest::Client::new().get(url)).await, "needs_response")
                    }
                },
            ),
        )
        .route(
            "/v1/disputes/{id}/close",
            post(
                move |axum::extract::Path(id): axum::extract::Path<String>,
                      headers: HeaderMap,
                      body: axum::body::Bytes| {
                    let url = format!("{close}/v1/disputes/{id}/close");
                    let kind = headers[CONTENT_TYPE].clone();
                    let request = reqwest::Client::new().post(url).body(body);
                    let request = request.header(CONTENT_TYPE, kind);
                    async move { with_status(ask(request).await, "lost") }
                },
            ),
        );
    let client = client(&serve(router).await);
    let wish = new_payment(1200);
    let refund = client.refund(wish.order, "pi_1", wish.amount, Reason::Fraud);
    let refund = refund.await.unwrap();
    assert_eq!(
        (refund.status, refund.amount),
        (RefundStatus::Succeeded, wish.amount)
    );
}

async fn ask(request: reqwest::RequestBuilder) -> (StatusCode, serde_json::Value) {
    let answer = request.bearer_auth(KEY).send().await.unwrap();
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
    (status, answer.json().await.unwrap())
}

#[tokio::test]
async fn stripe_accepts_the_search_for_a_refund_that_was_made_at_the_dashboard() {
    let stripe = start().await;
    let url = format!("{}/v1/refunds", stripe.url());
    let refuse = || async {
        let body = r#"{"error":{"type":"invalid_request_error","code":"charge_already_refunded"}}"#;
        (StatusCode::BAD_REQUEST, body)
    };
    let pass_on = move |axum::extract::RawQuery(query): axum::extract::RawQuery| {
        let url = format!("{url}?{}", query.unwrap_or_default());
        async move {
            let answer = reqwest::Client::new().get(url).bearer_auth(KEY);
            let answer = answer.send().await.unwrap();
            let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
            (status, answer.text().await.unwrap())
        }
    };
    let router = Router::new().route("/v1/refunds", post(refuse).get(pass_on));
    let client = client(&serve(router).await);
    let wish = new_payment(1200);
    let found = client.refund(wish.order, "pi_1", wish.amount, Reason::BuyerRequest);
    assert!(found.await.unwrap().id.starts_with("re_"));
}

/// A server that takes everything would prove nothing.
#[tokio::test]
async fn stripe_refuses_what_its_description_does_not_have() {
    let stripe = start().await;
    let http = reqwest::Client::new();
    for (path, form) in [
        (
            "/v1/payment_intents",
            vec![("amount", "10"), ("currency", "idr"), ("colour", "red")],
        ),
        (
            "/v1/payment_intents",
            vec![("amount", "ten"), ("currency", "idr")],
        ),
        (
            "/v1/refunds",
            vec![("payment_intent", "pi_1"), ("reason", "whim")],
        ),
        ("/v1/payment_intents/pi_1/abandon", vec![]),
    ] {
        let request = http
            .post(format!("{}{path}", stripe.url()))
            .bearer_auth(KEY);
        let answer = request.form(&form).send().await.unwrap();
        assert!(
            answer.status().is_client_error(),
            "{path} {form:?}: {answer:?}"
        );
    }
}
