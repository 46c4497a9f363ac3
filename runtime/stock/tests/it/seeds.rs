//! Seeds: fences, staged orders, the limit per buyer across a warm-up.

use ticket_core::{Epoch, ErrorClass};
use ticket_stock::{Reserved, Seed, Seeded, StockError, StoreRecord};
use ticket_testkit::Persistence;

use crate::fixture::{Sale, category, raw, reserved_at, seed_category, shard, vip_seed, wish};

#[tokio::test]
async fn only_a_newer_epoch_seeds_and_a_repeat_changes_nothing() {
    let sale = Sale::new("fence", Persistence::None).await;
    assert_eq!(sale.store.state(sale.event).await.unwrap(), None);
    sale.arm(vip_seed(sale.event, 3, &[(1, 100)])).await;
    assert_eq!(sale.store.state(sale.event).await.unwrap(), Some(Epoch(3)));
    sale.reserve(&wish(1).at(3)).await;
    // The answer got lost and the keeper asks again: what was sold meanwhile stays sold.
    sale.arm(vip_seed(sale.event, 3, &[(1, 100)])).await;
    assert_eq!(sale.counts("vip").await, [(1, 99)]);
    let old = sale
        .store
        .seed(&vip_seed(sale.event, 2, &[(1, 500)]))
        .await
        .unwrap();
    assert_eq!(old, Seeded::Fenced { by: Epoch(3) });
    assert_eq!(sale.counts("vip").await, [(1, 99)]);
    sale.arm(vip_seed(sale.event, 4, &[(1, 70), (2, 0)])).await;
    assert_eq!(sale.counts("vip").await, [(1, 70), (2, 0)]);
    assert_eq!(sale.store.pending_count(sale.event).await.unwrap(), 0);
    assert_eq!(
        sale.store.record(sale.event, wish(1).order).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn one_event_does_not_disturb_another() {
    let sale = Sale::armed("two-events", &[(1, 100)]).await;
    let other = ticket_core::EventId::random();
    sale.arm(vip_seed(other, 9, &[(1, 7)])).await;
    sale.store.close(other, &[category("vip")]).await.unwrap();
    assert_eq!(sale.store.state(other).await.unwrap(), None);
    assert_eq!(sale.store.state(sale.event).await.unwrap(), Some(Epoch(1)));
    assert_eq!(sale.counts("vip").await, [(1, 100)]);
    let mut connection = raw(&sale.server).await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg(format!("*{other}*"))
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!(keys.is_empty(), "{keys:?}");
}

#[tokio::test]
async fn the_limit_per_buyer_and_the_known_orders_are_exact_across_a_warm_up() {
    let sale = Sale::armed("staged", &[(1, 100)]).await;
    let live = wish(1).by("ann|x").units(3);
    let void = StoreRecord {
        voided: true,
        ..wish(2).by("ann|x").units(2).record(1, 1)
    };
    let records = [live.record(1, 1), void];
    for _ in 0..2 {
        // A batch whose answer got lost is sent again.
        assert_eq!(
            sale.store
                .stage(sale.event, Epoch(2), &records)
                .await
                .unwrap(),
            2
        );
    }
    // Nothing shows before the swap.
    assert_eq!(
        sale.store.record(sale.event, live.order).await.unwrap(),
        None
    );
    let seed = Seed {
        max_per_buyer: 4,
        staged: 2,
        ..vip_seed(sale.event, 2, &[(1, 97)])
    };
    sale.arm(seed).await;

    let Reserved::Known(record) = sale.reserve(&live.clone().at(2)).await else {
        panic!("a seeded order is known");
    };
    assert_eq!(
        (record.epoch, record.reserved_at),
        (Epoch(1), reserved_at())
    );
    assert!(!record.pending && !record.voided);
    let Reserved::Known(record) = sale.reserve(&wish(2).at(2)).await else {
        panic!("a seeded tombstone is known");
    };
    assert!(record.voided);
    let of_ann = |number| wish(number).by("ann|x").at(2);
    assert_eq!(
        sale.reserve(&of_ann(3).units(2)).await,
        Reserved::BuyerLimit
    );
    assert_eq!(
        sale.reserve(&of_ann(4)).await,
        Reserved::Fresh { shard: shard(1) }
    );
    assert_eq!(sale.counts("vip").await, [(1, 96)]);

    // What was staged no longer runs out of time.
    let mut connection = raw(&sale.server).await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!(keys.iter().all(|key| !key.ends_with(":next")), "{keys:?}");
    for key in &keys {
        let ttl: i64 = redis::cmd("TTL")
            .arg(key)
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(ttl, -1, "{key}");
    }
}

#[tokio::test]
async fn a_seed_refuses_when_other_orders_are_staged_than_it_counts_on() {
    let sale = Sale::armed("staged-missing", &[(1, 100)]).await;
    let records: Vec<StoreRecord> = (0..600).map(|number| wish(number).record(1, 1)).collect();
    assert_eq!(
        sale.store
            .stage(sale.event, Epoch(2), &records)
            .await
            .unwrap(),
        600
    );
    // A fenced run's orders are not taken for ours.
    assert_eq!(
        sale.store
            .stage(sale.event, Epoch(3), &records[..9])
            .await
            .unwrap(),
        9
    );
    for staged in [0, 599, 601] {
        let seed = Seed {
            staged,
            ..vip_seed(sale.event, 2, &[(1, 1)])
        };
        let error = sale.store.seed(&seed).await.unwrap_err();
        assert!(matches!(error, StockError::StagedOrders { .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Conflict);
        assert_eq!(sale.store.state(sale.event).await.unwrap(), Some(Epoch(1)));
        assert_eq!(sale.counts("vip").await, [(1, 100)]);
    }
    sale.arm(Seed {
        staged: 600,
        ..vip_seed(sale.event, 2, &[(1, 1)])
    })
    .await;
    let known = sale
        .store
        .record(sale.event, wish(599).order)
        .await
        .unwrap();
    assert_eq!(known, Some(wish(599).record(1, 1)));
}

#[tokio::test]
async fn a_seed_that_cannot_be_changes_nothing() {
    let sale = Sale::armed("bad-seed", &[(1, 100)]).await;
    let twice = vec![
        seed_category("vip", &[(1, 5)]),
        seed_category("standing", &[(1, 5)]),
    ];
    let none = vec![seed_category("vip", &[])];
    let negative = vec![seed_category("vip", &[(1, -1)])];
    for categories in [vec![], twice, none, negative] {
        let seed = Seed {
            categories,
            ..vip_seed(sale.event, 2, &[])
        };
        let error = sale.store.seed(&seed).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Permanent, "{seed:?}");
    }
    assert_eq!(sale.store.state(sale.event).await.unwrap(), Some(Epoch(1)));
    assert_eq!(sale.counts("vip").await, [(1, 100)]);
}
