//! How many payments a second the sandbox holds: each is made by the real client over loopback and confirmed as a browser
//! does it, and its webhook is delivered to a receiver that checks nothing. One core is 2,000 payments/s if a payment
//! costs at most 500 us here, where client and receiver are on the same core as the sandbox.

#![expect(clippy::unwrap_used, reason = "benchmarks")]

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::stream::{self, StreamExt};
use secrecy::SecretString;
use ticket_core::{BuyerId, Currency, Money, OrderId, OrderRef, StockShardId};
use ticket_payments::sandbox::{Sandbox, SandboxConfig};
use ticket_payments::{NewPayment, Provider, StripeClient, StripeConfig};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Payments on their way at once.
const AT_ONCE: usize = 32;

fn wish() -> NewPayment {
    NewPayment {
        order: OrderRef {
            order: OrderId(Uuid::new_v4()),
            shard: StockShardId::new(42).unwrap(),
        },
        amount: Money {
            currency: Currency::new("IDR").unwrap(),
            amount_minor: 1_200,
        },
        event: "default.coldplay".parse().unwrap(),
        buyer: BuyerId::new("auth0|ada").unwrap(),
    }
}

async fn pay(client: &StripeClient, browser: &reqwest::Client, url: &str) {
    let made = client.create(&wish()).await.unwrap();
    let secret = made.client_secret.unwrap();
    let form = [
        ("client_secret", secret.as_str()),
        ("payment_method", "pm_card_visa"),
    ];
    let confirm = format!("{url}/v1/payment_intents/{}/confirm", made.id);
    let answer = browser.post(confirm).form(&form).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    answer.bytes().await.unwrap();
}

/// Everything on one thread, so that the figure is about one core.
fn payments(criterion: &mut Criterion) {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let stop = CancellationToken::new();
    let (client, browser, url) = runtime.block_on(async {
        let receiver = Router::new().route("/hook", post(|| async {}));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let webhook_url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, receiver).await });
        let config = SandboxConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            webhook_url,
            webhook_secret: SecretString::from("whsec_bench"),
        };
        let sandbox = Sandbox::bind(config, stop.clone()).await.unwrap();
        let url = format!("http://{}", sandbox.address());
        tokio::spawn(sandbox.run());
        let client = StripeClient::new(StripeConfig {
            payments_per_second: NonZeroU32::MAX,
            ..StripeConfig::new(&url)
        });
        (client.unwrap(), reqwest::Client::new(), url)
    });
    let mut group = criterion.benchmark_group("sandbox");
    group.throughput(Throughput::Elements(1));
    group.measurement_time(Duration::from_secs(10));
    group.bench_function("a payment made, confirmed and told", |bencher| {
        bencher.iter_custom(|payments| {
            let begun = Instant::now();
            runtime.block_on(async {
                let all = stream::iter(0..payments).map(|_| pay(&client, &browser, &url));
                all.buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
            });
            begun.elapsed()
        });
    });
    group.finish();
    stop.cancel();
}

criterion_group!(benches, payments);
criterion_main!(benches);
