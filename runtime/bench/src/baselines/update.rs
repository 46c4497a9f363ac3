//! One row that everybody changes: what stock in a table does without orders, log or batches.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;

use super::Done;
use crate::ledger::rig::Rig;

/// Clients at the same time.
pub(super) const CLIENTS: u32 = 8;

/// Tickets there are: more than any round takes.
const UNITS: i64 = 1_000_000_000;

/// A table with one row, in a database of its own.
pub(super) struct Row {
    pool: PgPool,
}

impl Row {
    pub(super) async fn prepare(rig: &Rig) -> anyhow::Result<Self> {
        let failed = "no row to update";
        let url = rig.empty_database("update").await?;
        let pool = PgPoolOptions::new()
            .max_connections(CLIENTS)
            .min_connections(CLIENTS)
            .connect(&url)
            .await
            .context(failed)?;
        let table = "CREATE TABLE stock (id bigint PRIMARY KEY, available bigint NOT NULL CHECK (available >= 0))";
        sqlx::query(table).execute(&pool).await.context(failed)?;
        sqlx::query("INSERT INTO stock VALUES (1, $1)")
            .bind(UNITS)
            .execute(&pool)
            .await
            .context(failed)?;
        Ok(Self { pool })
    }

    /// Updates for as long as it `lasts`; afterwards the row must have lost as many tickets as there were updates.
    pub(super) async fn round(&self, lasts: Duration) -> anyhow::Result<Done> {
        let before = self.available().await?;
        let started = Instant::now();
        let until = started + lasts;
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(take(self.pool.clone(), until));
        }
        let mut times = 0;
        while let Some(taken) = clients.join_next().await {
            times += taken.context("a client of the row ended")??;
        }
        let took = started.elapsed();
        let gone = u64::try_from(before - self.available().await?)?;
        anyhow::ensure!(gone == times, "{times} updates took {gone} tickets");
        Ok(Done { times, took })
    }

    async fn available(&self) -> anyhow::Result<i64> {
        sqlx::query_scalar("SELECT available FROM stock WHERE id = 1")
            .fetch_one(&self.pool)
            .await
            .context("could not read the row")
    }
}

async fn take(pool: PgPool, until: Instant) -> anyhow::Result<u64> {
    let mut connection = pool.acquire().await.context("no connection to the row")?;
    let mut taken = 0;
    while Instant::now() < until {
        let update = "UPDATE stock SET available = available - 1 WHERE id = 1 AND available >= 1";
        let done = sqlx::query(update)
            .execute(&mut *connection)
            .await
            .context("could not update the row")?;
        taken += done.rows_affected();
    }
    Ok(taken)
}
