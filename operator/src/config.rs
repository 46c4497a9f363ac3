//! What an operator needs to know before it starts, and the limits of the whole.

use std::time::Duration;

use ticket_bus::BusConfig;
use ticket_core::names::TopicPrefix;
use ticket_ledger::LedgerConfig;
use ticket_stock::StockConfig;

use crate::faults::Faults;

/// What is under way when the process is told to stop may take so long. A step ends long before.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// Connections to the ledger: the operator's statements are few and small.
pub(crate) const LEDGER_CONNECTIONS_MAX: u32 = 4;

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Config {
    /// The API server.
    pub kubernetes: kube::Config,
    /// Look at Events of this namespace only.
    pub namespace: Option<String>,
    /// Look at the `ShardRebalance` resources that fit this label selector (empty: all). `None`: at none of them, because the
    /// ledger is shared with others and so is the cluster-wide kind.
    pub rebalances: Option<String>,
    /// The ledger.
    pub ledger: LedgerConfig,
    /// Kafka.
    pub kafka: BusConfig,
    /// Before all names of topics.
    pub kafka_prefix: TopicPrefix,
    /// Redis.
    pub stock: StockConfig,
    /// Leader election; `None`: this is the only one.
    pub lease: Option<LeaseConfig>,
    /// Off in production.
    pub faults: Faults,
}

/// One lease that all replicas want.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    /// Where the lease is kept.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who we are; unique among the replicas and over restarts.
    pub identity: String,
}
