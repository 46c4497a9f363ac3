//! Shorter waits for the copy of a shard to catch up. Citus looks, sleeps for a second and looks again
//! (`WaitForGroupedLogicalRepTargetsToCatchUp` in its `multi_logical_replication.c`), the last time while the shard's writers
//! wait: a copy that was a millisecond behind costs them a second. The sleep ends early when the server process gets a signal,
//! and `NOTIFY` is a harmless one for a process that listens. It does not know what is moved.

use std::convert::Infallible;
use std::time::Duration;

use sqlx::PgConnection;
use tracing::debug;

use crate::connect::Ledger;
use crate::error::{LedgerError, Result};

/// Every mover has a channel of its own, so that nobody but who waits for it wakes it. Nothing is ever said there.
const LISTEN: &str =
    "DO $$ BEGIN EXECUTE format('LISTEN ticket_shard_move_%s', pg_backend_pid()); END $$";

/// Wakes the mover of this process id.
const WAKE: &str = "SELECT pg_notify('ticket_shard_move_' || $1::text, '')";

/// How often Citus is made to look: so long at most a copy that has caught up is waited for in vain. One look is one small
/// question to the target.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// The process of `connection` can be woken from now on. A move must follow in one transaction that ends with
/// [`listen_no_more`]: within it the process wakes and delivers nothing, and after it there is nothing to deliver.
pub(super) async fn listen(connection: &mut PgConnection) -> std::result::Result<(), sqlx::Error> {
    sqlx::raw_sql(LISTEN).execute(connection).await.map(drop)
}

/// From the end of the transaction on.
pub(super) async fn listen_no_more(
    connection: &mut PgConnection,
) -> std::result::Result<(), sqlx::Error> {
    let none = sqlx::raw_sql("UNLISTEN *");
    none.execute(connection).await.map(drop)
}

/// Something in every worker's log: a worker that nobody else writes to tells its followers how far they are only once in ten
/// seconds (`wal_receiver_status_interval`), and a move waits for that with its writers.
const STIR: &str = "SELECT run_command_on_workers(format('SELECT pg_logical_emit_message(true, ''ticket'', %L)', $1::text))";

/// How often something is written: so much longer at most a quiet worker's shard takes.
const STIR_EVERY: Duration = Duration::from_millis(100);

impl Ledger {
    /// Wakes the mover whose process on the server is `pid`, for as long as it is asked to. It may fail: then Citus looks once
    /// a second.
    pub(super) async fn keep_awake(&self, pid: i32) -> Infallible {
        tokio::select! {
            never = self.again_and_again(LOOK_EVERY, WAKE, pid) => never,
            never = self.again_and_again(STIR_EVERY, STIR, pid) => never,
        }
    }

    async fn again_and_again(&self, period: Duration, what: &'static str, pid: i32) -> Infallible {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.tell(what, pid).await {
                debug!(%error, "a move was not woken");
            }
        }
    }

    async fn tell(&self, what: &'static str, pid: i32) -> Result<()> {
        let mut connection = self.acquire().await?;
        let told = sqlx::query(what).bind(pid).execute(&mut *connection).await;
        told.map(drop).map_err(|cause| LedgerError::Write {
            what: "a move's wake-up",
            cause,
        })
    }
}
