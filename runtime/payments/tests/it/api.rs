//! The sandbox's answers to bad requests, as a stranger sees them.

use reqwest::header::CONTENT_TYPE;
use ticket_payments::Provider;

use crate::stage::{Stage, new_payment};

const INTENTS: &str = "/v1/payment_intents";
const REFUNDS: &str = "/v1/refunds";

/// Parameters of a request.
type Form<'a> = &'a [(&'a str, &'a str)];

/// Status, code and parameter of the error that must come.
type Fault<'a> = (u16, &'a str, &'a str);

#[tokio::test]
async fn bad_parameters_are_named() {
    let stage = Stage::open().await;
    let long = "x".repeat(501);
    let cases: &[(Form<'_>, Fault<'_>)] = &[
        (&[], (400, "parameter_missing", "amount")),
        (&[("amount", "10")], (400, "parameter_missing", "currency")),
        (
            &[("amount", ""), ("currency", "idr")],
            (400, "parameter_invalid_empty", "amount"),
        ),
        (
            &[("amount", "ten"), ("currency", "idr")],
            (400, "parameter_invalid_integer", "amount"),
        ),
        (
            &[("amount", "1.5"), ("currency", "idr")],
            (400, "parameter_invalid_integer", "amount"),
        ),
        (
            &[("amount", "0"), ("currency", "idr")],
            (400, "parameter_invalid_integer", "amount"),
        ),
        (
            &[("amount", "-5"), ("currency", "idr")],
            (400, "parameter_invalid_integer", "amount"),
        ),
        (
            &[("amount", "1000000000000"), ("currency", "idr")],
            (400, "amount_too_large", "amount"),
        ),
        (
            &[("amount", "10"), ("currency", "rupiah")],
            (400, "-", "currency"),
        ),
        (
            &[("amount", "10"), ("currency", "idr"), ("colour", "red")],
            (400, "parameter_unknown", "colour"),
        ),
        (
            &[("amount", "10"), ("currency", "idr"), ("x[y]", "1")],
            (400, "parameter_unknown", "x"),
        ),
        (
            &[
                ("amount", "10"),
                ("currency", "idr"),
                ("metadata[k]", &long),
            ],
            (400, "-", "metadata[k]"),
        ),
        (
            &[
                ("amount", "10"),
                ("currency", "idr"),
                ("automatic_payment_methods[enabled]", "si"),
            ],
            (400, "-", "automatic_payment_methods[enabled]"),
        ),
    ];
    for (form, expected) in cases {
        assert_eq!(
            stage.post(INTENTS, form).await.fault(),
            *expected,
            "{form:?}"
        );
    }
    assert_eq!(stage.get(INTENTS).await.body["data"], serde_json::json!([]));
}

#[tokio::test]
async fn a_confirmation_needs_the_right_secret_and_a_known_method() {
    let mut stage = Stage::open().await;
    let payment = stage.payment(1200).await;
    let other = stage.payment(1200).await;
    let path = format!("{INTENTS}/{}/confirm", payment.id);
    let (right, wrong) = (
        payment.client_secret.clone().unwrap(),
        other.client_secret.unwrap(),
    );
    let cases: &[(Form<'_>, Fault<'_>)] = &[
        (
            &[("payment_method", "pm_card_visa")],
            (400, "parameter_missing", "client_secret"),
        ),
        (
            &[("client_secret", &right)],
            (400, "parameter_missing", "payment_method"),
        ),
        (
            &[
                ("client_secret", &wrong),
                ("payment_method", "pm_card_visa"),
            ],
            (400, "-", "client_secret"),
        ),
        (
            &[
                ("client_secret", &right),
                ("payment_method", "pm_card_nobody"),
            ],
            (400, "resource_missing", "payment_method"),
        ),
    ];
    for (form, expected) in cases {
        assert_eq!(stage.post(&path, form).await.fault(), *expected, "{form:?}");
    }
    let form = [
        ("client_secret", right.as_str()),
        ("payment_method", "pm_card_visa"),
    ];
    let nobody = stage
        .post("/v1/payment_intents/pi_nobody/confirm", &form)
        .await;
    assert_eq!(nobody.fault(), (404, "resource_missing", "intent"));
    stage.assert_no_webhook();
}

#[tokio::test]
async fn a_browser_reads_its_payment_with_its_secret_only() {
    let stage = Stage::open().await;
    let payment = stage.payment(1200).await;
    let secret = payment.client_secret.unwrap();
    let right = stage
        .get(&format!("{INTENTS}/{}?client_secret={secret}", payment.id))
        .await;
    assert_eq!(
        (right.status, &right.body["status"]),
        (200, &"requires_payment_method".into())
    );
    let wrong = stage
        .get(&format!("{INTENTS}/{}?client_secret=x", payment.id))
        .await;
    assert_eq!(wrong.fault(), (400, "-", "client_secret"));
}

#[tokio::test]
async fn an_idempotency_key_is_bound_to_path_and_parameters() {
    let stage = Stage::open().await;
    let form = [("amount", "10"), ("currency", "idr"), ("metadata[a]", "b")];
    let first = stage.post_with_key(INTENTS, &form, "key-1").await;
    let again = stage.post_with_key(INTENTS, &form, "key-1").await;
    assert_eq!((first.status, first.replayed), (200, false));
    assert_eq!((again.status, again.replayed), (200, true));
    assert_eq!(first.body, again.body);

    let more = [("amount", "11"), ("currency", "idr"), ("metadata[a]", "b")];
    let other = stage.post_with_key(INTENTS, &more, "key-1").await;
    assert_eq!(other.fault(), (400, "-", "-"));
    assert_eq!(other.body["error"]["type"], "idempotency_error");
    let elsewhere = [("payment_intent", first.body["id"].as_str().unwrap())];
    let elsewhere = stage.post_with_key(REFUNDS, &elsewhere, "key-1").await;
    assert_eq!(elsewhere.body["error"]["type"], "idempotency_error");
    let long = stage.post_with_key(INTENTS, &form, &"k".repeat(256)).await;
    assert_eq!(long.status, 400);

    // What a check of the parameters refused does not use the key up.
    let bad = stage
        .post_with_key(INTENTS, &[("amount", "10")], "key-2")
        .await;
    assert_eq!(bad.status, 400);
    assert_eq!(
        stage.post_with_key(INTENTS, &form, "key-2").await.status,
        200
    );
    assert_eq!(
        stage.get(INTENTS).await.body["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn a_repeated_answer_shows_the_payment_as_it_was() {
    let stage = Stage::open().await;
    let form = [("amount", "10"), ("currency", "idr")];
    let made = stage.post_with_key(INTENTS, &form, "key").await;
    let path = format!("{INTENTS}/{}/cancel", made.body["id"].as_str().unwrap());
    assert_eq!(stage.post(&path, &[]).await.body["status"], "canceled");
    assert_eq!(
        stage.post_with_key(INTENTS, &form, "key").await.body,
        made.body
    );
}

#[tokio::test]
async fn many_at_once_with_one_key_make_one_payment() {
    let stage = Stage::open().await;
    let wish = new_payment(700);
    let calls = (0..50).map(|_| stage.client.create(&wish));
    let mut ids = Vec::new();
    for call in futures(calls).await {
        ids.push(call.unwrap().id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(stage.client.list(None).await.unwrap().items.len(), 1);
}

/// All at once; the answers in the order of the calls.
async fn futures<F: Future>(calls: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = calls.map(|call| (Box::pin(call), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (call, answer) in &mut waiting {
            if answer.is_none() {
                match call.as_mut().poll(context) {
                    std::task::Poll::Ready(output) => *answer = Some(output),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    waiting
        .into_iter()
        .filter_map(|(_, answer)| answer)
        .collect()
}

#[tokio::test]
async fn refunds_are_checked_against_the_payment() {
    let stage = Stage::open().await;
    let paid = stage.paid_with("pm_card_visa").await.id;
    let open = stage.payment(10).await.id;
    let cases: &[(Form<'_>, Fault<'_>)] = &[
        (&[], (400, "parameter_missing", "payment_intent")),
        (
            &[("payment_intent", "pi_nobody")],
            (404, "resource_missing", "payment_intent"),
        ),
        (&[("payment_intent", &open)], (400, "-", "payment_intent")),
        (
            &[("payment_intent", &paid), ("amount", "1201")],
            (400, "-", "amount"),
        ),
        (
            &[("payment_intent", &paid), ("reason", "whim")],
            (400, "-", "reason"),
        ),
    ];
    for (form, expected) in cases {
        assert_eq!(
            stage.post(REFUNDS, form).await.fault(),
            *expected,
            "{form:?}"
        );
    }
    let made = stage
        .post(REFUNDS, &[("payment_intent", &paid), ("amount", "1")])
        .await;
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(stage.get(&format!("{REFUNDS}/{id}")).await.body, made.body);
    assert_eq!(
        stage.get("/v1/refunds/re_x").await.fault(),
        (404, "resource_missing", "id")
    );
    let all = stage.get(REFUNDS).await.body;
    assert_eq!(
        (&all["object"], &all["data"]),
        (&"list".into(), &serde_json::json!([made.body]))
    );
    let of_open = stage
        .get(&format!("{REFUNDS}?payment_intent={open}"))
        .await
        .body;
    assert_eq!(of_open["data"], serde_json::json!([]));
}

#[tokio::test]
async fn pages_are_checked() {
    let stage = Stage::open().await;
    for (query, expected) in [
        ("limit=0", (400, "parameter_invalid_integer", "limit")),
        ("limit=101", (400, "parameter_invalid_integer", "limit")),
        ("limit=many", (400, "parameter_invalid_integer", "limit")),
        (
            "starting_after=pi_x",
            (400, "resource_missing", "starting_after"),
        ),
        ("page=2", (400, "parameter_unknown", "page")),
    ] {
        assert_eq!(
            stage.get(&format!("{INTENTS}?{query}")).await.fault(),
            expected,
            "{query}"
        );
    }
}

#[tokio::test]
async fn whatever_is_asked_the_answer_is_an_error_object() {
    let stage = Stage::open().await;
    assert_eq!(stage.get("/v1/customers").await.fault(), (404, "-", "-"));
    assert_eq!(
        stage.get("/v1/payment_intents/pi_x").await.fault(),
        (404, "resource_missing", "intent")
    );
    assert_eq!(stage.post("/livez", &[]).await.fault(), (405, "-", "-"));

    let url = format!("{}{INTENTS}", stage.url);
    let json = stage
        .http
        .post(&url)
        .header(CONTENT_TYPE, "application/json")
        .body("{}");
    assert_eq!(stage.send(json).await.fault(), (400, "-", "-"));
    let large = stage.http.post(&url).body("x".repeat(70_000));
    assert_eq!(stage.send(large).await.fault(), (413, "-", "-"));
    let many = vec![("a", "b"); 101];
    assert_eq!(stage.post(INTENTS, &many).await.fault(), (400, "-", "-"));
    // Not UTF-8.
    let odd = stage
        .http
        .post(&url)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    assert_eq!(
        stage.send(odd.body("amount=%FF&currency=idr")).await.status,
        400
    );
}

#[tokio::test]
async fn it_says_that_it_lives_and_is_ready() {
    let stage = Stage::open().await;
    assert_eq!(stage.get("/livez").await.status, 200);
    assert_eq!(stage.get("/readyz").await.status, 200);
}
