//! What operators of the platform see of a sale: metrics, one trace over all that an order meets, and log lines.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use reqwest::Method;
use ticket_bus::{BusConfig, Tail};
use ticket_core::{BuyerId, CategoryName, Epoch, OrderRef};
use ticket_stock::Release;
use tokio::net::TcpListener;

use crate::sale::{Sale, Terms, VIEWER, json};

/// Metrics of CONTRACT section 7 that the runtime has, with their labels. Those of warm-ups come with the first warm-up.
const METRICS: [(&str, &[&str]); 14] = [
    ("ticket_orders_total", &["event", "state"]),
    ("ticket_api_requests_total", &["route", "status"]),
    ("ticket_api_request_seconds_bucket", &["route", "le"]),
    ("ticket_reserve_seconds_bucket", &["le"]),
    ("ticket_batch_orders_bucket", &["le"]),
    ("ticket_ledger_batch_seconds_bucket", &["le"]),
    ("ticket_consumer_lag", &["topic", "partition"]),
    ("ticket_stock", &["event", "category", "kind"]),
    ("ticket_warmup_epoch", &["event"]),
    ("ticket_payments_total", &["provider", "result"]),
    ("ticket_webhooks_total", &["provider", "result"]),
    ("ticket_reconcile_total", &["kind", "result"]),
    ("ticket_reconcile_seconds_bucket", &["kind", "le"]),
    ("ticket_build_info", &["version"]),
];

async fn scrape(sale: &Sale) -> String {
    let url = format!("{}/metrics", sale.metrics);
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

/// The label names of the first sample of a metric.
fn labels_of(text: &str, name: &str) -> Option<BTreeSet<String>> {
    let sample = |line: &&str| line.split(['{', ' ']).next() == Some(name);
    let line = text.lines().find(sample)?;
    let Some((_, rest)) = line.split_once('{') else {
        return Some(BTreeSet::new());
    };
    let labels = rest.rsplit_once('}').unwrap().0.split("\",");
    let name = |label: &str| label.split('=').next().unwrap().to_owned();
    Some(labels.map(name).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_contract_is_there_after_a_sale_with_its_labels() {
    let sale = Sale::open(Terms {
        hold_for_s: 8,
        ..Terms::default()
    })
    .await;
    let order = sale.awaiting("ann", "k", 2).await;
    sale.pay(&order, "pm_card_visa").await;
    // Nobody pays it, so the provider is asked before its hold is over.
    sale.awaiting("bob", "k", 1).await;
    let id = order["id"].as_str().unwrap();
    sale.order_until("ann", id, "paid").await;
    sale.counts_until(98, 0, 2).await;
    sale.until("every metric is there", async || {
        let text = scrape(&sale).await;
        METRICS
            .iter()
            .all(|(name, _)| labels_of(&text, name).is_some())
    })
    .await;
    let text = scrape(&sale).await;
    for (name, labels) in METRICS {
        let wanted = labels.iter().map(|label| (*label).to_owned()).collect();
        assert_eq!(labels_of(&text, name), Some(wanted), "{name}");
    }
    sale.until("the gauges are what the ledger says", async || {
        let text = scrape(&sale).await;
        let stock = |kind: &str, units: u32| {
            let labels = format!("event=\"{}\",category=\"seat\",kind=\"{kind}\"", sale.name);
            text.contains(&format!("ticket_stock{{{labels}}} {units}\n"))
        };
        stock("capacity", 100)
            && stock("available", 98)
            && stock("held", 0)
            && stock("sold", 2)
            && stock("store", 98)
    })
    .await;

    // Redis lies, and the audit counts it.
    let id: OrderRef = id.parse().unwrap();
    let release = Release {
        order: id.order,
        shard: id.shard,
        quantity: 2,
        buyer: BuyerId::new("ann").unwrap(),
        version: i64::from(u32::MAX),
    };
    let seat = CategoryName::new("seat").unwrap();
    sale.stock
        .release(sale.id, &seat, Epoch::FIRST, &[release])
        .await
        .unwrap();
    let audit = format!("/events/{}/audit", sale.name);
    let audit = sale.ask(Method::POST, &audit, VIEWER).send().await.unwrap();
    assert_eq!(json(audit, 200).await["ok"], false);
    let text = scrape(&sale).await;
    assert!(
        text.contains("ticket_audit_failures_total{check=\"store\"} 1"),
        "{text}"
    );
}

/// A collector: what it is sent, in the order in which it comes.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

impl Collector {
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collector, url)
    }

    fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap().clone()
    }
}

async fn take(State(collector): State<Collector>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = request
        .resource_spans
        .into_iter()
        .flat_map(|one| one.scope_spans);
    let spans = scopes.flat_map(|one| one.spans);
    collector.0.lock().unwrap().extend(spans);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_goes_from_the_request_over_kafka_to_ledger_and_payment() {
    let (collector, url) = Collector::start().await;
    let sale = Sale::open(Terms {
        settings: vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(url)),
            // Only what the caller wants to be traced.
            ("TICKET_TRACE_SAMPLE", Some("0".to_owned())),
        ],
        shards: 1,
        ..Terms::default()
    })
    .await;
    sale.awaiting("untraced-buyer", "k", 1).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let place = sale
        .place("traced-buyer", "k", 1)
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    let placed = json(place.send().await.unwrap(), 202).await;
    let id = placed["id"].as_str().unwrap();
    sale.order_until("traced-buyer", id, "awaiting_payment")
        .await;

    sale.until("the whole trace is collected", async || {
        collector.spans().len() >= 4
    })
    .await;
    let spans = collector.spans();
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    let below = |parent: &[u8]| -> &Span {
        let is_below = |span: &&Span| span.parent_span_id == parent;
        spans
            .iter()
            .find(is_below)
            .unwrap_or_else(|| panic!("{names:?}"))
    };
    // Request -> its command decided -> the payment made -> that command decided.
    let request = below(&0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    let reserved = below(&request.span_id);
    let payment = below(&reserved.span_id);
    let ready = below(&payment.span_id);
    let way = [request, reserved, payment, ready].map(|span| span.name.as_str());
    assert_eq!(
        way,
        ["buyer request", "ledger batch", "payment", "ledger batch"]
    );
    for span in &spans {
        let of = u128::from_be_bytes(span.trace_id.as_slice().try_into().unwrap());
        let of = format!("{of:032x}");
        assert_eq!(of, trace, "nothing else is traced: {}", span.name);
        assert!(!format!("{span:?}").contains("-buyer"), "{span:?}");
    }

    // Who is not traced costs no header.
    let bus = BusConfig::new(&sale.brokers, "traces");
    let mut log = Tail::read_all(&bus, &sale.topic).await.unwrap();
    let (mut with, mut without) = (0, 0);
    while let Some(record) = log.next().await {
        match record.unwrap().header("traceparent") {
            Some(value) => {
                with += 1;
                assert!(String::from_utf8_lossy(value).contains(trace));
            }
            None => without += 1,
        }
    }
    assert_eq!((with, without), (2, 2), "place and payment-ready of each");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_json_have_the_trace_of_their_request_and_name_no_buyer() {
    let sale = Sale::open(Terms {
        own_redis: true,
        settings: vec![("TICKET_LOG", Some("debug".to_owned()))],
        ..Terms::default()
    })
    .await;
    let mut sale = sale;
    let order = sale.awaiting("person-with-a-name", "k", 1).await;
    sale.pay(&order, "pm_card_visa").await;
    let id = order["id"].as_str().unwrap();
    sale.order_until("person-with-a-name", id, "paid").await;
    sale.redis.as_mut().unwrap().kill().await.unwrap();
    // A problem has the id of its trace, and the log has lines with the same id.
    let trace = "11f7651916cd43dd8448eb211c80319c";
    let place = sale
        .place("person-with-a-name", "another", 1)
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-00"));
    let problem = json(place.send().await.unwrap(), 503).await;
    assert_eq!(problem["trace_id"], trace);
    let fresh = sale.place("person-with-a-name", "more", 1).send().await;
    let fresh = json(fresh.unwrap(), 503).await;
    let fresh = fresh["trace_id"].as_str().unwrap();

    let text = std::fs::read_to_string(&sale.log).unwrap();
    assert!(
        !text.contains("person-with-a-name"),
        "a buyer's id is in the log"
    );
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    for id in [trace, fresh] {
        let of = |line: &&serde_json::Value| line["trace_id"] == id;
        assert!(
            lines
                .iter()
                .any(|line| of(&line) && line["message"] == "not reserved"),
            "{id}"
        );
    }
}
