//! Migrations: any number of processes at any time.

use crate::fixture::{Kind, TestLedger, connect, new_database, on_both};

on_both!(alone:
    a_migration_again_does_nothing,
    a_newer_schema_is_left_alone,
    a_lost_function_comes_back
);

#[tokio::test]
async fn processes_that_migrate_at_once_do_it_once() {
    for kind in [Kind::Plain, Kind::Citus] {
        let Some(url) = new_database(kind).await else {
            continue;
        };
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let ledger = connect(&url);
            tasks.spawn(async move { ledger.migrate().await.unwrap() });
        }
        let done = tasks.join_all().await;
        let citus = matches!(kind, Kind::Citus);
        assert!(
            done.iter()
                .all(|migrated| migrated.citus == citus && !migrated.is_ahead)
        );
        assert_eq!(connect(&url).is_distributed().await.unwrap(), citus);
    }
}

async fn a_migration_again_does_nothing(db: TestLedger) {
    let installed = || async {
        sqlx::query_scalar::<_, i64>(
            "SELECT sum(xmin::text::bigint)::bigint FROM pg_proc \
             WHERE proname IN ('apply_batch', 'order_next')",
        )
        .fetch_one(&mut db.sql().await)
        .await
        .unwrap()
    };
    let before = installed().await;
    db.ledger.migrate().await.unwrap();
    assert_eq!(installed().await, before);
}

async fn a_newer_schema_is_left_alone(db: TestLedger) {
    let mut sql = db.sql().await;
    sqlx::raw_sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'of a later release', true, '\\x00', 0); \
         UPDATE installed_functions SET definition = 'of a later release'",
    )
    .execute(&mut sql)
    .await
    .unwrap();
    assert!(db.ledger.migrate().await.unwrap().is_ahead);
    let touched: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM installed_functions WHERE definition <> 'of a later release'",
    )
    .fetch_one(&mut sql)
    .await
    .unwrap();
    assert_eq!(touched, 0);
}

async fn a_lost_function_comes_back(db: TestLedger) {
    let (_, shard) = db.shard(3).await;
    let mut sql = db.sql().await;
    // As after a crash between the function and its note, or a change of its text in a new release.
    sqlx::raw_sql("DELETE FROM installed_functions")
        .execute(&mut sql)
        .await
        .unwrap();
    db.ledger.migrate().await.unwrap();
    let batch = crate::fixture::batch(shard, vec![crate::fixture::place(shard, 1, 1)], vec![]);
    assert_eq!(db.ledger.apply(&batch).await.unwrap().stock.held, 1);
    if db.ledger.is_distributed().await.unwrap() {
        let delegated: bool = sqlx::query_scalar(
            "SELECT distribution_argument_index = 0 FROM pg_catalog.pg_dist_object \
             WHERE objid = 'apply_batch'::regproc",
        )
        .fetch_one(&mut sql)
        .await
        .unwrap();
        assert!(delegated, "the function runs on the coordinator");
    }
}
