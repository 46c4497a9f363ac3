//! Whose event it is.

use ticket_core::{ErrorClass, EventId};
use ticket_ledger::{Adopted, EventClaim, LedgerError};

use crate::fixture::{TestLedger, batch, claim, event_row, on_both, place, states};

on_both!(alone:
    the_oldest_owner_wins,
    an_event_that_was_given_up_is_adopted_with_its_orders,
    a_deleted_event_starts_anew,
    two_claims_of_a_new_name_make_one_event,
);

fn owned(adopted: Adopted) -> (EventId, bool) {
    match adopted {
        Adopted::Owned { event, fresh } => (event, fresh),
        Adopted::Conflict { owner } => panic!("{owner} has it"),
    }
}

async fn the_oldest_owner_wins(db: TestLedger) {
    let adopt = |uid: &'static str, age| {
        let claim = claim("sale", uid, age);
        let ledger = db.ledger.clone();
        async move { ledger.adopt_event(&claim).await.unwrap() }
    };
    let (event, fresh) = owned(adopt("middle", 10).await);
    assert!(fresh);
    assert_eq!(
        adopt("middle", 10).await,
        Adopted::Owned {
            event,
            fresh: false
        }
    );
    let keeps = Adopted::Conflict {
        owner: "middle".to_owned(),
    };
    assert_eq!(adopt("young", 11).await, keeps);
    // Of the same age: the uid decides, the same way for ever.
    assert_eq!(adopt("z-later-uid", 10).await, keeps);
    assert_eq!(
        adopt("old", 9).await,
        Adopted::Owned {
            event,
            fresh: false
        }
    );
    assert_eq!(
        adopt("middle", 10).await,
        Adopted::Conflict {
            owner: "old".to_owned()
        }
    );
    // Who lost it cannot write, delete or release it.
    let mut row = event_row(event, &claim("sale", "x", 0).name);
    row.owner_uid = Some("middle".to_owned());
    let error = db.ledger.write_event(&row).await.unwrap_err();
    assert!(
        matches!(&error, LedgerError::NotOwner { owner, .. } if owner == "old"),
        "{error:?}"
    );
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Conflict, "resource-conflict")
    );
    assert!(db.ledger.delete_event(event, "middle").await.is_err());
    db.ledger.release_event(event, "middle").await.unwrap();
    assert_eq!(
        adopt("young", 11).await,
        Adopted::Conflict {
            owner: "old".to_owned()
        }
    );
}

async fn an_event_that_was_given_up_is_adopted_with_its_orders(db: TestLedger) {
    let (event, shard) = db.shard(10).await;
    db.ledger
        .apply(&batch(shard, vec![place(shard, 1, 2)], vec![]))
        .await
        .unwrap();
    let before = db.ledger.event(event).await.unwrap().unwrap();
    db.ledger.release_event(event, "uid-1").await.unwrap();
    let released = db.ledger.event(event).await.unwrap().unwrap();
    assert!(released.is_closed && !released.is_open && released.owner_uid.is_none());
    assert!(released.change > before.change);
    let again = db
        .ledger
        .adopt_event(&EventClaim {
            name: before.name,
            ..claim("sale", "uid-2", 99)
        })
        .await
        .unwrap();
    assert_eq!(
        again,
        Adopted::Owned {
            event,
            fresh: false
        }
    );
    assert_eq!(states(&db.ledger, event).await.len(), 1);
    assert_eq!(db.ledger.stock(event).await.unwrap()[0].counts.held, 2);
}

async fn a_deleted_event_starts_anew(db: TestLedger) {
    let (event, shard) = db.shard(10).await;
    db.ledger
        .apply(&batch(shard, vec![place(shard, 1, 2)], vec![]))
        .await
        .unwrap();
    let known = db.ledger.event(event).await.unwrap().unwrap();
    let newest = db.ledger.newest_change().await.unwrap();
    assert_eq!(newest, (known.change, 1));
    db.ledger.delete_event(event, "uid-1").await.unwrap();
    db.ledger.delete_event(event, "uid-1").await.unwrap();
    assert_eq!(db.ledger.newest_change().await.unwrap().1, 0);
    assert!(db.ledger.event(event).await.unwrap().is_none());
    let gone = db
        .ledger
        .apply(&batch(shard, vec![place(shard, 2, 1)], vec![]))
        .await
        .unwrap_err();
    assert!(matches!(gone, LedgerError::UnknownShard { .. }), "{gone:?}");
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM orders")
        .fetch_one(&mut db.sql().await)
        .await
        .unwrap();
    assert_eq!(left, 0);
    let (anew, fresh) = owned(
        db.ledger
            .adopt_event(&claim("sale", "uid-1", 1))
            .await
            .unwrap(),
    );
    assert!(fresh && anew != event);
}

async fn two_claims_of_a_new_name_make_one_event(db: TestLedger) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let ledger = db.ledger.clone();
        tasks.spawn(async move {
            ledger
                .adopt_event(&claim("sale", "uid-1", 1))
                .await
                .unwrap()
        });
    }
    let events: Vec<_> = tasks.join_all().await.into_iter().map(owned).collect();
    assert!(events.iter().all(|(event, _)| *event == events[0].0));
    assert_eq!(events.iter().filter(|(_, fresh)| *fresh).count(), 1);
}
