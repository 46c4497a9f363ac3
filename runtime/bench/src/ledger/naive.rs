//! What one writes without this platform: one transaction per order, against one row of stock. The same server, the same
//! durability, in the same run.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgPool};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::NAIVE;
use super::rig::Rig;
use crate::say;
use crate::stats::Spread;
use crate::suite::measure::{Board, Measure};
use crate::suite::plan::Plan;
use crate::suite::section::{Section, Table};

/// Clients at the same time.
const CLIENTS: u32 = 8;

/// Tickets there are: more than any round sells.
const UNITS: i64 = 1_000_000_000;

/// Tables of the baseline, once they are made, and what it reached.
pub(super) struct Naive {
    /// How long a round is.
    lasts: Duration,
    pool: Option<PgPool>,
    rates: Vec<f64>,
}

impl Naive {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            lasts: plan.seconds(5, 3),
            pool: None,
            rates: Vec::new(),
        }
    }
}

impl Measure for Naive {
    fn name(&self) -> &'static str {
        "naive order transaction"
    }

    fn takes(&self) -> Duration {
        self.lasts
    }

    fn prepare<'a>(&'a mut self, rig: &'a Rig) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        async {
            let pool = tables(rig).await?;
            // Connections, caches and the first pages of the log: not measured.
            sell_for(&pool, self.lasts / 2).await?;
            self.pool = Some(pool);
            Ok(())
        }
        .boxed_local()
    }

    fn round<'a>(
        &'a mut self,
        _rig: &'a Rig,
        board: &'a mut Board,
    ) -> LocalBoxFuture<'a, anyhow::Result<()>> {
        async {
            let pool = self.pool.as_ref().context("the baseline has no tables")?;
            let rate = sell_for(pool, self.lasts).await?;
            say::progress(&format!("naive order transaction: {rate:.0}/s"));
            board.note(NAIVE, rate);
            self.rates.push(rate);
            Ok(())
        }
        .boxed_local()
    }

    fn section(&self, _board: &Board) -> Section {
        let mut table = Table::new(["baseline", "per second"]);
        table.row([
            format!("naive order transaction: {CLIENTS} clients, `BEGIN; UPDATE one row; INSERT; COMMIT`"),
            Spread::of(self.rates.clone()).to_string(),
        ]);
        Section {
            title: "Naive order transaction".to_owned(),
            intro: vec![
                "What one writes without this platform: one transaction per order against one row of stock, on the same \
                 server with the same durability."
                    .to_owned(),
            ],
            tables: vec![table],
            ..Section::default()
        }
    }

    fn results(&self, _board: &Board) -> serde_json::Value {
        serde_json::json!({ "clients": CLIENTS, "transactions_per_s": Spread::of(self.rates.clone()) })
    }
}

async fn tables(rig: &Rig) -> anyhow::Result<PgPool> {
    let url = rig.empty_database("naive").await?;
    let pool = PgPoolOptions::new()
        .max_connections(CLIENTS)
        .min_connections(CLIENTS)
        .connect(&url)
        .await
        .context("the baseline has no database")?;
    for statement in [
        "CREATE TABLE stock (id bigint PRIMARY KEY, available bigint NOT NULL CHECK (available >= 0))",
        "CREATE TABLE orders (id uuid PRIMARY KEY, stock_id bigint NOT NULL, buyer text NOT NULL, \
         quantity int NOT NULL, created_at timestamptz NOT NULL DEFAULT now())",
    ] {
        sqlx::query(statement)
            .execute(&pool)
            .await
            .context("no tables for the baseline")?;
    }
    sqlx::query("INSERT INTO stock VALUES (1, $1)")
        .bind(UNITS)
        .execute(&pool)
        .await
        .context("no stock for the baseline")?;
    Ok(pool)
}

/// Transactions per second over `lasts`; afterwards rows and stock must agree.
async fn sell_for(pool: &PgPool, lasts: Duration) -> anyhow::Result<f64> {
    let started = Instant::now();
    let until = started + lasts;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(sell(pool.clone(), client, until));
    }
    let mut sold = 0_u32;
    while let Some(done) = clients.join_next().await {
        sold += done.context("a client of the baseline ended")??;
    }
    let took = started.elapsed().as_secs_f64();
    let (rows, left): (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM orders), available FROM stock WHERE id = 1")
            .fetch_one(pool)
            .await
            .context("could not count the baseline's rows")?;
    anyhow::ensure!(
        rows == UNITS - left,
        "the baseline has {rows} rows, {left} tickets left"
    );
    Ok(f64::from(sold) / took)
}

async fn sell(pool: PgPool, client: u32, until: Instant) -> anyhow::Result<u32> {
    let mut connection = pool
        .acquire()
        .await
        .context("no connection for the baseline")?;
    let buyer = format!("buyer-{client}");
    let mut sold = 0;
    while Instant::now() < until {
        let order = async {
            let mut transaction = connection.begin().await?;
            sqlx::query(
                "UPDATE stock SET available = available - 1 WHERE id = 1 AND available >= 1",
            )
            .execute(&mut *transaction)
            .await?;
            sqlx::query("INSERT INTO orders (id, stock_id, buyer, quantity) VALUES ($1, 1, $2, 1)")
                .bind(Uuid::new_v4())
                .bind(&buyer)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await
        };
        order.await.context("the baseline's transaction failed")?;
        sold += 1;
    }
    Ok(sold)
}
