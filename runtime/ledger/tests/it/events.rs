//! Event rows: what the operator writes is what every service reads.

use ticket_core::{CategoryName, Currency, Money};
use ticket_ledger::CategoryRow;

use crate::fixture::{TestLedger, claim, event_name, on_both, second};

on_both!(alone:
    a_row_reads_back_as_it_was_written,
    writing_the_same_again_changes_nothing,
    an_event_is_seen_only_once_it_was_written,
    changes_become_visible_in_their_order,
    a_category_goes_unless_it_has_stock,
);

async fn a_row_reads_back_as_it_was_written(db: TestLedger) {
    let mut row = db.event("sale").await;
    "Coldplay, Jakarta".clone_into(&mut row.title);
    row.opens_at = second(17);
    row.paused = true;
    row.is_open = true;
    row.max_per_buyer = 7;
    row.admission_per_second = 5_000;
    let standing = CategoryName::new("standing").unwrap();
    let price = Money {
        currency: Currency::new("EUR").unwrap(),
        amount_minor: 9_900,
    };
    // Before `vip`, although it sorts after it: the resource's order counts.
    row.categories.insert(
        0,
        CategoryRow {
            name: standing,
            price,
            quantity: 10_000_000,
        },
    );
    assert!(db.ledger.write_event(&row).await.unwrap());
    let mut read = db.ledger.event(row.id).await.unwrap().unwrap();
    assert!(read.change > 0);
    read.change = row.change;
    assert_eq!(read, row);
    let by_name = db.ledger.event_by_name(&row.name).await.unwrap().unwrap();
    assert_eq!(by_name.id, row.id);
    assert!(
        db.ledger
            .event_by_name(&event_name("other"))
            .await
            .unwrap()
            .is_none()
    );
}

async fn writing_the_same_again_changes_nothing(db: TestLedger) {
    let row = db.event("sale").await;
    let before = db.ledger.event(row.id).await.unwrap();
    assert!(!db.ledger.write_event(&row).await.unwrap());
    assert_eq!(db.ledger.event(row.id).await.unwrap(), before);
}

async fn an_event_is_seen_only_once_it_was_written(db: TestLedger) {
    db.ledger
        .adopt_event(&claim("sale", "uid-1", 1))
        .await
        .unwrap();
    assert!(db.ledger.events().await.unwrap().is_empty());
    assert_eq!(db.ledger.newest_change().await.unwrap(), (0, 0));
    db.event("sale").await;
    let (newest, count) = db.ledger.newest_change().await.unwrap();
    assert!(newest > 0 && count == 1);
    assert_eq!(db.ledger.events().await.unwrap().len(), 1);
}

async fn changes_become_visible_in_their_order(db: TestLedger) {
    let mut rows = Vec::new();
    for number in 0..4 {
        rows.push(db.event(&format!("sale-{number}")).await);
    }
    // Writers at once, and a reader that only ever asks for what is newer than what it has seen.
    let mut writers = tokio::task::JoinSet::new();
    for mut row in rows {
        let ledger = db.ledger.clone();
        writers.spawn(async move {
            for round in 0..10 {
                row.title = format!("round {round}");
                assert!(ledger.write_event(&row).await.unwrap());
            }
        });
    }
    let mut titles = std::collections::HashMap::new();
    let mut change = 0;
    while !writers.is_empty() {
        tokio::select! {
            Some(done) = writers.join_next() => done.unwrap(),
            read = db.ledger.events_changed_since(change) => {
                for row in read.unwrap() {
                    change = change.max(row.change);
                    titles.insert(row.name, row.title);
                }
            }
        }
    }
    for row in db.ledger.events_changed_since(change).await.unwrap() {
        titles.insert(row.name, row.title);
    }
    assert_eq!(titles.len(), 4);
    assert!(
        titles.values().all(|title| title == "round 9"),
        "{titles:?}"
    );
}

async fn a_category_goes_unless_it_has_stock(db: TestLedger) {
    let mut row = db.event("sale").await;
    let extra = CategoryRow {
        name: CategoryName::new("b").unwrap(),
        ..row.categories[0].clone()
    };
    row.categories.push(extra);
    db.ledger.write_event(&row).await.unwrap();
    db.more_stock(row.id, 5).await;
    row.categories.clear();
    db.ledger.write_event(&row).await.unwrap();
    let left = db.ledger.event(row.id).await.unwrap().unwrap();
    let names: Vec<_> = left
        .categories
        .iter()
        .map(|category| category.name.as_str())
        .collect();
    assert_eq!(names, ["vip"]);
    assert_eq!(left.shards.len(), 1);
}
