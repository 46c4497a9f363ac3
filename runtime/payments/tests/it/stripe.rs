//! Our requests against Stripe's own description of its API: stripe-mock refuses a path, a parameter or a value that the
//! description does not have, and answers with Stripe's examples, which the client must be able to read.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use secrecy::SecretString;
use ticket_core::Reason;
use ticket_payments::{Provider, StripeClient, StripeConfig};
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
