//! The audit goes round by itself, and what it found can be read.

use std::time::Duration;

use crate::sale::{Sale, Terms};

/// As often as it may be.
const EVERY_S: &str = "1";

/// A difference between store and ledger is looked at again and again before it counts, and audits rest ten times as long as
/// they take.
const FOUND_WITHIN: Duration = Duration::from_mins(1);

async fn failed(sale: &Sale) -> Option<Vec<String>> {
    let last = sale.ledger.last_audit(sale.id).await.unwrap();
    last.map(|last| last.failed_checks)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_goes_round_by_itself_and_what_does_not_hold_is_named() {
    let sale = Sale::open(Terms {
        settings: vec![("TICKET_AUDIT_EVERY_S", Some(EVERY_S.to_owned()))],
        ..Terms::default()
    })
    .await;
    sale.awaiting("ann", "k", 2).await;
    sale.until("it was audited, and all is well", async || {
        failed(&sale).await.is_some_and(|failed| failed.is_empty())
    })
    .await;
    sale.meddle("UPDATE stock_shards SET held = held + 1, available = available - 1")
        .await;
    sale.within(FOUND_WITHIN, "the difference is found", async || {
        let failed = failed(&sale).await.unwrap();
        failed.starts_with(&["conservation".to_owned()])
    })
    .await;
    let metrics = format!("{}/metrics", sale.metrics);
    let metrics = reqwest::get(metrics).await.unwrap().text().await.unwrap();
    let counted = "ticket_audit_failures_total{check=\"conservation\"} ";
    assert!(metrics.contains(counted), "{metrics}");
}
