//! What was told of a category: the newest state stays, whoever writes when.

use ticket_core::StockCounts;
use ticket_ledger::{FeedShard, StockFeed};

use crate::fixture::{TestLedger, on_both, vip};

on_both!(a_newer_state_replaces_an_older_one_and_never_the_other_way_round);

async fn a_newer_state_replaces_an_older_one_and_never_the_other_way_round(db: TestLedger) {
    let (event, shard) = db.shard(10).await;
    let other = db.more_stock(event, 5).await;
    let feed = |sequence, versions: [i64; 2]| {
        let shards = [shard, other].into_iter().zip(versions);
        let shards = shards.map(|(id, version)| FeedShard {
            id,
            version,
            counts: StockCounts {
                capacity: 10,
                available: 10 - version,
                held: 0,
                sold: version,
            },
        });
        StockFeed {
            sequence,
            shards: shards.collect(),
        }
    };
    let known = async || db.ledger.stock_feed(event, &vip()).await.unwrap();
    assert_eq!(known().await, None);
    for (feed, expected) in [
        (feed(3, [2, 1]), feed(3, [2, 1])),
        (feed(2, [2, 0]), feed(3, [2, 1])),
        (feed(3, [2, 2]), feed(3, [2, 2])),
        (feed(9, [1, 3]), feed(3, [2, 2])),
    ] {
        db.ledger
            .note_stock_feed(event, &vip(), &feed)
            .await
            .unwrap();
        assert_eq!(known().await, Some(expected));
    }

    // It goes with its event, and nobody can note anything of one that is gone.
    db.ledger.delete_event(event, "uid-1").await.unwrap();
    db.ledger
        .note_stock_feed(event, &vip(), &feed(9, [9, 9]))
        .await
        .unwrap();
    assert_eq!(known().await, None);
}
