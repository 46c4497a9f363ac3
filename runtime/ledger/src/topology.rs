//! Where things are: nodes, Citus shards, and which stock shard lies on which. On plain `PostgreSQL` one node and one shard.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection};
use ticket_core::{EventId, StockShardId};

use crate::connect::Ledger;
use crate::error::{LedgerError, Result};

/// The ledger's nodes and Citus shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Whether the tables are distributed.
    pub citus: bool,
    /// Nodes, the coordinator first.
    pub nodes: Vec<Node>,
    /// Citus shards that hold stock shards.
    pub shards: Vec<CitusShard>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `host:port`.
    pub name: String,
    /// What it does.
    pub role: NodeRole,
    /// It answered just now.
    pub alive: bool,
    /// Bytes of stock and orders on it; `None` while it cannot be asked.
    pub bytes: Option<i64>,
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeRole {
    /// Plain `PostgreSQL`: it does everything.
    Single,
    /// Holds the small tables and routes.
    Coordinator,
    /// Holds stock and orders.
    Worker,
}

impl NodeRole {
    /// As in the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
        }
    }
}

/// A hash range of the distributed tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CitusShard {
    /// Changes with every split: for looking at, never for keeping. 0 on plain `PostgreSQL`.
    pub citus_shard: i64,
    /// Name of its node.
    pub node: String,
    /// Bytes of its part of both tables; `None` while the node cannot be asked.
    pub bytes: Option<i64>,
    /// The stock shards in it.
    pub stock_shard_ids: Vec<StockShardId>,
    /// Its hash range is one value wide, and no two stock shards share that value: it can hold no other.
    pub lane: bool,
}

impl Ledger {
    /// Nodes and Citus shards as they are now. A node that is down makes this slow, not wrong.
    pub async fn topology(&self) -> Result<Topology> {
        let citus = self.is_distributed().await?;
        let mut connection = self.acquire().await?;
        let failed = |cause| LedgerError::Read {
            what: "the topology",
            cause,
        };
        if citus {
            return distributed(&mut connection).await;
        }
        let bytes: i64 = sqlx::query_scalar(
            "SELECT pg_total_relation_size('orders') + pg_total_relation_size('stock_shards')",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
        let ids: Vec<i64> =
            sqlx::query_scalar("SELECT stock_shard_id FROM shard_catalog ORDER BY stock_shard_id")
                .fetch_all(&mut *connection)
                .await
                .map_err(failed)?;
        let name = self.address();
        Ok(Topology {
            citus: false,
            nodes: vec![Node {
                name: name.clone(),
                role: NodeRole::Single,
                alive: true,
                bytes: Some(bytes),
            }],
            shards: vec![CitusShard {
                citus_shard: 0,
                node: name,
                bytes: Some(bytes),
                stock_shard_ids: to_ids(&ids)?,
                lane: false,
            }],
        })
    }

    /// Where the stock shards of an event are, by id; empty on plain `PostgreSQL`.
    pub(crate) async fn places_of_shards(&self, event: EventId) -> Result<HashMap<i64, Place>> {
        if !self.is_distributed().await? {
            return Ok(HashMap::new());
        }
        let mut connection = self.acquire().await?;
        // One value wide is alone: ids that share the hash of a lane are never given away.
        let rows: Vec<Place> = sqlx::query_as(
            "SELECT c.stock_shard_id, n.nodename || ':' || n.nodeport AS node, \
             d.shardminvalue = d.shardmaxvalue AS lane FROM shard_catalog c \
             JOIN pg_dist_shard d ON d.shardid = \
               get_shard_id_for_distribution_column('stock_shards', c.stock_shard_id) \
             JOIN pg_dist_placement p ON p.shardid = d.shardid \
             JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary' \
             WHERE c.event_id = $1",
        )
        .bind(event.0)
        .fetch_all(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "the nodes of stock shards",
            cause,
        })?;
        let place = |place: Place| (place.stock_shard_id, place);
        Ok(rows.into_iter().map(place).collect())
    }
}

/// Where a stock shard is.
#[derive(Debug, FromRow)]
pub(crate) struct Place {
    stock_shard_id: i64,
    pub(crate) node: String,
    pub(crate) lane: bool,
}

/// A node of a Citus cluster, as whoever changes shards has to know it.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct NodeState {
    pub(crate) groupid: i32,
    pub(crate) name: String,
    pub(crate) is_alive: bool,
    /// New shards may be put there: it is neither being drained nor a coordinator that only routes.
    pub(crate) takes_shards: bool,
}

/// The nodes of the cluster, the coordinator first. One that was taken out of service by its administrator does not count.
pub(crate) async fn node_states(connection: &mut PgConnection) -> Result<Vec<NodeState>> {
    let states = ask_nodes(connection).await?;
    if states.iter().all(|node| node.is_alive) {
        return Ok(states);
    }
    // Of a node that was restarted the first answer is about the session that Citus had with it before (measured).
    ask_nodes(connection).await
}

async fn ask_nodes(connection: &mut PgConnection) -> Result<Vec<NodeState>> {
    // The coordinator answers this query, so it lives; workers are asked.
    sqlx::query_as(
        "SELECT groupid, nodename || ':' || nodeport AS name, \
         groupid = 0 OR citus_check_connection_to_node(nodename, nodeport) AS is_alive, \
         shouldhaveshards AS takes_shards \
         FROM pg_dist_node WHERE noderole = 'primary' AND isactive ORDER BY groupid",
    )
    .fetch_all(connection)
    .await
    .map_err(|cause| LedgerError::Read {
        what: "the nodes of the ledger",
        cause,
    })
}

#[derive(FromRow)]
struct NodeColumns {
    name: String,
    groupid: i32,
    alive: bool,
}

#[derive(FromRow)]
struct ShardColumns {
    shardid: i64,
    node: String,
    bytes: Option<i64>,
    lane: bool,
    ids: Option<Vec<i64>>,
}

async fn distributed(connection: &mut PgConnection) -> Result<Topology> {
    let failed = |cause| LedgerError::Read {
        what: "the topology",
        cause,
    };
    // The coordinator answers this query, so it lives; workers are asked.
    let nodes: Vec<NodeColumns> = sqlx::query_as(
        "SELECT nodename || ':' || nodeport AS name, groupid, \
         groupid = 0 OR citus_check_connection_to_node(nodename, nodeport) AS alive \
         FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    // Sizes ask every worker and are NULL where one is down; the plan itself comes from the catalog alone.
    let rows: Vec<ShardColumns> = sqlx::query_as(
        "WITH place AS ( \
           SELECT get_shard_id_for_distribution_column('stock_shards', stock_shard_id) AS shardid, \
                  array_agg(stock_shard_id ORDER BY stock_shard_id) AS ids \
           FROM shard_catalog GROUP BY 1), \
         size AS ( \
           SELECT d.shardminvalue AS low, sum(c.shard_size)::bigint AS bytes FROM pg_dist_shard d \
           JOIN citus_shards c ON c.shardid = d.shardid \
           WHERE d.logicalrelid IN ('stock_shards'::regclass, 'orders'::regclass) GROUP BY 1) \
         SELECT d.shardid, n.nodename || ':' || n.nodeport AS node, size.bytes, \
                d.shardminvalue = d.shardmaxvalue AS lane, place.ids \
         FROM pg_dist_shard d JOIN pg_dist_placement p ON p.shardid = d.shardid \
         JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary' \
         LEFT JOIN place ON place.shardid = d.shardid LEFT JOIN size ON size.low = d.shardminvalue \
         WHERE d.logicalrelid = 'stock_shards'::regclass ORDER BY d.shardminvalue::bigint",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    let mut shards = Vec::with_capacity(rows.len());
    for row in rows {
        let stock_shard_ids = to_ids(&row.ids.unwrap_or_default())?;
        shards.push(CitusShard {
            citus_shard: row.shardid,
            node: row.node,
            bytes: row.bytes,
            lane: row.lane && stock_shard_ids.len() <= 1,
            stock_shard_ids,
        });
    }
    let nodes = nodes
        .into_iter()
        .map(|node| {
            let sizes = shards.iter().filter(|shard| shard.node == node.name);
            let role = if node.groupid == 0 {
                NodeRole::Coordinator
            } else {
                NodeRole::Worker
            };
            let bytes = sizes.map(|shard| shard.bytes).sum();
            Node {
                name: node.name,
                role,
                alive: node.alive,
                bytes,
            }
        })
        .collect();
    Ok(Topology {
        citus: true,
        nodes,
        shards,
    })
}

fn to_ids(ids: &[i64]) -> Result<Vec<StockShardId>> {
    ids.iter()
        .map(|id| {
            StockShardId::new(*id).map_err(|cause| LedgerError::Corrupt {
                what: "a stock shard id",
                cause,
            })
        })
        .collect()
}
