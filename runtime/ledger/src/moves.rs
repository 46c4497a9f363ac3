//! Moving Citus shards between workers: where they are, as a plan needs it, and one move at a time. Everything is keyed by
//! hash range, because a Citus shard's number changes at every split; numbers are read afresh for each call.
//!
//! A move is one transaction of Citus: it is done or it never was. What a broken one leaves (copies, slots) stands in
//! Citus' own list and is cleaned up from there. It does not know who wants a move, or whether it is allowed.

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{Connection, FromRow, PgConnection, Postgres, Transaction};
use ticket_core::{EventName, StockShardId};

use crate::connect::Ledger;
use crate::error::{LedgerError, Result};

mod catch_up;

/// How often the server looks whether we still live while it moves a shard: the move of a killed process ends by itself.
const CLIENT_CHECK_EVERY: &str = "1s";

/// Longest wait for the end of a move that was told to stop. Then its connection is dropped, which ends it too.
const CANCEL_WAIT: Duration = Duration::from_secs(10);

/// Longest wait for a connection of our own; the pool's has its limit, too.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Longest clean-up of what broken moves left. Dropping copies takes milliseconds; a node that is down makes it fail at once.
const CLEANUP_LIMIT_MS: i64 = 30_000;

/// Where the ledger's Citus shards are, for a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placements {
    /// Nodes, the coordinator first.
    pub nodes: Vec<PlacementNode>,
    /// Citus shards by hash, empty ones too.
    pub shards: Vec<Placement>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct PlacementNode {
    /// `host:port`.
    pub name: String,
    /// It answered just now.
    pub is_alive: bool,
    /// Shards may be put on it.
    pub takes_shards: bool,
}

/// A Citus shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The lowest hash in it.
    pub low: i32,
    /// The highest.
    pub high: i32,
    /// Its node.
    pub node: String,
    /// Stock shards in it.
    pub stock: Vec<PlacementStock>,
}

/// A stock shard in a Citus shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementStock {
    /// Its id.
    pub id: StockShardId,
    /// Its event.
    pub event: EventName,
    /// The event's window is open, and it is not paused.
    pub is_on_sale: bool,
}

/// How a shard is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// Writers of the shard wait from the first to the last byte. The faster one, and nothing has to be set for it.
    BlockWrites,
    /// Writers wait at the cutover only. Needs [`Ledger::can_follow_changes`].
    ForceLogical,
}

impl Transfer {
    /// As Citus spells it.
    const fn as_citus(self) -> &'static str {
        match self {
            Self::BlockWrites => "block_writes",
            Self::ForceLogical => "force_logical",
        }
    }
}

/// One Citus shard to another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardMove {
    /// The lowest hash in it.
    pub low: i32,
    /// The highest.
    pub high: i32,
    /// Node that it must be on.
    pub from: String,
    /// Node that it goes to.
    pub to: String,
    /// How it is copied.
    pub transfer: Transfer,
    /// Longest time.
    pub limit: Duration,
}

/// How a move ended, if nothing failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// It is there now.
    Now {
        /// How long it took.
        took: Duration,
    },
    /// It was there already.
    Before,
    /// It is not where it was presumed, or there is no Citus shard of this range any more. Nothing was changed.
    Stale {
        /// Where it is.
        found: Option<String>,
    },
    /// It was broken off by `stop`; the shard is where it was.
    Stopped,
}

#[derive(FromRow)]
struct PlacementColumns {
    low: i32,
    high: i32,
    node: String,
}

#[derive(FromRow)]
struct StockColumns {
    id: i64,
    hash: i32,
    namespace: String,
    name: String,
    is_on_sale: bool,
}

impl Ledger {
    /// Nodes and Citus shards as the catalogue has them at `now`; no worker is asked for anything but a sign of life.
    ///
    /// # Errors
    /// [`LedgerError::NeedsCitus`] on plain `PostgreSQL`.
    pub async fn placements(&self, now: Timestamp) -> Result<Placements> {
        self.must_be_distributed().await?;
        let failed = |cause| LedgerError::Read {
            what: "where shards are",
            cause,
        };
        let mut connection = self.acquire().await?;
        let nodes: Vec<PlacementNode> = sqlx::query_as(
            "SELECT nodename || ':' || nodeport AS name, shouldhaveshards AND isactive AS takes_shards, \
             groupid = 0 OR citus_check_connection_to_node(nodename, nodeport) AS is_alive \
             FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid",
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
        let shards: Vec<PlacementColumns> = sqlx::query_as(
            "SELECT d.shardminvalue::integer AS low, d.shardmaxvalue::integer AS high, \
                    n.nodename || ':' || n.nodeport AS node \
             FROM pg_dist_shard d JOIN pg_dist_placement p ON p.shardid = d.shardid \
             JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary' \
             WHERE d.logicalrelid = 'stock_shards'::regclass ORDER BY 1",
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
        let stock: Vec<StockColumns> = sqlx::query_as(
            "SELECT c.stock_shard_id AS id, worker_hash(c.stock_shard_id) AS hash, e.namespace, e.name, \
                    coalesce(e.is_open AND NOT e.is_closed AND NOT e.paused \
                             AND e.opens_at <= $1 AND e.closes_at > $1, false) AS is_on_sale \
             FROM shard_catalog c JOIN events e ON e.event_id = c.event_id ORDER BY 1",
        )
        .bind(now.to_sqlx())
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
        let mut shards: Vec<Placement> = shards.into_iter().map(Placement::empty).collect();
        for held in stock {
            // Ranges cover all hashes and do not overlap.
            let after = shards.partition_point(|shard| shard.low <= held.hash);
            let holder = after.checked_sub(1).and_then(|at| shards.get_mut(at));
            if let Some(holder) = holder {
                holder.stock.push(held.into_stock()?);
            }
        }
        Ok(Placements { nodes, shards })
    }

    /// Bytes of each Citus shard, both tables together, by its lowest hash. Asks every worker, so it is empty or fails
    /// while one is down: good to show, not to plan with.
    pub async fn shard_sizes(&self) -> Result<HashMap<i32, i64>> {
        self.must_be_distributed().await?;
        let mut connection = self.acquire().await?;
        let rows: Vec<(i32, Option<i64>)> = sqlx::query_as(
            "SELECT d.shardminvalue::integer, sum(c.shard_size)::bigint FROM pg_dist_shard d \
             JOIN citus_shards c ON c.shardid = d.shardid \
             WHERE d.logicalrelid IN ('stock_shards'::regclass, 'orders'::regclass) GROUP BY 1",
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "sizes of shards",
            cause,
        })?;
        let known = rows.into_iter();
        Ok(known
            .filter_map(|(low, bytes)| Some((low, bytes?)))
            .collect())
    }

    /// Whether shards can be moved while they are written to: every worker has `wal_level=logical`. `false` also when one
    /// cannot be asked.
    pub async fn can_follow_changes(&self) -> Result<bool> {
        self.must_be_distributed().await?;
        let mut connection = self.acquire().await?;
        sqlx::query_scalar(
            "SELECT coalesce(bool_and(success AND result = 'logical'), false) \
             FROM run_command_on_workers('SHOW wal_level')",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "what workers log",
            cause,
        })
    }

    /// Moves one Citus shard with everything in it, unless it is there already. `stop` breaks it off.
    ///
    /// A caller that is killed leaves a move that the server ends within a second or finishes; either way the same call
    /// again is right. So is dropping this future.
    ///
    /// # Errors
    /// [`LedgerError::Move`]: the shard is where it was. What is left of the try is for [`Ledger::clean_up_moves`].
    pub async fn move_shard(
        &self,
        wish: &ShardMove,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Moved> {
        self.must_be_distributed().await?;
        let failed = |cause| LedgerError::Move {
            low: wish.low,
            high: wish.high,
            from: wish.from.clone(),
            to: wish.to.clone(),
            cause,
        };
        let mut connection = self.connection_to_move().await?;
        let limit_ms = i64::try_from(wish.limit.as_millis()).unwrap_or(i64::MAX);
        let pid = prepare(&mut connection, limit_ms).await.map_err(failed)?;
        catch_up::listen(&mut connection).await.map_err(failed)?;
        let mut transaction = connection.begin().await.map_err(failed)?;
        let found = find(&mut transaction, wish).await.map_err(failed)?;
        let shard = match found {
            None => return Ok(Moved::Stale { found: None }),
            Some(found) if found.node == wish.to => return Ok(Moved::Before),
            Some(found) if found.node != wish.from => {
                return Ok(Moved::Stale {
                    found: Some(found.node),
                });
            }
            Some(found) => found.shardid,
        };
        let began = Instant::now();
        let (is_stopped, moved) = {
            let mut moving = std::pin::pin!(carry_out(transaction, shard, wish));
            tokio::select! {
                moved = &mut moving => (false, Some(moved)),
                () = stop => {
                    self.cancel(pid).await?;
                    (true, tokio::time::timeout(CANCEL_WAIT, moving).await.ok())
                }
                // The server keeps the limit; a server that is gone without a word does not.
                () = tokio::time::sleep(wish.limit.saturating_add(CANCEL_WAIT)) => (false, None),
                never = self.keep_awake(pid) => match never {},
            }
        };
        if let Some(Ok(())) = moved {
            drop(connection.close().await);
            return Ok(Moved::Now {
                took: began.elapsed(),
            });
        }
        drop(connection);
        // The answer may be lost although the move was committed: the catalogue knows.
        let mut reader = self.acquire().await?;
        let found = find(&mut reader, wish).await.map_err(failed)?;
        if found.is_some_and(|found| found.node == wish.to) {
            return Ok(Moved::Now {
                took: began.elapsed(),
            });
        }
        match moved {
            // An error that only says that we broke it off is none.
            Some(Err(_)) | None if is_stopped => Ok(Moved::Stopped),
            Some(Err(cause)) => Err(failed(cause)),
            Some(Ok(())) | None => Err(failed(silence())),
        }
    }

    /// Drops what moves and splits left that were broken off, and the old copies of those that were not. Answers how many
    /// things are still left: they are in use, or their node is down, and Citus tries again by itself.
    pub async fn clean_up_moves(&self) -> Result<i64> {
        self.must_be_distributed().await?;
        let failed = |cause| LedgerError::Write {
            what: "the clean-up of moves",
            cause,
        };
        let mut connection = self.connection_to_move().await?;
        prepare(&mut connection, CLEANUP_LIMIT_MS)
            .await
            .map_err(failed)?;
        if leftovers(&mut connection).await.map_err(failed)? == 0 {
            drop(connection.close().await);
            return Ok(0);
        }
        // A procedure that commits by itself: no transaction may be around it.
        sqlx::raw_sql("CALL citus_cleanup_orphaned_resources()")
            .execute(&mut connection)
            .await
            .map_err(failed)?;
        let left = leftovers(&mut connection).await.map_err(failed)?;
        drop(connection.close().await);
        Ok(left)
    }

    /// Nothing new is put on this node from now on: no shard, no lane. It does not move what is there.
    pub async fn close_node(&self, node: &str) -> Result<()> {
        self.must_be_distributed().await?;
        let mut connection = self.acquire().await?;
        sqlx::query(
            "SELECT citus_set_node_property(nodename, nodeport, 'shouldhaveshards', false) \
             FROM pg_dist_node WHERE nodename || ':' || nodeport = $1 AND shouldhaveshards",
        )
        .bind(node)
        .execute(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Write {
            what: "what a node takes",
            cause,
        })?;
        Ok(())
    }

    /// Without the pool's limit for statements, which is far below what a large shard takes.
    async fn connection_to_move(&self) -> Result<PgConnection> {
        let connected = tokio::time::timeout(CONNECT_LIMIT, self.own_connection()).await;
        connected.unwrap_or_else(|_| Err(LedgerError::Connect { cause: silence() }))
    }

    pub(crate) async fn must_be_distributed(&self) -> Result<()> {
        if self.is_distributed().await? {
            Ok(())
        } else {
            Err(LedgerError::NeedsCitus)
        }
    }

    async fn cancel(&self, pid: i32) -> Result<()> {
        let mut connection = self.acquire().await?;
        sqlx::query("SELECT pg_cancel_backend($1)")
            .bind(pid)
            .execute(&mut *connection)
            .await
            .map_err(|cause| LedgerError::Write {
                what: "the end of a move",
                cause,
            })?;
        Ok(())
    }
}

impl Placement {
    fn empty(columns: PlacementColumns) -> Self {
        let PlacementColumns { low, high, node } = columns;
        Self {
            low,
            high,
            node,
            stock: Vec::new(),
        }
    }
}

impl StockColumns {
    fn into_stock(self) -> Result<PlacementStock> {
        let corrupt = |cause| LedgerError::Corrupt {
            what: "the shard catalog",
            cause,
        };
        Ok(PlacementStock {
            id: StockShardId::new(self.id).map_err(corrupt)?,
            event: EventName::new(&self.namespace, &self.name).map_err(corrupt)?,
            is_on_sale: self.is_on_sale,
        })
    }
}

/// The server said nothing for longer than it may take.
fn silence() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

#[derive(FromRow)]
struct Found {
    shardid: i64,
    node: String,
}

/// Sets the limits of a connection of our own; answers its process id on the server.
async fn prepare(
    connection: &mut PgConnection,
    limit_ms: i64,
) -> std::result::Result<i32, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT pg_backend_pid() FROM \
         set_config('statement_timeout', $1, false) AS longest, \
         set_config('client_connection_check_interval', $2, false) AS looks",
    )
    .bind(limit_ms.to_string())
    .bind(CLIENT_CHECK_EVERY)
    .fetch_one(connection)
    .await
}

/// The Citus shard of exactly this range, and its node.
async fn find(
    connection: &mut PgConnection,
    wish: &ShardMove,
) -> std::result::Result<Option<Found>, sqlx::Error> {
    sqlx::query_as(
        "SELECT d.shardid, n.nodename || ':' || n.nodeport AS node FROM pg_dist_shard d \
         JOIN pg_dist_placement p ON p.shardid = d.shardid \
         JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary' \
         WHERE d.logicalrelid = 'stock_shards'::regclass \
         AND d.shardminvalue::integer = $1 AND d.shardmaxvalue::integer = $2",
    )
    .bind(wish.low)
    .bind(wish.high)
    .fetch_optional(connection)
    .await
}

async fn carry_out(
    mut transaction: Transaction<'_, Postgres>,
    shard: i64,
    wish: &ShardMove,
) -> std::result::Result<(), sqlx::Error> {
    let node = "SELECT nodename, nodeport FROM pg_dist_node \
                WHERE nodename || ':' || nodeport = $1 AND noderole = 'primary'";
    let from: (String, i32) = sqlx::query_as(node)
        .bind(&wish.from)
        .fetch_one(&mut *transaction)
        .await?;
    let to: (String, i32) = sqlx::query_as(node)
        .bind(&wish.to)
        .fetch_one(&mut *transaction)
        .await?;
    sqlx::query(
        "SELECT citus_move_shard_placement($1, $2, $3, $4, $5, $6::text::citus.shard_transfer_mode)",
    )
    .bind(shard)
    .bind(from.0)
    .bind(from.1)
    .bind(to.0)
    .bind(to.1)
    .bind(wish.transfer.as_citus())
    .execute(&mut *transaction)
    .await?;
    catch_up::listen_no_more(&mut transaction).await?;
    transaction.commit().await
}

async fn leftovers(connection: &mut PgConnection) -> std::result::Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM pg_dist_cleanup")
        .fetch_one(connection)
        .await
}
