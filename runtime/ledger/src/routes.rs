//! Which node a stock shard's calls go to. On Citus they go straight to the worker that holds the stock shard: one hop less, and
//! no coordinator that every order has to pass. A route that is old is slow, never wrong, because every node passes a call on to
//! where the rows are; so an old one raises no error either, and routes are asked for anew from time to time. It does not know
//! what is called.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use ticket_core::StockShardId;
use tracing::{debug, warn};

use crate::config::Routing;
use crate::connect::Ledger;
use crate::error::{LedgerError, Result};

/// Routes that are remembered. Far more than one process serves; beyond it all are asked for again.
const ROUTES_MAX: usize = 16_384;

/// How often the routes in use are asked for anew, all with one question and beside the calls: so long after a move the calls of
/// a stock shard may pass its old worker.
const REFRESH_EVERY: Duration = Duration::from_secs(2);

/// How long calls take the way over the coordinator after a worker could not be reached: it may be down, or reachable from
/// the coordinator only, and finding out costs as long as a connection may take.
const DETOUR_FOR: Duration = Duration::from_secs(10);

/// A worker, as the coordinator knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    /// Name or IP address.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
}

/// What is known of the ways. Shared by all clones of a ledger.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    owners: HashMap<StockShardId, Address>,
    /// When all of them were last asked for; `None` before the first is known.
    refreshed_at: Option<Instant>,
    workers: HashMap<Address, Worker>,
}

#[derive(Debug, Clone)]
struct Worker {
    pool: PgPool,
    /// Not reached then.
    failed_at: Option<Instant>,
}

impl Routes {
    fn owner(&self, shard: StockShardId) -> Option<Address> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.owners.get(&shard).cloned()
    }

    /// The next call of this stock shard asks where it is. Called after every error: the shard may have moved.
    pub(crate) fn forget(&self, shard: StockShardId) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.owners.remove(&shard);
    }

    fn learn(&self, shard: StockShardId, owner: Address) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.owners.len() >= ROUTES_MAX {
            known.owners.clear();
        }
        known.owners.insert(shard, owner);
        known.refreshed_at.get_or_insert_with(Instant::now);
    }

    /// The stock shards whose routes are to be asked for anew at `now`; empty nearly always, and for all callers but one.
    fn due(&self, now: Instant) -> Vec<StockShardId> {
        let is_due = |known: &Known| {
            let at = known.refreshed_at;
            at.is_some_and(|at| now.saturating_duration_since(at) >= REFRESH_EVERY)
        };
        if !is_due(&self.known.read().unwrap_or_else(PoisonError::into_inner)) {
            return Vec::new();
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if !is_due(&known) {
            return Vec::new();
        }
        known.refreshed_at = Some(now);
        known.owners.keys().copied().collect()
    }

    /// The connections to a worker; `None` while calls take the detour.
    fn pool(&self, owner: &Address, make: impl FnOnce() -> PgPool) -> Option<PgPool> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let worker = known
            .workers
            .entry(owner.clone())
            .or_insert_with(|| Worker {
                pool: make(),
                failed_at: None,
            });
        let is_detour = worker.failed_at.is_some_and(|at| at.elapsed() < DETOUR_FOR);
        (!is_detour).then(|| worker.pool.clone())
    }

    fn failed(&self, owner: &Address) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = known.workers.get_mut(owner) {
            worker.failed_at = Some(Instant::now());
        }
    }

    /// The pools of all workers, to give them new secrets.
    pub(crate) fn pools(&self) -> Vec<(Address, PgPool)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let pools = known.workers.iter();
        pools
            .map(|(address, worker)| (address.clone(), worker.pool.clone()))
            .collect()
    }
}

impl Ledger {
    /// A connection for the calls of `shard`: to the worker that holds it, on plain `PostgreSQL` to the only node. An error here
    /// means that nothing was sent.
    pub(crate) async fn acquire_near(
        &self,
        shard: StockShardId,
    ) -> Result<PoolConnection<Postgres>> {
        if self.routing() == Routing::Owner
            && self.is_distributed().await?
            && let Some(owner) = self.owner_of(shard).await?
            && let Some(connection) = self.acquire_at(&owner).await
        {
            return Ok(connection);
        }
        self.acquire().await
    }

    /// These stock shards, grouped by the node that holds them: a question over many is asked for each group, so that a node
    /// that is down hides its own only. On plain `PostgreSQL` one group.
    pub async fn by_node(&self, shards: &[StockShardId]) -> Result<Vec<Vec<StockShardId>>> {
        if shards.is_empty() || !self.is_distributed().await? {
            return Ok(vec![shards.to_vec()]);
        }
        self.refresh_routes();
        let unknown: Vec<StockShardId> = shards
            .iter()
            .filter(|shard| self.routes().owner(**shard).is_none())
            .copied()
            .collect();
        self.learn(&unknown).await?;
        let mut groups: HashMap<Option<Address>, Vec<StockShardId>> = HashMap::new();
        for shard in shards {
            let owner = self.routes().owner(*shard);
            groups.entry(owner).or_default().push(*shard);
        }
        Ok(groups.into_values().collect())
    }

    /// The worker that holds `shard`, as last seen.
    async fn owner_of(&self, shard: StockShardId) -> Result<Option<Address>> {
        self.refresh_routes();
        if let Some(owner) = self.routes().owner(shard) {
            return Ok(Some(owner));
        }
        self.learn(&[shard]).await?;
        Ok(self.routes().owner(shard))
    }

    /// Asks for the routes in use anew when it is time, and lets nobody wait for it: until the answer is there, and while the
    /// coordinator is away, the old ones serve.
    fn refresh_routes(&self) {
        let shards = self.routes().due(Instant::now());
        if shards.is_empty() {
            return;
        }
        let ledger = self.clone();
        tokio::spawn(async move {
            if let Err(error) = ledger.learn(&shards).await {
                debug!(%error, "routes not asked for anew, the old ones serve");
            }
        });
    }

    /// Asks the coordinator's catalog where these are; one that it does not know stays unknown.
    async fn learn(&self, shards: &[StockShardId]) -> Result<()> {
        if shards.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = shards.iter().map(|shard| shard.get()).collect();
        let mut connection = self.acquire().await?;
        let found: Vec<(i64, String, i32)> = sqlx::query_as(
            "SELECT u.id, n.nodename, n.nodeport FROM unnest($1::bigint[]) AS u(id) \
             JOIN pg_dist_placement p \
             ON p.shardid = get_shard_id_for_distribution_column('stock_shards', u.id) \
             JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary'",
        )
        .bind(ids)
        .fetch_all(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "the nodes of stock shards",
            cause,
        })?;
        let owners: HashMap<i64, Address> = found
            .into_iter()
            .filter_map(|(id, host, port)| {
                let port = u16::try_from(port).ok()?;
                Some((id, Address { host, port }))
            })
            .collect();
        for shard in shards {
            if let Some(owner) = owners.get(&shard.get()) {
                self.routes().learn(*shard, owner.clone());
            }
        }
        Ok(())
    }

    /// A connection to a worker; `None` if there is none to be had, and then the coordinator knows best.
    async fn acquire_at(&self, owner: &Address) -> Option<PoolConnection<Postgres>> {
        let pool = self.routes().pool(owner, || self.pool_at(owner))?;
        match pool.acquire().await {
            Ok(connection) => Some(connection),
            // Busy, and not away: waiting in another queue would not help.
            Err(cause) => {
                self.routes().failed(owner);
                let Address { host, port } = owner;
                let detour_s = DETOUR_FOR.as_secs();
                warn!(%host, port, error = %cause, detour_s, "worker not reached, going over the coordinator");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Address {
        let host = "127.0.0.1".to_owned();
        Address { host, port }
    }

    #[test]
    fn routes_in_use_are_asked_for_anew_by_one_caller_in_each_period() {
        let routes = Routes::default();
        let soon = Instant::now() + REFRESH_EVERY * 2;
        assert_eq!(routes.due(soon), [], "none is known");
        let shard = StockShardId::new(7).unwrap();
        routes.learn(shard, address(1));
        assert_eq!(routes.due(Instant::now()), []);
        assert_eq!(routes.due(soon), [shard]);
        assert_eq!(routes.due(soon), [], "somebody else asks");
        assert_eq!(routes.owner(shard), Some(address(1)), "it serves meanwhile");
        routes.learn(shard, address(2));
        assert_eq!(routes.owner(shard), Some(address(2)));
        assert_eq!(routes.due(soon + REFRESH_EVERY), [shard]);
    }
}
