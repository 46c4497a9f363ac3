//! A server that is down: 503 with `Retry-After`, readiness names it, and it is used again when it is back.

use reqwest::Method;

use crate::sale::{Sale, Terms, json};

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
