//! The load generator against the bare endpoint, and against a server that is too slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use hyper::StatusCode;
use ticket_bench::http::bare::Bare;
use ticket_bench::load::{self, Answer, Buyers, Orders, Request, Script, Target};
use ticket_core::CategoryName;
use tokio::net::TcpListener;
use tokio::time::sleep;

const SECRET: &str = "it-0123456789abcdef0123456789abcdef";

/// Orders, and how many answers were seen with an order in them.
struct Watched {
    orders: Orders,
    seen: AtomicU64,
}

impl Script for Watched {
    fn request(&self) -> Request {
        self.orders.request()
    }

    fn answered(&self, answer: &Answer) {
        let order: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(order["id"].as_str().unwrap().starts_with("ord_"), "{order}");
        assert!(answer.headers.contains_key("location") && answer.at >= answer.due);
        self.seen.fetch_add(1, Ordering::Relaxed);
    }
}

async fn orders(target: &Target, secret: &str) -> Orders {
    let buyers = Buyers::sign(secret, 100).await.unwrap();
    let (event, category) = (
        "bench.it".parse().unwrap(),
        CategoryName::new("vip").unwrap(),
    );
    Orders::new(target, &event, &category, &buyers).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_load_counts_every_answer_and_shows_it_to_the_script() {
    let mut bare = Bare::start(SECRET).await.unwrap();
    let watched = Arc::new(Watched {
        orders: orders(&bare.target, SECRET).await,
        seen: AtomicU64::new(0),
    });
    let lasts = Duration::from_millis(500);
    let outcome = load::closed(&bare.target, 16, lasts, &watched)
        .await
        .unwrap();
    let accepted = outcome.all(StatusCode::ACCEPTED).unwrap();
    assert!(accepted > 16, "{accepted}");
    assert_eq!(outcome.latency.count(), accepted);
    assert_eq!(watched.seen.load(Ordering::Relaxed), accepted);
    assert!(outcome.took >= lasts / 2 && outcome.generator_cpu > Duration::ZERO);
    bare.product.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_steady_load_sends_as_many_as_were_asked_for() {
    let mut bare = Bare::start(SECRET).await.unwrap();
    let orders = Arc::new(orders(&bare.target, SECRET).await);
    let second = Duration::from_secs(1);
    let outcome = load::steady(&bare.target, 8, 200, second, &orders)
        .await
        .unwrap();
    assert_eq!(outcome.all(StatusCode::ACCEPTED).unwrap(), 200);
    assert_eq!(outcome.unsent, 0);
    // The last one was due after 995 ms.
    assert!(
        outcome.took >= Duration::from_millis(995),
        "{:?}",
        outcome.took
    );
    let one = load::steady(&bare.target, 1, 1, second, &orders)
        .await
        .unwrap();
    assert_eq!(one.total(), 1);
    bare.product.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bare_endpoint_checks_tokens_and_another_answer_is_no_rate() {
    let mut bare = Bare::start(SECRET).await.unwrap();
    let forged = Arc::new(orders(&bare.target, "another-0123456789abcdef01234567").await);
    let lasts = Duration::from_millis(100);
    let outcome = load::closed(&bare.target, 2, lasts, &forged).await.unwrap();
    assert!(outcome.of(StatusCode::UNAUTHORIZED) > 0);
    let error = outcome.all(StatusCode::ACCEPTED).unwrap_err().to_string();
    assert!(error.contains("x 401"), "{error}");
    bare.product.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_fails_the_load() {
    let mut bare = Bare::start(SECRET).await.unwrap();
    let orders = Arc::new(orders(&bare.target, SECRET).await);
    let target = bare.target.clone();
    let killing = async {
        sleep(Duration::from_millis(300)).await;
        bare.product.kill().await.unwrap();
    };
    let lasts = Duration::from_secs(30);
    let (outcome, ()) = tokio::join!(load::closed(&target, 4, lasts, &orders), killing);
    assert!(outcome.is_err());
    assert!(load::closed(&target, 4, lasts, &orders).await.is_err());
}

/// 100 requests in a second to somebody who needs 50 ms for each: what comes late counts as late, and what was never sent
/// is counted too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_does_not_slow_the_clock_down() {
    let slow = async || {
        sleep(Duration::from_millis(50)).await;
        StatusCode::NO_CONTENT
    };
    let router = Router::new().route("/v1/events/{event}/orders", post(slow));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::new(listener.local_addr().unwrap()).unwrap();
    let serving = tokio::spawn(axum::serve(listener, router).into_future());
    let orders = Arc::new(orders(&target, SECRET).await);
    let second = Duration::from_secs(1);
    let outcome = load::steady(&target, 1, 100, second, &orders)
        .await
        .unwrap();
    serving.abort();
    assert_eq!(outcome.total() + outcome.unsent, 100);
    assert!(outcome.unsent > 0, "{outcome:?}");
    // Answered within 50 ms each, but the last ones two seconds after they were due.
    assert!(
        outcome.percentile_ms(99.0) > 1_000.0,
        "{}",
        outcome.percentile_ms(99.0)
    );
}
