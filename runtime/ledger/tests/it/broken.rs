//! Connections that break and servers that are not there.

use std::time::Duration;

use secrecy::SecretString;
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use ticket_core::{ErrorClass, StockShardId};
use ticket_ledger::{Ledger, LedgerConfig};

use crate::fixture::{TestLedger, batch, connect_as, on_both, place, second};

on_both!(alone:
    a_call_whose_connection_was_cut_is_applied_once_when_it_is_repeated,
    a_statement_that_is_broken_off_is_ambiguous,
);

/// Cuts at different moments of a call; a call of 300 places takes a few milliseconds.
const CUTS: u32 = 25;
const CUT_STEP: Duration = Duration::from_micros(400);

async fn a_call_whose_connection_was_cut_is_applied_once_when_it_is_repeated(db: TestLedger) {
    let (event, shard) = db.shard(100_000).await;
    let victim = connect_as(&db.url, "victim");
    let (mut sql, mut other) = (db.sql().await, db.sql().await);
    let mut cut_calls = 0;
    for cut in 0..CUTS {
        let places: Vec<_> = (0..300)
            .map(|number| place(shard, u128::from(cut) * 1_000 + number, 1))
            .collect();
        let batch = batch(shard, places, vec![]);
        // A connection, so that the cut meets the call and not its making. One that was cut before says so now.
        for _ in 0..5 {
            if victim.ping().await.is_ok() {
                break;
            }
        }
        let apply = || {
            let (victim, batch) = (victim.clone(), batch.clone());
            tokio::spawn(async move { victim.apply(&batch).await })
        };
        let call = if cut == 0 {
            // This one cannot end before it is cut, however fast the machine is.
            let holder = hold(&mut other, shard).await;
            let call = apply();
            while !call.is_finished() {
                end_sessions(&mut sql).await;
            }
            holder.rollback().await.unwrap();
            call
        } else {
            let call = apply();
            tokio::time::sleep(CUT_STEP * cut).await;
            end_sessions(&mut sql).await;
            call
        };
        if let Err(error) = call.await.unwrap() {
            cut_calls += 1;
            let class = error.class();
            assert!(
                matches!(class, ErrorClass::Retry | ErrorClass::Ambiguous),
                "{class:?} {error:?}"
            );
        }
        // What a processor does with either class, without waiting in between.
        let mut applied = victim.apply(&batch).await;
        for _ in 0..5 {
            if applied.is_err() {
                applied = victim.apply(&batch).await;
            }
        }
        assert_eq!(applied.unwrap().stock.held, i64::from(cut + 1) * 300);
    }
    assert!(cut_calls > 0, "no call was cut: the test shows nothing");
    let view = db.ledger.audit_view(event, second(0)).await.unwrap();
    assert!(view.shards[0].adds_up(), "{view:?}");
}

/// Keeps the row of the stock shard: nothing is applied to it meanwhile.
async fn hold(sql: &mut PgConnection, shard: StockShardId) -> Transaction<'_, Postgres> {
    let mut holder = sql.begin().await.unwrap();
    sqlx::query("UPDATE stock_shards SET version = version WHERE stock_shard_id = $1")
        .bind(shard.get())
        .execute(&mut *holder)
        .await
        .unwrap();
    holder
}

/// Ends the victim's sessions, on Citus those with workers, too: its calls go there directly.
async fn end_sessions(sql: &mut PgConnection) {
    const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                       WHERE application_name = 'victim'";
    sqlx::query(CUT).execute(&mut *sql).await.unwrap();
    let is_citus: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')")
            .fetch_one(&mut *sql)
            .await
            .unwrap();
    if is_citus {
        sqlx::query("SELECT run_command_on_workers($1)")
            .bind(CUT)
            .execute(&mut *sql)
            .await
            .unwrap();
    }
}

async fn a_statement_that_is_broken_off_is_ambiguous(db: TestLedger) {
    let (event, shard) = db.shard(10).await;
    let mut sql = db.sql().await;
    // For longer than a statement may take.
    let holder = hold(&mut sql, shard).await;
    let config = LedgerConfig {
        statement_timeout: Duration::from_millis(300),
        ..LedgerConfig::new(&SecretString::from(db.url.as_str()))
    };
    let hurried = Ledger::connect(&config).unwrap();
    let batch = batch(shard, vec![place(shard, 1, 1)], vec![]);
    let error = hurried.apply(&batch).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Ambiguous, "{error:?}");
    holder.rollback().await.unwrap();
    assert_eq!(hurried.apply(&batch).await.unwrap().stock.held, 1);
    assert!(db.ledger.audit_view(event, second(0)).await.unwrap().shards[0].adds_up());
}

#[tokio::test]
async fn a_server_that_is_down_is_no_error_until_it_is_needed() {
    // Port 9 (discard) on loopback: nobody listens.
    let url = SecretString::from("postgres://ticket@127.0.0.1:9/ticket");
    let config = LedgerConfig {
        acquire_timeout: Duration::from_millis(300),
        ..LedgerConfig::new(&url)
    };
    let ledger = Ledger::connect(&config).unwrap();
    let error = ledger.ping().await.unwrap_err();
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Retry, "ledger-unreachable")
    );
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_once() {
    let error = Ledger::connect(&LedgerConfig::new(&SecretString::from("redis://x"))).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Permanent);
}
