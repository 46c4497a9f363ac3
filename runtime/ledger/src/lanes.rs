//! Lanes: stock shards alone in their Citus shards, for events that sell out in seconds. A pool of them is leased to events
//! and given back; it grows by naming ids and splitting the Citus shards that these fall into.
//!
//! A lane is its hash. `worker_hash` of an id below 2^63 depends only on `(id >> 32) # (id & 0xffffffff)`, so for each hash
//! there are two million ids: every lease gets the next of them, and no stock shard id is ever used twice. Nothing here
//! is keyed by Citus shard id, which changes with every split. It does not know what a lane is wanted for.

mod pool;
mod split;
mod spread;

use sqlx::{Connection, FromRow, PgConnection};
use ticket_core::share::LANES_MAX;
use ticket_core::{EventId, StockShardId};

use crate::connect::Ledger;
use crate::error::{LedgerError, Result};
use crate::lanes::spread::{Load, spread};
use crate::topology::{self, NodeState};

pub use split::LaneSplit;

/// Advisory lock of whoever changes the pool, held for a transaction; nobody else uses this number.
const POOL_LOCK: i64 = 0x7469_636b_6c61;

/// A lane that an event leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The id of the stock shard that it is for.
    pub id: StockShardId,
    /// `host:port` of the node that it is on.
    pub node: String,
    /// Its Citus shard can hold nothing else: the hash range is one value wide. False until it was split off.
    pub is_alone: bool,
}

impl Ledger {
    /// The lanes that an event leases, in the order of their numbers: the n-th is for its n-th stock shard. None on plain
    /// `PostgreSQL`.
    pub async fn lanes(&self, event: EventId) -> Result<Vec<Lane>> {
        if !self.is_distributed().await? {
            return Ok(Vec::new());
        }
        leased(&mut *self.acquire().await?, event)
            .await?
            .into_iter()
            .map(LeasedColumns::into_lane)
            .collect()
    }

    /// Lanes that can still be leased: free ones, and what the pool may grow by.
    pub async fn lanes_left(&self) -> Result<usize> {
        if !self.is_distributed().await? {
            return Ok(0);
        }
        let mut connection = self.acquire().await?;
        let leased: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM lanes l JOIN events e ON e.event_id = l.event_id",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "the pool of lanes",
            cause,
        })?;
        Ok(LANES_MAX.saturating_sub(usize::try_from(leased).unwrap_or(usize::MAX)))
    }

    /// Leases lanes to an event until it has `wanted`: free ones that are alone, and ids of new ones for what is missing,
    /// spread evenly over the living workers that take shards. All or none; the same call again changes nothing.
    ///
    /// `seen` is the number of lanes that the event had when this was planned: if it has others by now, somebody else is at
    /// work, and this is refused with [`LedgerError::LaneConflict`].
    ///
    /// # Errors
    /// [`LedgerError::LanesExhausted`] if the pool would grow beyond [`LANES_MAX`], [`LedgerError::LanesWithoutRoom`] if a
    /// worker has no hash range that may be split, [`LedgerError::NodeDown`] if new lanes are needed and a node does not answer.
    pub async fn lease_lanes(&self, event: EventId, seen: usize, wanted: usize) -> Result<()> {
        self.must_be_distributed().await?;
        let failed = |cause| LedgerError::Write {
            what: "the lease of lanes",
            cause,
        };
        let mut connection = self.acquire().await?;
        // Before the lock: a node that does not answer takes its time.
        let nodes = topology::node_states(&mut connection).await?;
        let mut transaction = connection.begin().await.map_err(failed)?;
        lock_pool(&mut transaction).await.map_err(failed)?;
        let is_known: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM events WHERE event_id = $1)")
                .bind(event.0)
                .fetch_one(&mut *transaction)
                .await
                .map_err(failed)?;
        if !is_known {
            return Err(LedgerError::UnknownEvent { event });
        }
        let there = leased(&mut transaction, event).await?;
        if there.len() >= wanted {
            return Ok(());
        }
        if there.len() != seen {
            return Err(LedgerError::LaneConflict {
                event,
                seen,
                found: there.len(),
            });
        }
        forget_names(&mut transaction).await.map_err(failed)?;
        take(&mut transaction, event, &nodes, &there, wanted).await?;
        transaction.commit().await.map_err(failed)
    }

    /// Gives the lanes of an event back, once the event and with it its rows are gone. Answers with their number, `None` if
    /// the event is still there. A lane that was only named and never split off is forgotten.
    pub async fn release_lanes(&self, event: EventId) -> Result<Option<usize>> {
        if !self.is_distributed().await? {
            return Ok(Some(0));
        }
        let failed = |cause| LedgerError::Write {
            what: "the release of lanes",
            cause,
        };
        let mut connection = self.acquire().await?;
        let mut transaction = connection.begin().await.map_err(failed)?;
        lock_pool(&mut transaction).await.map_err(failed)?;
        // A deletion takes the event's own row last, after stock and orders.
        let is_there: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM events WHERE event_id = $1)")
                .bind(event.0)
                .fetch_one(&mut *transaction)
                .await
                .map_err(failed)?;
        if is_there {
            return Ok(None);
        }
        forget_names(&mut transaction).await.map_err(failed)?;
        let freed = sqlx::query(
            "UPDATE lanes SET event_id = NULL, number = NULL, leased_at = NULL WHERE event_id = $1",
        )
        .bind(event.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?
        .rows_affected();
        transaction.commit().await.map_err(failed)?;
        Ok(Some(usize::try_from(freed).unwrap_or(usize::MAX)))
    }
}

/// One at a time changes the pool, so that two events never get the same lane.
async fn lock_pool(transaction: &mut PgConnection) -> std::result::Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(POOL_LOCK)
        .execute(transaction)
        .await?;
    Ok(())
}

/// A worker as a lease sees it.
struct Worker {
    node: NodeState,
    /// Ids of free lanes on it.
    free: Vec<i64>,
}

/// Adds what is missing to `there`.
async fn take(
    transaction: &mut PgConnection,
    event: EventId,
    nodes: &[NodeState],
    there: &[LeasedColumns],
    wanted: usize,
) -> Result<()> {
    let free = free(transaction).await?;
    let mut workers: Vec<Worker> = nodes
        .iter()
        .filter(|node| node.is_alive && node.takes_shards)
        .map(|node| {
            let here = free.iter().filter(|lane| lane.groupid == node.groupid);
            Worker {
                node: node.clone(),
                free: here.map(|lane| lane.id).collect(),
            }
        })
        .collect();
    let loads: Vec<Load> = workers
        .iter()
        .map(|worker| Load {
            leased: there
                .iter()
                .filter(|lane| lane.groupid == worker.node.groupid)
                .count(),
            free: worker.free.len(),
        })
        .collect();
    let order = spread(&loads, wanted - there.len());
    let asked: Vec<usize> = (0..workers.len())
        .map(|at| order.iter().filter(|worker| **worker == at).count())
        .collect();
    let mut to_name = Vec::with_capacity(workers.len());
    for (worker, asked) in workers.iter().zip(&asked) {
        to_name.push((&worker.node, asked.saturating_sub(worker.free.len())));
    }
    let new: usize = to_name.iter().map(|(_, count)| count).sum();
    if workers.is_empty() || new > 0 {
        all_alive(nodes)?;
        may_grow(transaction, new).await?;
    }
    if workers.is_empty() {
        let node = "any that takes shards".to_owned();
        return Err(LedgerError::LanesWithoutRoom { node });
    }
    let mut names = pool::name(transaction, &to_name).await?;
    let mut numbers = free_numbers(there);
    for at in order {
        let number = numbers.next().unwrap_or(i32::MAX);
        // `spread` answers with places of `loads`, which are those of `workers`.
        let (Some(worker), Some(names)) = (workers.get_mut(at), names.get_mut(at)) else {
            continue;
        };
        let done = match worker.free.pop() {
            Some(id) => renew(transaction, event, number, id).await,
            None => match names.pop() {
                Some(id) => insert(transaction, event, number, id).await,
                None => Ok(()),
            },
        };
        done.map_err(|cause| LedgerError::Write {
            what: "a lane",
            cause,
        })?;
    }
    Ok(())
}

/// Refuses while a node is down: a split needs them all, also those that it does not touch.
fn all_alive(nodes: &[NodeState]) -> Result<()> {
    match nodes.iter().find(|node| !node.is_alive) {
        None => Ok(()),
        Some(down) => Err(LedgerError::NodeDown {
            node: down.name.clone(),
        }),
    }
}

/// Refuses new lanes beyond the limit of the pool.
async fn may_grow(transaction: &mut PgConnection, new: usize) -> Result<()> {
    let lanes: i64 = sqlx::query_scalar("SELECT count(*) FROM lanes")
        .fetch_one(transaction)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "the pool of lanes",
            cause,
        })?;
    let left = LANES_MAX.saturating_sub(usize::try_from(lanes).unwrap_or(usize::MAX));
    if new > left {
        return Err(LedgerError::LanesExhausted { wanted: new, left });
    }
    Ok(())
}

/// Numbers that no lane of the event has, from the lowest.
fn free_numbers(there: &[LeasedColumns]) -> impl Iterator<Item = i32> {
    let taken: Vec<i32> = there.iter().map(|lane| lane.number).collect();
    (0..i32::MAX).filter(move |number| !taken.contains(number))
}

/// Forgets what was named for events that are gone and never split off: nothing tells it from any other id.
async fn forget_names(transaction: &mut PgConnection) -> std::result::Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM lanes l USING pg_dist_shard d \
         WHERE NOT EXISTS (SELECT FROM events e WHERE e.event_id = l.event_id) \
         AND d.shardid = get_shard_id_for_distribution_column('stock_shards', l.stock_shard_id) \
         AND d.shardminvalue <> d.shardmaxvalue",
    )
    .execute(transaction)
    .await?;
    Ok(())
}

#[derive(FromRow)]
struct FreeColumns {
    id: i64,
    groupid: i32,
}

/// Lanes that nobody leases, or an event that is gone, with nothing else in their Citus shards. The last id of a hash is
/// not given away: it has none to follow.
async fn free(transaction: &mut PgConnection) -> Result<Vec<FreeColumns>> {
    sqlx::query_as(
        "SELECT l.stock_shard_id AS id, p.groupid FROM lanes l \
         JOIN pg_dist_shard d ON d.shardid = \
           get_shard_id_for_distribution_column('stock_shards', l.stock_shard_id) \
         JOIN pg_dist_placement p ON p.shardid = d.shardid \
         WHERE NOT EXISTS (SELECT FROM events e WHERE e.event_id = l.event_id) \
         AND d.shardminvalue = d.shardmaxvalue AND l.stock_shard_id >> 32 < (1 << 21) - 1 \
         AND NOT EXISTS (SELECT FROM shard_catalog c \
           WHERE worker_hash(c.stock_shard_id) = worker_hash(l.stock_shard_id)) \
         ORDER BY l.stock_shard_id DESC",
    )
    .fetch_all(transaction)
    .await
    .map_err(|cause| LedgerError::Read {
        what: "free lanes",
        cause,
    })
}

/// Leases a free lane under the next id of its hash: what is left of its last event's facts and references is about
/// another stock shard.
async fn renew(
    transaction: &mut PgConnection,
    event: EventId,
    number: i32,
    id: i64,
) -> std::result::Result<(), sqlx::Error> {
    let renewed = sqlx::query(
        "UPDATE lanes SET stock_shard_id = n.id, event_id = $1, number = $2, leased_at = now() \
         FROM (SELECT ((k + 1) << 32) | (low # k # (k + 1)) AS id \
               FROM (SELECT $3::bigint >> 32 AS k, $3::bigint & 4294967295 AS low) AS old) AS n \
         WHERE stock_shard_id = $3 AND worker_hash(n.id) = worker_hash($3::bigint)",
    )
    .bind(event.0)
    .bind(number)
    .bind(id)
    .execute(transaction)
    .await?;
    if renewed.rows_affected() == 1 {
        return Ok(());
    }
    // Citus would have to hash in another way than it ever has.
    Err(sqlx::Error::RowNotFound)
}

async fn insert(
    transaction: &mut PgConnection,
    event: EventId,
    number: i32,
    id: i64,
) -> std::result::Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO lanes (stock_shard_id, event_id, number, leased_at) VALUES ($1, $2, $3, now())",
    )
    .bind(id)
    .bind(event.0)
    .bind(number)
    .execute(transaction)
    .await?;
    Ok(())
}

#[derive(FromRow)]
struct LeasedColumns {
    stock_shard_id: i64,
    number: i32,
    groupid: i32,
    node: String,
    is_alone: bool,
}

impl LeasedColumns {
    fn into_lane(self) -> Result<Lane> {
        let id = StockShardId::new(self.stock_shard_id).map_err(|cause| LedgerError::Corrupt {
            what: "a lane",
            cause,
        })?;
        Ok(Lane {
            id,
            node: self.node,
            is_alone: self.is_alone,
        })
    }
}

async fn leased(connection: &mut PgConnection, event: EventId) -> Result<Vec<LeasedColumns>> {
    sqlx::query_as(
        "SELECT l.stock_shard_id, l.number, p.groupid, n.nodename || ':' || n.nodeport AS node, \
         d.shardminvalue = d.shardmaxvalue AS is_alone FROM lanes l \
         JOIN pg_dist_shard d ON d.shardid = \
           get_shard_id_for_distribution_column('stock_shards', l.stock_shard_id) \
         JOIN pg_dist_placement p ON p.shardid = d.shardid \
         JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary' \
         WHERE l.event_id = $1 ORDER BY l.number",
    )
    .bind(event.0)
    .fetch_all(connection)
    .await
    .map_err(|cause| LedgerError::Read {
        what: "the lanes of an event",
        cause,
    })
}
