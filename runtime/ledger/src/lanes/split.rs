//! Splits Citus shards until every lane of an event is alone in one. What has to be split is computed from the catalogue each
//! time, so a crash anywhere leaves what the next call continues from.

use std::time::Duration;

use sqlx::{Connection, FromRow, PgConnection};
use ticket_core::EventId;
use tracing::{info, warn};

use crate::connect::Ledger;
use crate::error::{self, LedgerError, Result};
use crate::lanes::{all_alive, pool};
use crate::topology;

/// Longest split of one Citus shard. One into 33 pieces takes a few seconds while it is empty; one that holds the orders of
/// past events has to copy them.
const SPLIT_TIMEOUT: Duration = Duration::from_mins(2);

/// Longest wait for a lock: for another split of ours, or for whoever writes to the shard. Other writers queue up behind.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Splits in one call: one for each worker, and some more for lanes whose ranges others have split meanwhile.
const SPLITS_MAX: usize = 256;

/// Advisory lock of whoever splits, held by the session; nobody else uses this number.
const SPLIT_LOCK: i64 = 0x7469_636b_7370;

/// What a split of an event's lanes came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneSplit {
    /// Every lane is alone.
    Alone {
        /// Citus shards that were split now.
        splits: usize,
    },
    /// Stock that is on sale came to where lanes were to be split off: these were given up, and others have to be leased.
    GivenUp {
        /// How many.
        lanes: usize,
    },
}

/// A lane that is not alone, and the Citus shard that it is in.
#[derive(Debug, Clone, FromRow)]
struct Shared {
    stock_shard_id: i64,
    hash: i32,
    shardid: i64,
    low: i64,
    high: i64,
    nodeid: i32,
    is_on_sale: bool,
}

impl Ledger {
    /// Splits until every lane of the event is alone in its Citus shard, on the node where it is. Nothing happens if all are.
    /// Takes seconds; it uses a connection of its own.
    ///
    /// # Errors
    /// [`LedgerError::ShardsBusy`] while somebody else splits, moves or cleans up: nothing was done, try again.
    /// [`LedgerError::NodeDown`] while a node does not answer.
    pub async fn split_lanes(&self, event: EventId) -> Result<LaneSplit> {
        self.must_be_distributed().await?;
        if shared(&mut *self.acquire().await?, event).await?.is_empty() {
            return Ok(LaneSplit::Alone { splits: 0 });
        }
        // Its locks end with it, whatever happens here. A split that is under way then ends by itself.
        let mut connection = self.own_connection().await?;
        let done = split_all(&mut connection, event).await;
        // What was split stays split; a connection that does not close well changes nothing about it.
        drop(connection.close().await);
        done
    }
}

async fn split_all(connection: &mut PgConnection, event: EventId) -> Result<LaneSplit> {
    prepare(connection).await?;
    let mut splits = 0;
    while splits < SPLITS_MAX {
        let shared = shared(connection, event).await?;
        let on_sale: Vec<i64> = shared
            .iter()
            .filter(|lane| lane.is_on_sale)
            .map(|lane| lane.stock_shard_id)
            .collect();
        if !on_sale.is_empty() {
            return give_up(connection, event, &on_sale).await;
        }
        let Some(first) = shared.first() else { break };
        all_alive(&topology::node_states(connection).await?)?;
        clean_up(connection).await?;
        let of_shard = |lane: &&Shared| lane.shardid == first.shardid;
        let lanes: Vec<Shared> = shared.iter().filter(of_shard).cloned().collect();
        split(connection, &lanes).await?;
        splits += 1;
    }
    // What the split has replaced is dropped now, so that the next one finds nothing in its way. If not, Citus does it later.
    if let Err(error) = clean_up(connection).await {
        warn!(code = error.code(), "replaced Citus shards are still there");
    }
    if !shared(connection, event).await?.is_empty() {
        return Err(LedgerError::ShardsBusy { cause: None });
    }
    Ok(LaneSplit::Alone { splits })
}

/// Limits for the session, and the lock that keeps two of us apart: Citus would refuse the second one, which then came late.
async fn prepare(connection: &mut PgConnection) -> Result<()> {
    for (setting, limit) in [
        ("statement_timeout", SPLIT_TIMEOUT),
        ("lock_timeout", LOCK_TIMEOUT),
    ] {
        sqlx::query("SELECT set_config($1, $2, false)")
            .bind(setting)
            .bind(limit.as_millis().to_string())
            .execute(&mut *connection)
            .await
            .map_err(|cause| LedgerError::Write {
                what: "limits of a split",
                cause,
            })?;
    }
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(SPLIT_LOCK)
        .execute(connection)
        .await
        .map_err(busy_or("the lock of splits"))?;
    Ok(())
}

/// Has Citus drop what earlier splits and moves left behind.
async fn clean_up(connection: &mut PgConnection) -> Result<()> {
    let left = async |connection: &mut PgConnection| {
        let left: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_dist_cleanup)")
            .fetch_one(connection)
            .await
            .map_err(|cause| LedgerError::Read {
                what: "what splits and moves left behind",
                cause,
            })?;
        Ok::<bool, LedgerError>(left)
    };
    if !left(connection).await? {
        return Ok(());
    }
    sqlx::query("CALL citus_cleanup_orphaned_resources()")
        .execute(&mut *connection)
        .await
        .map_err(busy_or("the clean-up of Citus shards"))?;
    // It leaves what somebody still uses, and what a running operation of somebody else has made.
    if left(connection).await? {
        return Err(LedgerError::ShardsBusy { cause: None });
    }
    Ok(())
}

/// Whoever has to wait for somebody has not failed.
fn busy_or(what: &'static str) -> impl Fn(sqlx::Error) -> LedgerError {
    move |cause| {
        if error::is_busy(&cause) {
            return LedgerError::ShardsBusy { cause: Some(cause) };
        }
        LedgerError::Write { what, cause }
    }
}

/// Splits the Citus shard that all `lanes` are in.
async fn split(connection: &mut PgConnection, lanes: &[Shared]) -> Result<()> {
    let Some(first) = lanes.first() else {
        return Ok(());
    };
    let points = split_points(lanes);
    let texts: Vec<String> = points.iter().map(ToString::to_string).collect();
    // Every piece stays where it is: the ids were chosen for this node, and nothing has to travel.
    let nodes = vec![first.nodeid; points.len() + 1];
    // `block_writes`: on a range without writers it is the fastest way, and it needs no logical replication.
    sqlx::query("SELECT citus_split_shard_by_split_points($1, $2, $3, 'block_writes')")
        .bind(first.shardid)
        .bind(&texts)
        .bind(&nodes)
        .execute(connection)
        .await
        .map_err(|cause| {
            if error::is_busy(&cause) {
                return LedgerError::ShardsBusy { cause: Some(cause) };
            }
            LedgerError::Split {
                lanes: lanes.len(),
                cause,
            }
        })?;
    info!(
        lanes = lanes.len(),
        pieces = nodes.len(),
        "citus shard split"
    );
    Ok(())
}

/// Where to cut so that each lane is alone. A point is the last hash of a piece, so a lane takes two: before it, and it; the
/// first and last hash of the shard need no cut of their own.
fn split_points(lanes: &[Shared]) -> Vec<i64> {
    let mut points: Vec<i64> = lanes
        .iter()
        .flat_map(|lane| {
            let hash = i64::from(lane.hash);
            [hash - 1, hash]
                .into_iter()
                .filter(|point| (lane.low..lane.high).contains(point))
        })
        .collect();
    points.sort_unstable();
    points.dedup();
    points
}

/// Takes the lanes from the event: what is on sale there is not to be disturbed. Nothing was made for them yet.
async fn give_up(
    connection: &mut PgConnection,
    event: EventId,
    lanes: &[i64],
) -> Result<LaneSplit> {
    sqlx::query(
        "DELETE FROM lanes l WHERE event_id = $1 AND stock_shard_id = ANY ($2) AND NOT EXISTS \
         (SELECT FROM shard_catalog c WHERE c.stock_shard_id = l.stock_shard_id)",
    )
    .bind(event.0)
    .bind(lanes)
    .execute(connection)
    .await
    .map_err(|cause| LedgerError::Write {
        what: "lanes",
        cause,
    })?;
    Ok(LaneSplit::GivenUp { lanes: lanes.len() })
}

/// The lanes of the event that are not alone.
async fn shared(connection: &mut PgConnection, event: EventId) -> Result<Vec<Shared>> {
    sqlx::query_as(
        "WITH lane AS ( \
           SELECT stock_shard_id, worker_hash(stock_shard_id) AS hash, \
                  get_shard_id_for_distribution_column('stock_shards', stock_shard_id) AS shardid \
           FROM lanes WHERE event_id = $1), \
         on_sale AS ( \
           SELECT DISTINCT get_shard_id_for_distribution_column('stock_shards', c.stock_shard_id) AS shardid \
           FROM shard_catalog c JOIN events e ON e.event_id = c.event_id \
           WHERE e.is_open AND NOT e.is_closed AND e.closes_at > now() \
             AND e.opens_at <= now() + make_interval(secs => $2::integer)) \
         SELECT lane.stock_shard_id, lane.hash, d.shardid, d.shardminvalue::bigint AS low, \
                d.shardmaxvalue::bigint AS high, n.nodeid, on_sale.shardid IS NOT NULL AS is_on_sale \
         FROM lane JOIN pg_dist_shard d ON d.shardid = lane.shardid \
         JOIN pg_dist_placement p ON p.shardid = d.shardid \
         JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary' \
         LEFT JOIN on_sale ON on_sale.shardid = lane.shardid \
         WHERE d.shardminvalue <> d.shardmaxvalue ORDER BY d.shardminvalue::bigint",
    )
    .bind(event.0)
    .bind(pool::OPENS_WITHIN_S)
    .fetch_all(connection)
    .await
    .map_err(|cause| LedgerError::Read {
        what: "lanes that are not alone",
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(hash: i32, low: i64, high: i64) -> Shared {
        Shared {
            stock_shard_id: 1,
            hash,
            shardid: 1,
            low,
            high,
            nodeid: 1,
            is_on_sale: false,
        }
    }

    #[test]
    fn each_lane_gets_a_piece_of_one_value() {
        let of = |hashes: &[i32]| {
            let lanes: Vec<Shared> = hashes.iter().map(|hash| lane(*hash, -100, 100)).collect();
            split_points(&lanes)
        };
        assert_eq!(of(&[5]), [4, 5]);
        // Neighbours share a cut.
        assert_eq!(of(&[6, 5]), [4, 5, 6]);
        assert_eq!(of(&[-7, 50]), [-8, -7, 49, 50]);
    }

    #[test]
    fn at_the_ends_of_a_shard_one_cut_is_enough() {
        assert_eq!(split_points(&[lane(-100, -100, 100)]), [-100]);
        assert_eq!(split_points(&[lane(100, -100, 100)]), [99]);
        assert_eq!(
            split_points(&[lane(i32::MAX, i64::from(i32::MIN), i64::from(i32::MAX))]),
            [i64::from(i32::MAX) - 1]
        );
        assert!(split_points(&[lane(3, 3, 3)]).is_empty());
    }
}
