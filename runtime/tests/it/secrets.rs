//! Secrets in files take effect when the file changes, without a restart.

use std::path::Path;

use jiff::SignedDuration;
use reqwest::Method;
use ticket_core::clock;

use crate::sale::{JWT_SECRET, MANAGER, Sale, Terms, sign};

/// As a mounted secret changes: never half.
fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(&next, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_jwt_secrets_are_replaced_while_the_process_runs() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (jwt, manager) = (file("jwt", JWT_SECRET), file("manager", MANAGER));
    let named = |path: &Path| Some(path.to_str().unwrap().to_owned());
    let sale = Sale::open(Terms {
        settings: vec![
            ("TICKET_BUYER_JWT_SECRET", None),
            ("TICKET_BUYER_JWT_SECRET_FILE", named(&jwt)),
            ("TICKET_ADMIN_TOKEN", None),
            ("TICKET_ADMIN_TOKEN_FILE", named(&manager)),
            ("TICKET_SECRETS_LOOK_S", Some("1".to_owned())),
        ],
        ..Terms::default()
    })
    .await;
    let order = async |secret: &str| {
        let token = sign("ann", clock::now() + SignedDuration::from_hours(1), secret);
        let path = format!("/v1/events/{}/orders", sale.name);
        let place = sale.request(Method::POST, &path).bearer_auth(token);
        let place = place.header("Idempotency-Key", "k");
        let body = serde_json::json!({ "category": "seat", "quantity": 1 });
        place.json(&body).send().await.unwrap().status().as_u16()
    };
    let look = async |token: &str| {
        let look = sale.ask(Method::GET, "/events", token).send().await;
        look.unwrap().status().as_u16()
    };
    let newer = "another-secret-of-the-tests-that-is-long-enough";
    assert_eq!((order(JWT_SECRET).await, order(newer).await), (202, 401));
    assert_eq!((look(MANAGER).await, look("next-boss").await), (200, 401));

    replace(&jwt, newer);
    replace(&manager, "next-boss\n");
    sale.until("the new secret counts", async || order(newer).await == 202)
        .await;
    sale.until("the new token counts", async || {
        look("next-boss").await == 200
    })
    .await;
    assert_eq!((order(JWT_SECRET).await, look(MANAGER).await), (401, 401));
}
