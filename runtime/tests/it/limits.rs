//! What happens when too much is asked: a quick and clear no, and everybody else is served.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::sale::{Sale, Terms, json, token};

async fn open(settings: &[(&'static str, &'static str)]) -> Sale {
    Sale::open(Terms {
        settings: settings
            .iter()
            .map(|(name, value)| (*name, Some((*value).to_owned())))
            .collect(),
        ..Terms::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_who_asks_too_often_waits_and_others_do_not() {
    let sale = open(&[
        ("TICKET_API_BUYER_PER_SECOND", "1"),
        ("TICKET_API_BUYER_BURST", "3"),
    ])
    .await;
    for key in ["a", "b", "c"] {
        json(sale.place("ann", key, 1).send().await.unwrap(), 202).await;
    }
    let refused = sale.place("ann", "d", 1).send().await.unwrap();
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert_eq!(json(refused, 429).await["code"], "too-many-requests");
    json(sale.place("bob", "a", 1).send().await.unwrap(), 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_from_one_address_are_limited_where_that_is_wanted() {
    let sale = open(&[
        ("TICKET_API_ADDRESS_PER_SECOND", "1"),
        // Starting up asks for the event now and then.
        ("TICKET_API_ADDRESS_BURST", "1000"),
    ])
    .await;
    let guess = || {
        let get = sale.request(Method::GET, "/v1/orders/ord_1");
        get.bearer_auth("a guess").send()
    };
    let mut refused = None;
    for _ in 0..1_100 {
        let answer = guess().await.unwrap();
        if answer.status() != 401 {
            refused = Some(answer);
            break;
        }
    }
    assert_eq!(
        json(refused.unwrap(), 429).await["code"],
        "too-many-requests"
    );
    // Whoever has a token is no stranger.
    json(sale.place("ann", "a", 1).send().await.unwrap(), 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_admits_so_many_orders_a_second() {
    let sale = Sale::open(Terms {
        quantity: 10_000,
        ..Terms::default()
    })
    .await;
    let mut row = sale.ledger.event(sale.id).await.unwrap().unwrap();
    row.admission_per_second = 1;
    sale.ledger.write_event(&row).await.unwrap();
    sale.until("the admission rate holds", async || {
        let buyers: Vec<_> = (0..8).map(|_| ticket_testkit::unique("buyer")).collect();
        let crowd = buyers.iter().map(|buyer| sale.place(buyer, "k", 1).send());
        let answers = futures::future::join_all(crowd).await;
        let refused = answers.into_iter().map(Result::unwrap);
        let refused: Vec<_> = refused.filter(|answer| answer.status() == 429).collect();
        let all_wait = refused
            .iter()
            .all(|answer| answer.headers().contains_key("retry-after"));
        assert!(all_wait);
        refused.len() >= 6
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_can_be_worked_on_is_turned_away_and_the_probes_answer() {
    let sale = open(&[("TICKET_API_IN_FLIGHT_MAX", "1")]).await;
    let buyers: Vec<_> = (0..64).map(|number| format!("buyer-{number}")).collect();
    let crowd = buyers.iter().map(|buyer| {
        let place = sale.place(buyer, "k", 1).header("Prefer", "wait=10").send();
        async move {
            let answer = place.await.unwrap();
            let retry = answer.headers().contains_key("retry-after");
            (
                answer.status().as_u16(),
                retry,
                answer.json::<Value>().await.unwrap(),
            )
        }
    });
    let answers = futures::future::join_all(crowd).await;
    let (taken, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.0 < 300);
    assert!(!taken.is_empty(), "nobody was served");
    assert!(!refused.is_empty(), "nobody was turned away");
    for (status, retry, body) in &refused {
        assert_eq!(
            (*status, *retry, &body["code"]),
            (503, true, &json!("overloaded"))
        );
    }
    // The probes answer all the time, and afterwards there is room again.
    let live = sale.request(Method::GET, "/livez").send().await.unwrap();
    assert_eq!(live.status(), 200);
    json(sale.place("late", "k", 1).send().await.unwrap(), 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_have_a_limit_and_a_closed_one_makes_room() {
    let sale = open(&[
        ("TICKET_API_STREAMS_MAX", "2"),
        ("TICKET_API_BUYER_STREAMS_MAX", "1"),
    ])
    .await;
    let mut paths = Vec::new();
    for buyer in ["ann", "bob", "eve"] {
        let order = sale.awaiting(buyer, "k", 1).await;
        paths.push((
            buyer,
            format!("/v1/orders/{}/events", order["id"].as_str().unwrap()),
        ));
    }
    let listen = |at: usize| {
        let (buyer, path) = &paths[at];
        sale.request(Method::GET, path)
            .bearer_auth(token(buyer))
            .send()
    };
    let first = listen(0).await.unwrap();
    assert_eq!(first.headers()["content-type"], "text/event-stream");
    assert_eq!(
        json(listen(0).await.unwrap(), 429).await["code"],
        "too-many-requests"
    );
    let second = listen(1).await.unwrap();
    assert_eq!(second.status(), 200);
    assert_eq!(
        json(listen(2).await.unwrap(), 503).await["code"],
        "overloaded"
    );
    drop(first);
    sale.until("there is room for a stream", async || {
        listen(2).await.unwrap().status() == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_streams_and_waits_and_the_process() {
    let mut sale = open(&[]).await;
    let order = sale.awaiting("ann", "k", 1).await;
    let path = format!("/v1/orders/{}/events", order["id"].as_str().unwrap());
    let stream = sale.request(Method::GET, &path).bearer_auth(token("ann"));
    let stream = stream.send().await.unwrap();
    let begun = Instant::now();
    let told = tokio::spawn(async move { stream.text().await });
    sale.runtime.stop().await.unwrap();
    // The stream ended in order: the last chunk came.
    let text = told.await.unwrap().unwrap();
    assert!(text.contains(r#""state":"awaiting_payment""#), "{text}");
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    sale.request(Method::GET, "/livez")
        .send()
        .await
        .unwrap_err();
}

/// What a server says to raw bytes, until it closes or `patience` ends.
async fn raw(sale: &Sale, bytes: &[u8], patience: Duration) -> String {
    let address = sale.api.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    drop(tokio::time::timeout(patience, socket.read_to_end(&mut answer)).await);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_a_size_and_a_slow_body_an_end() {
    let sale = open(&[]).await;
    let long = format!(
        "GET /livez HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "x".repeat(64 * 1024)
    );
    let answer = raw(&sale, long.as_bytes(), Duration::from_secs(5)).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = "X: 1\r\n".repeat(200);
    let many = format!("GET /livez HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    let answer = raw(&sale, many.as_bytes(), Duration::from_secs(5)).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");

    let slow = format!(
        "POST /v1/events/{}/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nIdempotency-Key: k\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        sale.name,
        token("ann")
    );
    let answer = raw(&sale, slow.as_bytes(), Duration::from_secs(20)).await;
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("body: not there within"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_may_ask_only_where_that_is_set() {
    let preflight = |sale: &Sale| {
        sale.request(Method::OPTIONS, &format!("/v1/events/{}/orders", sale.name))
            .header("Origin", "https://shop.example")
            .header("Access-Control-Request-Method", "POST")
            .header(
                "Access-Control-Request-Headers",
                "authorization,idempotency-key",
            )
            .send()
    };
    let closed = open(&[]).await;
    let answer = preflight(&closed).await.unwrap();
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    let shop = open(&[("TICKET_API_CORS_ORIGINS", "https://shop.example")]).await;
    let answer = preflight(&shop).await.unwrap();
    assert_eq!(
        answer.headers()["access-control-allow-origin"],
        "https://shop.example"
    );
    let other = shop
        .request(Method::GET, "/v1/events")
        .header("Origin", "https://evil.example");
    let other = other.send().await.unwrap();
    assert!(!other.headers().contains_key("access-control-allow-origin"));
}
