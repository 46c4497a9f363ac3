//! A server that is down: 503 with `Retry-After`, readiness names it, and it is used again when it is back.

use std::time::{Duration, Instant};

use reqwest::Method;

use crate::sale::{Sale, Terms, json, token};

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_orders_are_refused_and_readiness_says_why() {
    let mut sale = Sale::open(Terms {
        own_redis: true,
        ..Terms::default()
    })
    .await;
    json(sale.place("ann", "before", 1).send().await.unwrap(), 202).await;
    sale.counts_until(99, 1, 0).await;
    sale.redis.as_mut().unwrap().kill().await.unwrap();

    let refused = sale.place("ann", "during", 1).send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    let problem = json(refused, 503).await;
    assert!(
        ["overloaded", "warming-up"].contains(&problem["code"].as_str().unwrap()),
        "{problem}"
    );
    sale.until("readiness names the store", async || {
        let ready = sale.request(Method::GET, "/readyz").send().await.unwrap();
        ready.status() == 503 && ready.text().await.unwrap().contains("store")
    })
    .await;

    // It is back, and empty: until it is refilled nobody may sell what it does not know.
    sale.redis.as_mut().unwrap().restart().await.unwrap();
    sale.until("it sells again", async || {
        let answer = sale.place("ann", "after", 1).send().await.unwrap();
        let is_sold = answer.status() == 202;
        let answer: serde_json::Value = answer.json().await.unwrap();
        let codes = ["overloaded", "warming-up"];
        assert!(
            is_sold || codes.contains(&answer["code"].as_str().unwrap()),
            "{answer}"
        );
        is_sold
    })
    .await;
    // The test's own client tells its first caller that it was refused while Redis was down, and then connects again.
    sale.until("the test reaches Redis", async || {
        sale.stock.ping().await.is_ok()
    })
    .await;
    sale.counts_until(98, 2, 0).await;
    sale.until("readiness is back", async || {
        sale.request(Method::GET, "/readyz")
            .send()
            .await
            .unwrap()
            .status()
            == 200
    })
    .await;
}

/// So long the ledger is away after the process was started.
const AWAY_FOR: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_while_the_ledger_is_away_denies_nothing_that_exists() {
    let mut sale = Sale::open(Terms {
        own_postgres: true,
        ..Terms::default()
    })
    .await;
    let order = sale.awaiting("ann", "before", 1).await;
    let id = order["id"].as_str().unwrap();
    let event = format!("{}/v1/events/{}", sale.api, sale.name);
    let order = format!("{}/v1/orders/{id}", sale.api);
    let mut ledger = sale.postgres.take().unwrap();
    ledger.kill().await.unwrap();
    sale.runtime.kill().await.unwrap();

    let looking = async {
        let http = reqwest::Client::new();
        let begun = Instant::now();
        let mut is_away = true;
        loop {
            if is_away && begun.elapsed() > AWAY_FOR {
                ledger.restart().await.unwrap();
                is_away = false;
            }
            let mut are_found = true;
            for url in [&event, &order] {
                // Nobody listens, or nobody knows yet: both are fine, and a buyer comes again.
                let answer = http.get(url).bearer_auth(token("ann")).send().await;
                let status = answer.map(|answer| answer.status().as_u16());
                assert!(!matches!(status, Ok(404)), "{url} is said not to exist");
                are_found &= matches!(status, Ok(200));
            }
            if are_found {
                return;
            }
            assert!(begun.elapsed() < AWAY_FOR * 20, "never found again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (restarted, ()) = tokio::join!(sale.runtime.restart(), looking);
    restarted.unwrap();
}
