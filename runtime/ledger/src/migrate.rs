//! Brings the schema up to date: tables by numbered migrations, functions by their text, and on Citus the distribution
//! of both. Every step is idempotent, and one process does it at a time; a crash at any line leaves steps for the next
//! process to do.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, PgConnection};
use tracing::{info, warn};

use crate::connect::{self, Ledger};
use crate::error::{LedgerError, Result};

static TABLES: Migrator = sqlx::migrate!("./migrations");

/// A function of ours: replaced when its text changes. A change of its arguments is a new function beside the old one,
/// so that processes of both versions work during a rolling upgrade; a later migration drops the old one.
struct Function {
    /// As `regprocedure` understands it.
    signature: &'static str,
    definition: &'static str,
    /// Citus runs it on the node that holds this argument's rows.
    delegated_by: Option<&'static str>,
}

const FUNCTIONS: [Function; 6] = [
    Function {
        signature: "order_next(smallint,smallint)",
        definition: include_str!("../functions/order_next.sql"),
        delegated_by: None,
    },
    Function {
        signature: "orders_shard(bigint)",
        definition: include_str!("../functions/orders_shard.sql"),
        delegated_by: None,
    },
    Function {
        signature: "apply_batch(bigint,timestamptz,uuid[],bigint[],text[],integer[],bigint[],timestamptz[],\
                    uuid[],smallint[],smallint[],timestamptz[],timestamptz[],smallint[],text[],text[],text[],\
                    text[],integer[])",
        definition: include_str!("../functions/apply_batch.sql"),
        delegated_by: Some("p_id"),
    },
    Function {
        signature: "adjust_stock(bigint,bigint,bigint)",
        definition: include_str!("../functions/adjust_stock.sql"),
        delegated_by: Some("p_id"),
    },
    Function {
        signature: "mark_stock(bigint,bigint)",
        definition: include_str!("../functions/mark_stock.sql"),
        delegated_by: Some("p_id"),
    },
    Function {
        signature: "lock_warmup(uuid,bigint,smallint,text,text,interval,bigint)",
        definition: include_str!("../functions/lock_warmup.sql"),
        delegated_by: None,
    },
];

/// Advisory lock of migrations in this database; nobody else uses this number.
const MIGRATION_LOCK: i64 = 0x7469_636b_6574;

/// Hash ranges of the distributed tables. Citus' own default, written out because it cannot be changed in place; hot
/// events get shards of their own by splits.
const CITUS_SHARDS: i32 = 32;

/// What a migration found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The tables are distributed over a Citus cluster.
    pub citus: bool,
    /// The database is newer than this program, which therefore changed nothing: another release is being rolled out.
    pub is_ahead: bool,
}

impl Ledger {
    /// Makes or updates tables and functions. Safe to call at any time, by any number of processes.
    pub async fn migrate(&self) -> Result<Migrated> {
        // A connection of its own: the lock is gone with it, whatever happens here.
        let mut connection = self.own_connection().await?;
        let done = locked(&mut connection).await;
        // The work is committed or not by now; a connection that does not close well changes nothing about it.
        drop(connection.close().await);
        done
    }
}

async fn locked(connection: &mut PgConnection) -> Result<Migrated> {
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Write {
            what: "the migration lock",
            cause,
        })?;
    let citus = connect::has_citus(connection)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "the list of extensions",
            cause,
        })?;
    // `run` takes anything that gives a connection, and its future then cannot be sent between threads.
    match TABLES.run_direct(None, &mut *connection, false).await {
        Ok(()) => {}
        Err(MigrateError::VersionMissing(version)) => {
            warn!(
                version,
                "the ledger is newer than this program, it stays as it is"
            );
            return Ok(Migrated {
                citus,
                is_ahead: true,
            });
        }
        Err(cause) => return Err(LedgerError::Migrate { cause }),
    }
    if citus {
        distribute_tables(connection).await?;
    }
    for function in &FUNCTIONS {
        install(connection, function, citus).await?;
    }
    Ok(Migrated {
        citus,
        is_ahead: false,
    })
}

/// Both tables by stock shard, side by side, so that one call touches one node.
async fn distribute_tables(connection: &mut PgConnection) -> Result<()> {
    let failed = |cause| LedgerError::Write {
        what: "the distribution of tables",
        cause,
    };
    for (table, beside) in [("stock_shards", "none"), ("orders", "stock_shards")] {
        let is_distributed: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = $1::text::regclass)",
        )
        .bind(table)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
        if is_distributed {
            continue;
        }
        // With a neighbour the number of shards is the neighbour's, and naming one is refused.
        let shards = (beside == "none").then_some(CITUS_SHARDS);
        sqlx::query(
            "SELECT create_distributed_table($1::text::regclass, 'stock_shard_id', \
             colocate_with => $2, shard_count => $3)",
        )
        .bind(table)
        .bind(beside)
        .bind(shards)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
        info!(table, "table distributed");
    }
    Ok(())
}

async fn install(connection: &mut PgConnection, function: &Function, citus: bool) -> Result<()> {
    let Function {
        signature,
        definition,
        delegated_by,
    } = *function;
    let failed = |cause| LedgerError::Write {
        what: "a function",
        cause,
    };
    let is_current: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM installed_functions WHERE name = $1 AND definition = $2) \
         AND to_regprocedure($1) IS NOT NULL",
    )
    .bind(signature)
    .bind(definition)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    if !is_current {
        // Function first, note second: a crash between the two installs it again.
        sqlx::raw_sql(definition)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        sqlx::query(
            "INSERT INTO installed_functions (name, definition) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET definition = excluded.definition",
        )
        .bind(signature)
        .bind(definition)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
        info!(function = signature, "function installed");
    }
    if citus {
        delegate(connection, signature, delegated_by)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

/// Puts the function on every node, and has it run where its rows are.
async fn delegate(
    connection: &mut PgConnection,
    signature: &str,
    by: Option<&str>,
) -> std::result::Result<(), sqlx::Error> {
    let is_done: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_object \
         WHERE classid = 'pg_proc'::regclass AND objid = $1::text::regprocedure \
         AND (distribution_argument_index IS NOT NULL OR $2::text IS NULL))",
    )
    .bind(signature)
    .bind(by)
    .fetch_one(&mut *connection)
    .await?;
    if is_done {
        return Ok(());
    }
    let make = if by.is_some() {
        sqlx::query(
            "SELECT create_distributed_function($1::text::regprocedure, $2, \
             colocate_with => 'stock_shards')",
        )
        .bind(signature)
        .bind(by)
    } else {
        sqlx::query("SELECT create_distributed_function($1::text::regprocedure)").bind(signature)
    };
    make.execute(connection).await?;
    Ok(())
}
