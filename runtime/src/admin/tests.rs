//! The routes with every server down: who gets in, how a refusal looks, and that nothing hangs.

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use ticket_bus::ProducerConfig;
use ticket_ledger::LedgerConfig;
use ticket_payments::StripeConfig;
use ticket_stock::StockConfig;
use ticket_telemetry::settings::Live;
use tower::ServiceExt;

use super::*;

/// Nobody listens on the discard port.
const NOBODY: &str = "127.0.0.1:9";

async fn api() -> Router {
    // Only the first test of the process installs it; the others find it installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    let url = SecretString::from(format!("postgres://nobody@{NOBODY}/nothing"));
    let mut config = LedgerConfig::new(&url);
    config.acquire_timeout = Duration::from_millis(200);
    let ledger = Ledger::connect(&config).unwrap();
    let bus = BusConfig::new(NOBODY, "tests");
    let log = Producer::new(&bus, &ProducerConfig::default()).unwrap();
    let stock = StockConfig::new(format!("redis://{NOBODY}"));
    let stock = StockStore::connect(&stock).await.unwrap();
    let warmer = Warmer::new(ledger.clone(), stock.clone(), log.clone());
    router(AdminParts {
        catalog: Catalog::new(ledger.clone()),
        ledger,
        stock,
        log,
        warmer,
        kafka: BusAdmin::connect(&bus).unwrap(),
        bus,
        prefix: TopicPrefix::default(),
        provider: Arc::new(
            StripeClient::new(StripeConfig::new(format!("http://{NOBODY}"))).unwrap(),
        ),
        manager_token: Live::new(SecretString::from("boss")),
        viewer_token: Live::new(SecretString::from("look")),
        keys: None,
        settings: crate::config::load(["ticket-runtime", "admin"].map(Into::into))
            .unwrap()
            .cli
            .settings
            .admin,
        health: Health::new(&[]),
        stop: CancellationToken::new(),
    })
}

struct Answer {
    status: StatusCode,
    content_type: String,
    retry_after: bool,
    body: Value,
}

async fn ask(method: Method, path: &str, token: Option<&str>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = api()
        .await
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let text = |name| {
        parts
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        content_type: text(header::CONTENT_TYPE).unwrap_or_default(),
        retry_after: text(header::RETRY_AFTER).is_some(),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    }
}

async fn problem(method: Method, path: &str, token: Option<&str>) -> (u16, String) {
    let answer = ask(method, path, token).await;
    assert_eq!(answer.content_type, "application/problem+json", "{path}");
    assert_eq!(answer.body["status"], answer.status.as_u16(), "{path}");
    assert!(
        answer.body["trace_id"]
            .as_str()
            .is_some_and(|id| id.len() == 32),
        "{path}"
    );
    (
        answer.status.as_u16(),
        answer.body["code"].as_str().unwrap().to_owned(),
    )
}

fn is(code: &str, status: u16) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn viewers_look_and_only_managers_act() {
    let order = format!("/admin/v1/orders/ord_{}{:014x}", "0".repeat(32), 7);
    let cancel = format!("{order}/cancel");
    let unknown = is("unauthenticated", 401);
    assert_eq!(
        problem(Method::GET, "/admin/v1/shards", None).await,
        unknown
    );
    assert_eq!(
        problem(Method::GET, "/admin/v1/shards", Some("guess")).await,
        unknown
    );
    assert_eq!(problem(Method::POST, &cancel, None).await, unknown);
    assert_eq!(
        problem(Method::POST, &cancel, Some("look")).await,
        is("forbidden", 403)
    );
    // Past the door, and then the ledger is down.
    assert_eq!(
        problem(Method::POST, &cancel, Some("boss")).await,
        is("overloaded", 503)
    );
    assert_eq!(
        problem(Method::GET, &order, Some("look")).await,
        is("overloaded", 503)
    );
}

#[tokio::test]
async fn every_refusal_is_a_problem_document() {
    let look = Some("look");
    assert_eq!(
        problem(Method::GET, "/nowhere", look).await,
        is("not-found", 404)
    );
    let method = problem(Method::DELETE, "/admin/v1/events", look).await;
    assert_eq!(method, is("method-not-allowed", 405));
    let name = problem(Method::GET, "/admin/v1/events/no_name", look).await;
    assert_eq!(name, is("not-found", 404));
    let id = problem(Method::GET, "/admin/v1/orders/ord_1", look).await;
    assert_eq!(id, is("not-found", 404));
    let limit = "/admin/v1/events/default.demo/orders?limit=many";
    assert_eq!(
        problem(Method::GET, limit, look).await,
        is("invalid-request", 400)
    );
}

#[tokio::test]
async fn a_ledger_that_is_down_is_503_with_retry_after() {
    for path in ["/admin/v1/shards", "/admin/v1/events/default.demo"] {
        let answer = ask(Method::GET, path, Some("look")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.retry_after, "{path}");
    }
}

#[tokio::test]
async fn dependencies_name_each_server_that_is_down_and_the_role_of_the_token() {
    let answer = ask(Method::GET, "/admin/v1/dependencies", Some("look")).await;
    assert_eq!(
        (answer.status, &answer.body["role"]),
        (StatusCode::OK, &Value::from("viewer"))
    );
    let items = answer.body["items"].as_array().unwrap();
    let codes: Vec<_> = items
        .iter()
        .map(|item| {
            assert_eq!(item["ok"], false, "{item}");
            (
                item["name"].as_str().unwrap(),
                item["code"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        codes,
        [
            ("ledger", "ledger-unreachable"),
            ("kafka", "log-unreachable"),
            ("store", "store-unreachable"),
            ("payments", "payments-unreachable"),
        ]
    );
}
